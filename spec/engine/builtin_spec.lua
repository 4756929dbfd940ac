local stator = require "support.stator"

local SCHEMA = [[
  TABLE Article INHERITS sys.CDoc (Name varchar NOT NULL);
  TYPE PutParams (Name varchar NOT NULL, Article ref(Article));
  TYPE PutResult (Size int32 NOT NULL);
  VIEW Count (First int32 NOT NULL, One int32 NOT NULL, Times int64,
    PRIMARY KEY ((First), One)) AS RESULT OF CountNames;
  TYPE CountRow (First int32, Times int64);
  EXTENSION ENGINE BUILTIN (
    COMMAND Put(PutParams) INTENTS(sys.Record(Article), sys.Result) RETURNS PutResult;
    COMMAND Wrong();
    SYNC PROJECTOR CountNames AFTER EXECUTE ON Put INTENTS(sys.View(Count));
    QUERY Counts STATE(sys.View(Count)) RETURNS CountRow;
  );]]

-- Compiles the program against the shared library, and runs it.
local function embed(image, data, lines)
  local program = stator.folder() .. "/embed"
  local code, _, err = stator.shell(("gcc -Wall -Wextra -Werror -Isrc/include %s "
    .. "spec/fixtures/embed.c -o %s -L%s -lstator -Wl,-rpath,%s"):format(
    stator.sanitized and "-fsanitize=address,undefined" or "", program, stator.build, stator.build))
  assert.equal(0, code, err)
  stator.write(program .. ".in", table.concat(lines, "\n") .. "\n")
  return stator.shell(("env -u LD_PRELOAD %s %s %s < %s.in"):format(program, image, data, program))
end

describe("the builtin engine", function()
  after_each(stator.clean)

  it("runs functions that an embedder registers in C", function()
    local image = stator.shop(SCHEMA, "")
    local code, out, err = embed(image, stator.folder(), {
      '{"id":1,"wsid":1,"command":"shop.Put","args":{"Name":"Tea"}}',
      '{"id":2,"wsid":1,"command":"shop.Put","args":{"Name":"Toast","Article":200001}}',
      '{"id":3,"wsid":1,"command":"shop.Put","args":{"Name":"Ale"}}',
      '{"id":4,"wsid":1,"query":"shop.Counts"}',
      '{"id":5,"wsid":1,"command":"shop.Wrong"}',
    })
    assert.equal("", err)
    assert.equal(0, code)
    assert.equal([[
{"id":1,"status":200,"offset":1,"new_ids":{"1":200001},"result":{"Size":3}}
{"id":2,"status":200,"offset":2,"result":{"Size":5}}
{"id":3,"status":200,"offset":3,"new_ids":{"1":200002},"result":{"Size":3}}
{"id":4,"status":200,"rows":[{"First":84,"Times":2},{"First":65,"Times":1}]}
{"id":5,"status":500,"error":{"code":"EXTENSION_FAILED","message":]]
      .. [["shop.Wrong: no view is called shop.Cuont; did you mean shop.Count?"}}
3
]], out)
  end)

  it("is refused by name when the embedder registers no such function", function()
    local image = stator.shop(SCHEMA:gsub("COMMAND Wrong%(%);", "COMMAND Missing();"), "")
    local code, _, err = embed(image, stator.folder(), {})
    assert.equal(1, code)
    assert.matches("^IMAGE .-shop.vsql:11:%d+: shop.Missing: the embedder registers no such "
      .. "builtin extension\n$", err)
  end)
end)
