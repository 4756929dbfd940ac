/*
 * verify_replay.c: the events of a partition once more, into a store of its
 * own: their CUDs, and the projectors that depend on nothing else.
 *
 * The store is that of an application that runs on an empty folder, so that
 * memory is bounded as there. Of what projectors ask for, views are written and
 * nothing else: nobody is told, and no line comes into the log.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files.h"
#include "processor/draft.h"
#include "processor/verify.h"
#include "storage/storage.h"

/* A projector, and what has come of it. */
typedef struct replayed {
	const stator_ext *ext;
	bool works;	 /* its runs need events and views only */
	int64_t offset;	 /* an asynchronous one has seen events up to it */
	uint64_t failed; /* runs */
} replayed;

struct stator_replayer {
	stator_verifier *v;
	stator_load_opts load;
	stator_draft draft;
	stator_app *app; /* the scratch one */
	const stator_def *def;
	replayed *projectors;
	size_t count;
	/* Of the partition at hand. */
	stator_worker *sync, *async;
	stator_map *map;
	stator_view view;
};

/* What can be replayed -------------------------------------------------- */

static bool
is_one_of(const char *name, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

/* Whether what it reads is the same in a replay. */
static bool
is_repeatable(const stator_replayer *r, const stator_ext *ext)
{
	static const char *const same[] = {"sys.View", "sys.Record", "sys.Uniq",
					   "sys.WLog", "sys.Event",
					   "sys.Logger"};
	const stator_registry *registry = r->app->deployment->version->registry;

	if (strcmp(ext->engine, "builtin") == 0)
		return false;
	for (size_t i = 0; i < ext->state_count; i++)
		if (!is_one_of(ext->state[i].storage, same, STATOR_COUNT(same)))
			return false;
	/* What it writes it may read, too, if that can be read. */
	for (size_t i = 0; i < ext->intent_count; i++) {
		const char *name = ext->intents[i].storage;
		const stator_binding *b =
			stator__registry_find(registry, name);

		if (!is_one_of(name, same, STATOR_COUNT(same)) &&
		    (b == NULL || b->storage->get || b->storage->read))
			return false;
	}
	return true;
}

static bool
writes_view(const stator_ext *ext, uint32_t id)
{
	for (size_t i = 0; i < ext->intent_count; i++) {
		const stator_storage_ref *ref = &ext->intents[i];

		if (strcmp(ref->storage, "sys.View") != 0)
			continue;
		for (size_t k = 0; k < ref->entity_count; k++)
			if (stator__hash(ref->entities[k],
					 strlen(ref->entities[k])) == id)
				return true;
	}
	return false;
}

static bool
works(const stator_replayer *r, const stator_ext *ext)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->projectors[i].ext == ext)
			return r->projectors[i].works;
	return false;
}

/* A view is rebuilt when all that write it are replayed, and there are any. */
static bool
is_rebuilt(void *ctx, uint32_t id)
{
	const stator_replayer *r = ctx;
	bool any = false;

	for (size_t i = 0; i < r->def->ext_count; i++) {
		if (!writes_view(&r->def->exts[i], id))
			continue;
		if (!works(r, &r->def->exts[i]))
			return false;
		any = true;
	}
	return any;
}

static void
say_view(stator_replayer *r, const stator_type *type, const char *why)
{
	const stator_finding f = {.warning = true,
				  .space = "view",
				  .name = type->name,
				  .wrong = why,
				  .todo = "its rows are not compared"};

	stator__verify_say(r->v, &f);
}

/* What is not looked at is said, once. */
static void
say_views(stator_replayer *r)
{
	for (size_t i = 0; i < r->def->type_count; i++) {
		const stator_type *type = r->def->types[i];
		bool any = false;

		if (type->kind != STATOR_TYPE_VIEW || is_rebuilt(r, type->id))
			continue;
		for (size_t k = 0; k < r->def->ext_count; k++)
			any |= writes_view(&r->def->exts[k], type->id);
		say_view(r, type,
			 any ? "what writes it cannot be replayed: a job, a "
			       "builtin extension, or one that reads more "
			       "than events, views and records"
			     : "nothing in the image writes it");
	}
}

