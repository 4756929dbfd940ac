/*
 * main.c: `stator`: finds the subcommand, shows help.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"

static const cli_command *const commands[] = {
	&cli_run,    &cli_check,   &cli_dump,	&cli_projectors, &cli_stat,
	&cli_backup, &cli_restore, &cli_verify, &cli_plugin};
enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const char help[] =
	"stator runs extensions written in Lua against durable state.\n"
	"\n"
	"  stator check examples/restaurant\n"
	"      everything that is wrong with an application image\n"
	"  stator run examples/restaurant --data /tmp/data < requests.jsonl\n"
	"      one request a line in, one reply a line out\n"
	"  stator dump examples/restaurant --data /tmp/data \\\n"
	"      view restaurant.OrderedItems\n"
	"      what is stored\n"
	"  stator projectors examples/restaurant --data /tmp/data\n"
	"      how far the asynchronous projectors are\n"
	"  stator stat examples/restaurant --data /tmp/data\n"
	"      how much is stored, and how far everything is\n"
	"  stator backup examples/restaurant --data /tmp/data --to /tmp/copy\n"
	"  stator restore examples/restaurant --from /tmp/copy --data /tmp/new\n"
	"      a copy, also while the data is in use; and back\n"
	"  stator verify examples/restaurant --data /tmp/data\n"
	"      whether what is stored is what the events make of it\n"
	"\n"
	"Commands:\n";

static void
print_help(FILE *to)
{
	fputs(help, to);
	for (int i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-10s %s\n", commands[i]->name,
			commands[i]->summary);
	fputs("\n`stator COMMAND --help` says more. Exit codes: 0 fine, 1 "
	      "something is wrong,\n2 the command line is wrong.\n",
	      to);
}

/* How this command says things on stderr. */
static bool says_json;

void
cli_say_json(void)
{
	says_json = true;
}

void
cli_json_string(FILE *to, const char *text)
{
	fputc('"', to);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			fprintf(to, "\\%c", c);
		else if (c < ' ')
			fprintf(to, "\\u%04x", c);
		else
			fputc(c, to);
	}
	fputc('"', to);
}

static void
say_json(const char *level, const char *message)
{
	struct timespec now;
	char time[40];
	struct tm tm;
	size_t used;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	used = strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(time + used, sizeof(time) - used, ".%03ldZ",
		 now.tv_nsec / 1000000);
	fprintf(stderr, "{\"time\":\"%s\",\"level\":\"%s\","
			"\"source\":\"stator\",\"message\":",
		time, level);
	cli_json_string(stderr, message);
	fputs("}\n", stderr);
}

static void
say(const char *level, const char *format, va_list args)
{
	char message[2048];

	vsnprintf(message, sizeof(message), format, args);
	flockfile(stderr);
	if (says_json)
		say_json(level, message);
	else
		fprintf(stderr, "stator: %s\n", message);
	funlockfile(stderr);
}

int
cli_fail(int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("error", format, args);
	va_end(args);
	return code;
}

void
cli_say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say("info", format, args);
	va_end(args);
}

void
cli_line(void *ctx, const char *text, size_t size)
{
	fwrite(text, 1, size, ctx);
	fputc('\n', ctx);
	fflush(ctx);
}

void
cli_problem(void *ctx, const char *file, int line, int col,
	    const char *message)
{
	if (says_json && ctx == stderr)
		cli_fail(EXIT_WRONG, "%s:%d:%d: %s", file, line, col, message);
	else
		fprintf(ctx, "%s:%d:%d: %s\n", file, line, col, message);
}

bool
cli_number(const char *option, const char *text, int64_t least, int64_t most,
	   int64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoll(text, &end, 10);
	if (*text && *end == 0 && errno == 0 && *out >= least && *out <= most)
		return true;
	cli_fail(EXIT_USAGE, "%s: expected a whole number from %lld to %lld, "
			     "found \"%s\"",
		 option, (long long)least, (long long)most, text);
	return false;
}

bool
cli_preemption(const char *command, const char *text, stator_host_opts *opts)
{
	if (text == NULL)
		return true;
	opts->preemption = strcmp(text, "fuel") == 0 ? STATOR_PREEMPTION_FUEL
						     : STATOR_PREEMPTION_AUTO;
	if (strcmp(text, "fuel") == 0 || strcmp(text, "auto") == 0)
		return true;
	cli_fail(EXIT_USAGE, "%s: --preemption: expected \"auto\" or "
			     "\"fuel\", found \"%s\"",
		 command, text);
	return false;
}

