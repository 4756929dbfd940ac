/*
 * conform_calls.c: calls of the plugin, with what must be true after each.
 */
#include <stdio.h>
#include <stdlib.h>

#include "conformance/conform.h"

/* Findings ---------------------------------------------------------------- */

static bool
is_known(const conform_report *report, conform_rule rule, conform_call call)
{
	for (uint32_t i = 0; i < report->broken_count; i++)
		if (report->broken[i].rule == rule &&
		    report->broken[i].call == call)
			return true;
	return report->broken_count == CONFORM_BROKEN;
}

/* One line, whatever the plugin has put into its texts. */
static void
flatten(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ')
			*s = ' ';
}

void
conform_broke(conform_bench *b, conform_rule rule, conform_call call,
	      const char *format, ...)
{
	conform_report *report = b->suite->report;
	va_list args;

	pthread_mutex_lock(&b->lock);
	if (!is_known(report, rule, call)) {
		uint32_t i = report->broken_count;

		va_start(args, format);
		vsnprintf(report->broken[i].found,
			  sizeof(report->broken[i].found), format, args);
		va_end(args);
		flatten(report->broken[i].found);
		report->broken[i].rule = rule;
		report->broken[i].call = call;
		report->broken_count++;
	}
	pthread_mutex_unlock(&b->lock);
}

void
conform_skip(conform_bench *b, const char *why)
{
	snprintf(b->suite->report->skipped, sizeof(b->suite->report->skipped),
		 "%s", why);
}

const char *
conform_call_name(int call)
{
	static const char *const names[CALL_COUNT] = {
#define CALL(name, text, where) text,
		CONFORM_CALLS(CALL)
#undef CALL
	};

	return names[call];
}

void
conform_with(conform_lane *lane, const char *what)
{
	conform_report *report = lane->bench->suite->report;

	snprintf(report->lanes[lane->slot].with,
		 sizeof(report->lanes[lane->slot].with), "%s", what);
}

const char *
conform_given(const conform_lane *lane)
{
	const char *with = lane->bench->suite->report->lanes[lane->slot].with;

	return *with ? with : "what every plugin is given";
}

/* Around a call ----------------------------------------------------------- */

/* The functions of a storage have its time, those of the plugin the usual. */
uint32_t
conform_call_ms(const conform_report *report, int call)
{
	return call >= CALL_GET && report->call_ms ? report->call_ms
						   : STATOR_CALL_MS;
}

static int64_t
enter(conform_lane *lane, conform_call call)
{
	conform_bench *b = lane->bench;
	conform_report *report = b->suite->report;

	/* Where there is no `attach`, all partitions are one instance. */
	if (!(b->plugin->flags & STATOR_CONCURRENT))
		pthread_mutex_lock(
			&b->calls[b->plugin->attach ? lane->partition : 0]);
	report->last = (int)call;
	report->lanes[lane->slot].entered = stator__monotonic_ns();
	report->lanes[lane->slot].call = (int)call;
	return report->lanes[lane->slot].entered;
}

static void
leave(conform_lane *lane, conform_call call, int64_t entered)
{
	conform_bench *b = lane->bench;
	conform_report *report = b->suite->report;
	int64_t took = stator__monotonic_ns() - entered;

	report->lanes[lane->slot].call = CALL_NONE;
	if (!(b->plugin->flags & STATOR_CONCURRENT))
		pthread_mutex_unlock(
			&b->calls[b->plugin->attach ? lane->partition : 0]);
	conform_check_bounds(call);
	if (took > conform_call_ms(report, (int)call) * 1000000ll)
		conform_broke(b, RULE_TIME, call,
			      "it took %lld ms, %u are allowed",
			      (long long)(took / 1000000),
			      conform_call_ms(report, (int)call));
}

static bool
may_say_none(conform_call call)
{
	return call == CALL_GET || call == CALL_NEXT;
}

static void
check_text(conform_lane *lane, conform_call call, int code,
	   const stator_error *err)
{
	const char *with = conform_given(lane);
	const char *end = memchr(err->msg, 0, sizeof(err->msg));
	size_t size = end ? (size_t)(end - err->msg) : sizeof(err->msg);

	if (size == 0)
		conform_broke(lane->bench, RULE_TEXT, call,
			      "it returned %s without a text, given %s",
			      stator__status_name(code), with);
	else if (end == NULL)
		conform_broke(lane->bench, RULE_TEXT, call,
			      "the text does not end, given %s", with);
	else if (memchr(err->msg, '\n', size) ||
		 !stator__utf8_valid(err->msg, size))
		conform_broke(lane->bench, RULE_TEXT, call,
			      "the text is \"%s\", given %s", err->msg, with);
}

