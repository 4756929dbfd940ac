-- Kinds of workspaces: what is declared in one WORKSPACE of the schema is not for a workspace that
-- is of another one. And what a run reads and writes in workspaces that are not its own.

local stator = require "support.stator"

local SCHEMA = [[
APPLICATION town ();
ABSTRACT WORKSPACE Base (
  TABLE Note INHERITS sys.CDoc ( Text varchar(20) );
  VIEW Notes ( Y int32 NOT NULL, D int32 NOT NULL, N int64, PRIMARY KEY ((Y), D) )
    AS RESULT OF CountNotes;
  EXTENSION ENGINE LUA (
    COMMAND Touch();
    SYNC PROJECTOR CountNotes AFTER INSERT ON Note INTENTS(sys.View(Notes));
  );
);
ALTERABLE WORKSPACE ShopWS INHERITS Base (
  DESCRIPTOR Shop ( Name varchar(20) );
  TABLE Article INHERITS sys.CDoc (
    Name varchar(20), Sizes TABLE ArticleSizes ( Size int32 ) );
  TYPE Params ( Year int32, Other int64, Text varchar(20) );
  TYPE Row ( N int64 );
  VIEW Sales ( Y int32 NOT NULL, D int32 NOT NULL, N int64, PRIMARY KEY ((Y), D) )
    AS RESULT OF CalcSales;
  VIEW Late ( Y int32 NOT NULL, D int32 NOT NULL, N int64, PRIMARY KEY ((Y), D) )
    AS RESULT OF CalcLate;
  VIEW Wrong ( Y int32 NOT NULL, D int32 NOT NULL, N int64, PRIMARY KEY ((Y), D) )
    AS RESULT OF CalcAnywhere;
  EXTENSION ENGINE LUA (
    COMMAND Open(Params) INTENTS(sys.Record(Shop, Depot, Article, Box));
    COMMAND Sell(Params) STATE(sys.View(Sales)) INTENTS(sys.Record(Article, Box));
    QUERY Ask(Params) STATE(sys.View(Sales)) RETURNS Row;
    SYNC PROJECTOR CalcSales AFTER EXECUTE ON Sell INTENTS(sys.View(Sales));
    PROJECTOR CalcLate AFTER EXECUTE ON (Touch, Sell) INTENTS(sys.View(Late));
  );
);
WORKSPACE DepotWS INHERITS Base (
  DESCRIPTOR Depot ();
  TABLE Box INHERITS sys.WDoc ( Size int32 );
  WORKSPACE ShelfWS (
    DESCRIPTOR Shelf ();
    TABLE Book INHERITS sys.CDoc ( Name varchar(20) );
  );
  VIEW Touches ( Y int32 NOT NULL, D int32 NOT NULL, N int64, PRIMARY KEY ((Y), D) )
    AS RESULT OF CountTouches;
  EXTENSION ENGINE LUA (
    COMMAND Move();
    QUERY Find() RETURNS Row;
    SYNC PROJECTOR CountTouches AFTER EXECUTE ON Touch INTENTS(sys.View(Touches));
    PROJECTOR Failures AFTER EXECUTE ON Move INCLUDING ERRORS;
    SYNC PROJECTOR CalcAnywhere AFTER EXECUTE ON Move INTENTS(sys.View(Wrong));
  );
);
ALTER WORKSPACE ShopWS ( TABLE Later INHERITS sys.CDoc (); );
]]

local MODULE = [[
local state = require "stator.state"
local Sales, Notes = state.view "town.Sales", state.view "town.Notes"
local Late, Touches = state.view "town.Late", state.view "town.Touches"
local Wrong = state.view "town.Wrong"
local record = {}
for _, name in ipairs { "Shop", "Depot", "Article", "Box" } do
  record[name] = state.record("town." .. name)
end

local M = {}
function M.Touch() end
function M.Move() end
function M.Open(args) state.new(record[args.Text] {}) end

function M.Sell(args)
  if args.Text then state.new(record[args.Text] { WSID = args.Other }) end
end

local function add(view, wsid)
  local key = view { Y = 1, D = 1, WSID = wsid }
  local seen = state.get(key)
  if seen then state.update(key, seen).N = seen.N + 1 else state.new(key).N = 1 end
end

function M.CalcSales(event)
  local args = event.ArgumentObject
  add(Sales, not args.Text and args.Other or nil)
end
function M.Failures() end
function M.CalcLate() add(Late) end
function M.CountNotes() add(Notes) end
function M.CountTouches() add(Touches) end
function M.CalcAnywhere() add(Wrong) end

function M.Ask(args)
  local row = state.get(Sales { Y = 1, D = 1, WSID = args.Other })
  state.result { N = row and row.N or 0 }
end
function M.Find() state.result { N = 1 } end
return M
]]

