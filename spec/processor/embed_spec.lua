local stator = require "support.stator"

local SCHEMA = [[
  TYPE PutParams (N int64 NOT NULL);
  TYPE PutResult (Twice int64);
  TYPE Row (Version int32, Sum int64);
  VIEW Sum (One int32 NOT NULL, Two int32 NOT NULL, Sum int64,
    PRIMARY KEY ((One), Two)) AS RESULT OF Add;
  EXTENSION ENGINE BUILTIN (
    COMMAND Put(PutParams) INTENTS(sys.Result) RETURNS PutResult;
  );
  EXTENSION ENGINE LUA (
    COMMAND Fail();
    COMMAND Spin();
    PROJECTOR Add AFTER EXECUTE ON Put INTENTS(sys.View(Sum));
    QUERY Sums STATE(sys.View(Sum)) RETURNS Row;
    QUERY Version RETURNS Row;
  );]]

local MODULE = [[
  local Sum = state.view "shop.Sum"
  function M.Fail() error "wrong" end
  function M.Spin() while true do end end
  function M.Add(event)
    local key = Sum { One = 1, Two = 1 }
    local seen = state.get(key)
    local n = event.ArgumentObject.N
    if seen then state.update(key, seen).Sum = seen.Sum + n else state.new(key).Sum = n end
  end
  function M.Sums()
    local seen = state.get(Sum { One = 1, Two = 1 })
    if seen then state.result { Sum = seen.Sum } end
  end
  function M.Version() state.result { Version = 1 } end]]

-- Compiles a program against the shared library: where it is.
local function compile(source)
  local program = stator.folder() .. "/program"
  local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s %s -o %s -L%s "
    .. "-lstator -lpthread -Wl,-rpath,%s"):format(
    stator.sanitized and "-fsanitize=address,undefined" or "", source, program, stator.build,
    stator.build))
  assert.equal(0, code, err)
  return program
end

local function image(module)
  return stator.shop(SCHEMA, module or MODULE)
end

-- What the program prints.
local function embed(way, more)
  local program = compile "spec/fixtures/embed_ways.c"
  local code, out, err = stator.shell(("env -u LD_PRELOAD timeout 120 %s %s %s %s %s"):format(
    program, way, image(), stator.folder(), more or ""))
  assert.equal("", err)
  assert.equal(0, code, out)
  return out
end

local CALLS = [[
200 {"id":1,"status":200,"offset":1,"result":{"Twice":8}}
404 {"id":2,"status":404,"error":{"code":"NOT_FOUND","message":"no command is called shop.Pit; ]]
  .. [[did you mean shop.Put?"}}
400 {"id":null,"status":400,"error":{"code":"BAD_REQUEST","message":"not JSON: lexical error: ]]
  .. [[invalid string in json text at byte 1"}}
200 {"id":3,"status":200,"rows":[{"Sum":4}]}
]]

describe("stator.h", function()
  after_each(stator.clean)

  it("gives the reply of a call back, and its status", function()
    assert.equal(CALLS, embed "call")
  end)

  it("takes memory from an allocator that was set before, and gives all of it back", function()
    assert.equal("memory is in use already: set the allocator before all else, and once\n"
      .. CALLS .. "many taken, 0 left\n", embed "allocator")
  end)

  it("runs each partition's commands on the thread that the embedder has for it", function()
    local sum = 0
    for i = 0, 299 do if i % 7 == 0 then sum = sum + i end end
    assert.equal('200 {"id":3,"status":200,"rows":[{"Sum":' .. sum .. "}]}\n"
      .. "300 replies, 0 refused, 0 foreign\n", embed "own")
  end)

  it("serves calls and drains of a single thread that runs all partitions", function()
    assert.equal([[
200 {"id":1,"status":200,"offset":1,"result":{"Twice":8}}
1 replies
200 {"id":3,"status":200,"rows":[{"Sum":4}]}
]], embed "single")
  end)

  it("runs what waits when the embedder says so, and tells that it waits", function()
    assert.equal("1 bells, 0 replies\n0 served\n6 served, 6 replies\n2 bells\n", embed "turns")
  end)

  it("answers everything that was accepted when it is stopped, and nothing later", function()
    assert.equal([[
0 replies
300 replies, 0 refused
503 {"id":1,"status":503,"error":{"code":"BUSY","message":"the host is being stopped; ask another one"}}
none
the host has been stopped; open another
]], embed "nobody")
  end)

  it("takes a new version while no thread of the embedder runs partitions", function()
    assert.equal([[
200 {"id":1,"status":200,"offset":1,"result":{"Twice":8}}
200 {"id":2,"status":200,"rows":[{"Version":2}]}
]], embed("upgrade", image((MODULE:gsub("Version = 1", "Version = 2")))))
  end)

  it("says what is wrong with a partition that is to be run", function()
    assert.equal([[
shop has partitions 0 to 2, not 9
no application is called no/app; shop is deployed
no application is deployed
0
404 {"id":1,"status":404,"error":{"code":"NOT_FOUND","message":"no application is deployed"}}
]], embed "wrong")
  end)
end)
