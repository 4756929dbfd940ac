/*
 * stator_plugin.h: how a state storage is written, built in or as a plugin.
 *
 * A plugin is one C file and this header. It exports one symbol, the const
 * struct `stator_plugin_entry`; it links to nothing of Stator's and is given
 * the host as a table of functions. The storages that come with Stator are
 * written against this header too.
 *
 * The chain of objects, each released by the host, the last made first:
 *
 *   plugin      once for each loaded version; `init` ... `finit`
 *   partition   once for each partition and version; `attach` ... `detach`
 *   call        one function of `stator_storage`, for one run of an extension
 *
 * Words used beside every pointer:
 *
 *   borrowed until X      the owner keeps it alive until X; do not free it
 *   caller frees with Y   the caller owns it from here on
 *   taken                 the callee owns it from here on
 *
 * Tags used beside every function:
 *
 *   [init-only]   on the thread that deploys, before any run
 *   [run]         on the thread of the run that was passed in
 *   [any-thread]  from every thread, also at the same time
 *
 * Compatibility: a struct that begins with `abi` and `size` grows at its end
 * only; the others, and stator_intent, which comes in arrays, do not change. A
 * NULL function means "not supported". Read a later field only through
 * STATOR_HAS. The major number changes when a plugin must be rebuilt.
 */
#ifndef STATOR_PLUGIN_H
#define STATOR_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define STATOR_ABI_MAJOR 1
#define STATOR_ABI_MINOR 0
#define STATOR_ABI ((uint32_t)((STATOR_ABI_MAJOR << 16) | STATOR_ABI_MINOR))

/* Whether the struct behind `p` is long enough to have `field`. */
#define STATOR_HAS(p, field) \
	((p)->size >= (size_t)((const char *)(&(p)->field + 1) - \
			       (const char *)(p)))

#if defined(STATOR_STATIC_PLUGIN) || !defined(__GNUC__)
#define STATOR_EXPORT
#else
#define STATOR_EXPORT __attribute__((visibility("default")))
#endif

/*
 * Every outcome has one row here: name, number, the status of a reply that
 * carries it, and its text. 0 is success, positive numbers are expected
 * outcomes, negative ones are errors. Names stand in replies as they are.
 */
#define STATOR_STATUS_MAP(X)                                                   \
	X(OK, 0, 200, "success")                                               \
	X(NONE, 1, 200, "nothing there")                                       \
	X(BAD_REQUEST, -1, 400, "not a request")                               \
	X(VALIDATION, -2, 400, "does not fit the schema")                      \
	X(NOT_FOUND, -3, 404, "no such command, query or entity")              \
	X(UNIQUE, -4, 409, "a unique field or group is taken")                 \
	X(EXTENSION_FAILED, -5, 500, "the extension raised an error")          \
	X(NOT_EXISTS, -6, 500, "not exists")                                   \
	X(EXISTS, -7, 500, "exists")                                           \
	X(NOT_DECLARED, -8, 500, "not declared in STATE or INTENTS")           \
	X(NOT_SUPPORTED, -9, 500, "operation not supported by the storage")    \
	X(TIME_LIMIT, -10, 500, "time limit exceeded")                         \
	X(MEMORY_LIMIT, -11, 500, "memory limit exceeded")                     \
	X(INTENTS_LIMIT, -12, 500, "intents limit exceeded")                   \
	X(ROWS_LIMIT, -13, 500, "limit of rows read exceeded")                 \
	X(BYTES_LIMIT, -14, 500, "limit of bytes returned exceeded")           \
	X(RESPONSE, -15, 500, "answered by the extension")                     \
	X(BUSY, -16, 503, "the partition's queue is full")                     \
	X(QUARANTINED, -17, 503, "breached its limits too often")              \
	X(INVALID, -18, 500, "invalid use of the interface")                   \
	X(NO_MEMORY, -19, 500, "out of memory")                                \
	X(IO, -20, 500, "input or output error")                               \
	X(CORRUPT, -21, 500, "stored data is damaged")                         \
	X(IMAGE, -22, 500, "the application image has errors")                 \
	X(STORAGE_FAILED, -23, 500, "the storage failed")                      \
	X(BYTES_READ_LIMIT, -24, 500, "limit of bytes read exceeded")          \
	X(LOG_LIMIT, -25, 500, "limit of log lines exceeded")                  \
	X(NESTING_LIMIT, -26, 500, "calls are nested too deep")                \
	X(STRING_LIMIT, -27, 500, "limit of the length of a string exceeded")  \
	X(COROUTINES_LIMIT, -28, 500, "limit of coroutines exceeded")          \
	X(HANDLES_LIMIT, -29, 500, "limit of handles exceeded")

