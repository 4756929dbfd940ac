local stator = require "support.stator"

local SCHEMA = [[
  TYPE P (Cache varchar, Key varchar(1000), User int64, Text text(60000), N int32, Wsid int64);
  TYPE Found (Cache varchar, Key varchar(1000), ID int64, At int64, Int int64, Float float64,
    Bool bool, Text text(60000), Data bytes(100), Wsid int64);
  EXTENSION ENGINE LUA (
    COMMAND Lock(P) INTENTS(sys.Ephemeral, sys.Response);
    COMMAND Put(P) INTENTS(sys.Ephemeral, sys.Response);
    COMMAND Fill(P) INTENTS(sys.Ephemeral);
    COMMAND Look(P) INTENTS(sys.Ephemeral, sys.Result) RETURNS Found;
    COMMAND All(P) STATE(sys.Ephemeral) INTENTS(sys.Ephemeral, sys.Result) RETURNS Found;
    COMMAND Tell(P);
    PROJECTOR Told AFTER EXECUTE ON Tell INTENTS(sys.Ephemeral);
    QUERY Get(P) STATE(sys.Ephemeral) RETURNS Found;
    QUERY Several(P) STATE(sys.Ephemeral) RETURNS Found;
    QUERY List(P) STATE(sys.Ephemeral) RETURNS Found;
    QUERY Back(P) STATE(sys.Ephemeral) RETURNS Found;
  );]]

