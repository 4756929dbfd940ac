/*
 * ledger_measure.c: ledgers side by side: each does its share of the work in
 * turns with the others.
 */
#include <sys/stat.h>

#include "bench.h"
#include "ledger.h"

void
ledger_open_all(void **ledgers, const ledger_way *const *ways, size_t count,
		const char *folder, int64_t accounts)
{
	for (size_t i = 0; i < count; i++) {
		char *path = stator__format("%s/%zu", folder, i);

		if (mkdir(path, 0700))
			ledger_die(path);
		ledgers[i] = ways[i]->open(path, accounts);
		free(path);
	}
}

static ledger_do
doer(const ledger_way *way, ledger_what what)
{
	return what == LEDGER_TRANSFERS	 ? way->transfers
	       : what == LEDGER_BALANCES ? way->balances
					 : way->statements;
}

void
ledger_measure(void **ledgers, const ledger_way *const *ways, size_t count,
	       ledger_what what, uint64_t first, uint64_t total,
	       uint64_t in_flight, FILE *json)
{
	static const char *const names[] = {"transfer", "balance",
					    "statement of 20 rows"};
	bench_way *measured = calloc(count, sizeof(*measured));
	uint64_t share = total / BENCH_ROUNDS;
	size_t used = 0;
	char title[128];

	for (size_t i = 0; i < count; i++) {
		ledger_do run = doer(ways[i], what);

		if (run == NULL)
			continue;
		measured[used++].name = ways[i]->name;
	}
	for (size_t r = 0; r < BENCH_ROUNDS; r++, first += share)
		for (size_t i = 0, at = 0; i < count; i++) {
			ledger_do run = doer(ways[i], what);
			int64_t from = stator__monotonic_ns();

			if (run == NULL)
				continue;
			run(ledgers[i], first, share, in_flight);
			measured[at++].rounds[r] =
				(double)(stator__monotonic_ns() - from) /
				(double)share;
		}
	snprintf(title, sizeof(title), "%s, %llu in flight", names[what],
		 (unsigned long long)in_flight);
	bench_print(title, measured, used, json);
	free(measured);
}
