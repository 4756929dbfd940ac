/*
 * ledger.c: durable transfers of the ledger, by Stator from JSON request to
 * JSON reply, beside what plain C takes for the same bytes.
 *
 *	ledger IMAGE FOLDER JSON-FILE ACCOUNTS TRANSFERS IN-FLIGHT
 *
 * Every way has a ledger of its own, and does its share of the transfers in
 * turns with the others.
 */
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "bench.h"
#include "ledger.h"
#include "stator.h"

static const char *image;

/* Stator --------------------------------------------------------------------- */

/* Transfers that are under way are counted; the submitter waits for room. */
typedef struct by_stator {
	stator_host *host;
	int64_t accounts;
	pthread_mutex_t lock;
	pthread_cond_t room;
	uint64_t under_way, wanted;
} by_stator;

static void
on_reply(void *ctx, const char *json, size_t size)
{
	by_stator *s = ctx;

	if (memmem(json, size, "\"status\":200", 12) == NULL) {
		fprintf(stderr, "bench: %.*s\n", (int)size, json);
		exit(1);
	}
	pthread_mutex_lock(&s->lock);
	if (--s->under_way == s->wanted)
		pthread_cond_signal(&s->room);
	pthread_mutex_unlock(&s->lock);
}

/* Waits until no more than `most` are under way. */
static void
wait_for(by_stator *s, uint64_t most)
{
	pthread_mutex_lock(&s->lock);
	s->wanted = most;
	while (s->under_way > most)
		pthread_cond_wait(&s->room, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void
submit(by_stator *s, const char *text, int size)
{
	pthread_mutex_lock(&s->lock);
	s->under_way++;
	pthread_mutex_unlock(&s->lock);
	stator_host_submit(s->host, text, (size_t)size, on_reply, s);
}

/* The image with this durability, in the folder. Caller frees with free. */
static char *
copy_image(const char *folder, const char *durability)
{
	char *copy = stator__format("%s/image", folder);
	char *command = stator__format(
		"mkdir -p '%s' && cp -r '%s/pkg' '%s' && "
		"echo '{\"app\":\"local/ledger\",\"durability\":\"%s\"}' "
		">'%s/descriptor.json'",
		copy, image, copy, durability, copy);

	if (system(command) != 0)
		ledger_die(copy);
	free(command);
	return copy;
}

static void *
open_stator(const char *folder, int64_t accounts, const char *durability)
{
	by_stator *s = calloc(1, sizeof(*s));
	stator_host_opts opts = STATOR_HOST_OPTS_INIT;
	char *copy = copy_image(folder, durability);
	char *data = stator__format("%s/data", folder), request[256];
	stator_error err;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->room, NULL);
	s->accounts = accounts;
	opts.log_level = STATOR_LOG_ERROR;
	if (stator_host_open(&s->host, &opts, &err) ||
	    stator_host_deploy(s->host, copy, data, NULL, &err)) {
		fprintf(stderr, "bench: %s\n", err.msg);
		exit(1);
	}
	for (int64_t i = 0; i < accounts; i++)
		submit(s, request,
		       snprintf(request, sizeof(request),
				"{\"id\":1,\"wsid\":1,\"command\":\"ledger."
				"Open\",\"args\":{\"Owner\":\"owner %lld\","
				"\"Balance\":1000000000}}",
				(long long)i));
	stator_host_drain(s->host);
	free(copy);
	free(data);
	return s;
}

static void *
open_log(const char *folder, int64_t accounts)
{
	return open_stator(folder, accounts, "log");
}

static void *
open_store(const char *folder, int64_t accounts)
{
	return open_stator(folder, accounts, "store");
}

static void *
open_none(const char *folder, int64_t accounts)
{
	return open_stator(folder, accounts, "none");
}

static void
stator_transfers(void *ledger, uint64_t first, uint64_t count,
		 uint64_t in_flight)
{
	by_stator *s = ledger;
	char request[256];

	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t =
			ledger_transfer_at(first + i, s->accounts);

		/* Half of what is under way may be answered meanwhile. */
		if (i % (in_flight / 2 + 1) == 0)
			wait_for(s, in_flight / 2);
		submit(s, request,
		       snprintf(request, sizeof(request),
				"{\"id\":%llu,\"wsid\":1,\"command\":\"ledger."
				"Transfer\",\"args\":{\"From\":%lld,\"To\":"
				"%lld,\"Amount\":%lld}}",
				(unsigned long long)i,
				(long long)t.from + 200001,
				(long long)t.to + 200001,
				(long long)t.amount));
	}
	wait_for(s, 0);
}

static void
stator_close(void *ledger)
{
	by_stator *s = ledger;

	stator_host_close(s->host);
	free(s);
}

static const ledger_way with_log = {"Stator: log", open_log, stator_transfers,
				    stator_close};
static const ledger_way with_store = {"Stator: store", open_store,
				      stator_transfers, stator_close};
static const ledger_way with_none = {"Stator: not durable", open_none,
				     stator_transfers, stator_close};

/* Measuring ---------------------------------------------------------------- */

static const ledger_way *const all[] = {&ledger_lmdb,  &ledger_memory,
					&ledger_ahead, &with_log,
					&with_store,   &with_none};
enum { WAYS = STATOR_COUNT(all) };

static void
measure(const char *folder, int64_t accounts, uint64_t transfers,
	uint64_t in_flight, FILE *json)
{
	uint64_t share = transfers / BENCH_ROUNDS, done = 0;
	bench_way ways[WAYS] = {{NULL, {0}, 0, 0, 0}};
	void *ledgers[WAYS];
	char title[128];

	for (size_t i = 0; i < WAYS; i++) {
		ways[i].name = all[i]->name;
		char *path = stator__format("%s/%zu", folder, i);

		if (mkdir(path, 0700))
			ledger_die(path);
		ledgers[i] = all[i]->open(path, accounts);
		free(path);
	}
	for (size_t r = 0; r < BENCH_ROUNDS; r++, done += share)
		for (size_t i = 0; i < WAYS; i++) {
			int64_t from = stator__monotonic_ns();

			all[i]->transfers(ledgers[i], done, share, in_flight);
			ways[i].rounds[r] =
				(double)(stator__monotonic_ns() - from) /
				(double)share;
		}
	for (size_t i = 0; i < WAYS; i++)
		all[i]->close(ledgers[i]);
	snprintf(title, sizeof(title), "transfer, %llu in flight",
		 (unsigned long long)in_flight);
	bench_print(title, ways, WAYS, json);
}

int
main(int argc, char **argv)
{
	FILE *json;

	if (argc < 7)
		return 2;
	image = argv[1];
	json = fopen(argv[3], "a");
	if (json == NULL)
		ledger_die(argv[3]);
	measure(argv[2], atoll(argv[4]), strtoull(argv[5], NULL, 10),
		strtoull(argv[6], NULL, 10), json);
	fclose(json);
	return 0;
}
