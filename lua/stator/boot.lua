--- boot.lua: starts the Lua side of an engine: the sandbox, the package's
-- modules, and the function that runs an extension.

local ffi = require "ffi"
-- The real ones: methods of strings are those of the environment, which have limits.
local format, find, sub, gsub = string.format, string.find, string.sub, string.gsub

local EXTENSION_FAILED, MEMORY_LIMIT = -5, -11
local CODES = { nesting = -26, coroutines = -28 }

-- The codes of limits: TIME_LIMIT to BYTES_LIMIT, BYTES_READ_LIMIT to HANDLES_LIMIT.
local function is_limit(code) return code <= -10 and code >= -14 or code <= -24 and code >= -29 end

-- The error that was raised last by the host, to tell its code from its text.
local raised_text, raised_code
local breach_text, breach_code

-- Gives the function that runs: when no line of the author is on the stack, it is where
-- its function begins. Nil while modules are loaded.
local running

-- The line of the author: the first frame whose source is a module of the package.
local function position(paths)
  for level = 3, 60 do
    local info = debug.getinfo(level, "Sl")
    if not info then break end
    if paths[info.source] and info.currentline > 0 then
      return format("%s:%d: ", info.short_src, info.currentline)
    end
  end
  local f = running and running()
  if not f then return "" end
  local info = debug.getinfo(f, "S")
  return format("%s:%d: ", info.short_src, info.linedefined)
end

local function make_raise(run, paths)
  return function(message, code)
    raised_text = position(paths) .. message
    raised_code = code or EXTENSION_FAILED
    -- A limit ends the run, whoever catches this: its line is kept.
    if is_limit(raised_code) and not breach_text then
      breach_code, breach_text, run.breached = raised_code, raised_text, 1
    end
    error(raised_text, 0)
  end
end

-- What the sandbox needs to keep its limits.
local function make_limits(run, limits, raise)
  function limits.exceeded(name, what)
    raise(format("limit of %d %s exceeded", limits[name], what), CODES[name])
  end
  function limits.overflow(message)
    if breach_text or type(message) ~= "string" then return end
    local at = find(message, "stack overflow", 1, true)
    -- Behind a place in the source, or nothing.
    if not at or at > 300 then return end
    local place = sub(message, 1, at - 1)
    if place ~= "" and not find(place, ":%d+: $") then return end
    breach_code, run.breached = CODES.nesting, 1
    breach_text = place .. "the limit of the Lua stack is exceeded: calls are nested too deep"
  end
  return limits
end

-- `require` of a package: its own modules, and stator.state.
local function make_require(modules, load_module, state_api)
  local loaded, loading = {}, {}
  return function(name)
    if name == "stator.state" then return state_api end
    if loaded[name] ~= nil then return loaded[name] end
    if not modules[name] then
      error(("no module %q in this package"):format(tostring(name)), 2)
    end
    if loading[name] then error(("module %q requires itself"):format(name), 2) end
    local chunk, message = load_module(name)
    if not chunk then error(message, 0) end
    loading[name] = true
    local ok, value = pcall(chunk, name)
    loading[name] = nil
    if not ok then error(value, 0) end
    loaded[name] = value == nil and true or value
    return loaded[name]
  end
end

