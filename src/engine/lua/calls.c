/*
 * calls.c: what Lua calls: plain functions (lua_ffi.h) that never call Lua, and
 * give a negative number when they fail, with code and message in the run.
 */
#include <stdlib.h>

#include "engine/lua/engine_lua.h"

static int32_t
failed(lua_engine *e, const stator_error *err)
{
	e->run.code = err->code;
	memcpy(e->run.message, err->msg, sizeof(err->msg));
	return -1;
}

/* What the host keeps for a run counts as the run's memory does. */
static bool
out_of_memory(lua_engine *e, size_t more)
{
	uint64_t limit = e->env->limits.memory;
	uint64_t used = e->run.cap * sizeof(stator_row) + e->run.out_cap +
			e->run.intent_cap * sizeof(lua_intent) +
			e->batch_cap * sizeof(batch_key) +
			e->cursor_cap * sizeof(open_cursor) + more;
	stator_error err;

	if (e->state)
		used += stator__arena_size(&e->state->arena);
	if (STATOR_LIKELY(used <= limit))
		return false;
	stator__fail(&err, STATOR_MEMORY_LIMIT,
		     "limit of %llu bytes of memory exceeded",
		     (unsigned long long)limit);
	if (e->state)
		stator__state_breach(e->state, &err);
	failed(e, &err);
	return true;
}

/* Handles may be made while no run is on; everything else may not. */
static bool
no_run(lua_engine *e)
{
	stator_error err;

	if (STATOR_LIKELY(e->state != NULL))
		return out_of_memory(e, 0);
	stator__fail(&err, STATOR_EXTENSION_FAILED,
		     "state can be used in a run only, not while the module "
		     "loads");
	failed(e, &err);
	return true;
}

static int32_t
api_grow_slots(lua_engine *e)
{
	size_t cap = e->run.cap;

	if (e->L && out_of_memory(e, cap * sizeof(stator_row)))
		return -1;
	e->run.slots = stator__grow(e->run.slots, &cap, sizeof(stator_row));
	e->run.cap = (uint32_t)cap;
	return 0;
}

static int32_t
api_grow_out(lua_engine *e, uint32_t size)
{
	uint64_t cap = (uint64_t)e->run.out_cap * 2 + size;

	if (e->L && out_of_memory(e, (size_t)(cap - e->run.out_cap)))
		return -1;
	e->run.out = stator__realloc(e->run.out, cap);
	e->run.out_cap = (uint32_t)cap;
	return 0;
}

void
stator__lua_calls_open(lua_engine *e)
{
	api_grow_slots(e);
	api_grow_out(e, 4096);
}

/* Room that is kept from run to run. */
enum {
	KEPT_ITEMS = 4096,
	KEPT_OUT = 128 * 1024
};

/* A run that needed more counts for itself, not for those after it. */
void
stator__lua_calls_reset(lua_engine *e)
{
	lua_run *r = &e->run;

	r->base += r->count > r->intent_count ? r->count : r->intent_count;
	r->intent_base += r->intent_count;
	r->intent_first = r->intent_base;
	r->count = r->intent_count = 0;
	e->batch_count = e->cursor_count = 0;
	if (STATOR_LIKELY(r->cap <= KEPT_ITEMS && r->out_cap <= KEPT_OUT &&
			  r->intent_cap <= KEPT_ITEMS &&
			  e->batch_cap <= KEPT_ITEMS &&
			  e->cursor_cap <= KEPT_ITEMS))
		return;
	free(r->slots);
	free(r->intents);
	free(r->out);
	free(e->batch);
	free(e->cursors);
	r->slots = NULL;
	r->intents = NULL;
	r->out = NULL;
	e->batch = NULL;
	e->cursors = NULL;
	r->cap = r->intent_cap = r->out_cap = 0;
	e->batch_cap = e->cursor_cap = 0;
	stator__lua_calls_open(e);
}

/* Slots that the host fills itself are bounded by the rows that are read. */
void
stator__lua_add_slot(lua_engine *e, const stator_row *row)
{
	if (e->run.count == e->run.cap) {
		size_t cap = e->run.cap;

		e->run.slots = stator__grow(e->run.slots, &cap,
					    sizeof(stator_row));
		e->run.cap = (uint32_t)cap;
	}
	e->run.slots[e->run.count++] = *row;
}

static int32_t
api_handle(lua_engine *e, const char *storage, const char *entity)
{
	stator_handle *h;
	stator_error err;

	if (stator__handle(&e->handles, storage, entity, stator__lua_package(e), &h,
			   &err))
		return failed(e, &err);
	if (h->index >= e->env->limits.handles) {
		stator__fail(&err, STATOR_HANDLES_LIMIT,
			     "limit of %u handles exceeded",
			     e->env->limits.handles);
		return failed(e, &err);
	}
	return (int32_t)h->index;
}

