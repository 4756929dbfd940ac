/*
 * handlers.c: what a run costs inside of a worker: of nothing, of a handler
 * that reads four fields and puts four, of one that reads a text of 500 bytes,
 * of one that adds up ten nested rows. Each in Lua and in C, beside the same
 * without an engine, on the state itself, and beside a bare lua_pcall of an
 * empty function. All of it in turns, on one thread; nothing is subtracted.
 *
 *	handlers IMAGE FOLDER JSON
 */
#include <lauxlib.h>
#include <lualib.h>

#include "base/json.h"
#include "bench.h"
#include "harness.h"

enum { RUNS = 20000, GROUP = 100, ITEMS = 10 };

typedef struct bench {
	harness h;
	lua_State *lua; /* a plain one, with an empty function on its stack */
	stator_handles handles;
	stator_handle *sums, *texts;
	uint32_t year, month; /* fields of the keys */
	uint32_t value[4], text, items, quantity, price;
	stator_map *map; /* what is written, as behind a group of commands */
	stator_arena arena;
	stator_row order; /* an argument */
} bench;

/* Extensions in C -------------------------------------------------------- */

static const char *const names[] = {"A", "B", "C", "D"};

static stator_fields *
view_key(stator_state *st, const char *entity, int64_t month,
	 stator_error *err)
{
	stator_fields *key = stator_key(st, "sys.View", entity, err);

	if (key && (stator_set_int(key, "Year", 2026, err) ||
		    stator_set_int(key, "Month", month, err)))
		return NULL;
	return key;
}

static int
empty_in_c(stator_state *st, void *ctx, stator_error *err)
{
	(void)st;
	(void)ctx;
	(void)err;
	return STATOR_OK;
}

static int
handle_in_c(stator_state *st, void *ctx, stator_error *err)
{
	stator_fields *key = view_key(st, "bench.SumsOfC", 5, err), *values;
	stator_row seen;
	int code;

	(void)ctx;
	if (key == NULL)
		return err->code;
	code = stator_get(st, key, &seen, err);
	if (code < 0)
		return code;
	key = view_key(st, "bench.SumsOfC", 6, err);
	values = key ? stator_new(st, key, err) : NULL;
	if (values == NULL)
		return err->code;
	for (int i = 0; i < 4; i++) {
		int64_t n = 0;

		if (code == STATOR_OK)
			stator_row_int(&seen, names[i], &n);
		if (stator_set_int(values, names[i], n + 1, err))
			return err->code;
	}
	return STATOR_OK;
}

static int
text_in_c(stator_state *st, void *ctx, stator_error *err)
{
	stator_fields *key = view_key(st, "bench.Texts", 5, err);
	stator_slice text = {0};
	stator_row seen;

	(void)ctx;
	if (key == NULL || stator_get(st, key, &seen, err) != STATOR_OK)
		return STATOR_NOT_EXISTS;
	stator_row_bytes(&seen, "Text", &text);
	return text.size == 500 ? STATOR_OK : STATOR_EXTENSION_FAILED;
}

static int
nested_in_c(stator_state *st, void *ctx, stator_error *err)
{
	stator_row order, item;
	int64_t total = 0, n, price;
	uint32_t count;

	(void)ctx;
	(void)err;
	stator_argument(st, &order);
	count = stator_row_count(&order, "Items");
	for (uint32_t i = 0; i < count; i++) {
		stator_row_child(st, &order, "Items", i, &item);
		stator_row_int(&item, "Quantity", &n);
		stator_row_int(&item, "SinglePrice", &price);
		total += n * price;
	}
	return total == 550 ? STATOR_OK : STATOR_EXTENSION_FAILED;
}

static const stator_builtin builtins[] = {
	{"bench.EmptyInC", empty_in_c, NULL},
	{"bench.HandleInC", handle_in_c, NULL},
	{"bench.TextInC", text_in_c, NULL},
	{"bench.NestedInC", nested_in_c, NULL},
};

