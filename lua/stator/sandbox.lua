--- sandbox.lua: the environment that the code of a package runs in.
--
-- It is a list of what is allowed. Library tables are fronts that cannot be
-- written; nothing in them leads to the host's own environment.

local M = {}

local BASE = {
  "assert", "error", "ipairs", "select", "tonumber", "tostring", "type", "unpack", "rawequal",
}

local LIBRARIES = {
  math = { "abs", "acos", "asin", "atan", "atan2", "ceil", "cos", "cosh", "deg", "exp", "floor",
    "fmod", "frexp", "huge", "ldexp", "log", "log10", "max", "min", "modf", "pi", "pow", "rad",
    "sin", "sinh", "sqrt", "tan", "tanh" },
  string = { "byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "rep",
    "reverse", "sub", "upper" },
  table = { "concat", "insert", "maxn", "remove", "sort" },
  coroutine = { "create", "isyielding", "resume", "running", "status", "wrap", "yield" },
  bit = { "arshift", "band", "bnot", "bor", "bswap", "bxor", "lshift", "rol", "ror", "rshift",
    "tobit", "tohex" },
}

-- A table that can be read only: an empty one before the real one.
local function frozen(name, real)
  return setmetatable({}, {
    __index = real,
    __newindex = function(_, key)
      error(("%s.%s cannot be changed"):format(name, tostring(key)), 2)
    end,
    __metatable = false,
  })
end

-- Fronts (rows, keys, intents, libraries) have nothing of their own to show: what
-- stands under their numbers is the host's.
local function guarded(f)
  return function(t, ...)
    if type(t) == "table" and getmetatable(t) == false then
      error("rows, keys and intents have fields only: name the field", 2)
    end
    return f(t, ...)
  end
end

local function plain_setmetatable(t, mt)
  if type(t) ~= "table" then error("setmetatable: expected a table", 2) end
  if type(mt) == "table" and rawget(mt, "__gc") ~= nil then
    error("setmetatable: __gc is not for extensions", 2)
  end
  return setmetatable(t, mt)
end

-- LuaJIT's own moves all elements there could be behind a position below the first.
local function insert(t, ...)
  if select("#", ...) == 2 then
    local at = tonumber((...))
    if at and not (at >= 0 and at < 2 ^ 31) then
      error("insert: the position is out of bounds", 3)
    end
  end
  return table.insert(t, ...)
end

-- LuaJIT does not count how deep C functions and Lua functions call each other, and
-- the C stack would end before the Lua stack does. These count; `limits.overflow` is
-- told of what LuaJIT itself finds too deep, also when the author catches that.
-- A coroutine may be resumed at another depth than the one it yielded at: so what is
-- caught goes back to where it was above `base`, the depth of the last resume.
local limits
local depth, base, coroutines = 0, 0, 0

local function leave(...)
  depth = depth - 1
  return ...
end

local function restore(above, ok, message, ...)
  depth = base + above
  if not ok then limits.overflow(message) end
  return ok, message, ...
end

local function deeper()
  if depth >= limits.nesting then limits.exceeded("nesting", "nested calls") end
  depth = depth + 1
end

local function nested(f)
  return function(...)
    deeper()
    return leave(f(...))
  end
end

local function catching(f)
  return function(...) return restore(depth - base, f(...)) end
end

local function left(outer, ...)
  depth, base = base - 1, outer
  return ...
end

local function resume(co, ...)
  if type(co) ~= "thread" then error("resume: expected a coroutine", 2) end
  local outer = base
  deeper()
  base = depth
  return left(outer, coroutine.resume(co, ...))
end

