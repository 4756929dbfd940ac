/*
 * tree.h: the LMDB store as the tree below a log: writes in the order of their
 * keys, as many to a transaction as the caller likes.
 */
#ifndef STATOR_TREE_H
#define STATOR_TREE_H

#include "store/store.h"

typedef struct stator_tree_batch stator_tree_batch;

/* One batch at a time; it is begun and ended by the same thread. */
int stator__tree_begin(stator_store *tree, stator_tree_batch **out,
		       stator_error *err);
/* After an error, only `abort` is left. */
int stator__tree_write(stator_tree_batch *batch, stator_slice key,
		       stator_slice value, stator_change change,
		       stator_error *err);
/* Durable when this returns OK. The batch is gone in any case. */
int stator__tree_commit(stator_tree_batch *batch, stator_error *err);
void stator__tree_abort(stator_tree_batch *batch);

#endif
