-- The time limit: whatever a run does to go on, it is stopped with TIME_LIMIT, and the
-- next one is served. All of it holds with signals and with fuel.

local stator = require "support.stator"
local plugins = require "support.plugins"
local watch = require "support.watch"

local SCHEMA = [[
TYPE Args ( N int64, S varchar(65535) );
TYPE Out ( N int64, S varchar(65535) );
VIEW Sales ( Year int32 NOT NULL, Name varchar NOT NULL, Amount int64,
  PRIMARY KEY ((Year), Name)) AS RESULT OF Project;
EXTENSION ENGINE LUA (
  COMMAND Do(Args) STATE(sys.View(Sales)) INTENTS(sys.Result) RETURNS Out;
  COMMAND Fill(Args);
  SYNC PROJECTOR Project AFTER EXECUTE ON Fill INTENTS(sys.View(Sales));
  PROJECTOR Later AFTER EXECUTE ON Fill INTENTS(sys.View(Sales));
  QUERY Ask(Args) STATE(sys.View(Sales)) RETURNS Out;
);]]

local MODULE = [[
local Sales = state.view "Sales"
_ = Sales
function M.Do() end
function M.Ask() end
function M.Fill() end
function M.Project() end
function M.Later() end
]]

-- Sanitizers make everything slow: what ends by itself gets more time there.
local SLOWER = stator.sanitized and 10 or 1

local function image_of(module, ms, more)
  local files = { ["descriptor.json"] = ([[{ "engines": { "query": 1 }, "limits": {
    "memoryMB": 64, "breaches": 1000000, "coroutines": 1000000000,
    "timeMs": { "command": %d, "query": %d, "projector": %d } } }]]):format(ms, ms, ms) }
  for path, text in pairs(more or {}) do files[path] = text end
  return stator.shop(SCHEMA, MODULE .. module, files)
end

local function request(n, name, wsid)
  local kind = name == "Ask" and "query" or "command"
  return { id = n, wsid = wsid or 1, [kind] = "shop." .. (name or "Do"), args = { N = n } }
end

