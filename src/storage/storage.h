/*
 * storage.h: the storages that come with Stator, one file each, written
 * against stator_plugin.h like everybody's. They make up one plugin, `sys`.
 *
 * Keys in the space of `sys` begin with a letter:
 *   'r' workspace, ID               -> record
 *   'v' view, workspace, key        -> value of a view
 *   'u' table, unique, workspace, values -> ID of the record that has them
 */
#ifndef STATOR_STORAGE_H
#define STATOR_STORAGE_H

#include "stator_plugin.h"
#include "stator_request.h"

/* What `init` gives: all that these storages know. */
typedef struct sys_plugin {
	const stator_host_api *host;
	const stator_store_api *store;
	const stator_context_api *context;
	const stator_request_api *request;
	const stator_row *configs; /* by SYS_... */
} sys_plugin;

typedef struct ephemeral ephemeral;

/* What `attach` gives: to a storage that knows no partition, the plugin. */
typedef struct sys_instance {
	sys_plugin sys;
	ephemeral *ephemeral;
} sys_instance;

/* The storages, in the order of the plugin. */
enum {
	SYS_RECORD,
	SYS_VIEW,
	SYS_UNIQ,
	SYS_WLOG,
	SYS_EVENT,
	SYS_COMMAND_CONTEXT,
	SYS_QUERY_CONTEXT,
	SYS_RESULT,
	SYS_RESPONSE,
	SYS_LOGGER,
	SYS_APP_SECRET,
	SYS_EPHEMERAL,
	SYS_JOB_CONTEXT,
	SYS_REQUEST_SUBJECT,
	SYS_COUNT
};

extern const stator_plugin stator__sys_plugin;

extern const stator_storage stator__storage_app_secret;
extern const stator_storage stator__storage_command_context;
extern const stator_storage stator__storage_ephemeral;
extern const stator_storage stator__storage_event;
extern const stator_storage stator__storage_job_context;
extern const stator_storage stator__storage_logger;
extern const stator_storage stator__storage_query_context;
extern const stator_storage stator__storage_record;
extern const stator_storage stator__storage_request_subject;
extern const stator_storage stator__storage_response;
extern const stator_storage stator__storage_result;
extern const stator_storage stator__storage_uniq;
extern const stator_storage stator__storage_view;
extern const stator_storage stator__storage_wlog;

enum { RECORD_LETTER = 'r', VIEW_LETTER = 'v', UNIQUE_LETTER = 'u' };

/* The workspace of a key: its WSID, or that of the run. */
int64_t stator__key_wsid(const sys_plugin *sys, const stator_run *run,
			 const stator_row *key);
/* 'r', workspace, ID: 17 bytes into `out`. */
enum { STATOR_RECORD_KEY = 17 };
stator_slice stator__record_key(uint8_t *out, int64_t wsid, int64_t id);
/* 'v', view, workspace: 13 bytes into `out`. */
enum { STATOR_VIEW_KEY = 13 };
stator_slice stator__view_key(uint8_t *out, uint32_t view, int64_t wsid);
/*
 * The key of a unique with the values of a row: OK, or NONE when one of the
 * fields is null. `shift` is added to the indexes of the unique's fields.
 */
int32_t stator__unique_key(const sys_plugin *sys, const stator_run *run,
			   const stator_type *table, uint32_t unique,
			   int64_t wsid, const stator_row *row, int shift,
			   stator_slice *key);

/* Whether the configuration of sys.Ephemeral can be. */
int32_t stator__ephemeral_check(const sys_plugin *sys, stator_error *err);
/*
 * The memory of a partition: that of the version before, if there is one.
 * NULL: no memory. Each that is opened is closed once.
 */
ephemeral *stator__ephemeral_open(const sys_plugin *sys, ephemeral *before);
void stator__ephemeral_close(ephemeral *memory);

/* The fields of sys.JobContext. */
enum { JOB_WORKSPACE, JOB_UNIX_TIME, JOB_FIELD_COUNT };

/* The first fields of documents and records, and the first of keys. */
enum { SYS_ID = 0, SYS_PARENT_ID = 1, SYS_CONTAINER = 2, SYS_IS_ACTIVE = 3 };
enum { SYS_OWN_FIELDS = 5 };

#endif
