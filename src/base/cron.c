/*
 * cron.c: the calendar, and schedules as crontab(5) has them.
 *
 * A schedule is parsed into sets of values. The next tick is found field by
 * field from the largest down: days that do not fit are passed over one by one,
 * and in a day that fits the first hour, minute and second are bits.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cron.h"

/* The calendar ---------------------------------------------------------- */

typedef struct date {
	int64_t year;
	int month, day; /* from 1 */
} date;

enum { DAY_MS = 86400000, EPOCH_WEEKDAY = 4 };

/* Years begin in March here: so the leap day is the last of its year. */
static int64_t
days_of(date d)
{
	int64_t y = d.year - (d.month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 +
			  d.day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - 719468;
}

static date
date_of(int64_t days)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t of_era = z - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 -
		     of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int64_t m = (5 * of_year + 2) / 153;
	date d;

	d.day = (int)(of_year - (153 * m + 2) / 5 + 1);
	d.month = (int)(m < 10 ? m + 3 : m - 9);
	d.year = y + era * 400 + (d.month <= 2);
	return d;
}

/* As many digits: their number, or -1. */
static int
digits(const char *text, int count)
{
	int n = 0;

	for (int i = 0; i < count; i++) {
		if (!isdigit((unsigned char)text[i]))
			return -1;
		n = n * 10 + text[i] - '0';
	}
	return n;
}

/* What is behind the seconds: milliseconds, or -1. */
static int
fraction(const char *text, size_t size)
{
	int ms = 0, worth = 100;

	if (size == 1)
		return text[0] == 'Z' ? 0 : -1;
	if (size > 5 || size < 3 || text[0] != '.' || text[size - 1] != 'Z')
		return -1;
	for (size_t i = 1; i + 1 < size; i++, worth /= 10) {
		if (!isdigit((unsigned char)text[i]))
			return -1;
		ms += (text[i] - '0') * worth;
	}
	return ms;
}

bool
stator__time_parse(const char *text, size_t size, int64_t *out)
{
	static const char form[] = "0000-00-00T00:00:00";
	date d, same;
	int hour, minute, second, ms;

	if (size < sizeof(form))
		return false;
	for (size_t i = 0; i + 1 < sizeof(form); i++)
		if (form[i] != '0' && text[i] != form[i])
			return false;
	d = (date){digits(text, 4), digits(text + 5, 2), digits(text + 8, 2)};
	hour = digits(text + 11, 2);
	minute = digits(text + 14, 2);
	second = digits(text + 17, 2);
	ms = fraction(text + sizeof(form) - 1, size - sizeof(form) + 1);
	if (d.year < 1970 || d.month < 1 || d.month > 12 || d.day < 1 ||
	    hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
	    second > 59 || ms < 0)
		return false;
	same = date_of(days_of(d));
	if (same.month != d.month || same.day != d.day)
		return false;
	*out = days_of(d) * DAY_MS + hour * INT64_C(3600000) + minute * 60000 +
	       second * 1000 + ms;
	return true;
}

static const char *
show_time(char *out, int64_t ms, bool with_ms)
{
	int64_t days = ms / DAY_MS;
	int rest = (int)(ms % DAY_MS), size;
	date d = date_of(days);

	size = snprintf(out, STATOR_TIME_TEXT, "%04d-%02d-%02dT%02d:%02d:%02d",
			(int)d.year, d.month, d.day, rest / 3600000,
			rest / 60000 % 60, rest / 1000 % 60);
	if (with_ms)
		size += snprintf(out + size, STATOR_TIME_TEXT - (size_t)size,
				 ".%03d", rest % 1000);
	snprintf(out + size, STATOR_TIME_TEXT - (size_t)size, "Z");
	return out;
}

const char *
stator__time_show(char out[STATOR_TIME_TEXT], int64_t ms)
{
	return show_time(out, ms, ms % 1000 != 0);
}

const char *
stator__time_stamp(char out[STATOR_TIME_TEXT], int64_t ms)
{
	return show_time(out, ms, true);
}

/* Fields ---------------------------------------------------------------- */

typedef struct field {
	const char *name;
	int low, high;
	const char *const *words; /* for `low` and on */
	int word_count;
} field;

static const char *const month_words[] = {"JAN", "FEB", "MAR", "APR",
					  "MAY", "JUN", "JUL", "AUG",
					  "SEP", "OCT", "NOV", "DEC"};
static const char *const weekday_words[] = {"SUN", "MON", "TUE", "WED",
					    "THU", "FRI", "SAT"};

