/*
 * conform_storage.c: the tests of storages, and those of reading. What a
 * storage means is not known here: it may refuse every key that is tried. What
 * is asked for is what the header promises of every storage, and only of those
 * that keep what they know in "stator.store/1", by `apply`, that what was
 * written can be read.
 */
#include "conformance/conform.h"

/* get --------------------------------------------------------------------- */

static void
test_get(conform_bench *b)
{
	if (!conform_open(b))
		return;
	for (int seeded = 0; seeded < 2; seeded++) {
		conform_shape s;
		uint32_t at = 0;

		while (conform_next_shape(b->use.key, &at, &s)) {
			conform_run *r = conform_run_begin(
				&b->lane, conform_scope(b, STATOR_GET));
			stator_row key = conform_row(r, b->use.key, &s);
			stator_row value;

			conform_with(&b->lane, s.name);
			conform_get(r, &key, &value);
			conform_run_end(r);
		}
		conform_seed(&b->lane);
	}
	conform_close(b);
}

static void
test_get_again(conform_bench *b)
{
	conform_element all[CONFORM_LOOKS];

	if (!conform_open(b))
		return;
	conform_seed(&b->lane);
	conform_look_at_all(&b->lane, all);
	for (int i = 0; i < 3; i++)
		conform_compare_all(&b->lane, all, RULE_SAME, CALL_GET,
			    "when it is got again");
	conform_forget_all(all);
	conform_close(b);
}

/* get_batch --------------------------------------------------------------- */

static void
compare_batch(conform_run *r, const stator_row *keys, size_t count)
{
	conform_bench *b = r->lane->bench;
	stator_row values[CONFORM_LOOKS + 1], one;

	if (conform_get_batch(r, keys, count, values))
		return;
	for (size_t i = 0; i < count && (b->has & HAS_APPLY); i++) {
		int code = conform_get(r, &keys[i], &one);

		if (code >= 0 && !conform_same_row(&values[i], &one))
			conform_broke(b, RULE_AS_GET, CALL_BATCH,
				      "value %zu of %zu is %s, get gives %s", i,
				      count,
				      values[i].data ? "a row" : "absent",
				      one.data ? "another row" : "NONE");
	}
}

static void
batch_of_good(conform_bench *b)
{
	conform_run *r =
		conform_run_begin(&b->lane, conform_scope(b, STATOR_GETBATCH));
	stator_row keys[CONFORM_LOOKS + 1];

	for (uint32_t i = 0; i < CONFORM_LOOKS; i++)
		keys[i] = conform_good(r, b->use.key, i);
	keys[CONFORM_LOOKS] = keys[0];
	conform_with(&b->lane, "no key");
	compare_batch(r, keys, 0);
	conform_with(&b->lane, "one key");
	compare_batch(r, keys, 1);
	conform_with(&b->lane, "good keys, one of them twice");
	compare_batch(r, keys, CONFORM_LOOKS + 1);
	conform_run_end(r);
}

static void
test_batch(conform_bench *b)
{
	conform_shape s;
	uint32_t at = 0;

	if (!conform_open(b))
		return;
	batch_of_good(b);
	conform_seed(&b->lane);
	batch_of_good(b);
	while (conform_next_shape(b->use.key, &at, &s)) {
		conform_run *r = conform_run_begin(
			&b->lane, conform_scope(b, STATOR_GETBATCH));
		stator_row keys[3] = {conform_good(r, b->use.key, 0),
				      conform_row(r, b->use.key, &s),
				      conform_good(r, b->use.key, 1)};

		conform_with(&b->lane, s.name);
		compare_batch(r, keys, 3);
		conform_run_end(r);
	}
	conform_close(b);
}

/* read -------------------------------------------------------------------- */

static const conform_reading all_rows = {false, 0, 0};

/* Texts may go on: where the last column varies, it is part of a prefix. */
static bool
begins_with(const stator_row *row, const stator_row *prefix, uint32_t i)
{
	int64_t n, m;
	double d, e;
	stator_slice s, t;

	if (stator__row_int(prefix, i, &n))
		return stator__row_int(row, i, &m) && n == m;
	if (stator__row_float(prefix, i, &d))
		return stator__row_float(row, i, &e) && !(d < e || d > e);
	if (stator__row_bytes(prefix, i, &s))
		return stator__row_bytes(row, i, &t) && t.size >= s.size &&
		       (s.size == 0 || memcmp(s.data, t.data, s.size) == 0);
	return true;
}

static void
check_prefix(conform_bench *b, const stator_row *prefix,
	     const conform_rows *all)
{
	for (size_t i = 0; i < all->count; i++)
		for (uint32_t f = STATOR_KEY_WSID + 1;
		     f < prefix->type->field_count; f++)
			if (!begins_with(&all->keys[i], prefix, f))
				conform_broke(b, RULE_PREFIX, CALL_NEXT,
					      "row %zu has another %s", i,
					      prefix->type->fields[f].name);
}

/* Two cursors at once, of which neither is read to its end. */
static void
stop_early(conform_run *r, const stator_row *key)
{
	stator_cursor *a, *b;
	stator_row k, v;

	if (conform_read(r, key, false, 0, &a))
		return;
	if (conform_read(r, key, true, 0, &b)) {
		conform_release(r, a);
		return;
	}
	conform_next(r, a, &k, &v);
	conform_next(r, b, &k, &v);
	conform_release(r, a);
	conform_next(r, b, &k, &v);
	conform_release(r, b);
	if (conform_read(r, key, false, 0, &a) == STATOR_OK)
		conform_release(r, a);
}

