/*
 * state.c: reads and intents of a run. Every error says which storage, entity
 * and key it is about; what a storage says stands behind that.
 */
#include <stdlib.h>

#include "base/meter.h"
#include "state/state.h"

static const char *const op_names[STATOR_OP_COUNT] = {
	"GET", "GETBATCH", "READ", "INSERT", "UPDATE"};

void
stator__state_begin(stator_state *st, const stator_ext *ext, int64_t wsid)
{
	st->ext = ext;
	st->io.arena = &st->arena;
	st->io.run.abi = STATOR_ABI;
	st->io.run.size = sizeof(st->io.run);
	st->io.run.extension = ext->name;
	st->io.run.scope = ext->kind;
	st->io.run.wsid = wsid;
	st->io.status = 0;
	st->io.message = stator__slice("", 0);
	st->next_raw_id = 1;
}

void
stator__state_end(stator_state *st)
{
	while (st->cursor_count)
		stator__state_close(st, st->cursors[st->cursor_count - 1].cursor);
	stator__io_ended(&st->io);
	st->wish_count = st->result = 0;
	st->rows_read = st->bytes_read = st->bytes_returned = 0;
	st->log_lines = 0;
	st->breach = 0;
	st->io.event.data = st->io.argument.data = st->io.unlogged.data = NULL;
	st->io.subject.data = NULL;
	st->io.origin.data = NULL;
	stator__arena_reset(&st->arena);
}

void
stator__state_free(stator_state *st)
{
	stator__state_end(st);
	stator__arena_free(&st->arena);
	stator__arena_free(&st->row);
	free(st->wishes);
	free(st->cursors);
	memset(st, 0, sizeof(*st));
}

const char *
stator__state_show(stator_state *st, const stator_handle *h,
		   const stator_row *key)
{
	if (key == NULL)
		return h->name;
	return stator__arena_format(&st->arena, "%s %s", h->name,
				    stator__row_show(&st->arena, key));
}

/* Puts storage, entity and key before what was said. */
static int
about(stator_state *st, const stator_handle *h, const stator_row *key,
      int code, stator_error *err)
{
	err->code = code;
	if (err->msg[0] == 0)
		stator__fail(err, code, "%s", stator__status_text(code));
	stator__wrap(err, "%s", stator__state_show(st, h, key));
	return code;
}

void
stator__state_breach(stator_state *st, const stator_error *err)
{
	if (st->breach)
		return;
	st->breach = err->code;
	st->breach_error = *err;
}

/* Remembers a breach: no pcall makes it undone. */
static int
breach(stator_state *st, int code, stator_error *err, const char *what,
       uint64_t limit)
{
	stator__fail(err, code, "limit of %llu %s exceeded",
		     (unsigned long long)limit, what);
	stator__state_breach(st, err);
	return code;
}

static const char *
plural(uint32_t kind)
{
	switch (kind) {
	case STATOR_COMMAND:
		return "commands";
	case STATOR_QUERY:
		return "queries";
	case STATOR_PROJECTOR:
		return "projectors";
	default:
		return "jobs";
	}
}

static int
refuse(stator_state *st, const stator_handle *h, const stator_row *key, int op,
       stator_error *err)
{
	const stator_storage_decl *decl = h->binding->decl;
	bool writes = op == STATOR_INSERT || op == STATOR_UPDATE;
	int code = STATOR_NOT_DECLARED;

	if (decl->scopes[op] == 0) {
		code = STATOR_NOT_SUPPORTED;
		stator__fail(err, code, "the storage has no %s", op_names[op]);
	} else if (!(decl->scopes[op] & st->ext->kind)) {
		stator__fail(err, code, "%s is not for %s", op_names[op],
			     plural(st->ext->kind));
	} else {
		stator__fail(err, code, "%s is not declared: add %s(%s) to %s "
					"of %s",
			     op_names[op], decl->name,
			     h->use.entity ? h->use.entity : "",
			     writes ? "INTENTS" : "STATE", st->ext->name);
		if (h->use.entity == NULL)
			stator__fail(err, code,
				     "%s is not declared: add %s to %s of %s",
				     op_names[op], decl->name,
				     writes ? "INTENTS" : "STATE",
				     st->ext->name);
	}
	return about(st, h, key, code, err);
}

static inline bool
allowed(const stator_state *st, const stator_handle *h, int op)
{
	return (h->allowed[st->ext->index] & 1u << op) != 0;
}

/* Rationale: to look at the clock takes half as long as a get from memory, so
 * one call of so many is timed; where calls are slow, all of them are. */
