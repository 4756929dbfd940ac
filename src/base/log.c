/*
 * log.c: see log.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cron.h"
#include "base/json.h"
#include "base/log.h"

static const char *const level_names[] = {"none",    "error",	"warning",
					  "info",    "verbose", "trace"};

static _Thread_local stator_log_place place;

stator_log_place *
stator__log_place(void)
{
	return &place;
}

void
stator__log_at(const char *app, uint32_t partition)
{
	place.app = app;
	place.partition = (int64_t)partition + 1;
}

/* Text ------------------------------------------------------------------ */

static void
write_text(stator_buf *out, const stator_log_line *line)
{
	size_t from;

	stator__buf_format(out, "%s %s: ", level_names[line->level],
			   line->source);
	from = out->size;
	stator__buf_str(out, line->message);
	for (; from < out->size; from++)
		if (out->data[from] < ' ')
			out->data[from] = ' ';
}

/* JSON ------------------------------------------------------------------ */

static void
write_string(stator_json_out *out, const char *name, const char *text)
{
	if (text == NULL)
		return;
	stator__json_name(out, name);
	stator__json_any_text(out, text);
}

static void
write_number(stator_json_out *out, const char *name, int64_t n, int64_t least)
{
	if (n < least)
		return;
	stator__json_name(out, name);
	stator__json_integer(out, n);
}

static void
write_time(stator_json_out *out, int64_t ms)
{
	char text[STATOR_TIME_TEXT];

	stator__json_name(out, "time");
	stator__json_cstring(out, stator__time_stamp(text, ms));
}

static void
write_json(stator_buf *buf, const stator_log_line *line)
{
	stator_json_out out = {.buf = buf};

	stator__json_begin(&out, '{');
	write_time(&out, line->time_ms);
	write_string(&out, "level", level_names[line->level]);
	write_string(&out, "app", line->app);
	write_number(&out, "partition", line->partition, 0);
	write_number(&out, "wsid", line->wsid, 1);
	write_string(&out, "extension", line->extension);
	write_number(&out, "offset", line->offset, 1);
	write_string(&out, "source", line->source);
	write_string(&out, "message", line->message);
	stator__json_end(&out, '}');
}

/* Lines ----------------------------------------------------------------- */

/* One write for a line, so that lines of several threads do not mix. */
static void
write_line(const stator_log_line *line, bool json)
{
	stator_buf out = {0};
	ssize_t done;

	if (json)
		write_json(&out, line);
	else
		write_text(&out, line);
	stator__buf_str(&out, "\n");
	done = write(STDERR_FILENO, out.data, out.size);
	(void)done;
	free(out.data);
}

static void
fill_run(stator_log_line *line, const stator_run *run)
{
	line->wsid = run->wsid;
	line->extension = run->extension;
	line->offset = run->plog_offset;
	if (run->app)
		line->app = run->app;
	if (run->partitions)
		line->partition = run->partition;
}

void
stator__log(int32_t level, const char *source, const char *message)
{
	const stator_logger *to = place.logger;
	stator_log_line line = {
		.abi = STATOR_ABI,
		.size = sizeof(line),
		.level = level,
		/* Of a plugin, both may be missing. */
		.source = source ? source : "",
		.message = message ? message : "",
		.app = place.app,
		.partition = place.partition - 1,
	};

	if (level < STATOR_LOG_ERROR || level > STATOR_LOG_TRACE ||
	    level > (to ? to->level : STATOR_LOG_INFO))
		return;
	line.time_ms = stator__now_ms();
	if (place.run)
		fill_run(&line, place.run);
	if (to && to->on_log)
		to->on_log(to->ctx, &line);
	else
		write_line(&line, to && to->json);
}

void
stator__logf(int32_t level, const char *source, const char *format, ...)
{
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, 0, format, args);
	va_end(args);
	stator__log(level, source, text.msg);
}

void
stator__log_event(int32_t level, const char *source, const char *extension,
		  int64_t offset, const char *format, ...)
{
	const stator_run *before = place.run;
	stator_run run = {.extension = extension, .plog_offset = offset};
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, 0, format, args);
	va_end(args);
	place.run = &run;
	stator__log(level, source, text.msg);
	place.run = before;
}

/* Threads --------------------------------------------------------------- */

typedef struct start {
	stator_log_place place;
	void *(*run)(void *ctx);
	void *ctx;
} start;

static void *
thread_main(void *ctx)
{
	start s = *(start *)ctx;

	free(ctx);
	place = s.place;
	return s.run(s.ctx);
}

void
stator__thread_start(pthread_t *out, void *(*run)(void *ctx), void *ctx)
{
	start *s = stator__alloc(sizeof(*s));

	*s = (start){place, run, ctx};
	s->place.run = NULL;
	pthread_create(out, NULL, thread_main, s);
}
