-- What requests meet where there is no room, and slow queries, which hold up nobody.

local stator = require "support.stator"

local SCHEMA = [[
  TYPE Params ( Ms int64 );
  VIEW Seen ( One int32 NOT NULL, N int64 NOT NULL, PRIMARY KEY ((One), N) ) AS RESULT OF Note;
  EXTENSION ENGINE LUA (
    COMMAND Work(Params);
    SYNC PROJECTOR Note AFTER EXECUTE ON Work INTENTS(sys.View(Seen));
    QUERY Wait(Params) RETURNS Params;
  );]]

local MODULE = [[
local Seen = state.view "Seen"
local function work(ms)
  local x = 0
  for i = 1, ms * 300000 do x = (x + i) % 9973 + x % 7 end
  return x
end
function M.Work(args) work(args.Ms) end
function M.Note(event) state.new(Seen { One = 1, N = event.WLogOffset }) end
function M.Wait(args)
  work(args.Ms)
  state.result { Ms = args.Ms }
end]]

local DESCRIPTOR = [[{"engines":{"query":2},
  "limits":{"timeMs":{"command":20000,"query":60000}}}]]

local function command(id, ms)
  return { id = id, wsid = 1, command = "shop.Work", args = { Ms = ms or 0 } }
end

local function query(id, ms)
  return { id = id, wsid = 1, query = "shop.Wait", args = { Ms = ms } }
end

local function count(replies, status)
  local n = 0
  for _, reply in ipairs(replies) do n = n + (reply.status == status and 1 or 0) end
  return n
end

describe("back pressure", function()
  local image

  before_each(function()
    image = stator.shop(SCHEMA, MODULE, { ["descriptor.json"] = DESCRIPTOR })
  end)
  after_each(stator.clean)

  local function flood(n)
    local requests = { command(1, 200) }
    for i = 2, n do requests[i] = command(i) end
    return requests
  end

  it("answers BUSY at once where the queue is full and --busy is given", function()
    local replies, _, err, code = stator.run(image, stator.folder(true), flood(500),
      "--queue 10 --busy")
    assert.same({ 0, "", 500 }, { code, err, #replies })
    -- The first one is at work; ten, or some more that it found beside it, wait.
    local served, refused = count(replies, 200), count(replies, 503)
    assert.equal(500, served + refused)
    assert.is_true(refused > 0)
    assert.equal(200, replies[1].status)
    for i, reply in ipairs(replies) do
      assert.equal(i, reply.id)
      if reply.status == 503 then
        assert.same({ code = "BUSY", message =
          "10 requests wait at partition 0, and no more can; ask again later" }, reply.error)
      end
    end
  end)

  it("keeps what it accepted, and nothing of what it refused", function()
    local data = stator.folder(true)
    local replies = stator.run(image, data, flood(500), "--queue 10 --busy")
    assert.equal(count(replies, 200), #stator.dump(image, data, "plog --partition 0"))
    assert.equal(count(replies, 200), #stator.dump(image, data, "view shop.Seen"))
  end)

  it("reads no more input while the queue is full, else", function()
    local replies = stator.run(image, stator.folder(true), flood(500), "--queue 10")
    assert.equal(500, count(replies, 200))
  end)

  it("answers a query BUSY where as many as there can be are under way", function()
    local requests = { query(1, 1000), query(2, 1000) }
    for i = 3, 4200 do requests[i] = query(i, 0) end
    local replies = stator.run(image, stator.folder(true), requests, "--queue 100000 --busy")
    local served, refused = count(replies, 200), count(replies, 503)
    assert.equal(4200, served + refused)
    -- All that there is room for, while two of them take their time.
    assert.is_true(served >= 4096 and refused > 0)
    assert.equal("as many queries as there can be are under way; ask again later",
      replies[4200].error.message)
  end)

  it("lets commands go on while all threads of queries are at work", function()
    local folder, lines = stator.folder(), {}
    for i = 1, 4 do lines[i] = stator.json.encode(query(i, 700)) end
    for i = 5, 204 do lines[i] = stator.json.encode(command(i)) end
    stator.write(folder .. "/in", table.concat(lines, "\n") .. "\n")
    -- The replies come in order, so the commands are seen in the data.
    local code, out = stator.shell(([[
      cd %s; mkfifo fifo
      %s run %s --data data > out 2> err < fifo & pid=$!
      exec 3> fifo; cat in >&3
      for _ in $(seq 500); do
        n=$(%s dump %s --data data plog --partition 0 2>/dev/null | wc -l)
        [ $n -ge 200 ] && break; sleep 0.02
      done
      echo $n $(wc -l < out)
      exec 3>&-; wait $pid; wc -l < out]]):format(folder, stator.command, image, stator.command,
      image))
    assert.equal(0, code)
    -- All 200 commands are done, and not one of the queries.
    assert.equal("200 0\n204\n", out)
  end)
end)
