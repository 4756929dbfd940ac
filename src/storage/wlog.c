/*
 * wlog.c: sys.WLog, the events of a workspace in their order.
 */
#include "storage/event_fields.h"
#include "storage/storage.h"

static const stator_field_desc key_fields[] = {
	{"Offset", STATOR_INT64, 0, 0, 0, NULL, "of the (first) event, from 1"},
	{"Count", STATOR_INT64, 0, 0, 0, NULL, "most events to read"},
};

enum { KEY_OFFSET = 1, KEY_COUNT = 2 };

static const stator_field_desc value_fields[EVENT_FIELD_COUNT] = {
	EVENT_FIELDS("Offset", "PLogOffset")};

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	int64_t offset;
	int32_t code;

	if (!sys->host->row_int(key, KEY_OFFSET, &offset))
		return sys->host->fail(err, STATOR_EXTENSION_FAILED,
				       "the key has no Offset");
	code = sys->context->wlog(run, stator__key_wsid(sys, run, key), offset,
				  value, err);
	value->type = use->value;
	return code;
}

typedef struct wlog_cursor {
	stator_cursor base;
	const sys_plugin *sys;
	const stator_run *run;
	const stator_use *use;
	int64_t wsid, at, left, step;
} wlog_cursor;

static int32_t
next(stator_cursor *base, stator_row *key, stator_row *value,
     stator_error *err)
{
	wlog_cursor *c = (wlog_cursor *)base;
	struct stator_builder *b;
	int32_t code;

	if (c->left <= 0 || c->at <= 0)
		return STATOR_NONE;
	c->left--;
	code = c->sys->context->wlog(c->run, c->wsid, c->at, value, err);
	if (code)
		return code;
	value->type = c->use->value;
	b = c->sys->host->row_begin(c->run, c->use->key);
	code = c->sys->host->put_int(b, KEY_OFFSET, c->at, err);
	c->at += c->step;
	return code ? code : c->sys->host->row_end(b, key, err);
}

static void
release(stator_cursor *base)
{
	(void)base;
}

static int32_t
exists(const wlog_cursor *c, int64_t offset, stator_error *err)
{
	stator_row event;

	return c->sys->context->wlog(c->run, c->wsid, offset, &event, err);
}

/* The last event from `first` on: offsets have no holes, so leap, then halve.
 */
static int32_t
find_last(const wlog_cursor *c, int64_t first, int64_t *last,
	  stator_error *err)
{
	int64_t step = 1;
	int32_t code;

	*last = first - 1;
	while ((code = exists(c, *last + step, err)) == STATOR_OK) {
		*last += step;
		step *= 2;
	}
	for (step /= 2; step && code >= 0; step /= 2) {
		code = exists(c, *last + step, err);
		if (code == STATOR_OK)
			*last += step;
	}
	return code < 0 ? code : STATOR_OK;
}

static int32_t
read(void *self, const stator_run *run, const stator_use *use,
     const stator_row *key, const stator_read_opts *opts,
     stator_cursor **cursor, stator_error *err)
{
	const sys_plugin *sys = self;
	wlog_cursor *c = sys->host->run_alloc(run, sizeof(*c));
	int32_t code = STATOR_OK;
	int64_t first = 1;

	c->base.next = next;
	c->base.release = release;
	c->sys = sys;
	c->run = run;
	c->use = use;
	c->wsid = stator__key_wsid(sys, run, key);
	sys->host->row_int(key, KEY_OFFSET, &first);
	if (first < 1)
		first = 1;
	c->at = first;
	c->step = 1;
	if (!sys->host->row_int(key, KEY_COUNT, &c->left))
		c->left = INT64_MAX;
	if (opts->reverse) {
		code = find_last(c, first, &c->at, err);
		if (c->left > c->at - first + 1)
			c->left = c->at - first + 1;
		else
			c->at = first + c->left - 1;
		c->step = -1;
	}
	if (opts->limit && c->left > opts->limit)
		c->left = opts->limit;
	*cursor = &c->base;
	return code;
}

const stator_storage stator__storage_wlog = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "WLog",
	.help = "the events of a workspace in their order",
	.scopes = {STATOR_EVERYONE, 0,
		   STATOR_QUERIES | STATOR_PROJECTORS | STATOR_JOBS, 0, 0},
	.key_fields = key_fields,
	.key_field_count = 2,
	.value_fields = value_fields,
	.value_field_count = EVENT_FIELD_COUNT,
	.get = get,
	.read = read,
};
