/*
 * conform_elements.c: elements and rows of a storage, got, written, read and
 * compared: what the tests of storages are made of.
 */
#include <stdlib.h>

#include "conformance/conform.h"

conform_element
conform_look(conform_lane *lane, uint32_t index)
{
	conform_bench *b = lane->bench;
	conform_run *r = conform_run_begin(lane, conform_scope(b, STATOR_GET));
	stator_row key = conform_good(r, b->use.key, index);
	conform_element e;

	conform_with(lane, "a key with all fields");
	e.code = conform_get(r, &key, &e.row);
	if (e.code == STATOR_OK) {
		void *copy = stator__alloc(e.row.size);

		memcpy(copy, e.row.data, e.row.size);
		e.row.data = copy;
	} else {
		e.row.data = NULL;
	}
	conform_run_end(r);
	return e;
}

void
conform_forget(conform_element *e)
{
	free((void *)(uintptr_t)e->row.data);
	e->row.data = NULL;
}

bool
conform_same(const conform_element *a, const conform_element *b)
{
	return a->code == b->code && conform_same_row(&a->row, &b->row);
}

void
conform_look_at_all(conform_lane *lane, conform_element *all)
{
	for (uint32_t i = 0; i < CONFORM_LOOKS; i++)
		all[i] = conform_look(lane, i);
}

void
conform_forget_all(conform_element *all)
{
	for (uint32_t i = 0; i < CONFORM_LOOKS; i++)
		conform_forget(&all[i]);
}

void
conform_compare_all(conform_lane *lane, const conform_element *before,
		    conform_rule rule, conform_call call, const char *since)
{
	for (uint32_t i = 0; i < CONFORM_LOOKS; i++) {
		conform_element now = conform_look(lane, i);

		if (!conform_same(&before[i], &now))
			conform_broke(lane->bench, rule, call,
				      "element %u was %s and is %s %s", i,
				      stator__status_name(before[i].code),
				      now.code == before[i].code
					      ? "another row"
					      : stator__status_name(now.code),
				      since);
		conform_forget(&now);
	}
}

bool
conform_inserts(const conform_bench *b)
{
	return (b->has & HAS_INSERT) != 0;
}

uint32_t
conform_write_scope(const conform_bench *b)
{
	return conform_scope(b, conform_inserts(b) ? STATOR_INSERT
						   : STATOR_UPDATE);
}

static int
write_good(conform_lane *lane, uint32_t index, bool settle)
{
	conform_bench *b = lane->bench;
	conform_run *r = conform_run_begin(lane, conform_write_scope(b));
	stator_row key = conform_good(r, b->use.key, index);
	stator_row value = conform_good(r, b->use.value, index);
	stator_intent item =
		conform_intent(b, &key, &value, conform_inserts(b));
	int code;

	conform_with(lane, "a key and a value with all fields");
	code = conform_write(r, &key, &value, conform_inserts(b));
	if (code == STATOR_OK && settle)
		conform_settle(lane, &item, 1);
	conform_run_end(r);
	return code;
}

int
conform_write_good(conform_lane *lane, uint32_t index)
{
	return write_good(lane, index, true);
}

int
conform_take_back_good(conform_lane *lane, uint32_t index)
{
	bool applies = (lane->bench->has & HAS_APPLY) != 0;
	int code = write_good(lane, index, false);

	if (code == STATOR_OK && applies)
		stator__map_rollback(lane->maps[lane->partition]);
	return code;
}

uint32_t
conform_seed(conform_lane *lane)
{
	uint32_t taken = 0;

	if ((lane->bench->has & (HAS_APPLY | HAS_SETTLE)) == 0)
		return 0;
	for (uint32_t i = 0; i < CONFORM_SEEDS; i++)
		taken += conform_write_good(lane, i) == STATOR_OK;
	return taken;
}

const char conform_none_taken[] =
	"no element that was tried is taken by validate and apply";

/* Rows -------------------------------------------------------------------- */

/* More than that is no end. */
enum { MOST_ROWS = 100000 };

void
conform_rows_free(conform_rows *all)
{
	free(all->keys);
	free(all->values);
}

int
conform_read_rows(conform_run *r, const stator_row *key,
		  conform_reading how, conform_rows *all)
{
	stator_cursor *cursor;
	int code = conform_read(r, key, how.reverse, how.limit, &cursor);

	memset(all, 0, sizeof(*all));
	if (code)
		return code;
	while (all->count < (how.stop ? how.stop : MOST_ROWS)) {
		stator_row k, v;

		code = conform_next(r, cursor, &k, &v);
		if (code)
			break;
		STATOR_GROW(all->keys, all->count, all->cap);
		STATOR_GROW(all->values, all->count, all->value_cap);
		all->keys[all->count] = k;
		all->values[all->count++] = v;
	}
	conform_release(r, cursor);
	if (all->count == MOST_ROWS)
		conform_broke(r->lane->bench, RULE_ENDS, CALL_NEXT,
			      "%d rows, and no end", MOST_ROWS);
	return code < 0 ? code : STATOR_OK;
}
