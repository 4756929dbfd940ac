/*
 * view.c: a map over a snapshot, read as one ordered space.
 */
#include "store/store.h"

int
stator__view_get(const stator_view *view, stator_arena *arena,
		 stator_slice key, stator_slice *value, stator_error *err)
{
	const stator_map_node *node = NULL;
	uint64_t hash = 0;

	if (view->over) {
		hash = stator__map_hash(view->over, key);
		node = stator__map_find(view->over, key, hash);
	}
	if (view->under &&
	    (node == NULL || node->change == STATOR_CHANGE_NONE))
		node = stator__map_find(view->under, key, hash);
	if (node && node->change == STATOR_CHANGE_PUT) {
		*value = node->value;
		return STATOR_OK;
	}
	if (node && node->change == STATOR_CHANGE_DELETE)
		return STATOR_NONE;
	return view->ops->get(view->snapshot, arena, key, value, err);
}

struct stator_view_cursor {
	const stator_view *view;
	stator_store_cursor *below;
	const stator_map_node *above; /* next one of the map */
	stator_slice low, high;
	bool reverse;
	bool below_ready; /* key and value hold the next one of the store */
	stator_slice key, value;
};

static stator_slice
keep(stator_arena *arena, stator_slice s)
{
	return stator__slice(stator__arena_copy(arena, s.data, s.size), s.size);
}

int
stator__view_range(const stator_view *view, stator_arena *arena,
		   stator_slice low, stator_slice high, bool reverse,
		   stator_view_cursor **out, stator_error *err)
{
	stator_view_cursor *c = stator__arena_zero(arena, sizeof(*c));
	int code;

	c->view = view;
	c->low = keep(arena, low);
	c->high = keep(arena, high);
	c->reverse = reverse;
	if (view->under)
		view->settle(view->settle_ctx);
	code = view->ops->range(view->snapshot, arena, c->low, c->high,
				reverse, &c->below, err);
	if (code)
		return code;
	if (view->over)
		c->above = reverse ? stator__map_seek_before(view->over, c->high)
				   : stator__map_seek(view->over, c->low);
	*out = c;
	return STATOR_OK;
}

/* The map's next entry inside the range, or NULL. */
static const stator_map_node *
peek_above(stator_view_cursor *c)
{
	const stator_map_node *n = c->above;

	while (n && n->change == STATOR_CHANGE_NONE)
		n = c->reverse ? n->prev : n->next[0];
	if (n && c->reverse && stator__slice_cmp(n->key, c->low) < 0)
		n = NULL;
	if (n && !c->reverse && c->high.size &&
	    stator__slice_cmp(n->key, c->high) >= 0)
		n = NULL;
	c->above = n;
	return n;
}

static int
peek_below(stator_view_cursor *c, stator_error *err)
{
	int code;

	if (c->below_ready)
		return STATOR_OK;
	if (c->below == NULL)
		return STATOR_NONE;
	code = c->view->ops->next(c->below, &c->key, &c->value, err);
	if (code == STATOR_NONE) {
		c->view->ops->release(c->below);
		c->below = NULL;
	}
	c->below_ready = code == STATOR_OK;
	return code;
}

int
stator__view_next(stator_view_cursor *c, stator_slice *key,
		  stator_slice *value, stator_error *err)
{
	for (;;) {
		const stator_map_node *above = peek_above(c);
		int code = peek_below(c, err), order = 1;

		if (code < 0)
			return code;
		if (above == NULL && code == STATOR_NONE)
			return STATOR_NONE;
		if (above)
			order = code == STATOR_NONE
					? -1
					: stator__slice_cmp(above->key, c->key);
		if (above && code == STATOR_OK && c->reverse)
			order = -order;
		if (order > 0) {
			c->below_ready = false;
			*key = c->key;
			*value = c->value;
			return STATOR_OK;
		}
		if (order == 0)
			c->below_ready = false;
		c->above = c->reverse ? above->prev : above->next[0];
		if (above->change == STATOR_CHANGE_PUT) {
			*key = above->key;
			*value = above->value;
			return STATOR_OK;
		}
	}
}

void
stator__view_release(stator_view_cursor *c)
{
	if (c->below)
		c->view->ops->release(c->below);
	c->below = NULL;
	c->above = NULL;
	c->below_ready = false;
}

stator_slice
stator__prefix_end(stator_arena *arena, stator_slice prefix)
{
	uint8_t *end = stator__arena_copy(arena, prefix.data, prefix.size);
	size_t size = prefix.size;

	while (size && end[size - 1] == 0xff)
		size--;
	if (size)
		end[size - 1]++;
	return stator__slice(end, size);
}
