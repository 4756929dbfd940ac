-- The ledger's procedures: tarantool tarantool.lua FOLDER SOCKET

box.cfg {
  work_dir = arg[1],
  log = arg[1] .. "/tarantool.log",
  wal_mode = "fsync",
  memtx_memory = 4 * 1024 ^ 3,
  checkpoint_interval = 0,
  net_msg_max = 4096,
  readahead = 1048576,
}

box.schema.user.grant("guest", "super", nil, nil, { if_not_exists = true })

local accounts, events, statements, event, statement

local function make(name, index)
  local space = box.schema.space.create(name)
  space:create_index("primary", { parts = index })
  return space
end

-- A fresh ledger.
function open(count, balance, event_bytes, statement_bytes)
  for _, name in ipairs { "accounts", "events", "statements" } do
    if box.space[name] then box.space[name]:drop() end
  end
  accounts = make("accounts", { 1, "unsigned" })
  events = make("events", { 1, "unsigned" })
  statements = make("statements", { 1, "unsigned", 2, "unsigned" })
  event, statement = ("e"):rep(event_bytes), ("s"):rep(statement_bytes)
  for first = 0, tonumber(count) - 1, 1000 do
    box.begin()
    for i = first, math.min(first + 999, tonumber(count) - 1) do
      accounts:insert { i, "owner " .. i, balance }
    end
    box.commit()
  end
end

local number = 0

function transfer(from, to, amount)
  local source, target = accounts:get(from), accounts:get(to)
  if source[3] < amount then error "overdrawn" end
  number = number + 1
  box.begin()
  accounts:update(from, { { "-", 3, amount } })
  accounts:update(to, { { "+", 3, amount } })
  events:insert { number, event }
  statements:insert { from, number, statement }
  statements:insert { to, number, statement }
  box.commit()
end

-- All events are there, and all of the money.
function check(count, balance, transfers)
  local sum = 0
  for _, account in accounts:pairs() do sum = sum + account[3] end
  if sum ~= count * balance or events:len() ~= transfers then error "not what was transferred" end
end

-- Only now may somebody call.
box.cfg { listen = "unix/:" .. arg[2] }
