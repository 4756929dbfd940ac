/*
 * ephemeral.c: sys.Ephemeral, values that may be lost, such as locks and
 * caches: a table in memory for each partition, whose entries have one size.
 * When it is full, what was not used for the longest time gives way.
 *
 * A table is shared by the versions of an application that serve its
 * partition: what one settles, the other sees, so nothing is lost between the
 * attaching of a new version and the end of the old one. Queries read on other
 * threads than commands write: hence the lock around everything.
 *
 * The memory of a table is allocated at the first write, all of it, and never
 * grows. Keys in a table are workspace, cache, a zero byte, key: in the order
 * in which they are read.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "storage/storage.h"

enum {
	CACHE_MOST = 64,
	KEY_MOST = 255,
	NAME_MOST = 8 + CACHE_MOST + 1 + KEY_MOST,
	ENTRY_LEAST = 128,
	ENTRY_MOST = 65536,
	PARTITION_LEAST = 65536
};
#define PARTITION_MOST 4000000000ll

static const stator_field_desc key_fields[] = {
	{"Cache", STATOR_STRING, 1, 0, CACHE_MOST, NULL,
	 "what it is for; no entry of another cache has this key"},
	{"Key", STATOR_STRING, 1, 0, KEY_MOST, NULL, "which entry"},
};

static const stator_field_desc value_fields[] = {
	{"ID", STATOR_INT64, 0, 0, 0, NULL, "of a record or a user"},
	{"At", STATOR_INT64, 0, 0, 0, NULL, "a time"},
	{"Int", STATOR_INT64, 0, 0, 0, NULL, "a whole number"},
	{"Float", STATOR_FLOAT64, 0, 0, 0, NULL, "a number"},
	{"Bool", STATOR_BOOL, 0, 0, 0, NULL, "yes or no"},
	{"Text", STATOR_STRING, 0, 0, 0, NULL, "a text"},
	{"Data", STATOR_BYTES, 0, 0, 0, NULL, "bytes"},
};

static const stator_field_desc config_fields[] = {
	{"partitionBytes", STATOR_INT64, 0, 0, 0, "5000000",
	 "memory for all entries of a partition"},
	{"entryBytes", STATOR_INT64, 0, 0, 0, "512",
	 "memory for one entry: its key, its value, and 20 bytes"},
};

enum { KEY_CACHE = 1, KEY_KEY };
enum { PARTITION_BYTES, ENTRY_BYTES };

/* Entries are known by their number, from 1; 0 is none. */
typedef struct entry {
	uint32_t next; /* in its bucket */
	uint32_t newer, older;
	uint32_t hash;
	uint16_t name_size, value_size;
	uint8_t bytes[]; /* the name, the value */
} entry;

typedef struct table {
	uint32_t *buckets; /* as many as entries; NULL: nothing was written */
	uint8_t *entries;
	uint32_t entry_bytes;
	uint32_t most, used;
	uint32_t newest, oldest;
} table;

struct ephemeral {
	const stator_host_api *host;
	pthread_mutex_t lock;
	uint32_t users; /* instances of versions */
	int64_t partition_bytes, entry_bytes;
	table table;
};

/* The name of an entry, or what the names of several begin with. */
typedef struct name {
	uint8_t bytes[NAME_MOST];
	size_t size;
} name;

/* The table --------------------------------------------------------------- */

static entry *
at(const table *t, uint32_t number)
{
	return (entry *)(void *)(t->entries +
				 (size_t)(number - 1) * t->entry_bytes);
}

static uint32_t
hash_of(const uint8_t *p, size_t size)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 0x01000193u;
	return h;
}

static int
table_open(const stator_host_api *host, table *t, int64_t bytes,
	   int64_t entry_bytes)
{
	memset(t, 0, sizeof(*t));
	t->entry_bytes = (uint32_t)entry_bytes & ~7u;
	t->most = (uint32_t)((uint64_t)bytes /
			     (t->entry_bytes + sizeof(uint32_t)));
	t->buckets = host->alloc(t->most * sizeof(uint32_t));
	t->entries = host->alloc((size_t)t->most * t->entry_bytes);
	if (t->buckets && t->entries)
		return 1;
	host->free(t->buckets);
	host->free(t->entries);
	t->buckets = NULL;
	return 0;
}

