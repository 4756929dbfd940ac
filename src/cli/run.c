/*
 * run.c: `stator run`: requests from stdin to replies on stdout, in the order
 * of the requests.
 *
 * Replies come back from several threads. Each request has a place in a ring;
 * a thread writes what is ready from the front of it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/drain.h"
#include "cli/input.h"
#include "cli/watch.h"

enum { RING = 16384, PROGRESS_EVERY = 1 << 14 };

typedef struct place {
	struct ring *ring;
	char *text; /* the reply; NULL while there is none */
	size_t size;
} place;

typedef struct ring {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	input *input;
	place places[RING];
	uint64_t head; /* next to be written */
	uint64_t tail; /* next to be given away */
	bool ended;    /* no more requests */
	bool waiting;  /* the writer waits for the front */
	int broken;    /* why stdout cannot be written; 0: it can */
} ring;

static void
on_reply(void *ctx, const char *json, size_t size)
{
	place *p = ctx;
	ring *r = p->ring;
	char *text = malloc(size + 1);

	if (text == NULL)
		abort();
	memcpy(text, json, size);
	text[size] = '\n';
	pthread_mutex_lock(&r->lock);
	p->text = text;
	p->size = size + 1;
	if (r->waiting && p == &r->places[r->head % RING])
		pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
}

/* Replies that nobody gets: no more requests are read. */
static void
note_broken(ring *r)
{
	if (r->broken)
		return;
	r->broken = errno ? errno : EIO;
	input_close(r->input);
}

static void
flush(ring *r)
{
	if (fflush(stdout))
		note_broken(r);
}

/* Waits for the front of the ring; false at the end. */
static bool
take_front(ring *r, place *out)
{
	place *front;

	pthread_mutex_lock(&r->lock);
	front = &r->places[r->head % RING];
	if (front->text == NULL || r->head == r->tail) {
		/* Nothing more for now: let the reader see what there is. */
		pthread_mutex_unlock(&r->lock);
		flush(r);
		pthread_mutex_lock(&r->lock);
	}
	while (front->text == NULL && !(r->ended && r->head == r->tail)) {
		r->waiting = true;
		pthread_cond_wait(&r->changed, &r->lock);
	}
	r->waiting = false;
	*out = *front;
	if (front->text) {
		front->text = NULL;
		r->head++;
		pthread_cond_broadcast(&r->changed);
	}
	pthread_mutex_unlock(&r->lock);
	return out->text != NULL;
}

static void *
write_replies(void *ctx)
{
	ring *r = ctx;
	place p;

	while (take_front(r, &p)) {
		if (fwrite(p.text, 1, p.size, stdout) != p.size)
			note_broken(r);
		free(p.text);
	}
	flush(r);
	return NULL;
}

static place *
next_place(ring *r)
{
	place *p;

	pthread_mutex_lock(&r->lock);
	while (r->tail - r->head == RING)
		pthread_cond_wait(&r->changed, &r->lock);
	p = &r->places[r->tail % RING];
	p->ring = r;
	r->tail++;
	pthread_mutex_unlock(&r->lock);
	return p;
}

static bool
is_blank(const char *line, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (!strchr(" \t\r\n", line[i]) || line[i] == 0)
			return false;
	return true;
}

/* Long inputs show on a terminal how far they are; never in a pipe. */
static void
show_progress(uint64_t count, bool end)
{
	static const char clear[] = "\r\033[K";

	if (!isatty(STDERR_FILENO) || isatty(STDIN_FILENO))
		return;
	if (end && count >= PROGRESS_EVERY)
		fputs(clear, stderr);
	else if (!end && count % PROGRESS_EVERY == 0)
		fprintf(stderr, "%s%llu requests", clear,
			(unsigned long long)count);
}

static void
read_requests(stator_host *host, ring *r)
{
	const char *line;
	size_t size;
	uint64_t count = 0;

	while (input_line(r->input, &line, &size)) {
		if (is_blank(line, size))
			continue;
		stator_host_submit(host, line, size, on_reply, next_place(r));
		show_progress(++count, false);
	}
	show_progress(count, true);
}

