/*
 * jobs.c: the jobs of a partition, on one thread, one run after the other.
 *
 * A job runs in each workspace of the application that is of the partition. Of
 * each the partition remembers the last tick that it has run for, in the same
 * batch as what the run wrote; so a tick is run once, whenever the process
 * dies. Ticks that nobody could run, because the host was down or a run took
 * too long, are made up for by one run, for the last of them. A run that fails
 * is said and counted; the next tick is run as ever.
 *
 * Runs read a snapshot and collect what they write, as asynchronous projectors
 * do: the partition's own thread only commits it.
 *
 * The thread waits for the system's clock. Where the clock is somebody else's
 * it waits for orders: "all that is due until then".
 */
#include <stdlib.h>
#include <time.h>

#include "processor/processor.h"
#include "storage/storage.h"

/* A job in a workspace. */
typedef struct job {
	const stator_ext *ext;
	int64_t wsid;
	int64_t next; /* tick */
	stator_job_record record;
} job;

struct stator_jobs {
	stator_partition *partition;
	stator_worker *worker; /* NULL: there are no jobs */
	stator_map *bundle;
	stator_settlements settlements; /* of the run */
	stator_async_commit commit;
	void *ctx;
	job *items;
	size_t count;
	int64_t number; /* of runs in the partition, ever */
	bool running;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake; /* there is an order, or to stop */
	pthread_cond_t done; /* nothing is due any more */
	bool by_hand;	     /* runs are ordered */
	bool ready;	     /* the thread has begun */
	bool stopping;
	int64_t until; /* by hand: what was ordered */
	int64_t next;  /* the first tick of all */
	stator_job_counts counts;
};

static stator_arena *
arena_of(stator_jobs *j)
{
	return &j->worker->state.arena;
}

/* What is remembered ---------------------------------------------------- */

enum { RECORD_FIXED = 36 };

static stator_slice
record_key(stator_arena *arena, const stator_ext *ext, int64_t wsid)
{
	return stator__meta_key(arena,
				stator__arena_format(arena, "job %s %lld",
						     ext->name,
						     (long long)wsid));
}

static uint32_t
schedule_id(const stator_ext *ext)
{
	return stator__hash(ext->cron, strlen(ext->cron));
}

int
stator__job_record_get(const stator_view *view, stator_arena *arena,
		       const stator_ext *ext, int64_t wsid,
		       stator_job_record *out, stator_error *err)
{
	stator_slice bytes;
	const uint8_t *p;
	int code = stator__view_get(view, arena, record_key(arena, ext, wsid),
				    &bytes, err);

	if (code)
		return code;
	if (bytes.size < RECORD_FIXED)
		return stator__fail(err, STATOR_CORRUPT,
				    "what the partition remembers of job %s is "
				    "too short",
				    ext->name);
	p = bytes.data;
	out->last = (int64_t)stator__be64(p);
	out->schedule = stator__be32(p + 8);
	out->runs = stator__be64(p + 12);
	out->failures = stator__be64(p + 20);
	out->ran = (int64_t)stator__be64(p + 28);
	out->error = stator__slice(p + RECORD_FIXED,
				   bytes.size - RECORD_FIXED);
	return STATOR_OK;
}

static void
record_put(stator_jobs *j, const job *it, const char *error)
{
	stator_arena *arena = arena_of(j);
	size_t size = RECORD_FIXED + strlen(error);
	uint8_t *p = stator__arena_alloc(arena, size);

	stator__be64_put(p, (uint64_t)it->record.last);
	stator__be32_put(p + 8, it->record.schedule);
	stator__be64_put(p + 12, it->record.runs);
	stator__be64_put(p + 20, it->record.failures);
	stator__be64_put(p + 28, (uint64_t)it->record.ran);
	memcpy(p + RECORD_FIXED, error, strlen(error));
	stator__map_write(j->bundle, record_key(arena, it->ext, it->wsid),
			  stator__slice(p, size), STATOR_CHANGE_PUT);
}

static stator_slice
number_key(stator_jobs *j)
{
	return stator__meta_key(arena_of(j), "jobs");
}

