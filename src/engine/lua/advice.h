/*
 * advice.h: what is said of modules that load: lint.lua has the rules.
 */
#ifndef STATOR_LUA_ADVICE_H
#define STATOR_LUA_ADVICE_H

#include <lua.h>

#include "engine/engine.h"

/*
 * Calls the function at index 2, which boot.lua made, takes it from the stack,
 * and adds what it finds to the warnings.
 */
void stator__lua_advise(lua_State *L, const stator_engine_env *env,
			stator_problems *warnings);

#endif
