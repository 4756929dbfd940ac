/*
 * clock.c: time and the log. The level of the log is the one thing that a
 * process has only one of.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"

static int64_t
read_clock(clockid_t id, int64_t per_second)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * per_second +
	       t.tv_nsec / (1000000000 / per_second);
}

int64_t
stator__now_ms(void)
{
	return read_clock(CLOCK_REALTIME, 1000);
}

int64_t
stator__monotonic_ns(void)
{
	return read_clock(CLOCK_MONOTONIC, 1000000000);
}

int64_t
stator__coarse_ns(void)
{
	return read_clock(CLOCK_MONOTONIC_COARSE, 1000000000);
}

static _Atomic int32_t level_most = STATOR_LOG_INFO;

void
stator__log_level(int32_t most)
{
	level_most = most;
}

/* One write for a line, so that lines of several threads do not mix. */
void
stator__log(int32_t level, const char *source, const char *message)
{
	static const char *const names[] = {"error", "warning", "info",
					    "verbose", "trace"};
	char *line;
	ssize_t done;

	if (level < STATOR_LOG_ERROR || level > level_most)
		return;
	line = stator__format("%s %s: %s\n", names[level - 1], source, message);
	for (char *p = line; p[0] && p[1]; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	done = write(STDERR_FILENO, line, strlen(line));
	(void)done;
	free(line);
}

void
stator__logf(int32_t level, const char *source, const char *format, ...)
{
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, 0, format, args);
	va_end(args);
	stator__log(level, source, text.msg);
}
