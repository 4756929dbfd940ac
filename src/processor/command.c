/*
 * command.c: one command, from its arguments to its event.
 *
 * Everything that it writes goes into the map of the group, behind a mark; if
 * any step fails, that is taken back and nothing of the command remains. The
 * reply is made here but sent only when the group is durable.
 */
#include <stdio.h>
#include <stdlib.h>

#include "processor/processor.h"
#include "storage/storage.h"

/* What is known of the command while it is on its way. */
typedef struct command {
	stator_commander *c;
	stator_request *r;
	const stator_ext *ext;
	stator_state *state;
	stator_changes *changes;
	int64_t plog_offset, wlog_offset;
	stator_ws_kind kind; /* of the workspace */
	stator_row event;
	bool logged; /* sys.Logger has been applied */
} command;

static const stator_def *
def_of(const command *cmd)
{
	return cmd->c->worker->version->def;
}

static stator_arena *
arena_of(const command *cmd)
{
	return &cmd->state->arena;
}

static int
read_arguments(command *cmd, stator_error *err)
{
	stator_io *io = &cmd->state->io;
	stator_row *const arguments[] = {&io->argument, &io->unlogged};
	int64_t args = stator__raw_id_most(cmd->r->args);
	int64_t cuds = stator__raw_id_most(cmd->r->cuds);
	int code;

	cmd->changes->next_raw_id = (args > cuds ? args : cuds) + 1;
	code = stator__argument_read(cmd->c->worker, cmd->ext, "args",
				     cmd->ext->arg, cmd->r->args,
				     &cmd->changes->next_raw_id, &io->argument,
				     err);
	if (code == STATOR_OK)
		code = stator__argument_read(cmd->c->worker, cmd->ext,
					     "unlogged", cmd->ext->unlogged,
					     cmd->r->unlogged, NULL,
					     &io->unlogged, err);
	if (code == STATOR_OK)
		code = stator__changes_from_json(cmd->changes, cmd->r->cuds,
						 err);
	if (code == STATOR_OK)
		code = stator__changes_open(cmd->changes, arguments, 2, err);
	cmd->state->next_raw_id = cmd->changes->next_raw_id;
	return code;
}

/* Record IDs count from here in each workspace. */
enum { FIRST_RECORD_ID = 200001 };

/* The numbers that come next: of events, and of records of the workspace; and
 * its kind. */
static int
read_sequences(command *cmd, stator_error *err)
{
	const stator_view *view = &cmd->c->worker->view;
	stator_arena *arena = arena_of(cmd);
	stator_slice bytes;
	int code;

	cmd->plog_offset = cmd->c->plog_next;
	cmd->wlog_offset = 1;
	cmd->changes->next_id = FIRST_RECORD_ID;
	code = stator__view_get(view, arena,
				stator__sequence_key(arena, cmd->r->wsid),
				&bytes, err);
	if (code == STATOR_OK && bytes.size >= STATOR_SEQUENCES) {
		const uint8_t *p = bytes.data;

		cmd->wlog_offset = (int64_t)stator__be64(p);
		cmd->changes->next_id = (int64_t)stator__be64(p + 8);
		stator__kind_read(bytes, &cmd->kind);
	}
	return code < 0 ? code : STATOR_OK;
}

static void
write_sequences(command *cmd)
{
	stator_map *map = cmd->c->map;
	uint8_t bytes[STATOR_SEQUENCES_MOST];
	size_t size = stator__kind_write(&cmd->kind, bytes);

	stator__be64_put(bytes, (uint64_t)cmd->wlog_offset + 1);
	stator__be64_put(bytes + 8, (uint64_t)cmd->changes->next_id);
	stator__map_write(map,
			  stator__sequence_key(arena_of(cmd), cmd->r->wsid),
			  stator__slice(bytes, size), STATOR_CHANGE_PUT);
}

static int
run_extension(command *cmd, stator_error *err)
{
	stator_io *io = &cmd->state->io;
	int code;

	if (stator__operator_has(cmd->c->worker, cmd->ext))
		return stator__operator_command(cmd->c->worker, cmd->ext, err);
	io->run.plog_offset = cmd->plog_offset;
	io->run.wlog_offset = cmd->wlog_offset;
	stator__rows_collect(&cmd->c->rows, cmd->state);
	code = stator__worker_count(cmd->c->worker, cmd->ext, err);
	if (code)
		return code;
	code = stator__state_validate(cmd->state, err);
	return code ? stator__wrap(err, "%s", cmd->ext->name) : STATOR_OK;
}

