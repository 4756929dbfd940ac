/*
 * descriptor.c: descriptor.json, strictly: an unknown key is an error.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"
#include "base/files.h"
#include "base/json.h"

/* What is being read, and where problems go. */
typedef struct reader {
	stator_arena *arena;
	const char *file;
	stator_slice text; /* of the file, to find lines */
	stator_problems *problems;
} reader;

/* Says where in the file it is. */
static void
problem(reader *r, const stator_json *at, const char *message)
{
	int line = 1, col = 1;

	if (at)
		stator__json_place(r->text, at, &line, &col);
	stator__problem(r->problems, r->file, line, col, "%s", message);
}

static void
complain(reader *r, const char *path, const char *expected,
	 const stator_json *value)
{
	problem(r, value,
		stator__arena_format(r->arena, "%s: expected %s, found %s",
				     path, expected,
				     stator__json_show(r->arena, value)));
}

typedef struct member {
	const char *name;
	void (*read)(reader *r, const char *path, const stator_json *value,
		     void *to);
	void *to;
} member;

static void
read_string(reader *r, const char *path, const stator_json *value, void *to)
{
	if (value->kind != STATOR_JSON_STRING || value->text.size == 0) {
		complain(r, path, "a string", value);
		return;
	}
	*(const char **)to = stator__arena_str(r->arena, value->text.data,
					       value->text.size);
}

static bool
read_number(reader *r, const char *path, const stator_json *value,
	    int64_t least, int64_t most, int64_t *out)
{
	char expected[64];

	if (value->kind == STATOR_JSON_NUMBER && stator__json_int(value, out) &&
	    *out >= least && *out <= most)
		return true;
	snprintf(expected, sizeof(expected), "a whole number from %lld to %lld",
		 (long long)least, (long long)most);
	complain(r, path, expected, value);
	return false;
}

static void
read_count(reader *r, const char *path, const stator_json *value, void *to)
{
	int64_t n;

	if (read_number(r, path, value, 1, 65535, &n))
		*(uint32_t *)to = (uint32_t)n;
}

static void
read_app_workspaces(reader *r, const char *path, const stator_json *value,
		    void *to)
{
	int64_t n;

	if (read_number(r, path, value, 1, STATOR_APP_WORKSPACE_MOST, &n))
		*(uint32_t *)to = (uint32_t)n;
}

static void
read_engines_count(reader *r, const char *path, const stator_json *value,
		   void *to)
{
	int64_t n;

	if (read_number(r, path, value, 1, 256, &n))
		*(uint32_t *)to = (uint32_t)n;
}

static void
read_u32(reader *r, const char *path, const stator_json *value, void *to)
{
	int64_t n;

	if (read_number(r, path, value, 1, UINT32_MAX, &n))
		*(uint32_t *)to = (uint32_t)n;
}

static void
read_u64(reader *r, const char *path, const stator_json *value, void *to)
{
	int64_t n;

	if (read_number(r, path, value, 1, INT64_MAX, &n))
		*(uint64_t *)to = (uint64_t)n;
}

/* More than this is more than the stack of C is made for. */
static void
read_nesting(reader *r, const char *path, const stator_json *value, void *to)
{
	int64_t n;

	if (read_number(r, path, value, 1, 150, &n))
		*(uint32_t *)to = (uint32_t)n;
}

static void
read_megabytes(reader *r, const char *path, const stator_json *value, void *to)
{
	int64_t n;

	if (read_number(r, path, value, 1, 65536, &n))
		*(uint64_t *)to = (uint64_t)n << 20;
}

/* Reads an object whose members are those of the list and no others. */
static void
read_object(reader *r, const char *path, const stator_json *value,
	    const member *members, size_t count)
{
	const char *names[16];
	unsigned seen = 0;
	const char *dot = *path ? "." : "";

	if (value->kind != STATOR_JSON_OBJECT) {
		complain(r, *path ? path : "descriptor", "an object", value);
		return;
	}
	for (size_t i = 0; i < count; i++)
		names[i] = members[i].name;
	for (const stator_json *c = value->first; c; c = c->next) {
		const char *at = stator__arena_format(
			r->arena, "%s%s%.*s", path, dot, (int)c->name.size,
			(const char *)c->name.data);
		const char *guess;
		size_t i = 0;

		while (i < count && !stator__slice_is(c->name, names[i]))
			i++;
		if (i < count && (seen & 1u << i)) {
			problem(r, c, stator__arena_format(r->arena,
							   "%s: given twice",
							   at));
			continue;
		}
		if (i < count) {
			seen |= 1u << i;
			members[i].read(r, at, c, members[i].to);
			continue;
		}
		guess = stator__guess(c->name.data, c->name.size, names, count);
		problem(r, c,
			stator__arena_format(r->arena, "%s: unknown key%s%s%s",
					     at, guess ? "; did you mean " : "",
					     guess ? guess : "",
					     guess ? "?" : ""));
	}
}

