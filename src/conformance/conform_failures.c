/*
 * conform_failures.c: tests of storages in bad times and in change: the store
 * fails, memory runs out, a new version comes, several threads call.
 */
#include "conformance/conform.h"

/* Failures ---------------------------------------------------------------- */

enum { MOST_FAILURES = 200 };

/* What is tried while something fails: one operation of the storage. */
typedef struct attempt {
	const char *name;
	uint32_t needs;
	conform_call call;
	int (*run)(conform_run *r);
} attempt;

static int
attempt_get(conform_run *r)
{
	stator_row key = conform_good(r, r->lane->bench->use.key, 0), value;

	return conform_get(r, &key, &value);
}

static int
attempt_batch(conform_run *r)
{
	stator_row values[3], keys[3];

	for (uint32_t i = 0; i < 3; i++)
		keys[i] = conform_good(r, r->lane->bench->use.key, i);
	return conform_get_batch(r, keys, 3, values);
}

static int
attempt_read(conform_run *r)
{
	stator_row key = conform_prefix(r, r->lane->bench->use.key, 0, 0);
	conform_rows all;
	int code = conform_read_rows(r, &key, (conform_reading){.stop = 0},
				     &all);

	conform_rows_free(&all);
	return code;
}

static int
attempt_write(conform_run *r)
{
	conform_bench *b = r->lane->bench;
	stator_row key = conform_good(r, b->use.key, 0);
	stator_row value = conform_good(r, b->use.value, 0);
	int code = conform_write(r, &key, &value, conform_inserts(b));

	if (code == STATOR_OK)
		stator__map_rollback(r->lane->maps[r->lane->partition]);
	return code;
}

static const attempt attempts[] = {
	{"get", HAS_GET, CALL_GET, attempt_get},
	{"get_batch", HAS_BATCH, CALL_BATCH, attempt_batch},
	{"read", HAS_READ, CALL_READ, attempt_read},
	{"validate and apply", HAS_APPLY, CALL_APPLY, attempt_write},
};

static uint32_t
attempt_scope(const conform_bench *b, const attempt *a)
{
	switch (a->call) {
	case CALL_GET:
		return conform_scope(b, STATOR_GET);
	case CALL_BATCH:
		return conform_scope(b, STATOR_GETBATCH);
	case CALL_READ:
		return conform_scope(b, STATOR_READ);
	default:
		return conform_write_scope(b);
	}
}

/* False when the store was not called that often. */
static bool
fail_store(conform_bench *b, const attempt *a, uint32_t at)
{
	conform_run *r = conform_run_begin(&b->lane, attempt_scope(b, a));
	bool failed;
	int code;

	conform_with(&b->lane, "a store that fails");
	r->fail_store_call = at;
	code = a->run(r);
	failed = r->store_failed;
	if (failed && code >= 0)
		conform_broke(b, RULE_STORE_FAILED, a->call,
			      "call %u of the store failed, and it said %s", at,
			      stator__status_name(code));
	conform_run_end(r);
	return failed;
}

void
conform_test_store_fails(conform_bench *b)
{
	bool any = false;

	if (!conform_open(b))
		return;
	conform_seed(&b->lane);
	for (size_t i = 0; i < STATOR_COUNT(attempts); i++)
		for (uint32_t at = 1; (b->has & attempts[i].needs) &&
				      at < MOST_FAILURES &&
				      fail_store(b, &attempts[i], at);
		     at++)
			any = true;
	if (!any)
		conform_skip(b, "the store is not called");
	conform_close(b);
}

static int
run_attempt(conform_bench *b, const attempt *a)
{
	conform_run *r = conform_run_begin(&b->lane, attempt_scope(b, a));
	int code = a->run(r);

	conform_run_end(r);
	return code;
}

/* False when nothing was allocated that often. */
static bool
fail_memory(conform_bench *b, const attempt *a, uint32_t at, int usual)
{
	bool failed;
	int code;

	conform_with(&b->lane, "no memory");
	conform_fail_alloc(at);
	code = run_attempt(b, a);
	failed = conform_alloc_failed();
	conform_fail_alloc(0);
	if (failed && code >= 0 && code != usual)
		conform_broke(b, RULE_NO_MEMORY, a->call,
			      "allocation %u failed, and it said %s instead of "
			      "%s",
			      at, stator__status_name(code),
			      stator__status_name(usual));
	return failed;
}

void
conform_test_no_memory(conform_bench *b)
{
	bool any = false;

	if (!conform_open(b))
		return;
	conform_seed(&b->lane);
	for (size_t i = 0; i < STATOR_COUNT(attempts); i++) {
		int usual;

		if ((b->has & attempts[i].needs) == 0)
			continue;
		usual = run_attempt(b, &attempts[i]);
		for (uint32_t at = 1; at < MOST_FAILURES &&
				      fail_memory(b, &attempts[i], at, usual);
		     at++)
			any = true;
	}
	if (!any)
		conform_skip(b, "nothing is allocated in calls");
	conform_close(b);
}

/* Scopes, versions and threads -------------------------------------------- */

