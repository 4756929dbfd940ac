-- What lua/stator/lint.lua knows of LuaJIT, against the LuaJIT at hand: its instructions, and
-- by its own trace events what it compiles. What `stator check` then says of it is in
-- spec/cli/warning_spec.lua.

local stator = require "support.stator"

package.path = "lua/?.lua;" .. package.path
local bytecode, lint = require "stator.bytecode", require "stator.lint"

-- The number of traces of a function in the sandbox, and what was never compiled in it.
local function traces(text)
  local _, out, err = stator.shell("luajit spec/support/traces.lua " .. stator.quote(text))
  local count, unknown = out:match "^(%d+)\t([^\n]*)"
  assert(count, err)
  return tonumber(count), unknown
end

-- LuaJIT throws dice when a first trace fails, and rarely gives up what it could compile.
local function compiled(text)
  local count, unknown
  for _ = 1, 5 do
    count, unknown = traces(text)
    if count > 0 or unknown ~= "" then break end
  end
  return count > 0, unknown
end

local PRELUDE = [[
local t, list, empty, mt = { a = 1, b = 2, c = 3 }, { 2, 1 }, {}, {}
local with_mt = setmetatable({}, mt)
local function same(x) return x end
local function fails() error("x", 0) end
local function two() return 1, 2 end
local function add(a, b) return a + b end
local function less(a, b) return a < b end
local function sum(...)
  local s = 0
  for k = 1, select("#", ...) do s = s + (select(k, ...)) end
  return s
end
local function count(...) local all = { ... } return #all end
local function forever() while true do coroutine.yield(1) end end
local co = coroutine.create(forever)
]]

-- A line is the body of a function of `i`. Besides the language itself, these are all the
-- functions of the sandbox.
local COMPILED = [[
local r = i + 1
local r = "a" .. i
local r = { a = i, 2 }
local r = { two() }
local r = add(two())
local r = sum(i, 2, 3)
local r = count(i, 2, 3)
local r = i + 1LL
if i < 0 then error "x" end
for k = 1, 3 do t.a = k end
for k, v in pairs(t) do t[k] = v end
for _, v in pairs(t) do return v end
for k, v in next, t do t[k] = v end
for k, v in ipairs(list) do list[k] = v end
local r = next(t)
local r = assert(i)
local r = select("#", 1, 2)
local r = select(2, 1, 2)
local r = type(i)
local r = tostring(i)
local r = tostring(empty)
local r = tostring(i + 1LL)
local r = tonumber("5")
local a, b = unpack(list)
local a, b = unpack(list, 1, 2)
local ok, r = pcall(same, i)
local ok, r = pcall(fails)
local ok, r = xpcall(same, same, i)
local r = setmetatable({}, mt)
local r = getmetatable(with_mt)
local r = rawget(t, "a")
local r = rawset(t, "a", i)
local r = rawequal(t, t)
local r = load "return 1"
local r = collectgarbage "count"
local r = string.format("%d", i)
local r = string.format("%s %q", "x", "y")
local r = ("%5.2f"):format(i)
local r = string.gsub("abc", "b", "c")
local r = string.gsub("abc", "b", same)
for w in string.gmatch("a b", "%a") do t.w = w end t.w = nil
local r = string.match("abc", "(b)")
local r = string.find("abc", "%a")
local r = string.find("abc", "b", 1, true)
local r = string.rep("a", 5)
local r = string.reverse "abc"
local r = string.lower "ABC"
local r = string.upper "abc"
local r = string.sub("abc", 2)
local r = string.byte("abc", 2)
local r = string.char(65)
local r = string.len "abc"
local r = table.concat(list)
local r = table.maxn(list)
local l = {} table.insert(l, 1)
local l = { 1, 2 } table.insert(l, 1, 1)
local l = { 1, 2 } table.remove(l)
local l = { 1, 2 } table.remove(l, 1)
local l = { 2, 1 } table.sort(l)
local l = { 2, 1 } table.sort(l, less)
local r = coroutine.create(forever)
local r = coroutine.resume(co)
local r = coroutine.running()
local r = coroutine.status(co)
local r = math.random()
local r = math.random(10)
local r = math.floor(i / 2) + math.ceil(i / 2) + math.abs(i) + math.max(i, 2) + math.min(i, 2)
local r = math.fmod(i, 3)
local r = math.frexp(i)
local r = math.modf(i / 2)
local r = math.ldexp(i, 2)
local r = math.log(i) + math.log(i, 2) + math.log10(i) + math.exp(1) + math.sqrt(i) + math.pow(i, 2)
local r = math.sin(i) + math.cos(i) + math.tan(i) + math.atan2(i, 2) + math.deg(i) + math.rad(i)
local r = math.asin(1) + math.acos(1) + math.atan(i) + math.sinh(1) + math.cosh(1) + math.tanh(1)
local r = bit.band(i, 2) + bit.bor(i, 2) + bit.bxor(i, 2) + bit.bnot(i) + bit.tobit(i)
local r = bit.lshift(i, 2) + bit.rshift(i, 2) + bit.arshift(i, 2) + bit.rol(i, 2) + bit.ror(i, 2)
local r = bit.tohex(bit.bswap(i))
]]