static void
find_projectors(stator_replayer *r)
{
	r->projectors = stator__alloc((r->def->ext_count + 1) *
				      sizeof(*r->projectors));
	for (size_t i = 0; i < r->def->ext_count; i++) {
		const stator_ext *ext = &r->def->exts[i];

		if (ext->kind == STATOR_PROJECTOR)
			r->projectors[r->count++] =
				(replayed){.ext = ext,
					   .works = is_repeatable(r, ext)};
	}
}

/* The scratch application ----------------------------------------------- */

/* Nothing of it has to survive, it shall not take much memory, and a machine
 * that is busy is no reason for a run to fail that did not fail then. */
static void
make_modest(stator_descriptor *d)
{
	enum { MEMORY = 96 << 20, SLOWER = 10 };

	d->limits.breaches = UINT32_MAX;
	if (d->limits.projector_ms < UINT32_MAX / SLOWER)
		d->limits.projector_ms *= SLOWER;
	d->durability = STATOR_DURABILITY_NONE;
	if (d->log_memory > MEMORY)
		d->log_memory = MEMORY;
}

static int
open_scratch(stator_replayer *r, const char *image, const char *where,
	     stator_error *err)
{
	const stator_app_opts opts = {.partitions = r->v->app->partition_count};
	stator_version *version;
	int code = stator__image_load(&version, image, &r->load, err);

	if (code)
		return code;
	code = stator__draft_make(&r->draft, where, "verify-", err);
	if (code) {
		stator__version_free(version);
	} else {
		make_modest(&version->descriptor);
		code = stator__app_open(&r->app, version, r->draft.folder,
					&opts, err);
	}
	if (code == STATOR_IO) {
		char *said = stator__strdup(err->msg);

		stator__fail(err, code, "%s; say with --scratch where there is "
					"room",
			     said);
		free(said);
	}
	return code;
}

int
stator__replayer_new(stator_replayer **out, stator_verifier *v,
		     const char *image, const char *data, stator_error *err)
{
	stator_replayer *r = stator__alloc(sizeof(*r));
	const char *where = v->up.opts.scratch ? v->up.opts.scratch : data;
	int code;

	r->v = v;
	r->draft.held = -1;
	r->load = (stator_load_opts){
		.purpose = STATOR_TO_CHECK,
		.plugins = v->up.opts.plugins,
		.plugin_count = v->up.opts.plugin_count,
		.plugin_files = v->up.opts.plugin_files,
		.plugin_file_count = v->up.opts.plugin_file_count};
	code = open_scratch(r, image, where, err);
	if (code) {
		stator__replayer_free(r);
		return code;
	}
	r->def = r->app->deployment->version->def;
	find_projectors(r);
	say_views(r);
	*out = r;
	return STATOR_OK;
}

void
stator__replayer_free(stator_replayer *r)
{
	if (r->app)
		stator__app_close(r->app);
	stator__draft_remove(&r->draft);
	free(r->projectors);
	free(r);
}

/* Events ---------------------------------------------------------------- */

static void
say_event(stator_replayer *r, const stator_ext *ext, int64_t offset,
	  const stator_error *said)
{
	stator_verifier *v = r->v;
	const stator_finding f = {
		.space = ext ? "projector" : "plog",
		.name = ext ? ext->name : NULL,
		.key = stator__arena_format(&v->arena, "event %lld",
					    (long long)offset),
		.wrong = stator__arena_format(&v->arena, "in a replay: %s",
					      said->msg),
		.todo = ext ? "mend the projector, or what it reads"
			    : stator__verify_damage};

	stator__verify_say(v, &f);
}

