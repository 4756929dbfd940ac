/*
 * def.c: schema files to a definition. The grammar and the analysis are Lua
 * (lua/stator/vsql.lua, schema.lua); here their result, a table of resolved
 * names, becomes types and extensions in C. The Lua state lives only as long
 * as that takes.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <ctype.h>
#include <lauxlib.h>
#include <lualib.h>
#include <pcre2.h>
#include <stdlib.h>

#include "base/embed.h"
#include "schema/schema.h"

int luaopen_lpeg(lua_State *L);

typedef struct loader {
	lua_State *L;
	stator_def *def;
	stator_problems *problems;
} loader;

/* Reading fields of the table on top of the stack ---------------------- */

static const char *
get_string(loader *l, const char *name)
{
	const char *copy = NULL;
	size_t size;

	lua_getfield(l->L, -1, name);
	if (lua_type(l->L, -1) == LUA_TSTRING) {
		const char *s = lua_tolstring(l->L, -1, &size);

		copy = stator__arena_str(&l->def->arena, s, size);
	}
	lua_pop(l->L, 1);
	return copy;
}

static bool
get_bool(loader *l, const char *name)
{
	bool value;

	lua_getfield(l->L, -1, name);
	value = lua_toboolean(l->L, -1);
	lua_pop(l->L, 1);
	return value;
}

static lua_Integer
get_integer(loader *l, const char *name)
{
	lua_Integer value;

	lua_getfield(l->L, -1, name);
	value = lua_tointeger(l->L, -1);
	lua_pop(l->L, 1);
	return value;
}

/* Pushes the list called `name` (empty when absent); returns its length. */
static size_t
push_list(loader *l, const char *name)
{
	lua_getfield(l->L, -1, name);
	if (!lua_istable(l->L, -1)) {
		lua_pop(l->L, 1);
		lua_newtable(l->L);
	}
	return lua_objlen(l->L, -1);
}

/* A list of strings, as an array in the definition's arena. */
static const char **
get_strings(loader *l, const char *name, size_t *count)
{
	const char **items;

	*count = push_list(l, name);
	items = stator__arena_zero(&l->def->arena,
				   (*count + 1) * sizeof(*items));
	for (size_t i = 0; i < *count; i++) {
		size_t size;
		const char *s;

		lua_rawgeti(l->L, -1, (int)i + 1);
		s = lua_tolstring(l->L, -1, &size);
		items[i] = stator__arena_str(&l->def->arena, s, size);
		lua_pop(l->L, 1);
	}
	lua_pop(l->L, 1);
	return items;
}

static uint32_t
choose(const char *const *names, size_t count, const char *name)
{
	for (uint32_t i = 0; i < count; i++)
		if (names[i] && name && strcmp(names[i], name) == 0)
			return i;
	return 0;
}

/* Types --------------------------------------------------------------- */

static const char *const kind_names[] = {
	[STATOR_INT8] = "int8",	      [STATOR_INT16] = "int16",
	[STATOR_INT32] = "int32",     [STATOR_INT64] = "int64",
	[STATOR_FLOAT32] = "float32", [STATOR_FLOAT64] = "float64",
	[STATOR_BOOL] = "bool",	      [STATOR_REF] = "ref",
	[STATOR_STRING] = "string",   [STATOR_BYTES] = "bytes",
	[STATOR_QNAME] = "qname",     [STATOR_ROWS] = "rows",
};

static const char *const type_kind_names[] = {
	[STATOR_TYPE_OBJECT] = "Object",   [STATOR_TYPE_CDOC] = "CDoc",
	[STATOR_TYPE_WDOC] = "WDoc",	   [STATOR_TYPE_ODOC] = "ODoc",
	[STATOR_TYPE_GDOC] = "GDoc",	   [STATOR_TYPE_CRECORD] = "CRecord",
	[STATOR_TYPE_WRECORD] = "WRecord", [STATOR_TYPE_ORECORD] = "ORecord",
	[STATOR_TYPE_GRECORD] = "GRecord", [STATOR_TYPE_VIEW] = "View",
};

const char *
stator__type_kind_name(uint32_t kind)
{
	return kind < STATOR_COUNT(type_kind_names) && type_kind_names[kind]
		       ? type_kind_names[kind]
		       : "unknown";
}

