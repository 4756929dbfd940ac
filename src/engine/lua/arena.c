/*
 * arena.c: a segregated-fit allocator inside one mapped region.
 *
 * Lua tells the size of what it frees, so blocks have no headers. Blocks of up
 * to SMALL bytes come from lists, one for each class of size; classes take
 * pages from the front of the region and keep them. Larger blocks are runs of
 * pages: free runs are kept in an ordered array and joined with their
 * neighbours.
 */
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/lua/arena.h"

enum {
	PAGE = 4096,
	STEP = 16,	      /* classes up to STEPPED bytes are this apart */
	STEPPED = 512,
	SMALL = 8192,	      /* classes above STEPPED: four a doubling */
	CLASSES = STEPPED / STEP + 4 * 4,
	CHUNK = 4 * PAGE,     /* what a class takes at a time, at least */
	SPARE = 256,	      /* pages that stay with the process */
	GRAIN = 256	      /* an image is kept in units of so many bytes */
};

typedef struct free_block {
	struct free_block *next;
} free_block;

typedef struct run {
	uint32_t page, pages;
} run;

/* What there is, but for free runs of pages. */
typedef struct inventory {
	size_t top; /* pages below this have been handed out */
	free_block *lists[CLASSES];
	char *at[CLASSES], *end[CLASSES]; /* rest of a class's last chunk */
	size_t used; /* bytes of blocks */
} inventory;

/* Bytes that are in use, from the base on. */
typedef struct span {
	size_t from, size;
} span;

/* A copy of all that is in use. What was free then is not used again, so that
 * nothing of it needs to be put back. */
typedef struct kept {
	inventory has;
	span *spans;
	size_t span_count, span_cap;
	char *bytes; /* of the spans */
} kept;

struct lua_arena {
	char *base;
	size_t pages; /* in the region */
	inventory has;
	run *runs; /* free ones, by page */
	size_t run_count, run_cap;
	size_t highest; /* the top has been there since pages were given back */
	size_t string;	/* the largest block of a string */
	size_t wake;	/* bytes in use from which the collector works */
	lua_State *L;	/* whose it is */
	sigjmp_buf *escape;
	lua_preempt *preempt;
	kept *image;
};

lua_arena *
stator__lua_arena_new(size_t size, size_t text)
{
	lua_arena *a = stator__alloc(sizeof(*a));
	size_t pages = (size + PAGE - 1) / PAGE;
	void *base = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED) {
		free(a);
		return NULL;
	}
	a->base = base;
	a->pages = pages;
	a->wake = SIZE_MAX;
	/* Its head, its bytes and a zero, in units of four bytes. */
	a->string = text < size ? 24 + ((text + 4) & ~(size_t)3) : SIZE_MAX;
	return a;
}

static void
forget_image(lua_arena *a)
{
	if (a->image == NULL)
		return;
	free(a->image->spans);
	free(a->image->bytes);
	free(a->image);
	a->image = NULL;
}

void
stator__lua_arena_free(lua_arena *a)
{
	if (a == NULL)
		return;
	munmap(a->base, a->pages * PAGE);
	forget_image(a);
	free(a->runs);
	free(a);
}

void
stator__lua_arena_drop(lua_arena *a)
{
	madvise(a->base, a->highest * PAGE, MADV_DONTNEED);
	memset(&a->has, 0, sizeof(a->has));
	a->highest = a->run_count = 0;
	a->wake = SIZE_MAX;
	forget_image(a);
	a->escape = NULL;
	a->preempt = NULL;
}

void
stator__lua_arena_guard(lua_arena *a, sigjmp_buf *escape,
			lua_preempt *preempt)
{
	a->escape = escape;
	a->preempt = preempt;
}

size_t
stator__lua_arena_used(const lua_arena *a)
{
	return a->has.used;
}

void
stator__lua_arena_wake(lua_arena *a, lua_State *L, size_t used)
{
	a->L = L;
	a->wake = used;
}

bool
stator__lua_arena_awake(const lua_arena *a)
{
	return a->wake == SIZE_MAX;
}

static _Noreturn void
leave(lua_arena *a, int by)
{
	if (a->preempt)
		stator__preempt_note(a->preempt);
	if (a->escape)
		siglongjmp(*a->escape, by);
	fputs("stator: a Lua state is out of memory outside of a run\n",
	      stderr);
	abort();
}

/* Runs of pages ----------------------------------------------------------- */

static void
remove_run(lua_arena *a, size_t i)
{
	a->run_count--;
	memmove(&a->runs[i], &a->runs[i + 1],
		(a->run_count - i) * sizeof(run));
}

