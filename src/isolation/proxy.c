/*
 * proxy.c: a plugin whose functions ask a process: see isolation.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files.h"
#include "isolation/isolation.h"
#include "isolation/process.h"

#define MS 1000000ll

enum {
	BEGIN_MS = 30000, /* init, attach, detach, finit and the loading */
	FIRST_WAIT_MS = 10,
	MOST_WAIT_MS = 1000,
	ROWS_AT_ONCE = 64,
	PAIRS_AT_ONCE = 256,
	PAIR_BYTES = 64 * 1024,
	HOW_SIZE = 128
};

typedef struct isolated {
	stator_plugin plugin; /* first: what the registry sees */
	stator_arena arena;
	stator_storage *storages;
	uint32_t *has; /* by storage */
	const char *file;
	char *copy, *temporary; /* NULL: a folder of the host */
	const stator_row *configs;
	pthread_mutex_t lock; /* one call at a time */
	isolation_process process;
	uint64_t started;  /* how often; what was attached before is lost */
	unsigned failures; /* since the last call that was answered */
	int64_t retry_at;  /* monotonic, ns */
	stator_buf out;
	_Atomic uint64_t runs;
	/* Runs that ended while a call was under way. */
	pthread_mutex_t ended_lock;
	uint64_t *ended;
	size_t ended_count, ended_cap;
} isolated;

/* What `attach` gave. */
typedef struct isolated_instance {
	isolated *of;
	uint32_t partition;
	uint64_t started; /* the process that has it */
} isolated_instance;

/* A run that has called the plugin. */
typedef struct isolated_run {
	isolated *of;
	uint64_t id;
	uint64_t started; /* of the last call */
	stator_view_cursor **cursors; /* of the store, by number */
	uint8_t *paces;
	size_t count, cap;
} isolated_run;

/* Life of the process ---------------------------------------------------------------- */

static int64_t
in_ms(int64_t ms)
{
	return stator__monotonic_ns() + ms * MS;
}

/* Ends the process, says how it did, and when there may be another. */
static void
end_process(isolated *p, char *how)
{
	int64_t wait = 0;

	stator__process_end(&p->process, how);
	p->failures++;
	if (p->failures > 1)
		wait = FIRST_WAIT_MS << (p->failures < 10 ? p->failures - 2 : 8);
	if (wait > MOST_WAIT_MS)
		wait = MOST_WAIT_MS;
	p->retry_at = in_ms(wait);
}

/* The process is of no use any more: it is ended, and `err` says why. */
static int
lost(isolated *p, int why, const char *what, int64_t allowed_ms,
     stator_error *err)
{
	char how[HOW_SIZE];

	end_process(p, how);
	if (why == PROCESS_LATE)
		snprintf(how, sizeof(how),
			 "did not answer within %lld ms and was ended",
			 (long long)allowed_ms);
	if (why == PROCESS_BAD)
		snprintf(how, sizeof(how),
			 "answered what is no answer and was ended");
	if (p->plugin.name == NULL)
		return stator__fail(err, STATOR_IMAGE,
				    "%s: its process %s while it was loaded",
				    p->file, how);
	stator__fail(err, STATOR_STORAGE_FAILED,
		     "the process of plugin %s %s %s in %s", p->plugin.name,
		     p->plugin.version, how, what);
	stator__logf(STATOR_LOG_WARNING, p->file, "%s; it is started again",
		     err->msg);
	return STATOR_STORAGE_FAILED;
}

static int exchange(isolated *p, const char *what, int64_t allowed_ms,
		    isolated_run *run, stator_io *io, wire_in *in,
		    stator_error *err);

static int
start(isolated *p, stator_error *err)
{
	char how[HOW_SIZE];
	wire_in in;
	int code;

	if (stator__monotonic_ns() < p->retry_at)
		return stator__fail(err, STATOR_STORAGE_FAILED,
				    "the process of plugin %s %s has ended and "
				    "is started again in %lld ms",
				    p->plugin.name, p->plugin.version,
				    (long long)((p->retry_at -
						 stator__monotonic_ns()) /
							MS +
						1));
	code = stator__process_start(&p->process, p->file, p->copy, err);
	if (code)
		return code;
	p->started++;
	/* It says first what it has loaded, which is known. */
	p->out.size = 0;
	code = exchange(p, "loading", BEGIN_MS, NULL, NULL, &in, err);
	if (code)
		return code;
	stator__wire_begin(&p->out, WIRE_INIT);
	stator__wire_pointer(&p->out, p->configs);
	code = exchange(p, "init", BEGIN_MS, NULL, NULL, &in, err);
	if (code && p->process.pid) /* `init` said no */
		end_process(p, how);
	return code;
}

