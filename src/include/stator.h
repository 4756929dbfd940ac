/*
 * stator.h: Stator inside a program of yours.
 *
 * A tour. A host holds applications; an application is an image (a folder with
 * schema and extensions) and a data folder. Requests go in as JSON, replies
 * come out as JSON, each on a thread of the host:
 *
 *	static void
 *	on_reply(void *ctx, const char *json, size_t size)
 *	{
 *		fwrite(json, 1, size, stdout);
 *		putchar('\n');
 *	}
 *
 *	stator_error err;
 *	stator_host *host;
 *
 *	stator_host_open(&host, NULL, &err);
 *	stator_host_deploy(host, "examples/restaurant", "data", NULL, &err);
 *	stator_host_submit(host, request, request_size, on_reply, NULL);
 *	stator_host_drain(host);
 *	stator_host_close(host);
 *
 * Caveats. A partition's data is opened by one process at a time. A reply is
 * given when its event is durable. `on_reply` runs on a thread of the host: it
 * must not block, nor call into the host. The host takes one signal, SIGURG
 * unless its options say another, to stop extensions that run too long; signals
 * of this number that are not its own go to the handler that stood before. It
 * has no globals but that, and never ends the process, except that running out
 * of memory does.
 *
 * Words: *borrowed until X*, *caller frees with Y*, *taken*; tags:
 * [any-thread], [run] (inside a builtin extension, on its thread).
 */
#ifndef STATOR_H
#define STATOR_H

#include "stator_plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define STATOR_API __attribute__((visibility("default")))
#else
#define STATOR_API
#endif

typedef struct stator_host stator_host;
typedef struct stator_state stator_state;

/* Name and text of a status; static strings. [any-thread] */
STATOR_API const char *stator_status_name(int code);
STATOR_API const char *stator_strerror(int code);
/* "1.0.0" [any-thread] */
STATOR_API const char *stator_version_string(void);

/* Hosts ------------------------------------------------------------------- */

/*
 * A function that extensions of ENGINE BUILTIN run. Returns STATOR_OK, or
 * fills `err` and returns its code. [run]
 */
typedef int (*stator_extension)(stator_state *state, void *ctx,
				stator_error *err);

/* Registered for all images that are deployed later. */
typedef struct stator_builtin {
	const char *name; /* QName, "restaurant.NewOrder" */
	stator_extension function;
	void *ctx; /* borrowed until the host is closed */
} stator_builtin;

/* A line of the log; strings are borrowed until the sink returns. */
typedef struct stator_log_line {
	uint32_t abi;
	uint32_t size;
	int32_t level; /* 1 error, 2 warning, 3 info, 4 verbose, 5 trace */
	uint32_t reserved;
	int64_t time_ms;     /* Unix time */
	const char *source;  /* who says it: an extension, "checkpoint" ... */
	const char *message; /* may have several lines */
	/* What it is about, as far as that is known. */
	const char *app;	/* "owner/name", or NULL */
	int64_t partition;	/* or -1 */
	int64_t wsid;		/* or 0 */
	const char *extension;	/* its QName, or NULL */
	int64_t offset;		/* of the event in the PLog, or 0 */
} stator_log_line;

/* From any thread of the host, several at once; it must not call the host. */
typedef void (*stator_on_log)(void *ctx, const stator_log_line *line);

enum { STATOR_LOG_FORMAT_TEXT = 0, STATOR_LOG_FORMAT_JSON = 1 };
/* What a request meets where there is no room for it. */
enum { STATOR_FULL_WAIT = 0, STATOR_FULL_BUSY = 1 };