static void *
compile_pattern(loader *l, const char *text, const char *file)
{
	stator_def *def = l->def;
	PCRE2_SIZE at;
	PCRE2_UCHAR why[120];
	pcre2_code *code;
	int error;

	code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED,
			     PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &error, &at, NULL);
	if (code == NULL) {
		pcre2_get_error_message(error, why, sizeof(why));
		stator__problem(l->problems, file,
				(int)get_integer(l, "line"),
				(int)get_integer(l, "col"),
				"CHECK '%s': %s at character %zu", text,
				(char *)why, (size_t)at + 1);
		return NULL;
	}
	STATOR_GROW(def->patterns, def->pattern_count, def->pattern_cap);
	def->patterns[def->pattern_count++] = code;
	return code;
}

static void
load_default(loader *l, stator_checks *checks)
{
	size_t size;
	const char *s;

	lua_getfield(l->L, -1, "default");
	checks->has_default = !lua_isnil(l->L, -1);
	if (lua_isboolean(l->L, -1)) {
		checks->integer = lua_toboolean(l->L, -1);
	} else if (lua_type(l->L, -1) == LUA_TNUMBER) {
		checks->real = lua_tonumber(l->L, -1);
		checks->integer = (int64_t)checks->real;
	} else if (checks->has_default) {
		/* Large integers come as text, so that no digit is lost. */
		s = lua_tolstring(l->L, -1, &size);
		s = stator__arena_str(&l->def->arena, s, size);
		checks->text = stator__slice(s, size);
		checks->integer = strtoll(s, NULL, 10);
		checks->real = strtod(s, NULL);
	}
	lua_pop(l->L, 1);
}

/* The field on top of the stack. Refs and nested types are found later, when
 * all types are there. */
static void
load_field(loader *l, stator_field_spec *spec, const char *file)
{
	stator_checks *checks =
		stator__arena_zero(&l->def->arena, sizeof(*checks));
	const char *kind = get_string(l, "kind");

	spec->name = get_string(l, "name");
	spec->kind = (uint8_t)choose(kind_names, STATOR_COUNT(kind_names), kind);
	spec->required = get_bool(l, "required");
	spec->max = (uint32_t)get_integer(l, "max");
	if (spec->max == 0)
		spec->max = 255;
	checks->pattern_text = get_string(l, "pattern");
	if (checks->pattern_text)
		checks->pattern = compile_pattern(l, checks->pattern_text, file);
	load_default(l, checks);
	checks->file = get_string(l, "file");
	checks->line = (int)get_integer(l, "line");
	checks->col = (int)get_integer(l, "col");
	spec->checks = checks;
}

static stator_field_spec *
load_fields(loader *l, const char *list, size_t *count, const char *file)
{
	stator_field_spec *specs;

	*count = push_list(l, list);
	specs = stator__arena_zero(&l->def->arena,
				   (*count + 1) * sizeof(*specs));
	for (size_t i = 0; i < *count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		load_field(l, &specs[i], file);
		lua_pop(l->L, 1);
	}
	lua_pop(l->L, 1);
	return specs;
}

static int
by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int
by_fields(const void *a, const void *b)
{
	const stator_unique *x = a, *y = b;

	for (uint32_t i = 0; i < x->count && i < y->count; i++)
		if (x->fields[i] != y->fields[i])
			return x->fields[i] < y->fields[i] ? -1 : 1;
	return x->count < y->count ? -1 : x->count > y->count;
}

static const uint32_t *
load_unique_fields(loader *l, const stator_type *type, uint32_t *count)
{
	const char **names;
	uint32_t *fields;
	size_t n;

	names = get_strings(l, "fields", &n);
	fields = stator__arena_zero(&l->def->arena, n * sizeof(*fields));
	for (size_t i = 0; i < n; i++)
		fields[i] = (uint32_t)stator__type_find(type, names[i],
							strlen(names[i]));
	if (n)
		qsort(fields, n, sizeof(*fields), by_number);
	*count = (uint32_t)n;
	return fields;
}

/* Rationale: the index of uniques is kept under their numbers and with their
 * fields in order. Both are those of the table's fields, so that it does not
 * matter in which order a schema has them. */
static void
load_uniques(loader *l, stator_type *type)
{
	size_t count = push_list(l, "uniques");
	stator_unique *uniques = stator__arena_zero(
		&l->def->arena, (count + 2) * sizeof(*uniques));

	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		uniques[i].name = get_string(l, "name");
		uniques[i].fields =
			load_unique_fields(l, type, &uniques[i].count);
		lua_pop(l->L, 1);
	}
	lua_pop(l->L, 1);
	if (count)
		qsort(uniques, count, sizeof(*uniques), by_fields);
	/* A singleton is unique by no field at all. */
	if (stator__type_info(type)->singleton)
		uniques[count++].name = "singleton";
	type->uniques = uniques;
	type->unique_count = (uint32_t)count;
}

