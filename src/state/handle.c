/*
 * handle.c: names of storages and entities to handles, and what each
 * extension may do with them.
 */
#include <stdio.h>
#include <stdlib.h>

#include "state/state.h"

enum { NAME_MOST = 1024 };

/* A name without a package is one of the own package. */
static const char *
full_name(char *buffer, const char *name, const char *package)
{
	if (name == NULL || strchr(name, '.'))
		return name;
	snprintf(buffer, NAME_MOST, "%s.%s", package, name);
	return buffer;
}

static stator_handle *
find(const stator_handles *hs, const char *storage, const char *entity)
{
	for (size_t i = 0; i < hs->count; i++) {
		stator_handle *h = hs->items[i];

		if (strcmp(h->binding->decl->name, storage) == 0 &&
		    (entity == NULL) == (h->use.entity == NULL) &&
		    (entity == NULL || strcmp(h->use.entity, entity) == 0))
			return h;
	}
	return NULL;
}

static bool
names_entity(const stator_storage_ref *ref, const stator_handle *h)
{
	if (strcmp(ref->storage, h->binding->decl->name) != 0)
		return false;
	if (h->use.entity == NULL)
		return true;
	for (size_t i = 0; i < ref->entity_count; i++)
		if (strcmp(ref->entities[i], h->use.entity) == 0)
			return true;
	return false;
}

static bool
names(const stator_storage_ref *refs, size_t count, const stator_handle *h)
{
	for (size_t i = 0; i < count; i++)
		if (names_entity(&refs[i], h))
			return true;
	return false;
}

enum {
	READS = 1 << STATOR_GET | 1 << STATOR_GETBATCH | 1 << STATOR_READ,
	GETS = 1 << STATOR_GET | 1 << STATOR_GETBATCH,
	WRITES = 1 << STATOR_INSERT | 1 << STATOR_UPDATE
};

/* Bits of the operations that the declaration of `ext` opens. */
static uint8_t
declared(const stator_ext *ext, const stator_handle *h)
{
	unsigned bits = 0;

	if (h->binding->storage->undeclared & ext->kind)
		return READS | WRITES;
	if (names(ext->state, ext->state_count, h))
		bits |= READS;
	if (names(ext->intents, ext->intent_count, h))
		bits |= GETS | WRITES;
	return (uint8_t)bits;
}

static void
resolve_allowed(stator_handles *hs, stator_handle *h)
{
	h->allowed = stator__arena_zero(&hs->arena, hs->def->ext_count + 1);
	for (size_t i = 0; i < hs->def->ext_count; i++) {
		const stator_ext *ext = &hs->def->exts[i];
		unsigned scope = 0;

		for (int op = 0; op < STATOR_OP_COUNT; op++)
			if (h->binding->decl->scopes[op] & ext->kind)
				scope |= 1u << op;
		h->allowed[i] = (uint8_t)(scope & declared(ext, h));
	}
}

/* The key of sys.Uniq and its like: WSID, then the fields of the table. */
static const stator_type *
table_as_key(stator_handles *hs, const stator_type *table)
{
	size_t count = table->field_count - STATOR_SYS_COUNT;
	stator_field_spec *specs =
		stator__arena_zero(&hs->arena, (count + 1) * sizeof(*specs));

	for (size_t i = 0; i < count; i++) {
		const stator_field *f = &table->fields[STATOR_SYS_COUNT + i];

		specs[i] = (stator_field_spec){.name = f->name,
					       .kind = f->kind,
					       .max = f->max,
					       .rows = f->rows,
					       .checks = f->checks};
	}
	return stator__type_make(&hs->arena, table->name, STATOR_TYPE_KEY,
				 specs, count, 0);
}

