local stator = require "support.stator"

-- What `make install` leaves in a folder, as its own PREFIX or below DESTDIR.
local function install(options)
  local code, _, err = stator.shell(("env -u MAKEFLAGS -u MAKELEVEL make -s install %s %s"):format(
    stator.sanitized and "SANITIZER=address,undefined" or "", options))
  assert.equal("", err)
  assert.equal(0, code)
end

local function output(line)
  local code, out, err = stator.shell(line)
  assert.equal(0, code, err)
  return (out:gsub("%s+$", ""))
end

local PROGRAM = [[
#include <stdio.h>
#include <stator.h>
int main(void) { puts(stator_version_string()); return 0; }
]]

describe("make install", function()
  local folder

  setup(function()
    folder = stator.folder()
    install("PREFIX=" .. folder)
  end)

  teardown(stator.clean)

  local function compile(flags)
    stator.write(folder .. "/program.c", PROGRAM)
    output(("cd %s && gcc %s -Wall -Wextra -Werror program.c -o program $(PKG_CONFIG_PATH=%s "
      .. "pkg-config %s stator) -Wl,-rpath,%s/lib"):format(folder,
      stator.sanitized and "-fsanitize=address,undefined" or "", folder .. "/lib/pkgconfig",
      flags, folder))
    return output("env -u LD_PRELOAD " .. folder .. "/program")
  end

  it("puts each file in its place", function()
    assert.equal([[
bin/stator
include/stator.h
include/stator_plugin.h
lib/libstator.a
lib/libstator.so
lib/libstator.so.1
lib/libstator.so.1.0.0
lib/pkgconfig/stator.pc
share/man/man1/stator.1]], output(("cd %s && find bin include lib share ! -type d | LC_ALL=C sort")
      :format(folder)))
  end)

  it("puts everything below DESTDIR, and says so nowhere", function()
    local dest = stator.folder()
    install("PREFIX=/opt/it DESTDIR=" .. dest)
    assert.matches("^prefix=/opt/it\n", stator.read(dest .. "/opt/it/lib/pkgconfig/stator.pc"))
    assert.equal("libstator.so.1", output("readlink " .. dest .. "/opt/it/lib/libstator.so"))
    assert.equal(1, (stator.shell("grep -r " .. dest .. " " .. dest .. "/opt/it")))
  end)

  it("gives the library a name that says which versions fit", function()
    assert.matches("SONAME +libstator.so.1\n",
      output(("objdump -p %s/lib/libstator.so"):format(folder)))
  end)

  it("has pkg-config say how to use the shared library", function()
    assert.equal("1.0.0", compile "--cflags --libs")
  end)

  it("has pkg-config say how to use the archive alone", function()
    output(("mkdir %s/aside && mv %s/lib/*.so* %s/aside"):format(folder, folder, folder))
    finally(function() output(("mv %s/aside/* %s/lib"):format(folder, folder)) end)
    assert.equal("1.0.0", compile "--static --cflags --libs")
  end)

  it("brings a manual that names every command", function()
    local page = folder .. "/share/man/man1/stator.1"
    if stator.shell "command -v man" == 0 then
      local _, out, err = stator.shell("man --warnings -E UTF-8 -l -Tutf8 -Z " .. page
        .. " >/dev/null")
      assert.equal("", out .. err)
    end
    local text, help = stator.read(page), output(stator.command .. " --help")
    for name in help:match "Commands:\n(.-)\n\n":gmatch "  (%l+) +%l" do
      assert.truthy(text:find("\n.B " .. name .. "\n", 1, true), name)
    end
  end)
end)

describe("stator.h", function()
  local function declared()
    local names = {}
    for line in stator.read("src/include/stator.h"):gmatch "STATOR_API ([^;]-)%(" do
      local name = line:match "([%w_]+)$"
      if name ~= "__attribute__" then names[#names + 1] = name end
    end
    table.sort(names)
    return names
  end

  it("declares what the library exports, and nothing else is", function()
    local exported = {}
    for name in output("nm -D --defined-only " .. stator.build .. "/libstator.so"):gmatch
      "[%da-f]+ %u ([%w_]+)" do
      exported[#exported + 1] = name
    end
    table.sort(exported)
    assert.is_true(#exported > 30)
    assert.same(declared(), exported)
  end)

  it("is taken by every dialect of C and by C++", function()
    for _, compiler in ipairs { "gcc -std=c99 -x c", "gcc -std=c11 -x c", "gcc -std=c17 -x c",
      "g++ -std=c++11 -x c++" } do
      if stator.shell("command -v " .. compiler:match "^%S+") == 0 then
        output(("printf '#include \"stator.h\"\\nint main(void) { stator_host_opts o = "
          .. "STATOR_HOST_OPTS_INIT; stator_allocator a = STATOR_ALLOCATOR_INIT; (void)o; (void)a; "
          .. "return 0; }' | %s -Wall -Wextra -Wpedantic -Wconversion -Werror -Isrc/include "
          .. "-fsyntax-only -"):format(compiler))
      end
    end
  end)
end)
