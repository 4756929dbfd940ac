/*
 * verify_walk.c: a look at every entry of a partition, in the order of their
 * keys, and at what each of them leads to.
 */
#include <stdlib.h>

#include "processor/verify.h"
#include "storage/storage.h"

typedef struct walk {
	stator_verifier *v;
	stator_scan scan;
	stator_buf before; /* the last key */
	stator_io io;	   /* for keys of uniques */
	/* Of the WLog: the workspace and offset that were seen last. */
	int64_t wlog_wsid, wlog_offset;
	/* The sequences of a workspace, which were read last. */
	int64_t sequence_wsid, next_wlog, next_id;
	uint32_t unknown_view; /* that was said last */
	bool unknown_space;    /* that was said */
	bool has_plog;	       /* it is known which event is next */
} walk;

static stator_arena *
arena_of(walk *w)
{
	return &w->v->arena;
}

static void say(walk *w, const char *space, const char *name, int64_t wsid,
		const char *key, const char *format, ...) STATOR_PRINTF(6, 7);
static void warn(walk *w, const stator_finding *f, const char *format, ...)
	STATOR_PRINTF(3, 4);

/* Damage. */
static void
say(walk *w, const char *space, const char *name, int64_t wsid,
    const char *key, const char *format, ...)
{
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, 0, format, args);
	va_end(args);
	stator__verify_say(w->v, &(stator_finding){.space = space,
						   .name = name,
						   .wsid = wsid,
						   .key = key,
						   .wrong = text.msg,
						   .todo = stator__verify_damage});
}

/* What may be right, and what to do if it is not. */
static void
warn(walk *w, const stator_finding *f, const char *format, ...)
{
	stator_finding all = *f;
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, 0, format, args);
	va_end(args);
	all.warning = true;
	all.wrong = text.msg;
	stator__verify_say(w->v, &all);
}

static const char *
number(walk *w, int64_t n)
{
	return stator__verify_number(w->v, n);
}

/* OK, NONE or an error. */
static int
look_up(walk *w, stator_slice key, stator_slice *value, stator_error *err)
{
	return stator__view_get(&w->v->view, arena_of(w), key, value, err);
}

static bool
is_ours(const walk *w, int64_t wsid)
{
	return wsid > 0 && (uint64_t)wsid % w->v->app->partition_count ==
				   w->v->partition;
}

static stator_row
row_of(stator_slice bytes, const stator_type *type)
{
	return (stator_row){bytes.data, (uint32_t)bytes.size, 0, type};
}

/* Events ---------------------------------------------------------------- */

static void
check_child(walk *w, const stator_row *event, uint32_t field, uint32_t i,
	    int64_t offset)
{
	const char *what = field == STATOR_EVENT_ARGUMENT ? "argument" : "CUD";
	stator_row child;

	if (!stator__row_child(w->v->def, event, field, i, &child))
		warn(w,
		     &(stator_finding){.space = "plog",
				       .key = number(w, offset),
				       .todo = "keep types in the schema that "
					       "events have"},
		     "its %s is of a type that the image does not have", what);
	else if (!stator__row_sound(&child))
		say(w, "plog", child.type->name, 0, number(w, offset),
		    "its %s cannot be read", what);
}

/* The WLog leads back to it. */
static int
check_event_wlog(walk *w, const stator_row *event, int64_t offset,
		 stator_error *err)
{
	int64_t wsid = 0, wlog = 0;
	stator_slice entry, name;
	int code;

	/* A command that failed has no place in the log of its workspace. */
	if (stator__row_bytes(event, STATOR_EVENT_QNAME, &name) &&
	    stator__slice_is(name, "sys.Error"))
		return STATOR_OK;
	stator__row_int(event, STATOR_EVENT_WORKSPACE, &wsid);
	stator__row_int(event, STATOR_EVENT_WLOG_OFFSET, &wlog);
	if (!is_ours(w, wsid)) {
		say(w, "plog", NULL, wsid, number(w, offset),
		    "its workspace is of another partition");
		return STATOR_OK;
	}
	code = look_up(w, stator__wlog_key(arena_of(w), wsid, wlog), &entry,
		       err);
	if (code == STATOR_NONE)
		say(w, "plog", NULL, wsid, number(w, offset),
		    "the WLog of its workspace has nothing at its offset %lld",
		    (long long)wlog);
	else if (code == STATOR_OK &&
		 (entry.size != 8 ||
		  (int64_t)stator__be64(entry.data) != offset))
		say(w, "plog", NULL, wsid, number(w, offset),
		    "offset %lld of the WLog of its workspace leads to another "
		    "event",
		    (long long)wlog);
	return code < 0 ? code : STATOR_OK;
}

