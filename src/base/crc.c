/*
 * crc.c: CRC-32C (Castagnoli), by the processor's own instruction where it has
 * one, else by a table.
 */
#include "base/base.h"

#define POLYNOMIAL 0x82f63b78u

/* Reflected, one byte at a time. */
static uint32_t
by_bits(uint32_t crc, const uint8_t *p, size_t size)
{
	static const uint32_t nibbles[16] = {
#define HALF(c) ((c) & 1 ? ((c) >> 1) ^ POLYNOMIAL : (c) >> 1)
#define ROW(n) HALF(HALF(HALF(HALF((uint32_t)(n)))))
		ROW(0), ROW(1), ROW(2),	 ROW(3),  ROW(4),  ROW(5),
		ROW(6), ROW(7), ROW(8),	 ROW(9),  ROW(10), ROW(11),
		ROW(12), ROW(13), ROW(14), ROW(15),
#undef ROW
#undef HALF
	};

	for (; size; size--, p++) {
		crc ^= *p;
		crc = (crc >> 4) ^ nibbles[crc & 15];
		crc = (crc >> 4) ^ nibbles[crc & 15];
	}
	return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t
by_instruction(uint32_t crc, const uint8_t *p, size_t size)
{
	uint64_t wide = crc;

	for (; size >= 8; size -= 8, p += 8)
		wide = __builtin_ia32_crc32di(wide, stator__u64(p));
	crc = (uint32_t)wide;
	for (; size; size--, p++)
		crc = __builtin_ia32_crc32qi(crc, *p);
	return crc;
}
#endif

uint32_t
stator__crc32c_plain(uint32_t crc, const void *data, size_t size)
{
	return ~by_bits(~crc, data, size);
}

uint32_t
stator__crc32c(uint32_t crc, const void *data, size_t size)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return ~by_instruction(~crc, data, size);
#endif
	return stator__crc32c_plain(crc, data, size);
}
