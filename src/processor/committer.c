/*
 * committer.c: the thread that makes groups of a partition durable and replies
 * to them, while the partition's thread runs the next group.
 */
#include <stdlib.h>

#include "processor/processor.h"

struct stator_committer {
	stator_partition *partition;
	stator_gauge *gauge;
	void (*on_done)(void *ctx);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* there is a group, or it is to stop */
	pthread_cond_t done; /* the group is done */
	stator_group *group; /* NULL: idle; read without the lock, too */
	bool stopping;
	int code; /* of the last group */
	stator_error failure;
};

void
stator__group_hold(stator_group *g, stator_request *r)
{
	r->next = NULL;
	if (g->last)
		g->last->next = r;
	else
		g->first = r;
	g->last = r;
	g->count++;
}

void
stator__group_reply(stator_group *g, const stator_partition *partition,
		    stator_gauge *gauge, const stator_error *failure)
{
	stator_request *first = g->first;
	stator_partition_meter *meter = partition->meter;
	size_t count = g->count, failed = 0;

	g->first = g->last = NULL;
	g->count = 0;
	for (stator_request *r = first; r; r = r->next) {
		if (failure)
			stator__reply_error(r,
					    stator__status_http(failure->code),
					    failure);
		failed += r->status != 200;
	}
	stator__meter_add(&meter->commands, count);
	stator__meter_add(&meter->commands_failed, failed);
	stator__reply_send_all(first);
	stator__gauge_done(gauge, count, false);
}

static int
commit(const stator_group *g, const stator_partition *partition,
       stator_error *err)
{
	stator_partition_meter *meter = partition->meter;
	int64_t began = stator__monotonic_ns();
	int code = partition->ops->commit(partition->store, g->map, err);

	if (code)
		stator__meter_add(&meter->commit_errors, 1);
	else
		__atomic_store_n(&meter->last_event, (uint64_t)g->last_event,
				 __ATOMIC_RELAXED);
	stator__histogram_add(&meter->commits,
			      (uint64_t)(stator__monotonic_ns() - began));
	return code;
}

/* A disk that is full stays so for a while: once a second is enough. */
static void
log_error(stator_partition_meter *meter, const stator_error *err)
{
	enum { EVERY = 1000000000 };
	int64_t now = stator__monotonic_ns();

	if (meter->error_logged_ns && now - meter->error_logged_ns < EVERY) {
		meter->errors_unlogged++;
		return;
	}
	if (meter->errors_unlogged)
		stator__logf(STATOR_LOG_ERROR, "partition",
			     "%s (%llu commits failed since the last line)",
			     err->msg,
			     (unsigned long long)meter->errors_unlogged + 1);
	else
		stator__log(STATOR_LOG_ERROR, "partition", err->msg);
	meter->error_logged_ns = now;
	meter->errors_unlogged = 0;
}

int
stator__group_commit(stator_group *g, const stator_partition *partition,
		     stator_gauge *gauge, stator_error *err)
{
	int code = STATOR_OK;

	if (stator__map_count(g->map)) {
		code = commit(g, partition, err);
		if (code)
			log_error(partition->meter, err);
		else if (g->async)
			stator__async_wake(g->async, g->last_event);
	}
	stator__group_reply(g, partition, gauge, code ? err : NULL);
	return code;
}

/* With the lock held. */
static void
set_group(stator_committer *c, stator_group *g)
{
	__atomic_store_n(&c->group, g, __ATOMIC_RELAXED);
}

static void *
committer_main(void *ctx)
{
	stator_committer *c = ctx;
	stator_error err;
	int code;

	stator__log_at(c->partition->app->name, c->partition->index);
	pthread_mutex_lock(&c->lock);
	for (;;) {
		while (c->group == NULL && !c->stopping)
			pthread_cond_wait(&c->wake, &c->lock);
		if (c->group == NULL)
			break;
		pthread_mutex_unlock(&c->lock);
		code = stator__group_commit(c->group, c->partition, c->gauge,
					    &err);
		pthread_mutex_lock(&c->lock);
		c->code = code;
		if (code)
			c->failure = err;
		set_group(c, NULL);
		pthread_cond_signal(&c->done);
		pthread_mutex_unlock(&c->lock);
		c->on_done(c->ctx);
		pthread_mutex_lock(&c->lock);
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

stator_committer *
stator__committer_start(stator_partition *partition, stator_gauge *gauge,
			void (*on_done)(void *ctx), void *ctx)
{
	stator_committer *c = stator__alloc(sizeof(*c));

	c->on_done = on_done;
	c->ctx = ctx;
	c->partition = partition;
	c->gauge = gauge;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->wake, NULL);
	pthread_cond_init(&c->done, NULL);
	stator__thread_start(&c->thread, committer_main, c);
	return c;
}

void
stator__committer_take(stator_committer *c, stator_group *g)
{
	pthread_mutex_lock(&c->lock);
	set_group(c, g);
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

bool
stator__committer_idle(const stator_committer *c)
{
	return __atomic_load_n(&c->group, __ATOMIC_RELAXED) == NULL;
}

/* With the lock held, as it is behind it. */
static void
rest(stator_committer *c)
{
	while (c->group)
		pthread_cond_wait(&c->done, &c->lock);
}

void
stator__committer_rest(stator_committer *c)
{
	pthread_mutex_lock(&c->lock);
	rest(c);
	pthread_mutex_unlock(&c->lock);
}

int
stator__committer_wait(stator_committer *c, stator_error *err)
{
	int code;

	pthread_mutex_lock(&c->lock);
	rest(c);
	code = c->code;
	if (code)
		*err = c->failure;
	c->code = STATOR_OK;
	pthread_mutex_unlock(&c->lock);
	return code;
}

void
stator__committer_stop(stator_committer *c)
{
	if (c == NULL)
		return;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->done);
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