enum stator_status {
#define STATOR_STATUS_ENUM(name, number, http, text) STATOR_##name = number,
	STATOR_STATUS_MAP(STATOR_STATUS_ENUM)
#undef STATOR_STATUS_ENUM
};

/* Detail of an error: one line, lower case start. Owned by the caller. */
typedef struct stator_error {
	int32_t code;	/* one of stator_status */
	char msg[1020]; /* NUL-terminated UTF-8 */
} stator_error;

/* Bytes that somebody else owns; never NUL-terminated. */
typedef struct stator_slice {
	const void *data;
	size_t size;
} stator_slice;

/* <ffi> */
/*
 * A row is one run of bytes. It begins with the identifier of its type and
 * the length of its fixed part; fields of fixed width stand at offsets that
 * the type knows, the others keep an offset and a length there. A field that
 * lies beyond the fixed part was added after the row was written: it is null.
 */
typedef struct stator_field {
	const char *name;	  /* borrowed until the type is released */
	uint32_t at;		  /* offset of the value in the row */
	uint32_t null_at;	  /* offset of the byte with its presence bit */
	uint32_t max;		  /* bytes allowed, for STRING and BYTES */
	uint8_t kind;		  /* one of stator_kind */
	uint8_t present;	  /* mask of the presence bit */
	uint8_t required;	  /* 1: NOT NULL */
	uint8_t system;		  /* 1: added by the host (sys.ID ...) */
	uint8_t secret;		  /* 1: never shown, as it is described */
	uint8_t reserved[7];
	const struct stator_type *rows; /* type of nested rows; NULL: any */
	const void *checks;	  /* the host's */
} stator_field;

/* Fields whose values together may stand in one active record only. */
typedef struct stator_unique {
	const char *name;
	const uint32_t *fields; /* indexes of fields */
	uint32_t count;
	uint32_t reserved;
} stator_unique;

typedef struct stator_type {
	const char *name;	    /* QName, "restaurant.Order" */
	uint32_t id;		    /* hash of the name, stands in rows */
	uint32_t kind;		    /* one of stator_type_kind */
	uint32_t fixed;		    /* length of the fixed part of a row */
	uint32_t field_count;
	const stator_field *fields; /* borrowed until the type is released */
	uint32_t key_count;	    /* fields of an ordered key, the last */
	uint32_t unique_count;
	const stator_unique *uniques;
	const void *extra;	    /* the host's */
} stator_type;

/* A row and its type. The bytes are borrowed until the end of the run. */
typedef struct stator_row {
	const uint8_t *data;
	uint32_t size;
	uint32_t reserved;
	const stator_type *type;
} stator_row;
/* </ffi> */

/* Kinds of fields. The numbers stand in stored data and never change. */
enum stator_kind {
	STATOR_INT8 = 1,
	STATOR_INT16 = 2,
	STATOR_INT32 = 3,
	STATOR_INT64 = 4,
	STATOR_FLOAT32 = 5,
	STATOR_FLOAT64 = 6,
	STATOR_BOOL = 7,
	STATOR_REF = 8,	    /* a record's ID, int64 */
	STATOR_STRING = 9,  /* UTF-8 */
	STATOR_BYTES = 10,
	STATOR_QNAME = 11,  /* "package.Name" */
	STATOR_ROWS = 12,   /* nested rows */
	STATOR_ROW = 13,    /* one nested row */
	STATOR_TEXTS = 14   /* several strings: a repeated STRING */
};

