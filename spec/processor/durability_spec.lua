-- What "durability" in descriptor.json chooses, and what is left behind by a host that was killed.

local stator = require "support.stator"

local SCHEMA = [[
  TYPE P (N int64 NOT NULL);
  VIEW Seen (One int32 NOT NULL, N int64 NOT NULL, Times int64, PRIMARY KEY ((One), N))
    AS RESULT OF Note;
  VIEW Later (One int32 NOT NULL, Two int32 NOT NULL, Times int64, PRIMARY KEY ((One), Two))
    AS RESULT OF NoteLater;
  EXTENSION ENGINE LUA (
    COMMAND Hit(P);
    SYNC PROJECTOR Note AFTER EXECUTE ON Hit INTENTS(sys.View(Seen));
    PROJECTOR NoteLater AFTER EXECUTE ON Hit INTENTS(sys.View(Later));
    QUERY Count STATE(sys.View(Seen)) RETURNS P;
  );]]

local MODULE = [[
local Seen, Later = state.view "Seen", state.view "Later"
local function add(key)
  local seen = state.get(key)
  if seen then state.update(key, seen).Times = seen.Times + 1 else state.new(key).Times = 1 end
end
function M.Hit() end
function M.Note(event) add(Seen { One = 1, N = event.ArgumentObject.N }) end
function M.NoteLater() add(Later { One = 1, Two = 1 }) end
function M.Count()
  local n = 0
  for _ in state.read(Seen { One = 1 }) do n = n + 1 end
  state.result { N = n }
end]]

local function image_with(descriptor)
  return stator.shop(SCHEMA, MODULE, { ["descriptor.json"] = descriptor })
end