/* Runs ------------------------------------------------------------------- */

/* What the intents of the run ask for goes into the map. */
static void
apply(bench *b)
{
	stator_state *st = &b->h.worker->state;
	stator_error err;

	st->io.writes = b->map;
	harness_must(stator__state_validate(st, &err) == 0, "validate",
		     err.msg);
	harness_must(stator__state_apply(st, &err) == 0, "apply", err.msg);
	st->io.writes = NULL;
}

static void
run_engine(bench *b, const stator_ext *ext)
{
	stator_worker *w = b->h.worker;
	stator_error err;

	stator__state_begin(&w->state, ext, 1);
	w->state.io.run.now_ms = 1;
	if (ext->arg)
		w->state.io.argument = b->order;
	harness_must(stator__worker_run(w, ext, &err) == 0, ext->name,
		     err.msg);
	if (w->state.wish_count)
		apply(b);
	stator__worker_end(w);
}

static void
bare_pcall(bench *b, const stator_ext *ext)
{
	(void)ext;
	lua_pushvalue(b->lua, -1);
	if (lua_pcall(b->lua, 0, 0, 0))
		exit(1);
}

static stator_row
own_key(bench *b, const stator_handle *h, int64_t month)
{
	stator_builder k;

	stator__build(&k, &b->h.worker->state.arena, h->use.key);
	stator__build_int(&k, b->year, 2026, NULL);
	stator__build_int(&k, b->month, month, NULL);
	return stator__build_done(&k);
}

/* The same as the handler, on the state itself. */
static void
own_handle(bench *b, const stator_ext *ext)
{
	stator_state *st = &b->h.worker->state;
	stator_row key, seen, value;
	stator_builder v;
	stator_error err;
	uint32_t intent;
	int code;

	stator__state_begin(st, ext, 1);
	key = own_key(b, b->sums, 5);
	code = stator__state_get(st, b->sums, &key, &seen, &err);
	harness_must(code >= 0, "get", err.msg);
	key = own_key(b, b->sums, 6);
	harness_must(stator__state_intent(st, b->sums, &key, NULL, &intent,
					  &err) == 0,
		     "intent", err.msg);
	stator__build(&v, &st->arena, stator__state_value_type(st, b->sums));
	for (int i = 0; i < 4; i++) {
		int64_t n = 0;

		if (code == STATOR_OK)
			stator__row_int(&seen, b->value[i], &n);
		stator__build_int(&v, b->value[i], n + 1, NULL);
	}
	value = stator__build_done(&v);
	harness_must(stator__state_fill(st, intent, &value, &err) == 0, "fill",
		     err.msg);
	apply(b);
	stator__worker_end(b->h.worker);
}

static void
own_text(bench *b, const stator_ext *ext)
{
	stator_state *st = &b->h.worker->state;
	stator_slice text = {0};
	stator_row key, row;
	stator_error err;

	stator__state_begin(st, ext, 1);
	key = own_key(b, b->texts, 5);
	harness_must(stator__state_get(st, b->texts, &key, &row, &err) == 0,
		     "get", err.msg);
	stator__row_bytes(&row, b->text, &text);
	harness_must(text.size == 500, "text", "another one");
	stator__worker_end(b->h.worker);
}

static void
own_nested(bench *b, const stator_ext *ext)
{
	stator_state *st = &b->h.worker->state;
	int64_t total = 0, n = 0, price = 0;
	uint32_t count;
	stator_row item;

	stator__state_begin(st, ext, 1);
	st->io.argument = b->order;
	count = stator__row_count(&st->io.argument, b->items);
	for (uint32_t i = 0; i < count; i++) {
		stator__row_child(b->h.def, &st->io.argument, b->items, i,
				  &item);
		stator__row_int(&item, b->quantity, &n);
		stator__row_int(&item, b->price, &price);
		total += n * price;
	}
	harness_must(total == 550, "nested", "another total");
	stator__worker_end(b->h.worker);
}

/* Measuring -------------------------------------------------------------- */

