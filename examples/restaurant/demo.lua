--- demo.lua: what the restaurant's requests led to, for a terminal of 80 columns.
-- Called by `demo` with the requests and the folder of what came out.

local json = require "json"

local WIDTH = 80
local NAMES = { "Chez Margot", "Teehaus am Fleet", "Menya Kaze 麺屋" }
local MONTHS = {
  "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
}

local requests_path, work = arg[1], arg[2]
local requests = json.lines(requests_path)
local replies = json.lines(work .. "/replies")

-- Text -----------------------------------------------------------------------------------------

local colours = os.getenv "DEMO_COLOURS" ~= ""
local codes = { bold = "1", dim = "2", red = "31", green = "32", blue = "34" }

local function paint(colour, text)
  if not colours or text == "" then return text end
  return "\27[" .. codes[colour] .. "m" .. text .. "\27[0m"
end

-- Code points that take two columns, or none: what the demo meets, not all of Unicode.
local function columns(a, b, c)
  local code = a
  if a >= 0xF0 then return 2 end
  if a >= 0xE0 then code = (a % 16) * 4096 + (b % 64) * 64 + c % 64 end
  if code == 0xFE0F or code == 0x200D then return 0 end
  if code >= 0x1100 and code <= 0x115F or code >= 0x2E80 and code <= 0xA4CF
    or code >= 0xAC00 and code <= 0xD7A3 or code >= 0xFE30 and code <= 0xFF60 then return 2 end
  return 1
end

local function width(text)
  local n = 0
  text = text:gsub("\27%[%d+m", "")
  for char in text:gmatch "[%z\1-\127\194-\244][\128-\191]*" do n = n + columns(char:byte(1, 3)) end
  return n
end

local function pad(text, to) return text .. (" "):rep(to - width(text)) end

local function cut(text, to)
  if width(text) <= to then return text end
  repeat text = text:gsub("[^\128-\191][\128-\191]*$", "") until width(text) < to
  return text .. "…"
end

local function bar(value, most, length)
  local eighths = math.max(1, math.floor(value / most * length * 8 + 0.5))
  local rest = eighths % 8
  local part = rest > 0 and string.char(0xE2, 0x96, 0x90 - rest) or ""
  return ("█"):rep(math.floor(eighths / 8)) .. part
end

local function say(...)
  io.write("  ", ...)
  io.write "\n"
end

local function heading(text)
  io.write "\n"
  say(paint("bold", text))
  say(paint("dim", ("─"):rep(WIDTH - 4)))
end

local function money(amount) return ("%.2f"):format(amount / 10000) end

-- JSON, as wide as the terminal ----------------------------------------------------------------

local function scalar(value)
  if type(value) ~= "string" then return tostring(value) end
  return '"' .. value:gsub('[\\"]', "\\%0") .. '"'
end

local function members(value)
  local names, list = json.names(value), {}
  for i, name in ipairs(names or value) do
    list[i] = names and { ('"%s": '):format(name), value[name] } or { "", name }
  end
  return list, names and "{" or "[", names and "}" or "]"
end

local function one_line(value)
  if type(value) ~= "table" then return scalar(value) end
  local list, open, close = members(value)
  for i, member in ipairs(list) do list[i] = member[1] .. one_line(member[2]) end
  return open .. table.concat(list, ", ") .. close
end

