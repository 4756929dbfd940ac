/*
 * job_context.c: sys.JobContext, what a job was called for: its argument.
 */
#include "storage/storage.h"

static const stator_field_desc value_fields[JOB_FIELD_COUNT] = {
	[JOB_WORKSPACE] = {"Workspace", STATOR_INT64, 0, 0, 0, NULL,
			   "the workspace"},
	[JOB_UNIX_TIME] = {"UnixTime", STATOR_INT64, 0, 0, 0, NULL,
			   "the tick that it runs for, in s since 1970"},
};

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;

	(void)use;
	(void)key;
	(void)err;
	return sys->context->argument(run, 0, value);
}

const stator_storage stator__storage_job_context = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "JobContext",
	.help = "what a job was called for",
	.scopes = {STATOR_JOBS, 0, 0, 0, 0},
	.undeclared = STATOR_EVERYONE,
	.value_fields = value_fields,
	.value_field_count = JOB_FIELD_COUNT,
	.get = get,
};
