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
 *	if (stator_host_open(&host, NULL, &err) ||
 *	    stator_host_deploy(host, "examples/restaurant", "data", NULL,
 *			       &err)) {
 *		fprintf(stderr, "%s: %s\n", stator_status_name(err.code),
 *			err.msg);
 *		return 1;
 *	}
 *	stator_host_submit(host, request, request_size, on_reply, NULL);
 *	stator_host_drain(host);
 *	stator_host_close(host);
 *
 * Or one at a time: `stator_host_call` gives the reply back. Requests and
 * replies are those of `stator run` (docs/requests.md):
 *
 *	{"id":1,"wsid":7,"command":"restaurant.NewOrder","args":{...}}
 *	{"id":1,"status":200,"offset":1,"new_ids":{...},"result":{...}}
 *
 * Below, in this order: status and errors, memory, hosts and their options,
 * deploying, requests, partitions on threads of your own, metrics, data that is
 * looked at from outside, upkeep, plugins, and state for extensions in C.
 * docs/embedding.md tells it as a story; examples/partition-processor is a
 * whole program.
 *
 * Functions that can fail return a status of stator_plugin.h: STATOR_OK is 0,
 * STATOR_NONE is 1 and no error, errors are negative. Then `err` has the code
 * and one line of text; what is in it otherwise means nothing. It may be NULL,
 * but not inside of a run. What is NULL and must not be, or is none of the
 * values that it may have, is INVALID, and `err` names it. Structs of options
 * begin with their ..._INIT: it says how large they were when your program was
 * compiled, and later versions add fields at the end only.
 *
 * Threads. A host has, for each partition, a thread that runs commands and one
 * that makes them durable (none of them with STATOR_THREADS_OWN), one for its
 * asynchronous projectors, one for its jobs, and one for its store; for the
 * application those that run queries; for the process one that watches over
 * time. All of them have ended when `stator_host_close` returns. Callbacks say
 * on which they run. `on_reply` and `on_log` must not block, nor call into the
 * host: what waits for the partition waits for them.
 *
 * Caveats. A partition's data is opened by one process at a time, and by this
 * one once. A reply is given when its event is durable. Of what belongs to the
 * process, Stator takes one signal, SIGURG unless the options say another, to
 * stop extensions that run too long; signals of this number that are not its
 * own go to the handler that stood before, which has it back when the last
 * host is closed, and with STATOR_PREEMPTION_FUEL it takes none. Threads that
 * run extensions must not block it; one of yours that does gets an alternate
 * signal stack if it has none. Neither the allocator nor that signal are a
 * host's; there are no other globals, and two hosts know nothing of each
 * other. The process is never ended, except that running out of memory does. A
 * child that is forked leaves its parent's hosts alone; it may open others.
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

/* Status ------------------------------------------------------------------ */

/* Name and text of a status; static strings. [any-thread] */
STATOR_API const char *stator_status_name(int code);
STATOR_API const char *stator_strerror(int code);
/* "1.0.0" [any-thread] */
STATOR_API const char *stator_version_string(void);

/*
 * Fills `err`, unless it is NULL, with the code and one line of text, and
 * returns the code: what an extension in C fails with. [any-thread]
 */
STATOR_API int stator_fail(stator_error *err, int code, const char *format,
			   ...)
#if defined(__GNUC__)
	__attribute__((format(printf, 3, 4)))
#endif
	;

/* Memory ------------------------------------------------------------------ */

/*
 * Where memory comes from, as malloc, realloc and free give it: aligned for any
 * type, NULL when there is none, which ends the process. `realloc` and `free`
 * are never given NULL. Called from all threads, several at once, and in
 * processes that are forked for plugins that are isolated.
 */
typedef struct stator_allocator {
	uint32_t abi;
	uint32_t size;
	void *(*alloc)(void *ctx, size_t size);
	void *(*realloc)(void *ctx, void *p, size_t size);
	void (*free)(void *ctx, void *p);
	void *ctx; /* borrowed for ever */
} stator_allocator;
#define STATOR_ALLOCATOR_INIT \
	{STATOR_ABI, sizeof(stator_allocator), 0, 0, 0, 0}

