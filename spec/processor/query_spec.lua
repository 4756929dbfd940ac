-- Queries: what they see, the rows they give, and how they fail.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Article INHERITS sys.CDoc ( Name varchar(20) NOT NULL, Price int64, UNIQUEFIELD Name );
TYPE Params ( What varchar(20), Number int64, Text varchar(20) );
TYPE Row ( Number int64 NOT NULL, Text varchar(20), Half float64, Flag bool, Bytes bytes,
  Name qname, Short int8 );
VIEW Sales ( Year int32 NOT NULL, Day int32 NOT NULL, Sum int64, PRIMARY KEY ((Year), Day) )
  AS RESULT OF Count;
VIEW Hidden ( Year int32 NOT NULL, Day int32 NOT NULL, PRIMARY KEY ((Year), Day) )
  AS RESULT OF Count;
EXTENSION ENGINE LUA (
  COMMAND Sell(Params);
  SYNC PROJECTOR Count AFTER EXECUTE ON Sell INTENTS(sys.View(Sales, Hidden));
  QUERY Ask(Params) STATE(sys.View(Sales), sys.Record(Article), sys.Uniq(Article), sys.WLog)
    RETURNS Row;
  QUERY NoArgs() STATE(sys.View(Sales)) RETURNS Row;
  QUERY NoRows(Params) RETURNS void;
);
]]

local MODULE = [[
local Sales, Hidden = state.view "shop.Sales", state.view "shop.Hidden"
local Article = state.record "shop.Article"
local Name = state.storage("sys.Uniq", "shop.Article")
local WLog = state.storage "sys.WLog"

function M.Sell() end

function M.Count(event)
  local args = event.ArgumentObject
  state.new(Sales { Year = 2026, Day = args.Number }).Sum = event.WLogOffset
  if args.What == "fail" then error "no sale" end
end

local asks = {}

function asks.days(args)
  for key, row in state.read(Sales { Year = args.Number }) do
    state.result { Number = key.Day, Text = tostring(row.Sum) }
  end
end

function asks.last()
  for key in state.read(Sales { Year = 2026 }, { reverse = true, limit = 2 }) do
    state.result { Number = key.Day }
  end
end

function asks.elsewhere(args)
  local row = state.get(Sales { Year = 2026, Day = 1, WSID = args.Number })
  state.result { Number = row and row.Sum or -1 }
end

function asks.article(args)
  local row = state.must_get(Article { ID = args.Number })
  state.result { Number = row.Price or -1, Text = row.Name }
end

function asks.by_name(args)
  local row = state.get(Name { Name = args.Text })
  state.result { Number = row and row.ID or -1 }
end

function asks.log()
  for _, event in state.read(WLog { Offset = 1, Count = 10 }) do
    state.result { Number = event.Offset, Text = event.QName }
  end
end

function asks.kinds(args)
  state.result { Number = args.Number, Text = "ä", Half = 0.5, Flag = false, Bytes = "\1\255",
    Name = "shop.Article" }
end

function asks.rows(args) for i = 1, args.Number do state.result { Number = i } end end
function asks.fail() state.result { Number = 1 } error "do not ask" end
function asks.refuse() state.result { Number = 1 } state.response(404, "no such thing") end
function asks.answer() state.response(200, "fine") state.result { Number = 1 } end
function asks.long() state.result { Number = 1, Text = ("x"):rep(21) } end
function asks.range() state.result { Number = 1, Short = 128 } end
function asks.empty() state.result { Text = "x" } end
function asks.wrong() state.result { Numbr = 1 } end
function asks.write() state.new(Sales { Year = 1, Day = 1 }) end
function asks.record() state.new(Article {}, { Name = "x" }) end
function asks.hidden() state.get(Hidden { Year = 1, Day = 1 }) end
function asks.half_key() state.get(Sales { Year = 1 }) end
function asks.hole() for _ in state.read(Sales { Day = 1 }) do error "never" end end
function asks.log_line() state.log("warning", "said by a query") end

function M.Ask(args) if asks[args.What] then asks[args.What](args) end end
function M.NoArgs() asks.last() end
function M.NoRows(args) if args.Number then state.result { Number = 1 } end end
]]

local function sell(number, what, wsid)
  return { id = number, wsid = wsid or 1, command = "shop.Sell",
    args = { Number = number, What = what } }
end

local function ask(what, number, wsid)
  return { id = 7, wsid = wsid or 1, query = "shop.Ask", args = { What = what, Number = number } }
end

