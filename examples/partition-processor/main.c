/*
 * A partition processor: a program of one's own around Stator.
 *
 *	partition-processor IMAGE DATA < requests.jsonl > replies.jsonl
 *
 * It reads requests, one JSON object a line, and writes the replies in their
 * order. Each partition has a thread of this program, which runs its commands;
 * the host hands each request to the partition of its workspace. One storage
 * and one extension of the image are C functions in here. At the end of the input
 * everything is answered, all threads end, and metrics go to stderr.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATOR_STATIC_PLUGIN
#include "stator.h"

enum { PARTITIONS = 2 };

static void
check(int code, const stator_error *err)
{
	if (code == STATOR_OK)
		return;
	fprintf(stderr, "%s: %s\n", stator_status_name(code), err->msg);
	exit(1);
}

/* COMMAND Leave(LeaveParams): in C ---------------------------------------- */

static int
leave(stator_state *state, void *ctx, stator_error *err)
{
	stator_fields *key = stator_key(state, "sys.Record", "parking.Ticket",
					err);
	stator_fields *change;
	stator_row args, ticket;
	int64_t id, gone = 0;
	int code;

	(void)ctx;
	stator_argument(state, &args);
	stator_row_int(&args, "Ticket", &id);
	if (key == NULL || stator_set_int(key, "ID", id, err))
		return err->code;
	code = stator_get(state, key, &ticket, err);
	if (code < 0)
		return code;
	if (code == STATOR_OK)
		stator_row_int(&ticket, "Gone", &gone);
	if (code == STATOR_NONE || gone)
		return stator_fail(err, STATOR_NOT_EXISTS,
				   "no car with ticket %lld is here",
				   (long long)id);
	change = stator_update(state, key, &ticket, err);
	return change ? stator_set_int(change, "Gone", 1, err) : err->code;
}

/* STORAGE Tariff: what an hour costs in a zone ------------------------------ */

static const stator_host_api *api;

static int32_t
get_tariff(void *self, const stator_run *run, const stator_use *use,
	   const stator_row *key, stator_row *value, stator_error *err)
{
	static const int64_t cents[] = {250, 180, 90}; /* zones 1 to 3 */
	enum { KEY_ZONE = 1 }; /* 0 is WSID */
	struct stator_builder *row;
	int64_t zone;

	(void)self;
	api->row_int(key, KEY_ZONE, &zone);
	if (zone < 1 || zone > 3)
		return STATOR_NONE;
	row = api->row_begin(run, use->value);
	if (api->put_int(row, 0, cents[zone - 1], err))
		return err->code;
	return api->row_end(row, value, err);
}

static int32_t
init(const stator_host_api *host, const stator_row *configs, void **plugin,
     stator_error *err)
{
	(void)configs;
	(void)err;
	api = host;
	*plugin = NULL;
	return STATOR_OK;
}

static const stator_field_desc tariff_key[] = {
	{.name = "Zone", .kind = STATOR_INT32, .required = 1}};
static const stator_field_desc tariff_value[] = {
	{.name = "CentsPerHour", .kind = STATOR_INT64, .required = 1}};
static const stator_storage tariff = {
	.abi = STATOR_ABI,
	.size = sizeof(tariff),
	.name = "Tariff",
	.help = "what an hour costs",
	.scopes = {[STATOR_GET] = STATOR_EVERYONE},
	.key_fields = tariff_key,
	.key_field_count = 1,
	.value_fields = tariff_value,
	.value_field_count = 1,
	.get = get_tariff,
};
static const stator_storage *const storages[] = {&tariff};
static const stator_plugin tariffs = {
	.abi = STATOR_ABI,
	.size = sizeof(tariffs),
	.name = "tariffs",
	.version = "1",
	.description = "prices of garages",
	.flags = STATOR_CONCURRENT,
	.storages = storages,
	.storage_count = 1,
	.init = init,
};

/* Replies, in the order of the requests ------------------------------------- */

typedef struct answer {
	char *json; /* NULL: it has not come yet */
	struct answer *next;
} answer;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	answer *first, **last;
	int ended; /* the input is */
} replies = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL,
	     &replies.first, 0};

