-- `stator plugin check` and `stator plugin list`.

local stator = require "support.stator"
local plugins = require "support.plugins"

-- The first "not ok" of each hostile plugin: test or call, rule, and where it stands.
local BROKEN = {
  wrong_abi = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  short_struct = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  short_storage = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  missing_function = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  no_entry = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  undefined_symbol = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  bad_name = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  twice = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  bad_kind = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  bad_preset = "fixture: a preset is JSON that its field can hold (stator_plugin.h, "
    .. "stator_field_desc.preset)",
  init_fails = "fixture init: it succeeds (stator_plugin.h, stator_plugin.init)",
  init_silent = "fixture init: an error has a text, one line of UTF-8 (stator_plugin.h, "
    .. "stator_error.msg)",
  attach_fails = "fixture attach: it succeeds (stator_plugin.h, stator_plugin.attach)",
  leaks = "fixture finit: what alloc gave is freed before finit has returned (stator_plugin.h, "
    .. "stator_host_api.alloc)",
  writes_past = "fixture init: nothing is written outside of what alloc gave (stator_plugin.h, "
    .. "stator_host_api.alloc)",
  trusts_alloc = "fixture init: it returns to the host (stator_plugin.h, stator_plugin.init)",
  crashes = "Thing get: it returns to the host (stator_plugin.h, stator_storage.get)",
  exits = "Thing get: it returns to the host (stator_plugin.h, stator_storage.get)",
  hangs = "Thing get: it returns in the time that a call has (stator_plugin.h, "
    .. "stator_storage.call_ms)",
  lying_length = "Thing get: offsets and lengths lie inside of the row (stator_plugin.h, "
    .. "stator_row)",
  long_row = "Thing get: rows are made in this run, with row_begin or row_load (stator_plugin.h, "
    .. "stator_storage.get)",
  static_row = "Thing get: rows are made in this run, with row_begin or row_load "
    .. "(stator_plugin.h, stator_storage.get)",
  old_row = "Thing get: rows are made in this run, with row_begin or row_load (stator_plugin.h, "
    .. "stator_storage.get)",
  keeps_run = "Thing get: what a run lends is not used after it (stator_plugin.h, stator_run)",
  key_as_value = "Thing get: a row is of the type that is asked for (stator_plugin.h, "
    .. "stator_storage.get)",
  no_value = "Thing get: a row is of the type that is asked for (stator_plugin.h, "
    .. "stator_storage.get)",
  silent_error = "Thing get: an error has a text, one line of UTF-8 (stator_plugin.h, "
    .. "stator_error.msg)",
  unknown_status = "Thing get: it returns a status that it may (stator_plugin.h, "
    .. "stator_storage.get)",
  put_in_get = "Thing get: put and del are called by apply alone (stator_plugin.h, "
    .. "stator_store_api.put)",
  hides_errors = "Thing get: an error of the store is an error (stator_plugin.h, "
    .. "stator_storage.get)",
  batch_differs = "Thing get_batch: it gives what get gives (stator_plugin.h, "
    .. "stator_storage.get_batch)",
  no_cursor = "Thing read: OK comes with a cursor that has its functions (stator_plugin.h, "
    .. "stator_storage.read)",
  never_ends = "Thing next: it says NONE at the end (stator_plugin.h, stator_cursor.next)",
  ignores_limit = "Thing next: no more rows than are wanted (stator_plugin.h, "
    .. "stator_read_opts.limit)",
  ignores_reverse = "Thing next: reverse is from the last row to the first (stator_plugin.h, "
    .. "stator_read_opts.reverse)",
  frees_twice = "Thing release: free is given what alloc gave, once (stator_plugin.h, "
    .. "stator_host_api.free)",
  keeps_range = "Thing release: the cursor of range is freed with cursor_release "
    .. "(stator_plugin.h, stator_store_api.range)",
  validate_writes = "Thing validate: put and del are called by apply alone (stator_plugin.h, "
    .. "stator_store_api.put)",
  validate_lies = "Thing validate: it says whether apply would take the intents "
    .. "(stator_plugin.h, stator_storage.validate)",
  apply_remembers = "Thing apply: what it writes is durable with the event, or not at all "
    .. "(stator_plugin.h, stator_storage.apply)",
  same_fields = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  endless_call = "plugin load: it can be loaded (stator_plugin.h, stator_plugin)",
  slow = "Thing get: it returns in the time that a call has (stator_plugin.h, "
    .. "stator_storage.call_ms)",
  settles_early = "Thing validate: a run that is taken back leaves nothing (stator_plugin.h, "
    .. "stator_storage.settle)",
  settle_writes = "Thing settle: put and del are called by apply alone (stator_plugin.h, "
    .. "stator_store_api.put)",
  takes_previous = "Thing attach: previous is borrowed: it serves on (stator_plugin.h, "
    .. "stator_plugin.attach)",
}

