/*
 * store.h: where a partition's bytes are: an ordered space of keys and values
 * with snapshots and atomic batches.
 *
 * A batch is an ordered map of what is to be written. It is also read: what a
 * command has written is seen by its projectors, and by the commands behind
 * it, before it is durable. `stator_view` puts such a map over a snapshot.
 */
#ifndef STATOR_STORE_H
#define STATOR_STORE_H

#include "base/base.h"

/* The ordered map ------------------------------------------------------ */

typedef enum stator_change {
	STATOR_CHANGE_NONE, /* taken back: as if it had not been written */
	STATOR_CHANGE_PUT,
	STATOR_CHANGE_DELETE
} stator_change;

typedef struct stator_map_node {
	stator_slice key;
	stator_slice value;
	stator_change change;
	uint32_t level;
	struct stator_map_node *later; /* the entry that was made next */
	/* In order; what was written since the last look has no place. */
	struct stator_map_node *prev;
	struct stator_map_node *next[];
} stator_map_node;

typedef struct stator_map stator_map;

stator_map *stator__map_new(void);
/* An empty one, with the same hashes. */
stator_map *stator__map_twin(const stator_map *map);
void stator__map_free(stator_map *map);
/* Drops all entries. */
void stator__map_clear(stator_map *map);
/* Key and value are copied. */
void stator__map_write(stator_map *map, stator_slice key, stator_slice value,
		       stator_change change);
uint64_t stator__map_hash(const stator_map *map, stator_slice key);
/* The entry with this key and its hash, or NULL. Borrowed until the map is
 * cleared. */
const stator_map_node *stator__map_find(const stator_map *map,
					stator_slice key, uint64_t hash);
/* The first entry whose key is not less; NULL at the end. */
const stator_map_node *stator__map_seek(stator_map *map, stator_slice key);
/* The last entry whose key is less; an empty key means the end. */
const stator_map_node *stator__map_seek_before(stator_map *map,
					       stator_slice key);
const stator_map_node *stator__map_first(stator_map *map);
/* The entry that was made first: `later` goes on, in no order of keys. */
const stator_map_node *stator__map_oldest(const stator_map *map);
size_t stator__map_count(const stator_map *map);
/* Bytes of keys and values that were written since it was empty. */
size_t stator__map_bytes(const stator_map *map);
/* Writes after `mark` can be taken back until the next mark. */
void stator__map_mark(stator_map *map);
void stator__map_rollback(stator_map *map);

/* The store contract --------------------------------------------------- */

typedef struct stator_store stator_store;
typedef struct stator_snapshot stator_snapshot;
typedef struct stator_store_cursor stator_store_cursor;

typedef struct stator_store_opts {
	bool read_only;
	bool volatile_; /* a commit need not survive the machine */
	/* Of a store with a log; 0: the usual. */
	size_t overlay_bytes; /* memory for what is not in the tree yet */
	size_t segment_bytes; /* of the log */
	size_t part_bytes;    /* memory for a part of a checkpoint */
	uint32_t progress_ms; /* between two lines about a long recovery */
	const struct stator_file_ops *files; /* NULL: the system's */
} stator_store_opts;

/* How a copy of a store gets on. */
typedef struct stator_copying {
	/* Bytes that are written, of about `whole`; or NULL. */
	void (*on_progress)(void *ctx, uint64_t done, uint64_t whole);
	/* The state that will be copied stands, and nothing later will be: an
	 * error ends it. Or NULL. */
	int (*on_begun)(void *ctx, stator_error *err);
	void *ctx;
} stator_copying;

/*
 * One implementation of the contract. Values and keys that are handed out are
 * borrowed until the snapshot is refreshed or ended, or live in `arena`. Keys
 * that begin with a zero byte are the implementation's own.
 */
