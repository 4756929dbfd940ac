/*
 * engine_lua.h: one Lua engine, for the files that it is made of: engine_lua.c
 * enters Lua, calls.c is what Lua calls.
 */
#ifndef STATOR_ENGINE_LUA_H
#define STATOR_ENGINE_LUA_H

#include "engine/engine.h"
#include "engine/lua/arena.h"
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

/* What Lua calls. */
extern const lua_api stator__lua_api;

/* Room for the first rows. */
void stator__lua_calls_open(lua_engine *e);
/* A run is over. */
void stator__lua_calls_reset(lua_engine *e);
/* Gives Lua one more row. */
void stator__lua_add_slot(lua_engine *e, const stator_row *row);

static inline const char *
stator__lua_package(const lua_engine *e)
{
	return e->env->def->packages[e->env->package].name;
}

#endif