enum stator_entity_kind {
	STATOR_ENTITY_NONE = 0,
	STATOR_ENTITY_RECORD = 1, /* keys and values are those of a table */
	STATOR_ENTITY_VIEW = 2	  /* keys and values are those of a view */
};

enum stator_op {
	STATOR_GET = 0,
	STATOR_GETBATCH = 1,
	STATOR_READ = 2,
	STATOR_INSERT = 3,
	STATOR_UPDATE = 4,
	STATOR_OP_COUNT = 5
};

/* Who may use an operation: a mask of these. */
enum stator_scope {
	STATOR_COMMANDS = 1,
	STATOR_QUERIES = 2,
	STATOR_PROJECTORS = 4,
	STATOR_JOBS = 8,
	STATOR_EVERYONE = 15
};

/*
 * A field of a storage's key or value, or of its configuration. In key rows
 * WSID comes first: the field at index 0 of the description is field 1 there.
 */
typedef struct stator_field_desc {
	const char *name;
	uint8_t kind;	    /* one of stator_kind; ROWS and ROW hold any rows */
	uint8_t required;   /* 1: must be given */
	uint16_t secret;    /* 1: never shown in messages, logs, descriptions */
	uint32_t max;	    /* bytes allowed, for text; 0: 65535 */
	const char *preset; /* configuration only: default as JSON, or NULL */
	const char *help;   /* one line for documentation */
} stator_field_desc;

/*
 * One run of an extension, as a storage sees it. Borrowed until the end of the
 * run.
 */
typedef struct stator_run {
	uint32_t abi;
	uint32_t size;
	const char *app;       /* "owner/name" */
	const char *extension; /* QName of the extension that runs */
	int64_t wsid;	       /* its workspace */
	int64_t plog_offset;   /* of its event; 0 for queries and jobs */
	int64_t wlog_offset;
	int64_t now_ms;	       /* Unix time of the run, in milliseconds */
	uint32_t partition;
	uint32_t scope;	       /* one of stator_scope */
	/* Of the application: workspace w is of partition w % partitions. */
	uint32_t partitions;
	uint32_t reserved;
} stator_run;

/* What a storage is used for: an entity and the types of its rows. */
typedef struct stator_use {
	uint32_t abi;
	uint32_t size;
	const stator_type *key;	  /* type of key rows */
	const stator_type *value; /* type of value rows; NULL: decided by row */
	const char *entity;	  /* QName of the entity, or NULL */
	const stator_type *table; /* rows of the entity, or NULL */
	uint32_t entity_id;	  /* hash of it, or 0 */
	uint32_t reserved;
} stator_use;

typedef struct stator_read_opts {
	uint32_t abi;
	uint32_t size;
	uint32_t reverse; /* 1: from the last row to the first */
	uint32_t limit;	  /* most rows wanted; 0: all */
} stator_read_opts;

/* A write that an extension asked for. Borrowed until the end of the call. */
typedef struct stator_intent {
	uint32_t abi;
	uint32_t size;
	const stator_use *use;
	const stator_row *key;
	const stator_row *value; /* for an update: with the old fields merged */
	uint32_t is_new;	 /* 1: INSERT, 0: UPDATE */
	uint32_t index;		 /* its place among the intents of the run */
} stator_intent;

/* What `read` hands out: pulled with `next` until it says NONE. */
typedef struct stator_cursor {
	/*
	 * The next row: OK, NONE at the end, or an error. `key` and `value`
	 * are borrowed until the end of the run. [run]
	 */
	int32_t (*next)(struct stator_cursor *cursor, stator_row *key,
			stator_row *value, stator_error *err);
	/* Called exactly once, also after an early stop. [run] */
	void (*release)(struct stator_cursor *cursor);
} stator_cursor;

