local ffi = require "ffi"
local lib = require "support.lib"
local stator = require "support.stator"

ffi.cdef [[
typedef struct stator_library stator_library;
int stator__library_open(stator_library **, const char *file, const char *folder, stator_error *);
void stator__library_close(stator_library *);
]]

local COUNTER = stator.build .. "/plugins/counter.so"

local function mappings()
  return select(2, stator.read "/proc/self/maps":gsub("\n", ""))
end

local function resident_kb()
  collectgarbage()
  collectgarbage()
  return tonumber(stator.read "/proc/self/status":match "VmRSS:%s*(%d+)")
end

local function open(file, folder)
  local library, err = ffi.new "stator_library *[1]", ffi.new "stator_error"
  if lib.C.stator__library_open(library, file, folder, err) == 0 then return library[0] end
  return nil, lib.message(err)
end

describe("a plugin's library", function()
  after_each(stator.clean)

  it("is loaded and dropped a thousand times, in as many versions, and leaves nothing", function()
    local folder, code = stator.folder(), stator.read(COUNTER)
    local versions = stator.sanitized and 50 or 1000
    local before, kb
    for i = 1, versions do
      -- Bytes behind the end of an ELF file make another content, and no other code.
      stator.write(folder .. "/version.so", code .. ("version %d"):format(i))
      lib.C.stator__library_close((assert(open(folder .. "/version.so"))))
      if i == 20 then before, kb = mappings(), resident_kb() end
    end
    -- A version that stayed would leave five mappings and 20 KB; LuaJIT, which runs this,
    -- has a little of its own.
    assert.is_true(mappings() < before + versions / 10)
    if not stator.sanitized then assert.is_true(resident_kb() < kb + 8 * versions) end
  end)

  it("is loaded from a copy, so that its file can be replaced", function()
    local folder = stator.folder()
    stator.write(folder .. "/one.so", stator.read(COUNTER))
    local library = assert(open(folder .. "/one.so", folder .. "/copies"))
    local _, list = stator.shell("ls " .. folder .. "/copies")
    assert.matches("^%x+%.so\n$", list)
    assert.is_truthy(stator.read "/proc/self/maps":find(folder .. "/copies/", 1, true))
    lib.C.stator__library_close(library)
  end)

  it("says the file and the reason when it cannot be loaded", function()
    local folder = stator.folder()
    stator.write(folder .. "/text.so", "no ELF file")
    local _, message = open(folder .. "/text.so")
    assert.matches("^" .. folder:gsub("%p", "%%%0") .. "/text.so: cannot be loaded: ", message)
    _, message = open(folder .. "/none.so")
    assert.equal(folder .. "/none.so: cannot be read: No such file or directory", message)
  end)
end)

describe("a plugin's library that is cut off", function()
  after_each(stator.clean)

  it("is refused wherever it is cut, and never takes the host along", function()
    local folder, code = stator.folder(), stator.read(COUNTER)
    for size = 0, #code - 1, math.ceil(#code / 60) do
      stator.write(folder .. "/cut.so", code:sub(1, size))
      local library, message = open(folder .. "/cut.so")
      assert.is_nil(library)
      assert.matches(size < 4 and "cut.so: cannot be loaded" or "the file is not whole", message)
    end
  end)
end)
