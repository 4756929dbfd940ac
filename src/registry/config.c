/*
 * config.c: the configuration of a storage, against its description.
 */
#include "registry/registry.h"

/* The value of a field: the last that was given, or the preset. */
static const stator_json *
choose(stator_arena *arena, const stator_field_desc *f,
       const stator_json *const *given, size_t count)
{
	stator_json *preset;
	stator_error err;

	for (size_t i = count; i-- > 0;) {
		const stator_json *v =
			given[i] ? stator__json_get(given[i], f->name) : NULL;

		if (v && v->kind != STATOR_JSON_NULL)
			return v;
	}
	if (f->preset &&
	    stator__json_parse(arena, f->preset, strlen(f->preset), &preset,
			       &err) == STATOR_OK)
		return preset;
	return NULL;
}

static int
check_names(const stator_storage *s, const stator_type *type,
	    const stator_json *given, const stator_json **wrong,
	    stator_error *err)
{
	for (const stator_json *c = given->first; c; c = c->next) {
		if (stator__type_find(type, c->name.data, c->name.size) >= 0)
			continue;
		*wrong = c;
		stator__fail(err, STATOR_IMAGE,
			     "%.*s: storage %s has no such configuration",
			     (int)c->name.size, (const char *)c->name.data,
			     s->name);
		stator__type_guess(type, c->name.data, c->name.size, err);
		return STATOR_IMAGE;
	}
	return STATOR_OK;
}

/* One value alone, to know which one is wrong. */
static int
check_value(stator_arena *arena, const stator_type *type, stator_json *value,
	    const stator_path *path, stator_error *err)
{
	stator_json_opts opts = {NULL, true};
	stator_json alone = {.kind = STATOR_JSON_OBJECT};
	stator_row row;

	value->next = NULL;
	alone.first = value;
	return stator__row_from_json(arena, type, &alone, path, &opts, &row,
				     err);
}

int
stator__config_row(stator_arena *arena, const stator_storage *s,
		   const stator_json *const *given, size_t count,
		   stator_row *out, const stator_json **wrong,
		   stator_error *err)
{
	stator_type *type = stator__type_from_desc(
		arena, s->name, false, s->config_fields,
		s->config_field_count);
	stator_json whole = {.kind = STATOR_JSON_OBJECT};
	stator_json_opts opts = {NULL, false};
	stator_path path = {.name = "config"};

	for (size_t i = 0; i < count; i++) {
		*wrong = given[i];
		if (given[i] && given[i]->kind != STATOR_JSON_OBJECT)
			return stator__fail(err, STATOR_IMAGE,
					    "config: expected an object, found "
					    "%s",
					    stator__json_show(arena, given[i]));
		if (given[i] && check_names(s, type, given[i], wrong, err))
			return STATOR_IMAGE;
	}
	for (size_t i = 0; i < s->config_field_count; i++) {
		const stator_field_desc *f = &s->config_fields[i];
		const stator_json *v = choose(arena, f, given, count);
		stator_json *copy;

		if (v == NULL)
			continue;
		copy = stator__arena_copy(arena, v, sizeof(*v));
		copy->name = stator__cslice(f->name);
		*wrong = v;
		if (check_value(arena, type, copy, &path, err))
			return err->code;
		copy->next = whole.first;
		whole.first = copy;
	}
	*wrong = NULL;
	return stator__row_from_json(arena, type, &whole, &path, &opts, out,
				     err);
}