/* Gives the code, or STORAGE_FAILED for one that may not be. */
static int
check_code(conform_lane *lane, conform_call call, int code,
	   const stator_error *err)
{
	const char *with = conform_given(lane);

	if (code == STATOR_OK || (code == STATOR_NONE && may_say_none(call)))
		return code;
	if (code > 0 || !stator__status_known(code)) {
		conform_broke(lane->bench, RULE_STATUS, call,
			      "it returned %d%s, given %s", code,
			      code == STATOR_NONE ? ", NONE" : "", with);
		return STATOR_STORAGE_FAILED;
	}
	check_text(lane, call, code, err);
	return code;
}

static void
fresh(stator_error *err)
{
	memset(err, 'x', sizeof(*err));
	err->msg[0] = 0;
}

/* Plugins ----------------------------------------------------------------- */

int
conform_init(conform_bench *b, void **data)
{
	int64_t entered = enter(&b->lane, CALL_INIT);
	int code = STATOR_OK;
	stator_error err;

	fresh(&err);
	*data = NULL;
	if (b->plugin->init)
		code = b->plugin->init(b->host, b->configs, data, &err);
	leave(&b->lane, CALL_INIT, entered);
	code = check_code(&b->lane, CALL_INIT, code, &err);
	if (code && !conform_alloc_failed())
		conform_broke(b, RULE_SUCCEEDS, CALL_INIT,
			      "it says %s%s%.300s", stator__status_name(code),
			      err.msg[0] ? ": " : "", err.msg);
	return code;
}

int
conform_attach(conform_bench *b, void *data, uint32_t partition,
	       void *previous, void **self)
{
	int64_t entered = enter(&b->lane, CALL_ATTACH);
	int code = STATOR_OK;
	stator_error err;

	fresh(&err);
	*self = data;
	if (b->plugin->attach)
		code = b->plugin->attach(data, partition, previous, self, &err);
	leave(&b->lane, CALL_ATTACH, entered);
	code = check_code(&b->lane, CALL_ATTACH, code, &err);
	if (code && !conform_alloc_failed())
		conform_broke(b, RULE_SUCCEEDS, CALL_ATTACH,
			      "it says %s%s%.300s", stator__status_name(code),
			      err.msg[0] ? ": " : "", err.msg);
	return code;
}

void
conform_detach(conform_bench *b, void *self)
{
	int64_t entered = enter(&b->lane, CALL_DETACH);

	if (b->plugin->detach)
		b->plugin->detach(self);
	leave(&b->lane, CALL_DETACH, entered);
}

void
conform_finit(conform_bench *b, void *data)
{
	int64_t entered = enter(&b->lane, CALL_FINIT);

	if (b->plugin->finit)
		b->plugin->finit(data);
	leave(&b->lane, CALL_FINIT, entered);
}

/* The configuration of one storage: below its name, or all that is given. */
static const stator_json *
config_of(const conform_bench *b, const stator_json *given,
	  const stator_storage *s)
{
	const stator_json *own = NULL;

	if (given && given->kind == STATOR_JSON_OBJECT)
		own = stator__json_get(given, s->name);
	if (own && own->kind == STATOR_JSON_OBJECT)
		return own;
	return b->plugin->storage_count == 1 ? given : NULL;
}

bool
conform_configure(conform_bench *b)
{
	const char *text = b->suite->config_json;
	const stator_json *wrong;
	stator_json *given = NULL;
	stator_error err;

	if (b->configs)
		return true;
	b->configs = stator__arena_zero(
		&b->arena, b->plugin->storage_count * sizeof(*b->configs));
	if (text &&
	    stator__json_parse(&b->arena, text, strlen(text), &given, &err)) {
		conform_broke(b, RULE_CONFIG, CALL_NONE, "%s", err.msg);
		return false;
	}
	for (size_t i = 0; i < b->plugin->storage_count; i++) {
		const stator_storage *s = b->plugin->storages[i];
		const stator_json *own = config_of(b, given, s);

		if (stator__config_row(&b->arena, s, &own, 1, &b->configs[i],
				       &wrong, &err) == STATOR_OK)
			continue;
		conform_broke(b, RULE_CONFIG, CALL_NONE,
			      "storage %s: %s; give it with --config", s->name,
			      err.msg);
		return false;
	}
	return true;
}

bool
conform_open(conform_bench *b)
{
	b->attached = 0;
	if (!conform_configure(b) || conform_init(b, &b->data))
		return false;
	while (b->attached < CONFORM_PARTITIONS &&
	       conform_attach(b, b->data, b->attached, NULL,
			      &b->selves[b->attached]) == STATOR_OK)
		b->attached++;
	if (b->attached == CONFORM_PARTITIONS)
		return true;
	conform_close(b);
	return false;
}

