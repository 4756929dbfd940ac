/*
 * async.c: the asynchronous projectors of a partition, on one thread, which also
 * does the effects of its outbox.
 *
 * Each projector has its own offset in the PLog. It reads the events behind it
 * on a snapshot, collects what its runs write in a bundle, which its later
 * runs see, and hands the bundle with its new offset to the partition's
 * thread: both are committed in one batch, so a view is written exactly once.
 * A run with intents that are to be settled ends the bundle: what a storage
 * keeps in memory is seen by later runs only when it is settled.
 *
 * A run that fails is tried again, waiting longer each time; after TRIES it is
 * parked: the projector stays at that event, the others go on. It is tried
 * afresh when the application is started the next time.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "processor/processor.h"

enum { BUNDLE = 100, TRIES = 4, FIRST_WAIT_MS = 10, REFUSED_MS = 50 };
#define MS INT64_C(1000000)

/* An offset alone is saved this seldom: seeing an event again that the
 * projector does not want is harmless. */
enum { OFFSET_STEP = 10000 };

typedef struct async_projector {
	const stator_ext *ext;
	const char *name; /* of its offset in the partition */
	int64_t offset;	  /* of the last event that it has seen */
	int64_t saved;	  /* what the partition remembers of that */
	int tries;
	int64_t retry_at; /* monotonic, ns; 0: now */
	bool parked;
} async_projector;

struct stator_async {
	stator_partition *partition;
	stator_worker *worker;
	stator_map *bundle;
	stator_settlements settlements; /* of the last run of the bundle */
	stator_async_commit commit;
	void *ctx;
	async_projector *projectors;
	size_t count;
	stator_effects *effects; /* NULL: no storage has any */
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

static void
failed(stator_async *a, async_projector *p, int64_t offset,
       const stator_error *err)
{
	/* It was not tried. */
	if (err->code == STATOR_QUARANTINED) {
		p->retry_at = stator__monotonic_ns() + REFUSED_MS * MS;
		return;
	}
	p->tries++;
	if (p->tries < TRIES) {
		int64_t wait = (int64_t)FIRST_WAIT_MS << 2 * (p->tries - 1);

		p->retry_at = stator__monotonic_ns() + wait * MS;
		stator__logf(STATOR_LOG_WARNING, p->ext->name,
			     "event %lld of partition %u: %s; trying again",
			     (long long)offset, a->partition->index, err->msg);
		return;
	}
	p->parked = true;
	stator__logf(STATOR_LOG_ERROR, p->ext->name,
		     "parked at event %lld of partition %u: %s; mend it and "
		     "start again",
		     (long long)offset, a->partition->index, err->msg);
}

static bool
flush(stator_async *a, async_projector *p, int64_t offset)
{
	stator_error err;
	int code;

	if (stator__map_count(a->bundle) == 0 && a->settlements.first == NULL &&
	    offset - p->saved < OFFSET_STEP) {
		p->offset = offset;
		return true;
	}
	stator__number_put(a->bundle,
			   stator__meta_key(arena_of(a), p->name), offset);
	stator__settle_run(&a->settlements);
	code = a->commit(a->ctx, a->bundle, &err);
	stator__map_clear(a->bundle);
	stator__worker_end(a->worker);
	if (code == STATOR_OK) {
		p->offset = p->saved = offset;
		return true;
	}
	failed(a, p, offset, &err);
	return false;
}

/* Runs the projector on what is new, up to one bundle; true when it has seen
 * everything or cannot go on now. */
static bool
advance(stator_async *a, async_projector *p, int64_t last)
{
	const stator_def *def = a->worker->version->def;
	int64_t offset = p->offset;
	stator_error err = {0};
	int runs = 0, code = STATOR_OK;

	if (p->parked || p->retry_at > stator__monotonic_ns())
		return true;
	code = a->worker->view.ops->refresh(a->worker->view.snapshot, &err);
	while (code == STATOR_OK && offset < last && runs < BUNDLE &&
	       a->settlements.first == NULL) {
		stator_row event;

		code = load_event(a, offset + 1, &event, &err);
		if (code == STATOR_NONE)
			break;
		stator__map_mark(a->bundle);
		if (code == STATOR_OK &&
		    stator__projector_wants(p->ext, def, &event)) {
			code = stator__projector_run(a->worker, p->ext, &event,
						     a->bundle, &a->settlements,
						     &err);
			runs++;
		}
		if (code == STATOR_OK)
			offset++;
		stator__arena_reset(arena_of(a));
	}
	if (code < 0)
		stator__map_rollback(a->bundle);
	if (offset > p->offset)
		p->tries = 0;
	if (!flush(a, p, offset))
		return true;
	if (code < 0)
		failed(a, p, offset + 1, &err);
	return code < 0 || offset >= last;
}

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
	idle = stator__effects_run(a->effects, a->bundle, BUNDLE);
	if (stator__map_count(a->bundle) == 0)
		return idle;
	/* What was done and cannot be noted is done again: at least once. */
	if (a->commit(a->ctx, a->bundle, &err))
		stator__log(STATOR_LOG_WARNING, "effects", err.msg);
	stator__map_clear(a->bundle);
	return false;
}

