/*
 * compat.c: whether a new version of an application fits the data that is
 * there. Rows keep the places of their fields, and keys the order of theirs, so
 * a schema may grow, and what is in it stays as it is:
 *
 *   packages               appended, in any order
 *   types                  added
 *   fields                 added at the end
 *   uniques                the same, in any order
 *   keys of views          the same
 *   arguments and results  the same
 *   of commands
 *
 * Everything that is broken is a problem at the place in the new schema where
 * it is, or should be. What only checks new values, such as CHECK, DEFAULT and
 * the tables of a ref, may change.
 */
#include <errno.h>
#include <stdlib.h>

#include "app/app.h"
#include "app/compat.h"
#include "base/files.h"
#include "base/json.h"

/* Where a problem is. */
typedef struct spot {
	const char *file;
	int line, col;
} spot;

typedef struct comparison {
	const stator_version *version;
	const stator_def *def;
	const stator_json *old;
	stator_problems *problems;
	stator_arena arena;
} comparison;

static void wrong(comparison *c, spot at, const char *format, ...)
	STATOR_PRINTF(3, 4);

static void
wrong(comparison *c, spot at, const char *format, ...)
{
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, STATOR_IMAGE, format, args);
	va_end(args);
	stator__problem(c->problems, at.file, at.line, at.col, "%s", text.msg);
}

/* Reading the old schema -------------------------------------------------- */

static const stator_json *
first_of(const stator_json *object, const char *name)
{
	const stator_json *list =
		object ? stator__json_get(object, name) : NULL;

	return list ? list->first : NULL;
}

/* A text of the arena, or NULL. */
static const char *
text_of(comparison *c, const stator_json *value)
{
	if (value == NULL || value->kind != STATOR_JSON_STRING)
		return NULL;
	return stator__arena_str(&c->arena, value->text.data, value->text.size);
}

static const char *
member(comparison *c, const stator_json *object, const char *name)
{
	return text_of(c, stator__json_get(object, name));
}

static bool
flag(const stator_json *object, const char *name)
{
	const stator_json *value = stator__json_get(object, name);

	return value && value->boolean;
}

static int64_t
number(const stator_json *object, const char *name)
{
	const stator_json *value = stator__json_get(object, name);
	int64_t n = 0;

	return value && stator__json_int(value, &n) ? n : 0;
}

static bool
same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
list_has(const stator_json *first, const char *text)
{
	for (; first; first = first->next)
		if (stator__slice_is(first->text, text))
			return true;
	return false;
}

/* The member of a list whose "name" is this. */
static const stator_json *
named(const stator_json *first, const char *name)
{
	for (; first; first = first->next) {
		const stator_json *n = stator__json_get(first, "name");

		if (n && stator__slice_is(n->text, name))
			return first;
	}
	return NULL;
}

/* Places ------------------------------------------------------------------ */

static spot
place_of_type(const stator_type *type)
{
	const stator_type_info *info = stator__type_info(type);

	return (spot){info->file, info->line, info->col};
}

static spot
place_of_field(const stator_type *type, const stator_field *f)
{
	const stator_checks *checks = f->checks;

	if (checks && checks->file)
		return (spot){checks->file, checks->line, checks->col};
	return place_of_type(type);
}

static spot
place_of_ext(const stator_ext *ext)
{
	return (spot){ext->file, ext->line, ext->col};
}

/* What is gone has no place but a file of its package. */
static spot
place_of_lost(const comparison *c, const char *name)
{
	size_t size = strcspn(name, ".");

	for (size_t i = 0; i < c->def->type_count; i++) {
		const stator_type *type = c->def->types[i];

		if (strncmp(type->name, name, size + 1) == 0)
			return (spot){stator__type_info(type)->file, 1, 1};
	}
	for (size_t i = 0; i < c->def->ext_count; i++)
		if (strncmp(c->def->exts[i].name, name, size + 1) == 0)
			return (spot){c->def->exts[i].file, 1, 1};
	return (spot){c->version->descriptor.file, 1, 1};
}

static bool
package_is_there(const comparison *c, const char *name)
{
	size_t size = strcspn(name, ".");

	for (size_t i = 0; i < c->def->package_count; i++)
		if (strlen(c->def->packages[i].name) == size &&
		    memcmp(c->def->packages[i].name, name, size) == 0)
			return true;
	return false;
}

/* Fields ------------------------------------------------------------------ */

static const stator_field *
field_named(const stator_type *type, const char *name)
{
	for (uint32_t i = 0; i < type->field_count; i++)
		if (!type->fields[i].system &&
		    strcmp(type->fields[i].name, name) == 0)
			return &type->fields[i];
	return NULL;
}

