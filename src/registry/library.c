/*
 * library.c: see library.h.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files.h"
#include "registry/library.h"

struct stator_library {
	void *handle;
	const stator_plugin *plugin;
};

const stator_plugin *
stator__library_plugin(const stator_library *library)
{
	return library->plugin;
}

/* Copying ------------------------------------------------------------------ */

static int
system_failed(const char *file, const char *what, stator_error *err)
{
	return stator__fail(err, STATOR_IO, "%s: %s: %s", file, what,
			    strerror(errno));
}

/* 128 bits, to name a file by what is in it: no defence against malice, who
 * can write the image can write the plugin. */
static void
content_name(stator_slice text, char *out, size_t size)
{
	uint64_t a = 0xcbf29ce484222325u, b = 0x9e3779b97f4a7c15u;

	const uint8_t *p = text.data;

	for (size_t i = 0; i < text.size; i++) {
		a = (a ^ p[i]) * 0x100000001b3u;
		b = (b + p[i]) * 0xff51afd7ed558ccdu;
		b ^= b >> 29;
	}
	snprintf(out, size, "%016llx%016llx.so", (unsigned long long)a,
		 (unsigned long long)b);
}

static bool
write_file(const char *path, stator_slice text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	size_t done = 0;
	ssize_t n = 0;

	if (fd < 0)
		return false;
	while (done < text.size && n >= 0) {
		n = write(fd, (const char *)text.data + done, text.size - done);
		if (n > 0)
			done += (size_t)n;
	}
	return close(fd) == 0 && n >= 0;
}

/* Whether what the headers speak of is in the file. */
static bool
elf_is_whole(stator_slice text)
{
	const uint8_t *p = text.data;
	Elf64_Ehdr head;
	Elf64_Phdr part;

	/* What it is instead, dlopen says. */
	if (text.size < SELFMAG || memcmp(p, ELFMAG, SELFMAG) != 0)
		return true;
	if (text.size < sizeof(head))
		return false;
	memcpy(&head, p, sizeof(head));
	if (head.e_ident[EI_CLASS] != ELFCLASS64)
		return true;
	if (head.e_shoff > text.size ||
	    (uint64_t)head.e_shnum * head.e_shentsize >
		    text.size - head.e_shoff ||
	    head.e_phoff > text.size ||
	    (uint64_t)head.e_phnum * sizeof(part) > text.size - head.e_phoff)
		return false;
	for (size_t i = 0; i < head.e_phnum; i++) {
		memcpy(&part, p + head.e_phoff + i * sizeof(part),
		       sizeof(part));
		if (part.p_offset > text.size ||
		    part.p_filesz > text.size - part.p_offset)
			return false;
	}
	return true;
}

char *
stator__library_copy(const char *file, const char *folder, stator_error *err)
{
	char name[40], *path = NULL, *draft = NULL;
	stator_arena arena = {0};
	stator_slice text;

	errno = stator__file_read(&arena, file, &text);
	if (errno) {
		system_failed(file, "cannot be read", err);
		goto out;
	}
	/* dlopen would die of a file that was cut off. */
	if (!elf_is_whole(text)) {
		stator__fail(err, STATOR_IMAGE,
			     "%s: the file is not whole; copy it under another "
			     "name, then rename it",
			     file);
		goto out;
	}
	content_name(text, name, sizeof(name));
	path = stator__format("%s/%s", folder, name);
	if (access(path, R_OK) == 0)
		goto out;
	draft = stator__format("%s.%ld", path, (long)getpid());
	if (!stator__folder_make(folder) || !write_file(draft, text) ||
	    rename(draft, path)) {
		system_failed(path, "cannot be written", err);
		free(path);
		path = NULL;
	}
out:
	free(draft);
	stator__arena_free(&arena);
	return path;
}

/* Checking ------------------------------------------------------------------- */

static int
refuse(stator_error *err, const char *file, const char *format, ...)
	STATOR_PRINTF(3, 4);

static int
refuse(stator_error *err, const char *file, const char *format, ...)
{
	stator_error text;
	va_list args;

	va_start(args, format);
	stator__vfail(&text, STATOR_IMAGE, format, args);
	va_end(args);
	return stator__fail(err, STATOR_IMAGE, "%s: %s", file, text.msg);
}

static int
check_abi(uint32_t abi, uint32_t size, size_t wanted, const char *what,
	  const char *file, stator_error *err)
{
	if (abi >> 16 != STATOR_ABI_MAJOR)
		return refuse(err, file,
			      "%s has ABI %u.%u, this host wants %u.x; rebuild "
			      "it with the header of this host",
			      what, abi >> 16, abi & 0xffff, STATOR_ABI_MAJOR);
	if (size < wanted)
		return refuse(err, file,
			      "%s has %u bytes, ABI 1.0 has %zu; set size to "
			      "sizeof",
			      what, size, wanted);
	return STATOR_OK;
}

static bool
is_name(const char *name)
{
	size_t n = name ? strlen(name) : 0;
	bool letters = n > 0 && n <= 255;

	for (size_t i = 0; i < n && letters; i++) {
		char c = name[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		letters = letter || (i && (c == '_' || (c >= '0' && c <= '9')));
	}
	return letters;
}

static bool
is_there_twice(const stator_field_desc *fields, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(fields[k].name, fields[i].name) == 0)
			return true;
	return false;
}

