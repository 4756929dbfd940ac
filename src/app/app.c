/*
 * app.c: the data of an application: a folder for it, in that a folder for
 * each partition, and app.json, which says how many there are.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app.h"
#include "base/files.h"
#include "base/json.h"
#include "base/log.h"

stator_partition *
stator__app_partition(const stator_app *app, int64_t wsid)
{
	return &app->partitions[(uint64_t)wsid % app->partition_count];
}

char *
stator__app_folder(const char *data, const char *app)
{
	char *path = stator__format("%s/%s", data, app);

	for (char *p = path + strlen(data) + 1; *p; p++)
		if (*p == '/')
			*p = '.';
	return path;
}

/*
 * One process at a time writes. Others may read meanwhile, but not this one.
 *
 * Rationale: LMDB takes a file once in a process. Were it closed by a second
 * one, its locks would go, and with them what the host reads and writes.
 */
static int
lock_at(stator_app *app, const char *path, bool read_only, stator_error *err)
{
	if (stator__is_open_here(path))
		return stator__fail(err, STATOR_INVALID,
				    "%s: in use by this process already; close "
				    "its host first, or ask it",
				    app->data);
	if (read_only) {
		app->lock = open(path, O_RDONLY | O_CLOEXEC);
		return STATOR_OK;
	}
	app->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (app->lock < 0)
		return stator__fail(err, STATOR_IO, "%s: %s", app->data,
				    strerror(errno));
	if (flock(app->lock, LOCK_EX | LOCK_NB))
		return stator__fail(err, STATOR_IO,
				    "%s: in use by another process; stop it "
				    "first",
				    app->data);
	return STATOR_OK;
}

static int
lock_folder(stator_app *app, bool read_only, stator_error *err)
{
	char *path = stator__format("%s/lock", app->data);
	int code = lock_at(app, path, read_only, err);

	free(path);
	return code;
}

/* The number of partitions that the data has; 0 when there is no data. */
static int
read_partitions(const stator_app *app, uint32_t *count, stator_error *err)
{
	char *path = stator__format("%s/app.json", app->data);
	const stator_json *n = NULL;
	stator_arena arena = {0};
	stator_json *json;
	stator_slice text;
	int64_t number = 0;
	int code = STATOR_OK;

	*count = 0;
	if (stator__file_read(&arena, path, &text) == 0) {
		if (stator__json_parse(&arena, text.data, text.size, &json,
				       err) == STATOR_OK)
			n = stator__json_get(json, "partitions");
		if (n && stator__json_int(n, &number))
			*count = (uint32_t)number;
		else
			code = stator__fail(err, STATOR_CORRUPT,
					    "%s: does not say how many "
					    "partitions there are",
					    path);
	}
	stator__arena_free(&arena);
	free(path);
	return code;
}

static int
write_partitions(const stator_app *app, stator_error *err)
{
	char *path = stator__format("%s/app.json", app->data);
	char *text = stator__format("{\"partitions\":%u}\n",
				    app->partition_count);
	int code = STATOR_OK;

	if (!stator__file_replace(path, stator__cslice(text)))
		code = stator__fail(err, STATOR_IO, "%s: %s", path,
				    strerror(errno));
	free(text);
	free(path);
	return code;
}

static int
settle_partitions(stator_app *app, const stator_descriptor *descriptor,
		  const stator_app_opts *opts, stator_error *err)
{
	uint32_t has;
	int code = read_partitions(app, &has, err);

	if (code)
		return code;
	if (has == 0 && opts->read_only)
		return stator__fail(err, STATOR_NOT_FOUND,
				    "%s: there is no data of %s", app->data,
				    app->name);
	if (has && opts->partitions && opts->partitions != has)
		return stator__fail(err, STATOR_INVALID,
				    "%s: the data has %u partition%s, not %u; "
				    "leave out --partitions",
				    app->data, has, has == 1 ? "" : "s",
				    opts->partitions);
	if (has == 0 && stator__schema_kept(app->data))
		return stator__fail(err, STATOR_CORRUPT,
				    "%s/app.json: is missing, which says how "
				    "many partitions there are; bring it back "
				    "from a backup",
				    app->data);
	app->partition_count = has		  ? has
			       : opts->partitions ? opts->partitions
						  : descriptor->partitions;
	return has ? STATOR_OK : write_partitions(app, err);
}

char *
stator__app_partition_folder(const stator_app *app, uint32_t i)
{
	return stator__format("%s/partition-%u", app->data, i);
}

/* The store of a partition: with a log before the tree, or the tree alone. */
static int
choose_store(stator_partition *p, const char *path, bool read_only,
	     stator_error *err)
{
	p->ops = &stator__store_log;
	if (p->app->durability != STATOR_DURABILITY_STORE)
		return STATOR_OK;
	/* The data may have been written with another durability. */
	if (read_only)
		return STATOR_OK;
	p->ops = &stator__store_lmdb;
	return stator__store_has_log(path) ? stator__store_settle(path, err)
					   : STATOR_OK;
}

/*
 * Two overlays are in memory, one that is written and one on its way into the
 * tree, with a quarter more that is written meanwhile; and the pages of a part
 * of the checkpoint, two fifths. So an overlay gets three eighths of it all.
 */
