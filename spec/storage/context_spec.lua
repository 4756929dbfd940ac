-- What extensions learn of their request: contexts, the sender, the log, the answer.

local stator = require "support.stator"

local SCHEMA = [[
TYPE Params ( N int64, From int64, Count int64, Reverse bool, Limit int64 );
TYPE Secret ( Word varchar );
TYPE Answer ( N int64, Text varchar, Kind int32, Profile int64, Token varchar, Workspace int64,
  Offset int64 );
EXTENSION ENGINE LUA (
  COMMAND Nop(Params);
  COMMAND Who() STATE(sys.RequestSubject) INTENTS(sys.Result) RETURNS Answer;
  QUERY AskWho STATE(sys.RequestSubject) RETURNS Answer;
  COMMAND Undeclared() INTENTS(sys.Result) RETURNS Answer;
  COMMAND Context(Params, UNLOGGED Secret) INTENTS(sys.Result) RETURNS Answer;
  QUERY AskContext(Params) RETURNS Answer;
  QUERY Log(Params) STATE(sys.WLog) RETURNS Answer;
);]]

local MODULE = [[
local Subject, Context = state.storage "sys.RequestSubject", state.storage "sys.CommandContext"
local Query, WLog = state.storage "sys.QueryContext", state.storage "sys.WLog"
local function who()
  local s = state.get(Subject {})
  if not s then return state.result { Text = "nobody" } end
  state.result { Text = s.Name, Kind = s.Kind, Profile = s.ProfileWSID, Token = s.Token }
end
function M.Nop() end
function M.Who() who() end
function M.AskWho() who() end
function M.Undeclared() who() end
function M.Context()
  local c = state.get(Context {})
  state.result { N = c.ArgumentObject.N, Text = c.ArgumentUnloggedObject.Word, Token = c.Origin,
    Workspace = c.Workspace, Offset = c.WLogOffset }
end
function M.AskContext()
  local c = state.get(Query {})
  state.result { N = c.ArgumentObject.N, Workspace = c.Workspace }
end
function M.Log(args)
  local key = WLog { Offset = args.From, Count = args.Count }
  for k, event in state.read(key, { reverse = args.Reverse, limit = args.Limit }) do
    assert(k.Offset == event.Offset)
    state.result { Offset = event.Offset, N = event.ArgumentObject.N, Text = event.QName }
  end
end]]

local ANN = { ProfileWSID = 77, Kind = 1, Name = "ann", Token = "s3cret" }
local function who(subject, name)
  return { id = 1, wsid = 1, [name and "query" or "command"] = "shop." .. (name or "Who"),
    subject = subject }
end

describe("sys.RequestSubject", function()
  local image

  before_each(function() image = stator.shop(SCHEMA, MODULE) end)
  after_each(stator.clean)

  it("is what a command and a query say of their sender", function()
    local replies = stator.try(image, { who(ANN), who({ Kind = 2, Name = "till" }, "AskWho") })
    assert.same({ Text = "ann", Kind = 1, Profile = 77, Token = "s3cret" }, replies[1].result)
    assert.same({ { Text = "till", Kind = 2 } }, replies[2].rows)
  end)

  it("is absent when the request says nothing, whoever sent the one before it", function()
    local replies = stator.try(image, { who(ANN), who(), who(ANN, "AskWho"), who(nil, "AskWho") })
    assert.same({ Text = "nobody" }, replies[2].result)
    assert.same({ { Text = "nobody" } }, replies[4].rows)
  end)

  it("is not kept in the log", function()
    local data = stator.folder()
    stator.run(image, data, { who(ANN) })
    local _, raw = stator.dump(image, data, "wlog --wsid 1")
    assert.is_nil(table.concat(raw):find("ann", 1, true))
  end)

  it("is for extensions that declare it", function()
    local reply = stator.try(image, { who(ANN, "AskWho"),
      { id = 1, wsid = 1, command = "shop.Undeclared", subject = ANN } })[2]
    assert.equal("NOT_DECLARED", reply.error.code)
  end)

  for message, subject in pairs {
    ["subject: expected an object, found 5"] = 5,
    ["subject.Kind: expected 1 (user) or 2 (device), found 3"] = { Kind = 3 },
    ["subject.ProfileWSID: expected a workspace, found 0"] = { ProfileWSID = 0 },
    ["subject.Token: expected string, found ***"] = { Token = 123456 },
  } do
    it("refuses " .. message, function()
      local reply = stator.try(image, { who(subject) })[1]
      assert.same({ 400, message }, { reply.status, reply.error.message })
    end)
  end

  it("refuses a field that it does not have, with a guess", function()
    local reply = stator.try(image, { who { Nam = "ann" } })[1]
    assert.equal("VALIDATION", reply.error.code)
    assert.matches("^subject.Nam: .*did you mean Name", reply.error.message)
  end)
end)