typedef struct way {
	const char *title, *name, *ext;
	void (*run)(bench *b, const stator_ext *ext);
} way;

static const way ways[] = {
	{"an empty run", "bare lua_pcall", "bench.Empty", bare_pcall},
	{"an empty run", "builtin engine", "bench.EmptyInC", run_engine},
	{"an empty run", "Lua engine", "bench.Empty", run_engine},
	{"key, get, intent, put: 4 fields each", "no engine: the state itself",
	 "bench.Handle", own_handle},
	{"key, get, intent, put: 4 fields each", "builtin engine",
	 "bench.HandleInC", run_engine},
	{"key, get, intent, put: 4 fields each", "Lua engine", "bench.Handle",
	 run_engine},
	{"a text of 500 bytes read", "no engine: the state itself",
	 "bench.Text", own_text},
	{"a text of 500 bytes read", "builtin engine", "bench.TextInC",
	 run_engine},
	{"a text of 500 bytes read", "Lua engine", "bench.Text", run_engine},
	{"10 nested rows added up", "no engine: the state itself",
	 "bench.Nested", own_nested},
	{"10 nested rows added up", "builtin engine", "bench.NestedInC",
	 run_engine},
	{"10 nested rows added up", "Lua engine", "bench.Nested", run_engine},
};
enum { WAYS = STATOR_COUNT(ways), IN_TABLE = 3 };

static double
run_many(bench *b, const way *w)
{
	const stator_ext *ext = harness_ext(&b->h, w->ext);
	int64_t began = stator__monotonic_ns();

	for (int i = 0; i < RUNS; i++) {
		w->run(b, ext);
		if (i % GROUP == GROUP - 1)
			stator__map_clear(b->map);
	}
	return (double)(stator__monotonic_ns() - began) / RUNS;
}

/* The bare call and the three ways of a thing; then what is between them. */
static void
print_tables(bench_way *measured, FILE *json)
{
	for (size_t i = 0; i < WAYS; i += IN_TABLE) {
		bench_way table[IN_TABLE + 1], above[2];
		size_t count = 0;

		above[0] = measured[i];
		above[1].name = "Lua engine, above the state itself";
		for (size_t r = 0; r < BENCH_ROUNDS; r++)
			above[1].rounds[r] = measured[i + 2].rounds[r] -
					     measured[i].rounds[r];
		if (i)
			table[count++] = measured[0];
		for (size_t k = 0; k < IN_TABLE; k++)
			table[count++] = measured[i + k];
		bench_print(ways[i].title, table, count, json);
		if (i)
			bench_print(ways[i].title, above, 2, json);
	}
}

static void
measure(bench *b, FILE *json)
{
	bench_way measured[WAYS] = {{.name = NULL}};

	for (size_t i = 0; i < WAYS; i++) {
		measured[i].name = ways[i].name;
		run_many(b, &ways[i]);
	}
	for (size_t r = 0; r < BENCH_ROUNDS; r++)
		for (size_t i = 0; i < WAYS; i++)
			measured[i].rounds[r] = run_many(b, &ways[i]);
	print_tables(measured, json);
}

/* Getting ready ---------------------------------------------------------- */

static uint32_t
field(const stator_type *type, const char *name)
{
	int at = stator__type_find(type, name, strlen(name));

	harness_must(at >= 0, name, "no such field");
	return (uint32_t)at;
}

static stator_handle *
view_of(bench *b, const char *entity)
{
	stator_handle *handle;
	stator_error err;

	harness_must(stator__handle(&b->handles, "sys.View", entity, "bench",
				    &handle, &err) == 0,
		     entity, err.msg);
	return handle;
}

