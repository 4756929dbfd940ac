-- The meaning of VSQL: the files of an image become one definition, or the list of all errors.
--
-- The work goes in passes over the whole image, because a name may be used before it is declared
-- and in other files than its own: the packages and their imports, then all declared names, then
-- what inherits what, then the storages, and last everything that refers to these.
--
-- A declared thing is a symbol: its `kind`, its qualified `name`, its syntax `node` and the
-- `place` (package, file, workspace) where it stands. An error is reported where it is and the
-- pass goes on; whatever depends on a name that is not resolved keeps silent about it.

local vsql = require "stator.vsql"

local M = {}

local MAX_NAME = 255
local MAX_LENGTH, DEFAULT_LENGTH = 65535, 255
local MAX_FIELDS, MAX_UNIQUES, MAX_UNIQUE_FIELDS = 65536, 100, 256
local LARGEST_EXACT = 2 ^ 53 - 1

-- The tables of package sys that give all others their kind.
local ROOTS = {
  CDoc = { kind = "CDoc" }, CSingleton = { kind = "CDoc", singleton = true },
  WDoc = { kind = "WDoc" }, WSingleton = { kind = "WDoc", singleton = true },
  ODoc = { kind = "ODoc" }, GDoc = { kind = "GDoc" },
  CRecord = { kind = "CRecord" }, WRecord = { kind = "WRecord" },
  ORecord = { kind = "ORecord" }, GRecord = { kind = "GRecord" },
}

-- Each data kind with the words that the language has for it.
local DATA_WORDS = {
  int8 = "int8 tinyint", int16 = "int16 smallint", int32 = "int32 int integer",
  int64 = "int64 bigint timestamp money currency", float32 = "float32 float real",
  float64 = "float64", bool = "bool boolean", string = "varchar text", bytes = "bytes varbinary",
  qname = "qname", ref = "ref blob",
}
local DATA_KIND = {}
for kind, words in pairs(DATA_WORDS) do
  for word in words:gmatch "%S+" do DATA_KIND[word] = kind end
end

-- The largest value and the largest negative one of each integer kind. They are text, since a
-- number of Lua does not hold all of int64.
local INTEGER_LIMITS = {
  int8 = { "127", "128" }, int16 = { "32767", "32768" },
  int32 = { "2147483647", "2147483648" },
  int64 = { "9223372036854775807", "9223372036854775808" },
}
local FLOAT_LIMITS = { float32 = 3.4028234663852886e38, float64 = 1.7976931348623157e308 }

-- What may stand where a name is resolved, and what an error calls it.
local TABLE = { what = "table", table = true }
local TYPE = { what = "type", type = true }
local ARGUMENT = { what = "type", type = true, table = true }
local VIEW = { what = "view", view = true }
local COMMAND = { what = "command", command = true }
local SOURCE = { what = "projector or job", projector = true, job = true }
local STORAGE = { what = "storage", storage = true }
local WORKSPACE = { what = "workspace", workspace = true }

local SCOPE = { command = "COMMANDS", query = "QUERIES", projector = "PROJECTORS", job = "JOBS" }

-- Errors and guesses.

