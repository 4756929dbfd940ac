--- The garages' extensions; Leave is in main.c.

local state = require "stator.state"

local Ticket = state.record "parking.Ticket"
local Earnings = state.view "parking.Earnings"
local Tariff = state.storage "parking.Tariff"

local M = {}

--- COMMAND Park: a ticket, at the price of the zone.
function M.Park(args)
  local tariff = state.get(Tariff { Zone = args.Zone })
  if not tariff then return state.response(409, ("there is no zone %d"):format(args.Zone)) end
  local price = args.Hours * tariff.CentsPerHour
  local ticket = state.new(Ticket {}, { Plate = args.Plate, Zone = args.Zone, Price = price })
  state.result { Ticket = ticket["sys.ID"], Price = price }
end

--- SYNC PROJECTOR CountEarnings: what each zone has earned on a day.
function M.CountEarnings(event)
  for _, ticket in event.CUDs:each() do
    local key = Earnings { Day = event.ArgumentObject.Day, Zone = ticket.Zone }
    local seen = state.get(key)
    if seen then
      local sum = state.update(key, seen)
      sum.Cars, sum.Amount = seen.Cars + 1, seen.Amount + ticket.Price
    else
      state.new(key, { Cars = 1, Amount = ticket.Price })
    end
  end
end

--- QUERY Earned: a row for each zone.
function M.Earned(args)
  for key, sum in state.read(Earnings { Day = args.Day }) do
    state.result { Zone = key.Zone, Cars = sum.Cars, Amount = sum.Amount }
  end
end

return M
