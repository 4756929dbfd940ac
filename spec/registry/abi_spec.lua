-- What plugins were compiled against does not change: see spec/fixtures/abi.

local stator = require "support.stator"
local plugins = require "support.plugins"

local HEADER = "src/include/stator_plugin.h"
local RELEASED = "spec/fixtures/abi/stator_plugin-1.0.h"

--- A folder with a header, after `changes`: pairs of what stood there, and what does.
local function header(path, changes)
  local text, folder = stator.read(path), stator.folder()
  for i = 1, #changes, 2 do
    local from, to = text:find(changes[i], 1, true)
    assert(from and not text:find(changes[i], to, true), changes[i])
    text = text:sub(1, from - 1) .. changes[i + 1] .. text:sub(to + 1)
  end
  stator.write(folder .. "/stator_plugin.h", text)
  return folder
end

local function compare(folder)
  local code, out, err = stator.shell("spec/support/abi check " .. folder)
  return code, out .. err
end

-- A line of the header, and what becomes of it; some leave sizes as they are.
local CHANGES = {
  ["a field that has gone"] = { "\tvoid (*free)(void *p);\n", "" },
  ["fields that have changed places"] = {
    "\tconst char *name; /* without the package: \"View\" */\n\tconst char *help;\n",
    "\tconst char *help;\n\tconst char *name;\n" },
  ["functions that have changed places"] = { "\tint64_t (*now_ms)(void);\n", "",
    "\tint64_t (*monotonic_ns)(void);\n", "\tint64_t (*monotonic_ns)(void);\n"
    .. "\tint64_t (*now_ms)(void);\n" },
  ["a field that has another type"] = { "\tuint32_t reverse;", "\tfloat reverse;" },
  ["a field that has come in between"] = { "\tuint32_t undeclared;",
    "\tuint32_t more;\n\tuint32_t undeclared;" },
  ["a field that has come at the end, without a new minor number"] = { "} stator_read_opts;",
    "\tuint64_t more;\n} stator_read_opts;" },
  ["another status of a function"] = { "\tint32_t (*del)(const stator_run *run,",
    "\tint64_t (*del)(const stator_run *run," },
  ["a parameter that has gone"] = { "\tvoid *(*alloc)(size_t size);", "\tvoid *(*alloc)(void);" },
  ["a constant that has another value"] = { "\tSTATOR_BOOL = 7,", "\tSTATOR_BOOL = 70," },
  ["a status that has another number"] = { "\tX(UNIQUE, -4,", "\tX(UNIQUE, -40," },
}

describe("the plugin ABI", function()
  after_each(stator.clean)

  it("is what was released", function()
    local code, text = compare "src/include"
    assert.equal(0, code, text)
  end)

  it("is what the copy of its header says", function()
    local code, text = compare(header(RELEASED, {}))
    assert.equal(0, code, text)
  end)

  for name, change in pairs(CHANGES) do
    it("is not that any more with " .. name, function()
      local code, text = compare(header(HEADER, change))
      assert.equal(1, code, text)
      assert.matches("is not ABI 1.0 any more", text)
    end)
  end

  it("has to be described anew for a new minor number", function()
    local code, text = compare(header(HEADER, { "#define STATOR_ABI_MINOR 0",
      "#define STATOR_ABI_MINOR 99" }))
    assert.equal(1, code)
    assert.matches("there is no spec/fixtures/abi/1.99.abi", text)
  end)

  it("is described in a way that does not depend on where that was", function()
    assert.is_nil(stator.read "spec/fixtures/abi/1.0.abi":find "='/")
  end)
end)

describe("a plugin that was compiled with the header of ABI 1.0", function()
  after_each(stator.clean)

  local function build(name)
    return plugins.build(("plugins/%s/%s.c"):format(name, name), header(RELEASED, {}))
  end

  for _, name in ipairs { "counter", "template" } do
    it("loads and passes stator plugin check: " .. name, function()
      local code, failed, out = plugins.check(build(name))
      assert.same({}, failed)
      assert.equal(0, code, out)
    end)
  end

  it("serves an image", function()
    local image = plugins.image(build "counter", { schema = [[
APPLICATION shop ();
STATESTORAGE ENGINE PLUGIN (
  Counter ( GET SCOPE(COMMANDS, QUERIES), INSERT SCOPE(COMMANDS) )
);
WORKSPACE W (
  TYPE N (Value int64);
  EXTENSION ENGINE LUA (
    COMMAND Add INTENTS(Counter);
    QUERY Count STATE(Counter) RETURNS N;
  );
);]], module = [[
local state = require "stator.state"
local Counter = state.storage "Counter"
local M = {}
function M.Add() state.new(Counter { Name = "a" }, { Add = 2 }) end
function M.Count() state.result { Value = state.get(Counter { Name = "a" }).Value } end
return M]] })
    local add = { id = 1, wsid = 1, command = "shop.Add" }
    local replies = stator.try(image, { add, add, { id = 2, wsid = 1, query = "shop.Count" } })
    assert.same({ { Value = 4 } }, replies[3].rows)
  end)
end)
