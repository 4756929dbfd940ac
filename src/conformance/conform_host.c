/*
 * conform_host.c: the host that a plugin under test is given. It is the
 * host's own table of functions, with guards around them: memory is counted,
 * filled with rubbish and looked after; the store can fail; the memory of a
 * run cannot be touched when it is over.
 *
 * The functions of the table and the handler of signals are given nothing
 * that leads to a bench. Hence the one variable below: it is used in the child
 * that runs one test, and nowhere else.
 */
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conformance/conform.h"

enum {
	BUCKETS = 4096,
	GUARD = 16,
	FRESH = 0, /* what the header promises of new memory */
	FREED = 0xdd,
	EDGE = 0xe7,
	RUN_BYTES = 256 * 1024,
	RUN_COUNT = 16384
};

/* What stands before the bytes that `alloc` gives. */
typedef struct block {
	struct block *next; /* in its bucket */
	size_t size;
	bool freed;
	bool broken; /* it has been said */
	uint8_t pad[6];
	uint64_t align;
} block;

static struct {
	conform_bench *bench;
	pthread_mutex_t lock;
	block *buckets[BUCKETS];
	size_t live;
	uint32_t fail_at; /* allocations until one fails; 0: none */
	bool failed;
	char *runs; /* address space for the memory of runs */
	atomic_uint next_run;
} child;

/* Memory ------------------------------------------------------------------ */

static block **
bucket_of(const void *p)
{
	return &child.buckets[((uintptr_t)p >> 4) % BUCKETS];
}

/* Called with the lock held. */
static bool
fails_now(void)
{
	if (child.fail_at == 0 || --child.fail_at)
		return false;
	child.failed = true;
	return true;
}

static void *
guarded_alloc(size_t size)
{
	uint8_t *p = NULL;
	block *b;

	pthread_mutex_lock(&child.lock);
	if (fails_now() || size > SIZE_MAX / 2)
		goto out;
	b = stator__memory(sizeof(*b) + size + GUARD);
	if (b == NULL)
		goto out;
	p = (uint8_t *)(b + 1);
	b->size = size;
	b->freed = b->broken = false;
	b->next = *bucket_of(p);
	*bucket_of(p) = b;
	memset(p, FRESH, size);
	memset(p + size, EDGE, GUARD);
	child.live++;
out:
	pthread_mutex_unlock(&child.lock);
	return p;
}

static block *
find_block(const void *p)
{
	block *b = *bucket_of(p);

	while (b && (const void *)(b + 1) != p)
		b = b->next;
	return b;
}

static bool
edge_kept(const block *b)
{
	const uint8_t *edge = (const uint8_t *)(b + 1) + b->size;

	for (int i = 0; i < GUARD; i++)
		if (edge[i] != EDGE)
			return false;
	return true;
}

static conform_call
last_call(void)
{
	return (conform_call)child.bench->suite->report->last;
}

/* Rationale: blocks are marked as freed, not given back, so that the second
 * `free` of one is seen whatever else was allocated. */
static void
guarded_free(void *p)
{
	block *b;
	bool freed;

	if (p == NULL)
		return;
	pthread_mutex_lock(&child.lock);
	b = find_block(p);
	freed = b && b->freed;
	if (b && !freed) {
		b->freed = true;
		child.live--;
		memset(p, FREED, b->size);
	}
	pthread_mutex_unlock(&child.lock);
	if (b == NULL)
		conform_broke(child.bench, RULE_FREE_ONCE, last_call(),
			      "free was given what alloc did not give");
	else if (freed)
		conform_broke(child.bench, RULE_FREE_ONCE, last_call(),
			      "free was given a block of %zu bytes twice",
			      b->size);
}

void
conform_fail_alloc(uint32_t at)
{
	pthread_mutex_lock(&child.lock);
	child.fail_at = at;
	child.failed = false;
	pthread_mutex_unlock(&child.lock);
}

bool
conform_alloc_failed(void)
{
	return child.failed;
}

bool
conform_is_freed(const void *p)
{
	const block *b = find_block(p);

	return b && b->freed;
}

size_t
conform_blocks(void)
{
	return child.live;
}

/* The size of a block that somebody wrote behind, or 0: each is told once.
 * Freed ones too: their last words may have been too many. */
static size_t
find_broken(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
		for (block *b = child.buckets[i]; b; b = b->next)
			if (!b->broken && !edge_kept(b)) {
				b->broken = true;
				return b->size;
			}
	return 0;
}

void
conform_check_bounds(conform_call call)
{
	size_t size;

	pthread_mutex_lock(&child.lock);
	size = find_broken();
	pthread_mutex_unlock(&child.lock);
	if (size)
		conform_broke(child.bench, RULE_BOUNDS, call,
			      "bytes behind a block of %zu were written", size);
}

/* Memory of runs ---------------------------------------------------------- */

void *
conform_run_memory(size_t *size)
{
	unsigned at = child.next_run++;
	char *p = child.runs + (size_t)at * RUN_BYTES;

	if (at >= RUN_COUNT || mprotect(p, RUN_BYTES, PROT_READ | PROT_WRITE))
		abort();
	*size = RUN_BYTES;
	return p;
}

void
conform_run_memory_end(void *memory)
{
	madvise(memory, RUN_BYTES, MADV_DONTNEED);
	mprotect(memory, RUN_BYTES, PROT_NONE);
}

/* Notes where the crash was, and lets it happen: the handler is gone. */
static void
on_crash(int signal, siginfo_t *info, void *context)
{
	const char *at = info->si_addr;

	(void)signal;
	(void)context;
	if (at >= child.runs && at < child.runs + (size_t)RUN_COUNT * RUN_BYTES)
		child.bench->suite->report->dead_run = true;
}

