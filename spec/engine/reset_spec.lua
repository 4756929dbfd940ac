-- What a run finds of the ones before it: with "frozen" what modules keep in variables,
-- with "image" nothing. And what it does not pay for: their garbage.

local stator = require "support.stator"
local watch = require "support.watch"

local SCHEMA = [[
TYPE Args ( N int64, S varchar(65535) );
TYPE Out ( S varchar(65535) );
EXTENSION ENGINE LUA (
  COMMAND Do(Args) INTENTS(sys.Result, sys.Logger) RETURNS Out;
  QUERY Ask(Args) RETURNS Out;
);]]

local function image_of(reset, body, limits)
  return stator.shop(SCHEMA, "function M.Do() end\nfunction M.Ask() end\n" .. body,
    { ["descriptor.json"] = ('{ "engines": { "query": 1 }, "reset": "%s", "limits": { %s '
      .. '"breaches": 1000000 } }'):format(reset, limits and limits .. "," or "") })
end

local function command(n, s)
  return { id = n, wsid = 1, command = "shop.Do", args = { N = n, S = s } }
end

local function commands(count, s)
  local list = {}
  for i = 1, count do list[i] = command(i, s) end
  return list
end

local function said(reply) return reply.result and reply.result.S or reply.error.message end

-- Each says how many runs the state has seen.
local KEEPERS = {
  ["a variable of the module"] = [[local runs = 0
    function M.Do() runs = runs + 1 state.result { S = tostring(runs) } end]],
  ["a table of the module"] = [[local seen = {}
    function M.Do() seen[#seen + 1] = 1 state.result { S = tostring(#seen) } end]],
  ["a global"] = [[N = 0
    function M.Do() N = N + 1 state.result { S = tostring(N) } end]],
  ["a function that is replaced"] = [[local n = 1
    local function say(k) state.result { S = tostring(k) } end
    local run
    function run()
      say(n)
      local k = n + 1
      run = function() say(k) end
    end
    function M.Do() run() end]],
  ["a coroutine"] = [[local co = coroutine.wrap(function()
      for i = 1, 1e9 do coroutine.yield(i) end
    end)
    function M.Do() state.result { S = tostring(co()) } end]],
  ["a metatable"] = [[local t = setmetatable({}, { __index = function() return 0 end })
    function M.Do()
      local n = t.n + 1
      setmetatable(t, { __index = function() return n end })
      state.result { S = tostring(n) }
    end]],
}

describe("reset", function()
  after_each(stator.clean)

  for what, module in pairs(KEEPERS) do
    it("by image leaves nothing of " .. what, function()
      for _, reply in ipairs((stator.try(image_of("image", module), commands(5)))) do
        assert.equal("1", said(reply))
      end
    end)

    it("frozen keeps " .. what, function()
      local replies = stator.try(image_of("frozen", module), commands(2))
      assert.equal("1", said(replies[1]))
      assert.equal("2", said(replies[2]))
    end)
  end

  it("can be given for one package", function()
    local module = KEEPERS["a variable of the module"]
    local image = stator.shop(SCHEMA, "function M.Ask() end\n" .. module, { ["descriptor.json"] =
      '{ "packages": { "shop": { "reset": "image" } } }' })
    local replies = stator.try(image, commands(2))
    assert.equal("1", said(replies[2]))
  end)

  it("by image serves the run after one that was stopped, wherever that was", function()
    local image = image_of("image", [[
      local kept = {}
      function M.Do(args)
        kept[#kept + 1] = args.N
        if args.S == "time" then while true do end end
        if args.S == "memory" then local t = {} while true do t[#t + 1] = {} end end
        if args.S == "string" then local s = ("x"):rep(2000000) return s end
        if args.S == "error" then error "x" end
        if args.S == "loop" then for i = 1, 1e5 do kept[2] = i end kept[2] = nil end
        state.result { S = #kept .. " " .. kept[1] }
      end]], '"memoryMB": 8, "stringBytes": 1000000, "timeMs": { "command": 20 }')
    local requests = {}
    local codes = { time = "TIME_LIMIT", memory = "MEMORY_LIMIT", string = "STRING_LIMIT",
      error = "EXTENSION_FAILED" }
    local order = { "time", "fine", "memory", "fine", "string", "fine", "error", "loop", "fine" }
    for i = 1, 90 do requests[i] = command(i, order[i % #order + 1]) end
    for i, reply in ipairs((stator.try(image, requests))) do
      local code = codes[requests[i].args.S]
      if code then
        assert.equal(code, reply.error and reply.error.code)
      else
        assert.equal("1 " .. i, said(reply))
      end
    end
  end)

  it("by image gives back what a run has taken, machine code included", function()
    local image = image_of("image", [[function M.Do(args)
      local t = {}
      for i = 1, 2e4 do t[i] = { i } end
      state.result { S = tostring(#t) }
    end]])
    local warm, late, replies = watch(image, commands(300), commands(1500))
    for _, reply in ipairs(replies) do assert.equal("20000", said(reply)) end
    assert.near(warm.maps, late.maps, 4)
    assert.near(warm.kb, late.kb, stator.sanitized and 60000 or 4000)
  end)

  it("frozen collects what runs leave, whatever they leave", function()
    local image = image_of("frozen", [[local ring = {}
      function M.Do(args)
        local t = {}
        for i = 1, 500 do t[i] = { i, tostring(i) .. args.N } end
        ring[args.N % 10 + 1] = t
        local n = 0
        for _, kept in pairs(ring) do
          for i, e in ipairs(kept) do
            if e[1] ~= i or e[2]:sub(1, #tostring(i)) ~= tostring(i) then error "damaged" end
            n = n + 1
          end
        end
        state.result { S = tostring(n) }
      end]], '"memoryMB": 8')
    local warm, late, replies = watch(image, commands(500), commands(5000))
    for i, reply in ipairs(replies) do
      assert.equal(tostring(500 * math.min(i, 10)), said(reply))
    end
    assert.near(warm.kb, late.kb, stator.sanitized and 60000 or 4000)
  end)

  it("lets a run make more garbage than its memory", function()
    for _, reset in ipairs { "frozen", "image" } do
      local image = image_of(reset, [[function M.Do()
        local n = 0
        for i = 1, 2e5 do n = n + #{ i, {}, tostring(i) } end
        state.result { S = tostring(n) }
      end]], '"memoryMB": 8, "timeMs": { "command": 60000 }')
      for _, reply in ipairs((stator.try(image, commands(5)))) do
        assert.equal("600000", said(reply))
      end
    end
  end)
end)
