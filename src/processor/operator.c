/*
 * operator.c: what operators ask of a host that runs: the commands and queries
 * of package sys, which no engine runs.
 */
#include "processor/processor.h"

bool
stator__operator_has(const stator_worker *w, const stator_ext *ext)
{
	return strcmp(w->version->def->packages[ext->package].name, "sys") == 0;
}

static stator_breaker *
breaker_of(const stator_worker *w, size_t ext)
{
	return &w->deployment->breakers[w->partition->index][ext];
}

/* The field of this name, which package sys says is there. */
static uint32_t
field(const stator_type *type, const char *name)
{
	uint32_t i = 0;

	while (strcmp(type->fields[i].name, name) != 0)
		i++;
	return i;
}

/* One extension by its name, or all. */
static int
release(stator_worker *w, stator_error *err)
{
	const stator_def *def = w->version->def;
	const stator_row *arg = &w->state.io.argument;
	stator_slice name = {NULL, 0};
	bool all = !stator__row_bytes(
		arg, field(arg->type, "Extension"), &name);
	bool found = all;

	for (size_t i = 0; i < def->ext_count; i++) {
		if (!all && !stator__slice_is(name, def->exts[i].name))
			continue;
		stator__breaker_release(breaker_of(w, i));
		found = true;
	}
	if (found)
		return STATOR_OK;
	return stator__fail(err, STATOR_NOT_FOUND,
			    "args.Extension: no extension is called %.*s",
			    (int)name.size, (const char *)name.data);
}

int
stator__operator_command(stator_worker *w, const stator_ext *ext,
			 stator_error *err)
{
	/* sys.CUD is nothing but its CUDs. */
	return strcmp(ext->local, "Release") == 0 ? release(w, err) : STATOR_OK;
}

static stator_row
breaker_row(stator_worker *w, const stator_type *type, const char *name,
	    const stator_breaker *b)
{
	stator_builder row;

	stator__build(&row, &w->state.arena, type);
	stator__build_bytes(&row, field(type, "Extension"),
			    stator__cslice(name), NULL);
	stator__build_int(&row, field(type, "Breaches"),
			  (int64_t)__atomic_load_n(&b->breaches,
						   __ATOMIC_RELAXED),
			  NULL);
	stator__build_int(&row, field(type, "Refused"),
			  (int64_t)__atomic_load_n(&b->refused,
						   __ATOMIC_RELAXED),
			  NULL);
	stator__build_int(&row, field(type, "QuarantinedMs"),
			  stator__breaker_rest_ms(b), NULL);
	return stator__build_done(&row);
}

/* sys.Breakers: extensions that have passed limits, in this partition. */
int
stator__operator_query(stator_worker *w, const stator_ext *ext,
		       stator_error *err)
{
	const stator_def *def = w->version->def;
	stator_io *io = &w->state.io;
	int code = STATOR_OK;

	for (size_t i = 0; i < def->ext_count && code == STATOR_OK; i++) {
		const stator_breaker *b = breaker_of(w, i);
		stator_row row;

		if (__atomic_load_n(&b->breaches, __ATOMIC_RELAXED) == 0)
			continue;
		row = breaker_row(w, ext->result, def->exts[i].name, b);
		code = io->on_result(io, &row, err);
	}
	return code;
}