static int
commit(stator_jobs *j, stator_error *err)
{
	int code;

	stator__settle_run(&j->settlements);
	code = j->commit(j->ctx, j->bundle, err);
	stator__map_clear(j->bundle);
	return code;
}

/* A run ----------------------------------------------------------------- */

/* What the function of a job is given: a row of sys.JobContext. */
static int
make_context(stator_jobs *j, const job *it, int64_t tick, stator_error *err)
{
	stator_io *io = &j->worker->state.io;
	const stator_binding *b = stator__registry_find(
		j->worker->version->registry, "sys.JobContext");
	stator_builder row;
	int code;

	stator__build(&row, arena_of(j), b->value);
	code = stator__build_int(&row, JOB_WORKSPACE, it->wsid, err);
	if (code == STATOR_OK)
		code = stator__build_int(&row, JOB_UNIX_TIME, tick / 1000, err);
	io->argument = stator__build_done(&row);
	return code;
}

static int
run_extension(stator_jobs *j, const job *it, int64_t tick, stator_error *err)
{
	stator_worker *w = j->worker;
	stator_io *io = &w->state.io;
	int code = w->view.ops->refresh(w->view.snapshot, err);

	if (code)
		return code;
	stator__state_begin(&w->state, it->ext, it->wsid);
	io->on_result = NULL;
	io->run.plog_offset = io->run.wlog_offset = 0;
	io->run.now_ms = stator__worker_now(w);
	code = make_context(j, it, tick, err);
	if (code == STATOR_OK)
		code = stator__worker_count(w, it->ext, err);
	if (code)
		stator__state_apply_log(&w->state);
	return code;
}

/* Into the bundle, and what has effects into the outbox. */
static int
apply_intents(stator_jobs *j, const job *it, stator_error *err)
{
	stator_state *st = &j->worker->state;
	int code = stator__state_validate(st, err);

	if (code == STATOR_OK)
		code = stator__kind_check_views(j->worker, err);
	if (code == STATOR_OK) {
		st->io.writes = j->bundle;
		code = stator__state_apply(st, err);
		st->io.writes = NULL;
	}
	if (code)
		return stator__wrap(err, "%s", it->ext->name);
	stator__settle_keep(&j->settlements, st);
	/* There is no event whose offset would tell effects apart. */
	st->io.run.plog_offset = -j->number;
	stator__effects_keep(st, j->bundle);
	return STATOR_OK;
}

static void
say_failure(stator_jobs *j, const job *it, int64_t tick,
	    const stator_error *err)
{
	const stator_run run = {.extension = it->ext->name, .wsid = it->wsid};
	char at[STATOR_TIME_TEXT], next[STATOR_TIME_TEXT];

	stator__log_place()->run = &run;
	stator__logf(STATOR_LOG_ERROR, it->ext->name,
		     "tick %s in workspace %lld of partition %u: %s; it is run "
		     "again at %s",
		     stator__time_show(at, tick), (long long)it->wsid,
		     j->partition->index, err->msg,
		     stator__time_show(next, it->next));
	stator__log_place()->run = NULL;
}

static void
run_job(stator_jobs *j, job *it, int64_t until)
{
	int64_t tick = stator__cron_last(&it->ext->schedule, it->record.last,
					 until);
	stator_error err = {0};
	int code;

	j->number++;
	code = run_extension(j, it, tick, &err);
	if (code == STATOR_OK)
		code = apply_intents(j, it, &err);
	if (code) {
		stator__map_clear(j->bundle);
		stator__settle_drop(&j->settlements);
	}
	stator__worker_end(j->worker);
	it->record.last = it->record.ran = tick;
	it->record.runs++;
	it->record.failures += code != STATOR_OK;
	it->next = stator__cron_next(&it->ext->schedule, tick);
	record_put(j, it, code ? err.msg : "");
	stator__number_put(j->bundle, number_key(j), j->number);
	if (code)
		say_failure(j, it, tick, &err);
	/* If this cannot be kept, nothing of the run is. */
	if (commit(j, &err) && code == STATOR_OK) {
		it->record.failures++;
		code = err.code;
		say_failure(j, it, tick, &err);
	}
	stator__arena_reset(arena_of(j));
	j->counts.runs++;
	j->counts.failures += code != STATOR_OK;
}

