-- `stator check`: what it says of modules that are right, line by line. What LuaJIT does
-- not compile is measured in spec/lua/lint_spec.lua.

local stator = require "support.stator"

local SCHEMA = [[
APPLICATION shop ();
WORKSPACE W (
TABLE Args INHERITS sys.ODoc ( Name varchar, N int32 );
VIEW Sales ( Year int32 NOT NULL, Day int32 NOT NULL, N int64, PRIMARY KEY ((Year), Day) )
  AS RESULT OF P;
EXTENSION ENGINE LUA ( COMMAND Nop(Args);
  SYNC PROJECTOR P AFTER EXECUTE ON Nop INTENTS(sys.View(Sales));
); );
]]

-- What `text` brings begins in line 3.
local MODULE = [[
local state = require "stator.state"
local M = { P = function() end }
%s
return M
]]

local STATE = ": the next run finds what this one left; keep state in a storage, or say "
  .. "-- stator: allow"
local CLOSURE = " creates a function in each run, so it is never compiled: define it once "
  .. "outside, and pass what it needs"

local function image(text, files)
  local all = { ["pkg/shop/shop.vsql"] = SCHEMA, ["pkg/shop/shop.lua"] = MODULE:format(text) }
  for path, more in pairs(files or {}) do all["pkg/shop/" .. path] = more end
  return stator.image(all)
end

-- All lines for a module; each begins with the number of its line.
local function warns(sentence, text, ...)
  local expected = { ... }
  for i, line in ipairs(expected) do
    expected[i] = "pkg/shop/shop.lua:" .. line:gsub("^(%d+): ", "%1:1: warning: ")
  end
  it("warns of " .. sentence, function()
    local lines, code, err = stator.check(image(text))
    assert.same({ expected, 0, "" }, { lines, code, err })
  end)
end

local function silent(sentence, text, files)
  it("says nothing of " .. sentence, function()
    local lines, code, err = stator.check(image(text, files))
    assert.same({ {}, 0, "" }, { lines, code, err })
  end)
end

