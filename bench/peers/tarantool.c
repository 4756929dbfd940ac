/*
 * tarantool.c: the ledger in Tarantool: a transfer is a stored procedure of
 * tarantool.lua, and wal_mode is fsync. Requests and replies are IPROTO.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "pipe.h"

const char *peer_tarantool_socket;

enum { GREETING = 128, CALL = 0x0a, CODE = 0, SYNC = 1, NAME = 0x22,
       ARGUMENTS = 0x21 };

static uint8_t *
put_number(uint8_t *p, uint64_t n)
{
	*p++ = 0xcf;
	stator__be64_put(p, n);
	return p + 8;
}

/* A call of a procedure with whole numbers. */
static size_t
call(char *to, const char *name, const uint64_t *numbers, size_t count)
{
	uint8_t *start = (uint8_t *)to, *p = start + 5;
	size_t length = strlen(name);

	*p++ = 0x82;
	*p++ = CODE;
	*p++ = CALL;
	*p++ = SYNC;
	*p++ = 1;
	*p++ = 0x82;
	*p++ = NAME;
	*p++ = (uint8_t)(0xa0 | length);
	memcpy(p, name, length);
	p += length;
	*p++ = ARGUMENTS;
	*p++ = (uint8_t)(0x90 | count);
	for (size_t i = 0; i < count; i++)
		p = put_number(p, numbers[i]);
	start[0] = 0xce;
	stator__be32_put(start + 1, (uint32_t)(p - start) - 5);
	return (size_t)(p - start);
}

static size_t
request(char *to, const ledger_transfer *t)
{
	const uint64_t numbers[] = {(uint64_t)t->from, (uint64_t)t->to,
				    (uint64_t)t->amount};

	return call(to, "transfer", numbers, 3);
}

/* Size, then a header whose first member is the code, 0 if it is fine. */
static size_t
reply(const char *data, size_t size)
{
	const uint8_t *p = (const uint8_t *)data;
	uint32_t length;

	if (size < 12)
		return 0;
	length = stator__be32(p + 1);
	if (p[0] != 0xce || p[6] != CODE || p[7] != 0xce)
		ledger_die("a reply of Tarantool");
	if (size < length + 5)
		return 0;
	if (stator__be32(p + 8)) {
		fprintf(stderr, "bench: Tarantool: ");
		fwrite(data + 12, 1, length + 5 - 12, stderr);
		fputc('\n', stderr);
		exit(1);
	}
	return length + 5;
}

static const pipe_protocol protocol = {"Tarantool", request, reply};

static void
ask(pipe_client *c, const char *name, const uint64_t *numbers, size_t count)
{
	char bytes[PIPE_REQUEST];

	pipe_ask(c, bytes, call(bytes, name, numbers, count));
}

static void *
tarantool_open(const char *folder, int64_t accounts)
{
	pipe_client *c = pipe_open(&protocol, peer_tarantool_socket, GREETING,
				   accounts);
	const uint64_t numbers[] = {(uint64_t)accounts, LEDGER_BALANCE,
				    EVENT_BYTES, STATEMENT_BYTES};

	(void)folder;
	ask(c, "open", numbers, 4);
	return c;
}

static void
tarantool_close(void *ledger)
{
	pipe_client *c = ledger;
	const uint64_t numbers[] = {(uint64_t)c->accounts, LEDGER_BALANCE,
				    c->done};

	ask(c, "check", numbers, 3);
	pipe_close(c);
}

const ledger_way peer_tarantool = {"Tarantool, wal_mode fsync, a procedure",
				   tarantool_open,
				   pipe_transfers,
				   tarantool_close,
				   NULL,
				   NULL};
