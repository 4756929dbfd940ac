-- What code of a package must not be able to do. Most of these are attacks: each
-- passes when the sandbox holds.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Item INHERITS sys.CDoc (
  Name varchar(100) NOT NULL, Price int64, Note varchar(65535), UNIQUEFIELD Name
);
TABLE Order INHERITS sys.ODoc (
  Number int32 NOT NULL, Text varchar(65535),
  Lines TABLE OrderLines ( What varchar(100), Count int32 NOT NULL )
);
TYPE Args ( N int64, S varchar(65535), Data bytes(65535), Done bool );
TYPE Out ( N int64, S varchar(65535) );
VIEW Sales (
  Year int32 NOT NULL, Month int32 NOT NULL, Name varchar(1000) NOT NULL, Amount int64,
  PRIMARY KEY ((Year), Month, Name)
) AS RESULT OF Project;
VIEW Wide (
  Year int32 NOT NULL, A int64 NOT NULL, B int64 NOT NULL, C int64 NOT NULL, Amount int64,
  PRIMARY KEY ((Year), A, B, C)
) AS RESULT OF Project;
EXTENSION ENGINE LUA (
  COMMAND Do(Args) STATE(sys.Record(Item), sys.View(Sales), sys.View(Wide), sys.WLog)
    INTENTS(sys.Record(Item), sys.Result, sys.Response, sys.Logger) RETURNS Out;
  COMMAND Place(Order) INTENTS(sys.Record(Item), sys.Result) RETURNS Out;
  SYNC PROJECTOR Project AFTER EXECUTE ON Do INTENTS(sys.View(Sales), sys.View(Wide));
  QUERY Ask(Args) STATE(sys.Record(Item), sys.View(Sales), sys.View(Wide), sys.WLog) RETURNS Out;
);]]

local MODULE = [[
local Sales, Wide = state.view "Sales", state.view "Wide"
local Item = state.record "Item"
local keep = {}
local function refused(f, ...)
  local ok, message = pcall(f, ...)
  if ok then return "allowed: " .. tostring(message) end
  return "refused", message
end
local function say(v) if v ~= nil then state.result { S = tostring(v) } end end
function M.Project() end
function M.Ask() end
function M.Place() end
function M.Do() end
_ = keep, Sales, Wide, Item, refused
%s
]]

local REQUEST = { id = 1, wsid = 1, command = "shop.Do", args = { N = 5, S = "five" } }

local function image_of(module, more)
  return stator.shop(SCHEMA, (MODULE:gsub("%%s", function() return module end)), more)
end

