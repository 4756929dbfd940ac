/*
 * request.c: one line of JSON to a request, and the reply to it.
 */
#include <stdlib.h>

#include "processor/processor.h"

static int
bad(stator_error *err, const char *name, const char *expected,
    stator_arena *arena, const stator_json *found)
{
	return stator__fail(err, STATOR_BAD_REQUEST, "%s: expected %s, found %s",
			    name, expected,
			    found ? stator__json_show(arena, found)
				  : "nothing");
}

/* The members that a request may have. */
enum {
	ID,
	WSID,
	COMMAND,
	QUERY,
	ARGS,
	UNLOGGED,
	CUDS,
	CLOCK,
	ADVANCE_MS,
	SUBJECT,
	ORIGIN,
	APP,
	MEMBERS
};

static const char *const member_names[MEMBERS] = {
	"id",	"wsid",	 "command",    "query",	  "args",   "unlogged",
	"cuds", "clock", "advance_ms", "subject", "origin", "app"};

static int
no_member(const stator_json *c, stator_error *err)
{
	const char *guess = stator__guess(c->name.data, c->name.size,
					  member_names, MEMBERS);

	stator__fail(err, STATOR_BAD_REQUEST,
		     "a request has no member \"%.*s\"", (int)c->name.size,
		     (const char *)c->name.data);
	return stator__suggest(err, guess);
}

static int
find_members(const stator_json *json, const stator_json **found,
	     stator_error *err)
{
	for (const stator_json *c = json->first; c; c = c->next) {
		size_t i = 0;

		while (i < MEMBERS &&
		       !stator__slice_is(c->name, member_names[i]))
			i++;
		if (i == MEMBERS)
			return no_member(c, err);
		if (found[i])
			return stator__fail(err, STATOR_BAD_REQUEST,
					    "%s: given twice",
					    member_names[i]);
		found[i] = c;
	}
	return STATOR_OK;
}

static int
read_name(stator_request *r, const stator_json *command,
	  const stator_json *query, stator_error *err)
{
	const stator_json *name = command ? command : query;

	if (command && query)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "a request has a command or a query, not "
				    "both");
	if (name == NULL)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "a request has a command or a query");
	if (name->kind != STATOR_JSON_STRING)
		return bad(err, command ? "command" : "query",
			   "a name as \"package.Name\"", &r->arena, name);
	r->is_query = query != NULL;
	r->name = stator__arena_str(&r->arena, name->text.data,
				    name->text.size);
	return STATOR_OK;
}

static const stator_json *
present(const stator_json *json)
{
	return json && json->kind != STATOR_JSON_NULL ? json : NULL;
}

static int
read_app(stator_request *r, const stator_json *app, stator_error *err)
{
	if (app == NULL)
		return STATOR_OK;
	if (app->kind != STATOR_JSON_STRING)
		return bad(err, "app", "a name as \"owner/name\"", &r->arena,
			   app);
	r->app = stator__arena_str(&r->arena, app->text.data, app->text.size);
	return STATOR_OK;
}

static int
read_time(stator_request *r, const stator_json *to, stator_error *err)
{
	if (to->kind == STATOR_JSON_STRING &&
	    stator__time_parse(to->text.data, to->text.size, &r->clock) &&
	    r->clock > 0)
		return STATOR_OK;
	return bad(err, "clock", "a time as \"2026-01-31T23:59:00Z\"",
		   &r->arena, to);
}

/* A request of the clock: it has nothing else. */
static int
read_clock(stator_request *r, const stator_json *to, const stator_json *by,
	   stator_error *err)
{
	for (const stator_json *c = r->json->first; c; c = c->next)
		if (c != to && c != by && c != r->id)
			return stator__fail(err, STATOR_BAD_REQUEST,
					    "a request with \"%s\" has no "
					    "\"%.*s\"",
					    to ? "clock" : "advance_ms",
					    (int)c->name.size,
					    (const char *)c->name.data);
	if (to && by)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "a request has \"clock\" or "
				    "\"advance_ms\", not both");
	if (to)
		return read_time(r, to, err);
	r->moves_by = true;
	if (by->kind == STATOR_JSON_NUMBER && stator__json_int(by, &r->clock) &&
	    r->clock >= 0 && r->clock < STATOR_TIME_END)
		return STATOR_OK;
	return bad(err, "advance_ms", "a number of milliseconds from 0 on",
		   &r->arena, by);
}

