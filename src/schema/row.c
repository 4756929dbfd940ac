/*
 * row.c: reading, making and checking rows.
 *
 * A variable field keeps an offset from the start of the row and a length.
 * Nested rows are one block of bytes: their number, their offsets in the block
 * and the offset of its end, then the rows. Several texts are kept likewise.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <math.h>
#include <pcre2.h>
#include <stdio.h>

#include "schema/schema.h"

/* Reading ------------------------------------------------------------- */

static int64_t
load_int(const uint8_t *p, uint8_t kind)
{
	switch (kind) {
	case STATOR_INT8:
		return (int8_t)*p;
	case STATOR_BOOL:
		return *p;
	case STATOR_INT16:
		return (int16_t)stator__u16(p);
	case STATOR_INT32:
		return (int32_t)stator__u32(p);
	default:
		return (int64_t)stator__u64(p);
	}
}

static bool
is_int_kind(uint8_t kind)
{
	return kind <= STATOR_INT64 || kind == STATOR_BOOL ||
	       kind == STATOR_REF;
}

static bool
is_float_kind(uint8_t kind)
{
	return kind == STATOR_FLOAT32 || kind == STATOR_FLOAT64;
}

static bool
is_text_kind(uint8_t kind)
{
	return kind == STATOR_STRING || kind == STATOR_BYTES ||
	       kind == STATOR_QNAME;
}

/* Fields that hold a block of items. */
static bool
is_rows_kind(uint8_t kind)
{
	return kind == STATOR_ROWS || kind == STATOR_ROW ||
	       kind == STATOR_TEXTS;
}

bool
stator__row_int(const stator_row *row, uint32_t field, int64_t *out)
{
	const stator_field *f = &row->type->fields[field];
	const uint8_t *p = stator__row_at(row, f);

	if (p == NULL || !is_int_kind(f->kind))
		return false;
	*out = load_int(p, f->kind);
	return true;
}

bool
stator__row_float(const stator_row *row, uint32_t field, double *out)
{
	const stator_field *f = &row->type->fields[field];
	const uint8_t *p = stator__row_at(row, f);

	if (p == NULL || !is_float_kind(f->kind))
		return false;
	*out = f->kind == STATOR_FLOAT32 ? (double)stator__f32(p)
					 : stator__f64(p);
	return true;
}

static stator_slice
variable(const stator_row *row, const uint8_t *slot)
{
	return stator__slice(row->data + stator__u32(slot),
			     stator__u32(slot + 4));
}

bool
stator__row_bytes(const stator_row *row, uint32_t field, stator_slice *out)
{
	const stator_field *f = &row->type->fields[field];
	const uint8_t *p = stator__row_at(row, f);

	if (p == NULL || !is_text_kind(f->kind))
		return false;
	*out = variable(row, p);
	return true;
}

uint32_t
stator__row_count(const stator_row *row, uint32_t field)
{
	const stator_field *f = &row->type->fields[field];
	const uint8_t *p = stator__row_at(row, f);

	if (p == NULL || !is_rows_kind(f->kind))
		return 0;
	return stator__u32(variable(row, p).data);
}

/* The bytes of one item of a block. */
static bool
item_at(const stator_row *row, uint32_t field, uint32_t index,
	stator_slice *item)
{
	const uint8_t *block;
	uint32_t from, to;

	if (index >= stator__row_count(row, field))
		return false;
	block = variable(row, row->data + row->type->fields[field].at).data;
	from = stator__u32(block + 4 + 4 * index);
	to = stator__u32(block + 8 + 4 * index);
	*item = stator__slice(block + from, to - from);
	return true;
}

bool
stator__row_text(const stator_row *row, uint32_t field, uint32_t index,
		 stator_slice *text)
{
	return row->type->fields[field].kind == STATOR_TEXTS &&
	       item_at(row, field, index, text);
}

bool
stator__row_child(const stator_def *def, const stator_row *row, uint32_t field,
		  uint32_t index, stator_row *child)
{
	const stator_field *f = &row->type->fields[field];
	stator_slice item;

	if (f->kind == STATOR_TEXTS || !item_at(row, field, index, &item))
		return false;
	child->data = item.data;
	child->size = (uint32_t)item.size;
	child->type = f->rows ? f->rows
			      : stator__def_type(def, stator__u32(child->data));
	return child->type != NULL;
}

