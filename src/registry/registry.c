/*
 * registry.c: binding declared storages to the plugins that implement them.
 */
#include <stdlib.h>

#include "registry/registry.h"

static const char *const op_names[STATOR_OP_COUNT] = {
	"GET", "GETBATCH", "READ", "INSERT", "UPDATE"};

static bool
implements(const stator_storage *s, int op)
{
	switch (op) {
	case STATOR_GET:
		return s->get != NULL;
	case STATOR_GETBATCH:
		return s->get != NULL || s->get_batch != NULL;
	case STATOR_READ:
		return s->read != NULL;
	default:
		return s->apply != NULL;
	}
}

/* Which plugin has a storage called `name`; the first one wins. */
static const stator_storage *
find_storage(const stator_registry *r, const char *name, uint32_t *plugin)
{
	for (uint32_t i = 0; i < r->plugin_count; i++)
		for (size_t k = 0; k < r->plugins[i]->storage_count; k++)
			if (strcmp(r->plugins[i]->storages[k]->name, name) == 0) {
				*plugin = i;
				return r->plugins[i]->storages[k];
			}
	return NULL;
}

static void
check_operations(const stator_binding *b, stator_problems *problems)
{
	for (int op = 0; op < STATOR_OP_COUNT; op++) {
		if (b->decl->scopes[op] == 0)
			continue;
		if (!implements(b->storage, op))
			stator__problem(problems, b->decl->file, b->decl->line,
					b->decl->col,
					"storage %s declares %s, which its "
					"plugin does not implement",
					b->decl->name, op_names[op]);
	}
}

static void
make_types(stator_registry *r, stator_binding *b)
{
	const stator_storage *s = b->storage;

	if (s->entity == STATOR_ENTITY_NONE || s->key_field_count)
		b->key = stator__type_from_desc(&r->arena, b->decl->name, true,
						s->key_fields,
						s->key_field_count);
	if (s->entity == STATOR_ENTITY_NONE || s->value_field_count)
		b->value = stator__type_from_desc(&r->arena, b->decl->name,
						  false, s->value_fields,
						  s->value_field_count);
}

/* Rationale: a storage that sys.vsql declares but no plugin brings is an error
 * only for who uses it; so every schema may name the whole of sys. */
static bool
is_used(const stator_def *def, const char *storage)
{
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];

		for (size_t k = 0; k < ext->state_count; k++)
			if (strcmp(ext->state[k].storage, storage) == 0)
				return true;
		for (size_t k = 0; k < ext->intent_count; k++)
			if (strcmp(ext->intents[k].storage, storage) == 0)
				return true;
	}
	return false;
}

static void
bind(stator_registry *r, const stator_def *def,
     const stator_storage_decl *decl, stator_problems *problems)
{
	stator_binding *b = &r->bindings[r->count];
	const char *name = strchr(decl->name, '.') + 1;

	b->decl = decl;
	b->storage = find_storage(r, name, &b->plugin_index);
	if (b->storage == NULL) {
		if (strcmp(decl->package, "sys") != 0 ||
		    is_used(def, decl->name))
			stator__problem(problems, decl->file, decl->line,
					decl->col,
					"no plugin registers the storage %s",
					decl->name);
		return;
	}
	b->plugin = r->plugins[b->plugin_index];
	b->space = stator__hash(decl->package, strlen(decl->package));
	check_operations(b, problems);
	make_types(r, b);
	r->count++;
}

static int
init_plugins(stator_registry *r, stator_problems *problems)
{
	for (size_t i = 0; i < r->plugin_count; i++) {
		const stator_plugin *p = r->plugins[i];
		stator_row config = {0};
		stator_error err;

		if (p->init == NULL ||
		    p->init(&stator__host_api, &config, &r->plugin_data[i],
			    &err) == STATOR_OK)
			continue;
		stator__problem(problems, p->name, 0, 0, "init: %s", err.msg);
		for (size_t k = 0; k < i; k++)
			if (r->plugins[k]->finit)
				r->plugins[k]->finit(r->plugin_data[k]);
		r->plugin_count = 0;
		return STATOR_IMAGE;
	}
	return STATOR_OK;
}

stator_registry *
stator__registry_bind(const stator_def *def,
		      const stator_plugin *const *plugins,
		      size_t plugin_count, stator_problems *problems)
{
	stator_registry *r = stator__alloc(sizeof(*r));
	size_t before = problems->count;

	r->plugins = plugins;
	r->plugin_count = plugin_count;
	r->plugin_data = stator__arena_zero(&r->arena,
					    (plugin_count + 1) * sizeof(void *));
	r->bindings = stator__arena_zero(
		&r->arena, (def->storage_count + 1) * sizeof(*r->bindings));
	if (init_plugins(r, problems) == STATOR_OK)
		for (size_t i = 0; i < def->storage_count; i++)
			bind(r, def, &def->storages[i], problems);
	if (problems->count > before) {
		stator__registry_free(r);
		return NULL;
	}
	return r;
}

void
stator__registry_free(stator_registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = r->plugin_count; i-- > 0;)
		if (r->plugins[i]->finit)
			r->plugins[i]->finit(r->plugin_data[i]);
	stator__arena_free(&r->arena);
	free(r);
}

const stator_binding *
stator__registry_find(const stator_registry *r, const char *qname)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->bindings[i].decl->name, qname) == 0)
			return &r->bindings[i];
	return NULL;
}

int
stator__registry_attach(const stator_registry *r, uint32_t partition,
			void **selves, stator_error *err)
{
	for (size_t i = 0; i < r->plugin_count; i++) {
		const stator_plugin *p = r->plugins[i];
		int code = STATOR_OK;

		selves[i] = r->plugin_data[i];
		if (p->attach)
			code = p->attach(r->plugin_data[i], partition, NULL,
					 &selves[i], err);
		if (code == STATOR_OK)
			continue;
		while (i-- > 0)
			if (r->plugins[i]->detach)
				r->plugins[i]->detach(selves[i]);
		return stator__wrap(err, "plugin %s, partition %u", p->name,
				    partition);
	}
	return STATOR_OK;
}

void
stator__registry_detach(const stator_registry *r, void **selves)
{
	for (size_t i = r->plugin_count; i-- > 0;)
		if (r->plugins[i]->detach)
			r->plugins[i]->detach(selves[i]);
}
