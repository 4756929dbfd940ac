/*
 * settle.c: telling storages that the batch of a run is complete. That is
 * known only when the memory of the run is gone, so what they are told is a
 * copy.
 */
#include "state/state.h"

/* The intents of one storage in one run. */
struct stator_settlement {
	stator_io io; /* first: storages are given its `run` */
	const stator_handle *handle; /* of the first intent */
	stator_intent *items;
	size_t count;
	struct stator_settlement *next;
};

static stator_row
keep_row(stator_arena *arena, const stator_row *row)
{
	stator_row copy = *row;

	if (row->data)
		copy.data = stator__arena_copy(arena, row->data, row->size);
	return copy;
}

static void
keep_io(stator_arena *arena, const stator_io *from, stator_io *io)
{
	*io = *from;
	io->arena = arena;
	io->at_end = NULL;
	io->writes = NULL;
	io->on_result = NULL;
	io->message = stator__slice("", 0);
	io->event = keep_row(arena, &from->event);
	io->argument = keep_row(arena, &from->argument);
	io->unlogged = keep_row(arena, &from->unlogged);
	io->subject.data = NULL;
	io->origin.data = NULL;
}

/* Copies the intents of the storage; their number. */
static size_t
keep_intents(stator_arena *arena, const stator_state *st,
	     const stator_binding *b, stator_intent *items)
{
	stator_row *rows = stator__arena_alloc(
		arena, 2 * st->wish_count * sizeof(*rows));
	size_t count = 0;

	for (size_t i = 0; i < st->wish_count; i++) {
		const stator_wish *w = &st->wishes[i];

		if (w->handle->binding != b || w->value.data == NULL)
			continue;
		rows[2 * count] = keep_row(arena, &w->key);
		rows[2 * count + 1] = keep_row(arena, &w->value);
		items[count] = (stator_intent){
			.abi = STATOR_ABI,
			.size = sizeof(*items),
			.use = &w->handle->use,
			.key = &rows[2 * count],
			.value = &rows[2 * count + 1],
			.is_new = w->is_new,
			.index = (uint32_t)i,
		};
		count++;
	}
	return count;
}

static void
keep(stator_settlements *list, const stator_state *st, const stator_handle *h)
{
	struct stator_settlement *s =
		stator__arena_zero(&list->arena, sizeof(*s));

	s->items = stator__arena_alloc(&list->arena,
				       st->wish_count * sizeof(*s->items));
	s->count = keep_intents(&list->arena, st, h->binding, s->items);
	if (s->count == 0)
		return;
	keep_io(&list->arena, &st->io, &s->io);
	s->io.space = h->binding->space;
	s->io.called = h->binding->storage;
	s->handle = h;
	if (list->first)
		list->last->next = s;
	else
		list->first = s;
	list->last = s;
}

void
stator__settle_keep(stator_settlements *list, const stator_state *st)
{
	for (size_t i = 0; i < st->wish_count; i++) {
		const stator_handle *h = st->wishes[i].handle;

		if (h->binding->storage->settle &&
		    !stator__wish_is_record(&st->wishes[i]) &&
		    stator__wish_is_first(st, i))
			keep(list, st, h);
	}
}

void
stator__settle_run(stator_settlements *list)
{
	for (struct stator_settlement *s = list->first; s; s = s->next) {
		stator_instance *in = s->handle->instance;
		int64_t entered = stator__instance_enter(in);

		s->handle->binding->storage->settle(in->self, &s->io.run,
						    s->items, s->count);
		stator__instance_leave(in, entered, s->handle->binding);
		stator__io_ended(&s->io);
	}
	stator__settle_drop(list);
}

void
stator__settle_drop(stator_settlements *list)
{
	if (list->first == NULL)
		return;
	list->first = list->last = NULL;
	stator__arena_reset(&list->arena);
}

void
stator__settle_free(stator_settlements *list)
{
	list->first = list->last = NULL;
	stator__arena_free(&list->arena);
}
