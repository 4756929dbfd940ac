--- The restaurant's extensions.

local state = require "stator.state"

local OrderedItems = state.view "restaurant.OrderedItems"
local Popularity = state.view "restaurant.Popularity"

local M = {}

local function total_of(order)
  local total = 0
  for _, item in order.Items:each() do
    total = total + item.Quantity * item.SinglePrice
  end
  return total
end

--- COMMAND NewOrder(Order): an order without a price is a mistake.
function M.NewOrder(order)
  local total = total_of(order)
  if total <= 0 then error "an order has a total above zero" end
  state.result { Total = total }
end

--- SYNC PROJECTOR: the amount of each day is right as soon as the order is accepted.
function M.CalcOrderedItems(event)
  local order = event.ArgumentObject
  local key = OrderedItems { Year = order.Year, Month = order.Month, Day = order.Day }
  local total = total_of(order)
  local seen = state.get(key)
  if seen then
    state.update(key, seen).Amount = seen.Amount + total
  else
    state.new(key).Amount = total
  end
end

--- PROJECTOR: counts what was sold of each article.
function M.CalcPopularity(event)
  local order = event.ArgumentObject
  for _, item in order.Items:each() do
    if item.Article then
      local key = Popularity { Year = order.Year, Article = item.Article }
      local again, seen = state.find_intent(key), state.get(key)
      if again then
        again.Quantity = again.Quantity + item.Quantity
      elseif seen then
        state.update(key, seen).Quantity = seen.Quantity + item.Quantity
      else
        state.new(key).Quantity = item.Quantity
      end
    end
  end
end

local function give(month, days, amount)
  if month then state.result { Month = month, Days = days, Amount = amount } end
end

--- QUERY Sales: the months of a year, or one of them.
function M.Sales(args)
  local month, days, amount
  for key, day in state.read(OrderedItems { Year = args.Year, Month = args.Month }) do
    if key.Month ~= month then
      give(month, days, amount)
      month, days, amount = key.Month, 0, 0
    end
    days = days + 1
    amount = amount + day.Amount
  end
  give(month, days, amount)
end

return M
