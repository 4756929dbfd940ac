/*
 * log_format.h: the bytes of a segment, for those that write and read it.
 * Numbers are little endian.
 *
 *	segment	"STATLOG1", u64 number, u64 salt, u32 CRC of these; 64 bytes
 *	record	u32 CRC of what follows it, u32 size of the entries, u64 LSN,
 *		entries; from a multiple of 8 to the next
 *	entry	varint: size of the key * 2 + 1 when it is deleted; key;
 *		unless it is deleted: varint size of the value, value
 *
 * The CRC of a record begins with the salt of its segment, so that neither what
 * a segment held in an earlier life nor what a value holds is taken for a
 * record.
 */
#ifndef STATOR_LOG_FORMAT_H
#define STATOR_LOG_FORMAT_H

#include "base/base.h"

#define STATOR_LOG_MAGIC "STATLOG1"
#define STATOR_LOG_NAME "log-%016llx.seg"
enum { STATOR_LOG_HEADER = 64, STATOR_RECORD_HEADER = 16 };

static inline uint32_t
stator__record_crc(uint64_t salt, const uint8_t *record, size_t size)
{
	uint32_t crc = stator__crc32c(0, &salt, sizeof(salt));

	return stator__crc32c(crc, record + 4, STATOR_RECORD_HEADER - 4 + size);
}

static inline size_t
stator__record_size(size_t entries)
{
	return (STATOR_RECORD_HEADER + entries + 7) & ~(size_t)7;
}

static inline void
stator__log_header(uint8_t *h, uint64_t number, uint64_t salt)
{
	memset(h, 0, STATOR_LOG_HEADER);
	memcpy(h, STATOR_LOG_MAGIC, 8);
	stator__u64_put(h + 8, number);
	stator__u64_put(h + 16, salt);
	stator__u32_put(h + 24, stator__crc32c(0, h, 24));
}

#endif
