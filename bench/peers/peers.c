/*
 * peers.c: durable transfers of the ledger by Stator, by plain C, and by other
 * databases, in turns.
 *
 *	peers IMAGE FOLDER JSON-FILE ACCOUNTS TRANSFERS IN-FLIGHT
 *		[redis=SOCKET] [tarantool=SOCKET]
 *
 * Who is not there is left out. With BENCH_SQLITE it has SQLite in it.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "pipe.h"

static const char *
value_of(const char *argument, const char *name)
{
	size_t size = strlen(name);

	return strncmp(argument, name, size) == 0 ? argument + size : NULL;
}

int
main(int argc, char **argv)
{
	const ledger_way *ways[8] = {&ledger_lmdb, &ledger_ahead, &ledger_log};
	void *ledgers[8];
	size_t count = 3;
	FILE *json;

	if (argc < 7)
		return 2;
	ledger_image = argv[1];
	json = bench_json(argv[3]);
	for (int i = 7; i < argc; i++) {
		const char *redis = value_of(argv[i], "redis=");
		const char *tarantool = value_of(argv[i], "tarantool=");

		if (redis) {
			peer_redis_socket = redis;
			ways[count++] = &peer_redis;
		} else if (tarantool) {
			peer_tarantool_socket = tarantool;
			ways[count++] = &peer_tarantool;
		}
	}
#ifdef BENCH_SQLITE
	ways[count++] = &peer_sqlite;
#endif
	ledger_open_all(ledgers, ways, count, argv[2], atoll(argv[4]));
	ledger_measure(ledgers, ways, count, LEDGER_TRANSFERS, 0,
		       strtoull(argv[5], NULL, 10),
		       strtoull(argv[6], NULL, 10), json);
	for (size_t i = 0; i < count; i++)
		ways[i]->close(ledgers[i]);
	return fclose(json) != 0;
}
