-- What the author of an extension has: `require "stator.state"`.

local stator = require "support.stator"

local SCHEMA = [[
TABLE Item INHERITS sys.CDoc (
  Name varchar(100) NOT NULL, Price int64, Small int8, Half int16, Whole int32, Weight float64,
  Rough float32, Open bool, Photo bytes(100), Kind qname, Other ref(Item), UNIQUEFIELD Name
);
TABLE Shop INHERITS sys.CDoc ( Name varchar );
TABLE Order INHERITS sys.ODoc (
  Number int32 NOT NULL, Text varchar,
  Lines TABLE OrderLines ( What varchar(100), Count int32 NOT NULL, Item ref(Item) )
);
TYPE Args ( N int64, S varchar, Mode varchar(20) );
TYPE Out ( N int64, S varchar(65535), Whole int32 );
VIEW Sales (
  Year int32 NOT NULL, Month int32 NOT NULL, Day int32 NOT NULL, Amount int64, Note varchar,
  PRIMARY KEY ((Year), Month, Day)
) AS RESULT OF Project;
VIEW Secret (
  Year int32 NOT NULL, Day int32 NOT NULL, Amount int64, PRIMARY KEY ((Year), Day)
) AS RESULT OF Hidden;
EXTENSION ENGINE LUA (
  COMMAND Do(Args, UNLOGGED Args)
    STATE(sys.Record(Item, Shop), sys.View(Sales), sys.Uniq(Item), sys.WLog)
    INTENTS(sys.Record(Item), sys.Result, sys.Response, sys.Logger) RETURNS Out;
  COMMAND Silent(Args);
  COMMAND Fill(Args) INTENTS(sys.Result) RETURNS Out;
  COMMAND Place(Order) STATE(sys.Record(Item)) INTENTS(sys.Record(Item), sys.Result) RETURNS Out;
  SYNC PROJECTOR Project AFTER EXECUTE ON (Fill, Place) STATE(sys.WLog)
    INTENTS(sys.View(Sales), sys.Logger);
  SYNC PROJECTOR Hidden AFTER EXECUTE ON Fill INTENTS(sys.View(Secret));
  QUERY Ask(Args) STATE(sys.Record(Item), sys.View(Sales), sys.WLog) RETURNS Out;
  QUERY Count(Args) STATE(sys.View(Sales)) RETURNS Out;
);]]

local MODULE = [[
local Sales, Secret = state.view "shop.Sales", state.view "Secret"
local Item, Shop = state.record "Item", state.record "shop.Shop"
local Uniq = state.storage("sys.Uniq", "Item")
local WLog = state.storage "sys.WLog"
local function refused(f, ...)
  local ok, message = pcall(f, ...)
  return ok and "allowed" or message
end
local function say(...)
  local t = {}
  for i = 1, select("#", ...) do t[i] = tostring((select(i, ...))) end
  state.result { S = table.concat(t, " ") }
end
_ = Sales, Secret, Item, Shop, Uniq, WLog, refused, say
function M.Do() end
function M.Silent() end
function M.Fill() end
function M.Place() end
function M.Project() end
function M.Hidden() end
function M.Ask() end
function M.Count() end
]]

local LINES = select(2, MODULE:gsub("\n", "\n")) + 2 -- before what a spec adds

local function image_of(module, more) return stator.shop(SCHEMA, MODULE .. module, more) end

local function command(name, args, wsid)
  args = args or { N = 1 }
  return { id = 1, wsid = wsid or 1, command = "shop." .. name, args = args }
end

local function query(args, wsid, name)
  return { id = 1, wsid = wsid or 1, query = "shop." .. (name or "Ask"), args = args or { N = 1 } }
end

