local state = require "stator.state"

local Counter = state.storage "bench.Counter"

local M = {}

function M.Count(args) state.new(Counter { Name = args.Name }, { Add = 1 }) end

function M.Get(args) state.get(Counter { Name = args.Name }) end

return M
