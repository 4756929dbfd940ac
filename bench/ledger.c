/*
 * ledger.c: durable transfers of the ledger, by Stator from JSON request to
 * JSON reply, beside what plain C takes for the same bytes.
 *
 *	ledger IMAGE FOLDER JSON-FILE ACCOUNTS TRANSFERS IN-FLIGHT
 *
 * Every way has a ledger of its own, and does its share of the transfers in
 * turns with the others.
 */
#include "bench.h"
#include "ledger.h"

static const ledger_way *const all[] = {
	&ledger_lmdb, &ledger_memory, &ledger_ahead,  &ledger_log,
	&ledger_store, &ledger_none,  &ledger_builtin};
enum { WAYS = STATOR_COUNT(all) };

int
main(int argc, char **argv)
{
	void *ledgers[WAYS];
	FILE *json;

	if (argc < 7)
		return 2;
	ledger_image = argv[1];
	json = bench_json(argv[3]);
	ledger_open_all(ledgers, all, WAYS, argv[2], atoll(argv[4]));
	ledger_measure(ledgers, all, WAYS, LEDGER_TRANSFERS, 0,
		       strtoull(argv[5], NULL, 10),
		       strtoull(argv[6], NULL, 10), json);
	for (size_t i = 0; i < WAYS; i++)
		all[i]->close(ledgers[i]);
	return fclose(json) != 0;
}
