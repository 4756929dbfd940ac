/*
 * argument.c: the arguments of a request to rows, and who sent it.
 */
#include <stdlib.h>

#include "processor/processor.h"

/* The row of `any` holds the JSON text. */
static int
raw_argument(stator_worker *w, const char *name, const stator_json *json,
	     stator_row *out, stator_error *err)
{
	stator_buf text = {0};
	stator_json_out writer = {.buf = &text};
	stator_builder b;
	int code;

	stator__json_tree(&writer, json);
	stator__build(&b, &w->state.arena, w->version->def->raw);
	code = stator__build_bytes(&b, 0, stator__slice(text.data, text.size),
				   err);
	*out = stator__build_done(&b);
	free(text.data);
	return code ? stator__wrap(err, "%s", name) : STATOR_OK;
}

int
stator__argument_read(stator_worker *w, const stator_ext *ext,
		      const char *name, const stator_type *type,
		      const stator_json *json, int64_t *next_raw_id,
		      stator_row *out, stator_error *err)
{
	static const stator_json empty = {.kind = STATOR_JSON_OBJECT};
	stator_json_opts opts = {NULL, false};
	stator_path path = {.name = name};

	if (type == NULL) {
		if (json && json->first)
			return stator__fail(err, STATOR_VALIDATION,
					    "%s: %s takes none", name,
					    ext->name);
		return STATOR_OK;
	}
	if (json == NULL)
		json = &empty;
	if (type == w->version->def->raw)
		return raw_argument(w, name, json, out, err);
	if (stator__type_is_record(type))
		opts.next_raw_id = next_raw_id;
	return stator__row_from_json(&w->state.arena, type, json, &path, &opts,
				     out, err);
}

/* Beyond what kinds say. */
static int
check_subject(const stator_row *subject, const stator_path *path,
	      stator_error *err)
{
	stator_path profile = {.up = path, .name = "ProfileWSID"};
	stator_path kind = {.up = path, .name = "Kind"};
	int64_t n;

	if (stator__row_int(subject, STATOR_SUBJECT_PROFILE, &n) && n <= 0)
		return stator__path_fail(&profile, err, STATOR_VALIDATION,
					 "expected a workspace, found %lld",
					 (long long)n);
	if (stator__row_int(subject, STATOR_SUBJECT_KIND, &n) && n != 1 &&
	    n != 2)
		return stator__path_fail(&kind, err, STATOR_VALIDATION,
					 "expected 1 (user) or 2 (device), "
					 "found %lld",
					 (long long)n);
	return STATOR_OK;
}

int
stator__sender_read(stator_worker *w, const stator_request *r,
		    stator_error *err)
{
	const stator_json_opts opts = {NULL, false};
	const stator_path path = {.name = "subject"};
	const stator_binding *b;
	stator_io *io = &w->state.io;
	int code;

	if (r->origin)
		io->origin = r->origin->text;
	if (r->subject == NULL)
		return STATOR_OK;
	b = stator__registry_find(w->version->registry, "sys.RequestSubject");
	code = stator__row_from_json(&w->state.arena, b->value, r->subject,
				     &path, &opts, &io->subject, err);
	return code ? code : check_subject(&io->subject, &path, err);
}
