/*
 * dump.c: `stator dump`.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void
on_line(void *ctx, const char *json, size_t size)
{
	fwrite(json, 1, size, ctx);
	fputc('\n', ctx);
}

static int
read_options(stator_dump_opts *opts, const char *wsid, const char *partition)
{
	if (wsid && !cli_number("dump: --wsid", wsid, 1, INT64_MAX, &opts->wsid))
		return EXIT_USAGE;
	if (partition && !cli_number("dump: --partition", partition, 0, 65535,
				     &opts->partition))
		return EXIT_USAGE;
	return EXIT_FINE;
}

static int
run(int argc, char **argv)
{
	stator_dump_opts opts = STATOR_DUMP_OPTS_INIT;
	const char *data = NULL, *wsid = NULL, *partition = NULL, *words[3];
	const cli_option options[] = {{"--data", &data, NULL, NULL},
				      {"--wsid", &wsid, NULL, NULL},
				      {"--partition", &partition, NULL, NULL}};
	int count = cli_parse(&cli_dump, argc, argv, options, 3, words, 3);
	stator_error err;

	if (count < 0)
		return EXIT_USAGE;
	if (count < 2 || data == NULL)
		return cli_fail(EXIT_USAGE, "dump: needs IMAGE, --data DIR and "
					    "what to dump; see `stator dump "
					    "--help`");
	if (read_options(&opts, wsid, partition))
		return EXIT_USAGE;
	opts.what = words[1];
	opts.entity = count > 2 ? words[2] : NULL;
	if (stator_dump(words[0], data, &opts, on_line, stdout, &err))
		return cli_fail(err.code == STATOR_INVALID ? EXIT_USAGE
							   : EXIT_WRONG,
				"dump: %s", err.msg);
	return fflush(stdout) ? cli_fail(EXIT_WRONG, "dump: cannot write")
			      : EXIT_FINE;
}

const cli_command cli_dump = {
	.name = "dump",
	.summary = "print what is stored, one JSON object a line",
	.help = "stator dump IMAGE --data DIR WHAT [NAME] [--wsid N] "
		"[--partition N]\n"
		"\n"
		"Prints what is stored, one JSON object a line, in the order "
		"of the keys:\n"
		"\n"
		"  $ stator dump IMAGE --data DIR view restaurant.OrderedItems\n"
		"  {\"wsid\":1,\"key\":{\"Year\":2026,...},\"value\":{...}}\n"
		"  $ stator dump IMAGE --data DIR record restaurant.Article\n"
		"  {\"wsid\":1,\"id\":200001,\"qname\":\"restaurant.Article\","
		"\"fields\":{...}}\n"
		"  $ stator dump IMAGE --data DIR wlog --wsid 1\n"
		"  $ stator dump IMAGE --data DIR plog --partition 0\n"
		"  {\"wsid\":1,\"offset\":1,\"plog_offset\":1,\"partition\":0,"
		"\"qname\":...}\n"
		"\n"
		"  $ stator dump IMAGE --data DIR log --partition 0\n"
		"  {\"partition\":0,\"file\":\"log-0000000000000001.seg\","
		"\"offset\":64,...}\n"
		"\n"
		"log lists the files of a partition's log: each commit, free "
		"space, and what is\n"
		"damaged or missing. It works where the data does not open.\n"
		"\n"
		"--wsid keeps to one workspace, --partition to one partition. "
		"The data may be in\n"
		"use by `stator run`.\n"
		"\n"
		"Exit code 0, or 1 when it cannot be read, 2 when the command "
		"line is wrong.\n",
	.run = run,
};
