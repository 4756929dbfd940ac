/*
 * registry.c: binding declared storages to the plugins that implement them.
 */
#include <stdlib.h>

#include "registry/registry.h"

static const char *const op_names[STATOR_OP_COUNT] = {
	"GET", "GETBATCH", "READ", "INSERT", "UPDATE"};

static bool
implements(const stator_storage *s, int op)
{
	switch (op) {
	case STATOR_GET:
		return s->get != NULL;
	case STATOR_GETBATCH:
		return s->get != NULL;
	case STATOR_READ:
		return s->read != NULL;
	default:
		return s->apply || s->effect || s->settle;
	}
}

static const stator_storage *
storage_of(const stator_plugin *plugin, const char *name)
{
	for (size_t i = 0; i < plugin->storage_count; i++)
		if (strcmp(plugin->storages[i]->name, name) == 0)
			return plugin->storages[i];
	return NULL;
}

/* The package's own plugin comes before those that serve any package. */
static const stator_storage *
find_storage(const stator_registry *r, const stator_storage_decl *decl,
	     uint32_t *plugin)
{
	const char *name = strchr(decl->name, '.') + 1;

	for (int own = 1; own >= 0; own--)
		for (uint32_t i = 0; i < r->plugin_count; i++) {
			const stator_source_plugin *s = &r->plugins[i].source;
			const stator_storage *found;

			if (own ? s->package == NULL ||
					  strcmp(s->package, decl->package)
				: s->package != NULL)
				continue;
			found = storage_of(s->plugin, name);
			if (found) {
				*plugin = i;
				return found;
			}
		}
	return NULL;
}

/* Problems of one declaration -------------------------------------------------- */

static void
check_operations(const stator_storage_decl *decl, const stator_storage *s,
		 const char *file, stator_problems *problems)
{
	for (int op = 0; op < STATOR_OP_COUNT; op++) {
		uint32_t offered = s->scopes[op];

		if (op == STATOR_GETBATCH)
			offered |= s->scopes[STATOR_GET];
		if (decl->scopes[op] && !implements(s, op))
			stator__problem(problems, decl->file, decl->line,
					decl->col,
					"storage %s: declares %s, which %s "
					"does not implement",
					decl->name, op_names[op], file);
		else if (decl->scopes[op] & ~offered)
			stator__problem(problems, decl->file, decl->line,
					decl->col,
					"storage %s: declares %s for more "
					"kinds of extensions than %s allows",
					decl->name, op_names[op], file);
	}
	if (decl->entity != s->entity)
		stator__problem(problems, decl->file, decl->line, decl->col,
				"storage %s: declares %s, %s has %s",
				decl->name,
				decl->entity ? "an ENTITY" : "no ENTITY", file,
				s->entity ? "another" : "none");
}

/* Rationale: a storage that sys.vsql declares but no plugin brings is an error
 * only for who uses it; so every schema may name the whole of sys. */
static const stator_ext *
user_of(const stator_def *def, const char *storage)
{
	for (size_t i = 0; i < def->ext_count; i++) {
		const stator_ext *ext = &def->exts[i];

		for (size_t k = 0; k < ext->state_count; k++)
			if (strcmp(ext->state[k].storage, storage) == 0)
				return ext;
		for (size_t k = 0; k < ext->intent_count; k++)
			if (strcmp(ext->intents[k].storage, storage) == 0)
				return ext;
	}
	return NULL;
}

static bool
is_sys(const stator_storage_decl *decl)
{
	return strcmp(decl->package, "sys") == 0;
}

static void
make_types(stator_registry *r, stator_binding *b)
{
	const stator_storage *s = b->storage;

	if (s->entity == STATOR_ENTITY_NONE || s->key_field_count)
		b->key = stator__type_from_desc(&r->arena, b->decl->name, true,
						s->key_fields,
						s->key_field_count);
	if (s->entity == STATOR_ENTITY_NONE || s->value_field_count)
		b->value = stator__type_from_desc(&r->arena, b->decl->name,
						  false, s->value_fields,
						  s->value_field_count);
}

static void
bind(stator_registry *r, const stator_def *def,
     const stator_storage_decl *decl, stator_problems *problems)
{
	stator_binding *b = &r->bindings[r->count];

	b->decl = decl;
	b->storage = find_storage(r, decl, &b->plugin);
	if (b->storage == NULL) {
		const stator_ext *user = user_of(def, decl->name);

		if (!is_sys(decl))
			stator__problem(problems, decl->file, decl->line,
					decl->col,
					"no plugin registers the storage %s",
					decl->name);
		else if (user)
			stator__problem(problems, user->file, user->line,
					user->col,
					"no plugin registers the storage %s, "
					"which %s uses; see --plugin",
					decl->name, user->name);
		return;
	}
	b->space = stator__hash(decl->package, strlen(decl->package));
	if (!r->plugins[b->plugin].source.trusted)
		check_operations(decl, b->storage,
				 r->plugins[b->plugin].source.file, problems);
	make_types(r, b);
	b->index = (uint32_t)r->count;
	r->count++;
}

