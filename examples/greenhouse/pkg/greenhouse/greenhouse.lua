local state = require "stator.state"

local Readings, Sensors = state.view "Readings", state.view "Sensors"
local Hours, Alarms = state.view "Hours", state.view "Alarms"

local HOUR, SILENCE = 3600, 1800 -- seconds

local M = {}

-- The event keeps what was reported; there is nothing to decide.
function M.Report() end

function M.KeepReading(event)
  local reading, at = event.ArgumentObject, event.RegisteredAt
  local hour = math.floor(at / 1000 / HOUR)
  state.new(Readings { Hour = hour, At = at, Sensor = reading.Sensor },
    { Celsius = reading.Celsius })
  state.new(Sensors { House = 1, Sensor = reading.Sensor }, { LastAt = at })
end

-- The tick of 07:00 is for the hour from 06:00.
function M.Summarise(context)
  local hour = context.UnixTime / HOUR - 1
  local count, lowest, highest = 0, nil, nil
  for _, row in state.read(Readings { Hour = hour }) do
    count = count + 1
    lowest = math.min(lowest or row.Celsius, row.Celsius)
    highest = math.max(highest or row.Celsius, row.Celsius)
  end
  state.new(Hours { House = 1, Hour = hour },
    { Readings = count, Lowest = lowest, Highest = highest })
end

function M.Watch(context)
  for key, sensor in state.read(Sensors { House = 1 }) do
    if sensor.LastAt <= (context.UnixTime - SILENCE) * 1000 then
      state.new(Alarms { House = 1, At = context.UnixTime * 1000, Sensor = key.Sensor },
        { LastAt = sensor.LastAt })
    end
  end
end

function M.ListHours()
  for key, row in state.read(Hours { House = 1 }) do
    state.result { Hour = key.Hour, Readings = row.Readings, Lowest = row.Lowest,
      Highest = row.Highest }
  end
end

function M.ListAlarms()
  for key, row in state.read(Alarms { House = 1 }) do
    state.result { At = key.At, Sensor = key.Sensor, LastAt = row.LastAt }
  end
end

return M
