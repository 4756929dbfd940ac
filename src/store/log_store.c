/*
 * log_store.c: the store contract on a log, overlays and the tree.
 *
 *	commit	 -> log (one write, one sync) -> overlay "active"
 *	full	 -> active becomes "below", a new active begins
 *	keeper	 -> below goes into the tree; segments before it go
 *	reads	 -> active, then below, then the tree
 *
 * Stable is the last commit that was acknowledged. The tree has all commits up
 * to its LSN (the snapshot of the design), and the log has those behind it:
 * snapshot <= stable <= snapshot + log.
 *
 * `below` stays when it is in the tree: what was written lately is read often.
 * It goes when the next one takes its place.
 *
 * Two threads write: the one that commits, the log and active; the keeper, the
 * tree. All threads read. The lock is held while a commit goes into active, and
 * while somebody takes or drops a view of it; never while a disk works.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "store/checkpoint.h"
#include "store/log.h"
#include "store/log_backup.h"

enum { OVERLAY_BYTES = 64 << 20, SEGMENT_BYTES = 16 << 20 };
enum { PART_BYTES = 32 << 20 };
/* At the end, this much is put into the tree; more is left to the log. */
enum { CLOSE_BYTES = 16 << 20 };
/* Between two lines about a recovery that takes long. */
enum { PROGRESS_MS = 2000 };
/* Each start begins a segment: with so many, there is a checkpoint at once. */
enum { SEGMENTS_MANY = 32 };

struct stator_store {
	stator_store *tree; /* of LMDB's kind */
	char *path;
	stator_store_opts opts;
	stator_log *log; /* NULL: read only */
	stator_buf record;
	stator_write *writes; /* of the commit at hand */
	size_t write_count, write_cap;
	uint64_t stable;
	pthread_t keeper;
	bool has_keeper;
	pthread_mutex_t lock;
	pthread_cond_t wake;  /* the keeper's */
	pthread_cond_t space; /* a commit may go on */
	/* Under the lock. */
	stator_chunks chunks;
	stator_overlay *active, *below;
	uint64_t below_lsn;
	uint64_t checkpoints; /* that are done */
	size_t logged;	      /* bytes, since active began */
	double progress;      /* of the checkpoint */
	bool writing;	      /* below is on its way into the tree */
	bool stopping, woken;
	stator_error trouble; /* code 0: none */
};

struct stator_snapshot {
	stator_store *store;
	stator_snapshot *tree;
	uint64_t checkpoints; /* that its tree has */
	bool newest;
	bool below_in_tree;
	stator_overlay_view active;
	stator_overlay *below;
};

static const stator_store_ops *const tree_ops = &stator__store_lmdb;

/* The keeper ------------------------------------------------------------ */

/* Rationale: commits wait for processors that a checkpoint has; a checkpoint
 * that takes longer holds up nobody, until the overlay is full. */
static void
step_back(void)
{
	enum { NICER = 10 };
	id_t self = (id_t)gettid();

	setpriority(PRIO_PROCESS, self,
		    getpriority(PRIO_PROCESS, self) + NICER);
}

static void
wake_keeper(void *ctx)
{
	stator_store *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->woken = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
}

/* What commits will need soon. */
static void
prepare(stator_store *s)
{
	stator_chunk *c;
	bool wanted;

	if (s->log)
		stator__log_prepare(s->log);
	pthread_mutex_lock(&s->lock);
	wanted = stator__overlay_wants_chunk(s->active);
	pthread_mutex_unlock(&s->lock);
	if (!wanted)
		return;
	c = stator__chunk_ready();
	pthread_mutex_lock(&s->lock);
	stator__chunks_give(&s->chunks, c);
	pthread_mutex_unlock(&s->lock);
}

static void
on_progress(void *ctx, double done)
{
	stator_store *s = ctx;

	pthread_mutex_lock(&s->lock);
	s->progress = done;
	pthread_cond_broadcast(&s->space);
	pthread_mutex_unlock(&s->lock);
	prepare(s);
}

