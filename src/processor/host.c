/*
 * host.c: the functions of stator.h that hold applications and take requests.
 */
#include <stdlib.h>

#include "base/files.h"
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
	stator_app *app; /* NULL until one is deployed */
	stator_query_pool *queries;
	stator_processor **processors; /* by partition */
};

const char *
stator_status_name(int code)
{
	return stator__status_name(code);
}

const char *
stator_strerror(int code)
{
	return stator__status_text(code);
}

int
stator_fail(stator_error *err, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	stator__vfail(err, code, format, args);
	va_end(args);
	return code;
}

const char *
stator_version_string(void)
{
	return stator__host_api.version;
}

enum { DEFAULT_QUEUE = 4096 };

static void *
copy_array(const void *items, size_t count, size_t size)
{
	void *copy = stator__alloc(count * size);

	if (count)
		memcpy(copy, items, count * size);
	return copy;
}

/* A host that was built before these fields has a shorter struct. */
static void
copy_preemption(stator_load_opts *to, const stator_host_opts *opts)
{
	if (!STATOR_HAS(opts, preempt_signal))
		return;
	to->preemption = opts->preemption;
	to->preempt_signal = opts->preempt_signal;
}

static void
copy_load_opts(stator_load_opts *to, const stator_host_opts *opts)
{
	char **files = stator__alloc((opts->plugin_file_count + 1) *
				     sizeof(*files));

	for (size_t i = 0; i < opts->plugin_file_count; i++)
		files[i] = stator__strdup(opts->plugin_files[i]);
	to->builtins = copy_array(opts->builtins, opts->builtin_count,
				  sizeof(*opts->builtins));
	to->builtin_count = opts->builtin_count;
	to->plugins = copy_array(opts->plugins, opts->plugin_count,
				 sizeof(*opts->plugins));
	to->plugin_count = opts->plugin_count;
	to->plugin_files = (const char *const *)files;
	to->plugin_file_count = opts->plugin_file_count;
	copy_preemption(to, opts);
}

static void
free_load_opts(stator_load_opts *o)
{
	for (size_t i = 0; i < o->plugin_file_count; i++)
		free((void *)(uintptr_t)o->plugin_files[i]);
	free((void *)(uintptr_t)o->plugin_files);
	free((void *)(uintptr_t)o->plugins);
	free((void *)(uintptr_t)o->builtins);
	free((void *)(uintptr_t)o->plugin_folder);
}

static void
copy_manners(stator_host *h, const stator_host_opts *opts)
{
	if (opts->log_level)
		h->logger.level = opts->log_level;
	if (!STATOR_HAS(opts, when_full))
		return;
	h->logger.json = opts->log_format == STATOR_LOG_FORMAT_JSON;
	h->logger.on_log = opts->on_log;
	h->logger.ctx = opts->log_ctx;
	h->waits = opts->when_full == STATOR_FULL_WAIT;
	if (!STATOR_HAS(opts, work_ctx))
		return;
	h->serving.own = opts->threads == STATOR_THREADS_OWN;
	if (h->serving.own)
		h->serving.on_work = opts->on_work;
	h->serving.ctx = opts->work_ctx;
}

/* The thread that calls works for the host until it has left it again: threads
 * that are started meanwhile do, too. */
static stator_log_place
enter(const stator_host *h)
{
	stator_log_place before = *stator__log_place();

	*stator__log_place() = (stator_log_place){.logger = &h->logger};
	return before;
}

static void
leave(stator_log_place before)
{
	*stator__log_place() = before;
}

int
stator_host_open(stator_host **out, const stator_host_opts *opts,
		 stator_error *err)
{
	stator_host *h;

	if (opts && opts->abi >> 16 != STATOR_ABI_MAJOR)
		return stator__fail(err, STATOR_INVALID,
				    "opts: begin with STATOR_HOST_OPTS_INIT");
	h = stator__alloc(sizeof(*h));
	h->logger.level = STATOR_LOG_INFO;
	h->waits = true;
	h->serving.queue = opts && opts->queue ? opts->queue : DEFAULT_QUEUE;
	pthread_mutex_init(&h->deploying, NULL);
	pthread_mutex_init(&h->gauge.lock, NULL);
	pthread_cond_init(&h->gauge.changed, NULL);
	if (opts) {
		copy_load_opts(&h->load, opts);
		copy_manners(h, opts);
	}
	*out = h;
	return STATOR_OK;
}

