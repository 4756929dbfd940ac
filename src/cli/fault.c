/*
 * fault.c: what to say when a file of the data cannot be read where it is
 * mapped: it has become shorter, or its disk fails. There is no going on from
 * that; what was acknowledged is as safe as the file.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

/* What reads /proc/self/maps, of which a line is "low-high … path". */
typedef struct map_reader {
	int fd;
	size_t at, used;
	char text[1024];
} map_reader;

static char
next_char(map_reader *r)
{
	if (r->at == r->used) {
		ssize_t size = read(r->fd, r->text, sizeof(r->text));

		r->at = 0;
		r->used = size > 0 ? (size_t)size : 0;
	}
	return r->used ? r->text[r->at++] : 0;
}

static uintptr_t
next_address(map_reader *r)
{
	uintptr_t address = 0;

	for (;;) {
		char c = next_char(r);

		if (c >= '0' && c <= '9')
			address = address * 16 + (uintptr_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			address = address * 16 + (uintptr_t)(c - 'a' + 10);
		else
			return address;
	}
}

/* The rest of the line, from the first slash on. */
static char
next_path(map_reader *r, char *path, size_t most)
{
	size_t used = 0;
	char c;

	while ((c = next_char(r)) != 0 && c != '\n')
		if ((used || c == '/') && used + 1 < most)
			path[used++] = c;
	path[used] = 0;
	return c;
}

/* Whether a file is mapped there; nothing here allocates. */
static bool
find_file(uintptr_t address, char *path, size_t most)
{
	map_reader r = {.fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC)};
	bool found = false;
	char end = '\n';

	while (r.fd >= 0 && end && !found) {
		uintptr_t low = next_address(&r), high = next_address(&r);

		end = next_path(&r, path, most);
		found = low <= address && address < high && path[0];
	}
	if (r.fd >= 0)
		close(r.fd);
	return found;
}

static void
say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		return;
}

static void
on_fault(int number, siginfo_t *info, void *context)
{
	static const char tree[] = "/data.mdb";
	char path[4096];
	size_t size;

	(void)context;
	if (find_file((uintptr_t)info->si_addr, path, sizeof(path)) &&
	    (size = strlen(path)) >= strlen(tree) &&
	    strcmp(path + size - strlen(tree), tree) == 0) {
		say("stator: ");
		say(path);
		say(": cannot be read: it has been cut off, or its disk fails; "
		    "bring the partition's folder back from a backup, or see "
		    "\"Damage\" in docs/storage.md\n");
		_exit(EXIT_WRONG);
	}
	/* Something else: the instruction is tried again, and ends it. */
	signal(number, SIG_DFL);
}

void
cli_expect_faults(void)
{
	struct sigaction action = {.sa_sigaction = on_fault,
				   .sa_flags = SA_SIGINFO};

	sigemptyset(&action.sa_mask);
	sigaction(SIGBUS, &action, NULL);
}
