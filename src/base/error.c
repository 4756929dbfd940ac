/*
 * error.c: the texts of the status list, and errors with context.
 */
#include <stdio.h>

#include "base/base.h"

static const struct {
	const char *name;
	int number;
	int http;
	const char *text;
} statuses[] = {
#define ROW(name, number, http, text) {#name, number, http, text},
	STATOR_STATUS_MAP(ROW)
#undef ROW
};

static size_t
find(int code)
{
	for (size_t i = 0; i < STATOR_COUNT(statuses); i++)
		if (statuses[i].number == code)
			return i;
	return find(STATOR_INVALID);
}

bool
stator__status_known(int code)
{
	return statuses[find(code)].number == code;
}

bool
stator__status_is_limit(int code)
{
	return (code <= STATOR_TIME_LIMIT && code >= STATOR_BYTES_LIMIT) ||
	       (code <= STATOR_BYTES_READ_LIMIT && code >= STATOR_HANDLES_LIMIT);
}

const char *
stator__status_name(int code)
{
	return statuses[find(code)].name;
}

const char *
stator__status_text(int code)
{
	return statuses[find(code)].text;
}

int
stator__status_http(int code)
{
	return statuses[find(code)].http;
}

int
stator__vfail(stator_error *err, int code, const char *format, va_list args)
{
	if (err == NULL)
		return code;
	err->code = code;
	vsnprintf(err->msg, sizeof(err->msg), format, args);
	return code;
}

int
stator__fail(stator_error *err, int code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	stator__vfail(err, code, format, args);
	va_end(args);
	return code;
}

int
stator__suggest(stator_error *err, const char *guess)
{
	size_t used;

	if (err == NULL)
		return STATOR_INVALID;
	used = strlen(err->msg);
	if (guess)
		snprintf(err->msg + used, sizeof(err->msg) - used,
			 "; did you mean %s?", guess);
	return err->code;
}

int
stator__wrap(stator_error *err, const char *format, ...)
{
	char text[sizeof(err->msg)];
	size_t used, left;
	va_list args;

	if (err == NULL)
		return STATOR_INVALID;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	used = strlen(text);
	left = sizeof(text) - used;
	if (left > 2) {
		memcpy(text + used, ": ", 3);
		memccpy(text + used + 2, err->msg, 0, left - 2);
		text[sizeof(text) - 1] = 0;
	}
	memcpy(err->msg, text, sizeof(text));
	return err->code;
}
