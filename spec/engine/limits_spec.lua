-- Everything else that an extension can waste: each limit has a number in the descriptor
-- and a code of its own, its breach says where it was, and costs that run only.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Item INHERITS sys.CDoc ( Name varchar(65535) );
TYPE Args ( N int64, S varchar(65535) );
TYPE Out ( S varchar(65535) );
EXTENSION ENGINE LUA (
  COMMAND Do(Args) STATE(sys.Record(Item)) INTENTS(sys.Record(Item), sys.Result, sys.Logger)
    RETURNS Out;
  QUERY Ask(Args) STATE(sys.Record(Item), sys.Ephemeral, sys.WLog) RETURNS Out;
);]]

local HEAD = [[
local Item = state.record "Item"
_ = Item
function M.Do() end
function M.Ask() end
]]

-- The line of a module that `body` begins with.
local LINE = 7

local function limited(limits, body, requests, options)
  local image = stator.shop(SCHEMA, HEAD .. body, { ["descriptor.json"] =
    ('{ "engines": { "query": 1 }, "limits": { "breaches": 1000000, %s } }'):format(limits) })
  return stator.try(image, requests, options)
end

local function command(n) return { wsid = 1, command = "shop.Do", args = { N = n } } end
local function query(n) return { wsid = 1, query = "shop.Ask", args = { N = n } } end

-- The body breaches when N is 1, and does not when it is 0.
local BREACHES = {
  {
    what = "bytes read", limits = '"bytesRead": 5000', code = "BYTES_READ_LIMIT", line = 2,
    message = "limit of 5000 bytes read exceeded", kind = query,
    body = [[function M.Ask(args)
      for _ = 1, args.N == 1 and 9 or 2 do state.get(Item { ID = 200001 }) end
    end
    function M.Do(args)
      if args.N == 7 then state.new(Item {}, { Name = ("x"):rep(1000) }) end
    end]],
    before = command(7),
  }, {
    what = "log lines", limits = '"logLines": 5', code = "LOG_LIMIT", line = 2,
    message = "limit of 5 log lines exceeded", kind = command,
    body = [[function M.Do(args)
      for i = 1, args.N == 1 and 9 or 5 do state.log("trace", i) end
    end]],
  }, {
    what = "log lines that are intents", limits = '"logLines": 5', code = "LOG_LIMIT", line = 3,
    message = "limit of 5 log lines exceeded", kind = command,
    body = [[local Log = state.storage "sys.Logger" function M.Do(args)
      for i = 1, args.N == 1 and 9 or 5 do
        state.new(Log { LogLevel = 5 }, { Message = "m" .. i })
      end
    end]],
  }, {
    what = "coroutines", limits = '"coroutines": 5', code = "COROUTINES_LIMIT", line = 3,
    message = "limit of 5 coroutines exceeded", kind = command,
    body = [[function M.Do(args)
      for _ = 1, args.N == 1 and 6 or 5 do
        local co = coroutine.create(function() end)
        coroutine.resume(co)
      end
    end]],
  }, {
    what = "coroutines that are functions", limits = '"coroutines": 5', code = "COROUTINES_LIMIT",
    line = 2, message = "limit of 5 coroutines exceeded", kind = command,
    body = [[function M.Do(args)
      for _ = 1, args.N == 1 and 6 or 5 do coroutine.wrap(function() end)() end
    end]],
  }, {
    what = "nested calls", limits = '"nesting": 20', code = "NESTING_LIMIT", line = 2,
    message = "limit of 20 nested calls exceeded", kind = command,
    body = [[local function deep(n)
      return (("x"):gsub(".", function() if n > 0 then return deep(n - 1) end return "y" end))
    end
    function M.Do(args) deep(args.N == 1 and 30 or 10) end]],
  }, {
    what = "calls deeper than the stack", limits = '"nesting": 20', code = "NESTING_LIMIT",
    message = "the limit of the Lua stack is exceeded: calls are nested too deep", kind = command,
    line = 1,
    body = [[local function deep(n) if n > 0 then return 1 + deep(n - 1) end return 1 end
    function M.Do(args) deep(args.N == 1 and 1e9 or 100) end]],
  }, {
    what = "the length of strings from a function", limits = '"stringBytes": 100000',
    code = "STRING_LIMIT", line = 2, message = "limit of 100000 bytes in a string exceeded",
    kind = command,
    body = [[function M.Do(args)
      local s = ("x"):rep(args.N == 1 and 100004 or 100000)
      return s
    end]],
  }, {
    what = "the length of strings from an operator", limits = '"stringBytes": 100000',
    code = "STRING_LIMIT", line = 3, message = "limit of 100000 bytes in a string exceeded",
    kind = query,
    body = [[function M.Ask(args)
      local half = ("x"):rep(args.N == 1 and 50002 or 50000)
      local whole = half .. half
      return whole
    end]],
  }, {
    what = "the length of strings from compiled loops", limits = '"stringBytes": 100000',
    code = "STRING_LIMIT", line = 3, message = "limit of 100000 bytes in a string exceeded",
    kind = command,
    body = [[function M.Do(args)
      local s, n = "", args.N == 1 and 3000 or 900
      for _ = 1, n do
        s = s .. ("x"):rep(99)
      end
      return s
    end]],
  }, {
    what = "handles", limits = '"handles": 3', code = "HANDLES_LIMIT", line = 2,
    message = "limit of 3 handles exceeded", kind = query,
    body = [[function M.Ask(args) if args.N == 1 then
      state.storage "sys.WLog" state.storage "sys.Ephemeral" state.storage "sys.Logger"
    end end]],
  },
}

