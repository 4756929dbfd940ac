-- `stator dump`: what is stored, in order, and what it says when it cannot.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Article INHERITS sys.CDoc ( Name varchar(20), Price int64, Half float64, Picture bytes(9) );
TABLE Bill INHERITS sys.WDoc ( Number int32, Lines TABLE BillLine ( Quantity int32 ) );
TABLE Order INHERITS sys.ODoc ( Number int32, Items TABLE Item ( Quantity int32 ) );
TYPE Params ( Number int64 );
VIEW Ints ( Year int32 NOT NULL, Day int64 NOT NULL, Sum int64, PRIMARY KEY ((Year), Day) )
  AS RESULT OF Fill;
VIEW Floats ( Year int8 NOT NULL, Half float64 NOT NULL, Single float32 NOT NULL,
  PRIMARY KEY ((Year), Half, Single) ) AS RESULT OF Fill;
VIEW Texts ( Year int8 NOT NULL, Flag bool NOT NULL, Name varchar(9000) NOT NULL, Sum int64,
  PRIMARY KEY ((Year), Flag, Name) ) AS RESULT OF Fill;
VIEW Blobs ( Year int8 NOT NULL, Name bytes NOT NULL, PRIMARY KEY ((Year), Name) )
  AS RESULT OF Fill;
EXTENSION ENGINE LUA (
  COMMAND Do(Params);
  COMMAND Buy(Order);
  SYNC PROJECTOR Fill AFTER EXECUTE ON Make INTENTS(sys.View(Ints, Floats, Texts, Blobs));
  COMMAND Make(Params);
);
]]

local MODULE = [[
local Ints, Floats = state.view "shop.Ints", state.view "shop.Floats"
local Texts, Blobs = state.view "shop.Texts", state.view "shop.Blobs"
function M.Do() end
function M.Buy() end
function M.Make() end

local INTS = { 0LL, 1LL, -1LL, 255LL, 256LL, -256LL, 0x7fffffffffffffffLL,
  -0x7fffffffffffffffLL - 1, 9007199254740993LL, -9007199254740993LL }
local FLOATS = { 0, 1, -1, 0.5, -0.5, 1e300, -1e300, 1e-300, -1e-300, 3, 20 }
local TEXTS = { "", "a", "b", "ab", "B", "ä", "aa", "a\0b", ("x"):rep(600), ("x"):rep(9000),
  ("x"):rep(600) .. "y", "10", "9" }

function M.Fill()
  for _, year in ipairs { 3, -3, 0, 100 } do
    for i, day in ipairs(INTS) do state.new(Ints { Year = year, Day = day }).Sum = i end
  end
  for _, half in ipairs(FLOATS) do
    for _, single in ipairs { 2, -2, 0.25 } do
      state.new(Floats { Year = -1, Half = half, Single = single })
    end
  end
  for _, flag in ipairs { true, false } do
    for i, name in ipairs(TEXTS) do
      state.new(Texts { Year = 1, Flag = flag, Name = name }).Sum = i
    end
  end
  for _, name in ipairs { "\255", "\0", "", "\1\2", "\1" } do
    state.new(Blobs { Year = 1, Name = name })
  end
end
]]

local function command(name, args, wsid)
  return { id = 1, wsid = wsid or 1, command = "shop." .. name, args = args }
end

local function cud(wsid, ...)
  return { id = 1, wsid = wsid, command = "sys.CUD", cuds = { ... } }
end

local function article(raw_id, name)
  return { ["sys.ID"] = raw_id, ["sys.QName"] = "shop.Article", Name = name }
end

-- The values of a field of the keys.
local function keys(rows, field)
  local found = {}
  for i, row in ipairs(rows) do found[i] = row.key[field] end
  return found
end

