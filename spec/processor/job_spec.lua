local stator = require "support.stator"

local SCHEMA = [[
APPLICATION shop ();
ALTER WORKSPACE sys.AppWorkspaceWS (
  TYPE Text (Text varchar);
  TYPE Tick (Job varchar, UnixTime int64, Time int64, Workspace int64);
  VIEW Ticks (One int32 NOT NULL, UnixTime int64 NOT NULL, Job varchar NOT NULL, Time int64,
    Workspace int64, PRIMARY KEY ((One), UnixTime, Job)) AS RESULT OF Hourly;
  VIEW Orders (One int32 NOT NULL, At int64 NOT NULL, Text varchar,
    PRIMARY KEY ((One), At)) AS RESULT OF Keep;
  EXTENSION ENGINE LUA (
    %s
    COMMAND Order(Text);
    SYNC PROJECTOR Keep AFTER EXECUTE ON Order INTENTS(sys.View(Orders));
    QUERY All STATE(sys.View(Ticks)) RETURNS Tick;
    QUERY Clock RETURNS Tick;
  );
);
]]

local MODULE = [[
local state = require "stator.state"
local Ticks, Orders = state.view "Ticks", state.view "Orders"
local Context = state.storage "sys.JobContext"
local M = {}
local function note(job, context)
  state.new(Ticks { One = 1, UnixTime = context.UnixTime, Job = job },
    { Time = os.time(), Workspace = context.Workspace })
end
function M.Hourly(context) note("Hourly", context) end
function M.Order() end
function M.Keep(event)
  state.new(Orders { One = 1, At = event.RegisteredAt }, { Text = event.ArgumentObject.Text })
end
function M.All()
  for key, row in state.read(Ticks { One = 1 }) do
    state.result { Job = key.Job, UnixTime = key.UnixTime, Time = row.Time,
      Workspace = row.Workspace }
  end
end
function M.Clock() state.result { Time = os.time() } end
%s
return M
]]

local INTENTS = " INTENTS(sys.View(Ticks))"
local LOGGED = " INTENTS(sys.View(Ticks), sys.Logger)"
local HOURLY = "JOB Hourly '@hourly'" .. INTENTS .. ";"
local START = "--clock 2026-01-01T00:00:00Z"
local NEW_YEAR = 1767225600 -- the same

-- `jobs` are more of them; Hourly is always there.
local function image(jobs, module, descriptor)
  return stator.image {
    ["pkg/shop/shop.vsql"] = SCHEMA:format(HOURLY .. (jobs or "")),
    ["pkg/shop/shop.lua"] = MODULE:format(module or ""),
    ["descriptor.json"] = descriptor and stator.json.encode(descriptor),
  }
end

local function to(time) return { id = 1, clock = "2026-01-" .. time .. "Z" } end
local function query(name, wsid) return { id = 1, wsid = wsid or 65536, query = name } end

