-- Requests that are refused: each gets its status, its code and its message, takes no numbers,
-- and does not keep the next request from being served.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Article INHERITS sys.CDoc (
  Name varchar(20) NOT NULL,
  Code varchar(10) CHECK '^[a-z]+$',
  UNIQUEFIELD Name
);
TABLE Person INHERITS sys.CDoc (
  First varchar(20),
  Last varchar(20),
  Age int8,
  Friend ref(Person),
  Liked ref(Article, Person),
  UNIQUE (First, Last)
);
TABLE Bill INHERITS sys.WDoc (
  Number int32 NOT NULL,
  Lines TABLE BillLine (
    Quantity int32 NOT NULL,
    Notes TABLE Note ( Body varchar(5) )
  )
);
ABSTRACT TABLE Base INHERITS sys.CDoc ( Height int32 );
TABLE Order INHERITS sys.ODoc (
  Number int32 NOT NULL,
  Items TABLE OrderItem (
    Quantity int32 NOT NULL,
    Article ref(Article),
    Parts TABLE Part ( Weight float64 )
  )
);
TYPE Kinds (
  Int8 int8,
  Int16 int16,
  Int32 int32,
  Int64 int64,
  Float32 float32,
  Float64 float64,
  Bool bool,
  Text varchar(5),
  Bytes bytes(4),
  QName qname,
  Ref ref,
  ArticleRef ref(Article),
  Time timestamp,
  Money money,
  Mail varchar CHECK '^[a-z]+@[a-z]+$'
);
TYPE Params ( Number int32 NOT NULL );
TYPE Secret ( Word varchar(8) NOT NULL );
VIEW Sales ( Year int32 NOT NULL, Day int32 NOT NULL, Sum int64, PRIMARY KEY ((Year), Day) )
  AS RESULT OF Count;
EXTENSION ENGINE LUA (
  COMMAND Nop();
  COMMAND Take(Kinds);
  COMMAND Need(Params);
  COMMAND Whisper(UNLOGGED Secret);
  COMMAND Buy(Order);
  QUERY Ask(Params) RETURNS Params;
  QUERY Everything() RETURNS Params;
  SYNC PROJECTOR Count AFTER EXECUTE ON Need INTENTS(sys.View(Sales));
);
]]

local MODULE = [[
for _, name in ipairs { "Nop", "Take", "Need", "Whisper", "Buy", "Ask", "Everything", "Count" } do
  M[name] = function() end
end
]]

-- What every case may stand on: article 200001 and person 200002 of workspace 1.
local FIRST = [[{"id":"first","wsid":1,"command":"sys.CUD","cuds":[
  {"sys.ID":1,"sys.QName":"shop.Article","Name":"Tea"},
  {"sys.ID":2,"sys.QName":"shop.Person","First":"Ann","Last":"Lee"}]}]]
local GOOD = '{"id":"good","wsid":1,"command":"shop.Nop"}'

-- The cases of a group go through one run, with a good request behind each.
local batch

