/*
 * json.c: see json.h.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <yajl/yajl_parse.h>

#include "base/json.h"

/* Reading: yajl calls back, a stack of open containers is kept here. */

enum { DEPTH_MAX = 128 };

typedef struct container {
	stator_json *node;
	stator_json **next; /* where its next child is hung up */
} container;

typedef struct reader {
	stator_arena *arena;
	stator_slice text; /* in the arena */
	stator_json *root;
	container open[DEPTH_MAX + 1]; /* the first one has the root */
	size_t depth;
	stator_slice name;
	bool too_deep;
	yajl_handle yajl;
} reader;

static stator_json *
add(reader *r, stator_json_kind kind)
{
	stator_json *node = stator__arena_alloc(r->arena, sizeof(*node));
	container *in = &r->open[r->depth];

	*node = (stator_json){.kind = (uint8_t)kind,
			      .end = yajl_get_bytes_consumed(r->yajl),
			      .name = r->name};
	r->name = stator__slice(NULL, 0);
	*in->next = node;
	in->next = &node->next;
	if (in->node)
		in->node->count++;
	return node;
}

/* What has no escapes stays where it is in the text. */
static stator_slice
keep(reader *r, const void *data, size_t size)
{
	size_t at = (size_t)((const char *)data - (const char *)r->text.data);

	if (at < r->text.size)
		return stator__slice(data, size);
	return stator__slice(stator__arena_copy(r->arena, data, size), size);
}

static int
on_null(void *ctx)
{
	add(ctx, STATOR_JSON_NULL);
	return 1;
}

static int
on_boolean(void *ctx, int value)
{
	add(ctx, STATOR_JSON_BOOL)->boolean = value != 0;
	return 1;
}

static int
on_number(void *ctx, const char *text, size_t size)
{
	stator_slice kept = keep(ctx, text, size);

	add(ctx, STATOR_JSON_NUMBER)->text = kept;
	return 1;
}

static int
on_string(void *ctx, const unsigned char *text, size_t size)
{
	stator_slice kept = keep(ctx, text, size);

	add(ctx, STATOR_JSON_STRING)->text = kept;
	return 1;
}

static int
on_name(void *ctx, const unsigned char *text, size_t size)
{
	((reader *)ctx)->name = keep(ctx, text, size);
	return 1;
}

static int
open_container(reader *r, stator_json_kind kind)
{
	stator_json *node;

	if (r->depth == DEPTH_MAX) {
		r->too_deep = true;
		return 0;
	}
	node = add(r, kind);
	r->open[++r->depth] = (container){node, &node->first};
	return 1;
}

static int
on_object(void *ctx)
{
	return open_container(ctx, STATOR_JSON_OBJECT);
}

static int
on_array(void *ctx)
{
	return open_container(ctx, STATOR_JSON_ARRAY);
}

static int
on_close(void *ctx)
{
	((reader *)ctx)->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_object,
	.yajl_map_key = on_name,
	.yajl_end_map = on_close,
	.yajl_start_array = on_array,
	.yajl_end_array = on_close,
};

/* What yajl needs while it reads: here, and in the arena where that is full. */
typedef struct scratch {
	stator_arena *arena;
	size_t used;
	_Alignas(16) char bytes[1024];
} scratch;

static void *
scratch_malloc(void *ctx, size_t size)
{
	scratch *s = ctx;
	size_t need = (size + sizeof(size_t) * 2 + 15) & ~(size_t)15;
	size_t *p = (size_t *)(s->bytes + s->used);

	if (need > sizeof(s->bytes) - s->used)
		p = stator__arena_alloc(s->arena, need);
	else
		s->used += need;
	p[0] = size;
	return p + 2;
}

static void *
scratch_realloc(void *ctx, void *old, size_t size)
{
	void *p = scratch_malloc(ctx, size);

	if (old) {
		size_t had = ((size_t *)old)[-2];

		memcpy(p, old, had < size ? had : size);
	}
	return p;
}