static int
check_event(walk *w, stator_error *err)
{
	stator_row event = row_of(w->scan.value, w->v->def->event);
	int64_t offset = 0, expected = w->v->last_event + 1, says = 0;
	uint32_t cuds;

	if (w->scan.key.size != 9) {
		say(w, "plog", NULL, 0, NULL, "a key of %zu bytes is no offset",
		    w->scan.key.size);
		return STATOR_OK;
	}
	offset = (int64_t)stator__be64((const uint8_t *)w->scan.key.data + 1);
	if (offset != expected)
		say(w, "plog", NULL, 0, number(w, offset),
		    "events %lld to %lld are missing before it",
		    (long long)expected, (long long)offset - 1);
	w->v->last_event = offset;
	if (!stator__row_sound(&event)) {
		say(w, "plog", NULL, 0, number(w, offset),
		    "the event cannot be read");
		return STATOR_OK;
	}
	stator__row_int(&event, STATOR_EVENT_OFFSET, &says);
	if (says != offset)
		say(w, "plog", NULL, 0, number(w, offset),
		    "the event says that its offset is %lld", (long long)says);
	if (stator__row_count(&event, STATOR_EVENT_ARGUMENT))
		check_child(w, &event, STATOR_EVENT_ARGUMENT, 0, offset);
	cuds = stator__row_count(&event, STATOR_EVENT_CUDS);
	for (uint32_t i = 0; i < cuds; i++)
		check_child(w, &event, STATOR_EVENT_CUDS, i, offset);
	return check_event_wlog(w, &event, offset, err);
}

/* Sequences ------------------------------------------------------------- */

/* What the workspace gives next. */
static int
read_sequence(walk *w, int64_t wsid, stator_error *err)
{
	stator_slice bytes;
	int code;

	if (wsid == w->sequence_wsid)
		return STATOR_OK;
	code = look_up(w, stator__sequence_key(arena_of(w), wsid), &bytes, err);
	w->sequence_wsid = wsid;
	w->next_wlog = w->next_id = 0;
	if (code == STATOR_OK && bytes.size >= STATOR_SEQUENCES) {
		w->next_wlog = (int64_t)stator__be64(bytes.data);
		w->next_id = (int64_t)stator__be64(
			(const uint8_t *)bytes.data + 8);
	}
	return code < 0 ? code : STATOR_OK;
}

/* The WLog -------------------------------------------------------------- */

static int
check_wlog_order(walk *w, int64_t wsid, int64_t offset, stator_error *err)
{
	int64_t expected = wsid == w->wlog_wsid ? w->wlog_offset + 1 : 1;
	int code = read_sequence(w, wsid, err);

	if (code)
		return code;
	if (wsid != w->wlog_wsid && w->next_wlog == 0)
		say(w, "sequence", NULL, wsid, NULL,
		    "nothing says which offset of its WLog is next");
	if (offset != expected)
		say(w, "wlog", NULL, wsid, number(w, offset),
		    "offsets %lld to %lld are missing before it",
		    (long long)expected, (long long)offset - 1);
	w->wlog_wsid = wsid;
	w->wlog_offset = offset;
	return STATOR_OK;
}

