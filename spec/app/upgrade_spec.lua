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
    assert.is_true(versions_seen[2] and versions_seen[versions])
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
end)
