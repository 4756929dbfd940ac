/*
 * worker.c: a state and engines for the thread that runs extensions of a
 * partition.
 */
#include <stdlib.h>

#include "app/app.h"
#include "base/log.h"

/* Engines are made for every package that declares extensions for them. */
static const stator_engine_ops *const kinds[] = {&stator__engine_lua,
						 &stator__engine_builtin};
enum { KINDS = STATOR_COUNT(kinds) };

static const stator_view *
view_of(stator_io *io, int64_t wsid, stator_error *err)
{
	stator_worker *w = io->view_ctx;
	stator_app *app = w->partition->app;
	stator_partition *p;
	stator_view *view;

	if (wsid == io->run.wsid)
		return &w->view;
	if (wsid <= 0) {
		stator__fail(err, STATOR_EXTENSION_FAILED,
			     "WSID: expected a workspace, found %lld",
			     (long long)wsid);
		return NULL;
	}
	p = stator__app_partition(app, wsid);
	if (p == w->partition)
		return &w->view;
	view = &w->others[p->index];
	if (view->snapshot == NULL &&
	    p->ops->snapshot(p->store, &view->snapshot, err))
		return NULL;
	view->ops = p->ops;
	return view;
}

static bool
package_uses(const stator_version *v, size_t package, const char *engine)
{
	for (size_t i = 0; i < v->def->ext_count; i++)
		if (v->def->exts[i].package == package &&
		    strcmp(v->def->exts[i].engine, engine) == 0 &&
		    strcmp(v->def->packages[package].name, "sys") != 0)
			return true;
	return false;
}

/* Modules of packages without extensions are loaded too: they may be wrong. */
static bool
wants_engine(const stator_version *v, size_t package, size_t kind)
{
	if (kinds[kind] == &stator__engine_builtin)
		return v->opts->purpose == STATOR_TO_RUN &&
		       package_uses(v, package, "builtin");
	return v->files[package].module_count ||
	       package_uses(v, package, kinds[kind]->name);
}

static void
check_engines_known(const stator_version *v, stator_problems *problems)
{
	for (size_t i = 0; i < v->def->ext_count; i++) {
		const stator_ext *ext = &v->def->exts[i];

		if (stator__engine_find(ext->engine) == NULL)
			stator__problem(problems, ext->file, ext->line,
					ext->col,
					"%s: this build has no engine for %s",
					ext->name, ext->engine);
	}
}

static void
make_engine(stator_worker *w, size_t package, size_t kind,
	    stator_problems *problems)
{
	const stator_version *v = w->version;
	size_t at = package * KINDS + kind;

	w->envs[at] = (stator_engine_env){
		.def = v->def,
		.registry = v->registry,
		.instances = w->deployment->instances[w->partition->index],
		.package = (uint32_t)package,
		.kinds = STATOR_EVERYONE,
		.folder = v->files[package].folder,
		.modules = v->files[package].modules,
		.module_count = v->files[package].module_count,
		.builtins = v->opts->builtins,
		.builtin_count = v->opts->builtin_count,
		.preemption = v->opts->preemption,
		.preempt_signal = v->opts->preempt_signal,
	};
	stator__descriptor_package(&v->descriptor,
				   v->def->packages[package].name,
				   &w->envs[at].limits, &w->envs[at].reset);
	w->engines[at] = kinds[kind]->init(&w->envs[at], problems);
}

/* The engine of each extension, by its place in the worker. */
static void
find_places(stator_worker *w, const stator_def *def)
{
	w->places = stator__alloc(def->ext_count * sizeof(*w->places));
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];
		size_t k = 0;

		while (k + 1 < KINDS &&
		       strcmp(kinds[k]->name, ext->engine) != 0)
			k++;
		w->places[ext->index] = ext->package * KINDS + k;
	}
}

