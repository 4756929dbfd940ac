/*
 * engine_lua.c: the Lua engine. One Lua state, in an arena of its own, for a
 * package of a partition.
 *
 * Lua calls C through a table of plain functions (lua_ffi.h), which never call
 * Lua. C enters Lua only in `guarded`, which is also where a run lands that
 * has used up its memory: the state is dropped then, and a fresh one is made
 * for the next run.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/lua/arena.h"
#include "base/embed.h"
#include "engine/engine.h"
#include "engine/lua/advice.h"
#include "engine/lua/lua_ffi.h"
#include "engine/lua/mcode.h"
#include "engine/lua/preempt.h"

typedef struct batch_key {
	const stator_handle *handle;
	stator_row key;
} batch_key;

typedef struct open_cursor {
	stator_cursor *cursor; /* NULL once it has ended */
} open_cursor;

struct lua_engine {
	stator_engine base;
	const stator_engine_env *env;
	lua_arena *arena;
	lua_mcode code;
	lua_State *L; /* NULL: the last one was dropped */
	stator_handles handles;
	stator_state *state; /* of the run, or NULL */
	lua_run run;
	batch_key *batch;
	size_t batch_count, batch_cap;
	open_cursor *cursors;
	size_t cursor_count, cursor_cap;
	const char **places; /* of functions, by extension */
	stator_arena place_arena;
	sigjmp_buf escape;
	lua_preempt preempt;
};

/* What Lua calls -------------------------------------------------------- */

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
	uint64_t used = e->run.cap * sizeof(stator_row) + e->run.out_cap + more;
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

/* Slots that the host fills itself are bounded by the rows that are read. */
static void
add_slot(lua_engine *e, const stator_row *row)
{
	if (e->run.count == e->run.cap) {
		size_t cap = e->run.cap;

		e->run.slots = stator__grow(e->run.slots, &cap,
					    sizeof(stator_row));
		e->run.cap = (uint32_t)cap;
	}
	e->run.slots[e->run.count++] = *row;
}

static const char *
package_name(const lua_engine *e)
{
	return e->env->def->packages[e->env->package].name;
}

