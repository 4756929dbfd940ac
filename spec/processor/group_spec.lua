-- Commands that run while those before them are on their way to the disk.

local stator = require "support.stator"

local SCHEMA = [[
  TYPE Params ( N int64, Ms int64 );
  VIEW Text ( One int32 NOT NULL, N int64 NOT NULL, Text varchar(8000),
    PRIMARY KEY ((One), N) ) AS RESULT OF Write;
  EXTENSION ENGINE LUA (
    COMMAND Wait(Params);
    COMMAND Put(Params);
    COMMAND Check(Params);
    SYNC PROJECTOR Look AFTER EXECUTE ON Check STATE(sys.View(Text));
    SYNC PROJECTOR Write AFTER EXECUTE ON Put INTENTS(sys.View(Text));
  );]]

local MODULE = [[
local Text = state.view "Text"
local function text_of(n) return ("%04d"):format(n):rep(2000) end
function M.Wait(args)
  local x = 0
  for i = 1, args.Ms * 300000 do x = (x + i) % 9973 + x % 7 end
end
function M.Put() end
function M.Write(event)
  local n = event.ArgumentObject.N
  state.new(Text { One = 1, N = n }, { Text = text_of(n) })
end
-- Reads a row, then all rows, then looks at the first one again.
function M.Look(event)
  local n = event.ArgumentObject.N
  local row, rows = state.must_get(Text { One = 1, N = n }), 0
  for _ in state.read(Text { One = 1 }) do rows = rows + 1 end
  if row.Text ~= text_of(n) then error "what was read has changed" end
  if rows ~= 1000 then error(("%d rows"):format(rows)) end
end
function M.Check() end]]

local DESCRIPTOR = [[{"limits":{"timeMs":{"command":60000},"rowsRead":100000,
  "bytesRead":1000000000,"memoryMB":200}}]]

local function command(name, n) return { id = n, wsid = 1, command = name, args = { N = n } } end

describe("a group of commands", function()
  after_each(stator.clean)

  it("keeps what a projector has read while it reads on in what another group wrote", function()
    local image = stator.shop(SCHEMA, MODULE, { ["descriptor.json"] = DESCRIPTOR })
    local requests = { { id = 0, wsid = 1, command = "shop.Wait", args = { Ms = 300 } } }
    for n = 1, 1000 do requests[#requests + 1] = command("shop.Put", n) end
    for n = 991, 1000 do requests[#requests + 1] = command("shop.Check", n) end
    local replies, _, err = stator.run(image, stator.folder(true), requests)
    assert.equal("", err)
    for i = 1002, 1011 do
      assert.equal(200, replies[i].status, replies[i].error and replies[i].error.message)
    end
  end)
end)
