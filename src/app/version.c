/*
 * version.c: an image to a version of an application: find the packages, read
 * the descriptor, compile the schema, bind the storages, load every module
 * once to see that it can be. All problems are listed at once.
 */
#include <stdlib.h>

#include "app/app.h"
#include "base/files.h"
#include "isolation/isolation.h"
#include "storage/storage.h"

/* A folder below pkg/ that has files. */
typedef struct found_package {
	const char *path; /* below pkg/, "github.com/x/restaurant" */
	const char *folder;
	stator_module *modules;
	size_t module_count, module_cap;
	const char *library; /* storages-<version>.so, the newest */
} found_package;

typedef struct loading {
	stator_version *version;
	stator_problems *problems;
	stator_source *sources;
	size_t source_count, source_cap;
	found_package *packages;
	size_t package_count, package_cap;
	stator_source_plugin *plugins;
	size_t plugin_count, plugin_cap;
} loading;

static const char *
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static void
add_schema(loading *l, const char *file, const char *package)
{
	stator_source *s;

	STATOR_GROW(l->sources, l->source_count, l->source_cap);
	s = &l->sources[l->source_count++];
	s->path = file;
	s->package = package;
	if (stator__file_read(&l->version->arena, file, &s->text))
		stator__problem(l->problems, file, 1, 1, "cannot be read");
}

static void
add_module(loading *l, found_package *p, const char *file, const char *name)
{
	stator_arena *arena = &l->version->arena;
	stator_module *m;

	STATOR_GROW(p->modules, p->module_count, p->module_cap);
	m = &p->modules[p->module_count++];
	m->name = stator__arena_str(arena, name, strlen(name) - 4);
	m->path = stator__arena_format(arena, "%s/%s", last_part(p->path),
				       name);
	m->file = file;
	if (stator__file_read(arena, file, &m->text))
		stator__problem(l->problems, file, 1, 1, "cannot be read");
}

/* storages-<version>.so: the newest version counts, 10 after 9. */
static bool
is_library(const char *name)
{
	return strncmp(name, "storages-", 9) == 0 &&
	       stator__ends_with(name, ".so");
}

static void find_packages(loading *l, const char *folder, const char *path);

/* Reads the entries of one folder; true when one of them is a schema. */
static bool
read_folder(loading *l, const char *folder, found_package *p,
	    const char **names, size_t count, size_t *folders, size_t *files)
{
	stator_arena *arena = &l->version->arena;
	bool schema = false;

	for (size_t i = 0; i < count; i++) {
		const char *file = stator__arena_format(arena, "%s/%s", folder,
							names[i]);

		if (stator__is_folder(file)) {
			++*folders;
			continue;
		}
		++*files;
		if (stator__ends_with(names[i], ".vsql")) {
			add_schema(l, file, p->path);
			schema = true;
		} else if (stator__ends_with(names[i], ".lua")) {
			add_module(l, p, file, names[i]);
		} else if (is_library(names[i]) &&
			   (p->library == NULL ||
			    strverscmp(file, p->library) > 0)) {
			p->library = file;
		}
	}
	return schema;
}

static void
find_packages(loading *l, const char *folder, const char *path)
{
	stator_arena *arena = &l->version->arena;
	size_t count, folders = 0, files = 0;
	found_package p = {.path = path, .folder = folder};
	const char **names;
	bool schema;

	stator__folder_read(arena, folder, &names, &count);
	schema = read_folder(l, folder, &p, names, count, &folders, &files);
	if (!schema && (files || folders == 0) && *path)
		stator__problem(l->problems, folder, 1, 1,
				"the package has no .vsql file");
	if (strcmp(path, "sys") == 0)
		stator__problem(l->problems, folder, 1, 1,
				"sys is the package of the host; take another "
				"name");
	if (schema && !*path)
		stator__problem(l->problems, folder, 1, 1,
				"schema files belong into a folder of pkg, "
				"which is the package");
	STATOR_GROW(l->packages, l->package_count, l->package_cap);
	l->packages[l->package_count++] = p;
	for (size_t i = 0; i < count; i++) {
		const char *sub = stator__arena_format(arena, "%s/%s", folder,
						       names[i]);

		if (stator__is_folder(sub))
			find_packages(l, sub,
				      stator__arena_format(arena, "%s%s%s",
							   path,
							   *path ? "/" : "",
							   names[i]));
	}
}

