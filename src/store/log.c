/*
 * log.c: writing a log.
 *
 * One write and one sync make a commit durable. For that sync to have nothing
 * else to write, a segment's blocks are written before it is used: with zeros,
 * or, when it has served before, by what it held then. The keeper prepares the
 * next segment while the current one is filled; if it is late, one is made on
 * the spot. Segments grow with the log, so that a small partition stays small.
 *
 * A name is given to a segment when its header is durable. So one whose header
 * is wrong is always damaged, never unfinished.
 *
 * Errors. Where there was no room, the next commit may try again at the same
 * place. After any other failed write, and after a failed sync, nobody knows
 * what is on disk (the kernel may have dropped the pages): the log takes
 * nothing any more, until the partition is opened again and reads it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/files.h"
#include "store/log.h"
#include "store/log_format.h"

/* The smallest segment; each next one is twice as large, up to the most. */
enum { SEGMENT_LEAST = 256 << 10 };

#define SPARE_NAME "spare.seg"

typedef struct segment {
	uint64_t number, salt;
	uint64_t last; /* LSN of its last record */
	size_t size;
	int fd;	       /* -1: not open */
} segment;

struct stator_log {
	char *folder;
	stator_log_opts opts;
	/* The appending thread's. */
	segment current; /* fd -1: none yet */
	size_t at;
	bool closed;
	stator_error why;
	/* Shared with the keeper. */
	pthread_mutex_t lock;
	segment next; /* fd -1: not ready */
	segment *old;
	size_t old_count, old_cap;
	uint64_t top; /* the largest number that was given */
	size_t size;  /* of the next segment */
	bool wanted;
	bool spare; /* there is a segment to be used again */
};

static const stator_file_ops *
files(const stator_log *log)
{
	return log->opts.files;
}

static char *
path_of(const stator_log *log, uint64_t number)
{
	char name[40];

	snprintf(name, sizeof(name), STATOR_LOG_NAME,
		 (unsigned long long)number);
	return stator__format("%s/%s", log->folder, name);
}

static int
sync_file(const stator_log *log, int fd)
{
	return log->opts.no_sync ? 0 : files(log)->sync(files(log)->ctx, fd);
}

static int
sync_folder(const stator_log *log)
{
	return log->opts.no_sync ? 0
				 : files(log)->sync_folder(files(log)->ctx,
							   log->folder);
}

static void
close_segment(const stator_log *log, segment *s)
{
	if (s->fd >= 0)
		files(log)->close(files(log)->ctx, s->fd);
	s->fd = -1;
}

/* Making segments ------------------------------------------------------- */

static uint64_t
random_salt(void)
{
	uint64_t salt = 0;

	if (getrandom(&salt, sizeof(salt), 0) != sizeof(salt))
		salt = (uint64_t)stator__monotonic_ns();
	return salt;
}

/* Header, name, and both durable. */
static int
give_name(const stator_log *log, segment *s, const char *draft)
{
	const stator_file_ops *f = files(log);
	char *path = path_of(log, s->number);
	uint8_t header[STATOR_LOG_HEADER];
	int code;

	s->salt = random_salt();
	stator__log_header(header, s->number, s->salt);
	code = f->write(f->ctx, s->fd, header, sizeof(header), 0);
	if (code == 0)
		code = sync_file(log, s->fd);
	if (code == 0)
		code = f->rename(f->ctx, draft, path);
	if (code == 0)
		code = sync_folder(log);
	free(path);
	return code;
}

/* A segment with this number and size; 0 or an errno. `spare`: the one that
 * is there, which has the full size. `filled`: its blocks are written. */
static int
make_segment(const stator_log *log, segment *s, bool spare, bool filled)
{
	const stator_file_ops *f = files(log);
	char *draft = spare ? stator__format("%s/" SPARE_NAME, log->folder)
			    : stator__format("%s/draft-%llx", log->folder,
					     (unsigned long long)s->number);
	int code = f->open(f->ctx, draft,
			   spare ? O_RDWR : O_RDWR | O_CREAT | O_TRUNC, &s->fd);

	if (code == 0) {
		if (!spare && filled && !log->opts.no_sync)
			code = f->allocate(f->ctx, s->fd, s->size);
		else if (!spare)
			code = f->truncate(f->ctx, s->fd, s->size);
		if (code == 0)
			code = give_name(log, s, draft);
		if (code)
			close_segment(log, s);
		if (code && !spare)
			f->remove(f->ctx, draft);
	}
	free(draft);
	return code;
}

