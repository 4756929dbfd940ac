/*
 * event.c: sys.Event, the event that a projector was called for.
 */
#include "storage/event_fields.h"
#include "storage/storage.h"

static const stator_field_desc value_fields[EVENT_FIELD_COUNT] = {
	EVENT_FIELDS("WLogOffset", "Offset")};

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	int32_t code = sys->context->event(run, value);

	(void)key;
	(void)err;
	value->type = use->value;
	return code;
}

const stator_storage stator__storage_event = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Event",
	.help = "the event that a projector was called for",
	.scopes = {STATOR_PROJECTORS, 0, 0, 0, 0},
	.undeclared = STATOR_EVERYONE,
	.value_fields = value_fields,
	.value_field_count = EVENT_FIELD_COUNT,
	.get = get,
};
