-- Extensions that want to do harm: spec/fixtures/hostile has a file for each. Its first
-- lines say what must come of it:
--
--   -- runs: Ask                        the function, if it is not Do: Ask is a query
--   -- expects: CODE | CODE some text   what the first run ends with: OK, or the code of
--   -- expects: OK "text"               an error and what its message has; a line for a run
--
-- All of them are packages of one application and are served by one process, one after the
-- other. After each the same package and another one are asked for what they must still
-- be able to do.

local stator = require "support.stator"

local FOLDER = "spec/fixtures/hostile"

local LIMITS = [["memoryMB": 8, "stringBytes": 1000000, "intents": 100, "rowsRead": 500,
  "logLines": 20, "coroutines": 1000, "handles": 6, "bytesReturned": 100000,
  "breaches": 1000000, "timeMs": { "command": %d, "query": %d, "projector": %d }]]

local SCHEMA = [[
WORKSPACE W (
TABLE Item INHERITS sys.CDoc ( Name varchar(65535) );
TABLE Doc INHERITS sys.ODoc ( N int64, Items TABLE DocItems ( Q int32 ) );
TYPE Args ( N int64 );
TYPE Out ( N int64, S varchar(65535), F float64 );
VIEW Sales ( Year int32 NOT NULL, Name varchar(60000), Amount int64,
  PRIMARY KEY ((Year), Name)) AS RESULT OF Project;
EXTENSION ENGINE LUA (
  COMMAND Do(Args) STATE(sys.Record(Item), sys.View(Sales))
    INTENTS(sys.Record(Item), sys.Ephemeral, sys.Result, sys.Response, sys.Logger) RETURNS Out;
  COMMAND Nested(Doc) INTENTS(sys.Record(Item), sys.Result) RETURNS Out;
  QUERY Ask(Args) STATE(sys.Record(Item), sys.View(Sales), sys.Ephemeral) RETURNS Out;
  COMMAND Fill(Args);
  SYNC PROJECTOR Project AFTER EXECUTE ON Fill INTENTS(sys.View(Sales));
  COMMAND Check(Args) INTENTS(sys.Result) RETURNS Out;
); );]]

-- The entry of a package: the hostile module, and what is asked of it afterwards.
local ENTRY = [[
local check = require "check"
local hostile = require "hostile"
local M = { Check = check }
for _, name in ipairs { "Do", "Nested", "Ask", "Fill", "Project" } do
  M[name] = hostile[name] or function() end
end
return M]]

-- What every package can do, whatever happened. It is loaded before there is anything
-- hostile, so globals of its package are its own business.
local CHECK = [[
local state = require "stator.state"
local string, table, math, coroutine, bit = string, table, math, coroutine, bit
local pcall, error, load, tostring, setmetatable = pcall, error, load, tostring, setmetatable
local G = _G

local function deep(n)
  if n == 0 then return 0 end
  return (("x"):gsub("x", function() return deep(n - 1) + 1 end)) + 0
end

return function(args)
  local t = { 3, 1, 2 }
  table.sort(t)
  table.insert(t, 4)
  local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) return a * b end)
  local ok, message = pcall(error, "plain", 0)
  local sum, coroutines = 0, 0
  for i = 1, 1000 do sum = sum + i * args.N end
  for _ = 1, 900 do coroutine.create(pcall) coroutines = coroutines + 1 end
  local leaked = pcall(function() return G.leaked end) and G.leaked ~= "mine"
  local parts = { table.concat(t, ","), ("x"):rep(3), ("a1b2"):gsub("%d", "-"),
    ("%d %s %q"):format(5, "y", "z"), co(5), co(6), tostring(ok), message, #t, deep(100),
    math.floor(7.5), bit.band(12, 10), load "return 1 + 1"(), ("key=value"):match "(%w+)=",
    setmetatable({}, { __index = function(_, k) return k .. "!" end }).index, coroutines,
    tostring(leaked), tostring(pcall(function() string.rep = 1 end)),
    math.random(1, 1) == 1 and #tostring(math.random()) > 3 and "random" or "" }
  for i = 1, #parts do parts[i] = tostring(parts[i]) end
  state.result { N = sum, S = table.concat(parts, " ") }
end]]

local RIGHT = "1,2,3,4 xxx a-b- 5 y \"z\" 6 30 false plain 4 100 7 8 2 key index! 900 "
  .. "false false random"

-- The fixtures ----------------------------------------------------------------------

