local moves = require "support.moves"
local stator = require "support.stator"

-- Kills in all; fewer where every process is slow.
local ROUNDS, KILLS_A_ROUND = stator.sanitized and 4 or 20, 10
local ACCOUNTS, REQUESTS, START = moves.ACCOUNTS, 900, moves.START
local SEED = tonumber(os.getenv "SEED") or os.time()

-- Writes requests in small bursts, so that the command commits many groups.
local FEEDER = [[
  local ffi = require "ffi"
  ffi.cdef "int usleep(unsigned);"
  local n = 0
  for line in io.lines(arg[1]) do
    io.write(line, "\n")
    n = n + 1
    if n % 7 == 0 then
      io.flush()
      ffi.C.usleep(2000)
    end
  end]]

local function write_requests(path, round)
  local lines = {}
  for i = 1, REQUESTS do
    local from = math.random(ACCOUNTS)
    local to = (from + math.random(ACCOUNTS - 1) - 1) % ACCOUNTS + 1
    lines[i] = ('{"id":%d,"wsid":1,"command":"shop.Move","args":{"Source":%d,"Target":%d,'
      .. '"Amount":%d,"Text":"%s-%d"}}\n'):format(i, 200000 + from, 200000 + to, math.random(500),
      round, i)
  end
  stator.write(path, table.concat(lines))
end

-- Runs the command and kills it after a while; the texts that were acknowledged.
local function run_and_kill(image, data, folder, round)
  local requests, replies = folder .. "/requests", folder .. "/replies"
  write_requests(requests, round)
  local ms = math.random(80, stator.sanitized and 260 or 230)
  stator.shell(([[
    cd %s
    luajit feeder.lua %s | sh -c 'echo $$ > pid; exec "$@"' run %s run %s --data %s > %s 2>&1 &
    sleep %.3f
    kill -9 $(cat pid)
    wait]]):format(folder, requests, stator.command, image, data, replies, ms / 1000))
  local acknowledged = {}
  for id, status in stator.read(replies):gmatch '{"id":(%d+),"status":(%d+),"offset":%d+}\n' do
    if status == "200" then acknowledged[#acknowledged + 1] = round .. "-" .. id end
  end
  return acknowledged
end

-- What the log says: balances, rows, counts and the texts of its events.
local function replay(image, data)
  local log = { balance = {}, rows = {}, count = {}, texts = {} }
  for i = 1, ACCOUNTS do log.balance[200000 + i] = START end
  local offset = 0
  local _, raw = stator.dump(image, data, "wlog --wsid 1")
  for _, line in ipairs(raw) do
    offset = offset + 1
    assert.equal(offset, tonumber(line:match '"offset":(%d+)'))
    local from, to, amount, text = line:match(
      '"Source":(%d+),"Target":(%d+),"Amount":(%d+),"Text":"([^"]+)"')
    if from then
      from, to, amount = tonumber(from), tonumber(to), tonumber(amount)
      log.balance[from] = log.balance[from] - amount
      log.balance[to] = log.balance[to] + amount
      log.rows[("%d/%d"):format(from, offset)] = -amount
      log.rows[("%d/%d"):format(to, offset)] = amount
      log.count[from] = (log.count[from] or 0) + 1
      log.texts[text] = true
    end
  end
  return log
end

local function stored_balances(image, data)
  local balances, _, raw = {}, stator.dump(image, data, "record shop.Account")
  for _, line in ipairs(raw) do
    balances[tonumber(line:match '"id":(%d+)')] = tonumber(line:match '"Balance":(%-?%d+)')
  end
  return balances
end

local function stored_rows(image, data)
  local rows, _, raw = {}, stator.dump(image, data, "view shop.Row")
  for _, line in ipairs(raw) do
    local account, offset, amount = line:match(
      '"Account":(%d+),"Offset":(%d+)},"value":{"Amount":(%-?%d+)')
    rows[account .. "/" .. offset] = tonumber(amount)
  end
  return rows
end

local function stored_counts(image, data)
  local counts, _, raw = {}, stator.dump(image, data, "view shop.Count")
  for _, line in ipairs(raw) do
    counts[tonumber(line:match '"Account":(%d+)')] = tonumber(line:match '"Times":(%d+)')
  end
  return counts
end

local function new_data(image)
  local data, cuds = stator.folder(), {}
  for i = 1, ACCOUNTS do
    cuds[i] = { ["sys.ID"] = i, ["sys.QName"] = "shop.Account", Balance = START }
  end
  stator.run(image, data, { { id = 0, wsid = 1, command = "sys.CUD", cuds = cuds } })
  return data
end

describe("a host that is killed #crash seed " .. SEED, function()
  after_each(stator.clean)

  it(("loses nothing that was acknowledged, and leaves nothing half-applied, %d times")
    :format(ROUNDS * KILLS_A_ROUND), function()
    math.randomseed(SEED)
    local image, folder = stator.shop(moves.SCHEMA, moves.MODULE), stator.folder()
    stator.write(folder .. "/feeder.lua", FEEDER)
    local acknowledged_in_all, cut_short = 0, 0
    for round = 1, ROUNDS do
      -- With little memory there are checkpoints all the time; and once without a log.
      stator.write(image .. "/descriptor.json", round == 1 and '{"durability":"store"}'
        or round % 2 == 0 and '{"log":{"memoryMB":1}}' or "{}")
      local data, acknowledged = new_data(image), {}
      for kill = 1, KILLS_A_ROUND do
        local texts = run_and_kill(image, data, folder, round .. "." .. kill)
        for _, text in ipairs(texts) do acknowledged[#acknowledged + 1] = text end
        if #texts < REQUESTS then cut_short = cut_short + 1 end
      end
      local log = replay(image, data)
      for _, text in ipairs(acknowledged) do
        assert.is_true(log.texts[text], "acknowledged but lost: " .. text)
      end
      assert.same(log.balance, stored_balances(image, data))
      assert.same(log.rows, stored_rows(image, data))
      stator.run(image, data, {}) -- the asynchronous projector catches up
      assert.same(log.count, stored_counts(image, data))
      acknowledged_in_all = acknowledged_in_all + #acknowledged
    end
    -- The kills came in the middle of the work, not before or behind it.
    assert.is_true(acknowledged_in_all > ROUNDS * KILLS_A_ROUND)
    assert.is_true(cut_short >= ROUNDS * KILLS_A_ROUND * (stator.sanitized and 0.5 or 0.9))
  end)
end)
