/*
 * stat.c: what partitions hold, counted.
 */
#include <stdlib.h>
#include <sys/stat.h>

#include "base/files.h"
#include "processor/upkeep.h"
#include "storage/storage.h"

typedef struct tally {
	uint64_t count, bytes;
} tally;

typedef struct projector {
	const stator_ext *ext;
	int64_t offset;
	uint64_t lag; /* events behind it that it wants */
} projector;

typedef struct stat_run {
	stator_upkeep up;
	const stator_app *app;
	const stator_def *def;
	tally *types; /* as in the definition */
	/* Of the partition at hand. */
	uint32_t partition;
	tally events, wlog, workspaces, effects, others;
	tally unknown; /* of tables and views that the schema does not have */
	int64_t last_event;
	projector *projectors;
	size_t projector_count;
	uint64_t segments, segment_bytes, tree_bytes;
	uint64_t checkpoint; /* the commit that it has reached */
	int64_t checkpoint_at;
	uint64_t entries;
} stat_run;

enum { SPACE = STATOR_SPACE_SIZE };

static void
count(tally *t, const stator_scan *s)
{
	t->count++;
	t->bytes += s->key.size + s->value.size;
}

/* The tally of a table or view. */
static tally *
tally_of(stat_run *r, uint32_t id)
{
	size_t low = 0, high = r->def->type_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (r->def->types[mid]->id < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < r->def->type_count && r->def->types[low]->id == id
		       ? &r->types[low]
		       : &r->unknown;
}

static void
count_stored(stat_run *r, const stator_scan *s)
{
	const uint8_t *p = s->key.data;
	bool sys = s->key.size > SPACE + 5 &&
		   stator__be32(p + 1) == stator__sys_space();

	if (sys && p[SPACE] == RECORD_LETTER &&
	    s->value.size >= STATOR_ROW_HEADER)
		count(tally_of(r, stator__u32(s->value.data)), s);
	else if (sys && p[SPACE] == VIEW_LETTER)
		count(tally_of(r, stator__be32(p + SPACE + 1)), s);
	else
		count(&r->others, s);
}

/* The events that a projector has not seen, though it wants them. */
static void
count_event(stat_run *r, const stator_scan *s)
{
	stator_row event = {s->value.data, (uint32_t)s->value.size, 0,
			    r->def->event};

	count(&r->events, s);
	if (s->key.size != 9)
		return;
	r->last_event = (int64_t)stator__be64((const uint8_t *)s->key.data + 1);
	for (size_t i = 0; i < r->projector_count; i++) {
		projector *p = &r->projectors[i];

		if (p->offset < r->last_event && stator__row_sound(&event) &&
		    stator__projector_wants(p->ext, r->def, &event))
			p->lag++;
	}
}

static void
count_entry(stat_run *r, const stator_scan *s)
{
	switch (*(const uint8_t *)s->key.data) {
	case STATOR_SPACE_EVENT:
		count_event(r, s);
		break;
	case STATOR_SPACE_WLOG:
		count(&r->wlog, s);
		break;
	case STATOR_SPACE_SEQUENCE:
		count(&r->workspaces, s);
		break;
	case STATOR_SPACE_OUTBOX:
		count(&r->effects, s);
		break;
	case STATOR_SPACE_STORAGE:
		count_stored(r, s);
		break;
	default:
		count(&r->others, s);
	}
}

static int
read_projectors(stat_run *r, const stator_view *view, stator_error *err)
{
	int code = STATOR_OK;

	for (size_t i = 0; i < r->projector_count && !code; i++) {
		projector *p = &r->projectors[i];

		p->lag = 0;
		code = stator__projector_offset(view, p->ext, &p->offset, err);
	}
	return code;
}

static int
walk(stat_run *r, const stator_view *view, stator_error *err)
{
	enum { STEP = 10000 };
	stator_scan scan;
	int code;

	stator__scan_begin(&scan, view->ops, view->snapshot,
			   stator__slice("", 0), stator__slice("", 0));
	while ((code = stator__scan_next(&scan, err)) == STATOR_OK) {
		count_entry(r, &scan);
		if (++r->entries % STEP == 0)
			stator__upkeep_progress(&r->up, r->partition, "rows",
						r->entries, 0);
	}
	stator__scan_end(&scan);
	return code < 0 ? code : STATOR_OK;
}

/* Files ----------------------------------------------------------------- */

static uint64_t
size_of(const char *folder, const char *name, int64_t *changed)
{
	char *path = stator__format("%s/%s", folder, name);
	struct stat st;
	uint64_t size = 0;

	if (stat(path, &st) == 0) {
		size = (uint64_t)st.st_size;
		if (changed)
			*changed = st.st_mtim.tv_sec;
	}
	free(path);
	return size;
}

static int
look_at_files(stat_run *r, stator_error *err)
{
	char *folder = stator__app_partition_folder(r->app, r->partition);
	stator_arena arena = {0};
	const char **names;
	size_t count_of_names;
	int code = stator__folder_read(&arena, folder, &names, &count_of_names);

	r->segments = r->segment_bytes = 0;
	r->tree_bytes = size_of(folder, "data.mdb", &r->checkpoint_at);
	if (code)
		code = stator__fail(err, STATOR_IO, "%s: %s", folder,
				    strerror(code));
	for (size_t i = 0; i < count_of_names; i++) {
		if (strncmp(names[i], "log-", 4) != 0)
			continue;
		r->segments++;
		r->segment_bytes += size_of(folder, names[i], NULL);
	}
	stator__arena_free(&arena);
	free(folder);
	return code;
}

/* The tree is open: another look at its file would take its locks away. What it
 * says of itself is found where keys of the store are (docs/storage.md). */
static int
read_checkpoint(stat_run *r, const stator_view *view, stator_error *err)
{
	stator_slice value;
	int code = view->ops->get(view->snapshot, NULL,
				  stator__slice("\0lsn", 4), &value, err);

	r->checkpoint = code == STATOR_OK && value.size == 8
				? stator__be64(value.data)
				: 0;
	return code < 0 ? code : STATOR_OK;
}

/* Lines for a person ------------------------------------------------------ */

static void
say(stat_run *r, const char *name, const char *format, ...)
	STATOR_PRINTF(3, 4);

static void
say(stat_run *r, const char *name, const char *format, ...)
{
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, 0, format, args);
	va_end(args);
	stator__buf_format(&r->up.line, "  %-12s %s", name, text.msg);
	stator__upkeep_line(&r->up);
}

