/*
 * lmdb.c: the store contract on LMDB, one environment a partition.
 *
 * LMDB takes keys of up to 511 bytes; ours may be longer. A key of PREFIX
 * bytes or more is kept in a bucket: the entry under its first PREFIX bytes
 * holds the rest of every such key with its value, in order. Buckets and short
 * keys sort among each other as the keys do, since only buckets have keys of
 * exactly PREFIX bytes.
 *
 * Read transactions are opened with MDB_NOTLS, so that a snapshot may be taken
 * by one thread and used by another.
 */
#include <errno.h>
#include <lmdb.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "store/copy.h"
#include "store/tree.h"

/* Every query that waits for its thread has a snapshot. */
enum { PREFIX = 500, READERS = 8192 };

/* Address space only: pages are allocated as they are written. */
#define MAP_SIZE_MOST (1ull << 40)
#define MAP_SIZE_LEAST (1ull << 30)

struct stator_store {
	MDB_env *env;
	MDB_dbi dbi;
	char *path;
};

struct stator_snapshot {
	stator_store *store;
	MDB_txn *txn;
};

static const char remedy[] =
	"bring the partition's folder back from a backup, or see \"Damage\" in "
	"docs/storage.md";

static bool
is_damage(int code)
{
	return code == MDB_CORRUPTED || code == MDB_INVALID ||
	       code == MDB_PAGE_NOTFOUND || code == MDB_VERSION_MISMATCH;
}

static int
failed(const stator_store *store, const char *what, int code,
       stator_error *err)
{
	if (is_damage(code))
		return stator__fail(err, STATOR_CORRUPT,
				    "%s: %s: %s: data.mdb is damaged; %s",
				    store->path, what, mdb_strerror(code),
				    remedy);
	return stator__fail(err, STATOR_IO, "%s: %s: %s", store->path, what,
			    mdb_strerror(code));
}

/* LMDB makes a tree where there is none, and takes an empty file for a new one. */
int
stator__store_look(const char *folder, stator_error *err)
{
	char *path = stator__format("%s/data.mdb", folder);
	struct stat st;
	const char *found = NULL;
	int code = STATOR_OK;

	if (stat(path, &st))
		found = errno == ENOENT ? "missing" : NULL;
	else if (st.st_size == 0)
		found = "empty";
	if (found)
		code = stator__fail(err, STATOR_CORRUPT, "%s: is %s; %s", path,
				    found, remedy);
	free(path);
	return code;
}

/* LMDB ends the process behind this. */
static void
on_assertion(MDB_env *env, const char *found)
{
	const char *path = "";

	mdb_env_get_path(env, &path);
	stator__logf(STATOR_LOG_ERROR, "store",
		     "%s/data.mdb: is damaged, and nobody can go on from "
		     "there: %s; %s",
		     path, found, remedy);
}

static int
open_env(stator_store *s, const stator_store_opts *opts)
{
	unsigned flags = MDB_NOTLS | MDB_NORDAHEAD;
	int code = ENOMEM;

	if (opts->read_only)
		flags |= MDB_RDONLY;
	if (opts->volatile_)
		flags |= MDB_NOSYNC;
	/* Under valgrind, so much address space is not missing but invalid. */
	for (size_t size = MAP_SIZE_MOST;
	     (code == ENOMEM || code == EINVAL) && size >= MAP_SIZE_LEAST;
	     size /= 4) {
		code = mdb_env_create(&s->env);
		if (code)
			return code;
		mdb_env_set_assert(s->env, on_assertion);
		mdb_env_set_mapsize(s->env, size);
		mdb_env_set_maxreaders(s->env, READERS);
		code = mdb_env_open(s->env, s->path, flags, 0644);
		if (code) {
			mdb_env_close(s->env);
			s->env = NULL;
		}
	}
	return code;
}

static int
open_dbi(stator_store *s, bool read_only)
{
	MDB_txn *txn;
	int code = mdb_txn_begin(s->env, NULL, read_only ? MDB_RDONLY : 0, &txn);

	if (code)
		return code;
	code = mdb_dbi_open(txn, NULL, 0, &s->dbi);
	if (code) {
		mdb_txn_abort(txn);
		return code;
	}
	return mdb_txn_commit(txn);
}

static void
close_store(stator_store *s)
{
	if (s->env)
		mdb_env_close(s->env);
	free(s->path);
	free(s);
}