enum { SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static const field fields[FIELDS] = {
	[SECOND] = {"second", 0, 59, NULL, 0},
	[MINUTE] = {"minute", 0, 59, NULL, 0},
	[HOUR] = {"hour", 0, 23, NULL, 0},
	[DAY] = {"day of the month", 1, 31, NULL, 0},
	[MONTH] = {"month", 1, 12, month_words, 12},
	/* Sunday is 0, and 7, too. */
	[WEEKDAY] = {"day of the week", 0, 7, weekday_words, 7},
};

static int
wrong(const field *f, const char *text, size_t size, stator_error *err)
{
	return stator__fail(err, STATOR_IMAGE,
			    "%s: expected %d to %d%s%s, \"*\", a range, a list "
			    "or a step, found \"%.*s\"",
			    f->name, f->low, f->high,
			    f->words ? ", a name as " : "",
			    f->words ? f->words[0] : "", (int)size, text);
}

/* A number or a name, as long as it gets; -1: neither. */
static int
read_value(const field *f, const char **at, const char *end)
{
	const char *p = *at;
	int n = 0;

	while (p < end && isalnum((unsigned char)*p))
		p++;
	if (p - *at == 3)
		for (int i = 0; i < f->word_count; i++)
			if (strncasecmp(*at, f->words[i], 3) == 0) {
				*at = p;
				return f->low + i;
			}
	if (p == *at || p - *at > 4)
		return -1;
	n = digits(*at, (int)(p - *at));
	*at = p;
	return n;
}

/* "*", "5", "2-6", each with a step "/2" perhaps: the values, as bits. */
static int
read_part(const field *f, const char *text, const char *end, uint64_t *bits,
	  stator_error *err)
{
	const char *at = text;
	int low = f->low, high = f->high, step = 1;
	bool open = at < end && (*at == '*' || *at == '?');

	if (open) {
		at++;
		if (f == &fields[WEEKDAY])
			high = 6;
	} else {
		low = high = read_value(f, &at, end);
		if (at < end && *at == '-') {
			at++;
			high = read_value(f, &at, end);
		} else if (at < end && *at == '/') {
			high = f == &fields[WEEKDAY] ? 6 : f->high;
		}
	}
	if (at < end && *at == '/') {
		static const field steps = {.name = "step"};

		at++;
		step = read_value(&steps, &at, end);
	}
	if (at != end || low < f->low || high > f->high || low > high ||
	    step < 1)
		return wrong(f, text, (size_t)(end - text), err);
	for (int i = low; i <= high; i += step)
		*bits |= UINT64_C(1) << i;
	return STATOR_OK;
}

static int
read_field(const field *f, const char *text, size_t size, uint64_t *bits,
	   stator_error *err)
{
	const char *end = text + size;
	int code = STATOR_OK;

	*bits = 0;
	for (const char *at = text; at <= end && code == STATOR_OK;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));

		if (comma == NULL)
			comma = end;
		code = read_part(f, at, comma, bits, err);
		at = comma + 1;
	}
	return code;
}

static void
take_fields(stator_cron *c, const uint64_t bits[FIELDS])
{
	c->seconds = bits[SECOND];
	c->minutes = bits[MINUTE];
	c->hours = (uint32_t)bits[HOUR];
	c->days = (uint32_t)bits[DAY];
	c->months = (uint32_t)bits[MONTH];
	c->weekdays = (uint32_t)((bits[WEEKDAY] | bits[WEEKDAY] >> 7) & 0x7f);
}

/* Words of a text, up to `most`; how many there are. */
static size_t
split(const char *text, stator_slice *words, size_t most)
{
	size_t count = 0;

	while (*(text += strspn(text, " \t"))) {
		size_t size = strcspn(text, " \t");

		if (count < most)
			words[count] = stator__slice(text, size);
		count++;
		text += size;
	}
	return count;
}

static bool
is_star(stator_slice word)
{
	const char *text = word.data;

	return text[0] == '*' || text[0] == '?';
}

static int
parse_fields(stator_cron *c, const char *text, stator_error *err)
{
	stator_slice words[FIELDS];
	uint64_t bits[FIELDS] = {1}; /* second 0 */
	size_t count = split(text, words, FIELDS), first = FIELDS - count;
	int code = STATOR_OK;

	if (count != FIELDS && count != FIELDS - 1)
		return stator__fail(err, STATOR_IMAGE,
				    "expected 5 fields (minute, hour, day of "
				    "the month, month, day of the week), 6 "
				    "with the second before them, or @every "
				    "1h30m, @daily and the like; found %zu",
				    count);
	for (size_t i = 0; i < count && code == STATOR_OK; i++)
		code = read_field(&fields[first + i], words[i].data,
				  words[i].size, &bits[first + i], err);
	if (code)
		return code;
	take_fields(c, bits);
	c->any_day = is_star(words[DAY - first]);
	c->any_weekday = is_star(words[WEEKDAY - first]);
	if (stator__cron_next(c, 0) == STATOR_TIME_END)
		return stator__fail(err, STATOR_IMAGE,
				    "there is no such day in any year");
	return STATOR_OK;
}

/* "1h30m": milliseconds, or -1. */
static int64_t
read_duration(const char *text)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = {{"h", 3600000}, {"ms", 1},	  {"m", 60000},
		     {"s", 1000},    {"us", 1e-3}, {"µs", 1e-3},
		     {"ns", 1e-6}};
	double sum = 0;

	while (*text) {
		char *end;
		double n;
		size_t i = 0;

		/* Neither signs nor "inf" nor "0x". */
		if (!isdigit((unsigned char)*text) ||
		    strspn(text, "0123456789.") > 15)
			return -1;
		n = strtod(text, &end);
		if (end != text + strspn(text, "0123456789."))
			return -1;
		while (i < STATOR_COUNT(units) &&
		       strncmp(end, units[i].unit, strlen(units[i].unit)) != 0)
			i++;
		if (i == STATOR_COUNT(units))
			return -1;
		sum += n * units[i].ms;
		text = end + strlen(units[i].unit);
	}
	return sum < (double)STATOR_TIME_END ? (int64_t)(sum + 0.5) : -1;
}

