/*
 * processor.c: the thread of a partition. It takes all that waits, runs the
 * commands of it one after the other into one map, commits the map, and only
 * then replies.
 */
#include <stdlib.h>

#include "processor/processor.h"

/* Something that another thread wants done on this one, between two groups. */
typedef struct order {
	void (*run)(stator_processor *p, void *ctx);
	void *ctx;
	bool done;
	struct order *next;
} order;

/* What serves one deployment. */
typedef struct crew {
	stator_worker *worker, *projector;
	stator_query_pool *queries;
	stator_async *async;
} crew;

struct stator_processor {
	stator_partition *partition;
	stator_gauge *gauge;
	crew crew;
	crew next; /* made, and not yet at work */
	stator_commander commander;
	stator_snapshot *snapshot;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;  /* something waits, or to stop */
	pthread_cond_t space; /* the queue has room */
	pthread_cond_t ordered; /* an order is done */
	stator_request *first, **last;
	uint32_t waiting, queue;
	order *orders;
	bool stopping;
	int64_t plog_offset; /* of the last event in the group */
	/* Requests of the group, whose replies wait for the commit. */
	stator_request *held, **held_last;
	size_t held_count;
};

/* Groups ------------------------------------------------------------------------ */

enum { GROUP_MOST = 1000, GROUP_BYTES = 16 << 20 };

static void
hold(stator_processor *p, stator_request *r)
{
	r->next = NULL;
	*p->held_last = r;
	p->held_last = &r->next;
	p->held_count++;
}

static void
release_held(stator_processor *p, const stator_error *failure)
{
	stator_request *r = p->held;

	p->held = NULL;
	p->held_last = &p->held;
	p->held_count = 0;
	while (r) {
		stator_request *next = r->next;
		bool query = r->is_query;

		if (failure)
			stator__reply_error(r,
					    stator__status_http(failure->code),
					    failure);
		stator__reply_send(r);
		stator__gauge_done(p->gauge, query);
		r = next;
	}
}

static int64_t
last_event(stator_processor *p)
{
	stator_worker *w = p->commander.worker;
	stator_arena *arena = &w->state.arena;
	int64_t next = 1;
	stator_error err;

	stator__number_get(&w->view, arena,
			   stator__meta_key(arena, STATOR_META_PLOG), &next,
			   &err);
	stator__arena_reset(arena);
	return next - 1;
}

/* Makes the group durable, then replies to it. */
static int
commit_group(stator_processor *p, stator_error *err)
{
	const stator_store_ops *ops = p->partition->ops;
	int code = STATOR_OK;

	if (stator__map_count(p->commander.map)) {
		code = ops->commit(p->partition->store, p->commander.map, err);
		stator__map_clear(p->commander.map);
		if (code == STATOR_OK)
			code = ops->refresh(p->snapshot, err);
		if (code)
			stator__log(STATOR_LOG_ERROR, "partition", err->msg);
		else if (p->crew.async)
			stator__async_wake(p->crew.async, last_event(p));
	}
	release_held(p, code ? err : NULL);
	return code;
}

/* A query sees what was asked for before it, and nothing behind it. */
static void
start_query(stator_processor *p, stator_request *r)
{
	stator_snapshot *snapshot;
	stator_error err;
	int code = commit_group(p, &err);

	if (code == STATOR_OK)
		code = p->partition->ops->snapshot(p->partition->store,
						   &snapshot, &err);
	if (code) {
		stator__reply_error(r, stator__status_http(code), &err);
		stator__reply_send(r);
		stator__gauge_done(p->gauge, true);
		return;
	}
	stator__queries_submit(p->crew.queries, p->partition, snapshot, r);
}

static void
run_group(stator_processor *p, stator_request *r)
{
	stator_error err;

	while (r) {
		stator_request *next = r->next;

		if (r->is_query) {
			start_query(p, r);
		} else {
			stator__command_run(&p->commander, r);
			hold(p, r);
		}
		if (p->held_count >= GROUP_MOST ||
		    stator__map_bytes(p->commander.map) > GROUP_BYTES)
			commit_group(p, &err);
		r = next;
	}
	commit_group(p, &err);
}

/* The thread ----------------------------------------------------------------------- */

