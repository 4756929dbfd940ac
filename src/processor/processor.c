/*
 * processor.c: the thread of a partition. It takes all that waits, runs the
 * commands of it one after the other into one map, has the map committed, and
 * only then are they replied to. While more waits, that is done by the
 * committer, and the next group runs over the one that is on its way.
 */
#include <stdlib.h>
#include <time.h>

#include "processor/processor.h"
#include "storage/storage.h"

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
	stator_jobs *jobs;
} crew;

struct stator_processor {
	stator_partition *partition;
	stator_gauge *gauge;
	crew crew;
	crew next; /* made, and not yet at work */
	stator_commander commander;
	stator_snapshot *snapshot;
	stator_snapshot *before; /* what the command at hand began with, or NULL */
	pthread_t thread;
	stator_group *filled, *on_its_way; /* the latter may be NULL */
	stator_committer *committer;
	stator_error failure; /* of the group before; code 0: none */
	int64_t plog_stored;  /* what the store has, or is about to */
	char apart[STATOR_LINE];
	stator_group groups[2];
	/* What other threads write to, too. */
	stator_serving serving;
	pthread_mutex_t lock;
	pthread_cond_t wake;	/* something waits, or to stop */
	pthread_cond_t space;	/* the queue has room */
	pthread_cond_t ordered; /* an order is done */
	stator_request *first, **last;
	uint32_t waiting;
	order *orders;
	bool stopping;
	bool lingers; /* with a group that could be committed */
	/* With threads of the embedder, who take turns. */
	bool held;	   /* one of them, or an order, is at work */
	uint32_t givers;   /* orders that wait for their turn, and come first */
	bool attended; /* a thread of the host takes turns, too */
	bool has_runner;
	pthread_t runner; /* the last one that asked for work */
};

/* Groups ------------------------------------------------------------------------ */

/* Rationale: what a group writes stays in the processor's cache until it is
 * committed; a few times as many commands do not. But while the group before is
 * not committed, as when a checkpoint keeps the disk busy, to run more commands
 * is better than to wait. */
enum { GROUP_ENOUGH = 128, GROUP_MOST = 1024, GROUP_BYTES = 16 << 20 };
/* To wake another thread takes longer than to commit fewer than this. */
enum { GROUP_FEW = 16 };

/* What the workers see: the group that is filled, over that map, if there is
 * one, over the snapshot. */
static void
show_over(stator_processor *p, stator_map *under)
{
	stator_worker *const workers[] = {p->crew.worker, p->crew.projector};

	p->commander.map = p->filled->map;
	for (size_t i = 0; i < STATOR_COUNT(workers); i++) {
		workers[i]->view.over = p->filled->map;
		workers[i]->view.under = under;
		workers[i]->view.snapshot = p->snapshot;
	}
}

static void
show_groups(stator_processor *p)
{
	show_over(p, p->on_its_way ? p->on_its_way->map : NULL);
}

static void
fail_next(stator_processor *p, const stator_error *err, int code)
{
	p->failure = *err;
	p->failure.code = code;
}

/* What is committed is seen; or what has not seen it fails. */
static void
look_afresh(stator_processor *p)
{
	stator_error err;
	int code = p->partition->ops->refresh(p->snapshot, &err);

	if (code)
		fail_next(p, &err, code);
}

/*
 * Waits for the group that is on its way. When that fails, so does the one
 * that is filled, since its commands have seen the other's writes.
 */
static void
settle(stator_processor *p)
{
	stator_error err;
	int code;

	if (p->on_its_way == NULL)
		return;
	code = stator__committer_wait(p->committer, &err);
	if (p->before)
		p->partition->ops->snapshot_end(p->before);
	p->before = NULL;
	stator__map_clear(p->on_its_way->map);
	p->on_its_way = NULL;
	show_groups(p);
	if (code)
		fail_next(p, &err, code);
	else
		look_afresh(p);
}

/*
 * For a run that reads a range: what is on its way is in the store from here
 * on, seen by a snapshot of its own. What the run has read before stays where
 * it is, in the old one and in the map of the group.
 */
static void
show_committed(void *ctx)
{
	stator_processor *p = ctx;
	stator_snapshot *snapshot;
	stator_error err;
	int code;

	stator__committer_rest(p->committer);
	code = p->partition->ops->newest(p->partition->store, &snapshot, &err);
	if (code) {
		fail_next(p, &err, code);
		return;
	}
	p->before = p->snapshot;
	p->snapshot = snapshot;
	show_over(p, NULL);
}