static stator_type *
load_type(loader *l)
{
	stator_arena *arena = &l->def->arena;
	const char *name = get_string(l, "name");
	const char *file = get_string(l, "file");
	const char *kind_name = get_string(l, "kind");
	uint32_t kind = choose(type_kind_names, STATOR_COUNT(type_kind_names),
			       kind_name);
	stator_field_spec *specs;
	stator_type_info *info;
	stator_type *type;
	size_t count;

	specs = load_fields(l, "fields", &count, file);
	type = stator__type_make(arena, name, kind, specs, count, 0);
	info = (stator_type_info *)(uintptr_t)type->extra;
	info->abstract = get_bool(l, "abstract");
	info->singleton = get_bool(l, "singleton");
	info->package = get_string(l, "package");
	info->workspace = get_string(l, "workspace");
	info->file = file;
	info->line = (int)get_integer(l, "line");
	info->col = (int)get_integer(l, "col");
	info->partition_key = (uint32_t)get_integer(l, "pk");
	load_uniques(l, type);
	if (kind == STATOR_TYPE_VIEW) {
		specs = load_fields(l, "keys", &count, file);
		info->key = stator__type_make(arena, name, STATOR_TYPE_KEY,
					      specs, count, (uint32_t)count);
	}
	return type;
}

static int
by_id(const void *a, const void *b)
{
	const stator_type *x = *(stator_type *const *)a;
	const stator_type *y = *(stator_type *const *)b;

	return x->id < y->id ? -1 : x->id > y->id;
}

/* Rationale: the hash of a name is its number in stored data, so that it needs
 * no catalogue; two names with one hash are refused here. */
static void
sort_types(loader *l)
{
	stator_def *def = l->def;

	qsort(def->types, def->type_count, sizeof(*def->types), by_id);
	for (size_t i = 1; i < def->type_count; i++)
		if (def->types[i]->id == def->types[i - 1]->id)
			stator__problem(l->problems, "image", 0, 0,
					"%s and %s have the same hash; rename "
					"one of them",
					def->types[i - 1]->name,
					def->types[i]->name);
}

static const stator_type *
find_type(loader *l, const char *name)
{
	return name ? stator__def_type_named(l->def, name) : NULL;
}

/* Second pass over the fields of a list: refs and nested types. */
static void
link_fields(loader *l, const stator_type *type, const char *list)
{
	size_t count = push_list(l, list);
	uint32_t first = type->field_count - (uint32_t)count;

	for (size_t i = 0; i < count; i++) {
		stator_field *f = (stator_field *)(uintptr_t)&type
					  ->fields[first + i];
		stator_checks *checks = (stator_checks *)(uintptr_t)f->checks;
		const char **names;

		lua_rawgeti(l->L, -1, (int)i + 1);
		f->rows = find_type(l, get_string(l, "rows"));
		names = get_strings(l, "refs", &checks->ref_count);
		checks->refs = stator__arena_zero(
			&l->def->arena,
			(checks->ref_count + 1) * sizeof(*checks->refs));
		for (size_t k = 0; k < checks->ref_count; k++)
			checks->refs[k] = find_type(l, names[k]);
		lua_pop(l->L, 1);
	}
	lua_pop(l->L, 1);
}

static stator_type *
event_type(stator_arena *arena)
{
	static const stator_field_spec fields[STATOR_EVENT_COUNT] = {
		[STATOR_EVENT_WLOG_OFFSET] = {"WLogOffset", STATOR_INT64},
		[STATOR_EVENT_WORKSPACE] = {"Workspace", STATOR_INT64},
		[STATOR_EVENT_REGISTERED_AT] = {"RegisteredAt", STATOR_INT64},
		[STATOR_EVENT_SYNCED_AT] = {"SyncedAt", STATOR_INT64},
		[STATOR_EVENT_DEVICE_ID] = {"DeviceID", STATOR_INT64},
		[STATOR_EVENT_OFFSET] = {"Offset", STATOR_INT64},
		[STATOR_EVENT_SYNCED] = {"Synced", STATOR_BOOL},
		[STATOR_EVENT_QNAME] = {"QName", STATOR_QNAME},
		[STATOR_EVENT_ERROR] = {"Error", STATOR_ROW},
		[STATOR_EVENT_ARGUMENT] = {"ArgumentObject", STATOR_ROW},
		[STATOR_EVENT_CUDS] = {"CUDs", STATOR_ROWS},
	};

	return stator__type_make(arena, "sys.Event", STATOR_TYPE_STORAGE,
				 fields, STATOR_EVENT_COUNT, 0);
}

