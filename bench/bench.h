/*
 * bench.h: what benchmarks share: interleaved rounds, medians and spread.
 */
#ifndef STATOR_BENCH_H
#define STATOR_BENCH_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

enum { BENCH_ROUNDS = 15 };

/* What one way of doing a thing took, in ns for one, by round. */
typedef struct bench_way {
	const char *name;
	double rounds[BENCH_ROUNDS];
	double median, low, high; /* low and high: the quartiles */
} bench_way;

static inline int
bench_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline void
bench_settle(bench_way *w)
{
	qsort(w->rounds, BENCH_ROUNDS, sizeof(double), bench_compare);
	w->median = w->rounds[BENCH_ROUNDS / 2];
	w->low = w->rounds[BENCH_ROUNDS / 4];
	w->high = w->rounds[BENCH_ROUNDS * 3 / 4];
}

/* A table for people, and a line of JSON for `file`. The first way is 1. */
static inline void
bench_print(const char *title, bench_way *ways, size_t count, FILE *json)
{
	printf("%-44s %10s %18s %7s\n", title, "median", "quartiles", "ratio");
	for (size_t i = 0; i < count; i++) {
		bench_way *w = &ways[i];
		double ratio;

		bench_settle(w);
		ratio = w->median / ways[0].median;
		printf("  %-42s %7.0f ns %8.0f-%-8.0f %6.2fx\n", w->name,
		       w->median, w->low, w->high, ratio);
		fprintf(json,
			"{\"bench\":\"%s\",\"way\":\"%s\",\"ns\":%.1f,"
			"\"low\":%.1f,\"high\":%.1f,\"ratio\":%.3f}\n",
			title, w->name, w->median, w->low, w->high, ratio);
	}
}

#endif