local function hits(from, to)
  local list = {}
  for n = from, to do
    list[#list + 1] = { id = n, wsid = 1, command = "shop.Hit", args = { N = n } }
  end
  return list
end

-- Runs the requests, a few at a time, and kills the host when all replies are there.
local function run_and_kill(image, data, requests, at_a_time)
  local folder, lines = stator.folder(), {}
  for i, request in ipairs(requests) do lines[i] = stator.json.encode(request) .. "\n" end
  stator.write(folder .. "/requests", table.concat(lines))
  stator.shell(([[
    cd %s; mkfifo fifo; touch replies
    %s run %s --data %s > replies 2> errors < fifo & pid=$!
    exec 3> fifo; n=0
    while kill -0 $pid && [ $n -lt %d ]; do
      tail -n +$((n + 1)) requests | head -n %d >&3
      n=$((n + %d))
      while kill -0 $pid && [ $(wc -l < replies) -lt $n ]; do sleep 0.01; done
    done
    kill -9 $pid; wait $pid]]):format(folder, stator.command, image, data, #requests,
    at_a_time or #requests, at_a_time or #requests))
  return stator.read(folder .. "/replies")
end

-- The numbers in the view, in order.
local function found(image, data)
  local rows, numbers = stator.dump(image, data, "view shop.Seen"), {}
  for i, row in ipairs(rows) do numbers[i] = row.key.N end
  return numbers
end

local function numbers_to(n)
  local list = {}
  for i = 1, n do list[i] = i end
  return list
end

local function segments(data)
  local _, out = stator.shell(("ls %s/shop/partition-0 | grep '^log-'"):format(data))
  local list = {}
  for name in out:gmatch "[^\n]+" do list[#list + 1] = data .. "/shop/partition-0/" .. name end
  return list
end

describe("durability", function()
  after_each(stator.clean)

  for _, name in ipairs { "log", "store", "none" } do
    it(('"%s" keeps what was acknowledged when the host is killed'):format(name), function()
      local image = image_with(('{"durability":"%s"}'):format(name))
      local data = stator.folder(true)
      local replies = run_and_kill(image, data, hits(1, 30))
      assert.equal(30, select(2, replies:gsub('"status":200', "")))
      assert.same(numbers_to(30), found(image, data))
      stator.run(image, data, {})
      assert.same(numbers_to(30), found(image, data))
      assert.equal(30, stator.dump(image, data, "view shop.Later")[1].value.Times)
    end)
  end

  it("can be changed, each way, behind a host that was killed", function()
    local data, n = stator.folder(true), 0
    local image = image_with "{}"
    for _, name in ipairs { "log", "store", "log", "none", "store", "none", "log" } do
      stator.write(image .. "/descriptor.json", ('{"durability":"%s"}'):format(name))
      run_and_kill(image, data, hits(n + 1, n + 5))
      n = n + 5
      assert.same(numbers_to(n), found(image, data))
      assert.equal(n, #stator.dump(image, data, "plog --partition 0"))
    end
    assert.same({ { id = 1, status = 200, rows = { { N = n } } } },
      (stator.run(image, data, { { id = 1, wsid = 1, query = "shop.Count" } })))
  end)

  -- Files cannot grow past a limit: what is replied and what is there must agree, also for
  -- commands that ran over a group that could not be committed.
  for _, name in ipairs { "log", "store" } do
    it(('"%s" on a full disk keeps what was acknowledged, and nothing else'):format(name),
      function()
        local image = image_with(('{"durability":"%s"}'):format(name))
        local data, folder = stator.folder(true), stator.folder()
        local lines = {}
        for i, request in ipairs(hits(1, 20000)) do
          lines[i] = stator.json.encode(request) .. "\n"
        end
        stator.write(folder .. "/requests", table.concat(lines))
        stator.shell(([[bash -c "trap '' XFSZ; ulimit -f 2500; %s run %s --data %s < %s/requests" \
          2> %s/errors | cat > %s/replies]]):format(stator.command, image, data, folder, folder,
          folder))
        local kept, refused = {}, 0
        for line in stator.read(folder .. "/replies"):gmatch "[^\n]+" do
          local reply = stator.json.decode(line)
          if reply.status == 200 then
            kept[#kept + 1] = reply.id
          else
            refused = refused + 1
            assert.equal("IO", reply.error.code)
          end
        end
        assert.is_true(refused > 0)
        assert.equal(20000, #kept + refused)
        assert.same(kept, found(image, data))
        assert.equal(#kept, #stator.dump(image, data, "plog --partition 0"))
      end)
  end

  it('"log" says once a second that a disk is full, however many commands come', function()
    local image, data, folder = image_with "{}", stator.folder(true), stator.folder()
    local lines = {}
    for i, request in ipairs(hits(1, 20000)) do lines[i] = stator.json.encode(request) .. "\n" end
    stator.write(folder .. "/requests", table.concat(lines))
    -- With a short queue groups are small, and there are many.
    local _, seconds = stator.shell(([[bash -c "trap '' XFSZ; ulimit -f 1000; SECONDS=0
      %s run %s --data %s --queue 3 < %s/requests 2> %s/errors | cat > %s/replies
      echo \$SECONDS"]]):format(stator.command, image, data, folder, folder, folder))
    local said = select(2, stator.read(folder .. "/errors"):gsub("error partition: ", ""))
    local _, refused = stator.read(folder .. "/replies"):gsub('"code":"IO"', "")
    assert.is_true(refused > 100, refused)
    assert.is_true(said >= 1 and said <= tonumber(seconds) + 3, said .. " in " .. seconds)
  end)

  it("a group that runs while the one before is committed sees what that wrote", function()
    local image = stator.shop([[
      TYPE P (N int64 NOT NULL);
      VIEW Seen (One int32 NOT NULL, N int64 NOT NULL, Before int64, PRIMARY KEY ((One), N))
        AS RESULT OF Note;
      EXTENSION ENGINE LUA (
        COMMAND Hit(P);
        SYNC PROJECTOR Note AFTER EXECUTE ON Hit STATE(sys.View(Seen)) INTENTS(sys.View(Seen));
      );]], [[
      local Seen = state.view "Seen"
      function M.Hit() end
      function M.Note(event)
        local n, before = event.ArgumentObject.N, 0
        local last = state.get(Seen { One = 1, N = n - 1 })
        if n % 50 == 0 then
          for _ in state.read(Seen { One = 1 }, { reverse = true, limit = 3000 }) do
            before = before + 1
          end
        elseif last then
          before = last.Before + 1
        end
        state.new(Seen { One = 1, N = n }).Before = before
      end]])
    local data = stator.folder(true)
    stator.run(image, data, hits(1, 2900))
    local rows = stator.dump(image, data, "view shop.Seen")
    assert.equal(2900, #rows)
    for n, row in ipairs(rows) do assert.equal(n - 1, row.value.Before) end
  end)

  it('"log" shows a query what was asked for before it', function()
    local requests = {}
    for n = 1, 40 do
      requests[#requests + 1] = hits(n, n)[1]
      requests[#requests + 1] = { id = -n, wsid = 1, query = "shop.Count" }
    end
    for i, reply in ipairs((stator.try(image_with "{}", requests))) do
      if i % 2 == 0 then assert.same({ { N = i / 2 } }, reply.rows) end
    end
  end)

  it('"log" leaves all in the tree and no log when a host with little data ends', function()
    local image, data = image_with "{}", stator.folder(true)
    stator.run(image, data, hits(1, 30))
    assert.same({}, segments(data))
  end)

  it('"log" works within a megabyte of memory for many partitions', function()
    local image, data = image_with '{"partitions":7,"log":{"memoryMB":1}}', stator.folder(true)
    local requests = {}
    for n = 1, 3000 do
      requests[n] = { id = n, wsid = n % 21 + 1, command = "shop.Hit", args = { N = n } }
    end
    run_and_kill(image, data, requests)
    assert.equal(3000, #stator.dump(image, data, "view shop.Seen"))
    local _, _, err, code = stator.run(image, data, {})
    assert.same({ "", 0 }, { err, code })
    assert.equal(3000, #stator.dump(image, data, "plog"))
  end)
end)

describe("a log that is damaged", function()
  local image, data, file, commits

  -- Ten commits, and the byte in the middle of the third changed.
  before_each(function()
    image, data = image_with "{}", stator.folder(true)
    run_and_kill(image, data, hits(1, 10), 1)
    file, commits = segments(data)[1], {}
    for _, part in ipairs((stator.dump(image, data, "log"))) do
      if part.state == "commit" then commits[#commits + 1] = part end
    end
    assert.is_true(#commits >= 10)
    local text, at = stator.read(file), commits[3].offset + 20
    stator.write(file, text:sub(1, at) .. string.char((text:byte(at + 1) + 1) % 256)
      .. text:sub(at + 2))
  end)
  after_each(stator.clean)

  it("stops its partition, with file, byte, and what to do", function()
    local _, _, err, code = stator.run(image, data, {})
    assert.equal(1, code)
    assert.is_truthy(err:find(("stator: run: %s: damaged at byte %d: "):format(file,
      commits[3].offset), 1, true), err)
    assert.is_truthy(err:find("`stator dump IMAGE --data DIR log`", 1, true), err)
  end)

  it("is listed by `stator dump log`, with what is whole and what is not", function()
    local states = {}
    for _, part in ipairs((stator.dump(image, data, "log"))) do
      if part.file == file:match "[^/]+$" and #states < 5 then
        states[#states + 1] = part.state .. " " .. part.offset
      end
    end
    assert.same({ "commit " .. commits[1].offset, "commit " .. commits[2].offset,
      "damaged " .. commits[3].offset, "missing " .. commits[4].offset,
      "commit " .. commits[4].offset }, states)
  end)

  it("gives what is before the damage when it is cut there", function()
    for i, path in ipairs(segments(data)) do if i > 1 then os.remove(path) end end
    stator.shell(("truncate -s %d %s"):format(commits[3].offset, file))
    local _, _, err, code = stator.run(image, data, {})
    assert.same({ "", 0 }, { err, code })
    local events = commits[2].events or commits[1].events
    assert.equal(events[2], #stator.dump(image, data, "plog --partition 0"))
  end)
end)

describe("stator dump log", function()
  after_each(stator.clean)

  it("gives each commit with how much it writes, and the PLog offsets of its events", function()
    local image, data = image_with "{}", stator.folder(true)
    run_and_kill(image, data, hits(1, 12), 3)
    local events, last = 0, 0
    for _, part in ipairs((stator.dump(image, data, "log --partition 0"))) do
      if part.state == "commit" then
        assert.equal(last + 1, part.commit)
        assert.is_true(part.puts > 0)
        last = part.commit
        if part.events then
          assert.equal(events + 1, part.events[1])
          events = part.events[2]
        end
      end
    end
    assert.equal(12, events)
  end)

  it("says up to which commit all is in the tree", function()
    local image, data = image_with "{}", stator.folder(true)
    stator.run(image, data, hits(1, 12))
    local lines = stator.dump(image, data, "log")
    assert.equal(1, #lines)
    assert.same({ "data.mdb", "tree" }, { lines[1].file, lines[1].state })
    assert.is_true(lines[1].commit >= 1)
  end)
end)
