local stator = require "support.stator"

local SCHEMA = [[
  TYPE PutParams (N int64 NOT NULL);
  TYPE PutResult (Twice int64);
  TYPE Row (Version int32, Sum int64);
  VIEW Sum (One int32 NOT NULL, Two int32 NOT NULL, Sum int64,
    PRIMARY KEY ((One), Two)) AS RESULT OF Add;
  TABLE Thing INHERITS sys.CDoc (N int64);
  TYPE MakeResult (Thing ref(Thing));
  EXTENSION ENGINE BUILTIN (
    COMMAND Put(PutParams) INTENTS(sys.Result) RETURNS PutResult;
    COMMAND Make() INTENTS(sys.Record(Thing), sys.Result) RETURNS MakeResult;
    COMMAND Err();
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
500 {"id":2,"status":500,"error":{"code":"TIME_LIMIT","message":"shop.Spin: shop/shop.lua:5: ]]
      .. [[limit of 100 ms exceeded"}}
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
503 {"id":1,"status":503,"error":{"code":"BUSY","message":"]]
      .. [[the host is being stopped; ask another one"}}
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

  it("gives new records an ID, and a NULL its reason", function()
    assert.equal([[
200 {"id":1,"status":200,"offset":1,"new_ids":{"1":200001},"result":{"Thing":200001}}
500 {"id":2,"status":500,"error":{"code":"EXTENSION_FAILED","message":"shop.Err: ]]
      .. [[no storage is called sys.Nothing"}}
]], embed "builtin")
  end)

  describe("metrics", function()
    local rows, lines

    setup(function()
      local by_kind = { extension = {}, storage = {}, projector = {}, partition = {}, host = {} }
      local name = { extension = "extension", storage = "storage", projector = "partition",
        partition = "partition", host = "kind" }
      for line in embed("metrics"):gmatch "[^\n]+" do
        if line:match '^{"kind"' then
          local m = stator.json.decode(line)
          by_kind[m.kind][m[name[m.kind]]] = m
        elseif line:match '^200 {"id":3' then
          rows = stator.json.decode(line:sub(5)).rows
        end
      end
      lines = by_kind
      stator.clean()
    end)

    it("count runs, errors and limits of each extension", function()
      local function of(name)
        local e = lines.extension[name]
        return { e.runs, e.errors, e.limits }
      end
      assert.same({ 20, 0, 0 }, of "shop.Put")
      assert.same({ 1, 1, 0 }, of "shop.Fail")
      assert.same({ 1, 1, 1 }, of "shop.Spin")
      assert.same({ 20, 0, 0 }, of "shop.Add")
    end)

    it("have a histogram of how long runs took", function()
      local time = lines.extension["shop.Spin"].time
      assert.equal(time.max_ns, time.p50_ns)
      assert.equal(time.max_ns, time.sum_ns)
      assert.is_true(time.max_ns >= 100e6, time.max_ns)
      local ends, count, before = 0, 0, 0
      for _, bucket in ipairs(lines.extension["shop.Put"].time.buckets) do
        assert.is_true(bucket[1] > before)
        before, ends, count = bucket[1], ends + 1, count + bucket[2]
      end
      assert.equal(20, count)
      local put = lines.extension["shop.Put"].time
      assert.is_true(put.p50_ns <= put.p99_ns and put.p99_ns <= put.p999_ns
        and put.p999_ns <= put.max_ns)
    end)

    it("count calls of each storage", function()
      assert.equal(20, lines.storage["sys.Result"].calls)
      assert.equal(0, lines.storage["sys.Result"].errors)
      assert.is_true(lines.storage["sys.View"].calls >= 40)
      assert.is_true(lines.storage["sys.View"].timed >= 1)
    end)

    it("have queue, commits and events of each partition", function()
      local p = lines.partition[1]
      assert.same({ 0, 20, 22, 2, 1 }, { p.waiting, p.events, p.commands, p.commands_failed,
        p.queries })
      assert.is_true(p.commits.count >= 1)
      assert.equal(0, lines.partition[0].commands)
      assert.equal(0, p.commit_errors)
    end)

    it("say how far asynchronous projectors are", function()
      assert.same({ 20, 0 }, { lines.projector[1].offset, lines.projector[1].lag })
      assert.same({ 0, 0 }, { lines.projector[2].offset, lines.projector[2].lag })
    end)

    it("count requests that were not taken", function()
      assert.equal(1, lines.host.host.refused)
    end)

    it("are given to operators by sys.Metrics", function()
      local found = {}
      for _, row in ipairs(rows) do found[row.Name or row.Kind .. row.Partition] = row end
      assert.same({ 1, 1, 1 }, { found["shop.Spin"].Count, found["shop.Spin"].Errors,
        found["shop.Spin"].Limits })
      assert.is_true(found["shop.Spin"].P999Ns >= 100e6)
      assert.equal("storage", found["sys.View"].Kind)
      assert.equal(0, found.partition1.Waiting)
      assert.equal("projector", found["shop.Add"] and rows[4].Kind)
    end)
  end)

  local function linked(more)
    local image_of_it = stator.shop([[
      EXTENSION ENGINE LUA ( COMMAND Look() STATE(shop.Nothing); );]], [[
      local Nothing = state.storage "shop.Nothing"
      function M.Look() state.must_not_exist(Nothing { K = 1 }) end]], {
      ["pkg/shop/linked.vsql"] =
        "STATESTORAGE ENGINE PLUGIN ( Nothing ( GET SCOPE(COMMANDS) ) );\n" })
    local _, out = stator.shell(("env -u LD_PRELOAD %s %s %s %s"):format(
      compile "spec/fixtures/linked.c", image_of_it, stator.folder(), more or ""))
    return out
  end

  it("attaches a storage that is linked in once to each partition, for each version", function()
    local once = "partition 0\npartition 1\npartition 2\n"
    assert.equal(once .. once:gsub("\n", " again\n") .. "200\n", linked():match "^.-200\n")
  end)

  it("verifies data of storages that are linked in", function()
    assert.matches("\n200\nIMAGE\n.*\nOK\n$", linked())
  end)

  it("says which storage is not for a partition, also as a problem of the image", function()
    local refused = "linked in:1:1: plugin nothing 1, attach of partition 2: not for me\n"
    assert.equal(("partition 0\npartition 1\npartition 2\n" .. refused:rep(2)):rep(2),
      linked "picky")
  end)

  it("says what is wrong with a partition that is to be run", function()
    assert.equal([[
shop has partitions 0 to 2, not 9
no application is called no/app; there is shop
no application is deployed
0
404 {"id":1,"status":404,"error":{"code":"NOT_FOUND","message":"no application is deployed"}}
]], embed "wrong")
  end)
end)
