/*
 * conform_intents.c: tests of what storages do with intents.
 */
#include "conformance/conform.h"

/* Intents ----------------------------------------------------------------- */

/* The store refuses writes to other partitions, so `apply` has to. */
static bool
may_be_refused(const conform_shape *key)
{
	return key->has_wsid &&
	       (key->wsid <= 0 || key->wsid % CONFORM_PARTITIONS != 0);
}

static void
try_intents(conform_run *r, const stator_intent *items, size_t count,
	    bool refusable)
{
	conform_bench *b = r->lane->bench;
	int code = conform_validate(r, items, count);

	if (code == STATOR_OK && (b->has & HAS_APPLY) == 0)
		conform_settle(r->lane, items, count);
	if (code || (b->has & HAS_APPLY) == 0)
		return;
	code = conform_apply(r, items, count);
	if (code == STATOR_OK)
		conform_settle(r->lane, items, count);
	if (code && b->storage->validate && !refusable)
		conform_broke(b, RULE_TELLS, CALL_VALIDATE,
			      "it said OK, apply said %s, given %s",
			      stator__status_name(code),
			      conform_given(r->lane));
}

/* One intent with such a key, or, when `of_value`, with such a value. */
static void
try_shape(conform_bench *b, const conform_shape *s, bool of_value)
{
	conform_run *r = conform_run_begin(&b->lane, conform_write_scope(b));
	stator_row key = of_value ? conform_good(r, b->use.key, 0)
				  : conform_row(r, b->use.key, s);
	stator_row value = of_value ? conform_row(r, b->use.value, s)
				    : conform_good(r, b->use.value, 0);
	stator_intent item =
		conform_intent(b, &key, &value, conform_inserts(b));
	stator_error err;

	conform_with(&b->lane, s->name);
	/* The host refuses values that do not fit before a storage sees them.
	 */
	if (stator__row_check(&value, &err) == STATOR_OK)
		try_intents(r, &item, 1, !of_value && may_be_refused(s));
	conform_run_end(r);
}

static void
try_many(conform_bench *b)
{
	enum { MANY = 50 };
	conform_run *r = conform_run_begin(&b->lane, conform_write_scope(b));
	stator_row keys[MANY], values[MANY];
	stator_intent items[MANY];

	for (uint32_t i = 0; i < MANY; i++) {
		keys[i] = conform_good(r, b->use.key, i % 20);
		values[i] = conform_good(r, b->use.value, i);
		items[i] = conform_intent(b, &keys[i], &values[i],
					  conform_inserts(b));
		items[i].index = i;
	}
	conform_with(&b->lane, "50 intents, some with the same key");
	try_intents(r, items, MANY, false);
	conform_run_end(r);
}

void
conform_test_intents(conform_bench *b)
{
	conform_shape s;
	uint32_t at = 0;

	if (!conform_open(b))
		return;
	while (conform_next_shape(b->use.key, &at, &s))
		try_shape(b, &s, false);
	for (at = 0; conform_next_shape(b->use.value, &at, &s);)
		if (!s.has_wsid)
			try_shape(b, &s, true);
	try_many(b);
	conform_close(b);
}

void
conform_test_validate(conform_bench *b)
{
	conform_element all[CONFORM_LOOKS];

	if (b->storage->validate == NULL) {
		conform_skip(b, "it has no validate");
		return;
	}
	if (!conform_open(b))
		return;
	for (uint32_t i = 0; i < CONFORM_SEEDS / 2; i++)
		conform_write_good(&b->lane, i);
	conform_look_at_all(&b->lane, all);
	for (uint32_t i = 0; i < CONFORM_LOOKS; i++) {
		conform_run *r =
			conform_run_begin(&b->lane, conform_write_scope(b));
		stator_row key = conform_good(r, b->use.key, i);
		stator_row value = conform_good(r, b->use.value, i + 1);
		stator_intent item =
			conform_intent(b, &key, &value, conform_inserts(b));

		conform_validate(r, &item, 1);
		conform_run_end(r);
	}
	conform_compare_all(&b->lane, all, RULE_CHANGES_NOTHING, CALL_VALIDATE,
		    "after validate");
	conform_forget_all(all);
	conform_close(b);
}

void
conform_test_read_back(conform_bench *b)
{
	conform_element all[CONFORM_LOOKS];
	bool found = false;
	uint32_t taken;

	if (!conform_open(b))
		return;
	taken = conform_seed(&b->lane);
	conform_look_at_all(&b->lane, all);
	for (uint32_t i = 0; i < CONFORM_LOOKS; i++)
		found |= all[i].code == STATOR_OK;
	if (taken == 0)
		conform_skip(b, conform_none_taken);
	else if (!found)
		conform_broke(b, RULE_READ_BACK, CALL_APPLY,
			      "%u elements were taken, get finds none of them",
			      taken);
	conform_forget_all(all);
	conform_close(b);
}