/*
 * A storage: what it is called, what its keys and values are, which
 * operations it has for whom, and the functions. All pointers are borrowed
 * until the plugin's `finit` has returned. `self` is what `attach` gave. NONE
 * is an answer of `get` and of a cursor's `next` alone. An error of the host's
 * functions is passed on. Who offers INSERT or UPDATE has `apply`, `effect` or
 * `settle`, and each that is there is called.
 */
typedef struct stator_storage {
	uint32_t abi;
	uint32_t size;
	const char *name; /* without the package: "View" */
	const char *help;
	uint32_t entity; /* one of stator_entity_kind */
	uint32_t scopes[STATOR_OP_COUNT]; /* masks of stator_scope */
	uint32_t undeclared; /* who may use it without STATE or INTENTS */
	/* Most time for one call, in ms, up to 600000; 0: 4000. A call that
	 * takes longer is logged and counted. */
	uint32_t call_ms;
	/* For ENTITY_NONE; entities bring their own fields. */
	const stator_field_desc *key_fields;
	size_t key_field_count;
	const stator_field_desc *value_fields;
	size_t value_field_count;
	/* Its configuration: INT64, FLOAT64, BOOL and STRING fields. */
	const stator_field_desc *config_fields;
	size_t config_field_count;
	/*
	 * One element: OK and `value` filled, NONE when there is no such
	 * element, or an error. Value rows are made in this run, with
	 * `row_begin` or `row_load`; the host refuses others. [run]
	 */
	int32_t (*get)(void *self, const stator_run *run,
		       const stator_use *use, const stator_row *key,
		       stator_row *value, stator_error *err);
	/*
	 * `count` elements at once; a value whose `data` stays NULL is
	 * absent. NULL function: the host calls `get` for each. [run]
	 */
	int32_t (*get_batch)(void *self, const stator_run *run,
			     const stator_use *use, const stator_row *keys,
			     size_t count, stator_row *values,
			     stator_error *err);
	/*
	 * Rows whose key begins with the fields that are set in `key`. The
	 * cursor is the caller's until `release`. [run]
	 */
	int32_t (*read)(void *self, const stator_run *run,
			const stator_use *use, const stator_row *key,
			const stator_read_opts *opts, stator_cursor **cursor,
			stator_error *err);
	/* Whether `apply` would take these; changes nothing. [run] */
	int32_t (*validate)(void *self, const stator_run *run,
			    const stator_intent *items, size_t count,
			    stator_error *err);
	/*
	 * Writes the intents of one run, in their order, with `put` and `del`
	 * of "stator.store/1": they become durable with the event, or not at
	 * all. Nothing outside of the host may be changed here. [run]
	 */
	int32_t (*apply)(void *self, const stator_run *run,
			 const stator_intent *items, size_t count,
			 stator_error *err);
	/*
	 * Does what an intent asks for outside of the host, after the event is
	 * durable. It is called at least once: after a failure, and after a
	 * crash, it is called again for the same intent. What tells a repeat
	 * is the same `run->app`, `run->partition`, `run->plog_offset`,
	 * `run->extension` and `item->index`. BAD_REQUEST and VALIDATION say
	 * that no repeat will help: it is not tried again until the next start.
	 * [run]
	 */
	int32_t (*effect)(void *self, const stator_run *run,
			  const stator_intent *item, stator_error *err);
	/*
	 * The batch of the run is complete: it and the projectors that belong
	 * to it have passed every check, and only the commit is left. Here a
	 * storage takes what it keeps in memory beside the batch; it cannot
	 * say no, and writes nothing with `put` and `del`. For a run that is
	 * taken back it is not called. The run is one of its own, with the
	 * fields of that which made the intents. [run]
	 */
	void (*settle)(void *self, const stator_run *run,
		       const stator_intent *items, size_t count);
} stator_storage;