static void
stop_processors(stator_host *h, stator_processor **processors)
{
	for (uint32_t i = 0; i < h->app->partition_count; i++)
		if (processors[i])
			stator__processor_stop(processors[i]);
}

static void
free_processors(stator_host *h, stator_processor **processors)
{
	for (uint32_t i = 0; i < h->app->partition_count; i++)
		if (processors[i])
			stator__processor_free(processors[i]);
	free(processors);
}

static void
stop_threads(stator_host *h)
{
	if (h->processors)
		stop_processors(h, h->processors);
	if (h->queries)
		stator__queries_stop(h->queries);
	h->queries = NULL;
}

/* Behind `stop_threads`. */
static void
drop_app(stator_host *h)
{
	if (h->processors)
		free_processors(h, h->processors);
	h->processors = NULL;
	if (h->app)
		stator__app_close(h->app);
	h->app = NULL;
}

void
stator_host_stop(stator_host *h)
{
	stator_log_place before = enter(h);

	pthread_mutex_lock(&h->deploying);
	stator__gauge_close(&h->gauge);
	for (uint32_t i = 0; h->processors && i < h->app->partition_count; i++)
		stator__processor_attend(h->processors[i]);
	stator__gauge_wait(&h->gauge);
	if (!h->stopped)
		stop_threads(h);
	h->stopped = true;
	pthread_mutex_unlock(&h->deploying);
	leave(before);
}

void
stator_host_close(stator_host *h)
{
	stator_log_place before;

	if (h == NULL)
		return;
	stator_host_stop(h);
	before = enter(h);
	drop_app(h);
	leave(before);
	pthread_cond_destroy(&h->gauge.changed);
	pthread_mutex_destroy(&h->gauge.lock);
	pthread_mutex_destroy(&h->deploying);
	free_load_opts(&h->load);
	free(h);
}

/* Gives all problems to the callback, and the first one to `err`. */
static int
report(const stator_problems *problems, stator_on_problem on_problem,
       void *ctx, stator_error *err)
{
	for (size_t i = 0; i < problems->count; i++) {
		const stator_problem *p = &problems->items[i];

		if (on_problem)
			on_problem(ctx, p->file, p->line ? p->line : 1,
				   p->col ? p->col : 1, p->message);
		if (i == 0)
			stator__fail(err, STATOR_IMAGE, "%s:%d:%d: %s", p->file,
				     p->line ? p->line : 1, p->col ? p->col : 1,
				     p->message);
	}
	return STATOR_IMAGE;
}

/* What the schema asks for and this version does not do is said aloud. */
static void
warn_of_jobs(const stator_def *def)
{
	for (size_t i = 0; i < def->ext_count; i++)
		if (def->exts[i].kind == STATOR_JOB)
			stator__log(STATOR_LOG_WARNING, def->exts[i].name,
				    "this job is not started: there is no "
				    "scheduler in this version");
}

/* Whether the version fits the data that is there. */
static int
check_schema(const stator_version *version, const char *folder,
	     const stator_deploy_opts *opts, stator_error *err)
{
	stator_problems problems = {0};
	int code = stator__schema_check(version, folder, &problems, err);

	if (problems.count)
		code = report(&problems, opts ? opts->on_problem : NULL,
			      opts ? opts->ctx : NULL, err);
	stator__problems_free(&problems);
	return code;
}

