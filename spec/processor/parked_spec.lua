-- Asynchronous projectors that fail, what operators see of them, and what they do about it.

local stator = require "support.stator"

local SCHEMA = [[
  VIEW Log ( K int32 NOT NULL, Name varchar(50) NOT NULL, N int64,
    PRIMARY KEY ((K), Name) ) AS RESULT OF Count;
  VIEW Sums ( K int32 NOT NULL, Name varchar(50) NOT NULL, N int64,
    PRIMARY KEY ((K), Name) ) AS RESULT OF Fragile;
  VIEW Both ( K int32 NOT NULL, Name varchar(50) NOT NULL, N int64,
    PRIMARY KEY ((K), Name) ) AS RESULT OF One;
  TABLE Article INHERITS sys.CDoc ( Name varchar );
  TYPE Params ( Number int64 );
  EXTENSION ENGINE LUA (
    COMMAND Do(Params);
    PROJECTOR Count AFTER EXECUTE ON Do INTENTS(sys.View(Log));
    PROJECTOR Fragile AFTER EXECUTE ON Do INTENTS(sys.View(Sums), sys.Logger);
    PROJECTOR One AFTER INSERT ON Article INTENTS(sys.View(Both));
    PROJECTOR Two AFTER INSERT ON Article INTENTS(sys.View(Both));
    PROJECTOR Cache AFTER INSERT ON Article INTENTS(sys.View(Both), sys.Ephemeral);
    PROJECTOR Idle AFTER INSERT ON Article;
    SYNC PROJECTOR Sync AFTER INSERT ON Article INTENTS(sys.View(Both));
  );]]

-- `when` is the condition under which Fragile fails.
local function image_of(when)
  return stator.shop(SCHEMA, ([[
    local function counter(view)
      return function(event)
        local key = view { K = event.WLogOffset %% 3, Name = "all" }
        local seen = state.get(key)
        local n = event.ArgumentObject.Number
        if seen then state.update(key, seen).N = seen.N + n else state.new(key).N = n end
      end
    end
    M.Count = counter(state.view "Log")
    local sum = counter(state.view "Sums")
    local tries = 0
    function M.Do() end
    function M.Fragile(event)
      local number = event.ArgumentObject.Number
      sum(event)
      tries = tries + 1
      if %s then error "cannot" end
    end
    for _, name in ipairs { "One", "Two", "Cache", "Idle", "Sync" } do M[name] = function() end end
    ]]):format(when or "number == -1"), { ["descriptor.json"] = '{"projectors":{"waitMs":1}}' })
end

local function events(first, last, wsid)
  local requests = {}
  for number = first, last do
    requests[#requests + 1] = { id = number, wsid = wsid or 1, command = "shop.Do",
      args = { Number = number } }
  end
  return requests
end

-- `stator projectors`: its lines as tables, by projector; exit code; stderr.
local function projectors(image, data, options)
  local code, out, err = stator.shell(("%s projectors %s --data %s --json %s"):format(
    stator.command, stator.quote(image), stator.quote(data), options or ""))
  local list = {}
  for line in out:gmatch "[^\n]+" do
    local row = stator.json.decode(line)
    list[row.projector] = list[row.projector] or {}
    list[row.projector][row.partition + 1] = row
  end
  return list, code, err
end

local function view(image, data, name)
  local _, raw = stator.dump(image, data, "view " .. name)
  return table.concat(raw, "\n")
end