static void
read_times(reader *r, const char *path, const stator_json *value, void *to)
{
	stator_limits *limits = to;
	const member members[] = {
		{"command", read_u32, &limits->command_ms},
		{"query", read_u32, &limits->query_ms},
		{"projector", read_u32, &limits->projector_ms},
		{"job", read_u32, &limits->job_ms},
	};

	read_object(r, path, value, members, STATOR_COUNT(members));
}

static void
read_limits(reader *r, const char *path, const stator_json *value, void *to)
{
	stator_limits *limits = to;
	const member members[] = {
		{"memoryMB", read_megabytes, &limits->memory},
		{"timeMs", read_times, limits},
		{"intents", read_u32, &limits->intents},
		{"rowsRead", read_u64, &limits->rows},
		{"bytesRead", read_u64, &limits->bytes_read},
		{"bytesReturned", read_u64, &limits->bytes},
		{"stringBytes", read_u64, &limits->string},
		{"logLines", read_u32, &limits->log_lines},
		{"nesting", read_nesting, &limits->nesting},
		{"coroutines", read_u32, &limits->coroutines},
		{"handles", read_u32, &limits->handles},
		{"breaches", read_u32, &limits->breaches},
		{"quarantineMs", read_u32, &limits->quarantine_ms},
	};

	read_object(r, path, value, members, STATOR_COUNT(members));
}

static void
read_engines(reader *r, const char *path, const stator_json *value, void *to)
{
	const member members[] = {{"query", read_engines_count, to}};

	read_object(r, path, value, members, STATOR_COUNT(members));
}

static void
read_projectors(reader *r, const char *path, const stator_json *value, void *to)
{
	stator_projecting *p = to;
	const member members[] = {
		{"bundle", read_count, &p->bundle},
		{"bundleMs", read_count, &p->bundle_ms},
		{"tries", read_count, &p->tries},
		{"waitMs", read_count, &p->wait_ms},
		{"mostWaitMs", read_u32, &p->most_wait_ms},
	};

	read_object(r, path, value, members, STATOR_COUNT(members));
}

/* One of these names: its index. */
static bool
read_choice(reader *r, const char *path, const stator_json *value,
	    const char *const *names, size_t count, const char *expected,
	    size_t *out)
{
	for (size_t i = 0; i < count; i++)
		if (value->kind == STATOR_JSON_STRING &&
		    stator__slice_is(value->text, names[i])) {
			*out = i;
			return true;
		}
	complain(r, path, expected, value);
	return false;
}

static void
read_reset(reader *r, const char *path, const stator_json *value, void *to)
{
	static const char *const names[] = {"frozen", "image"};
	size_t i;

	if (read_choice(r, path, value, names, STATOR_COUNT(names),
			"\"frozen\" or \"image\"", &i))
		*(stator_reset *)to = (stator_reset)i;
}

static void
read_durability(reader *r, const char *path, const stator_json *value, void *to)
{
	static const char *const names[] = {"log", "store", "none"};
	size_t i;

	if (read_choice(r, path, value, names, STATOR_COUNT(names),
			"\"log\", \"store\" or \"none\"", &i))
		*(stator_durability *)to = (stator_durability)i;
}

static void
read_log(reader *r, const char *path, const stator_json *value, void *to)
{
	const member members[] = {{"memoryMB", read_megabytes, to}};

	read_object(r, path, value, members, STATOR_COUNT(members));
}

/* An object with members of any names, each an object of these. */
static void
read_each(reader *r, const char *path, const stator_json *value,
	  const member *members, size_t count)
{
	if (value->kind != STATOR_JSON_OBJECT) {
		complain(r, path, "an object", value);
		return;
	}
	for (const stator_json *c = value->first; c; c = c->next)
		read_object(r,
			    stator__arena_format(r->arena, "%s.%.*s", path,
						 (int)c->name.size,
						 (const char *)c->name.data),
			    c, members, count);
}

