/*
 * changes.c: the records that a command makes and changes.
 *
 * Clients and extensions number new records with raw IDs, 1 to 65535; here
 * they get their real ones, wherever they are referred to. What a reference
 * leads to must be there, and be of a table that the field allows.
 */
#include <stdlib.h>

#include "processor/processor.h"
#include "storage/storage.h"

/* Room that is kept from command to command. */
enum { KEPT = 1024 };

void
stator__changes_begin(stator_changes *ch, stator_worker *worker, int64_t wsid)
{
	*ch = (stator_changes){.worker = worker,
			       .wsid = wsid,
			       .cuds = ch->cuds,
			       .cud_cap = ch->cud_cap,
			       .ids = ch->ids,
			       .id_cap = ch->id_cap};
	if (STATOR_LIKELY(ch->cud_cap <= KEPT && ch->id_cap <= KEPT))
		return;
	stator__changes_free(ch);
	stator__changes_begin(ch, worker, wsid);
}

void
stator__changes_free(stator_changes *ch)
{
	free(ch->cuds);
	free(ch->ids);
	memset(ch, 0, sizeof(*ch));
}

int64_t
stator__raw_id_most(const stator_json *json)
{
	int64_t most = 0, id;

	if (json == NULL)
		return 0;
	if (json->kind == STATOR_JSON_NUMBER &&
	    stator__slice_is(json->name, "sys.ID") &&
	    stator__json_int(json, &id) && id <= STATOR_RAW_ID_MOST)
		return id;
	for (const stator_json *c = json->first; c; c = c->next) {
		id = stator__raw_id_most(c);
		if (id > most)
			most = id;
	}
	return most;
}

static stator_arena *
arena_of(const stator_changes *ch)
{
	return &ch->worker->state.arena;
}

static stator_cud *
add_cud(stator_changes *ch, bool is_new)
{
	stator_cud *cud;

	STATOR_GROW(ch->cuds, ch->cud_count, ch->cud_cap);
	cud = &ch->cuds[ch->cud_count++];
	memset(cud, 0, sizeof(*cud));
	cud->is_new = is_new;
	return cud;
}

/* The stored row of a record: OK, NONE or an error. */
static int
load_record(const stator_changes *ch, int64_t id, stator_row *row,
	    stator_error *err)
{
	stator_io *io = &ch->worker->state.io;
	uint8_t key[STATOR_RECORD_KEY];
	stator_slice bytes;
	int code;

	io->space = ch->worker->version->record->space;
	code = stator__store_api.get(&io->run, ch->wsid,
				     stator__record_key(key, ch->wsid, id),
				     &bytes, err);
	if (code)
		return code;
	*row = (stator_row){bytes.data, (uint32_t)bytes.size, 0,
			    stator__def_type(io->def,
					     stator__u32(bytes.data))};
	if (row->type == NULL)
		return stator__fail(err, STATOR_CORRUPT,
				    "record %lld is of a table that the schema "
				    "does not have",
				    (long long)id);
	return STATOR_OK;
}

/* CUDs of a request ----------------------------------------------------------- */

static int
no_such_table(const stator_changes *ch, const stator_path *path,
	      const char *name, stator_error *err)
{
	const stator_def *def = ch->worker->version->def;
	const char **all = stator__alloc(def->type_count * sizeof(*all) + 1);
	const char *guess;
	size_t count = 0;

	for (size_t i = 0; i < def->type_count; i++)
		if (stator__type_is_stored(def->types[i]) &&
		    !stator__type_info(def->types[i])->abstract)
			all[count++] = def->types[i]->name;
	guess = stator__guess(name, strlen(name), all, count);
	free(all);
	stator__path_fail(path, err, STATOR_NOT_FOUND, "no table is called %s",
			  name);
	return stator__suggest(err, guess);
}

/* The table that sys.QName names; NULL and no error when it is left out. */
static int
cud_table(const stator_changes *ch, const stator_json *json,
	  const stator_path *path, const stator_type **type, stator_error *err)
{
	const stator_json *name = stator__json_get(json, "sys.QName");
	stator_path at = {.up = path, .name = "sys.QName"};
	const char *text;

	*type = NULL;
	if (name == NULL || name->kind == STATOR_JSON_NULL)
		return STATOR_OK;
	if (name->kind != STATOR_JSON_STRING)
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "expected qname, found %s",
					 stator__json_show(arena_of(ch), name));
	text = stator__arena_str(arena_of(ch), name->text.data,
				 name->text.size);
	*type = stator__def_type_named(ch->worker->version->def, text);
	if (*type == NULL || strcmp((*type)->name, text) != 0)
		return no_such_table(ch, &at, text, err);
	if (!stator__type_is_stored(*type) ||
	    stator__type_info(*type)->abstract)
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "%s has no records of its own", text);
	return STATOR_OK;
}

