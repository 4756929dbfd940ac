-- What a new version of a schema may do to data that is there, and what not.

local stator = require "support.stator"

local OLD = [[
APPLICATION shop ( USE menu; );
WORKSPACE W (
  TABLE Article INHERITS sys.CDoc (
    Name varchar(50) NOT NULL,
    Price int32,
    Sizes TABLE Size ( Litres int32 ),
    Code varchar(10), Maker varchar(20),
    UNIQUEFIELD Name,
    UNIQUE (Code, Maker)
  );
  TABLE Setting INHERITS sys.CSingleton ( Theme varchar(20) );
  TYPE Params ( N int64 NOT NULL, Text varchar(50) );
  TYPE Receipt ( Total int64 );
  VIEW Sales ( Year int32 NOT NULL, Day int32 NOT NULL, Amount int64,
    PRIMARY KEY ((Year), Day) ) AS RESULT OF Calc;
  VIEW Late ( K int32 NOT NULL, N int32 NOT NULL, Amount int64,
    PRIMARY KEY ((K), N) ) AS RESULT OF CalcLate;
  EXTENSION ENGINE LUA (
    COMMAND Sell(Params) RETURNS Receipt;
    COMMAND Take(Params, UNLOGGED Receipt);
    QUERY Find(Params) RETURNS Receipt;
    SYNC PROJECTOR Calc AFTER EXECUTE ON Sell INTENTS(sys.View(Sales));
    PROJECTOR CalcLate AFTER EXECUTE ON Sell INTENTS(sys.View(Late));
  );
);
]]

local MENU = "WORKSPACE M ( TABLE Dish INHERITS sys.CDoc ( Name varchar ); );\n"
local IMPORT = "IMPORT SCHEMA 'menu';\n"

local MODULE = [[
local M = {}
for _, name in ipairs { "Sell", "Take", "Find", "Calc", "CalcLate", "Calc2", "Late2", "More" } do
  M[name] = function() end
end
return M
]]

local function image_of(schema, menu)
  local files = { ["pkg/shop/shop.vsql"] = IMPORT .. schema, ["pkg/shop/shop.lua"] = MODULE,
    ["pkg/menu/menu.vsql"] = menu or MENU }
  if menu == false then
    files["pkg/menu/menu.vsql"] = nil
    files["pkg/shop/shop.vsql"] = schema:gsub("USE menu;", "")
  end
  return stator.image(files)
end

-- The old schema with one text in the place of another.
local function changed(from, to)
  local at, till = OLD:find(from, 1, true)
  assert(at, from)
  return OLD:sub(1, at - 1) .. to .. OLD:sub(till + 1)
end

local OTHER_KEY =
  "shop.Sales: its PRIMARY KEY was ((Year int32), Day int32) and cannot change; make a new view"

