/*
 * check.c: what `stator check` asks about Lua modules beyond loading them:
 * whether each is Lua at all, also one that nothing requires, and what is
 * worth a warning in those that load.
 */
#include <lauxlib.h>
#include <stdlib.h>

#include "engine/lua/advice.h"

void
stator__lua_check(const stator_module *m, stator_problems *problems)
{
	lua_State *L = luaL_newstate();
	const char *text = m->text.data, *message;
	char *rest;
	long line;

	/* LuaJIT: a number like 1LL loads what a collection takes away while
	 * ffi itself is not loaded; lua_close then misses it. */
	lua_gc(L, LUA_GCSTOP, 0);
	if (m->text.size && text[0] == '\033') {
		stator__problem(problems, m->file, 1, 1,
				"bytecode is not taken; put the source here");
	} else if (luaL_loadbuffer(L, text, m->text.size, "=")) {
		/* ":3: text" */
		message = lua_tostring(L, -1);
		message += *message == ':';
		line = strtol(message, &rest, 10);
		if (strncmp(rest, ": ", 2) == 0)
			message = rest + 2;
		stator__problem(problems, m->file, (int)line, 1, "%s", message);
	}
	lua_close(L);
}

/* Stack: the functions of a run, and a list of { number, line, text }. */
static void
add_warning(lua_State *L, const stator_engine_env *env, int i,
	    stator_problems *warnings)
{
	size_t number;

	lua_rawgeti(L, 3, i);
	lua_getfield(L, 4, "number");
	lua_getfield(L, 4, "line");
	lua_getfield(L, 4, "text");
	number = (size_t)lua_tointeger(L, 5);
	stator__problem(warnings, env->modules[number].file,
			(int)lua_tointeger(L, 6), 1, "warning: %s",
			lua_tostring(L, 7));
	lua_settop(L, 3);
}

void
stator__lua_advise(lua_State *L, const stator_engine_env *env,
		   stator_problems *warnings)
{
	if (lua_pcall(L, 0, 1, 0) == 0)
		for (int i = 1; i <= (int)lua_objlen(L, 3); i++)
			add_warning(L, env, i, warnings);
	else
		stator__problem(warnings, env->folder ? env->folder : "image",
				1, 1, "warning: modules are not looked at: %s",
				lua_tostring(L, 3));
	lua_settop(L, 2);
}
