/*
 * registry.h: which storages there are, by name, and the host as they see it.
 *
 * Plugins are bound to an application when it is deployed: each storage that
 * the schema declares is looked up here and gets the types of its rows.
 */
#ifndef STATOR_REGISTRY_H
#define STATOR_REGISTRY_H

#include "schema/schema.h"
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
	const stator_def *def;
	/* The ordered space of a workspace; NULL and an error when it cannot
	 * be read. */
	const stator_view *(*view_of)(struct stator_io *io, int64_t wsid,
				      stator_error *err);
	void *view_ctx;
	stator_map *writes; /* where `put` writes; NULL: not now */
	uint32_t space;	    /* of the package whose storage is called */
	uint32_t partitions;
	stator_row event, argument, unlogged; /* `data` NULL: none */
	/* What the run gave back. */
	int (*on_result)(struct stator_io *io, const stator_row *row,
			 stator_error *err);
	void *result_ctx;
	int64_t status; /* of sys.Response; 0: not set */
	stator_slice message;
} stator_io;

/* The two exports of the host that `get_ext` hands out. */
extern const stator_store_api stator__store_api;
extern const stator_context_api stator__context_api;

/*
 * The layout of a partition's space, by the first byte of a key:
 *   'e' plog offset           -> event
 *   'w' workspace, offset     -> plog offset
 *   'm' name                  -> what the partition remembers
 *   'q' workspace             -> its sequences
 *   's' space, key            -> what storages of a package put there
 */
enum {
	STATOR_SPACE_EVENT = 'e',
	STATOR_SPACE_WLOG = 'w',
	STATOR_SPACE_META = 'm',
	STATOR_SPACE_SEQUENCE = 'q',
	STATOR_SPACE_STORAGE = 's'
};

/* A storage of a deployed application. */
typedef struct stator_binding {
	const stator_storage_decl *decl;
	const stator_storage *storage;
	const stator_plugin *plugin;
	uint32_t plugin_index; /* among the plugins of the application */
	uint32_t space;
	const stator_type *key, *value; /* NULL: the entity's */
} stator_binding;

/* The plugins of an application and their storages. */
typedef struct stator_registry {
	stator_arena arena;
	stator_binding *bindings;
	size_t count;
	const stator_plugin *const *plugins;
	void **plugin_data; /* what `init` gave, by plugin */
	size_t plugin_count;
} stator_registry;

/*
 * Binds what the definition declares. Everything that is missing is added to
 * the problems; NULL then. Caller frees with `stator__registry_free`.
 */
stator_registry *stator__registry_bind(const stator_def *def,
				       const stator_plugin *const *plugins,
				       size_t plugin_count,
				       stator_problems *problems);
void stator__registry_free(stator_registry *registry);
/* Borrowed until the registry is freed; NULL when there is none. */
const stator_binding *stator__registry_find(const stator_registry *registry,
					    const char *qname);

/* Plugin instances of one partition. */
int stator__registry_attach(const stator_registry *registry,
			    uint32_t partition, void **selves,
			    stator_error *err);
void stator__registry_detach(const stator_registry *registry, void **selves);

#endif
