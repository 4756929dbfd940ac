/*
 * log.h: the log of a partition: a folder's segments, log-<number>.seg, each a
 * header and records without gaps. A record is one commit: its LSN (log
 * sequence number, one more with each commit) and all puts and deletes, under
 * one checksum.
 *
 * One thread appends. The next segment is prepared, and those that are not
 * needed any more are taken away, by another: the keeper.
 */
#ifndef STATOR_LOG_H
#define STATOR_LOG_H

#include "store/file.h"
#include "store/store.h"

typedef struct stator_log stator_log;

typedef struct stator_log_opts {
	const stator_file_ops *files;
	size_t segment_bytes;
	bool no_sync;
	/* Called when the keeper has something to do: [any-thread]. */
	void (*wake)(void *ctx);
	void *ctx;
} stator_log_opts;

/* A record as it is found. */
typedef struct stator_record {
	const char *file; /* name in the folder */
	uint64_t offset;
	uint64_t lsn;
	stator_slice entries;
	uint32_t segment, segments; /* which, from 1, of how many */
} stator_record;

typedef int (*stator_on_record)(void *ctx, const stator_record *record,
				stator_error *err);

/* What reading has come to. */
typedef struct stator_log_end {
	uint64_t first, last; /* LSNs; 0: there is no record */
	uint64_t bytes;	      /* of records */
	/* Where the last record is, and what follows it. */
	uint64_t number;      /* of the segment; 0: none */
	uint64_t offset, end; /* of that record */
	uint64_t top;	      /* the largest number of a segment */
	uint32_t segments;
	bool torn;	      /* bytes behind the end are no record */
} stator_log_end;

/*
 * Reads all records whose LSN is above `after`, in order. CORRUPT when one is
 * damaged or missing; what is behind the last one is a commit that was never
 * acknowledged, if nothing valid follows it.
 */
int stator__log_read(const char *folder, uint64_t after,
		     stator_on_record on_record, void *ctx,
		     stator_log_end *end, stator_error *err);
/* What a log is made of, for people to look at. */
typedef enum stator_log_kind {
	STATOR_LOG_COMMIT,
	STATOR_LOG_DAMAGED, /* no commit, and no free space */
	STATOR_LOG_FREE	    /* behind the last commit of a segment */
} stator_log_kind;

typedef struct stator_log_part {
	stator_log_kind kind;
	const char *file; /* name in the folder */
	uint64_t offset, size;
	const stator_record *record; /* of a commit */
	const char *why;	     /* it is damaged */
} stator_log_part;

typedef void (*stator_on_part)(void *ctx, const stator_log_part *part);

/* Goes through all segments, damaged ones, too. IO: one cannot be read. */
int stator__log_list(const char *folder, stator_on_part on_part, void *ctx,
		     stator_error *err);
/* Whether there are any segments. */
bool stator__log_exists(const char *folder);

/*
 * A log to be appended to, behind what was read: the last record is made
 * durable, what follows it is cut.
 */
int stator__log_open(stator_log **out, const char *folder,
		     const stator_log_opts *opts, const stator_log_end *end,
		     stator_error *err);
/* Files stay as they are. */
void stator__log_close(stator_log *log);

/* Records are collected in a buffer: begin, entries, append. */
void stator__record_begin(stator_buf *record);
void stator__record_add(stator_buf *record, stator_slice key,
			stator_slice value, stator_change change);
/*
 * Durable when this returns OK. IO: nothing of it counts. After an error that
 * says nothing about what is on disk, all later ones fail, too.
 */
int stator__log_append(stator_log *log, stator_buf *record, uint64_t lsn,
		       stator_error *err);

/* One entry; false at the end. The record has been found sound. */
typedef struct stator_log_entry {
	stator_slice key, value;
	stator_change change;
} stator_log_entry;
bool stator__record_next(stator_slice *entries, stator_log_entry *entry);
/* Whether its entries can be read to their end. */
bool stator__record_sound(stator_slice entries);

/* The keeper's: prepares a segment when one is wanted soon. */
void stator__log_prepare(stator_log *log);
/* Records up to this LSN are not needed any more. */
void stator__log_forget(stator_log *log, uint64_t lsn);
/* At the end: no record is needed any more. Nobody else uses the log. */
void stator__log_clear(stator_log *log);
/* Whether it takes nothing any more. */
bool stator__log_failed(const stator_log *log);

#endif
