/*
 * upkeep.c: see upkeep.h.
 */
#include <stdlib.h>

#include "processor/upkeep.h"

int
stator__image_load(stator_version **out, const char *image,
		   const stator_load_opts *load, stator_error *err)
{
	stator_problems problems = {0};

	*out = stator__version_load(image, load, &problems);
	if (*out == NULL) {
		const stator_problem *p = &problems.items[0];

		stator__fail(err, STATOR_IMAGE, "%s:%d:%d: %s", p->file,
			     p->line, p->col, p->message);
	}
	stator__problems_free(&problems);
	return *out ? STATOR_OK : STATOR_IMAGE;
}

int
stator__data_open(stator_app **out, const char *image, const char *data,
		  stator_opening opening, stator_error *err)
{
	static const stator_load_opts load = {.purpose = STATOR_TO_READ};
	const stator_app_opts opts = {.read_only = true,
				      .folders_only =
					      opening == STATOR_OPEN_FOLDERS,
				      .go_on = opening == STATOR_OPEN_WHOLE};
	stator_version *version;
	int code = stator__need(image, "image", err);

	if (code == STATOR_OK)
		code = stator__need(data, "data", err);
	if (code == STATOR_OK)
		code = stator__image_load(&version, image, &load, err);
	return code ? code : stator__app_open(out, version, data, &opts, err);
}

int
stator__projector_offset(const stator_view *view, const stator_ext *ext,
			 int64_t *offset, stator_error *err)
{
	stator_arena arena = {0};
	int code;

	*offset = 0;
	code = stator__number_get(view, &arena,
				  stator__offset_key(&arena, ext->name),
				  offset, err);
	stator__arena_free(&arena);
	return code < 0 ? code : STATOR_OK;
}

/* Scans ----------------------------------------------------------------- */

/* Long keys are put together in the arena of the cursor: from time to time it
 * begins anew. */
enum { ARENA_MOST = 1 << 20 };

void
stator__scan_begin(stator_scan *s, const stator_store_ops *ops,
		   stator_snapshot *snapshot, stator_slice low,
		   stator_slice high)
{
	*s = (stator_scan){.ops = ops, .snapshot = snapshot, .high = high};
	stator__buf_put(&s->low, low.data, low.size);
}

static void
close_cursor(stator_scan *s)
{
	if (s->cursor)
		s->ops->release(s->cursor);
	s->cursor = NULL;
}

/* The next cursor begins behind the last key. */
static void
begin_anew(stator_scan *s)
{
	s->low.size = 0;
	stator__buf_put(&s->low, s->key.data, s->key.size);
	stator__buf_put(&s->low, "", 1);
	close_cursor(s);
	stator__arena_reset(&s->arena);
}

int
stator__scan_next(stator_scan *s, stator_error *err)
{
	int code = STATOR_OK;

	if (s->cursor && stator__arena_size(&s->arena) > ARENA_MOST)
		begin_anew(s);
	if (s->cursor == NULL)
		code = s->ops->range(s->snapshot, &s->arena,
				     stator__slice(s->low.data, s->low.size),
				     s->high, false, &s->cursor, err);
	return code ? code : s->ops->next(s->cursor, &s->key, &s->value, err);
}

void
stator__scan_end(stator_scan *s)
{
	close_cursor(s);
	stator__arena_free(&s->arena);
	free(s->low.data);
}

/* What the caller is told ----------------------------------------------- */

void
stator__upkeep_begin(stator_upkeep *u, const stator_upkeep_opts *opts)
{
	size_t size = opts ? opts->size : 0;

	*u = (stator_upkeep){.opts = STATOR_UPKEEP_OPTS_INIT};
	if (opts)
		memcpy(&u->opts, opts,
		       size < sizeof(u->opts) ? size : sizeof(u->opts));
}

int
stator__upkeep_open(stator_upkeep *u, const char *image, const char *data,
		    stator_opening opening, const stator_upkeep_opts *opts,
		    stator_error *err)
{
	stator_app *app;
	int code = stator__data_open(&app, image, data, opening, err);

	if (code)
		return code;
	stator__upkeep_begin(u, opts);
	u->app = app;
	u->partitions = app->partition_count;
	return STATOR_OK;
}

void
stator__upkeep_free(stator_upkeep *u)
{
	free(u->line.data);
	if (u->app)
		stator__app_close(u->app);
}

void
stator__upkeep_line(stator_upkeep *u)
{
	if (u->opts.on_line)
		u->opts.on_line(u->opts.ctx, (const char *)u->line.data,
				u->line.size);
	u->line.size = 0;
}

void
stator__upkeep_progress(const stator_upkeep *u, int64_t partition,
			const char *unit, uint64_t done, uint64_t whole)
{
	if (u->opts.on_progress)
		u->opts.on_progress(u->opts.ctx, partition, u->partitions,
				    unit, done, whole);
}