static void
read_prefixes(conform_bench *b)
{
	uint32_t fields = b->use.key->field_count;

	for (uint32_t count = 0; count < fields; count++) {
		conform_run *r = conform_run_begin(
			&b->lane, conform_scope(b, STATOR_READ));
		stator_row key = conform_prefix(r, b->use.key, 0, count);
		conform_rows all;

		conform_with(&b->lane, count ? "a key of the first fields"
					     : "a key without fields");
		if (conform_read_rows(r, &key, all_rows, &all) == STATOR_OK)
			check_prefix(b, &key, &all);
		conform_rows_free(&all);
		stop_early(r, &key);
		conform_run_end(r);
	}
}

static void
test_read(conform_bench *b)
{
	conform_shape s;
	uint32_t at = 0;

	if (!conform_open(b))
		return;
	read_prefixes(b);
	conform_seed(&b->lane);
	read_prefixes(b);
	while (conform_next_shape(b->use.key, &at, &s)) {
		conform_run *r = conform_run_begin(
			&b->lane, conform_scope(b, STATOR_READ));
		stator_row key = conform_row(r, b->use.key, &s);
		conform_rows all;

		conform_with(&b->lane, s.name);
		conform_read_rows(r, &key, (conform_reading){.stop = 5}, &all);
		conform_rows_free(&all);
		conform_run_end(r);
	}
	conform_close(b);
}

static void
check_limit(conform_run *r, const stator_row *key, const conform_rows *all,
	    uint32_t limit)
{
	conform_bench *b = r->lane->bench;
	conform_rows few;
	int code = conform_read_rows(r, key, (conform_reading){.limit = limit},
				     &few);

	if (code == STATOR_OK && few.count > limit)
		conform_broke(b, RULE_LIMIT, CALL_NEXT,
			      "%u wanted, %zu given", limit, few.count);
	for (size_t i = 0; code == STATOR_OK && (b->has & HAS_APPLY) &&
			   i < few.count && i < all->count;
	     i++)
		if (!conform_same_row(&few.keys[i], &all->keys[i]))
			conform_broke(b, RULE_SAME, CALL_NEXT,
				      "with a limit, row %zu is another", i);
	conform_rows_free(&few);
}

static void
check_reverse(conform_run *r, const stator_row *key, const conform_rows *all)
{
	conform_rows back;
	int code = conform_read_rows(r, key, (conform_reading){.reverse = true},
				     &back);
	bool turned = back.count == all->count;

	for (size_t i = 0; turned && i < back.count; i++)
		turned = conform_same_row(&back.keys[back.count - 1 - i],
					  &all->keys[i]);
	if (code == STATOR_OK && !turned)
		conform_broke(r->lane->bench, RULE_REVERSE, CALL_NEXT,
			      "%zu rows forwards, %zu others backwards",
			      all->count, back.count);
	conform_rows_free(&back);
}

static void
test_read_options(conform_bench *b)
{
	uint32_t fields = b->use.key->field_count;

	if (!conform_open(b))
		return;
	conform_seed(&b->lane);
	for (uint32_t count = 0; count < fields; count++) {
		conform_run *r = conform_run_begin(
			&b->lane, conform_scope(b, STATOR_READ));
		stator_row key = conform_prefix(r, b->use.key, 0, count);
		conform_rows all;

		conform_with(&b->lane, "a limit, or reverse");
		if (conform_read_rows(r, &key, all_rows, &all) == STATOR_OK) {
			check_limit(r, &key, &all, 1);
			check_limit(r, &key, &all, 3);
			if (b->has & HAS_APPLY)
				check_reverse(r, &key, &all);
		}
		conform_rows_free(&all);
		conform_run_end(r);
	}
	conform_close(b);
}

/* All of them ------------------------------------------------------------- */

const conform_test conform_storage_tests[] = {
	{"get takes keys of every shape", HAS_GET, false, test_get},
	{"get gives the same again", HAS_GET | HAS_APPLY, false,
	 test_get_again},
	{"get_batch gives what get gives", HAS_GET | HAS_BATCH, false,
	 test_batch},
	{"read takes keys of every shape, and stops early", HAS_READ, false,
	 test_read},
	{"read goes backwards, and no further than is wanted", HAS_READ, false,
	 test_read_options},
	{"intents of every shape are validated and applied", HAS_WRITES, false,
	 conform_test_intents},
	{"validate changes nothing", HAS_WRITES | HAS_GET | HAS_APPLY, false,
	 conform_test_validate},
	{"what is applied can be read back", HAS_INSERT | HAS_GET | HAS_APPLY,
	 false, conform_test_read_back},
	{"what is applied goes with its event, or not at all",
	 HAS_GET | HAS_APPLY, false, conform_test_atomic},
	{"what is applied outlives the plugin", HAS_GET | HAS_APPLY, false,
	 conform_test_durable},
	{"updates are applied", HAS_UPDATE | HAS_GET | HAS_APPLY, false,
	 conform_test_update},
	{"effects are done, and done again", HAS_EFFECT, false,
	 conform_test_effect},
	{"nothing is seen before it is settled", HAS_GET | HAS_SETTLE, false,
	 conform_test_settle},
	{"errors of the store are passed on", 0, false,
	 conform_test_store_fails},
	{"calls survive without memory", 0, false, conform_test_no_memory},
	{"every kind of extension is served", 0, false, conform_test_scopes},
	{"a new version takes over", 0, false, conform_test_hand_over},
	{"several threads are served", 0, false, conform_test_threads},
};
const size_t conform_storage_test_count = STATOR_COUNT(conform_storage_tests);
