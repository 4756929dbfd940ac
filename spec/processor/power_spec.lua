local moves = require "support.moves"
local stator = require "support.stator"

-- Of the run's prefixes; three disks are made for each. Fewer where all is slow.
local COMMANDS, PREFIXES = 400, stator.sanitized and 8 or 40
local SEED = tonumber(os.getenv "SEED") or os.time()

-- All that the workspace has: its log, its records and its views.
local LOOK_SCHEMA = [[
  TYPE Line (What varchar NOT NULL, Account int64, Offset int64, Amount int64, Move varchar);
  EXTENSION ENGINE LUA (
    QUERY Look STATE(sys.WLog, sys.Record(Account), sys.View(Row, Count)) RETURNS Line;
  );]]
local LOOK = [[
  local WLog = state.storage "sys.WLog"
  local function look_at(id)
    local account = state.get(Account { ID = id })
    if account then state.result { What = "account", Account = id, Amount = account.Balance } end
    for key, row in state.read(Row { Account = id }) do
      state.result { What = "row", Account = id, Offset = key.Offset, Amount = row.Amount }
    end
    local seen = state.get(Count { Account = id, One = 1 })
    if seen then state.result { What = "count", Account = id, Amount = seen.Times } end
  end
  function M.Look()
    for key, event in state.read(WLog { Offset = 1, Count = 100000 }) do
      local args = event.ArgumentObject
      if event.QName == "sys.CUD" then
        state.result { What = "opened", Offset = key.Offset }
      else
        local move = args.Text:match "^move%-%d+%-"
        state.result { What = "from", Offset = key.Offset, Account = args.Source,
          Amount = -args.Amount, Move = move }
        state.result { What = "to", Offset = key.Offset, Account = args.Target,
          Amount = args.Amount, Move = move }
      end
    end
    for i = 1, ACCOUNTS do look_at(200000 + i) end
  end]]

-- The program is linked to an archive of parts: its files take the place of the library's.
local function build()
  local program = stator.folder() .. "/power_host"
  local code, _, err = stator.shell(("gcc -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror "
    .. "%s -Isrc -Isrc/include -Ispec/fixtures/store spec/fixtures/power_host.c -o %s "
    .. "%s/libstator-spec.a -llua5.1-lpeg -lpthread -lm "
    .. "$(pkg-config --cflags --libs luajit lmdb yajl libpcre2-8)"):format(
    stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build))
  assert.equal(0, code, err)
  return program
end

local function image(descriptor)
  return stator.shop(moves.SCHEMA .. LOOK_SCHEMA,
    moves.MODULE .. LOOK:gsub("ACCOUNTS", moves.ACCOUNTS), { ["descriptor.json"] =
    '{ "app": "local/shop", "limits": { "timeMs": { "query": 60000 } }, ' .. descriptor .. " }" })
end

-- What the program says of each disk: how much was acknowledged, what the log says, and what
-- is stored.
local function read_disks(out)
  local disks = {}
  for name, acknowledged, reply in
    out:gmatch "(disk %d+:[^\n]*acknowledged (%-?%d+))\n([^\n]*)\n" do
    assert.matches('^{"id":1,"status":200,', reply, name)
    local disk = { name = name, acknowledged = tonumber(acknowledged), lines = {} }
    for line in reply:gmatch '{"What":[^}]*}' do
      local what, move = line:match '"What":"(%a+)"', line:match '"Move":"move%-(%d+)%-"'
      local function number(field) return tonumber(line:match('"' .. field .. '":(%-?%d+)')) end
      table.insert(disk.lines, { what = what, account = number "Account",
        offset = number "Offset", amount = number "Amount", move = tonumber(move) })
    end
    disks[#disks + 1] = disk
  end
  return disks
end

-- Balances, rows and counts as the events make them; and the moves that there are.
local function replay(disk)
  local log = { balances = {}, rows = {}, counts = {} }
  local moved, offset = {}, 0
  for _, line in ipairs(disk.lines) do
    if line.what == "opened" then
      for i = 1, moves.ACCOUNTS do log.balances[200000 + i] = moves.START end
    elseif line.what == "from" or line.what == "to" then
      log.balances[line.account] = log.balances[line.account] + line.amount
      log.rows[line.account .. "/" .. line.offset] = line.amount
      moved[line.move] = true
    end
    if line.what == "from" then
      log.counts[line.account] = (log.counts[line.account] or 0) + 1
    end
    if line.what == "opened" or line.what == "from" then
      offset = offset + 1
      assert.equal(offset, line.offset, disk.name)
    end
  end
  return log, moved
end

local function stored(disk)
  local all = { balances = {}, rows = {}, counts = {} }
  for _, line in ipairs(disk.lines) do
    if line.what == "account" then all.balances[line.account] = line.amount end
    if line.what == "row" then all.rows[line.account .. "/" .. line.offset] = line.amount end
    if line.what == "count" then all.counts[line.account] = line.amount end
  end
  return all
end

describe("a host whose power goes #crash seed " .. SEED, function()
  after_each(stator.clean)

  it("has all that it acknowledged, and views and records that are what its log says", function()
    local folder = stator.folder(true)
    local code, out, err = stator.shell(("env -u LD_PRELOAD %s %s %s %s %d %d %d %d"):format(
      build(), image '"log": { "memoryMB": 1 }',
      image '"log": { "memoryMB": 1 }, "durability": "none"', folder, SEED % 1e6,
      moves.ACCOUNTS, COMMANDS, PREFIXES))
    assert.equal(0, code, out:sub(-2000) .. err)
    local disks = read_disks(out)
    assert.is_true(#disks >= PREFIXES, out:sub(1, 200))
    -- There were checkpoints in the run.
    assert.is_true(tonumber(out:match "(%d+) trees") >= 2, out:sub(1, 200))
    local most = 0
    for _, disk in ipairs(disks) do
      local log, moved = replay(disk)
      for n = 1, disk.acknowledged do
        assert.is_true(moved[n], "acknowledged but lost: move " .. n .. " on " .. disk.name)
      end
      -- It has gone on.
      assert.equal(disk.acknowledged >= 0 or nil, moved[COMMANDS + 1], disk.name)
      assert.same(log, stored(disk), disk.name)
      most = math.max(most, disk.acknowledged)
    end
    assert.equal(COMMANDS, most)
  end)
end)
