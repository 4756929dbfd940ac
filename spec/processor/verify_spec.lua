-- `stator verify`: what it finds in data that was damaged on purpose, and that it finds
-- nothing in data that was not.

local ffi = require "ffi"
local lib = require "support.lib"
local stator = require "support.stator"

local C = lib.C

local SCHEMA = [[
  TABLE Article INHERITS sys.CDoc ( Name varchar(20) NOT NULL, Price int64, Other ref(Article),
    UNIQUEFIELD Name );
  TABLE Order INHERITS sys.ODoc ( Number int32,
    Items TABLE Item ( Quantity int32, Article ref(Article) ) );
  TYPE Params ( Year int32, Ms int64 );
  VIEW Sales ( Year int32 NOT NULL, Day int64 NOT NULL, Sum int64, Last varchar(20),
    PRIMARY KEY ((Year), Day) ) AS RESULT OF Count;
  VIEW Later ( Year int32 NOT NULL, Name varchar NOT NULL, Times int64,
    PRIMARY KEY ((Year), Name) ) AS RESULT OF CountLater;
  VIEW Cached ( Year int32 NOT NULL, Day int32 NOT NULL, PRIMARY KEY ((Year), Day) )
    AS RESULT OF Caches;
  EXTENSION ENGINE LUA (
    COMMAND Sell(Params) INTENTS(sys.Record(Article));
    COMMAND Buy(Order);
    SYNC PROJECTOR Count AFTER EXECUTE ON Sell STATE(sys.Uniq(Article))
      INTENTS(sys.View(Sales), sys.Logger);
    PROJECTOR CountLater AFTER INSERT OR UPDATE ON Article INTENTS(sys.View(Later));
    PROJECTOR Caches AFTER EXECUTE ON Sell STATE(sys.Ephemeral) INTENTS(sys.View(Cached));
  );]]

local MODULE = [[
local Sales, Later = state.view "Sales", state.view "Later"
local Article = state.record "Article"
local Names = state.storage("sys.Uniq", "Article")
function M.Sell(args)
  if args.Ms then state.new(Article {}, { Name = "made " .. args.Ms, Price = args.Ms }) end
end
function M.Buy() end
function M.Caches() end
function M.Count(event)
  local key = Sales { Year = 2026, Day = event.ArgumentObject.Year }
  local seen, tea = state.get(key), state.get(Names { Name = "Tea" })
  state.log("info", "counted")
  if seen then
    state.update(key, seen, { Sum = seen.Sum + 1, Last = tea and "tea" })
  else
    state.new(key, { Sum = 1, Last = tea and "tea" })
  end
end
function M.CountLater(event)
  for _, cud in event.CUDs:each() do
    local key = Later { Year = 1, Name = cud.Name or "" }
    local seen = state.get(key)
    if seen then state.update(key, seen).Times = seen.Times + 1 else state.new(key).Times = 1 end
  end
end]]

local function sell(year, ms, wsid)
  return { id = 1, wsid = wsid or 1, command = "shop.Sell", args = { Year = year, Ms = ms } }
end

local function cud(...) return { id = 1, wsid = 1, command = "sys.CUD", cuds = { ... } } end

local function article(id, name, more)
  local a = { ["sys.ID"] = id, ["sys.QName"] = "shop.Article", Name = name }
  for k, v in pairs(more or {}) do a[k] = v end
  return a
end

