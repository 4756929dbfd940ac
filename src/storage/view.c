/*
 * view.c: sys.View, rows that projectors keep, ordered by their key.
 */
#include <string.h>

#include "storage/storage.h"

/* 'v', view, workspace, then the fields that the key has. */
static int32_t
full_key(const sys_plugin *sys, const stator_run *run, const stator_use *use,
	 const stator_row *key, stator_slice *out, int *complete,
	 stator_error *err)
{
	stator_slice fields;
	int32_t code = sys->host->key_encode(run, key, &fields, complete, err);
	uint8_t *p;

	if (code)
		return code;
	p = sys->host->run_alloc(run, STATOR_VIEW_KEY + fields.size);
	stator__view_key(p, use->entity_id,
			 stator__key_wsid(sys, run, key));
	if (fields.size)
		memcpy(p + STATOR_VIEW_KEY, fields.data, fields.size);
	out->data = p;
	out->size = STATOR_VIEW_KEY + fields.size;
	return STATOR_OK;
}

/* The first ordered field that is null. */
static const char *
missing(const sys_plugin *sys, const stator_row *key)
{
	const stator_type *type = key->type;
	uint32_t i = type->field_count - type->key_count;
	stator_slice s;
	int64_t n;
	double d;

	while (i < type->field_count &&
	       (sys->host->row_int(key, i, &n) ||
		sys->host->row_float(key, i, &d) ||
		sys->host->row_bytes(key, i, &s)))
		i++;
	return i < type->field_count ? type->fields[i].name : "";
}

static int32_t
whole_key(const sys_plugin *sys, const stator_run *run, const stator_use *use,
	  const stator_row *key, stator_slice *out, stator_error *err)
{
	int complete;
	int32_t code = full_key(sys, run, use, key, out, &complete, err);

	if (code || complete)
		return code;
	return sys->host->fail(err, STATOR_EXTENSION_FAILED,
			       "the key has no %s", missing(sys, key));
}

static void
as_row(stator_row *row, stator_slice bytes, const stator_type *type)
{
	row->data = bytes.data;
	row->size = (uint32_t)bytes.size;
	row->type = type;
}

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	stator_slice at, bytes;
	int32_t code = whole_key(sys, run, use, key, &at, err);

	if (code)
		return code;
	code = sys->store->get(run, stator__key_wsid(sys, run, key), at,
			       &bytes, err);
	if (code == STATOR_OK)
		as_row(value, bytes, use->value);
	return code;
}

typedef struct view_cursor {
	stator_cursor base;
	const sys_plugin *sys;
	const stator_run *run;
	const stator_use *use;
	void *range;
	uint32_t left; /* rows still wanted */
} view_cursor;

static int32_t
next(stator_cursor *base, stator_row *key, stator_row *value,
     stator_error *err)
{
	view_cursor *c = (view_cursor *)base;
	stator_slice at, bytes;
	int32_t code;

	if (c->left == 0)
		return STATOR_NONE;
	c->left--;
	code = c->sys->store->cursor_next(c->range, &at, &bytes, err);
	if (code)
		return code;
	at.data = (const uint8_t *)at.data + STATOR_VIEW_KEY;
	at.size -= STATOR_VIEW_KEY;
	as_row(value, bytes, c->use->value);
	return c->sys->host->key_decode(c->run, c->use->key, at, key, err);
}

static void
release(stator_cursor *base)
{
	view_cursor *c = (view_cursor *)base;

	c->sys->store->cursor_release(c->range);
}

static int32_t
read(void *self, const stator_run *run, const stator_use *use,
     const stator_row *key, const stator_read_opts *opts,
     stator_cursor **cursor, stator_error *err)
{
	const sys_plugin *sys = self;
	view_cursor *c = sys->host->run_alloc(run, sizeof(*c));
	stator_slice low;
	int complete;
	int32_t code = full_key(sys, run, use, key, &low, &complete, err);

	if (code)
		return code;
	c->base.next = next;
	c->base.release = release;
	c->sys = sys;
	c->run = run;
	c->use = use;
	c->left = opts->limit ? opts->limit : UINT32_MAX;
	code = sys->store->range(run, stator__key_wsid(sys, run, key), low,
				 sys->host->prefix_end(run, low),
				 (int)opts->reverse, &c->range, err);
	*cursor = &c->base;
	return code;
}

static int32_t
validate(void *self, const stator_run *run, const stator_intent *items,
	 size_t count, stator_error *err)
{
	for (size_t i = 0; i < count; i++) {
		stator_slice at;
		int32_t code = whole_key(self, run, items[i].use, items[i].key,
					 &at, err);

		if (code)
			return code;
	}
	return STATOR_OK;
}

static int32_t
apply(void *self, const stator_run *run, const stator_intent *items,
      size_t count, stator_error *err)
{
	const sys_plugin *sys = self;

	for (size_t i = 0; i < count; i++) {
		const stator_intent *item = &items[i];
		stator_slice at, row = {item->value->data, item->value->size};
		int32_t code = whole_key(sys, run, item->use, item->key, &at,
					 err);

		if (code == STATOR_OK)
			code = sys->store->put(
				run, stator__key_wsid(sys, run, item->key), at,
				row, err);
		if (code)
			return code;
	}
	return STATOR_OK;
}

const stator_storage stator__storage_view = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "View",
	.help = "rows that projectors keep, ordered by their key",
	.entity = STATOR_ENTITY_VIEW,
	.scopes = {STATOR_EVERYONE, STATOR_EVERYONE,
		   STATOR_QUERIES | STATOR_PROJECTORS | STATOR_JOBS,
		   STATOR_PROJECTORS | STATOR_JOBS,
		   STATOR_PROJECTORS | STATOR_JOBS},
	.get = get,
	.read = read,
	.validate = validate,
	.apply = apply,
};