static void
scratch_no_free(void *ctx, void *p)
{
	(void)ctx;
	(void)p;
}

static unsigned long
unit_at(const char *s, const char *end)
{
	char hex[5] = {0};

	if (end - s < 6 || s[0] != '\\' || s[1] != 'u')
		return 0;
	memcpy(hex, s + 2, 4);
	return strtoul(hex, NULL, 16);
}

/*
 * Rationale: yajl turns the half of a surrogate pair into "?", and the text
 * would change on the way in. Here it becomes bytes that are not UTF-8, which
 * whoever wants the text refuses, with its path.
 */
static char *
mark_halves(stator_arena *arena, const char *text, size_t *size)
{
	char *copy = stator__arena_alloc(arena, *size + 1), *out = copy;
	const char *end = text + *size;

	for (const char *p = text; p < end;) {
		unsigned long unit = unit_at(p, end), next;

		if (unit >= 0xd800 && unit <= 0xdfff) {
			next = unit <= 0xdbff ? unit_at(p + 6, end) : 0;
			if (next >= 0xdc00 && next <= 0xdfff) {
				memcpy(out, p, 12);
				out += 12;
				p += 12;
			} else {
				*out++ = (char)0xed;
				*out++ = (char)(0x80 | (unit >> 6 & 0x3f));
				*out++ = (char)(0x80 | (unit & 0x3f));
				p += 6;
			}
			continue;
		}
		if (*p == '\\' && p + 1 < end)
			*out++ = *p++;
		*out++ = *p++;
	}
	*size = (size_t)(out - copy);
	*out = 0;
	return copy;
}

/* A copy with a NUL behind it, which ends a number that is all of the text. */
static stator_slice
copy_text(stator_arena *arena, const char *text, size_t size)
{
	const char *escape = memchr(text, '\\', size);
	const char *copy;

	if (escape && memmem(escape, size - (size_t)(escape - text), "\\u", 2))
		copy = mark_halves(arena, text, &size);
	else
		copy = stator__arena_str(arena, text, size);
	return stator__slice(copy, size);
}

/* yajl's message in one line of lower case, without its trailing newline. */
static int
syntax_error(yajl_handle yajl, const reader *r, stator_error *err)
{
	unsigned char *text;
	size_t size;

	if (r->too_deep)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "not JSON: nested deeper than %d",
				    DEPTH_MAX);
	text = yajl_get_error(yajl, 0, NULL, 0);
	size = strcspn((char *)text, "\n");
	while (size && text[size - 1] == '.')
		size--;
	stator__fail(err, STATOR_BAD_REQUEST, "not JSON: %.*s at byte %zu",
		     (int)size, text, yajl_get_bytes_consumed(yajl));
	yajl_free_error(yajl, text);
	return STATOR_BAD_REQUEST;
}

/* Its stack is left as it is: it is large. */
static void
begin(reader *r, stator_arena *arena, stator_slice text, yajl_handle yajl)
{
	r->arena = arena;
	r->text = text;
	r->root = NULL;
	r->open[0] = (container){NULL, &r->root};
	r->depth = 0;
	r->name = stator__slice(NULL, 0);
	r->too_deep = false;
	r->yajl = yajl;
}

int
stator__json_parse(stator_arena *arena, const char *text, size_t size,
		   stator_json **out, stator_error *err)
{
	scratch work;
	yajl_alloc_funcs memory = {scratch_malloc, scratch_realloc,
				   scratch_no_free, &work};
	reader r;
	yajl_handle yajl;
	int code = STATOR_OK;

	work.arena = arena;
	work.used = 0;
	yajl = yajl_alloc(&callbacks, &memory, &r);
	begin(&r, arena, copy_text(arena, text, size), yajl);
	yajl_config(yajl, yajl_dont_validate_strings, 1);
	if (yajl_parse(yajl, r.text.data, r.text.size) != yajl_status_ok)
		code = syntax_error(yajl, &r, err);
	else if (size == 0)
		code = stator__fail(err, STATOR_BAD_REQUEST,
				    "not JSON: the text is empty");
	else if (yajl_complete_parse(yajl) != yajl_status_ok || r.root == NULL)
		code = stator__fail(err, STATOR_BAD_REQUEST,
				    "not JSON: the text ends too early");
	yajl_free(yajl);
	*out = r.root;
	return code;
}