static void
say_types(stat_run *r, bool views)
{
	for (size_t i = 0; i < r->def->type_count; i++) {
		const stator_type *t = r->def->types[i];
		const tally *n = &r->types[i];

		if (n->count && views == (t->kind == STATOR_TYPE_VIEW))
			say(r, views ? "view" : "record",
			    "%-32s %10llu rows %12llu bytes", t->name,
			    (unsigned long long)n->count,
			    (unsigned long long)n->bytes);
	}
}

static void
say_partition(stat_run *r)
{
	char time[STATOR_TIME_TEXT];

	stator__time_show(time, r->checkpoint_at * 1000);
	stator__buf_format(&r->up.line, "partition %u", r->partition);
	stator__upkeep_line(&r->up);
	say(r, "events", "%llu, %llu bytes", (unsigned long long)r->events.count,
	    (unsigned long long)r->events.bytes);
	say(r, "workspaces", "%llu", (unsigned long long)r->workspaces.count);
	say(r, "log", "%llu segments, %llu bytes",
	    (unsigned long long)r->segments,
	    (unsigned long long)r->segment_bytes);
	say(r, "tree", "%llu bytes, checkpoint of commit %llu at %s",
	    (unsigned long long)r->tree_bytes,
	    (unsigned long long)r->checkpoint, time);
	say_types(r, false);
	say_types(r, true);
	if (r->unknown.count)
		say(r, "unknown", "%llu rows of no table or view of the image, "
				  "%llu bytes",
		    (unsigned long long)r->unknown.count,
		    (unsigned long long)r->unknown.bytes);
	for (size_t i = 0; i < r->projector_count; i++)
		say(r, "projector", "%-32s at event %lld, %llu behind",
		    r->projectors[i].ext->name,
		    (long long)r->projectors[i].offset,
		    (unsigned long long)r->projectors[i].lag);
	if (r->effects.count)
		say(r, "effects", "%llu to be done",
		    (unsigned long long)r->effects.count);
}

/* JSON ------------------------------------------------------------------ */

static void
write_number(stator_json_out *out, const char *name, uint64_t n)
{
	stator__json_name(out, name);
	stator__json_integer(out, (int64_t)n);
}

static void
write_tally(stator_json_out *out, const tally *t)
{
	write_number(out, "count", t->count);
	write_number(out, "bytes", t->bytes);
}

static void
write_types(const stat_run *r, stator_json_out *out, bool views)
{
	stator__json_name(out, views ? "views" : "records");
	stator__json_begin(out, '[');
	for (size_t i = 0; i < r->def->type_count; i++) {
		const stator_type *t = r->def->types[i];

		if (r->types[i].count == 0 ||
		    views != (t->kind == STATOR_TYPE_VIEW))
			continue;
		stator__json_begin(out, '{');
		stator__json_name(out, "name");
		stator__json_cstring(out, t->name);
		write_tally(out, &r->types[i]);
		stator__json_end(out, '}');
	}
	stator__json_end(out, ']');
}

