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

static int
read_name(stator_request *r, stator_error *err)
{
	const stator_json *command = stator__json_get(r->json, "command");
	const stator_json *query = stator__json_get(r->json, "query");
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
read_app(stator_request *r, stator_error *err)
{
	const stator_json *app = present(stator__json_get(r->json, "app"));

	if (app == NULL)
		return STATOR_OK;
	if (app->kind != STATOR_JSON_STRING)
		return bad(err, "app", "a name as \"owner/name\"", &r->arena,
			   app);
	r->app = stator__arena_str(&r->arena, app->text.data, app->text.size);
	return STATOR_OK;
}

static int
check_members(stator_request *r, stator_error *err)
{
	static const char *const known[] = {"id",    "wsid", "command",
					    "query", "args", "unlogged",
					    "cuds",  "clock", "advance_ms",
					    "subject", "origin", "app"};
	unsigned seen = 0;

	for (const stator_json *c = r->json->first; c; c = c->next) {
		size_t i = 0;
		const char *guess;

		while (i < STATOR_COUNT(known) &&
		       !stator__slice_is(c->name, known[i]))
			i++;
		if (i < STATOR_COUNT(known)) {
			if (seen & 1u << i)
				return stator__fail(err, STATOR_BAD_REQUEST,
						    "%s: given twice",
						    known[i]);
			seen |= 1u << i;
			continue;
		}
		guess = stator__guess(c->name.data, c->name.size, known,
				      STATOR_COUNT(known));
		stator__fail(err, STATOR_BAD_REQUEST,
			     "a request has no member \"%.*s\"",
			     (int)c->name.size, (const char *)c->name.data);
		return stator__suggest(err, guess);
	}
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
read_members(stator_request *r, stator_error *err)
{
	const stator_json *wsid = stator__json_get(r->json, "wsid");
	const stator_json *to = stator__json_get(r->json, "clock");
	const stator_json *by = stator__json_get(r->json, "advance_ms");
	int code = check_members(r, err);

	if (code == STATOR_OK && (to || by))
		return read_clock(r, to, by, err);
	if (code == STATOR_OK)
		code = read_name(r, err);
	if (code == STATOR_OK)
		code = read_app(r, err);
	if (code)
		return code;
	if (wsid == NULL || wsid->kind != STATOR_JSON_NUMBER ||
	    !stator__json_int(wsid, &r->wsid) || r->wsid <= 0)
		return bad(err, "wsid", "a positive 64-bit integer", &r->arena,
			   wsid);
	r->args = present(stator__json_get(r->json, "args"));
	r->unlogged = present(stator__json_get(r->json, "unlogged"));
	r->cuds = present(stator__json_get(r->json, "cuds"));
	r->subject = present(stator__json_get(r->json, "subject"));
	r->origin = present(stator__json_get(r->json, "origin"));
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

stator_request *
stator__request_new(const char *text, size_t size, stator_error *err)
{
	stator_request *r = stator__alloc(sizeof(*r));
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
stator__request_free(stator_request *r)
{
	stator__arena_free(&r->arena);
	free(r->reply.data);
	free(r);
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
stator__reply_send(stator_request *r)
{
	r->on_reply(r->ctx, (const char *)r->reply.data, r->reply.size);
	stator__request_free(r);
}