static stator_store_opts
store_opts(const stator_app *app, const stator_descriptor *descriptor,
	   bool read_only)
{
	enum { LEAST = 1 << 20 };
	uint64_t share = descriptor->log_memory / app->partition_count;
	uint64_t most = share / 8 * 3, overlay = most > LEAST ? most : LEAST;
	stator_store_opts opts = {
		.read_only = read_only,
		.volatile_ = app->durability == STATOR_DURABILITY_NONE,
		.overlay_bytes = overlay,
		.part_bytes = overlay / 5 * 2};

	/* A large segment that is not needed any more is found late. */
	if (overlay < 64 << 20)
		opts.segment_bytes = overlay / 4;
	return opts;
}

static int
open_partition(stator_app *app, uint32_t i, const stator_version *version,
	       const stator_app_opts *opts, stator_error *err)
{
	stator_partition *p = &app->partitions[i];
	const stator_store_opts store =
		store_opts(app, &version->descriptor, opts->read_only);
	stator_log_place *here = stator__log_place(), before = *here;
	char *path = stator__app_partition_folder(app, i);
	int code;

	p->app = app;
	p->index = i;
	p->meter = &app->metrics->partitions[i];
	if (opts->folders_only) {
		free(path);
		return STATOR_OK;
	}
	*here = (stator_log_place){before.logger, app->name, i + 1ll, NULL};
	/* Where a version was deployed all partitions were whole: what is
	 * missing now is not made anew. */
	code = stator__schema_kept(app->data) ? stator__store_look(path, err)
					      : STATOR_OK;
	if (code == STATOR_OK)
		code = choose_store(p, path, opts->read_only, err);
	if (code == STATOR_OK)
		code = p->ops->open(&p->store, path, &store, err);
	*here = before;
	free(path);
	if (code == STATOR_OK || !opts->go_on)
		return code;
	p->damage = *err;
	return STATOR_OK;
}

/* The names of folders that have just been made are durable, too. */
static int
sync_folders(const stator_app *app, const char *data, stator_error *err)
{
	char *above = stator__format("%s/..", data);
	bool synced = stator__folder_sync(data) &&
		      stator__folder_sync(app->data);

	/* It may be somebody else's, and not to be opened. */
	stator__folder_sync(above);
	free(above);
	for (uint32_t i = 0; i < app->partition_count && synced; i++) {
		char *path = stator__app_partition_folder(app, i);

		synced = stator__folder_sync(path);
		free(path);
	}
	return synced ? STATOR_OK
		      : stator__fail(err, STATOR_IO, "%s: sync: %s", app->data,
				     strerror(errno));
}

static bool
has_commits(const stator_app *app, uint32_t i)
{
	char *path = stator__app_partition_folder(app, i);
	uint64_t last = 0, until;
	stator_error err;
	bool has = stator__store_look(path, &err) == STATOR_OK &&
		   (stator__store_has_log(path) ||
		    (stator__store_tree(path, &last, &until, &err) ==
			     STATOR_OK &&
		     last));

	free(path);
	return has;
}

/* A start that never came as far as to keep a schema has no commits. */
static void
warn_of_schema(const stator_app *app)
{
	bool has = false;

	for (uint32_t i = 0; i < app->partition_count && !has; i++)
		has = has_commits(app, i);
	if (has)
		stator__logf(STATOR_LOG_WARNING, "schema",
			     "%s/schema.json: is missing; whether this version "
			     "fits the data is not known, and it is taken as "
			     "the one that has written it",
			     app->data);
}

static int
open_all(stator_app *app, const stator_version *version, const char *data,
	 const stator_app_opts *opts, stator_error *err)
{
	int code = STATOR_OK;

	app->durability = version->descriptor.durability;
	app->data = stator__app_folder(data, app->name);
	app->lock = -1;
	if (!opts->read_only && !stator__folder_make(app->data))
		code = stator__fail(err, STATOR_IO, "%s: %s", app->data,
				    strerror(errno));
	if (code == STATOR_OK)
		code = lock_folder(app, opts->read_only, err);
	if (code == STATOR_OK)
		code = settle_partitions(app, &version->descriptor, opts, err);
	if (code)
		return code;
	if (!opts->read_only && !stator__schema_kept(app->data))
		warn_of_schema(app);
	app->metrics = stator__metrics_new(app->partition_count);
	app->partitions = stator__alloc(app->partition_count *
					sizeof(*app->partitions));
	for (uint32_t i = 0; i < app->partition_count && !code; i++)
		code = open_partition(app, i, version, opts, err);
	if (code == STATOR_OK && !opts->read_only &&
	    app->durability != STATOR_DURABILITY_NONE)
		code = sync_folders(app, data, err);
	return code;
}

int
stator__app_open(stator_app **out, stator_version *version, const char *data,
		 const stator_app_opts *opts, stator_error *err)
{
	stator_app *app = stator__alloc(sizeof(*app));
	int code;

	app->name = stator__strdup(version->app);
	code = open_all(app, version, data, opts, err);
	if (code)
		stator__version_free(version);
	else
		code = stator__deployment_new(&app->deployment, version,
					      app->partition_count, NULL, err);
	if (code) {
		stator__app_close(app);
		return code;
	}
	*out = app;
	return STATOR_OK;
}

void
stator__app_close(stator_app *app)
{
	stator__deployment_free(app->deployment);
	for (uint32_t i = 0; app->partitions && i < app->partition_count; i++) {
		stator_partition *p = &app->partitions[i];

		if (p->store)
			p->ops->close(p->store);
	}
	free(app->partitions);
	stator__metrics_free(app->metrics);
	if (app->lock >= 0)
		close(app->lock);
	free(app->data);
	free((void *)(uintptr_t)app->name);
	free(app);
}
