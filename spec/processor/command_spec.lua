-- Commands that are accepted: their numbers, their records, their results, and what remains of
-- those that are refused.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Article INHERITS sys.CDoc (
  Name varchar(20) NOT NULL,
  Price int64,
  Shelf int32 DEFAULT 7,
  UNIQUEFIELD Name
);
TABLE Person INHERITS sys.CDoc ( Name varchar(20), Likes ref(Article), Knows ref(Person), Any ref );
TABLE Bill INHERITS sys.WDoc (
  Number int32,
  Lines TABLE BillLine ( Quantity int32, Article ref(Article) )
);
TABLE Config INHERITS sys.CSingleton ( Theme varchar );
TABLE Order INHERITS sys.ODoc (
  Number int32,
  Article ref(Article),
  Items TABLE OrderItem ( Quantity int32, Article ref(Article) )
);
TYPE Kinds (
  Int8 int8, Int16 int16, Int32 int32, Int64 int64, Float32 float32, Float64 float64,
  Bool bool, Text varchar(50), Bytes bytes(50), QName qname, Time timestamp, Money money
);
TYPE Defaults (
  Number int32 NOT NULL DEFAULT 7,
  Text varchar DEFAULT 'seven',
  Flag bool DEFAULT true,
  Half float64 DEFAULT 0.5,
  None int32
);
TYPE What ( What varchar(20) NOT NULL, ID int64 );
TYPE Secret ( Word varchar(20) );
TYPE Answer ( Text varchar(20), Number int64, Article ref(Article) );
EXTENSION ENGINE LUA (
  COMMAND Nop();
  COMMAND Echo(Kinds) INTENTS(sys.Result) RETURNS Kinds;
  COMMAND Default(Defaults) INTENTS(sys.Result) RETURNS Defaults;
  COMMAND Whisper(What, UNLOGGED Secret) INTENTS(sys.Result) RETURNS Secret;
  COMMAND Buy(Order) INTENTS(sys.Result) RETURNS Answer;
  COMMAND Do(What) STATE(sys.Uniq(Article))
    INTENTS(sys.Record(Article, Person, Bill, BillLine), sys.Result, sys.Response, sys.Logger)
    RETURNS Answer;
  COMMAND Any(any);
);
]]

local MODULE = [[
local Article, Person = state.record "shop.Article", state.record "shop.Person"
local Bill, Line = state.record "shop.Bill", state.record "shop.BillLine"

function M.Nop() end
function M.Any() end

local KINDS = { "Int8", "Int16", "Int32", "Int64", "Float32", "Float64", "Bool", "Text", "Bytes",
  "QName", "Time", "Money" }
function M.Echo(args)
  local result = state.result {}
  for _, name in ipairs(KINDS) do result[name] = args[name] end
end

function M.Default(args)
  state.result {
    Number = args.Number, Text = args.Text, Flag = args.Flag, Half = args.Half, None = args.None,
  }
end

function M.Whisper(_, unlogged) state.result { Word = unlogged.Word } end

function M.Buy(order)
  local sum = 0
  for _, item in order.Items:each() do sum = sum + item.Quantity end
  state.result { Number = sum, Article = order.Article }
end

local acts = {}

function acts.create()
  local article = state.new(Article {}, { Name = "Made" })
  local person = state.new(Person {}, { Name = "Maker", Likes = article["sys.ID"] })
  person.Knows = person["sys.ID"]
  state.result { Article = article["sys.ID"] }
end

function acts.nest()
  local bill = state.new(Bill {}, { Number = 1 })
  state.new(Line {}, { ["sys.ParentID"] = bill["sys.ID"], ["sys.Container"] = "Lines" })
end

function acts.price(args)
  local key = Article { ID = args.ID }
  state.update(key, state.must_get(key)).Price = 99
end

function acts.two_results() state.result { Number = 1 } state.result { Number = 2 } end
function acts.fail() state.new(Article {}, { Name = "Lost" }) error "no way" end
function acts.refuse() state.new(Article {}, { Name = "Lost" }) state.response(418, "teapot") end
function acts.answer() state.response(200, "fine") state.result { Number = 1 } end
function acts.long() state.new(Article {}, { Name = ("x"):rep(21) }) end
function acts.empty() state.new(Article {}, { Price = 1 }) end
function acts.wrong_field() state.new(Article {}, { Nam = "x" }) end
function acts.wrong_type() state.new(Article {}).Name = 5 end
function acts.wrong_ref() state.new(Person {}, { Likes = 299999 }) end
function acts.taken() state.new(Article {}, { Name = "Tea" }) end
function acts.missing() state.must_get(Article { ID = 299999 }) end
function acts.present(args) state.must_not_exist(Article { ID = args.ID }) end
function acts.table_error() error { 1 } end
function acts.log() state.log("info", "said by a command") end
function acts.many() for i = 1, 1001 do state.new(Article {}, { Name = "n" .. i }) end end
function acts.big(args) state.result { Number = args.ID } end

function M.Do(args) acts[args.What](args) end
]]

