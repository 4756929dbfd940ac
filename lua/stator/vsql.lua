-- The grammar of VSQL, the schema language: the text of one file becomes a tree.
--
-- The grammar decides by the next word and never takes a decision back, so the place where it
-- cannot go on is always the furthest one, and the only one worth reporting. `expect` marks these
-- places: it raises a fault, which `parse` turns into a line, a column and a message.
--
-- A node has `pos`, a byte offset; `ast.locate` turns it into a line and a column. Statements and
-- items have a `tag`. A name is `{ pos, name }`, a qualified one `{ pos, pkg, name }`. What the
-- names mean is no concern of this file: see schema.lua.

local lpeg = require "lpeg"

local C, Cc, Cg, Cmt, Cp, Cs, Ct = lpeg.C, lpeg.Cc, lpeg.Cg, lpeg.Cmt, lpeg.Cp, lpeg.Cs, lpeg.Ct
local P, R, S, V = lpeg.P, lpeg.R, lpeg.S, lpeg.V

local M = {}

-- Faults.

-- The byte that nobody comes to take tells LPeg that a loop over this pattern would end.
local function fail(message)
  return Cmt(true, function(_, pos) error({ pos = pos, message = message }, 0) end) * 1
end

local function expect(patt, what)
  return patt + Cmt(true, function(_, pos) error({ pos = pos, expected = what }, 0) end)
end

-- Tokens. Each takes the space and the comments behind it along.

local letter = R("az", "AZ")
local digit = R "09"
local word_char = letter + digit + "_"

local line_comment = "--" * (1 - P "\n") ^ 0
local block_comment = "/*" * (1 - P "*/") ^ 0 * "*/"
  + #P "/*" * fail "comment is not closed: add */"
local byte_order_mark = P "\239\187\191"
local skip = (S " \t\r\n\f\v" + line_comment + block_comment + byte_order_mark) ^ 0

local function symbol(text)
  return P(text) * skip
end

local open, close, comma, semicolon = symbol "(", symbol ")", symbol ",", symbol ";"
local dot, equals = symbol ".", symbol "="

-- A keyword, or a phrase of several: the first word decides, the others must follow.
local function kw(phrase)
  local patt, before
  for word in phrase:gmatch "%S+" do
    local one = P(word) * -word_char * skip
    patt = patt and patt * expect(one, ("%s after %s"):format(word, before)) or one
    before = word
  end
  return patt
end

-- One of several keywords, captured.
local function one_of(words)
  local patt = P(false)
  for word in words:gmatch "%S+" do
    patt = patt + C(word) * -word_char * skip
  end
  return patt
end

-- Only words that could be taken for a forgotten name are reserved, and quotes lift that.
local reserved = one_of [[AFTER CONSTRAINT EXECUTE INHERITS INTENTS PRIMARY RETURNS TABLE UNIQUE
  UNIQUEFIELD UNLOGGED WITH]]
