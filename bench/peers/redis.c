/*
 * redis.c: the ledger in Redis: a transfer is a script on the server, and
 * appendfsync is always.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipe.h"

const char *peer_redis_socket;

/* KEYS: the accounts, the events, the statements; ARGV: what is moved. */
#define TRANSFER                                                            \
	"local from = tonumber(redis.call('HGET', KEYS[1], 'Balance')) "    \
	"local to = tonumber(redis.call('HGET', KEYS[2], 'Balance')) "      \
	"local amount = tonumber(ARGV[1]) "                                 \
	"if from < amount then return redis.error_reply('overdrawn') end "  \
	"redis.call('HSET', KEYS[1], 'Balance', from - amount) "            \
	"redis.call('HSET', KEYS[2], 'Balance', to + amount) "              \
	"redis.call('RPUSH', KEYS[3], EVENT) "                              \
	"redis.call('RPUSH', KEYS[4], STATEMENT) "                          \
	"redis.call('RPUSH', KEYS[5], STATEMENT) return 1"
#define FILL                                                             \
	"for i = ARGV[1], ARGV[2] do redis.call('HSET', 'a' .. i, "      \
	"'Owner', 'owner ' .. i, 'Balance', ARGV[3]) end return 1"
/* All events are there, and all of the money. */
#define CHECK                                                             \
	"local sum = 0 for i = 0, ARGV[1] - 1 do "                        \
	"sum = sum + redis.call('HGET', 'a' .. i, 'Balance') end "        \
	"if sum ~= ARGV[1] * ARGV[2] "                                    \
	"or redis.call('LLEN', 'e') ~= tonumber(ARGV[3]) then "           \
	"return redis.error_reply('not what was transferred') end return 1"

/* One line: a number, or the name of the script, or an error. */
static char script[41];

static size_t
reply(const char *data, size_t size)
{
	const char *end = memchr(data, '\n', size), *more;

	if (end == NULL)
		return 0;
	if (data[0] == '-') {
		fprintf(stderr, "bench: Redis: %.*s\n", (int)(end - data),
			data);
		exit(1);
	}
	if (data[0] != '$')
		return (size_t)(end - data) + 1;
	more = memchr(end + 1, '\n', size - (size_t)(end - data) - 1);
	if (more == NULL)
		return 0;
	snprintf(script, sizeof(script), "%.*s", 40, end + 1);
	return (size_t)(more - data) + 1;
}

static size_t
request(char *to, const ledger_transfer *t)
{
	char words[3][32], keys[2][32];
	int n[5];

	n[0] = snprintf(words[0], 32, "a%lld", (long long)t->from);
	n[1] = snprintf(words[1], 32, "a%lld", (long long)t->to);
	n[2] = snprintf(words[2], 32, "%lld", (long long)t->amount);
	n[3] = snprintf(keys[0], 32, "s%lld", (long long)t->from);
	n[4] = snprintf(keys[1], 32, "s%lld", (long long)t->to);
	return (size_t)snprintf(
		to, PIPE_REQUEST,
		"*9\r\n$7\r\nEVALSHA\r\n$40\r\n%s\r\n$1\r\n5\r\n"
		"$%d\r\n%s\r\n$%d\r\n%s\r\n$1\r\ne\r\n$%d\r\n%s\r\n"
		"$%d\r\n%s\r\n$%d\r\n%s\r\n",
		script, n[0], words[0], n[1], words[1], n[3], keys[0], n[4],
		keys[1], n[2], words[2]);
}

static const pipe_protocol protocol = {"Redis", request, reply};

static void
ask(pipe_client *c, const char *what, const char *text, const char *more)
{
	char line[2048];
	int size = snprintf(line, sizeof(line), "%s \"%s\" %s\r\n", what, text,
			    more);

	pipe_ask(c, line, (size_t)size);
}

/* The script, with the bytes of its rows in it. */
static void
load_script(pipe_client *c)
{
	char text[2048];
	int size = snprintf(text, sizeof(text),
			    "local EVENT = string.rep('e', %d) "
			    "local STATEMENT = string.rep('s', %d) " TRANSFER,
			    EVENT_BYTES, STATEMENT_BYTES);

	if (size >= (int)sizeof(text))
		ledger_die("script");
	ask(c, "SCRIPT LOAD", text, "");
}

static void *
redis_open(const char *folder, int64_t accounts)
{
	pipe_client *c = pipe_open(&protocol, peer_redis_socket, 0, accounts);
	char more[128];

	(void)folder;
	pipe_ask(c, "FLUSHALL\r\n", 10);
	for (int64_t i = 0; i < accounts; i += 1000) {
		int64_t last = i + 999 < accounts ? i + 999 : accounts - 1;

		snprintf(more, sizeof(more), "0 %lld %lld %d", (long long)i,
			 (long long)last, LEDGER_BALANCE);
		ask(c, "EVAL", FILL, more);
	}
	load_script(c);
	return c;
}

static void
redis_close(void *ledger)
{
	pipe_client *c = ledger;
	char more[128];

	snprintf(more, sizeof(more), "0 %lld %d %llu", (long long)c->accounts,
		 LEDGER_BALANCE, (unsigned long long)c->done);
	ask(c, "EVAL", CHECK, more);
	pipe_close(c);
}

const ledger_way peer_redis = {"Redis, appendfsync always, a script",
			       redis_open,
			       pipe_transfers,
			       redis_close,
			       NULL,
			       NULL};
