/*
 * clock.c: time.
 */
#include <time.h>

#include "base/base.h"

static int64_t
read_clock(clockid_t id, int64_t per_second)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * per_second +
	       t.tv_nsec / (1000000000 / per_second);
}

int64_t
stator__now_ms(void)
{
	return read_clock(CLOCK_REALTIME, 1000);
}

int64_t
stator__monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000000);
}

int64_t
stator__coarse_ns(void)
{
	return read_clock(CLOCK_MONOTONIC_COARSE, 1000000000);
}