static int
check_wlog(walk *w, stator_error *err)
{
	const uint8_t *p = w->scan.key.data;
	int64_t wsid, offset, plog, event_wsid = 0, event_offset = 0;
	stator_slice bytes = {NULL, 0};
	stator_row event;
	int code;

	if (w->scan.key.size != 17 || w->scan.value.size != 8) {
		say(w, "wlog", NULL, 0, NULL, "an entry is not an offset");
		return STATOR_OK;
	}
	wsid = (int64_t)stator__be64(p + 1);
	offset = (int64_t)stator__be64(p + 9);
	plog = (int64_t)stator__be64(w->scan.value.data);
	code = check_wlog_order(w, wsid, offset, err);
	if (code == STATOR_OK)
		code = look_up(w, stator__event_key(arena_of(w), plog), &bytes,
			       err);
	event = row_of(bytes, w->v->def->event);
	if (code == STATOR_OK && stator__row_sound(&event)) {
		stator__row_int(&event, STATOR_EVENT_WORKSPACE, &event_wsid);
		stator__row_int(&event, STATOR_EVENT_WLOG_OFFSET,
				&event_offset);
	}
	if (code == STATOR_NONE)
		say(w, "wlog", NULL, wsid, number(w, offset),
		    "it leads to event %lld, which is missing",
		    (long long)plog);
	else if (code == STATOR_OK &&
		 (event_wsid != wsid || event_offset != offset))
		say(w, "wlog", NULL, wsid, number(w, offset),
		    "it leads to event %lld, which is another one",
		    (long long)plog);
	return code < 0 ? code : STATOR_OK;
}

/* The kind of a workspace is that of a descriptor. */
static void
check_kind(walk *w, int64_t wsid)
{
	const stator_type *type;
	stator_ws_kind kind;

	stator__kind_read(w->scan.value, &kind);
	if (kind.descriptor == 0)
		return;
	type = stator__def_type(w->v->def, kind.descriptor);
	if (type == NULL || stator__type_info(type)->kind == 0)
		say(w, "sequence", NULL, wsid, NULL,
		    "its kind is that of a descriptor which the schema does "
		    "not have");
}

/* The WLog ends right before what comes next. */
static int
check_sequence(walk *w, stator_error *err)
{
	int64_t wsid, next;
	stator_slice bytes;
	int last, beyond;

	if (w->scan.key.size != 9 ||
	    (w->scan.value.size != STATOR_SEQUENCES &&
	     w->scan.value.size != STATOR_SEQUENCES_MOST)) {
		say(w, "sequence", NULL, 0, NULL,
		    "an entry is not a workspace's");
		return STATOR_OK;
	}
	wsid = (int64_t)stator__be64((const uint8_t *)w->scan.key.data + 1);
	next = (int64_t)stator__be64(w->scan.value.data);
	check_kind(w, wsid);
	last = look_up(w, stator__wlog_key(arena_of(w), wsid, next - 1), &bytes,
		       err);
	if (last < 0)
		return last;
	beyond = look_up(w, stator__wlog_key(arena_of(w), wsid, next), &bytes,
			 err);
	if (beyond < 0)
		return beyond;
	if (next > 1 && last == STATOR_NONE)
		say(w, "sequence", NULL, wsid, NULL,
		    "offset %lld is next, but the WLog has no %lld",
		    (long long)next, (long long)next - 1);
	if (beyond == STATOR_OK)
		say(w, "sequence", NULL, wsid, NULL,
		    "offset %lld is next, but the WLog has it already",
		    (long long)next);
	return STATOR_OK;
}

/* Records --------------------------------------------------------------- */

static stator_slice
in_sys(walk *w, stator_slice key)
{
	uint8_t *p = stator__arena_alloc(arena_of(w),
					 STATOR_SPACE_SIZE + key.size);

	stator__space_put(p, stator__sys_space());
	memcpy(p + STATOR_SPACE_SIZE, key.data, key.size);
	return stator__slice(p, STATOR_SPACE_SIZE + key.size);
}

static int
find_record(walk *w, int64_t wsid, int64_t id, stator_slice *bytes,
	    stator_error *err)
{
	uint8_t key[STATOR_RECORD_KEY];

	return look_up(w, in_sys(w, stator__record_key(key, wsid, id)), bytes,
		       err);
}

static int
check_refs(walk *w, const stator_row *row, int64_t wsid, int64_t id,
	   stator_error *err)
{
	int code = STATOR_OK;

	for (uint32_t i = STATOR_SYS_PARENT;
	     i < row->type->field_count && code >= 0; i++) {
		const stator_field *f = &row->type->fields[i];
		stator_slice bytes;
		int64_t other;

		if (f->kind != STATOR_REF ||
		    !stator__leads_to_stored(f->checks) ||
		    !stator__row_int(row, i, &other))
			continue;
		code = find_record(w, wsid, other, &bytes, err);
		if (code == STATOR_NONE)
			warn(w,
			     &(stator_finding){
				     .space = "record",
				     .name = row->type->name,
				     .wsid = wsid,
				     .key = number(w, id),
				     .todo = "give the field another record"},
			     "%s leads to record %lld, which is not there",
			     f->name, (long long)other);
	}
	return code < 0 ? code : STATOR_OK;
}

