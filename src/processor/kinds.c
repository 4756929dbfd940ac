/*
 * kinds.c: kinds of workspaces, as they are given and asked for.
 *
 * A workspace has no kind until the record of a descriptor is written in it;
 * then it has the kind of the workspace of the schema that declares this
 * descriptor, for good. That stands behind the numbers of the workspace, with
 * the event that gave it: what came before was of no kind, so that a replay of
 * the log finds what there was.
 */
#include "processor/processor.h"

void
stator__kind_read(stator_slice sequences, stator_ws_kind *out)
{
	const uint8_t *p = sequences.data;

	*out = (stator_ws_kind){0};
	if (sequences.size != STATOR_SEQUENCES_MOST)
		return;
	out->descriptor = stator__be32(p + STATOR_SEQUENCES);
	out->since = (int64_t)stator__be64(p + STATOR_SEQUENCES + 4);
}

size_t
stator__kind_write(const stator_ws_kind *kind, uint8_t *sequences)
{
	if (kind->descriptor == 0)
		return STATOR_SEQUENCES;
	stator__be32_put(sequences + STATOR_SEQUENCES, kind->descriptor);
	stator__be64_put(sequences + STATOR_SEQUENCES + 4,
			 (uint64_t)kind->since);
	return STATOR_SEQUENCES_MOST;
}

/* The kind that a workspace has, or had at an event. */
static int
look_up(stator_worker *w, int64_t wsid, int64_t event, uint32_t *kind,
	stator_error *err)
{
	const stator_def *def = w->version->def;
	stator_arena *arena = &w->state.arena;
	stator_ws_kind found;
	stator_slice bytes;
	int code;

	*kind = 0;
	if (!def->kinds_matter)
		return STATOR_OK;
	code = stator__view_get(&w->view, arena,
				stator__sequence_key(arena, wsid), &bytes, err);
	if (code)
		return code < 0 ? code : STATOR_OK;
	stator__kind_read(bytes, &found);
	if (found.descriptor && found.since <= event)
		*kind = stator__kind_given(def, found.descriptor);
	return STATOR_OK;
}

static int
refuse(const stator_def *def, const char *name, const char *workspace,
       int64_t wsid, uint32_t kind, int code, stator_error *err)
{
	return stator__fail(err, code,
			    "%s is declared in workspace %s: %lld is a %s",
			    name, workspace, (long long)wsid,
			    def->kinds[kind]->name);
}

int
stator__kind_check(const stator_def *def, const stator_ext *ext, int64_t wsid,
		   uint32_t kind, stator_error *err)
{
	if (STATOR_LIKELY(ext->kinds[kind]))
		return STATOR_OK;
	return refuse(def, ext->name, ext->workspace, wsid, kind,
		      STATOR_NOT_FOUND, err);
}

int
stator__kind_check_query(stator_worker *w, const stator_ext *ext, int64_t wsid,
			 stator_error *err)
{
	uint32_t kind;
	int code = look_up(w, wsid, INT64_MAX, &kind, err);

	return code ? code
		    : stator__kind_check(w->version->def, ext, wsid, kind, err);
}

/* Giving ----------------------------------------------------------------------- */

static int
give(const stator_def *def, const stator_cud *cud, int64_t wsid, int64_t event,
     stator_ws_kind *kind, stator_error *err)
{
	const stator_type *type = cud->row.type;
	uint32_t has = stator__kind_given(def, kind->descriptor);
	uint32_t given = stator__type_info(type)->kind;

	if (kind->descriptor == 0)
		*kind = (stator_ws_kind){type->id, event};
	else if (has && has != given)
		return stator__path_fail(
			&cud->path, err, STATOR_VALIDATION,
			"%s would make workspace %lld a %s: it is a %s, and "
			"stays one",
			type->name, (long long)wsid, def->kinds[given]->name,
			def->kinds[has]->name);
	return STATOR_OK;
}

int
stator__kind_settle(const stator_changes *ch, int64_t event,
		    stator_ws_kind *kind, stator_error *err)
{
	const stator_def *def = ch->worker->version->def;
	int code = STATOR_OK;
	uint32_t has;

	for (size_t i = 0; i < ch->cud_count && !code; i++)
		if (stator__type_info(ch->cuds[i].row.type)->kind)
			code = give(def, &ch->cuds[i], ch->wsid, event, kind,
				    err);
	if (code || kind->descriptor == 0)
		return code;
	has = stator__kind_given(def, kind->descriptor);
	for (size_t i = 0; i < ch->cud_count; i++) {
		const stator_cud *cud = &ch->cuds[i];
		const stator_type_info *info = stator__type_info(cud->row.type);
		stator_error said;

		if (info->kinds[has])
			continue;
		refuse(def, cud->row.type->name, info->workspace, ch->wsid, has,
		       STATOR_VALIDATION, &said);
		return stator__path_fail(&cud->path, err, STATOR_VALIDATION,
					 "%s", said.msg);
	}
	return STATOR_OK;
}

/* Projectors ------------------------------------------------------------------- */

int
stator__kind_wants(stator_worker *w, const stator_ext *ext,
		   const stator_row *event, stator_error *err)
{
	int64_t wsid = 0, offset = 0;
	uint32_t kind;
	int code;

	if (!w->version->def->kinds_matter)
		return STATOR_OK;
	stator__row_int(event, STATOR_EVENT_WORKSPACE, &wsid);
	stator__row_int(event, STATOR_EVENT_OFFSET, &offset);
	code = look_up(w, wsid, offset, &kind, err);
	return code ? code : ext->kinds[kind] ? STATOR_OK : STATOR_NONE;
}

static int
check_wish(stator_worker *w, const stator_wish *wish, stator_error *err)
{
	const stator_run *run = &w->state.io.run;
	const stator_type *type = wish->handle->use.value;
	const stator_type_info *info = stator__type_info(type);
	int64_t wsid = run->wsid;
	uint32_t kind;
	int code;

	stator__row_int(&wish->key, STATOR_KEY_WSID, &wsid);
	/* Of another partition: that is refused when it is applied. */
	if (wsid <= 0 || (uint64_t)wsid % run->partitions != run->partition)
		return STATOR_OK;
	code = look_up(w, wsid, run->plog_offset ? run->plog_offset : INT64_MAX,
		       &kind, err);
	if (code || info->kinds[kind])
		return code;
	refuse(w->version->def, type->name, info->workspace, wsid, kind,
	       STATOR_VALIDATION, err);
	return stator__wrap(err, "%s",
			    stator__state_show(&w->state, wish->handle,
					       &wish->key));
}

int
stator__kind_check_views(stator_worker *w, stator_error *err)
{
	const stator_state *st = &w->state;
	int code = STATOR_OK;

	if (!w->version->def->kinds_matter)
		return STATOR_OK;
	for (size_t i = 0; i < st->wish_count && !code; i++) {
		const stator_type *type = st->wishes[i].handle->use.value;

		if (type && type->kind == STATOR_TYPE_VIEW)
			code = check_wish(w, &st->wishes[i], err);
	}
	return code;
}