static bool
block_sound(const uint8_t *block, uint32_t size, const stator_field *f)
{
	uint32_t count, from;

	if (size < 8)
		return false;
	count = stator__u32(block);
	if (count > size / 4 || 4 * ((uint64_t)count + 2) > size)
		return false;
	from = stator__u32(block + 4);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t to = stator__u32(block + 8 + 4 * i);
		stator_row child = {block + from, to - from, 0, f->rows};

		if (from > to || to > size)
			return false;
		if (f->kind != STATOR_TEXTS && child.size < STATOR_ROW_HEADER)
			return false;
		if (f->rows && !stator__row_sound(&child))
			return false;
		from = to;
	}
	return true;
}

bool
stator__row_sound(const stator_row *row)
{
	uint32_t fixed;

	if (row->size < STATOR_ROW_HEADER)
		return false;
	fixed = stator__u32(row->data + 4);
	if (fixed < STATOR_ROW_HEADER || fixed > row->size)
		return false;
	for (uint32_t i = 0; i < row->type->field_count; i++) {
		const stator_field *f = &row->type->fields[i];
		const uint8_t *p = stator__row_at(row, f);
		uint32_t from, size;

		if (p == NULL)
			continue;
		if ((uint64_t)f->at + 8 > row->size &&
		    !(is_int_kind(f->kind) || is_float_kind(f->kind)))
			return false;
		if (is_int_kind(f->kind) || is_float_kind(f->kind))
			continue;
		from = stator__u32(p);
		size = stator__u32(p + 4);
		if (from > row->size || size > row->size - from)
			return false;
		if (is_rows_kind(f->kind) &&
		    !block_sound(row->data + from, size, f))
			return false;
	}
	return fixed >= row->type->fixed || row->type->field_count > 0;
}

/* Making -------------------------------------------------------------- */

void
stator__build(stator_builder *b, stator_arena *arena, const stator_type *type)
{
	b->arena = arena;
	b->type = type;
	b->size = type->fixed;
	b->cap = type->fixed + 64;
	b->data = stator__arena_zero(arena, b->cap);
	stator__u32_put(b->data, type->id);
	stator__u32_put(b->data + 4, type->fixed);
}

void
stator__build_from(stator_builder *b, stator_arena *arena,
		   const stator_row *row)
{
	/* One of an earlier version has no places for later fields. */
	if (stator__u32(row->data + 4) != row->type->fixed) {
		stator__build(b, arena, row->type);
		for (uint32_t i = 0; i < row->type->field_count; i++)
			stator__build_copy(b, i, row);
		return;
	}
	b->arena = arena;
	b->type = row->type;
	b->size = b->cap = row->size;
	b->data = stator__arena_copy(arena, row->data, row->size);
}

static uint8_t *
slot(stator_builder *b, const stator_field *f)
{
	b->data[f->null_at] |= f->present;
	return b->data + f->at;
}

/* Room for `size` bytes behind the row. */
static uint8_t *
append(stator_builder *b, size_t size)
{
	if (size > b->cap - b->size) {
		uint64_t cap = (uint64_t)b->cap * 2 + size;
		uint8_t *data = stator__arena_alloc(b->arena, cap);

		memcpy(data, b->data, b->size);
		b->data = data;
		b->cap = (uint32_t)cap;
	}
	b->size += (uint32_t)size;
	return b->data + b->size - size;
}

static int
wrong_kind(const stator_field *f, const char *what, stator_error *err)
{
	return stator__fail(err, STATOR_VALIDATION, "expected %s, found %s",
			    stator__kind_name(f->kind), what);
}

/* What was found; of a secret, that there was something. */
static int
wrong_value(const stator_field *f, const char *found, stator_error *err)
{
	return stator__fail(err, STATOR_VALIDATION, "expected %s, found %s",
			    f->kind == STATOR_REF ? "a record ID"
						  : stator__kind_name(f->kind),
			    f->secret ? "***" : found);
}

static bool
int_fits(uint8_t kind, int64_t v)
{
	switch (kind) {
	case STATOR_INT8:
		return v >= INT8_MIN && v <= INT8_MAX;
	case STATOR_INT16:
		return v >= INT16_MIN && v <= INT16_MAX;
	case STATOR_INT32:
		return v >= INT32_MIN && v <= INT32_MAX;
	case STATOR_BOOL:
		return v == 0 || v == 1;
	case STATOR_REF:
		return v > 0;
	default:
		return true;
	}
}

