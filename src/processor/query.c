/*
 * query.c: one query, and the threads that run them.
 */
#include <stdlib.h>

#include "processor/processor.h"

/* What the argument refers to must be there, as for commands. */
static int
read_argument(stator_worker *w, const stator_ext *ext, const stator_request *r,
	      stator_error *err)
{
	stator_row *const argument = &w->state.io.argument;
	stator_changes none = {.worker = w, .wsid = r->wsid};
	int code = stator__argument_read(w, ext, "args", ext->arg, r->args,
					 NULL, argument, err);

	if (code == STATOR_OK)
		code = stator__changes_open(&none, &argument, 1, err);
	stator__changes_free(&none);
	return code;
}

/* A row of the result becomes text as soon as it is there, and is not held. */
typedef struct query_reply {
	stator_json_out out;
	const stator_def *def;
} query_reply;

static int
on_result(stator_io *io, const stator_row *row, stator_error *err)
{
	query_reply *reply = io->result_ctx;

	(void)err;
	stator__row_to_json(&reply->out, reply->def, row, STATOR_JSON_BARE);
	return STATOR_OK;
}

static int
execute(stator_worker *w, const stator_ext *ext, query_reply *reply,
	stator_error *err)
{
	stator_settlements settlements = {0};
	stator_state *st = &w->state;
	int code;

	st->io.run.plog_offset = st->io.run.wlog_offset = 0;
	st->io.run.now_ms = stator__worker_now(w);
	st->io.on_result = on_result;
	st->io.result_ctx = reply;
	if (stator__operator_has(w, ext))
		return stator__operator_query(w, ext, err);
	code = stator__worker_count(w, ext, err);
	if (code) {
		stator__state_apply_log(st);
		return code;
	}
	code = stator__state_validate(st, err);
	if (code == STATOR_OK)
		code = stator__state_apply(st, err);
	if (code)
		return stator__wrap(err, "%s", ext->name);
	if (st->io.status && st->io.status != 200)
		return stator__fail(err, STATOR_RESPONSE, "%.*s",
				    (int)st->io.message.size,
				    (const char *)st->io.message.data);
	/* It has no batch, so that is complete. */
	stator__settle_keep(&settlements, st);
	stator__settle_run(&settlements);
	stator__settle_free(&settlements);
	return STATOR_OK;
}

void
stator__query_run(stator_worker *w, stator_request *r)
{
	const stator_def *def = w->version->def;
	query_reply reply = {.def = def};
	const stator_ext *ext;
	stator_error err;
	int code = stator__request_find(r, def, STATOR_QUERY, &ext, &err);

	stator__reply_begin(&reply.out, r, 200);
	stator__json_name(&reply.out, "rows");
	stator__json_begin(&reply.out, '[');
	if (code == STATOR_OK) {
		stator__state_begin(&w->state, ext, r->wsid);
		code = stator__kind_check_query(w, ext, r->wsid, &err);
		if (code == STATOR_OK)
			code = stator__sender_read(w, r, &err);
		if (code == STATOR_OK)
			code = read_argument(w, ext, r, &err);
		if (code == STATOR_OK)
			code = execute(w, ext, &reply, &err);
	}
	if (code == STATOR_OK) {
		stator__json_end(&reply.out, ']');
		stator__reply_end(&reply.out);
	} else {
		err.code = code;
		stator__reply_error(r,
				    stator__reply_status(&w->state, code),
				    &err);
	}
	stator__worker_end(w);
}

void
stator__query_reply(const stator_partition *partition, stator_request *r)
{
	stator__meter_add_shared(&partition->meter->queries, 1);
	if (r->status != 200)
		stator__meter_add_shared(&partition->meter->queries_failed, 1);
	stator__reply_send(r);
}

/* The pool ---------------------------------------------------------------------- */

typedef struct query_job {
	stator_partition *partition;
	stator_snapshot *snapshot;
	stator_request *request;
	struct query_job *next;
} query_job;

