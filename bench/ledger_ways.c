/*
 * ledger_ways.c: the ledger in plain C: in memory, with a write-ahead log, and
 * in LMDB. These are the floors that Stator is held against.
 */
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ledger.h"

void
ledger_die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

ledger_transfer
ledger_transfer_at(uint64_t n, int64_t accounts)
{
	uint64_t x = n * UINT64_C(0x9E3779B97F4A7C15);
	ledger_transfer t;

	x ^= x >> 31;
	x *= UINT64_C(0xD6E8FEB86659FD93);
	x ^= x >> 32;
	t.from = (int64_t)(x % (uint64_t)accounts);
	t.to = (int64_t)((x >> 24) % (uint64_t)accounts);
	if (t.to == t.from)
		t.to = (t.from + 1) % accounts;
	t.amount = 1 + (int64_t)(n % 10);
	return t;
}

static void *
need(void *p)
{
	if (p == NULL)
		ledger_die("memory");
	return p;
}

/* Memory, and the log ------------------------------------------------------ */

typedef struct account {
	int64_t id; /* 0: free */
	char row[ACCOUNT_BYTES];
} account;

typedef struct memory {
	account *accounts; /* open addressing */
	uint64_t mask;
	int64_t count;
	char *rows; /* events and statements, one behind the other */
	size_t used, cap;
	int log; /* -1: none */
	size_t synced;
} memory;

static account *
find(memory *m, int64_t id)
{
	uint64_t at = ((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15)) >> 32;

	for (;; at++) {
		account *a = &m->accounts[at & m->mask];

		if (a->id == 0 || a->id == id)
			return a;
	}
}

static void *
memory_open(const char *folder, int64_t accounts)
{
	memory *m = need(calloc(1, sizeof(*m)));

	(void)folder;
	for (m->mask = 1; (int64_t)m->mask < 2 * accounts;)
		m->mask *= 2;
	m->accounts = need(calloc(m->mask, sizeof(account)));
	m->mask--;
	m->count = accounts;
	m->log = -1;
	m->cap = 1 << 20;
	m->rows = need(malloc(m->cap));
	for (int64_t i = 1; i <= accounts; i++)
		find(m, i)->id = i;
	return m;
}

static void *
ahead_open(const char *folder, int64_t accounts)
{
	memory *m = memory_open(folder, accounts);
	char path[1024];

	snprintf(path, sizeof(path), "%s/log", folder);
	m->log = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
	if (m->log < 0)
		ledger_die(path);
	return m;
}

static void
add(memory *m, const void *row, size_t size)
{
	if (m->used + size > m->cap) {
		m->cap *= 2;
		m->rows = need(realloc(m->rows, m->cap));
	}
	memcpy(m->rows + m->used, row, size);
	m->used += size;
}

static void
change(memory *m, int64_t id, int64_t by)
{
	account *a = find(m, id);
	int64_t balance;

	memcpy(&balance, a->row, sizeof(balance));
	balance += by;
	memcpy(a->row, &balance, sizeof(balance));
	if (m->log >= 0)
		add(m, a->row, sizeof(a->row));
}

static void
sync_log(memory *m)
{
	if (m->log >= 0 &&
	    (write(m->log, m->rows, m->used) != (ssize_t)m->used ||
	     fdatasync(m->log)))
		ledger_die("log");
	m->used = 0;
}

static void
memory_transfers(void *ledger, uint64_t first, uint64_t count,
		 uint64_t in_flight)
{
	static const char event[EVENT_BYTES], statement[STATEMENT_BYTES];
	memory *m = ledger;

	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t = ledger_transfer_at(first + i, m->count);

		change(m, t.from + 1, -t.amount);
		change(m, t.to + 1, t.amount);
		add(m, event, sizeof(event));
		add(m, statement, sizeof(statement));
		add(m, statement, sizeof(statement));
		if ((i + 1) % in_flight == 0)
			sync_log(m);
	}
	sync_log(m);
}

static void
memory_close(void *ledger)
{
	memory *m = ledger;

	if (m->log >= 0)
		close(m->log);
	free(m->accounts);
	free(m->rows);
	free(m);
}

/* What was read is used, so that it is read. */
static volatile int64_t seen;

static void
memory_balances(void *ledger, uint64_t first, uint64_t count,
		uint64_t in_flight)
{
	char row[ACCOUNT_BYTES];
	memory *m = ledger;

	(void)in_flight;
	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t = ledger_transfer_at(first + i, m->count);

		memcpy(row, find(m, t.from + 1)->row, sizeof(row));
		seen += row[0];
	}
}

const ledger_way ledger_memory = {"C: a hash map, not durable",
				  memory_open,
				  memory_transfers,
				  memory_close,
				  memory_balances,
				  NULL};
const ledger_way ledger_ahead = {"C: a hash map and a write-ahead log",
				 ahead_open,
				 memory_transfers,
				 memory_close,
				 NULL,
				 NULL};

/* LMDB ------------------------------------------------------------------- */

typedef struct lmdb {
	MDB_env *env;
	MDB_dbi dbi;
	int64_t accounts;
} lmdb;

static void
must(int code, const char *what)
{
	if (code == 0)
		return;
	fprintf(stderr, "bench: %s: %s\n", what, mdb_strerror(code));
	exit(1);
}

/* A letter for the kind, then two big numbers. */
static MDB_val
make_key(char *to, char kind, uint64_t a, uint64_t b)
{
	to[0] = kind;
	for (int i = 0; i < 8; i++) {
		to[1 + i] = (char)(a >> (56 - 8 * i));
		to[9 + i] = (char)(b >> (56 - 8 * i));
	}
	return (MDB_val){17, to};
}

