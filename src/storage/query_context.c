/*
 * query_context.c: sys.QueryContext, what a query was called with.
 */
#include "storage/storage.h"

static const stator_field_desc value_fields[] = {
	{"Workspace", STATOR_INT64, 0, 0, 0, NULL, "the workspace"},
	{"ArgumentObject", STATOR_ROW, 0, 0, 0, NULL, "the argument"},
};

enum { WORKSPACE, ARGUMENT, FIELD_COUNT };

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	struct stator_builder *b = sys->host->row_begin(run, use->value);
	int32_t code = sys->host->put_int(b, WORKSPACE, run->wsid, err);
	stator_row argument;

	(void)key;
	if (!code && sys->context->argument(run, 0, &argument) == STATOR_OK)
		code = sys->host->put_rows(b, ARGUMENT, &argument, 1, err);
	return code ? code : sys->host->row_end(b, value, err);
}

const stator_storage stator__storage_query_context = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "QueryContext",
	.help = "what a query was called with",
	.scopes = {STATOR_QUERIES, 0, 0, 0, 0},
	.undeclared = STATOR_EVERYONE,
	.value_fields = value_fields,
	.value_field_count = FIELD_COUNT,
	.get = get,
};
