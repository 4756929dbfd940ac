/*
 * child.c: the process of a plugin. It loads the library, and serves the calls
 * that come over the socket, one after the other. What the plugin asks of its
 * host is done here where it concerns rows and memory; the store, the context
 * of the run and the log are asked of the host.
 *
 * The process was forked from a host with many threads, of which it has one:
 * nothing of the host is used here but its code and what it made before.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "isolation/process.h"

/* A run of the host, as long as the host says. */
typedef struct child_run {
	stator_io io; /* first: the plugin is given its `run` */
	stator_arena arena;
	uint64_t id;
	struct child_run *next;
} child_run;

typedef struct open_cursor {
	uint32_t id; /* 0: free */
	stator_cursor *cursor;
	child_run *run;
	const stator_use *use;
} open_cursor;

typedef struct attached {
	uint32_t partition;
	bool there;
	void *self;
} attached;

/* One in the process: the functions of the host have nothing to find it by. */
static struct child {
	int fd;
	pthread_t thread; /* the one that serves */
	pthread_mutex_t sending;
	stator_host_api host;
	const stator_plugin *plugin;
	void *data;
	attached *instances;
	size_t instance_count, instance_cap;
	child_run *runs;
	child_run *current; /* whose call it is */
	open_cursor *cursors;
	size_t cursor_count, cursor_cap;
	uint32_t last_cursor;
	stator_buf out;	  /* what the plugin asks of the host */
	stator_buf reply; /* what the host asked of the plugin */
	stator_buf in;	  /* the last frame that came */
} me;

/* The socket ------------------------------------------------------------------ */

