/*
 * files.c: see files.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

static int
read_all(stator_arena *arena, int fd, stator_slice *text)
{
	struct stat st;
	size_t size, done = 0;
	char *data;

	if (fstat(fd, &st))
		return errno;
	if (S_ISDIR(st.st_mode))
		return EISDIR;
	size = (size_t)st.st_size;
	data = stator__arena_alloc(arena, size + 1);
	while (done < size) {
		ssize_t n = read(fd, data + done, size - done);

		if (n < 0)
			return errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*text = stator__slice(data, done);
	return 0;
}

int
stator__file_read(stator_arena *arena, const char *path, stator_slice *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), code;

	*text = stator__slice("", 0);
	if (fd < 0)
		return errno;
	code = read_all(arena, fd, text);
	close(fd);
	return code;
}

bool
stator__is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool
same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool
stator__is_same_file(const char *a, const char *b)
{
	struct stat one, other;

	return stat(a, &one) == 0 && stat(b, &other) == 0 && same(&one, &other);
}

bool
stator__is_open_here(const char *path)
{
	struct stat wanted, st;
	struct dirent *entry;
	bool found = false;
	DIR *all;

	if (stat(path, &wanted))
		return false;
	all = opendir("/proc/self/fd");
	while (all && !found && (entry = readdir(all)))
		found = fstatat(dirfd(all), entry->d_name, &st, 0) == 0 &&
			same(&st, &wanted);
	if (all)
		closedir(all);
	return found;
}

bool
stator__folder_make(const char *path)
{
	char *copy = stator__strdup(path);
	bool made = true;

	for (char *p = copy + 1; made; p++) {
		char c = *p;

		if (c != '/' && c != 0)
			continue;
		*p = 0;
		made = mkdir(copy, 0755) == 0 || errno == EEXIST;
		*p = c;
		if (c == 0)
			break;
	}
	free(copy);
	return made;
}

static int
compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int
stator__folder_read(stator_arena *arena, const char *path, const char ***names,
		    size_t *count)
{
	const char **found = NULL;
	struct dirent *entry;
	size_t n = 0, cap = 0;
	DIR *dir = opendir(path);
	int code;

	*names = NULL;
	*count = 0;
	if (dir == NULL)
		return errno;
	for (errno = 0; (entry = readdir(dir)) != NULL; errno = 0) {
		if (entry->d_name[0] == '.')
			continue;
		STATOR_GROW(found, n, cap);
		found[n++] = stator__arena_str(arena, entry->d_name,
					       strlen(entry->d_name));
	}
	code = errno;
	closedir(dir);
	if (code == 0 && n) {
		qsort(found, n, sizeof(*found), compare);
		*names = stator__arena_copy(arena, found, n * sizeof(*found));
		*count = n;
	}
	free(found);
	return code;
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

bool
stator__folder_remove(const char *path)
{
	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0;
}

bool
stator__folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool done;

	if (fd < 0)
		return false;
	done = fsync(fd) == 0;
	close(fd);
	return done;
}

static int
write_all(int fd, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

static int
open_new(const char *path, int *fd)
{
	*fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return *fd < 0 ? errno : 0;
}

/* Durable, unless something was wrong before. */
static int
close_new(int fd, int code)
{
	if (code == 0 && fsync(fd))
		code = errno;
	if (close(fd) && code == 0)
		code = errno;
	return code;
}

int
stator__file_write(const char *path, const void *data, size_t size)
{
	int fd, code = open_new(path, &fd);

	return code ? code : close_new(fd, write_all(fd, data, size));
}

/* Reads to the end; writes the same, unless `to` is -1. */
static int
sum(int from, int to, uint64_t *size, uint32_t *crc, stator_on_read on_read,
    void *ctx)
{
	enum { PIECE = 1 << 18 };
	char *piece = stator__alloc(PIECE);
	int code = 0;

	*size = *crc = 0;
	while (code == 0) {
		ssize_t n = read(from, piece, PIECE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			code = n < 0 ? errno : 0;
			break;
		}
		*size += (size_t)n;
		*crc = stator__crc32c(*crc, piece, (size_t)n);
		if (to >= 0)
			code = write_all(to, piece, (size_t)n);
		if (on_read)
			on_read(ctx, (size_t)n);
	}
	free(piece);
	return code;
}

int
stator__file_sum(const char *path, const char *to, uint64_t *size,
		 uint32_t *crc, stator_on_read on_read, void *ctx)
{
	int from = open(path, O_RDONLY | O_CLOEXEC), out = -1, code;

	if (from < 0)
		return errno;
	code = to ? open_new(to, &out) : 0;
	if (code == 0)
		code = sum(from, out, size, crc, on_read, ctx);
	if (out >= 0)
		code = close_new(out, code);
	close(from);
	return code;
}

static bool
write_whole(const char *path, stator_slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	return fd >= 0 &&
	       close_new(fd, write_all(fd, text.data, text.size)) == 0;
}

bool
stator__file_replace(const char *path, stator_slice text)
{
	char *draft = stator__format("%s.new", path);
	const char *slash = strrchr(path, '/');
	char *folder = slash ? stator__strndup(path, (size_t)(slash - path))
			     : stator__strdup(".");
	bool done = write_whole(draft, text) && rename(draft, path) == 0 &&
		    stator__folder_sync(folder);

	free(folder);
	free(draft);
	return done;
}

bool
stator__ends_with(const char *name, const char *ending)
{
	size_t n = strlen(name), e = strlen(ending);

	return n > e && strcmp(name + n - e, ending) == 0;
}
