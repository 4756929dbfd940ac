/*
 * bench.h: what benchmarks share: interleaved rounds, medians and spread.
 */
#ifndef STATOR_BENCH_H
#define STATOR_BENCH_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

enum { BENCH_ROUNDS = 15 };

/* The file that lines of JSON are added to. */
static inline FILE *
bench_json(const char *path)
{
	FILE *json = fopen(path, "a");

	if (json == NULL) {
		perror(path);
		exit(1);
	}
	return json;
}

/* Memory of this process that is not a file's. */
static inline long
bench_memory_kb(void)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	long kb = 0;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

/* What one way of doing a thing took, for one, by round. */
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

/* Of the first `rounds` of them. */
static inline void
bench_settle(bench_way *w, size_t rounds)
{
	qsort(w->rounds, rounds, sizeof(double), bench_compare);
	w->median = w->rounds[rounds / 2];
	w->low = w->rounds[rounds / 4];
	w->high = w->rounds[rounds * 3 / 4];
}

/*
 * A table for people, and a line of JSON for `file`, of what was measured in
 * `unit` in so many rounds. The first way is 1.
 */
static inline void
bench_table(const char *title, const char *unit, bench_way *ways, size_t count,
	    size_t rounds, FILE *json)
{
	printf("%-44s %11s %20s %8s\n", title, "median", "quartiles", "ratio");
	for (size_t i = 0; i < count; i++) {
		bench_way *w = &ways[i];
		double ratio;
		int digits;

		bench_settle(w, rounds);
		ratio = w->median / ways[0].median;
		digits = w->median < 100 && w->median > -100;
		printf("  %-42s %8.*f %-2s %9.*f-%-9.*f %7.2fx\n", w->name,
		       digits, w->median, unit, digits, w->low, digits,
		       w->high, ratio);
		fprintf(json,
			"{\"bench\":\"%s\",\"way\":\"%s\",\"%s\":%.2f,"
			"\"low\":%.2f,\"high\":%.2f,\"ratio\":%.3f}\n",
			title, w->name, unit, w->median, w->low, w->high,
			ratio);
	}
	fflush(stdout);
	fflush(json);
}

static inline void
bench_print(const char *title, bench_way *ways, size_t count, FILE *json)
{
	bench_table(title, "ns", ways, count, BENCH_ROUNDS, json);
}

#endif
