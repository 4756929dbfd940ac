local stator = require "support.stator"

-- What an operator loses by a slip of `rm`, or a disk loses: whole files of the data.

local function shop(partitions)
  return stator.shop("TYPE P ( A int32 ); EXTENSION ENGINE LUA ( COMMAND Nop(P); );",
    "function M.Nop() end", { ["descriptor.json"] = ('{"partitions":%d}'):format(partitions) })
end

local function hits(count)
  local list = {}
  for i = 1, count do list[i] = { id = i, wsid = i, command = "shop.Nop" } end
  return list
end

describe("data of which files are missing", function()
  local image, data

  before_each(function()
    image, data = shop(3), stator.folder(true)
    local replies = stator.run(image, data, hits(6))
    assert.equal(6, #replies)
  end)
  after_each(stator.clean)

  local function refused(what)
    local replies, _, err, code = stator.run(image, data, hits(1))
    assert.same({ 1, 0 }, { code, #replies })
    assert.is_truthy(err:find("stator: run: " .. data .. "/shop/" .. what, 1, true), err)
    assert.is_truthy(err:find("from a backup", 1, true), err)
  end

  it("is not begun anew where the folder of a partition was", function()
    stator.shell(("rm -r %s/shop/partition-1"):format(data))
    refused "partition-1/data.mdb: is missing"
    local _, there = stator.shell(("ls %s/shop"):format(data))
    assert.equal("app.json\nlock\npartition-0\npartition-2\nschema.json\n", there)
  end)

  it("is not begun anew where a tree was", function()
    os.remove(data .. "/shop/partition-1/data.mdb")
    refused "partition-1/data.mdb: is missing"
  end)

  it("is not begun anew where a tree has become empty", function()
    stator.write(data .. "/shop/partition-1/data.mdb", "")
    refused "partition-1/data.mdb: is empty"
  end)

  it("is not divided anew where nothing says any more how many partitions there are", function()
    os.remove(data .. "/shop/app.json")
    refused "app.json: is missing"
  end)

  it("says that nothing could be compared where the schema is gone, and keeps it anew", function()
    os.remove(data .. "/shop/schema.json")
    local _, _, err, code = stator.run(image, data, {})
    assert.equal(0, code)
    assert.is_truthy(err:find("warning schema: " .. data .. "/shop/schema.json: is missing", 1,
      true), err)
    _, _, err = stator.run(image, data, {})
    assert.equal("", err)
  end)

  it("is said by each command that looks at it", function()
    os.remove(data .. "/shop/partition-2/data.mdb")
    for _, command in ipairs { "stat", "backup --to " .. data .. "/copy" } do
      local code, _, err = stator.shell(("%s %s %s --data %s"):format(stator.command, command,
        image, data))
      assert.equal(1, code)
      assert.is_truthy(err:find(data .. "/shop/partition-2/data.mdb: is missing", 1, true), err)
    end
  end)

  it("is a problem of its partition for verify, which looks at the others, too", function()
    os.remove(data .. "/shop/partition-0/data.mdb")
    stator.write(data .. "/shop/partition-2/data.mdb", "")
    local code, out, err = stator.shell(("%s verify %s --data %s"):format(stator.command, image,
      data))
    assert.equal(1, code)
    assert.is_truthy(out:find("partition 0: store: [^\n]*data.mdb: is missing"), out)
    assert.is_truthy(out:find("partition 2: store: [^\n]*data.mdb: is empty"), out)
    assert.is_truthy(err:find("2 problems", 1, true), err)
    local _, times = out:gsub("from a backup", "")
    assert.equal(2, times)
  end)
end)

describe("a tree that is damaged", function()
  local image, data, tree, size

  before_each(function()
    image, data = shop(1), stator.folder(true)
    local list = {}
    for i = 1, 3000 do list[i] = { id = i, wsid = i, command = "shop.Nop" } end
    stator.run(image, data, list)
    tree = data .. "/shop/partition-0/data.mdb"
    size = #stator.read(tree)
  end)
  after_each(stator.clean)

  -- The way it is found out differs with what is hit; what is said does not.
  local function is_said()
    for _, command in ipairs { "verify", "stat", "dump" } do
      local code, out, err = stator.shell(("%s %s %s --data %s %s"):format(stator.command, command,
        image, data, command == "dump" and "plog" or ""))
      assert.not_equal(0, code)
      assert.is_truthy((out .. err):find(tree:match "^(.*)/data", 1, true), out .. err)
      assert.is_truthy((out .. err):find("from a backup", 1, true), out .. err)
    end
  end

  it("is named when it has been cut off", function()
    stator.shell(("truncate -s %d %s"):format(math.floor(size / 8192) * 4096, tree))
    is_said()
  end)

  it("is named when pages of it are gone", function()
    stator.shell(("dd if=/dev/zero of=%s bs=4096 seek=8 count=%d conv=notrunc"):format(tree,
      math.floor(size / 4096) - 12))
    is_said()
  end)
end)

describe("a first start that died", function()
  after_each(stator.clean)

  it("is no damage: the next one makes what is missing", function()
    local image, data = shop(2), stator.folder(true)
    stator.run(image, data, {})
    os.remove(data .. "/shop/schema.json")
    stator.shell(("rm -r %s/shop/partition-1"):format(data))
    local replies, _, _, code = stator.run(image, data, hits(2))
    assert.same({ 0, 200, 200 }, { code, replies[1].status, replies[2].status })
  end)
end)