describe("a projector that keeps failing on an event", function()
  local data

  before_each(function() data = stator.folder() end)
  after_each(stator.clean)

  it("is listed as parked with event, tries, time and error, after the host has ended", function()
    local image, before = image_of "number == 3", os.time()
    stator.run(image, data, events(1, 5))
    local row = projectors(image, data)["shop.Fragile"][1]
    assert.same({ "parked", 2, 3, 3, 8, "EXTENSION_FAILED" },
      { row.state, row.offset, row.lag, row.event, row.tries, row.code })
    assert.matches("^shop.Fragile: .*shop%.lua:%d+: cannot$", row.error)
    local y, m, d, h, min, s = row.time:match "^(%d+)-(%d+)-(%d+)T(%d+):(%d+):(%d+)%.%d%d%dZ$"
    local at = os.time { year = y, month = m, day = d, hour = h, min = min, sec = s }
    local utc = os.time(os.date "!*t")
    assert.is_true(at >= before - (os.time() - utc) - 1 and at <= utc, row.time)
  end)

  it("does not hold up others, which are listed as running", function()
    local image = image_of "number == 3"
    stator.run(image, data, events(1, 5))
    local row = projectors(image, data)["shop.Count"][1]
    assert.same({ "running", 5, 0 }, { row.state, row.offset, row.lag })
    assert.is_nil(row.event)
  end)

  it("is listed with what it has seen where it wants no event of it", function()
    local image = image_of()
    stator.run(image, data, events(1, 5))
    local row = projectors(image, data)["shop.Idle"][1]
    assert.same({ "running", 5, 0 }, { row.state, row.offset, row.lag })
  end)

  it("is listed for each partition", function()
    local image, requests = image_of "number == 2", events(1, 1, 1)
    requests[2] = events(2, 2, 2)[1]
    stator.run(image, data, requests, "--partitions 2")
    local rows = projectors(image, data)["shop.Fragile"]
    assert.same({ "parked", "running" }, { rows[1].state, rows[2].state })
  end)

  it("is listed for people, a line each", function()
    local image = image_of "number == 3"
    stator.run(image, data, events(1, 5))
    local code, out = stator.shell(("%s projectors %s --data %s"):format(stator.command, image,
      data))
    assert.equal(0, code)
    assert.matches("shop.Count    partition 0  offset 5  lag 0  running\n", out, 1, true)
    assert.matches("shop.Fragile  partition 0  offset 2  lag 3  parked at event 3  tries 8  2",
      out, 1, true)
    assert.matches("Z  EXTENSION_FAILED: shop.Fragile: ", out, 1, true)
  end)

  it("is tried as often as the descriptor says", function()
    local image = image_of "number == 3"
    stator.write(image .. "/descriptor.json", '{"projectors":{"tries":2,"waitMs":1}}')
    stator.run(image, data, events(1, 5))
    assert.equal(2, projectors(image, data)["shop.Fragile"][1].tries)
  end)

  it("is tried afresh at the next start, and its tries count on", function()
    local image = image_of "number == 3"
    stator.run(image, data, events(1, 5))
    stator.run(image, data, {})
    local row = projectors(image, data)["shop.Fragile"][1]
    assert.same({ "parked", 3, 16 }, { row.state, row.event, row.tries })
  end)

  it("has no trouble any more when it is mended", function()
    stator.run(image_of "number == 3", data, events(1, 5))
    local mended = image_of()
    stator.run(mended, data, {})
    local row = projectors(mended, data)["shop.Fragile"][1]
    assert.same({ "running", 5, 0 }, { row.state, row.offset, row.lag })
    assert.is_nil(row.error)
    assert.equal(view(mended, data, "shop.Log"), view(mended, data, "shop.Sums"))
  end)

  it("fails on the second event after the first one was skipped", function()
    local image = image_of "number == 3 or number == 5"
    stator.run(image, data, events(1, 5))
    projectors(image, data, "--skip 3")
    local row = projectors(image, data)["shop.Fragile"][1]
    assert.same({ "parked", 5, 8 }, { row.state, row.event, row.tries })
  end)
end)