static void
read_image(loading *l, const char *image)
{
	stator_arena *arena = &l->version->arena;
	const char *pkg = stator__arena_format(arena, "%s/pkg", image);

	if (!stator__is_folder(image)) {
		stator__problem(l->problems, image, 1, 1,
				"there is no such folder; an image is a folder "
				"with pkg/<package>/*.vsql");
		return;
	}
	stator__descriptor_read(
		&l->version->descriptor, arena,
		stator__arena_format(arena, "%s/descriptor.json", image),
		l->problems);
	if (!stator__is_folder(pkg)) {
		stator__problem(l->problems, pkg, 1, 1,
				"there is no such folder; packages are in "
				"pkg/<package>/");
		return;
	}
	find_packages(l, pkg, "");
	if (l->source_count == 0 && l->problems->count == 0)
		stator__problem(l->problems, pkg, 1, 1,
				"there is no package with a .vsql file");
}

static void
assign_files(loading *l)
{
	stator_version *v = l->version;

	v->files = stator__arena_zero(&v->arena, (v->def->package_count + 1) *
							 sizeof(*v->files));
	for (size_t i = 0; i < v->def->package_count; i++)
		for (size_t k = 0; k < l->package_count; k++) {
			found_package *p = &l->packages[k];

			if (strcmp(p->path, v->def->packages[i].path) != 0)
				continue;
			v->files[i].modules = stator__arena_copy(
				&v->arena, p->modules,
				p->module_count * sizeof(*p->modules));
			v->files[i].module_count = p->module_count;
			v->files[i].folder = p->folder;
		}
}

static void
name_app(stator_version *v, const char *image)
{
	const char *name = image;
	size_t size = strlen(image);

	if (v->descriptor.app) {
		v->app = v->descriptor.app;
		return;
	}
	if (v->def->app) {
		v->app = v->def->app;
		return;
	}
	while (size > 1 && image[size - 1] == '/')
		size--;
	name = stator__arena_str(&v->arena, image, size);
	v->app = last_part(name);
}

/* Every package is loaded once, with all its extensions, to find problems. A
 * version that is deployed attaches its plugins then, and no sooner: another one
 * may serve the partition. */
static void
try_engines(stator_version *v, stator_problems *problems)
{
	stator_deployment deployment = {.version = v, .partition_count = 1};
	stator_app app = {.partition_count = 1};
	stator_partition partition = {.app = &app};
	stator_instance *instances = NULL;
	stator_worker *worker;
	stator_error err;

	deployment.instances = &instances;
	if (v->opts->purpose == STATOR_TO_RUN) {
		instances = stator__registry_idle(v->registry);
	} else if (stator__registry_attach(v->registry, 0, NULL, NULL,
					   &instances, &err)) {
		stator__registry_attach_problem(&err, problems);
		return;
	}
	worker = stator__worker_new(&partition, &deployment, problems);
	if (worker)
		stator__worker_free(worker);
	stator__registry_detach(v->registry, instances);
}

/* Plugins --------------------------------------------------------------------- */

static void
add_plugin(loading *l, stator_source_plugin source)
{
	STATOR_GROW(l->plugins, l->plugin_count, l->plugin_cap);
	l->plugins[l->plugin_count++] = source;
}

static void
close_library(void *owner)
{
	stator__library_close(owner);
}

static int
open_library(stator_source_plugin *out, const char *file, const char *package,
	     const char *folder, stator_error *err)
{
	stator_library *library;
	int code = stator__library_open(&library, file, folder, err);

	if (code == STATOR_OK)
		*out = (stator_source_plugin){
			.plugin = stator__library_plugin(library),
			.package = package,
			.file = file,
			.owner = library,
			.close = close_library};
	return code;
}

