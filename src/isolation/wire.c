/*
 * wire.c: see wire.h.
 */
#include "isolation/wire.h"

/* Writing ------------------------------------------------------------------ */

void
stator__wire_begin(stator_buf *out, uint32_t kind)
{
	wire_head head = {kind, 0};

	out->size = 0;
	stator__buf_put(out, &head, sizeof(head));
}

stator_slice
stator__wire_frame(stator_buf *out)
{
	((wire_head *)(void *)out->data)->size =
		(uint32_t)(out->size - sizeof(wire_head));
	return stator__slice(out->data, out->size);
}

void
stator__wire_u32(stator_buf *out, uint32_t v)
{
	stator__buf_put(out, &v, sizeof(v));
}

void
stator__wire_u64(stator_buf *out, uint64_t v)
{
	stator__buf_put(out, &v, sizeof(v));
}

void
stator__wire_pointer(stator_buf *out, const void *p)
{
	stator__wire_u64(out, (uint64_t)(uintptr_t)p);
}

void
stator__wire_bytes(stator_buf *out, stator_slice bytes)
{
	stator__wire_u64(out, bytes.size);
	if (bytes.size)
		stator__buf_put(out, bytes.data, bytes.size);
}

/* A byte more than the text, so that NULL is another thing than "". */
void
stator__wire_text(stator_buf *out, const char *text)
{
	stator__wire_bytes(out, stator__slice(text, text ? strlen(text) + 1
							 : 0));
}

void
stator__wire_row(stator_buf *out, const stator_row *row)
{
	stator__wire_pointer(out, row->type);
	stator__wire_u32(out, row->type ? row->type->id : 0);
	stator__wire_u32(out, row->data != NULL);
	stator__wire_bytes(out, row->data ? stator__slice(row->data, row->size)
					  : stator__slice(NULL, 0));
}

void
stator__wire_outcome(stator_buf *out, int code, const stator_error *err)
{
	stator__wire_u32(out, (uint32_t)code);
	stator__wire_bytes(out,
			   stator__slice(err->msg,
					 code < 0 ? strnlen(err->msg,
							    sizeof(err->msg))
						  : 0));
}

/* Reading ------------------------------------------------------------------- */

static const uint8_t *
take(wire_in *in, size_t size)
{
	const uint8_t *p = in->at;

	if (in->bad || size > (size_t)(in->end - in->at)) {
		in->bad = true;
		return NULL;
	}
	in->at += size;
	return p;
}

uint32_t
stator__wire_take_u32(wire_in *in)
{
	const uint8_t *p = take(in, 4);

	return p ? stator__u32(p) : 0;
}

uint64_t
stator__wire_take_u64(wire_in *in)
{
	const uint8_t *p = take(in, 8);

	return p ? stator__u64(p) : 0;
}

const void *
stator__wire_take_pointer(wire_in *in)
{
	return (const void *)(uintptr_t)stator__wire_take_u64(in);
}

stator_slice
stator__wire_take_bytes(wire_in *in)
{
	size_t size = stator__wire_take_u64(in);
	const uint8_t *p = take(in, size);

	return stator__slice(p, p ? size : 0);
}

const char *
stator__wire_take_text(wire_in *in, stator_arena *arena)
{
	stator_slice s = stator__wire_take_bytes(in);

	return s.size ? stator__arena_str(arena, s.data, s.size - 1) : NULL;
}

static stator_row
take_row(wire_in *in, stator_arena *arena, const void **type, uint32_t *id)
{
	stator_row row = {0};
	stator_slice bytes;
	uint32_t there;

	*type = stator__wire_take_pointer(in);
	*id = stator__wire_take_u32(in);
	there = stator__wire_take_u32(in);
	bytes = stator__wire_take_bytes(in);
	if (in->bad || !there || bytes.size > UINT32_MAX)
		return row;
	row.data = stator__arena_copy(arena, bytes.data, bytes.size);
	row.size = (uint32_t)bytes.size;
	return row;
}

stator_row
stator__wire_take_row(wire_in *in, stator_arena *arena)
{
	const void *type;
	uint32_t id;
	stator_row row = take_row(in, arena, &type, &id);

	row.type = type;
	return row;
}

stator_row
stator__wire_take_foreign(wire_in *in, stator_arena *arena, uint32_t *id)
{
	const void *type;

	return take_row(in, arena, &type, id);
}

int
stator__wire_take_outcome(wire_in *in, stator_error *err)
{
	int code = (int)stator__wire_take_u32(in);
	stator_slice text = stator__wire_take_bytes(in);

	if (code < 0)
		stator__fail(err, code, "%.*s", (int)text.size,
			     text.size ? (const char *)text.data : "");
	return code;
}

/* Descriptions -------------------------------------------------------------- */