static int
attach_again(isolated *p, isolated_instance *i, stator_error *err)
{
	wire_in in;
	int code;

	if (i->started == p->started)
		return STATOR_OK;
	stator__wire_begin(&p->out, WIRE_ATTACH);
	stator__wire_u32(&p->out, i->partition);
	code = exchange(p, "attach", BEGIN_MS, NULL, NULL, &in, err);
	if (code == STATOR_OK)
		i->started = p->started;
	return code;
}

static void
tell_ended(isolated *p)
{
	pthread_mutex_lock(&p->ended_lock);
	for (size_t i = 0; i < p->ended_count; i++) {
		stator__wire_begin(&p->out, WIRE_END);
		stator__wire_u64(&p->out, p->ended[i]);
		if (p->process.pid)
			stator__process_send(&p->process, &p->out,
					     in_ms(STATOR_CALL_MS));
	}
	p->ended_count = 0;
	pthread_mutex_unlock(&p->ended_lock);
}

/* With the lock: a process that has this instance. */
static int
ready(isolated *p, isolated_instance *i, stator_error *err)
{
	stator_error unused;
	int code = STATOR_OK;

	/* Who died while nobody asked for anything fails nobody. */
	if (p->process.pid && stator__process_gone(&p->process))
		lost(p, PROCESS_GONE, "waiting for calls", 0, &unused);
	if (p->process.pid == 0)
		code = start(p, err);
	if (code == STATOR_OK)
		tell_ended(p);
	if (code == STATOR_OK && i)
		code = attach_again(p, i, err);
	return code;
}

/* What the process asks ---------------------------------------------------------------- */

static void
answer_begin(isolated *p, int code, const stator_error *err)
{
	stator__wire_begin(&p->out, WIRE_ANSWER);
	stator__wire_outcome(&p->out, code, err);
}

static void
serve_get(isolated *p, stator_io *io, wire_in *in)
{
	int64_t wsid = (int64_t)stator__wire_take_u64(in);
	stator_slice key = stator__wire_take_bytes(in), value;
	stator_error err = {0};
	int code = stator__store_api.get(&io->run, wsid, key, &value, &err);

	answer_begin(p, code, &err);
	if (code == STATOR_OK)
		stator__wire_bytes(&p->out, value);
}

static void
serve_range(isolated *p, isolated_run *run, stator_io *io, wire_in *in)
{
	int64_t wsid = (int64_t)stator__wire_take_u64(in);
	stator_slice low = stator__wire_take_bytes(in);
	stator_slice high = stator__wire_take_bytes(in);
	uint32_t reverse = stator__wire_take_u32(in);
	stator_error err = {0};
	void *cursor;
	int code = stator__store_api.range(&io->run, wsid, low, high,
					   reverse != 0, &cursor, &err);

	answer_begin(p, code, &err);
	if (code)
		return;
	STATOR_GROW(run->cursors, run->count, run->cap);
	run->cursors[run->count++] = cursor;
	stator__wire_u32(&p->out, (uint32_t)run->count - 1);
}

static stator_view_cursor **
cursor_of(isolated_run *run, wire_in *in)
{
	uint32_t id = stator__wire_take_u32(in);

	return id < run->count && run->cursors[id] ? &run->cursors[id] : NULL;
}

/* Rationale: what `apply` writes must be seen by the next step of a range; so
 * then one pair is taken at a time. */
static void
serve_pairs(isolated *p, isolated_run *run, const stator_io *io, wire_in *in)
{
	stator_view_cursor **cursor = cursor_of(run, in);
	uint32_t wanted = io->writes ? 1 : PAIRS_AT_ONCE, count = 0;
	stator_buf pairs = {0};
	stator_error err = {0};
	int code = STATOR_OK;

	if (cursor == NULL)
		code = stator__fail(&err, STATOR_INVALID,
				    "the cursor was released");
	while (code == STATOR_OK && count < wanted && pairs.size < PAIR_BYTES) {
		stator_slice key, value;

		code = stator__store_api.cursor_next(*cursor, &key, &value,
						     &err);
		if (code)
			break;
		stator__wire_bytes(&pairs, key);
		stator__wire_bytes(&pairs, value);
		count++;
	}
	answer_begin(p, code < 0 ? code : STATOR_OK, &err);
	if (code >= 0) {
		stator__wire_u32(&p->out, count);
		stator__wire_u32(&p->out, code == STATOR_NONE);
		stator__buf_put(&p->out, pairs.data, pairs.size);
	}
	free(pairs.data);
}