static void
write_projectors(const stat_run *r, stator_json_out *out)
{
	stator__json_name(out, "projectors");
	stator__json_begin(out, '[');
	for (size_t i = 0; i < r->projector_count; i++) {
		const projector *p = &r->projectors[i];

		stator__json_begin(out, '{');
		stator__json_name(out, "name");
		stator__json_cstring(out, p->ext->name);
		write_number(out, "offset", (uint64_t)p->offset);
		write_number(out, "lag", p->lag);
		stator__json_end(out, '}');
	}
	stator__json_end(out, ']');
}

static void
write_files(const stat_run *r, stator_json_out *out)
{
	char time[STATOR_TIME_TEXT];

	stator__time_show(time, r->checkpoint_at * 1000);
	stator__json_name(out, "log");
	stator__json_begin(out, '{');
	write_number(out, "segments", r->segments);
	write_number(out, "bytes", r->segment_bytes);
	stator__json_end(out, '}');
	stator__json_name(out, "tree");
	stator__json_begin(out, '{');
	write_number(out, "bytes", r->tree_bytes);
	stator__json_end(out, '}');
	stator__json_name(out, "checkpoint");
	stator__json_begin(out, '{');
	write_number(out, "commit", r->checkpoint);
	stator__json_name(out, "at");
	stator__json_cstring(out, time);
	stator__json_end(out, '}');
}

static void
write_partition(stat_run *r)
{
	stator_json_out out = {.buf = &r->up.line};

	stator__json_begin(&out, '{');
	write_number(&out, "partition", r->partition);
	stator__json_name(&out, "events");
	stator__json_begin(&out, '{');
	write_tally(&out, &r->events);
	write_number(&out, "last", (uint64_t)r->last_event);
	stator__json_end(&out, '}');
	write_number(&out, "workspaces", r->workspaces.count);
	write_files(r, &out);
	write_types(r, &out, false);
	write_types(r, &out, true);
	stator__json_name(&out, "unknown");
	stator__json_begin(&out, '{');
	write_tally(&out, &r->unknown);
	stator__json_end(&out, '}');
	write_projectors(r, &out);
	write_number(&out, "effects", r->effects.count);
	stator__json_end(&out, '}');
	stator__upkeep_line(&r->up);
}

/* All of it ------------------------------------------------------------- */

static int
stat_partition(stat_run *r, stator_error *err)
{
	const stator_partition *p = &r->app->partitions[r->partition];
	stator_view view = {.ops = p->ops};
	int code = p->ops->snapshot(p->store, &view.snapshot, err);

	if (code)
		return code;
	memset(r->types, 0, r->def->type_count * sizeof(*r->types));
	r->events = r->wlog = r->workspaces = r->effects = r->others =
		r->unknown = (tally){0, 0};
	r->last_event = 0;
	r->entries = 0;
	code = read_projectors(r, &view, err);
	if (code == STATOR_OK)
		code = walk(r, &view, err);
	if (code == STATOR_OK)
		code = read_checkpoint(r, &view, err);
	if (code == STATOR_OK)
		code = look_at_files(r, err);
	p->ops->snapshot_end(view.snapshot);
	if (code == STATOR_OK && r->up.opts.as_json)
		write_partition(r);
	else if (code == STATOR_OK)
		say_partition(r);
	return code;
}

static void
find_projectors(stat_run *r)
{
	const stator_ext *ext = NULL;

	r->projectors = stator__alloc((r->def->ext_count + 1) *
				      sizeof(*r->projectors));
	while ((ext = stator__async_next(r->def, ext)) != NULL)
		r->projectors[r->projector_count++].ext = ext;
}

int
stator_stat(const char *image, const char *data,
	    const stator_upkeep_opts *opts, stator_error *err)
{
	stat_run r = {.partition = 0};
	stator_error ignored;
	int code;

	if (err == NULL)
		err = &ignored;
	code = stator__upkeep_open(&r.up, image, data, STATOR_OPEN_ALL, opts, err);
	if (code)
		return code;
	r.app = r.up.app;
	r.def = r.app->deployment->version->def;
	r.types = stator__alloc((r.def->type_count + 1) * sizeof(*r.types));
	find_projectors(&r);
	for (r.partition = 0; r.partition < r.app->partition_count && !code;
	     r.partition++)
		code = stat_partition(&r, err);
	free(r.projectors);
	free(r.types);
	stator__upkeep_free(&r.up);
	return code;
}
