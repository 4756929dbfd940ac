--- pattern.lua: Lua's patterns in Lua, for strings and patterns on which the C ones
-- could take long. What is short enough goes to C.
--
-- `burn` is called at every step; it does not come back when the time of the run is up.

-- The real ones: methods of strings are those of the environment, and end up here.
local byte, sub, char = string.byte, string.sub, string.char
local raw_find, raw_gmatch, raw_gsub = string.find, string.gmatch, string.gsub

local M = {}

-- Steps of the C matcher that nobody minds: about a millisecond.
local FEW = 2e5
local DEPTH = 200

local POSITION = -2
local ESCAPE = 37 -- %

local function class_matcher(class)
  local single = "^%" .. class
  return function(c) return raw_find(char(c), single) ~= nil end
end

local CLASSES = {}
for class in raw_gmatch("acdglpsuwxACDGLPSUWX", ".") do
  CLASSES[byte(class)] = class_matcher(class)
end

local function matches_class(c, class)
  local f = CLASSES[class]
  if f then return f(c) end
  return class == c
end

-- The end of the item at `p`: one character, a class or a set.
local function item_end(m, p)
  local pattern = m.pattern
  local c = byte(pattern, p)
  p = p + 1
  if c == ESCAPE then
    if p > m.last then error("malformed pattern (ends with '%')", 0) end
    return p + 1
  end
  if c ~= 91 then return p end -- [
  if byte(pattern, p) == 94 then p = p + 1 end -- ^
  repeat
    if p > m.last then error("malformed pattern (missing ']')", 0) end
    c = byte(pattern, p)
    p = p + 1
    if c == ESCAPE then p = p + 1 end
  until byte(pattern, p) == 93 and p <= m.last -- ]
  return p + 1
end

-- Whether `c` is in the set from `p`, "[", to `last`, "]".
local function matches_set(m, c, p, last)
  local pattern, found = m.pattern, true
  p = p + 1
  if byte(pattern, p) == 94 then
    found = false
    p = p + 1
  end
  while p < last do
    m.burn()
    local low = byte(pattern, p)
    if low == ESCAPE then
      p = p + 1
      if matches_class(c, byte(pattern, p)) then return found end
      p = p + 1
    elseif byte(pattern, p + 1) == 45 and p + 2 < last then -- -
      if c >= low and c <= byte(pattern, p + 2) then return found end
      p = p + 3
    else
      if c == low then return found end
      p = p + 1
    end
  end
  return not found
end

local function matches_single(m, s, p, ep)
  local c = byte(m.text, s)
  if not c then return false end
  local what = byte(m.pattern, p)
  if what == 46 then return true end -- .
  if what == ESCAPE then return matches_class(c, byte(m.pattern, p + 1)) end
  if what == 91 then return matches_set(m, c, p, ep - 1) end
  return what == c
end

local match

local function match_balance(m, s, p)
  local open, close = byte(m.pattern, p, p + 1)
  if not close then error("unbalanced pattern", 0) end
  if byte(m.text, s) ~= open then return nil end
  local depth = 1
  for i = s + 1, #m.text do
    m.burn()
    local c = byte(m.text, i)
    if c == close then
      depth = depth - 1
      if depth == 0 then return i + 1 end
    elseif c == open then
      depth = depth + 1
    end
  end
end

local function match_most(m, s, p, ep)
  local i = s
  while matches_single(m, i, p, ep) do
    m.burn()
    i = i + 1
  end
  while i >= s do
    m.burn()
    local found = match(m, i, ep + 1)
    if found then return found end
    i = i - 1
  end
end

local function match_least(m, s, p, ep)
  while true do
    m.burn()
    local found = match(m, s, ep + 1)
    if found then return found end
    if not matches_single(m, s, p, ep) then return nil end
    s = s + 1
  end
end

local function open_capture(m, s, p, size)
  local level = m.level + 1
  if level > 32 then error("too many captures", 0) end
  m.from[level], m.size[level] = s, size
  m.level = level
  local found = match(m, s, p)
  if not found then m.level = level - 1 end
  return found
end

local function close_capture(m, s, p)
  for level = m.level, 1, -1 do
    if m.size[level] == nil or m.size[level] == false then
      m.size[level] = s - m.from[level]
      local found = match(m, s, p)
      if not found then m.size[level] = false end
      return found
    end
  end
  error("invalid pattern capture", 0)
end

local function match_back(m, s, digit)
  local level = digit - 48
  local size = m.size[level]
  if level < 1 or level > m.level or not size then error("invalid capture index", 0) end
  if size == POSITION then return nil end
  m.charge(size)
  if #m.text - s + 1 >= size
    and sub(m.text, m.from[level], m.from[level] + size - 1) == sub(m.text, s, s + size - 1) then
    return s + size
  end
