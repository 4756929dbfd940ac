/*
 * chunks.h: the memory of overlays, in large pieces that are kept from one
 * overlay to the next. Nothing here locks.
 */
#ifndef STATOR_CHUNKS_H
#define STATOR_CHUNKS_H

#include "base/base.h"

enum { STATOR_CHUNK = 2 << 20 };

typedef struct stator_chunk {
	struct stator_chunk *next;
	size_t size; /* with this head */
} stator_chunk;

typedef struct stator_chunks {
	stator_chunk *free; /* of the usual size, all of them */
	size_t free_bytes;
	size_t most;   /* kept free; what is more goes back to the system */
	uint64_t seed; /* of the hash */
	size_t slots;  /* that the largest hash table had */
} stator_chunks;

stator_chunk *stator__chunk_new(size_t size);
/*
 * One of the usual size, whose memory is there already. Rationale: the system
 * clears memory when it is first touched, which takes longer than a commit; so
 * that is done by who has the time. [any-thread]
 */
stator_chunk *stator__chunk_ready(void);
/* One with room for `size` bytes, of those that are free if it can be. */
stator_chunk *stator__chunks_take(stator_chunks *chunks, size_t size);
/* To be used again, or freed. */
void stator__chunks_give(stator_chunks *chunks, stator_chunk *chunk);
void stator__chunks_free(stator_chunks *chunks);

#endif