local function command(name, args, more)
  local request = { id = 1, wsid = 1, command = "shop." .. name, args = args }
  for key, value in pairs(more or {}) do request[key] = value end
  return request
end

local function act(what, id) return command("Do", { What = what, ID = id }) end

local function cud(...)
  return { id = 1, wsid = 1, command = "sys.CUD", cuds = { ... } }
end

local function record(name, raw_id, fields)
  local all = { ["sys.ID"] = raw_id, ["sys.QName"] = "shop." .. name }
  for key, value in pairs(fields or {}) do all[key] = value end
  return all
end

local function tea() return cud(record("Article", 1, { Name = "Tea" })) end

describe("a command", function()
  local image, data

  before_each(function()
    image, data = stator.shop(SCHEMA, MODULE), stator.folder()
  end)
  after_each(stator.clean)

  local function run(requests, options) return stator.run(image, data, requests, options) end
  local function dump(what) return stator.dump(image, data, what) end

  -- The reply to the last of these requests.
  local function last(...)
    local replies, lines = run { ... }
    return replies[#replies], lines[#lines]
  end

  describe("has numbers:", function()
    it("offsets count from 1 in each workspace", function()
      local requests = {}
      for i, wsid in ipairs { 1, 2, 1, 70000, 2, 1 } do
        requests[i] = command("Nop", nil, { id = i, wsid = wsid })
      end
      local offsets = {}
      for i, reply in ipairs((run(requests))) do offsets[i] = reply.offset end
      assert.same({ 1, 1, 2, 1, 2, 3 }, offsets)
    end)

    it("record IDs count from 200001 in each workspace", function()
      local other = tea()
      other.wsid = 2
      local replies = run { tea(), other, cud(record("Person", 1), record("Person", 2)) }
      assert.same({ ["1"] = 200001 }, replies[1].new_ids)
      assert.same({ ["1"] = 200001 }, replies[2].new_ids)
      assert.same({ ["1"] = 200002, ["2"] = 200003 }, replies[3].new_ids)
    end)

    it("log offsets count from 1 in each partition", function()
      run({ command("Nop", nil, { wsid = 2 }), command("Nop", nil, { wsid = 3 }),
        command("Nop", nil, { wsid = 4 }) }, "--partitions 2")
      local found = {}
      for i, event in ipairs((dump "plog")) do
        found[i] = { event.partition, event.plog_offset, event.wsid, event.offset }
      end
      assert.same({ { 0, 1, 2, 1 }, { 0, 2, 4, 1 }, { 1, 1, 3, 1 } }, found)
    end)

    it("the highest workspace is one like others", function()
      local _, line = last '{"id":1,"wsid":9223372036854775807,"command":"shop.Nop"}'
      assert.equal('{"id":1,"status":200,"offset":1}', line)
    end)

    it("a raw ID may be any from 1 to 65535", function()
      local reply = last(cud(record("Person", 65535), record("Person", 1)))
      assert.same({ ["1"] = 200002, ["65535"] = 200001 }, reply.new_ids)
    end)

    for what, sentence in pairs {
      fail = "that raises an error", refuse = "that answers with a status", long = "of long texts",
      many = "beyond its limit of intents", taken = "of a taken unique",
    } do
      it("a command " .. sentence .. " uses none", function()
        local replies = run { tea(), act(what), cud(record("Article", 1, { Name = "Rum" })) }
        assert.not_equal(200, replies[2].status)
        assert.equal(2, replies[3].offset)
        assert.same({ ["1"] = 200002 }, replies[3].new_ids)
        assert.equal(2, #dump "plog --partition 0")
      end)
    end

    it("they go on in the next run", function()
      run { tea() }
      local reply = last(cud(record("Article", 1, { Name = "Rum" })))
      assert.equal(2, reply.offset)
      assert.same({ ["1"] = 200002 }, reply.new_ids)
    end)

    it("a refused run before it leaves no hole", function()
      run { tea() }
      run { act "fail" }
      assert.equal(2, last(command "Nop").offset)
    end)
  end)

  describe("has raw IDs:", function()
    local function cuds_of(offset)
      return dump("wlog --wsid 1")[offset].cuds
    end

    it("refs to them get the IDs of the records", function()
      run { cud(record("Person", 5, { Likes = 9, Knows = 5, Any = 9 }),
        record("Article", 9, { Name = "Tea" })) }
      assert.same({ wsid = 1, id = 200001, qname = "shop.Person",
        fields = { Likes = 200002, Knows = 200001, Any = 200002 } }, dump("record shop.Person")[1])
    end)

    it("refs of the argument get the IDs of the records", function()
      run { command("Buy", { Article = 3, Items = { { Quantity = 1, Article = 3 } } },
        { cuds = { record("Article", 3, { Name = "Tea" }) } }) }
      local event = dump("wlog --wsid 1")[1]
      local id = event.cuds[1]["sys.ID"]
      assert.equal(id, event.args.Article)
      assert.equal(id, event.args.Items[1].Article)
    end)

    it("refs of records get the IDs of the argument's rows", function()
      run { command("Buy", { ["sys.ID"] = 1, Items = { { ["sys.ID"] = 2, Quantity = 1 } } },
        { cuds = { record("Person", 3, { Any = 2 }) } }) }
      local event = dump("wlog --wsid 1")[1]
      assert.equal(event.args.Items[1]["sys.ID"], event.cuds[1].Any)
    end)

    it("updates may refer to them", function()
      run { cud(record("Person", 1, { Name = "Ann" })) }
      run { cud({ ["sys.ID"] = 200001, Likes = 2 }, record("Article", 2, { Name = "Tea" })) }
      assert.equal(200002, dump("record shop.Person")[1].fields.Likes)
    end)

    it("parents may be given by them, before or behind their nested records", function()
      local line = record("BillLine", 2, { ["sys.ParentID"] = 1, ["sys.Container"] = "Lines" })
      local replies = run { cud(record("Bill", 1), line), cud(line, record("Bill", 1)) }
      assert.equal(200, replies[1].status)
      assert.equal(200, replies[2].status)
      local lines = dump "record shop.BillLine"
      assert.equal(replies[1].new_ids["1"], lines[1].fields["sys.ParentID"])
      assert.equal(replies[2].new_ids["1"], lines[2].fields["sys.ParentID"])
    end)

    it("records that a command makes get theirs", function()
      local reply = last(act "create")
      assert.equal(200, reply.status)
      assert.equal(200001, reply.result.Article)
      assert.same({ Name = "Maker", Likes = 200001, Knows = 200002 },
        dump("record shop.Person")[1].fields)
    end)

    it("nested records that a command makes have their parent", function()
      assert.equal(200, last(act "nest").status)
      assert.equal(200001, dump("record shop.BillLine")[1].fields["sys.ParentID"])
    end)

    it("are the request's own: the next one may use the same", function()
      run { tea(), cud(record("Person", 1)) }
      assert.equal(200002, cuds_of(2)[1]["sys.ID"])
    end)
  end)

  describe("has an ODoc as its argument:", function()
    it("rows without sys.ID get one in order of appearance", function()
      local reply = last(command("Buy",
        { Number = 1, Items = { { Quantity = 2 }, { Quantity = 3 } } }))
      assert.same({ ["1"] = 200001, ["2"] = 200002, ["3"] = 200003 }, reply.new_ids)
      assert.same({ ["sys.ID"] = 200001, Number = 1, Items = {
        { ["sys.ID"] = 200002, Quantity = 2 }, { ["sys.ID"] = 200003, Quantity = 3 } } },
        dump("wlog --wsid 1")[1].args)
    end)

    it("the extension reads its nested rows", function()
      local reply = last(command("Buy", { Items = { { Quantity = 2 }, { Quantity = 3 } } }))
      assert.equal(5, reply.result.Number)
    end)

    it("it may have no rows", function()
      assert.equal(0, last('{"id":1,"wsid":1,"command":"shop.Buy","args":{"Items":[]}}')
        .result.Number)
      assert.equal(0, last(command("Buy", { Number = 1 })).result.Number)
    end)

    it("raw IDs of the request are kept", function()
      local reply = last(command("Buy", { ["sys.ID"] = 7, Items = { { ["sys.ID"] = 8,
        Quantity = 1 } } }))
      assert.same({ ["7"] = 200001, ["8"] = 200002 }, reply.new_ids)
    end)

    it("given raw IDs and those that are filled in do not clash", function()
      local reply = last(command("Buy", { Items = { { ["sys.ID"] = 1, Quantity = 1 } } }))
      local count = 0
      for _ in pairs(reply.new_ids) do count = count + 1 end
      assert.equal(2, count)
    end)

    it("it is in the log and nowhere else", function()
      run { command("Buy", { Number = 1 }) }
      local _, lines = dump "record shop.Order"
      assert.same({}, lines)
    end)
  end)

  describe("has values:", function()
    -- What comes back of values, as the text of their JSON: all go through one run.
    local values, lines, logged = {}, nil, nil

    setup(function()
      local echo = '{"id":1,"wsid":1,"command":"shop.Echo","args":%s}'
      local requests, own_data = {}, stator.folder()
      local own_image = stator.shop(SCHEMA, MODULE)
      for i, value in ipairs(values) do requests[i] = echo:format(value) end
      lines = select(2, stator.run(own_image, own_data, requests))
      logged = select(2, stator.dump(own_image, own_data, "wlog --wsid 1"))
    end)

    local function echoes(sentence, field, value, expected)
      values[#values + 1] = ('{"%s":%s}'):format(field, value)
      local n, back = #values, ('{"%s":%s}'):format(field, expected or value)
      it(sentence, function()
        assert.equal(('{"id":1,"status":200,"offset":%d,"result":%s}'):format(n, back), lines[n])
        assert.is_truthy(logged[n]:find('"args":' .. back, 1, true), logged[n])
      end)
    end

    echoes("the greatest int64 is exact", "Int64", "9223372036854775807")
    echoes("the least int64 is exact", "Int64", "-9223372036854775808")
    echoes("an int64 beyond the precision of a double is exact", "Int64", "9007199254740993")
    echoes("a negative one is too", "Int64", "-9007199254740993")
    echoes("the greatest timestamp is exact", "Time", "9223372036854775807")
    echoes("money is an integer", "Money", "12345")
    echoes("the greatest int8", "Int8", "127")
    echoes("the least int8", "Int8", "-128")
    echoes("the least int16", "Int16", "-32768")
    echoes("the greatest int16", "Int16", "32767")
    echoes("the greatest int32", "Int32", "2147483647")
    echoes("the least int32", "Int32", "-2147483648")
    echoes("an integer with a fraction of zero is an integer", "Int32", "5.0", "5")
    echoes("an integer with an exponent is an integer", "Int64", "1e3", "1000")
    echoes("a float64 comes back as short as it was", "Float64", "0.1")
    echoes("a float64 of all digits", "Float64", "0.30000000000000004")
    echoes("a negative float64", "Float64", "-1.5")
    echoes("a float64 without a fraction", "Float64", "3", "3")
    echoes("a float32 comes back as short as it was", "Float32", "0.1")
    echoes("true", "Bool", "true")
    echoes("false", "Bool", "false")
    echoes("an empty string is not null", "Text", '""')
    echoes("letters beyond ASCII", "Text", '"Käse 😀"')
    echoes("letters by their codes", "Text", '"\\u00e4\\ud83d\\ude00"', '"ä😀"')
    echoes("quotes, backslashes and ends of line", "Text", [["a\"b\\c\nd"]])
    echoes("a zero byte", "Text", [["a\u0000b"]])
    echoes("bytes as base64", "Bytes", '"AP8Q"')
    echoes("bytes with padding", "Bytes", '"/w=="')
    echoes("no bytes are not null", "Bytes", '""')
    echoes("a qname", "QName", '"shop.Article"')

    it("null is left out of results and logs", function()
      assert.same({ Text = "x" },
        last '{"id":1,"wsid":1,"command":"shop.Echo","args":{"Int8":null,"Text":"x"}}'.result)
      assert.same({ Text = "x" }, dump("wlog --wsid 1")[1].args)
    end)

    it("the extremes of a float64 survive", function()
      for _, value in ipairs { 1.7976931348623157e308, 2.2250738585072014e-308, -1e-300 } do
        local reply = last(('{"id":1,"wsid":1,"command":"shop.Echo","args":{"Float64":%.17g}}')
          :format(value))
        assert.equal(value, reply.result.Float64)
      end
    end)

    it("an int64 survives a record", function()
      local _, line = last '{"id":1,"wsid":1,"command":"sys.CUD","cuds":[{"sys.ID":1,\z
        "sys.QName":"shop.Article","Name":"x","Price":-9223372036854775808}]}'
      assert.equal('{"id":1,"status":200,"offset":1,"new_ids":{"1":200001}}', line)
      local _, records = dump "record shop.Article"
      assert.same({ '{"wsid":1,"id":200001,"qname":"shop.Article","fields":\z
        {"Name":"x","Price":-9223372036854775808,"Shelf":7}}' }, records)
    end)

    it("an int64 survives the extension", function()
      local _, line = last '{"id":1,"wsid":1,"command":"shop.Do","args":{"What":"big",\z
        "ID":9223372036854775807}}'
      assert.equal('{"id":1,"status":200,"offset":1,"result":{"Number":9223372036854775807}}', line)
    end)

    it("defaults fill in what is missing", function()
      assert.same({ Number = 7, Text = "seven", Flag = true, Half = 0.5 },
        last '{"id":1,"wsid":1,"command":"shop.Default","args":{}}'.result)
    end)

    it("defaults fill in null", function()
      local reply = last '{"id":1,"wsid":1,"command":"shop.Default","args":{"Number":null}}'
      assert.equal(7, reply.result.Number)
    end)

    it("defaults give way to what is there, false and empty too", function()
      assert.same({ Number = 0, Text = "", Flag = false, Half = 0 },
        last(command("Default", { Number = 0, Text = "", Flag = false, Half = 0 })).result)
    end)

    it("defaults fill in missing arguments", function()
      assert.equal(7, last(command "Default").result.Number)
    end)

    it("defaults fill in records that an extension makes", function()
      run { act "create" }
      assert.equal(7, dump("record shop.Article")[1].fields.Shelf)
    end)

    it("defaults fill in new records and leave updates alone", function()
      run { tea() }
      assert.equal(7, dump("record shop.Article")[1].fields.Shelf)
      run { cud { ["sys.ID"] = 200001, Shelf = 3 }, cud { ["sys.ID"] = 200001, Price = 1 } }
      assert.same({ Name = "Tea", Price = 1, Shelf = 3 }, dump("record shop.Article")[1].fields)
    end)

    it("unlogged ones are seen by the extension and never logged", function()
      local reply = last(command("Whisper", { What = "x" }, { unlogged = { Word = "xyzzy" } }))
      assert.equal("xyzzy", reply.result.Word)
      local _, events = dump "wlog --wsid 1"
      assert.is_nil(events[1]:find("xyzzy", 1, true))
      assert.same({ What = "x" }, dump("plog --partition 0")[1].args)
    end)

    it("any argument of a command that takes any is taken", function()
      assert.equal(200, last(command("Any", { a = { 1, "b" } })).status)
    end)
  end)

  describe("answers:", function()
    it("without a result there is none in the reply", function()
      local _, line = last(command "Nop")
      assert.equal('{"id":1,"status":200,"offset":1}', line)
    end)

    it("the last result is the one", function()
      assert.same({ Number = 2 }, last(act "two_results").result)
    end)

    it("a response of 200 leaves it a success", function()
      assert.same({ id = 1, status = 200, offset = 1, result = { Number = 1 } },
        last(act "answer"))
    end)

    it("another response is the status and the message, and nothing is applied", function()
      assert.same({ id = 1, status = 418, error = { code = "RESPONSE", message = "teapot" } },
        last(act "refuse"))
      assert.equal(0, #dump "record shop.Article")
    end)

    it("an error gives its file and line, and nothing is applied", function()
      local reply = last(act "fail")
      assert.same({ 500, "EXTENSION_FAILED" }, { reply.status, reply.error.code })
      assert.is_truthy(reply.error.message:match "shop%.Do: .*shop%.lua:%d+: no way$",
        reply.error.message)
      assert.equal(0, #dump "record shop.Article")
    end)

    it("an error that is a table is told as such", function()
      assert.equal("shop.Do: raised a table instead of a message",
        last(act "table_error").error.message)
    end)

    it("what the extension logs goes to stderr", function()
      local _, _, err = run { act "log" }
      assert.is_truthy(err:find("said by a command", 1, true), err)
    end)

    -- Faults of the extension: code, and a pattern of the message.
    local function fails(sentence, what, status, code, pattern)
      it(sentence, function()
        local replies = run { tea(), act(what, 200001) }
        local reply = replies[2]
        assert.same({ status, code }, { reply.status, reply.error and reply.error.code })
        assert.is_truthy(reply.error.message:match(pattern), reply.error.message)
      end)
    end

    local LINE = "^shop%.Do: .*shop%.lua:%d+: "
    fails("a text that is too long, with the line", "long", 500, "EXTENSION_FAILED",
      LINE .. ".*Name: expected at most 20 bytes, found 21")
    fails("a field that is missing, with the line", "empty", 500, "EXTENSION_FAILED",
      LINE .. ".*Name: missing, it is NOT NULL")
    fails("a wrong field, with a guess and the line", "wrong_field", 500, "EXTENSION_FAILED",
      LINE .. "shop%.Article has no field Nam; did you mean Name%?")
    fails("a wrong type, with the line", "wrong_type", 500, "EXTENSION_FAILED",
      LINE .. "shop%.Article%.Name: expected string, found 5")
    fails("must_get of nothing, with the key", "missing", 500, "NOT_EXISTS",
      LINE .. "sys%.Record shop%.Article {ID=299999}: not exists")
    fails("must_not_exist of something, with the key", "present", 500, "EXISTS",
      LINE .. "sys%.Record shop%.Article {ID=200001}: exists")
    fails("more intents than the limit, with the line", "many", 500, "INTENTS_LIMIT",
      LINE .. "limit of 1000 intents exceeded")
    fails("a ref to a missing record", "wrong_ref", 400, "VALIDATION",
      "Likes: there is no record 299999")
    fails("a taken unique", "taken", 409, "UNIQUE", "taken by record 200001")
  end)

  describe("changes records:", function()
    it("an update changes its fields and no others", function()
      run { tea(), cud { ["sys.ID"] = 200001, ["sys.QName"] = "shop.Article", Price = 5 } }
      assert.same({ Name = "Tea", Price = 5, Shelf = 7 }, dump("record shop.Article")[1].fields)
    end)

    it("an update gives no new IDs", function()
      run { tea() }
      local _, line = last(cud { ["sys.ID"] = 200001, Price = 5 })
      assert.equal('{"id":1,"status":200,"offset":2}', line)
    end)

    it("an update by an extension is kept", function()
      run { tea(), act("price", 200001) }
      assert.equal(99, dump("record shop.Article")[1].fields.Price)
    end)

    it("CUDs beside a command of the application are applied with it", function()
      local reply = last(command("Nop", nil, { cuds = { record("Article", 1, { Name = "Tea" }) } }))
      assert.same({ ["1"] = 200001 }, reply.new_ids)
      assert.equal("Tea", dump("record shop.Article")[1].fields.Name)
    end)

    it("CUDs beside a command that fails are not", function()
      local request = act "fail"
      request.cuds = { record("Article", 1, { Name = "Tea" }) }
      run { request }
      assert.equal(0, #dump "record shop.Article")
    end)

    it("one wrong CUD keeps the others from being applied", function()
      run { cud(record("Article", 1, { Name = "Tea" }), record("Article", 2)) }
      assert.equal(0, #dump "record shop.Article")
    end)

    it("a record may be switched off and on", function()
      run { tea(), cud { ["sys.ID"] = 200001, ["sys.IsActive"] = false } }
      assert.is_false(dump("record shop.Article")[1].fields["sys.IsActive"])
      run { cud { ["sys.ID"] = 200001, ["sys.IsActive"] = true } }
      assert.not_equal(false, dump("record shop.Article")[1].fields["sys.IsActive"])
    end)

    it("a unique value is free again after an update", function()
      local reply = last(tea(), cud { ["sys.ID"] = 200001, Name = "Rum" }, tea())
      assert.equal(200, reply.status)
    end)

    it("a unique value is not in the way of its own record", function()
      assert.equal(200, last(tea(), cud { ["sys.ID"] = 200001, Name = "Tea" }).status)
    end)

    it("a unique value may be in each workspace", function()
      local other = tea()
      other.wsid = 2
      assert.equal(200, last(tea(), other).status)
    end)

    it("a workspace has one record of a singleton", function()
      local replies = run { cud(record("Config", 1)), cud(record("Config", 1)) }
      assert.equal(200, replies[1].status)
      assert.not_equal(200, replies[2].status)
    end)
  end)

  describe("keeps its data apart:", function()
    it("workspaces do not see each other", function()
      local other = tea()
      other.wsid = 2
      run { tea(), other, { id = 1, wsid = 2, command = "sys.CUD",
        cuds = { { ["sys.ID"] = 200001, Price = 2 } } } }
      assert.is_nil(dump("record shop.Article --wsid 1")[1].fields.Price)
      assert.equal(2, dump("record shop.Article --wsid 2")[1].fields.Price)
    end)

    it("a workspace lives in the partition of its number", function()
      run({ command("Nop", nil, { wsid = 7 }) }, "--partitions 3")
      assert.equal(1, dump("wlog --wsid 7")[1].partition)
    end)

    it("many partitions reply in the order of the requests", function()
      local requests, ids = {}, {}
      for i = 1, 300 do
        requests[i] = command("Nop", nil, { id = i, wsid = i % 17 + 1 })
        ids[i] = i
      end
      local found = {}
      for i, reply in ipairs((run(requests, "--partitions 8"))) do found[i] = reply.id end
      assert.same(ids, found)
    end)

    it("data survives into the next run, whole", function()
      local text = "a" .. ("é"):rep(9)
      run { cud(record("Article", 1, { Name = text, Price = 3 })), act "create" }
      local _, before = dump "record shop.Article"
      local _, log = dump "wlog --wsid 1"
      run { command("Nop", nil, { wsid = 2 }) }
      assert.same(before, (select(2, dump "record shop.Article")))
      assert.same(log, (select(2, dump "wlog --wsid 1")))
      assert.equal(text, dump("record shop.Article")[1].fields.Name)
    end)

    it("the next run sees what was there before", function()
      run { tea() }
      assert.equal(409, last(tea()).status)
    end)

    it("the number of partitions is kept without the option", function()
      run({ command("Nop", nil, { wsid = 3 }) }, "--partitions 4")
      local reply = last(command("Nop", nil, { wsid = 3 }))
      assert.equal(2, reply.offset)
    end)
  end)
end)
