/*
 * embed.c: see embed.h.
 */
#include <assert.h>
#include <lauxlib.h>

#include "base/embed.h"

static const stator_embedded *
find(const char *name)
{
	const stator_embedded *e = stator__embedded_table;

	while (e->name && strcmp(e->name, name) != 0)
		e++;
	return e->name ? e : NULL;
}

const stator_embedded *
stator__embedded(const char *name)
{
	const stator_embedded *e = find(name);

	assert(e);
	return e;
}

static int
searcher(lua_State *L)
{
	const stator_embedded *e = find(luaL_checkstring(L, 1));

	if (e == NULL)
		return 0;
	if (luaL_loadbuffer(L, (const char *)e->data, e->size, e->name))
		return lua_error(L);
	return 1;
}

void
stator__embed_require(lua_State *L)
{
	/* Ours comes right after package.preload, before any file. */
	lua_getglobal(L, "table");
	lua_getfield(L, -1, "insert");
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "loaders");
	lua_remove(L, -2);
	lua_pushinteger(L, 2);
	lua_pushcfunction(L, searcher);
	lua_call(L, 3, 0);
	lua_pop(L, 1);
}
