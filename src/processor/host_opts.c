/*
 * host_opts.c: the options of a host: held against what they may be, and copied.
 *
 * A program that was built with an earlier header has a shorter struct, one
 * that was built with a later header a longer one, the end of which is left
 * alone.
 */
#include <signal.h>
#include <stdlib.h>

#include "processor/host.h"

enum { DEFAULT_QUEUE = 4096 };

/* What they may be ------------------------------------------------------------ */

static int
wrong(stator_error *err, const char *what, size_t i, const char *how)
{
	return stator__fail(err, STATOR_INVALID, "opts: %s[%zu] %s", what, i,
			    how);
}

static int
check_array(const void *items, size_t count, const char *name,
	    stator_error *err)
{
	if (items || count == 0)
		return STATOR_OK;
	return stator__fail(err, STATOR_INVALID,
			    "opts: %s is NULL, and there are to be %zu", name,
			    count);
}

static int
check_builtins(const stator_host_opts *o, stator_error *err)
{
	const stator_builtin *all = o->builtins;
	int code = check_array(all, o->builtin_count, "builtins", err);

	for (size_t i = 0; i < o->builtin_count && !code; i++) {
		const char *name = all[i].name;

		if (name == NULL || strchr(name, '.') == NULL)
			return wrong(err, "builtins", i,
				     "has no name, \"package.Name\"");
		if (all[i].function == NULL)
			return stator__fail(err, STATOR_INVALID,
					    "opts: %s has no function", name);
		for (size_t k = 0; k < i; k++)
			if (strcmp(all[k].name, name) == 0)
				return stator__fail(err, STATOR_INVALID,
						    "opts: %s is registered "
						    "twice",
						    name);
	}
	return code;
}

static int
check_plugins(const stator_host_opts *o, stator_error *err)
{
	int code = check_array(o->plugins, o->plugin_count, "plugins", err);

	for (size_t i = 0; i < o->plugin_count && !code; i++) {
		if (o->plugins[i] == NULL)
			return wrong(err, "plugins", i, "is NULL");
		for (size_t k = 0; k < i; k++)
			if (o->plugins[k] == o->plugins[i])
				return wrong(err, "plugins", i,
					     "is there twice");
	}
	if (code == STATOR_OK)
		code = check_array(o->plugin_files, o->plugin_file_count,
				   "plugin_files", err);
	for (size_t i = 0; i < o->plugin_file_count && !code; i++)
		if (o->plugin_files[i] == NULL)
			return wrong(err, "plugin_files", i, "is NULL");
	return code;
}

static int
check_number(const char *name, int32_t n, int32_t most, stator_error *err)
{
	if (n >= 0 && n <= most)
		return STATOR_OK;
	return stator__fail(err, STATOR_INVALID,
			    "opts: %s is 0 to %d, not %d", name, most, n);
}

static int
check_preemption(const stator_host_opts *o, stator_error *err)
{
	int code;

	if (!STATOR_HAS(o, preempt_signal))
		return STATOR_OK;
	code = check_number("preemption", o->preemption,
			    STATOR_PREEMPTION_FUEL, err);
	if (code == STATOR_OK)
		code = check_number("preempt_signal", o->preempt_signal,
				    SIGRTMAX, err);
	if (code == STATOR_OK && (o->preempt_signal == SIGKILL ||
				  o->preempt_signal == SIGSTOP))
		code = stator__fail(err, STATOR_INVALID,
				    "opts: preempt_signal %d cannot be caught",
				    o->preempt_signal);
	return code;
}

static int
check_manners(const stator_host_opts *o, stator_error *err)
{
	int code = check_number("log_level", o->log_level, STATOR_LOG_TRACE,
				err);

	if (code == STATOR_OK && STATOR_HAS(o, when_full)) {
		code = check_number("log_format", o->log_format,
				    STATOR_LOG_FORMAT_JSON, err);
		if (code == STATOR_OK)
			code = check_number("when_full", o->when_full,
					    STATOR_FULL_BUSY, err);
	}
	if (code == STATOR_OK && STATOR_HAS(o, work_ctx))
		code = check_number("threads", o->threads, STATOR_THREADS_OWN,
				    err);
	if (code == STATOR_OK && STATOR_HAS(o, clock_ctx) && o->set_clock &&
	    o->clock == NULL)
		code = stator__fail(err, STATOR_INVALID,
				    "opts: set_clock without clock");
	return code;
}