describe("stator projectors --retry", function()
  local data

  before_each(function() data = stator.folder() end)
  after_each(stator.clean)

  it("tries the event again, and goes on", function()
    stator.run(image_of "number == 3", data, events(1, 5))
    local mended = image_of()
    local list, code = projectors(mended, data, "--retry shop.Fragile")
    assert.equal(0, code)
    assert.same({ "running", 0 },
      { list["shop.Fragile"][1].state, list["shop.Fragile"][1].lag })
    assert.equal(view(mended, data, "shop.Log"), view(mended, data, "shop.Sums"))
  end)

  it("takes the name in any place", function()
    for _, options in ipairs { "--projector shop.Fragile --retry", "shop.Fragile --retry",
      "--retry=shop.Fragile" } do
      local folder = stator.folder()
      stator.run(image_of "number == 1", folder, events(1, 1))
      local list, code = projectors(image_of(), folder, options)
      assert.same({ 0, "running" }, { code, list["shop.Fragile"][1].state })
      assert.is_nil(list["shop.Count"])
    end
  end)

  it("without a name does so for all", function()
    stator.run(image_of "number == 3", data, events(1, 5))
    local list, code = projectors(image_of(), data, "--retry")
    assert.same({ 0, "running" }, { code, list["shop.Fragile"][1].state })
  end)

  it("has exit code 1 and says so when it is parked again", function()
    local image = image_of "number == 3"
    stator.run(image, data, events(1, 5))
    local list, code, err = projectors(image, data, "--retry shop.Fragile")
    assert.same({ 1, "parked" }, { code, list["shop.Fragile"][1].state })
    assert.matches("projectors: shop.Fragile is parked at event 3 of partition 0: ", err, 1, true)
  end)

  it("is refused where nothing is parked", function()
    local image = image_of()
    stator.run(image, data, events(1, 2))
    for options, message in pairs { ["--retry"] = "no projector is parked",
      ["--retry shop.Fragile"] = "shop.Fragile is not parked" } do
      local _, code, err = projectors(image, data, options)
      assert.equal(1, code)
      assert.matches(message .. "\n", err, 1, true)
    end
  end)
end)

describe("stator projectors --skip", function()
  local data

  before_each(function() data = stator.folder() end)
  after_each(stator.clean)

  it("leaves that one event out, and goes on", function()
    local image = image_of "number == 3"
    stator.run(image, data, events(1, 6))
    local list, code = projectors(image, data, "--skip 3")
    assert.same({ 0, "running", 0 },
      { code, list["shop.Fragile"][1].state, list["shop.Fragile"][1].lag })
    local sum = 0
    for _, row in ipairs((stator.dump(image, data, "view shop.Sums"))) do
      sum = sum + row.value.N
    end
    assert.equal(1 + 2 + 4 + 5 + 6, sum)
  end)

  it("is listed from then on, until the views are made anew", function()
    local image = image_of "number == 3 or number == 5 or number == 11"
    stator.run(image, data, events(1, 12))
    assert.is_nil(projectors(image, data)["shop.Fragile"][1].skipped)
    for _, event in ipairs { 3, 5, 11 } do projectors(image, data, "--skip " .. event) end
    assert.same({ 3, 5, 11 }, projectors(image, data)["shop.Fragile"][1].skipped)
    local _, text = stator.shell(("%s projectors %s --data %s shop.Fragile"):format(stator.command,
      image, data))
    assert.equal("shop.Fragile  partition 0  offset 12  lag 0  running  skipped 3, 5, 11\n", text)
    projectors(image, data, "--rebuild shop.Fragile")
    assert.is_nil(projectors(image, data)["shop.Fragile"][1].skipped)
  end)

  it("is refused for an event that nobody is parked at, and changes nothing", function()
    local image = image_of "number == 3"
    stator.run(image, data, events(1, 6))
    for options, message in pairs { ["--skip 4"] = "no projector is parked at event 4",
      ["--skip 4 --projector shop.Fragile"] = "shop.Fragile is not parked at event 4",
      ["--skip 3 --projector shop.Count"] = "shop.Count is not parked at event 3" } do
      local _, code, err = projectors(image, data, options)
      assert.equal(1, code)
      assert.matches(message .. "\n", err, 1, true)
    end
    assert.equal(3, projectors(image, data)["shop.Fragile"][1].event)
  end)

  it("asks which partition, when several are parked at that number", function()
    local image, requests = image_of "true", events(1, 1, 1)
    requests[2] = events(2, 2, 2)[1]
    stator.run(image, data, requests, "--partitions 2")
    local _, code, err = projectors(image, data, "--skip 1")
    assert.equal(1, code)
    assert.matches("2 are parked at event 1; say which projector and partition\n", err, 1, true)
    local _, again = projectors(image, data, "--skip 1 --partition 1")
    assert.equal(0, again)
    local rows = projectors(image, data)["shop.Fragile"]
    assert.same({ "parked", "running" }, { rows[1].state, rows[2].state })
  end)
end)

