/*
 * conform.h: the parts of the conformance suite, which is in conform*.c.
 *
 *   conform.c        a process for each test, and what is said about it
 *   conform_host.c   the host that the plugin is given: it counts, and it fails
 *                    when it is told to
 *   conform_rows.c   keys and values of every shape
 *   conform_calls.c  one call of the plugin, and what must be true after it
 *   conform_elements.c  what the tests of storages are made of
 *   conform_tests.c  the tests of plugins; those of storages are in
 *                    conform_storage.c, conform_intents.c, conform_failures.c
 *
 * A test runs in a child of the process that was called, and writes what it
 * finds into memory that both see: what was written is there whatever ends
 * the child.
 */
#ifndef STATOR_CONFORM_H
#define STATOR_CONFORM_H

#include <pthread.h>
#include <stdatomic.h>

#include "registry/registry.h"

/* Calls of a plugin: how they are named, and where they are described. */
#define CONFORM_CALLS(X)                              \
	X(NONE, "the plugin", "stator_plugin")        \
	X(OPEN, "load", "stator_plugin_entry")        \
	X(INIT, "init", "stator_plugin.init")         \
	X(ATTACH, "attach", "stator_plugin.attach")   \
	X(DETACH, "detach", "stator_plugin.detach")   \
	X(FINIT, "finit", "stator_plugin.finit")      \
	X(CLOSE, "unload", "stator_plugin_entry")     \
	X(GET, "get", "stator_storage.get")           \
	X(BATCH, "get_batch", "stator_storage.get_batch") \
	X(READ, "read", "stator_storage.read")        \
	X(NEXT, "next", "stator_cursor.next")         \
	X(RELEASE, "release", "stator_cursor.release") \
	X(VALIDATE, "validate", "stator_storage.validate") \
	X(APPLY, "apply", "stator_storage.apply")     \
	X(EFFECT, "effect", "stator_storage.effect")   \
	X(SETTLE, "settle", "stator_storage.settle")

typedef enum conform_call {
#define CALL(name, text, where) CALL_##name,
	CONFORM_CALLS(CALL)
#undef CALL
	CALL_COUNT
} conform_call;

/* Rules, and where in the header they stand; NULL: where the call does. */
#define CONFORM_RULES(X)                                                      \
	X(LOADS, "it can be loaded", "stator_plugin")                         \
	X(SCOPES, "scopes are masks of stator_scope",                         \
	  "stator_storage.scopes")                                            \
	X(CONFIG_KIND, "configuration is INT64, FLOAT64, BOOL and STRING",    \
	  "stator_storage.config_fields")                                     \
	X(PRESET, "a preset is JSON that its field can hold",                 \
	  "stator_field_desc.preset")                                         \
	X(CONFIG, "the configuration is as it is described",                  \
	  "stator_storage.config_fields")                                     \
	X(SUCCEEDS, "it succeeds", NULL)                                      \
	X(STATUS, "it returns a status that it may", NULL)                    \
	X(TEXT, "an error has a text, one line of UTF-8", "stator_error.msg") \
	X(RETURNS, "it returns to the host", NULL)                            \
	X(TIME, "it returns in the time that a call has",                     \
	  "stator_storage.call_ms")                                           \
	X(FREED, "what alloc gave is freed before finit has returned",        \
	  "stator_host_api.alloc")                                            \
	X(FREE_ONCE, "free is given what alloc gave, once",                   \
	  "stator_host_api.free")                                             \
	X(BOUNDS, "nothing is written outside of what alloc gave",            \
	  "stator_host_api.alloc")                                            \
	X(NO_MEMORY, "without memory it fails, or does all the same",         \
	  "stator_host_api.alloc")                                            \
	X(LOG, "log has a level from 1 to 5 and a text",                      \
	  "stator_host_api.log")                                              \
	X(RUN_OVER, "what a run lends is not used after it",                  \
	  "stator_run")                                                       \
	X(ROW_TYPE, "a row is of the type that is asked for", NULL)           \
	X(ROW_RUN, "rows are made in this run, with row_begin or row_load",   \
	  NULL)                                                               \
	X(ROW_SOUND, "offsets and lengths lie inside of the row",             \
	  "stator_row")                                                       \
	X(ROW_FITS, "a row holds what its fields describe",                   \
	  "stator_field_desc")                                                \
	X(SAME, "an element stays the same while nothing is written", NULL)   \
	X(AS_GET, "it gives what get gives", NULL)                            \
	X(CURSOR, "OK comes with a cursor that has its functions", NULL)      \
	X(PREFIX, "keys begin with the fields that are set", NULL)            \
	X(LIMIT, "no more rows than are wanted", "stator_read_opts.limit")    \
	X(REVERSE, "reverse is from the last row to the first",               \
	  "stator_read_opts.reverse")                                         \
	X(ENDS, "it says NONE at the end", NULL)                              \
	X(CHANGES_NOTHING, "it changes nothing", NULL)                        \
	X(TELLS, "it says whether apply would take the intents", NULL)        \
	X(ONLY_APPLY, "put and del are called by apply alone",                \
	  "stator_store_api.put")                                             \
	X(ALL_OR_NOTHING, "what it writes is durable with the event, or "     \
			  "not at all", NULL)                                 \
	X(TAKEN_BACK, "a run that is taken back leaves nothing",              \
	  "stator_storage.settle")                                            \
	X(DURABLE, "what it writes outlives the plugin", NULL)                \
	X(READ_BACK, "what it writes is there", NULL)                         \
	X(STORE_FAILED, "an error of the store is an error", NULL)            \
	X(RANGE_FREED, "the cursor of range is freed with cursor_release",    \
	  "stator_store_api.range")                                           \
	X(RANGE_ONCE, "a cursor is not used after cursor_release",            \
	  "stator_store_api.cursor_release")                                  \
	X(HANDED_OVER, "elements outlive the hand-over", NULL)                \
	X(LENT, "previous is borrowed: it serves on", NULL)                   \
	X(CONCURRENT, "several threads see what one sees",                    \
	  "STATOR_CONCURRENT")

