/*
 * store.c: what commits cost below the extensions: the batches of a ledger,
 * put into each kind of store, beside the bare write and sync of their bytes.
 *
 *	build/bench/store FOLDER [TRANSFERS [BATCH [ROUNDS [OVERLAY_MB]]]]
 *
 * A transfer reads and updates two of 100,000 accounts, appends an event and
 * its place in the WLog, and adds a row to a view for each account, as the
 * processor does: through the map of a group, over the newest snapshot.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "store/file.h"
#include "store/store.h"

enum { ACCOUNTS = 100000, EVENT = 150, ROW = 36, RECORD = 44 };

typedef struct bench {
	const char *name;
	const stator_store_ops *ops;
	stator_store *store;
	stator_snapshot *snapshot;
	stator_map *map;
	stator_arena arena;
	uint64_t events, random;
	/* Measured. */
	int64_t *commits; /* ns of each */
	size_t commit_count;
	double wall, thread, process;
	long memory; /* MB, at the end */
} bench;

static double
seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
check(int code, const stator_error *err)
{
	if (code >= 0)
		return;
	fprintf(stderr, "bench-store: %s\n", err->msg);
	exit(1);
}

static uint64_t
draw(bench *b, uint64_t below)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random % below;
}

static stator_slice
key(uint8_t *p, const char *space, uint64_t a, uint64_t b, int numbers)
{
	size_t size = strlen(space);

	memcpy(p, space, size);
	for (int i = 0; i < numbers; i++, size += 8)
		stator__be64_put(p + size, i == 0 ? 1 : i == 1 ? a : b);
	return stator__slice(p, size);
}

static void
put(bench *b, stator_slice k, uint64_t number, size_t size)
{
	uint8_t value[256];

	memset(value, (int)(number & 63) + 32, sizeof(value));
	stator__be64_put(value, number);
	stator__map_write(b->map, k, stator__slice(value, size),
			  STATOR_CHANGE_PUT);
}

static void
change_balance(bench *b, uint64_t account, uint64_t amount)
{
	const stator_view view = {b->ops, b->snapshot, b->map};
	stator_slice k, value;
	uint8_t bytes[64];
	stator_error err;
	uint64_t balance = 0;
	int code;

	k = key(bytes, "sSYS1R", account, 0, 2);
	code = stator__view_get(&view, &b->arena, k, &value, &err);
	check(code, &err);
	if (code == STATOR_OK)
		balance = stator__be64(value.data);
	put(b, k, balance + amount, RECORD);
	put(b, key(bytes, "sSYS1Vrows", account, b->events, 3), amount, ROW);
}

static void
transfer(bench *b)
{
	uint8_t bytes[64];
	stator_slice k = stator__slice(bytes, 9);

	b->events++;
	bytes[0] = 'e';
	stator__be64_put(bytes + 1, b->events);
	put(b, k, b->events, EVENT);
	put(b, key(bytes, "w", b->events, 0, 2), b->events, 8);
	put(b, key(bytes, "q", 0, 0, 1), b->events, 16);
	put(b, stator__cslice("mplog"), b->events, 8);
	stator__map_mark(b->map);
	change_balance(b, 200001 + draw(b, ACCOUNTS), draw(b, 500));
	change_balance(b, 200001 + draw(b, ACCOUNTS), draw(b, 500));
}

static void
commit(bench *b)
{
	int64_t start = stator__monotonic_ns();
	stator_error err;

	check(b->ops->commit(b->store, b->map, &err), &err);
	check(b->ops->refresh(b->snapshot, &err), &err);
	stator__map_clear(b->map);
	stator__arena_reset(&b->arena);
	b->commits[b->commit_count++] = stator__monotonic_ns() - start;
}

static void
fill(bench *b)
{
	uint8_t bytes[64];

	for (uint64_t i = 0; i < ACCOUNTS; i++) {
		put(b, key(bytes, "sSYS1R", 200001 + i, 0, 2), 0, RECORD);
		if (i % 10000 == 9999)
			commit(b);
	}
	b->commit_count = 0;
}

