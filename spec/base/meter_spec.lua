local ffi = require "ffi"
local lib = require "support.lib"

ffi.cdef [[
typedef struct stator_histogram {
  uint64_t count, sum, most; uint64_t buckets[272];
} stator_histogram;
void stator__histogram_add(stator_histogram *h, uint64_t ns);
void stator__histogram_fold(stator_histogram *to, const stator_histogram *from);
uint64_t stator__histogram_at(const stator_histogram *h, uint32_t share);
uint64_t stator__histogram_end(size_t i);
]]

local function histogram(times)
  local h = ffi.new "stator_histogram"
  for _, ns in ipairs(times) do lib.C.stator__histogram_add(h, ns) end
  return h
end

local function at(h, share) return tonumber(lib.C.stator__histogram_at(h, share)) end

describe("a histogram", function()
  it("is at most an eighth above what was put in, and never below", function()
    for power = 0, 35 do
      for _, ns in ipairs { 2 ^ power, math.floor(1.3 * 2 ^ power), 2 ^ (power + 1) - 1 } do
        local p = at(histogram { ns, 2 ^ 36 }, 500)
        assert.is_true(p >= ns and p <= ns + ns / 8, ("%d: %d"):format(ns, p))
      end
    end
  end)

  it("has buckets that follow on each other", function()
    local before = 0
    for i = 0, 271 do
      local ends = tonumber(lib.C.stator__histogram_end(i))
      assert.is_true(ends > before)
      local h = histogram { before, ends - 1 }
      assert.equal(2, tonumber(h.buckets[i]), i)
      before = ends
    end
  end)

  it("says what a share of all did not pass", function()
    local times = {}
    for i = 1, 1000 do times[i] = i <= 990 and 100 or i <= 999 and 5000 or 1000000 end
    local h = histogram(times)
    assert.same({ 103, 103, 5119, 1000000 }, { at(h, 500), at(h, 990), at(h, 999), at(h, 1000) })
  end)

  it("takes times that are longer than its last bucket", function()
    local h = histogram { 2 ^ 50 }
    assert.same({ 2 ^ 50, 1 }, { at(h, 999), tonumber(h.buckets[271]) })
  end)

  it("is added to another one", function()
    local h = histogram { 10, 20 }
    lib.C.stator__histogram_fold(h, histogram { 30 })
    lib.C.stator__histogram_fold(h, nil)
    assert.same({ 3, 60, 30 }, { tonumber(h.count), tonumber(h.sum), tonumber(h.most) })
  end)

  it("says 0 when nothing is in it", function()
    assert.equal(0, at(histogram {}, 999))
  end)
end)