static void
catch_crashes(void)
{
	stack_t stack = {.ss_size = 64 * 1024};
	struct sigaction action = {.sa_sigaction = on_crash,
				   .sa_flags = SA_SIGINFO | SA_ONSTACK |
					       (int)SA_RESETHAND};

	stack.ss_sp = stator__alloc(stack.ss_size);
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
}

/* The log ----------------------------------------------------------------- */

static void
checked_log(int32_t level, const char *source, const char *message)
{
	if (level >= STATOR_LOG_ERROR && level <= STATOR_LOG_TRACE && source &&
	    message && stator__utf8_valid(message, strlen(message)))
		return;
	conform_broke(child.bench, RULE_LOG, last_call(),
		      "level %d, source %s, text %s", level,
		      source ? source : "NULL", message ? message : "NULL");
}

/* The store --------------------------------------------------------------- */

static conform_run *
run_of(const stator_run *run)
{
	return (conform_run *)(uintptr_t)run;
}

/* Whether this call of the store is the one that is to fail. */
static bool
store_fails(conform_run *r, stator_error *err)
{
	if (++r->store_calls != r->fail_store_call)
		return false;
	r->store_failed = true;
	stator__fail(err, STATOR_IO, "the store fails, as it was told to");
	return true;
}

/* What the store gives is copied, so that it is gone after the run. */
static void
lend(conform_run *r, stator_slice *s)
{
	s->data = stator__arena_copy(&r->arena, s->data, s->size);
}

static int32_t
store_get(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_slice *value, stator_error *err)
{
	conform_run *r = run_of(run);
	int32_t code;

	if (store_fails(r, err))
		return STATOR_IO;
	code = stator__store_api.get(run, wsid, key, value, err);
	if (code == STATOR_OK)
		lend(r, value);
	return code;
}

typedef struct range {
	conform_run *run;
	void *cursor;
	bool released;
} range;

static int32_t
store_range(const stator_run *run, int64_t wsid, stator_slice low,
	    stator_slice high, int reverse, void **cursor, stator_error *err)
{
	conform_run *r = run_of(run);
	range *c = stator__arena_zero(&r->arena, sizeof(*c));
	int32_t code;

	if (store_fails(r, err))
		return STATOR_IO;
	code = stator__store_api.range(run, wsid, low, high, reverse,
				       &c->cursor, err);
	if (code)
		return code;
	c->run = r;
	r->open_ranges++;
	*cursor = c;
	return STATOR_OK;
}

static bool
is_released(const range *c, const char *what)
{
	if (c->released)
		conform_broke(child.bench, RULE_RANGE_ONCE, last_call(),
			      "%s was given a cursor that is released", what);
	return c->released;
}

static int32_t
store_next(void *cursor, stator_slice *key, stator_slice *value,
	   stator_error *err)
{
	range *c = cursor;
	int32_t code;

	if (is_released(c, "cursor_next"))
		return stator__fail(err, STATOR_INVALID, "released");
	if (store_fails(c->run, err))
		return STATOR_IO;
	code = stator__store_api.cursor_next(c->cursor, key, value, err);
	if (code == STATOR_OK) {
		lend(c->run, key);
		lend(c->run, value);
	}
	return code;
}

static void
store_release(void *cursor)
{
	range *c = cursor;

	if (is_released(c, "cursor_release"))
		return;
	c->released = true;
	c->run->open_ranges--;
	stator__store_api.cursor_release(c->cursor);
}

/* Whether a write may be; `code` tells what it gives otherwise. */
static bool
may_write(conform_run *r, const char *what, int32_t *code, stator_error *err)
{
	if (!r->applying) {
		conform_broke(child.bench, RULE_ONLY_APPLY, last_call(),
			      "%s was called", what);
		*code = stator__fail(err, STATOR_INVALID,
				     "put and del are for apply only");
		return false;
	}
	*code = STATOR_IO;
	return !store_fails(r, err);
}

static int32_t
store_put(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_slice value, stator_error *err)
{
	conform_run *r = run_of(run);
	int32_t code;

	if (may_write(r, "put", &code, err))
		code = stator__store_api.put(run, wsid, key, value, err);
	r->put_refused |= code < 0;
	return code;
}

static int32_t
store_del(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_error *err)
{
	conform_run *r = run_of(run);
	int32_t code;

	if (may_write(r, "del", &code, err))
		code = stator__store_api.del(run, wsid, key, err);
	r->put_refused |= code < 0;
	return code;
}

static const stator_store_api guarded_store = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_store_api),
	.get = store_get,
	.range = store_range,
	.cursor_next = store_next,
	.cursor_release = store_release,
	.put = store_put,
	.del = store_del,
};

/* The table --------------------------------------------------------------- */

static const void *
guarded_ext(const char *name)
{
	if (name && strcmp(name, "stator.store/1") == 0)
		return &guarded_store;
	return name ? stator__host_api.get_ext(name) : NULL;
}

const stator_host_api *
conform_host_begin(conform_bench *bench)
{
	stator_host_api *host = stator__alloc(sizeof(*host));

	child.bench = bench;
	pthread_mutex_init(&child.lock, NULL);
	child.runs = mmap(NULL, (size_t)RUN_COUNT * RUN_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (child.runs == MAP_FAILED)
		abort();
	catch_crashes();
	*host = stator__host_api;
	host->alloc = guarded_alloc;
	host->free = guarded_free;
	host->log = checked_log;
	host->get_ext = guarded_ext;
	return host;
}
