/*
 * map.c: the ordered map, a skip list in an arena. Entries are never removed,
 * only marked, so a pointer to one is good until the map is cleared.
 */
#include <stdlib.h>

#include "store/store.h"

enum { LEVELS = 16 };

typedef struct undo {
	stator_map_node *node;
	stator_slice value;
	stator_change change;
} undo;

struct stator_map {
	stator_arena arena;
	stator_map_node *head; /* before the first; has no key */
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
	map->last = NULL;
	map->level = 1;
	map->random = 2463534242u;
	map->count = map->bytes = map->undo_count = 0;
}

stator_map *
stator__map_new(void)
{
	stator_map *map = stator__alloc(sizeof(*map));

	start(map);
	return map;
}

void
stator__map_free(stator_map *map)
{
	if (map == NULL)
		return;
	stator__arena_free(&map->arena);
	free(map->undos);
	free(map);
}

void
stator__map_clear(stator_map *map)
{
	if (map->count == 0)
		return;
	stator__arena_reset(&map->arena);
	start(map);
}

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

static stator_map_node *
insert(stator_map *map, stator_slice key, stator_map_node **before)
{
	uint32_t level = random_level(map);
	stator_map_node *node = new_node(map, level);

	node->key = stator__slice(
		stator__arena_copy(&map->arena, key.data, key.size), key.size);
	while (map->level < level)
		before[map->level++] = map->head;
	for (uint32_t i = 0; i < level; i++) {
		node->next[i] = before[i]->next[i];
		before[i]->next[i] = node;
	}
	node->prev = before[0] == map->head ? NULL : before[0];
	if (node->next[0])
		node->next[0]->prev = node;
	else
		map->last = node;
	map->count++;
	return node;
}

void
stator__map_write(stator_map *map, stator_slice key, stator_slice value,
		  stator_change change)
{
	stator_map_node *before[LEVELS];
	stator_map_node *node = descend(map, key, before)->next[0];

	if (node == NULL || !stator__slice_eq(node->key, key))
		node = insert(map, key, before);
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
stator__map_seek(const stator_map *map, stator_slice key)
{
	return descend(map, key, NULL)->next[0];
}

const stator_map_node *
stator__map_find(const stator_map *map, stator_slice key)
{
	const stator_map_node *node;

	if (map->count == 0)
		return NULL;
	node = stator__map_seek(map, key);
	return node && stator__slice_eq(node->key, key) ? node : NULL;
}

const stator_map_node *
stator__map_seek_before(const stator_map *map, stator_slice key)
{
	const stator_map_node *node;

	if (key.size == 0)
		return map->last;
	node = descend(map, key, NULL);
	return node == map->head ? NULL : node;
}

const stator_map_node *
stator__map_first(const stator_map *map)
{
	return map->head->next[0];
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
