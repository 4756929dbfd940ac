/*
 * verify.c: whether stored data is what it should be: what is found, and how it
 * is said.
 */
#include <stdlib.h>

#include "processor/verify.h"
#include "storage/storage.h"

const char stator__verify_damage[] =
	"bring the partition's folder back from a backup";

/* Saying it ------------------------------------------------------------- */

static void
write_member(stator_json_out *out, const char *name, const char *text)
{
	if (text == NULL)
		return;
	stator__json_name(out, name);
	stator__json_any_text(out, text);
}

static void
write_json(const stator_verifier *v, const stator_finding *f, stator_buf *line)
{
	stator_json_out out = {.buf = line};

	stator__json_begin(&out, '{');
	stator__json_name(&out, "severity");
	stator__json_cstring(&out, f->warning ? "warning" : "problem");
	stator__json_name(&out, "partition");
	stator__json_integer(&out, v->partition);
	write_member(&out, "space", f->space);
	write_member(&out, "name", f->name);
	if (f->wsid) {
		stator__json_name(&out, "wsid");
		stator__json_integer(&out, f->wsid);
	}
	write_member(&out, "key", f->key);
	write_member(&out, "wrong", f->wrong);
	write_member(&out, "todo", f->todo);
	stator__json_end(&out, '}');
}

static void
write_text(const stator_verifier *v, const stator_finding *f, stator_buf *line)
{
	stator__buf_format(line, "%spartition %u: %s",
			   f->warning ? "warning: " : "", v->partition,
			   f->space);
	if (f->name)
		stator__buf_format(line, " %s", f->name);
	if (f->wsid)
		stator__buf_format(line, ", workspace %lld",
				   (long long)f->wsid);
	if (f->key)
		stator__buf_format(line, ", %s", f->key);
	stator__buf_format(line, ": %s%s%s", f->wrong, f->todo ? "; " : "",
			   f->todo ? f->todo : "");
}

void
stator__verify_say(stator_verifier *v, const stator_finding *f)
{
	v->problems += !f->warning;
	if (v->up.opts.as_json)
		write_json(v, f, &v->up.line);
	else
		write_text(v, f, &v->up.line);
	stator__upkeep_line(&v->up);
}

/* Keys ------------------------------------------------------------------ */

bool
stator__verify_in_sys(stator_slice key)
{
	const uint8_t *p = key.data;

	return key.size >= STATOR_SYS_PREFIX && p[0] == STATOR_SPACE_STORAGE &&
	       stator__be32(p + 1) == stator__sys_space();
}

bool
stator__verify_view_place(stator_slice key, stator_view_place *place)
{
	const uint8_t *p = (const uint8_t *)key.data + STATOR_SPACE_SIZE;

	if (key.size < STATOR_SPACE_SIZE + STATOR_VIEW_KEY)
		return false;
	place->id = stator__be32(p + 1);
	place->wsid = (int64_t)stator__be64(p + 5);
	place->fields = stator__slice(p + STATOR_VIEW_KEY,
				      key.size - STATOR_SPACE_SIZE -
					      STATOR_VIEW_KEY);
	return true;
}

static const char *
show_bytes(stator_verifier *v, stator_slice bytes)
{
	enum { MOST = 40 };
	const uint8_t *p = bytes.data;
	char *text = stator__arena_alloc(&v->arena, 2 * MOST + 4), *at = text;
	size_t count = bytes.size < MOST ? bytes.size : MOST;

	for (size_t i = 0; i < count; i++) {
		*at++ = "0123456789abcdef"[p[i] >> 4];
		*at++ = "0123456789abcdef"[p[i] & 15];
	}
	memcpy(at, count < bytes.size ? "..." : "", count < bytes.size ? 4 : 1);
	return text;
}

const char *
stator__verify_view_key(stator_verifier *v, const stator_type *type,
			stator_slice fields)
{
	stator_error err;
	stator_row row;

	if (type && stator__type_info(type)->key &&
	    stator__key_decode(&v->arena, stator__type_info(type)->key, fields,
			       &row, &err) == STATOR_OK)
		return stator__row_show(&v->arena, &row);
	return show_bytes(v, fields);
}

const char *
stator__verify_number(stator_verifier *v, int64_t n)
{
	return stator__arena_format(&v->arena, "%lld", (long long)n);
}

/* All of it ------------------------------------------------------------- */

/* A partition that cannot be read is a finding, and others are looked at. */
static int
open_partition(stator_verifier *v)
{
	const stator_partition *p = &v->app->partitions[v->partition];
	stator_error err;
	int code;

	v->view = (stator_view){.ops = p->ops};
	err = p->damage;
	code = p->store ? p->ops->snapshot(p->store, &v->view.snapshot, &err)
			: err.code;
	if (code) {
		/* What is damaged on disk says itself what to do. */
		const stator_finding f = {
			.space = "store",
			.wrong = err.msg,
			.todo = strstr(err.msg, "from a backup")
					? NULL
					: stator__verify_damage};

		v->view.snapshot = NULL;
		stator__verify_say(v, &f);
	}
	return code;
}

static int
verify_partition(stator_verifier *v, stator_replayer *replayer,
		 stator_error *err)
{
	uint64_t before = v->problems;
	int code;

	if (open_partition(v))
		return STATOR_OK;
	code = stator__verify_walk(v, err);
	/* What is damaged would only be said once more, less clearly. */
	if (code == STATOR_OK && replayer && v->problems == before)
		code = stator__verify_replay(replayer, err);
	v->view.ops->snapshot_end(v->view.snapshot);
	return code;
}

static int
verify(stator_verifier *v, const char *image, const char *data,
       stator_error *err)
{
	stator_replayer *replayer = NULL;
	int code = STATOR_OK;

	if (!v->up.opts.quick)
		code = stator__replayer_new(&replayer, v, image, data, err);
	for (v->partition = 0;
	     v->partition < v->app->partition_count && !code; v->partition++)
		code = verify_partition(v, replayer, err);
	if (replayer)
		stator__replayer_free(replayer);
	if (code == STATOR_OK && v->problems)
		code = stator__fail(err, STATOR_CORRUPT, "%llu problem%s",
				    (unsigned long long)v->problems,
				    v->problems == 1 ? "" : "s");
	return code;
}

int
stator_verify(const char *image, const char *data,
	      const stator_upkeep_opts *opts, stator_error *err)
{
	stator_verifier v = {.problems = 0};
	stator_error ignored;
	int code;

	if (err == NULL)
		err = &ignored;
	code = stator__upkeep_open(&v.up, image, data, STATOR_OPEN_WHOLE, opts, err);
	if (code)
		return code;
	v.app = v.up.app;
	v.def = v.app->deployment->version->def;
	code = verify(&v, image, data, err);
	stator__arena_free(&v.arena);
	stator__upkeep_free(&v.up);
	return code;
}
