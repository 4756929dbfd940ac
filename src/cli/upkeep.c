/*
 * upkeep.c: see upkeep.h.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/upkeep.h"

enum { TERMINAL_MS = 100, LINE_MS = 3000 };

static int64_t
now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

static void
wipe(upkeep *u)
{
	if (u->shown)
		fputs("\r\033[K", stderr);
	u->shown = false;
}

static void
on_line(void *ctx, const char *text, size_t size)
{
	wipe(ctx);
	fwrite(text, 1, size, stdout);
	fputc('\n', stdout);
}

/* "partition 0 of 4: 12 of 340 MB" */
static void
describe(char *out, size_t size, int64_t partition, uint32_t partitions,
	 const char *unit, uint64_t done, uint64_t whole)
{
	size_t used = 0;

	if (strcmp(unit, "bytes") == 0) {
		unit = "MB";
		done >>= 20;
		whole >>= 20;
	}
	if (partition >= 0)
		used = (size_t)snprintf(out, size, "partition %lld of %u: ",
					(long long)partition, partitions);
	if (whole)
		snprintf(out + used, size - used, "%llu of %llu %s",
			 (unsigned long long)done, (unsigned long long)whole,
			 unit);
	else
		snprintf(out + used, size - used, "%llu %s",
			 (unsigned long long)done, unit);
}

static void
on_progress(void *ctx, int64_t partition, uint32_t partitions,
	    const char *unit, uint64_t done, uint64_t whole)
{
	upkeep *u = ctx;
	int64_t now = now_ms();
	char text[160];

	if (now - u->said_at < (u->terminal ? TERMINAL_MS : LINE_MS))
		return;
	u->said_at = now;
	describe(text, sizeof(text), partition, partitions, unit, done, whole);
	if (!u->terminal) {
		cli_say("%s: %s", u->name, text);
		return;
	}
	wipe(u);
	fprintf(stderr, "%s: %s", u->name, text);
	u->shown = true;
}

void
upkeep_begin(upkeep *u, const char *name, bool as_json,
	     stator_upkeep_opts *opts)
{
	*u = (upkeep){.name = name,
		      .said_at = now_ms(),
		      .terminal = isatty(STDERR_FILENO)};
	opts->as_json = as_json;
	opts->on_line = on_line;
	opts->on_progress = on_progress;
	opts->ctx = u;
}

int
upkeep_end(upkeep *u, int code, const stator_error *err)
{
	wipe(u);
	if (code)
		cli_fail(EXIT_WRONG, "%s: %s", u->name, err->msg);
	if (fflush(stdout))
		return cli_fail(EXIT_WRONG, "%s: cannot write", u->name);
	return code ? EXIT_WRONG : EXIT_FINE;
}
