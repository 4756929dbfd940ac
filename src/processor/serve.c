/*
 * serve.c: the functions of stator.h that take requests, lend partitions to
 * threads of the embedder, and tell what was counted.
 */
#include <stdlib.h>

#include "processor/host.h"

/* Choosing an application --------------------------------------------------- */

/* Says what is wrong with the name, and which ones there are. */
static int
refuse_name(const stator_host *first, int code, const char *what,
	    const char *app, stator_error *err)
{
	stator_buf names = {NULL, 0, 0};

	for (const stator_host *h = first; h; h = stator__host_next(h))
		if (stator__host_processors(h))
			stator__buf_format(&names, "%s%s",
					   names.size ? ", " : "",
					   h->app->name);
	if (names.size)
		stator__fail(err, code, "%s%s; there is %.*s", what, app,
			     (int)names.size, (const char *)names.data);
	else
		stator__fail(err, STATOR_NOT_FOUND,
			     "no application is deployed");
	free(names.data);
	return err->code;
}

int
stator__host_choose(stator_host *first, const char *app, stator_host **out,
		    stator_error *err)
{
	*out = app ? stator__host_find(first, app) : first;
	if (app && *out == NULL)
		return refuse_name(first, STATOR_NOT_FOUND,
				   "no application is called ", app, err);
	if (app == NULL && (stator__host_processors(first) == NULL ||
			    stator__host_next(first)))
		return refuse_name(first, STATOR_BAD_REQUEST,
				   "app: missing, where there are several", "",
				   err);
	return STATOR_OK;
}

/* Requests ------------------------------------------------------------------ */

static void
refuse(stator_host *h, stator_request *r, const stator_error *err)
{
	__atomic_add_fetch(&h->refused, 1, __ATOMIC_RELAXED);
	stator__reply_error(r, stator__status_http(err->code), err);
	stator__reply_send(r);
}

int
stator__host_stopping(stator_error *err)
{
	return stator__fail(err, STATOR_BUSY,
			    "the host is being stopped; ask another one");
}

static void
refuse_full(stator_host *h, stator_request *r)
{
	stator_error err;

	if (stator__gauge_closed(&h->gauge))
		stator__host_stopping(&err);
	else
		stator__fail(&err, STATOR_BUSY,
			     "as many queries as there can be are under way; "
			     "ask again later");
	refuse(h, r, &err);
}

static void
hand_on(stator_host *h, stator_request *r)
{
	stator_partition *p = stator__app_partition(h->app, r->wsid);
	stator_error err;

	if (!stator__gauge_add(&h->gauge, r->is_query, h->waits)) {
		refuse_full(h, r);
	} else if (!stator__processor_submit(h->processors[p->index], r,
					     h->waits)) {
		stator__gauge_done(&h->gauge, 1, r->is_query);
		stator__fail(&err, STATOR_BUSY,
			     "%u requests wait at partition %u, and no more "
			     "can; ask again later",
			     h->serving.queue, p->index);
		refuse(h, r, &err);
	}
}

/* `wrong` is what is wrong with it already, if its code is not 0. */
static void
submit(stator_host *first, stator_request *r, stator_error *wrong)
{
	stator_host *h;

	if (wrong->code == STATOR_OK && (r->clock || r->moves_by))
		stator__host_serve_clock(first, r);
	else if (wrong->code || stator__host_choose(first, r->app, &h, wrong))
		refuse(first, r, wrong);
	else
		hand_on(h, r);
}

static stator_request *
new_request(stator_host *first, const char *text, size_t size,
	    stator_error *err)
{
	return stator__request_new(&first->requests, text ? text : "",
				   text ? size : 0, err);
}

static void
ignore_reply(void *ctx, const char *json, size_t size)
{
	(void)ctx;
	(void)json;
	(void)size;
}

void
stator_host_submit(stator_host *h, const char *text, size_t size,
		   stator_on_reply on_reply, void *ctx)
{
	stator_error err;
	stator_request *r = new_request(h, text, size, &err);

	r->on_reply = on_reply ? on_reply : ignore_reply;
	r->ctx = ctx;
	submit(h, r, &err);
}

/* What a caller waits for. */
typedef struct answer {
	const stator_request *request;
	pthread_mutex_t lock;
	pthread_cond_t came;
	char *json; /* NULL: not yet */
	size_t size;
	int64_t status;
} answer;

static void
on_answer(void *ctx, const char *json, size_t size)
{
	answer *a = ctx;

	pthread_mutex_lock(&a->lock);
	a->status = a->request->status;
	a->json = stator__strndup(json, size);
	a->size = size;
	pthread_cond_signal(&a->came);
	pthread_mutex_unlock(&a->lock);
}

/* Requests wait for this thread, if it is one that runs partitions. */
static void
help(stator_host *first)
{
	stator_log_place before = stator__host_enter(first);

	for (stator_host *h = first; h; h = stator__host_next(h))
		for (uint32_t i = 0; stator__host_processors(h) &&
				     i < h->app->partition_count;
		     i++)
			stator__processor_help(h->processors[i]);
	stator__host_leave(before);
}

