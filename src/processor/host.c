/*
 * host.c: the functions of stator.h that open hosts, deploy applications, and
 * stop. host.h says how several applications are held.
 */
#include <stdlib.h>

#include "base/files.h"
#include "processor/host.h"

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

stator_log_place
stator__host_enter(const stator_host *h)
{
	stator_log_place before = *stator__log_place();

	*stator__log_place() = (stator_log_place){.logger = &h->logger};
	return before;
}

void
stator__host_leave(stator_log_place before)
{
	*stator__log_place() = before;
}

static void
open_gauge(stator_host *h)
{
	memset(&h->gauge, 0, sizeof(h->gauge));
	pthread_mutex_init(&h->gauge.lock, NULL);
	pthread_cond_init(&h->gauge.changed, NULL);
}

int
stator_host_open(stator_host **out, const stator_host_opts *opts,
		 stator_error *err)
{
	stator_host *h;
	int code = stator__need(out, "out", err);

	if (code == STATOR_OK && opts)
		code = stator__host_opts_check(opts, err);
	if (code)
		return code;
	h = stator__alloc(sizeof(*h));
	pthread_mutex_init(&h->deploying, NULL);
	open_gauge(h);
	stator__request_pool_open(&h->requests);
	stator__host_opts_copy(h, opts);
	*out = h;
	return STATOR_OK;
}

/* For another application; lists of the options are those of the first. */
static stator_host *
open_behind(const stator_host *first)
{
	stator_host *h = stator__alloc(sizeof(*h));

	h->load = first->load;
	h->load.plugin_folder = NULL;
	h->logger = first->logger;
	h->serving = first->serving;
	h->waits = first->waits;
	open_gauge(h);
	return h;
}

