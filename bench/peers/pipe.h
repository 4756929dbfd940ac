/*
 * pipe.h: a client of a server on a unix socket, with many requests in flight
 * over several connections, for any protocol that answers in order.
 */
#ifndef STATOR_BENCH_PIPE_H
#define STATOR_BENCH_PIPE_H

#include "ledger.h"

enum { PIPE_CONNECTIONS = 16, PIPE_REQUEST = 256 };

typedef struct pipe_protocol {
	const char *name;
	/* Writes the request for a transfer, at most PIPE_REQUEST bytes. */
	size_t (*request)(char *to, const ledger_transfer *t);
	/* The size of the reply at `data`; 0: not all of it is there. Ends the
	 * program when it says that something is wrong. */
	size_t (*reply)(const char *data, size_t size);
} pipe_protocol;

typedef struct pipe_end {
	int fd;
	uint64_t expected; /* replies */
	char *in;
	size_t size, cap;
} pipe_end;

typedef struct pipe_client {
	const pipe_protocol *protocol;
	pipe_end ends[PIPE_CONNECTIONS];
	char *out;
	int64_t accounts;
	uint64_t done;
} pipe_client;

/* `greeting` bytes come first on each connection. */
pipe_client *pipe_open(const pipe_protocol *protocol, const char *socket,
		       size_t greeting, int64_t accounts);
/* As `ledger_way` has them. */
void pipe_transfers(void *client, uint64_t first, uint64_t count,
		    uint64_t in_flight);
/* Sends bytes on the first connection and waits for one reply. */
void pipe_ask(pipe_client *client, const char *request, size_t size);
void pipe_close(pipe_client *client);

/* Where the servers listen, and with SQLite: whether it is there. */
extern const char *peer_redis_socket, *peer_tarantool_socket;
extern const ledger_way peer_redis, peer_tarantool, peer_sqlite;

#endif
