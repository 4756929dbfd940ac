/*
 * sys.c: the plugin that the built-in storages make up, and the keys that they
 * share.
 */
#include <string.h>

#include "storage/storage.h"

static inline void
put_big_endian(uint8_t *out, uint64_t v, size_t width)
{
	uint8_t bytes[8] = {(uint8_t)(v >> 56), (uint8_t)(v >> 48),
			    (uint8_t)(v >> 40), (uint8_t)(v >> 32),
			    (uint8_t)(v >> 24), (uint8_t)(v >> 16),
			    (uint8_t)(v >> 8),	(uint8_t)v};

	memcpy(out, bytes + sizeof(bytes) - width, width);
}

int64_t
stator__key_wsid(const sys_plugin *sys, const stator_run *run,
		 const stator_row *key)
{
	int64_t wsid;

	return sys->host->row_int(key, 0, &wsid) ? wsid : run->wsid;
}

stator_slice
stator__record_key(uint8_t *out, int64_t wsid, int64_t id)
{
	stator_slice key = {out, STATOR_RECORD_KEY};

	out[0] = RECORD_LETTER;
	put_big_endian(out + 1, (uint64_t)wsid, 8);
	put_big_endian(out + 9, (uint64_t)id, 8);
	return key;
}

stator_slice
stator__view_key(uint8_t *out, uint32_t view, int64_t wsid)
{
	stator_slice key = {out, STATOR_VIEW_KEY};

	out[0] = VIEW_LETTER;
	put_big_endian(out + 1, view, 4);
	put_big_endian(out + 5, (uint64_t)wsid, 8);
	return key;
}

enum { UNIQUE_PREFIX = 14 };

/* The bytes of one field, so that equal values and no others are equal. */
static int
unique_value(const sys_plugin *sys, const stator_row *row, uint32_t field,
	     uint8_t *number, stator_slice *value)
{
	int64_t n;
	double d;

	if (sys->host->row_bytes(row, field, value))
		return 1;
	value->data = number;
	value->size = 8;
	if (sys->host->row_int(row, field, &n)) {
		put_big_endian(number, (uint64_t)n, 8);
		return 1;
	}
	if (sys->host->row_float(row, field, &d)) {
		memcpy(number, &d, 8);
		return 1;
	}
	return 0;
}

int32_t
stator__unique_key(const sys_plugin *sys, const stator_run *run,
		   const stator_type *table, uint32_t unique, int64_t wsid,
		   const stator_row *row, int shift, stator_slice *key)
{
	const stator_unique *u = &table->uniques[unique];
	size_t most = UNIQUE_PREFIX + row->size + 12ul * u->count;
	uint8_t *start = sys->host->run_alloc(run, most), *p = start;

	*p++ = UNIQUE_LETTER;
	put_big_endian(p, table->id, 4);
	p[4] = (uint8_t)unique;
	put_big_endian(p + 5, (uint64_t)wsid, 8);
	p += 13;
	for (uint32_t i = 0; i < u->count; i++) {
		uint32_t field = (uint32_t)((int)u->fields[i] + shift);
		uint8_t number[8];
		stator_slice value;

		if (!unique_value(sys, row, field, number, &value))
			return STATOR_NONE;
		put_big_endian(p, value.size, 4);
		if (value.size)
			memcpy(p + 4, value.data, value.size);
		p += 4 + value.size;
	}
	key->data = start;
	key->size = (size_t)(p - start);
	return STATOR_OK;
}

static int32_t
init(const stator_host_api *host, const stator_row *configs, void **plugin,
     stator_error *err)
{
	sys_plugin *sys = host->alloc(sizeof(*sys));
	int32_t code;

	if (sys == NULL)
		return host->fail(err, STATOR_NO_MEMORY, "out of memory");
	sys->host = host;
	sys->store = host->get_ext("stator.store/1");
	sys->context = host->get_ext("stator.context/1");
	sys->request = host->get_ext("stator.request/1");
	sys->configs = configs;
	code = stator__ephemeral_check(sys, err);
	if (code)
		host->free(sys);
	else
		*plugin = sys;
	return code;
}

static int32_t
attach(void *plugin, uint32_t partition, void *previous, void **self,
       stator_error *err)
{
	const sys_plugin *sys = plugin;
	const sys_instance *before = previous;
	sys_instance *in = sys->host->alloc(sizeof(*in));

	(void)partition;
	if (in) {
		in->sys = *sys;
		in->ephemeral = stator__ephemeral_open(
			sys, before ? before->ephemeral : NULL);
	}
	if (in && in->ephemeral) {
		*self = in;
		return STATOR_OK;
	}
	sys->host->free(in);
	return sys->host->fail(err, STATOR_NO_MEMORY, "out of memory");
}

static void
detach(void *self)
{
	sys_instance *in = self;

	stator__ephemeral_close(in->ephemeral);
	in->sys.host->free(in);
}

static void
finit(void *plugin)
{
	((sys_plugin *)plugin)->host->free(plugin);
}

static const stator_storage *const storages[SYS_COUNT] = {
	[SYS_RECORD] = &stator__storage_record,
	[SYS_VIEW] = &stator__storage_view,
	[SYS_UNIQ] = &stator__storage_uniq,
	[SYS_WLOG] = &stator__storage_wlog,
	[SYS_EVENT] = &stator__storage_event,
	[SYS_COMMAND_CONTEXT] = &stator__storage_command_context,
	[SYS_QUERY_CONTEXT] = &stator__storage_query_context,
	[SYS_RESULT] = &stator__storage_result,
	[SYS_RESPONSE] = &stator__storage_response,
	[SYS_LOGGER] = &stator__storage_logger,
	[SYS_APP_SECRET] = &stator__storage_app_secret,
	[SYS_EPHEMERAL] = &stator__storage_ephemeral,
	[SYS_JOB_CONTEXT] = &stator__storage_job_context,
	[SYS_REQUEST_SUBJECT] = &stator__storage_request_subject,
};

const stator_plugin stator__sys_plugin = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_plugin),
	.name = "sys",
	.version = "1.0.0",
	.description = "the storages that come with Stator",
	.flags = STATOR_CONCURRENT,
	.storages = storages,
	.storage_count = SYS_COUNT,
	.init = init,
	.attach = attach,
	.detach = detach,
	.finit = finit,
};
