/*
 * check.c: `stator check`.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"

static void
on_problem_json(void *ctx, const char *file, int line, int col,
		const char *message)
{
	static const char mark[] = "warning: ";
	bool warning = strncmp(message, mark, sizeof(mark) - 1) == 0;

	fputs("{\"severity\":", ctx);
	cli_json_string(ctx, warning ? "warning" : "problem");
	fputs(",\"file\":", ctx);
	cli_json_string(ctx, file);
	fprintf(ctx, ",\"line\":%d,\"column\":%d,\"message\":", line, col);
	cli_json_string(ctx, warning ? message + sizeof(mark) - 1 : message);
	fputs("}\n", ctx);
}

static int
run(int argc, char **argv)
{
	stator_host_opts opts = STATOR_HOST_OPTS_INIT;
	const char *image, *plugins[CLI_MOST], *preemption = NULL;
	const char *data = NULL;
	bool as_json = false;
	const cli_option options[] = {
		{"--data", &data, NULL, NULL},
		{"--plugin", plugins, &opts.plugin_file_count, NULL},
		{"--preemption", &preemption, NULL, NULL},
		{"--json", NULL, NULL, &as_json}};
	int count = cli_parse(&cli_check, argc, argv, options, 4, &image, 1);

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0)
		return cli_fail(EXIT_USAGE, "check: which IMAGE?");
	if (!cli_preemption("check", preemption, &opts))
		return EXIT_USAGE;
	opts.plugin_files = plugins;
	return stator_check_data(image, data, &opts,
				 as_json ? on_problem_json : cli_problem,
				 stdout)
		       ? EXIT_WRONG
		       : EXIT_FINE;
}

const cli_command cli_check = {
	.name = "check",
	.summary = "say everything that is wrong with an application image",
	.help = "stator check IMAGE [--data DIR] [--plugin FILE.so]... "
		"[--preemption auto|fuel]\n"
		"             [--json]\n"
		"\n"
		"Reads the descriptor, the schema and the modules of an "
		"application image and\n"
		"says everything that is wrong with it, one problem a line:\n"
		"\n"
		"  $ stator check examples/restaurant\n"
		"  $ stator check broken\n"
		"  broken/pkg/shop/shop.vsql:3:9: unknown type varhcar; did "
		"you mean varchar?\n"
		"\n"
		"A line marked `warning:` is about what is right, but keeps "
		"state between runs or\n"
		"is never compiled; `-- stator: allow` on the line of the "
		"module says that it is\n"
		"meant.\n"
		"\n"
		"--data says a folder with data of the application, in use "
		"or not: its schema\n"
		"must fit what a version before has stored. What it would "
		"break is listed, too:\n"
		"\n"
		"  $ stator check new --data /tmp/data\n"
		"  new/pkg/shop/shop.vsql:4:5: shop.Article: field Price was "
		"int32, now int64;\n"
		"  add a new field at the end\n"
		"\n"
		"--plugin brings storages that the schema names and the image "
		"does not bring, as\n"
		"`stator run` is given them. --preemption says how modules "
		"that do not end while\n"
		"they are loaded are stopped, as for `stator run`. --json "
		"gives one object a\n"
		"line, with severity, file, line, column and message.\n"
		"\n"
		"Exit code 0 when nothing is wrong, warnings aside, 1 "
		"otherwise, 2 when the\n"
		"command line is wrong.\n",
	.run = run,
};
