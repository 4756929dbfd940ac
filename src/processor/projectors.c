/*
 * projectors.c: the asynchronous projectors of data at rest: a list of where
 * they stand, and what operators want of them.
 *
 * An order is written into the partitions first, each in one batch, and then
 * the application is started on its data, as it always is, to follow it. So
 * whenever the process dies, the order is either not given or followed at the
 * next start.
 */
#include <stdlib.h>

#include "processor/upkeep.h"

typedef struct task {
	const char *image, *data;
	const stator_projectors_opts *opts;
	stator_on_reply on_line;
	void *ctx;
	char *projector;   /* NULL: all */
	int64_t partition; /* -1: all */
	stator_app *app;
	const stator_ext *only; /* of that name */
	stator_arena arena;
	stator_buf line;
	size_t width; /* of the longest name */
	/* Projectors in partitions that the order is for, and the last one. */
	size_t found;
	const stator_ext *found_ext;
	uint32_t found_partition;
} task;

static const stator_def *
def_of(const task *t)
{
	return t->app->deployment->version->def;
}

/* Opening ------------------------------------------------------------------ */

static int
open_app(task *t, bool read_only, stator_error *err)
{
	static const stator_load_opts load = {.purpose = STATOR_TO_READ};
	const stator_app_opts opts = {.read_only = read_only};
	stator_version *version;
	int code = stator__image_load(&version, t->image, &load, err);

	return code ? code
		    : stator__app_open(&t->app, version, t->data, &opts, err);
}

static void
close_app(task *t)
{
	if (t->app)
		stator__app_close(t->app);
	t->app = NULL;
}

static int
find_projector(task *t, stator_error *err)
{
	const stator_ext *ext = NULL;

	while ((ext = stator__async_next(def_of(t), ext)) != NULL)
		if (strlen(ext->name) > t->width)
			t->width = strlen(ext->name);
	t->only = NULL;
	if (t->projector == NULL)
		return STATOR_OK;
	t->only = stator__async_named(def_of(t), stator__cslice(t->projector),
				      err);
	return t->only ? STATOR_OK : err->code;
}

/* Calls `visit` for what the task is about. */
typedef int (*visitor)(task *t, const stator_view *view, uint32_t partition,
		       const stator_ext *ext, stator_error *err);

static int
visit_partition(task *t, uint32_t i, visitor visit, stator_error *err)
{
	const stator_partition *p = &t->app->partitions[i];
	stator_view view = {.ops = p->ops};
	const stator_ext *ext = NULL;
	int code = p->ops->snapshot(p->store, &view.snapshot, err);

	if (code)
		return code;
	while (!code && (ext = stator__async_next(def_of(t), ext)) != NULL)
		if (t->only == NULL || t->only == ext)
			code = visit(t, &view, i, ext, err);
	p->ops->snapshot_end(view.snapshot);
	return code;
}

static int
visit_all(task *t, visitor visit, stator_error *err)
{
	int64_t only = t->partition;
	int code = STATOR_OK;

	for (uint32_t i = 0; i < t->app->partition_count && !code; i++)
		if (only < 0 || only == (int64_t)i)
			code = visit_partition(t, i, visit, err);
	return code;
}

/* The list -------------------------------------------------------------------- */

static const char *
time_text(task *t, int64_t ms)
{
	char text[STATOR_TIME_TEXT];

	return stator__arena_format(&t->arena, "%s",
				    stator__time_stamp(text, ms));
}

static void
add_int(stator_json_out *out, const char *name, int64_t value)
{
	stator__json_name(out, name);
	stator__json_integer(out, value);
}

static void
add_text(stator_json_out *out, const char *name, const char *value)
{
	stator__json_name(out, name);
	stator__json_cstring(out, value);
}

/* The events that it never saw. */
typedef struct skips {
	int64_t *events;
	size_t count;
} skips;

static void
write_skips(stator_json_out *out, const skips *k)
{
	if (k->count == 0)
		return;
	stator__json_name(out, "skipped");
	stator__json_begin(out, '[');
	for (size_t i = 0; i < k->count; i++)
		stator__json_integer(out, k->events[i]);
	stator__json_end(out, ']');
}

static void
write_json(task *t, uint32_t partition, const char *name,
	   const stator_standing *s, const skips *k)
{
	stator_json_out out = {.buf = &t->line};

	stator__json_begin(&out, '{');
	add_text(&out, "projector", name);
	add_int(&out, "partition", partition);
	add_int(&out, "offset", s->offset);
	add_int(&out, "lag", s->last - s->offset);
	add_text(&out, "state", stator__standing_state(s));
	if (s->trouble.event) {
		add_int(&out, "event", s->trouble.event);
		add_int(&out, "tries", s->trouble.tries);
		add_text(&out, "time", time_text(t, s->trouble.at_ms));
		add_text(&out, "code", s->trouble.code);
		add_text(&out, "error", s->trouble.error);
	}
	write_skips(&out, k);
	stator__json_end(&out, '}');
}

