/*
 * conform_rows.c: keys and values of every shape, from the descriptions of
 * their fields.
 */
#include <float.h>
#include <stdlib.h>

#include "conformance/conform.h"

/* What storages of entities are tried with, and what nested rows are. */
const char conform_schema[] =
	"APPLICATION conform ();\n"
	"WORKSPACE W (\n"
	"  TABLE Item INHERITS sys.CDoc ( Name varchar(100), Amount int64,\n"
	"    Ratio float64, Flag bool, Data bytes(1000) );\n"
	"  TYPE Line ( Name varchar(100), Quantity int32 );\n"
	"  VIEW Sums ( Year int32 NOT NULL, Month int8 NOT NULL,\n"
	"    Name varchar(1000) NOT NULL, Amount int64, Ratio float64,\n"
	"    Comment varchar(1000), Data bytes(1000),\n"
	"    PRIMARY KEY ((Year), Month, Name) ) AS RESULT OF Fill;\n"
	"  EXTENSION ENGINE LUA (\n"
	"    COMMAND Make(Line);\n"
	"    SYNC PROJECTOR Fill AFTER EXECUTE ON Make "
	"INTENTS(sys.View(Sums));\n"
	"  );\n"
	");\n";

/* Types ------------------------------------------------------------------- */

/* For storages of records that describe no key: the fields of the table. */
static const stator_type *
table_as_key(conform_bench *b, const stator_type *table)
{
	uint32_t count = table->field_count - STATOR_SYS_COUNT;
	stator_field_spec *specs =
		stator__arena_zero(&b->arena, (count + 1) * sizeof(*specs));

	for (uint32_t i = 0; i < count; i++) {
		const stator_field *f = &table->fields[STATOR_SYS_COUNT + i];

		specs[i] = (stator_field_spec){.name = f->name,
					       .kind = f->kind,
					       .max = f->max,
					       .rows = f->rows};
	}
	return stator__type_make(&b->arena, table->name, STATOR_TYPE_KEY,
				 specs, count, 0);
}

/* As the host does it. */
void
conform_types(conform_bench *b)
{
	const stator_storage *s = b->storage;
	const char *name = stator__arena_format(&b->arena, "conform.%s",
						s->name);
	const char *entity = s->entity == STATOR_ENTITY_VIEW ? "conform.Sums"
							     : "conform.Item";

	b->use = (stator_use){.abi = STATOR_ABI, .size = sizeof(b->use)};
	if (s->entity != STATOR_ENTITY_NONE) {
		b->use.table = stator__def_type_named(b->suite->def, entity);
		b->use.entity = b->use.table->name;
		b->use.entity_id = b->use.table->id;
		b->use.key = stator__type_info(b->use.table)->key;
		b->use.value = b->use.table;
		if (b->use.key == NULL)
			b->use.key = table_as_key(b, b->use.table);
	}
	if (b->use.key == NULL || s->key_field_count)
		b->use.key = stator__type_from_desc(&b->arena, name, true,
						    s->key_fields,
						    s->key_field_count);
	if (b->use.value == NULL || s->value_field_count)
		b->use.value = stator__type_from_desc(&b->arena, name, false,
						      s->value_fields,
						      s->value_field_count);
}

/* Fields ------------------------------------------------------------------ */

typedef struct range {
	int64_t low, high;
} range;

static range
range_of(uint8_t kind)
{
	switch (kind) {
	case STATOR_INT8:
		return (range){INT8_MIN, INT8_MAX};
	case STATOR_INT16:
		return (range){INT16_MIN, INT16_MAX};
	case STATOR_INT32:
		return (range){INT32_MIN, INT32_MAX};
	case STATOR_BOOL:
		return (range){0, 1};
	case STATOR_REF:
		return (range){1, INT64_MAX};
	default:
		return (range){INT64_MIN, INT64_MAX};
	}
}

static int64_t
integer(uint8_t kind, const conform_shape *s)
{
	range r = range_of(kind);

	switch (s->fill) {
	case FILL_HUGE:
		return r.high;
	case FILL_LOW:
		return r.low;
	case FILL_EMPTY:
	case FILL_BINARY:
		return kind == STATOR_REF ? r.low : 0;
	default:
		if (kind == STATOR_BOOL)
			return s->index & 1;
		if (kind == STATOR_REF)
			return 200001 + s->index;
		return kind == STATOR_INT8 ? s->index % 127 + 1
					   : s->index + 1;
	}
}

