/*
 * host_api.c: the host as a table of functions. Nothing here is known to
 * storages but through stator_plugin.h.
 */
#include <stdlib.h>

#include "registry/registry.h"

void
stator__io_at_end(stator_io *io, void (*call)(void *arg), void *arg)
{
	stator_at_end *e = stator__arena_alloc(io->arena, sizeof(*e));

	*e = (stator_at_end){call, arg, io->at_end};
	io->at_end = e;
}

void
stator__io_ended(stator_io *io)
{
	for (const stator_at_end *e = io->at_end; e; e = e->next)
		e->call(e->arg);
	io->at_end = NULL;
}

static stator_io *
io_of(const stator_run *run)
{
	return (stator_io *)(uintptr_t)run;
}

static void *
api_alloc(size_t size)
{
	return stator__memory_zero(size ? size : 1);
}

static void
api_free(void *p)
{
	free(p);
}

static int32_t
api_fail(stator_error *err, int32_t code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	stator__vfail(err, code, format, args);
	va_end(args);
	return code;
}

static void *
api_run_alloc(const stator_run *run, size_t size)
{
	return stator__arena_zero(io_of(run)->arena, size);
}

static int
api_row_int(const stator_row *row, uint32_t field, int64_t *value)
{
	return stator__row_int(row, field, value);
}

static int
api_row_float(const stator_row *row, uint32_t field, double *value)
{
	return stator__row_float(row, field, value);
}

static int
api_row_bytes(const stator_row *row, uint32_t field, stator_slice *value)
{
	return stator__row_bytes(row, field, value);
}

static int
api_row_child(const stator_run *run, const stator_row *row, uint32_t field,
	      uint32_t index, stator_row *child)
{
	return stator__row_child(io_of(run)->def, row, field, index, child);
}

static int
api_row_text(const stator_row *row, uint32_t field, uint32_t index,
	     stator_slice *text)
{
	return stator__row_text(row, field, index, text);
}

static stator_builder *
api_row_begin(const stator_run *run, const stator_type *type)
{
	stator_arena *arena = io_of(run)->arena;
	stator_builder *b = stator__arena_alloc(arena, sizeof(*b));

	stator__build(b, arena, type);
	return b;
}

/* Names the field in what the builder says. */
static int32_t
put(const stator_builder *b, uint32_t field, int code, stator_error *err)
{
	if (code < 0)
		stator__wrap(err, "%s", b->type->fields[field].name);
	return code;
}

static bool
no_such_field(const stator_builder *b, uint32_t field, stator_error *err)
{
	if (field < b->type->field_count)
		return false;
	stator__fail(err, STATOR_INVALID, "%s has no field number %u",
		     b->type->name, field);
	return true;
}

static int32_t
api_put_int(stator_builder *b, uint32_t field, int64_t value,
	    stator_error *err)
{
	if (no_such_field(b, field, err))
		return STATOR_INVALID;
	return put(b, field, stator__build_int(b, field, value, err), err);
}

static int32_t
api_put_float(stator_builder *b, uint32_t field, double value,
	      stator_error *err)
{
	if (no_such_field(b, field, err))
		return STATOR_INVALID;
	return put(b, field, stator__build_float(b, field, value, err), err);
}

static int32_t
api_put_bytes(stator_builder *b, uint32_t field, stator_slice value,
	      stator_error *err)
{
	if (no_such_field(b, field, err))
		return STATOR_INVALID;
	return put(b, field, stator__build_bytes(b, field, value, err), err);
}

static int32_t
api_put_rows(stator_builder *b, uint32_t field, const stator_row *rows,
	     uint32_t count, stator_error *err)
{
	if (no_such_field(b, field, err))
		return STATOR_INVALID;
	return put(b, field, stator__build_rows(b, field, rows, count, err),
		   err);
}

static int32_t
api_row_end(stator_builder *b, stator_row *row, stator_error *err)
{
	*row = stator__build_done(b);
	return stator__row_check(row, err);
}

static int32_t
api_row_load(const stator_run *run, const stator_type *type,
	     stator_slice bytes, stator_row *row, stator_error *err)
{
	*row = (stator_row){bytes.data, (uint32_t)bytes.size, 0, type};
	if (bytes.size > UINT32_MAX || !stator__row_sound(row))
		return stator__fail(err, STATOR_CORRUPT,
				    "these bytes are not a row of %s",
				    type->name);
	row->data = stator__arena_copy(io_of(run)->arena, bytes.data,
				       bytes.size);
	return STATOR_OK;
}