static void
serve_close(isolated *p, isolated_run *run, wire_in *in)
{
	stator_view_cursor **cursor = cursor_of(run, in);
	stator_error err = {0};

	if (cursor) {
		stator__store_api.cursor_release(*cursor);
		*cursor = NULL;
	}
	answer_begin(p, STATOR_OK, &err);
}

static void
serve_write(isolated *p, uint32_t kind, stator_io *io, wire_in *in)
{
	int64_t wsid = (int64_t)stator__wire_take_u64(in);
	stator_slice key = stator__wire_take_bytes(in);
	stator_slice value = stator__wire_take_bytes(in);
	stator_error err = {0};
	int code = kind == WIRE_STORE_PUT
			   ? stator__store_api.put(&io->run, wsid, key, value,
						   &err)
			   : stator__store_api.del(&io->run, wsid, key, &err);

	answer_begin(p, code, &err);
}

static void
serve_row(isolated *p, uint32_t kind, stator_io *io, wire_in *in)
{
	uint64_t first = kind == WIRE_WLOG ? stator__wire_take_u64(in) : 0;
	uint64_t second = kind == WIRE_WLOG ? stator__wire_take_u64(in) : 0;
	stator_error err = {0};
	stator_row row;
	int code;

	if (kind == WIRE_EVENT)
		code = stator__context_api.event(&io->run, &row);
	else if (kind == WIRE_ARGUMENT)
		code = stator__context_api.argument(
			&io->run, (int)stator__wire_take_u32(in), &row);
	else
		code = stator__context_api.wlog(&io->run, (int64_t)first,
						(int64_t)second, &row, &err);
	answer_begin(p, code, &err);
	if (code == STATOR_OK)
		stator__wire_row(&p->out, &row);
}

static void
serve_result(isolated *p, stator_io *io, wire_in *in)
{
	stator_error err = {0};
	uint32_t type;
	stator_row row = stator__wire_take_foreign(in, io->arena, &type);
	int code;

	row.type = stator__def_type(io->def, type);
	if (row.type == NULL || row.data == NULL || !stator__row_sound(&row))
		code = stator__fail(&err, STATOR_STORAGE_FAILED,
				    "handed out bytes that are not a row");
	else
		code = stator__context_api.result(&io->run, &row, &err);
	answer_begin(p, code, &err);
}

static void
serve_response(isolated *p, stator_io *io, wire_in *in)
{
	int64_t status = (int64_t)stator__wire_take_u64(in);
	stator_slice message = stator__wire_take_bytes(in);
	stator_error err = {0};
	int code = stator__context_api.response(&io->run, status, message,
						&err);

	answer_begin(p, code, &err);
}

static void
write_log(wire_in *in)
{
	stator_arena arena = {0};
	int32_t level = (int32_t)stator__wire_take_u32(in);
	const char *source = stator__wire_take_text(in, &arena);
	const char *message = stator__wire_take_text(in, &arena);

	stator__log(level, source ? source : "", message ? message : "");
	stator__arena_free(&arena);
}

/* False when it is nothing that can be asked. */
static bool
serve(isolated *p, uint32_t kind, isolated_run *run, stator_io *io, wire_in *in)
{
	if (io == NULL)
		return false;
	switch (kind) {
	case WIRE_STORE_GET:
		serve_get(p, io, in);
		break;
	case WIRE_STORE_RANGE:
		serve_range(p, run, io, in);
		break;
	case WIRE_STORE_NEXT:
		serve_pairs(p, run, io, in);
		break;
	case WIRE_STORE_RELEASE:
		serve_close(p, run, in);
		break;
	case WIRE_STORE_PUT:
	case WIRE_STORE_DEL:
		serve_write(p, kind, io, in);
		break;
	case WIRE_EVENT:
	case WIRE_ARGUMENT:
	case WIRE_WLOG:
		serve_row(p, kind, io, in);
		break;
	case WIRE_RESULT:
		serve_result(p, io, in);
		break;
	case WIRE_RESPONSE:
		serve_response(p, io, in);
		break;
	default:
		return false;
	}
	return !in->bad;
}