/* Intents that are not records: the reply's, the log's, other storages'. */
static int
apply_intents(command *cmd, stator_error *err)
{
	stator_io *io = &cmd->state->io;
	int code;

	io->writes = cmd->c->map;
	cmd->logged = true;
	code = stator__state_apply(cmd->state, err);
	io->writes = NULL;
	if (code)
		return stator__wrap(err, "%s", cmd->ext->name);
	stator__effects_keep(cmd->state, cmd->c->map);
	if (io->status && io->status != 200)
		return stator__fail(err, STATOR_RESPONSE, "%.*s",
				    (int)io->message.size,
				    (const char *)io->message.data);
	stator__settle_keep(&cmd->c->settlements, cmd->state);
	return STATOR_OK;
}

static int
build_event(command *cmd, stator_error *err)
{
	stator_io *io = &cmd->state->io;
	size_t count = cmd->changes->cud_count;
	stator_row *cuds = stator__arena_alloc(arena_of(cmd),
					       (count + 1) * sizeof(*cuds));
	const char *name = cmd->ext->name;
	stator_builder b;
	int code = STATOR_OK;

	for (size_t i = 0; i < count; i++)
		cuds[i] = cmd->changes->cuds[i].row;
	stator__build(&b, arena_of(cmd), def_of(cmd)->event);
	stator__build_int(&b, STATOR_EVENT_WLOG_OFFSET, cmd->wlog_offset, err);
	stator__build_int(&b, STATOR_EVENT_WORKSPACE, cmd->r->wsid, err);
	stator__build_int(&b, STATOR_EVENT_REGISTERED_AT, io->run.now_ms, err);
	stator__build_int(&b, STATOR_EVENT_OFFSET, cmd->plog_offset, err);
	stator__build_known(&b, STATOR_EVENT_QNAME, stator__cslice(name));
	if (io->argument.data)
		code = stator__build_rows(&b, STATOR_EVENT_ARGUMENT,
					  &io->argument, 1, err);
	if (code == STATOR_OK && count)
		code = stator__build_rows(&b, STATOR_EVENT_CUDS, cuds,
					  (uint32_t)count, err);
	cmd->event = stator__build_done(&b);
	return code;
}

static void
write_event(command *cmd)
{
	stator_map *map = cmd->c->map;
	stator_arena *arena = arena_of(cmd);

	stator__map_write(map, stator__event_key(arena, cmd->plog_offset),
			  stator__slice(cmd->event.data, cmd->event.size),
			  STATOR_CHANGE_PUT);
	stator__number_put(map,
			   stator__wlog_key(arena, cmd->r->wsid,
					    cmd->wlog_offset),
			   cmd->plog_offset);
	write_sequences(cmd);
}

/* Records are written by sys.Record, so that its index is kept. */
static int
write_record(command *cmd, const stator_binding *record, stator_cud *cud,
	     stator_error *err)
{
	stator_worker *w = cmd->c->worker;
	stator_use use = {.abi = STATOR_ABI, .size = sizeof(use)};
	stator_row no_key;
	stator_builder b;
	stator_intent item = {STATOR_ABI,  sizeof(item), &use, &no_key,
			      &cud->stored, cud->is_new, 0};
	const stator_instance *instances =
		w->deployment->instances[w->partition->index];
	void *self = instances[record->plugin].self;
	int code;

	use.entity = cud->row.type->name;
	use.entity_id = cud->row.type->id;
	use.table = use.value = cud->row.type;
	stator__build(&b, arena_of(cmd), record->key);
	no_key = stator__build_done(&b);
	cmd->state->io.space = record->space;
	code = record->storage->apply(self, &cmd->state->io.run, &item, 1, err);
	if (code) {
		stator_error said = *err;

		stator__path_fail(&cud->path, err, code, "%s", said.msg);
	}
	return code;
}

static int
write_records(command *cmd, stator_error *err)
{
	const stator_binding *record = cmd->c->worker->version->record;
	int code = STATOR_OK;

	cmd->state->io.writes = cmd->c->map;
	for (size_t i = 0; i < cmd->changes->cud_count && !code; i++)
		code = write_record(cmd, record, &cmd->changes->cuds[i], err);
	cmd->state->io.writes = NULL;
	return code;
}

