/*
 * command_context.c: sys.CommandContext, what a command was called with.
 */
#include "storage/storage.h"

static const stator_field_desc value_fields[] = {
	{"Workspace", STATOR_INT64, 0, 0, 0, NULL, "the workspace"},
	{"WLogOffset", STATOR_INT64, 0, 0, 0, NULL,
	 "the offset that the event will get"},
	{"Origin", STATOR_STRING, 0, 0, 0, NULL, "where the request came from"},
	{"ArgumentObject", STATOR_ROW, 0, 0, 0, NULL, "the argument"},
	{"ArgumentUnloggedObject", STATOR_ROW, 0, 0, 0, NULL,
	 "the argument that is not kept"},
};

enum { WORKSPACE, WLOG_OFFSET, ORIGIN, ARGUMENT, UNLOGGED, FIELD_COUNT };

static int32_t
put_argument(const sys_plugin *sys, const stator_run *run, int unlogged,
	     struct stator_builder *b, uint32_t field, stator_error *err)
{
	stator_row argument;

	if (sys->context->argument(run, unlogged, &argument) != STATOR_OK)
		return STATOR_OK;
	return sys->host->put_rows(b, field, &argument, 1, err);
}

static int32_t
put_origin(const sys_plugin *sys, const stator_run *run,
	   struct stator_builder *b, stator_error *err)
{
	stator_slice origin;

	if (sys->request->origin(run, &origin) != STATOR_OK)
		return STATOR_OK;
	return sys->host->put_bytes(b, ORIGIN, origin, err);
}

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	struct stator_builder *b = sys->host->row_begin(run, use->value);
	int32_t code = sys->host->put_int(b, WORKSPACE, run->wsid, err);

	(void)key;
	if (!code)
		code = sys->host->put_int(b, WLOG_OFFSET, run->wlog_offset, err);
	if (!code)
		code = put_origin(sys, run, b, err);
	if (!code)
		code = put_argument(sys, run, 0, b, ARGUMENT, err);
	if (!code)
		code = put_argument(sys, run, 1, b, UNLOGGED, err);
	return code ? code : sys->host->row_end(b, value, err);
}

const stator_storage stator__storage_command_context = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "CommandContext",
	.help = "what a command was called with",
	.scopes = {STATOR_COMMANDS, 0, 0, 0, 0},
	.undeclared = STATOR_EVERYONE,
	.value_fields = value_fields,
	.value_field_count = FIELD_COUNT,
	.get = get,
};
