/*
 * metrics.c: see metrics.h.
 */
#include <stdlib.h>

#include "app/metrics.h"

stator_metrics *
stator__metrics_new(uint32_t partitions)
{
	stator_metrics *m = stator__alloc(sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	m->partitions = stator__alloc(partitions * sizeof(*m->partitions));
	m->partition_count = partitions;
	return m;
}

static void
free_progress(stator_progress *p)
{
	while (p) {
		stator_progress *next = p->next;

		free(p->projector);
		free(p);
		p = next;
	}
}

void
stator__metrics_free(stator_metrics *m)
{
	if (m == NULL)
		return;
	stator__tallies_free(m->ended);
	for (uint32_t i = 0; i < m->partition_count; i++)
		free_progress(m->partitions[i].projectors);
	free(m->partitions);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

/* Tallies ----------------------------------------------------------------- */

/* Where `name` is, or belongs: extensions first, then by name. */
static stator_tally *
tally_of(stator_tally **list, const char *name, bool storage)
{
	stator_tally *t;
	int order;

	for (; *list; list = &(*list)->next) {
		order = (*list)->storage - storage;
		if (order == 0)
			order = strcmp((*list)->name, name);
		if (order == 0)
			return *list;
		if (order > 0)
			break;
	}
	t = stator__alloc(sizeof(*t));
	t->name = stator__strdup(name);
	t->storage = storage;
	t->next = *list;
	*list = t;
	return t;
}

static void
fold_ext(stator_tally **list, const char *name, const stator_ext_meter *e)
{
	const stator_histogram *time =
		__atomic_load_n(&e->time, __ATOMIC_ACQUIRE);
	uint64_t refused = stator__meter_read(&e->refused);
	stator_tally *t;

	if (time == NULL && refused == 0)
		return;
	t = tally_of(list, name, false);
	t->errors += stator__meter_read(&e->errors);
	t->limits += stator__meter_read(&e->limits);
	t->refused += refused;
	stator__histogram_fold(&t->time, time);
	t->runs = t->time.count;
}

static void
fold_storage(stator_tally **list, const char *name,
	     const stator_storage_meter *s)
{
	uint64_t calls = stator__meter_read(&s->calls);
	stator_tally *t;

	if (calls == 0)
		return;
	t = tally_of(list, name, true);
	t->runs += calls;
	t->errors += stator__meter_read(&s->errors);
	t->time.count += stator__meter_read(&s->timed);
	t->time.sum += stator__meter_read(&s->timed_ns);
}

static void
fold_worker(stator_tally **list, const stator_meters *w)
{
	for (size_t i = 0; i < w->def->ext_count; i++)
		fold_ext(list, w->def->exts[i].name, &w->exts[i]);
	for (size_t i = 0; i < w->registry->count; i++)
		fold_storage(list, w->registry->bindings[i].decl->name,
			     &w->storages[i]);
}

static void
fold_tallies(stator_tally **list, const stator_tally *from)
{
	for (; from; from = from->next) {
		stator_tally *t = tally_of(list, from->name, from->storage);

		t->runs += from->runs;
		t->errors += from->errors;
		t->limits += from->limits;
		t->refused += from->refused;
		if (from->storage) {
			t->time.count += from->time.count;
			t->time.sum += from->time.sum;
		} else {
			stator__histogram_fold(&t->time, &from->time);
		}
	}
}

stator_tally *
stator__tallies(stator_metrics *m)
{
	stator_tally *list = NULL;

	pthread_mutex_lock(&m->lock);
	fold_tallies(&list, m->ended);
	for (const stator_meters *w = m->workers; w; w = w->next)
		fold_worker(&list, w);
	pthread_mutex_unlock(&m->lock);
	return list;
}

void
stator__tallies_free(stator_tally *t)
{
	while (t) {
		stator_tally *next = t->next;

		free(t->name);
		free(t);
		t = next;
	}
}

/* Workers ----------------------------------------------------------------- */

stator_meters *
stator__meters_new(stator_metrics *m, const stator_def *def,
		   const stator_registry *registry)
{
	stator_meters *w = stator__alloc(sizeof(*w));

	w->def = def;
	w->registry = registry;
	w->exts = stator__alloc((def->ext_count + 1) * sizeof(*w->exts));
	w->storages = stator__alloc((registry->count + 1) *
				    sizeof(*w->storages));
	w->metrics = m;
	if (m == NULL)
		return w;
	pthread_mutex_lock(&m->lock);
	w->next = m->workers;
	m->workers = w;
	pthread_mutex_unlock(&m->lock);
	return w;
}

static void
end_worker(stator_metrics *m, stator_meters *w)
{
	stator_meters **at = &m->workers;

	pthread_mutex_lock(&m->lock);
	fold_worker(&m->ended, w);
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	pthread_mutex_unlock(&m->lock);
}

void
stator__meters_free(stator_meters *w)
{
	if (w->metrics)
		end_worker(w->metrics, w);
	for (size_t i = 0; i < w->def->ext_count; i++)
		free(w->exts[i].time);
	free(w->exts);
	free(w->storages);
	free(w);
}

void
stator__meters_run(stator_meters *w, const stator_ext *ext, int64_t ns,
		   int code)
{
	stator_ext_meter *e = &w->exts[ext->index];

	if (STATOR_UNLIKELY(e->time == NULL))
		__atomic_store_n(&e->time, stator__alloc(sizeof(*e->time)),
				 __ATOMIC_RELEASE);
	stator__histogram_add(e->time, ns > 0 ? (uint64_t)ns : 0);
	if (STATOR_LIKELY(code == STATOR_OK))
		return;
	stator__meter_add(&e->errors, 1);
	if (stator__status_is_limit(code))
		stator__meter_add(&e->limits, 1);
}

void
stator__meters_refused(stator_meters *w, const stator_ext *ext)
{
	stator__meter_add(&w->exts[ext->index].refused, 1);
}

/* Asynchronous projectors -------------------------------------------------- */

void
stator__progress_begin(stator_metrics *m, uint32_t partition)
{
	pthread_mutex_lock(&m->lock);
	for (stator_progress *p = m->partitions[partition].projectors; p;
	     p = p->next)
		p->active = false;
	pthread_mutex_unlock(&m->lock);
}

uint64_t *
stator__progress_of(stator_metrics *m, uint32_t partition,
		    const char *projector)
{
	stator_progress **at = &m->partitions[partition].projectors, *p;

	pthread_mutex_lock(&m->lock);
	while (*at && strcmp((*at)->projector, projector) != 0)
		at = &(*at)->next;
	if (*at == NULL) {
		*at = stator__alloc(sizeof(**at));
		(*at)->projector = stator__strdup(projector);
	}
	p = *at;
	p->active = true;
	pthread_mutex_unlock(&m->lock);
	return &p->seen;
}

stator_lag *
stator__lags(stator_metrics *m, size_t *count)
{
	stator_lag *lags = NULL;
	size_t cap = 0;

	*count = 0;
	pthread_mutex_lock(&m->lock);
	for (uint32_t i = 0; i < m->partition_count; i++) {
		const stator_partition_meter *p = &m->partitions[i];

		for (const stator_progress *at = p->projectors; at;
		     at = at->next) {
			uint64_t seen = stator__meter_read(&at->seen);
			uint64_t last = stator__meter_read(&p->last_event);

			if (!at->active)
				continue;
			STATOR_GROW(lags, *count, cap);
			lags[(*count)++] = (stator_lag){
				at->projector, i, seen,
				last > seen ? last - seen : 0};
		}
	}
	pthread_mutex_unlock(&m->lock);
	return lags;
}
