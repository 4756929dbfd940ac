/*
 * backup.c: `stator backup`.
 */
#include "cli/upkeep.h"

static int
run(int argc, char **argv)
{
	stator_upkeep_opts opts = STATOR_UPKEEP_OPTS_INIT;
	const char *image, *data = NULL, *to = NULL;
	bool as_json = false;
	const cli_option options[] = {{"--data", &data, NULL, NULL},
				      {"--to", &to, NULL, NULL},
				      {"--json", NULL, NULL, &as_json}};
	int count = cli_parse(&cli_backup, argc, argv, options, 3, &image, 1);
	stator_error err;
	upkeep u;

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0 || data == NULL || to == NULL)
		return cli_fail(EXIT_USAGE, "backup: needs IMAGE, --data DIR "
					    "and --to DIR");
	upkeep_begin(&u, "backup", as_json, &opts);
	return upkeep_end(&u, stator_backup(image, data, to, &opts, &err),
			  &err);
}

const cli_command cli_backup = {
	.name = "backup",
	.summary = "copy an application's data, also while it is in use",
	.help = "stator backup IMAGE --data DIR --to DIR [--json]\n"
		"\n"
		"Copies the data of an application into a folder, while "
		"`stator run` goes on. Of\n"
		"each partition the copy has every event that was "
		"acknowledged when the command\n"
		"began; of later ones, none without those before it.\n"
		"\n"
		"  $ stator backup examples/restaurant --data /srv/data --to "
		"/backup/monday\n"
		"  partition 0: 69632 bytes\n"
		"\n"
		"The folder is made if it is missing. One that has a backup "
		"of the application is\n"
		"refused; one of which a backup failed has nothing of it. A "
		"backup is a folder of\n"
		"data like others, with backup.json: what files it has, and "
		"their checksums.\n"
		"`stator restore` brings it back.\n"
		"\n"
		"--json gives one object a line, for each partition.\n"
		"\n"
		"Exit code 0, or 1 when there is no backup now, 2 when the "
		"command line is wrong.\n",
	.run = run,
};
