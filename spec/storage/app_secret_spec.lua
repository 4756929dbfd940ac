local stator = require "support.stator"

local SCHEMA = [[
  TYPE Named (Name varchar NOT NULL);
  TYPE Found (Content varchar(2000));
  EXTENSION ENGINE LUA ( QUERY Get(Named) STATE(sys.AppSecret) RETURNS Found; );]]

local MODULE = [[
  local Secret = state.storage "sys.AppSecret"
  function M.Get(args)
    local secret = state.get(Secret { Secret = args.Name })
    if secret then state.result { Content = secret.Content } end
  end]]

describe("sys.AppSecret", function()
  after_each(stator.clean)

  local function get(name)
    local folder = stator.folder()
    stator.write(folder .. "/mail", "s3cret\n")
    local image = stator.shop(SCHEMA, MODULE, {
      ["descriptor.json"] = stator.json.encode {
        storages = { ["sys.AppSecret"] = { config = { folder = folder } } } } })
    local replies = stator.try(image, {
      { id = 1, wsid = 1, query = "shop.Get", args = { Name = name } } })
    return replies[1]
  end

  it("gives the content of the file with its name", function()
    assert.same({ { Content = "s3cret\n" } }, get("mail").rows)
  end)

  it("has no secret where there is no file", function()
    assert.same({}, get("other").rows)
  end)

  it("never leaves its folder", function()
    for _, name in ipairs { "../mail", "..", "/etc/passwd", ".hidden" } do
      local reply = get(name)
      assert.equal(500, reply.status)
      assert.matches("expected the name of a file", reply.error.message)
    end
  end)

  it("refuses a configuration that it does not know, by name", function()
    local image = stator.shop(SCHEMA, MODULE, {
      ["descriptor.json"] = '{"storages":{"sys.AppSecret":{"config":{"foldre":"/tmp"}}}}' })
    local lines, code = stator.check(image)
    assert.equal(1, code)
    assert.matches("^descriptor.json:1:50: storage AppSecret: foldre: storage AppSecret has no "
      .. "such configuration; did you mean folder%?$",
      lines[1])
  end)
end)