/* Whether the descriptor wants "package.Name" in a process; NULL: any. */
static bool
wants_process(const stator_version *v, const char *package, const char *name)
{
	const stator_json *storages = v->descriptor.storages;

	for (const stator_json *c = storages ? storages->first : NULL; c;
	     c = c->next) {
		const stator_json *how = stator__json_get(c, "isolation");
		const char *text = c->name.data;
		const char *dot = memchr(text, '.', c->name.size);
		size_t behind = dot ? c->name.size - (size_t)(dot + 1 - text)
				    : 0;

		if (how == NULL || !stator__slice_is(how->text, "process") ||
		    dot == NULL)
			continue;
		if (package && !stator__slice_is(
				       stator__slice(text, (size_t)(dot - text)),
				       package))
			continue;
		if (name == NULL ||
		    stator__slice_is(stator__slice(dot + 1, behind), name))
			return true;
	}
	return false;
}

/*
 * The storages of one library share its process: it has one if any of them
 * wants it. What a library that serves any package has is known only when it
 * was described, by a process of course.
 */
static int
open_plugin(const loading *l, stator_source_plugin *out, const char *file,
	    const char *package, stator_error *err)
{
	const char *folder = l->version->opts->plugin_folder;
	bool wanted = package != NULL;
	int code;

	if (!wants_process(l->version, package, NULL))
		return open_library(out, file, package, folder, err);
	code = stator__isolated_open(out, file, package, folder, err);
	if (code)
		return code;
	for (size_t i = 0; i < out->plugin->storage_count; i++)
		wanted |= wants_process(l->version, NULL,
					out->plugin->storages[i]->name);
	if (wanted)
		return STATOR_OK;
	stator__source_close(out);
	return open_library(out, file, package, folder, err);
}

static void
add_library(loading *l, const char *file, const char *package)
{
	stator_source_plugin source;
	stator_error err;

	if (open_plugin(l, &source, file, package, &err) == STATOR_OK) {
		add_plugin(l, source);
		return;
	}
	/* Most texts begin with the file. */
	stator__problem(l->problems, file, 1, 1, "%s",
			strncmp(err.msg, file, strlen(file))
				? err.msg
				: err.msg + strlen(file) + 2);
}

static const char *
local_name(const stator_def *def, const char *path)
{
	for (size_t i = 0; i < def->package_count; i++)
		if (strcmp(def->packages[i].path, path) == 0)
			return def->packages[i].name;
	return last_part(path);
}

static void
find_plugins(loading *l)
{
	const stator_load_opts *opts = l->version->opts;
	stator_error err;

	add_plugin(l, (stator_source_plugin){.plugin = &stator__sys_plugin,
					     .package = "sys",
					     .file = "built in",
					     .trusted = true});
	for (size_t i = 0; i < opts->plugin_count; i++) {
		const stator_plugin *p = opts->plugins[i];

		if (stator__plugin_check(p, "linked in", &err))
			stator__problem(l->problems, "linked in", 1, 1, "%s",
					err.msg);
		else
			add_plugin(l, (stator_source_plugin){
					      .plugin = p,
					      .file = "linked in"});
	}
	for (size_t i = 0; i < opts->plugin_file_count; i++)
		add_library(l, opts->plugin_files[i], NULL);
	for (size_t i = 0; i < l->package_count; i++)
		if (l->packages[i].library)
			add_library(l, l->packages[i].library,
				    local_name(l->version->def,
					       l->packages[i].path));
}

static void
close_plugins(loading *l)
{
	for (size_t i = 0; i < l->plugin_count; i++)
		stator__source_close(&l->plugins[i]);
}

/* Loading ----------------------------------------------------------------------- */