/* Rows of these are read and changed for ever; others are only in events. */
static bool
is_table_or_view(const stator_type *type)
{
	return stator__type_is_stored(type) || type->kind == STATOR_TYPE_VIEW ||
	       type->kind == STATOR_TYPE_KEY;
}

/* What a field may not become. */
static void
compare_constraints(comparison *c, const stator_type *type,
		    const stator_json *old, const stator_field *f)
{
	int64_t max = number(old, "max");

	if (!is_table_or_view(type))
		return;
	if (f->required && !flag(old, "required"))
		wrong(c, place_of_field(type, f),
		      "%s: field %s was not NOT NULL: rows that are there may "
		      "be without it; leave it so",
		      type->name, f->name);
	if (stator__is_lengthy(f->kind) && f->max < max)
		wrong(c, place_of_field(type, f),
		      "%s: field %s took %lld bytes, now %u: rows that are "
		      "there may have more; leave it so",
		      type->name, f->name, (long long)max, f->max);
}

static void
compare_field(comparison *c, const stator_type *type, const stator_json *old,
	      const stator_field *f)
{
	const char *kind = member(c, old, "kind");
	const char *rows = member(c, old, "rows");

	if (!same(kind, stator__kind_name(f->kind)))
		wrong(c, place_of_field(type, f),
		      "%s: field %s was %s, now %s; add a new field at the end",
		      type->name, f->name, kind, stator__kind_name(f->kind));
	else if (!same(rows, f->rows ? f->rows->name : NULL))
		wrong(c, place_of_field(type, f),
		      "%s: field %s was a table %s, now %s; add a new field at "
		      "the end",
		      type->name, f->name, rows ? rows : "of any kind",
		      f->rows ? f->rows->name : "of any kind");
	else
		compare_constraints(c, type, old, f);
}

/* Old fields come first, in their order; says so once for a type. */
static void
compare_order(comparison *c, const stator_type *type, const stator_json *old)
{
	for (uint32_t i = 0; i < type->field_count && old; i++) {
		const stator_field *f = &type->fields[i];
		const char *name;

		if (f->system)
			continue;
		while (old && field_named(type, member(c, old, "name")) == NULL)
			old = old->next;
		if (old == NULL)
			return;
		name = member(c, old, "name");
		if (strcmp(f->name, name) != 0) {
			wrong(c, place_of_field(type, f),
			      "%s: field %s stands where %s did; new fields "
			      "belong at the end, and old ones keep their "
			      "order",
			      type->name, f->name, name);
			return;
		}
		old = old->next;
	}
}

/* Rows that are there have none of them. */
static void
check_new_fields(comparison *c, const stator_type *type,
		 const stator_json *old)
{
	for (uint32_t i = 0; i < type->field_count; i++) {
		const stator_field *f = &type->fields[i];

		if (!f->system && f->required && is_table_or_view(type) &&
		    named(old, f->name) == NULL)
			wrong(c, place_of_field(type, f),
			      "%s: new field %s is NOT NULL, and rows that are "
			      "there have none; leave NOT NULL out",
			      type->name, f->name);
	}
}

static void
compare_fields(comparison *c, const stator_type *type, const stator_json *old)
{
	for (const stator_json *o = old; o; o = o->next) {
		const char *name = member(c, o, "name");
		const stator_field *f = field_named(type, name);

		if (f)
			compare_field(c, type, o, f);
		else
			wrong(c, place_of_type(type),
			      "%s: field %s %s is gone; put it back",
			      type->name, name, member(c, o, "kind"));
	}
	compare_order(c, type, old);
	check_new_fields(c, type, old);
}

/* Keys and uniques -------------------------------------------------------- */

/* "(Year int32), Month int32" */
static const char *
show_old_key(comparison *c, const stator_json *old)
{
	int64_t partition = number(old, "partitionKey"), i = 0;
	stator_buf text = {NULL, 0, 0};
	const char *shown;

	for (const stator_json *f = first_of(old, "key"); f; f = f->next, i++)
		stator__buf_format(&text, "%s%s%s %s%s", i ? ", " : "",
				   i == 0 ? "(" : "", member(c, f, "name"),
				   member(c, f, "kind"),
				   i + 1 == partition ? ")" : "");
	shown = stator__arena_str(&c->arena, (const char *)text.data,
				  text.size);
	free(text.data);
	return shown;
}

static void
compare_key(comparison *c, const stator_type *type, const stator_json *old)
{
	const stator_type_info *info = stator__type_info(type);
	const stator_json *o = first_of(old, "key");
	bool equal = info->partition_key ==
		     (uint64_t)number(old, "partitionKey");

	for (uint32_t i = 0; equal && i < info->key->field_count; i++) {
		const stator_field *f = &info->key->fields[i];

		if (f->system)
			continue;
		equal = o && same(member(c, o, "name"), f->name) &&
			same(member(c, o, "kind"), stator__kind_name(f->kind));
		if (equal) {
			compare_constraints(c, info->key, o, f);
			o = o->next;
		}
	}
	if (!equal || o)
		wrong(c, place_of_type(type),
		      "%s: its PRIMARY KEY was (%s) and cannot change; make a "
		      "new view",
		      type->name, show_old_key(c, old));
}

