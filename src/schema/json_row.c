/*
 * json_row.c: JSON to rows and back. Strict on the way in: what does not fit
 * is refused with the path of the value; nothing is rounded or dropped.
 */
#include <stdlib.h>

#include "schema/schema.h"

static void
write_key(stator_buf *out, const stator_path *path)
{
	stator_arena arena = {0};

	stator__buf_format(out, ": %s %s", path->what,
			   stator__row_show(&arena, path->key));
	stator__arena_free(&arena);
}

static void
write_path(stator_buf *out, const stator_path *path)
{
	if (path->up)
		write_path(out, path->up);
	if (path->name == NULL)
		stator__buf_format(out, "[%zu]", path->index);
	else
		stator__buf_format(out, "%s%s", path->up ? "." : "",
				   path->name);
	if (path->key)
		write_key(out, path);
}

int
stator__path_fail(const stator_path *path, stator_error *err, int code,
		  const char *format, ...)
{
	stator_buf text = {0};
	va_list args;

	va_start(args, format);
	stator__vfail(err, code, format, args);
	va_end(args);
	write_path(&text, path);
	stator__wrap(err, "%.*s", (int)text.size, (char *)text.data);
	free(text.data);
	return code;
}

/* What the recursion carries along. */
typedef struct decoder {
	stator_arena *arena;
	const stator_json_opts *opts;
	stator_error *err;
	bool secret; /* the field that is read is one */
} decoder;

static int decode_object(decoder *d, const stator_type *type,
			 const stator_json *json, const stator_path *path,
			 stator_row *out);

static int
expected(decoder *d, const stator_path *path, const char *what,
	 const stator_json *json)
{
	return stator__path_fail(path, d->err, STATOR_VALIDATION,
				 "expected %s, found %s", what,
				 d->secret ? "***"
					   : stator__json_show(d->arena, json));
}

/* Puts the path before what a builder has said. */
static int
built(decoder *d, const stator_path *path, int code)
{
	stator_error said;

	if (STATOR_LIKELY(code == STATOR_OK))
		return code;
	said = *d->err;
	return stator__path_fail(path, d->err, code, "%s", said.msg);
}

static int
decode_rows(decoder *d, stator_builder *b, uint32_t i, const stator_json *json,
	    const stator_path *path)
{
	const stator_field *f = &b->type->fields[i];
	stator_row *rows;
	size_t n = 0;
	int code;

	if (json->kind != STATOR_JSON_ARRAY)
		return expected(d, path, "an array", json);
	rows = stator__arena_alloc(d->arena, json->count * sizeof(*rows) + 1);
	for (const stator_json *c = json->first; c; c = c->next, n++) {
		stator_path at = {.up = path, .index = n};

		code = decode_object(d, f->rows, c, &at, &rows[n]);
		if (code)
			return code;
	}
	return built(d, path,
		     stator__build_rows(b, i, rows, (uint32_t)n, d->err));
}

static int
decode_bytes(decoder *d, stator_builder *b, uint32_t i,
	     const stator_json *json, const stator_path *path)
{
	uint8_t *data = stator__arena_alloc(d->arena, json->text.size + 1);
	long size = stator__base64_decode(data, json->text.data,
					  json->text.size);

	if (size < 0)
		return expected(d, path, "bytes as base64", json);
	return built(d, path,
		     stator__build_bytes(b, i,
					 stator__slice(data, (size_t)size),
					 d->err));
}

static int
decode_integer(decoder *d, stator_builder *b, uint32_t i,
	       const stator_json *json, const stator_path *path)
{
	uint8_t kind = b->type->fields[i].kind;
	const char *what = kind == STATOR_REF ? "a record ID"
					      : stator__kind_name(kind);
	int64_t n;

	if (json->kind != STATOR_JSON_NUMBER || !stator__json_int(json, &n))
		return expected(d, path, what, json);
	return built(d, path, stator__build_int(b, i, n, d->err));
}

static int
decode_float(decoder *d, stator_builder *b, uint32_t i,
	     const stator_json *json, const stator_path *path)
{
	double v;

	if (json->kind != STATOR_JSON_NUMBER || !stator__json_double(json, &v))
		return expected(d, path,
				stator__kind_name(b->type->fields[i].kind),
				json);
	return built(d, path, stator__build_float(b, i, v, d->err));
}