/* The number of the next event, as the store has it. */
static int
read_plog_next(stator_processor *p, stator_error *err)
{
	stator_worker *w = p->commander.worker;
	stator_arena *arena = &w->state.arena;
	int64_t next = 1;
	int code = stator__number_get(
		&w->view, arena, stator__meta_key(arena, STATOR_META_PLOG),
		&next, err);

	stator__arena_reset(arena);
	p->commander.plog_next = p->plog_stored = next;
	__atomic_store_n(&p->partition->meter->last_event, (uint64_t)next - 1,
			 __ATOMIC_RELAXED);
	return code < 0 ? code : STATOR_OK;
}

/* Events of the group are numbered for good with it. */
static void
write_plog_next(stator_processor *p)
{
	stator_arena *arena = &p->commander.worker->state.arena;

	if (p->commander.plog_next == p->plog_stored)
		return;
	stator__number_put(p->filled->map,
			   stator__meta_key(arena, STATOR_META_PLOG),
			   p->commander.plog_next);
	stator__arena_reset(arena);
	p->plog_stored = p->commander.plog_next;
}

/* The group before is done; OK when this one may be committed. Else it has
 * failed, too. */
static int
close_group(stator_processor *p, stator_error *err)
{
	stator_group *g = p->filled;
	stator_error ignored;

	settle(p);
	if (p->failure.code) {
		*err = p->failure;
		p->failure.code = STATOR_OK;
		stator__map_clear(g->map);
		stator__group_reply(g, p->partition, p->gauge, err);
		look_afresh(p);
		read_plog_next(p, &ignored);
		return err->code;
	}
	write_plog_next(p);
	g->async = p->crew.async;
	g->last_event = p->commander.plog_next - 1;
	return STATOR_OK;
}

/* Makes all that has been run durable, then replies to it. */
static int
commit_group(stator_processor *p, stator_error *err)
{
	int code = close_group(p, err);
	stator_error ignored;

	if (code)
		return code;
	code = stator__group_commit(p->filled, p->partition, p->gauge, err);
	if (code == STATOR_OK && stator__map_count(p->filled->map))
		look_afresh(p);
	stator__map_clear(p->filled->map);
	if (code)
		read_plog_next(p, &ignored);
	return code;
}

/* Has the group committed while the next one is filled. */
static void
pass_group(stator_processor *p)
{
	stator_error err;

	if (p->committer == NULL) {
		commit_group(p, &err);
		return;
	}
	if (close_group(p, &err))
		return;
	p->on_its_way = p->filled;
	p->filled = p->filled == p->groups ? p->groups + 1 : p->groups;
	show_groups(p);
	stator__committer_take(p->committer, p->on_its_way);
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
		stator__query_reply(p->partition, r);
		stator__gauge_done(p->gauge, 1, true);
		return;
	}
	stator__queries_submit(p->crew.queries, p->partition, snapshot, r);
}

static bool
more_waits(stator_processor *p)
{
	bool more;

	pthread_mutex_lock(&p->lock);
	more = p->first != NULL;
	pthread_mutex_unlock(&p->lock);
	return more;
}

/*
 * Rationale: most of a command is waiting for memory that another thread has
 * written: the request, its arguments, the records that they name. So all of
 * that is asked for while those before it run, each some commands after what
 * leads to it. Most numbers that are large are record IDs; for those that are
 * not, nothing is lost.
 */
enum { REQUEST_AHEAD = 6, TREE_AHEAD = 4, FIRST_AHEAD = 2, AGAIN_AHEAD = 1 };
/* Of a request, with its text before its first node: those of a short one. */
enum { TEXT_BYTES = 128, TREE_BYTES = 1024 };

static void
expect_records(stator_processor *p, const stator_request *r, bool again)
{
	const stator_binding *record = p->crew.worker->version->record;
	const stator_json *c = r->args ? r->args->first : NULL;
	enum { DIGITS = 5 }; /* of the least ID */
	uint8_t key[STATOR_SPACE_SIZE + STATOR_RECORD_KEY];
	int64_t id;

	stator__space_put(key, record->space);
	for (; c; c = c->next)
		if (c->kind == STATOR_JSON_NUMBER && c->text.size >= DIGITS &&
		    stator__json_int(c, &id) && id > STATOR_RAW_ID_MOST) {
			stator__record_key(key + STATOR_SPACE_SIZE, r->wsid,
					   id);
			p->partition->ops->expect(
				p->snapshot, stator__slice(key, sizeof(key)),
				again);
		}
}