static int
check_kinds(stator_request *r, stator_error *err)
{
	if (r->args && r->args->kind != STATOR_JSON_OBJECT)
		return bad(err, "args", "an object", &r->arena, r->args);
	if (r->unlogged && r->unlogged->kind != STATOR_JSON_OBJECT)
		return bad(err, "unlogged", "an object", &r->arena,
			   r->unlogged);
	if (r->cuds && r->cuds->kind != STATOR_JSON_ARRAY)
		return bad(err, "cuds", "an array", &r->arena, r->cuds);
	if (r->subject && r->subject->kind != STATOR_JSON_OBJECT)
		return bad(err, "subject", "an object", &r->arena, r->subject);
	if (r->origin && (r->origin->kind != STATOR_JSON_STRING ||
			  !stator__utf8_valid(r->origin->text.data,
					      r->origin->text.size)))
		return bad(err, "origin", "a text", &r->arena, r->origin);
	if (r->is_query && (r->cuds || r->unlogged))
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "a query has args only");
	return STATOR_OK;
}

static int
read_members(stator_request *r, stator_error *err)
{
	const stator_json *found[MEMBERS] = {NULL};
	int code = find_members(r->json, found, err);
	const stator_json *wsid = found[WSID];

	if (code == STATOR_OK && (found[CLOCK] || found[ADVANCE_MS]))
		return read_clock(r, found[CLOCK], found[ADVANCE_MS], err);
	if (code == STATOR_OK)
		code = read_name(r, found[COMMAND], found[QUERY], err);
	if (code == STATOR_OK)
		code = read_app(r, present(found[APP]), err);
	if (code)
		return code;
	if (wsid == NULL || wsid->kind != STATOR_JSON_NUMBER ||
	    !stator__json_int(wsid, &r->wsid) || r->wsid <= 0)
		return bad(err, "wsid", "a positive 64-bit integer", &r->arena,
			   wsid);
	r->args = present(found[ARGS]);
	r->unlogged = present(found[UNLOGGED]);
	r->cuds = present(found[CUDS]);
	r->subject = present(found[SUBJECT]);
	r->origin = present(found[ORIGIN]);
	return check_kinds(r, err);
}

/* Whether all text in a tree can be sent back. */
static bool
is_utf8(const stator_json *json)
{
	if (!stator__utf8_valid(json->text.data, json->text.size) ||
	    !stator__utf8_valid(json->name.data, json->name.size))
		return false;
	for (const stator_json *c = json->first; c; c = c->next)
		if (!is_utf8(c))
			return false;
	return true;
}

/* Memory ---------------------------------------------------------------- */

/* Rationale: a request is made by one thread and freed by another one, which
 * malloc is slow at. What is large, or more than this, goes back to it. */
enum { KEPT_REQUESTS = 1024, KEPT_ARENA = 8 << 10, KEPT_REPLY = 4 << 10 };

void
stator__request_pool_open(stator_request_pool *pool)
{
	pthread_mutex_init(&pool->lock, NULL);
	pool->free = NULL;
	pool->count = 0;
}

static void
free_request(stator_request *r)
{
	stator__arena_free(&r->arena);
	free(r->reply.data);
	free(r);
}

static void
free_requests(stator_request *r)
{
	while (r) {
		stator_request *next = r->next;

		free_request(r);
		r = next;
	}
}

void
stator__request_pool_close(stator_request_pool *pool)
{
	free_requests(pool->free);
	pthread_mutex_destroy(&pool->lock);
}

static stator_request *
take(stator_request_pool *pool)
{
	stator_request *r;

	pthread_mutex_lock(&pool->lock);
	r = pool->free;
	if (r) {
		pool->free = r->next;
		pool->count--;
	}
	pthread_mutex_unlock(&pool->lock);
	if (r == NULL)
		r = stator__alloc(sizeof(*r));
	else
		memset(&r->pool, 0,
		       sizeof(*r) - offsetof(stator_request, pool));
	r->pool = pool;
	return r;
}

static void
clear(stator_request *r)
{
	stator__arena_reset_to(&r->arena, KEPT_ARENA);
	r->reply.size = 0;
	if (r->reply.cap > KEPT_REPLY) {
		free(r->reply.data);
		r->reply = (stator_buf){NULL, 0, 0};
	}
}