int
stator__host_opts_check(const stator_host_opts *o, stator_error *err)
{
	int code;

	if (o->abi >> 16 != STATOR_ABI_MAJOR ||
	    !STATOR_HAS(o, plugin_file_count))
		return stator__fail(err, STATOR_INVALID,
				    "opts: begin with STATOR_HOST_OPTS_INIT");
	code = check_builtins(o, err);
	if (code == STATOR_OK)
		code = check_plugins(o, err);
	if (code == STATOR_OK)
		code = check_preemption(o, err);
	return code ? code : check_manners(o, err);
}

/* A copy ------------------------------------------------------------------------ */

static void *
copy_array(const void *items, size_t count, size_t size)
{
	void *copy = stator__alloc(count * size);

	if (count)
		memcpy(copy, items, count * size);
	return copy;
}

void
stator__host_opts_preemption(stator_load_opts *to, const stator_host_opts *opts)
{
	if (!STATOR_HAS(opts, preempt_signal))
		return;
	to->preemption = opts->preemption;
	to->preempt_signal = opts->preempt_signal;
}

static void
copy_load(stator_load_opts *to, const stator_host_opts *opts)
{
	char **files = stator__alloc((opts->plugin_file_count + 1) *
				     sizeof(*files));

	for (size_t i = 0; i < opts->plugin_file_count; i++)
		files[i] = stator__strdup(opts->plugin_files[i]);
	to->builtins = copy_array(opts->builtins, opts->builtin_count,
				  sizeof(*opts->builtins));
	for (size_t i = 0; i < opts->builtin_count; i++) {
		stator_builtin *b = (stator_builtin *)(uintptr_t)&to->builtins[i];

		b->name = stator__strdup(b->name);
	}
	to->builtin_count = opts->builtin_count;
	to->plugins = copy_array(opts->plugins, opts->plugin_count,
				 sizeof(*opts->plugins));
	to->plugin_count = opts->plugin_count;
	to->plugin_files = (const char *const *)files;
	to->plugin_file_count = opts->plugin_file_count;
	stator__host_opts_preemption(to, opts);
	if (STATOR_HAS(opts, clock_ctx))
		to->clock = (stator_clock){opts->clock, opts->set_clock,
					   opts->clock_ctx};
}

void
stator__host_opts_free(stator_load_opts *o)
{
	for (size_t i = 0; i < o->plugin_file_count; i++)
		free((void *)(uintptr_t)o->plugin_files[i]);
	for (size_t i = 0; i < o->builtin_count; i++)
		free((void *)(uintptr_t)o->builtins[i].name);
	free((void *)(uintptr_t)o->plugin_files);
	free((void *)(uintptr_t)o->plugins);
	free((void *)(uintptr_t)o->builtins);
	free((void *)(uintptr_t)o->plugin_folder);
}

void
stator__host_opts_copy(stator_host *h, const stator_host_opts *opts)
{
	h->logger.level = STATOR_LOG_INFO;
	h->waits = true;
	h->serving.queue = opts && opts->queue ? opts->queue : DEFAULT_QUEUE;
	if (opts == NULL)
		return;
	copy_load(&h->load, opts);
	if (opts->log_level)
		h->logger.level = opts->log_level;
	if (STATOR_HAS(opts, when_full)) {
		h->logger.json = opts->log_format == STATOR_LOG_FORMAT_JSON;
		h->logger.on_log = opts->on_log;
		h->logger.ctx = opts->log_ctx;
		h->waits = opts->when_full == STATOR_FULL_WAIT;
	}
	if (!STATOR_HAS(opts, work_ctx))
		return;
	h->serving.own = opts->threads == STATOR_THREADS_OWN;
	if (h->serving.own)
		h->serving.on_work = opts->on_work;
	h->serving.ctx = opts->work_ctx;
}
