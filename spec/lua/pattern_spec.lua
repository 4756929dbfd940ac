-- Patterns in Lua must do what those in C do, on whatever there is.

package.path = "lua/?.lua;" .. package.path
local pattern = require "stator.pattern"

local function nothing() end
-- Everything goes to Lua: there are fewer steps than any pattern needs.
local in_lua = pattern.functions(string, nothing, nothing, -1)

local ATOMS = { "a", "b", ".", "%a", "%d", "[ab]", "[^a]", "[a-c]", "%s", "(a)", "(", "%1", "$",
  "^",
  "x*", "%b()", "%f[%w]", "()", "-", "[]a]", "[^]]", "%", "[%a_]", "(.-)", "(%w+)", "%b", "[a" }
local QUANTIFIERS = { "", "", "", "*", "+", "-", "?" }
local CHARS = { "a", "b", "c", "1", " ", "(", ")", "x", "\0", "_", "]", "-" }
local STARTS = { 1, 1, 1, 2, -1, -3, 0, 5, 20 }
local REPLACEMENTS = { "<%0>", "<%1>", "%%", { a = "A", b = 1, ab = false },
  function(...) return select("#", ...) .. ":" .. tostring((...)) end, nothing }

local function any(t) return t[math.random(#t)] end

local function some_pattern()
  local parts = { any { "", "", "", "", "", "^" } }
  for _ = 1, math.random(0, 5) do parts[#parts + 1] = any(ATOMS) .. any(QUANTIFIERS) end
  parts[#parts + 1] = any { "", "", "", "", "", "$" }
  return table.concat(parts)
end

local function some_text()
  local parts = {}
  for i = 1, math.random(0, 12) do parts[i] = any(CHARS) end
  return table.concat(parts)
end

-- What came back, as text; errors are alike.
local function shown(ok, ...)
  if not ok then return "an error" end
  local list = {}
  for i = 1, select("#", ...) do list[i] = tostring((select(i, ...))) end
  return table.concat(list, "|")
end

local function all_of(gmatch, text, what)
  local list = {}
  for a, b in gmatch(text, what) do list[#list + 1] = tostring(a) .. "|" .. tostring(b) end
  return table.concat(list, ";")
end

describe("stator.pattern", function()
  it("finds, matches and replaces as C does", function()
    math.randomseed(1)
    for _ = 1, 20000 do
      local text, what, init, with = some_text(), some_pattern(), any(STARTS), any(REPLACEMENTS)
      local function same(name, ...)
        assert.equal(shown(pcall(string[name], ...)), shown(pcall(in_lua[name], ...)),
          ("%s of %q in %q from %d"):format(name, what, text, init))
      end
      same("find", text, what, init)
      same("find", text, what, init, true)
      same("match", text, what, init)
      same("gsub", text, what, with)
      same("gsub", text, what, with, 2)
      assert.equal(shown(pcall(all_of, string.gmatch, text, what)),
        shown(pcall(all_of, in_lua.gmatch, text, what)), ("%q in %q"):format(what, text))
    end
  end)

  it("takes what C takes, and refuses the same", function()
    for _, name in ipairs { "find", "match", "gmatch", "gsub" } do
      for _, args in ipairs { {}, { "a" }, { 12, 1, "x" }, { "a", {} }, { "a", "a", true },
        { "aa", ".", 5 } } do
        local c, lua = { pcall(string[name], unpack(args)) }, { pcall(in_lua[name], unpack(args)) }
        assert.equal(c[1], lua[1], name)
        if name ~= "gmatch" then assert.equal(c[2], c[1] and lua[2] or c[2]) end
      end
    end
  end)
end)
