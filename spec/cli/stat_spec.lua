-- `stator stat`: how much is stored, and how far everything is.

local stator = require "support.stator"

local SCHEMA = [[
  TYPE P ( N int64 );
  TABLE Article INHERITS sys.CDoc ( Name varchar(20) );
  VIEW Seen ( One int32 NOT NULL, N int64 NOT NULL, PRIMARY KEY ((One), N) ) AS RESULT OF Note;
  EXTENSION ENGINE LUA (
    COMMAND Hit(P);
    SYNC PROJECTOR Note AFTER EXECUTE ON Hit INTENTS(sys.View(Seen));
    PROJECTOR Stuck AFTER EXECUTE ON Hit INTENTS(sys.View(Seen));
    PROJECTOR Idle AFTER INSERT ON Article INTENTS(sys.View(Seen));
  );]]

local MODULE = [[
local Seen = state.view "Seen"
function M.Hit() end
function M.Note(event) state.new(Seen { One = 1, N = event.ArgumentObject.N }) end
function M.Stuck(event)
  if event.ArgumentObject.N > 2 then error "never" end
  state.new(Seen { One = 2, N = event.ArgumentObject.N })
end
function M.Idle(event) state.new(Seen { One = 3, N = event.WLogOffset }) end]]

local function hit(n, wsid)
  return { id = 1, wsid = wsid, command = "shop.Hit", args = { N = n } }
end

local function cud(wsid)
  return { id = 1, wsid = wsid, command = "sys.CUD",
    cuds = { { ["sys.ID"] = 1, ["sys.QName"] = "shop.Article", Name = "Tea" } } }
end

describe("stator stat", function()
  local image, data

  before_each(function()
    image, data = stator.shop(SCHEMA, MODULE), stator.folder(true)
  end)
  after_each(stator.clean)

  local function stat(options)
    return stator.shell(("%s stat %s --data %s %s"):format(stator.command, image, data,
      options or ""))
  end

  local function partitions()
    local code, out, err = stat "--json"
    assert.same({ 0, "" }, { code, err })
    local list = {}
    for line in out:gmatch "[^\n]+" do list[#list + 1] = stator.json.decode(line) end
    return list
  end

  it("counts events, workspaces, records and views of each partition", function()
    stator.run(image, data, { hit(1, 1), hit(2, 2), cud(3), cud(3), hit(1, 3) }, "--partitions 2")
    local list = partitions()
    assert.same({ 0, 1, 1, {} },
      { list[1].partition, list[1].events.count, list[1].workspaces, list[1].records })
    assert.same({ 1, 4, 2 }, { list[2].partition, list[2].events.count, list[2].workspaces })
    assert.same({ "shop.Article", 2 }, { list[2].records[1].name, list[2].records[1].count })
    assert.same({ "shop.Seen", 6 }, { list[2].views[1].name, list[2].views[1].count })
    assert.is_true(list[2].views[1].bytes > 40)
  end)

  it("says of asynchronous projectors how many events they want are behind them", function()
    stator.run(image, data, { hit(1, 1), hit(2, 1), hit(3, 1), cud(1), hit(4, 1) })
    local found = {}
    for _, p in ipairs(partitions()[1].projectors) do found[p.name] = p.lag end
    assert.same({ ["shop.Stuck"] = 2, ["shop.Idle"] = 0 }, found)
  end)

  it("knows the log of a host that was killed, and its last checkpoint", function()
    local folder = stator.folder()
    stator.run(image, data, { hit(1, 1), hit(2, 1) })
    local before = partitions()[1]
    assert.same({ { segments = 0, bytes = 0 }, 1 }, { before.log, before.checkpoint.commit > 0
      and 1 })
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$", before.checkpoint.at)
    stator.shell(([[
      cd %s; mkfifo fifo; %s run %s --data %s > out 2> err < fifo & pid=$!
      exec 3> fifo; echo '{"id":1,"wsid":1,"command":"shop.Hit","args":{"N":1}}' >&3
      while [ $(wc -l < out) -lt 1 ]; do sleep 0.01; done
      kill -9 $pid; wait $pid]]):format(folder, stator.command, image, data))
    assert.matches('"status":200', stator.read(folder .. "/out"))
    local behind = partitions()[1]
    assert.same({ before.checkpoint.commit, 1, 3 },
      { behind.checkpoint.commit, behind.log.segments, behind.events.count })
    assert.is_true(behind.log.bytes > 0)
  end)

  it("counts what the image has no table or view for", function()
    stator.run(image, data, { cud(1) })
    local path = image .. "/pkg/shop/shop.vsql"
    stator.write(path, (stator.read(path):gsub("TABLE Article", "TABLE Other")
      :gsub("ON Article", "ON Other")))
    assert.equal(1, partitions()[1].unknown.count)
  end)

  it("says it in lines for people", function()
    stator.run(image, data, { hit(1, 1), cud(1) })
    local _, out = stat()
    assert.matches("^partition 0\n  events       2, %d+ bytes\n  workspaces   1\n", out)
    assert.matches("\n  record       shop.Article +1 rows +%d+ bytes\n", out)
  end)

  it("says that there is no data", function()
    local code, _, err = stat()
    assert.equal(1, code)
    assert.matches("there is no data of shop", err)
  end)
end)
