/*
 * effects.c: what storages do outside of the host, after the commit.
 *
 * An intent of a storage with an `effect` is kept in the partition, in the same
 * batch as its event: in the outbox. The thread of the asynchronous projectors
 * takes it from there, calls the storage, and takes the entry out in a later
 * batch. So an effect happens at least once; when the process dies in between,
 * or the effect fails, it is asked for again, with the same token: application,
 * partition, PLog offset, extension and index of the intent.
 *
 * A failing effect is tried again, waiting longer each time; then it is parked:
 * it stays in the outbox until the next start, and the others go on. One that
 * says that no repeat will help is parked at once.
 */
#include <stdlib.h>

#include "processor/processor.h"

enum { TRIES = 5, FIRST_WAIT_MS = 20 };

/* What an entry of the outbox keeps. */
enum {
	ENTRY_STORAGE,
	ENTRY_ENTITY,
	ENTRY_EXTENSION,
	ENTRY_WORKSPACE,
	ENTRY_PLOG_OFFSET,
	ENTRY_WLOG_OFFSET,
	ENTRY_NOW,
	ENTRY_INDEX,
	ENTRY_IS_NEW,
	ENTRY_KEY,
	ENTRY_VALUE,
	ENTRY_COUNT
};

static const stator_field_spec entry_fields[ENTRY_COUNT] = {
	[ENTRY_STORAGE] = {"Storage", STATOR_QNAME},
	[ENTRY_ENTITY] = {"Entity", STATOR_QNAME},
	[ENTRY_EXTENSION] = {"Extension", STATOR_QNAME},
	[ENTRY_WORKSPACE] = {"Workspace", STATOR_INT64},
	[ENTRY_PLOG_OFFSET] = {"PLogOffset", STATOR_INT64},
	[ENTRY_WLOG_OFFSET] = {"WLogOffset", STATOR_INT64},
	[ENTRY_NOW] = {"Now", STATOR_INT64},
	[ENTRY_INDEX] = {"Index", STATOR_INT64},
	[ENTRY_IS_NEW] = {"IsNew", STATOR_BOOL},
	[ENTRY_KEY] = {"Key", STATOR_BYTES, .max = INT32_MAX},
	[ENTRY_VALUE] = {"Value", STATOR_BYTES, .max = INT32_MAX},
};

static const stator_type *
entry_type(stator_arena *arena)
{
	return stator__type_make(arena, "sys.Effect", STATOR_TYPE_STORAGE,
				 entry_fields, ENTRY_COUNT, 0);
}

static stator_slice
entry_key(stator_arena *arena, const stator_run *run, uint32_t index)
{
	uint8_t *p = stator__arena_alloc(arena, 17);

	p[0] = STATOR_SPACE_OUTBOX;
	stator__be64_put(p + 1, (uint64_t)run->plog_offset);
	stator__be32_put(p + 9, stator__hash(run->extension,
					     strlen(run->extension)));
	stator__be32_put(p + 13, index);
	return stator__slice(p, 17);
}

static void
put_text(stator_builder *b, uint32_t field, const char *text)
{
	if (text)
		stator__build_bytes(b, field, stator__cslice(text), NULL);
}

static void
put_row(stator_builder *b, uint32_t field, const stator_row *row)
{
	stator__build_bytes(b, field, stator__slice(row->data, row->size), NULL);
}

static void
keep(stator_state *st, const stator_wish *w, uint32_t index, stator_map *map)
{
	const stator_run *run = &st->io.run;
	stator_builder b;
	stator_row row;

	stator__build(&b, &st->arena, entry_type(&st->arena));
	put_text(&b, ENTRY_STORAGE, w->handle->binding->decl->name);
	put_text(&b, ENTRY_ENTITY, w->handle->use.entity);
	put_text(&b, ENTRY_EXTENSION, run->extension);
	stator__build_int(&b, ENTRY_WORKSPACE, run->wsid, NULL);
	stator__build_int(&b, ENTRY_PLOG_OFFSET, run->plog_offset, NULL);
	stator__build_int(&b, ENTRY_WLOG_OFFSET, run->wlog_offset, NULL);
	stator__build_int(&b, ENTRY_NOW, run->now_ms, NULL);
	stator__build_int(&b, ENTRY_INDEX, index, NULL);
	stator__build_int(&b, ENTRY_IS_NEW, w->is_new, NULL);
	put_row(&b, ENTRY_KEY, &w->key);
	put_row(&b, ENTRY_VALUE, &w->value);
	row = stator__build_done(&b);
	stator__map_write(map, entry_key(&st->arena, run, index),
			  stator__slice(row.data, row.size),
			  STATOR_CHANGE_PUT);
}

