/*
 * process.h: the process of a plugin as the host sees it: begun, spoken with,
 * ended.
 */
#ifndef STATOR_ISOLATION_PROCESS_H
#define STATOR_ISOLATION_PROCESS_H

#include <sys/types.h>

#include "isolation/wire.h"

typedef struct isolation_process {
	pid_t pid; /* 0: there is none */
	int fd;
	stator_buf in; /* what was read and not yet taken */
	size_t taken;  /* bytes of it that the last frame had */
} isolation_process;

/* How speaking with it went. */
enum { PROCESS_OK, PROCESS_GONE, PROCESS_LATE, PROCESS_BAD };

/*
 * A process that loads the library `copy`, which `file` is a name for, and
 * serves. `p` is all zero.
 */
int stator__process_start(isolation_process *p, const char *file,
			  const char *copy, stator_error *err);
/* `deadline` is monotonic, in nanoseconds. Never blocks for longer. */
int stator__process_send(isolation_process *p, stator_buf *frame,
			 int64_t deadline);
/* The payload is borrowed until the next frame is received. */
int stator__process_receive(isolation_process *p, uint32_t *kind, wire_in *in,
			    int64_t deadline);
/* Whether it has ended while nobody spoke with it. */
bool stator__process_gone(const isolation_process *p);
/* Ends it, if it has not ended, and says how: `how` has room for 128. */
void stator__process_end(isolation_process *p, char *how);

/* What the process does; never returns. */
void stator__child_main(int fd, const char *file, const char *copy)
	__attribute__((noreturn));

#endif
