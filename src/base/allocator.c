/*
 * allocator.c: where memory comes from: libc, or what the embedder has set.
 *
 * Both cannot be mixed, so the choice is the process's, and is made before the
 * first byte is taken.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "stator.h"

/* Here, `free` is libc's. */
#undef free

static stator_allocator own; /* `alloc` NULL: libc's */
static bool in_use;

static inline void
note_use(void)
{
	if (STATOR_UNLIKELY(!__atomic_load_n(&in_use, __ATOMIC_RELAXED)))
		__atomic_store_n(&in_use, true, __ATOMIC_RELAXED);
}

int
stator_set_allocator(const stator_allocator *allocator, stator_error *err)
{
	if (__atomic_load_n(&in_use, __ATOMIC_RELAXED))
		return stator__fail(err, STATOR_INVALID,
				    "memory is in use already: set the "
				    "allocator before all else, and once");
	if (allocator == NULL || allocator->abi >> 16 != STATOR_ABI_MAJOR ||
	    allocator->size < sizeof(own) || !allocator->alloc ||
	    !allocator->realloc || !allocator->free)
		return stator__fail(err, STATOR_INVALID,
				    "an allocator begins with "
				    "STATOR_ALLOCATOR_INIT, and has alloc, "
				    "realloc and free");
	own = *allocator;
	note_use();
	return STATOR_OK;
}

void *
stator__memory(size_t size)
{
	note_use();
	return own.alloc ? own.alloc(own.ctx, size) : malloc(size);
}

void *
stator__memory_zero(size_t size)
{
	void *p;

	note_use();
	if (own.alloc == NULL)
		return calloc(1, size);
	p = own.alloc(own.ctx, size);
	return p ? memset(p, 0, size) : NULL;
}

void *
stator__memory_resize(void *p, size_t size)
{
	note_use();
	if (own.alloc == NULL)
		return realloc(p, size);
	return p ? own.realloc(own.ctx, p, size) : own.alloc(own.ctx, size);
}

void *
stator__memory_aligned(size_t alignment, size_t size)
{
	return aligned_alloc(alignment, size);
}

void
stator__memory_aligned_free(void *p)
{
	free(p);
}

void
stator__free(void *p)
{
	if (own.alloc == NULL)
		free(p);
	else if (p)
		own.free(own.ctx, p);
}
