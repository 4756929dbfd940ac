/*
 * host.h: a host, for the files that it is made of: host.c opens, deploys and
 * stops, host_opts.c has the options, serve.c takes requests, host_clock.c moves
 * the clock.
 *
 * A host holds one application itself, and each other one in a host of its own
 * behind it, with the same options. What is behind it is there until the host
 * is closed, so that requests find their application without a lock.
 */
#ifndef STATOR_HOST_H
#define STATOR_HOST_H

#include "processor/processor.h"
#include "processor/upkeep.h"

struct stator_host {
	stator_load_opts load; /* with copies of what the options had */
	stator_logger logger;
	stator_serving serving;
	bool waits; /* where there is no room */
	pthread_mutex_t deploying; /* one at a time */
	bool stopped;
	uint64_t refused; /* requests that were not taken */
	stator_gauge gauge;
	stator_request_pool requests; /* of the first host, for all */
	stator_app *app; /* NULL until one is deployed */
	stator_query_pool *queries;
	stator_processor **processors; /* by partition; atomic */
	struct stator_host *next; /* holds another application; atomic */
};

static inline stator_host *
stator__host_next(const stator_host *h)
{
	return __atomic_load_n(&h->next, __ATOMIC_ACQUIRE);
}

/* NULL until an application is deployed and ready. */
static inline stator_processor **
stator__host_processors(const stator_host *h)
{
	return __atomic_load_n(&h->processors, __ATOMIC_ACQUIRE);
}

/* The thread that calls works for the host until it has left it again: threads
 * that are started meanwhile do, too. */
stator_log_place stator__host_enter(const stator_host *h);
void stator__host_leave(stator_log_place before);

/* Options, which are those of stator.h: what is wrong with them, and a copy. */
int stator__host_opts_check(const stator_host_opts *opts, stator_error *err);
void stator__host_opts_copy(stator_host *h, const stator_host_opts *opts);
void stator__host_opts_preemption(stator_load_opts *to,
				  const stator_host_opts *opts);
void stator__host_opts_free(stator_load_opts *load);

/* What holds the application, or NULL. */
stator_host *stator__host_find(stator_host *first, const char *app);
/* What holds the application; the only one, when it is not named. */
int stator__host_choose(stator_host *first, const char *app, stator_host **out,
			stator_error *err);

/* Why a request is not taken any more: BUSY. */
int stator__host_stopping(stator_error *err);

/* A request of the clock: it comes behind all that were handed in before. */
void stator__host_serve_clock(stator_host *h, stator_request *r);

#endif