static char *
take_pages(lua_arena *a, size_t pages)
{
	size_t page;

	for (size_t i = 0; i < a->run_count; i++) {
		run *r = &a->runs[i];

		if (r->pages < pages)
			continue;
		page = r->page;
		r->page += (uint32_t)pages;
		r->pages -= (uint32_t)pages;
		if (r->pages == 0)
			remove_run(a, i);
		return a->base + page * PAGE;
	}
	if (a->pages - a->has.top < pages)
		leave(a, PREEMPT_MEMORY);
	page = a->has.top;
	a->has.top += pages;
	if (a->highest < a->has.top)
		a->highest = a->has.top;
	return a->base + page * PAGE;
}

/* The first run behind `page`. */
static size_t
find_run(const lua_arena *a, size_t page)
{
	size_t low = 0, high = a->run_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (a->runs[mid].page < page)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void
give_pages(lua_arena *a, char *p, size_t pages)
{
	size_t page = (size_t)(p - a->base) / PAGE, i = find_run(a, page);
	run *before = i ? &a->runs[i - 1] : NULL;
	run *after = i < a->run_count ? &a->runs[i] : NULL;

	if (before && before->page + before->pages != page)
		before = NULL;
	if (after && page + pages != after->page)
		after = NULL;
	if (before) {
		before->pages += (uint32_t)pages;
		if (after) {
			before->pages += after->pages;
			remove_run(a, i);
		}
	} else if (after) {
		after->page = (uint32_t)page;
		after->pages += (uint32_t)pages;
	} else {
		STATOR_GROW(a->runs, a->run_count, a->run_cap);
		memmove(&a->runs[i + 1], &a->runs[i],
			(a->run_count - i) * sizeof(run));
		a->runs[i] = (run){(uint32_t)page, (uint32_t)pages};
		a->run_count++;
	}
	/* The last run goes back to the top, so that the region can shrink. */
	if (a->run_count) {
		run *last = &a->runs[a->run_count - 1];

		if (last->page + last->pages == a->has.top) {
			a->has.top = last->page;
			a->run_count--;
		}
	}
}

static size_t
pages_for(size_t size)
{
	return (size + PAGE - 1) / PAGE;
}

/* Classes ------------------------------------------------------------------ */

static size_t
class_of(size_t size)
{
	size_t above, shift;

	if (size <= STEPPED)
		return size ? (size - 1) / STEP : 0;
	/* The doubling, then the quarter of it. */
	above = size - 1;
	shift = (size_t)(63 - __builtin_clzll(above));
	return STEPPED / STEP + (shift - 9) * 4 + (above >> (shift - 2) & 3);
}

static size_t
class_size(size_t class)
{
	size_t doubling, quarter;

	if (class < STEPPED / STEP)
		return (class + 1) * STEP;
	doubling = (class - STEPPED / STEP) / 4;
	quarter = (class - STEPPED / STEP) % 4;
	return ((size_t)STEPPED << doubling) / 4 * (5 + quarter);
}

static void *
take_small(lua_arena *a, size_t class)
{
	free_block *block = a->has.lists[class];
	size_t size = class_size(class);

	if (block) {
		a->has.lists[class] = block->next;
		return block;
	}
	if ((size_t)(a->has.end[class] - a->has.at[class]) < size) {
		a->has.at[class] = take_pages(a, CHUNK / PAGE);
		a->has.end[class] = a->has.at[class] + CHUNK;
	}
	a->has.at[class] += size;
	return a->has.at[class] - size;
}

static void
give_small(lua_arena *a, size_t class, void *p)
{
	free_block *block = p;

	block->next = a->has.lists[class];
	a->has.lists[class] = block;
}

static bool
is_power_of_two(size_t n)
{
	return (n & (n - 1)) == 0;
}

/*
 * What the allocator is not told: whether a large block is a string. Buffers,
 * and the table of all strings, are powers of two; the array of a table that
 * grows has one element of 8 bytes more than a power of two, its hash is 24
 * bytes times a power of two.
 */
static void *
take_large(lua_arena *a, size_t size)
{
	if (STATOR_UNLIKELY(size > a->string) && !is_power_of_two(size) &&
	    !is_power_of_two(size - 8) &&
	    !(size % 24 == 0 && is_power_of_two(size / 24)))
		leave(a, PREEMPT_STRING);
	return take_pages(a, pages_for(size));
}

/* This only sets a number that LuaJIT looks at when it has allocated. */
static void
wake(lua_arena *a)
{
	a->wake = SIZE_MAX;
	lua_gc(a->L, LUA_GCRESTART, 0);
}

static void *
take(lua_arena *a, size_t size)
{
	if (a->preempt)
		stator__preempt_point(a->preempt);
	a->has.used += size;
	if (STATOR_UNLIKELY(a->has.used > a->wake))
		wake(a);
	return size <= SMALL ? take_small(a, class_of(size))
			     : take_large(a, size);
}

static void
give(lua_arena *a, void *p, size_t size)
{
	a->has.used -= size;
	if (size <= SMALL)
		give_small(a, class_of(size), p);
	else
		give_pages(a, p, pages_for(size));
}

/*
 * A Lua stack grows to 65,500 slots at most, some more that LuaJIT keeps for
 * itself, and nothing else grows to just that size. Rationale: at the limit it
 * raises an error, and does that in handlers of its own, too, when a trace
 * begins or ends; it crashes then. So the run is left one step earlier.
 */
static bool
is_longest_stack(size_t size)
{
	return size == (65500 + 1 + 7) * 8 || size == (65500 + 1 + 8) * 8;
}

void *
stator__lua_arena_alloc(void *ctx, void *p, size_t old, size_t size)
{
	lua_arena *a = ctx;
	void *moved;

	if (p == NULL)
		return size ? take(a, size) : NULL;
	if (size == 0) {
		give(a, p, old);
		return NULL;
	}
	if (old <= SMALL && size <= SMALL ? class_of(old) == class_of(size)
					  : old > SMALL && size > SMALL &&
						    pages_for(old) ==
							    pages_for(size)) {
		a->has.used += size - old;
		return p;
	}
	if (STATOR_UNLIKELY(is_longest_stack(size)))
		leave(a, PREEMPT_STACK);
	moved = take(a, size);
	memcpy(moved, p, old < size ? old : size);
	give(a, p, old);
	return moved;
}

/* Images ------------------------------------------------------------------- */

static void
add_idle(uint16_t *idle, size_t from, size_t size)
{
	while (size) {
		size_t rest = GRAIN - from % GRAIN;
		size_t part = rest < size ? rest : size;

		idle[from / GRAIN] = (uint16_t)(idle[from / GRAIN] + part);
		from += part;
		size -= part;
	}
}

/* How many bytes of each unit are free; caller frees with free. */
static uint16_t *
count_idle(const lua_arena *a)
{
	uint16_t *idle = stator__alloc(a->has.top * PAGE / GRAIN *
				       sizeof(*idle) + 1);

	for (size_t i = 0; i < CLASSES; i++) {
		const free_block *b = a->has.lists[i];

		if (a->has.at[i])
			add_idle(idle, (size_t)(a->has.at[i] - a->base),
				 (size_t)(a->has.end[i] - a->has.at[i]));
		for (; b; b = b->next)
			add_idle(idle, (size_t)((const char *)b - a->base),
				 class_size(i));
	}
	for (size_t i = 0; i < a->run_count; i++)
		add_idle(idle, (size_t)a->runs[i].page * PAGE,
			 (size_t)a->runs[i].pages * PAGE);
	return idle;
}

/* Returns their bytes. */
static size_t
find_spans(kept *k, const uint16_t *idle, size_t units)
{
	size_t bytes = 0;
	span *last = NULL;

	for (size_t i = 0; i < units; i++) {
		if (idle[i] == GRAIN)
			continue;
		bytes += GRAIN;
		if (last && last->from + last->size == i * GRAIN) {
			last->size += GRAIN;
			continue;
		}
		STATOR_GROW(k->spans, k->span_count, k->span_cap);
		last = &k->spans[k->span_count++];
		*last = (span){i * GRAIN, GRAIN};
	}
	return bytes;
}

void
stator__lua_arena_keep(lua_arena *a)
{
	kept *k = stator__alloc(sizeof(*k));
	uint16_t *idle = count_idle(a);
	char *to;

	to = k->bytes = stator__alloc(
		find_spans(k, idle, a->has.top * PAGE / GRAIN) + 1);
	for (size_t i = 0; i < k->span_count; i++) {
		memcpy(to, a->base + k->spans[i].from, k->spans[i].size);
		to += k->spans[i].size;
	}
	free(idle);
	k->has = a->has;
	memset(k->has.lists, 0, sizeof(k->has.lists));
	forget_image(a);
	a->image = k;
}

void
stator__lua_arena_put_back(lua_arena *a)
{
	const kept *k = a->image;
	const char *from = k->bytes;

	a->has = k->has;
	a->run_count = 0;
	for (size_t i = 0; i < k->span_count; i++) {
		memcpy(a->base + k->spans[i].from, from, k->spans[i].size);
		from += k->spans[i].size;
	}
	if (a->highest <= k->has.top + SPARE)
		return;
	madvise(a->base + k->has.top * PAGE,
		(a->highest - k->has.top) * PAGE, MADV_DONTNEED);
	a->highest = k->has.top;
}
