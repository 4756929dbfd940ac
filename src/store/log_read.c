/*
 * log_read.c: reading a log: at the start of a partition, and to look at it.
 *
 * A commit is acknowledged when its record is synced, and only then the next
 * one is written: so at most one record, the last, can be torn. It is cut. What
 * is no record but has a valid one behind it is damage, and so is a missing
 * LSN: then nothing is done at all, since what follows is worth something.
 *
 * Segments that are wholly in the tree may be gone, or not yet: a gap between
 * LSNs that the tree has does no harm.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/files.h"
#include "store/log.h"
#include "store/log_format.h"

/* Entries --------------------------------------------------------------- */

static bool
take_number(stator_slice *s, uint64_t *out)
{
	const uint8_t *p = s->data;
	uint64_t v = 0;

	for (size_t i = 0; i < s->size && i < 6; i++) {
		v |= (uint64_t)(p[i] & 127) << 7 * i;
		if (p[i] < 128) {
			*out = v;
			*s = stator__slice(p + i + 1, s->size - i - 1);
			return true;
		}
	}
	return false;
}

static bool
take_bytes(stator_slice *s, uint64_t size, stator_slice *out)
{
	if (size > s->size)
		return false;
	*out = stator__slice(s->data, size);
	*s = stator__slice((const uint8_t *)s->data + size, s->size - size);
	return true;
}

bool
stator__record_next(stator_slice *s, stator_log_entry *e)
{
	uint64_t key, value;

	if (s->size == 0 || !take_number(s, &key) ||
	    !take_bytes(s, key >> 1, &e->key))
		return false;
	e->value = stator__slice(NULL, 0);
	e->change = key & 1 ? STATOR_CHANGE_DELETE : STATOR_CHANGE_PUT;
	return key & 1 || (take_number(s, &value) &&
			   take_bytes(s, value, &e->value));
}

bool
stator__record_sound(stator_slice entries)
{
	stator_log_entry e;

	while (entries.size)
		if (!stator__record_next(&entries, &e))
			return false;
	return true;
}

/* Segments -------------------------------------------------------------- */

/* What is known while reading. */
typedef struct reader {
	const char *folder;
	uint64_t after;
	stator_on_record on_record;
	stator_on_part on_part;
	void *ctx;
	stator_log_end *end;
	stator_arena *arena;
	/* The segment that is read. */
	const char *name;
	uint32_t segment, segments;
	uint64_t number, salt;
	stator_slice bytes;
	uint64_t at;
	/* Where the last one that had records stopped, when there was more. */
	const char *stopped;
	uint64_t stopped_at;
} reader;

static int
damaged(const reader *r, const char *name, uint64_t at, stator_error *err,
	const char *found)
{
	return stator__fail(
		err, STATOR_CORRUPT,
		"%s/%s: damaged at byte %llu: %s; the partition is not opened. "
		"`stator dump IMAGE --data DIR log` shows what is whole; bring "
		"the partition's folder back from a backup, or see \"Damage\" "
		"in docs/storage.md",
		r->folder, name, (unsigned long long)at, found);
}

static bool
segment_number(const char *name, uint64_t *number)
{
	unsigned long long n;
	int length = 0;

	if (sscanf(name, STATOR_LOG_NAME "%n", &n, &length) != 1 ||
	    length == 0 || name[length])
		return false;
	*number = n;
	return true;
}

bool
stator__log_exists(const char *folder)
{
	stator_arena arena = {0};
	const char **names;
	size_t count;
	uint64_t number;
	bool found = false;

	stator__folder_read(&arena, folder, &names, &count);
	for (size_t i = 0; i < count; i++)
		found |= segment_number(names[i], &number);
	stator__arena_free(&arena);
	return found;
}

static bool
header_sound(const reader *r)
{
	uint8_t want[STATOR_LOG_HEADER];

	if (r->bytes.size < STATOR_LOG_HEADER)
		return false;
	stator__log_header(want, r->number,
			   stator__u64((const uint8_t *)r->bytes.data + 16));
	return memcmp(want, r->bytes.data, sizeof(want)) == 0;
}

