local stator = require "support.stator"

local SCHEMA = [[
APPLICATION shop ();
WORKSPACE W (
  TYPE P (N int64 NOT NULL);
  VIEW Seen (One int32 NOT NULL, Version int32 NOT NULL, Times int64,
    PRIMARY KEY ((One), Version)) AS RESULT OF Note;
  VIEW Later (One int32 NOT NULL, Two int32 NOT NULL, Times int64,
    PRIMARY KEY ((One), Two)) AS RESULT OF NoteLater;
  EXTENSION ENGINE LUA (
    COMMAND Hit(P) INTENTS(sys.Result) RETURNS P;
    SYNC PROJECTOR Note AFTER EXECUTE ON Hit INTENTS(sys.View(Seen));
    PROJECTOR NoteLater AFTER EXECUTE ON Hit INTENTS(sys.View(Later));
    QUERY Version RETURNS P;
  );
);
]]

local MODULE = [[
local state = require "stator.state"
local Seen, Later = state.view "Seen", state.view "Later"
local VERSION = %d
local M = {}
local function add(key)
  local seen = state.get(key)
  if seen then state.update(key, seen).Times = seen.Times + 1 else state.new(key).Times = 1 end
end
function M.Hit() state.result { N = VERSION } end
function M.Note() add(Seen { One = 1, Version = VERSION }) end
function M.NoteLater() add(Later { One = 1, Two = 1 }) end
function M.Version() state.result { N = VERSION } end
return M
]]

-- Feeds requests while the module is replaced, again and again.
local DRIVER = [[
local ffi = require "ffi"
ffi.cdef "int usleep(unsigned);"
local image, versions, requests = arg[1], tonumber(arg[2]), tonumber(arg[3])
local module = io.open(image .. "/module"):read "*a"
local function publish(version)
  local f = assert(io.open(image .. "/draft", "w"))
  f:write(module:format(version))
  f:close()
  os.rename(image .. "/draft", image .. "/pkg/shop/shop.lua")
end
local id = 0
for version = 2, versions + 1 do
  publish(version)
  for i = 1, requests do
    id = id + 1
    -- The last version is given the time to take over on a busy machine.
    if version == versions + 1 and i == requests - 5 then ffi.C.usleep(1500000) end
    if i %% 10 == 0 then
      io.write(('{"id":%%d,"wsid":%%d,"query":"shop.Version"}\n'):format(id, id %% 3 + 1))
    else
      io.write(('{"id":%%d,"wsid":%%d,"command":"shop.Hit","args":{"N":%%d}}\n'):format(id,
        id %% 3 + 1, id))
    end
    io.flush()
    ffi.C.usleep(300000 / requests)
  end
end]]

