/*
 * copy.h: the parts of a copy of a store: the tree, and one segment of the log
 * that has what is not in it.
 */
#ifndef STATOR_STORE_COPY_H
#define STATOR_STORE_COPY_H

#include <lmdb.h>

#include "store/log.h"

/* A file that is written by and by. */
typedef struct stator_out_file {
	char *path;
	int fd;
} stator_out_file;

/* A new file `name` in `folder`. IO: it names the file. */
int stator__out_open(stator_out_file *out, const char *folder,
		     const char *name, stator_error *err);
int stator__out_write(stator_out_file *out, const void *data, size_t size,
		      stator_error *err);
/* Durable when this returns OK; in any case it is closed. */
int stator__out_close(stator_out_file *out, stator_error *err);

/* The state that an environment has now, as data.mdb in the folder `to`. */
int stator__copy_env(MDB_env *env, const char *from, const char *to,
		     const stator_copying *copying, stator_error *err);

/*
 * All records of a log behind `after`, as the only segment in the folder `to`;
 * none when there are none. `last` is the LSN of the last one, or 0. CORRUPT or
 * IO also when the log was changed while it was read.
 */
int stator__copy_log(const char *from, const char *to, uint64_t after,
		     uint64_t *last, stator_error *err);

#endif