static void
run_store(bench *b, const char *path, size_t transfers, size_t batch,
	  size_t overlay)
{
	const stator_store_opts opts = {.overlay_bytes = overlay};
	stator_error err;
	double start, thread, process;

	check(b->ops->open(&b->store, path, &opts, &err), &err);
	check(b->ops->newest(b->store, &b->snapshot, &err), &err);
	b->map = stator__map_new();
	b->random = 88172645463325252u;
	b->commits = stator__alloc((transfers / batch + 100) * 8);
	fill(b);
	start = seconds(CLOCK_MONOTONIC);
	thread = seconds(CLOCK_THREAD_CPUTIME_ID);
	process = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < transfers; i++) {
		transfer(b);
		if ((i + 1) % batch == 0)
			commit(b);
	}
	b->wall = seconds(CLOCK_MONOTONIC) - start;
	b->thread = seconds(CLOCK_THREAD_CPUTIME_ID) - thread;
	b->process = seconds(CLOCK_PROCESS_CPUTIME_ID) - process;
	b->memory = bench_memory_kb() >> 10;
	b->ops->snapshot_end(b->snapshot);
	b->ops->close(b->store);
	stator__map_free(b->map);
	stator__arena_free(&b->arena);
}

/* The bytes of a transfer in the log: the floor writes as many. */
enum { LOGGED = EVENT + 8 + 2 * (ROW + RECORD) + 9 + 17 + 2 * (22 + 34) + 12 };

static void
run_floor(bench *b, const char *path, size_t transfers, size_t batch)
{
	size_t size = LOGGED * batch + 60, room = 64 << 20, at = 0;
	char *file = stator__format("%s.floor", path);
	char *bytes = stator__alloc(size);
	double start;
	int fd = open(file, O_RDWR | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || stator__files.allocate(NULL, fd, room))
		exit(1);
	memset(bytes, 7, size);
	b->commits = stator__alloc((transfers / batch + 100) * 8);
	start = seconds(CLOCK_MONOTONIC);
	for (size_t i = 0; i < transfers / batch; i++) {
		int64_t begun = stator__monotonic_ns();

		if (at + size > room)
			at = 0;
		if (pwrite(fd, bytes, size, (off_t)at) != (ssize_t)size ||
		    fdatasync(fd))
			exit(1);
		at += size;
		b->commits[b->commit_count++] =
			stator__monotonic_ns() - begun;
	}
	b->wall = seconds(CLOCK_MONOTONIC) - start;
	close(fd);
	unlink(file);
	free(file);
	free(bytes);
}

static int
compare(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static double
quantile(bench *b, double q)
{
	return (double)b->commits[(size_t)((double)(b->commit_count - 1) * q)] /
	       1e3;
}

static void
report(bench *b, size_t transfers)
{
	double n = (double)transfers;

	qsort(b->commits, b->commit_count, sizeof(*b->commits), compare);
	printf("%-6s %9zu  %9.0f/s  thread %5.2f us  process %5.2f us  "
	       "commit p50 %7.0f p90 %7.0f p99 %7.0f p99.9 %7.0f max %8.0f us  "
	       "%ld MB\n",
	       b->name, transfers, n / b->wall, b->thread / n * 1e6,
	       b->process / n * 1e6, quantile(b, 0.5), quantile(b, 0.9),
	       quantile(b, 0.99), quantile(b, 0.999), quantile(b, 1),
	       b->memory);
	fflush(stdout);
	free(b->commits);
}

static size_t
number(int argc, char **argv, int i, size_t usual)
{
	return argc > i ? (size_t)strtoull(argv[i], NULL, 10) : usual;
}

int
main(int argc, char **argv)
{
	size_t transfers = number(argc, argv, 2, 1000000);
	size_t batch = number(argc, argv, 3, 1000);
	size_t rounds = number(argc, argv, 4, 3);
	size_t overlay = number(argc, argv, 5, 0) << 20;
	/* The slow one does a part of the work. */
	size_t less = transfers / 20 > batch ? transfers / 20 / batch * batch
					     : batch;

	if (argc < 2)
		return 2;
	for (size_t i = 0; i < rounds; i++) {
		bench log = {.name = "log", .ops = &stator__store_log};
		bench lmdb = {.name = "lmdb", .ops = &stator__store_lmdb};
		bench floor = {.name = "floor"};
		char *path = stator__format("%s/%zu", argv[1], i);
		char *tree = stator__format("%s-lmdb", path);

		mkdir(argv[1], 0755);
		run_floor(&floor, path, transfers, batch);
		report(&floor, transfers);
		run_store(&log, path, transfers, batch, overlay);
		report(&log, transfers);
		run_store(&lmdb, tree, less, batch, 0);
		report(&lmdb, less);
		free(path);
		free(tree);
	}
	return 0;
}