/* What the command was asked to do. */
typedef struct run_args {
	watched images[CLI_MOST]; /* of several applications */
	size_t image_count;
	const char *data, *partitions, *preemption, *clock;
	const char *log, *log_level, *queue;
	const char *plugins[CLI_MOST];
	size_t plugin_count;
	bool watch, busy;
} run_args;

typedef struct watcher {
	stator_host *host;
	const run_args *args;
} watcher;

/* Deploys the image anew; a version with errors changes nothing. */
static void
on_change(void *ctx, const char *image)
{
	stator_deploy_opts opts = STATOR_DEPLOY_OPTS_INIT;
	const watcher *w = ctx;
	stator_error err;
	int code;

	opts.on_problem = cli_problem;
	opts.ctx = stderr;
	opts.expect = STATOR_DEPLOY_VERSION;
	code = stator_host_deploy(w->host, image, w->args->data, &opts, &err);
	if (code == STATOR_OK)
		cli_say("run: %s is deployed anew", image);
	else if (code == STATOR_IMAGE)
		cli_fail(EXIT_WRONG, "run: %s has errors; the version before "
				     "goes on",
			 image);
	else
		cli_fail(EXIT_WRONG, "run: %s; the version before goes on",
			 err.msg);
}

static void
wait_for_replies(ring *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->head != r->tail)
		pthread_cond_wait(&r->changed, &r->lock);
	pthread_mutex_unlock(&r->lock);
	input_release(r->input);
}

/* Who asks a host to end does not wait for projectors: they go on at the next
 * start. */
static void
end_requests(stator_host *host, const ring *r)
{
	if (input_why(r->input) == INPUT_ASKED) {
		cli_say("run: ends, as a signal asks; what was read is "
			"answered");
		stator_host_stop(host);
	} else {
		drain(host);
	}
}

static int
say_end(const ring *r)
{
	if (r->broken)
		return cli_fail(EXIT_WRONG, "run: cannot write replies: %s; "
					    "no more requests were read",
				strerror(r->broken));
	if (input_why(r->input) == INPUT_FAILED)
		return cli_fail(EXIT_WRONG, "run: cannot read requests");
	return EXIT_FINE;
}

static int
serve(stator_host *host, const run_args *args, input *in)
{
	ring *r = calloc(1, sizeof(*r));
	watcher watching = {host, args};
	watch *w;
	pthread_t writer;
	int code;

	if (r == NULL)
		abort();
	r->input = in;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	pthread_create(&writer, NULL, write_replies, r);
	w = watch_start(args->images, args->image_count, args->watch, on_change,
			&watching);
	read_requests(host, r);
	watch_stop(w);
	wait_for_replies(r);
	end_requests(host, r);
	pthread_mutex_lock(&r->lock);
	r->ended = true;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->lock);
	pthread_join(writer, NULL);
	code = say_end(r);
	free(r);
	return code;
}

static int
deploy(stator_host *host, const run_args *args, const char *image,
       uint32_t partitions)
{
	stator_deploy_opts opts = STATOR_DEPLOY_OPTS_INIT;
	stator_error err;
	int code;

	opts.partitions = partitions;
	opts.on_problem = cli_problem;
	opts.ctx = stderr;
	/* Two images of one application would be two versions of it. */
	opts.expect = STATOR_DEPLOY_NEW;
	code = stator_host_deploy(host, image, args->data, &opts, &err);
	if (code == STATOR_OK)
		return EXIT_FINE;
	if (code == STATOR_IMAGE)
		return cli_fail(EXIT_WRONG, "run: %s is not deployed", image);
	if (code == STATOR_EXISTS)
		return cli_fail(EXIT_WRONG, "run: %s: %s; each image is one of "
					    "another application",
				image, err.msg);
	return cli_fail(EXIT_WRONG, "run: %s", err.msg);
}

static int
start(run_args *args, uint32_t partitions, stator_host_opts *host_opts)
{
	stator_host *host;
	stator_error err;
	int code = EXIT_FINE;
	input *in;

	watch_hold_signal();
	in = input_new();
	/* A reader that is gone is an error of a write. */
	signal(SIGPIPE, SIG_IGN);
	host_opts->plugin_files = args->plugins;
	host_opts->plugin_file_count = args->plugin_count;
	if (stator_host_open(&host, host_opts, &err)) {
		input_free(in);
		return cli_fail(EXIT_WRONG, "run: %s", err.msg);
	}
	for (size_t i = 0; i < args->image_count && code == EXIT_FINE; i++) {
		watched *image = &args->images[i];

		if (args->watch)
			image->seen = watch_look(image->folder);
		code = deploy(host, args, image->folder, partitions);
	}
	if (code == EXIT_FINE)
		code = serve(host, args, in);
	stator_host_close(host);
	input_free(in);
	return code;
}

