/*
 * request_subject.c: sys.RequestSubject, who sent the request, as the request
 * says.
 */
#include "storage/storage.h"

static const stator_field_desc value_fields[STATOR_SUBJECT_COUNT] = {
	[STATOR_SUBJECT_PROFILE] = {"ProfileWSID", STATOR_INT64, 0, 0, 0, NULL,
				    "the workspace of the profile"},
	[STATOR_SUBJECT_KIND] = {"Kind", STATOR_INT32, 0, 0, 0, NULL,
				 "1 user, 2 device"},
	[STATOR_SUBJECT_NAME] = {"Name", STATOR_STRING, 0, 0, 0, NULL,
				 "the login"},
	[STATOR_SUBJECT_TOKEN] = {"Token", STATOR_STRING, 0, 1, 0, NULL,
				  "what it was admitted with"},
};

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;

	(void)use;
	(void)key;
	(void)err;
	return sys->request->subject(run, value);
}

const stator_storage stator__storage_request_subject = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "RequestSubject",
	.help = "who sent the request",
	.scopes = {STATOR_COMMANDS | STATOR_QUERIES, 0, 0, 0, 0},
	.value_fields = value_fields,
	.value_field_count = STATOR_SUBJECT_COUNT,
	.get = get,
};
