/*
 * engine_lua.c: the Lua engine. One Lua state, in an arena of its own, for a
 * package of a partition.
 *
 * Lua calls C through a table of plain functions (calls.c), which never call
 * Lua. C enters Lua only in `stator__lua_guarded`, which is also where a run lands that
 * has used up its memory: the state is dropped then, and a fresh one is made
 * for the next run.
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/embed.h"
#include "engine/lua/advice.h"
#include "engine/lua/engine_lua.h"

/* Entering Lua ------------------------------------------------------------ */

/* The state is left as it is, with all that it had of machine code. */
static void
drop_state(lua_engine *e)
{
	stator__lua_arena_guard(e->arena, NULL, NULL);
	e->preempt.L = NULL;
	stator__preempt_flush(&e->preempt);
	stator__lua_mcode_drop(&e->code);
	stator__lua_arena_drop(e->arena);
	e->has_image = false;
	e->L = NULL;
}

/* A run was left where it was, by its memory or its time. */
static int
landed(lua_engine *e, int by)
{
	if (e->preempt.thread)
		stator__preempt_disarm(&e->preempt);
	stator__lua_arena_guard(e->arena, NULL, NULL);
	e->left = true;
	if (e->has_image)
		stator__lua_put_back(e);
	else
		drop_state(e);
	switch (by) {
	case PREEMPT_TIME:
		return STATOR_TIME_LIMIT;
	case PREEMPT_STRING:
		return STATOR_STRING_LIMIT;
	case PREEMPT_STACK:
		return STATOR_NESTING_LIMIT;
	default:
		return STATOR_MEMORY_LIMIT;
	}
}

int
stator__lua_guarded(lua_engine *e, lua_entry entry, void *ctx,
		    uint32_t limit_ms)
{
	bool limited = PREEMPT_LIMITS && limit_ms;
	int code = sigsetjmp(e->escape, 0);

	if (code)
		return landed(e, code);
	stator__lua_arena_guard(e->arena, &e->escape,
				limited ? &e->preempt : NULL);
	if (limited)
		stator__preempt_arm(&e->preempt, limit_ms);
	code = entry(e, ctx);
	if (limited)
		stator__preempt_disarm(&e->preempt);
	stator__lua_arena_guard(e->arena, NULL, NULL);
	return code;
}

/* "shop/shop.lua:7: " where that is known, else where `ext` begins. */
static const char *
stopped_at(lua_engine *e, const stator_ext *ext, char *text, size_t size)
{
	if (e->preempt.file == NULL)
		return ext ? e->places[ext->index] : "";
	snprintf(text, size, "%s:%d: ", e->preempt.file, e->preempt.line);
	e->preempt.file = NULL;
	return text;
}

/* Life --------------------------------------------------------------------- */

static void
push_modules(lua_State *L, const stator_engine_env *env)
{
	lua_createtable(L, 0, (int)env->module_count);
	for (size_t i = 0; i < env->module_count; i++) {
		const stator_module *m = &env->modules[i];

		lua_createtable(L, 0, 3);
		lua_pushinteger(L, (lua_Integer)i);
		lua_setfield(L, -2, "number");
		lua_pushstring(L, m->path);
		lua_setfield(L, -2, "path");
		lua_pushlstring(L, m->text.data ? m->text.data : "",
				m->text.size);
		lua_setfield(L, -2, "text");
		lua_setfield(L, -2, m->name);
	}
}

/* { [index + 1] = { name, kind, file, line } } of what this engine runs. */
static void
push_extensions(lua_State *L, const stator_engine_env *env)
{
	const stator_def *def = env->def;

	lua_newtable(L);
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];

		if (ext->package != env->package || !(ext->kind & env->kinds) ||
		    strcmp(ext->engine, "lua") != 0)
			continue;
		lua_pushstring(L, ext->local);
		lua_rawseti(L, -2, (int)i + 1);
	}
}

/* Those that Lua keeps itself. */
static void
push_limits(lua_State *L, const stator_limits *limits)
{
	lua_createtable(L, 0, 4);
	lua_pushinteger(L, (lua_Integer)limits->nesting);
	lua_setfield(L, -2, "nesting");
	lua_pushinteger(L, (lua_Integer)limits->coroutines);
	lua_setfield(L, -2, "coroutines");
}

/* Nobody can guess it. */
static void
push_private(lua_State *L)
{
	uint64_t bytes[2];
	char text[40];

	if (getrandom(bytes, sizeof(bytes), 0) < 0)
		bytes[0] = (uint64_t)stator__monotonic_ns();
	snprintf(text, sizeof(text), "%016llx%016llx ",
		 (unsigned long long)bytes[0], (unsigned long long)bytes[1]);
	lua_pushstring(L, text);
}