static void
free_host(stator_host *h, bool first)
{
	pthread_cond_destroy(&h->gauge.changed);
	pthread_mutex_destroy(&h->gauge.lock);
	if (first) {
		pthread_mutex_destroy(&h->deploying);
		stator__request_pool_close(&h->requests);
		stator__host_opts_free(&h->load);
	} else {
		free((void *)(uintptr_t)h->load.plugin_folder);
	}
	free(h);
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

/* Nothing is taken any more, and what was taken is answered. */
static void
finish(stator_host *h)
{
	stator__gauge_close(&h->gauge);
	for (uint32_t i = 0; h->processors && i < h->app->partition_count; i++)
		stator__processor_attend(h->processors[i]);
	stator__gauge_wait(&h->gauge);
}

void
stator_host_stop(stator_host *first)
{
	stator_log_place before;

	if (first == NULL)
		return;
	before = stator__host_enter(first);
	pthread_mutex_lock(&first->deploying);
	for (stator_host *h = first; h; h = h->next)
		finish(h);
	for (stator_host *h = first; h && !first->stopped; h = h->next)
		stop_threads(h);
	first->stopped = true;
	pthread_mutex_unlock(&first->deploying);
	stator__host_leave(before);
}

void
stator_host_close(stator_host *first)
{
	stator_log_place before;
	stator_host *next;

	if (first == NULL)
		return;
	stator_host_stop(first);
	before = stator__host_enter(first);
	for (stator_host *h = first; h; h = h->next)
		drop_app(h);
	stator__host_leave(before);
	for (stator_host *h = first; h; h = next) {
		next = h->next;
		free_host(h, h == first);
	}
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

/* A plugin is not for a partition. */
static int
report_attach(const stator_deploy_opts *opts, stator_error *err)
{
	stator_problems problems = {0};

	stator__registry_attach_problem(err, &problems);
	report(&problems, opts ? opts->on_problem : NULL,
	       opts ? opts->ctx : NULL, err);
	stator__problems_free(&problems);
	return STATOR_IMAGE;
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

	code = check_schema(version, h->app->data, opts, err);
	if (code) {
		stator__version_free(version);
		return code;
	}
	code = stator__deployment_new(&new, version, h->app->partition_count,
				      old, err);
	if (code)
		return report_attach(opts, err);
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

/* The first version of an application, which is taken. */
static int
begin(stator_host *h, stator_version *version, const char *data,
      const stator_deploy_opts *opts, stator_error *err)
{
	stator_app_opts app_opts = {
		.partitions = opts ? opts->partitions : 0};
	int code = stator__app_open(&h->app, version, data, &app_opts, err);

	if (code == STATOR_IMAGE)
		report_attach(opts, err);
	if (code == STATOR_OK)
		code = start_on_data(h, opts, err);
	if (code) {
		stop_threads(h);
		drop_app(h);
	}
	return code;
}

stator_host *
stator__host_find(stator_host *first, const char *app)
{
	stator_host *h = first;

	while (h && (stator__host_processors(h) == NULL ||
		     strcmp(h->app->name, app) != 0))
		h = stator__host_next(h);
	return h;
}

/* Whether the image is what it is expected to be. */
static int
check_expected(const stator_host *h, const stator_version *version,
	       const stator_deploy_opts *opts, stator_error *err)
{
	int32_t expect = opts && STATOR_HAS(opts, expect) ? opts->expect : 0;

	if (h && expect == STATOR_DEPLOY_NEW)
		return stator__fail(err, STATOR_EXISTS, "%s is deployed already",
				    version->app);
	if (h == NULL && expect == STATOR_DEPLOY_VERSION)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "%s is not deployed: an image keeps its "
				    "application while it is served",
				    version->app);
	return STATOR_OK;
}

/* A version goes where the application is: on its data, as it is cut. */
static int
check_place(const stator_host *h, const char *data,
	    const stator_deploy_opts *opts, stator_error *err)
{
	uint32_t has = h->app->partition_count;
	char *folder = stator__app_folder(data, h->app->name);
	int code = STATOR_OK;

	if (!stator__is_same_file(folder, h->app->data))
		code = stator__fail(err, STATOR_INVALID,
				    "%s has its data in %s; a new version "
				    "cannot take it to %s",
				    h->app->name, h->app->data, folder);
	else if (opts && opts->partitions && opts->partitions != has)
		code = stator__fail(err, STATOR_INVALID,
				    "%s has %u partition%s, not %u",
				    h->app->name, has, has == 1 ? "" : "s",
				    opts->partitions);
	free(folder);
	return code;
}

/* With the options of `made`: a host without an application, for one that is
 * not there yet. */
static int
deploy(stator_host *first, stator_host *made, const char *image,
       const char *data, const stator_deploy_opts *opts, stator_error *err)
{
	stator_problems problems = {0};
	stator_version *version;
	stator_host *h;
	int code = STATOR_OK;

	if (made->load.plugin_folder == NULL)
		made->load.plugin_folder = stator__format("%s/plugins", data);
	version = stator__version_load(image, &made->load, &problems);
	if (version == NULL)
		code = report(&problems, opts ? opts->on_problem : NULL,
			      opts ? opts->ctx : NULL, err);
	stator__problems_free(&problems);
	if (version == NULL)
		return code;
	h = stator__host_find(first, version->app);
	code = check_expected(h, version, opts, err);
	if (code == STATOR_OK && h)
		code = check_place(h, data, opts, err);
	if (code) {
		stator__version_free(version);
		return code;
	}
	if (h == NULL)
		return begin(made, version, data, opts, err);
	/* They are borrowed as long as the version. */
	version->opts = &h->load;
	return upgrade(h, version, opts, err);
}

/* A host that has got an application is there for requests from now on. */
static void
put_behind(stator_host *first, stator_host *made)
{
	while (first->next)
		first = first->next;
	__atomic_store_n(&first->next, made, __ATOMIC_RELEASE);
}

enum { MOST_PARTITIONS = 65535 };

static int
check_deploy(const stator_host *h, const char *image, const char *data,
	     const stator_deploy_opts *opts, stator_error *err)
{
	int code = stator__need(h, "host", err);

	if (code == STATOR_OK)
		code = stator__need(image, "image", err);
	if (code == STATOR_OK)
		code = stator__need(data, "data", err);
	if (code || opts == NULL)
		return code;
	if (opts->abi >> 16 != STATOR_ABI_MAJOR || !STATOR_HAS(opts, ctx))
		return stator__fail(err, STATOR_INVALID,
				    "opts: begin with STATOR_DEPLOY_OPTS_INIT");
	if (opts->partitions > MOST_PARTITIONS)
		return stator__fail(err, STATOR_INVALID,
				    "opts: partitions is 0 to %d, not %u",
				    MOST_PARTITIONS, opts->partitions);
	if (STATOR_HAS(opts, expect) &&
	    (opts->expect < 0 || opts->expect > STATOR_DEPLOY_VERSION))
		return stator__fail(err, STATOR_INVALID,
				    "opts: expect is one of "
				    "STATOR_DEPLOY_..., not %d",
				    opts->expect);
	return STATOR_OK;
}

int
stator_host_deploy(stator_host *h, const char *image, const char *data,
		   const stator_deploy_opts *opts, stator_error *err)
{
	stator_log_place before;
	stator_error ignored;
	stator_host *made;
	int code = check_deploy(h, image, data, opts, err);

	if (code)
		return code;
	if (err == NULL)
		err = &ignored;
	before = stator__host_enter(h);
	pthread_mutex_lock(&h->deploying);
	made = h->app ? open_behind(h) : h;
	if (h->stopped)
		code = stator__fail(err, STATOR_INVALID,
				    "the host has been stopped; open another");
	else
		code = deploy(h, made, image, data, opts, err);
	if (made != h && made->app)
		put_behind(h, made);
	else if (made != h)
		free_host(made, false);
	pthread_mutex_unlock(&h->deploying);
	stator__host_leave(before);
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
	stator_version *version = NULL;
	int count;

	if (opts)
		stator__host_opts_preemption(&load, opts);
	if (image)
		version = stator__version_load(image, &load, &problems);
	else
		stator__problem(&problems, "image", 1, 1, "is NULL");
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