local function serve(self)
  local requests = { (FIRST:gsub("\n%s*", "")) }
  for _, line in ipairs(self.cases) do
    requests[#requests + 1] = line
    requests[#requests + 1] = GOOD
  end
  local err, code
  self.replies, self.lines, err, code = stator.try(stator.shop(SCHEMA, MODULE), requests)
  assert.same({ 0, "" }, { code, err })
end

local function group(name, body)
  describe(name, function()
    local own = { cases = {} }
    batch = own
    body()
    setup(function() serve(own) end)
  end)
end

-- Adds a case: where it finds its replies, and its number.
local function add(line)
  batch.cases[#batch.cases + 1] = line
  return batch, #batch.cases
end

-- `message` is the whole message, or a function that looks at it.
local function refuses(sentence, line, status, code, message)
  local own, n = add(line)
  it("refuses " .. sentence, function()
    local reply, before, after = own.replies[2 * n], own.replies[2 * n - 1], own.replies[2 * n + 1]
    local found = reply.error or {}
    assert.same({ status, code }, { reply.status, found.code })
    if type(message) == "function" then message(found.message)
    else assert.equal(message, found.message) end
    -- The bad one has not used up an offset.
    assert.same({ id = "good", status = 200, offset = before.offset + 1 }, after)
  end)
end

local function request(members)
  return '{"id":7,"wsid":1,' .. members .. "}"
end

local function bad(sentence, line, message)
  refuses(sentence, line, 400, "BAD_REQUEST", message)
end

local function unknown(sentence, members, message)
  refuses(sentence, request(members), 404, "NOT_FOUND", message)
end

-- Members of `args` of a command.
local function invalid(sentence, command, args, message)
  refuses(sentence, request(('"command":"shop.%s","args":{%s}'):format(command, args)), 400,
    "VALIDATION", message)
end

local function invalid_kind(sentence, field, value, message)
  invalid(sentence, "Take", ('"%s":%s'):format(field, value), "args." .. field .. ": " .. message)
end

local function cud(...)
  return request('"command":"sys.CUD","cuds":[' .. table.concat({ ... }, ",") .. "]")
end

local function invalid_cud(sentence, cuds, message)
  refuses(sentence, cud(cuds), 400, "VALIDATION", message)
end

local function article(members) return '{"sys.QName":"shop.Article",' .. members .. "}" end
local function person(members) return '{"sys.QName":"shop.Person",' .. members .. "}" end
local function line_of_bill(members)
  return '{"sys.ID":1,"sys.QName":"shop.Bill","Number":1},'
    .. '{"sys.ID":2,"sys.QName":"shop.BillLine","Quantity":1' .. members .. "}"
end

local function begins(text)
  return function(message) assert.equal(text, message:sub(1, #text)) end
end

describe("a bad request", function()
  after_each(stator.clean)

  group("as a line", function()
    local function not_json(sentence, line, where)
      local own, n = add(line)
      it("refuses " .. sentence, function()
        assert.equal('{"id":null,"status":400,"error":{"code":"BAD_REQUEST","message":"not JSON: '
          .. where .. '"}}', own.lines[2 * n])
      end)
    end

    not_json("a line that is not JSON", "nonsense",
      "lexical error: invalid string in json text at byte 1")
    not_json("a comma too many", '{"id":1,"wsid":1,}',
      "parse error: invalid object key (must be a string) at byte 18")
    not_json("text behind the object", '{"id":1} x', "parse error: trailing garbage at byte 10")
    not_json("two objects on a line", '{"id":1}{"id":2}',
      "parse error: trailing garbage at byte 9")
    not_json("single quotes", "{'id':1}", "lexical error: invalid char in json text at byte 2")
    not_json("a raw tab in a string", '{"id":"a\tb"}',
      "lexical error: invalid character inside string at byte 8")
    not_json("NaN", '{"id":NaN}', "lexical error: invalid char in json text at byte 7")
    not_json("what is nested without end", '{"args":' .. ("["):rep(9999) .. ("]"):rep(9999) .. "}",
      "nested deeper than 128")

    bad("an object that breaks off", '{"id":1,"wsid":1,"command"',
      "not JSON: the text ends too early")
    bad("an array", "[1,2]", "a request is an object, found an array")
    bad("a string", '"text"', 'a request is an object, found "text"')
    bad("a number", "12", "a request is an object, found 12")
    bad("null", "null", "a request is an object, found null")

    local own, invalid_id = add '{"id":"\255","wsid":2,"command":"shop.Nop"}'
    it("refuses an id that is not UTF-8, and does not send it back", function()
      assert.equal('{"id":null,"status":400,', own.lines[2 * invalid_id]:sub(1, 24))
    end)

    for _, id in ipairs { "null", '"a\\nb"', "1.5", "9223372036854775807", '{"a":[1]}' } do
      local _, n = add('{"id":' .. id .. ',"wsid":1}')
      it("is refused with its own id " .. id, function()
        assert.equal('{"id":' .. id .. ',"status":400,', own.lines[2 * n]:sub(1, #id + 20))
      end)
    end

    it("gets one reply a line, in order", function()
      assert.equal(2 * #own.cases + 1, #own.replies)
    end)
  end)

  group("by its members", function()
    bad("an empty object", "{}", "a request has a command or a query")
    bad("neither command nor query", '{"id":7,"wsid":1}', "a request has a command or a query")
    bad("command and query", request '"command":"shop.Nop","query":"shop.Ask"',
      "a request has a command or a query, not both")
    bad("a command that is not a string", request '"command":7',
      'command: expected a name as "package.Name", found 7')
    bad("a query that is not a string", request '"query":["shop.Ask"]',
      'query: expected a name as "package.Name", found an array')
    bad("an unknown member, with a guess", request '"command":"shop.Nop","arg":{}',
      'a request has no member "arg"; did you mean args?')
    bad("an unknown member", request '"command":"shop.Nop","priority":1',
      'a request has no member "priority"')
    bad("a member that is given twice", '{"id":7,"wsid":1,"wsid":2,"command":"shop.Nop"}',
      "wsid: given twice")
    bad("args that are an array", request '"command":"shop.Nop","args":[]',
      "args: expected an object, found an array")
    bad("args that are a string", request '"command":"shop.Take","args":"x"',
      'args: expected an object, found "x"')
    bad("unlogged args that are a number", request '"command":"shop.Whisper","unlogged":5',
      "unlogged: expected an object, found 5")
    bad("cuds that are an object", request '"command":"sys.CUD","cuds":{}',
      "cuds: expected an array, found an object")
    bad("a query with cuds", request '"query":"shop.Everything","cuds":[]',
      "a query has args only")
    bad("a query with unlogged args", request '"query":"shop.Everything","unlogged":{}',
      "a query has args only")

    for value, sentence in pairs {
      ["0"] = "a wsid of zero", ["-1"] = "a negative wsid", ["1.5"] = "a wsid with a fraction",
      ['"1"'] = "a wsid in quotes", null = "a wsid of null",
      ["9223372036854775808"] = "a wsid beyond 64 bits",
    } do
      bad(sentence, ('{"id":7,"wsid":%s,"command":"shop.Nop"}'):format(value),
        "wsid: expected a positive 64-bit integer, found " .. value)
    end
    bad("a missing wsid", '{"id":7,"command":"shop.Nop"}',
      "wsid: expected a positive 64-bit integer, found nothing")
  end)

  group("by its name", function()
    unknown("a command that does not exist, with a guess", '"command":"shop.Need1"',
      "no command is called shop.Need1; did you mean shop.Need?")
    unknown("a package that does not exist, with a guess", '"command":"shp.Nop"',
      "no command is called shp.Nop; did you mean shop.Nop?")
    unknown("a query that does not exist, with a guess", '"query":"shop.Asks"',
      "no query is called shop.Asks; did you mean shop.Ask?")
    unknown("a command without its package", '"command":"Nop"', "no command is called Nop")
    unknown("sys.CUD as a query", '"query":"sys.CUD"',
      'sys.CUD is a command: ask for it with "command"')
    unknown("a query as a command", '"command":"shop.Everything"',
      'shop.Everything is a query: ask for it with "query"')
    unknown("a command as a query", '"query":"shop.Nop"',
      'shop.Nop is a command: ask for it with "command"')
    unknown("a projector as a command", '"command":"shop.Count"',
      begins "no command is called shop.Count")
    unknown("a type as a command", '"command":"shop.Params"',
      begins "no command is called shop.Params")
    unknown("a name like no other, without a guess", '"command":"shop.Xyz"',
      "no command is called shop.Xyz")
  end)

  group("by its arguments", function()
    invalid("args where none are taken", "Nop", '"Number":1', "args: shop.Nop takes none")
    invalid("a missing field", "Need", "", "args.Number: missing, it is NOT NULL")
    invalid("null for a field that is NOT NULL", "Need", '"Number":null',
      "args.Number: missing, it is NOT NULL")
    invalid("an unknown field, with a guess", "Need", '"Number":1,"Numbr":2',
      "args.Numbr: shop.Params has no such field; did you mean Number?")
    invalid("an unknown field", "Need", '"Number":1,"Zzz":2',
      "args.Zzz: shop.Params has no such field")
    invalid("an unknown field even of null", "Need", '"Number":1,"Zzz":null',
      "args.Zzz: shop.Params has no such field")
    invalid("a field in other letters", "Need", '"Number":1,"number":2',
      "args.number: shop.Params has no such field; did you mean Number?")
    invalid("a field that is given twice", "Need", '"Number":1,"Number":1',
      "args.Number: given twice")
    invalid("sys.ID in a type", "Need", '"Number":1,"sys.ID":1',
      "args.sys.ID: shop.Params has no such field")
    invalid("a name that is not UTF-8, with what is wrong", "Need", '"Number":1,"\255":2',
      "args.?: shop.Params has no such field")

    refuses("args that are missing as a whole", request '"command":"shop.Need"', 400,
      "VALIDATION", "args.Number: missing, it is NOT NULL")
    refuses("args of a query that are missing", request '"query":"shop.Ask"', 400,
      "VALIDATION", "args.Number: missing, it is NOT NULL")
    refuses("wrong args of a query", request '"query":"shop.Ask","args":{"Number":"x"}', 400,
      "VALIDATION", 'args.Number: expected int32, found "x"')
    refuses("args of a query that takes none", request '"query":"shop.Everything","args":{"A":1}',
      400, "VALIDATION", "args: shop.Everything takes none")
    refuses("missing unlogged args", request '"command":"shop.Whisper"', 400, "VALIDATION",
      "unlogged.Word: missing, it is NOT NULL")
    refuses("wrong unlogged args", request '"command":"shop.Whisper","unlogged":{"Word":1}', 400,
      "VALIDATION", "unlogged.Word: expected string, found 1")
    refuses("unlogged args where none are taken",
      request '"command":"shop.Nop","unlogged":{"Word":"x"}', 400, "VALIDATION",
      "unlogged: shop.Nop takes none")
    refuses("logged args where only unlogged ones are taken",
      request '"command":"shop.Whisper","args":{"Word":"x"},"unlogged":{"Word":"x"}', 400,
      "VALIDATION", "args: shop.Whisper takes none")
  end)

  group("by the kind of a value", function()
    invalid_kind("an int8 above its range", "Int8", "128", "expected int8, found 128")
    invalid_kind("an int8 below its range", "Int8", "-129", "expected int8, found -129")
    invalid_kind("an int16 above its range", "Int16", "32768", "expected int16, found 32768")
    invalid_kind("an int16 below its range", "Int16", "-32769", "expected int16, found -32769")
    invalid_kind("an int32 above its range", "Int32", "2147483648",
      "expected int32, found 2147483648")
    invalid_kind("an int32 below its range", "Int32", "-2147483649",
      "expected int32, found -2147483649")
    invalid_kind("an int64 above its range", "Int64", "9223372036854775808",
      "expected int64, found 9223372036854775808")
    invalid_kind("an int64 below its range", "Int64", "-9223372036854775809",
      "expected int64, found -9223372036854775809")
    invalid_kind("an integer of many digits", "Int64", "123456789012345678901234567890",
      "expected int64, found 123456789012345678901234567890")
    invalid_kind("an integer of many digits for an int8", "Int8", "123456789012345678901234567890",
      "expected int8, found 123456789012345678901234567890")
    invalid_kind("a fraction for an integer", "Int32", "1.5", "expected int32, found 1.5")
    invalid_kind("a string for an integer", "Int32", '"1"', 'expected int32, found "1"')
    invalid_kind("a bool for an integer", "Int32", "true", "expected int32, found true")
    invalid_kind("an array for an integer", "Int32", "[1]", "expected int32, found an array")
    invalid_kind("an object for an integer", "Int32", "{}", "expected int32, found an object")
    invalid_kind("a fraction for an int64", "Int64", "0.5", "expected int64, found 0.5")
    invalid("a float32 above its range", "Take", '"Float32":3.5e38', function(message)
      assert.is_truthy(message:match "^args%.Float32: expected float32, found 3%.5e%+?38$", message)
    end)
    invalid_kind("a float64 above its range", "Float64", "1e309", "expected float64, found 1e309")
    invalid_kind("a float64 below its range", "Float64", "-1e309",
      "expected float64, found -1e309")
    invalid_kind("a string for a float", "Float64", '"1"', 'expected float64, found "1"')
    invalid_kind("a number for a bool", "Bool", "1", "expected bool, found 1")
    invalid_kind("a string for a bool", "Bool", '"true"', 'expected bool, found "true"')
    invalid_kind("a number for a string", "Text", "5", "expected string, found 5")
    invalid_kind("a string that is too long", "Text", '"abcdef"',
      "expected at most 5 bytes, found 6")
    invalid_kind("a string of few letters that is too long in bytes", "Text", '"äöü"',
      "expected at most 5 bytes, found 6")
    invalid_kind("a string of megabytes", "Text", '"' .. ("x"):rep(2000000) .. '"',
      "expected at most 5 bytes, found 2000000")
    invalid_kind("a string that does not match its CHECK", "Mail", '"a@B"',
      [["a@B" does not match '^[a-z]+@[a-z]+$']])
    invalid_kind("an empty string that does not match its CHECK", "Mail", '""',
      [["" does not match '^[a-z]+@[a-z]+$']])
    invalid_kind("a string longer than the default", "Mail", '"' .. ("a"):rep(254) .. '@b"',
      "expected at most 255 bytes, found 256")
    for bytes, sentence in pairs {
      ["\255"] = "a byte that begins nothing", ["\195"] = "half of a letter",
      ["\237\160\128"] = "a surrogate in UTF-8", ["\192\128"] = "a letter longer than needed",
    } do
      invalid_kind(sentence, "Text", '"' .. bytes .. '"',
        "expected string, found text that is not UTF-8")
    end
    invalid_kind("half of a surrogate pair", "Text", '"\\ud83d"',
      "expected string, found text that is not UTF-8")
    invalid_kind("a number for bytes", "Bytes", "12", "expected bytes, found 12")
    invalid_kind("bytes that are too long", "Bytes", '"AQIDBAU="',
      "expected at most 4 bytes, found 5")
    for text, sentence in pairs {
      ["AQI"] = "base64 without its padding", ["A*ID"] = "base64 with other letters",
      ["AQI=AQI="] = "base64 with padding in between",
      ["-_8="] = "base64 with letters of URLs",
    } do
      invalid_kind(sentence, "Bytes", '"' .. text .. '"',
        ('expected bytes as base64, found "%s"'):format(text))
    end
    for name, sentence in pairs {
      Article = "a qname without a package", [""] = "an empty qname",
      ["a.b.c"] = "a qname of three parts", ["shop."] = "a qname without a name",
      ["1a.b"] = "a qname that begins with a digit", ["a b.c"] = "a qname with a space",
    } do
      invalid_kind(sentence, "QName", '"' .. name .. '"',
        ('expected qname "package.Name", found "%s"'):format(name))
    end
    invalid_kind("a number for a qname", "QName", "5", "expected qname, found 5")
    invalid_kind("a timestamp as text", "Time", '"2026-01-01"',
      'expected int64, found "2026-01-01"')
    invalid_kind("money with a fraction", "Money", "1.5", "expected int64, found 1.5")
    invalid_kind("a ref of zero", "Ref", "0", "expected a record ID, found 0")
    invalid_kind("a negative ref", "Ref", "-1", "expected a record ID, found -1")
    invalid_kind("a ref in quotes", "Ref", '"1"', 'expected a record ID, found "1"')
    invalid_kind("a ref beyond 64 bits", "Ref", "9223372036854775808",
      "expected a record ID, found 9223372036854775808")
    invalid_kind("a ref to a missing record", "Ref", "200999", "there is no record 200999")
    invalid_kind("a ref to a raw ID that nothing has", "Ref", "5",
      "nothing in this request has the raw ID 5")
    invalid_kind("a ref to a record of another table", "ArticleRef", "200002",
      "expected a record of shop.Article, record 200002 is of shop.Person")
  end)

  group("by nested rows", function()
    invalid("a nested table that is a number", "Buy", '"Number":1,"Items":5',
      "args.Items: expected an array, found 5")
    invalid("a nested table that is an object", "Buy", '"Number":1,"Items":{}',
      "args.Items: expected an array, found an object")
    invalid("a nested row that is a number", "Buy", '"Number":1,"Items":[5]',
      "args.Items[0]: expected an object, found 5")
    invalid("a nested row that is null", "Buy", '"Number":1,"Items":[null]',
      "args.Items[0]: expected an object, found null")
    invalid("a wrong value in a nested row", "Buy",
      '"Number":1,"Items":[{"Quantity":1},{"Quantity":"two"}]',
      'args.Items[1].Quantity: expected int32, found "two"')
    invalid("a missing field of a nested row", "Buy", '"Number":1,"Items":[{"Quantity":1},{}]',
      "args.Items[1].Quantity: missing, it is NOT NULL")
    invalid("an unknown field of a nested row", "Buy",
      '"Number":1,"Items":[{"Quantity":1,"Quantty":1}]',
      "args.Items[0].Quantty: shop.OrderItem has no such field; did you mean Quantity?")
    invalid("a wrong value two levels down", "Buy",
      '"Number":1,"Items":[{"Quantity":1,"Parts":[{"Weight":1},{"Weight":"x"}]}]',
      'args.Items[0].Parts[1].Weight: expected float64, found "x"')
    invalid("a ref to a missing record in a nested row", "Buy",
      '"Number":1,"Items":[{"Quantity":1,"Article":200999}]',
      "args.Items[0].Article: there is no record 200999")
    invalid("a ref to a record of another table in a nested row", "Buy",
      '"Number":1,"Items":[{"Quantity":1,"Article":200002}]',
      "args.Items[0].Article: expected a record of shop.Article, record 200002 is of shop.Person")
    invalid("an ODoc with the ID of a record", "Buy", '"Number":1,"sys.ID":200001',
      "args.sys.ID: expected a raw ID (1 to 65535), found 200001")
    invalid("one raw ID for an ODoc and its nested row", "Buy",
      '"Number":1,"sys.ID":5,"Items":[{"sys.ID":5,"Quantity":1}]',
      "args.Items[0].sys.ID: raw ID 5 is given twice")
    invalid("the sys.QName of another table", "Buy", '"Number":1,"sys.QName":"shop.Bill"',
      'args.sys.QName: expected shop.Order, found "shop.Bill"')
    refuses("one raw ID for an ODoc and a record",
      request('"command":"shop.Buy","args":{"Number":1,"sys.ID":1},"cuds":['
        .. article '"sys.ID":1,"Name":"Rum"' .. "]"), 400, "VALIDATION",
      "cuds[0].sys.ID: raw ID 1 is given twice")
  end)

  group("by the table of a CUD", function()
    local function unknown_table(sentence, name, message)
      refuses(sentence, cud('{"sys.ID":1,"sys.QName":"' .. name .. '"}'), 404, "NOT_FOUND",
        "cuds[0].sys.QName: " .. message)
    end

    unknown_table("a table that does not exist, with a guess", "shop.Artcle",
      "no table is called shop.Artcle; did you mean shop.Article?")
    unknown_table("a table without its package", "Article", "no table is called Article")
    unknown_table("a package that does not exist", "zoo.Elephant",
      "no table is called zoo.Elephant")
    for name, sentence in pairs {
      ["shop.Sales"] = "a view", ["shop.Order"] = "an ODoc", ["shop.OrderItem"] = "an ORecord",
      ["shop.Params"] = "a type", ["shop.Base"] = "an abstract table",
      ["sys.CDoc"] = "a table of package sys",
    } do
      invalid_cud(sentence, ('{"sys.ID":1,"sys.QName":"%s"}'):format(name),
        ("cuds[0].sys.QName: %s has no records of its own"):format(name))
    end
    invalid_cud("a CUD that is a number", "5", "cuds[0]: expected an object, found 5")
    invalid_cud("a CUD that is null", "null", "cuds[0]: expected an object, found null")
    invalid_cud("a new record without its table", '{"sys.ID":1,"Name":"x"}',
      "cuds[0].sys.QName: missing: the table of the new record")
    invalid_cud("a table that is a number", '{"sys.ID":1,"sys.QName":5}',
      "cuds[0].sys.QName: expected qname, found 5")
  end)

  group("by the ID of a CUD", function()
    local missing =
      "cuds[0].sys.ID: missing: a raw ID (1 to 65535) for a new record, or that of a record"

    invalid_cud("a CUD without an ID", article '"Name":"x"', missing)
    invalid_cud("an ID of null", article '"sys.ID":null,"Name":"x"', missing)
    for value, sentence in pairs {
      ["0"] = "an ID of zero", ["-1"] = "a negative ID", ["1.5"] = "an ID with a fraction",
      ['"1"'] = "an ID in quotes", ["9223372036854775808"] = "an ID beyond 64 bits",
    } do
      invalid_cud(sentence, article('"sys.ID":' .. value .. ',"Name":"x"'),
        "cuds[0].sys.ID: expected a record ID, found " .. value)
    end
    invalid_cud("a raw ID that is given twice",
      article '"sys.ID":1,"Name":"x"' .. "," .. article '"sys.ID":1,"Name":"y"',
      "cuds[1].sys.ID: raw ID 1 is given twice")
    invalid_cud("an update of a missing record", article '"sys.ID":200999,"Name":"x"',
      "cuds[0].sys.ID: there is no record 200999")
    invalid_cud("an update of a missing record without its table", '{"sys.ID":200999}',
      "cuds[0].sys.ID: there is no record 200999")
    invalid_cud("an ID between raw ones and those of records", article '"sys.ID":65536,"Name":"x"',
      "cuds[0].sys.ID: there is no record 65536")
    invalid_cud("an update under the name of another table", article '"sys.ID":200002,"Name":"x"',
      "cuds[0].sys.ID: record 200002 is of shop.Person, not of shop.Article")

    refuses("an update of the record that the same request creates",
      '{"id":7,"wsid":8,"command":"sys.CUD","cuds":[' .. person '"sys.ID":1'
        .. ',{"sys.ID":200001,"Age":5}]}', 400, "VALIDATION",
      "cuds[1].sys.ID: there is no record 200001")
    refuses("an update of a record of another workspace",
      '{"id":7,"wsid":2,"command":"sys.CUD","cuds":[{"sys.ID":200001,"Name":"x"}]}', 400,
      "VALIDATION", "cuds[0].sys.ID: there is no record 200001")
  end)

  group("by the fields of a CUD", function()
    invalid_cud("an unknown field, with a guess", person '"sys.ID":1,"Agee":5',
      "cuds[0].Agee: shop.Person has no such field; did you mean Age?")
    invalid_cud("an unknown field of an update", '{"sys.ID":200001,"Zzz":1}',
      "cuds[0].Zzz: shop.Article has no such field")
    invalid_cud("a field that is given twice", person '"sys.ID":1,"Age":1,"Age":2',
      "cuds[0].Age: given twice")
    invalid_cud("a value out of range", person '"sys.ID":1,"Age":128',
      "cuds[0].Age: expected int8, found 128")
    invalid_cud("a value out of range in an update", '{"sys.ID":200002,"Age":-129}',
      "cuds[0].Age: expected int8, found -129")
    invalid_cud("a value of the wrong type", person '"sys.ID":1,"Age":"old"',
      'cuds[0].Age: expected int8, found "old"')
    invalid_cud("a string that is too long", article('"sys.ID":1,"Name":"' .. ("x"):rep(21) .. '"'),
      "cuds[0].Name: expected at most 20 bytes, found 21")
    invalid_cud("a string that does not match its CHECK",
      article '"sys.ID":1,"Name":"x","Code":"AB"',
      "cuds[0].Code: \"AB\" does not match '^[a-z]+$'")
    invalid_cud("a missing field", article '"sys.ID":1', "cuds[0].Name: missing, it is NOT NULL")
    invalid_cud("sys.IsActive that is a number", '{"sys.ID":200001,"sys.IsActive":1}',
      "cuds[0].sys.IsActive: expected bool, found 1")
    invalid_cud("all of it for the fault of the last",
      article '"sys.ID":1,"Name":"x"' .. "," .. person '"sys.ID":2,"Age":"x"',
      'cuds[1].Age: expected int8, found "x"')
    invalid_cud("a ref to a missing record", person '"sys.ID":1,"Friend":200999',
      "cuds[0].Friend: there is no record 200999")
    refuses("a ref to the ID that the record itself is about to get",
      '{"id":7,"wsid":9,"command":"sys.CUD","cuds":['
        .. person '"sys.ID":1,"Friend":200001' .. "]}",
      400, "VALIDATION", "cuds[0].Friend: there is no record 200001")
    invalid_cud("a ref to a raw ID that nothing has", person '"sys.ID":1,"Friend":9',
      "cuds[0].Friend: nothing in this request has the raw ID 9")
    invalid_cud("a ref to a record of another table", person '"sys.ID":1,"Friend":200001',
      "cuds[0].Friend: expected a record of shop.Person, record 200001 is of shop.Article")
    invalid_cud("a ref to a raw ID of another table",
      person '"sys.ID":1,"Friend":2' .. "," .. article '"sys.ID":2,"Name":"x"',
      "cuds[0].Friend: expected a record of shop.Person, record 2 is of shop.Article")
    refuses("a ref to a record of another workspace",
      '{"id":7,"wsid":2,"command":"sys.CUD","cuds":['
        .. person '"sys.ID":1,"Friend":200002' .. "]}",
      400, "VALIDATION", "cuds[0].Friend: there is no record 200002")
    refuses("a wrong record beside a command of the application",
      request('"command":"shop.Nop","cuds":[' .. article '"sys.ID":1' .. "]"), 400, "VALIDATION",
      "cuds[0].Name: missing, it is NOT NULL")
  end)

  group("by the place of a nested record", function()
    invalid_cud("a nested record without parent and container",
      '{"sys.ID":1,"sys.QName":"shop.BillLine","Quantity":1}',
      "cuds[0].sys.ParentID: missing: the record that it is nested in")
    invalid_cud("a nested record without a parent", line_of_bill ',"sys.Container":"Lines"',
      "cuds[1].sys.ParentID: missing: the record that it is nested in")
    invalid_cud("a nested record without a container", line_of_bill ',"sys.ParentID":1',
      "cuds[1].sys.Container: missing: the nested table of shop.Bill")
    invalid_cud("a container that does not exist",
      line_of_bill ',"sys.ParentID":1,"sys.Container":"Rows"',
      'cuds[1].sys.Container: shop.Bill has no nested table "Rows" of shop.BillLine')
    invalid_cud("a container of another table",
      line_of_bill ',"sys.ParentID":1,"sys.Container":"Notes"',
      'cuds[1].sys.Container: shop.Bill has no nested table "Notes" of shop.BillLine')
    invalid_cud("a parent of another table",
      line_of_bill ',"sys.ParentID":200001,"sys.Container":"Lines"',
      'cuds[1].sys.Container: shop.Article has no nested table "Lines" of shop.BillLine')
    invalid_cud("a record in the container of another",
      '{"sys.ID":1,"sys.QName":"shop.Bill","Number":1},'
        .. '{"sys.ID":2,"sys.QName":"shop.Note","sys.ParentID":1,"sys.Container":"Lines"}',
      'cuds[1].sys.Container: shop.Bill has no nested table "Lines" of shop.Note')
    invalid_cud("a parent that is missing",
      line_of_bill ',"sys.ParentID":200999,"sys.Container":"Lines"',
      "cuds[1].sys.ParentID: there is no record 200999")
    invalid_cud("a parent of a raw ID that nothing has",
      line_of_bill ',"sys.ParentID":9,"sys.Container":"Lines"',
      "cuds[1].sys.ParentID: nothing in this request has the raw ID 9")
    invalid_cud("nested records inside of their parent",
      '{"sys.ID":1,"sys.QName":"shop.Bill","Number":1,"Lines":[{"Quantity":1}]}',
      "cuds[0].Lines: a nested record is a CUD of its own, with sys.ParentID and sys.Container")
    invalid_cud("a document with a parent", person '"sys.ID":1,"sys.ParentID":200001',
      begins "cuds[0].sys.ParentID: ")
    invalid_cud("a document with a container", person '"sys.ID":1,"sys.Container":"Lines"',
      begins "cuds[0].sys.Container: ")
  end)

  group("by a unique", function()
    local function taken(sentence, cuds, message)
      refuses(sentence, cud(cuds), 409, "UNIQUE", message)
    end

    taken("a value of a UNIQUEFIELD that is taken", article '"sys.ID":1,"Name":"Tea"',
      "cuds[0]: shop.Article: Name is unique and taken by record 200001")
    taken("values of a UNIQUE that are taken", person '"sys.ID":1,"First":"Ann","Last":"Lee"',
      "cuds[0]: shop.Person: First, Last is unique and taken by record 200002")
    taken("one value for two records of a request, with the other",
      article '"sys.ID":1,"Name":"Gin"' .. "," .. article '"sys.ID":2,"Name":"Gin"',
      "cuds[1]: shop.Article: Name is unique and taken by record 200003")
  end)
end)