void
conform_close(conform_bench *b)
{
	while (b->attached > 0)
		conform_detach(b, b->selves[--b->attached]);
	conform_finit(b, b->data);
	if (conform_blocks())
		conform_broke(b, RULE_FREED, CALL_FINIT,
			      "%zu blocks of host->alloc are left",
			      conform_blocks());
}

/* Runs -------------------------------------------------------------------- */

uint32_t
conform_scope(const conform_bench *b, int op)
{
	uint32_t scopes = b->storage->scopes[op];

	/* What may be got one by one may be got together. */
	if (op == STATOR_GETBATCH)
		scopes |= b->storage->scopes[STATOR_GET];
	return scopes & ~(scopes - 1);
}

/* The store's snapshots are empty: all that is stored is in the maps. */
static int
nothing_get(stator_snapshot *snapshot, stator_arena *arena, stator_slice key,
	    stator_slice *value, stator_error *err)
{
	(void)snapshot, (void)arena, (void)key, (void)value, (void)err;
	return STATOR_NONE;
}

static int
nothing_range(stator_snapshot *snapshot, stator_arena *arena, stator_slice low,
	      stator_slice high, bool reverse, stator_store_cursor **out,
	      stator_error *err)
{
	(void)snapshot, (void)arena, (void)low, (void)high, (void)reverse;
	(void)err;
	*out = NULL;
	return STATOR_OK;
}

static const stator_store_ops nothing = {
	.name = "nothing",
	.get = nothing_get,
	.range = nothing_range,
};

static const stator_view *
view_of(stator_io *io, int64_t wsid, stator_error *err)
{
	conform_run *r = (conform_run *)io;

	if (wsid > 0)
		return &r->views[wsid % CONFORM_PARTITIONS];
	stator__fail(err, STATOR_EXTENSION_FAILED,
		     "WSID: expected a workspace, found %lld", (long long)wsid);
	return NULL;
}

static int
take_result(stator_io *io, const stator_row *row, stator_error *err)
{
	(void)io, (void)row, (void)err;
	return STATOR_OK;
}

/* An event of conform.Make, for projectors; its argument, for the others. */
static void
give_context(conform_run *r)
{
	const stator_def *def = r->io.def;
	stator_row line = conform_good(
		r, stator__def_type_named(def, "conform.Line"), 0);
	stator_builder b;

	if (r->io.run.scope != STATOR_PROJECTORS) {
		r->io.argument = line;
		return;
	}
	stator__build(&b, &r->arena, def->event);
	stator__build_int(&b, STATOR_EVENT_WLOG_OFFSET, 1, NULL);
	stator__build_int(&b, STATOR_EVENT_WORKSPACE, r->io.run.wsid, NULL);
	stator__build_int(&b, STATOR_EVENT_OFFSET, 1, NULL);
	stator__build_bytes(&b, STATOR_EVENT_QNAME,
			    stator__cslice("conform.Make"), NULL);
	stator__build_rows(&b, STATOR_EVENT_ARGUMENT, &line, 1, NULL);
	r->io.event = stator__build_done(&b);
}

conform_run *
conform_run_begin(conform_lane *lane, uint32_t scope)
{
	bool logged = scope == STATOR_COMMANDS || scope == STATOR_PROJECTORS;
	size_t size;
	char *memory = conform_run_memory(&size);
	conform_run *r = (conform_run *)(void *)memory;

	memset(r, 0, sizeof(*r));
	r->lane = lane;
	r->arena.at = memory + ((sizeof(*r) + 15) & ~(size_t)15);
	r->arena.end = memory + size;
	r->end = memory + size;
	r->io.arena = &r->arena;
	r->io.def = lane->bench->suite->def;
	r->io.view_of = view_of;
	r->io.on_result = take_result;
	r->io.space = stator__hash("conform", 7);
	r->io.run = (stator_run){
		.abi = STATOR_ABI,
		.size = sizeof(r->io.run),
		.app = "stator/conform",
		.extension = "conform.Make",
		.wsid = CONFORM_PARTITIONS - lane->partition,
		.plog_offset = logged,
		.wlog_offset = logged,
		.now_ms = stator__now_ms(),
		.partition = lane->partition,
		.scope = scope,
		.partitions = CONFORM_PARTITIONS,
	};
	for (int i = 0; i < CONFORM_PARTITIONS; i++)
		r->views[i] = (stator_view){.ops = &nothing,
					       .over = lane->maps[i]};
	give_context(r);
	return r;
}

