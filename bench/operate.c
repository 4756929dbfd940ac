/*
 * operate.c: what an operator pays: memory for a partition and for a Lua
 * state, time until a host that was killed serves again, and how long one
 * command takes among others while checkpoints are made.
 *
 *	operate IMAGE FOLDER JSON-FILE EVENTS COMMANDS [ROUNDS]
 *
 * EVENTS are in the log when the host is killed; COMMANDS are measured in each
 * round, in all. ROUNDS are those of memory and of recovery.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "harness.h"
#include "ledger.h"

enum { ROUNDS = 5, ACCOUNTS = 10000, IN_FLIGHT = 1000 };

static const char *folder;
static size_t rounds = ROUNDS;

static void
shell(char *line)
{
	if (system(line))
		ledger_die(line);
	free(line);
}

/* A process of its own does it, and answers with a number. */
static double
apart(double (*measure)(uint32_t n), uint32_t n)
{
	double answer = 0;
	int ends[2], status;
	pid_t pid;

	if (pipe(ends))
		ledger_die("pipe");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		answer = measure(n);
		_exit(write(ends[1], &answer, sizeof(answer)) !=
		      sizeof(answer));
	}
	close(ends[1]);
	if (read(ends[0], &answer, sizeof(answer)) != sizeof(answer))
		ledger_die("a process that measures has died");
	close(ends[0]);
	waitpid(pid, &status, 0);
	return answer;
}

/* Memory ----------------------------------------------------------------- */

static void
on_reply(void *ctx, const char *json, size_t size)
{
	(void)ctx;
	harness_must(memmem(json, size, "\"status\":200", 12) != NULL, "reply",
		     json);
}

/* A host with so many partitions, each of which has worked. */
static double
partitions_kb(uint32_t count)
{
	stator_deploy_opts deploy = STATOR_DEPLOY_OPTS_INIT;
	stator_host_opts opts = STATOR_HOST_OPTS_INIT;
	char request[256];
	stator_host *host;
	stator_error err;

	opts.log_level = STATOR_LOG_ERROR;
	deploy.partitions = count;
	shell(stator__format("rm -rf '%s/parts'", folder));
	char *data = stator__format("%s/parts", folder);
	harness_must(stator_host_open(&host, &opts, &err) == 0 &&
			     stator_host_deploy(host, ledger_image, data,
						&deploy, &err) == 0,
		     data, err.msg);
	for (uint32_t i = 0; i < 100 * count; i++)
		stator_host_submit(
			host, request,
			(size_t)snprintf(request, sizeof(request),
					 "{\"id\":1,\"wsid\":%u,\"command\":"
					 "\"ledger.Open\",\"args\":{\"Owner\":"
					 "\"owner\",\"Balance\":1}}",
					 i % count + 1),
			on_reply, NULL);
	stator_host_drain(host);
	return (double)bench_memory_kb();
}

/* So many workers of one partition: each has a Lua state of the package. */
static double
states_kb(uint32_t count)
{
	const stator_load_opts load = {.purpose = STATOR_TO_RUN};
	harness h;

	shell(stator__format("rm -rf '%s/states'", folder));
	char *data = stator__format("%s/states", folder);
	harness_open(&h, ledger_image, data, &load);
	for (uint32_t i = 1; i < count; i++)
		harness_worker(&h);
	return (double)bench_memory_kb();
}

static void
measure_memory(FILE *json)
{
	enum { MORE = 32 };
	bench_way ways[] = {
		{.name = "a process with a host and one partition"},
		{.name = "each partition more"},
		{.name = "each Lua state more"}};

	for (size_t r = 0; r < rounds; r++) {
		double one = apart(partitions_kb, 1);

		ways[0].rounds[r] = one;
		ways[1].rounds[r] =
			(apart(partitions_kb, 1 + MORE) - one) / MORE;
		ways[2].rounds[r] =
			(apart(states_kb, 1 + MORE) - apart(states_kb, 1)) /
			MORE;
	}
	bench_table("memory, anonymous", "KB", ways, STATOR_COUNT(ways), rounds,
		    json);
}

/* Recovery --------------------------------------------------------------- */

