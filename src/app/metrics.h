/*
 * metrics.h: what an application counts of itself.
 *
 * Each worker has counters of its own for extensions and storages, so nobody
 * waits for anybody; when a worker ends they go into those of the application,
 * by name, so that they outlive versions. A snapshot is all of that together.
 */
#ifndef STATOR_APP_METRICS_H
#define STATOR_APP_METRICS_H

#include <pthread.h>

#include "base/meter.h"
#include "state/state.h"

/* An extension, by one worker. */
typedef struct stator_ext_meter {
	uint64_t errors, limits, refused;
	stator_histogram *time; /* of its runs; NULL: it has not run */
} stator_ext_meter;

/* A worker's. */
typedef struct stator_meters {
	const stator_def *def;
	const stator_registry *registry;
	stator_ext_meter *exts;		 /* by extension */
	stator_storage_meter *storages;	 /* by binding */
	struct stator_metrics *metrics;	 /* NULL: counted for nobody */
	struct stator_meters *next;
} stator_meters;

/* How far an asynchronous projector is in a partition. */
typedef struct stator_progress {
	char *projector;
	uint64_t seen; /* the last event */
	bool active;   /* of the version that runs */
	struct stator_progress *next;
} stator_progress;

/* A partition. Those that have several writers are added to as shared. */
typedef struct stator_partition_meter {
	uint64_t waiting; /* requests; of those who submit them */
	char apart[STATOR_LINE];
	uint64_t commands, commands_failed;
	uint64_t queries, queries_failed; /* shared */
	uint64_t commit_errors;
	/* Of the one who commits: when an error was last logged, and how many
	 * there were since. */
	int64_t error_logged_ns;
	uint64_t errors_unlogged;
	stator_histogram commits; /* how long they took */
	uint64_t last_event;
	stator_progress *projectors; /* under the lock of the metrics */
} stator_partition_meter;

/* What has been counted under one name. */
typedef struct stator_tally {
	char *name;
	bool storage; /* or an extension */
	uint64_t runs; /* or calls */
	uint64_t errors, limits, refused;
	stator_histogram time; /* of a storage: count and sum of some calls */
	struct stator_tally *next;
} stator_tally;

typedef struct stator_metrics {
	pthread_mutex_t lock;
	stator_meters *workers;
	stator_tally *ended; /* of workers that are gone */
	stator_partition_meter *partitions;
	uint32_t partition_count;
} stator_metrics;

stator_metrics *stator__metrics_new(uint32_t partitions);
void stator__metrics_free(stator_metrics *metrics);

/* `metrics` may be NULL: then it is counted, and nobody asks. */
stator_meters *stator__meters_new(stator_metrics *metrics,
				  const stator_def *def,
				  const stator_registry *registry);
void stator__meters_free(stator_meters *meters);
/* A run has ended with `code`. */
void stator__meters_run(stator_meters *meters, const stator_ext *ext,
			int64_t ns, int code);
void stator__meters_refused(stator_meters *meters, const stator_ext *ext);

/* From here on only those projectors count that are named again. */
void stator__progress_begin(stator_metrics *metrics, uint32_t partition);
/* What the projector writes its place to; stands as long as the metrics. */
uint64_t *stator__progress_of(stator_metrics *metrics, uint32_t partition,
			      const char *projector);

/* How far they are, copied; names stand as long as the metrics. Caller frees
 * the array. */
typedef struct stator_lag {
	const char *projector;
	uint32_t partition;
	uint64_t seen, lag;
} stator_lag;

stator_lag *stator__lags(stator_metrics *metrics, size_t *count);

/* All names that have been counted, extensions first, in order of their names.
 * Caller frees with `stator__tallies_free`. */
stator_tally *stator__tallies(stator_metrics *metrics);
void stator__tallies_free(stator_tally *tallies);

#endif
