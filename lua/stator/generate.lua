--- generate.lua: code that is made for one type of rows.
--
-- It has no loops, and functions of its own for each type and field: so LuaJIT takes what
-- an extension does with rows into one trace, with places and kinds of fields as constants.
-- Functions that several types share would be traced once for all, and know nothing.

local ffi = require "ffi"
local bit = require "bit"
local private = require "stator.private"

local M = {}

-- Kinds of fields, as stator_plugin.h numbers them.
local INT8, INT32, INT64, FLOAT64, BOOL, REF = 1, 3, 4, 6, 7, 8
local STRING, QNAME, TEXTS = 9, 11, 14

local HEAD = [[
local run, engine, api, s = ...
local i8p, i16p, i32p, i64p = s.i8p, s.i16p, s.i32p, s.i64p
local f32p, f64p, u8p = s.f32p, s.f64p, s.u8p
local u32p, cast, copy, fill, text = s.u32p, s.cast, s.copy, s.fill, s.text
local band, bor = s.band, s.bor
local next, rawget, type, tonumber, floor = s.next, s.rawget, s.type, s.tonumber, s.floor
local setmetatable = s.setmetatable
local failed, stale, check, wrong_field, texts = s.failed, s.stale, s.check, s.wrong_field, s.texts
local check_fields, too_many = s.check_fields, s.too_many
local info, readers, setters, writable = s.info, s.readers, s.setters, s.writable
local row_mt, intent_mt = s.row_mt, s.intent_mt
]]

-- Names under which fronts keep what is the host's. Nobody can guess them.
local PRIVATE = {}
for _, name in ipairs { "HANDLE", "ROW", "INTENT" } do
  PRIVATE["P_" .. name] = ("%q"):format(private .. name)
end

-- Puts values in place of the capital names of a template.
local function fill_in(template, values)
  return (template:gsub("%u[%u_]+", values))
end

local function compile(name, code, support)
  return assert(loadstring(HEAD .. code, "=" .. name))(support.run, support.engine, support.api,
    support)
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
--- Gives the __index of rows of the type, and what makes one of a slot.
function M.reading(name, list, support)
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
  code[#code + 1] = fill_in([[
return function(self, name)
  local number = rawget(self, P_ROW)
  local i = number - run.base
  if not (i >= 0 and i < run.count) then stale() end
  local read = readers[name]
  if not read then return wrong_field(info, name) end
  local v = read(run.slots[i], number)
  return v
end, function(i)
  local row = setmetatable({ [P_ROW] = run.base + i }, row_mt)
  return row
end]], PRIVATE)
  return compile(name, table.concat(code), support)
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

