/*
 * keys.c: the keys of what the host itself keeps in a partition.
 */
#include "processor/processor.h"

stator_slice
stator__event_key(stator_arena *arena, int64_t plog_offset)
{
	uint8_t *p = stator__arena_alloc(arena, 9);

	p[0] = STATOR_SPACE_EVENT;
	stator__be64_put(p + 1, (uint64_t)plog_offset);
	return stator__slice(p, 9);
}

stator_slice
stator__wlog_key(stator_arena *arena, int64_t wsid, int64_t offset)
{
	uint8_t *p = stator__arena_alloc(arena, 17);

	p[0] = STATOR_SPACE_WLOG;
	stator__be64_put(p + 1, (uint64_t)wsid);
	stator__be64_put(p + 9, (uint64_t)offset);
	return stator__slice(p, 17);
}

stator_slice
stator__sequence_key(stator_arena *arena, int64_t wsid)
{
	uint8_t *p = stator__arena_alloc(arena, 9);

	p[0] = STATOR_SPACE_SEQUENCE;
	stator__be64_put(p + 1, (uint64_t)wsid);
	return stator__slice(p, 9);
}

stator_slice
stator__meta_key(stator_arena *arena, const char *name)
{
	size_t size = strlen(name);
	char *p = stator__arena_alloc(arena, size + 1);

	p[0] = STATOR_SPACE_META;
	memcpy(p + 1, name, size);
	return stator__slice(p, size + 1);
}

int
stator__number_get(const stator_view *view, stator_arena *arena,
		   stator_slice key, int64_t *value, stator_error *err)
{
	stator_slice bytes;
	int code = stator__view_get(view, arena, key, &bytes, err);

	if (code)
		return code;
	if (bytes.size < 8)
		return stator__fail(err, STATOR_CORRUPT,
				    "a number of the partition is too short");
	*value = (int64_t)stator__be64(bytes.data);
	return STATOR_OK;
}

void
stator__number_put(stator_map *map, stator_slice key, int64_t value)
{
	uint8_t bytes[8];

	stator__be64_put(bytes, (uint64_t)value);
	stator__map_write(map, key, stator__slice(bytes, sizeof(bytes)),
			  STATOR_CHANGE_PUT);
}
