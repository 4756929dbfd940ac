/*
 * standing.c: where the asynchronous projectors of a partition stand, as the
 * partition keeps it, and what operators may change in that.
 *
 * Of each projector, under its name:
 *   "projector NAME"  the PLog offset up to which it has seen events
 *   "trouble NAME"    the event that it fails on, if it does
 *   "rebuild NAME"    it is to drop its views and to begin anew
 *   "skipped NAME N"  it never saw event N
 *
 * The thread of the projectors (async.c) is the only one that writes offsets
 * and troubles, but for a projector that is parked: that one it leaves alone
 * until its trouble is gone. So an order of an operator is nothing but a batch
 * with a few of these entries, whoever writes it.
 */
#include "processor/processor.h"
#include "storage/storage.h"

enum {
	TROUBLE_EVENT,
	TROUBLE_TRIES,
	TROUBLE_AT,
	TROUBLE_PARKED,
	TROUBLE_CODE,
	TROUBLE_ERROR,
	TROUBLE_COUNT
};

static const stator_field_spec trouble_fields[TROUBLE_COUNT] = {
	[TROUBLE_EVENT] = {"Event", STATOR_INT64},
	[TROUBLE_TRIES] = {"Tries", STATOR_INT64},
	[TROUBLE_AT] = {"At", STATOR_INT64},
	[TROUBLE_PARKED] = {"Parked", STATOR_BOOL},
	[TROUBLE_CODE] = {"Code", STATOR_STRING, .max = 255},
	[TROUBLE_ERROR] = {"Error", STATOR_STRING, .max = 1024},
};

static const stator_type *
trouble_type(stator_arena *arena)
{
	return stator__type_make(arena, "sys.Trouble", STATOR_TYPE_STORAGE,
				 trouble_fields, TROUBLE_COUNT, 0);
}

static stator_slice
key_of(stator_arena *arena, const char *what, const char *projector)
{
	return stator__meta_key(arena, stator__arena_format(arena, "%s %s",
							    what, projector));
}

stator_slice
stator__offset_key(stator_arena *arena, const char *projector)
{
	return key_of(arena, "projector", projector);
}

stator_slice
stator__rebuild_key(stator_arena *arena, const char *projector)
{
	return key_of(arena, "rebuild", projector);
}

static stator_slice
skipped_key(stator_arena *arena, const char *projector, int64_t event)
{
	return stator__meta_key(
		arena, stator__arena_format(arena, "skipped %s %lld", projector,
					    (long long)event));
}

int
stator__projector_skipped(const stator_view *view, stator_arena *arena,
			  const char *projector, int64_t event,
			  stator_error *err)
{
	stator_slice value;

	return stator__view_get(view, arena,
				skipped_key(arena, projector, event), &value,
				err);
}

