-- Ten thousand breaches in a row in one process, by all kinds of limits, while another
-- partition computes or commits all along: it is never wrong, nothing is left behind.

local stator = require "support.stator"
local watch = require "support.watch"

-- Sanitizers make everything slow, and keep what was freed for a while.
-- Before memory is looked at for the first time.
local WARM = 1000
local BREACHES = stator.sanitized and 1000 or 10000
local MS = stator.sanitized and 60 or 2
local MORE_KB = stator.sanitized and 65536 or 3072

local SCHEMA = [[
TABLE Item INHERITS sys.CDoc ( Name varchar(65535) NOT NULL );
TYPE Args ( N int64 );
TYPE Out ( N int64, S varchar(65535) );
VIEW Sums ( Part int32 NOT NULL, Name varchar(100), Total int64, Count int64,
  PRIMARY KEY ((Part), Name)) AS RESULT OF Sum;
EXTENSION ENGINE LUA (
  COMMAND Breach(Args) STATE(sys.Record(Item), sys.View(Sums))
    INTENTS(sys.Record(Item), sys.Result, sys.Logger, sys.Ephemeral) RETURNS Out;
  COMMAND Add(Args) INTENTS(sys.Record(Item), sys.Result) RETURNS Out;
  SYNC PROJECTOR Sum AFTER EXECUTE ON Add INTENTS(sys.View(Sums));
  COMMAND Compute(Args) INTENTS(sys.Result) RETURNS Out;
  QUERY Read(Args) STATE(sys.View(Sums)) RETURNS Out;
);]]

-- Without a log: what it keeps in memory has a bound of its own.
local DESCRIPTOR = ([[{ "partitions": 2, "durability": "store", "engines": { "query": 1 },
  "limits": { "memoryMB": 2,
  "stringBytes": 100000, "rowsRead": 100, "bytesRead": 100000, "intents": 50, "logLines": 5,
  "coroutines": 50, "nesting": 50, "handles": 20, "breaches": 1000000000,
  "timeMs": { "command": %d, "query": 10000, "projector": 10000 } } }]]):format(MS)