static int
open_store(stator_store **out, const char *path, const stator_store_opts *opts,
	   stator_error *err)
{
	stator_store *s = stator__alloc(sizeof(*s));
	int code = STATOR_OK, error;

	s->path = stator__strdup(path);
	if (!opts->read_only && mkdir(path, 0755) && errno != EEXIST)
		code = failed(s, "make the folder", errno, err);
	else if ((error = open_env(s, opts)) != 0)
		code = failed(s, "open", error, err);
	else if ((error = open_dbi(s, opts->read_only)) != 0)
		code = failed(s, "open", error, err);
	if (code) {
		close_store(s);
		return code;
	}
	*out = s;
	return STATOR_OK;
}

/* Snapshots ------------------------------------------------------------ */

static int
begin_snapshot(stator_store *s, stator_snapshot **out, stator_error *err)
{
	stator_snapshot *snap = stator__alloc(sizeof(*snap));
	int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &snap->txn);

	snap->store = s;
	if (code) {
		free(snap);
		return failed(s, "begin to read", code, err);
	}
	*out = snap;
	return STATOR_OK;
}

static int
refresh(stator_snapshot *snap, stator_error *err)
{
	int code;

	mdb_txn_reset(snap->txn);
	code = mdb_txn_renew(snap->txn);
	return code ? failed(snap->store, "begin to read", code, err)
		    : STATOR_OK;
}

static void
end_snapshot(stator_snapshot *snap)
{
	mdb_txn_abort(snap->txn);
	free(snap);
}

/* Buckets: u32 size of the rest, u32 size of the value, rest, value. ---- */

typedef struct bucket_item {
	stator_slice rest;
	stator_slice value;
	const uint8_t *end;
} bucket_item;

static bool
bucket_next(const uint8_t **at, const uint8_t *end, bucket_item *item)
{
	size_t rest, value;

	if (end - *at < 8)
		return false;
	rest = stator__u32(*at);
	value = stator__u32(*at + 4);
	item->rest = stator__slice(*at + 8, rest);
	item->value = stator__slice(*at + 8 + rest, value);
	*at += 8 + rest + value;
	item->end = *at;
	return true;
}

static void
bucket_put(stator_buf *out, stator_slice rest, stator_slice value)
{
	uint8_t *p = stator__buf_reserve(out, 8);

	stator__u32_put(p, (uint32_t)rest.size);
	stator__u32_put(p + 4, (uint32_t)value.size);
	out->size += 8;
	stator__buf_put(out, rest.data, rest.size);
	stator__buf_put(out, value.data, value.size);
}

static stator_slice
rest_of(stator_slice key)
{
	return stator__slice((const uint8_t *)key.data + PREFIX,
			     key.size - PREFIX);
}

static MDB_val
db_key(stator_slice key)
{
	MDB_val v = {key.size < PREFIX ? key.size : PREFIX,
		     (void *)(uintptr_t)key.data};

	return v;
}

static int
get(stator_snapshot *snap, stator_arena *arena, stator_slice key,
    stator_slice *value, stator_error *err)
{
	MDB_val k = db_key(key), v;
	int code = mdb_get(snap->txn, snap->store->dbi, &k, &v);
	const uint8_t *at, *end;
	bucket_item item;

	(void)arena;
	if (code == MDB_NOTFOUND)
		return STATOR_NONE;
	if (code)
		return failed(snap->store, "read", code, err);
	if (key.size < PREFIX) {
		*value = stator__slice(v.mv_data, v.mv_size);
		return STATOR_OK;
	}
	at = v.mv_data;
	end = at + v.mv_size;
	while (bucket_next(&at, end, &item))
		if (stator__slice_eq(item.rest, rest_of(key))) {
			*value = item.value;
			return STATOR_OK;
		}
	return STATOR_NONE;
}

/* Ranges --------------------------------------------------------------- */

struct stator_store_cursor {
	stator_snapshot *snap;
	stator_arena *arena;
	MDB_cursor *cursor;
	stator_slice low, high;
	bool reverse;
	bool started;
	/* The bucket that is being read: its items in the order of reading. */
	stator_slice bucket_key;
	bucket_item *items;
	size_t count, at;
};

