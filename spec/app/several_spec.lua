-- Several applications in one host: each has its own image, partitions, workspaces and data.

local stator = require "support.stator"

local SCHEMA = [[
APPLICATION x ();
WORKSPACE W (
  TYPE P ( N int64 );
  TABLE Item INHERITS sys.CDoc ( Name varchar(20) );
  VIEW Later ( A int32 NOT NULL, B int32 NOT NULL, N int64, PRIMARY KEY ((A), B) )
    AS RESULT OF Count;
  EXTENSION ENGINE LUA (
    COMMAND Hit();
    QUERY Version RETURNS P;
    PROJECTOR Count AFTER EXECUTE ON Hit INTENTS(sys.View(Later));
  );
);
]]

local MODULE = [[
local state = require "stator.state"
local Later = state.view "Later"
local M = {}
function M.Hit() end
function M.Version() state.result { N = %d } end
function M.Count()
  local key = Later { A = 1, B = 1 }
  local seen = state.get(key)
  if seen then state.update(key, seen).N = seen.N + 1 else state.new(key).N = 1 end
end
return M
]]

local function image_of(app, version, partitions)
  return stator.image {
    ["pkg/shop/shop.vsql"] = SCHEMA,
    ["pkg/shop/shop.lua"] = MODULE:format(version or 1),
    ["descriptor.json"] = ('{"app":"%s","partitions":%d}'):format(app, partitions or 1),
  }
end

