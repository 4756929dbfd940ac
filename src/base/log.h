/*
 * log.h: where lines of the log go, and what they are about.
 *
 * A thread knows for which host it works, and what it has in hand: its place.
 * A thread that is started by `stator__thread_start` begins with the place of
 * the one that starts it. So a line gets to the sink of its host, with
 * application, partition, workspace, extension and offset, and whoever writes
 * it says what is new only. Threads without a place write text to stderr.
 */
#ifndef STATOR_BASE_LOG_H
#define STATOR_BASE_LOG_H

#include <pthread.h>

#include "base/base.h"
#include "stator.h"

/* A host's. */
typedef struct stator_logger {
	int32_t level;	      /* lines above it are not written */
	bool json;	      /* to stderr as JSON, not as text */
	stator_on_log on_log; /* NULL: to stderr */
	void *ctx;
} stator_logger;

/* All of it is borrowed as long as it stands. */
typedef struct stator_log_place {
	const stator_logger *logger; /* NULL: text, up to info */
	const char *app;	     /* or NULL */
	int64_t partition;	     /* plus 1; 0: none */
	const stator_run *run;	     /* that is under way, or NULL */
} stator_log_place;

/* The place of the thread, to be read and changed. */
stator_log_place *stator__log_place(void);
/* The thread works for a partition of an application from now on. */
void stator__log_at(const char *app, uint32_t partition);
/* A line about an event that an extension is to handle. */
void stator__log_event(int32_t level, const char *source,
		       const char *extension, int64_t offset,
		       const char *format, ...) STATOR_PRINTF(5, 6);
/* As pthread_create, which does not fail here. */
void stator__thread_start(pthread_t *out, void *(*run)(void *ctx), void *ctx);

#endif