static const stator_handle *
handle_at(const lua_engine *e, uint32_t index)
{
	return e->handles.items[index];
}

static const stator_type *
api_key_type(lua_engine *e, uint32_t handle)
{
	return handle_at(e, handle)->use.key;
}

static const stator_type *
api_own_type(lua_engine *e, uint32_t handle)
{
	return stator__handle_value_type(handle_at(e, handle));
}

static const stator_type *
api_value_type(lua_engine *e, uint32_t handle)
{
	if (e->state == NULL)
		return NULL;
	return stator__state_value_type(e->state, handle_at(e, handle));
}

/* The key that Lua wrote. */
static stator_row
key_row(const lua_engine *e, uint32_t handle, uint32_t size)
{
	stator_row row = {e->run.out, size, 0, handle_at(e, handle)->use.key};

	return row;
}

static int32_t
api_get(lua_engine *e, uint32_t handle, uint32_t size)
{
	stator_row key = key_row(e, handle, size), value = {0};
	stator_error err;
	int code;

	if (no_run(e))
		return -1;
	code = stator__state_get(e->state, handle_at(e, handle), &key, &value,
				 &err);
	if (code < 0)
		return failed(e, &err);
	if (code == STATOR_NONE)
		return 0;
	stator__lua_add_slot(e, &value);
	return 1;
}

static int32_t
api_batch_add(lua_engine *e, uint32_t handle, uint32_t size)
{
	stator_row key = key_row(e, handle, size);

	if (no_run(e))
		return -1;
	key.data = stator__arena_copy(&e->state->arena, key.data, size);
	STATOR_GROW(e->batch, e->batch_count, e->batch_cap);
	e->batch[e->batch_count++] = (batch_key){handle_at(e, handle), key};
	return (int32_t)e->batch_count;
}

/* Gets the keys from `from` on that share a handle; returns how many. */
static size_t
get_group(lua_engine *e, size_t from, int *code, stator_error *err)
{
	const stator_handle *h = e->batch[from].handle;
	stator_row *keys, *values;
	size_t n = 0;

	while (from + n < e->batch_count && e->batch[from + n].handle == h)
		n++;
	keys = stator__arena_alloc(&e->state->arena, 2 * n * sizeof(*keys));
	values = keys + n;
	for (size_t i = 0; i < n; i++)
		keys[i] = e->batch[from + i].key;
	*code = stator__state_get_batch(e->state, h, keys, n, values, err);
	for (size_t i = 0; i < n && *code == STATOR_OK; i++)
		stator__lua_add_slot(e, &values[i]);
	return n;
}

static int32_t
api_batch_get(lua_engine *e)
{
	int code = STATOR_OK;
	stator_error err;

	if (no_run(e))
		return -1;
	for (size_t i = 0; i < e->batch_count && code == STATOR_OK;)
		i += get_group(e, i, &code, &err);
	e->batch_count = 0;
	return code < 0 ? failed(e, &err) : 0;
}

static int32_t
api_read(lua_engine *e, uint32_t handle, uint32_t size, int32_t reverse,
	 uint32_t limit)
{
	stator_row key = key_row(e, handle, size);
	stator_cursor *cursor;
	stator_error err;

	if (no_run(e))
		return -1;
	/* The storage may keep the key as long as it reads. */
	key.data = stator__arena_copy(&e->state->arena, key.data, size);
	if (stator__state_read(e->state, handle_at(e, handle), &key,
			       reverse != 0, limit, &cursor, &err))
		return failed(e, &err);
	STATOR_GROW(e->cursors, e->cursor_count, e->cursor_cap);
	e->cursors[e->cursor_count].cursor = cursor;
	return (int32_t)e->cursor_count++;
}

static int32_t
api_next(lua_engine *e, uint32_t handle, uint32_t number)
{
	stator_row key = {0}, value = {0};
	open_cursor *c;
	stator_error err;
	int code;

	if (no_run(e) || number >= e->cursor_count)
		return -1;
	c = &e->cursors[number];
	if (c->cursor == NULL)
		return 0;
	code = stator__state_next(e->state, handle_at(e, handle), c->cursor,
				  &key, &value, &err);
	if (code == STATOR_NONE)
		c->cursor = NULL;
	if (code < 0)
		return failed(e, &err);
	if (code == STATOR_NONE)
		return 0;
	stator__lua_add_slot(e, &key);
	stator__lua_add_slot(e, &value);
	return 1;
}