static int32_t
api_handle(lua_engine *e, const char *storage, const char *entity)
{
	stator_handle *h;
	stator_error err;

	if (stator__handle(&e->handles, storage, entity, package_name(e), &h,
			   &err))
		return failed(e, &err);
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
api_value_type(lua_engine *e, uint32_t handle)
{
	if (e->state == NULL)
		return NULL;
	return stator__state_value_type(e->state, handle_at(e, handle));
}

static stator_row
out_row(const lua_engine *e, uint32_t size, const stator_type *type)
{
	stator_row row = {e->run.out, size, 0, type};

	return row;
}

/* The key that Lua wrote. */
static stator_row
key_row(const lua_engine *e, uint32_t handle, uint32_t size)
{
	return out_row(e, size, handle_at(e, handle)->use.key);
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
	add_slot(e, &value);
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
		add_slot(e, &values[i]);
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
	add_slot(e, &key);
	add_slot(e, &value);
	return 1;
}

static int32_t
api_intent(lua_engine *e, uint32_t handle, uint32_t size, double base)
{
	stator_row key = key_row(e, handle, size);
	const stator_row *old = NULL;
	stator_error err;
	uint32_t index;

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
	if (stator__state_intent(e->state, handle_at(e, handle), &key, old,
				 &index, &err))
		return failed(e, &err);
	return (int32_t)index;
}

static int32_t
api_fill(lua_engine *e, uint32_t intent, uint32_t size)
{
	stator_row value;
	stator_error err;

	if (no_run(e) || intent >= e->state->wish_count)
		return -1;
	value = out_row(e, size,
			stator__state_value_type(
				e->state, e->state->wishes[intent].handle));
	if (stator__state_fill(e->state, intent, &value, &err))
		return failed(e, &err);
	return 0;
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
	return code == STATOR_NONE ? 0 : (int32_t)index + 1;
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
HOST_CALL(int32_t, fill, (lua_engine *e, uint32_t intent, uint32_t size), e,
	  intent, size)
HOST_CALL(int32_t, find, (lua_engine *e, uint32_t handle, uint32_t size), e,
	  handle, size)
HOST_CALL(double, raw_id, (lua_engine *e), e)
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

static const lua_api api = {
	.handle = host_handle,
	.key_type = host_key_type,
	.value_type = host_value_type,
	.get = host_get,
	.batch_add = host_batch_add,
	.batch_get = host_batch_get,
	.read = host_read,
	.next = host_next,
	.intent = host_intent,
	.fill = host_fill,
	.find = host_find,
	.raw_id = host_raw_id,
	.type = host_type,
	.grow_slots = host_grow_slots,
	.grow_out = host_grow_out,
	.show = host_show,
	.trace = host_trace,
	.flush = host_flush,
	.is_up = host_is_up,
	.stop = api_stop,
};

/* Entering Lua ------------------------------------------------------------ */

/* The state is left as it is, with all that it had of machine code. */
static void
drop_state(lua_engine *e)
{
	stator__lua_arena_guard(e->arena, NULL, NULL);
	e->preempt.L = NULL;
	stator__preempt_flush(&e->preempt);
	stator__lua_mcode_drop(&e->code);
	stator__lua_arena_drop(e->arena);
	e->L = NULL;
}

typedef int (*lua_entry)(lua_engine *e, void *ctx);

/* A run was left where it was, by its memory or its time. */
static int
landed(lua_engine *e, int by)
{
	if (e->preempt.thread)
		stator__preempt_disarm(&e->preempt);
	drop_state(e);
	return by == PREEMPT_TIME ? STATOR_TIME_LIMIT : STATOR_MEMORY_LIMIT;
}

/*
 * Calls `entry`, which may raise Lua errors only inside lua_pcall, and is the
 * host's own when it has no limit of time. MEMORY_LIMIT or TIME_LIMIT when it
 * was left; there is no state then.
 */
static int
guarded(lua_engine *e, lua_entry entry, void *ctx, uint32_t limit_ms)
{
	bool limited = PREEMPT_LIMITS && limit_ms;
	int code = sigsetjmp(e->escape, 0);

	if (code)
		return landed(e, code);
	stator__lua_arena_guard(e->arena, &e->escape,
				limited ? &e->preempt : NULL);
	if (limited)
		stator__preempt_arm(&e->preempt, limit_ms);
	code = entry(e, ctx);
	if (limited)
		stator__preempt_disarm(&e->preempt);
	stator__lua_arena_guard(e->arena, NULL, NULL);
	return code;
}

/* "shop/shop.lua:7: " where that is known, else where `ext` begins. */
static const char *
stopped_at(lua_engine *e, const stator_ext *ext, char *text, size_t size)
{
	if (e->preempt.file == NULL)
		return ext ? e->places[ext->index] : "";
	snprintf(text, size, "%s:%d: ", e->preempt.file, e->preempt.line);
	e->preempt.file = NULL;
	return text;
}

/* Life --------------------------------------------------------------------- */

static void
push_modules(lua_State *L, const stator_engine_env *env)
{
	lua_createtable(L, 0, (int)env->module_count);
	for (size_t i = 0; i < env->module_count; i++) {
		const stator_module *m = &env->modules[i];

		lua_createtable(L, 0, 3);
		lua_pushinteger(L, (lua_Integer)i);
		lua_setfield(L, -2, "number");
		lua_pushstring(L, m->path);
		lua_setfield(L, -2, "path");
		lua_pushlstring(L, m->text.data ? m->text.data : "",
				m->text.size);
		lua_setfield(L, -2, "text");
		lua_setfield(L, -2, m->name);
	}
}

/* { [index + 1] = { name, kind, file, line } } of what this engine runs. */
static void
push_extensions(lua_State *L, const stator_engine_env *env)
{
	const stator_def *def = env->def;

	lua_newtable(L);
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];

		if (ext->package != env->package || !(ext->kind & env->kinds) ||
		    strcmp(ext->engine, "lua") != 0)
			continue;
		lua_createtable(L, 0, 4);
		lua_pushstring(L, ext->local);
		lua_setfield(L, -2, "name");
		lua_pushinteger(L, (lua_Integer)ext->kind);
		lua_setfield(L, -2, "kind");
		lua_rawseti(L, -2, (int)i + 1);
	}
}

