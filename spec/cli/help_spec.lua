-- The command line itself: help, unknown words, exit codes, and what goes where.

local stator = require "support.stator"

local quote = stator.quote

local function stator_with(arguments)
  return stator.shell(stator.command .. " " .. arguments .. " < /dev/null")
end

local COMMANDS = { "run", "check", "dump", "projectors", "stat", "backup", "restore", "verify" }

local function good_image()
  return stator.shop("EXTENSION ENGINE LUA ( COMMAND Nop(); );", "function M.Nop() end")
end

-- Runs a line of shell after the first reply of a run that is still open; it is in `$reply`.
local function while_running(image, data, line)
  return stator.shell(([[
    cd %s && mkfifo in out && cd - > /dev/null
    timeout 20 %s run %s --data %s < %s/in > %s/out 3>&- & exec 3> %s/in 4< %s/out
    echo '{"id":1,"wsid":1,"command":"shop.Nop"}' >&3
    read -r reply <&4
    %s
    code=$?; exec 3>&-; wait; exit $code]]):format(quote(data), stator.command, quote(image),
    quote(data), quote(data), quote(data), quote(data), quote(data), line))
end

describe("stator --help", function()
  after_each(stator.clean)

  it("goes to stdout with exit code 0", function()
    local code, out, err = stator_with "--help"
    assert.same({ 0, "" }, { code, err })
    assert.is_true(#out > 0)
  end)

  for _, name in ipairs { "-h", "help" } do
    it("is the same as stator " .. name, function()
      local _, expected = stator_with "--help"
      local code, out, err = stator_with(name)
      assert.same({ 0, expected, "" }, { code, out, err })
    end)
  end

  for _, name in ipairs(COMMANDS) do
    it("shows an example of " .. name, function()
      local _, out = stator_with "--help"
      assert.is_truthy(out:find("stator " .. name .. " examples/", 1, true), out)
    end)

    it("has " .. name .. " in its list of commands", function()
      local _, out = stator_with "--help"
      assert.is_truthy(out:match("\nCommands:(.*)"):match("\n  " .. name .. " +%l"), out)
    end)
  end

  it("says what the exit codes mean", function()
    local _, out = stator_with "--help"
    assert.is_truthy(out:find("Exit codes: 0 fine, 1 something is wrong,\n2 the command line",
      1, true), out)
  end)

  it("has examples that work", function()
    local _, out = stator_with "--help"
    local image = out:match "stator check (examples/%S+)"
    assert.same({ 0, "", "" }, { stator_with("check " .. image) })
    local data = stator.folder()
    assert.equal(0, (stator_with(("run %s --data %s"):format(image, quote(data)))))
    local what = out:match "stator dump [^\n]*\\\n%s+(view [^\n]+)"
    assert.same({ 0, "", "" }, { stator_with(("dump %s --data %s %s"):format(image, quote(data),
      what)) })
  end)

  it("has lines of 80 columns at most", function()
    for _, arguments in ipairs { "--help", "run --help", "check --help", "dump --help",
      "projectors --help" } do
      local _, out = stator_with(arguments)
      for line in out:gmatch "[^\n]+" do assert.is_true(#line <= 80, line) end
    end
  end)
end)

describe("stator COMMAND --help", function()
  for _, name in ipairs(COMMANDS) do
    it("of " .. name .. " goes to stdout and begins with its use", function()
      local code, out, err = stator_with(name .. " --help")
      assert.same({ 0, "" }, { code, err })
      assert.is_truthy(out:match("^stator " .. name .. " IMAGE"), out)
    end)

    it("of " .. name .. " is the same for -h", function()
      local _, expected = stator_with(name .. " --help")
      local code, out = stator_with(name .. " -h")
      assert.same({ 0, expected }, { code, out })
    end)

    it("of " .. name .. " is given behind other arguments too", function()
      local _, expected = stator_with(name .. " --help")
      local code, out = stator_with(name .. " somewhere --help")
      assert.same({ 0, expected }, { code, out })
    end)
  end

  it("of run names its options", function()
    local _, out = stator_with "run --help"
    assert.is_truthy(out:find("\n--data ", 1, true), out)
    assert.is_truthy(out:find("\n--partitions ", 1, true), out)
  end)

  it("of run shows a command, a query and their replies", function()
    local _, out = stator_with "run --help"
    for _, text in ipairs { '"command":', '"query":', '"cuds":', '"offset":1', '"rows":',
      '"error":' } do
      assert.is_truthy(out:find(text, 1, true), text)
    end
  end)

  it("of dump names what can be dumped and its options", function()
    local _, out = stator_with "dump --help"
    for _, text in ipairs { "view", "record", "wlog", "plog", "--wsid", "--partition" } do
      assert.is_truthy(out:find(text, 1, true), text)
    end
  end)

  it("of check shows a fault and says what the exit code is", function()
    local _, out = stator_with "check --help"
    assert.is_truthy(out:match "%.vsql:%d+:%d+: ", out)
    assert.is_truthy(out:find("Exit code 0", 1, true), out)
  end)
end)

describe("stator --version", function()
  it("goes to stdout", function()
    local code, out, err = stator_with "--version"
    assert.same({ 0, "" }, { code, err })
    assert.is_truthy(out:match "^stator %d+%.%d+%.%d+\n$", out)
  end)
end)

describe("a wrong command line", function()
  after_each(stator.clean)

  -- What is said on stderr, with exit code 2 and nothing on stdout.
  local function refuses(sentence, arguments, message)
    it("is refused for " .. sentence, function()
      assert.same({ 2, "", "stator: " .. message .. "\n" }, { stator_with(arguments) })
    end)
  end

  it("without any words gives the help on stderr", function()
    local _, help = stator_with "--help"
    assert.same({ 2, "", help }, { stator_with "" })
  end)

  refuses("an unknown command", "deploy", 'no command "deploy"; see `stator --help`')
  refuses("an unknown option in front", "--verbose run",
    'no command "--verbose"; see `stator --help`')
  refuses("run without anything", "run", "run: needs IMAGE and --data DIR")
  refuses("run without data", "run image", "run: needs IMAGE and --data DIR")
  refuses("run without an image", "run --data d", "run: needs IMAGE and --data DIR")
  refuses("run with --data without its value", "run image --data", "run: --data needs a value")
  refuses("run with an unknown option", "run image --data d --quick",
    "run: no option --quick; see `stator run --help`")
  refuses("run with --partitions without its value", "run image --data d --partitions",
    "run: --partitions needs a value")
  for value, sentence in pairs {
    ["0"] = "no partitions", ["65536"] = "too many partitions", x = "partitions that are a word",
    ["-1"] = "minus one partition", ["1.5"] = "half a partition", ["2x"] = "a number with a letter",
  } do
    it("is refused for run with " .. sentence, function()
      local code, out, err = stator_with("run image --data d --partitions " .. value)
      assert.same({ 2, "" }, { code, out })
      assert.is_truthy(err:find(
        ('--partitions: expected a whole number from 1 to 65535, found "%s"\n'):format(value), 1,
        true), err)
    end)
  end
  refuses("a wrong value, with the name of the command", "run image --data d --partitions x",
    'run: --partitions: expected a whole number from 1 to 65535, found "x"')
  refuses("check without an image", "check", "check: which IMAGE?")
  refuses("check with two images", "check one two",
    'check: unexpected "two"; see `stator check --help`')
  refuses("check with an unknown option", "check --deep image",
    "check: no option --deep; see `stator check --help`")
  refuses("check with an option of run", "check image --watch",
    "check: no option --watch; see `stator check --help`")
  refuses("projectors without data", "projectors image", "projectors: needs IMAGE and --data DIR")
  refuses("projectors with two orders", "projectors image --data d --retry --skip 3",
    "projectors: only one of --retry, --skip and --rebuild")
  refuses("projectors with a word in the place of an offset",
    "projectors image --data d --skip first", "projectors: --skip: expected a whole number from 1 "
    .. 'to 9223372036854775807, found "first"')
  refuses("projectors with --rebuild without its value", "projectors image --data d --rebuild",
    "projectors: --rebuild needs a value")
  refuses("dump without anything", "dump",
    "dump: needs IMAGE, --data DIR and what to dump; see `stator dump --help`")
  refuses("dump with an option of run", "dump image --data d wlog --partitions 2",
    "dump: no option --partitions; see `stator dump --help`")

  it("makes no data", function()
    local data = stator.folder() .. "/data"
    stator_with(("run %s --data %s --partitions x"):format(quote(good_image()), quote(data)))
    assert.not_equal(0, (stator.shell("test -e " .. quote(data))))
  end)
end)

describe("an exit code", function()
  after_each(stator.clean)

  it("is 0 for a run without requests, which makes the data", function()
    local data = stator.folder() .. "/new/data"
    assert.same({ 0, "", "" }, { stator_with(("run %s --data %s"):format(quote(good_image()),
      quote(data))) })
    assert.equal(0, (stator.shell("test -d " .. quote(data))))
  end)

  it("is 0 for a run in which all requests fail", function()
    local replies, _, err, code = stator.try(good_image(), { "nonsense", "{}" })
    assert.same({ 0, "", 400, 400 }, { code, err, replies[1].status, replies[2].status })
  end)

  it("is 1 for an image that is not there, with the reason on stderr", function()
    local code, out, err = stator_with("run nowhere --data " .. quote(stator.folder()))
    assert.same({ 1, "" }, { code, out })
    assert.is_truthy(err:match "^nowhere:1:1: there is no such folder", err)
  end)

  it("is 1 for a check that finds something, which it says on stdout", function()
    local code, out, err = stator_with "check nowhere"
    assert.same({ 1, "" }, { code, err })
    assert.is_truthy(out:match "^nowhere:1:1: there is no such folder", out)
  end)

  it("is 1 for data that cannot be made, with the reason on stderr", function()
    local file = stator.folder() .. "/file"
    stator.write(file, "x")
    local code, out, err = stator_with(("run %s --data %s"):format(quote(good_image()),
      quote(file)))
    assert.same({ 1, "" }, { code, out })
    assert.is_truthy(err:match "^stator: run: .*file.*: Not a directory\n$", err)
  end)

  it("is 1 for data that another run has open, which it says", function()
    local image, data = good_image(), stator.folder()
    local code, out, err = while_running(image, data, ("%s run %s --data %s < /dev/null"):format(
      stator.command, quote(image), quote(data)))
    assert.same({ 1, "" }, { code, out })
    assert.is_truthy(err:match "^stator: run: [^\n]+\n$", err)
  end)
end)

describe("the command line", function()
  after_each(stator.clean)

  it("takes options in any order and with an equals sign", function()
    local image, data = quote(good_image()), stator.folder()
    for _, arguments in ipairs { "--data %s %s", "--data=%s %s", "--partitions=1 --data %s %s" } do
      assert.same({ 0, "", "" }, { stator_with("run " .. arguments:format(quote(data), image)) })
    end
  end)

  it("takes a last line without its end", function()
    local _, out = stator.shell(
      ([[printf '{"id":1,"wsid":1,"command":"shop.Nop"}' | %s run %s --data %s]]):format(
        stator.command, quote(good_image()), quote(stator.folder())))
    assert.equal('{"id":1,"status":200,"offset":1}\n', out)
  end)

  it("takes lines with ends of two characters, and empty ones", function()
    local _, out = stator.shell(
      ([[printf '\r\n{"id":1,"wsid":1,"command":"shop.Nop"}\r\n\n  \n' | %s run %s --data %s]])
        :format(stator.command, quote(good_image()), quote(stator.folder())))
    assert.equal('{"id":1,"status":200,"offset":1}\n', out)
  end)

  it("replies before the input ends", function()
    local code, out, err = while_running(good_image(), stator.folder(), 'echo "$reply"')
    assert.same({ 0, '{"id":1,"status":200,"offset":1}\n', "" }, { code, out, err })
  end)

  it("lets dump read what a run has open", function()
    local image, data = good_image(), stator.folder()
    local code, out, err = while_running(image, data, ("%s dump %s --data %s wlog"):format(
      stator.command, quote(image), quote(data)))
    assert.same({ 0, '{"wsid":1,"offset":1,"plog_offset":1,"partition":0,"qname":"shop.Nop",\z
      "args":{},"cuds":[]}\n', "" }, { code, out, err })
  end)
end)