/* The thread ------------------------------------------------------------ */

static bool
is_stopping(stator_jobs *j)
{
	bool stopping;

	pthread_mutex_lock(&j->lock);
	stopping = j->stopping;
	pthread_mutex_unlock(&j->lock);
	return stopping;
}

static int64_t
first_tick(const stator_jobs *j)
{
	int64_t first = STATOR_TIME_END;

	for (size_t i = 0; i < j->count; i++)
		if (j->items[i].next < first)
			first = j->items[i].next;
	return first;
}

/* Nothing can be read: what is due fails, and is not tried again at once. */
static void
fail_due(stator_jobs *j, int64_t until, const stator_error *err)
{
	for (size_t i = 0; i < j->count; i++) {
		job *it = &j->items[i];

		if (it->next > until)
			continue;
		it->next = stator__cron_next(&it->ext->schedule, until);
		it->record.failures++;
		it->record.runs++;
		j->counts.failures++;
		j->counts.runs++;
		say_failure(j, it, until, err);
	}
}

/* All that is due, in the order of the schema and of workspaces. */
static void
run_due(stator_jobs *j, int64_t until)
{
	stator_view *view = &j->worker->view;
	stator_error err;

	/* It is held only as long as it is needed: it keeps memory. */
	if (view->ops->snapshot(j->partition->store, &view->snapshot, &err)) {
		fail_due(j, until, &err);
		return;
	}
	for (size_t i = 0; i < j->count && !is_stopping(j); i++)
		if (j->items[i].next <= until)
			run_job(j, &j->items[i], until);
	view->ops->snapshot_end(view->snapshot);
	view->snapshot = NULL;
}

static void
wait_for(stator_jobs *j, int64_t tick)
{
	struct timespec at = {.tv_sec = (time_t)(tick / 1000),
			      .tv_nsec = (long)(tick % 1000) * 1000000};

	if (j->by_hand || tick == STATOR_TIME_END)
		pthread_cond_wait(&j->wake, &j->lock);
	else
		pthread_cond_timedwait(&j->wake, &j->lock, &at);
}

/* Jobs that are new count from now on: that is remembered, too. */
static void
keep_new(stator_jobs *j)
{
	stator_error err;

	if (stator__map_count(j->bundle) && commit(j, &err))
		stator__log(STATOR_LOG_WARNING, "jobs", err.msg);
}