/* Runs in lua_pcall: makes the environment and loads the package. */
static int
boot(lua_State *L)
{
	lua_engine *e = lua_touserdata(L, 1);
	const stator_embedded *cdef = stator__embedded("ffi.cdef");

	luaL_openlibs(L);
	stator__embed_require(L);
	stator__lua_mcode_init(L, &e->code);
	/* From here on there is code of the author. */
	e->preempt.L = e->L;
	lua_getglobal(L, "require");
	lua_pushliteral(L, "stator.boot");
	lua_call(L, 1, 1);
	lua_pushlstring(L, (const char *)cdef->data, cdef->size);
	lua_pushlightuserdata(L, e);
	lua_pushlightuserdata(L, &e->run);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&api);
	lua_pushstring(L, package_name(e));
	push_modules(L, e->env);
	push_extensions(L, e->env);
	lua_pushboolean(L, e->preempt.fuel);
	lua_call(L, 8, 3);
	return 3;
}

typedef struct boot_result {
	stator_problems *problems;
} boot_result;

/* "restaurant/other.lua:3: text" is about the line 3 of a file. */
static bool
report_line(const lua_engine *e, stator_problems *problems,
	    const char *message)
{
	for (size_t i = 0; i < e->env->module_count; i++) {
		const stator_module *m = &e->env->modules[i];
		size_t n = strlen(m->path);
		char *text;
		long line;

		if (strncmp(message, m->path, n) != 0 || message[n] != ':')
			continue;
		line = strtol(message + n + 1, &text, 10);
		if (line <= 0 || strncmp(text, ": ", 2) != 0)
			continue;
		stator__problem(problems, m->file, (int)line, 1, "%s",
				text + 2);
		return true;
	}
	return false;
}

/* "restaurant.NewOrder: text" is about where that was declared. */
static bool
report_extension(const lua_engine *e, stator_problems *problems,
		 const char *message)
{
	const stator_def *def = e->env->def;

	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];
		size_t n = strlen(ext->name);

		if (strncmp(message, ext->name, n) != 0 ||
		    strncmp(message + n, ": ", 2) != 0)
			continue;
		stator__problem(problems, ext->file, ext->line, ext->col, "%s",
				message);
		return true;
	}
	return false;
}

static void
report(const lua_engine *e, stator_problems *problems, const char *message)
{
	if (!report_line(e, problems, message) &&
	    !report_extension(e, problems, message))
		stator__problem(problems,
				e->env->module_count ? e->env->modules[0].file
				: e->env->folder     ? e->env->folder
						     : package_name(e),
				1, 1, "%s", message);
}

/* Where the functions of extensions begin, "shop/shop.lua:5: ". */
static void
note_places(lua_engine *e)
{
	stator__arena_reset(&e->place_arena);
	for (size_t i = 0; i < e->env->def->ext_count; i++) {
		const char *place;
		size_t size;

		lua_rawgeti(e->L, 2, (int)i + 1);
		place = lua_tolstring(e->L, -1, &size);
		e->places[i] = place ? stator__arena_str(&e->place_arena,
							 place, size)
				     : "";
		lua_pop(e->L, 1);
	}
}

/*
 * Stack when booted: the run function, the places, the problems. The first
 * stays, and the one that advises if somebody wants to know.
 */