-- Scripts that never end, or not within a lifetime.
local HOSTILE = {
  -- loops
  ["an empty loop"] = "while true do end",
  ["a loop that counts"] = "local x = 0 while true do x = x + 1 end",
  ["a for loop"] = "local x = 0 for i = 1, 1e15 do x = x + i % 7 end return x",
  ["a repeat loop"] = "local x = 0 repeat x = x + 1 until x < 0",
  ["a goto loop"] = "local x = 0 ::again:: x = x + 1 goto again",
  ["a loop of varargs, which is not compiled"] = [[
    local function f(...) return select("#", ...) end
    while true do local t = { f(1, f(2, 3), function(...) return ... end) } _ = t end]],
  ["loops in loops"] = "for i = 1, 1e9 do for j = 1, 1e9 do local _ = i * j end end",
  ["tail calls"] = "local function f(n) return f(n + 1) end f(1)",
  ["recursion that branches"] = [[
    local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end fib(90)]],
  ["floating point in libm"] = [[
    local x = 1.5 while true do x = math.sin(x) ^ 1.1 + math.exp(math.cos(x)) end]],
  ["a loop over strings"] = [[
    local s = ("x"):rep(100) while true do for c in s:gmatch "." do _ = c end end]],
  ["a loop of tables"] = "while true do local t = { {}, {}, x = {} } _ = t end",
  ["a loop of closures"] = "while true do local t = function() return args end _ = t end",
  ["a loop of 64 bit integers"] = "local x = 0LL while true do x = x * 3LL + 1LL end",
  -- calls from elsewhere
  ["a coroutine"] = "coroutine.wrap(function() while true do end end)()",
  ["coroutines that resume each other"] = [[
    local co = coroutine.wrap(function() while true do coroutine.yield(1) end end)
    while true do co() end]],
  ["coroutines made all the time"] = [[
    while true do coroutine.wrap(function() coroutine.yield() end)() end]],
  ["a metamethod"] = [[
    local t = setmetatable({}, { __index = function() while true do end end }) return t.x]],
  ["a metamethod in a loop"] = [[
    local mt = { __add = function(a, b) return a end }
    local t = setmetatable({}, mt) while true do t = t + 1 end]],
  ["an __eq"] = [[
    local mt = { __eq = function() while true do end end }
    return setmetatable({}, mt) == setmetatable({}, mt)]],
  ["an __lt in a sort"] = [[
    local mt = { __lt = function(a, b) while true do end end }
    table.sort { setmetatable({}, mt), setmetatable({}, mt) }]],
  ["a __call"] = "local t = setmetatable({}, { __call = function(self) return self() end }) t()",
  ["a __tostring"] = [[
    return tostring(setmetatable({}, { __tostring = function() while true do end end }))]],
  ["an iterator"] = "for i in function(_, n) return (n or 0) + 1 end do _ = i end",
  ["an iterator that never ends inside"] = "for i in function() while true do end end do _ = i end",
  ["a sort comparator"] = "table.sort({ 3, 1, 2 }, function() while true do end end)",
  ["a sort comparator that lies"] = [[
    local t = {} for i = 1, 200 do t[i] = i end
    while true do pcall(table.sort, t, function() return true end) end]],
  ["gsub's function"] = '("x"):gsub(".", function() while true do end end)',
  ["gsub's function, again and again"] = [[
    local s = ("x"):rep(1000) while true do s:gsub(".", function(c) return c end) end]],
  ["text that is loaded"] = 'load "while true do end"()',
  ["text that is loaded again and again"] = [[
    while true do load("local x = 0 for i = 1, 100 do x = x + i end return x")() end]],
  -- C functions
  ["a catastrophic pattern"] = 'return (("a"):rep(3000)):find(".-.-.-.-.-.-b")',
  ["another catastrophic pattern"] = 'return (("a"):rep(20000)):match("(a*)*(a*)a*a*a*a*a*b$")',
  ["a catastrophic gsub"] = 'return (("a"):rep(3000)):gsub("a-a-a-a-a-b", "")',
  ["a catastrophic gmatch"] = 'for _ in (("a"):rep(3000)):gmatch("a*a*a*a*a*b") do end',
  ["a pattern of brackets"] = 'while true do (("("):rep(5000)):find("%b()") end',
  ["a quadratic plain find"] = [[
    local a, b = ("a"):rep(2e6), ("a"):rep(1e6) .. "b"
    while true do a:find(b, 1, true) end]],
  ["string.rep"] = 'while true do ("x"):rep(1e6) end',
  ["string.rep and a lot of what it gives"] = [[
    while true do local s = ("x"):rep(1e6) s = s .. s end]],
  ["string.format"] = [[
    while true do ("%s %5.2f %q"):format(args.N, 1 / 3, ("x"):rep(1000)) end]],
  ["strings upside down"] = [[
    local s = ("xy"):rep(1e6) while true do s:reverse():upper():lower() end]],
  ["table.concat"] = [[
    local t = {} for i = 1, 1000 do t[i] = "x" .. i end while true do table.concat(t, ",") end]],
  ["table.insert at the front"] = [[
    local t = {} for i = 1, 1e5 do t[i] = i end
    while true do table.insert(t, 1, 0) table.remove(t, 1) end]],
  ["unpack"] = [[
    local t = {} for i = 1, 5000 do t[i] = i end while true do select("#", unpack(t)) end]],
  ["sorts of long tables"] = [[
    local t = {} for i = 1, 1e5 do t[i] = i * 7919 % 100003 end
    while true do table.sort(t) table.sort(t, function(a, b) return a > b end) end]],
  ["tonumber and tostring"] = "while true do tonumber(tostring(args.N) .. '.5') end",
  -- errors
  ["an error storm"] = 'while true do pcall(error, "x") end',
  ["an error storm of tables"] = "while true do pcall(error, {}) end",
  ["a pcall that swallows"] = "while true do pcall(function() while true do end end) end",
  ["nested pcalls that swallow"] = [[
    local function f(n) pcall(function() if n > 0 then f(n - 1) end while true do end end) f(n) end
    while true do pcall(f, 20) end]],
  ["an xpcall handler"] = "xpcall(error, function() while true do end end)",
  ["an xpcall handler that fails"] = [[
    local function h(m) error(m) end while true do xpcall(error, h, "x") end]],
  ["an xpcall that goes on"] = [[
    local function go() while true do end end while true do xpcall(go, go) end]],
  ["errors in coroutines"] = [[
    while true do coroutine.resume(coroutine.create(function() error "x" end)) end]],
  ["errors of the host"] = "while true do pcall(function() return args.Nothing end) end",
  ["errors in compiled code"] = [[
    local t = {}
    while true do pcall(function() for i = 1, 100 do if i == 99 then t.x.y = 1 end end end) end]],
  -- the host
  ["reads"] = "local k = Sales { Year = 1, Name = 'x' } while true do pcall(state.get, k) end",
  ["keys"] = "while true do Sales { Year = 1, Name = 'x' } end",
  ["handles"] = 'while true do state.view "Sales" end',
  ["rows"] = "while true do local _ = args.N, args.S end",
  ["an error's __tostring"] = [[
    error(setmetatable({}, { __tostring = function() while true do end end }))]],
  ["machine code that comes and goes"] = [[
    for i = 1, 1e9 do
      load("local x = 0 for i = 1, 100 do x = x + i * " .. i .. " end return x")()
    end]],
  ["the collector"] = [[
    local t = {} for i = 1, 1e5 do t[i] = { i } end
    while true do for i = 1, 1e5 do t[i] = { t[i] and t[i][1] } end end]],
}