/* The other direction: what a package's plugin registers must be declared. */
static void
check_declared(const stator_loaded *l, const stator_def *def,
	       stator_problems *problems)
{
	const stator_source_plugin *s = &l->source;

	for (size_t i = 0; s->package && i < s->plugin->storage_count; i++) {
		const char *name = s->plugin->storages[i]->name;
		bool declared = false;

		for (size_t k = 0; k < def->storage_count; k++)
			declared |= strcmp(def->storages[k].package,
					   s->package) == 0 &&
				    strcmp(strchr(def->storages[k].name, '.') +
						   1,
					   name) == 0;
		if (!declared)
			stator__problem(problems, s->file, 1, 1,
					"registers the storage %s, which the "
					"schema of %s does not declare; add "
					"it to STATESTORAGE ENGINE PLUGIN",
					name, s->package);
	}
}

/* Configuration ------------------------------------------------------------------ */

static const stator_storage_decl *
declaration(const stator_registry *r, const stator_def *def, uint32_t plugin,
	    const stator_storage *s)
{
	uint32_t other;

	for (size_t i = 0; i < def->storage_count; i++)
		if (find_storage(r, &def->storages[i], &other) == s &&
		    other == plugin)
			return &def->storages[i];
	return NULL;
}

static bool
is_of(const stator_json *value, const stator_json *config)
{
	const stator_json *c = config ? config->first : NULL;

	while (c && c != value)
		c = c->next;
	return value && (value == config || c == value);
}

/* What schema and descriptor say; both may be silent. */
static void
configure(stator_registry *r, const stator_def *def, uint32_t plugin,
	  size_t storage, const stator_given_configs *configs,
	  stator_problems *problems)
{
	stator_loaded *l = &r->plugins[plugin];
	const stator_storage *s = l->source.plugin->storages[storage];
	const stator_storage_decl *decl = declaration(r, def, plugin, s);
	const stator_json *given[2] = {NULL, NULL}, *wrong;
	const char *file = decl ? decl->file : l->source.file;
	int line = decl ? decl->line : 1, col = decl ? decl->col : 1;
	stator_error err;
	stator_json *text;

	if (decl && decl->config) {
		if (stator__json_parse(&r->arena, decl->config,
				       strlen(decl->config), &text, &err)) {
			stator__problem(problems, decl->file, decl->line,
					decl->col, "JSONCONFIG of %s: %s",
					decl->name, err.msg);
			return;
		}
		given[0] = text;
	}
	if (decl && configs && configs->storages)
		given[1] = stator__json_get(configs->storages, decl->name);
	if (given[1])
		given[1] = stator__json_get(given[1], "config");
	if (stator__config_row(&r->arena, s, given, 2, &l->configs[storage],
			       &wrong, &err) == STATOR_OK)
		return;
	if (is_of(wrong, given[1])) {
		file = configs->file;
		stator__json_place(configs->text, wrong, &line, &col);
	}
	stator__problem(problems, file, line, col, "storage %s: %s", s->name,
			err.msg);
}

static void
init_plugin(stator_loaded *l, stator_problems *problems)
{
	const stator_plugin *p = l->source.plugin;
	stator_error err = {0};

	l->data = l->source.isolated ? l->source.owner : NULL;
	if (p->init && p->init(&stator__host_api, l->configs, &l->data, &err)) {
		stator__problem(problems, l->source.file, 1, 1,
				"plugin %s %s: init: %s", p->name, p->version,
				err.msg[0] ? err.msg : "failed without a text");
		return;
	}
	l->ready = true;
}

/* Life -------------------------------------------------------------------------------- */

static void
load(stator_registry *r, const stator_def *def,
     const stator_given_configs *configs, stator_problems *problems)
{
	for (uint32_t i = 0; i < r->plugin_count; i++) {
		stator_loaded *l = &r->plugins[i];
		size_t n = l->source.plugin->storage_count;
		size_t before = problems->count;

		l->configs = stator__arena_zero(&r->arena,
						(n + 1) * sizeof(stator_row));
		check_declared(l, def, problems);
		for (size_t k = 0; k < n; k++)
			configure(r, def, i, k, configs, problems);
		if (problems->count == before)
			init_plugin(l, problems);
	}
}

stator_registry *
stator__registry_bind(const stator_def *def,
		      const stator_source_plugin *sources, size_t source_count,
		      const stator_given_configs *configs,
		      stator_problems *problems)
{
	stator_registry *r = stator__alloc(sizeof(*r));
	size_t before = problems->count;

	r->plugins = stator__arena_zero(&r->arena, (source_count + 1) *
							   sizeof(*r->plugins));
	r->plugin_count = source_count;
	for (size_t i = 0; i < source_count; i++)
		r->plugins[i].source = sources[i];
	r->bindings = stator__arena_zero(
		&r->arena, (def->storage_count + 1) * sizeof(*r->bindings));
	for (size_t i = 0; i < def->storage_count; i++)
		bind(r, def, &def->storages[i], problems);
	load(r, def, configs, problems);
	if (problems->count > before) {
		stator__registry_free(r);
		return NULL;
	}
	return r;
}