static int
check_fields(const stator_field_desc *fields, size_t count, const char *what,
	     const char *storage, const char *file, stator_error *err)
{
	if (count && fields == NULL)
		return refuse(err, file, "storage %s: %s fields are NULL, their "
					 "number is %zu",
			      storage, what, count);
	for (size_t i = 0; i < count; i++) {
		if (is_name(fields[i].name) && is_there_twice(fields, i))
			return refuse(err, file,
				      "storage %s: %s field %s is there twice",
				      storage, what, fields[i].name);
		if (!is_name(fields[i].name))
			return refuse(err, file,
				      "storage %s: %s field %zu has no name of "
				      "letters, digits and _",
				      storage, what, i);
		if (fields[i].kind < STATOR_INT8 ||
		    fields[i].kind > STATOR_TEXTS)
			return refuse(err, file,
				      "storage %s: %s field %s has kind %u; "
				      "take one of stator_kind",
				      storage, what, fields[i].name,
				      fields[i].kind);
	}
	return STATOR_OK;
}

static int
check_functions(const stator_storage *s, const char *file, stator_error *err)
{
	bool writes = s->scopes[STATOR_INSERT] || s->scopes[STATOR_UPDATE];

	if ((s->scopes[STATOR_GET] || s->scopes[STATOR_GETBATCH]) &&
	    s->get == NULL)
		return refuse(err, file, "storage %s offers GET but get is NULL",
			      s->name);
	if (s->scopes[STATOR_READ] && s->read == NULL)
		return refuse(err, file,
			      "storage %s offers READ but read is NULL",
			      s->name);
	if (writes && !s->apply && !s->effect && !s->settle)
		return refuse(err, file,
			      "storage %s offers INSERT or UPDATE but apply, "
			      "effect and settle are NULL",
			      s->name);
	return STATOR_OK;
}

static int
check_storage(const stator_storage *s, size_t index, const char *file,
	      stator_error *err)
{
	int code;

	if (s == NULL)
		return refuse(err, file, "storage %zu is NULL", index);
	code = check_abi(s->abi, s->size, sizeof(*s), "a storage", file, err);
	if (code)
		return code;
	if (!is_name(s->name))
		return refuse(err, file,
			      "storage %zu has no name of letters, digits and "
			      "_",
			      index);
	if (s->entity > STATOR_ENTITY_VIEW)
		return refuse(err, file, "storage %s has entity %u; take one of "
					 "stator_entity_kind",
			      s->name, s->entity);
	if (s->call_ms > STATOR_CALL_MS_MOST)
		return refuse(err, file,
			      "storage %s has call_ms %u; a call has at most "
			      "%d",
			      s->name, s->call_ms, STATOR_CALL_MS_MOST);
	code = check_functions(s, file, err);
	if (code == STATOR_OK)
		code = check_fields(s->key_fields, s->key_field_count, "key",
				    s->name, file, err);
	if (code == STATOR_OK)
		code = check_fields(s->value_fields, s->value_field_count,
				    "value", s->name, file, err);
	if (code == STATOR_OK)
		code = check_fields(s->config_fields, s->config_field_count,
				    "configuration", s->name, file, err);
	return code;
}

int
stator__plugin_check(const stator_plugin *p, const char *file,
		     stator_error *err)
{
	int code = check_abi(p->abi, p->size, sizeof(*p), "stator_plugin_entry",
			     file, err);

	if (code)
		return code;
	if (p->name == NULL || p->version == NULL)
		return refuse(err, file, "the plugin has no name or no version");
	if (p->storage_count == 0 || p->storages == NULL)
		return refuse(err, file, "the plugin has no storages");
	for (size_t i = 0; i < p->storage_count; i++) {
		code = check_storage(p->storages[i], i, file, err);
		if (code)
			return code;
		for (size_t k = 0; k < i; k++)
			if (strcmp(p->storages[k]->name,
				   p->storages[i]->name) == 0)
				return refuse(err, file,
					      "storage %s is there twice",
					      p->storages[i]->name);
	}
	return STATOR_OK;
}

/* Loading ----------------------------------------------------------------------- */

static int
load(stator_library *lib, const char *file, const char *copy,
     stator_error *err)
{
	lib->handle = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
	if (lib->handle == NULL) {
		const char *why = dlerror();
		size_t n = strlen(copy);

		/* Nobody knows the copy. */
		if (strncmp(why, copy, n) == 0 && why[n] == ':')
			why += n + 2;
		return refuse(err, file, "cannot be loaded: %s", why);
	}
	lib->plugin = dlsym(lib->handle, "stator_plugin_entry");
	if (lib->plugin == NULL)
		return refuse(err, file,
			      "has no symbol stator_plugin_entry; define it with "
			      "STATOR_EXPORT");
	return stator__plugin_check(lib->plugin, file, err);
}

int
stator__library_load(stator_library **out, const char *file, const char *copy,
		     stator_error *err)
{
	stator_library *lib = stator__alloc(sizeof(*lib));
	int code = load(lib, file, copy, err);

	if (code) {
		stator__library_close(lib);
		return code;
	}
	*out = lib;
	return STATOR_OK;
}

char *
stator__temporary_folder(stator_error *err)
{
	char *path = stator__strdup("/tmp/stator-XXXXXX");

	if (mkdtemp(path))
		return path;
	system_failed(path, "cannot be made", err);
	free(path);
	return NULL;
}

int
stator__library_open(stator_library **out, const char *file,
		     const char *folder, stator_error *err)
{
	char *temporary = NULL, *copy;
	int code;

	if (folder == NULL) {
		temporary = stator__temporary_folder(err);
		if (temporary == NULL)
			return err->code;
	}
	copy = stator__library_copy(file, folder ? folder : temporary, err);
	code = copy ? stator__library_load(out, file, copy, err) : err->code;
	if (temporary) {
		if (copy)
			unlink(copy);
		rmdir(temporary);
	}
	free(temporary);
	free(copy);
	return code;
}

void
stator__library_close(stator_library *lib)
{
	if (lib->handle)
		dlclose(lib->handle);
	free(lib);
}
