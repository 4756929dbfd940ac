/*
 * checkpoint.c: see checkpoint.h.
 */
#include "store/checkpoint.h"
#include "store/tree.h"

/*
 * Rationale: LMDB writes and syncs a transaction's pages at once, and the log
 * shares the disk: a small transaction keeps the log's next sync short, a
 * large one writes the upper pages of the tree less often. Until then it has
 * the pages in memory: of rows that are far apart, one for each.
 */
enum { PAGE = 4096 };

static const char lsn_name[] = "\0lsn", until_name[] = "\0until";

static int
read_number(stator_snapshot *tree, const char *name, uint64_t *n,
	    stator_error *err)
{
	stator_slice key = stator__slice(name, 1 + strlen(name + 1)), value;
	int code = stator__store_lmdb.get(tree, NULL, key, &value, err);

	*n = 0;
	if (code == STATOR_NONE)
		return STATOR_OK;
	if (code == STATOR_OK && value.size == 8)
		*n = stator__be64(value.data);
	return code;
}

int
stator__tree_lsn(stator_snapshot *tree, uint64_t *lsn, stator_error *err)
{
	return read_number(tree, lsn_name, lsn, err);
}

int
stator__tree_until(stator_snapshot *tree, uint64_t *lsn, stator_error *err)
{
	return read_number(tree, until_name, lsn, err);
}

static void
step(const stator_checkpoint *c, const char *name)
{
	if (c->files->step)
		c->files->step(c->files->ctx, name);
}

/* Entries up to the size of a part; the cursor stands behind them. */
static int
write_part(stator_tree_batch *batch, stator_overlay_cursor *at, size_t most,
	   size_t *count, stator_error *err)
{
	size_t bytes = 0, n = 0;
	int code = STATOR_OK;

	for (; at->cell && bytes < most && !code;
	     stator__overlay_step(at, false), n++) {
		stator_slice key = stator__cell_key(at->cell);
		stator_slice value = stator__version_value(at->version);

		code = stator__tree_write(batch, key, value,
					  at->version->deleted
						  ? STATOR_CHANGE_DELETE
						  : STATOR_CHANGE_PUT,
					  err);
		bytes += key.size + value.size + PAGE;
	}
	*count += n;
	return code;
}

static int
write_number(stator_tree_batch *batch, const char *name, uint64_t n,
	     stator_error *err)
{
	stator_slice key = stator__slice(name, 1 + strlen(name + 1));
	uint8_t bytes[8];

	stator__be64_put(bytes, n);
	return stator__tree_write(batch, key, stator__slice(bytes, 8),
				  STATOR_CHANGE_PUT, err);
}

static int
run_part(const stator_checkpoint *c, stator_overlay_cursor *at, size_t *count,
	 stator_error *err)
{
	stator_tree_batch *batch;
	int code = stator__tree_begin(c->tree, &batch, err);

	if (code)
		return code;
	code = write_part(batch, at, c->part_bytes, count, err);
	if (code == STATOR_OK)
		code = write_number(batch, at->cell ? until_name : lsn_name,
				    c->lsn, err);
	if (code) {
		stator__tree_abort(batch);
		return code;
	}
	step(c, "part");
	return stator__tree_commit(batch, err);
}

int
stator__checkpoint_run(const stator_checkpoint *c, stator_error *err)
{
	const stator_overlay_view all = stator__overlay_now(c->overlay);
	size_t count = 0, whole = stator__overlay_count(c->overlay);
	stator_overlay_cursor at;
	int code;

	step(c, "checkpoint");
	stator__overlay_seek(&at, &all, stator__slice("", 0));
	do {
		code = run_part(c, &at, &count, err);
		step(c, at.cell ? "part done" : "tree done");
		if (code == STATOR_OK && c->on_progress)
			c->on_progress(c->ctx, (double)count /
						       (double)(whole + 1));
	} while (code == STATOR_OK && at.cell);
	return code;
}
