/*
 * file.c: see file.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/file.h"

static int
file_open(void *ctx, const char *path, int flags, int *fd)
{
	(void)ctx;
	*fd = open(path, flags | O_CLOEXEC, 0644);
	return *fd < 0 ? errno : 0;
}

static int
file_write(void *ctx, int fd, const void *data, size_t size, uint64_t offset)
{
	const char *p = data;

	(void)ctx;
	while (size) {
		ssize_t n = pwrite(fd, p, size, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		if (n == 0)
			return ENOSPC;
		p += n;
		offset += (size_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int
file_sync(void *ctx, int fd)
{
	(void)ctx;
	return fdatasync(fd) ? errno : 0;
}

/*
 * Rationale: blocks that have been written once are only written again; a
 * sync then has no metadata to write, and takes half of the time. In small
 * steps, so that a sync of another file does not wait for long.
 */
static int
file_allocate(void *ctx, int fd, size_t size)
{
	enum { STEP = 1 << 20 };
	char *zeros;
	int code;

	if (fallocate(fd, 0, 0, (off_t)size) && errno != EOPNOTSUPP)
		return errno;
	zeros = stator__alloc(STEP);
	code = 0;
	for (size_t at = 0; at < size && code == 0; at += STEP) {
		size_t part = size - at < STEP ? size - at : STEP;

		code = file_write(ctx, fd, zeros, part, at);
		if (code == 0)
			code = file_sync(ctx, fd);
	}
	free(zeros);
	return code;
}

static int
file_truncate(void *ctx, int fd, uint64_t size)
{
	(void)ctx;
	return ftruncate(fd, (off_t)size) ? errno : 0;
}

static int
file_rename(void *ctx, const char *from, const char *to)
{
	(void)ctx;
	return rename(from, to) ? errno : 0;
}

static int
file_remove(void *ctx, const char *path)
{
	(void)ctx;
	return unlink(path) ? errno : 0;
}

static int
file_sync_folder(void *ctx, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), code;

	(void)ctx;
	if (fd < 0)
		return errno;
	code = fsync(fd) ? errno : 0;
	close(fd);
	return code;
}

static void
file_close(void *ctx, int fd)
{
	(void)ctx;
	close(fd);
}

const stator_file_ops stator__files = {
	.open = file_open,
	.allocate = file_allocate,
	.write = file_write,
	.sync = file_sync,
	.truncate = file_truncate,
	.rename = file_rename,
	.remove = file_remove,
	.sync_folder = file_sync_folder,
	.close = file_close,
};