describe("a warning of stator check", function()
  after_each(stator.clean)

  describe("about what a run leaves to the next", function()
    warns("a variable of the module that a command sets", [[
local count = 0
function M.Nop() count = count + 1 end]],
      "4: Nop sets count" .. STATE)
    warns("one that is set to a number, a text, nothing", [[
local a, b, c
function M.Nop()
  a = 1
  b = "x"
  c = nil
end]], "5: Nop sets a" .. STATE, "6: Nop sets b" .. STATE, "7: Nop sets c" .. STATE)
    warns("one that is set over several lines, where it begins", [[
local last
function M.Nop(args)
  last = {
    Name = args.Name,
  }
end]], "5: Nop sets last" .. STATE)
    warns("a table of the module that is written into", [[
local cache = {}
function M.Nop(args) cache[args.Name] = args.N end]],
      "4: Nop writes into cache" .. STATE)
    warns("one that is written into with a default", [[
local cache = {}
function M.Nop(args)
  cache[args.Name] = cache[args.Name] or {
    N = args.N,
  }
end]], "5: Nop writes into cache" .. STATE)
    warns("one that has another name in the function", [[
local cache = {}
function M.Nop(args)
  local c = cache
  for i = 1, args.N do
    if i > 2 then c[i] = i end
  end
end]], "7: Nop writes into cache" .. STATE)
    warns("a table in a table of the module", [[
M.stats = { runs = 0 }
local by_name = {}
function M.Nop(args)
  M.stats.runs = M.stats.runs + 1
  by_name[args.Name].seen = true
end]], "6: Nop writes into M.stats" .. STATE, "7: Nop writes into by_name[...]" .. STATE)
    warns("what is put into a list of the module", [[
local list = {}
local insert = table.insert
function M.Nop(args)
  table.insert(list, args.Name)
  insert(list, 1, args.Name)
  rawset(list, "n", 1)
  return table.remove(list)
end]], "6: Nop writes into list" .. STATE, "7: Nop writes into list" .. STATE,
      "8: Nop writes into list" .. STATE, "9: Nop writes into list" .. STATE)
    warns("a global", [[
function M.Nop()
  n = 1
  _G.m = 1
  _G[n .. ""] = 1
end]], "4: Nop sets the global n" .. STATE, "5: Nop sets the global m" .. STATE,
      "6: Nop sets a global" .. STATE)
    warns("a function that a command calls, by its name", [[
local count = 0
local function add() count = count + 1 end
function M.add_twice() add() add() end
function M.Nop() M.add_twice() end]], "4: add sets count" .. STATE)
    warns("a method that a command calls", [[
local total = 0
local Sum = {}
Sum.__index = Sum
function Sum:add(n) total = total + n end
function M.Nop(args) setmetatable({}, Sum):add(args.N) end]], "6: add sets total" .. STATE)
    warns("a function out of a table of them", [[
local total, by = 0, {}
function by.add(n) total = total + n end
function M.Nop(args) by[args.Name](args.N) end]], '4: by["add"] sets total' .. STATE)
    warns("a counter that was made while the module was loaded", [[
local function counter()
  local n = 0
  return function() n = n + 1 return n end
end
local next_number = counter()
function M.Nop() return next_number() end]], "5: next_number sets n" .. STATE)
    warns("what a function in a function sets", [[
local count = 0
function M.Nop()
  local here = 0
  local function f() count, here = count + 1, here + 1 end
  f()
end]], "6: Nop" .. CLOSURE, "6: Nop sets count" .. STATE)

    it("names another module of the package", function()
      local other = "local n = 0\nreturn { count = function()\nn = n + 1\nend }\n"
      assert.same({ "pkg/shop/other.lua:3:1: warning: other.count sets n" .. STATE },
        (stator.check(image('local other = require "other"\nfunction M.Nop() other.count() end',
          { ["other.lua"] = other }))))
    end)

    silent("what a module does while it is loaded", [[
local names, count = {}, 0
local function define(name) names[name] = function() return name end count = count + 1 end
function M.define_all(...) for _, name in ipairs { ... } do define(name) end end
M.define_all("a", "b")
version = 1
function M.Nop(args) return names[args.Name] and count + version end]])
    silent("what a run makes for itself", [[
local Sales = state.view "Sales"
local function fill(t, n) for i = 1, n do t[i] = { n = i } end return t end
function M.Nop(args)
  local list, by = {}, { total = 0 }
  table.insert(list, args.N)
  for _, v in ipairs(fill(list, 3)) do by.total = by.total + (v.n or 0) end
  local sums = #list > 2 and list or by
  sums.x = 1
end
function M.P(event)
  local key = Sales { Year = 2026 }
  key.Day = event.ArgumentObject.N
  local row = state.new(key)
  row.N = 1
  state.new(key).N = 2
end]])
    silent("the locals of a function that its inner ones set, as far as state goes", [[
function M.Nop(args)
  local sum = 0
  local function add(n) sum = sum + n end -- stator: allow
  add(args.N)
  return sum
end]])
    silent("a name that means something else inside", [[
local count = 0
function M.Nop(args)
  local count = count
  count = count + args.N
  return count
end]])
    silent("a table that was in a table of the module, and is none now", [[
local DEFAULTS = { N = 1 }
function M.Nop(args)
  local t = DEFAULTS
  if args.N then t = { N = args.N } end
  t = { N = t.N }
  t.N = 2
end]])
    silent("keys and what has a way of its own to take fields", [[
local Key = state.view "Sales" { Year = 2026 }
local proxy = setmetatable({}, { __newindex = function() end })
function M.Nop(args)
  Key.Day = args.N
  proxy.x = 1
  pcall(rawset, _G, "x", 1)
  rawset(_G, "x", 1)
end]])
    silent("tables with functions that do not end, and does not call these", [[
local function forever() while true do end end
local mt = { __tostring = forever, __eq = forever, __index = forever, __len = forever }
local by = { [setmetatable({}, mt)] = function() end, name = function() end, function() end }
local odd = setmetatable({}, mt)
function M.Nop(args) return by[args.N], args.N and odd.x, odd == args end]])
    silent("a line that says that it is meant", [[
local cache, count = {}, 0
function M.Nop(args)
  cache[args.Name] = args.N -- stator: allow
  count = count + 1 --stator:allow, it is only for the log
end]])
  end)

  describe("about what is never compiled", function()
    warns("a function in a function", [[
function M.Nop(args)
  local function twice(n) return 2 * n end
  return twice(args.N)
end]], "4: Nop" .. CLOSURE)
    warns("a function that is handed on", [[
function M.Nop(args)
  pcall(function()
    return args.N
  end)
end]], "4: Nop" .. CLOSURE)
    warns("one in a branch, and in a function that is called", [[
local function sort(t, down)
  if down then table.sort(t, function(a, b) return a > b end) end
end
function M.Nop() sort({ 1, 2 }, false) end]], "4: sort" .. CLOSURE)
    warns("a coroutine by coroutine.wrap", [[
local function f() end
function M.Nop() coroutine.wrap(f)() end]],
      "4: Nop calls coroutine.wrap, which creates a function in each run, so it is never "
        .. "compiled: use coroutine.create and coroutine.resume")
    warns("an extension that takes any arguments", [[
function M.Nop(...)
  local args = ...
  return args.N
end]], "3: Nop takes ..., so it is never compiled: name its parameters")
    silent("a function that was made while the module was loaded", [[
local function checked(f)
  return function(...) return f(...) end
end
M.Nop = checked(function(args) return args.N end)]])
    silent("what LuaJIT compiles, or calls from what it has compiled", [[
local function any(...) return select("#", ...) end
local function double(s) return s .. s end
function M.Nop(args)
  local t = { args.N, any(1, 2) }
  for k, v in pairs(t) do t[k] = v + 1 end
  for word in string.gmatch("a b", "%a") do t[word] = word:upper() end
  local ok, message = pcall(any, next(t), unpack(t))
  if not ok then error(message) end
  return ("%d %q"):format(#t, "x"), string.gsub("x", "x", double), tostring(t)
end]])
    silent("a line that says that it is meant", [[
function M.Nop(args)
  local function twice(n) return 2 * n end --- stator: allow
  return twice(args.N)
end]])
  end)

  describe("besides errors", function()
    it("does not stop an image from being deployed", function()
      local count = image "local n = 0\nfunction M.Nop() n = n + 1 end"
      local replies, _, err, code = stator.try(count, {
        { id = 1, wsid = 1, command = "shop.Nop", args = { N = 1 } } })
      assert.same({ 200, "", 0 }, { replies[1].status, err, code })
    end)

    it("stands among them, in the order of the files", function()
      local lines, code = stator.check(image("local n = 0\nfunction M.Nop() n = n + 1 end", {
        ["../zoo/zoo.vsql"] = "WORKSPACE Z ( EXTENSION ENGINE LUA ( COMMAND C(); ); );",
        ["../zoo/zoo.lua"] = "return {}" }))
      assert.same({ "pkg/shop/shop.lua:4:1: warning: Nop sets n" .. STATE,
        "pkg/zoo/zoo.vsql:1:46: zoo.C: zoo/zoo.lua has no function C" }, lines)
      assert.equal(1, code)
    end)

    it("is the same where time is limited by fuel", function()
      local text = "local n = 0\nfunction M.Nop()\nfor i = 1, 3 do n = i end\nend"
      local path = image(text)
      local code, out = stator.shell(stator.command .. " check --preemption fuel " .. path)
      assert.same({ 0, path .. "/pkg/shop/shop.lua:5:1: warning: Nop sets n" .. STATE .. "\n" },
        { code, out })
    end)
  end)
end)