-- The same for a value that is there already.
local FIT = [[
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

-- A value that fits, or what the slow check makes of it.
local function take(template, field, value)
  local quoted = ("%q"):format(field.name)
  return (fill_in(template, { FITS = fits(field):gsub("%f[%w]v%f[%W]", value), VALUE = value })
    :format(quoted, quoted))
end

local function declare(names)
  return #names > 0 and "  local " .. table.concat(names, ", ") .. "\n" or ""
end

-- The values of a table of fields, checked, in locals; and those by field.
local function take_as_locals(fields)
  local code, names, locals = {}, {}, {}
  for i, field in ipairs(fields) do
    names[i] = "v" .. i
    locals[field] = names[i]
    code[i] = take(TAKE, field, names[i])
  end
  return declare(names) .. "  if fields ~= nil then\n" .. table.concat(code)
    .. look_for_others(#names) .. "\n  end\n", locals
end

-- The same without locals: the values are looked up again, since nobody else has the table.
local function take_one_by_one(fields)
  local code, places = { "  local v\n  if fields ~= nil then\n" }, {}
  for _, field in ipairs(fields) do
    code[#code + 1] = take(TAKE, field, "v")
    places[field] = ("(fields and rawget(fields, %q))"):format(field.name)
  end
  return table.concat(code) .. look_for_others(#fields) .. "\n  end\n", places
end

local function writable_of(list)
  local writable = {}
  for _, field in ipairs(list) do
    if field.writable then writable[#writable + 1] = field end
  end
  return writable
end

-- Code that looks at a table of fields, and what then has the value of each field.
local function taking(list)
  local fields = writable_of(list)
  local way = #fields <= MOST_LOCALS and take_as_locals or take_one_by_one
  local code, values = way(fields)
  return code, values, fields
end

-- Keys ------------------------------------------------------------------------

-- Where a key keeps the value of a field.
local function place(field) return private .. field.name end

-- More than these are given by name.
local MOST_VALUES = 30

-- Fields that a key may be given by value, in order: all but the workspace.
local function by_value(fields)
  local given = {}
  if #fields > MOST_LOCALS then return given end
  for _, field in ipairs(fields) do
    if field.name ~= "WSID" and #given < MOST_VALUES then given[#given + 1] = field end
  end
  return given
end

local CALLED = [[
return function(handle, mt) return function(_, PARAMETERS)
  local fields
  if type(p1) == "table" then fields, p1 = p1, nil end
  if more ~= nil or fields and p2 ~= nil then too_many(info, COUNT) end
  if fields then check_fields(fields, "a key is made from values or a table, not from a %s") end
]]

--- What gives the function that makes keys for a handle, of values in order or of a table of
--- fields; and the place of each field in a key.
function M.keys(name, list, support)
  local take_fields, values, fields = taking(list)
  local given, parameters, places = by_value(fields), {}, {}
  for i = 1, math.max(#given, 2) do parameters[i] = "p" .. i end
  local code = { fill_in(CALLED, { PARAMETERS = table.concat(parameters, ", ") .. ", more",
    COUNT = #given }), take_fields, "  if not fields then\n" }
  for i, field in ipairs(given) do
    local value = values[field]
    code[#code + 1] = ("  %s = p%d\n"):format(value, i) .. take(FIT, field, value)
  end
  code[#code + 1] = "  end\n"
  local entries = { fill_in("[P_HANDLE] = handle", PRIVATE) }
  for _, field in ipairs(fields) do
    entries[#entries + 1] = ("[%q] = %s"):format(place(field), values[field])
    places[field.name] = place(field)
  end
  code[#code + 1] = "  local key = setmetatable({ " .. table.concat(entries, ", ") .. " }, mt)\n"
    .. "  return key\nend end"
  return compile(name, table.concat(code), support), places
end

local STORE_NUMBER = [[
    cast(POINTER, out + AT)[0] = VALUE
    out[NULL_AT] = bor(out[NULL_AT], MASK)
]]

local WRITE_TEXT = [[
    v = VALUE
    n = #v
    if size + n > run.out_cap then
      if api.grow_out(engine, size + n) < 0 then failed() end
      out = run.out
    end
    copy(out + size, v, n)
    cast(u32p, out + AT)[0] = size
    cast(u32p, out + AT)[1] = n
    out[NULL_AT] = bor(out[NULL_AT], MASK)
    size = size + n
]]

local WRITER = [[
return function(key)
  if run.out_cap < FIXED and api.grow_out(engine, FIXED) < 0 then failed() end
  local out, size, v, n = run.out, FIXED
  fill(out, FIXED)
  cast(u32p, out)[0] = ID
  cast(u32p, out)[1] = FIXED
]]

-- Code that stores the checked value of a field, `value`, by the template of its kind.
local function store(field, value, text)
  local values = { AT = field.at, NULL_AT = field.null_at, MASK = field.present,
    POINTER = field.pointer, INDEX = field.index, VALUE = value }
  if field.kind == BOOL then values.VALUE = ("(%s and 1 or 0)"):format(value) end
  if field.kind == TEXTS then values.VALUE = ("texts(%s)"):format(value) end
  return fill_in(field.kind <= REF and STORE_NUMBER or text, values)
end

--- The function that writes a key as a row into `run.out` and gives the row's size.
function M.writing(name, list, stype, support)
  local code = { fill_in(WRITER, { FIXED = stype.fixed, ID = ("%d"):format(stype.id) }) }
  for _, field in ipairs(writable_of(list)) do
    code[#code + 1] = ("  v = rawget(key, %q)\n  if v ~= nil then\n"):format(place(field))
      .. store(field, "v", WRITE_TEXT) .. "  end\n"
  end
  code[#code + 1] = "  return size\nend"
  return compile(name, table.concat(code), support)
end

-- Intents ---------------------------------------------------------------------

-- Texts of an intent are put behind its row by the host, which may move the row.
local PUT_TEXT = [[
    v = VALUE
    if api.put_text(engine, index, INDEX, v, #v) < 0 then failed() end
    out = run.intents[index].data
]]

local SETTER = [[
setters[%s] = function(index, v)
  local out = run.intents[index].data
  if v == nil then
    out[NULL_AT] = band(out[NULL_AT], ABSENT)
    return
  end
  if not (FITS) then v = check(info, %s, v) end
STORE
end
]]

--- Adds a function for each field that can be written to `support.setters`. Gives the
--- __index and the __newindex of intents of the type, and what makes the front of one.
function M.changing(name, list, support)
  local code = {}
  for _, field in ipairs(writable_of(list)) do
    local quoted = ("%q"):format(field.name)
    code[#code + 1] = fill_in(SETTER, {
      NULL_AT = field.null_at, ABSENT = 255 - field.present, FITS = fits(field),
      STORE = store(field, "v", PUT_TEXT):gsub("%%", "%%%%"),
    }):format(quoted, quoted)
  end
  code[#code + 1] = fill_in([[
return function(self, name)
  local i = rawget(self, P_INTENT) - run.intent_base
  if not (i >= 0 and i < run.intent_count) then stale(nil, i) end
  if not info.fields[name] then check(info, name) end
  local intent, read, v = run.intents[i], readers[name], nil
  if writable[name] then v = read(intent, 0) end
  local base = intent.base
  if v == nil and base >= 0 then v = read(run.slots[base], run.base + base) end
  return v
end, function(self, name, v)
  local i = rawget(self, P_INTENT) - run.intent_base
  if not (i >= 0 and i < run.intent_count) then stale(nil, i) end
  local set = setters[name]
  if set then set(i, v) else check(info, name, v) end
end, function(i)
  local intent = setmetatable({ [P_INTENT] = run.intent_base + i }, intent_mt)
  return intent
end]], PRIVATE)
  return compile(name, table.concat(code), support)
end

-- A new record that is given no ID gets a raw one.
local RAW_ID = [[
  if VALUE == nil and slot < 0 then VALUE = tonumber(api.raw_id(engine)) end
]]

--- The function that makes an intent, with the key in `run.out`, and gives its index. A table
--- of fields, or none, is looked at before, so that one that is refused leaves nothing behind.
function M.intending(name, list, support)
  local look, values, fields = taking(list)
  local code = { "return function(fields, handle, size, slot)\n", look }
  local raw_id = support.info.fields["sys.ID"]
  local id = raw_id and values[raw_id]
  if id and id:find "^v" then code[#code + 1] = fill_in(RAW_ID, { VALUE = id }) end
  code[#code + 1] = [[
  local index = api.intent(engine, handle, size, slot)
  if index < 0 then failed() end
  local out, v = run.intents[index].data
]]
  for _, field in ipairs(fields) do
    code[#code + 1] = ("  if %s ~= nil then\n"):format(values[field])
      .. store(field, values[field], PUT_TEXT) .. "  end\n"
  end
  if id and not id:find "^v" then
    code[#code + 1] = ('  if slot < 0 and %s == nil then setters["sys.ID"](index, '
      .. "tonumber(api.raw_id(engine))) end\n"):format(id)
  end
  code[#code + 1] = "  return index\nend"
  return compile(name, table.concat(code), support)
end

--- What generated code is given, but for what is of one type.
function M.support()
  local s = { cast = ffi.cast, copy = ffi.copy, fill = ffi.fill, text = ffi.string,
    band = bit.band, bor = bit.bor, next = next, rawget = rawget, type = type,
    tonumber = tonumber, floor = math.floor, setmetatable = setmetatable }
  for name, ctype in pairs { i8p = "int8_t", i16p = "int16_t", i32p = "int32_t", i64p = "int64_t",
    f32p = "float", f64p = "double", u8p = "uint8_t", u32p = "uint32_t" } do
    s[name] = ffi.typeof(ctype .. " *")
  end
  return s
end

return M
