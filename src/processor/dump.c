/*
 * dump.c: what a partition holds, as lines of JSON. The data is opened for
 * reading only; another process may be writing it.
 */
#include <stdlib.h>

#include "processor/processor.h"
#include "processor/upkeep.h"
#include "storage/storage.h"

typedef struct dump {
	const stator_app *app;
	const stator_dump_opts *opts;
	stator_on_reply on_line;
	void *ctx;
	stator_view view;
	uint32_t partition;
	stator_arena arena;
	stator_buf line;
	const stator_type *type; /* of "view" and "record" */
} dump;

static const stator_def *
def_of(const dump *d)
{
	return d->app->deployment->version->def;
}

static void
emit(dump *d)
{
	d->on_line(d->ctx, (const char *)d->line.data, d->line.size);
}

static void
begin(dump *d, stator_json_out *out, int64_t wsid)
{
	d->line.size = 0;
	*out = (stator_json_out){.buf = &d->line};
	stator__json_begin(out, '{');
	stator__json_name(out, "wsid");
	stator__json_integer(out, wsid);
}

static int
damaged(const char *what, stator_error *err)
{
	return stator__fail(err, STATOR_CORRUPT, "a stored %s is damaged",
			    what);
}

/* Space, letter, and what stands before the workspace. */
enum { SPACE = STATOR_SPACE_SIZE, VIEW_WSID = SPACE + 5, RECORD_WSID = SPACE + 1 };

static int
dump_view_row(dump *d, stator_slice key, stator_slice value, stator_error *err)
{
	const uint8_t *p = key.data;
	int64_t wsid = (int64_t)stator__be64(p + VIEW_WSID);
	stator_slice fields = {p + VIEW_WSID + 8, key.size - VIEW_WSID - 8};
	stator_row row = {value.data, (uint32_t)value.size, 0, d->type};
	stator_json_out out;
	stator_row key_row;
	int code;

	if (d->opts->wsid && wsid != d->opts->wsid)
		return STATOR_OK;
	if (!stator__row_sound(&row))
		return damaged("row of a view", err);
	code = stator__key_decode(&d->arena, stator__type_info(d->type)->key,
				  fields, &key_row, err);
	if (code)
		return code;
	begin(d, &out, wsid);
	stator__json_name(&out, "key");
	stator__row_to_json(&out, def_of(d), &key_row, STATOR_JSON_BARE);
	stator__json_name(&out, "value");
	stator__row_to_json(&out, def_of(d), &row, STATOR_JSON_BARE);
	stator__json_end(&out, '}');
	emit(d);
	return STATOR_OK;
}

static int
dump_record_row(dump *d, stator_slice key, stator_slice value,
		stator_error *err)
{
	const uint8_t *p = key.data;
	int64_t wsid = (int64_t)stator__be64(p + RECORD_WSID);
	stator_row row = {value.data, (uint32_t)value.size, 0, d->type};
	stator_json_out out;

	if (d->opts->wsid && wsid != d->opts->wsid)
		return STATOR_OK;
	if (value.size < STATOR_ROW_HEADER)
		return damaged("record", err);
	if (stator__u32(value.data) != d->type->id)
		return STATOR_OK;
	if (!stator__row_sound(&row))
		return damaged("record", err);
	begin(d, &out, wsid);
	stator__json_name(&out, "id");
	stator__json_integer(&out, (int64_t)stator__be64(p + RECORD_WSID + 8));
	stator__json_name(&out, "qname");
	stator__json_cstring(&out, d->type->name);
	stator__json_name(&out, "fields");
	stator__row_to_json(&out, def_of(d), &row, STATOR_JSON_NO_ID);
	stator__json_end(&out, '}');
	emit(d);
	return STATOR_OK;
}

static void
write_cuds(dump *d, stator_json_out *out, const stator_row *event)
{
	uint32_t count = stator__row_count(event, STATOR_EVENT_CUDS);
	stator_row cud;

	stator__json_name(out, "cuds");
	stator__json_begin(out, '[');
	for (uint32_t i = 0; i < count; i++)
		if (stator__row_child(def_of(d), event, STATOR_EVENT_CUDS, i,
				      &cud))
			stator__row_to_json(out, def_of(d), &cud,
					    STATOR_JSON_QNAME);
	stator__json_end(out, ']');
}