static void
write_text(task *t, uint32_t partition, const char *name,
	   const stator_standing *s, const skips *k)
{
	stator__buf_format(&t->line,
			   "%-*s  partition %u  offset %lld  lag %lld  %s",
			   (int)t->width, name, partition,
			   (long long)s->offset,
			   (long long)(s->last - s->offset),
			   stator__standing_state(s));
	if (s->trouble.event)
		stator__buf_format(&t->line,
				   " at event %lld  tries %lld  %s  %s: %s",
				   (long long)s->trouble.event,
				   (long long)s->trouble.tries,
				   time_text(t, s->trouble.at_ms),
				   s->trouble.code, s->trouble.error);
	for (size_t i = 0; i < k->count; i++)
		stator__buf_format(&t->line, "%s%lld",
				   i ? ", " : "  skipped ",
				   (long long)k->events[i]);
}

static int
list_one(task *t, const stator_view *view, uint32_t partition,
	 const stator_ext *ext, stator_error *err)
{
	stator_standing s;
	skips k;
	int code = stator__standing_get(view, &t->arena, ext->name, &s, err);

	if (code == STATOR_OK)
		code = stator__projector_skips(view, &t->arena, ext->name,
					       &k.events, &k.count, err);
	if (code)
		return code;
	t->line.size = 0;
	if (t->opts->as_json)
		write_json(t, partition, ext->name, &s, &k);
	else
		write_text(t, partition, ext->name, &s, &k);
	t->on_line(t->ctx, (const char *)t->line.data, t->line.size);
	stator__arena_reset(&t->arena);
	return STATOR_OK;
}

/* Parked again, though the order was for it: said of the first one. */
static int
check_one(task *t, const stator_view *view, uint32_t partition,
	  const stator_ext *ext, stator_error *err)
{
	stator_standing s;
	int code = stator__standing_get(view, &t->arena, ext->name, &s, err);

	if (code == STATOR_OK && s.trouble.parked)
		code = stator__fail(err, STATOR_EXTENSION_FAILED,
				    "%s is parked at event %lld of partition "
				    "%u: %s",
				    ext->name, (long long)s.trouble.event,
				    partition, s.trouble.error);
	stator__arena_reset(&t->arena);
	return code;
}

static int
list(task *t, stator_error *err)
{
	int code = open_app(t, true, err);

	if (code == STATOR_OK)
		code = find_projector(t, err);
	if (code == STATOR_OK)
		code = stator__dump_find(t->app, t->partition, err);
	if (code == STATOR_OK)
		code = visit_all(t, list_one, err);
	if (code == STATOR_OK && t->opts->action != STATOR_PROJECTORS_LIST)
		code = visit_all(t, check_one, err);
	close_app(t);
	return code;
}

/* Orders ---------------------------------------------------------------------- */

/* Puts what is ordered of one projector into the map. */
static int
order(task *t, const stator_view *view, stator_map *map, const stator_ext *ext,
      stator_error *err)
{
	switch (t->opts->action) {
	case STATOR_PROJECTORS_RETRY:
		return stator__projector_retry(view, map, &t->arena, ext, err);
	case STATOR_PROJECTORS_SKIP:
		return stator__projector_skip(view, map, &t->arena, ext,
					      t->opts->event, err);
	case STATOR_PROJECTORS_REBUILD:
		return stator__projector_rebuild(def_of(t), map, &t->arena,
						 ext, err);
	default:
		return stator__fail(err, STATOR_INVALID,
				    "there is no action %d of projectors",
				    t->opts->action);
	}
}

static int
count_one(task *t, const stator_view *view, uint32_t partition,
	  const stator_ext *ext, stator_error *err)
{
	stator_map *map = stator__map_new();
	int code = order(t, view, map, ext, err);

	if (code == STATOR_OK) {
		t->found++;
		t->found_ext = ext;
		t->found_partition = partition;
	}
	stator__map_free(map);
	stator__arena_reset(&t->arena);
	return code == STATOR_NOT_FOUND ? STATOR_OK : code;
}

static int
write_one(task *t, const stator_view *view, uint32_t partition,
	  const stator_ext *ext, stator_error *err)
{
	const stator_partition *p = &t->app->partitions[partition];
	stator_map *map = stator__map_new();
	int code = order(t, view, map, ext, err);

	if (code == STATOR_OK)
		code = p->ops->commit(p->store, map, err);
	stator__map_free(map);
	stator__arena_reset(&t->arena);
	return code == STATOR_NOT_FOUND ? STATOR_OK : code;
}

