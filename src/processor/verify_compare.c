/*
 * verify_compare.c: what is stored beside what a replay has given: two walks
 * in the order of keys, side by side.
 */
#include <stdlib.h>

#include "processor/verify.h"
#include "storage/storage.h"

typedef struct comparison {
	stator_verifier *v;
	stator_is_rebuilt is_rebuilt;
	void *ctx;
	uint64_t done;
} comparison;

/* One side; it has an entry, or has come to its end. */
typedef struct side {
	stator_scan scan;
	bool ended;
} side;

/* Rows ------------------------------------------------------------------ */

static bool rows_equal(const stator_def *def, const stator_row *a,
		       const stator_row *b);

static bool
lists_equal(const stator_def *def, const stator_row *a, const stator_row *b,
	    uint32_t field)
{
	uint32_t count = stator__row_count(a, field);

	if (stator__row_count(b, field) != count)
		return false;
	for (uint32_t i = 0; i < count; i++) {
		stator_slice text_a, text_b;
		stator_row row_a, row_b;

		if (stator__row_text(a, field, i, &text_a) &&
		    stator__row_text(b, field, i, &text_b)) {
			if (!stator__slice_eq(text_a, text_b))
				return false;
		} else if (!stator__row_child(def, a, field, i, &row_a) ||
			   !stator__row_child(def, b, field, i, &row_b) ||
			   !rows_equal(def, &row_a, &row_b)) {
			return false;
		}
	}
	return true;
}

static bool
fields_equal(const stator_def *def, const stator_row *a, const stator_row *b,
	     uint32_t i)
{
	const stator_field *f = &a->type->fields[i];
	const uint8_t *at_a = stator__row_at(a, f), *at_b = stator__row_at(b, f);
	stator_slice text_a, text_b;

	if (at_a == NULL || at_b == NULL)
		return at_a == at_b;
	if (stator__row_bytes(a, i, &text_a) && stator__row_bytes(b, i, &text_b))
		return stator__slice_eq(text_a, text_b);
	if (f->kind == STATOR_TEXTS || f->kind == STATOR_ROWS)
		return lists_equal(def, a, b, i);
	return memcmp(at_a, at_b, stator__kind_width(f->kind)) == 0;
}

/* The first field that is not the same, or -1. */
static int
difference(const stator_def *def, const stator_row *a, const stator_row *b)
{
	for (uint32_t i = 0; i < a->type->field_count; i++)
		if (!fields_equal(def, a, b, i))
			return (int)i;
	return -1;
}

static bool
rows_equal(const stator_def *def, const stator_row *a, const stator_row *b)
{
	return a->type == b->type && difference(def, a, b) < 0;
}

/* "5", "nothing", or "***". */
static const char *
show_field(stator_verifier *v, const stator_row *row, uint32_t field)
{
	stator_builder b;
	const char *text;
	stator_row one;

	if (stator__row_at(row, &row->type->fields[field]) == NULL)
		return "nothing";
	if (row->type->fields[field].secret)
		return "***";
	stator__build(&b, &v->arena, row->type);
	stator__build_copy(&b, field, row);
	one = stator__build_done(&b);
	/* Of "{Amount=5}" what is behind the name. */
	text = strchr(stator__row_show(&v->arena, &one), '=');
	return stator__arena_str(&v->arena, text + 1, strlen(text) - 2);
}

/* Findings -------------------------------------------------------------- */

/* What an entry is; false when it is not compared. */
static bool
describe(const comparison *c, stator_slice key, stator_slice value,
	 stator_finding *f, const stator_type **type)
{
	const uint8_t *p = (const uint8_t *)key.data + STATOR_SYS_PREFIX;
	stator_view_place place;

	if (p[-1] == RECORD_LETTER && value.size >= STATOR_ROW_HEADER) {
		*type = stator__def_type(c->v->def, stator__u32(value.data));
		f->space = "record";
		f->wsid = (int64_t)stator__be64(p);
		f->key = stator__verify_number(c->v,
					       (int64_t)stator__be64(p + 8));
		f->todo = "bring the partition's folder back from a backup";
		return *type != NULL;
	}
	if (p[-1] != VIEW_LETTER || !stator__verify_view_place(key, &place) ||
	    !c->is_rebuilt(c->ctx, place.id))
		return false;
	*type = stator__def_type(c->v->def, place.id);
	f->space = "view";
	f->wsid = place.wsid;
	f->key = stator__verify_view_key(c->v, *type, place.fields);
	f->todo = "have its projector go through all events again, unless the "
		  "projector was another one then, or does not give the same "
		  "twice";
	return true;
}

