/*
 * engine_builtin.c: the engine of C functions that the embedder registers, and
 * what they see of the state. C is trusted: limits on intents and rows hold,
 * limits on time and memory do not.
 */
#include <stdlib.h>

#include "engine/engine.h"
#include "stator.h"

typedef struct builtin_engine {
	stator_engine base;
	const stator_engine_env *env;
	stator_handles handles;
} builtin_engine;

/* Behind `stator_key` and `stator_new`: a row in the making. */
struct stator_fields {
	stator_builder builder;
	const stator_handle *handle;
	uint32_t intent;
	int64_t raw_id; /* of a new record; else 0 */
	stator_fields *next; /* of the run's intents */
};

/* What the run has beyond the state, found from it. */
typedef struct builtin_run {
	builtin_engine *engine;
	stator_fields *intents;
} builtin_run;

static builtin_run *
run_of(stator_state *state)
{
	return state->engine_run;
}

static const stator_builtin *
find(const stator_engine_env *env, const char *name)
{
	for (size_t i = 0; i < env->builtin_count; i++)
		if (strcmp(env->builtins[i].name, name) == 0)
			return &env->builtins[i];
	return NULL;
}

static stator_engine *
init(const stator_engine_env *env, stator_problems *problems)
{
	builtin_engine *e = stator__alloc(sizeof(*e));
	size_t before = problems->count;

	e->base.ops = &stator__engine_builtin;
	e->env = env;
	e->handles.def = env->def;
	e->handles.registry = env->registry;
	e->handles.instances = env->instances;
	for (size_t i = 0; i < env->def->ext_count; i++) {
		const stator_ext *ext = &env->def->exts[i];

		if (ext->package == env->package && (ext->kind & env->kinds) &&
		    strcmp(ext->engine, "builtin") == 0 &&
		    find(env, ext->name) == NULL)
			stator__problem(problems, ext->file, ext->line,
					ext->col,
					"%s: the embedder registers no such "
					"builtin extension",
					ext->name);
	}
	if (problems->count == before)
		return &e->base;
	free(e);
	return NULL;
}

static int
fill(stator_state *state, stator_fields *f, stator_error *err)
{
	stator_row row = stator__build_done(&f->builder);

	return stator__state_fill(state, f->intent, &row, err);
}

/* What the function has returned, held against what it may: so that nothing of
 * another run's error is told, and no reply has a status that is none. */
static int
outcome(int code, stator_error *err)
{
	if (code == STATOR_OK)
		return code;
	if (code > 0 || !stator__status_known(code))
		return stator__fail(err, STATOR_EXTENSION_FAILED,
				    "returned %d, which is no error", code);
	if (code == STATOR_RESPONSE)
		code = STATOR_EXTENSION_FAILED;
	if (err->msg[0] == '\0')
		return stator__fail(err, code, "%s", stator__status_text(code));
	err->code = code;
	return code;
}

static int
run(stator_engine *engine, const stator_ext *ext, stator_state *state,
    stator_error *err)
{
	builtin_engine *e = (builtin_engine *)engine;
	const stator_builtin *b = find(e->env, ext->name);
	builtin_run r = {e, NULL};
	int code;

	err->code = STATOR_OK;
	err->msg[0] = '\0';
	state->engine_run = &r;
	code = outcome(b->function(state, b->ctx, err), err);
	for (stator_fields *f = r.intents; f && code == STATOR_OK; f = f->next)
		code = fill(state, f, err);
	state->engine_run = NULL;
	if (state->breach) {
		*err = state->breach_error;
		code = state->breach;
	}
	return code ? stator__wrap(err, "%s", ext->name) : STATOR_OK;
}

static void
reset(stator_engine *engine)
{
	(void)engine;
}

static void
finit(stator_engine *engine)
{
	builtin_engine *e = (builtin_engine *)engine;

	stator__handles_free(&e->handles);
	free(e);
}

const stator_engine_ops stator__engine_builtin = {
	.name = "builtin",
	.init = init,
	.run = run,
	.reset = reset,
	.finit = finit,
};

/* stator.h ---------------------------------------------------------------- */

static stator_fields *
make_fields(stator_state *state, const stator_handle *h,
	    const stator_type *type)
{
	stator_fields *f = stator__arena_zero(&state->arena, sizeof(*f));

	f->handle = h;
	stator__build(&f->builder, &state->arena, type);
	return f;
}

stator_fields *
stator_key(stator_state *state, const char *storage, const char *entity,
	   stator_error *err)
{
	builtin_engine *e = run_of(state)->engine;
	const stator_def *def = e->env->def;
	stator_handle *h;

	if (stator__handle(&e->handles, storage, entity,
			   def->packages[e->env->package].name, &h, err))
		return NULL;
	return make_fields(state, h, h->use.key);
}

/* Whoever hands on a NULL is told once more why it is one. */
static int
failed_before(stator_error *err)
{
	if (err->code < 0)
		return err->code;
	return stator__fail(err, STATOR_INVALID, "NULL in place of fields");
}

static int
find_field(const stator_type *type, const char *name, stator_error *err)
{
	int i = stator__type_find(type, name, strlen(name));

	if (i < 0) {
		stator__fail(err, STATOR_EXTENSION_FAILED, "%s has no field %s",
			     type->name, name);
		if (err)
			stator__type_guess(type, name, strlen(name), err);
	}
	return i;
}

static int
named(const char *name, int code, stator_error *err)
{
	return code ? stator__wrap(err, "%s", name) : STATOR_OK;
}

