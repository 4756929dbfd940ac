--- plugins.lua: plugins compiled for a spec, alone and inside of images.

local stator = require "support.stator"

local M = {}

local FLAGS = "-std=c11 -D_DEFAULT_SOURCE -Wall -Wextra -Werror -g -fPIC -shared "
  .. "-fvisibility=hidden -I"

--- Compiles a plugin: a fixture by its name, or a source by its path. Gives the file,
--- which `stator.clean` removes. `include` has the header, if it is not that of now.
function M.build(name, include)
  local source = name:find "/" and name or ("spec/fixtures/plugins/%s.c"):format(name)
  local file = ("%s/%s.so"):format(stator.folder(), name:match "([%w_]+)%.?c?$")
  local code, _, err = stator.shell(("env -u LD_PRELOAD gcc %s%s -o %s %s -lm"):format(FLAGS,
    include or "src/include", stator.quote(file), source))
  if code ~= 0 then error(err, 2) end
  return file
end

M.THING = [[
STATESTORAGE ENGINE PLUGIN (
  Thing (
    GET SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS),
    GETBATCH SCOPE(COMMANDS, QUERIES, PROJECTORS, JOBS),
    READ SCOPE(QUERIES), INSERT SCOPE(COMMANDS), UPDATE SCOPE(COMMANDS)
  )%s;
);
]]

local SCHEMA = [[
APPLICATION shop ();
%s
WORKSPACE W (
  TYPE Params ( Name varchar NOT NULL, Text varchar );
  EXTENSION ENGINE LUA (
    COMMAND Put(Params) INTENTS(Thing);
    QUERY Get(Params) STATE(Thing) RETURNS Params;
    QUERY All(Params) STATE(Thing) RETURNS Params;
    QUERY Other RETURNS Params;
  );
);
]]

local MODULE = [[
local state = require "stator.state"
local Thing = state.storage "shop.Thing"
local M = {}
function M.Put(args) state.new(Thing { Name = args.Name }, { Text = args.Text }) end
function M.Get(args)
  local seen = state.get(Thing { Name = args.Name })
  if seen then state.result { Name = args.Name, Text = seen.Text } end
end
function M.All(args)
  for key, seen in state.read(Thing { Name = args.Name }) do
    state.result { Name = key.Name, Text = seen.Text }
  end
end
function M.Other() state.result { Name = "other" } end
return M
]]

--- An image "shop" with a plugin, as its file or the name of a fixture. `more` may say
--- otherwise about `declaration`, `schema`, `module` and `descriptor`; a plugin of false
--- is none.
function M.image(plugin, more)
  more = more or {}
  local files = {
    ["pkg/shop/shop.vsql"] = more.schema
      or SCHEMA:format(more.declaration or M.THING:format ""),
    ["pkg/shop/shop.lua"] = more.module or MODULE,
    ["descriptor.json"] = more.descriptor,
  }
  local image = stator.image(files)
  if plugin then
    local file = plugin:find "/" and plugin or M.build(plugin)
    os.execute(("cp %s %s/pkg/shop/storages-1.so"):format(stator.quote(file),
      stator.quote(image)))
  end
  return image
end

--- `stator plugin check`: exit code, its "not ok" lines without their numbers, all its
--- output, and what it says on stderr.
function M.check(file, options)
  local code, out, err = stator.shell(("%s plugin check %s %s"):format(stator.command,
    stator.quote(file), options or ""))
  local failed = {}
  for line in out:gmatch "[^\n]+" do
    failed[#failed + 1] = line:match "^not ok %d+ %- (.*)"
  end
  return code, failed, out, err
end

return M
