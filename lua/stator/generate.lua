--- generate.lua: code that is made for one type of rows.
--
-- It has no loops, and functions of its own for each type and field: so LuaJIT takes what
-- an extension does with rows into one trace, with places and kinds of fields as constants.
-- Functions that several types share would be traced once for all, and know nothing.

local ffi = require "ffi"
local bit = require "bit"

local M = {}

-- Kinds of fields, as stator_plugin.h numbers them.
local INT8, INT32, INT64, FLOAT64, BOOL, REF = 1, 3, 4, 6, 7, 8
local STRING, QNAME, TEXTS = 9, 11, 14

local HEAD = [[
local run, engine, s = ...
local i8p, i16p, i32p, i64p = s.i8p, s.i16p, s.i32p, s.i64p
local f32p, f64p, u8p = s.f32p, s.f64p, s.u8p
local u32p, cast, copy, fill, text = s.u32p, s.cast, s.copy, s.fill, s.text
local band, bor = s.band, s.bor
local next, rawget, type, tonumber, floor = s.next, s.rawget, s.type, s.tonumber, s.floor
local grow, failed, stale, check, wrong_field, texts = s.grow, s.failed, s.stale, s.check,
  s.wrong_field, s.texts
local info, readers, writable, BEHIND = s.info, s.readers, s.writable, s.BEHIND
]]

-- Puts values in place of the capital names of a template.
local function fill_in(template, values)
  return (template:gsub("%u[%u_]+", values))
end

local function compile(name, code, run, engine, support)
  return assert(loadstring(HEAD .. code, "=" .. name))(run, engine, support)
end

-- Reading ---------------------------------------------------------------------

local LOCATE = [[
readers[%s] = function(slot)
  local p = slot.data
  if slot.size < LAST or cast(u32p, p)[1] < LAST or band(p[NULL_AT], MASK) == 0 then return nil end
]]

local READ_NUMBER = LOCATE .. [[
  local v = tonumber(cast(POINTER, p + AT)[0])
  return v
end
]]

local READ_INT64 = LOCATE .. [[
  local v = cast(POINTER, p + AT)[0]
  if v > -0x20000000000000LL and v < 0x20000000000000LL then v = tonumber(v) end
  return v
end
]]

local READ_BOOL = LOCATE .. [[
  return p[AT] ~= 0
end
]]

local READ_TEXT = LOCATE .. [[
  local from, size = cast(u32p, p + AT)[0], cast(u32p, p + AT)[1]
  if from + size > slot.size then return nil end
  local v = text(p + from, size)
  return v
end
]]

local function read_template(kind)
  if kind == INT64 or kind == REF then return READ_INT64 end
  if kind == BOOL then return READ_BOOL end
  if kind >= INT8 and kind <= FLOAT64 then return READ_NUMBER end
  if kind >= STRING and kind <= QNAME then return READ_TEXT end
end

--- Adds the readers of fields that are no rows to `support.readers`: functions of a slot.
--- Gives the __index of rows of the type.
function M.reading(name, list, run, engine, support)
  local code = {}
  for _, field in ipairs(list) do
    local template = read_template(field.kind)
    if template then
      code[#code + 1] = fill_in(template, {
        AT = field.at, LAST = field.at + field.width, NULL_AT = field.null_at,
        MASK = field.present, POINTER = field.pointer,
      }):format(("%q"):format(field.name))
    end
  end
  code[#code + 1] = [[
return function(self, name)
  local number = rawget(self, BEHIND)
  local i = number - run.base
  if not (i >= 0 and i < run.count) then stale() end
  local read = readers[name]
  if not read then return wrong_field(info, name) end
  local v = read(run.slots[i], number)
  return v
end]]
  return compile(name, table.concat(code), run, engine, support)
end

-- Taking ----------------------------------------------------------------------

-- What is surely right; everything else is looked at by the slow check, which raises.
local function fits(field)
  local kind = field.kind
  if kind >= INT8 and kind <= INT32 then
    return ('type(v) == "number" and v >= %d and v <= %d and v == floor(v)'):format(field.low,
      field.high)
  elseif kind == INT64 then
    return 'type(v) == "number" and v >= -2 ^ 53 and v <= 2 ^ 53 and v == floor(v)'
  elseif kind == REF then
    return 'type(v) == "number" and v >= 1 and v <= 2 ^ 53 and v == floor(v)'
  elseif kind == FLOAT64 then
    return 'type(v) == "number" and v - v == 0'
  elseif kind == BOOL then
    return 'type(v) == "boolean"'
  elseif kind >= STRING and kind < QNAME then
    return ('type(v) == "string" and #v <= %d'):format(field.max)
  end
  return "false"
end

local TAKE = [[
  VALUE = rawget(fields, %s)
  if VALUE ~= nil and not (FITS) then VALUE = check(info, %s, VALUE) end
]]

-- More keys than this are gone through by a loop.
local STRAIGHT = 6