local function sorted_names()
  local list = {}
  for name in pairs(BROKEN) do list[#list + 1] = name end
  table.sort(list)
  return list
end

describe("stator plugin check", function()
  after_each(stator.clean)

  for _, path in ipairs { "plugins/counter/counter.c", "plugins/template/template.c", "good",
    "good_view", "good_record", "settles" } do
    it("finds nothing wrong with " .. path, function()
      local code, failed, out, err = plugins.check(plugins.build(path))
      assert.same({}, failed)
      assert.same({ 0, "" }, { code, err })
      assert.matches("^TAP version 13\nok 1 %- ", out)
      assert.equal(select(2, out:gsub("\nok %d+", "")), tonumber(out:match "\n1%.%.(%d+)\n$"))
    end)
  end

  for _, name in ipairs(sorted_names()) do
    it("names the rule that is broken when a plugin is " .. name, function()
      local code, failed, out, err = plugins.check(plugins.build(name))
      assert.equal(BROKEN[name], failed[1])
      assert.equal(1, code)
      assert.matches("\n#   found: %S.*\n#   while: %S", out)
      assert.matches(("stator: plugin check: .*%%.so: %d tests? failed\n$"):format(#failed), err)
    end)
  end

  it("finds two threads in one scratch, where there is a promise to serve several", function()
    local code, failed = plugins.check(plugins.build "one_scratch")
    assert.equal(1, code)
    assert.equal(1, #failed)
    assert.matches("^Thing get: ", failed[1])
  end)

  it("says what was found, and what was given", function()
    local _, _, out = plugins.check(plugins.build "crashes")
    assert.truthy(out:find("#   found: it crashed in get: Segmentation fault, given no field\n"
      .. "#   while: get takes keys of every shape\n", 1, true), out)
  end)

  it("goes on after a crash", function()
    local _, failed, out = plugins.check(plugins.build "crashes")
    assert.equal(1, #failed)
    assert.matches("\nok %d+ %- Thing: several threads are served\n", out)
  end)

  it("configures with --config, by storage or for the only one", function()
    local file = plugins.build "good"
    assert.equal(0, (plugins.check(file, [[--config '{"Limit":7,"Word":"yes"}']])))
    assert.equal(0, (plugins.check(file, [[--config '{"Thing":{"Limit":7}}']])))
    local code, failed, out = plugins.check(file, [[--config '{"Thing":{"Limit":"x"}}']])
    assert.equal(1, code)
    assert.same({ "fixture: the configuration is as it is described (stator_plugin.h, "
      .. "stator_storage.config_fields)" }, failed)
    assert.truthy(out:find('storage Thing: config.Limit: expected int64, found "x"', 1, true), out)
    assert.equal(1, (plugins.check(file, "--config '{'")))
  end)

  it("fails for a file that is not there, and for one that is no library", function()
    local code, failed, out = plugins.check "/nowhere/at/all.so"
    assert.same({ 1, 1 }, { code, #failed })
    assert.truthy(out:find("/nowhere/at/all.so: cannot be read: No such file", 1, true), out)
    local file = stator.folder() .. "/text.so"
    stator.write(file, "this is text\n")
    code, failed = plugins.check(file)
    assert.same({ 1, 1 }, { code, #failed })
  end)

  it("wants a file", function()
    local code, _, err = stator.shell(stator.command .. " plugin check")
    assert.same({ 2, "stator: plugin check: which FILE.so?\n" }, { code, err })
    code, _, err = stator.shell(stator.command .. " plugin")
    assert.same({ 2, "stator: plugin: check or list? see `stator plugin --help`\n" },
      { code, err })
  end)
end)

describe("stator plugin list", function()
  after_each(stator.clean)

  local function list(options)
    return stator.shell(stator.command .. " plugin list " .. options)
  end

  it("describes storages, scopes, fields and configuration", function()
    local file = plugins.build "plugins/template/template.c"
    local code, out, err = list(file)
    assert.same({ 0, "" }, { code, err })
    assert.equal(([[
template 1.0.0  %s
  text notes by name; the plugin to copy; ABI 1.0

  Note             text notes of a workspace, by name
    GET      SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS)
    GETBATCH SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS)
    READ     SCOPE(QUERIES, PROJECTORS, JOBS)
    INSERT   SCOPE(COMMANDS, PROJECTORS, JOBS)
    UPDATE   SCOPE(COMMANDS, PROJECTORS, JOBS)
    key      Name     string(200)      required which note
    value    Text     string(65535)    required what it says
             Author   string(100)               who says it
    config   Longest  int64                     bytes that Text may have (4000 unless given)
]]):format(file), out)
  end)

  it("tells the time for a call, and which fields are secret", function()
    local _, out = list(plugins.build "slow")
    assert.truthy(out:find("\n    a call   20 ms at most\n", 1, true), out)
    local file = plugins.build "secrets"
    _, out = list(file)
    assert.truthy(out:find("Token    string(10)                who asks (secret)\n", 1, true), out)
    assert.truthy(out:find("of the server (*** unless given) (secret)\n", 1, true), out)
    assert.is_nil(out:find("1234", 1, true))
    _, out = list("--json " .. file)
    local storage = stator.json.decode(out).storages[1]
    assert.equal(4000, storage.call_ms)
    assert.same({ name = "Password", kind = "string", required = false, secret = true, max = 10,
      help = "of the server" }, storage.config[1])
  end)

  it("gives one JSON object for each file with --json", function()
    local counter, template = plugins.build "plugins/counter/counter.c", plugins.build "good_view"
    local code, out = list(("--json %s %s"):format(counter, template))
    assert.equal(0, code)
    local lines = {}
    for line in out:gmatch "[^\n]+" do lines[#lines + 1] = stator.json.decode(line) end
    assert.equal(2, #lines)
    assert.same({ "counter", counter, true, { 1, 0 } },
      { lines[1].name, lines[1].file, lines[1].concurrent, lines[1].abi })
    local storage = lines[1].storages[1]
    assert.same({ "COMMANDS", "PROJECTORS", "JOBS" }, storage.operations.INSERT)
    assert.same({ { name = "Name", kind = "string", required = true, max = 100,
      help = "which counter" } }, storage.key)
    assert.equal("view", lines[2].storages[1].entity)
    assert.same({ { name = "Limit", kind = "int64", required = false, default = 5,
      help = "how many" }, { name = "Word", kind = "string", required = false, max = 10,
      help = "which one" } }, lines[2].storages[1].config)
  end)

  it("describes the others when one is broken", function()
    local code, out, err = list(("%s %s"):format(plugins.build "wrong_abi", plugins.build "good"))
    assert.equal(1, code)
    assert.matches("^stator: plugin list: .*wrong_abi%.so: stator_plugin_entry has ABI 2%.0", err)
    assert.matches("fixture 1%.0%.0", out)
  end)
end)

describe("every plugin of the project", function()
  for _, name in ipairs { "counter", "template", "http", "sendmail" } do
    it("passes stator plugin check: " .. name, function()
      local code, out = stator.shell(("%s plugin check %s/plugins/%s.so"):format(stator.command,
        stator.build, name))
      assert.equal(0, code, out)
      assert.is_nil(out:match "\nnot ok")
    end)
  end
end)
