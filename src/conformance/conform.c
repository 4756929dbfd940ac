/*
 * conform.c: the conformance suite: a process for each test, and what is said
 * about it.
 *
 * The parent watches the child: a call of the plugin that does not come back
 * in time, and a child that ends before its test does, are findings like any
 * other, since what the child was doing stands in the report.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conformance/conform.h"
#include "stator.h"

#define SECOND 1000000000ll

/* A call that takes longer than it may is ended a little later, so that the
 * child has the time to say so itself. */
enum { CALL_GRACE_MS = 1000, TEST_SECONDS = 120 };

typedef struct speaker {
	stator_on_reply on_line;
	void *ctx;
	int number; /* of tests, until now */
	int failed;
} speaker;

static void
say(speaker *out, const char *format, ...) STATOR_PRINTF(2, 3);

static void
say(speaker *out, const char *format, ...)
{
	stator_buf line = {0};
	va_list args;

	stator__buf_reserve(&line, 2048);
	va_start(args, format);
	line.size = (size_t)vsnprintf((char *)line.data, 2048, format, args);
	va_end(args);
	if (line.size > 2047)
		line.size = 2047;
	if (out->on_line)
		out->on_line(out->ctx, (char *)line.data, line.size);
	free(line.data);
}

/* The child --------------------------------------------------------------- */

/* What every test begins with: the plugin, its storage, nothing stored. */
static void
set_bench(conform_bench *b, conform_suite *suite)
{
	memset(b, 0, sizeof(*b));
	b->suite = suite;
	pthread_mutex_init(&b->lock, NULL);
	b->lane.bench = b;
	for (int i = 0; i < CONFORM_PARTITIONS; i++) {
		pthread_mutex_init(&b->calls[i], NULL);
		b->lane.maps[i] = stator__map_new();
	}
	b->host = conform_host_begin(b);
}

static void
load(conform_bench *b, size_t storage)
{
	conform_report *report = b->suite->report;
	stator_error err;

	report->lanes[0].entered = stator__monotonic_ns();
	report->last = report->lanes[0].call = CALL_OPEN;
	if (stator__library_open(&b->library, b->suite->file, NULL, &err))
		conform_broke(b, RULE_LOADS, CALL_OPEN, "%s", err.msg);
	report->lanes[0].call = CALL_NONE;
	if (b->library == NULL)
		return;
	b->plugin = stator__library_plugin(b->library);
	b->storage = b->plugin->storages[storage];
	b->has = report->storages[storage].has;
	report->call_ms = stator__call_ms(b->storage);
	conform_types(b);
}

/* Unloading is a call, too: a plugin may have left a thread behind. */
static void
unload(conform_bench *b)
{
	conform_report *report = b->suite->report;

	report->lanes[0].entered = stator__monotonic_ns();
	report->last = report->lanes[0].call = CALL_CLOSE;
	stator__library_close(b->library);
	report->lanes[0].call = CALL_NONE;
}

/* Never returns: what the process of the caller had open stays as it is. */
static void
run_child(conform_suite *suite, const conform_test *test, size_t storage)
{
	const struct rlimit no_core = {0, 0};
	conform_bench *b = stator__alloc(sizeof(*b));

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setrlimit(RLIMIT_CORE, &no_core);
	/* What a plugin prints is not TAP. */
	dup2(STDERR_FILENO, STDOUT_FILENO);
	set_bench(b, suite);
	load(b, storage);
	if (b->plugin) {
		test->run(b);
		unload(b);
	}
	suite->report->finished = true;
	_exit(0);
}

/* The parent -------------------------------------------------------------- */

/* The call that takes too long, if there is one. */
static int
overdue(const conform_report *report)
{
	int64_t now = stator__monotonic_ns();

	for (int i = 0; i < CONFORM_LANES; i++) {
		int call = report->lanes[i].call;
		int64_t most = conform_call_ms(report, call) + CALL_GRACE_MS;

		if (call != CALL_NONE &&
		    now - report->lanes[i].entered > most * 1000000)
			return call;
	}
	return CALL_NONE;
}