/* Puts below into the tree. */
static int
run_checkpoint(stator_store *s, stator_error *err)
{
	const stator_checkpoint c = {.tree = s->tree,
				     .overlay = s->below,
				     .lsn = s->below_lsn,
				     .part_bytes = s->opts.part_bytes,
				     .files = s->opts.files,
				     .on_progress = on_progress,
				     .ctx = s};
	int code = stator__checkpoint_run(&c, err);

	pthread_mutex_lock(&s->lock);
	if (code == STATOR_OK) {
		s->writing = false;
		s->checkpoints++;
		s->trouble.code = 0;
	} else {
		s->trouble = *err;
		s->trouble.code = code;
	}
	pthread_cond_broadcast(&s->space);
	pthread_mutex_unlock(&s->lock);
	/* By now, below may be the next one already. */
	if (code == STATOR_OK && s->log)
		stator__log_forget(s->log, c.lsn);
	return code;
}

static void
wait_a_second(stator_store *s)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec++;
	pthread_mutex_lock(&s->lock);
	if (!s->stopping)
		pthread_cond_timedwait(&s->wake, &s->lock, &until);
	pthread_mutex_unlock(&s->lock);
}

static void *
keeper_main(void *ctx)
{
	stator_store *s = ctx;
	stator_error err;
	bool writing, stopping;

	step_back();
	for (;;) {
		pthread_mutex_lock(&s->lock);
		while (!s->woken && !s->writing && !s->stopping)
			pthread_cond_wait(&s->wake, &s->lock);
		s->woken = false;
		writing = s->writing;
		stopping = s->stopping;
		pthread_mutex_unlock(&s->lock);
		if (stopping)
			return NULL;
		prepare(s);
		if (writing && run_checkpoint(s, &err)) {
			stator__logf(STATOR_LOG_WARNING, "checkpoint",
				     "%s; trying again", err.msg);
			wait_a_second(s);
		}
	}
}

/* Overlays -------------------------------------------------------------- */

static size_t
bytes_of(const stator_store *s)
{
	return stator__overlay_bytes(s->active);
}

/* Under the lock: a new active overlay. */
static void
freeze(stator_store *s)
{
	stator__overlay_drop(s->below);
	s->below = s->active;
	s->below_lsn = s->stable;
	s->active = stator__overlay_new(&s->chunks);
	s->logged = 0;
	s->writing = true;
	s->progress = 0;
	pthread_cond_signal(&s->wake);
}

/* A log of few rows that change often is bounded, too. */
static bool
is_full(const stator_store *s)
{
	return bytes_of(s) >= s->opts.overlay_bytes ||
	       s->logged >= 2 * s->opts.overlay_bytes;
}

/*
 * Back pressure: while a checkpoint is under way, the active overlay may fill
 * as far as the checkpoint has come, and a quarter more. So each commit waits
 * a little, and none for a whole checkpoint.
 */
static bool
must_wait(const stator_store *s)
{
	double most = (double)s->opts.overlay_bytes * (s->progress + 0.25);

	return s->writing && ((double)bytes_of(s) > most ||
			      (double)s->logged > 2 * most);
}

static int
wait_for_space(stator_store *s, stator_error *err)
{
	int code = STATOR_OK;

	pthread_mutex_lock(&s->lock);
	while (must_wait(s) && s->trouble.code == 0)
		pthread_cond_wait(&s->space, &s->lock);
	if (must_wait(s))
		code = stator__fail(err, STATOR_IO,
				    "the log waits for a checkpoint: %s",
				    s->trouble.msg);
	pthread_mutex_unlock(&s->lock);
	return code;
}

/* Commits --------------------------------------------------------------- */

static void
add_write(stator_store *s, stator_slice key, stator_slice value,
	  stator_change change)
{
	STATOR_GROW(s->writes, s->write_count, s->write_cap);
	s->writes[s->write_count++] = (stator_write){key, value, change, 0};
}