static size_t
step_size(stator_log *log, size_t need)
{
	size_t size = log->size;

	log->size = log->size < log->opts.segment_bytes / 2
			    ? log->size * 2
			    : log->opts.segment_bytes;
	return size > need ? size : need;
}

/* A segment that came too late: it is empty, and would stand before others. */
static void
discard(const stator_log *log, segment *s)
{
	char *path = path_of(log, s->number);

	close_segment(log, s);
	files(log)->remove(files(log)->ctx, path);
	free(path);
}

/* The keeper's: everything slow happens outside of the lock. */
void
stator__log_prepare(stator_log *log)
{
	segment s = {.fd = -1};
	bool spare;
	int code;

	pthread_mutex_lock(&log->lock);
	if (!log->wanted || log->next.fd >= 0) {
		pthread_mutex_unlock(&log->lock);
		return;
	}
	log->wanted = false;
	spare = log->spare;
	log->spare = false;
	s.number = ++log->top;
	s.size = spare ? log->opts.segment_bytes : step_size(log, 0);
	pthread_mutex_unlock(&log->lock);
	code = make_segment(log, &s, spare, true);
	if (code) {
		/* Whoever commits will try, and say what is wrong. */
		stator__logf(STATOR_LOG_VERBOSE, "log", "%s: %s", log->folder,
			     strerror(code));
		return;
	}
	pthread_mutex_lock(&log->lock);
	if (s.number > log->current.number) {
		log->next = s;
		s.fd = -1;
	}
	pthread_mutex_unlock(&log->lock);
	if (s.fd >= 0)
		discard(log, &s);
}

/* Taking segments away -------------------------------------------------- */

/* Keeps the segment to be used again, under a name of its own before anything
 * in it changes. */
static bool
keep_spare(stator_log *log, const char *path)
{
	char *spare = stator__format("%s/" SPARE_NAME, log->folder);
	bool kept = files(log)->rename(files(log)->ctx, path, spare) == 0 &&
		    sync_folder(log) == 0;

	free(spare);
	return kept;
}

static void
take_away(stator_log *log, const segment *s)
{
	char *path = path_of(log, s->number);
	bool keep;

	pthread_mutex_lock(&log->lock);
	keep = !log->spare && s->size == log->opts.segment_bytes;
	pthread_mutex_unlock(&log->lock);
	if (keep && keep_spare(log, path)) {
		pthread_mutex_lock(&log->lock);
		log->spare = true;
		pthread_mutex_unlock(&log->lock);
	} else {
		files(log)->remove(files(log)->ctx, path);
	}
	free(path);
}

static bool
next_to_forget(stator_log *log, uint64_t lsn, segment *out)
{
	bool found = false;

	pthread_mutex_lock(&log->lock);
	if (log->old_count && log->old[0].last <= lsn) {
		*out = log->old[0];
		log->old_count--;
		memmove(log->old, log->old + 1,
			log->old_count * sizeof(*log->old));
		found = true;
	}
	pthread_mutex_unlock(&log->lock);
	return found;
}

void
stator__log_clear(stator_log *log)
{
	const stator_file_ops *f = files(log);
	char *spare = stator__format("%s/" SPARE_NAME, log->folder);

	for (size_t i = 0; i < log->old_count; i++)
		discard(log, &log->old[i]);
	log->old_count = 0;
	if (log->current.fd >= 0)
		discard(log, &log->current);
	if (log->next.fd >= 0)
		discard(log, &log->next);
	if (log->spare)
		f->remove(f->ctx, spare);
	free(spare);
}

bool
stator__log_failed(const stator_log *log)
{
	return log->closed;
}

void
stator__log_forget(stator_log *log, uint64_t lsn)
{
	segment s;

	while (next_to_forget(log, lsn, &s))
		take_away(log, &s);
}

/* Records --------------------------------------------------------------- */

void
stator__record_begin(stator_buf *record)
{
	record->size = 0;
	memset(stator__buf_reserve(record, STATOR_RECORD_HEADER), 0,
	       STATOR_RECORD_HEADER);
	record->size = STATOR_RECORD_HEADER;
}

static uint8_t *
put_number(uint8_t *p, uint64_t n)
{
	for (; n >= 128; n >>= 7)
		*p++ = (uint8_t)(n | 128);
	*p++ = (uint8_t)n;
	return p;
}