/* All calls of a test together; one of them may take its time. */
static int64_t
test_seconds(const conform_report *report)
{
	return TEST_SECONDS + report->call_ms / 1000;
}

/* What a finding of the parent is about: the calls that had not returned. */
static void
add_finding(conform_report *report, conform_rule rule, int call,
	    const char *found)
{
	uint32_t i = report->broken_count;
	const char *with = "";

	if (i >= CONFORM_BROKEN)
		i = CONFORM_BROKEN - 1;
	for (int k = 0; k < CONFORM_LANES; k++)
		if (report->lanes[k].call == call)
			with = report->lanes[k].with;
	report->broken_count = i + 1;
	report->broken[i].rule = rule;
	report->broken[i].call = (conform_call)call;
	snprintf(report->broken[i].found, sizeof(report->broken[i].found),
		 "%s%s%s", found, *with ? ", given " : "", with);
}

static int
running(const conform_report *report)
{
	for (int i = 0; i < CONFORM_LANES; i++)
		if (report->lanes[i].call != CALL_NONE)
			return report->lanes[i].call;
	return report->last;
}

static void
explain_end(conform_report *report, int status)
{
	int call = running(report);
	char found[120];

	if (report->finished)
		return;
	if (WIFSIGNALED(status))
		snprintf(found, sizeof(found), "it crashed in %s: %s%s",
			 conform_call_name(call), strsignal(WTERMSIG(status)),
			 report->dead_run ? ", in memory of a run that is over"
					  : "");
	else
		snprintf(found, sizeof(found),
			 "the process ended in %s, with exit code %d",
			 conform_call_name(call), WEXITSTATUS(status));
	add_finding(report, report->dead_run ? RULE_RUN_OVER : RULE_RETURNS,
		    call, found);
}

static void
kill_late(pid_t pid, conform_report *report, int call)
{
	char found[80];

	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (call == CALL_NONE)
		snprintf(found, sizeof(found),
			 "the calls of the test took %lld s",
			 (long long)test_seconds(report));
	else
		snprintf(found, sizeof(found), "%s did not return in %u ms",
			 conform_call_name(call),
			 conform_call_ms(report, call) + CALL_GRACE_MS);
	add_finding(report, RULE_TIME,
		    call == CALL_NONE ? report->last : call, found);
}

/* Waits for the end of the child. False when it had to be ended. */
static bool
watch(pid_t pid, conform_report *report)
{
	int64_t began = stator__monotonic_ns();
	struct timespec pause = {0, 200000};
	int status, late;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		late = overdue(report);
		if (late != CALL_NONE ||
		    stator__monotonic_ns() - began >
			    test_seconds(report) * SECOND) {
			kill_late(pid, report, late);
			return false;
		}
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 10000000)
			pause.tv_nsec *= 2;
	}
	explain_end(report, status);
	return true;
}

/* What is said about it --------------------------------------------------- */

static const struct {
	const char *text, *where;
} rules[RULE_COUNT] = {
#define RULE(name, text, where) {text, where},
	CONFORM_RULES(RULE)
#undef RULE
};

static const char *const call_places[CALL_COUNT] = {
#define CALL(name, text, where) where,
	CONFORM_CALLS(CALL)
#undef CALL
};

static const char *
place_of(conform_rule rule, conform_call call)
{
	return rules[rule].where ? rules[rule].where : call_places[call];
}

static void
say_broken(speaker *out, const conform_report *report, const char *subject,
	   const char *title)
{
	for (uint32_t i = 0; i < report->broken_count; i++) {
		conform_rule rule = report->broken[i].rule;
		conform_call call = report->broken[i].call;
		bool in_call = call != CALL_NONE;
		const char *name = in_call ? conform_call_name(call) : "";

		if (i == 0)
			say(out, "not ok %d - %s%s%s: %s (stator_plugin.h, %s)",
			    out->number, subject, in_call ? " " : "", name,
			    rules[rule].text, place_of(rule, call));
		else
			say(out, "# and%s%s: %s (stator_plugin.h, %s)",
			    in_call ? " " : "", name, rules[rule].text,
			    place_of(rule, call));
		say(out, "#   found: %s", report->broken[i].found);
	}
	say(out, "#   while: %s", title);
}