local VIOLATIONS = {
  { "a field that is gone", "    Price int32,\n", "", 4,
    "shop.Article: field Price int32 is gone; put it back" },
  { "a field of another kind", "Price int32", "Price int64", 6,
    "shop.Article: field Price was int32, now int64; add a new field at the end" },
  { "a field before old ones", "    Price int32,\n", "    New int32, Price int32,\n", 6,
    "shop.Article: field New stands where Price did; new fields belong at the end, and old "
      .. "ones keep their order" },
  { "fields that changed places", "Code varchar(10), Maker varchar(20)",
    "Maker varchar(20), Code varchar(10)", 8,
    "shop.Article: field Maker stands where Code did; new fields belong at the end, and old "
      .. "ones keep their order" },
  { "a field that becomes NOT NULL", "Price int32", "Price int32 NOT NULL", 6,
    "shop.Article: field Price was not NOT NULL: rows that are there may be without it; leave "
      .. "it so" },
  { "a new field that is NOT NULL", "Theme varchar(20)", "Theme varchar(20), New int32 NOT NULL",
    12, "shop.Setting: new field New is NOT NULL, and rows that are there have none; leave NOT "
      .. "NULL out" },
  { "a text that becomes shorter", "Code varchar(10)", "Code varchar(9)", 8,
    "shop.Article: field Code took 10 bytes, now 9: rows that are there may have more; leave it "
      .. "so" },
  { "another nested table", "Sizes TABLE Size", "Sizes TABLE Sized", 7,
    "shop.Article: field Sizes was a table shop.Size, now shop.Sized; add a new field at the end" },
  { "a table of another kind", "Article INHERITS sys.CDoc", "Article INHERITS sys.WDoc", 4,
    "shop.Article was a CDoc, now a WDoc; take a new name" },
  { "a singleton that is none any more", "sys.CSingleton", "sys.CDoc", 12,
    "shop.Setting was a singleton; leave it so" },
  { "a unique that is gone", ",\n    UNIQUE (Code, Maker)", "", 4,
    "shop.Article: UNIQUE (Code, Maker) is gone; put it back" },
  { "a new unique", "UNIQUEFIELD Name,", "UNIQUEFIELD Name, UNIQUE (Maker),", 4,
    "shop.Article: UNIQUE (Maker) is new, and records that are there may break it; leave it out" },
  { "a unique of more fields", "UNIQUE (Code, Maker)", "UNIQUE (Code, Maker, Price)", 4,
    "shop.Article: UNIQUE (Code, Maker) is gone; put it back" },
  { "a table that is gone", "  TABLE Setting INHERITS sys.CSingleton ( Theme varchar(20) );\n", "",
    1, "CDoc shop.Setting is gone; put it back" },
  { "a key of other fields", "((Year), Day)", "((Day), Year)", 15,
    OTHER_KEY },
  { "a key of another partition", "((Year), Day) ) AS", "((Year, Day), Amount) ) AS", 15,
    OTHER_KEY },
  { "a key field of another kind", "Day int32 NOT NULL", "Day int64 NOT NULL", 15,
    OTHER_KEY },
  { "a view's field that is gone", "Day int32 NOT NULL, Amount int64,", "Day int32 NOT NULL,", 15,
    "shop.Sales: field Amount int64 is gone; put it back" },
  { "another argument of a command", "COMMAND Sell(Params)", "COMMAND Sell(Receipt)", 20,
    "command shop.Sell: its argument was shop.Params, now shop.Receipt; make a new command" },
  { "another result of a command", "COMMAND Sell(Params) RETURNS Receipt",
    "COMMAND Sell(Params)", 20,
    "command shop.Sell: its result was shop.Receipt, now nothing; make a new command" },
  { "another unlogged argument", "UNLOGGED Receipt", "UNLOGGED Params", 21,
    "command shop.Take: its unlogged argument was shop.Receipt, now shop.Params; make a new "
      .. "command" },
  { "a command that is gone", "    COMMAND Take(Params, UNLOGGED Receipt);\n", "", 1,
    "command shop.Take is gone; put it back" },
  { "a field of an argument that is gone", "N int64 NOT NULL, Text", "Text", 13,
    "shop.Params: field N int64 is gone; put it back" },
  { "a new async projector of a view that is there", "    PROJECTOR CalcLate",
    "    PROJECTOR Late2 AFTER EXECUTE ON Sell INTENTS(sys.View(Late));\n    PROJECTOR CalcLate",
    24, "projector shop.Late2 is new and would write all events again to shop.Late, which is "
      .. "there; give it a view of its own" },
  { "a sync projector that becomes async", "SYNC PROJECTOR Calc", "PROJECTOR Calc", 23,
    "projector shop.Calc was SYNC and would write all events again to shop.Sales, which is "
      .. "there; give it a view of its own" },
  { "an async projector that becomes sync", "    PROJECTOR CalcLate", "    SYNC PROJECTOR CalcLate",
    24, "projector shop.CalcLate was not SYNC, and may be behind with shop.Late; leave it so" },
  { "an async projector that takes on another view", "INTENTS(sys.View(Late))",
    "INTENTS(sys.View(Late, Sales))", 24, "projector shop.CalcLate did not write shop.Sales, "
      .. "which is there: it has seen events without it; take a new name and a new view" },
}