void
conform_test_scopes(conform_bench *b)
{
	static const int ops[] = {STATOR_GET, STATOR_GETBATCH, STATOR_READ,
				  STATOR_INSERT};

	if (!conform_open(b))
		return;
	for (size_t i = 0; i < STATOR_COUNT(attempts); i++)
		for (uint32_t scope = 1; scope <= STATOR_JOBS; scope <<= 1) {
			conform_run *r;

			if ((b->has & attempts[i].needs) == 0 ||
			    (b->storage->scopes[ops[i]] & scope) == 0)
				continue;
			conform_with(&b->lane, "a run of another kind");
			r = conform_run_begin(&b->lane, scope);
			attempts[i].run(r);
			conform_run_end(r);
		}
	conform_close(b);
}

/* The new version's instances; what the old one had is in `selves`. */
static bool
attach_next(conform_bench *b, void **data, void **selves)
{
	if (conform_init(b, data))
		return false;
	for (uint32_t i = 0; i < CONFORM_PARTITIONS; i++)
		if (conform_attach(b, *data, i, b->selves[i], &selves[i]))
			return false;
	for (uint32_t i = 0; i < CONFORM_PARTITIONS; i++)
		if (conform_is_freed(b->selves[i])) {
			conform_broke(b, RULE_LENT, CALL_ATTACH,
				      "the instance of partition %u is freed",
				      i);
			return false;
		}
	return true;
}

/* As the host does it: the old version serves what it has begun, and goes
 * when the new one is there. */
void
conform_test_hand_over(conform_bench *b)
{
	bool keeps = (b->has & HAS_GET) && (b->has & HAS_APPLY);
	void *data, *selves[CONFORM_PARTITIONS];
	conform_element all[CONFORM_LOOKS];

	if (!conform_open(b))
		return;
	if (keeps) {
		conform_seed(&b->lane);
		conform_look_at_all(&b->lane, all);
	}
	if (!attach_next(b, &data, selves))
		return;
	if (keeps)
		conform_compare_all(&b->lane, all, RULE_HANDED_OVER,
				    CALL_ATTACH,
			    "in the version that is replaced");
	for (uint32_t i = CONFORM_PARTITIONS; i-- > 0;)
		conform_detach(b, b->selves[i]);
	conform_finit(b, b->data);
	b->data = data;
	memcpy(b->selves, selves, sizeof(selves));
	if (keeps) {
		conform_compare_all(&b->lane, all, RULE_HANDED_OVER,
				    CALL_ATTACH,
			    "in the version that takes over");
		conform_forget_all(all);
	}
	conform_close(b);
}

enum { TURNS = 200, READERS = 3, THREADS = 5 };

typedef struct worker {
	conform_lane lane;
	pthread_t thread;
	bool writes;
	const conform_element *expected; /* NULL: not known */
} worker;

static void *
work(void *ctx)
{
	worker *w = ctx;
	conform_bench *b = w->lane.bench;

	for (uint32_t i = 0; i < TURNS; i++) {
		conform_element e;

		if (w->writes) {
			conform_write_good(&w->lane, i % CONFORM_LOOKS);
			continue;
		}
		e = conform_look(&w->lane, i % CONFORM_LOOKS);
		if (w->expected &&
		    !conform_same(&e, &w->expected[i % CONFORM_LOOKS]))
			conform_broke(b, RULE_CONCURRENT, CALL_GET,
				      "element %u is another than with one "
				      "thread",
				      i % CONFORM_LOOKS);
		conform_forget(&e);
	}
	return NULL;
}

/* Readers see what is stored; each writer has a store of its own. */
static void
set_worker(conform_bench *b, uint32_t i, const conform_element *expected,
	   worker *w)
{
	w->lane = b->lane;
	w->lane.slot = i + 1;
	w->lane.partition = i % CONFORM_PARTITIONS;
	w->writes = i >= READERS;
	w->expected = expected;
	for (int k = 0; w->writes && k < CONFORM_PARTITIONS; k++)
		w->lane.maps[k] = stator__map_new();
}

static void
run_workers(worker *workers)
{
	bool started[THREADS];

	for (uint32_t i = 0; i < THREADS; i++) {
		uint32_t need = workers[i].writes ? HAS_APPLY | HAS_SETTLE
						  : HAS_GET;

		started[i] = (workers[i].lane.bench->has & need) &&
			     pthread_create(&workers[i].thread, NULL, work,
					    &workers[i]) == 0;
	}
	for (uint32_t i = 0; i < THREADS; i++) {
		if (started[i])
			pthread_join(workers[i].thread, NULL);
		for (int k = 0; workers[i].writes && k < CONFORM_PARTITIONS;
		     k++)
			stator__map_free(workers[i].lane.maps[k]);
	}
}

void
conform_test_threads(conform_bench *b)
{
	bool keeps = (b->has & HAS_GET) && (b->has & HAS_APPLY);
	conform_element all[CONFORM_PARTITIONS][CONFORM_LOOKS];
	worker workers[THREADS];

	if (!conform_open(b))
		return;
	for (uint32_t p = 0; keeps && p < CONFORM_PARTITIONS; p++) {
		conform_lane lane = b->lane;

		lane.partition = p;
		conform_seed(&lane);
		conform_look_at_all(&lane, all[p]);
	}
	for (uint32_t i = 0; i < THREADS; i++)
		set_worker(b, i, keeps ? all[i % CONFORM_PARTITIONS] : NULL,
			   &workers[i]);
	run_workers(workers);
	for (uint32_t p = 0; keeps && p < CONFORM_PARTITIONS; p++)
		conform_forget_all(all[p]);
	conform_close(b);
}
