/*
 * overlay.c: see overlay.h.
 *
 * A node of the B-tree has up to FAN items. Of each item it keeps a head: eight
 * bytes of its key, as a number that compares as they do, so that a search
 * stays inside of the node. Which eight is the node's `skip`: all keys that
 * belong into the node, those that are not there yet included, share the bytes
 * before it, because the separators around the node do. Where heads are alike,
 * keys are compared.
 *
 * An inner node's item stands for the keys from its separator to the next one;
 * the first has none. A separator is the cell that was first when the node was
 * split.
 *
 * Epochs: a view sees nodes and versions up to its epoch. What is younger than
 * the youngest view that is held is seen by none, and is changed in place.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "store/overlay.h"

enum { FAN = 64 };

struct stator_overlay_node {
	uint32_t epoch;
	uint16_t count;
	uint16_t level; /* 0: a leaf */
	uint32_t skip;
	uint64_t heads[FAN];
	stator_cell *keys[FAN];
	stator_overlay_node *children[]; /* FAN, of an inner node */
};

typedef stator_overlay_node node;
typedef stator_cell cell;
typedef stator_version version;

/* Memory ---------------------------------------------------------------- */

/* Rationale: a small first chunk, since most partitions are small. */
enum { SMALL_CHUNK = 32 << 10 };
enum { FIRST_SLOTS = 256 };

typedef struct slot {
	cell *_Atomic cell; /* NULL: free; written last */
	uint64_t hash;
} slot;

/* The hash table; one that is too small is kept until nobody reads it. */
typedef struct table {
	struct table *old;
	size_t count; /* of slots; a power of two */
	slot slots[];
} table;

/* What is known on the way down. */
typedef struct path {
	node *parent;	  /* NULL: the node is the root */
	uint32_t at;	  /* of the node in its parent */
	cell *low, *high; /* separators around the node, or NULL */
} path;

/* Where the last key went that began with such a byte: the next one often goes
 * there, too. */
typedef struct finger {
	node *leaf;	  /* NULL: nowhere yet */
	bool again;	  /* so did the one before it */
	cell *low, *high; /* separators around it, or NULL */
} finger;

enum { FINGERS = 8 };

struct stator_overlay {
	/* All that a search for one key reads. */
	uint64_t seed; /* of hashes */
	table *_Atomic table;
	char apart[STATOR_LINE];
	stator_chunks *pool;
	stator_chunk *chunks;
	char *at, *end;
	size_t bytes, count;
	uint32_t holders;
	uint32_t epoch;	     /* of what is written now */
	uint32_t view_epoch; /* what was there when it was seen last */
	bool changed;	     /* since the last view */
	stator_overlay_view *newest;
	node *root;
	finger fingers[FINGERS];
};

static void *
alloc(stator_overlay *o, size_t size)
{
	void *p;

	size = (size + 7) & ~(size_t)7;
	if (STATOR_UNLIKELY((size_t)(o->end - o->at) < size)) {
		bool small = o->chunks == NULL && size < SMALL_CHUNK / 2;
		stator_chunk *c =
			small ? stator__chunk_new(SMALL_CHUNK)
			      : stator__chunks_take(o->pool, size);

		c->next = o->chunks;
		o->chunks = c;
		o->bytes += c->size;
		o->at = (char *)(c + 1);
		o->end = (char *)c + c->size;
	}
	p = o->at;
	o->at += size;
	return p;
}

bool
stator__overlay_wants_chunk(const stator_overlay *o)
{
	return o->pool->free == NULL && o->chunks &&
	       o->chunks->size == STATOR_CHUNK &&
	       o->end - o->at < STATOR_CHUNK / 2;
}

static table *new_table(size_t count);
static void free_table(table *t);

static node *
new_node(stator_overlay *o, uint16_t level)
{
	size_t size = sizeof(node) + (level ? FAN * sizeof(node *) : 0);
	node *n = alloc(o, size);

	n->epoch = o->epoch;
	n->count = 0;
	n->level = level;
	n->skip = 0;
	return n;
}

stator_overlay *
stator__overlay_new(stator_chunks *chunks)
{
	stator_overlay *o = stator__alloc(sizeof(*o));

	o->pool = chunks;
	o->seed = chunks->seed;
	o->holders = 1;
	o->epoch = 1;
	o->root = new_node(o, 0);
	atomic_init(&o->table, new_table(chunks->slots ? chunks->slots
						       : FIRST_SLOTS));
	return o;
}