static int
range(stator_snapshot *snap, stator_arena *arena, stator_slice low,
      stator_slice high, bool reverse, stator_store_cursor **out,
      stator_error *err)
{
	stator_store_cursor *c = stator__arena_zero(arena, sizeof(*c));
	int code = mdb_cursor_open(snap->txn, snap->store->dbi, &c->cursor);

	if (code)
		return failed(snap->store, "read", code, err);
	c->snap = snap;
	c->arena = arena;
	c->low = low;
	c->high = high;
	c->reverse = reverse;
	*out = c;
	return STATOR_OK;
}

static int
first_backwards(stator_store_cursor *c, MDB_val *k, MDB_val *v)
{
	int code;

	if (c->high.size == 0)
		return mdb_cursor_get(c->cursor, k, v, MDB_LAST);
	*k = db_key(c->high);
	code = mdb_cursor_get(c->cursor, k, v, MDB_SET_RANGE);
	if (code == MDB_NOTFOUND)
		return mdb_cursor_get(c->cursor, k, v, MDB_LAST);
	/* The bucket of a long `high` may have keys before it. */
	if (code || (c->high.size >= PREFIX && k->mv_size == PREFIX &&
		     memcmp(k->mv_data, c->high.data, PREFIX) == 0))
		return code;
	return mdb_cursor_get(c->cursor, k, v, MDB_PREV);
}

static int
step(stator_store_cursor *c, MDB_val *k, MDB_val *v)
{
	if (c->started)
		return mdb_cursor_get(c->cursor, k, v,
				      c->reverse ? MDB_PREV : MDB_NEXT);
	c->started = true;
	if (c->reverse)
		return first_backwards(c, k, v);
	*k = db_key(c->low);
	return mdb_cursor_get(c->cursor, k, v,
			      k->mv_size ? MDB_SET_RANGE : MDB_FIRST);
}

static void
enter_bucket(stator_store_cursor *c, const MDB_val *k, const MDB_val *v)
{
	const uint8_t *start = v->mv_data, *at = start;
	const uint8_t *end = start + v->mv_size;
	bucket_item item;

	c->count = c->at = 0;
	while (bucket_next(&at, end, &item))
		c->count++;
	c->items = stator__arena_alloc(c->arena, c->count * sizeof(item));
	at = start;
	for (size_t i = 0; i < c->count; i++)
		bucket_next(&at, end,
			    &c->items[c->reverse ? c->count - 1 - i : i]);
	c->bucket_key = stator__slice(k->mv_data, k->mv_size);
}

static void
take_item(stator_store_cursor *c, stator_slice *key, stator_slice *value)
{
	bucket_item *item = &c->items[c->at++];
	uint8_t *whole = stator__arena_alloc(c->arena, PREFIX + item->rest.size);

	memcpy(whole, c->bucket_key.data, PREFIX);
	memcpy(whole + PREFIX, item->rest.data, item->rest.size);
	*key = stator__slice(whole, PREFIX + item->rest.size);
	*value = item->value;
}

static int
any_next(stator_store_cursor *c, stator_slice *key, stator_slice *value,
	 stator_error *err)
{
	MDB_val k, v;
	int code;

	while (c->at == c->count) {
		code = step(c, &k, &v);
		if (code == MDB_NOTFOUND)
			return STATOR_NONE;
		if (code)
			return failed(c->snap->store, "read", code, err);
		if (k.mv_size < PREFIX) {
			*key = stator__slice(k.mv_data, k.mv_size);
			*value = stator__slice(v.mv_data, v.mv_size);
			return STATOR_OK;
		}
		enter_bucket(c, &k, &v);
	}
	take_item(c, key, value);
	return STATOR_OK;
}

/* A bucket at the edge of the range may hold keys outside of it. */
static int
next(stator_store_cursor *c, stator_slice *key, stator_slice *value,
     stator_error *err)
{
	for (;;) {
		int code = any_next(c, key, value, err);
		bool below, above;

		if (code)
			return code;
		below = stator__slice_cmp(*key, c->low) < 0;
		above = c->high.size && stator__slice_cmp(*key, c->high) >= 0;
		if (!below && !above)
			return STATOR_OK;
		if (c->reverse ? below : above)
			return STATOR_NONE;
	}
}

static void
release(stator_store_cursor *c)
{
	mdb_cursor_close(c->cursor);
}

/* Commits -------------------------------------------------------------- */

struct stator_tree_batch {
	stator_store *store;
	MDB_txn *txn;
	MDB_cursor *cursor; /* keys come in order: it is near already */
};

