/*
 * map.c: the map of a batch, in an arena: a hash table of its entries, and a
 * skip list that has them in order. Entries are never removed, only marked, so
 * a pointer to one is good until the map is cleared.
 *
 * Most batches are only asked for single keys: an entry takes its place in the
 * order when somebody first looks at the order.
 */
#include <stdlib.h>

#include "store/store.h"

enum { LEVELS = 16, FEWEST_SLOTS = 256 };

typedef struct undo {
	stator_map_node *node;
	stator_slice value;
	stator_change change;
} undo;

typedef struct slot {
	uint64_t hash;
	stator_map_node *node;
} slot;

/*
 * Rationale: most keys that are asked for are not there, and the slots do not
 * stay in the processor's nearest cache. The tags do: a byte of each hash.
 */
struct stator_map {
	stator_arena arena;
	uint8_t *tags; /* of slots; 0: free */
	slot *slots;   /* a power of two of them, without what is free */
	size_t slot_count;
	uint64_t seed; /* of hashes: nobody knows which keys collide */
	stator_map_node *oldest, *newest;
	stator_map_node *unordered; /* the oldest that has no place yet */
	stator_map_node *head;	    /* before the first; has no key */
	stator_map_node *last;
	uint32_t level;
	uint32_t random;
	size_t count;
	size_t bytes;
	undo *undos;
	size_t undo_count, undo_cap;
};

static stator_map_node *
new_node(stator_map *map, uint32_t level)
{
	stator_map_node *node = stator__arena_zero(
		&map->arena,
		sizeof(*node) + level * sizeof(stator_map_node *));

	node->level = level;
	return node;
}

static void
start(stator_map *map)
{
	map->head = new_node(map, LEVELS);
	map->last = map->oldest = map->newest = map->unordered = NULL;
	map->level = 1;
	map->random = 2463534242u;
	map->count = map->bytes = map->undo_count = 0;
}

static void
make_slots(stator_map *map, size_t count)
{
	map->slot_count = count;
	map->tags = stator__alloc(count);
	map->slots = stator__alloc(count * sizeof(*map->slots));
}

static void
free_slots(stator_map *map)
{
	free(map->tags);
	free(map->slots);
}

static stator_map *
new_map(uint64_t seed)
{
	stator_map *map = stator__alloc(sizeof(*map));

	map->seed = seed;
	make_slots(map, FEWEST_SLOTS);
	start(map);
	return map;
}

stator_map *
stator__map_new(void)
{
	int here;

	return new_map((uint64_t)stator__monotonic_ns() ^ (uintptr_t)&here);
}

stator_map *
stator__map_twin(const stator_map *map)
{
	return new_map(map->seed);
}

void
stator__map_free(stator_map *map)
{
	if (map == NULL)
		return;
	stator__arena_free(&map->arena);
	free_slots(map);
	free(map->undos);
	free(map);
}

/* Rationale: after a batch that was large, small ones would go all over a table
 * that is far too large for them. */
static void
clear_slots(stator_map *map)
{
	size_t count = map->slot_count;

	if (count > FEWEST_SLOTS && count / 8 > map->count) {
		free_slots(map);
		make_slots(map, count / 2);
	} else {
		memset(map->tags, 0, count);
	}
}

void
stator__map_clear(stator_map *map)
{
	if (map->count == 0)
		return;
	clear_slots(map);
	stator__arena_reset(&map->arena);
	start(map);
}

/* By hash --------------------------------------------------------------- */

static uint8_t
tag_of(uint64_t hash)
{
	return (uint8_t)(hash >> 56) | 1;
}

/* Where an entry with this key is, or would be. */
static size_t
place_of(const stator_map *map, stator_slice key, uint64_t hash)
{
	size_t mask = map->slot_count - 1, at = hash & mask;
	uint8_t tag = tag_of(hash);

	for (; map->tags[at]; at = (at + 1) & mask)
		if (map->tags[at] == tag && map->slots[at].hash == hash &&
		    stator__slice_eq(map->slots[at].node->key, key))
			break;
	return at;
}

static void
fill_slot(stator_map *map, size_t at, slot s)
{
	map->tags[at] = tag_of(s.hash);
	map->slots[at] = s;
}

static void
grow(stator_map *map)
{
	stator_map old = *map;
	size_t mask = old.slot_count * 2 - 1;

	make_slots(map, old.slot_count * 2);
	for (size_t i = 0; i < old.slot_count; i++) {
		size_t at = old.slots[i].hash & mask;

		if (old.tags[i] == 0)
			continue;
		while (map->tags[at])
			at = (at + 1) & mask;
		fill_slot(map, at, old.slots[i]);
	}
	free_slots(&old);
}