/*
 * The wish of an intent: for new ones their base says it. Where places of wishes
 * are used again, in queries, all are new.
 */
static uint32_t
wish_of(const lua_engine *e, const lua_intent *it)
{
	return it->base < 0 ? (uint32_t)(-it->base) - 1
			    : (uint32_t)(it - e->run.intents);
}

/* The row of a result that is handed on next has memory of its own. */
static stator_arena *
arena_of(lua_engine *e, const lua_intent *it)
{
	return e->state->result == wish_of(e, it) + 1 ? &e->state->row
						: &e->state->arena;
}

static void
add_intent(lua_engine *e, const stator_type *type, uint32_t wish, double base)
{
	lua_run *r = &e->run;
	stator_builder b;

	if (r->intent_count == r->intent_cap) {
		size_t cap = r->intent_cap;

		r->intents = stator__grow(r->intents, &cap,
					  sizeof(*r->intents));
		r->intent_cap = (uint32_t)cap;
	}
	if (base < 0)
		base = -(double)wish - 1;
	r->intents[r->intent_count] = (lua_intent){.base = base};
	stator__build(&b, arena_of(e, &r->intents[r->intent_count]), type);
	r->intents[r->intent_count++] =
		(lua_intent){b.data, b.size, b.cap, type, base, 0};
}

static int fill_one(lua_engine *e, uint32_t intent, stator_error *err);

/* The last intent of a wish. */
static uint32_t
intent_of(const lua_engine *e, uint32_t wish)
{
	uint32_t i = e->run.intent_count;

	while (i > 0 && wish_of(e, &e->run.intents[--i]) != wish)
		;
	return i;
}

/*
 * The row of the result before the one that is made now is complete, and goes
 * its way. Its number is not used again; where other intents stand behind it,
 * an empty row is left in its place.
 */
static int
send_result(lua_engine *e, uint32_t wish, stator_error *err)
{
	lua_run *r = &e->run;
	uint32_t i = intent_of(e, wish);
	lua_intent *it = &r->intents[i];
	const stator_type *type = it->type;
	stator_builder b;
	int code = fill_one(e, i, err);

	if (code) {
		/* Whoever catches this is told again at the end. */
		it->type = type;
		return code;
	}
	if (r->intent_count == 1) {
		r->intent_count = 0;
		r->intent_base++;
		return STATOR_OK;
	}
	stator__build(&b, &e->state->arena, type);
	it->data = b.data;
	it->size = b.size;
	it->cap = b.cap;
	return STATOR_OK;
}

static int32_t
api_intent(lua_engine *e, uint32_t handle, uint32_t size, double base)
{
	stator_row key = key_row(e, handle, size);
	const stator_row *old = NULL;
	stator_error err;
	uint32_t index;
	int code;

	if (no_run(e))
		return -1;
	if (base >= 0) {
		if (base >= e->run.count)
			return -1;
		old = &e->run.slots[(uint32_t)base];
		if (old->data == NULL ||
		    old->type != handle_at(e, handle)->use.value) {
			stator__fail(&err, STATOR_EXTENSION_FAILED,
				     "update: the row is not of %s",
				     handle_at(e, handle)->use.entity);
			return failed(e, &err);
		}
	}
	code = stator__state_intent(e->state, handle_at(e, handle), &key, old,
				    &index, &err);
	if (code == STATOR_NONE) {
		code = send_result(e, index, &err);
		if (code == STATOR_OK)
			code = stator__state_intent(e->state,
						    handle_at(e, handle), &key,
						    old, &index, &err);
	}
	if (code)
		return failed(e, &err);
	add_intent(e, stator__state_value_type(e->state, handle_at(e, handle)),
		   index, base);
	return (int32_t)e->run.intent_count - 1;
}

/* The intent's row without gaps. */
static void
close_gaps(lua_engine *e, lua_intent *it)
{
	stator_row row = {it->data, it->size, 0, it->type};
	stator_builder b;

	if (it->gaps == 0)
		return;
	stator__build(&b, arena_of(e, it), it->type);
	for (uint32_t i = 0; i < it->type->field_count; i++)
		stator__build_copy(&b, i, &row);
	it->data = b.data;
	it->size = b.size;
	it->cap = b.cap;
	it->gaps = 0;
}