/* The record at `at`, if there is one with an LSN from `least` on. */
static bool
record_at(const reader *r, uint64_t at, uint64_t least, stator_record *out)
{
	const uint8_t *p = (const uint8_t *)r->bytes.data + at;
	uint64_t left = r->bytes.size - at, size;

	if (at + STATOR_RECORD_HEADER > r->bytes.size)
		return false;
	size = stator__u32(p + 4);
	out->lsn = stator__u64(p + 8);
	if (out->lsn < least || out->lsn == 0 ||
	    out->lsn - least > UINT32_MAX ||
	    size > left - STATOR_RECORD_HEADER ||
	    stator__u32(p) != stator__record_crc(r->salt, p, size))
		return false;
	out->file = r->name;
	out->offset = at;
	out->entries = stator__slice(p + STATOR_RECORD_HEADER, size);
	out->segment = r->segment;
	out->segments = r->segments;
	return true;
}

/* Whether a valid record is anywhere behind `at`. */
static bool
record_behind(const reader *r, uint64_t at, stator_record *out)
{
	for (at += 8; at + STATOR_RECORD_HEADER <= r->bytes.size; at += 8)
		if (record_at(r, at, r->end->last + 1, out))
			return true;
	return false;
}

static bool
all_zero(const reader *r, uint64_t at)
{
	const uint8_t *p = r->bytes.data;

	while (at < r->bytes.size)
		if (p[at++])
			return false;
	return true;
}

static int
missing(const reader *r, const stator_record *rec, stator_error *err)
{
	char text[160];
	const stator_log_end *e = r->end;
	uint64_t from = (e->last > r->after ? e->last : r->after) + 1;

	snprintf(text, sizeof(text),
		 "commits %llu to %llu are missing before commit %llu of %s",
		 (unsigned long long)from, (unsigned long long)rec->lsn - 1,
		 (unsigned long long)rec->lsn, rec->file);
	return damaged(r, r->stopped ? r->stopped : rec->file,
		       r->stopped ? r->stopped_at : rec->offset, err, text);
}

static int
take_record(reader *r, const stator_record *rec, stator_error *err)
{
	stator_log_end *e = r->end;
	bool next = e->last ? rec->lsn == e->last + 1 : false;

	if (!next && rec->lsn > r->after + 1)
		return missing(r, rec, err);
	if (!stator__record_sound(rec->entries))
		return damaged(r, r->name, rec->offset, err,
			       "a record whose entries do not end with it");
	if (e->first == 0)
		e->first = rec->lsn;
	e->last = rec->lsn;
	e->number = r->number;
	e->offset = rec->offset;
	e->end = rec->offset + stator__record_size(rec->entries.size);
	e->bytes += e->end - e->offset;
	if (rec->lsn <= r->after)
		return STATOR_OK;
	return r->on_record(r->ctx, rec, err);
}

static int
read_segment(reader *r, stator_error *err)
{
	stator_record rec;
	int code = STATOR_OK;

	if (!header_sound(r))
		return damaged(r, r->name, 0, err,
			       "this is not the header of a segment");
	r->salt = stator__u64((const uint8_t *)r->bytes.data + 16);
	r->at = STATOR_LOG_HEADER;
	while (code == STATOR_OK &&
	       record_at(r, r->at, r->end->last + 1, &rec)) {
		code = take_record(r, &rec, err);
		r->at = r->end->end;
		r->stopped = r->name;
		r->stopped_at = r->at;
	}
	if (code)
		return code;
	if (record_behind(r, r->at, &rec)) {
		char text[100];

		snprintf(text, sizeof(text),
			 "no record, but commit %llu follows at byte %llu",
			 (unsigned long long)rec.lsn,
			 (unsigned long long)rec.offset);
		return damaged(r, r->name, r->at, err, text);
	}
	if (r->number == r->end->number)
		r->end->torn = !all_zero(r, r->at);
	return STATOR_OK;
}

static int
load_segment(reader *r, stator_error *err)
{
	char *path = stator__format("%s/%s", r->folder, r->name);
	int code = stator__file_read(r->arena, path, &r->bytes);

	if (code)
		stator__fail(err, STATOR_IO, "%s: %s", path, strerror(code));
	free(path);
	return code ? STATOR_IO : STATOR_OK;
}

