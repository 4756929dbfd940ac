local stator = require "support.stator"

-- From the ground up; an arrow points down only.
local ROOMS = { "include", "base", "schema", "store", "registry", "isolation", "conformance",
  "storage", "state", "engine", "app", "processor", "cli" }

local LEVEL = {}
for level, room in ipairs(ROOMS) do LEVEL[room] = level end

local function sources()
  local _, out = stator.shell "find src -name '*.[ch]' | sort"
  return out:gmatch "[^\n]+"
end

describe("the house", function()
  it("has arrows that point down only", function()
    local wrong = {}
    for path in sources() do
      local room = path:match "^src/([^/]+)"
      for header in stator.read(path):gmatch '#include "([^"]+)"' do
        local other = header:match "^([^/]+)/" or "include"
        if LEVEL[other] > LEVEL[room] then wrong[#wrong + 1] = path .. " -> " .. header end
      end
    end
    assert.same({}, wrong)
  end)

  it("has storages and a command that stand on public headers only", function()
    local wrong = {}
    for path in sources() do
      local room = path:match "^src/([^/]+)"
      if room == "storage" or room == "cli" then
        for header in stator.read(path):gmatch '#include "([^"]+)"' do
          if header:match "^[^/]+" ~= room and not header:match "^stator" then
            wrong[#wrong + 1] = path .. " -> " .. header
          end
        end
      end
    end
    assert.same({}, wrong)
  end)

  it("exports nothing but what stator.h and stator_plugin.h declare", function()
    local _, out = stator.shell("nm -D --defined-only " .. stator.build .. "/libstator.so")
    local headers = stator.read "src/include/stator.h"
    local wrong = {}
    for name in out:gmatch "[%da-f]+ %u ([%w_]+)" do
      if not headers:find("%f[%w_]" .. name .. "%f[^%w_]") then wrong[#wrong + 1] = name end
    end
    assert.same({}, wrong)
  end)

  it("has a plugin header that every dialect of C and C++ takes", function()
    local program = '#include "src/include/stator_plugin.h"\nint main(void) { return 0; }\n'
    for _, compiler in ipairs { "gcc -std=c99", "gcc -std=c11", "gcc -std=c17",
      "g++ -std=c++11 -x c++" } do
      if compiler:match "^gcc" or stator.shell "command -v g++" == 0 then
        local code, _, err = stator.shell(("printf %%s %s | %s -Wall -Wextra -Wpedantic "
          .. "-Wconversion -Werror -I. -x %s -fsyntax-only -"):format(stator.quote(program),
          compiler, compiler:match "c%+%+" and "c++" or "c"))
        assert.equal(0, code, compiler .. "\n" .. err)
      end
    end
  end)
end)
