-- Projectors: what triggers them, what they see, and what becomes of those that fail.

local stator = require "support.stator"

local function command(name, args, wsid, cuds)
  return { id = 1, wsid = wsid or 1, command = name, args = args, cuds = cuds }
end

local function cud(wsid, ...) return command("sys.CUD", nil, wsid, { ... }) end

local function record(name, raw_id, fields)
  local all = { ["sys.ID"] = raw_id, ["sys.QName"] = "shop." .. name }
  for key, value in pairs(fields or {}) do all[key] = value end
  return all
end

-- The rows of a view as { [wsid] = { [Name] = N } }.
local function counts(image, data, view)
  local found = {}
  for _, row in ipairs((stator.dump(image, data, "view " .. view))) do
    found[row.wsid] = found[row.wsid] or {}
    found[row.wsid][row.key.Name] = row.value.N
  end
  return found
end

-- Counts its runs in view Log under its own name.
local COUNTER = [[
local Log = state.view "shop.Log"
local function count(name)
  local key = Log { K = 1, Name = name }
  local seen = state.get(key)
  if seen then state.update(key, seen).N = seen.N + 1 else state.new(key).N = 1 end
end
local function counter(name) return function() count(name) end end
]]

local LOG = [[
VIEW Log ( K int32 NOT NULL, Name varchar(50) NOT NULL, N int64, Text varchar(500),
  PRIMARY KEY ((K), Name) ) AS RESULT OF %s;
]]