/* Where a text of this size is to go; what was there before leaves a gap. */
static uint32_t
text_place(lua_engine *e, lua_intent *it, const stator_field *f, uint32_t size)
{
	uint8_t *slot = it->data + f->at;
	uint32_t had = 0;

	if (it->data[f->null_at] & f->present)
		had = stator__u32(slot + 4);
	if (had && had >= size) {
		it->gaps += had - size;
		return stator__u32(slot);
	}
	it->gaps += had;
	it->data[f->null_at] &= (uint8_t)~f->present;
	if (size > it->cap - it->size) {
		uint64_t cap = ((uint64_t)it->size + size) * 2;
		uint8_t *data;

		close_gaps(e, it);
		data = stator__arena_alloc(arena_of(e, it), cap);
		memcpy(data, it->data, it->size);
		it->data = data;
		it->cap = (uint32_t)cap;
	}
	it->size += size;
	return it->size - size;
}

static int32_t
api_put_text(lua_engine *e, uint32_t intent, uint32_t field, const char *text,
	     uint32_t size)
{
	const stator_field *f;
	lua_intent *it;
	uint32_t at;

	if (no_run(e) || out_of_memory(e, 2 * (size_t)size) ||
	    intent >= e->run.intent_count)
		return -1;
	it = &e->run.intents[intent];
	if (it->type == NULL)
		return 0;
	f = &it->type->fields[field];
	at = text_place(e, it, f, size);
	memcpy(it->data + at, text, size);
	stator__u32_put(it->data + f->at, at);
	stator__u32_put(it->data + f->at + 4, size);
	it->data[f->null_at] |= f->present;
	return 0;
}

static int
fill_one(lua_engine *e, uint32_t intent, stator_error *err)
{
	lua_intent *it = &e->run.intents[intent];
	stator_row row;

	if (it->type == NULL)
		return STATOR_OK;
	close_gaps(e, it);
	row = (stator_row){it->data, it->size, 0, it->type};
	it->type = NULL;
	return stator__state_fill(e->state, wish_of(e, it), &row, err);
}

static int32_t
api_fill(lua_engine *e, uint32_t intent)
{
	stator_error err;

	if (no_run(e) || intent >= e->run.intent_count)
		return -1;
	return fill_one(e, intent, &err) ? failed(e, &err) : 0;
}

int
stator__lua_fill(lua_engine *e, stator_error *err)
{
	int code = STATOR_OK;

	for (uint32_t i = 0; i < e->run.intent_count && !code; i++)
		code = fill_one(e, i, err);
	return code;
}

static int32_t
api_find(lua_engine *e, uint32_t handle, uint32_t size)
{
	stator_row key = key_row(e, handle, size);
	stator_error err;
	uint32_t index;
	int code;

	if (no_run(e))
		return -1;
	code = stator__state_find(e->state, handle_at(e, handle), &key, &index,
				  &err);
	if (code < 0)
		return failed(e, &err);
	/* Intents are numbered from 0: 0 must not mean "none". */
	return code == STATOR_NONE ? 0 : (int32_t)intent_of(e, index) + 1;
}

static double
api_raw_id(lua_engine *e)
{
	return e->state ? (double)e->state->next_raw_id++ : 0;
}

static const stator_type *
api_type(lua_engine *e, uint32_t id)
{
	return stator__def_type(e->env->def, id);
}

/* Of the event, and of what extensions take. */
static const stator_type *
api_met_type(lua_engine *e, uint32_t index)
{
	const stator_def *def = e->env->def;
	uint32_t n = 0;

	if (index == n++)
		return def->event;
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];

		if (ext->package != e->env->package)
			continue;
		if (ext->arg && index == n++)
			return ext->arg;
		if (ext->unlogged && index == n++)
			return ext->unlogged;
	}
	return NULL;
}

/* Of what extensions give, and of handles. */
static const stator_type *
api_met_value(lua_engine *e, uint32_t index)
{
	const stator_def *def = e->env->def;
	uint32_t n = 0;

	for (size_t i = 0; i < def->ext_count; i++)
		if (def->exts[i].package == e->env->package &&
		    def->exts[i].result && index == n++)
			return def->exts[i].result;
	for (size_t i = 0; i < e->handles.count; i++)
		if (e->handles.items[i]->use.value && index == n++)
			return e->handles.items[i]->use.value;
	return NULL;
}

static void
api_show(lua_engine *e, uint32_t handle, uint32_t size)
{
	stator_row key = key_row(e, handle, size);
	stator_error text;

	stator__fail(&text, STATOR_OK, "%s",
		     stator__state_show(e->state, handle_at(e, handle), &key));
	failed(e, &text);
}

static void
api_trace(lua_engine *e, double address, uint32_t size, uint32_t module,
	  int32_t line)
{
	lua_trace trace = {(uintptr_t)address, (uintptr_t)address + size,
			   e->env->modules[module].path, line};

	stator__preempt_trace(&e->preempt, &trace);
}