local function report(c, place, node, message, ...)
  local line, col = place.file.locate(node.pos)
  c.errors[#c.errors + 1] =
    { file = place.file.path, line = line, col = col, message = message:format(...) }
end

local function refuse_unenforced(c, place, node)
  report(c, place, node,
    "%s is not enforced by Stator: remove it, or leave it to the host platform", node.word)
end

local function by_position(a, b)
  if a.file ~= b.file then return a.file < b.file end
  if a.line ~= b.line then return a.line < b.line end
  if a.col ~= b.col then return a.col < b.col end
  return a.message < b.message
end

-- The number of letters to insert, remove, replace or swap to make one word of the other.
local function distance(a, b)
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    local row, above = { [0] = i }, rows[i - 1]
    rows[i] = row
    for j = 1, #b do
      local cost = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(row[j - 1] + 1, above[j] + 1, above[j - 1] + cost)
      if j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], rows[i - 2][j - 2] + 1)
      end
    end
  end
  return rows[#a][#b]
end

-- The hint at the candidate (a key of `candidates`) that `name` was meant to be, or nothing.
local function hint(name, candidates, prefix)
  local best, best_distance = nil, math.floor(#name / 3) + 1
  for candidate in pairs(candidates) do
    local d = distance(name:lower(), candidate:lower())
    if d < best_distance or (best and d == best_distance and candidate < best) then
      best, best_distance = candidate, d
    end
  end
  return best and ("; did you mean %s%s?"):format(prefix or "", best) or ""
end

-- Resolving names.

local function package_of(c, place, qn)
  local name = qn.pkg
  if not name or name == place.pkg.name then return place.pkg end
  local imported = place.pkg.imports[name]
  if imported ~= nil then return imported or nil end

  local known = c.by_name[name]
  if known then
    report(c, place, qn, "package %s is not imported as %s: add IMPORT SCHEMA '%s'",
      known.path, name, known.path)
  else
    report(c, place, qn, "unknown package %s%s", name, hint(name, place.pkg.imports))
  end
end

local function names_of(pkg, want)
  local names = {}
  for name, sym in pairs(pkg.symbols) do
    if want[sym.kind] then names[name] = true end
  end
  return names
end

local function report_unknown(c, place, qn, pkg, want)
  if pkg.broken then return end
  local prefix = (qn.pkg or pkg.name) .. "."
  local guess
  local in_sys = c.by_name.sys and c.by_name.sys.symbols[qn.name]
  if not qn.pkg and in_sys and want[in_sys.kind] then
    guess = ("; did you mean sys.%s?"):format(qn.name)
  else
    guess = hint(qn.name, names_of(pkg, want), prefix)
  end
  report(c, place, qn, "unknown %s %s%s%s", want.what, prefix, qn.name, guess)
end

-- Gives the symbol, or nil after the error has been reported (or was, with the import).
local function resolve(c, place, qn, want)
  local pkg = package_of(c, place, qn)
  if not pkg then return nil end
  local sym = pkg.symbols[qn.name]
  if not sym then
    report_unknown(c, place, qn, pkg, want)
  elseif not want[sym.kind] then
    report(c, place, qn, "%s is a %s, not a %s", sym.name, sym.kind, want.what)
  else
    return sym
  end
end

-- Packages and imports.

local function add_package(c, path, file)
  local name = path:match "[^/]*$"
  local pkg = { path = path, name = name, symbols = {}, imports = {}, import_list = {} }
  local other = c.by_name[name]
  c.by_path[path] = pkg
  if other then
    pkg.refused = true
    report(c, { file = file }, { pos = 1 },
      "package %s has the same local name as %s: rename one of the folders", path, other.path)
  else
    c.by_name[name] = pkg
    c.packages[#c.packages + 1] = pkg
  end
  return pkg
end

local function start_of_file()
  return 1, 1
end

local function load_file(c, source)
  local ast, fault = vsql.parse(source.text)
  local file = { path = source.path, locate = ast and ast.locate or start_of_file }
  local pkg = c.by_path[source.package] or add_package(c, source.package, file)
  if fault then
    pkg.broken = true
    c.errors[#c.errors + 1] =
      { file = source.path, line = fault.line, col = fault.col, message = fault.message }
  elseif not pkg.refused then
    local place = { pkg = pkg, file = file }
    c.files[#c.files + 1] = { place = place, statements = ast.statements }
  end
end

local function keys_in_quotes(map)
  local quoted = {}
  for key in pairs(map) do quoted["'" .. key .. "'"] = true end
  return quoted
end

local function import(c, place, node)
  local pkg, path = place.pkg, node.path.value
  local target = c.by_path[path]
  local name = node.alias and node.alias.name or path:match "[^/]*$"
  if not target then
    local quoted = "'" .. path .. "'"
    report(c, place, node.path, "unknown package %s%s", quoted,
      hint(quoted, keys_in_quotes(c.by_path)))
  end
  if target and not target.refused then
    pkg.import_list[#pkg.import_list + 1] = { target = target, place = place, node = node.path }
  else
    target = false
  end
  local other = name == pkg.name and pkg or pkg.imports[name]
  if other and target and other ~= target then
    report(c, place, node.alias or node.path, "%s is already the name of package %s: use AS",
      name, other.path)
  else
    pkg.imports[name] = target
  end
end

local function import_all(c)
  for _, pkg in ipairs(c.packages) do pkg.imports.sys = c.by_path.sys end
  for _, file in ipairs(c.files) do
    for _, node in ipairs(file.statements) do
      if node.tag == "import" then import(c, file.place, node) end
    end
  end
end

-- Follows the imports of a package. `trail` has the packages on the way, by number and by package.
local function find_cycles(c, pkg, trail)
  trail[#trail + 1] = pkg
  trail[pkg] = #trail
  for _, step in ipairs(pkg.import_list) do
    local target = step.target
    if trail[target] then
      local names = {}
      for i = trail[target], #trail do names[#names + 1] = trail[i].name end
      names[#names + 1] = target.name
      report(c, step.place, step.node, "import cycle: %s", table.concat(names, " -> "))
    elseif not target.visited then
      find_cycles(c, target, trail)
    end
  end
  pkg.visited = true
  trail[pkg] = nil
  trail[#trail] = nil
end

-- Declarations: every name gets its symbol.

local function declare(c, place, node, kind, ident)
  ident = ident or node.name
  local symbols, short = place.pkg.symbols, ident.name
  local sym = { kind = kind, name = place.pkg.name .. "." .. short, short = short, ident = ident,
    node = node, place = place, bases = {} }
  local other = symbols[short]
  if other then
    local line, col = other.place.file.locate(other.ident.pos)
    report(c, place, ident, "%s is already declared at %s:%d:%d", sym.name,
      other.place.file.path, line, col)
  else
    symbols[short] = sym
  end
  if #short > MAX_NAME then
    report(c, place, ident, "name is longer than %d characters", MAX_NAME)
  end
  c.symbols[#c.symbols + 1] = sym
  return sym
end

local function declare_table(c, place, node, ident)
  local sym = declare(c, place, node, "table", ident)
  sym.nested = {}
  for _, item in ipairs(node.items) do
    if item.tag == "table" then
      local nested = declare_table(c, place, item)
      nested.parent = sym
      sym.nested[item] = nested
    end
  end
  return sym
end

local DECLARE = {}

local function declare_all(c, place, statements)
  for _, node in ipairs(statements) do
    DECLARE[node.tag](c, place, node)
  end
end

function DECLARE.import() end

function DECLARE.tag() end

DECLARE.unenforced = refuse_unenforced

function DECLARE.application(c, place, node)
  if c.application then
    report(c, place, node.name, "image has more than one APPLICATION: %s is already declared",
      c.application.node.name.name)
  else
    c.application = { place = place, node = node }
  end
end

function DECLARE.workspace(c, place, node)
  local sym = declare(c, place, node, "workspace")
  declare_all(c, { pkg = place.pkg, file = place.file, workspace = sym }, node.statements)
end

-- Which workspace is altered is known when all names are: see resolve_altered.
function DECLARE.alter(c, place, node)
  local inner = { pkg = place.pkg, file = place.file, altered = node.target }
  c.altered[#c.altered + 1] = inner
  declare_all(c, inner, node.statements)
end

function DECLARE.descriptor(c, place, node)
  local workspace = place.workspace
  if not workspace then
    report(c, place, node, "ALTER WORKSPACE has no DESCRIPTOR: declare it with the workspace")
    return
  elseif workspace.node.abstract then
    report(c, place, node, "workspace %s is ABSTRACT and has no DESCRIPTOR", workspace.name)
  elseif workspace.descriptor then
    report(c, place, node, "workspace %s already has a DESCRIPTOR", workspace.name)
  end
  local ident = node.name or { pos = node.pos, name = workspace.short .. "Descriptor" }
  workspace.descriptor = declare_table(c, place, node, ident)
  workspace.descriptor.is_descriptor = true
end

function DECLARE.table(c, place, node)
  declare_table(c, place, node)
end

function DECLARE.type(c, place, node)
  declare(c, place, node, "type")
end

function DECLARE.view(c, place, node)
  declare(c, place, node, "view")
end

local function declare_in_engine(c, place, block, node)
  if node.tag == "storage" then
    if not block.own_storages and place.pkg.path ~= "sys" then
      report(c, place, node.name, "STORAGE stands only in package sys: use STATESTORAGE ENGINE")
    end
  elseif not (place.workspace or place.altered) then
    report(c, place, node.name, "%s stands only in a WORKSPACE", node.tag:upper())
  end
  declare(c, place, node, node.tag).engine = block.engine == "SO" and "PLUGIN" or block.engine
end

function DECLARE.extensions(c, place, block)
  for _, node in ipairs(block.statements) do
    if node.tag == "unenforced" then
      refuse_unenforced(c, place, node)
    else
      declare_in_engine(c, place, block, node)
    end
  end
end

local function resolve_altered(c, place)
  local workspace = resolve(c, place, place.altered, WORKSPACE)
  if workspace and workspace.place.pkg ~= place.pkg and not workspace.node.alterable then
    report(c, place, place.altered, "workspace %s is not ALTERABLE by another package",
      workspace.name)
  end
  place.workspace = workspace
end

-- Inheritance.

local function inherits_from(sym, ancestor, seen)
  seen = seen or {}
  for _, base in ipairs(sym.bases) do
    if base == ancestor then return true end
    if not seen[base] then
      seen[base] = true
      if inherits_from(base, ancestor, seen) then return true end
    end
  end
  return false
end

-- A symbol that would inherit itself doesn't get the base, so that later passes come to an end.
local function add_base(c, sym, qn, base)
  if base == sym or inherits_from(base, sym) then
    report(c, sym.place, qn, "%s inherits itself", sym.name)
  else
    sym.bases[#sym.bases + 1] = base
  end
end

local function is_root(sym)
  return sym.place.pkg.path == "sys" and ROOTS[sym.short]
end

local function resolve_base_table(c, sym)
  local qn = sym.node.inherits
  if not qn then
    if not (sym.parent or sym.is_descriptor or is_root(sym)) then
      report(c, sym.place, sym.ident,
        "table %s has no base: add INHERITS sys.CDoc, sys.WDoc, sys.ODoc or another", sym.name)
    end
    return
  end
  local base = resolve(c, sym.place, qn, TABLE)
  if base and not base.node.abstract then
    report(c, sym.place, qn, "table %s is not ABSTRACT and cannot be inherited", base.name)
  elseif base then
    add_base(c, sym, qn, base)
  end
end

local function resolve_bases(c, sym)
  if sym.kind == "table" then
    resolve_base_table(c, sym)
  elseif sym.kind == "workspace" then
    for _, qn in ipairs(sym.node.inherits or {}) do
      local base = resolve(c, sym.place, qn, WORKSPACE)
      if base then add_base(c, sym, qn, base) end
    end
  end
end

-- Gives the kind of a table and whether it is a singleton; nil when its base is not resolved.
local function table_kind(sym)
  if sym.is_descriptor then return "CDoc", true end
  if sym.parent then
    local kind = table_kind(sym.parent)
    return kind and kind:sub(1, 1) .. "Record", false
  end
  local root = is_root(sym)
  if root then return root.kind, root.singleton or false end
  if sym.bases[1] then return table_kind(sym.bases[1]) end
end

-- Fields. The layout of a symbol has its fields, inherited ones first, and its uniques. It is
-- partial when fields are missing because what they come from is not resolved.

local layout_of

local function add_field(c, sym, layout, at, field)
  local owner = layout.owner[field.name]
  if owner then
    report(c, sym.place, at, "field %s is already in %s", field.name, owner.name)
    return
  end
  layout.owner[field.name] = sym
  layout.by_name[field.name] = field
  layout.fields[#layout.fields + 1] = field
end

local function new_field(c, sym, ident)
  if #ident.name > MAX_NAME then
    report(c, sym.place, ident, "name is longer than %d characters", MAX_NAME)
  end
  local line, col = sym.place.file.locate(ident.pos)
  return { name = ident.name, required = false, file = sym.place.file.path, line = line, col = col }
end

local function resolve_refs(c, sym, refs)
  local names = {}
  for _, qn in ipairs(refs) do
    local target = resolve(c, sym.place, qn, TABLE)
    if target and target.node.abstract then
      report(c, sym.place, qn, "table %s is ABSTRACT and cannot be referred to", target.name)
    elseif target then
      names[#names + 1] = target.name
    end
  end
  return names
end

local function set_rows(c, sym, field, at, target)
  field.kind, field.rows = "rows", target.name
  if target.open then
    report(c, sym.place, at, "table %s contains itself", target.name)
  else
    layout_of(c, target)
  end
end

-- A field whose type is a table that is declared elsewhere contains the rows of that table.
local function set_declared_table(c, sym, field, qn)
  local target = resolve(c, sym.place, qn, TABLE)
  if not target then return end
  local kind, parent_kind = table_kind(target), table_kind(sym)
  local wanted = parent_kind and parent_kind:sub(1, 1) .. "Record"
  if target.node.abstract then
    report(c, sym.place, qn, "table %s is ABSTRACT and cannot be nested", target.name)
  elseif kind and wanted and kind ~= wanted then
    report(c, sym.place, qn, "table %s is a %s; a table nested in %s is a %s", target.name, kind,
      sym.name, wanted)
  end
  set_rows(c, sym, field, qn, target)
end

local function report_unknown_type(c, place, qn, pkg)
  if pkg.broken then return end
  local candidates, prefix = names_of(pkg, TABLE), ""
  if qn.pkg then
    prefix = qn.pkg .. "."
  else
    for word in pairs(DATA_KIND) do candidates[word] = true end
  end
  report(c, place, qn, "unknown type %s%s%s", prefix, qn.name,
    hint(qn.name, candidates, prefix))
end

local function set_declared_type(c, sym, field, qn)
  local pkg = package_of(c, sym.place, qn)
  if not pkg then return end
  local target = pkg.symbols[qn.name]
  if not target then
    report_unknown_type(c, sym.place, qn, pkg)
  elseif target.kind == "type" then
    report(c, sym.place, qn,
      "%s is a type, not a data type; without a field name its fields are included", target.name)
  elseif sym.kind ~= "table" then
    report(c, sym.place, qn, "nested tables stand only in tables")
  else
    set_declared_table(c, sym, field, qn)
  end
end

local function set_length(c, sym, field, data_type)
  local length = tonumber(data_type.length)
  if field.kind ~= "string" and field.kind ~= "bytes" then
    if length then report(c, sym.place, data_type, "type %s has no length", data_type.name) end
    return
  end
  field.max = length or DEFAULT_LENGTH
  if field.max < 1 or field.max > MAX_LENGTH then
    report(c, sym.place, data_type, "length of %s is not in 1..%d", data_type.name, MAX_LENGTH)
  end
end

local function set_type(c, sym, field, data_type)
  local kind = not data_type.pkg and DATA_KIND[data_type.name]
  if kind then
    field.kind = kind
    field.refs = data_type.refs and resolve_refs(c, sym, data_type.refs)
    set_length(c, sym, field, data_type)
  elseif not data_type.pkg and data_type.name == "record" then
    report(c, sym.place, data_type, "type record is only for package sys: use ref")
  else
    set_declared_type(c, sym, field, data_type)
  end
end

local function integer_fits(kind, text)
  local sign, digits = text:match "^([+-]?)0*(%d+)$"
  if not digits then return false end
  local limit = INTEGER_LIMITS[kind][sign == "-" and 2 or 1]
  return #digits < #limit or (#digits == #limit and digits <= limit)
end

-- An integer that a number of Lua does not hold exactly stays text.
local function number_value(text)
  local number = tonumber(text)
  if math.abs(number) > LARGEST_EXACT and text:find "^[+-]?%d+$" then
    return (text:gsub("^%+", ""))
  end
  return number
end

local function default_value(field, literal)
  local kind, value = field.kind, literal.value
  if literal.tag ~= "number" then
    if literal.tag == kind and (kind ~= "string" or #value <= field.max) then return value end
  elseif INTEGER_LIMITS[kind] then
    if integer_fits(kind, value) then return number_value(value) end
  elseif FLOAT_LIMITS[kind] and math.abs(tonumber(value)) <= FLOAT_LIMITS[kind] then
    return tonumber(value)
  end
end

local function set_default(c, sym, field, literal)
  field.default = default_value(field, literal)
  if field.default == nil then
    report(c, sym.place, literal, "DEFAULT of field %s does not fit %s%s", field.name, field.kind,
      field.kind == "string" and ("(%d)"):format(field.max) or "")
  end
end

local function set_pattern(c, sym, field, check)
  if field.kind ~= "string" then
    report(c, sym.place, check, "CHECK needs a varchar field; %s is %s", field.name, field.kind)
  end
  field.pattern = check.value
end

local ITEM = {}

function ITEM.field(c, sym, layout, item)
  local field = new_field(c, sym, item.name)
  field.required = item.not_null or false
  set_type(c, sym, field, item.type)
  if item.verifiable then refuse_unenforced(c, sym.place, item.verifiable) end
  if field.kind and item.default then set_default(c, sym, field, item.default) end
  if field.kind and item.check then set_pattern(c, sym, field, item.check) end
  add_field(c, sym, layout, item.name, field)
end

function ITEM.table(c, sym, layout, item)
  if sym.kind ~= "table" then
    report(c, sym.place, item.name, "nested tables stand only in tables")
    return
  end
  local field = new_field(c, sym, item.container)
  set_rows(c, sym, field, item.name, sym.nested[item])
  add_field(c, sym, layout, item.container, field)
end

function ITEM.fieldset(c, sym, layout, item)
  local source = resolve(c, sym.place, item.type, TYPE)
  if not source then
    layout.partial = true
    return
  elseif source.open then
    report(c, sym.place, item.type, "type %s includes itself", source.name)
    return
  end
  local included = layout_of(c, source)
  layout.partial = layout.partial or included.partial
  for _, field in ipairs(included.fields) do
    add_field(c, sym, layout, item.type, field)
  end
end

-- Uniques wait until all fields are known.
function ITEM.unique(c, sym, layout, item)
  if sym.kind ~= "table" then
    report(c, sym.place, item, "UNIQUE stands only in tables")
  else
    layout.pending[#layout.pending + 1] = item
  end
end

function ITEM.primary_key(c, sym, layout, item)
  if layout.primary_key then
    report(c, sym.place, item, "view %s has more than one PRIMARY KEY", sym.name)
  else
    layout.primary_key = item
  end
end

local function find_field(c, sym, layout, ident)
  local field = layout.by_name[ident.name]
  if not field and not layout.partial then
    report(c, sym.place, ident, "unknown field %s in %s%s", ident.name, sym.name,
      hint(ident.name, layout.by_name))
  end
  return field
end

local function unique_fields(c, sym, layout, item)
  local names, seen, length = {}, {}, 0
  for _, ident in ipairs(item.fields) do
    local field = find_field(c, sym, layout, ident)
    if seen[ident.name] then
      report(c, sym.place, ident, "field %s is twice in UNIQUE", ident.name)
    elseif field and field.kind == "rows" then
      report(c, sym.place, ident, "field %s is a nested table and cannot be unique", ident.name)
    end
    seen[ident.name] = true
    length = length + (field and field.max or 0)
    names[#names + 1] = ident.name
  end
  if length > MAX_LENGTH then
    report(c, sym.place, item, "UNIQUE is longer than %d bytes", MAX_LENGTH)
  elseif #names > MAX_UNIQUE_FIELDS then
    report(c, sym.place, item, "UNIQUE has more than %d fields", MAX_UNIQUE_FIELDS)
  end
  return names
end

local function add_unique(c, sym, layout, item)
  local name = item.name and item.name.name
  if not name then
    layout.unnamed = layout.unnamed + 1
    name = ("%02d"):format(layout.unnamed)
  elseif layout.constraints[name] then
    report(c, sym.place, item.name, "constraint %s is already in %s", name, sym.name)
  end
  layout.constraints[name] = true
  layout.uniques[#layout.uniques + 1] =
    { name = name, fields = unique_fields(c, sym, layout, item) }
end

local function inherit_layout(layout, base)
  for _, field in ipairs(base.fields) do
    layout.fields[#layout.fields + 1] = field
    layout.by_name[field.name] = field
    layout.owner[field.name] = base.owner[field.name]
  end
  for _, unique in ipairs(base.uniques) do
    layout.uniques[#layout.uniques + 1] = unique
    layout.constraints[unique.name] = true
  end
  layout.unnamed, layout.partial = base.unnamed, base.partial
end

local function check_layout_limits(c, sym, layout)
  if #layout.fields > MAX_FIELDS then
    report(c, sym.place, sym.ident, "%s has more than %d fields", sym.name, MAX_FIELDS)
  end
  if #layout.uniques > MAX_UNIQUES then
    report(c, sym.place, sym.ident, "%s has more than %d uniques", sym.name, MAX_UNIQUES)
  end
end

function layout_of(c, sym)
  if sym.layout then return sym.layout end
  local layout = { fields = {}, by_name = {}, owner = {}, uniques = {}, constraints = {},
    pending = {}, unnamed = 0 }
  sym.layout, sym.open = layout, true
  if sym.bases[1] then
    inherit_layout(layout, layout_of(c, sym.bases[1]))
  else
    layout.partial = sym.node.inherits ~= nil
  end
  for _, item in ipairs(sym.node.items) do ITEM[item.tag](c, sym, layout, item) end
  for _, item in ipairs(layout.pending) do add_unique(c, sym, layout, item) end
  check_layout_limits(c, sym, layout)
  sym.open = false
  return layout
end

-- Keys of views.

local function add_key_field(c, sym, layout, ident, keys)
  local field = find_field(c, sym, layout, ident)
  if not field then
    return nil
  elseif keys[field] then
    report(c, sym.place, ident, "field %s is twice in PRIMARY KEY", ident.name)
    return nil
  end
  keys[field], keys[#keys + 1] = true, field
  field.required = true
  return field
end

-- Gives the key fields, by number in the order of the key and by field.
local function key_fields(c, sym, layout, key)
  local keys = {}
  for _, ident in ipairs(key.partition) do
    local field = add_key_field(c, sym, layout, ident, keys)
    if field and field.max then
      report(c, sym.place, ident, "field %s is %s and cannot be in the partition key", field.name,
        field.kind)
    end
  end
  for i, ident in ipairs(key.clustering) do
    local field = add_key_field(c, sym, layout, ident, keys)
    if field and field.max and i < #key.clustering then
      report(c, sym.place, ident, "field %s is %s and must be the last clustering column",
        field.name, field.kind)
    end
  end
  return keys
end

local function check_result_of(c, sym)
  local source = resolve(c, sym.place, sym.node.result_of, SOURCE)
  if not source then return nil end
  for _, use in ipairs(source.intents or {}) do
    if use.storage == "sys.View" then
      for _, entity in ipairs(use.entities) do
        if entity == sym.name then return source.name end
      end
    end
  end
  if not source.unresolved_uses then
    report(c, sym.place, sym.node.result_of, "%s %s does not declare INTENTS(sys.View(%s))",
      source.kind, source.name, sym.name)
  end
  return source.name
end

-- State and intents.

local function is_usable(storage, kind, operations)
  for operation in operations:gmatch "%S+" do
    for _, scope in ipairs(storage.ops[operation] or {}) do
      if scope == SCOPE[kind] then return true end
    end
  end
  return false
end

local function resolve_entity(c, sym, storage, qn)
  local entity = resolve(c, sym.place, qn, storage.node.entity == "VIEW" and VIEW or TABLE)
  if not entity then
    sym.unresolved_uses = true
  elseif entity.node.abstract then
    report(c, sym.place, qn, "table %s is ABSTRACT and has no records", entity.name)
  end
  return entity
end

-- Entities of one storage that stand in several places are collected in one list.
local function add_entities(c, sym, use, storage, merged)
  for _, qn in ipairs(use.entities or {}) do
    local entity = resolve_entity(c, sym, storage, qn)
    if entity and not merged.seen[entity] then
      merged.seen[entity] = true
      merged.entities[#merged.entities + 1] = entity.name
    end
  end
end

local function check_use(c, sym, use, storage, clause, operations)
  local at = use.storage
  if not is_usable(storage, sym.kind, operations) then
    report(c, sym.place, at, "a %s cannot use storage %s in %s", sym.kind, storage.name, clause)
  end
  if storage.node.entity and not use.entities then
    report(c, sym.place, at, "storage %s requires an entity: write %s(%s)", storage.name,
      storage.name, storage.node.entity == "VIEW" and "View" or "Table")
  elseif use.entities and not storage.node.entity then
    report(c, sym.place, at, "storage %s has no entities", storage.name)
  end
end

local function resolve_uses(c, sym, list, clause, operations)
  local uses, by_storage = {}, {}
  for _, use in ipairs(list or {}) do
    local storage = resolve(c, sym.place, use.storage, STORAGE)
    if storage then
      check_use(c, sym, use, storage, clause, operations)
      local merged = by_storage[storage]
      if not merged then
        merged = { storage = storage.name, entities = {}, seen = {} }
        by_storage[storage] = merged
        uses[#uses + 1] = merged
      end
      if storage.node.entity then add_entities(c, sym, use, storage, merged) end
    else
      sym.unresolved_uses = true
    end
  end
  for _, use in ipairs(uses) do use.seen = nil end
  return uses
end

local function resolve_all_uses(c, sym)
  local node = sym.node
  sym.state = resolve_uses(c, sym, node.state, "STATE", "GET GETBATCH READ")
  if sym.kind == "query" and node.intents then
    report(c, sym.place, node.intents[1].storage,
      "query %s has INTENTS: a query writes only to sys.Result, sys.Response and sys.Logger, "
      .. "which need no declaration", sym.name)
    sym.intents = {}
  else
    sym.intents = resolve_uses(c, sym, node.intents, "INTENTS", "INSERT UPDATE")
  end
end

-- Arguments, triggers and schedules.

local function resolve_argument(c, sym, qn, want)
  if not qn or (not qn.pkg and qn.name == "void") then return nil end
  if not qn.pkg and qn.name == "any" then return "any" end
  local found = resolve(c, sym.place, qn, want)
  if not found then return nil end
  local kind = found.kind == "table" and table_kind(found)
  if kind and kind ~= "ODoc" then
    report(c, sym.place, qn, "table %s is a %s: an argument is a type or an ODoc", found.name, kind)
  elseif kind and found.node.abstract then
    report(c, sym.place, qn, "table %s is ABSTRACT and cannot be an argument", found.name)
  end
  return found.name
end

-- The abstract tables of package sys stand for all tables that inherit them.
local function is_open_to_triggers(sym)
  return not sym.node.abstract or is_root(sym)
end

local function resolve_param(c, sym, qn)
  local found = resolve(c, sym.place, qn, ARGUMENT)
  if not found then return nil end
  local kind = found.kind == "table" and table_kind(found)
  if kind and kind ~= "ODoc" then
    report(c, sym.place, qn, "table %s is a %s: WITH PARAM waits for a type or an ODoc",
      found.name, kind)
  elseif kind and not is_open_to_triggers(found) then
    report(c, sym.place, qn, "table %s is ABSTRACT: name the tables that inherit it", found.name)
  end
  return found
end

local function resolve_changed(c, sym, qn)
  local found = resolve(c, sym.place, qn, TABLE)
  if not found then return nil end
  local kind = table_kind(found)
  if kind == "ODoc" or kind == "ORecord" then
    report(c, sym.place, qn, "table %s is an %s and has no records: use EXECUTE WITH PARAM",
      found.name, kind)
  elseif not is_open_to_triggers(found) then
    report(c, sym.place, qn, "table %s is ABSTRACT: name the tables that inherit it", found.name)
  end
  return found
end

local function resolve_executed(c, sym, qn)
  return resolve(c, sym.place, qn, COMMAND)
end

local function resolve_trigger(c, sym, node)
  local find = node.with_param and resolve_param
    or node.ops[1] == "EXECUTE" and resolve_executed or resolve_changed
  local names = {}
  for _, qn in ipairs(node.names) do
    local found = find(c, sym, qn)
    if found then names[#names + 1] = found.name end
  end
  return { ops = node.ops, with_param = node.with_param or false, names = names }
end

local function resolve_triggers(c, sym)
  local triggers = {}
  for _, node in ipairs(sym.node.triggers) do
    if node.tag == "unenforced" then
      refuse_unenforced(c, sym.place, node)
    else
      triggers[#triggers + 1] = resolve_trigger(c, sym, node)
    end
  end
  return triggers
end

local function check_job(c, sym)
  local workspace = sym.place.workspace
  local sys = c.by_name.sys
  local app = sys and sys.symbols.AppWorkspaceWS
  if workspace and app and workspace ~= app and not inherits_from(workspace, app) then
    report(c, sym.place, sym.ident,
      "job %s is not in workspace sys.AppWorkspaceWS or in one that inherits it", sym.name)
  end
end

-- The definition: each symbol adds its entry.

local function new_entry(sym)
  local line, col = sym.place.file.locate(sym.ident.pos)
  return { name = sym.name, package = sym.place.pkg.name, file = sym.place.file.path, line = line,
    col = col }
end

local function add_type(c, sym, kind, layout)
  local entry = new_entry(sym)
  entry.kind = kind
  entry.workspace = sym.place.workspace and sym.place.workspace.name
  entry.abstract = sym.node.abstract or false
  entry.singleton = false
  entry.fields, entry.uniques = layout.fields, layout.uniques
  c.def.types[#c.def.types + 1] = entry
  return entry
end

local DEFINE = {}

function DEFINE.table(c, sym)
  local kind, singleton = table_kind(sym)
  local entry = add_type(c, sym, kind, layout_of(c, sym))
  entry.singleton = singleton
  entry.parent = sym.parent and sym.parent.name
end

function DEFINE.type(c, sym)
  add_type(c, sym, "Object", layout_of(c, sym))
end

function DEFINE.view(c, sym)
  local layout = layout_of(c, sym)
  local entry = add_type(c, sym, "View", layout)
  entry.result_of = check_result_of(c, sym)
  local key = layout.primary_key
  if not key then
    report(c, sym.place, sym.ident, "view %s has no PRIMARY KEY", sym.name)
    return
  end
  if #key.clustering == 0 then
    report(c, sym.place, key, "PRIMARY KEY of view %s has no clustering column", sym.name)
  end
  local keys = key_fields(c, sym, layout, key)
  entry.keys, entry.pk, entry.fields = { unpack(keys) }, #key.partition, {}
  for _, field in ipairs(layout.fields) do
    if not keys[field] then entry.fields[#entry.fields + 1] = field end
  end
end

local function add_extension(c, sym)
  local entry = new_entry(sym)
  entry.kind, entry.engine = sym.kind:upper(), sym.engine
  entry.workspace = sym.place.workspace and sym.place.workspace.name
  entry.sync, entry.errors = sym.node.sync or false, sym.node.errors or false
  entry.state, entry.intents, entry.triggers = sym.state, sym.intents, {}
  c.def.extensions[#c.def.extensions + 1] = entry
  return entry
end

function DEFINE.command(c, sym)
  local entry = add_extension(c, sym)
  entry.arg = resolve_argument(c, sym, sym.node.arg, ARGUMENT)
  entry.unlogged = resolve_argument(c, sym, sym.node.unlogged, ARGUMENT)
  entry.result = resolve_argument(c, sym, sym.node.returns, TYPE)
end

DEFINE.query = DEFINE.command

function DEFINE.projector(c, sym)
  add_extension(c, sym).triggers = resolve_triggers(c, sym)
end

function DEFINE.job(c, sym)
  local entry, cron = add_extension(c, sym), sym.node.cron
  -- What it says is read with the definition.
  entry.cron, entry.cron_line, entry.cron_col = cron.value, sym.place.file.locate(cron.pos)
  check_job(c, sym)
end

function DEFINE.storage(c, sym)
  local entry = new_entry(sym)
  entry.engine, entry.ops = sym.engine, sym.ops
  entry.entity, entry.config = sym.node.entity, sym.node.config
  c.def.storages[#c.def.storages + 1] = entry
end

-- What is declared in these workspaces is in workspaces of the kind, too.
local function workspaces_within(c, sym)
  local names, common = { sym.name }, c.by_name.sys and c.by_name.sys.symbols.Workspace
  for _, other in ipairs(c.symbols) do
    if other.kind == "workspace" and other ~= sym
      and (other == common or inherits_from(sym, other)) then
      names[#names + 1] = other.name
    end
  end
  return names
end

-- Whether an image has more than one workspace that is not abstract: only then kinds matter.
local function has_kinds(c)
  local first
  for _, sym in ipairs(c.symbols) do
    local workspace = sym.place.pkg.path ~= "sys" and sym.place.workspace
    if workspace and not workspace.node.abstract and sym.kind ~= "workspace" then
      first = first or workspace
      if workspace ~= first then return true end
    end
  end
  return false
end

function DEFINE.workspace(c, sym)
  local entry = new_entry(sym)
  entry.abstract, entry.inherits = sym.node.abstract or false, {}
  for i, base in ipairs(sym.bases) do entry.inherits[i] = base.name end
  entry.descriptor = sym.descriptor and sym.descriptor.name
  entry.has = workspaces_within(c, sym)
  c.def.workspaces[#c.def.workspaces + 1] = entry
end

local function resolve_operations(c, sym)
  sym.ops = {}
  for _, operation in ipairs(sym.node.ops) do
    if sym.ops[operation.op] then
      report(c, sym.place, operation, "operation %s is twice in storage %s", operation.op, sym.name)
    end
    sym.ops[operation.op] = operation.scopes
  end
end

local function define_application(c)
  local found = c.application
  if not found then return nil end
  local place = found.place
  for _, ident in ipairs(found.node.uses) do
    package_of(c, place, { pos = ident.pos, pkg = ident.name })
  end
  return { name = found.node.name.name, package = place.pkg.name }
end

-- The passes.

local function each_symbol(c, kinds, visit)
  for _, sym in ipairs(c.symbols) do
    if kinds[sym.kind] then visit(c, sym) end
  end
end

local function run_passes(c)
  import_all(c)
  for _, pkg in ipairs(c.packages) do
    if not pkg.visited then find_cycles(c, pkg, {}) end
  end
  for _, file in ipairs(c.files) do declare_all(c, file.place, file.statements) end
  for _, place in ipairs(c.altered) do resolve_altered(c, place) end
  for _, sym in ipairs(c.symbols) do resolve_bases(c, sym) end
  each_symbol(c, STORAGE, resolve_operations)
  each_symbol(c, SCOPE, resolve_all_uses)
  for _, sym in ipairs(c.symbols) do DEFINE[sym.kind](c, sym) end
end

---@class stator.schema.source
---@field path string what errors call the file
---@field package string the full path of its package
---@field text string

--- Compiles the files of an image, package sys included.
---@param sources stator.schema.source[]
---@param opts? { app: string } the name of an application without an APPLICATION statement
---@return table|nil def the definition
---@return table[]|nil errors all errors `{ file, line, col, message }`, when there is no definition
function M.compile(sources, opts)
  local c = { errors = {}, packages = {}, by_path = {}, by_name = {}, files = {}, symbols = {},
    altered = {}, def = { packages = {}, types = {}, extensions = {}, storages = {},
    workspaces = {} } }
  for _, source in ipairs(sources) do load_file(c, source) end
  run_passes(c)
  c.def.kinds_matter = has_kinds(c)
  c.def.application = define_application(c) or (opts and opts.app and { name = opts.app }) or nil
  for i, pkg in ipairs(c.packages) do c.def.packages[i] = { path = pkg.path, name = pkg.name } end
  if #c.errors == 0 then return c.def end
  table.sort(c.errors, by_position)
  return nil, c.errors
end

return M
