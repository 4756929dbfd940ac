/*
 * backup.c: copies of an application's data, and bringing them back.
 *
 * A backup is a folder of data like others, with one more file, backup.json:
 * what files it has, how long they are, and their checksums. It is written
 * last, in a folder that gets its name when all is durable; so a backup is
 * whole, or it is not there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "processor/draft.h"
#include "processor/upkeep.h"

typedef struct backup {
	stator_upkeep up;
	const stator_app *app;
	const char *version; /* of the image, for the manifest */
	char *folder; /* what it will be */
	stator_draft held;
	const char *draft; /* where it is made */
	stator_buf manifest;
	stator_json_out out;
	uint32_t partition; /* at hand */
	uint64_t done, whole;
} backup;

static int
failed(const char *path, int code, stator_error *err)
{
	return stator__fail(err, STATOR_IO, "%s: %s", path, strerror(code));
}

static bool
exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* The last part of a path. */
static const char *
name_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Making one ------------------------------------------------------------ */

static int
make_folder(const char *path, stator_error *err)
{
	return stator__folder_make(path) ? STATOR_OK : failed(path, errno, err);
}

static void
begin_manifest(backup *b)
{
	char time[STATOR_TIME_TEXT];

	stator__time_show(time, stator__now_ms() / 1000 * 1000);
	b->out = (stator_json_out){.buf = &b->manifest};
	stator__json_begin(&b->out, '{');
	stator__json_name(&b->out, "stator");
	stator__json_cstring(&b->out, stator_version_string());
	stator__json_name(&b->out, "app");
	stator__json_cstring(&b->out, b->app->name);
	stator__json_name(&b->out, "version");
	stator__json_cstring(&b->out, b->version);
	stator__json_name(&b->out, "made");
	stator__json_cstring(&b->out, time);
	stator__json_name(&b->out, "partitions");
	stator__json_integer(&b->out, b->app->partition_count);
	stator__json_name(&b->out, "files");
	stator__json_begin(&b->out, '[');
}

/* Adds a file of the draft to the manifest. */
static int
add_file(backup *b, const char *name, uint64_t *size, stator_error *err)
{
	char *path = stator__format("%s/%s", b->draft, name);
	uint32_t crc = 0;
	int code = stator__file_sum(path, NULL, size, &crc, NULL, NULL);

	if (code == 0) {
		stator__json_begin(&b->out, '{');
		stator__json_name(&b->out, "path");
		stator__json_cstring(&b->out, name);
		stator__json_name(&b->out, "bytes");
		stator__json_integer(&b->out, (int64_t)*size);
		stator__json_name(&b->out, "crc32c");
		stator__json_integer(&b->out, crc);
		stator__json_end(&b->out, '}');
	} else {
		code = failed(path, code, err);
	}
	free(path);
	return code;
}

static int
add_folder(backup *b, const char *name, uint64_t *bytes, stator_error *err)
{
	char *path = stator__format("%s/%s", b->draft, name);
	stator_arena arena = {0};
	const char **names;
	size_t count;
	int code = stator__folder_read(&arena, path, &names, &count);

	if (code)
		code = failed(path, code, err);
	for (size_t i = 0; i < count && !code; i++) {
		char *file = stator__format("%s/%s", name, names[i]);
		uint64_t size = 0;

		code = add_file(b, file, &size, err);
		*bytes += size;
		free(file);
	}
	if (code == STATOR_OK && !stator__folder_sync(path))
		code = failed(path, errno, err);
	stator__arena_free(&arena);
	free(path);
	return code;
}

static void
say_partition(backup *b, uint64_t bytes)
{
	stator_json_out out = {.buf = &b->up.line};

	if (b->up.opts.as_json) {
		stator__json_begin(&out, '{');
		stator__json_name(&out, "partition");
		stator__json_integer(&out, b->partition);
		stator__json_name(&out, "bytes");
		stator__json_integer(&out, (int64_t)bytes);
		stator__json_end(&out, '}');
	} else {
		stator__buf_format(&b->up.line, "partition %u: %llu bytes",
				   b->partition, (unsigned long long)bytes);
	}
	stator__upkeep_line(&b->up);
}

static void
on_copied(void *ctx, uint64_t done, uint64_t whole)
{
	const backup *b = ctx;

	stator__upkeep_progress(&b->up, b->partition, "bytes", done, whole);
}

static int
copy_partition(backup *b, stator_error *err)
{
	const stator_partition *p = &b->app->partitions[b->partition];
	const stator_copying copying = {on_copied, NULL, b};
	char *name = stator__format("partition-%u", b->partition);
	char *folder = stator__format("%s/%s", b->draft, name);
	uint64_t bytes = 0;
	int code = make_folder(folder, err);

	if (code == STATOR_OK)
		code = p->ops->backup(p->store, folder, &copying, err);
	if (code == STATOR_OK)
		code = add_folder(b, name, &bytes, err);
	if (code == STATOR_OK)
		say_partition(b, bytes);
	free(folder);
	free(name);
	return code;
}