static void
write_args(dump *d, stator_json_out *out, const stator_row *event)
{
	stator_row arg;

	stator__json_name(out, "args");
	if (stator__row_child(def_of(d), event, STATOR_EVENT_ARGUMENT, 0,
			      &arg)) {
		stator__row_to_json(out, def_of(d), &arg, STATOR_JSON_BARE);
	} else {
		stator__json_begin(out, '{');
		stator__json_end(out, '}');
	}
}

/* Of a command that has failed. */
static void
write_error(dump *d, stator_json_out *out, const stator_row *event)
{
	stator_row error;

	if (!stator__row_child(def_of(d), event, STATOR_EVENT_ERROR, 0, &error))
		return;
	stator__json_name(out, "error");
	stator__row_to_json(out, def_of(d), &error, STATOR_JSON_BARE);
}

static int
dump_event(dump *d, stator_slice bytes, stator_error *err)
{
	stator_row event = {bytes.data, (uint32_t)bytes.size, 0,
			    def_of(d)->event};
	int64_t wsid = 0, offset = 0, plog_offset = 0;
	stator_slice name = {"", 0};
	stator_json_out out;

	if (!stator__row_sound(&event))
		return damaged("event", err);
	stator__row_int(&event, STATOR_EVENT_WORKSPACE, &wsid);
	stator__row_int(&event, STATOR_EVENT_WLOG_OFFSET, &offset);
	stator__row_int(&event, STATOR_EVENT_OFFSET, &plog_offset);
	stator__row_bytes(&event, STATOR_EVENT_QNAME, &name);
	if (d->opts->wsid && wsid != d->opts->wsid)
		return STATOR_OK;
	begin(d, &out, wsid);
	stator__json_name(&out, "offset");
	stator__json_integer(&out, offset);
	stator__json_name(&out, "plog_offset");
	stator__json_integer(&out, plog_offset);
	stator__json_name(&out, "partition");
	stator__json_integer(&out, d->partition);
	stator__json_name(&out, "qname");
	stator__json_string(&out, name.data, name.size);
	write_args(d, &out, &event);
	write_cuds(d, &out, &event);
	write_error(d, &out, &event);
	stator__json_end(&out, '}');
	emit(d);
	return STATOR_OK;
}

static int
dump_plog_row(dump *d, stator_slice key, stator_slice value, stator_error *err)
{
	(void)key;
	return dump_event(d, value, err);
}

/* An entry of the WLog leads to the event in the PLog. */
static int
dump_wlog_row(dump *d, stator_slice key, stator_slice value, stator_error *err)
{
	stator_slice event;
	int code;

	(void)key;
	if (value.size < 8)
		return damaged("entry of the WLog", err);
	code = stator__view_get(
		&d->view, &d->arena,
		stator__event_key(&d->arena, (int64_t)stator__be64(value.data)),
		&event, err);
	if (code == STATOR_NONE)
		return damaged("entry of the WLog", err);
	return code ? code : dump_event(d, event, err);
}

typedef int (*dump_row)(dump *d, stator_slice key, stator_slice value,
			stator_error *err);

/* What there is to dump, and where it stands in the partition. */
static int
choose(dump *d, dump_row *row, stator_slice *prefix, stator_error *err)
{
	const char *what = d->opts->what;
	uint8_t *p = stator__arena_zero(&d->arena, 32);
	size_t size = 1;

	if (strcmp(what, "plog") == 0) {
		p[0] = STATOR_SPACE_EVENT;
		*row = dump_plog_row;
	} else if (strcmp(what, "wlog") == 0) {
		p[0] = STATOR_SPACE_WLOG;
		if (d->opts->wsid) {
			stator__be64_put(p + 1, (uint64_t)d->opts->wsid);
			size = 9;
		}
		*row = dump_wlog_row;
	} else {
		bool view = strcmp(what, "view") == 0;

		if (!view && strcmp(what, "record") != 0)
			return stator__fail(err, STATOR_INVALID,
					    "no dump of \"%s\"; there are "
					    "view, record, wlog, plog and log",
					    what);
		stator__space_put(p, stator__sys_space());
		p[SPACE] = view ? VIEW_LETTER : RECORD_LETTER;
		size = SPACE + 1;
		if (view) {
			stator__be32_put(p + size, d->type->id);
			size += 4;
		}
		*row = view ? dump_view_row : dump_record_row;
	}
	*prefix = stator__slice(p, size);
	return STATOR_OK;
}

