local ffi = require "ffi"
local stator = require "support.stator"

local function command(line)
  return stator.shell(("STATOR=%s NO_COLOR=1 %s"):format(stator.quote(stator.command), line))
end

local function lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do list[#list + 1] = line end
  return list
end

local function lines_of(name, file)
  return lines(stator.read(("examples/%s/%s"):format(name, file)))
end

local function requests_of(name) return lines_of(name, "requests.jsonl") end
local function replies_of(name) return lines_of(name, "replies.jsonl") end

-- A copy of an example that a spec may spoil.
local function copy_of(name)
  local folder = stator.folder()
  stator.shell(("cp -R examples/%s %s/"):format(name, stator.quote(folder)))
  return folder .. "/" .. name
end

describe("examples", function()
  after_each(stator.clean)

  it("of jobs reply as expected", function()
    local code, out, err = command "examples/verify examples/greenhouse"
    assert.equal("", err)
    assert.equal(0, code, out)
  end)

  for _, name in ipairs { "restaurant", "ledger" } do
    describe(name, function()
      it("replies as expected", function()
        local code, out, err = command("examples/verify examples/" .. name)
        assert.equal("", err)
        assert.equal(0, code, out)
      end)

      it("replies the same from several partitions", function()
        local _, raw = stator.try("examples/" .. name, requests_of(name), "--partitions 3")
        assert.same(replies_of(name), raw)
      end)

      it("replies the same when it is stopped and started half way", function()
        local requests, data, raw = requests_of(name), stator.folder(), {}
        local half = math.floor(#requests / 2)
        for _, part in ipairs { { 1, half }, { half + 1, #requests } } do
          local some = { unpack(requests, part[1], part[2]) }
          local _, replies = stator.run("examples/" .. name, data, some)
          for _, line in ipairs(replies) do raw[#raw + 1] = line end
        end
        assert.same(replies_of(name), raw)
      end)
    end)
  end
end)

describe("the partition processor", function()
  after_each(stator.clean)

  -- The library is installed, and the program compiled against that.
  local program = stator.build .. "/partition-processor"

  setup(function()
    local code, _, err = stator.shell(("env -u MAKEFLAGS -u MAKELEVEL make -s %s %s"):format(
      stator.sanitized and "SANITIZER=address,undefined" or "",
      program:gsub("^.*/(build/)", "%1")))
    assert.equal(0, code, err)
  end)

  it("replies as expected", function()
    local code, out, err = command(("PROCESSOR=%s examples/verify examples/partition-processor")
      :format(stator.quote(program)))
    assert.equal("", err)
    assert.equal(0, code, out)
  end)

  it("says at its end what it has done", function()
    local _, _, err = stator.shell(("env -u LD_PRELOAD %s examples/partition-processor %s < "
      .. "examples/partition-processor/requests.jsonl"):format(program, stator.folder()))
    assert.matches('"extension":"parking.Park","runs":6,', err, 1, true)
    assert.matches('"storage":"parking.Tariff","calls":6,', err, 1, true)
  end)
end)

describe("examples/verify", function()
  after_each(stator.clean)

  it("shows the request, the expected and the found reply of a difference", function()
    local image = copy_of "ledger"
    local path = image .. "/replies.jsonl"
    stator.write(path, (stator.read(path):gsub('"offset":1,', '"offset":7,', 1)))
    local code, out = command("examples/verify " .. stator.quote(image))
    assert.equal(1, code)
    local found = lines(out)
    assert.equal("  line 1", found[2])
    assert.matches("^    request   {.*ledger%.Open", found[3])
    assert.matches('^    expected  {.*"offset":7,', found[4])
    assert.matches('^    found     {.*"offset":1,', found[5])
  end)

  it("sees a difference in a dump", function()
    local image = copy_of "ledger"
    local path = image .. "/expected/record-ledger.Account.jsonl"
    stator.write(path, stator.read(path) .. "{}\n")
    local code, out = command("examples/verify " .. stator.quote(image))
    assert.equal(1, code)
    assert.matches("found     %(nothing%)", out)
  end)

  it("takes what came out as expected with --update", function()
    local image = copy_of "ledger"
    local path = image .. "/replies.jsonl"
    local right = stator.read(path)
    stator.write(path, "")
    assert.equal(0, (command("examples/verify --update " .. stator.quote(image))))
    assert.equal(right, stator.read(path))
  end)

  it("says what it needs", function()
    local code, _, err = command "examples/verify"
    assert.equal(2, code)
    assert.matches("examples/verify examples/restaurant", err)
  end)
end)

describe("the demo of the restaurant", function()
  local code, out, err

  setup(function() code, out, err = command "examples/restaurant/demo" end)

  it("ends well", function()
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("shows a reply that was accepted and one that was refused", function()
    assert.matches('← {"id": %d+, "status": 200, "offset": %d+', out)
    assert.matches('Quantity: expected int32, found \\"two\\"', out, 1, true)
  end)

  it("shows the sales of each month with bars", function()
    for _, month in ipairs { "Jan", "Feb", "Mar", "Apr", "May", "Jun" } do
      assert.matches("\n  " .. month .. "%s+%d+%.%d%d █", out)
    end
  end)

  it("counts what was accepted and refused", function()
    local refused = 0
    for _, line in ipairs(replies_of "restaurant") do
      if not line:find('"status":200', 1, true) then refused = refused + 1 end
    end
    local total = #requests_of "restaurant"
    assert.matches(("%d requests: %d accepted, %d refused"):format(total, total - refused,
      refused), out, 1, true)
  end)

  it("gives commands to copy", function()
    assert.matches(" run examples/restaurant --data", out, 1, true)
  end)

  it("has no colours and no line wider than 80 columns when it is not on a terminal", function()
    assert.not_matches("\27", out)
    for _, line in ipairs(lines(out)) do
      local _, characters = line:gsub("[^\128-\191]", "")
      assert.is_true(characters <= 80, line)
    end
  end)

  it("works from any folder", function()
    local root = lines((select(2, stator.shell "pwd")))[1]
    local there = "cd / && STATOR=%s %s/examples/restaurant/demo"
    there = there:format(stator.quote(stator.command), stator.quote(root))
    assert.equal(0, (stator.shell(there)))
  end)
end)

describe("the ledger's balances", function()
  after_each(stator.clean)

  -- Sums are int64: those of workspace 12 pass 2^53.
  local function add(totals, wsid, amount)
    totals[wsid] = (totals[wsid] or ffi.new "int64_t") + amount
  end

  local function same(expected, found)
    for wsid, total in pairs(expected) do
      assert.equal(tostring(total), tostring(found[wsid]), "workspace " .. wsid)
    end
  end

  it("have the same total in the end as at the opening", function()
    local data, opened, left, moved = stator.folder(), {}, {}, {}
    local requests = requests_of "ledger"
    local replies = stator.run("examples/ledger", data, requests)
    for i, line in ipairs(requests) do
      if replies[i].status == 200 and line:find('"ledger.Open"', 1, true) then
        local args = stator.json.decode(line).args
        add(opened, stator.json.decode(line).wsid, args.Balance or 0)
      end
    end
    for _, account in ipairs((stator.dump("examples/ledger", data, "record ledger.Account"))) do
      add(left, account.wsid, account.fields.Balance)
      assert.is_true(account.fields.Balance >= 0)
    end
    assert.truthy(opened[10] and opened[11] and opened[12])
    same(opened, left)
    for _, row in ipairs((stator.dump("examples/ledger", data, "view ledger.Statement"))) do
      add(moved, row.wsid, row.value.Amount)
    end
    same({ [10] = 0LL, [11] = 0LL, [12] = 0LL }, moved)
  end)
end)