int
stator_set_int(stator_fields *fields, const char *name, int64_t value,
	       stator_error *err)
{
	int i;

	if (fields == NULL)
		return failed_before(err);
	i = find_field(fields->builder.type, name, err);
	if (i < 0)
		return STATOR_EXTENSION_FAILED;
	return named(name,
		     stator__build_int(&fields->builder, (uint32_t)i, value,
				       err),
		     err);
}

int
stator_set_float(stator_fields *fields, const char *name, double value,
		 stator_error *err)
{
	int i;

	if (fields == NULL)
		return failed_before(err);
	i = find_field(fields->builder.type, name, err);
	if (i < 0)
		return STATOR_EXTENSION_FAILED;
	return named(name,
		     stator__build_float(&fields->builder, (uint32_t)i, value,
					 err),
		     err);
}

int
stator_set_bytes(stator_fields *fields, const char *name, const void *data,
		 size_t size, stator_error *err)
{
	int i;

	if (fields == NULL)
		return failed_before(err);
	i = find_field(fields->builder.type, name, err);
	if (i < 0)
		return STATOR_EXTENSION_FAILED;
	return named(name,
		     stator__build_bytes(&fields->builder, (uint32_t)i,
					 stator__slice(data, size), err),
		     err);
}

int
stator_get(stator_state *state, stator_fields *key, stator_row *row,
	   stator_error *err)
{
	stator_row k;

	if (key == NULL)
		return failed_before(err);
	k = stator__build_done(&key->builder);
	return stator__state_get(state, key->handle, &k, row, err);
}

int
stator_read(stator_state *state, stator_fields *key, int reverse,
	    uint32_t limit, stator_cursor **cursor, stator_error *err)
{
	stator_row k;

	*cursor = NULL;
	if (key == NULL)
		return failed_before(err);
	k = stator__build_done(&key->builder);
	return stator__state_read(state, key->handle, &k, reverse != 0, limit,
				  cursor, err);
}

int
stator_next(stator_state *state, stator_fields *key, stator_cursor *cursor,
	    stator_row *key_row, stator_row *row, stator_error *err)
{
	if (key == NULL || cursor == NULL)
		return failed_before(err);
	return stator__state_next(state, key->handle, cursor, key_row, row,
				  err);
}

/* The row of the result before this one is complete: it goes on its way. */
static int
fill_first(stator_state *state, uint32_t intent, stator_error *err)
{
	stator_fields **at = &run_of(state)->intents, *f;

	while ((*at)->intent != intent)
		at = &(*at)->next;
	f = *at;
	*at = f->next;
	return fill(state, f, err);
}

static stator_fields *
intend(stator_state *state, stator_fields *key, const stator_row *base,
       stator_error *err)
{
	builtin_run *r = run_of(state);
	stator_fields *f;
	uint32_t intent;
	stator_row k;
	int code;

	if (key == NULL) {
		failed_before(err);
		return NULL;
	}
	k = stator__build_done(&key->builder);
	while ((code = stator__state_intent(state, key->handle, &k, base,
					    &intent, err)) == STATOR_NONE)
		if (fill_first(state, intent, err))
			return NULL;
	if (code)
		return NULL;
	f = make_fields(state, key->handle,
			stator__state_value_type(state, key->handle));
	f->intent = intent;
	f->next = r->intents;
	r->intents = f;
	if (base == NULL && stator__type_is_record(f->builder.type))
		stator__build_int(&f->builder, STATOR_SYS_ID,
				  f->raw_id = state->next_raw_id++, NULL);
	return f;
}

stator_fields *
stator_new(stator_state *state, stator_fields *key, stator_error *err)
{
	return intend(state, key, NULL, err);
}

int64_t
stator_new_id(const stator_fields *fields)
{
	return fields ? fields->raw_id : 0;
}

stator_fields *
stator_update(stator_state *state, stator_fields *key, const stator_row *row,
	      stator_error *err)
{
	return intend(state, key, row, err);
}

static int
hand_out(const stator_row *from, stator_row *row)
{
	*row = *from;
	return from->data ? STATOR_OK : STATOR_NONE;
}

int
stator_argument(stator_state *state, stator_row *row)
{
	return hand_out(&state->io.argument, row);
}

int
stator_unlogged(stator_state *state, stator_row *row)
{
	return hand_out(&state->io.unlogged, row);
}

int
stator_event(stator_state *state, stator_row *row)
{
	return hand_out(&state->io.event, row);
}

const stator_run *
stator_state_run(const stator_state *state)
{
	return &state->io.run;
}

int
stator_row_int(const stator_row *row, const char *name, int64_t *value)
{
	int i = find_field(row->type, name, NULL);

	return i >= 0 && stator__row_int(row, (uint32_t)i, value);
}

int
stator_row_float(const stator_row *row, const char *name, double *value)
{
	int i = find_field(row->type, name, NULL);

	return i >= 0 && stator__row_float(row, (uint32_t)i, value);
}

int
stator_row_bytes(const stator_row *row, const char *name, stator_slice *value)
{
	int i = find_field(row->type, name, NULL);

	return i >= 0 && stator__row_bytes(row, (uint32_t)i, value);
}

uint32_t
stator_row_count(const stator_row *row, const char *name)
{
	int i = find_field(row->type, name, NULL);

	return i >= 0 ? stator__row_count(row, (uint32_t)i) : 0;
}

int
stator_row_child(stator_state *state, const stator_row *row, const char *name,
		 uint32_t index, stator_row *child)
{
	int i = find_field(row->type, name, NULL);

	if (i < 0 || !stator__row_child(state->io.def, row, (uint32_t)i, index,
					child))
		return STATOR_NONE;
	return STATOR_OK;
}