static int
decode_value(decoder *d, stator_builder *b, uint32_t i,
	     const stator_json *json, const stator_path *path)
{
	uint8_t kind = b->type->fields[i].kind;

	d->secret = b->type->fields[i].secret;
	switch (kind) {
	case STATOR_ROWS:
		return decode_rows(d, b, i, json, path);
	case STATOR_BOOL:
		if (json->kind != STATOR_JSON_BOOL)
			return expected(d, path, "bool", json);
		return stator__build_int(b, i, json->boolean, d->err);
	case STATOR_FLOAT32:
	case STATOR_FLOAT64:
		return decode_float(d, b, i, json, path);
	case STATOR_STRING:
	case STATOR_QNAME:
	case STATOR_BYTES:
		if (json->kind != STATOR_JSON_STRING)
			return expected(d, path, stator__kind_name(kind), json);
		if (kind == STATOR_BYTES)
			return decode_bytes(d, b, i, json, path);
		return built(d, path,
			     stator__build_bytes(b, i, json->text, d->err));
	default:
		return decode_integer(d, b, i, json, path);
	}
}

/* Members mostly come in the order of the fields: try the next one first. */
static int
find_field(const stator_type *type, const stator_json *member, uint32_t next)
{
	int i;

	if (next < type->field_count &&
	    stator__slice_is(member->name, type->fields[next].name))
		return (int)next;
	i = stator__type_find(type, member->name.data, member->name.size);
	if (i == STATOR_SYS_IS_NEW && stator__type_is_record(type))
		return -1;
	return i;
}

static int
unknown_field(decoder *d, const stator_type *type, const stator_json *member,
	      const stator_path *path)
{
	stator_error text;

	stator__fail(&text, STATOR_VALIDATION, "%s has no such field",
		     type->name);
	stator__type_guess(type, member->name.data, member->name.size, &text);
	return stator__path_fail(path, d->err, STATOR_VALIDATION, "%s",
				 text.msg);
}

/* sys.QName may be said again, if it says the same. */
static int
check_qname(decoder *d, const stator_type *type, const stator_json *member,
	    const stator_path *path)
{
	if (member->kind == STATOR_JSON_STRING &&
	    stator__slice_is(member->text, type->name))
		return STATOR_OK;
	return expected(d, path, type->name, member);
}

static int
decode_member(decoder *d, stator_builder *b, const stator_json *member,
	      const stator_path *up, uint32_t *next)
{
	const stator_type *type = b->type;
	stator_path path = {
		.up = up,
		.name = stator__arena_str(d->arena, member->name.data,
					      member->name.size)};
	int i;

	if (stator__type_is_record(type) &&
	    stator__slice_is(member->name, "sys.QName"))
		return check_qname(d, type, member, &path);
	i = find_field(type, member, *next);
	if (i < 0)
		return unknown_field(d, type, member, &path);
	*next = (uint32_t)i + 1;
	if (member->kind == STATOR_JSON_NULL)
		return STATOR_OK;
	if (stator__build_has(b, (uint32_t)i))
		return stator__path_fail(&path, d->err, STATOR_VALIDATION,
					 "given twice");
	if (type->fields[i].kind == STATOR_ROWS && stator__type_is_stored(type))
		return stator__path_fail(
			&path, d->err, STATOR_VALIDATION,
			"a nested record is a CUD of its own, with "
			"sys.ParentID and sys.Container");
	return decode_value(d, b, (uint32_t)i, member, &path);
}

static int
complete_object(decoder *d, stator_builder *b, const stator_path *path)
{
	const stator_type *type = b->type;

	if (d->opts->partial)
		return STATOR_OK;
	for (uint32_t i = 0; i < type->field_count; i++) {
		const stator_field *f = &type->fields[i];
		stator_path at = {.up = path, .name = f->name};

		if (stator__build_has(b, i) || stator__build_default(b, i))
			continue;
		if (f->required)
			return stator__path_fail(&at, d->err, STATOR_VALIDATION,
						 "missing, it is NOT NULL");
	}
	return STATOR_OK;
}

