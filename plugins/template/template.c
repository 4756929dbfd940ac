/*
 * template.c: text notes by name, kept with the events: the storage to copy
 * when you write your own. README.md goes through it part by part.
 *
 *	STATESTORAGE ENGINE PLUGIN (
 *	    Note (
 *	        GET SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS),
 *	        GETBATCH SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS),
 *	        READ SCOPE(QUERIES, PROJECTORS, JOBS),
 *	        INSERT SCOPE(COMMANDS, PROJECTORS, JOBS),
 *	        UPDATE SCOPE(COMMANDS, PROJECTORS, JOBS)
 *	    ) WITH JSONCONFIG='{"Longest":200}';
 *	);
 *
 *	state.new(Note { Name = "todo/milk" }, { Text = "two litres" })
 *	state.get(Note { Name = "todo/milk" }).Text
 *	for key, note in state.read(Note { Name = "todo/" }) do ... end
 */
#include <stdio.h>
#include <string.h>

#include "stator_plugin.h"

/* 1. What it is called and what it holds ----------------------------------- */

static const stator_field_desc key_fields[] = {
	{"Name", STATOR_STRING, 1, 0, 200, NULL, "which note"},
};

static const stator_field_desc value_fields[] = {
	{"Text", STATOR_STRING, 1, 0, 65535, NULL, "what it says"},
	{"Author", STATOR_STRING, 0, 0, 100, NULL, "who says it"},
};

static const stator_field_desc config_fields[] = {
	{"Longest", STATOR_INT64, 0, 0, 0, "4000", "bytes that Text may have"},
};

/* Indexes of fields in rows. In keys the workspace comes first. */
enum { KEY_WSID, KEY_NAME };
enum { TEXT, AUTHOR };
enum { LONGEST };

/* 2. The objects: the plugin, and an instance for each partition ----------- */

typedef struct plugin {
	const stator_host_api *host;
	const stator_store_api *store;
	int64_t longest;
} plugin;

/* `size` comes first and stays there, since another version of this plugin
 * reads it when it takes over. */
typedef struct instance {
	size_t size;
	const plugin *plugin;
	uint64_t gets; /* since the first version was deployed */
} instance;

/* 3. Where a note is ------------------------------------------------------- */

/* The storages of a package share a space: this is where the notes begin. */
static const char space[] = "note";
enum { SPACE = 4, FRONT = SPACE + 8 };

static int64_t
workspace(const plugin *p, const stator_run *run, const stator_row *key)
{
	int64_t wsid;

	return p->host->row_int(key, KEY_WSID, &wsid) ? wsid : run->wsid;
}

/* "note", the workspace in big endian, the name. */
static int32_t
locate(const plugin *p, const stator_run *run, const stator_row *key,
       stator_slice *out, stator_error *err)
{
	uint64_t wsid = (uint64_t)workspace(p, run, key);
	stator_slice name;
	int complete;
	int32_t code = p->host->key_encode(run, key, &name, &complete, err);
	uint8_t *at;

	if (code)
		return code;
	at = p->host->run_alloc(run, FRONT + name.size);
	memcpy(at, space, SPACE);
	for (int i = 0; i < 8; i++)
		at[SPACE + i] = (uint8_t)(wsid >> (56 - 8 * i));
	if (name.size)
		memcpy(at + FRONT, name.data, name.size);
	out->data = at;
	out->size = FRONT + name.size;
	return STATOR_OK;
}

/* For one note the name has to be there. */
static int32_t
locate_one(const plugin *p, const stator_run *run, const stator_row *key,
	   stator_slice *out, stator_error *err)
{
	int32_t code = locate(p, run, key, out, err);

	if (code == STATOR_OK && out->size == FRONT)
		return p->host->fail(err, STATOR_EXTENSION_FAILED,
				     "the key has no Name");
	return code;
}

/* 4. Reading --------------------------------------------------------------- */

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	instance *in = self;
	const plugin *p = in->plugin;
	stator_slice at, bytes;
	int32_t code = locate_one(p, run, key, &at, err);

	in->gets++;
	if (code == STATOR_OK)
		code = p->store->get(run, workspace(p, run, key), at, &bytes,
				     err);
	if (code != STATOR_OK)
		return code; /* NONE is not an error */
	return p->host->row_load(run, use->value, bytes, value, err);
}

static int32_t
get_batch(void *self, const stator_run *run, const stator_use *use,
	  const stator_row *keys, size_t count, stator_row *values,
	  stator_error *err)
{
	for (size_t i = 0; i < count; i++) {
		int32_t code = get(self, run, use, &keys[i], &values[i], err);

		if (code < 0)
			return code;
	}
	return STATOR_OK;
}

typedef struct cursor {
	stator_cursor base; /* first: the host knows this part */
	const plugin *plugin;
	const stator_run *run;
	const stator_use *use;
	void *range;
	uint32_t left; /* rows that are still wanted */
} cursor;

static int32_t
next(stator_cursor *base, stator_row *key, stator_row *value,
     stator_error *err)
{
	cursor *c = (cursor *)base;
	const stator_host_api *host = c->plugin->host;
	stator_slice at, bytes;
	int32_t code;

	if (c->left == 0)
		return STATOR_NONE;
	c->left--;
	code = c->plugin->store->cursor_next(c->range, &at, &bytes, err);
	if (code != STATOR_OK)
		return code;
	at.data = (const uint8_t *)at.data + FRONT;
	at.size -= FRONT;
	code = host->key_decode(c->run, c->use->key, at, key, err);
	if (code != STATOR_OK)
		return code;
	return host->row_load(c->run, c->use->value, bytes, value, err);
}

static void
release(stator_cursor *base)
{
	cursor *c = (cursor *)base;

	c->plugin->store->cursor_release(c->range);
}