static void
read_packages(reader *r, const char *path, const stator_json *value, void *to)
{
	stator_limits limits;
	stator_reset reset;
	const member members[] = {{"limits", read_limits, &limits},
				  {"reset", read_reset, &reset}};

	read_each(r, path, value, members, STATOR_COUNT(members));
	*(const stator_json **)to = value;
}

static void
read_config(reader *r, const char *path, const stator_json *value, void *to)
{
	(void)to; /* It is read against the storage's description. */
	if (value->kind != STATOR_JSON_OBJECT)
		complain(r, path, "an object", value);
}

static void
read_isolation(reader *r, const char *path, const stator_json *value, void *to)
{
	static const char *const names[] = {"none", "process"};
	size_t unused;

	(void)to; /* It is read where the storage is loaded. */
	read_choice(r, path, value, names, STATOR_COUNT(names),
		    "\"none\" or \"process\"", &unused);
}

static void
read_storages(reader *r, const char *path, const stator_json *value, void *to)
{
	const member members[] = {{"config", read_config, NULL},
				  {"isolation", read_isolation, NULL}};

	read_each(r, path, value, members, STATOR_COUNT(members));
	*(const stator_json **)to = value;
}

/* The byte that the message of the parser ends with. */
static size_t
json_error_place(const char *message)
{
	const char *at = strstr(message, " at byte ");

	return at ? (size_t)strtoul(at + 9, NULL, 10) - 1 : 0;
}

void
stator__descriptor_read(stator_descriptor *d, stator_arena *arena,
			const char *path, stator_problems *problems)
{
	reader r = {arena, path, {NULL, 0}, problems};
	const member members[] = {
		{"app", read_string, &d->app},
		{"version", read_string, &d->version},
		{"partitions", read_count, &d->partitions},
		{"appWorkspaces", read_app_workspaces, &d->app_workspaces},
		{"engines", read_engines, &d->query_engines},
		{"limits", read_limits, &d->limits},
		{"reset", read_reset, &d->reset},
		{"storages", read_storages, &d->storages},
		{"durability", read_durability, &d->durability},
		{"log", read_log, &d->log_memory},
		{"projectors", read_projectors, &d->projecting},
		{"packages", read_packages, &d->packages},
	};
	stator_json *json;
	stator_error err;

	*d = (stator_descriptor){
		.file = path,
		.version = "1",
		.partitions = 1,
		.app_workspaces = 1,
		.query_engines = 2,
		.log_memory = 512u << 20,
		.projecting = {.bundle = 100,
			       .bundle_ms = 100,
			       .tries = 8,
			       .wait_ms = 10,
			       .most_wait_ms = 1000},
		.limits = {.memory = 64u << 20,
			   .intents = 1000,
			   .rows = 100000,
			   .bytes_read = 256u << 20,
			   .bytes = 16777216,
			   .string = 16777216,
			   .log_lines = 1000,
			   .nesting = 150,
			   .coroutines = 10000,
			   .handles = 1000,
			   .breaches = 10,
			   .quarantine_ms = 1000,
			   .command_ms = 100,
			   .query_ms = 1000,
			   .projector_ms = 1000,
			   .job_ms = 10000},
	};
	if (stator__file_read(arena, path, &r.text) == ENOENT)
		return;
	d->text = r.text;
	if (stator__json_parse(arena, r.text.data, r.text.size, &json, &err)) {
		stator_json at = {.end = json_error_place(err.msg)};

		problem(&r, &at, err.msg);
		return;
	}
	read_object(&r, "", json, members, STATOR_COUNT(members));
}

void
stator__descriptor_package(const stator_descriptor *d, const char *package,
			   stator_limits *limits, stator_reset *reset)
{
	const stator_json *own =
		d->packages ? stator__json_get(d->packages, package) : NULL;
	const member members[] = {{"limits", read_limits, limits},
				  {"reset", read_reset, reset}};
	stator_problems none = {0};
	stator_arena arena = {0};
	reader r = {&arena, "", {NULL, 0}, &none};

	*limits = d->limits;
	*reset = d->reset;
	/* It has been read before: there are no problems. */
	if (own)
		read_object(&r, "", own, members, STATOR_COUNT(members));
	stator__problems_free(&none);
	stator__arena_free(&arena);
}
