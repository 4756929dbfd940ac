/*
 * verify.c: `stator verify`.
 */
#include "cli/upkeep.h"

static int
run(int argc, char **argv)
{
	stator_upkeep_opts opts = STATOR_UPKEEP_OPTS_INIT;
	const char *image, *data = NULL, *plugins[CLI_MOST];
	bool as_json = false, quick = false;
	const cli_option options[] = {
		{"--data", &data, NULL, NULL},
		{"--plugin", plugins, &opts.plugin_file_count, NULL},
		{"--scratch", &opts.scratch, NULL, NULL},
		{"--quick", NULL, NULL, &quick},
		{"--json", NULL, NULL, &as_json}};
	int count = cli_parse(&cli_verify, argc, argv, options, 5, &image, 1);
	stator_error err;
	upkeep u;

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0 || data == NULL)
		return cli_fail(EXIT_USAGE,
				"verify: needs IMAGE and --data DIR");
	opts.plugin_files = plugins;
	opts.quick = quick;
	upkeep_begin(&u, "verify", as_json, &opts);
	return upkeep_end(&u, stator_verify(image, data, &opts, &err), &err);
}

const cli_command cli_verify = {
	.name = "verify",
	.summary = "look whether stored data is what it should be",
	.help = "stator verify IMAGE --data DIR [--quick] [--json] "
		"[--plugin FILE.so]...\n"
		"              [--scratch DIR]\n"
		"\n"
		"Walks through all that is stored: rows can be read, keys are "
		"in order, the logs\n"
		"of events have no holes and lead to each other, tables are of "
		"the schema, indexes\n"
		"of uniques agree with records both ways, references lead to "
		"records. Then it\n"
		"replays all events, and compares records and views with what "
		"that gives.\n"
		"\n"
		"  $ stator verify examples/restaurant --data /tmp/data\n"
		"  partition 0: view restaurant.OrderedItems, wsid 1, "
		"{Year=2026, ...}: ...\n"
		"\n"
		"Each line is a problem: where it is, what is wrong and what "
		"to do. One that begins\n"
		"with \"warning: \" may be right. Nothing is changed. The data "
		"may be in use by\n"
		"`stator run`: what is looked at is its state at one moment, "
		"for each partition.\n"
		"\n"
		"--quick    walk only, without a replay\n"
		"--json     one object a line\n"
		"--plugin   storages that the schema names, as for `stator "
		"run`\n"
		"--scratch  where the replay makes its folder, which is as "
		"large as the data and is\n"
		"           removed again; beside the data if not said\n"
		"\n"
		"Exit code 0 when nothing is wrong, warnings aside, 1 "
		"otherwise, 2 when the command\n"
		"line is wrong.\n",
	.run = run,
};