end

local function match_frontier(m, s, p)
  if byte(m.pattern, p) ~= 91 then error("missing '[' after '%f' in pattern", 0) end
  local ep = item_end(m, p)
  local previous = s > 1 and byte(m.text, s - 1) or 0
  if matches_set(m, previous, p, ep - 1) then return nil end
  if not matches_set(m, byte(m.text, s) or 0, p, ep - 1) then return nil end
  return ep
end

-- Where the pattern from `p` ends in the text from `s`, or nil.
local function match_here(m, s, p)
  while true do
    m.burn()
    if p > m.last then return s end
    local c = byte(m.pattern, p)
    if c == 40 then -- (
      if byte(m.pattern, p + 1) == 41 then return open_capture(m, s, p + 2, POSITION) end
      return open_capture(m, s, p + 1, false)
    elseif c == 41 then -- )
      return close_capture(m, s, p + 1)
    elseif c == 36 and p == m.last then -- $
      return s == #m.text + 1 and s or nil
    end
    local special = c == ESCAPE and byte(m.pattern, p + 1)
    if special == 98 then -- %b
      s = match_balance(m, s, p + 2)
      if not s then return nil end
      p = p + 4
    elseif special == 102 then -- %f
      p = match_frontier(m, s, p + 2)
      if not p then return nil end
    elseif special and special >= 48 and special <= 57 then -- %1
      s = match_back(m, s, special)
      if not s then return nil end
      p = p + 2
    else
      local ep = item_end(m, p)
      local how = byte(m.pattern, ep)
      if how == 63 then -- ?
        if matches_single(m, s, p, ep) then
          local found = match(m, s + 1, ep + 1)
          if found then return found end
        end
        p = ep + 1
      elseif how == 42 then -- *
        return match_most(m, s, p, ep)
      elseif how == 43 then -- +
        return matches_single(m, s, p, ep) and match_most(m, s + 1, p, ep) or nil
      elseif how == 45 then -- -
        return match_least(m, s, p, ep)
      else
        if not matches_single(m, s, p, ep) then return nil end
        s, p = s + 1, ep
      end
    end
  end
end

function match(m, s, p)
  m.depth = m.depth + 1
  if m.depth > DEPTH then error("pattern too complex", 0) end
  local found = match_here(m, s, p)
  m.depth = m.depth - 1
  return found
end

local function capture(m, level, s, e)
  if level > m.level then
    if level ~= 1 then error("invalid capture index", 0) end
    return sub(m.text, s, e - 1)
  end
  local size = m.size[level]
  if not size then error("unfinished capture", 0) end
  if size == POSITION then return m.from[level] end
  return sub(m.text, m.from[level], m.from[level] + size - 1)
end

-- The captures of a match; with `whole`, the match itself when there are none.
local function captures(m, s, e, whole)
  local list, count = {}, m.level
  if count == 0 and whole then count = 1 end
  for i = 1, count do list[i] = capture(m, i, s, e) end
  return unpack(list, 1, count)
end

local function start(text, pattern, burn, charge)
  return { text = text, pattern = pattern, last = #pattern, burn = burn, charge = charge,
    level = 0, depth = 0, from = {}, size = {} }
end

local function match_at(m, s, p)
  m.level, m.depth = 0, 0
  return match(m, s, p)
end

-- The first match from `init` on: where it begins and ends.
local function search(m, init)
  local anchored = byte(m.pattern, 1) == 94
  local s = init
  repeat
    m.burn()
    local e = match_at(m, s, anchored and 2 or 1)
    if e then return s, e end
    s = s + 1
  until anchored or s > #m.text + 1
end

