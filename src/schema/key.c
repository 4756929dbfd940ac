/*
 * key.c: keys whose bytes sort as their fields do. Integers are big endian
 * with the sign bit flipped; floats as IEEE orders them; names end with a
 * zero; the one variable column stands last and raw.
 */
#include <stdlib.h>

#include "schema/schema.h"

static inline void
put_ordered(stator_buf *out, uint64_t bits, int width)
{
	/* The rest of the eight bytes is written over, or not looked at. */
	stator__be64_put(stator__buf_reserve(out, 8), bits << (64 - 8 * width));
	out->size += (size_t)width;
}

/* Negative numbers come first, the larger the magnitude the earlier. */
static uint64_t
order_float(uint64_t bits, int width)
{
	uint64_t sign = 1ull << (width * 8 - 1);

	if (bits == sign) /* -0 and 0 are one key */
		bits = 0;
	return bits & sign ? ~bits : bits | sign;
}

static uint64_t
unorder_float(uint64_t bits, int width)
{
	uint64_t sign = 1ull << (width * 8 - 1);

	return bits & sign ? bits & ~sign : ~bits;
}

static bool
encode_field(stator_buf *out, const stator_row *key, uint32_t i)
{
	const stator_field *f = &key->type->fields[i];
	const uint8_t *p = stator__row_at(key, f);
	stator_slice bytes;
	int64_t n;
	int width;

	if (p == NULL)
		return false;
	switch (f->kind) {
	case STATOR_FLOAT32:
		put_ordered(out, order_float(stator__u32(p), 4), 4);
		break;
	case STATOR_FLOAT64:
		put_ordered(out, order_float(stator__u64(p), 8), 8);
		break;
	case STATOR_BOOL:
		put_ordered(out, *p, 1);
		break;
	case STATOR_STRING:
	case STATOR_BYTES:
	case STATOR_QNAME:
		stator__row_bytes(key, i, &bytes);
		stator__buf_put(out, bytes.data, bytes.size);
		if (f->kind == STATOR_QNAME)
			put_ordered(out, 0, 1);
		break;
	default:
		stator__row_int(key, i, &n);
		width = (int)stator__kind_width(f->kind);
		put_ordered(out, (uint64_t)n ^ 1ull << (width * 8 - 1), width);
	}
	return true;
}

static int
hole(const stator_row *key, uint32_t missing, uint32_t found,
     stator_error *err)
{
	return stator__fail(err, STATOR_EXTENSION_FAILED,
			    "the key has %s but not %s, which comes before it",
			    key->type->fields[found].name,
			    key->type->fields[missing].name);
}

int
stator__key_encode(stator_buf *out, const stator_row *key, bool *complete,
		   stator_error *err)
{
	uint32_t first = key->type->field_count - key->type->key_count;
	uint32_t i = first, end = key->type->field_count;

	while (i < end && encode_field(out, key, i))
		i++;
	*complete = i == end;
	for (uint32_t k = i + 1; k < end; k++)
		if (stator__row_at(key, &key->type->fields[k]))
			return hole(key, i, k, err);
	return STATOR_OK;
}

static uint64_t
get_ordered(const uint8_t *p, int width)
{
	uint64_t v = 0;

	for (int i = 0; i < width; i++)
		v = v << 8 | p[i];
	return v;
}

static int
key_damaged(const stator_type *type, stator_error *err)
{
	return stator__fail(err, STATOR_CORRUPT,
			    "a stored key of %s is too short", type->name);
}

/* Takes one field off the front of `bytes`; false when they are too short. */
static bool
decode_field(stator_builder *b, uint32_t i, stator_slice *bytes)
{
	uint8_t kind = b->type->fields[i].kind;
	const uint8_t *p = bytes->data;
	int width = (int)stator__kind_width(kind);
	size_t used = (size_t)width;

	if (kind == STATOR_STRING || kind == STATOR_BYTES) {
		used = bytes->size;
		stator__build_bytes(b, i, *bytes, NULL);
	} else if (kind == STATOR_QNAME) {
		const uint8_t *end = memchr(p, 0, bytes->size);

		if (end == NULL)
			return false;
		used = (size_t)(end - p) + 1;
		stator__build_bytes(b, i, stator__slice(p, used - 1), NULL);
	} else if (bytes->size < used) {
		return false;
	} else if (kind == STATOR_FLOAT32 || kind == STATOR_FLOAT64) {
		uint64_t bits = unorder_float(get_ordered(p, width), width);
		uint32_t low = (uint32_t)bits;
		double d;
		float f;

		memcpy(&f, &low, sizeof(f));
		memcpy(&d, &bits, sizeof(d));
		stator__build_float(b, i, width == 4 ? (double)f : d, NULL);
	} else {
		uint64_t bits = get_ordered(p, width);

		/* A flipped sign bit is the same as an offset. */
		if (kind != STATOR_BOOL)
			bits -= 1ull << (width * 8 - 1);
		stator__build_int(b, i, (int64_t)bits, NULL);
	}
	bytes->data = p + used;
	bytes->size -= used;
	return true;
}

int
stator__key_decode(stator_arena *arena, const stator_type *type,
		   stator_slice bytes, stator_row *key, stator_error *err)
{
	uint32_t first = type->field_count - type->key_count;
	stator_builder b;

	stator__build(&b, arena, type);
	for (uint32_t i = first; i < type->field_count; i++)
		if (!decode_field(&b, i, &bytes))
			return key_damaged(type, err);
	if (bytes.size)
		return key_damaged(type, err);
	*key = stator__build_done(&b);
	return STATOR_OK;
}

static void
show_field(stator_buf *out, const stator_row *row, uint32_t i)
{
	enum { SHOWN = 40 };
	stator_slice text;
	int64_t n;
	double d;

	if (row->type->fields[i].secret)
		stator__buf_str(out, "***");
	else if (stator__row_int(row, i, &n))
		stator__buf_format(out, "%lld", (long long)n);
	else if (stator__row_float(row, i, &d))
		stator__buf_format(out, "%.14g", d);
	else if (!stator__row_bytes(row, i, &text))
		stator__buf_str(out, "...");
	else if (row->type->fields[i].kind == STATOR_BYTES)
		stator__buf_format(out, "%zu bytes", text.size);
	else
		stator__buf_format(out, "\"%.*s\"%s",
				   text.size > SHOWN ? SHOWN : (int)text.size,
				   (const char *)text.data,
				   text.size > SHOWN ? "..." : "");
}

const char *
stator__row_show(stator_arena *arena, const stator_row *row)
{
	stator_buf out = {0};
	const char *separator = "", *text;

	stator__buf_str(&out, "{");
	for (uint32_t i = 0; i < row->type->field_count; i++) {
		const stator_field *f = &row->type->fields[i];

		if (stator__row_at(row, f) == NULL)
			continue;
		stator__buf_format(&out, "%s%s=", separator, f->name);
		show_field(&out, row, i);
		separator = ", ";
	}
	stator__buf_str(&out, "}");
	text = stator__arena_str(arena, (char *)out.data, out.size);
	free(out.data);
	return text;
}
