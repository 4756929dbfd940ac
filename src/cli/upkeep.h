/*
 * upkeep.h: what `stator stat`, `backup`, `restore` and `verify` have in
 * common.
 */
#ifndef STATOR_CLI_UPKEEP_H
#define STATOR_CLI_UPKEEP_H

#include "cli/cli.h"

/* Lines go to stdout, progress to stderr: on a terminal over and over in one
 * line, else a line every few seconds. */
typedef struct upkeep {
	const char *name; /* of the command */
	int64_t said_at;  /* monotonic, ms */
	bool terminal;
	bool shown; /* there is something to be wiped out */
} upkeep;

/* `opts` with what it is given to tell. */
void upkeep_begin(upkeep *u, const char *name, bool as_json,
		  stator_upkeep_opts *opts);
/* The exit code: for what a function has returned, and whether it was all
 * written. */
int upkeep_end(upkeep *u, int code, const stator_error *err);

#endif