static int32_t
read_notes(void *self, const stator_run *run, const stator_use *use,
	   const stator_row *key, const stator_read_opts *opts,
	   stator_cursor **out, stator_error *err)
{
	const plugin *p = ((const instance *)self)->plugin;
	cursor *c = p->host->run_alloc(run, sizeof(*c));
	stator_slice low;
	int32_t code = locate(p, run, key, &low, err);

	if (code != STATOR_OK)
		return code;
	c->base.next = next;
	c->base.release = release;
	c->plugin = p;
	c->run = run;
	c->use = use;
	c->left = opts->limit ? opts->limit : UINT32_MAX;
	code = p->store->range(run, workspace(p, run, key), low,
			       p->host->prefix_end(run, low),
			       (int)opts->reverse, &c->range, err);
	if (code == STATOR_OK)
		*out = &c->base;
	return code;
}

/* 5. Writing --------------------------------------------------------------- */

static int32_t
validate_one(const plugin *p, const stator_run *run, const stator_intent *item,
	     stator_error *err)
{
	stator_slice at, text;
	int32_t code = locate_one(p, run, item->key, &at, err);

	if (code != STATOR_OK)
		return code;
	if (p->host->row_bytes(item->value, TEXT, &text) &&
	    text.size > (size_t)p->longest)
		return p->host->fail(err, STATOR_EXTENSION_FAILED,
				     "Text: expected at most %lld bytes, found "
				     "%zu",
				     (long long)p->longest, text.size);
	return STATOR_OK;
}

static int32_t
validate(void *self, const stator_run *run, const stator_intent *items,
	 size_t count, stator_error *err)
{
	const plugin *p = ((const instance *)self)->plugin;
	int32_t code = STATOR_OK;

	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		code = validate_one(p, run, &items[i], err);
	return code;
}

/* The row itself is kept, so it can be loaded as it is. An update comes with
 * the old fields merged in: it is written like a new note. */
static int32_t
apply_one(const plugin *p, const stator_run *run, const stator_intent *item,
	  stator_error *err)
{
	stator_slice at, row = {item->value->data, item->value->size};
	int32_t code = locate_one(p, run, item->key, &at, err);

	if (code != STATOR_OK)
		return code;
	return p->store->put(run, workspace(p, run, item->key), at, row, err);
}

static int32_t
apply(void *self, const stator_run *run, const stator_intent *items,
      size_t count, stator_error *err)
{
	const plugin *p = ((const instance *)self)->plugin;
	int32_t code = STATOR_OK;

	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		code = apply_one(p, run, &items[i], err);
	return code;
}

/* 6. Life ------------------------------------------------------------------ */

static int32_t
init(const stator_host_api *host, const stator_row *configs, void **out,
     stator_error *err)
{
	plugin *p = host->alloc(sizeof(*p));

	if (p == NULL)
		return host->fail(err, STATOR_NO_MEMORY, "out of memory");
	p->host = host;
	p->store = host->get_ext("stator.store/1");
	/* One row for each storage; the preset is in it when nothing is given.
	 */
	if (!host->row_int(&configs[0], LONGEST, &p->longest) ||
	    p->longest < 0 || p->store == NULL) {
		host->free(p);
		return host->fail(err, STATOR_INVALID,
				  "Longest: expected 0 or more");
	}
	*out = p;
	return STATOR_OK;
}

static void
finit(void *data)
{
	plugin *p = data;

	p->host->free(p);
}

/* The instance before is borrowed: it goes on serving what it has begun, so
 * what is wanted of it is copied. */
static int32_t
attach(void *data, uint32_t partition, void *previous, void **self,
       stator_error *err)
{
	const plugin *p = data;
	instance *in = p->host->alloc(sizeof(*in));
	const instance *before = previous;

	(void)partition;
	if (in == NULL)
		return p->host->fail(err, STATOR_NO_MEMORY, "out of memory");
	in->size = sizeof(*in);
	in->plugin = p;
	in->gets = 0;
	if (before && before->size >= sizeof(*before))
		in->gets = before->gets;
	*self = in;
	return STATOR_OK;
}

static void
detach(void *self)
{
	instance *in = self;
	const stator_host_api *host = in->plugin->host;
	char text[64];

	snprintf(text, sizeof(text), "%llu notes were got",
		 (unsigned long long)in->gets);
	host->log(4, "Note", text);
	host->free(in);
}

/* 7. What is exported ------------------------------------------------------ */

static const stator_storage note = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Note",
	.help = "text notes of a workspace, by name",
	.scopes = {[STATOR_GET] = STATOR_EVERYONE,
		   [STATOR_GETBATCH] = STATOR_EVERYONE,
		   [STATOR_READ] =
			   STATOR_QUERIES | STATOR_PROJECTORS | STATOR_JOBS,
		   [STATOR_INSERT] =
			   STATOR_COMMANDS | STATOR_PROJECTORS | STATOR_JOBS,
		   [STATOR_UPDATE] =
			   STATOR_COMMANDS | STATOR_PROJECTORS | STATOR_JOBS},
	.key_fields = key_fields,
	.key_field_count = 1,
	.value_fields = value_fields,
	.value_field_count = 2,
	.config_fields = config_fields,
	.config_field_count = 1,
	.get = get,
	.get_batch = get_batch,
	.read = read_notes,
	.validate = validate,
	.apply = apply,
};

static const stator_storage *const storages[] = {&note};

const stator_plugin stator_plugin_entry = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_plugin),
	.name = "template",
	.version = "1.0.0",
	.description = "text notes by name; the plugin to copy",
	.storages = storages,
	.storage_count = 1,
	.init = init,
	.attach = attach,
	.detach = detach,
	.finit = finit,
};