static double
fill_and_die(uint32_t events)
{
	char *path = stator__format("%s/killed", folder);
	void *ledger = ledger_log.open(path, ACCOUNTS);

	ledger_log.transfers(ledger, 0, events, IN_FLIGHT);
	return 0; /* and nothing is closed */
}

/* From nothing to a partition that is open, in ms. */
static double
open_ms(const char *image, const char *data)
{
	const stator_load_opts load = {.purpose = STATOR_TO_RUN};
	int64_t from = stator__monotonic_ns();
	int64_t took;
	harness h;

	harness_open(&h, image, data, &load);
	took = stator__monotonic_ns() - from;
	harness_close(&h);
	return (double)took / 1e6;
}

/* All bytes of the files in a folder, in ms. */
static double
read_ms(const char *path)
{
	static char bytes[1 << 20];
	int64_t from = stator__monotonic_ns();
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir)) != NULL) {
		char *name = stator__format("%s/%s", path, e->d_name);
		int fd = open(name, O_RDONLY);

		while (fd >= 0 && read(fd, bytes, sizeof(bytes)) > 0)
			continue;
		if (fd >= 0)
			close(fd);
		free(name);
	}
	if (dir == NULL)
		ledger_die(path);
	closedir(dir);
	return (double)(stator__monotonic_ns() - from) / 1e6;
}

static void
measure_recovery(uint32_t events, FILE *json)
{
	double million = 1e6 / (events + ACCOUNTS);
	bench_way ways[] = {{.name = "the log's bytes read, for 10^6 events"},
			    {.name = "what it adds to an open, for 10^6"},
			    {.name = "opened after kill -9"},
			    {.name = "opened with no data"}};
	char *killed = stator__format("%s/killed", folder);
	char *image = stator__format("%s/image", killed);
	char *copy = stator__format("%s/copy", folder);
	char *log = stator__format("%s/local.ledger/partition-0", copy);

	shell(stator__format("mkdir -p '%s'", killed));
	/* All of it stays in the log. */
	ledger_descriptor = ",\"log\":{\"memoryMB\":4096}";
	apart(fill_and_die, events);
	for (size_t r = 0; r < rounds; r++) {
		shell(stator__format("rm -rf '%s' && cp -r '%s/data' '%s'",
				     copy, killed, copy));
		ways[0].rounds[r] = read_ms(log) * million;
		ways[2].rounds[r] = open_ms(image, copy);
		shell(stator__format("rm -rf '%s'", copy));
		ways[3].rounds[r] = open_ms(image, copy);
		ways[1].rounds[r] =
			(ways[2].rounds[r] - ways[3].rounds[r]) * million;
	}
	bench_table("recovery", "ms", ways, STATOR_COUNT(ways), rounds, json);
	shell(stator__format("rm -rf '%s' '%s'", killed, copy));
	free(killed);
	free(image);
	free(copy);
	free(log);
}

/* Latency under load ------------------------------------------------------- */

enum { LOAD = 64 };

typedef struct load {
	stator_host *host;
	pthread_mutex_t lock;
	pthread_cond_t room;
	uint32_t under_way;
	uint64_t done;
	double *us; /* of each command, in the order of replies */
	size_t count;
} load;

/* One of the commands that are under way. */
typedef struct asked {
	load *l;
	int64_t at;
} asked;

static void
on_measured(void *ctx, const char *json, size_t size)
{
	asked *a = ctx;
	load *l = a->l;

	on_reply(NULL, json, size);
	pthread_mutex_lock(&l->lock);
	l->us[l->count++] = (double)(stator__monotonic_ns() - a->at) / 1e3;
	l->under_way--;
	pthread_cond_signal(&l->room);
	pthread_mutex_unlock(&l->lock);
	free(a);
}

static void
wait_until(load *l, uint32_t most)
{
	while (l->under_way > most)
		pthread_cond_wait(&l->room, &l->lock);
}

