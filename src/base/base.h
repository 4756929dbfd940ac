/*
 * base.h: what every other room stands on: errors, slices, memory, buffers,
 * text, clocks and the log. It knows nothing of the rest.
 *
 * Memory: running out of it ends the process, as in most servers; nothing
 * below checks for NULL. What a run of an extension makes lives in an arena
 * and is dropped at once when the run is over.
 */
#ifndef STATOR_BASE_H
#define STATOR_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h> /* before `free` is another one */
#include <string.h>

#include "stator_plugin.h"

#define STATOR_PRINTF(text, args) \
	__attribute__((format(printf, text, args)))
#define STATOR_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STATOR_LIKELY(x) __builtin_expect(!!(x), 1)
#define STATOR_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* A line of the processor's cache: the unit in which memory goes from one core
 * to another. What one thread writes all the time is kept off the lines that
 * another one reads by such a gap. */
enum { STATOR_LINE = 64 };

/* Asks for memory that will be read soon, line by line; NULL is none. */
static inline void
stator__prefetch(const void *from, size_t size)
{
	for (size_t i = 0; from && i < size; i += STATOR_LINE)
		__builtin_prefetch((const char *)from + i);
}

/* Memory -------------------------------------------------------------- */

/*
 * What is taken here is freed by `free`, which is the embedder's when there is
 * one (stator_set_allocator), and never libc's then: so what libc hands out
 * (vasprintf, realpath ...) is not freed by it. The first three may be NULL.
 */
void *stator__memory(size_t size);
void *stator__memory_zero(size_t size);
void *stator__memory_resize(void *p, size_t size);
void stator__free(void *p);
#define free(p) stator__free(p)

/* Large blocks that have an alignment, which no embedder's allocator knows: they
 * are libc's. NULL when there are none. */
void *stator__memory_aligned(size_t alignment, size_t size);
void stator__memory_aligned_free(void *p);

/* Zeroed memory; the caller frees it with `free`. Never NULL. */
void *stator__alloc(size_t size);
void *stator__realloc(void *p, size_t size);
char *stator__strdup(const char *s);
char *stator__strndup(const char *s, size_t size);
/* Caller frees with `free`. */
char *stator__format(const char *format, ...) STATOR_PRINTF(1, 2);

/*
 * Grows `items` so that one more fits: the one idiom for arrays that grow.
 * `count` is the number in use, `cap` the number there is room for.
 */
#define STATOR_GROW(items, count, cap)                                    \
	((count) < (cap) ? (void)0                                        \
			 : (void)((items) = stator__grow((items), &(cap), \
							 sizeof(*(items)))))
void *stator__grow(void *items, size_t *cap, size_t item_size);

typedef struct stator_arena_block stator_arena_block;

/* An arena: allocations are dropped together by `reset` or `free`. */
typedef struct stator_arena {
	stator_arena_block *block; /* the one in use; older ones behind it */
	char *at;
	char *end;
} stator_arena;

void *stator__arena_refill(stator_arena *arena, size_t size);
void *stator__arena_zero(stator_arena *arena, size_t size);
void *stator__arena_copy(stator_arena *arena, const void *data, size_t size);
char *stator__arena_str(stator_arena *arena, const char *data, size_t size);
char *stator__arena_format(stator_arena *arena, const char *format, ...)
	STATOR_PRINTF(2, 3);
/* Bytes that are in use. */
size_t stator__arena_size(const stator_arena *arena);
/* Whether these bytes were allocated there. */
bool stator__arena_owns(const stator_arena *arena, const void *data,
			size_t size);
/* Keeps one block for the next use: of 1 MB at most, or of `most` bytes. */
void stator__arena_reset(stator_arena *arena);
void stator__arena_reset_to(stator_arena *arena, size_t most);
void stator__arena_free(stator_arena *arena);

/* Uninitialised memory, aligned to 8 bytes. */
static inline void *
stator__arena_alloc(stator_arena *arena, size_t size)
{
	size_t need = (size + 7) & ~(size_t)7;

	if (STATOR_UNLIKELY((size_t)(arena->end - arena->at) < need))
		return stator__arena_refill(arena, need);
	arena->at += need;
	return arena->at - need;
}

/* A buffer of bytes that grows. Zero-initialise; free `data` with `free`. */
typedef struct stator_buf {
	uint8_t *data;
	size_t size;
	size_t cap;
} stator_buf;

uint8_t *stator__buf_enlarge(stator_buf *buf, size_t size);

/* Room for `size` more bytes at the end; returns where they go. */
static inline uint8_t *
stator__buf_reserve(stator_buf *buf, size_t size)
{
	if (STATOR_UNLIKELY(buf->cap - buf->size < size))
		return stator__buf_enlarge(buf, size);
	return buf->data + buf->size;
}

static inline void
stator__buf_put(stator_buf *buf, const void *data, size_t size)
{
	if (size == 0)
		return;
	memcpy(stator__buf_reserve(buf, size), data, size);
	buf->size += size;
}

void stator__buf_str(stator_buf *buf, const char *s);
void stator__buf_format(stator_buf *buf, const char *format, ...)
	STATOR_PRINTF(2, 3);

/* Errors -------------------------------------------------------------- */

