/*
 * counter.c: the smallest storage: named counters of a workspace, kept with the
 * events. See plugins/template for an explanation of every line.
 *
 *	STATESTORAGE ENGINE PLUGIN (
 *	    Counter (
 *	        GET SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS),
 *	        INSERT SCOPE(COMMANDS, PROJECTORS, JOBS)
 *	    );
 *	);
 *
 *	state.new(Counter { Name = "visits" }, { Add = 1 })
 *	state.get(Counter { Name = "visits" }).Value
 */
#include <string.h>

#include "stator_plugin.h"

typedef struct counter {
	const stator_host_api *host;
	const stator_store_api *store;
} counter;

static const stator_field_desc key_fields[] = {
	{"Name", STATOR_STRING, 1, 0, 100, NULL, "which counter"},
};

static const stator_field_desc value_fields[] = {
	{"Value", STATOR_INT64, 0, 0, 0, NULL, "what it stands at"},
	{"Add", STATOR_INT64, 0, 0, 0, NULL, "what an intent adds to it"},
};

enum { KEY_WSID, KEY_NAME };
enum { VALUE, ADD };

/* The workspace in big endian, then the name. */
static int32_t
key_of(const counter *c, const stator_run *run, const stator_row *key,
       int64_t *wsid, stator_slice *out, stator_error *err)
{
	stator_slice name;
	uint8_t *p;

	if (!c->host->row_bytes(key, KEY_NAME, &name) || name.size == 0)
		return c->host->fail(err, STATOR_EXTENSION_FAILED,
				     "the key has no Name");
	if (!c->host->row_int(key, KEY_WSID, wsid))
		*wsid = run->wsid;
	p = c->host->run_alloc(run, 8 + name.size);
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)((uint64_t)*wsid >> (56 - 8 * i));
	memcpy(p + 8, name.data, name.size);
	out->data = p;
	out->size = 8 + name.size;
	return STATOR_OK;
}

static int32_t
load(const counter *c, const stator_run *run, int64_t wsid, stator_slice key,
     int64_t *value, stator_error *err)
{
	stator_slice bytes;
	int32_t code = c->store->get(run, wsid, key, &bytes, err);

	*value = 0;
	if (code == STATOR_OK && bytes.size == sizeof(*value))
		memcpy(value, bytes.data, sizeof(*value));
	return code;
}

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const counter *c = self;
	struct stator_builder *b;
	int64_t wsid, n;
	stator_slice at;
	int32_t code = key_of(c, run, key, &wsid, &at, err);

	if (code == STATOR_OK)
		code = load(c, run, wsid, at, &n, err);
	if (code != STATOR_OK)
		return code;
	b = c->host->row_begin(run, use->value);
	code = c->host->put_int(b, VALUE, n, err);
	return code ? code : c->host->row_end(b, value, err);
}

static int32_t
validate(void *self, const stator_run *run, const stator_intent *items,
	 size_t count, stator_error *err)
{
	const counter *c = self;

	for (size_t i = 0; i < count; i++) {
		int64_t wsid;
		stator_slice at;

		if (key_of(c, run, items[i].key, &wsid, &at, err))
			return err->code;
	}
	return STATOR_OK;
}

static int32_t
add(const counter *c, const stator_run *run, const stator_intent *item,
    stator_error *err)
{
	int64_t wsid, n, by = 1;
	stator_slice at, bytes;
	int32_t code = key_of(c, run, item->key, &wsid, &at, err);

	if (code == STATOR_OK)
		code = load(c, run, wsid, at, &n, err);
	if (code < 0)
		return code;
	c->host->row_int(item->value, ADD, &by);
	n = (int64_t)((uint64_t)n + (uint64_t)by);
	bytes.data = &n;
	bytes.size = sizeof(n);
	return c->store->put(run, wsid, at, bytes, err);
}

static int32_t
apply(void *self, const stator_run *run, const stator_intent *items,
      size_t count, stator_error *err)
{
	int32_t code = STATOR_OK;

	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		code = add(self, run, &items[i], err);
	return code;
}

static int32_t
init(const stator_host_api *host, const stator_row *configs, void **plugin,
     stator_error *err)
{
	counter *c = host->alloc(sizeof(*c));

	(void)configs;
	if (c == NULL)
		return host->fail(err, STATOR_NO_MEMORY, "out of memory");
	c->host = host;
	c->store = host->get_ext("stator.store/1");
	*plugin = c;
	return STATOR_OK;
}

static void
finit(void *plugin)
{
	((counter *)plugin)->host->free(plugin);
}

static const stator_storage storage = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Counter",
	.help = "named counters of a workspace",
	.scopes = {STATOR_EVERYONE, 0, 0,
		   STATOR_COMMANDS | STATOR_PROJECTORS | STATOR_JOBS, 0},
	.key_fields = key_fields,
	.key_field_count = 1,
	.value_fields = value_fields,
	.value_field_count = 2,
	.get = get,
	.validate = validate,
	.apply = apply,
};

static const stator_storage *const storages[] = {&storage};

const stator_plugin stator_plugin_entry = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_plugin),
	.name = "counter",
	.version = "1.0.0",
	.description = "named counters of a workspace",
	.flags = STATOR_CONCURRENT,
	.storages = storages,
	.storage_count = 1,
	.init = init,
	.finit = finit,
};
