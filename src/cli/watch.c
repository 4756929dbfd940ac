/*
 * watch.c: see watch.h. It looks twice before it speaks, so that a file that is
 * just being written is not taken for a new version.
 */
#include <fts.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/watch.h"

struct watch {
	char *folder;
	uint64_t seen;
	void (*on_change)(void *ctx);
	void *ctx;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stopping;
};

enum { POLL_MS = 100 };

static uint64_t
mix(uint64_t h, uint64_t v)
{
	return (h ^ v) * 0x100000001b3u;
}

uint64_t
watch_look(const char *folder)
{
	char *const paths[] = {(char *)(uintptr_t)folder, NULL};
	FTS *tree = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, NULL);
	uint64_t sum = 0;
	FTSENT *e;

	while (tree && (e = fts_read(tree)) != NULL) {
		uint64_t h = 0xcbf29ce484222325u;

		if (e->fts_info != FTS_F)
			continue;
		for (const char *p = e->fts_path; *p; p++)
			h = mix(h, (unsigned char)*p);
		h = mix(h, (uint64_t)e->fts_statp->st_size);
		h = mix(h, (uint64_t)e->fts_statp->st_ino);
		h = mix(h, (uint64_t)e->fts_statp->st_mtim.tv_sec);
		h = mix(h, (uint64_t)e->fts_statp->st_mtim.tv_nsec);
		sum += h;
	}
	if (tree)
		fts_close(tree);
	return sum;
}

/* Waits a little; false when it is time to stop. */
static bool
pause_watch(watch *w)
{
	struct timespec until;
	bool stopping;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += POLL_MS * 1000000;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	pthread_mutex_lock(&w->lock);
	if (!w->stopping)
		pthread_cond_timedwait(&w->wake, &w->lock, &until);
	stopping = w->stopping;
	pthread_mutex_unlock(&w->lock);
	return !stopping;
}

static void *
watch_main(void *ctx)
{
	watch *w = ctx;
	uint64_t known = w->seen, last = known;

	while (pause_watch(w)) {
		uint64_t now = watch_look(w->folder);

		if (now != known && now == last) {
			known = now;
			w->on_change(w->ctx);
		}
		last = now;
	}
	return NULL;
}

watch *
watch_start(const char *folder, uint64_t seen, void (*on_change)(void *ctx),
	    void *ctx)
{
	watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->folder = strdup(folder);
	w->seen = seen;
	w->on_change = on_change;
	w->ctx = ctx;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->wake, NULL);
	pthread_create(&w->thread, NULL, watch_main, w);
	return w;
}

void
watch_stop(watch *w)
{
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_cond_destroy(&w->wake);
	pthread_mutex_destroy(&w->lock);
	free(w->folder);
	free(w);
}