/* The record of a batch, and the same as writes. */
static void
encode(stator_store *s, stator_map *batch)
{
	stator__record_begin(&s->record);
	s->write_count = 0;
	for (const stator_map_node *n = stator__map_oldest(batch); n;
	     n = n->later) {
		if (n->change == STATOR_CHANGE_NONE)
			continue;
		stator__record_add(&s->record, n->key, n->value, n->change);
		add_write(s, n->key, n->value, n->change);
	}
}

static int
commit(stator_store *s, stator_map *batch, stator_error *err)
{
	int code;

	if (s->log == NULL)
		return stator__fail(err, STATOR_INVALID,
				    "%s: opened for reading", s->path);
	encode(s, batch);
	if (s->write_count == 0)
		return STATOR_OK;
	code = wait_for_space(s, err);
	if (code == STATOR_OK)
		code = stator__log_append(s->log, &s->record, s->stable + 1,
					  err);
	if (code)
		return code;
	pthread_mutex_lock(&s->lock);
	s->stable++;
	s->logged += s->record.size;
	stator__overlay_write(s->active, s->writes, s->write_count);
	if (is_full(s) && !s->writing) {
		freeze(s);
	} else if (stator__overlay_wants_chunk(s->active)) {
		s->woken = true;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	return STATOR_OK;
}

/* Recovery -------------------------------------------------------------- */

typedef struct recovery {
	stator_store *store;
	stator_overlay *into;
	bool may_write; /* checkpoints on the way */
	int64_t said_at;
	bool said; /* that it takes long */
	uint64_t commits, bytes;
} recovery;

static void
tell_progress(recovery *r, const stator_record *rec)
{
	int64_t now = stator__monotonic_ns();

	r->commits++;
	r->bytes += rec->entries.size;
	if (now - r->said_at < r->store->opts.progress_ms * 1000000ll)
		return;
	r->said_at = now;
	r->said = true;
	stator__logf(STATOR_LOG_INFO, "recovery",
		     "%s: %llu commits, %llu MB of the log read, in segment "
		     "%u of %u",
		     r->store->path, (unsigned long long)r->commits,
		     (unsigned long long)(r->bytes >> 20), rec->segment,
		     rec->segments);
}

/*
 * Rationale: before the commit, not behind it. The last one of the log may not
 * be on disk yet, and must not be in the tree by halves when the log loses it;
 * those before it are, or it would not have been written.
 */
static int
make_room(recovery *r, stator_error *err)
{
	stator_store *s = r->store;
	int code;

	if (!r->may_write || !is_full(s))
		return STATOR_OK;
	freeze(s);
	code = run_checkpoint(s, err);
	r->into = s->active;
	return code;
}

static int
replay(void *ctx, const stator_record *rec, stator_error *err)
{
	recovery *r = ctx;
	stator_store *s = r->store;
	stator_slice entries = rec->entries;
	stator_log_entry e;
	int code = make_room(r, err);

	if (code)
		return code;
	s->write_count = 0;
	while (stator__record_next(&entries, &e))
		add_write(s, e.key, e.value, e.change);
	stator__overlay_write(r->into, s->writes, s->write_count);
	tell_progress(r, rec);
	if (r->may_write) {
		s->stable = rec->lsn;
		s->logged += rec->entries.size;
	}
	return STATOR_OK;
}

static void
tell_end(const stator_store *s, const recovery *r, const stator_log_end *end)
{
	if (end->torn && end->last)
		stator__logf(STATOR_LOG_VERBOSE, "recovery",
			     "%s: commit %llu was not whole, or never there: "
			     "cut at byte %llu of segment %llx",
			     s->path, (unsigned long long)end->last + 1,
			     (unsigned long long)end->end,
			     (unsigned long long)end->number);
	if (r->commits)
		stator__logf(r->said ? STATOR_LOG_INFO : STATOR_LOG_VERBOSE,
			     "recovery", "%s: done: %llu commits from the log",
			     s->path, (unsigned long long)r->commits);
}

/* What a tree says of its commits. */
typedef struct tree_state {
	uint64_t lsn, until;
} tree_state;

static int
read_state(stator_snapshot *tree, tree_state *state, stator_error *err)
{
	int code = stator__tree_lsn(tree, &state->lsn, err);

	return code ? code : stator__tree_until(tree, &state->until, err);
}

/* Reads all of the log that the tree does not have. */
static int
read_log(recovery *r, const tree_state *tree, stator_log_end *end,
	 stator_error *err)
{
	int code = stator__log_read(r->store->path, tree->lsn, replay, r, end,
				    err);

	if (code || tree->until <= tree->lsn || tree->until <= end->last)
		return code;
	return stator__fail(err, STATOR_CORRUPT,
			    "%s: the log ends with commit %llu, but data.mdb "
			    "has parts of those up to %llu: segments are "
			    "missing; bring the folder back from a backup, or "
			    "see \"Damage\" in docs/storage.md",
			    r->store->path, (unsigned long long)end->last,
			    (unsigned long long)tree->until);
}

static int
look_at_tree(stator_store *s, tree_state *state, stator_error *err)
{
	stator_snapshot *tree;
	int code = tree_ops->snapshot(s->tree, &tree, err);

	if (code)
		return code;
	code = read_state(tree, state, err);
	tree_ops->snapshot_end(tree);
	return code;
}

static int
recover(stator_store *s, stator_error *err)
{
	const stator_log_opts opts = {s->opts.files, s->opts.segment_bytes,
				      s->opts.volatile_, wake_keeper, s};
	recovery r = {.store = s,
		      .into = s->active,
		      .may_write = true,
		      .said_at = stator__monotonic_ns()};
	tree_state tree;
	stator_log_end end;
	int code = look_at_tree(s, &tree, err);

	if (code)
		return code;
	s->stable = tree.lsn;
	code = read_log(&r, &tree, &end, err);
	if (code)
		return code;
	tell_end(s, &r, &end);
	code = stator__log_open(&s->log, s->path, &opts, &end, err);
	if (code)
		return code;
	if (stator__overlay_count(s->active) == 0)
		stator__log_forget(s->log, end.last);
	else if (end.segments >= SEGMENTS_MANY)
		freeze(s);
	return STATOR_OK;
}

/* Opening and closing --------------------------------------------------- */

static void
stop_keeper(stator_store *s)
{
	if (!s->has_keeper)
		return;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->keeper, NULL);
	s->has_keeper = false;
}