void
stator__effects_keep(stator_state *st, stator_map *map)
{
	for (size_t i = 0; i < st->wish_count; i++) {
		const stator_wish *w = &st->wishes[i];

		if (w->handle->binding->storage->effect && w->value.data)
			keep(st, w, (uint32_t)i, map);
	}
}

/* The runner ------------------------------------------------------------------- */

typedef struct failed_effect {
	uint8_t key[17];
	int tries;
	int64_t retry_at; /* monotonic, ns */
	bool parked;
} failed_effect;

struct stator_effects {
	stator_worker *worker;
	stator_handles handles;
	stator_arena arena;
	failed_effect *failed;
	size_t count, cap;
};

stator_effects *
stator__effects_new(stator_worker *worker)
{
	stator_effects *fx = stator__alloc(sizeof(*fx));

	fx->worker = worker;
	fx->handles.def = worker->version->def;
	fx->handles.registry = worker->version->registry;
	fx->handles.instances =
		worker->deployment->instances[worker->partition->index];
	return fx;
}

void
stator__effects_free(stator_effects *fx)
{
	if (fx == NULL)
		return;
	stator__handles_free(&fx->handles);
	stator__arena_free(&fx->arena);
	free(fx->failed);
	free(fx);
}

static failed_effect *
find_failed(stator_effects *fx, stator_slice key)
{
	for (size_t i = 0; i < fx->count; i++)
		if (memcmp(fx->failed[i].key, key.data, key.size) == 0)
			return &fx->failed[i];
	return NULL;
}

static const char *
text_of(stator_effects *fx, const stator_row *entry, uint32_t field)
{
	stator_slice text;

	if (!stator__row_bytes(entry, field, &text))
		return NULL;
	return stator__arena_str(&fx->arena, text.data, text.size);
}

/* The row that an entry keeps, as one of the type that it has now. */
static int
load_row(stator_effects *fx, const stator_row *entry, uint32_t field,
	 const stator_type *type, stator_row *out, stator_error *err)
{
	stator_slice bytes;

	if (!stator__row_bytes(entry, field, &bytes) || type == NULL)
		return stator__fail(err, STATOR_CORRUPT,
				    "an entry of the outbox is damaged");
	out->data = stator__arena_copy(&fx->arena, bytes.data, bytes.size);
	out->size = (uint32_t)bytes.size;
	out->type = type;
	return stator__row_sound(out) ? STATOR_OK
				      : stator__fail(err, STATOR_CORRUPT,
						     "an entry of the outbox "
						     "is damaged");
}

static int
begin_run(stator_effects *fx, const stator_row *entry, stator_error *err)
{
	const stator_def *def = fx->worker->version->def;
	const char *name = text_of(fx, entry, ENTRY_EXTENSION);
	const stator_ext *ext =
		name ? stator__def_ext(def, stator__hash(name, strlen(name)))
		     : NULL;
	stator_run *run = &fx->worker->state.io.run;
	int64_t wsid = 0;

	if (ext == NULL)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "there is no extension %s any more",
				    name ? name : "");
	stator__row_int(entry, ENTRY_WORKSPACE, &wsid);
	stator__state_begin(&fx->worker->state, ext, wsid);
	stator__row_int(entry, ENTRY_PLOG_OFFSET, &run->plog_offset);
	stator__row_int(entry, ENTRY_WLOG_OFFSET, &run->wlog_offset);
	stator__row_int(entry, ENTRY_NOW, &run->now_ms);
	return STATOR_OK;
}

