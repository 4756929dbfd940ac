local stator = require "support.stator"

local SEED = tonumber(os.getenv "SEED") or os.time()

-- Records and two views (one with a variable last column) against plain tables.
local SCHEMA = [[
  TABLE Item INHERITS sys.CDoc (Name varchar NOT NULL, Value int64, Ratio float64, Flag bool);
  TYPE ItemParams (ID ref(Item), Name varchar, Value int64, Ratio float64, Flag bool);
  TYPE RowParams (A int32 NOT NULL, B int64 NOT NULL, C varchar NOT NULL, V int64);
  TYPE ReadParams (A int32 NOT NULL, B int64, C varchar, Back bool, Most int32);
  TYPE Found (B int64, C varchar, V int64);
  TYPE IDParams (ID int64 NOT NULL);
  VIEW Row (A int32 NOT NULL, B int64 NOT NULL, C varchar, V int64,
    PRIMARY KEY ((A), B, C)) AS RESULT OF WriteRow;
  EXTENSION ENGINE LUA (
    COMMAND PutItem(ItemParams) INTENTS(sys.Record(Item));
    COMMAND PutRow(RowParams);
    SYNC PROJECTOR WriteRow AFTER EXECUTE ON PutRow INTENTS(sys.View(Row));
    QUERY GetItem(IDParams) STATE(sys.Record(Item)) RETURNS ItemParams;
    QUERY ReadRows(ReadParams) STATE(sys.View(Row)) RETURNS Found;
  );]]

local MODULE = [[
  local Item, Row = state.record "Item", state.view "Row"
  local function fields(args)
    return { Name = args.Name, Value = args.Value, Ratio = args.Ratio, Flag = args.Flag }
  end
  function M.PutItem(args)
    if args.ID then
      local key = Item { ID = args.ID }
      state.update(key, state.must_get(key), fields(args))
    else
      state.new(Item {}, fields(args))
    end
  end
  function M.PutRow() end
  function M.WriteRow(event)
    local args = event.ArgumentObject
    local key = Row { A = args.A, B = args.B, C = args.C }
    local seen = state.get(key)
    if seen then state.update(key, seen, { V = args.V }) else state.new(key, { V = args.V }) end
  end
  function M.GetItem(args)
    local item = state.get(Item { ID = args.ID })
    if item then state.result(fields(item)) end
  end
  function M.ReadRows(args)
    local key = Row { A = args.A, B = args.B, C = args.C }
    for k, row in state.read(key, { reverse = args.Back, limit = args.Most }) do
      state.result { B = k.B, C = k.C, V = row.V }
    end
  end]]

local function number(v) return v and ("%d"):format(v) end

local function object(pairs_list)
  local parts = {}
  for _, p in ipairs(pairs_list) do
    if p[2] ~= nil then parts[#parts + 1] = ('"%s":%s'):format(p[1], p[2]) end
  end
  return "{" .. table.concat(parts, ",") .. "}"
end

local function maybe(v) if math.random(3) > 1 then return v end end

-- Each of these adds a request and what must be replied to it.
local Model = {}
Model.__index = Model

function Model.new()
  return setmetatable({ items = {}, rows = {}, offset = 0, requests = {}, expected = {} }, Model)
end

function Model:add(kind, name, args, expected)
  local id = #self.requests + 1
  self.requests[id] = ('{"id":%d,"wsid":7,"%s":"shop.%s","args":%s}'):format(id, kind, name, args)
  self.expected[id] = ('{"id":%d,"status":200,%s}'):format(id, expected)
end

function Model:accept(name, args, more)
  self.offset = self.offset + 1
  self:add("command", name, args, ('"offset":%d%s'):format(self.offset, more or ""))
end

function Model:put_item()
  local r = math.random
  local change = #self.items > 0 and r(2) == 1
  local item = change and self.items[r(#self.items)] or { id = 200001 + #self.items }
  local given = {
    Name = (not change or r(2) == 1) and ('"n%d"'):format(r(1000)) or nil,
    Value = maybe(number(r(-2147483648, 2147483647))),
    Ratio = maybe(("%.1f"):format(r(-1000, 1000) + 0.5)),
    Flag = maybe(r(2) == 1 and "true" or "false"),
  }
  for k, v in pairs(given) do item[k] = v end
  if not change then self.items[#self.items + 1] = item end
  self:accept("PutItem", object {
    { "ID", change and number(item.id) or nil }, { "Name", given.Name }, { "Value", given.Value },
    { "Ratio", given.Ratio }, { "Flag", given.Flag } },
    not change and (',"new_ids":{"1":%d}'):format(item.id))
end

function Model:get_item()
  local id = 200000 + math.random(#self.items + 2)
  local item = self.items[id - 200000]
  self:add("query", "GetItem", object { { "ID", number(id) } }, '"rows":[' .. (item and object {
    { "Name", item.Name }, { "Value", item.Value }, { "Ratio", item.Ratio }, { "Flag", item.Flag },
  } or "") .. "]")
end

local TEXTS = { "", "a", "a b", "aa", "b", "é", "z" }

function Model:put_row()
  local r = math.random
  local row = { a = r(-1, 1), b = r(-2, 2), c = TEXTS[r(#TEXTS)] }
  local value = maybe(number(r(-1000, 1000)))
  local name = ("%d/%d/%s"):format(row.a, row.b, row.c)
  local known = self.rows[name] or row
  known.v = value or known.v
  self.rows[name] = known
  self:accept("PutRow", object { { "A", number(row.a) }, { "B", number(row.b) },
    { "C", '"' .. row.c .. '"' }, { "V", value } })
end

local function before(x, y)
  if x.b ~= y.b then return x.b < y.b end
  return x.c < y.c
end

function Model:read_rows()
  local r = math.random
  local a, b = r(-1, 1), maybe(r(-2, 2))
  local c = b and maybe(TEXTS[r(#TEXTS)]) or nil
  local back, most = maybe(r(2) == 1), maybe(r(0, 4))
  local found = {}
  for _, row in pairs(self.rows) do
    -- The variable column of a partial key is a beginning.
    if row.a == a and (not b or row.b == b) and (not c or row.c:sub(1, #c) == c) then
      found[#found + 1] = row
    end
  end
  table.sort(found, function(x, y) if back then return before(y, x) end return before(x, y) end)
  local parts = {}
  for i, row in ipairs(found) do
    if most and i > most then break end
    parts[i] = object { { "B", number(row.b) }, { "C", '"' .. row.c .. '"' }, { "V", row.v } }
  end
  self:add("query", "ReadRows", object { { "A", number(a) }, { "B", number(b) },
    { "C", c and '"' .. c .. '"' }, { "Back", back ~= nil and tostring(back) or nil },
    { "Most", number(most) } }, '"rows":[' .. table.concat(parts, ",") .. "]")
end

describe("records and views #model seed " .. SEED, function()
  after_each(stator.clean)

  it("are what plain tables are, over random requests", function()
    math.randomseed(SEED)
    local image = stator.shop(SCHEMA, MODULE)
    for _ = 1, 5 do
      local model = Model.new()
      for _ = 1, 400 do
        local step = math.random(4)
        if step == 1 then model:put_item() elseif step == 2 then model:put_row()
        elseif step == 3 then model:get_item() else model:read_rows() end
      end
      local _, raw = stator.try(image, model.requests)
      for i, expected in ipairs(model.expected) do
        assert.equal(expected, raw[i], model.requests[i])
      end
    end
  end)
end)