static void
api_flush(lua_engine *e)
{
	stator__preempt_flush(&e->preempt);
}

static void
api_stop(lua_engine *e, uint32_t module, int32_t line)
{
	if (line > 0) {
		e->preempt.file = e->env->modules[module].path;
		e->preempt.line = line;
	}
	stator__preempt_stop(&e->preempt);
}

/*
 * Lua is given these: what is above, with the host's work marked as such. The
 * run can be left before and behind it, never within.
 */
#define HOST_CALL(type, name, parameters, ...)         \
	static type host_##name parameters             \
	{                                              \
		type result;                           \
                                                       \
		stator__preempt_host(&e->preempt);     \
		result = api_##name(__VA_ARGS__);      \
		stator__preempt_author(&e->preempt);   \
		return result;                         \
	}
#define HOST_VOID(name, parameters, ...)               \
	static void host_##name parameters             \
	{                                              \
		stator__preempt_host(&e->preempt);     \
		api_##name(__VA_ARGS__);               \
		stator__preempt_author(&e->preempt);   \
	}

HOST_CALL(int32_t, handle,
	  (lua_engine *e, const char *storage, const char *entity), e, storage,
	  entity)
HOST_CALL(const stator_type *, key_type, (lua_engine *e, uint32_t handle), e,
	  handle)
HOST_CALL(const stator_type *, own_type, (lua_engine *e, uint32_t handle), e,
	  handle)
HOST_CALL(const stator_type *, value_type, (lua_engine *e, uint32_t handle), e,
	  handle)
HOST_CALL(int32_t, get, (lua_engine *e, uint32_t handle, uint32_t size), e,
	  handle, size)
HOST_CALL(int32_t, batch_add, (lua_engine *e, uint32_t handle, uint32_t size),
	  e, handle, size)
HOST_CALL(int32_t, batch_get, (lua_engine *e), e)
HOST_CALL(int32_t, read,
	  (lua_engine *e, uint32_t handle, uint32_t size, int32_t reverse,
	   uint32_t limit),
	  e, handle, size, reverse, limit)
HOST_CALL(int32_t, next, (lua_engine *e, uint32_t handle, uint32_t cursor), e,
	  handle, cursor)
HOST_CALL(int32_t, intent,
	  (lua_engine *e, uint32_t handle, uint32_t size, double base), e,
	  handle, size, base)
HOST_CALL(int32_t, put_text,
	  (lua_engine *e, uint32_t intent, uint32_t field, const char *text,
	   uint32_t size),
	  e, intent, field, text, size)
HOST_CALL(int32_t, fill, (lua_engine *e, uint32_t intent), e, intent)
HOST_CALL(int32_t, find, (lua_engine *e, uint32_t handle, uint32_t size), e,
	  handle, size)
HOST_CALL(double, raw_id, (lua_engine *e), e)
HOST_CALL(const stator_type *, met_type, (lua_engine *e, uint32_t index), e,
	  index)
HOST_CALL(const stator_type *, met_value, (lua_engine *e, uint32_t index), e,
	  index)
HOST_CALL(const stator_type *, type, (lua_engine *e, uint32_t id), e, id)
HOST_CALL(int32_t, grow_slots, (lua_engine *e), e)
HOST_CALL(int32_t, grow_out, (lua_engine *e, uint32_t size), e, size)
HOST_VOID(show, (lua_engine *e, uint32_t handle, uint32_t size), e, handle,
	  size)
HOST_VOID(trace,
	  (lua_engine *e, double address, uint32_t size, uint32_t module,
	   int32_t line),
	  e, address, size, module, line)
HOST_VOID(flush, (lua_engine *e), e)

/* The one that looks before it is left: Lua then says where it is. */
static int32_t
host_is_up(lua_engine *e)
{
	return stator__preempt_over(&e->preempt);
}

const lua_api stator__lua_api = {
	.handle = host_handle,
	.key_type = host_key_type,
	.own_type = host_own_type,
	.value_type = host_value_type,
	.get = host_get,
	.batch_add = host_batch_add,
	.batch_get = host_batch_get,
	.read = host_read,
	.next = host_next,
	.intent = host_intent,
	.put_text = host_put_text,
	.fill = host_fill,
	.find = host_find,
	.raw_id = host_raw_id,
	.met_type = host_met_type,
	.met_value = host_met_value,
	.type = host_type,
	.grow_slots = host_grow_slots,
	.grow_out = host_grow_out,
	.show = host_show,
	.trace = host_trace,
	.flush = host_flush,
	.is_up = host_is_up,
	.stop = api_stop,
};
