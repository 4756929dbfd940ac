--- json.lua: reads the lines that stator writes; enough for the demos, not strict.

local M = {}

local order = setmetatable({}, { __mode = "k" })
local escapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function utf8(code)
  if code < 0x80 then return string.char(code) end
  local tail, first = {}, 0x3F
  while code > first do
    table.insert(tail, 1, string.char(0x80 + code % 64))
    code, first = math.floor(code / 64), math.floor(first / 2)
  end
  return string.char(0xFE - 2 * first + code) .. table.concat(tail)
end

local function unescape(text)
  text = text:gsub("\\u([dD][89abAB]%x%x)\\u([dD][c-fC-F]%x%x)", function(high, low)
    return utf8(0x10000 + (tonumber(high, 16) - 0xD800) * 1024 + tonumber(low, 16) - 0xDC00)
  end)
  text = text:gsub("\\u(%x%x%x%x)", function(hex) return utf8(tonumber(hex, 16)) end)
  return (text:gsub("\\(.)", function(c) return escapes[c] or c end))
end

local function read_string(text, at)
  local to = at + 1
  while text:sub(to, to) ~= '"' do
    if to > #text then error "a string has no end" end
    to = to + (text:sub(to, to) == "\\" and 2 or 1)
  end
  return unescape(text:sub(at + 1, to - 1)), to + 1
end

local read_value

local function read_array(text, at)
  local list = {}
  at = text:match("^%s*()", at + 1)
  while text:sub(at, at) ~= "]" do
    list[#list + 1], at = read_value(text, at)
    at = text:match("^%s*,?%s*()", at)
  end
  order[list] = false
  return list, at + 1
end

local function read_object(text, at)
  local object, names = {}, {}
  at = text:match("^%s*()", at + 1)
  while text:sub(at, at) ~= "}" do
    local name
    name, at = read_string(text, at)
    names[#names + 1] = name
    object[name], at = read_value(text, text:match("^%s*:%s*()", at))
    at = text:match("^%s*,?%s*()", at)
  end
  order[object] = names
  return object, at + 1
end

function read_value(text, at)
  local c = text:sub(at, at)
  if c == '"' then return read_string(text, at) end
  if c == "{" then return read_object(text, at) end
  if c == "[" then return read_array(text, at) end
  local word, to = text:match("^([%w.+-]+)()", at)
  if word == "true" or word == "false" then return word == "true", to end
  if word == "null" then return nil, to end
  return tonumber(word) or error "not JSON", to
end

--- The value of a line; nil when it is not JSON.
function M.decode(text)
  local ok, value = pcall(read_value, text, text:match "^%s*()")
  return ok and value or nil
end

--- The names of an object in the order of the text; false for an array.
function M.names(value) return order[value] end

--- The values of all lines of a file.
function M.lines(path)
  local list = {}
  for line in io.lines(path) do list[#list + 1] = M.decode(line) or false end
  return list
end

return M