/* Good runs that are taken back leave nothing that can be read. */
static void
take_all_back(conform_bench *b, conform_rule rule, conform_call call,
	      const char *when)
{
	conform_element all[CONFORM_LOOKS];
	uint32_t taken = 0;

	if (!conform_open(b))
		return;
	for (uint32_t i = 0; i < CONFORM_SEEDS / 2; i++)
		conform_write_good(&b->lane, i);
	conform_look_at_all(&b->lane, all);
	for (uint32_t i = 0; i < CONFORM_LOOKS; i++)
		taken += conform_take_back_good(&b->lane, i) == STATOR_OK;
	if (taken == 0)
		conform_skip(b, conform_none_taken);
	conform_compare_all(&b->lane, all, rule, call, when);
	conform_forget_all(all);
	conform_close(b);
}

/* The events of these runs could not be written. */
void
conform_test_atomic(conform_bench *b)
{
	take_all_back(b, RULE_ALL_OR_NOTHING, CALL_APPLY,
		      "after an apply whose event was not written");
}

void
conform_test_durable(conform_bench *b)
{
	conform_element all[CONFORM_LOOKS];

	if (!conform_open(b))
		return;
	if (conform_seed(&b->lane) == 0)
		conform_skip(b, conform_none_taken);
	conform_look_at_all(&b->lane, all);
	conform_close(b);
	if (!conform_open(b))
		return;
	conform_compare_all(&b->lane, all, RULE_DURABLE, CALL_APPLY,
		    "after finit and init");
	conform_forget_all(all);
	conform_close(b);
}

/* An update of one element: OK, or NONE when there is nothing to update. */
static int
update_one(conform_bench *b, uint32_t index)
{
	conform_run *r =
		conform_run_begin(&b->lane, conform_scope(b, STATOR_UPDATE));
	stator_row key = conform_good(r, b->use.key, index);
	stator_row over = conform_good(r, b->use.value, index + 20);
	stator_row base, merged;
	stator_error err;
	int code = STATOR_NONE;

	conform_with(&b->lane, "an element that is there");
	if (conform_get(r, &key, &base) == STATOR_OK) {
		merged = stator__row_merge(&r->arena, &base, &over);
		if (stator__row_check(&merged, &err) == STATOR_OK)
			code = conform_write(r, &key, &merged, false);
	}
	if (code == STATOR_OK) {
		stator_intent item = conform_intent(b, &key, &merged, false);

		conform_settle(&b->lane, &item, 1);
	}
	conform_run_end(r);
	return code;
}

void
conform_test_update(conform_bench *b)
{
	uint32_t taken = 0;

	if (!conform_open(b))
		return;
	conform_seed(&b->lane);
	for (uint32_t i = 0; i < CONFORM_SEEDS; i++) {
		conform_element e;

		if (update_one(b, i))
			continue;
		taken++;
		e = conform_look(&b->lane, i);
		if (e.code)
			conform_broke(b, RULE_READ_BACK, CALL_APPLY,
				      "after an update that was taken, get "
				      "says %s",
				      stator__status_name(e.code));
		conform_forget(&e);
	}
	if (taken == 0)
		conform_skip(b, "no update that was tried is taken");
	conform_close(b);
}

/* What is settled may be lost: that it can be read is not asked for. */
void
conform_test_settle(conform_bench *b)
{
	take_all_back(b, RULE_TAKEN_BACK, CALL_VALIDATE,
		      "after runs that were not settled");
}

/* Rationale: an effect goes out into the world, so it is asked for only what
 * `validate` has let through, and for few things. */
void
conform_test_effect(conform_bench *b)
{
	static const conform_shape shapes[] = {
		{"all fields", FILL_GOOD, 0, -1, false, 0},
		{"empty texts and zeros", FILL_EMPTY, 0, -1, false, 0},
		{"bytes of every value", FILL_BINARY, 0, -1, false, 0}};

	if (!conform_open(b))
		return;
	for (size_t i = 0; i < STATOR_COUNT(shapes); i++) {
		conform_run *r =
			conform_run_begin(&b->lane, conform_write_scope(b));
		stator_row key = conform_row(r, b->use.key, &shapes[i]);
		stator_row value = conform_row(r, b->use.value, &shapes[i]);
		stator_intent item =
			conform_intent(b, &key, &value, conform_inserts(b));

		conform_with(&b->lane, shapes[i].name);
		if (conform_validate(r, &item, 1) == STATOR_OK) {
			conform_effect(r, &item);
			conform_with(&b->lane, "the same intent again");
			conform_effect(r, &item);
		}
		conform_run_end(r);
	}
	conform_close(b);
}