/* The bucket of a long key with one entry changed. */
static int
write_bucket(stator_tree_batch *b, stator_slice key, stator_slice value,
	     bool put)
{
	stator_slice rest = rest_of(key);
	bool done = !put;
	MDB_val k = db_key(key), v = {0, NULL};
	int code = mdb_get(b->txn, b->store->dbi, &k, &v);
	const uint8_t *at, *end;
	stator_buf out = {0};
	bucket_item item;

	if (code && code != MDB_NOTFOUND)
		return code;
	at = v.mv_data;
	end = at + v.mv_size;
	while (at && bucket_next(&at, end, &item)) {
		int order = stator__slice_cmp(item.rest, rest);

		if (order >= 0 && !done) {
			bucket_put(&out, rest, value);
			done = true;
		}
		if (order != 0)
			bucket_put(&out, item.rest, item.value);
	}
	if (!done)
		bucket_put(&out, rest, value);
	v = (MDB_val){out.size, out.data};
	if (out.size)
		code = mdb_put(b->txn, b->store->dbi, &k, &v, 0);
	else
		code = code ? 0 : mdb_del(b->txn, b->store->dbi, &k, NULL);
	free(out.data);
	return code;
}

static int
write_entry(stator_tree_batch *b, stator_slice key, stator_slice value,
	    bool put)
{
	MDB_val k = db_key(key);
	MDB_val v = {value.size, (void *)(uintptr_t)value.data};
	int code;

	if (key.size >= PREFIX)
		return write_bucket(b, key, value, put);
	if (put)
		return mdb_cursor_put(b->cursor, &k, &v, 0);
	code = mdb_cursor_get(b->cursor, &k, &v, MDB_SET);
	if (code == 0)
		code = mdb_cursor_del(b->cursor, 0);
	return code == MDB_NOTFOUND ? 0 : code;
}

int
stator__tree_begin(stator_store *s, stator_tree_batch **out, stator_error *err)
{
	stator_tree_batch *b = stator__alloc(sizeof(*b));
	int code = mdb_txn_begin(s->env, NULL, 0, &b->txn);

	b->store = s;
	if (code == 0) {
		code = mdb_cursor_open(b->txn, s->dbi, &b->cursor);
		if (code)
			mdb_txn_abort(b->txn);
	}
	if (code) {
		free(b);
		return failed(s, "begin to write", code, err);
	}
	*out = b;
	return STATOR_OK;
}

int
stator__tree_write(stator_tree_batch *b, stator_slice key, stator_slice value,
		   stator_change change, stator_error *err)
{
	int code = write_entry(b, key, value, change == STATOR_CHANGE_PUT);

	return code ? failed(b->store, "write", code, err) : STATOR_OK;
}

int
stator__tree_commit(stator_tree_batch *b, stator_error *err)
{
	stator_store *s = b->store;
	int code;

	mdb_cursor_close(b->cursor);
	code = mdb_txn_commit(b->txn);
	free(b);
	return code ? failed(s, "commit", code, err) : STATOR_OK;
}

void
stator__tree_abort(stator_tree_batch *b)
{
	mdb_cursor_close(b->cursor);
	mdb_txn_abort(b->txn);
	free(b);
}

static int
commit(stator_store *s, stator_map *batch, stator_error *err)
{
	stator_tree_batch *b;
	int code = stator__tree_begin(s, &b, err);

	if (code)
		return code;
	for (const stator_map_node *n = stator__map_first(batch); n;
	     n = n->next[0]) {
		if (n->change == STATOR_CHANGE_NONE)
			continue;
		code = stator__tree_write(b, n->key, n->value, n->change, err);
		if (code) {
			stator__tree_abort(b);
			return code;
		}
	}
	return stator__tree_commit(b, err);
}

static int
backup(stator_store *s, const char *to, const stator_copying *copying,
       stator_error *err)
{
	return stator__copy_env(s->env, s->path, to, copying, err);
}

const stator_store_ops stator__store_lmdb = {
	.name = "lmdb",
	.open = open_store,
	.close = close_store,
	.snapshot = begin_snapshot,
	.newest = begin_snapshot,
	.refresh = refresh,
	.snapshot_end = end_snapshot,
	.get = get,
	.range = range,
	.next = next,
	.release = release,
	.commit = commit,
	.backup = backup,
};