stator_worker *
stator__worker_new(stator_partition *partition,
		   const stator_deployment *deployment,
		   stator_problems *problems)
{
	stator_worker *w = stator__alloc(sizeof(*w));
	const stator_version *v = deployment->version;
	size_t before = problems->count;

	w->partition = partition;
	w->deployment = deployment;
	w->version = v;
	w->envs = stator__alloc(v->def->package_count * KINDS *
				sizeof(*w->envs));
	w->engines = stator__alloc(v->def->package_count * KINDS *
				   sizeof(*w->engines));
	find_places(w, v->def);
	w->others = stator__alloc(partition->app->partition_count *
				  sizeof(*w->others));
	w->meters = stator__meters_new(partition->app->metrics, v->def,
				       v->registry);
	w->state.meters = w->meters->storages;
	w->view.ops = partition->ops;
	w->state.io.def = v->def;
	w->state.io.view_of = view_of;
	w->state.io.view_ctx = w;
	w->state.io.run.partitions = partition->app->partition_count;
	w->state.io.run.app = v->app;
	w->state.io.run.partition = partition->index;
	check_engines_known(v, problems);
	for (size_t i = 0; i < v->def->package_count; i++)
		for (size_t k = 0; k < KINDS; k++)
			if (wants_engine(v, i, k))
				make_engine(w, i, k, problems);
	if (problems->count == before)
		return w;
	stator__worker_free(w);
	return NULL;
}

static void
close_others(stator_worker *w)
{
	for (uint32_t i = 0; i < w->partition->app->partition_count; i++) {
		stator_view *view = &w->others[i];

		if (view->snapshot)
			view->ops->snapshot_end(view->snapshot);
		view->snapshot = NULL;
	}
}

void
stator__worker_free(stator_worker *w)
{
	for (size_t i = 0; i < w->version->def->package_count * KINDS; i++)
		if (w->engines[i])
			w->engines[i]->ops->finit(w->engines[i]);
	stator__state_free(&w->state);
	stator__meters_free(w->meters);
	close_others(w);
	free(w->others);
	free(w->engines);
	free(w->places);
	free(w->envs);
	free(w);
}

int
stator__worker_run(stator_worker *w, const stator_ext *ext, stator_error *err)
{
	size_t at = w->places[ext->index];
	stator_engine *engine = w->engines[at];
	stator_breaker *breaker;
	int code;

	if (STATOR_UNLIKELY(engine == NULL))
		return stator__fail(err, STATOR_EXTENSION_FAILED,
				    "%s: there is no engine for it", ext->name);
	w->state.limits = &w->envs[at].limits;
	breaker = &w->deployment->breakers[w->partition->index][ext->index];
	code = stator__breaker_check(breaker, w->state.limits, ext, err);
	if (code)
		return code;
	/* Until `stator__worker_end`: lines of the log are about this run. */
	stator__log_place()->run = &w->state.io.run;
	code = engine->ops->run(engine, ext, &w->state, err);
	engine->ops->reset(engine);
	stator__breaker_note(breaker, w->state.limits, ext,
			     stator__status_is_limit(code) ? err : NULL);
	return code;
}

int
stator__worker_count(stator_worker *w, const stator_ext *ext,
		     stator_error *err)
{
	int64_t began = stator__monotonic_ns();
	int code = stator__worker_run(w, ext, err);

	if (code == STATOR_QUARANTINED)
		stator__meters_refused(w->meters, ext);
	else
		stator__meters_run(w->meters, ext,
				   stator__monotonic_ns() - began, code);
	return code;
}

void
stator__worker_end(stator_worker *w)
{
	stator__log_place()->run = NULL;
	stator__state_end(&w->state);
	if (w->partition->app->partition_count > 1)
		close_others(w);
}

int64_t
stator__clock_now(const stator_clock *clock)
{
	return clock->now ? clock->now(clock->ctx) : stator__now_ms();
}

int64_t
stator__worker_now(const stator_worker *w)
{
	return stator__clock_now(&w->version->opts->clock);
}