static void
load_types(loader *l)
{
	stator_def *def = l->def;
	size_t count = push_list(l, "types");

	def->types = stator__arena_zero(&def->arena,
					(count + 1) * sizeof(*def->types));
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		def->types[def->type_count++] = load_type(l);
		lua_pop(l->L, 1);
	}
	sort_types(l);
	for (size_t i = 0; i < count; i++) {
		const stator_type *type;

		lua_rawgeti(l->L, -1, (int)i + 1);
		type = find_type(l, get_string(l, "name"));
		link_fields(l, type, "fields");
		if (stator__type_info(type)->key)
			link_fields(l, stator__type_info(type)->key, "keys");
		lua_pop(l->L, 1);
	}
	lua_pop(l->L, 1);
	def->raw = stator__def_type_named(def, "sys.Raw");
	def->event = event_type(&def->arena);
}

/* Extensions and storages --------------------------------------------- */

static const stator_type *
load_arg(loader *l, const char *name)
{
	const char *type = get_string(l, name);

	if (type && strcmp(type, "any") == 0)
		return l->def->raw;
	return find_type(l, type);
}

static stator_storage_ref *
load_refs(loader *l, const char *list, size_t *count)
{
	stator_storage_ref *refs;

	*count = push_list(l, list);
	refs = stator__arena_zero(&l->def->arena, (*count + 1) * sizeof(*refs));
	for (size_t i = 0; i < *count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		refs[i].storage = get_string(l, "storage");
		refs[i].entities =
			get_strings(l, "entities", &refs[i].entity_count);
		lua_pop(l->L, 1);
	}
	lua_pop(l->L, 1);
	return refs;
}

static void
load_trigger(loader *l, stator_trigger *trigger)
{
	static const char *const ops[] = {"EXECUTE", "", "INSERT", "UPDATE",
					  "ACTIVATE", "DEACTIVATE"};
	const char **names;
	size_t count;

	names = get_strings(l, "ops", &count);
	for (size_t i = 0; i < count; i++)
		trigger->ops |= 1u << choose(ops, STATOR_COUNT(ops), names[i]);
	if (get_bool(l, "with_param"))
		trigger->ops = STATOR_ON_PARAM;
	names = get_strings(l, "names", &trigger->count);
	trigger->ids = stator__arena_alloc(
		&l->def->arena, (trigger->count + 1) * sizeof(uint32_t));
	for (size_t i = 0; i < trigger->count; i++)
		trigger->ids[i] = stator__hash(names[i], strlen(names[i]));
}

static void
load_triggers(loader *l, stator_ext *ext)
{
	ext->trigger_count = push_list(l, "triggers");
	ext->triggers = stator__arena_zero(
		&l->def->arena,
		(ext->trigger_count + 1) * sizeof(*ext->triggers));
	for (size_t i = 0; i < ext->trigger_count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		load_trigger(l, &ext->triggers[i]);
		lua_pop(l->L, 1);
	}
	lua_pop(l->L, 1);
}

static uint32_t
package_index(const stator_def *def, const char *name)
{
	uint32_t i = 0;

	while (strcmp(def->packages[i].name, name) != 0)
		i++;
	return i;
}

static void
load_schedule(loader *l, stator_ext *ext)
{
	stator_error err;

	ext->cron = get_string(l, "cron");
	if (ext->cron &&
	    stator__cron_parse(&ext->schedule, ext->cron, &err))
		stator__problem(l->problems, ext->file,
				(int)get_integer(l, "cron_line"),
				(int)get_integer(l, "cron_col"),
				"cron '%s': %s", ext->cron, err.msg);
}

