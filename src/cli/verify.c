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
	.help = "stator verify IMAGE --data DIR [--quick] [--json] [--plugin "
		"FILE.so]...\n"
		"              [--scratch DIR]\n"
		"\n"
		"Walks through all that is stored: rows can be read, keys are "
		"in order, the logs\n"
		"of events have no holes and lead to each other, tables are "
		"of the schema,\n"
		"indexes of uniques agree with records both ways, references "
		"lead to records.\n"
		"Then it replays all events, and compares records and views "
		"with what that gives.\n"
		"\n"
		"  $ stator verify examples/restaurant --data /tmp/data\n"
		"  partition 0: view restaurant.OrderedItems, workspace 1, "
		"{Year=...}: ...\n"
		"\n"
		"Each line is a problem: where it is, what is wrong and what "
		"to do. One that\n"
		"begins with \"warning: \" may be right. Nothing is changed. "
		"The data may be in use\n"
		"by `stator run`: what is looked at is its state at one "
		"moment, for each\n"
		"partition.\n"
		"\n"
		"--quick    walk only, without a replay\n"
		"--json     one object a line\n"
		"--plugin   storages that the schema names, as for `stator "
		"run`\n"
		"--scratch  where the replay makes its folder, which is as "
		"large as the data and\n"
		"           is removed again; inside of DIR if not said\n"
		"\n"
		"Exit code 0 when nothing is wrong, warnings aside, 1 "
		"otherwise, 2 when the\n"
		"command line is wrong.\n",
	.run = run,
};