-- The functions of the extensions; what is missing goes to `problems`.
local function find_functions(package, module, path, extensions, problems)
  local functions = {}
  if type(module) ~= "table" then
    problems[1] = ("%s:1: the module returns %s, not a table of functions"):format(path,
      module == true and "nothing" or "a " .. type(module))
    return functions
  end
  for index, name in pairs(extensions) do
    local f = rawget(module, name)
    if type(f) == "function" then
      functions[index] = f
    else
      problems[#problems + 1] = ("%s.%s: %s has no function %s"):format(package, name, path, name)
    end
  end
  return functions
end

local function error_text(message)
  if type(message) == "string" then
    -- A level that leads out of the author's code says nothing to the author.
    return (gsub(message, "^stator%.%w+:%d+: ", ""))
  end
  if type(message) == "table" then
    local ok, text = pcall(tostring, message)
    if ok and type(text) == "string" and not find(text, "^table: ") then return text end
  end
  return ("raised a %s instead of a message"):format(type(message))
end

-- Loads the entry module: the one that is called like the package.
local function load_package(package, modules, extensions, require_module, problems)
  if not next(extensions) then return {} end
  if not modules[package] then
    problems[1] = ("package %s declares Lua extensions but has no %s.lua"):format(package, package)
    return {}
  end
  local ok, module = pcall(require_module, package)
  if not ok then
    problems[1] = error_text(module)
    return {}
  end
  return find_functions(package, module, modules[package].path, extensions, problems)
end

-- Tells the host which machine code is of which line, so that a run that is stopped in it
-- can be told where. A trace begins at a loop, a function or the side of another trace.
local function note_traces(api, engine, numbers)
  local util = require "jit.util"
  local number, line
  jit.attach(function(what, trace, func, pc)
    if what == "start" then
      local info, level = util.funcinfo(func, pc), 1
      number, line = numbers[info.source], info.currentline
      -- Text that was loaded, or a function of the library: who called it.
      while not number and info and level < 8 do
        level = level + 1
        info = debug.getinfo(level, "Sl")
        if info then number, line = numbers[info.source], info.currentline end
      end
    elseif what == "stop" and number and line then
      local code, address = util.tracemc(trace)
      if code then api.trace(engine, address % 2 ^ 64, #code, number, line) end
    elseif what == "flush" then
      api.flush(engine)
    end
  end, "trace")
end

-- What `stator check` says of functions that are right: a list of warnings.
local function advise(functions, extensions, modules, numbers, env)
  local lint = require "stator.lint"
  local entries, texts = {}, {}
  for index, f in pairs(functions) do
    entries[#entries + 1] = { index = index, f = f, name = extensions[index] }
  end
  table.sort(entries, function(a, b) return a.index < b.index end)
  for _, m in pairs(modules) do texts[m.number] = m.text end
  return lint.find(entries, env, numbers, lint.allowed(texts))
end

local function load_text(text, name, env) return load(text, name, "t", env) end

-- What stands in for signals where there are none.
local function open_fuel(api, engine, numbers)
  local fuel = require "stator.fuel"
  local burn, charge = fuel.meter(api, engine, function()
    for level = 3, 60 do
      local info = debug.getinfo(level, "Sl")
      if not info then break end
      if numbers[info.source] and info.currentline > 0 then
        return numbers[info.source], info.currentline
      end
    end
    return 0, 0
  end)
  return fuel.loader(burn, charge), function(env) fuel.limit(env, burn, charge) end
end

return function(cdef, engine, run, api, package, modules, extensions, limits, fuel,
  is_image, private)
  ffi.cdef(cdef)
  -- The names under which fronts keep what is the host's begin with this.
  _G.package.loaded["stator.private"] = private
  engine = ffi.cast("lua_engine *", engine)
  run = ffi.cast("lua_run *", run)
  api = ffi.cast("const lua_api *", api)

  local paths = {}
  local numbers = {}
  for _, m in pairs(modules) do
    paths["@" .. m.path] = true
    numbers["@" .. m.path] = m.number
  end
  -- A whole run is one trace where that can be: the usual limits are for less.
  require("jit.opt").start("maxrecord=16000", "maxirconst=4000", "maxsnap=2000", "maxside=400")
  note_traces(api, engine, numbers)
  local raise = make_raise(run, paths)
  local rows, state = require "stator.rows", require "stator.state"
  rows.open(run, api, engine, raise)
  state.open(run, api, engine, raise)

  local function now()
    if run.now == 0 then raise "os.time can be used in a run only" end
    return run.now
  end
  local function run_number() return run.base end
  local env, begin
  local compile, put_fuel = load_text, nil
  if fuel then compile, put_fuel = open_fuel(api, engine, numbers) end
  local function load_module(name)
    local m = modules[name]
    return compile(m.text, "@" .. m.path, env)
  end
  local frozen_state = setmetatable({}, {
    __index = function(_, name)
      return state.api[name] or raise(("stator.state has no %s"):format(tostring(name)))
    end,
    __newindex = function() raise "stator.state cannot be changed" end,
    __metatable = false,
  })
  local require_module = make_require(modules, load_module, frozen_state)
  env, begin = require("stator.sandbox").new(require_module, compile,
    make_limits(run, limits, raise), now, run_number,
    put_fuel)

  local problems = {}
  local functions = load_package(package, modules, extensions, require_module, problems)
  running = function() return functions[run.extension] end

  -- What runs make once and keep would be made again in each of them.
  local function meet(nth, open)
    local n, stype = 0, nth(engine, 0)
    while stype ~= nil do
      open(stype)
      n = n + 1
      stype = nth(engine, n)
    end
  end
  if is_image then
    meet(api.met_type, rows.type)
    meet(api.met_value, rows.value_type)
  end

  -- Runs an extension. It is called at the end of a call: so it returns to the host, where a
  -- trace of it ends, and each that leaves one of these on a side.
  local function start()
    begin()
    raised_text, breach_text = nil, nil
    local f = functions[run.extension]
    if run.count > 1 then
      local args, unlogged = rows.any(0), rows.any(1)
      return f(args, unlogged)
    end
    local args = rows.any(0)
    return f(args)
  end

  -- What became of a run that failed, or that has passed a limit: the code and the text.
  local function explain(ok, message)
    if not ok then limits.overflow(message) end
    if breach_text then return breach_code, breach_text end
    local text = error_text(message)
    local code = text == raised_text and raised_code or EXTENSION_FAILED
    if text == "not enough memory" then code = MEMORY_LIMIT end
    return code, text
  end

  -- Where each function begins: what is said of a run that has left no stack.
  local places = {}
  for index, f in pairs(functions) do
    local info = debug.getinfo(f, "S")
    places[index] = ("%s:%d: "):format(info.short_src, info.linedefined)
  end
  problems.advise = function() return advise(functions, extensions, modules, numbers, env) end
  return start, explain, places, problems
end