/* Before `r` runs. */
static void
look_ahead(stator_processor *p, const stator_request *r)
{
	if (p->partition->ops->expect == NULL)
		return;
	for (int i = 1; i <= REQUEST_AHEAD && (r = r->next) != NULL; i++) {
		if (i == AGAIN_AHEAD)
			expect_records(p, r, true);
		else if (i == FIRST_AHEAD)
			expect_records(p, r, false);
		else if (i == TREE_AHEAD)
			stator__prefetch((const char *)r->json - TEXT_BYTES,
					 TREE_BYTES);
		else if (i == REQUEST_AHEAD)
			stator__prefetch(r, sizeof(*r));
	}
}

/* Whether a group that is passed on does not wait for the one before. */
static bool
is_idle(const stator_processor *p)
{
	return p->committer == NULL || stator__committer_idle(p->committer);
}

/* Whether the group has what it should, or all that it may. */
static bool
is_full(const stator_processor *p)
{
	if (p->filled->count >= GROUP_MOST ||
	    stator__map_bytes(p->commander.map) > GROUP_BYTES)
		return true;
	return p->filled->count >= GROUP_ENOUGH && is_idle(p);
}

/*
 * Runs these, and what a query does not see before. Commands that are left in
 * the group are committed with those that come next, or when the group before
 * is done; threads of the embedder leave none.
 */
static void
run_group(stator_processor *p, stator_request *r)
{
	stator_error err;

	while (r) {
		stator_request *next = r->next;

		look_ahead(p, r);

		if (r->is_query) {
			start_query(p, r);
		} else {
			stator__command_run(&p->commander, r);
			stator__group_hold(p->filled, r);
		}
		if (is_full(p))
			pass_group(p);
		r = next;
	}
	if (p->committer && (!is_idle(p) || more_waits(p)))
		return;
	if (p->filled->count >= GROUP_FEW)
		pass_group(p);
	else
		commit_group(p, &err);
}

/* The thread ----------------------------------------------------------------------- */

/* With the lock held. */
static void
set_waiting(stator_processor *p, uint32_t waiting)
{
	p->waiting = waiting;
	__atomic_store_n(&p->partition->meter->waiting, waiting,
			 __ATOMIC_RELAXED);
}

/* With the lock held: whether there is anything to do. */
static bool
has_work(const stator_processor *p)
{
	return p->first || p->orders || p->stopping ||
	       (p->filled->count && is_idle(p));
}