static void
table_close(const stator_host_api *host, table *t)
{
	if (t->buckets == NULL)
		return;
	host->free(t->buckets);
	host->free(t->entries);
	t->buckets = NULL;
}

static uint32_t
find(const table *t, uint32_t hash, const uint8_t *bytes, size_t size)
{
	uint32_t n = t->buckets ? t->buckets[hash % t->most] : 0;

	for (; n; n = at(t, n)->next) {
		const entry *e = at(t, n);

		if (e->hash == hash && e->name_size == size &&
		    memcmp(e->bytes, bytes, size) == 0)
			return n;
	}
	return 0;
}

static void
unlink_use(table *t, uint32_t n)
{
	entry *e = at(t, n);

	if (e->newer)
		at(t, e->newer)->older = e->older;
	else
		t->newest = e->older;
	if (e->older)
		at(t, e->older)->newer = e->newer;
	else
		t->oldest = e->newer;
}

static void
link_newest(table *t, uint32_t n)
{
	entry *e = at(t, n);

	e->newer = 0;
	e->older = t->newest;
	if (t->newest)
		at(t, t->newest)->newer = n;
	else
		t->oldest = n;
	t->newest = n;
}

/* An entry that is free: the next one, or that which is used the least. */
static uint32_t
take_entry(table *t)
{
	uint32_t n = t->oldest, *link;

	if (t->used < t->most)
		return ++t->used;
	unlink_use(t, n);
	link = &t->buckets[at(t, n)->hash % t->most];
	while (*link != n)
		link = &at(t, *link)->next;
	*link = at(t, n)->next;
	return n;
}

static size_t
room_for(size_t name_size, size_t value_size)
{
	return offsetof(entry, bytes) + name_size + value_size;
}

static void
put(table *t, const uint8_t *bytes, size_t size, stator_slice value)
{
	uint32_t hash = hash_of(bytes, size);
	uint32_t n = find(t, hash, bytes, size);
	entry *e;

	/* It was asked before; but a new version may have smaller entries. */
	if (t->buckets == NULL || room_for(size, value.size) > t->entry_bytes)
		return;
	if (n) {
		unlink_use(t, n);
	} else {
		n = take_entry(t);
		e = at(t, n);
		e->hash = hash;
		e->name_size = (uint16_t)size;
		memcpy(e->bytes, bytes, size);
		e->next = t->buckets[hash % t->most];
		t->buckets[hash % t->most] = n;
	}
	e = at(t, n);
	e->value_size = (uint16_t)value.size;
	memcpy(e->bytes + size, value.data, value.size);
	link_newest(t, n);
}

/* A new version may have other sizes: what fits goes along, and the newest
 * stay. Without memory all stays as it is. */
static void
resize(ephemeral *eph, int64_t bytes, int64_t entry_bytes)
{
	table next;

	if (eph->table.buckets) {
		if (!table_open(eph->host, &next, bytes, entry_bytes))
			return;
		for (uint32_t n = eph->table.oldest; n;) {
			const entry *e = at(&eph->table, n);
			stator_slice value = {e->bytes + e->name_size,
					      e->value_size};

			put(&next, e->bytes, e->name_size, value);
			n = e->newer;
		}
		table_close(eph->host, &eph->table);
		eph->table = next;
	}
	eph->partition_bytes = bytes;
	eph->entry_bytes = entry_bytes;
}

/* Life -------------------------------------------------------------------- */

static int64_t
config_of(const sys_plugin *sys, uint32_t field)
{
	int64_t n = 0;

	sys->host->row_int(&sys->configs[SYS_EPHEMERAL], field, &n);
	return n;
}

static int32_t
check_config(const sys_plugin *sys, uint32_t field, int64_t least,
	     int64_t most, stator_error *err)
{
	int64_t n = config_of(sys, field);

	if (n >= least && n <= most)
		return STATOR_OK;
	return sys->host->fail(err, STATOR_IMAGE,
			       "Ephemeral: config.%s: expected %lld to %lld, "
			       "found %lld",
			       config_fields[field].name, (long long)least,
			       (long long)most, (long long)n);
}

