local stator = require "support.stator"

-- Each program with as little to do as it takes, in a folder of its own.
local PROGRAMS = {
  storage = "DATA/storage-image BUILD/plugins/counter.so DATA JSON",
  handlers = "bench/handlers DATA JSON",
  ledger = "examples/ledger DATA JSON 100 300 10",
  reads = "examples/ledger DATA JSON 100 300 300",
  growth = "examples/ledger DATA JSON accounts 300 100 200",
  operate = "examples/ledger DATA JSON 300 300 1",
}

local function build(names)
  local targets = {}
  for name in pairs(names) do targets[#targets + 1] = "build/bench/" .. name end
  local code, _, err = stator.shell("make -s " .. table.concat(targets, " "))
  assert.equal(0, code, err)
end

describe("the benchmarks", function()
  -- They are programs of their own, which measure: with sanitizers there is nothing to learn.
  if stator.sanitized then return end
  setup(function() build(PROGRAMS) end)
  after_each(stator.clean)

  for name, arguments in pairs(PROGRAMS) do
    it("measure: bench/" .. name, function()
      local data = stator.folder()
      stator.shell(("cp -r bench/storage %s/storage-image && cp -r bench/storage %s/far")
        :format(data, data))
      stator.write(data .. "/far/descriptor.json",
        '{"storages":{"bench.Counter":{"isolation":"process"}}}')
      local given = arguments:gsub("DATA", data):gsub("JSON", data .. "/json")
        :gsub("BUILD", stator.build)
      local code, _, err = stator.shell("build/bench/" .. name .. " " .. given)
      assert.equal(0, code, err)
      local lines = 0
      for line in io.lines(data .. "/json") do
        local way = assert(stator.json.decode(line), line)
        assert.is_true(way.ratio == way.ratio and way.low <= way.high, line)
        lines = lines + 1
      end
      assert.is_true(lines >= 2)
    end)
  end
end)
