--- rows.lua: rows as Lua values, and Lua values as rows.
--
-- A row that an extension holds is a front: a table with a closed metatable, and under a name
-- that nobody can guess the number of a slot. The slot, with the bytes, is the host's, and no
-- read leaves the bytes of its row. The front of an intent has its number likewise, and a key
-- has its values.
-- Rows are read and written by functions that are generated for their type (generate.lua).
-- No code of an extension runs between the first byte of a row that is written and the call
-- that takes it.

local ffi = require "ffi"
local bit = require "bit"
local generate = require "stator.generate"
local private = require "stator.private"

local P_ROW, P_INTENT, P_AT = private .. "ROW", private .. "INTENT", private .. "AT"

local cast, ffi_string = ffi.cast, ffi.string
local band, floor = bit.band, math.floor
local type, tonumber, tostring, next = type, tonumber, tostring, next
local rawget, rawset = rawget, rawset

local u32p = ffi.typeof "const uint32_t *"
local int64 = ffi.typeof "int64_t"
local uint64 = ffi.typeof "uint64_t"
local uintptr = ffi.typeof "uintptr_t"

local M = {}

-- Kinds of fields, as stator_plugin.h numbers them.
local INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOL, REF = 1, 2, 3, 4, 5, 6, 7, 8
local STRING, BYTES, QNAME, ROWS, ROW, TEXTS = 9, 10, 11, 12, 13, 14

local KINDS = {
  [INT8] = { name = "int8", pointer = "i8p", width = 1, low = -2 ^ 7, high = 2 ^ 7 - 1 },
  [INT16] = { name = "int16", pointer = "i16p", width = 2, low = -2 ^ 15, high = 2 ^ 15 - 1 },
  [INT32] = { name = "int32", pointer = "i32p", width = 4, low = -2 ^ 31, high = 2 ^ 31 - 1 },
  [INT64] = { name = "int64", pointer = "i64p", width = 8 },
  [FLOAT32] = { name = "float32", pointer = "f32p", width = 4 },
  [FLOAT64] = { name = "float64", pointer = "f64p", width = 8 },
  [BOOL] = { name = "bool", pointer = "u8p", width = 1 },
  [REF] = { name = "a record ID", pointer = "i64p", width = 8 },
  [STRING] = { name = "string", width = 8 },
  [BYTES] = { name = "bytes", width = 8 },
  [QNAME] = { name = "qname", width = 8 },
  [ROWS] = { name = "rows", width = 8 },
  [ROW] = { name = "row", width = 8 },
  [TEXTS] = { name = "a string or several", width = 8 },
}

-- Checking values -----------------------------------------------------------

-- Each check gives the value to store, or nil when it does not fit.
local CHECKS = {}

local function int_check(low, high)
  return function(v)
    if type(v) == "number" then
      if v >= low and v <= high and v == floor(v) then return v end
    elseif ffi.istype(int64, v) or ffi.istype(uint64, v) then
      local n = tonumber(v)
      if n >= low and n <= high then return n end
    end
  end
end

for kind = INT8, INT32 do CHECKS[kind] = int_check(KINDS[kind].low, KINDS[kind].high) end

CHECKS[INT64] = function(v)
  if type(v) == "number" then
    if v >= -2 ^ 63 and v < 2 ^ 63 and v == floor(v) then return v end
  elseif ffi.istype(int64, v) then
    return v
  elseif ffi.istype(uint64, v) then
    if v <= 0x7fffffffffffffffULL then return v end
  end
end

CHECKS[REF] = function(v)
  v = CHECKS[INT64](v)
  if v and v > 0 then return v end
end

local function finite(v, most)
  if ffi.istype(int64, v) or ffi.istype(uint64, v) then v = tonumber(v) end
  if type(v) == "number" and v >= -most and v <= most then return v end
end

CHECKS[FLOAT64] = function(v) return finite(v, 1.7976931348623157e308) end
CHECKS[FLOAT32] = function(v) return finite(v, 3.4028234663852886e38) end

CHECKS[BOOL] = function(v)
  if v == true then return 1 elseif v == false then return 0 end
end

CHECKS[STRING] = function(v)
  if type(v) == "string" then return v end
end
CHECKS[BYTES] = CHECKS[STRING]
CHECKS[QNAME] = CHECKS[STRING]