enum { TIMED = 64, SLOW_NS = 5000 };

static void
count_call(stator_state *st, const stator_handle *h)
{
	stator_storage_meter *m = &st->meters[h->binding->index];

	st->timed_from = 0;
	if (m->calls % TIMED == 0 || m->timed_ns > SLOW_NS * m->timed)
		st->timed_from = stator__monotonic_ns();
	stator__meter_add(&m->calls, 1);
}

static void
count_return(stator_state *st, const stator_handle *h, int code)
{
	stator_storage_meter *m = &st->meters[h->binding->index];

	if (STATOR_UNLIKELY(st->timed_from)) {
		stator__meter_add(&m->timed, 1);
		stator__meter_add(&m->timed_ns,
				  (uint64_t)(stator__monotonic_ns() -
					     st->timed_from));
	}
	if (STATOR_UNLIKELY(code != STATOR_OK && code != STATOR_NONE))
		stator__meter_add(&m->errors, 1);
}

/* Before and after every call of a storage. */
static int64_t
enter(stator_state *st, const stator_handle *h, stator_error *err)
{
	st->io.space = h->binding->space;
	st->io.called = h->binding->storage;
	err->msg[0] = 0;
	if (STATOR_LIKELY(st->meters != NULL))
		count_call(st, h);
	return stator__instance_enter(h->instance);
}

/* What a storage may say: OK, NONE, or an error that is known. */
static int
leave(stator_state *st, const stator_handle *h, int64_t entered, int code,
      stator_error *err)
{
	stator__instance_leave(h->instance, entered, h->binding);
	if (STATOR_LIKELY(st->meters != NULL))
		count_return(st, h, code);
	if (STATOR_LIKELY(code == STATOR_OK || code == STATOR_NONE))
		return code;
	if (code > 0 || !stator__status_known(code)) {
		char said[sizeof(err->msg)];

		memcpy(said, err->msg, sizeof(said));
		return stator__fail(err, STATOR_STORAGE_FAILED,
				    "returned %d, which is no status%s%s", code,
				    said[0] ? ": " : "", said);
	}
	return code;
}

/*
 * A row that a plugin handed out: of the type that was asked for, made in this
 * run, and sound. The host's own storages hand out rows of the store.
 */
static int
check_handed_out(stator_state *st, const stator_handle *h,
		 const stator_row *row, const stator_type *type,
		 stator_error *err)
{
	if (STATOR_LIKELY(h->instance->loaded->source.trusted))
		return STATOR_OK;
	if (row->type != type || row->data == NULL)
		return stator__fail(err, STATOR_STORAGE_FAILED,
				    "handed out a row of another type");
	if (!stator__arena_owns(&st->arena, row->data, row->size))
		return stator__fail(err, STATOR_STORAGE_FAILED,
				    "handed out a row that was not made in "
				    "this run; use row_begin or row_load");
	if (!stator__row_sound(row))
		return stator__fail(err, STATOR_STORAGE_FAILED,
				    "handed out bytes that are not a row");
	return STATOR_OK;
}

static int
count_rows(stator_state *st, uint64_t rows, stator_error *err)
{
	if (STATOR_UNLIKELY(st->breach)) {
		*err = st->breach_error;
		return st->breach;
	}
	st->rows_read += rows;
	if (STATOR_UNLIKELY(st->rows_read > st->limits->rows))
		return breach(st, STATOR_ROWS_LIMIT, err, "rows read",
			      st->limits->rows);
	return STATOR_OK;
}

static int
count_bytes(stator_state *st, const stator_row *row, stator_error *err)
{
	st->bytes_read += row->size;
	if (STATOR_UNLIKELY(st->bytes_read > st->limits->bytes_read))
		return breach(st, STATOR_BYTES_READ_LIMIT, err, "bytes read",
			      st->limits->bytes_read);
	return STATOR_OK;
}

static int
get_one(stator_state *st, const stator_handle *h, const stator_row *key,
	stator_row *value, stator_error *err)
{
	const stator_storage *s = h->binding->storage;
	int64_t entered = enter(st, h, err);
	int code;

	value->type = h->use.value;
	code = s->get(h->instance->self, &st->io.run, &h->use, key, value, err);
	code = leave(st, h, entered, code, err);
	if (code == STATOR_OK)
		code = check_handed_out(st, h, value, h->use.value, err);
	if (STATOR_UNLIKELY(code < 0))
		return about(st, h, key, code, err);
	return code == STATOR_OK ? count_bytes(st, value, err) : code;
}

