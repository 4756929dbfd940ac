/*
 * projectors.c: `stator projectors`.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

typedef struct projectors_args {
	const char *data, *partition, *preemption;
	const char *words[2]; /* the image, and perhaps a projector */
	const char *projector, *retry, *skip, *rebuild;
	const char *plugins[CLI_MOST];
	size_t plugin_count;
	bool retries, rebuilds, json;
} projectors_args;

static void
on_line(void *ctx, const char *text, size_t size)
{
	fwrite(text, 1, size, ctx);
	fputc('\n', ctx);
}

/* One of --retry, --skip and --rebuild, or none of them. */
static int
read_action(const projectors_args *args, stator_projectors_opts *opts)
{
	if (args->retries + (args->skip != NULL) + args->rebuilds > 1)
		return cli_fail(EXIT_USAGE,
				"projectors: only one of --retry, --skip and "
				"--rebuild");
	opts->projector = args->retry	    ? args->retry
			  : args->rebuild   ? args->rebuild
			  : args->projector ? args->projector
					    : args->words[1];
	if (args->retries) {
		opts->action = STATOR_PROJECTORS_RETRY;
	} else if (args->rebuilds) {
		opts->action = STATOR_PROJECTORS_REBUILD;
		if (opts->projector == NULL)
			return cli_fail(EXIT_USAGE, "projectors: --rebuild "
						    "needs a value");
	} else if (args->skip) {
		opts->action = STATOR_PROJECTORS_SKIP;
		if (!cli_number("projectors: --skip", args->skip, 1, INT64_MAX,
				&opts->event))
			return EXIT_USAGE;
	}
	return EXIT_FINE;
}

static int
show(const projectors_args *args, stator_projectors_opts *opts)
{
	stator_host_opts host = STATOR_HOST_OPTS_INIT;
	stator_error err;

	if (!cli_preemption("projectors", args->preemption, &host))
		return EXIT_USAGE;
	host.plugin_files = args->plugins;
	host.plugin_file_count = args->plugin_count;
	opts->as_json = args->json;
	opts->host = &host;
	opts->on_problem = cli_problem;
	opts->problem_ctx = stderr;
	if (stator_projectors(args->words[0], args->data, opts, on_line, stdout,
			      &err))
		return cli_fail(EXIT_WRONG, "projectors: %s", err.msg);
	return EXIT_FINE;
}

static int
run(int argc, char **argv)
{
	projectors_args args = {.data = NULL};
	const cli_option options[] = {
		{"--data", &args.data, NULL, NULL},
		{"--partition", &args.partition, NULL, NULL},
		{"--projector", &args.projector, NULL, NULL},
		{"--retry", &args.retry, NULL, &args.retries},
		{"--skip", &args.skip, NULL, NULL},
		{"--rebuild", &args.rebuild, NULL, &args.rebuilds},
		{"--json", NULL, NULL, &args.json},
		{"--plugin", args.plugins, &args.plugin_count, NULL},
		{"--preemption", &args.preemption, NULL, NULL}};
	stator_projectors_opts opts = STATOR_PROJECTORS_OPTS_INIT;
	int count = cli_parse(&cli_projectors, argc, argv, options, 9,
			      args.words, 2);

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0 || args.data == NULL)
		return cli_fail(EXIT_USAGE, "projectors: needs IMAGE and "
					    "--data DIR");
	if (args.partition && !cli_number("projectors: --partition",
					  args.partition, 0, 65535,
					  &opts.partition))
		return EXIT_USAGE;
	if (read_action(&args, &opts))
		return EXIT_USAGE;
	return show(&args, &opts);
}

const cli_command cli_projectors = {
	.name = "projectors",
	.summary = "list asynchronous projectors; retry, skip, rebuild",
	.help = "stator projectors IMAGE --data DIR [--json] [--projector "
		"NAME] [--partition N]\n"
		"stator projectors IMAGE --data DIR --retry [NAME]\n"
		"stator projectors IMAGE --data DIR --skip OFFSET\n"
		"stator projectors IMAGE --data DIR --rebuild NAME\n"
		"\n"
		"Says of each asynchronous projector and partition up to "
		"which event it is, how\n"
		"many there are behind that, and what it fails on. A "
		"projector that keeps failing\n"
		"on one event is parked at it, and the others go on.\n"
		"\n"
		"  $ stator projectors examples/restaurant --data /tmp/data\n"
		"  $ stator projectors shop --data /tmp/data\n"
		"  shop.Count  partition 0  offset 9  lag 0  running\n"
		"  shop.Mail   partition 0  offset 6  lag 3  parked at event "
		"7  tries 8\n"
		"  2026-05-03T10:00:00.000Z  EXTENSION_FAILED: shop.Mail: "
		"shop.lua:9: no address\n"
		"\n"
		"(On one line each.) A start of the application, or of a new "
		"version, tries what\n"
		"is parked afresh. These do so at once:\n"
		"\n"
		"--retry      tries the event again: of NAME, or of all that "
		"are parked\n"
		"--skip       goes on behind the event OFFSET of the "
		"partition's log; it never\n"
		"             sees that event. --projector and --partition "
		"say which one is\n"
		"             meant when several are parked at that number\n"
		"--rebuild    drops the views that NAME writes, and has it "
		"see all events again;\n"
		"             refused when somebody else writes them, or "
		"when it has other\n"
		"             intents\n"
		"--projector  only this one; IMAGE NAME says the same\n"
		"--partition  only this one\n"
		"--json       one JSON object a line\n"
		"--plugin, --preemption\n"
		"             as for `stator run`\n"
		"\n"
		"The list can be had while the data is in use. The others "
		"have the application\n"
		"run until its projectors have caught up, so they need the "
		"data for themselves; a\n"
		"host that runs is asked with sys.Projectors, sys.Retry, "
		"sys.Skip and\n"
		"sys.Rebuild. What is killed on the way goes on at the next "
		"start.\n"
		"\n"
		"Exit code 0; 1 when something is wrong, or what was retried "
		"is parked again.\n",
	.run = run,
};