/* In order ---------------------------------------------------------------- */

/* The last node before `key` on each level, in `before`. */
static stator_map_node *
descend(const stator_map *map, stator_slice key, stator_map_node **before)
{
	stator_map_node *node = map->head;

	for (uint32_t i = map->level; i-- > 0;) {
		while (node->next[i] &&
		       stator__slice_cmp(node->next[i]->key, key) < 0)
			node = node->next[i];
		if (before)
			before[i] = node;
	}
	return node;
}

/* One level more with a chance of one in four. */
static uint32_t
random_level(stator_map *map)
{
	uint32_t level = 1, r = map->random;

	r ^= r << 13;
	r ^= r >> 17;
	r ^= r << 5;
	map->random = r;
	while (level < LEVELS && (r & 3) == 0) {
		level++;
		r >>= 2;
	}
	return level;
}

static void
give_place(stator_map *map, stator_map_node *node)
{
	stator_map_node *before[LEVELS];

	descend(map, node->key, before);
	while (map->level < node->level)
		before[map->level++] = map->head;
	for (uint32_t i = 0; i < node->level; i++) {
		node->next[i] = before[i]->next[i];
		before[i]->next[i] = node;
	}
	node->prev = before[0] == map->head ? NULL : before[0];
	if (node->next[0])
		node->next[0]->prev = node;
	else
		map->last = node;
}

static void
put_in_order(stator_map *map)
{
	for (; map->unordered; map->unordered = map->unordered->later)
		give_place(map, map->unordered);
}

/* Entries ------------------------------------------------------------------ */

static stator_map_node *
add(stator_map *map, stator_slice key)
{
	stator_map_node *node = new_node(map, random_level(map));

	node->key = stator__slice(
		stator__arena_copy(&map->arena, key.data, key.size), key.size);
	if (map->newest)
		map->newest->later = node;
	else
		map->oldest = node;
	map->newest = node;
	if (map->unordered == NULL)
		map->unordered = node;
	map->count++;
	return node;
}

void
stator__map_write(stator_map *map, stator_slice key, stator_slice value,
		  stator_change change)
{
	uint64_t hash = stator__hash64(key, map->seed);
	size_t at = place_of(map, key, hash);
	stator_map_node *node = map->tags[at] ? map->slots[at].node : NULL;

	if (node == NULL) {
		node = add(map, key);
		fill_slot(map, at, (slot){hash, node});
		if (map->count > map->slot_count / 2)
			grow(map);
	}
	STATOR_GROW(map->undos, map->undo_count, map->undo_cap);
	map->undos[map->undo_count++] =
		(undo){node, node->value, node->change};
	node->value = stator__slice(
		stator__arena_copy(&map->arena, value.data, value.size),
		value.size);
	node->change = change;
	map->bytes += key.size + value.size;
}

const stator_map_node *
stator__map_seek(stator_map *map, stator_slice key)
{
	put_in_order(map);
	return descend(map, key, NULL)->next[0];
}

uint64_t
stator__map_hash(const stator_map *map, stator_slice key)
{
	return stator__hash64(key, map->seed);
}

const stator_map_node *
stator__map_find(const stator_map *map, stator_slice key, uint64_t hash)
{
	size_t at = place_of(map, key, hash);

	return map->tags[at] ? map->slots[at].node : NULL;
}

const stator_map_node *
stator__map_seek_before(stator_map *map, stator_slice key)
{
	const stator_map_node *node;

	put_in_order(map);
	if (key.size == 0)
		return map->last;
	node = descend(map, key, NULL);
	return node == map->head ? NULL : node;
}

const stator_map_node *
stator__map_first(stator_map *map)
{
	put_in_order(map);
	return map->head->next[0];
}

const stator_map_node *
stator__map_oldest(const stator_map *map)
{
	return map->oldest;
}

size_t
stator__map_count(const stator_map *map)
{
	return map->count;
}

size_t
stator__map_bytes(const stator_map *map)
{
	return map->bytes;
}

void
stator__map_mark(stator_map *map)
{
	map->undo_count = 0;
}

void
stator__map_rollback(stator_map *map)
{
	while (map->undo_count) {
		undo *u = &map->undos[--map->undo_count];

		u->node->value = u->value;
		u->node->change = u->change;
	}
}
