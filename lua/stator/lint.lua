--- lint.lua: what is worth a warning in the functions that run in a run: what they leave
-- to the next run, and what keeps LuaJIT from compiling them.
--
-- It begins at the functions of the extensions, as they are when the package is loaded,
-- and follows what they name: upvalues, globals, fields. So functions that only load a
-- module are left alone. In each, it follows the registers from instruction to
-- instruction; a register is known as long as all ways to an instruction agree on it.
-- What it does not know, it says nothing of.

local bytecode = require "stator.bytecode"

-- Nothing here may call a metamethod: it would be the author's.
local rawget, rawequal, type, pairs, ipairs, next = rawget, rawequal, type, pairs, ipairs, next
local format, find, match, gmatch = string.format, string.find, string.match, string.gmatch
local getmetatable = debug.getmetatable -- looks behind fronts

local M = {}

--- Instructions that LuaJIT does not compile: a trace that meets one is given up, and
--- after a few tries so is the function. UCLO closes what an inner function uses, so it
--- comes with FNEW only. A spec measures this.
M.NEVER_COMPILED = { FNEW = true, UCLO = true }

local LEFT = ": the next run finds what this one left; keep state in a storage, or say "
  .. "-- stator: allow"
local PASS = "define it once outside, and pass what it needs"

-- Instructions -------------------------------------------------------------------

local function set(names)
  local t = {}
  for name in gmatch(names, "%S+") do t[name] = true end
  return t
end

-- These set register a.
local SETS = set [[
  MOV NOT UNM LEN ADDVN SUBVN MULVN DIVVN MODVN ADDNV SUBNV MULNV DIVNV MODNV ADDVV SUBVV
  MULVV DIVVV MODVV POW CAT KSTR KCDATA KSHORT KNUM KPRI UGET FNEW TNEW TDUP GGET TGETV
  TGETS TGETB TGETR ISTC ISFC ISTYPE ISNUM
]]
-- These leave nothing known from register a on.
local CLEARS = set "CALLM CALL ITERC ITERN VARG FORI FORL KNIL"
local CALLS = set "CALLM CALL CALLMT CALLT"
local FORWARDS = set "CALLM CALLMT"
local GETS = set "TGETV TGETS TGETB"
local WRITES = set "TSETV TSETS TSETB"
local UPVALUE_WRITES = set "USETV USETS USETN USETP"
local ENDS = set "RETM RET RET0 RET1 CALLMT CALLT"
local TESTS = set [[
  ISLT ISGE ISLE ISGT ISEQV ISNEV ISEQS ISNES ISEQN ISNEN ISEQP ISNEP ISTC ISFC IST ISF
]]
local BRANCHES = set "FORI FORL ITERL"
local JUMPS = set "JMP ISNEXT UCLO"

-- The instructions that may come after `at`.
local function followers(f, at)
  local i = f.code[at]
  local target = at + 1 + i.d - 0x8000
  if ENDS[i.op] then return end
  if JUMPS[i.op] then return target end
  if BRANCHES[i.op] then return at + 1, target end
  if TESTS[i.op] then return at + 1, at + 2 end
  return at + 1
end

-- Values --------------------------------------------------------------------------
--
-- What is known of one: the line where it came to be, and, if it was there before the run,
-- the `name` it goes by and perhaps the real `value`.

-- Rows, keys, handles and libraries are the host's, and refuse or know what is done.
local function is_front(value)
  local mt = getmetatable(value)
  return mt and (rawget(mt, "__metatable") == false or rawget(mt, "__newindex") ~= nil)
end

local function field_of(value, key)
  local mt = getmetatable(value)
  local found = rawget(value, key)
  if found ~= nil or not mt then return found end
  local behind = rawget(mt, "__index")
  return type(behind) == "table" and rawget(behind, key) or nil
end

-- Whether what stands in a table stays there, and is no front.
local function holds_plain(t)
  local mt = getmetatable(t)
  if mt and rawget(mt, "__index") ~= nil then return false end
  for _, v in next, t do
    if type(v) ~= "table" or is_front(v) then return false end
  end
  return true
end

-- The walk --------------------------------------------------------------------------

local Walk = {}
Walk.__index = Walk

