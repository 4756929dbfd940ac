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
	bool left; /* the run was, where it was */
	/* Between runs (reset.c). */
	bool has_image, collecting;
	size_t used; /* bytes of the arena, after the last run */
	size_t goal; /* of a cycle of the collector */
	size_t wake; /* the collector works during a run from here on */
};

typedef int (*lua_entry)(lua_engine *e, void *ctx);
/*
 * Calls `entry`, which may raise Lua errors only inside lua_pcall, and is the
 * host's own when it has no limit of time. MEMORY_, STRING_, NESTING_LIMIT or
 * TIME_LIMIT when it was left; the state is put back or gone then.
 */
int stator__lua_guarded(lua_engine *e, lua_entry entry, void *ctx,
			uint32_t limit_ms);

/* After loading, and after each run: OK, or the limit that was passed. */
int stator__lua_loaded(lua_engine *e);
void stator__lua_reset(lua_engine *e);
/* Puts the image back. */
void stator__lua_put_back(lua_engine *e);

/* What Lua calls. */
extern const lua_api stator__lua_api;

/* Room for the first rows. */
void stator__lua_calls_open(lua_engine *e);
/* A run is over. */
void stator__lua_calls_reset(lua_engine *e);
/* All intents are whole: OK, or why one of them cannot be. */
int stator__lua_fill(lua_engine *e, stator_error *err);
/* Gives Lua one more row. */
void stator__lua_add_slot(lua_engine *e, const stator_row *row);

static inline const char *
stator__lua_package(const lua_engine *e)
{
	return e->env->def->packages[e->env->package].name;
}

#endif