/* Called by the committer, which has done a group. */
static void
on_committed(void *ctx)
{
	stator_processor *p = ctx;

	pthread_mutex_lock(&p->lock);
	if (p->lingers)
		pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

/* With the lock held: all that waits. */
static stator_request *
take_requests(stator_processor *p)
{
	stator_request *requests = p->first;

	p->first = NULL;
	p->last = &p->first;
	set_waiting(p, 0);
	pthread_cond_broadcast(&p->space);
	return requests;
}

static bool
wait_for_work(stator_processor *p, stator_request **requests, order **orders)
{
	bool more;

	pthread_mutex_lock(&p->lock);
	p->lingers = p->filled->count > 0;
	while (!has_work(p))
		pthread_cond_wait(&p->wake, &p->lock);
	p->lingers = false;
	more = p->first || p->orders || !p->stopping;
	*requests = take_requests(p);
	*orders = p->orders;
	p->orders = NULL;
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
	stator_error err;
	order *orders;

	stator__log_at(p->partition->app->name, p->partition->index);
	while (wait_for_work(p, &requests, &orders)) {
		if (orders)
			commit_group(p, &err);
		follow_orders(p, orders);
		run_group(p, requests);
	}
	commit_group(p, &err);
	return NULL;
}

/* Threads of the embedder -------------------------------------------------------- */

/*
 * Rationale: nobody knows when such a thread comes back, so an order does not
 * wait for it: whoever gives one takes the partition's turn and follows it.
 * Orders run no extensions.
 */
static void
hold_for_order(stator_processor *p)
{
	pthread_mutex_lock(&p->lock);
	p->givers++;
	while (p->held)
		pthread_cond_wait(&p->ordered, &p->lock);
	p->givers--;
	p->held = true;
	pthread_mutex_unlock(&p->lock);
}

static void
let_go(stator_processor *p)
{
	pthread_mutex_lock(&p->lock);
	p->held = false;
	if (p->givers)
		pthread_cond_broadcast(&p->ordered);
	else
		pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

static bool
has_turn(const stator_processor *p)
{
	return p->first && !p->held && p->givers == 0;
}

#define MS INT64_C(1000000)

/* With the lock held; false when it is too late. */
static bool
wait_for_turn(stator_processor *p, int64_t until)
{
	struct timespec t = {until / (1000 * MS), until % (1000 * MS)};

	if (until < 0)
		return pthread_cond_wait(&p->wake, &p->lock) == 0;
	return pthread_cond_clockwait(&p->wake, &p->lock, CLOCK_MONOTONIC,
				      &t) == 0;
}

int
stator__processor_run(stator_processor *p, int64_t timeout_ms, size_t *served)
{
	int64_t until = -1;
	stator_request *requests = NULL;
	bool stopped;

	if (timeout_ms >= 0 && timeout_ms < INT64_MAX / MS / 2)
		until = stator__monotonic_ns() + timeout_ms * MS;
	pthread_mutex_lock(&p->lock);
	p->runner = pthread_self();
	p->has_runner = true;
	while (!has_turn(p) && !p->stopping && timeout_ms &&
	       wait_for_turn(p, until))
		;
	*served = 0;
	if (has_turn(p)) {
		*served = p->waiting;
		requests = take_requests(p);
		p->held = true;
	}
	stopped = p->stopping;
	pthread_mutex_unlock(&p->lock);
	if (requests) {
		run_group(p, requests);
		let_go(p);
		return STATOR_OK;
	}
	return stopped ? STATOR_NONE : STATOR_OK;
}

/* With the lock held. */
static bool
runs_here(const stator_processor *p)
{
	return p->has_runner && pthread_equal(p->runner, pthread_self());
}

void
stator__processor_help(stator_processor *p)
{
	size_t served;
	bool more;

	if (!p->serving.own)
		return;
	do {
		pthread_mutex_lock(&p->lock);
		more = p->first && !p->stopping && runs_here(p);
		pthread_mutex_unlock(&p->lock);
	} while (more && stator__processor_run(p, -1, &served) == STATOR_OK);
}

static void *
attend_main(void *ctx)
{
	stator_processor *p = ctx;
	size_t served;

	stator__log_at(p->partition->app->name, p->partition->index);
	while (stator__processor_run(p, -1, &served) == STATOR_OK)
		;
	return NULL;
}

void
stator__processor_attend(stator_processor *p)
{
	if (!p->serving.own || p->attended)
		return;
	p->attended = true;
	stator__thread_start(&p->thread, attend_main, p);
}

/* Orders ------------------------------------------------------------------------------ */

/* Has something done between two groups, and waits for it. */
static void
give_order(stator_processor *p, void (*run)(stator_processor *p, void *ctx),
	   void *ctx)
{
	order o = {run, ctx, false, NULL};

	if (p->serving.own) {
		hold_for_order(p);
		run(p, ctx);
		let_go(p);
		return;
	}
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

static void
commit_job(stator_processor *p, void *ctx)
{
	bundle_order *o = ctx;

	commit_bundle(p, o);
	if (o->code == STATOR_OK && p->crew.async)
		stator__async_poke(p->crew.async);
}

/* Called by the thread of the jobs. */
static int
order_job(void *ctx, stator_map *bundle, stator_error *err)
{
	bundle_order o = {bundle, err, STATOR_OK};

	give_order(ctx, commit_job, &o);
	return o.code;
}

/* Life --------------------------------------------------------------------------------- */

/* What it sees it is given when its crew is put to work. */
static void
look_through(stator_view *view, stator_processor *p)
{
	view->settle = show_committed;
	view->settle_ctx = p;
}

static int
make_crew(stator_processor *p, const stator_deployment *deployment,
	  stator_query_pool *queries, crew *c, stator_problems *problems)
{
	*c = (crew){.queries = queries};
	c->worker = stator__worker_new(p->partition, deployment, problems);
	c->projector = stator__worker_new(p->partition, deployment, problems);
	c->async = stator__async_new(p->partition, deployment, order_commit, p,
				     problems);
	c->jobs = stator__jobs_new(p->partition, deployment, order_job, p,
				   problems);
	if (c->worker == NULL || c->projector == NULL || c->async == NULL ||
	    c->jobs == NULL)
		return STATOR_IMAGE;
	look_through(&c->worker->view, p);
	look_through(&c->projector->view, p);
	return STATOR_OK;
}

/* Jobs and projectors end first: their last bundle needs the partition's
 * thread. */
static void
free_crew(crew *c)
{
	if (c->jobs)
		stator__jobs_stop(c->jobs);
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
	show_groups(p);
}

static void
free_processor(stator_processor *p)
{
	stator__committer_stop(p->committer);
	free_crew(&p->crew);
	if (p->snapshot)
		p->partition->ops->snapshot_end(p->snapshot);
	for (size_t i = 0; i < STATOR_COUNT(p->groups); i++)
		stator__map_free(p->groups[i].map);
	stator__settle_free(&p->commander.settlements);
	stator__changes_free(&p->commander.changes);
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

	p->groups[0].map = stator__map_new();
	p->groups[1].map = stator__map_twin(p->groups[0].map);
	p->filled = p->groups;
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
	if (read_plog_next(p, &err)) {
		stator__problem(problems, "data", 1, 1, "%s", err.msg);
		return err.code;
	}
	if (stator__async_start(p->crew.async, &err) == STATOR_OK)
		return STATOR_OK;
	stator__problem(problems, "data", 1, 1, "%s", err.msg);
	return err.code;
}

/* They commit on the partition's thread, which runs. */
static void
start_jobs(stator_processor *p)
{
	stator_error err;

	if (stator__jobs_start(p->crew.jobs, &err))
		stator__logf(STATOR_LOG_ERROR, "jobs",
			     "stand still until the next start: %s", err.msg);
}

stator_processor *
stator__processor_start(stator_partition *partition,
			const stator_deployment *deployment,
			const stator_serving *serving, stator_gauge *gauge,
			stator_query_pool *queries, stator_problems *problems)
{
	stator_processor *p = stator__alloc(sizeof(*p));

	p->partition = partition;
	p->gauge = gauge;
	p->serving = *serving;
	p->last = &p->first;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	pthread_cond_init(&p->space, NULL);
	pthread_cond_init(&p->ordered, NULL);
	if (prepare(p, deployment, queries, problems)) {
		free_processor(p);
		return NULL;
	}
	if (!serving->own) {
		p->committer = stator__committer_start(partition, gauge,
							on_committed, p);
		stator__thread_start(&p->thread, processor_main, p);
	}
	start_jobs(p);
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
	stator__async_wake(p->crew.async, p->commander.plog_next - 1);
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
	start_jobs(p);
}

stator_jobs *
stator__processor_jobs(stator_processor *p)
{
	return p->crew.jobs;
}

bool
stator__processor_submit(stator_processor *p, stator_request *r, bool wait)
{
	const stator_serving *serving = &p->serving;
	bool was_idle;

	pthread_mutex_lock(&p->lock);
	/* Whoever makes the room does not wait for it. */
	while (wait && p->waiting >= serving->queue && !runs_here(p))
		pthread_cond_wait(&p->space, &p->lock);
	if (p->waiting >= serving->queue) {
		pthread_mutex_unlock(&p->lock);
		return false;
	}
	was_idle = p->first == NULL;
	r->next = NULL;
	*p->last = r;
	p->last = &r->next;
	set_waiting(p, p->waiting + 1);
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	if (was_idle && serving->on_work)
		serving->on_work(serving->ctx, p->partition->app->name,
				 p->partition->index);
	return true;
}

void
stator__processor_catch_up(stator_processor *p)
{
	if (p->crew.async)
		stator__async_catch_up(p->crew.async);
}

static void
take_async(stator_processor *p, void *ctx)
{
	stator_async **out = ctx;

	*out = p->crew.async;
	p->crew.async = NULL;
}

void
stator__processor_stop(stator_processor *p)
{
	stator_async *async;

	stator__processor_attend(p);
	stator__jobs_stop(p->crew.jobs);
	p->crew.jobs = NULL;
	/* The last group, which is answered, may not be off its thread yet. */
	give_order(p, take_async, &async);
	stator__async_stop(async);
	pthread_mutex_lock(&p->lock);
	p->stopping = true;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
}

void
stator__processor_free(stator_processor *p)
{
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
	while (wait && query && g->queries == MOST_QUERIES && !g->closed)
		pthread_cond_wait(&g->changed, &g->lock);
	room = !g->closed && (!query || g->queries < MOST_QUERIES);
	g->open += room;
	g->queries += query && room;
	pthread_mutex_unlock(&g->lock);
	return room;
}

void
stator__gauge_done(stator_gauge *g, size_t count, bool queries)
{
	bool full;

	pthread_mutex_lock(&g->lock);
	full = queries && g->queries == MOST_QUERIES;
	g->queries -= queries ? count : 0;
	g->open -= count;
	if (g->open == 0 || full)
		pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

void
stator__gauge_close(stator_gauge *g)
{
	pthread_mutex_lock(&g->lock);
	g->closed = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

bool
stator__gauge_closed(stator_gauge *g)
{
	bool closed;

	pthread_mutex_lock(&g->lock);
	closed = g->closed;
	pthread_mutex_unlock(&g->lock);
	return closed;
}

void
stator__gauge_wait(stator_gauge *g)
{
	pthread_mutex_lock(&g->lock);
	while (g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}