static int
decode_object(decoder *d, const stator_type *type, const stator_json *json,
	      const stator_path *path, stator_row *out)
{
	stator_builder b;
	uint32_t next = 0;
	int code;

	if (json->kind != STATOR_JSON_OBJECT)
		return expected(d, path, "an object", json);
	stator__build(&b, d->arena, type);
	/* The parent's ID comes before those of its rows. */
	if (stator__type_is_record(type) && d->opts->next_raw_id &&
	    stator__json_get(json, "sys.ID") == NULL)
		stator__build_int(&b, STATOR_SYS_ID, (*d->opts->next_raw_id)++,
				  d->err);
	for (const stator_json *m = json->first; m; m = m->next) {
		code = decode_member(d, &b, m, path, &next);
		if (code)
			return code;
	}
	code = complete_object(d, &b, path);
	*out = stator__build_done(&b);
	return code;
}

int
stator__row_from_json(stator_arena *arena, const stator_type *type,
		      const stator_json *json, const stator_path *path,
		      const stator_json_opts *opts, stator_row *out,
		      stator_error *err)
{
	decoder d = {arena, opts, err, false};

	return decode_object(&d, type, json, path, out);
}

/* Writing ------------------------------------------------------------- */

static void
encode_rows(stator_json_out *out, const stator_def *def, const stator_row *row,
	    uint32_t i, int flags)
{
	bool many = row->type->fields[i].kind == STATOR_ROWS;
	uint32_t count = stator__row_count(row, i);
	stator_row child;

	if (many)
		stator__json_begin(out, '[');
	for (uint32_t k = 0; k < count; k++)
		if (stator__row_child(def, row, i, k, &child))
			stator__row_to_json(out, def, &child, flags);
	if (many)
		stator__json_end(out, ']');
}

static void
encode_texts(stator_json_out *out, const stator_row *row, uint32_t i)
{
	uint32_t count = stator__row_count(row, i);
	stator_slice text;

	stator__json_begin(out, '[');
	for (uint32_t k = 0; k < count; k++)
		if (stator__row_text(row, i, k, &text))
			stator__json_string(out, text.data, text.size);
	stator__json_end(out, ']');
}

static void
encode_value(stator_json_out *out, const stator_def *def,
	     const stator_row *row, uint32_t i)
{
	const stator_field *f = &row->type->fields[i];
	stator_slice text;
	int64_t n;
	double v;

	if (f->kind == STATOR_ROWS || f->kind == STATOR_ROW) {
		encode_rows(out, def, row, i, STATOR_JSON_BARE);
	} else if (f->kind == STATOR_TEXTS) {
		encode_texts(out, row, i);
	} else if (stator__row_bytes(row, i, &text)) {
		if (f->kind == STATOR_BYTES)
			stator__json_base64(out, text.data, text.size);
		else
			stator__json_string(out, text.data, text.size);
	} else if (stator__row_float(row, i, &v)) {
		stator__json_number(out, v, f->kind == STATOR_FLOAT32);
	} else if (stator__row_int(row, i, &n)) {
		if (f->kind == STATOR_BOOL)
			stator__json_boolean(out, n != 0);
		else
			stator__json_integer(out, n);
	}
}

/* Rationale: an active record is the rule; only the exception is shown. */
static bool
shown(const stator_row *row, uint32_t i, int flags)
{
	int64_t active;

	if (!stator__type_is_record(row->type))
		return true;
	if (i == STATOR_SYS_ID)
		return !(flags & STATOR_JSON_NO_ID);
	if (i == STATOR_SYS_ACTIVE)
		return stator__row_int(row, i, &active) && !active;
	return true;
}

void
stator__row_to_json(stator_json_out *out, const stator_def *def,
		    const stator_row *row, int flags)
{
	stator__json_begin(out, '{');
	for (uint32_t i = 0; i < row->type->field_count; i++) {
		const stator_field *f = &row->type->fields[i];

		if (stator__row_at(row, f) && shown(row, i, flags)) {
			stator__json_name(out, f->name);
			encode_value(out, def, row, i);
		}
		if (i == STATOR_SYS_ID && (flags & STATOR_JSON_QNAME)) {
			stator__json_name(out, "sys.QName");
			stator__json_cstring(out, row->type->name);
		}
	}
	stator__json_end(out, '}');
}
