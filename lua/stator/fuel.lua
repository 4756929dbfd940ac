--- fuel.lua: safe points for runs that no signal can interrupt.
--
-- When a module is loaded, a call is put into the head of each loop, the entry of each
-- function and before each goto, on the line that is there. Every few calls it asks the
-- host whether the time of the run is up; the host then leaves the run at once, so no
-- pcall sees it. What C does in one call is charged by its size, and what could take
-- longer than its size (patterns) is done in Lua, with the same calls in it.

local pattern = require "stator.pattern"

-- The real ones: methods of strings are those of the environment.
local find, match, gsub, sub = string.find, string.match, string.gsub, string.sub
local format = string.format

local M = {}

-- Calls between two questions, and bytes or elements that count as one call.
local STEP, UNIT = 20, 64

-- The rewriter ----------------------------------------------------------------

-- Where a long bracket that begins at `at` ends; nil when there is none.
local function long_bracket_end(text, at)
  local level = match(text, "^%[(=*)%[", at)
  if not level then return nil end
  local _, last = find(text, "]" .. level .. "]", at, true)
  return last or #text
end

local function quoted_end(text, at)
  local quote = sub(text, at, at)
  local i = at + 1
  while i <= #text do
    local c = sub(text, i, i)
    if c == quote then return i end
    -- \z skips what follows, line ends included; the next quote is no part of it.
    i = i + (c == "\\" and 2 or 1)
  end
  return #text
end

-- The token at `at`: its last byte, and whether it is a name.
local function token_end(text, at)
  if find(text, "^%-%-", at) then
    local last = long_bracket_end(text, at + 2)
    return last or (find(text, "[\r\n]", at) or #text + 1) - 1, false, true
  end
  local c = sub(text, at, at)
  if c == '"' or c == "'" then return quoted_end(text, at) end
  if c == "[" then return long_bracket_end(text, at) or at end
  local _, last = find(text, "^[%a_\128-\255][%w_\128-\255]*", at)
  if last then return last, true end
  _, last = find(text, "^%.?%d[%w_.]*", at)
  return last or at
end

-- Text with `call` put in; its lines stay where they are. Long texts take their time.
local function insert(text, call, burn)
  local out, at, copied = {}, 1, 1
  local before, goto_at, parameters = "", nil, false
  local function put(i)
    out[#out + 1] = sub(text, copied, i)
    out[#out + 1] = call
    copied = i + 1
  end
  while true do
    at = find(text, "%S", at)
    if not at then break end
    burn()
    local last, is_name, is_comment = token_end(text, at)
    if not is_comment then
      local token = sub(text, at, last)
      -- LuaJIT takes goto as a name, too; it is one where no name follows.
      if goto_at and is_name then put(goto_at) end
      goto_at = nil
      if token == "do" or token == "repeat" then
        put(last)
      elseif token == "function" then
        parameters = true
      elseif token == ")" and parameters then
        parameters = false
        put(last)
      elseif token == "goto" and before ~= "." and before ~= ":" then
        goto_at = at - 1
      end
      before = token
    end
    at = last + 1
  end
  out[#out + 1] = sub(text, copied)
  return table.concat(out)
end

-- A name that the text does not have.
local function fresh_name(text, charge)
  local n = 1
  while find(text, "fuel" .. n, 1, true) do
    charge(#text)
    n = n + 1
  end
  return "fuel" .. n
end

--- What loads text into `env`, as `load` does, with safe points in it.
function M.loader(burn, charge)
  return function(text, name, env)
    local chunk, message = load(text, name, "t", env)
    if not chunk then return nil, message end
    charge(#text)
    local call = fresh_name(text, charge)
    -- What LuaJIT skips at the beginning of a text, it does not in the middle.
    text = gsub(gsub(text, "^\239\187\191", ""), "^#[^\r\n]*", "")
    local outer = format("local %s = ... return function(...) %s() %s\nend", call, call,
      insert(text, format(" %s(); ", call), burn))
    chunk, message = load(outer, name, "t", env)
    if not chunk then return nil, message end
    return chunk(burn)
  end
end

-- The functions -----------------------------------------------------------------

--- `burn()` and `charge(size)` for an engine; `line` gives a module's number and line.
function M.meter(api, engine, line)
  local left = STEP
  local function look()
    left = STEP
    if api.is_up(engine) ~= 0 then api.stop(engine, line()) end
  end
  local function burn()
    left = left - 1
    if left < 0 then look() end
  end
  local function charge(size)
    left = left - size / UNIT
    if left < 0 then look() end
  end
  return burn, charge
end

local function size_of(s)
  return (type(s) == "string" or type(s) == "table") and #s or 0
end

local function charged(f, charge)
  return function(a, ...)
    charge(size_of(a))
    return f(a, ...)
  end
end

-- Sorting without a function compares in C; a long table is compared in Lua.
local SORTED_IN_C = 1000

local function make_sort(sort, burn)
  local function less(a, b)
    burn()
    return a < b
  end
  return function(t, before)
    if before == nil and type(t) == "table" and #t > SORTED_IN_C then before = less end
    return sort(t, before)
  end
end

--- Puts charged functions into an environment that is not yet closed.
function M.limit(env, burn, charge)
  local strings, tables = env.string, env.table
  for _, name in ipairs { "format", "lower", "upper", "reverse", "sub", "byte" } do
    strings[name] = charged(strings[name], charge)
  end
  local rep = strings.rep
  strings.rep = function(s, n, separator)
    charge((size_of(s) + size_of(separator)) * math.max(0, tonumber(n) or 0))
    return rep(s, n, separator)
  end
  for name, f in pairs(pattern.functions(strings, burn, charge)) do strings[name] = f end
  for _, name in ipairs { "insert", "remove", "concat", "maxn" } do
    tables[name] = charged(tables[name], charge)
  end
  tables.sort = make_sort(tables.sort, burn)
  -- It may be its own __tostring: then it calls itself for ever.
  local raw_tostring = env.tostring
  env.tostring = function(...)
    burn()
    return raw_tostring(...)
  end
  env.unpack = charged(env.unpack, charge)
  env.tonumber = charged(env.tonumber, charge)
end

return M