const char *stator__status_name(int code);
const char *stator__status_text(int code);
int stator__status_http(int code);
bool stator__status_known(int code);
/* Whether it says that a run has passed one of its limits. */
bool stator__status_is_limit(int code);

/* Fills `err`, which may be NULL, and returns `code`. */
int stator__fail(stator_error *err, int code, const char *format, ...)
	STATOR_PRINTF(3, 4);
int stator__vfail(stator_error *err, int code, const char *format,
		  va_list args);
/* Adds "; did you mean NAME?", unless `guess` is NULL; returns the code. */
int stator__suggest(stator_error *err, const char *guess);
/* Puts context before the text that is there; returns the code. */
int stator__wrap(stator_error *err, const char *format, ...)
	STATOR_PRINTF(2, 3);

/* Text and bytes ------------------------------------------------------ */

static inline stator_slice
stator__slice(const void *data, size_t size)
{
	stator_slice s = {data, size};
	return s;
}

static inline stator_slice
stator__cslice(const char *s)
{
	return stator__slice(s, strlen(s));
}

static inline bool
stator__slice_eq(stator_slice a, stator_slice b)
{
	return a.size == b.size &&
	       (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool
stator__slice_is(stator_slice a, const char *s)
{
	return stator__slice_eq(a, (stator_slice){s, strlen(s)});
}

/* memcmp order; a prefix comes first. */
int stator__slice_cmp(stator_slice a, stator_slice b);

bool stator__utf8_valid(const void *data, size_t size);
/* The text with "?" for what is not UTF-8, to `out`, of the same size. */
size_t stator__utf8_scrub(char *out, const char *text, size_t size);
/* Whether `s` is "package.Name". */
bool stator__qname_valid(const void *data, size_t size);
size_t stator__base64_size(size_t size);
void stator__base64_encode(char *out, const uint8_t *data, size_t size);
/* The number of bytes written to `out`, or -1. `out` holds 3/4 of `size`. */
long stator__base64_decode(uint8_t *out, const char *text, size_t size);

/* The 32-bit hash that identifies a name in stored data. */
uint32_t stator__hash(const void *data, size_t size);

/* CRC-32C of bytes behind others, whose own was `crc`; 0 at the beginning. */
uint32_t stator__crc32c(uint32_t crc, const void *data, size_t size);
/* The same without the processor's help. */
uint32_t stator__crc32c_plain(uint32_t crc, const void *data, size_t size);

/*
 * The most alike of `count` names, for "did you mean"; NULL when none is
 * close.
 */
const char *stator__guess(const char *name, size_t size,
			  const char *const *names, size_t count);

/* Numbers in bytes: little endian in rows, big endian in keys. */
#define STATOR_LOADER(name, type)                     \
	static inline type name(const uint8_t *p)     \
	{                                             \
		type v;                               \
		memcpy(&v, p, sizeof(v));             \
		return v;                             \
	}                                             \
	static inline void name##_put(uint8_t *p, type v) \
	{                                             \
		memcpy(p, &v, sizeof(v));             \
	}
STATOR_LOADER(stator__u16, uint16_t)
STATOR_LOADER(stator__u32, uint32_t)
STATOR_LOADER(stator__u64, uint64_t)
STATOR_LOADER(stator__f32, float)
STATOR_LOADER(stator__f64, double)
#undef STATOR_LOADER

static inline void
stator__be32_put(uint8_t *p, uint32_t v)
{
	stator__u32_put(p, __builtin_bswap32(v));
}

static inline void
stator__be64_put(uint8_t *p, uint64_t v)
{
	stator__u64_put(p, __builtin_bswap64(v));
}

static inline uint32_t
stator__be32(const uint8_t *p)
{
	return __builtin_bswap32(stator__u32(p));
}

static inline uint64_t
stator__be64(const uint8_t *p)
{
	return __builtin_bswap64(stator__u64(p));
}

/* Clock and log ------------------------------------------------------- */

int64_t stator__now_ms(void);
int64_t stator__monotonic_ns(void);
/* The same clock, milliseconds late, at a fraction of the cost. */
int64_t stator__coarse_ns(void);

enum {
	STATOR_LOG_ERROR = 1,
	STATOR_LOG_WARNING = 2,
	STATOR_LOG_INFO = 3,
	STATOR_LOG_VERBOSE = 4,
	STATOR_LOG_TRACE = 5
};

/*
 * A line of the log: "level source: message", and what it is about, as the
 * thread knows it (log.h). Safe from every thread.
 */
void stator__log(int32_t level, const char *source, const char *message);
void stator__logf(int32_t level, const char *source, const char *format, ...)
	STATOR_PRINTF(3, 4);

static inline uint64_t
stator__mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 p = a;

	p *= b;
	return (uint64_t)p ^ (uint64_t)(p >> 64);
}

/* For tables in memory: eight bytes at a time; `seed` is the table's secret. */
static inline uint64_t
stator__hash64(stator_slice key, uint64_t seed)
{
	const uint8_t *p = key.data;
	uint64_t h = seed ^ key.size, last = 0;
	size_t left = key.size;

	for (; left >= 8; left -= 8, p += 8)
		h = stator__mix(h ^ stator__u64(p), 0x9e3779b97f4a7c15u);
	if (left)
		memcpy(&last, p, left);
	return stator__mix(h ^ last, 0xd6e8feb86659fd93u);
}

#endif