static bool
is_active(const stator_row *row)
{
	int64_t active;

	return !stator__row_int(row, STATOR_SYS_ACTIVE, &active) || active;
}

/* The key of a unique of a record: OK or NONE. */
static int
unique_key(walk *w, const stator_row *row, uint32_t i, int64_t wsid,
	   stator_slice *key)
{
	const sys_plugin sys = {.host = &stator__host_api};
	int code;

	w->io.arena = arena_of(w);
	w->io.def = w->v->def;
	code = stator__unique_key(&sys, &w->io.run, row->type, i, wsid, row, 0,
				  key);
	if (code == STATOR_OK)
		*key = in_sys(w, *key);
	return code;
}

/* The index has its values, and gives it. */
static int
check_uniques(walk *w, const stator_row *row, int64_t wsid, int64_t id,
	      stator_error *err)
{
	int code = STATOR_OK;

	for (uint32_t i = 0; is_active(row) && i < row->type->unique_count &&
			     code >= 0; i++) {
		stator_slice key, bytes;
		int64_t holder = 0;

		if (unique_key(w, row, i, wsid, &key) != STATOR_OK)
			continue;
		code = look_up(w, key, &bytes, err);
		if (code == STATOR_OK && bytes.size == 8)
			memcpy(&holder, bytes.data, 8);
		if (code == STATOR_NONE)
			say(w, "record", row->type->name, wsid, number(w, id),
			    "the index of its unique %u lacks it", i + 1);
		else if (code == STATOR_OK && holder != id)
			say(w, "record", row->type->name, wsid, number(w, id),
			    "the index of its unique %u has record %lld in its "
			    "place",
			    i + 1, (long long)holder);
	}
	return code < 0 ? code : STATOR_OK;
}

/* The type of a record, if it can be read. */
static const stator_type *
type_of(walk *w, stator_slice bytes)
{
	const stator_type *type =
		bytes.size < STATOR_ROW_HEADER
			? NULL
			: stator__def_type(w->v->def, stator__u32(bytes.data));

	return type && stator__type_is_stored(type) ? type : NULL;
}

static int
check_record(walk *w, stator_error *err)
{
	const uint8_t *p =
		(const uint8_t *)w->scan.key.data + STATOR_SYS_PREFIX;
	const stator_type *type = type_of(w, w->scan.value);
	int64_t wsid, id, own = 0;
	stator_row row;
	int code;

	if (w->scan.key.size != STATOR_SPACE_SIZE + STATOR_RECORD_KEY) {
		say(w, "record", NULL, 0, NULL, "a key is not a record's");
		return STATOR_OK;
	}
	wsid = (int64_t)stator__be64(p);
	id = (int64_t)stator__be64(p + 8);
	row = row_of(w->scan.value, type);
	if (type == NULL || !stator__row_sound(&row)) {
		say(w, "record", type ? type->name : NULL, wsid, number(w, id),
		    type ? "it cannot be read"
			 : "it is of no table that the image has");
		return STATOR_OK;
	}
	if (!stator__row_int(&row, STATOR_SYS_ID, &own) || own != id)
		say(w, "record", type->name, wsid, number(w, id),
		    "its row says that its ID is %lld", (long long)own);
	if (!is_ours(w, wsid))
		say(w, "record", type->name, wsid, number(w, id),
		    "its workspace is of another partition");
	code = read_sequence(w, wsid, err);
	if (code == STATOR_OK && id >= w->next_id)
		say(w, "record", type->name, wsid, number(w, id),
		    "the workspace would give its ID again: %lld is next",
		    (long long)w->next_id);
	if (code == STATOR_OK)
		code = check_refs(w, &row, wsid, id, err);
	return code ? code : check_uniques(w, &row, wsid, id, err);
}

