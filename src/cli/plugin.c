/*
 * plugin.c: `stator plugin`: what plugins are, and whether they keep to
 * stator_plugin.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/*
 * Lines of TAP as objects: {"number":5,"ok":false,"test":"...","notes":[...]}.
 * Notes come behind their test, so an object ends when the next one begins.
 */
typedef struct tests {
	bool open;   /* a test, whose notes may follow */
	bool noted;  /* it has some */
} tests;

static void
end_test(tests *t)
{
	if (t->open)
		puts("]}");
	t->open = t->noted = false;
	fflush(stdout);
}

static void
begin_test(tests *t, int number, bool ok, const char *name)
{
	end_test(t);
	printf("{\"number\":%d,\"ok\":%s,\"test\":", number,
	       ok ? "true" : "false");
	cli_json_string(stdout, name);
	fputs(",\"notes\":[", stdout);
	t->open = true;
}

static void
on_tap(void *ctx, const char *line, size_t size)
{
	char *text = strndup(line, size);
	tests *t = ctx;
	int number, at = 0;
	bool bad;

	if (text == NULL)
		abort();
	bad = strncmp(text, "not ", 4) == 0;
	if (sscanf(text + (bad ? 4 : 0), "ok %d - %n", &number, &at) == 1 &&
	    at > 0) {
		begin_test(t, number, !bad, text + (bad ? 4 : 0) + at);
	} else if (text[0] == '#' && t->open) {
		if (t->noted)
			fputc(',', stdout);
		cli_json_string(stdout, text + 1 + strspn(text + 1, " "));
		t->noted = true;
	}
	free(text);
}

static int
check(int argc, char **argv)
{
	const char *config = NULL, *file;
	bool as_json = false;
	const cli_option options[] = {{"--config", &config, NULL, NULL},
				      {"--json", NULL, NULL, &as_json}};
	int count = cli_parse(&cli_plugin, argc, argv, options, 2, &file, 1);
	tests t = {false, false};
	int failed;

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0)
		return cli_fail(EXIT_USAGE, "plugin check: which FILE.so?");
	if (as_json)
		failed = stator_plugin_conform(file, config, on_tap, &t);
	else
		failed = stator_plugin_conform(file, config, cli_line, stdout);
	end_test(&t);
	if (failed)
		return cli_fail(EXIT_WRONG,
				"plugin check: %s: %d test%s failed", file,
				failed, failed == 1 ? "" : "s");
	return ferror(stdout) ? cli_fail(EXIT_WRONG, "plugin check: cannot "
						     "write")
			      : EXIT_FINE;
}

static int
list(int argc, char **argv)
{
	const char *files[CLI_MOST];
	bool as_json = false;
	const cli_option options[] = {{"--json", NULL, NULL, &as_json}};
	int count = cli_parse(&cli_plugin, argc, argv, options, 1, files,
			      CLI_MOST);
	int code = EXIT_FINE;
	stator_error err;

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0)
		return cli_fail(EXIT_USAGE, "plugin list: which FILE.so?");
	/* One that is broken does not hide the others. */
	for (int i = 0; i < count; i++) {
		if (i && !as_json)
			fputc('\n', stdout);
		if (stator_plugin_describe(files[i], as_json, cli_line,
					   stdout, &err))
			code = cli_fail(EXIT_WRONG, "plugin list: %s", err.msg);
	}
	return code;
}

static int
run(int argc, char **argv)
{
	if (argc > 0 && strcmp(argv[0], "check") == 0)
		return check(argc - 1, argv + 1);
	if (argc > 0 && strcmp(argv[0], "list") == 0)
		return list(argc - 1, argv + 1);
	return cli_fail(EXIT_USAGE,
			"plugin: check or list? see `stator plugin --help`");
}

const cli_command cli_plugin = {
	.name = "plugin",
	.summary = "describe storage plugins, or try them out",
	.help = "stator plugin list FILE.so... [--json]\n"
		"stator plugin check FILE.so [--config JSON] [--json]\n"
		"\n"
		"list says what plugins bring: storages, who may do what with "
		"them, the fields of\n"
		"keys, values and configuration. --json gives one object a "
		"line:\n"
		"\n"
		"  $ stator plugin list build/plugins/counter.so\n"
		"  counter 1.0.0  build/plugins/counter.so\n"
		"    named counters of a workspace; ABI 1.0, concurrent\n"
		"\n"
		"    Counter          named counters of a workspace\n"
		"      GET      SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS)\n"
		"      ...\n"
		"\n"
		"check loads a plugin, calls all that it declares with what is "
		"usual and what is\n"
		"not, and holds the answers against stator_plugin.h. It prints "
		"TAP; each \"not ok\"\n"
		"names the rule that was broken, and where it stands:\n"
		"\n"
		"  $ stator plugin check build/plugins/counter.so\n"
		"  ok 1 - counter: it can be loaded, and is well described\n"
		"  ...\n"
		"  $ stator plugin check broken.so\n"
		"  not ok 5 - Note get: it returns to the host "
		"(stator_plugin.h, stator_storage.get)\n"
		"  #   found: it crashed in get: Segmentation fault, given no "
		"field\n"
		"  #   while: get takes keys of every shape\n"
		"\n"
		"Each test runs in a process of its own, so one that crashes "
		"or hangs is a failed\n"
		"test. --config is an object with the configuration, for "
		"several storages one by\n"
		"name: --config '{\"Note\":{\"Longest\":80}}'. Effects are "
		"really done, as far as\n"
		"validate lets what is tried through. --json gives one object "
		"a line, for each\n"
		"test.\n"
		"\n"
		"Exit code 0 when no test failed, 1 otherwise, 2 when the "
		"command line is wrong.\n",
	.run = run,
};
