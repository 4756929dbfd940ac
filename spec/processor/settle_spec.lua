-- When storages are told that the batch of a run is complete: with a plugin that keeps
-- in memory what it is told.

local stator = require "support.stator"
local plugins = require "support.plugins"

local SCHEMA = [[
APPLICATION shop ();
STATESTORAGE ENGINE PLUGIN (
  Thing (
    GET SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS), INSERT SCOPE(COMMANDS, PROJECTORS)
  )
);
WORKSPACE W (
  TYPE P ( Name varchar NOT NULL, Text varchar );
  VIEW Counts (
    P int64 NOT NULL, N int64 NOT NULL, Seen varchar, PRIMARY KEY ((P), N)
  ) AS RESULT OF Count;
  EXTENSION ENGINE LUA (
    COMMAND Put(P) STATE(Thing) INTENTS(Thing, sys.Response);
    COMMAND Tell(P);
    COMMAND Add(P);
    SYNC PROJECTOR First AFTER EXECUTE ON Tell INTENTS(Thing);
    SYNC PROJECTOR Second AFTER EXECUTE ON Tell STATE(Thing) INTENTS(Thing);
    SYNC PROJECTOR Last AFTER EXECUTE ON Tell;
    PROJECTOR Count AFTER EXECUTE ON Add STATE(Thing) INTENTS(Thing, sys.View(Counts));
    QUERY Get(P) STATE(Thing) RETURNS P;
  );
);
]]

local MODULE = [[
local state = require "stator.state"
local Thing, Counts = state.storage "shop.Thing", state.view "shop.Counts"
local M = {}
local function text(name)
  local seen = state.get(Thing { Name = name })
  return seen and seen.Text
end
function M.Put(args)
  state.new(Thing { Name = args.Name }, { Text = args.Text })
  if text(args.Name) then error("it sees " .. text(args.Name)) end
  if args.Text == "refuse" then state.response(409, "no") end
  if args.Text == "fail" then error "no" end
end
function M.Tell() end
function M.Add() end
function M.First(event)
  state.new(Thing { Name = event.ArgumentObject.Name }, { Text = "first" })
end
function M.Second(event)
  state.new(Thing { Name = "second" }, { Text = text(event.ArgumentObject.Name) or "nothing" })
end
function M.Last(event) if event.ArgumentObject.Text == "fail" then error "no" end end
function M.Count(event)
  local count = tonumber(text "count" or 0) + 1
  state.new(Thing { Name = "count" }, { Text = tostring(count) })
  state.new(Counts { P = 1, N = event.Offset }, { Seen = tostring(count) })
end
function M.Get(args)
  local seen = text(args.Name)
  if seen then state.result { Name = args.Name, Text = seen } end
end
return M
]]

describe("what is settled", function()
  after_each(stator.clean)

  local function image()
    return plugins.image("settles", { schema = SCHEMA, module = MODULE })
  end

  local function ask(name, thing, text)
    return { id = 1, wsid = 1, [name == "Get" and "query" or "command"] = "shop." .. name,
      args = { Name = thing, Text = text } }
  end

  it("is seen by the next command and by queries, not by the run itself", function()
    local replies = stator.try(image(), { ask("Put", "a", "x"), ask("Get", "a"),
      ask("Put", "a", "y") })
    assert.same({ { Name = "a", Text = "x" } }, replies[2].rows)
    assert.matches("it sees x", replies[3].error.message)
  end)

  it("is nothing of a command that is refused or fails", function()
    local replies = stator.try(image(), { ask("Put", "a", "refuse"), ask("Get", "a"),
      ask("Put", "b", "fail"), ask("Get", "b") })
    assert.same({ 409, {}, 500, {} }, { replies[1].status, replies[2].rows, replies[3].status,
      replies[4].rows })
  end)

  it("is told when all synchronous projectors have run, and not before", function()
    local replies = stator.try(image(), { ask("Tell", "a", "x"), ask("Get", "a"),
      ask("Get", "second") })
    assert.same({ { Name = "a", Text = "first" } }, replies[2].rows)
    assert.same({ { Name = "second", Text = "nothing" } }, replies[3].rows)
  end)

  it("is nothing when one of the synchronous projectors fails", function()
    local replies = stator.try(image(), { ask("Tell", "a", "fail"), ask("Get", "a"),
      ask("Get", "second") })
    assert.same({ 500, {}, {} }, { replies[1].status, replies[2].rows, replies[3].rows })
  end)

  it("is seen by the next run of an asynchronous projector", function()
    local app, data, requests = image(), stator.folder(), {}
    for i = 1, 20 do requests[i] = ask("Add", "a", "x") end
    stator.run(app, data, requests)
    local found = {}
    for i, row in ipairs((stator.dump(app, data, "view shop.Counts"))) do
      found[i] = row.value.Seen
    end
    local expected = {}
    for i = 1, 20 do expected[i] = tostring(i) end
    assert.same(expected, found)
  end)
end)
