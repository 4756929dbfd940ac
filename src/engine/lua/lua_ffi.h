/*
 * lua_ffi.h: what the Lua side of the Lua engine sees of the C side. The lines
 * between the marks are also its FFI declarations; there is no second copy.
 *
 * Lua reads rows in place and writes them into `out`; everything else is a
 * call through `lua_api`. None of its functions calls back into Lua.
 */
#ifndef STATOR_LUA_FFI_H
#define STATOR_LUA_FFI_H

#include "stator_plugin.h"

/* <ffi> */
/* An intent of the run, which Lua changes in place, but for its texts. */
typedef struct lua_intent {
	uint8_t *data; /* the row so far */
	uint32_t size;
	uint32_t cap;
	const stator_type *type; /* NULL: it is done */
	double base; /* the slot of the row that it changes; new: below 0 */
	uint32_t gaps; /* bytes of texts that were replaced */
} lua_intent;

/*
 * Rows that the run has been given, by number. The first has the number
 * `base`, which moves past all of them when the run is over: so a number that
 * is kept never means another row.
 */
typedef struct lua_run {
	double base;
	double intent_base; /* moves also when a row of a result is gone */
	double intent_first; /* of the run */
	uint32_t count;
	uint32_t cap;
	stator_row *slots;
	lua_intent *intents; /* numbered likewise, from `intent_base` on */
	uint32_t intent_count;
	uint32_t intent_cap;
	uint8_t *out;	  /* where Lua writes a row */
	uint32_t out_cap; /* bytes there */
	uint32_t extension; /* its number, from 1 on; 0: none has run */
	int32_t breached; /* a limit that Lua keeps has been passed */
	double now; /* of the run, in ms since 1970; 0: none is on */
	int32_t code; /* of the last call that failed */
	char message[1024];
} lua_run;

typedef struct lua_engine lua_engine;

/* Sizes are those of the row in `out`. Negative numbers are failures. */
typedef struct lua_api {
	/* The index of the handle. */
	int32_t (*handle)(lua_engine *e, const char *storage,
			  const char *entity);
	const stator_type *(*key_type)(lua_engine *e, uint32_t handle);
	/* What is written through the handle; NULL: the extension says. */
	const stator_type *(*own_type)(lua_engine *e, uint32_t handle);
	/* The same for the extension that runs; NULL: nothing. */
	const stator_type *(*value_type)(lua_engine *e, uint32_t handle);
	/* 1 and one more slot, or 0. */
	int32_t (*get)(lua_engine *e, uint32_t handle, uint32_t size);
	/* Adds a key; the number of keys so far. */
	int32_t (*batch_add)(lua_engine *e, uint32_t handle, uint32_t size);
	/* Gets the keys; as many more slots, those of absent rows empty. */
	int32_t (*batch_get)(lua_engine *e);
	/* The number of a cursor. */
	int32_t (*read)(lua_engine *e, uint32_t handle, uint32_t size,
			int32_t reverse, uint32_t limit);
	/* 1 and two more slots, key and value, or 0 at the end. */
	int32_t (*next)(lua_engine *e, uint32_t handle, uint32_t cursor);
	/* The index of the intent; `base` is a slot, or -1 for a new one. */
	int32_t (*intent)(lua_engine *e, uint32_t handle, uint32_t size,
			  double base);
	/* Sets a text of an intent. */
	int32_t (*put_text)(lua_engine *e, uint32_t intent, uint32_t field,
			    const char *text, uint32_t size);
	/* The intent is whole; others are when the run is over. */
	int32_t (*fill)(lua_engine *e, uint32_t intent);
	int32_t (*find)(lua_engine *e, uint32_t handle, uint32_t size);
	/* The next free raw ID. */
	double (*raw_id)(lua_engine *e);
	/* One of the types of rows that runs will only read, and of those that
	 * they may make; NULL: no more. */
	const stator_type *(*met_type)(lua_engine *e, uint32_t index);
	const stator_type *(*met_value)(lua_engine *e, uint32_t index);
	/* A type by its identifier, or NULL. */
	const stator_type *(*type)(lua_engine *e, uint32_t id);
	/* Room for one more slot, for `size` bytes in `out`; 0. */
	int32_t (*grow_slots)(lua_engine *e);
	int32_t (*grow_out)(lua_engine *e, uint32_t size);
	/* "storage entity {key}" in `message`, for the key in `out`. */
	void (*show)(lua_engine *e, uint32_t handle, uint32_t size);
	/* Machine code of a line of a module, by its number; forgets all. */
	void (*trace)(lua_engine *e, double address, uint32_t size,
		      uint32_t module, int32_t line);
	void (*flush)(lua_engine *e);
	/* Fuel: whether the time of the run is up; where that was, and leaves. */
	int32_t (*is_up)(lua_engine *e);
	void (*stop)(lua_engine *e, uint32_t module, int32_t line);
} lua_api;
/* </ffi> */

#endif
