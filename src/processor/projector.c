/*
 * projector.c: which events a projector wants, and one run of one.
 */
#include "processor/processor.h"

/* sys.CRecord and its like stand for all tables of their kind. */
static bool
names_kind(uint32_t id, const stator_type *type)
{
	static const struct {
		const char *name;
		uint32_t kind;
		bool singleton; /* only these */
	} bases[] = {
		{"sys.CDoc", STATOR_TYPE_CDOC, false},
		{"sys.CSingleton", STATOR_TYPE_CDOC, true},
		{"sys.WDoc", STATOR_TYPE_WDOC, false},
		{"sys.WSingleton", STATOR_TYPE_WDOC, true},
		{"sys.GDoc", STATOR_TYPE_GDOC, false},
		{"sys.ODoc", STATOR_TYPE_ODOC, false},
		/* Documents are records too. */
		{"sys.CRecord", STATOR_TYPE_CRECORD, false},
		{"sys.CRecord", STATOR_TYPE_CDOC, false},
		{"sys.WRecord", STATOR_TYPE_WRECORD, false},
		{"sys.WRecord", STATOR_TYPE_WDOC, false},
		{"sys.GRecord", STATOR_TYPE_GRECORD, false},
		{"sys.GRecord", STATOR_TYPE_GDOC, false},
		{"sys.ORecord", STATOR_TYPE_ORECORD, false},
		{"sys.ORecord", STATOR_TYPE_ODOC, false},
	};

	for (size_t i = 0; i < STATOR_COUNT(bases); i++)
		if (bases[i].kind == type->kind &&
		    (!bases[i].singleton ||
		     stator__type_info(type)->singleton) &&
		    stator__hash(bases[i].name, strlen(bases[i].name)) == id)
			return true;
	return false;
}

static bool
names_type(const stator_trigger *trigger, const stator_type *type)
{
	for (size_t i = 0; i < trigger->count; i++)
		if (trigger->ids[i] == type->id ||
		    names_kind(trigger->ids[i], type))
			return true;
	return false;
}

static uint32_t
op_of(const stator_row *cud)
{
	int64_t is_new, active;

	if (stator__row_int(cud, STATOR_SYS_IS_NEW, &is_new) && is_new)
		return STATOR_ON_INSERT;
	if (stator__row_int(cud, STATOR_SYS_ACTIVE, &active))
		return STATOR_ON_UPDATE |
		       (active ? STATOR_ON_ACTIVATE : STATOR_ON_DEACTIVATE);
	return STATOR_ON_UPDATE;
}

static bool
wants_cuds(const stator_trigger *trigger, const stator_def *def,
	   const stator_row *event)
{
	uint32_t count = stator__row_count(event, STATOR_EVENT_CUDS);
	stator_row cud;

	for (uint32_t i = 0; i < count; i++)
		if (stator__row_child(def, event, STATOR_EVENT_CUDS, i, &cud) &&
		    (op_of(&cud) & trigger->ops) && names_type(trigger, cud.type))
			return true;
	return false;
}

/* The command of an event: of a failed one, where the error has it. */
static bool
name_of(const stator_def *def, const stator_row *event, stator_slice *name)
{
	stator_row error;

	if (!stator__row_child(def, event, STATOR_EVENT_ERROR, 0, &error))
		return stator__row_bytes(event, STATOR_EVENT_QNAME, name);
	return stator__row_bytes(&error,
				 (uint32_t)stator__type_find(
					 error.type, "QNameFromParams", 15),
				 name);
}

static bool
wants(const stator_trigger *trigger, const stator_def *def,
      const stator_row *event)
{
	stator_slice name;
	stator_row arg;

	if (trigger->ops & STATOR_ON_EXECUTE) {
		uint32_t id = 0;

		if (name_of(def, event, &name))
			id = stator__hash(name.data, name.size);
		for (size_t i = 0; i < trigger->count; i++)
			if (trigger->ids[i] == id)
				return true;
	}
	if (trigger->ops & STATOR_ON_PARAM)
		return stator__row_child(def, event, STATOR_EVENT_ARGUMENT, 0,
					 &arg) &&
		       names_type(trigger, arg.type);
	return wants_cuds(trigger, def, event);
}

bool
stator__projector_wants(const stator_ext *ext, const stator_def *def,
			const stator_row *event)
{
	if (!ext->errors && stator__row_count(event, STATOR_EVENT_ERROR))
		return false;
	for (size_t i = 0; i < ext->trigger_count; i++)
		if (wants(&ext->triggers[i], def, event))
			return true;
	return false;
}

void
stator__projector_begin(stator_worker *w, const stator_ext *ext,
			const stator_row *event)
{
	stator_run *run = &w->state.io.run;
	int64_t wsid = 0;

	stator__row_int(event, STATOR_EVENT_WORKSPACE, &wsid);
	stator__state_begin(&w->state, ext, wsid);
	stator__row_int(event, STATOR_EVENT_OFFSET, &run->plog_offset);
	run->wlog_offset = 0; /* A command that has failed has none. */
	stator__row_int(event, STATOR_EVENT_WLOG_OFFSET, &run->wlog_offset);
	/* The time of the event, so that a replay gives the same. */
	stator__row_int(event, STATOR_EVENT_REGISTERED_AT, &run->now_ms);
	w->state.io.event = *event;
	stator__row_child(w->version->def, event, STATOR_EVENT_ARGUMENT, 0,
			  &w->state.io.argument);
}

int
stator__projector_run(stator_worker *w, const stator_ext *ext,
		      const stator_row *event, stator_map *map,
		      stator_settlements *settlements, stator_error *err)
{
	stator_state *st = &w->state;
	int code;

	stator__projector_begin(w, ext, event);
	code = stator__worker_count(w, ext, err);
	if (code) {
		stator__state_apply_log(st);
	} else {
		code = stator__state_validate(st, err);
		if (code == STATOR_OK)
			code = stator__kind_check_views(w, err);
		if (code == STATOR_OK) {
			st->io.writes = map;
			code = stator__state_apply(st, err);
			st->io.writes = NULL;
			stator__effects_keep(st, map);
		}
		if (code == STATOR_OK)
			stator__settle_keep(settlements, st);
		else
			stator__wrap(err, "%s", ext->name);
	}
	stator__worker_end(w);
	return code;
}
