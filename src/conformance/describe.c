/*
 * describe.c: what a plugin says of itself, for people and for programs.
 */
#include <stdio.h>
#include <stdlib.h>

#include "registry/registry.h"
#include "stator.h"

static const char *const op_names[STATOR_OP_COUNT] = {
	"GET", "GETBATCH", "READ", "INSERT", "UPDATE"};
static const char *const scope_names[] = {"COMMANDS", "QUERIES", "PROJECTORS",
					  "JOBS"};
static const char *const entity_names[] = {"none", "record", "view"};

typedef struct writer {
	stator_on_reply on_line;
	void *ctx;
	stator_buf line;
	int name_width; /* of the fields of a storage */
} writer;

static void
end_line(writer *w)
{
	while (w->line.size && w->line.data[w->line.size - 1] == ' ')
		w->line.size--;
	if (w->on_line)
		w->on_line(w->ctx,
			   w->line.size ? (const char *)w->line.data : "",
			   w->line.size);
	w->line.size = 0;
}

static const char *
or_empty(const char *s)
{
	return s ? s : "";
}

static bool
is_text(uint8_t kind)
{
	return kind == STATOR_STRING || kind == STATOR_BYTES ||
	       kind == STATOR_TEXTS;
}

static uint32_t
max_of(const stator_field_desc *f)
{
	return f->max ? f->max : 65535;
}

/* For people -------------------------------------------------------------- */

static void
print_kind(writer *w, const stator_field_desc *f)
{
	char kind[40];

	if (is_text(f->kind))
		snprintf(kind, sizeof(kind), "%s(%u)",
			 stator__kind_name(f->kind), max_of(f));
	else
		snprintf(kind, sizeof(kind), "%s", stator__kind_name(f->kind));
	stator__buf_format(&w->line, " %-16s", kind);
}

static void
print_fields(writer *w, const char *what, const stator_field_desc *fields,
	     size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const stator_field_desc *f = &fields[i];

		stator__buf_format(&w->line, "    %-8s %-*s", i ? "" : what,
				   w->name_width, f->name);
		print_kind(w, f);
		stator__buf_format(&w->line, " %-8s %s",
				   f->required ? "required" : "",
				   or_empty(f->help));
		if (f->preset)
			stator__buf_format(&w->line, " (%s unless given)",
					   f->secret ? "***" : f->preset);
		if (f->secret)
			stator__buf_str(&w->line, " (secret)");
		end_line(w);
	}
}

static void
print_scopes(writer *w, uint32_t scopes)
{
	const char *separator = "";

	for (size_t i = 0; i < STATOR_COUNT(scope_names); i++)
		if (scopes & 1u << i) {
			stator__buf_format(&w->line, "%s%s", separator,
					   scope_names[i]);
			separator = ", ";
		}
}

static void
widen(writer *w, const stator_field_desc *fields, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if ((int)strlen(fields[i].name) > w->name_width)
			w->name_width = (int)strlen(fields[i].name);
}

/* As it is declared in a schema, but for what stands behind it. */
static void
print_storage(writer *w, const stator_storage *s)
{
	stator__buf_format(&w->line, "  %-16s %s", s->name, or_empty(s->help));
	end_line(w);
	if (s->entity != STATOR_ENTITY_NONE) {
		stator__buf_format(&w->line, "    entity   %s",
				   entity_names[s->entity]);
		end_line(w);
	}
	for (int op = 0; op < STATOR_OP_COUNT; op++) {
		if (s->scopes[op] == 0)
			continue;
		stator__buf_format(&w->line, "    %-8s SCOPE(", op_names[op]);
		print_scopes(w, s->scopes[op]);
		stator__buf_str(&w->line, ")");
		end_line(w);
	}
	if (s->call_ms) {
		stator__buf_format(&w->line, "    a call   %u ms at most",
				   s->call_ms);
		end_line(w);
	}
	if (s->undeclared) {
		stator__buf_str(&w->line, "    without STATE or INTENTS: ");
		print_scopes(w, s->undeclared);
		end_line(w);
	}
	w->name_width = 8;
	widen(w, s->key_fields, s->key_field_count);
	widen(w, s->value_fields, s->value_field_count);
	widen(w, s->config_fields, s->config_field_count);
	print_fields(w, "key", s->key_fields, s->key_field_count);
	print_fields(w, "value", s->value_fields, s->value_field_count);
	print_fields(w, "config", s->config_fields, s->config_field_count);
}

