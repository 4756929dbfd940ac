/*
 * ledger.h: one ledger, kept in several ways: by Stator, and by C that stores
 * the same bytes. A transfer is two reads, two updates, one event and two rows
 * of statements, all or nothing; it is durable when `transfers` returns, where
 * the way has disks.
 */
#ifndef STATOR_BENCH_LEDGER_H
#define STATOR_BENCH_LEDGER_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of what is stored, as Stator's rows have them. */
enum { ACCOUNT_BYTES = 72, EVENT_BYTES = 160, STATEMENT_BYTES = 72 };

typedef struct ledger_transfer {
	int64_t from, to, amount; /* accounts count from 0 */
} ledger_transfer;

/* Transfer `n` of all that there ever are. */
ledger_transfer ledger_transfer_at(uint64_t n, int64_t accounts);

typedef struct ledger_way {
	const char *name;
	/* A ledger of so many accounts in an empty folder. */
	void *(*open)(const char *folder, int64_t accounts);
	/* Does `count` of them, from `first` on, `in_flight` at a time. */
	void (*transfers)(void *ledger, uint64_t first, uint64_t count,
			  uint64_t in_flight);
	void (*close)(void *ledger);
} ledger_way;

extern const ledger_way ledger_memory; /* a hash map and arrays */
extern const ledger_way ledger_ahead;  /* the same, and a log that is synced */
extern const ledger_way ledger_lmdb;

/* Ends the program. */
_Noreturn void ledger_die(const char *what);

#endif