static int
parse_every(stator_cron *c, const char *text, stator_error *err)
{
	text += strspn(text, " \t");
	c->every_ms = read_duration(text);
	if (c->every_ms >= 1000)
		return STATOR_OK;
	return stator__fail(err, STATOR_IMAGE,
			    "@every: expected a time from 1s on, as 1h30m, "
			    "found \"%s\"",
			    text);
}

int
stator__cron_parse(stator_cron *c, const char *text, stator_error *err)
{
	static const char *const words[] = {"@yearly", "@annually", "@monthly",
					    "@weekly", "@daily",    "@midnight",
					    "@hourly", "@every"};
	static const char *const meant[] = {"0 0 1 1 *", "0 0 1 1 *",
					    "0 0 1 * *", "0 0 * * 0",
					    "0 0 * * *", "0 0 * * *",
					    "0 * * * *"};

	memset(c, 0, sizeof(*c));
	if (strncmp(text, "TZ=", 3) == 0 || strncmp(text, "CRON_TZ=", 8) == 0)
		return stator__fail(err, STATOR_IMAGE,
				    "times are UTC: leave out the time zone");
	if (text[0] != '@')
		return parse_fields(c, text, err);
	if (strncmp(text, "@every ", 7) == 0)
		return parse_every(c, text + 7, err);
	for (size_t i = 0; i < STATOR_COUNT(meant); i++)
		if (strcmp(text, words[i]) == 0)
			return parse_fields(c, meant[i], err);
	stator__fail(err, STATOR_IMAGE,
		     "expected @every 1h30m, @hourly, @daily, @midnight, "
		     "@weekly, @monthly, @yearly or @annually");
	return stator__suggest(err, stator__guess(text, strlen(text), words,
						  STATOR_COUNT(words)));
}

/* Ticks ----------------------------------------------------------------- */

/* Where both fields are given it is enough that one of them fits. */
static bool
fits(const stator_cron *c, int64_t days, date d)
{
	bool day = c->days >> d.day & 1;
	bool weekday = c->weekdays >> (days + EPOCH_WEEKDAY) % 7 & 1;

	if (!(c->months >> d.month & 1))
		return false;
	return c->any_day || c->any_weekday ? day && weekday : day || weekday;
}

/* The first value from `from` on, or -1. */
static int
first_from(uint64_t bits, int from)
{
	bits = from < 64 ? bits >> from << from : 0;
	return bits ? __builtin_ctzll(bits) : -1;
}

/* The first second from `from` on, of a day that fits; -1: none. */
static int
second_from(const stator_cron *c, int from)
{
	int h = from / 3600, m = from / 60 % 60, s = from % 60;
	int hour = first_from(c->hours, h);

	if (hour == h) {
		int minute = first_from(c->minutes, m);

		if (minute == m) {
			int second = first_from(c->seconds, s);

			if (second >= 0)
				return hour * 3600 + minute * 60 + second;
			minute = first_from(c->minutes, m + 1);
		}
		if (minute >= 0)
			return hour * 3600 + minute * 60 +
			       first_from(c->seconds, 0);
		hour = first_from(c->hours, h + 1);
	}
	if (hour < 0)
		return -1;
	return hour * 3600 + first_from(c->minutes, 0) * 60 +
	       first_from(c->seconds, 0);
}

int64_t
stator__cron_next(const stator_cron *c, int64_t after)
{
	/* The same days come again after 400 years. */
	enum { DAYS_MOST = 146097 };
	int64_t first, days;
	int second;

	if (after < 0)
		after = -1;
	if (after >= STATOR_TIME_END - c->every_ms)
		return STATOR_TIME_END;
	if (c->every_ms)
		return after + c->every_ms;
	second = (int)((after + 1000) % DAY_MS / 1000);
	first = days = (after + 1000) / DAY_MS;
	for (; days <= first + DAYS_MOST; days++, second = 0) {
		int found;

		if (days * DAY_MS >= STATOR_TIME_END)
			break;
		if (!fits(c, days, date_of(days)))
			continue;
		found = second_from(c, second);
		if (found >= 0)
			return days * DAY_MS + found * INT64_C(1000);
	}
	return STATOR_TIME_END;
}

int64_t
stator__cron_last(const stator_cron *c, int64_t after, int64_t until)
{
	int64_t low = after, high = until;

	if (stator__cron_next(c, after) > until)
		return after;
	if (c->every_ms)
		return until - (until - after) % c->every_ms;
	/* The latest moment whose next tick is not too late. */
	while (low < high) {
		int64_t middle = low + (high - low + 1) / 2;

		if (stator__cron_next(c, middle) <= until)
			low = middle;
		else
			high = middle - 1;
	}
	return stator__cron_next(c, low);
}