-- The reply of one command with this body; what it returns is its result S.
local function reply_of(body, module, request)
  local image = image_of((module or "") .. "\nfunction M.Do(args)\nsay((function()\n" .. body
    .. "\nend)())\nend\n")
  local replies, raw, err, code = stator.try(image, { request or REQUEST })
  assert.equal(0, code, err)
  assert.equal(1, #replies, err)
  return replies[1], raw[1]
end

local function value_of(body, module)
  local reply, raw = reply_of(body, module)
  assert.equal(200, reply.status, raw)
  return reply.result and reply.result.S
end

local function error_of(body, module)
  local reply, raw = reply_of(body, module)
  assert.equal(500, reply.status, raw)
  return reply.error.message, reply.error.code
end

-- The replies of commands that run one after the other; run `i` executes step i.
local function steps(list, module)
  local code, requests = { "local steps = {}\n", module or "" }, {}
  for i, body in ipairs(list) do
    code[#code + 1] = ("steps[%d] = function(args)\n%s\nend\n"):format(i, body)
    requests[i] = { id = i, wsid = 1, command = "shop.Do", args = { N = i, S = "step " .. i } }
  end
  code[#code + 1] = "function M.Do(args) say(steps[args.N](args)) end\n"
  local replies, _, err, exit = stator.try(image_of(table.concat(code)), requests)
  assert.equal(0, exit, err)
  assert.equal(#list, #replies, err)
  return replies
end

-- Each of these pieces of code must raise an error.
local function all_refused(setup, pieces)
  local body = { setup .. "\nlocal r = {}\n" }
  for i, piece in ipairs(pieces) do
    body[#body + 1] = ("r[%d] = refused(function() %s end)\n"):format(i, piece)
  end
  body[#body + 1] = "return table.concat(r, '|')"
  local reply, raw = reply_of(table.concat(body))
  assert.equal(200, reply.status, raw)
  local i = 0
  for outcome in (reply.result.S .. "|"):gmatch "(.-)|" do
    i = i + 1
    assert.equal("refused", outcome, pieces[i])
  end
  assert.equal(#pieces, i)
end

describe("the environment of a package", function()
  after_each(stator.clean)

  for _, name in ipairs { "ffi", "debug", "io", "package", "jit", "newproxy", "getfenv", "setfenv",
    "clock", "dofile", "loadfile", "module", "print", "gcinfo", "lpeg", "stator" } do
    it("has no " .. name, function()
      assert.matches("there is no global " .. name, error_of("return " .. name))
      assert.matches("there is no global " .. name, error_of("return _G." .. name))
    end)
  end

  for _, name in ipairs { "ffi", "stator.rows", "stator.boot", "stator.sandbox", "stator.schema",
    "jit", "jit.util", "jit.opt", "bit", "debug", "io", "os", "package", "string", "lpeg",
    "../shop", "/etc/passwd", "shop\0", "" } do
    it(("does not require %q"):format(name), function()
      assert.matches("no module", (error_of(("require(%q)"):format(name))))
    end)
  end

  it("requires by strings only", function()
    all_refused("", { "require()", "require(nil)", "require {}", "require(0)", "require(0/0)",
      "require(setmetatable({}, { __tostring = function() return 'ffi' end }))" })
  end)

  it("has nothing of os but the time of the event", function()
    local image = image_of [[
      function M.Do()
        local names = {}
        for _, name in ipairs { "clock", "date", "execute", "exit", "getenv", "remove", "rename",
          "tmpname", "setlocale", "difftime" } do
          if os[name] ~= nil then names[#names + 1] = name end
        end
        say(table.concat(names) .. os.time())
      end]]
    local data = stator.folder()
    local replies = stator.run(image, data, { REQUEST })
    local events = stator.dump(image, data, "plog --partition 0")
    assert.equal(1, #events)
    assert.near(os.time(), tonumber(replies[1].result.S), 100)
    all_refused("", { "os.time(1)", "os.time { year = 2026, month = 1, day = 1 }",
      "rawset(os, 'time', 1)", "os.x = 1" })
    local lines = stator.check(image_of "local t = os.time() _ = t")
    assert.matches("os%.time can be used in a run only", lines[1])
  end)

  it("does not give the host's environment to string methods", function()
    assert.equal("refused|refused|refused", value_of [[
      local r = {}
      for i, name in ipairs { "dump", "gfind", "format2" } do
        r[i] = string[name] == nil and ("")[name] == nil and "refused" or name
      end
      return table.concat(r, "|")]])
  end)

  it("has no string.dump", function()
    assert.matches("nil value", (error_of "return string.dump(function() end)"))
  end)

  it("has no way to other libraries through its own", function()
    assert.equal("", value_of [[
      local found = {}
      local names = { "getmetatable", "debug", "ffi", "getfenv", "loaded", "preload", "foreach",
        "foreachi", "getn", "new", "clear", "open", "exit", "dump" }
      for _, library in ipairs { math, string, table, coroutine, bit, os } do
        for _, name in ipairs(names) do
          if library[name] ~= nil then found[#found + 1] = name end
        end
      end
      return table.concat(found, " ")]])
  end)

  it("does not load bytecode", function()
    local code = string.dump(function() return 1 end)
    local bytes = code:gsub(".", function(c) return ("\\%03d"):format(c:byte()) end)
    assert.matches("nil", value_of(([[local f, e = load("%s") return tostring(f)]]):format(bytes)))
    assert.matches("nil", value_of(([[return tostring((loadstring("%s")))]]):format(bytes)))
    assert.matches("nil", value_of(([[return tostring((load("%s", "x", "b")))]]):format(bytes)))
  end)

  it("does not load from functions, tables or numbers", function()
    all_refused("", { "load(function() return nil end)", "load {}", "load(5)", "loadstring(nil)" })
  end)

  it("gives loaded text the environment of the package and no other", function()
    assert.equal("true", value_of "return load('return _G')() == _G")
    assert.equal("true", value_of [[return load('return _G', 'x', 't', { _G = 5 })() == _G]])
    assert.matches("no global ffi", error_of "return load('return ffi')()")
  end)

  it("refuses __gc", function()
    all_refused("", { "setmetatable({}, { __gc = function() end })" })
  end)

  it("calls no __gc that is set later", function()
    assert.equal("quiet", value_of [[
      local mt, called = {}, false
      for _ = 1, 1000 do setmetatable({}, mt) end
      mt.__gc = function() called = true end
      for _ = 1, 1e5 do local _ = {} end
      return called and "called" or "quiet"]])
  end)

  it("only counts with collectgarbage", function()
    assert.equal("number", value_of "return type(collectgarbage 'count')")
    all_refused("", { "collectgarbage()", "collectgarbage 'collect'", "collectgarbage 'stop'",
      "collectgarbage('setpause', 1)", "collectgarbage(nil)" })
  end)

  it("keeps its libraries as they are", function()
    all_refused("", { "string.format = nil", "math.huge = 1", "table.x = 1", "bit.band = nil",
      "coroutine.wrap = nil", "rawset(string, 'x', 1)", "rawset(math, 1, 1)",
      "table.insert(string, 1)", "table.insert(math, 1, 1)", "setmetatable(string, {})",
      "setmetatable(_G, {})", "rawset(state, 'get', 1)", "state.get = 1", "state.new_name = 1",
      "setmetatable(state, nil)", "table.remove(table)", "table.sort(table)",
      "table.sort(state)", "rawset(_G, 'x', 1)" })
  end)

  it("hides the metatables of strings, libraries and state", function()
    assert.equal("false false false false", value_of [[
      return table.concat({ tostring(getmetatable ""), tostring(getmetatable(string)),
        tostring(getmetatable(state)), tostring(getmetatable(_G)) }, " ")]])
    all_refused("", { "setmetatable('', {})" })
  end)

  it("cannot redirect the host through its own globals", function()
    local reply, raw = reply_of [[
      type, tostring, next, rawget, error, pcall = nil, nil, nil, nil, nil, nil
      setmetatable, ipairs, pairs, unpack, select, assert = nil, nil, nil, nil, nil, nil
      state.get(Sales { Year = 1, Month = 1, Name = "x" })
      state.result { N = 1, S = args.S }]]
    assert.equal(200, reply.status, raw)
    assert.equal("five", reply.result.S)
  end)

  it("is one for each package", function()
    local schema = "WORKSPACE W2 ( TYPE Out ( S varchar );\n EXTENSION ENGINE LUA (\n"
      .. " COMMAND Other() INTENTS(sys.Result) RETURNS Out; ); );"
    local image = stator.image {
      ["pkg/shop/shop.vsql"] = "IMPORT SCHEMA 'other';\nAPPLICATION shop ( USE other; );\n"
        .. "WORKSPACE W ( EXTENSION ENGINE LUA ( COMMAND Leak(); ); );",
      ["pkg/shop/shop.lua"] = "Shared = 5\nlocal M = {}\nfunction M.Leak() Later = 6 end\nreturn M",
      ["pkg/other/other.vsql"] = schema,
      ["pkg/other/other.lua"] = [[
local state = require "stator.state"
local M = {}
function M.Other()
  local a, b = pcall(function() return Shared end), pcall(function() return Later end)
  local c = pcall(require, "shop")
  state.result { S = tostring(a) .. tostring(b) .. tostring(c) }
end
return M]],
    }
    local replies, raw, err = stator.try(image, {
      { id = 1, wsid = 1, command = "shop.Leak" }, { id = 2, wsid = 1, command = "other.Other" },
    })
    assert.equal(200, replies[1] and replies[1].status, (raw[1] or "") .. err)
    assert.equal("falsefalsefalse", replies[2].result and replies[2].result.S, raw[2])
  end)

  it("gives the same random numbers for the same offset", function()
    local body = [[local r = {} for i = 1, 20 do r[i] = math.random(1, 1000000) end
      return table.concat(r, " ")]]
    local one = value_of(body)
    assert.equal(one, value_of(body))
    assert.matches("^%d+ ", one)
  end)

  it("keeps random numbers inside of their interval", function()
    assert.equal("fine", value_of [[
      for i = 1, 10000 do
        local a, b, c = math.random(), math.random(6), math.random(-3, 3)
        if not (a >= 0 and a < 1 and b >= 1 and b <= 6 and c >= -3 and c <= 3) then return i end
      end
      return "fine"]])
    all_refused("", { "math.random(0)", "math.random(2, 1)", "math.random({})" })
    assert.equal("fine", value_of [[
      for _, seed in ipairs { 0, -1, 1e300, 0 / 0, 1 / 0, 2 ^ 31 - 2, 2 ^ 31 - 1, "7", 5LL } do
        math.randomseed(seed)
        for _ = 1, 10 do
          local r = math.random()
          if not (r >= 0 and r < 1) then return tostring(seed) .. " gives " .. tostring(r) end
        end
      end
      return "fine"]])
  end)

  it("cannot be written to by a module of the host that is called like one of it", function()
    local image = image_of("function M.Do() say(require('rows').x) end",
      { ["pkg/shop/rows.lua"] = "return { x = 'mine' }" })
    assert.equal("mine", stator.try(image, { REQUEST })[1].result.S)
  end)
end)

describe("fronts", function()
  after_each(stator.clean)

  local SETUP = [[
    local key = Sales { Year = 1, Month = 1, Name = "x" }
    local intent = state.new(Item {}, { Name = "a" })
    local each = { args, key, intent, Sales, state, string }
    local function all(f)
      for i, front in ipairs(each) do
        if refused(f, front) ~= "refused" then return "front " .. i end
      end
      error "refused"
    end
  ]]

  it("are closed to rawget, rawset, next and pairs", function()
    all_refused(SETUP, { "return all(function(t) return rawget(t, 0) end)",
      "return all(function(t) rawset(t, 0, 1) end)", "return all(function(t) return next(t) end)",
      "return all(function(t) return pairs(t) end)" })
  end)

  it("are closed to table functions that change", function()
    all_refused(SETUP, { "return all(function(t) table.insert(t, 1) end)",
      "return all(function(t) table.remove(t) end)", "return all(function(t) table.sort(t) end)",
      "return all(function(t) table.insert(t, 0, 1) end)",
      "return all(function(t) table.remove(t, 0) end)" })
  end)

  it("are closed to setmetatable", function()
    all_refused(SETUP, { "return all(function(t) setmetatable(t, {}) end)",
      "return all(function(t) setmetatable(t, nil) end)" })
  end)

  it("hide their metatables", function()
    assert.equal("falsefalsefalsefalsefalsefalse", value_of(SETUP .. [[
      local r = {}
      for i, front in ipairs(each) do r[i] = tostring(getmetatable(front)) end
      return table.concat(r)]]))
  end)

  it("show nothing under numbers", function()
    all_refused(SETUP, { "return args[0]", "return args[-1]", "return args[1]", "return key[0]",
      "return key[-1]", "return key[-2]", "return intent[0]", "return intent[-1]",
      "return intent[-2]", "return Sales[0]" })
  end)

  it("cannot be written to under numbers", function()
    all_refused(SETUP, { "args[0] = 1", "args[0] = nil", "args[1] = 1", "key[0] = {}",
      "key[0] = nil", "key[-1] = 1", "intent[0] = {}", "intent[0] = nil", "intent[-2] = 5",
      "Sales[0] = 1" })
  end)

  it("show nothing to unpack", function()
    assert.equal("nilnilnil", value_of(SETUP .. [[
      local r = {}
      for i = 1, 3 do
        local ok, v = pcall(unpack, each[i], 0, 0)
        r[i] = tostring(ok and v or nil)
      end
      return table.concat(r)]]))
  end)

  it("show nothing to the iterator of pairs of another table", function()
    all_refused(SETUP .. " local raw_next = pairs {}",
      { "return raw_next(args)", "return raw_next(key)", "return raw_next(intent)" })
  end)

  it("show nothing to the iterator of ipairs", function()
    assert.equal("nilnilnil", value_of(SETUP .. [[
      local step, r = ipairs {}, {}
      for i = 1, 3 do
        local ok, _, v = pcall(step, each[i], -1)
        r[i] = tostring(ok and v or nil)
      end
      return table.concat(r)]]))
  end)

  it("show nothing to table.concat and table.maxn", function()
    local shown = value_of(SETUP .. [[
      local ok, v = pcall(table.concat, args, "", 0, 0)
      return ok and v or "nothing"]])
    assert.equal("nothing", shown)
    assert.equal("0", value_of(SETUP .. [[
      local ok, n = pcall(table.maxn, args)
      return ok and n or 0]]))
  end)

  it("do not show addresses as text", function()
    for _, name in ipairs { "args", "key", "intent", "Sales" } do
      local text = value_of(SETUP .. "return tostring(" .. name .. ")")
      assert.not_matches("0x", text)
    end
  end)

  it("have no length and no order", function()
    assert.equal("0", value_of(SETUP .. "return #args + #key + #intent"))
    all_refused(SETUP, { "return args < args", "return args + 1", "return args .. ''",
      "return args()", "return -key", "return key()" })
  end)

  it("are not retargeted to another row of the run", function()
    local image = image_of [[
      function M.Place(order)
        local line = order.Lines[1]
        local ok = pcall(function() line[0] = order[0] end)
        if ok then say("retargeted: " .. tostring(line)) else say("held") end
      end]]
    local reply, raw = stator.try(image, { { id = 1, wsid = 1, command = "shop.Place",
      args = { Number = 1, Text = "abc", Lines = { { What = "x", Count = 1 } } } } })
    assert.equal("held", reply[1].result and reply[1].result.S, raw[1])
  end)
end)

describe("forged rows, keys and intents", function()
  after_each(stator.clean)

  it("are no rows", function()
    local pieces = {}
    for _, number in ipairs { "0", "1", "2", "3", "-1", "0.5", "1.5", "0/0", "1/0", "-1/0", "2^53",
      "'1'", "1LL", "1ULL", "{}", "true", "nil", "1i" } do
      pieces[#pieces + 1] = ("state.update(Item { ID = 200001 }, { [0] = %s }, { Name = 'x' })")
        :format(number)
    end
    all_refused("", pieces)
  end)

  it("are no rows either for records that are not there", function()
    local reply = reply_of [[
      state.get_all { Item { ID = 777777 }, Item { ID = 777778 } }
      for n = 0, 10 do
        pcall(state.update, Item { ID = 777777 }, { [0] = n }, { Name = "x" })
      end]]
    assert.equal(200, reply.status)
  end)

  it("are no keys", function()
    local pieces = {}
    for _, key in ipairs { "{}", "{ [0] = 0 }", "{ [0] = {} }", "{ [0] = { [0] = 0 } }",
      "{ [0] = { [0] = 1, Year = 1 } }", "{ [0] = { [0] = 2, ID = 1 } }", "{ [0] = { [0] = -1 } }",
      "{ [0] = { [0] = 1e300 } }", "{ [0] = { [0] = 0/0 } }", "'x'", "5", "nil", "true", "5LL",
      "args", "Item", "state", "string", "function() end",
      "setmetatable({}, { __index = { [0] = { [0] = 0 } } })" } do
      for _, f in ipairs { "get", "must_get", "read", "new", "find_intent", "must_not_exist" } do
        pieces[#pieces + 1] = ("state.%s(%s)"):format(f, key)
      end
      pieces[#pieces + 1] = ("state.get_all { %s }"):format(key == "nil" and "1" or key)
    end
    all_refused("", pieces)
  end)

  it("are no keys when keys are mixed with rows", function()
    all_refused("local intent = state.new(Item {}, { Name = 'a' })", {
      "state.get(intent)", "state.get(args)", "state.update(Item { ID = 1 }, intent)",
      "state.update(Item { ID = 1 }, Item { ID = 1 })", "state.update(intent, args)",
      "state.update(Item { ID = 1 }, args)", "state.update(Item { ID = 1 }, Sales)" })
  end)

  it("does not run code of the extension while a key is written", function()
    local reply, raw = reply_of [[
      local key = Sales { Year = 1, Month = 1 }
      local big = Sales { Year = 1, Month = 1, Name = ("x"):rep(1e3) }
      local ok, behind = pcall(function() return key[0] end)
      if ok and type(behind) == "table" then
        setmetatable(behind, { __index = function(_, name)
          if name == "Name" then pcall(state.get, big) return ("y"):rep(4000) end
        end })
      end
      pcall(state.get, key)]]
    assert.equal(200, reply.status, raw)
  end)

  it("does not run code of the extension between writing a key and reading with it", function()
    local image = image_of [[
      function M.Ask()
        local options = setmetatable({}, { __index = function()
          pcall(state.read, Wide { Year = 1, A = 0x7ffffff000000001LL, B = 0x1000ffffff00LL,
            C = 0x1000ffffff00LL })
        end })
        local count = 0
        for _ in state.read(Sales { Year = 1 }, options) do count = count + 1 end
        say(count)
      end]]
    local replies, raw, err = stator.try(image,
      { { id = 1, wsid = 1, query = "shop.Ask", args = { N = 1 } } })
    assert.equal(1, #replies, err)
    local reply = replies[1]
    assert.is_true(reply.status == 500 or reply.rows[1].S == "0", raw[1])
  end)

  it("does not run code of the extension between asking for an intent and naming it", function()
    local reply, raw = reply_of [[
      local fields = setmetatable({ Name = "outer" }, { __index = function()
        state.new(Item {}, { Name = "inner" })
      end })
      state.new(Item {}, fields)
      local f, e = state.new(Item {}, { Name = "third" })
      return f.Name]]
    assert.equal(200, reply.status, raw)
    assert.equal("third", reply.result.S)
  end)

  it("takes the fields of tables and nothing of their metatables", function()
    local message = error_of [[
      state.new(Item {}, setmetatable({}, { __index = { Name = "a" } }))]]
    assert.matches("Name", message)
    assert.matches("Name but not Month", error_of [[
      state.get(Sales(setmetatable({ Year = 1, Name = "x" }, { __index = { Month = 1 } })))]])
  end)

  it("checks what __newindex and __index would let in", function()
    all_refused("", { "Sales { Year = {} }", "Sales { Year = setmetatable({}, {}) }",
      "Sales { [1] = 1 }", "Sales { [0] = {} }", "Sales { [-1] = 1 }", "Sales { [0/1] = 1 }",
      "Sales { [true] = 1 }", "Sales 'x'", "Sales(5.5)", "Sales(1, {})", "Sales(args)",
      "Sales(Sales)",
      "state.result { [0] = 1 }", "state.result(args)", "state.result 'x'",
      "state.new(Item {}, 5)", "state.new(Item {}, { [0] = 1 })",
      "state.new(Item {}, { [setmetatable({}, { __tostring = error })] = 1 })" })
  end)

  it("survives keys whose names are no text", function()
    local message = error_of [[
      return args[setmetatable({}, { __tostring = function() return {} end })] ]]
    assert.matches("shop/shop.lua:%d+: ", message)
    all_refused("", { "return args[nil]", "return args[0/0]", "return args[{}]",
      "return args[5LL]", "return args[args]", "args[nil] = 1",
      "local k = Sales {} k[nil] = 1", "local k = Sales {} k[0/0] = 1",
      "return args[setmetatable({}, { __tostring = function() error 'x' end })]",
      "return state[setmetatable({}, { __tostring = function() error {} end })]" })
  end)
end)

describe("what is kept past its run", function()
  after_each(stator.clean)

  local STALE = "is over"

  local function stale(first, second)
    local replies = steps({ first .. " return 'kept'",
      "local r, m = refused(function() " .. second .. " end) return r .. ' ' .. tostring(m)" })
    assert.equal("kept", replies[1].result and replies[1].result.S,
      stator.json.encode(replies[1]))
    assert.matches("^refused .*" .. STALE, replies[2].result.S)
  end

  it("is no row", function()
    stale("keep.row = args", "return keep.row.N")
  end)

  it("is no row for tostring", function()
    stale("keep.row = args", "return tostring(keep.row)")
  end)

  it("is no row for update", function()
    stale("keep.row = args", "state.update(Item { ID = 200001 }, keep.row)")
  end)

  it("is no intent to be read or written", function()
    stale("keep.intent = state.new(Item {}, { Name = 'a' })", "return keep.intent.Name")
    stale("keep.intent = state.new(Item {}, { Name = 'a' })", "keep.intent.Name = 'b'")
  end)

  it("is no iterator and no row of one", function()
    local read = "for k, v in state.read(Sales { Year = 1 }) do keep.k = keep.k or k end"
    local image = image_of([[
      function M.Project(event)
        for i = 1, 3 do state.new(Sales { Year = 1, Month = i, Name = "x" }).Amount = i end
      end
      function M.Ask(args)
        if args.N == 1 then
          ]] .. read .. [[

          keep.next = state.read(Sales { Year = 1 })
          keep.next()
        end
        local _, a = refused(function() return keep.k.Month end)
        local _, b = refused(keep.next)
        say(tostring(a) .. tostring(b))
      end]], { ["descriptor.json"] = '{ "engines": { "query": 1 } }' })
    local replies, raw = stator.try(image, { REQUEST,
      { id = 2, wsid = 1, query = "shop.Ask", args = { N = 1 } },
      { id = 3, wsid = 1, query = "shop.Ask", args = { N = 2 } } })
    assert.equal(200, replies[2].status, raw[2])
    assert.matches(STALE .. ".*" .. STALE, replies[3].rows[1].S)
  end)

  it("is no list of nested rows, no row of it, and no iterator over it", function()
    local image = image_of [[
      function M.Place(order)
        if not keep.list then
          keep.list, keep.line, keep.each = order.Lines, order.Lines[1], order.Lines:each()
          keep.each()
          return say "kept"
        end
        local r = {}
        r[1] = refused(function() return keep.list:len() end)
        r[2] = refused(function() return keep.list[1] end)
        r[3] = refused(function() return keep.line.What end)
        r[4] = refused(keep.each)
        r[5] = refused(tostring, keep.list)
        say(table.concat(r, " "))
      end]]
    local request = { id = 1, wsid = 1, command = "shop.Place",
      args = { Number = 1, Lines = { { What = "a", Count = 1 }, { What = "b", Count = 2 } } } }
    local replies, raw = stator.try(image, { request, request })
    assert.equal("kept", replies[1].result.S, raw[1])
    assert.equal("refused refused refused refused refused", replies[2].result.S)
  end)

  it("is a key, whose fields are the extension's own", function()
    local replies = steps { "keep.key = Sales { Year = 1, Month = 2, Name = 'x' } return 'kept'",
      "return keep.key.Month .. tostring(state.get(keep.key))" }
    assert.equal("2nil", replies[2].result.S)
  end)

  it("is a handle", function()
    local replies = steps { "keep.h = state.view 'Sales' return 'kept'",
      "return tostring(keep.h == state.view 'Sales')" }
    assert.equal("true", replies[2].result.S)
  end)

  it("does not become another row when there are as many again", function()
    local replies = steps { "keep.rows = { args } return 'kept'",
      "keep.rows[2] = args return refused(function() return keep.rows[1].N end)",
      "for i = 1, 50 do state.get_all { Item { ID = i }, Item { ID = i } } end\n"
        .. "return refused(function() return keep.rows[2].S end)" }
    assert.equal("refused", replies[2].result.S)
    assert.equal("refused", replies[3].result.S)
  end)

  it("does not come to life by a coroutine that was left inside of a run", function()
    local replies = steps { [[
      keep.co = coroutine.create(function()
        local row = args
        while true do coroutine.yield(row.N) end
      end)
      local _, n = coroutine.resume(keep.co)
      return n]], [[
      local ok, message = coroutine.resume(keep.co)
      return tostring(ok) .. tostring(message)]] }
    assert.equal("1", replies[1].result.S)
    assert.matches("^false.*" .. STALE, replies[2].result.S)
  end)

  it("is every variable of the module with frozen reset", function()
    local replies = steps { "keep.n = (keep.n or 0) + 1 return keep.n",
      "keep.n = (keep.n or 0) + 1 return keep.n" }
    assert.equal("2", replies[2].result.S)
  end)

  it("is no state at all while a module loads", function()
    local image = image_of [[
      local r = {}
      local key = Sales { Year = 1, Month = 1, Name = "x" }
      r[1] = refused(state.get, key)
      r[2] = refused(state.new, Item {}, { Name = "x" })
      r[3] = refused(state.read, key)
      r[4] = refused(state.get_all, { key })
      r[5] = refused(state.result, { N = 1 })
      r[6] = refused(state.log, "info", "x")
      r[7] = refused(state.find_intent, key)
      r[8] = refused(state.must_get, key)
      function M.Do() say(table.concat(r, " ")) end]]
    local reply, raw = stator.try(image, { REQUEST })
    assert.equal(("refused "):rep(7) .. "refused", reply[1] and reply[1].result.S, raw[1])
  end)
end)

describe("numbers that are cdata", function()
  after_each(stator.clean)

  it("are integers and nothing else", function()
    assert.equal("ffi", value_of "return getmetatable(0xffLL)")
    all_refused("local n = 0xffLL", { "return n.x", "n.x = 1", "return n[0]", "n[0] = 1",
      "return n()", "return #n", "return n .. {}", "return n.__index", "setmetatable(n, {})",
      "rawget(n, 0)", "rawset(n, 0, 1)", "next(n)", "pairs(n)", "unpack(n)", "return n + {}",
      "return n + 'x'", "return 1i + 1LL", "return (1i).re2", "return n < 'x'" })
  end)

  it("keep 64 bits through fields, text and arithmetic", function()
    local reply, raw = reply_of [[
      state.result { N = 0x7fffffffffffffffLL - 1, S = tostring(2LL ^ 62) }]]
    assert.equal(200, reply.status)
    assert.matches('"N":9223372036854775806', raw)
    assert.equal("4611686018427387904LL", reply.result.S)
  end)

  it("are refused where they do not fit", function()
    all_refused("", { "Sales { Year = 0x80000000LL }", "Sales { Year = -0x80000001LL }",
      "Sales { Year = 0xffffffffffffffffULL }", "state.result { N = 0x8000000000000000ULL }",
      "Sales { Year = 1i }", "Sales { Year = 1.5 }", "Sales { Year = 0/0 }",
      "Sales { Year = 1/0 }", "state.result { N = 2^63 }", "state.result { N = 1e300 }",
      "Item { ID = 0 }", "Item { ID = -1 }", "Item { ID = 0LL }", "Item { ID = 0ULL }",
      "Item { ID = '1' }", "Sales { Name = 5 }" })
  end)

  it("are accepted where they fit", function()
    assert.equal("-2147483648 2147483647", value_of [[
      local a, b = Sales { Year = -0x80000000LL }, Sales { Year = 0x7fffffffULL }
      return ("%d %d"):format(tonumber(a.Year), tonumber(b.Year))]])
  end)

  it("index nested rows no better than other keys", function()
    local image = image_of [[
      function M.Place(order)
        local lines, r = order.Lines, {}
        for i, k in ipairs { 0, -1, 3, 0.5, 1.5, 0 / 0, 1 / 0, -1 / 0, 2 ^ 31, 2 ^ 32, 2 ^ 32 + 1,
          2 ^ 53 } do
          if lines[k] ~= nil then r[#r + 1] = tostring(k) end
        end
        for _, k in ipairs { 1LL, 1ULL, "1", true, lines } do
          if pcall(function() return lines[k] end) then r[#r + 1] = tostring(k) end
        end
        say(table.concat(r, " ") .. lines:len() .. lines[2].What)
      end]]
    local reply, raw = stator.try(image, { { id = 1, wsid = 1, command = "shop.Place",
      args = { Number = 1, Lines = { { What = "a", Count = 1 }, { What = "b", Count = 2 } } } } })
    assert.equal("2b", reply[1].result and reply[1].result.S, raw[1])
  end)
end)

describe("control flow", function()
  after_each(stator.clean)

  it("does not leave a run by yielding", function()
    assert.matches("yield", (error_of "coroutine.yield(1)"))
    assert.matches("yield", (error_of "pcall(coroutine.yield, 1) coroutine.yield(2)"))
  end)

  it("yields inside of coroutines, across state and iterators too", function()
    assert.equal("nil,1,nil,2,", value_of [[
      local co = coroutine.wrap(function()
        for i = 1, 2 do
          coroutine.yield(state.get(Sales { Year = 1, Month = i, Name = "x" }))
          coroutine.yield(i)
        end
      end)
      local r = ""
      for _ = 1, 4 do r = r .. tostring(co()) .. "," end
      return r]])
  end)

  it("yields from __tostring inside of an error of the host without harm", function()
    local reply, raw = reply_of [[
      local name = setmetatable({}, { __tostring = function()
        coroutine.yield "out"
        return "x"
      end })
      local co = coroutine.create(function() return args[name] end)
      coroutine.resume(co)
      state.get(Sales { Year = 1, Month = 1, Name = "y" })
      coroutine.resume(co)
      return args.S]]
    assert.equal(200, reply.status, raw)
    assert.equal("five", reply.result.S)
  end)

  it("ends recursion with an error", function()
    local message, code = error_of "local function f(n) return 1 + f(n + 1) end return f(1)"
    assert.equal("NESTING_LIMIT", code)
    assert.matches("the limit of the Lua stack is exceeded", message)
  end)

  -- Each of these recurs on the C stack, or could.
  for name, code in pairs {
    pcall = "local function f(n) return pcall(f, n + 1) end f(1)",
    xpcall = "local function f() return xpcall(f, f) end f()",
    ["coroutine.wrap"] = "local function f() return coroutine.wrap(f)() end f()",
    ["coroutine.resume"] = [[local function f() return coroutine.resume(coroutine.create(f)) end
      f()]],
    ["string.gsub"] = 'local function f() return (("x"):gsub("x", f)) end f()',
    ["string.gsub with __index"] = [[local t = setmetatable({}, {})
      getmetatable(t).__index = function() return (("x"):gsub("x", t)) end
      return t.x]],
    ["string.format"] = [[local t = setmetatable({}, { __tostring = function(t)
      return ("%s"):format(t) .. "" end })
      return tostring(t)]],
    ["table.sort"] = [[local t = { 1, 2, 3, 4 }
      local function f() table.sort(t, f) return false end
      f()]],
    ["table.sort with __lt"] = [[local t = setmetatable({}, {})
      getmetatable(t).__lt = function() table.sort { t, t, t } return true end
      return t < t]],
    __index = [[local t = setmetatable({}, {})
      getmetatable(t).__index = function(s, k) return s[k .. "x"] end
      return #t.x]],
    __tostring = [[error(setmetatable({}, { __tostring = function(s) return "a" .. tostring(s) end
      }))]],
    load = 'local function f() return load "return ..." (f()) end f()',
    require = "local function f() return select(2, pcall(require, f())) end f()",
    ["fields of keys"] = [[local function f()
        return args[setmetatable({}, { __tostring = f })]
      end
      f()]],
    ["gsub inside of coroutines"] = [[
      local function g(n)
        if n == 0 then return coroutine.wrap(function() return g(500) end)() end
        return (("x"):gsub("x", function() return g(n - 1) end))
      end
      g(500)]],
  } do
    it("ends recursion through " .. name, function()
      local replies = steps { code, code, "return 'alive'" }
      assert.equal("alive", replies[3].result and replies[3].result.S)
      for i = 1, 2 do
        local code_of = replies[i].error and replies[i].error.code
        assert.is_true(code_of == nil or code_of == "EXTENSION_FAILED"
          or code_of == "MEMORY_LIMIT" or code_of == "NESTING_LIMIT", code_of)
      end
    end)
  end

  it("does not forget a limit that pcall swallows", function()
    local image = image_of [[
      function M.Do()
        for _ = 1, 2000 do pcall(state.log, "none", "x") end
        return "swallowed"
      end]]
    local reply = stator.try(image, { REQUEST })[1]
    assert.equal("INTENTS_LIMIT", reply.error and reply.error.code)
  end)

  it("fails a run by its own errors only, not by those it has caught", function()
    assert.equal("five", value_of [[
      pcall(state.get, 5) pcall(state.new, Sales { Year = 1 }, {}) pcall(function() args.x = 1 end)
      xpcall(function() return args.y end, function(m) return m end)
      return args.S]])
  end)

  it("goes on after an intent with a wrong field was caught", function()
    local reply, raw = reply_of [[
      pcall(state.new, Item {}, { Wrong = 1 })
      pcall(state.new, Item {}, { Name = {} })
      return "fine"]]
    assert.equal(200, reply.status, raw)
    assert.equal("fine", reply.result.S)
  end)
end)

describe("errors of extensions", function()
  after_each(stator.clean)

  local function failed(body)
    local reply, raw = reply_of(body)
    assert.equal(500, reply.status, raw)
    assert.equal("EXTENSION_FAILED", reply.error.code)
    return reply.error.message, raw
  end

  it("are told with file and line", function()
    assert.matches("^shop%.Do: shop/shop%.lua:%d+: oops$", (failed "error 'oops'"))
  end)

  it("are told as they are at level 0, and never blame the host's files", function()
    assert.equal("shop.Do: oops", (failed "error('oops', 0)"))
    for level = 1, 20 do
      assert.not_matches("stator%.", (failed(("error('oops', %d)"):format(level))))
    end
  end)

  for name, code in pairs { ["a table"] = "{}", ["nothing"] = "nil", ["a boolean"] = "true",
    ["a function"] = "function() end", ["an integer"] = "5LL",
    ["a coroutine"] = "coroutine.create(function() end)" } do
    it("may be " .. name, function()
      assert.matches("raised a", (failed(("error(%s)"):format(code))))
    end)
  end

  it("may have a __tostring", function()
    assert.matches("text of mine",
      (failed "error(setmetatable({}, { __tostring = function() return 'text of mine' end }))"))
  end)

  it("may have a __tostring that fails, or gives no text", function()
    for _, code in ipairs { "error 'inner'", "error {}", "error()", "return nil", "return {}",
      "return 5", "coroutine.yield()" } do
      assert.matches("raised a table",
        (failed(("error(setmetatable({}, { __tostring = function() %s end }))"):format(code))))
    end
  end)

  it("may be numbers", function()
    assert.matches("shop/shop%.lua:%d+: 5$", (failed "error(5)"))
  end)

  it("may be rows", function()
    assert.matches('shop%.Args {N=5, S="five"}', (failed "error(args)"))
  end)

  it("may have NULs, newlines and what is not UTF-8", function()
    for _, text in ipairs { [[a\0b]], [[a\nb\r\t\"\\]], [[a\255\254]], [[\226\130]],
      [[\237\160\128]], [[\192\128]], [[\244\144\128\128]], [[\127\1\27]] } do
      local message, raw = failed(('error "%s"'):format(text))
      assert.is_string(message)
      assert.not_matches("[%z\1-\31]", raw)
      local iconv = stator.folder() .. "/reply"
      stator.write(iconv, raw)
      assert.equal(0, (stator.shell("iconv -f UTF-8 -t UTF-16 " .. iconv .. " >/dev/null")))
    end
  end)

  it("may be very long, and are cut between characters", function()
    for _, unit in ipairs { "x", "\195\164", "\226\130\172", "\240\159\152\128" } do
      for pad = 0, 3 do
        local _, raw = failed(('error(("x"):rep(%d) .. ("%s"):rep(100000))'):format(pad, unit))
        assert.is_true(#raw < 4096)
        local iconv = stator.folder() .. "/reply"
        stator.write(iconv, raw)
        assert.equal(0, (stator.shell("iconv -f UTF-8 -t UTF-16 " .. iconv .. " >/dev/null")))
      end
    end
  end)

  it("do not break the lines of the log", function()
    local image = image_of [[function M.Do()
      state.log("info", "one\nerror shop.Do: forged\r\0\27[31m")
    end]]
    local replies, _, err = stator.try(image, { REQUEST })
    assert.equal(200, replies[1].status)
    assert.not_matches("\nerror shop%.Do: forged", "\n" .. err)
    assert.not_matches("\27", err)
  end)

  it("while a module loads are problems of the image, whatever they are", function()
    for _, code in ipairs { "error 'x'", "error {}", "error()", "error(5LL)",
      "error(setmetatable({}, { __tostring = function() return {} end }))",
      "error(setmetatable({}, { __tostring = function() return nil end }))",
      "error(setmetatable({}, { __tostring = function() error {} end }))",
      "error(setmetatable({}, { __tostring = function() error 'a\\0b' end }))",
      "coroutine.yield()", "local function f() return 1 + f() end f()", "require 'shop'",
      "error(('x'):rep(1e6))", "setmetatable(M, { __index = error }) M.Do = nil" } do
      local image = image_of("if true then " .. code .. " end")
      local _, raw, err, exit = stator.try(image, { REQUEST })
      assert.same({}, raw, code)
      assert.equal(1, exit, code)
      assert.matches("shop%.%a+:%d+:%d+: ", err)
      assert.not_matches("stator%.%a+:%d", err)
    end
  end)

  it("of a module are told again when it is required again", function()
    local image = image_of([[
      function M.Do()
        local _, a = pcall(require, "broken")
        local _, b = pcall(require, "broken")
        say(tostring(a) .. "|" .. tostring(b))
      end]], { ["pkg/shop/broken.lua"] = "error 'broken it is'" })
    local reply = stator.try(image, { REQUEST })[1]
    assert.matches("broken it is.*|.*broken it is", reply.result.S)
  end)
end)

describe("the code of the host", function()
  after_each(stator.clean)

  it("withstands compiled code that changes its mind", function()
    assert.equal("fine", value_of [[
      local key = Sales { Year = 1, Month = 1, Name = "x" }
      local wrong = { 1.5, "x", {}, 2 ^ 40, true, 0 / 0 }
      for i = 1, 2000 do
        key.Year, key.Month, key.Name = i, i % 12, ("n"):rep(i % 50)
        if state.get(key) ~= nil then return "found" end
        if i % 100 == 0 then
          local v = wrong[i / 100 % #wrong + 1]
          if pcall(function() key.Year = v end) then return "took " .. tostring(v) end
        end
        if key.Year ~= i or args.N ~= 5 or args.S ~= "five" then return "lost" end
      end
      return "fine"]])
  end)

  it("gives each row of a type its own bytes, in compiled code too", function()
    local image = image_of [[
      function M.Place(order)
        local sum, text = 0, {}
        for _ = 1, 200 do
          for i, line in order.Lines:each() do
            sum = sum + line.Count * i
            text[i] = line.What
          end
        end
        say(sum .. table.concat(text))
      end]]
    local lines = {}
    for i = 1, 20 do lines[i] = { What = string.char(96 + i), Count = i } end
    local reply = stator.try(image, { { id = 1, wsid = 1, command = "shop.Place",
      args = { Number = 1, Lines = lines } } })[1]
    assert.equal(200 * 2870 .. "abcdefghijklmnopqrst", reply.result.S)
  end)

  it("writes keys of every length", function()
    assert.equal("fine", value_of [[
      for i = 0, 20 do
        for d = -2, 2 do
          local n = math.max(0, math.min(1000, 2 ^ i + d))
          local key = Sales { Year = 1, Month = 1, Name = ("x"):rep(n) }
          if state.get(key) ~= nil then return n end
        end
      end
      return "fine"]])
  end)

  it("refuses text that is longer than the field of a key", function()
    all_refused("", { "state.get(Sales { Year = 1, Month = 1, Name = ('x'):rep(1001) })" })
  end)

  it("refuses nonsense as options, names, levels and lists", function()
    local image = image_of [[
      function M.Ask()
        local key, r = Sales { Year = 1 }, {}
        for _, o in ipairs { 5, "x", { reverse2 = true }, { limit = -1 }, { limit = 0.5 },
          { limit = 0 / 0 }, { limit = 1 / 0 }, { limit = 2 ^ 32 }, { limit = "5" }, { [1] = 1 },
          { limit = 5LL } } do
          if pcall(state.read, key, o) then r[#r + 1] = tostring(o) end
        end
        say(#r)
      end]]
    local reply = stator.try(image, { { id = 1, wsid = 1, query = "shop.Ask",
      args = { N = 1 } } })[1]
    assert.equal("0", reply.rows[1].S)
    all_refused("", { "state.view()", "state.view(5)", "state.view {}", "state.view ''",
      "state.view 'shop.'", "state.view '.Sales'", "state.view 'Sale'", "state.record 'Sales'",
      "state.view 'Item'", "state.storage 'sys.View'", "state.storage('sys.WLog', 'Sales')",
      "state.storage 'sys.Nothing'", "state.storage(nil)", "state.storage('sys.View', 5)",
      "state.view(('x'):rep(1e6))", "state.log('loud', 'x')", "state.log({}, 'x')",
      "state.log(nil, 'x')", "state.get_all(5)", "state.get_all { 5 }", "state.get_all(nil)",
      "state.nothing()", "state.open()", "state.begin()", "state.finish()", "state.api()" })
  end)

  it("takes no names with a NUL for others", function()
    all_refused("", { "state.view 'Sales\\0x'", "state.storage 'sys.WLog\\0'",
      "state.record 'shop.Item\\0.x'" })
  end)

  it("survives many commands that fail in turn", function()
    local requests = {}
    for i = 1, 200 do
      requests[i] = { id = i, wsid = i % 3 + 1, command = "shop.Do", args = { N = i % 7 } }
    end
    local image = image_of [[
      local kinds = {
        function() error {} end, function() return args.x end, function() state.get(5) end,
        function() state.new(Item {}, {}) end, function() coroutine.yield() end,
        function() state.result { S = 5 } end,
      }
      function M.Do(a) local f = kinds[a.N] if f then f() end end]]
    local replies, _, err, code = stator.try(image, requests)
    assert.equal(0, code, err)
    assert.equal(200, #replies)
    for i, reply in ipairs(replies) do
      assert.equal(i % 7 == 0 and 200 or 500, reply.status)
    end
  end)
end)