typedef enum conform_rule {
#define RULE(name, text, where) RULE_##name,
	CONFORM_RULES(RULE)
#undef RULE
	RULE_COUNT
} conform_rule;

enum {
	CONFORM_LANES = 8,	 /* threads that call at once */
	CONFORM_BROKEN = 6,	 /* different findings that are kept */
	CONFORM_STORAGES = 64,	 /* storages that are tried */
	CONFORM_PARTITIONS = 2
};

/* What a storage has, for tests to need. */
enum {
	HAS_GET = 1,
	HAS_BATCH = 2,
	HAS_READ = 4,
	HAS_INSERT = 8,
	HAS_UPDATE = 16,
	HAS_WRITES = 32, /* INSERT or UPDATE, and the host calls its storage */
	HAS_APPLY = 64,
	HAS_EFFECT = 128,
	HAS_SETTLE = 256
};

/* Written by the child, read by its parent. */
typedef struct conform_report {
	/* Of the test that loads the plugin. */
	char plugin[80];
	uint32_t storage_count;
	struct {
		char name[80];
		uint32_t has;
	} storages[CONFORM_STORAGES];
	/* Of the test that runs. */
	uint32_t call_ms; /* of its storage */
	bool finished;
	bool dead_run; /* the crash was in memory of a run that is over */
	char skipped[120];
	uint32_t broken_count;
	struct {
		conform_rule rule;
		conform_call call;
		char found[400];
	} broken[CONFORM_BROKEN];
	struct {
		_Atomic int call; /* CALL_NONE: the plugin is not called */
		_Atomic int64_t entered;
		char with[64]; /* what it was given */
	} lanes[CONFORM_LANES];
	_Atomic int last; /* call that was begun last */
} conform_report;

/* What the tests share. */
typedef struct conform_suite {
	const char *file;
	const char *config_json; /* or NULL */
	stator_def *def; /* of `conform_schema` */
	conform_report *report;
} conform_suite;

/* What a key or a value is filled with. */
typedef enum conform_fill {
	FILL_GOOD, /* all fields; other values with another index */
	FILL_NOTHING,
	FILL_REQUIRED,
	FILL_EMPTY,
	FILL_HUGE,
	FILL_LOW,
	FILL_BINARY,
	FILL_OLDER, /* of a time when the type had no fields */
	FILL_COUNT
} conform_fill;

typedef struct conform_shape {
	const char *name;
	conform_fill fill;
	uint32_t index;
	int32_t without; /* field that is left out; -1: none */
	bool has_wsid;
	int64_t wsid;
} conform_shape;

