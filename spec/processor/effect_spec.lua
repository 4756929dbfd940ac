local stator = require "support.stator"

local SCHEMA = [[
APPLICATION shop ();
STATESTORAGE ENGINE PLUGIN ( Line ( INSERT SCOPE(COMMANDS, PROJECTORS) ) );
WORKSPACE W (
  TYPE P (Text varchar NOT NULL, Refuse bool);
  EXTENSION ENGINE LUA (
    COMMAND Say(P) INTENTS(Line, sys.Response);
    COMMAND Tell(P);
    SYNC PROJECTOR Sync AFTER EXECUTE ON Tell INTENTS(Line);
    PROJECTOR Later AFTER EXECUTE ON Tell INTENTS(Line);
  );
);
]]

local MODULE = [[
local state = require "stator.state"
local Line = state.storage "Line"
local M = {}
function M.Say(args)
  state.new(Line {}, { Text = args.Text })
  if args.Refuse then state.response(409, "no") end
end
function M.Tell() end
function M.Sync(event) state.new(Line {}, { Text = "sync " .. event.ArgumentObject.Text }) end
function M.Later(event) state.new(Line {}, { Text = "later " .. event.ArgumentObject.Text }) end
return M
]]

describe("an effect", function()
  local image, data, file

  before_each(function()
    file = stator.folder() .. "/lines"
    data = stator.folder()
    image = stator.image {
      ["pkg/shop/shop.vsql"] = SCHEMA,
      ["pkg/shop/shop.lua"] = MODULE,
      ["descriptor.json"] = stator.json.encode {
        storages = { ["shop.Line"] = { config = { file = file } } } },
    }
    local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -fPIC -shared %s -Isrc/include "
      .. "spec/fixtures/effects.c -o %s/pkg/shop/storages-1.so"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", image))
    assert.equal(0, code, err)
  end)

  after_each(stator.clean)

  local function lines()
    local list = {}
    local f = io.open(file)
    if not f then return list end
    for line in f:lines() do list[#list + 1] = line end
    f:close()
    return list
  end

  local function ask(name, text, refuse)
    return { id = 1, wsid = 1, command = "shop." .. name, args = { Text = text, Refuse = refuse } }
  end

  it("happens after the commit, with a token of its own", function()
    local replies = stator.run(image, data, { ask("Say", "one"), ask("Say", "two") })
    assert.equal(200, replies[2].status)
    assert.same({ "shop/0/1/shop.Say/0 one", "shop/0/2/shop.Say/0 two" }, lines())
  end)

  it("is one of projectors too, synchronous or not", function()
    stator.run(image, data, { ask("Tell", "x") })
    local found = lines()
    table.sort(found)
    assert.same({ "shop/0/1/shop.Later/0 later x", "shop/0/1/shop.Sync/0 sync x" }, found)
  end)

  it("of a command that is refused never happens", function()
    local replies = stator.run(image, data, { ask("Say", "one", true) })
    assert.equal(409, replies[1].status)
    assert.same({}, lines())
  end)

  it("that fails is asked for again, with the same token", function()
    local replies, _, err = stator.run(image, data, { ask("Say", "fail 2") })
    assert.equal(200, replies[1].status)
    local line = "shop/0/1/shop.Say/0 fail 2"
    assert.same({ line, line, line }, lines())
    assert.matches("shop.Line: effect of shop.Say, event 1 of partition 0: .*not yet; trying again",
      err)
  end)

  it("that always fails is parked, the others go on, and it is tried at the next start", function()
    local _, _, err = stator.run(image, data, { ask("Say", "never"), ask("Say", "after") })
    assert.matches("parked until the next start", err)
    local never, after = 0, 0
    for _, line in ipairs(lines()) do
      if line:match "never$" then never = never + 1 end
      if line:match "after$" then after = after + 1 end
    end
    assert.same({ 5, 1 }, { never, after })
    stator.run(image, data, { ask("Say", "later") })
    assert.is_true(#lines() > 7)
  end)

  it("that says that no repeat will help is parked at once", function()
    local _, _, err = stator.run(image, data, { ask("Say", "wrong") })
    assert.same({ "shop/0/1/shop.Say/0 wrong" }, lines())
    assert.matches("wrong; parked until the next start", err)
    stator.run(image, data, {})
    assert.equal(2, #lines())
  end)
end)
