/*
 * logger.c: sys.Logger, lines of the log. They are written also when the run
 * fails: that is when they are wanted most.
 */
#include <string.h>

#include "storage/storage.h"

static const stator_field_desc key_fields[] = {
	{"LogLevel", STATOR_INT32, 0, 0, 0, NULL,
	 "0 none, 1 error, 2 warning, 3 info (if null), 4 verbose, 5 trace"},
};

static const stator_field_desc value_fields[] = {
	{"Message", STATOR_STRING, 0, 0, 0, NULL, "the line"},
};

enum { KEY_LOG_LEVEL = 1, LEVEL_INFO = 3, LEVEL_MOST = 5 };

static int32_t
level_of(const sys_plugin *sys, const stator_row *key, int64_t *level,
	 stator_error *err)
{
	*level = LEVEL_INFO;
	sys->host->row_int(key, KEY_LOG_LEVEL, level);
	if (*level >= 0 && *level <= LEVEL_MOST)
		return STATOR_OK;
	return sys->host->fail(err, STATOR_EXTENSION_FAILED,
			       "LogLevel: expected 0 to 5, found %lld",
			       (long long)*level);
}

static int32_t
validate(void *self, const stator_run *run, const stator_intent *items,
	 size_t count, stator_error *err)
{
	(void)run;
	for (size_t i = 0; i < count; i++) {
		int64_t level;
		int32_t code = level_of(self, items[i].key, &level, err);

		if (code)
			return code;
	}
	return STATOR_OK;
}

static int32_t
apply(void *self, const stator_run *run, const stator_intent *items,
      size_t count, stator_error *err)
{
	const sys_plugin *sys = self;

	for (size_t i = 0; i < count; i++) {
		stator_slice message;
		int64_t level;
		char *text;

		if (level_of(sys, items[i].key, &level, err) || level == 0 ||
		    !sys->host->row_bytes(items[i].value, 0, &message))
			continue;
		text = sys->host->run_alloc(run, message.size + 1);
		if (message.size)
			memcpy(text, message.data, message.size);
		sys->host->log((int32_t)level, run->extension, text);
	}
	return STATOR_OK;
}

const stator_storage stator__storage_logger = {
	.abi = STATOR_ABI,
	.size = sizeof(stator_storage),
	.name = "Logger",
	.help = "lines of the log",
	.scopes = {0, 0, 0, STATOR_EVERYONE, 0},
	.undeclared = STATOR_QUERIES,
	.key_fields = key_fields,
	.key_field_count = 1,
	.value_fields = value_fields,
	.value_field_count = 1,
	.validate = validate,
	.apply = apply,
};