static bool
is_unique(const stator_type *type, const stator_unique *u,
	  const stator_json *old)
{
	const stator_json *name = old->first;
	uint32_t count = 0;

	for (; name; name = name->next) {
		uint32_t i = 0;

		while (i < u->count &&
		       !stator__slice_is(name->text,
					 type->fields[u->fields[i]].name))
			i++;
		if (i == u->count)
			return false;
		count++;
	}
	return count == u->count;
}

static const char *
show_unique(comparison *c, const stator_type *type, const stator_unique *u)
{
	const char *shown = "";

	for (uint32_t i = 0; i < u->count; i++)
		shown = stator__arena_format(&c->arena, "%s%s%s", shown,
					     i ? ", " : "",
					     type->fields[u->fields[i]].name);
	return shown;
}

static const char *
show_old_unique(comparison *c, const stator_json *old)
{
	const char *shown = "";

	for (const stator_json *n = old->first; n; n = n->next)
		shown = stator__arena_format(&c->arena, "%s%s%s", shown,
					     n == old->first ? "" : ", ",
					     text_of(c, n));
	return shown;
}

/* Records that are there are in the index of the old ones, and no other. */
static void
compare_uniques(comparison *c, const stator_type *type, const stator_json *old)
{
	for (const stator_json *o = old; o; o = o->next) {
		uint32_t i = 0;

		while (i < type->unique_count &&
		       (type->uniques[i].count == 0 ||
			!is_unique(type, &type->uniques[i], o)))
			i++;
		if (i == type->unique_count)
			wrong(c, place_of_type(type),
			      "%s: UNIQUE (%s) is gone; put it back",
			      type->name, show_old_unique(c, o));
	}
	for (uint32_t i = 0; i < type->unique_count; i++) {
		const stator_json *o = old;

		while (o && !is_unique(type, &type->uniques[i], o))
			o = o->next;
		if (o == NULL && type->uniques[i].count)
			wrong(c, place_of_type(type),
			      "%s: UNIQUE (%s) is new, and records that are "
			      "there may break it; leave it out",
			      type->name,
			      show_unique(c, type, &type->uniques[i]));
	}
}

/* Types ------------------------------------------------------------------- */

static void
compare_type(comparison *c, const stator_type *type, const stator_json *old)
{
	const char *kind = member(c, old, "kind");

	if (!same(kind, stator__type_kind_name(type->kind))) {
		wrong(c, place_of_type(type),
		      "%s was a %s, now a %s; take a new name", type->name,
		      kind, stator__type_kind_name(type->kind));
		return;
	}
	if (stator__type_info(type)->abstract)
		wrong(c, place_of_type(type),
		      "%s is ABSTRACT, and there may be rows of it; take a new "
		      "name",
		      type->name);
	if (flag(old, "singleton") != stator__type_info(type)->singleton)
		wrong(c, place_of_type(type), "%s was %sa singleton; leave it so",
		      type->name, flag(old, "singleton") ? "" : "not ");
	compare_fields(c, type, first_of(old, "fields"));
	if (type->kind == STATOR_TYPE_VIEW)
		compare_key(c, type, old);
	compare_uniques(c, type, first_of(old, "uniques"));
}

static void
compare_types(comparison *c)
{
	for (const stator_json *o = first_of(c->old, "types"); o; o = o->next) {
		const char *name = member(c, o, "name");
		const stator_type *type;

		if (name == NULL || !package_is_there(c, name))
			continue;
		type = stator__def_type_named(c->def, name);
		if (type)
			compare_type(c, type, o);
		else
			wrong(c, place_of_lost(c, name),
			      "%s %s is gone; put it back",
			      member(c, o, "kind"), name);
	}
}

static void
compare_packages(comparison *c)
{
	for (const stator_json *o = first_of(c->old, "packages"); o;
	     o = o->next) {
		const char *name = text_of(c, o);

		if (name && !package_is_there(c, name))
			wrong(c, place_of_lost(c, name),
			      "package %s is gone; put it back", name);
	}
}

/* Extensions -------------------------------------------------------------- */

static const stator_ext *
ext_named(const stator_def *def, const char *name, uint32_t kind)
{
	const stator_ext *ext =
		stator__def_ext(def, stator__hash(name, strlen(name)));

	return ext && ext->kind == kind && strcmp(ext->name, name) == 0 ? ext
									: NULL;
}