int
stator__state_get(stator_state *st, const stator_handle *h,
		  const stator_row *key, stator_row *value, stator_error *err)
{
	int code;

	if (STATOR_UNLIKELY(!allowed(st, h, STATOR_GET)))
		return refuse(st, h, key, STATOR_GET, err);
	code = count_rows(st, 1, err);
	return code ? code : get_one(st, h, key, value, err);
}

static int
get_batch(stator_state *st, const stator_handle *h, const stator_row *keys,
	  size_t count, stator_row *values, stator_error *err)
{
	const stator_storage *s = h->binding->storage;
	int64_t entered;
	int code;

	for (size_t i = 0; i < count; i++)
		values[i] = (stator_row){.type = h->use.value};
	entered = enter(st, h, err);
	code = s->get_batch(h->instance->self, &st->io.run, &h->use, keys,
			    count, values, err);
	code = leave(st, h, entered, code, err);
	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		if (values[i].data)
			code = check_handed_out(st, h, &values[i],
						h->use.value, err);
	if (code < 0)
		return about(st, h, NULL, code, err);
	for (size_t i = 0; i < count; i++)
		if (values[i].data &&
		    (code = count_bytes(st, &values[i], err)) < 0)
			return code;
	return STATOR_OK;
}

int
stator__state_get_batch(stator_state *st, const stator_handle *h,
			const stator_row *keys, size_t count,
			stator_row *values, stator_error *err)
{
	const stator_storage *s = h->binding->storage;
	int code = STATOR_OK;

	if (!allowed(st, h, STATOR_GETBATCH))
		return refuse(st, h, NULL, STATOR_GETBATCH, err);
	code = count_rows(st, count, err);
	if (code)
		return code;
	if (s->get_batch)
		return get_batch(st, h, keys, count, values, err);
	for (size_t i = 0; i < count; i++) {
		code = get_one(st, h, &keys[i], &values[i], err);
		if (code < 0)
			return code;
		if (code == STATOR_NONE)
			values[i].data = NULL;
	}
	return STATOR_OK;
}

int
stator__state_read(stator_state *st, const stator_handle *h,
		   const stator_row *key, bool reverse, uint32_t limit,
		   stator_cursor **cursor, stator_error *err)
{
	const stator_storage *s = h->binding->storage;
	stator_read_opts opts = {STATOR_ABI, sizeof(opts), reverse, limit};
	int64_t entered;
	int code;

	*cursor = NULL;
	if (!allowed(st, h, STATOR_READ))
		return refuse(st, h, key, STATOR_READ, err);
	entered = enter(st, h, err);
	code = s->read(h->instance->self, &st->io.run, &h->use, key, &opts,
		       cursor, err);
	code = leave(st, h, entered, code, err);
	if (code >= 0 && (code != STATOR_OK || *cursor == NULL ||
			  (*cursor)->next == NULL || (*cursor)->release == NULL))
		code = stator__fail(err, STATOR_STORAGE_FAILED,
				    "read gave no cursor with next and release");
	if (code < 0)
		return about(st, h, key, code, err);
	STATOR_GROW(st->cursors, st->cursor_count, st->cursor_cap);
	st->cursors[st->cursor_count++] = (stator_open_cursor){*cursor, h};
	return STATOR_OK;
}

int
stator__state_next(stator_state *st, const stator_handle *h,
		   stator_cursor *cursor, stator_row *key, stator_row *value,
		   stator_error *err)
{
	int code = count_rows(st, 0, err);
	int64_t entered;

	if (code)
		return code;
	entered = enter(st, h, err);
	key->type = h->use.key;
	value->type = h->use.value;
	code = cursor->next(cursor, key, value, err);
	code = leave(st, h, entered, code, err);
	if (code == STATOR_OK)
		code = check_handed_out(st, h, value, h->use.value, err);
	if (code == STATOR_OK)
		code = check_handed_out(st, h, key, h->use.key, err);
	if (code == STATOR_OK &&
	    ((code = count_rows(st, 1, err)) != STATOR_OK ||
	     (code = count_bytes(st, key, err)) != STATOR_OK ||
	     (code = count_bytes(st, value, err)) != STATOR_OK))
		return code;
	if (code < 0)
		return about(st, h, NULL, code, err);
	if (code == STATOR_NONE)
		stator__state_close(st, cursor);
	return code;
}

