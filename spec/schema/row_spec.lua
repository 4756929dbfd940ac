local ffi = require "ffi"
local lib = require "support.lib"

local SEED = tonumber(os.getenv "SEED") or os.time()

-- Random fields and values, as the JSON that a reply would show.
local GENERATORS = {
  int8 = function(r) return tostring(r(-128, 127)) end,
  int16 = function(r) return tostring(r(-32768, 32767)) end,
  int32 = function(r) return tostring(r(-2147483648, 2147483647)) end,
  int64 = function(r)
    local v = ffi.new("int64_t", r(-2147483648, 2147483647)) * 4294967296LL + r(0, 2147483647)
    return (tostring(v):gsub("LL", ""))
  end,
  float32 = function(r) return ("%.6g"):format(r(-1000000, 1000000) / 64) end,
  float64 = function(r) return ("%.17g"):format(r(-2147483648, 2147483647) / 1024) end,
  bool = function(r) return r(0, 1) == 1 and "true" or "false" end,
  ["varchar(300)"] = function(r)
    local parts = {}
    for i = 1, r(0, 12) do
      parts[i] = ({ "a", "é", "漢", " ", '\\"', "\\n", "\\\\", "\\u0001", "z" })[r(1, 9)]
    end
    return '"' .. table.concat(parts) .. '"'
  end,
  ["bytes(300)"] = function(r)
    return ({ '""', '"AA=="', '"/wA="', '"AAEC"', '"/////w=="' })[r(1, 5)]
  end,
  qname = function(r) return ({ '"shop.A"', '"sys.Record"' })[r(1, 2)] end,
  ref = function(r) return tostring(r(1, 2147483647)) end,
}

