/*
 * watch.c: see watch.h. It looks twice before it speaks, so that a file that is
 * just being written is not taken for a new version.
 */
#include <fts.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "cli/watch.h"

/* What is known of an image, and what was seen of it last. */
typedef struct image {
	const char *folder;
	uint64_t known, last;
} image;

struct watch {
	image *images;
	size_t count;
	bool look;
	void (*on_change)(void *ctx, const char *folder);
	void *ctx;
	pthread_t thread;
	bool stopping; /* atomic */
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

static void
hangups(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGHUP);
}

void
watch_hold_signal(void)
{
	sigset_t set;

	hangups(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Waits for the signal, or until it is time to look; whether it came. */
static bool
wait_for_signal(const watch *w)
{
	const struct timespec pause = {.tv_nsec = POLL_MS * 1000000};
	sigset_t set;

	hangups(&set);
	if (w->look)
		return sigtimedwait(&set, NULL, &pause) == SIGHUP;
	return sigwaitinfo(&set, NULL) == SIGHUP;
}

static void
look_at(const watch *w, image *i, bool asked)
{
	uint64_t now = w->look ? watch_look(i->folder) : i->known;

	if (asked || (now != i->known && now == i->last)) {
		i->known = now;
		w->on_change(w->ctx, i->folder);
	}
	i->last = now;
}

static void *
watch_main(void *ctx)
{
	watch *w = ctx;

	for (;;) {
		bool asked = wait_for_signal(w);

		for (size_t i = 0; i < w->count; i++) {
			if (__atomic_load_n(&w->stopping, __ATOMIC_ACQUIRE))
				return NULL;
			look_at(w, &w->images[i], asked);
		}
	}
}

watch *
watch_start(const watched *images, size_t count, bool look,
	    void (*on_change)(void *ctx, const char *folder), void *ctx)
{
	watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->images = calloc(count, sizeof(*w->images));
	if (w->images == NULL)
		abort();
	for (size_t i = 0; i < count; i++)
		w->images[i] = (image){images[i].folder, images[i].seen,
				       images[i].seen};
	w->count = count;
	w->look = look;
	w->on_change = on_change;
	w->ctx = ctx;
	pthread_create(&w->thread, NULL, watch_main, w);
	return w;
}

void
watch_stop(watch *w)
{
	__atomic_store_n(&w->stopping, true, __ATOMIC_RELEASE);
	pthread_kill(w->thread, SIGHUP);
	pthread_join(w->thread, NULL);
	free(w->images);
	free(w);
}