/* Runs in lua_pcall: makes the environment and loads the package. */
static int
boot(lua_State *L)
{
	lua_engine *e = lua_touserdata(L, 1);
	const stator_embedded *cdef = stator__embedded("ffi.cdef");

	luaL_openlibs(L);
	stator__embed_require(L);
	stator__lua_mcode_init(L, &e->code);
	/* From here on there is code of the author. */
	e->preempt.L = e->L;
	lua_getglobal(L, "require");
	lua_pushliteral(L, "stator.boot");
	lua_call(L, 1, 1);
	lua_pushlstring(L, (const char *)cdef->data, cdef->size);
	lua_pushlightuserdata(L, e);
	lua_pushlightuserdata(L, &e->run);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&stator__lua_api);
	lua_pushstring(L, stator__lua_package(e));
	push_modules(L, e->env);
	push_extensions(L, e->env);
	push_limits(L, &e->env->limits);
	lua_pushboolean(L, e->preempt.fuel);
	lua_pushboolean(L, e->env->reset == STATOR_RESET_IMAGE);
	push_private(L);
	lua_call(L, 11, 4);
	return 4;
}

typedef struct boot_result {
	stator_problems *problems;
} boot_result;

/* "restaurant/other.lua:3: text" is about the line 3 of a file. */
static bool
report_line(const lua_engine *e, stator_problems *problems,
	    const char *message)
{
	for (size_t i = 0; i < e->env->module_count; i++) {
		const stator_module *m = &e->env->modules[i];
		size_t n = strlen(m->path);
		char *text;
		long line;

		if (strncmp(message, m->path, n) != 0 || message[n] != ':')
			continue;
		line = strtol(message + n + 1, &text, 10);
		if (line <= 0 || strncmp(text, ": ", 2) != 0)
			continue;
		stator__problem(problems, m->file, (int)line, 1, "%s",
				text + 2);
		return true;
	}
	return false;
}

/* "restaurant.NewOrder: text" is about where that was declared. */
static bool
report_extension(const lua_engine *e, stator_problems *problems,
		 const char *message)
{
	const stator_def *def = e->env->def;

	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];
		size_t n = strlen(ext->name);

		if (strncmp(message, ext->name, n) != 0 ||
		    strncmp(message + n, ": ", 2) != 0)
			continue;
		stator__problem(problems, ext->file, ext->line, ext->col, "%s",
				message);
		return true;
	}
	return false;
}

static void
report(const lua_engine *e, stator_problems *problems, const char *message)
{
	if (!report_line(e, problems, message) &&
	    !report_extension(e, problems, message))
		stator__problem(problems,
				e->env->module_count ? e->env->modules[0].file
				: e->env->folder     ? e->env->folder
						     : stator__lua_package(e),
				1, 1, "%s", message);
}

/* Where the functions of extensions begin, "shop/shop.lua:5: ". */
static void
note_places(lua_engine *e)
{
	stator__arena_reset(&e->place_arena);
	for (size_t i = 0; i < e->env->def->ext_count; i++) {
		const char *place;
		size_t size;

		lua_rawgeti(e->L, 3, (int)i + 1);
		place = lua_tolstring(e->L, -1, &size);
		e->places[i] = place ? stator__arena_str(&e->place_arena,
							 place, size)
				     : "";
		lua_pop(e->L, 1);
	}
}

/*
 * Stack when booted: the functions that start a run and that explain how it
 * failed, the places, the problems. The first two stay, and the one that
 * advises if somebody wants to know.
 */
static int
enter_boot(lua_engine *e, void *ctx)
{
	boot_result *result = ctx;
	size_t count;

	e->L = lua_newstate(stator__lua_arena_alloc, e->arena);
	if (e->L == NULL) {
		report(e, result->problems, "no memory for a Lua state");
		return STATOR_NO_MEMORY;
	}
	lua_pushcfunction(e->L, boot);
	lua_pushlightuserdata(e->L, e);
	if (lua_pcall(e->L, 1, 4, 0)) {
		const char *message = lua_tostring(e->L, -1);

		report(e, result->problems, message ? message : "fails to load");
		return STATOR_IMAGE;
	}
	count = lua_objlen(e->L, 4);
	for (size_t i = 1; i <= count; i++) {
		lua_rawgeti(e->L, 4, (int)i);
		report(e, result->problems, lua_tostring(e->L, -1));
		lua_pop(e->L, 1);
	}
	note_places(e);
	lua_getfield(e->L, 4, "advise");
	lua_replace(e->L, 3);
	lua_settop(e->L, result->problems->warnings ? 3 : 2);
	return count ? STATOR_IMAGE : STATOR_OK;
}

