-- Lines of the log: as text, as JSON, and to the sink of an embedder.

local stator = require "support.stator"

local SCHEMA = [[
  TYPE Params ( Text varchar );
  VIEW Later ( One int32 NOT NULL, Two int32 NOT NULL, PRIMARY KEY ((One), Two) )
    AS RESULT OF Fails;
  EXTENSION ENGINE LUA (
    COMMAND Say(Params) INTENTS(sys.Logger);
    COMMAND Fail(Params) INTENTS(sys.Logger);
    QUERY Ask(Params) RETURNS void;
    PROJECTOR Fails AFTER EXECUTE ON Fail INTENTS(sys.View(Later));
  );]]

local MODULE = [[
function M.Say(args)
  state.log("error", args.Text)
  state.log("info", args.Text)
  state.log("verbose", args.Text)
end
function M.Fail() end
function M.Ask(args) state.log("warning", args.Text) end
function M.Fails() error "never" end
]]

local function say(text, wsid)
  return { id = 1, wsid = wsid or 7, command = "shop.Say", args = { Text = text } }
end

-- Lines of stderr as tables, without their times, which are checked.
local function decode(err)
  local list = {}
  for line in err:gmatch "[^\n]+" do
    local found = assert(stator.json.decode(line), line)
    assert.matches("^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%dZ$", found.time)
    found.time = nil
    list[#list + 1] = found
  end
  return list
end

describe("the log", function()
  local image

  before_each(function() image = stator.shop(SCHEMA, MODULE) end)
  after_each(stator.clean)

  it("is text if nothing else is said", function()
    local _, _, err = stator.try(image, { say "hello" })
    assert.equal("error shop.Say: hello\ninfo shop.Say: hello\n", err)
  end)

  it("is one JSON object a line with --log json, with all that is known", function()
    local _, _, err = stator.try(image, { say "one", say "two\n\"2\" \1" },
      "--partitions 3 --log json")
    local function line(level, offset, message)
      return { level = level, app = "shop", partition = 1, wsid = 7, extension = "shop.Say",
        offset = offset, source = "shop.Say", message = message }
    end
    assert.same({ line("error", 1, "one"), line("info", 1, "one"),
      line("error", 2, "two\n\"2\" \1"), line("info", 2, "two\n\"2\" \1") }, decode(err))
  end)

  it("says of queries which partition and workspace they ask", function()
    local _, _, err = stator.try(image,
      { { id = 1, wsid = 8, query = "shop.Ask", args = { Text = "seen" } } },
      "--partitions 3 --log json")
    assert.same({ { level = "warning", app = "shop", partition = 2, wsid = 8,
      extension = "shop.Ask", source = "shop.Ask", message = "seen" } }, decode(err))
  end)

  it("says in which workspace a job fails", function()
    local hourly = stator.shop(SCHEMA, MODULE .. " function M.Hourly() error 'no' end", {
      ["pkg/shop/jobs.vsql"] = "ALTER WORKSPACE sys.AppWorkspaceWS "
        .. "( EXTENSION ENGINE LUA ( JOB Hourly '@hourly'; ); );\n" })
    local _, _, err = stator.try(hourly, { { id = 1, clock = "2026-01-01T01:00:00Z" } },
      "--partitions 3 --log json --clock 2026-01-01T00:00:00Z")
    local found = decode(err)[1]
    assert.same({ "error", "shop", 1, 65536, "shop.Hourly", "shop.Hourly" }, { found.level,
      found.app, found.partition, found.wsid, found.extension, found.source })
  end)

  it("says at which event an asynchronous projector fails", function()
    local _, _, err = stator.try(image, { say "",
      { id = 1, wsid = 7, command = "shop.Fail" } }, "--log json --log-level warning")
    local found = decode(err)
    local last = found[#found]
    assert.same({ "error", "shop", 0, "shop.Fails", 2 },
      { last.level, last.app, last.partition, last.extension, last.offset })
  end)

  it("shows as much as --log-level says", function()
    for level, count in pairs { error = 1, info = 2, verbose = 3 } do
      local _, _, err = stator.try(image, { say "x" }, "--log-level " .. level)
      assert.equal(count, select(2, err:gsub("shop.Say: x", "")))
    end
  end)

  it("has what the command itself says as JSON, too", function()
    stator.write(image .. "/pkg/shop/shop.lua", "return {")
    local _, _, err, code = stator.try(image, {}, "--log json")
    assert.equal(1, code)
    local found = decode(err)
    assert.equal("error", found[1].level)
    assert.matches("shop.lua:1", found[1].message)
  end)

  it("refuses another format, and another level", function()
    for _, option in ipairs { "--log xml", "--log-level loud" } do
      local _, _, err, code = stator.try(image, {}, option)
      assert.equal(2, code)
      assert.matches("expected", err)
    end
  end)

  it("goes to the sink of its host, at the level of its host", function()
    local program = stator.folder() .. "/sinks"
    local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s "
      .. "spec/fixtures/sinks.c -o %s -L%s -lstator -lpthread -Wl,-rpath,%s"):format(
      stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build,
      stator.build))
    assert.equal(0, code, err)
    local _, out, errors = stator.shell(("env -u LD_PRELOAD %s %s %s %s"):format(program, image,
      stator.folder(), stator.folder()))
    assert.equal("", errors)
    assert.equal("first 1 shop 0 7 shop.Say 1 shop.Say: hello\n"
      .. "first 3 shop 0 7 shop.Say 1 shop.Say: hello\n"
      .. "second 1 shop 0 7 shop.Say 1 shop.Say: hello\n", out)
  end)
end)
