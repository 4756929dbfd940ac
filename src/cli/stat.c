/*
 * stat.c: `stator stat`.
 */
#include "cli/upkeep.h"

static int
run(int argc, char **argv)
{
	stator_upkeep_opts opts = STATOR_UPKEEP_OPTS_INIT;
	const char *image, *data = NULL;
	bool as_json = false;
	const cli_option options[] = {{"--data", &data, NULL, NULL},
				      {"--json", NULL, NULL, &as_json}};
	int count = cli_parse(&cli_stat, argc, argv, options, 2, &image, 1);
	stator_error err;
	upkeep u;

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0 || data == NULL)
		return cli_fail(EXIT_USAGE, "stat: needs IMAGE and --data DIR");
	upkeep_begin(&u, "stat", as_json, &opts);
	return upkeep_end(&u, stator_stat(image, data, &opts, &err), &err);
}

const cli_command cli_stat = {
	.name = "stat",
	.summary = "count what is stored, and say how far things are",
	.help = "stator stat IMAGE --data DIR [--json]\n"
		"\n"
		"Counts what each partition holds: events, workspaces, the "
		"rows of each table and\n"
		"view; says how long its log is, what its last checkpoint "
		"was, where asynchronous\n"
		"projectors are, how many events that they want are behind "
		"that, and how many\n"
		"effects are to be done.\n"
		"\n"
		"  $ stator stat examples/restaurant --data /tmp/data\n"
		"  partition 0\n"
		"    events       5, 998 bytes\n"
		"    workspaces   2\n"
		"    ...\n"
		"\n"
		"--json gives one object a line, for each partition. The data "
		"may be in use by\n"
		"`stator run`; all of it is read.\n"
		"\n"
		"Exit code 0, or 1 when the data cannot be read, 2 when the "
		"command line is\n"
		"wrong.\n",
	.run = run,
};
