/*
 * async.c: the asynchronous projectors of a partition, on one thread, which
 * also does the effects of its outbox.
 *
 * Each projector has its own offset in the PLog. It reads the events behind it
 * on a snapshot, collects what its runs write in a bundle, which its later
 * runs see, and hands the bundle with its new offset to the partition's
 * thread: both are committed in one batch, so a view is written exactly once.
 * A run with intents that are to be settled ends the bundle: what a storage
 * keeps in memory is seen by later runs only when it is settled.
 *
 * A run that fails is tried again, waiting longer each time, and is parked
 * after some tries: the projector stays at that event, the others go on. What
 * it fails on is kept in the partition (standing.c), for operators; there they
 * also write what they want of a projector, and here it is looked at whenever
 * something has been committed. A start tries afresh what is parked.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "processor/processor.h"

enum { REFUSED_MS = 50, POLL_MS = 10, SAVE_MS = 1000, DROP_MOST = 5000 };
#define MS INT64_C(1000000)

/* A bundle ends when it has this much, too. */
enum { BUNDLE_BYTES = 16 << 20 };

typedef struct async_projector {
	const stator_ext *ext;
	int64_t offset; /* of the last event that it has seen */
	uint64_t *progress; /* the same, for the metrics */
	int64_t saved;	/* what the partition remembers of that */
	int64_t tries;	/* of the event behind it, since the start */
	int64_t total;	/* the same, over all starts */
	int64_t stalls; /* commits that were refused, in a row */
	int64_t retry_at; /* monotonic, ns; 0: now */
	bool troubled;	  /* the partition keeps what it fails on */
	bool parked;
	bool rebuilding;
} async_projector;

struct stator_async {
	stator_partition *partition;
	stator_worker *worker;
	const stator_projecting *opts;
	stator_map *bundle;
	stator_settlements settlements; /* of the last run of the bundle */
	stator_async_commit commit;
	void *ctx;
	async_projector *projectors;
	size_t count;
	stator_effects *effects; /* NULL: no storage has any */
	uint64_t random;
	int64_t save_at; /* when offsets may be saved that are alone */
	int64_t blind;	 /* looks that have failed, in a row */
	bool running;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* more events, or to stop */
	pthread_cond_t done; /* caught up */
	int64_t last;	     /* offset of the last event there is */
	int64_t seen;	     /* all projectors have seen this; no effect waits */
	bool poked;	     /* the outbox is to be looked at */
	bool stopping;
};

static stator_arena *
arena_of(stator_async *a)
{
	return &a->worker->state.arena;
}

/* One event: OK, NONE when there is none, or an error. */
static int
load_event(stator_async *a, int64_t offset, stator_row *event,
	   stator_error *err)
{
	stator_arena *arena = arena_of(a);
	stator_slice bytes;
	int code = stator__view_get(&a->worker->view, arena,
				    stator__event_key(arena, offset), &bytes,
				    err);

	*event = (stator_row){bytes.data, (uint32_t)bytes.size, 0,
			      a->worker->version->def->event};
	return code;
}

/* Waiting ----------------------------------------------------------------- */

int64_t
stator__backoff_ms(uint64_t random, int64_t tries, int64_t first, int64_t most)
{
	int64_t end = tries > 30 ? most : first << (tries - 1);

	if (end > most)
		end = most;
	return (int64_t)(random % (uint64_t)(end + 1));
}

static uint64_t
next_random(stator_async *a)
{
	a->random ^= a->random << 13;
	a->random ^= a->random >> 7;
	a->random ^= a->random << 17;
	return a->random;
}

static void
back_off(stator_async *a, async_projector *p, int64_t tries)
{
	int64_t wait = stator__backoff_ms(next_random(a), tries,
					  a->opts->wait_ms,
					  a->opts->most_wait_ms);

	p->retry_at = stator__monotonic_ns() + wait * MS;
}

/* The store does not take what it writes: no fault of its event. */
static bool
is_stalled(const stator_async *a, const async_projector *p)
{
	return p->stalls >= a->opts->tries;
}

/* Committing -------------------------------------------------------------- */

static int
commit_bundle(stator_async *a, stator_error *err)
{
	int code = a->commit(a->ctx, a->bundle, err);

	stator__map_clear(a->bundle);
	stator__worker_end(a->worker);
	return code;
}

static void
stall(stator_async *a, async_projector *p, const stator_error *err)
{
	p->stalls++;
	back_off(a, p, p->stalls);
	if (p->stalls <= a->opts->tries)
		stator__log_event(STATOR_LOG_WARNING, p->ext->name,
				  p->ext->name, p->offset + 1,
				  "event %lld of partition %u: %s; trying "
				  "again",
				  (long long)p->offset + 1,
				  a->partition->index, err->msg);
}