const stator_json *
stator__json_get(const stator_json *object, const char *name)
{
	const stator_json *found = NULL;

	for (const stator_json *c = object->first; c; c = c->next)
		if (stator__slice_is(c->name, name))
			found = c;
	return found;
}

/* Rationale: 1e3 and 2.0 are integers too, written by who thinks in floats;
 * they are taken when no digit is lost. */
static bool
integral_double(const char *text, int64_t *out)
{
	double d = strtod(text, NULL);

	if (!(fabs(d) <= 9007199254740992.0) || d != floor(d))
		return false;
	*out = (int64_t)d;
	return true;
}

/* Up to 18 digits, which always fit. */
static bool
short_int(stator_slice text, int64_t *out)
{
	const char *p = text.data, *end = p + text.size;
	bool negative = *p == '-';
	int64_t v = 0;

	p += negative;
	if (end - p > 18)
		return false;
	for (; p < end; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (*p - '0');
	}
	*out = negative ? -v : v;
	return true;
}

bool
stator__json_int(const stator_json *number, int64_t *out)
{
	const char *text = number->text.data;
	char *end;

	if (STATOR_LIKELY(short_int(number->text, out)))
		return true;

	errno = 0;
	*out = strtoll(text, &end, 10);
	if (end == text + number->text.size)
		return errno == 0;
	return integral_double(text, out);
}

bool
stator__json_double(const stator_json *number, double *out)
{
	*out = strtod(number->text.data, NULL);
	return isfinite(*out);
}

const char *
stator__json_show(stator_arena *arena, const stator_json *value)
{
	enum { SHOWN = 40 };
	int size = value->text.size > SHOWN ? SHOWN : (int)value->text.size;
	const char *dots = value->text.size > SHOWN ? "..." : "";

	switch (value->kind) {
	case STATOR_JSON_NULL:
		return "null";
	case STATOR_JSON_BOOL:
		return value->boolean ? "true" : "false";
	case STATOR_JSON_NUMBER:
		return stator__arena_format(arena, "%.*s%s", size,
					    (const char *)value->text.data,
					    dots);
	case STATOR_JSON_STRING:
		return stator__arena_format(arena, "\"%.*s%s\"", size,
					    (const char *)value->text.data,
					    dots);
	case STATOR_JSON_ARRAY:
		return "an array";
	default:
		return "an object";
	}
}

void
stator__json_place(stator_slice text, const stator_json *value, int *line,
		   int *col)
{
	const char *p = text.data;
	size_t end = value->end;

	/* The end of a value is known: go back to where it begins. */
	if (value->text.size < end)
		end -= value->text.size;
	if (value->kind == STATOR_JSON_STRING && end >= 2)
		end -= 2;
	*line = *col = 1;
	for (size_t i = 0; i < end && i < text.size; i++) {
		*line += p[i] == '\n';
		*col = p[i] == '\n' ? 1 : *col + 1;
	}
}

/* Writing ------------------------------------------------------------- */

static void
separate(stator_json_out *out)
{
	if (out->comma)
		stator__buf_put(out->buf, ",", 1);
	out->comma = true;
}

void
stator__json_begin(stator_json_out *out, char bracket)
{
	separate(out);
	stator__buf_put(out->buf, &bracket, 1);
	out->comma = false;
}

void
stator__json_end(stator_json_out *out, char bracket)
{
	stator__buf_put(out->buf, &bracket, 1);
	out->comma = true;
}