/* What stands in the logs, for those who read sys.WLog. */
static void
write_logs(stator_replayer *r, const stator_row *event, int64_t offset)
{
	stator_arena *arena = &r->sync->state.arena;
	int64_t wsid = 0, wlog = 0;

	stator__row_int(event, STATOR_EVENT_WORKSPACE, &wsid);
	stator__row_int(event, STATOR_EVENT_WLOG_OFFSET, &wlog);
	stator__map_write(r->map, stator__event_key(arena, offset),
			  stator__slice(event->data, event->size),
			  STATOR_CHANGE_PUT);
	stator__number_put(r->map, stator__wlog_key(arena, wsid, wlog), offset);
}

/* The kind of the event's workspace, for those who may not be there. */
static void
write_kind(stator_replayer *r, const stator_row *event)
{
	stator_arena *arena = &r->sync->state.arena;
	int64_t wsid = 0;
	stator_slice key, bytes;
	stator_error err;

	stator__row_int(event, STATOR_EVENT_WORKSPACE, &wsid);
	key = stator__sequence_key(arena, wsid);
	if (r->def->kinds_matter &&
	    stator__view_get(&r->v->view, arena, key, &bytes, &err) ==
		    STATOR_OK)
		stator__map_write(r->map, key, bytes, STATOR_CHANGE_PUT);
}

/* The row of a record behind this CUD: all its fields but IsNew. */
static stator_row
stored_row(stator_arena *arena, const stator_row *cud, const stator_row *old)
{
	stator_row merged = old ? stator__row_merge(arena, old, cud) : *cud;
	stator_builder b;

	stator__build(&b, arena, cud->type);
	for (uint32_t i = 0; i < cud->type->field_count; i++)
		if (i != STATOR_SYS_IS_NEW)
			stator__build_copy(&b, i, &merged);
	return stator__build_done(&b);
}

/* The record that a CUD changes: OK, NONE or an error. */
static int
load_old(stator_replayer *r, int64_t wsid, int64_t id, const stator_row *cud,
	 stator_row *old, stator_error *err)
{
	stator_io *io = &r->sync->state.io;
	uint8_t key[STATOR_RECORD_KEY];
	stator_slice bytes;
	int code = stator__store_api.get(&io->run, wsid,
					 stator__record_key(key, wsid, id),
					 &bytes, err);

	*old = (stator_row){bytes.data, (uint32_t)bytes.size, 0, cud->type};
	return code;
}

/* sys.Record writes it, so that its index is there to be read. */
static int
write_record(stator_replayer *r, const stator_row *stored, bool is_new,
	     stator_error *err)
{
	const stator_worker *w = r->sync;
	const stator_binding *record =
		stator__registry_find(w->version->registry, "sys.Record");
	stator_use use = {.abi = STATOR_ABI,
			  .size = sizeof(use),
			  .entity = stored->type->name,
			  .entity_id = stored->type->id,
			  .table = stored->type,
			  .value = stored->type};
	stator_builder b;
	stator_row key;
	stator_intent item = {STATOR_ABI, sizeof(item), &use,	&key,
			      stored,	  is_new,	0};
	const stator_instance *instances =
		w->deployment->instances[w->partition->index];

	stator__build(&b, &r->sync->state.arena, record->key);
	key = stator__build_done(&b);
	return record->storage->apply(instances[record->plugin].self,
				      &w->state.io.run, &item, 1, err);
}

static int
apply_cud(stator_replayer *r, int64_t wsid, const stator_row *cud,
	  stator_error *err)
{
	int64_t id = 0, is_new = 0;
	stator_row old, stored;
	int code;

	if (!stator__type_is_stored(cud->type))
		return STATOR_OK;
	stator__row_int(cud, STATOR_SYS_ID, &id);
	stator__row_int(cud, STATOR_SYS_IS_NEW, &is_new);
	code = load_old(r, wsid, id, cud, &old, err);
	if (code < 0)
		return code;
	if (is_new && code == STATOR_OK)
		return stator__fail(err, STATOR_CORRUPT,
				    "record %lld is made, but it is there",
				    (long long)id);
	if (!is_new && code == STATOR_NONE)
		return stator__fail(err, STATOR_CORRUPT,
				    "record %lld is changed, but it is not "
				    "there",
				    (long long)id);
	stored = stored_row(&r->sync->state.arena, cud, is_new ? NULL : &old);
	return write_record(r, &stored, is_new != 0, err);
}