static void
say_result(speaker *out, const conform_report *report, const char *subject,
	   const char *title)
{
	out->number++;
	if (report->broken_count) {
		out->failed++;
		say_broken(out, report, subject, title);
	} else if (report->skipped[0]) {
		say(out, "ok %d - %s: %s # SKIP %s", out->number, subject,
		    title, report->skipped);
	} else {
		say(out, "ok %d - %s: %s", out->number, subject, title);
	}
}

/* What was found of another test is forgotten. */
static void
clear(conform_report *report)
{
	report->finished = report->dead_run = false;
	report->skipped[0] = 0;
	report->broken_count = 0;
	report->call_ms = 0;
	report->last = CALL_NONE;
	for (int i = 0; i < CONFORM_LANES; i++) {
		report->lanes[i].call = CALL_NONE;
		report->lanes[i].with[0] = 0;
	}
}

/* Whether to go on: a plugin that hangs would make each test wait. */
static bool
run_test(conform_suite *suite, const conform_test *test, size_t storage,
	 const char *subject, speaker *out)
{
	conform_report *report = suite->report;
	bool in_time = true;
	pid_t pid;

	clear(report);
	pid = fork();
	if (pid == 0)
		run_child(suite, test, storage);
	if (pid < 0)
		add_finding(report, RULE_LOADS, CALL_NONE, strerror(errno));
	else
		in_time = watch(pid, report);
	if (*subject == 0)
		subject = report->plugin[0] ? report->plugin : "plugin";
	say_result(out, report, subject, test->title);
	return in_time && !(test->vital && report->broken_count);
}

static bool
run_plugin_tests(conform_suite *suite, speaker *out)
{
	const conform_report *report = suite->report;

	for (size_t i = 0; i < conform_plugin_test_count; i++) {
		char name[sizeof(report->plugin)];

		/* It is known from the first test on. */
		snprintf(name, sizeof(name), "%s", report->plugin);
		if (!run_test(suite, &conform_plugin_tests[i], 0, name, out)) {
			say(out, "# the other tests need this one");
			return false;
		}
	}
	return true;
}

static void
run_storage_tests(conform_suite *suite, size_t storage, speaker *out)
{
	const conform_report *report = suite->report;
	const char *name = report->storages[storage].name;

	for (size_t i = 0; i < conform_storage_test_count; i++) {
		const conform_test *test = &conform_storage_tests[i];

		if ((report->storages[storage].has & test->needs) !=
		    test->needs)
			continue;
		if (run_test(suite, test, storage, name, out))
			continue;
		say(out, "# the other tests of %s are left out: each would "
			 "wait as long",
		    name);
		return;
	}
}

static stator_def *
compile_schema(stator_problems *problems)
{
	const stator_source source = {
		"conform.vsql", "conform",
		{conform_schema, strlen(conform_schema)}};

	return stator__def_compile(&source, 1, problems);
}

int
stator_plugin_conform(const char *file, const char *config_json,
		      stator_on_reply on_line, void *ctx)
{
	conform_suite suite = {.file = file ? file : "", .config_json = config_json};
	stator_problems problems = {0};
	speaker out = {.on_line = on_line, .ctx = ctx};
	conform_report *report =
		mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (report == MAP_FAILED)
		abort();
	suite.report = report;
	suite.def = compile_schema(&problems);
	say(&out, "TAP version 13");
	if (run_plugin_tests(&suite, &out))
		for (size_t i = 0; i < report->storage_count; i++)
			run_storage_tests(&suite, i, &out);
	say(&out, "1..%d", out.number);
	stator__problems_free(&problems);
	stator__def_free(suite.def);
	munmap(report, sizeof(*report));
	return out.failed;
}
