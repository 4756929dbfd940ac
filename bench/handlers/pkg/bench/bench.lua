local state = require "stator.state"

local Sums, Texts = state.view "Sums", state.view "Texts"

local M = {}

function M.Empty() end

-- Reads four fields, and puts a value of four.
function M.Handle()
  local seen, sums = state.get(Sums(2026, 5)), state.new(Sums(2026, 6))
  sums.A = seen and seen.A + 1 or 1
  sums.B = seen and seen.B + 1 or 1
  sums.C = seen and seen.C + 1 or 1
  sums.D = seen and seen.D + 1 or 1
end

function M.WriteTexts()
  state.new(Texts(2026, 5), { Text = ("x"):rep(500) })
end

function M.Text()
  local row = state.must_get(Texts(2026, 5))
  if #row.Text ~= 500 then error "another text" end
end

function M.Nested(order)
  local total = 0
  for _, item in order.Items:each() do
    total = total + item.Quantity * item.SinglePrice
  end
  if total ~= 550 then error "another total" end
end

return M
