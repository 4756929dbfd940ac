/*
 * state.h: what an extension sees while it runs: elements by key, and intents.
 *
 * A `stator_scope_table` says once, for an application, which extension may do
 * what with which storage and entity; a handle carries its row of it, so that
 * the check of a call is one bit. A `stator_state` belongs to one thread and
 * serves one run after the other.
 */
#ifndef STATOR_STATE_H
#define STATOR_STATE_H

#include "registry/registry.h"
#include "stator.h"

/* Of a run, where nothing else is said. */
typedef struct stator_limits {
	uint64_t memory; /* bytes of a Lua state */
	uint32_t command_ms, query_ms, projector_ms, job_ms;
	uint32_t intents;
	uint64_t rows, bytes_read; /* that it reads */
	uint64_t bytes;		   /* that it returns */
	uint64_t string;	   /* bytes of one that it builds */
	uint32_t log_lines;
	uint32_t nesting; /* of library functions that call back */
	uint32_t coroutines;
	uint32_t handles;  /* of a package */
	uint32_t breaches; /* in a row, of an extension */
	uint32_t quarantine_ms;
} stator_limits;

/* A storage and an entity, resolved. What state.view "x.Y" gives. */
typedef struct stator_handle {
	const stator_binding *binding;
	stator_instance *instance; /* of its plugin, for this partition */
	stator_use use;
	uint8_t *allowed; /* by extension: bits of stator_op */
	uint32_t index;
	const char *name; /* "sys.View restaurant.Sales", for messages */
	bool is_log;
} stator_handle;

/* The handles of one engine: they are made while modules load. */
typedef struct stator_handles {
	stator_arena arena;
	const stator_def *def;
	const stator_registry *registry;
	stator_instance *instances; /* of the partition, by plugin */
	stator_handle **items;
	size_t count, cap;
} stator_handles;

/* The handle for these names, made when it is not there yet. */
int stator__handle(stator_handles *handles, const char *storage,
		   const char *entity, const char *package,
		   stator_handle **out, stator_error *err);
void stator__handles_free(stator_handles *handles);

/* An intent of the run. */
typedef struct stator_wish {
	const stator_handle *handle;
	stator_row key;
	stator_row value; /* `data` NULL until it is filled */
	stator_row base;  /* what an update began with */
	bool is_new;
	bool sent;     /* a row of a query's result, which is gone */
	uint64_t hash; /* of the key's bytes */
} stator_wish;

typedef struct stator_open_cursor {
	stator_cursor *cursor;
	const stator_handle *handle;
} stator_open_cursor;

/* What a thread has called a storage for. */
typedef struct stator_storage_meter {
	uint64_t calls, errors;
	uint64_t timed, timed_ns; /* of the calls: those that were timed */
} stator_storage_meter;

struct stator_state {
	stator_io io; /* first: storages are given its `run` */
	stator_storage_meter *meters; /* by binding; NULL: nobody counts */
	int64_t timed_from;	      /* of the call; 0: it is not timed */
	stator_arena arena;
	stator_arena row; /* of a row of a query's result that is handed on */
	const stator_ext *ext;
	const stator_limits *limits; /* borrowed; of the run */
	stator_wish *wishes;
	size_t wish_count, wish_cap;
	size_t result; /* the wish of sys.Result in a query, from 1; 0: none */
	stator_open_cursor *cursors;
	size_t cursor_count, cursor_cap;
	uint64_t rows_read, bytes_read, bytes_returned;
	uint32_t log_lines;
	int64_t next_raw_id;
	void *engine_run; /* the engine's, while it runs */
	/* A limit was passed: the run has failed whatever it does next. */
	int breach;
	stator_error breach_error;
};

/* Begins a run of `ext`; `io` fields beyond the run are set by the caller. */
void stator__state_begin(stator_state *st, const stator_ext *ext,
			 int64_t wsid);
/* The run has failed with this, whatever it does next. */
void stator__state_breach(stator_state *st, const stator_error *err);
/* Drops everything that the run has made. */
void stator__state_end(stator_state *st);
void stator__state_free(stator_state *st);

/* OK, NONE or an error that names storage, entity and key. */
int stator__state_get(stator_state *st, const stator_handle *h,
		      const stator_row *key, stator_row *value,
		      stator_error *err);
/* `count` keys of one handle; `data` of an absent value is NULL. */
int stator__state_get_batch(stator_state *st, const stator_handle *h,
			    const stator_row *keys, size_t count,
			    stator_row *values, stator_error *err);
int stator__state_read(stator_state *st, const stator_handle *h,
		       const stator_row *key, bool reverse, uint32_t limit,
		       stator_cursor **cursor, stator_error *err);
int stator__state_next(stator_state *st, const stator_handle *h,
		       stator_cursor *cursor, stator_row *key,
		       stator_row *value, stator_error *err);
void stator__state_close(stator_state *st, stator_cursor *cursor);
/*
 * Registers an intent; its value is filled in later. `base` only for updates.
 * The index of the intent goes to `out`. Rows of a query's result are handed on
 * one by one, as soon as they are filled: NONE and the index of the last one
 * when that is to be filled first.
 */
int stator__state_intent(stator_state *st, const stator_handle *h,
			 const stator_row *key, const stator_row *base,
			 uint32_t *out, stator_error *err);
int stator__state_fill(stator_state *st, uint32_t intent,
		       const stator_row *value, stator_error *err);
/* The last intent with this key: OK or NONE. */
int stator__state_find(stator_state *st, const stator_handle *h,
		       const stator_row *key, uint32_t *out,
		       stator_error *err);
/* The type of value rows of a handle; NULL when it depends on the extension,
 * and in this run. */
const stator_type *stator__handle_value_type(const stator_handle *h);
const stator_type *stator__state_value_type(const stator_state *st,
					    const stator_handle *h);
/* "sys.View restaurant.Sales {Year=2026}", for messages. */
const char *stator__state_show(stator_state *st, const stator_handle *h,
			       const stator_row *key);

/* Intents of entity RECORD become CUDs; the caller writes those. */
bool stator__wish_is_record(const stator_wish *wish);
/* Whether intent `i` of the run is the first of its storage. */
bool stator__wish_is_first(const stator_state *st, size_t i);
/* Asks the storages whether they would take the other intents. */
int stator__state_validate(stator_state *st, stator_error *err);
/* Applies them, storage by storage in the order of the schema. */
int stator__state_apply(stator_state *st, stator_error *err);
/* Does what one intent asks for outside of the host. */
int stator__state_effect(stator_state *st, const stator_handle *h,
			 const stator_intent *item, stator_error *err);
/*
 * What is to be told when the batch of a run is complete; zero is empty. The
 * handles of the runs outlive it.
 */
typedef struct stator_settlements {
	stator_arena arena;
	struct stator_settlement *first, *last;
} stator_settlements;

/* Adds the intents of the run, which have been applied. */
void stator__settle_keep(stator_settlements *list, const stator_state *st);
/* Tells the storages, run by run. The list is empty then. */
void stator__settle_run(stator_settlements *list);
/* The batch is taken back: nobody is told. */
void stator__settle_drop(stator_settlements *list);
void stator__settle_free(stator_settlements *list);

/* Writes only the log: what is left of a run that failed. */
void stator__state_apply_log(stator_state *st);

#endif
