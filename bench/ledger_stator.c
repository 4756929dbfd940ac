/*
 * ledger_stator.c: the ledger kept by Stator, from JSON request to JSON reply,
 * with its extensions in Lua and in C.
 */
#include <pthread.h>
#include <string.h>

#include "bench.h"
#include "ledger.h"
#include "stator.h"

const char *ledger_image;
const char *ledger_descriptor = "";

/* Requests that are under way are counted; the submitter waits for room. */
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

/*
 * The image with this durability, in the folder; its extensions in Lua or
 * builtin. Caller frees with free.
 */
static char *
copy_image(const char *folder, const char *durability, bool builtin)
{
	char *copy = stator__format("%s/image", folder);
	char *command = stator__format(
		"mkdir -p '%s' && cp -r '%s/pkg' '%s' && "
		"echo '{\"app\":\"local/ledger\",\"durability\":\"%s\"%s}' "
		">'%s/descriptor.json'%s%s%s",
		copy, ledger_image, copy, durability, ledger_descriptor, copy,
		builtin ? " && sed -i 's/ENGINE LUA/ENGINE BUILTIN/' '" : "",
		builtin ? copy : "",
		builtin ? "'/pkg/ledger/ledger.vsql" : "");

	if (system(command) != 0)
		ledger_die(copy);
	free(command);
	return copy;
}

static void *
open_stator(const char *folder, int64_t accounts, const char *durability,
	    bool builtin)
{
	by_stator *s = calloc(1, sizeof(*s));
	stator_host_opts opts = STATOR_HOST_OPTS_INIT;
	char *copy = copy_image(folder, durability, builtin);
	char *data = stator__format("%s/data", folder), request[256];
	stator_error err;

	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->room, NULL);
	s->accounts = accounts;
	opts.log_level = STATOR_LOG_ERROR;
	if (builtin) {
		opts.builtins = ledger_builtins;
		opts.builtin_count = ledger_builtin_count;
	}
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
				"\"Balance\":%d}}",
				(long long)i, LEDGER_BALANCE));
	stator_host_drain(s->host);
	free(copy);
	free(data);
	return s;
}

static void *
open_log(const char *folder, int64_t accounts)
{
	return open_stator(folder, accounts, "log", false);
}

static void *
open_store(const char *folder, int64_t accounts)
{
	return open_stator(folder, accounts, "store", false);
}

static void *
open_none(const char *folder, int64_t accounts)
{
	return open_stator(folder, accounts, "none", false);
}

static void *
open_builtin(const char *folder, int64_t accounts)
{
	return open_stator(folder, accounts, "log", true);
}

static int
transfer_request(char *to, size_t size, ledger_transfer t)
{
	return snprintf(to, size,
			"{\"id\":1,\"wsid\":1,\"command\":\"ledger."
			"Transfer\",\"args\":{\"From\":%lld,\"To\":%lld,"
			"\"Amount\":%lld}}",
			(long long)t.from + 200001, (long long)t.to + 200001,
			(long long)t.amount);
}

static int
balance_request(char *to, size_t size, ledger_transfer t)
{
	return snprintf(to, size,
			"{\"id\":1,\"wsid\":1,\"query\":\"ledger.Balance\","
			"\"args\":{\"Account\":%lld}}",
			(long long)t.from + 200001);
}

static int
statement_request(char *to, size_t size, ledger_transfer t)
{
	return snprintf(to, size,
			"{\"id\":1,\"wsid\":1,\"query\":\"ledger."
			"Statement20\",\"args\":{\"Account\":%lld}}",
			(long long)t.from + 200001);
}

typedef int (*make_request)(char *to, size_t size, ledger_transfer t);

static void
submit_many(by_stator *s, uint64_t first, uint64_t count, uint64_t in_flight,
	    make_request make)
{
	char request[256];

	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t =
			ledger_transfer_at(first + i, s->accounts);

		/* Half of what is under way may be answered meanwhile. */
		if (i % (in_flight / 2 + 1) == 0)
			wait_for(s, in_flight / 2);
		submit(s, request, make(request, sizeof(request), t));
	}
	wait_for(s, 0);
}

static void
stator_transfers(void *ledger, uint64_t first, uint64_t count,
		 uint64_t in_flight)
{
	submit_many(ledger, first, count, in_flight, transfer_request);
}

static void
stator_balances(void *ledger, uint64_t first, uint64_t count,
		uint64_t in_flight)
{
	submit_many(ledger, first, count, in_flight, balance_request);
}

static void
stator_statements(void *ledger, uint64_t first, uint64_t count,
		  uint64_t in_flight)
{
	submit_many(ledger, first, count, in_flight, statement_request);
}

static void
stator_close(void *ledger)
{
	by_stator *s = ledger;

	stator_host_close(s->host);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->room);
	free(s);
}

const ledger_way ledger_log = {"Stator: log",	open_log,
			       stator_transfers, stator_close,
			       stator_balances, stator_statements};
const ledger_way ledger_store = {"Stator: store", open_store,
				 stator_transfers, stator_close,
				 stator_balances, stator_statements};
const ledger_way ledger_none = {"Stator: not durable", open_none,
				stator_transfers,	stator_close,
				stator_balances,	stator_statements};
const ledger_way ledger_builtin = {"Stator: log, extensions in C",
				   open_builtin,
				   stator_transfers,
				   stator_close,
				   stator_balances,
				   stator_statements};
