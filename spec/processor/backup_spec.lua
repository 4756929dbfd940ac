-- `stator backup` and `stator restore`: what comes back is what was there, whatever goes on
-- meanwhile; and nothing is done by halves.

local stator = require "support.stator"

local SCHEMA = [[
  TYPE P ( N int64 NOT NULL );
  TABLE Article INHERITS sys.CDoc ( Name varchar(20) NOT NULL, UNIQUEFIELD Name );
  VIEW Seen ( One int32 NOT NULL, Two int32 NOT NULL, Times int64, PRIMARY KEY ((One), Two) )
    AS RESULT OF Note;
  VIEW Wide ( One int32 NOT NULL, N int64 NOT NULL, Text varchar(2000), PRIMARY KEY ((One), N) )
    AS RESULT OF Note;
  VIEW Later ( One int32 NOT NULL, N int64 NOT NULL, Times int64, PRIMARY KEY ((One), N) )
    AS RESULT OF NoteLater;
  EXTENSION ENGINE LUA (
    COMMAND Hit(P);
    SYNC PROJECTOR Note AFTER EXECUTE ON Hit INTENTS(sys.View(Seen, Wide));
    PROJECTOR NoteLater AFTER EXECUTE ON Hit INTENTS(sys.View(Later));
  );]]

local MODULE = [[
local Seen, Wide, Later = state.view "Seen", state.view "Wide", state.view "Later"
local function add(key)
  local seen = state.get(key)
  if seen then state.update(key, seen).Times = seen.Times + 1 else state.new(key).Times = 1 end
end
function M.Hit() end
function M.Note(event)
  local key = Wide { One = 1, N = event.WLogOffset % 1000 }
  add(Seen { One = 1, Two = 1 })
  state.new(key, { Text = ("x"):rep(1000) .. event.WLogOffset })
end
function M.NoteLater(event) add(Later { One = 1, N = event.WLogOffset % 7 }) end]]

local function hits(from, to, partitions)
  local list = {}
  for n = from, to do
    list[#list + 1] = { id = n, wsid = 1 + n % (partitions or 1), command = "shop.Hit",
      args = { N = n } }
  end
  return list
end

local function sh(format, ...)
  local args = {}
  for i = 1, select("#", ...) do args[i] = stator.quote((select(i, ...))) end
  return stator.shell(format:format(stator.command, unpack(args)))
end

