local stator = require "support.stator"

describe("stator run", function()
  after_each(stator.clean)

  it("runs on LuaJIT, as its specs do", function()
    assert.is_truthy(jit)
  end)

  it("replies to a command with the offset of its event", function()
    local image = stator.shop("EXTENSION ENGINE LUA ( COMMAND Nop(); );", "function M.Nop() end")
    local _, raw = stator.try(image, { { id = 1, wsid = 1, command = "shop.Nop" } })
    assert.same({ '{"id":1,"status":200,"offset":1}' }, raw)
  end)
end)