local function parse(name, text)
  local fixture = { name = name, text = text, runs = text:match "^%-%- runs: (%w+)\n" or "Do",
    expects = {} }
  for line in text:gmatch "%-%- expects: ([^\n]+)\n" do
    local codes, rest = {}, line
    repeat
      local code, more = rest:match "^([A-Z_]+)(.*)$"
      codes[code] = true
      rest = more:match "^ | (.*)$"
      line = more
    until not rest
    fixture.expects[#fixture.expects + 1] = { codes = codes,
      text = line:match '^ "(.*)"$' or line:match "^ (.+)$" }
  end
  assert(#fixture.expects > 0, name)
  return fixture
end

local function read_fixtures()
  local list = {}
  for path in io.popen("ls " .. FOLDER .. "/*.lua"):lines() do
    list[#list + 1] = parse(path:match "([%w_]+)%.lua$", stator.read(path))
  end
  return list
end

local FIXTURES = read_fixtures()

local function image_of_all(ms)
  local files = {
    ["descriptor.json"] = ('{ "engines": { "query": 1 }, "limits": { %s } }')
      :format(LIMITS:format(ms, ms, ms)),
    ["pkg/plain/plain.lua"] = "local M = { Check = require 'check' }\n"
      .. "for _, name in ipairs { 'Do', 'Nested', 'Ask', 'Fill', 'Project' } do\n"
      .. "  M[name] = function() end\nend\nreturn M",
    ["pkg/plain/check.lua"] = CHECK,
  }
  local imports, uses = {}, {}
  for i, f in ipairs(FIXTURES) do
    local folder = "pkg/" .. f.name .. "/"
    files[folder .. f.name .. ".vsql"] = SCHEMA
    files[folder .. f.name .. ".lua"] = ENTRY
    files[folder .. "check.lua"] = CHECK
    files[folder .. "hostile.lua"] = f.text
    imports[i] = ("IMPORT SCHEMA '%s';"):format(f.name)
    uses[i] = ("USE %s;"):format(f.name)
  end
  files["pkg/plain/plain.vsql"] = ("%s\nAPPLICATION plain ( %s );\n%s"):format(
    table.concat(imports, "\n"), table.concat(uses, " "), SCHEMA)
  return stator.image(files)
end

-- The requests of a fixture: its runs, then what is asked afterwards.
local function add_requests(list, f)
  f.first = #list + 1
  for n = 1, #f.expects do
    list[#list + 1] = { wsid = 1, [f.runs == "Ask" and "query" or "command"] = f.name .. "."
      .. f.runs, args = { N = n, Items = f.runs == "Nested" and { { Q = 1 }, { Q = 2 } } or nil } }
  end
  list[#list + 1] = { wsid = 1, command = f.name .. ".Check", args = { N = 1 } }
  list[#list + 1] = { wsid = 1, command = "plain.Check", args = { N = 2 } }
  for i = f.first, #list do list[i].id = i end
end

local function serve(options, ms)
  local requests = {}
  for _, f in ipairs(FIXTURES) do add_requests(requests, f) end
  local replies, raw, err, exit = stator.try(image_of_all(ms), requests, options)
  return { replies = replies, raw = raw, err = err, exit = exit, count = #requests }
end

-- What is asked -------------------------------------------------------------------------

local function is_expected(f, n, reply, raw)
  local expected = f.expects[n]
  local code = reply.status == 200 and "OK" or reply.error and reply.error.code
  assert.is_true(expected.codes[code] or false, ("run %d: %s"):format(n, raw))
  if code == "OK" then
    local row = reply.rows and reply.rows[1] or reply.result or {}
    if expected.text then assert.equal(expected.text, row.S, raw) end
    return
  end
  if code ~= "RESPONSE" then
    assert.equal(f.name .. "." .. f.runs .. ": ", reply.error.message:sub(1,
      #f.name + #f.runs + 3))
  end
  if expected.text then
    assert.is_truthy(reply.error.message:find(expected.text, 1, true), raw)
  end
end

-- JSON is UTF-8, and has no control characters.
local function is_clean(line)
  assert.is_nil(line:find "[%z\1-\31]")
  local rest = line:gsub("[\1-\127]", ""):gsub("[\194-\223][\128-\191]", "")
    :gsub("[\224-\239][\128-\191][\128-\191]", "")
    :gsub("[\240-\244][\128-\191][\128-\191][\128-\191]", "")
  assert.equal("", rest)
end

local function each_is_stopped(options)
  local served

  for _, f in ipairs(FIXTURES) do
    it(f.name .. " does no harm", function()
      served = served or serve(options, stator.sanitized and 300 or 30)
      assert.equal(0, served.exit, served.err)
      assert.equal(served.count, #served.replies, served.err)
      for n = 1, #f.expects do
        is_expected(f, n, served.replies[f.first + n - 1], served.raw[f.first + n - 1])
        is_clean(served.raw[f.first + n - 1])
      end
      local own, plain = f.first + #f.expects, f.first + #f.expects + 1
      assert.same({ N = 500500, S = RIGHT }, served.replies[own].result, served.raw[own])
      assert.same({ N = 1001000, S = RIGHT }, served.replies[plain].result, served.raw[plain])
    end)
  end

  it("none of them has the host say anything but what is logged", function()
    assert.matches("^error host_log_bytes%.Do: [^\n\27]*\n$", served.err)
  end)
end

describe("hostile extensions, stopped by signals", function()
  after_each(stator.clean)
  each_is_stopped "--preemption auto"
end)

describe("hostile extensions, stopped by fuel", function()
  after_each(stator.clean)
  each_is_stopped "--preemption fuel"
end)
