/*
 * meter.h: counters that cost their owner next to nothing.
 *
 * A counter has one thread that writes it, or several that take turns; others
 * read it whenever they like, and are one step behind at most. A histogram has
 * eight buckets for each doubling of time, so what is read off it is at most an
 * eighth too large.
 */
#ifndef STATOR_BASE_METER_H
#define STATOR_BASE_METER_H

#include "base/base.h"

/* Up to 2^36 ns, a bit more than a minute; the last one has the rest. */
enum { STATOR_BUCKETS = 272 };

typedef struct stator_histogram {
	uint64_t count, sum, most; /* ns */
	uint64_t buckets[STATOR_BUCKETS];
} stator_histogram;

static inline uint64_t
stator__meter_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* By its owner. */
static inline void
stator__meter_add(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* By anybody. */
static inline void
stator__meter_add_shared(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

void stator__histogram_add(stator_histogram *h, uint64_t ns);
/* Adds what is in another one, which may be written meanwhile, or NULL. */
void stator__histogram_fold(stator_histogram *to, const stator_histogram *from);
/* The time that `share` of 1,000 of them did not pass; 0: there are none. */
uint64_t stator__histogram_at(const stator_histogram *h, uint32_t share);
/* What is in bucket `i` took less than this. */
uint64_t stator__histogram_end(size_t i);

#endif
