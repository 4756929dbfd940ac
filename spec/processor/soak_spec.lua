-- A long life in short: commands, queries, asynchronous projectors, extensions that fail in
-- every way, checkpoints, backups and upgrades, round after round. Memory and descriptors at
-- the end are those of the time behind the warm-up, and the data is what its events make of it.
-- `make soak` does more rounds: STATOR_SOAK=200.

local stator = require "support.stator"

-- Sanitizers make everything slow, and keep what was freed for a while.
local ROUNDS = tonumber(os.getenv "STATOR_SOAK") or stator.sanitized and 8 or 24
local MORE_KB, MORE = stator.sanitized and 400000 or 4096, stator.sanitized and 300 or 3

local SCHEMA = [[
  TYPE P ( N int64, How varchar(20) );
  TABLE Article INHERITS sys.CDoc ( Name varchar(40) NOT NULL, Price int64, UNIQUEFIELD Name );
  VIEW Seen ( One int32 NOT NULL, N int64 NOT NULL, Times int64, Text varchar(600),
    PRIMARY KEY ((One), N) ) AS RESULT OF Note;
  VIEW Later ( One int32 NOT NULL, N int64 NOT NULL, Times int64, PRIMARY KEY ((One), N) )
    AS RESULT OF NoteLater;
  EXTENSION ENGINE LUA (
    COMMAND Hit(P) INTENTS(sys.Record(Article));
    COMMAND Fail(P);
    SYNC PROJECTOR Note AFTER EXECUTE ON Hit INTENTS(sys.View(Seen));
    PROJECTOR NoteLater AFTER EXECUTE ON Hit INTENTS(sys.View(Later));
    QUERY Ask(P) STATE(sys.View(Seen, Later), sys.Uniq(Article)) RETURNS P;
  );]]

local MODULE = [[
-- Version %d.
local Seen, Later = state.view "Seen", state.view "Later"
local Article = state.record "Article"
local Names = state.storage("sys.Uniq", "Article")

local function add(key, text)
  local seen = state.get(key)
  if seen then
    state.update(key, seen, { Times = seen.Times + 1, Text = text })
  else
    state.new(key, { Times = 1, Text = text })
  end
end

function M.Hit(args)
  if args.N %% 7 == 0 then
    state.new(Article {}, { Name = "article " .. tostring(args.N), Price = args.N })
  end
end

function M.Note(event)
  local n = event.ArgumentObject.N
  add(Seen { One = 1, N = n %% 300 }, ("text "):rep(100) .. tostring(n))
end

function M.NoteLater(event)
  local n = event.ArgumentObject.N
  add(Later { One = 1, N = n %% 100 })
end

local ways = {}
function ways.error() error "failed" end
function ways.table() error { code = 5 } end
function ways.memory() local t = {}; for i = 1, 1e9 do t[i] = { i } end end
function ways.time() while true do end end
function ways.recursion() local function f() return 1 + f() end return f() end
function ways.string() local s = "x"; while true do s = s .. s end end
function M.Fail(args) ways[args.How]() end

function M.Ask(args)
  local n = 0
  for _, row in state.read(Seen { One = 1 }) do n = n + row.Times end
  for _, row in state.read(Later { One = 1 }, { limit = 10 }) do n = n + row.Times end
  state.get(Names { Name = "article " .. tostring(args.N) })
  state.result { N = n }
end]]

-- Little of everything, so that limits are reached and checkpoints follow one another.
local DESCRIPTOR = [[{"log":{"memoryMB":3},"limits":{"memoryMB":16,"timeMs":{"command":50},
  "breaches":1000000}}]]

local WAYS = { "error", "table", "memory", "time", "recursion", "string" }