static void
load_ext(loader *l, stator_ext *ext)
{
	static const char *const ext_kinds[] = {[STATOR_COMMAND] = "COMMAND",
						[STATOR_QUERY] = "QUERY",
						[STATOR_PROJECTOR] = "PROJECTOR",
						[STATOR_JOB] = "JOB"};
	const char *kind = get_string(l, "kind");
	char *engine = (char *)(uintptr_t)get_string(l, "engine");

	ext->name = get_string(l, "name");
	ext->local = strchr(ext->name, '.') + 1;
	ext->id = stator__hash(ext->name, strlen(ext->name));
	ext->kind = choose(ext_kinds, STATOR_COUNT(ext_kinds), kind);
	ext->package = package_index(l->def, get_string(l, "package"));
	for (char *p = engine; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	ext->engine = engine;
	ext->sync = get_bool(l, "sync");
	ext->errors = get_bool(l, "errors");
	ext->arg = load_arg(l, "arg");
	ext->unlogged = load_arg(l, "unlogged");
	ext->result = load_arg(l, "result");
	ext->state = load_refs(l, "state", &ext->state_count);
	ext->intents = load_refs(l, "intents", &ext->intent_count);
	load_triggers(l, ext);
	ext->workspace = get_string(l, "workspace");
	ext->file = get_string(l, "file");
	ext->line = (int)get_integer(l, "line");
	ext->col = (int)get_integer(l, "col");
	load_schedule(l, ext);
}

static uint32_t
load_scope(loader *l, const char *op)
{
	static const char *const names[] = {"", "COMMANDS", "QUERIES",
					    "PROJECTORS", "JOBS"};
	const char **scopes;
	uint32_t mask = 0;
	size_t count;

	scopes = get_strings(l, op, &count);
	for (size_t i = 0; i < count; i++)
		mask |= 1u << choose(names, STATOR_COUNT(names), scopes[i]) >> 1;
	return mask;
}

static void
load_storage(loader *l, stator_storage_decl *decl)
{
	static const char *const ops[] = {"GET", "GETBATCH", "READ", "INSERT",
					  "UPDATE"};
	static const char *const entities[] = {"", "RECORD", "VIEW"};
	const char *engine = get_string(l, "engine");

	decl->name = get_string(l, "name");
	decl->package = get_string(l, "package");
	decl->plugin = engine && strcmp(engine, "PLUGIN") == 0;
	decl->entity = choose(entities, STATOR_COUNT(entities),
			      get_string(l, "entity"));
	decl->config = get_string(l, "config");
	decl->file = get_string(l, "file");
	decl->line = (int)get_integer(l, "line");
	decl->col = (int)get_integer(l, "col");
	lua_getfield(l->L, -1, "ops");
	for (size_t i = 0; i < STATOR_OP_COUNT; i++)
		decl->scopes[i] = load_scope(l, ops[i]);
	lua_pop(l->L, 1);
}

static int
ext_by_id(const void *a, const void *b)
{
	const stator_ext *const *x = a, *const *y = b;

	return ((*x)->id > (*y)->id) - ((*x)->id < (*y)->id);
}

/* Those that are looked for while commands run. */
static void
index_exts(stator_def *def)
{
	size_t size = (def->ext_count + 1) * sizeof(*def->exts_by_id);

	def->exts_by_id = stator__arena_alloc(&def->arena, size);
	def->sync = stator__arena_alloc(&def->arena, size);
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];

		def->exts_by_id[i] = ext;
		if (ext->kind == STATOR_PROJECTOR && ext->sync)
			def->sync[def->sync_count++] = ext;
	}
	qsort(def->exts_by_id, def->ext_count, sizeof(*def->exts_by_id),
	      ext_by_id);
}

static void
load_lists(loader *l)
{
	stator_def *def = l->def;
	size_t count = push_list(l, "extensions");

	def->exts = stator__arena_zero(&def->arena,
				       (count + 1) * sizeof(*def->exts));
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		def->exts[i].index = (uint32_t)i;
		load_ext(l, &def->exts[i]);
		lua_pop(l->L, 1);
	}
	def->ext_count = count;
	index_exts(def);
	lua_pop(l->L, 1);
	count = push_list(l, "storages");
	def->storages = stator__arena_zero(
		&def->arena, (count + 1) * sizeof(*def->storages));
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		load_storage(l, &def->storages[i]);
		lua_pop(l->L, 1);
	}
	def->storage_count = count;
	lua_pop(l->L, 1);
}

static void
load_workspaces(loader *l)
{
	stator_def *def = l->def;
	size_t count = push_list(l, "workspaces");

	def->workspaces = stator__arena_zero(
		&def->arena, (count + 1) * sizeof(*def->workspaces));
	for (size_t i = 0; i < count; i++) {
		stator_workspace *w = &def->workspaces[i];

		lua_rawgeti(l->L, -1, (int)i + 1);
		w->name = get_string(l, "name");
		w->descriptor = get_string(l, "descriptor");
		w->has = get_strings(l, "has", &w->has_count);
		lua_pop(l->L, 1);
	}
	def->workspace_count = count;
	lua_pop(l->L, 1);
	def->kinds_matter = get_bool(l, "kinds_matter");
	stator__kinds_find(def);
}