/* On a thread that runs a partition, or of a query: no time is lost here. */
static void
on_reply(void *ctx, const char *json, size_t size)
{
	char *copy = strndup(json, size);

	pthread_mutex_lock(&replies.lock);
	((answer *)ctx)->json = copy;
	pthread_cond_signal(&replies.changed);
	pthread_mutex_unlock(&replies.lock);
}

static answer *
expect_reply(void)
{
	answer *a = calloc(1, sizeof(*a));

	pthread_mutex_lock(&replies.lock);
	*replies.last = a;
	replies.last = &a->next;
	pthread_mutex_unlock(&replies.lock);
	return a;
}

/* The next one that is written; NULL: that was the last. */
static answer *
next_reply(void)
{
	answer *a;

	pthread_mutex_lock(&replies.lock);
	while (replies.first ? replies.first->json == NULL : !replies.ended)
		pthread_cond_wait(&replies.changed, &replies.lock);
	a = replies.first;
	if (a && (replies.first = a->next) == NULL)
		replies.last = &replies.first;
	pthread_mutex_unlock(&replies.lock);
	return a;
}

static void *
write_replies(void *ctx)
{
	answer *a;

	while ((a = next_reply()) != NULL) {
		puts(a->json);
		free(a->json);
		free(a);
	}
	return ctx;
}

/* Threads -------------------------------------------------------------------- */

typedef struct runner {
	stator_host *host;
	uint32_t partition;
	pthread_t thread;
} runner;

static void *
run_partition(void *ctx)
{
	runner *r = ctx;
	stator_error err;
	int code;

	while ((code = stator_host_run_partition(r->host, NULL, r->partition,
						 -1, NULL, &err)) == STATOR_OK)
		;
	check(code == STATOR_NONE ? STATOR_OK : code, &err);
	return NULL;
}

static void
on_metrics(void *ctx, const char *json, size_t size)
{
	(void)ctx;
	fprintf(stderr, "%.*s\n", (int)size, json);
}

int
main(int argc, char **argv)
{
	static const stator_builtin builtins[] = {
		{"parking.Leave", leave, NULL}};
	static const stator_plugin *const plugins[] = {&tariffs};
	stator_host_opts opts = STATOR_HOST_OPTS_INIT;
	stator_deploy_opts deploy = STATOR_DEPLOY_OPTS_INIT;
	runner runners[PARTITIONS];
	pthread_t writer;
	stator_host *host;
	stator_error err;
	char *line = NULL;
	size_t cap = 0;
	ssize_t size;

	if (argc != 3) {
		fputs("usage: partition-processor IMAGE DATA\n", stderr);
		return 2;
	}
	opts.builtins = builtins;
	opts.builtin_count = 1;
	opts.plugins = plugins;
	opts.plugin_count = 1;
	opts.threads = STATOR_THREADS_OWN;
	opts.log_level = 2;
	deploy.partitions = PARTITIONS;
	check(stator_host_open(&host, &opts, &err), &err);
	check(stator_host_deploy(host, argv[1], argv[2], &deploy, &err), &err);

	for (uint32_t i = 0; i < PARTITIONS; i++) {
		runners[i] = (runner){host, i, 0};
		pthread_create(&runners[i].thread, NULL, run_partition,
			       &runners[i]);
	}
	pthread_create(&writer, NULL, write_replies, NULL);
	while ((size = getline(&line, &cap, stdin)) > 0)
		stator_host_submit(host, line, (size_t)size, on_reply,
				   expect_reply());
	free(line);

	stator_host_drain(host); /* asynchronous projectors have caught up */
	stator_host_stop(host);	 /* run_partition gets NONE */
	for (uint32_t i = 0; i < PARTITIONS; i++)
		pthread_join(runners[i].thread, NULL);
	pthread_mutex_lock(&replies.lock);
	replies.ended = 1;
	pthread_cond_signal(&replies.changed);
	pthread_mutex_unlock(&replies.lock);
	pthread_join(writer, NULL);
	stator_host_metrics(host, on_metrics, NULL);
	stator_host_close(host);
	return 0;
}
