/*
 * ledger.h: one ledger, kept in several ways: by Stator, and by others that
 * store the same bytes. A transfer is two reads, two updates, one event and two
 * rows of statements, all or nothing; it is durable when `transfers` returns,
 * where the way has disks.
 */
#ifndef STATOR_BENCH_LEDGER_H
#define STATOR_BENCH_LEDGER_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "stator.h"

/* Bytes of what is stored, as Stator's rows have them. */
enum { ACCOUNT_BYTES = 72, EVENT_BYTES = 160, STATEMENT_BYTES = 72 };
/* So many rows of a statement are read, the newest first. */
enum { STATEMENT_ROWS = 20 };
/* What an account is opened with. */
enum { LEDGER_BALANCE = 1000000000 };

typedef struct ledger_transfer {
	int64_t from, to, amount; /* accounts count from 0 */
} ledger_transfer;

/* Transfer `n` of all that there ever are. */
ledger_transfer ledger_transfer_at(uint64_t n, int64_t accounts);

/* Does `count` of a thing, from `first` on, `in_flight` at a time. */
typedef void (*ledger_do)(void *ledger, uint64_t first, uint64_t count,
			  uint64_t in_flight);

typedef struct ledger_way {
	const char *name;
	/* A ledger of so many accounts in an empty folder. */
	void *(*open)(const char *folder, int64_t accounts);
	ledger_do transfers;
	void (*close)(void *ledger);
	/* What is in the account that transfer `first` + i is from: its row;
	 * its newest rows of statements. NULL: not done this way. */
	ledger_do balances, statements;
} ledger_way;

extern const ledger_way ledger_memory; /* a hash map and arrays */
extern const ledger_way ledger_ahead;  /* the same, and a log that is synced */
extern const ledger_way ledger_lmdb;
extern const ledger_way ledger_log, ledger_store, ledger_none; /* Stator */
extern const ledger_way ledger_builtin; /* Stator, its extensions in C */

/* The image that Stator's ways are copies of: to be set first. */
extern const char *ledger_image;
/* A member of the descriptor that they get, or "". */
extern const char *ledger_descriptor;

/* The extensions of the ledger in C. */
extern const stator_builtin *const ledger_builtins;
extern const size_t ledger_builtin_count;

/* So many ledgers of so many accounts, open, each in a folder of its own. */
void ledger_open_all(void **ledgers, const ledger_way *const *ways,
		     size_t count, const char *folder, int64_t accounts);
typedef enum ledger_what {
	LEDGER_TRANSFERS,
	LEDGER_BALANCES,
	LEDGER_STATEMENTS
} ledger_what;
/*
 * Measures all ways in turns, `total` of them each, and prints a table.
 * Transfers count on from `first`.
 */
void ledger_measure(void **ledgers, const ledger_way *const *ways, size_t count,
		    ledger_what what, uint64_t first, uint64_t total,
		    uint64_t in_flight, FILE *json);

/* Ends the program. */
_Noreturn void ledger_die(const char *what);

#endif