for _, sync in ipairs { "SYNC ", "" } do
describe(sync == "" and "a trigger of an async projector" or "a trigger", function()
  local TRIGGERS = {
    { "Execute", "EXECUTE ON Do" },
    { "ExecuteTwo", "EXECUTE ON (Do, Other)" },
    { "ExecuteCUD", "EXECUTE ON sys.CUD" },
    { "Param", "EXECUTE WITH PARAM ON Params" },
    { "ParamDoc", "EXECUTE WITH PARAM ON Order" },
    { "ParamBase", "EXECUTE WITH PARAM ON sys.ODoc" },
    { "Insert", "INSERT ON Article" },
    { "Update", "UPDATE ON Article" },
    { "Activate", "ACTIVATE ON Article" },
    { "Deactivate", "DEACTIVATE ON Article" },
    { "Either", "INSERT OR UPDATE ON (Article, Person)" },
    { "Both", "EXECUTE ON Do OR AFTER INSERT ON Article" },
    { "Nested", "INSERT ON BillLine" },
    { "CDoc", "INSERT ON sys.CDoc" },
    { "CSingleton", "INSERT ON sys.CSingleton" },
    { "WDoc", "INSERT ON sys.WDoc" },
    { "BaseUpdate", "UPDATE ON sys.CDoc" },
  }

  local SCHEMA = [[
    TABLE Article INHERITS sys.CDoc ( Price int32 );
    TABLE Person INHERITS sys.CDoc ( Age int32, Jobs TABLE Job ( Title varchar ) );
    TABLE Bill INHERITS sys.WDoc ( Number int32, Lines TABLE BillLine ( Quantity int32 ) );
    TABLE Setting INHERITS sys.CSingleton ( Theme varchar );
    TABLE Order INHERITS sys.ODoc ( Number int32 );
    TYPE Params ( Number int32 );
    TYPE Others ( Number int32 );
    EXTENSION ENGINE LUA (
      COMMAND Do(Params) INTENTS(sys.Record(Article));
      COMMAND Other(Others);
      COMMAND Third(Params);
      COMMAND Buy(Order);
      %s
    );]]

  local function nested(name, raw_id, container)
    return record(name, raw_id, { ["sys.ParentID"] = 1, ["sys.Container"] = container })
  end

  -- What happens in workspace N, and who is triggered by it. With `true`, there is an article in
  -- it before.
  local HAPPENS = {
    { "a command", { command("shop.Do", { Number = 1 }) }, "Execute ExecuteTwo Param Both" },
    { "another command", { command("shop.Other", { Number = 1 }) }, "ExecuteTwo" },
    { "a command with the same argument", { command("shop.Third", { Number = 1 }) }, "Param" },
    { "a command with an ODoc", { command("shop.Buy", { Number = 1 }) }, "ParamDoc ParamBase" },
    { "sys.CUD without records", { command "sys.CUD" }, "ExecuteCUD" },
    { "a new record", { cud(1, record("Article", 1)) },
      "ExecuteCUD Insert Either Both CDoc" },
    { "a new record of another table", { cud(1, record("Person", 1)) },
      "ExecuteCUD Either CDoc" },
    { "a new record by an extension", { command("shop.Do", { Number = 2 }) },
      "Execute ExecuteTwo Param Insert Either Both CDoc" },
    { "three new records in one event, once,",
      { cud(1, record("Article", 1), record("Article", 2), record("Person", 3)) },
      "ExecuteCUD Insert Either Both CDoc" },
    { "a new record beside a command",
      { command("shop.Other", { Number = 1 }, 1, { record("Article", 1) }) },
      "ExecuteTwo Insert Either Both CDoc" },
    { "a new nested record of a WDoc",
      { cud(1, record("Bill", 1), nested("BillLine", 2, "Lines")) },
      "ExecuteCUD Nested WDoc" },
    { "a new singleton", { cud(1, record("Setting", 1)) }, "ExecuteCUD CDoc CSingleton" },
    { "a new WDoc", { cud(1, record("Bill", 1)) }, "ExecuteCUD WDoc" },
    { "an update", { cud(1, { ["sys.ID"] = 200001, Price = 5 }) },
      "ExecuteCUD Update Either BaseUpdate", true },
    { "switching off", { cud(1, { ["sys.ID"] = 200001, ["sys.IsActive"] = false }) },
      "ExecuteCUD Update Either BaseUpdate Deactivate", true },
  }

  -- Who is triggered by that article.
  local BEFORE = "ExecuteCUD Insert Either Both CDoc"

  local found, replies

  local function all_requests()
    local requests = {}
    for wsid, case in ipairs(HAPPENS) do
      if case[4] then requests[#requests + 1] = cud(wsid, record("Article", 1)) end
      for _, request in ipairs(case[2]) do
        request.wsid = wsid
        requests[#requests + 1] = request
      end
    end
    return requests
  end

  setup(function()
    local declared, module = {}, { COUNTER }
    for i, trigger in ipairs(TRIGGERS) do
      declared[i] = (sync .. "PROJECTOR %s AFTER %s INTENTS(sys.View(Log));"):format(
        unpack(trigger))
      module[i + 1] = ("M.%s = counter %q"):format(trigger[1], trigger[1])
    end
    module[#module + 1] = [[
      local Article = state.record "shop.Article"
      function M.Do(args) if args.Number == 2 then state.new(Article {}) end end
      function M.Other() end
      function M.Third() end
      function M.Buy() end]]
    local image = stator.shop(LOG:format "Execute" .. SCHEMA:format(table.concat(declared, "\n")),
      table.concat(module, "\n"))
    local data = stator.folder()
    replies = stator.run(image, data, all_requests())
    found = counts(image, data, "shop.Log")
  end)
  after_each(stator.clean)

  it("stands for commands that are all accepted", function()
    for _, reply in ipairs(replies) do assert.equal(200, reply.status) end
  end)

  for wsid, case in ipairs(HAPPENS) do
    it("is met by " .. case[1] .. " for these projectors and no others: " .. case[3], function()
      local expected = {}
      for name in (case[3] .. " " .. (case[4] and BEFORE or "")):gmatch "%S+" do
        expected[name] = (expected[name] or 0) + 1
      end
      assert.same(expected, found[wsid])
    end)
  end

  -- How often a projector runs for one request.
  local function runs_of(trigger, request)
    local image = stator.shop(LOG:format "P" .. [[
      TABLE Article INHERITS sys.CDoc ( Price int32, Sizes TABLE Size ( Litres int32 ) );
      TABLE Bill INHERITS sys.WDoc ( Number int32 );
      EXTENSION ENGINE LUA ( ]] .. sync .. [[PROJECTOR P AFTER ]] .. trigger .. [[
        INTENTS(sys.View(Log)); );]], COUNTER .. 'M.P = counter "P"')
    local data = stator.folder()
    stator.run(image, data, { request })
    return (counts(image, data, "shop.Log")[1] or {}).P or 0
  end

  it("AFTER INSERT ON sys.CRecord is met by a nested record of a CDoc", function()
    assert.equal(1, runs_of("INSERT ON sys.CRecord",
      cud(1, record("Article", 1), nested("Size", 2, "Sizes"))))
  end)

  it("AFTER INSERT ON sys.CRecord is met by a CDoc, which inherits it", function()
    assert.equal(1, runs_of("INSERT ON sys.CRecord", cud(1, record("Article", 1))))
  end)

  it("AFTER INSERT ON sys.WRecord is met by a WDoc, which inherits it", function()
    assert.equal(1, runs_of("INSERT ON sys.WRecord", cud(1, record("Bill", 1))))
  end)

  it("AFTER INSERT ON sys.CRecord is not met by a WDoc", function()
    assert.equal(0, runs_of("INSERT ON sys.CRecord", cud(1, record("Bill", 1))))
  end)

  it("AFTER ACTIVATE is met by switching on", function()
    local image = stator.shop(LOG:format "P" .. [[
      TABLE Article INHERITS sys.CDoc ( Price int32 );
      EXTENSION ENGINE LUA (
        ]] .. sync .. [[PROJECTOR P AFTER ACTIVATE ON Article INTENTS(sys.View(Log)); );]],
      COUNTER .. 'M.P = counter "P"')
    local data = stator.folder()
    stator.run(image, data, { cud(1, record("Article", 1)),
      cud(1, { ["sys.ID"] = 200001, ["sys.IsActive"] = false }) })
    assert.same({}, counts(image, data, "shop.Log"))
    stator.run(image, data, { cud(1, { ["sys.ID"] = 200001, ["sys.IsActive"] = true }) })
    assert.same({ { P = 1 } }, counts(image, data, "shop.Log"))
  end)
end)
end

describe("a sync projector", function()
  local SCHEMA = LOG:format "See" .. [[
    TABLE Article INHERITS sys.CDoc ( Name varchar(20), Price int32 );
    TABLE Order INHERITS sys.ODoc ( Number int32, Items TABLE Item ( Quantity int32 ) );
    TYPE Params ( What varchar(20), Number int64 );
    EXTENSION ENGINE LUA (
      COMMAND Do(Params) INTENTS(sys.Record(Article), sys.Result) RETURNS Params;
      COMMAND Buy(Order);
      SYNC PROJECTOR Count AFTER EXECUTE ON (Do, Buy, sys.CUD) INTENTS(sys.View(Log));
      SYNC PROJECTOR See AFTER EXECUTE ON (Do, Buy, sys.CUD) STATE(sys.Record(Article))
        INTENTS(sys.View(Log));
    );]]

  local MODULE = COUNTER .. [[
    local Article = state.record "shop.Article"
    M.Count = counter "Count"
    function M.Do(args)
      if args.What == "create" then state.new(Article {}, { Name = "Made" }) end
      state.result { Number = 5 }
    end
    function M.Buy() end
    local see = {}
    local function say(text) state.new(Log { K = 2, Name = "said" }).Text = text end

    function see.event(event)
      say(("%s %s %s %s"):format(event.QName, event.Workspace, event.WLogOffset,
        event.ArgumentObject.What))
    end
    function see.other(event)
      state.new(Log { K = 2, Name = "said", WSID = event.ArgumentObject.Number }).Text = "over"
    end
    function see.fail() say "never" error "not today" end
    function see.long() state.new(Log { K = 2, Name = "said" }).Text = ("x"):rep(501) end
    function see.record() state.new(Article {}, { Name = "x" }) end
    function see.wrong() state.new(Log { K = 2, Nam = "said" }) end
    function see.missing() state.must_get(Log { K = 9, Name = "none" }) end
    function see.many() for i = 1, 1001 do state.new(Log { K = i, Name = "n" }) end end
    function see.twice()
      state.new(Log { K = 2, Name = "said" }).Text = "first"
      assert(state.get(Log { K = 2, Name = "said" }) == nil)
      assert(state.find_intent(Log { K = 2, Name = "said" }).Text == "first")
      say "second"
    end

    function M.See(event)
      local args = event.ArgumentObject
      if event.QName == "shop.Do" and see[args.What] then return see[args.What](event) end
      local parts = {}
      if event.QName == "shop.Buy" then
        for i, item in args.Items:each() do parts[i] = tostring(item.Quantity) end
      end
      for _, row in event.CUDs:each() do
        local now = state.must_get(Article { ID = row["sys.ID"] })
        parts[#parts + 1] = ("%s %s new=%s name=%s/%s price=%s/%s"):format(row["sys.QName"],
          tostring(row["sys.ID"]), tostring(row.IsNew), tostring(row.Name), tostring(now.Name),
          tostring(row.Price), tostring(now.Price))
      end
      if #parts > 0 then say(table.concat(parts, ", ")) end
    end]]

  local image, data

  before_each(function()
    image, data = stator.shop(SCHEMA, MODULE), stator.folder()
  end)
  after_each(stator.clean)

  local function run(...) return stator.run(image, data, { ... }) end
  local function act(what, number) return command("shop.Do", { What = what, Number = number }) end

  local function said(wsid)
    for _, row in ipairs((stator.dump(image, data, "view shop.Log --wsid " .. (wsid or 1)))) do
      if row.key.Name == "said" then return row.value.Text end
    end
  end

  it("sees name, workspace, offset and argument of its event", function()
    run(act "nothing", act "event")
    assert.equal("shop.Do 1 2 event", said())
  end)

  it("sees the records that its event makes", function()
    run(act "create")
    assert.equal("shop.Article 200001 new=true name=Made/Made price=nil/nil", said())
  end)

  it("sees the records that its event changes as they are now", function()
    run(cud(1, record("Article", 1, { Name = "Tea", Price = 1 })),
      cud(1, { ["sys.ID"] = 200001, Price = 2 }))
    assert.is_truthy(said():match "^shop%.Article 200001 new=.+ name=.+/Tea price=2/2$", said())
  end)

  it("sees by IsNew that a record is not new", function()
    run(cud(1, record("Article", 1)), cud(1, { ["sys.ID"] = 200001, Price = 2 }))
    assert.is_truthy(said():match "new=false", said())
  end)

  it("sees the nested rows of the argument", function()
    run(command("shop.Buy", { Items = { { Quantity = 3 }, { Quantity = 4 } } }))
    assert.equal("3, 4", said())
  end)

  it("sees what it wrote for the event before, in the same run", function()
    run(act "a", act "b", act "c")
    assert.same({ { Count = 3 } }, counts(image, data, "shop.Log"))
  end)

  it("sees what it wrote in the run before", function()
    run(act "a")
    run(act "b")
    assert.same({ { Count = 2 } }, counts(image, data, "shop.Log"))
  end)

  it("does not read its own intents, finds them, and the last one wins", function()
    assert.equal(200, run(act "twice")[1].status)
    assert.equal("second", said())
  end)

  it("writes to another workspace of its partition", function()
    run(act("other", 7))
    assert.equal("over", said(7))
  end)

  it("is refused a write to a workspace of another partition", function()
    local reply = stator.run(image, data, { act("other", 2) }, "--partitions 2")[1]
    assert.equal(500, reply.status)
    assert.is_truthy(reply.error.message:match "shop%.See.*partition", reply.error.message)
    assert.is_nil(said(2))
  end)

  local FAULTS = {
    { "raises an error", "fail", "EXTENSION_FAILED", "not today$" },
    { "writes a wrong value", "long", "EXTENSION_FAILED",
      "Text: expected at most 500 bytes, found 501$" },
    { "uses a wrong field", "wrong", "EXTENSION_FAILED", "no field Nam; did you mean Name%?$" },
    { "misses a row", "missing", "NOT_EXISTS", [[shop%.Log {K=9, Name="none"}: not exists$]] },
    { "makes a record", "record", "NOT_DECLARED", "INSERT is not for projectors" },
    { "has too many intents", "many", "INTENTS_LIMIT", "limit of 1000 intents exceeded$" },
  }
  for _, fault in ipairs(FAULTS) do
    local sentence, what, code, pattern = unpack(fault)

    it("that " .. sentence .. " fails its command with its own name, file and line", function()
      local reply = run(act(what))[1]
      assert.same({ 500, code }, { reply.status, reply.error.code })
      assert.is_truthy(reply.error.message:match("^shop%.See: .*shop%.lua:%d+: "),
        reply.error.message)
      assert.is_truthy(reply.error.message:match(pattern), reply.error.message)
      assert.is_nil(reply.result)
      assert.is_nil(reply.offset)
    end)

    it("that " .. sentence .. " leaves nothing of its event", function()
      local request = act(what)
      request.cuds = { record("Article", 1, { Name = "Lost" }) }
      run(request)
      assert.same({}, (stator.dump(image, data, "record shop.Article")))
      assert.same({}, (stator.dump(image, data, "view shop.Log")))
      assert.same({}, (stator.dump(image, data, "plog")))
    end)
  end

  it("that fails keeps no numbers", function()
    local request = act "fail"
    request.cuds = { record("Article", 1, { Name = "Lost" }) }
    local replies = run(request, cud(1, record("Article", 1)))
    assert.same({ 1, 200001 }, { replies[2].offset, replies[2].new_ids["1"] })
  end)

  it("that fails does not harm the events before and behind it", function()
    local replies = run(act "a", act "fail", act "c")
    assert.same({ 200, 500, 200 }, { replies[1].status, replies[2].status, replies[3].status })
    assert.same({ { Count = 2 } }, counts(image, data, "shop.Log"))
  end)
end)

describe("an async projector", function()
  local SCHEMA = LOG:format "Count" .. [[
    TABLE Article INHERITS sys.CDoc ( Name varchar(20) );
    TYPE Params ( Number int64 );
    EXTENSION ENGINE LUA (
      COMMAND Do(Params);
      PROJECTOR Count AFTER EXECUTE ON Do INTENTS(sys.View(Log));
      PROJECTOR Records AFTER INSERT ON Article STATE(sys.Record(Article)) INTENTS(sys.View(Log));
      PROJECTOR Fragile AFTER EXECUTE ON Do INTENTS(sys.View(Log));
    );]]

  -- `when` is the condition under which Fragile fails.
  local function module(when)
    return COUNTER .. ([[
      M.Count = counter "Count"
      local tries = 0
      function M.Do() end
      function M.Records(event)
        count "Records"
        for _, row in event.CUDs:each() do state.new(Log { K = 1, Name = row.Name }).N = 1 end
      end
      function M.Fragile(event)
        local number = event.ArgumentObject.Number
        count "Fragile"
        tries = tries + 1
        if %s then error "cannot" end
      end]]):format(when or "number == -1")
  end

  local data

  before_each(function() data = stator.folder() end)
  after_each(stator.clean)

  local function image_of(when) return stator.shop(SCHEMA, module(when)) end

  local function events(first, last, wsid)
    local requests = {}
    for number = first, last do
      requests[#requests + 1] = command("shop.Do", { Number = number }, wsid)
    end
    return requests
  end

  it("has caught up at the end of the run", function()
    local image = image_of()
    stator.run(image, data, events(1, 250))
    assert.same({ { Count = 250, Fragile = 250 } }, counts(image, data, "shop.Log"))
  end)

  it("has caught up in every workspace and partition", function()
    local image, requests = image_of(), {}
    for wsid = 1, 5 do
      for _, request in ipairs(events(1, wsid, wsid)) do requests[#requests + 1] = request end
    end
    stator.run(image, data, requests, "--partitions 3")
    local expected = {}
    for wsid = 1, 5 do expected[wsid] = { Count = wsid, Fragile = wsid } end
    assert.same(expected, counts(image, data, "shop.Log"))
  end)

  it("runs once for an event with several records, and sees them all", function()
    local image = image_of()
    stator.run(image, data, { cud(1, record("Article", 1, { Name = "Tea" }),
      record("Article", 2, { Name = "Rum" })) })
    assert.same({ { Records = 1, Tea = 1, Rum = 1 } }, counts(image, data, "shop.Log"))
  end)

  it("runs exactly once for each event over several runs", function()
    local image = image_of()
    for _, range in ipairs { { 1, 3 }, { 4, 4 }, { 5, 9 } } do
      stator.run(image, data, events(unpack(range)))
    end
    stator.run(image, data, {})
    assert.same({ { Count = 9, Fragile = 9 } }, counts(image, data, "shop.Log"))
  end)

  it("is not run for a command that was refused", function()
    local image = image_of()
    stator.run(image, data, { '{"id":1,"wsid":1,"command":"shop.Do","args":{"Number":"x"}}' })
    assert.same({}, counts(image, data, "shop.Log"))
  end)

  it("that fails once is tried again, and counts once", function()
    local image = image_of "tries == 1"
    local replies, _, err = stator.run(image, data, events(1, 2))
    assert.same({ 200, 200 }, { replies[1].status, replies[2].status })
    assert.is_truthy(err:match "shop%.Fragile.*shop%.lua:%d+: cannot", err)
    assert.same({ { Count = 2, Fragile = 2 } }, counts(image, data, "shop.Log"))
  end)

  it("that always fails fails no command", function()
    local replies, _, _, code = stator.run(image_of "true", data, events(1, 3))
    assert.same({ 0, 200, 200, 200 },
      { code, replies[1].status, replies[2].status, replies[3].status })
  end)

  it("that always fails is parked, and the others go on", function()
    local image = image_of "number == 2"
    stator.run(image, data, events(1, 4))
    assert.same({ { Count = 4, Fragile = 1 } }, counts(image, data, "shop.Log"))
  end)

  it("that is parked says so with its name, file, line and error", function()
    local _, _, err = stator.run(image_of "number == 2", data, events(1, 4))
    local parked = err:match "[^\n]*parked[^\n]*"
    assert.is_truthy(parked, err)
    assert.is_truthy(parked:match "shop%.Fragile.*shop%.lua:%d+: cannot", parked)
  end)

  it("that is parked goes on where it was when it is mended", function()
    stator.run(image_of "number == 2", data, events(1, 4))
    local mended = image_of()
    stator.run(mended, data, events(5, 5))
    assert.same({ { Count = 5, Fragile = 5 } }, counts(mended, data, "shop.Log"))
  end)

  it("that is parked is still parked in the next run when it is not mended", function()
    local image = image_of "number == 2"
    stator.run(image, data, events(1, 2))
    stator.run(image, data, events(3, 3))
    assert.same({ { Count = 3, Fragile = 1 } }, counts(image, data, "shop.Log"))
  end)

  it("that is parked in one partition goes on in others", function()
    local image, requests = image_of "number == 2", {}
    for wsid = 1, 2 do
      for _, request in ipairs(events(wsid, wsid, wsid)) do requests[#requests + 1] = request end
    end
    stator.run(image, data, requests, "--partitions 2")
    assert.same({ { Count = 1, Fragile = 1 }, { Count = 1 } }, counts(image, data, "shop.Log"))
  end)
end)

describe("bundles of an async projector", function()
  after_each(stator.clean)

  -- How many commits it takes to see ten events that are there, with this descriptor.
  local function commits(options, work)
    local view = "VIEW V ( K int32 NOT NULL, N int32 NOT NULL, Value int64, "
      .. "PRIMARY KEY ((K), N) ) AS RESULT OF P;"
    local lua = "local V = state.view 'V'\nfunction M.Do() end\nfunction M.P(event)\n"
      .. (work or "") .. " state.new(V { K = 1, N = event.WLogOffset }).Value = 1 end"
    local function image_of(projector)
      return stator.shop((projector and view or "") .. "EXTENSION ENGINE LUA ( COMMAND Do(); "
        .. (projector or "") .. " );", projector and lua or "function M.Do() end",
        { ["descriptor.json"] = '{"projectors":' .. options .. "}" })
    end
    local data, requests = stator.folder(), {}
    local function last_commit(image)
      for _, file in ipairs((stator.dump(image, data, "log"))) do
        if file.state == "tree" then return file.commit end
      end
    end
    for i = 1, 10 do requests[i] = command "shop.Do" end
    local before = image_of()
    stator.run(before, data, requests)
    local from = last_commit(before)
    local image = image_of "PROJECTOR P AFTER EXECUTE ON Do INTENTS(sys.View(V));"
    local _, _, err = stator.run(image, data, {})
    assert.equal(10, #stator.dump(image, data, "view shop.V"), err)
    return last_commit(image) - from
  end

  it("end with a number of runs", function()
    assert.equal(1, commits '{"bundle":10,"bundleMs":60000}')
    assert.equal(5, commits '{"bundle":2,"bundleMs":60000}')
  end)

  it("end when they have taken a time", function()
    assert.equal(10, commits('{"bundle":10,"bundleMs":1}',
      "local n = 0 for i = 1, 2e7 do n = n + i % 7 end if n < 0 then error 'x' end"))
  end)
end)

describe("a projector INCLUDING ERRORS", function()
  local SCHEMA = [[
    VIEW Log ( K int32 NOT NULL, Name varchar(50) NOT NULL, N int64, Text varchar(500),
      PRIMARY KEY ((K), Name) ) AS RESULT OF See;
    TABLE Article INHERITS sys.CDoc ( Name varchar(20), UNIQUEFIELD Name );
    TYPE Params ( Number int64 NOT NULL );
    TYPE Other ( Number int64 );
    EXTENSION ENGINE LUA (
      COMMAND Do(Params) INTENTS(sys.Response, sys.Record(Article));
      COMMAND Also(Params);
      COMMAND Else(Other);
      %sPROJECTOR See AFTER EXECUTE ON Do INTENTS(sys.View(Log))%s;
      %sPROJECTOR Param AFTER EXECUTE WITH PARAM ON Params OR AFTER INSERT ON Article
        INTENTS(sys.View(Log))%s;
    );]]

  local MODULE = COUNTER .. [[
    local Article = state.record "shop.Article"
    function M.Do(args)
      if args.Number == 1 then error "not today" end
      if args.Number == 2 then state.response(418, "a teapot") end
      if args.Number == 3 then state.new(Article {}, { Name = "Tea" }) end
    end
    function M.Also(args) if args.Number == 1 then error "no" end end
    function M.Else() error "no" end
    function M.See(event)
      count(event.Error and "error" or "event")
      if not event.Error then return end
      state.new(Log { K = 2, Name = "seen" }, { Text = ("%s %s %s %s %s %s %s"):format(
        event.QName, event.Error.QNameFromParams, tostring(event.Error.ValidEvent),
        event.Error.Code, tostring(event.WLogOffset),
        tostring(event.ArgumentObject and event.ArgumentObject.Number), event.Error.ErrStr) })
    end
    function M.Param(event) count(event.Error and "param error" or "param") end]]

  local data

  before_each(function() data = stator.folder() end)
  after_each(stator.clean)

  local function image_of(sync, clause)
    return stator.shop(SCHEMA:format(sync, clause, sync, clause), MODULE)
  end

  local function act(number, name)
    return command("shop." .. (name or "Do"), { Number = number })
  end

  local function seen(image)
    for _, row in ipairs((stator.dump(image, data, "view shop.Log"))) do
      if row.key.Name == "seen" then return row.value.Text end
    end
  end

  for _, sync in ipairs { "SYNC ", "" } do
    local is = sync == "" and "is async and " or "is SYNC and "

    it("that " .. is .. "runs for a command that fails, too", function()
      local image = image_of(sync, " INCLUDING ERRORS")
      local replies = stator.run(image, data, { act(0), act(1), act(0) })
      assert.same({ 200, 500, 200 },
        { replies[1].status, replies[2].status, replies[3].status })
      assert.same({ event = 2, error = 1, param = 2, ["param error"] = 1 },
        { event = counts(image, data, "shop.Log")[1].event,
          error = counts(image, data, "shop.Log")[1].error,
          param = counts(image, data, "shop.Log")[1].param,
          ["param error"] = counts(image, data, "shop.Log")[1]["param error"] })
    end)

    it("that " .. is .. "sees the command, its argument and the error", function()
      local image = image_of(sync, " INCLUDING ERRORS")
      stator.run(image, data, { act(1) })
      assert.matches("^sys.Error shop.Do false EXTENSION_FAILED nil 1 shop.Do: .*%d: not today$",
        seen(image))
    end)
  end

  local FAILURES = {
    { "an argument that does not fit", '{"id":1,"wsid":1,"command":"shop.Do","args":{}}',
      "VALIDATION nil nil args.Number: missing, it is NOT NULL" },
    { "an answer of the extension", act(2), "RESPONSE nil 2 a teapot" },
    { "a unique that is taken", act(3), "UNIQUE nil 3 .* is unique and taken by record 200001" },
  }
  for _, case in ipairs(FAILURES) do
    it("sees " .. case[1], function()
      local image = image_of("", " INCLUDING ERRORS")
      stator.run(image, data, { cud(1, record("Article", 1, { Name = "Tea" })), case[2] })
      assert.matches("^sys.Error shop.Do false " .. case[3], seen(image))
    end)
  end

  it("is not run for failures of other commands and arguments", function()
    local image = image_of("", " INCLUDING ERRORS")
    stator.run(image, data, { act(1, "Else") })
    assert.same({}, counts(image, data, "shop.Log"))
    assert.same({}, (stator.dump(image, data, "plog")))
  end)

  it("is not run for records that a failed command would have made", function()
    local image = image_of("", " INCLUDING ERRORS")
    stator.run(image, data, { command("shop.Else", { Number = 1 }, 1, { record("Article", 1) }) })
    assert.same({}, counts(image, data, "shop.Log"))
  end)

  it("leaves the numbers of the workspace as they are", function()
    local image = image_of("", " INCLUDING ERRORS")
    local replies = stator.run(image, data,
      { act(0), act(1), act(0), cud(1, record("Article", 1)) })
    assert.same({ 2, 3, 200001 },
      { replies[3].offset, replies[4].offset, replies[4].new_ids["1"] })
    assert.equal(3, #stator.dump(image, data, "wlog"))
  end)

  it("has its events in the log of the partition, with the error", function()
    local image = image_of("", " INCLUDING ERRORS")
    stator.run(image, data, { act(0), act(1) })
    local event = stator.dump(image, data, "plog")[2]
    assert.same({ "sys.Error", 2, "shop.Do", "EXTENSION_FAILED" },
      { event.qname, event.plog_offset, event.error.QNameFromParams, event.error.Code })
  end)

  it("is the only reason for such events", function()
    local image = image_of("", "")
    stator.run(image, data, { act(0), act(1) })
    assert.equal(1, #stator.dump(image, data, "plog"))
    assert.is_nil(counts(image, data, "shop.Log")[1].error)
  end)
end)

describe("the wait behind tries", function()
  local lib = require "support.lib"
  local ffi = require "ffi"
  ffi.cdef "int64_t stator__backoff_ms(uint64_t, int64_t, int64_t, int64_t);"

  local function wait(random, tries)
    return tonumber(lib.C.stator__backoff_ms(random, tries, 10, 1000))
  end

  -- The longest wait of many.
  local function most(tries)
    local longest = 0
    for random = 0, 1999 do longest = math.max(longest, wait(random, tries)) end
    return longest
  end

  it("is anything from none on", function()
    assert.same({ 0, 7, 10 }, { wait(0, 1), wait(7, 1), wait(10, 1) })
  end)

  it("is at most twice as long with each", function()
    assert.same({ 10, 20, 40, 640 }, { most(1), most(2), most(3), most(7) })
  end)

  it("is never longer than the longest", function()
    assert.same({ 1000, 1000, 1000 }, { most(8), most(31), most(2^40) })
  end)
end)
