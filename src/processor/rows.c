/*
 * rows.c: what a command gives to sys.Result.
 */
#include <stdlib.h>

#include "processor/processor.h"

static int
on_result(stator_io *io, const stator_row *row, stator_error *err)
{
	stator_rows *rows = io->result_ctx;

	(void)err;
	STATOR_GROW(rows->items, rows->count, rows->cap);
	rows->items[rows->count++] = *row;
	return STATOR_OK;
}

void
stator__rows_collect(stator_rows *rows, stator_state *state)
{
	rows->count = 0;
	state->io.on_result = on_result;
	state->io.result_ctx = rows;
}
