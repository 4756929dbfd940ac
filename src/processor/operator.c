/*
 * operator.c: what operators ask of a host that runs: the commands and queries
 * of package sys, which no engine runs.
 */
#include <stdlib.h>

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

/* The projector that the argument names; `found` NULL: none is named. */
static int
read_projector(stator_worker *w, const stator_ext **found, stator_error *err)
{
	const stator_row *arg = &w->state.io.argument;
	stator_slice name;

	*found = NULL;
	if (!stator__row_bytes(arg, field(arg->type, "Projector"), &name))
		return STATOR_OK;
	*found = stator__async_named(w->version->def, name, err);
	return *found ? STATOR_OK : stator__wrap(err, "args.Projector");
}

/* One, or all that are parked. */
static int
retry(stator_worker *w, stator_error *err)
{
	stator_arena *arena = &w->state.arena;
	const stator_ext *only, *ext = NULL;
	int code = read_projector(w, &only, err);

	if (code)
		return code;
	if (only)
		return stator__projector_retry(&w->view, w->view.over, arena,
					       only, err);
	while ((ext = stator__async_next(w->version->def, ext)) != NULL) {
		code = stator__projector_retry(&w->view, w->view.over, arena,
					       ext, err);
		if (code && code != STATOR_NOT_FOUND)
			return code;
	}
	return STATOR_OK;
}

static int
skip(stator_worker *w, stator_error *err)
{
	const stator_row *arg = &w->state.io.argument;
	const stator_ext *ext;
	int64_t event = 0;
	int code = read_projector(w, &ext, err);

	if (code)
		return code;
	stator__row_int(arg, field(arg->type, "Event"), &event);
	return stator__projector_skip(&w->view, w->view.over, &w->state.arena,
				      ext, event, err);
}

static int
rebuild(stator_worker *w, stator_error *err)
{
	const stator_ext *ext;
	int code = read_projector(w, &ext, err);

	return code ? code
		    : stator__projector_rebuild(w->version->def, w->view.over,
						&w->state.arena, ext, err);
}

