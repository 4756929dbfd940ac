/*
 * sqlite.c: the ledger in SQLite, in this process: a write-ahead log,
 * synchronous FULL, and as many transfers in a transaction as are in flight.
 */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "pipe.h"

enum { READ, CHANGE, EVENT, STATEMENT, BEGIN, COMMIT, TEXTS };

static const char *const texts[TEXTS] = {
	"SELECT balance FROM accounts WHERE id = ?",
	"UPDATE accounts SET balance = ?2 WHERE id = ?1",
	"INSERT INTO events VALUES (?1, ?2)",
	"INSERT INTO statements VALUES (?1, ?2, ?3)",
	"BEGIN IMMEDIATE",
	"COMMIT",
};

typedef struct sqlite {
	sqlite3 *db;
	sqlite3_stmt *made[TEXTS];
	int64_t accounts;
	int64_t done;
} sqlite;

static void
must(sqlite *s, int code)
{
	if (code == SQLITE_OK || code == SQLITE_DONE || code == SQLITE_ROW)
		return;
	fprintf(stderr, "bench: SQLite: %s\n", sqlite3_errmsg(s->db));
	exit(1);
}

static void
run(sqlite *s, int text)
{
	must(s, sqlite3_step(s->made[text]));
	must(s, sqlite3_reset(s->made[text]));
}

static void
fill(sqlite *s)
{
	sqlite3_stmt *insert;

	must(s, sqlite3_prepare_v2(s->db,
				   "INSERT INTO accounts VALUES (?1, "
				   "'owner ' || ?1, ?2)",
				   -1, &insert, NULL));
	run(s, BEGIN);
	for (int64_t i = 0; i < s->accounts; i++) {
		sqlite3_bind_int64(insert, 1, i);
		sqlite3_bind_int64(insert, 2, LEDGER_BALANCE);
		must(s, sqlite3_step(insert));
		sqlite3_reset(insert);
	}
	run(s, COMMIT);
	sqlite3_finalize(insert);
}

static void *
sqlite_open(const char *folder, int64_t accounts)
{
	sqlite *s = calloc(1, sizeof(*s));
	char path[1024];

	s->accounts = accounts;
	snprintf(path, sizeof(path), "%s/ledger.db", folder);
	must(s, sqlite3_open(path, &s->db));
	must(s, sqlite3_exec(s->db,
			     "PRAGMA journal_mode = WAL;"
			     "PRAGMA synchronous = FULL;"
			     "CREATE TABLE accounts (id INTEGER PRIMARY KEY, "
			     "owner TEXT, balance INTEGER);"
			     "CREATE TABLE events (id INTEGER PRIMARY KEY, "
			     "data BLOB);"
			     "CREATE TABLE statements (account INTEGER, "
			     "event INTEGER, data BLOB, "
			     "PRIMARY KEY (account, event)) WITHOUT ROWID",
			     NULL, NULL, NULL));
	for (int i = 0; i < TEXTS; i++)
		must(s, sqlite3_prepare_v2(s->db, texts[i], -1, &s->made[i],
					   NULL));
	fill(s);
	return s;
}

static int64_t
balance(sqlite *s, int64_t account)
{
	int64_t has;

	sqlite3_bind_int64(s->made[READ], 1, account);
	must(s, sqlite3_step(s->made[READ]));
	has = sqlite3_column_int64(s->made[READ], 0);
	must(s, sqlite3_reset(s->made[READ]));
	return has;
}

static void
change(sqlite *s, int64_t account, int64_t has)
{
	sqlite3_bind_int64(s->made[CHANGE], 1, account);
	sqlite3_bind_int64(s->made[CHANGE], 2, has);
	run(s, CHANGE);
}

static void
add_row(sqlite *s, int64_t account)
{
	static const char row[STATEMENT_BYTES];

	sqlite3_bind_int64(s->made[STATEMENT], 1, account);
	sqlite3_bind_int64(s->made[STATEMENT], 2, s->done);
	sqlite3_bind_blob(s->made[STATEMENT], 3, row, sizeof(row),
			  SQLITE_STATIC);
	run(s, STATEMENT);
}

static void
transfer(sqlite *s, const ledger_transfer *t)
{
	static const char event[EVENT_BYTES];
	int64_t from = balance(s, t->from), to = balance(s, t->to);

	s->done++;
	change(s, t->from, from - t->amount);
	change(s, t->to, to + t->amount);
	sqlite3_bind_int64(s->made[EVENT], 1, s->done);
	sqlite3_bind_blob(s->made[EVENT], 2, event, sizeof(event),
			  SQLITE_STATIC);
	run(s, EVENT);
	add_row(s, t->from);
	add_row(s, t->to);
}

static void
sqlite_transfers(void *ledger, uint64_t first, uint64_t count,
		 uint64_t in_flight)
{
	sqlite *s = ledger;

	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t =
			ledger_transfer_at(first + i, s->accounts);

		if (i % in_flight == 0)
			run(s, BEGIN);
		transfer(s, &t);
		if ((i + 1) % in_flight == 0 || i + 1 == count)
			run(s, COMMIT);
	}
}

/* One number of the database. */
static int64_t
number(sqlite *s, const char *text)
{
	sqlite3_stmt *made;
	int64_t n;

	must(s, sqlite3_prepare_v2(s->db, text, -1, &made, NULL));
	must(s, sqlite3_step(made));
	n = sqlite3_column_int64(made, 0);
	sqlite3_finalize(made);
	return n;
}

static void
sqlite_close(void *ledger)
{
	sqlite *s = ledger;

	if (number(s, "SELECT sum(balance) FROM accounts") !=
		    s->accounts * LEDGER_BALANCE ||
	    number(s, "SELECT count(*) FROM events") != s->done) {
		fprintf(stderr, "bench: SQLite: not what was transferred\n");
		exit(1);
	}
	for (int i = 0; i < TEXTS; i++)
		sqlite3_finalize(s->made[i]);
	sqlite3_close(s->db);
	free(s);
}

const ledger_way peer_sqlite = {"SQLite, synchronous FULL",
				sqlite_open,
				sqlite_transfers,
				sqlite_close,
				NULL,
				NULL};