/* The record of an entry of the index, which has its values. */
static bool
holds(walk *w, stator_slice bytes, uint32_t table, uint32_t i, int64_t wsid)
{
	const stator_type *type = type_of(w, bytes);
	stator_row row = row_of(bytes, type);
	stator_slice key;

	return type && type->id == table && i < type->unique_count &&
	       stator__row_sound(&row) && is_active(&row) &&
	       unique_key(w, &row, i, wsid, &key) == STATOR_OK &&
	       stator__slice_eq(key, w->scan.key);
}

static int
check_unique_entry(walk *w, stator_error *err)
{
	enum { LEAST = STATOR_SYS_PREFIX + 13 };
	const uint8_t *p =
		(const uint8_t *)w->scan.key.data + STATOR_SYS_PREFIX;
	const stator_type *type;
	stator_slice bytes;
	int64_t wsid, id;
	int code;

	if (w->scan.key.size < LEAST || w->scan.value.size != 8) {
		say(w, "unique", NULL, 0, NULL, "an entry is not an index's");
		return STATOR_OK;
	}
	type = stator__def_type(w->v->def, stator__be32(p));
	wsid = (int64_t)stator__be64(p + 5);
	memcpy(&id, w->scan.value.data, 8);
	code = find_record(w, wsid, id, &bytes, err);
	if (code < 0)
		return code;
	if (code == STATOR_NONE)
		say(w, "unique", type ? type->name : NULL, wsid, number(w, id),
		    "unique %u has values of this record, which is not there",
		    p[4] + 1u);
	else if (!holds(w, bytes, stator__be32(p), p[4], wsid))
		say(w, "unique", type ? type->name : NULL, wsid, number(w, id),
		    "unique %u has values that this record does not have",
		    p[4] + 1u);
	return STATOR_OK;
}

/* Views ----------------------------------------------------------------- */

static void
check_view_row(walk *w, const stator_type *type, const stator_view_place *place)
{
	stator_row row = row_of(w->scan.value, type), key;
	const char *shown = stator__verify_view_key(w->v, type, place->fields);
	stator_buf again = {0};
	stator_error err;
	bool complete;

	if (!is_ours(w, place->wsid))
		say(w, "view", type->name, place->wsid, shown,
		    "its workspace is of another partition");
	if (!stator__row_sound(&row))
		say(w, "view", type->name, place->wsid, shown,
		    "the row cannot be read");
	if (stator__key_decode(arena_of(w), stator__type_info(type)->key,
			       place->fields, &key, &err) != STATOR_OK ||
	    stator__key_encode(&again, &key, &complete, &err) != STATOR_OK ||
	    !stator__slice_eq(place->fields,
			      stator__slice(again.data, again.size)))
		say(w, "view", type->name, place->wsid, shown,
		    "the key cannot be read");
	free(again.data);
}

static void
check_view(walk *w)
{
	stator_view_place place;
	const stator_type *type;

	if (!stator__verify_view_place(w->scan.key, &place)) {
		say(w, "view", NULL, 0, NULL, "a key is not a view's");
		return;
	}
	type = stator__def_type(w->v->def, place.id);
	if (type && type->kind == STATOR_TYPE_VIEW) {
		check_view_row(w, type, &place);
	} else if (place.id != w->unknown_view) {
		w->unknown_view = place.id;
		warn(w,
		     &(stator_finding){.space = "view",
				       .key = number(w, place.id),
				       .todo = "if the view was removed, this "
					       "is what it has left"},
		     "rows of a view that the image does not have");
	}
}

/* Everything ------------------------------------------------------------ */

/* An effect is that of an event. */
static int
check_effect(walk *w, stator_error *err)
{
	const uint8_t *p = w->scan.key.data;
	stator_slice bytes;
	int64_t offset;
	int code;

	if (w->scan.key.size != 17) {
		say(w, "outbox", NULL, 0, NULL, "a key is not an effect's");
		return STATOR_OK;
	}
	offset = (int64_t)stator__be64(p + 1);
	code = look_up(w, stator__event_key(arena_of(w), offset), &bytes, err);
	if (code == STATOR_NONE)
		say(w, "outbox", NULL, 0, number(w, offset),
		    "an effect of an event that is missing");
	return code < 0 ? code : STATOR_OK;
}