describe("stator projectors --rebuild", function()
  local data

  before_each(function() data = stator.folder() end)
  after_each(stator.clean)

  it("gives the same view, byte for byte", function()
    local image, requests = image_of(), {}
    for wsid = 1, 4 do
      for _, request in ipairs(events(1, 50, wsid)) do requests[#requests + 1] = request end
    end
    stator.run(image, data, requests, "--partitions 2")
    local before = view(image, data, "shop.Sums")
    local list, code, err = projectors(image, data, "--rebuild shop.Fragile")
    assert.equal(0, code, err)
    assert.same({ "running", 0 }, { list["shop.Fragile"][2].state, list["shop.Fragile"][2].lag })
    assert.is_true(#before > 0)
    assert.equal(before, view(image, data, "shop.Sums"))
  end)

  it("drops what its events do not give any more", function()
    stator.run(image_of "number == 3", data, events(1, 6))
    stator.run(image_of "number == 3", data, events(7, 7))
    local other = image_of()
    projectors(other, data, "--rebuild shop.Fragile")
    assert.equal(view(other, data, "shop.Log"), view(other, data, "shop.Sums"))
  end)

  it("leaves the views of others alone", function()
    local image = image_of()
    stator.run(image, data, events(1, 9))
    local before = view(image, data, "shop.Log")
    projectors(image, data, "--rebuild shop.Fragile")
    assert.equal(before, view(image, data, "shop.Log"))
  end)

  for name, message in pairs {
    One = "shop.One cannot be rebuilt: shop.Two writes shop.Both, too",
    Cache = "shop.Cache cannot be rebuilt: shop.One writes shop.Both, too",
    Idle = "shop.Idle cannot be rebuilt: it writes no view",
    Sync = "no asynchronous projector is called shop.Sync",
    Cound = "no asynchronous projector is called shop.Cound; did you mean shop.Count?",
  } do
    it("is refused for shop." .. name .. ": " .. message, function()
      local image = image_of()
      stator.run(image, data, events(1, 2))
      local _, code, err = projectors(image, data, "--rebuild shop." .. name)
      assert.equal(1, code)
      assert.matches(message, err, 1, true)
    end)
  end

  it("is refused for a projector with intents outside of views", function()
    local image = stator.shop([[
      VIEW V ( K int32 NOT NULL, N int32 NOT NULL, PRIMARY KEY ((K), N) ) AS RESULT OF P;
      EXTENSION ENGINE LUA (
        COMMAND Do();
        PROJECTOR P AFTER EXECUTE ON Do INTENTS(sys.View(V), sys.Ephemeral);
      );]], "function M.Do() end function M.P() end")
    stator.run(image, data, { { id = 1, wsid = 1, command = "shop.Do" } })
    local _, code, err = projectors(image, data, "--rebuild shop.P")
    assert.equal(1, code)
    assert.matches("shop.P cannot be rebuilt: it has intents of sys.Ephemeral, which would be "
      .. "done again\n", err, 1, true)
  end)
end)

describe("stator projectors", function()
  local data

  before_each(function() data = stator.folder() end)
  after_each(stator.clean)

  it("is refused without data, and makes none", function()
    for _, options in ipairs { "", "--retry", "--skip 1", "--rebuild shop.Count" } do
      local _, code, err = projectors(image_of(), data .. "/none", options)
      assert.equal(1, code)
      assert.matches("there is no data of shop", err, 1, true)
    end
    assert.equal(1, (stator.shell("test -e " .. data .. "/none")))
  end)

  it("refuses a version that does not fit the data", function()
    stator.run(image_of "number == 1", data, events(1, 2))
    local image = image_of()
    local path = image .. "/pkg/shop/shop.vsql"
    stator.write(path, (stator.read(path):gsub("Number int64", "Number int32")))
    local _, code, err = projectors(image, data, "--retry")
    assert.equal(1, code)
    assert.matches("does not fit the data: shop.Params: field Number was int64, now int32", err, 1,
      true)
  end)

  -- With a host that runs, and `ask`, which sends a request and reads its reply.
  local function while_running(image, script)
    local code, out, err = stator.shell(([[
      cd %s; mkfifo in out
      timeout 60 %s run %s --data %s/data < in > out 2> log & exec 3> in 4< out
      ask() { printf '%%s\n' "$1" >&3; read -r reply <&4; }
      state() { ask '{"id":0,"wsid":1,"query":"sys.Projectors"}'; }
      until_is() { for i in $(seq 3000); do state; case $reply in *$1*) return;; esac; sleep 0.01
        done; echo "never $1: $reply" >&2; exit 9; }
      %s
      code=$?; exec 3>&-; wait; exit $code]]):format(data, stator.command, image, data, script))
    return code, out, err
  end

  local DO = [[ask '{"id":1,"wsid":1,"command":"shop.Do","args":{"Number":%d}}'; ]]
  local PARKED = DO:format(1) .. DO:format(2) .. DO:format(3)
    .. [[until_is '"State":"parked","Event":2'; ]]

  it("lists while the data is in use, and says who has it when it is to act", function()
    local image = image_of()
    local code, out, err = while_running(image, DO:format(1) .. ([[
      S="%s projectors %s --data %s/data"; $S || exit; $S --rebuild shop.Count]]):format(
      stator.command, image, data))
    assert.equal(1, code)
    assert.matches("shop.Count    partition 0", out, 1, true)
    assert.matches("in use by another process; stop it first", err, 1, true)
  end)

  it("has sys.Projectors say the same on a host that runs", function()
    local code, out = while_running(image_of "number == 2", PARKED .. 'echo "$reply"')
    assert.equal(0, code)
    local rows = {}
    for _, row in ipairs(stator.json.decode(out).rows) do rows[row.Projector] = row end
    local row = rows["shop.Fragile"]
    assert.same({ 0, 1, 2, "parked", 2, 8, "EXTENSION_FAILED" },
      { row.Partition, row.Offset, row.Lag, row.State, row.Event, row.Tries, row.Code })
    assert.matches("shop%.lua:%d+: cannot", row.Error)
    assert.is_true(row.At > 1.7e12)
    assert.equal("running", rows["shop.Count"].State)
  end)

  it("has sys.Retry try a parked one again on a host that runs", function()
    local image = image_of "number == 2 and tries <= 9"
    local code, _, err = while_running(image, PARKED
      .. [[ask '{"id":1,"wsid":1,"command":"sys.Retry","args":{"Projector":"shop.Fragile"}}']])
    assert.equal(0, code, err)
    assert.equal(view(image, data .. "/data", "shop.Log"),
      view(image, data .. "/data", "shop.Sums"))
  end)

  it("has sys.Skip leave an event out on a host that runs", function()
    local image = image_of "number == 2"
    local code, out, err = while_running(image, PARKED
      .. [[ask '{"id":1,"wsid":1,"command":"sys.Skip","args":{"Projector":"shop.Fragile",]]
      .. [["Event":3}}'; echo "$reply"; ]]
      .. [[ask '{"id":1,"wsid":1,"command":"sys.Skip","args":{"Projector":"shop.Fragile",]]
      .. [["Event":2}}'; echo "$reply"; ]]
      .. [[until_is '"Lag":0,"State":"running"},{"Projector":"shop.I']])
    assert.equal(0, code, err)
    assert.matches('"code":"NOT_FOUND","message":"shop.Fragile is parked at event 2, not 3"', out,
      1, true)
    local sum = 0
    for _, row in ipairs((stator.dump(image, data .. "/data", "view shop.Sums"))) do
      sum = sum + row.value.N
    end
    assert.equal(1 + 3, sum)
  end)

  it("has sys.Rebuild give the same view on a host that runs", function()
    local image = image_of()
    local code, out, err = while_running(image, DO:format(1) .. DO:format(2)
      .. [[ask '{"id":1,"wsid":1,"command":"sys.Rebuild","args":{"Projector":"shop.Fragile"}}']]
      .. '; echo "$reply"; ' .. DO:format(3))
    assert.equal(0, code, err)
    assert.matches('"status":200', out)
    assert.equal(view(image, data .. "/data", "shop.Log"),
      view(image, data .. "/data", "shop.Sums"))
  end)

  for request, message in pairs {
    ['"sys.Retry","args":{"Projector":"shop.Fragil"}'] =
      "args.Projector: no asynchronous projector is called shop.Fragil; did you mean shop.Fragile?",
    ['"sys.Retry","args":{"Projector":"shop.Count"}'] = "shop.Count is not parked",
    ['"sys.Rebuild","args":{"Projector":"shop.Two"}'] =
      "shop.Two cannot be rebuilt: shop.One writes shop.Both, too",
  } do
    it("has " .. request:match "sys%.%a+" .. " refuse what cannot be: " .. message, function()
      local reply = stator.run(image_of(), data,
        { '{"id":1,"wsid":1,"command":' .. request .. "}" })[1]
      assert.equal(message, reply.error.message)
    end)
  end
end)

describe("a rebuild that is killed", function()
  after_each(stator.clean)

  local SEVERAL = [[
    VIEW Many ( K int32 NOT NULL, N int32 NOT NULL, Value int64,
      PRIMARY KEY ((K), N) ) AS RESULT OF Fill;
    TYPE Params ( Number int32 );
    EXTENSION ENGINE LUA (
      COMMAND Do(Params);
      PROJECTOR Fill AFTER EXECUTE ON Do INTENTS(sys.View(Many));
    );]]

  it("has left the old view, or goes on with the next start, and no mixture counts as done",
    function()
      local image, data, requests = stator.shop(SEVERAL, [[
        local Many = state.view "Many"
        function M.Do() end
        function M.Fill(event)
          local number = event.ArgumentObject.Number
          for i = 1, 100 do
            local key = Many { K = 1, N = i * 1000 + number }
            local seen = state.get(key)
            if seen then
              state.update(key, seen).Value = seen.Value + 1
            else
              state.new(key).Value = number
            end
          end
        end]]), stator.folder(), {}
      for i = 1, 300 do
        requests[i] = { id = i, wsid = 1, command = "shop.Do", args = { Number = i % 200 } }
      end
      stator.run(image, data, requests)
      local before = view(image, data, "shop.Many")
      local line = ("%s projectors %s --data %s --rebuild shop.Fill"):format(stator.command, image,
        data)
      local _, nanoseconds = stator.shell(
        "from=$(date +%s%N); " .. line .. " > /dev/null; echo $(($(date +%s%N) - from))")
      assert.equal(before, view(image, data, "shop.Many"))
      local unfinished = 0
      for round = 1, 12 do
        stator.shell(("timeout -s KILL %.3f %s"):format(tonumber(nanoseconds) / 1e9 * round / 13,
          line))
        local row = projectors(image, data)["shop.Fill"][1]
        if row.state == "running" and row.lag == 0 then
          assert.equal(before, view(image, data, "shop.Many"))
        else
          unfinished = unfinished + 1
          if round % 3 == 0 then
            stator.run(image, data, {})
            assert.equal(before, view(image, data, "shop.Many"))
          end
        end
      end
      stator.run(image, data, {})
      assert.equal(before, view(image, data, "shop.Many"))
      assert.equal(0, projectors(image, data)["shop.Fill"][1].lag)
      assert.is_true(unfinished > 0)
    end)
end)