static bool
wait_for_work(stator_processor *p, stator_request **requests, order **orders)
{
	bool more;

	pthread_mutex_lock(&p->lock);
	while (p->first == NULL && p->orders == NULL && !p->stopping)
		pthread_cond_wait(&p->wake, &p->lock);
	more = p->first || p->orders || !p->stopping;
	*requests = p->first;
	*orders = p->orders;
	p->first = NULL;
	p->last = &p->first;
	p->orders = NULL;
	p->waiting = 0;
	pthread_cond_broadcast(&p->space);
	pthread_mutex_unlock(&p->lock);
	return more;
}

static void
follow_orders(stator_processor *p, order *o)
{
	while (o) {
		/* Whoever gave the order goes on once it is done. */
		order *next = o->next;

		o->run(p, o->ctx);
		pthread_mutex_lock(&p->lock);
		o->done = true;
		pthread_cond_broadcast(&p->ordered);
		pthread_mutex_unlock(&p->lock);
		o = next;
	}
}

static void *
processor_main(void *ctx)
{
	stator_processor *p = ctx;
	stator_request *requests;
	order *orders;

	stator__log_at(p->partition->app->name, p->partition->index);
	while (wait_for_work(p, &requests, &orders)) {
		follow_orders(p, orders);
		run_group(p, requests);
	}
	return NULL;
}

/* Has something run on the partition's thread, and waits for it. */
static void
give_order(stator_processor *p, void (*run)(stator_processor *p, void *ctx),
	   void *ctx)
{
	order o = {run, ctx, false, NULL};

	pthread_mutex_lock(&p->lock);
	o.next = p->orders;
	/* It is off the list again before this returns. */
	p->orders = &o;
	pthread_cond_signal(&p->wake);
	while (!o.done)
		pthread_cond_wait(&p->ordered, &p->lock);
	pthread_mutex_unlock(&p->lock);
}

typedef struct bundle_order {
	const stator_map *bundle;
	stator_error *err;
	int code;
} bundle_order;

static void
commit_bundle(stator_processor *p, void *ctx)
{
	bundle_order *o = ctx;
	const stator_map_node *n;

	for (n = stator__map_oldest(o->bundle); n; n = n->later)
		if (n->change != STATOR_CHANGE_NONE)
			stator__map_write(p->commander.map, n->key, n->value,
					  n->change);
	o->code = commit_group(p, o->err);
}

/* Called by the thread of the asynchronous projectors. */
static int
order_commit(void *ctx, stator_map *bundle, stator_error *err)
{
	bundle_order o = {bundle, err, STATOR_OK};

	give_order(ctx, commit_bundle, &o);
	return o.code;
}

/* Life --------------------------------------------------------------------------------- */

static int
make_crew(stator_processor *p, const stator_deployment *deployment,
	  stator_query_pool *queries, crew *c, stator_problems *problems)
{
	*c = (crew){.queries = queries};
	c->worker = stator__worker_new(p->partition, deployment, problems);
	c->projector = stator__worker_new(p->partition, deployment, problems);
	c->async = stator__async_new(p->partition, deployment, order_commit, p,
				     problems);
	if (c->worker == NULL || c->projector == NULL || c->async == NULL)
		return STATOR_IMAGE;
	c->worker->view.snapshot = c->projector->view.snapshot = p->snapshot;
	c->worker->view.over = c->projector->view.over = p->commander.map;
	return STATOR_OK;
}

/* The projectors end first: their last bundle needs the partition's thread. */
static void
free_crew(crew *c)
{
	if (c->async)
		stator__async_stop(c->async);
	if (c->projector)
		stator__worker_free(c->projector);
	if (c->worker)
		stator__worker_free(c->worker);
	*c = (crew){NULL};
}

static void
put_to_work(stator_processor *p, const crew *c)
{
	p->crew = *c;
	p->commander.worker = c->worker;
	p->commander.projector = c->projector;
}