/* Sends what is in `out`, if anything, and waits for RETURN. */
static int
exchange(isolated *p, const char *what, int64_t allowed_ms, isolated_run *run,
	 stator_io *io, wire_in *in, stator_error *err)
{
	int64_t deadline = in_ms(allowed_ms);
	int how = PROCESS_OK;
	uint32_t kind;

	if (p->out.size)
		how = stator__process_send(&p->process, &p->out, deadline);
	while (how == PROCESS_OK) {
		how = stator__process_receive(&p->process, &kind, in, deadline);
		if (how)
			break;
		if (kind == WIRE_RETURN) {
			int code = stator__wire_take_outcome(in, err);

			if (!in->bad)
				return code;
			how = PROCESS_BAD;
		} else if (kind == WIRE_LOG) {
			write_log(in);
		} else if (serve(p, kind, run, io, in)) {
			how = stator__process_send(&p->process, &p->out,
						   deadline);
		} else {
			how = PROCESS_BAD;
		}
	}
	return lost(p, how, what, allowed_ms, err);
}

/* Calls ------------------------------------------------------------------------------- */

static stator_io *
io_of(const stator_run *run)
{
	return (stator_io *)(uintptr_t)run;
}

/* The end of a run of the host. */
static void
end_run(void *arg)
{
	isolated_run *run = arg;
	isolated *p = run->of;

	for (size_t i = 0; i < run->count; i++)
		if (run->cursors[i])
			stator__store_api.cursor_release(run->cursors[i]);
	free(run->cursors);
	pthread_mutex_lock(&p->ended_lock);
	STATOR_GROW(p->ended, p->ended_count, p->ended_cap);
	p->ended[p->ended_count++] = run->id;
	pthread_mutex_unlock(&p->ended_lock);
	if (pthread_mutex_trylock(&p->lock))
		return; /* The call under way is followed by others. */
	tell_ended(p);
	pthread_mutex_unlock(&p->lock);
}

static isolated_run *
run_of(isolated *p, stator_io *io)
{
	isolated_run *run;

	for (const stator_at_end *e = io->at_end; e; e = e->next)
		if (e->call == end_run && ((isolated_run *)e->arg)->of == p)
			return e->arg;
	run = stator__arena_zero(io->arena, sizeof(*run));
	run->of = p;
	run->id = ++p->runs;
	stator__io_at_end(io, end_run, run);
	return run;
}

static void
put_use(isolated *p, const stator_use *use)
{
	stator__wire_bytes(&p->out, stator__slice(use, sizeof(*use)));
	stator__wire_text(&p->out, use->entity);
}

/* One call under way. */
typedef struct call {
	isolated *p;
	isolated_run *run;
	stator_io *io;
	const char *what;
	int64_t allowed_ms;
} call;

/* Takes the lock; `leave` gives it back, whatever this returns. */
static int
enter(call *c, uint32_t kind, const char *what, isolated_instance *i,
      const stator_run *run, stator_error *err)
{
	isolated *p = i->of;
	int code;

	c->p = p;
	c->io = io_of(run);
	c->run = run_of(p, c->io);
	c->what = what;
	c->allowed_ms = stator__call_ms(c->io->called);
	pthread_mutex_lock(&p->lock);
	code = ready(p, i, err);
	if (code)
		return code;
	c->run->started = p->started;
	stator__wire_begin(&p->out, kind);
	stator__wire_u32(&p->out, i->partition);
	stator__wire_u32(&p->out,
			 (uint32_t)(c->io->called - p->storages));
	stator__wire_u64(&p->out, c->run->id);
	stator__wire_pointer(&p->out, c->io->def);
	stator__wire_bytes(&p->out, stator__slice(run, sizeof(*run)));
	stator__wire_text(&p->out, run->app);
	stator__wire_text(&p->out, run->extension);
	return STATOR_OK;
}

static int
finish(call *c, wire_in *in, stator_error *err)
{
	int code = exchange(c->p, c->what, c->allowed_ms, c->run, c->io, in,
			    err);

	if (c->p->process.pid)
		c->p->failures = 0;
	return code;
}

static int
leave(const call *c, int code)
{
	pthread_mutex_unlock(&c->p->lock);
	return code;
}