/*
 * Access to the ordered key/value space of the partition. What a storage puts
 * is written in the same atomic batch as the event of the run. The storages of
 * one package share a space; keys of different packages cannot meet. `wsid` is
 * the workspace that the key belongs to: reading may leave the partition,
 * writing may not. Extension "stator.store/1".
 */
typedef struct stator_store_api {
	uint32_t abi;
	uint32_t size;
	/* OK and `value` (borrowed until the end of the run), or NONE. [run] */
	int32_t (*get)(const stator_run *run, int64_t wsid, stator_slice key,
		       stator_slice *value, stator_error *err);
	/*
	 * Keys from `low` (included) to `high` (excluded, empty: no end).
	 * Caller frees the cursor with `cursor_release`. [run]
	 */
	int32_t (*range)(const stator_run *run, int64_t wsid, stator_slice low,
			 stator_slice high, int reverse, void **cursor,
			 stator_error *err);
	/* OK and key and value (borrowed until the run's end), NONE. [run] */
	int32_t (*cursor_next)(void *cursor, stator_slice *key,
			       stator_slice *value, stator_error *err);
	void (*cursor_release)(void *cursor);
	/* Only from `apply`. Key and value are copied. [run] */
	int32_t (*put)(const stator_run *run, int64_t wsid, stator_slice key,
		       stator_slice value, stator_error *err);
	int32_t (*del)(const stator_run *run, int64_t wsid, stator_slice key,
		       stator_error *err);
} stator_store_api;

/*
 * What the run is about. Extension "stator.context/1". Rows are borrowed until
 * the end of the run.
 */
typedef struct stator_context_api {
	uint32_t abi;
	uint32_t size;
	/* The event: OK, or NONE outside of projectors. [run] */
	int32_t (*event)(const stator_run *run, stator_row *event);
	/* The argument object, or the unlogged one: OK, or NONE. [run] */
	int32_t (*argument)(const stator_run *run, int unlogged,
			    stator_row *argument);
	/* Takes one row of the result. [run] */
	int32_t (*result)(const stator_run *run, const stator_row *row,
			  stator_error *err);
	/* Sets status and message of the reply. [run] */
	int32_t (*response)(const stator_run *run, int64_t status,
			    stator_slice message, stator_error *err);
	/* The event at a WLog offset of a workspace: OK, or NONE. [run] */
	int32_t (*wlog)(const stator_run *run, int64_t wsid, int64_t offset,
			stator_row *event, stator_error *err);
} stator_context_api;