stator_overlay *
stator__overlay_hold(stator_overlay *o)
{
	o->holders++;
	return o;
}

void
stator__overlay_drop(stator_overlay *o)
{
	if (o == NULL || --o->holders)
		return;
	while (o->chunks) {
		stator_chunk *next = o->chunks->next;

		stator__chunks_give(o->pool, o->chunks);
		o->chunks = next;
	}
	free_table(o->table);
	free(o);
}

size_t
stator__overlay_bytes(const stator_overlay *o)
{
	return o->bytes - (size_t)(o->end - o->at) +
	       o->count * 2 * sizeof(slot);
}

size_t
stator__overlay_count(const stator_overlay *o)
{
	return o->count;
}

/* Views ----------------------------------------------------------------- */

void
stator__overlay_view(stator_overlay *o, stator_overlay_view *v)
{
	if (o->changed || o->view_epoch == 0) {
		o->view_epoch = o->epoch++;
		o->changed = false;
	}
	/* Leaves may be copied from now on. */
	memset(o->fingers, 0, sizeof(o->fingers));
	v->overlay = stator__overlay_hold(o);
	v->root = o->root;
	v->epoch = o->view_epoch;
	v->newer = NULL;
	v->older = o->newest;
	if (v->older)
		v->older->newer = v;
	o->newest = v;
}

void
stator__overlay_view_end(stator_overlay_view *v)
{
	stator_overlay *o = v->overlay;

	if (o == NULL)
		return;
	if (v->older)
		v->older->newer = v->newer;
	if (v->newer)
		v->newer->older = v->older;
	else
		o->newest = v->older;
	v->overlay = NULL;
	stator__overlay_drop(o);
}

stator_overlay_view
stator__overlay_now(stator_overlay *o)
{
	stator_overlay_view v = {o, o->root, UINT32_MAX, NULL, NULL};

	return v;
}

/* What a view of this epoch sees of a cell. */
static const version *
seen(const cell *c, uint32_t epoch)
{
	const version *v = atomic_load_explicit(&c->newest,
						memory_order_acquire);

	while (v && v->epoch > epoch)
		v = v->older;
	return v;
}

/* The hash table -------------------------------------------------------- */

uint64_t
stator__overlay_hash(const stator_overlay *o, stator_slice key)
{
	return stator__hash64(key, o->seed);
}

static cell *
cell_at(const slot *s)
{
	return atomic_load_explicit(&s->cell, memory_order_acquire);
}

static void
put_cell(slot *s, cell *c, uint64_t hash)
{
	s->hash = hash;
	atomic_store_explicit(&s->cell, c, memory_order_release);
}

/* Its slot, or the free one where it belongs; and its cell, or NULL. To a
 * reader only the cell says something: the slot may not be free any more. */
static slot *
slot_of(table *t, stator_slice key, uint64_t hash, cell **found)
{
	size_t mask = t->count - 1, at = hash & mask;

	for (;; at = (at + 1) & mask) {
		slot *s = &t->slots[at];
		cell *c = cell_at(s);

		*found = c;
		if (c == NULL)
			return s;
		if (s->hash == hash && c->key_size == key.size &&
		    memcmp(c->key, key.data, key.size) == 0)
			return s;
	}
}

static size_t
table_size(size_t count)
{
	return sizeof(table) + count * sizeof(slot);
}

static table *
new_table(size_t count)
{
	size_t size = table_size(count);
	table *t;

	if (size < STATOR_CHUNK) {
		t = stator__alloc(size);
		t->count = count;
		return t;
	}
	t = mmap(NULL, size, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t == MAP_FAILED)
		t = stator__alloc(SIZE_MAX); /* says so and ends */
	madvise(t, size, MADV_HUGEPAGE);
	t->count = count;
	return t;
}

static void
free_table(table *t)
{
	while (t) {
		table *old = t->old;

		if (table_size(t->count) < STATOR_CHUNK)
			free(t);
		else
			munmap(t, table_size(t->count));
		t = old;
	}
}