-- Where a plain text begins in another: pieces of it go to C.
local function find_plain(find, text, what, init, charge)
  local piece = math.max(1, math.floor(FEW / #what))
  while init + #what - 1 <= #text do
    local until_ = init + piece + #what - 2
    charge(piece * 8 + #what)
    local s = find(sub(text, init, until_), what, 1, true)
    if s then return init + s - 1 end
    init = init + piece
  end
end

-- What C may need for a pattern, in steps, at worst.
local function cost(text, pattern, never_anchored)
  local count = byte(pattern, 1) == 94 and not never_anchored and 0 or 1
  local steps = #pattern + 1
  for c in raw_gmatch(pattern, "[*+?-]") do
    if c == "?" then steps = steps * 2 else count = count + 1 end
    if count > 20 or steps > FEW then return math.huge end
  end
  if raw_find(pattern, "%b", 1, true) then count = count + 1 end
  if raw_find(pattern, "%%%d") then count = count + 1 end
  return steps * (#text + 1) ^ count
end

local function is_plain(pattern) return not raw_find(pattern, "[%^$*+?.%(%[%%%-]") end

local function text_of(v) return type(v) == "number" and tostring(v) or v end

local function whole_number(v, argument)
  local n = tonumber(v)
  if v ~= nil and not n then
    error("bad argument #" .. argument .. " (number expected, got " .. type(v) .. ")", 0)
  end
  return n
end

-- `init` as find and match take it.
local function begin_at(text, init)
  init = whole_number(init, 3) or 1
  if init < 0 then init = math.max(1, #text + init + 1) end
  return math.min(math.max(1, math.floor(init)), #text + 1)
end

-- What stands in the place of a match.
local function replacement(m, with, s, e)
  local whole = sub(m.text, s, e - 1)
  local v
  if type(with) == "string" then
    v = raw_gsub(with, "%%(.?)", function(c)
      if c == "0" then return whole end
      if raw_find(c, "^%d") then
        return tostring(capture(m, tonumber(c), s, e))
      end
      return c
    end)
  elseif type(with) == "table" then
    v = with[capture(m, 1, s, e)]
  else
    v = with(captures(m, s, e, true))
  end
  if not v then return whole end
  if type(v) == "number" then v = tostring(v) end
  if type(v) ~= "string" then error("invalid replacement value (a " .. type(v) .. ")", 0) end
  return v
end

local function gsub(m, with, most)
  local anchored = byte(m.pattern, 1) == 94
  local out, s, count = {}, 1, 0
  while count < most do
    m.burn()
    local e = match_at(m, s, anchored and 2 or 1)
    if e then
      count = count + 1
      out[#out + 1] = replacement(m, with, s, e)
    end
    if e and e > s then
      s = e
    elseif s <= #m.text then
      out[#out + 1] = sub(m.text, s, s)
      s = s + 1
    else
      break
    end
    if anchored then break end
  end
  out[#out + 1] = sub(m.text, s)
  return table.concat(out), count
end

--- find, match, gmatch and gsub, which take the C ones from `strings` for what needs
--- `few` steps at most.
function M.functions(strings, burn, charge, few)
  few = few or FEW
  local find, c_match, c_gmatch, c_gsub = strings.find, strings.match, strings.gmatch,
    strings.gsub
  local functions = {}

  -- Whether the C function does: what is wrong is left to it, too.
  local function is_quick(text, pattern, never_anchored)
    if type(text) ~= "string" or type(pattern) ~= "string" then return true end
    charge(#text + #pattern)
    return cost(text, pattern, never_anchored) <= few
  end

  function functions.find(text, pattern, init, plain)
    text, pattern = text_of(text), text_of(pattern)
    if type(text) ~= "string" or type(pattern) ~= "string" or pattern == "" then
      return find(text, pattern, init, plain)
    end
    if plain or is_plain(pattern) then
      if #text * #pattern <= few then return find(text, pattern, init, true) end
      local s = find_plain(find, text, pattern, begin_at(text, init), charge)
      if s then return s, s + #pattern - 1 end
      return nil
    end
    if is_quick(text, pattern) then return find(text, pattern, init) end
    local m = start(text, pattern, burn, charge)
    local s, e = search(m, begin_at(text, init))
    if s then return s, e - 1, captures(m, s, e, false) end
    return nil
  end

  function functions.match(text, pattern, init)
    text, pattern = text_of(text), text_of(pattern)
    if is_quick(text, pattern) then return c_match(text, pattern, init) end
    local m = start(text, pattern, burn, charge)
    local s, e = search(m, begin_at(text, init))
    if s then return captures(m, s, e, true) end
    return nil
  end

  function functions.gmatch(text, pattern)
    text, pattern = text_of(text), text_of(pattern)
    if is_quick(text, pattern, true) then return c_gmatch(text, pattern) end
    local s = 1
    return function()
      local m = start(text, pattern, burn, charge)
      while s <= #text + 1 do
        burn()
        local from, e = s, match_at(m, s, 1)
        if e then
          s = e > from and e or from + 1
          return captures(m, from, e, true)
        end
        s = s + 1
      end
    end
  end

  function functions.gsub(text, pattern, with, most)
    text, pattern = text_of(text), text_of(pattern)
    local kind = type(with)
    if is_quick(text, pattern)
      or kind ~= "string" and kind ~= "number" and kind ~= "table" and kind ~= "function" then
      return c_gsub(text, pattern, with, most)
    end
    if kind == "number" then with = tostring(with) end
    return gsub(start(text, pattern, burn, charge), with, whole_number(most, 4) or #text + 1)
  end

  return functions
end

return M
