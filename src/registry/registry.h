/*
 * registry.h: which storages there are, by name, and the host as they see it.
 *
 * Plugins are bound to an application when it is deployed: each storage that
 * the schema declares is looked up here, configured, and gets the types of its
 * rows. For each partition there is an instance of each plugin.
 */
#ifndef STATOR_REGISTRY_H
#define STATOR_REGISTRY_H

#include <pthread.h>

#include "registry/library.h"
#include "schema/schema.h"
#include "stator_request.h"
#include "store/store.h"

/* The host's table of functions, the same for every plugin. */
extern const stator_host_api stator__host_api;

/*
 * A run with what only the host knows of it. Storages are given `run`, which
 * comes first; the functions of the host find the rest behind it.
 */
typedef struct stator_io {
	stator_run run;
	stator_arena *arena; /* dropped at the end of the run */
	struct stator_at_end *at_end;
	const stator_storage *called; /* the one that is called */
	const stator_def *def;
	/* The ordered space of a workspace; NULL and an error when it cannot
	 * be read. */
	const stator_view *(*view_of)(struct stator_io *io, int64_t wsid,
				      stator_error *err);
	void *view_ctx;
	stator_map *writes; /* where `put` writes; NULL: not now */
	uint32_t space;	    /* of the package whose storage is called */
	stator_row event, argument, unlogged; /* `data` NULL: none */
	stator_row subject;		      /* the same */
	stator_slice origin;		      /* the same */
	/* What the run gave back. */
	int (*on_result)(struct stator_io *io, const stator_row *row,
			 stator_error *err);
	void *result_ctx;
	int64_t status; /* of sys.Response; 0: not set */
	stator_slice message;
} stator_io;

/* What is done at the end of a run, the last said first. */
typedef struct stator_at_end {
	void (*call)(void *arg);
	void *arg;
	struct stator_at_end *next;
} stator_at_end;

void stator__io_at_end(stator_io *io, void (*call)(void *arg), void *arg);
/* The run has ended; before its arena is dropped. */
void stator__io_ended(stator_io *io);

/* The exports of the host that `get_ext` hands out. */
extern const stator_store_api stator__store_api;
extern const stator_context_api stator__context_api;
extern const stator_request_api stator__request_api;

/*
 * The layout of a partition's space, by the first byte of a key:
 *   'e' plog offset           -> event
 *   'w' workspace, offset     -> plog offset
 *   'm' name                  -> what the partition remembers
 *   'q' workspace             -> its sequences and its kind
 *   'o' plog offset, extension, index -> an effect that is still to be done
 *   's' space, key            -> what storages of a package put there
 */
enum {
	STATOR_SPACE_EVENT = 'e',
	STATOR_SPACE_WLOG = 'w',
	STATOR_SPACE_META = 'm',
	STATOR_SPACE_SEQUENCE = 'q',
	STATOR_SPACE_OUTBOX = 'o',
	STATOR_SPACE_STORAGE = 's'
};

/* Before the key that a storage knows: the letter, and a big endian u32. */
enum { STATOR_SPACE_SIZE = 5 };

static inline void
stator__space_put(uint8_t *out, uint32_t space)
{
	out[0] = STATOR_SPACE_STORAGE;
	stator__be32_put(out + 1, space);
}

/* That of the storages that come with Stator. */
static inline uint32_t
stator__sys_space(void)
{
	return stator__hash("sys", 3);
}

/* A plugin as it is given to `stator__registry_bind`. */
typedef struct stator_source_plugin {
	const stator_plugin *plugin;
	const char *package;	 /* whose storages it has; NULL: any's */
	const char *file;	 /* for messages */
	void *owner;		 /* of the plugin; NULL: linked in */
	void (*close)(void *owner); /* drops it */
	bool trusted;		 /* its rows need no check: the host's own */
	bool isolated;		 /* `init` finds the owner in `*plugin` */
} stator_source_plugin;

void stator__source_close(stator_source_plugin *source);

/* A plugin of a deployed application. */
typedef struct stator_loaded {
	stator_source_plugin source;
	stator_row *configs; /* by storage */
	void *data;	     /* what `init` gave */
	bool ready;	     /* `init` has succeeded */
} stator_loaded;

/* The instance of a plugin for one partition. */
typedef struct stator_instance {
	const stator_loaded *loaded;
	void *self;
	bool attached;
	pthread_mutex_t lock;	 /* held in calls of plugins that want it */
	_Atomic uint64_t overruns; /* calls that took longer than allowed */
} stator_instance;

/* A storage of a deployed application. */
typedef struct stator_binding {
	const stator_storage_decl *decl;
	const stator_storage *storage;
	uint32_t index;	 /* among the bindings */
	uint32_t plugin; /* index of the loaded plugin */
	uint32_t space;
	const stator_type *key, *value; /* NULL: the entity's */
} stator_binding;

typedef struct stator_registry {
	stator_arena arena;
	stator_binding *bindings;
	size_t count;
	stator_loaded *plugins;
	size_t plugin_count;
} stator_registry;

/* What descriptor.json says of storages, and where. */
typedef struct stator_given_configs {
	const stator_json *storages; /* by name; NULL: nothing */
	const char *file;
	stator_slice text; /* of the file */
} stator_given_configs;

/*
 * Binds what the definition declares. The owners of the sources are taken, whatever comes.
 * Everything that is missing is added to the problems; NULL then. Caller frees
 * with `stator__registry_free`.
 */
stator_registry *stator__registry_bind(const stator_def *def,
				       const stator_source_plugin *sources,
				       size_t source_count,
				       const stator_given_configs *configs,
				       stator_problems *problems);
void stator__registry_free(stator_registry *registry);
/* Borrowed until the registry is freed; NULL when there is none. */
const stator_binding *stator__registry_find(const stator_registry *registry,
					    const char *qname);

/*
 * Instances of all plugins for one partition, in the order of the plugins.
 * `before` are those of the version that serves it now, or NULL.
 */
int stator__registry_attach(const stator_registry *registry,
			    uint32_t partition, const stator_registry *old,
			    stator_instance *before, stator_instance **out,
			    stator_error *err);
/* What that has failed with (IMAGE), as a problem of the plugin's file. */
void stator__registry_attach_problem(const stator_error *err,
				     stator_problems *problems);
/* Instances for a trial of the modules: nothing is attached, nor called. */
stator_instance *stator__registry_idle(const stator_registry *registry);
void stator__registry_detach(const stator_registry *registry,
			     stator_instance *instances);

/* Around every call of a storage: the lock, and the budget of time. */
int64_t stator__instance_enter(stator_instance *instance);
void stator__instance_leave(stator_instance *instance, int64_t entered,
			    const stator_binding *binding);

/*
 * The configuration of a storage as a row, from JSON texts, the later ones
 * over the earlier (each may be NULL). Messages begin with the field; `wrong`
 * is the value that they are about, or NULL.
 */
int stator__config_row(stator_arena *arena, const stator_storage *storage,
		       const stator_json *const *given, size_t count,
		       stator_row *out, const stator_json **wrong,
		       stator_error *err);

#endif
