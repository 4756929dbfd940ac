/*
 * record.c: sys.Record, documents and records by their ID, and the index of
 * their uniques.
 */
#include <string.h>

#include "storage/storage.h"

static const stator_field_desc key_fields[] = {
	{"ID", STATOR_REF, 0, 0, 0, NULL, "the record"},
	{"IsSingleton", STATOR_BOOL, 0, 0, 0, NULL,
	 "the one record of a table that inherits a singleton"},
	{"Singleton", STATOR_QNAME, 0, 0, 0, NULL,
	 "the same, said by the name of the table"},
};

enum { KEY_ID = 1, KEY_IS_SINGLETON, KEY_SINGLETON, KEY_FIELDS = 3 };

static uint32_t
type_of(stator_slice bytes)
{
	uint32_t id;

	memcpy(&id, bytes.data, sizeof(id));
	return id;
}

/* The stored row of a record, whatever its table is. */
static int32_t
load(const sys_plugin *sys, const stator_run *run, int64_t wsid, int64_t id,
     stator_slice *bytes, stator_error *err)
{
	uint8_t key[STATOR_RECORD_KEY];

	return sys->store->get(run, wsid, stator__record_key(key, wsid, id),
			       bytes, err);
}

/* Whether the key asks for the singleton of its table: 1, 0 or an error. */
static int32_t
wants_singleton(const sys_plugin *sys, const stator_use *use,
		const stator_row *key, stator_error *err)
{
	stator_slice table;
	int64_t wants = 0, id;

	sys->host->row_int(key, KEY_IS_SINGLETON, &wants);
	if (sys->host->row_bytes(key, KEY_SINGLETON, &table)) {
		if (table.size != strlen(use->entity) ||
		    memcmp(table.data, use->entity, table.size) != 0)
			return sys->host->fail(err, STATOR_EXTENSION_FAILED,
					       "Singleton: expected %s, the "
					       "table of the key, found %.*s",
					       use->entity, (int)table.size,
					       (const char *)table.data);
		wants = 1;
	}
	if (wants && sys->host->row_int(key, KEY_ID, &id))
		return sys->host->fail(err, STATOR_EXTENSION_FAILED,
				       "the key has an ID and asks for the "
				       "singleton: leave out one of them");
	return (int32_t)wants;
}

/* The ID of the one record of a table: OK, NONE or an error. */
static int32_t
find_singleton(const sys_plugin *sys, const stator_run *run,
	       const stator_use *use, int64_t wsid, int64_t *id,
	       stator_error *err)
{
	const stator_type *table = use->table;
	stator_row none = {.type = table};
	stator_slice at, bytes;
	int32_t code;

	for (uint32_t i = 0; i < table->unique_count; i++) {
		if (table->uniques[i].count)
			continue;
		stator__unique_key(sys, run, table, i, wsid, &none, 0, &at);
		code = sys->store->get(run, wsid, at, &bytes, err);
		if (code == STATOR_OK)
			memcpy(id, bytes.data, sizeof(*id));
		return code;
	}
	return sys->host->fail(err, STATOR_EXTENSION_FAILED,
			       "%s is no singleton: it inherits neither "
			       "sys.CSingleton nor sys.WSingleton",
			       table->name);
}

/* The ID that the key means: OK, NONE or an error. */
static int32_t
find_id(const sys_plugin *sys, const stator_run *run, const stator_use *use,
	const stator_row *key, int64_t *id, stator_error *err)
{
	int32_t singleton;

	singleton = wants_singleton(sys, use, key, err);
	if (singleton < 0)
		return singleton;
	if (singleton)
		return find_singleton(sys, run, use,
				      stator__key_wsid(sys, run, key), id, err);
	if (sys->host->row_int(key, KEY_ID, id))
		return STATOR_OK;
	return sys->host->fail(err, STATOR_EXTENSION_FAILED,
			       "the key has no ID");
}

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	stator_slice bytes;
	int64_t id;
	int32_t code = find_id(sys, run, use, key, &id, err);

	if (code)
		return code;
	code = load(sys, run, stator__key_wsid(sys, run, key), id, &bytes, err);
	if (code)
		return code;
	/* Another table's record is not a record of this one. */
	if (type_of(bytes) != use->entity_id)
		return STATOR_NONE;
	value->data = bytes.data;
	value->size = (uint32_t)bytes.size;
	value->type = use->value;
	return STATOR_OK;
}

/* Whether the row holds its values. A singleton is there once, whether it is
 * active or not. */
