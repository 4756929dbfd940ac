-- sys.Record and sys.Uniq, as extensions find records by something else than their ID.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Config INHERITS sys.CSingleton ( Theme varchar );
TABLE State INHERITS sys.WSingleton ( Count int64 );
TABLE Article INHERITS sys.CDoc ( Name varchar NOT NULL, Size int32, Price int64,
  UNIQUE (Name, Size), UNIQUEFIELD Price );
TYPE Params ( How varchar, ID ref, Name varchar, Size int32, Price int64, WSID int64 );
TYPE Answer ( ID int64, Theme varchar, Active bool );
EXTENSION ENGINE LUA (
  COMMAND Change(Params) INTENTS(sys.Record(Config, State, Article));
  QUERY Ask(Params) STATE(sys.Record(Config, Article), sys.Uniq(Article)) RETURNS Answer;
);]]

local MODULE = [[
local Config, State = state.record "Config", state.record "State"
local Article, Uniq = state.record "Article", state.storage("sys.Uniq", "Article")
local keys = {
  is = function(a) return Config { IsSingleton = true, WSID = a.WSID } end,
  named = function() return Config { Singleton = "shop.Config" } end,
  wrong_name = function() return Config { Singleton = "shop.State" } end,
  both = function(a) return Config { IsSingleton = true, ID = a.ID } end,
  isnt = function() return Article { IsSingleton = true } end,
  neither = function() return Config { IsSingleton = false } end,
  id = function(a) return Config { IsSingleton = false, ID = a.ID } end,
  uniq = function(a) return Uniq { Name = a.Name, Size = a.Size, Price = a.Price } end,
}
function M.Change(a)
  local key = Config { IsSingleton = true }
  local row = state.get(key)
  if row then state.update(key, row).Theme = a.Name else state.new(key).Theme = a.Name end
end
function M.Ask(a)
  local row = state.get(keys[a.How](a))
  if not row then return end
  if a.How == "uniq" then return state.result { ID = row.ID } end
  state.result { ID = row["sys.ID"], Theme = row.Theme, Active = row["sys.IsActive"] }
end]]

local function ask(how, fields)
  local args = { How = how }
  for k, v in pairs(fields or {}) do args[k] = v end
  return { id = 1, wsid = 1, query = "shop.Ask", args = args }
end

local function cud(fields) return { id = 1, wsid = 1, command = "sys.CUD", cuds = { fields } } end
local CONFIG = cud { ["sys.ID"] = 1, ["sys.QName"] = "shop.Config", Theme = "dark" }
local function article(name, size, price)
  return cud { ["sys.ID"] = 1, ["sys.QName"] = "shop.Article", Name = name, Size = size,
    Price = price }
end

describe("sys.Record", function()
  local image

  before_each(function() image = stator.shop(SCHEMA, MODULE) end)
  after_each(stator.clean)

  it("finds a singleton by its table, in two spellings", function()
    local replies = stator.try(image, { ask "is", CONFIG, ask "is", ask "named" })
    assert.same({}, replies[1].rows)
    local row = { ID = 200001, Theme = "dark", Active = true }
    assert.same({ { row }, { row } }, { replies[3].rows, replies[4].rows })
  end)

  it("finds the singleton of another workspace", function()
    local other = ask("is", { WSID = 1 })
    other.wsid = 7
    local replies = stator.try(image, { CONFIG, other }, "--partitions 2")
    assert.equal("dark", replies[2].rows[1].Theme)
  end)

  it("lets extensions make and change a singleton by its key", function()
    local function change(name)
      return { id = 1, wsid = 1, command = "shop.Change", args = { Name = name } }
    end
    local replies = stator.try(image, { change "light", change "dark", ask "is" })
    assert.same({ 200, 200 }, { replies[1].status, replies[2].status })
    assert.same({ { ID = 200001, Theme = "dark", Active = true } }, replies[3].rows)
  end)

  it("has a singleton once, also when it is not active", function()
    local replies = stator.try(image, { CONFIG,
      cud { ["sys.ID"] = 200001, ["sys.IsActive"] = false }, CONFIG, ask "is",
      cud { ["sys.ID"] = 200001, ["sys.IsActive"] = true } })
    assert.equal("UNIQUE", replies[3].error.code)
    assert.matches("shop.Config is a singleton, and record 200001 is there",
      replies[3].error.message)
    assert.is_false(replies[4].rows[1].Active)
    assert.equal(200, replies[5].status)
  end)

  it("finds by ID with IsSingleton set to false", function()
    local replies = stator.try(image, { CONFIG, ask("id", { ID = 200001 }) })
    assert.equal("dark", replies[2].rows[1].Theme)
  end)

  for how, message in pairs {
    wrong_name = "Singleton: expected shop.Config, the table of the key, found shop.State",
    both = "the key has an ID and asks for the singleton: leave out one of them",
    isnt = "shop.Article is no singleton: it inherits neither sys.CSingleton nor sys.WSingleton",
    neither = "the key has no ID",
  } do
    it("refuses a key: " .. message, function()
      local reply = stator.try(image, { CONFIG, ask(how, { ID = 200001 }) })[2]
      assert.equal("EXTENSION_FAILED", reply.error.code)
      assert.is_truthy(reply.error.message:find(message, 1, true), reply.error.message)
    end)
  end
end)

describe("sys.Uniq", function()
  local image

  before_each(function() image = stator.shop(SCHEMA, MODULE) end)
  after_each(stator.clean)

  it("follows what records say now", function()
    local replies = stator.try(image, { article("Tea", 1, 5),
      cud { ["sys.ID"] = 200001, Name = "Rum" }, ask("uniq", { Name = "Tea", Size = 1 }),
      ask("uniq", { Name = "Rum", Size = 1 }), ask("uniq", { Price = 5 }),
      cud { ["sys.ID"] = 200001, ["sys.IsActive"] = false }, ask("uniq", { Price = 5 }) })
    assert.same({ {}, { { ID = 200001 } }, { { ID = 200001 } }, {} },
      { replies[3].rows, replies[4].rows, replies[5].rows, replies[7].rows })
  end)

  it("names the fields that a command violates", function()
    local replies = stator.try(image, { article("Tea", 1, 5), article("Tea", 1, 6),
      article("Rum", 1, 5) })
    assert.same({ "UNIQUE", "UNIQUE" }, { replies[2].error.code, replies[3].error.code })
    assert.matches("Name, Size is unique and taken by record 200001", replies[2].error.message)
    assert.matches("Price is unique and taken by record 200001", replies[3].error.message)
  end)

  it("does not hold values of which one is null", function()
    local replies = stator.try(image, { article("Tea"), article("Tea") })
    assert.same({ 200, 200 }, { replies[1].status, replies[2].status })
  end)

  it("wants exactly the fields of one unique", function()
    local reply = stator.try(image, { ask("uniq", { Name = "Tea" }) })[1]
    assert.matches("no unique of shop.Article has exactly the fields of the key",
      reply.error.message)
  end)
end)
