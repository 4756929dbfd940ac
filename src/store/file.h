/*
 * file.h: the calls by which a log changes files, as a table, so that specs
 * can make them fail, tear, or be the last before the power goes.
 */
#ifndef STATOR_FILE_H
#define STATOR_FILE_H

#include "base/base.h"

/* Each returns 0 or an errno. */
typedef struct stator_file_ops {
	int (*open)(void *ctx, const char *path, int flags, int *fd);
	/* Room for `size` bytes, which are zeros on disk. */
	int (*allocate)(void *ctx, int fd, size_t size);
	/* All of it; after an error any part of it may be written. */
	int (*write)(void *ctx, int fd, const void *data, size_t size,
		     uint64_t offset);
	int (*sync)(void *ctx, int fd);
	int (*truncate)(void *ctx, int fd, uint64_t size);
	int (*rename)(void *ctx, const char *from, const char *to);
	int (*remove)(void *ctx, const char *path);
	int (*sync_folder)(void *ctx, const char *path);
	void (*close)(void *ctx, int fd);
	/* Called where a process may die; NULL is no one. */
	void (*step)(void *ctx, const char *name);
	void *ctx;
} stator_file_ops;

extern const stator_file_ops stator__files;

#endif
