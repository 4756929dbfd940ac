local stator = require "support.stator"

-- How a host ends: by its input, by a signal, or because nobody takes its replies.

local SCHEMA = [[
  TYPE P ( Name varchar NOT NULL );
  VIEW Seen ( Name varchar NOT NULL, One int32 NOT NULL, N int64, PRIMARY KEY ((One), Name) )
    AS RESULT OF Count;
  EXTENSION ENGINE LUA (
    COMMAND Hit(P);
    PROJECTOR Count AFTER EXECUTE ON Hit INTENTS(sys.View(Seen));
  );
]]
local MODULE = [[
  local Seen = state.view "Seen"
  function M.Hit() end
  function M.Count(event)
    state.new(Seen { One = 1, Name = event.ArgumentObject.Name }, { N = 1 })
  end
]]

local function hit(i)
  return ('{"id":%d,"wsid":1,"command":"shop.Hit","args":{"Name":"n%d"}}'):format(i, i)
end

-- A host whose input stays open. `script` is run beside it: fd 3 is its input, $pid the
-- process, and `replies N` waits for that many. The script's output, the host's replies, its
-- stderr and its exit code.
local function beside(image, data, script, before, to)
  local _, out = stator.shell(([[
    cd %s && mkfifo in && : > replies
    %s
    %s run %s --data data < in > %s 2> log & pid=$!
    exec 3> in
    replies() { while kill -0 $pid && [ $(wc -l < replies) -lt $1 ]; do sleep 0.01; done; }
    %s
    wait $pid; echo "exit $?"]]):format(data, before or "", stator.command, stator.quote(image),
    to or "replies", script))
  local raw = {}
  for line in stator.read(data .. "/replies"):gmatch "[^\n]+" do raw[#raw + 1] = line end
  return raw, stator.read(data .. "/log"), tonumber(out:match "exit (%d+)"), out
end

describe("stator run, when it is sent SIGTERM,", function()
  local image, data

  before_each(function() image, data = stator.shop(SCHEMA, MODULE), stator.folder(true) end)
  after_each(stator.clean)

  it("answers what it has read, and ends in peace", function()
    local raw, log, code = beside(image, data, ([[
      echo '%s' >&3; replies 1
      kill -TERM $pid]]):format(hit(1)))
    assert.same({ 0, { '{"id":1,"status":200,"offset":1}' } }, { code, raw })
    assert.is_truthy(log:find("stator: run: ends, as a signal asks", 1, true), log)
    -- Nothing is left to be read of a log.
    assert.not_equal(0, (stator.shell("ls " .. data .. "/data/shop/partition-0/*.seg")))
  end)

  it("has replied to each command of which it has the event", function()
    local lines = {}
    for i = 1, 3000 do lines[i] = hit(i) end
    stator.write(data .. "/requests", table.concat(lines, "\n") .. "\n")
    local raw, _, code = beside(image, data, [[
      cat requests >&3 & writer=$!
      replies 10
      kill -TERM $pid
      wait $pid; echo "exit $?"; exec 3>&-; kill $writer 2> /dev/null; wait $writer]])
    assert.equal(0, code)
    assert.equal(#raw, #(stator.dump(image, data .. "/data", "plog")))
    local _, _, err, ended = stator.run(image, data .. "/data", {})
    assert.same({ "", 0 }, { err, ended })
    assert.equal(#raw, #(stator.dump(image, data .. "/data", "view shop.Seen")))
  end)

  -- Who takes its replies takes one, and the others when the signal has been sent: they are
  -- more than a pipe holds.
  it("replies to what it has read when its input has ended, too", function()
    local lines = {}
    for i = 1, 3000 do
      lines[i] = ('{"id":"%s","wsid":1,"command":"shop.Hit","args":{"Name":"n"}}'):format(
        ("x"):rep(100))
    end
    stator.write(data .. "/requests", table.concat(lines, "\n") .. "\n")
    local raw, log, code = beside(image, data, [[
      cat requests >&3; exec 3>&-; replies 1
      kill -TERM $pid; : > go; wait $reader]], [[
      mkfifo out
      { read one; echo "$one"; while [ ! -e go ]; do sleep 0.01; done; cat; } < out > replies &
      reader=$!]], "out")
    assert.equal(0, code, log)
    assert.equal(#raw, #(stator.dump(image, data .. "/data", "plog")))
  end)

  it("does not wait for projectors that are behind", function()
    image = stator.shop(SCHEMA, (MODULE:gsub("state.new", "error 'not yet' state.new")),
      { ["descriptor.json"] = '{"projectors":{"waitMs":60000,"mostWaitMs":60000}}' })
    local raw, _, code = beside(image, data, ([[
      echo '%s' >&3; replies 1
      kill -TERM $pid]]):format(hit(1)))
    assert.same({ 0, 1 }, { code, #raw })
  end)
end)

describe("stator run, when its input has ended,", function()
  after_each(stator.clean)

  it("says how far its projectors are behind when that takes long", function()
    local image = stator.shop(SCHEMA, (MODULE:gsub("state.new", "error 'not yet' state.new")),
      { ["descriptor.json"] = '{"projectors":{"waitMs":60000,"mostWaitMs":60000}}' })
    local _, log = beside(image, stator.folder(true), ([[
      echo '%s' >&3; exec 3>&-
      while ! grep -q behind log && kill -0 $pid; do sleep 0.05; done
      kill -TERM $pid]]):format(hit(1)))
    assert.is_truthy(log:find("stator: run: the input has ended; projectors are 1 event behind", 1,
      true), log)
  end)
end)

describe("stator, where nobody takes what it says,", function()
  local image, data

  before_each(function() image, data = stator.shop(SCHEMA, MODULE), stator.folder(true) end)
  after_each(stator.clean)

  it("serves no more, and says why", function()
    local line = "echo '%s' | %s run %s --data %s > /dev/full; echo $?"
    local _, out, err = stator.shell(line:format(hit(1), stator.command, image, data))
    assert.equal("1\n", out)
    assert.is_truthy(err:find("run: cannot write replies: No space left on device", 1, true), err)
  end)

  for _, what in ipairs { "projectors IMAGE --data DATA", "stat IMAGE --data DATA", "--help",
    "run --help" } do
    it("fails: stator " .. what, function()
      stator.run(image, data, { hit(1) })
      local line = what:gsub("IMAGE", image):gsub("DATA", data)
      local code, _, err = stator.shell(stator.command .. " " .. line .. " > /dev/full")
      assert.equal(1, code)
      assert.is_truthy(err:find("cannot write", 1, true), err)
    end)
  end
end)
