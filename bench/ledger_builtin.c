/*
 * ledger_builtin.c: the extensions of examples/ledger in C, for the builtin
 * engine: what Lua itself costs is what is between the two.
 */
#include <string.h>

#include "ledger.h"
#include "stator.h"

#define ACCOUNT "ledger.Account"
#define STATEMENT "ledger.Statement"

static stator_fields *
account_key(stator_state *st, int64_t id, stator_error *err)
{
	stator_fields *key = stator_key(st, "sys.Record", ACCOUNT, err);

	return key && stator_set_int(key, "ID", id, err) == 0 ? key : NULL;
}

/* The key and the row of an account that must be there. */
static int
account(stator_state *st, int64_t id, stator_fields **key, stator_row *row,
	stator_error *err)
{
	int code;

	*key = account_key(st, id, err);
	if (*key == NULL)
		return err->code;
	code = stator_get(st, *key, row, err);
	if (code == STATOR_NONE) {
		err->code = STATOR_NOT_EXISTS;
		snprintf(err->msg, sizeof(err->msg), "no account %lld",
			 (long long)id);
		return STATOR_NOT_EXISTS;
	}
	return code;
}

/* A row for the reply; NULL and `err` else. */
static stator_fields *
new_result(stator_state *st, stator_error *err)
{
	stator_fields *key = stator_key(st, "sys.Result", NULL, err);

	return key ? stator_new(st, key, err) : NULL;
}

static int
answer(stator_state *st, int64_t status, const char *message,
       stator_error *err)
{
	stator_fields *key = stator_key(st, "sys.Response", NULL, err);
	stator_fields *values = key ? stator_new(st, key, err) : NULL;

	if (values == NULL || stator_set_int(values, "StatusCode", status, err))
		return err->code;
	return stator_set_bytes(values, "ErrorMessage", message,
				strlen(message), err);
}

/* COMMAND Open(OpenParams) RETURNS Opened: the host gives the ID. */
static int
open_account(stator_state *st, void *ctx, stator_error *err)
{
	stator_fields *key, *values;
	stator_slice owner = {0};
	int64_t balance = 0;
	stator_row args;

	(void)ctx;
	stator_argument(st, &args);
	stator_row_bytes(&args, "Owner", &owner);
	stator_row_int(&args, "Balance", &balance);
	key = stator_key(st, "sys.Record", ACCOUNT, err);
	values = key ? stator_new(st, key, err) : NULL;
	if (values == NULL ||
	    stator_set_bytes(values, "Owner", owner.data, owner.size, err))
		return err->code;
	return stator_set_int(values, "Balance", balance, err);
}

static int
set_balance(stator_state *st, stator_fields *key, const stator_row *row,
	    int64_t balance, stator_error *err)
{
	stator_fields *values = stator_update(st, key, row, err);

	return values ? stator_set_int(values, "Balance", balance, err)
		      : err->code;
}

/* COMMAND Transfer(TransferParams) */
static int
transfer(stator_state *st, void *ctx, stator_error *err)
{
	int64_t from_id = 0, to_id = 0, amount = 0, from_has = 0, to_has = 0;
	stator_fields *from_key, *to_key;
	stator_row args, from, to;
	int code;

	(void)ctx;
	stator_argument(st, &args);
	stator_row_int(&args, "From", &from_id);
	stator_row_int(&args, "To", &to_id);
	stator_row_int(&args, "Amount", &amount);
	if (amount <= 0 || from_id == to_id)
		return answer(st, 400, "between two accounts", err);
	code = account(st, from_id, &from_key, &from, err);
	if (code == STATOR_OK)
		code = account(st, to_id, &to_key, &to, err);
	if (code)
		return code;
	stator_row_int(&from, "Balance", &from_has);
	stator_row_int(&to, "Balance", &to_has);
	if (from_has < amount)
		return answer(st, 409, "there is not so much", err);
	code = set_balance(st, from_key, &from, from_has - amount, err);
	return code ? code
		    : set_balance(st, to_key, &to, to_has + amount, err);
}

