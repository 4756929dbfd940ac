/*
 * meter.c: see meter.h.
 */
#include "base/meter.h"

/* Eight buckets of the same width for each power of two; below 8 ns one for
 * each. */
static size_t
bucket_of(uint64_t ns)
{
	size_t shift, i;

	if (ns < 8)
		return ns;
	shift = 60u - (size_t)__builtin_clzll(ns);
	i = (shift + 1) * 8 + (ns >> shift & 7);
	return i < STATOR_BUCKETS ? i : STATOR_BUCKETS - 1;
}

uint64_t
stator__histogram_end(size_t i)
{
	return i < 8 ? i + 1 : (i % 8 + 9) << (i / 8 - 1);
}

void
stator__histogram_add(stator_histogram *h, uint64_t ns)
{
	stator__meter_add(&h->buckets[bucket_of(ns)], 1);
	stator__meter_add(&h->count, 1);
	stator__meter_add(&h->sum, ns);
	if (ns > h->most)
		__atomic_store_n(&h->most, ns, __ATOMIC_RELAXED);
}

void
stator__histogram_fold(stator_histogram *to, const stator_histogram *from)
{
	uint64_t most;

	if (from == NULL)
		return;
	/* What comes meanwhile must not be missing in `count` alone. */
	for (size_t i = 0; i < STATOR_BUCKETS; i++) {
		uint64_t n = stator__meter_read(&from->buckets[i]);

		to->buckets[i] += n;
		to->count += n;
	}
	to->sum += stator__meter_read(&from->sum);
	most = stator__meter_read(&from->most);
	if (most > to->most)
		to->most = most;
}

uint64_t
stator__histogram_at(const stator_histogram *h, uint32_t share)
{
	uint64_t wanted = (h->count * share + 999) / 1000, seen = 0;

	for (size_t i = 0; i < STATOR_BUCKETS; i++) {
		uint64_t end = stator__histogram_end(i) - 1;

		seen += h->buckets[i];
		if (seen && seen >= wanted)
			return end < h->most && i + 1 < STATOR_BUCKETS
				       ? end
				       : h->most;
	}
	return 0;
}