int
stator__build_int(stator_builder *b, uint32_t field, int64_t value,
		  stator_error *err)
{
	const stator_field *f = &b->type->fields[field];
	char found[24];
	uint8_t *p;

	if (is_float_kind(f->kind))
		return stator__build_float(b, field, (double)value, err);
	if (!is_int_kind(f->kind))
		return wrong_kind(f, "an integer", err);
	if (!int_fits(f->kind, value)) {
		snprintf(found, sizeof(found), "%lld", (long long)value);
		return wrong_value(f, found, err);
	}
	p = slot(b, f);
	switch (f->kind) {
	case STATOR_INT8:
	case STATOR_BOOL:
		*p = (uint8_t)value;
		break;
	case STATOR_INT16:
		stator__u16_put(p, (uint16_t)value);
		break;
	case STATOR_INT32:
		stator__u32_put(p, (uint32_t)value);
		break;
	default:
		stator__u64_put(p, (uint64_t)value);
	}
	return STATOR_OK;
}

int
stator__build_float(stator_builder *b, uint32_t field, double value,
		    stator_error *err)
{
	const stator_field *f = &b->type->fields[field];
	char found[24];

	if (!is_float_kind(f->kind))
		return wrong_kind(f, "a float", err);
	if (!isfinite(value) ||
	    (f->kind == STATOR_FLOAT32 && !isfinite((float)value))) {
		snprintf(found, sizeof(found), "%g", value);
		return wrong_value(f, found, err);
	}
	if (f->kind == STATOR_FLOAT32)
		stator__f32_put(slot(b, f), (float)value);
	else
		stator__f64_put(slot(b, f), value);
	return STATOR_OK;
}

static void
put_variable(stator_builder *b, const stator_field *f, const void *data,
	     size_t size)
{
	uint32_t from = b->size;
	uint8_t *p;

	if (size)
		memcpy(append(b, size), data, size);
	p = slot(b, f);
	stator__u32_put(p, from);
	stator__u32_put(p + 4, (uint32_t)size);
}

int
stator__build_bytes(stator_builder *b, uint32_t field, stator_slice value,
		    stator_error *err)
{
	const stator_field *f = &b->type->fields[field];

	if (!is_text_kind(f->kind))
		return wrong_kind(f, "text", err);
	if (stator__field_check(f, value, err))
		return STATOR_VALIDATION;
	put_variable(b, f, value.data, value.size);
	return STATOR_OK;
}

void
stator__build_known(stator_builder *b, uint32_t field, stator_slice value)
{
	put_variable(b, &b->type->fields[field], value.data, value.size);
}

int
stator__build_rows(stator_builder *b, uint32_t field, const stator_row *rows,
		   uint32_t count, stator_error *err)
{
	const stator_field *f = &b->type->fields[field];
	uint64_t size = 4 * ((uint64_t)count + 2);
	uint32_t at, from = b->size;
	uint8_t *p, *block;

	if (!is_rows_kind(f->kind))
		return wrong_kind(f, "nested rows", err);
	for (uint32_t i = 0; i < count; i++)
		size += rows[i].size;
	if (size + b->size > INT32_MAX)
		return stator__fail(err, STATOR_VALIDATION,
				    "a row of more than 2 GiB");
	block = append(b, size);
	stator__u32_put(block, count);
	at = 4 * (count + 2);
	for (uint32_t i = 0; i < count; i++) {
		stator__u32_put(block + 4 + 4 * i, at);
		memcpy(block + at, rows[i].data, rows[i].size);
		at += rows[i].size;
	}
	stator__u32_put(block + 4 + 4 * count, at);
	p = slot(b, f);
	stator__u32_put(p, from);
	stator__u32_put(p + 4, (uint32_t)size);
	return STATOR_OK;
}

void
stator__build_copy(stator_builder *b, uint32_t field, const stator_row *from)
{
	const stator_field *f = &b->type->fields[field];
	const uint8_t *p = stator__row_at(from, f);

	if (p == NULL)
		return;
	if (is_int_kind(f->kind) || is_float_kind(f->kind)) {
		memcpy(slot(b, f), p, stator__kind_width(f->kind));
	} else {
		stator_slice v = variable(from, p);

		put_variable(b, f, v.data, v.size);
	}
}

bool
stator__build_default(stator_builder *b, uint32_t field)
{
	const stator_field *f = &b->type->fields[field];
	const stator_checks *checks = f->checks;

	if (checks == NULL || !checks->has_default)
		return false;
	if (is_float_kind(f->kind))
		stator__build_float(b, field, checks->real, NULL);
	else if (is_text_kind(f->kind))
		stator__build_bytes(b, field, checks->text, NULL);
	else
		stator__build_int(b, field, checks->integer, NULL);
	return true;
}

