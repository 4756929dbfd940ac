/*
 * cli.h: the subcommands of `stator`, one file each. They stand on stator.h
 * and nothing else.
 */
#ifndef STATOR_CLI_H
#define STATOR_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "stator.h"

/* Exit codes. */
enum { EXIT_FINE = 0, EXIT_WRONG = 1, EXIT_USAGE = 2 };

typedef struct cli_command {
	const char *name;
	const char *summary;
	const char *help;
	int (*run)(int argc, char **argv);
} cli_command;

extern const cli_command cli_run, cli_check, cli_dump, cli_plugin,
	cli_projectors;
extern const cli_command cli_stat, cli_backup, cli_restore, cli_verify;

/*
 * An option. With `value` alone it has one, with `count` too it may be given
 * several times, with `given` it is a switch; with `value` and `given` its value
 * may be left out.
 */
typedef struct cli_option {
	const char *name;   /* "--data" */
	const char **value; /* where its text goes, or its texts */
	size_t *count;	    /* how many there are, up to CLI_MOST */
	bool *given;
} cli_option;

enum { CLI_MOST = 64 };

/*
 * Takes options out of the arguments; what is left is in `positional`, at most
 * `most`. Their number, or -1 when something is wrong, which has been said.
 */
int cli_parse(const cli_command *command, int argc, char **argv,
	      const cli_option *options, int option_count,
	      const char **positional, int most);
/* A whole number of an option; says what is wrong and gives false. */
bool cli_number(const char *option, const char *text, int64_t least,
		int64_t most, int64_t *out);
/* Takes what --preemption says, unless it is NULL; else as `cli_number`. */
bool cli_preemption(const char *command, const char *text,
		    stator_host_opts *opts);
/* "stator: message" on stderr; gives `code`. As a line of the log in JSON once
 * `cli_say_json` was called. */
int cli_fail(int code, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* The same, of what is not wrong. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
void cli_say_json(void);
/* From now on a file of data that cannot be read where it is mapped is said,
 * and ends the process with EXIT_WRONG. */
void cli_expect_faults(void);
/* A line of a library function, to the stream that is `ctx`, at once. */
void cli_line(void *ctx, const char *text, size_t size);
/* A string of JSON, in its quotes. */
void cli_json_string(FILE *to, const char *text);
/* file:line:column: message, on stdout. */
void cli_problem(void *ctx, const char *file, int line, int col,
		 const char *message);

#endif
