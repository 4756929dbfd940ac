/*
 * input.c: see input.h. A thread waits for the signals; what it has to say, and
 * what `input_close` has, comes through a pipe, so that the one who reads never
 * sleeps over it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/input.h"

struct input {
	pthread_t thread;
	sigset_t signals;
	int pipe[2];
	bool held, stopping; /* atomic */
	int state;	     /* atomic; an input_state */
	/* What was read: `at` up to `seen` is known to have no line's end. */
	char *text;
	size_t at, seen, used, cap;
};

enum { AT_ONCE = 1 << 16 };

/* What is there first counts. */
static void
end(input *in, input_state why)
{
	int open = INPUT_OPEN;

	__atomic_compare_exchange_n(&in->state, &open, (int)why, false,
				    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void
wake(const input *in)
{
	while (write(in->pipe[1], "", 1) < 0 && errno == EINTR)
		;
}

/* Whether somebody will do what is asked. */
static bool
ask(input *in)
{
	int state = (int)input_why(in);

	if (!__atomic_load_n(&in->held, __ATOMIC_ACQUIRE))
		return false;
	while (state == INPUT_OPEN || state == INPUT_ENDED)
		if (__atomic_compare_exchange_n(&in->state, &state, INPUT_ASKED,
						false, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE)) {
			wake(in);
			return true;
		}
	return false;
}

static void
die_of(const input *in, int signal)
{
	pthread_sigmask(SIG_UNBLOCK, &in->signals, NULL);
	raise(signal);
}

static void *
wait_for_signals(void *ctx)
{
	input *in = ctx;

	for (;;) {
		int signal = sigwaitinfo(&in->signals, NULL);

		if (__atomic_load_n(&in->stopping, __ATOMIC_ACQUIRE))
			return NULL;
		if (signal < 0)
			continue;
		if (!ask(in))
			die_of(in, signal);
	}
}

/* A signal that whoever started the process has it ignore stays ignored. */
static void
hold(sigset_t *set, int signal)
{
	struct sigaction now;

	if (sigaction(signal, NULL, &now) == 0 && now.sa_handler != SIG_IGN)
		sigaddset(set, signal);
}

/* Room behind what is used, and what was given away is let go. */
static void
make_room(input *in)
{
	if (in->at) {
		memmove(in->text, in->text + in->at, in->used - in->at);
		in->used -= in->at;
		in->seen -= in->at;
		in->at = 0;
	}
	if (in->cap - in->used >= AT_ONCE)
		return;
	in->cap = in->cap * 2 + AT_ONCE;
	in->text = realloc(in->text, in->cap);
	if (in->text == NULL)
		abort();
}

input *
input_new(void)
{
	input *in = calloc(1, sizeof(*in));

	if (in == NULL || pipe(in->pipe))
		abort();
	make_room(in);
	sigemptyset(&in->signals);
	sigaddset(&in->signals, SIGUSR2); /* for `input_free` alone */
	hold(&in->signals, SIGTERM);
	hold(&in->signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &in->signals, NULL);
	pthread_create(&in->thread, NULL, wait_for_signals, in);
	return in;
}

static void
read_more(input *in)
{
	struct pollfd fds[] = {{STDIN_FILENO, POLLIN, 0},
			       {in->pipe[0], POLLIN, 0}};
	ssize_t size;

	make_room(in);
	if (poll(fds, 2, -1) < 0 || fds[1].revents)
		return;
	size = read(STDIN_FILENO, in->text + in->used, AT_ONCE);
	if (size > 0)
		in->used += (size_t)size;
	else if (size == 0)
		end(in, INPUT_ENDED);
	else if (errno != EINTR && errno != EAGAIN)
		end(in, INPUT_FAILED);
}

static bool
take(input *in, size_t size, size_t and_its_end, const char **line, size_t *out)
{
	*line = in->text + in->at;
	*out = size;
	in->at += size + and_its_end;
	in->seen = in->at;
	return true;
}

bool
input_line(input *in, const char **line, size_t *size)
{
	if (input_why(in) == INPUT_OPEN)
		__atomic_store_n(&in->held, true, __ATOMIC_RELEASE);
	while (input_why(in) == INPUT_OPEN) {
		const char *stop = memchr(in->text + in->seen, '\n',
					  in->used - in->seen);

		if (stop)
			return take(in, (size_t)(stop - in->text) - in->at, 1,
				    line, size);
		in->seen = in->used;
		read_more(in);
	}
	/* The last line need not have an end; one that was cut off is none. */
	if (input_why(in) == INPUT_ENDED && in->used > in->at)
		return take(in, in->used - in->at, 0, line, size);
	return false;
}

void
input_close(input *in)
{
	end(in, INPUT_CLOSED);
	wake(in);
}

void
input_release(input *in)
{
	__atomic_store_n(&in->held, false, __ATOMIC_RELEASE);
}

input_state
input_why(const input *in)
{
	return (input_state)__atomic_load_n(&in->state, __ATOMIC_ACQUIRE);
}

void
input_free(input *in)
{
	__atomic_store_n(&in->stopping, true, __ATOMIC_RELEASE);
	pthread_kill(in->thread, SIGUSR2);
	pthread_join(in->thread, NULL);
	close(in->pipe[0]);
	close(in->pipe[1]);
	free(in->text);
	free(in);
}
