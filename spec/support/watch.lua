--- watch.lua: mappings and resident KB of a process that serves requests. Requests come in
-- pieces, so that what waits in the process is bounded; pages of files are not counted.

local assert = require "luassert"
local stator = require "support.stator"

local SCRIPT = [[
set -e
cd %s
mkfifo in
%s run %s --data data < in > out 2> err &
pid=$!
exec 3> in
sent=0
feed() {
  split -l 400 -a 4 $1 $1.
  for piece in $1.*; do
    cat $piece >&3
    sent=$((sent + $(wc -l < $piece)))
    for _ in $(seq 6000); do [ "$(wc -l < out)" -ge $sent ] && break; sleep 0.02; done
    [ "$(wc -l < out)" -ge $sent ]
  done
  wc -l < /proc/$pid/maps
  awk '/^RssAnon/ { print $2 }' /proc/$pid/status
}
feed first
feed second
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
    stator.quote(image)))
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