local NAMES = {}
for name in pairs(HOSTILE) do NAMES[#NAMES + 1] = name end
table.sort(NAMES)

-- One process serves all of them, with a good request before and after each.
local function serve_hostile(options)
  local parts = { "local scripts = {}\nlocal runs = 0\n" }
  for i, name in ipairs(NAMES) do
    parts[#parts + 1] = ("scripts[%d] = function(args)\n%s\nend\n"):format(i, HOSTILE[name])
  end
  parts[#parts + 1] = [[
    function M.Do(args)
      runs = runs + 1
      if scripts[args.N] then scripts[args.N](args) end
      local x = 0
      for i = 1, 1000 do x = x + i end
      state.result { N = x, S = "run " .. runs }
    end]]
  local requests = {}
  for i = 1, #NAMES do
    requests[2 * i - 1] = request(0)
    requests[2 * i] = request(i)
  end
  requests[2 * #NAMES + 1] = request(0)
  local image = image_of(table.concat(parts), 30)
  local replies, raw, err, exit = stator.try(image, requests, options)
  return { replies = replies, raw = raw, err = err, exit = exit }
end

local function each_mechanism(name, body)
  describe(name .. ", by signals", function()
    after_each(stator.clean)
    body("--preemption auto")
  end)
  describe(name .. ", by fuel", function()
    after_each(stator.clean)
    body("--preemption fuel")
  end)
end

local function stopped(reply, raw, ms)
  assert.equal(500, reply and reply.status, raw)
  assert.equal("TIME_LIMIT", reply.error.code, raw)
  assert.matches("^shop%.%a+: shop/shop%.lua:%d+: limit of " .. (ms or "%d+") .. " ms exceeded$",
    reply.error.message)
end

each_mechanism("the time limit", function(options)
  local served

  for i, name in ipairs(NAMES) do
    it("stops " .. name, function()
      served = served or serve_hostile(options)
      assert.equal(0, served.exit, served.err)
      stopped(served.replies[2 * i], served.raw[2 * i], 30)
      local after = served.replies[2 * i + 1]
      assert.equal(200, after.status, served.raw[2 * i + 1])
      assert.same({ N = 500500, S = "run 1" }, after.result)
    end)
  end

  it("has said nothing else", function()
    assert.equal("", served.err)
  end)

  it("says where a run was", function()
    local image = image_of([[
      function M.Do(args)
        local x = 0
        if args.N == 1 then
          while true do
            x = x + 1
          end
        elseif args.N == 2 then
          while true do x = { pcall(function(...) return ... end, x and 1) } end
        elseif args.N == 3 then
          coroutine.wrap(function()
            while true do end
          end)()
        end
      end]], 30)
    local replies = stator.try(image, { request(1), request(2), request(3) }, options)
    local first = 3 + select(2, MODULE:gsub("\n", ""))
    local lines = { { 3, 4 }, { 7, 7 }, { 9, 10 } }
    for i, expected in ipairs(lines) do
      local line = tonumber(replies[i].error.message:match "shop%.lua:(%d+)") - first
      assert.is_true(line >= expected[1] and line <= expected[2], replies[i].error.message)
    end
  end)

  it("holds for queries and projectors, with limits of their own", function()
    local image = image_of([[
      function M.Ask(args) while args.N == 1 do end end
      function M.Project(event)
        state.new(Sales { Year = 1, Name = "sync" }).Amount = 1
        while event.ArgumentObject.N == 3 do end
      end]], 30, { ["descriptor.json"] = [[{ "limits": { "timeMs": { "query": 10000 } },
        "packages": { "shop": { "limits": { "timeMs": { "query": 20, "projector": 40 } } } } }]] })
    local data = stator.folder()
    local replies, raw = stator.run(image, data, { request(1, "Ask"), request(2, "Ask"),
      request(3, "Fill"), request(4, "Fill") }, options)
    stopped(replies[1], raw[1], 20)
    assert.equal(200, replies[2].status)
    stopped(replies[3], raw[3], 40)
    assert.equal(200, replies[4].status)
    assert.equal(1, #stator.dump(image, data, "wlog --wsid 1"))
  end)

  it("holds for asynchronous projectors, which are parked", function()
    local image = image_of("function M.Later() while true do end end", 30)
    local replies, _, err, exit = stator.try(image, { request(1, "Fill") }, options)
    assert.same({ 0, 200 }, { exit, replies[1].status })
    assert.matches("shop%.Later: parked at event 1 .-limit of 30 ms exceeded", err)
  end)

  it("holds while a module loads, and says where", function()
    for _, code in ipairs { "while true do end", "pcall(function()\nwhile true do end end)",
      'local x = (("a"):rep(3000)):find(".-.-.-.-.-.-b") M.x = x' } do
      local image = image_of(code, 30)
      local _, raw, err, exit = stator.try(image, { request(1) }, options)
      assert.same({ 1, 0 }, { exit, #raw })
      assert.matches("limit of 30 ms exceeded while it is loaded", err)
      local ok, out = stator.shell(("%s check %s %s"):format(stator.command,
        stator.quote(image), options))
      assert.equal(1, ok)
      assert.matches("^%S+/shop%.lua:%d+:1: limit of 30 ms exceeded while it is loaded\n$", out)
      if not code:find "rep" then assert.is_nil(out:find "shop%.lua:1:") end
    end
  end)

  it("holds for what a run requires", function()
    local image = image_of('function M.Do() require "other" end', 30,
      { ["pkg/shop/other.lua"] = "\nwhile true do end" })
    local replies, raw = stator.try(image, { request(1) }, options)
    assert.matches("shop/other%.lua:2: limit of 30 ms", raw[1])
    assert.equal("TIME_LIMIT", replies[1].error.code)
  end)

  it("is not passed by by what a run left behind for the next", function()
    -- The clock begins anew with each run, and a run that was nearly over is not the
    -- next one's fault.
    local image = image_of([[
      function M.Do(args)
        local x, before = 0, args.N
        for i = 1, 1e5 do x = x + i % 7 end
        state.result { N = x + before }
      end]], 30 * SLOWER)
    local requests = {}
    for i = 1, 500 do requests[i] = request(i) end
    local replies, raw = stator.try(image, requests, options)
    for i = 1, 500 do assert.equal(200, replies[i].status, raw[i]) end
  end)

  it("stops nobody for a machine that is crowded", function()
    local image = image_of([[
      local function work(rounds)
        local x = 0
        for i = 1, rounds do x = (x + i * 7) % 1000003 end
        return x
      end
      function M.Do() state.result { N = work(4e6) } end]], 100 * SLOWER)
    local hogs = {}
    for i = 1, 8 do hogs[i] = "timeout 10 sh -c 'while :; do :; done' & p=\"$p $!\"" end
    local input = stator.folder() .. "/in"
    stator.write(input, (stator.json.encode(request(1)) .. "\n"):rep(10))
    local code, out, err = stator.shell(("%s\n%s run %s --data %s %s < %s; kill $p"):format(
      table.concat(hogs, "\n"), stator.command, stator.quote(image), stator.folder(), options,
      input))
    assert.equal(0, code, err)
    local count = 0
    for line in out:gmatch "[^\n]+" do
      assert.equal(200, stator.json.decode(line).status, line)
      count = count + 1
    end
    assert.equal(10, count)
  end)

  it("waits for the host, ten times the limit and no longer, and leaves nothing half done",
    function()
      local image = plugins.image("naps", {
        module = [[
          local state = require "stator.state"
          local Thing = state.storage "shop.Thing"
          local M = {}
          function M.Put() end
          function M.All(args) state.get(Thing { Name = args.Name }) end
          function M.Get(args)
            local i = 0
            while args.Name == "forever" or i < 12 do
              pcall(state.get, Thing { Name = args.Name })
              i = i + 1
            end
          end
          function M.Other() end
          return M]],
        descriptor = ('{ "limits": { "timeMs": { "query": %d } } }'):format(50 * SLOWER),
      })
      local function ask(name, query)
        return { id = 1, wsid = 1, query = "shop." .. query, args = { Name = name } }
      end
      local replies, raw, err = stator.try(image, { ask("some", "Get"), ask("forever", "Get"),
        ask("once", "All"), ask("forever", "Get"), ask("once", "All") }, options)
      -- 12 naps of 10 ms are more than 50 ms, of which the thread used few.
      assert.equal(200, replies[1].status, raw[1] .. err)
      stopped(replies[2], raw[2])
      assert.equal(200, replies[3].status, raw[3])
      stopped(replies[4], raw[4])
      assert.equal(200, replies[5].status, raw[5])
    end)
end)

-- Where it happens ----------------------------------------------------------------

describe("a program with signals of its own", function()
  after_each(stator.clean)

  local function embed(signal)
    local image = image_of([[
      function M.Do(args)
        while args.N == 1 do end
        while args.N == 2 do pcall(error, {}) end
        while args.N == 3 do (("a"):rep(3000)):find(".-.-.-.-.-.-b") end
        state.result { N = args.N }
      end]], 30)
    local program = stator.folder() .. "/preempt"
    local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s "
      .. "spec/fixtures/preempt.c -o %s -L%s -lstator -lm -Wl,-rpath,%s"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build,
      stator.build))
    assert.equal(0, code, err)
    local lines = {}
    for i = 0, 29 do lines[i + 1] = stator.json.encode(request(i % 4)) .. "\n" end
    stator.write(program .. ".in", table.concat(lines))
    local out
    code, out, err = stator.shell(("env -u LD_PRELOAD %s %s %s %d < %s.in"):format(program, image,
      stator.folder(), signal, program))
    assert.equal(0, code, err)
    local stops, served = 0, 0
    for line in out:gmatch '{[^\n]+' do
      local reply = stator.json.decode(line)
      if reply.status == 200 then served = served + 1 else
        stopped(reply, line)
        stops = stops + 1
      end
    end
    assert.same({ 22, 8 }, { stops, served })
    return (out:gsub("{[^\n]+\n", ""))
  end

  it("gets its signals, and its handler back", function()
    assert.equal("mask kept\nchild 0\nhandler back\nseen yes yes\n", embed(0))
  end)

  it("can say which signal is taken", function()
    assert.equal("mask kept\nchild 0\nhandler back\nseen yes yes\n", embed(40))
  end)
end)

describe("under valgrind", function()
  after_each(stator.clean)

  it("fuel is taken, and said aloud", function()
    if stator.sanitized or stator.shell "command -v valgrind" ~= 0 then
      return pending "there is no valgrind"
    end
    -- LMDB opens nothing there, so nothing runs; but modules are loaded.
    local image = image_of("local x = 0\nwhile true do x = x + 1 end", 300)
    local code, out, err = stator.shell(("valgrind -q --error-exitcode=9 %s check %s")
      :format(stator.command, stator.quote(image)))
    assert.matches("preemption: valgrind has signals of its own; modules get fuel", err)
    assert.matches("limit of 300 ms exceeded", out)
    assert.equal(1, code, err)
  end)
end)

-- What is left behind --------------------------------------------------------------

describe("thousands of stops", function()
  after_each(stator.clean)

  -- Requests of two workspaces, which are of two partitions: one is stopped all the
  -- time, the other one computes.
  local function requests_of(count)
    local list = {}
    for i = 1, count do
      list[2 * i - 1] = request(i, "Do", 1)
      list[2 * i] = request(i, "Do", 2)
    end
    return list
  end

  it("leave nothing behind, and another partition is right all the time", function()
    local image = image_of([[
      local ways = {
        function() while true do end end,
        function() local t = {} while true do t = { t = #t } end end,
        function() while true do pcall(error, {}) end end,
        function() return (("a"):rep(3000)):find(".-.-.-.-.-.-b") end,
        function() while true do load("local x = 0 for i = 1, 60 do x = x + i end")() end end,
        function() coroutine.wrap(function() while true do pcall(error, "x") end end)() end,
        function() local s = ("x"):rep(1e5) while true do s:upper():lower() end end,
        function() local x = 1 while true do x = math.sin(x) + math.exp(x % 3) end end,
      }
      local function check(n)
        local parts, sum = {}, 0
        for i = 1, 100 do
          parts[#parts + 1] = ("%d:%s"):format(i * n, ("x"):rep(i % 7))
          sum = sum + #parts[#parts]
        end
        local text = table.concat(parts, ",")
        local again = 0
        for number, x in text:gmatch "(%d+):(x*)" do again = again + #number + 1 + #x end
        return again == sum and math.sqrt(n * n) == n and sum or -1
      end
      function M.Do(args)
        local me = state.get(state.storage "sys.CommandContext" {}).Workspace
        if me == 1 then ways[args.N % #ways + 1]() end
        state.result { N = check(7), S = tostring(check(args.N) > 0) }
      end]], 1, { ["descriptor.json"] = ([[{ "partitions": 2, "limits": { "memoryMB": 32,
        "breaches": 1000000, "timeMs": { "command": %d, "query": 1000 } } }]]):format(
        stator.sanitized and 60 or 4) })
    local count = stator.sanitized and 100 or 1000
    local before, after, replies = watch(image, requests_of(100), requests_of(count))
    assert.equal(2 * (count + 100), #replies)
    local first
    for i, reply in ipairs(replies) do
      if i % 2 == 1 then
        stopped(reply, reply.error and reply.error.message)
      elseif reply.status == 200 then
        first = first or reply.result.N
        assert.same({ N = first, S = "true" }, reply.result)
      else
        -- A crowded machine makes nothing slower than its limit of CPU time, but a
        -- sanitizer may.
        stopped(reply, reply.error and reply.error.message)
        assert.is_true(stator.sanitized)
      end
    end
    assert.is_true(first > 0)
    assert.is_true(after.maps <= before.maps + 4,
      ("%d mappings, then %d"):format(before.maps, after.maps))
    assert.is_true(after.kb <= before.kb + (stator.sanitized and 65536 or 2048),
      ("%d KB, then %d"):format(before.kb, after.kb))
  end)
end)
