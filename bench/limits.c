/*
 * limits.c: what a run costs: of a function that does nothing, of one that
 * reads a row and writes one, and of one that leaves garbage; and what the
 * slowest of a hundred costs. Linked to a library with limits of time and to one
 * without (-DSTATOR_UNLIMITED); bench/limits runs both in turn.
 *
 *	limits IMAGE DATA COUNT [ROUNDS]
 */
#include "bench.h"
#include "harness.h"

static void
run_once(stator_worker *w, const stator_ext *ext)
{
	stator_error err;

	stator__state_begin(&w->state, ext, 1);
	if (stator__worker_run(w, ext, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	stator__worker_end(w);
}

static void
measure(stator_worker *w, const stator_ext *ext, int count, int rounds)
{
	double *ns = calloc((size_t)rounds, sizeof(*ns));

	for (int i = 0; i < 1000; i++)
		run_once(w, ext);
	for (int r = 0; r < rounds; r++) {
		int64_t from = stator__monotonic_ns();

		for (int i = 0; i < count; i++)
			run_once(w, ext);
		ns[r] = (double)(stator__monotonic_ns() - from) / count;
	}
	qsort(ns, (size_t)rounds, sizeof(*ns), bench_compare);
	printf("%s %.1f\n", ext->name, ns[0]);
	free(ns);
}

/* One run in two, and one in a hundred, takes longer than this. */
static void
measure_slowest(stator_worker *w, const stator_ext *ext, int count)
{
	double *ns = calloc((size_t)count, sizeof(*ns));

	for (int i = 0; i < count; i++) {
		int64_t from = stator__monotonic_ns();

		run_once(w, ext);
		ns[i] = (double)(stator__monotonic_ns() - from);
	}
	qsort(ns, (size_t)count, sizeof(*ns), bench_compare);
	printf("%s.p50 %.1f\n", ext->name, ns[count / 2]);
	printf("%s.p99 %.1f\n", ext->name, ns[count / 100 * 99]);
	free(ns);
}

int
main(int argc, char **argv)
{
	const stator_load_opts load = {.purpose = STATOR_TO_RUN};
	harness h;

	if (argc < 4)
		return 2;
	harness_open(&h, argv[1], argv[2], &load);
	for (size_t i = 0; i < h.def->ext_count; i++)
		if (h.def->exts[i].kind == STATOR_COMMAND &&
		    strcmp(h.def->exts[i].engine, "lua") == 0) {
			measure(h.worker, &h.def->exts[i], atoi(argv[3]),
				argc > 4 ? atoi(argv[4]) : 100);
			measure_slowest(h.worker, &h.def->exts[i],
					atoi(argv[3]));
		}
	harness_close(&h);
	return 0;
}