/* All requests of the list, as many as are kept. */
static void
give_back(stator_request *r)
{
	stator_request_pool *pool = r->pool;

	pthread_mutex_lock(&pool->lock);
	while (r && pool->count < KEPT_REQUESTS) {
		stator_request *next = r->next;

		r->next = pool->free;
		pool->free = r;
		pool->count++;
		r = next;
	}
	pthread_mutex_unlock(&pool->lock);
	free_requests(r);
}

stator_request *
stator__request_new(stator_request_pool *pool, const char *text, size_t size,
		    stator_error *err)
{
	stator_request *r = take(pool);
	stator_json *json;

	err->code = STATOR_OK;
	while (size && strchr(" \t\r\n", text[size - 1]) && text[size - 1])
		size--;
	if (stator__json_parse(&r->arena, text, size, &json, err))
		return r;
	if (json->kind != STATOR_JSON_OBJECT) {
		stator__fail(err, STATOR_BAD_REQUEST,
			     "a request is an object, found %s",
			     stator__json_show(&r->arena, json));
		return r;
	}
	r->json = json;
	r->id = stator__json_get(json, "id");
	if (r->id && !is_utf8(r->id)) {
		r->id = NULL;
		stator__fail(err, STATOR_BAD_REQUEST,
			     "id: text that is not UTF-8");
		return r;
	}
	if (read_members(r, err) == STATOR_OK)
		err->code = STATOR_OK;
	return r;
}

int
stator__request_find(stator_request *r, const stator_def *def, uint32_t kind,
		     const stator_ext **ext, stator_error *err)
{
	const char *what = kind == STATOR_QUERY ? "query" : "command";
	const char *other = kind == STATOR_QUERY ? "command" : "query";
	const stator_ext *found =
		stator__def_ext(def, stator__hash(r->name, strlen(r->name)));
	const char **all;
	size_t count = 0;

	*ext = NULL;
	if (found && strcmp(found->name, r->name) == 0) {
		*ext = found;
		if (found->kind == kind)
			return STATOR_OK;
		if (found->kind == STATOR_QUERY || found->kind == STATOR_COMMAND)
			return stator__fail(err, STATOR_NOT_FOUND,
					    "%s is a %s: ask for it with "
					    "\"%s\"",
					    r->name, other, other);
	}
	all = stator__arena_alloc(&r->arena,
				  (def->ext_count + 1) * sizeof(*all));
	for (size_t i = 0; i < def->ext_count; i++)
		if (def->exts[i].kind == kind)
			all[count++] = def->exts[i].name;
	stator__fail(err, STATOR_NOT_FOUND, "no %s is called %s", what,
		     r->name);
	return stator__suggest(err, stator__guess(r->name, strlen(r->name), all,
						  count));
}

void
stator__reply_begin(stator_json_out *out, stator_request *r, int64_t status)
{
	static const stator_json null = {.kind = STATOR_JSON_NULL};

	r->reply.size = 0;
	r->status = status;
	*out = (stator_json_out){.buf = &r->reply};
	stator__json_begin(out, '{');
	stator__json_name(out, "id");
	stator__json_tree(out, r->id ? r->id : &null);
	stator__json_name(out, "status");
	stator__json_integer(out, status);
}

void
stator__reply_end(stator_json_out *out)
{
	stator__json_end(out, '}');
}

int64_t
stator__reply_status(const stator_state *st, int code)
{
	int64_t answered = st->io.status;

	return code == STATOR_RESPONSE && answered ? answered
						   : stator__status_http(code);
}

void
stator__reply_error(stator_request *r, int64_t status, const stator_error *err)
{
	char text[sizeof(err->msg)];
	size_t size = stator__utf8_scrub(text, err->msg, strlen(err->msg));
	stator_json_out out;

	stator__reply_begin(&out, r, status);
	stator__json_name(&out, "error");
	stator__json_begin(&out, '{');
	stator__json_name(&out, "code");
	stator__json_cstring(&out, stator__status_name(err->code));
	stator__json_name(&out, "message");
	stator__json_string(&out, text, size);
	stator__json_end(&out, '}');
	stator__reply_end(&out);
}

void
stator__reply_send_all(stator_request *first)
{
	for (stator_request *r = first; r; r = r->next) {
		r->on_reply(r->ctx, (const char *)r->reply.data, r->reply.size);
		clear(r);
	}
	if (first)
		give_back(first);
}

void
stator__reply_send(stator_request *r)
{
	r->next = NULL;
	stator__reply_send_all(r);
}