describe("a query", function()
  local image, data

  before_each(function()
    image, data = stator.shop(SCHEMA, MODULE), stator.folder()
  end)
  after_each(stator.clean)

  local function run(requests, options) return stator.run(image, data, requests, options) end

  local function last(...)
    local replies, lines = run { ... }
    return replies[#replies], lines[#lines]
  end

  -- The numbers of the rows of the last reply.
  local function numbers(...)
    local found = {}
    for i, row in ipairs(last(...).rows) do found[i] = row.Number end
    return found
  end

  describe("sees", function()
    it("the command before it", function()
      assert.same({ 5 }, numbers(sell(5), ask("days", 2026)))
    end)

    it("nothing of the command behind it", function()
      assert.same({}, run({ ask("days", 2026), sell(5) })[1].rows)
    end)

    it("all that was asked before it and nothing behind it, each time", function()
      local requests = {}
      for i = 1, 200 do
        requests[#requests + 1] = sell(i)
        requests[#requests + 1] = ask("last")
      end
      local replies = run(requests)
      for i = 1, 200 do assert.equal(i, replies[2 * i].rows[1].Number) end
    end)

    it("the same for workspaces of several partitions", function()
      local requests = {}
      for i = 1, 60 do
        requests[#requests + 1] = sell(i, nil, i % 3 + 1)
        requests[#requests + 1] = ask("last", nil, i % 3 + 1)
      end
      local replies = run(requests, "--partitions 3")
      for i = 1, 60 do assert.equal(i, replies[2 * i].rows[1].Number) end
    end)

    it("nothing of a command that was refused", function()
      assert.same({}, numbers(sell(5, "fail"), ask("days", 2026)))
    end)

    it("what the run before left", function()
      run { sell(5) }
      assert.same({ 5 }, numbers(ask("days", 2026)))
    end)

    it("new records and their changes", function()
      local made = { id = 1, wsid = 1, command = "sys.CUD", cuds = {
        { ["sys.ID"] = 1, ["sys.QName"] = "shop.Article", Name = "Tea" } } }
      local changed = { id = 1, wsid = 1, command = "sys.CUD",
        cuds = { { ["sys.ID"] = 200001, Price = 3 } } }
      local replies = run { made, ask("article", 200001), changed, ask("article", 200001) }
      assert.same({ { Number = -1, Text = "Tea" } }, replies[2].rows)
      assert.same({ { Number = 3, Text = "Tea" } }, replies[4].rows)
    end)

    it("records by their unique fields", function()
      local made = { id = 1, wsid = 1, command = "sys.CUD", cuds = {
        { ["sys.ID"] = 1, ["sys.QName"] = "shop.Article", Name = "Tea" } } }
      local by_name = ask "by_name"
      by_name.args.Text = "Tea"
      local replies = run { by_name, made, by_name }
      assert.same({ { Number = -1 } }, replies[1].rows)
      assert.same({ { Number = 200001 } }, replies[3].rows)
    end)

    it("the log of its workspace", function()
      assert.same({ { Number = 1, Text = "shop.Sell" }, { Number = 2, Text = "shop.Sell" } },
        last(sell(1), sell(2, nil, 2), sell(3), ask "log").rows)
    end)

    it("its own workspace", function()
      assert.same({}, numbers(sell(5, nil, 2), ask("days", 2026)))
    end)

    it("another workspace where the key names it", function()
      assert.same({ 1 }, numbers(sell(1, nil, 2), ask("elsewhere", 2)))
    end)
  end)

  describe("gives", function()
    it("no rows as an empty array", function()
      local _, line = last(ask "nothing")
      assert.equal('{"id":7,"status":200,"rows":[]}', line)
    end)

    it("rows in the order of its results", function()
      local found = numbers(ask("rows", 100))
      for i = 1, 100 do assert.equal(i, found[i]) end
      assert.equal(100, #found)
    end)

    it("more rows than the limit of intents", function()
      local reply = last(ask("rows", 5000))
      assert.same({ 200, 5000 }, { reply.status, reply.rows and #reply.rows })
    end)

    it("rows of a view in the order of their keys", function()
      assert.same({ -2147483648, -3, 0, 5, 2147483647 },
        numbers(sell(5), sell(-3), sell(2147483647), sell(0), sell(-2147483648),
          ask("days", 2026)))
    end)

    it("rows from the end, as many as it wants", function()
      assert.same({ 5, 0 }, numbers(sell(5), sell(-3), sell(0), ask "last"))
    end)

    it("no rows of another partition of the view", function()
      assert.same({}, numbers(sell(5), ask("days", 2025)))
    end)

    it("values of every kind, without those that are null", function()
      local _, line = last '{"id":7,"wsid":1,"query":"shop.Ask","args":{"What":"kinds",\z
        "Number":-9223372036854775808}}'
      assert.equal('{"id":7,"status":200,"rows":[{"Number":-9223372036854775808,"Text":"ä",\z
        "Half":0.5,"Flag":false,"Bytes":"Af8=","Name":"shop.Article"}]}', line)
    end)

    it("rows without arguments", function()
      assert.same({ 3 }, numbers(sell(3), { id = 7, wsid = 1, query = "shop.NoArgs" }))
    end)

    it("rows with a response of 200", function()
      assert.same({ id = 7, status = 200, rows = { { Number = 1 } } }, last(ask "answer"))
    end)

    it("rows and takes no offset", function()
      assert.equal(1, last(ask "nothing", ask "nothing", sell(1)).offset)
    end)

    it("no rows where it RETURNS void", function()
      assert.equal('{"id":7,"status":200,"rows":[]}',
        (select(2, last '{"id":7,"wsid":1,"query":"shop.NoRows","args":{}}')))
    end)

    it("its log lines to stderr", function()
      local _, _, err = run { ask "log_line" }
      assert.is_truthy(err:find("said by a query", 1, true), err)
    end)

    it("a reply each, however many are asked at once", function()
      local requests = {}
      for i = 1, 20000 do
        requests[i] = ('{"id":%d,"wsid":1,"query":"shop.NoArgs"}'):format(i)
      end
      for i, reply in ipairs((run(requests))) do
        assert.same({ i, 200 }, { reply.id, reply.status })
      end
    end)

    it("replies in the order of the requests among slow and quick ones", function()
      local requests, ids = {}, {}
      for i = 1, 60 do
        requests[i] = ask("rows", i % 3 == 0 and 900 or 0)
        requests[i].id, ids[i] = i, i
      end
      local found = {}
      for i, reply in ipairs((run(requests))) do found[i] = reply.id end
      assert.same(ids, found)
    end)
  end)

  describe("fails", function()
    local LINE = "^shop%.Ask: .*shop%.lua:%d+: "

    local function fails(sentence, what, code, pattern)
      it(sentence, function()
        local replies = run { ask(what, 200999), ask("rows", 1) }
        local reply = replies[1]
        assert.same({ 500, code }, { reply.status, reply.error and reply.error.code })
        assert.is_truthy(reply.error.message:match(pattern), reply.error.message)
        assert.is_nil(reply.rows)
        assert.same({ { Number = 1 } }, replies[2].rows)
      end)
    end

    fails("by an error, with its line", "fail", "EXTENSION_FAILED", LINE .. "do not ask$")
    fails("by must_get of nothing, with the key", "article", "NOT_EXISTS",
      LINE .. "sys%.Record shop%.Article {ID=200999}: not exists$")
    fails("by a wrong field, with a guess", "wrong", "EXTENSION_FAILED",
      LINE .. "shop%.Row has no field Numbr; did you mean Number%?$")
    fails("by a text that is too long, with its line", "long", "EXTENSION_FAILED",
      LINE .. ".*Text: expected at most 20 bytes, found 21$")
    fails("by a number out of range, with its line", "range", "EXTENSION_FAILED",
      LINE .. ".*Short: expected int8, found 128$")
    fails("by a missing field, with its line", "empty", "EXTENSION_FAILED",
      LINE .. ".*Number: missing, it is NOT NULL$")
    fails("by a write to a view", "write", "NOT_DECLARED", LINE .. ".*shop%.Sales.*not for queries")
    fails("by a new record", "record", "NOT_DECLARED", LINE .. ".*shop%.Article.*not for queries")
    fails("by a read of what it does not declare", "hidden", "NOT_DECLARED",
      LINE .. ".*add sys%.View%(shop%.Hidden%) to STATE of shop%.Ask$")
    fails("by half of a key, with what is missing", "half_key", "EXTENSION_FAILED",
      LINE .. "sys%.View shop%.Sales {Year=1}: the key has no Day$")
    fails("by a key with a hole", "hole", "EXTENSION_FAILED",
      LINE .. "sys%.View shop%.Sales {Day=1}: the key has Day but not Year")

    it("by a response, with its status and message and without rows", function()
      assert.same({ id = 7, status = 404,
        error = { code = "RESPONSE", message = "no such thing" } }, last(ask "refuse"))
    end)

    it("by a row where it RETURNS void", function()
      local reply = last '{"id":7,"wsid":1,"query":"shop.NoRows","args":{"Number":1}}'
      assert.same({ 500, "NOT_SUPPORTED" }, { reply.status, reply.error.code })
    end)
  end)
end)