int32_t
stator__ephemeral_check(const sys_plugin *sys, stator_error *err)
{
	int32_t code = check_config(sys, PARTITION_BYTES, PARTITION_LEAST,
				    PARTITION_MOST, err);

	return code ? code : check_config(sys, ENTRY_BYTES, ENTRY_LEAST,
					  ENTRY_MOST, err);
}

ephemeral *
stator__ephemeral_open(const sys_plugin *sys, ephemeral *before)
{
	int64_t bytes = config_of(sys, PARTITION_BYTES);
	int64_t entry_bytes = config_of(sys, ENTRY_BYTES);
	ephemeral *eph = before;

	if (eph == NULL) {
		eph = sys->host->alloc(sizeof(*eph));
		if (eph == NULL)
			return NULL;
		eph->host = sys->host;
		pthread_mutex_init(&eph->lock, NULL);
	}
	pthread_mutex_lock(&eph->lock);
	eph->users++;
	if (eph->partition_bytes != bytes || eph->entry_bytes != entry_bytes)
		resize(eph, bytes, entry_bytes);
	pthread_mutex_unlock(&eph->lock);
	return eph;
}

void
stator__ephemeral_close(ephemeral *eph)
{
	uint32_t users;

	pthread_mutex_lock(&eph->lock);
	users = --eph->users;
	pthread_mutex_unlock(&eph->lock);
	if (users)
		return;
	pthread_mutex_destroy(&eph->lock);
	table_close(eph->host, &eph->table);
	eph->host->free(eph);
}

static ephemeral *
memory_of(void *self)
{
	return ((sys_instance *)self)->ephemeral;
}

/* Names ------------------------------------------------------------------- */

static int32_t
misuse(const sys_plugin *sys, const char *text, stator_error *err)
{
	return sys->host->fail(err, STATOR_EXTENSION_FAILED, "%s", text);
}

/* A partition has a memory of its own: others cannot look into it. */
static int32_t
check_workspace(const sys_plugin *sys, const stator_run *run, int64_t wsid,
		stator_error *err)
{
	if (wsid <= 0)
		return sys->host->fail(err, STATOR_EXTENSION_FAILED,
				       "WSID: expected a workspace, found %lld",
				       (long long)wsid);
	if ((uint64_t)wsid % run->partitions == run->partition)
		return STATOR_OK;
	return sys->host->fail(
		err, STATOR_NOT_SUPPORTED,
		"workspace %lld is of partition %u, this run of partition %u: "
		"only workspaces of the same partition can be read and written",
		(long long)wsid, (unsigned)((uint64_t)wsid % run->partitions),
		run->partition);
}

static void
append(name *n, stator_slice s)
{
	if (s.size)
		memcpy(n->bytes + n->size, s.data, s.size);
	n->size += s.size;
}

/* As much of the name as the key has. */
static int32_t
begin_name(const sys_plugin *sys, const stator_run *run, const stator_row *key,
	   name *out, stator_error *err)
{
	int64_t wsid = stator__key_wsid(sys, run, key);
	int32_t code = check_workspace(sys, run, wsid, err);
	stator_slice cache, own;
	int has_cache = sys->host->row_bytes(key, KEY_CACHE, &cache);
	int has_key = sys->host->row_bytes(key, KEY_KEY, &own);

	if (code)
		return code;
	if (has_key && !has_cache)
		return misuse(sys, "the key has no Cache", err);
	for (int i = 0; i < 8; i++)
		out->bytes[i] = (uint8_t)((uint64_t)wsid >> (56 - 8 * i));
	out->size = 8;
	if (!has_cache)
		return STATOR_OK;
	if (cache.size == 0 || cache.size > CACHE_MOST ||
	    memchr(cache.data, 0, cache.size))
		return misuse(sys, "Cache: expected 1 to 64 bytes without a "
				   "zero byte",
			      err);
	append(out, cache);
	append(out, (stator_slice){"", 1});
	if (has_key && own.size > KEY_MOST)
		return misuse(sys, "Key: expected at most 255 bytes", err);
	if (has_key)
		append(out, own);
	return STATOR_OK;
}

