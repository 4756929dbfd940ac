/*
 * app.h: an application: its image, checked and compiled, and its partitions.
 *
 * An image becomes an `stator_version`: definition, storages, modules; it does
 * not change, and every thread may read it. A partition is a store, read and
 * written by its threads through workers. A worker is what one thread needs to
 * run extensions of one partition: a state and an engine for each package.
 */
#ifndef STATOR_APP_H
#define STATOR_APP_H

#include <pthread.h>

#include "app/metrics.h"
#include "engine/engine.h"

typedef enum stator_durability {
	STATOR_DURABILITY_LOG,
	STATOR_DURABILITY_STORE,
	STATOR_DURABILITY_NONE
} stator_durability;

/* How asynchronous projectors work. */
typedef struct stator_projecting {
	uint32_t bundle, bundle_ms; /* runs of a bundle, and how long it takes */
	uint32_t tries;		    /* of an event, before it is parked at it */
	uint32_t wait_ms;	    /* at most, behind the first of these */
	uint32_t most_wait_ms;	    /* at most, behind any */
} stator_projecting;

/* What descriptor.json says, with its defaults. */
typedef struct stator_descriptor {
	const char *file;
	stator_slice text;
	const char *app; /* NULL: not said */
	const char *version;
	uint32_t partitions;
	uint32_t app_workspaces;
	uint32_t query_engines;
	stator_limits limits;
	stator_reset reset;
	stator_durability durability;
	stator_projecting projecting;
	uint64_t log_memory; /* for what is in the log only, all partitions */
	const struct stator_json *packages; /* limits, reset of single ones */
	const struct stator_json *storages; /* configuration, isolation */
} stator_descriptor;

/* Reads descriptor.json; what is wrong is added to the problems. */
void stator__descriptor_read(stator_descriptor *d, stator_arena *arena,
			     const char *path, stator_problems *problems);
/* What holds for one package. */
void stator__descriptor_package(const stator_descriptor *d,
				const char *package, stator_limits *limits,
				stator_reset *reset);

typedef struct stator_package_files {
	const char *folder;
	const stator_module *modules;
	size_t module_count;
} stator_package_files;

/* What a version is wanted for. */
typedef enum stator_purpose {
	STATOR_TO_RUN,	 /* everything must be there */
	STATOR_TO_CHECK, /* builtin extensions are the embedder's */
	STATOR_TO_READ	 /* only the schema matters */
} stator_purpose;

/* The host's clock, as in stator_host_opts: zero is the system's. */
typedef struct stator_clock {
	int64_t (*now)(void *ctx);
	void (*set)(void *ctx, int64_t ms);
	void *ctx;
} stator_clock;

int64_t stator__clock_now(const stator_clock *clock);

/* What the host brings to every image. Borrowed as long as the version. */
typedef struct stator_load_opts {
	stator_purpose purpose;
	const stator_builtin *builtins;
	size_t builtin_count;
	const stator_plugin *const *plugins; /* linked in */
	size_t plugin_count;
	const char *const *plugin_files;
	size_t plugin_file_count;
	const char *plugin_folder; /* for copies of plugins; NULL: none kept */
	int32_t preemption, preempt_signal; /* as in stator_host_opts */
	stator_clock clock;
} stator_load_opts;

/*
 * The workspaces that an application has for itself, in which jobs run: as many
 * as the descriptor says, from this one on. They are like any other to who
 * sends requests.
 */
#define STATOR_APP_WORKSPACE INT64_C(65536)
enum { STATOR_APP_WORKSPACE_MOST = 32768 };

/* One version of an application. */
typedef struct stator_version {
	stator_arena arena;
	const char *app; /* "owner/name" */
	stator_descriptor descriptor;
	stator_def *def;
	stator_registry *registry;
	const stator_binding *record; /* sys.Record */
	stator_package_files *files; /* by package of the definition */
	const stator_load_opts *opts; /* borrowed */
} stator_version;

/*
 * Loads and checks an image. NULL when there were problems, which are added to
 * the list. Caller frees with `stator__version_free`.
 */
stator_version *stator__version_load(const char *image,
				     const stator_load_opts *opts,
				     stator_problems *problems);
void stator__version_free(stator_version *version);

/*
 * Schemas of data. The schema of the version that was deployed last is kept in
 * the folder of the application's data. What the version would break in that
 * is added to the problems; OK when none is, or nothing is kept.
 */
int stator__schema_check(const stator_version *version, const char *folder,
			 stator_problems *problems, stator_error *err);
/* Whether one is kept: a version was deployed on the data. */
bool stator__schema_kept(const char *folder);
/* Puts the version's schema in the place of the one that is kept, and that into
 * `before`, which the caller frees. */
