/*
 * problems.c: the list of everything that is wrong with an image.
 */
#include <stdlib.h>

#include "schema/schema.h"

void
stator__problem(stator_problems *list, const char *file, int line, int col,
		const char *format, ...)
{
	stator_problem *p;
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, STATOR_IMAGE, format, args);
	va_end(args);
	STATOR_GROW(list->items, list->count, list->cap);
	p = &list->items[list->count++];
	p->file = stator__arena_str(&list->arena, file, strlen(file));
	p->line = line;
	p->col = col;
	p->message = stator__arena_str(&list->arena, text.msg,
				       strlen(text.msg));
}

static int
compare(const void *a, const void *b)
{
	const stator_problem *x = a, *y = b;
	int order = strcmp(x->file, y->file);

	if (order)
		return order;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->col != y->col)
		return x->col < y->col ? -1 : 1;
	return strcmp(x->message, y->message);
}

void
stator__problems_sort(stator_problems *list)
{
	if (list->count)
		qsort(list->items, list->count, sizeof(*list->items), compare);
}

void
stator__problems_free(stator_problems *list)
{
	free(list->items);
	stator__arena_free(&list->arena);
	memset(list, 0, sizeof(*list));
}