/* Offsets that nothing else was written with: to see an event again that the
 * projector does not want is harmless, but its operator would wonder. */
static void
save_offsets(stator_async *a)
{
	stator_error err;

	for (size_t i = 0; i < a->count; i++)
		if (a->projectors[i].offset != a->projectors[i].saved)
			stator__number_put(
				a->bundle,
				stator__offset_key(arena_of(a),
						   a->projectors[i].ext->name),
				a->projectors[i].offset);
	a->save_at = stator__monotonic_ns() + SAVE_MS * MS;
	if (stator__map_count(a->bundle) == 0)
		return;
	if (commit_bundle(a, &err)) {
		stator__log(STATOR_LOG_WARNING, "projectors", err.msg);
		return;
	}
	for (size_t i = 0; i < a->count; i++)
		a->projectors[i].saved = a->projectors[i].offset;
}

static bool
has_unsaved(const stator_async *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->projectors[i].offset != a->projectors[i].saved)
			return true;
	return false;
}

/* Bundles ----------------------------------------------------------------- */

static bool
is_full(const stator_async *a, uint32_t runs, int64_t since)
{
	return a->settlements.first || runs >= a->opts->bundle ||
	       stator__map_bytes(a->bundle) > BUNDLE_BYTES ||
	       stator__monotonic_ns() - since > a->opts->bundle_ms * MS;
}

static int
run_one(stator_async *a, const async_projector *p, const stator_row *event,
	stator_error *err)
{
	int code = stator__kind_wants(a->worker, p->ext, event, err);

	if (code == STATOR_NONE)
		return STATOR_OK;
	return code ? code
		    : stator__projector_run(a->worker, p->ext, event,
					    a->bundle, &a->settlements, err);
}

/* Runs the projector on what is new, up to one bundle. `offset` becomes that
 * of the last event that it has done. */
static int
run_bundle(stator_async *a, async_projector *p, int64_t last, int64_t *offset,
	   stator_error *err)
{
	const stator_def *def = a->worker->version->def;
	int64_t since = stator__monotonic_ns();
	uint32_t runs = 0;
	int code = STATOR_OK;

	while (*offset < last && !is_full(a, runs, since)) {
		stator_row event;

		code = load_event(a, *offset + 1, &event, err);
		if (code == STATOR_NONE)
			code = stator__fail(err, STATOR_CORRUPT,
					    "the event is not in the log");
		stator__map_mark(a->bundle);
		if (code == STATOR_OK &&
		    stator__projector_wants(p->ext, def, &event)) {
			code = run_one(a, p, &event, err);
			runs++;
		}
		stator__arena_reset(arena_of(a));
		if (code) {
			stator__map_rollback(a->bundle);
			return code;
		}
		++*offset;
	}
	return STATOR_OK;
}

static void
say_failed(const stator_async *a, const async_projector *p,
	   const stator_trouble *t)
{
	if (t->parked)
		stator__log_event(STATOR_LOG_ERROR, p->ext->name, p->ext->name,
				  t->event,
				  "parked at event %lld of partition %u: %s; "
				  "mend it and retry it, or skip the event: "
				  "`stator projectors --help`",
				  (long long)t->event, a->partition->index,
				  t->error);
	else
		stator__log_event(STATOR_LOG_WARNING, p->ext->name,
				  p->ext->name, t->event,
				  "event %lld of partition %u: %s; trying "
				  "again",
				  (long long)t->event, a->partition->index,
				  t->error);
}

/* What is known of the event behind `offset`, which has just failed. */
static stator_trouble
trouble_at(const stator_async *a, const async_projector *p, int64_t offset,
	   const stator_error *err)
{
	bool same = offset == p->offset;

	return (stator_trouble){
		.event = offset + 1,
		.tries = (same ? p->total : 0) + 1,
		.at_ms = stator__now_ms(),
		.parked = (same ? p->tries : 0) + 1 >= a->opts->tries,
		.code = stator_status_name(err->code),
		.error = err->msg,
	};
}

/* What a bundle came to is the partition's now. */
static void
move_on(stator_async *a, async_projector *p, int64_t offset,
	const stator_trouble *t)
{
	if (offset > p->offset)
		p->tries = p->total = 0;
	p->offset = offset;
	p->stalls = 0;
	p->troubled = t->event != 0;
	if (!p->troubled)
		return;
	p->total = t->tries;
	p->tries++;
	p->parked = t->parked;
	back_off(a, p, p->tries);
	say_failed(a, p, t);
}