/* One event is skipped by one projector in one partition. */
static int
check_skip(task *t, stator_error *err)
{
	long long event = (long long)t->opts->event;

	if (t->found > 1)
		return stator__fail(err, STATOR_INVALID,
				    "%zu are parked at event %lld; say which "
				    "projector and partition",
				    t->found, event);
	if (t->found == 0)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "%s is %sparked at event %lld",
				    t->only ? t->only->name : "no projector",
				    t->only ? "not " : "", event);
	free(t->projector);
	t->projector = stator__strdup(t->found_ext->name);
	t->only = t->found_ext;
	t->partition = t->found_partition;
	return STATOR_OK;
}

/* Whether the order is one that can be followed, before any of it is given. */
static int
check_order(task *t, stator_error *err)
{
	int code;

	if (t->opts->action == STATOR_PROJECTORS_REBUILD && t->only == NULL)
		return stator__fail(err, STATOR_INVALID,
				    "which projector is to be rebuilt?");
	code = visit_all(t, count_one, err);
	if (code == STATOR_OK && t->opts->action == STATOR_PROJECTORS_SKIP)
		return check_skip(t, err);
	if (code == STATOR_OK && t->found == 0)
		return stator__fail(err, STATOR_NOT_FOUND, "%s is %sparked",
				    t->only ? t->only->name : "no projector",
				    t->only ? "not " : "");
	return code;
}

static int
check_fit(task *t, stator_error *err)
{
	stator_problems problems = {0};
	int code = stator__schema_check(t->app->deployment->version,
					t->app->data, &problems, err);

	if (problems.count)
		code = stator__fail(err, STATOR_IMAGE,
				    "%s does not fit the data: %s; `stator "
				    "check --data` says all",
				    t->image, problems.items[0].message);
	stator__problems_free(&problems);
	return code;
}

static int
give_order(task *t, stator_error *err)
{
	/* Looked at first without making anything: there may be no data. */
	int code = open_app(t, true, err);

	close_app(t);
	if (code == STATOR_OK)
		code = open_app(t, false, err);
	if (code == STATOR_OK)
		code = check_fit(t, err);
	if (code == STATOR_OK)
		code = find_projector(t, err);
	if (code == STATOR_OK)
		code = stator__dump_find(t->app, t->partition, err);
	if (code == STATOR_OK)
		code = check_order(t, err);
	if (code == STATOR_OK)
		code = visit_all(t, write_one, err);
	close_app(t);
	return code;
}

/* Starts the application, until it has nothing to do any more. */
static int
follow_order(task *t, stator_error *err)
{
	stator_deploy_opts opts = STATOR_DEPLOY_OPTS_INIT;
	stator_host *host;
	int code = stator_host_open(&host, t->opts->host, err);

	if (code)
		return code;
	opts.on_problem = t->opts->on_problem;
	opts.ctx = t->opts->problem_ctx;
	code = stator_host_deploy(host, t->image, t->data, &opts, err);
	if (code == STATOR_OK)
		stator_host_drain(host);
	stator_host_close(host);
	return code;
}

int
stator_projectors(const char *image, const char *data,
		  const stator_projectors_opts *opts, stator_on_reply on_line,
		  void *ctx, stator_error *err)
{
	static const stator_projectors_opts usual = STATOR_PROJECTORS_OPTS_INIT;
	task t = {.image = image,
		  .data = data,
		  .opts = opts ? opts : &usual,
		  .partition = opts ? opts->partition : -1,
		  .on_line = on_line,
		  .ctx = ctx};
	stator_error ignored;
	int code = STATOR_OK;

	if (err == NULL)
		err = &ignored;
	code = stator__need(image, "image", err);
	if (code == STATOR_OK)
		code = stator__need(data, "data", err);
	if (code == STATOR_OK)
		code = stator__need((const void *)(uintptr_t)on_line, "on_line",
				    err);
	if (code)
		return code;
	if (t.opts->projector)
		t.projector = stator__strdup(t.opts->projector);
	if (t.opts->action != STATOR_PROJECTORS_LIST)
		code = give_order(&t, err);
	if (code == STATOR_OK && t.opts->action != STATOR_PROJECTORS_LIST)
		code = follow_order(&t, err);
	if (code == STATOR_OK)
		code = list(&t, err);
	stator__arena_free(&t.arena);
	free(t.projector);
	free(t.line.data);
	return code;
}