/* The host, as a table of functions. Borrowed until `finit` has returned. */
typedef struct stator_host_api {
	uint32_t abi;
	uint32_t size;
	const char *version; /* of the host, "1.0.0" */
	/* Levels: 1 error, 2 warning, 3 info, 4 verbose, 5 trace.
	 * [any-thread] */
	void (*log)(int32_t level, const char *source, const char *message);
	/* Fills `err` (which may be NULL) and returns `code`. [any-thread] */
	int32_t (*fail)(stator_error *err, int32_t code, const char *format,
			...)
#if defined(__GNUC__)
		__attribute__((format(printf, 3, 4)))
#endif
		;
	/* Zeroed memory that the host counts, or NULL. Caller frees with
	 * `free`. [any-thread] */
	void *(*alloc)(size_t size);
	void (*free)(void *p);
	/* Memory that lives until the end of the run. [run] */
	void *(*run_alloc)(const stator_run *run, size_t size);
	/* Unix time and a clock that never jumps. [any-thread] */
	int64_t (*now_ms)(void);
	int64_t (*monotonic_ns)(void);
	/*
	 * Fields of a row by their index in the type: 1 when present, 0 when
	 * null. Integers of every width, booleans and refs are int64, floats
	 * are double. [any-thread]
	 */
	int (*row_int)(const stator_row *row, uint32_t field, int64_t *value);
	int (*row_float)(const stator_row *row, uint32_t field,
			 double *value);
	int (*row_bytes)(const stator_row *row, uint32_t field,
			 stator_slice *value);
	/* Nested rows or TEXTS: how many, and the one at `index`: 1 or 0. */
	uint32_t (*row_count)(const stator_row *row, uint32_t field);
	int (*row_child)(const stator_run *run, const stator_row *row,
			 uint32_t field, uint32_t index, stator_row *child);
	int (*row_text)(const stator_row *row, uint32_t field, uint32_t index,
			stator_slice *text);
	/*
	 * Makes a row: begin, put what is not null, end. The builder and the
	 * row live until the end of the run. [run]
	 */
	struct stator_builder *(*row_begin)(const stator_run *run,
					    const stator_type *type);
	int32_t (*put_int)(struct stator_builder *b, uint32_t field,
			   int64_t value, stator_error *err);
	int32_t (*put_float)(struct stator_builder *b, uint32_t field,
			     double value, stator_error *err);
	int32_t (*put_bytes)(struct stator_builder *b, uint32_t field,
			     stator_slice value, stator_error *err);
	int32_t (*put_rows)(struct stator_builder *b, uint32_t field,
			    const stator_row *rows, uint32_t count,
			    stator_error *err);
	int32_t (*row_end)(struct stator_builder *b, stator_row *row,
			   stator_error *err);
	/*
	 * The bytes of a row that was kept elsewhere ("stator.store/1") as a
	 * row of this run; refused when they are not a row of the type. [run]
	 */
	int32_t (*row_load)(const stator_run *run, const stator_type *type,
			    stator_slice bytes, stator_row *row,
			    stator_error *err);
	/*
	 * Bytes whose order is the order of the first `key_count` fields.
	 * Stops at the first field that is null; `complete` is 1 when none
	 * was. The bytes live until the end of the run. [run]
	 */
	int32_t (*key_encode)(const stator_run *run, const stator_row *key,
			      stator_slice *bytes, int *complete,
			      stator_error *err);
	int32_t (*key_decode)(const stator_run *run, const stator_type *type,
			      stator_slice bytes, stator_row *key,
			      stator_error *err);
	/* More abilities by name ("stator.store/1"), or NULL. [any-thread] */
	const void *(*get_ext)(const char *name);
	/*
	 * The end of the range of keys that begin with `prefix`, for `range`;
	 * empty: no end. The bytes live until the end of the run. [run]
	 */
	stator_slice (*prefix_end)(const stator_run *run, stator_slice prefix);
} stator_host_api;

enum stator_plugin_flags {
	/*
	 * The functions of one instance may be called from several threads at
	 * the same time. Without it the host lets one in after the other.
	 */
	STATOR_CONCURRENT = 1
};

/* What a plugin version exports. All pointers live as long as the library. */
typedef struct stator_plugin {
	uint32_t abi;
	uint32_t size;
	const char *name;
	const char *version;
	const char *description;
	uint32_t flags; /* of stator_plugin_flags */
	uint32_t reserved;
	const stator_storage *const *storages;
	size_t storage_count;
	/*
	 * Once for each loaded version. `configs` has a row for each storage,
	 * in their order, with the fields that it describes; borrowed until
	 * `finit` has returned. `plugin` is what `attach` gets. [init-only]
	 */
	int32_t (*init)(const stator_host_api *host, const stator_row *configs,
			void **plugin, stator_error *err);
	/*
	 * Once for each partition. `previous` is the instance of the version
	 * that serves it now, or NULL, for hand-over; it is borrowed until
	 * this call returns. NULL function: `self` is `plugin`. [init-only]
	 */
	int32_t (*attach)(void *plugin, uint32_t partition, void *previous,
			  void **self, stator_error *err);
	void (*detach)(void *self);
	void (*finit)(void *plugin);
} stator_plugin;

/* The one symbol of a plugin. */
#ifndef STATOR_STATIC_PLUGIN
STATOR_EXPORT extern const stator_plugin stator_plugin_entry;
#endif

#ifdef __cplusplus
}
#endif
#endif
