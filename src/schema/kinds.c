/*
 * kinds.c: kinds of workspaces. A workspace of the schema that has a
 * descriptor is a kind; what is declared in it, and in what it inherits, may be
 * in workspaces of that kind. All that is asked while requests run is answered
 * by one byte: there is an array of them, by kind, for each workspace of the
 * schema, and what is declared there shares it.
 */
#include "schema/schema.h"

static bool
has_workspace(const stator_workspace *kind, const char *name)
{
	for (size_t i = 0; i < kind->has_count; i++)
		if (strcmp(kind->has[i], name) == 0)
			return true;
	return false;
}

/* What stands in no workspace may be in all of them. */
static const uint8_t *
kinds_with(stator_def *def, const char *workspace)
{
	uint8_t *kinds = stator__arena_zero(&def->arena, def->kind_count + 1);

	kinds[0] = 1;
	for (uint32_t k = 1; k <= def->kind_count; k++)
		kinds[k] = workspace == NULL ||
			   has_workspace(def->kinds[k], workspace);
	return kinds;
}

static const uint8_t *
find_kinds(const stator_def *def, const uint8_t *const *by_workspace,
	   const char *workspace)
{
	size_t i = 0;

	while (i < def->workspace_count &&
	       (workspace == NULL ||
		strcmp(def->workspaces[i].name, workspace) != 0))
		i++;
	return by_workspace[i];
}

static stator_type_info *
info_of(const stator_type *type)
{
	return (stator_type_info *)(uintptr_t)type->extra;
}

/* Nested tables, which may be declared elsewhere, are where their parent is. */
static void
allow_nested(stator_def *def, const stator_type *type)
{
	for (uint32_t i = 0; i < type->field_count; i++) {
		const stator_type *rows = type->fields[i].rows;
		stator_type_info *info = rows ? info_of(rows) : NULL;
		uint8_t *kinds;

		if (info == NULL || info->kinds == info_of(type)->kinds)
			continue;
		kinds = stator__arena_alloc(&def->arena, def->kind_count + 1);
		for (uint32_t k = 0; k <= def->kind_count; k++)
			kinds[k] = info->kinds[k] | info_of(type)->kinds[k];
		info->kinds = kinds;
		allow_nested(def, rows);
	}
}

static void
number_kinds(stator_def *def)
{
	def->kinds = stator__arena_zero(
		&def->arena, (def->workspace_count + 1) * sizeof(*def->kinds));
	for (size_t i = 0; i < def->workspace_count; i++) {
		const stator_workspace *w = &def->workspaces[i];

		if (w->descriptor == NULL)
			continue;
		def->kinds[++def->kind_count] = w;
		info_of(stator__def_type_named(def, w->descriptor))->kind =
			def->kind_count;
	}
}

void
stator__kinds_find(stator_def *def)
{
	const uint8_t **by_workspace;

	number_kinds(def);
	by_workspace = stator__arena_alloc(&def->arena,
					   (def->workspace_count + 1) *
						   sizeof(*by_workspace));
	for (size_t i = 0; i < def->workspace_count; i++)
		by_workspace[i] = kinds_with(def, def->workspaces[i].name);
	by_workspace[def->workspace_count] = kinds_with(def, NULL);
	for (size_t i = 0; i < def->ext_count; i++)
		def->exts[i].kinds = find_kinds(def, by_workspace,
						def->exts[i].workspace);
	for (size_t i = 0; i < def->type_count; i++) {
		stator_type_info *info = info_of(def->types[i]);

		info->kinds = find_kinds(def, by_workspace, info->workspace);
	}
	for (size_t i = 0; i < def->type_count; i++)
		allow_nested(def, def->types[i]);
}

uint32_t
stator__kind_given(const stator_def *def, uint32_t descriptor)
{
	const stator_type *type =
		def->kinds_matter ? stator__def_type(def, descriptor) : NULL;

	return type ? stator__type_info(type)->kind : 0;
}