int
stator_host_call(stator_host *h, const char *text, size_t size, char **reply,
		 size_t *reply_size)
{
	stator_error err;
	stator_request *r;
	answer a = {NULL};

	if (reply)
		*reply = NULL;
	if (stator__need(h, "host", &err))
		return err.code;
	r = new_request(h, text, size, &err);
	a.request = r;
	pthread_mutex_init(&a.lock, NULL);
	pthread_cond_init(&a.came, NULL);
	r->on_reply = on_answer;
	r->ctx = &a;
	submit(h, r, &err);
	help(h);
	pthread_mutex_lock(&a.lock);
	while (a.json == NULL)
		pthread_cond_wait(&a.came, &a.lock);
	pthread_mutex_unlock(&a.lock);
	pthread_cond_destroy(&a.came);
	pthread_mutex_destroy(&a.lock);
	if (reply)
		*reply = a.json;
	else
		free(a.json);
	if (reply_size)
		*reply_size = a.size;
	return (int)a.status;
}

void
stator_free(void *p)
{
	stator__free(p);
}

void
stator_host_drain(stator_host *first)
{
	if (first == NULL)
		return;
	help(first);
	for (stator_host *h = first; h; h = stator__host_next(h)) {
		stator__gauge_wait(&h->gauge);
		/* A new version would take its projectors away meanwhile. */
		pthread_mutex_lock(&first->deploying);
		for (uint32_t i = 0; stator__host_processors(h) &&
				     i < h->app->partition_count;
		     i++)
			stator__processor_catch_up(h->processors[i]);
		pthread_mutex_unlock(&first->deploying);
	}
}

/* Partitions on threads of the embedder ---------------------------------- */

uint32_t
stator_host_partitions(stator_host *h, const char *app)
{
	stator_error ignored;

	return h == NULL || stator__host_choose(h, app, &h, &ignored)
		       ? 0
		       : h->app->partition_count;
}

int
stator_host_run_partition(stator_host *h, const char *app, uint32_t partition,
			  int64_t timeout_ms, size_t *served, stator_error *err)
{
	stator_log_place before;
	stator_error unsaid;
	size_t ignored;
	int code;

	if (served == NULL)
		served = &ignored;
	*served = 0;
	code = stator__need(h, "host", err);
	if (code == STATOR_OK)
		code = stator__host_choose(h, app, &h, err ? err : &unsaid);
	if (code)
		return code;
	if (!h->serving.own)
		return stator__fail(err, STATOR_INVALID,
				    "partitions of this host have threads: "
				    "open it with STATOR_THREADS_OWN");
	if (partition >= h->app->partition_count)
		return stator__fail(err, STATOR_INVALID,
				    "%s has partitions 0 to %u, not %u",
				    h->app->name, h->app->partition_count - 1,
				    partition);
	before = stator__host_enter(h);
	stator__log_at(h->app->name, partition);
	code = stator__processor_run(h->processors[partition], timeout_ms,
				     served);
	stator__host_leave(before);
	return code;
}

/* Upkeep -------------------------------------------------------------------- */

/* An upgrade may come meanwhile; the data is the same. */
int
stator_host_backup(stator_host *first, const char *to,
		   const stator_upkeep_opts *opts, stator_error *err)
{
	const char *app = opts && STATOR_HAS(opts, app) ? opts->app : NULL;
	stator_log_place before;
	char *version = NULL;
	stator_error ignored;
	stator_host *h;
	int code = stator__need(first, "host", err);

	if (code == STATOR_OK)
		code = stator__need(to, "to", err);
	if (code)
		return code;
	before = stator__host_enter(first);
	if (err == NULL)
		err = &ignored;
	pthread_mutex_lock(&first->deploying);
	code = stator__host_choose(first, app, &h, err);
	if (code == STATOR_OK)
		version = stator__strdup(
			h->app->deployment->version->descriptor.version);
	pthread_mutex_unlock(&first->deploying);
	if (code == STATOR_OK)
		code = stator__backup(h->app, version, to, opts, err);
	stator__host_leave(before);
	free(version);
	return code;
}

void
stator_host_metrics(stator_host *first, stator_on_reply on_line, void *ctx)
{
	stator_host_counts counts = {0};

	if (first == NULL || on_line == NULL)
		return;
	counts.refused = __atomic_load_n(&first->refused, __ATOMIC_RELAXED);
	for (stator_host *h = first; h; h = stator__host_next(h)) {
		pthread_mutex_lock(&h->gauge.lock);
		counts.open += h->gauge.open;
		counts.queries += h->gauge.queries;
		pthread_mutex_unlock(&h->gauge.lock);
	}
	stator__metrics_host(&counts, on_line, ctx);
	for (stator_host *h = first; h; h = stator__host_next(h))
		if (stator__host_processors(h))
			stator__metrics_app(h->app, on_line, ctx);
}