/* A row as the host wants it; another type is left for the host to refuse. */
static stator_row
take_value(wire_in *in, stator_arena *arena, const stator_type *wanted)
{
	uint32_t type;
	stator_row row = stator__wire_take_foreign(in, arena, &type);

	row.type = wanted && wanted->id == type ? wanted : NULL;
	return row;
}

static int32_t
proxy_get(void *self, const stator_run *run, const stator_use *use,
	  const stator_row *key, stator_row *value, stator_error *err)
{
	isolated_instance *i = self;
	wire_in in;
	call c;
	int code = enter(&c, WIRE_GET, "get", i, run, err);

	if (code)
		return leave(&c, code);
	put_use(c.p, use);
	stator__wire_row(&c.p->out, key);
	code = finish(&c, &in, err);
	if (code == STATOR_OK)
		*value = take_value(&in, c.io->arena, use->value);
	return leave(&c, code);
}

static int32_t
proxy_get_batch(void *self, const stator_run *run, const stator_use *use,
		const stator_row *keys, size_t count, stator_row *values,
		stator_error *err)
{
	wire_in in;
	call c;
	int code = enter(&c, WIRE_GETBATCH, "get_batch", self, run, err);

	if (code)
		return leave(&c, code);
	put_use(c.p, use);
	stator__wire_u64(&c.p->out, count);
	for (size_t k = 0; k < count; k++)
		stator__wire_row(&c.p->out, &keys[k]);
	code = finish(&c, &in, err);
	for (size_t k = 0; k < count && code == STATOR_OK; k++)
		values[k] = take_value(&in, c.io->arena, use->value);
	return leave(&c, code);
}

/* Reading: rows come a few at once, more each time. */
typedef struct proxy_cursor {
	stator_cursor base;
	isolated_instance *instance;
	const stator_run *run;
	const stator_storage *storage;
	const stator_use *use;
	uint64_t started; /* the process that has it */
	uint32_t id;
	uint32_t wanted;
	stator_row *rows; /* key, value, ... */
	uint32_t count, at;
	int code; /* behind the rows */
	stator_error err;
} proxy_cursor;

static int
fetch_rows(proxy_cursor *cur, stator_error *err)
{
	wire_in in;
	call c;
	int code;

	io_of(cur->run)->called = cur->storage;
	code = enter(&c, WIRE_NEXT, "a cursor's next", cur->instance, cur->run,
		     err);
	if (code == STATOR_OK && cur->started != c.p->started)
		code = stator__fail(err, STATOR_STORAGE_FAILED,
				    "the process of the plugin was started "
				    "again while rows were read");
	if (code)
		return leave(&c, code);
	stator__wire_u32(&c.p->out, cur->id);
	stator__wire_u32(&c.p->out, cur->wanted);
	code = finish(&c, &in, err);
	if (code)
		return leave(&c, code);
	cur->count = stator__wire_take_u32(&in);
	cur->at = 0;
	if (cur->count > cur->wanted)
		cur->count = 0;
	cur->rows = stator__arena_alloc(c.io->arena,
					2ul * cur->count * sizeof(*cur->rows));
	for (uint32_t i = 0; i < cur->count; i++) {
		cur->rows[2 * i] =
			take_value(&in, c.io->arena, cur->use->key);
		cur->rows[2 * i + 1] =
			take_value(&in, c.io->arena, cur->use->value);
	}
	cur->code = stator__wire_take_outcome(&in, &cur->err);
	cur->wanted = cur->wanted < ROWS_AT_ONCE ? cur->wanted * 2
						 : ROWS_AT_ONCE;
	return leave(&c, code);
}

static int32_t
proxy_next(stator_cursor *cursor, stator_row *key, stator_row *value,
	   stator_error *err)
{
	proxy_cursor *cur = (proxy_cursor *)(void *)cursor;

	if (cur->at == cur->count && cur->code == STATOR_OK) {
		int code = fetch_rows(cur, err);

		if (code)
			return code;
	}
	if (cur->at == cur->count) {
		*err = cur->err;
		return cur->code;
	}
	*key = cur->rows[2 * cur->at];
	*value = cur->rows[2 * cur->at + 1];
	cur->at++;
	return STATOR_OK;
}

