/*
 * wire.h: what goes over the socket between the host and the process of a
 * plugin: frames of a kind and a size, made of numbers, texts and rows.
 *
 * The process is a fork of the host: what the host had made before, the types
 * of rows above all, is at the same place in both. So the host sends pointers
 * to it. What comes back is not believed: rows say their type by its number.
 */
#ifndef STATOR_ISOLATION_WIRE_H
#define STATOR_ISOLATION_WIRE_H

#include "registry/registry.h"

enum wire_kind {
	/* The host asks; the process says RETURN. */
	WIRE_INIT = 1,
	WIRE_ATTACH,
	WIRE_DETACH,
	WIRE_FINIT,
	WIRE_GET,
	WIRE_GETBATCH,
	WIRE_READ,
	WIRE_NEXT,
	WIRE_RELEASE,
	WIRE_VALIDATE,
	WIRE_APPLY,
	WIRE_EFFECT,
	WIRE_SETTLE,
	/* The host tells: a run has ended. */
	WIRE_END,
	WIRE_RETURN,
	/* The process asks, in the middle of a call; the host says ANSWER. */
	WIRE_STORE_GET,
	WIRE_STORE_RANGE,
	WIRE_STORE_NEXT,
	WIRE_STORE_RELEASE,
	WIRE_STORE_PUT,
	WIRE_STORE_DEL,
	WIRE_EVENT,
	WIRE_ARGUMENT,
	WIRE_RESULT,
	WIRE_RESPONSE,
	WIRE_WLOG,
	WIRE_ANSWER,
	/* The process tells: a line for the log. */
	WIRE_LOG
};

typedef struct wire_head {
	uint32_t kind;
	uint32_t size; /* of what follows */
} wire_head;

/* No message of sound programs is longer. */
#define WIRE_MOST (1u << 30)

/* Writing: a buffer holds one frame; `begin` drops what was there. */
void stator__wire_begin(stator_buf *out, uint32_t kind);
/* The frame as it is sent. */
stator_slice stator__wire_frame(stator_buf *out);
void stator__wire_u32(stator_buf *out, uint32_t v);
void stator__wire_u64(stator_buf *out, uint64_t v);
void stator__wire_bytes(stator_buf *out, stator_slice bytes);
void stator__wire_text(stator_buf *out, const char *text); /* may be NULL */
void stator__wire_row(stator_buf *out, const stator_row *row);
void stator__wire_pointer(stator_buf *out, const void *p);
/* The outcome, with which RETURN and ANSWER begin. */
void stator__wire_outcome(stator_buf *out, int code, const stator_error *err);

/* Reading: past the end everything is 0 and `bad` is set. */
typedef struct wire_in {
	const uint8_t *at, *end;
	bool bad;
} wire_in;

uint32_t stator__wire_take_u32(wire_in *in);
uint64_t stator__wire_take_u64(wire_in *in);
stator_slice stator__wire_take_bytes(wire_in *in);
/* In `arena`; NULL when it was. */
const char *stator__wire_take_text(wire_in *in, stator_arena *arena);
const void *stator__wire_take_pointer(wire_in *in);
/* The row as its sender has it: only the process believes the type. */
stator_row stator__wire_take_row(wire_in *in, stator_arena *arena);
/* The same, with the number of the type instead of the type. */
stator_row stator__wire_take_foreign(wire_in *in, stator_arena *arena,
				     uint32_t *type);
int stator__wire_take_outcome(wire_in *in, stator_error *err);

/* What a plugin says of itself; borrows from `arena` when it is taken. */
void stator__wire_plugin(stator_buf *out, const stator_plugin *plugin);
enum { WIRE_STORAGES_MOST = 1000 };
/* What a storage can do, as bits. */
enum {
	WIRE_HAS_GET = 1,
	WIRE_HAS_GETBATCH = 2,
	WIRE_HAS_READ = 4,
	WIRE_HAS_VALIDATE = 8,
	WIRE_HAS_APPLY = 16,
	WIRE_HAS_EFFECT = 32,
	WIRE_HAS_SETTLE = 64
};
/* Descriptions without functions, with their abilities in `has`. */
bool stator__wire_take_plugin(wire_in *in, stator_arena *arena,
			      stator_plugin *plugin,
			      stator_storage **storages, uint32_t **has);

#endif
