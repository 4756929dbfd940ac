/*
 * uniq.c: sys.Uniq, the record that has given values in the fields of a
 * unique. sys.Record keeps the index; this reads it.
 */
#include <string.h>

#include "storage/storage.h"

static const stator_field_desc value_fields[] = {
	{"ID", STATOR_REF, 1, 0, 0, NULL, "the record that has the values"},
};

/* Fields of the table stand in keys behind WSID, without the system's. */
enum { SHIFT = 1 - SYS_OWN_FIELDS };

static int
is_set(const sys_plugin *sys, const stator_row *key, uint32_t field)
{
	stator_slice s;
	int64_t n;
	double d;

	return sys->host->row_int(key, field, &n) ||
	       sys->host->row_float(key, field, &d) ||
	       sys->host->row_bytes(key, field, &s);
}

static uint32_t
count_set(const sys_plugin *sys, const stator_row *key)
{
	uint32_t count = 0;

	for (uint32_t i = 1; i < key->type->field_count; i++)
		count += is_set(sys, key, i) != 0;
	return count;
}

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	int64_t wsid = stator__key_wsid(sys, run, key), id;
	uint32_t set = count_set(sys, key);
	struct stator_builder *b;
	stator_slice at, bytes;
	int32_t code;

	for (uint32_t i = 0; i < use->table->unique_count; i++) {
		if (use->table->uniques[i].count != set ||
		    stator__unique_key(sys, run, use->table, i, wsid, key,
				       SHIFT, &at) != STATOR_OK)
			continue;
		code = sys->store->get(run, wsid, at, &bytes, err);
		if (code)
			return code;
		memcpy(&id, bytes.data, sizeof(id));
		b = sys->host->row_begin(run, use->value);
		code = sys->host->put_int(b, 0, id, err);
		return code ? code : sys->host->row_end(b, value, err);
	}
	return sys->host->fail(err, STATOR_EXTENSION_FAILED,
			       "no unique of %s has exactly the fields of "
			       "the key",
			       use->entity);
}

const stator_storage stator__storage_uniq = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Uniq",
	.help = "the record that has given values in its unique fields",
	.entity = STATOR_ENTITY_RECORD,
	.scopes = {STATOR_EVERYONE, 0, 0, 0, 0},
	.value_fields = value_fields,
	.value_field_count = 1,
	.get = get,
};
