/*
 * mcode.h: the machine code that LuaJIT makes for a state. It lies outside of
 * the state's arena, so whoever drops a state without closing it must find and
 * release it.
 *
 * A state is made to use one area of one size, and is warmed up once so that
 * the area is there; the address of the code of that first trace tells where.
 * LuaJIT may free its area and take another later on: so the place is found
 * where the state notes its area, and read again when it is dropped.
 */
#ifndef STATOR_LUA_MCODE_H
#define STATOR_LUA_MCODE_H

#include <lua.h>

#include "base/base.h"

typedef struct lua_mcode {
	void **noted; /* where the state notes its area; NULL: it makes none */
} lua_mcode;

/* Sets up the one area; needs the standard libraries, may raise errors. */
void stator__lua_mcode_init(lua_State *L, lua_mcode *code);
/* The area that the state has right now, or NULL; may be asked in a signal. */
static inline char *
stator__lua_mcode_area(const lua_mcode *code)
{
	return code->noted ? *(char *volatile *)code->noted : NULL;
}

enum { LUA_MCODE_SIZE = 512 * 1024 };

/* Releases the area of a state that is not closed. */
void stator__lua_mcode_drop(lua_mcode *code);

/* libgcc's: what it knows of the function at `pc`, or NULL. */
typedef struct lua_unwind_bases {
	void *text, *data, *function;
} lua_unwind_bases;
const void *_Unwind_Find_FDE(void *pc, lua_unwind_bases *bases)
	__attribute__((weak));

#endif