static int
enter_boot(lua_engine *e, void *ctx)
{
	boot_result *result = ctx;
	size_t count;

	e->L = lua_newstate(stator__lua_arena_alloc, e->arena);
	if (e->L == NULL) {
		report(e, result->problems, "no memory for a Lua state");
		return STATOR_NO_MEMORY;
	}
	lua_pushcfunction(e->L, boot);
	lua_pushlightuserdata(e->L, e);
	if (lua_pcall(e->L, 1, 3, 0)) {
		const char *message = lua_tostring(e->L, -1);

		report(e, result->problems, message ? message : "fails to load");
		return STATOR_IMAGE;
	}
	count = lua_objlen(e->L, 3);
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(e->L, 3, (int)i);
		report(e, result->problems, lua_tostring(e->L, -1));
		lua_pop(e->L, 1);
	}
	note_places(e);
	lua_getfield(e->L, 3, "advise");
	lua_replace(e->L, 2);
	lua_settop(e->L, result->problems->warnings ? 2 : 1);
	return count ? STATOR_IMAGE : STATOR_OK;
}

/* Loading a package may take as long as its longest run, jobs aside. */
static uint32_t
load_limit(const stator_limits *limits)
{
	uint32_t most = limits->command_ms;

	if (most < limits->query_ms)
		most = limits->query_ms;
	return most < limits->projector_ms ? limits->projector_ms : most;
}

static int
enter_advise(lua_engine *e, void *ctx)
{
	stator__lua_advise(e->L, e->env, ctx);
	return STATOR_OK;
}

static int
make_state(lua_engine *e, stator_problems *problems)
{
	const stator_limits *limits = &e->env->limits;
	boot_result result = {problems};
	bool visited = stator__preempt_visit();
	int code = guarded(e, enter_boot, &result, load_limit(limits));
	char place[256], text[320];

	stator__preempt_leave(visited);
	if (code == STATOR_TIME_LIMIT) {
		snprintf(text, sizeof(text),
			 "%slimit of %u ms exceeded while it is loaded",
			 stopped_at(e, NULL, place, sizeof(place)),
			 load_limit(limits));
		report(e, problems, text);
	} else if (code == STATOR_MEMORY_LIMIT)
		report(e, problems, "loading exceeds the memory limit");
	else if (code && e->L)
		drop_state(e);
	else if (problems->warnings)
		guarded(e, enter_advise, problems->warnings, 0);
	return code;
}

static void
finit(stator_engine *engine)
{
	lua_engine *e = (lua_engine *)engine;

	if (e->L)
		lua_close(e->L);
	stator__lua_arena_free(e->arena);
	stator__handles_free(&e->handles);
	stator__arena_free(&e->place_arena);
	free(e->places);
	free(e->run.slots);
	free(e->run.out);
	free(e->batch);
	free(e->cursors);
	free(e->preempt.traces);
	free(e);
	stator__preempt_close();
}

static stator_engine *
init(const stator_engine_env *env, stator_problems *problems)
{
	lua_engine *e = stator__alloc(sizeof(*e));

	e->base.ops = &stator__engine_lua;
	e->env = env;
	e->handles.def = env->def;
	e->handles.registry = env->registry;
	e->handles.instances = env->instances;
	e->run.base = 1;
	e->preempt.escape = &e->escape;
	e->preempt.code = &e->code;
	e->preempt.modules = env->modules;
	e->preempt.module_count = env->module_count;
	e->preempt.fuel =
		!stator__preempt_open(env->preemption, env->preempt_signal);
	e->places = stator__alloc((env->def->ext_count + 1) * sizeof(char *));
	api_grow_slots(e);
	api_grow_out(e, 4096);
	e->arena = stator__lua_arena_new(env->limits.memory);
	if (e->arena == NULL)
		report(e, problems, "no address space for a Lua state");
	if (e->arena == NULL || make_state(e, problems)) {
		finit(&e->base);
		return NULL;
	}
	return &e->base;
}

/* Running ------------------------------------------------------------------- */

typedef struct run_call {
	const stator_ext *ext;
	stator_error *err;
} run_call;