function Walk:warn(line, text)
  local id = self.number .. ":" .. line .. ":" .. text
  if self.said[id] or self.allows(self.number, line) then return end
  self.said[id] = true
  self.list[#self.list + 1] = { number = self.number, line = line, text = text }
end

-- A value that can be reached in a run.
function Walk:see(value, name)
  if type(value) == "function" then
    if not self.seen[value] then
      self.seen[value] = true
      self.queue[#self.queue + 1] = { f = value, name = name }
    end
  elseif type(value) == "table" and not self.seen[value] and not is_front(value) then
    self.seen[value] = true
    self.tables[#self.tables + 1] = value
  end
end

-- Methods: a table was seen, and in some value that is not known a field of this name.
function Walk:see_methods()
  for _, t in ipairs(self.tables) do
    for name, f in next, t do
      if type(f) == "function" and type(name) == "string"
        and (self.fields[name] or find(name, "^__")) then
        self:see(f, name)
      end
    end
  end
end

function Walk:known(line, value, name)
  self:see(value, name)
  return { line = line, name = name, value = value, kept = true }
end

local function constant(f, index)
  local value = f.constants[index + 1]
  return type(value) == "string" and value or nil
end

local function key_of(f, i)
  if i.op == "TGETS" or i.op == "TSETS" then return constant(f, i.c) end
  return i.op == "TGETB" and i.c or nil
end

function Walk:field(f, i, line, base)
  local key = key_of(f, i)
  local value = base and base.value
  if type(value) ~= "table" then
    if type(key) == "string" then self.fields[key] = true end
    return { line = line }
  end
  if key ~= nil then
    local name = rawequal(value, self.env) and key or format("%s.%s", base.name, key)
    local found = field_of(value, key)
    if is_front(value) and not rawequal(value, self.env) then
      return { line = line, name = name, value = found }
    end
    return self:known(line, found, name)
  end
  -- Any of its functions may be meant.
  for name, v in next, value do
    if type(v) == "function" then
      self:see(v, format(type(name) == "string" and "%s[%q]" or "%s[%s]", base.name,
        type(name) == "table" and "..." or tostring(name)))
    end
  end
  if is_front(value) or not holds_plain(value) then return { line = line } end
  return { line = line, name = base.name .. "[...]", kept = true, plain = true }
end

-- What the instruction at `at` puts into register a. The same for the same base: so that
-- what was known can be compared.
function Walk:result(f, at, registers, upvalues, memory)
  local i, line = f.code[at], f.lines[at]
  if i.op == "MOV" then return registers[i.d] end
  local base = GETS[i.op] and registers[i.b] or nil
  local last = memory[at]
  if last and last.base == base then return last.value end
  local value
  if i.op == "UGET" then
    local from = upvalues[i.d + 1]
    value = from and self:known(line, from.value, from.name) or { line = line }
  elseif i.op == "GGET" then
    local name = constant(f, i.d)
    value = self:known(line, rawget(self.env, name), name)
  elseif GETS[i.op] then
    value = self:field(f, i, line, base)
  else
    value = { line = line }
  end
  memory[at] = { base = base, value = value }
  return value
end

-- The registers after the instruction at `at`.
function Walk:step(f, at, before, upvalues, memory)
  local i = f.code[at]
  local after = {}
  local limit = CLEARS[i.op] and i.a or 1 / 0
  for register, value in pairs(before) do
    if register < limit then after[register] = value end
  end
  if SETS[i.op] then after[i.a] = self:result(f, at, before, upvalues, memory) end
  if i.op == "ITERL" then after[i.a - 1] = nil end
  return after
end

-- What both agree on, and whether that is less than `a`.
local function merge(a, b)
  local less = false
  for register, value in pairs(a) do
    if b[register] ~= value then
      a[register] = nil
      less = true
    end
  end
  return less
end

-- The registers before each instruction that can be reached.
function Walk:flow(f, upvalues)
  local states, memory, queue = { {} }, {}, { 1 }
  while #queue > 0 do
    local at = table.remove(queue)
    local after = self:step(f, at, states[at], upvalues, memory)
    local first, second = followers(f, at)
    for _, to in ipairs { first or 0, second or 0 } do
      if to > 0 and not states[to] then
        states[to] = {}
        for register, value in pairs(after) do states[to][register] = value end
        queue[#queue + 1] = to
      elseif to > 0 and merge(states[to], after) then
        queue[#queue + 1] = to
      end
    end
  end
  return states
end

-- The rules ----------------------------------------------------------------------------

-- Where the statement begins: a value that was made for it alone has a better line.
local function line_of(f, at, register, value)
  if value and register >= bytecode.locals_at(f, at) then return value.line end
  return f.lines[at]
end

local function check_write(walk, f, at, who, base, register)
  if not base or not base.kept then return end
  if rawequal(base.value, walk.env) then
    local name = key_of(f, f.code[at])
    local global = name and "the global " .. name or "a global"
    return walk:warn(f.lines[at], format("%s sets %s%s", who, global, LEFT))
  end
  if not base.plain and (type(base.value) ~= "table" or is_front(base.value)) then return end
  walk:warn(line_of(f, at, register, base), format("%s writes into %s%s", who, base.name, LEFT))
end

local function check_call(walk, f, at, who, registers)
  local i = f.code[at]
  local called, first = registers[i.a], i.a + walk.arguments
  if not called or called.value == nil then return end
  local to = registers[first]
  if walk.writers[called.value] and to and not rawequal(to.value, walk.env) then
    check_write(walk, f, at, who, to, first)
  elseif rawequal(called.value, walk.wrap) then
    walk:warn(f.lines[at], who .. " calls coroutine.wrap, which creates a function in each run, "
      .. "so it is never compiled: use coroutine.create and coroutine.resume")
  end
end

local function check_upvalue(walk, f, at, who, registers, upvalues)
  local i = f.code[at]
  local to = upvalues[i.a + 1]
  if not to then return end
  local line = i.op == "USETV" and line_of(f, at, i.d, registers[i.d]) or f.lines[at]
  walk:warn(line, format("%s sets %s%s", who, to.name, LEFT))
end

local function check_instruction(walk, f, at, who, registers, upvalues)
  local i = f.code[at]
  if UPVALUE_WRITES[i.op] then
    check_upvalue(walk, f, at, who, registers, upvalues)
  elseif i.op == "GSET" then
    walk:warn(f.lines[at], format("%s sets the global %s%s", who, constant(f, i.d), LEFT))
  elseif WRITES[i.op] then
    check_write(walk, f, at, who, registers[i.b], i.b)
  elseif CALLS[i.op] then
    check_call(walk, f, at, who, registers)
  elseif i.op == "FNEW" then
    walk:inner(f.constants[i.d + 1], who, upvalues)
  end
end

-- A function that is made in a run: its upvalues are those of the run, or of the function
-- around it.
function Walk:inner(f, who, upvalues)
  self:warn(f.line, format("%s creates a function in each run, so it is never compiled: %s",
    who, PASS))
  local own = {}
  for k, upvalue in ipairs(f.upvalues) do
    own[k] = not upvalue.own and upvalues[upvalue.index] or nil
  end
  self:check(f, who, own)
end

function Walk:check(f, who, upvalues)
  local states = self:flow(f, upvalues)
  for at = 1, #f.code do
    if states[at] then check_instruction(self, f, at, who, states[at], upvalues) end
  end
end

-- One that only hands its arguments on costs nothing by it.
local function check_vararg(walk, f, who)
  if not f.vararg then return end
  for _, i in ipairs(f.code) do
    if FORWARDS[i.op] then return end
  end
  walk:warn(f.line, who .. " takes ..., so it is never compiled: name its parameters")
end

function Walk:visit(item)
  local source = debug.getinfo(item.f, "S").source
  self.number = self.numbers[source]
  if not self.number then return end
  local f = bytecode.read(string.dump(item.f))
  if not f then return end
  self.arguments = f.arguments
  local upvalues = {}
  for k = 1, #f.upvalues do
    local name, value = debug.getupvalue(item.f, k)
    upvalues[k] = { name = name, value = value }
  end
  if item.extension then check_vararg(self, f, item.name) end
  self:check(f, item.name, upvalues)
end

-- The functions of the environment that the rules are about.
local function writers(env)
  local t = {}
  for _, name in ipairs { "insert", "remove", "sort" } do
    t[field_of(env.table, name)] = true
  end
  t[env.rawset] = true
  return t
end

--- Warnings for `functions`, each with its `name` and `f`, in the environment `env`:
--- `{ number, line, text }`, where `numbers[source]` is the number of a module; lines that
--- `allows(number, line)` are left out.
function M.find(functions, env, numbers, allows)
  local walk = setmetatable({
    env = env, numbers = numbers, allows = allows, list = {}, said = {},
    seen = {}, queue = {}, tables = {}, fields = {},
    writers = writers(env), wrap = field_of(env.coroutine, "wrap"),
  }, Walk)
  for _, entry in ipairs(functions) do
    walk:see(entry.f, entry.name)
    if walk.queue[#walk.queue].f == entry.f then walk.queue[#walk.queue].extension = true end
  end
  local at = 1
  while at <= #walk.queue do
    walk:visit(walk.queue[at])
    at = at + 1
    if at > #walk.queue then walk:see_methods() end
  end
  return walk.list
end

--- Whether lines have the comment that keeps warnings from them; `texts` by number.
function M.allowed(texts)
  local lines = {}
  return function(number, line)
    if not lines[number] then
      lines[number] = {}
      for text in gmatch(texts[number] .. "\n", "([^\n]*)\n") do
        lines[number][#lines[number] + 1] = match(text, "%-%-+%s*stator:%s*allow") ~= nil
      end
    end
    return lines[number][line]
  end
end

return M