/* Names in the descriptor must be those of the schema. */
static void
check_names(loading *l, const char *image)
{
	const stator_version *v = l->version;
	const stator_json *packages = v->descriptor.packages;
	const stator_json *storages = v->descriptor.storages;
	const char *file = stator__arena_format(&l->version->arena,
						"%s/descriptor.json", image);

	for (const stator_json *c = packages ? packages->first : NULL; c;
	     c = c->next) {
		size_t i = 0;

		while (i < v->def->package_count &&
		       !stator__slice_is(c->name, v->def->packages[i].name))
			i++;
		if (i == v->def->package_count)
			stator__problem(l->problems, file, 1, 1,
					"packages.%.*s: there is no such "
					"package",
					(int)c->name.size,
					(const char *)c->name.data);
	}
	for (const stator_json *c = storages ? storages->first : NULL; c;
	     c = c->next) {
		size_t i = 0;

		while (i < v->def->storage_count &&
		       !stator__slice_is(c->name, v->def->storages[i].name))
			i++;
		if (i == v->def->storage_count)
			stator__problem(l->problems, file, 1, 1,
					"storages.%.*s: there is no such "
					"storage",
					(int)c->name.size,
					(const char *)c->name.data);
	}
}

/* Only a plugin from a file can have a process of its own. */
static void
check_isolation(loading *l, const char *image)
{
	const stator_version *v = l->version;
	const char *file = stator__arena_format(&l->version->arena,
						"%s/descriptor.json", image);

	for (size_t i = 0; i < v->registry->count; i++) {
		const stator_binding *b = &v->registry->bindings[i];
		const stator_source_plugin *s =
			&v->registry->plugins[b->plugin].source;

		if (!s->isolated &&
		    wants_process(v, b->decl->package,
				  strchr(b->decl->name, '.') + 1))
			stator__problem(l->problems, file, 1, 1,
					"storages.%s.isolation: the storage is "
					"%s; only one from a plugin's file "
					"can have a process",
					b->decl->name, s->file);
	}
}

/* Syntax of every module, also of those that nothing requires. */
static void
check_modules(loading *l)
{
	for (size_t i = 0; i < l->package_count; i++)
		for (size_t k = 0; k < l->packages[i].module_count; k++)
			stator__lua_check(&l->packages[i].modules[k],
					  l->problems);
}

static void
build(loading *l, const char *image)
{
	static const stator_def no_storages;
	stator_version *v = l->version;
	size_t before = l->problems->count;
	stator_given_configs configs;

	if (l->source_count == 0)
		return;
	v->def = stator__def_compile(l->sources, l->source_count, l->problems);
	check_modules(l);
	if (v->def == NULL)
		return;
	check_names(l, image);
	name_app(v, image);
	assign_files(l);
	if (v->opts->purpose == STATOR_TO_READ) {
		/* The schema is enough to read what is stored. */
		v->registry = stator__registry_bind(&no_storages, NULL, 0, NULL,
						    l->problems);
		return;
	}
	find_plugins(l);
	if (l->problems->count > before) {
		close_plugins(l);
		return;
	}
	configs = (stator_given_configs){v->descriptor.storages,
					 v->descriptor.file,
					 v->descriptor.text};
	v->registry = stator__registry_bind(v->def, l->plugins,
					    l->plugin_count, &configs,
					    l->problems);
	if (v->registry == NULL)
		return;
	v->record = stator__registry_find(v->registry, "sys.Record");
	check_isolation(l, image);
	if (l->problems->count == before)
		try_engines(v, l->problems);
}

stator_version *
stator__version_load(const char *image, const stator_load_opts *opts,
		     stator_problems *problems)
{
	stator_version *v = stator__alloc(sizeof(*v));
	loading l = {.version = v, .problems = problems};

	v->opts = opts;
	read_image(&l, image);
	build(&l, image);
	for (size_t i = 0; i < l.package_count; i++)
		free(l.packages[i].modules);
	free(l.packages);
	free(l.plugins);
	free(l.sources);
	stator__problems_sort(problems);
	if (problems->count == 0)
		return v;
	stator__version_free(v);
	return NULL;
}

void
stator__version_free(stator_version *v)
{
	if (v == NULL)
		return;
	stator__registry_free(v->registry);
	stator__def_free(v->def);
	stator__arena_free(&v->arena);
	free(v);
}
