/*
 * arena.h: the memory of one Lua state: a region of fixed size of its own, so
 * that a state can be dropped without being closed.
 *
 * Rationale: LuaJIT must never be told that there is no memory (it crashes
 * when that happens at a bad moment), so at the limit the run is left by
 * siglongjmp; what is left behind is not a state that could be closed.
 */
#ifndef STATOR_LUA_ARENA_H
#define STATOR_LUA_ARENA_H

#include <setjmp.h>

#include "engine/lua/preempt.h"

typedef struct lua_arena lua_arena;

/*
 * NULL when there is no address space. `size` is rounded up to pages; `text` is
 * the most bytes of a string.
 */
lua_arena *stator__lua_arena_new(size_t size, size_t text);
void stator__lua_arena_free(lua_arena *arena);
/* Drops all blocks; pages are given back to the system. */
void stator__lua_arena_drop(lua_arena *arena);
/*
 * Where to go at a limit, with PREEMPT_MEMORY, PREEMPT_STRING or PREEMPT_STACK;
 * NULL: the process ends.
 * Allocations are safe points of `preempt`, unless it is NULL.
 */
void stator__lua_arena_guard(lua_arena *arena, sigjmp_buf *escape,
			     lua_preempt *preempt);
size_t stator__lua_arena_used(const lua_arena *arena);
/* The collector of `L`, which rests, works from so many bytes on. */
void stator__lua_arena_wake(lua_arena *arena, lua_State *L, size_t used);
bool stator__lua_arena_awake(const lua_arena *arena);
/*
 * Keeps what the arena has, to be put back any number of times; blocks that
 * were made since are gone then. Dropping the arena drops what was kept.
 */
void stator__lua_arena_keep(lua_arena *arena);
void stator__lua_arena_put_back(lua_arena *arena);
/* A lua_Alloc; `ctx` is the arena. */
void *stator__lua_arena_alloc(void *ctx, void *p, size_t old, size_t size);

#endif
