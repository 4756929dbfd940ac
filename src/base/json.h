/*
 * json.h: JSON text to a tree in an arena, and a writer. Reading is yajl's;
 * what is added is that numbers keep their text, so that no digit is lost, and
 * that text that is not UTF-8 is found by who knows its path.
 */
#ifndef STATOR_JSON_H
#define STATOR_JSON_H

#include "base/base.h"

typedef enum stator_json_kind {
	STATOR_JSON_NULL,
	STATOR_JSON_BOOL,
	STATOR_JSON_NUMBER,
	STATOR_JSON_STRING,
	STATOR_JSON_ARRAY,
	STATOR_JSON_OBJECT
} stator_json_kind;

typedef struct stator_json {
	uint8_t kind; /* stator_json_kind */
	bool boolean;
	uint32_t count;		   /* of children */
	stator_slice name;	   /* in an object */
	stator_slice text;	   /* of a string or a number */
	size_t end;		   /* offset behind it, or behind its bracket */
	struct stator_json *first; /* child */
	struct stator_json *next;  /* sibling */
} stator_json;

/* The tree lives in `arena`, behind a copy of the text. */
int stator__json_parse(stator_arena *arena, const char *text, size_t size,
		       stator_json **out, stator_error *err);
/* The child called `name` (the last one), or NULL. */
const stator_json *stator__json_get(const stator_json *object,
				    const char *name);
/* Whether the number is an integer of 64 bits. */
bool stator__json_int(const stator_json *number, int64_t *out);
bool stator__json_double(const stator_json *number, double *out);
/* A short form for messages: `"two"`, `12`, `an object`. Lives in `arena`. */
const char *stator__json_show(stator_arena *arena, const stator_json *value);
/* Where a value of a text begins, both from 1; an object or an array: where it
 * ends. */
void stator__json_place(stator_slice text, const stator_json *value, int *line,
			int *col);

/*
 * The writer appends compact JSON to a buffer. Commas are put by it: begin,
 * name and values in order, end.
 */
typedef struct stator_json_out {
	stator_buf *buf;
	bool comma;
} stator_json_out;

void stator__json_begin(stator_json_out *out, char bracket);
void stator__json_end(stator_json_out *out, char bracket);
void stator__json_name(stator_json_out *out, const char *name);
void stator__json_string(stator_json_out *out, const char *s, size_t size);
void stator__json_cstring(stator_json_out *out, const char *s);
/* Text that may not be UTF-8: what is not becomes "?". */
void stator__json_any_text(stator_json_out *out, const char *s);
void stator__json_integer(stator_json_out *out, int64_t value);
/* The shortest text that reads back as the same number. */
void stator__json_number(stator_json_out *out, double value, bool single);
void stator__json_boolean(stator_json_out *out, bool value);
void stator__json_base64(stator_json_out *out, const void *data, size_t size);
/* A tree as it was read. */
void stator__json_tree(stator_json_out *out, const stator_json *value);

#endif