void
stator__state_close(stator_state *st, stator_cursor *cursor)
{
	for (size_t i = st->cursor_count; i-- > 0;) {
		const stator_handle *h = st->cursors[i].handle;
		int64_t entered;

		if (st->cursors[i].cursor != cursor)
			continue;
		st->cursors[i] = st->cursors[--st->cursor_count];
		entered = stator__instance_enter(h->instance);
		cursor->release(cursor);
		stator__instance_leave(h->instance, entered, h->binding);
		return;
	}
}

/* Only sys.Result describes no fields: they are those of RETURNS. */
static bool
is_result(const stator_handle *h)
{
	return h->binding->storage->value_field_count == 0 && !h->use.entity;
}

const stator_type *
stator__handle_value_type(const stator_handle *h)
{
	return is_result(h) ? NULL : h->use.value;
}

const stator_type *
stator__state_value_type(const stator_state *st, const stator_handle *h)
{
	return is_result(h) ? st->ext->result : h->use.value;
}

static stator_row
keep(stator_state *st, const stator_row *row)
{
	stator_row copy = *row;

	copy.data = stator__arena_copy(&st->arena, row->data, row->size);
	return copy;
}

/* Rows of a query are not held: nothing can make them undone but its failure. */
static bool
is_streamed(const stator_state *st, const stator_handle *h)
{
	return st->ext->kind == STATOR_QUERY && is_result(h);
}

/* The place of the last row of the result is that of the next: OK and free, or
 * NONE and not yet filled. */
static int
next_result(stator_state *st, uint32_t *out)
{
	stator_wish *w = &st->wishes[st->result - 1];

	*out = (uint32_t)st->result - 1;
	if (!w->sent)
		return STATOR_NONE;
	w->sent = false;
	return STATOR_OK;
}

int
stator__state_intent(stator_state *st, const stator_handle *h,
		     const stator_row *key, const stator_row *base,
		     uint32_t *out, stator_error *err)
{
	int op = base ? STATOR_UPDATE : STATOR_INSERT;
	bool streamed = is_streamed(st, h);
	stator_wish *w;

	if (!allowed(st, h, op))
		return refuse(st, h, key, op, err);
	if (st->breach) {
		*err = st->breach_error;
		return st->breach;
	}
	if (streamed && st->result)
		return next_result(st, out);
	/* Rows of a query are bounded by their bytes. */
	if (st->wish_count >= st->limits->intents && !streamed)
		return breach(st, STATOR_INTENTS_LIMIT, err, "intents",
			      st->limits->intents);
	if (h->is_log && st->log_lines++ >= st->limits->log_lines)
		return breach(st, STATOR_LOG_LIMIT, err, "log lines",
			      st->limits->log_lines);
	if (stator__state_value_type(st, h) == NULL) {
		stator__fail(err, STATOR_NOT_SUPPORTED, "%s RETURNS nothing",
			     st->ext->name);
		return about(st, h, NULL, STATOR_NOT_SUPPORTED, err);
	}
	STATOR_GROW(st->wishes, st->wish_count, st->wish_cap);
	w = &st->wishes[st->wish_count];
	memset(w, 0, sizeof(*w));
	w->handle = h;
	w->key = keep(st, key);
	w->hash = stator__hash64(stator__slice(key->data, key->size), 0);
	w->is_new = base == NULL;
	if (base)
		w->base = *base;
	*out = (uint32_t)st->wish_count++;
	if (streamed)
		st->result = st->wish_count;
	return STATOR_OK;
}

/* Hands a row of the result on; it lives until this returns. */
static int
send(stator_state *st, stator_wish *w, const stator_row *row, stator_error *err)
{
	const stator_handle *h = w->handle;
	const stator_intent item = {STATOR_ABI, sizeof(item), &h->use,
				    &w->key,	row,	      w->is_new,
				    (uint32_t)(w - st->wishes)};
	int64_t entered = enter(st, h, err);
	int code = h->binding->storage->apply(h->instance->self, &st->io.run,
					      &item, 1, err);

	code = leave(st, h, entered, code, err);
	w->sent = true;
	stator__arena_reset(&st->row);
	return code < 0 ? about(st, h, NULL, code, err) : STATOR_OK;
}

