local ffi = require "ffi"
local lib = require "support.lib"
local stator = require "support.stator"

local SEED = tonumber(os.getenv "SEED") or os.time() % 100000
local C, ops = lib.C, lib.C.stator__store_log
local PUT, DELETE = 1, 2

-- Overlay and segments as small as `options` says; without syncs.
local function open(path, options)
  options = options or {}
  local store, err = ffi.new "stator_store *[1]", ffi.new "stator_error"
  local code = (options.ops or ops).open(store, path, ffi.new("stator_store_opts",
    { read_only = options.read_only or false, volatile_ = true,
      overlay_bytes = options.overlay or 0, segment_bytes = options.segment or 0 }), err)
  if code ~= 0 then return nil, lib.message(err), code end
  return store[0]
end

local function commit(store, rows, kind)
  local map, err = C.stator__map_new(), ffi.new "stator_error"
  for key, value in pairs(rows) do
    C.stator__map_write(map, lib.slice(key), lib.slice(value or ""), value and PUT or DELETE)
  end
  local code = (kind or ops).commit(store, map, err)
  C.stator__map_free(map)
  return code == 0 or lib.message(err)
end

-- All rows, as "key=value" in order; or nil and what is wrong.
local function rows(store, kind)
  kind = kind or ops
  local snapshot, err = ffi.new "stator_snapshot *[1]", ffi.new "stator_error"
  if kind.snapshot(store, snapshot, err) ~= 0 then return nil, lib.message(err) end
  local view, arena, found = ffi.new("stator_view", kind, snapshot[0], nil), lib.arena(), {}
  local cursor = ffi.new "stator_view_cursor *[1]"
  assert(C.stator__view_range(view, arena, lib.slice "", lib.slice "", false, cursor, err) == 0)
  local key, value = ffi.new "stator_slice", ffi.new "stator_slice"
  while C.stator__view_next(cursor[0], key, value, err) == 0 do
    if lib.string(key):byte() ~= 0 then
      found[#found + 1] = lib.string(key) .. "=" .. lib.string(value)
    end
  end
  C.stator__view_release(cursor[0])
  kind.snapshot_end(snapshot[0])
  return found
end

-- What is in the folder now, as if the process died: nothing is put into the tree.
local function image(path)
  local copy = stator.folder() .. "/image"
  stator.shell(("cp -r %s %s; rm -f %s/lock.mdb"):format(path, copy, copy))
  return copy
end

local function segments(path)
  local _, out = stator.shell(("ls %s | grep seg"):format(path))
  local list = {}
  for name in out:gmatch "[^\n]+" do list[#list + 1] = path .. "/" .. name end
  return list
end

-- Three commits that stand in the log only: the folder, the one segment, where each
-- record begins, and the rows behind each.
local function three_commits()
  local path = stator.folder() .. "/p"
  local store = open(path)
  assert.is_true(commit(store, { a = "1", b = "1" }))
  assert.is_true(commit(store, { b = "2", c = ("x"):rep(20) }))
  assert.is_true(commit(store, { a = false, d = "3" }))
  local copy = image(path)
  ops.close(store)
  local file = segments(copy)[1]
  local text, at, starts = stator.read(file), 64, {}
  for i = 1, 3 do
    starts[i] = at
    local size = ffi.cast("const uint32_t *", text:sub(at + 5, at + 8))[0]
    at = at + math.floor((16 + size + 7) / 8) * 8
  end
  starts[4] = at
  return copy, file, starts, { { "a=1", "b=1" }, { "a=1", "b=2", "c=" .. ("x"):rep(20) },
    { "b=2", "c=" .. ("x"):rep(20), "d=3" } }
end

-- Rows that are found when the partition is opened on such a segment.
local function rows_with(copy, file, text)
  local folder = image(copy)
  stator.write(folder .. file:match "/[^/]+$", text)
  local store, message, code = open(folder)
  if not store then return nil, message, code end
  local found = rows(store)
  ops.close(store)
  os.execute("rm -rf " .. folder)
  return found
end

local function build(name, flags, sources)
  local program = stator.folder() .. "/" .. name
  local code, _, err = stator.shell(("gcc -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -Werror "
    .. "-Isrc -Isrc/include %s spec/fixtures/store/%s.c -o %s %s"):format(flags or "", name,
    program, sources or ("-L%s -lstator-spec -Wl,-rpath,%s -lpthread"):format(stator.build,
    stator.build)))
  assert.equal(0, code, err)
  return program
end

-- Builds the fixture and runs it in a fresh folder: its last line.
local function try(name, arguments, flags, sources)
  local folder = stator.folder(true):gsub("%%", "%%%%")
  local code, out, err = stator.shell(("%s%s %s"):format(stator.preload,
    build(name, flags, sources), arguments:gsub("FOLDER", folder)))
  assert.equal(0, code, ("%s %s\n%s%s"):format(name, arguments, out, err))
  return out:match "([^\n]*)\n$"
end

-- Another process, since LMDB opens a file once in each: two keys of one commit are
-- never apart.
local READER = [[
  package.path = "spec/?.lua;" .. package.path
  local ffi, lib = require "ffi", require "support.lib"
  local ops, err = lib.C.stator__store_log, ffi.new "stator_error"
  local store, snap = ffi.new "stator_store *[1]", ffi.new "stator_snapshot *[1]"
  local value = ffi.new "stator_slice"
  local function check(code) if code < 0 then print(lib.message(err)) os.exit(1) end return code end
  check(ops.open(store, arg[1], ffi.new("stator_store_opts", true), err))
  for _ = 1, 200 do
    check(ops.snapshot(store[0], snap, err))
    local view, n = ffi.new("stator_view", ops, snap[0], nil), {}
    for i = 1, 2 do
      local code = check(lib.C.stator__view_get(view, lib.arena(), lib.slice("n" .. i), value, err))
      n[i] = code == 0 and lib.string(value) or ""
    end
    if n[1] ~= n[2] then print(n[1], n[2]) end
    ops.snapshot_end(snap[0])
  end
  ops.close(store[0])]]

-- Runs Lua in a process of its own, for what it says and how much memory it takes.
local function in_process(script, ...)
  local path = stator.folder() .. "/script.lua"
  stator.write(path, [[
    package.path = "spec/?.lua;" .. package.path
    local ffi, lib = require "ffi", require "support.lib"
    local C, ops, err = lib.C, lib.C.stator__store_log, ffi.new "stator_error"
    local function open(options)
      local store = ffi.new "stator_store *[1]"
      options.volatile_ = true
      assert(ops.open(store, arg[1], ffi.new("stator_store_opts", options), err) == 0,
        lib.message(err))
      return store[0]
    end
  ]] .. script)
  local words = {}
  for i, word in ipairs { ... } do words[i] = stator.quote(word) end
  local code, out, errors = stator.shell(("%sSTATOR_BUILD=%s luajit %s %s"):format(
    stator.preload, os.getenv "STATOR_BUILD" or "build", path, table.concat(words, " ")))
  assert.equal(0, code, errors)
  return out, errors
end

describe("the checksum", function()
  it("is CRC-32C, with and without the processor's help", function()
    assert.equal(0xe3069283, C.stator__crc32c(0, "123456789", 9))
    assert.equal(0xe3069283, C.stator__crc32c_plain(0, "123456789", 9))
    local text = {}
    for i = 1, 300 do
      text[i] = string.char(i * 7 % 256)
      local s = table.concat(text)
      local crc = C.stator__crc32c(0, s, #s)
      assert.equal(C.stator__crc32c_plain(0, s, #s), crc)
      local half = math.floor(i / 2)
      assert.equal(crc, C.stator__crc32c(C.stator__crc32c(0, s, half), s:sub(half + 1), i - half))
    end
  end)
end)

describe("a log", function()
  after_each(stator.clean)

  it("holds what the tree does not have yet, for the next start", function()
    local copy, _, _, want = three_commits()
    local store = open(copy)
    assert.same(want[3], rows(store))
    ops.close(store)
    assert.same({}, segments(copy)) -- all of it is in the tree now
    store = open(copy)
    assert.same(want[3], rows(store))
    ops.close(store)
  end)

  it("is cut where the last commit was torn, at whatever byte", function()
    local copy, file, starts, want = three_commits()
    local text = stator.read(file)
    for cut = starts[3], starts[4] - 1 do
      -- The last bytes of a record may be no more than what fills it up.
      local whole = not text:sub(cut + 1, starts[4]):find "[^%z]"
      assert.same(want[whole and 3 or 2], rows_with(copy, file, text:sub(1, cut)))
      local zeros = text:sub(1, cut) .. ("\0"):rep(#text - cut)
      assert.same(want[whole and 3 or 2], rows_with(copy, file, zeros))
      local other = text:sub(1, cut) .. ("\255"):rep(400)
      if not whole then assert.same(want[2], rows_with(copy, file, other)) end
    end
  end)

  it("ends with its last whole commit when it is cut short, at whatever byte", function()
    local copy, file, starts, want = three_commits()
    local text = stator.read(file)
    want[0] = {}
    for cut = 0, starts[3] - 1 do
      local found, message, code = rows_with(copy, file, text:sub(1, cut))
      local whole = cut < starts[2] and 0 or 1
      -- The last bytes of a record may be no more than what fills it up.
      if not text:sub(cut + 1, starts[whole + 2]):find "[^%z]" then whole = whole + 1 end
      if found then
        assert.same(want[whole], found)
      else
        assert.is_true(cut < 64)
        assert.matches("damaged at byte 0: this is not the header of a segment", message)
        assert.equal(-21, code)
      end
    end
  end)

  it("is refused, with file and byte, when a bit of it has changed", function()
    local copy, file, starts = three_commits()
    local text = stator.read(file)
    for at = 0, starts[3] - 1 do
      local flipped = text:sub(1, at)
        .. string.char(bit.bxor(text:byte(at + 1), 2 ^ (at % 8))) .. text:sub(at + 2)
      local found, message, code = rows_with(copy, file, flipped)
      -- Bytes that only fill up a header or a record say nothing.
      if found then
        assert.equal(0, text:byte(at + 1))
      else
        local record = at < 64 and 0 or at < starts[2] and starts[1] or starts[2]
        assert.truthy(message:find(("/%s: damaged at byte %d: "):format(file:match "[^/]+$",
          record), 1, true), message)
        assert.equal(-21, code)
      end
    end
  end)

  it("is refused when a segment is missing", function()
    local path = stator.folder() .. "/p"
    local store = open(path, { segment = 4096 })
    for i = 1, 300 do assert.is_true(commit(store, { ["k" .. i] = ("v"):rep(100) })) end
    local copy = image(path)
    ops.close(store)
    local all = segments(copy)
    assert.is_true(#all > 5)
    os.remove(all[3])
    local found, message = open(copy)
    assert.is_nil(found)
    assert.matches("commits %d+ to %d+ are missing before commit %d+ of log%-", message)
    -- At the front of the log it is the tree that stands before.
    copy = image(path)
    assert.is_truthy(open(copy))
  end)

  it("is refused when the tree has parts of commits that it does not have", function()
    local copy, file = three_commits()
    local lmdb = C.stator__store_lmdb
    local tree = open(copy, { ops = lmdb })
    assert.is_true(commit(tree, { ["\0until"] = ("\0"):rep(7) .. "\5" }, lmdb))
    lmdb.close(tree)
    local store, message, code = open(copy)
    assert.is_nil(store)
    assert.equal(-21, code)
    assert.matches("the log ends with commit 3, but data.mdb has parts of those up to 5", message)
    os.remove(file)
    store, message = open(copy)
    assert.is_nil(store)
    assert.matches("the log ends with commit 0", message, 1, true)
  end)

  it("goes on from before its damage when it is cut there", function()
    local copy, file, starts, want = three_commits()
    local text = stator.read(file)
    stator.write(file, text:sub(1, starts[2] + 20) .. "?" .. text:sub(starts[2] + 22))
    local _, message = open(copy)
    assert.matches("damaged at byte " .. starts[2], message)
    stator.shell(("truncate -s %d %s"):format(starts[2], file))
    local store = open(copy)
    assert.same(want[1], rows(store))
    assert.is_true(commit(store, { z = "new" }))
    ops.close(store)
  end)

  it("says how far it is when reading it takes long", function()
    local path = stator.folder() .. "/p"
    local store = open(path, { segment = 4096 })
    local value = ("v"):rep(1000)
    for i = 1, 500 do assert.is_true(commit(store, { ["k" .. i % 50] = value .. i })) end
    local copy = image(path)
    ops.close(store)
    local _, said = in_process("ops.close(open { progress_ms = 1 })", copy)
    assert.matches("recovery: %S+: %d+ commits, 0 MB of the log read, in segment %d+ of %d+\n",
      said)
    assert.matches("recovery: %S+: done: 500 commits from the log\n", said)
  end)

  it("keeps to the memory that it was given", function()
    local out = in_process([[
      local store = open { overlay_bytes = 4e6, segment_bytes = 1e6, part_bytes = 1.6e6 }
      local map, most = C.stator__map_new(), 0
      for i = 1, 1500 do
        for j = 1, 40 do
          C.stator__map_write(map, lib.slice(("%08d"):format((i * 40 + j) * 7919 % 99999989)),
            lib.slice(("v"):rep(1000)), 1)
        end
        assert(ops.commit(store, map, err) == 0)
        C.stator__map_clear(map)
        if i % 20 == 0 then
          local used = io.open "/proc/self/status":read "*a":match "RssAnon:%s+(%d+)"
          most = math.max(most, tonumber(used))
        end
      end
      ops.close(store)
      print(most)]], stator.folder() .. "/p")
    -- Two overlays and a half, Lua, and what it is to be a process; of 60 MB written.
    assert.is_true(tonumber(out) < (stator.sanitized and 1e6 or 24000), out)
  end)

  it("takes up its end once more behind a crash, and goes on", function()
    local path = stator.folder() .. "/p"
    local want = {}
    for round = 1, 12 do
      local store = open(path, { segment = 4096, overlay = 3000 })
      assert.equal(round - 1, #rows(store))
      assert.is_true(commit(store, { [("%03d"):format(round)] = "v" }))
      want[round] = ("%03d=v"):format(round)
      local copy = image(path)
      ops.close(store)
      path = copy
    end
    assert.same(want, rows(open(path)))
  end)

  it("does not grow with each start behind a crash", function()
    local path = stator.folder() .. "/p"
    for round = 1, 32 do
      local store = open(path)
      assert.is_true(commit(store, { n = tostring(round) }))
      local copy = image(path)
      ops.close(store)
      path = copy
    end
    assert.equal(32, #segments(path))
    local store, waits = open(path), 0
    while #segments(path) > 0 and waits < 500 do
      waits = waits + 1
      stator.shell "sleep 0.01"
    end
    assert.same({ 0, "n=32" }, { #segments(path), rows(store)[1] })
    ops.close(store)
  end)

  it("is read, and left as it is, by who only reads", function()
    local copy, _, _, want = three_commits()
    local before = select(2, stator.shell("cd " .. copy .. "; cat *.seg data.mdb | cksum; ls"))
    local store = open(copy, { read_only = true })
    assert.same(want[3], rows(store))
    assert.matches("opened for reading", commit(store, { a = "1" }))
    ops.close(store)
    os.remove(copy .. "/lock.mdb")
    assert.equal(before,
      select(2, stator.shell("cd " .. copy .. "; cat *.seg data.mdb | cksum; ls")))
  end)

  it("is read while it is written", function()
    local path = stator.folder() .. "/p"
    local writer = open(path, { segment = 4096, overlay = 5000 })
    stator.write(path .. ".lua", READER)
    os.execute(("( STATOR_BUILD=%s luajit %s.lua %s > %s.out 2>&1; echo done >> %s.out ) &"):format(
      os.getenv "STATOR_BUILD" or "build", path, path, path, path))
    local n, out = 0, ""
    while not out:find "done" and n < 1000000 do
      n = n + 1
      local text = tostring(n)
      assert.is_true(commit(writer, { n1 = text, n2 = text, ["k" .. n % 99] = "v" }))
      if n % 100 == 0 then out = stator.read(path .. ".out") end
    end
    assert.equal("done\n", out)
    ops.close(writer)
  end)

  it("goes into the tree before the tree is used alone", function()
    local copy, _, _, want = three_commits()
    assert.is_true(C.stator__store_has_log(copy))
    assert.equal(0, C.stator__store_settle(copy, ffi.new "stator_error"))
    assert.is_false(C.stator__store_has_log(copy))
    local lmdb = C.stator__store_lmdb
    local tree = open(copy, { ops = lmdb })
    assert.same(want[3], rows(tree, lmdb))
    assert.is_true(commit(tree, { z = "alone" }, lmdb))
    lmdb.close(tree)
    local store = open(copy)
    assert.equal("z=alone", rows(store)[4])
    assert.is_true(commit(store, { z = "again" }))
    copy = image(copy)
    assert.equal("z=again", rows(open(copy))[4])
    ops.close(store)
  end)

  it("reaches the tree on the way when it is larger than the memory for it", function()
    local path = stator.folder() .. "/p"
    local store = open(path, { segment = 1e6 })
    for i = 1, 400 do assert.is_true(commit(store, { ["k" .. i % 50] = ("v"):rep(1000) .. i })) end
    local copy = image(path)
    local want = rows(store)
    ops.close(store)
    store = open(copy, { overlay = 40000 })
    assert.same(want, rows(store))
    ops.close(store)
  end)
end)

describe("a partition's store #crash seed " .. SEED, function()
  after_each(stator.clean)

  it("loses nothing that was acknowledged when the power goes", function()
    local commits = stator.sanitized and 30 or 90
    assert.matches("disks of", try("power", ("FOLDER %d %d 3000 4096"):format(SEED, commits)))
    assert.matches("disks of", try("power", ("FOLDER %d %d 30000 8192"):format(SEED, commits)))
  end)

  it("takes nothing half, and goes on, when the disk is full for a while", function()
    assert.matches("^%d+ places", try("faults", "full FOLDER"))
  end)

  it("takes nothing more when a sync has failed", function()
    assert.matches("^%d+ places", try("faults", "fail FOLDER"))
  end)

  it("is whole when its process dies, wherever it is, a checkpoint included", function()
    assert.matches("^%d+ places", try("faults", "die FOLDER"))
  end)

  it("says that the tree is full when it is, and goes on when it is not", function()
    assert.matches("^full at commit %d+", try("faults", "tree FOLDER"))
  end)

  it("shows snapshots on many threads what was, while commits and checkpoints go on", function()
    for overlay = 1, 3 do
      assert.matches("^%d+ snapshots, 0 failures", try("snapshots",
        ("FOLDER %d %d %d"):format(SEED + overlay, stator.sanitized and 300 or 1500,
          overlay ^ 3 * 60000)))
    end
  end)

  it("does not find what is not there, while something else takes its place", function()
    assert.equal("0 found", try("newcomers", stator.sanitized and "1000" or "20000"))
  end)

  if not stator.sanitized then
    it("has threads that do not step on each other's feet, says TSan", function()
      local sources = {}
      for name in ("allocator clock cron error files json log memory text crc"):gmatch "%w+" do
        sources[#sources + 1] = "src/base/" .. name .. ".c"
      end
      assert.matches("0 failures", try("snapshots", ("FOLDER %d 500 200000"):format(SEED),
        "-fsanitize=thread", ("src/store/*.c %s -llmdb -lyajl -lpthread"):format(
        table.concat(sources, " "))))
    end)
  end
end)