static void
grow(stator_overlay *o)
{
	table *old = o->table, *t = new_table(old->count * 2);
	size_t mask = t->count - 1;

	for (size_t i = 0; i < old->count; i++) {
		const slot *s = &old->slots[i];
		size_t at = s->hash & mask;

		if (cell_at(s) == NULL)
			continue;
		while (cell_at(&t->slots[at]))
			at = (at + 1) & mask;
		put_cell(&t->slots[at], cell_at(s), s->hash);
	}
	t->old = old;
	atomic_store_explicit(&o->table, t, memory_order_release);
	if (t->count > o->pool->slots)
		o->pool->slots = t->count;
}

const version *
stator__overlay_get(const stator_overlay *o, stator_slice key, uint64_t hash)
{
	table *t = atomic_load_explicit(&o->table, memory_order_acquire);
	cell *c;

	slot_of(t, key, hash, &c);
	return c ? atomic_load_explicit(&c->newest, memory_order_acquire)
		 : NULL;
}

/* Searching ------------------------------------------------------------- */

static uint64_t
head_of(stator_slice key, uint32_t skip)
{
	const uint8_t *p = (const uint8_t *)key.data + skip;
	uint8_t bytes[8] = {0};

	if (key.size >= skip + 8ul)
		return stator__be64(p);
	if (key.size > skip)
		memcpy(bytes, p, key.size - skip);
	return stator__be64(bytes);
}

static int
compare(const cell *e, stator_slice key, uint32_t skip)
{
	size_t a = e->key_size - skip, b = key.size - skip;
	int order = memcmp(e->key + skip, (const uint8_t *)key.data + skip,
			   a < b ? a : b);

	return order ? order : (a > b) - (a < b);
}

/* The first item from `from` on whose head is not less. */
static uint32_t
first_head(const node *n, uint32_t from, uint64_t head)
{
	const uint64_t *heads = n->heads + from;
	uint32_t left = n->count - from;

	while (left > 1) {
		uint32_t half = left / 2;

		heads += heads[half - 1] < head ? half : 0;
		left -= half;
	}
	return (uint32_t)(heads - n->heads) + (left && *heads < head);
}