local FITTING = {
  { "a field at the end", "Maker varchar(20)", "Maker varchar(20), New int32" },
  { "a longer text", "Code varchar(10)", "Code varchar(11)" },
  { "a field that may be null from now on", "Name varchar(50) NOT NULL", "Name varchar(50)" },
  { "another CHECK and DEFAULT", "Price int32", "Price int32 DEFAULT 5" },
  { "uniques in another order", "UNIQUEFIELD Name,\n    UNIQUE (Code, Maker)",
    "UNIQUE (Maker, Code),\n    UNIQUEFIELD Name" },
  { "a new table", "  TYPE Receipt", "  TABLE More INHERITS sys.CDoc ( N int32 NOT NULL,\n"
    .. "UNIQUEFIELD N );\n  TYPE Receipt" },
  { "a new command", "    COMMAND Take", "    COMMAND More();\n    COMMAND Take" },
  { "a new argument that is NOT NULL", "Text varchar(50)", "Text varchar(5), New int32 NOT NULL" },
  { "a query that is gone", "    QUERY Find(Params) RETURNS Receipt;\n", "" },
  { "a new sync projector of a view that is there", "    SYNC PROJECTOR Calc ",
    "    SYNC PROJECTOR Calc2 AFTER EXECUTE ON Sell INTENTS(sys.View(Sales));\n"
    .. "    SYNC PROJECTOR Calc " },
  { "a new async projector with a view of its own", "    PROJECTOR CalcLate",
    "    PROJECTOR Late2 AFTER EXECUTE ON Sell INTENTS(sys.View(New));\n    PROJECTOR CalcLate" },
}

