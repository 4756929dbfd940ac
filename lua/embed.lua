--- embed.lua: writes the C file with the Lua modules and texts of the library.
--
-- Usage: luajit embed.lua OUT.c FFI.cdef NAME=FILE ...
-- A .lua file becomes bytecode, any other stands as it is. FFI.cdef is made here
-- too: the lines of the headers (ending in .h) between the <ffi> marks.

local function read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end

local function write(path, text)
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local function ffi_lines(text)
  local parts = {}
  for part in text:gmatch "/%* <ffi> %*/(.-)/%* </ffi> %*/" do parts[#parts + 1] = part end
  return table.concat(parts)
end

local function bytes(data)
  local line, lines = {}, {}
  for i = 1, #data do
    line[#line + 1] = data:byte(i) .. ","
    if i % 20 == 0 then
      lines[#lines + 1] = table.concat(line)
      line = {}
    end
  end
  lines[#lines + 1] = table.concat(line)
  return table.concat(lines, "\n")
end

local out, cdef = arg[1], arg[2]
local items, headers = {}, {}
for i = 3, #arg do
  local name, path = arg[i]:match "^(.-)=(.*)$"
  if path:match "%.h$" then
    headers[#headers + 1] = ffi_lines(read(path))
  elseif path:match "%.lua$" then
    local chunk = assert(loadstring(read(path), "=" .. name))
    items[#items + 1] = { name = name, data = string.dump(chunk) }
  else
    items[#items + 1] = { name = name, data = read(path) }
  end
end
write(cdef, table.concat(headers))
items[#items + 1] = { name = "ffi.cdef", data = table.concat(headers) }

local code = { '#include "base/embed.h"\n' }
for i, item in ipairs(items) do
  code[#code + 1] = ("static const unsigned char data_%d[] = {\n%s\n};"):format(i, bytes(item.data))
end
code[#code + 1] = "const stator_embedded stator__embedded_table[] = {"
for i, item in ipairs(items) do
  code[#code + 1] = ('\t{"%s", data_%d, sizeof(data_%d)},'):format(item.name, i, i)
end
code[#code + 1] = "\t{0, 0, 0},\n};\n"
write(out, table.concat(code, "\n"))