typedef struct stator_host_opts {
	uint32_t abi;
	uint32_t size;
	const stator_builtin *builtins; /* copied */
	size_t builtin_count;
	uint32_t queue; /* requests that wait at a partition; 0: 4096 */
	int32_t log_level; /* 1 errors ... 5 trace; 0: 3 */
	/* Storages for the packages of all images: linked in, or `.so` files.
	 * The arrays are copied; plugins are borrowed until the host is
	 * closed. */
	const stator_plugin *const *plugins;
	size_t plugin_count;
	const char *const *plugin_files;
	size_t plugin_file_count;
	/*
	 * How runs that use up their time are stopped: STATOR_PREEMPTION_AUTO
	 * interrupts their threads with a signal where a self-test shows that
	 * this works, and falls back to STATOR_PREEMPTION_FUEL, checks that are
	 * put into the loops of modules. docs/preemption.md says more.
	 */
	int32_t preemption;
	int32_t preempt_signal; /* 0: SIGURG; the first host of a process says */
	/* Where lines of the log go; NULL: to stderr, as `log_format` says. */
	stator_on_log on_log;
	void *log_ctx;
	int32_t log_format; /* one of STATOR_LOG_FORMAT_... */
	/*
	 * A request for which there is no room: STATOR_FULL_WAIT has
	 * `stator_host_submit` wait for it, STATOR_FULL_BUSY answers 503 BUSY
	 * at once.
	 */
	int32_t when_full;
	/*
	 * The time of requests, events and jobs: Unix time in ms, never going
	 * back; NULL: the system's clock. Called from all threads of the host.
	 * With a clock of your own jobs run when `stator_host_run_jobs` says
	 * so, and never by themselves. With `set_clock`, too, the host may move
	 * it, and takes requests for that: docs/requests.md.
	 */
	int64_t (*clock)(void *ctx);
	void (*set_clock)(void *ctx, int64_t now_ms);
	void *clock_ctx; /* borrowed until the host is closed */
} stator_host_opts;
#define STATOR_HOST_OPTS_INIT                                               \
	{STATOR_ABI, sizeof(stator_host_opts), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
	 0, 0, 0, 0, 0, 0, 0}

enum { STATOR_PREEMPTION_AUTO = 0, STATOR_PREEMPTION_FUEL = 1 };

/* `opts` may be NULL. Caller frees with `stator_host_close`. [any-thread] */
STATOR_API int stator_host_open(stator_host **out,
				const stator_host_opts *opts,
				stator_error *err);
/* Answers everything that was accepted, then stops. [any-thread] */
STATOR_API void stator_host_close(stator_host *host);

/*
 * One thing that is wrong with an image, or, if the message begins with
 * "warning: ", that is right but worth a word; strings borrowed until it
 * returns.
 */
typedef void (*stator_on_problem)(void *ctx, const char *file, int line,
				  int col, const char *message);

/* What an image is expected to be; EXISTS or NOT_FOUND when it is not. */
enum {
	STATOR_DEPLOY_ANY = 0,
	STATOR_DEPLOY_NEW = 1,	  /* of an application that is not there yet */
	STATOR_DEPLOY_VERSION = 2 /* a version of one that is */
};

typedef struct stator_deploy_opts {
	uint32_t abi;
	uint32_t size;
	uint32_t partitions; /* 0: as the data has, or the descriptor says */
	stator_on_problem on_problem;
	void *ctx; /* for on_problem */
	int32_t expect; /* one of STATOR_DEPLOY_... */
	int32_t reserved;
} stator_deploy_opts;
#define STATOR_DEPLOY_OPTS_INIT \
	{STATOR_ABI, sizeof(stator_deploy_opts), 0, 0, 0, 0, 0}

/*
 * Loads an image and opens its data, which is made when it is missing.
 * STATOR_IMAGE when the image has errors, or its schema does not fit the data:
 * `on_problem` was given all of them, `err` the first. `opts` may be NULL.
 *
 * A second call, for an image of the same application, puts a new version in
 * the place of the one that runs, while requests are served: runs that began
 * on the old version end on it; when this returns, all later ones are of the
 * new. A version with errors changes nothing. An image of another application
 * is deployed beside it: it has its own partitions, and may have its own data
 * folder; requests name theirs then, {"app":"owner/name", ...}. [any-thread]
 */
STATOR_API int stator_host_deploy(stator_host *host, const char *image,
				  const char *data,
				  const stator_deploy_opts *opts,
				  stator_error *err);