/* Loading a package may take as long as its longest run, jobs aside. */
static uint32_t
load_limit(const stator_limits *limits)
{
	uint32_t most = limits->command_ms;

	if (most < limits->query_ms)
		most = limits->query_ms;
	return most < limits->projector_ms ? limits->projector_ms : most;
}

static int
enter_advise(lua_engine *e, void *ctx)
{
	stator__lua_advise(e->L, e->env, ctx);
	return STATOR_OK;
}

static int
make_state(lua_engine *e, stator_problems *problems)
{
	const stator_limits *limits = &e->env->limits;
	boot_result result = {problems};
	bool visited = stator__preempt_visit();
	int code = stator__lua_guarded(e, enter_boot, &result,
				       load_limit(limits));
	char place[256], text[320];

	stator__preempt_leave(visited);
	if (code == STATOR_OK)
		code = stator__lua_loaded(e);
	if (code == STATOR_TIME_LIMIT) {
		snprintf(text, sizeof(text),
			 "%slimit of %u ms exceeded while it is loaded",
			 stopped_at(e, NULL, place, sizeof(place)),
			 load_limit(limits));
		report(e, problems, text);
	} else if (code == STATOR_MEMORY_LIMIT) {
		report(e, problems, "loading exceeds the memory limit");
	} else if (code == STATOR_STRING_LIMIT) {
		report(e, problems,
		       "loading exceeds the limit of the length of a string");
	} else if (code == STATOR_NESTING_LIMIT) {
		report(e, problems,
		       "loading exceeds the limit of the Lua stack");
	} else if (code && e->L)
		drop_state(e);
	else if (problems->warnings)
		stator__lua_guarded(e, enter_advise, problems->warnings, 0);
	return code;
}

static void
finit(stator_engine *engine)
{
	lua_engine *e = (lua_engine *)engine;

	if (e->L)
		lua_close(e->L);
	stator__lua_arena_free(e->arena);
	stator__handles_free(&e->handles);
	stator__arena_free(&e->place_arena);
	free(e->places);
	free(e->run.slots);
	free(e->run.intents);
	free(e->run.out);
	free(e->batch);
	free(e->cursors);
	free(e->preempt.traces);
	free(e);
	stator__preempt_close();
}

static stator_engine *
init(const stator_engine_env *env, stator_problems *problems)
{
	lua_engine *e = stator__alloc(sizeof(*e));

	e->base.ops = &stator__engine_lua;
	e->env = env;
	e->handles.def = env->def;
	e->handles.registry = env->registry;
	e->handles.instances = env->instances;
	e->run.base = 1;
	e->preempt.escape = &e->escape;
	e->preempt.code = &e->code;
	e->preempt.modules = env->modules;
	e->preempt.module_count = env->module_count;
	e->preempt.fuel =
		!stator__preempt_open(env->preemption, env->preempt_signal);
	e->places = stator__alloc((env->def->ext_count + 1) * sizeof(char *));
	stator__lua_calls_open(e);
	e->arena = stator__lua_arena_new(env->limits.memory,
					 env->limits.string);
	if (e->arena == NULL)
		report(e, problems, "no address space for a Lua state");
	if (e->arena == NULL || make_state(e, problems)) {
		finit(&e->base);
		return NULL;
	}
	return &e->base;
}

/* Running ------------------------------------------------------------------- */

/* Its error, if there is one, is on the stack. */
static bool
run_function(lua_engine *e)
{
	lua_pushvalue(e->L, 1);
	return lua_pcall(e->L, 0, 0, 0) == 0;
}

/* A code and a message from the error on top of the stack. */
static int
explain(lua_engine *e, bool ok, stator_error *err)
{
	lua_State *L = e->L;
	int code = STATOR_EXTENSION_FAILED;

	if (ok)
		lua_pushnil(L);
	lua_pushvalue(L, 2);
	lua_pushboolean(L, ok);
	lua_pushvalue(L, -3);
	if (lua_pcall(L, 2, 2, 0) == 0)
		code = (int)lua_tointeger(L, -2);
	return stator__fail(err, code, "%s", lua_tostring(L, -1));
}