/* What is in memory goes into the tree, and the log away. */
static int
empty_log(stator_store *s, stator_error *err)
{
	int code = STATOR_OK;

	if (s->writing)
		code = run_checkpoint(s, err);
	if (code == STATOR_OK && stator__overlay_count(s->active)) {
		freeze(s);
		code = run_checkpoint(s, err);
	}
	if (code == STATOR_OK)
		stator__log_clear(s->log);
	return code;
}

static void
free_store(stator_store *s)
{
	stop_keeper(s);
	stator__log_close(s->log);
	stator__overlay_drop(s->active);
	stator__overlay_drop(s->below);
	stator__chunks_free(&s->chunks);
	if (s->tree)
		tree_ops->close(s->tree);
	pthread_cond_destroy(&s->space);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s->writes);
	free(s->record.data);
	free(s->path);
	free(s);
}

static void
close_store(stator_store *s)
{
	stator_error err;

	stop_keeper(s);
	if (s->log && !stator__log_failed(s->log) &&
	    bytes_of(s) <= CLOSE_BYTES && s->trouble.code == 0 &&
	    empty_log(s, &err))
		stator__logf(STATOR_LOG_WARNING, "checkpoint",
			     "%s; the log keeps it", err.msg);
	free_store(s);
}

static stator_store *
new_store(const char *path, const stator_store_opts *opts)
{
	stator_store *s = stator__alloc(sizeof(*s));

	s->path = stator__strdup(path);
	s->opts = *opts;
	if (s->opts.overlay_bytes == 0)
		s->opts.overlay_bytes = OVERLAY_BYTES;
	if (s->opts.segment_bytes == 0)
		s->opts.segment_bytes = SEGMENT_BYTES;
	if (s->opts.part_bytes == 0)
		s->opts.part_bytes = PART_BYTES;
	if (s->opts.progress_ms == 0)
		s->opts.progress_ms = PROGRESS_MS;
	if (s->opts.files == NULL)
		s->opts.files = &stator__files;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	pthread_cond_init(&s->space, NULL);
	if (getrandom(&s->chunks.seed, sizeof(s->chunks.seed), 0) < 0)
		s->chunks.seed = (uint64_t)stator__monotonic_ns();
	s->chunks.most = 2 * s->opts.overlay_bytes;
	return s;
}