static void *
jobs_main(void *ctx)
{
	stator_jobs *j = ctx;

	stator__log_at(j->partition->app->name, j->partition->index);
	keep_new(j);
	pthread_mutex_lock(&j->lock);
	j->ready = true;
	while (!j->stopping) {
		int64_t until = j->by_hand ? j->until
					   : stator__worker_now(j->worker);

		if (j->next > until) {
			pthread_cond_broadcast(&j->done);
			wait_for(j, j->next);
			continue;
		}
		pthread_mutex_unlock(&j->lock);
		run_due(j, until);
		pthread_mutex_lock(&j->lock);
		j->next = first_tick(j);
	}
	pthread_cond_broadcast(&j->done);
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

int64_t
stator__jobs_next(stator_jobs *j)
{
	int64_t next;

	pthread_mutex_lock(&j->lock);
	next = j->running ? j->next : STATOR_TIME_END;
	pthread_mutex_unlock(&j->lock);
	return next;
}

void
stator__jobs_order(stator_jobs *j, int64_t until)
{
	pthread_mutex_lock(&j->lock);
	j->until = until;
	pthread_cond_signal(&j->wake);
	pthread_mutex_unlock(&j->lock);
}

void
stator__jobs_wait(stator_jobs *j, stator_job_counts *counts)
{
	pthread_mutex_lock(&j->lock);
	while (j->running && !j->stopping && (!j->ready || j->next <= j->until))
		pthread_cond_wait(&j->done, &j->lock);
	counts->runs += j->counts.runs;
	counts->failures += j->counts.failures;
	j->counts = (stator_job_counts){0, 0};
	pthread_mutex_unlock(&j->lock);
}

/* Life ------------------------------------------------------------------ */

static void
find_jobs(stator_jobs *j, const stator_version *v)
{
	const stator_def *def = v->def;
	uint32_t partitions = j->partition->app->partition_count;
	size_t cap = 0;

	for (size_t i = 0; i < def->ext_count; i++)
		for (uint32_t k = 0; def->exts[i].kind == STATOR_JOB &&
				     k < v->descriptor.app_workspaces;
		     k++) {
			int64_t wsid = STATOR_APP_WORKSPACE + (int64_t)k;

			if ((uint64_t)wsid % partitions != j->partition->index)
				continue;
			STATOR_GROW(j->items, j->count, cap);
			j->items[j->count++] =
				(job){.ext = &def->exts[i], .wsid = wsid};
		}
}

static void
free_jobs(stator_jobs *j)
{
	if (j->worker)
		stator__worker_free(j->worker);
	stator__map_free(j->bundle);
	stator__settle_free(&j->settlements);
	free(j->items);
	pthread_cond_destroy(&j->done);
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

stator_jobs *
stator__jobs_new(stator_partition *partition,
		 const stator_deployment *deployment,
		 stator_async_commit commit_bundle, void *ctx,
		 stator_problems *problems)
{
	const stator_version *v = deployment->version;
	stator_jobs *j = stator__alloc(sizeof(*j));

	j->partition = partition;
	j->commit = commit_bundle;
	j->ctx = ctx;
	j->by_hand = v->opts->clock.now != NULL;
	j->until = -1;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	pthread_cond_init(&j->done, NULL);
	find_jobs(j, v);
	if (j->count == 0)
		return j;
	j->bundle = stator__map_new();
	j->worker = stator__worker_new(partition, deployment, problems);
	if (j->worker)
		return j;
	free_jobs(j);
	return NULL;
}

/* Where a job stands; one that is new, or has a new schedule, begins now. */
static int
read_record(stator_jobs *j, job *it, int64_t now, stator_error *err)
{
	int code = stator__job_record_get(&j->worker->view, arena_of(j),
					  it->ext, it->wsid, &it->record, err);

	if (code < 0)
		return code;
	if (code == STATOR_NONE || it->record.schedule != schedule_id(it->ext)) {
		it->record.last = now;
		it->record.schedule = schedule_id(it->ext);
		record_put(j, it, "");
	}
	it->record.error = stator__slice(NULL, 0);
	it->next = stator__cron_next(&it->ext->schedule, it->record.last);
	return STATOR_OK;
}

static int
read_records(stator_jobs *j, stator_error *err)
{
	stator_view *view = &j->worker->view;
	int64_t now = stator__worker_now(j->worker);
	int code = view->ops->snapshot(j->partition->store, &view->snapshot,
				       err);

	if (code)
		return code;
	for (size_t i = 0; i < j->count && code >= 0; i++)
		code = read_record(j, &j->items[i], now, err);
	if (code >= 0)
		code = stator__number_get(view, arena_of(j), number_key(j),
					  &j->number, err);
	view->ops->snapshot_end(view->snapshot);
	view->snapshot = NULL;
	stator__arena_reset(arena_of(j));
	return code < 0 ? code : STATOR_OK;
}

int
stator__jobs_start(stator_jobs *j, stator_error *err)
{
	int code;

	if (j->worker == NULL)
		return STATOR_OK;
	code = read_records(j, err);
	if (code)
		return code;
	j->next = first_tick(j);
	j->running = true;
	stator__thread_start(&j->thread, jobs_main, j);
	return STATOR_OK;
}

void
stator__jobs_stop(stator_jobs *j)
{
	if (j->running) {
		pthread_mutex_lock(&j->lock);
		j->stopping = true;
		pthread_cond_broadcast(&j->wake);
		pthread_mutex_unlock(&j->lock);
		pthread_join(j->thread, NULL);
	}
	free_jobs(j);
}