static int
run_sync_projectors(command *cmd, stator_error *err)
{
	const stator_def *def = def_of(cmd);
	uint32_t kind = stator__kind_given(def, cmd->kind.descriptor);
	int code = STATOR_OK;

	for (size_t i = 0; i < def->sync_count && !code; i++)
		if (def->sync[i]->kinds[kind] &&
		    stator__projector_wants(def->sync[i], def, &cmd->event))
			code = stator__projector_run(
				cmd->c->projector, def->sync[i], &cmd->event,
				cmd->c->map, &cmd->c->settlements, err);
	return code;
}

static void
write_new_ids(const command *cmd, stator_json_out *out)
{
	const stator_changes *ch = cmd->changes;
	char name[24];

	if (ch->id_count == 0)
		return;
	stator__json_name(out, "new_ids");
	stator__json_begin(out, '{');
	for (size_t i = 0; i < ch->id_count; i++) {
		snprintf(name, sizeof(name), "%lld", (long long)ch->ids[i].raw);
		stator__json_name(out, name);
		stator__json_integer(out, ch->ids[i].id);
	}
	stator__json_end(out, '}');
}

static void
reply(command *cmd)
{
	stator_rows *rows = &cmd->c->rows;
	stator_json_out out;

	stator__reply_begin(&out, cmd->r, 200);
	stator__json_name(&out, "offset");
	stator__json_integer(&out, cmd->wlog_offset);
	write_new_ids(cmd, &out);
	if (cmd->state->io.on_result && rows->count) {
		stator_row *last = &rows->items[rows->count - 1];

		stator__changes_resolve(cmd->changes, last);
		stator__json_name(&out, "result");
		stator__row_to_json(&out, def_of(cmd), last, STATOR_JSON_BARE);
	}
	stator__reply_end(&out);
}

/* Whether the command may run in a workspace of that kind. */
static int
check_kind(const command *cmd, stator_error *err)
{
	const stator_def *def = def_of(cmd);

	return stator__kind_check(def, cmd->ext, cmd->r->wsid,
				  stator__kind_given(def, cmd->kind.descriptor),
				  err);
}

static int
execute(command *cmd, stator_error *err)
{
	int code = stator__request_find(cmd->r, def_of(cmd), STATOR_COMMAND,
					&cmd->ext, err);

	if (code)
		return code;
	stator__state_begin(cmd->state, cmd->ext, cmd->r->wsid);
	cmd->state->io.run.now_ms = stator__worker_now(cmd->c->worker);
	code = read_sequences(cmd, err);
	if (code == STATOR_OK && cmd->kind.descriptor)
		code = check_kind(cmd, err);
	if (code == STATOR_OK)
		code = stator__sender_read(cmd->c->worker, cmd->r, err);
	if (code == STATOR_OK)
		code = read_arguments(cmd, err);
	if (code == STATOR_OK)
		code = run_extension(cmd, err);
	if (code == STATOR_OK)
		code = apply_intents(cmd, err);
	if (code == STATOR_OK)
		code = stator__changes_settle(cmd->changes, err);
	if (code == STATOR_OK)
		code = stator__kind_settle(cmd->changes, cmd->plog_offset,
					   &cmd->kind, err);
	if (code == STATOR_OK)
		code = build_event(cmd, err);
	if (code)
		return code;
	write_event(cmd);
	code = write_records(cmd, err);
	if (code == STATOR_OK)
		code = run_sync_projectors(cmd, err);
	return code;
}

void
stator__command_run(stator_commander *c, stator_request *r)
{
	command cmd = {.c = c,
		       .r = r,
		       .state = &c->worker->state,
		       .changes = &c->changes};
	stator_error err;
	int code;

	stator__changes_begin(cmd.changes, c->worker, r->wsid);
	cmd.state->io.on_result = NULL;
	cmd.state->io.status = 0;
	cmd.state->io.run.wsid = r->wsid;
	stator__map_mark(c->map);
	code = execute(&cmd, &err);
	if (code == STATOR_OK) {
		c->plog_next++;
		stator__settle_run(&c->settlements);
		reply(&cmd);
	} else {
		stator__settle_drop(&c->settlements);
		stator__map_rollback(c->map);
		if (cmd.ext && !cmd.logged)
			stator__state_apply_log(cmd.state);
		err.code = code;
		stator__error_event(c, r, cmd.ext, &err);
		stator__reply_error(r, stator__reply_status(cmd.state, code), &err);
	}
	stator__worker_end(c->worker);
}