static int
open_store(stator_store **out, const char *path, const stator_store_opts *opts,
	   stator_error *err)
{
	stator_store *s = new_store(path, opts);
	int code = tree_ops->open(&s->tree, path, opts, err);

	if (code == STATOR_OK && !opts->read_only) {
		s->active = stator__overlay_new(&s->chunks);
		code = recover(s, err);
		if (code == STATOR_OK) {
			stator__thread_start(&s->keeper, keeper_main, s);
			s->has_keeper = true;
		}
	}
	if (code) {
		free_store(s);
		return code;
	}
	*out = s;
	return STATOR_OK;
}

bool
stator__store_has_log(const char *path)
{
	return stator__log_exists(path);
}

int
stator__store_tree(const char *path, uint64_t *lsn, uint64_t *until,
		   stator_error *err)
{
	const stator_store_opts opts = {.read_only = true};
	stator_store *s = new_store(path, &opts);
	tree_state state;
	int code = tree_ops->open(&s->tree, path, &opts, err);

	if (code == STATOR_OK)
		code = look_at_tree(s, &state, err);
	if (code == STATOR_OK) {
		*lsn = state.lsn;
		*until = state.until;
	}
	free_store(s);
	return code;
}

int
stator__store_settle(const char *path, stator_error *err)
{
	const stator_store_opts opts = {0};
	stator_store *s;
	int code = open_store(&s, path, &opts, err);

	if (code)
		return code;
	stop_keeper(s);
	code = empty_log(s, err);
	free_store(s);
	return code;
}

/* Snapshots ------------------------------------------------------------- */

/*
 * The data may be in use by another process: when segments go away, or grow,
 * while they are read, it is read again, on a newer tree. Under the lock, for
 * the memory of overlays.
 */
static int
load(stator_snapshot *snap, stator_error *err)
{
	enum { TRIES = 6 };
	stator_store *s = snap->store;
	stator_log_end end;
	tree_state tree;
	int code = STATOR_OK;

	for (int i = 0; i < TRIES; i++) {
		const struct timespec pause = {0, i * 20000000};
		recovery r = {.store = s, .said_at = stator__monotonic_ns()};

		nanosleep(&pause, NULL);
		if (i)
			code = tree_ops->refresh(snap->tree, err);
		stator__overlay_drop(snap->below);
		r.into = snap->below = stator__overlay_new(&s->chunks);
		if (code == STATOR_OK)
			code = read_state(snap->tree, &tree, err);
		if (code == STATOR_OK)
			code = read_log(&r, &tree, &end, err);
		if (code == STATOR_OK)
			break;
	}
	return code;
}

/* Under the lock: what is in memory now. */
static void
take_overlays(stator_snapshot *snap)
{
	stator_store *s = snap->store;

	if (snap->newest)
		snap->active.overlay = stator__overlay_hold(s->active);
	else
		stator__overlay_view(s->active, &snap->active);
	snap->below = s->below ? stator__overlay_hold(s->below) : NULL;
	snap->below_in_tree = !s->writing;
	snap->checkpoints = s->checkpoints;
}

static void
drop_overlays(stator_snapshot *snap)
{
	if (!snap->newest)
		stator__overlay_view_end(&snap->active);
	else
		stator__overlay_drop(snap->active.overlay);
	stator__overlay_drop(snap->below);
	snap->active.overlay = NULL;
	snap->below = NULL;
}