/* They are there for requests when all of them are. */
static int
start(stator_host *h, const stator_deploy_opts *opts, stator_error *err)
{
	stator_problems problems = {0};
	stator_processor **all;
	int code = STATOR_OK;

	warn_of_jobs(h->app->deployment->version->def);
	h->queries = stator__queries_start(h->app, h->app->deployment,
					   &h->gauge);
	all = stator__alloc(h->app->partition_count * sizeof(*all));
	for (uint32_t i = 0; i < h->app->partition_count && !code; i++) {
		all[i] = stator__processor_start(
			&h->app->partitions[i], h->app->deployment,
			&h->serving, &h->gauge, h->queries, &problems);
		if (all[i] == NULL)
			code = report(&problems, opts ? opts->on_problem : NULL,
				      opts ? opts->ctx : NULL, err);
	}
	if (code) {
		stop_processors(h, all);
		free_processors(h, all);
	} else {
		__atomic_store_n(&h->processors, all, __ATOMIC_RELEASE);
	}
	stator__problems_free(&problems);
	return code;
}

static void
drop_upgrade(stator_host *h, stator_deployment *new,
	     stator_query_pool *queries)
{
	for (uint32_t i = 0; i < h->app->partition_count; i++)
		stator__processor_drop(h->processors[i]);
	stator__queries_stop(queries);
	stator__deployment_free(new);
}

/* A new version in the place of the one that runs; it is taken. */
static int
upgrade(stator_host *h, stator_version *version,
	const stator_deploy_opts *opts, stator_error *err)
{
	stator_deployment *old = h->app->deployment, *new;
	stator_problems problems = {0};
	stator_buf before = {NULL, 0, 0};
	stator_query_pool *queries;
	int code = STATOR_OK;

	if (strcmp(version->app, h->app->name) != 0) {
		stator__fail(err, STATOR_INVALID,
			     "%s is deployed already; a host of this version "
			     "holds one application, not %s too",
			     h->app->name, version->app);
		stator__version_free(version);
		return err->code;
	}
	code = check_schema(version, h->app->data, opts, err);
	if (code) {
		stator__version_free(version);
		return code;
	}
	code = stator__deployment_new(&new, version, h->app->partition_count,
				      old, err);
	if (code)
		return code;
	queries = stator__queries_start(h->app, new, &h->gauge);
	for (uint32_t i = 0; i < h->app->partition_count && !code; i++)
		code = stator__processor_prepare(h->processors[i], new, queries,
						 &problems);
	if (code)
		code = report(&problems, opts ? opts->on_problem : NULL,
			      opts ? opts->ctx : NULL, err);
	else
		code = stator__schema_keep(version, h->app->data, &before, err);
	stator__problems_free(&problems);
	free(before.data);
	if (code) {
		drop_upgrade(h, new, queries);
		return code;
	}
	for (uint32_t i = 0; i < h->app->partition_count; i++)
		stator__processor_switch(h->processors[i]);
	h->app->deployment = new;
	stator__queries_stop(h->queries);
	h->queries = queries;
	stator__deployment_free(old);
	warn_of_jobs(new->version->def);
	return STATOR_OK;
}

/* What is written from here on is of the new schema. */
static int
start_on_data(stator_host *h, const stator_deploy_opts *opts, stator_error *err)
{
	const stator_version *version = h->app->deployment->version;
	stator_buf before = {NULL, 0, 0};
	int code = check_schema(version, h->app->data, opts, err);

	if (code)
		return code;
	code = stator__schema_keep(version, h->app->data, &before, err);
	if (code == STATOR_OK) {
		code = start(h, opts, err);
		if (code)
			stator__schema_put_back(h->app->data, &before);
	}
	free(before.data);
	return code;
}

static int
deploy(stator_host *h, const char *image, const char *data,
       const stator_deploy_opts *opts, stator_error *err)
{
	stator_app_opts app_opts = {
		.partitions = opts ? opts->partitions : 0};
	stator_problems problems = {0};
	stator_version *version;
	int code;

	if (h->load.plugin_folder == NULL)
		h->load.plugin_folder = stator__format("%s/plugins", data);
	version = stator__version_load(image, &h->load, &problems);
	if (version == NULL) {
		code = report(&problems, opts ? opts->on_problem : NULL,
			      opts ? opts->ctx : NULL, err);
		stator__problems_free(&problems);
		return code;
	}
	stator__problems_free(&problems);
	if (h->app)
		return upgrade(h, version, opts, err);
	code = stator__app_open(&h->app, version, data, &app_opts, err);
	if (code == STATOR_OK)
		code = start_on_data(h, opts, err);
	if (code) {
		stop_threads(h);
		drop_app(h);
	}
	return code;
}