static int
call(stator_effects *fx, const stator_row *entry, stator_error *err)
{
	stator_row key, value;
	stator_intent item = {.abi = STATOR_ABI, .size = sizeof(item),
			      .key = &key, .value = &value};
	int64_t index = 0, is_new = 0;
	stator_handle *h;
	int code = stator__handle(&fx->handles,
				  text_of(fx, entry, ENTRY_STORAGE),
				  text_of(fx, entry, ENTRY_ENTITY), "sys", &h,
				  err);

	if (code == STATOR_OK)
		code = load_row(fx, entry, ENTRY_KEY, h->use.key, &key, err);
	if (code == STATOR_OK)
		code = load_row(fx, entry, ENTRY_VALUE, h->use.value, &value,
				err);
	if (code == STATOR_OK)
		code = begin_run(fx, entry, err);
	if (code)
		return code;
	stator__row_int(entry, ENTRY_INDEX, &index);
	stator__row_int(entry, ENTRY_IS_NEW, &is_new);
	item.use = &h->use;
	item.index = (uint32_t)index;
	item.is_new = (uint32_t)is_new;
	return stator__state_effect(&fx->worker->state, h, &item, err);
}

static bool
is_hopeless(const stator_error *err)
{
	return err->code == STATOR_BAD_REQUEST ||
	       err->code == STATOR_VALIDATION;
}

static void
note_failure(stator_effects *fx, stator_slice key, failed_effect *f,
	     const stator_row *entry, const stator_error *err)
{
	const char *storage = text_of(fx, entry, ENTRY_STORAGE);
	const char *extension = text_of(fx, entry, ENTRY_EXTENSION);
	int64_t offset = 0, wait;

	stator__row_int(entry, ENTRY_PLOG_OFFSET, &offset);
	if (f == NULL) {
		STATOR_GROW(fx->failed, fx->count, fx->cap);
		f = &fx->failed[fx->count++];
		memset(f, 0, sizeof(*f));
		memcpy(f->key, key.data, sizeof(f->key));
	}
	f->tries++;
	f->parked = f->tries >= TRIES || is_hopeless(err);
	wait = (int64_t)FIRST_WAIT_MS << 2 * (f->tries - 1);
	f->retry_at = stator__monotonic_ns() + wait * 1000000;
	stator__log_event(f->parked ? STATOR_LOG_ERROR : STATOR_LOG_WARNING,
			  storage ? storage : "effect", extension, offset,
			  "effect of %s, event %lld of partition %u: %s; %s",
			  extension ? extension : "", (long long)offset,
			  fx->worker->partition->index, err->msg,
			  f->parked ? "parked until the next start"
				    : "trying again");
}

static void
forget(stator_effects *fx, failed_effect *f)
{
	if (f)
		*f = fx->failed[--fx->count];
}

/* One entry: whether it is out of the way. */
static bool
run_entry(stator_effects *fx, stator_slice key, stator_slice bytes,
	  stator_map *done)
{
	failed_effect *f = find_failed(fx, key);
	stator_row entry = {bytes.data, (uint32_t)bytes.size, 0,
			    entry_type(&fx->arena)};
	stator_error err = {0};
	int code;

	if (f && (f->parked || f->retry_at > stator__monotonic_ns()))
		return f->parked;
	code = stator__row_sound(&entry)
		       ? call(fx, &entry, &err)
		       : stator__fail(&err, STATOR_CORRUPT,
				      "an entry of the outbox is damaged");
	stator__worker_end(fx->worker);
	if (code) {
		note_failure(fx, key, f, &entry, &err);
		return false;
	}
	forget(fx, f);
	stator__map_write(done, key, stator__slice(NULL, 0),
			  STATOR_CHANGE_DELETE);
	return true;
}

bool
stator__effects_run(stator_effects *fx, stator_map *done, size_t most)
{
	uint8_t first = STATOR_SPACE_OUTBOX, end = STATOR_SPACE_OUTBOX + 1;
	const stator_view view = {.ops = fx->worker->view.ops,
				  .snapshot = fx->worker->view.snapshot};
	stator_view_cursor *cursor;
	stator_slice key, value;
	stator_arena arena = {0};
	stator_error err;
	bool idle = true;

	if (stator__view_range(&view, &arena, stator__slice(&first, 1),
			       stator__slice(&end, 1), false, &cursor, &err))
		return false;
	while (stator__map_count(done) < most &&
	       stator__view_next(cursor, &key, &value, &err) == STATOR_OK) {
		idle &= run_entry(fx, key, value, done);
		stator__arena_reset(&fx->arena);
	}
	stator__view_release(cursor);
	stator__arena_free(&arena);
	return idle;
}

bool
stator__effects_possible(const stator_registry *registry)
{
	for (size_t i = 0; i < registry->count; i++)
		if (registry->bindings[i].storage->effect)
			return true;
	return false;
}