int stator__schema_keep(const stator_version *version, const char *folder,
			stator_buf *before, stator_error *err);
/* The version is not deployed after all: the one before it is kept again. */
void stator__schema_put_back(const char *folder, const stator_buf *before);

/* Deployments ---------------------------------------------------------------- */

typedef struct stator_app stator_app;

typedef struct stator_partition {
	stator_app *app;
	uint32_t index;
	const stator_store_ops *ops;
	stator_store *store;
	stator_partition_meter *meter;
	stator_error damage; /* why `store` is NULL, of data that is looked at */
} stator_partition;

/* What an extension of a partition has done to its limits. */
typedef struct stator_breaker {
	uint32_t in_row;   /* breaches since it last kept them */
	uint64_t breaches; /* ever */
	uint64_t refused;  /* runs that were not begun */
	int64_t until;	   /* it is refused; monotonic, ns; 0: it is not */
} stator_breaker;

/* OK, or QUARANTINED. [any-thread], as all of these */
int stator__breaker_check(stator_breaker *breaker, const stator_limits *limits,
			  const stator_ext *ext, stator_error *err);
/* A run has passed a limit, with `err`, or none: NULL. */
void stator__breaker_note(stator_breaker *breaker, const stator_limits *limits,
			  const stator_ext *ext, const stator_error *err);
void stator__breaker_release(stator_breaker *breaker);
/* How long it is refused; 0: it is not. */
int64_t stator__breaker_rest_ms(const stator_breaker *breaker);

/* A version at work: with instances of its plugins for every partition. */
typedef struct stator_deployment {
	stator_version *version;
	stator_instance **instances; /* by partition, then by plugin */
	stator_breaker **breakers;   /* by partition, then by extension */
	uint32_t partition_count;
} stator_deployment;

/*
 * The version is taken, whatever comes. Instances of `before`, which may be
 * NULL, are handed over. Caller frees with `stator__deployment_free`, when no
 * worker of it is left.
 */
int stator__deployment_new(stator_deployment **out, stator_version *version,
			   uint32_t partition_count,
			   const stator_deployment *before, stator_error *err);
void stator__deployment_free(stator_deployment *deployment);

/* Workers ------------------------------------------------------------------- */

typedef struct stator_worker {
	stator_partition *partition;
	const stator_deployment *deployment;
	const stator_version *version;
	stator_state state;
	stator_engine_env *envs; /* by package and engine */
	stator_engine **engines;
	size_t *places; /* of their engines, by extension */
	stator_meters *meters;
	stator_view view;
	/* Snapshots of other partitions that the run has looked into. */
	stator_view *others;
} stator_worker;

/* NULL and problems when a package does not load. */
stator_worker *stator__worker_new(stator_partition *partition,
				  const stator_deployment *deployment,
				  stator_problems *problems);
void stator__worker_free(stator_worker *worker);
/* Runs `ext` with the worker's state, which has been begun and given what it
 * is about. The state is the caller's until `stator__worker_end`. */
int stator__worker_run(stator_worker *worker, const stator_ext *ext,
		       stator_error *err);
/* The same, counted and timed. Rationale: the clock costs more than a run of
 * nothing, which is not so in a request. */
int stator__worker_count(stator_worker *worker, const stator_ext *ext,
			 stator_error *err);
void stator__worker_end(stator_worker *worker);
/* The time, by the host's clock. */
int64_t stator__worker_now(const stator_worker *worker);

/* Partitions ------------------------------------------------------------------ */

struct stator_app {
	const char *name;
	stator_deployment *deployment; /* the current one */
	stator_durability durability;
	char *data; /* folder of this application's data */
	int lock;   /* of the folder; -1: read only */
	stator_partition *partitions;
	uint32_t partition_count;
	stator_metrics *metrics;
};

typedef struct stator_app_opts {
	uint32_t partitions; /* 0: as the data has, or the descriptor says */
	bool read_only;
	bool folders_only; /* partitions are not opened */
	bool go_on;	   /* one that cannot be opened keeps its `damage` */
} stator_app_opts;

/* Opens the data of a version, which is taken. */
int stator__app_open(stator_app **out, stator_version *version,
		     const char *data, const stator_app_opts *opts,
		     stator_error *err);
void stator__app_close(stator_app *app);
stator_partition *stator__app_partition(const stator_app *app, int64_t wsid);
/* Where the data of an application is: under its name, with "." for "/". Caller
 * frees. */
char *stator__app_folder(const char *data, const char *app);
/* Where the data of partition `i` is. Caller frees. */
char *stator__app_partition_folder(const stator_app *app, uint32_t i);

#endif
