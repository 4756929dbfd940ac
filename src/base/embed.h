/*
 * embed.h: the Lua modules and schema texts that are part of the library.
 * The table is made by the Makefile: modules as bytecode, the rest as it is.
 */
#ifndef STATOR_EMBED_H
#define STATOR_EMBED_H

#include <lua.h>

#include "base/base.h"

typedef struct stator_embedded {
	const char *name; /* "stator.vsql", "sys.vsql" */
	const unsigned char *data;
	size_t size;
} stator_embedded;

/* Ends with a row whose name is NULL. */
extern const stator_embedded stator__embedded_table[];

/* Borrowed for ever; it is there, or the build is broken. */
const stator_embedded *stator__embedded(const char *name);

/*
 * Lets `require` in this state find the modules of the library. The state has
 * its standard libraries open.
 */
void stator__embed_require(lua_State *L);

#endif