/* Writes the bundle with the new offset, and with what went wrong. */
static bool
finish_bundle(stator_async *a, async_projector *p, int64_t offset,
	      const stator_error *failure)
{
	stator_trouble t = {.event = 0};
	stator_error err;

	if (failure)
		t = trouble_at(a, p, offset, failure);
	if (t.event)
		stator__trouble_put(a->bundle, arena_of(a), p->ext->name, &t);
	else if (p->troubled && offset > p->offset)
		stator__trouble_drop(a->bundle, arena_of(a), p->ext->name);
	if (stator__map_count(a->bundle) || a->settlements.first) {
		stator__number_put(a->bundle,
				   stator__offset_key(arena_of(a),
						      p->ext->name),
				   offset);
		stator__settle_run(&a->settlements);
		if (commit_bundle(a, &err)) {
			stall(a, p, &err);
			return false;
		}
		p->saved = offset;
	}
	if (t.event || offset > p->offset)
		move_on(a, p, offset, &t);
	return true;
}

/* True when it has seen everything or cannot go on now. */
static bool
advance(stator_async *a, async_projector *p, int64_t last)
{
	stator_error err = {0};
	int64_t offset = p->offset;
	int code = run_bundle(a, p, last, &offset, &err);
	/* It was not tried. */
	bool refused = code == STATOR_QUARANTINED;

	if (!finish_bundle(a, p, offset, code && !refused ? &err : NULL))
		return true;
	if (refused)
		p->retry_at = stator__monotonic_ns() + REFUSED_MS * MS;
	return code || offset >= last;
}

/* Orders of operators ----------------------------------------------------- */

/* Whether somebody has taken the trouble of a parked one away. */
static bool
is_released(stator_async *a, async_projector *p)
{
	stator_trouble t;
	stator_error err;
	stator_slice key = stator__offset_key(arena_of(a), p->ext->name);
	int code = stator__trouble_get(&a->worker->view, arena_of(a),
				       p->ext->name, &t, &err);

	if (code == STATOR_NONE &&
	    stator__number_get(&a->worker->view, arena_of(a), key, &p->offset,
			       &err) >= 0) {
		p->saved = p->offset;
		p->tries = p->total = p->retry_at = 0;
		p->parked = p->troubled = false;
	}
	stator__arena_reset(arena_of(a));
	return !p->parked;
}

static void
look_for_rebuild(stator_async *a, async_projector *p)
{
	stator_slice key = stator__rebuild_key(arena_of(a), p->ext->name);
	stator_error err;
	int64_t wanted = 0;

	stator__number_get(&a->worker->view, arena_of(a), key, &wanted, &err);
	stator__arena_reset(arena_of(a));
	if (wanted && !p->rebuilding)
		stator__logf(STATOR_LOG_INFO, p->ext->name,
			     "its views in partition %u are dropped; it begins "
			     "anew",
			     a->partition->index);
	p->rebuilding = wanted != 0;
}

/* The version may have come behind the order. */
static bool
may_rebuild(stator_async *a, async_projector *p)
{
	stator_error err;

	if (stator__projector_can_rebuild(a->worker->version->def, p->ext,
					  &err) == STATOR_OK)
		return true;
	if (p->stalls++ == 0)
		stator__log(STATOR_LOG_ERROR, p->ext->name, err.msg);
	p->stalls = a->opts->tries;
	p->retry_at = stator__monotonic_ns() + SAVE_MS * MS;
	return false;
}

/* Takes one portion out of its views; the last one sets it back to the first
 * event. Until then it does not run. */
static bool
drop_views(stator_async *a, async_projector *p)
{
	stator_error err;
	int code;

	if (!may_rebuild(a, p))
		return true;
	code = stator__projector_drop_views(&a->worker->view, a->bundle,
					    arena_of(a), p->ext, DROP_MOST,
					    &err);
	if (code < 0)
		stator__map_clear(a->bundle);
	if (code < 0 || commit_bundle(a, &err)) {
		stator__arena_reset(arena_of(a));
		stall(a, p, &err);
		return true;
	}
	if (code == STATOR_NONE)
		*p = (async_projector){.ext = p->ext, .progress = p->progress};
	return false;
}

static bool
step(stator_async *a, async_projector *p, int64_t last)
{
	look_for_rebuild(a, p);
	if (!p->rebuilding && p->parked && !is_released(a, p))
		return true;
	if (p->retry_at > stator__monotonic_ns())
		return true;
	return p->rebuilding ? drop_views(a, p) : advance(a, p, last);
}