static void
proxy_release(stator_cursor *cursor)
{
	proxy_cursor *cur = (proxy_cursor *)(void *)cursor;
	isolated *p = cur->instance->of;
	stator_error err;
	wire_in in;
	call c;

	/* A process that is not there any more has nothing to release. */
	pthread_mutex_lock(&p->lock);
	if (p->process.pid == 0 || p->started != cur->started) {
		pthread_mutex_unlock(&p->lock);
		return;
	}
	pthread_mutex_unlock(&p->lock);
	io_of(cur->run)->called = cur->storage;
	if (enter(&c, WIRE_RELEASE, "a cursor's release", cur->instance,
		  cur->run, &err) == STATOR_OK) {
		stator__wire_u32(&c.p->out, cur->id);
		finish(&c, &in, &err);
	}
	leave(&c, STATOR_OK);
}

static int32_t
proxy_read(void *self, const stator_run *run, const stator_use *use,
	   const stator_row *key, const stator_read_opts *opts,
	   stator_cursor **cursor, stator_error *err)
{
	proxy_cursor *cur;
	wire_in in;
	call c;
	int code = enter(&c, WIRE_READ, "read", self, run, err);

	if (code)
		return leave(&c, code);
	put_use(c.p, use);
	stator__wire_row(&c.p->out, key);
	stator__wire_u32(&c.p->out, opts->reverse);
	stator__wire_u32(&c.p->out, opts->limit);
	code = finish(&c, &in, err);
	if (code)
		return leave(&c, code);
	cur = stator__arena_zero(c.io->arena, sizeof(*cur));
	cur->base.next = proxy_next;
	cur->base.release = proxy_release;
	cur->instance = self;
	cur->run = run;
	cur->storage = c.io->called;
	cur->use = use;
	cur->started = c.p->started;
	cur->id = stator__wire_take_u32(&in);
	cur->wanted = 1;
	*cursor = &cur->base;
	return leave(&c, STATOR_OK);
}

static int
send_intents(uint32_t kind, const char *what, void *self,
	     const stator_run *run, const stator_intent *items, size_t count,
	     stator_error *err)
{
	wire_in in;
	call c;
	int code = enter(&c, kind, what, self, run, err);

	if (code)
		return leave(&c, code);
	stator__wire_u64(&c.p->out, count);
	for (size_t i = 0; i < count; i++) {
		put_use(c.p, items[i].use);
		stator__wire_row(&c.p->out, items[i].key);
		stator__wire_row(&c.p->out, items[i].value);
		stator__wire_u32(&c.p->out, items[i].is_new);
		stator__wire_u32(&c.p->out, items[i].index);
	}
	return leave(&c, finish(&c, &in, err));
}

static int32_t
proxy_validate(void *self, const stator_run *run, const stator_intent *items,
	       size_t count, stator_error *err)
{
	return send_intents(WIRE_VALIDATE, "validate", self, run, items, count,
			    err);
}

static int32_t
proxy_apply(void *self, const stator_run *run, const stator_intent *items,
	    size_t count, stator_error *err)
{
	return send_intents(WIRE_APPLY, "apply", self, run, items, count, err);
}

static int32_t
proxy_effect(void *self, const stator_run *run, const stator_intent *item,
	     stator_error *err)
{
	return send_intents(WIRE_EFFECT, "effect", self, run, item, 1, err);
}

static void
proxy_settle(void *self, const stator_run *run, const stator_intent *items,
	     size_t count)
{
	stator_error err;

	/* What is lost with the process is in the log already. */
	send_intents(WIRE_SETTLE, "settle", self, run, items, count, &err);
}

/* The plugin as the registry sees it ---------------------------------------------------- */

/* `*plugin` comes as the owner of the source. */
static int32_t
proxy_init(const stator_host_api *host, const stator_row *configs,
	   void **plugin, stator_error *err)
{
	isolated *p = *plugin;
	int code;

	(void)host;
	pthread_mutex_lock(&p->lock);
	p->configs = configs;
	code = start(p, err);
	pthread_mutex_unlock(&p->lock);
	return code;
}

static int32_t
proxy_attach(void *plugin, uint32_t partition, void *previous, void **self,
	     stator_error *err)
{
	isolated *p = plugin;
	isolated_instance *i = stator__alloc(sizeof(*i));
	int code;

	(void)previous;
	i->of = p;
	i->partition = partition;
	pthread_mutex_lock(&p->lock);
	code = ready(p, i, err);
	pthread_mutex_unlock(&p->lock);
	if (code)
		free(i);
	else
		*self = i;
	return code;
}