static void
compare_signature(comparison *c, const stator_ext *ext, const stator_json *old,
		  const char *part, const stator_type *now)
{
	const char *before = member(c, old, part);

	if (!same(before, now ? now->name : NULL))
		wrong(c, place_of_ext(ext),
		      "command %s: its %s was %s, now %s; make a new command",
		      ext->name,
		      strcmp(part, "arg") == 0	      ? "argument"
		      : strcmp(part, "unlogged") == 0 ? "unlogged argument"
						      : "result",
		      before ? before : "nothing", now ? now->name : "nothing");
}

static void
compare_commands(comparison *c)
{
	for (const stator_json *o = first_of(c->old, "commands"); o;
	     o = o->next) {
		const char *name = member(c, o, "name");
		const stator_ext *ext;

		if (name == NULL || !package_is_there(c, name))
			continue;
		ext = ext_named(c->def, name, STATOR_COMMAND);
		if (ext == NULL) {
			wrong(c, place_of_lost(c, name),
			      "command %s is gone; put it back", name);
			continue;
		}
		compare_signature(c, ext, o, "arg", ext->arg);
		compare_signature(c, ext, o, "unlogged", ext->unlogged);
		compare_signature(c, ext, o, "result", ext->result);
	}
}

/* Whether the view was there before. */
static bool
is_old_view(const comparison *c, const char *name)
{
	const stator_json *o = named(first_of(c->old, "types"), name);
	const stator_json *kind = o ? stator__json_get(o, "kind") : NULL;

	return kind && stator__slice_is(kind->text, "View");
}

/*
 * An asynchronous projector begins with the first event, and writes what the
 * rows have already; one that was asynchronous may not have seen them all.
 */
static void
compare_writer(comparison *c, const stator_ext *ext, const char *view)
{
	const stator_json *old =
		named(first_of(c->old, "projectors"), ext->name);
	bool wrote = old && list_has(first_of(old, "views"), view);
	bool was_async = old && !flag(old, "sync");

	if (!ext->sync && !was_async)
		wrong(c, place_of_ext(ext),
		      "projector %s %s and would write all events again to %s, "
		      "which is there; give it a view of its own",
		      ext->name, old ? "was SYNC" : "is new", view);
	else if (!ext->sync && !wrote)
		wrong(c, place_of_ext(ext),
		      "projector %s did not write %s, which is there: it has "
		      "seen events without it; take a new name and a new view",
		      ext->name, view);
	else if (ext->sync && was_async && wrote)
		wrong(c, place_of_ext(ext),
		      "projector %s was not SYNC, and may be behind with %s; "
		      "leave it so",
		      ext->name, view);
}

static void
compare_projectors(comparison *c)
{
	for (size_t i = 0; i < c->def->ext_count; i++) {
		const stator_ext *ext = &c->def->exts[i];

		if (ext->kind != STATOR_PROJECTOR)
			continue;
		for (size_t k = 0; k < ext->intent_count; k++) {
			const stator_storage_ref *ref = &ext->intents[k];
			bool views = strcmp(ref->storage, "sys.View") == 0;

			for (size_t n = 0; views && n < ref->entity_count; n++)
				if (is_old_view(c, ref->entities[n]))
					compare_writer(c, ext,
						       ref->entities[n]);
		}
	}
}

/* All of it --------------------------------------------------------------- */

static int
compare(comparison *c, const char *path, stator_slice text, stator_error *err)
{
	stator_json *json;

	if (stator__json_parse(&c->arena, text.data, text.size, &json, err))
		return stator__wrap(err, "%s", path);
	if (number(json, "format") != STATOR_SCHEMA_FORMAT)
		return stator__fail(err, STATOR_CORRUPT,
				    "%s: expected format %d, found %lld", path,
				    STATOR_SCHEMA_FORMAT,
				    (long long)number(json, "format"));
	c->old = json;
	compare_packages(c);
	compare_types(c);
	compare_commands(c);
	compare_projectors(c);
	return STATOR_OK;
}

int
stator__schema_check(const stator_version *version, const char *folder,
		     stator_problems *problems, stator_error *err)
{
	comparison c = {.version = version,
			.def = version->def,
			.problems = problems};
	char *path = stator__schema_path(folder);
	size_t before = problems->count;
	stator_slice text;
	int code = STATOR_OK, error = stator__file_read(&c.arena, path, &text);

	if (error == 0)
		code = compare(&c, path, text, err);
	else if (error != ENOENT)
		code = stator__fail(err, STATOR_IO, "%s: %s", path,
				    strerror(error));
	if (code == STATOR_OK && problems->count > before)
		code = STATOR_IMAGE;
	stator__problems_sort(problems);
	stator__arena_free(&c.arena);
	free(path);
	return code;
}