/* The thread -------------------------------------------------------------- */

/* Does effects; true when none is left to be tried. */
static bool
do_effects(stator_async *a)
{
	stator_error err;
	bool idle;

	if (a->effects == NULL)
		return true;
	if (a->worker->view.ops->refresh(a->worker->view.snapshot, &err))
		return false;
	idle = stator__effects_run(a->effects, a->bundle, a->opts->bundle);
	if (stator__map_count(a->bundle) == 0)
		return idle;
	/* What was done and cannot be noted is done again: at least once. */
	if (a->commit(a->ctx, a->bundle, &err))
		stator__log(STATOR_LOG_WARNING, "effects", err.msg);
	stator__map_clear(a->bundle);
	return false;
}

/* The least offset that all projectors that can go on have seen; the last one
 * when none can, so that nobody waits for them. */
static int64_t
progress(const stator_async *a, int64_t last)
{
	int64_t least = last;

	if (a->blind > a->opts->tries)
		return last;
	for (size_t i = 0; i < a->count; i++) {
		const async_projector *p = &a->projectors[i];
		int64_t offset = p->rebuilding ? 0 : p->offset;

		if (!(p->parked && !p->rebuilding) && !is_stalled(a, p) &&
		    offset < least)
			least = offset;
	}
	return least;
}

/* When there is something to do, without a new event; 0: never. */
static int64_t
next_look(const stator_async *a, int64_t last)
{
	int64_t at = has_unsaved(a) ? a->save_at : INT64_MAX;

	for (size_t i = 0; i < a->count; i++) {
		const async_projector *p = &a->projectors[i];

		if ((p->rebuilding || (!p->parked && p->offset < last)) &&
		    p->retry_at < at)
			at = p->retry_at;
	}
	return at;
}

static void
wait_until(stator_async *a, int64_t at)
{
	int64_t left = at - stator__monotonic_ns();
	struct timespec until;

	if (left <= 0)
		return;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += left / 1000000000;
	until.tv_nsec += left % 1000000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_cond_timedwait(&a->wake, &a->lock, &until);
}

static void
wait_for_more(stator_async *a, int64_t handled, bool effects_done)
{
	int64_t at = next_look(a, handled);

	if (!effects_done)
		at = stator__monotonic_ns() + POLL_MS * MS;
	if (at != INT64_MAX)
		wait_until(a, at);
	else
		while (!a->stopping && !a->poked && a->last == handled)
			pthread_cond_wait(&a->wake, &a->lock);
}

/* An old snapshot keeps memory and pages, also where all is parked. */
static bool
look_afresh(stator_async *a)
{
	stator_error err;

	if (a->worker->view.ops->refresh(a->worker->view.snapshot, &err) ==
	    STATOR_OK) {
		a->blind = 0;
		return true;
	}
	if (a->blind++ <= a->opts->tries)
		stator__log(STATOR_LOG_WARNING, "projectors", err.msg);
	return false;
}

/* One that is rebuilt has seen nothing. */
static void
tell_progress(stator_async *a)
{
	for (size_t i = 0; i < a->count; i++) {
		const async_projector *p = &a->projectors[i];

		__atomic_store_n(p->progress,
				 p->rebuilding ? 0 : (uint64_t)p->offset,
				 __ATOMIC_RELAXED);
	}
}

static void *
async_main(void *ctx)
{
	stator_async *a = ctx;

	stator__log_at(a->partition->app->name, a->partition->index);
	pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		int64_t last = a->last;
		bool done = true, effects_done = false, fresh;

		a->poked = false;
		pthread_mutex_unlock(&a->lock);
		fresh = look_afresh(a);
		for (size_t i = 0; fresh && i < a->count; i++)
			done &= step(a, &a->projectors[i], last);
		tell_progress(a);
		if (fresh && stator__monotonic_ns() >= a->save_at)
			save_offsets(a);
		if (fresh)
			effects_done = do_effects(a);
		pthread_mutex_lock(&a->lock);
		a->seen = (effects_done || !fresh) && !a->poked
				  ? progress(a, last)
				  : last - 1;
		pthread_cond_broadcast(&a->done);
		if (done && a->last == last && !a->stopping)
			wait_for_more(a, last, fresh && effects_done);
	}
	pthread_mutex_unlock(&a->lock);
	save_offsets(a);
	return NULL;
}

static void
find_projectors(stator_async *a, const stator_version *v)
{
	const stator_def *def = v->def;

	a->projectors = stator__alloc((def->ext_count + 1) *
				      sizeof(*a->projectors));
	for (const stator_ext *ext = stator__async_next(def, NULL); ext;
	     ext = stator__async_next(def, ext))
		a->projectors[a->count++].ext = ext;
}

