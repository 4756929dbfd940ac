/*
 * mcode.c: see mcode.h.
 *
 * What is relied on, all of LuaJIT 2.1: an area is `sizemcode` KB, and with
 * `maxmcode` as large there is never a second; traces fill it from its end
 * downwards; it begins with a link (next area, size), and behind that, where
 * unwinding through machine code is supported, stands the record that was
 * given to __register_frame. The state notes four words in a row: the area, two
 * places in it, and its size; they stand in the first pages of the block that
 * the state itself is in. Where they are not found the compiler is turned off:
 * then there is nothing to release.
 */
#include <lauxlib.h>
#include <luajit.h>
#include <sys/mman.h>

#include "engine/lua/mcode.h"

enum { AREA = LUA_MCODE_SIZE, PAGE = 4096 };

/* Compiles one loop, then says where its code is. */
static const char warm_up[] =
	"local jit_util = require 'jit.util'\n"
	"require('jit.opt').start('sizemcode=512', 'maxmcode=512')\n"
	"local x = 0\n"
	"for i = 1, 200 do x = x + i end\n"
	"local code, address = jit_util.tracemc(1)\n"
	"if not code then return 0, 0 end\n"
	"if address < 0 then address = address + 2 ^ 32 end\n"
	"return address, #code\n";

struct link {
	void *next;
	size_t size;
};

enum { NOTES = 16 * 1024 / sizeof(void *) };

/* Where the state notes its area, or NULL. */
static void **
find_note(lua_State *L, void *area)
{
	void **word = (void **)L;

	for (size_t i = 0; i < NOTES; i++)
		if (word[i] == area && (uintptr_t)word[i + 3] == AREA)
			return &word[i];
	return NULL;
}

void
stator__lua_mcode_init(lua_State *L, lua_mcode *code)
{
	uintptr_t address, end;

	code->noted = NULL;
	if (luaL_loadbuffer(L, warm_up, sizeof(warm_up) - 1, "=warm_up"))
		lua_error(L);
	lua_call(L, 0, 2);
	address = (uintptr_t)lua_tonumber(L, -2);
	end = address + (uintptr_t)lua_tonumber(L, -1);
	lua_pop(L, 2);
	if (address) {
		end = (end + PAGE - 1) & ~(uintptr_t)(PAGE - 1);
		code->noted = find_note(L, (void *)(end - AREA));
	}
	if (code->noted == NULL) {
		/* What the warm-up has made goes, too: nobody would release it. */
		luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
		luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
	}
}

void __deregister_frame(void *begin) __attribute__((weak));

/*
 * A run can be stopped when its state has taken an area and not yet registered
 * it: libgcc ends the process when it is told to forget what it does not know.
 */
static bool
is_registered(char *area)
{
	lua_unwind_bases bases;

	return __deregister_frame && _Unwind_Find_FDE &&
	       _Unwind_Find_FDE(area + AREA - 16, &bases) != NULL;
}

void
stator__lua_mcode_drop(lua_mcode *code)
{
	char *area = stator__lua_mcode_area(code);

	code->noted = NULL;
	if (area == NULL)
		return;
	if (is_registered(area))
		__deregister_frame(area + sizeof(struct link));
	munmap(area, AREA);
}