void
stator__record_add(stator_buf *record, stator_slice key, stator_slice value,
		   stator_change change)
{
	bool put = change == STATOR_CHANGE_PUT;
	uint8_t *start =
		stator__buf_reserve(record, key.size + value.size + 20);
	uint8_t *p = put_number(start, (uint64_t)key.size << 1 | !put);

	memcpy(p, key.data, key.size);
	p += key.size;
	if (put) {
		p = put_number(p, value.size);
		if (value.size)
			memcpy(p, value.data, value.size);
		p += value.size;
	}
	record->size += (size_t)(p - start);
}

/* Appending ------------------------------------------------------------- */

static void
want_next(stator_log *log)
{
	pthread_mutex_lock(&log->lock);
	log->wanted = true;
	pthread_mutex_unlock(&log->lock);
	if (log->opts.wake)
		log->opts.wake(log->opts.ctx);
}

/* To a segment that has room for `need` bytes; 0 or an errno. */
static int
roll(stator_log *log, size_t need)
{
	segment s = {.fd = -1}, late = {.fd = -1};
	int code;

	pthread_mutex_lock(&log->lock);
	if (log->next.fd >= 0 && log->next.size - STATOR_LOG_HEADER >= need) {
		s = log->next;
		log->next.fd = -1;
	} else {
		s.number = ++log->top;
		s.size = step_size(log, need + STATOR_LOG_HEADER);
	}
	pthread_mutex_unlock(&log->lock);
	if (s.fd < 0) {
		code = make_segment(log, &s, false, s.size <= SEGMENT_LEAST);
		if (code)
			return code;
	}
	pthread_mutex_lock(&log->lock);
	if (log->current.fd >= 0) {
		close_segment(log, &log->current);
		STATOR_GROW(log->old, log->old_count, log->old_cap);
		log->old[log->old_count++] = log->current;
	}
	log->current = s;
	if (log->next.fd >= 0 && log->next.number < s.number) {
		late = log->next;
		log->next.fd = -1;
	}
	pthread_mutex_unlock(&log->lock);
	if (late.fd >= 0)
		discard(log, &late);
	log->at = STATOR_LOG_HEADER;
	return 0;
}

static bool
is_full_disk(int code)
{
	return code == ENOSPC || code == EDQUOT || code == EFBIG;
}

static int
failed(stator_log *log, const char *what, int code, bool final,
       stator_error *err)
{
	char *path = path_of(log, log->current.number);

	if (!final)
		stator__fail(err, STATOR_IO,
			     "%s: %s: %s; nothing of this commit counts, later "
			     "ones are tried again",
			     log->folder, what, strerror(code));
	else
		stator__fail(err, STATOR_IO,
			     "%s: byte %zu: %s: %s; what is on disk is not "
			     "known: the partition takes no more commits; mend "
			     "the disk and start again",
			     path, log->at, what, strerror(code));
	free(path);
	if (final) {
		log->closed = true;
		log->why = *err;
	}
	return STATOR_IO;
}

static size_t
finish(const stator_log *log, stator_buf *record, uint64_t lsn)
{
	size_t entries = record->size - STATOR_RECORD_HEADER;
	size_t size = stator__record_size(entries);
	uint8_t *p;

	memset(stator__buf_reserve(record, 8), 0, 8);
	p = record->data;
	stator__u32_put(p + 4, (uint32_t)entries);
	stator__u64_put(p + 8, lsn);
	stator__u32_put(p, stator__record_crc(log->current.salt, p, entries));
	return size;
}

int
stator__log_append(stator_log *log, stator_buf *record, uint64_t lsn,
		   stator_error *err)
{
	const stator_file_ops *f = files(log);
	stator_error ignored = {0};
	size_t size = stator__record_size(record->size - STATOR_RECORD_HEADER);
	size_t half = log->current.size / 2;
	int code;

	err = err ? err : &ignored;
	if (log->closed) {
		*err = log->why;
		return STATOR_IO;
	}
	if (record->size > UINT32_MAX / 2)
		return stator__fail(err, STATOR_INVALID,
				    "a commit of %zu bytes is too large for "
				    "the log",
				    record->size);
	if (log->current.fd < 0 || log->current.size - log->at < size) {
		code = roll(log, size);
		if (code)
			return failed(log, "make a segment of the log", code,
				      false, err);
		half = log->current.size / 2;
	}
	finish(log, record, lsn);
	code = f->write(f->ctx, log->current.fd, record->data, size, log->at);
	if (code)
		return failed(log, "write", code, !is_full_disk(code), err);
	code = sync_file(log, log->current.fd);
	if (code)
		return failed(log, "sync", code, true, err);
	log->current.last = lsn;
	if (log->at <= half && log->at + size > half)
		want_next(log);
	log->at += size;
	return STATOR_OK;
}

