-- The memory limit: whatever a run does to get more, it fails with MEMORY_LIMIT, the
-- next one is served, and nothing is left behind.

local stator = require "support.stator"
local watch = require "support.watch"

local SCHEMA = [[
TABLE Item INHERITS sys.CDoc ( Name varchar(100) NOT NULL );
TYPE Args ( N int64, S varchar(65535) );
TYPE Out ( N int64, S varchar(65535) );
VIEW Sales (
  Year int32 NOT NULL, Name varchar(60000) NOT NULL, Amount int64, PRIMARY KEY ((Year), Name)
) AS RESULT OF Project;
EXTENSION ENGINE LUA (
  COMMAND Do(Args) STATE(sys.Record(Item), sys.View(Sales))
    INTENTS(sys.Record(Item), sys.Result) RETURNS Out;
  COMMAND Fill(Args) RETURNS Out;
  SYNC PROJECTOR Project AFTER EXECUTE ON Fill INTENTS(sys.View(Sales));
  QUERY Ask(Args) STATE(sys.View(Sales)) RETURNS Out;
);]]

local MODULE = [[
local Sales, Item = state.view "Sales", state.record "Item"
_ = Sales, Item
function M.Do() end
function M.Ask() end
function M.Fill() end
function M.Project() end
]]

local function image_of(module, megabytes, more, limits)
  local files = { ["descriptor.json"] = ('{ "engines": { "query": 1 }, "limits": '
    .. '{ "memoryMB": %d, %s "breaches": 1000000, "coroutines": 1000000000, "timeMs": '
    .. '{ "command": 60000, "query": 60000, "projector": 60000 } } }'):format(megabytes or 8,
    limits and limits .. "," or "") }
  for path, text in pairs(more or {}) do files[path] = text end
  return stator.shop(SCHEMA, MODULE .. module, files)
end

local function request(n, kind)
  return { id = n, wsid = 1, [kind or "command"] = kind and "shop.Ask" or "shop.Do",
    args = { N = n } }
end

local function ended_by_limit(reply, raw)
  assert.equal(500, reply and reply.status, raw)
  assert.equal("MEMORY_LIMIT", reply.error.code, raw)
  assert.matches("^shop%.%a+: ", reply.error.message)
end

