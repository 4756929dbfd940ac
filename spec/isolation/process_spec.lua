-- Storages in a process of their own: what works in the host works there, and what would
-- take the host along fails the call in flight only.

local stator = require "support.stator"
local plugins = require "support.plugins"

local PROCESS = '{"storages":{"shop.Thing":{"isolation":"process"}},"engines":{"query":1}}'

local other = { id = 2, wsid = 1, query = "shop.Other" }

local function query(name, args)
  return { id = 1, wsid = 1, query = "shop." .. name, args = args or { Name = "a" } }
end

local function put(name, text)
  return { id = 1, wsid = 1, command = "shop.Put", args = { Name = name, Text = text } }
end

local function isolated(plugin, more)
  more = more or {}
  more.descriptor = more.descriptor or PROCESS
  return plugins.image(plugin, more)
end

-- What happens to the process, by what the fixture is told to do.
local WRONG = {
  crash = "was ended by signal 11 (Segmentation fault)",
  abort = "was ended by signal 6 (Aborted)",
  exit = "exited with code 7",
  babble = "answered what is no answer and was ended",
}

-- Commands and queries of the isolated storage and of a view at once.
local LOAD_SCHEMA = [[
APPLICATION shop ();
STATESTORAGE ENGINE PLUGIN (
  Thing (GET SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS), INSERT SCOPE(COMMANDS),
    READ SCOPE(QUERIES))
);
WORKSPACE W (
  TYPE Params ( Name varchar NOT NULL, Text varchar );
  VIEW Seen (One int32 NOT NULL, Two int32 NOT NULL, Times int64,
    PRIMARY KEY ((One), Two)) AS RESULT OF Note;
  EXTENSION ENGINE LUA (
    COMMAND Put(Params) STATE(Thing) INTENTS(Thing);
    SYNC PROJECTOR Note AFTER EXECUTE ON Put INTENTS(sys.View(Seen));
    QUERY Get(Params) STATE(Thing) RETURNS Params;
    QUERY Other RETURNS Params;
  );
);
]]

local LOAD_MODULE = [[
local state = require "stator.state"
local Thing, Seen = state.storage "shop.Thing", state.view "Seen"
local M = {}
function M.Put(args)
  state.get(Thing { Name = args.Name })
  state.new(Thing { Name = args.Name }, { Text = args.Text })
end
function M.Note()
  local key = Seen { One = 1, Two = 1 }
  local seen = state.get(key)
  if seen then state.update(key, seen).Times = seen.Times + 1 else state.new(key).Times = 1 end
end
function M.Get(args) state.get(Thing { Name = args.Name }) end
function M.Other() state.result { Name = "other" } end
return M
]]

-- Feeds the command with requests and kills every child that it has, so many times:
-- luajit driver.lua KILLS REPLIES COMMAND...
local KILLER = [[
local ffi = require "ffi"
ffi.cdef "int kill(int, int); int usleep(unsigned);"
local kills, replies = tonumber(arg[1]), arg[2]
local pidfile = os.tmpname()
local feed = io.popen(("sh -c 'echo $$ >%s; exec %s' >%s 2>/dev/null"):format(pidfile,
  table.concat(arg, " ", 3), replies), "w")
local killed, id, pid = 0, 0
local function host()
  local f = io.open(pidfile)
  pid = tonumber(f:read "*a")
  f:close()
end
local function kill_children()
  local p = io.popen(("cat /proc/%d/task/*/children 2>/dev/null"):format(pid))
  for child in p:read("*a"):gmatch "%d+" do
    if ffi.C.kill(tonumber(child), 9) == 0 then killed = killed + 1 end
  end
  p:close()
end
while killed < kills do
  for _ = 1, 5 do
    id = id + 1
    feed:write(('{"id":%d,"wsid":%d,"command":"shop.Put","args":{"Name":"n%d","Text":"x"}}\n')
      :format(id, 1, id % 50))
    feed:write(('{"id":%d,"wsid":1,"query":"shop.Get","args":{"Name":"n1"}}\n'):format(id))
    feed:write(('{"id":%d,"wsid":1,"query":"shop.Other"}\n'):format(id))
  end
  feed:flush()
  if not pid then ffi.C.usleep(500000) host() end
  ffi.C.usleep(3000)
  kill_children()
end
feed:close()
io.write(killed, "\n")
]]