static int
unknown_entity(const stator_handles *hs, const stator_binding *b,
	       const char *entity, stator_error *err)
{
	bool view = b->storage->entity == STATOR_ENTITY_VIEW;
	const char **all = stator__alloc(hs->def->type_count * sizeof(*all) + 1);
	const char *guess;
	size_t count = 0;

	for (size_t i = 0; i < hs->def->type_count; i++)
		if ((hs->def->types[i]->kind == STATOR_TYPE_VIEW) == view)
			all[count++] = hs->def->types[i]->name;
	guess = stator__guess(entity, strlen(entity), all, count);
	free(all);
	stator__fail(err, STATOR_EXTENSION_FAILED, "no %s is called %s",
		     view ? "view" : "table", entity);
	return stator__suggest(err, guess);
}

static int
resolve_entity(stator_handles *hs, stator_handle *h, const char *entity,
	       stator_error *err)
{
	const stator_binding *b = h->binding;
	const stator_type *type =
		entity ? stator__def_type_named(hs->def, entity) : NULL;
	bool fits;

	h->use.key = b->key;
	h->use.value = b->value;
	if (b->storage->entity == STATOR_ENTITY_NONE) {
		if (entity)
			return stator__fail(err, STATOR_EXTENSION_FAILED,
					    "storage %s has no entities; leave "
					    "out %s",
					    b->decl->name, entity);
		return STATOR_OK;
	}
	if (entity == NULL)
		return stator__fail(err, STATOR_EXTENSION_FAILED,
				    "storage %s needs an entity",
				    b->decl->name);
	if (b->storage->entity == STATOR_ENTITY_VIEW)
		fits = type && type->kind == STATOR_TYPE_VIEW;
	else
		fits = type && stator__type_is_record(type) &&
		       !stator__type_info(type)->abstract;
	if (!fits)
		return unknown_entity(hs, b, entity, err);
	h->use.entity = type->name;
	h->use.entity_id = type->id;
	h->use.table = type;
	if (h->use.key == NULL)
		h->use.key = stator__type_info(type)->key
				     ? stator__type_info(type)->key
				     : table_as_key(hs, type);
	if (h->use.value == NULL)
		h->use.value = type;
	return STATOR_OK;
}

static int
unknown_storage(const stator_handles *hs, const char *storage,
		stator_error *err)
{
	const stator_registry *r = hs->registry;
	const char **all = stator__alloc(r->count * sizeof(*all) + 1);
	const char *guess;

	for (size_t i = 0; i < r->count; i++)
		all[i] = r->bindings[i].decl->name;
	guess = stator__guess(storage, strlen(storage), all, r->count);
	free(all);
	stator__fail(err, STATOR_EXTENSION_FAILED, "no storage is called %s",
		     storage);
	return stator__suggest(err, guess);
}

int
stator__handle(stator_handles *hs, const char *storage, const char *entity,
	       const char *package, stator_handle **out, stator_error *err)
{
	char storage_name[NAME_MOST], entity_name[NAME_MOST];
	const stator_binding *b;
	stator_handle *h, draft = {0};
	int code;

	storage = full_name(storage_name, storage, package);
	entity = full_name(entity_name, entity, package);
	h = find(hs, storage, entity);
	if (h == NULL) {
		b = stator__registry_find(hs->registry, storage);
		if (b == NULL)
			return unknown_storage(hs, storage, err);
		draft.binding = b;
		draft.instance = &hs->instances[b->plugin];
		draft.is_log = strcmp(b->decl->name, "sys.Logger") == 0;
		draft.use.abi = STATOR_ABI;
		draft.use.size = sizeof(draft.use);
		code = resolve_entity(hs, &draft, entity, err);
		if (code)
			return code;
		h = stator__arena_copy(&hs->arena, &draft, sizeof(draft));
		h->name = stator__arena_format(
			&hs->arena, "%s%s%s", b->decl->name,
			h->use.entity ? " " : "",
			h->use.entity ? h->use.entity : "");
		resolve_allowed(hs, h);
		h->index = (uint32_t)hs->count;
		STATOR_GROW(hs->items, hs->count, hs->cap);
		hs->items[hs->count++] = h;
	}
	*out = h;
	return STATOR_OK;
}

void
stator__handles_free(stator_handles *hs)
{
	free(hs->items);
	stator__arena_free(&hs->arena);
	memset(hs, 0, sizeof(*hs));
}
