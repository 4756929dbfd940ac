-- Plugins in images: the broken ones are refused, or caught when they are called, by
-- name. Those that would take the host along are in check_spec.lua.

local stator = require "support.stator"
local plugins = require "support.plugins"

local LIBRARY = "pkg/shop/storages-1.so:1:1: "

-- What `stator check` says of an image with this plugin.
local REFUSED = {
  wrong_abi = LIBRARY .. "stator_plugin_entry has ABI 2.0, this host wants 1.x; rebuild it with "
    .. "the header of this host",
  short_struct = LIBRARY .. "stator_plugin_entry has 24 bytes, ABI 1.0 has 88; set size to sizeof",
  short_storage = LIBRARY .. "a storage has 16 bytes, ABI 1.0 has 160; set size to sizeof",
  missing_function = LIBRARY .. "storage Thing offers GET but get is NULL",
  no_entry = LIBRARY .. "has no symbol stator_plugin_entry; define it with STATOR_EXPORT",
  init_fails = LIBRARY .. "plugin fixture 1.0.0: init: there is no licence",
  init_silent = LIBRARY .. "plugin fixture 1.0.0: init: failed without a text",
  bad_name = LIBRARY .. "storage 0 has no name of letters, digits and _",
  twice = LIBRARY .. "storage Thing is there twice",
  same_fields = LIBRARY .. "storage Thing: key field Name is there twice",
  endless_call = LIBRARY .. "storage Thing has call_ms 600001; a call has at most 600000",
  bad_kind = LIBRARY .. "storage Thing: key field Name has kind 99; take one of stator_kind",
}

-- What a query is told that calls it.
local CAUGHT = {
  lying_length = "handed out bytes that are not a row",
  long_row = "handed out a row that was not made in this run; use row_begin or row_load",
  static_row = "handed out a row that was not made in this run; use row_begin or row_load",
  key_as_value = "handed out a row of another type",
  silent_error = "the storage failed",
  unknown_status = "returned 42, which is no status",
}

local other = { id = 2, wsid = 1, query = "shop.Other" }

local function query(name, args)
  return { id = 1, wsid = 1, query = "shop." .. name, args = args or { Name = "a" } }
end

local function put(name, text)
  return { id = 1, wsid = 1, command = "shop.Put", args = { Name = name, Text = text } }
end

local function sorted(list)
  table.sort(list)
  return list
end