/* Where each projector stands, and the last event there is. */
static int
read_offsets(stator_async *a, stator_error *err)
{
	stator_view *view = &a->worker->view;
	stator_arena *arena = arena_of(a);
	int64_t next = 1;
	int code;

	code = view->ops->snapshot(a->partition->store, &view->snapshot, err);
	if (code)
		return code;
	for (size_t i = 0; i < a->count && code >= 0; i++) {
		async_projector *p = &a->projectors[i];
		stator_standing s;

		code = stator__standing_get(view, arena, p->ext->name, &s, err);
		p->offset = p->saved = s.offset;
		p->troubled = s.trouble.event != 0;
		p->total = s.trouble.tries;
		p->rebuilding = s.rebuilding;
	}
	if (code >= 0)
		code = stator__number_get(
			view, arena,
			stator__meta_key(arena, STATOR_META_PLOG), &next, err);
	a->last = next - 1;
	stator__worker_end(a->worker);
	return code < 0 ? code : STATOR_OK;
}

static void
free_async(stator_async *a)
{
	stator__effects_free(a->effects);
	if (a->worker) {
		if (a->worker->view.snapshot)
			a->partition->ops->snapshot_end(
				a->worker->view.snapshot);
		stator__worker_free(a->worker);
	}
	free(a->projectors);
	stator__map_free(a->bundle);
	stator__settle_free(&a->settlements);
	pthread_cond_destroy(&a->done);
	pthread_cond_destroy(&a->wake);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

stator_async *
stator__async_new(stator_partition *partition,
		  const stator_deployment *deployment,
		  stator_async_commit commit, void *ctx,
		  stator_problems *problems)
{
	bool effects = stator__effects_possible(deployment->version->registry);
	stator_async *a = stator__alloc(sizeof(*a));

	a->partition = partition;
	a->commit = commit;
	a->ctx = ctx;
	a->opts = &deployment->version->descriptor.projecting;
	if (getrandom(&a->random, sizeof(a->random), 0) < 0 || a->random == 0)
		a->random = (uint64_t)stator__now_ms();
	pthread_mutex_init(&a->lock, NULL);
	pthread_cond_init(&a->wake, NULL);
	pthread_cond_init(&a->done, NULL);
	find_projectors(a, deployment->version);
	if (a->count == 0 && !effects)
		return a;
	a->bundle = stator__map_new();
	a->worker = stator__worker_new(partition, deployment, problems);
	if (a->worker == NULL) {
		free_async(a);
		return NULL;
	}
	a->worker->view.over = a->bundle;
	if (effects)
		a->effects = stator__effects_new(a->worker);
	return a;
}

int
stator__async_start(stator_async *a, stator_error *err)
{
	stator_metrics *metrics = a->partition->app->metrics;
	int code;

	stator__progress_begin(metrics, a->partition->index);
	if (a->worker == NULL)
		return STATOR_OK;
	code = read_offsets(a, err);
	if (code)
		return code;
	for (size_t i = 0; i < a->count; i++)
		a->projectors[i].progress =
			stator__progress_of(metrics, a->partition->index,
					    a->projectors[i].ext->name);
	tell_progress(a);
	a->running = true;
	stator__thread_start(&a->thread, async_main, a);
	return STATOR_OK;
}

void
stator__async_wake(stator_async *a, int64_t plog_offset)
{
	if (!a->running)
		return;
	pthread_mutex_lock(&a->lock);
	a->last = plog_offset;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

void
stator__async_poke(stator_async *a)
{
	if (!a->running)
		return;
	pthread_mutex_lock(&a->lock);
	a->poked = true;
	a->seen = a->last - 1;
	pthread_cond_signal(&a->wake);
	pthread_mutex_unlock(&a->lock);
}

void
stator__async_catch_up(stator_async *a)
{
	int64_t target;

	if (!a->running)
		return;
	pthread_mutex_lock(&a->lock);
	target = a->last;
	while (a->seen < target && !a->stopping)
		pthread_cond_wait(&a->done, &a->lock);
	pthread_mutex_unlock(&a->lock);
}

void
stator__async_stop(stator_async *a)
{
	if (a->running) {
		pthread_mutex_lock(&a->lock);
		a->stopping = true;
		pthread_cond_broadcast(&a->wake);
		pthread_cond_broadcast(&a->done);
		pthread_mutex_unlock(&a->lock);
		pthread_join(a->thread, NULL);
	}
	free_async(a);
}
