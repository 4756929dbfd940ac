--- stator.lua: what specs need: images and data in temporary folders, the command,
-- and its replies.

local json = require "dkjson"

local M = {}

local here = io.popen("pwd"):read "*l"

M.build = here .. "/" .. (os.getenv "STATOR_BUILD" or "build")
M.sanitized = os.getenv "STATOR_SANITIZED" ~= nil
-- The sanitizers' library is preloaded into LuaJIT; the command has its own.
M.command = M.sanitized and here .. "/spec/support/sanitized" or M.build .. "/stator"

-- Before a program that loads the library into itself.
M.preload = M.sanitized and "LD_PRELOAD=" .. os.getenv "LD_PRELOAD" .. " " or ""

local function quote(s) return "'" .. tostring(s):gsub("'", [['\'']]) .. "'" end
M.quote = quote

--- Runs a shell command: its exit code, stdout and stderr.
function M.shell(line)
  local out, err = os.tmpname(), os.tmpname()
  -- Tools are not made for the sanitizers' library: pgrep never ends with it.
  if M.sanitized then line = "unset LD_PRELOAD; " .. line end
  local status = os.execute(("( %s ) >%s 2>%s"):format(line, out, err))
  local function take(path)
    local text = M.read(path)
    os.remove(path)
    return text
  end
  local code, output, errors = math.floor(status / 256), take(out), take(err)
  if M.sanitized and code == 99 then error(errors, 2) end
  return code, output, errors
end

function M.read(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read "*a"
  f:close()
  return text
end

function M.write(path, text)
  local folder = path:match "^(.*)/"
  if folder then os.execute("mkdir -p " .. quote(folder)) end
  local f = assert(io.open(path, "wb"))
  f:write(text)
  f:close()
end

local folders = {}

--- A folder that `M.clean` removes; in memory, for what syncs often, if there is such a place.
function M.folder(in_memory)
  local path = os.tmpname()
  os.remove(path)
  if in_memory and os.execute "test -w /dev/shm" == 0 then
    path = "/dev/shm/" .. path:match "[^/]+$"
  end
  os.execute("mkdir -p " .. quote(path))
  folders[#folders + 1] = path
  return path
end

--- To be called after each spec: `after_each(stator.clean)`.
function M.clean()
  for _, path in ipairs(folders) do os.execute("rm -rf " .. quote(path)) end
  folders = {}
end

--- An image of files by their path below it: `{ ["pkg/shop/shop.vsql"] = "…" }`.
function M.image(files)
  local image = M.folder() .. "/image"
  os.execute("mkdir -p " .. quote(image))
  for path, text in pairs(files) do M.write(image .. "/" .. path, text) end
  return image
end

--- An image of one package "shop": its schema inside a workspace, and its module.
--- The module is put between the usual first and last lines.
function M.shop(schema, module, more)
  local files = {
    ["pkg/shop/shop.vsql"] = "APPLICATION shop ();\nWORKSPACE W (\n" .. schema .. "\n);\n",
    ["pkg/shop/shop.lua"] = 'local state = require "stator.state"\nlocal M = {}\n'
      .. (module or "") .. "\nreturn M\n",
  }
  for path, text in pairs(more or {}) do files[path] = text end
  return M.image(files)
end

local function decode_lines(text)
  local list = {}
  for line in text:gmatch "[^\n]+" do
    local value, _, message = json.decode(line, 1, nil)
    list[#list + 1] = value or error(message .. ": " .. line)
  end
  return list
end

--- `stator check`: its lines, with the image's path taken off, and the exit code.
function M.check(image)
  local code, out, err = M.shell(("%s check %s"):format(M.command, quote(image)))
  local lines = {}
  for line in out:gmatch "[^\n]+" do
    lines[#lines + 1] = line:sub(1, #image + 1) == image .. "/" and line:sub(#image + 2) or line
  end
  return lines, code, err
end

local function as_line(request)
  return type(request) == "string" and request or json.encode(request)
end

--- `stator run`: the replies, their lines, stderr, and the exit code. A request is a
--- table or a line.
function M.run(image, data, requests, options)
  local lines = {}
  for i, request in ipairs(requests) do lines[i] = as_line(request) .. "\n" end
  local input = os.tmpname()
  M.write(input, table.concat(lines))
  local code, out, err = M.shell(("%s run %s --data %s %s < %s"):format(M.command, quote(image),
    quote(data), options or "", input))
  os.remove(input)
  local raw = {}
  for line in out:gmatch "[^\n]+" do raw[#raw + 1] = line end
  return decode_lines(out), raw, err, code
end

--- Runs requests on fresh data.
function M.try(image, requests, options)
  return M.run(image, M.folder(), requests, options)
end

--- `stator dump`: its lines as tables, the lines, stderr, and the exit code.
function M.dump(image, data, what)
  local code, out, err = M.shell(("%s dump %s --data %s %s"):format(M.command, quote(image),
    quote(data), what))
  local raw = {}
  for line in out:gmatch "[^\n]+" do raw[#raw + 1] = line end
  return decode_lines(out), raw, err, code
end

M.json = json

return M