int
stator__operator_command(stator_worker *w, const stator_ext *ext,
			 stator_error *err)
{
	static const struct {
		const char *name;
		int (*run)(stator_worker *w, stator_error *err);
	} commands[] = {{"Release", release},
			{"Retry", retry},
			{"Skip", skip},
			{"Rebuild", rebuild}};

	for (size_t i = 0; i < STATOR_COUNT(commands); i++)
		if (strcmp(ext->local, commands[i].name) == 0)
			return commands[i].run(w, err);
	/* sys.CUD is nothing but its CUDs. */
	return STATOR_OK;
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
static int
list_breakers(stator_worker *w, const stator_ext *ext, stator_error *err)
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

static void
put_int(stator_builder *row, const char *name, int64_t value)
{
	stator__build_int(row, field(row->type, name), value, NULL);
}

static void
put_text(stator_builder *row, const char *name, const char *text)
{
	stator__build_bytes(row, field(row->type, name), stator__cslice(text),
			    NULL);
}

static stator_row
projector_row(stator_worker *w, const stator_type *type, const char *name,
	      const stator_standing *s)
{
	stator_builder row;

	stator__build(&row, &w->state.arena, type);
	put_text(&row, "Projector", name);
	put_int(&row, "Partition", w->partition->index);
	put_int(&row, "Offset", s->offset);
	put_int(&row, "Lag", s->last - s->offset);
	put_text(&row, "State", stator__standing_state(s));
	if (s->trouble.event) {
		put_int(&row, "Event", s->trouble.event);
		put_int(&row, "Tries", s->trouble.tries);
		put_int(&row, "At", s->trouble.at_ms);
		put_text(&row, "Code", s->trouble.code);
		put_text(&row, "Error", s->trouble.error);
	}
	return stator__build_done(&row);
}

/* Where the asynchronous projectors stand, in this partition. */
static int
list_projectors(stator_worker *w, const stator_ext *ext, stator_error *err)
{
	stator_io *io = &w->state.io;
	const stator_ext *p = NULL;
	int code = STATOR_OK;

	while (!code && (p = stator__async_next(w->version->def, p)) != NULL) {
		stator_standing s;
		stator_row row;

		code = stator__standing_get(&w->view, &w->state.arena, p->name,
					    &s, err);
		if (code)
			break;
		row = projector_row(w, ext->result, p->name, &s);
		code = io->on_result(io, &row, err);
	}
	return code;
}

static stator_row
job_row(stator_worker *w, const stator_type *type, const stator_ext *job,
	int64_t wsid, const stator_job_record *record)
{
	char *error = stator__arena_alloc(&w->state.arena, record->error.size);
	size_t size = stator__utf8_scrub(error, record->error.data,
					 record->error.size);
	stator_builder row;

	stator__build(&row, &w->state.arena, type);
	stator__build_bytes(&row, field(type, "Job"),
			    stator__cslice(job->name), NULL);
	stator__build_int(&row, field(type, "Workspace"), wsid, NULL);
	stator__build_bytes(&row, field(type, "Schedule"),
			    stator__cslice(job->cron), NULL);
	if (record->ran)
		stator__build_int(&row, field(type, "LastTick"), record->ran,
				  NULL);
	stator__build_int(&row, field(type, "NextTick"),
			  stator__cron_next(&job->schedule, record->last),
			  NULL);
	stator__build_int(&row, field(type, "Runs"), (int64_t)record->runs,
			  NULL);
	stator__build_int(&row, field(type, "Failures"),
			  (int64_t)record->failures, NULL);
	if (size)
		stator__build_bytes(&row, field(type, "Error"),
				    stator__slice(error, size), NULL);
	return stator__build_done(&row);
}

/* One job, in the workspaces of this partition. */
static int
list_job(stator_worker *w, const stator_ext *ext, const stator_ext *job,
	 stator_error *err)
{
	stator_io *io = &w->state.io;
	int64_t end = STATOR_APP_WORKSPACE +
		      (int64_t)w->version->descriptor.app_workspaces;
	int code = STATOR_OK;

	for (int64_t wsid = STATOR_APP_WORKSPACE; wsid < end && code >= 0;
	     wsid++) {
		stator_job_record record = {.last = io->run.now_ms};
		stator_row row;

		if ((uint64_t)wsid % io->run.partitions != io->run.partition)
			continue;
		code = stator__job_record_get(&w->view, &w->state.arena, job,
					      wsid, &record, err);
		if (code < 0)
			break;
		row = job_row(w, ext->result, job, wsid, &record);
		code = io->on_result(io, &row, err);
	}
	return code < 0 ? code : STATOR_OK;
}

static int
list_jobs(stator_worker *w, const stator_ext *ext, stator_error *err)
{
	const stator_def *def = w->version->def;
	int code = STATOR_OK;

	for (size_t i = 0; i < def->ext_count && code == STATOR_OK; i++)
		if (def->exts[i].kind == STATOR_JOB)
			code = list_job(w, ext, &def->exts[i], err);
	return code;
}

static void
put_times(stator_builder *row, const stator_histogram *h)
{
	put_int(row, "TotalNs", (int64_t)h->sum);
	put_int(row, "MaxNs", (int64_t)h->most);
	put_int(row, "P50Ns", (int64_t)stator__histogram_at(h, 500));
	put_int(row, "P99Ns", (int64_t)stator__histogram_at(h, 990));
	put_int(row, "P999Ns", (int64_t)stator__histogram_at(h, 999));
}

static int
give(stator_worker *w, stator_builder *row, stator_error *err)
{
	stator_row done = stator__build_done(row);

	return w->state.io.on_result(&w->state.io, &done, err);
}

static int
give_partition(stator_worker *w, const stator_type *type, uint32_t index,
	       stator_error *err)
{
	const stator_partition_meter *m =
		&w->partition->app->metrics->partitions[index];
	stator_histogram commits = {0};
	stator_builder row;

	stator__histogram_fold(&commits, &m->commits);
	stator__build(&row, &w->state.arena, type);
	put_text(&row, "Kind", "partition");
	put_int(&row, "Partition", index);
	put_int(&row, "Waiting", (int64_t)stator__meter_read(&m->waiting));
	put_int(&row, "Count", (int64_t)commits.count);
	put_int(&row, "Errors", (int64_t)stator__meter_read(&m->commit_errors));
	put_times(&row, &commits);
	return give(w, &row, err);
}

static int
give_lag(stator_worker *w, const stator_type *type, const stator_lag *lag,
	 stator_error *err)
{
	stator_builder row;

	stator__build(&row, &w->state.arena, type);
	put_text(&row, "Kind", "projector");
	put_text(&row, "Name", lag->projector);
	put_int(&row, "Partition", lag->partition);
	put_int(&row, "Lag", (int64_t)lag->lag);
	return give(w, &row, err);
}

static int
give_tally(stator_worker *w, const stator_type *type, const stator_tally *t,
	   stator_error *err)
{
	stator_builder row;

	stator__build(&row, &w->state.arena, type);
	put_text(&row, "Kind", t->storage ? "storage" : "extension");
	put_text(&row, "Name", t->name);
	put_int(&row, "Count", (int64_t)t->runs);
	put_int(&row, "Errors", (int64_t)t->errors);
	if (t->storage) {
		put_int(&row, "Timed", (int64_t)t->time.count);
		put_int(&row, "TotalNs", (int64_t)t->time.sum);
	} else {
		put_int(&row, "Limits", (int64_t)t->limits);
		put_int(&row, "Refused", (int64_t)t->refused);
		put_times(&row, &t->time);
	}
	return give(w, &row, err);
}

/* What has been counted, in all partitions. */
static int
list_metrics(stator_worker *w, const stator_ext *ext, stator_error *err)
{
	stator_metrics *m = w->partition->app->metrics;
	stator_tally *all = stator__tallies(m);
	size_t count;
	stator_lag *lags = stator__lags(m, &count);
	int code = STATOR_OK;

	for (uint32_t i = 0; i < m->partition_count && !code; i++)
		code = give_partition(w, ext->result, i, err);
	for (size_t i = 0; i < count && !code; i++)
		code = give_lag(w, ext->result, &lags[i], err);
	for (const stator_tally *t = all; t && !code; t = t->next)
		code = give_tally(w, ext->result, t, err);
	stator__tallies_free(all);
	free(lags);
	return code;
}

int
stator__operator_query(stator_worker *w, const stator_ext *ext,
		       stator_error *err)
{
	if (strcmp(ext->local, "Projectors") == 0)
		return list_projectors(w, ext, err);
	if (strcmp(ext->local, "Metrics") == 0)
		return list_metrics(w, ext, err);
	return strcmp(ext->local, "Jobs") == 0 ? list_jobs(w, ext, err)
					       : list_breakers(w, ext, err);
}
