/*
 * cron.h: times as text, and when what is done again and again is due. All
 * times are UTC, in milliseconds since 1970; none is behind the year 9999.
 */
#ifndef STATOR_CRON_H
#define STATOR_CRON_H

#include "base/base.h"

/* "2026-01-31T23:59:00Z", with or without ".250" behind the seconds. False:
 * it is no such time. */
bool stator__time_parse(const char *text, size_t size, int64_t *out);
/* The same, without milliseconds that are 0. */
enum { STATOR_TIME_TEXT = 32 };
const char *stator__time_show(char out[STATOR_TIME_TEXT], int64_t ms);
/* With milliseconds in any case: of lines that stand below each other. */
const char *stator__time_stamp(char out[STATOR_TIME_TEXT], int64_t ms);
/* The first millisecond of the year 10000. */
#define STATOR_TIME_END INT64_C(253402300800000)

/* A schedule: of each field, a bit for each value that is meant. */
typedef struct stator_cron {
	int64_t every_ms; /* of "@every"; 0: the fields count */
	uint64_t seconds, minutes;
	uint32_t hours, days, months, weekdays;
	bool any_day, any_weekday; /* the field begins with a star */
} stator_cron;

/*
 * Reads "30 2 * * MON-FRI", with or without seconds before, "@every 1h30m",
 * "@daily" and their like. What is wrong is said without the text itself.
 */
int stator__cron_parse(stator_cron *out, const char *text, stator_error *err);
/* The first tick later than `after`; STATOR_TIME_END: there is none. */
int64_t stator__cron_next(const stator_cron *cron, int64_t after);
/* The last tick later than `after` and not later than `until`, or `after`
 * itself when there is none. */
int64_t stator__cron_last(const stator_cron *cron, int64_t after,
			  int64_t until);

#endif
