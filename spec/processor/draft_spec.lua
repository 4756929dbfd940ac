local stator = require "support.stator"

-- What a verify, a backup or a restore that was killed has left behind: folders that are as
-- large as the data, and that nobody would ever look at again.

describe("what was left by one that died", function()
  local image, root

  before_each(function()
    image = stator.shop("TYPE P ( A int32 ); EXTENSION ENGINE LUA ( COMMAND Nop(P); );",
      "function M.Nop() end")
    root = stator.folder(true)
    stator.run(image, root .. "/data", { { id = 1, wsid = 1, command = "shop.Nop" } })
  end)
  after_each(stator.clean)

  -- Runs `stator COMMAND IMAGE OPTIONS` in the root, perhaps under another command.
  local function run(command, options, under)
    return stator.shell(("cd %s && %s %s %s %s %s"):format(root, under or "", stator.command,
      command, image, options))
  end

  local function there(path) return (stator.shell("test -e " .. root .. "/" .. path)) == 0 end

  local cases = {
    { "verify", "--data data", "data/verify-1" },
    { "backup", "--data data --to copy", "copy/shop.draft-1" },
    { "restore", "--from first --data new", "new/restore-1" },
  }

  for _, case in ipairs(cases) do
    local command, options, left = unpack(case)

    it("is removed by the next " .. command, function()
      run("backup", "--data data --to first")
      stator.write(root .. "/" .. left .. "/shop/partition-0/data.mdb", "nothing of it is used")
      local code, _, err = run(command, options)
      assert.same({ 0, "" }, { code, err })
      assert.is_false(there(left))
    end)

    it("is not taken from a " .. command .. " that is under way", function()
      run("backup", "--data data --to first")
      stator.write(root .. "/" .. left .. "/shop/file", "")
      assert.equal(0, (run(command, options, "flock " .. left)))
      assert.is_true(there(left .. "/shop/file"))
    end)
  end

  it("is not in the way of a process that has the same number", function()
    local line = 'sh -c \'mkdir -p data/verify-$$/shop && echo 3 > data/verify-$$/shop/app.json '
      .. '&& exec "$@"\' sh'
    local code, _, err = run("verify", "--data data", line)
    assert.same({ 0, "" }, { code, err })
    assert.equal("shop\n", (select(2, stator.shell("ls " .. root .. "/data"))))
  end)
end)
