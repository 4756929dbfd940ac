/*
 * memory.c: allocation that cannot fail, arenas and growing buffers.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

struct stator_arena_block {
	stator_arena_block *older;
	size_t size; /* of `data` */
	char data[];
};

enum { FIRST_BLOCK = 2 * 1024 };

static void *
or_die(void *p)
{
	if (p == NULL) {
		fputs("stator: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *
stator__alloc(size_t size)
{
	return or_die(stator__memory_zero(size ? size : 1));
}

void *
stator__realloc(void *p, size_t size)
{
	return or_die(stator__memory_resize(p, size ? size : 1));
}

char *
stator__strndup(const char *s, size_t size)
{
	char *copy = stator__alloc(size + 1);

	memcpy(copy, s, size);
	return copy;
}

char *
stator__strdup(const char *s)
{
	return stator__strndup(s, strlen(s));
}

char *
stator__format(const char *format, ...)
{
	va_list args, again;
	char *text;
	int size;

	va_start(args, format);
	va_copy(again, args);
	size = vsnprintf(NULL, 0, format, args);
	text = stator__alloc((size_t)size + 1);
	vsnprintf(text, (size_t)size + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

void *
stator__grow(void *items, size_t *cap, size_t item_size)
{
	size_t more = *cap ? *cap * 2 : 8;

	if (more > SIZE_MAX / item_size)
		or_die(NULL);
	*cap = more;
	return stator__realloc(items, more * item_size);
}

/* Starts a new block, twice as large as the last. */
void *
stator__arena_refill(stator_arena *arena, size_t size)
{
	size_t want = arena->block ? arena->block->size * 2 : FIRST_BLOCK;
	stator_arena_block *block;

	while (want < size)
		want *= 2;
	block = or_die(stator__memory(sizeof(*block) + want));
	block->older = arena->block;
	block->size = want;
	arena->block = block;
	arena->at = block->data + size;
	arena->end = block->data + want;
	return block->data;
}

size_t
stator__arena_size(const stator_arena *arena)
{
	const stator_arena_block *b = arena->block;
	size_t size = b ? (size_t)(arena->at - b->data) : 0;

	for (b = b ? b->older : NULL; b; b = b->older)
		size += b->size;
	return size;
}

bool
stator__arena_owns(const stator_arena *arena, const void *data, size_t size)
{
	const char *p = data;

	for (const stator_arena_block *b = arena->block; b; b = b->older) {
		const char *end = b == arena->block ? arena->at
						    : b->data + b->size;

		if (p >= b->data && p <= end && size <= (size_t)(end - p))
			return true;
	}
	return false;
}

void *
stator__arena_zero(stator_arena *arena, size_t size)
{
	return memset(stator__arena_alloc(arena, size), 0, size);
}

void *
stator__arena_copy(stator_arena *arena, const void *data, size_t size)
{
	void *copy = stator__arena_alloc(arena, size);

	if (size)
		memcpy(copy, data, size);
	return copy;
}

char *
stator__arena_str(stator_arena *arena, const char *data, size_t size)
{
	char *copy = stator__arena_alloc(arena, size + 1);

	memcpy(copy, data, size);
	copy[size] = 0;
	return copy;
}

char *
stator__arena_format(stator_arena *arena, const char *format, ...)
{
	va_list args, again;
	char *text;
	int size;

	va_start(args, format);
	va_copy(again, args);
	size = vsnprintf(NULL, 0, format, args);
	text = stator__arena_alloc(arena, (size_t)size + 1);
	vsnprintf(text, (size_t)size + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}

static void
free_older(stator_arena_block *block)
{
	while (block) {
		stator_arena_block *older = block->older;

		free(block);
		block = older;
	}
}

void
stator__arena_reset_to(stator_arena *arena, size_t most)
{
	stator_arena_block *block = arena->block;

	if (block == NULL)
		return;
	if (block->size > most) {
		stator__arena_free(arena);
		return;
	}
	free_older(block->older);
	block->older = NULL;
	arena->at = block->data;
}

/* Rationale: a block past this size was one greedy run; giving it back keeps
 * the memory of a partition flat. */
enum { KEPT_BLOCK = 1024 * 1024 };

void
stator__arena_reset(stator_arena *arena)
{
	stator__arena_reset_to(arena, KEPT_BLOCK);
}

void
stator__arena_free(stator_arena *arena)
{
	free_older(arena->block);
	memset(arena, 0, sizeof(*arena));
}

uint8_t *
stator__buf_enlarge(stator_buf *buf, size_t size)
{
	size_t cap = buf->cap ? buf->cap : 256;

	while (cap - buf->size < size)
		cap *= 2;
	buf->data = stator__realloc(buf->data, cap);
	buf->cap = cap;
	return buf->data + buf->size;
}

void
stator__buf_str(stator_buf *buf, const char *s)
{
	stator__buf_put(buf, s, strlen(s));
}

void
stator__buf_format(stator_buf *buf, const char *format, ...)
{
	va_list args, again;
	int size;

	va_start(args, format);
	va_copy(again, args);
	size = vsnprintf(NULL, 0, format, args);
	vsnprintf((char *)stator__buf_reserve(buf, (size_t)size + 1),
		  (size_t)size + 1, format, again);
	buf->size += (size_t)size;
	va_end(again);
	va_end(args);
}
