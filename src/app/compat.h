/*
 * compat.h: what schema_file.c and compat.c share.
 */
#ifndef STATOR_COMPAT_H
#define STATOR_COMPAT_H

#include "app/app.h"

enum { STATOR_SCHEMA_FORMAT = 1 };

/* Where the schema of the data in `folder` is. Caller frees. */
char *stator__schema_path(const char *folder);
bool stator__is_of_sys(const char *name);
/* Kinds of which fields say how many bytes they take. */
bool stator__is_lengthy(uint32_t kind);
/* Whether rows of the type can be in the data, events included. */
static inline bool
stator__is_kept_type(const stator_type *type)
{
	return !stator__type_info(type)->abstract &&
	       !stator__is_of_sys(type->name);
}

#endif