static int
holds(const sys_plugin *sys, const stator_row *row, uint32_t unique)
{
	int64_t active;

	return row->type->uniques[unique].count == 0 ||
	       !sys->host->row_int(row, SYS_IS_ACTIVE, &active) || active;
}

/* "Name, Number", for messages. */
static void
describe(const stator_type *type, const stator_unique *u, char *out,
	 size_t size)
{
	size_t used = 0;

	out[0] = 0;
	for (uint32_t i = 0; i < u->count; i++) {
		const char *name = type->fields[u->fields[i]].name;
		size_t n = strlen(name);

		if (used + n + 3 > size)
			return;
		if (i) {
			memcpy(out + used, ", ", 2);
			used += 2;
		}
		memcpy(out + used, name, n + 1);
		used += n;
	}
}

static int32_t
take_unique(const sys_plugin *sys, const stator_run *run,
	    const stator_type *type, uint32_t unique, int64_t wsid,
	    stator_slice key, int64_t id, stator_error *err)
{
	stator_slice holder, value = {&id, sizeof(id)};
	int32_t code = sys->store->get(run, wsid, key, &holder, err);
	char names[200];
	int64_t other;

	if (code < 0)
		return code;
	if (code == STATOR_OK) {
		memcpy(&other, holder.data, sizeof(other));
		describe(type, &type->uniques[unique], names, sizeof(names));
		if (other != id && type->uniques[unique].count == 0)
			return sys->host->fail(
				err, STATOR_UNIQUE,
				"%s is a singleton, and record %lld is there",
				type->name, (long long)other);
		if (other != id)
			return sys->host->fail(
				err, STATOR_UNIQUE,
				"%s: %s is unique and taken by record %lld",
				type->name, names, (long long)other);
	}
	return sys->store->put(run, wsid, key, value, err);
}

/* Frees what the old row held and takes what the new one wants. */
static int32_t
index_uniques(const sys_plugin *sys, const stator_run *run, int64_t wsid,
	      int64_t id, const stator_row *old, const stator_row *new,
	      stator_error *err)
{
	const stator_type *type = new->type;
	int32_t code = STATOR_OK;
	stator_slice key;

	for (uint32_t i = 0; old && i < type->unique_count && !code; i++)
		if (holds(sys, old, i) &&
		    stator__unique_key(sys, run, type, i, wsid, old, 0, &key) ==
			    STATOR_OK)
			code = sys->store->del(run, wsid, key, err);
	for (uint32_t i = 0; i < type->unique_count && !code; i++)
		if (holds(sys, new, i) &&
		    stator__unique_key(sys, run, type, i, wsid, new, 0, &key) ==
			    STATOR_OK)
			code = take_unique(sys, run, type, i, wsid, key, id,
					   err);
	return code;
}

static int32_t
apply_one(const sys_plugin *sys, const stator_run *run,
	  const stator_intent *item, stator_error *err)
{
	int64_t wsid = stator__key_wsid(sys, run, item->key), id;
	stator_slice bytes, row = {item->value->data, item->value->size};
	uint8_t key[STATOR_RECORD_KEY];
	stator_row old;
	int32_t code;

	if (!sys->host->row_int(item->value, SYS_ID, &id))
		return sys->host->fail(err, STATOR_INVALID,
				       "a record without sys.ID");
	code = load(sys, run, wsid, id, &bytes, err);
	if (code < 0)
		return code;
	old.data = bytes.data;
	old.size = (uint32_t)bytes.size;
	old.type = item->value->type;
	if (item->value->type->unique_count) {
		code = index_uniques(sys, run, wsid, id,
				     code == STATOR_OK ? &old : NULL,
				     item->value, err);
		if (code)
			return code;
	}
	return sys->store->put(run, wsid, stator__record_key(key, wsid, id),
			       row, err);
}

static int32_t
apply(void *self, const stator_run *run, const stator_intent *items,
      size_t count, stator_error *err)
{
	for (size_t i = 0; i < count; i++) {
		int32_t code = apply_one(self, run, &items[i], err);

		if (code)
			return code;
	}
	return STATOR_OK;
}

const stator_storage stator__storage_record = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Record",
	.help = "documents and records by their ID",
	.entity = STATOR_ENTITY_RECORD,
	.scopes = {STATOR_EVERYONE, STATOR_EVERYONE, 0, STATOR_COMMANDS,
		   STATOR_COMMANDS},
	.key_fields = key_fields,
	.key_field_count = KEY_FIELDS,
	.get = get,
	.apply = apply,
};