/* A file of the application that may be missing, if it is said so. */
static int
copy_app_file(backup *b, const char *name, bool optional, stator_error *err)
{
	char *from = stator__format("%s/%s", b->app->data, name);
	char *to = stator__format("%s/%s", b->draft, name);
	uint64_t size;
	uint32_t crc;
	int code = stator__file_sum(from, to, &size, &crc, NULL, NULL);

	if (code == ENOENT && optional)
		code = STATOR_OK;
	else if (code)
		code = failed(from, code, err);
	else
		code = add_file(b, name, &size, err);
	free(to);
	free(from);
	return code;
}

/* The draft becomes the backup. */
static int
finish(const char *draft, const char *folder, stator_error *err)
{
	char *above = stator__format("%s/..", folder);
	int code = STATOR_OK;

	if (!stator__folder_sync(draft))
		code = failed(draft, errno, err);
	else if (rename(draft, folder))
		code = failed(folder, errno, err);
	else if (!stator__folder_sync(above))
		code = failed(folder, errno, err);
	free(above);
	return code;
}

static int
write_manifest(backup *b, stator_error *err)
{
	char *path = stator__format("%s/backup.json", b->draft);
	int code;

	stator__json_end(&b->out, ']');
	stator__json_end(&b->out, '}');
	stator__buf_str(&b->manifest, "\n");
	code = stator__file_write(path, b->manifest.data, b->manifest.size);
	if (code)
		code = failed(path, code, err);
	free(path);
	return code;
}

static int
make(backup *b, stator_error *err)
{
	int code;

	begin_manifest(b);
	code = copy_app_file(b, "app.json", false, err);
	/* Data of an earlier Stator has none. */
	if (code == STATOR_OK)
		code = copy_app_file(b, "schema.json", true, err);
	for (b->partition = 0;
	     b->partition < b->app->partition_count && !code; b->partition++)
		code = copy_partition(b, err);
	if (code == STATOR_OK)
		code = write_manifest(b, err);
	return code ? code : finish(b->draft, b->folder, err);
}

/* Neither what is made nor its draft may be there. */
static int
check_new(const char *path, const char *what, stator_error *err)
{
	if (!exists(path))
		return STATOR_OK;
	return stator__fail(err, STATOR_EXISTS,
			    "%s: is there already; %s, or move it away", path,
			    what);
}

int
stator__backup(const stator_app *app, const char *version, const char *to,
	       const stator_upkeep_opts *opts, stator_error *err)
{
	backup b = {.app = app, .version = version};
	int code;

	stator__upkeep_begin(&b.up, opts);
	b.up.partitions = app->partition_count;
	b.folder = stator__format("%s/%s", to, name_of(app->data));
	code = check_new(b.folder, "choose another folder", err);
	if (code == STATOR_OK) {
		char *prefix = stator__format("%s.draft-", name_of(app->data));

		code = stator__draft_make(&b.held, to, prefix, err);
		b.draft = b.held.folder;
		if (code == STATOR_OK)
			code = make(&b, err);
		if (code == STATOR_OK)
			stator__draft_close(&b.held);
		stator__draft_remove(&b.held);
		free(prefix);
	}
	free(b.folder);
	free(b.manifest.data);
	stator__upkeep_free(&b.up);
	return code;
}

int
stator_backup(const char *image, const char *data, const char *to,
	      const stator_upkeep_opts *opts, stator_error *err)
{
	stator_app *app;
	stator_error ignored;
	int code;

	if (err == NULL)
		err = &ignored;
	code = stator__need(to, "to", err);
	if (code == STATOR_OK)
		code = stator__data_open(&app, image, data, STATOR_OPEN_ALL,
					 err);
	if (code)
		return code;
	code = stator__backup(app, app->deployment->version->descriptor.version,
			      to, opts, err);
	stator__app_close(app);
	return code;
}

/* Bringing one back ------------------------------------------------------- */

typedef struct restore {
	stator_upkeep up;
	char *from, *folder; /* of the application */
	stator_draft above; /* it has the draft, as data has it */
	char *draft;
	stator_arena arena;
	const stator_json *files;
	uint64_t done, whole;
} restore;

static int
not_whole(const restore *r, const char *name, const char *what,
	  stator_error *err)
{
	return stator__fail(err, STATOR_CORRUPT,
			    "%s/%s: %s; take another backup: nothing was "
			    "brought back",
			    r->from, name, what);
}

static int
read_manifest(restore *r, const char *app, stator_error *err)
{
	char *path = stator__format("%s/backup.json", r->from);
	stator_slice text;
	stator_json *json;
	int code = stator__file_read(&r->arena, path, &text);
	const stator_json *name;

	if (code)
		code = stator__fail(err, STATOR_NOT_FOUND,
				    "%s: %s; this is no backup of %s, or one "
				    "that did not end",
				    path, strerror(code), app);
	free(path);
	if (code)
		return code;
	code = stator__json_parse(&r->arena, text.data, text.size, &json, err);
	if (code)
		return not_whole(r, "backup.json", "is no JSON", err);
	name = stator__json_get(json, "app");
	r->files = stator__json_get(json, "files");
	if (name == NULL || !stator__slice_is(name->text, app) ||
	    r->files == NULL || r->files->kind != STATOR_JSON_ARRAY)
		return not_whole(r, "backup.json",
				 "does not say what the backup has", err);
	return STATOR_OK;
}