describe("kinds of workspaces", function()
  after_each(stator.clean)

  local image, data

  before_each(function()
    image = stator.image { ["pkg/town/town.vsql"] = SCHEMA, ["pkg/town/town.lua"] = MODULE }
    data = stator.folder()
  end)

  local function run(requests, options)
    local replies = stator.run(image, data, requests, options)
    return replies
  end

  local function put(wsid, name, id)
    return { wsid = wsid, command = "sys.CUD",
      cuds = { { ["sys.ID"] = id or 1, ["sys.QName"] = "town." .. name } } }
  end

  local function refused(status, code, message, reply)
    assert.same({ status, code, message },
      { reply.status, reply.error and reply.error.code, reply.error and reply.error.message })
  end

  local function first_of(view, wsid)
    local lines = stator.dump(image, data, ("view town.%s --wsid %d"):format(view, wsid))
    return lines[1] and lines[1].value.N
  end

  it("lets everything into a workspace that has no kind", function()
    local replies = run { put(1, "Article"), put(1, "Box"), put(1, "Note"),
      { wsid = 1, command = "town.Sell", args = { Year = 1 } },
      { wsid = 1, command = "town.Move" } }
    for i, reply in ipairs(replies) do assert.equal(200, reply.status, i) end
  end)

  it("gives a workspace the kind of the descriptor that is made in it", function()
    local replies = run { put(1, "Shop"), put(1, "Article"), put(1, "Box"), put(2, "Box") }
    assert.equal(200, replies[2].status)
    refused(400, "VALIDATION",
      "cuds[0]: town.Box is declared in workspace town.DepotWS: 1 is a town.ShopWS", replies[3])
    assert.equal(200, replies[4].status)
  end)

  it("keeps the kind over a start", function()
    run { put(1, "Shop") }
    assert.equal("VALIDATION", run({ put(1, "Box") })[1].error.code)
  end)

  it("takes a descriptor that an extension makes", function()
    local replies = run { { wsid = 1, command = "town.Open", args = { Text = "Depot" } },
      put(1, "Article"), put(1, "Box") }
    assert.same({ 200, 400, 200 },
      { replies[1].status, replies[2].status, replies[3].status })
  end)

  it("checks the other records of the request that gives the kind", function()
    local replies = run { { wsid = 1, command = "sys.CUD", cuds = {
      { ["sys.ID"] = 1, ["sys.QName"] = "town.Box" },
      { ["sys.ID"] = 2, ["sys.QName"] = "town.Shop" } } }, put(1, "Box") }
    refused(400, "VALIDATION",
      "cuds[0]: town.Box is declared in workspace town.DepotWS: 1 is a town.ShopWS", replies[1])
    assert.equal(200, replies[2].status)
  end)

  it("refuses the descriptor of another kind", function()
    local replies = run { put(1, "Shop"), put(1, "Depot"), { wsid = 2, command = "sys.CUD", cuds = {
      { ["sys.ID"] = 1, ["sys.QName"] = "town.Depot" },
      { ["sys.ID"] = 2, ["sys.QName"] = "town.Shop" } } } }
    refused(400, "VALIDATION", "cuds[0]: town.Depot would make workspace 1 a town.DepotWS: "
      .. "it is a town.ShopWS, and stays one", replies[2])
    refused(400, "VALIDATION", "cuds[1]: town.Shop would make workspace 2 a town.ShopWS: "
      .. "it is a town.DepotWS, and stays one", replies[3])
  end)

  it("keeps the kind when the descriptor is not active any more", function()
    local replies = run { put(1, "Shop"), { wsid = 1, command = "sys.CUD",
      cuds = { { ["sys.ID"] = 200001, ["sys.IsActive"] = false } } },
      put(1, "Depot"), put(1, "Shop") }
    -- There is one descriptor, active or not.
    assert.same({ 200, 400, 409 },
      { replies[2].status, replies[3].status, replies[4].status })
  end)

  it("gives no kind with a request that is refused", function()
    local replies = run { { wsid = 1, command = "sys.CUD", cuds = {
      { ["sys.ID"] = 1, ["sys.QName"] = "town.Shop" },
      { ["sys.ID"] = 2, ["sys.QName"] = "town.Article", Name = 5 } } }, put(1, "Box") }
    assert.same({ 400, 200 }, { replies[1].status, replies[2].status })
  end)

  it("refuses commands and queries of another kind", function()
    local replies = run { put(1, "Shop"), { wsid = 1, command = "town.Move" },
      { wsid = 1, query = "town.Find" }, { wsid = 2, query = "town.Find" } }
    refused(404, "NOT_FOUND",
      "town.Move is declared in workspace town.DepotWS: 1 is a town.ShopWS", replies[2])
    refused(404, "NOT_FOUND",
      "town.Find is declared in workspace town.DepotWS: 1 is a town.ShopWS", replies[3])
    assert.equal(200, replies[4].status)
  end)

  it("refuses a record of another kind that an extension makes", function()
    local replies = run { put(1, "Shop"),
      { wsid = 1, command = "town.Sell", args = { Text = "Box" } },
      { wsid = 1, command = "town.Sell", args = { Text = "Article" } } }
    assert.equal("VALIDATION", replies[2].error.code)
    assert.truthy(replies[2].error.message:find(
      "town.Box is declared in workspace town.DepotWS: 1 is a town.ShopWS", 1, true))
    assert.same({ 200, 2 }, { replies[3].status, replies[3].offset })
  end)

  it("has what its workspace inherits, nests in its tables, and gets by ALTER", function()
    local replies = run { put(1, "Shop"), put(1, "Note"), put(1, "Later"),
      { wsid = 1, command = "town.Touch" }, { wsid = 1, command = "sys.CUD", cuds = {
        { ["sys.ID"] = 1, ["sys.QName"] = "town.Article" },
        { ["sys.ID"] = 2, ["sys.QName"] = "town.ArticleSizes", ["sys.ParentID"] = 1,
          ["sys.Container"] = "Sizes", Size = 1 } } },
      { wsid = 1, query = "sys.Breakers" } }
    for i, reply in ipairs(replies) do assert.equal(200, reply.status, i) end
    assert.equal(1, first_of("Notes", 1))
  end)

  it("does not have what a workspace nested in its own has", function()
    local replies = run { put(1, "Depot"), put(1, "Book"), put(2, "Shelf"), put(2, "Book"),
      put(2, "Box") }
    assert.same({ 400, 200, 400 },
      { replies[2].status, replies[4].status, replies[5].status })
  end)

  it("does not run projectors of another kind", function()
    run { put(1, "Shop"), put(2, "Depot"), { wsid = 1, command = "town.Touch" },
      { wsid = 2, command = "town.Touch" }, { wsid = 3, command = "town.Touch" } }
    assert.same({ nil, 1, 1 },
      { first_of("Touches", 1), first_of("Touches", 2), first_of("Touches", 3) })
    assert.same({ 1, nil, 1 },
      { first_of("Late", 1), first_of("Late", 2), first_of("Late", 3) })
  end)

  it("does not keep for projectors of another kind that a command was refused", function()
    run { put(1, "Shop"), { wsid = 1, command = "town.Move" },
      { wsid = 2, command = "town.Move", args = { Wrong = 1 } } }
    local names = {}
    for i, event in ipairs((stator.dump(image, data, "plog"))) do
      names[i] = event.wsid .. " " .. event.qname
    end
    assert.same({ "1 sys.CUD", "2 sys.Error" }, names)
  end)

  it("refuses a projector's row in a view of another kind", function()
    local replies = run { put(1, "Depot"), { wsid = 1, command = "town.Move" } }
    refused(400, "VALIDATION", "town.CalcAnywhere: sys.View town.Wrong {Y=1, D=1}: "
      .. "town.Wrong is declared in workspace town.ShopWS: 1 is a town.DepotWS",
      replies[2])
    assert.is_nil(first_of("Wrong", 1))
  end)

  it("counts for what comes after it, so that a replay gives the same views", function()
    run { { wsid = 2, command = "town.Touch" }, put(2, "Depot"),
      { wsid = 2, command = "town.Touch" } }
    assert.equal(1, first_of("Late", 2))
    local function verify()
      local code, out, err = stator.shell(("%s verify %s --data %s"):format(stator.command,
        image, data))
      assert.equal(0, code, out .. err)
    end
    verify()
    run { { wsid = 2, command = "sys.Rebuild", args = { Projector = "town.CalcLate" } } }
    assert.equal(1, first_of("Late", 2))
    verify()
  end)

  it("does not matter in a schema with one workspace that is not abstract", function()
    image = stator.image { ["pkg/town/town.vsql"] = [[
      ABSTRACT WORKSPACE Base ( TABLE Note INHERITS sys.CDoc (); );
      WORKSPACE W ( DESCRIPTOR Only (); TABLE Box INHERITS sys.CDoc (); );]] }
    local replies = run { put(1, "Only"), put(1, "Note"), put(1, "Box") }
    for i, reply in ipairs(replies) do assert.equal(200, reply.status, i) end
  end)

  it("is kept where it does not matter yet", function()
    local one = [[ABSTRACT WORKSPACE Base ( TABLE Note INHERITS sys.CDoc (); );
      WORKSPACE W ( DESCRIPTOR Only (); TABLE Box INHERITS sys.CDoc (); );]]
    image = stator.image { ["pkg/town/town.vsql"] = one }
    run { put(1, "Only") }
    stator.write(image .. "/pkg/town/town.vsql", one
      .. "WORKSPACE V ( TABLE Bag INHERITS sys.CDoc (); );")
    local replies = run { put(1, "Bag"), put(1, "Box"), put(2, "Bag") }
    assert.same({ 400, 200, 200 },
      { replies[1].status, replies[2].status, replies[3].status })
  end)

  it("comes with the next change of a record that was there before it was a descriptor", function()
    local schema = [[
      WORKSPACE V ( TABLE Bag INHERITS sys.CDoc (); );
      WORKSPACE W ( %s ( Name varchar(20) ); );]]
    image = stator.image {
      ["pkg/town/town.vsql"] = schema:format "TABLE Only INHERITS sys.CSingleton" }
    run { put(1, "Only") }
    stator.write(image .. "/pkg/town/town.vsql", schema:format "DESCRIPTOR Only")
    local replies = run { put(1, "Bag"), { wsid = 1, command = "sys.CUD",
      cuds = { { ["sys.ID"] = 200001, Name = "b" } } }, put(1, "Bag", 2) }
    assert.same({ 200, 200, 400 },
      { replies[1].status, replies[2].status, replies[3].status })
  end)
end)

