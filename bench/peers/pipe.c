/*
 * pipe.c: see pipe.h. There are two halves of the connections: while the
 * server works for one, the other's replies are read and its next requests
 * written, so that it never waits for this client.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/base.h"
#include "pipe.h"

static void
write_all(pipe_end *e, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(e->fd, data, size);

		if (n <= 0)
			ledger_die("write to a server");
		data += n;
		size -= (size_t)n;
	}
}

static void
read_some(pipe_end *e)
{
	ssize_t n;

	if (e->size == e->cap) {
		e->cap = e->cap ? e->cap * 2 : 1 << 16;
		e->in = realloc(e->in, e->cap);
	}
	n = read(e->fd, e->in + e->size, e->cap - e->size);
	if (n <= 0)
		ledger_die("read from a server");
	e->size += (size_t)n;
}

static void
take(pipe_end *e, size_t size)
{
	e->size -= size;
	memmove(e->in, e->in + size, e->size);
}

/* All replies that are expected. */
static void
settle(pipe_client *c, pipe_end *e)
{
	while (e->expected) {
		size_t at = 0, n;

		read_some(e);
		while (e->expected &&
		       (n = c->protocol->reply(e->in + at, e->size - at))) {
			at += n;
			e->expected--;
		}
		take(e, at);
	}
}

pipe_client *
pipe_open(const pipe_protocol *protocol, const char *path, size_t greeting,
	  int64_t accounts)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	pipe_client *c = calloc(1, sizeof(*c));

	c->protocol = protocol;
	c->accounts = accounts;
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	for (size_t i = 0; i < PIPE_CONNECTIONS; i++) {
		pipe_end *e = &c->ends[i];

		e->fd = socket(AF_UNIX, SOCK_STREAM, 0);
		if (e->fd < 0 || connect(e->fd, (const struct sockaddr *)&to,
					 sizeof(to)))
			ledger_die(path);
		while (e->size < greeting)
			read_some(e);
		take(e, greeting);
	}
	return c;
}

void
pipe_ask(pipe_client *c, const char *request, size_t size)
{
	write_all(&c->ends[0], request, size);
	c->ends[0].expected = 1;
	settle(c, &c->ends[0]);
}

/* As many requests as there are left, up to `most`, in one piece. */
static void
send_some(pipe_client *c, pipe_end *e, uint64_t *next, uint64_t end,
	  uint64_t most)
{
	size_t size = 0;

	for (; *next < end && e->expected < most; ++*next, e->expected++) {
		ledger_transfer t = ledger_transfer_at(*next, c->accounts);

		size += c->protocol->request(c->out + size, &t);
	}
	write_all(e, c->out, size);
}

void
pipe_transfers(void *client, uint64_t first, uint64_t count,
	       uint64_t in_flight)
{
	pipe_client *c = client;
	uint64_t most = (in_flight + PIPE_CONNECTIONS - 1) / PIPE_CONNECTIONS;
	size_t used = in_flight < PIPE_CONNECTIONS ? in_flight
						   : PIPE_CONNECTIONS;
	size_t half = (used + 1) / 2, side = 0;
	uint64_t next = first, end = first + count;

	c->out = realloc(c->out, most * PIPE_REQUEST);
	for (size_t i = 0; i < used; i++)
		send_some(c, &c->ends[i], &next, end, most);
	while (next < end) {
		size_t from = side ? half : 0, to = side ? used : half;

		for (size_t i = from; i < to; i++)
			settle(c, &c->ends[i]);
		for (size_t i = from; i < to; i++)
			send_some(c, &c->ends[i], &next, end, most);
		side = used > 1 && !side;
	}
	for (size_t i = 0; i < used; i++)
		settle(c, &c->ends[i]);
	c->done += count;
}

void
pipe_close(pipe_client *c)
{
	for (size_t i = 0; i < PIPE_CONNECTIONS; i++) {
		close(c->ends[i].fd);
		free(c->ends[i].in);
	}
	free(c->out);
	free(c);
}
