-- The analysis: what the definition says, and every error with its place.

local schema = require "stator.schema"

local function read_text(path)
  local file = assert(io.open(path))
  local text = file:read "*a"
  file:close()
  return text
end

local SYS = { path = "sys.vsql", package = "sys", text = read_text "lua/stator/sys.vsql" }
local RESTAURANT = "github.com/x/restaurant"

-- A list of files from { name, package, text } triples, after that of package sys.
local function image(...)
  local files = { SYS }
  for _, file in ipairs { ... } do
    files[#files + 1] = { path = file[1], package = file[2], text = file[3] }
  end
  return files
end

local function as_lines(errors, with_file)
  local lines = {}
  for i, e in ipairs(errors or {}) do
    lines[i] = ("%s%d:%d: %s"):format(with_file and e.file .. ":" or "", e.line, e.col, e.message)
  end
  return lines
end

-- The definition of one file of package restaurant.
local function compile(text)
  local def, errors = schema.compile(image { "a.vsql", RESTAURANT, text })
  if not def then error(table.concat(as_lines(errors), "\n"), 2) end
  return def
end

-- The body of a workspace begins in line 2.
local function workspace(body)
  return "WORKSPACE W (\n" .. body .. "\n)"
end

local function find(list, name)
  for _, entry in ipairs(list) do
    if entry.name == name then return entry end
  end
end

local function type_of(body, name)
  return find(compile(workspace(body)).types, name)
end

local function field_of(item)
  return type_of("TABLE T INHERITS sys.CDoc (" .. item .. ")", "restaurant.T").fields[1]
end

local function names(list)
  local all = {}
  for i, entry in ipairs(list) do all[i] = entry.name end
  return all
end

local function errors_of(text)
  local def, errors = schema.compile(image { "a.vsql", RESTAURANT, text })
  assert.is_nil(def)
  return as_lines(errors)
end

-- All errors of a workspace's body, and no others.
local function refuses(sentence, body, ...)
  local expected = { ... }
  it("refuses " .. sentence, function()
    assert.same(expected, errors_of(workspace(body)))
  end)
end

-- The same for an item of a table; the item begins in line 3.
local function refuses_item(sentence, item, ...)
  refuses(sentence, "TABLE T INHERITS sys.CDoc (\n" .. item .. ")", ...)
end

local function refuses_file(sentence, text, ...)
  local expected = { ... }
  it("refuses " .. sentence, function()
    assert.same(expected, errors_of(text))
  end)
end

local function refuses_image(sentence, files, ...)
  local expected = { ... }
  it("refuses " .. sentence, function()
    local def, errors = schema.compile(files)
    assert.is_nil(def)
    assert.same(expected, as_lines(errors, true))
  end)
end

describe("stator.schema", function()
  describe("package sys", function()
    local def = assert(schema.compile { SYS })

    it("has the roots of all tables", function()
      local kinds = {}
      for _, entry in ipairs(def.types) do
        if entry.abstract then
          kinds[entry.name] = entry.kind .. (entry.singleton and " singleton" or "")
        end
      end
      assert.same({
        ["sys.CDoc"] = "CDoc", ["sys.CSingleton"] = "CDoc singleton", ["sys.CRecord"] = "CRecord",
        ["sys.WDoc"] = "WDoc", ["sys.WSingleton"] = "WDoc singleton", ["sys.WRecord"] = "WRecord",
        ["sys.ODoc"] = "ODoc", ["sys.ORecord"] = "ORecord", ["sys.GDoc"] = "GDoc",
        ["sys.GRecord"] = "GRecord",
      }, kinds)
    end)

    it("has the type Raw", function()
      local raw = find(def.types, "sys.Raw")
      assert.equal("Object", raw.kind)
      assert.equal(65535, raw.fields[1].max)
    end)

    it("has the command CUD", function()
      local cud = find(def.extensions, "sys.CUD")
      assert.equal("COMMAND", cud.kind)
      assert.equal("BUILTIN", cud.engine)
      assert.is_nil(cud.arg)
    end)

    it("has the storages with their operations, scopes and entities", function()
      local letters = { COMMANDS = "C", QUERIES = "Q", PROJECTORS = "P", JOBS = "J" }
      local found = {}
      for _, storage in ipairs(def.storages) do
        local all = {}
        for _, op in ipairs { "GET", "GETBATCH", "READ", "INSERT", "UPDATE" } do
          local scopes = ""
          for _, scope in ipairs(storage.ops[op] or {}) do scopes = scopes .. letters[scope] end
          if scopes ~= "" then all[#all + 1] = op .. " " .. scopes end
        end
        found[storage.name] = table.concat(all, ", ")
          .. (storage.entity and " of " .. storage.entity or "")
        assert.equal("BUILTIN", storage.engine)
      end
      assert.same({
        ["sys.Record"] = "GET CQPJ, GETBATCH CQPJ, INSERT C, UPDATE C of RECORD",
        ["sys.View"] = "GET CQPJ, GETBATCH CQPJ, READ QPJ, INSERT PJ, UPDATE PJ of VIEW",
        ["sys.Uniq"] = "GET CQPJ of RECORD",
        ["sys.WLog"] = "GET CQPJ, READ QPJ",
        ["sys.Ephemeral"] = "GET CQPJ, GETBATCH CQPJ, READ QPJ, INSERT CPJ, UPDATE CPJ",
        ["sys.AppSecret"] = "GET CQPJ",
        ["sys.RequestSubject"] = "GET CQ",
        ["sys.Http"] = "READ QPJ",
        ["sys.FederationCommand"] = "GET QPJ",
        ["sys.FederationBlob"] = "READ QPJ",
        ["sys.SendMail"] = "GET PJ, INSERT PJ",
        ["sys.Result"] = "INSERT CQ",
        ["sys.Response"] = "INSERT CQ",
        ["sys.Event"] = "GET P",
        ["sys.CommandContext"] = "GET C",
        ["sys.QueryContext"] = "GET Q",
        ["sys.JobContext"] = "GET J",
        ["sys.Logger"] = "INSERT CQPJ",
      }, found)
    end)

    it("has the workspaces that others alter or inherit", function()
      assert.same({ "sys.Workspace", "sys.AppWorkspaceWS", "sys.ProfileWS", "sys.UserProfileWS",
        "sys.DeviceProfileWS" }, names(def.workspaces))
      assert.is_true(def.workspaces[1].abstract)
    end)
  end)

  describe("packages", function()
    it("are listed with their paths and local names", function()
      assert.same({ { path = "sys", name = "sys" }, { path = RESTAURANT, name = "restaurant" } },
        compile("").packages)
    end)

    it("join the names of all their files", function()
      local def = assert(schema.compile(image(
        { "a.vsql", RESTAURANT, workspace "TABLE A INHERITS Base (r ref(B))" },
        { "b.vsql", RESTAURANT, [[WORKSPACE X (
          ABSTRACT TABLE Base INHERITS sys.WDoc (x int32); TABLE B INHERITS Base ())]] })))
      assert.equal("WDoc", find(def.types, "restaurant.A").kind)
      assert.equal("b.vsql", find(def.types, "restaurant.B").file)
      assert.equal("b.vsql", find(def.types, "restaurant.A").fields[1].file)
    end)

    local shop = { "shop.vsql", "org/shop",
      "WORKSPACE S (ABSTRACT TABLE Base INHERITS sys.CDoc (x int32); TYPE T (y int32))" }

    it("see each other by import", function()
      local def = assert(schema.compile(image(shop, { "a.vsql", RESTAURANT,
        "IMPORT SCHEMA 'org/shop';" .. workspace "TABLE A INHERITS shop.Base (shop.T)" })))
      assert.same({ "x", "y" }, names(find(def.types, "restaurant.A").fields))
    end)

    it("see each other by another name", function()
      local def = assert(schema.compile(image(shop, { "a.vsql", RESTAURANT,
        "IMPORT SCHEMA 'org/shop' AS store;" .. workspace "TABLE A INHERITS store.Base ()" })))
      assert.equal("CDoc", find(def.types, "restaurant.A").kind)
    end)

    it("share their imports among their files", function()
      assert(schema.compile(image(shop,
        { "a.vsql", RESTAURANT, "IMPORT SCHEMA 'org/shop' AS store" },
        { "b.vsql", RESTAURANT, workspace "TABLE A INHERITS store.Base ()" })))
    end)

    it("may name themselves", function()
      compile(workspace "TABLE A INHERITS sys.CDoc (r ref(restaurant.A))")
    end)

    refuses("a package that is not in the image", "TYPE T (a nowhere.X)",
      "2:11: unknown package nowhere")
    refuses("a misspelled package", "TABLE T INHERITS syss.CDoc ()",
      "2:18: unknown package syss; did you mean sys?")
    refuses_image("a package that is not imported",
      image(shop, { "a.vsql", RESTAURANT, workspace "TABLE A INHERITS shop.Base ()" }),
      "a.vsql:2:18: package org/shop is not imported as shop: add IMPORT SCHEMA 'org/shop'")
    refuses_image("the local name of a package that has another one here",
      image(shop, { "a.vsql", RESTAURANT,
        "IMPORT SCHEMA 'org/shop' AS store;" .. workspace "TABLE A INHERITS shop.Base ()" }),
      "a.vsql:2:18: package org/shop is not imported as shop: add IMPORT SCHEMA 'org/shop'")
    refuses_image("an unknown import once, and not each of its names",
      image(shop, { "a.vsql", RESTAURANT,
        "IMPORT SCHEMA 'org/shp';" .. workspace "TABLE A INHERITS shp.Base (r ref(shp.T))" }),
      "a.vsql:1:15: unknown package 'org/shp'; did you mean 'org/shop'?")
    refuses_image("one name for two packages",
      image(shop, { "b.vsql", "org/b", "" }, { "a.vsql", RESTAURANT,
        "IMPORT SCHEMA 'org/shop' AS x;\nIMPORT SCHEMA 'org/b' AS x;" }),
      "a.vsql:2:26: x is already the name of package org/shop: use AS")
    refuses_image("two packages with one local name",
      image(shop, { "other.vsql", "com/shop", "WORKSPACE S ()" }),
      "other.vsql:1:1: package com/shop has the same local name as org/shop: "
        .. "rename one of the folders")
    refuses_image("a cycle of imports",
      image({ "a.vsql", "org/a", "IMPORT SCHEMA 'org/b'" }, { "b.vsql", "org/b",
        "IMPORT SCHEMA 'org/c'" }, { "c.vsql", "org/c", " IMPORT SCHEMA 'org/a'" }),
      "c.vsql:1:16: import cycle: a -> b -> c -> a")
    refuses_image("a package that imports itself",
      image { "a.vsql", "org/a", "IMPORT SCHEMA 'org/a'" },
      "a.vsql:1:15: import cycle: a -> a")

    it("may import one package on two ways", function()
      assert(schema.compile(image(
        { "a.vsql", "org/a", "IMPORT SCHEMA 'org/b'; IMPORT SCHEMA 'org/c'" },
        { "b.vsql", "org/b", "IMPORT SCHEMA 'org/c'" }, { "c.vsql", "org/c", "" })))
    end)
  end)

  describe("errors", function()
    refuses_image("everything at once, by file, line and column",
      image({ "b.vsql", RESTAURANT, workspace "TYPE T (b x, a y)" },
        { "a.vsql", "org/a", workspace "TYPE T (\n a z)" }),
      "a.vsql:3:4: unknown type z", "b.vsql:2:11: unknown type x", "b.vsql:2:16: unknown type y")
    refuses_image("a file that does not parse, without blaming what refers to it",
      image({ "a.vsql", RESTAURANT, workspace "TABLE A INHERITS Base (r ref(B), x y, n int33)" },
        { "b.vsql", RESTAURANT, "WORKSPACE X (\n TABLE Base INHERITS;" }),
      'b.vsql:2:21: expected a table name after INHERITS, found ";"')
    refuses("a name where it stands, each time", "TYPE A (X);\nTYPE B (X);",
      "2:9: unknown type restaurant.X", "3:9: unknown type restaurant.X")
    refuses_image("names with a guess from the package that is meant",
      image({ "a.vsql", "org/a", workspace "TYPE Order ()" }, { "b.vsql", RESTAURANT,
        "IMPORT SCHEMA 'org/a' AS z;" .. workspace "TYPE T (z.Ordre)" }),
      "b.vsql:2:9: unknown type z.Ordre; did you mean z.Order?")
    refuses("an unknown base or included type, without blaming the fields that it would give",
      "TABLE A INHERITS Lost (UNIQUE (x));\nTABLE B INHERITS sys.CDoc (Lost, UNIQUE (x));\n"
        .. "TABLE C INHERITS Half (UNIQUE (y));\nABSTRACT TABLE Half INHERITS Lost ();",
      "2:18: unknown table restaurant.Lost", "3:28: unknown type restaurant.Lost",
      "5:30: unknown table restaurant.Lost")
    refuses("a name that package sys has", "TABLE A INHERITS CDoc ()",
      "2:18: unknown table restaurant.CDoc; did you mean sys.CDoc?")
    refuses("positions behind comments, tabs and CRLF",
      "/* a\r\n */ TYPE T (\r\n\t-- b\r\n\t\ta\tx)",
      "5:5: unknown type x")
  end)

  describe("statements that are not enforced", function()
    for word in ("RATE LIMIT GRANT REVOKE ROLE FUNCTION DECLARE TEMPLATE POOL SECRET PARAMETER")
        :gmatch "%S+" do
      refuses(word .. " in a workspace and goes on", "\t" .. word .. " x (a; 'b;')  ; TYPE T (a x)",
        "2:2: " .. word .. " is not enforced by Stator: remove it, or leave it to the host "
          .. "platform",
        ("2:%d: unknown type x"):format(#word + 28))
    end

    refuses("USE WORKSPACE and USE TABLE", "USE WORKSPACE W; USE TABLE a.*",
      "2:1: USE WORKSPACE is not enforced by Stator: remove it, or leave it to the host platform",
      "2:18: USE TABLE is not enforced by Stator: remove it, or leave it to the host platform")
    refuses("CRON in a projector", "EXTENSION ENGINE LUA (PROJECTOR p CRON '1 * * * *')",
      "2:35: CRON is not enforced by Stator: remove it, or leave it to the host platform")
    refuses_item("VERIFIABLE", "a varchar VERIFIABLE",
      "3:11: VERIFIABLE is not enforced by Stator: remove it, or leave it to the host platform")
    refuses_file("FUNCTION in an engine of the file",
      "EXTENSION ENGINE WASM ( FUNCTION f(a) RETURNS bool; )",
      "1:25: FUNCTION is not enforced by Stator: remove it, or leave it to the host platform")

    it("leave annotations alone", function()
      compile(workspace "TAG a; TYPE T () WITH Comment='x', Tags=(a, unknown.b)")
    end)
  end)

  describe("APPLICATION", function()
    it("names the application and its package", function()
      assert.same({ name = "app", package = "restaurant" },
        compile("APPLICATION app ()").application)
    end)

    it("may be missing", function()
      assert.is_nil(compile("").application)
    end)

    it("is replaced by the default name", function()
      local def = schema.compile({ SYS }, { app = "folder" })
      assert.same({ name = "folder" }, def.application)
    end)

    it("uses imported packages by their names here", function()
      assert(schema.compile(image({ "b.vsql", "org/b", "" }, { "a.vsql", RESTAURANT,
        "IMPORT SCHEMA 'org/b' AS c; APPLICATION app ( USE c; USE restaurant )" })))
    end)

    refuses_image("USE of a package that is not imported",
      image({ "b.vsql", "org/b", "" }, { "a.vsql", RESTAURANT, "APPLICATION app ( USE b )" }),
      "a.vsql:1:23: package org/b is not imported as b: add IMPORT SCHEMA 'org/b'")
    refuses_file("USE of a package that is not there", "APPLICATION app ( USE b )",
      "1:23: unknown package b")
    refuses_image("a second APPLICATION in the image",
      image({ "a.vsql", "org/a", "APPLICATION x ()" }, { "b.vsql", "org/b", "APPLICATION y ()" }),
      "b.vsql:1:13: image has more than one APPLICATION: x is already declared")
  end)

  describe("names", function()
    refuses("a second one of any kind in a package",
      "TABLE A INHERITS sys.CDoc ();\nTYPE A ();\nWORKSPACE A ();\n"
        .. "EXTENSION ENGINE LUA (\nCOMMAND A)",
      "3:6: restaurant.A is already declared at a.vsql:2:7",
      "4:11: restaurant.A is already declared at a.vsql:2:7",
      "6:9: restaurant.A is already declared at a.vsql:2:7")
    refuses("a nested table with the name of another", "TYPE A ();\n"
      .. "TABLE B INHERITS sys.CDoc (x TABLE A ())",
      "3:36: restaurant.A is already declared at a.vsql:2:6")
    refuses("a descriptor with the name of another", "TYPE WDescriptor ();\nDESCRIPTOR ()",
      "3:1: restaurant.WDescriptor is already declared at a.vsql:2:6")
    refuses("more than 255 characters", "TYPE " .. ("x"):rep(256) .. " (\n" .. ("y"):rep(256)
      .. " int32)", "2:6: name is longer than 255 characters",
      "3:1: name is longer than 255 characters")

    it("may have 255 characters", function()
      compile(workspace("TYPE " .. ("x"):rep(255) .. " (" .. ("y"):rep(255) .. " int32)"))
    end)
  end)

  describe("workspaces", function()
    it("are listed with what they say", function()
      local def = compile [[ABSTRACT WORKSPACE A ();
        WORKSPACE B INHERITS A, sys.ProfileWS (DESCRIPTOR (Name varchar))]]
      local a, b = find(def.workspaces, "restaurant.A"), find(def.workspaces, "restaurant.B")
      assert.is_true(a.abstract)
      assert.is_nil(a.descriptor)
      assert.same({ "restaurant.A", "sys.ProfileWS" }, b.inherits)
      assert.equal("restaurant.BDescriptor", b.descriptor)
      assert.same({ "a.vsql", 2, 19 }, { b.file, b.line, b.col })
    end)

    it("have what they inherit over all steps, and sys.Workspace", function()
      local def = compile [[ABSTRACT WORKSPACE A (); WORKSPACE B INHERITS A ();
        WORKSPACE C INHERITS B, sys.UserProfileWS (DESCRIPTOR D (); WORKSPACE E ());]]
      local has = find(def.workspaces, "restaurant.C").has
      table.sort(has)
      assert.same({ "restaurant.A", "restaurant.B", "restaurant.C", "sys.ProfileWS",
        "sys.UserProfileWS", "sys.Workspace" }, has)
    end)

    it("are kinds that matter when things are declared in two that are not ABSTRACT", function()
      local function matter(text) return compile(text).kinds_matter end
      assert.is_false(matter "ABSTRACT WORKSPACE A (TYPE T ()); WORKSPACE B (TYPE U ());")
      assert.is_false(matter "WORKSPACE A (TYPE T ()); WORKSPACE B ();")
      assert.is_true(matter "WORKSPACE A (TYPE T ()); WORKSPACE B (TYPE U ());")
      assert.is_true(matter "WORKSPACE A (TYPE T (); WORKSPACE B (DESCRIPTOR ()));")
      assert.is_true(matter
        "WORKSPACE A (TYPE T ()); ALTER WORKSPACE sys.AppWorkspaceWS (TYPE U ());")
    end)

    it("have a descriptor that is a singleton", function()
      local def = compile(workspace "DESCRIPTOR Info (Name varchar)")
      local info = find(def.types, "restaurant.Info")
      assert.same({ "CDoc", true, "restaurant.W" }, { info.kind, info.singleton, info.workspace })
    end)

    it("take what ALTER WORKSPACE adds", function()
      local def = compile "ALTER WORKSPACE sys.AppWorkspaceWS (TYPE T ())"
      assert.equal("sys.AppWorkspaceWS", find(def.types, "restaurant.T").workspace)
    end)

    it("may be altered by their own package without being ALTERABLE", function()
      compile "WORKSPACE A (); ALTER WORKSPACE A ()"
    end)

    refuses_file("an unknown base", "WORKSPACE A INHERITS Bas (); WORKSPACE Base ()",
      "1:22: unknown workspace restaurant.Bas; did you mean restaurant.Base?")
    refuses_file("a base that is no workspace", "WORKSPACE A INHERITS sys.CDoc ()",
      "1:22: sys.CDoc is a table, not a workspace")
    refuses_file("one that inherits itself", "WORKSPACE A INHERITS B (); WORKSPACE B INHERITS A ()",
      "1:49: restaurant.B inherits itself")
    refuses_file("DESCRIPTOR of an abstract one", "ABSTRACT WORKSPACE A (\nDESCRIPTOR ())",
      "2:1: workspace restaurant.A is ABSTRACT and has no DESCRIPTOR")
    refuses("a second DESCRIPTOR", "DESCRIPTOR A ();\nDESCRIPTOR B ()",
      "3:1: workspace restaurant.W already has a DESCRIPTOR")
    refuses_file("DESCRIPTOR in ALTER WORKSPACE",
      "ALTER WORKSPACE sys.AppWorkspaceWS (\nDESCRIPTOR ())",
      "2:1: ALTER WORKSPACE has no DESCRIPTOR: declare it with the workspace")
    refuses_file("ALTER of one that is not ALTERABLE", "ALTER WORKSPACE sys.Workspace ()",
      "1:17: workspace sys.Workspace is not ALTERABLE by another package")
    refuses_file("ALTER of an unknown one, and still checks what is in it",
      "ALTER WORKSPACE sys.AppWorkspace1 (TYPE T (a x); EXTENSION ENGINE LUA (JOB j '@daily'))",
      "1:17: unknown workspace sys.AppWorkspace1; did you mean sys.AppWorkspaceWS?",
      "1:46: unknown type x")
  end)

  describe("tables", function()
    it("get their kind from their root", function()
      local kinds = { CDoc = "CDoc", WDoc = "WDoc", ODoc = "ODoc", GDoc = "GDoc",
        CSingleton = "CDoc", WSingleton = "WDoc", CRecord = "CRecord", WRecord = "WRecord",
        ORecord = "ORecord", GRecord = "GRecord" }
      for root, kind in pairs(kinds) do
        local entry = type_of("TABLE T INHERITS sys." .. root .. " ()", "restaurant.T")
        assert.equal(kind, entry.kind)
        assert.equal(root:find "Singleton" ~= nil, entry.singleton)
        assert.is_false(entry.abstract)
      end
    end)

    it("inherit fields and uniques, those of the base first", function()
      local entry = type_of([[TABLE T INHERITS B (c int32, UNIQUE (a, c), CONSTRAINT x UNIQUE (b));
        ABSTRACT TABLE B INHERITS A (b int32); ABSTRACT TABLE A INHERITS sys.CDoc (
        a int32, UNIQUEFIELD a)]], "restaurant.T")
      assert.same({ "a", "b", "c" }, names(entry.fields))
      assert.same({ { name = "01", fields = { "a" } }, { name = "02", fields = { "a", "c" } },
        { name = "x", fields = { "b" } } }, entry.uniques)
    end)

    it("give nested tables the record kind of theirs", function()
      for letter in ("CWOG"):gmatch "." do
        local def = compile(workspace("TABLE T INHERITS sys." .. letter .. [[Doc (
          rows TABLE R (deep TABLE D (a int32)))]]))
        local outer, deep = find(def.types, "restaurant.R"), find(def.types, "restaurant.D")
        assert.same({ letter .. "Record", "restaurant.T" }, { outer.kind, outer.parent })
        assert.same({ letter .. "Record", "restaurant.R" }, { deep.kind, deep.parent })
        assert.same({ "rows", "restaurant.D" }, { outer.fields[1].kind, outer.fields[1].rows })
      end
    end)

    it("contain rows of tables that are declared elsewhere", function()
      local entry = type_of([[TABLE T INHERITS sys.CDoc (rows R);
        TABLE R INHERITS sys.CRecord (a int32)]], "restaurant.T")
      assert.same({ "rows", "restaurant.R" }, { entry.fields[1].kind, entry.fields[1].rows })
    end)

    it("include the fields of types", function()
      local entry = type_of("TABLE T INHERITS sys.CDoc (A, d int32); TYPE A (B, c int32); "
        .. "TYPE B (b int32)", "restaurant.T")
      assert.same({ "b", "c", "d" }, names(entry.fields))
    end)

    it("know where they and their fields stand", function()
      local entry = type_of("\tTABLE T INHERITS sys.CDoc (\n  a int32)", "restaurant.T")
      assert.same({ "a.vsql", 2, 8, "restaurant.W" },
        { entry.file, entry.line, entry.col, entry.workspace })
      assert.same({ 3, 3 }, { entry.fields[1].line, entry.fields[1].col })
    end)

    it("are listed in the order of declaration, nested ones after theirs", function()
      local def = compile(
        workspace "TYPE A (); TABLE B INHERITS sys.CDoc (x TABLE C ()); TYPE D ()")
      local all = names(def.types)
      assert.same({ "restaurant.A", "restaurant.B", "restaurant.C", "restaurant.D" },
        { unpack(all, #all - 3) })
    end)

    refuses("no base", "TABLE T ()",
      "2:7: table restaurant.T has no base: add INHERITS sys.CDoc, sys.WDoc, sys.ODoc or another")
    refuses("an unknown base", "TABLE T INHERITS sys.CDok ()",
      "2:18: unknown table sys.CDok; did you mean sys.CDoc?")
    refuses("a base that is no table", "TYPE A ();\nTABLE T INHERITS A ()",
      "3:18: restaurant.A is a type, not a table")
    refuses("a base that is not abstract", "TABLE A INHERITS sys.CDoc ();\nTABLE T INHERITS A ()",
      "3:18: table restaurant.A is not ABSTRACT and cannot be inherited")
    refuses("tables that inherit each other", "ABSTRACT TABLE A INHERITS B ();\n"
      .. "ABSTRACT TABLE B INHERITS A ()", "3:27: restaurant.B inherits itself")
    refuses_item("a field twice", "a int32,\na int64", "4:1: field a is already in restaurant.T")
    refuses("a field that the base has",
      "ABSTRACT TABLE B INHERITS sys.CDoc (a int32);\nTABLE T INHERITS B (a int32)",
      "3:21: field a is already in restaurant.B")
    refuses("a field that an included type has too",
      "TYPE A (a int32);\nTABLE T INHERITS sys.CDoc (a int32, A)",
      "3:37: field a is already in restaurant.T")
    refuses_item("a nested table with the name of a field", "a int32,\na TABLE N ()",
      "4:1: field a is already in restaurant.T")
    refuses_item("an included type that is a table", "W, restaurant.T",
      "3:1: restaurant.W is a workspace, not a type", "3:4: restaurant.T is a table, not a type")
    refuses("types that include each other", "TYPE A (B);\nTYPE B (A)",
      "3:9: type restaurant.A includes itself")
    refuses("nested rows of an abstract table",
      "ABSTRACT TABLE N INHERITS sys.CRecord ();\nTABLE T INHERITS sys.CDoc (a N)",
      "3:30: table restaurant.N is ABSTRACT and cannot be nested")
    refuses("nested rows of another kind",
      "TABLE N INHERITS sys.WRecord ();\nTABLE T INHERITS sys.CDoc (a N)",
      "3:30: table restaurant.N is a WRecord; a table nested in restaurant.T is a CRecord")
    refuses("a table that contains itself", "TABLE N INHERITS sys.CRecord (a N)",
      "2:33: table restaurant.N contains itself")
    refuses("tables that contain each other",
      "TABLE N INHERITS sys.CRecord (a TABLE M (\nb N))",
      "3:3: table restaurant.N contains itself")
    refuses("a type as a data type", "TYPE A ();\nTYPE B (a A)",
      "3:11: restaurant.A is a type, not a data type; without a field name its fields are included")
    refuses("nested tables in types", "TYPE A (a TABLE N ());\nTYPE B (a R);\n"
      .. "TABLE R INHERITS sys.ORecord ()",
      "2:17: nested tables stand only in tables", "3:11: nested tables stand only in tables")
    refuses("a view as a data type", "TYPE B (a W)", "2:11: nested tables stand only in tables")

    it("have at most 65536 fields", function()
      local fields = {}
      for i = 1, 65537 do fields[i] = "f" .. i .. " int8" end
      assert.same({ "2:6: restaurant.T has more than 65536 fields" },
        errors_of(workspace("TYPE T (" .. table.concat(fields, ",") .. ")")))
    end)
  end)

  describe("fields", function()
    it("have the kind of each word for it", function()
      local words = {
        int8 = "int8", tinyint = "int8", int16 = "int16", smallint = "int16", int32 = "int32",
        int = "int32", integer = "int32", int64 = "int64", bigint = "int64", timestamp = "int64",
        money = "int64", currency = "int64", float32 = "float32", float = "float32",
        real = "float32", float64 = "float64", ["double precision"] = "float64", bool = "bool",
        boolean = "bool", qname = "qname", ["qualified name"] = "qname", varchar = "string",
        text = "string", ["character varying"] = "string", bytes = "bytes", varbinary = "bytes",
        ["binary varying"] = "bytes", blob = "ref", ["binary large object"] = "ref", ref = "ref",
      }
      for word, kind in pairs(words) do
        assert.equal(kind, field_of("a " .. word).kind)
      end
    end)

    it("have a length of 255 unless another is given", function()
      assert.equal(255, field_of("a varchar").max)
      assert.equal(65535, field_of("a bytes(65535)").max)
      assert.equal(1, field_of("a text(1)").max)
      assert.is_nil(field_of("a int32").max)
    end)

    it("are required by NOT NULL", function()
      assert.is_true(field_of("a int32 NOT NULL").required)
      assert.is_false(field_of("a int32").required)
    end)

    it("have the targets of a ref", function()
      local entry = type_of("TABLE T INHERITS sys.CDoc (a ref(T, U)); TABLE U INHERITS sys.WDoc ()",
        "restaurant.T")
      assert.same({ "restaurant.T", "restaurant.U" }, entry.fields[1].refs)
      assert.is_nil(field_of("a ref").refs)
    end)

    it("have the regexp of CHECK", function()
      assert.equal("^[0-9]$", field_of("a varchar CHECK '^[0-9]$'").pattern)
    end)

    it("have defaults of their kind", function()
      local defaults = {
        ["int8 DEFAULT -128"] = -128, ["int16 DEFAULT +32767"] = 32767,
        ["money DEFAULT 007"] = 7, ["int64 DEFAULT 9007199254740991"] = 9007199254740991,
        ["int64 DEFAULT 9007199254740993"] = "9007199254740993",
        ["int64 DEFAULT +9223372036854775807"] = "9223372036854775807",
        ["int64 DEFAULT -9223372036854775808"] = "-9223372036854775808",
        ["float32 DEFAULT 1.5"] = 1.5, ["float64 DEFAULT -1e300"] = -1e300,
        ["bool DEFAULT TRUE"] = true, ["bool DEFAULT false"] = false,
        ["varchar(2) DEFAULT 'ab'"] = "ab",
      }
      for declaration, value in pairs(defaults) do
        assert.equal(value, field_of("a " .. declaration).default)
      end
    end)

    refuses_item("an unknown type", "a varhcar", "3:3: unknown type varhcar; did you mean varchar?")
    refuses_item("a type in upper case", "a VARCHAR(5)",
      "3:3: unknown type VARCHAR; did you mean varchar?")
    refuses_item("an unknown type of another package", "a sys.CRecrd",
      "3:3: unknown type sys.CRecrd; did you mean sys.CRecord?")
    refuses("an unknown table as a type",
      "TABLE T INHERITS sys.CDoc (a Itms);\nTABLE Items INHERITS sys.CRecord ()",
      "2:30: unknown type Itms; did you mean Items?")
    refuses_item("records", "a record", "3:3: type record is only for package sys: use ref")
    refuses_item("a length of 0", "a varchar(0)", "3:3: length of varchar is not in 1..65535")
    refuses_item("a length of 65536", "a bytes(65536)", "3:3: length of bytes is not in 1..65535")
    refuses_item("a length of a number", "a int32(5)", "3:3: type int32 has no length")
    refuses_item("a ref to an unknown table", "a ref(sys.Foo, TT)",
      "3:7: unknown table sys.Foo", "3:16: unknown table restaurant.TT")
    refuses_item("a ref to an abstract table", "a ref(sys.CDoc)",
      "3:7: table sys.CDoc is ABSTRACT and cannot be referred to")
    refuses_item("a ref to a type", "a ref(sys.Raw)", "3:7: sys.Raw is a type, not a table")
    refuses_item("CHECK of a number", "a int32 CHECK 'x'",
      "3:15: CHECK needs a varchar field; a is int32")

    local misfits = {
      ["int8 DEFAULT 128"] = "int8", ["int8 DEFAULT -129"] = "int8",
      ["int32 DEFAULT 2147483648"] = "int32", ["int32 DEFAULT 1.5"] = "int32",
      ["int64 DEFAULT 9223372036854775808"] = "int64", ["int32 DEFAULT 'a'"] = "int32",
      ["float32 DEFAULT 1e39"] = "float32", ["float64 DEFAULT 1e309"] = "float64",
      ["float64 DEFAULT TRUE"] = "float64", ["bool DEFAULT 1"] = "bool",
      ["varchar(2) DEFAULT 'abc'"] = "string(2)", ["varchar DEFAULT 1"] = "string(255)",
      ["bytes DEFAULT 'a'"] = "bytes", ["ref DEFAULT 1"] = "ref", ["qname DEFAULT 'a'"] = "qname",
    }
    for declaration, kind in pairs(misfits) do
      local col = declaration:find " [^ ]*$" + 3
      refuses_item(declaration, "a " .. declaration,
        ("3:%d: DEFAULT of field a does not fit %s"):format(col, kind))
    end
  end)

  describe("uniques", function()
    refuses_item("an unknown field", "Name varchar, UNIQUE (Nmae)",
      "3:23: unknown field Nmae in restaurant.T; did you mean Name?")
    refuses_item("an unknown field in UNIQUEFIELD", "UNIQUEFIELD x",
      "3:13: unknown field x in restaurant.T")
    refuses_item("a field twice", "a int32, UNIQUE (a, a)", "3:21: field a is twice in UNIQUE")
    refuses_item("a nested table", "a TABLE N (), UNIQUE (a)",
      "3:23: field a is a nested table and cannot be unique")
    refuses_item("a name twice", "a int32, CONSTRAINT u UNIQUE (a), CONSTRAINT u UNIQUEFIELD a",
      "3:46: constraint u is already in restaurant.T")
    refuses_item("too many bytes", "a bytes(65535), b varchar(1), UNIQUE (a, b)",
      "3:31: UNIQUE is longer than 65535 bytes")
    refuses("them in types", "TYPE T (a int32, UNIQUE (a))", "2:18: UNIQUE stands only in tables")

    it("may come before their fields", function()
      assert.same({ { name = "01", fields = { "a" } } },
        type_of("TABLE T INHERITS sys.CDoc (UNIQUE (a), a int32)", "restaurant.T").uniques)
    end)

    it("are at most 100, with at most 256 fields", function()
      local uniques, fields, all = {}, {}, {}
      for i = 1, 101 do uniques[i] = "UNIQUE (f1)" end
      for i = 1, 257 do fields[i], all[i] = "f" .. i .. " int8", "f" .. i end
      local body = ("TABLE T INHERITS sys.CDoc (%s, %s,\nUNIQUE (%s))"):format(
        table.concat(fields, ","), table.concat(uniques, ","), table.concat(all, ","))
      assert.same({ "2:7: restaurant.T has more than 100 uniques",
        "3:1: UNIQUE has more than 256 fields" }, errors_of(workspace(body)))
    end)
  end)

  describe("views", function()
    -- A view with these items, which begin in line 3, and the projector that it is the result of.
    local function view(items)
      return "VIEW V (\n" .. items .. ") AS RESULT OF P;\n"
        .. "EXTENSION ENGINE LUA (PROJECTOR P AFTER INSERT ON sys.CRecord INTENTS(sys.View(V)))"
    end

    it("have keys in the order of PRIMARY KEY, and values", function()
      local entry = type_of(view [[x money, c varchar(20), a int32,
        y ref(sys.AppWorkspace) NOT NULL, b qname, PRIMARY KEY ((b, a), c)]], "restaurant.V")
      assert.equal("View", entry.kind)
      assert.same({ "b", "a", "c" }, names(entry.keys))
      assert.equal(2, entry.pk)
      assert.same({ "x", "y" }, names(entry.fields))
      assert.same({ true, false, true },
        { entry.keys[3].required, entry.fields[1].required, entry.fields[2].required })
      assert.equal("restaurant.P", entry.result_of)
    end)

    it("may be the result of a job", function()
      local def = compile [[ALTER WORKSPACE sys.AppWorkspaceWS (
        EXTENSION ENGINE LUA (JOB j '@daily' INTENTS(sys.Logger, sys.View(V)));
        VIEW V (a int32, b int32, PRIMARY KEY ((a), b)) AS RESULT OF j)]]
      assert.equal("restaurant.j", find(def.types, "restaurant.V").result_of)
    end)

    local function refuses_view(sentence, items, ...)
      refuses(sentence, view(items), ...)
    end

    refuses_view("no PRIMARY KEY", "a int32", "2:6: view restaurant.V has no PRIMARY KEY")
    refuses_view("two of them", "a int32, b int32, PRIMARY KEY ((a), b),\nPRIMARY KEY ((b), a)",
      "4:1: view restaurant.V has more than one PRIMARY KEY")
    refuses_view("no clustering column", "a int32, PRIMARY KEY ((a))",
      "3:10: PRIMARY KEY of view restaurant.V has no clustering column")
    refuses_view("unknown key fields", "year int32, PRIMARY KEY ((yaer), month)",
      "3:27: unknown field yaer in restaurant.V; did you mean year?",
      "3:34: unknown field month in restaurant.V")
    refuses_view("a key field twice", "a int32, b int32, PRIMARY KEY ((a, a), b, b)",
      "3:36: field a is twice in PRIMARY KEY", "3:43: field b is twice in PRIMARY KEY")
    refuses_view("variable fields in the partition key",
      "a varchar, b bytes, c int32, PRIMARY KEY ((a, b), c)",
      "3:44: field a is string and cannot be in the partition key",
      "3:47: field b is bytes and cannot be in the partition key")
    refuses_view("a variable field that is not the last clustering column",
      "a int32, b text, c bytes, PRIMARY KEY ((a), b, c)",
      "3:45: field b is string and must be the last clustering column")
    refuses_view("nested tables", "a int32, b sys.CRecord, PRIMARY KEY ((a), b)",
      "3:12: nested tables stand only in tables")
    refuses_view("a field twice", "a int32, b int32, a int64, PRIMARY KEY ((a), b)",
      "3:19: field a is already in restaurant.V")

    local plain = "VIEW V (a int32, b int32, PRIMARY KEY ((a), b)) AS RESULT OF\n"
    refuses("an unknown projector", plain .. "P", "3:1: unknown projector or job restaurant.P")
    refuses("a result of a command", plain .. "sys.CUD",
      "3:1: sys.CUD is a command, not a projector or job")
    refuses("a projector that has other intents", plain .. "P; " .. view(
      "a int32, b int32, PRIMARY KEY ((a), b)"):gsub("VIEW V", "VIEW V2"):gsub("%(V%)", "(V2)"),
      "3:1: projector restaurant.P does not declare INTENTS(sys.View(restaurant.V))")
    refuses_file("a job without intents", "ALTER WORKSPACE sys.AppWorkspaceWS (\n" .. plain
      .. "j; EXTENSION ENGINE LUA (JOB j '@daily'))",
      "3:1: job restaurant.j does not declare INTENTS(sys.View(restaurant.V))")
    refuses("a projector whose intents are unknown, without a second complaint", plain
      .. "P;\nEXTENSION ENGINE LUA (PROJECTOR P AFTER INSERT ON sys.CRecord INTENTS(sys.Veiw(V)))",
      "4:71: unknown storage sys.Veiw; did you mean sys.View?")
  end)

  local function in_engine(text)
    return "EXTENSION ENGINE LUA (\n" .. text .. "\n)"
  end

  local function extension(text, name)
    return find(compile(workspace(in_engine(text))).extensions, name)
  end

  -- The same as `refuses` for the text of an extension, which begins in line 3. There are a table
  -- Doc, an operational table Order, a view Sales, a type Params and a command Run.
  local function refuses_extension(sentence, text, ...)
    refuses(sentence, in_engine(text) .. [[;
      TABLE Doc INHERITS sys.CDoc (); TABLE Order INHERITS sys.ODoc (); TYPE Params ();
      ABSTRACT TABLE Base INHERITS sys.CDoc (); ABSTRACT TABLE OBase INHERITS sys.ODoc ();
      EXTENSION ENGINE LUA (COMMAND Run; PROJECTOR Sell AFTER EXECUTE ON Run
        INTENTS(sys.View(Sales)));
      VIEW Sales (a int32, b int32, PRIMARY KEY ((a), b)) AS RESULT OF Sell]], ...)
  end

  describe("commands", function()
    it("have arguments and a result", function()
      local command = extension("COMMAND c(sys.Raw, UNLOGGED any) RETURNS sys.Raw", "restaurant.c")
      assert.same({ "COMMAND", "LUA", "restaurant.W", "restaurant" },
        { command.kind, command.engine, command.workspace, command.package })
      assert.same({ "sys.Raw", "any", "sys.Raw" },
        { command.arg, command.unlogged, command.result })
      assert.same({ "a.vsql", 3, 9 }, { command.file, command.line, command.col })
    end)

    it("have none of them with void", function()
      local command = extension("COMMAND c(void, UNLOGGED void) RETURNS void", "restaurant.c")
      assert.same({}, { command.arg, command.unlogged, command.result })
    end)

    it("take tables of operations as arguments", function()
      local def = compile(workspace("TABLE Order INHERITS sys.ODoc ();"
        .. in_engine "COMMAND c(Order, UNLOGGED Order)"))
      assert.equal("restaurant.Order", find(def.extensions, "restaurant.c").arg)
    end)

    it("may have any engine", function()
      for engine in ("LUA BUILTIN WASM"):gmatch "%S+" do
        local def = compile(workspace("EXTENSION ENGINE " .. engine .. " (COMMAND c)"))
        assert.equal(engine, find(def.extensions, "restaurant.c").engine)
      end
    end)

    refuses_extension("unknown arguments and results",
      "COMMAND c(Parms, UNLOGGED Odrer) RETURNS sys.Rau",
      "3:11: unknown type restaurant.Parms; did you mean restaurant.Params?",
      "3:27: unknown type restaurant.Odrer; did you mean restaurant.Order?",
      "3:42: unknown type sys.Rau; did you mean sys.Raw?")
    refuses_extension("an argument that is a table of another kind", "COMMAND c(Doc)",
      "3:11: table restaurant.Doc is a CDoc: an argument is a type or an ODoc")
    refuses_extension("an argument that is abstract", "COMMAND c(sys.ODoc)",
      "3:11: table sys.ODoc is ABSTRACT and cannot be an argument")
    refuses_extension("a result that is a table", "COMMAND c RETURNS Order",
      "3:19: restaurant.Order is a table, not a type")
    refuses_file("a command outside of workspaces", "EXTENSION ENGINE LUA (COMMAND c)",
      "1:31: COMMAND stands only in a WORKSPACE")
  end)

  describe("queries", function()
    it("have an argument and a result", function()
      local query = extension("QUERY q(sys.Raw) RETURNS any", "restaurant.q")
      assert.same({ "QUERY", "sys.Raw", "any" }, { query.kind, query.arg, query.result })
    end)

    it("may return nothing", function()
      assert.is_nil(extension("QUERY q RETURNS void", "restaurant.q").result)
    end)

    refuses_extension("a query with INTENTS", "QUERY q INTENTS(sys.Result) RETURNS any",
      "3:17: query restaurant.q has INTENTS: a query writes only to sys.Result, sys.Response and "
        .. "sys.Logger, which need no declaration")
  end)

  describe("STATE and INTENTS", function()
    it("list storages with their entities, each storage once", function()
      local def = compile(workspace([[TABLE A INHERITS sys.CDoc (); TABLE B INHERITS sys.CDoc ();]]
        .. in_engine [[COMMAND c STATE(sys.Record(A), sys.AppSecret, sys.Record(B, A))
          INTENTS(sys.Record(B), sys.Result)]]))
      local command = find(def.extensions, "restaurant.c")
      assert.same({
        { storage = "sys.Record", entities = { "restaurant.A", "restaurant.B" } },
        { storage = "sys.AppSecret", entities = {} },
      }, command.state)
      assert.same({
        { storage = "sys.Record", entities = { "restaurant.B" } },
        { storage = "sys.Result", entities = {} },
      }, command.intents)
    end)

    it("may name storages of the own package", function()
      local def = compile("STATESTORAGE ENGINE SO (Cache (GET SCOPE(COMMAND)));"
        .. workspace(in_engine "COMMAND c STATE(Cache)"))
      assert.equal("restaurant.Cache", find(def.extensions, "restaurant.c").state[1].storage)
    end)

    refuses_extension("an unknown storage", "COMMAND c STATE(sys.Htp, Http)",
      "3:17: unknown storage sys.Htp; did you mean sys.Http?",
      "3:26: unknown storage restaurant.Http; did you mean sys.Http?")
    refuses_extension("a storage that is none", "COMMAND c STATE(Doc)",
      "3:17: restaurant.Doc is a table, not a storage")
    refuses_extension("a storage that commands cannot read", "COMMAND c STATE(sys.Http)",
      "3:17: a command cannot use storage sys.Http in STATE")
    refuses_extension("a storage that can only be written", "QUERY q STATE(sys.Result) RETURNS any",
      "3:15: a query cannot use storage sys.Result in STATE")
    refuses_extension("a storage that projectors cannot write",
      "PROJECTOR p AFTER EXECUTE ON Run INTENTS(sys.Record(Doc), sys.Result)",
      "3:42: a projector cannot use storage sys.Record in INTENTS",
      "3:59: a projector cannot use storage sys.Result in INTENTS")
    refuses_extension("a storage that commands cannot write", "COMMAND c INTENTS(sys.View(Sales))",
      "3:19: a command cannot use storage sys.View in INTENTS")
    refuses_extension("a missing entity", "COMMAND c STATE(sys.Record, sys.View)",
      "3:17: storage sys.Record requires an entity: write sys.Record(Table)",
      "3:29: storage sys.View requires an entity: write sys.View(View)")
    refuses_extension("entities of the wrong kind",
      "COMMAND c STATE(sys.Record(Sales), sys.View(Doc))",
      "3:28: restaurant.Sales is a view, not a table",
      "3:45: restaurant.Doc is a table, not a view")
    refuses_extension("unknown entities", "COMMAND c STATE(sys.Record(Dok), sys.View(Sale))",
      "3:28: unknown table restaurant.Dok; did you mean restaurant.Doc?",
      "3:43: unknown view restaurant.Sale; did you mean restaurant.Sales?")
    refuses_extension("an entity that is abstract", "COMMAND c STATE(sys.Record(sys.CDoc))",
      "3:28: table sys.CDoc is ABSTRACT and has no records")
    refuses_extension("an entity of a storage that has none", "COMMAND c STATE(sys.AppSecret(Doc))",
      "3:17: storage sys.AppSecret has no entities")
  end)

  describe("projectors", function()
    it("have triggers", function()
      local def = compile(workspace([[TABLE A INHERITS sys.CDoc (); TABLE O INHERITS sys.ODoc ();]]
        .. in_engine [[COMMAND c; SYNC PROJECTOR p AFTER EXECUTE ON c
          OR AFTER EXECUTE WITH PARAM ON (O, sys.Raw) OR AFTER INSERT OR DEACTIVATE ON (A)
          INCLUDING ERRORS]]))
      local projector = find(def.extensions, "restaurant.p")
      assert.same({ "PROJECTOR", true, true },
        { projector.kind, projector.sync, projector.errors })
      assert.same({
        { ops = { "EXECUTE" }, with_param = false, names = { "restaurant.c" } },
        { ops = { "EXECUTE" }, with_param = true, names = { "restaurant.O", "sys.Raw" } },
        { ops = { "INSERT", "DEACTIVATE" }, with_param = false, names = { "restaurant.A" } },
      }, projector.triggers)
    end)

    it("may be asynchronous and without errors", function()
      local projector = extension("PROJECTOR p AFTER EXECUTE ON sys.CUD", "restaurant.p")
      assert.same({ false, false }, { projector.sync, projector.errors })
    end)

    it("may wait for the abstract tables of package sys", function()
      local projector = extension([[PROJECTOR p AFTER INSERT ON (sys.CRecord, sys.WRecord, sys.CDoc,
        sys.WSingleton) OR AFTER EXECUTE WITH PARAM ON sys.ODoc]], "restaurant.p")
      assert.equal(4, #projector.triggers[1].names)
      assert.same({ "sys.ODoc" }, projector.triggers[2].names)
    end)

    refuses_extension("unknown triggers",
      "PROJECTOR p AFTER EXECUTE ON Rum OR AFTER EXECUTE WITH PARAM ON Prams OR "
        .. "AFTER UPDATE ON Dic",
      "3:30: unknown command restaurant.Rum; did you mean restaurant.Run?",
      "3:65: unknown type restaurant.Prams; did you mean restaurant.Params?",
      "3:90: unknown table restaurant.Dic; did you mean restaurant.Doc?")
    refuses_extension("EXECUTE ON an argument", "PROJECTOR p AFTER EXECUTE ON Params",
      "3:30: restaurant.Params is a type, not a command")
    refuses_extension("WITH PARAM ON a table of another kind",
      "PROJECTOR p AFTER EXECUTE WITH PARAM ON Doc",
      "3:41: table restaurant.Doc is a CDoc: WITH PARAM waits for a type or an ODoc")
    refuses_extension("WITH PARAM ON an abstract table",
      "PROJECTOR p AFTER EXECUTE WITH PARAM ON OBase",
      "3:41: table restaurant.OBase is ABSTRACT: name the tables that inherit it")
    refuses_extension("changes of operational tables",
      "PROJECTOR p AFTER INSERT ON Order OR AFTER UPDATE ON sys.ORecord",
      "3:29: table restaurant.Order is an ODoc and has no records: use EXECUTE WITH PARAM",
      "3:54: table sys.ORecord is an ORecord and has no records: use EXECUTE WITH PARAM")
    refuses_extension("changes of abstract tables", "PROJECTOR p AFTER INSERT ON Base",
      "3:29: table restaurant.Base is ABSTRACT: name the tables that inherit it")
    refuses_extension("changes of a view", "PROJECTOR p AFTER INSERT ON Sales",
      "3:29: restaurant.Sales is a view, not a table")
  end)

  describe("jobs", function()
    local function job(cron)
      return "ALTER WORKSPACE sys.AppWorkspaceWS (EXTENSION ENGINE LUA (JOB j\n'" .. cron .. "'))"
    end

    it("have a schedule and the workspace of the application", function()
      local entry = find(compile(job "*/5 0-6 1,15 * MON-FRI").extensions, "restaurant.j")
      assert.same({ "JOB", "*/5 0-6 1,15 * MON-FRI", "sys.AppWorkspaceWS" },
        { entry.kind, entry.cron, entry.workspace })
    end)

    it("tell where the schedule stands", function()
      local entry = find(compile(job "@daily").extensions, "restaurant.j")
      assert.same({ 2, 1 }, { entry.cron_line, entry.cron_col })
    end)

    it("may stand in a workspace that inherits that of the application", function()
      compile [[WORKSPACE A INHERITS B (EXTENSION ENGINE LUA (JOB j '@daily'));
        WORKSPACE B INHERITS sys.ProfileWS, sys.AppWorkspaceWS ()]]
    end)

    it("may stand in a nested ALTER WORKSPACE", function()
      compile(workspace(job "@daily"))
    end)

    refuses_extension("a job in another workspace", "JOB j '@daily'",
      "3:5: job restaurant.j is not in workspace sys.AppWorkspaceWS or in one that inherits it")
  end)

  describe("storages", function()
    it("have operations, an entity and a configuration", function()
      local storage = find(compile([[STATESTORAGE ENGINE PLUGIN (
        STORAGE Scada (GET SCOPE(COMMAND, QUERIES), READ SCOPE QUERY) ENTITY VIEW
          WITH JSONCONFIG='{"url":"x"}')]]).storages, "restaurant.Scada")
      assert.same({
        name = "restaurant.Scada", package = "restaurant", engine = "PLUGIN", entity = "VIEW",
        config = '{"url":"x"}', ops = { GET = { "COMMANDS", "QUERIES" }, READ = { "QUERIES" } },
        file = "a.vsql", line = 2, col = 17,
      }, storage)
    end)

    it("have the engine PLUGIN for SO", function()
      local def = compile "STATESTORAGE ENGINE SO (A (GET SCOPE(JOB)))"
      assert.equal("PLUGIN", find(def.storages, "restaurant.A").engine)
    end)

    refuses_file("STORAGE in an extension engine of another package than sys",
      "EXTENSION ENGINE BUILTIN (STORAGE A (GET SCOPE(JOBS)))",
      "1:35: STORAGE stands only in package sys: use STATESTORAGE ENGINE")
    refuses_file("an operation twice",
      "STATESTORAGE ENGINE SO (A (GET SCOPE(JOBS),\nGET SCOPE(QUERIES)))",
      "2:1: operation GET is twice in storage restaurant.A")
  end)
end)