static int
compare_events(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

/* What begins the keys of a projector's skipped events. */
static stator_slice
skipped_prefix(stator_arena *arena, const char *projector)
{
	return key_of(arena, "skipped",
		      stator__arena_format(arena, "%s ", projector));
}

int
stator__projector_skips(const stator_view *view, stator_arena *arena,
			const char *projector, int64_t **events, size_t *count,
			stator_error *err)
{
	stator_slice prefix = skipped_prefix(arena, projector), key, value;
	stator_buf found = {NULL, 0, 0};
	stator_view_cursor *cursor;
	int code = stator__view_range(view, arena, prefix,
				      stator__prefix_end(arena, prefix), false,
				      &cursor, err);

	*count = 0;
	if (code)
		return code;
	while ((code = stator__view_next(cursor, &key, &value, err)) ==
	       STATOR_OK) {
		const char *digits = stator__arena_str(
			arena, (const char *)key.data + prefix.size,
			key.size - prefix.size);
		int64_t event = strtoll(digits, NULL, 10);

		stator__buf_put(&found, &event, sizeof(event));
		++*count;
	}
	stator__view_release(cursor);
	*events = stator__arena_alloc(arena, found.size + 1);
	if (*count)
		memcpy(*events, found.data, found.size);
	qsort(*events, *count, sizeof(**events), compare_events);
	free(found.data);
	return code < 0 ? code : STATOR_OK;
}

static const char *
text_of(stator_arena *arena, const stator_row *row, uint32_t field)
{
	stator_slice text;

	if (!stator__row_bytes(row, field, &text))
		return "";
	return stator__arena_str(arena, text.data, text.size);
}

int
stator__trouble_get(const stator_view *view, stator_arena *arena,
		    const char *projector, stator_trouble *out,
		    stator_error *err)
{
	stator_row row = {.type = trouble_type(arena)};
	stator_slice bytes;
	int64_t parked = 0;
	int code = stator__view_get(view, arena,
				    key_of(arena, "trouble", projector), &bytes,
				    err);

	*out = (stator_trouble){.code = "", .error = ""};
	if (code)
		return code;
	row.data = bytes.data;
	row.size = (uint32_t)bytes.size;
	if (!stator__row_sound(&row))
		return stator__fail(err, STATOR_CORRUPT,
				    "what is kept of projector %s is damaged",
				    projector);
	stator__row_int(&row, TROUBLE_EVENT, &out->event);
	stator__row_int(&row, TROUBLE_TRIES, &out->tries);
	stator__row_int(&row, TROUBLE_AT, &out->at_ms);
	stator__row_int(&row, TROUBLE_PARKED, &parked);
	out->parked = parked != 0;
	out->code = text_of(arena, &row, TROUBLE_CODE);
	out->error = text_of(arena, &row, TROUBLE_ERROR);
	return STATOR_OK;
}

void
stator__trouble_put(stator_map *map, stator_arena *arena,
		    const char *projector, const stator_trouble *t)
{
	stator_builder b;
	stator_row row;

	stator__build(&b, arena, trouble_type(arena));
	stator__build_int(&b, TROUBLE_EVENT, t->event, NULL);
	stator__build_int(&b, TROUBLE_TRIES, t->tries, NULL);
	stator__build_int(&b, TROUBLE_AT, t->at_ms, NULL);
	stator__build_int(&b, TROUBLE_PARKED, t->parked, NULL);
	stator__build_bytes(&b, TROUBLE_CODE, stator__cslice(t->code), NULL);
	stator__build_bytes(&b, TROUBLE_ERROR, stator__cslice(t->error), NULL);
	row = stator__build_done(&b);
	stator__map_write(map, key_of(arena, "trouble", projector),
			  stator__slice(row.data, row.size),
			  STATOR_CHANGE_PUT);
}

void
stator__trouble_drop(stator_map *map, stator_arena *arena,
		     const char *projector)
{
	stator__map_write(map, key_of(arena, "trouble", projector),
			  stator__slice(NULL, 0), STATOR_CHANGE_DELETE);
}

int
stator__standing_get(const stator_view *view, stator_arena *arena,
		     const char *projector, stator_standing *out,
		     stator_error *err)
{
	int64_t next = 1, rebuild = 0;
	int code;

	*out = (stator_standing){.offset = 0};
	code = stator__number_get(view, arena,
				  stator__meta_key(arena, STATOR_META_PLOG),
				  &next, err);
	if (code >= 0)
		code = stator__number_get(view, arena,
					  stator__offset_key(arena, projector),
					  &out->offset, err);
	if (code >= 0)
		code = stator__number_get(view, arena,
					  stator__rebuild_key(arena, projector),
					  &rebuild, err);
	out->last = next - 1;
	out->rebuilding = rebuild != 0;
	if (code >= 0)
		code = stator__trouble_get(view, arena, projector,
					   &out->trouble, err);
	return code < 0 ? code : STATOR_OK;
}

const char *
stator__standing_state(const stator_standing *s)
{
	return s->rebuilding		? "rebuilding"
	       : s->trouble.parked	? "parked"
	       : s->trouble.event	? "retrying"
					: "running";
}

/* Projectors by name ------------------------------------------------------ */

static bool
is_async(const stator_ext *ext)
{
	return ext->kind == STATOR_PROJECTOR && !ext->sync;
}

const stator_ext *
stator__async_next(const stator_def *def, const stator_ext *after)
{
	const stator_ext *ext = after ? after + 1 : def->exts;

	while (ext < def->exts + def->ext_count && !is_async(ext))
		ext++;
	return ext < def->exts + def->ext_count ? ext : NULL;
}

const stator_ext *
stator__async_named(const stator_def *def, stator_slice name,
		    stator_error *err)
{
	stator_arena arena = {0};
	const char **all = stator__arena_alloc(&arena, (def->ext_count + 1) *
							       sizeof(*all));
	const stator_ext *ext = NULL;
	size_t count = 0;

	while ((ext = stator__async_next(def, ext)) != NULL) {
		if (stator__slice_is(name, ext->name))
			break;
		all[count++] = ext->name;
	}
	if (ext == NULL) {
		stator__fail(err, STATOR_NOT_FOUND,
			     "no asynchronous projector is called %.*s",
			     (int)name.size, (const char *)name.data);
		stator__suggest(err, stator__guess(name.data, name.size, all,
						   count));
	}
	stator__arena_free(&arena);
	return ext;
}

/* Orders ------------------------------------------------------------------ */

static int
parked_at(const stator_view *view, stator_arena *arena, const stator_ext *ext,
	  stator_trouble *t, stator_error *err)
{
	int code = stator__trouble_get(view, arena, ext->name, t, err);

	if (code < 0 || t->parked)
		return code;
	return stator__fail(err, STATOR_NOT_FOUND, "%s is not parked",
			    ext->name);
}

int
stator__projector_retry(const stator_view *view, stator_map *map,
			stator_arena *arena, const stator_ext *ext,
			stator_error *err)
{
	stator_trouble t;
	int code = parked_at(view, arena, ext, &t, err);

	if (code)
		return code;
	stator__trouble_drop(map, arena, ext->name);
	return STATOR_OK;
}

int
stator__projector_skip(const stator_view *view, stator_map *map,
		       stator_arena *arena, const stator_ext *ext,
		       int64_t event, stator_error *err)
{
	stator_trouble t;
	int code = parked_at(view, arena, ext, &t, err);

	if (code)
		return code;
	if (t.event != event)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "%s is parked at event %lld, not %lld",
				    ext->name, (long long)t.event,
				    (long long)event);
	stator__trouble_drop(map, arena, ext->name);
	stator__number_put(map, stator__offset_key(arena, ext->name), event);
	stator__number_put(map, skipped_key(arena, ext->name, event), event);
	return STATOR_OK;
}