-- Several texts become one block, as rows keep them: their number, their offsets and
-- the end, then the texts.
CHECKS[TEXTS] = function(v)
  if type(v) == "string" then v = { v } end
  if type(v) ~= "table" then return nil end
  local count = #v
  local head = ffi.new("uint32_t[?]", count + 2)
  local at = 4 * (count + 2)
  head[0] = count
  for i = 1, count do
    local text = rawget(v, i)
    if type(text) ~= "string" then return nil end
    head[i] = at
    at = at + #text
  end
  head[count + 1] = at
  return ffi_string(head, 4 * (count + 2)) .. table.concat(v, "", 1, count)
end

-- The beginning of a text, cut between two characters.
local function beginning(v)
  local cut = 40
  while cut > 36 and (v:byte(cut + 1) or 0) >= 128 and (v:byte(cut + 1) or 0) < 192 do
    cut = cut - 1
  end
  return v:sub(1, cut)
end

local function show(v)
  if type(v) == "string" then
    return #v > 40 and ('"%s..."'):format(beginning(v)) or ('"%s"'):format(v)
  elseif type(v) == "number" or type(v) == "boolean" or type(v) == "cdata" then
    return (tostring(v):gsub("U?LL$", ""))
  end
  return "a " .. type(v)
end

-- Types -----------------------------------------------------------------------

--- What Lua knows of a type: its name, and its fields by name.
local Type = {}
Type.__index = Type