local MODULE = [[
  local Mem = state.storage "sys.Ephemeral"
  local function key_of(args)
    return Mem { Cache = args.Cache, Key = args.Key, WSID = args.Wsid }
  end
  function M.Lock(args)
    local key = Mem { Cache = "Locks", Key = args.Key }
    local lock = state.get(key)
    if lock and lock.ID ~= args.User then
      state.response(409, "locked by " .. lock.ID)
    elseif not lock then
      state.new(key, { ID = args.User, At = 1700000000000 })
    end
  end
  function M.Put(args)
    local key = key_of(args)
    state.new(key, { Text = args.Text })
    if args.Text == "refuse" then state.response(409, "no") end
  end
  function M.Fill(args)
    for i = 1, args.N do
      state.new(Mem { Cache = "Fill", Key = ("%05d"):format(i + args.User) }, { Int = i })
    end
  end
  function M.All(args)
    local key = key_of(args)
    local row = state.get(key)
    if row then
      state.update(key, row, { Int = row.Int + 1 })
      state.result { ID = row.ID, At = row.At, Int = row.Int, Float = row.Float,
        Bool = row.Bool, Text = row.Text, Data = row.Data }
    else
      state.new(key, { ID = 9007199254740993LL, At = -1, Int = 5, Float = 0.5, Bool = true,
        Text = "é", Data = "\0\255" })
    end
  end
  function M.Tell() end
  function M.Told(event) state.new(Mem { Cache = "Told", Key = "a" }, { Int = event.Offset }) end
  local function show(key, row)
    state.result { Cache = key.Cache, Key = key.Key, Text = row.Text, Int = row.Int, ID = row.ID,
      Wsid = key.WSID }
  end
  function M.Get(args)
    local key = key_of(args)
    local row = state.get(key)
    if row then show(key, row) end
  end
  M.Look = M.Get
  function M.Several(args)
    local keys = {}
    for name in args.Key:gmatch "%w+" do
      keys[#keys + 1] = Mem { Cache = args.Cache, Key = name }
    end
    local rows = state.get_all(keys)
    for i, key in ipairs(keys) do
      state.result { Key = key.Key, Text = rows[i] and rows[i].Text or "none" }
    end
  end
  function M.List(args)
    for key, row in state.read(key_of(args), { limit = args.N }) do show(key, row) end
  end
  function M.Back(args)
    for key, row in state.read(key_of(args), { reverse = true, limit = args.N }) do
      show(key, row)
    end
  end]]

local QUERIES = { Get = true, Several = true, List = true, Back = true }

local function ask(name, args, wsid)
  return { id = 1, wsid = wsid or 1, [QUERIES[name] and "query" or "command"] = "shop." .. name,
    args = args }
end

local function put(cache, key, text, wsid)
  return ask("Put", { Cache = cache, Key = key, Text = text }, wsid)
end

local function image(config)
  return stator.shop(SCHEMA, MODULE, { ["descriptor.json"] = config and stator.json.encode {
    storages = { ["sys.Ephemeral"] = { config = config } } } or nil })
end

local function keys(reply)
  local list = {}
  for i, row in ipairs(reply.rows) do list[i] = row.Key end
  return table.concat(list, " ")
end

describe("sys.Ephemeral", function()
  after_each(stator.clean)

  it("keeps two waiters from one table", function()
    local function lock(user) return ask("Lock", { Key = "device 7/12", User = user }) end
    local replies = stator.try(image(), { lock(1), lock(2), lock(1),
      ask("Get", { Cache = "Locks", Key = "device 7/12" }) })
    assert.same({ 200, 409, 200 },
      { replies[1].status, replies[2].status, replies[3].status })
    assert.equal("locked by 1", replies[2].error.message)
    assert.equal(1, replies[4].rows[1].ID)
  end)

  it("keeps values of every kind, and updates the fields that are given", function()
    local args = { Cache = "a", Key = "b" }
    local _, raw = stator.try(image(), { ask("All", args), ask("All", args), ask("All", args) })
    assert.matches('"result":{"ID":9007199254740993,"At":%-1,"Int":5,"Float":0.5,"Bool":true,'
      .. '"Text":"é","Data":"AP8="}', raw[2])
    assert.matches('"result":{"ID":9007199254740993,"At":%-1,"Int":6,', raw[3])
  end)

  it("keeps nothing of a run that fails", function()
    local replies = stator.try(image(), { put("a", "b", "refuse"),
      ask("Get", { Cache = "a", Key = "b" }) })
    assert.same({ 409, {} }, { replies[1].status, replies[2].rows })
  end)

  it("has nothing in another workspace or cache", function()
    local replies = stator.try(image(), { put("a", "b", "x"),
      ask("Get", { Cache = "b", Key = "b" }), ask("Get", { Cache = "a", Key = "b" }, 2),
      ask("Get", { Cache = "a", Key = "b", Wsid = 1 }, 2) })
    assert.same({ {}, {} }, { replies[2].rows, replies[3].rows })
    assert.equal("x", replies[4].rows[1].Text)
  end)

  it("gives several at once", function()
    local replies = stator.try(image(), { put("a", "x", "1"), put("a", "y", "2"),
      ask("Several", { Cache = "a", Key = "y none x y" }) })
    local found = {}
    for i, row in ipairs(replies[3].rows) do found[i] = row.Text end
    assert.same({ "2", "none", "1", "2" }, found)
  end)

  it("is read in order, by what the key begins with", function()
    local replies = stator.try(image(), { put("b", "x", ""), put("a", "7/2", ""),
      put("a", "7/1", ""), put("a", "7", ""), put("a", "8", ""), put("aa", "7", ""),
      put("a", "7/3", "", 2),
      ask("List", { Cache = "a", Key = "7/" }), ask("List", { Cache = "a" }),
      ask("List", { N = 1000 }),
      ask("List", { Cache = "a", N = 2 }), ask("Back", { Cache = "a", N = 2 }),
      ask("Back", { Cache = "a" }), ask("List", { Key = "7" }) })
    assert.equal("7/1 7/2", keys(replies[8]))
    assert.equal("7 7/1 7/2 8", keys(replies[9]))
    assert.equal("7 7/1 7/2 8 7 x", keys(replies[10]))
    assert.equal("7 7/1", keys(replies[11]))
    assert.equal("8 7/2", keys(replies[12]))
    assert.equal("8 7/2 7/1 7", keys(replies[13]))
    assert.matches("the key has no Cache$", replies[14].error.message)
  end)

  it("is of one partition, and says so", function()
    local replies = stator.try(image(), {
      ask("Put", { Cache = "a", Key = "b", Wsid = 2 }, 1),
      ask("Get", { Cache = "a", Key = "b", Wsid = 2 }, 1),
      ask("Put", { Cache = "a", Key = "b", Wsid = 3, Text = "x" }, 1),
      ask("Get", { Cache = "a", Key = "b" }, 3) }, "--partitions 2")
    for i = 1, 2 do
      assert.equal("NOT_SUPPORTED", replies[i].error.code)
      assert.matches("workspace 2 is of partition 0, this run of partition 1: only workspaces of "
        .. "the same partition can be read and written$", replies[i].error.message)
    end
    assert.equal("x", replies[4].rows[1].Text)
  end)

  it("refuses what does not fit into an entry, and keys that are none", function()
    local replies = stator.try(image(), { put("a", "b", ("x"):rep(500)), put("a", nil, "x"),
      put(nil, "a", "x"), put("a\0b", "c", "x"), put("", "c", "x"), put("a", "b", ("x"):rep(300)),
      put("a", ("k"):rep(256), "x"), put("a", "", "empty"),
      ask("Get", { Cache = "a", Key = "" }) })
    local found = {}
    for i = 1, 8 do found[i] = replies[i].error and replies[i].error.message:match "[^:]*$" end
    assert.matches("key and value need %d+ bytes, an entry has 512 %(entryBytes%)$", found[1])
    assert.matches("the key has no Key$", found[2])
    assert.matches("the key has no Cache$", found[3])
    assert.matches("expected 1 to 64 bytes without a zero byte$", found[4])
    assert.matches("expected 1 to 64 bytes without a zero byte$", found[5])
    assert.is_nil(found[6])
    assert.matches("expected at most 255 bytes, found 256$", found[7])
    assert.equal("empty", replies[9].rows[1].Text)
  end)

  it("has entries of the size that is configured", function()
    local replies = stator.try(image { entryBytes = 4096 }, { put("a", "b", ("x"):rep(3900)),
      put("a", "b", ("x"):rep(4090)), ask("Get", { Cache = "a", Key = "b" }) })
    assert.same({ 200, 500 }, { replies[1].status, replies[2].status })
    assert.equal(3900, #replies[3].rows[1].Text)
  end)

  it("has as many entries as fit, and what is used stays", function()
    local config = { partitionBytes = 65536, entryBytes = 512 }
    local requests = { put("a", "used", "x"), put("a", "old", "x") }
    -- 127 entries; each time 60 others come in.
    for i = 1, 20 do
      requests[#requests + 1] = ask("Fill", { N = 60, User = i * 60 })
      -- A query would look some time later.
      requests[#requests + 1] = ask("Look", { Cache = "a", Key = "used" })
    end
    requests[#requests + 1] = ask("Get", { Cache = "a", Key = "old" })
    requests[#requests + 1] = ask("List", { N = 1000 })
    local replies = stator.try(image(config), requests)
    assert.equal("x", replies[#replies - 2].result.Text)
    assert.same({}, replies[#replies - 1].rows)
    local all = replies[#replies].rows
    assert.equal(127, #all)
    assert.same({ "Fill", "01135" }, { all[1].Cache, all[1].Key })
    assert.same({ "Fill", "01260" }, { all[126].Cache, all[126].Key })
    assert.same({ "a", "used" }, { all[127].Cache, all[127].Key })
  end)

  it("takes no more memory than it is given, however much is written", function()
    local app = image { partitionBytes = 1000000 }
    local function resident(times)
      local requests = {}
      for i = 1, times do requests[i] = ask("Fill", { N = 900, User = i * 900 }) end
      local file = stator.folder() .. "/requests"
      for i, request in ipairs(requests) do requests[i] = stator.json.encode(request) end
      stator.write(file, table.concat(requests, "\n") .. "\n")
      local _, out = stator.shell(([[
        ( cat %s; sleep 2 ) | ( exec %s run %s --data %s > /dev/null ) & sleep 1.5
        for p in /proc/[0-9]*; do
          if grep -qs -a -- "--data.%s" $p/cmdline && grep -qs ^Name:.stator $p/status; then
            grep VmRSS $p/status
          fi
        done; wait]]):format(file, stator.command, app, file .. ".data", file .. ".data"))
      return tonumber(out:match "VmRSS:%s*(%d+)")
    end
    if stator.sanitized then return end
    local few, many = resident(3), resident(60)
    assert.is_true(many < few + 3000, ("%d KB, then %d KB"):format(few, many))
  end)

  it("is written by projectors, and seen by queries", function()
    local app = image()
    local code, out = stator.shell(([[( echo '%s'; sleep 0.5; echo '%s' ) | %s run %s --data %s]])
      :format(stator.json.encode(ask("Tell", { Key = "x" })),
        stator.json.encode(ask("Get", { Cache = "Told", Key = "a" })), stator.command, app,
        stator.folder()))
    assert.equal(0, code)
    assert.matches('"rows":%[{"Cache":"Told","Key":"a","Int":1}', out)
  end)

  it("is served to queries while commands write", function()
    local requests = {}
    for i = 1, 600 do
      requests[#requests + 1] = ask("Fill", { N = 3, User = i % 10 })
      requests[#requests + 1] = ask("Get", { Cache = "Fill", Key = "00005" })
      requests[#requests + 1] = ask("List", { Cache = "Fill" })
    end
    local replies = stator.try(image(), requests)
    for _, reply in ipairs(replies) do assert.equal(200, reply.status) end
    assert.equal(12, #replies[#replies].rows)
  end)

  -- Gives the rows of List, before and after something else has happened.
  local function over(app, change)
    local list = stator.json.encode(ask("List", { N = 1000 }))
    local lines = {}
    for i = 1, 5 do lines[i] = stator.json.encode(put("a", tostring(i), "x")) end
    local file = stator.folder() .. "/first"
    stator.write(file, table.concat(lines, "\n") .. "\n" .. list .. "\n")
    local code, out, err = stator.shell(([[( cat %s; sleep 0.5; %s; sleep 1.5; echo '%s' ) |
      %s run %s --data %s --watch]]):format(file, change, list, stator.command, app,
      stator.folder()))
    assert.equal(0, code, err)
    local replies = {}
    for line in out:gmatch "[^\n]+" do replies[#replies + 1] = stator.json.decode(line) end
    return keys(replies[6]), keys(replies[7]), err
  end

  it("goes over to a new version of the application", function()
    local app = image()
    local before, after = over(app, "echo >> " .. app .. "/pkg/shop/shop.lua")
    assert.same({ "1 2 3 4 5", "1 2 3 4 5" }, { before, after })
  end)

  it("goes over to one that has another configuration, as far as it fits", function()
    local app = image()
    local config = stator.json.encode { storages = { ["sys.Ephemeral"] = { config = {
      entryBytes = 32768, partitionBytes = 131072 } } } }
    local before, after = over(app, ("echo '%s' > %s/descriptor.json"):format(config, app))
    assert.same({ "1 2 3 4 5", "3 4 5" }, { before, after })
  end)

  it("is gone when the host stops", function()
    local app, data = image(), stator.folder()
    stator.run(app, data, { put("a", "b", "x") })
    local replies = stator.run(app, data, { ask("Get", { Cache = "a", Key = "b" }) })
    assert.same({}, replies[1].rows)
  end)

  it("refuses a configuration that cannot be", function()
    for name, expected in pairs {
      partitionBytes = "Ephemeral: config.partitionBytes: expected 65536 to 4000000000, found 5$",
      entryBytes = "Ephemeral: config.entryBytes: expected 128 to 65536, found 5$",
    } do
      local lines = stator.check(image { [name] = 5 })
      assert.matches(expected, lines[1])
    end
  end)
end)
