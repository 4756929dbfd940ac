/*
 * response.c: sys.Response, status and message of the reply. The last one
 * counts.
 */
#include "storage/storage.h"

static const stator_field_desc value_fields[] = {
	{"StatusCode", STATOR_INT32, 0, 0, 0, NULL, "as in HTTP; 200 if null"},
	{"ErrorMessage", STATOR_STRING, 0, 0, 0, NULL, "what the reply says"},
};

enum { STATUS_CODE, ERROR_MESSAGE, FIELD_COUNT };

static int32_t
apply(void *self, const stator_run *run, const stator_intent *items,
      size_t count, stator_error *err)
{
	const sys_plugin *sys = self;

	for (size_t i = 0; i < count; i++) {
		stator_slice message = {"", 0};
		int64_t status = 200;
		int32_t code;

		sys->host->row_int(items[i].value, STATUS_CODE, &status);
		sys->host->row_bytes(items[i].value, ERROR_MESSAGE, &message);
		code = sys->context->response(run, status, message, err);
		if (code)
			return code;
	}
	return STATOR_OK;
}

const stator_storage stator__storage_response = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Response",
	.help = "status and message of the reply",
	.scopes = {0, 0, 0, STATOR_COMMANDS | STATOR_QUERIES, 0},
	.undeclared = STATOR_QUERIES,
	.value_fields = value_fields,
	.value_field_count = FIELD_COUNT,
	.apply = apply,
};
