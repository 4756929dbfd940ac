/*
 * isolation.h: a plugin in a process of its own.
 *
 * To the registry it looks like any other plugin. Its functions ask the
 * process, a fork of the host that loads the library; the host never does. When
 * the process crashes, hangs, exits or talks nonsense, the call in flight fails
 * with STORAGE_FAILED and the process is started again: at once when it had
 * answered a call, else after a while that doubles up to a second. What the
 * plugin kept in memory is lost then, and there is no hand-over from an earlier
 * version: `previous` is NULL in `attach`.
 *
 * One process serves all partitions, one call after the other.
 */
#ifndef STATOR_ISOLATION_H
#define STATOR_ISOLATION_H

#include "registry/registry.h"

/*
 * Describes the plugin in `file`, by a process that ends afterwards. `folder`
 * is where its copy goes; NULL: one that is gone with the plugin. The source
 * owns what there is, as any source does.
 */
int stator__isolated_open(stator_source_plugin *out, const char *file,
			  const char *package, const char *folder,
			  stator_error *err);

#endif
