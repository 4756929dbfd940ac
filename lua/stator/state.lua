--- state.lua: the author's API, `require "stator.state"`.
--
-- A key is a table of checked values and the index of its handle, under names that nobody can
-- guess. What `new` and `update` give is the number of an intent: what is set on it is written
-- into its row at once, which is the host's.
--
-- What is called in every run does not end with a call: LuaJIT gives up a trace with more
-- than a few such calls.

local ffi = require "ffi"
local rows = require "stator.rows"

local rawget, rawset, setmetatable = rawget, rawset, setmetatable
local type, next, tostring = type, next, tostring

local M = {} -- what an extension gets
local run, api, engine, raise

local private = require "stator.private"
local P_HANDLE, P_ROW = private .. "HANDLE", private .. "ROW"
local P_CURSOR, P_OF, P_RUN = private .. "CURSOR", private .. "OF", private .. "RUN"

local handles = {} -- by index
local by_name = {} -- "sys.View restaurant.Sales"

-- Keys ------------------------------------------------------------------------

local function key_metatable(handle)
  local info = handle.key
  local places = info.places
  return {
    __metatable = false,
    __index = function(self, name)
      local place = places[name]
      if not place then info:check(name) end
      return rawget(self, place)
    end,
    __newindex = function(self, name, v)
      local place = places[name]
      if v ~= nil or not place then v = info:check(name, v) end
      rawset(self, place, v)
    end,
    __tostring = function(self)
      local parts = {}
      for _, field in ipairs(info.list) do
        local v = rawget(self, places[field.name])
        if v ~= nil then
          parts[#parts + 1] = field.name .. "=" .. (field.secret and "***" or tostring(v))
        end
      end
      return ("%s {%s}"):format(handle.name, table.concat(parts, ", "))
    end,
  }
end

-- Writes the key for the host; gives its handle and size.
local function encode(key, operation)
  local handle = type(key) == "table" and handles[rawget(key, P_HANDLE)]
  if not handle then
    raise(("%s: expected a key, found a %s"):format(operation, type(key)))
  end
  local size = handle.key.write(key)
  return handle, size
end

-- Handles ------------------------------------------------------------------------

local function check_name(what, name)
  if type(name) ~= "string" then
    raise(("%s: expected a name, found a %s"):format(what, type(name)))
  end
  if #name > 511 or name:find("%z") then raise(what .. ": a name has at most 511 letters") end
end

local function make_handle(what, storage, entity, name)
  check_name(what, storage)
  if entity ~= nil then check_name(what, entity) end
  local index = api.handle(engine, storage, entity)
  if index < 0 then rows.host_failed() end
  local handle = { index = index, name = name, key = rows.key_type(api.key_type(engine, index)) }
  handle.has_type = api.own_type(engine, index) ~= nil
  handle.key_mt = key_metatable(handle)
  handles[index] = handle
  local front = setmetatable({}, {
    __metatable = false,
    __call = handle.key.caller(index, handle.key_mt),
    __index = function(_, field)
      raise(("%s is a handle; call it with fields to make a key, then read %s")
        :format(name, tostring(field)))
    end,
    __newindex = function() raise(name .. " is a handle; call it with fields to make a key") end,
    __tostring = function() return name end,
  })
  by_name[name] = front
  return front
end

-- Apart from what makes one, since a function that may create others is never compiled.
local function open_handle(what, storage, entity)
  if type(storage) ~= "string" then check_name(what, storage) end
  if entity ~= nil and type(entity) ~= "string" then check_name(what, entity) end
  local name = entity and storage .. " " .. entity or storage
  local front = by_name[name] or make_handle(what, storage, entity, name)
  return front
end

--- The handle of a view: `local Sales = state.view "restaurant.Sales"`.
---@param name string
function M.view(name)
  if name == nil then check_name("state.view", name) end
  local handle = open_handle("state.view", "sys.View", name)
  return handle
end

--- The handle of a table: `local Article = state.record "restaurant.Article"`.
---@param name string
function M.record(name)
  if name == nil then check_name("state.record", name) end
  local handle = open_handle("state.record", "sys.Record", name)
  return handle
end

--- The handle of any storage: `state.storage "sys.WLog"`.
---@param name string
---@param entity string|nil
function M.storage(name, entity)
  local handle = open_handle("state.storage", name, entity)
  return handle
end

-- Reading --------------------------------------------------------------------------

--- The row with this key, or nil.
function M.get(key)
  local handle, size = encode(key, "get")
  local found = api.get(engine, handle.index, size)
  if found < 0 then rows.host_failed() end
  if found == 0 then return nil end
  local row = rows.any(run.count - 1)
  return row
end

local function shown(key)
  local handle, size = encode(key, "get")
  api.show(engine, handle.index, size)
  return ffi.string(run.message)
end

local NOT_EXISTS, EXISTS = -6, -7

--- The row with this key; its absence is an error.
function M.must_get(key)
  local row = M.get(key)
  if row == nil then raise(shown(key) .. ": not exists", NOT_EXISTS) end
  return row
end

--- An error when there is a row with this key.
function M.must_not_exist(key)
  if M.get(key) ~= nil then raise(shown(key) .. ": exists", EXISTS) end
end

--- Many rows at once: `result[i]` is the row of `keys[i]`, or nil.
---@param keys table
function M.get_all(keys)
  if type(keys) ~= "table" then
    raise(("get_all: expected a table of keys, found a %s"):format(type(keys)))
  end
  local result, most = {}, #keys
  for i = 1, most do
    local handle, size = encode(rawget(keys, i), "get_all")
    if api.batch_add(engine, handle.index, size) < 0 then rows.host_failed() end
  end
  if api.batch_get(engine) < 0 then rows.host_failed() end
  local first = run.count - most
  for i = 1, most do result[i] = rows.any(first + i - 1) end
  return result
end

local function read_options(opts)
  if opts == nil then return 0, 0 end
  if type(opts) ~= "table" then
    raise(("read: expected a table of options, found a %s"):format(type(opts)))
  end
  for name in next, opts do
    if name ~= "reverse" and name ~= "limit" then
      raise(("read: no option %s; there are reverse and limit"):format(tostring(name)))
    end
  end
  local limit = rawget(opts, "limit") or 0
  if type(limit) ~= "number" or limit ~= math.floor(limit) or limit < 0 or limit >= 2 ^ 32 then
    raise("read: limit is a whole number of rows")
  end
  if rawget(opts, "limit") == 0 then limit = -1 end
  return rawget(opts, "reverse") and 1 or 0, limit
end

local function nothing() return nil end

-- What `read` gives is called like a function; to make one for each read is not compiled.
local iterator_mt = {
  __metatable = false,
  __call = function(self)
    if run.base ~= rawget(self, P_RUN) then rows.stale "iterator" end
    local found = api.next(engine, rawget(self, P_OF), rawget(self, P_CURSOR))
    if found < 0 then rows.host_failed() end
    if found == 0 then return nil end
    local key, row = rows.any(run.count - 2), rows.any(run.count - 1)
    return key, row
  end,
  __index = function(_, name)
    raise("rows that are read are gone through by for; they have no " .. tostring(name))
  end,
  __newindex = function() raise "rows that are read cannot be changed" end,
  __tostring = function() return "rows that are read" end,
}

--- Rows whose keys begin with the fields of this one, in order:
--- `for key, row in state.read(Sales { Year = 2026 }, { reverse = true, limit = 20 }) do`.
function M.read(key, opts)
  local reverse, limit = read_options(opts)
  local handle, size = encode(key, "read")
  if limit < 0 then return nothing end
  local index = handle.index
  local cursor = api.read(engine, index, size, reverse, limit)
  if cursor < 0 then rows.host_failed() end
  local iterator = setmetatable({ [P_OF] = index, [P_CURSOR] = cursor, [P_RUN] = run.base },
    iterator_mt)
  return iterator
end

-- Intents ----------------------------------------------------------------------------

-- What the storage writes; of sys.Result it is the extension that says so.
local function value_of(handle)
  if handle.value then return handle.value end
  local stype = api.value_type(engine, handle.index)
  if stype == nil then return nil end
  local info = rows.value_type(stype)
  if handle.has_type then handle.value = info end
  return info
end

-- Registers the intent; gives its front, and its index.
local function intend(key, operation, base, fields)
  local slot = base and rows.slot_index(base) or -1
  local handle, size = encode(key, operation)
  local info = value_of(handle)
  if not info then
    api.intent(engine, handle.index, size, slot)
    rows.host_failed()
  end
  rows.check_fields(fields, "expected a table of fields, found a %s")
  local index = info.intend(fields, handle.index, size, slot)
  local front = info.front(index)
  return front, index
end

--- Asks for a new row; set its fields on what this gives, or pass them.
function M.new(key, fields)
  local front = intend(key, "new", nil, fields)
  return front
end

--- Asks for a change of `row`, which was read with this key in this run.
function M.update(key, row, fields)
  if type(row) ~= "table" or not rawget(row, P_ROW) then
    raise(("update: expected the row that was read, found a %s"):format(type(row)))
  end
  local front = intend(key, "update", row, fields)
  return front
end

--- What `new` or `update` gave for this key in this run, or nil.
function M.find_intent(key)
  local handle, size = encode(key, "find_intent")
  local found = api.find(engine, handle.index, size)
  if found < 0 then rows.host_failed() end
  if found == 0 then return nil end
  local front = value_of(handle).front(found - 1)
  return front
end

-- Short forms -------------------------------------------------------------------------

--- Adds a row to the result: `state.result { Total = 5 }`.
function M.result(fields)
  local front = intend(M.storage "sys.Result" {}, "new", nil, fields)
  return front
end

--- Sets status and message of the reply.
function M.response(status, message)
  local fields = { StatusCode = status, ErrorMessage = message }
  local front = intend(M.storage "sys.Response" {}, "new", nil, fields)
  return front
end

local LEVELS = { none = 0, error = 1, warning = 2, info = 3, verbose = 4, trace = 5 }

--- Writes a line of the log; `level` is "error", "warning", "info" … or its number.
function M.log(level, message)
  local number = LEVELS[level] or level
  if type(number) ~= "number" then
    raise(("log: no level %s; there are error, warning, info, verbose and trace")
      :format(tostring(level)))
  end
  if type(message) ~= "string" then message = tostring(message) end
  local _, index = intend(M.storage "sys.Logger" { LogLevel = number }, "new", nil,
    { Message = message })
  -- Done at once: a line of the log stays when the run fails.
  if api.fill(engine, index) < 0 then rows.host_failed() end
end

-- For the engine --------------------------------------------------------------------------

local engine_side = { api = M }

function engine_side.open(host_run, host_api, host_engine, raiser)
  run, api, engine, raise = host_run, host_api, host_engine, raiser
end

return engine_side
