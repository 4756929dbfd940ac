/*
 * error_event.c: events of commands that have failed.
 *
 * A command that fails leaves nothing, and uses no number of its workspace.
 * Where a projector INCLUDING ERRORS waits for that command, or for its
 * argument, an event sys.Error takes its place in the log of the partition: it
 * has the error, and the argument as far as it was understood. It is not in
 * the log of the workspace.
 */
#include "processor/processor.h"

/* Whether the command was tried at all, and the store takes what is written. */
static bool
is_of_command(const stator_ext *ext, int code)
{
	return ext && ext->kind == STATOR_COMMAND && code != STATOR_BUSY &&
	       code != STATOR_QUARANTINED && code != STATOR_IO &&
	       code != STATOR_CORRUPT;
}

static bool
is_waited_for(const stator_def *def)
{
	for (size_t i = 0; i < def->ext_count; i++)
		if (def->exts[i].kind == STATOR_PROJECTOR &&
		    def->exts[i].errors)
			return true;
	return false;
}

static stator_row
build_error(stator_worker *w, const stator_ext *ext, const stator_error *err)
{
	const stator_type *type =
		stator__def_type_named(w->version->def, "sys.Error");
	stator_builder b;

	stator__build(&b, &w->state.arena, type);
	stator__build_bytes(&b, (uint32_t)stator__type_find(type, "ErrStr", 6),
			    stator__cslice(err->msg), NULL);
	stator__build_int(&b,
			  (uint32_t)stator__type_find(type, "ValidEvent", 10),
			  0, NULL);
	stator__build_bytes(
		&b, (uint32_t)stator__type_find(type, "QNameFromParams", 15),
		stator__cslice(ext->name), NULL);
	stator__build_bytes(&b, (uint32_t)stator__type_find(type, "Code", 4),
			    stator__cslice(stator_status_name(err->code)),
			    NULL);
	return stator__build_done(&b);
}

static stator_row
build_event(stator_worker *w, int64_t wsid, int64_t offset,
	    const stator_row *error)
{
	const stator_io *io = &w->state.io;
	stator_builder b;

	stator__build(&b, &w->state.arena, w->version->def->event);
	stator__build_int(&b, STATOR_EVENT_WORKSPACE, wsid, NULL);
	stator__build_int(&b, STATOR_EVENT_REGISTERED_AT, io->run.now_ms, NULL);
	stator__build_int(&b, STATOR_EVENT_OFFSET, offset, NULL);
	stator__build_bytes(&b, STATOR_EVENT_QNAME, stator__cslice("sys.Error"),
			    NULL);
	stator__build_rows(&b, STATOR_EVENT_ERROR, error, 1, NULL);
	if (io->argument.data)
		stator__build_rows(&b, STATOR_EVENT_ARGUMENT, &io->argument, 1,
				   NULL);
	return stator__build_done(&b);
}

static bool
is_reader(stator_worker *w, const stator_ext *ext, const stator_row *event)
{
	stator_error err;

	return ext->kind == STATOR_PROJECTOR &&
	       stator__projector_wants(ext, w->version->def, event) &&
	       stator__kind_wants(w, ext, event, &err) != STATOR_NONE;
}

static bool
has_reader(stator_worker *w, const stator_row *event)
{
	const stator_def *def = w->version->def;

	for (size_t i = 0; i < def->ext_count; i++)
		if (is_reader(w, &def->exts[i], event))
			return true;
	return false;
}

/* Each for itself: the command has failed already. */
static void
run_sync_projectors(stator_commander *c, const stator_row *event)
{
	const stator_def *def = c->worker->version->def;

	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];
		stator_error err;

		if (!ext->sync || !is_reader(c->worker, ext, event))
			continue;
		stator__map_mark(c->map);
		if (stator__projector_run(c->projector, ext, event, c->map,
					  &c->settlements, &err)) {
			stator__map_rollback(c->map);
			stator__settle_drop(&c->settlements);
			stator__logf(STATOR_LOG_WARNING, ext->name,
				     "sys.Error: %s", err.msg);
		} else {
			stator__settle_run(&c->settlements);
		}
	}
}

void
stator__error_event(stator_commander *c, const stator_request *r,
		    const stator_ext *ext, const stator_error *err)
{
	stator_worker *w = c->worker;
	stator_arena *arena = &w->state.arena;
	stator_row error, event;

	if (!is_of_command(ext, err->code) || !is_waited_for(w->version->def))
		return;
	error = build_error(w, ext, err);
	event = build_event(w, r->wsid, c->plog_next, &error);
	if (!has_reader(w, &event))
		return;
	stator__map_mark(c->map);
	stator__map_write(c->map, stator__event_key(arena, c->plog_next),
			  stator__slice(event.data, event.size),
			  STATOR_CHANGE_PUT);
	c->plog_next++;
	run_sync_projectors(c, &event);
}