describe("limits of what a run may waste", function()
  after_each(stator.clean)

  for _, b in ipairs(BREACHES) do
    local function requests(...)
      local list = { b.before }
      for _, n in ipairs { ... } do list[#list + 1] = b.kind(n) end
      for i, r in ipairs(list) do r.id = i end
      return list
    end
    local first = b.before and 1 or 0
    local name = b.kind == command and "shop.Do" or "shop.Ask"

    it("are " .. b.what .. ", and the next run is served", function()
      local replies = limited(b.limits, b.body, requests(0, 1, 0))
      assert.equal(200, replies[first + 1].status, replies[first + 1].error
        and replies[first + 1].error.message)
      assert.equal(b.code, replies[first + 2].error and replies[first + 2].error.code)
      assert.equal(("%s: shop/shop.lua:%d: %s"):format(name, LINE + b.line - 1, b.message),
        replies[first + 2].error.message)
      assert.equal(500, replies[first + 2].status)
      assert.equal(200, replies[first + 3].status)
    end)

    it("are " .. b.what .. ", also for who catches the error", function()
      local f = b.kind == command and "Do" or "Ask"
      local replies = limited(b.limits, b.body .. ([[
        local careless = M.%s
        function M.%s(args)
          pcall(careless, args)
        end]]):format(f, f), requests(1, 0))
      assert.equal(b.code, replies[first + 1].error and replies[first + 1].error.code)
      assert.equal(200, replies[first + 2].status)
    end)
  end

  it("do not take large tables for strings", function()
    local replies = limited('"stringBytes": 100000', [[function M.Do()
      local list, map = {}, {}
      for i = 1, 100000 do list[i] = i map["k" .. i] = i end
    end]], { command(0) })
    assert.equal(200, replies[1].status)
  end)

  it("hold for what a package does while it loads", function()
    local lines, code = stator.check(stator.shop(SCHEMA, HEAD .. "local s = ('x'):rep(1e6) _ = s",
      { ["descriptor.json"] = '{ "limits": { "stringBytes": 1000 } }' }))
    assert.equal(1, code)
    assert.matches("loading exceeds the limit of the length of a string", lines[1])
    lines, code = stator.check(stator.shop(SCHEMA, HEAD .. "state.storage 'sys.WLog'",
      { ["descriptor.json"] = '{ "limits": { "handles": 1 } }' }))
    assert.equal(1, code)
    assert.matches("shop%.lua:7:1: limit of 1 handles exceeded", lines[1])
  end)

  it("are numbers of the descriptor, which names a wrong one", function()
    local lines, code = stator.check(stator.shop(SCHEMA, HEAD,
      { ["descriptor.json"] = '{ "limits": { "nesting": 151, "logLine": 1 } }' }))
    assert.equal(1, code)
    assert.matches("limits%.nesting: expected a whole number from 1 to 150, found 151", lines[1])
    assert.matches("limits%.logLine: unknown key; did you mean logLines%?", lines[2])
  end)
end)