static bool
writes_view(const stator_ext *ext, const char *view)
{
	for (size_t i = 0; i < ext->intent_count; i++)
		for (size_t k = 0; k < ext->intents[i].entity_count; k++)
			if (strcmp(ext->intents[i].storage, "sys.View") == 0 &&
			    strcmp(ext->intents[i].entities[k], view) == 0)
				return true;
	return false;
}

static int
check_view(const stator_def *def, const stator_ext *ext, const char *view,
	   stator_error *err)
{
	for (size_t i = 0; i < def->ext_count; i++)
		if (&def->exts[i] != ext && writes_view(&def->exts[i], view))
			return stator__fail(
				err, STATOR_NOT_SUPPORTED,
				"%s cannot be rebuilt: %s writes %s, too",
				ext->name, def->exts[i].name, view);
	return STATOR_OK;
}

/* What is written elsewhere cannot be taken back, and would be done twice. */
int
stator__projector_can_rebuild(const stator_def *def, const stator_ext *ext,
			      stator_error *err)
{
	size_t views = 0;
	int code = STATOR_OK;

	for (size_t i = 0; i < ext->intent_count && !code; i++) {
		const stator_storage_ref *ref = &ext->intents[i];

		if (strcmp(ref->storage, "sys.Logger") == 0)
			continue;
		if (strcmp(ref->storage, "sys.View") != 0)
			return stator__fail(err, STATOR_NOT_SUPPORTED,
					    "%s cannot be rebuilt: it has "
					    "intents of %s, which would be "
					    "done again",
					    ext->name, ref->storage);
		views += ref->entity_count;
		for (size_t k = 0; k < ref->entity_count && !code; k++)
			code = check_view(def, ext, ref->entities[k], err);
	}
	if (code == STATOR_OK && views == 0)
		return stator__fail(err, STATOR_NOT_SUPPORTED,
				    "%s cannot be rebuilt: it writes no view",
				    ext->name);
	return code;
}