/*
 * For the process, and before anything else of this header has taken memory:
 * INVALID otherwise, and nothing has changed. From then on all that Stator
 * takes by malloc comes from there: requests, replies, batches, runs, what
 * plugins take from the host, what JSON is read into. Not from there: the
 * states of Lua, the overlay's tables and signal stacks, which are mapped
 * (mmap) because they have limits or guards of their own; the overlay's large
 * blocks, which need an alignment; what LMDB, PCRE2 (CHECK '...'), the schema
 * compiler's Lua state and libc take for themselves. [any-thread]
 */
STATOR_API int stator_set_allocator(const stator_allocator *allocator,
				    stator_error *err);
/* Gives back what functions below say that the caller frees; NULL is nothing.
 * [any-thread] */
STATOR_API void stator_free(void *p);

/* Hosts ------------------------------------------------------------------- */

/*
 * A function that extensions of ENGINE BUILTIN run. Returns STATOR_OK, or
 * fills `err`, which is empty when it begins (`stator_fail` does that), and
 * returns its code: an error, whose name and status the reply has. A status and
 * a text of its own it gives with an intent on sys.Response, and returns OK.
 * [run]
 */
typedef int (*stator_extension)(stator_state *state, void *ctx,
				stator_error *err);

/* Registered for all images of the host; none of them has to declare it. */
typedef struct stator_builtin {
	const char *name; /* QName, "restaurant.NewOrder"; copied */
	stator_extension function;
	void *ctx; /* borrowed until the host is closed */
} stator_builtin;

/* A line of the log; strings are borrowed until the sink returns. */
typedef struct stator_log_line {
	uint32_t abi;
	uint32_t size;
	int32_t level; /* 1 error, 2 warning, 3 info, 4 verbose, 5 trace */
	uint32_t reserved;
	int64_t time_ms;     /* Unix time, by the system's clock */
	const char *source;  /* who says it: an extension, "checkpoint" ... */
	const char *message; /* may have several lines */
	/* What it is about, as far as that is known. */
	const char *app;	/* "owner/name", or NULL */
	int64_t partition;	/* or -1 */
	int64_t wsid;		/* or 0 */
	const char *extension;	/* its QName, or NULL */
	int64_t offset;		/* of the event in the PLog, or 0 */
} stator_log_line;

/* From any thread that works for the host, several at once; it must not call
 * the host. */
typedef void (*stator_on_log)(void *ctx, const stator_log_line *line);

enum { STATOR_LOG_FORMAT_TEXT = 0, STATOR_LOG_FORMAT_JSON = 1 };
/* What a request meets where there is no room for it. */
enum { STATOR_FULL_WAIT = 0, STATOR_FULL_BUSY = 1 };
/* Who runs the commands of partitions: see `stator_host_run_partition`. */
enum { STATOR_THREADS_HOST = 0, STATOR_THREADS_OWN = 1 };

