/*
 * storage.c: what reading through a plugin costs: `get` of plugins/counter,
 * linked in and trusted as the built-in storages are, loaded from its `.so`,
 * and in a process of its own.
 *
 *	storage IMAGE COUNTER.SO FOLDER JSON
 */
#include "bench.h"
#include "harness.h"

extern const stator_plugin bench_counter;

enum { WAYS = 3, GETS = 100000, FAR_GETS = 2000 };

typedef struct reader {
	stator_load_opts opts;
	harness h;
	stator_handles handles;
	stator_handle *handle;
	stator_arena arena;
	stator_row key;
	const stator_ext *ext;
} reader;

/* One number, as the counter keeps it, at the key of "visits". */
static void
fill(reader *r)
{
	static const char name[] = "visits";
	stator_partition *p = &r->h.app->partitions[0];
	stator_map *map = stator__map_new();
	stator_builder b;
	stator_error err;
	uint8_t key[5 + 8 + 6], value[8] = {7};

	key[0] = STATOR_SPACE_STORAGE;
	stator__be32_put(key + 1, stator__hash("bench", 5));
	stator__be64_put(key + 5, 1);
	memcpy(key + 13, name, 6);
	stator__map_write(map, stator__slice(key, sizeof(key)),
			  stator__slice(value, 8), STATOR_CHANGE_PUT);
	harness_must(p->ops->commit(p->store, map, &err) == 0, "commit",
		     err.msg);
	stator__map_free(map);
	harness_must(p->ops->refresh(r->h.worker->view.snapshot, &err) == 0,
		     "snapshot", err.msg);
	stator__build(&b, &r->arena, r->handle->use.key);
	stator__build_bytes(&b, 1, stator__slice(name, 6), &err);
	r->key = stator__build_done(&b);
}

static void
open_reader(reader *r, const char *image, const char *data, bool trusted)
{
	static const stator_limits limits = {.rows = UINT64_MAX,
					     .bytes_read = UINT64_MAX};
	stator_version *v = harness_load(&r->h, image, &r->opts);
	stator_error err;

	for (size_t i = 0; i < v->registry->plugin_count; i++)
		v->registry->plugins[i].source.trusted |= trusted;
	harness_start(&r->h, v, data);
	r->handles.def = v->def;
	r->handles.registry = v->registry;
	r->handles.instances = r->h.app->deployment->instances[0];
	harness_must(stator__handle(&r->handles, "bench.Counter", NULL, "bench",
				    &r->handle, &err) == 0,
		     "handle", err.msg);
	r->ext = harness_ext(&r->h, "bench.Get");
	r->h.worker->state.limits = &limits;
	fill(r);
}

static double
read_many(reader *r, int count)
{
	stator_state *st = &r->h.worker->state;
	int64_t began = stator__monotonic_ns();
	stator_error err;
	stator_row value;

	/* Runs of ten, as extensions are. */
	for (int i = 0; i < count; i += 10) {
		stator__state_begin(st, r->ext, 1);
		for (int k = 0; k < 10; k++)
			harness_must(stator__state_get(st, r->handle, &r->key,
						       &value,
						       &err) == STATOR_OK,
				     "get", err.msg);
		stator__state_end(st);
	}
	return (double)(stator__monotonic_ns() - began) / count;
}

static void
close_reader(reader *r)
{
	stator__handles_free(&r->handles);
	stator__arena_free(&r->arena);
	harness_close(&r->h);
}

int
main(int argc, char **argv)
{
	static reader readers[WAYS];
	bench_way ways[WAYS] = {{.name = "built in"},
				{.name = "from a .so"},
				{.name = "in a process of its own"}};
	const stator_plugin *linked = &bench_counter;
	const char *const *file;
	char path[4096], far[4096];
	FILE *json;

	harness_must(argc == 5, "usage",
		     "storage IMAGE COUNTER.SO FOLDER JSON");
	json = bench_json(argv[4]);
	file = (const char *const *)&argv[2];
	readers[0].opts.plugins = &linked;
	readers[0].opts.plugin_count = 1;
	for (int i = 1; i < WAYS; i++) {
		readers[i].opts.plugin_files = file;
		readers[i].opts.plugin_file_count = 1;
	}
	snprintf(far, sizeof(far), "%s/far", argv[3]);
	for (int i = 0; i < WAYS; i++) {
		snprintf(path, sizeof(path), "%s/data-%d", argv[3], i);
		open_reader(&readers[i], i == 2 ? far : argv[1], path, i == 0);
	}
	for (int round = 0; round < BENCH_ROUNDS; round++)
		for (int i = 0; i < WAYS; i++)
			ways[i].rounds[round] = read_many(
				&readers[i], i == 2 ? FAR_GETS : GETS);
	bench_print("get of a storage", ways, WAYS, json);
	for (int i = 0; i < WAYS; i++)
		close_reader(&readers[i]);
	return fclose(json) != 0;
}
