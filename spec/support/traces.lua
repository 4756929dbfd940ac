--- traces.lua: what LuaJIT makes of a function that is called as the engine calls an
-- extension's: in a state of its own, in the sandbox, from code that is not compiled.
--
-- Usage: luajit traces.lua 'return function(i) … end'
-- Prints the number of traces that began in the text or with the call of its function, and
-- the instructions that LuaJIT does not compile and met anywhere.

package.path = "lua/?.lua;" .. package.path
local util = require "jit.util"
local vmdef = require "jit.vmdef"
local sandbox = require "stator.sandbox"

local env = sandbox.new(error, function(text, name, e) return load(text, name, "t", e) end,
  { nesting = 150, coroutines = 1 / 0, exceeded = error, overflow = function() end },
  function() return 0 end, function() return 1 end)
local f = assert(load(arg[1], "@text", "t", env))()

local here = debug.getinfo(1, "S").source
local traces, unknown, own = 0, {}, false

local function listen(what, _, func, pc, code, info)
  if what == "start" then
    local source = util.funcinfo(func, pc).source
    own = source == "@text" or source == here
  elseif what == "stop" and own then
    traces = traces + 1
  elseif what == "abort" and vmdef.traceerr[code]:find "^NYI: bytecode" then
    unknown[vmdef.bcnames:sub(info * 6 + 1, info * 6 + 6):match "%S+"] = true
  end
end
jit.off(listen)
jit.attach(listen, "trace")

local function call(i) f(i) end
local function run()
  for i = 1, 2000 do pcall(call, i) end
end
jit.off(run)
run()
jit.attach(listen)

local names = {}
for name in pairs(unknown) do names[#names + 1] = name end
table.sort(names)
print(traces, table.concat(names, " "))
