/*
 * copy.c: see copy.h.
 *
 * LMDB writes the copy of an environment to a file descriptor: here that of a
 * pipe, behind which the file is written. So it is known how far it is, and
 * when it has begun: its first bytes come when its transaction stands.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "store/copy.h"
#include "store/log_format.h"

/* Files ----------------------------------------------------------------- */

static int
failed(const char *path, const char *what, int code, stator_error *err)
{
	return stator__fail(err, STATOR_IO, "%s: %s: %s", path, what,
			    strerror(code));
}

int
stator__out_open(stator_out_file *out, const char *folder, const char *name,
		 stator_error *err)
{
	int code;

	out->path = stator__format("%s/%s", folder, name);
	out->fd = open(out->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (out->fd >= 0)
		return STATOR_OK;
	code = failed(out->path, "make the file", errno, err);
	free(out->path);
	return code;
}

int
stator__out_write(stator_out_file *out, const void *data, size_t size,
		  stator_error *err)
{
	const char *at = data;

	while (size) {
		ssize_t n = write(out->fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failed(out->path, "write", errno, err);
		at += n;
		size -= (size_t)n;
	}
	return STATOR_OK;
}

int
stator__out_close(stator_out_file *out, stator_error *err)
{
	int code = STATOR_OK;

	if (fsync(out->fd))
		code = failed(out->path, "sync", errno, err);
	close(out->fd);
	free(out->path);
	return code;
}

/* The tree -------------------------------------------------------------- */

typedef struct env_copy {
	MDB_env *env;
	int pipe[2];
	int code; /* LMDB's */
	const char *from;
	stator_out_file out;
	const stator_copying *copying;
	uint64_t done, whole;
} env_copy;

/* A reader that has left is an error like others, and not a signal. */
static void *
write_env(void *ctx)
{
	env_copy *c = ctx;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	c->code = mdb_env_copyfd2(c->env, c->pipe[1], 0);
	close(c->pipe[1]);
	return NULL;
}

/* The pages that are in use, or free among them. */
static uint64_t
size_of_env(MDB_env *env)
{
	MDB_envinfo info;
	MDB_stat stat;

	if (mdb_env_info(env, &info) || mdb_env_stat(env, &stat))
		return 0;
	return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

static int
take_piece(env_copy *c, const void *data, size_t size, stator_error *err)
{
	const stator_copying *to = c->copying;
	int code = STATOR_OK;

	if (c->done == 0 && to->on_begun)
		code = to->on_begun(to->ctx, err);
	if (code == STATOR_OK)
		code = stator__out_write(&c->out, data, size, err);
	if (code)
		return code;
	c->done += size;
	if (c->whole < c->done)
		c->whole = c->done;
	if (to->on_progress)
		to->on_progress(to->ctx, c->done, c->whole);
	return STATOR_OK;
}

static int
read_pipe(env_copy *c, stator_error *err)
{
	enum { PIECE = 1 << 18 };
	char *piece = stator__alloc(PIECE);
	int code = STATOR_OK;

	while (code == STATOR_OK) {
		ssize_t n = read(c->pipe[0], piece, PIECE);

		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		code = n < 0 ? failed(c->from, "read", errno, err)
			     : take_piece(c, piece, (size_t)n, err);
	}
	free(piece);
	close(c->pipe[0]);
	return code;
}

int
stator__copy_env(MDB_env *env, const char *from, const char *to,
		 const stator_copying *copying, stator_error *err)
{
	env_copy c = {.env = env,
		      .from = from,
		      .copying = copying,
		      .whole = size_of_env(env)};
	stator_error ignored;
	pthread_t thread;
	int code = stator__out_open(&c.out, to, "data.mdb", err), closed;

	if (code)
		return code;
	if (pipe2(c.pipe, O_CLOEXEC)) {
		code = failed(c.out.path, "make a pipe", errno, err);
		stator__out_close(&c.out, &ignored);
		return code;
	}
	pthread_create(&thread, NULL, write_env, &c);
	code = read_pipe(&c, err);
	pthread_join(thread, NULL);
	if (code == STATOR_OK && c.code)
		code = stator__fail(err, STATOR_IO, "%s: copy: %s", from,
				    mdb_strerror(c.code));
	closed = stator__out_close(&c.out, code ? &ignored : err);
	return code ? code : closed;
}

/* The log --------------------------------------------------------------- */

typedef struct log_copy {
	const char *to;
	stator_out_file out;
	bool open;
	uint64_t salt;
	stator_buf record;
} log_copy;

static int
begin_segment(log_copy *c, stator_error *err)
{
	uint8_t header[STATOR_LOG_HEADER];
	char name[40];
	int code;

	snprintf(name, sizeof(name), STATOR_LOG_NAME, 1ull);
	code = stator__out_open(&c->out, c->to, name, err);
	if (code)
		return code;
	c->open = true;
	if (getrandom(&c->salt, sizeof(c->salt), 0) != sizeof(c->salt))
		c->salt = (uint64_t)stator__monotonic_ns();
	stator__log_header(header, 1, c->salt);
	return stator__out_write(&c->out, header, sizeof(header), err);
}

static int
copy_record(void *ctx, const stator_record *r, stator_error *err)
{
	log_copy *c = ctx;
	size_t size = r->entries.size, whole = stator__record_size(size);
	int code = c->open ? STATOR_OK : begin_segment(c, err);
	uint8_t *p;

	if (code)
		return code;
	c->record.size = 0;
	p = stator__buf_reserve(&c->record, whole);
	memset(p, 0, whole);
	stator__u32_put(p + 4, (uint32_t)size);
	stator__u64_put(p + 8, r->lsn);
	if (size)
		memcpy(p + STATOR_RECORD_HEADER, r->entries.data, size);
	stator__u32_put(p, stator__record_crc(c->salt, p, size));
	return stator__out_write(&c->out, p, whole, err);
}

static void
remove_segment(const char *folder)
{
	char *path = stator__format("%s/" STATOR_LOG_NAME, folder, 1ull);

	unlink(path);
	free(path);
}

int
stator__copy_log(const char *from, const char *to, uint64_t after,
		 uint64_t *last, stator_error *err)
{
	log_copy c = {.to = to};
	stator_log_end end;
	stator_error ignored;
	int code = stator__log_read(from, after, copy_record, &c, &end, err);

	*last = end.last;
	if (c.open) {
		int closed = stator__out_close(&c.out, code ? &ignored : err);

		code = code ? code : closed;
	}
	if (code && c.open)
		remove_segment(to);
	free(c.record.data);
	return code;
}
