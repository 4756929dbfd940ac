/*
 * draft.c: see draft.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "processor/draft.h"

static int
hold(const char *folder, int how)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0 && flock(fd, how)) {
		close(fd);
		return -1;
	}
	return fd;
}

static bool
is_draft(const char *name, const char *prefix)
{
	size_t size = strlen(prefix);

	return strncmp(name, prefix, size) == 0 && name[size] &&
	       strspn(name + size, "0123456789") == strlen(name + size);
}

static void
remove_dead(const char *where, const char *prefix)
{
	stator_arena arena = {0};
	const char **names;
	size_t count = 0;

	if (stator__folder_read(&arena, where, &names, &count))
		count = 0;
	for (size_t i = 0; i < count; i++) {
		char *folder = stator__format("%s/%s", where, names[i]);
		int fd = is_draft(names[i], prefix)
				 ? hold(folder, LOCK_EX | LOCK_NB)
				 : -1;

		if (fd >= 0) {
			stator__folder_remove(folder);
			close(fd);
		}
		free(folder);
	}
	stator__arena_free(&arena);
}

/* Whoever removes what is dead may have come between making and holding. */
static bool
is_there(const stator_draft *d)
{
	struct stat held, there;

	return fstat(d->held, &held) == 0 && stat(d->folder, &there) == 0 &&
	       held.st_ino == there.st_ino && held.st_dev == there.st_dev;
}

int
stator__draft_make(stator_draft *d, const char *where, const char *prefix,
		   stator_error *err)
{
	*d = (stator_draft){stator__format("%s/%s%d", where, prefix,
					   (int)getpid()),
			    -1};
	remove_dead(where, prefix);
	if (!stator__folder_make(where))
		return stator__fail(err, STATOR_IO, "%s: %s", where,
				    strerror(errno));
	do {
		stator__draft_close(d);
		if (mkdir(d->folder, 0755))
			return stator__fail(err, STATOR_IO, "%s: %s", d->folder,
					    strerror(errno));
		d->held = hold(d->folder, LOCK_EX);
	} while (d->held < 0 ? errno == ENOENT : !is_there(d));
	return d->held >= 0 ? STATOR_OK
			    : stator__fail(err, STATOR_IO, "%s: %s", d->folder,
					   strerror(errno));
}

void
stator__draft_close(stator_draft *d)
{
	if (d->held >= 0)
		close(d->held);
	d->held = -1;
}

void
stator__draft_remove(stator_draft *d)
{
	if (d->held >= 0)
		stator__folder_remove(d->folder);
	stator__draft_close(d);
	free(d->folder);
	d->folder = NULL;
}
