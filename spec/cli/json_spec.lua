-- `--json`: what commands print for people, as objects.

local plugins = require "support.plugins"
local stator = require "support.stator"

local function objects(arguments)
  local code, out, err = stator.shell(stator.command .. " " .. arguments)
  local list = {}
  for line in out:gmatch "[^\n]+" do list[#list + 1] = assert(stator.json.decode(line), line) end
  return list, code, err
end

describe("stator check --json", function()
  after_each(stator.clean)

  it("gives problems as objects, with their place", function()
    local image = stator.shop("TABLE Article INHERITS sys.CDoc ( Name varhcar );", "")
    local list, code, err = objects("check --json " .. image)
    assert.same({ 1, "" }, { code, err })
    assert.same({ { severity = "problem", file = image .. "/pkg/shop/shop.vsql", line = 3,
      column = 40, message = "unknown type varhcar; did you mean varchar?" } }, list)
  end)

  it("marks warnings", function()
    local image = stator.shop("EXTENSION ENGINE LUA ( COMMAND Nop(); );",
      "local n = 0\nfunction M.Nop() n = n + 1 end")
    local list, code = objects("check --json " .. image)
    assert.same({ 0, "warning" }, { code, list[1].severity })
    assert.is_nil(list[1].message:match "^warning")
  end)

  it("gives nothing where nothing is wrong", function()
    local image = stator.shop("EXTENSION ENGINE LUA ( COMMAND Nop(); );", "function M.Nop() end")
    assert.same({}, (objects("check --json " .. image)))
  end)
end)

describe("stator plugin check --json", function()
  after_each(stator.clean)

  it("gives one object a test", function()
    local list, code = objects(("plugin check --json %s/plugins/counter.so"):format(stator.build))
    assert.equal(0, code)
    for i, test in ipairs(list) do assert.same({ i, true }, { test.number, test.ok }) end
    assert.equal(16, #list)
    assert.equal("counter: it can be loaded, and is well described", list[1].test)
  end)

  it("has in the notes of a failed one what was found", function()
    local list, code = objects("plugin check --json " .. plugins.build "attach_fails")
    assert.equal(1, code)
    local failed
    for _, test in ipairs(list) do failed = failed or not test.ok and test end
    assert.matches("^found: ", failed.notes[1])
  end)
end)
