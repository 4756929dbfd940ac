/*
 * engine.c: the engines by name.
 */
#include "engine/engine.h"

static const stator_engine_ops *const engines[] = {
	&stator__engine_lua,
	&stator__engine_builtin,
};

const stator_engine_ops *
stator__engine_find(const char *name)
{
	for (size_t i = 0; i < STATOR_COUNT(engines); i++)
		if (strcmp(engines[i]->name, name) == 0)
			return engines[i];
	return NULL;
}
