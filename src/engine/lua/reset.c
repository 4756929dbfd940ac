/*
 * reset.c: what is done between two runs, so that none pays for another one.
 *
 * Frozen: modules keep their variables. The collector rests while a run is on,
 * unless the run takes a third of the memory that is left, and works between
 * runs: a cycle begins when there is twice as much as the last one has left,
 * and goes on in steps that are as large as what runs have made since.
 *
 * Image: the state is put back as it was after loading, so there is nothing to
 * collect. Machine code is no part of the image: what it has to be patched
 * with would not be put back.
 */
#include <lauxlib.h>
#include <luajit.h>

#include "engine/lua/engine_lua.h"

/* A cycle is not worth beginning for less, in bytes; the largest of steps, in
 * KB that were made. */
enum { LEAST_GARBAGE = 256 * 1024, LARGEST_STEP = 1024 };

/* The collector rests until a run takes much of what is left. */
static void
rest(lua_engine *e)
{
	size_t used = stator__lua_arena_used(e->arena);
	size_t limit = (size_t)e->env->limits.memory;

	lua_gc(e->L, LUA_GCSTOP, 0);
	e->used = used;
	e->wake = used < limit ? used + (limit - used) / 3 : 0;
	stator__lua_arena_wake(e->arena, e->L, e->wake);
}

static void
end_cycle(lua_engine *e)
{
	size_t used = stator__lua_arena_used(e->arena);
	size_t limit = (size_t)e->env->limits.memory;
	size_t twice = used * 2 + LEAST_GARBAGE;
	size_t half = used < limit ? used + (limit - used) / 2 : used;

	e->collecting = false;
	e->goal = twice < half ? twice : half;
}

static int
collect_all(lua_engine *e, void *ctx)
{
	(void)ctx;
	lua_gc(e->L, LUA_GCCOLLECT, 0);
	end_cycle(e);
	rest(e);
	return STATOR_OK;
}

static int
collect_step(lua_engine *e, void *ctx)
{
	size_t made = *(const size_t *)ctx / 1024;

	if (lua_gc(e->L, LUA_GCSTEP,
		   (int)(made < LARGEST_STEP ? made : LARGEST_STEP)))
		end_cycle(e);
	rest(e);
	return STATOR_OK;
}

static void
collect(lua_engine *e)
{
	size_t used = stator__lua_arena_used(e->arena);
	size_t made = used > e->used ? used - e->used : 0;

	/* It worked during the run. */
	if (stator__lua_arena_awake(e->arena))
		e->collecting = true;
	if (used > e->goal)
		e->collecting = true;
	/* A softer limit than the run's: here it costs nobody's run. */
	if (used > e->goal && used > e->env->limits.memory / 2)
		stator__lua_guarded(e, collect_all, NULL, 0);
	else if (e->collecting)
		stator__lua_guarded(e, collect_step, &made, 0);
}

/*
 * Each run begins without machine code and without counts of what is hot, so
 * only loops that are worth it within one run are compiled.
 */
static const char patience[] = "require('jit.opt').start('hotloop=1000')";

static int
make_image(lua_engine *e, void *ctx)
{
	luaJIT_setmode(e->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
	if (luaL_loadbuffer(e->L, patience, sizeof(patience) - 1, "=image") ||
	    lua_pcall(e->L, 0, 0, 0))
		lua_settop(e->L, 2);
	return collect_all(e, ctx);
}

int
stator__lua_loaded(lua_engine *e)
{
	bool image = e->env->reset == STATOR_RESET_IMAGE;
	int code = stator__lua_guarded(e, image ? make_image : collect_all,
				       NULL, 0);

	if (image && code == STATOR_OK)
		stator__lua_arena_keep(e->arena);
	e->has_image = image && code == STATOR_OK;
	return code;
}

void
stator__lua_put_back(lua_engine *e)
{
	void **noted = e->code.noted;

	stator__preempt_flush(&e->preempt);
	stator__lua_mcode_drop(&e->code);
	stator__lua_arena_put_back(e->arena);
	stator__lua_arena_wake(e->arena, e->L, e->wake);
	e->code.noted = noted;
}

void
stator__lua_reset(lua_engine *e)
{
	if (e->L == NULL)
		return;
	if (e->has_image)
		stator__lua_put_back(e);
	else
		collect(e);
}