static void
quote(stator_buf *buf, const char *s, size_t size)
{
	size_t start = 0;

	stator__buf_put(buf, "\"", 1);
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)s[i];
		const char *shorts = "\"\\\b\f\n\r\t";
		const char *at;

		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		stator__buf_put(buf, s + start, i - start);
		start = i + 1;
		at = c ? strchr(shorts, c) : NULL;
		if (at)
			stator__buf_format(buf, "\\%c",
					   "\"\\bfnrt"[at - shorts]);
		else
			stator__buf_format(buf, "\\u%04x", c);
	}
	stator__buf_put(buf, s + start, size - start);
	stator__buf_put(buf, "\"", 1);
}

void
stator__json_name(stator_json_out *out, const char *name)
{
	size_t size = strlen(name);
	uint8_t *p;

	separate(out);
	p = stator__buf_reserve(out->buf, size + 3);
	p[0] = '"';
	memcpy(p + 1, name, size);
	memcpy(p + 1 + size, "\":", 2);
	out->buf->size += size + 3;
	out->comma = false;
}

void
stator__json_string(stator_json_out *out, const char *s, size_t size)
{
	separate(out);
	quote(out->buf, s, size);
}

void
stator__json_cstring(stator_json_out *out, const char *s)
{
	stator__json_string(out, s, strlen(s));
}

void
stator__json_any_text(stator_json_out *out, const char *text)
{
	size_t size = strlen(text);
	char *clean = stator__alloc(size + 1);

	stator__json_string(out, clean,
			    stator__utf8_scrub(clean, text, size));
	free(clean);
}

void
stator__json_integer(stator_json_out *out, int64_t value)
{
	char text[24], *at = text + sizeof(text);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do
		*--at = (char)('0' + rest % 10);
	while (rest /= 10);
	if (value < 0)
		*--at = '-';
	separate(out);
	stator__buf_put(out->buf, at, (size_t)(text + sizeof(text) - at));
}

void
stator__json_number(stator_json_out *out, double value, bool single)
{
	char text[40];

	separate(out);
	for (int digits = single ? 6 : 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (single ? strtof(text, NULL) == (float)value
			   : strtod(text, NULL) == value)
			break;
	}
	stator__buf_str(out->buf, text);
}

void
stator__json_boolean(stator_json_out *out, bool value)
{
	separate(out);
	stator__buf_str(out->buf, value ? "true" : "false");
}

void
stator__json_base64(stator_json_out *out, const void *data, size_t size)
{
	size_t length = stator__base64_size(size);

	separate(out);
	stator__buf_put(out->buf, "\"", 1);
	stator__base64_encode((char *)stator__buf_reserve(out->buf, length),
			      data, size);
	out->buf->size += length;
	stator__buf_put(out->buf, "\"", 1);
}

void
stator__json_tree(stator_json_out *out, const stator_json *value)
{
	bool object = value->kind == STATOR_JSON_OBJECT;

	switch (value->kind) {
	case STATOR_JSON_NULL:
		separate(out);
		stator__buf_str(out->buf, "null");
		break;
	case STATOR_JSON_BOOL:
		stator__json_boolean(out, value->boolean);
		break;
	case STATOR_JSON_NUMBER:
		separate(out);
		stator__buf_put(out->buf, value->text.data, value->text.size);
		break;
	case STATOR_JSON_STRING:
		stator__json_string(out, value->text.data, value->text.size);
		break;
	default:
		stator__json_begin(out, object ? '{' : '[');
		for (const stator_json *c = value->first; c; c = c->next) {
			if (object) {
				separate(out);
				quote(out->buf, c->name.data, c->name.size);
				stator__buf_put(out->buf, ":", 1);
				out->comma = false;
			}
			stator__json_tree(out, c);
		}
		stator__json_end(out, object ? '}' : ']');
	}
}