int
stator__projector_rebuild(const stator_def *def, stator_map *map,
			  stator_arena *arena, const stator_ext *ext,
			  stator_error *err)
{
	int code = stator__projector_can_rebuild(def, ext, err);

	if (code == STATOR_OK)
		stator__number_put(map, stator__rebuild_key(arena, ext->name),
				   1);
	return code;
}

/* Deletes keys that begin so, until the map has `most`. */
static int
drop_keys(const stator_view *view, stator_map *map, stator_arena *arena,
	  stator_slice prefix, size_t most, stator_error *err)
{
	stator_view_cursor *cursor;
	stator_slice key, value;
	int code;

	code = stator__view_range(view, arena, prefix,
				  stator__prefix_end(arena, prefix), false,
				  &cursor, err);
	if (code)
		return code;
	while (stator__map_count(map) < most &&
	       (code = stator__view_next(cursor, &key, &value, err)) ==
		       STATOR_OK)
		stator__map_write(map, key, stator__slice(NULL, 0),
				  STATOR_CHANGE_DELETE);
	stator__view_release(cursor);
	return code < 0 ? code : STATOR_OK;
}

static int
drop_view(const stator_view *view, stator_map *map, stator_arena *arena,
	  const char *name, size_t most, stator_error *err)
{
	uint8_t *key = stator__arena_alloc(arena, STATOR_SPACE_SIZE + 5);
	uint8_t *p = key + STATOR_SPACE_SIZE;

	stator__space_put(key, stator__sys_space());
	*p = VIEW_LETTER;
	stator__be32_put(p + 1, stator__hash(name, strlen(name)));
	return drop_keys(view, map, arena,
			 stator__slice(key, STATOR_SPACE_SIZE + 5), most, err);
}

int
stator__projector_drop_views(const stator_view *view, stator_map *map,
			     stator_arena *arena, const stator_ext *ext,
			     size_t most, stator_error *err)
{
	/* What is deleted is not to move what is read. */
	const stator_view below = {.ops = view->ops,
				   .snapshot = view->snapshot};
	int code = STATOR_OK;

	for (size_t i = 0; i < ext->intent_count; i++) {
		const stator_storage_ref *ref = &ext->intents[i];

		if (strcmp(ref->storage, "sys.View") != 0)
			continue;
		for (size_t k = 0; k < ref->entity_count && !code; k++)
			code = drop_view(&below, map, arena, ref->entities[k],
					 most, err);
	}
	if (code == STATOR_OK)
		code = drop_keys(&below, map, arena,
				 skipped_prefix(arena, ext->name), most, err);
	if (code || stator__map_count(map) >= most)
		return code;
	stator__number_put(map, stator__offset_key(arena, ext->name), 0);
	stator__trouble_drop(map, arena, ext->name);
	stator__map_write(map, stator__rebuild_key(arena, ext->name),
			  stator__slice(NULL, 0), STATOR_CHANGE_DELETE);
	return STATOR_NONE;
}
