/*
 * reads.c: balances and statements of the ledger: queries through Lua, from
 * JSON to JSON and inside of the process, beside C that reads rows of the same
 * sizes from LMDB, a transaction for each read.
 *
 *	reads IMAGE FOLDER JSON-FILE ACCOUNTS TRANSFERS READS
 *
 * Every way has made the same transfers before.
 */
#include "bench.h"
#include "harness.h"
#include "ledger.h"

enum { IN_FLIGHT = 1000 };

static uint64_t transfers;

/* Inside of the process -------------------------------------------------- */

/* A worker on the data that a host has left. */
typedef struct inside {
	harness h;
	int64_t accounts;
	uint64_t rows; /* that were given back */
	const stator_ext *balance, *statement;
} inside;

static const stator_load_opts load = {.purpose = STATOR_TO_RUN};

static void *
open_inside(const ledger_way *host, const char *folder, int64_t accounts)
{
	char *image = stator__format("%s/image", folder);
	char *data = stator__format("%s/data", folder);
	inside *in = calloc(1, sizeof(*in));
	void *ledger = host->open(folder, accounts);

	host->transfers(ledger, 0, transfers, IN_FLIGHT);
	host->close(ledger);
	harness_open(&in->h, image, data, &load);
	in->accounts = accounts;
	in->balance = harness_ext(&in->h, "ledger.Balance");
	in->statement = harness_ext(&in->h, "ledger.Statement20");
	free(image);
	free(data);
	return in;
}

static void *
open_log(const char *folder, int64_t accounts)
{
	return open_inside(&ledger_log, folder, accounts);
}

static void *
open_store(const char *folder, int64_t accounts)
{
	return open_inside(&ledger_store, folder, accounts);
}

static int
on_result(stator_io *io, const stator_row *row, stator_error *err)
{
	inside *in = io->result_ctx;

	(void)row;
	(void)err;
	in->rows++;
	return STATOR_OK;
}

/* A query as the processor runs it, without JSON: on what is newest. */
static void
query(inside *in, const stator_ext *ext, int64_t account)
{
	stator_worker *w = in->h.worker;
	stator_state *st = &w->state;
	stator_builder b;
	stator_error err;

	harness_must(w->view.ops->refresh(w->view.snapshot, &err) == 0,
		     "refresh", err.msg);
	stator__state_begin(st, ext, 1);
	st->io.run.now_ms = 1;
	st->io.on_result = on_result;
	st->io.result_ctx = in;
	stator__build(&b, &st->arena, ext->arg);
	stator__build_int(&b, 0, 200001 + account, NULL);
	st->io.argument = stator__build_done(&b);
	harness_must(stator__worker_run(w, ext, &err) == 0 &&
			     stator__state_validate(st, &err) == 0 &&
			     stator__state_apply(st, &err) == 0,
		     ext->name, err.msg);
	stator__worker_end(w);
}

static void
query_many(inside *in, const stator_ext *ext, uint64_t first, uint64_t count)
{
	uint64_t before = in->rows;

	for (uint64_t i = 0; i < count; i++)
		query(in, ext,
		      ledger_transfer_at(first + i, in->accounts).from);
	harness_must(in->rows >= before + count, ext->name, "no rows");
}

static void
inside_balances(void *ledger, uint64_t first, uint64_t count,
		uint64_t in_flight)
{
	inside *in = ledger;

	(void)in_flight;
	query_many(in, in->balance, first, count);
}

static void
inside_statements(void *ledger, uint64_t first, uint64_t count,
		  uint64_t in_flight)
{
	inside *in = ledger;

	(void)in_flight;
	query_many(in, in->statement, first, count);
}

static void
inside_close(void *ledger)
{
	inside *in = ledger;

	harness_close(&in->h);
	free(in);
}

static const ledger_way inside_log = {
	"Stator, in process: log", open_log, NULL,
	inside_close, inside_balances, inside_statements};
static const ledger_way inside_store = {
	"Stator, in process: store", open_store, NULL,
	inside_close, inside_balances, inside_statements};

/* Measuring -------------------------------------------------------------- */

static const ledger_way *const all[] = {
	&ledger_lmdb,	 &ledger_memory, &inside_log, &inside_store,
	&ledger_log, &ledger_store,  &ledger_none};
enum { WAYS = STATOR_COUNT(all) };

int
main(int argc, char **argv)
{
	void *ledgers[WAYS];
	uint64_t reads;
	FILE *json;

	if (argc < 7)
		return 2;
	ledger_image = argv[1];
	transfers = strtoull(argv[5], NULL, 10);
	reads = strtoull(argv[6], NULL, 10);
	json = bench_json(argv[3]);
	ledger_open_all(ledgers, all, WAYS, argv[2], atoll(argv[4]));
	for (size_t i = 0; i < WAYS; i++)
		if (all[i]->transfers)
			all[i]->transfers(ledgers[i], 0, transfers, IN_FLIGHT);
	ledger_measure(ledgers, all, WAYS, LEDGER_BALANCES, 0, reads, IN_FLIGHT,
		       json);
	ledger_measure(ledgers, all, WAYS, LEDGER_STATEMENTS, 0, reads / 4,
		       IN_FLIGHT, json);
	for (size_t i = 0; i < WAYS; i++)
		all[i]->close(ledgers[i]);
	return fclose(json) != 0;
}