static double
number(uint8_t kind, const conform_shape *s)
{
	double most = kind == STATOR_FLOAT32 ? (double)FLT_MAX : DBL_MAX;

	switch (s->fill) {
	case FILL_HUGE:
		return most;
	case FILL_LOW:
		return -most;
	case FILL_EMPTY:
		return 0;
	case FILL_BINARY:
		return -0.0;
	default:
		return s->index + 0.5;
	}
}

enum { LONGEST = 1 << 20 };

/* Every byte in turn, or text with all that is awkward in text. */
static stator_slice
awkward(conform_run *r, uint8_t kind, size_t max)
{
	static const char text[] = "\0a\"\\\n%s'\xc3\xa4\xf0\x9f\x98\x80;--";
	size_t size = kind == STATOR_BYTES ? 256 : sizeof(text) - 1;
	char *p = stator__arena_alloc(&r->arena, size);

	for (size_t i = 0; i < size; i++)
		p[i] = kind == STATOR_BYTES ? (char)i : text[i];
	/* Where it is cut, it is cut before the letters of several bytes. */
	if (size > max)
		size = kind == STATOR_BYTES || max < 9 ? max : 9;
	return stator__slice(p, size);
}

static stator_slice
text(conform_run *r, uint8_t kind, size_t max, const conform_shape *s)
{
	size_t most = max < LONGEST ? max : LONGEST;
	char *p;

	if (kind == STATOR_QNAME) {
		p = stator__arena_format(&r->arena, "conform.Name%u", s->index);
		return stator__cslice(p);
	}
	switch (s->fill) {
	case FILL_EMPTY:
		return stator__slice("", 0);
	case FILL_HUGE:
		p = stator__arena_alloc(&r->arena, most);
		memset(p, 'x', most);
		return stator__slice(p, most);
	case FILL_LOW:
		return stator__slice("a", most ? 1 : 0);
	case FILL_BINARY:
		return awkward(r, kind, max);
	default:
		p = stator__arena_format(&r->arena, "%u-name", s->index);
		return stator__slice(p, strlen(p) < most ? strlen(p) : most);
	}
}

static uint32_t
items(uint8_t kind, const conform_shape *s)
{
	if (kind == STATOR_ROW)
		return 1;
	if (s->fill == FILL_EMPTY)
		return 0;
	return s->fill == FILL_HUGE ? 100 : 2;
}

static void
put_items(conform_run *r, stator_builder *b, uint32_t i,
	  const conform_shape *s)
{
	const stator_field *f = &b->type->fields[i];
	uint32_t count = items(f->kind, s);
	stator_row *rows =
		stator__arena_zero(&r->arena, (count + 1) * sizeof(*rows));
	const stator_type *type =
		f->rows ? f->rows
			: stator__def_type_named(r->io.def, "conform.Line");

	for (uint32_t k = 0; k < count; k++) {
		conform_shape child = *s;

		child.without = -1;
		child.index += k;
		if (f->kind == STATOR_TEXTS) {
			stator_slice t = text(r, STATOR_STRING, 1000, &child);

			rows[k].data = t.data;
			rows[k].size = (uint32_t)t.size;
		} else {
			rows[k] = conform_row(r, type, &child);
		}
	}
	stator__build_rows(b, i, rows, count, NULL);
}

static void
put_field(conform_run *r, stator_builder *b, uint32_t i,
	  const conform_shape *s)
{
	const stator_field *f = &b->type->fields[i];

	switch (f->kind) {
	case STATOR_FLOAT32:
	case STATOR_FLOAT64:
		stator__build_float(b, i, number(f->kind, s), NULL);
		break;
	case STATOR_STRING:
	case STATOR_BYTES:
	case STATOR_QNAME:
		stator__build_bytes(b, i, text(r, f->kind, f->max, s), NULL);
		break;
	case STATOR_ROWS:
	case STATOR_ROW:
	case STATOR_TEXTS:
		put_items(r, b, i, s);
		break;
	default:
		stator__build_int(b, i, integer(f->kind, s), NULL);
	}
}

