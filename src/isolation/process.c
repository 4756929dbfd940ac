/*
 * process.c: see process.h. Whatever the other side does, nothing here waits
 * longer than it was allowed to.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "isolation/process.h"

enum { READ_SIZE = 64 * 1024, HOW_SIZE = 128 };

int
stator__process_start(isolation_process *p, const char *file, const char *copy,
		      stator_error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return stator__fail(err, STATOR_IO,
				    "%s: its process cannot be started: %s",
				    file, strerror(errno));
	p->pid = fork();
	if (p->pid == 0)
		stator__child_main(pair[1], file, copy);
	close(pair[1]);
	p->fd = pair[0];
	if (p->pid > 0)
		return STATOR_OK;
	close(pair[0]);
	p->pid = 0;
	return stator__fail(err, STATOR_IO,
			    "%s: its process cannot be started: %s", file,
			    strerror(errno));
}

static int
wait_for(const isolation_process *p, short events, int64_t deadline)
{
	struct pollfd one = {p->fd, events, 0};

	for (;;) {
		int64_t left = deadline - stator__monotonic_ns();
		int n;

		if (left <= 0)
			return PROCESS_LATE;
		n = poll(&one, 1, (int)(left / 1000000 + 1));
		if (n > 0)
			return PROCESS_OK;
		if (n < 0 && errno != EINTR)
			return PROCESS_GONE;
	}
}

/* Reads what is there. */
static int
fill(isolation_process *p)
{
	uint8_t *at = stator__buf_reserve(&p->in, READ_SIZE);
	ssize_t n = recv(p->fd, at, READ_SIZE, MSG_DONTWAIT);

	if (n > 0)
		p->in.size += (size_t)n;
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		return PROCESS_GONE;
	return PROCESS_OK;
}

/*
 * Rationale: a process that logs a lot while it is spoken to would wait for the
 * host as the host waits for it; so what it says is read meanwhile.
 */
int
stator__process_send(isolation_process *p, stator_buf *frame, int64_t deadline)
{
	stator_slice rest = stator__wire_frame(frame);
	const uint8_t *at = rest.data;
	size_t left = rest.size;

	while (left) {
		ssize_t n = send(p->fd, at, left, MSG_DONTWAIT | MSG_NOSIGNAL);
		int how;

		if (n > 0) {
			at += n;
			left -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return PROCESS_GONE;
		how = wait_for(p, POLLIN | POLLOUT, deadline);
		if (how == PROCESS_OK)
			how = fill(p);
		if (how)
			return how;
	}
	return PROCESS_OK;
}

int
stator__process_receive(isolation_process *p, uint32_t *kind, wire_in *in,
			int64_t deadline)
{
	wire_head head = {0, 0};

	if (p->taken) {
		p->in.size -= p->taken;
		memmove(p->in.data, p->in.data + p->taken, p->in.size);
		p->taken = 0;
	}
	for (;;) {
		int how;

		if (p->in.size >= sizeof(head)) {
			memcpy(&head, p->in.data, sizeof(head));
			if (head.size > WIRE_MOST)
				return PROCESS_BAD;
			if (p->in.size - sizeof(head) >= head.size)
				break;
		}
		how = wait_for(p, POLLIN, deadline);
		if (how == PROCESS_OK)
			how = fill(p);
		if (how)
			return how;
	}
	p->taken = sizeof(head) + head.size;
	*kind = head.kind;
	in->at = p->in.data + sizeof(head);
	in->end = in->at + head.size;
	in->bad = false;
	return PROCESS_OK;
}

bool
stator__process_gone(const isolation_process *p)
{
	struct pollfd one = {p->fd, 0, 0};

	return poll(&one, 1, 0) > 0;
}

/* Who has ended already keeps the way it did. */
void
stator__process_end(isolation_process *p, char *how)
{
	int status;
	pid_t ended;

	kill(p->pid, SIGKILL);
	do
		ended = waitpid(p->pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	if (ended < 0)
		snprintf(how, HOW_SIZE, "ended");
	else if (WIFSIGNALED(status))
		snprintf(how, HOW_SIZE, "was ended by signal %d (%s)",
			 WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		snprintf(how, HOW_SIZE, "exited with code %d",
			 WEXITSTATUS(status));
	close(p->fd);
	free(p->in.data);
	memset(p, 0, sizeof(*p));
}