describe("sys.CommandContext", function()
  after_each(stator.clean)

  it("has the workspace, the offset, the arguments and the origin", function()
    local image = stator.shop(SCHEMA, MODULE)
    local command = { id = 1, wsid = 3, command = "shop.Context", args = { N = 5 },
      unlogged = { Word = "x" }, origin = "https://shop.example" }
    local plain = '{"id":1,"wsid":3,"command":"shop.Context","args":{},"unlogged":{}}'
    local replies = stator.try(image, { command, plain })
    assert.same({ N = 5, Text = "x", Token = "https://shop.example", Workspace = 3, Offset = 1 },
      replies[1].result)
    assert.same({ Workspace = 3, Offset = 2 }, replies[2].result)
  end)

  it("takes an origin that is text", function()
    local image = stator.shop(SCHEMA, MODULE)
    local reply = stator.try(image, { { id = 1, wsid = 3, command = "shop.Nop", origin = 5 } })[1]
    assert.equal("origin: expected a text, found 5", reply.error.message)
  end)
end)

describe("sys.QueryContext", function()
  after_each(stator.clean)

  it("has the workspace and the argument", function()
    local replies = stator.try(stator.shop(SCHEMA, MODULE),
      { { id = 1, wsid = 9, query = "shop.AskContext", args = { N = 4 } } })
    assert.same({ { N = 4, Workspace = 9 } }, replies[1].rows)
  end)
end)

describe("sys.WLog", function()
  after_each(stator.clean)

  -- The offsets that a read gives in a workspace of ten events.
  local function read(args)
    local requests = {}
    for i = 1, 10 do
      requests[i] = { id = 1, wsid = 1, command = "shop.Nop", args = { N = i * 11 } }
    end
    requests[11] = { id = 1, wsid = 1, query = "shop.Log",
      args = setmetatable(args, { __jsontype = "object" }) }
    local offsets = {}
    for i, row in ipairs(stator.try(stator.shop(SCHEMA, MODULE), requests)[11].rows) do
      assert.equal(row.Offset * 11, row.N)
      offsets[i] = row.Offset
    end
    return offsets
  end

  for sentence, case in pairs {
    ["all events"] = { {}, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 } },
    ["from an offset on"] = { { From = 8 }, { 8, 9, 10 } },
    ["so many from an offset on"] = { { From = 3, Count = 2 }, { 3, 4 } },
    ["no more than there are"] = { { From = 9, Count = 50 }, { 9, 10 } },
    ["nothing behind the end"] = { { From = 11 }, {} },
    ["nothing for a count of 0"] = { { Count = 0 }, {} },
    ["the last first"] = { { From = 7, Reverse = true }, { 10, 9, 8, 7 } },
    ["the last of so many first"] = { { From = 2, Count = 3, Reverse = true }, { 4, 3, 2 } },
    ["the last few"] = { { Reverse = true, Limit = 2 }, { 10, 9 } },
  } do
    it("is read: " .. sentence, function() assert.same(case[2], read(case[1])) end)
  end
end)

describe("sys.Response", function()
  after_each(stator.clean)

  it("is the status and the message of the reply, of commands and of queries", function()
    local image = stator.shop([[EXTENSION ENGINE LUA (
      COMMAND Refuse() INTENTS(sys.Response);
      QUERY Ask RETURNS sys.Raw; );]], [[
      local Response = state.storage "sys.Response"
      function M.Refuse() state.new(Response {}, { StatusCode = 402, ErrorMessage = "pay" }) end
      function M.Ask() state.response(418, "tea only") end]])
    local replies = stator.try(image, { { id = 1, wsid = 1, command = "shop.Refuse" },
      { id = 2, wsid = 1, query = "shop.Ask" } })
    assert.same({
      { id = 1, status = 402, error = { code = "RESPONSE", message = "pay" } },
      { id = 2, status = 418, error = { code = "RESPONSE", message = "tea only" } },
    }, replies)
  end)
end)