describe("a storage in a process of its own", function()
  after_each(stator.clean)

  it("answers as it does in the host", function()
    local requests = { query("All", { Name = "" }) }
    for i = 1, 300 do requests[#requests + 1] = put("n" .. i, ("x"):rep(i % 200)) end
    requests[#requests + 1] = query("Get", { Name = "n7" })
    requests[#requests + 1] = query("Get", { Name = "none" })
    requests[#requests + 1] = query("All", { Name = "" })
    requests[#requests + 1] = put(("long"):rep(60), "")
    local _, inside = stator.try(plugins.image "good", requests)
    local _, outside, err, code = stator.try(isolated "good", requests)
    assert.same({ 0, "" }, { code, err })
    assert.same(inside, outside)
    assert.matches("n300", outside[#outside - 1])
  end)

  it("keeps what was put, in the host's store", function()
    local image, data = isolated "good", stator.folder()
    stator.run(image, data, { put("a", "kept") })
    assert.same({ { Name = "a", Text = "kept" } }, stator.run(image, data, { query "Get" })[1].rows)
  end)

  it("is refused for what is wrong with its library", function()
    for _, name in ipairs { "wrong_abi", "no_entry", "init_fails", "attach_fails" } do
      local inside, outside = plugins.image(name), isolated(name)
      local function said(image)
        return (stator.check(image)[1]:gsub(image:gsub("%p", "%%%0"), ""))
      end
      assert.equal(said(inside), said(outside))
    end
  end)

  it("says of a library that crashes while it is loaded that it does", function()
    local file = stator.folder() .. "/constructor.c"
    stator.write(file, stator.read "spec/fixtures/plugins/good.c"
      .. "\n#include <stdlib.h>\n__attribute__((constructor)) static void die(void) { abort(); }\n")
    os.execute("cp spec/fixtures/plugins/*.h " .. file:match "^(.*)/")
    local lines, code = stator.check(isolated(plugins.build(file)))
    assert.same({ "pkg/shop/storages-1.so:1:1: its process was ended by signal 6 (Aborted) while "
      .. "it was loaded" }, lines)
    assert.equal(1, code)
  end)

  for name, how in pairs(WRONG) do
    it("fails the call in flight, and serves the next one, when told to " .. name, function()
      local replies, _, err, code = stator.try(isolated "by_name", { put("a", "x"),
        query("Get", { Name = "calls" }), query("Get", { Name = name }), other,
        query("Get", { Name = "calls" }), put("b", "y") })
      assert.equal(0, code)
      assert.equal("1", replies[2].rows[1].Text)
      assert.same({ code = "STORAGE_FAILED", message = ('shop.Get: shop/shop.lua:6: shop.Thing '
        .. '{Name="%s"}: the process of plugin fixture 1.0.0 %s in get'):format(name, how) },
        replies[3].error)
      assert.same({ { Name = "other" } }, replies[4].rows)
      assert.equal("1", replies[5].rows[1].Text)
      assert.equal(200, replies[6].status)
      assert.matches("the process of plugin fixture 1%.0%.0 .* in get; it is started again", err)
    end)
  end

  for _, name in ipairs { "hang", "deaf" } do
    it("is ended when it does not answer in time, when told to " .. name, function()
      local replies = stator.try(isolated "by_name", { query("Get", { Name = name }), other,
        query("Get", { Name = "calls" }) })
      assert.equal("STORAGE_FAILED", replies[1].error.code)
      assert.matches(name == "hang" and "did not answer within 4000 ms and was ended in get$"
        or "was ended", replies[1].error.message)
      assert.equal(200, replies[2].status)
      assert.equal("1", replies[3].rows[1].Text)
    end)
  end

  it("cannot speak in the replies of the host", function()
    local replies, _, err = stator.try(isolated "by_name", { query("Get", { Name = "print" }) })
    assert.equal(200, replies[1].status)
    assert.matches("this is not a reply", err)
  end)

  it("waits longer each time when it never answers a call", function()
    local requests = {}
    for i = 1, 200 do requests[i] = query("Get", { Name = "crash" }) end
    local replies, _, err = stator.try(isolated "by_name", requests)
    local _, started = err:gsub("it is started again", "")
    assert.equal(200, #replies)
    assert.is_true(started >= 2 and started < 40, started .. " starts")
    assert.matches("has ended and is started again in %d+ ms$", replies[200].error.message)
  end)

  it("takes rows that plugins hand out as little on trust as the host does", function()
    for _, name in ipairs { "lying_length", "long_row", "static_row", "key_as_value",
      "silent_error", "unknown_status" } do
      local inside = stator.try(plugins.image(name), { query "Get", other })
      local outside = stator.try(isolated(name), { query "Get", other })
      assert.equal("STORAGE_FAILED", (outside[1].error or {}).code, name)
      if name ~= "long_row" and name ~= "lying_length" then
        assert.same(inside[1].error, outside[1].error)
      end
      assert.equal(200, outside[2].status)
    end
  end)

  it("cannot be one that is built in", function()
    local lines = stator.check(plugins.image("good",
      { descriptor = '{"storages":{"sys.View":{"isolation":"process"}}}' }))
    assert.same({ "descriptor.json:1:1: storages.sys.View.isolation: the storage is built in; only "
      .. "one from a plugin's file can have a process" }, lines)
  end)

  it("leaves nothing behind when the host ends", function()
    local image = isolated "by_name"
    local host = ("(echo %s; sleep 5) | timeout -s KILL 1 %s run %s --data %s"):format(
      stator.quote(stator.json.encode(query("Get", { Name = "hang" }))), stator.command,
      stator.quote(image), stator.quote(stator.folder()))
    stator.shell(host)
    stator.shell "sleep 0.2"
    local _, left = stator.shell("pgrep -f " .. stator.quote("[r]un " .. image) .. " || true")
    assert.equal("", left)
  end)

  it("is killed thousands of times under load, and only calls in flight fail", function()
    local kills = stator.sanitized and 100 or 2000
    local image, data = isolated(plugins.build "good", {
      schema = LOAD_SCHEMA, module = LOAD_MODULE, descriptor = PROCESS }), stator.folder()
    local driver = stator.folder() .. "/driver.lua"
    stator.write(driver, KILLER)
    local code, killed = stator.shell(("luajit %s %d %s %s run %s --data %s"):format(driver, kills,
      image .. "/replies", stator.command, image, data))
    assert.equal(0, code)
    assert.is_true(tonumber(killed) >= kills, killed)
    local good, failed = 0, 0
    for line in stator.read(image .. "/replies"):gmatch "[^\n]+" do
      local reply = stator.json.decode(line)
      if reply.status == 200 then
        good = good + (reply.offset and 1 or 0)
      else
        failed = failed + 1
        assert.equal("STORAGE_FAILED", reply.error.code)
        assert.matches("shop%.Thing.*: the process of plugin fixture 1%.0%.0 ", reply.error.message)
      end
    end
    assert.is_true(good > kills and failed > 0, good .. " good, " .. failed .. " failed")
    -- What was acknowledged is there, and nothing of what failed.
    local lines = stator.dump(image, data, "view shop.Seen")
    assert.equal(good, lines[1].value.Times)
  end)

  it("is replaced by its next version while commands run", function()
    local image, data = isolated "good", stator.folder()
    local requests = {}
    for i = 1, 400 do requests[i] = stator.json.encode(put("n" .. i, "x")) end
    local next_one = plugins.build "by_name"
    stator.write(image .. "/feed", ("#!/bin/sh\nhead -200 %s/lines; cp %s %s/pkg/shop/draft; "
      .. "mv %s/pkg/shop/draft %s/pkg/shop/storages-2.so; sleep 5; tail -200 %s/lines; echo %s\n")
      :format(image, next_one, image, image, image, image,
        stator.quote(stator.json.encode(query("Get", { Name = "calls" })))))
    stator.write(image .. "/lines", table.concat(requests, "\n") .. "\n")
    local code, out = stator.shell(("sh %s/feed | %s run %s --data %s --watch"):format(image,
      stator.command, image, data))
    assert.equal(0, code)
    local count = 0
    for line in out:gmatch "[^\n]+" do
      count = count + 1
      assert.equal(200, stator.json.decode(line).status)
    end
    assert.equal(401, count)
    assert.matches('"rows":%[{"Name":"calls","Text":"1"}%]', out)
  end)
end)