struct conform_bench;

/* A thread that calls the plugin: one run after the other. */
typedef struct conform_lane {
	struct conform_bench *bench;
	uint32_t slot; /* in the report */
	uint32_t partition;
	stator_map *maps[CONFORM_PARTITIONS]; /* what is stored */
} conform_lane;

/* A run. It lies at the front of its own memory, which is gone after it. */
typedef struct conform_run {
	stator_io io; /* first: storages are given its `run` */
	conform_lane *lane;
	stator_arena arena;
	const char *end; /* of its memory */
	stator_view views[CONFORM_PARTITIONS];
	bool applying;
	uint32_t open_ranges;
	uint32_t store_calls;
	uint32_t fail_store_call; /* this one fails; 0: none */
	bool store_failed;
	bool put_refused;
} conform_run;

/* A plugin at work, and what it works on. */
typedef struct conform_bench {
	conform_suite *suite;
	stator_arena arena;
	pthread_mutex_t lock; /* of the report */
	pthread_mutex_t calls[CONFORM_PARTITIONS];
	const stator_host_api *host;
	stator_library *library;
	const stator_plugin *plugin;
	stator_row *configs;
	const stator_storage *storage;
	uint32_t has;
	stator_use use;
	conform_lane lane; /* of the thread that runs the test */
	/* Made by `bench_open`, taken down by `bench_close`. */
	void *data;
	void *selves[CONFORM_PARTITIONS];
	uint32_t attached;
} conform_bench;

/* Findings ---------------------------------------------------------------- */

void conform_broke(conform_bench *bench, conform_rule rule, conform_call call,
		   const char *format, ...) STATOR_PRINTF(4, 5);
void conform_skip(conform_bench *bench, const char *why);
const char *conform_call_name(int call);

/* The host ---------------------------------------------------------------- */

/* The host for the plugin of a child; called once, before that is loaded. */
const stator_host_api *conform_host_begin(conform_bench *bench);
/* The allocation that fails, counted from now; 0: none. */
void conform_fail_alloc(uint32_t at);
/* Whether it has failed. */
bool conform_alloc_failed(void);
/* Whether this was given by alloc, and has been freed. */
bool conform_is_freed(const void *p);
/* Blocks that are not freed yet. */
size_t conform_blocks(void);
/* Looks whether somebody has written behind the end of a block. */
void conform_check_bounds(conform_call call);
/* Memory for a run, and its end: who touches it then crashes. */
void *conform_run_memory(size_t *size);
void conform_run_memory_end(void *memory);

/* Rows -------------------------------------------------------------------- */

extern const char conform_schema[];
/* The types of keys and values of `bench->storage`. */
void conform_types(conform_bench *bench);
stator_row conform_row(conform_run *run, const stator_type *type,
		       const conform_shape *shape);
/* A good key or value. */
stator_row conform_good(conform_run *run, const stator_type *type,
			uint32_t index);
/* A good key, of which the first `count` fields are set. */
stator_row conform_prefix(conform_run *run, const stator_type *type,
			  uint32_t index, uint32_t count);
/* The shapes, one after the other; false at the end. */
bool conform_next_shape(const stator_type *type, uint32_t *at,
			conform_shape *shape);
bool conform_same_row(const stator_row *a, const stator_row *b);

/* Calls ------------------------------------------------------------------- */

/* Reads the configuration: once for a bench. */
bool conform_configure(conform_bench *bench);
/* Attaches all partitions; false when that failed, which has been said. */
bool conform_open(conform_bench *bench);
/* Takes it all down, and looks whether memory is left. */
void conform_close(conform_bench *bench);

int conform_init(conform_bench *bench, void **data);
int conform_attach(conform_bench *bench, void *data, uint32_t partition,
		   void *previous, void **self);
void conform_detach(conform_bench *bench, void *self);
void conform_finit(conform_bench *bench, void *data);

/* The lowest scope that may use the operation, among those of `scopes`. */
uint32_t conform_scope(const conform_bench *bench, int op);
conform_run *conform_run_begin(conform_lane *lane, uint32_t scope);
void conform_run_end(conform_run *run);
/* What the next calls are given, for findings. */
void conform_with(conform_lane *lane, const char *what);
const char *conform_given(const conform_lane *lane);