describe("several applications in one host", function()
  after_each(stator.clean)

  local first, second, data

  before_each(function()
    first, second = image_of("local/first", 1), image_of("local/second", 2, 3)
    data = stator.folder()
  end)

  local function run(requests, options)
    return stator.run(first, data, requests, stator.quote(second) .. " " .. (options or ""))
  end

  local function hit(app, wsid) return { app = app, wsid = wsid or 1, command = "shop.Hit" } end
  local function version(app) return { app = app, wsid = 1, query = "shop.Version" } end

  it("each serve the requests that name them", function()
    local replies, _, err, code = run { version "local/first", version "local/second",
      version "local/first" }
    assert.equal(0, code, err)
    assert.same({ 1, 2, 1 }, { replies[1].rows[1].N, replies[2].rows[1].N, replies[3].rows[1].N })
  end)

  it("have workspaces of their own", function()
    local replies = run { hit "local/first", hit "local/first", hit "local/second", {
      app = "local/second", wsid = 1, command = "sys.CUD",
      cuds = { { ["sys.ID"] = 1, ["sys.QName"] = "shop.Item", Name = "a" } } } }
    assert.same({ 1, 2, 1, 2 },
      { replies[1].offset, replies[2].offset, replies[3].offset, replies[4].offset })
    assert.same({ 0, 1 }, { #stator.dump(first, data, "record shop.Item"),
      #stator.dump(second, data, "record shop.Item") })
  end)

  it("have partitions of their own, and projectors that catch up at the end", function()
    run { hit "local/first", hit("local/second", 1), hit("local/second", 2),
      hit("local/second", 3) }
    assert.equal(1, #stator.dump(first, data, "view shop.Later"))
    assert.equal(3, #stator.dump(second, data, "view shop.Later"))
    assert.equal(3, #stator.dump(second, data, "plog"))
    local _, _, err = stator.dump(first, data, "plog --partition 1")
    assert.matches("partition", err)
  end)

  it("can be served alone, on the same data", function()
    run { hit "local/first", hit "local/second" }
    local replies = stator.run(second, data, { { wsid = 1, command = "shop.Hit" } })
    assert.equal(2, replies[1].offset)
  end)

  it("are named by every request", function()
    local replies = run { { wsid = 1, command = "shop.Hit" }, hit "local/secnd",
      { app = 5, wsid = 1, command = "shop.Hit" } }
    assert.same({ status = 400, error = { code = "BAD_REQUEST",
      message = "app: missing, where there are several; there is local/first, local/second" } },
      replies[1])
    assert.same({ status = 404, error = { code = "NOT_FOUND",
      message = "no application is called local/secnd; there is local/first, local/second" } },
      replies[2])
    assert.same({ status = 400, error = { code = "BAD_REQUEST",
      message = 'app: expected a name as "owner/name", found 5' } }, replies[3])
  end)

  it("need not be named when there is one", function()
    local replies = stator.run(first, data, { hit "local/first", hit(nil), hit "local/second" })
    assert.same({ 200, 200, 404 }, { replies[1].status, replies[2].status, replies[3].status })
    assert.equal("no application is called local/second; there is local/first",
      replies[3].error.message)
  end)

  it("are not two versions of one", function()
    second = image_of("local/first", 2)
    local replies, _, err, code = run { version "local/first" }
    assert.same({ 0, 1 }, { #replies, code })
    assert.matches(second .. ": local/first is deployed already; each image is one of another "
      .. "application", err, 1, true)
  end)

  it("are not served when one of them has errors", function()
    stator.write(second .. "/pkg/shop/shop.lua", "this is not Lua")
    local replies, _, err, code = run { version "local/first" }
    assert.same({ 0, 1 }, { #replies, code })
    assert.matches("run: " .. second .. " is not deployed", err, 1, true)
  end)

  -- Runs both; a line of shell changes images between two rounds of questions.
  local function changed_by(line, options)
    stator.write(data .. "/other.lua", MODULE:format(9))
    local code, out, err = stator.shell(([[
      cd %s; first=%s; second=%s; mkfifo in out
      timeout 60 %s run $first $second --data data %s < in > out 2> log & pid=$!
      exec 3> in 4< out
      ask() { for app in first second; do
        echo '{"app":"local/'$app'","wsid":1,"query":"shop.Version"}' >&3
        read -r reply <&4; echo "$reply"; done; }
      deployed() { for i in $(seq 3000); do [ $(grep -c "$1" log) = $2 ] && return; sleep 0.01
        done; }
      ask
      %s
      ask; exec 3>&-; wait $pid; code=$?; cat log >&2; exit $code]]):format(data, first, second,
      stator.command, options or "", line))
    assert.equal(0, code, err)
    local versions = {}
    for n in out:gmatch '"N":(%d+)' do versions[#versions + 1] = tonumber(n) end
    return versions, err
  end

  it("get new versions one by one", function()
    local versions, err = changed_by(
      'cp other.lua $second/pkg/shop/shop.lua; deployed "is deployed anew" 1', "--watch")
    assert.same({ 1, 2, 1, 9 }, versions)
    assert.is_nil(err:find(first .. " is deployed anew", 1, true))
  end)

  it("all get new versions by SIGHUP", function()
    assert.same({ 1, 2, 9, 9 }, (changed_by([[
      cp other.lua $first/pkg/shop/shop.lua; cp other.lua $second/pkg/shop/shop.lua
      kill -HUP $pid; deployed "is deployed anew" 2]])))
  end)

  it("go on when a version of one has errors", function()
    local versions, err = changed_by([[
      echo "this is not Lua" > $first/pkg/shop/shop.lua
      cp other.lua $second/pkg/shop/shop.lua; deployed "is deployed anew" 1
      deployed "has errors" 1]], "--watch")
    assert.same({ 1, 2, 1, 9 }, versions)
    assert.matches(first .. " has errors; the version before goes on", err, 1, true)
  end)

  it("do not become others by a change of the image", function()
    local versions, err = changed_by([[
      echo '{"app":"local/third"}' > $first/descriptor.json
      deployed "is not deployed" 1]], "--watch")
    assert.same({ 1, 2, 1, 2 }, versions)
    assert.matches("local/third is not deployed: an image keeps its application while it is "
      .. "served; the version before goes on", err, 1, true)
  end)

  it("are held by an embedder's host, each with a data folder of its own", function()
    local broken, folder = image_of "local/broken", stator.folder()
    stator.write(broken .. "/pkg/shop/shop.lua", "this is not Lua")
    local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s "
      .. "spec/fixtures/several.c -o %s/several -L%s -lstator -Wl,-rpath,%s"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", folder, stator.build,
      stator.build))
    assert.equal(0, code, err)
    local out
    code, out, err = stator.shell(("env -u LD_PRELOAD %s/several %s %s %s %s"):format(folder,
      first, second, broken, folder))
    assert.equal(0, code, err)
    assert.equal(([[
{"id":1,"status":404,"error":{"code":"NOT_FOUND","message":"no application is deployed"}}
deploy: NOT_FOUND local/first is not deployed: an image keeps its application while it is served
deploy: OK
{"id":2,"status":200,"offset":1}
deploy: IMAGE BROKEN
deploy: OK
deploy: EXISTS local/second is deployed already
deploy: OK
{"id":3,"status":200,"offset":1}
{"id":4,"status":200,"offset":2}
backup: BAD_REQUEST app: missing, where there are several; there is local/first, local/second
backup: NOT_FOUND no application is called local/secnd; there is local/first, local/second
backup: OK
]]), (out:gsub("IMAGE [^\n]*", "IMAGE BROKEN")))
    assert.equal(1, #stator.dump(second, folder .. "/data-2", "plog"))
    assert.equal(1, #stator.dump(second, folder .. "/backup", "plog"))
    assert.equal(2, #stator.dump(first, folder .. "/data-1", "plog"))
  end)
end)