typedef struct stator_store_ops {
	const char *name;
	/* A store in the folder `path`, which is made when it is missing. */
	int (*open)(stator_store **out, const char *path,
		    const stator_store_opts *opts, stator_error *err);
	void (*close)(stator_store *store);
	/* [any-thread]; the snapshot is used by one thread at a time. */
	int (*snapshot)(stator_store *store, stator_snapshot **out,
			stator_error *err);
	/*
	 * One for the thread that has things committed, which refreshes it
	 * behind each commit: what that costs must not depend on how much
	 * there is. It reads single keys while a commit is under way, too,
	 * but none of those that are in it.
	 */
	int (*newest)(stator_store *store, stator_snapshot **out,
		      stator_error *err);
	/* Lets the snapshot see what has been committed by now. */
	int (*refresh)(stator_snapshot *snapshot, stator_error *err);
	void (*snapshot_end)(stator_snapshot *snapshot);
	/* OK or NONE. */
	int (*get)(stator_snapshot *snapshot, stator_arena *arena,
		   stator_slice key, stator_slice *value, stator_error *err);
	/*
	 * The key will be asked for soon. Said twice, with some work between
	 * and `again` the second time, it is in the processor's cache by then.
	 * NULL: that would not help.
	 */
	void (*expect)(stator_snapshot *snapshot, stator_slice key,
		       bool again);
	/* Keys from `low` to before `high` (empty: no end). */
	int (*range)(stator_snapshot *snapshot, stator_arena *arena,
		     stator_slice low, stator_slice high, bool reverse,
		     stator_store_cursor **out, stator_error *err);
	int (*next)(stator_store_cursor *cursor, stator_slice *key,
		    stator_slice *value, stator_error *err);
	void (*release)(stator_store_cursor *cursor);
	/* All of it, durable when this returns, or nothing. One at a time;
	 * [any-thread]. */
	int (*commit)(stator_store *store, stator_map *batch,
		      stator_error *err);
	/*
	 * A copy of what is committed, in the folder `to`, which is there and
	 * empty, while commits go on; durable when this returns. A store that
	 * is opened there has all that was committed before the call, all of
	 * a batch or nothing, and no later batch without those before it.
	 * [any-thread]
	 */
	int (*backup)(stator_store *store, const char *to,
		      const stator_copying *copying, stator_error *err);
} stator_store_ops;

/* A tree on disk; a commit is one of its transactions. */
extern const stator_store_ops stator__store_lmdb;
/* A log before that tree, and in memory what is in the log only. */
extern const stator_store_ops stator__store_log;

/* OK when the folder has a tree; of one that had, for which none is damage. */
int stator__store_look(const char *folder, stator_error *err);
/* Whether the folder has commits that may be in a log only. */
bool stator__store_has_log(const char *path);
/* The commit up to which the folder's tree has all; and the one up to which
 * it may have parts, if that is later. */
int stator__store_tree(const char *path, uint64_t *lsn, uint64_t *until,
		       stator_error *err);
/* Puts all of them into the tree, so that it can be opened without a log. */
int stator__store_settle(const char *path, stator_error *err);

/* Reading through a map ------------------------------------------------ */

typedef struct stator_view {
	const stator_store_ops *ops;
	stator_snapshot *snapshot;
	stator_map *over;  /* newer than the snapshot, or NULL */
	/* Between the two: a twin of `over`, on its way into the store, or
	 * NULL. `settle` gives the view a snapshot that has it, and none here;
	 * what has been read before stays where it is. */
	stator_map *under;
	void (*settle)(void *ctx);
	void *settle_ctx;
} stator_view;

int stator__view_get(const stator_view *view, stator_arena *arena,
		     stator_slice key, stator_slice *value, stator_error *err);

typedef struct stator_view_cursor stator_view_cursor;

/* The cursor is in `arena`; it must be released before the snapshot ends. */
int stator__view_range(const stator_view *view, stator_arena *arena,
		       stator_slice low, stator_slice high, bool reverse,
		       stator_view_cursor **out, stator_error *err);
int stator__view_next(stator_view_cursor *cursor, stator_slice *key,
		      stator_slice *value, stator_error *err);
void stator__view_release(stator_view_cursor *cursor);

/*
 * The end of the range of keys that begin with `prefix`: the prefix plus one,
 * in `arena`; empty when there is no end.
 */
stator_slice stator__prefix_end(stator_arena *arena, stator_slice prefix);

#endif
