local ffi = require "ffi"
local lib = require "support.lib"

ffi.cdef [[
typedef struct stator_cron {
  int64_t every_ms; uint64_t seconds, minutes; uint32_t hours, days, months, weekdays;
  bool any_day, any_weekday;
} stator_cron;
bool stator__time_parse(const char *text, size_t size, int64_t *out);
const char *stator__time_show(char *out, int64_t ms);
int stator__cron_parse(stator_cron *out, const char *text, stator_error *err);
int64_t stator__cron_next(const stator_cron *cron, int64_t after);
int64_t stator__cron_last(const stator_cron *cron, int64_t after, int64_t until);
]]
local C = lib.C
local NEVER = 253402300800000LL

local function ms(text)
  local out = ffi.new "int64_t[1]"
  assert(C.stator__time_parse(text, #text, out), text .. " is no time")
  return out[0]
end

local function show(time)
  if time == NEVER then return "never" end
  return ffi.string(C.stator__time_show(ffi.new "char[32]", time))
end

local function parse(text)
  local cron, err = ffi.new "stator_cron", ffi.new "stator_error"
  if C.stator__cron_parse(cron, text, err) ~= 0 then return nil, lib.message(err) end
  return cron
end

-- The first ticks after a time.
local function ticks(text, after, count)
  local cron, at, list = assert(parse(text)), ms(after), {}
  for i = 1, count or 1 do
    at = C.stator__cron_next(cron, at)
    list[i] = show(at)
  end
  return list
end

describe("times", function()
  it("are read and shown", function()
    for _, text in ipairs { "1970-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2000-02-29T12:00:00Z",
      "9999-12-31T23:59:59.999Z", "2026-01-01T00:00:00.250Z", "1999-03-01T00:00:01Z" } do
      assert.equal(text, show(ms(text)))
    end
    assert.equal(1767225600000LL, ms "2026-01-01T00:00:00Z")
    assert.equal(1767225600500LL, ms "2026-01-01T00:00:00.5Z")
  end)

  it("are refused when there is no such time, or when it is not UTC", function()
    for _, text in ipairs { "2026-02-29T00:00:00Z", "1900-01-01T00:00:00Z", "2026-13-01T00:00:00Z",
      "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:00", "2026-01-01",
      "2026-01-01T00:00:00+01:00", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00.Z",
      "2026-01-01T00:00:00.1234Z", "2100-02-29T00:00:00Z", "" } do
      assert.is_false(C.stator__time_parse(text, #text, ffi.new "int64_t[1]"), text)
    end
  end)

  it("agree with the system's calendar on every day of 400 years", function()
    local wrong = {}
    for day = 0, 146097 do
      local text = os.date("!%Y-%m-%dT%H:%M:%SZ", day * 86400)
      if show(day * 86400000LL) ~= text or ms(text) ~= day * 86400000LL then
        wrong[#wrong + 1] = text
      end
    end
    assert.same({}, wrong)
  end)
end)

describe("a schedule", function()
  local cases = {
    { "* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z" },
    { "* * * * *", "2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z" },
    { "*/20 * * * * *", "2026-01-01T00:00:05Z", "2026-01-01T00:00:20Z", "2026-01-01T00:00:40Z",
      "2026-01-01T00:01:00Z" },
    { "30 2 * * *", "2026-01-01T02:30:00Z", "2026-01-02T02:30:00Z" },
    { "5,10-12,58/1 * * * *", "2026-01-01T00:10:00Z", "2026-01-01T00:11:00Z",
      "2026-01-01T00:12:00Z", "2026-01-01T00:58:00Z", "2026-01-01T00:59:00Z",
      "2026-01-01T01:05:00Z" },
    { "0 10-20/5 * * *", "2026-01-01T00:00:00Z", "2026-01-01T10:00:00Z", "2026-01-01T15:00:00Z",
      "2026-01-01T20:00:00Z", "2026-01-02T10:00:00Z" },
    { "0 0 * jan,Mar MON-FRI", "2026-01-30T00:00:00Z", "2026-03-02T00:00:00Z" },
    { "0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z" },
    { "0 0 * * 5-7", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z",
      "2026-01-04T00:00:00Z", "2026-01-09T00:00:00Z" },
    { "0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z" },
    { "59 59 23 31 12 ?", "2026-12-31T23:59:59Z", "2027-12-31T23:59:59Z" },
    { "@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z" },
    { "@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z" },
    { "@midnight", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z" },
    { "@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z" },
    { "@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z" },
    { "@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z" },
    { "@annually", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z" },
    { "@every 1h30m", "2026-01-01T00:00:10Z", "2026-01-01T01:30:10Z", "2026-01-01T03:00:10Z" },
    { "@every 1500ms", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01.500Z" },
  }
  for _, case in ipairs(cases) do
    local text, after = case[1], case[2]
    it(("%s ticks after %s"):format(text, after), function()
      assert.same({ unpack(case, 3) }, ticks(text, after, #case - 2))
    end)
  end

  it("meets February 29 in leap years only", function()
    assert.same({ "2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z" },
      ticks("0 0 29 2 *", "2026-01-01T00:00:00Z", 2))
    assert.same({ "2104-02-29T00:00:00Z" }, ticks("0 0 29 2 *", "2096-03-01T00:00:00Z"))
  end)

  it("is due on the day of the month or of the week when both are given", function()
    assert.same({ "2026-01-05T00:00:00Z", "2026-01-12T00:00:00Z", "2026-01-13T00:00:00Z" },
      ticks("0 0 13 * MON", "2026-01-01T00:00:00Z", 3))
  end)

  it("is due on days that are both when one of the fields begins with a star", function()
    assert.same({ "2026-01-05T00:00:00Z", "2026-01-19T00:00:00Z" },
      ticks("0 0 */2 * MON", "2026-01-01T00:00:00Z", 2))
    assert.same({ "2026-01-13T00:00:00Z" }, ticks("0 0 13 * *", "2026-01-01T00:00:00Z"))
  end)

  it("ends with the year 9999", function()
    assert.same({ "never" }, ticks("@yearly", "9999-01-01T00:00:00Z"))
    assert.same({ "never" }, ticks("@every 1h", "9999-12-31T23:00:00Z"))
  end)

  it("agrees with a search second by second", function()
    local function matches(at, text)
      local d = os.date("!*t", tonumber(at / 1000))
      if text == "*/7 3,9-11 */5 * * *" then
        return d.sec % 7 == 0 and (d.min == 3 or d.min >= 9 and d.min <= 11) and d.hour % 5 == 0
      end
      return d.sec == 0 and d.min % 15 == 0 and d.hour >= 8 and d.hour <= 17 and d.wday >= 2
        and d.wday <= 6
    end
    for _, text in ipairs { "*/7 3,9-11 */5 * * *", "*/15 8-17 * * MON-FRI" } do
      local cron, at = parse(text), ms "2026-02-27T16:00:00Z"
      local found = C.stator__cron_next(cron, at)
      for _ = 1, 300000 do
        at = at + 1000
        if matches(at, text) then
          assert.equal(show(at), show(found))
          found = C.stator__cron_next(cron, at)
        end
      end
    end
  end)

  it("tells the last of several ticks that were missed", function()
    local function last(text, after, until_)
      return show(C.stator__cron_last(parse(text), ms(after), ms(until_)))
    end
    assert.equal("2026-01-03T02:00:00Z",
      last("0 2 * * *", "2026-01-01T02:00:00Z", "2026-01-04T01:59:59Z"))
    assert.equal("2026-01-01T02:00:00Z",
      last("0 2 * * *", "2026-01-01T02:00:00Z", "2026-01-01T23:00:00Z"))
    assert.equal("2026-01-01T00:00:50Z",
      last("@every 25s", "2026-01-01T00:00:00Z", "2026-01-01T00:00:59Z"))
    assert.equal("2056-05-05T05:05:05Z",
      last("* * * * * *", "2026-01-01T00:00:00Z", "2056-05-05T05:05:05.900Z"))
  end)

  local wrong = {
    ["* * * *"] = "found 4", ["* * * * * * *"] = "found 7", [""] = "found 0",
    ["60 * * * *"] = 'minute: expected 0 to 59.*found "60"',
    ["* 24 * * *"] = 'hour: expected 0 to 23.*found "24"',
    ["* * 0 * *"] = 'day of the month: expected 1 to 31.*found "0"',
    ["* * * 13 *"] = 'month: expected 1 to 12.*found "13"',
    ["* * * MAI *"] = 'month: .*a name as JAN.*found "MAI"',
    ["* * * * 8"] = 'day of the week: expected 0 to 7.*found "8"',
    ["60 * * * * *"] = 'second: expected 0 to 59.*found "60"',
    ["5-1 * * * *"] = 'found "5%-1"', ["*/0 * * * *"] = 'found "%*/0"',
    ["1, * * * *"] = 'found ""', ["1-2-3 * * * *"] = 'found "1%-2%-3"',
    ["*5 * * * *"] = 'found "%*5"', ["-1 * * * *"] = 'found "%-1"',
    ["a * * * *"] = 'found "a"', ["1/x * * * *"] = 'found "1/x"',
    ["99999999999999999999 * * * *"] = "minute: expected",
    ["0 0 30 2 *"] = "there is no such day in any year",
    ["0 0 31 4,6,9,11 *"] = "there is no such day in any year",
    ["TZ=Asia/Tokyo 0 0 * * *"] = "times are UTC",
    ["@dayly"] = "did you mean @daily", ["@every"] = "expected @every 1h30m",
    ["@every 5"] = 'found "5"', ["@every -5s"] = 'found "%-5s"', ["@every 5x"] = 'found "5x"',
    ["@every 999ms"] = "from 1s on", ["@every 1.2.3s"] = 'found "1.2.3s"',
    ["@every infs"] = 'found "infs"', ["@every 0x5s"] = 'found "0x5s"', ["@every "] = 'found ""',
    ["@every 99999999999999h"] = "@every: expected a time",
  }
  for text, message in pairs(wrong) do
    it(("%q is refused"):format(text), function()
      local cron, said = parse(text)
      assert.is_nil(cron)
      assert.matches(message, said)
    end)
  end
end)