static void
put(MDB_txn *txn, lmdb *l, char kind, uint64_t a, uint64_t b, void *row,
    size_t size)
{
	char key[17];
	MDB_val k = make_key(key, kind, a, b), v = {size, row};

	must(mdb_put(txn, l->dbi, &k, &v, 0), "put");
}

static void *
lmdb_open(const char *folder, int64_t accounts)
{
	lmdb *l = need(calloc(1, sizeof(*l)));
	char row[ACCOUNT_BYTES] = {0};
	MDB_txn *txn;

	l->accounts = accounts;
	must(mdb_env_create(&l->env), "open");
	must(mdb_env_set_mapsize(l->env, (size_t)1 << 36), "open");
	must(mdb_env_open(l->env, folder, 0, 0600), "open");
	must(mdb_txn_begin(l->env, NULL, 0, &txn), "begin");
	must(mdb_dbi_open(txn, NULL, 0, &l->dbi), "open");
	for (int64_t i = 1; i <= accounts; i++)
		put(txn, l, 'a', (uint64_t)i, 0, row, sizeof(row));
	must(mdb_txn_commit(txn), "commit");
	return l;
}

static void
lmdb_change(MDB_txn *txn, lmdb *l, int64_t id, int64_t by)
{
	char key[17], row[ACCOUNT_BYTES];
	MDB_val k = make_key(key, 'a', (uint64_t)id, 0), v;
	int64_t balance;

	must(mdb_get(txn, l->dbi, &k, &v), "get");
	memcpy(row, v.mv_data, sizeof(row));
	memcpy(&balance, row, sizeof(balance));
	balance += by;
	memcpy(row, &balance, sizeof(balance));
	put(txn, l, 'a', (uint64_t)id, 0, row, sizeof(row));
}

static void
lmdb_transfers(void *ledger, uint64_t first, uint64_t count,
	       uint64_t in_flight)
{
	char event[EVENT_BYTES] = {0}, statement[STATEMENT_BYTES] = {0};
	lmdb *l = ledger;
	MDB_txn *txn = NULL;

	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t =
			ledger_transfer_at(first + i, l->accounts);

		if (txn == NULL)
			must(mdb_txn_begin(l->env, NULL, 0, &txn), "begin");
		lmdb_change(txn, l, t.from + 1, -t.amount);
		lmdb_change(txn, l, t.to + 1, t.amount);
		put(txn, l, 'e', first + i, 0, event, sizeof(event));
		put(txn, l, 's', (uint64_t)t.from + 1, first + i, statement,
		    sizeof(statement));
		put(txn, l, 's', (uint64_t)t.to + 1, first + i, statement,
		    sizeof(statement));
		if ((i + 1) % in_flight == 0) {
			must(mdb_txn_commit(txn), "commit");
			txn = NULL;
		}
	}
	if (txn)
		must(mdb_txn_commit(txn), "commit");
}

static void
lmdb_close(void *ledger)
{
	lmdb *l = ledger;

	mdb_env_close(l->env);
	free(l);
}

/* A transaction for each: a new reader, as a query that comes alone has. */
static void
lmdb_balances(void *ledger, uint64_t first, uint64_t count, uint64_t in_flight)
{
	char key[17], row[ACCOUNT_BYTES];
	lmdb *l = ledger;
	MDB_val k, v;
	MDB_txn *txn;

	(void)in_flight;
	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t =
			ledger_transfer_at(first + i, l->accounts);

		must(mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn), "begin");
		k = make_key(key, 'a', (uint64_t)t.from + 1, 0);
		must(mdb_get(txn, l->dbi, &k, &v), "get");
		memcpy(row, v.mv_data, sizeof(row));
		seen += row[0];
		mdb_txn_abort(txn);
	}
}

/* Copies the newest rows of one account. */
static void
lmdb_statement(MDB_cursor *cursor, int64_t id)
{
	static char rows[STATEMENT_ROWS][STATEMENT_BYTES];
	char key[17];
	MDB_val k = make_key(key, 's', (uint64_t)id, UINT64_MAX), v;
	int code = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);

	code = mdb_cursor_get(cursor, &k, &v, code ? MDB_LAST : MDB_PREV);
	for (int i = 0; i < STATEMENT_ROWS && code == 0; i++) {
		if (k.mv_size != 17 || memcmp(k.mv_data, key, 9))
			break;
		memcpy(rows[i], v.mv_data, STATEMENT_BYTES);
		seen += rows[i][0];
		code = mdb_cursor_get(cursor, &k, &v, MDB_PREV);
	}
}

static void
lmdb_statements(void *ledger, uint64_t first, uint64_t count,
		uint64_t in_flight)
{
	lmdb *l = ledger;
	MDB_cursor *cursor;
	MDB_txn *txn;

	(void)in_flight;
	for (uint64_t i = 0; i < count; i++) {
		ledger_transfer t =
			ledger_transfer_at(first + i, l->accounts);

		must(mdb_txn_begin(l->env, NULL, MDB_RDONLY, &txn), "begin");
		must(mdb_cursor_open(txn, l->dbi, &cursor), "cursor");
		lmdb_statement(cursor, t.from + 1);
		mdb_cursor_close(cursor);
		mdb_txn_abort(txn);
	}
}

const ledger_way ledger_lmdb = {"C: LMDB, durable commits",
				lmdb_open,
				lmdb_transfers,
				lmdb_close,
				lmdb_balances,
				lmdb_statements};
