-- sys.Result of queries: rows go into the reply one by one.

local stator = require "support.stator"

local SCHEMA = [[
TYPE Params ( How varchar NOT NULL, N int64 );
TYPE Line ( N int64, Text varchar DEFAULT 'none', Parts int32 );
EXTENSION ENGINE LUA ( QUERY Ask(Params) RETURNS Line );]]

local MODULE = [[
local Result = state.storage "sys.Result"
local how = {}
function how.many(n) for i = 1, n do state.result { N = i } end end
function how.later()
  local row = state.result { N = 1 }
  row.Text = "set later"
  state.result { N = row.N + 1 }.Text = "and this"
end
function how.too_late()
  local row = state.result { N = 1 }
  state.result { N = 2 }
  row.N = 3
end
function how.read_too_late()
  local row = state.result { N = 1 }
  state.result { N = 2 }
  return row.N
end
function how.last()
  state.new(Result {}, { N = 1 })
  state.new(Result {}, { N = 2 })
  state.find_intent(Result {}).N = 20
  state.new(Result {}, { N = 3 })
end
function how.between()
  for i = 1, 3 do
    state.result { N = i }
    state.log("info", "row " .. i)
    if i == 2 then state.response(200, "fine") end
  end
end
function how.fails() how.many(3) error "at the end" end
function how.refuses() how.many(3) state.response(404, "not here") end
function how.wrong() state.result { N = 1 } state.result { Parts = 2 ^ 40 } end
function M.Ask(args) how[args.How](args.N and tonumber(args.N)) end]]

local function ask(how, n, limits)
  local image = stator.shop(SCHEMA, MODULE, limits and {
    ["descriptor.json"] = stator.json.encode { limits = limits } })
  local replies, raw, err = stator.try(image, { { id = 1, wsid = 1, query = "shop.Ask",
    args = { How = how, N = n } } })
  return replies[1], raw[1], err
end

describe("sys.Result of a query", function()
  after_each(stator.clean)

  it("does not hold rows: many of them need no more memory than few", function()
    local count = stator.sanitized and 50000 or 300000
    local reply, raw = ask("many", count, { memoryMB = 4, timeMs = { query = 60000 } })
    assert.equal(200, reply.status, raw:sub(1, 300))
    local n = 0
    for i in raw:gmatch '{"N":(%d+),"Text":"none"}' do
      n = n + 1
      if tonumber(i) ~= n then break end
    end
    assert.same({ count, count }, { n, #reply.rows })
  end)

  it("takes fields until the next row is made", function()
    assert.same({ { N = 1, Text = "set later" }, { N = 2, Text = "and this" } }, ask("later").rows)
  end)

  for _, how in ipairs { "too_late", "read_too_late" } do
    it("refuses the fields of a row behind which there is another: " .. how, function()
      local reply = ask(how)
      assert.equal("EXTENSION_FAILED", reply.error.code)
      assert.matches("shop.lua:%d+: this row of the result is complete: set its fields before the "
        .. "next one is made$", reply.error.message)
    end)
  end

  it("finds the last row", function()
    local none = "none"
    assert.same({ { N = 1, Text = none }, { N = 20, Text = none }, { N = 3, Text = none } },
      ask("last").rows)
  end)

  it("may have other intents between its rows", function()
    local reply, _, err = ask "between"
    assert.equal(3, #reply.rows)
    assert.matches("row 1\n.*row 2\n.*row 3\n", err)
  end)

  it("leaves no row when the query fails at its end, or refuses", function()
    local failed, refused = ask "fails", ask "refuses"
    assert.same({ 500, nil }, { failed.status, failed.rows })
    assert.same({ id = 1, status = 404, error = { code = "RESPONSE", message = "not here" } },
      refused)
  end)

  it("checks each row", function()
    assert.matches("Parts", ask("wrong").error.message)
  end)

  it("is bounded by bytesReturned", function()
    assert.equal("BYTES_LIMIT", ask("many", 1000, { bytesReturned = 1000 }).error.code)
  end)
end)