static int32_t
api_key_encode(const stator_run *run, const stator_row *key,
	       stator_slice *bytes, int *complete, stator_error *err)
{
	stator_buf buf = {0};
	bool whole;
	int code;

	/* As long as it can get, so that it stays in the arena. */
	buf.cap = key->size + 9ul * key->type->key_count + 8;
	buf.data = stator__arena_alloc(io_of(run)->arena, buf.cap);
	code = stator__key_encode(&buf, key, &whole, err);
	*bytes = stator__slice(buf.data, buf.size);
	*complete = whole;
	return code;
}

static int32_t
api_key_decode(const stator_run *run, const stator_type *type,
	       stator_slice bytes, stator_row *key, stator_error *err)
{
	return stator__key_decode(io_of(run)->arena, type, bytes, key, err);
}

static const void *
api_get_ext(const char *name)
{
	if (strcmp(name, "stator.store/1") == 0)
		return &stator__store_api;
	if (strcmp(name, "stator.context/1") == 0)
		return &stator__context_api;
	if (strcmp(name, "stator.request/1") == 0)
		return &stator__request_api;
	return NULL;
}

static stator_slice
api_prefix_end(const stator_run *run, stator_slice prefix)
{
	return stator__prefix_end(io_of(run)->arena, prefix);
}

const stator_host_api stator__host_api = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_host_api),
	.version = "1.0.0",
	.log = stator__log,
	.fail = api_fail,
	.alloc = api_alloc,
	.free = api_free,
	.run_alloc = api_run_alloc,
	.now_ms = stator__now_ms,
	.monotonic_ns = stator__monotonic_ns,
	.row_int = api_row_int,
	.row_float = api_row_float,
	.row_bytes = api_row_bytes,
	.row_count = stator__row_count,
	.row_child = api_row_child,
	.row_text = api_row_text,
	.row_begin = api_row_begin,
	.put_int = api_put_int,
	.put_float = api_put_float,
	.put_bytes = api_put_bytes,
	.put_rows = api_put_rows,
	.row_end = api_row_end,
	.row_load = api_row_load,
	.key_encode = api_key_encode,
	.key_decode = api_key_decode,
	.get_ext = api_get_ext,
	.prefix_end = api_prefix_end,
};

/* stator.store/1 -------------------------------------------------------- */

/* The key as it stands in the partition: behind the space of the package. */
static stator_slice
in_space(const stator_io *io, stator_slice key)
{
	uint8_t *p = stator__arena_alloc(io->arena,
					 STATOR_SPACE_SIZE + key.size);

	stator__space_put(p, io->space);
	if (key.size)
		memcpy(p + STATOR_SPACE_SIZE, key.data, key.size);
	return stator__slice(p, STATOR_SPACE_SIZE + key.size);
}

static int32_t
store_get(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_slice *value, stator_error *err)
{
	stator_io *io = io_of(run);
	const stator_view *view = io->view_of(io, wsid, err);

	if (view == NULL)
		return err->code;
	return stator__view_get(view, io->arena, in_space(io, key), value, err);
}

static int32_t
store_range(const stator_run *run, int64_t wsid, stator_slice low,
	    stator_slice high, int reverse, void **cursor, stator_error *err)
{
	stator_io *io = io_of(run);
	const stator_view *view = io->view_of(io, wsid, err);
	stator_slice end;

	if (view == NULL)
		return err->code;
	end = high.size ? in_space(io, high)
			: stator__prefix_end(io->arena,
					     in_space(io, high));
	return stator__view_range(view, io->arena, in_space(io, low), end,
				  reverse != 0, (stator_view_cursor **)cursor,
				  err);
}

static int32_t
store_next(void *cursor, stator_slice *key, stator_slice *value,
	   stator_error *err)
{
	int32_t code = stator__view_next(cursor, key, value, err);

	if (code == STATOR_OK)
		*key = stator__slice(
			(const uint8_t *)key->data + STATOR_SPACE_SIZE,
			key->size - STATOR_SPACE_SIZE);
	return code;
}

static void
store_release(void *cursor)
{
	stator__view_release(cursor);
}

