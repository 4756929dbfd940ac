/*
 * type.c: types and the layout of their rows.
 *
 * Fields stand in groups of eight, each group behind one byte of presence
 * bits. So the place of a field depends only on the fields before it, and a
 * type can grow at its end without a change to the rows that are there.
 */
#include <stdlib.h>

#include "schema/schema.h"

static const struct {
	const char *name;
	uint32_t width;
} kinds[] = {
	[STATOR_INT8] = {"int8", 1},	   [STATOR_INT16] = {"int16", 2},
	[STATOR_INT32] = {"int32", 4},	   [STATOR_INT64] = {"int64", 8},
	[STATOR_FLOAT32] = {"float32", 4}, [STATOR_FLOAT64] = {"float64", 8},
	[STATOR_BOOL] = {"bool", 1},	   [STATOR_REF] = {"ref", 8},
	[STATOR_STRING] = {"string", 8},   [STATOR_BYTES] = {"bytes", 8},
	[STATOR_QNAME] = {"qname", 8},	   [STATOR_ROWS] = {"rows", 8},
	[STATOR_ROW] = {"row", 8},	   [STATOR_TEXTS] = {"texts", 8},
};

const char *
stator__kind_name(uint32_t kind)
{
	return kind < STATOR_COUNT(kinds) && kinds[kind].name ? kinds[kind].name
							      : "unknown";
}

uint32_t
stator__kind_width(uint32_t kind)
{
	return kinds[kind].width;
}

bool
stator__type_is_record(const stator_type *type)
{
	return type->kind >= STATOR_TYPE_CDOC &&
	       type->kind <= STATOR_TYPE_GRECORD;
}

bool
stator__type_is_stored(const stator_type *type)
{
	return stator__type_is_record(type) && type->kind != STATOR_TYPE_ODOC &&
	       type->kind != STATOR_TYPE_ORECORD;
}

static const stator_field_spec system_fields[STATOR_SYS_COUNT] = {
	{"sys.ID", STATOR_REF, .system = true},
	{"sys.ParentID", STATOR_REF, .system = true},
	{"sys.Container", STATOR_STRING, .system = true, .max = 255},
	{"sys.IsActive", STATOR_BOOL, .system = true},
	{"IsNew", STATOR_BOOL, .system = true},
};

/* What is kept one by one is active until somebody says that it is not. */
static const stator_checks active = {.has_default = true, .integer = 1};

static const stator_field_spec wsid_field = {"WSID", STATOR_INT64,
					     .system = true};

static void
lay_out(stator_type *type, stator_field *fields, size_t count)
{
	uint32_t at = STATOR_ROW_HEADER, null_at = 0;

	for (size_t i = 0; i < count; i++) {
		if (i % 8 == 0)
			null_at = at++;
		fields[i].null_at = null_at;
		fields[i].present = (uint8_t)(1u << i % 8);
		fields[i].at = at;
		at += kinds[fields[i].kind].width;
	}
	type->fields = fields;
	type->field_count = (uint32_t)count;
	type->fixed = at;
}

static int
compare_names(const void *a, const void *b, void *fields)
{
	const stator_field *f = fields;

	return strcmp(f[*(const uint32_t *)a].name, f[*(const uint32_t *)b].name);
}

static bool
declares(const stator_field_spec *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(fields[i].name, name) == 0)
			return true;
	return false;
}

static size_t
add_field(stator_field *fields, size_t at, const stator_field_spec *spec)
{
	stator_field *f = &fields[at];

	f->name = spec->name;
	f->kind = spec->kind;
	f->required = spec->required;
	f->system = spec->system;
	f->secret = spec->secret;
	f->max = spec->max;
	f->rows = spec->rows;
	f->checks = spec->checks;
	return at + 1;
}

stator_type *
stator__type_make(stator_arena *arena, const char *name, uint32_t kind,
		  const stator_field_spec *specs, size_t count,
		  uint32_t key_count)
{
	stator_type *type = stator__arena_zero(arena, sizeof(*type));
	stator_type_info *info = stator__arena_zero(arena, sizeof(*info));
	size_t most = count + STATOR_SYS_COUNT + 1, n = 0;
	stator_field *fields =
		stator__arena_zero(arena, most * sizeof(*fields));

	type->name = name;
	type->id = stator__hash(name, strlen(name));
	type->kind = kind;
	type->key_count = key_count;
	type->extra = info;
	if (stator__type_is_record(type))
		for (size_t i = 0; i < STATOR_SYS_COUNT; i++)
			n = add_field(fields, n, &system_fields[i]);
	if (stator__type_is_stored(type))
		fields[STATOR_SYS_ACTIVE].checks = &active;
	if (kind == STATOR_TYPE_KEY) {
		n = add_field(fields, n, &wsid_field);
		/* A field of the schema's with that name wins. */
		if (declares(specs, count, wsid_field.name))
			fields[0].name = "sys.WSID";
	}
	for (size_t i = 0; i < count; i++)
		n = add_field(fields, n, &specs[i]);
	lay_out(type, fields, n);
	info->by_name = stator__arena_alloc(arena, n * sizeof(uint32_t));
	for (size_t i = 0; i < n; i++)
		info->by_name[i] = (uint32_t)i;
	qsort_r(info->by_name, n, sizeof(uint32_t), compare_names, fields);
	return type;
}

stator_type *
stator__type_from_desc(stator_arena *arena, const char *name, bool key,
		       const stator_field_desc *fields, size_t count)
{
	stator_field_spec *specs =
		stator__arena_zero(arena, (count + 1) * sizeof(*specs));

	for (size_t i = 0; i < count; i++) {
		specs[i].name = fields[i].name;
		specs[i].kind = fields[i].kind;
		specs[i].required = fields[i].required != 0;
		specs[i].secret = fields[i].secret != 0;
		specs[i].max = fields[i].max ? fields[i].max : 65535;
	}
	return stator__type_make(arena, name,
				 key ? STATOR_TYPE_KEY : STATOR_TYPE_STORAGE,
				 specs, count, key ? (uint32_t)count : 0);
}

static int
compare_name(const char *name, size_t size, const char *other)
{
	int order = strncmp(name, other, size);

	return order ? order : -(other[size] != 0);
}

int
stator__type_find(const stator_type *type, const char *name, size_t size)
{
	const uint32_t *by_name = stator__type_info(type)->by_name;
	size_t low = 0, high = type->field_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int order = compare_name(name, size,
					 type->fields[by_name[mid]].name);

		if (order == 0)
			return (int)by_name[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return -1;
}

void
stator__type_guess(const stator_type *type, const char *name, size_t size,
		   stator_error *err)
{
	const char **names =
		stator__alloc((type->field_count + 1) * sizeof(*names));
	const char *guess;

	for (uint32_t i = 0; i < type->field_count; i++)
		names[i] = type->fields[i].name;
	guess = stator__guess(name, size, names, type->field_count);
	free(names);
	stator__suggest(err, guess);
}