/* Opening --------------------------------------------------------------- */

/*
 * The last record may be in the kernel's memory only, even as "clean" after a
 * sync that failed before the process died: it is written once more, so that
 * the next sync means something. Then what is behind it is cut.
 */
static int
settle_end(stator_log *log, const stator_log_end *end)
{
	const stator_file_ops *f = files(log);
	char *path = path_of(log, end->number);
	size_t size = (size_t)(end->end - end->offset);
	char *record = stator__alloc(size);
	FILE *in = fopen(path, "rb");
	int fd = -1, code = in ? 0 : errno;

	/* What only fills the record up may not be there; it is zero. */
	if (in && (fseek(in, (long)end->offset, SEEK_SET) ||
		   fread(record, 1, size, in) == 0 || ferror(in)))
		code = EIO;
	if (code == 0)
		code = f->open(f->ctx, path, O_RDWR, &fd);
	if (code == 0)
		code = f->write(f->ctx, fd, record, size, end->offset);
	if (code == 0)
		code = f->truncate(f->ctx, fd, end->end);
	if (code == 0)
		code = sync_file(log, fd);
	if (fd >= 0)
		f->close(f->ctx, fd);
	if (in)
		fclose(in);
	free(record);
	free(path);
	return code;
}

/* The data may have been written without syncs until now. */
static int
sync_segment(stator_log *log, uint64_t number)
{
	const stator_file_ops *f = files(log);
	char *path = path_of(log, number);
	int fd, code = f->open(f->ctx, path, O_RDWR, &fd);

	if (code == 0) {
		code = sync_file(log, fd);
		f->close(f->ctx, fd);
	}
	free(path);
	return code;
}

static int
remove_left(stator_log *log, const char *name)
{
	char *path = stator__format("%s/%s", log->folder, name);
	int code = files(log)->remove(files(log)->ctx, path);

	free(path);
	return code;
}

/*
 * All segments that are there are old ones: their last LSN is taken to be that
 * of the whole log, so they go when all of it is in the tree. What is left of
 * segments that were being made goes now.
 */
static int
adopt(stator_log *log, const stator_log_end *end)
{
	stator_arena arena = {0};
	const char **names;
	size_t count;
	int code = stator__folder_read(&arena, log->folder, &names, &count);

	for (size_t i = 0; i < count && !code; i++) {
		unsigned long long number;

		if (sscanf(names[i], STATOR_LOG_NAME, &number) == 1) {
			STATOR_GROW(log->old, log->old_count, log->old_cap);
			log->old[log->old_count++] = (segment){
				.number = number, .last = end->last, .fd = -1};
			code = sync_segment(log, number);
		} else if (strncmp(names[i], "draft-", 6) == 0 ||
			   strcmp(names[i], SPARE_NAME) == 0) {
			code = remove_left(log, names[i]);
		}
	}
	if (code == 0 && log->old_count)
		code = sync_folder(log);
	stator__arena_free(&arena);
	return code;
}

int
stator__log_open(stator_log **out, const char *folder,
		 const stator_log_opts *opts, const stator_log_end *end,
		 stator_error *err)
{
	stator_log *log = stator__alloc(sizeof(*log));
	int code = 0;

	log->folder = stator__strdup(folder);
	log->opts = *opts;
	log->current.fd = log->next.fd = -1;
	log->top = end->top;
	log->size = opts->segment_bytes < SEGMENT_LEAST ? opts->segment_bytes
							: SEGMENT_LEAST;
	pthread_mutex_init(&log->lock, NULL);
	if (end->last)
		code = settle_end(log, end);
	if (code == 0)
		code = adopt(log, end);
	if (code) {
		stator__fail(err, STATOR_IO, "%s: open the log: %s", folder,
			     strerror(code));
		stator__log_close(log);
		return STATOR_IO;
	}
	*out = log;
	return STATOR_OK;
}

void
stator__log_close(stator_log *log)
{
	if (log == NULL)
		return;
	close_segment(log, &log->current);
	close_segment(log, &log->next);
	pthread_mutex_destroy(&log->lock);
	free(log->old);
	free(log->folder);
	free(log);
}
