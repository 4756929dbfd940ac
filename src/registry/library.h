/*
 * library.h: plugins from `.so` files. A file is copied into a folder of the
 * host under the hash of its content and loaded from there, so that replacing
 * it where it came from breaks nothing that runs.
 */
#ifndef STATOR_LIBRARY_H
#define STATOR_LIBRARY_H

#include "base/base.h"

typedef struct stator_library stator_library;

/*
 * Loads a plugin and looks at its description. `folder` is made when it is
 * missing; NULL: one that is gone when this returns. Errors say the file, what
 * was found, what was wanted and what to do.
 */
int stator__library_open(stator_library **out, const char *file,
			 const char *folder, stator_error *err);
/* The two halves: the path of a copy, which the caller frees, or NULL ... */
char *stator__library_copy(const char *file, const char *folder,
			   stator_error *err);
/* ... and the loading of it; messages speak of `file`. */
int stator__library_load(stator_library **out, const char *file,
			 const char *copy, stator_error *err);
/* A new folder for a copy that is not kept; caller frees, or NULL. */
char *stator__temporary_folder(stator_error *err);
/* Borrowed until the library is closed. */
const stator_plugin *stator__library_plugin(const stator_library *library);
/* Unloads it: nobody may use anything of the plugin any more. */
void stator__library_close(stator_library *library);

/* Whether a description can be used: sizes, names, functions. */
int stator__plugin_check(const stator_plugin *plugin, const char *file,
			 stator_error *err);

/* How long one call of a storage may take. */
enum { STATOR_CALL_MS = 4000, STATOR_CALL_MS_MOST = 600000 };

static inline uint32_t
stator__call_ms(const stator_storage *storage)
{
	return storage->call_ms ? storage->call_ms : STATOR_CALL_MS;
}

#endif