/* Whenever one is answered, another one is asked. */
static void
run_load(load *l, size_t commands)
{
	char request[256];

	l->count = 0;
	for (size_t i = 0; i < commands; i++) {
		ledger_transfer t = ledger_transfer_at(l->done++, ACCOUNTS);
		asked *a = malloc(sizeof(*a));

		pthread_mutex_lock(&l->lock);
		wait_until(l, LOAD - 1);
		l->under_way++;
		pthread_mutex_unlock(&l->lock);
		*a = (asked){l, stator__monotonic_ns()};
		stator_host_submit(
			l->host, request,
			(size_t)snprintf(request, sizeof(request),
					 "{\"id\":1,\"wsid\":1,\"command\":"
					 "\"ledger.Transfer\",\"args\":{"
					 "\"From\":%lld,\"To\":%lld,"
					 "\"Amount\":1}}",
					 (long long)t.from + 200001,
					 (long long)t.to + 200001),
			on_measured, a);
	}
	pthread_mutex_lock(&l->lock);
	wait_until(l, 0);
	pthread_mutex_unlock(&l->lock);
	qsort(l->us, l->count, sizeof(*l->us), bench_compare);
}

/* With so much memory for the log there is a checkpoint so often. */
static void
open_load(load *l, const char *name, const char *memory, size_t commands)
{
	char *path = stator__format("%s/%s", folder, name);

	shell(stator__format("mkdir -p '%s'", path));
	ledger_descriptor = memory;
	void *ledger = ledger_log.open(path, ACCOUNTS);
	ledger_log.close(ledger);

	char *image = stator__format("%s/image", path);
	char *data = stator__format("%s/data", path);
	stator_host_opts opts = STATOR_HOST_OPTS_INIT;
	stator_error err;

	opts.log_level = STATOR_LOG_ERROR;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->room, NULL);
	l->us = malloc(commands * sizeof(*l->us));
	harness_must(stator_host_open(&l->host, &opts, &err) == 0 &&
			     stator_host_deploy(l->host, image, data, NULL,
						&err) == 0,
		     path, err.msg);
	free(path);
	free(image);
	free(data);
}

static void
measure_latency(size_t commands, FILE *json)
{
	static const struct {
		const char *name, *memory, *title;
	} kinds[] = {
		{"often", ",\"log\":{\"memoryMB\":12}",
		 "one of 64 in flight, checkpoints all the time"},
		{"never", ",\"log\":{\"memoryMB\":4096}",
		 "one of 64 in flight, no checkpoint"},
	};
	static const char *const names[] = {"p50", "p99", "p99.9", "the most"};
	enum { KINDS = STATOR_COUNT(kinds), NAMES = STATOR_COUNT(names) };
	bench_way ways[KINDS][NAMES] = {{{.name = NULL}}};
	load loads[KINDS] = {{.host = NULL}};

	for (size_t k = 0; k < KINDS; k++) {
		open_load(&loads[k], kinds[k].name, kinds[k].memory, commands);
		run_load(&loads[k], commands / 4);
	}
	for (size_t r = 0; r < BENCH_ROUNDS; r++)
		for (size_t k = 0; k < KINDS; k++) {
			load *l = &loads[k];

			run_load(l, commands);
			ways[k][0].rounds[r] = l->us[l->count / 2];
			ways[k][1].rounds[r] = l->us[l->count * 99 / 100];
			ways[k][2].rounds[r] = l->us[l->count * 999 / 1000];
			ways[k][3].rounds[r] = l->us[l->count - 1];
		}
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < NAMES; i++)
			ways[k][i].name = names[i];
		bench_table(kinds[k].title, "us", ways[k], NAMES, BENCH_ROUNDS,
			    json);
		stator_host_close(loads[k].host);
		free(loads[k].us);
	}
}

int
main(int argc, char **argv)
{
	FILE *json;

	if (argc < 6)
		return 2;
	ledger_image = argv[1];
	folder = argv[2];
	json = bench_json(argv[3]);
	if (argc > 6 && atoi(argv[6]) > 0 && atoi(argv[6]) <= BENCH_ROUNDS)
		rounds = (size_t)atoi(argv[6]);
	measure_memory(json);
	measure_recovery((uint32_t)atol(argv[4]), json);
	measure_latency(strtoull(argv[5], NULL, 10), json);
	return fclose(json) != 0;
}
