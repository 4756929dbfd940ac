/*
 * result.c: sys.Result, rows of the declared RETURNS type for the reply. The
 * type of the rows is that of the extension that runs.
 */
#include "storage/storage.h"

static int32_t
apply(void *self, const stator_run *run, const stator_intent *items,
      size_t count, stator_error *err)
{
	const sys_plugin *sys = self;

	for (size_t i = 0; i < count; i++) {
		int32_t code = sys->context->result(run, items[i].value, err);

		if (code)
			return code;
	}
	return STATOR_OK;
}

const stator_storage stator__storage_result = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Result",
	.help = "rows of the reply",
	.scopes = {0, 0, 0, STATOR_COMMANDS | STATOR_QUERIES, 0},
	.undeclared = STATOR_QUERIES,
	.apply = apply,
};