static int32_t
whole_name(const sys_plugin *sys, const stator_run *run, const stator_row *key,
	   name *out, stator_error *err)
{
	stator_slice field;
	int32_t code = begin_name(sys, run, key, out, err);

	if (code)
		return code;
	if (!sys->host->row_bytes(key, KEY_CACHE, &field))
		return misuse(sys, "the key has no Cache", err);
	if (!sys->host->row_bytes(key, KEY_KEY, &field))
		return misuse(sys, "the key has no Key", err);
	return STATOR_OK;
}

/* Reading ----------------------------------------------------------------- */

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	ephemeral *eph = memory_of(self);
	table *t = &eph->table;
	uint32_t n;
	name id;
	int32_t code = whole_name(sys, run, key, &id, err);

	if (code)
		return code;
	pthread_mutex_lock(&eph->lock);
	n = find(t, hash_of(id.bytes, id.size), id.bytes, id.size);
	code = STATOR_NONE;
	if (n) {
		const entry *e = at(t, n);
		stator_slice bytes = {e->bytes + e->name_size, e->value_size};

		unlink_use(t, n);
		link_newest(t, n);
		code = sys->host->row_load(run, use->value, bytes, value, err);
	}
	pthread_mutex_unlock(&eph->lock);
	return code;
}

/* A copy of an entry, in memory of the run. */
typedef struct found {
	stator_slice name, value;
} found;

typedef struct cursor {
	stator_cursor base;
	const sys_plugin *sys;
	const stator_run *run;
	const stator_use *use;
	found *all;
	size_t count, next;
	int reverse;
} cursor;

static int32_t
make_key(const cursor *c, stator_slice id, stator_row *key, stator_error *err)
{
	const stator_host_api *host = c->sys->host;
	struct stator_builder *b = host->row_begin(c->run, c->use->key);
	const uint8_t *p = id.data;
	uint64_t wsid = 0;
	stator_slice cache = {p + 8, strlen((const char *)p + 8)};
	stator_slice own = {p + 9 + cache.size, id.size - 9 - cache.size};
	int32_t code;

	for (int i = 0; i < 8; i++)
		wsid = wsid << 8 | p[i];
	code = host->put_int(b, 0, (int64_t)wsid, err);
	if (code == STATOR_OK)
		code = host->put_bytes(b, KEY_CACHE, cache, err);
	if (code == STATOR_OK)
		code = host->put_bytes(b, KEY_KEY, own, err);
	return code ? code : host->row_end(b, key, err);
}

static int32_t
next(stator_cursor *base, stator_row *key, stator_row *value,
     stator_error *err)
{
	cursor *c = (cursor *)(void *)base;
	const found *f;
	int32_t code;

	if (c->next == c->count)
		return STATOR_NONE;
	f = &c->all[c->reverse ? c->count - 1 - c->next : c->next];
	c->next++;
	code = make_key(c, f->name, key, err);
	return code ? code : c->sys->host->row_load(c->run, c->use->value,
						    f->value, value, err);
}

static void
release(stator_cursor *base)
{
	(void)base; /* It is of the run's memory. */
}

static int
compare(const void *a, const void *b)
{
	const stator_slice *x = &((const found *)a)->name;
	const stator_slice *y = &((const found *)b)->name;
	size_t least = x->size < y->size ? x->size : y->size;
	int order = memcmp(x->data, y->data, least);

	return order ? order : (x->size > y->size) - (x->size < y->size);
}

static int
begins_with(const entry *e, const name *start)
{
	return e->name_size >= start->size &&
	       memcmp(e->bytes, start->bytes, start->size) == 0;
}

static void
keep_found(cursor *c, const entry *e)
{
	size_t size = (size_t)e->name_size + e->value_size;
	uint8_t *copy = c->sys->host->run_alloc(c->run, size);

	memcpy(copy, e->bytes, size);
	c->all[c->count++] = (found){{copy, e->name_size},
				     {copy + e->name_size, e->value_size}};
}