local KINDS = {}
for kind in pairs(GENERATORS) do KINDS[#KINDS + 1] = kind end
table.sort(KINDS)

local function random_fields(r, count)
  local fields = {}
  for i = 1, count do fields[i] = { name = "F" .. i, kind = KINDS[r(1, #KINDS)] } end
  return fields
end

local function declare(fields)
  local parts = {}
  for i, f in ipairs(fields) do parts[i] = f.name .. " " .. f.kind end
  return table.concat(parts, ", ")
end

local function random_object(r, fields)
  local parts = {}
  for _, f in ipairs(fields) do
    if r(1, 4) > 1 then
      parts[#parts + 1] = ('"%s":%s'):format(f.name, GENERATORS[f.kind](r))
    end
  end
  return parts
end

-- What %g writes and the shortest text differ in looks only.
local function normal(json)
  return (json:gsub('":(%-?%d[%d%.e+-]*)', function(n)
    return '":' .. (n:find "[.e]" and ("%.9g"):format(tonumber(n)) or n)
  end))
end

describe("rows #property seed " .. SEED, function()
  it("give back the JSON that they were made from, whatever the schema", function()
    math.randomseed(SEED)
    for _ = 1, 25 do
      local fields = random_fields(math.random, math.random(1, 40))
      local def = lib.define("TYPE T (" .. declare(fields) .. ");")
      local stype = lib.C.stator__def_type_named(def, "shop.T")
      for _ = 1, 30 do
        local arena = lib.arena()
        local text = "{" .. table.concat(random_object(math.random, fields), ",") .. "}"
        local row = assert(lib.row(arena, stype, text))
        assert.is_true(lib.C.stator__row_sound(row))
        assert.equal(normal(text), normal(lib.json(def, row)))
      end
    end
  end)

  it("give back nested rows", function()
    math.randomseed(SEED)
    for _ = 1, 20 do
      local outer, inner = random_fields(math.random, 5), random_fields(math.random, 9)
      local def = lib.define(("TABLE D INHERITS sys.ODoc (%s, Rows TABLE R (%s));")
        :format(declare(outer), declare(inner)))
      local stype = lib.C.stator__def_type_named(def, "shop.D")
      local arena, rows = lib.arena(), {}
      for i = 1, math.random(0, 30) do
        rows[i] = "{" .. table.concat(random_object(math.random, inner), ",") .. "}"
      end
      local parts = random_object(math.random, outer)
      parts[#parts + 1] = '"Rows":[' .. table.concat(rows, ",") .. "]"
      local text = "{" .. table.concat(parts, ",") .. "}"
      local row = assert(lib.row(arena, stype, text))
      assert.is_true(lib.C.stator__row_sound(row))
      assert.equal(normal(text), normal(lib.json(def, row)))
    end
  end)

  it("are read by a type that has grown at its end, with nulls for what is new", function()
    math.randomseed(SEED)
    for _ = 1, 15 do
      local fields = random_fields(math.random, math.random(2, 30))
      local old_count = math.random(1, #fields - 1)
      local old_fields = { unpack(fields, 1, old_count) }
      local old = lib.define("TYPE T (" .. declare(old_fields) .. ");")
      local new = lib.define("TYPE T (" .. declare(fields) .. ");")
      local arena = lib.arena()
      local text = "{" .. table.concat(random_object(math.random, old_fields), ",") .. "}"
      local row = assert(lib.row(arena, lib.C.stator__def_type_named(old, "shop.T"), text))
      row.type = lib.C.stator__def_type_named(new, "shop.T")
      assert.is_true(lib.C.stator__row_sound(row))
      assert.equal(normal(text), normal(lib.json(new, row)))
    end
  end)

  it("that are damaged are found or read without harm", function()
    math.randomseed(SEED)
    local fields = random_fields(math.random, 20)
    local def = lib.define(("TABLE D INHERITS sys.ODoc (%s, Rows TABLE R (A varchar, B int32));")
      :format(declare(fields)))
    local stype = lib.C.stator__def_type_named(def, "shop.D")
    local arena = lib.arena()
    local row = assert(lib.row(arena, stype,
      '{"Rows":[{"A":"one","B":1},{"A":"two"}],' .. ('"F1":%s}'):format(
        GENERATORS[fields[1].kind](math.random))))
    for _ = 1, 3000 do
      local copy = ffi.new("uint8_t[?]", row.size)
      ffi.copy(copy, row.data, row.size)
      for _ = 1, math.random(1, 3) do copy[math.random(8, row.size - 1)] = math.random(0, 255) end
      local damaged = ffi.new("stator_row", copy, math.random(0, row.size), 0, stype)
      if lib.C.stator__row_sound(damaged) then
        assert.is_string(lib.json(def, damaged))
      end
    end
  end)
end)

describe("a row from JSON", function()
  local def = lib.define [[
    TYPE T (I int32 NOT NULL, S varchar(3), F float32, D int64 DEFAULT 7, B bool, Q qname);]]
  local stype = lib.C.stator__def_type_named(def, "shop.T")

  local function refused(text)
    local row, message = lib.row(lib.arena(), stype, text)
    assert.is_nil(row)
    return message
  end

  it("has the defaults of what is left out", function()
    assert.equal('{"I":1,"D":7}', lib.json(def, lib.row(lib.arena(), stype, '{"I":1}')))
  end)

  it("takes null for absent", function()
    assert.equal('{"I":1,"D":7}', lib.json(def, lib.row(lib.arena(), stype, '{"I":1,"S":null}')))
  end)

  it("is refused without a NOT NULL field", function()
    assert.equal("args.I: missing, it is NOT NULL", refused "{}")
  end)

  it("is refused with a field given twice", function()
    assert.equal("args.I: given twice", refused '{"I":1,"I":2}')
  end)

  it("is refused with a field that is not there, and says what is", function()
    assert.equal("args.i: shop.T has no such field; did you mean I?", refused '{"i":1}')
  end)

  it("is refused with an integer out of range", function()
    assert.equal("args.I: expected int32, found 2147483648", refused '{"I":2147483648}')
    assert.equal("args.D: expected int64, found 9223372036854775808",
      refused '{"I":1,"D":9223372036854775808}')
    assert.equal("args.I: expected int32, found 1.5", refused '{"I":1.5}')
  end)

  it("is refused with text that is too long, in bytes", function()
    assert.equal("args.S: expected at most 3 bytes, found 4", refused '{"I":1,"S":"éé"}')
  end)

  it("is refused with a float that single precision cannot hold", function()
    assert.equal("args.F: expected float32, found 1e+39", refused '{"I":1,"F":1e39}')
  end)

  it("is refused with text that is not UTF-8", function()
    assert.equal("args.S: expected string, found text that is not UTF-8",
      refused '{"I":1,"S":"\255"}')
  end)

  it("is refused with a name that is not a QName", function()
    assert.equal('args.Q: expected qname "package.Name", found "x"', refused '{"I":1,"Q":"x"}')
  end)
end)