/* The first item from `from` on whose key is not less. */
static uint32_t
lower(const node *n, uint32_t from, stator_slice key)
{
	uint64_t head = head_of(key, n->skip);
	uint32_t low = first_head(n, from, head), high;

	if (low == n->count || n->heads[low] != head)
		return low;
	high = low + 1;
	if (high < n->count && n->heads[high] == head)
		high = head == UINT64_MAX ? n->count
					  : first_head(n, high, head + 1);
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (compare(n->keys[middle], key, n->skip) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
is_at(const node *n, uint32_t at, stator_slice key)
{
	const cell *e;

	if (at == n->count || n->heads[at] != head_of(key, n->skip))
		return false;
	e = n->keys[at];
	return e->key_size == key.size &&
	       memcmp(e->key + n->skip,
		      (const uint8_t *)key.data + n->skip,
		      key.size - n->skip) == 0;
}

/* Rationale: a search touches a few lines of a node one after the other; asking
 * for all of them at once makes that one wait. */
static void
fetch(const node *n)
{
	stator__prefetch(n, sizeof(*n));
}

/* The child that has the key. */
static uint32_t
child_of(const node *n, stator_slice key)
{
	uint32_t at = lower(n, 1, key);

	return is_at(n, at, key) ? at : at - 1;
}

const version *
stator__overlay_find(const stator_overlay_view *view, stator_slice key)
{
	const node *n = view->root;
	uint32_t at;

	while (n->level) {
		n = n->children[child_of(n, key)];
		fetch(n);
	}
	at = lower(n, 0, key);
	return is_at(n, at, key) ? seen(n->keys[at], view->epoch) : NULL;
}

/* Writing --------------------------------------------------------------- */

static bool
is_seen(const stator_overlay *o, uint32_t epoch)
{
	return o->newest && epoch <= o->newest->epoch;
}

/* The node at that place, in a state to be changed. */
static node *
own(stator_overlay *o, node **place)
{
	node *n = *place, *copy;

	if (!is_seen(o, n->epoch))
		return n;
	copy = new_node(o, n->level);
	copy->count = n->count;
	copy->skip = n->skip;
	memcpy(copy->heads, n->heads, n->count * sizeof(*n->heads));
	memcpy(copy->keys, n->keys, n->count * sizeof(*n->keys));
	if (n->level)
		memcpy(copy->children, n->children,
		       n->count * sizeof(*n->children));
	*place = copy;
	return copy;
}

static void
open_gap(node *n, uint32_t at)
{
	size_t after = n->count - at;

	memmove(n->heads + at + 1, n->heads + at, after * sizeof(*n->heads));
	memmove(n->keys + at + 1, n->keys + at, after * sizeof(*n->keys));
	if (n->level)
		memmove(n->children + at + 1, n->children + at,
			after * sizeof(*n->children));
	n->count++;
}

static uint32_t
common(const cell *a, const cell *b)
{
	uint32_t most = a->key_size < b->key_size ? a->key_size : b->key_size;
	uint32_t n = 0;

	while (n < most && a->key[n] == b->key[n])
		n++;
	return n;
}

/* Moves the heads to bytes that differ, when they have come to be alike and
 * the separators around the node allow it. */
static void
sharpen(node *n, const cell *low, const cell *high)
{
	uint32_t first = n->level ? 1 : 0, skip;

	if (low == NULL || high == NULL || n->count < first + 2u ||
	    (n->heads[first] ^ n->heads[n->count - 1]) >> 32)
		return;
	skip = common(low, high);
	if (skip <= n->skip)
		return;
	n->skip = skip;
	for (uint32_t i = first; i < n->count; i++)
		n->heads[i] = head_of(stator__cell_key(n->keys[i]), skip);
}

static void
move_half(node *to, node *from, uint32_t at)
{
	to->skip = from->skip;
	to->count = (uint16_t)(from->count - at);
	memcpy(to->heads, from->heads + at, to->count * sizeof(*to->heads));
	memcpy(to->keys, from->keys + at, to->count * sizeof(*to->keys));
	if (to->level)
		memcpy(to->children, from->children + at,
		       to->count * sizeof(*to->children));
	from->count = (uint16_t)at;
}

/* Splits a full node before item `at`; `first` is the key from which on the
 * right half has. There is room in the parent. Gives the right half. */
static node *
split(stator_overlay *o, path *p, node *n, uint32_t at, cell *first)
{
	node *right = new_node(o, n->level), *up = p->parent;

	move_half(right, n, at);
	if (up == NULL) {
		up = new_node(o, (uint16_t)(n->level + 1));
		up->count = 1;
		up->heads[0] = 0;
		up->keys[0] = NULL;
		up->children[0] = n;
		o->root = p->parent = up;
		p->at = 0;
	}
	open_gap(up, p->at + 1);
	up->heads[p->at + 1] = head_of(stator__cell_key(first), up->skip);
	up->keys[p->at + 1] = first;
	up->children[p->at + 1] = right;
	sharpen(n, p->low, first);
	sharpen(right, first, p->high);
	return right;
}

/* Goes on with the right half of a node that was split. */
static node *
go_right(path *p, node *right)
{
	p->at++;
	p->low = p->parent->keys[p->at];
	return right;
}

static node *
descend(path *p, node *n, uint32_t at)
{
	p->parent = n;
	p->at = at;
	fetch(n->children[at]);
	p->low = at ? n->keys[at] : p->low;
	p->high = at + 1 < n->count ? n->keys[at + 1] : p->high;
	return n->children[at];
}

/* The leaf for the key, to be changed; inner nodes that are full are split on
 * the way, so that there is room above. */
static node *
find_leaf(stator_overlay *o, stator_slice key, path *p)
{
	node *n = own(o, &o->root);

	*p = (path){NULL};
	while (n->level) {
		uint32_t at;

		if (n->count == FAN) {
			cell *first = n->keys[FAN / 2];
			node *right = split(o, p, n, FAN / 2, first);

			if (compare(first, key, 0) <= 0)
				n = go_right(p, right);
			else
				p->high = first;
		}
		at = child_of(n, key);
		own(o, &n->children[at]);
		n = descend(p, n, at);
	}
	return n;
}

static size_t
version_size(size_t size)
{
	return (sizeof(version) + size + 7) & ~(size_t)7;
}

static void
fill(version *v, stator_slice value, stator_change change)
{
	v->size = (uint32_t)value.size & INT32_MAX;
	v->deleted = change == STATOR_CHANGE_DELETE;
	if (value.size)
		memcpy(v->bytes, value.data, value.size);
}

static version *
begin_version(stator_overlay *o, version *v, version *older)
{
	v->older = older;
	v->epoch = o->epoch;
	return v;
}

/* Whether a value of that size can take the place of the version's. */
static bool
has_room(const version *v, size_t size)
{
	return version_size(v->size) >= version_size(size);
}

/* A cell with its first version right behind it. */
static cell *
new_cell(stator_overlay *o, stator_slice key, stator_slice value,
	 stator_change change)
{
	size_t size = (sizeof(cell) + key.size + 7) & ~(size_t)7;
	cell *c = alloc(o, size + version_size(value.size));
	version *v = (version *)((char *)c + size);

	c->key_size = (uint32_t)key.size;
	memcpy(c->key, key.data, key.size);
	fill(begin_version(o, v, NULL), value, change);
	atomic_init(&c->newest, v);
	return c;
}

static void
change_cell(stator_overlay *o, cell *c, stator_slice value,
	    stator_change change)
{
	version *v = atomic_load_explicit(&c->newest, memory_order_relaxed);

	if (!is_seen(o, v->epoch) && has_room(v, value.size)) {
		fill(v, value, change);
		return;
	}
	v = begin_version(o, alloc(o, version_size(value.size)),
			  is_seen(o, v->epoch) ? v : v->older);
	fill(v, value, change);
	atomic_store_explicit(&c->newest, v, memory_order_release);
}

static finger *
finger_of(stator_overlay *o, stator_slice key)
{
	uint8_t first = key.size ? *(const uint8_t *)key.data : 0;

	return &o->fingers[first % FINGERS];
}

/* Whether the key goes into that leaf, and there is room. Rationale: to look at
 * separators takes as long as half of a way down, so it must be likely. */
static bool
is_near(const stator_overlay *o, const finger *f, stator_slice key)
{
	return f->leaf && f->again && f->leaf->count < FAN &&
	       !is_seen(o, f->leaf->epoch) &&
	       (f->low == NULL || compare(f->low, key, 0) <= 0) &&
	       (f->high == NULL || compare(f->high, key, 0) > 0);
}

static void
forget_leaf(stator_overlay *o, const node *leaf)
{
	for (size_t i = 0; i < FINGERS; i++)
		if (o->fingers[i].leaf == leaf)
			o->fingers[i].leaf = NULL;
}

/* Splits the full leaf where a key goes to `at`; gives the half that it goes
 * into, and its place there. */
static node *
split_leaf(stator_overlay *o, path *p, node *n, cell *c, uint32_t *at)
{
	/* Keys that only grow leave full nodes behind. */
	uint32_t half = *at == FAN ? FAN : FAN / 2;
	cell *first = half == FAN ? c : n->keys[half];
	node *right = split(o, p, n, half, first);

	forget_leaf(o, n);
	if (*at <= half && half < FAN) {
		p->high = first;
		return n;
	}
	*at -= half;
	return go_right(p, right);
}

static void
insert(stator_overlay *o, cell *c)
{
	stator_slice key = stator__cell_key(c);
	finger *f = finger_of(o, key);
	node *n = f->leaf;
	uint32_t at;
	path p;

	if (is_near(o, f, key)) {
		at = lower(n, 0, key);
	} else {
		n = find_leaf(o, key, &p);
		at = lower(n, 0, key);
		if (n->count == FAN)
			n = split_leaf(o, &p, n, c, &at);
		*f = (finger){n, f->leaf == n, p.low, p.high};
	}
	open_gap(n, at);
	n->heads[at] = head_of(key, n->skip);
	n->keys[at] = c;
}

static void
write_one(stator_overlay *o, const stator_write *w)
{
	table *t = o->table;
	cell *c;
	slot *s = slot_of(t, w->key, w->hash, &c);

	if (c) {
		change_cell(o, c, w->value, w->change);
		return;
	}
	c = new_cell(o, w->key, w->value, w->change);
	put_cell(s, c, w->hash);
	insert(o, c);
	if (++o->count * 4 > t->count * 3)
		grow(o);
}

/* Rationale: most of a write is waiting for its slot and its cell. They are
 * asked for while those before it are written. */
enum { SLOT_AHEAD = 16, CELL_AHEAD = 8 };

static slot *
first_slot(const stator_overlay *o, uint64_t hash)
{
	table *t = o->table;

	return &t->slots[hash & (t->count - 1)];
}

static void
fetch_slot(const stator_overlay *o, stator_write *w)
{
	w->hash = stator__overlay_hash(o, w->key);
	__builtin_prefetch(first_slot(o, w->hash));
}

/* The cell, and its first version behind it. */
static void
fetch_near(const cell *c)
{
	stator__prefetch(c, 2 * STATOR_LINE);
}

static void
fetch_cell(const stator_overlay *o, uint64_t hash)
{
	const slot *s = first_slot(o, hash);
	const cell *c = cell_at(s);

	if (c && s->hash == hash)
		fetch_near(c);
}

void
stator__overlay_expect(const stator_overlay *o, uint64_t hash, bool again)
{
	if (again)
		fetch_cell(o, hash);
	else
		__builtin_prefetch(first_slot(o, hash));
}

void
stator__overlay_write(stator_overlay *o, stator_write *writes, size_t count)
{
	o->changed |= count > 0;
	for (size_t i = 0; i < count && i < SLOT_AHEAD; i++)
		fetch_slot(o, &writes[i]);
	for (size_t i = 0; i < count; i++) {
		if (i + SLOT_AHEAD < count)
			fetch_slot(o, &writes[i + SLOT_AHEAD]);
		if (i + CELL_AHEAD < count)
			fetch_cell(o, writes[i + CELL_AHEAD].hash);
		write_one(o, &writes[i]);
	}
}

/* Ranges ---------------------------------------------------------------- */

static void
settle(stator_overlay_cursor *c, const node *n, uint32_t at)
{
	c->nodes[0] = n;
	c->at[0] = at;
	c->cell = n->keys[at];
	c->version = seen(c->cell, c->epoch);
}

/* To the next leaf, or the previous one. */
static void
turn(stator_overlay_cursor *c, bool reverse)
{
	uint32_t level = 1;
	const node *n;

	while (c->nodes[level] &&
	       c->at[level] == (reverse ? 0u : c->nodes[level]->count - 1u))
		level++;
	n = c->nodes[level];
	if (n == NULL) {
		c->cell = NULL;
		return;
	}
	c->at[level] += reverse ? UINT32_MAX : 1;
	while (level > 0) {
		n = n->children[c->at[level]];
		level--;
		c->nodes[level] = n;
		c->at[level] = reverse ? n->count - 1u : 0;
	}
	settle(c, n, c->at[0]);
}

/* Rationale: cells lie in the order of their making, so each one is waited for
 * unless it was asked for some steps before. */
enum { STEPS_AHEAD = 4 };

void
stator__overlay_step(stator_overlay_cursor *c, bool reverse)
{
	const node *n = c->nodes[0];
	uint32_t at = c->at[0];

	if (!reverse && at + STEPS_AHEAD < n->count)
		fetch_near(n->keys[at + STEPS_AHEAD]);
	if (reverse && at > 0)
		settle(c, n, at - 1);
	else if (!reverse && at + 1 < n->count)
		settle(c, n, at + 1);
	else
		turn(c, reverse);
}

static const node *
go_down(stator_overlay_cursor *c, const stator_overlay_view *view,
	stator_slice key, bool last)
{
	const node *n = view->root;

	c->epoch = view->epoch;
	c->nodes[n->level + 1] = NULL;
	while (n->level) {
		uint32_t at = last ? n->count - 1u : child_of(n, key);

		c->nodes[n->level] = n;
		c->at[n->level] = at;
		n = n->children[at];
	}
	c->nodes[0] = n;
	return n;
}

void
stator__overlay_seek(stator_overlay_cursor *c, const stator_overlay_view *view,
		     stator_slice key)
{
	const node *n = go_down(c, view, key, false);
	uint32_t at = lower(n, 0, key);

	if (at < n->count) {
		settle(c, n, at);
		return;
	}
	turn(c, false);
}

void
stator__overlay_seek_before(stator_overlay_cursor *c,
			    const stator_overlay_view *view, stator_slice key)
{
	const node *n = go_down(c, view, key, key.size == 0);
	uint32_t at = key.size ? lower(n, 0, key) : n->count;

	if (at > 0) {
		settle(c, n, at - 1);
		return;
	}
	c->at[0] = 0;
	turn(c, true);
}