static int
begin(stator_store *s, stator_snapshot **out, bool newest, stator_error *err)
{
	stator_snapshot *snap = stator__alloc(sizeof(*snap));
	int code;

	snap->store = s;
	snap->newest = newest;
	pthread_mutex_lock(&s->lock);
	/* In this order, and at once: a tree is never newer than the overlays
	 * that belong to it, nor so old that they have a gap. */
	code = tree_ops->snapshot(s->tree, &snap->tree, err);
	if (code == STATOR_OK && s->active)
		take_overlays(snap);
	else if (code == STATOR_OK)
		code = load(snap, err);
	if (code)
		stator__overlay_drop(snap->below);
	pthread_mutex_unlock(&s->lock);
	if (code) {
		if (snap->tree)
			tree_ops->snapshot_end(snap->tree);
		free(snap);
		return code;
	}
	*out = snap;
	return STATOR_OK;
}

static int
begin_snapshot(stator_store *s, stator_snapshot **out, stator_error *err)
{
	return begin(s, out, false, err);
}

static int
begin_newest(stator_store *s, stator_snapshot **out, stator_error *err)
{
	return begin(s, out, true, err);
}

/* The tree is looked at afresh only when there has been a checkpoint. */
static int
refresh(stator_snapshot *snap, stator_error *err)
{
	stator_store *s = snap->store;
	int code = STATOR_OK;

	pthread_mutex_lock(&s->lock);
	if (s->active == NULL || snap->checkpoints != s->checkpoints)
		code = tree_ops->refresh(snap->tree, err);
	if (code == STATOR_OK && s->active == NULL)
		code = load(snap, err);
	else if (code == STATOR_OK &&
	    !(snap->newest && snap->active.overlay == s->active &&
	      snap->checkpoints == s->checkpoints)) {
		drop_overlays(snap);
		take_overlays(snap);
	}
	pthread_mutex_unlock(&s->lock);
	return code;
}

static void
end_snapshot(stator_snapshot *snap)
{
	stator_store *s = snap->store;

	tree_ops->snapshot_end(snap->tree);
	pthread_mutex_lock(&s->lock);
	drop_overlays(snap);
	pthread_mutex_unlock(&s->lock);
	free(snap);
}

/* Reading --------------------------------------------------------------- */

/* In all of its overlays; 0 when it has none. */
static uint64_t
hash_of(const stator_snapshot *snap, stator_slice key)
{
	const stator_overlay *o = snap->below ? snap->below
					      : snap->active.overlay;

	return o ? stator__overlay_hash(o, key) : 0;
}

static int
get(stator_snapshot *snap, stator_arena *arena, stator_slice key,
    stator_slice *value, stator_error *err)
{
	const stator_version *v = NULL;
	uint64_t hash = hash_of(snap, key);

	if (snap->newest)
		v = stator__overlay_get(snap->active.overlay, key, hash);
	else if (snap->active.overlay)
		v = stator__overlay_find(&snap->active, key);
	if (v == NULL && snap->below)
		v = stator__overlay_get(snap->below, key, hash);
	if (v == NULL)
		return tree_ops->get(snap->tree, arena, key, value, err);
	*value = stator__version_value(v);
	return v->deleted ? STATOR_NONE : STATOR_OK;
}

static void
expect(stator_snapshot *snap, stator_slice key, bool again)
{
	uint64_t hash;

	if (!snap->newest)
		return;
	hash = hash_of(snap, key);
	stator__overlay_expect(snap->active.overlay, hash, again);
	if (snap->below)
		stator__overlay_expect(snap->below, hash, again);
}

struct stator_store_cursor {
	stator_store_cursor *tree; /* NULL: at its end */
	stator_overlay_cursor overlays[2]; /* the newer one first */
	stator_slice low, high;
	bool reverse;
	bool ready; /* key and value are the tree's next ones */
	stator_slice key, value;
};

static void
start(stator_store_cursor *c, stator_overlay_cursor *at,
      const stator_overlay_view *view)
{
	if (c->reverse)
		stator__overlay_seek_before(at, view, c->high);
	else
		stator__overlay_seek(at, view, c->low);
}