/* The Lua function gives nothing, or a code and a message. */
static int
enter_run(lua_engine *e, void *ctx)
{
	run_call *call = ctx;
	int code = STATOR_OK;

	lua_pushvalue(e->L, 1);
	lua_pushinteger(e->L, (lua_Integer)call->ext->index + 1);
	if (lua_pcall(e->L, 1, 2, 0)) {
		code = stator__fail(call->err, STATOR_EXTENSION_FAILED, "%s",
				    lua_tostring(e->L, -1));
	} else if (!lua_isnil(e->L, -1)) {
		code = (int)lua_tointeger(e->L, -2);
		stator__fail(call->err, code, "%s", lua_tostring(e->L, -1));
	}
	lua_settop(e->L, 1);
	return code;
}

static int
remake_state(lua_engine *e, stator_error *err)
{
	stator_problems problems = {0};
	int code = make_state(e, &problems);

	if (code)
		stator__fail(err, STATOR_EXTENSION_FAILED, "%s: %s",
			     problems.count ? problems.items[0].file : "",
			     problems.count ? problems.items[0].message : "");
	stator__problems_free(&problems);
	return code;
}

/* The arguments of the function are the first slots. */
static void
hand_in(lua_engine *e, const stator_ext *ext, stator_state *st)
{
	e->state = st;
	if (ext->kind == STATOR_PROJECTOR) {
		add_slot(e, &st->io.event);
		return;
	}
	add_slot(e, &st->io.argument);
	add_slot(e, &st->io.unlogged);
}

static uint32_t
run_limit(const stator_limits *limits, const stator_ext *ext)
{
	switch (ext->kind) {
	case STATOR_COMMAND:
		return limits->command_ms;
	case STATOR_QUERY:
		return limits->query_ms;
	case STATOR_PROJECTOR:
		return limits->projector_ms;
	default:
		return limits->job_ms;
	}
}

/* What is to be said of a run that was left, and of one that passed a limit. */
static int
failed_run(lua_engine *e, const stator_ext *ext, stator_error *err, int code)
{
	const stator_limits *limits = &e->env->limits;
	stator_state *st = e->state;
	char place[256];

	if (code == STATOR_TIME_LIMIT && e->L == NULL)
		stator__fail(err, code, "%slimit of %u ms exceeded",
			     stopped_at(e, ext, place, sizeof(place)),
			     run_limit(limits, ext));
	if (code == STATOR_MEMORY_LIMIT && e->L == NULL)
		stator__fail(err, code,
			     "%slimit of %llu bytes of memory exceeded",
			     e->places[ext->index],
			     (unsigned long long)limits->memory);
	/* Nobody knows what such a run has left in its state. */
	if (code == STATOR_MEMORY_LIMIT && e->L)
		drop_state(e);
	if (st->breach && e->L) {
		if (code != st->breach)
			*err = st->breach_error;
		code = st->breach;
	}
	stator__wrap(err, "%s", ext->name);
	return code;
}

static int
run(stator_engine *engine, const stator_ext *ext, stator_state *st,
    stator_error *err)
{
	lua_engine *e = (lua_engine *)engine;
	run_call call = {ext, err};
	int code;

	if (e->L == NULL && (code = remake_state(e, err)) != STATOR_OK)
		return code;
	hand_in(e, ext, st);
	code = guarded(e, enter_run, &call, run_limit(&e->env->limits, ext));
	if (STATOR_UNLIKELY(code || st->breach))
		code = failed_run(e, ext, err, code);
	e->state = NULL;
	return code;
}

static int
enter_collect(lua_engine *e, void *ctx)
{
	(void)ctx;
	lua_gc(e->L, LUA_GCCOLLECT, 0);
	return STATOR_OK;
}

static void
reset(stator_engine *engine)
{
	lua_engine *e = (lua_engine *)engine;

	e->run.base += e->run.count;
	e->run.count = 0;
	e->batch_count = 0;
	e->cursor_count = 0;
	/* A softer limit than the run's: here it costs nobody's run. */
	if (e->L && stator__lua_arena_used(e->arena) >
			    e->env->limits.memory / 2)
		guarded(e, enter_collect, NULL, 0);
}

const stator_engine_ops stator__engine_lua = {
	.name = "lua",
	.init = init,
	.run = run,
	.reset = reset,
	.finit = finit,
};