-- The breaches run in the package "bad", with little time; the rest in "shop".
local BAD = [[
local state = require "stator.state"
local Item, Sums = state.record "Item", state.view "Sums"
local Cache = state.storage "sys.Ephemeral"
local kept = {}

local function swallow(f)
  return function(n)
    coroutine.wrap(function() for _ = 1, 3 do pcall(f, n) end end)()
    state.result { N = n, S = "went on" }
  end
end

local ways = {
  -- memory
  function() local t = {} while true do t[#t + 1] = { #t } end end,
  function() local t = {} while true do local _, e = pcall(error, { t }) t[#t + 1] = e end end,
  function() local t = {} while true do t["k" .. #t] = true t[#t + 1] = #t end end,
  function() local t = {} for i = 1, 1e9 do t[i] = function() return i end end end,
  function() local key = Sums { Part = 1, Name = "x" } local t = {} while true do t[#t + 1] = key
    t[#t + 1] = Item { ID = #t } end end,
  -- strings
  function() local s = "x" while true do s = s .. s end end,
  function() return ("x"):rep(100004) end,
  -- depth
  function() local function f() return 1 + f() end return f() end,
  function() local function f() pcall(f) error "x" end f() end,
  function() local function f() return (("x"):gsub(".", f)) end f() end,
  function() local function f() coroutine.wrap(f)() end f() end,
  function() local h function h() pcall(error) xpcall(error, h) end h() end,
  -- the rest
  function() for i = 1, 60 do kept[i % 10] = coroutine.create(function() end) end end,
  function() for i = 1, 60 do state.new(Item {}, { Name = "n" .. i }) end end,
  function() for _ = 1, 200 do state.get(Item { ID = 1 }) end end,
  function() for i = 1, 10 do state.log("trace", "line " .. i) end end,
  function(n)
    state.new(Cache { Cache = "x", Key = "k" .. n % 7 }, { Text = ("x"):rep(1000) })
    for _ = 1, 200 do state.get(Cache { Cache = "x", Key = "k" }) end
  end,
  -- plain errors, which are caught and come again
  function(n) error(("x"):rep(n % 5000)) end,
  function(n) error(setmetatable({}, { __tostring = function() return "text " .. n end })) end,
  function() kept.args = nil state.get(Item { ID = "x" }) end,
}
for i = 1, 17 do ways[#ways + 1] = swallow(ways[i]) end

-- Of these there are fewer: each takes its time.
local slow = {
  function() while true do end end,
  function() while true do pcall(error, {}) end end,
  function() return (("a"):rep(3000)):find(".-.-.-.-.-.-b") end,
  function() coroutine.wrap(function() while true do pcall(error, "x") end end)() end,
  function() local x = 1 while true do x = math.sin(x) + math.exp(x % 3) end end,
  function() while true do load("local x = 0 for i = 1, 60 do x = x + i end")() end end,
  function() xpcall(error, function() while true do end end) end,
  function() table.sort({ 3, 1, 2 }, function() while true do end end) end,
  function() while true do state.view "Sums" end end,
}

local M = {}
function M.Breach(args)
  if args.N % 8 == 0 then return slow[args.N / 8 % #slow + 1](args.N) end
  return ways[args.N % #ways + 1](args.N)
end
return M]]

local GOOD = [[
local state = require "stator.state"
local Item, Sums = state.record "Item", state.view "Sums"
local M = {}

function M.Compute(args)
  local parts, sum = {}, 0
  for i = 1, 50 do
    parts[#parts + 1] = ("%d:%s"):format(i * args.N, ("x"):rep(i % 7))
    sum = sum + #parts[#parts]
  end
  local again = 0
  for number, x in table.concat(parts, ","):gmatch "(%d+):(x*)" do
    again = again + #number + 1 + #x
  end
  local ok = again == sum and math.sqrt(args.N * args.N) == args.N
  state.result { N = args.N * 2, S = ok and "right" or "wrong" }
end

function M.Add(args)
  state.new(Item {}, { Name = "item " .. args.N })
  state.result { N = args.N * 2, S = "right" }
end

function M.Sum(event)
  local n = event.ArgumentObject.N
  for _, name in ipairs { "all", "of " .. n % 10 } do
    local key = Sums { Part = 1, Name = name }
    local seen = state.get(key)
    local row = seen and state.update(key, seen) or state.new(key)
    row.Total = (seen and seen.Total or 0) + n
    row.Count = (seen and seen.Count or 0) + 1
  end
end

function M.Read()
  for _, row in state.read(Sums { Part = 1 }) do
    state.result { N = row.Total, S = tostring(row.Count) }
  end
end
return M]]

local CODES = { TIME_LIMIT = true, MEMORY_LIMIT = true, STRING_LIMIT = true,
  NESTING_LIMIT = true, COROUTINES_LIMIT = true, INTENTS_LIMIT = true, ROWS_LIMIT = true,
  LOG_LIMIT = true, EXTENSION_FAILED = true }

local function image()
  local good = { "Breach" }
  local bad = { "Add", "Sum", "Compute", "Read" }
  local function with(text, names)
    local stubs = {}
    for i, name in ipairs(names) do stubs[i] = "function M." .. name .. "() end\n" end
    return (text:gsub("return M$", table.concat(stubs) .. "return M"))
  end
  return stator.image {
    ["descriptor.json"] = DESCRIPTOR:sub(1, -2)
      .. ', "packages": { "shop": { "limits": { "timeMs": { "command": 10000 } } } } }',
    ["pkg/shop/shop.vsql"] = "IMPORT SCHEMA 'bad';\nAPPLICATION shop ( USE bad; );\nWORKSPACE W (\n"
      .. SCHEMA .. "\n);\n",
    ["pkg/shop/shop.lua"] = with(GOOD, good),
    ["pkg/bad/bad.vsql"] = "WORKSPACE W (\n" .. SCHEMA .. "\n);\n",
    ["pkg/bad/bad.lua"] = with(BAD, bad),
  }
end

-- Workspaces 1 and 2 are of two partitions: one breaches, the other one works.
local function requests_of(count, command)
  local list = {}
  for i = 1, count do
    list[2 * i - 1] = { id = i, wsid = 1, command = "bad.Breach", args = { N = i } }
    list[2 * i] = { id = i, wsid = 2, command = command, args = { N = i } }
  end
  return list
end

local function soak(command, count, last)
  local first, second = requests_of(WARM, command), requests_of(count, command)
  first[#first + 1], second[#second + 1] = last, last
  local before, after, replies = watch(image(), first, second)
  assert.equal(#first + #second, #replies)
  local seen = {}
  for i, reply in ipairs(replies) do
    local request = first[i] or second[i - #first]
    if request.wsid == 1 then
      assert.is_true(reply.error and CODES[reply.error.code] or false, stator.json.encode(reply))
      seen[reply.error.code] = true
    else
      assert.equal(200, reply.status, reply.error and reply.error.message)
      if request.command then
        assert.same({ N = request.args.N * 2, S = "right" }, reply.result)
      end
    end
  end
  assert.same(CODES, seen)
  -- States that have machine code right now, threads' heaps; a sanitizer's own.
  assert.is_true(after.maps <= before.maps + (stator.sanitized and 32 or 16),
    ("%d mappings, then %d"):format(before.maps, after.maps))
  assert.is_true(after.kb <= before.kb + MORE_KB, ("%d KB, then %d"):format(before.kb, after.kb))
  return replies[#replies]
end

describe(BREACHES .. " breaches in a row", function()
  after_each(stator.clean)

  it("leave nothing behind, and another partition computes right all the time", function()
    soak("shop.Compute", BREACHES)
  end)

  it("leave what another partition commits all the time whole", function()
    local count = BREACHES / 10
    local reply = soak("shop.Add", count,
      { id = 0, wsid = 2, query = "shop.Read", args = { N = 0 } })
    local total = WARM * (WARM + 1) / 2 + count * (count + 1) / 2
    assert.same({ N = total, S = tostring(count + WARM) }, reply.rows[1])
    assert.equal(11, #reply.rows)
    local sum = 0
    for i = 2, 11 do sum = sum + reply.rows[i].N end
    assert.equal(total, sum)
  end)
end)