void
stator__source_close(stator_source_plugin *source)
{
	if (source->close)
		source->close(source->owner);
}

void
stator__registry_free(stator_registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = r->plugin_count; i-- > 0;) {
		stator_loaded *l = &r->plugins[i];

		if (l->ready && l->source.plugin->finit)
			l->source.plugin->finit(l->data);
		stator__source_close(&l->source);
	}
	stator__arena_free(&r->arena);
	free(r);
}

const stator_binding *
stator__registry_find(const stator_registry *r, const char *qname)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->bindings[i].decl->name, qname) == 0)
			return &r->bindings[i];
	return NULL;
}

/* Instances --------------------------------------------------------------------------- */

/* The same plugin in the version before, for hand-over: in one process. */
static void *
predecessor(const stator_loaded *l, const stator_registry *old,
	    stator_instance *before)
{
	for (size_t i = 0; old && before && i < old->plugin_count; i++)
		if (before[i].attached && !l->source.isolated &&
		    !old->plugins[i].source.isolated &&
		    strcmp(old->plugins[i].source.plugin->name,
			   l->source.plugin->name) == 0)
			return before[i].self;
	return NULL;
}

static void
begin_instance(stator_instance *in, const stator_loaded *l)
{
	in->loaded = l;
	in->self = l->data;
	pthread_mutex_init(&in->lock, NULL);
}

stator_instance *
stator__registry_idle(const stator_registry *r)
{
	stator_instance *all =
		stator__alloc((r->plugin_count + 1) * sizeof(*all));

	for (size_t i = 0; i < r->plugin_count; i++)
		begin_instance(&all[i], &r->plugins[i]);
	return all;
}

static int
attach(const stator_loaded *l, uint32_t partition, void *previous,
       stator_instance *in, stator_error *err)
{
	const stator_plugin *p = l->source.plugin;
	int code = STATOR_OK;

	begin_instance(in, l);
	err->msg[0] = 0;
	if (p->attach)
		code = p->attach(l->data, partition, previous, &in->self, err);
	in->attached = code == STATOR_OK;
	if (code == STATOR_OK)
		return code;
	if (err->msg[0] == 0)
		stator__fail(err, code, "failed without a text");
	stator__wrap(err, "%s: plugin %s %s, attach of partition %u",
		     l->source.file, p->name, p->version, partition);
	return err->code = STATOR_IMAGE;
}

void
stator__registry_attach_problem(const stator_error *err,
				stator_problems *problems)
{
	const char *rest = strstr(err->msg, ": plugin ");
	char *file = rest ? stator__strndup(err->msg, (size_t)(rest - err->msg))
			  : stator__strdup("image");

	stator__problem(problems, file, 1, 1, "%s",
			rest ? rest + 2 : err->msg);
	free(file);
}

int
stator__registry_attach(const stator_registry *r, uint32_t partition,
			const stator_registry *old, stator_instance *before,
			stator_instance **out, stator_error *err)
{
	stator_instance *all =
		stator__alloc((r->plugin_count + 1) * sizeof(*all));

	for (size_t i = 0; i < r->plugin_count; i++) {
		const stator_loaded *l = &r->plugins[i];

		if (attach(l, partition, predecessor(l, old, before), &all[i],
			   err)) {
			stator__registry_detach(r, all);
			return STATOR_IMAGE;
		}
	}
	*out = all;
	return STATOR_OK;
}

void
stator__registry_detach(const stator_registry *r, stator_instance *all)
{
	for (size_t i = r->plugin_count; all && i-- > 0;) {
		stator_instance *in = &all[i];

		if (in->loaded == NULL)
			continue;
		if (in->attached && in->loaded->source.plugin->detach)
			in->loaded->source.plugin->detach(in->self);
		pthread_mutex_destroy(&in->lock);
	}
	free(all);
}

int64_t
stator__instance_enter(stator_instance *in)
{
	if (in->loaded->source.trusted)
		return 0;
	if (!(in->loaded->source.plugin->flags & STATOR_CONCURRENT))
		pthread_mutex_lock(&in->lock);
	return stator__coarse_ns();
}

void
stator__instance_leave(stator_instance *in, int64_t entered,
		       const stator_binding *b)
{
	uint32_t allowed = stator__call_ms(b->storage);
	int64_t took;

	if (entered == 0)
		return;
	took = stator__coarse_ns() - entered;
	if (!(in->loaded->source.plugin->flags & STATOR_CONCURRENT))
		pthread_mutex_unlock(&in->lock);
	if (took <= allowed * 1000000ll)
		return;
	in->overruns++;
	stator__logf(STATOR_LOG_WARNING, b->decl->name,
		     "a call of plugin %s %s took %lld ms; %u are allowed",
		     in->loaded->source.plugin->name,
		     in->loaded->source.plugin->version,
		     (long long)(took / 1000000), allowed);
}