void
conform_run_end(conform_run *r)
{
	if (r->open_ranges)
		conform_broke(r->lane->bench, RULE_RANGE_FREED,
			      (conform_call)r->lane->bench->suite->report->last,
			      "%u cursors are left at the end of a run",
			      r->open_ranges);
	stator__arena_free(&r->arena);
	conform_run_memory_end(r);
}

/* Rows that are handed out ------------------------------------------------ */

static bool
is_of_run(const conform_run *r, const stator_row *row)
{
	const char *begin = (const char *)(r + 1), *p = (const void *)row->data;

	if (p >= begin && p < r->end)
		return row->size <= (size_t)(r->end - p);
	return stator__arena_owns(&r->arena, p, row->size);
}

/* As the host looks at it, and closer: whether the row fits its fields. */
static int
check_row(conform_run *r, conform_call call, const stator_row *row,
	  const stator_type *type, const char *what)
{
	conform_bench *b = r->lane->bench;
	const char *with = conform_given(r->lane);
	stator_error err;

	if (row->data == NULL || row->type != type)
		conform_broke(b, RULE_ROW_TYPE, call, "%s is %s, given %s",
			      what,
			      row->data ? "of another type" : "not filled",
			      with);
	else if (!is_of_run(r, row))
		conform_broke(b, RULE_ROW_RUN, call,
			      "%s lies elsewhere, or ends elsewhere: it says "
			      "it has %u bytes, given %s",
			      what, row->size, with);
	else if (!stator__row_sound(row) ||
		 stator__u32(row->data) != type->id)
		conform_broke(b, RULE_ROW_SOUND, call,
			      "%s is bytes that are not a row, given %s", what,
			      with);
	else if (stator__row_check(row, &err))
		conform_broke(b, RULE_ROW_FITS, call, "%s: %s, given %s", what,
			      err.msg, with);
	else
		return STATOR_OK;
	return STATOR_STORAGE_FAILED;
}

/* Storages ---------------------------------------------------------------- */

static void *
self_of(const conform_run *r)
{
	return r->lane->bench->selves[r->lane->partition];
}

int
conform_get(conform_run *r, const stator_row *key, stator_row *value)
{
	conform_bench *b = r->lane->bench;
	int64_t entered = enter(r->lane, CALL_GET);
	stator_error err;
	int code;

	fresh(&err);
	*value = (stator_row){.type = b->use.value};
	code = b->storage->get(self_of(r), &r->io.run, &b->use, key, value,
			       &err);
	leave(r->lane, CALL_GET, entered);
	code = check_code(r->lane, CALL_GET, code, &err);
	if (code == STATOR_OK)
		return check_row(r, CALL_GET, value, b->use.value, "the value");
	value->data = NULL;
	return code;
}

int
conform_get_batch(conform_run *r, const stator_row *keys, size_t count,
		  stator_row *values)
{
	conform_bench *b = r->lane->bench;
	int64_t entered;
	stator_error err;
	int code;

	fresh(&err);
	for (size_t i = 0; i < count; i++)
		values[i] = (stator_row){.type = b->use.value};
	entered = enter(r->lane, CALL_BATCH);
	code = b->storage->get_batch(self_of(r), &r->io.run, &b->use, keys,
				     count, values, &err);
	leave(r->lane, CALL_BATCH, entered);
	code = check_code(r->lane, CALL_BATCH, code, &err);
	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		if (values[i].data)
			code = check_row(r, CALL_BATCH, &values[i],
					 b->use.value, "a value");
	return code;
}

int
conform_read(conform_run *r, const stator_row *key, bool reverse,
	     uint32_t limit, stator_cursor **cursor)
{
	conform_bench *b = r->lane->bench;
	stator_read_opts opts = {STATOR_ABI, sizeof(opts), reverse, limit};
	int64_t entered = enter(r->lane, CALL_READ);
	stator_error err;
	int code;

	fresh(&err);
	*cursor = NULL;
	code = b->storage->read(self_of(r), &r->io.run, &b->use, key, &opts,
				cursor, &err);
	leave(r->lane, CALL_READ, entered);
	code = check_code(r->lane, CALL_READ, code, &err);
	if (code)
		return code;
	if (*cursor && (*cursor)->next && (*cursor)->release)
		return STATOR_OK;
	conform_broke(b, RULE_CURSOR, CALL_READ, "the cursor is %s",
		      *cursor ? "without next or release" : "NULL");
	return STATOR_STORAGE_FAILED;
}