typedef struct stator_host_opts {
	uint32_t abi;
	uint32_t size;
	const stator_builtin *builtins; /* copied; each name once */
	size_t builtin_count;
	uint32_t queue; /* requests that wait at a partition; 0: 4096 */
	int32_t log_level; /* 1 errors ... 5 trace; 0: 3 */
	/* Storages for the packages of all images: linked in, or `.so` files.
	 * The arrays and paths are copied; plugins are borrowed until the host
	 * is closed. What is wrong with one is told when an image is deployed. */
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
	/* STATOR_THREADS_OWN: commands run on threads of yours. */
	int32_t threads;
	uint32_t reserved;
	/*
	 * With STATOR_THREADS_OWN, or NULL: a request waits at a partition where
	 * none did, so somebody is to run it. On the thread that hands the
	 * request in; it must not call the host.
	 */
	void (*on_work)(void *ctx, const char *app, uint32_t partition);
	void *work_ctx; /* for on_work */
} stator_host_opts;
#define STATOR_HOST_OPTS_INIT                                               \
	{STATOR_ABI, sizeof(stator_host_opts), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
	 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

enum { STATOR_PREEMPTION_AUTO = 0, STATOR_PREEMPTION_FUEL = 1 };

/*
 * `opts` may be NULL, and is copied as far as nothing else is said there.
 * INVALID when an option is wrong; `*out` is left alone then. Caller frees
 * with `stator_host_close`. [any-thread]
 */
STATOR_API int stator_host_open(stator_host **out,
				const stator_host_opts *opts,
				stator_error *err);
/*
 * Ends a host's work: requests that are handed in from now on are answered 503
 * BUSY, those that were before get their replies, asynchronous projectors end
 * where they are (to have them catch up, drain first), and threads end. When it
 * returns no callback of a request comes any more. What is left is to close the
 * host, and to look at its metrics. It may be called again. With threads of
 * your own: from now on `stator_host_run_partition` returns NONE once all is
 * answered, and where none of your threads comes, one of the host's does what
 * is left: so it ends, whether they have been joined or not. Not from
 * callbacks, nor from a thread that is inside a run. [any-thread]
 */
STATOR_API void stator_host_stop(stator_host *host);
/*
 * Stops the host, unless that is done, and frees it; NULL is nothing. No other
 * thread may be in a function of this host, or call one: threads that run
 * partitions are joined before, after `stator_host_stop`. [any-thread]
 */
STATOR_API void stator_host_close(stator_host *host);

/* Deploying --------------------------------------------------------------- */

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
	/* 0: as the data has, or the descriptor says; at most 65535. INVALID
	 * when the data has another number. */
	uint32_t partitions;
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
 * `on_problem` was given all of them, `err` the first. `on_problem` is called
 * by this function only. IO when the data cannot be opened, or is another
 * process's; INVALID when it is open in this one. `opts` may be NULL.
 *
 * A second call, for an image of the same application, puts a new version in
 * the place of the one that runs, while requests are served: runs that began
 * on the old version end on it; when this returns, all later ones are of the
 * new. A version with errors changes nothing. `data` is the same as before:
 * INVALID otherwise. An image of another application
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

/* Requests ---------------------------------------------------------------- */

/*
 * A reply, once for each request: a JSON object, without a newline, and without
 * a NUL behind it; borrowed until it returns. Commands of a workspace are
 * replied to in the order in which they came in; queries when they are done. On
 * a thread of the host, or of yours that runs the partition; what is refused at
 * once is so on the thread that hands it in.
 */
typedef void (*stator_on_reply)(void *ctx, const char *json, size_t size);

/*
 * Hands in a request: one JSON object, copied. It is answered, whatever is
 * wrong with it. There is no room for it while the partition's queue is full,
 * for a query also while 4,096 of them are under way: then it waits, or is
 * answered BUSY, as the options of the host say (a thread that runs the
 * partition never waits for itself: BUSY). A request that moves the clock waits
 * until everything is answered and the jobs have run. The reply may come before
 * this returns; `on_reply` may be NULL. Not from `on_reply`, nor from an
 * extension. [any-thread]
 */
STATOR_API void stator_host_submit(stator_host *host, const char *request,
				   size_t size, stator_on_reply on_reply,
				   void *ctx);
/*
 * Hands in a request as `stator_host_submit` does, waits for its reply, and
 * returns the status in that: 200, or what went wrong (a number of three
 * digits, as docs/requests.md has them). `reply` gets the JSON, with a NUL
 * behind it, `reply_size` its length without that; both may be NULL. Caller
 * frees `*reply` with `stator_free`. On a thread that runs partitions (below)
 * it runs them meanwhile. Not from `on_reply`, nor from an extension.
 * [any-thread]
 */
STATOR_API int stator_host_call(stator_host *host, const char *request,
				size_t size, char **reply, size_t *reply_size);
/*
 * Waits until everything that was handed in before is answered and the
 * asynchronous projectors have caught up, or are parked. A new version waits
 * for them meanwhile. On a thread that runs partitions it runs them meanwhile.
 * Not from `on_reply`, nor from an extension. [any-thread]
 */
STATOR_API void stator_host_drain(stator_host *host);

/*
 * For a host with a clock of its own: runs every job that is due, and waits
 * until that is done. With `set_clock` time goes on to `to_ms`, from tick to
 * tick: each run finds the time of its tick. With 0, and so without
 * `set_clock`, time stays, and of several ticks that are due the last one
 * counts. Tells how many runs there were and how many of them failed; both may
 * be NULL. Not from `on_reply`. [any-thread]
 */
STATOR_API int stator_host_run_jobs(stator_host *host, int64_t to_ms,
				    uint64_t *runs, uint64_t *failures,
				    stator_error *err);
/*
 * "2026-01-31T23:59:00Z" as Unix time in ms: OK, or an error that says what is
 * wrong. [any-thread]
 */
STATOR_API int stator_time(const char *text, int64_t *ms, stator_error *err);

/* Partitions on threads of your own ---------------------------------------- */

/*
 * How many partitions an application has, 0 when it is not deployed; `app` is
 * its name, "owner/name", or NULL when there is only one. Requests of workspace
 * w go to partition w % partitions. [any-thread]
 */
STATOR_API uint32_t stator_host_partitions(stator_host *host, const char *app);
/*
 * For a host with STATOR_THREADS_OWN: waits until requests wait at this
 * partition, for `timeout_ms` at most (0: not at all; less: as long as it
 * takes), then runs all of them that wait, makes them durable together and
 * gives their replies; queries it only starts. `served` gets their number,
 * which is 0 when none came; it may be NULL. OK; NONE when the host was stopped
 * and all is answered: leave then; NOT_FOUND, INVALID when there is no such
 * application or partition, or the host has threads of its own.
 *
 *	while (stator_host_run_partition(host, NULL, i, -1, NULL, &err) ==
 *	       STATOR_OK)
 *		;
 *
 * A thread may run several partitions in turn, with `on_work` to know which.
 * Threads at the same partition take turns, too, so that all runs of it come
 * one after the other. Bundles of asynchronous projectors and new versions use
 * such a turn on threads of the host, between two calls or while this one
 * waits; so nothing but requests waits for yours. No extension of a command
 * runs on another thread, but for what `stator_host_stop` does. [any-thread]
 */
STATOR_API int stator_host_run_partition(stator_host *host, const char *app,
					 uint32_t partition, int64_t timeout_ms,
					 size_t *served, stator_error *err);

/* Metrics ----------------------------------------------------------------- */

/*
 * What has been counted since the application was deployed first, as lines of
 * JSON, each with a "kind":
 *
 *	host       open, open_queries: requests under way, until `on_reply` has
 *		   returned; refused: not taken
 *	partition  waiting: requests in its queue; events; commands, queries and
 *		   how many of these failed; commits: their times
 *	projector  of a partition, asynchronous: offset of the last event that
 *		   it has seen, lag: how many there are behind that
 *	extension  runs, errors (of runs), limits (of errors), refused: not
 *		   begun, in quarantine; time: of its runs
 *	storage    calls by extensions, errors; timed, timed_ns: how many of the
 *		   calls were timed, and how long those took together
 *
 * Times are objects: count, sum_ns, max_ns, p50_ns, p90_ns, p99_ns, p999_ns,
 * and buckets: [[end, count], ...], where what took less than `end` ns, and
 * not less than the end before it, is counted; a bucket is an eighth wide. All
 * calls of a storage are timed when they take more than 5 us, else each 64th.
 * Extensions and storages are counted over all partitions and versions.
 *
 * `on_line` is called as for replies, and by this function only. [any-thread],
 * also from callbacks and extensions.
 */
STATOR_API void stator_host_metrics(stator_host *host, stator_on_reply on_line,
				    void *ctx);

/* Data from outside ------------------------------------------------------- */

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
 * use by another process, but not by this one: INVALID then. [any-thread]
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
 * and what it fails on. Data may be in use by another process, but not by this
 * one: INVALID then; ask a host with sys.Projectors. An action is for
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
 * another process, but not by this one: INVALID then.
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
	/* Of `stator_verify`: storages that are linked in. */
	const stator_plugin *const *plugins;
	size_t plugin_count;
} stator_upkeep_opts;
#define STATOR_UPKEEP_OPTS_INIT                                          \
	{STATOR_ABI, sizeof(stator_upkeep_opts), 0, 0, 0, 0, 0, 0, 0, 0, \
	 0, 0, 0}

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

/*
 * A key or the values of an intent, by field names. Lives until the run ends.
 * Below, a NULL that one function gave can be handed to the next one, with the
 * same `err`: it fails for the same reason. So to look at the end is enough.
 */
typedef struct stator_fields stator_fields;

/*
 * A key of a storage: "sys.View" and "restaurant.Sales"; `entity` is NULL for
 * storages without entities. NULL and `err` when there is no such thing. [run]
 */
STATOR_API stator_fields *stator_key(stator_state *state, const char *storage,
				     const char *entity, stator_error *err);
/* Sets a field: OK, or an error that names it. Whole numbers, references and
 * booleans (1, 0) are ints; texts, bytes and QNames are bytes, which are
 * copied. What is not set is null; nested rows cannot be set. [run] */
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

/*
 * The ID that `stator_new` has given a record, to be put into refs and results:
 * a raw one, in the place of which comes the real one when the run has ended; 0
 * for all that is not a new record. [run]
 */
STATOR_API int64_t stator_new_id(const stator_fields *fields);

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
