-- ABI 1.0 is final: the header is what it was, and plugins that were built with it then work.

local stator = require "support.stator"
local plugins = require "support.plugins"

local HEADER = "src/include/stator_plugin.h"
local NOT_X86 = select(2, stator.shell "uname -m"):match "%S+" ~= "x86_64"

-- What abidiff says about a header: whether it promises the same as 1.0.
local function same_abi(header)
  local folder = stator.folder()
  stator.write(folder .. "/stator_plugin.h", header)
  local code, _, err = stator.shell(("env -u LD_PRELOAD gcc -std=c11 -g -O0 -fPIC -shared -I%s "
    .. "-o %s/abi.so spec/fixtures/abi/abi.c"):format(folder, folder))
  assert(code == 0, err)
  local differs, out, said = stator.shell(("env -u LD_PRELOAD abidiff --no-architecture "
    .. "spec/fixtures/abi/1.0.abi %s/abi.so"):format(folder))
  -- 1 and 2 are errors of abidiff itself; 4 and 8 say that something has changed.
  assert(differs == 0 or differs % 4 == 0, said)
  return differs == 0, out
end

-- Mistakes, as what is replaced by what.
local CHANGES = {
  ["a field that is wider"] = { "uint32_t call_ms;", "uint64_t call_ms;" },
  ["a field that is gone"] = { "uint32_t undeclared;[^\n]*", "" },
  ["fields that have changed places"] = { "(const char %*app;[^\n]*\n)(%s*const char %*extension;)",
    "%2\n%1" },
  ["a field in the middle"] = { "int64_t wsid;", "int64_t other, wsid;" },
  ["a parameter of another type"] = { "uint32_t field, int64_t %*value%);",
    "uint32_t field, int32_t *value);" },
  ["another number for a kind"] = { "STATOR_QNAME = 11", "STATOR_QNAME = 21" },
  ["another number for an outcome"] = { "X%(UNIQUE, %-4,", "X(UNIQUE, -40," },
  ["a struct that has grown without a new minor version"] = {
    "stator_slice %(%*prefix_end%)%(const stator_run %*run, stator_slice prefix%);",
    "%0\n\tvoid (*more)(void);" },
}

describe("ABI 1.0", function()
  after_each(stator.clean)

  it("is what the header promises", function()
    if NOT_X86 then return end
    local same, out = same_abi(stator.read(HEADER))
    assert.is_true(same, out)
  end)

  for what, change in pairs(CHANGES) do
    it("does not have " .. what, function()
      if NOT_X86 then return end
      local header, count = stator.read(HEADER):gsub(change[1], change[2], 1)
      assert.equal(1, count)
      assert.is_false(same_abi(header))
    end)
  end

  for _, name in ipairs { "counter", "template" } do
    it("is enough for the plugin " .. name .. ", built with the header of 1.0", function()
      local folder = stator.folder()
      os.execute(("cp spec/fixtures/abi/stator_plugin-1.0.h %s/stator_plugin.h"):format(folder))
      local code, _, err = stator.shell(("env -u LD_PRELOAD gcc -std=c11 -O2 -fPIC -shared "
        .. "-fvisibility=hidden -I%s -o %s/storages-1.so plugins/%s/%s.c"):format(folder, folder,
        name, name))
      assert.same({ 0, "" }, { code, err })
      local checked, failed = plugins.check(folder .. "/storages-1.so")
      assert.same({ 0, {} }, { checked, failed })
    end)
  end
end)