int
stator_host_deploy(stator_host *h, const char *image, const char *data,
		   const stator_deploy_opts *opts, stator_error *err)
{
	stator_log_place before = enter(h);
	stator_error ignored;
	int code;

	if (err == NULL)
		err = &ignored;
	pthread_mutex_lock(&h->deploying);
	if (h->stopped)
		code = stator__fail(err, STATOR_INVALID,
				    "the host has been stopped; open another");
	else
		code = deploy(h, image, data, opts, err);
	pthread_mutex_unlock(&h->deploying);
	leave(before);
	return code;
}

/* What the version would break in data that is there. */
static void
check_data(const stator_version *version, const char *data,
	   stator_problems *problems)
{
	char *folder = stator__app_folder(data, version->app);
	size_t before = problems->count;
	stator_error err;

	if (!stator__is_folder(folder))
		stator__problem(problems, folder, 1, 1,
				"there is no data of %s", version->app);
	else if (stator__schema_check(version, folder, problems, &err) &&
		 problems->count == before)
		stator__problem(problems, folder, 1, 1, "%s", err.msg);
	free(folder);
}

int
stator_check_data(const char *image, const char *data,
		  const stator_host_opts *opts, stator_on_problem on_problem,
		  void *ctx)
{
	stator_load_opts load = {
		.purpose = STATOR_TO_CHECK,
		.plugins = opts ? opts->plugins : NULL,
		.plugin_count = opts ? opts->plugin_count : 0,
		.plugin_files = opts ? opts->plugin_files : NULL,
		.plugin_file_count = opts ? opts->plugin_file_count : 0,
	};
	stator_problems warnings = {0}, problems = {.warnings = &warnings};
	stator_version *version;
	int count;

	if (opts)
		copy_preemption(&load, opts);
	version = stator__version_load(image, &load, &problems);
	if (version && data)
		check_data(version, data, &problems);
	count = (int)problems.count;
	for (size_t i = 0; i < warnings.count; i++) {
		const stator_problem *w = &warnings.items[i];

		stator__problem(&problems, w->file, w->line, w->col, "%s",
				w->message);
	}
	stator__problems_sort(&problems);
	report(&problems, on_problem, ctx, NULL);
	stator__version_free(version);
	stator__problems_free(&warnings);
	stator__problems_free(&problems);
	return count;
}

int
stator_check(const char *image, const stator_host_opts *opts,
	     stator_on_problem on_problem, void *ctx)
{
	return stator_check_data(image, NULL, opts, on_problem, ctx);
}

static void
refuse(stator_host *h, stator_request *r, const stator_error *err)
{
	__atomic_add_fetch(&h->refused, 1, __ATOMIC_RELAXED);
	stator__reply_error(r, stator__status_http(err->code), err);
	stator__reply_send(r);
}

/* Requests ------------------------------------------------------------- */

static void
refuse_full(stator_host *h, stator_request *r)
{
	stator_error err;

	if (stator__gauge_closed(&h->gauge))
		stator__fail(&err, STATOR_BUSY,
			     "the host is being stopped; ask another one");
	else
		stator__fail(&err, STATOR_BUSY,
			     "as many queries as there can be are under way; "
			     "ask again later");
	refuse(h, r, &err);
}

/* NULL until one is deployed. */
static stator_processor **
processors_of(const stator_host *h)
{
	return __atomic_load_n(&h->processors, __ATOMIC_ACQUIRE);
}

