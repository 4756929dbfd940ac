/*
 * watch.h: a thread that looks at the files of an image and says when they have
 * changed and come to rest.
 */
#ifndef STATOR_CLI_WATCH_H
#define STATOR_CLI_WATCH_H

typedef struct watch watch;

/* `on_change` is called on a thread of the watch. */
watch *watch_start(const char *folder, void (*on_change)(void *ctx), void *ctx);
/* Returns when no call is under way any more. */
void watch_stop(watch *w);

#endif