local function round(i)
  local lines = {}
  local function add(r) lines[#lines + 1] = stator.json.encode(r) .. "\n" end
  for k = 1, 350 do
    local n = i * 1000 + k
    add { id = n, wsid = 1 + k % 5, command = "shop.Hit", args = { N = n } }
    if k % 10 == 0 then
      add { id = n, wsid = 1 + k % 5, query = "shop.Ask", args = { N = n } }
    end
    if k % 50 == 0 then
      add { id = n, wsid = 1 + k % 5, command = "shop.Fail",
        args = { N = 1, How = WAYS[1 + (k / 50) % #WAYS] } }
    end
    if k % 100 == 0 then add { id = n, wsid = 1, command = "shop.Nothing" } end
  end
  return table.concat(lines), #lines
end

local SCRIPT = [[
set -e
cd %s
mkfifo in
%s run %s --data data --partitions 2 --watch < in > out 2> err &
pid=$!
exec 3> in
sent=0
for round in $(seq %d); do
  cat round.$round >&3
  sent=$((sent + $(wc -l < round.$round)))
  for _ in $(seq 6000); do [ "$(wc -l < out)" -ge $sent ] && break; sleep 0.01; done
  [ "$(wc -l < out)" -ge $sent ]
  mv module.$round %s/pkg/shop/shop.lua
  for _ in $(seq 6000); do
    [ "$(grep -c 'deployed anew' err)" -ge $round ] && break; sleep 0.01
  done
  [ "$(grep -c 'deployed anew' err)" -ge $round ]
  %s backup %s --data data --to backup > /dev/null
  rm -r backup
  echo $(awk '/^RssAnon/ { print $2 }' /proc/$pid/status) $(ls /proc/$pid/fd | wc -l) \
    $(wc -l < /proc/$pid/maps) $(ls /proc/$pid/task | wc -l)
done
exec 3>&-
wait $pid
%s verify %s --data data
]]

-- The most of a column from one round to another.
local function most(samples, column, from, to)
  local found = 0
  for i = math.floor(from), math.floor(to) do found = math.max(found, samples[i][column]) end
  return found
end

describe("a long life #soak", function()
  after_each(stator.clean)

  it("needs no more at its end than behind its beginning", function()
    local image = stator.shop(SCHEMA, MODULE:format(0), { ["descriptor.json"] = DESCRIPTOR })
    local folder = stator.folder(true)
    local first = stator.read(image .. "/pkg/shop/shop.lua")
    local requests = 0
    for i = 1, ROUNDS do
      local text, count = round(i)
      requests = requests + count
      stator.write(("%s/round.%d"):format(folder, i), text)
      stator.write(("%s/module.%d"):format(folder, i),
        (first:gsub("Version %d+", "Version " .. i)))
    end
    stator.write(folder .. "/script", SCRIPT:format(stator.quote(folder), stator.command,
      stator.quote(image), ROUNDS, stator.quote(image), stator.command, stator.quote(image),
      stator.command, stator.quote(image)))
    local code, out, err = stator.shell("bash " .. folder .. "/script")
    assert.equal(0, code, out .. err .. stator.read(folder .. "/err"))

    local samples = {}
    for kb, fds, maps, threads in out:gmatch "(%d+) (%d+) (%d+) (%d+)\n" do
      samples[#samples + 1] = { tonumber(kb), tonumber(fds), tonumber(maps), tonumber(threads) }
    end
    assert.equal(ROUNDS, #samples)
    local statuses = {}
    for status in stator.read(folder .. "/out"):gmatch '"status":(%d+)' do
      statuses[status] = (statuses[status] or 0) + 1
    end
    -- Nothing is lost, and nothing fails but what is to.
    assert.same({ ["200"] = ROUNDS * 385, ["500"] = ROUNDS * 7, ["404"] = ROUNDS * 3 }, statuses)

    local middle = ROUNDS / 2
    assert.is_true(most(samples, 1, middle + 1, ROUNDS)
      <= most(samples, 1, ROUNDS / 4, middle) * 1.1 + MORE_KB, out)
    for column = 2, 4 do
      assert.is_true(most(samples, column, middle + 1, ROUNDS)
        <= most(samples, column, ROUNDS / 4, middle) + MORE, out)
    end
  end)
end)