typedef struct query_thread {
	stator_query_pool *pool;
	pthread_t thread;
	stator_worker **workers; /* by partition; made when first needed */
} query_thread;

struct stator_query_pool {
	stator_app *app;
	const stator_deployment *deployment;
	stator_gauge *gauge;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	query_job *first, **last;
	bool stopping;
	query_thread *threads;
	size_t count;
};

static query_job *
next_job(stator_query_pool *pool)
{
	query_job *job;

	pthread_mutex_lock(&pool->lock);
	while (pool->first == NULL && !pool->stopping)
		pthread_cond_wait(&pool->wake, &pool->lock);
	job = pool->first;
	if (job) {
		pool->first = job->next;
		if (pool->first == NULL)
			pool->last = &pool->first;
	}
	pthread_mutex_unlock(&pool->lock);
	return job;
}

static stator_worker *
worker_for(query_thread *t, query_job *job)
{
	stator_worker *w = t->workers[job->partition->index];
	stator_problems problems = {0};
	stator_error err;

	if (w)
		return w;
	w = stator__worker_new(job->partition, t->pool->deployment, &problems);
	if (w == NULL) {
		stator__fail(&err, STATOR_EXTENSION_FAILED, "%s",
			     problems.items[0].message);
		stator__reply_error(job->request, 500, &err);
	}
	stator__problems_free(&problems);
	t->workers[job->partition->index] = w;
	return w;
}

static void
run_job(query_thread *t, query_job *job)
{
	stator_worker *w = worker_for(t, job);

	if (w) {
		w->view.snapshot = job->snapshot;
		stator__query_run(w, job->request);
		w->view.snapshot = NULL;
	}
	job->partition->ops->snapshot_end(job->snapshot);
	stator__query_reply(job->partition, job->request);
	free(job);
	stator__gauge_done(t->pool->gauge, 1, true);
}

static void *
query_main(void *ctx)
{
	query_thread *t = ctx;
	query_job *job;

	while ((job = next_job(t->pool)) != NULL) {
		stator__log_at(t->pool->app->name, job->partition->index);
		run_job(t, job);
	}
	return NULL;
}

stator_query_pool *
stator__queries_start(stator_app *app, const stator_deployment *deployment,
		      stator_gauge *gauge)
{
	stator_query_pool *pool = stator__alloc(sizeof(*pool));

	pool->app = app;
	pool->deployment = deployment;
	pool->gauge = gauge;
	pool->last = &pool->first;
	pool->count = deployment->version->descriptor.query_engines;
	pool->threads = stator__alloc(pool->count * sizeof(*pool->threads));
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->wake, NULL);
	for (size_t i = 0; i < pool->count; i++) {
		query_thread *t = &pool->threads[i];

		t->pool = pool;
		t->workers = stator__alloc(app->partition_count *
					   sizeof(stator_worker *));
		stator__thread_start(&t->thread, query_main, t);
	}
	return pool;
}

void
stator__queries_submit(stator_query_pool *pool, stator_partition *partition,
		       stator_snapshot *snapshot, stator_request *r)
{
	query_job *job = stator__alloc(sizeof(*job));

	*job = (query_job){partition, snapshot, r, NULL};
	pthread_mutex_lock(&pool->lock);
	*pool->last = job;
	pool->last = &job->next;
	pthread_cond_signal(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
}

static void
free_thread(query_thread *t)
{
	for (uint32_t i = 0; i < t->pool->app->partition_count; i++)
		if (t->workers[i])
			stator__worker_free(t->workers[i]);
	free(t->workers);
}

void
stator__queries_stop(stator_query_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stopping = true;
	pthread_cond_broadcast(&pool->wake);
	pthread_mutex_unlock(&pool->lock);
	for (size_t i = 0; i < pool->count; i++) {
		pthread_join(pool->threads[i].thread, NULL);
		free_thread(&pool->threads[i]);
	}
	pthread_cond_destroy(&pool->wake);
	pthread_mutex_destroy(&pool->lock);
	free(pool->threads);
	free(pool);
}
