/*
 * dump_log.c: what the logs of partitions are made of, as lines of JSON: for
 * those who want to know what is in them, or what has happened to them.
 */
#include <stdlib.h>

#include "processor/processor.h"
#include "store/log.h"

typedef struct log_dump {
	stator_on_reply on_line;
	void *ctx;
	uint32_t partition;
	uint64_t last; /* the commit that was there last, or is in the tree */
	stator_buf line;
} log_dump;

static void
begin(log_dump *d, stator_json_out *out, const char *file)
{
	d->line.size = 0;
	*out = (stator_json_out){.buf = &d->line};
	stator__json_begin(out, '{');
	stator__json_name(out, "partition");
	stator__json_integer(out, d->partition);
	stator__json_name(out, "file");
	stator__json_cstring(out, file);
}

static void
begin_part(log_dump *d, stator_json_out *out, const stator_log_part *part,
	   const char *state)
{
	begin(d, out, part->file);
	stator__json_name(out, "offset");
	stator__json_integer(out, (int64_t)part->offset);
	stator__json_name(out, "bytes");
	stator__json_integer(out, (int64_t)part->size);
	stator__json_name(out, "state");
	stator__json_cstring(out, state);
}

static void
end(log_dump *d, stator_json_out *out)
{
	stator__json_end(out, '}');
	d->on_line(d->ctx, (const char *)d->line.data, d->line.size);
}

static void
write_pair(stator_json_out *out, const char *name, uint64_t a, uint64_t b)
{
	stator__json_name(out, name);
	stator__json_begin(out, '[');
	stator__json_integer(out, (int64_t)a);
	stator__json_integer(out, (int64_t)b);
	stator__json_end(out, ']');
}

/* How much the commit writes, and the PLog offsets of its events. */
static void
write_entries(stator_json_out *out, stator_slice entries)
{
	uint64_t puts = 0, deletes = 0, first = 0, last = 0;
	stator_log_entry e;

	while (stator__record_next(&entries, &e)) {
		const uint8_t *key = e.key.data;

		if (e.change == STATOR_CHANGE_DELETE)
			deletes++;
		else
			puts++;
		if (e.key.size != 9 || key[0] != STATOR_SPACE_EVENT)
			continue;
		last = stator__be64(key + 1);
		first = first ? first : last;
	}
	stator__json_name(out, "puts");
	stator__json_integer(out, (int64_t)puts);
	stator__json_name(out, "deletes");
	stator__json_integer(out, (int64_t)deletes);
	if (first)
		write_pair(out, "events", first, last);
}

static void
write_commit(log_dump *d, const stator_log_part *part)
{
	uint64_t lsn = part->record->lsn;
	stator_json_out out;

	if (lsn > d->last + 1) {
		const stator_log_part gap = {.file = part->file,
					     .offset = part->offset};

		begin_part(d, &out, &gap, "missing");
		write_pair(&out, "commits", d->last + 1, lsn - 1);
		end(d, &out);
	}
	d->last = lsn > d->last ? lsn : d->last;
	begin_part(d, &out, part, "commit");
	stator__json_name(&out, "commit");
	stator__json_integer(&out, (int64_t)lsn);
	write_entries(&out, part->record->entries);
	end(d, &out);
}

static void
on_part(void *ctx, const stator_log_part *part)
{
	log_dump *d = ctx;
	stator_json_out out;

	if (part->kind == STATOR_LOG_COMMIT) {
		write_commit(d, part);
		return;
	}
	if (part->kind == STATOR_LOG_FREE) {
		begin_part(d, &out, part, "free");
	} else {
		begin_part(d, &out, part, "damaged");
		stator__json_name(&out, "why");
		stator__json_cstring(&out, part->why);
	}
	end(d, &out);
}

/* The tree, before which nothing is missing; it may be what is damaged. */
static void
write_tree(log_dump *d, const char *folder)
{
	uint64_t lsn = 0, until = 0;
	stator_json_out out;
	stator_error err;
	int code = stator__store_tree(folder, &lsn, &until, &err);

	begin(d, &out, "data.mdb");
	stator__json_name(&out, "state");
	stator__json_cstring(&out, code ? "damaged" : "tree");
	if (code) {
		stator__json_name(&out, "why");
		stator__json_cstring(&out, err.msg);
	} else {
		stator__json_name(&out, "commit");
		stator__json_integer(&out, (int64_t)lsn);
	}
	if (until > lsn) {
		stator__json_name(&out, "parts_until");
		stator__json_integer(&out, (int64_t)until);
	}
	end(d, &out);
	d->last = lsn;
}

int
stator__dump_log(const stator_app *app, int64_t partition,
		 stator_on_reply on_line, void *ctx, stator_error *err)
{
	log_dump d = {.on_line = on_line, .ctx = ctx};
	int code = stator__dump_find(app, partition, err);

	for (uint32_t i = 0; i < app->partition_count && !code; i++) {
		char *folder = stator__app_partition_folder(app, i);

		d.partition = i;
		if (partition < 0 || partition == (int64_t)i) {
			write_tree(&d, folder);
			code = stator__log_list(folder, on_part, &d, err);
		}
		free(folder);
	}
	free(d.line.data);
	return code;
}
