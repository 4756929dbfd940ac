/*
 * drain.c: see drain.h. A thread of its own looks at the metrics meanwhile.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "cli/drain.h"

enum { EVERY = 3 }; /* seconds */

typedef struct teller {
	stator_host *host;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool over;
	long long lag; /* of all projectors together */
} teller;

/* {"kind":"projector",…,"lag":N} */
static void
on_metric(void *ctx, const char *line, size_t size)
{
	static const char kind[] = "\"kind\":\"projector\"", lag[] = "\"lag\":";
	const char *end = line + size,
		   *at = memmem(line, size, kind, sizeof(kind) - 1);
	teller *t = ctx;

	if (at == NULL)
		return;
	at = memmem(at, (size_t)(end - at), lag, sizeof(lag) - 1);
	if (at)
		t->lag += strtoll(at + sizeof(lag) - 1, NULL, 10);
}

static void
tell(teller *t)
{
	t->lag = 0;
	stator_host_metrics(t->host, on_metric, t);
	if (t->lag)
		cli_say("run: the input has ended; projectors are %lld event%s "
			"behind",
			t->lag, t->lag == 1 ? "" : "s");
}

static void *
tell_all(void *ctx)
{
	teller *t = ctx;
	struct timespec until;
	int code;

	pthread_mutex_lock(&t->lock);
	while (!t->over) {
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += EVERY;
		do
			code = pthread_cond_timedwait(&t->changed, &t->lock,
						      &until);
		while (code == 0 && !t->over);
		if (code == ETIMEDOUT)
			tell(t);
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

void
drain(stator_host *host)
{
	teller t = {.host = host};
	pthread_t thread;

	pthread_mutex_init(&t.lock, NULL);
	pthread_cond_init(&t.changed, NULL);
	pthread_create(&thread, NULL, tell_all, &t);
	stator_host_drain(host);
	pthread_mutex_lock(&t.lock);
	t.over = true;
	pthread_cond_signal(&t.changed);
	pthread_mutex_unlock(&t.lock);
	pthread_join(thread, NULL);
	pthread_cond_destroy(&t.changed);
	pthread_mutex_destroy(&t.lock);
}