int
conform_next(conform_run *r, stator_cursor *cursor, stator_row *key,
	     stator_row *value)
{
	conform_bench *b = r->lane->bench;
	int64_t entered = enter(r->lane, CALL_NEXT);
	stator_error err;
	int code;

	fresh(&err);
	*key = (stator_row){.type = b->use.key};
	*value = (stator_row){.type = b->use.value};
	code = cursor->next(cursor, key, value, &err);
	leave(r->lane, CALL_NEXT, entered);
	code = check_code(r->lane, CALL_NEXT, code, &err);
	if (code)
		return code;
	code = check_row(r, CALL_NEXT, key, b->use.key, "the key");
	return code ? code : check_row(r, CALL_NEXT, value, b->use.value,
				       "the value");
}

void
conform_release(conform_run *r, stator_cursor *cursor)
{
	int64_t entered = enter(r->lane, CALL_RELEASE);

	cursor->release(cursor);
	leave(r->lane, CALL_RELEASE, entered);
}

stator_intent
conform_intent(const conform_bench *b, const stator_row *key,
	       const stator_row *value, bool is_new)
{
	return (stator_intent){STATOR_ABI, sizeof(stator_intent),
			       &b->use,	   key,
			       value,	   is_new,
			       0};
}

int
conform_validate(conform_run *r, const stator_intent *items, size_t count)
{
	const stator_storage *s = r->lane->bench->storage;
	int64_t entered;
	stator_error err;
	int code;

	if (s->validate == NULL)
		return STATOR_OK;
	fresh(&err);
	entered = enter(r->lane, CALL_VALIDATE);
	code = s->validate(self_of(r), &r->io.run, items, count, &err);
	leave(r->lane, CALL_VALIDATE, entered);
	return check_code(r->lane, CALL_VALIDATE, code, &err);
}

int
conform_apply(conform_run *r, const stator_intent *items, size_t count)
{
	conform_bench *b = r->lane->bench;
	int64_t entered;
	stator_error err;
	int code;

	r->io.writes = r->lane->maps[r->lane->partition];
	stator__map_mark(r->io.writes);
	r->applying = true;
	r->put_refused = false;
	fresh(&err);
	entered = enter(r->lane, CALL_APPLY);
	code = b->storage->apply(self_of(r), &r->io.run, items, count, &err);
	leave(r->lane, CALL_APPLY, entered);
	r->applying = false;
	code = check_code(r->lane, CALL_APPLY, code, &err);
	if (code == STATOR_OK && r->put_refused)
		conform_broke(b, RULE_STORE_FAILED, CALL_APPLY,
			      "it returned OK though put or del had failed");
	if (code < 0)
		stator__map_rollback(r->io.writes);
	r->io.writes = NULL;
	return code;
}

int
conform_effect(conform_run *r, const stator_intent *item)
{
	int64_t entered = enter(r->lane, CALL_EFFECT);
	stator_error err;
	int code;

	fresh(&err);
	code = r->lane->bench->storage->effect(self_of(r), &r->io.run, item,
					       &err);
	leave(r->lane, CALL_EFFECT, entered);
	return check_code(r->lane, CALL_EFFECT, code, &err);
}

/* As the host does it: the run that made the intents is over. */
void
conform_settle(conform_lane *lane, const stator_intent *items, size_t count)
{
	conform_bench *b = lane->bench;
	conform_run *r;
	stator_intent *copies;
	stator_row *rows;
	int64_t entered;

	if ((b->has & HAS_SETTLE) == 0)
		return;
	r = conform_run_begin(lane, conform_write_scope(b));
	copies = stator__arena_alloc(&r->arena, count * sizeof(*copies));
	rows = stator__arena_alloc(&r->arena, 2 * count * sizeof(*rows));
	for (size_t i = 0; i < count; i++) {
		stator_row *key = &rows[2 * i], *value = key + 1;

		*key = *items[i].key;
		*value = *items[i].value;
		key->data = stator__arena_copy(&r->arena, key->data, key->size);
		value->data = stator__arena_copy(&r->arena, value->data,
						 value->size);
		copies[i] = items[i];
		copies[i].key = key;
		copies[i].value = value;
	}
	entered = enter(lane, CALL_SETTLE);
	b->storage->settle(self_of(r), &r->io.run, copies, count);
	leave(lane, CALL_SETTLE, entered);
	conform_run_end(r);
}

int
conform_write(conform_run *r, const stator_row *key, const stator_row *value,
	      bool is_new)
{
	stator_intent item = conform_intent(r->lane->bench, key, value, is_new);
	int code = conform_validate(r, &item, 1);

	if (code || (r->lane->bench->has & HAS_APPLY) == 0)
		return code;
	return conform_apply(r, &item, 1);
}
