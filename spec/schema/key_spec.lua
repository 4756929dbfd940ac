local ffi = require "ffi"
local lib = require "support.lib"

local SEED = tonumber(os.getenv "SEED") or os.time()

-- Values by kind, in order, with the borders among them.
local VALUES = {
  int8 = { -128, -127, -1, 0, 1, 127 },
  int16 = { -32768, -256, -255, -1, 0, 1, 255, 256, 32767 },
  int32 = { -2147483648, -65536, -1, 0, 1, 65536, 2147483647 },
  int64 = { "-9223372036854775808", "-4294967296", "-1", "0", "1", "4294967296",
    "9223372036854775807" },
  float32 = { -3.4e38, -1.5, -1e-30, 0, 1e-30, 1.5, 3.4e38 },
  float64 = { -1.7e308, -2.5, -1e-300, 0, 1e-300, 2.5, 1.7e308 },
  bool = { "false", "true" },
  ref = { 1, 2, 65536, 200001 },
  qname = { '"a.A"', '"a.Aa"', '"a.B"', '"aa.A"' },
  varchar = { '""', '"\\u0000"', '"a"', '"a\\u0000"', '"aa"', '"b"', '"é"', '"漢"' },
}
local FIXED = { "int8", "int16", "int32", "int64", "float32", "float64", "bool", "ref", "qname" }
local PARTITION = { "int8", "int16", "int32", "int64", "float32", "float64", "bool", "ref" }

local function encode(stype, arena, text)
  local row = assert(lib.row(arena, stype, text, true))
  local buf, complete = ffi.new "stator_buf", ffi.new "bool[1]"
  assert.equal(0, lib.C.stator__key_encode(buf, row, complete, ffi.new "stator_error"))
  local bytes = ffi.string(buf.data, buf.size)
  ffi.C.free(buf.data)
  return bytes, complete[0]
end

local function key_type(kinds)
  local fields, clustering = {}, {}
  for i, kind in ipairs(kinds) do
    fields[i] = ("K%d %s NOT NULL"):format(i, kind)
    if i > 1 then clustering[#clustering + 1] = "K" .. i end
  end
  local def = lib.define(([[
    VIEW V (%s, X int32, PRIMARY KEY ((K1), %s)) AS RESULT OF P;
    EXTENSION ENGINE LUA (
      COMMAND C();
      SYNC PROJECTOR P AFTER EXECUTE ON C INTENTS(sys.View(V));
    );]]):format(table.concat(fields, ", "), table.concat(clustering, ", ")))
  local info = ffi.cast("const stator_type **",
    ffi.cast("const uint8_t *", lib.C.stator__def_type_named(def, "shop.V").extra) + 24)
  return def, info[0]
end

local function random_kinds(r)
  local kinds = { PARTITION[r(1, #PARTITION)] }
  for i = 2, r(2, 5) do kinds[i] = FIXED[r(1, #FIXED)] end
  if r(1, 2) == 1 then kinds[#kinds + 1] = "varchar" end
  return kinds
end

-- A random key as JSON, and the places of its values in their orders.
local function random_key(r, kinds)
  local parts, places = {}, {}
  for i, kind in ipairs(kinds) do
    places[i] = r(1, #VALUES[kind])
    parts[i] = ('"K%d":%s'):format(i, VALUES[kind][places[i]])
  end
  return "{" .. table.concat(parts, ",") .. "}", places
end

local function before(a, b)
  for i = 1, #a do
    if a[i] ~= b[i] then return a[i] < b[i] end
  end
  return false
end

describe("ordered keys #property seed " .. SEED, function()
  it("sort by their bytes as their fields do, negatives and floats included", function()
    math.randomseed(SEED)
    for _ = 1, 15 do
      local kinds = random_kinds(math.random)
      local def, stype = key_type(kinds)
      local arena = lib.arena()
      for _ = 1, 60 do
        local one, one_places = random_key(math.random, kinds)
        local two, two_places = random_key(math.random, kinds)
        local a, b = encode(stype, arena, one), encode(stype, arena, two)
        assert.equal(before(one_places, two_places), a < b, one .. " " .. two)
        assert.equal(before(two_places, one_places), b < a, one .. " " .. two)
      end
      assert.is_truthy(def)
    end
  end)

  it("give back the fields that they were made from", function()
    math.randomseed(SEED)
    for _ = 1, 15 do
      local kinds = random_kinds(math.random)
      local def, stype = key_type(kinds)
      local arena = lib.arena()
      for _ = 1, 20 do
        local text = random_key(math.random, kinds)
        local bytes, complete = encode(stype, arena, text)
        assert.is_true(complete)
        local row = ffi.new "stator_row"
        assert.equal(0, lib.C.stator__key_decode(arena, stype, lib.slice(bytes), row,
          ffi.new "stator_error"))
        assert.equal(bytes, (encode(stype, arena, lib.json(def, row))))
      end
    end
  end)

  it("of fewer fields are prefixes of keys with more", function()
    local def, stype = key_type { "int32", "int64", "varchar" }
    local arena = lib.arena()
    local part, complete = encode(stype, arena, '{"K1":-5,"K2":7}')
    assert.is_false(complete)
    local whole = encode(stype, arena, '{"K1":-5,"K2":7,"K3":"x"}')
    assert.equal(part, whole:sub(1, #part))
    assert.is_truthy(def)
  end)

  it("with a hole are refused", function()
    local def, stype = key_type { "int32", "int64", "varchar" }
    local row = assert(lib.row(lib.arena(), stype, '{"K1":1,"K3":"x"}', true))
    local err = ffi.new "stator_error"
    assert.not_equal(0, lib.C.stator__key_encode(ffi.new "stator_buf", row, ffi.new "bool[1]", err))
    assert.equal("the key has K3 but not K2, which comes before it", lib.message(err))
    assert.is_truthy(def)
  end)

  it("take minus zero for zero", function()
    local def, stype = key_type { "float64", "int8" }
    local arena = lib.arena()
    assert.equal(encode(stype, arena, '{"K1":0.0,"K2":1}'),
      (encode(stype, arena, '{"K1":-0.0,"K2":1}')))
    assert.is_truthy(def)
  end)
end)