static int
cud_id(const stator_changes *ch, const stator_json *json,
       const stator_path *path, int64_t *id, stator_error *err)
{
	const stator_json *value = stator__json_get(json, "sys.ID");
	stator_path at = {.up = path, .name = "sys.ID"};

	if (value == NULL || value->kind == STATOR_JSON_NULL)
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "missing: a raw ID (1 to 65535) for a "
					 "new record, or that of a record");
	if (value->kind != STATOR_JSON_NUMBER || !stator__json_int(value, id) ||
	    *id <= 0)
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "expected a record ID, found %s",
					 stator__json_show(arena_of(ch), value));
	return STATOR_OK;
}

/* What is there of a record that is to be changed. */
static int
find_old(const stator_changes *ch, int64_t id, const stator_path *path,
	 const stator_type **type, stator_error *err)
{
	stator_path at = {.up = path, .name = "sys.ID"};
	stator_row old;
	int code = load_record(ch, id, &old, err);

	if (code == STATOR_NONE)
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "there is no record %lld",
					 (long long)id);
	if (code)
		return code;
	if (*type && *type != old.type)
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "record %lld is of %s, not of %s",
					 (long long)id, old.type->name,
					 (*type)->name);
	*type = old.type;
	return STATOR_OK;
}

static int
read_cud(stator_changes *ch, const stator_json *json, const stator_path *path,
	 stator_error *err)
{
	stator_json_opts opts = {NULL, false};
	const stator_type *type;
	stator_cud *cud;
	int64_t id;
	int code;

	if (json->kind != STATOR_JSON_OBJECT)
		return stator__path_fail(path, err, STATOR_VALIDATION,
					 "expected an object, found %s",
					 stator__json_show(arena_of(ch), json));
	code = cud_table(ch, json, path, &type, err);
	if (code == STATOR_OK)
		code = cud_id(ch, json, path, &id, err);
	if (code)
		return code;
	opts.partial = id > STATOR_RAW_ID_MOST;
	if (opts.partial) {
		code = find_old(ch, id, path, &type, err);
		if (code)
			return code;
	} else if (type == NULL) {
		stator_path at = {.up = path, .name = "sys.QName"};

		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "missing: the table of the new "
					 "record");
	}
	cud = add_cud(ch, !opts.partial);
	cud->path = *path;
	return stator__row_from_json(arena_of(ch), type, json, path, &opts,
				     &cud->row, err);
}

int
stator__changes_from_json(stator_changes *ch, const stator_json *cuds,
			  stator_error *err)
{
	stator_path *base;
	size_t i = 0;

	if (cuds == NULL)
		return STATOR_OK;
	base = stator__arena_zero(arena_of(ch), sizeof(*base));
	base->name = "cuds";
	for (const stator_json *c = cuds->first; c; c = c->next, i++) {
		stator_path path = {.up = base, .index = i};
		int code = read_cud(ch, c, &path, err);

		if (code)
			return code;
	}
	return STATOR_OK;
}

/* CUDs of an extension ---------------------------------------------------------- */

static int
intent_id(const stator_changes *ch, stator_wish *w, int64_t *id,
	  stator_error *err)
{
	int64_t wsid;

	if (stator__row_int(&w->key, STATOR_KEY_WSID, &wsid) &&
	    wsid != ch->wsid)
		return stator__fail(err, STATOR_NOT_SUPPORTED,
				    "records are written in the workspace of "
				    "the command, %lld, not in %lld",
				    (long long)ch->wsid, (long long)wsid);
	if (w->is_new) {
		if (stator__row_int(&w->value, STATOR_SYS_ID, id) &&
		    *id <= STATOR_RAW_ID_MOST)
			return STATOR_OK;
		return stator__fail(err, STATOR_EXTENSION_FAILED,
				    "sys.ID of a new record is a raw one, 1 to "
				    "65535");
	}
	stator__row_int(&w->base, STATOR_SYS_ID, id);
	if (stator__row_int(&w->key, STATOR_KEY_WSID + 1, &wsid) && wsid != *id)
		return stator__fail(err, STATOR_EXTENSION_FAILED,
				    "update: the row is that of record %lld",
				    (long long)*id);
	return STATOR_OK;
}