static void
put_fields(stator_buf *out, const stator_field_desc *fields, size_t count)
{
	stator__wire_u64(out, count);
	for (size_t i = 0; i < count; i++) {
		stator__wire_bytes(out, stator__slice(&fields[i],
						      sizeof(*fields)));
		stator__wire_text(out, fields[i].name);
		stator__wire_text(out, fields[i].preset);
		stator__wire_text(out, fields[i].help);
	}
}

static bool
take_fields(wire_in *in, stator_arena *arena, const stator_field_desc **out,
	    size_t *count)
{
	stator_field_desc *fields;

	*count = stator__wire_take_u64(in);
	if (*count > (size_t)(in->end - in->at) / sizeof(*fields))
		return false;
	fields = stator__arena_zero(arena, (*count + 1) * sizeof(*fields));
	for (size_t i = 0; i < *count; i++) {
		stator_slice flat = stator__wire_take_bytes(in);

		if (flat.size != sizeof(*fields))
			return false;
		memcpy(&fields[i], flat.data, sizeof(*fields));
		fields[i].name = stator__wire_take_text(in, arena);
		fields[i].preset = stator__wire_take_text(in, arena);
		fields[i].help = stator__wire_take_text(in, arena);
	}
	*out = fields;
	return !in->bad;
}

static uint32_t
abilities(const stator_storage *s)
{
	return (s->get ? WIRE_HAS_GET : 0u) |
	       (s->get_batch ? WIRE_HAS_GETBATCH : 0u) |
	       (s->read ? WIRE_HAS_READ : 0u) |
	       (s->validate ? WIRE_HAS_VALIDATE : 0u) |
	       (s->apply ? WIRE_HAS_APPLY : 0u) |
	       (s->effect ? WIRE_HAS_EFFECT : 0u) |
	       (s->settle ? WIRE_HAS_SETTLE : 0u);
}

static void
put_storage(stator_buf *out, const stator_storage *s)
{
	stator__wire_bytes(out, stator__slice(s, sizeof(*s)));
	stator__wire_text(out, s->name);
	stator__wire_text(out, s->help);
	stator__wire_u32(out, abilities(s));
	put_fields(out, s->key_fields, s->key_field_count);
	put_fields(out, s->value_fields, s->value_field_count);
	put_fields(out, s->config_fields, s->config_field_count);
}

static void
forget_functions(stator_storage *s)
{
	s->get = NULL;
	s->get_batch = NULL;
	s->read = NULL;
	s->validate = NULL;
	s->apply = NULL;
	s->effect = NULL;
	s->settle = NULL;
}

static bool
take_storage(wire_in *in, stator_arena *arena, stator_storage *s,
	     uint32_t *has)
{
	stator_slice flat = stator__wire_take_bytes(in);

	if (flat.size != sizeof(*s))
		return false;
	memcpy(s, flat.data, sizeof(*s));
	forget_functions(s);
	s->name = stator__wire_take_text(in, arena);
	s->help = stator__wire_take_text(in, arena);
	*has = stator__wire_take_u32(in);
	return take_fields(in, arena, &s->key_fields, &s->key_field_count) &&
	       take_fields(in, arena, &s->value_fields,
			   &s->value_field_count) &&
	       take_fields(in, arena, &s->config_fields,
			   &s->config_field_count);
}

void
stator__wire_plugin(stator_buf *out, const stator_plugin *p)
{
	stator__wire_text(out, p->name);
	stator__wire_text(out, p->version);
	stator__wire_text(out, p->description);
	stator__wire_u64(out, p->storage_count);
	for (size_t i = 0; i < p->storage_count; i++)
		put_storage(out, p->storages[i]);
}

bool
stator__wire_take_plugin(wire_in *in, stator_arena *arena, stator_plugin *p,
			 stator_storage **storages, uint32_t **has)
{
	const stator_storage **list;

	*p = (stator_plugin){.abi = STATOR_ABI, .size = sizeof(*p)};
	p->name = stator__wire_take_text(in, arena);
	p->version = stator__wire_take_text(in, arena);
	p->description = stator__wire_take_text(in, arena);
	p->storage_count = stator__wire_take_u64(in);
	if (p->storage_count > WIRE_STORAGES_MOST)
		return false;
	*storages = stator__arena_zero(arena, (p->storage_count + 1) *
						      sizeof(**storages));
	*has = stator__arena_zero(arena,
				  (p->storage_count + 1) * sizeof(**has));
	list = stator__arena_zero(arena,
				  (p->storage_count + 1) * sizeof(*list));
	for (size_t i = 0; i < p->storage_count; i++) {
		list[i] = &(*storages)[i];
		if (!take_storage(in, arena, &(*storages)[i], &(*has)[i]))
			return false;
	}
	p->storages = list;
	return !in->bad;
}