describe("WSID on a key", function()
  after_each(stator.clean)

  local image, data

  before_each(function()
    image = stator.image { ["pkg/town/town.vsql"] = SCHEMA, ["pkg/town/town.lua"] = MODULE }
    data = stator.folder()
  end)

  local function put(wsid, name)
    return { wsid = wsid, command = "sys.CUD",
      cuds = { { ["sys.ID"] = 1, ["sys.QName"] = "town." .. name } } }
  end

  local function sell(wsid, other, text)
    return { wsid = wsid, command = "town.Sell", args = { Year = 1, Other = other, Text = text } }
  end

  local function ask(wsid, other)
    return { wsid = wsid, query = "town.Ask", args = { Year = 1, Other = other } }
  end

  for _, partitions in ipairs { 1, 2 } do
    it("reads another workspace, of another kind too, with partitions: " .. partitions, function()
      -- Partitions do not wait for each other: what was written is there with the next start.
      stator.run(image, data, { put(1, "Shop"), put(2, "Shop"), sell(2), put(4, "Depot") },
        "--partitions " .. partitions)
      local replies = stator.run(image, data, { ask(1, 2), ask(1, 1), ask(1, 4) })
      assert.same({ 1, 0, 0 }, { replies[1].rows[1].N, replies[2].rows[1].N, replies[3].rows[1].N })
    end)
  end

  it("writes a view of another workspace of the same partition", function()
    local replies = stator.run(image, data, { sell(1, 3), ask(1, 3), ask(1, 1) }, "--partitions 2")
    assert.same({ 1, 0 }, { replies[2].rows[1].N, replies[3].rows[1].N })
  end)

  it("refuses to write a view of a workspace of another partition, by name", function()
    local replies = stator.run(image, data, { sell(1, 2) }, "--partitions 2")
    assert.equal("NOT_SUPPORTED", replies[1].error.code)
    assert.truthy(replies[1].error.message:find("town.CalcSales", 1, true))
    assert.truthy(replies[1].error.message:find(
      "workspace 2 is of partition 0, this run of partition 1", 1, true))
    assert.same({}, (stator.dump(image, data, "wlog --wsid 1")))
    assert.same({}, (stator.dump(image, data, "view town.Sales")))
  end)

  it("refuses to write a view of a workspace of another kind", function()
    local replies = stator.run(image, data, { put(3, "Depot"), sell(1, 3), ask(1, 3) },
      "--partitions 2")
    assert.equal("VALIDATION", replies[2].error.code)
    assert.truthy(replies[2].error.message:find(
      "town.Sales is declared in workspace town.ShopWS: 3 is a town.DepotWS", 1, true))
    assert.equal(0, replies[3].rows[1].N)
  end)

  it("refuses to write a record of another workspace", function()
    local replies = stator.run(image, data, { sell(1, 3, "Article") }, "--partitions 2")
    assert.equal("NOT_SUPPORTED", replies[1].error.code)
    assert.truthy(replies[1].error.message:find(
      "records are written in the workspace of the command, 1, not in 3", 1, true))
  end)
end)