describe("a version of a schema over data that is there", function()
  local data

  setup(function()
    data = stator.folder()
    local _, _, err, code = stator.run(image_of(OLD), data,
      { { id = 1, wsid = 1, command = "shop.Sell", args = { N = 1 } } })
    assert.equal(0, code, err)
  end)
  teardown(stator.clean)

  -- What `stator check --data` says, without the folder of the image, and its exit code.
  local function check(image)
    local code, out = stator.shell(("%s check %s --data %s"):format(stator.command,
      stator.quote(image), stator.quote(data)))
    return out:gsub(image:gsub("%p", "%%%0") .. "/", ""), code
  end

  local function complaints(out)
    local list = {}
    for line in out:gmatch "[^\n]+" do
      if not line:find "warning: " then list[#list + 1] = line end
    end
    return list
  end

  for _, case in ipairs(VIOLATIONS) do
    it("is refused for " .. case[1], function()
      local out, code = check(image_of(changed(case[2], case[3])))
      local list = complaints(out)
      assert.equal(1, code)
      local found = {}
      for _, text in ipairs(list) do
        local line, message = text:match "^pkg/shop/shop%.vsql:(%d+):%d+: (.*)$"
        found[message] = tonumber(line)
      end
      assert.equal(case[4], found[case[5]], out)
    end)
  end

  for _, case in ipairs(FITTING) do
    it("fits with " .. case[1], function()
      local schema = changed(case[2], case[3])
      if case[3]:find "View%(New%)" then
        schema = schema:gsub("  VIEW Late", "  VIEW New ( K int32 NOT NULL, N int32 NOT NULL, "
          .. "PRIMARY KEY ((K), N) ) AS RESULT OF Late2;\n  VIEW Late")
      end
      local out, code = check(image_of(schema))
      assert.same({ 0, {} }, { code, complaints(out) })
    end)
  end

  it("is refused for a package that is gone", function()
    local out, code = check(image_of(OLD, false))
    assert.same({ 1, { "descriptor.json:1:1: package menu is gone; put it back" } },
      { code, complaints(out) })
  end)

  it("has all that it breaks listed at once", function()
    local schema = changed("    Price int32,\n", ""):gsub("Day int32 NOT NULL", "Day int8 NOT NULL")
      :gsub("COMMAND Take%(Params, UNLOGGED Receipt%)", "COMMAND Take()")
    assert.equal(4, #complaints((check(image_of(schema)))))
  end)

  it("is not deployed when it breaks any, and the one before is as before", function()
    local bad = image_of(changed("    Price int32,\n", ""))
    local replies, _, err, code = stator.run(bad, data, {
      { id = 1, wsid = 1, command = "shop.Sell", args = { N = 1 } } })
    assert.same({ 1, {} }, { code, replies })
    assert.matches("field Price int32 is gone; put it back", err, 1, true)
    assert.equal(1, #stator.dump(image_of(OLD), data, "wlog"))
    assert.equal(200, stator.run(image_of(OLD), data,
      { { id = 1, wsid = 1, query = "shop.Find", args = { N = 1 } } })[1].status)
  end)

  it("is checked while the data is in use", function()
    local code = stator.shell(([[
      mkfifo %s/in; %s run %s --data %s < %s/in > %s/out & exec 3> %s/in
      echo '{"id":1,"wsid":1,"query":"shop.Find","args":{"N":1}}' >&3
      until [ -s %s/out ]; do sleep 0.01; done
      %s check %s --data %s; code=$?; exec 3>&-; wait; exit $code]]):format(data, stator.command,
      image_of(OLD), data, data, data, data, data, stator.command,
      image_of(changed("    Price int32,\n", "")), data))
    assert.equal(1, code)
  end)
end)

describe("the schema of data", function()
  after_each(stator.clean)

  local function sell(image, data)
    return stator.run(image, data,
      { { id = 1, wsid = 1, command = "shop.Sell", args = { N = 1 } } })
  end

  it("is that of the version that was deployed last", function()
    local data = stator.folder()
    local grown = image_of(changed("Maker varchar(20)", "Maker varchar(20), New int32"))
    sell(image_of(OLD), data)
    sell(grown, data)
    local _, _, err, code = sell(image_of(OLD), data)
    assert.equal(1, code)
    assert.matches("shop.Article: field New int32 is gone; put it back", err, 1, true)
  end)

  it("is not that of a version that was refused", function()
    local data = stator.folder()
    sell(image_of(OLD), data)
    sell(image_of(changed("Price int32", "Price int64")), data)
    assert.equal(200, sell(image_of(OLD), data)[1].status)
  end)

  it("is not that of a version that lacks what the embedder brings", function()
    local data = stator.folder()
    sell(image_of(OLD), data)
    local path = data .. "/shop/schema.json"
    local kept = stator.read(path)
    local _, _, err, code = sell(image_of(changed("  EXTENSION ENGINE LUA",
      "  EXTENSION ENGINE BUILTIN ( COMMAND Missing(); );\n  EXTENSION ENGINE LUA")), data)
    assert.equal(1, code)
    assert.matches("shop.Missing: the embedder registers no such builtin", err, 1, true)
    assert.equal(kept, stator.read(path))
  end)

  it("is what it was when a version turns out not to start", function()
    local ffi, lib = require "ffi", require "support.lib"
    ffi.cdef "void stator__schema_put_back(const char *folder, const stator_buf *before);"
    local data = stator.folder()
    local path, text = data .. "/schema.json", '{"format":1}'
    local before = ffi.new "stator_buf"
    stator.write(path, "that of the new version")
    before.data, before.size = ffi.cast("uint8_t *", text), #text
    lib.C.stator__schema_put_back(data, before)
    assert.equal(text, stator.read(path))
    before.size = 0
    lib.C.stator__schema_put_back(data, before)
    assert.is_nil((io.open(path)))
  end)

  it("need not be there: data of a version that kept none is taken as it is", function()
    local data = stator.folder()
    sell(image_of(OLD), data)
    os.remove(data .. "/shop/schema.json")
    assert.equal(200, sell(image_of(changed("    Price int32,\n", "")), data)[1].status)
  end)

  it("that is damaged is said by its name", function()
    local data = stator.folder()
    sell(image_of(OLD), data)
    stator.write(data .. "/shop/schema.json", '{"format":1,')
    local _, _, err, code = sell(image_of(OLD), data)
    assert.equal(1, code)
    assert.matches("shop/schema.json: ", err, 1, true)
  end)

  it("keeps unique values where uniques have changed their order", function()
    local data = stator.folder()
    local function make(image, name, code)
      return stator.run(image, data, { { id = 1, wsid = 1, command = "sys.CUD", cuds = {
        { ["sys.ID"] = 1, ["sys.QName"] = "shop.Article", Name = name, Code = code, Maker = "m" },
      } } })[1].status
    end
    local other = image_of(changed("UNIQUEFIELD Name,\n    UNIQUE (Code, Maker)",
      "UNIQUE (Maker, Code),\n    UNIQUEFIELD Name"))
    assert.equal(200, make(image_of(OLD), "a", "1"))
    assert.equal(409, make(other, "a", "2"))
    assert.equal(409, make(other, "b", "1"))
    assert.equal(200, make(other, "b", "2"))
  end)

  it("is not asked for without data", function()
    local code, out = stator.shell(("%s check %s --data %s"):format(stator.command,
      stator.quote(image_of(OLD)), stator.folder()))
    assert.equal(1, code)
    assert.matches("/shop:1:1: there is no data of shop", out, 1, true)
  end)
end)
