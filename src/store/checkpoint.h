/*
 * checkpoint.h: what an overlay holds goes into the tree.
 */
#ifndef STATOR_CHECKPOINT_H
#define STATOR_CHECKPOINT_H

#include "store/file.h"
#include "store/overlay.h"

/* The LSN up to which a tree has all commits; 0 when it says nothing. */
int stator__tree_lsn(stator_snapshot *tree, uint64_t *lsn, stator_error *err);
/* The tree may have values of commits up to this LSN, and needs the log of
 * them if it is above its own. */
int stator__tree_until(stator_snapshot *tree, uint64_t *lsn, stator_error *err);
/* Whether it is the key under which the tree keeps that. */
static inline bool
stator__tree_owns(stator_slice key)
{
	return key.size && *(const uint8_t *)key.data == 0;
}

/* Called between two parts: `done` of 1.0 are in the tree. */
typedef void (*stator_on_progress)(void *ctx, double done);

typedef struct stator_checkpoint {
	stator_store *tree;
	stator_overlay *overlay; /* nobody writes it any more */
	uint64_t lsn;		 /* of its last commit */
	size_t part_bytes;	 /* memory for one transaction */
	const stator_file_ops *files;
	stator_on_progress on_progress; /* or NULL */
	void *ctx;
} stator_checkpoint;

/*
 * Writes all of the overlay, in order, in transactions of a bounded size; the
 * last one sets the LSN, those before it the LSN that the log must reach. If it
 * ends early, the tree has some of the newer values and still the old LSN: the
 * log behind that LSN, put over it, makes the same of it, since it says of each
 * key what it is, and not what changes.
 */
int stator__checkpoint_run(const stator_checkpoint *c, stator_error *err);

#endif