/* Numbers that the partition remembers: events come before 'm'. */
static void
check_memory(walk *w)
{
	static const char plog[] = STATOR_META_PLOG, projector[] = "projector ";
	const char *name = (const char *)w->scan.key.data + 1;
	size_t size = w->scan.key.size - 1;
	bool is_plog = size == sizeof(plog) - 1 &&
		       memcmp(name, plog, size) == 0;
	bool is_projector = size > sizeof(projector) - 1 &&
			    memcmp(name, projector, sizeof(projector) - 1) == 0;
	int64_t n;

	if ((!is_plog && !is_projector) || w->scan.value.size < 8)
		return;
	n = (int64_t)stator__be64(w->scan.value.data);
	name = stator__arena_str(arena_of(w), name, size);
	w->has_plog |= is_plog;
	if (is_plog && n != w->v->last_event + 1)
		say(w, "plog", NULL, 0, NULL,
		    "offset %lld is next, but event %lld is the last one",
		    (long long)n, (long long)w->v->last_event);
	if (is_projector && n > w->v->last_event)
		say(w, "projector", name + sizeof(projector) - 1, 0, NULL,
		    "it has seen event %lld, but event %lld is the last one",
		    (long long)n, (long long)w->v->last_event);
}

static int
check_stored(walk *w, stator_error *err)
{
	if (!stator__verify_in_sys(w->scan.key))
		return STATOR_OK;
	switch (((const uint8_t *)w->scan.key.data)[STATOR_SPACE_SIZE]) {
	case RECORD_LETTER:
		return check_record(w, err);
	case UNIQUE_LETTER:
		return check_unique_entry(w, err);
	case VIEW_LETTER:
		check_view(w);
	}
	return STATOR_OK;
}

static void
check_order(walk *w)
{
	stator_slice before = stator__slice(w->before.data, w->before.size);

	if (w->v->entries && stator__slice_cmp(before, w->scan.key) >= 0)
		say(w, "store", NULL, 0, NULL,
		    "keys are not in order: entry %llu comes before the one "
		    "that stands before it",
		    (unsigned long long)w->v->entries + 1);
	w->before.size = 0;
	stator__buf_put(&w->before, w->scan.key.data, w->scan.key.size);
}

static int
check_entry(walk *w, stator_error *err)
{
	uint8_t space = *(const uint8_t *)w->scan.key.data;

	switch (space) {
	case STATOR_SPACE_EVENT:
		return check_event(w, err);
	case STATOR_SPACE_WLOG:
		return check_wlog(w, err);
	case STATOR_SPACE_META:
		check_memory(w);
		return STATOR_OK;
	case STATOR_SPACE_SEQUENCE:
		return check_sequence(w, err);
	case STATOR_SPACE_OUTBOX:
		return check_effect(w, err);
	case STATOR_SPACE_STORAGE:
		return check_stored(w, err);
	}
	if (!w->unknown_space)
		warn(w,
		     &(stator_finding){.space = "store",
				       .key = number(w, space),
				       .todo = "look at it with the version "
					       "of stator that wrote it"},
		     "entries of a kind that this version does not know");
	w->unknown_space = true;
	return STATOR_OK;
}

int
stator__verify_walk(stator_verifier *v, stator_error *err)
{
	enum { STEP = 10000 };
	walk w = {.v = v, .sequence_wsid = -1};
	int code;

	v->last_event = 0;
	v->entries = 0;
	stator__scan_begin(&w.scan, v->view.ops, v->view.snapshot,
			   stator__slice("", 0), stator__slice("", 0));
	while ((code = stator__scan_next(&w.scan, err)) == STATOR_OK) {
		check_order(&w);
		code = check_entry(&w, err);
		stator__arena_reset(&v->arena);
		if (code)
			break;
		if (++v->entries % STEP == 0)
			stator__upkeep_progress(&v->up, v->partition, "rows",
						v->entries, 0);
	}
	if (code == STATOR_NONE && v->last_event && !w.has_plog)
		say(&w, "plog", NULL, 0, NULL,
		    "nothing says which event is next");
	stator__scan_end(&w.scan);
	free(w.before.data);
	return code < 0 ? code : STATOR_OK;
}
