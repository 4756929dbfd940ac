/*
 * overlay.h: what is newer than the tree: an ordered map in memory, written by
 * one thread, of which any number of views can be held as they were.
 *
 * Each key has a cell, which holds the versions of its value that a view may
 * still see, the newest first. Two ways lead to the cells: a hash table, for
 * what is newest, and a B-tree, for ranges and for views.
 * Nodes of the B-tree are copied before they are changed, if a view that is
 * held can see them, and changed in place if none can. A value that changes
 * touches its cell alone.
 *
 * Nothing is ever taken out: a deleted key keeps a cell that says so, and all
 * memory goes back at once when the overlay is let go.
 *
 * Nothing here locks. Whoever takes a view, drops one, writes, holds or lets
 * go of an overlay does it under the lock of the store. Reading needs no lock.
 */
#ifndef STATOR_OVERLAY_H
#define STATOR_OVERLAY_H

#include "store/chunks.h"
#include "store/store.h"

typedef struct stator_overlay stator_overlay;
typedef struct stator_overlay_node stator_overlay_node;

/* One value of a key. Of a version that a view can see, nothing changes. */
typedef struct stator_version {
	struct stator_version *older;
	uint32_t epoch; /* views from this one on see it */
	uint32_t size : 31;
	uint32_t deleted : 1;
	uint8_t bytes[];
} stator_version;

typedef struct stator_cell {
	stator_version *_Atomic newest;
	uint32_t key_size;
	uint8_t key[];
} stator_cell;

/* The overlay as it was when the view was taken; it is held as long. */
typedef struct stator_overlay_view {
	stator_overlay *overlay; /* NULL: nothing is in it */
	const stator_overlay_node *root;
	uint32_t epoch;
	struct stator_overlay_view *older, *newer;
} stator_overlay_view;

/* Begins with one holder. */
stator_overlay *stator__overlay_new(stator_chunks *chunks);
stator_overlay *stator__overlay_hold(stator_overlay *overlay);
/* The last one to let go frees it. NULL is none. */
void stator__overlay_drop(stator_overlay *overlay);
/* Bytes of memory that are in use. */
size_t stator__overlay_bytes(const stator_overlay *overlay);
size_t stator__overlay_count(const stator_overlay *overlay);
/* Whether it will need a chunk soon, and none is free. */
bool stator__overlay_wants_chunk(const stator_overlay *overlay);

typedef struct stator_write {
	stator_slice key, value;
	stator_change change;
	uint64_t hash; /* the overlay's own */
} stator_write;

/* Keys and values are copied. Faster when keys come in order. */
void stator__overlay_write(stator_overlay *overlay, stator_write *writes,
			   size_t count);
/* Overlays with the same chunks hash alike. */
uint64_t stator__overlay_hash(const stator_overlay *overlay, stator_slice key);
/* The newest version, or NULL. One thread may look for keys while another one
 * writes other ones; what is found stays until its key is written. */
const stator_version *stator__overlay_get(const stator_overlay *overlay,
					  stator_slice key, uint64_t hash);

/* Fetches what `get` will look at: first the slot, then the cell. */
void stator__overlay_expect(const stator_overlay *overlay, uint64_t hash,
			    bool again);

void stator__overlay_view(stator_overlay *overlay, stator_overlay_view *view);
void stator__overlay_view_end(stator_overlay_view *view);
/* A view of what is newest, for the thread that writes, until it does. It is
 * not to be ended, and holds nothing. */
stator_overlay_view stator__overlay_now(stator_overlay *overlay);

/* The version that the view sees, or NULL. */
const stator_version *stator__overlay_find(const stator_overlay_view *view,
					   stator_slice key);

enum { STATOR_OVERLAY_DEPTH = 16 };

typedef struct stator_overlay_cursor {
	const stator_overlay_node *nodes[STATOR_OVERLAY_DEPTH];
	uint32_t at[STATOR_OVERLAY_DEPTH];
	uint32_t epoch;
	const stator_cell *cell; /* NULL: at the end */
	const stator_version *version;
} stator_overlay_cursor;

/* To the first cell that is not less than `key`. */
void stator__overlay_seek(stator_overlay_cursor *cursor,
			  const stator_overlay_view *view, stator_slice key);
/* To the last cell that is less than `key`; an empty key means the end. */
void stator__overlay_seek_before(stator_overlay_cursor *cursor,
				 const stator_overlay_view *view,
				 stator_slice key);
void stator__overlay_step(stator_overlay_cursor *cursor, bool reverse);

static inline stator_slice
stator__cell_key(const stator_cell *c)
{
	return stator__slice(c->key, c->key_size);
}

static inline stator_slice
stator__version_value(const stator_version *v)
{
	return stator__slice(v->bytes, v->size);
}

#endif