local function requests()
  local list = { sell(1), sell(2), sell(1),
    cud(article(1, "Tea", { Price = 5 }), article(2, "Rum", { Other = 1 })),
    sell(1), sell(3, 77), cud({ ["sys.ID"] = 200001, Price = 666 }), sell(1),
    { id = 1, wsid = 1, command = "shop.Buy", args = { Number = 5,
      Items = { { Quantity = 1, Article = 200001 } } } } }
  for wsid = 2, 5 do list[#list + 1] = sell(wsid, wsid, wsid) end
  return list
end

local function be(n, bytes)
  local s = ""
  for _ = 1, bytes do
    s = string.char(n % 256) .. s
    n = math.floor(n / 256)
  end
  return s
end

local function hash(name)
  local h = 0x811c9dc5ULL
  for i = 1, #name do h = bit.bxor(h, name:byte(i)) * 0x01000193ULL % 0x100000000ULL end
  return tonumber(h)
end

-- Opens a partition's store, for writing: what is read, and what is put or deleted.
local function change(data, writes, partition)
  local err, opts = ffi.new "stator_error", ffi.new "stator_store_opts"
  local out = ffi.new "stator_store *[1]"
  local ops = C.stator__store_log
  local path = ("%s/shop/partition-%d"):format(data, partition or 0)
  assert.equal(0, ops.open(out, path, opts, err), lib.message(err))
  local map = C.stator__map_new()
  for key, value in pairs(writes) do
    C.stator__map_write(map, lib.slice(key), lib.slice(value or ""), value and 1 or 2)
  end
  assert.equal(0, ops.commit(out[0], map, err), lib.message(err))
  C.stator__map_free(map)
  ops.close(out[0])
end

local function read(data, key)
  local err, opts = ffi.new "stator_error", ffi.new "stator_store_opts"
  local out, snap = ffi.new "stator_store *[1]", ffi.new "stator_snapshot *[1]"
  local ops, arena = C.stator__store_log, lib.arena()
  assert.equal(0, ops.open(out, data .. "/shop/partition-0", opts, err), lib.message(err))
  assert.equal(0, ops.snapshot(out[0], snap, err), lib.message(err))
  local value = ffi.new "stator_slice"
  local view = ffi.new("stator_view", ops, snap[0], nil)
  assert.equal(0, C.stator__view_get(view, arena, lib.slice(key), value, err), key)
  local s = lib.string(value)
  ops.snapshot_end(snap[0])
  ops.close(out[0])
  return s
end

local SYS = "s" .. be(hash "sys", 4)
local function event_key(n) return "e" .. be(n, 8) end
local function wlog_key(wsid, n) return "w" .. be(wsid, 8) .. be(n, 8) end
local function record_key(wsid, id) return SYS .. "r" .. be(wsid, 8) .. be(id, 8) end
local function sales_key(wsid, year, day)
  return SYS .. "v" .. be(hash "shop.Sales", 4) .. be(wsid, 8) .. be(year + 2 ^ 31, 4)
    .. "\128" .. be(day, 7)
end

-- Bytes with another integer of 64 bits, which stands in them once.
local function with(bytes, from, to)
  local function le(n) return (be(n, 8):reverse()) end
  local at = assert(bytes:find(le(from), 1, true))
  assert(not bytes:find(le(from), at + 1, true))
  return bytes:sub(1, at - 1) .. le(to) .. bytes:sub(at + 8)
end

describe("stator verify", function()
  local image, data

  before_each(function()
    image, data = stator.shop(SCHEMA, MODULE), stator.folder(true)
  end)
  after_each(stator.clean)

  local function run(list, options)
    local replies, _, _, code = stator.run(image, data, list or requests(), options)
    assert.equal(0, code)
    for _, r in ipairs(replies) do assert.equal(200, r.status, stator.json.encode(r)) end
  end

  -- Problems, warnings, stderr and the exit code.
  local function verify(options)
    local code, out, err = stator.shell(("%s verify %s --data %s %s"):format(stator.command,
      stator.quote(image), stator.quote(data), options or ""))
    local problems, warnings = {}, {}
    for line in out:gmatch "[^\n]+" do
      local list = line:match "^warning: " and warnings or problems
      list[#list + 1] = line
    end
    return problems, warnings, err, code
  end

  -- Verify finds this, and says it in one line.
  local function finds(expected, options)
    local problems, _, err, code = verify(options)
    assert.equal(1, code)
    assert.equal(1, #problems, table.concat(problems, "\n"))
    assert.equal("stator: verify: 1 problem\n", err)
    assert.equal(expected, problems[1])
  end

  local DAMAGE = "; bring the partition's folder back from a backup"
  local AGAIN = "; have its projector go through all events again, unless the projector was "
    .. "another one then, or does not give the same twice"

  it("finds nothing wrong in what was not damaged, in one partition or three", function()
    for _, options in ipairs { "", "--partitions 3" } do
      data = stator.folder(true)
      run(nil, options)
      local problems, warnings, err, code = verify()
      assert.same({ {}, "", 0 }, { problems, err, code })
      assert.same({ "warning: partition 0: view shop.Cached: what writes it cannot be replayed: a "
        .. "job, a builtin extension, or one that reads more than events, views and records; its "
        .. "rows are not compared" }, warnings)
    end
  end)

  it("changes nothing, leaves nothing behind, and writes no log lines of projectors", function()
    run()
    local function files()
      local _, out = stator.shell(("cd %s && find . -type f ! -name lock.mdb | sort | xargs md5sum")
        :format(data))
      return out
    end
    local before = files()
    local _, _, err = verify()
    assert.same({ before, "" }, { files(), err })
  end)

  it("looks at data that is in use", function()
    local folder = stator.folder()
    local lines = {}
    for i, r in ipairs(requests()) do lines[i] = stator.json.encode(r) end
    stator.write(folder .. "/in", table.concat(lines, "\n") .. "\n")
    local code, out = stator.shell(([[
      cd %s; mkfifo fifo; %s run %s --data %s > out 2> err < fifo & pid=$!
      exec 3> fifo; cat in >&3
      for _ in $(seq 500); do [ $(wc -l < out) -ge %d ] && break; sleep 0.02; done
      %s verify %s --data %s; echo $?
      exec 3>&-; wait $pid]]):format(folder, stator.command, image, data, #lines, stator.command,
      image, data))
    assert.equal(0, code)
    assert.matches("not compared\n0\n$", out)
  end)

  it("finds events that are missing", function()
    run()
    local event = read(data, event_key(3))
    change(data, { [event_key(3)] = false })
    local problems = verify "--quick"
    assert.same({ "partition 0: plog, 4: events 3 to 3 are missing before it" .. DAMAGE,
      "partition 0: wlog, workspace 1, 3: it leads to event 3, which is missing" .. DAMAGE },
      problems)
    change(data, { [event_key(3)] = event })
    assert.same({}, (verify()))
  end)

  it("finds an event that cannot be read", function()
    run()
    change(data, { [event_key(2)] = "\1\2\3\4\5\6\7\8" })
    local problems = verify()
    assert.equal("partition 0: plog, 2: the event cannot be read" .. DAMAGE, problems[1])
  end)

  it("finds an event that is another one", function()
    run()
    change(data, { [event_key(2)] = read(data, event_key(1)) })
    local problems = verify()
    assert.equal("partition 0: plog, 2: the event says that its offset is 1" .. DAMAGE,
      problems[1])
  end)

  it("finds holes of the WLog, and where it leads elsewhere", function()
    run()
    change(data, { [wlog_key(1, 2)] = false, [wlog_key(1, 4)] = be(5, 8) })
    assert.same({
      "partition 0: plog, workspace 1, 2: the WLog of its workspace has nothing at its offset 2"
        .. DAMAGE,
      "partition 0: plog, workspace 1, 4: offset 4 of the WLog of its workspace leads to another "
        .. "event" .. DAMAGE,
      "partition 0: wlog, workspace 1, 3: offsets 2 to 2 are missing before it" .. DAMAGE,
      "partition 0: wlog, workspace 1, 4: it leads to event 5, which is another one" .. DAMAGE,
    }, (verify()))
  end)

  it("finds sequences that would give something again", function()
    run()
    change(data, { ["q" .. be(1, 8)] = be(3, 8) .. be(200002, 8) })
    local problems = verify()
    assert.equal("partition 0: sequence, workspace 1: offset 3 is next, but the WLog has it "
      .. "already" .. DAMAGE, problems[1])
    assert.equal("partition 0: record shop.Article, workspace 1, 200002: the workspace would give "
      .. "its ID again: 200002 is next" .. DAMAGE, problems[2])
  end)

  it("finds a projector that has seen more than there is", function()
    run()
    change(data, { ["mprojector shop.CountLater"] = be(99, 8) })
    finds("partition 0: projector shop.CountLater: it has seen event 99, but event 13 is the "
      .. "last one" .. DAMAGE)
  end)

  it("finds a record of no table", function()
    run()
    change(data, { [record_key(1, 200001)] = "abcd\8\0\0\0" })
    local problems = verify()
    assert.equal("partition 0: record, workspace 1, 200001: it is of no table that the image has"
      .. DAMAGE, problems[1])
  end)

  it("finds a record that is not what its events made of it", function()
    run()
    local key = record_key(1, 200001)
    change(data, { [key] = with(read(data, key), 666, 777) })
    finds("partition 0: record shop.Article, workspace 1, 200001: Price is 777, a replay gives 666"
      .. DAMAGE)
  end)

  it("finds a record that is missing, and what leads to it", function()
    run()
    change(data, { [record_key(1, 200001)] = false })
    local problems, warnings = verify()
    assert.equal("partition 0: unique shop.Article, workspace 1, 200001: unique 1 has values of "
      .. "this record, which is not there" .. DAMAGE, problems[1])
    assert.equal("warning: partition 0: record shop.Article, workspace 1, 200002: Other leads to "
      .. "record 200001, which is not there; give the field another record", warnings[2])
  end)

  it("finds an index that lacks a record", function()
    run()
    change(data, { [SYS .. "u" .. be(hash "shop.Article", 4) .. "\0" .. be(1, 8) .. be(3, 4)
      .. "Rum"] = false })
    finds("partition 0: record shop.Article, workspace 1, 200002: the index of its unique 1 lacks "
      .. "it" .. DAMAGE)
  end)

  it("finds an index that has more than records do", function()
    run()
    change(data, { [SYS .. "u" .. be(hash "shop.Article", 4) .. "\0" .. be(1, 8) .. be(3, 4)
      .. "Gin"] = "\66\13\3\0\0\0\0\0" })
    finds("partition 0: unique shop.Article, workspace 1, 200002: unique 1 has values that this "
      .. "record does not have" .. DAMAGE)
  end)

  it("finds a view's row that is not what a replay gives", function()
    run()
    local key = sales_key(1, 2026, 1)
    change(data, { [key] = with(read(data, key), 4, 555) })
    finds("partition 0: view shop.Sales, workspace 1, {Year=2026, Day=1}: Sum is 555, a replay "
      .. "gives 4" .. AGAIN)
  end)

  it("finds rows of views that are missing, or too many, each of them", function()
    run()
    local row = read(data, sales_key(1, 2026, 1))
    change(data, { [sales_key(1, 2026, 2)] = false, [sales_key(1, 2026, 9)] = row,
      [sales_key(1, 2027, 9)] = row })
    local where = "partition 0: view shop.Sales, workspace 1, "
    assert.same({ where .. "{Year=2026, Day=2}: it is missing: a replay gives it" .. AGAIN,
      where .. "{Year=2026, Day=9}: a replay does not give it" .. AGAIN,
      where .. "{Year=2027, Day=9}: a replay does not give it" .. AGAIN }, (verify()))
  end)

  it("finds a view's row that cannot be read", function()
    run()
    change(data, { [sales_key(1, 2026, 1)] = "xxxx" })
    local problems = verify()
    assert.equal("partition 0: view shop.Sales, workspace 1, {Year=2026, Day=1}: the row cannot be "
      .. "read" .. DAMAGE, problems[1])
  end)

  it("does not expect of a projector what it has not seen", function()
    run()
    change(data, { ["mprojector shop.CountLater"] = be(0, 8) })
    local problems = verify()
    assert.is_true(#problems > 0)
    for _, line in ipairs(problems) do
      assert.matches("view shop.Later, .-: a replay does not give it", line)
    end
  end)

  it("walks without a replay with --quick", function()
    run()
    local key = sales_key(1, 2026, 1)
    change(data, { [key] = with(read(data, key), 4, 555) })
    local problems, warnings, err, code = verify "--quick"
    assert.same({ {}, {}, "", 0 }, { problems, warnings, err, code })
  end)

  it("gives JSON, one object a line", function()
    run()
    change(data, { [sales_key(1, 2026, 2)] = false })
    local _, out = stator.shell(("%s verify %s --data %s --json"):format(stator.command, image,
      data))
    local lines = {}
    for line in out:gmatch "[^\n]+" do lines[#lines + 1] = stator.json.decode(line) end
    assert.equal("warning", lines[1].severity)
    assert.same({ severity = "problem", partition = 0, space = "view", name = "shop.Sales",
      wsid = 1, key = "{Year=2026, Day=2}", wrong = "it is missing: a replay gives it",
      todo = AGAIN:sub(3) }, lines[2])
  end)

  it("says of a damaged log where it is, and looks at the other partitions", function()
    local folder = stator.folder(true)
    run(nil, "--partitions 2")
    stator.write(data .. "/shop/partition-0/log-0000000000000009.seg", ("x"):rep(4096))
    change(data, { [event_key(1)] = false }, 1)
    local problems, _, err, code = verify("--scratch " .. folder)
    assert.equal(1, code)
    assert.matches("^stator: verify: %d+ problems\n$", err)
    assert.matches("^partition 0: store: .-log%-0000000000000009.seg: damaged at byte 0",
      problems[1])
    assert.equal("partition 1: plog, 2: events 1 to 1 are missing before it" .. DAMAGE, problems[2])
  end)

  it("tries a projector again that fails, as the host does", function()
    image = stator.shop([[
      TYPE P ( N int64 );
      VIEW Seen ( One int32 NOT NULL, N int64 NOT NULL, PRIMARY KEY ((One), N) ) AS RESULT OF Note;
      EXTENSION ENGINE LUA (
        COMMAND Hit(P);
        PROJECTOR Note AFTER EXECUTE ON Hit INTENTS(sys.View(Seen));
      );]], [[
      local Seen, tried = state.view "Seen", {}
      function M.Hit() end
      function M.Note(event)
        local n = event.WLogOffset
        tried[n] = (tried[n] or 0) + 1
        if tried[n] < 3 then error "not yet" end
        state.new(Seen { One = 1, N = n })
      end]])
    run { { id = 1, wsid = 1, command = "shop.Hit" }, { id = 2, wsid = 1, command = "shop.Hit" } }
    assert.same({}, (verify()))
  end)

  it("says which projector fails in a replay, once, and how often", function()
    run()
    local path = image .. "/pkg/shop/shop.lua"
    stator.write(path, (stator.read(path):gsub("function M.Count%(event%)",
      "%0 if event.WLogOffset > 1 then error 'broken' end")))
    local problems = verify()
    assert.equal("partition 0: projector shop.Count, event 2: in a replay: shop.Count: "
      .. "shop/shop.lua:11: broken; mend the projector, or what it reads", problems[1])
    assert.equal("partition 0: projector shop.Count, event 13: in a replay: it failed for 5 events "
      .. "in all; mend the projector, or what it reads", problems[2])
  end)

  it("does not run builtin extensions", function()
    image = stator.shop([[
      TABLE Article INHERITS sys.CDoc (Name varchar NOT NULL);
      TYPE PutParams (Name varchar NOT NULL, Article ref(Article));
      TYPE PutResult (Size int32 NOT NULL);
      TYPE CountRow (First int32, Times int64);
      VIEW Count (First int32 NOT NULL, One int32 NOT NULL, Times int64,
        PRIMARY KEY ((First), One)) AS RESULT OF CountNames;
      EXTENSION ENGINE BUILTIN (
        COMMAND Put(PutParams) INTENTS(sys.Record(Article), sys.Result) RETURNS PutResult;
        COMMAND Wrong();
        SYNC PROJECTOR CountNames AFTER EXECUTE ON Put INTENTS(sys.View(Count));
        QUERY Counts STATE(sys.View(Count)) RETURNS CountRow;
      );]], "")
    local program = stator.folder() .. "/embed"
    local code, _, err = stator.shell((stator.sanitized and "env -u LD_PRELOAD " or "")
      .. ("gcc -Isrc/include %s spec/fixtures/embed.c -o %s -L%s -lstator -Wl,-rpath,%s"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build,
      stator.build))
    assert.equal(0, code, err)
    local out
    code, out = stator.shell(("echo '%s' | env -u LD_PRELOAD %s %s %s"):format(
      '{"id":1,"wsid":1,"command":"shop.Put","args":{"Name":"Tea"}}', program, image, data))
    assert.equal(0, code)
    assert.matches('"status":200', out)
    local problems, warnings
    problems, warnings, err, code = verify()
    assert.same({ {}, "", 0 }, { problems, err, code })
    assert.matches("view shop.Count: what writes it cannot be replayed", warnings[1])
  end)

  it("has exit code 2 for a wrong command line", function()
    local code, _, err = stator.shell(stator.command .. " verify " .. image)
    assert.same({ 2, "stator: verify: needs IMAGE and --data DIR\n" }, { code, err })
  end)

  it("finds nothing wrong behind an upgrade that adds fields", function()
    run()
    local function more() return { cud({ ["sys.ID"] = 200001, Price = 3 }), sell(1), sell(9) } end
    stator.write(image .. "/pkg/shop/shop.vsql", (stator.read(image .. "/pkg/shop/shop.vsql")
      :gsub("Sum int64, Last varchar%(20%)", "%0, More int64")
      :gsub("Price int64, Other ref%(Article%)", "%0, Colour varchar(9)")))
    assert.same({}, (verify()))
    run(more())
    assert.same({}, (verify()))
  end)
end)
