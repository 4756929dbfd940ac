-- An extension that passes its limits again and again is refused for a while.

local stator = require "support.stator"

local SCHEMA = [[
TYPE Args ( N int64 );
TYPE Out ( N int64 );
EXTENSION ENGINE LUA (
  COMMAND Do(Args);
  COMMAND Other(Args);
  COMMAND Fill(Args);
  PROJECTOR Later AFTER EXECUTE ON Fill INTENTS(sys.Logger);
  QUERY Ask(Args) RETURNS Out;
);]]

local MODULE = [[
local function waste(args)
  if args.N == 1 then for _ = 1, 10 do coroutine.create(waste) end end
  if args.N == 2 then error "wrong" end
end
M.Do, M.Other, M.Ask = waste, waste, waste
function M.Fill() end
local later = 0
function M.Later()
  later = later + 1
  if later == 1 then for _ = 1, 10 do coroutine.create(waste) end end
  state.log("info", "run " .. later)
end]]

local function image_of(limits)
  return stator.shop(SCHEMA, MODULE, { ["descriptor.json"] =
    ('{ "partitions": 2, "limits": { "coroutines": 5, %s } }'):format(limits) })
end

local LONG = '"breaches": 3, "quarantineMs": 3600000'

local function ask(name, n, wsid)
  local kind = name:find "Ask" and "query" or "command"
  return { wsid = wsid or 2, [kind] = "shop." .. name, args = { N = n } }
end

local function codes(replies)
  local list = {}
  for i, r in ipairs(replies) do list[i] = r.error and r.error.code or r.status end
  return list
end

local B, Q = "COROUTINES_LIMIT", "QUARANTINED"

describe("an extension that passes its limits", function()
  after_each(stator.clean)

  it("is refused after as many times in a row as the descriptor says", function()
    local replies = stator.try(image_of(LONG), { ask("Do", 1), ask("Do", 1), ask("Do", 1),
      ask("Do", 0), ask("Do", 1) })
    assert.same({ B, B, B, Q, Q }, codes(replies))
    assert.equal(503, replies[4].status)
    assert.matches("^shop%.Do: breached its limits 3 times in a row and is refused for 3%d+ ms; ",
      replies[4].error.message)
  end)

  it("is served as long as it keeps them in between", function()
    local requests = {}
    for i = 1, 12 do requests[i] = ask("Do", i % 3 == 0 and 0 or 1) end
    assert.same({ B, B, 200, B, B, 200, B, B, 200, B, B, 200 },
      codes((stator.try(image_of(LONG), requests))))
  end)

  it("is not taken for one that has other errors", function()
    local replies = stator.try(image_of(LONG), { ask("Do", 2), ask("Do", 2), ask("Do", 2),
      ask("Do", 2), ask("Do", 0) })
    assert.equal(200, replies[5].status)
  end)

  it("does not take others along, nor itself in other partitions", function()
    local replies = stator.try(image_of(LONG), { ask("Do", 1), ask("Do", 1), ask("Do", 1),
      ask("Do", 0), ask("Other", 0), ask("Do", 0, 1) })
    assert.same({ B, B, B, Q, 200, 200 }, codes(replies))
  end)

  it("is tried again after a while, when one breach is enough", function()
    local data = stator.folder()
    local lines = {}
    for i, n in ipairs { 1, 1, 1, 0, "pause", 1, 1, "pause", 0, 1, 1, 0 } do
      lines[i] = n == "pause" and "sleep 2.5" or ("echo '%s'"):format(
        stator.json.encode(ask("Do", n)))
    end
    local _, out = stator.shell(("( %s ) | %s run %s --data %s 2>/dev/null"):format(
      table.concat(lines, "; "), stator.command,
      stator.quote(image_of '"breaches": 3, "quarantineMs": 2000'), stator.quote(data)))
    local list = {}
    for line in out:gmatch "[^\n]+" do list[#list + 1] = stator.json.decode(line) end
    assert.same({ B, B, B, Q, B, Q, 200, B, B, 200 }, codes(list))
  end)

  it("is released by sys.Release, alone or with all others", function()
    local function release(name)
      return { wsid = 2, command = "sys.Release", args = name and { Extension = name } }
    end
    local replies = stator.try(image_of(LONG), { ask("Do", 1), ask("Do", 1), ask("Do", 1),
      ask("Other", 1), ask("Other", 1), ask("Other", 1), release "shop.Do", ask("Do", 0),
      ask("Other", 0), release(nil), ask("Other", 0), release "shop.Nobody" })
    assert.same({ B, B, B, B, B, B, 200, 200, Q, 200, 200, "NOT_FOUND" }, codes(replies))
    assert.equal("args.Extension: no extension is called shop.Nobody", replies[12].error.message)
  end)

  it("is shown by sys.Breakers", function()
    local function breakers(wsid) return { wsid = wsid, query = "sys.Breakers" } end
    local replies = stator.try(image_of(LONG), { ask("Do", 1), ask("Do", 1), ask("Do", 1),
      ask("Do", 0), ask("Do", 0), breakers(2), breakers(1) })
    local row = replies[6].rows[1]
    assert.equal("shop.Do", row.Extension)
    assert.equal(3, row.Breaches)
    assert.equal(2, row.Refused)
    assert.is_true(row.QuarantinedMs > 3000000)
    assert.same({}, replies[7].rows)
  end)

  it("is said of in the log", function()
    local _, _, err = stator.try(image_of(LONG), { ask("Do", 1), ask("Do", 1), ask("Do", 1) })
    assert.matches("warning shop%.Do: refused for 3600000 ms after 3 breaches of limits in a row, "
      .. "the last: shop%.Do: shop/shop%.lua:%d+: limit of 5 coroutines exceeded", err)
  end)

  it("is a query as well", function()
    local requests = {}
    for i = 1, 30 do requests[i] = ask("Ask", 1) end
    local counts = { [B] = 0, [Q] = 0 }
    for _, code in ipairs(codes((stator.try(image_of(LONG), requests)))) do
      counts[code] = counts[code] + 1
    end
    -- Queries run side by side: one may be on its way while another is the third.
    assert.is_true(counts[B] == 3 or counts[B] == 4, counts[B])
    assert.equal(30, counts[B] + counts[Q])
  end)

  it("is an asynchronous projector as well, which goes on when its time is over", function()
    local _, _, err = stator.try(image_of '"breaches": 1, "quarantineMs": 300',
      { ask("Fill", 0), ask("Fill", 0) })
    assert.matches("refused for 300 ms after 1 breaches", err)
    assert.matches("info shop%.Later: run 3\n", err)
    assert.not_matches("parked", err)
  end)
end)