-- Raises when there is a key that is no field, or one that cannot be written.
local function look_for_others(count)
  local one = "if not writable[k] then check(info, k) end k = next(fields, k)\n"
  local code = { "local k = next(fields)\n" }
  for _ = 1, math.min(count, STRAIGHT) do code[#code + 1] = "if k ~= nil then " .. one end
  code[#code + 1] = "while k ~= nil do " .. one .. "end\n"
  code[#code + 1] = ("end "):rep(math.min(count, STRAIGHT))
  return table.concat(code)
end

-- Types with more fields than this get their values one by one: a function has 200 locals.
local MOST_LOCALS = 150

-- The values of a table of fields, checked, as locals; and where they stand in a new table.
local function take_as_locals(names)
  local code, entries = {}, {}
  for i, field in ipairs(names) do
    local quoted, value = ("%q"):format(field.name), "v" .. i
    code[i] = fill_in(TAKE, { FITS = fits(field):gsub("%f[%w]v%f[%W]", value), VALUE = value })
      :format(quoted, quoted)
    entries[i] = ("[%s] = %s"):format(quoted, value)
    names[i] = value
  end
  local locals = #names > 0 and "  local " .. table.concat(names, ", ") .. "\n" or ""
  return locals .. "  if fields ~= nil then\n" .. table.concat(code) .. look_for_others(#names)
    .. "\n  end\n  return { [0] = handle, [-1] = base, [-2] = number, "
    .. table.concat(entries, ", ") .. " }\nend"
end

local function take_one_by_one(names)
  local code = { "  local v\n  local t = { [0] = handle, [-1] = base, [-2] = number }\n",
    "  if fields == nil then return t end\n" }
  for _, field in ipairs(names) do
    local quoted = ("%q"):format(field.name)
    code[#code + 1] = fill_in(TAKE, { FITS = fits(field), VALUE = "v" }):format(quoted, quoted)
    code[#code + 1] = ("  t[%s] = v\n"):format(quoted)
  end
  return table.concat(code) .. look_for_others(#names) .. "\n  return t\nend"
end

--- The function that gives a table with the values of a table of fields, checked, or of none,
--- and `handle`, `base` and `number` under 0, -1 and -2.
function M.taking(name, list, run, engine, support)
  local writable = {}
  for _, field in ipairs(list) do
    if field.writable then writable[#writable + 1] = field end
  end
  local take = #writable <= MOST_LOCALS and take_as_locals or take_one_by_one
  return compile(name, "return function(fields, handle, base, number)\n" .. take(writable), run,
    engine, support)
end

-- Writing ---------------------------------------------------------------------

local STORE_NUMBER = [[
  v = s[%s]
  if v ~= nil then
    cast(POINTER, out + AT)[0] = VALUE
    out[NULL_AT] = bor(out[NULL_AT], MASK)
  end
]]

local STORE_TEXT = [[
  v = s[%s]
  if v ~= nil then
    v = VALUE
    n = #v
    if size + n > run.out_cap then
      if grow(engine, size + n) < 0 then failed() end
      out = run.out
    end
    copy(out + size, v, n)
    cast(u32p, out + AT)[0] = size
    cast(u32p, out + AT)[1] = n
    out[NULL_AT] = bor(out[NULL_AT], MASK)
    size = size + n
  end
]]

local WRITER = [[
return function(s)
  if run.out_cap < FIXED and grow(engine, FIXED) < 0 then failed() end
  local out, size, v, n = run.out, FIXED
  fill(out, FIXED)
  cast(u32p, out)[0] = ID
  cast(u32p, out)[1] = FIXED
]]

local function store_code(field)
  local values = { AT = field.at, NULL_AT = field.null_at, MASK = field.present,
    POINTER = field.pointer, VALUE = "v" }
  local template = STORE_TEXT
  if field.kind <= REF then template = STORE_NUMBER end
  if field.kind == BOOL then values.VALUE = "v and 1 or 0" end
  if field.kind == TEXTS then values.VALUE = "texts(v)" end
  return fill_in(template, values):format(("%q"):format(field.name))
end

--- The function that writes a table of checked values as a row into `run.out` and gives the
--- row's size.
function M.writing(name, list, fixed, id, run, engine, support)
  local code = { fill_in(WRITER, { FIXED = fixed, ID = ("%d"):format(id) }) }
  for _, field in ipairs(list) do
    if field.writable then code[#code + 1] = store_code(field) end
  end
  code[#code + 1] = "  return size\nend"
  return compile(name, table.concat(code), run, engine, support)
end

--- What generated code is given, but for what is of one type.
function M.support()
  local s = { cast = ffi.cast, copy = ffi.copy, fill = ffi.fill, text = ffi.string,
    band = bit.band, bor = bit.bor, next = next, rawget = rawget, type = type,
    tonumber = tonumber, floor = math.floor }
  for name, ctype in pairs { i8p = "int8_t", i16p = "int16_t", i32p = "int32_t", i64p = "int64_t",
    f32p = "float", f64p = "double", u8p = "uint8_t", u32p = "uint32_t" } do
    s[name] = ffi.typeof(ctype .. " *")
  end
  return s
end

return M