static int
dump_rows(dump *d, stator_error *err)
{
	stator_view_cursor *cursor;
	stator_slice prefix, key, value;
	dump_row row = NULL;
	int code = choose(d, &row, &prefix, err);

	if (code)
		return code;
	code = stator__view_range(&d->view, &d->arena, prefix,
				  stator__prefix_end(&d->arena, prefix), false,
				  &cursor, err);
	if (code)
		return code;
	while ((code = stator__view_next(cursor, &key, &value, err)) ==
	       STATOR_OK) {
		code = row(d, key, value, err);
		if (code)
			break;
	}
	stator__view_release(cursor);
	return code == STATOR_NONE ? STATOR_OK : code;
}

static int
dump_partition(dump *d, uint32_t i, stator_error *err)
{
	const stator_partition *p = &d->app->partitions[i];
	int code;

	d->partition = i;
	d->view = (stator_view){.ops = p->ops};
	code = p->ops->snapshot(p->store, &d->view.snapshot, err);
	if (code)
		return code;
	code = dump_rows(d, err);
	p->ops->snapshot_end(d->view.snapshot);
	stator__arena_reset(&d->arena);
	return code;
}

static int
find_type(dump *d, stator_error *err)
{
	bool view = strcmp(d->opts->what, "view") == 0;
	const char *name = d->opts->entity;
	const stator_def *def = def_of(d);
	const char *guess, **all;
	size_t count = 0;

	if (!view && strcmp(d->opts->what, "record") != 0)
		return STATOR_OK;
	if (name == NULL)
		return stator__fail(err, STATOR_INVALID,
				    "which %s? say its name: package.Name",
				    d->opts->what);
	d->type = stator__def_type_named(def, name);
	if (d->type && (view ? d->type->kind == STATOR_TYPE_VIEW
			     : stator__type_is_stored(d->type)))
		return STATOR_OK;
	if (d->type && strcmp(d->type->name, name) == 0)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "%s is not a %s that is stored", name,
				    view ? "view" : "table");
	all = stator__arena_alloc(&d->arena, def->type_count * sizeof(*all));
	for (size_t i = 0; i < def->type_count; i++)
		if (view ? def->types[i]->kind == STATOR_TYPE_VIEW
			 : stator__type_is_stored(def->types[i]))
			all[count++] = def->types[i]->name;
	guess = stator__guess(name, strlen(name), all, count);
	stator__fail(err, STATOR_NOT_FOUND, "no %s is called %s",
		     view ? "view" : "table", name);
	return stator__suggest(err, guess);
}

int
stator__dump_find(const stator_app *app, int64_t partition, stator_error *err)
{
	if (partition < (int64_t)app->partition_count)
		return STATOR_OK;
	return stator__fail(err, STATOR_NOT_FOUND,
			    "there is no partition %lld; there are %u, from 0",
			    (long long)partition, app->partition_count);
}

static int
dump_app(dump *d, stator_error *err)
{
	int64_t only = d->opts->partition;
	int code = find_type(d, err);

	if (code == STATOR_OK)
		code = stator__dump_find(d->app, only, err);
	for (uint32_t i = 0; i < d->app->partition_count && !code; i++)
		if (only < 0 || only == (int64_t)i)
			code = dump_partition(d, i, err);
	return code;
}

int
stator_dump(const char *image, const char *data, const stator_dump_opts *opts,
	    stator_on_reply on_line, void *ctx, stator_error *err)
{
	bool log;
	dump d = {.opts = opts, .on_line = on_line, .ctx = ctx};
	stator_app *app;
	/* A log is wanted where partitions do not open any more. */
	stator_error ignored;
	int code;

	if (err == NULL)
		err = &ignored;
	code = stator__need(opts, "opts", err);
	if (code == STATOR_OK)
		code = stator__need(opts->what, "opts: what", err);
	if (code == STATOR_OK)
		code = stator__need((const void *)(uintptr_t)on_line, "on_line",
				    err);
	if (code)
		return code;
	log = strcmp(opts->what, "log") == 0;
	code = stator__data_open(&app, image, data,
				 log ? STATOR_OPEN_FOLDERS : STATOR_OPEN_ALL,
				 err);
	if (code)
		return code;
	d.app = app;
	code = log ? stator__dump_log(app, opts->partition, on_line, ctx, err)
		   : dump_app(&d, err);
	stator__arena_free(&d.arena);
	free(d.line.data);
	stator__app_close(app);
	return code;
}