static int32_t
store_write(const stator_run *run, int64_t wsid, stator_slice key,
	    stator_slice value, stator_change change, stator_error *err)
{
	stator_io *io = io_of(run);

	if (io->writes == NULL)
		return stator__fail(err, STATOR_INVALID,
				    "put and del are for apply only");
	if (wsid <= 0)
		return stator__fail(err, STATOR_EXTENSION_FAILED,
				    "WSID: expected a workspace, found %lld",
				    (long long)wsid);
	if ((uint64_t)wsid % run->partitions != run->partition)
		return stator__fail(
			err, STATOR_NOT_SUPPORTED,
			"workspace %lld is of partition %u, this run of "
			"partition %u: only workspaces of the same partition "
			"can be written",
			(long long)wsid,
			(unsigned)((uint64_t)wsid % run->partitions),
			run->partition);
	stator__map_write(io->writes, in_space(io, key), value, change);
	return STATOR_OK;
}

static int32_t
store_put(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_slice value, stator_error *err)
{
	return store_write(run, wsid, key, value, STATOR_CHANGE_PUT, err);
}

static int32_t
store_del(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_error *err)
{
	return store_write(run, wsid, key, stator__slice(NULL, 0),
			   STATOR_CHANGE_DELETE, err);
}

const stator_store_api stator__store_api = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_store_api),
	.get = store_get,
	.range = store_range,
	.cursor_next = store_next,
	.cursor_release = store_release,
	.put = store_put,
	.del = store_del,
};

/* stator.context/1 ------------------------------------------------------ */

static int32_t
hand_out(const stator_row *row, stator_row *out)
{
	if (row->data == NULL)
		return STATOR_NONE;
	*out = *row;
	return STATOR_OK;
}

static int32_t
context_event(const stator_run *run, stator_row *event)
{
	return hand_out(&io_of(run)->event, event);
}

static int32_t
context_argument(const stator_run *run, int unlogged, stator_row *argument)
{
	stator_io *io = io_of(run);

	return hand_out(unlogged ? &io->unlogged : &io->argument, argument);
}

static int32_t
context_result(const stator_run *run, const stator_row *row, stator_error *err)
{
	stator_io *io = io_of(run);

	if (io->on_result == NULL)
		return stator__fail(err, STATOR_NOT_SUPPORTED,
				    "this run has no result");
	return io->on_result(io, row, err);
}

static int32_t
context_response(const stator_run *run, int64_t status, stator_slice message,
		 stator_error *err)
{
	stator_io *io = io_of(run);

	if (status < 100 || status > 599)
		return stator__fail(err, STATOR_EXTENSION_FAILED,
				    "StatusCode: expected 100 to 599, found "
				    "%lld",
				    (long long)status);
	io->status = status;
	io->message = stator__slice(
		stator__arena_copy(io->arena, message.data, message.size),
		message.size);
	return STATOR_OK;
}

static int32_t
context_wlog(const stator_run *run, int64_t wsid, int64_t offset,
	     stator_row *event, stator_error *err)
{
	stator_io *io = io_of(run);
	const stator_view *view = io->view_of(io, wsid, err);
	stator_slice at, bytes;
	uint8_t key[17];
	int code;

	if (view == NULL)
		return err->code;
	key[0] = STATOR_SPACE_WLOG;
	stator__be64_put(key + 1, (uint64_t)wsid);
	stator__be64_put(key + 9, (uint64_t)offset);
	code = stator__view_get(view, io->arena,
				stator__slice(key, sizeof(key)), &at, err);
	if (code)
		return code;
	key[0] = STATOR_SPACE_EVENT;
	memcpy(key + 1, at.data, 8);
	code = stator__view_get(view, io->arena, stator__slice(key, 9), &bytes,
				err);
	if (code)
		return code;
	*event = (stator_row){bytes.data, (uint32_t)bytes.size, 0,
			      io->def->event};
	return STATOR_OK;
}

const stator_context_api stator__context_api = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_context_api),
	.event = context_event,
	.argument = context_argument,
	.result = context_result,
	.response = context_response,
	.wlog = context_wlog,
};

/* stator.request/1 ------------------------------------------------------ */

static int32_t
request_subject(const stator_run *run, stator_row *subject)
{
	return hand_out(&io_of(run)->subject, subject);
}

static int32_t
request_origin(const stator_run *run, stator_slice *origin)
{
	*origin = io_of(run)->origin;
	return origin->data ? STATOR_OK : STATOR_NONE;
}

const stator_request_api stator__request_api = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_request_api),
	.subject = request_subject,
	.origin = request_origin,
};