static bool
read_log(const run_args *args, stator_host_opts *opts)
{
	static const char *const levels[] = {"error", "warning", "info",
					     "verbose", "trace"};

	if (args->log && strcmp(args->log, "json") == 0) {
		opts->log_format = STATOR_LOG_FORMAT_JSON;
		cli_say_json();
	} else if (args->log && strcmp(args->log, "text") != 0) {
		cli_fail(EXIT_USAGE, "run: --log: expected \"text\" or "
				     "\"json\", found \"%s\"",
			 args->log);
		return false;
	}
	for (int32_t i = 0; args->log_level && i < 5; i++)
		if (strcmp(args->log_level, levels[i]) == 0)
			opts->log_level = i + 1;
	if (args->log_level == NULL || opts->log_level)
		return true;
	cli_fail(EXIT_USAGE, "run: --log-level: expected error, warning, info, "
			     "verbose or trace, found \"%s\"",
		 args->log_level);
	return false;
}

static bool
read_queue(const run_args *args, stator_host_opts *opts)
{
	int64_t queue = 0;

	if (args->queue &&
	    !cli_number("run: --queue", args->queue, 1, 1000000, &queue))
		return false;
	opts->queue = (uint32_t)queue;
	opts->when_full = args->busy ? STATOR_FULL_BUSY : STATOR_FULL_WAIT;
	return true;
}

/* A clock that stands still until a request moves it. */
static int64_t
read_clock(void *ctx)
{
	return atomic_load((_Atomic int64_t *)ctx);
}

static void
set_clock(void *ctx, int64_t now_ms)
{
	atomic_store((_Atomic int64_t *)ctx, now_ms);
}

static bool
use_clock(const char *text, _Atomic int64_t *clock, stator_host_opts *opts)
{
	stator_error err;
	int64_t now;

	if (text == NULL)
		return true;
	if (stator_time(text, &now, &err)) {
		cli_fail(EXIT_USAGE, "run: --clock: %s", err.msg);
		return false;
	}
	atomic_store(clock, now);
	opts->clock = read_clock;
	opts->set_clock = set_clock;
	opts->clock_ctx = clock;
	return true;
}

static int
run(int argc, char **argv)
{
	run_args args = {.image_count = 0};
	const char *images[CLI_MOST];
	_Atomic int64_t clock = 0;
	const cli_option options[] = {
		{"--data", &args.data, NULL, NULL},
		{"--partitions", &args.partitions, NULL, NULL},
		{"--plugin", args.plugins, &args.plugin_count, NULL},
		{"--preemption", &args.preemption, NULL, NULL},
		{"--log", &args.log, NULL, NULL},
		{"--log-level", &args.log_level, NULL, NULL},
		{"--queue", &args.queue, NULL, NULL},
		{"--busy", NULL, NULL, &args.busy},
		{"--clock", &args.clock, NULL, NULL},
		{"--watch", NULL, NULL, &args.watch}};
	int count = cli_parse(&cli_run, argc, argv, options, 10, images,
			      CLI_MOST);
	stator_host_opts opts = STATOR_HOST_OPTS_INIT;
	int64_t partitions = 0;

	if (count < 0)
		return EXIT_USAGE;
	if (count == 0 || args.data == NULL)
		return cli_fail(EXIT_USAGE, "run: needs IMAGE and --data DIR");
	for (int i = 0; i < count; i++)
		args.images[args.image_count++].folder = images[i];
	if (args.partitions && !cli_number("run: --partitions", args.partitions, 1,
					   65535, &partitions))
		return EXIT_USAGE;
	if (!cli_preemption("run", args.preemption, &opts) ||
	    !read_log(&args, &opts) || !read_queue(&args, &opts) ||
	    !use_clock(args.clock, &clock, &opts))
		return EXIT_USAGE;
	return start(&args, (uint32_t)partitions, &opts);
}