/* Rows -------------------------------------------------------------------- */

static bool
is_given(const stator_field *f, uint32_t i, const conform_shape *s)
{
	if (f->system || (int32_t)i == s->without || s->fill == FILL_NOTHING)
		return false;
	return s->fill != FILL_REQUIRED || f->required;
}

/* A row as long ago: it ends where the first field would begin. */
static stator_row
older(conform_run *r, const stator_type *type)
{
	uint8_t *p = stator__arena_zero(&r->arena, STATOR_ROW_HEADER);

	stator__u32_put(p, type->id);
	stator__u32_put(p + 4, STATOR_ROW_HEADER);
	return (stator_row){p, STATOR_ROW_HEADER, 0, type};
}

stator_row
conform_row(conform_run *r, const stator_type *type, const conform_shape *s)
{
	stator_builder b;

	if (s->fill == FILL_OLDER)
		return older(r, type);
	stator__build(&b, &r->arena, type);
	if (s->has_wsid && type->kind == STATOR_TYPE_KEY)
		stator__build_int(&b, STATOR_KEY_WSID, s->wsid, NULL);
	for (uint32_t i = 0; i < type->field_count; i++)
		if (is_given(&type->fields[i], i, s))
			put_field(r, &b, i, s);
	return stator__build_done(&b);
}

stator_row
conform_good(conform_run *r, const stator_type *type, uint32_t index)
{
	const conform_shape s = {"", FILL_GOOD, index, -1, false, 0};

	return conform_row(r, type, &s);
}

stator_row
conform_prefix(conform_run *r, const stator_type *type, uint32_t index,
	       uint32_t count)
{
	const conform_shape s = {"", FILL_GOOD, index, -1, false, 0};
	stator_builder b;

	stator__build(&b, &r->arena, type);
	for (uint32_t i = 0; i < type->field_count && count; i++)
		if (!type->fields[i].system) {
			put_field(r, &b, i, &s);
			count--;
		}
	return stator__build_done(&b);
}

/* Runs are in workspace 2 of partition 0 and 1 of partition 1. */
static const conform_shape shapes[] = {
	{"all fields", FILL_GOOD, 0, -1, false, 0},
	{"other values", FILL_GOOD, 1, -1, false, 0},
	{"no field", FILL_NOTHING, 0, -1, false, 0},
	{"required fields only", FILL_REQUIRED, 0, -1, false, 0},
	{"empty texts and zeros", FILL_EMPTY, 0, -1, false, 0},
	{"the longest texts and largest numbers", FILL_HUGE, 0, -1, false, 0},
	{"the smallest numbers", FILL_LOW, 0, -1, false, 0},
	{"bytes of every value", FILL_BINARY, 0, -1, false, 0},
	{"a row of before there were fields", FILL_OLDER, 0, -1, false, 0},
	{"a workspace of the partition", FILL_GOOD, 0, -1, true, 4},
	{"a workspace of another partition", FILL_GOOD, 0, -1, true, 5},
	{"workspace 0", FILL_GOOD, 0, -1, true, 0},
	{"workspace -1", FILL_GOOD, 0, -1, true, -1},
	{"the smallest workspace", FILL_GOOD, 0, -1, true, INT64_MIN},
};

bool
conform_next_shape(const stator_type *type, uint32_t *at, conform_shape *s)
{
	enum { FIXED = STATOR_COUNT(shapes) };
	uint32_t field = *at - FIXED;

	if (*at < FIXED) {
		*s = shapes[(*at)++];
		return true;
	}
	while (field < type->field_count && type->fields[field].system)
		field++;
	if (field >= type->field_count)
		return false;
	*s = (conform_shape){"all fields but one", FILL_GOOD, 0,
			     (int32_t)field, false, 0};
	*at = FIXED + field + 1;
	return true;
}

bool
conform_same_row(const stator_row *a, const stator_row *b)
{
	return (a->data == NULL) == (b->data == NULL) &&
	       (a->data == NULL ||
		(a->size == b->size && memcmp(a->data, b->data, a->size) == 0));
}
