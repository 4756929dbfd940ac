/*
 * preempt_proof.c: the self-test. In a scratch state, on this machine, with the
 * LuaJIT that is loaded: a compiled loop, an interpreted one and a pattern are
 * stopped after a millisecond, twice each, and after each the next state works.
 * All of them end by themselves within a second or so: then there is no proof.
 */
#include <lauxlib.h>
#include <lualib.h>

#include "engine/lua/arena.h"
#include "engine/lua/preempt.h"

static const char *const scripts[] = {
	"local x = 0 for i = 1, 1e9 do x = x + i % 7 end",
	"jit.off(true, true) local x = 0 for i = 1, 5e7 do x = x + i % 7 end",
	"local s = ('a'):rep(300) return s:find('.-.-.-.-b')",
};

typedef struct scratch {
	lua_arena *arena;
	lua_mcode code;
	lua_preempt preempt;
	sigjmp_buf escape;
} scratch;

static int
run_script(lua_State *L)
{
	scratch *s = lua_touserdata(L, 1);

	luaL_openlibs(L);
	stator__lua_mcode_init(L, &s->code);
	if (luaL_loadstring(L, lua_touserdata(L, 2)))
		return lua_error(L);
	s->preempt.L = L;
	lua_call(L, 0, 0);
	return 0;
}

static void
run(scratch *s, const char *script)
{
	lua_State *L = lua_newstate(stator__lua_arena_alloc, s->arena);

	if (L == NULL)
		return;
	lua_pushcfunction(L, run_script);
	lua_pushlightuserdata(L, s);
	lua_pushlightuserdata(L, (void *)(uintptr_t)script);
	lua_pcall(L, 2, 0, 0);
}

/* Whether the script was stopped. */
static bool
is_stopped(scratch *s, const char *script)
{
	volatile bool stopped = false;

	if (sigsetjmp(s->escape, 0) == 0) {
		stator__lua_arena_guard(s->arena, &s->escape, &s->preempt);
		stator__preempt_arm(&s->preempt, 1);
		run(s, script);
	} else {
		stopped = true;
	}
	stator__preempt_disarm(&s->preempt);
	s->preempt.L = NULL;
	stator__lua_mcode_drop(&s->code);
	stator__lua_arena_drop(s->arena);
	return stopped;
}

bool
stator__preempt_proof(void)
{
	scratch s = {.arena = stator__lua_arena_new(16 << 20, SIZE_MAX)};
	bool visited = stator__preempt_visit(), works = s.arena != NULL;

	s.preempt.escape = &s.escape;
	s.preempt.code = &s.code;
	for (size_t i = 0; i < 2 * STATOR_COUNT(scripts) && works; i++)
		works = is_stopped(&s, scripts[i / 2]);
	stator__preempt_leave(visited);
	stator__lua_arena_free(s.arena);
	return works;
}
