/*
 * argument.c: the arguments of a request to rows.
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
