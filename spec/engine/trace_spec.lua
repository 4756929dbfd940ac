-- What extensions do all the time is compiled: LuaJIT gives up none of it, and after a while
-- there is nothing left to be compiled.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Item INHERITS sys.CDoc ( Name varchar(100) NOT NULL, Price int64, Weight float64 );
TYPE Args ( N int64, S varchar(100) );
TYPE Out ( N int64, S varchar(100) );
VIEW Sales ( Year int32 NOT NULL, Name varchar NOT NULL, Amount int64, Note varchar(100),
  PRIMARY KEY ((Year), Name)) AS RESULT OF Project;
EXTENSION ENGINE LUA (
  COMMAND Nothing(Args);
  COMMAND Fields(Args) INTENTS(sys.Result) RETURNS Out;
  COMMAND Read(Args) STATE(sys.View(Sales), sys.Record(Item)) INTENTS(sys.Result) RETURNS Out;
  COMMAND Write(Args) INTENTS(sys.Record(Item), sys.Result) RETURNS Out;
  COMMAND Answer(Args) INTENTS(sys.Response, sys.Result) RETURNS Out;
  COMMAND Fill(Args);
  SYNC PROJECTOR Project AFTER EXECUTE ON Fill INTENTS(sys.View(Sales));
  QUERY Each(Args) STATE(sys.View(Sales)) RETURNS Out;
);]]

local MODULE = [[
local Sales, Item = state.view "Sales", state.record "Item"
function M.Nothing() end
function M.Fields(args)
  state.result { N = args.N + 1, S = args.S }
end
function M.Read(args)
  local seen = state.get(Sales { Year = 2026, Name = "tea" })
  local item = state.get(Item { ID = 200001 })
  state.result { N = (seen and seen.Amount or 0) + (item and item.Price or 1) + args.N }
end
function M.Write(args)
  local item = state.new(Item {}, { Name = "tea", Price = args.N })
  item.Weight = 1.5
  state.result { N = item["sys.ID"] }
end
function M.Answer(args)
  if args.N == 8 then state.response(400, "eight") end
  state.result { N = args.N }
end
function M.Fill() end
function M.Project() end
function M.Each(args)
  local n = 0
  for _, row in state.read(Sales { Year = 2026 }) do n = n + row.Amount end
  state.result { N = n + args.N }
end]]

local program

-- Where the function that starts a run begins.
local function start_line()
  local line = 0
  for text in io.lines "lua/stator/boot.lua" do
    line = line + 1
    if text:find("local function start(", 1, true) then return line end
  end
end

local function traces(...)
  local image = stator.shop(SCHEMA, MODULE)
  local names = {}
  for i, name in ipairs { ... } do names[i] = "shop." .. name end
  local code, out, err = stator.shell(("%s %s %s 3000 %s"):format(program, stator.quote(image),
    stator.quote(stator.folder()), table.concat(names, " ")))
  assert.equal(0, code, err)
  return out
end

describe("what an extension does in every run", function()
  setup(function()
    program = os.tmpname()
    local flags = stator.sanitized and "-fsanitize=address,undefined" or ""
    local line = ("gcc -std=gnu11 -D_GNU_SOURCE -g %s -Ibench -Isrc -Isrc/include "
      .. "spec/fixtures/traces.c -o %s %s/libstator.a -llua5.1-lpeg -lpthread -lm "
      .. "$(pkg-config --cflags --libs luajit lmdb yajl libpcre2-8)")
    local code, _, err = stator.shell(line:format(flags, program, stator.build))
    assert.equal(0, code, err)
  end)
  teardown(function() os.remove(program) end)
  after_each(stator.clean)

  for _, name in ipairs { "Nothing", "Fields", "Read", "Write", "Answer", "Each" } do
    it("is compiled: " .. name, function()
      local out = traces(name)
      local line = 2
      for text in (MODULE .. "\n"):gmatch "(.-)\n" do
        line = line + 1
        if text:find("M." .. name .. "(", 1, true) then break end
      end
      -- From its first line, or from where runs are started.
      local begins = { ("stop @shop/shop%%.lua:%d\n"):format(line),
        ("stop =stator.boot:%d\n"):format(start_line()) }
      assert.is_true((out:match(begins[1]) or out:match(begins[2])) ~= nil, out)
      local second = out:match "half.*"
      assert.not_matches("abort", second)
      assert.not_matches("stop", second)
    end)
  end
end)