/*
 * Everything that is wrong with an image: their number; 0 means that it can be
 * deployed. Whether builtin extensions are there is not asked. Warnings, which
 * only this gives, do not count. `opts` may be NULL; of it, only the plugins
 * count. [any-thread]
 */
STATOR_API int stator_check(const char *image, const stator_host_opts *opts,
			    stator_on_problem on_problem, void *ctx);

/* Called once for each request. `json` is borrowed until it returns. */
typedef void (*stator_on_reply)(void *ctx, const char *json, size_t size);

/*
 * Hands in a request: one JSON object, copied. There is no room for it while
 * the partition's queue is full, for a query also while 4,096 of them are under
 * way: then it waits, or is answered BUSY, as the options of the host say. A
 * request that moves the clock waits until everything is answered and the jobs
 * have run. The
 * reply may come before this returns. [any-thread]
 */
STATOR_API void stator_host_submit(stator_host *host, const char *request,
				   size_t size, stator_on_reply on_reply,
				   void *ctx);
/*
 * Waits until everything that was handed in before is answered and the
 * asynchronous projectors have caught up. [any-thread]
 */
STATOR_API void stator_host_drain(stator_host *host);

/*
 * For a host with a clock of its own: runs every job that is due, and waits
 * until that is done. With `set_clock` time goes on to `to_ms`, from tick to
 * tick: each run finds the time of its tick. Without, `to_ms` is 0, and of
 * several ticks that are due the last one counts. Tells how many runs there
 * were and how many of them failed; both may be NULL. Not from `on_reply`.
 * [any-thread]
 */
STATOR_API int stator_host_run_jobs(stator_host *host, int64_t to_ms,
				    uint64_t *runs, uint64_t *failures,
				    stator_error *err);
/*
 * "2026-01-31T23:59:00Z" as Unix time in ms: OK, or an error that says what is
 * wrong. [any-thread]
 */
STATOR_API int stator_time(const char *text, int64_t *ms, stator_error *err);

/* What `stator dump` prints. */
typedef struct stator_dump_opts {
	uint32_t abi;
	uint32_t size;
	const char *what;   /* "view", "record", "wlog", "plog", "log" */
	const char *entity; /* of "view" and "record" */
	int64_t wsid;	    /* 0: all */
	int64_t partition;  /* -1: all */
} stator_dump_opts;
#define STATOR_DUMP_OPTS_INIT \
	{STATOR_ABI, sizeof(stator_dump_opts), 0, 0, 0, -1}

/*
 * Gives each line of a dump to `on_line`, as it gives replies. Data may be in
 * use by another process. [any-thread]
 */
STATOR_API int stator_dump(const char *image, const char *data,
			   const stator_dump_opts *opts,
			   stator_on_reply on_line, void *ctx,
			   stator_error *err);

/*
 * As `stator_check`, and with it what the image would break in the data that is
 * there, which its deployment would be refused for. Data may be in use.
 * [any-thread]
 */
STATOR_API int stator_check_data(const char *image, const char *data,
				 const stator_host_opts *opts,
				 stator_on_problem on_problem, void *ctx);

/* Asynchronous projectors -------------------------------------------------- */

enum {
	STATOR_PROJECTORS_LIST = 0,
	STATOR_PROJECTORS_RETRY = 1,   /* those that are parked */
	STATOR_PROJECTORS_SKIP = 2,    /* goes on behind `event` */
	STATOR_PROJECTORS_REBUILD = 3  /* drops its views, and begins anew */
};

typedef struct stator_projectors_opts {
	uint32_t abi;
	uint32_t size;
	int32_t action;	       /* STATOR_PROJECTORS_... */
	int32_t as_json;       /* 0: lines for people */
	const char *projector; /* QName; NULL: all, or the one that is parked */
	int64_t event;	       /* of the partition's log, to be skipped */
	int64_t partition;     /* -1: all */
	/* For an action, which has the application at work: as when it is
	 * deployed. Both may be NULL. */
	const stator_host_opts *host;
	stator_on_problem on_problem;
	void *problem_ctx;
} stator_projectors_opts;
#define STATOR_PROJECTORS_OPTS_INIT \
	{STATOR_ABI, sizeof(stator_projectors_opts), 0, 0, 0, 0, -1, 0, 0, 0}

