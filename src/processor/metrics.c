/*
 * metrics.c: what an application has counted, as lines of JSON. All of it is
 * copied before the first line is given, so whoever gets it may take its time.
 */
#include <stdlib.h>

#include "processor/processor.h"

typedef struct printer {
	stator_buf line;
	stator_json_out out;
	const char *app;
	stator_on_reply on_line;
	void *ctx;
} printer;

static void
put_int(printer *p, const char *name, uint64_t value)
{
	stator__json_name(&p->out, name);
	stator__json_integer(&p->out, (int64_t)value);
}

static void
put_text(printer *p, const char *name, const char *value)
{
	stator__json_name(&p->out, name);
	stator__json_cstring(&p->out, value);
}

static void
begin(printer *p, const char *kind)
{
	p->line.size = 0;
	p->out = (stator_json_out){.buf = &p->line};
	stator__json_begin(&p->out, '{');
	put_text(p, "kind", kind);
	if (p->app)
		put_text(p, "app", p->app);
}

static void
end(printer *p)
{
	stator__json_end(&p->out, '}');
	p->on_line(p->ctx, (const char *)p->line.data, p->line.size);
}

static void
put_histogram(printer *p, const char *name, const stator_histogram *h)
{
	stator__json_name(&p->out, name);
	stator__json_begin(&p->out, '{');
	put_int(p, "count", h->count);
	put_int(p, "sum_ns", h->sum);
	put_int(p, "max_ns", h->most);
	put_int(p, "p50_ns", stator__histogram_at(h, 500));
	put_int(p, "p90_ns", stator__histogram_at(h, 900));
	put_int(p, "p99_ns", stator__histogram_at(h, 990));
	put_int(p, "p999_ns", stator__histogram_at(h, 999));
	stator__json_name(&p->out, "buckets");
	stator__json_begin(&p->out, '[');
	for (size_t i = 0; i < STATOR_BUCKETS; i++) {
		if (h->buckets[i] == 0)
			continue;
		stator__json_begin(&p->out, '[');
		stator__json_integer(&p->out,
				     (int64_t)stator__histogram_end(i));
		stator__json_integer(&p->out, (int64_t)h->buckets[i]);
		stator__json_end(&p->out, ']');
	}
	stator__json_end(&p->out, ']');
	stator__json_end(&p->out, '}');
}

static void
print_partition(printer *p, uint32_t index, const stator_partition_meter *m)
{
	stator_histogram commits = {0};

	stator__histogram_fold(&commits, &m->commits);
	begin(p, "partition");
	put_int(p, "partition", index);
	put_int(p, "waiting", stator__meter_read(&m->waiting));
	put_int(p, "events", stator__meter_read(&m->last_event));
	put_int(p, "commands", stator__meter_read(&m->commands));
	put_int(p, "commands_failed", stator__meter_read(&m->commands_failed));
	put_int(p, "queries", stator__meter_read(&m->queries));
	put_int(p, "queries_failed", stator__meter_read(&m->queries_failed));
	put_int(p, "commit_errors", stator__meter_read(&m->commit_errors));
	put_histogram(p, "commits", &commits);
	end(p);
}

static void
print_projectors(printer *p, stator_metrics *m)
{
	size_t count;
	stator_lag *lags = stator__lags(m, &count);

	for (size_t i = 0; i < count; i++) {
		begin(p, "projector");
		put_text(p, "projector", lags[i].projector);
		put_int(p, "partition", lags[i].partition);
		put_int(p, "offset", lags[i].seen);
		put_int(p, "lag", lags[i].lag);
		end(p);
	}
	free(lags);
}

static void
print_tally(printer *p, const stator_tally *t)
{
	begin(p, t->storage ? "storage" : "extension");
	put_text(p, t->storage ? "storage" : "extension", t->name);
	put_int(p, t->storage ? "calls" : "runs", t->runs);
	put_int(p, "errors", t->errors);
	if (t->storage) {
		put_int(p, "timed", t->time.count);
		put_int(p, "timed_ns", t->time.sum);
	} else {
		put_int(p, "limits", t->limits);
		put_int(p, "refused", t->refused);
		put_histogram(p, "time", &t->time);
	}
	end(p);
}

void
stator__metrics_host(const stator_host_counts *counts, stator_on_reply on_line,
		     void *ctx)
{
	printer p = {.on_line = on_line, .ctx = ctx};

	begin(&p, "host");
	put_text(&p, "version", stator_version_string());
	put_int(&p, "open", counts->open);
	put_int(&p, "open_queries", counts->queries);
	put_int(&p, "refused", counts->refused);
	end(&p);
	free(p.line.data);
}

void
stator__metrics_app(const stator_app *app, stator_on_reply on_line, void *ctx)
{
	printer p = {.app = app->name, .on_line = on_line, .ctx = ctx};
	stator_tally *all = stator__tallies(app->metrics);

	for (uint32_t i = 0; i < app->partition_count; i++)
		print_partition(&p, i, &app->metrics->partitions[i]);
	print_projectors(&p, app->metrics);
	for (const stator_tally *t = all; t; t = t->next)
		print_tally(&p, t);
	stator__tallies_free(all);
	free(p.line.data);
}
