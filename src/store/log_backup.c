/*
 * log_backup.c: a copy of a store with a log: the tree as it is at one moment,
 * and behind it the log as it is right then.
 *
 * The two are read one after the other, while commits and checkpoints go on,
 * perhaps of another process. What the log must have is known beforehand: the
 * commits behind the LSN that the tree had before its copy began. And it must
 * reach those of which the copied tree may have parts. If segments have gone
 * meanwhile, or one was written while it was read, all of it is begun anew,
 * which costs little: the log is read when the tree's copy has just begun.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "store/copy.h"
#include "store/log_backup.h"

enum { TRIES = 50, PAUSE_MS = 20 };

typedef struct log_backup {
	stator_store *tree;
	const char *from, *to;
	const stator_copying *copying;
	uint64_t before; /* LSN of the tree before its copy began */
	bool again;	 /* it was changed; another try may work */
} log_backup;

static const stator_store_ops *const tree_ops = &stator__store_lmdb;

static int
look_at_tree(const log_backup *b, uint64_t *lsn, uint64_t *until,
	     stator_error *err)
{
	stator_snapshot *snap;
	int code = tree_ops->snapshot(b->tree, &snap, err);

	if (code)
		return code;
	code = stator__tree_lsn(snap, lsn, err);
	if (code == STATOR_OK)
		code = stator__tree_until(snap, until, err);
	tree_ops->snapshot_end(snap);
	return code;
}

/* The copied tree has all up to an LSN between `before` and `lsn`. */
static int
copy_tail(void *ctx, stator_error *err)
{
	log_backup *b = ctx;
	uint64_t lsn, until, last;
	int code = look_at_tree(b, &lsn, &until, err);

	if (code)
		return code;
	code = stator__copy_log(b->from, b->to, b->before, &last, err);
	if (code == STATOR_OK && last < b->before)
		last = b->before;
	if (code == STATOR_OK && (last < lsn || last < until))
		code = stator__fail(err, STATOR_CORRUPT,
				    "%s: the log ends with commit %llu, but "
				    "data.mdb has parts of those up to %llu",
				    b->from, (unsigned long long)last,
				    (unsigned long long)(until > lsn ? until
								     : lsn));
	b->again = code != STATOR_OK;
	return code;
}

static void
on_progress(void *ctx, uint64_t done, uint64_t whole)
{
	const log_backup *b = ctx;

	if (b->copying->on_progress)
		b->copying->on_progress(b->copying->ctx, done, whole);
}

static int
try_once(log_backup *b, stator_error *err)
{
	const stator_copying copying = {on_progress, copy_tail, b};
	uint64_t until;
	int code = look_at_tree(b, &b->before, &until, err);

	b->again = false;
	return code ? code : tree_ops->backup(b->tree, b->to, &copying, err);
}

static void
clear(const log_backup *b)
{
	char *tree = stator__format("%s/data.mdb", b->to);
	char *segment = stator__format("%s/log-%016llx.seg", b->to, 1ull);

	unlink(tree);
	unlink(segment);
	free(segment);
	free(tree);
}

int
stator__log_backup(stator_store *tree, const char *from, const char *to,
		   const stator_copying *copying, stator_error *err)
{
	const struct timespec pause = {0, PAUSE_MS * 1000000};
	log_backup b = {
		.tree = tree, .from = from, .to = to, .copying = copying};
	int code = try_once(&b, err);

	for (int i = 1; i < TRIES && code && b.again; i++) {
		clear(&b);
		nanosleep(&pause, NULL);
		code = try_once(&b, err);
	}
	if (code)
		clear(&b);
	return code;
}