const cli_command cli_run = {
	.name = "run",
	.summary = "serve requests from stdin, one JSON object a line",
	.help = "stator run IMAGE... --data DIR [--partitions N] "
		"[--plugin FILE.so]... [--watch]\n"
		"           [--preemption auto|fuel] [--log text|json] "
		"[--log-level LEVEL]\n"
		"           [--queue N] [--busy] [--clock TIME] "
		"< requests > replies\n"
		"\n"
		"Serves requests from stdin, one JSON object a line, and "
		"writes the replies to\n"
		"stdout in the order of the requests. A reply is given when "
		"its event is durable.\n"
		"\n"
		"  {\"id\":1,\"wsid\":1,\"command\":\"restaurant.NewOrder\","
		"\"args\":{...}}\n"
		"  {\"id\":2,\"wsid\":1,\"command\":\"sys.CUD\",\"cuds\":["
		"{\"sys.ID\":1,\n"
		"   \"sys.QName\":\"restaurant.Article\",\"Name\":\"Tea\"}]}\n"
		"  {\"id\":3,\"wsid\":1,\"query\":\"restaurant.Sales\","
		"\"args\":{\"Year\":2026}}\n"
		"\n"
		"  {\"id\":1,\"status\":200,\"offset\":1,\"result\":{...}}\n"
		"  {\"id\":2,\"status\":200,\"offset\":2,\"new_ids\":{\"1\":"
		"200001}}\n"
		"  {\"id\":3,\"status\":200,\"rows\":[{...}]}\n"
		"  {\"id\":4,\"status\":400,\"error\":{\"code\":\"VALIDATION\","
		"\"message\":\"...\"}}\n"
		"\n"
		"Images of several applications are served side by side, each "
		"with partitions and\n"
		"data of its own, in a folder below DIR. Requests say which "
		"one they are for:\n"
		"\n"
		"  {\"id\":5,\"app\":\"restaurant\",\"wsid\":1,"
		"\"query\":\"restaurant.Sales\"}\n"
		"\n"
		"--data        folder for the data; made when it is missing\n"
		"--partitions  how many, for new data; else as the descriptor "
		"says\n"
		"--plugin      storages that the schema names, such as "
		"sys.Http\n"
		"--preemption  how extensions that run too long are stopped: "
		"\"auto\" interrupts\n"
		"              them by a signal where that works, \"fuel\" puts "
		"checks into their\n"
		"              loops\n"
		"--log         lines of the log on stderr: \"text\", or "
		"\"json\", one object a\n"
		"              line, with time, level, application, partition, "
		"workspace,\n"
		"              extension and offset, as far as they are known\n"
		"--log-level   error, warning, info (if not said), verbose, "
		"trace\n"
		"--queue       how many requests may wait at a partition: 4096 "
		"if not said\n"
		"--busy        answer 503 BUSY where a queue is full; else no "
		"more input is read\n"
		"              until there is room\n"
		"--watch       deploy an image anew when its files change, "
		"while requests are\n"
		"              served; a version with errors, or one that does "
		"not fit the data,\n"
		"              changes nothing\n"
		"--clock       begin at this time, and stand still there: time "
		"goes on when a\n"
		"              request says so, and every job that is due "
		"meanwhile is run\n"
		"\n"
		"  stator run IMAGE --data DIR --clock 2026-01-01T00:00:00Z\n"
		"  {\"id\":1,\"clock\":\"2026-01-01T01:00:00Z\"}     or  "
		"{\"id\":1,\"advance_ms\":3600000}\n"
		"  {\"id\":1,\"status\":200,\"clock\":\"2026-01-01T01:00:00Z\","
		"\"runs\":4,\"failures\":0}\n"
		"\n"
		"SIGHUP has the images deployed anew, too. SIGTERM and SIGINT "
		"end it: no more\n"
		"input is read, and what was is answered; a second one ends it "
		"at once, which\n"
		"loses nothing that was acknowledged.\n"
		"\n"
		"At the end of the input the asynchronous projectors catch up; "
		"at a signal they\n"
		"stop where they are. Log lines go to stderr. Exit code 0 "
		"unless the host itself\n"
		"failed, or replies cannot be written: then 1; 2 when the "
		"command line is wrong.\n",
	.run = run,
};
