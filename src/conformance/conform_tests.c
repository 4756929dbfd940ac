/*
 * conform_tests.c: tests of a plugin as a whole: its description, its
 * configuration, and its life without runs.
 */
#include <stdio.h>

#include "conformance/conform.h"

/* The description --------------------------------------------------------- */

static void
check_scopes(conform_bench *b, const stator_storage *s)
{
	uint32_t all = s->undeclared;

	for (int op = 0; op < STATOR_OP_COUNT; op++)
		all |= s->scopes[op];
	if (all & ~(uint32_t)STATOR_EVERYONE)
		conform_broke(b, RULE_SCOPES, CALL_NONE,
			      "storage %s has a scope 0x%x", s->name, all);
}

static bool
is_config_kind(uint8_t kind)
{
	return kind == STATOR_INT64 || kind == STATOR_FLOAT64 ||
	       kind == STATOR_BOOL || kind == STATOR_STRING;
}

static void
check_presets(conform_bench *b, const stator_storage *s)
{
	for (size_t i = 0; i < s->config_field_count; i++) {
		const stator_field_desc *f = &s->config_fields[i];
		stator_storage alone = *s;
		const stator_json *wrong;
		stator_json *json;
		stator_error err;
		stator_row row;
		int code = STATOR_OK;

		if (!is_config_kind(f->kind))
			conform_broke(b, RULE_CONFIG_KIND, CALL_NONE,
				      "storage %s: %s is %s", s->name, f->name,
				      stator__kind_name(f->kind));
		if (f->preset == NULL)
			continue;
		alone.config_fields = f;
		alone.config_field_count = 1;
		code = stator__json_parse(&b->arena, f->preset,
					  strlen(f->preset), &json, &err);
		if (code == STATOR_OK)
			code = stator__config_row(&b->arena, &alone, NULL, 0,
						  &row, &wrong, &err);
		if (code)
			conform_broke(b, RULE_PRESET, CALL_NONE,
				      "storage %s: the preset of %s: %s",
				      s->name, f->name, err.msg);
	}
}

static uint32_t
abilities(const stator_storage *s)
{
	uint32_t has = 0;

	if (s->scopes[STATOR_GET] && s->get)
		has |= HAS_GET;
	if ((s->scopes[STATOR_GET] || s->scopes[STATOR_GETBATCH]) &&
	    s->get_batch)
		has |= HAS_BATCH;
	if (s->scopes[STATOR_READ] && s->read)
		has |= HAS_READ;
	/* Intents of records become parts of the event: no storage is asked. */
	if (s->entity == STATOR_ENTITY_RECORD)
		return has;
	if (s->scopes[STATOR_INSERT])
		has |= HAS_INSERT | HAS_WRITES;
	if (s->scopes[STATOR_UPDATE])
		has |= HAS_UPDATE | HAS_WRITES;
	if ((has & HAS_WRITES) && s->apply)
		has |= HAS_APPLY;
	if ((has & HAS_WRITES) && s->effect)
		has |= HAS_EFFECT;
	if ((has & HAS_WRITES) && s->settle)
		has |= HAS_SETTLE;
	return has;
}

static void
describe(conform_bench *b)
{
	conform_report *report = b->suite->report;
	size_t count = b->plugin->storage_count;

	snprintf(report->plugin, sizeof(report->plugin), "%s", b->plugin->name);
	if (count > CONFORM_STORAGES)
		count = CONFORM_STORAGES;
	report->storage_count = (uint32_t)count;
	for (size_t i = 0; i < count; i++) {
		const stator_storage *s = b->plugin->storages[i];

		snprintf(report->storages[i].name,
			 sizeof(report->storages[i].name), "%s", s->name);
		report->storages[i].has = abilities(s);
		check_scopes(b, s);
	}
}

static void
configure(conform_bench *b)
{
	for (size_t i = 0; i < b->plugin->storage_count; i++)
		check_presets(b, b->plugin->storages[i]);
	conform_configure(b);
}

/* Its life ---------------------------------------------------------------- */

static void
live(conform_bench *b)
{
	for (int i = 0; i < 3; i++)
		if (conform_open(b))
			conform_close(b);
}

/* Opens with one allocation failing; false when none was left to fail. */
static bool
live_without(conform_bench *b, uint32_t allocation)
{
	bool failed;

	conform_fail_alloc(allocation);
	if (conform_open(b))
		conform_close(b);
	else if (conform_blocks())
		conform_broke(b, RULE_FREED,
			      (conform_call)b->suite->report->last,
			      "allocation %u failed, and %zu blocks are left",
			      allocation, conform_blocks());
	failed = conform_alloc_failed();
	conform_fail_alloc(0);
	return failed;
}

static void
live_poorly(conform_bench *b)
{
	uint32_t allocation = 1;

	while (allocation < 1000 && b->suite->report->broken_count == 0 &&
	       live_without(b, allocation))
		allocation++;
	if (allocation == 1)
		conform_skip(b, "nothing is allocated");
}

const conform_test conform_plugin_tests[] = {
	{"it can be loaded, and is well described", 0, true, describe},
	{"it can be configured", 0, true, configure},
	{"init, attach, detach and finit leave nothing behind", 0, true, live},
	{"init and attach survive without memory", 0, false, live_poorly},
};
const size_t conform_plugin_test_count = STATOR_COUNT(conform_plugin_tests);