static void
proxy_detach(void *self)
{
	isolated_instance *i = self;
	isolated *p = i->of;
	stator_error err;
	wire_in in;

	pthread_mutex_lock(&p->lock);
	if (p->process.pid && i->started == p->started) {
		stator__wire_begin(&p->out, WIRE_DETACH);
		stator__wire_u32(&p->out, i->partition);
		exchange(p, "detach", BEGIN_MS, NULL, NULL, &in, &err);
	}
	pthread_mutex_unlock(&p->lock);
	free(i);
}

static void
proxy_finit(void *plugin)
{
	isolated *p = plugin;
	char how[HOW_SIZE];
	stator_error err;
	wire_in in;

	if (p->process.pid) {
		stator__wire_begin(&p->out, WIRE_FINIT);
		exchange(p, "finit", BEGIN_MS, NULL, NULL, &in, &err);
	}
	if (p->process.pid)
		stator__process_end(&p->process, how);
}

static void
close_isolated(void *owner)
{
	isolated *p = owner;
	char how[HOW_SIZE];

	if (p->process.pid)
		stator__process_end(&p->process, how);
	if (p->temporary) {
		if (p->copy)
			unlink(p->copy);
		rmdir(p->temporary);
	}
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->ended_lock);
	free(p->temporary);
	free(p->copy);
	free(p->out.data);
	free(p->ended);
	stator__arena_free(&p->arena);
	free(p);
}

static void
fill_functions(stator_storage *s, uint32_t has)
{
	if (has & WIRE_HAS_GET) {
		s->get = proxy_get;
		s->get_batch = proxy_get_batch;
	}
	if (has & WIRE_HAS_READ)
		s->read = proxy_read;
	if (has & WIRE_HAS_VALIDATE)
		s->validate = proxy_validate;
	if (has & WIRE_HAS_APPLY)
		s->apply = proxy_apply;
	if (has & WIRE_HAS_EFFECT)
		s->effect = proxy_effect;
	if (has & WIRE_HAS_SETTLE)
		s->settle = proxy_settle;
}

/* What the process has loaded, from a process that is asked nothing else. */
static int
describe(isolated *p, stator_error *err)
{
	char how[HOW_SIZE];
	wire_in in;
	int code = stator__process_start(&p->process, p->file, p->copy, err);

	if (code)
		return code;
	code = exchange(p, "loading", BEGIN_MS, NULL, NULL, &in, err);
	if (code) {
		if (p->process.pid)
			stator__process_end(&p->process, how);
		return code;
	}
	if (!stator__wire_take_plugin(&in, &p->arena, &p->plugin, &p->storages,
				      &p->has)) {
		stator__process_end(&p->process, how);
		return stator__fail(err, STATOR_IMAGE,
				    "%s: its process said what is no "
				    "description",
				    p->file);
	}
	stator__process_end(&p->process, how);
	for (size_t i = 0; i < p->plugin.storage_count; i++)
		fill_functions(&p->storages[i], p->has[i]);
	p->plugin.flags = STATOR_CONCURRENT; /* it has a lock of its own */
	p->plugin.init = proxy_init;
	p->plugin.attach = proxy_attach;
	p->plugin.detach = proxy_detach;
	p->plugin.finit = proxy_finit;
	return stator__plugin_check(&p->plugin, p->file, err);
}

int
stator__isolated_open(stator_source_plugin *out, const char *file,
		      const char *package, const char *folder,
		      stator_error *err)
{
	isolated *p = stator__alloc(sizeof(*p));
	int code = STATOR_OK;

	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->ended_lock, NULL);
	p->file = stator__arena_str(&p->arena, file, strlen(file));
	if (folder == NULL)
		p->temporary = stator__temporary_folder(err);
	if (folder == NULL && p->temporary == NULL)
		code = err->code;
	if (code == STATOR_OK) {
		p->copy = stator__library_copy(
			file, folder ? folder : p->temporary, err);
		code = p->copy ? describe(p, err) : err->code;
	}
	if (code) {
		close_isolated(p);
		return code;
	}
	*out = (stator_source_plugin){.plugin = &p->plugin,
				      .package = package,
				      .file = file,
				      .owner = p,
				      .isolated = true,
				      .close = close_isolated};
	return STATOR_OK;
}