-- A text that is too long goes on below itself.
local function wrap(lines, text, indent)
  while width(text) > WIDTH do
    local at, from = nil, indent + 1
    repeat
      local space = text:find(" ", from, true)
      if space and width(text:sub(1, space - 1)) <= WIDTH then at = space end
      from = (space or #text) + 1
    until from > #text
    if not at then break end
    lines[#lines + 1] = text:sub(1, at - 1)
    text = (" "):rep(indent) .. text:sub(at + 1)
  end
  lines[#lines + 1] = text
end

-- Fills lines as text is filled; what does not fit on a line of its own is broken inside.
local function fill(lines, start, value, tail, indent)
  local whole = start .. one_line(value) .. tail
  if type(value) ~= "table" or width(whole) <= WIDTH then return wrap(lines, whole, indent + 4) end
  local list, open, close = members(value)
  local inner = (" "):rep(indent + 2)
  local line = start .. open
  local function flush()
    lines[#lines + 1] = line
    line = nil
  end
  for i, member in ipairs(list) do
    local after = i == #list and close .. tail or ","
    local text = member[1] .. one_line(member[2]) .. after
    local joined = line and open == "{" and line .. (i > 1 and " " or "") .. text
    if joined and width(joined) <= WIDTH then
      line = joined
    else
      flush()
      if width(inner .. text) <= WIDTH then
        line = inner .. text
      else
        fill(lines, inner .. member[1], member[2], after, indent + 2)
      end
    end
  end
  flush()
end

local function show(sign, colour, value)
  local lines = {}
  fill(lines, "    ", value, "", 4)
  for i, line in ipairs(lines) do
    line = line:sub(5):gsub('"[%w_.]+": ', function(name) return paint("dim", name) end)
    say(i == 1 and paint(colour, sign) or " ", " ", line)
  end
end

-- The first request whose reply is as asked for.
local function find(wanted)
  for i, reply in ipairs(replies) do
    if requests[i] and wanted(requests[i], reply) then return requests[i], reply end
  end
end

local function exchange(text, wanted)
  local request, reply = find(wanted)
  if not request then return end
  heading(text)
  show("→", "blue", request)
  show("←", reply.status == 200 and "green" or "red", reply)
end

local function refused_with(pattern)
  return function(_, reply) return reply.error and reply.error.message:find(pattern) end
end

local function show_exchanges()
  exchange("A dish is on the menu when its record is stored", function(request, reply)
    return request.cuds and #request.cuds == 3 and request.wsid == 3 and reply.status == 200
  end)
  exchange("An order is accepted: it is in the log, and the sales of its day are right",
    function(request, reply)
      return request.wsid == 3 and request.command == "restaurant.NewOrder"
        and reply.status == 200 and #request.args.Items == 3
    end)
  exchange("A slip of the finger is refused, and the reply says where",
    refused_with "Items%[%d+%]%.Quantity: expected")
  exchange("What no schema can know, the extension refuses", refused_with "total above zero")
end

-- Tables ---------------------------------------------------------------------------------------

-- Amounts by workspace and month, and the greatest of them.
local function by_month(days)
  local months, most = {}, { amount = 0 }
  for _, day in ipairs(days) do
    local wsid, month = day.wsid, day.key.Month
    months[month] = months[month] or {}
    local amount = (months[month][wsid] or 0) + day.value.Amount
    months[month][wsid] = amount
    if amount > most.amount then most = { amount = amount, wsid = wsid, month = month } end
  end
  return months, most
end

local function month_cell(amount, most)
  if not amount then return (" "):rep(23) end
  return pad(("%8s %s"):format(money(amount), paint("blue", bar(amount, most, 13))), 23)
end

local function show_months(months, most)
  heading "Sales by month in euros, from the view restaurant.OrderedItems"
  local line, totals = pad("", 4), {}
  for _, name in ipairs(NAMES) do line = line .. pad("  " .. name, 24) end
  say(paint("dim", (line:gsub(" +$", ""))))
  for month, name in ipairs(MONTHS) do
    if months[month] then
      line = pad(name, 4)
      for wsid = 1, #NAMES do
        local amount = months[month][wsid]
        line = line .. month_cell(amount, most.amount) .. " "
        totals[wsid] = (totals[wsid] or 0) + (amount or 0)
      end
      say((line:gsub(" +$", "")))
    end
  end
  line = pad("", 4)
  for wsid = 1, #NAMES do line = line .. pad(("%8s"):format(money(totals[wsid] or 0)), 24) end
  say(paint("bold", (line:gsub(" +$", ""))))
end

local function show_days(days, best)
  local name = NAMES[best.wsid] or "workspace " .. best.wsid
  heading(("The best month, day by day: %s in %s"):format(name, MONTHS[best.month]))
  local list, most = {}, 0
  for _, day in ipairs(days) do
    if day.wsid == best.wsid and day.key.Month == best.month then
      list[#list + 1] = day
      most = math.max(most, day.value.Amount)
    end
  end
  for _, day in ipairs(list) do
    local k = day.key
    local date = os.time { year = k.Year, month = k.Month, day = k.Day, hour = 12 }
    say(("%s %2d %9s "):format(os.date("%a", date), k.Day, money(day.value.Amount)),
      paint("blue", bar(day.value.Amount, most, 58)))
  end
end

local function show_popular(articles, popularity)
  local names, list = {}, {}
  for _, article in ipairs(articles) do
    names[article.wsid .. "/" .. article.id] = article.fields.Name
  end
  for _, row in ipairs(popularity) do
    list[#list + 1] = { names[row.wsid .. "/" .. row.key.Article] or "?", row.value.Quantity }
  end
  table.sort(list, function(a, b)
    if a[2] ~= b[2] then return a[2] > b[2] end
    return a[1] < b[1]
  end)
  heading "The most popular articles, from the view restaurant.Popularity"
  for i = 1, math.min(8, #list) do
    local name, count = list[i][1], list[i][2]
    say(pad(cut(name, 27), 28), ("%4d "):format(count), paint("blue", bar(count, list[1][2], 42)))
  end
end

-- What was refused, by status and code, each with its shortest message.
local function refusals()
  local kinds, list, count = {}, {}, 0
  for _, reply in ipairs(replies) do
    if reply.error then
      local name, message = reply.status .. " " .. reply.error.code, reply.error.message
      local kind = kinds[name]
      if not kind then
        kind = { name = name, count = 0, message = message }
        kinds[name] = kind
        list[#list + 1] = kind
      end
      kind.count = kind.count + 1
      if #message < #kind.message then kind.message = message end
      count = count + 1
    end
  end
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return a.name < b.name
  end)
  return list, count
end

local function show_outcome()
  local list, count = refusals()
  heading(("%d requests: %d accepted, %d refused, of which nothing remains"):format(#replies,
    #replies - count, count))
  for _, kind in ipairs(list) do
    say(("%3d  "):format(kind.count), paint("red", pad(kind.name, 22)),
      paint("dim", cut(kind.message, WIDTH - 29)))
  end
end

local function show_next()
  local stator, image = os.getenv "DEMO_STATOR", os.getenv "DEMO_IMAGE"
  heading "Try next: fill a folder with data, then ask it"
  say(("%s run %s --data /tmp/menu \\"):format(stator, image))
  say(("  < %s/requests.jsonl"):format(image))
  say [[echo '{"id":1,"wsid":1,"query":"restaurant.Sales","args":{"Year":2026}}' \]]
  say(("  | %s run %s --data /tmp/menu"):format(stator, image))
  io.write "\n"
end

local function seconds()
  local began, ended = (os.getenv "DEMO_SECONDS" or ""):match "^([%d.]+) ([%d.]+)$"
  return began and (" in %.2f s"):format(tonumber(ended) - tonumber(began)) or ""
end

local days = json.lines(work .. "/days")
local months, best = by_month(days)
io.write "\n"
say(paint("bold", "Stator, the restaurant example: "),
  ("%d requests for %d restaurants%s"):format(#replies, #NAMES, seconds()))
show_exchanges()
if best.month then
  show_months(months, best)
  show_days(days, best)
  show_popular(json.lines(work .. "/articles"), json.lines(work .. "/popularity"))
end
show_outcome()
show_next()