typedef struct file_entry {
	const char *path;
	int64_t bytes, crc;
} file_entry;

/* Paths stay inside: "app.json", "partition-0/data.mdb". */
static bool
read_entry(restore *r, const stator_json *json, file_entry *e)
{
	const stator_json *path = stator__json_get(json, "path");
	const stator_json *bytes = stator__json_get(json, "bytes");
	const stator_json *crc = stator__json_get(json, "crc32c");

	if (path == NULL || path->kind != STATOR_JSON_STRING ||
	    bytes == NULL || !stator__json_int(bytes, &e->bytes) ||
	    crc == NULL || !stator__json_int(crc, &e->crc))
		return false;
	e->path = stator__arena_str(&r->arena, path->text.data,
				    path->text.size);
	return e->path[0] && e->path[0] != '/' && !strstr(e->path, "..");
}

static void
on_read(void *ctx, size_t size)
{
	restore *r = ctx;

	r->done += size;
	stator__upkeep_progress(&r->up, -1, "bytes", r->done, r->whole);
}

static int
copy_entry(restore *r, const file_entry *e, stator_error *err)
{
	char *from = stator__format("%s/%s", r->from, e->path);
	char *to = stator__format("%s/%s", r->draft, e->path);
	char *slash = strrchr(to, '/');
	uint64_t size;
	uint32_t crc;
	int code;

	*slash = 0;
	code = make_folder(to, err);
	*slash = '/';
	if (code == STATOR_OK) {
		int why = stator__file_sum(from, to, &size, &crc, on_read, r);

		if (why == ENOENT && access(from, F_OK))
			code = not_whole(r, e->path, "is missing", err);
		else if (why)
			code = failed(why == ENOENT ? from : to, why, err);
		else if (size != (uint64_t)e->bytes || crc != (uint32_t)e->crc)
			code = not_whole(r, e->path,
					 "is not what it was when the backup "
					 "was made",
					 err);
	}
	*slash = 0;
	if (code == STATOR_OK && !stator__folder_sync(to))
		code = failed(to, errno, err);
	free(to);
	free(from);
	return code;
}

static int
copy_files(restore *r, stator_error *err)
{
	file_entry e;
	int code = make_folder(r->draft, err);

	for (const stator_json *f = r->files->first; f; f = f->next) {
		if (!read_entry(r, f, &e))
			return not_whole(r, "backup.json",
					 "has an entry that is no file", err);
		r->whole += (uint64_t)e.bytes;
	}
	for (const stator_json *f = r->files->first; f && !code; f = f->next)
		if (read_entry(r, f, &e))
			code = copy_entry(r, &e, err);
	return code;
}

static int
bring_back(restore *r, const char *image, stator_error *err)
{
	stator_upkeep_opts opts = r->up.opts;
	int code = copy_files(r, err);

	opts.quick = 1;
	if (code == STATOR_OK) {
		code = stator_verify(image, r->above.folder, &opts, err);
		if (code)
			stator__wrap(err, "nothing was brought back");
	}
	return code ? code : finish(r->draft, r->folder, err);
}

static int
restore_app(restore *r, const char *image, const char *data,
	    const stator_app *app, stator_error *err)
{
	int code = check_new(r->folder, "restore into a new folder", err);

	if (code == STATOR_OK)
		code = read_manifest(r, app->name, err);
	if (code)
		return code;
	code = stator__draft_make(&r->above, data, "restore-", err);
	r->draft = stator__format("%s/%s", r->above.folder,
				  name_of(app->data));
	if (code == STATOR_OK)
		code = bring_back(r, image, err);
	stator__draft_remove(&r->above);
	return code;
}

int
stator_restore(const char *image, const char *from, const char *data,
	       const stator_upkeep_opts *opts, stator_error *err)
{
	restore r = {.whole = 0};
	const stator_app *app;
	stator_error ignored;
	int code;

	if (err == NULL)
		err = &ignored;
	code = stator__need(data, "data", err);
	if (code == STATOR_OK)
		code = stator__upkeep_open(&r.up, image, from,
					   STATOR_OPEN_FOLDERS, opts, err);
	if (code)
		return code;
	app = r.up.app;
	r.from = stator__strdup(app->data);
	r.folder = stator__format("%s/%s", data, name_of(app->data));
	code = restore_app(&r, image, data, app, err);
	free(r.draft);
	free(r.folder);
	free(r.from);
	stator__arena_free(&r.arena);
	stator__upkeep_free(&r.up);
	return code;
}
