-- `stator check`: images with one fault each, and the line that each gets. The faults of schemas
-- themselves are those of spec/lua/schema_spec.lua.

local stator = require "support.stator"

-- Nop is declared at 5:32, and P at 6:18.
local SCHEMA = [[
APPLICATION shop ();
WORKSPACE W (
TABLE Article INHERITS sys.CDoc ( Name varchar );
VIEW Sales ( Year int32 NOT NULL, Day int32 NOT NULL, PRIMARY KEY ((Year), Day) ) AS RESULT OF P;
EXTENSION ENGINE LUA ( COMMAND Nop();
  SYNC PROJECTOR P AFTER EXECUTE ON Nop INTENTS(sys.View(Sales));
); );
]]

local MODULE = [[
local state = require "stator.state"
local M = {}
function M.Nop() end
function M.P() end
%s
return M
]]

local VSQL, LUA, DESCRIPTOR = "pkg/shop/shop.vsql", "pkg/shop/shop.lua", "descriptor.json"

-- The good image with other files; `false` leaves one out.
local function image(files)
  local all = { [VSQL] = SCHEMA, [LUA] = MODULE:format "" }
  for path, text in pairs(files or {}) do all[path] = text or nil end
  return stator.image(all)
end

-- The image with more in its module; this begins in line 5.
local function module(text) return { [LUA] = MODULE:format(text) } end

local function schema(from, to)
  local at, last = SCHEMA:find(from, 1, true)
  return SCHEMA:sub(1, at - 1) .. to .. SCHEMA:sub(last + 1)
end

local function takes(sentence, files)
  it("takes " .. sentence, function()
    local lines, code, err = stator.check(image(files))
    assert.same({ {}, 0, "" }, { lines, code, err })
  end)
end

-- All lines for an image, in order.
local function refuses(sentence, files, ...)
  local expected = { ... }
  it("refuses " .. sentence, function()
    local lines, code, err = stator.check(image(files))
    assert.same(expected, lines)
    assert.same({ 1, "" }, { code, err })
  end)
end

