--- state.lua: the author's API, `require "stator.state"`.
--
-- A key is a table of checked values and the index of its handle; what `new` and
-- `update` give is a table of checked values that is written when the run ends.
-- Both are fronts: the values stand in a table behind them.
--
-- What is called in every run does not end with a call: LuaJIT gives up a trace with more
-- than a few such calls.

local ffi = require "ffi"
local rows = require "stator.rows"

local rawget, setmetatable, type, next, tostring = rawget, setmetatable, type, next, tostring

local M = {} -- what an extension gets
local run, api, engine, raise

local BEHIND = rows.BEHIND
-- Places in the table behind a front; generate.lua knows them.
local HANDLE, BASE, RUN = 0, -1, -2

local handles = {} -- by index
local by_name = {} -- "sys.View restaurant.Sales"
-- Of this run's intents, by intent: their types, what is behind them, and their fronts.
local types, behinds, fronts, count = {}, {}, {}, 0

-- Keys ------------------------------------------------------------------------

local function key_metatable(handle)
  local info = handle.key
  return {
    __metatable = false,
    __index = function(self, name)
      local behind = rawget(self, BEHIND)
      if not info.fields[name] then info:check(name) end
      return behind[name]
    end,
    __newindex = function(self, name, v)
      if v ~= nil or not info.fields[name] then v = info:check(name, v) end
      rawget(self, BEHIND)[name] = v
    end,
    __tostring = function(self)
      local parts = {}
      for _, field in ipairs(info.list) do
        local v = rawget(self, BEHIND)[field.name]
        if v ~= nil then
          parts[#parts + 1] = field.name .. "=" .. (field.secret and "***" or tostring(v))
        end
      end
      return ("%s {%s}"):format(handle.name, table.concat(parts, ", "))
    end,
  }
end

-- Fields are none, or a table of the author's; `text` says what is wrong.
local function check_fields(fields, text)
  if fields ~= nil and (type(fields) ~= "table" or getmetatable(fields) == false) then
    raise(text:format(type(fields) == "table" and "row, key or handle" or type(fields)))
  end
end

local function make_key(handle, fields)
  check_fields(fields, "a key is made from a table of fields, not from a %s")
  local behind = handle.key.take(fields, handle.index)
  local key = setmetatable({ [BEHIND] = behind }, handle.key_mt)
  return key
end

local function handle_of(key, operation)
  local behind = type(key) == "table" and rawget(key, BEHIND)
  local handle = type(behind) == "table" and handles[behind[HANDLE]]
  if not handle then
    raise(("%s: expected a key, found a %s"):format(operation, type(key)))
  end
  return handle, behind
end

-- Writes the key for the host; gives its handle and size.
local function encode(key, operation)
  local handle, behind = handle_of(key, operation)
  local size = handle.key.write(behind)
  return handle, size
end

-- Handles ------------------------------------------------------------------------

local function make_handle(storage, entity, name)
  local index = api.handle(engine, storage, entity)
  if index < 0 then rows.host_failed() end
  local handle = { index = index, name = name, key = rows.type(api.key_type(engine, index)) }
  handle.key_mt = key_metatable(handle)
  handles[index] = handle
  local front = setmetatable({}, {
    __metatable = false,
    __call = function(_, fields)
      local key = make_key(handle, fields)
      return key
    end,
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
local function open_handle(storage, entity)
  local name = entity and storage .. " " .. entity or storage
  local front = by_name[name] or make_handle(storage, entity, name)
  return front
end

local function check_name(what, name)
  if type(name) ~= "string" then
    raise(("%s: expected a name, found a %s"):format(what, type(name)))
  end
  if #name > 511 or name:find("%z") then raise(what .. ": a name has at most 511 letters") end
end

--- The handle of a view: `local Sales = state.view "restaurant.Sales"`.
---@param name string
function M.view(name)
  check_name("state.view", name)
  local handle = open_handle("sys.View", name)
  return handle
end

--- The handle of a table: `local Article = state.record "restaurant.Article"`.
---@param name string
function M.record(name)
  check_name("state.record", name)
  local handle = open_handle("sys.Record", name)
  return handle
end

--- The handle of any storage: `state.storage "sys.WLog"`.
---@param name string
---@param entity string|nil
function M.storage(name, entity)
  check_name("state.storage", name)
  if entity ~= nil then check_name("state.storage", entity) end
  local handle = open_handle(name, entity)
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
    local behind = rawget(self, BEHIND)
    if run.base ~= behind[RUN] then rows.stale "iterator" end
    local found = api.next(engine, behind[HANDLE], behind[BASE])
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
  local behind = { [HANDLE] = index, [BASE] = cursor, [RUN] = run.base }
  local iterator = setmetatable({ [BEHIND] = behind }, iterator_mt)
  return iterator
end

-- Intents ----------------------------------------------------------------------------

local function builder_metatable(info)
  return {
    __metatable = false,
    __index = function(self, name)
      local behind = rawget(self, BEHIND)
      if behind[RUN] ~= run.base then rows.stale() end
      if not info.fields[name] then info:check(name) end
      local v = behind[name]
      if v == nil and behind[BASE] then return behind[BASE][name] end
      return v
    end,
    __newindex = function(self, name, v)
      local behind = rawget(self, BEHIND)
      if behind[RUN] ~= run.base then rows.stale() end
      if v ~= nil or not info.fields[name] then v = info:check(name, v) end
      behind[name] = v
    end,
    __tostring = function() return "intent of " .. info.name end,
  }
end

-- Registers the intent; its values are written by `finish`. They are checked first,
-- so that one that is refused leaves nothing behind.
local function intend(key, operation, base, fields)
  local slot = base and rows.slot_index(base) or -1
  local handle = handle_of(key, operation)
  local stype = api.value_type(engine, handle.index)
  local info = stype ~= nil and rows.type(stype)
  local behind
  if info then
    check_fields(fields, "expected a table of fields, found a %s")
    behind = info.take(fields, nil, base, run.base)
    if not base and info.fields["sys.ID"] and not behind["sys.ID"] then
      behind["sys.ID"] = api.raw_id(engine)
    end
  end
  local _, size = encode(key, operation)
  local intent = api.intent(engine, handle.index, size, slot)
  if intent < 0 then rows.host_failed() end
  if not info.builder_mt then info.builder_mt = builder_metatable(info) end
  local front = setmetatable({ [BEHIND] = behind }, info.builder_mt)
  count = intent + 1
  types[count], behinds[count], fronts[count] = info, behind, front
  return front
end

--- Asks for a new row; set its fields on what this gives, or pass them.
function M.new(key, fields)
  local front = intend(key, "new", nil, fields)
  return front
end

--- Asks for a change of `row`, which was read with this key in this run.
function M.update(key, row, fields)
  if type(row) ~= "table" or type(rawget(row, BEHIND)) ~= "number" then
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
  return fronts[found] or nil
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
  intend(M.storage "sys.Logger" { LogLevel = number }, "new", nil, { Message = message })
  -- Written at once: a line of the log stays when the run fails.
  local info = types[count]
  types[count], fronts[count] = false, false
  if api.fill(engine, count - 1, info.write(behinds[count])) < 0 then rows.host_failed() end
end

-- For the engine --------------------------------------------------------------------------

local engine_side = { api = M }

local function finish_one(i)
  local info = types[i]
  if info then
    local size = info.write(behinds[i])
    if api.fill(engine, i - 1, size) < 0 then rows.host_failed() end
  end
end

--- Writes the values of all intents.
function engine_side.finish()
  for i = 1, count do finish_one(i) end
end
-- The loop is short and its rows are of all types: only what is in it is compiled.
jit.off(engine_side.finish)

-- As many may be kept until others take their places.
local KEPT = 32

--- Forgets the intents of the last run.
function engine_side.begin()
  if count > KEPT then types, behinds, fronts = {}, {}, {} end
  count = 0
end

function engine_side.open(host_run, host_api, host_engine, raiser)
  run, api, engine, raise = host_run, host_api, host_engine, raiser
end

return engine_side
