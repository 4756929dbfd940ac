-- The grammar: what each production gives, and what is said where it cannot go on.

local vsql = require "stator.vsql"

-- The statements of a text that parses.
local function parse(text)
  local ast, fault = vsql.parse(text)
  if not ast then error(("%d:%d: %s"):format(fault.line, fault.col, fault.message), 2) end
  return ast.statements, ast
end

-- The statements of a workspace, and the first one of them.
local function in_workspace(body)
  local statements = parse("WORKSPACE W (" .. body .. ")")[1].statements
  return statements[1], statements
end

local function in_engine(body)
  return in_workspace("EXTENSION ENGINE LUA (" .. body .. ")").statements[1]
end

local function item(body)
  return in_workspace("TABLE T (" .. body .. ")").items[1]
end

-- The fault of a text that does not parse, as a line of `stator check` has it.
local function fault(text)
  local ast, found = vsql.parse(text)
  assert.is_nil(ast)
  return ("%d:%d: %s"):format(found.line, found.col, found.message)
end

local function names(list)
  local all = {}
  for i, one in ipairs(list) do
    all[i] = one.pkg and one.pkg .. "." .. one.name or one.name
  end
  return all
end

describe("stator.vsql", function()
  describe("tokens", function()
    it("gives no statements for an empty file", function()
      assert.same({}, parse "")
    end)

    it("skips comments of both kinds, white space and a byte order mark", function()
      local statements = parse "\239\187\191-- one\n/* two\n ; 'three */\tTAG x -- four"
      assert.equal(1, #statements)
    end)

    it("takes a keyword only as a whole word", function()
      assert.equal("TABLEX", item("TABLEX int32").name.name)
      assert.equal("EXECUTE1", in_workspace("TYPE EXECUTE1 ()").name.name)
    end)

    it("takes keywords in upper case only", function()
      assert.equal("1:1: expected IMPORT, APPLICATION, WORKSPACE, EXTENSION ENGINE or "
        .. 'STATESTORAGE ENGINE, found "workspace"', fault "workspace W ()")
    end)

    it("takes a keyword in double quotes as a name", function()
      assert.equal("TABLE", item('"TABLE" int32').name.name)
    end)

    it("takes an escaped quote into a string and leaves other backslashes alone", function()
      assert.equal("it's \\d", item([[a varchar CHECK 'it\'s \d']]).check.value)
    end)

    it("takes a string over several lines", function()
      assert.equal("a\nb", item("a varchar CHECK 'a\nb'").check.value)
    end)

    it("does not need the last semicolon of a block or of the file", function()
      assert.equal(2, #parse "TAG a; TAG b")
      assert.equal(2, #parse "TAG a; TAG b;")
    end)
  end)

  describe("positions", function()
    local function name_position(text)
      local statements, ast = parse(text)
      return { ast.locate(statements[1].name.pos) }
    end

    it("counts lines and columns from 1", function()
      assert.same({ 1, 5 }, name_position "TAG x")
    end)

    it("counts a tab as one column", function()
      assert.same({ 1, 6 }, name_position "\tTAG\tx")
    end)

    it("counts CRLF as one end of line", function()
      assert.same({ 3, 5 }, name_position "-- a\r\n\r\nTAG x\r\n")
    end)

    it("counts the lines of comments", function()
      assert.same({ 3, 11 }, name_position "/* a\n b\n c */ TAG x")
    end)

    it("counts characters, not bytes", function()
      assert.same({ 1, 14 }, name_position "/* дом */TAG x")
    end)
  end)

  describe("root statements", function()
    it("reads IMPORT with and without a name", function()
      local statements = parse "IMPORT SCHEMA 'a.org/b'; IMPORT SCHEMA 'a.org/c' AS d;"
      assert.equal("a.org/b", statements[1].path.value)
      assert.is_nil(statements[1].alias)
      assert.equal("d", statements[2].alias.name)
    end)

    it("reads APPLICATION", function()
      local application = parse("APPLICATION shop ( USE a; USE b )")[1]
      assert.equal("shop", application.name.name)
      assert.same({ "a", "b" }, names(application.uses))
    end)

    it("reads an empty APPLICATION", function()
      assert.same({}, parse("APPLICATION shop ();")[1].uses)
    end)

    it("reads WORKSPACE with its modifiers and bases", function()
      local statements = parse [[WORKSPACE A (); ABSTRACT WORKSPACE B ();
        ALTERABLE WORKSPACE C INHERITS A, sys.Workspace ();]]
      assert.is_nil(statements[1].abstract)
      assert.is_true(statements[2].abstract)
      assert.is_true(statements[3].alterable)
      assert.same({ "A", "sys.Workspace" }, names(statements[3].inherits))
    end)

    it("reads ALTER WORKSPACE", function()
      local alter = parse("ALTER WORKSPACE sys.AppWorkspaceWS ( TYPE T () )")[1]
      assert.equal("alter", alter.tag)
      assert.same({ "sys.AppWorkspaceWS" }, names { alter.target })
      assert.equal(1, #alter.statements)
    end)

    it("reads storages in an extension engine", function()
      local engine = parse [[EXTENSION ENGINE BUILTIN (
        STORAGE S ( GET SCOPE(COMMANDS, QUERIES), READ SCOPE(JOBS) ) ENTITY VIEW; );]]
      local storage = engine[1].statements[1]
      assert.equal("BUILTIN", engine[1].engine)
      assert.equal("VIEW", storage.entity)
      assert.equal("GET", storage.ops[1].op)
      assert.same({ "COMMANDS", "QUERIES" }, storage.ops[1].scopes)
      assert.same({ "JOBS" }, storage.ops[2].scopes)
    end)

    it("reads state storages in both spellings", function()
      local engine = parse([[STATESTORAGE ENGINE SO (
        STORAGE A ( GET SCOPE(COMMAND) ) WITH JSONCONFIG='{"x":1}';
        B ( GETBATCH SCOPE QUERY, PROJECTOR, INSERT SCOPE JOB ) ENTITY RECORD
      )]])[1]
      local a, b = engine.statements[1], engine.statements[2]
      assert.is_true(engine.own_storages)
      assert.equal('{"x":1}', a.config)
      assert.same({ "COMMANDS" }, a.ops[1].scopes)
      assert.equal("B", b.name.name)
      assert.same({ "QUERIES", "PROJECTORS" }, b.ops[1].scopes)
      assert.same({ "JOBS" }, b.ops[2].scopes)
      assert.equal("RECORD", b.entity)
    end)

    it("reads every state storage engine", function()
      for engine in ("BUILTIN PLUGIN SO"):gmatch "%S+" do
        assert.equal(engine, parse("STATESTORAGE ENGINE " .. engine .. " ()")[1].engine)
      end
    end)
  end)

  describe("workspace statements", function()
    it("reads DESCRIPTOR with and without a name", function()
      assert.equal("D", in_workspace("DESCRIPTOR D (a int32)").name.name)
      assert.is_nil(in_workspace("DESCRIPTOR (a int32)").name)
    end)

    it("reads TABLE with its base and annotations", function()
      local node = in_workspace
        "ABSTRACT TABLE T INHERITS sys.CDoc () WITH Comment='it\\'s', Tags=(a, sys.b)"
      assert.is_true(node.abstract)
      assert.same({ "sys.CDoc" }, names { node.inherits })
      assert.same({}, node.items)
    end)

    it("reads TYPE", function()
      local node = in_workspace "TYPE T (a int32, b int64) WITH Tags=(c)"
      assert.equal("type", node.tag)
      assert.equal(2, #node.items)
    end)

    it("reads VIEW", function()
      local node = in_workspace [[VIEW V (a int32 NOT NULL, b varchar(9), c ref(X),
        PRIMARY KEY ((a, c), b)) AS RESULT OF p.P WITH Comment='x']]
      local key = node.items[4]
      assert.is_true(node.items[1].not_null)
      assert.same({ "a", "c" }, names(key.partition))
      assert.same({ "b" }, names(key.clustering))
      assert.same({ "p.P" }, names { node.result_of })
    end)

    it("reads nested workspaces", function()
      local _, statements = in_workspace "WORKSPACE N (); ALTER WORKSPACE sys.M ()"
      assert.equal("workspace", statements[1].tag)
      assert.equal("alter", statements[2].tag)
    end)

    it("reads TAG", function()
      local _, statements = in_workspace "TAG a; TAG b WITH FEATURE 'c'"
      assert.equal(2, #statements)
    end)
  end)

  describe("items", function()
    it("reads a field with everything", function()
      local node = item "a varchar(10) NOT NULL DEFAULT 'b' CHECK '^b'"
      assert.equal("varchar", node.type.name)
      assert.equal("10", node.type.length)
      assert.is_true(node.not_null)
      assert.equal("b", node.default.value)
      assert.equal("^b", node.check.value)
    end)

    it("reads types of several words", function()
      local words = { ["double precision"] = "float64", ["character varying(5)"] = "varchar",
        ["binary varying"] = "bytes", ["binary large object"] = "blob",
        ["qualified name"] = "qname" }
      for phrase, name in pairs(words) do
        assert.equal(name, item("a " .. phrase).type.name)
      end
    end)

    it("reads ref with and without tables", function()
      assert.is_nil(item("a ref NOT NULL").type.refs)
      assert.same({ "A", "b.B" }, names(item("a ref(A, b.B)").type.refs))
    end)

    it("reads each kind of literal", function()
      local literals = { ["-12"] = "-12", ["1.5e3"] = "1.5e3", ["'s'"] = "s", TRUE = true,
        ["false"] = false }
      for literal, value in pairs(literals) do
        assert.equal(value, item("a x DEFAULT " .. literal).default.value)
      end
    end)

    it("reads nested tables", function()
      local node = item "rows TABLE Inner (deep TABLE Deep (a int32))"
      assert.equal("rows", node.container.name)
      assert.equal("Inner", node.name.name)
      assert.equal("Deep", node.items[1].name.name)
    end)

    it("reads a declared table as a field's type", function()
      assert.same({ "p.Inner" }, names { item("rows p.Inner").type })
    end)

    it("reads the fields of a type by its name", function()
      local node = item "p.Address, b int32"
      assert.equal("fieldset", node.tag)
      assert.same({ "p.Address" }, names { node.type })
    end)

    it("reads uniques of both kinds, with and without a name", function()
      assert.same({ "a" }, names(item("UNIQUEFIELD a").fields))
      assert.same({ "a", "b" }, names(item("UNIQUE (a, b)").fields))
      assert.equal("u", item("CONSTRAINT u UNIQUE (a)").name.name)
      assert.equal("u", item("CONSTRAINT u UNIQUEFIELD a").name.name)
    end)
  end)

  describe("extensions", function()
    it("reads every engine", function()
      for engine in ("LUA BUILTIN WASM"):gmatch "%S+" do
        assert.equal(engine, in_workspace("EXTENSION ENGINE " .. engine .. " ()").engine)
      end
    end)

    it("reads COMMAND with everything", function()
      local node = in_engine [[COMMAND c(a.A, UNLOGGED B) STATE(sys.Record(T, U), sys.Http)
        INTENTS(sys.Result) RETURNS void WITH Comment='x']]
      assert.same({ "a.A" }, names { node.arg })
      assert.same({ "B" }, names { node.unlogged })
      assert.same({ "sys.Record" }, names { node.state[1].storage })
      assert.same({ "T", "U" }, names(node.state[1].entities))
      assert.is_nil(node.state[2].entities)
      assert.equal(1, #node.intents)
      assert.same({ "void" }, names { node.returns })
    end)

    it("reads COMMAND with nothing, with empty parentheses and with UNLOGGED alone", function()
      assert.is_nil(in_engine("COMMAND c").arg)
      assert.is_nil(in_engine("COMMAND c()").arg)
      assert.same({ "B" }, names { in_engine("COMMAND c(UNLOGGED B)").unlogged })
      assert.same({ "B" }, names { in_engine("COMMAND c(A UNLOGGED B)").unlogged })
    end)

    it("reads QUERY", function()
      local node = in_engine "QUERY q(any) STATE(sys.Http) RETURNS p.R WITH Tags=(t)"
      assert.same({ "any" }, names { node.arg })
      assert.same({ "p.R" }, names { node.returns })
    end)

    it("reads PROJECTOR with several triggers", function()
      local node = in_engine [[PROJECTOR p AFTER EXECUTE ON c OR AFTER EXECUTE WITH PARAM ON (a, b)
        OR AFTER INSERT OR UPDATE OR ACTIVATE OR DEACTIVATE ON sys.CRecord
        STATE(s) INTENTS(i) INCLUDING ERRORS]]
      assert.is_nil(node.sync)
      assert.is_true(node.errors)
      assert.is_nil(node.triggers[1].with_param)
      assert.is_true(node.triggers[2].with_param)
      assert.same({ "a", "b" }, names(node.triggers[2].names))
      assert.same({ "INSERT", "UPDATE", "ACTIVATE", "DEACTIVATE" }, node.triggers[3].ops)
    end)

    it("reads SYNC PROJECTOR", function()
      assert.is_true(in_engine("SYNC PROJECTOR p AFTER INSERT ON t").sync)
    end)

    it("reads JOB", function()
      local node = in_engine "JOB j '@every 1s' STATE(s) INTENTS(i)"
      assert.equal("@every 1s", node.cron.value)
      assert.equal(1, #node.intents)
    end)
  end)

  describe("statements that are not enforced", function()
    local function words(text)
      local all = {}
      for i, node in ipairs(parse(text)) do all[i] = node.word or node.tag end
      return all
    end

    it("are read in the file, in a workspace and in an engine", function()
      assert.same({ "DECLARE", "tag" }, words "DECLARE x int32 DEFAULT 1; TAG t")
      assert.equal("GRANT", in_workspace("GRANT ALL ON ALL TABLES TO r").word)
      assert.equal("FUNCTION", in_engine("FUNCTION f(a int32) RETURNS bool").word)
    end)

    it("end at their own semicolon", function()
      assert.same({ "ROLE", "POOL", "RATE", "LIMIT", "tag" }, words [[ROLE r;
        POOL OF WORKSPACE p (TAG a; TAG b; (c)); RATE r ';)' -- ;
        /* ; */ PER HOUR; LIMIT l ON x; TAG t]])
    end)

    it("include both forms of USE", function()
      local _, statements = in_workspace "USE WORKSPACE w; USE TABLE t.*"
      assert.equal("USE WORKSPACE", statements[1].word)
      assert.equal("USE TABLE", statements[2].word)
    end)

    it("include CRON of a projector and VERIFIABLE of a field", function()
      assert.equal("CRON", in_engine("PROJECTOR p CRON '1 * * * *'").triggers[1].word)
      assert.equal("VERIFIABLE", item("a varchar NOT NULL VERIFIABLE").verifiable.word)
    end)
  end)

  describe("a fault", function()
    local function faults(what, cases)
      for text, expected in pairs(cases) do
        it(("in %s is found in %q"):format(what, text), function()
          assert.equal(expected, fault(text))
        end)
      end
    end

    local root = "IMPORT, APPLICATION, WORKSPACE, EXTENSION ENGINE or STATESTORAGE ENGINE"
    faults("tokens", {
      ["TAG a;\n /* b"] = "2:2: comment is not closed: add */",
      ["TAG a;\n IMPORT SCHEMA 'b"] = "2:16: string is not closed: add '",
      ["TAG \"a b\""] = '1:5: a quoted name is letters, digits and _ between two "',
      ["RATE r 'x"] = "1:8: string is not closed: add '",
      ["RATE r (x"] =
        '1:10: expected ")" before the end of the statement, found the end of the file',
      ["TAG \1"] = "1:5: expected a tag name after TAG, found the byte 1",
      ["TAG é"] = '1:5: expected a tag name after TAG, found "é"',
      ["TAG 'a\nb'"] = [[1:5: expected a tag name after TAG, found "'a"]],
      ["TAG TABLE"] = '1:5: expected a tag name after TAG, found "TABLE"',
      ["TAG a_b.c"] = '1:8: expected ";" after the statement, found "."',
      ["TAG _a"] = '1:5: expected a tag name after TAG, found "_a"',
    })

    faults("root statements", {
      [";"] = "1:1: expected " .. root .. ', found ";"',
      ["TABLE T ()"] = "1:1: expected " .. root .. ', found "TABLE"',
      ["TAG a TAG b"] = '1:7: expected ";" after the statement, found "TAG"',
      ["TAG a)"] = "1:6: expected " .. root .. ', found ")"',
      ["IMPORT x"] = '1:8: expected SCHEMA after IMPORT, found "x"',
      ["IMPORT SCHEMA x"] = '1:15: expected a string after SCHEMA, found "x"',
      ["IMPORT SCHEMA 'x' AS 'y'"] = [[1:22: expected a name after AS, found "'y'"]],
      ["APPLICATION ()"] = '1:13: expected a name after APPLICATION, found "("',
      ["APPLICATION a;"] = '1:14: expected "(" after the application name, found ";"',
      ["APPLICATION a ( x"] = '1:17: expected USE or ")", found "x"',
      ["APPLICATION a ( USE"] =
        "1:20: expected a package name after USE, found the end of the file",
      ["USE a"] = '1:5: expected WORKSPACE or TABLE after USE, found "a"',
      ["ABSTRACT VIEW v"] = '1:10: expected TABLE or WORKSPACE after ABSTRACT, found "VIEW"',
      ["ALTERABLE TABLE"] = '1:11: expected WORKSPACE after ALTERABLE, found "TABLE"',
      ["ALTER TABLE"] = '1:7: expected WORKSPACE after ALTER, found "TABLE"',
      ["WORKSPACE ("] = '1:11: expected a workspace name after WORKSPACE, found "("',
      ["WORKSPACE W;"] = '1:12: expected "(" after the workspace name, found ";"',
      ["WORKSPACE W INHERITS ("] = '1:22: expected a workspace name, found "("',
      ["WORKSPACE W (\n\tTABEL T ())"] =
        '2:2: expected TABLE, TYPE, VIEW, EXTENSION ENGINE or ")", found "TABEL"',
      ["WORKSPACE W ("] =
        '1:14: expected TABLE, TYPE, VIEW, EXTENSION ENGINE or ")", found the end of the file',
      ["EXTENSION LUA"] = '1:11: expected ENGINE after EXTENSION, found "LUA"',
      ["EXTENSION ENGINE JS ("] = '1:18: expected LUA, BUILTIN or WASM after ENGINE, found "JS"',
      ["EXTENSION ENGINE LUA;"] = '1:21: expected "(" after the engine, found ";"',
      ["EXTENSION ENGINE LUA (VIEW"] =
        '1:23: expected COMMAND, QUERY, PROJECTOR, JOB or ")", found "VIEW"',
    })

    faults("state storages", {
      ["STATESTORAGE ENGINE LUA ("] =
        '1:21: expected BUILTIN, PLUGIN or SO after ENGINE, found "LUA"',
      ["STATESTORAGE ENGINE SO (STORAGE (GET"] =
        '1:33: expected a storage name after STORAGE, found "("',
      ["STATESTORAGE ENGINE SO (5"] = '1:25: expected a storage name or ")", found "5"',
      ["STATESTORAGE ENGINE SO (A;"] = '1:26: expected "(" after the storage name, found ";"',
      ["STATESTORAGE ENGINE SO (A (PUT"] =
        '1:28: expected GET, GETBATCH, READ, INSERT or UPDATE, found "PUT"',
      ["STATESTORAGE ENGINE SO (A (GET (JOBS"] =
        '1:32: expected SCOPE after the operation, found "("',
      ["STATESTORAGE ENGINE SO (A (GET SCOPE(ALL"] =
        '1:38: expected COMMANDS, QUERIES, PROJECTORS or JOBS, found "ALL"',
      ["STATESTORAGE ENGINE SO (A (GET SCOPE(JOBS) READ"] =
        '1:44: expected "," or ")" after the operation, found "READ"',
      ["STATESTORAGE ENGINE SO (A (GET SCOPE(JOBS)) ENTITY ROW"] =
        '1:52: expected RECORD or VIEW after ENTITY, found "ROW"',
      ["STATESTORAGE ENGINE SO (A (GET SCOPE(JOBS)) WITH CONFIG"] =
        '1:50: expected JSONCONFIG after WITH, found "CONFIG"',
      ["STATESTORAGE ENGINE SO (A (GET SCOPE(JOBS)) WITH JSONCONFIG={"] =
        '1:61: expected a string after "=", found "{"',
    })

    -- The cases with a first line before them, so that they are about the second one.
    local function on_line_2(first_line, cases)
      local all = {}
      for text, expected in pairs(cases) do all[first_line .. "\n" .. text] = "2:" .. expected end
      return all
    end

    faults("workspace statements", on_line_2("WORKSPACE W (", {
      ["TABLE INHERITS"] = '7: expected a table name after TABLE, found "INHERITS"',
      ["TABLE T;"] = '8: expected "(" after the table name, found ";"',
      ["TABLE T INHERITS sys.;"] = '22: expected a name after ".", found ";"',
      ["TABLE T INHERITS sys.CDoc;"] = '26: expected "(" after the base table, found ";"',
      ["TABLE T (5"] = '10: expected a field, a table or UNIQUE, found "5"',
      ["TABLE T (a"] = "11: expected a type after the field name, found the end of the file",
      ["TABLE T (a int32,)"] = '18: expected a field, a table or UNIQUE, found ")"',
      ["TABLE T (a int32 NOT NUL)"] = '22: expected NULL after NOT, found "NUL"',
      ["TABLE T (a int32 DEFUALT 5)"] = '18: expected "," or ")" after the field, found "DEFUALT"',
      ["TABLE T (a int32 DEFAULT x)"] =
        '26: expected a number, a string, TRUE or FALSE after DEFAULT, found "x"',
      ["TABLE T (a int32 CHECK (a > 1))"] = '24: expected a regexp string after CHECK, found "("',
      ["TABLE T (a varchar(x))"] = '20: expected a length after "(", found "x"',
      ["TABLE T (a varchar(10 NOT"] = '23: expected ")" after the length, found "NOT"',
      ["TABLE T (a double)"] = '18: expected precision after double, found ")"',
      ["TABLE T (a ref())"] = '16: expected a table name, found ")"',
      ["TABLE T (a ref(A B))"] = '18: expected "," or ")" after a table name, found "B"',
      ["TABLE T (a TABLE (b"] = '18: expected a table name after TABLE, found "("',
      ["TABLE T (a TABLE B,"] = '19: expected "(" after the table name, found ","',
      ["TABLE T (UNIQUE a)"] = '17: expected "(" after UNIQUE, found "a"',
      ["TABLE T (UNIQUE ())"] = '18: expected a field name, found ")"',
      ["TABLE T (UNIQUEFIELD)"] = '21: expected a field name after UNIQUEFIELD, found ")"',
      ["TABLE T (CONSTRAINT UNIQUE (a))"] = '21: expected a name after CONSTRAINT, found "UNIQUE"',
      ["TABLE T (CONSTRAINT a CHECK"] =
        '23: expected UNIQUE or UNIQUEFIELD after the constraint name, found "CHECK"',
      ["TABLE T () WITH Tag=(a)"] = '17: expected Comment or Tags, found "Tag"',
      ["TABLE T () WITH Tags=a"] = '22: expected "(" after "=", found "a"',
      ["TABLE T () WITH Comment x"] = '25: expected "=" after Comment, found "x"',
      ["TYPE T a"] = '8: expected "(" after the type name, found "a"',
      ["VIEW V ()"] =
        '10: expected AS RESULT OF after the view\'s fields, found the end of the file',
      ["VIEW V (a int32 DEFAULT 5"] = '17: expected "," or ")" after the field, found "DEFAULT"',
      ["VIEW V (PRIMARY (a)"] = '17: expected KEY after PRIMARY, found "("',
      ["VIEW V (PRIMARY KEY (a, b))"] = '22: expected "(" after "KEY (", found "a"',
      ["VIEW V (PRIMARY KEY ((a) b))"] = '26: expected "," or ")" after a field name, found "b"',
      ["VIEW V (a int32) AS RESULT P"] = '28: expected OF after RESULT, found "P"',
      ["VIEW V (a int32) AS RESULT OF"] =
        "30: expected a projector or a job after OF, found the end of the file",
      ["DESCRIPTOR D;"] = '13: expected "(" after the descriptor name, found ";"',
      ["DESCRIPTOR;"] = '11: expected "(" after DESCRIPTOR, found ";"',
    }))

    faults("extensions", on_line_2("EXTENSION ENGINE LUA (", {
      ["COMMAND RETURNS void"] = '9: expected a command name after COMMAND, found "RETURNS"',
      ["COMMAND c(A, B)"] = '14: expected UNLOGGED after ",", found "B"',
      ["COMMAND c(A"] = '12: expected ")" after the arguments, found the end of the file',
      ["COMMAND c STATE sys.Http"] = '17: expected "(" after STATE, found "sys"',
      ["COMMAND c STATE()"] = '17: expected a storage, found ")"',
      ["COMMAND c INTENTS(a.b(c d))"] = '25: expected "," or ")" after an entity, found "d"',
      ["COMMAND c RETURNS;"] = '18: expected a type, any or void after RETURNS, found ";"',
      ["COMMAND c RETURNS a STATE(b)"] = '21: expected ";" after the statement, found "STATE"',
      ["QUERY q;"] = '8: expected RETURNS of the query, found ";"',
      ["QUERY q(A, B) RETURNS C"] = '10: expected ")" after the argument, found ","',
      ["SYNC p"] = '6: expected PROJECTOR after SYNC, found "p"',
      ["PROJECTOR AFTER"] = '11: expected a projector name after PROJECTOR, found "AFTER"',
      ["PROJECTOR p ON c"] = '13: expected AFTER after the projector name, found "ON"',
      ["PROJECTOR p AFTER c"] =
        '19: expected EXECUTE, INSERT, UPDATE, ACTIVATE or DEACTIVATE after AFTER, found "c"',
      ["PROJECTOR p AFTER EXECUTE WITH ON"] = '32: expected PARAM after WITH, found "ON"',
      ["PROJECTOR p AFTER EXECUTE c"] = '27: expected ON, found "c"',
      ["PROJECTOR p AFTER INSERT OR EXECUTE ON c"] =
        '29: expected INSERT, UPDATE, ACTIVATE or DEACTIVATE after OR, found "EXECUTE"',
      ["PROJECTOR p AFTER INSERT ON;"] = '28: expected a name or "(" after ON, found ";"',
      ["PROJECTOR p AFTER INSERT ON (a b)"] = '32: expected "," or ")" after a name, found "b"',
      ["PROJECTOR p AFTER INSERT ON a OR b"] = '34: expected AFTER after OR, found "b"',
      ["PROJECTOR p AFTER INSERT ON a INCLUDING b"] =
        '41: expected ERRORS after INCLUDING, found "b"',
      ["PROJECTOR p CRON 5"] = '18: expected a string after CRON, found "5"',
      ["JOB j STATE(s)"] = '7: expected a cron string after the job name, found "STATE"',
    }))

    it("is placed by lines and columns through comments, tabs and CRLF", function()
      assert.equal('4:9: expected a type after the field name, found "5"',
        fault "-- a\r\n/* b\r\n */ WORKSPACE W (\tTABLE T (\r\n\t/**/ a\t5))")
    end)

    it("in deep parentheses is told instead of overflowing", function()
      assert.equal("1:1: parentheses are nested too deeply",
        fault("RATE " .. ("("):rep(100000)))
    end)
  end)
end)