static void
send_frame(stator_buf *frame)
{
	stator_slice rest = stator__wire_frame(frame);
	const uint8_t *at = rest.data;
	size_t left = rest.size;

	pthread_mutex_lock(&me.sending);
	while (left) {
		ssize_t n = send(me.fd, at, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			_exit(0); /* The host is gone. */
		at += n;
		left -= (size_t)n;
	}
	pthread_mutex_unlock(&me.sending);
}

static void
receive(void *to, size_t size)
{
	uint8_t *at = to;

	while (size) {
		ssize_t n = recv(me.fd, at, size, MSG_WAITALL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			_exit(0);
		at += n;
		size -= (size_t)n;
	}
}

static uint32_t
receive_frame(stator_buf *to, wire_in *in)
{
	wire_head head;

	receive(&head, sizeof(head));
	to->size = 0;
	stator__buf_reserve(to, head.size + 1ul);
	receive(to->data, head.size);
	in->at = to->data;
	in->end = to->data + head.size;
	in->bad = false;
	return head.kind;
}

/* Asks the host, from the middle of a call. */
static int
ask(wire_in *in, stator_error *err)
{
	send_frame(&me.out);
	receive_frame(&me.in, in);
	return stator__wire_take_outcome(in, err);
}

static bool
may_ask(stator_error *err)
{
	if (me.current && pthread_equal(pthread_self(), me.thread))
		return true;
	stator__fail(err, STATOR_INVALID,
		     "functions of a run are for the thread that was called");
	return false;
}

/* stator.store/1 --------------------------------------------------------------- */

/* Pairs of the host's cursor, a few at once. */
typedef struct far_cursor {
	child_run *run;
	uint32_t id;
	uint32_t count, at;
	stator_slice *pairs; /* key, value, ... */
	bool ended;
} far_cursor;

static stator_slice
keep(wire_in *in)
{
	stator_slice s = stator__wire_take_bytes(in);

	s.data = stator__arena_copy(me.current->io.arena, s.data, s.size);
	return s;
}

static int32_t
store_get(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_slice *value, stator_error *err)
{
	wire_in in;
	int code;

	(void)run;
	if (!may_ask(err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, WIRE_STORE_GET);
	stator__wire_u64(&me.out, (uint64_t)wsid);
	stator__wire_bytes(&me.out, key);
	code = ask(&in, err);
	if (code == STATOR_OK)
		*value = keep(&in);
	return code;
}

static int32_t
store_range(const stator_run *run, int64_t wsid, stator_slice low,
	    stator_slice high, int reverse, void **cursor, stator_error *err)
{
	far_cursor *c;
	wire_in in;
	int code;

	(void)run;
	if (!may_ask(err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, WIRE_STORE_RANGE);
	stator__wire_u64(&me.out, (uint64_t)wsid);
	stator__wire_bytes(&me.out, low);
	stator__wire_bytes(&me.out, high);
	stator__wire_u32(&me.out, reverse != 0);
	code = ask(&in, err);
	if (code)
		return code;
	c = stator__arena_zero(me.current->io.arena, sizeof(*c));
	c->run = me.current;
	c->id = stator__wire_take_u32(&in);
	*cursor = c;
	return STATOR_OK;
}

static int
fetch_pairs(far_cursor *c, stator_error *err)
{
	wire_in in;
	int code;

	stator__wire_begin(&me.out, WIRE_STORE_NEXT);
	stator__wire_u32(&me.out, c->id);
	code = ask(&in, err);
	if (code)
		return code;
	c->count = stator__wire_take_u32(&in);
	c->ended = stator__wire_take_u32(&in) != 0;
	c->at = 0;
	c->pairs = stator__arena_alloc(me.current->io.arena,
				       2ul * c->count * sizeof(*c->pairs));
	for (uint32_t i = 0; i < 2 * c->count; i++)
		c->pairs[i] = keep(&in);
	return STATOR_OK;
}

static int32_t
store_next(void *cursor, stator_slice *key, stator_slice *value,
	   stator_error *err)
{
	far_cursor *c = cursor;
	int code;

	if (!may_ask(err))
		return STATOR_INVALID;
	if (c->at == c->count) {
		code = c->ended ? STATOR_NONE : fetch_pairs(c, err);
		if (code)
			return code;
		if (c->count == 0)
			return STATOR_NONE;
	}
	*key = c->pairs[2 * c->at];
	*value = c->pairs[2 * c->at + 1];
	c->at++;
	return STATOR_OK;
}

static void
store_release(void *cursor)
{
	far_cursor *c = cursor;
	stator_error err;
	wire_in in;

	if (!may_ask(&err))
		return;
	stator__wire_begin(&me.out, WIRE_STORE_RELEASE);
	stator__wire_u32(&me.out, c->id);
	ask(&in, &err);
}

static int32_t
store_write(uint32_t kind, int64_t wsid, stator_slice key, stator_slice value,
	    stator_error *err)
{
	wire_in in;

	if (!may_ask(err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, kind);
	stator__wire_u64(&me.out, (uint64_t)wsid);
	stator__wire_bytes(&me.out, key);
	stator__wire_bytes(&me.out, value);
	return ask(&in, err);
}

static int32_t
store_put(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_slice value, stator_error *err)
{
	(void)run;
	return store_write(WIRE_STORE_PUT, wsid, key, value, err);
}

static int32_t
store_del(const stator_run *run, int64_t wsid, stator_slice key,
	  stator_error *err)
{
	(void)run;
	return store_write(WIRE_STORE_DEL, wsid, key, stator__slice(NULL, 0),
			   err);
}

static const stator_store_api far_store = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_store_api),
	.get = store_get,
	.range = store_range,
	.cursor_next = store_next,
	.cursor_release = store_release,
	.put = store_put,
	.del = store_del,
};

/* stator.context/1 ------------------------------------------------------------- */

static int32_t
ask_row(stator_row *row, stator_error *err)
{
	wire_in in;
	int code = ask(&in, err);

	if (code == STATOR_OK)
		*row = stator__wire_take_row(&in, me.current->io.arena);
	return code;
}

static int32_t
context_event(const stator_run *run, stator_row *event)
{
	stator_error err;

	(void)run;
	if (!may_ask(&err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, WIRE_EVENT);
	return ask_row(event, &err);
}

static int32_t
context_argument(const stator_run *run, int unlogged, stator_row *argument)
{
	stator_error err;

	(void)run;
	if (!may_ask(&err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, WIRE_ARGUMENT);
	stator__wire_u32(&me.out, unlogged != 0);
	return ask_row(argument, &err);
}

static int32_t
context_result(const stator_run *run, const stator_row *row, stator_error *err)
{
	wire_in in;

	(void)run;
	if (!may_ask(err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, WIRE_RESULT);
	stator__wire_row(&me.out, row);
	return ask(&in, err);
}

static int32_t
context_response(const stator_run *run, int64_t status, stator_slice message,
		 stator_error *err)
{
	wire_in in;

	(void)run;
	if (!may_ask(err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, WIRE_RESPONSE);
	stator__wire_u64(&me.out, (uint64_t)status);
	stator__wire_bytes(&me.out, message);
	return ask(&in, err);
}

static int32_t
context_wlog(const stator_run *run, int64_t wsid, int64_t offset,
	     stator_row *event, stator_error *err)
{
	(void)run;
	if (!may_ask(err))
		return STATOR_INVALID;
	stator__wire_begin(&me.out, WIRE_WLOG);
	stator__wire_u64(&me.out, (uint64_t)wsid);
	stator__wire_u64(&me.out, (uint64_t)offset);
	return ask_row(event, err);
}

static const stator_context_api far_context = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_context_api),
	.event = context_event,
	.argument = context_argument,
	.result = context_result,
	.response = context_response,
	.wlog = context_wlog,
};

static const void *
get_ext(const char *name)
{
	if (strcmp(name, "stator.store/1") == 0)
		return &far_store;
	if (strcmp(name, "stator.context/1") == 0)
		return &far_context;
	return NULL;
}

/* [any-thread]: has a buffer of its own. */
static void
log_line(int32_t level, const char *source, const char *message)
{
	stator_buf out = {0};

	stator__wire_begin(&out, WIRE_LOG);
	stator__wire_u32(&out, (uint32_t)level);
	stator__wire_text(&out, source);
	stator__wire_text(&out, message);
	send_frame(&out);
	free(out.data);
}

/* Runs ---------------------------------------------------------------------------- */

static child_run *
run_of(uint64_t id)
{
	child_run *r = me.runs;

	while (r && r->id != id)
		r = r->next;
	if (r == NULL) {
		r = stator__alloc(sizeof(*r));
		r->id = id;
		r->io.arena = &r->arena;
		r->next = me.runs;
		me.runs = r;
	}
	return r;
}

static void
end_run(uint64_t id)
{
	for (child_run **at = &me.runs; *at; at = &(*at)->next) {
		child_run *r = *at;

		if (r->id != id)
			continue;
		*at = r->next;
		stator__arena_free(&r->arena);
		free(r);
		return;
	}
}

static child_run *
take_run(wire_in *in)
{
	child_run *r = run_of(stator__wire_take_u64(in));
	stator_slice flat;

	r->io.def = stator__wire_take_pointer(in);
	flat = stator__wire_take_bytes(in);
	memcpy(&r->io.run, flat.data, sizeof(r->io.run));
	r->io.run.app = stator__wire_take_text(in, &r->arena);
	r->io.run.extension = stator__wire_take_text(in, &r->arena);
	return r;
}

static stator_use *
take_use(wire_in *in, child_run *run)
{
	stator_use *use = stator__arena_alloc(&run->arena, sizeof(*use));
	stator_slice flat = stator__wire_take_bytes(in);

	memcpy(use, flat.data, sizeof(*use));
	use->entity = stator__wire_take_text(in, &run->arena);
	return use;
}

/* Calls --------------------------------------------------------------------------- */

static attached *
instance_of(uint32_t partition)
{
	size_t i = 0;

	while (i < me.instance_count && me.instances[i].partition != partition)
		i++;
	if (i == me.instance_count) {
		STATOR_GROW(me.instances, me.instance_count, me.instance_cap);
		me.instances[me.instance_count++] =
			(attached){.partition = partition};
	}
	return &me.instances[i];
}

static void
reply_begin(int code, const stator_error *err)
{
	stator__wire_begin(&me.reply, WIRE_RETURN);
	stator__wire_outcome(&me.reply, code, err);
}

/* What the host cannot see: whose row it is, and of which type. */
static int
check_own(const child_run *run, const stator_row *row, const stator_type *type,
	  stator_error *err)
{
	if (row->data && row->type != type)
		return stator__fail(err, STATOR_STORAGE_FAILED,
				    "handed out a row of another type");
	if (row->data == NULL ||
	    stator__arena_owns(&run->arena, row->data, row->size))
		return STATOR_OK;
	return stator__fail(err, STATOR_STORAGE_FAILED,
			    "handed out a row that was not made in this run; "
			    "use row_begin or row_load");
}

static void
serve_init(wire_in *in)
{
	const stator_row *configs = stator__wire_take_pointer(in);
	stator_error err = {0};
	int code = STATOR_OK;

	if (me.plugin->init)
		code = me.plugin->init(&me.host, configs, &me.data, &err);
	reply_begin(code, &err);
}

static void
serve_attach(wire_in *in)
{
	uint32_t partition = stator__wire_take_u32(in);
	attached *a = instance_of(partition);
	stator_error err = {0};
	int code = STATOR_OK;

	a->self = me.data;
	if (me.plugin->attach)
		code = me.plugin->attach(me.data, partition, NULL, &a->self,
					 &err);
	a->there = code == STATOR_OK;
	reply_begin(code, &err);
}

static void
serve_detach(wire_in *in)
{
	attached *a = instance_of(stator__wire_take_u32(in));
	stator_error err = {0};

	if (a->there && me.plugin->detach)
		me.plugin->detach(a->self);
	a->there = false;
	reply_begin(STATOR_OK, &err);
}

static void
serve_finit(void)
{
	stator_error err = {0};

	if (me.plugin->finit)
		me.plugin->finit(me.data);
	reply_begin(STATOR_OK, &err);
	send_frame(&me.reply);
	_exit(0);
}

static void
serve_get(const stator_storage *s, void *self, wire_in *in)
{
	const stator_run *run = &me.current->io.run;
	stator_use *use = take_use(in, me.current);
	stator_row key = stator__wire_take_row(in, &me.current->arena);
	stator_row value = {.type = use->value};
	stator_error err = {0};
	int code = s->get(self, run, use, &key, &value, &err);

	if (code == STATOR_OK)
		code = check_own(me.current, &value, use->value, &err);
	reply_begin(code, &err);
	if (code == STATOR_OK)
		stator__wire_row(&me.reply, &value);
}

/* For each key what GET answers, when the plugin has no function for it. */
static int
get_each(const stator_storage *s, void *self, const stator_use *use,
	 const stator_row *keys, size_t count, stator_row *values,
	 stator_error *err)
{
	int code = STATOR_OK;

	if (s->get_batch)
		return s->get_batch(self, &me.current->io.run, use, keys,
				    count, values, err);
	for (size_t i = 0; i < count && code >= 0; i++) {
		code = s->get(self, &me.current->io.run, use, &keys[i],
			      &values[i], err);
		if (code == STATOR_NONE)
			values[i].data = NULL;
		else if (code > 0)
			return code;
	}
	return code < 0 ? code : STATOR_OK;
}

static void
serve_get_batch(const stator_storage *s, void *self, wire_in *in)
{
	stator_arena *arena = &me.current->arena;
	stator_use *use = take_use(in, me.current);
	size_t count = stator__wire_take_u64(in);
	stator_row *keys = stator__arena_alloc(arena, count * sizeof(*keys));
	stator_row *values =
		stator__arena_zero(arena, count * sizeof(*values));
	stator_error err = {0};
	int code;

	for (size_t i = 0; i < count; i++) {
		keys[i] = stator__wire_take_row(in, arena);
		values[i].type = use->value;
	}
	code = get_each(s, self, use, keys, count, values, &err);
	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		code = check_own(me.current, &values[i], use->value,
				 &err);
	reply_begin(code, &err);
	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		stator__wire_row(&me.reply, &values[i]);
}

static void
serve_read(const stator_storage *s, void *self, wire_in *in)
{
	stator_use *use = take_use(in, me.current);
	stator_row key = stator__wire_take_row(in, &me.current->arena);
	stator_read_opts opts = {STATOR_ABI, sizeof(opts), 0, 0};
	stator_cursor *cursor = NULL;
	stator_error err = {0};
	int code;

	opts.reverse = stator__wire_take_u32(in);
	opts.limit = stator__wire_take_u32(in);
	code = s->read(self, &me.current->io.run, use, &key, &opts, &cursor,
		       &err);
	if (code >= 0 && (code != STATOR_OK || cursor == NULL ||
			  cursor->next == NULL || cursor->release == NULL))
		code = stator__fail(&err, STATOR_STORAGE_FAILED,
				    "read gave no cursor with next and "
				    "release");
	reply_begin(code, &err);
	if (code)
		return;
	STATOR_GROW(me.cursors, me.cursor_count, me.cursor_cap);
	me.cursors[me.cursor_count++] = (open_cursor){
		++me.last_cursor, cursor, me.current, use};
	stator__wire_u32(&me.reply, me.last_cursor);
}

static open_cursor *
cursor_of(uint32_t id)
{
	for (size_t i = 0; i < me.cursor_count; i++)
		if (me.cursors[i].id == id)
			return &me.cursors[i];
	return NULL;
}

/* Up to as many rows as are wanted; an end or an error comes behind them. */
static void
serve_next(wire_in *in)
{
	const open_cursor *c = cursor_of(stator__wire_take_u32(in));
	uint32_t wanted = stator__wire_take_u32(in), count = 0;
	stator_buf kept = {0};
	stator_error err = {0};
	int code = STATOR_OK;

	while (count < wanted && kept.size < 64 * 1024) {
		stator_row key = {.type = c->use->key};
		stator_row value = {.type = c->use->value};

		code = c->cursor->next(c->cursor, &key, &value, &err);
		if (code == STATOR_OK)
			code = check_own(c->run, &key, c->use->key, &err);
		if (code == STATOR_OK)
			code = check_own(c->run, &value, c->use->value,
					 &err);
		if (code)
			break;
		stator__wire_row(&kept, &key);
		stator__wire_row(&kept, &value);
		count++;
	}
	reply_begin(STATOR_OK, &err);
	stator__wire_u32(&me.reply, count);
	stator__buf_put(&me.reply, kept.data, kept.size);
	stator__wire_outcome(&me.reply, code, &err);
	free(kept.data);
}

static void
serve_release(wire_in *in)
{
	open_cursor *c = cursor_of(stator__wire_take_u32(in));
	stator_error err = {0};

	if (c) {
		stator_cursor *cursor = c->cursor;

		*c = me.cursors[--me.cursor_count];
		cursor->release(cursor);
	}
	reply_begin(STATOR_OK, &err);
}

static void
serve_intents(uint32_t kind, const stator_storage *s, void *self, wire_in *in)
{
	stator_arena *arena = &me.current->arena;
	const stator_run *run = &me.current->io.run;
	size_t count = stator__wire_take_u64(in);
	stator_intent *items =
		stator__arena_zero(arena, (count + 1) * sizeof(*items));
	stator_row *rows =
		stator__arena_zero(arena, (2 * count + 1) * sizeof(*rows));
	stator_error err = {0};
	int code = STATOR_OK;

	for (size_t i = 0; i < count; i++) {
		items[i].abi = STATOR_ABI;
		items[i].size = sizeof(*items);
		items[i].use = take_use(in, me.current);
		rows[2 * i] = stator__wire_take_row(in, arena);
		rows[2 * i + 1] = stator__wire_take_row(in, arena);
		items[i].key = &rows[2 * i];
		items[i].value = &rows[2 * i + 1];
		items[i].is_new = stator__wire_take_u32(in);
		items[i].index = stator__wire_take_u32(in);
	}
	if (kind == WIRE_VALIDATE)
		code = s->validate(self, run, items, count, &err);
	else if (kind == WIRE_APPLY)
		code = s->apply(self, run, items, count, &err);
	else if (kind == WIRE_EFFECT)
		code = s->effect(self, run, items, &err);
	else
		s->settle(self, run, items, count);
	reply_begin(code, &err);
}

/* Calls of a storage begin with partition, storage and run. */
static void
serve_call(uint32_t kind, wire_in *in)
{
	void *self = instance_of(stator__wire_take_u32(in))->self;
	const stator_storage *s =
		me.plugin->storages[stator__wire_take_u32(in)];

	me.current = take_run(in);
	switch (kind) {
	case WIRE_GET:
		serve_get(s, self, in);
		break;
	case WIRE_GETBATCH:
		serve_get_batch(s, self, in);
		break;
	case WIRE_READ:
		serve_read(s, self, in);
		break;
	case WIRE_NEXT:
		serve_next(in);
		break;
	case WIRE_RELEASE:
		serve_release(in);
		break;
	default:
		serve_intents(kind, s, self, in);
		break;
	}
	me.current = NULL;
}

static void
serve(void)
{
	stator_buf call = {0};
	wire_in in;

	for (;;) {
		uint32_t kind = receive_frame(&call, &in);

		if (kind == WIRE_END) {
			end_run(stator__wire_take_u64(&in));
			continue;
		}
		if (kind == WIRE_INIT)
			serve_init(&in);
		else if (kind == WIRE_ATTACH)
			serve_attach(&in);
		else if (kind == WIRE_DETACH)
			serve_detach(&in);
		else if (kind == WIRE_FINIT)
			serve_finit();
		else
			serve_call(kind, &in);
		send_frame(&me.reply);
	}
}

/* Becoming a process of its own ------------------------------------------------------ */

/* A plugin that hangs outlives its host otherwise. */
static void *
watch_host(void *unused)
{
	struct pollfd one = {me.fd, 0, 0};

	(void)unused;
	while (poll(&one, 1, -1) < 0 && errno == EINTR)
		;
	_exit(0);
}

/* `exit` of a plugin is not the host's: its handlers are not run here. */
static void
leave(int status, void *unused)
{
	(void)unused;
	_exit(status);
}

static void
close_the_hosts(int fd)
{
	int null = open("/dev/null", O_RDWR);

	dup2(null, STDIN_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	__fpurge(stdout);
	__fpurge(stderr);
	if (dup2(fd, 3) < 0)
		_exit(1);
	close_range(4, ~0u, 0);
	fcntl(3, F_SETFD, FD_CLOEXEC);
	me.fd = 3;
}

static void
forget_signals(void)
{
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void
stator__child_main(int fd, const char *file, const char *copy)
{
	stator_library *library;
	stator_error err = {0};
	pthread_t watcher;
	int code;

	close_the_hosts(fd);
	forget_signals();
	on_exit(leave, NULL);
	me.thread = pthread_self();
	pthread_mutex_init(&me.sending, NULL);
	if (pthread_create(&watcher, NULL, watch_host, NULL))
		_exit(1);
	me.host = stator__host_api;
	me.host.log = log_line;
	me.host.get_ext = get_ext;
	code = stator__library_load(&library, file, copy, &err);
	stator__wire_begin(&me.reply, WIRE_RETURN);
	stator__wire_outcome(&me.reply, code, &err);
	if (code == STATOR_OK) {
		me.plugin = stator__library_plugin(library);
		stator__wire_plugin(&me.reply, me.plugin);
	}
	send_frame(&me.reply);
	serve();
	_exit(0);
}
