/*
 * restore.c: `stator restore`.
 */
#include "cli/upkeep.h"

static int
run(int argc, char **argv)
{
	stator_upkeep_opts opts = STATOR_UPKEEP_OPTS_INIT;
	const char *image, *data = NULL, *from = NULL;
	bool as_json = false;
	const cli_option options[] = {{"--data", &data, NULL, NULL},
				      {"--from", &from, NULL, NULL},
				      {"--json", NULL, NULL, &as_json}};
	int count = cli_parse(&cli_restore, argc, argv, options, 3, &image, 1);
	stator_error err;
	upkeep u;

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0 || data == NULL || from == NULL)
		return cli_fail(EXIT_USAGE, "restore: needs IMAGE, --from DIR "
					    "and --data DIR");
	upkeep_begin(&u, "restore", as_json, &opts);
	return upkeep_end(&u, stator_restore(image, from, data, &opts, &err),
			  &err);
}

const cli_command cli_restore = {
	.name = "restore",
	.summary = "bring a backup back into a new folder",
	.help = "stator restore IMAGE --from DIR --data DIR [--json]\n"
		"\n"
		"Brings what `stator backup` has made back into a folder of "
		"data, which must not\n"
		"have any of the application: nothing is overwritten.\n"
		"\n"
		"  $ stator restore examples/restaurant --from /backup/monday "
		"--data /srv/data\n"
		"\n"
		"Each file is held against its length and checksum; then all "
		"is walked through,\n"
		"as `stator verify --quick` does. What is wrong is said, one "
		"problem a line,\n"
		"with --json as objects; then nothing is brought back.\n"
		"\n"
		"Exit code 0, or 1 when nothing was brought back, 2 when the "
		"command line is\n"
		"wrong.\n",
	.run = run,
};