-- One line, given by a pattern.
local function refuses_like(sentence, files, pattern)
  it("refuses " .. sentence, function()
    local lines, code = stator.check(image(files))
    assert.same({ 1, 1 }, { #lines, code })
    assert.is_truthy(lines[1]:match(pattern), lines[1])
  end)
end

local function escape(text) return (text:gsub("%p", "%%%0")) end

-- A descriptor of one line, in which the column is left to the product.
local function refuses_descriptor(sentence, text, message)
  refuses_like(sentence, { [DESCRIPTOR] = text },
    "^descriptor%.json:1:%d+: " .. escape(message) .. "$")
end

describe("stator check", function()
  after_each(stator.clean)

  describe("of a descriptor", function()
    takes("an image without one", {})
    takes("an empty one", { [DESCRIPTOR] = "{}" })
    takes("all that the design has in it, with its defaults", { [DESCRIPTOR] = [[{
      "app": "local/restaurant", "version": "1", "partitions": 1, "appWorkspaces": 1,
      "engines": { "query": 2 },
      "limits": { "memoryMB": 64,
        "timeMs": { "command": 100, "query": 1000, "projector": 1000, "job": 10000 },
        "intents": 1000, "rowsRead": 100000, "bytesReturned": 16777216, "breaches": 10,
        "quarantineMs": 1000 },
      "reset": "frozen", "storages": {}, "durability": "log",
      "log": { "memoryMB": 256 },
      "packages": { "shop": { "limits": { "memoryMB": 32 }, "reset": "frozen" } } }]] })

    refuses_descriptor("an unknown key, with a guess", '{"partition":2}',
      "partition: unknown key; did you mean partitions?")
    refuses_descriptor("an unknown key", '{"zzzzzz":2}', "zzzzzz: unknown key")
    refuses_descriptor("an array", "[]", "descriptor: expected an object, found an array")
    refuses_descriptor("an application that is a number", '{"app":5}',
      "app: expected a string, found 5")
    refuses_descriptor("an application without a name", '{"app":""}',
      'app: expected a string, found ""')
    refuses_descriptor("a version that is a number", '{"version":1}',
      "version: expected a string, found 1")
    for value, sentence in pairs {
      ["0"] = "no partitions", ["65536"] = "too many partitions", ["1.5"] = "half a partition",
      ['"2"'] = "partitions in quotes", null = "partitions of null", ["-1"] = "minus one partition",
    } do
      refuses_descriptor(sentence, '{"partitions":' .. value .. "}",
        "partitions: expected a whole number from 1 to 65535, found " .. value)
    end
    refuses_descriptor("no workspaces of the application", '{"appWorkspaces":0}',
      "appWorkspaces: expected a whole number from 1 to 32768, found 0")
    refuses_descriptor("engines that are a number", '{"engines":2}',
      "engines: expected an object, found 2")
    refuses_descriptor("engines for commands", '{"engines":{"command":1}}',
      "engines.command: unknown key")
    refuses_descriptor("no engine for queries", '{"engines":{"query":0}}',
      "engines.query: expected a whole number from 1 to 256, found 0")
    refuses_descriptor("limits that are a number", '{"limits":5}',
      "limits: expected an object, found 5")
    refuses_descriptor("an unknown limit, with a guess", '{"limits":{"memory":5}}',
      "limits.memory: unknown key; did you mean memoryMB?")
    refuses_descriptor("a limit of no memory", '{"limits":{"memoryMB":0}}',
      "limits.memoryMB: expected a whole number from 1 to 65536, found 0")
    refuses_descriptor("a negative limit", '{"limits":{"intents":-1}}',
      "limits.intents: expected a whole number from 1 to 4294967295, found -1")
    refuses_descriptor("a limit of time for what does not exist",
      '{"limits":{"timeMs":{"commands":1}}}',
      "limits.timeMs.commands: unknown key; did you mean command?")
    refuses_descriptor("a limit of no time", '{"limits":{"timeMs":{"job":0}}}',
      "limits.timeMs.job: expected a whole number from 1 to 4294967295, found 0")
    refuses_descriptor("a durability that does not exist", '{"durability":"never"}',
      'durability: expected "log", "store" or "none", found "never"')
    refuses_descriptor("a log without memory", '{"log":{"memoryMB":0}}',
      "log.memoryMB: expected a whole number from 1 to 65536, found 0")
    refuses_descriptor("what a log does not have, with a guess", '{"log":{"memory":1}}',
      "log.memory: unknown key; did you mean memoryMB?")
    refuses_like("a reset that does not exist", { [DESCRIPTOR] = '{"reset":"warm"}' },
      '^descriptor%.json:1:%d+: reset: expected "frozen".*, found "warm"$')
    refuses_descriptor("packages that are an array", '{"packages":[]}',
      "packages: expected an object, found an array")
    refuses_descriptor("an unknown key of a package, with a guess",
      '{"packages":{"shop":{"limit":{}}}}',
      "packages.shop.limit: unknown key; did you mean limits?")
    refuses_descriptor("a wrong limit of a package",
      '{"packages":{"shop":{"limits":{"memoryMB":"5"}}}}',
      'packages.shop.limits.memoryMB: expected a whole number from 1 to 65536, found "5"')
    refuses_like("a package that the image does not have",
      { [DESCRIPTOR] = '{"packages":{"shpo":{"limits":{"memoryMB":5}}}}' },
      "^descriptor%.json:1:%d+: packages%.shpo: ")
    refuses_descriptor("storages that are a number", '{"storages":5}',
      "storages: expected an object, found 5")
    refuses_descriptor("an unknown key of a storage, with a guess",
      '{"storages":{"sys.Record":{"cofig":{}}}}',
      "storages.sys.Record.cofig: unknown key; did you mean config?")
    refuses_like("a storage that no package has",
      { [DESCRIPTOR] = '{"storages":{"shop.Mine":{}}}' },
      "^descriptor%.json:1:%d+: storages%.shop%.Mine: ")
    refuses_descriptor("a key that is given twice", '{"partitions":1,"partitions":2}',
      "partitions: given twice")
    refuses_like("what is not JSON", { [DESCRIPTOR] = "{,}" },
      "^descriptor%.json:1:2: not JSON: ")
    refuses_like("what is not JSON in its line", { [DESCRIPTOR] = '{\n  "app": "x",\n  oops\n}' },
      "^descriptor%.json:3:3: not JSON: ")
    refuses_like("a wrong value in its line",
      { [DESCRIPTOR] = '{\n  "app": "x",\n  "version": 1\n}' },
      "^descriptor%.json:3:%d+: version: expected a string, found 1$")

    it("lists all faults in the order of the file", function()
      local lines = stator.check(image { [DESCRIPTOR] =
        '{\n"version": 1,\n"partitions": 0,\n"app": 5\n}' })
      local keys = {}
      for i, line in ipairs(lines) do keys[i] = line:match "^descriptor%.json:%d+:%d+: (%w+)" end
      assert.same({ "version", "partitions", "app" }, keys)
    end)
  end)

  describe("of the folders", function()
    it("refuses an image that is not there", function()
      local missing = stator.folder() .. "/missing"
      local lines, code = stator.check(missing)
      assert.same({ missing .. ":1:1: there is no such folder; an image is a folder with "
        .. "pkg/<package>/*.vsql" }, lines)
      assert.equal(1, code)
    end)

    it("refuses an image without the folder pkg", function()
      assert.same({ "pkg:1:1: there is no such folder; packages are in pkg/<package>/" },
        (stator.check(stator.image {})))
    end)

    it("refuses an image without packages", function()
      local empty = stator.image {}
      stator.shell("mkdir " .. stator.quote(empty .. "/pkg"))
      assert.same({ "pkg:1:1: there is no package with a .vsql file" }, (stator.check(empty)))
    end)

    refuses("a package without .vsql", { ["pkg/other/other.lua"] = "return {}" },
      "pkg/other:1:1: the package has no .vsql file")
    refuses("a package without .vsql where it is the only one", { [VSQL] = false },
      "pkg/shop:1:1: the package has no .vsql file")
    refuses("two packages of one local name", { ["pkg/a/shop/shop.vsql"] = "WORKSPACE A ();" },
      "pkg/shop/shop.vsql:1:1: package shop has the same local name as a/shop: rename one of the "
        .. "folders")
    refuses_like("a package with the name of package sys", { ["pkg/sys/sys.vsql"] =
      "WORKSPACE Z ();" }, "^pkg/sys")
    refuses("two applications", { ["pkg/two/two.vsql"] = "APPLICATION two ();" },
      "pkg/two/two.vsql:1:13: image has more than one APPLICATION: shop is already declared")
    refuses("packages that import each other", {
      [VSQL] = "IMPORT SCHEMA 'b';\n" .. SCHEMA,
      ["pkg/b/b.vsql"] = "IMPORT SCHEMA 'shop';\nWORKSPACE B ();\n",
    }, "pkg/shop/shop.vsql:1:15: import cycle: b -> shop -> b")
    refuses("an import of a package that is not there",
      { [VSQL] = "IMPORT SCHEMA 'b';\n" .. SCHEMA }, "pkg/shop/shop.vsql:1:15: unknown package 'b'")
    takes("files that are nobody's", { ["readme.txt"] = "x", ["pkg/shop/notes.txt"] = "x" })
    takes("a package of several files and folders", {
      [VSQL] = "IMPORT SCHEMA 'org/more';\n" .. SCHEMA,
      ["pkg/shop/again.vsql"] = "WORKSPACE Again ();",
      ["pkg/org/more/more.vsql"] = "WORKSPACE More ();",
    })
  end)

  describe("of a module", function()
    refuses("a missing one, with the place where it belongs", { [LUA] = false },
      "pkg/shop:1:1: package shop declares Lua extensions but has no shop.lua")
    refuses("a syntax error", module "x = = 1",
      "pkg/shop/shop.lua:5:1: unexpected symbol near '='")
    refuses("a file that breaks off", { [LUA] = "local M = {\n" },
      "pkg/shop/shop.lua:2:1: unexpected symbol near '<eof>'")
    refuses("a missing function", { [LUA] = "return { Nop = function() end }" },
      "pkg/shop/shop.vsql:6:18: shop.P: shop/shop.lua has no function P")
    refuses("each missing function, in the order of the schema", { [LUA] = "return {}" },
      "pkg/shop/shop.vsql:5:32: shop.Nop: shop/shop.lua has no function Nop",
      "pkg/shop/shop.vsql:6:18: shop.P: shop/shop.lua has no function P")
    refuses("what is no function", { [LUA] = "return { Nop = 5, P = function() end }" },
      "pkg/shop/shop.vsql:5:32: shop.Nop: shop/shop.lua has no function Nop")
    refuses_like("one that returns nothing, and says so", { [LUA] = "local M = {}" },
      "^pkg/shop/shop%.lua:%d+:1: .*return")
    refuses_like("one that returns a number, and says so", { [LUA] = "return 5" },
      "^pkg/shop/shop%.lua:%d+:1: .*number")
    refuses("an error while it loads", module 'error "boom"', "pkg/shop/shop.lua:5:1: boom")
    refuses_like("an error that is a table, without its address", module "error {}",
      "^pkg/shop/shop%.lua:%d+:1: .*a table[^:]*$")
    refuses_like("bytecode, and says so", { [LUA] = "\27LJ\2" },
      "^pkg/shop/shop%.lua:1:1: .*bytecode")
    refuses("more memory than its limit while it loads",
      module "local t = {} for i = 1, 1e9 do t[i] = {} end",
      "pkg/shop/shop.lua:1:1: loading exceeds the memory limit")

    refuses("a missing module", module 'require "other"',
      'pkg/shop/shop.lua:5:1: no module "other" in this package')
    refuses("a module of another package", module 'require "../b/b"',
      'pkg/shop/shop.lua:5:1: no module "../b/b" in this package')
    for name in ("ffi io os debug package jit"):gmatch "%S+" do
      refuses("the module " .. name, module('require "' .. name .. '"'),
        ('pkg/shop/shop.lua:5:1: no module "%s" in this package'):format(name))
    end
    refuses("a syntax error in another module",
      { [LUA] = MODULE:format 'require "other"', ["pkg/shop/other.lua"] = "local a\nx = = 1" },
      "pkg/shop/other.lua:2:1: unexpected symbol near '='")
    refuses("an error while another module loads",
      { [LUA] = MODULE:format 'require "other"', ["pkg/shop/other.lua"] = '\nerror "boom"' },
      "pkg/shop/other.lua:2:1: boom")
    refuses("a module that requires itself",
      { [LUA] = MODULE:format 'require "other"', ["pkg/shop/other.lua"] = 'require "other"' },
      'pkg/shop/other.lua:1:1: module "other" requires itself')
    takes("another module", { [LUA] = MODULE:format 'assert(require("other") == 5)',
      ["pkg/shop/other.lua"] = "return 5" })
    for name in ("io debug ffi loadfile dofile print"):gmatch "%S+" do
      refuses("the global " .. name, module("local x = " .. name),
        "pkg/shop/shop.lua:5:1: there is no global " .. name)
    end
  end)

  describe("of a handle", function()
    local function refuses_handle(sentence, text, message)
      refuses(sentence, module("local handle = " .. text), "pkg/shop/shop.lua:5:1: " .. message)
    end

    refuses_handle("an unknown view, with a guess", 'state.view "shop.Sale"',
      "no view is called shop.Sale; did you mean shop.Sales?")
    refuses_handle("an unknown table, with a guess", 'state.record "shop.Artcle"',
      "no table is called shop.Artcle; did you mean shop.Article?")
    refuses_handle("an unknown storage, with a guess", 'state.storage "sys.Recrd"',
      "no storage is called sys.Recrd; did you mean sys.Record?")
    refuses_handle("a view of a package that is not there", 'state.view "zoo.Elephants"',
      "no view is called zoo.Elephants")
    refuses_handle("a storage without its entity", 'state.storage "sys.View"',
      "storage sys.View needs an entity")
    refuses_handle("a storage with an entity too many",
      'state.storage("sys.WLog", "shop.Article")',
      "storage sys.WLog has no entities; leave out shop.Article")
    refuses_handle("a number", "state.view(5)", "state.view: expected a name, found a number")
    refuses_handle("a function that does not exist", 'state.veiw "shop.Sales"',
      "stator.state has no veiw")
    refuses("a read while the module loads",
      module 'state.get(state.view "shop.Sales" { Year = 1, Day = 1 })',
      "pkg/shop/shop.lua:5:1: state can be used in a run only, not while the module loads")
    refuses("a wrong field of a key, with a guess",
      module 'local key = state.view "shop.Sales" { Yaer = 1 }',
      "pkg/shop/shop.lua:5:1: shop.Sales has no field Yaer; did you mean Year?")
  end)

  describe("of engines and storages", function()
    refuses("an unknown engine", { [VSQL] = schema("ENGINE LUA", "ENGINE RUBY") },
      'pkg/shop/shop.vsql:5:18: expected LUA, BUILTIN or WASM after ENGINE, found "RUBY"')
    local builtin = { [VSQL] = schema("ENGINE LUA ( COMMAND Nop();",
      "ENGINE BUILTIN ( COMMAND Nop(); );\nEXTENSION ENGINE LUA (") }

    takes("builtin extensions, which the embedder has to register", builtin)

    it("leaves builtin extensions that nobody registers to stator run", function()
      local _, lines, err, code = stator.run(image(builtin), stator.folder(), {})
      assert.same({ {}, 1 }, { lines, code })
      assert.is_truthy(err:find("pkg/shop/shop.vsql:5:36: shop.Nop: the embedder registers no such "
        .. "builtin extension\n", 1, true), err)
    end)

    refuses("a storage without a plugin",
      { [VSQL] = SCHEMA .. "STATESTORAGE ENGINE PLUGIN ( Mine ( GET SCOPE(COMMANDS) ); );" },
      "pkg/shop/shop.vsql:8:30: no plugin registers the storage shop.Mine")
    refuses("each storage without a plugin", { [VSQL] = SCHEMA
      .. "STATESTORAGE ENGINE PLUGIN (\nMine ( GET SCOPE(COMMANDS) );\nSTORAGE Yours "
      .. "( READ SCOPE(QUERIES) );\n);" },
      "pkg/shop/shop.vsql:9:1: no plugin registers the storage shop.Mine",
      "pkg/shop/shop.vsql:10:9: no plugin registers the storage shop.Yours")
    refuses_like("a plugin that is no library", { ["pkg/shop/storages-1.so"] = "x" },
      "^pkg/shop/storages%-1%.so:1:1: cannot be loaded")
    refuses("a storage of package sys without a plugin, where it is used",
      { [VSQL] = schema("COMMAND Nop();",
          "COMMAND Nop();\nQUERY Q() STATE(sys.Http) RETURNS void;"),
        [LUA] = MODULE:format "function M.Q() end" },
      "pkg/shop/shop.vsql:6:7: no plugin registers the storage sys.Http, which shop.Q uses; "
        .. "see --plugin")
    refuses("what is not enforced", { [VSQL] = schema("TABLE Article",
      "RATE Often 10 PER HOUR;\nTABLE Article") },
      "pkg/shop/shop.vsql:3:1: RATE is not enforced by Stator: remove it, or leave it to the host "
        .. "platform")
  end)

  describe("of several faults", function()
    refuses("those of one file, from its top",
      { [VSQL] = SCHEMA:gsub("Name varchar", "Name nope"):gsub("Year int32", "Year never") },
      "pkg/shop/shop.vsql:3:40: unknown type nope", "pkg/shop/shop.vsql:4:19: unknown type never")
    refuses("those of one line, from its left",
      { [VSQL] = schema("Name varchar", "A nope, B never, C none") },
      "pkg/shop/shop.vsql:3:37: unknown type nope", "pkg/shop/shop.vsql:3:45: unknown type never",
      "pkg/shop/shop.vsql:3:54: unknown type none")
    refuses("those of several files, by their names",
      { [VSQL] = schema("Name varchar", "Name nope"),
        ["pkg/shop/a.vsql"] = "WORKSPACE A ( TYPE T ( A never ) );",
        ["pkg/zoo/zoo.vsql"] = "WORKSPACE Z ( TYPE T ( A none ) );" },
      "pkg/shop/a.vsql:1:26: unknown type never", "pkg/shop/shop.vsql:3:40: unknown type nope",
      "pkg/zoo/zoo.vsql:1:26: unknown type none")
    refuses("those of the modules of several packages",
      { [LUA] = MODULE:format "x = = 1",
        ["pkg/b/b.vsql"] = "WORKSPACE B ( EXTENSION ENGINE LUA ( COMMAND C(); ); );",
        ["pkg/b/b.lua"] = "x = = 1" },
      "pkg/b/b.lua:1:1: unexpected symbol near '='",
      "pkg/shop/shop.lua:5:1: unexpected symbol near '='")

    it("lists those of descriptor, schema and module at once", function()
      local lines, code = stator.check(image { [DESCRIPTOR] = '{"partitions":0}',
        [VSQL] = schema("Name varchar", "Name nope"), [LUA] = MODULE:format "x = = 1" })
      local files = {}
      for i, line in ipairs(lines) do files[i] = line:match "^([^:]+:%d+):" end
      assert.same({ "descriptor.json:1", "pkg/shop/shop.lua:5", "pkg/shop/shop.vsql:3" }, files)
      assert.equal(1, code)
    end)
  end)

  it("says nothing of a good image", function()
    local lines, code, err = stator.check(image())
    assert.same({ {}, 0, "" }, { lines, code, err })
  end)

  for _, name in ipairs { "restaurant", "ledger" } do
    it("says nothing of examples/" .. name, function()
      local lines, code, err = stator.check("examples/" .. name)
      assert.same({ {}, 0, "" }, { lines, code, err })
    end)
  end

  it("finds what `stator run` refuses, with the same lines", function()
    local broken = image(module 'error "boom"')
    local _, lines, err, code = stator.run(broken, stator.folder(), {})
    assert.same({ {}, 1 }, { lines, code })
    assert.equal(broken .. "/pkg/shop/shop.lua:5:1: boom\nstator: run: " .. broken
      .. " is not deployed\n", err)
  end)
end)