static void
load_packages(loader *l)
{
	stator_def *def = l->def;
	size_t count = push_list(l, "packages");

	def->packages = stator__arena_zero(
		&def->arena, (count + 1) * sizeof(*def->packages));
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		def->packages[i].path = get_string(l, "path");
		def->packages[i].name = get_string(l, "name");
		lua_pop(l->L, 1);
	}
	def->package_count = count;
	lua_pop(l->L, 1);
	lua_getfield(l->L, -1, "application");
	if (lua_istable(l->L, -1))
		def->app = get_string(l, "name");
	lua_pop(l->L, 1);
}

/* Running the analysis ------------------------------------------------- */

static void
push_source(lua_State *L, int at, const char *path, const char *package,
	    stator_slice text)
{
	lua_newtable(L);
	lua_pushstring(L, path);
	lua_setfield(L, -2, "path");
	lua_pushstring(L, package);
	lua_setfield(L, -2, "package");
	lua_pushlstring(L, text.data ? text.data : "", text.size);
	lua_setfield(L, -2, "text");
	lua_rawseti(L, -2, at);
}

static void
push_sources(lua_State *L, const stator_source *sources, size_t count)
{
	const stator_embedded *sys = stator__embedded("sys.vsql");

	lua_newtable(L);
	push_source(L, 1, "sys.vsql", "sys", stator__slice(sys->data, sys->size));
	for (size_t i = 0; i < count; i++)
		push_source(L, (int)i + 2, sources[i].path, sources[i].package,
			    sources[i].text);
}

static void
report(loader *l)
{
	size_t count = lua_objlen(l->L, -1);

	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(l->L, -1, (int)i + 1);
		stator__problem(l->problems, get_string(l, "file"),
				(int)get_integer(l, "line"),
				(int)get_integer(l, "col"), "%s",
				get_string(l, "message"));
		lua_pop(l->L, 1);
	}
}

static void
compile(loader *l, const stator_source *sources, size_t count)
{
	lua_State *L = l->L;

	luaL_openlibs(L);
	stator__embed_require(L);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	lua_pushcfunction(L, luaopen_lpeg);
	lua_setfield(L, -2, "lpeg");
	lua_getglobal(L, "require");
	lua_pushstring(L, "stator.schema");
	if (lua_pcall(L, 1, 1, 0) == 0) {
		lua_getfield(L, -1, "compile");
		push_sources(L, sources, count);
		if (lua_pcall(L, 1, 2, 0) == 0) {
			if (lua_istable(L, -1)) {
				report(l);
				return;
			}
			lua_pop(L, 1);
			load_packages(l);
			load_types(l);
			load_lists(l);
			load_workspaces(l);
			return;
		}
	}
	stator__problem(l->problems, "image", 0, 0,
			"the schema compiler failed: %s",
			lua_tostring(L, -1));
}

stator_def *
stator__def_compile(const stator_source *sources, size_t count,
		    stator_problems *problems)
{
	stator_def *def = stator__alloc(sizeof(*def));
	size_t before = problems->count;
	loader l = {luaL_newstate(), def, problems};

	compile(&l, sources, count);
	lua_close(l.L);
	if (problems->count > before) {
		stator__def_free(def);
		return NULL;
	}
	return def;
}

void
stator__def_free(stator_def *def)
{
	if (def == NULL)
		return;
	for (size_t i = 0; i < def->pattern_count; i++)
		pcre2_code_free(def->patterns[i]);
	free(def->patterns);
	stator__arena_free(&def->arena);
	free(def);
}

const stator_type *
stator__def_type(const stator_def *def, uint32_t id)
{
	size_t low = 0, high = def->type_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (def->types[mid]->id == id)
			return def->types[mid];
		if (id < def->types[mid]->id)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const stator_type *
stator__def_type_named(const stator_def *def, const char *name)
{
	return stator__def_type(def, stator__hash(name, strlen(name)));
}

const stator_ext *
stator__def_ext(const stator_def *def, uint32_t id)
{
	size_t low = 0, high = def->ext_count;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const stator_ext *ext = def->exts_by_id[mid];

		if (ext->id == id)
			return ext;
		if (id < ext->id)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}
