/*
 * files.c: see files.h.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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

static bool
write_whole(const char *path, stator_slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool done;

	if (fd < 0)
		return false;
	done = write(fd, text.data, text.size) == (ssize_t)text.size &&
	       fsync(fd) == 0;
	return close(fd) == 0 && done;
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