static void
make_order(bench *b)
{
	const stator_type *type =
		stator__def_type_named(b->h.def, "bench.Order");
	const stator_path path = {.name = "args"};
	int64_t next_raw_id = 1;
	const stator_json_opts opts = {.next_raw_id = &next_raw_id};
	char text[1024] = "{\"Items\":[";
	const stator_type *items;
	stator_json *json;
	stator_error err;

	for (int i = 1; i <= ITEMS; i++)
		sprintf(text + strlen(text),
			"%s{\"Quantity\":%d,\"SinglePrice\":10}",
			i == 1 ? "" : ",", i);
	strcat(text, "]}");
	harness_must(stator__json_parse(&b->arena, text, strlen(text), &json,
					&err) == 0 &&
			     stator__row_from_json(&b->arena, type, json, &path,
						   &opts, &b->order,
						   &err) == 0,
		     "order", err.msg);
	b->items = field(type, "Items");
	items = stator__def_type_named(b->h.def, "bench.OrderItems");
	b->quantity = field(items, "Quantity");
	b->price = field(items, "SinglePrice");
}

/* A row for each key that is read, in the store. */
static void
fill(bench *b)
{
	stator_partition *p = &b->h.app->partitions[0];
	stator_row key, value;
	stator_builder v;
	stator_error err;
	uint32_t intent;
	stator_state *st = &b->h.worker->state;

	run_engine(b, harness_ext(&b->h, "bench.WriteTexts"));
	for (int c = 0; c < 2; c++) {
		stator_handle *h =
			c ? view_of(b, "bench.SumsOfC") : b->sums;

		stator__state_begin(st,
				    harness_ext(&b->h, c ? "bench.HandleInC"
							 : "bench.Handle"),
				    1);
		key = own_key(b, h, 5);
		stator__state_intent(st, h, &key, NULL, &intent, &err);
		stator__build(&v, &st->arena, stator__state_value_type(st, h));
		for (int i = 0; i < 4; i++)
			stator__build_int(&v, b->value[i], 7, NULL);
		value = stator__build_done(&v);
		stator__state_fill(st, intent, &value, &err);
		apply(b);
		stator__worker_end(b->h.worker);
	}
	harness_must(p->ops->commit(p->store, b->map, &err) == 0 &&
			     p->ops->refresh(b->h.worker->view.snapshot,
					     &err) == 0,
		     "commit", err.msg);
	stator__map_clear(b->map);
}

static void
prepare(bench *b)
{
	static const stator_limits limits = {.rows = UINT64_MAX,
					     .bytes_read = UINT64_MAX,
					     .intents = 1000};
	const stator_type *value;

	b->lua = luaL_newstate();
	luaL_openlibs(b->lua);
	harness_must(luaL_dostring(b->lua, "return function() end") == 0, "Lua",
		     "no function");
	b->handles.def = b->h.def;
	b->handles.registry = b->h.app->deployment->version->registry;
	b->handles.instances = b->h.app->deployment->instances[0];
	b->sums = view_of(b, "bench.Sums");
	b->texts = view_of(b, "bench.Texts");
	b->year = field(b->sums->use.key, "Year");
	b->month = field(b->sums->use.key, "Month");
	value = b->sums->use.value;
	for (int i = 0; i < 4; i++)
		b->value[i] = field(value, names[i]);
	b->text = field(b->texts->use.value, "Text");
	b->map = stator__map_new();
	b->h.worker->view.over = b->map;
	b->h.worker->state.limits = &limits;
	make_order(b);
	fill(b);
}

int
main(int argc, char **argv)
{
	const stator_load_opts load = {.purpose = STATOR_TO_RUN,
				       .builtins = builtins,
				       .builtin_count = STATOR_COUNT(builtins)};
	bench b = {.map = NULL};
	FILE *json;

	harness_must(argc == 4, "usage", "handlers IMAGE FOLDER JSON");
	json = bench_json(argv[3]);
	harness_open(&b.h, argv[1], argv[2], &load);
	prepare(&b);
	measure(&b, json);
	stator__handles_free(&b.handles);
	stator__map_free(b.map);
	stator__arena_free(&b.arena);
	lua_close(b.lua);
	b.h.worker->view.over = NULL;
	harness_close(&b.h);
	return fclose(json) != 0;
}