/* The row of an update has the ID of the record, and no other. */
static stator_row
with_id(const stator_changes *ch, const stator_row *row, int64_t id)
{
	stator_builder b;

	stator__build_from(&b, arena_of(ch), row);
	stator__build_int(&b, STATOR_SYS_ID, id, NULL);
	return stator__build_done(&b);
}

/* The record intents of the run. */
static int
changes_from_intents(stator_changes *ch, stator_error *err)
{
	stator_state *st = &ch->worker->state;

	for (size_t i = 0; i < st->wish_count; i++) {
		stator_wish *w = &st->wishes[i];
		stator_cud *cud;
		int64_t id;

		if (!stator__wish_is_record(w))
			continue;
		if (intent_id(ch, w, &id, err)) {
			stator__wrap(err, "%s: %s", st->ext->name,
				     stator__state_show(st, w->handle,
							&w->key));
			return err->code;
		}
		cud = add_cud(ch, w->is_new);
		cud->row = w->is_new ? w->value : with_id(ch, &w->value, id);
		cud->path = (stator_path){.name = st->ext->name,
					  .what = w->handle->name,
					  .key = &w->key};
	}
	return STATOR_OK;
}

/* IDs ------------------------------------------------------------------------------ */

/* The place of a raw ID among those that are given, in their order. */
static size_t
raw_place(const stator_changes *ch, int64_t raw)
{
	size_t low = 0, high = ch->id_count;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (ch->ids[mid].raw < raw)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static const stator_raw_id *
find_raw(const stator_changes *ch, int64_t raw)
{
	size_t i = raw_place(ch, raw);

	return i < ch->id_count && ch->ids[i].raw == raw ? &ch->ids[i] : NULL;
}

static const stator_raw_id *
find_given(const stator_changes *ch, int64_t id)
{
	if (id >= ch->next_id || id < ch->next_id - (int64_t)ch->id_count)
		return NULL;
	for (size_t i = 0; i < ch->id_count; i++)
		if (ch->ids[i].id == id)
			return &ch->ids[i];
	return NULL;
}

/* Gives the row of a new document or record its real ID. */
static int
give_id(stator_changes *ch, stator_row *row, const stator_path *path,
	stator_error *err)
{
	stator_path at = {.up = path, .name = "sys.ID"};
	int64_t raw;
	size_t i;

	if (!stator__row_int(row, STATOR_SYS_ID, &raw))
		return STATOR_OK;
	if (raw > STATOR_RAW_ID_MOST)
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "expected a raw ID (1 to 65535), found "
					 "%lld",
					 (long long)raw);
	if (find_raw(ch, raw))
		return stator__path_fail(&at, err, STATOR_VALIDATION,
					 "raw ID %lld is given twice",
					 (long long)raw);
	STATOR_GROW(ch->ids, ch->id_count, ch->id_cap);
	i = raw_place(ch, raw);
	memmove(&ch->ids[i + 1], &ch->ids[i],
		(ch->id_count - i) * sizeof(*ch->ids));
	ch->ids[i] = (stator_raw_id){raw, ch->next_id, row->type};
	ch->id_count++;
	stator__row_set_int(row, STATOR_SYS_ID, ch->next_id++);
	return STATOR_OK;
}

typedef int (*row_visitor)(stator_changes *ch, stator_row *row,
			   const stator_path *path, stator_error *err);

/* Visits a row, then the rows nested in it. */
static int
visit(stator_changes *ch, stator_row *row, const stator_path *path,
      row_visitor visitor, stator_error *err)
{
	int code = visitor(ch, row, path, err);

	for (uint32_t i = 0; i < row->type->field_count && !code; i++) {
		const stator_field *f = &row->type->fields[i];
		stator_path list = {.up = path, .name = f->name};
		uint32_t count;

		if (f->kind != STATOR_ROWS)
			continue;
		count = stator__row_count(row, i);
		for (uint32_t k = 0; k < count && !code; k++) {
			stator_path at = {.up = &list, .index = k};
			stator_row child;

			if (stator__row_child(ch->worker->version->def, row, i,
					      k, &child))
				code = visit(ch, &child, &at, visitor, err);
		}
	}
	return code;
}

static int
give_ids(stator_changes *ch, stator_row *row, const stator_path *path,
	 stator_error *err)
{
	return stator__type_is_record(row->type) ? give_id(ch, row, path, err)
						 : STATOR_OK;
}