describe("what the warnings know of LuaJIT", function()
  it("is its instructions", function()
    local names, all = {}, require("jit.vmdef").bcnames
    for i = 1, #all, 6 do names[#names + 1] = all:sub(i, i + 5):match "%S+" end
    assert.same(names, bytecode.names)
  end)

  for body in COMPILED:gmatch "[^\n]+" do
    it("compiles " .. body, function()
      assert.same({ true, "" }, { compiled(PRELUDE .. "return function(i) " .. body .. " end") })
    end)
  end

  for body, expected in pairs {
    ["local f = function() return i end"] = "FNEW",
    ["local f = function() return 1 end"] = "FNEW",
    ["if i < 0 then local f = function() return i end end"] = "UCLO",
    ["pcall(function() t.a = i end)"] = "FNEW",
  } do
    it("never compiles " .. body, function()
      local count, unknown = traces(PRELUDE .. "return function(i) " .. body .. " end")
      assert.same({ 0, expected }, { count, unknown })
      assert.is_true(lint.NEVER_COMPILED[unknown])
    end)
  end

  it("never compiles what is around coroutine.wrap", function()
    local _, unknown = traces(PRELUDE .. "return function() coroutine.wrap(same)() end")
    assert.equal("FNEW", unknown)
  end)

  it("never compiles an extension that takes any arguments, but one that hands them on", function()
    assert.equal(0, (traces "return function(...) local a = ... return a end"))
    assert.is_true((compiled(PRELUDE .. "return function(...) return same(...) end")))
  end)

  it("compiles a loop in a function that creates a function before it", function()
    assert.is_true(traces(PRELUDE .. [[return function(i)
      local f = function() return i end
      for k = 1, 100 do t.a = k + f() end
    end]]) > 0)
  end)
end)

describe("stator.bytecode", function()
  local function dump(text) return bytecode.read(string.dump(assert(loadstring(text)))) end

  it("knows where the upvalues of inner functions come from", function()
    local f = dump "local a, b return function() local c return function() return a, b, c end end"
    local outer = f.constants[1]
    local inner = outer.constants[1]
    assert.same({ { name = "a", own = true, index = 1 }, { name = "b", own = true, index = 2 } },
      outer.upvalues)
    assert.same({ { name = "a", own = false, index = 1 }, { name = "b", own = false, index = 2 },
      { name = "c", own = true, index = 1 } }, inner.upvalues)
  end)

  it("knows lines, in short functions and in long ones", function()
    for _, lines in ipairs { 0, 300, 70000 } do
      local f = dump("\n" .. ("\n"):rep(lines) .. "x = 1\nx = 2")
      assert.same({ lines + 2, lines + 3 }, { f.lines[2], f.lines[4] })
    end
  end)

  it("reads past constants of every kind", function()
    local f = dump [[local t = { 1, 2.5, "x", true, false, k = "v", [1.5] = 3 }
      local n, l, u, c = 1e300, 5LL, 6ULL, 7i
      local s = ("x"):rep(2) s.field = n]]
    local names = {}
    for _, i in ipairs(f.code) do
      if i.op == "TSETS" then names[#names + 1] = f.constants[i.c + 1] end
    end
    assert.same({ "field" }, names)
  end)

  it("reads functions that are compiled already", function()
    local function f()
      local n = 0
      for i = 1, 1000 do n = n + i end
      return n
    end
    for _ = 1, 100 do f() end
    local ops = {}
    for _, i in ipairs(bytecode.read(string.dump(f)).code) do ops[i.op] = true end
    assert.is_true(ops.FORI and ops.FORL)
    assert.is_nil(ops.JFORL)
  end)

  it("says no to what it does not know", function()
    assert.is_nil(bytecode.read "\27LJ\1")
    assert.is_nil(bytecode.read(string.dump(function() end, true)))
  end)
end)
