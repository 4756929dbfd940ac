/*
 * watch.h: a thread that says when an image is to be deployed anew: the process
 * was sent SIGHUP, which is for all images, or the image's files have changed
 * and come to rest.
 */
#ifndef STATOR_CLI_WATCH_H
#define STATOR_CLI_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct watch watch;

/* A number that changes with names, sizes and times of the files. */
uint64_t watch_look(const char *folder);

/* Keeps SIGHUP for the watch: before any other thread is made. */
void watch_hold_signal(void);

/* An image, and what `watch_look` gave before it was read, so that no change is
 * missed. */
typedef struct watched {
	const char *folder; /* borrowed until the watch is stopped */
	uint64_t seen;
} watched;

/*
 * Looks at the files only if it is to `look`. `on_change` is called on a thread
 * of the watch.
 */
watch *watch_start(const watched *images, size_t count, bool look,
		   void (*on_change)(void *ctx, const char *folder), void *ctx);
/* Returns when no call is under way any more. */
void watch_stop(watch *w);

#endif