/* The least offset that all projectors that are not parked have seen. */
static int64_t
progress(const stator_async *a, int64_t last)
{
	int64_t least = last;

	for (size_t i = 0; i < a->count; i++)
		if (!a->projectors[i].parked && a->projectors[i].offset < least)
			least = a->projectors[i].offset;
	return least;
}

static void
wait_for_more(stator_async *a, int64_t handled)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += FIRST_WAIT_MS * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	if (a->seen < handled)
		pthread_cond_timedwait(&a->wake, &a->lock, &until);
	else
		while (!a->stopping && !a->poked && a->last == handled)
			pthread_cond_wait(&a->wake, &a->lock);
}

/* An old snapshot keeps memory and pages, also where all is parked. */
static void
look_afresh(stator_async *a)
{
	stator_error err;

	if (a->worker->view.ops->refresh(a->worker->view.snapshot, &err))
		stator__log(STATOR_LOG_WARNING, "projectors", err.msg);
}

static void *
async_main(void *ctx)
{
	stator_async *a = ctx;

	pthread_mutex_lock(&a->lock);
	while (!a->stopping) {
		int64_t last = a->last;
		bool done = true, effects_done;

		a->poked = false;
		pthread_mutex_unlock(&a->lock);
		look_afresh(a);
		for (size_t i = 0; i < a->count; i++)
			done &= advance(a, &a->projectors[i], last);
		effects_done = do_effects(a);
		pthread_mutex_lock(&a->lock);
		a->seen = effects_done && !a->poked ? progress(a, last)
						    : last - 1;
		pthread_cond_broadcast(&a->done);
		if (done && a->last == last && !a->stopping)
			wait_for_more(a, last);
	}
	pthread_mutex_unlock(&a->lock);
	return NULL;
}

static void
find_projectors(stator_async *a, const stator_version *v)
{
	const stator_def *def = v->def;

	a->projectors = stator__alloc((def->ext_count + 1) *
				      sizeof(*a->projectors));
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];

		if (ext->kind != STATOR_PROJECTOR || ext->sync)
			continue;
		a->projectors[a->count].ext = ext;
		a->projectors[a->count++].name =
			stator__format("projector %s", ext->name);
	}
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

		code = stator__number_get(view, arena,
					  stator__meta_key(arena, p->name),
					  &p->offset, err);
		p->saved = p->offset;
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
	for (size_t i = 0; i < a->count; i++)
		free((void *)(uintptr_t)a->projectors[i].name);
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
	int code;

	if (a->worker == NULL)
		return STATOR_OK;
	code = read_offsets(a, err);
	if (code)
		return code;
	a->running = true;
	pthread_create(&a->thread, NULL, async_main, a);
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