local function names(map)
  local list = {}
  for name in pairs(map) do list[#list + 1] = name end
  return sorted(list)
end

describe("a plugin in an image", function()
  after_each(stator.clean)

  it("serves the extensions that name its storage", function()
    local replies, _, err, code = stator.try(plugins.image "good", {
      put("ab", "x"), put("ac", "y"), put("b", "z"), query("Get", { Name = "ab" }),
      query("Get", { Name = "none" }), query("All", { Name = "" }) })
    assert.same({ 0, "" }, { code, err })
    assert.same({ { Name = "ab", Text = "x" } }, replies[4].rows)
    assert.same({}, replies[5].rows)
    assert.same({ { Name = "ab", Text = "x" }, { Name = "ac", Text = "y" },
      { Name = "b", Text = "z" } }, replies[6].rows)
  end)

  it("is loaded from a copy: the file may be replaced by what is broken", function()
    local image, data = plugins.image "good", stator.folder()
    stator.run(image, data, { put("a", "x") })
    stator.write(image .. "/pkg/shop/storages-1.so", "no more")
    local _, _, err, code = stator.run(image, data, { query "Get" })
    assert.equal(1, code)
    assert.matches("storages%-1%.so:1:1: cannot be loaded: ", err)
  end)

  for _, name in ipairs(names(REFUSED)) do
    it("is refused when it is " .. name, function()
      local image = plugins.image(name)
      local lines, code = stator.check(image)
      assert.same({ REFUSED[name] }, lines)
      assert.equal(1, code)
    end)
  end

  it("is not deployed when it is refused", function()
    local image = plugins.image "wrong_abi"
    local replies, _, err, code = stator.try(image, { other })
    assert.same({ {}, 1 }, { replies, code })
    assert.equal(("%s/%s\nstator: run: %s is not deployed\n"):format(image, REFUSED.wrong_abi,
      image), err)
  end)

  it("is refused when a symbol is missing", function()
    local lines = stator.check(plugins.image "undefined_symbol")
    assert.equal(1, #lines)
    assert.equal(LIBRARY .. "cannot be loaded: undefined symbol: stator__not_exported", lines[1])
  end)

  it("is refused when no partition can be attached", function()
    local lines, code = stator.check(plugins.image "attach_fails")
    assert.same({ 1, 1 }, { #lines, code })
    assert.equal(LIBRARY .. "plugin fixture 1.0.0, attach of partition 0: partition 0 is not for "
      .. "me", lines[1])
  end)

  it("is refused when a default does not fit its field", function()
    local lines = stator.check(plugins.image "bad_preset")
    assert.equal(1, #lines)
    assert.matches('storage Thing: config.Limit: expected int64, found "many"$', lines[1])
  end)

  for _, name in ipairs(names(CAUGHT)) do
    it("fails its own run only when it is " .. name, function()
      local replies, _, err, code = stator.try(plugins.image(name),
        { query "Get", other })
      assert.same({ 0, "" }, { code, err })
      assert.same({ code = "STORAGE_FAILED", message = 'shop.Get: shop/shop.lua:6: shop.Thing '
        .. '{Name="a"}: ' .. CAUGHT[name] }, replies[1].error)
      assert.same({ { Name = "other" } }, replies[2].rows)
    end)
  end

  it("fails its own run only when it gives no value", function()
    local replies = stator.try(plugins.image "no_value", { query "Get", other })
    assert.equal("STORAGE_FAILED", replies[1].error.code)
    assert.matches('shop.Thing {Name="a"}: handed out ', replies[1].error.message)
    assert.equal(200, replies[2].status)
  end)

  it("cannot write but in apply", function()
    local replies = stator.try(plugins.image "put_in_get", { query "Get", other })
    assert.equal('shop.Get: shop/shop.lua:6: shop.Thing {Name="a"}: put and del are for apply '
      .. "only", replies[1].error.message)
    assert.equal(200, replies[2].status)
  end)

  it("is stopped by the limit of rows when read has no end", function()
    local replies = stator.try(plugins.image "never_ends", { query "All", other })
    assert.equal("ROWS_LIMIT", replies[1].error.code)
    assert.equal(200, replies[2].status)
  end)
end)

describe("a field that is secret", function()
  after_each(stator.clean)

  local MODULE = [[
local state = require "stator.state"
local Thing = state.storage "shop.Thing"
local M = {}
function M.Put() end
function M.Get() state.get(Thing { Name = "a", Token = "s3cret", Pin = 42 }) end
function M.All(args)
  local key = Thing { Name = "a", Token = "s3cret", Pin = 42 }
  if args.Name == "show" then error(tostring(key)) end
  if args.Name == "long" then key.Token = "s3cret and longer" end
  if args.Name == "kind" then key.Pin = "s3cret" end
  if args.Name == "big" then state.get(Thing { Pin = 777 }) end
end
function M.Other() state.result { Name = "other" } end
return M
]]

  it("is not shown in errors, whoever says them", function()
    local image = plugins.image("secrets", { module = MODULE })
    local replies, raw, err = stator.try(image, { query "Get", query("All", { Name = "show" }),
      query("All", { Name = "long" }), query("All", { Name = "kind" }),
      query("All", { Name = "big" }) })
    local text = table.concat(raw) .. err
    assert.is_nil(text:find("s3cret", 1, true) or text:find("42", 1, true)
      or text:find("777", 1, true), text)
    assert.matches('shop.Thing {Name="a", Token=%*%*%*, Pin=%*%*%*}: no$', replies[1].error.message)
    assert.matches("Name=a, Token=%*%*%*, Pin=%*%*%*", replies[2].error.message)
    assert.matches("Token: expected at most 10 bytes, found 17", replies[3].error.message)
    assert.matches("Pin: expected int8, found %*%*%*", replies[4].error.message)
    assert.matches("Pin: expected int8, found %*%*%*", replies[5].error.message)
  end)

  it("is not shown when a configuration is refused", function()
    local function check(config)
      return stator.check(plugins.image("secrets", {
        declaration = plugins.THING:format(" WITH JSONCONFIG='" .. config .. "'") }))[1]
    end
    assert.matches("Password: expected string, found %*%*%*$", check '{"Password":1234567}')
    assert.matches("Number: expected int64, found %*%*%*$", check '{"Number":"1234567"}')
    assert.matches("Password: expected at most 10 bytes, found 11$",
      check '{"Password":"12345678901"}')
  end)
end)

describe("a plugin and a schema that do not fit", function()
  after_each(stator.clean)

  it("are refused with all names, in both directions", function()
    local lines = stator.check(plugins.image("wrong_name", { declaration = [[
STATESTORAGE ENGINE PLUGIN (
  Thing ( GET SCOPE(COMMANDS, QUERIES), READ SCOPE(QUERIES), INSERT SCOPE(COMMANDS) );
  More ( GET SCOPE(QUERIES) );
);]] }))
    assert.same({
      "pkg/shop/shop.vsql:3:3: no plugin registers the storage shop.Thing",
      "pkg/shop/shop.vsql:4:3: no plugin registers the storage shop.More",
      LIBRARY .. "registers the storage Think, which the schema of shop does not declare; add "
        .. "it to STATESTORAGE ENGINE PLUGIN",
    }, lines)
  end)

  it("are refused when there is no library at all", function()
    assert.same({ "pkg/shop/shop.vsql:3:3: no plugin registers the storage shop.Thing" },
      (stator.check(plugins.image(false))))
  end)

  it("are refused when the schema allows more than the plugin does", function()
    local lines = stator.check(plugins.image("good", { declaration = [[
STATESTORAGE ENGINE PLUGIN (
  Thing ( GET SCOPE(COMMANDS, QUERIES), READ SCOPE(QUERIES, JOBS), INSERT SCOPE(COMMANDS) );
);]] }))
    assert.equal(1, #lines)
    assert.matches("^pkg/shop/shop.vsql:3:3: storage shop.Thing: declares READ for more kinds of "
      .. "extensions than .*storages%-1%.so allows$", lines[1])
  end)
end)

describe("the configuration of a plugin", function()
  after_each(stator.clean)

  local function check(in_schema, in_descriptor)
    return (stator.check(plugins.image("good", {
      declaration = plugins.THING:format(in_schema and (" WITH JSONCONFIG='%s'"):format(in_schema)
        or ""),
      descriptor = in_descriptor
        and ('{"storages":{"shop.Thing":{"config":%s}}}'):format(in_descriptor),
    })))
  end

  it("may be left out, or be in the schema, or in descriptor.json", function()
    assert.same({}, check())
    assert.same({}, check('{"Limit":7}'))
    assert.same({}, check(nil, '{"Limit":7,"Word":"yes"}'))
    assert.same({}, check('{"Limit":7}', '{"Limit":8}'))
  end)

  for _, case in ipairs {
    { '{"Limit":"seven"}', 'storage Thing: config.Limit: expected int64, found "seven"' },
    { '{"Word":"a long word"}', "storage Thing: config.Word: expected at most 10 bytes, found 11" },
    { '{"Limits":7}',
      "storage Thing: Limits: storage Thing has no such configuration; did you mean Limit?" },
    { '[7]', "storage Thing: config: expected an object, found an array" },
  } do
    it("is refused in the schema when it is " .. case[1], function()
      assert.same({ "pkg/shop/shop.vsql:3:3: " .. case[2] }, check(case[1]))
    end)
  end

  it("is refused in descriptor.json likewise, there", function()
    local before = #'{"storages":{"shop.Thing":{"config":'
    local function at(col) return ("descriptor.json:1:%d: storage Thing: "):format(before + col) end
    assert.same({ at(#'{"Word":"a",\n' + 9) .. 'config.Limit: expected int64, found "five"' },
      check(nil, '{"Word":"a", "Limit":"five"}'))
    assert.same({ at(#'{"Word":' + 1) .. "config.Word: expected at most 10 bytes, found 11" },
      check('{"Limit":7}', '{"Word":"a long word"}'))
    assert.same({ at(#'{"Limits":' + 1) .. "Limits: storage Thing has no such configuration; did "
      .. "you mean Limit?" }, check(nil, '{"Limits":1}'))
  end)

  it("is refused in the schema also when descriptor.json is right", function()
    assert.same({ "pkg/shop/shop.vsql:3:3: storage Thing: config.Limit: expected int64, found "
      .. '"x"' }, check('{"Limit":"x"}', '{"Word":"a"}'))
  end)

  it("is refused when it is no JSON", function()
    local lines = check "{Limit}"
    assert.equal(1, #lines)
    assert.matches("^pkg/shop/shop.vsql:3:3: JSONCONFIG of shop.Thing: ", lines[1])
  end)
end)

describe("plugins/template", function()
  after_each(stator.clean)

  local SCHEMA = [[
APPLICATION shop ();
STATESTORAGE ENGINE PLUGIN (
  Note (
    GET SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS),
    GETBATCH SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS),
    READ SCOPE(QUERIES, PROJECTORS, JOBS),
    INSERT SCOPE(COMMANDS, PROJECTORS, JOBS),
    UPDATE SCOPE(COMMANDS, PROJECTORS, JOBS)
  ) WITH JSONCONFIG='{"Longest":20}';
);
WORKSPACE W (
  TYPE Params ( Name varchar NOT NULL, Text varchar );
  EXTENSION ENGINE LUA (
    COMMAND Remember(Params) INTENTS(Note);
    COMMAND Add(Params) INTENTS(Note);
    QUERY Recall(Params) STATE(Note) RETURNS Params;
  );
);]]
  local MODULE = [[
local state = require "stator.state"
local Note = state.storage "shop.Note"
local M = {}
function M.Remember(args) state.new(Note { Name = args.Name }).Text = args.Text end
function M.Add(args)
  local key = Note { Name = args.Name }
  local seen = state.must_get(key)
  state.update(key, seen, { Text = seen.Text .. args.Text })
end
function M.Recall(args)
  for key, note in state.read(Note { Name = args.Name }) do
    state.result { Name = key.Name, Text = note.Text }
  end
end
return M]]

  it("keeps notes as its README says", function()
    local image = plugins.image(plugins.build "plugins/template/template.c",
      { schema = SCHEMA, module = MODULE })
    local function note(command, name, text)
      return { id = 1, wsid = 1, command = "shop." .. command,
        args = { Name = name, Text = text } }
    end
    local data = stator.folder()
    local replies, _, err = stator.run(image, data, {
      note("Remember", "todo/milk", "two"), note("Remember", "todo/eggs", "six"),
      note("Remember", "done", "bread"), note("Add", "todo/milk", " litres"),
      note("Remember", "todo/long", ("x"):rep(21)), query("Recall", { Name = "todo/" }) })
    assert.equal("", err)
    assert.equal("shop.Remember: shop.Note: Text: expected at most 20 bytes, found 21",
      replies[5].error.message)
    assert.same({ { Name = "todo/eggs", Text = "six" },
      { Name = "todo/milk", Text = "two litres" } }, replies[6].rows)
    replies = stator.run(image, data, { query("Recall", { Name = "done" }) })
    assert.same({ { Name = "done", Text = "bread" } }, replies[1].rows)
  end)
end)