/* Records of the event: those of the sync worker's state, which is free. */
static void
apply_cuds(stator_replayer *r, const stator_row *event, int64_t offset)
{
	uint32_t count = stator__row_count(event, STATOR_EVENT_CUDS);
	stator_io *io = &r->sync->state.io;
	int64_t wsid = 0;

	stator__row_int(event, STATOR_EVENT_WORKSPACE, &wsid);
	io->arena = &r->sync->state.arena;
	io->run.wsid = wsid;
	io->space = stator__sys_space();
	io->writes = r->map;
	for (uint32_t i = 0; i < count; i++) {
		stator_error said;
		stator_row cud;

		if (stator__row_child(r->def, event, STATOR_EVENT_CUDS, i,
				      &cud) &&
		    apply_cud(r, wsid, &cud, &said))
			say_event(r, NULL, offset, &said);
	}
	io->writes = NULL;
}

/* Of what a run asks for, views are left. */
static void
keep_views(stator_state *st)
{
	size_t count = 0;

	for (size_t i = 0; i < st->wish_count; i++)
		if (st->wishes[i].handle->binding->storage ==
		    &stator__storage_view)
			st->wishes[count++] = st->wishes[i];
	st->wish_count = count;
}

static int
run_projector(stator_replayer *r, stator_worker *w, const stator_ext *ext,
	      const stator_row *event, stator_error *err)
{
	int code;

	stator__projector_begin(w, ext, event);
	code = stator__worker_run(w, ext, err);
	if (code == STATOR_OK) {
		keep_views(&w->state);
		code = stator__state_validate(&w->state, err);
	}
	if (code == STATOR_OK) {
		w->state.io.writes = r->map;
		code = stator__state_apply(&w->state, err);
		w->state.io.writes = NULL;
	}
	stator__worker_end(w);
	return code;
}

/* A run that fails is tried again where the host does that, too. */
static int
try_projector(stator_replayer *r, const stator_ext *ext,
	      const stator_row *event, stator_error *err)
{
	enum { TRIES = 4 };
	int code = STATOR_NONE;

	for (int i = 0; code && i < (ext->sync ? 1 : TRIES); i++) {
		stator__map_mark(r->map);
		code = run_projector(r, ext->sync ? r->sync : r->async, ext,
				     event, err);
		if (code)
			stator__map_rollback(r->map);
	}
	return code;
}

/* The first failure is said, and how many there were, at the end. */
static void
run_projectors(stator_replayer *r, bool sync, const stator_row *event,
	       int64_t offset)
{
	for (size_t i = 0; i < r->count; i++) {
		replayed *p = &r->projectors[i];
		stator_error said;

		if (!p->works || p->ext->sync != sync ||
		    (!sync && p->offset < offset) ||
		    !stator__projector_wants(p->ext, r->def, event) ||
		    stator__kind_wants(sync ? r->sync : r->async, p->ext,
				       event, &said) == STATOR_NONE)
			continue;
		if (!sync && stator__projector_skipped(&r->v->view,
						       &r->v->arena,
						       p->ext->name, offset,
						       &said) == STATOR_OK)
			continue;
		if (try_projector(r, p->ext, event, &said) &&
		    p->failed++ == 0)
			say_event(r, p->ext, offset, &said);
	}
}

static void
say_failures(stator_replayer *r)
{
	for (size_t i = 0; i < r->count; i++) {
		replayed *p = &r->projectors[i];
		stator_error said;

		if (p->failed < 2)
			continue;
		stator__fail(&said, STATOR_EXTENSION_FAILED,
			     "it failed for %llu events in all",
			     (unsigned long long)p->failed);
		say_event(r, p->ext, r->v->last_event, &said);
	}
}

/* Partitions ------------------------------------------------------------ */

static int
commit(stator_replayer *r, stator_error *err)
{
	const stator_partition *p = &r->app->partitions[r->v->partition];
	int code = STATOR_OK;

	if (stator__map_count(r->map))
		code = p->ops->commit(p->store, r->map, err);
	stator__map_clear(r->map);
	return code ? code : p->ops->refresh(r->view.snapshot, err);
}