describe("stator backup", function()
  local image, data, to

  local function make(descriptor)
    image = stator.shop(SCHEMA, MODULE, { ["descriptor.json"] = descriptor })
  end

  before_each(function()
    make "{}"
    data, to = stator.folder(true), stator.folder(true) .. "/backup"
  end)
  after_each(stator.clean)

  local function backup(options)
    return sh("%s backup %s --data %s --to %s " .. (options or ""), image, data, to)
  end

  local function restore(into, options)
    return sh("%s restore %s --from %s --data %s " .. (options or ""), image, to, into)
  end

  -- All that is stored, as text.
  local function contents(folder)
    local all = {}
    for _, what in ipairs { "plog", "wlog", "view shop.Seen", "view shop.Wide", "view shop.Later",
      "record shop.Article" } do
      local _, lines = stator.dump(image, folder, what)
      all[#all + 1] = what .. "\n" .. table.concat(lines, "\n")
    end
    return table.concat(all, "\n")
  end

  local function is_fine(folder)
    local code, out, err = sh("%s verify %s --data %s", image, folder)
    assert.same({ "", "", 0 }, { out, err, code })
  end

  local function files(folder)
    local _, out = stator.shell(("cd %s && find . | sort"):format(stator.quote(folder)))
    return out
  end

  it("says what it has copied, and restore brings back the same", function()
    stator.run(image, data, hits(1, 300, 3), "--partitions 3")
    local code, out, err = backup()
    assert.same({ 0, "" }, { code, err })
    assert.matches("^partition 0: %d+ bytes\npartition 1: %d+ bytes\npartition 2: %d+ bytes\n$",
      out)
    local back = stator.folder(true) .. "/new"
    assert.same({ 0, "", "" }, { restore(back) })
    assert.equal(contents(data), contents(back))
    is_fine(back)
  end)

  it("gives JSON with --json", function()
    stator.run(image, data, hits(1, 3))
    local _, out = backup "--json"
    local line = stator.json.decode(out)
    assert.equal(0, line.partition)
    assert.is_true(line.bytes > 0)
  end)

  it("has what is in the log only, of a host that was killed", function()
    local folder = stator.folder()
    stator.run(image, data, hits(1, 10))
    stator.shell(([[
      cd %s; mkfifo fifo; %s run %s --data %s > out 2> err < fifo & pid=$!
      exec 3> fifo; for i in 1 2 3 4 5; do
        echo '{"id":1,"wsid":1,"command":"shop.Hit","args":{"N":1}}' >&3
        while [ $(wc -l < out) -lt $i ]; do sleep 0.01; done
      done; kill -9 $pid; wait $pid]]):format(folder, stator.command, image, data))
    assert.matches("log%-", files(data))
    assert.equal(0, (backup()))
    assert.equal(15, #stator.dump(image, to, "plog"))
    assert.equal(contents(data), contents(to))
    is_fine(to)
  end)

  for _, durability in ipairs { "log", "store", "none" } do
    it(('is whole while a host writes, with durability "%s"'):format(durability), function()
      -- Little memory for the log: checkpoints follow one another.
      make(('{"durability":"%s","log":{"memoryMB":3}}'):format(durability))
      local folder, lines = stator.folder(true), {}
      for i, r in ipairs(hits(1, 12000)) do lines[i] = stator.json.encode(r) .. "\n" end
      stator.write(folder .. "/in", table.concat(lines))
      local code, out, err = stator.shell(([[
        cd %s; mkfifo fifo; %s run %s --data %s > out 2> err < fifo & pid=$!
        exec 3> fifo
        split -l 3000 -a 2 in in.
        n=0
        for piece in in.a?; do
          while [ $(wc -l < out) -lt $n ]; do sleep 0.01; done
          cat $piece >&3 & feeding=$!
          n=$((n + 1500))
          while [ $(wc -l < out) -lt $n ]; do sleep 0.002; done
          before=$(wc -l < out)
          %s backup %s --data %s --to to/$before > /dev/null || exit 9
          echo $before
          wait $feeding; n=$((n + 1500))
        done
        exec 3>&-; wait $pid; cat err]]):format(folder, stator.command, image, data,
        stator.command, image, data))
      assert.same({ 0, "" }, { code, err })
      local count = 0
      for before in out:gmatch "%d+" do
        count, to = count + 1, folder .. "/to/" .. before
        local events = stator.dump(image, to, "plog")
        assert.is_true(#events >= tonumber(before))
        is_fine(to)
      end
      assert.equal(4, count)
    end)
  end

  it("is made of a host in the same process, too", function()
    local program, folder = stator.folder() .. "/backups", stator.folder(true)
    local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s "
      .. "spec/fixtures/backups.c -o %s -L%s -lstator -lpthread -Wl,-rpath,%s"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build,
      stator.build))
    assert.equal(0, code, err)
    local out
    code, out, err = stator.shell(("env -u LD_PRELOAD %s %s %s %s"):format(program, image, data,
      folder))
    assert.same({ 0, "" }, { code, err })
    local i = 0
    for before in out:gmatch "%d+" do
      to, i = folder .. "/" .. i, i + 1
      assert.is_true(#stator.dump(image, to, "plog") >= tonumber(before))
      is_fine(to)
    end
    assert.equal(5, i)
  end)

  it("can be opened and written as it is", function()
    stator.run(image, data, hits(1, 20))
    backup()
    assert.equal(21, stator.run(image, to, hits(1, 1))[1].offset)
  end)

  it("is not made where there is one", function()
    stator.run(image, data, hits(1, 3))
    backup()
    local before = files(to)
    local code, out, err = backup()
    assert.same({ 1, "" }, { code, out })
    assert.matches("/backup/shop: is there already; choose another folder, or move it away\n$", err)
    assert.equal(before, files(to))
  end)

  it("leaves nothing when it cannot be made", function()
    stator.run(image, data, hits(1, 3))
    stator.write(data .. "/shop/partition-0/log-0000000000000009.seg", ("x"):rep(4096))
    local code, _, err = backup()
    assert.equal(1, code)
    assert.matches("log%-0000000000000009.seg: damaged at byte 0", err)
    assert.equal(".\n", files(to))
    stator.write(to .. "/file", "")
    to = to .. "/file"
    code, _, err = backup()
    assert.equal(1, code)
    assert.matches("file/shop.-: Not a directory", err)
  end)

  it("says that there is no data", function()
    local code, _, err = backup()
    assert.equal(1, code)
    assert.matches("there is no data of shop", err)
  end)

  describe("restore", function()
    local back

    before_each(function()
      stator.run(image, data, hits(1, 30))
      backup()
      back = stator.folder(true) .. "/new"
    end)

    local function refused(pattern)
      local code, _, err = restore(back)
      assert.equal(1, code)
      assert.matches(pattern, err)
      assert.equal(1, stator.shell("test -e " .. back .. "/shop"))
      assert.matches("^%.?\n?$", files(back))
    end

    it("overwrites nothing", function()
      local before = contents(data)
      local code, _, err = restore(data)
      assert.equal(1, code)
      assert.matches("is there already; restore into a new folder, or move it away", err)
      assert.equal(before, contents(data))
    end)

    it("refuses a file that is not what it was, and brings back nothing", function()
      stator.shell(("printf x | dd of=%s/shop/partition-0/data.mdb bs=1 seek=9000 conv=notrunc")
        :format(to))
      refused "partition%-0/data.mdb: is not what it was when the backup was made"
    end)

    it("refuses a backup of which a file is missing", function()
      stator.shell(("rm %s/shop/partition-0/data.mdb"):format(to))
      refused "partition%-0/data.mdb: is missing; take another backup: nothing was brought"
    end)

    it("refuses what is no backup", function()
      stator.shell(("rm %s/shop/backup.json"):format(to))
      refused "backup.json: No such file or directory; this is no backup of shop, or one that did"
    end)

    it("refuses a list of files that leads elsewhere", function()
      local path = to .. "/shop/backup.json"
      stator.write(path, (stator.read(path):gsub("partition%-0/", "../")))
      refused "has an entry that is no file"
    end)

    it("refuses data that is damaged, and says what is wrong", function()
      -- The image knows no such table any more.
      stator.run(image, data, { { id = 1, wsid = 1, command = "sys.CUD", cuds = { { ["sys.ID"] = 1,
        ["sys.QName"] = "shop.Article", Name = "Tea" } } } })
      to = to .. "2"
      backup()
      local path = image .. "/pkg/shop/shop.vsql"
      stator.write(path, (stator.read(path):gsub("TABLE Article", "TABLE Other")))
      local code, out, err = restore(back)
      assert.equal(1, code)
      assert.matches("partition 0: record, workspace 1, 200001: it is of no table", out)
      assert.equal("stator: restore: nothing was brought back: 2 problems\n", err:match "[^\n]+\n$")
      assert.equal(1, stator.shell("test -e " .. back .. "/shop"))
    end)
  end)
end)
