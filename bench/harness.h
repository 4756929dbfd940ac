/*
 * harness.h: an engine at work without a host around it: an image, its data,
 * one partition and a worker that runs extensions on this thread. For
 * benchmarks, and for specs of what goes on inside.
 */
#ifndef STATOR_HARNESS_H
#define STATOR_HARNESS_H

#include <stdio.h>
#include <stdlib.h>

#include "app/app.h"

typedef struct harness {
	stator_app *app;
	const stator_def *def;
	stator_worker *worker; /* its view is the newest snapshot */
	stator_problems problems;
} harness;

static inline void
harness_must(bool fine, const char *what, const char *said)
{
	if (fine)
		return;
	fprintf(stderr, "%s: %s\n", what, said);
	exit(1);
}

/* One more worker for the partition. */
static inline stator_worker *
harness_worker(harness *h)
{
	stator_worker *w = stator__worker_new(
		&h->app->partitions[0], h->app->deployment, &h->problems);

	harness_must(w != NULL, "no worker",
		     h->problems.count ? h->problems.items[0].message : "");
	return w;
}

/* The version is the caller's to change before it is opened. */
static inline stator_version *
harness_load(harness *h, const char *image, const stator_load_opts *load)
{
	stator_version *version =
		stator__version_load(image, load, &h->problems);

	harness_must(version != NULL, image,
		     h->problems.count ? h->problems.items[0].message : "");
	return version;
}

/* Takes the version. */
static inline void
harness_start(harness *h, stator_version *version, const char *data)
{
	const stator_app_opts opts = {.partitions = 1};
	stator_partition *p;
	stator_error err;

	h->def = version->def;
	harness_must(stator__app_open(&h->app, version, data, &opts, &err) == 0,
		     data, err.msg);
	h->worker = harness_worker(h);
	p = &h->app->partitions[0];
	harness_must(p->ops->newest(p->store, &h->worker->view.snapshot,
				    &err) == 0,
		     data, err.msg);
}

/* `load` is borrowed until it is closed. */
static inline void
harness_open(harness *h, const char *image, const char *data,
	     const stator_load_opts *load)
{
	*h = (harness){0};
	harness_start(h, harness_load(h, image, load), data);
}

static inline void
harness_close(harness *h)
{
	stator_partition *p = &h->app->partitions[0];

	p->ops->snapshot_end(h->worker->view.snapshot);
	h->worker->view.snapshot = NULL;
	stator__worker_free(h->worker);
	stator__app_close(h->app);
	stator__problems_free(&h->problems);
}

/* An extension by its name, "shop.Put". */
static inline const stator_ext *
harness_ext(const harness *h, const char *name)
{
	const stator_ext *ext =
		stator__def_ext(h->def, stator__hash(name, strlen(name)));

	harness_must(ext != NULL, name, "no such extension");
	return ext;
}

#endif