static int
write_row(stator_state *st, int64_t id, int64_t other, int64_t amount,
	  stator_error *err)
{
	stator_fields *key = stator_key(st, "sys.View", STATEMENT, err), *row;
	int64_t offset = stator_state_run(st)->wlog_offset;

	if (key == NULL || stator_set_int(key, "Account", id, err) ||
	    stator_set_int(key, "Offset", offset, err))
		return err->code;
	row = stator_new(st, key, err);
	if (row == NULL || stator_set_int(row, "Other", other, err))
		return err->code;
	return stator_set_int(row, "Amount", amount, err);
}

/* SYNC PROJECTOR WriteStatement */
static int
write_statement(stator_state *st, void *ctx, stator_error *err)
{
	int64_t from = 0, to = 0, amount = 0;
	stator_row event, args;
	int code;

	(void)ctx;
	stator_event(st, &event);
	code = stator_row_child(st, &event, "ArgumentObject", 0, &args);
	if (code)
		return STATOR_EXTENSION_FAILED;
	stator_row_int(&args, "From", &from);
	stator_row_int(&args, "To", &to);
	stator_row_int(&args, "Amount", &amount);
	code = write_row(st, from, to, -amount, err);
	return code ? code : write_row(st, to, from, amount, err);
}

/* QUERY Balance(AccountParams) RETURNS BalanceRow */
static int
balance(stator_state *st, void *ctx, stator_error *err)
{
	stator_fields *key, *result;
	stator_slice owner = {0};
	int64_t id = 0, has = 0;
	stator_row args, row;
	int code;

	(void)ctx;
	stator_argument(st, &args);
	stator_row_int(&args, "Account", &id);
	code = account(st, id, &key, &row, err);
	if (code)
		return code;
	stator_row_bytes(&row, "Owner", &owner);
	stator_row_int(&row, "Balance", &has);
	result = new_result(st, err);
	if (result == NULL ||
	    stator_set_bytes(result, "Owner", owner.data, owner.size, err))
		return err->code;
	return stator_set_int(result, "Balance", has, err);
}

static int
add_row(stator_state *st, const stator_row *key, const stator_row *row,
	stator_error *err)
{
	int64_t offset = 0, other = 0, amount = 0;
	stator_fields *result = new_result(st, err);

	stator_row_int(key, "Offset", &offset);
	stator_row_int(row, "Other", &other);
	stator_row_int(row, "Amount", &amount);
	if (result == NULL || stator_set_int(result, "Offset", offset, err) ||
	    stator_set_int(result, "Other", other, err))
		return err->code;
	return stator_set_int(result, "Amount", amount, err);
}

/* QUERY Statement20(AccountParams) RETURNS StatementRow */
static int
statement(stator_state *st, void *ctx, stator_error *err)
{
	stator_fields *key = stator_key(st, "sys.View", STATEMENT, err);
	stator_row args, key_row, row;
	stator_cursor *cursor;
	int64_t id = 0;
	int code;

	(void)ctx;
	stator_argument(st, &args);
	stator_row_int(&args, "Account", &id);
	if (key == NULL || stator_set_int(key, "Account", id, err))
		return err->code;
	code = stator_read(st, key, 1, STATEMENT_ROWS, &cursor, err);
	while (code == STATOR_OK) {
		code = stator_next(st, key, cursor, &key_row, &row, err);
		if (code == STATOR_OK)
			code = add_row(st, &key_row, &row, err);
	}
	return code == STATOR_NONE ? STATOR_OK : code;
}

static const stator_builtin builtins[] = {
	{"ledger.Open", open_account, NULL},
	{"ledger.Transfer", transfer, NULL},
	{"ledger.WriteStatement", write_statement, NULL},
	{"ledger.Balance", balance, NULL},
	{"ledger.Statement20", statement, NULL},
};
const stator_builtin *const ledger_builtins = builtins;
const size_t ledger_builtin_count = sizeof(builtins) / sizeof(*builtins);