stator_row
stator__row_with_defaults(stator_arena *arena, const stator_row *row)
{
	const stator_type *type = row->type;
	bool lacks = false;
	stator_builder b;

	for (uint32_t i = 0; i < type->field_count && !lacks; i++) {
		const stator_checks *checks = type->fields[i].checks;

		lacks = checks && checks->has_default &&
			stator__row_at(row, &type->fields[i]) == NULL;
	}
	if (!lacks)
		return *row;
	stator__build(&b, arena, type);
	for (uint32_t i = 0; i < type->field_count; i++)
		if (stator__row_at(row, &type->fields[i]))
			stator__build_copy(&b, i, row);
		else
			stator__build_default(&b, i);
	return stator__build_done(&b);
}

bool
stator__build_has(const stator_builder *b, uint32_t field)
{
	const stator_field *f = &b->type->fields[field];

	return (b->data[f->null_at] & f->present) != 0;
}

stator_row
stator__build_done(stator_builder *b)
{
	stator_row row = {b->data, b->size, 0, b->type};

	return row;
}

/* Whether `over` can be put into a copy of `base`: texts that are there would
 * leave gaps. */
static bool
fits_into(const stator_row *base, const stator_row *over)
{
	if (base->type != over->type)
		return false;
	for (uint32_t i = 0; i < over->type->field_count; i++) {
		const stator_field *f = &over->type->fields[i];

		if (!is_int_kind(f->kind) && !is_float_kind(f->kind) &&
		    stator__row_at(over, f) && stator__row_at(base, f))
			return false;
	}
	return true;
}

stator_row
stator__row_merge(stator_arena *arena, const stator_row *base,
		  const stator_row *over)
{
	bool fits = fits_into(base, over);
	stator_builder b;

	if (fits)
		stator__build_from(&b, arena, base);
	else
		stator__build(&b, arena, over->type);
	for (uint32_t i = 0; i < over->type->field_count; i++)
		if (stator__row_at(over, &over->type->fields[i]))
			stator__build_copy(&b, i, over);
		else if (!fits)
			stator__build_copy(&b, i, base);
	return stator__build_done(&b);
}

void
stator__row_set_int(stator_row *row, uint32_t field, int64_t value)
{
	const stator_field *f = &row->type->fields[field];

	stator__u64_put((uint8_t *)(uintptr_t)row->data + f->at,
			(uint64_t)value);
}

/* Checking ------------------------------------------------------------ */

static bool
matches(const stator_checks *checks, stator_slice value)
{
	pcre2_match_data *match;
	int code;

	match = pcre2_match_data_create(1, NULL);
	code = pcre2_match(checks->pattern, value.size ? value.data : (const void *)"",
			   value.size, 0, PCRE2_NO_UTF_CHECK, match, NULL);
	pcre2_match_data_free(match);
	return code >= 0;
}

int
stator__field_check(const stator_field *f, stator_slice value,
		    stator_error *err)
{
	const stator_checks *checks = f->checks;

	if (f->kind != STATOR_BYTES &&
	    !stator__utf8_valid(value.data, value.size))
		return stator__fail(err, STATOR_VALIDATION,
				    "expected %s, found text that is not UTF-8",
				    stator__kind_name(f->kind));
	if (f->kind == STATOR_QNAME) {
		if (!stator__qname_valid(value.data, value.size) && f->secret)
			return wrong_value(f, "", err);
		if (!stator__qname_valid(value.data, value.size))
			return stator__fail(
				err, STATOR_VALIDATION,
				"expected qname \"package.Name\", found "
				"\"%.*s\"",
				(int)(value.size > 80 ? 80 : value.size),
				value.size ? (const char *)value.data : "");
		return STATOR_OK;
	}
	if (value.size > f->max)
		return stator__fail(err, STATOR_VALIDATION,
				    "expected at most %u bytes, found %zu",
				    f->max, value.size);
	if (checks && checks->pattern && !matches(checks, value))
		return stator__fail(err, STATOR_VALIDATION,
				    "\"%.*s\" does not match '%s'",
				    (int)(value.size > 80 ? 80 : value.size),
				    (const char *)value.data,
				    checks->pattern_text);
	return STATOR_OK;
}

int
stator__row_check(const stator_row *row, stator_error *err)
{
	for (uint32_t i = 0; i < row->type->field_count; i++) {
		const stator_field *f = &row->type->fields[i];
		const uint8_t *p = stator__row_at(row, f);

		if (p == NULL && f->required)
			return stator__fail(err, STATOR_VALIDATION,
					    "%s: missing, it is NOT NULL",
					    f->name);
		if (p && is_text_kind(f->kind) &&
		    stator__field_check(f, variable(row, p), err))
			return stator__wrap(err, "%s", f->name);
	}
	return STATOR_OK;
}
