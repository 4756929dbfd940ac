/*
 * growth.c: what a durable transfer costs as a ledger grows.
 *
 *	growth IMAGE FOLDER JSON-FILE accounts TRANSFERS SIZE...
 *	growth IMAGE FOLDER JSON-FILE rows MOST
 *
 * The first has ledgers of different sizes, by accounts, and measures them in
 * turns. The second lets one ledger of 100,000 accounts grow by rows of
 * statements, without a break, and measures it wherever there are ten times as
 * many rows as before; the write-ahead log in C takes turns with it, since the
 * machine may be another one by then.
 */
#include <string.h>
#include <sys/stat.h>

#include "bench.h"
#include "ledger.h"

enum {
	IN_FLIGHT = 1000,
	ACCOUNTS = 100000,
	SHARE = 30000,
	MOST_SIZES = 8
};

static void
by_accounts(const char *folder, uint64_t transfers, char **sizes, size_t count,
	    FILE *json)
{
	uint64_t share = transfers / BENCH_ROUNDS, done = 0;
	bench_way measured[MOST_SIZES] = {{.name = NULL}};
	void *ledgers[MOST_SIZES];

	for (size_t i = 0; i < count; i++) {
		char *path = stator__format("%s/%zu", folder, i);

		if (mkdir(path, 0700))
			ledger_die(path);
		ledgers[i] = ledger_log.open(path, atoll(sizes[i]));
		measured[i].name = stator__format("%s accounts", sizes[i]);
		free(path);
	}
	for (size_t r = 0; r < BENCH_ROUNDS; r++, done += share)
		for (size_t i = 0; i < count; i++) {
			int64_t from = stator__monotonic_ns();

			ledger_log.transfers(ledgers[i], done, share,
					     IN_FLIGHT);
			measured[i].rounds[r] =
				(double)(stator__monotonic_ns() - from) /
				(double)share;
		}
	bench_print("transfer, 1000 in flight, by accounts", measured, count,
		    json);
	for (size_t i = 0; i < count; i++) {
		ledger_log.close(ledgers[i]);
		free((void *)(uintptr_t)measured[i].name);
	}
}

static const ledger_way *const grown[] = {&ledger_log, &ledger_ahead};
enum { WAYS = STATOR_COUNT(grown) };

/* Until there are so many rows; transfer `done` is the next one. */
static uint64_t
grow(void **ledgers, uint64_t done, uint64_t rows)
{
	uint64_t until = rows > ACCOUNTS ? (rows - ACCOUNTS) / 2 : 0;

	for (size_t i = 0; i < WAYS && until > done; i++)
		grown[i]->transfers(ledgers[i], done, until - done, IN_FLIGHT);
	return until > done ? until : done;
}

static void
by_rows(const char *folder, uint64_t most, FILE *json)
{
	bench_way measured[WAYS][MOST_SIZES] = {{{.name = NULL}}};
	uint64_t done = 0;
	size_t count = 0;
	void *ledgers[WAYS];

	ledger_open_all(ledgers, grown, WAYS, folder, ACCOUNTS);
	for (uint64_t rows = ACCOUNTS; rows <= most && count < MOST_SIZES;
	     rows *= 10, count++) {
		done = grow(ledgers, done, rows);
		for (size_t i = 0; i < WAYS; i++)
			measured[i][count].name = stator__format(
				"from %llu rows on", (unsigned long long)rows);
		for (size_t r = 0; r < BENCH_ROUNDS; r++, done += SHARE)
			for (size_t i = 0; i < WAYS; i++) {
				int64_t from = stator__monotonic_ns();

				grown[i]->transfers(ledgers[i], done, SHARE,
						    IN_FLIGHT);
				measured[i][count].rounds[r] =
					(double)(stator__monotonic_ns() -
						 from) /
					SHARE;
			}
	}
	for (size_t i = 0; i < WAYS; i++) {
		char *title = stator__format("transfer, %s", grown[i]->name);

		bench_print(title, measured[i], count, json);
		free(title);
		grown[i]->close(ledgers[i]);
		for (size_t k = 0; k < count; k++)
			free((void *)(uintptr_t)measured[i][k].name);
	}
}

int
main(int argc, char **argv)
{
	FILE *json;

	if (argc < 6)
		return 2;
	ledger_image = argv[1];
	json = bench_json(argv[3]);
	if (strcmp(argv[4], "rows") == 0)
		by_rows(argv[2], strtoull(argv[5], NULL, 10), json);
	else if (argc > 6 && argc <= 6 + MOST_SIZES)
		by_accounts(argv[2], strtoull(argv[5], NULL, 10), argv + 6,
			    (size_t)argc - 6, json);
	return fclose(json) != 0;
}