-- Runs the code as a command, twice, with a good command before and after each.
local function breaches(code, megabytes, more)
  local image = image_of("local function bomb(args)\n" .. code .. [[

  end
  local runs = 0
  function M.Do(args)
    runs = runs + 1
    if args.N % 2 == 0 then bomb(args) end
    state.result { N = args.N, S = "run " .. runs }
  end]], megabytes, more)
  local replies, raw, err, exit = stator.try(image,
    { request(1), request(2), request(3), request(4), request(5) })
  assert.equal(0, exit, err)
  assert.equal(5, #replies, err)
  for i = 1, 5, 2 do
    assert.equal(200, replies[i].status, raw[i])
    assert.equal("run 1", replies[i].result.S)
  end
  ended_by_limit(replies[2], raw[2])
  ended_by_limit(replies[4], raw[4])
end

local BOMBS = {
  ["an array"] = "local t = {} for i = 1, 1e9 do t[i] = i end",
  ["a hash"] = 'local t = {} for i = 1, 1e9 do t["key " .. i] = true end',
  ["sparse numbers"] = "local t = {} for i = 1, 1e9 do t[i * 1000003.5] = i end",
  ["tables"] = "local t = {} for i = 1, 1e9 do t = { t } end",
  ["many tables"] = "local t = {} for i = 1, 1e9 do t[#t + 1] = { i, i, i, i, x = i } end",
  ["a string that doubles"] = 'local s = "x" for _ = 1, 100 do s = s .. s end',
  ["a string that grows"] = 'local s = ("x"):rep(1e6) for i = 1, 1e9 do s = s .. i end',
  ["string.rep"] = 'local t = {} for i = 1, 1e9 do t[i] = ("x" .. i):rep(1000) end',
  ["one string.rep"] = 'return ("x"):rep(1e9)',
  ["string.format"] = 'local s = "x" for _ = 1, 100 do s = ("%s%s"):format(s, s) end',
  ["string.gsub"] = 'local s = "x" for _ = 1, 100 do s = s:gsub(".", "xx") end',
  ["string.reverse"] = [[local t = {}
    for i = 1, 1e9 do t[i] = ("x" .. i):rep(500):reverse():upper() end]],
  ["string.char"] = [[local t = {}
    for i = 1, 1e9 do t[i] = string.char(i % 256, i / 256 % 256, i / 65536 % 256):rep(99) end]],
  ["table.concat"] = [[local t = {}
    for _ = 1, 1e9 do t[#t + 1] = "x" t[#t + 1] = table.concat(t) end]],
  ["closures"] = "local t = {} for i = 1, 1e9 do t[i] = function() return i end end",
  ["coroutines"] = [[local t = {}
    for i = 1, 1e9 do t[i] = coroutine.wrap(function() coroutine.yield(i) end) t[i]() end]],
  ["integers of 64 bits"] = "local t = {} for i = 1, 1e9 do t[i] = i + 0LL end",
  ["keys"] = "local t = {} for i = 1, 1e9 do t[i] = Sales { Year = i } end",
  ["loaded text"] = [[local t = {}
    for i = 1, 1e9 do t[i] = load("local x = " .. i .. " return x") end]],
  ["a long text to load"] = 'return load("return {" .. ("{},"):rep(3e5) .. "}")()',
  ["an error storm"] = [[local t = {}
    for i = 1, 1e9 do local _, q = pcall(error, { i }) t[#t + 1] = q end]],
  ["errors with text"] = [[local t = {}
    for i = 1, 1e9 do local _, q = pcall(error, "text " .. i) t[#t + 1] = q end]],
  ["errors of the host"] = [[local t = {}
    for i = 1, 1e9 do
      local _, q = pcall(function() return args["field " .. i] end) t[#t + 1] = q
    end]],
  ["an error handler"] = [[local t = {}
    for i = 1, 1e9 do xpcall(error, function(m) t[#t + 1] = { m, i } end) end]],
  ["arguments"] = [[local t = {}
    for i = 1, 1e9 do t[i] = { unpack({}, 1, 200) } t[i][300] = i end]],
  ["deep recursion with tables"] = [[local t = {}
    local function f(n) t[#t + 1] = { n, n, n, n } return f(n + 1) end f(1)]],
  ["sorting"] = [[local t = {}
    for i = 1, 100 do t[i] = i end
    local kept = {}
    table.sort(t, function(a, b) for i = 1, 1e5 do kept[#kept + 1] = { i } end return a < b end)]],
  ["gsub's function"] = [[local kept = {}
    return (("x"):rep(1e6):gsub("x", function() kept[#kept + 1] = { {}, {}, {} } end))]],
  ["a metamethod"] = [[local kept = {}
    local t = setmetatable({}, { __index = function(_, k) kept[#kept + 1] = { k } return k end })
    for i = 1, 1e9 do local _ = t[i] end]],
  ["an iterator"] = [[local kept = {}
    for i in function(_, n) kept[#kept + 1] = { n } return (n or 0) + 1 end do kept[i] = i end]],
  ["globals"] = 'for i = 1, 1e9 do _G["global " .. i] = i end',
}

describe("the memory limit", function()
  after_each(stator.clean)

  for name, code in pairs(BOMBS) do
    it("ends " .. name, function() breaches(code) end)
  end

  for name, code in pairs(BOMBS) do
    it("ends " .. name .. " inside of pcall and a coroutine, in less memory", function()
      breaches([[
        local co = coroutine.wrap(function(args)
          for _ = 1, 9 do pcall(function() ]] .. code .. [[ end) end
        end)
        co(args)]], 1 + #name % 4)
    end)
  end

  it("ends what LuaJIT itself finds too long", function()
    breaches 'local s = ("x"):rep(1e5) return s:rep(1e5)'
  end)

  it("ends the __tostring of an error", function()
    breaches [[error(setmetatable({}, { __tostring = function()
      local t = {} for i = 1, 1e9 do t[i] = { i } end end }))]]
  end)

  for _, megabytes in ipairs { 1, 2, 3, 4, 5, 6, 7, 8 } do
    it(("holds at %d MB"):format(megabytes), function()
      breaches("local t = {} for i = 1, 1e9 do t[i] = { i } end", megabytes)
      breaches('local s = "x" for _ = 1, 100 do s = s .. s end', megabytes)
    end)
  end

  it("ends what is not compiled as well as what is", function()
    -- A loop of a few big steps is over before it is hot; varargs and closures in a
    -- loop are not compiled at all.
    breaches [[
      local t = {}
      for i = 1, 20 do t[i] = (tostring(i)):rep(1e6) end]]
    breaches [[
      local t = {}
      local function f(...) t[#t + 1] = function(...) return ... end return f, ... end
      for i = 1, 1e9 do f(i, {}, i) end]]
    breaches [[
      local function grow(t, n) for i = n, n + 9 do t[i] = { i } end return grow(t, n + 10) end
      grow({}, 1)]]
  end)

  it("lets a run have what it needs below it", function()
    local image = image_of([[
      function M.Do(args)
        local t = {}
        for i = 1, 20000 do t[i] = { i } end
        state.result { N = #t }
      end]])
    local requests = {}
    for i = 1, 200 do requests[i] = request(i) end
    local replies, raw = stator.try(image, requests)
    for i = 1, 200 do assert.equal(200, replies[i].status, raw[i]) end
  end)

  it("names the limit, the extension and the line", function()
    local image = image_of "function M.Do()\nlocal t = {}\nfor i = 1, 1e9 do t[i] = {} end\nend"
    local message = stator.try(image, { request(1) })[1].error.message
    assert.matches("8388608 bytes", message)
    assert.matches("^shop%.Do: ", message)
    assert.matches("shop/shop%.lua:%d+: ", message)
  end)

  local LINES = {
    ["what is compiled"] = { 3, "local t = {}\nfor i = 1, 1e9 do\nt[i] = {} end" },
    ["what is not"] = { 3, "local t = {}\nfor i = 1, 1e9 do\nt[#t + 1] = function() end\nend" },
    ["a function of a library"] = { 2, "local s = ('x'):rep(1e6)\ns = s:rep(100)\nreturn s" },
    ["a coroutine, by who resumed it"] = { 4, "local co = coroutine.wrap(function()\n"
      .. "local s = ('x'):rep(1e6) s = s:rep(100) return s end)\n\nco()" },
  }
  for what, l in pairs(LINES) do
    it("names the line of " .. what, function()
      local image = image_of("function M.Do()\n" .. l[2] .. "\nend",
        8, nil, '"stringBytes": 1000000000')
      local message = stator.try(image, { request(1) })[1].error.message
      local line = message:match "shop/shop%.lua:(%d+): "
      assert.near(9 + l[1], tonumber(line), what == "what is compiled" and 1 or 0, message)
    end)
  end

  it("holds for queries, whose open iterators are closed", function()
    local image = image_of [[
      function M.Fill() end
      function M.Project(event)
        for i = 1, 50 do state.new(Sales { Year = 1, Name = "n" .. i }).Amount = i end
      end
      function M.Ask(args)
        local t, count = {}, 0
        for _, outer in state.read(Sales { Year = 1 }) do
          for _, inner in state.read(Sales { Year = 1 }) do
            count = count + outer.Amount * inner.Amount
            if args.N % 2 == 0 then for i = 1, 1e5 do t[#t + 1] = { i } end end
          end
        end
        state.result { N = count }
      end]]
    local requests = { { id = 0, wsid = 1, command = "shop.Fill", args = { N = 1 } } }
    for i = 1, 60 do requests[i + 1] = request(i, "query") end
    local replies, raw, err, exit = stator.try(image, requests)
    assert.equal(0, exit, err)
    assert.equal(200, replies[1].status, raw[1])
    for i = 1, 60 do
      if i % 2 == 0 then
        ended_by_limit(replies[i + 1], raw[i + 1])
      else
        assert.equal(1275 * 1275, replies[i + 1].rows[1].N)
      end
    end
  end)

  it("fails the command of a sync projector, and nothing of it remains", function()
    local image = image_of [[
      function M.Project(event)
        state.new(Sales { Year = 1, Name = "n" }).Amount = 1
        local t = {}
        for i = 1, 1e9 do t[i] = { i } end
      end
      function M.Ask()
        local n = 0
        for _ in state.read(Sales { Year = 1 }) do n = n + 1 end
        state.result { N = n }
      end]]
    local data = stator.folder()
    local replies, raw = stator.run(image, data,
      { { id = 1, wsid = 1, command = "shop.Fill", args = { N = 1 } }, request(2, "query") })
    ended_by_limit(replies[1], raw[1])
    assert.equal(0, replies[2].rows[1].N)
    assert.same({}, (stator.dump(image, data, "wlog --wsid 1")))
  end)

  it("drops the intents and records of a run that passes it", function()
    local image = image_of [[
      function M.Do(args)
        for i = 1, 10 do state.new(Item {}, { Name = "i" .. i }) end
        local t = {}
        for i = 1, 1e9 do t[i] = { i } end
      end]]
    local data = stator.folder()
    local replies, raw = stator.run(image, data, { request(1), request(2) })
    ended_by_limit(replies[1], raw[1])
    ended_by_limit(replies[2], raw[2])
    assert.same({}, (stator.dump(image, data, "record shop.Item")))
  end)

  it("holds while a module loads", function()
    for _, code in ipairs { "local t = {} for i = 1, 1e9 do t[i] = { i } end",
      'local s = "x" for _ = 1, 100 do s = s .. s end',
      "pcall(function() local t = {} for i = 1, 1e9 do t[i] = { i } end end)",
      [[local t = {} for i = 1, 1e9 do local _, q = pcall(error, { i }) t[#t + 1] = q end]] } do
      local _, raw, err, exit = stator.try(image_of(code), { request(1) })
      assert.same({}, raw)
      assert.equal(1, exit)
      assert.matches("memory limit", err)
    end
  end)

  it("holds while a module is required in a run", function()
    breaches('require "big"', 4, { ["pkg/shop/big.lua"] =
      "local t = {} for i = 1, 1e9 do t[i] = { i } end" })
  end)

  it("holds for modules that are long", function()
    local _, _, err, exit = stator.try(image_of("local t = {" .. ("{ 1 },"):rep(3e5) .. "}", 2),
      { request(1) })
    assert.equal(1, exit)
    assert.matches("main function has more than 65536 constants", err)
  end)

  it("counts what module variables keep, and says so until they are gone", function()
    local image = image_of [[
      local kept = {}
      function M.Do(args)
        for i = 1, 20000 do kept[#kept + 1] = { i, args.N } end
        state.result { N = #kept }
      end]]
    local requests = {}
    for i = 1, 40 do requests[i] = request(i) end
    local replies, raw, err, exit = stator.try(image, requests)
    assert.equal(0, exit, err)
    local limits, first = 0, 0
    for i = 1, 40 do
      if replies[i].status == 200 then
        if replies[i].result.N == 20000 then first = first + 1 end
      else
        limits = limits + 1
        ended_by_limit(replies[i], raw[i])
      end
    end
    assert.is_true(limits > 1)
    assert.is_true(first == limits or first == limits + 1)
  end)

  it("counts what the host holds for a run", function()
    local long = [[local key = Sales { Year = 1, Name = ("x"):rep(60000) } ]]
    breaches(long .. "for _ = 1, 3000 do state.get(key) end")
    breaches(long .. "for _ = 1, 3000 do pcall(state.get, key) end")
    breaches(long .. [[
      local keys = {}
      for i = 1, 3000 do keys[i] = key end
      state.get_all(keys)]])
  end)

  it("counts what the host holds for a query", function()
    local image = image_of [[
      function M.Ask(args)
        local key = Sales { Year = 1, Name = ("x"):rep(60000) }
        if args.N % 2 == 0 then for _ = 1, 3000 do pcall(state.read, key) end end
        state.result { N = args.N }
      end]]
    local replies, raw, _, exit = stator.try(image, { request(1, "query"), request(2, "query"),
      request(3, "query") })
    assert.equal(0, exit)
    assert.equal(200, replies[1].status)
    ended_by_limit(replies[2], raw[2])
    assert.equal(200, replies[3].status)
  end)

  it("is not passed by by text that no key can have", function()
    local image = image_of [[
      function M.Do(args)
        local key = Sales { Year = 1 }
        local ok = pcall(function() key.Name = ("x"):rep(1e6) state.get(key) end)
        state.result { S = ok and "taken" or "refused" }
      end]]
    assert.equal("refused", stator.try(image, { request(1) })[1].result.S)
  end)
end)

-- Machine code ------------------------------------------------------------------------

-- Enough loops that all compiled code is thrown away and its memory given back.
local MANY_TRACES = [[
  for i = 1, 3000 do
    load("local x = 0 for i = 1, 100 do x = x + i * " .. i .. " end return x")()
  end
]]

describe("machine code of a state that is dropped", function()
  after_each(stator.clean)

  it("is found where it went when there was too much of it", function()
    breaches(MANY_TRACES .. "local t = {} for i = 1, 1e9 do t[i] = { i } end", 16)
  end)

  it("is found also when there is none at the time", function()
    breaches([[
      for i = 1, 995 + args.N do
        load("local x = 0 for i = 1, 100 do x = x + i * " .. i .. " end return x")()
      end
      return ("x"):rep(1e9)]], 16)
  end)

  it("does not stop later runs from being right", function()
    local image = image_of([[
      function M.Do(args)
        ]] .. MANY_TRACES .. [[

        local sum = 0
        for i = 1, 1e5 do sum = sum + i % 7 end
        if args.N % 3 == 0 then local t = {} for i = 1, 1e9 do t[i] = { i } end end
        state.result { N = sum }
      end]], 16)
    local requests = {}
    for i = 1, 12 do requests[i] = request(i) end
    local replies, raw, err, exit = stator.try(image, requests)
    assert.equal(0, exit, err)
    for i = 1, 12 do
      if i % 3 == 0 then
        ended_by_limit(replies[i], raw[i])
      else
        assert.equal(300000, replies[i].result.N, raw[i])
      end
    end
  end)
end)

-- What is left behind -------------------------------------------------------------------

local function requests_of(count)
  local list = {}
  for i = 1, count do list[i] = request(i) end
  return list
end

-- Sanitizers keep what was freed for a while.
local MORE_KB = stator.sanitized and 65536 or 2048

local function stays_flat(image, count)
  local before, after, replies = watch(image, requests_of(20), requests_of(count))
  for i, reply in ipairs(replies) do ended_by_limit(reply, i) end
  assert.equal(count + 20, #replies)
  assert.is_true(after.maps <= before.maps + 4,
    ("%d mappings, then %d"):format(before.maps, after.maps))
  assert.is_true(after.kb <= before.kb + MORE_KB, ("%d KB, then %d"):format(before.kb, after.kb))
end

describe("300 breaches in one process", function()
  after_each(stator.clean)

  it("leave no mappings and no memory behind", function()
    stays_flat(image_of([[
      function M.Do(args)
        local t = {}
        for i = 1, 1e9 do t[i] = { i, args.N } end
      end]], 4), 300)
  end)

  it("leave nothing when they come by errors, strings and coroutines", function()
    stays_flat(image_of([[
      local bombs = {
        function(t) for i = 1, 1e9 do local _, q = pcall(error, { i }) t[#t + 1] = q end end,
        function() local s = "x" while true do s = s .. s end end,
        function(t) while true do t[#t + 1] = coroutine.create(function() end) end end,
      }
      function M.Do(args) bombs[args.N % 3 + 1]({}) end]], 2), 300)
  end)

  it("leave no machine code behind, however much there was", function()
    stays_flat(image_of([[
      function M.Do(args)
        for i = 1, args.N % 4 * 1000 do
          load("local x = 0 for i = 1, 100 do x = x + i * " .. i .. " end return x")()
        end
        local t = {}
        for i = 1, 1e9 do t[i] = { i } end
      end]], 16), 100)
  end)

  it("leave no names of storages behind", function()
    local image = image_of([[
      function M.Do(args)
        local name = ("x"):rep(100000)
        for i = 1, 20 do pcall(state.view, name .. i) end
        local t = {}
        for i = 1, 1e9 do t[i] = { i } end
      end]], 8)
    stays_flat(image, 100)
  end)
end)
