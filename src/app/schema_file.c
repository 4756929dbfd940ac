/*
 * schema_file.c: what is written down of a schema beside the data that it
 * rules: schema.json in the application's folder. It holds what stored data
 * and its users depend on, and nothing that a new version may change freely;
 * compat.c compares it with a new version.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/app.h"
#include "app/compat.h"
#include "base/files.h"
#include "base/json.h"

char *
stator__schema_path(const char *folder)
{
	return stator__format("%s/schema.json", folder);
}

bool
stator__is_of_sys(const char *name)
{
	return strncmp(name, "sys.", 4) == 0;
}

bool
stator__is_lengthy(uint32_t kind)
{
	return kind == STATOR_STRING || kind == STATOR_BYTES;
}

static void
write_name(stator_json_out *out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	stator__json_name(out, name);
	stator__json_cstring(out, value);
}

static void
write_flag(stator_json_out *out, const char *name, bool value)
{
	if (!value)
		return;
	stator__json_name(out, name);
	stator__json_boolean(out, true);
}

static void
write_field(stator_json_out *out, const stator_field *f)
{
	stator__json_begin(out, '{');
	write_name(out, "name", f->name);
	write_name(out, "kind", stator__kind_name(f->kind));
	write_flag(out, "required", f->required);
	if (stator__is_lengthy(f->kind)) {
		stator__json_name(out, "max");
		stator__json_integer(out, f->max);
	}
	write_name(out, "rows", f->rows ? f->rows->name : NULL);
	stator__json_end(out, '}');
}

/* Without those that the host adds: they are the same in all versions. */
static void
write_fields(stator_json_out *out, const char *name, const stator_type *type)
{
	stator__json_name(out, name);
	stator__json_begin(out, '[');
	for (uint32_t i = 0; i < type->field_count; i++)
		if (!type->fields[i].system)
			write_field(out, &type->fields[i]);
	stator__json_end(out, ']');
}

static void
write_uniques(stator_json_out *out, const stator_type *type)
{
	stator__json_name(out, "uniques");
	stator__json_begin(out, '[');
	for (uint32_t i = 0; i < type->unique_count; i++) {
		const stator_unique *u = &type->uniques[i];

		if (u->count == 0)
			continue;
		stator__json_begin(out, '[');
		for (uint32_t k = 0; k < u->count; k++)
			stator__json_cstring(out,
					     type->fields[u->fields[k]].name);
		stator__json_end(out, ']');
	}
	stator__json_end(out, ']');
}

static void
write_type(stator_json_out *out, const stator_type *type)
{
	const stator_type_info *info = stator__type_info(type);

	stator__json_begin(out, '{');
	write_name(out, "name", type->name);
	write_name(out, "kind", stator__type_kind_name(type->kind));
	write_flag(out, "singleton", info->singleton);
	write_fields(out, "fields", type);
	if (info->key) {
		write_fields(out, "key", info->key);
		stator__json_name(out, "partitionKey");
		stator__json_integer(out, info->partition_key);
	}
	if (type->unique_count)
		write_uniques(out, type);
	stator__json_end(out, '}');
}

static void
write_types(stator_json_out *out, const stator_def *def)
{
	stator__json_name(out, "types");
	stator__json_begin(out, '[');
	for (size_t i = 0; i < def->type_count; i++)
		if (stator__is_kept_type(def->types[i]))
			write_type(out, def->types[i]);
	stator__json_end(out, ']');
}

static void
write_command(stator_json_out *out, const stator_ext *ext)
{
	stator__json_begin(out, '{');
	write_name(out, "name", ext->name);
	write_name(out, "arg", ext->arg ? ext->arg->name : NULL);
	write_name(out, "unlogged", ext->unlogged ? ext->unlogged->name : NULL);
	write_name(out, "result", ext->result ? ext->result->name : NULL);
	stator__json_end(out, '}');
}

static void
write_projector(stator_json_out *out, const stator_ext *ext)
{
	stator__json_begin(out, '{');
	write_name(out, "name", ext->name);
	write_flag(out, "sync", ext->sync);
	stator__json_name(out, "views");
	stator__json_begin(out, '[');
	for (size_t i = 0; i < ext->intent_count; i++) {
		const stator_storage_ref *ref = &ext->intents[i];

		if (strcmp(ref->storage, "sys.View") != 0)
			continue;
		for (size_t k = 0; k < ref->entity_count; k++)
			stator__json_cstring(out, ref->entities[k]);
	}
	stator__json_end(out, ']');
	stator__json_end(out, '}');
}

static void
write_extensions(stator_json_out *out, const char *name, const stator_def *def,
		 uint32_t kind,
		 void (*write)(stator_json_out *out, const stator_ext *ext))
{
	stator__json_name(out, name);
	stator__json_begin(out, '[');
	for (size_t i = 0; i < def->ext_count; i++)
		if (def->exts[i].kind == kind &&
		    !stator__is_of_sys(def->exts[i].name))
			write(out, &def->exts[i]);
	stator__json_end(out, ']');
}

static void
describe(stator_buf *buf, const stator_version *v)
{
	stator_json_out out = {.buf = buf};

	stator__json_begin(&out, '{');
	stator__json_name(&out, "format");
	stator__json_integer(&out, STATOR_SCHEMA_FORMAT);
	write_name(&out, "version", v->descriptor.version);
	stator__json_name(&out, "packages");
	stator__json_begin(&out, '[');
	for (size_t i = 0; i < v->def->package_count; i++)
		if (strcmp(v->def->packages[i].name, "sys") != 0)
			stator__json_cstring(&out, v->def->packages[i].name);
	stator__json_end(&out, ']');
	write_types(&out, v->def);
	write_extensions(&out, "commands", v->def, STATOR_COMMAND,
			 write_command);
	write_extensions(&out, "projectors", v->def, STATOR_PROJECTOR,
			 write_projector);
	stator__json_end(&out, '}');
	stator__buf_str(buf, "\n");
}

/* What is kept now; empty when nothing is. */
static int
read_kept(const char *path, stator_buf *out, stator_error *err)
{
	stator_arena arena = {0};
	stator_slice text;
	int error = stator__file_read(&arena, path, &text);

	if (error == 0)
		stator__buf_put(out, text.data, text.size);
	stator__arena_free(&arena);
	return error == 0 || error == ENOENT
		       ? STATOR_OK
		       : stator__fail(err, STATOR_IO, "%s: %s", path,
				      strerror(error));
}

bool
stator__schema_kept(const char *folder)
{
	char *path = stator__schema_path(folder);
	bool kept = access(path, F_OK) == 0;

	free(path);
	return kept;
}

int
stator__schema_keep(const stator_version *v, const char *folder,
		    stator_buf *before, stator_error *err)
{
	char *path = stator__schema_path(folder);
	stator_buf text = {NULL, 0, 0};
	int code = read_kept(path, before, err);

	describe(&text, v);
	if (code == STATOR_OK &&
	    !stator__file_replace(path, stator__slice(text.data, text.size)))
		code = stator__fail(err, STATOR_IO, "%s: %s", path,
				    strerror(errno));
	free(text.data);
	free(path);
	return code;
}

void
stator__schema_put_back(const char *folder, const stator_buf *before)
{
	char *path = stator__schema_path(folder);
	bool done = before->size
			    ? stator__file_replace(path,
						   stator__slice(before->data,
								 before->size))
			    : unlink(path) == 0;

	if (!done)
		stator__logf(STATOR_LOG_ERROR, "schema",
			     "%s: %s; it is that of a version that was not "
			     "deployed",
			     path, strerror(errno));
	free(path);
}
