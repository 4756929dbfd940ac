/*
 * chunks.c: see chunks.h.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "store/chunks.h"

/* Rationale: large pages, since the overlay is read all over the place. */
stator_chunk *
stator__chunk_new(size_t size)
{
	stator_chunk *c = size < STATOR_CHUNK
				  ? stator__alloc(size)
				  : stator__memory_aligned(STATOR_CHUNK, size);

	if (c == NULL)
		c = stator__alloc(SIZE_MAX); /* says so and ends */
	if (size >= STATOR_CHUNK)
		madvise(c, size, MADV_HUGEPAGE);
	c->size = size;
	return c;
}

stator_chunk *
stator__chunk_ready(void)
{
	enum { PAGE = 4096 };
	stator_chunk *c = stator__chunk_new(STATOR_CHUNK);

	for (size_t at = PAGE; at < STATOR_CHUNK; at += PAGE)
		((volatile char *)c)[at] = 0;
	return c;
}

stator_chunk *
stator__chunks_take(stator_chunks *chunks, size_t size)
{
	stator_chunk *c = chunks->free;
	size_t whole = STATOR_CHUNK;

	if (size <= STATOR_CHUNK - sizeof(*c) && c) {
		chunks->free = c->next;
		chunks->free_bytes -= c->size;
		return c;
	}
	while (whole < size + sizeof(*c))
		whole += STATOR_CHUNK;
	return stator__chunk_new(whole);
}

static void
free_chunk(stator_chunk *c)
{
	if (c->size < STATOR_CHUNK)
		free(c);
	else
		stator__memory_aligned_free(c);
}

void
stator__chunks_give(stator_chunks *chunks, stator_chunk *c)
{
	if (c->size == STATOR_CHUNK &&
	    chunks->free_bytes + STATOR_CHUNK <= chunks->most) {
		c->next = chunks->free;
		chunks->free = c;
		chunks->free_bytes += STATOR_CHUNK;
	} else {
		free_chunk(c);
	}
}

void
stator__chunks_free(stator_chunks *chunks)
{
	while (chunks->free) {
		stator_chunk *next = chunks->free->next;

		free_chunk(chunks->free);
		chunks->free = next;
	}
	chunks->free_bytes = 0;
}