/* Names are sorted, and all of one length: so are the numbers. */
static int
find_segments(reader *r, stator_arena *arena, const char ***out,
	      stator_error *err)
{
	const char **names;
	size_t count;
	uint64_t number;
	int code = stator__folder_read(arena, r->folder, &names, &count);

	if (code && code != ENOENT)
		return stator__fail(err, STATOR_IO, "%s: %s", r->folder,
				    strerror(code));
	for (size_t i = 0; i < count; i++)
		if (segment_number(names[i], &number))
			names[r->segments++] = names[i];
	*out = names;
	return STATOR_OK;
}

static int
each_segment(reader *r, int (*visit)(reader *r, stator_error *err),
	     stator_error *err)
{
	stator_arena names_arena = {0}, arena = {0};
	const char **names = NULL;
	int code = find_segments(r, &names_arena, &names, err);

	r->arena = &arena;
	for (uint32_t i = 0; i < r->segments && !code; i++) {
		r->segment = i + 1;
		r->name = names[i];
		segment_number(r->name, &r->number);
		code = load_segment(r, err);
		if (code == STATOR_OK)
			code = visit(r, err);
		stator__arena_free(&arena);
	}
	stator__arena_free(&names_arena);
	return code;
}

static int
read_next(reader *r, stator_error *err)
{
	r->end->top = r->number;
	return read_segment(r, err);
}

int
stator__log_read(const char *folder, uint64_t after,
		 stator_on_record on_record, void *ctx, stator_log_end *end,
		 stator_error *err)
{
	reader r = {.folder = folder,
		    .after = after,
		    .on_record = on_record,
		    .ctx = ctx,
		    .end = end};
	int code;

	*end = (stator_log_end){0};
	code = each_segment(&r, read_next, err);
	end->segments = r.segments;
	return code;
}

/* Looking at a log ------------------------------------------------------ */

static void
show(const reader *r, stator_log_kind kind, uint64_t from, uint64_t to,
     const stator_record *rec, const char *why)
{
	const stator_log_part part = {kind, r->name, from, to - from, rec, why};

	r->on_part(r->ctx, &part);
}

/* The next commit or stretch of damage; false at the end. */
static bool
list_part(reader *r)
{
	stator_record rec;
	uint64_t end;

	if (!record_at(r, r->at, 1, &rec)) {
		if (!record_behind(r, r->at, &rec))
			return false;
		show(r, STATOR_LOG_DAMAGED, r->at, rec.offset, NULL,
		     "no commit, but there is one behind it");
		r->at = rec.offset;
		return true;
	}
	end = r->at + stator__record_size(rec.entries.size);
	if (stator__record_sound(rec.entries))
		show(r, STATOR_LOG_COMMIT, r->at, end, &rec, NULL);
	else
		show(r, STATOR_LOG_DAMAGED, r->at, end, NULL,
		     "a commit whose entries do not end with it");
	r->at = end;
	return true;
}

/* Where the header is damaged, what it says of the salt may still be true. */
static int
list_segment(reader *r, stator_error *err)
{
	(void)err;
	r->at = STATOR_LOG_HEADER;
	if (!header_sound(r))
		show(r, STATOR_LOG_DAMAGED, 0, STATOR_LOG_HEADER, NULL,
		     "this is not the header of a segment");
	if (r->bytes.size < STATOR_LOG_HEADER)
		return STATOR_OK;
	r->salt = stator__u64((const uint8_t *)r->bytes.data + 16);
	while (list_part(r))
		continue;
	if (r->at < r->bytes.size)
		show(r, STATOR_LOG_FREE, r->at, r->bytes.size, NULL, NULL);
	return STATOR_OK;
}

int
stator__log_list(const char *folder, stator_on_part on_part, void *ctx,
		 stator_error *err)
{
	stator_log_end none = {0};
	reader r = {.folder = folder,
		    .on_part = on_part,
		    .ctx = ctx,
		    .end = &none};

	return each_segment(&r, list_segment, err);
}