local bare_name = letter * word_char ^ 0
local name_text = (C(bare_name - reserved) + '"' * C(bare_name) * '"'
  + #P '"' * fail 'a quoted name is letters, digits and _ between two "') * skip

local string_text = ("'" * Cs((P "\\'" / "'" + (1 - P "'")) ^ 0) * "'"
  + #P "'" * fail "string is not closed: add '") * skip

local integer_text = C(digit ^ 1) * -word_char * skip
local number_text = C(S "+-" ^ -1 * digit ^ 1 * ("." * digit ^ 1) ^ -1
  * (S "eE" * S "+-" ^ -1 * digit ^ 1) ^ -1) * -word_char * skip

-- Nodes and lists.

local position = Cg(Cp(), "pos")

local function node(tag, patt)
  return Ct(position * Cg(Cc(tag), "tag") * patt)
end

local function flag(key, patt)
  return (Cg(Cc(true), key) * patt) ^ -1
end

local ident = Ct(position * Cg(name_text, "name"))
local text = Ct(position * Cg(string_text, "value"))
local qname = Ct(position
  * (Cg(name_text, "pkg") * dot * Cg(expect(name_text, 'a name after "."'), "name")
    + Cg(name_text, "name")))

local function named(what)
  return Cg(expect(ident, what), "name")
end

local function opening(after)
  return expect(open, '"(" after ' .. after)
end

local function some(element, what)
  return expect(element, what) * (comma * expect(element, what)) ^ 0
end

local function list(element, what)
  return Ct(some(element, what))
end

-- A list in parentheses.
local function group(element, what, after)
  return opening(after) * list(element, what)
    * expect(close, ('"," or ")" after %s'):format(what))
end

-- Statements end with a semicolon, which the last one of a block need not have.
local function statements(statement)
  local ending = expect(semicolon + #close + -P(1), '";" after the statement')
  return Ct((statement * ending) ^ 0)
end

local function block(statement, what, after)
  return opening(after) * statements(statement) * expect(close, what .. ' or ")"')
end

-- What the reference platform has and we do not enforce is taken whole, up to its semicolon.

local opaque = string_text + line_comment + block_comment + V "parens"
local anything = (opaque + (1 - S ";()")) ^ 0 / 0
local parens = open * (opaque + (1 - S "()")) ^ 0
  * expect(close, '")" before the end of the statement')

local unenforced_word = one_of [[RATE LIMIT GRANT REVOKE ROLE FUNCTION DECLARE TEMPLATE POOL
    SECRET PARAMETER]]
  + kw "USE" * expect(kw "WORKSPACE" * Cc "USE WORKSPACE" + kw "TABLE" * Cc "USE TABLE",
    "WORKSPACE or TABLE after USE")
local unenforced = node("unenforced", Cg(unenforced_word, "word") * anything)

-- Annotations: nothing in the definition comes from them.

local annotation = expect(
  kw "Comment" * expect(equals, '"=" after Comment') * expect(string_text, 'a string after "="')
  + kw "Tags" * expect(equals, '"=" after Tags') * group(qname, "a tag name", '"="'),
  "Comment or Tags")
local with = (kw "WITH" * annotation * (comma * annotation) ^ 0 / 0) ^ -1

local tag = node("tag", kw "TAG" * named "a tag name after TAG"
  * (kw "WITH FEATURE" * expect(string_text, "a string after FEATURE") / 0) ^ -1)

-- Fields, and what else stands between the parentheses of a table, a type or a view.

local length = open * Cg(expect(integer_text, 'a length after "("'), "length")
  * expect(close, '")" after the length')
local phrase_type = kw "double precision" * Cc "float64"
  + kw "character varying" * Cc "varchar"
  + kw "binary" * (kw "varying" * Cc "bytes" + kw "large object" * Cc "blob")
  + kw "qualified name" * Cc "qname"
local ref_type = Cg(kw "ref" * Cc "ref", "name")
  * Cg(#open * group(qname, "a table name", "ref"), "refs") ^ -1
local other_type = (Cg(name_text, "pkg") * dot) ^ -1 * Cg(name_text, "name")
local data_type = Ct(position
  * (ref_type + (Cg(phrase_type, "name") + other_type) * length ^ -1))

local literal = node("number", Cg(number_text, "value"))
  + node("string", Cg(string_text, "value"))
  + node("bool", Cg((kw "TRUE" + kw "true") * Cc(true), "value"))
  + node("bool", Cg((kw "FALSE" + kw "false") * Cc(false), "value"))
local verifiable = Cg(node("unenforced", Cg(one_of "VERIFIABLE", "word")), "verifiable")
local default = kw "DEFAULT"
  * Cg(expect(literal, "a number, a string, TRUE or FALSE after DEFAULT"), "default")
local check = kw "CHECK" * Cg(expect(text, "a regexp string after CHECK"), "check")

local field_start = Cg(ident, "name")
  * Cg(expect(data_type, "a type after the field name"), "type") * flag("not_null", kw "NOT NULL")
local field = node("field", field_start * verifiable ^ -1 * default ^ -1 * check ^ -1)
local view_field = node("field", field_start)

local unique_rule = kw "UNIQUE" * Cg(group(ident, "a field name", "UNIQUE"), "fields")
  + kw "UNIQUEFIELD" * Cg(Ct(expect(ident, "a field name after UNIQUEFIELD")), "fields")
local unique = node("unique", unique_rule
  + kw "CONSTRAINT" * named "a name after CONSTRAINT"
    * expect(unique_rule, "UNIQUE or UNIQUEFIELD after the constraint name"))

-- A type's name that stands alone brings the fields of that type.
local fieldset = node("fieldset", Cg(qname, "type") * #(comma + close))
local nested_table = node("table", Cg(ident, "container") * kw "TABLE"
  * named "a table name after TABLE" * opening "the table name" * V "items" * with)

local primary_key = node("primary_key", kw "PRIMARY KEY" * opening "KEY"
  * Cg(group(ident, "a field name", '"KEY ("'), "partition")
  * Cg(Ct((comma * expect(ident, "a field name")) ^ 0), "clustering")
  * expect(close, '"," or ")" after a field name'))

local function items(item, what)
  return Cg(Ct(#close + some(item, what)), "items")
    * expect(close, '"," or ")" after the field')
end

local table_items = items(unique + fieldset + nested_table + field, "a field, a table or UNIQUE")
local view_items = items(primary_key + view_field, "a field or PRIMARY KEY")

local base = kw "INHERITS" * Cg(expect(qname, "a table name after INHERITS"), "inherits")
local table_statement = node("table",
  flag("abstract", kw "ABSTRACT") * kw "TABLE" * named "a table name after TABLE"
  * (base * opening "the base table" + opening "the table name") * V "items" * with)
local type_statement = node("type", kw "TYPE" * named "a type name after TYPE"
  * opening "the type name" * V "items" * with)
local view_statement = node("view", kw "VIEW" * named "a view name after VIEW"
  * opening "the view name" * view_items
  * expect(kw "AS RESULT OF", "AS RESULT OF after the view's fields")
  * Cg(expect(qname, "a projector or a job after OF"), "result_of") * with)

-- Extensions.

local unlogged = kw "UNLOGGED"
  * Cg(expect(qname, "a type, any or void after UNLOGGED"), "unlogged")
local command_args = open
  * (unlogged + Cg(qname, "arg") * (comma * expect(unlogged, 'UNLOGGED after ","') + unlogged) ^ -1)
    ^ -1
  * expect(close, '")" after the arguments')
local query_args = open * Cg(qname, "arg") ^ -1 * expect(close, '")" after the argument')
local returns = kw "RETURNS" * Cg(expect(qname, "a type, any or void after RETURNS"), "returns")

local storage_use = Ct(position * Cg(qname, "storage")
  * Cg(#open * group(qname, "an entity", "the storage"), "entities") ^ -1)
local state = Cg(kw "STATE" * group(storage_use, "a storage", "STATE"), "state") ^ -1
local intents = Cg(kw "INTENTS" * group(storage_use, "a storage", "INTENTS"), "intents") ^ -1
local uses = state * intents

local command = node("command", kw "COMMAND" * named "a command name after COMMAND"
  * command_args ^ -1 * uses * returns ^ -1 * with)
-- INTENTS of a query is not in the language; it is read here for a better message later.
local query = node("query", kw "QUERY" * named "a query name after QUERY"
  * query_args ^ -1 * uses * expect(returns, "RETURNS of the query") * with)

local change = one_of "INSERT UPDATE ACTIVATE DEACTIVATE"
local more_changes = (kw "OR"
  * expect(change, "INSERT, UPDATE, ACTIVATE or DEACTIVATE after OR")) ^ 0
local occasion = Cg(Ct(one_of "EXECUTE"), "ops") * flag("with_param", kw "WITH PARAM")
  + Cg(Ct(change * more_changes), "ops")
local sources = #open * group(qname, "a name", "ON")
  + Ct(expect(qname, 'a name or "(" after ON'))
local trigger = node("trigger", kw "AFTER"
    * expect(occasion, "EXECUTE, INSERT, UPDATE, ACTIVATE or DEACTIVATE after AFTER")
    * expect(kw "ON", "ON") * Cg(sources, "names"))
  + node("unenforced", Cg(one_of "CRON", "word")
    * (expect(text, "a string after CRON") / 0))
local triggers = expect(trigger, "AFTER after the projector name")
  * (kw "OR" * expect(trigger, "AFTER after OR")) ^ 0
local projector = node("projector",
  (Cg(Cc(true), "sync") * kw "SYNC PROJECTOR" + kw "PROJECTOR")
  * named "a projector name after PROJECTOR" * Cg(Ct(triggers), "triggers") * uses
  * flag("errors", kw "INCLUDING ERRORS") * with)

local job = node("job", kw "JOB" * named "a job name after JOB"
  * Cg(expect(text, "a cron string after the job name"), "cron") * uses * with)

-- Storages.

local scope = P(false)
for words in ("COMMANDS COMMAND,QUERIES QUERY,PROJECTORS PROJECTOR,JOBS JOB"):gmatch "[^,]+" do
  local plural, singular = words:match "(%S+) (%S+)"
  scope = scope + (kw(plural) + kw(singular)) * Cc(plural)
end
local scope_words = "COMMANDS, QUERIES, PROJECTORS or JOBS"
local scopes = #open * group(scope, scope_words, "SCOPE")
  + Ct(expect(scope, scope_words) * (comma * scope) ^ 0)
local operation = Ct(position * Cg(one_of "GET GETBATCH READ INSERT UPDATE", "op")
  * expect(kw "SCOPE", "SCOPE after the operation") * Cg(scopes, "scopes"))
local entity = kw "ENTITY"
  * Cg(expect(one_of "RECORD VIEW", "RECORD or VIEW after ENTITY"), "entity")
local config = kw "WITH JSONCONFIG" * expect(equals, '"=" after JSONCONFIG')
  * Cg(expect(string_text, 'a string after "="'), "config")
local storage_body = opening "the storage name"
  * Cg(list(operation, "GET, GETBATCH, READ, INSERT or UPDATE"), "ops")
  * expect(close, '"," or ")" after the operation') * entity ^ -1 * config ^ -1
local storage = node("storage", kw "STORAGE" * named "a storage name after STORAGE" * storage_body)
local bare_storage = node("storage", Cg(ident, "name") * storage_body)

-- Blocks, and the file.

local function engine(words, what)
  return Cg(expect(one_of(words), what .. " after ENGINE"), "engine")
end

local extension = command + query + projector + job + storage + unenforced
local extensions = node("extensions", kw "EXTENSION ENGINE"
  * engine("LUA BUILTIN WASM", "LUA, BUILTIN or WASM")
  * Cg(block(extension, "COMMAND, QUERY, PROJECTOR, JOB", "the engine"), "statements"))
local state_storages = node("extensions", kw "STATESTORAGE ENGINE"
  * engine("BUILTIN PLUGIN SO", "BUILTIN, PLUGIN or SO")
  * Cg(Cc(true), "own_storages")
  * Cg(block(storage + bare_storage, "a storage name", "the engine"), "statements"))

local descriptor = node("descriptor", kw "DESCRIPTOR"
  * (Cg(ident, "name") * opening "the descriptor name" + opening "DESCRIPTOR") * V "items")
local workspace_block = Cg(block(V "workspace_statement",
  "TABLE, TYPE, VIEW, EXTENSION ENGINE", "the workspace name"), "statements")
local workspace = node("workspace",
  (flag("abstract", kw "ABSTRACT") * kw "WORKSPACE"
    + Cg(Cc(true), "alterable") * kw "ALTERABLE WORKSPACE")
  * named "a workspace name after WORKSPACE"
  * (kw "INHERITS" * Cg(list(qname, "a workspace name"), "inherits")) ^ -1 * workspace_block)
local alter = node("alter", kw "ALTER WORKSPACE"
  * Cg(expect(qname, "a workspace name after WORKSPACE"), "target") * workspace_block)
local stray_abstract = kw "ABSTRACT" * expect(P(false), "TABLE or WORKSPACE after ABSTRACT")

local use_package = kw "USE" * expect(ident, "a package name after USE")
local application = node("application", kw "APPLICATION" * named "a name after APPLICATION"
  * Cg(block(use_package, "USE", "the application name"), "uses"))
local import = node("import", kw "IMPORT SCHEMA" * Cg(expect(text, "a string after SCHEMA"), "path")
  * (kw "AS" * Cg(expect(ident, "a name after AS"), "alias")) ^ -1)

local grammar = P {
  "file",
  file = skip * statements(V "root_statement")
    * expect(-P(1), "IMPORT, APPLICATION, WORKSPACE, EXTENSION ENGINE or STATESTORAGE ENGINE"),
  root_statement = import + application + alter + extensions + state_storages + workspace
    + tag + unenforced + stray_abstract,
  workspace_statement = table_statement + type_statement + view_statement + extensions
    + descriptor + workspace + alter + tag + unenforced + stray_abstract,
  items = table_items,
  parens = parens,
}

-- Where a fault is, and what it says.

-- The positions where `patt` matches.
local function all_positions(source, patt)
  local found = {}
  for pos in source:gmatch(patt) do found[#found + 1] = pos end
  return found
end

-- The number of entries of a sorted list that are not above `limit`.
local function count_up_to(sorted, limit)
  local low, high = 0, #sorted
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if sorted[middle] <= limit then low = middle else high = middle - 1 end
  end
  return low
end

-- Gives the function that turns a byte offset into line and column. A column is a character, so
-- the later bytes of one in UTF-8 do not count.
local function locator(source)
  local ends = all_positions(source, "()\n")
  local tails = all_positions(source, "()[\128-\191]")
  return function(pos)
    local line = count_up_to(ends, pos - 1)
    local start = line == 0 and 0 or ends[line]
    return line + 1, pos - start - (count_up_to(tails, pos - 1) - count_up_to(tails, start))
  end
end

-- The piece of text at a fault, as the message quotes it.
local function found_at(source, pos)
  if pos > #source then return "the end of the file" end
  local piece = source:match("^[%w_]+", pos) or source:match("^'[^'\r\n]*'?", pos)
    or source:match("^[^\128-\191][\128-\191]*", pos) or source:sub(pos, pos)
  if piece:find "^%c" then return ("the byte %d"):format(piece:byte()) end
  return '"' .. piece:sub(1, 40) .. '"'
end

local function describe(fault, source, locate)
  local line, col = locate(fault.pos)
  local message = fault.message
    or ("expected %s, found %s"):format(fault.expected, found_at(source, fault.pos))
  return { line = line, col = col, message = message }
end

---@class stator.vsql.fault
---@field line integer
---@field col integer
---@field message string

--- Parses the text of one file.
---@param source string
---@return table|nil ast `{ statements, locate }`
---@return stator.vsql.fault|nil fault the syntax error, when there is no tree
function M.parse(source)
  local locate = locator(source)
  local ok, result = pcall(lpeg.match, grammar, source)
  if ok then return { statements = result, locate = locate } end
  if type(result) ~= "table" then
    result = { pos = 1, message = "parentheses are nested too deeply" }
  end
  return nil, describe(result, source, locate)
end

return M
