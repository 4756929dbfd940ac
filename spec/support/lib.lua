--- lib.lua: what is inside of the library, for specs of single rooms. The structs
-- that are not part of stator_plugin.h are declared here once more, as far as specs
-- need them.

local ffi = require "ffi"
local stator = require "support.stator"

ffi.cdef(stator.read(stator.build .. "/gen/ffi.cdef"))
ffi.cdef [[
typedef struct stator_error { int32_t code; char msg[1020]; } stator_error;
typedef struct stator_slice { const void *data; size_t size; } stator_slice;
typedef struct stator_arena { void *block; char *at; char *end; } stator_arena;
typedef struct stator_buf { uint8_t *data; size_t size; size_t cap; } stator_buf;
typedef struct stator_json stator_json;
typedef struct stator_json_out { stator_buf *buf; bool comma; } stator_json_out;
typedef struct stator_def stator_def;
typedef struct stator_path {
  const struct stator_path *up; const char *name; size_t index;
  const char *what; const stator_row *key;
} stator_path;
typedef struct stator_json_opts { int64_t *next_raw_id; bool partial; } stator_json_opts;
typedef struct stator_source {
  const char *path; const char *package; stator_slice text;
} stator_source;
typedef struct stator_problem {
  const char *file; int line, col; const char *message;
} stator_problem;
typedef struct stator_problems {
  stator_arena arena; stator_problem *items; size_t count, cap;
} stator_problems;

void stator__arena_free(stator_arena *arena);
int stator__json_parse(stator_arena *, const char *, size_t, stator_json **, stator_error *);
void stator__json_tree(stator_json_out *, const stator_json *);
stator_def *stator__def_compile(const stator_source *, size_t, stator_problems *);
void stator__def_free(stator_def *);
const stator_type *stator__def_type_named(const stator_def *, const char *);
int stator__row_from_json(stator_arena *, const stator_type *, const stator_json *,
  const stator_path *, const stator_json_opts *, stator_row *, stator_error *);
void stator__row_to_json(stator_json_out *, const stator_def *, const stator_row *, int);
bool stator__row_sound(const stator_row *);
int stator__key_encode(stator_buf *, const stator_row *, bool *, stator_error *);
int stator__key_decode(stator_arena *, const stator_type *, stator_slice, stator_row *,
  stator_error *);

long stator__base64_decode(uint8_t *out, const char *text, size_t size);
void stator__base64_encode(char *out, const uint8_t *data, size_t size);
bool stator__utf8_valid(const void *data, size_t size);
bool stator__qname_valid(const void *data, size_t size);

typedef struct stator_map_node {
  stator_slice key; stator_slice value; int change; uint32_t level;
  struct stator_map_node *later;
  struct stator_map_node *prev; struct stator_map_node *next[];
} stator_map_node;
typedef struct stator_map stator_map;
stator_map *stator__map_new(void);
void stator__map_free(stator_map *);
void stator__map_clear(stator_map *);
void stator__map_write(stator_map *, stator_slice, stator_slice, int change);
uint64_t stator__map_hash(const stator_map *, stator_slice);
const stator_map_node *stator__map_find(const stator_map *, stator_slice, uint64_t);
void stator__map_mark(stator_map *);
void stator__map_rollback(stator_map *);

typedef struct stator_store stator_store;
typedef struct stator_snapshot stator_snapshot;
typedef struct stator_store_opts {
  bool read_only; bool volatile_; size_t overlay_bytes; size_t segment_bytes;
  size_t part_bytes; uint32_t progress_ms; const void *files;
} stator_store_opts;
typedef struct stator_store_ops {
  const char *name;
  int (*open)(stator_store **, const char *, const stator_store_opts *, stator_error *);
  void (*close)(stator_store *);
  int (*snapshot)(stator_store *, stator_snapshot **, stator_error *);
  int (*newest)(stator_store *, stator_snapshot **, stator_error *);
  int (*refresh)(stator_snapshot *, stator_error *);
  void (*snapshot_end)(stator_snapshot *);
  void *get, *expect, *range, *next, *release;
  int (*commit)(stator_store *, const stator_map *, stator_error *);
} stator_store_ops;
extern const stator_store_ops stator__store_lmdb;
extern const stator_store_ops stator__store_log;
bool stator__store_has_log(const char *path);
int stator__store_settle(const char *path, stator_error *);
uint32_t stator__crc32c(uint32_t, const void *, size_t);
uint32_t stator__crc32c_plain(uint32_t, const void *, size_t);
typedef struct stator_view {
  const stator_store_ops *ops; stator_snapshot *snapshot; stator_map *over, *under;
  void (*settle)(void *); void *settle_ctx;
} stator_view;
typedef struct stator_view_cursor stator_view_cursor;
int stator__view_get(const stator_view *, stator_arena *, stator_slice, stator_slice *,
  stator_error *);
int stator__view_range(const stator_view *, stator_arena *, stator_slice, stator_slice, bool,
  stator_view_cursor **, stator_error *);
int stator__view_next(stator_view_cursor *, stator_slice *, stator_slice *, stator_error *);
void stator__view_release(stator_view_cursor *);
]]

local M = { C = ffi.load(stator.build .. "/libstator-spec.so") }

function M.slice(s) return ffi.new("stator_slice", ffi.cast("const char *", s), #s) end

function M.string(slice) return ffi.string(slice.data, slice.size) end

function M.arena() return ffi.gc(ffi.new "stator_arena", M.C.stator__arena_free) end

function M.message(err) return ffi.string(err.msg) end

--- The definition of one package "shop" whose workspace has these statements.
function M.define(statements)
  local text = "APPLICATION shop ();\nWORKSPACE W (\n" .. statements .. "\n);\n"
  local source = ffi.new("stator_source[1]")
  source[0].path, source[0].package, source[0].text = "shop.vsql", "shop", M.slice(text)
  local problems = ffi.new "stator_problems"
  local def = M.C.stator__def_compile(source, 1, problems)
  if def == nil then
    error(ffi.string(problems.items[0].message) .. "\n" .. text)
  end
  return ffi.gc(def, M.C.stator__def_free)
end

--- A row from JSON text: the row, or nil and the message. Rows live in the arena.
--- A partial one may lack required fields.
function M.row(arena, stype, text, partial)
  local json, err = ffi.new "stator_json *[1]", ffi.new "stator_error"
  if M.C.stator__json_parse(arena, text, #text, json, err) ~= 0 then error(M.message(err)) end
  local row, path = ffi.new "stator_row", ffi.new("stator_path", nil, "args")
  local code = M.C.stator__row_from_json(arena, stype, json[0], path,
    ffi.new("stator_json_opts", nil, partial or false), row, err)
  if code ~= 0 then return nil, M.message(err) end
  return row
end

--- A row as JSON text.
function M.json(def, row)
  local buf = ffi.new "stator_buf"
  local out = ffi.new("stator_json_out", buf, false)
  M.C.stator__row_to_json(out, def, row, 0)
  local text = ffi.string(buf.data, buf.size)
  ffi.C.free(buf.data)
  return text
end

ffi.cdef "void free(void *);"

return M