/* References ------------------------------------------------------------------------ */

static bool
may_lead_to(const stator_checks *checks, const stator_type *type)
{
	if (checks == NULL || checks->ref_count == 0)
		return true;
	for (size_t i = 0; i < checks->ref_count; i++)
		if (checks->refs[i] == type)
			return true;
	return false;
}

/* Documents of operations are in events only: nothing to look up. */
bool
stator__leads_to_stored(const stator_checks *checks)
{
	if (checks == NULL || checks->ref_count == 0)
		return true;
	for (size_t i = 0; i < checks->ref_count; i++)
		if (stator__type_is_stored(checks->refs[i]))
			return true;
	return false;
}

static int
check_target(const stator_field *f, const stator_type *type, int64_t id,
	     const stator_path *path, stator_error *err)
{
	const stator_checks *checks = f->checks;

	if (may_lead_to(checks, type))
		return STATOR_OK;
	return stator__path_fail(path, err, STATOR_VALIDATION,
				 "expected a record of %s, record %lld is of "
				 "%s",
				 checks->refs[0]->name, (long long)id,
				 type->name);
}

static bool
is_nested(const stator_type *type)
{
	return type->kind == STATOR_TYPE_CRECORD ||
	       type->kind == STATOR_TYPE_WRECORD ||
	       type->kind == STATOR_TYPE_GRECORD;
}

/* A container is a nested table of the parent. */
static int
check_container(const stator_row *row, const stator_type *parent,
		const stator_path *up, stator_error *err)
{
	stator_path path = {.up = up, .name = "sys.Container"};
	stator_slice name;
	int field;

	if (!stator__row_bytes(row, STATOR_SYS_CONTAINER, &name))
		return stator__path_fail(&path, err, STATOR_VALIDATION,
					 "missing: the nested table of %s",
					 parent->name);
	field = stator__type_find(parent, name.data, name.size);
	if (field >= 0 && parent->fields[field].rows == row->type)
		return STATOR_OK;
	return stator__path_fail(&path, err, STATOR_VALIDATION,
				 "%s has no nested table \"%.*s\" of %s",
				 parent->name, (int)name.size,
				 (const char *)name.data, row->type->name);
}

static int
check_ref(stator_changes *ch, stator_row *row, uint32_t field,
	  const stator_path *up, stator_error *err)
{
	const stator_field *f = &row->type->fields[field];
	stator_path path = {.up = up, .name = f->name};
	const stator_type *type;
	const stator_raw_id *raw;
	stator_row target;
	int64_t id;
	int code;

	if (!stator__row_int(row, field, &id))
		return STATOR_OK;
	raw = id <= STATOR_RAW_ID_MOST ? find_raw(ch, id)
	      : ch->ran		? find_given(ch, id)
				: NULL;
	if (raw == NULL && id <= STATOR_RAW_ID_MOST)
		return stator__path_fail(&path, err, STATOR_VALIDATION,
					 "nothing in this request has the raw "
					 "ID %lld",
					 (long long)id);
	if (raw) {
		stator__row_set_int(row, field, raw->id);
		type = raw->type;
	} else {
		if (!stator__leads_to_stored(f->checks))
			return STATOR_OK;
		code = load_record(ch, id, &target, err);
		if (code == STATOR_NONE)
			return stator__path_fail(&path, err, STATOR_VALIDATION,
						 "there is no record %lld",
						 (long long)id);
		if (code)
			return code;
		type = target.type;
	}
	if (field == STATOR_SYS_PARENT && is_nested(row->type))
		return check_container(row, type, up, err);
	return check_target(f, type, id, &path, err);
}

static int
check_refs(stator_changes *ch, stator_row *row, const stator_path *path,
	   stator_error *err)
{
	bool record = stator__type_is_record(row->type);

	for (uint32_t i = 0; i < row->type->field_count; i++) {
		int code;

		if (row->type->fields[i].kind != STATOR_REF ||
		    (record && i == STATOR_SYS_ID))
			continue;
		code = check_ref(ch, row, i, path, err);
		if (code)
			return code;
	}
	return STATOR_OK;
}

void
stator__changes_resolve(const stator_changes *ch, stator_row *row)
{
	for (uint32_t i = 0; i < row->type->field_count; i++) {
		const stator_raw_id *raw;
		int64_t id;

		if (row->type->fields[i].kind != STATOR_REF ||
		    !stator__row_int(row, i, &id))
			continue;
		raw = find_raw(ch, id);
		if (raw)
			stator__row_set_int(row, i, raw->id);
	}
}