static void
free_processor(stator_processor *p)
{
	free_crew(&p->crew);
	if (p->snapshot)
		p->partition->ops->snapshot_end(p->snapshot);
	stator__map_free(p->commander.map);
	stator__settle_free(&p->commander.settlements);
	free(p->commander.rows.items);
	pthread_cond_destroy(&p->ordered);
	pthread_cond_destroy(&p->space);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static int
prepare(stator_processor *p, const stator_deployment *deployment,
	stator_query_pool *queries, stator_problems *problems)
{
	stator_error err;
	crew c;

	p->commander.map = stator__map_new();
	if (p->partition->ops->newest(p->partition->store, &p->snapshot,
				      &err)) {
		stator__problem(problems, "data", 1, 1, "%s", err.msg);
		return err.code;
	}
	if (make_crew(p, deployment, queries, &c, problems)) {
		free_crew(&c);
		return STATOR_IMAGE;
	}
	put_to_work(p, &c);
	if (stator__async_start(p->crew.async, &err) == STATOR_OK)
		return STATOR_OK;
	stator__problem(problems, "data", 1, 1, "%s", err.msg);
	return err.code;
}

stator_processor *
stator__processor_start(stator_partition *partition,
			const stator_deployment *deployment, uint32_t queue,
			stator_gauge *gauge, stator_query_pool *queries,
			stator_problems *problems)
{
	stator_processor *p = stator__alloc(sizeof(*p));

	p->partition = partition;
	p->gauge = gauge;
	p->queue = queue;
	p->last = &p->first;
	p->held_last = &p->held;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->space, NULL);
	pthread_cond_init(&p->ordered, NULL);
	if (prepare(p, deployment, queries, problems)) {
		free_processor(p);
		return NULL;
	}
	stator__thread_start(&p->thread, processor_main, p);
	return p;
}

/* Upgrades ----------------------------------------------------------------------------- */

int
stator__processor_prepare(stator_processor *p,
			  const stator_deployment *deployment,
			  stator_query_pool *queries, stator_problems *problems)
{
	return make_crew(p, deployment, queries, &p->next, problems);
}

void
stator__processor_drop(stator_processor *p)
{
	free_crew(&p->next);
}

/* Between two groups: nothing of the old crew is in use, but its projectors,
 * which are to end before the new ones read where they were. */
static void
change_crew(stator_processor *p, void *ctx)
{
	crew *old = ctx, new = p->next;

	*old = p->crew;
	new.async = NULL;
	put_to_work(p, &new);
}

static void
set_async(stator_processor *p, void *ctx)
{
	p->crew.async = ctx;
	stator__async_wake(p->crew.async, last_event(p));
}

void
stator__processor_switch(stator_processor *p)
{
	stator_error err;
	crew old = {NULL};

	give_order(p, change_crew, &old);
	free_crew(&old);
	if (stator__async_start(p->next.async, &err))
		stator__logf(STATOR_LOG_ERROR, "projectors",
			     "stand still until the next start: %s", err.msg);
	give_order(p, set_async, p->next.async);
	p->next = (crew){NULL};
}

bool
stator__processor_submit(stator_processor *p, stator_request *r, bool wait)
{
	pthread_mutex_lock(&p->lock);
	while (wait && p->waiting >= p->queue)
		pthread_cond_wait(&p->space, &p->lock);
	if (p->waiting >= p->queue) {
		pthread_mutex_unlock(&p->lock);
		return false;
	}
	r->next = NULL;
	*p->last = r;
	p->last = &r->next;
	p->waiting++;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	return true;
}

void
stator__processor_catch_up(stator_processor *p)
{
	if (p->crew.async)
		stator__async_catch_up(p->crew.async);
}

void
stator__processor_stop(stator_processor *p)
{
	stator__async_stop(p->crew.async);
	p->crew.async = NULL;
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	free_processor(p);
}

/* The gauge ------------------------------------------------------------------------------ */

/* Each query that waits holds a snapshot; stores have no end of them. */
enum { MOST_QUERIES = 4096 };

bool
stator__gauge_add(stator_gauge *g, bool query, bool wait)
{
	bool room;

	pthread_mutex_lock(&g->lock);
	while (wait && query && g->queries == MOST_QUERIES)
		pthread_cond_wait(&g->changed, &g->lock);
	room = !query || g->queries < MOST_QUERIES;
	g->open += room;
	g->queries += query && room;
	pthread_mutex_unlock(&g->lock);
	return room;
}

void
stator__gauge_done(stator_gauge *g, bool query)
{
	bool full;

	pthread_mutex_lock(&g->lock);
	full = query && g->queries == MOST_QUERIES;
	g->queries -= query;
	if (--g->open == 0 || full)
		pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

void
stator__gauge_wait(stator_gauge *g)
{
	pthread_mutex_lock(&g->lock);
	while (g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}
