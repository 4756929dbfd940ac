/*
 * files.h: files and folders.
 */
#ifndef STATOR_FILES_H
#define STATOR_FILES_H

#include "base/base.h"

/* The whole file, in the arena: 0, or an errno; the text is empty then. */
int stator__file_read(stator_arena *arena, const char *path,
		      stator_slice *text);
bool stator__is_folder(const char *path);
/* Whether both are there, and one and the same. */
bool stator__is_same_file(const char *a, const char *b);
/* Whether this process has the file open; false also where /proc is missing. */
bool stator__is_open_here(const char *path);
/* With the folders above it; false: see errno. */
bool stator__folder_make(const char *path);
/* Names in a folder, sorted, without "." and hidden ones; in the arena. */
int stator__folder_read(stator_arena *arena, const char *path,
			const char ***names, size_t *count);
/* With all that is in it; false: see errno. */
bool stator__folder_remove(const char *path);
/* Makes names in the folder survive the machine. */
bool stator__folder_sync(const char *path);
/* Puts `text` in the place of the file, in one step that survives the machine;
 * false: see errno. */
bool stator__file_replace(const char *path, stator_slice text);
/* A new file with this text, durable: 0, or an errno. */
int stator__file_write(const char *path, const void *data, size_t size);

/* Called with the bytes that have been read since the last call. */
typedef void (*stator_on_read)(void *ctx, size_t size);
/* Size and CRC-32C of a file: 0, or an errno. With `to`, it is copied to that
 * new file, durably. `on_read` may be NULL. */
int stator__file_sum(const char *path, const char *to, uint64_t *size,
		     uint32_t *crc, stator_on_read on_read, void *ctx);
bool stator__ends_with(const char *name, const char *ending);

#endif