describe("a new version of an image", function()
  after_each(stator.clean)

  local function image_of(version)
    return stator.image {
      ["pkg/shop/shop.vsql"] = SCHEMA,
      ["pkg/shop/shop.lua"] = MODULE:format(version),
    }
  end

  it("takes over while requests run, and none is lost or fails", function()
    local image, data = image_of(1), stator.folder()
    local versions, requests = stator.sanitized and 4 or 12, 300
    stator.write(image .. "/module", MODULE)
    stator.write(image .. "/driver", (DRIVER:gsub("%%%%", "%%")))
    local code, out, err = stator.shell(("luajit %s/driver %s %d %d | %s run %s --data %s "
      .. "--partitions 2 --watch"):format(image, image, versions, requests, stator.command, image,
      data))
    assert.equal(0, code, err)
    local count, versions_seen, last = 0, {}, 0
    for line in out:gmatch "[^\n]+" do
      count = count + 1
      assert.matches(('^{"id":%d,"status":200,'):format(count), line)
      local version = tonumber(line:match '"N":(%d+)')
      versions_seen[version] = true
      last = version
    end
    assert.equal(versions * requests, count)
    assert.equal(versions + 1, last)
    -- On a crowded machine one may be replaced before anybody has asked for it.
    local seen = 0
    for _ in pairs(versions_seen) do seen = seen + 1 end
    assert.is_true(seen > 2, seen .. " versions seen")
    -- Every event was seen once by the projectors, whatever version they were of.
    local commands = versions * requests * 9 / 10
    for _, view in ipairs { "shop.Seen", "shop.Later" } do
      local times = 0
      for _, row in ipairs((stator.dump(image, data, "view " .. view))) do
        times = times + row.value.Times
      end
      assert.equal(commands, times, view)
    end
  end)

  it("that has errors changes nothing", function()
    local image, data = image_of(1), stator.folder()
    local code, out, err = stator.shell(([[
      ( echo '{"id":1,"wsid":1,"query":"shop.Version"}'; sleep 0.3
        echo 'this is not Lua' > %s/pkg/shop/shop.lua; sleep 1.5
        echo '{"id":2,"wsid":1,"query":"shop.Version"}' ) | %s run %s --data %s --watch]]):format(
      image, stator.command, image, data))
    assert.equal(0, code)
    assert.equal('{"id":1,"status":200,"rows":[{"N":1}]}\n{"id":2,"status":200,"rows":[{"N":1}]}\n',
      out)
    assert.matches("shop.lua:1:1: ", err)
    assert.matches("has errors; the version before goes on", err)
  end)

  -- A run whose image is changed by a line of shell; `ask` asks for the version, `deployed`
  -- waits until the log says this.
  local function upgrade_by(line, options)
    local image, data = image_of(1), stator.folder()
    stator.write(data .. "/other.lua", MODULE:format(2))
    stator.write(data .. "/bad.vsql", (SCHEMA:gsub("Times int64", "Times int32")))
    local code, out, err = stator.shell(([[
      cd %s; image=%s; mkfifo in out
      timeout 60 %s run $image --data data %s < in > out 2> log & pid=$!; exec 3> in 4< out
      ask() { echo '{"id":1,"wsid":1,"query":"shop.Version"}' >&3; read -r reply <&4
        echo "$reply"; }
      deployed() { for i in $(seq 3000); do grep -q "$1" log && return; sleep 0.01; done; }
      ask
      %s
      ask; exec 3>&-; wait $pid; code=$?; cat log >&2; exit $code]]):format(data, image,
      stator.command, options or "", line))
    assert.equal(0, code, err)
    local versions = {}
    for n in out:gmatch '"N":(%d+)' do versions[#versions + 1] = tonumber(n) end
    return versions, err
  end

  it("is deployed when the process is sent SIGHUP", function()
    assert.same({ 1, 2 }, (upgrade_by([[
      cp other.lua $image/pkg/shop/shop.lua; kill -HUP $pid; deployed "is deployed anew"]])))
  end)

  it("that does not fit the data changes nothing, and says why", function()
    local versions, err = upgrade_by([[
      cp other.lua $image/pkg/shop/shop.lua; cp bad.vsql $image/pkg/shop/shop.vsql
      deployed "has errors"]], "--watch")
    assert.same({ 1, 1 }, versions)
    assert.matches("shop.vsql:4:58: shop.Seen: field Times was int64, now int32; add a new field "
      .. "at the end\n", err, 1, true)
    assert.matches("shop.vsql:6:55: shop.Later: field Times was int64", err, 1, true)
  end)
end)

-- Versions of an image: each fifth has one more field in its table, its view, its argument and
-- its result; each has another module.
local GROWING = [[
APPLICATION shop ();
WORKSPACE W (
  TABLE Article INHERITS sys.CDoc (Name varchar%s);
  TYPE P (N int64 NOT NULL%s);
  VIEW Seen (One int32 NOT NULL, Version int32 NOT NULL, Times int64%s,
    PRIMARY KEY ((One), Version)) AS RESULT OF Note;
  VIEW Later (One int32 NOT NULL, Two int32 NOT NULL, Times int64%s,
    PRIMARY KEY ((One), Two)) AS RESULT OF NoteLater;
  EXTENSION ENGINE LUA (
    COMMAND Hit(P) INTENTS(sys.Record(Article), sys.Result) RETURNS P;
    SYNC PROJECTOR Note AFTER EXECUTE ON Hit STATE(sys.View(Seen))
      INTENTS(sys.View(Seen));
    PROJECTOR NoteLater AFTER EXECUTE ON Hit INTENTS(sys.View(Later));
    QUERY Version RETURNS P;
  );
  EXTENSION ENGINE BUILTIN ( QUERY Slow RETURNS P; );
);
]]

local GROWING_MODULE = [[
local state = require "stator.state"
local Seen, Later, Article = state.view "Seen", state.view "Later", state.record "Article"
local VERSION, NEWEST = %d, %s
local M = {}
local function add(key)
  local seen = state.get(key)
  local row = seen and state.update(key, seen) or state.new(key)
  row.Times = (seen and seen.Times or 0) + 1
  if NEWEST then row[NEWEST] = VERSION end
end
function M.Hit()
  local article = state.new(Article {}, { Name = "x" })
  if NEWEST then article[NEWEST] = VERSION end
  state.result { N = VERSION }
end
-- What it reads first is committed meanwhile, and seen by the version that comes, too.
function M.Note()
  for _, row in state.read(Seen { One = 1 }) do
    if row.Times < 1 then error "a row of nothing" end
  end
  add(Seen { One = 1, Version = VERSION })
end
function M.NoteLater() add(Later { One = 1, Two = 1 }) end
function M.Version() state.result { N = VERSION } end
return M
]]

describe("an embedder that upgrades", function()
  after_each(stator.clean)

  local function write_version(folder, version)
    local fields, newest = "", "nil"
    for i = 2, version do
      if i % 5 == 2 then
        fields, newest = fields .. (", F%d int32"):format(i), ('"F%d"'):format(i)
      end
    end
    local image = ("%s/%d/"):format(folder, version)
    stator.write(image .. "pkg/shop/shop.vsql", GROWING:format(fields, fields, fields, fields))
    stator.write(image .. "pkg/shop/shop.lua", GROWING_MODULE:format(version, newest))
    stator.write(image .. "descriptor.json", '{"partitions":2}')
  end

  local function program(folder)
    local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s "
      .. "spec/fixtures/upgrade.c -o %s/upgrade -L%s -lstator -lpthread -Wl,-rpath,%s"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", folder, stator.build,
      stator.build))
    assert.equal(0, code, err)
    return ("env -u LD_PRELOAD timeout 300 %s/upgrade "):format(folder)
  end

  it("200 times under load loses no request, and none fails", function()
    local folder, versions = stator.folder(), stator.sanitized and 21 or 201
    for version = 1, versions do write_version(folder, version) end
    local code, out, err = stator.shell(("%s load %s %s/data %d"):format(program(folder), folder,
      folder, versions))
    assert.equal(0, code, err .. out)
    assert.equal("", err)
    local upgrades, hits, replies = out:match "^upgraded (%d+) times, hits (%d+), replies (%d+)"
    assert.equal(versions - 1, tonumber(upgrades))
    assert.is_true(tonumber(replies) > 10 * versions, out)
    for _, view in ipairs { "shop.Seen", "shop.Later" } do
      local times = 0
      for _, row in ipairs((stator.dump(folder .. "/" .. versions, folder .. "/data",
        "view " .. view))) do
        times = times + row.value.Times
      end
      assert.equal(tonumber(hits), times, view)
    end
  end)

  it("has a run that began on the old version end on it, and holds up no other", function()
    local folder = stator.folder()
    write_version(folder, 1)
    write_version(folder, 2)
    local code, out, err = stator.shell(("%s slow %s %s/data 2"):format(program(folder), folder,
      folder))
    assert.equal(0, code, err)
    assert.equal('{"id":"slow","status":200,"rows":[{"N":1}]}\n'
      .. '{"id":"slow","status":200,"rows":[{"N":1,"F2":2}]}\n', out)
  end)
end)
