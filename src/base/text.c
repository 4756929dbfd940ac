/*
 * text.c: slices, UTF-8, base64, names and the hash of names.
 */
#include <ctype.h>

#include "base/base.h"

int
stator__slice_cmp(stator_slice a, stator_slice b)
{
	size_t common = a.size < b.size ? a.size : b.size;
	int order = common ? memcmp(a.data, b.data, common) : 0;

	if (order)
		return order;
	return a.size < b.size ? -1 : a.size > b.size;
}

/* The length of the sequence that begins at `p`, or 0 when it is not valid:
 * no overlong forms, no surrogates, nothing past U+10FFFF. */
static size_t
utf8_sequence(const uint8_t *p, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t size = p[0] < 0x80	     ? 1
		      : (p[0] >> 5) == 0x06 ? 2
		      : (p[0] >> 4) == 0x0e ? 3
		      : (p[0] >> 3) == 0x1e ? 4
					     : 0;
	uint32_t c;

	if (size <= 1)
		return size;
	if (size > left)
		return 0;
	c = p[0] & (0xffu >> (size + 1));
	for (size_t i = 1; i < size; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	return size;
}

bool
stator__utf8_valid(const void *data, size_t size)
{
	const uint8_t *p = data;

	while (size) {
		size_t n = utf8_sequence(p, size);

		if (n == 0)
			return false;
		p += n;
		size -= n;
	}
	return true;
}

size_t
stator__utf8_scrub(char *out, const char *text, size_t size)
{
	char *start = out;

	for (size_t i = 0; i < size;) {
		size_t n = utf8_sequence((const uint8_t *)text + i, size - i);

		if (n == 0) {
			*out++ = '?';
			i++;
			continue;
		}
		memcpy(out, text + i, n);
		out += n;
		i += n;
	}
	return (size_t)(out - start);
}

static size_t
identifier(const char *s, size_t size)
{
	size_t n = 0;

	if (size == 0 || isdigit((unsigned char)s[0]))
		return 0;
	while (n < size && (isalnum((unsigned char)s[n]) || s[n] == '_'))
		n++;
	return n;
}

bool
stator__qname_valid(const void *data, size_t size)
{
	const char *s = data;
	size_t package = identifier(s, size);

	if (package == 0 || package == size || s[package] != '.')
		return false;
	s += package + 1;
	size -= package + 1;
	return size && identifier(s, size) == size;
}

static const char base64_digits[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t
stator__base64_size(size_t size)
{
	return (size + 2) / 3 * 4;
}

void
stator__base64_encode(char *out, const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < size; i += 3) {
		uint32_t v = (uint32_t)data[i] << 16;

		if (i + 1 < size)
			v |= (uint32_t)data[i + 1] << 8;
		if (i + 2 < size)
			v |= data[i + 2];
		*out++ = base64_digits[v >> 18];
		*out++ = base64_digits[v >> 12 & 63];
		*out++ = i + 1 < size ? base64_digits[v >> 6 & 63] : '=';
		*out++ = i + 2 < size ? base64_digits[v & 63] : '=';
	}
}

static int
base64_digit(char c)
{
	const char *at = c ? strchr(base64_digits, c) : NULL;

	return at ? (int)(at - base64_digits) : -1;
}

/* Strict: padded to four, nothing but digits, no stray bits at the end. */
long
stator__base64_decode(uint8_t *out, const char *text, size_t size)
{
	uint8_t *start = out;

	if (size % 4)
		return -1;
	for (size_t i = 0; i < size; i += 4) {
		bool last = i + 4 == size;
		int pad = !last ? 0 : (text[i + 3] == '=') +
				      (text[i + 3] == '=' && text[i + 2] == '=');
		uint32_t v = 0;

		for (int k = 0; k < 4; k++) {
			int digit = k >= 4 - pad ? 0 : base64_digit(text[i + (size_t)k]);

			if (digit < 0)
				return -1;
			v = v << 6 | (uint32_t)digit;
		}
		if ((pad == 1 && (v & 0xff)) || (pad == 2 && (v & 0xffff)))
			return -1;
		*out++ = (uint8_t)(v >> 16);
		if (pad < 2)
			*out++ = (uint8_t)(v >> 8);
		if (pad < 1)
			*out++ = (uint8_t)v;
	}
	return (long)(out - start);
}

/* FNV-1a. The numbers stand in stored data and never change. */
uint32_t
stator__hash(const void *data, size_t size)
{
	const uint8_t *p = data;
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < size; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

enum { GUESS_MAX = 64 };

/* Levenshtein distance of two short names, blind to case. */
static size_t
distance(const char *a, size_t an, const char *b, size_t bn)
{
	size_t row[GUESS_MAX + 1];

	if (an > GUESS_MAX || bn > GUESS_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= bn; j++)
		row[j] = j;
	for (size_t i = 1; i <= an; i++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= bn; j++) {
			bool same = tolower((unsigned char)a[i - 1]) ==
				    tolower((unsigned char)b[j - 1]);
			size_t best = corner + !same;

			corner = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[bn];
}

/* What is left of a name behind its package. */
static size_t
local_size(const char *name, size_t size)
{
	const char *dot = memchr(name, '.', size);

	return dot ? size - (size_t)(dot + 1 - name) : size;
}

const char *
stator__guess(const char *name, size_t size, const char *const *names,
	      size_t count)
{
	size_t letters = local_size(name, size);
	size_t best = (letters + 2) / 3;
	const char *guess = NULL;

	for (size_t i = 0; i < count; i++) {
		size_t d = distance(name, size, names[i], strlen(names[i]));

		if (d == 0 && memcmp(name, names[i], size) == 0)
			continue;
		if (d < letters && d <= best && (guess == NULL || d < best)) {
			best = d;
			guess = names[i];
		}
	}
	return guess;
}