static int
range(stator_snapshot *snap, stator_arena *arena, stator_slice low,
      stator_slice high, bool reverse, stator_store_cursor **out,
      stator_error *err)
{
	stator_store_cursor *c = stator__arena_zero(arena, sizeof(*c));
	stator_overlay_view view;
	int code = tree_ops->range(snap->tree, arena, low, high, reverse,
				   &c->tree, err);

	if (code)
		return code;
	c->low = low;
	c->high = high;
	c->reverse = reverse;
	if (snap->active.overlay && snap->newest) {
		view = stator__overlay_now(snap->active.overlay);
		start(c, &c->overlays[0], &view);
	} else if (snap->active.overlay) {
		start(c, &c->overlays[0], &snap->active);
	}
	if (snap->below && !snap->below_in_tree) {
		view = stator__overlay_now(snap->below);
		start(c, &c->overlays[1], &view);
	}
	*out = c;
	return STATOR_OK;
}

/* The overlay's next key inside of the range; none ends it. */
static bool
peek(stator_store_cursor *c, stator_overlay_cursor *at, stator_slice *key)
{
	if (at->cell == NULL)
		return false;
	*key = stator__cell_key(at->cell);
	if (c->reverse ? stator__slice_cmp(*key, c->low) < 0
		       : c->high.size && stator__slice_cmp(*key, c->high) >= 0)
		at->cell = NULL;
	return at->cell != NULL;
}

static int
peek_tree(stator_store_cursor *c, stator_error *err)
{
	int code = STATOR_OK;

	while (!c->ready && c->tree) {
		code = tree_ops->next(c->tree, &c->key, &c->value, err);
		c->ready = code == STATOR_OK && !stator__tree_owns(c->key);
		if (code == STATOR_OK)
			continue;
		tree_ops->release(c->tree);
		c->tree = NULL;
	}
	return code < 0 ? code : STATOR_OK;
}

/* Which comes first: less than 0 when `a` does. */
static int
order(const stator_store_cursor *c, stator_slice a, stator_slice b)
{
	int by_bytes = stator__slice_cmp(a, b);

	return c->reverse ? -by_bytes : by_bytes;
}

/* Steps over the key wherever it stands next. */
static const stator_version *
pass(stator_store_cursor *c, stator_slice key)
{
	const stator_version *newest = NULL;
	stator_slice other;

	for (size_t i = 0; i < 2; i++) {
		stator_overlay_cursor *at = &c->overlays[i];

		if (!peek(c, at, &other) || !stator__slice_eq(other, key))
			continue;
		if (newest == NULL)
			newest = at->version;
		stator__overlay_step(at, c->reverse);
	}
	if (c->ready && stator__slice_eq(c->key, key))
		c->ready = false;
	return newest;
}

static int
next(stator_store_cursor *c, stator_slice *key, stator_slice *value,
     stator_error *err)
{
	for (;;) {
		int code = peek_tree(c, err);
		const stator_version *v;
		bool found = c->ready;
		stator_slice other;

		if (code)
			return code;
		*key = c->key;
		*value = c->value;
		for (size_t i = 0; i < 2; i++)
			if (peek(c, &c->overlays[i], &other) &&
			    (!found || order(c, other, *key) < 0)) {
				*key = other;
				found = true;
			}
		if (!found)
			return STATOR_NONE;
		v = pass(c, *key);
		if (v == NULL)
			return STATOR_OK;
		*value = stator__version_value(v);
		if (!v->deleted)
			return STATOR_OK;
	}
}

static void
release(stator_store_cursor *c)
{
	if (c->tree)
		tree_ops->release(c->tree);
	c->tree = NULL;
}

static int
backup(stator_store *s, const char *to, const stator_copying *copying,
       stator_error *err)
{
	return stator__log_backup(s->tree, s->path, to, copying, err);
}

const stator_store_ops stator__store_log = {
	.name = "log",
	.open = open_store,
	.close = close_store,
	.snapshot = begin_snapshot,
	.newest = begin_newest,
	.refresh = refresh,
	.snapshot_end = end_snapshot,
	.get = get,
	.expect = expect,
	.range = range,
	.next = next,
	.release = release,
	.commit = commit,
	.backup = backup,
};
