local ffi = require "ffi"
local lib = require "support.lib"
local stator = require "support.stator"

local SEED = tonumber(os.getenv "SEED") or os.time()
local PUT, DELETE = 1, 2
local C = lib.C

-- Each kind of store is held to the same; one with so little memory that it checkpoints
-- all the time.
local KINDS = {
  lmdb = { ops = C.stator__store_lmdb },
  log = { ops = C.stator__store_log },
  ["log, checkpoints"] = { ops = C.stator__store_log, overlay = 1000, segment = 4096 },
}
local kind

local function open(path)
  local store, err = ffi.new "stator_store *[1]", ffi.new "stator_error"
  local ops = kind.ops
  local opts = ffi.new("stator_store_opts", false, true, kind.overlay or 0, kind.segment or 0)
  assert.equal(0, ops.open(store, path, opts, err), lib.message(err))
  local snapshot = ffi.new "stator_snapshot *[1]"
  assert.equal(0, (kind.newest and ops.newest or ops.snapshot)(store[0], snapshot, err))
  return { ops = ops, store = store[0], snapshot = snapshot[0], map = C.stator__map_new() }
end

local function close(s)
  s.ops.snapshot_end(s.snapshot)
  s.ops.close(s.store)
  C.stator__map_free(s.map)
end

local function write(s, key, value)
  C.stator__map_write(s.map, lib.slice(key), lib.slice(value or ""), value and PUT or DELETE)
end

local function commit(s)
  local err = ffi.new "stator_error"
  assert.equal(0, s.ops.commit(s.store, s.map, err), lib.message(err))
  assert.equal(0, s.ops.refresh(s.snapshot, err))
  C.stator__map_clear(s.map)
end

local function view_of(s) return ffi.new("stator_view", s.ops, s.snapshot, s.map) end

local function get(s, key)
  local value, err = ffi.new "stator_slice", ffi.new "stator_error"
  local code = C.stator__view_get(view_of(s), lib.arena(), lib.slice(key), value, err)
  if code == 0 then return lib.string(value) end
end