/* All entries are looked at: a table is small, and in memory. */
static void
collect(cursor *c, ephemeral *eph, const name *start)
{
	const table *t = &eph->table;
	size_t count = 0;

	pthread_mutex_lock(&eph->lock);
	for (uint32_t n = 1; n <= t->used; n++)
		count += (size_t)begins_with(at(t, n), start);
	c->all = c->sys->host->run_alloc(c->run, count * sizeof(*c->all));
	for (uint32_t n = 1; n <= t->used; n++)
		if (begins_with(at(t, n), start))
			keep_found(c, at(t, n));
	pthread_mutex_unlock(&eph->lock);
	if (c->count)
		qsort(c->all, c->count, sizeof(*c->all), compare);
}

static int32_t
read(void *self, const stator_run *run, const stator_use *use,
     const stator_row *key, const stator_read_opts *opts,
     stator_cursor **out, stator_error *err)
{
	const sys_plugin *sys = self;
	cursor *c = sys->host->run_alloc(run, sizeof(*c));
	name start;
	int32_t code = begin_name(sys, run, key, &start, err);

	if (code)
		return code;
	c->base.next = next;
	c->base.release = release;
	c->sys = sys;
	c->run = run;
	c->use = use;
	c->reverse = opts->reverse != 0;
	collect(c, memory_of(self), &start);
	if (opts->limit && opts->limit < c->count) {
		/* The first ones, or the last. */
		if (c->reverse)
			c->all += c->count - opts->limit;
		c->count = opts->limit;
	}
	*out = &c->base;
	return STATOR_OK;
}

/* Writing ----------------------------------------------------------------- */

/* Tells what an entry has room for. */
static int32_t
make_table(const sys_plugin *sys, ephemeral *eph, uint32_t *entry_bytes,
	   stator_error *err)
{
	int made = 1;

	pthread_mutex_lock(&eph->lock);
	if (eph->table.buckets == NULL)
		made = table_open(sys->host, &eph->table, eph->partition_bytes,
				  eph->entry_bytes);
	*entry_bytes = eph->table.entry_bytes;
	pthread_mutex_unlock(&eph->lock);
	return made ? STATOR_OK
		    : sys->host->fail(err, STATOR_NO_MEMORY, "out of memory");
}

/* What is needed is made here, for `settle` cannot say no. */
static int32_t
validate(void *self, const stator_run *run, const stator_intent *items,
	 size_t count, stator_error *err)
{
	const sys_plugin *sys = self;
	uint32_t most;
	int32_t code = make_table(sys, memory_of(self), &most, err);

	for (size_t i = 0; i < count && code == STATOR_OK; i++) {
		size_t room;
		name id;

		code = whole_name(sys, run, items[i].key, &id, err);
		if (code)
			return code;
		room = room_for(id.size, items[i].value->size);
		if (room > most)
			code = sys->host->fail(
				err, STATOR_EXTENSION_FAILED,
				"key and value need %zu bytes, an entry has "
				"%u (entryBytes)",
				room, most);
	}
	return code;
}

static void
settle(void *self, const stator_run *run, const stator_intent *items,
       size_t count)
{
	const sys_plugin *sys = self;
	ephemeral *eph = memory_of(self);

	pthread_mutex_lock(&eph->lock);
	for (size_t i = 0; i < count; i++) {
		stator_slice value = {items[i].value->data,
				      items[i].value->size};
		stator_error err;
		name id;

		if (whole_name(sys, run, items[i].key, &id, &err) == STATOR_OK)
			put(&eph->table, id.bytes, id.size, value);
	}
	pthread_mutex_unlock(&eph->lock);
}

const stator_storage stator__storage_ephemeral = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Ephemeral",
	.help = "values in memory that may be lost, such as locks and caches",
	.scopes = {STATOR_EVERYONE, STATOR_EVERYONE,
		   STATOR_QUERIES | STATOR_PROJECTORS | STATOR_JOBS,
		   STATOR_COMMANDS | STATOR_PROJECTORS | STATOR_JOBS,
		   STATOR_COMMANDS | STATOR_PROJECTORS | STATOR_JOBS},
	.key_fields = key_fields,
	.key_field_count = sizeof(key_fields) / sizeof(key_fields[0]),
	.value_fields = value_fields,
	.value_field_count = sizeof(value_fields) / sizeof(value_fields[0]),
	.config_fields = config_fields,
	.config_field_count = sizeof(config_fields) / sizeof(config_fields[0]),
	.get = get,
	.read = read,
	.validate = validate,
	.settle = settle,
};
