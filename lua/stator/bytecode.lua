--- bytecode.lua: reads what string.dump gives of a function (LuaJIT's format 2), with
-- its lines, upvalues and the functions inside it. jit.util tells less: not where the
-- upvalues of an inner function come from.

local bit = require "bit"

local band, rshift = bit.band, bit.rshift
-- The real ones: methods of strings are those of the environment.
local byte, sub, find, gmatch = string.byte, string.sub, string.find, string.gmatch

local M = {}

-- In the order of their numbers; a spec compares them with those of the LuaJIT at hand.
local NAMES = [[
  ISLT ISGE ISLE ISGT ISEQV ISNEV ISEQS ISNES ISEQN ISNEN ISEQP ISNEP ISTC ISFC IST ISF
  ISTYPE ISNUM MOV NOT UNM LEN ADDVN SUBVN MULVN DIVVN MODVN ADDNV SUBNV MULNV DIVNV MODNV
  ADDVV SUBVV MULVV DIVVV MODVV POW CAT KSTR KCDATA KSHORT KNUM KPRI KNIL UGET USETV USETS
  USETN USETP UCLO FNEW TNEW TDUP GGET GSET TGETV TGETS TGETB TGETR TSETV TSETS TSETB TSETM
  TSETR CALLM CALL CALLMT CALLT ITERC ITERN VARG ISNEXT RETM RET RET0 RET1 FORI JFORI FORL
  IFORL JFORL ITERL IITERL JITERL LOOP ILOOP JLOOP JMP FUNCF IFUNCF JFUNCF FUNCV IFUNCV
  JFUNCV FUNCC FUNCCW
]]

--- The names of instructions; the first is that of number 0.
M.names = {}
for name in gmatch(NAMES, "%S+") do M.names[#M.names + 1] = name end

local BIG_ENDIAN, STRIPPED, TWO_SLOTS = 1, 2, 8 -- flags of a dump
local VARARG = 2 -- flag of a function
local OWN = 0x8000 -- flag of an upvalue: a local of the function around it

local function reader(data)
  local r = { at = 1 }
  function r.u8()
    r.at = r.at + 1
    return byte(data, r.at - 1)
  end
  function r.u16() return r.u8() + r.u8() * 256 end
  function r.uleb()
    local value, scale = 0, 1
    while true do
      local b = r.u8()
      value = value + band(b, 127) * scale
      if b < 128 then return value end
      scale = scale * 128
    end
  end
  function r.text(size)
    r.at = r.at + size
    return sub(data, r.at - size, r.at - 1)
  end
  function r.zero_ended()
    local last = find(data, "\0", r.at, true)
    return r.text(last - r.at), r.u8()
  end
  return r
end

-- A value in a table that is written as a constant.
local function skip_value(r)
  local kind = r.uleb()
  if kind >= 5 then
    r.text(kind - 5)
  elseif kind == 3 then
    r.uleb()
  elseif kind == 4 then
    r.uleb()
    r.uleb()
  end
end

-- A string, a function (the last of `done`), or false.
local function constant(r, done)
  local kind = r.uleb()
  if kind >= 5 then return r.text(kind - 5) end
  if kind == 0 then return table.remove(done) end
  if kind == 1 then
    local values = r.uleb()
    values = values + 2 * r.uleb()
    for _ = 1, values do skip_value(r) end
  else
    for _ = 1, kind == 4 and 4 or 2 do r.uleb() end
  end
  return false
end

-- Where locals live, in the order of their registers.
local function read_locals(r, last)
  local locals, start = {}, 0
  while r.at <= last do
    local kind = r.u8()
    if kind == 0 then break end
    if kind >= 7 then
      r.at = r.at - 1
      r.zero_ended()
    end
    start = start + r.uleb()
    locals[#locals + 1] = { from = start, to = start + r.uleb() }
  end
  return locals
end

local function read_debug(r, f, count, wide, last)
  for i = 1, count do
    local line = r.u8()
    for k = 1, wide - 1 do line = line + r.u8() * 256 ^ k end
    f.lines[i] = f.line + line
  end
  for _, upvalue in ipairs(f.upvalues) do upvalue.name = r.zero_ended() end
  f.locals = read_locals(r, last)
end

local function read_code(r, f, count)
  for i = 1, count do
    local op, a, c, b = r.u8(), r.u8(), r.u8(), r.u8()
    f.code[i] = { op = M.names[op + 1], a = a, b = b, c = c, d = c + b * 256 }
  end
end

local function read_function(r, size, done)
  local last = r.at + size - 1
  local flags = r.u8()
  local f = { vararg = band(flags, VARARG) ~= 0, code = {}, lines = {}, upvalues = {} }
  f.parameters = r.u8()
  r.u8()
  local upvalues, constants, _, count = r.u8(), r.uleb(), r.uleb(), r.uleb()
  local debug_size = r.uleb()
  f.line = r.uleb()
  local lines = r.uleb()
  read_code(r, f, count)
  for i = 1, upvalues do
    local v = r.u16()
    f.upvalues[i] = { own = band(v, OWN) ~= 0, index = band(v, 0x3fff) + 1 }
  end
  -- The first is the one that instructions give the highest number.
  f.constants = {}
  for i = constants, 1, -1 do f.constants[i] = constant(r, done) end
  r.at = last + 1 - debug_size
  read_debug(r, f, count, lines < 256 and 1 or lines < 65536 and 2 or 4, last)
  r.at = last + 1
  return f
end

--- What is in the dump of a function, or nil if it is not of the format that is known
--- here. Instructions and their lines count from 1, constants and upvalues too; `own`
--- is whether an upvalue is a local of the function around, else it is the upvalue
--- `index` of that. Register numbers are those of the instructions.
function M.read(dump)
  if sub(dump, 1, 4) ~= "\27LJ\2" then return nil end
  local r = reader(dump)
  r.at = 5
  local flags = r.uleb()
  if band(flags, BIG_ENDIAN + STRIPPED) ~= 0 then return nil end
  r.text(r.uleb())
  local done = {}
  while true do
    local size = r.uleb()
    if size == 0 then break end
    local f = read_function(r, size, done) -- takes those inside it from `done`
    done[#done + 1] = f
  end
  local f = done[#done]
  f.arguments = rshift(band(flags, TWO_SLOTS), 3) + 1 -- from a call's function to its first
  return f
end

--- How many locals are known by name at instruction `at`: the registers below that.
function M.locals_at(f, at)
  local count = 0
  for _, l in ipairs(f.locals) do
    if l.from <= at and at < l.to then count = count + 1 end
  end
  return count
end

return M
