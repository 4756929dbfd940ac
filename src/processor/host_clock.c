/*
 * host_clock.c: a clock that is the embedder's, and the jobs that are due by it.
 */
#include "processor/host.h"

/* The first tick of all partitions of all applications. */
static int64_t
next_tick(const stator_host *h)
{
	int64_t first = STATOR_TIME_END;

	for (; h; h = stator__host_next(h))
		for (uint32_t i = 0; h->app && i < h->app->partition_count;
		     i++) {
			int64_t next = stator__jobs_next(
				stator__processor_jobs(h->processors[i]));

			if (next < first)
				first = next;
		}
	return first;
}

/* All that is due, on all partitions at the same time. */
static void
run_until(const stator_host *first, int64_t until, stator_job_counts *counts)
{
	const stator_host *h;
	uint32_t i;

	for (h = first; h; h = stator__host_next(h))
		for (i = 0; h->app && i < h->app->partition_count; i++)
			stator__jobs_order(
				stator__processor_jobs(h->processors[i]),
				until);
	for (h = first; h; h = stator__host_next(h))
		for (i = 0; h->app && i < h->app->partition_count; i++)
			stator__jobs_wait(
				stator__processor_jobs(h->processors[i]),
				counts);
}

/* From tick to tick, so that each run finds the time that it is due. */
static void
move_clock(const stator_host *h, int64_t to, stator_job_counts *counts)
{
	const stator_clock *clock = &h->load.clock;
	int64_t next;

	while ((next = next_tick(h)) <= to) {
		if (next > stator__clock_now(clock))
			clock->set(clock->ctx, next);
		run_until(h, stator__clock_now(clock), counts);
	}
	if (to > stator__clock_now(clock))
		clock->set(clock->ctx, to);
}

static int
check_clock(const stator_host *h, int64_t to, stator_error *err)
{
	const stator_clock *clock = &h->load.clock;
	char now[STATOR_TIME_TEXT];

	if (clock->now == NULL)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: this host has the system's clock, "
				    "which nobody moves; start it with one of "
				    "its own (stator run --clock)");
	if (to && clock->set == NULL)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: this host cannot move its clock");
	if (h->app == NULL)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "no application is deployed");
	if (h->stopped)
		return stator__fail(err, STATOR_INVALID,
				    "the host has been stopped; open another");
	if (to && to < stator__clock_now(clock))
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: time does not go back: it is %s",
				    stator__time_show(
					    now, stator__clock_now(clock)));
	if (to >= STATOR_TIME_END)
		return stator__fail(err, STATOR_BAD_REQUEST,
				    "clock: time ends with the year 9999");
	return STATOR_OK;
}

int
stator_host_run_jobs(stator_host *h, int64_t to, uint64_t *runs,
		     uint64_t *failures, stator_error *err)
{
	stator_job_counts counts = {0, 0};
	int code = stator__need(h, "host", err);

	if (code)
		return code;
	/* No version takes the place of another meanwhile. */
	pthread_mutex_lock(&h->deploying);
	code = check_clock(h, to, err);
	if (code == STATOR_OK && to)
		move_clock(h, to, &counts);
	else if (code == STATOR_OK)
		run_until(h, stator__clock_now(&h->load.clock), &counts);
	pthread_mutex_unlock(&h->deploying);
	if (runs)
		*runs = counts.runs;
	if (failures)
		*failures = counts.failures;
	return code;
}

int
stator_time(const char *text, int64_t *ms, stator_error *err)
{
	int code = stator__need(text, "text", err);

	if (code == STATOR_OK)
		code = stator__need(ms, "ms", err);
	if (code)
		return code;
	if (stator__time_parse(text, strlen(text), ms))
		return STATOR_OK;
	return stator__fail(err, STATOR_INVALID,
			    "expected a time as \"2026-01-31T23:59:00Z\", "
			    "found \"%s\"",
			    text);
}

void
stator__host_serve_clock(stator_host *h, stator_request *r)
{
	stator_job_counts counts = {0, 0};
	char at[STATOR_TIME_TEXT];
	stator_json_out out;
	stator_error err;
	int64_t now;
	int code;

	stator_host_drain(h);
	now = stator__clock_now(&h->load.clock);
	code = stator_host_run_jobs(h, r->moves_by ? now + r->clock : r->clock,
				    &counts.runs, &counts.failures, &err);
	if (code && stator__gauge_closed(&h->gauge))
		code = stator__host_stopping(&err);
	if (code) {
		stator__reply_error(r, stator__status_http(code), &err);
		stator__reply_send(r);
		return;
	}
	stator_host_drain(h);
	now = stator__clock_now(&h->load.clock);
	stator__reply_begin(&out, r, 200);
	stator__json_name(&out, "clock");
	stator__json_cstring(&out, stator__time_show(at, now));
	stator__json_name(&out, "runs");
	stator__json_integer(&out, (int64_t)counts.runs);
	stator__json_name(&out, "failures");
	stator__json_integer(&out, (int64_t)counts.failures);
	stator__reply_end(&out);
	stator__reply_send(r);
}
