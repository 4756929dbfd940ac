/*
 * upkeep.h: what the functions for operators share: data that is opened for
 * reading, and walks over it that need little memory.
 */
#ifndef STATOR_UPKEEP_H
#define STATOR_UPKEEP_H

#include "processor/processor.h"

/* What a function of stator.h cannot do without. */
static inline int
stator__need(const void *p, const char *name, stator_error *err)
{
	return p ? STATOR_OK
		 : stator__fail(err, STATOR_INVALID, "%s is NULL", name);
}

/* The image, or `err` has the first of what is wrong with it. */
int stator__image_load(stator_version **out, const char *image,
		       const stator_load_opts *load, stator_error *err);
/* How much of data is opened. */
typedef enum stator_opening {
	STATOR_OPEN_ALL,     /* each partition, or it fails */
	STATOR_OPEN_WHOLE,   /* those that can be; see stator_app_opts.go_on */
	STATOR_OPEN_FOLDERS, /* none */
} stator_opening;

/* The data of an image, for reading; another process may be writing it. Close
 * it with `stator__app_close`. */
int stator__data_open(stator_app **out, const char *image, const char *data,
		      stator_opening opening, stator_error *err);

/* Copies the data of an application that is open; see stator_backup. */
int stator__backup(const stator_app *app, const char *version, const char *to,
		   const stator_upkeep_opts *opts, stator_error *err);

/* Walks over a range of a snapshot, in order. */
typedef struct stator_scan {
	const stator_store_ops *ops;
	stator_snapshot *snapshot;
	stator_store_cursor *cursor; /* NULL: not open */
	stator_arena arena;
	stator_buf low; /* where the cursor began */
	stator_slice high;
	/* The entry, until the next step. */
	stator_slice key, value;
} stator_scan;

/* `high`, which is borrowed, may be empty: no end. */
void stator__scan_begin(stator_scan *scan, const stator_store_ops *ops,
			stator_snapshot *snapshot, stator_slice low,
			stator_slice high);
/* OK, NONE at the end, or an error. */
int stator__scan_next(stator_scan *scan, stator_error *err);
void stator__scan_end(stator_scan *scan);

/* Up to where a projector has seen the events; 0: it has not begun. */
int stator__projector_offset(const stator_view *view, const stator_ext *ext,
			     int64_t *offset, stator_error *err);

/* What the caller of a function of stator.h wants to be told, and how. */
typedef struct stator_upkeep {
	stator_upkeep_opts opts; /* whole, also where the caller's is shorter */
	stator_buf line;
	stator_app *app; /* the data, if it was opened for this; else NULL */
	uint32_t partitions;
} stator_upkeep;

void stator__upkeep_begin(stator_upkeep *u, const stator_upkeep_opts *opts);
/* The same with the data of an image, as `stator__data_open` opens it; nothing
 * is to be freed when that fails. */
int stator__upkeep_open(stator_upkeep *u, const char *image, const char *data,
			stator_opening opening, const stator_upkeep_opts *opts,
			stator_error *err);
/* With the data. */
void stator__upkeep_free(stator_upkeep *u);
/* Gives what is in the line, and empties it. */
void stator__upkeep_line(stator_upkeep *u);
void stator__upkeep_progress(const stator_upkeep *u, int64_t partition,
			     const char *unit, uint64_t done, uint64_t whole);

#endif