/* Rows to be stored ------------------------------------------------------------------ */

/* A document stands for itself. */
static int
refuse_parent(const stator_cud *cud, stator_error *err)
{
	for (uint32_t i = STATOR_SYS_PARENT; i <= STATOR_SYS_CONTAINER; i++) {
		const stator_field *f = &cud->row.type->fields[i];
		stator_path path = {.up = &cud->path, .name = f->name};

		if (stator__row_at(&cud->row, f))
			return stator__path_fail(&path, err, STATOR_VALIDATION,
						 "%s is not nested",
						 cud->row.type->name);
	}
	return STATOR_OK;
}

static int
check_row(const stator_row *row, const stator_path *path, stator_error *err)
{
	stator_error said;

	if (stator__row_check(row, &said))
		return stator__path_fail(path, err, STATOR_VALIDATION, "%s",
					 said.msg);
	return STATOR_OK;
}

/* The record as it was, also when this command has changed it before. */
static int
latest(const stator_changes *ch, const stator_cud *cud, stator_row *old,
       stator_error *err)
{
	int64_t id, other;

	stator__row_int(&cud->row, STATOR_SYS_ID, &id);
	for (const stator_cud *c = cud; c-- > ch->cuds;)
		if (stator__row_int(&c->row, STATOR_SYS_ID, &other) &&
		    other == id) {
			*old = c->stored;
			return STATOR_OK;
		}
	return load_record(ch, id, old, err);
}

static int
make_stored(stator_changes *ch, stator_cud *cud, stator_error *err)
{
	stator_builder b;
	stator_row old;
	int64_t unused;

	if (!is_nested(cud->row.type) && refuse_parent(cud, err))
		return STATOR_VALIDATION;
	if (cud->is_new) {
		stator_path parent = {.up = &cud->path, .name = "sys.ParentID"};

		cud->stored = cud->row;
		if (is_nested(cud->row.type) &&
		    !stator__row_int(&cud->row, STATOR_SYS_PARENT, &unused))
			return stator__path_fail(
				&parent, err, STATOR_VALIDATION,
				"missing: the record that it is nested in");
	} else {
		int code = latest(ch, cud, &old, err);

		if (code)
			return code;
		cud->stored = stator__row_merge(arena_of(ch), &old, &cud->row);
	}
	/* The event's copy says whether it is new. */
	stator__build_from(&b, arena_of(ch), &cud->row);
	stator__build_int(&b, STATOR_SYS_IS_NEW, cud->is_new, NULL);
	cud->row = stator__build_done(&b);
	return check_row(&cud->stored, &cud->path, err);
}

int
stator__changes_open(stator_changes *ch, stator_row *const *arguments,
		     size_t count, stator_error *err)
{
	static const char *const names[] = {"args", "unlogged"};
	int code = STATOR_OK;

	for (size_t i = 0; i < count && !code; i++) {
		stator_path path = {.name = names[i]};

		if (arguments[i]->data)
			code = visit(ch, arguments[i], &path, give_ids, err);
	}
	for (size_t i = 0; i < ch->cud_count && !code; i++)
		if (ch->cuds[i].is_new)
			code = give_id(ch, &ch->cuds[i].row, &ch->cuds[i].path,
				       err);
	for (size_t i = 0; i < count && !code; i++) {
		stator_path path = {.name = names[i]};

		if (arguments[i]->data)
			code = visit(ch, arguments[i], &path, check_refs, err);
	}
	for (size_t i = 0; i < ch->cud_count && !code; i++)
		code = check_refs(ch, &ch->cuds[i].row, &ch->cuds[i].path, err);
	ch->opened = ch->cud_count;
	return code;
}

int
stator__changes_settle(stator_changes *ch, stator_error *err)
{
	int code;

	ch->ran = true;
	code = changes_from_intents(ch, err);
	for (size_t i = ch->opened; i < ch->cud_count && !code; i++)
		if (ch->cuds[i].is_new)
			code = give_id(ch, &ch->cuds[i].row, &ch->cuds[i].path,
				       err);
	for (size_t i = ch->opened; i < ch->cud_count && !code; i++)
		code = check_refs(ch, &ch->cuds[i].row, &ch->cuds[i].path, err);
	for (size_t i = 0; i < ch->cud_count && !code; i++)
		code = make_stored(ch, &ch->cuds[i], err);
	return code;
}