/*
 * Gives a line for each asynchronous projector and partition: where it stands,
 * and what it fails on. Data may be in use by another process. An action is for
 * data that is not: it has the application run until its projectors have
 * caught up or are parked, then gives the lines; an error, when one of those
 * that it was for is parked again. On a host that runs, the requests sys.Retry,
 * sys.Skip, sys.Rebuild and sys.Projectors do the same. `opts` may be NULL.
 * [any-thread]
 */
STATOR_API int stator_projectors(const char *image, const char *data,
				 const stator_projectors_opts *opts,
				 stator_on_reply on_line, void *ctx,
				 stator_error *err);
/* Upkeep ------------------------------------------------------------------ */

/*
 * What these functions have to say comes as lines, each for a person or, with
 * `as_json`, one JSON object. Data that is given by its folder may be in use by
 * another process, but not by a host of this one.
 */
typedef struct stator_upkeep_opts {
	uint32_t abi;
	uint32_t size;
	int32_t as_json;
	/* Of `stator_verify`: 1 does not replay events. */
	int32_t quick;
	stator_on_reply on_line; /* or NULL */
	/* `done` of about `whole`, in a partition (or -1) of so many; of what,
	 * `unit` says: "bytes", "events", "rows". Or NULL. */
	void (*on_progress)(void *ctx, int64_t partition, uint32_t partitions,
			    const char *unit, uint64_t done, uint64_t whole);
	void *ctx; /* for both */
	/* Of `stator_verify`: storages that the schema names. */
	const char *const *plugin_files;
	size_t plugin_file_count;
	/* Where `stator_verify` makes its folder; NULL: in the data's. */
	const char *scratch;
	/* Of `stator_host_backup`: the application; NULL: the only one. */
	const char *app;
} stator_upkeep_opts;
#define STATOR_UPKEEP_OPTS_INIT \
	{STATOR_ABI, sizeof(stator_upkeep_opts), 0, 0, 0, 0, 0, 0, 0, 0, 0}

/* What partitions hold, counted: one line each, or several for a person. `opts`
 * may be NULL in all of these. [any-thread] */
STATOR_API int stator_stat(const char *image, const char *data,
			   const stator_upkeep_opts *opts, stator_error *err);

/*
 * Copies the data of an application into the folder `to`, which is made if it
 * is missing, and has no backup of it yet: EXISTS otherwise. Of each partition
 * it has what was committed before the call, and of what is committed
 * meanwhile, nothing without what came before. A backup is data: it can be
 * opened, and replays its log then. If it fails, nothing is left of it.
 * [any-thread]
 */
STATOR_API int stator_backup(const char *image, const char *data,
			     const char *to, const stator_upkeep_opts *opts,
			     stator_error *err);
/* The same of an application that a host runs, which goes on, and is not to be
 * closed meanwhile. [any-thread] */
STATOR_API int stator_host_backup(stator_host *host, const char *to,
				  const stator_upkeep_opts *opts,
				  stator_error *err);
/*
 * Brings a backup back into the folder `data`, where the application must not
 * have any: EXISTS otherwise. All is checked on the way, and walked through as
 * `stator_verify` does; CORRUPT when there is something wrong, which `on_line`
 * is told, and nothing is left in `data`. [any-thread]
 */
STATOR_API int stator_restore(const char *image, const char *from,
			      const char *data, const stator_upkeep_opts *opts,
			      stator_error *err);

/*
 * Walks through all partitions, then replays their events and compares: a line
 * for each thing that is wrong, or worth a word (a warning). OK when nothing is
 * wrong, CORRUPT otherwise, or why it could not be done. docs/operating.md says
 * what is looked at. [any-thread]
 */
STATOR_API int stator_verify(const char *image, const char *data,
			     const stator_upkeep_opts *opts,
			     stator_error *err);