static void
submit(stator_host *h, stator_request *r, const stator_error *wrong)
{
	stator_partition *p;
	stator_error err;

	if (wrong->code) {
		refuse(h, r, wrong);
		return;
	}
	if (processors_of(h) == NULL) {
		stator__fail(&err, STATOR_NOT_FOUND,
			     "no application is deployed");
		refuse(h, r, &err);
		return;
	}
	p = stator__app_partition(h->app, r->wsid);
	if (!stator__gauge_add(&h->gauge, r->is_query, h->waits)) {
		refuse_full(h, r);
	} else if (!stator__processor_submit(h->processors[p->index], r,
					     h->waits)) {
		stator__gauge_done(&h->gauge, r->is_query);
		stator__fail(&err, STATOR_BUSY,
			     "%u requests wait at partition %u, and no more "
			     "can; ask again later",
			     h->serving.queue, p->index);
		refuse(h, r, &err);
	}
}

void
stator_host_submit(stator_host *h, const char *text, size_t size,
		   stator_on_reply on_reply, void *ctx)
{
	stator_error err;
	stator_request *r = stator__request_new(text, size, &err);

	r->on_reply = on_reply;
	r->ctx = ctx;
	submit(h, r, &err);
}

/* What a caller waits for. */
typedef struct answer {
	pthread_mutex_t lock;
	pthread_cond_t came;
	const stator_request *request;
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
help(stator_host *h)
{
	stator_log_place before = enter(h);

	for (uint32_t i = 0; h->processors && i < h->app->partition_count; i++)
		stator__processor_help(h->processors[i]);
	leave(before);
}

int
stator_host_call(stator_host *h, const char *text, size_t size, char **reply,
		 size_t *reply_size)
{
	stator_error err;
	stator_request *r = stator__request_new(text, size, &err);
	answer a = {.request = r};

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
stator_host_drain(stator_host *h)
{
	help(h);
	stator__gauge_wait(&h->gauge);
	for (uint32_t i = 0; h->processors && i < h->app->partition_count; i++)
		stator__processor_catch_up(h->processors[i]);
}

/* Partitions on threads of the embedder ---------------------------------- */

static int
find_app(const stator_host *h, const char *app, stator_error *err)
{
	if (processors_of(h) == NULL)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "no application is deployed");
	if (app && strcmp(app, h->app->name) != 0)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "no application is called %s; there is %s",
				    app, h->app->name);
	return STATOR_OK;
}

uint32_t
stator_host_partitions(stator_host *h, const char *app)
{
	return find_app(h, app, NULL) ? 0 : h->app->partition_count;
}

int
stator_host_run_partition(stator_host *h, const char *app, uint32_t partition,
			  int64_t timeout_ms, size_t *served, stator_error *err)
{
	int code = find_app(h, app, err);
	stator_log_place before;
	size_t ignored;

	if (served == NULL)
		served = &ignored;
	*served = 0;
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
	before = enter(h);
	stator__log_at(h->app->name, partition);
	code = stator__processor_run(h->processors[partition], timeout_ms,
				     served);
	leave(before);
	return code;
}

/* An upgrade may come meanwhile; the data is the same. */
int
stator_host_backup(stator_host *h, const char *to,
		   const stator_upkeep_opts *opts, stator_error *err)
{
	stator_log_place before = enter(h);
	char *version = NULL;
	stator_error ignored;
	int code;

	if (err == NULL)
		err = &ignored;
	pthread_mutex_lock(&h->deploying);
	if (h->app)
		version = stator__strdup(
			h->app->deployment->version->descriptor.version);
	pthread_mutex_unlock(&h->deploying);
	if (version)
		code = stator__backup(h->app, version, to, opts, err);
	else
		code = stator__fail(err, STATOR_NOT_FOUND,
				    "no application is deployed");
	leave(before);
	free(version);
	return code;
}

void
stator_host_metrics(stator_host *h, stator_on_reply on_line, void *ctx)
{
	stator_host_counts counts = {
		.refused = __atomic_load_n(&h->refused, __ATOMIC_RELAXED)};

	pthread_mutex_lock(&h->gauge.lock);
	counts.open = h->gauge.open;
	counts.queries = h->gauge.queries;
	pthread_mutex_unlock(&h->gauge.lock);
	stator__metrics_host(&counts, on_line, ctx);
	if (processors_of(h))
		stator__metrics_app(h->app, on_line, ctx);
}