static int
enter_run(lua_engine *e, void *ctx)
{
	bool ok = run_function(e);
	int code;

	if (STATOR_LIKELY(ok && !e->run.breached))
		return STATOR_OK;
	code = explain(e, ok, ctx);
	lua_settop(e->L, 2);
	return code;
}

static int
remake_state(lua_engine *e, stator_error *err)
{
	stator_problems problems = {0};
	int code = make_state(e, &problems);

	if (code)
		stator__fail(err, STATOR_EXTENSION_FAILED, "%s: %s",
			     problems.count ? problems.items[0].file : "",
			     problems.count ? problems.items[0].message : "");
	stator__problems_free(&problems);
	return code;
}

/* The arguments of the function are the first slots. */
static void
hand_in(lua_engine *e, const stator_ext *ext, stator_state *st)
{
	e->state = st;
	e->run.now = (double)st->io.run.now_ms;
	e->run.extension = (uint32_t)ext->index + 1;
	e->run.breached = 0;
	if (ext->kind == STATOR_PROJECTOR)
		stator__lua_add_slot(e, &st->io.event);
	else
		stator__lua_add_slot(e, &st->io.argument);
	if (ext->kind == STATOR_COMMAND)
		stator__lua_add_slot(e, &st->io.unlogged);
}

static uint32_t
run_limit(const stator_limits *limits, const stator_ext *ext)
{
	switch (ext->kind) {
	case STATOR_COMMAND:
		return limits->command_ms;
	case STATOR_QUERY:
		return limits->query_ms;
	case STATOR_PROJECTOR:
		return limits->projector_ms;
	default:
		return limits->job_ms;
	}
}

/* What is to be said of a run that was left. */
static void
left_run(lua_engine *e, const stator_ext *ext, stator_error *err, int code)
{
	const stator_limits *limits = &e->env->limits;
	char text[256];
	const char *place = stopped_at(e, ext, text, sizeof(text));

	if (code == STATOR_TIME_LIMIT)
		stator__fail(err, code, "%slimit of %u ms exceeded", place,
			     run_limit(limits, ext));
	else if (code == STATOR_STRING_LIMIT)
		stator__fail(err, code,
			     "%slimit of %llu bytes in a string exceeded",
			     place, (unsigned long long)limits->string);
	else if (code == STATOR_NESTING_LIMIT)
		stator__fail(err, code,
			     "%sthe limit of the Lua stack is exceeded: calls "
			     "are nested too deep",
			     place);
	else
		stator__fail(err, code,
			     "%slimit of %llu bytes of memory exceeded", place,
			     (unsigned long long)limits->memory);
}

/* Of a run that was left, of one that passed a limit, and of any other. */
static int
failed_run(lua_engine *e, const stator_ext *ext, stator_error *err, int code)
{
	stator_state *st = e->state;

	if (e->left)
		left_run(e, ext, err, code);
	/* Nobody knows what such a run has left in its state. */
	else if (code == STATOR_MEMORY_LIMIT && !e->has_image)
		drop_state(e);
	if (st->breach && !e->left) {
		if (code != st->breach)
			*err = st->breach_error;
		code = st->breach;
	}
	stator__wrap(err, "%s", ext->name);
	return code;
}

/* What an extension has left out is said of its function. */
static int
fill(lua_engine *e, const stator_ext *ext, stator_error *err)
{
	int code = stator__lua_fill(e, err);
	char said[sizeof(err->msg)];

	if (STATOR_LIKELY(code == STATOR_OK))
		return code;
	memcpy(said, err->msg, sizeof(said));
	return stator__fail(err, code, "%s%s", e->places[ext->index], said);
}

static int
run(stator_engine *engine, const stator_ext *ext, stator_state *st,
    stator_error *err)
{
	lua_engine *e = (lua_engine *)engine;
	int code;

	if (e->L == NULL && (code = remake_state(e, err)) != STATOR_OK)
		return code;
	e->left = false;
	hand_in(e, ext, st);
	code = stator__lua_guarded(e, enter_run, err,
				   run_limit(&e->env->limits, ext));
	if (code == STATOR_OK)
		code = fill(e, ext, err);
	if (STATOR_UNLIKELY(code || st->breach))
		code = failed_run(e, ext, err, code);
	e->state = NULL;
	return code;
}

static void
reset(stator_engine *engine)
{
	lua_engine *e = (lua_engine *)engine;

	stator__lua_calls_reset(e);
	e->run.now = 0;
	stator__lua_reset(e);
}

const stator_engine_ops stator__engine_lua = {
	.name = "lua",
	.init = init,
	.run = run,
	.reset = reset,
	.finit = finit,
};