local function run(module, requests, more, options)
  local replies, raw, err, exit = stator.try(image_of(module, more), requests, options)
  assert.equal(0, exit, err)
  assert.equal(#requests, #replies, err)
  return replies, raw, err
end

-- The S that a command says, or its error.
local function said(reply)
  if reply.status ~= 200 then return reply.error.code .. ": " .. reply.error.message end
  local result = reply.rows and reply.rows[1] or reply.result
  return result and result.S
end

local function in_command(body, args)
  local replies, raw = run("function M.Do(args, unlogged) " .. body .. "\nend",
    { command("Do", args or { N = 5, S = "five" }) })
  return said(replies[1]), raw[1], replies[1]
end

-- Sales of 2 years, 3 months, 3 days each, as a projector of Fill writes them.
local FILL = [[
function M.Project(event)
  for _, year in ipairs { 2025, 2026 } do
    for month = 1, 3 do
      for day = 1, 3 do
        state.new(Sales { Year = year, Month = month, Day = day }).Amount = month * 10 + day
      end
    end
  end
end
]]

local function in_query(body, args)
  local replies, raw = run(FILL .. "function M.Ask(args) " .. body .. "\nend",
    { command "Fill", query(args) })
  assert.equal(200, replies[1].status, raw[1])
  return said(replies[2]), raw[2], replies[2]
end

local function in_projector(body)
  local replies, raw = run("function M.Project(event) " .. body .. "\nend", { command "Fill" })
  return replies[1].status == 200 and "200" or said(replies[1]), raw[1]
end

describe("state.get", function()
  after_each(stator.clean)

  it("gives the row of a key, or nil", function()
    assert.equal("22 nil", in_query [[
      local found = state.get(Sales { Year = 2026, Month = 2, Day = 2 })
      say(found.Amount, state.get(Sales { Year = 2026, Month = 2, Day = 4 }))]])
  end)

  it("takes keys that are made from values, in the order of their fields", function()
    assert.equal("22 nil sys.View shop.Sales {Year=2026, Month=2}", in_query [[
      local found = state.get(Sales(2026, 2, 2))
      say(found.Amount, state.get(Sales(2026, 2, 4)), Sales(2026, 2))]])
    assert.equal("9", in_query [[
      local n = 0
      for _ in state.read(Sales(2026)) do n = n + 1 end
      say(n)]])
    assert.equal("nil", in_command "say(state.get(Item(200001)))")
  end)

  it("takes keys whose fields are set one by one, and changed", function()
    assert.equal("22 31", in_query [[
      local key = Sales()
      key.Year = 2026 key.Month = 2 key.Day = 2
      local a = state.get(key)
      key.Month, key.Day = 3, 1
      say(a.Amount, state.get(key).Amount)]])
  end)

  it("reads null fields as nil", function()
    assert.equal("nil", in_query
      "say(state.get(Sales { Year = 2026, Month = 2, Day = 2 }).Note)")
  end)

  it("wants the whole key", function()
    local message = in_query "say(state.get(Sales { Year = 2026, Month = 2 }))"
    assert.equal(("EXTENSION_FAILED: shop.Ask: shop/shop.lua:%d: sys.View shop.Sales "):format(
      LINES + 10) .. "{Year=2026, Month=2}: the key has no Day", message)
  end)

  it("names the field that is missing in the middle", function()
    assert.matches("Day but not Month", (in_query "state.get(Sales { Year = 2026, Day = 1 })"))
  end)

  it("finds a record by its ID, and none of another table", function()
    local replies = run([[
      function M.Do(args)
        local item = state.get(Item { ID = args.N })
        say(item and item.Name, state.get(Shop { ID = args.N }), item and item["sys.ID"])
      end]], {
      { id = 1, wsid = 1, command = "sys.CUD",
        cuds = { { ["sys.ID"] = 1, ["sys.QName"] = "shop.Item", Name = "Tea" } } },
      command("Do", { N = 200001 }), command("Do", { N = 200002 }),
    })
    assert.equal("Tea nil 200001", said(replies[2]))
    assert.equal("nil nil nil", said(replies[3]))
  end)

  it("wants the ID of a record", function()
    assert.matches("sys%.Record shop%.Item {}: the key has no ID",
      (in_command "state.get(Item {})"))
  end)
end)

describe("state.must_get and must_not_exist", function()
  after_each(stator.clean)

  it("give the row, or nothing", function()
    assert.equal("22 nil", in_query [[
      say(state.must_get(Sales { Year = 2026, Month = 2, Day = 2 }).Amount,
        (state.must_not_exist(Sales { Year = 2026, Month = 2, Day = 9 })))]])
  end)

  it("fail with what is missing", function()
    assert.equal(("NOT_EXISTS: shop.Ask: shop/shop.lua:%d: sys.View shop.Sales "):format(LINES + 10)
      .. "{Year=1, Month=2, Day=3}: not exists",
      (in_query "state.must_get(Sales { Year = 1, Month = 2, Day = 3 })"))
  end)

  it("fail with what is there", function()
    assert.equal(("EXISTS: shop.Ask: shop/shop.lua:%d: sys.View shop.Sales "):format(LINES + 10)
      .. "{Year=2026, Month=2, Day=3}: exists",
      (in_query "state.must_not_exist(Sales { Year = 2026, Month = 2, Day = 3 })"))
  end)

  it("can be caught", function()
    assert.equal("caught", in_query [[
      if not pcall(state.must_get, Sales { Year = 1, Month = 2, Day = 3 }) then say "caught" end]])
  end)

  it("leave the code to the error that is not caught", function()
    assert.matches("^EXTENSION_FAILED: .*mine", (in_query [[
      pcall(state.must_get, Sales { Year = 1, Month = 2, Day = 3 }) error "mine"]]))
  end)
end)

describe("state.get_all", function()
  after_each(stator.clean)

  it("gives the rows at the places of their keys", function()
    assert.equal("11 nil 33 11 4", in_query [[
      local function key(m, d) return Sales { Year = 2026, Month = m, Day = d } end
      local rows = state.get_all { key(1, 1), key(1, 9), key(3, 3), key(1, 1) }
      local count = 0
      for i = 1, 4 do count = i end
      say(rows[1].Amount, rows[2], rows[3].Amount, rows[4].Amount, count)]])
  end)

  it("takes keys of several storages, and none", function()
    assert.equal("11 nil 12 nil 0", in_query [[
      local rows = state.get_all { Sales { Year = 2026, Month = 1, Day = 1 }, Item { ID = 9 },
        Sales { Year = 2026, Month = 1, Day = 2 }, Item { ID = 8 } }
      say(rows[1].Amount, rows[2], rows[3].Amount, rows[4], #state.get_all {})]])
  end)

  it("takes thousands", function()
    assert.equal("9000", in_query [[
      local keys, count = {}, 0
      for i = 1, 9000 do
        keys[i] = Sales { Year = 2025 + i % 2, Month = i % 3 + 1, Day = i % 3 + 1 }
      end
      local rows = state.get_all(keys)
      for i = 1, 9000 do if rows[i].Amount == (i % 3 + 1) * 11 then count = count + 1 end end
      say(count)]])
  end)

  it("wants keys only", function()
    assert.matches("get_all: expected a key, found a number", (in_query "state.get_all { 5 }"))
    assert.matches("get_all: expected a table of keys, found a string",
      (in_query "state.get_all 'x'"))
  end)

  it("forgets the keys of a call that failed", function()
    assert.equal("11 1", in_query [[
      local key = Sales { Year = 2026, Month = 1, Day = 1 }
      pcall(state.get_all, { key, key, 5 })
      pcall(state.get_all, { key, Sales { Year = 2026 } })
      local rows = state.get_all { key }
      say(rows[1].Amount, #rows)]])
  end)
end)

describe("state.read", function()
  after_each(stator.clean)

  local function months(key, options)
    return (in_query([[
      local found = {}
      for k, v in state.read(Sales ]] .. key .. ", " .. (options or "nil") .. [[) do
        found[#found + 1] = k.Year - 2000 .. "-" .. k.Month .. "-" .. k.Day .. "=" .. v.Amount
      end
      say(table.concat(found, " "))]]))
  end

  it("gives rows of a partial key in order", function()
    assert.equal("26-1-1=11 26-1-2=12 26-1-3=13 26-2-1=21 26-2-2=22 26-2-3=23 26-3-1=31 "
      .. "26-3-2=32 26-3-3=33", months "{ Year = 2026 }")
    assert.equal("26-2-1=21 26-2-2=22 26-2-3=23", months "{ Year = 2026, Month = 2 }")
    assert.equal("26-2-3=23", months "{ Year = 2026, Month = 2, Day = 3 }")
    assert.equal("", months "{ Year = 2026, Month = 7 }")
  end)

  it("gives them in reverse", function()
    assert.equal("26-2-3=23 26-2-2=22 26-2-1=21",
      months("{ Year = 2026, Month = 2 }", "{ reverse = true }"))
  end)

  it("gives no more than the limit", function()
    assert.equal("26-2-1=21", months("{ Year = 2026, Month = 2 }", "{ limit = 1 }"))
    assert.equal("26-2-3=23 26-2-2=22",
      months("{ Year = 2026, Month = 2 }", "{ limit = 2, reverse = true }"))
    assert.equal("26-2-1=21 26-2-2=22 26-2-3=23",
      months("{ Year = 2026, Month = 2 }", "{ limit = 99 }"))
    assert.equal("", months("{ Year = 2026, Month = 2 }", "{ limit = 0 }"))
  end)

  it("refuses a hole in the key", function()
    assert.matches("Day but not Month", (in_query "state.read(Sales { Year = 2026, Day = 1 })"))
  end)

  it("takes an empty key for all rows", function()
    assert.equal("read", (in_query "for _ in state.read(Sales {}) do end say 'read'"))
  end)

  it("can be left by break, and read again", function()
    assert.equal("11 11 12", in_query [[
      local t = {}
      for _, v in state.read(Sales { Year = 2026 }) do t[#t + 1] = v.Amount break end
      for _, v in state.read(Sales { Year = 2026 }) do
        t[#t + 1] = v.Amount
        if #t == 3 then break end
      end
      say(table.concat(t, " "))]])
  end)

  it("reads the same rows at the same time", function()
    assert.equal("81", in_query [[
      local count = 0
      for a in state.read(Sales { Year = 2026 }) do
        for b in state.read(Sales { Year = 2025 }, { reverse = true }) do
          if a.Year == 2026 and b.Year == 2025 then count = count + 1 end
        end
      end
      say(count)]])
  end)

  it("keeps its rows good until the run ends", function()
    assert.equal("198", in_query [[
      local rows, sum = {}, 0
      for _, v in state.read(Sales { Year = 2026 }) do rows[#rows + 1] = v end
      for i = 1, 100 do state.get(Sales { Year = 2025, Month = i, Day = 1 }) end
      for _, row in ipairs(rows) do sum = sum + row.Amount end
      say(sum)]])
  end)

  it("is not disturbed by changes of its key", function()
    assert.equal("3", in_query [[
      local key, count = Sales { Year = 2026, Month = 2 }, 0
      for _ in state.read(key) do
        key.Year, key.Month = 1, 1
        state.get(Sales { Year = 5, Month = 5, Day = 5 })
        count = count + 1
      end
      say(count)]])
  end)

  it("goes on being at its end", function()
    assert.equal("nil nil nil", in_query [[
      local next_row = state.read(Sales { Year = 1 })
      say(next_row(), next_row(), next_row())]])
  end)

  it("names options that it does not have", function()
    assert.matches("read: no option Limit; there are reverse and limit",
      (in_query "state.read(Sales { Year = 2026 }, { Limit = 1 })"))
    assert.matches("read: limit is a whole number",
      (in_query "state.read(Sales { Year = 2026 }, { limit = -1 })"))
  end)

  it("is not for commands", function()
    assert.equal(("NOT_DECLARED: shop.Do: shop/shop.lua:%d: sys.View shop.Sales {Year=2026}: "
      .. "READ is not for commands"):format(LINES + 1),
      (in_command "state.read(Sales { Year = 2026 })"))
  end)

  it("is not for records", function()
    assert.matches("NOT_SUPPORTED: .*sys%.Record shop%.Item.*the storage has no READ",
      (in_query "state.read(Item { ID = 1 })"))
  end)
end)

describe("intents", function()
  after_each(stator.clean)

  it("are made with fields, set one by one, read back and found again", function()
    local _, _, reply = in_command [[
      local item = state.new(Item {}, { Name = "a", Price = 5 })
      item.Price = item.Price + 1
      item.Open = true
      say(item.Name, item.Price, item.Open, item.Weight, item["sys.ID"])]]
    assert.equal("a 6 true nil 1", reply.result.S)
    assert.same({ ["1"] = 200001 }, reply.new_ids)
  end)

  it("are found by their key", function()
    assert.equal("200", in_projector [[
      local key = Sales { Year = 1, Month = 1, Day = 1 }
      assert(state.find_intent(key) == nil)
      local first = state.new(key, { Amount = 5 })
      assert(state.find_intent(key) == first)
      assert(state.find_intent(Sales { Year = 1, Month = 1, Day = 1 }).Amount == 5)
      assert(state.find_intent(Sales { Year = 1, Month = 1, Day = 2 }) == nil)
      local again = state.new(key, { Amount = 6 })
      assert(state.find_intent(key) == again)]])
  end)

  it("are never seen by reads", function()
    assert.equal("200", in_projector [[
      local key = Sales { Year = 1, Month = 1, Day = 1 }
      state.new(key, { Amount = 5 })
      assert(state.get(key) == nil)
      assert(state.get_all { key } [1] == nil)
      state.must_not_exist(key)]])
  end)

  it("of the same key count as the last one", function()
    local replies = run([[
      function M.Project(event)
        local key = Sales { Year = 1, Month = 1, Day = 1 }
        state.new(key, { Amount = 5, Note = "first" })
        state.new(key, { Amount = 6 })
      end
      function M.Ask()
        local row = state.get(Sales { Year = 1, Month = 1, Day = 1 })
        say(row.Amount, row.Note)
      end]], { command "Fill", query() })
    assert.equal("6 nil", said(replies[2]))
  end)

  it("that update keep the fields that are not named, and null none", function()
    local replies = run([[
      function M.Project(event)
        local key = Sales { Year = 1, Month = 1, Day = 1 }
        local seen = state.get(key)
        if seen then
          local intent = state.update(key, seen, { Note = "second" })
          assert(intent.Amount == 5 and intent.Note == "second")
        else
          state.new(key, { Amount = 5, Note = "first" })
        end
      end
      function M.Ask()
        local row = state.get(Sales { Year = 1, Month = 1, Day = 1 })
        say(row.Amount, row.Note)
      end]], { command "Fill", command "Fill", query() })
    assert.equal("5 second", said(replies[3]))
  end)

  it("update records, that were read", function()
    local replies, raw = run([[
      function M.Do(args)
        local key = Item { ID = 200001 }
        local item = state.get(key)
        if args.Mode == "see" then return say(item.Name, item.Price) end
        if not item then state.new(Item {}, { Name = "Tea", Price = 1 }) return end
        state.update(key, item, { Price = item.Price + 1 })
      end]], { command "Do", command "Do", command "Do", command("Do", { Mode = "see" }) })
    assert.equal("Tea 3", said(replies[4]), raw[3])
  end)

  it("update only rows of their table", function()
    assert.matches("update: the row is not of shop%.Item", (in_command
      "state.update(Item { ID = 5 }, args, { Name = 'x' })"))
    assert.matches("update: expected the row that was read, found a nil", (in_command
      "state.update(Item { ID = 5 }, nil, { Name = 'x' })"))
  end)

  it("update the row of their key and no other", function()
    local replies, raw = run([[
      function M.Do(args)
        if args.Mode == "make" then
          state.new(Item {}, { Name = "a", Price = 1 })
          state.new(Item {}, { Name = "b", Price = 2 })
        else
          local a, b = Item { ID = 200001 }, Item { ID = 200002 }
          state.update(a, state.get(b), { Price = 7 })
          say(state.get(a).Price)
        end
      end]], { command("Do", { Mode = "make" }), command "Do" })
    assert.equal(500, replies[2].status, raw[2])
  end)

  it("say which field is missing", function()
    assert.matches("EXTENSION_FAILED: shop%.Do: shop/shop%.lua:%d+: sys%.Record shop%." ..
      "Item {}: Name: missing",
      (in_command "state.new(Item {}, { Price = 5 })"))
  end)

  it("of views want the whole key", function()
    assert.matches("sys%.View.*the key has no Day", (in_projector
      "state.new(Sales { Year = 1, Month = 1 }, { Amount = 5 })"))
  end)

  it("give raw IDs that refs may hold", function()
    local replies, raw = run([[
      function M.Do(args)
        if args.Mode == "see" then
          local child = state.get(Item { ID = 200002 })
          return say(child.Name, child.Other)
        end
        local parent = state.new(Item {}, { Name = "parent" })
        state.new(Item {}, { Name = "child", Other = parent["sys.ID"] })
      end]], { command "Do", command("Do", { Mode = "see" }) })
    assert.equal("child 200001", said(replies[2]), raw[1])
  end)

  it("keep their fields at every value that fits, of every kind", function()
    local replies, raw = run([[
      function M.Do(args)
        if args.Mode == "see" then
          local i = state.get(Item { ID = 200001 })
          return say(i.Small, i.Half, i.Whole, i.Price, i.Weight, i.Rough, i.Open, #i.Photo,
            i.Photo == "\0\1\255", i.Kind, i["sys.QName"])
        end
        state.new(Item {}, { Name = "\226\130\172", Small = -128, Half = 32767,
          Whole = -2147483648, Price = -9223372036854775807LL - 1, Weight = 1e308, Rough = 0.5,
          Open = false, Photo = "\0\1\255", Kind = "shop.Item" })
      end]], { command "Do", command("Do", { Mode = "see" }) })
    assert.equal("-128 32767 -2147483648 -9223372036854775808LL 1e+308 0.5 false 3 true shop.Item "
      .. "shop.Item", said(replies[2]), raw[1])
  end)

  it("take nil for a field as null", function()
    assert.equal("nil", in_command [[
      local item = state.new(Item {}, { Name = "a", Price = 5 })
      item.Price = nil
      say(item.Price)]])
  end)

  it("are applied together or not at all", function()
    local data = stator.folder()
    local image = image_of [[
      function M.Do()
        state.new(Item {}, { Name = "same" })
        state.new(Item {}, { Name = "same" })
      end
      function M.Project() state.new(Sales { Year = 1, Month = 1, Day = 1 }) error "no" end]]
    local replies = stator.run(image, data, { command "Do", command "Fill" })
    assert.equal("UNIQUE", replies[1].error.code)
    assert.equal("EXTENSION_FAILED", replies[2].error.code)
    assert.same({}, (stator.dump(image, data, "record shop.Item")))
    assert.same({}, (stator.dump(image, data, "view shop.Sales")))
    assert.same({}, (stator.dump(image, data, "wlog --wsid 1")))
  end)
end)

describe("what was declared", function()
  after_each(stator.clean)

  local function refuses(name, code, body, what)
    local kind = name == "Ask" and query() or command(name == "Project" and "Fill" or name)
    local replies = run(("function M.%s(args) %s\nend"):format(name, body), { kind })
    assert.equal(("%s: shop.%s: shop/shop.lua:%d: %s"):format(code, name, LINES + 1, what),
      said(replies[1]))
  end

  it("is needed to read, for every kind of extension", function()
    refuses("Do", "NOT_DECLARED", "state.get(Secret { Year = 1, Day = 1 })",
      "sys.View shop.Secret {Year=1, Day=1}: GET is not declared: add sys.View(shop.Secret) to "
      .. "STATE of shop.Do")
    refuses("Ask", "NOT_DECLARED", "state.get(Secret { Year = 1, Day = 1 })",
      "sys.View shop.Secret {Year=1, Day=1}: GET is not declared: add sys.View(shop.Secret) to "
      .. "STATE of shop.Ask")
    refuses("Project", "NOT_DECLARED", "state.get(Secret { Year = 1, Day = 1 })",
      "sys.View shop.Secret {Year=1, Day=1}: GET is not declared: add sys.View(shop.Secret) to "
      .. "STATE of shop.Project")
    refuses("Silent", "NOT_DECLARED", "state.get(Item { ID = 5 })",
      "sys.Record shop.Item {ID=5}: GET is not declared: add sys.Record(shop.Item) to "
      .. "STATE of shop.Silent")
    refuses("Ask", "NOT_DECLARED", "state.read(Secret { Year = 1 })",
      "sys.View shop.Secret {Year=1}: READ is not declared: add sys.View(shop.Secret) to "
      .. "STATE of shop.Ask")
  end)

  it("is needed to write", function()
    refuses("Do", "NOT_DECLARED", "state.new(Shop {}, { Name = 'x' })",
      "sys.Record shop.Shop {}: INSERT is not declared: add sys.Record(shop.Shop) to INTENTS "
      .. "of shop.Do")
    refuses("Silent", "NOT_DECLARED", "state.result { N = 1 }",
      "sys.Result {}: INSERT is not declared: add sys.Result to INTENTS of shop.Silent")
    refuses("Silent", "NOT_DECLARED", "state.log('info', 'x')",
      "sys.Logger {LogLevel=3}: INSERT is not declared: add sys.Logger to INTENTS of shop.Silent")
    refuses("Project", "NOT_DECLARED", "state.new(Secret { Year = 1, Day = 1 })",
      "sys.View shop.Secret {Year=1, Day=1}: INSERT is not declared: add sys.View(shop.Secret) "
      .. "to INTENTS of shop.Project")
  end)

  it("does not open what is not for the kind of extension", function()
    refuses("Do", "NOT_DECLARED", "state.new(Sales { Year = 1, Month = 1, Day = 1 })",
      "sys.View shop.Sales {Year=1, Month=1, Day=1}: INSERT is not for commands")
    refuses("Ask", "NOT_DECLARED", "state.new(Sales { Year = 1, Month = 1, Day = 1 })",
      "sys.View shop.Sales {Year=1, Month=1, Day=1}: INSERT is not for queries")
    refuses("Ask", "NOT_DECLARED", "state.new(Item {}, { Name = 'x' })",
      "sys.Record shop.Item {}: INSERT is not for queries")
    refuses("Project", "NOT_DECLARED", "state.new(Item {}, { Name = 'x' })",
      "sys.Record shop.Item {}: INSERT is not for projectors")
    refuses("Project", "NOT_DECLARED", "state.result { N = 1 }",
      "sys.Result {}: INSERT is not for projectors")
    refuses("Do", "NOT_DECLARED", "state.get(state.storage 'sys.Event' {})",
      "sys.Event {}: GET is not for commands")
  end)

  it("does not open operations that the storage lacks", function()
    refuses("Do", "NOT_SUPPORTED", "state.get(state.storage 'sys.Result' {})",
      "sys.Result {}: the storage has no GET")
    refuses("Do", "NOT_SUPPORTED", "state.new(WLog {})",
      "sys.WLog {}: the storage has no INSERT")
  end)

  it("lets what is in INTENTS be read too, but not by READ", function()
    assert.equal("200", in_projector "state.get(Sales { Year = 1, Month = 1, Day = 1 })")
    assert.matches("READ is not declared", (in_projector "state.read(Sales { Year = 1 })"))
  end)

  it("is not needed for contexts, nor for the reply and the log of a query", function()
    local _, _, reply = in_query [[
      state.get(state.storage "sys.QueryContext" {})
      state.log("info", "from a query")
      state.result { N = 1 }]]
    assert.equal(1, reply.rows[1].N)
  end)

  it("is checked for rows that are got together", function()
    assert.matches("NOT_DECLARED: shop%.Do: .*GETBATCH", (in_command
      "state.get_all { Item { ID = 5 }, Secret { Year = 1, Day = 1 } }"))
  end)

  it("stays refused when the error is caught", function()
    assert.equal("nothing", in_command [[
      pcall(state.get, Secret { Year = 1, Day = 1 })
      pcall(state.new, Shop {}, { Name = "x" })
      say "nothing"]])
  end)

  it("must be handles that there are", function()
    for code, message in pairs {
      ['state.view "Sale"'] = "no view is called shop%.Sale; did you mean shop%.Sales%?",
      ['state.record "Itme"'] = "no table is called shop%.Itme; did you mean shop%.Item%?",
      ['state.record "Sales"'] = "no table is called shop%.Sales",
      ['state.storage "sys.Recrd"'] = "no storage is called sys%.Recrd; did you mean sys%.Record",
      ['state.storage "sys.View"'] = "storage sys%.View needs an entity",
      ['state.storage("sys.WLog", "x")'] = "storage sys%.WLog has no entities; leave out shop%.x",
      ["state.view(5)"] = "state%.view: expected a name, found a number",
    } do
      local _, _, err, exit = stator.try(image_of("local _ = " .. code), { command "Do" })
      assert.equal(1, exit, code)
      assert.matches(("shop%%.lua:%d:1: "):format(LINES + 1) .. message, err)
    end
  end)
end)

describe("wrong fields and values", function()
  after_each(stator.clean)

  local function says(body, what)
    assert.equal(("EXTENSION_FAILED: shop.Do: shop/shop.lua:%d: %s"):format(LINES + 1, what),
      (in_command(body)))
  end

  it("of the argument are named, with a guess", function()
    says("say(args.Mod)", "shop.Args has no field Mod; did you mean Mode?")
    says("say(args.Quantity)", "shop.Args has no field Quantity")
  end)

  it("of keys are named, with a guess", function()
    says("say(Sales { Yaer = 1 })", "shop.Sales has no field Yaer; did you mean Year?")
    says("local k = Sales {} k.Moth = 1", "shop.Sales has no field Moth; did you mean Month?")
    says("local k = Sales {} say(k.year)", "shop.Sales has no field year; did you mean Year?")
    says("local k = Sales {} k.Amount = 1", "shop.Sales has no field Amount")
  end)

  it("of intents are named, with a guess", function()
    says("state.new(Item {}, { Nmae = 'x' })", "shop.Item has no field Nmae; did you mean Name?")
    says("local i = state.new(Item {}, { Name = 'x' }) i.Prize = 5",
      "shop.Item has no field Prize; did you mean Price?")
    says("local i = state.new(Item {}, { Name = 'x' }) say(i.Prize)",
      "shop.Item has no field Prize; did you mean Price?")
    says("state.result { M = 5 }", "shop.Out has no field M")
  end)

  it("of updates are named too", function()
    local replies = run([[
      function M.Do(args)
        local key = Item { ID = 200001 }
        local item = state.get(key)
        if not item then return state.new(Item {}, { Name = "a" }) end
        local i = state.update(key, item)
        say(refused(function() return i.Prize end), "|", refused(function() i.Prize = 1 end), "|",
          refused(state.update, key, item, { Prize = 1 }))
      end]], { command "Do", command "Do" })
    local text = said(replies[2])
    assert.equal(3, select(2, text:gsub("has no field Prize; did you mean Price%?", "")), text)
  end)

  it("are told with what was expected and found", function()
    says("Sales { Year = 'x' }", 'shop.Sales.Year: expected int32, found "x"')
    says("Sales { Year = 1.5 }", "shop.Sales.Year: expected int32, found 1.5")
    says("Sales { Year = 2147483648 }", "shop.Sales.Year: expected int32, found 2147483648")
    says("Sales { Year = 2147483648LL }", "shop.Sales.Year: expected int32, found 2147483648")
    says("Sales { Year = true }", "shop.Sales.Year: expected int32, found true")
    says("Sales { Year = {} }", "shop.Sales.Year: expected int32, found a table")
    says("Sales { Year = args }", "shop.Sales.Year: expected int32, found a table")
    says("Sales { Year = say }", "shop.Sales.Year: expected int32, found a function")
    says("Item { ID = 0 }", "sys.Record.ID: expected a record ID, found 0")
    says("state.new(Item {}, { Name = 5 })", "shop.Item.Name: expected string, found 5")
    says("state.new(Item {}, { Small = 128 })", "shop.Item.Small: expected int8, found 128")
    says("state.new(Item {}, { Half = -32769 })", "shop.Item.Half: expected int16, found -32769")
    says("state.new(Item {}, { Open = 1 })", "shop.Item.Open: expected bool, found 1")
    says("state.new(Item {}, { Weight = 0 / 0 })", "shop.Item.Weight: expected float64, found nan")
    says("state.new(Item {}, { Rough = 1e39 })", "shop.Item.Rough: expected float32, found 1e+39")
    says("state.new(Item {}, { Photo = false })", "shop.Item.Photo: expected bytes, found false")
    says("state.new(Item {}, { Kind = 5 })", "shop.Item.Kind: expected qname, found 5")
    says("state.new(Item {}, { Name = ('x'):rep(41) .. 'y', Price = ('z'):rep(50) })",
      'shop.Item.Price: expected int64, found "' .. ("z"):rep(40) .. '..."')
  end)

  it("are cut between characters when they are shown", function()
    says("Sales { Year = ('\226\130\172'):rep(30) }",
      'shop.Sales.Year: expected int32, found "' .. ("\226\130\172"):rep(13) .. '..."')
  end)

  it("are found in text at the end of the run, with their field", function()
    assert.matches("Name: expected at most 100 bytes, found 101",
      (in_command "state.new(Item {}, { Name = ('x'):rep(101) })"))
    assert.matches("Name: expected string, found text that is not UTF%-8",
      (in_command "state.new(Item {}, { Name = '\\255' })"))
    assert.matches("Kind: expected qname",
      (in_command "state.new(Item {}, { Name = 'x', Kind = 'no name' })"))
  end)

  it("are told with the line of a module of the package, where that is", function()
    local image = image_of([[
      function M.Do(args) require("helper")(args) end]], { ["pkg/shop/helper.lua"] =
      "return function(args)\n\n  return args.Missing\nend" })
    local reply = stator.try(image, { command "Do" })[1]
    assert.matches("^shop%.Do: shop/helper%.lua:3: shop%.Args has no field Missing",
      reply.error.message)
  end)

  it("cannot be written where rows were read", function()
    says("args.N = 1",
      "shop.Args.N: a row that was read cannot be changed; use state.update")
  end)

  it("are told of keys that are made from values, with the field's name", function()
    says("Sales(2026, 'x')", 'shop.Sales.Month: expected int32, found "x"')
    says("Sales(2026, 1, 1, 1)",
      "a key of shop.Sales is made from up to 3 values, or from fields by name")
    says("Sales({ Year = 2026 }, 1)",
      "a key of shop.Sales is made from up to 3 values, or from fields by name")
    says("Item(0)", "sys.Record.ID: expected a record ID, found 0")
  end)

  it("of handles are answered with what handles are for", function()
    assert.matches("sys%.View shop%.Sales is a handle", (in_command "say(Sales.Year)"))
    assert.matches("sys%.View shop%.Sales is a handle", (in_command "Sales.Year = 1"))
    says("Sales(args)", "a key is made from values or a table, not from a row, key or handle")
    says("state.gett(5)", "stator.state has no gett")
    says("state.get(Sales)", "get: expected a key, found a table")
    says("state.get(nil)", "get: expected a key, found a nil")
    says("state.new(Item {}, 5)", "expected a table of fields, found a number")
  end)
end)

describe("what an extension is called with", function()
  after_each(stator.clean)

  it("is the argument, and the unlogged one", function()
    local replies = run("function M.Do(a, u) say(a.N, a.S, u and u.S) end", {
      { id = 1, wsid = 1, command = "shop.Do", args = { N = 5, S = "five" },
        unlogged = { S = "secret" } },
      { id = 2, wsid = 1, command = "shop.Do", args = { N = 6 } },
    })
    assert.equal("5 five secret", said(replies[1]))
    assert.equal("6 nil nil", said(replies[2]))
  end)

  it("keeps integers of 64 bits", function()
    local _, raw = run("function M.Do(a) state.result { N = a.N, S = type(a.N) } end", {
      '{"id":1,"wsid":1,"command":"shop.Do","args":{"N":9223372036854775807}}',
      '{"id":2,"wsid":1,"command":"shop.Do","args":{"N":-9223372036854775808}}',
      '{"id":3,"wsid":1,"command":"shop.Do","args":{"N":9007199254740992}}',
      '{"id":4,"wsid":1,"command":"shop.Do","args":{"N":9007199254740993}}',
    })
    assert.matches('"N":9223372036854775807,"S":"cdata"', raw[1])
    assert.matches('"N":%-9223372036854775808,"S":"cdata"', raw[2])
    assert.matches('"N":9007199254740992,"S":"cdata"', raw[3])
    assert.matches('"N":9007199254740993,"S":"cdata"', raw[4])
  end)

  local ORDER = { Number = 7, Lines = { { What = "a", Count = 1 }, { What = "b", Count = 2 } } }

  it("has nested rows with len, numbers and each", function()
    local replies = run([[
      function M.Place(order)
        local lines, all = order.Lines, {}
        for i, line in lines:each() do all[i] = i .. line.What .. line.Count end
        say(lines:len(), lines[1].What, lines[2].Count, lines[3], lines[-1], lines[1.5],
          table.concat(all))
      end]], { command("Place", ORDER) })
    assert.equal("2 a 2 nil nil nil 1a12b2", said(replies[1]))
  end)

  it("has no nested rows where there are none", function()
    local replies = run([[
      function M.Place(order)
        local count = 0
        for _ in order.Lines:each() do count = count + 1 end
        say(order.Lines:len(), order.Lines[1], count)
      end]], { command("Place", { Number = 1 }), command("Place", { Number = 1, Lines = {} }) })
    assert.equal("0 nil 0", said(replies[1]))
    assert.equal("0 nil 0", said(replies[2]))
  end)

  it("has nested rows whose loops nest, and that cannot be changed", function()
    local replies = run([[
      function M.Place(order)
        local sum = 0
        for _, a in order.Lines:each() do
          for _, b in order.Lines:each() do sum = sum + a.Count * b.Count end
        end
        say(sum, refused(function() order.Lines[1] = 5 end) ~= "allowed",
          refused(function() order.Lines[1].Count = 5 end) ~= "allowed",
          refused(function() return order.Lines.size end))
      end]], { command("Place", ORDER) })
    assert.matches("^9 true true .*nested rows have len, each and numbers; not size",
      said(replies[1]))
  end)

  it("has the IDs that were given to it and its nested rows", function()
    local replies = run([[
      function M.Place(order)
        say(order["sys.ID"], order.Lines[1]["sys.ID"], order.Lines[2]["sys.ID"])
      end]], { command("Place", ORDER) })
    assert.equal("200001 200002 200003", said(replies[1]))
    assert.same({ ["1"] = 200001, ["2"] = 200002, ["3"] = 200003 }, replies[1].new_ids)
  end)

  it("shows itself as text", function()
    assert.equal('shop.Args {N=5, S="five"}', in_command "say(tostring(args))")
    assert.equal("sys.View shop.Sales", in_command "say(tostring(Sales))")
    assert.equal("sys.View shop.Sales {Year=1, Month=2}",
      in_command "say(tostring(Sales { Year = 1, Month = 2 }))")
  end)
end)

describe("the reply", function()
  after_each(stator.clean)

  it("has the last result of a command, and all of a query", function()
    local _, _, reply = in_command "state.result { N = 1 } state.result { N = 2, S = 'x' }"
    assert.same({ N = 2, S = "x" }, reply.result)
    local _, _, rows = in_query "for i = 1, 3 do state.result { N = i } end"
    assert.same({ { N = 1 }, { N = 2 }, { N = 3 } }, rows.rows)
  end)

  it("has results whose fields are set later", function()
    local _, _, reply = in_command "local r = state.result { N = 1 } r.S = 'later' r.N = r.N + 1"
    assert.same({ N = 2, S = "later" }, reply.result)
  end)

  it("has the status and message of the extension, and nothing is applied", function()
    local data = stator.folder()
    local image = image_of [[function M.Do(args)
      state.new(Item {}, { Name = "x" })
      state.response(args.N, "too " .. args.N)
    end]]
    local replies = stator.run(image, data,
      { command("Do", { N = 418 }), command("Do", { N = 200 }) })
    assert.same({ id = 1, status = 418, error = { code = "RESPONSE", message = "too 418" } },
      replies[1])
    assert.equal(200, replies[2].status)
    assert.equal(1, replies[2].offset)
    assert.equal(1, #stator.dump(image, data, "record shop.Item"))
  end)

  it("has the status of a query too", function()
    local _, _, reply = in_query "state.result { N = 1 } state.response(404, 'none such')"
    assert.equal(404, reply.status)
    assert.same({ code = "RESPONSE", message = "none such" }, reply.error)
  end)

  it("wants a status that HTTP has", function()
    assert.matches("StatusCode: expected 100 to 599, found 700",
      (in_command "state.response(700, 'x')"))
    assert.matches("StatusCode: expected int32, found \"x\"", (in_command "state.response('x')"))
  end)
end)

describe("the log", function()
  after_each(stator.clean)

  it("has lines with level and extension", function()
    local _, _, err = run([[function M.Do()
      state.log("error", "e") state.log("warning", "w") state.log(3, "i") state.log("none", "n")
      state.log("info", 5)
    end]], { command "Do" })
    assert.matches("error shop%.Do: e\n", err)
    assert.matches("warning shop%.Do: w\n", err)
    assert.matches("info shop%.Do: i\n", err)
    assert.matches("info shop%.Do: 5\n", err)
    assert.not_matches("shop%.Do: n\n", err)
  end)

  it("has the lines of runs that fail", function()
    local _, _, err = run([[function M.Do() state.log("info", "before") error "x" end
      function M.Ask() state.log("info", "asked") error "x" end]], { command "Do", query() })
    assert.matches("shop%.Do: before\n", err)
    assert.matches("shop%.Ask: asked\n", err)
  end)

  it("names levels that it does not have", function()
    assert.matches("log: no level loud; there are error, warning, info, verbose and trace",
      (in_command "state.log('loud', 'x')"))
    assert.matches("LogLevel: expected 0 to 5, found 9", (in_command "state.log(9, 'x')"))
  end)
end)

describe("limits of a run", function()
  after_each(stator.clean)

  local function limited(limits, module, requests)
    return run(FILL .. module, requests, { ["descriptor.json"] =
      '{ "engines": { "query": 1 }, "limits": { ' .. limits .. ', "breaches": 1000000 } }' })
  end

  it("are intents", function()
    local replies = limited('"intents": 10', [[function M.Do(args)
      for i = 1, args.N do state.new(Item {}, { Name = "n" .. i .. args.S }) end
    end]], { command("Do", { N = 10, S = "a" }), command("Do", { N = 11, S = "b" }),
      command("Do", { N = 10, S = "c" }) })
    assert.equal(200, replies[1].status)
    assert.equal("INTENTS_LIMIT", replies[2].error.code)
    assert.equal(("shop.Do: shop/shop.lua:%d: limit of 10 intents exceeded"):format(LINES + 11),
      replies[2].error.message)
    assert.equal(200, replies[3].status)
  end)

  it("are rows read, one by one", function()
    local replies = limited('"rowsRead": 20', [[function M.Ask(args)
      for i = 1, args.N do state.get(Sales { Year = 2026, Month = 1, Day = i }) end
      say "done"
    end]], { command "Fill", query { N = 20 }, query { N = 21 }, query { N = 20 } })
    assert.equal("done", said(replies[2]))
    assert.equal(("ROWS_LIMIT: shop.Ask: shop/shop.lua:%d: limit of 20 rows read exceeded")
      :format(LINES + 11), said(replies[3]))
    assert.equal("done", said(replies[4]))
  end)

  it("are rows read by iterators and together", function()
    local module = [[function M.Ask(args)
      local key = Sales { Year = 2026, Month = 1, Day = 1 }
      if args.Mode == "all" then state.get_all { key, key, key, key, key, key } end
      if args.Mode == "read" then for _ in state.read(Sales { Year = 2026 }) do end end
      if args.Mode == "few" then
        local n = 0
        for _ in state.read(Sales { Year = 2026 }) do n = n + 1 if n == 5 then break end end
      end
      if args.Mode == "limit" then
        for _ in state.read(Sales { Year = 2026 }, { limit = 4 }) do end
      end
      say "done"
    end]]
    local replies = limited('"rowsRead": 5', module, { command "Fill", query { Mode = "all" },
      query { Mode = "read" }, query { Mode = "few" }, query { Mode = "limit" } })
    assert.equal("ROWS_LIMIT", replies[2].error.code)
    assert.equal("ROWS_LIMIT", replies[3].error.code)
    assert.equal("done", said(replies[4]))
    assert.equal("done", said(replies[5]))
  end)

  it("do not count the end of the rows as one", function()
    local replies = limited('"rowsRead": 9', [[function M.Ask()
      local n = 0
      for _ in state.read(Sales { Year = 2026 }) do n = n + 1 end
      say(n)
    end]], { command "Fill", query() })
    assert.equal("9", said(replies[2]))
  end)

  it("are bytes returned", function()
    local replies = limited('"bytesReturned": 10000', [[function M.Ask(args)
      for i = 1, args.N do state.result { S = ("x"):rep(1000) } end
    end]], { query { N = 5 }, query { N = 11 }, query { N = 5 } })
    assert.equal(5, #replies[1].rows)
    assert.equal("BYTES_LIMIT", replies[2].error.code)
    assert.matches("shop%.Ask: .*limit of 10000 bytes returned exceeded", replies[2].error.message)
    assert.equal(5, #replies[3].rows)
  end)

  it("count for each run alone", function()
    local requests = { command "Fill" }
    for i = 2, 20 do requests[i] = query { N = 5 } end
    local replies = limited('"rowsRead": 5, "intents": 2', [[
      function M.Project() end
      function M.Ask(args)
        for i = 1, args.N do state.get(Sales { Year = 2026, Month = 1, Day = i }) end
        say "done"
      end]], requests)
    for i = 2, 20 do assert.equal("done", said(replies[i])) end
  end)

  it("fail the run whatever it catches, and name the line", function()
    local replies = limited('"intents": 2, "rowsRead": 2', [[function M.Do(args)
      for i = 1, 9 do
        if args.N == 1 then pcall(state.new, Item {}, { Name = "n" .. i }) end
        if args.N == 2 then pcall(state.get, Item { ID = i }) end
      end
    end]], { command("Do", { N = 1 }), command("Do", { N = 2 }), command("Do", { N = 3 }) })
    assert.equal("INTENTS_LIMIT", replies[1].error.code)
    assert.equal("ROWS_LIMIT", replies[2].error.code)
    assert.matches("shop/shop%.lua:%d+: limit of 2 intents", replies[1].error.message)
    assert.equal(200, replies[3].status)
  end)

  it("can be given for one package", function()
    local replies = run("function M.Do(args) for i = 1, 9 do state.new(Item {}, "
      .. "{ Name = 'n' .. i }) end end", { command "Do" }, { ["descriptor.json"] =
      '{ "packages": { "shop": { "limits": { "intents": 3 } } } }' })
    assert.equal("INTENTS_LIMIT", replies[1].error and replies[1].error.code)
  end)
end)

describe("sys.WLog", function()
  after_each(stator.clean)

  it("gives the events of the workspace", function()
    local replies = run([[
      function M.Ask()
        local e = state.get(WLog { Offset = 2 })
        say(e.Offset, e.Workspace, e.QName, e.ArgumentObject.N, e.RegisteredAt > 1e12,
          e.CUDs:len(), state.get(WLog { Offset = 4 }), state.get(WLog { Offset = 0 }))
      end]], { command("Fill", { N = 7 }), command("Fill", { N = 8 }), command("Fill", { N = 9 }),
      query() })
    assert.equal("2 1 shop.Fill 8 true 0 nil nil", said(replies[4]))
  end)

  it("is read from an offset, by a count, in both directions", function()
    local module = [[
      function M.Ask()
        local function list(key, options)
          local t = {}
          for k, e in state.read(WLog(key), options) do
            assert(k.Offset == e.Offset)
            t[#t + 1] = e.Offset
          end
          return table.concat(t, ",") .. ";"
        end
        say(list {}, list { Offset = 3 }, list { Offset = 2, Count = 2 }, list { Count = 0 },
          list({}, { reverse = true }), list({ Offset = 2, Count = 2 }, { reverse = true }),
          list({}, { limit = 2 }), list { Offset = 9 }, list { Offset = -5, Count = 1 },
          list({ Offset = 9 }, { reverse = true }), list { Count = -1 })
      end]]
    local requests = {}
    for i = 1, 5 do requests[i] = command "Fill" end
    requests[6] = query()
    local replies = run(module, requests)
    assert.equal("1,2,3,4,5; 3,4,5; 2,3; ; 5,4,3,2,1; 3,2; 1,2; ; 1; ; ;", said(replies[6]))
  end)

  it("stands the ends of its numbers", function()
    local replies = run([[
      function M.Ask()
        local ends = { -9223372036854775807LL - 1, 9223372036854775807LL, 0, -1, 1 }
        local count = 0
        for _, offset in ipairs(ends) do
          state.get(WLog { Offset = offset })
          for _, rows in ipairs(ends) do
            for _, reverse in ipairs { true, false } do
              for _ in state.read(WLog { Offset = offset, Count = rows }, { reverse = reverse }) do
                count = count + 1
              end
            end
          end
        end
        say(count > 0)
      end]], { command "Fill", query() })
    assert.equal("true", said(replies[2]))
  end)

  it("has the records of an event", function()
    local replies = run([[
      function M.Do() state.new(Item {}, { Name = "a", Price = 5 }) end
      function M.Ask()
        local cud = state.get(WLog { Offset = 1 }).CUDs[1]
        say(cud["sys.QName"], cud["sys.ID"], cud.Name, cud.Price, cud.IsNew)
      end]], { command "Do", query() })
    assert.equal("shop.Item 200001 a 5 true", said(replies[2]))
  end)

  it("wants an Offset to get", function()
    assert.matches("sys%.WLog {}: the key has no Offset", (in_query "state.get(WLog {})"))
  end)
end)

describe("events and contexts", function()
  after_each(stator.clean)

  it("of projectors are the argument of the function and sys.Event alike", function()
    local _, raw, err = run([[
      function M.Project(event)
        local again = state.get(state.storage "sys.Event" {})
        for _, e in ipairs { event, again } do
          state.log("info", table.concat({ e.QName, e.WLogOffset, e.Workspace, e.Offset,
            e.ArgumentObject.N, tostring(e.Synced), e.CUDs:len(), tostring(e.Error) }, " "))
        end
      end]], { command("Fill", { N = 3 }, 7) })
    assert.matches('"status":200', raw[1])
    assert.equal(2, select(2, err:gsub("shop%.Project: shop%.Fill 1 7 1 3 nil 0 nil\n", "")), err)
  end)

  it("of projectors have nested rows of the argument", function()
    local _, _, err = run([[
      function M.Project(event)
        local order = event.ArgumentObject
        state.log("info", order.Number .. order.Lines[2].What .. order.Lines[2]["sys.ID"])
      end]], { command("Place", { Number = 7, Lines = { { What = "a", Count = 1 },
      { What = "b", Count = 2 } } }) })
    assert.matches("shop%.Project: 7b200003\n", err)
  end)

  it("of commands are in sys.CommandContext", function()
    local replies = run([[
      function M.Do()
        local c = state.get(state.storage "sys.CommandContext" {})
        say(c.Workspace, c.WLogOffset, c.ArgumentObject.S, c.ArgumentUnloggedObject.S, c.Origin)
      end]], { { id = 1, wsid = 4, command = "shop.Do", args = { S = "a" },
      unlogged = { S = "b" } } })
    assert.equal("4 1 a b nil", said(replies[1]))
  end)

  it("of queries are in sys.QueryContext", function()
    local replies = run([[
      function M.Ask()
        local c = state.get(state.storage "sys.QueryContext" {})
        say(c.Workspace, c.ArgumentObject.S)
      end]], { query({ S = "a" }, 4) })
    assert.equal("4 a", said(replies[1]))
  end)
end)

describe("sys.Uniq", function()
  after_each(stator.clean)

  it("finds the record that has the values", function()
    local replies = run([[
      function M.Do(args)
        if args.Mode == "make" then return state.new(Item {}, { Name = args.S }) end
        local found = state.get(Uniq { Name = args.S })
        say(found and found.ID)
      end]], { command("Do", { Mode = "make", S = "Tea" }), command("Do", { S = "Tea" }),
      command("Do", { S = "Coffee" }) })
    assert.equal("200001", said(replies[2]))
    assert.equal("nil", said(replies[3]))
  end)

  it("wants the fields of one unique", function()
    assert.matches("no unique of shop%.Item has exactly the fields",
      (in_command "state.get(Uniq { Price = 5 })"))
    assert.matches("no unique of shop%.Item has exactly the fields",
      (in_command "state.get(Uniq {})"))
  end)
end)

describe("sys.Record", function()
  after_each(stator.clean)

  it("refuses a ref to a record that is not there", function()
    local _, _, reply = in_command "state.new(Item {}, { Name = 'a', Other = 300000 })"
    assert.equal(400, reply.status)
    assert.equal("VALIDATION", reply.error.code)
    assert.matches("Other", reply.error.message)
  end)

  it("refuses to write system fields that are not the extension's", function()
    assert.matches("sys%.QName", (in_command
      "state.new(Item {}, { Name = 'a', ['sys.QName'] = 'shop.Item' })"))
    assert.matches("IsNew", (in_command "state.new(Item {}, { Name = 'a', IsNew = true })"))
  end)

  it("takes raw IDs for new records only", function()
    assert.matches("sys%.ID", (in_command
      "state.new(Item {}, { Name = 'a', ['sys.ID'] = 200001 })"))
    local _, _, reply = in_command "state.new(Item {}, { Name = 'a', ['sys.ID'] = 77 })"
    assert.same({ ["77"] = 200001 }, reply.new_ids)
    assert.matches("77 is given twice", (in_command [[
      state.new(Item {}, { Name = 'a', ['sys.ID'] = 77 })
      state.new(Item {}, { Name = 'b', ['sys.ID'] = 77 })]]))
  end)
end)

describe("WSID", function()
  after_each(stator.clean)

  local MODULE_OF_WORKSPACES = [[
    function M.Project(event)
      local args = event.ArgumentObject
      local key = Sales { Year = 1, Month = 1, Day = 1 }
      if args.S then key.WSID = args.N end
      state.new(key, { Amount = event.Workspace })
    end
    function M.Ask(args)
      local key = Sales { Year = 1, Month = 1, Day = 1, WSID = args.N }
      local row, count = state.get(key), 0
      for k in state.read(Sales { Year = 1, WSID = args.N }) do count = count + 1 end
      say(row and row.Amount, count, state.get_all { key } [1] ~= nil)
    end]]

  -- Commands, then queries: partitions do not wait for each other.
  local function in_turn(module, commands, queries, options)
    local image, data = image_of(module), stator.folder()
    local done, raw = stator.run(image, data, commands, options)
    for i = 1, #commands do assert.equal(200, done[i].status, raw[i]) end
    return stator.run(image, data, queries, options)
  end

  it("on a key reads another workspace, of this partition and of others", function()
    for _, options in ipairs { "--partitions 1", "--partitions 3" } do
      local replies = in_turn(MODULE_OF_WORKSPACES,
        { command("Fill", nil, 1), command("Fill", nil, 2), command("Fill", nil, 4) },
        { query({ N = 1 }, 4), query({ N = 2 }, 4), query({ N = 4 }, 4), query({ N = 3 }, 4) },
        options)
      assert.equal("1 1 true", said(replies[1]))
      assert.equal("2 1 true", said(replies[2]))
      assert.equal("4 1 true", said(replies[3]))
      assert.equal("nil 0 false", said(replies[4]))
    end
  end)

  it("on a key of sys.WLog reads the log of another workspace", function()
    local replies = in_turn([[function M.Ask(args)
        local e = state.get(WLog { Offset = 1, WSID = args.N })
        say(e and e.ArgumentObject.N)
      end]], { command("Fill", { N = 11 }, 1), command("Fill", { N = 22 }, 2) },
      { query({ N = 2 }, 1), query({ N = 1 }, 1), query({ N = 3 }, 1) }, "--partitions 2")
    assert.equal("22", said(replies[1]))
    assert.equal("11", said(replies[2]))
    assert.equal("nil", said(replies[3]))
  end)

  it("writes workspaces of the same partition", function()
    local replies = run(MODULE_OF_WORKSPACES, { command("Fill", { N = 3, S = "x" }, 1),
      query({ N = 3 }, 1), query({ N = 1 }, 3) }, nil, "--partitions 2")
    assert.equal("1 1 true", said(replies[2]))
    assert.equal("nil 0 false", said(replies[3]))
  end)

  it("does not write workspaces of others, and says which", function()
    local replies = run(MODULE_OF_WORKSPACES, { command("Fill", { N = 2, S = "x" }, 1),
      query({ N = 2 }, 1) }, nil, "--partitions 2")
    assert.equal("NOT_SUPPORTED", replies[1].error.code)
    assert.matches("shop%.Project: sys%.View.*workspace 2 is of partition 0, this run of "
      .. "partition 1", replies[1].error.message)
    assert.equal("nil 0 false", said(replies[2]))
  end)

  it("that no workspace has is refused", function()
    for _, options in ipairs { "--partitions 1", "--partitions 2" } do
      for _, wsid in ipairs { 0, -1 } do
        local replies = run(MODULE_OF_WORKSPACES, { query({ N = wsid }, 1),
          command("Fill", { N = wsid, S = "x" }, 1) }, nil, options)
        assert.matches("WSID", said(replies[1]))
        assert.equal(500, replies[2].status)
      end
    end
  end)

  it("of new records is that of the command", function()
    assert.matches("records are written in the workspace of the command, 1, not in 2",
      (in_command "state.new(Item { WSID = 2 }, { Name = 'a' })"))
    local _, _, reply = in_command "state.new(Item { WSID = 1 }, { Name = 'a' })"
    assert.equal(200, reply.status)
  end)

  it("is not in what another application has", function()
    assert.equal("nil", in_command "say(state.get(Item { WSID = 999, ID = 200001 }))")
  end)
end)