local function guess(info, name)
  local best, distance
  if type(name) ~= "string" then return nil end
  local wanted = name:lower()
  for known in next, info.fields do
    local other = known:lower()
    local longest = math.max(#other, #wanted)
    -- Letters that do not stand at the same place from the left or the right.
    local left, right = 0, 0
    while left < longest and other:byte(left + 1) == wanted:byte(left + 1) do left = left + 1 end
    while right < longest - left and other:byte(-right - 1) == wanted:byte(-right - 1) do
      right = right + 1
    end
    local d = longest - left - right
    if d <= (#wanted + 2) / 3 and d < #wanted and (not distance or d < distance) then
      best, distance = known, d
    end
  end
  return best
end

local function wrong_field(info, name)
  local close = guess(info, name)
  if type(name) ~= "string" and type(name) ~= "number" then name = "of type " .. type(name) end
  M.raise(("%s has no field %s%s"):format(info.name, name,
    close and ("; did you mean %s?"):format(close) or ""))
end

local function wrong_value(info, field, v)
  M.raise(("%s.%s: expected %s, found %s"):format(info.name, field.name,
    KINDS[field.kind].name, field.secret and "***" or show(v)))
end

--- The value to store for a field, checked; raises when it does not fit.
function Type:check(name, v)
  local field = self.fields[name]
  if not field then return wrong_field(self, name) end
  local check = CHECKS[field.kind]
  if not check or not field.writable then
    return M.raise(("%s.%s cannot be written"):format(self.name, name))
  end
  if check(v) == nil then wrong_value(self, field, v) end
  if field.kind <= BYTES and field.kind >= STRING and #v > field.max then
    M.raise(("%s.%s: expected at most %d bytes, found %d"):format(self.name, name, field.max, #v))
  end
  return v
end

--- Fields are none, or a table of the author's; `text` says what is wrong.
function M.check_fields(fields, text)
  if fields ~= nil and (type(fields) ~= "table" or getmetatable(fields) == false) then
    M.raise(text:format(type(fields) == "table" and "row, key or handle" or type(fields)))
  end
end

local function too_many(info, most)
  M.raise(("a key of %s is made from %s"):format(info.name, most == 0 and "fields by name"
    or most == 1 and "one value, or from fields by name"
    or ("up to %d values, or from fields by name"):format(most)))
end

-- Reading ---------------------------------------------------------------------

-- Where the value stands in the row of a slot; nil when it is null or the bytes
-- are not long enough to be such a row.
local function locator(field)
  local at, null_at, mask = field.at, field.null_at, field.present
  local last = at + KINDS[field.kind].width
  return function(slot)
    local p = slot.data
    if slot.size < last or cast(u32p, p)[1] < last then return nil end
    if band(p[null_at], mask) == 0 then return nil end
    return p + at
  end
end

-- The block of nested rows: bytes and size, or nil.
local function block_reader(field)
  local locate = locator(field)
  return function(slot)
    local p = locate(slot)
    if p == nil then return nil end
    local from, size = cast(u32p, p)[0], cast(u32p, p)[1]
    if from + size > slot.size or size < 8 then return nil end
    return slot.data + from, size
  end
end

-- Set by `open`: the run's slots, and functions of the host.
local run, api, engine

-- Of intents only rows of a query's result are gone before the run is over.
local function stale(what, intent)
  if intent and intent < 0 and intent + run.intent_base >= run.intent_first then
    M.raise "this row of the result is complete: set its fields before the next one is made"
  end
  M.raise(("this %s belongs to a run that is over; read it again"):format(what or "row"))
end

local function add_slot(data, size, stype)
  if run.count == run.cap and api.grow_slots(engine) < 0 then M.host_failed() end
  local i = run.count
  local slot = run.slots[i]
  slot.data, slot.size, slot.type = data, size, stype
  run.count = i + 1
  return i
end

local infos = {} -- by address of the type

local function info_of(stype)
  local address = tonumber(cast(uintptr, stype))
  local info = infos[address] or M.type(stype)
  return info
end

--- The row in slot `i`, whatever its type is; nil when the slot is empty.
function M.any(i)
  local slot = run.slots[i]
  if slot.data == nil then return nil end
  local row = info_of(slot.type).row(i)
  return row
end

--- The index of the slot of a row of this run; raises for any other.
function M.slot_index(row)
  local number = rawget(row, P_ROW)
  local i = (type(number) == "number" and number or -1) - run.base
  if not (i >= 0 and i < run.count) then stale() end
  return i
end

-- The row at `index` (from 0) of a block, as an element; nil when there is none.
local function child(block, size, index, stype)
  local count = cast(u32p, block)[0]
  if not (index >= 0 and index < count) or index ~= floor(index) then return nil end
  if 4 * (count + 2) > size then return nil end
  local from, to = cast(u32p, block)[index + 1], cast(u32p, block)[index + 2]
  if from > to or to > size or to - from < 8 then return nil end
  if stype == nil then stype = api.type(engine, cast(u32p, block + from)[0]) end
  if stype == nil then return nil end
  local row = info_of(stype).row(add_slot(block + from, to - from, stype))
  return row
end

-- Nested rows: rows:len(), rows[1], for i, row in rows:each().
local function list_metatable(field, read_block)
  local stype = field.rows
  local methods = {}

  local function block_of(self)
    return read_block(run.slots[M.slot_index(self)])
  end

  function methods.len(self)
    local block = block_of(self)
    return block == nil and 0 or cast(u32p, block)[0]
  end

  -- Called like a function; to make one for each loop is not compiled.
  local each_mt = {
    __metatable = false,
    __call = function(self)
      local block, size = block_of(self)
      local i = rawget(self, P_AT) + 1
      rawset(self, P_AT, i)
      if block == nil then return nil end
      local row = child(block, size, i - 1, stype)
      if row then return i, row end
    end,
    __index = function(_, key)
      M.raise("an iterator over nested rows has no " .. tostring(key))
    end,
    __newindex = function() M.raise(field.name .. ": rows that were read cannot be changed") end,
    __tostring = function() return field.name .. " (rows)" end,
  }

  function methods.each(self)
    local iterator = setmetatable({ [P_ROW] = rawget(self, P_ROW), [P_AT] = 0 }, each_mt)
    return iterator
  end

  return {
    __metatable = false,
    __index = function(self, key)
      if type(key) == "number" then
        local block, size = block_of(self)
        if block == nil then return nil end
        local row = child(block, size, key - 1, stype)
        return row
      end
      local method = methods[key]
      if not method then
        M.raise(("nested rows have len, each and numbers; not %s"):format(tostring(key)))
      end
      return method
    end,
    __newindex = function() M.raise(field.name .. ": rows that were read cannot be changed") end,
    __tostring = function(self) return ("%s (%d rows)"):format(field.name, methods.len(self)) end,
  }
end

local function nested_reader(field)
  local read_block, stype = block_reader(field), field.rows
  if field.kind == ROW then
    return function(slot)
      local block, size = read_block(slot)
      if block == nil then return nil end
      local row = child(block, size, 0, stype)
      return row
    end
  end
  local mt = list_metatable(field, read_block)
  return function(_, number)
    local list = setmetatable({ [P_ROW] = number }, mt)
    return list
  end
end

local function texts_reader(field)
  local read_block = block_reader(field)
  return function(slot)
    local block, size = read_block(slot)
    if block == nil then return nil end
    local texts, offsets = {}, cast(u32p, block)
    for i = 1, math.min(offsets[0], size / 4 - 2) do
      local from, to = offsets[i], offsets[i + 1]
      if from > to or to > size then return nil end
      texts[i] = ffi_string(block + from, to - from)
    end
    return texts
  end
end

-- The readers of rows and texts; those of other kinds are generated.
local function block_readers(info)
  local readers = {}
  for name, field in next, info.fields do
    local kind = field.kind
    if kind == ROWS or kind == ROW then readers[name] = nested_reader(field) end
    if kind == TEXTS then readers[name] = texts_reader(field) end
  end
  local name_of_type = info.name
  readers["sys.QName"] = function() return name_of_type end
  return readers
end

local function row_tostring(info, self)
  local parts = {}
  for _, field in ipairs(info.list) do
    local v = self[field.name]
    if v ~= nil and field.kind ~= ROWS and field.kind ~= ROW then
      parts[#parts + 1] = field.name .. "=" .. show(v)
    end
  end
  return ("%s {%s}"):format(info.name, table.concat(parts, ", "))
end

local function row_metatable(info)
  return {
    __metatable = false,
    __newindex = function(_, name)
      M.raise(("%s.%s: a row that was read cannot be changed; use state.update")
        :format(info.name, tostring(name)))
    end,
    __tostring = function(self) return row_tostring(info, self) end,
  }
end

local function intent_metatable(info)
  return {
    __metatable = false,
    __eq = function(a, b) return rawget(a, P_INTENT) == rawget(b, P_INTENT) end,
    __tostring = function() return "intent of " .. info.name end,
  }
end

-- Types, continued ----------------------------------------------------------------

local function describe(field, index)
  return {
    name = ffi_string(field.name),
    index = index,
    kind = field.kind,
    at = field.at,
    null_at = field.null_at,
    present = field.present,
    rows = field.rows ~= nil and field.rows or nil,
    max = field.max,
    secret = field.secret ~= 0,
    writable = field.kind ~= ROWS and field.kind ~= ROW,
    width = KINDS[field.kind].width,
    pointer = KINDS[field.kind].pointer,
    low = KINDS[field.kind].low,
    high = KINDS[field.kind].high,
  }
end

-- What rows of the type need to be read.
local function generate_code(info)
  local support, name, list = generate.support(), info.name, info.list
  support.run, support.engine, support.api = run, engine, api
  support.failed, support.stale, support.wrong_field = M.host_failed, stale, wrong_field
  support.check, support.texts, support.info = info.check, CHECKS[TEXTS], info
  support.check_fields, support.too_many = M.check_fields, too_many
  support.writable, support.setters = {}, {}
  for field_name, field in next, info.fields do
    support.writable[field_name] = field.writable or nil
  end
  support.readers = block_readers(info)
  support.row_mt, support.intent_mt = row_metatable(info), intent_metatable(info)
  -- The schema's field wins over the host's IsNew: it comes later.
  support.row_mt.__index, info.row = generate.reading(name, list, support)
  info.support = support
end

--- What Lua knows of a type of the host; made once for each.
function M.type(stype)
  local address = tonumber(cast(uintptr, stype))
  local info = infos[address]
  if info then return info end
  info = setmetatable({ name = ffi_string(stype.name), fields = {}, list = {} }, Type)
  infos[address] = info
  for i = 0, stype.field_count - 1 do
    local field = describe(stype.fields[i], i)
    info.list[i + 1] = field
    -- The schema's field wins over the host's IsNew, which stands before it.
    info.fields[field.name] = field
  end
  local is_new = info.fields.IsNew
  if is_new and is_new == info.list[5] and info.fields["sys.ID"] then is_new.writable = false end
  generate_code(info)
  return info
end

--- The same of a type of keys: they can be made, and written.
function M.key_type(stype)
  local info = M.type(stype)
  if not info.caller then
    info.caller, info.places = generate.keys(info.name, info.list, info.support)
    info.write = generate.writing(info.name, info.list, stype, info.support)
  end
  return info
end

--- The same of a type of values: there can be intents of it.
function M.value_type(stype)
  local info = M.type(stype)
  if not info.intend then
    local support, mt = info.support, info.support.intent_mt
    mt.__index, mt.__newindex, info.front = generate.changing(info.name, info.list, support)
    info.intend = generate.intending(info.name, info.list, support)
  end
  return info
end

--- Connects this module to its engine; called once.
function M.open(host_run, host_api, host_engine, raise)
  run, api, engine = host_run, host_api, host_engine
  M.raise = raise
  -- Raises what the host said about the last call.
  M.host_failed = function() raise(ffi_string(run.message), run.code) end
end

M.stale = stale

return M
