/*
 * host.c: the functions of stator.h that hold applications and take requests.
 *
 * A host holds one application itself, and each other one in a host of its own
 * behind it, with the same options. What is behind it is there until the host
 * is closed, so that requests find their application without a lock.
 */
#include <stdlib.h>

#include "base/files.h"
#include "processor/processor.h"
#include "processor/upkeep.h"

struct stator_host {
	stator_load_opts load; /* with copies of what the options had */
	stator_logger logger;
	uint32_t queue;
	bool waits; /* where there is no room */
	pthread_mutex_t deploying; /* one at a time */
	stator_gauge gauge;
	stator_app *app; /* NULL until one is deployed */
	stator_query_pool *queries;
	stator_processor **processors; /* by partition */
	struct stator_host *next; /* holds another application; atomic */
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

static int
copy_clock(stator_load_opts *to, const stator_host_opts *opts,
	   stator_error *err)
{
	if (!STATOR_HAS(opts, clock_ctx))
		return STATOR_OK;
	if (opts->set_clock && opts->clock == NULL)
		return stator__fail(err, STATOR_INVALID,
				    "opts: set_clock without clock");
	to->clock = (stator_clock){opts->clock, opts->set_clock,
				   opts->clock_ctx};
	return STATOR_OK;
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

	if (opts && opts->abi >> 16 != STATOR_ABI_MAJOR)
		return stator__fail(err, STATOR_INVALID,
				    "opts: begin with STATOR_HOST_OPTS_INIT");
	h = stator__alloc(sizeof(*h));
	h->logger.level = STATOR_LOG_INFO;
	h->waits = true;
	if (opts && copy_clock(&h->load, opts, err)) {
		free(h);
		return STATOR_INVALID;
	}
	h->queue = opts && opts->queue ? opts->queue : DEFAULT_QUEUE;
	pthread_mutex_init(&h->deploying, NULL);
	open_gauge(h);
	if (opts) {
		copy_load_opts(&h->load, opts);
		copy_manners(h, opts);
	}
	*out = h;
	return STATOR_OK;
}

static stator_host *
next_of(const stator_host *h)
{
	return __atomic_load_n(&h->next, __ATOMIC_ACQUIRE);
}

/* For another application; lists of the options are those of the first. */
static stator_host *
open_behind(const stator_host *first)
{
	stator_host *h = stator__alloc(sizeof(*h));

	*h = *first;
	h->load.plugin_folder = NULL;
	h->app = NULL;
	h->queries = NULL;
	h->processors = NULL;
	h->next = NULL;
	open_gauge(h);
	return h;
}

static void
free_host(stator_host *h, bool first)
{
	pthread_cond_destroy(&h->gauge.changed);
	pthread_mutex_destroy(&h->gauge.lock);
	if (first)
		pthread_mutex_destroy(&h->deploying);
	if (first)
		free_load_opts(&h->load);
	else
		free((void *)(uintptr_t)h->load.plugin_folder);
	free(h);
}

static void
stop(stator_host *h)
{
	for (uint32_t i = 0; h->processors && i < h->app->partition_count; i++)
		if (h->processors[i])
			stator__processor_stop(h->processors[i]);
	free(h->processors);
	h->processors = NULL;
	if (h->queries)
		stator__queries_stop(h->queries);
	h->queries = NULL;
	if (h->app)
		stator__app_close(h->app);
	h->app = NULL;
}

void
stator_host_close(stator_host *first)
{
	stator_log_place before;
	stator_host *next;

	if (first == NULL)
		return;
	before = enter(first);
	for (stator_host *h = first; h; h = h->next) {
		stator__gauge_wait(&h->gauge);
		stop(h);
	}
	leave(before);
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

static int
start(stator_host *h, const stator_deploy_opts *opts, stator_error *err)
{
	stator_problems problems = {0};
	int code = STATOR_OK;

	h->queries = stator__queries_start(h->app, h->app->deployment,
					   &h->gauge);
	h->processors = stator__alloc(h->app->partition_count *
				      sizeof(*h->processors));
	for (uint32_t i = 0; i < h->app->partition_count && !code; i++) {
		h->processors[i] = stator__processor_start(
			&h->app->partitions[i], h->app->deployment, h->queue,
			&h->gauge, h->queries, &problems);
		if (h->processors[i] == NULL)
			code = report(&problems, opts ? opts->on_problem : NULL,
				      opts ? opts->ctx : NULL, err);
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

	if (code == STATOR_OK)
		code = start_on_data(h, opts, err);
	if (code)
		stop(h);
	return code;
}

static stator_host *
find_app(stator_host *first, const char *app)
{
	stator_host *h = first;

	while (h && (h->app == NULL || strcmp(h->app->name, app) != 0))
		h = next_of(h);
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
	h = find_app(first, version->app);
	code = check_expected(h, version, opts, err);
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

int
stator_host_deploy(stator_host *h, const char *image, const char *data,
		   const stator_deploy_opts *opts, stator_error *err)
{
	stator_log_place before = enter(h);
	stator_host *made;
	int code;

	pthread_mutex_lock(&h->deploying);
	made = h->app ? open_behind(h) : h;
	code = deploy(h, made, image, data, opts, err);
	if (made != h && made->app)
		put_behind(h, made);
	else if (made != h)
		free_host(made, false);
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
refuse(stator_request *r, const stator_error *err)
{
	stator__reply_error(r, stator__status_http(err->code), err);
	stator__reply_send(r);
}

/* The clock ------------------------------------------------------------- */

/* The first tick of all partitions of all applications. */
static int64_t
next_tick(const stator_host *h)
{
	int64_t first = STATOR_TIME_END;

	for (; h; h = next_of(h))
		for (uint32_t i = 0; h->app && i < h->app->partition_count;
		     i++) {
			int64_t next = stator__jobs_next(
				stator__processor_jobs(h->processors[i]));

			if (next < first)
				first = next;
		}
	return first;
}

/* All that is due, on all partitions at the same time. */
static void
run_until(const stator_host *first, int64_t until, stator_job_counts *counts)
{
	const stator_host *h;
	uint32_t i;

	for (h = first; h; h = next_of(h))
		for (i = 0; h->app && i < h->app->partition_count; i++)
			stator__jobs_order(
				stator__processor_jobs(h->processors[i]),
				until);
	for (h = first; h; h = next_of(h))
		for (i = 0; h->app && i < h->app->partition_count; i++)
			stator__jobs_wait(
				stator__processor_jobs(h->processors[i]),
				counts);
}

/* From tick to tick, so that each run finds the time that it is due. */
static void
move_clock(const stator_host *h, int64_t to, stator_job_counts *counts)
{
	const stator_clock *clock = &h->load.clock;
	int64_t next;

	while ((next = next_tick(h)) <= to) {
		if (next > stator__clock_now(clock))
			clock->set(clock->ctx, next);
		run_until(h, stator__clock_now(clock), counts);
	}
	if (to > stator__clock_now(clock))
		clock->set(clock->ctx, to);
}

static int
check_clock(const stator_host *h, int64_t to, stator_error *err)
{
	const stator_clock *clock = &h->load.clock;
	char now[STATOR_TIME_TEXT];

	if (clock->now == NULL)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: this host has the system's clock, "
				    "which nobody moves; start it with one of "
				    "its own (stator run --clock)");
	if (to && clock->set == NULL)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: this host cannot move its clock");
	if (h->app == NULL)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "no application is deployed");
	if (to && to < stator__clock_now(clock))
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: time does not go back: it is %s",
				    stator__time_show(
					    now, stator__clock_now(clock)));
	if (to >= STATOR_TIME_END)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: time ends with the year 9999");
	return STATOR_OK;
}

int
stator_host_run_jobs(stator_host *h, int64_t to, uint64_t *runs,
		     uint64_t *failures, stator_error *err)
{
	stator_job_counts counts = {0, 0};
	int code;

	/* No version takes the place of another meanwhile. */
	pthread_mutex_lock(&h->deploying);
	code = check_clock(h, to, err);
	if (code == STATOR_OK && to)
		move_clock(h, to, &counts);
	else if (code == STATOR_OK)
		run_until(h, stator__clock_now(&h->load.clock), &counts);
	pthread_mutex_unlock(&h->deploying);
	if (runs)
		*runs = counts.runs;
	if (failures)
		*failures = counts.failures;
	return code;
}

int
stator_time(const char *text, int64_t *ms, stator_error *err)
{
	if (stator__time_parse(text, strlen(text), ms))
		return STATOR_OK;
	return stator__fail(err, STATOR_INVALID,
			    "expected a time as \"2026-01-31T23:59:00Z\", "
			    "found \"%s\"",
			    text);
}

/* A request of the clock comes behind all that were handed in before. */
static void
serve_clock(stator_host *h, stator_request *r)
{
	stator_job_counts counts = {0, 0};
	char at[STATOR_TIME_TEXT];
	stator_json_out out;
	stator_error err;
	int64_t now;
	int code;

	stator_host_drain(h);
	now = stator__clock_now(&h->load.clock);
	code = stator_host_run_jobs(h, r->moves_by ? now + r->clock : r->clock,
				    &counts.runs, &counts.failures, &err);
	if (code) {
		stator__reply_error(r, stator__status_http(code), &err);
		stator__reply_send(r);
		return;
	}
	stator_host_drain(h);
	now = stator__clock_now(&h->load.clock);
	stator__reply_begin(&out, r, 200);
	stator__json_name(&out, "clock");
	stator__json_cstring(&out, stator__time_show(at, now));
	stator__json_name(&out, "runs");
	stator__json_integer(&out, (int64_t)counts.runs);
	stator__json_name(&out, "failures");
	stator__json_integer(&out, (int64_t)counts.failures);
	stator__reply_end(&out);
	stator__reply_send(r);
}

/* Says what is wrong with the name, and which ones there are. */
static int
refuse_name(const stator_host *first, int code, const char *what,
	    const char *app, stator_error *err)
{
	stator_buf names = {NULL, 0, 0};

	for (const stator_host *h = first; h; h = next_of(h))
		if (h->app)
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

/* What holds the application; the only one, when it is not named. */
static int
choose(stator_host *first, const char *app, stator_host **out,
       stator_error *err)
{
	*out = app ? find_app(first, app) : first;
	if (app && *out == NULL)
		return refuse_name(first, STATOR_NOT_FOUND,
				   "no application is called ", app, err);
	if (app == NULL && (first->app == NULL || next_of(first)))
		return refuse_name(first, STATOR_BAD_REQUEST,
				   "app: missing, where there are several", "",
				   err);
	return STATOR_OK;
}

static void
submit(stator_host *h, stator_request *r)
{
	stator_partition *p = stator__app_partition(h->app, r->wsid);
	stator_error err;

	if (!stator__gauge_add(&h->gauge, r->is_query, h->waits)) {
		stator__fail(&err, STATOR_BUSY,
			     "as many queries as there can be are under way; "
			     "ask again later");
		refuse(r, &err);
	} else if (!stator__processor_submit(h->processors[p->index], r,
					     h->waits)) {
		stator__gauge_done(&h->gauge, r->is_query);
		stator__fail(&err, STATOR_BUSY,
			     "%u requests wait at partition %u, and no more "
			     "can; ask again later",
			     h->queue, p->index);
		refuse(r, &err);
	}
}

void
stator_host_submit(stator_host *h, const char *text, size_t size,
		   stator_on_reply on_reply, void *ctx)
{
	stator_error err;
	stator_request *r = stator__request_new(text, size, &err);
	stator_host *chosen;

	r->on_reply = on_reply;
	r->ctx = ctx;
	if (err.code == STATOR_OK && (r->clock || r->moves_by)) {
		serve_clock(h, r);
		return;
	}
	if (err.code || choose(h, r->app, &chosen, &err))
		refuse(r, &err);
	else
		submit(chosen, r);
}

void
stator_host_drain(stator_host *first)
{
	for (stator_host *h = first; h; h = next_of(h)) {
		stator__gauge_wait(&h->gauge);
		for (uint32_t i = 0;
		     h->processors && i < h->app->partition_count; i++)
			stator__processor_catch_up(h->processors[i]);
	}
}

/* An upgrade may come meanwhile; the data is the same. */
int
stator_host_backup(stator_host *first, const char *to,
		   const stator_upkeep_opts *opts, stator_error *err)
{
	const char *app = opts && STATOR_HAS(opts, app) ? opts->app : NULL;
	stator_log_place before = enter(first);
	char *version = NULL;
	stator_host *h;
	int code;

	pthread_mutex_lock(&first->deploying);
	code = choose(first, app, &h, err);
	if (code == STATOR_OK)
		version = stator__strdup(
			h->app->deployment->version->descriptor.version);
	pthread_mutex_unlock(&first->deploying);
	if (code == STATOR_OK)
		code = stator__backup(h->app, version, to, opts, err);
	leave(before);
	free(version);
	return code;
}
