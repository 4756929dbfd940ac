local stator = require "support.stator"

local SCHEMA = [[
  TYPE OddParams (N int64 NOT NULL);
  EXTENSION ENGINE BUILTIN ( COMMAND Odd(OddParams); );]]

-- What the program prints.
local function misuse(way)
  local program = stator.folder() .. "/program"
  local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s "
    .. "spec/fixtures/misuse.c -o %s -L%s -lstator -lpthread -Wl,-rpath,%s"):format(
    stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build,
    stator.build))
  assert.equal(0, code, err)
  local status, out, errors = stator.shell(("env -u LD_PRELOAD timeout 120 %s %s %s %s"):format(
    program, way, stator.shop(SCHEMA, ""), stator.folder()))
  assert.equal("", errors)
  assert.equal(0, status, out)
  return out
end

describe("stator.h, used wrongly,", function()
  after_each(stator.clean)

  it("tells of an extension in C what it returned, and nothing of another run", function()
    assert.equal([[
{"id":1,"status":500,"error":{"code":"EXTENSION_FAILED","message":"shop.Odd: the reason"}}
{"id":2,"status":500,"error":{"code":"EXTENSION_FAILED","message":"shop.Odd: ]]
      .. [[the extension raised an error"}}
{"id":3,"status":500,"error":{"code":"EXTENSION_FAILED","message":"shop.Odd: ]]
      .. [[returned 1, which is no error"}}
{"id":4,"status":500,"error":{"code":"EXTENSION_FAILED","message":"shop.Odd: ]]
      .. [[returned -4711, which is no error"}}
{"id":5,"status":500,"error":{"code":"EXTENSION_FAILED","message":"shop.Odd: no thanks"}}
{"id":6,"status":500,"error":{"code":"INVALID","message":"shop.Odd: NULL in place of fields"}}
{"id":7,"status":500,"error":{"code":"EXTENSION_FAILED","message":"shop.Odd: ]]
      .. [[no view is called no.View"}}
{"id":8,"status":200,"offset":1}
]], misuse "ends")
  end)

  it("says which argument is NULL", function()
    assert.equal([[
open: INVALID out is NULL
deploy: INVALID host is NULL
deploy: INVALID image is NULL
deploy: INVALID data is NULL
check: 1
call: -18
call: 400
{"id":null,"status":400,"error":{"code":"BAD_REQUEST","message":"not JSON: the text is empty"}}
jobs: INVALID host is NULL
time: INVALID text is NULL
time: INVALID ms is NULL
partitions: 0
run: INVALID host is NULL
dump: INVALID opts is NULL
dump: INVALID opts: what is NULL
dump: INVALID on_line is NULL
stat: INVALID image is NULL
stat: INVALID data is NULL
verify: INVALID data is NULL
backup: INVALID to is NULL
backup: INVALID to is NULL
backup: INVALID host is NULL
restore: INVALID data is NULL
projectors: INVALID data is NULL
]], misuse "nulls")
  end)

  it("says what is wrong with the options of a host", function()
    assert.equal([[
open: INVALID opts: begin with STATOR_HOST_OPTS_INIT
open: INVALID opts: begin with STATOR_HOST_OPTS_INIT
open: INVALID opts: builtins is NULL, and there are to be 2
open: INVALID opts: builtins[0] has no name, "package.Name"
open: INVALID opts: shop.Odd has no function
open: INVALID opts: shop.Odd is registered twice
open: INVALID opts: plugins[1] is there twice
open: INVALID opts: plugins[0] is NULL
open: INVALID opts: plugin_files[0] is NULL
open: INVALID opts: log_level is 0 to 5, not 6
open: INVALID opts: log_format is 0 to 1, not 2
open: INVALID opts: when_full is 0 to 1, not -1
open: INVALID opts: threads is 0 to 1, not 2
open: INVALID opts: preemption is 0 to 1, not 2
open: INVALID opts: preempt_signal 9 cannot be caught
]], misuse "options")
  end)

  it("says what is wrong with a deployment", function()
    assert.equal([[
elsewhere: INVALID
cut anew: INVALID shop has 1 partition, not 7
cut fine: INVALID opts: partitions is 0 to 65535, not 65536
expected: INVALID opts: expect is one of STATOR_DEPLOY_..., not 3
short: INVALID opts: begin with STATOR_DEPLOY_OPTS_INIT
right: OK
]], misuse "deploys")
  end)

  it("keeps away from data that a host of the same process has, which goes on", function()
    assert.equal(("-18\n"):rep(6) .. [[
in use by this process already; close its host first, or ask it
0
200
0
]], misuse "inside")
  end)
end)