int conform_get(conform_run *run, const stator_row *key, stator_row *value);
int conform_get_batch(conform_run *run, const stator_row *keys, size_t count,
		      stator_row *values);
int conform_read(conform_run *run, const stator_row *key, bool reverse,
		 uint32_t limit, stator_cursor **cursor);
int conform_next(conform_run *run, stator_cursor *cursor, stator_row *key,
		 stator_row *value);
void conform_release(conform_run *run, stator_cursor *cursor);
stator_intent conform_intent(const conform_bench *bench, const stator_row *key,
			     const stator_row *value, bool is_new);
int conform_validate(conform_run *run, const stator_intent *items,
		     size_t count);
/* What it wrote is taken back when it fails. */
int conform_apply(conform_run *run, const stator_intent *items, size_t count);
int conform_effect(conform_run *run, const stator_intent *item);
/* Settles copies of them, in a run of its own; not when it has no settle. */
void conform_settle(conform_lane *lane, const stator_intent *items,
		    size_t count);
/* Most time for such a call, in ms. */
uint32_t conform_call_ms(const conform_report *report, int call);
/* Validates, and applies what would be taken. It is not settled. */
int conform_write(conform_run *run, const stator_row *key,
		  const stator_row *value, bool is_new);

/* Elements ---------------------------------------------------------------- */

enum {
	CONFORM_SEEDS = 12, /* elements that are written first */
	CONFORM_LOOKS = 16  /* elements that are looked at */
};

/* An element as `get` gave it, in memory that stays. */
typedef struct conform_element {
	int code;
	stator_row row;
} conform_element;

conform_element conform_look(conform_lane *lane, uint32_t index);
void conform_forget(conform_element *e);
bool conform_same(const conform_element *a, const conform_element *b);
/* CONFORM_LOOKS of them. */
void conform_look_at_all(conform_lane *lane, conform_element *all);
void conform_forget_all(conform_element *all);
/* Looks again, and says which rule is broken when something has changed. */
void conform_compare_all(conform_lane *lane, const conform_element *before,
			 conform_rule rule, conform_call call,
			 const char *since);
/* Whether intents are made by INSERT; where it is not offered, by UPDATE. */
bool conform_inserts(const conform_bench *bench);
uint32_t conform_write_scope(const conform_bench *bench);
/* Validates and applies; then it is settled, or its batch is taken back. */
int conform_write_good(conform_lane *lane, uint32_t index);
int conform_take_back_good(conform_lane *lane, uint32_t index);
/* Writes CONFORM_SEEDS elements; how many were taken. */
uint32_t conform_seed(conform_lane *lane);
extern const char conform_none_taken[];

typedef struct conform_rows {
	stator_row *keys, *values;
	size_t count, cap, value_cap;
} conform_rows;

typedef struct conform_reading {
	bool reverse;
	uint32_t limit;
	size_t stop; /* rows after which there is no `next`; 0: all */
} conform_reading;

/* Rows, then release. OK, or the error. */
int conform_read_rows(conform_run *run, const stator_row *key,
		      conform_reading how, conform_rows *all);
void conform_rows_free(conform_rows *all);

/* Tests ------------------------------------------------------------------- */

typedef struct conform_test {
	const char *title;
	uint32_t needs; /* HAS_..., all of them */
	bool vital;	/* without it there is no use in the others */
	void (*run)(conform_bench *bench);
} conform_test;

extern const conform_test conform_plugin_tests[];
extern const size_t conform_plugin_test_count;
extern const conform_test conform_storage_tests[];
extern const size_t conform_storage_test_count;

void conform_test_intents(conform_bench *bench);
void conform_test_validate(conform_bench *bench);
void conform_test_read_back(conform_bench *bench);
void conform_test_atomic(conform_bench *bench);
void conform_test_durable(conform_bench *bench);
void conform_test_update(conform_bench *bench);
void conform_test_effect(conform_bench *bench);
void conform_test_settle(conform_bench *bench);
void conform_test_store_fails(conform_bench *bench);
void conform_test_no_memory(conform_bench *bench);
void conform_test_scopes(conform_bench *bench);
void conform_test_hand_over(conform_bench *bench);
void conform_test_threads(conform_bench *bench);

#endif
