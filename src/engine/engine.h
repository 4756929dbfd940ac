/*
 * engine.h: what runs extensions. An engine serves one package of one
 * partition on one thread; its life is `init`, any number of `run` each
 * followed by `reset`, `finit`.
 */
#ifndef STATOR_ENGINE_H
#define STATOR_ENGINE_H

#include "state/state.h"
#include "stator.h"

/* A Lua source file of a package. */
typedef struct stator_module {
	const char *name; /* as `require` says it */
	const char *path; /* in errors of a run: "restaurant/restaurant.lua" */
	const char *file; /* in problems of an image: as it was opened */
	stator_slice text;
} stator_module;

/* What a run finds of the ones before it. */
typedef enum stator_reset {
	STATOR_RESET_FROZEN, /* what modules keep in variables */
	STATOR_RESET_IMAGE   /* nothing: all is as it was after loading */
} stator_reset;

/* What an engine is made from. Borrowed until `finit`. */
typedef struct stator_engine_env {
	const stator_def *def;
	const stator_registry *registry;
	stator_instance *instances; /* of the partition, by plugin */
	uint32_t package; /* index in the definition */
	uint32_t kinds;	  /* mask of the extensions that it will run */
	stator_limits limits;
	stator_reset reset;
	const char *folder; /* of the package, for messages */
	const stator_module *modules;
	size_t module_count;
	const stator_builtin *builtins;
	size_t builtin_count;
	int32_t preemption, preempt_signal; /* as in stator_host_opts */
} stator_engine_env;

typedef struct stator_engine stator_engine;

typedef struct stator_engine_ops {
	const char *name; /* as in EXTENSION ENGINE, in lower case */
	/*
	 * Loads the package and checks that every extension of it is there.
	 * What is wrong is added to the problems; NULL then.
	 */
	stator_engine *(*init)(const stator_engine_env *env,
			       stator_problems *problems);
	/*
	 * Runs `ext` with the state, which has its event or arguments. OK, or
	 * the error that is to be replied. Intents are filled when it returns.
	 */
	int (*run)(stator_engine *engine, const stator_ext *ext,
		   stator_state *state, stator_error *err);
	/* Handles of the last run are void from here on. */
	void (*reset)(stator_engine *engine);
	void (*finit)(stator_engine *engine);
} stator_engine_ops;

/* Engines begin with this. */
struct stator_engine {
	const stator_engine_ops *ops;
};

extern const stator_engine_ops stator__engine_lua;
extern const stator_engine_ops stator__engine_builtin;

/* Whether a module is Lua text; what is wrong is added to the problems. */
void stator__lua_check(const stator_module *module, stator_problems *problems);

/* The engine called `name`, or NULL. */
const stator_engine_ops *stator__engine_find(const char *name);

#endif
