/*
 * watch.h: a thread that looks at the files of an image and says when they have
 * changed and come to rest.
 */
#ifndef STATOR_CLI_WATCH_H
#define STATOR_CLI_WATCH_H

#include <stdint.h>

typedef struct watch watch;

/* A number that changes with names, sizes and times of the files. */
uint64_t watch_look(const char *folder);

/*
 * `seen` is what `watch_look` gave before the image was read, so that no change
 * is missed. `on_change` is called on a thread of the watch.
 */
watch *watch_start(const char *folder, uint64_t seen,
		   void (*on_change)(void *ctx), void *ctx);
/* Returns when no call is under way any more. */
void watch_stop(watch *w);

#endif