static void
say_alone(comparison *c, const side *s, const char *wrong)
{
	stator_finding f = {.wrong = wrong};
	const stator_type *type;

	if (!describe(c, s->scan.key, s->scan.value, &f, &type))
		return;
	f.name = type->name;
	stator__verify_say(c->v, &f);
}

static void
compare_values(comparison *c, const side *data, const side *other)
{
	stator_finding f = {.warning = false};
	const stator_type *type;
	stator_row a, b;
	int field;

	if (stator__slice_eq(data->scan.value, other->scan.value) ||
	    !describe(c, data->scan.key, data->scan.value, &f, &type))
		return;
	f.name = type->name;
	a = (stator_row){data->scan.value.data,
			 (uint32_t)data->scan.value.size, 0, type};
	b = (stator_row){other->scan.value.data,
			 (uint32_t)other->scan.value.size, 0, type};
	f.wrong = "a replay gives another table's record";
	if (stator__u32(a.data) == stator__u32(b.data)) {
		field = difference(c->v->def, &a, &b);
		/* The same, as an older version of the table wrote it. */
		if (field < 0)
			return;
		f.wrong = stator__arena_format(
			&c->v->arena, "%s is %s, a replay gives %s",
			type->fields[field].name,
			show_field(c->v, &a, (uint32_t)field),
			show_field(c->v, &b, (uint32_t)field));
	}
	stator__verify_say(c->v, &f);
}

/* Two walks ------------------------------------------------------------- */

static int
step(side *s, stator_error *err)
{
	int code = stator__scan_next(&s->scan, err);

	s->ended = code != STATOR_OK;
	return code < 0 ? code : STATOR_OK;
}

/* Which comes first; below 0: the data's. */
static int
order(const side *data, const side *other)
{
	if (data->ended || other->ended)
		return data->ended - other->ended;
	return stator__slice_cmp(data->scan.key, other->scan.key);
}

static int
compare_next(comparison *c, side *data, side *other, stator_error *err)
{
	enum { STEP = 10000 };
	int first = order(data, other), code = STATOR_OK;

	if (first < 0)
		say_alone(c, data, "a replay does not give it");
	else if (first > 0)
		say_alone(c, other, "it is missing: a replay gives it");
	else
		compare_values(c, data, other);
	stator__arena_reset(&c->v->arena);
	if (++c->done % STEP == 0)
		stator__upkeep_progress(&c->v->up, c->v->partition, "rows",
					c->done, c->v->entries);
	if (first <= 0)
		code = step(data, err);
	if (code == STATOR_OK && first >= 0)
		code = step(other, err);
	return code;
}

int
stator__verify_compare(stator_verifier *v, const stator_view *replay,
		       stator_is_rebuilt is_rebuilt, void *ctx,
		       stator_error *err)
{
	comparison c = {.v = v, .is_rebuilt = is_rebuilt, .ctx = ctx};
	uint8_t low[STATOR_SPACE_SIZE], high[STATOR_SPACE_SIZE];
	side data = {.ended = false}, other = {.ended = false};
	int code;

	stator__space_put(low, stator__sys_space());
	stator__space_put(high, stator__sys_space() + 1);
	stator__scan_begin(&data.scan, v->view.ops, v->view.snapshot,
			   stator__slice(low, sizeof(low)),
			   stator__slice(high, sizeof(high)));
	stator__scan_begin(&other.scan, replay->ops, replay->snapshot,
			   stator__slice(low, sizeof(low)),
			   stator__slice(high, sizeof(high)));
	code = step(&data, err);
	if (code == STATOR_OK)
		code = step(&other, err);
	while (code == STATOR_OK && !(data.ended && other.ended))
		code = compare_next(&c, &data, &other, err);
	stator__scan_end(&other.scan);
	stator__scan_end(&data.scan);
	return code;
}