static void
print_plugin(writer *w, const stator_plugin *p, const char *file)
{
	stator__buf_format(&w->line, "%s %s  %s", p->name, p->version, file);
	end_line(w);
	stator__buf_format(&w->line, "  %s; ABI %u.%u%s",
			   or_empty(p->description), p->abi >> 16,
			   p->abi & 0xffff,
			   p->flags & STATOR_CONCURRENT ? ", concurrent" : "");
	end_line(w);
	for (size_t i = 0; i < p->storage_count; i++) {
		end_line(w);
		print_storage(w, p->storages[i]);
	}
}

/* For programs ------------------------------------------------------------ */

static void
member(stator_json_out *out, const char *name, const char *value)
{
	if (value == NULL)
		return;
	stator__json_name(out, name);
	stator__json_cstring(out, value);
}

static void
json_preset(stator_json_out *out, const char *preset)
{
	stator_arena arena = {0};
	stator_json *json;
	stator_error err;

	if (preset && stator__json_parse(&arena, preset, strlen(preset), &json,
					 &err) == STATOR_OK) {
		stator__json_name(out, "default");
		stator__json_tree(out, json);
	}
	stator__arena_free(&arena);
}

static void
json_fields(stator_json_out *out, const char *what,
	    const stator_field_desc *fields, size_t count)
{
	stator__json_name(out, what);
	stator__json_begin(out, '[');
	for (size_t i = 0; i < count; i++) {
		const stator_field_desc *f = &fields[i];

		stator__json_begin(out, '{');
		member(out, "name", f->name);
		member(out, "kind", stator__kind_name(f->kind));
		stator__json_name(out, "required");
		stator__json_boolean(out, f->required != 0);
		if (is_text(f->kind)) {
			stator__json_name(out, "max");
			stator__json_integer(out, max_of(f));
		}
		if (f->secret) {
			stator__json_name(out, "secret");
			stator__json_boolean(out, true);
		} else {
			json_preset(out, f->preset);
		}
		member(out, "help", f->help);
		stator__json_end(out, '}');
	}
	stator__json_end(out, ']');
}

static void
json_scopes(stator_json_out *out, const char *name, uint32_t scopes)
{
	stator__json_name(out, name);
	stator__json_begin(out, '[');
	for (size_t i = 0; i < STATOR_COUNT(scope_names); i++)
		if (scopes & 1u << i)
			stator__json_cstring(out, scope_names[i]);
	stator__json_end(out, ']');
}

static void
json_storage(stator_json_out *out, const stator_storage *s)
{
	stator__json_begin(out, '{');
	member(out, "name", s->name);
	member(out, "help", s->help);
	member(out, "entity", entity_names[s->entity]);
	stator__json_name(out, "call_ms");
	stator__json_integer(out, stator__call_ms(s));
	stator__json_name(out, "operations");
	stator__json_begin(out, '{');
	for (int op = 0; op < STATOR_OP_COUNT; op++)
		if (s->scopes[op])
			json_scopes(out, op_names[op], s->scopes[op]);
	stator__json_end(out, '}');
	json_scopes(out, "undeclared", s->undeclared);
	json_fields(out, "key", s->key_fields, s->key_field_count);
	json_fields(out, "value", s->value_fields, s->value_field_count);
	json_fields(out, "config", s->config_fields, s->config_field_count);
	stator__json_end(out, '}');
}

static void
json_plugin(writer *w, const stator_plugin *p, const char *file)
{
	stator_json_out out = {&w->line, false};

	stator__json_begin(&out, '{');
	member(&out, "file", file);
	member(&out, "name", p->name);
	member(&out, "version", p->version);
	member(&out, "description", p->description);
	stator__json_name(&out, "abi");
	stator__json_begin(&out, '[');
	stator__json_integer(&out, p->abi >> 16);
	stator__json_integer(&out, p->abi & 0xffff);
	stator__json_end(&out, ']');
	stator__json_name(&out, "concurrent");
	stator__json_boolean(&out, (p->flags & STATOR_CONCURRENT) != 0);
	stator__json_name(&out, "storages");
	stator__json_begin(&out, '[');
	for (size_t i = 0; i < p->storage_count; i++)
		json_storage(&out, p->storages[i]);
	stator__json_end(&out, ']');
	stator__json_end(&out, '}');
	end_line(w);
}

int
stator_plugin_describe(const char *file, int as_json, stator_on_reply on_line,
		       void *ctx, stator_error *err)
{
	writer w = {.on_line = on_line, .ctx = ctx};
	const stator_plugin *plugin;
	stator_library *library;
	stator_error local;
	int code = stator__library_open(&library, file ? file : "", NULL,
					err ? err : &local);

	if (code)
		return code;
	plugin = stator__library_plugin(library);
	if (as_json)
		json_plugin(&w, plugin, file);
	else
		print_plugin(&w, plugin, file);
	free(w.line.data);
	stator__library_close(library);
	return STATOR_OK;
}