static const cli_option *
find_option(const cli_option *options, int count, const char *arg, size_t size)
{
	for (int i = 0; i < count; i++)
		if (strlen(options[i].name) == size &&
		    strncmp(options[i].name, arg, size) == 0)
			return &options[i];
	return NULL;
}

/* Takes one option, "--data DIR" or "--data=DIR"; gives how many arguments. */
static int
take_option(const cli_command *command, int argc, char **argv,
	    const cli_option *options, int count)
{
	size_t size = strcspn(argv[0], "=");
	const cli_option *o = find_option(options, count, argv[0], size);

	if (o == NULL) {
		cli_fail(EXIT_USAGE, "%s: no option %.*s; see `stator %s "
				     "--help`",
			 command->name, (int)size, argv[0], command->name);
		return -1;
	}
	if (o->given)
		*o->given = true;
	if (o->given && (o->value == NULL ||
			 (argv[0][size] != '=' &&
			  (argc < 2 || strncmp(argv[1], "--", 2) == 0))))
		return 1;
	if (argv[0][size] != '=' && argc < 2) {
		cli_fail(EXIT_USAGE, "%s: %s needs a value", command->name,
			 o->name);
		return -1;
	}
	if (o->count == NULL && *o->value) {
		cli_fail(EXIT_USAGE, "%s: %s is given twice", command->name,
			 o->name);
		return -1;
	}
	if (o->count && *o->count == CLI_MOST) {
		cli_fail(EXIT_USAGE, "%s: %s more than %d times",
			 command->name, o->name, CLI_MOST);
		return -1;
	}
	o->value[o->count ? (*o->count)++ : 0] =
		argv[0][size] == '=' ? argv[0] + size + 1 : argv[1];
	return argv[0][size] == '=' ? 1 : 2;
}

int
cli_parse(const cli_command *command, int argc, char **argv,
	  const cli_option *options, int option_count, const char **positional,
	  int most)
{
	int count = 0;

	for (int i = 0; i < argc;) {
		int taken = 1;

		if (strncmp(argv[i], "--", 2) == 0) {
			taken = take_option(command, argc - i, argv + i,
					    options, option_count);
		} else if (count < most) {
			positional[count++] = argv[i];
		} else {
			cli_fail(EXIT_USAGE,
				 "%s: unexpected \"%s\"; see `stator %s "
				 "--help`",
				 command->name, argv[i], command->name);
			taken = -1;
		}
		if (taken < 0)
			return -1;
		i += taken;
	}
	return count;
}

static bool
asks_for_help(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

static const cli_command *
find_command(const char *name)
{
	for (int i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	return NULL;
}

static int
run_it(const cli_command *command, int argc, char **argv)
{
	/* What crashes when a plugin is tried out is a finding. */
	if (command != &cli_plugin)
		cli_expect_faults();
	return command->run(argc, argv);
}

static int
run_command(int argc, char **argv)
{
	bool wants_help = strcmp(argv[1], "help") == 0;
	const char *name = wants_help && argc > 2 ? argv[2] : argv[1];
	const cli_command *command = find_command(name);

	if (command && (wants_help || asks_for_help(argc - 2, argv + 2)))
		fputs(command->help, stdout);
	else if (command)
		return run_it(command, argc - 2, argv + 2);
	else if (name == argv[1] &&
		 (wants_help || asks_for_help(argc - 1, argv + 1)))
		print_help(stdout);
	else if (strcmp(name, "--version") == 0)
		printf("stator %s\n", stator_version_string());
	else
		return cli_fail(EXIT_USAGE, "no command \"%s\"; see `stator "
					    "--help`",
				name);
	return EXIT_FINE;
}

int
main(int argc, char **argv)
{
	int code;

	if (argc < 2) {
		print_help(stderr);
		return EXIT_USAGE;
	}
	code = run_command(argc, argv);
	if (code == EXIT_FINE && (fflush(stdout) || ferror(stdout)))
		return cli_fail(EXIT_WRONG, "%s: cannot write", argv[1]);
	return code;
}