/* Plugins ----------------------------------------------------------------- */

/*
 * Tries a plugin out: loads `file`, calls everything that it declares, with
 * what is usual and what is not, and holds what comes back against
 * stator_plugin.h. `on_line` is given lines of TAP; a "not ok" names the rule
 * that was broken. `config_json` is an object with an object for each storage
 * that is configured, or the configuration itself when there is one storage,
 * or NULL. Each test runs in a process of its own, which
 * a crash or a hang ends; so the caller had better have one thread. Returns
 * how many tests failed. [any-thread]
 */
STATOR_API int stator_plugin_conform(const char *file, const char *config_json,
				     stator_on_reply on_line, void *ctx);

/*
 * Says what a plugin is: its storages, their fields, operations, scopes and
 * configuration, as lines for people or, `as_json`, one JSON object. OK, or
 * STATOR_IMAGE when it cannot be loaded, and why. [any-thread]
 */
STATOR_API int stator_plugin_describe(const char *file, int as_json,
				      stator_on_reply on_line, void *ctx,
				      stator_error *err);

/* State, for builtin extensions ------------------------------------------ */

/* A key or the values of an intent, by field names. Lives until the run ends.
 */
typedef struct stator_fields stator_fields;

/*
 * A key of a storage: "sys.View" and "restaurant.Sales"; `entity` is NULL for
 * storages without entities. NULL and `err` when there is no such thing. [run]
 */
STATOR_API stator_fields *stator_key(stator_state *state, const char *storage,
				     const char *entity, stator_error *err);
/* Sets a field: OK, or an error that names it. [run] */
STATOR_API int stator_set_int(stator_fields *fields, const char *name,
			      int64_t value, stator_error *err);
STATOR_API int stator_set_float(stator_fields *fields, const char *name,
				double value, stator_error *err);
STATOR_API int stator_set_bytes(stator_fields *fields, const char *name,
				const void *data, size_t size,
				stator_error *err);

/* OK and `row` (borrowed until the run ends), NONE, or an error. [run] */
STATOR_API int stator_get(stator_state *state, stator_fields *key,
			  stator_row *row, stator_error *err);
/* Rows whose key begins with this one; closed when the run ends. [run] */
STATOR_API int stator_read(stator_state *state, stator_fields *key, int reverse,
			   uint32_t limit, stator_cursor **cursor,
			   stator_error *err);
STATOR_API int stator_next(stator_state *state, stator_fields *key,
			   stator_cursor *cursor, stator_row *key_row,
			   stator_row *row, stator_error *err);
/* Intents: set the fields of what is returned. NULL and `err` else. [run] */
STATOR_API stator_fields *stator_new(stator_state *state, stator_fields *key,
				     stator_error *err);
STATOR_API stator_fields *stator_update(stator_state *state,
					stator_fields *key,
					const stator_row *row,
					stator_error *err);

/* The argument, the unlogged one, the event: OK or NONE. [run] */
STATOR_API int stator_argument(stator_state *state, stator_row *row);
STATOR_API int stator_unlogged(stator_state *state, stator_row *row);
STATOR_API int stator_event(stator_state *state, stator_row *row);
/* The run: workspace, offsets, extension. Borrowed until it ends. [run] */
STATOR_API const stator_run *stator_state_run(const stator_state *state);

/* Fields of a row: 1, or 0 when null or no such field. [run] */
STATOR_API int stator_row_int(const stator_row *row, const char *name,
			      int64_t *value);
STATOR_API int stator_row_float(const stator_row *row, const char *name,
				double *value);
STATOR_API int stator_row_bytes(const stator_row *row, const char *name,
				stator_slice *value);
/* Nested rows: how many, and the one at `index`: OK or NONE. [run] */
STATOR_API uint32_t stator_row_count(const stator_row *row, const char *name);
STATOR_API int stator_row_child(stator_state *state, const stator_row *row,
				const char *name, uint32_t index,
				stator_row *child);

#ifdef __cplusplus
}
#endif
#endif