describe("stator dump", function()
  local image, data

  before_each(function()
    image, data = stator.shop(SCHEMA, MODULE), stator.folder()
  end)
  after_each(stator.clean)

  local function run(requests, options)
    local replies, _, err, code = stator.run(image, data, requests, options)
    assert.same({ 0, "" }, { code, err })
    for _, reply in ipairs(replies) do assert.equal(200, reply.status) end
  end

  local function dump(what) return stator.dump(image, data, what) end
  local function lines_of(what) return (select(2, dump(what))) end

  describe("view", function()
    it("gives workspace, key and value of each row", function()
      run { command("Make", { Number = 1 }) }
      assert.equal('{"wsid":1,"key":{"Year":-3,"Day":-9223372036854775808},"value":{"Sum":8}}',
        lines_of("view shop.Ints")[1])
    end)

    it("gives an empty value where all its fields are null or there are none", function()
      run { command("Make", { Number = 1 }) }
      assert.equal('{"wsid":1,"key":{"Year":1,"Name":""},"value":{}}',
        lines_of("view shop.Blobs")[1])
    end)

    it("is in the order of integers, negative ones first and exact", function()
      run { command("Make", { Number = 1 }) }
      local days = {}
      for i, line in ipairs(lines_of "view shop.Ints") do
        if i <= 10 then days[i] = line:match '"Day":(-?%d+)' end
      end
      assert.same({ "-9223372036854775808", "-9007199254740993", "-256", "-1", "0", "1", "255",
        "256", "9007199254740993", "9223372036854775807" }, days)
    end)

    it("is in the order of the partition key, negative ones first", function()
      run { command("Make", { Number = 1 }) }
      local years = keys(dump "view shop.Ints", "Year")
      assert.same({ -3, 0, 3, 100 }, { years[1], years[11], years[21], years[31] })
    end)

    it("is in the order of floats, negative ones first", function()
      run { command("Make", { Number = 1 }) }
      local halves = keys(dump "view shop.Floats", "Half")
      local expected = { -1e300, -1, -0.5, -1e-300, 0, 1e-300, 0.5, 1, 3, 20, 1e300 }
      for i, half in ipairs(expected) do assert.equal(half, halves[3 * i]) end
      assert.equal(3 * #expected, #halves)
    end)

    it("is in the order of the second clustering column within the first", function()
      run { command("Make", { Number = 1 }) }
      local singles = keys(dump "view shop.Floats", "Single")
      assert.same({ -2, 0.25, 2, -2, 0.25, 2 }, { unpack(singles, 1, 6) })
    end)

    it("is in the order of the bytes of texts, however long they are", function()
      run { command("Make", { Number = 1 }) }
      local names = keys(dump "view shop.Texts", "Name")
      local expected = { "", "10", "9", "B", "a", "a\0b", "aa", "ab", "b", ("x"):rep(600),
        ("x"):rep(9000), ("x"):rep(600) .. "y", "ä" }
      assert.same(expected, { unpack(names, 1, #expected) })
      assert.same(expected, { unpack(names, #expected + 1) })
    end)

    it("has false before true", function()
      run { command("Make", { Number = 1 }) }
      local flags = keys(dump "view shop.Texts", "Flag")
      assert.same({ false, true }, { flags[1], flags[#flags] })
    end)

    it("is in the order of bytes, as base64", function()
      run { command("Make", { Number = 1 }) }
      assert.same({ "", "AA==", "AQ==", "AQI=", "/w==" }, keys(dump "view shop.Blobs", "Name"))
    end)

    it("gives nothing for a view without rows", function()
      run { command("Do", { Number = 1 }) }
      local _, lines, err, code = dump "view shop.Ints"
      assert.same({ {}, "", 0 }, { lines, err, code })
    end)

    it("keeps to one workspace with --wsid", function()
      run { command("Make", nil, 1), command("Make", nil, 2), command("Make", nil, 3) }
      local rows = dump "view shop.Blobs --wsid 2"
      assert.equal(5, #rows)
      for _, row in ipairs(rows) do assert.equal(2, row.wsid) end
    end)

    it("is in the order of workspaces", function()
      run { command("Make", nil, 300), command("Make", nil, 2), command("Make", nil, 70000) }
      local rows = dump "view shop.Blobs"
      assert.same({ 2, 300, 70000 }, { rows[1].wsid, rows[6].wsid, rows[11].wsid })
    end)

    it("finds all partitions by itself, and keeps to one with --partition", function()
      run({ command("Make", nil, 1), command("Make", nil, 2), command("Make", nil, 3) },
        "--partitions 3")
      assert.equal(15, #dump "view shop.Blobs")
      local rows = dump "view shop.Blobs --partition 2"
      assert.same({ 5, 2 }, { #rows, rows[1].wsid })
    end)
  end)

  describe("record", function()
    it("gives workspace, ID, table and fields of each record", function()
      run { cud(1, article(1, "Tea")) }
      assert.same({ '{"wsid":1,"id":200001,"qname":"shop.Article","fields":{"Name":"Tea"}}' },
        lines_of "record shop.Article")
    end)

    it("gives numbers exactly and bytes as base64", function()
      run { '{"id":1,"wsid":1,"command":"sys.CUD","cuds":[{"sys.ID":1,\z
        "sys.QName":"shop.Article","Price":-9007199254740993,"Half":0.1,"Picture":"AP8="}]}' }
      assert.same({ '{"wsid":1,"id":200001,"qname":"shop.Article",\z
        "fields":{"Price":-9007199254740993,"Half":0.1,"Picture":"AP8="}}' },
        lines_of "record shop.Article")
    end)

    it("gives parent and container of nested records", function()
      run { cud(1, { ["sys.ID"] = 1, ["sys.QName"] = "shop.Bill", Number = 1 },
        { ["sys.ID"] = 2, ["sys.QName"] = "shop.BillLine", ["sys.ParentID"] = 1,
          ["sys.Container"] = "Lines", Quantity = 4 }) }
      assert.same({ ["sys.ParentID"] = 200001, ["sys.Container"] = "Lines", Quantity = 4 },
        dump("record shop.BillLine")[1].fields)
    end)

    it("is in the order of IDs and gives no other tables", function()
      run { cud(1, article(9, "a"), article(3, "b")),
        cud(1, { ["sys.ID"] = 1, ["sys.QName"] = "shop.Bill" }), cud(1, article(1, "c")) }
      local ids = {}
      for i, row in ipairs((dump "record shop.Article")) do ids[i] = row.id end
      assert.same({ 200001, 200002, 200004 }, ids)
    end)

    it("gives the last state of a record", function()
      run { cud(1, article(1, "Tea")), cud(1, { ["sys.ID"] = 200001, Name = "Rum" }) }
      assert.same({ '{"wsid":1,"id":200001,"qname":"shop.Article","fields":{"Name":"Rum"}}' },
        lines_of "record shop.Article")
    end)

    it("keeps to one workspace with --wsid", function()
      run { cud(1, article(1, "Tea")), cud(2, article(1, "Rum")) }
      assert.same({ '{"wsid":2,"id":200001,"qname":"shop.Article","fields":{"Name":"Rum"}}' },
        lines_of "record shop.Article --wsid 2")
    end)

    it("gives nothing for a workspace without data", function()
      run { cud(1, article(1, "Tea")) }
      assert.same({}, lines_of "record shop.Article --wsid 9")
    end)
  end)

  describe("wlog and plog", function()
    it("give offsets, partition, command and argument", function()
      run { command("Do", { Number = 5 }) }
      local line = '{"wsid":1,"offset":1,"plog_offset":1,"partition":0,"qname":"shop.Do",\z
        "args":{"Number":5},"cuds":[]}'
      assert.same({ line }, lines_of "wlog --wsid 1")
      assert.same({ line }, lines_of "plog --partition 0")
    end)

    it("give new records with their IDs", function()
      run { cud(1, article(1, "Tea")) }
      assert.same({ { ["sys.ID"] = 200001, ["sys.QName"] = "shop.Article", IsNew = true,
        Name = "Tea" } }, dump("wlog --wsid 1")[1].cuds)
    end)

    it("give of changed records what changed", function()
      run { cud(1, article(1, "Tea")), cud(1, { ["sys.ID"] = 200001, Price = 4 }) }
      local changed = dump("wlog --wsid 1")[2].cuds[1]
      assert.same({ 200001, "shop.Article", 4 },
        { changed["sys.ID"], changed["sys.QName"], changed.Price })
      assert.is_nil(changed.Name)
      assert.is_falsy(changed.IsNew)
    end)

    it("give nested rows of the argument", function()
      run { command("Buy", { Number = 1, Items = { { Quantity = 2 } } }) }
      assert.same({ { ["sys.ID"] = 200002, Quantity = 2 } }, dump("wlog --wsid 1")[1].args.Items)
    end)

    it("are in the order of their offsets", function()
      local requests = {}
      for i = 1, 300 do requests[i] = command("Do", { Number = i }, i % 2 + 1) end
      run(requests)
      for offset, event in ipairs((dump "wlog --wsid 1")) do assert.equal(offset, event.offset) end
      local events = dump "plog --partition 0"
      for offset, event in ipairs(events) do
        assert.same({ offset, offset }, { event.plog_offset, event.args.Number })
      end
      assert.equal(300, #events)
    end)

    it("wlog keeps to its workspace", function()
      run { command("Do", { Number = 1 }), command("Do", { Number = 2 }, 2) }
      local events = dump "wlog --wsid 2"
      assert.same({ 1, 2, 1, 2 },
        { #events, events[1].wsid, events[1].offset, events[1].plog_offset })
    end)

    it("plog keeps to its partition", function()
      run({ command("Do", { Number = 1 }), command("Do", { Number = 2 }, 2) }, "--partitions 2")
      local events = dump "plog --partition 1"
      assert.same({ 1, 1, 1 }, { #events, events[1].wsid, events[1].partition })
    end)

    it("give nothing before the first command", function()
      run {}
      assert.same({}, lines_of "wlog --wsid 1")
      assert.same({}, lines_of "plog --partition 0")
    end)
  end)

  describe("says", function()
    -- The arguments behind `--data DIR`, the exit code and the message.
    local function refuses(sentence, what, code, message)
      it(sentence, function()
        run { command("Do", { Number = 1 }) }
        local _, lines, err, found = dump(what)
        assert.same({ {}, code }, { lines, found })
        assert.equal("stator: dump: " .. message .. "\n", err)
      end)
    end

    refuses("that a view does not exist, with a guess", "view shop.Int", 1,
      "no view is called shop.Int; did you mean shop.Ints?")
    refuses("that a table is no view", "view shop.Article", 1,
      "shop.Article is not a view that is stored")
    refuses("that a table does not exist, with a guess", "record shop.Artcle", 1,
      "no table is called shop.Artcle; did you mean shop.Article?")
    refuses("that a view is no table, without guessing at a type", "record shop.Ints", 1,
      "shop.Ints is not a table that is stored")
    refuses("which name is missing for a view", "view", 2, "which view? say its name: package.Name")
    refuses("which name is missing for a record", "record", 2,
      "which record? say its name: package.Name")
    refuses("what can be dumped", "vlog", 2,
      'no dump of "vlog"; there are view, record, wlog, plog and log')
    refuses("that an option does not exist", "wlog --wid 1", 2,
      "no option --wid; see `stator dump --help`")
    refuses("that there is an argument too many", "view shop.Ints shop.Texts", 2,
      'unexpected "shop.Texts"; see `stator dump --help`')
    refuses("that an option lacks its value", "wlog --wsid", 2, "--wsid needs a value")
    refuses("that a workspace is a number, with its own name", "wlog --wsid x", 2,
      '--wsid: expected a whole number from 1 to 9223372036854775807, found "x"')

    for what, message in pairs {
      ["wlog --wsid 0"] = '1 to 9223372036854775807, found "0"',
      ["plog --partition -1"] = '0 to 65535, found "-1"',
      ["plog --partition 1.5"] = '0 to 65535, found "1.5"',
    } do
      it("that a number is wrong in " .. what, function()
        local _, lines, err, code = dump(what)
        assert.same({ {}, 2 }, { lines, code })
        assert.is_truthy(err:find(what:match "%-%-%l+" .. ": expected a whole number from "
          .. message .. "\n", 1, true), err)
      end)
    end

    refuses("how many partitions there are", "plog --partition 1", 1,
      "there is no partition 1; there are 1, from 0")

    it("that an ODoc has no records, without guessing at itself", function()
      run { command("Buy", { Number = 1 }) }
      local _, _, err, code = dump "record shop.Order"
      assert.equal(1, code)
      assert.is_truthy(err:find("shop.Order", 1, true))
      assert.is_nil(err:find("did you mean shop.Order?", 1, true), err)
    end)

    it("that there is no data, and makes none", function()
      local missing = data .. "/missing"
      local _, lines, err, code = stator.dump(image, missing, "wlog --wsid 1")
      assert.same({ {}, 1 }, { lines, code })
      assert.equal("stator: dump: " .. missing .. "/shop: there is no data of shop\n", err)
      assert.not_equal(0, (stator.shell("test -e " .. stator.quote(missing))))
    end)

    it("what is missing when no data is named", function()
      local code, out, err = stator.shell(("%s dump %s wlog"):format(stator.command,
        stator.quote(image)))
      assert.same({ 2, "", "stator: dump: needs IMAGE, --data DIR and what to dump; \z
        see `stator dump --help`\n" }, { code, out, err })
    end)

    it("what is wrong with the image", function()
      local broken = stator.shop("TABLE", "")
      run {}
      local code, out, err = stator.shell(("%s dump %s --data %s wlog"):format(stator.command,
        stator.quote(broken), stator.quote(data)))
      assert.same({ 1, "" }, { code, out })
      assert.is_truthy(err:find("pkg/shop/shop.vsql:4:1: ", 1, true), err)
    end)
  end)

  describe("with stator run --partitions", function()
    local function partitions(count)
      local _, _, err, code = stator.run(image, data, { command("Do", { Number = 1 }) },
        "--partitions " .. count)
      return err, code
    end

    it("takes the number that the data has", function()
      run({ command("Do", { Number = 1 }) }, "--partitions 2")
      assert.same({ "", 0 }, { partitions(2) })
    end)

    it("refuses another number, with both", function()
      run({ command("Do", { Number = 1 }) }, "--partitions 2")
      assert.same({ "stator: run: " .. data
        .. "/shop: the data has 2 partitions, not 3; leave out --partitions\n", 1 },
        { partitions(3) })
    end)

    it("refuses another number with the right word for one", function()
      run { command("Do", { Number = 1 }) }
      assert.same({ "stator: run: " .. data
        .. "/shop: the data has 1 partition, not 2; leave out --partitions\n", 1 },
        { partitions(2) })
    end)

    it("leaves the data alone when it refuses", function()
      run({ command("Do", { Number = 1 }) }, "--partitions 2")
      local before = lines_of "plog"
      partitions(3)
      assert.same(before, lines_of "plog")
    end)

    it("takes the number of the data before that of the descriptor", function()
      run { command("Do", { Number = 1 }) }
      stator.write(image .. "/descriptor.json", '{"partitions":4}')
      run { command("Do", { Number = 2 }) }
      local events = dump "plog --partition 0"
      assert.equal(2, #events)
    end)

    it("takes the number of the descriptor for new data", function()
      stator.write(image .. "/descriptor.json", '{"partitions":4}')
      run { command("Do", { Number = 1 }, 6) }
      assert.equal(2, dump("wlog --wsid 6")[1].partition)
    end)
  end)
end)