int
stator__state_fill(stator_state *st, uint32_t intent, const stator_row *value,
		   stator_error *err)
{
	stator_wish *w = &st->wishes[intent];
	bool streamed = is_streamed(st, w->handle);
	stator_row row = *value;
	int code;

	/* A record keeps what changed, for its event; others are merged. */
	if (w->base.data && !stator__wish_is_record(w))
		row = stator__row_merge(&st->arena, &w->base, value);
	else if (!streamed)
		row = keep(st, value);
	if (w->is_new)
		row = stator__row_with_defaults(streamed ? &st->row
							 : &st->arena,
						&row);
	if (is_result(w->handle))
		st->bytes_returned += row.size;
	if (st->bytes_returned > st->limits->bytes)
		return breach(st, STATOR_BYTES_LIMIT, err, "bytes returned",
			      st->limits->bytes);
	if (!streamed)
		w->value = row;
	if (w->base.data && stator__wish_is_record(w))
		return STATOR_OK;
	code = stator__row_check(&row, err);
	if (code) {
		/* What an extension makes wrong is the extension's fault. */
		stator__wrap(err, "%s",
			     stator__state_show(st, w->handle, &w->key));
		err->code = STATOR_EXTENSION_FAILED;
		return STATOR_EXTENSION_FAILED;
	}
	return streamed ? send(st, w, &row, err) : STATOR_OK;
}

int
stator__state_find(stator_state *st, const stator_handle *h,
		   const stator_row *key, uint32_t *out, stator_error *err)
{
	uint64_t hash = stator__hash64(stator__slice(key->data, key->size), 0);

	if (!allowed(st, h, STATOR_INSERT) && !allowed(st, h, STATOR_UPDATE))
		return refuse(st, h, key, STATOR_INSERT, err);
	for (size_t i = st->wish_count; i-- > 0;) {
		const stator_wish *w = &st->wishes[i];

		if (w->hash == hash && w->handle == h &&
		    w->key.size == key->size &&
		    memcmp(w->key.data, key->data, key->size) == 0) {
			*out = (uint32_t)i;
			return STATOR_OK;
		}
	}
	return STATOR_NONE;
}

bool
stator__wish_is_record(const stator_wish *w)
{
	return w->handle->binding->storage->entity == STATOR_ENTITY_RECORD;
}

/* Applying --------------------------------------------------------------- */

/* The intents of one storage, as it is given them; returns their number. */
static size_t
gather(stator_state *st, const stator_binding *b, stator_intent *items)
{
	size_t count = 0;

	for (size_t i = 0; i < st->wish_count; i++) {
		stator_wish *w = &st->wishes[i];

		if (w->handle->binding != b || w->value.data == NULL)
			continue;
		items[count++] = (stator_intent){
			STATOR_ABI, sizeof(stator_intent), &w->handle->use,
			&w->key,    &w->value,		   w->is_new,
			(uint32_t)i};
	}
	return count;
}

bool
stator__wish_is_first(const stator_state *st, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (st->wishes[k].handle->binding ==
		    st->wishes[i].handle->binding)
			return false;
	return true;
}

typedef int32_t (*batch_function)(void *self, const stator_run *run,
				  const stator_intent *items, size_t count,
				  stator_error *err);

static int
each_storage(stator_state *st, bool apply, bool log_only, stator_error *err)
{
	stator_intent *items;

	if (st->wish_count == 0)
		return STATOR_OK;
	items = stator__arena_alloc(&st->arena,
				    st->wish_count * sizeof(*items));
	for (size_t i = 0; i < st->wish_count; i++) {
		const stator_handle *h = st->wishes[i].handle;
		const stator_storage *s = h->binding->storage;
		batch_function call = apply ? s->apply : s->validate;
		int64_t entered;
		size_t count;
		int code;

		if (call == NULL || stator__wish_is_record(&st->wishes[i]) ||
		    (log_only && !h->is_log) ||
		    !stator__wish_is_first(st, i))
			continue;
		count = gather(st, h->binding, items);
		if (count == 0)
			continue;
		entered = enter(st, h, err);
		code = call(h->instance->self, &st->io.run, items, count, err);
		code = leave(st, h, entered, code, err);
		if (code < 0)
			return about(st, h, NULL, code, err);
	}
	return STATOR_OK;
}

int
stator__state_validate(stator_state *st, stator_error *err)
{
	return each_storage(st, false, false, err);
}

int
stator__state_apply(stator_state *st, stator_error *err)
{
	return each_storage(st, true, false, err);
}

int
stator__state_effect(stator_state *st, const stator_handle *h,
		     const stator_intent *item, stator_error *err)
{
	int64_t entered = enter(st, h, err);
	int code = h->binding->storage->effect(h->instance->self, &st->io.run,
					       item, err);

	code = leave(st, h, entered, code, err);
	return code < 0 ? about(st, h, item->key, code, err) : STATOR_OK;
}

void
stator__state_apply_log(stator_state *st)
{
	stator_error err;

	each_storage(st, true, true, &err);
}