-- The ticks that a job has noted, in hours since the new year.
local function hours(reply, job)
  local list = {}
  for _, row in ipairs(reply.rows) do
    if row.Job == (job or "Hourly") then list[#list + 1] = (row.UnixTime - NEW_YEAR) / 3600 end
  end
  return list
end

local function counts(reply) return { reply.runs, reply.failures } end

describe("a job", function()
  after_each(stator.clean)

  it("runs at each of its ticks, in order, with the time of the tick", function()
    local replies = stator.try(image(), { to "01T03:30:00", query "shop.All" }, START)
    assert.same({ id = 1, status = 200, clock = "2026-01-01T03:30:00Z", runs = 3, failures = 0 },
      replies[1])
    local rows = {}
    for hour = 1, 3 do
      local at = NEW_YEAR + hour * 3600
      rows[hour] = { Job = "Hourly", UnixTime = at, Time = at, Workspace = 65536 }
    end
    assert.same(rows, replies[2].rows)
  end)

  it("does not run before its first tick", function()
    local replies = stator.try(image(), { to "01T00:59:59.999", to "01T01:00:00" }, START)
    assert.same({ { 0, 0 }, { 1, 0 } }, { counts(replies[1]), counts(replies[2]) })
  end)

  it("reads the same context from sys.JobContext, and needs no declaration", function()
    local replies = stator.try(image("JOB Daily '@daily'" .. INTENTS .. ";",
      "function M.Daily() note('Daily', state.get(Context {})) end"),
      { to "02T00:00:00", query "shop.All" }, START)
    assert.same({ 24 }, hours(replies[2], "Daily"))
  end)

  it("runs in each workspace of the application, in its partition", function()
    local own, data = image(nil, nil, { appWorkspaces = 3, partitions = 2 }), stator.folder()
    local replies = stator.run(own, data, { to "01T02:00:00" }, START)
    assert.same({ 6, 0 }, counts(replies[1]))
    local seen = {}
    for _, row in ipairs((stator.dump(own, data, "view shop.Ticks"))) do
      assert.equal(row.wsid, row.value.Workspace)
      seen[row.wsid] = (seen[row.wsid] or 0) + 1
    end
    assert.same({ [65536] = 2, [65537] = 2, [65538] = 2 }, seen)
  end)

  it("leaves nothing when it fails, and runs again at its next tick", function()
    local replies, _, err = stator.try(image("JOB Bad '*/30 * * * *'" .. INTENTS .. ";", [[
      function M.Bad(context)
        note("Bad", context)
        if context.UnixTime % 3600 == 0 then error "not on the hour" end
      end]]), { to "01T02:00:00", query "shop.All", query "sys.Jobs" }, START)
    assert.same({ 6, 2 }, counts(replies[1]))
    assert.same({ 0.5, 1.5 }, hours(replies[2], "Bad"))
    assert.matches("error shop.Bad: tick 2026%-01%-01T01:00:00Z in workspace 65536 of partition 0: "
      .. "shop.Bad: shop/shop.lua:%d+: not on the hour; it is run again at "
      .. "2026%-01%-01T01:30:00Z\n", err)
    local job = replies[3].rows[2]
    assert.same({ "shop.Bad", "*/30 * * * *", 65536, 4, 2 },
      { job.Job, job.Schedule, job.Workspace, job.Runs, job.Failures })
    assert.matches("not on the hour$", job.Error)
    assert.same({ (NEW_YEAR + 7200) * 1000, (NEW_YEAR + 9000) * 1000 },
      { job.LastTick, job.NextTick })
  end)

  it("has a limit of time of its own", function()
    local replies, _, err = stator.try(image("JOB Slow '30 * * * *';",
      "function M.Slow() while true do end end", { limits = { timeMs = { job = 30 } } }),
      { to "01T02:00:00", query "shop.All" }, START)
    assert.same({ 4, 2 }, counts(replies[1]))
    assert.matches("shop.Slow: .-limit of 30 ms exceeded", err)
    assert.same({ 1, 2 }, hours(replies[2]))
  end)

  it("may not write what it has not declared, nor records", function()
    local own = image("JOB Rude '30 * * * *';", "function M.Rude(c) note('Rude', c) end")
    local replies, _, err = stator.try(own, { to "01T00:30:00", query "shop.All" }, START)
    assert.same({ 1, 1 }, counts(replies[1]))
    assert.matches("sys.View%(shop.Ticks%) to INTENTS of shop.Rude", err)
    assert.same({}, replies[2].rows)
    local lines = stator.check(image "JOB R '@daily' INTENTS(sys.Record(T)); TABLE T INHERITS x;")
    assert.equal(1, #lines)
  end)

  it("sees what commands before it have written", function()
    local replies = stator.try(image(
      "JOB Count '30 * * * *' STATE(sys.View(Orders))" .. INTENTS .. ";", [[
      function M.Count(context)
        for _, row in state.read(Orders { One = 1 }) do note(row.Text, context) end
      end]]), { { id = 1, wsid = 65536, command = "shop.Order", args = { Text = "tea" } },
      to "01T00:30:00", query "shop.All" }, START)
    assert.same({ 0.5 }, hours(replies[3], "tea"))
  end)

  it("runs once for all ticks that were missed while the host was stopped", function()
    local own, data = image(), stator.folder()
    stator.run(own, data, { to "01T02:00:00" }, START)
    local replies = stator.run(own, data, { { id = 1, advance_ms = 0 }, query "shop.All" },
      "--clock 2026-01-01T06:40:00Z")
    assert.same({ 1, 0 }, counts(replies[1]))
    assert.same({ 1, 2, 6 }, hours(replies[2]))
    assert.equal(NEW_YEAR + 24000, replies[2].rows[3].Time)
  end)

  it("is not run again for a tick that it has run for before a stop", function()
    local own, data = image(), stator.folder()
    stator.run(own, data, { to "01T02:00:00" }, START)
    local replies = stator.run(own, data, { to "01T02:59:59", to "01T03:00:00" },
      "--clock 2026-01-01T02:00:00Z")
    assert.same({ { 0, 0 }, { 1, 0 } }, { counts(replies[1]), counts(replies[2]) })
  end)

  it("is made up for when its first tick came while the host was stopped", function()
    local own, data = image(), stator.folder()
    stator.run(own, data, {}, START)
    local replies = stator.run(own, data, { { id = 1, advance_ms = 0 } },
      "--clock 2026-01-01T01:00:01Z")
    assert.same({ 1, 0 }, counts(replies[1]))
  end)

  it("has no ticks from before it was deployed, nor from before its schedule was", function()
    local own, data = image(), stator.folder()
    stator.run(own, data, { to "01T02:00:00" }, START)
    stator.write(own .. "/pkg/shop/shop.vsql", SCHEMA:format("JOB Hourly '@daily'" .. INTENTS .. ";"
      .. "JOB New '@hourly'" .. INTENTS .. ";"))
    stator.write(own .. "/pkg/shop/shop.lua",
      MODULE:format "function M.New(context) note('New', context) end")
    local replies = stator.run(own, data, { { id = 1, advance_ms = 0 }, to "04T06:00:00",
      query "shop.All" }, "--clock 2026-01-04T05:00:00Z")
    assert.same({ 0, 0 }, counts(replies[1]))
    assert.same({ { 1, 2 }, { 78 } }, { hours(replies[3]), hours(replies[3], "New") })
  end)

  it("with @every counts from its last tick, also after a stop", function()
    local own, data = image("JOB Often '@every 50m'" .. INTENTS .. ";",
      "function M.Often(context) note('Often', context) end"), stator.folder()
    stator.run(own, data, { to "01T01:00:00" }, START)
    local replies = stator.run(own, data, { to "01T05:50:00", query "shop.All" },
      "--clock 2026-01-01T05:00:00Z")
    local minutes = {}
    for i, hour in ipairs(hours(replies[2], "Often")) do
      minutes[i] = math.floor(hour * 60 + 0.5)
    end
    assert.same({ 50, 300, 350 }, minutes)
  end)

  it("writes to sys.Ephemeral, and queries see it", function()
    local replies = stator.try(image([[
      JOB Lock '30 * * * *' INTENTS(sys.Ephemeral);
      QUERY Locked STATE(sys.Ephemeral) RETURNS Tick;]], [[
      local Memory = state.storage "sys.Ephemeral"
      function M.Lock(c)
        state.new(Memory { Cache = "Locks", Key = "a" }, { At = c.UnixTime })
      end
      function M.Locked()
        state.result { Time = state.must_get(Memory { Cache = "Locks", Key = "a" }).At }
      end]]), { to "01T00:30:00", query "shop.Locked" }, START)
    assert.same({ { Time = NEW_YEAR + 1800 } }, replies[2].rows)
  end)

  it("has effects, each once and with a token of its own, without any event", function()
    local file = stator.folder() .. "/lines"
    local own = stator.image {
      ["pkg/shop/shop.vsql"] = "STATESTORAGE ENGINE PLUGIN ( Line ( INSERT SCOPE(JOBS) ) );\n"
        .. SCHEMA:format(HOURLY .. "JOB Say '30 * * * *' INTENTS(Line);"),
      ["pkg/shop/shop.lua"] = MODULE:format [[
        local Line = state.storage "Line"
        function M.Say(c) state.new(Line {}, { Text = "at " .. c.UnixTime }) end]],
      ["descriptor.json"] = stator.json.encode {
        storages = { ["shop.Line"] = { config = { file = file } } } },
    }
    local code, _, err = stator.shell(("sed 's/STATOR_COMMANDS | STATOR_PROJECTORS/STATOR_JOBS/' "
      .. "spec/fixtures/effects.c | gcc -Wall -Wextra -Werror -fPIC -shared %s -Isrc/include "
      .. "-x c - -o %s/pkg/shop/storages-1.so"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", own))
    assert.equal(0, code, err)
    local replies = stator.try(own, { to "01T01:30:00" }, START)
    assert.same({ 3, 0 }, counts(replies[1]))
    assert.same(("shop/0/-1/shop.Say/0 at %d\nshop/0/-3/shop.Say/0 at %d\n"):format(
      NEW_YEAR + 1800, NEW_YEAR + 5400), stator.read(file))
  end)

  it("keeps its run and that it has run in one batch, whenever the process is killed", function()
    local own = image("JOB Often '* * * * * *'" .. LOGGED .. ";",
      "function M.Often(context) note('Often', context) state.log('info', 'ran') end")
    local data, folder = stator.folder(), stator.folder()
    for round = 1, 3 do
      -- Ten minutes of ticks are asked for; it is killed in the middle of them.
      stator.shell(([[cd %s; mkfifo log%d
        printf '{"id":1,"clock":"2026-01-01T0%d:10:00Z"}\n' |
          sh -c 'echo $$ > pid; exec "$@"' run %s run %s --data %s --clock 2026-01-01T0%d:00:00Z \
          >/dev/null 2>log%d &
        n=0
        while read -r line && [ $n -lt %d ]; do n=$((n + 1)); done < log%d
        kill -9 $(cat pid)
        wait]]):format(folder, round, round, stator.command, own, data, round, round,
        round * 37, round))
      local seen, last = 0, nil
      for _, row in ipairs((stator.dump(own, data, "view shop.Ticks"))) do
        if row.key.Job == "Often" then seen, last = seen + 1, row.key.UnixTime end
      end
      local replies = stator.run(own, data, { query "sys.Jobs" },
        ("--clock 2026-01-01T0%d:00:00Z"):format(round))
      local job = replies[1].rows[2]
      assert.same({ seen, last * 1000 }, { job.Runs, job.LastTick })
      assert.is_true(seen >= round * 37)
    end
  end)

  it("runs by the system's clock when it has no other", function()
    local own = image("JOB Often '@every 1s'" .. LOGGED .. ";",
      "function M.Often(c) note('Often', c) state.log('info', 'ran ' .. c.UnixTime) end")
    local folder, data = stator.folder(), stator.folder()
    os.execute("mkfifo " .. folder .. "/in")
    local out = io.popen(("%s run %s --data %s < %s/in 2>&1"):format(stator.command, own, data,
      folder))
    local input = io.open(folder .. "/in", "w")
    local times = {}
    for line in out:lines() do
      times[#times + 1] = tonumber(line:match "ran (%d+)$")
      if #times == 2 or not times[1] then break end
    end
    input:close()
    out:read "*a"
    out:close()
    assert.equal(1, times[2] - times[1])
    assert.is_true(math.abs(os.time() - times[2]) < 30)
  end)

  describe("is refused", function()
    local function refuses(sentence, cron, message)
      it("with " .. sentence, function()
        local lines, code = stator.check(image("\nJOB Wrong\n  '" .. cron .. "';",
          "function M.Wrong() end"))
        assert.same({ { "pkg/shop/shop.vsql:12:3: cron '" .. cron .. "': " .. message }, 1 },
          { lines, code })
      end)
    end

    refuses("a value that is too large", "0 25 * * *",
      'hour: expected 0 to 23, "*", a range, a list or a step, found "25"')
    refuses("a day that never comes", "0 0 31 feb *", "there is no such day in any year")
    refuses("a word that is none", "@hourli", "expected @every 1h30m, @hourly, @daily, @midnight, "
      .. "@weekly, @monthly, @yearly or @annually; did you mean @hourly?")
  end)
end)

describe("a clock", function()
  after_each(stator.clean)

  it("gives events and queries their time, and goes on by milliseconds, too", function()
    local order = { id = 1, wsid = 65536, command = "shop.Order", args = { Text = "tea" } }
    local own, data = image(), stator.folder()
    local replies = stator.run(own, data, { order, { id = 2, advance_ms = 90000 }, order,
      query "shop.Clock" }, START)
    assert.same({ id = 2, status = 200, clock = "2026-01-01T00:01:30Z", runs = 0, failures = 0 },
      replies[2])
    assert.same({ { Time = NEW_YEAR + 90 } }, replies[4].rows)
    local at = {}
    for i, row in ipairs((stator.dump(own, data, "view shop.Orders"))) do at[i] = row.key.At end
    assert.same({ NEW_YEAR * 1000, NEW_YEAR * 1000 + 90000 }, at)
  end)

  it("comes behind the requests before it, and before those behind it", function()
    local order = { id = 1, wsid = 65536, command = "shop.Order", args = { Text = "tea" } }
    local requests = {}
    for i = 1, 20 do
      requests[3 * i - 2], requests[3 * i - 1] = order, { id = i, advance_ms = 3600000 }
      requests[3 * i] = query "shop.All"
    end
    local replies = stator.try(image(), requests, START .. " --partitions 3")
    for i = 1, 20 do
      assert.equal(1, replies[3 * i - 1].runs)
      assert.equal(i, #replies[3 * i].rows)
    end
  end)

  it("is refused what it cannot do", function()
    local replies = stator.try(image(), {
      to "01T00:00:00", { id = 2, clock = "2025-12-31T23:59:59Z" }, { id = 3, clock = "tomorrow" },
      { id = 4, clock = 1767225600000 }, { id = 5, advance_ms = -1 }, { id = 6, advance_ms = "1h" },
      { id = 7, advance_ms = 1, clock = "2026-01-02T00:00:00Z" },
      { id = 8, advance_ms = 1, wsid = 1 }, '{"id":9,"advance_ms":252000000000000}' }, START)
    local messages = {}
    for i, reply in ipairs(replies) do
      messages[i] = reply.error and reply.error.code .. " " .. reply.error.message
    end
    local form = 'BAD_REQUEST clock: expected a time as "2026-01-31T23:59:00Z", found '
    local ms = "BAD_REQUEST advance_ms: expected a number of milliseconds from 0 on, found "
    assert.same({ [2] = "BAD_REQUEST clock: time does not go back: it is 2026-01-01T00:00:00Z",
      [3] = form .. '"tomorrow"', [4] = form .. "1767225600000", [5] = ms .. "-1",
      [6] = ms .. '"1h"', [7] = 'BAD_REQUEST a request has "clock" or "advance_ms", not both',
      [8] = 'BAD_REQUEST a request with "advance_ms" has no "wsid"',
      [9] = "BAD_REQUEST clock: time ends with the year 9999" }, messages)
  end)

  it("is not moved where it is the system's", function()
    local replies = stator.try(image(), { { id = 1, advance_ms = 1 } })
    assert.equal("BAD_REQUEST", replies[1].error.code)
    assert.matches("start it with one of its own %(stator run %-%-clock%)",
      replies[1].error.message)
  end)

  it("of the command line is a time", function()
    local _, _, err, code = stator.try(image(), {}, "--clock 2026-02-30T00:00:00Z")
    assert.equal(2, code)
    assert.matches('run: %-%-clock: expected a time as "2026%-01%-31T23:59:00Z", '
      .. 'found "2026%-02%-30T00:00:00Z"', err)
  end)
end)

describe("an embedder's clock", function()
  after_each(stator.clean)

  local function embed(own, lines)
    local program = stator.folder() .. "/clock"
    local code, _, err = stator.shell(("gcc -std=gnu11 -Wall -Wextra -Werror -Isrc/include %s "
      .. "spec/fixtures/clock.c -o %s -L%s -lstator -Wl,-rpath,%s"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build,
      stator.build))
    assert.equal(0, code, err)
    stator.write(program .. ".in", table.concat(lines, "\n") .. "\n")
    local _, out = stator.shell(("env -u LD_PRELOAD %s %s %s %d000 < %s.in"):format(program, own,
      stator.folder(), NEW_YEAR, program))
    local list = {}
    for line in out:gmatch "[^\n]+" do list[#list + 1] = line end
    return list
  end

  it("lets jobs run when the embedder says so, once for several ticks that are due", function()
    local out = embed(image(), { "jobs", "+3599999", "jobs", "+1", "jobs", "jobs", "+12600000",
      "jobs", '{"id":1,"wsid":65536,"query":"shop.All"}' })
    assert.same({ "0 0", "0 0", "1 0", "0 0", "1 0" }, { unpack(out, 1, 5) })
    assert.same({ 1, 4 }, hours((stator.json.decode(out[6]))))
  end)

  it("is not moved by the host without a function for that", function()
    local out = embed(image(), { "jobs 2026-01-02T00:00:00Z", '{"id":1,"advance_ms":5}' })
    assert.equal("BAD_REQUEST clock: this host cannot move its clock", out[1])
    assert.matches("this host cannot move its clock", out[2])
  end)

  it("is not moved any more when the host has been stopped, which is busy then", function()
    local out = embed(image(), { "stop", '{"id":1,"advance_ms":5}', "jobs" })
    assert.equal('{"id":1,"status":503,"error":{"code":"BUSY","message":'
      .. '"the host is being stopped; ask another one"}}', out[1])
    assert.equal("INVALID the host has been stopped; open another", out[2])
  end)

  it("sees the jobs of a new version in the place of the old, none twice for a tick", function()
    local old = image("JOB Old '@hourly'" .. INTENTS .. ";",
      "function M.Old(context) note('Old', context) end")
    local new = image("JOB New '@hourly'" .. INTENTS .. ";",
      "function M.New(context) note('New', context) end")
    local out = embed(old, { "+3600000", "jobs", "deploy " .. new, "jobs", "+3600000", "jobs",
      '{"id":1,"wsid":65536,"query":"shop.All"}' })
    assert.same({ "2 0", "0 0", "2 0" }, { unpack(out, 1, 3) })
    local reply = stator.json.decode(out[4])
    assert.same({ { 1, 2 }, { 1 }, { 2 } },
      { hours(reply), hours(reply, "Old"), hours(reply, "New") })
  end)

  it("goes on with the old jobs when the new version has errors", function()
    local out = embed(image(), { "deploy " .. image("JOB New '@hour';", "function M.New() end"),
      "+3600000", "jobs" })
    assert.matches("^IMAGE .-cron '@hour': ", out[1])
    assert.equal("1 0", out[2])
  end)
end)