static int
replay_event(stator_replayer *r, const stator_scan *scan, stator_error *err)
{
	enum { BATCH_BYTES = 4 << 20 };
	const int64_t offset = (int64_t)stator__be64(
		(const uint8_t *)scan->key.data + 1);
	const stator_row event = {scan->value.data, (uint32_t)scan->value.size,
				  0, r->def->event};

	stator__map_mark(r->map);
	write_logs(r, &event, offset);
	write_kind(r, &event);
	apply_cuds(r, &event, offset);
	stator__worker_end(r->sync);
	run_projectors(r, true, &event, offset);
	run_projectors(r, false, &event, offset);
	stator__worker_end(r->async);
	stator__arena_reset(&r->v->arena);
	return stator__map_bytes(r->map) < BATCH_BYTES ? STATOR_OK
						       : commit(r, err);
}

static int
replay_events(stator_replayer *r, stator_error *err)
{
	enum { STEP = 1000 };
	stator_verifier *v = r->v;
	stator_slice low = stator__slice("e", 1), high = stator__slice("f", 1);
	stator_scan scan;
	uint64_t done = 0;
	int code;

	stator__scan_begin(&scan, v->view.ops, v->view.snapshot, low, high);
	while ((code = stator__scan_next(&scan, err)) == STATOR_OK) {
		code = replay_event(r, &scan, err);
		if (code)
			break;
		if (++done % STEP == 0)
			stator__upkeep_progress(&v->up, v->partition, "events",
						done,
						(uint64_t)v->last_event);
	}
	stator__scan_end(&scan);
	return code < 0 ? code : commit(r, err);
}

/* How far the asynchronous projectors of the data are. */
static int
read_offsets(stator_replayer *r, stator_error *err)
{
	int code = STATOR_OK;

	for (size_t i = 0; i < r->count && !code; i++) {
		replayed *p = &r->projectors[i];

		p->failed = 0;
		code = stator__projector_offset(&r->v->view, p->ext, &p->offset,
						err);
	}
	return code;
}

static int
make_workers(stator_replayer *r, stator_error *err)
{
	stator_partition *p = &r->app->partitions[r->v->partition];
	const stator_deployment *d = r->app->deployment;
	stator_problems problems = {0};

	r->sync = stator__worker_new(p, d, &problems);
	r->async = stator__worker_new(p, d, &problems);
	if (problems.count)
		stator__fail(err, STATOR_IMAGE, "%s:%d:%d: %s",
			     problems.items[0].file, problems.items[0].line,
			     problems.items[0].col, problems.items[0].message);
	stator__problems_free(&problems);
	if (r->sync == NULL || r->async == NULL)
		return STATOR_IMAGE;
	r->sync->view = r->async->view = r->view;
	return STATOR_OK;
}

static int
replay(stator_replayer *r, stator_error *err)
{
	int code = make_workers(r, err);

	if (code == STATOR_OK)
		code = read_offsets(r, err);
	if (code == STATOR_OK)
		code = replay_events(r, err);
	if (code == STATOR_OK)
		say_failures(r);
	if (r->async)
		stator__worker_free(r->async);
	if (r->sync)
		stator__worker_free(r->sync);
	r->sync = r->async = NULL;
	return code;
}

int
stator__verify_replay(stator_replayer *r, stator_error *err)
{
	const stator_partition *p = &r->app->partitions[r->v->partition];
	int code;

	r->view = (stator_view){.ops = p->ops};
	code = p->ops->newest(p->store, &r->view.snapshot, err);
	if (code)
		return code;
	r->map = stator__map_new();
	r->view.over = r->map;
	code = replay(r, err);
	stator__map_free(r->map);
	r->view.over = NULL;
	if (code == STATOR_OK)
		code = stator__verify_compare(r->v, &r->view, is_rebuilt, r,
					      err);
	p->ops->snapshot_end(r->view.snapshot);
	return code;
}
