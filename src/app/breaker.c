/*
 * breaker.c: an extension that passes its limits again and again is refused for
 * a while, so that it wastes no more of its partition's time.
 *
 * The threads of a partition share a breaker. Numbers are read and written
 * without order: to be one run late is no harm.
 */
#include "app/app.h"

#define LOAD(field) __atomic_load_n(&(field), __ATOMIC_RELAXED)
#define STORE(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)

static int64_t
rest_of(int64_t until)
{
	int64_t rest = until ? until - stator__monotonic_ns() : 0;

	return rest > 0 ? rest / 1000000 + 1 : 0;
}

int
stator__breaker_check(stator_breaker *b, const stator_limits *limits,
		      const stator_ext *ext, stator_error *err)
{
	int64_t until = LOAD(b->until), rest;

	if (STATOR_LIKELY(until == 0))
		return STATOR_OK;
	rest = rest_of(until);
	if (rest == 0) {
		/* One run is tried: its breach is enough. */
		STORE(b->in_row, limits->breaches - 1);
		STORE(b->until, 0);
		return STATOR_OK;
	}
	__atomic_add_fetch(&b->refused, 1, __ATOMIC_RELAXED);
	return stator__fail(err, STATOR_QUARANTINED,
			    "%s: breached its limits %u times in a row and is "
			    "refused for %lld ms; wait, deploy a version that "
			    "keeps them, or release it with sys.Release",
			    ext->name, limits->breaches,
			    (long long)rest);
}

void
stator__breaker_note(stator_breaker *b, const stator_limits *limits,
		     const stator_ext *ext, const stator_error *err)
{
	if (STATOR_LIKELY(err == NULL)) {
		if (STATOR_UNLIKELY(LOAD(b->in_row)))
			STORE(b->in_row, 0);
		return;
	}
	__atomic_add_fetch(&b->breaches, 1, __ATOMIC_RELAXED);
	if (__atomic_add_fetch(&b->in_row, 1, __ATOMIC_RELAXED) <
	    limits->breaches)
		return;
	STORE(b->until, stator__monotonic_ns() +
				(int64_t)limits->quarantine_ms * 1000000);
	stator__logf(STATOR_LOG_WARNING, ext->name,
		     "refused for %u ms after %u breaches of limits in a row, "
		     "the last: %s",
		     limits->quarantine_ms, limits->breaches, err->msg);
}

void
stator__breaker_release(stator_breaker *b)
{
	STORE(b->in_row, 0);
	STORE(b->until, 0);
}

int64_t
stator__breaker_rest_ms(const stator_breaker *b)
{
	return rest_of(LOAD(b->until));
}
