--- watch.lua: mappings and resident KB of a process that serves requests.

local assert = require "luassert"
local stator = require "support.stator"

local SCRIPT = [[
set -e
cd %s
mkfifo in
%s run %s --data data < in > out 2> err &
pid=$!
exec 3> in
look() {
  for _ in $(seq 1200); do [ "$(wc -l < out)" -ge "$1" ] && break; sleep 0.05; done
  [ "$(wc -l < out)" -ge "$1" ]
  wc -l < /proc/$pid/maps
  awk '/^VmRSS/ { print $2 }' /proc/$pid/status
}
cat first >&3
look %d
cat second >&3
look %d
exec 3>&-
wait $pid
]]

--- Runs the first requests, looks at the process, runs the second, looks again: what was
--- seen each time, `{ maps =, kb = }`, and all replies.
return function(image, first, second)
  local folder = stator.folder()
  local function lines(requests)
    local list = {}
    for i, r in ipairs(requests) do list[i] = stator.json.encode(r) .. "\n" end
    return table.concat(list)
  end
  stator.write(folder .. "/first", lines(first))
  stator.write(folder .. "/second", lines(second))
  stator.write(folder .. "/script", SCRIPT:format(stator.quote(folder), stator.command,
    stator.quote(image), #first, #first + #second))
  local code, out, err = stator.shell("bash " .. folder .. "/script")
  assert.equal(0, code, err .. stator.read(folder .. "/err"))
  local numbers = {}
  for n in out:gmatch "%d+" do numbers[#numbers + 1] = tonumber(n) end
  local replies = {}
  for line in stator.read(folder .. "/out"):gmatch "[^\n]+" do
    replies[#replies + 1] = stator.json.decode(line)
  end
  return { maps = numbers[1], kb = numbers[2] }, { maps = numbers[3], kb = numbers[4] }, replies
end
