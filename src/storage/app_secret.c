/*
 * app_secret.c: sys.AppSecret, secrets of the application: files in a folder,
 * /run/secrets unless configured. A file is read each time, so that a secret
 * can be changed under a running host.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "storage/storage.h"

static const stator_field_desc key_fields[] = {
	{"Secret", STATOR_STRING, 1, 0, 255, NULL, "its name"},
};

static const stator_field_desc value_fields[] = {
	{"Content", STATOR_STRING, 0, 0, 65535, NULL, "the secret"},
};

static const stator_field_desc config_fields[] = {
	{"folder", STATOR_STRING, 0, 0, 4000, "\"/run/secrets\"",
	 "where the files are"},
};

enum { KEY_SECRET = 1, CONTENT = 0, FOLDER = 0, CONTENT_MOST = 65535 };

/* A name is one of a file, never a way to another folder. */
static int
is_name(stator_slice name)
{
	return name.size > 0 && memchr(name.data, '/', name.size) == NULL &&
	       memchr(name.data, 0, name.size) == NULL &&
	       *(const char *)name.data != '.';
}

static int32_t
open_secret(const sys_plugin *sys, stator_slice name, FILE **file,
	    stator_error *err)
{
	const stator_row *config = &sys->configs[SYS_APP_SECRET];
	stator_slice folder;
	char path[4400];

	if (!is_name(name))
		return sys->host->fail(err, STATOR_EXTENSION_FAILED,
				       "Secret: expected the name of a file, "
				       "found \"%.*s\"",
				       name.size > 80 ? 80 : (int)name.size,
				       (const char *)name.data);
	sys->host->row_bytes(config, FOLDER, &folder);
	snprintf(path, sizeof(path), "%.*s/%.*s", (int)folder.size,
		 (const char *)folder.data, (int)name.size,
		 (const char *)name.data);
	*file = fopen(path, "rbe");
	if (*file)
		return STATOR_OK;
	if (errno == ENOENT)
		return STATOR_NONE;
	return sys->host->fail(err, STATOR_STORAGE_FAILED, "%s: %s", path,
			       strerror(errno));
}

static int32_t
get(void *self, const stator_run *run, const stator_use *use,
    const stator_row *key, stator_row *value, stator_error *err)
{
	const sys_plugin *sys = self;
	stator_slice name = {"", 0}, content;
	struct stator_builder *b;
	FILE *file;
	char *text;
	int32_t code;

	if (!sys->host->row_bytes(key, KEY_SECRET, &name) || name.size == 0)
		return sys->host->fail(err, STATOR_EXTENSION_FAILED,
				       "the key has no Secret");
	code = open_secret(sys, name, &file, err);
	if (code)
		return code;
	text = sys->host->run_alloc(run, CONTENT_MOST + 1);
	content.data = text;
	content.size = fread(text, 1, CONTENT_MOST + 1, file);
	fclose(file);
	b = sys->host->row_begin(run, use->value);
	code = sys->host->put_bytes(b, CONTENT, content, err);
	return code ? code : sys->host->row_end(b, value, err);
}

const stator_storage stator__storage_app_secret = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "AppSecret",
	.help = "secrets of the application, from files",
	.scopes = {STATOR_EVERYONE, 0, 0, 0, 0},
	.key_fields = key_fields,
	.key_field_count = 1,
	.value_fields = value_fields,
	.value_field_count = 1,
	.config_fields = config_fields,
	.config_field_count = 1,
	.get = get,
};