local function raise_or_give(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

local function give(...) return ... end

-- At the bottom of a coroutine stays a Lua function, whatever f ends with: when LuaJIT
-- gives up a trace it looks for one, and finds the end of the process if there is none.
-- It is one for all of them, and is handed f first: to make one for each is not compiled.
local function bottom(f) return give(f(coroutine.yield())) end

local function create(f)
  if type(f) ~= "function" then error("expected a function", 3) end
  local co = coroutine.create(bottom)
  coroutine.resume(co, f)
  return co
end

local function wrap(f)
  local co = create(f)
  return function(...) return raise_or_give(resume(co, ...)) end
end

local function counted(f)
  return function(...)
    if coroutines >= limits.coroutines then limits.exceeded("coroutines", "coroutines") end
    coroutines = coroutines + 1
    return f(...)
  end
end

-- LuaJIT's own does not take the large integers that rows may have for %d. This is apart
-- from `format`, because a function that may create one is never compiled.
local function format_large(pattern, ...)
  local values, i = { ... }, 0
  pattern = pattern:gsub("%%([-+ #0]*%d*%.?%d*)(%a?)", function(flags, letter)
    if letter == "" then return nil end
    i = i + 1
    if (letter == "d" or letter == "i") and type(values[i]) == "cdata" then
      values[i] = tostring(values[i]):gsub("U?LL$", "")
      return "%" .. flags:gsub("[+ #0.]", "") .. "s"
    end
  end)
  return string.format(pattern, unpack(values, 1, select("#", ...)))
end

local function has_large(count, ...)
  if count > 8 then
    -- select takes longer the more there are.
    local values = { ... }
    for i = 1, count do
      if type(values[i]) == "cdata" then return true end
    end
    return false
  end
  for i = 1, count do
    if type((select(i, ...))) == "cdata" then return true end
  end
  return false
end

local function format(pattern, ...)
  if has_large(select("#", ...), ...) then return format_large(pattern, ...) end
  return string.format(pattern, ...)
end

-- Text only: bytecode can break out of every rule.
local function text_loader(env, compile)
  return function(chunk, name)
    if type(chunk) ~= "string" then error("load: expected text", 2) end
    return compile(chunk, name or "=load", env)
  end
end

-- Park and Miller's generator: the same numbers for the same seed everywhere.
local function random_functions(run_number)
  local seed, of_run = 1, nil
  local function next_number()
    local number = run_number()
    if number ~= of_run then seed, of_run = number % 2147483646 + 1, number end
    seed = seed * 16807 % 2147483647
    return (seed - 1) / 2147483646
  end
  local function random(low, high)
    if low == nil then return next_number() end
    if high == nil then low, high = 1, low end
    if low > high then error("random: the interval is empty", 2) end
    return low + math.floor(next_number() * (high - low + 1))
  end
  return random, function(n)
    n = math.abs(tonumber(n) or 0)
    seed = n < 2 ^ 53 and math.floor(n) % 2147483646 + 1 or 1
    of_run = run_number()
  end
end

--- The environment of a package; `require_module` is its `require`, `compile(text, name,
--- env)` its `load`, and `fuel(env)`, if there is one, changes functions of it.
--- `run_limits` has the numbers `nesting` and `coroutines`, what to do when one of them is
--- `exceeded(name, what)`, and what to do with an `overflow(message)`.
--- `now` gives the time of the run in ms, `run_number` what math.random begins with.
--- Also gives the function that begins a run.
function M.new(require_module, compile, run_limits, now, run_number, fuel)
  local env = {}
  limits = run_limits
  for _, name in ipairs(BASE) do env[name] = _G[name] end
  for name, functions in pairs(LIBRARIES) do
    local real = {}
    for _, f in ipairs(functions) do real[f] = _G[name][f] end
    env[name] = real
  end
  local random, seed = random_functions(run_number)
  -- The handler of xpcall is called by C.
  env.pcall, env.xpcall = catching(pcall), catching(nested(xpcall))
  env.coroutine.resume = catching(resume)
  env.coroutine.create = counted(create)
  env.coroutine.wrap = counted(wrap)
  env.string.gsub = nested(string.gsub)
  env.math.random = random
  env.math.randomseed = seed
  -- These look behind metatables; so they keep away from fronts.
  local safe_next = guarded(next)
  env.next = safe_next
  env.pairs = guarded(function(t)
    if type(t) ~= "table" then error("pairs: expected a table", 3) end
    return safe_next, t, nil
  end)
  env.rawget = guarded(rawget)
  env.rawset = guarded(rawset)
  env.getmetatable = getmetatable
  env.setmetatable = plain_setmetatable
  for _, name in ipairs { "remove", "concat", "maxn" } do
    env.table[name] = guarded(table[name])
  end
  env.table.insert = guarded(insert)
  env.table.sort = guarded(nested(table.sort))
  env.unpack = guarded(unpack)
  env.string.format = nested(format)
  env.collectgarbage = function(what)
    if what ~= "count" then error("collectgarbage: only \"count\" is allowed", 2) end
    return collectgarbage "count"
  end
  env.os = frozen("os", { time = function(...)
    if select("#", ...) > 0 then error("os.time: takes no arguments; it is the run's time", 2) end
    return math.floor(now() / 1000)
  end })
  env.load = text_loader(env, compile)
  env.loadstring = env.load
  env.require = require_module
  if fuel then fuel(env) end
  local strings = env.string
  for name in pairs(LIBRARIES) do env[name] = frozen(name, env[name]) end
  local string_mt = getmetatable ""
  string_mt.__index = strings
  string_mt.__metatable = false
  env._G = env
  env._VERSION = _VERSION
  return setmetatable(env, {
    __index = function(_, name)
      error(("there is no global %s"):format(tostring(name)), 2)
    end,
    __metatable = false,
  }), function() depth, base, coroutines = 0, 0, 0 end
end

return M