local function range(s, low, high, reverse, most)
  local view, arena, found = view_of(s), lib.arena(), {}
  local cursor, err = ffi.new "stator_view_cursor *[1]", ffi.new "stator_error"
  assert.equal(0, C.stator__view_range(view, arena, lib.slice(low), lib.slice(high), reverse,
    cursor, err))
  local key, value = ffi.new "stator_slice", ffi.new "stator_slice"
  while #found < (most or 1e9) and C.stator__view_next(cursor[0], key, value, err) == 0 do
    found[#found + 1] = lib.string(key) .. "=" .. lib.string(value)
  end
  C.stator__view_release(cursor[0])
  return found
end

-- The same from a plain table.
local function model_range(model, low, high, reverse)
  local keys, found = {}, {}
  for key in pairs(model) do
    if key >= low and (high == "" or key < high) then keys[#keys + 1] = key end
  end
  table.sort(keys, function(a, b) return a < b end)
  for i, key in ipairs(keys) do
    found[reverse and #keys - i + 1 or i] = key .. "=" .. model[key]
  end
  return found
end

-- Keys around the length at which LMDB's buckets begin, with common beginnings.
local function random_key()
  local r = math.random
  local key = ({ "a", "b", ("x"):rep(499), ("x"):rep(500), ("x"):rep(501), ("y"):rep(700) })[r(6)]
  for _ = 1, r(0, 3) do key = key .. string.char(r(0, 3) * 85) end
  return key
end

for name, each in pairs(KINDS) do
  describe("the store \"" .. name .. "\" under a map #model seed " .. SEED, function()
    before_each(function() kind = each end)
    after_each(stator.clean)

    for _, newest in ipairs { false, true } do
      it("holds what a plain table holds, with keys of every length"
        .. (newest and ", for the thread that commits" or ""), function()
        math.randomseed(SEED)
        kind.newest = newest
        local folder, model = stator.folder(), {}
        local s = open(folder)
        for round = 1, 40 do
          for _ = 1, math.random(0, 30) do
            local key = random_key()
            local value = math.random(4) > 1 and tostring(math.random(1000)) or nil
            write(s, key, value)
            model[key] = value
          end
          for _ = 1, 10 do
            local key = random_key()
            assert.equal(model[key], (get(s, key)))
            local low, high = random_key(), random_key()
            if math.random(5) == 1 then high = "" end
            if math.random(5) == 1 then low = "" end
            local reverse = math.random(2) == 1
            assert.same(model_range(model, low, high, reverse), range(s, low, high, reverse))
          end
          if math.random(2) == 1 then commit(s) end
          if round % 10 == 0 then
            commit(s)
            close(s)
            s = open(folder)
          end
        end
        close(s)
        kind.newest = nil
      end)
    end

    it("sorts keys of 65,535 bytes by their bytes", function()
      local s, long = open(stator.folder()), ("k"):rep(65534)
      write(s, long .. "b", "2")
      write(s, long .. "a", "1")
      write(s, long, "0")
      commit(s)
      assert.same({ long .. "=0", long .. "a=1", long .. "b=2" }, range(s, "", "", false))
      assert.equal("2", get(s, long .. "b"))
      close(s)
    end)

    it("stops early without harm", function()
      local s = open(stator.folder())
      for i = 1, 100 do write(s, ("%03d"):format(i), "v") end
      commit(s)
      assert.same({ "005=v", "006=v" }, range(s, "005", "", false, 2))
      close(s)
    end)

    it("takes back what was written behind a mark", function()
      local s = open(stator.folder())
      write(s, "a", "old")
      commit(s)
      write(s, "b", "kept")
      C.stator__map_mark(s.map)
      write(s, "a", "new")
      write(s, "b")
      write(s, "c", "new")
      C.stator__map_rollback(s.map)
      assert.same({ "a=old", "b=kept" }, range(s, "", "", false))
      assert.same({ "b=kept", "a=old" }, range(s, "", "", true))
      commit(s)
      assert.same({ "a=old", "b=kept" }, range(s, "", "", false))
      close(s)
    end)

    it("shows a snapshot what was committed before it, and nothing later", function()
      local s, later = open(stator.folder()), C.stator__map_new()
      write(s, "a", "1")
      commit(s)
      C.stator__map_write(later, lib.slice "a", lib.slice "2", PUT)
      assert.equal(0, s.ops.commit(s.store, later, ffi.new "stator_error"))
      assert.equal("1", get(s, "a"))
      assert.equal(0, s.ops.refresh(s.snapshot, ffi.new "stator_error"))
      assert.equal("2", get(s, "a"))
      C.stator__map_free(later)
      close(s)
    end)
  end)
end

describe("the store \"log\" with many keys #model seed " .. SEED, function()
  after_each(stator.clean)

  -- Long common beginnings, and keys that begin as others end.
  local BEGINNINGS = { "", "a", ("same"):rep(5), ("same"):rep(5) .. "\0", ("same"):rep(9),
    "\255\255" }

  local function any_key()
    local number = tostring(math.random(10 ^ math.random(2, 4)))
    return "k" .. BEGINNINGS[math.random(#BEGINNINGS)]
      .. number:gsub("9", math.random(2) == 1 and "\0" or "\255")
  end

  local function copy_of(model)
    local copy = {}
    for key, value in pairs(model) do copy[key] = value end
    return copy
  end

  it("holds what a plain table holds, and shows each snapshot what it held then", function()
    math.randomseed(SEED)
    kind = { ops = C.stator__store_log }
    local s, model, held = open(stator.folder()), {}, {}
    for round = 1, 60 do
      for _ = 1, 400 do
        local key = any_key()
        local value = math.random(5) > 1 and ("v"):rep(math.random(0, 9)) .. round or nil
        write(s, key, value)
        model[key] = value
      end
      commit(s)
      if round % 10 == 0 then
        local snapshot = ffi.new "stator_snapshot *[1]"
        assert.equal(0, s.ops.snapshot(s.store, snapshot, ffi.new "stator_error"))
        held[#held + 1] = { ops = s.ops, snapshot = snapshot[0], model = copy_of(model) }
      end
    end
    for _, then_ in ipairs(held) do
      for _ = 1, 6 do
        local low, high, reverse = any_key(), any_key(), math.random(2) == 1
        assert.same(model_range(then_.model, low, high, reverse), range(then_, low, high, reverse))
      end
      assert.same(model_range(then_.model, "", "", false), range(then_, "", "", false))
      for _ = 1, 300 do
        local key = any_key()
        assert.equal(then_.model[key], (get(then_, key)))
      end
      s.ops.snapshot_end(then_.snapshot)
    end
    close(s)
  end)
end)
