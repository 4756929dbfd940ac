-- sys.Http, the plugin: what goes over the wire, what comes back, and what goes wrong.

local stator = require "support.stator"
local process = require "fixtures.servers.process"

local SCHEMA = [[
TYPE Params ( Url varchar(4000), Method varchar(40), Header varchar(60000), Body bytes(60000),
  Timeout int64, Handle bool, Times int32, ShowKey bool );
TYPE Row ( StatusCode int32, Body bytes(60000), Header varchar(60000), Error varchar(2000),
  Size int64, Rows int32, Url varchar(4000) );
VIEW Seen ( K int32 NOT NULL, N int64 NOT NULL, Status int32, PRIMARY KEY ((K), N) )
  AS RESULT OF Notice;
EXTENSION ENGINE LUA (
  QUERY Ask(Params) STATE(sys.Http) RETURNS Row;
  QUERY Get(Params) STATE(sys.Http) RETURNS Row;
  COMMAND Do(Params);
  COMMAND DoAsk(Params);
  PROJECTOR Notice AFTER EXECUTE ON Do STATE(sys.Http) INTENTS(sys.View(Seen));
);
]]

local MODULE = [[
local Http, Seen = state.storage "sys.Http", state.view "shop.Seen"

local function key_of(args)
  local headers
  for line in (args.Header or ""):gmatch "[^|]+" do
    headers = headers or {}
    headers[#headers + 1] = line
  end
  return Http { Url = args.Url, Method = args.Method, Header = headers, Body = args.Body,
    HTTPClientTimeoutMilliseconds = args.Timeout, HandleErrors = args.Handle }
end

function M.Ask(args)
  for _ = 1, args.Times or 1 do
    local rows, found, url = 0, nil, nil
    for key, row in state.read(key_of(args), { limit = 5, reverse = true }) do
      rows, found, url = rows + 1, row, key.Url
    end
    local fits = #found.Body <= 60000
    state.result { StatusCode = found.StatusCode, Body = fits and found.Body or nil,
      Header = found.Header, Error = found.Error, Size = #found.Body, Rows = rows,
      Url = args.ShowKey and url or nil }
  end
end

function M.Get(args) state.get(key_of(args)) end
function M.Do() end
function M.DoAsk(args) for _ in state.read(key_of(args)) do end end

function M.Notice(event)
  for _, row in state.read(key_of(event.ArgumentObject)) do
    state.new(Seen { K = 1, N = event.Offset }).Status = row.StatusCode
  end
end
]]

local PLUGIN = "--plugin " .. stator.build .. "/plugins/http.so"

local function decode64(text)
  local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  return (text:gsub("[^%w+/]", ""):gsub("..?.?.?", function(four)
    local n = 0
    for c in four:gmatch "." do n = n * 64 + digits:find(c, 1, true) - 1 end
    n = n * 64 ^ (4 - #four)
    local three = string.char(math.floor(n / 65536), math.floor(n / 256) % 256, n % 256)
    return three:sub(1, #four - 1)
  end))
end

local function encode64(text)
  local p = assert(io.popen("printf '" .. text:gsub(".", function(c)
    return ("\\%03o"):format(c:byte())
  end) .. "' | base64 -w0"))
  local encoded = p:read "*a"
  p:close()
  return encoded
end

describe("sys.Http", function()
  local server, base

  setup(function()
    server = process.start "http_server.py"
    base = "http://127.0.0.1:" .. server.port
  end)
  teardown(function() server.stop() end)
  after_each(stator.clean)

  local function image(config, threads)
    local storages = config and { ["sys.Http"] = { config = config } }
    return stator.shop(SCHEMA, MODULE, { ["descriptor.json"] = stator.json.encode {
      storages = storages or nil, engines = { query = threads or 1 },
    } })
  end

  local function request(args, query)
    args.Url = args.Url and args.Url:gsub("^/", base .. "/")
    return { id = 1, wsid = 1, query = query or "shop.Ask", args = args }
  end

  -- The replies to queries with these arguments, run one after the other.
  local function replies(config, ...)
    local requests = {}
    for i, args in ipairs { ... } do requests[i] = request(args) end
    return (stator.try(image(config), requests, PLUGIN))
  end

  -- Their first rows; a body is decoded.
  local function ask_with(config, ...)
    local rows = {}
    for i, reply in ipairs(replies(config, ...)) do
      assert(reply.rows, reply.error and reply.error.message)
      rows[i] = reply.rows[1]
      if rows[i].Body then rows[i].Body = decode64(rows[i].Body) end
    end
    return unpack(rows)
  end
  local function ask(...) return ask_with(nil, ...) end

  -- What the server says that it was asked.
  local function seen(row)
    assert.equal(200, row.StatusCode, row.Error)
    local echo = assert(stator.json.decode(row.Body, 1, nil))
    echo.body = decode64(echo.body)
    echo.values = {}
    for _, h in ipairs(echo.headers) do
      assert.is_nil(echo.values[h[1]], h[1] .. " came twice")
      echo.values[h[1]] = h[2]
    end
    return echo
  end

  local function failures(config, ...)
    local found = {}
    for i, reply in ipairs(replies(config, ...)) do
      assert.equal(500, reply.status)
      found[i] = reply.error.code .. " " .. reply.error.message
    end
    return unpack(found)
  end

  local function milliseconds(what)
    local p = io.popen "date +%s%3N"
    local from = tonumber(p:read "*a")
    p:close()
    what()
    p = io.popen "date +%s%3N"
    local to = tonumber(p:read "*a")
    p:close()
    return to - from
  end

  describe("a request", function()
    it("is a GET without body and headers unless the key says more", function()
      local row = ask { Url = "/echo/a?b=c&d=%20" }
      local echo = seen(row)
      assert.equal(1, row.Rows)
      assert.equal("GET", echo.method)
      assert.equal("/echo/a?b=c&d=%20", echo.path)
      assert.equal("", echo.body)
      assert.same({
        Host = base:sub(8), Accept = "*/*", ["User-Agent"] = "stator-http/1.0",
      }, echo.values)
      assert.is_nil(row.Error)
    end)

    it("has the method, headers and body of the key", function()
      local echo = seen(ask { Url = "/echo", Method = "POST", Body = encode64 "hello",
        Header = "Content-Type: text/plain|X-One:1|X-Spaces:  a  b  |X-Colon: a:b" })
      assert.equal("POST", echo.method)
      assert.equal("hello", echo.body)
      assert.same({
        Host = base:sub(8), Accept = "*/*", ["User-Agent"] = "stator-http/1.0",
        ["Content-Length"] = "5", ["Content-Type"] = "text/plain", ["X-One"] = "1",
        ["X-Spaces"] = "a  b", ["X-Colon"] = "a:b",
      }, echo.values)
    end)

    it("sends every method, with a body where there is one", function()
      local a, b, c, d, e = ask({ Url = "/echo", Method = "PUT", Body = encode64 "x" },
        { Url = "/echo", Method = "PATCH", Body = encode64 "x" },
        { Url = "/echo", Method = "DELETE" }, { Url = "/echo", Method = "POST" },
        { Url = "/echo", Method = "FETCH", Body = encode64 "x" })
      local found = {}
      for i, row in ipairs { a, b, c, d, e } do
        local echo = seen(row)
        found[i] = ("%s %d %s"):format(echo.method, echo.length,
          echo.values["Content-Length"] or "-")
      end
      assert.same({ "PUT 1 1", "PATCH 1 1", "DELETE 0 -", "POST 0 0", "FETCH 1 1" }, found)
    end)

    it("sends HEAD and gets headers without a body", function()
      local row = ask { Url = "/huge/5000", Method = "HEAD" }
      assert.equal(200, row.StatusCode)
      assert.equal(0, row.Size)
      assert.truthy(row.Header:find("Content-Length: 5000\n", 1, true))
    end)

    it("carries all bytes there and back", function()
      local all = {}
      for i = 0, 255 do all[i + 1] = string.char(i) end
      all = table.concat(all)
      local sent, got = ask({ Url = "/echo", Method = "POST", Body = encode64(all) },
        { Url = "/bytes" })
      assert.equal(all, seen(sent).body)
      assert.equal(all, got.Body)
    end)

    it("lets a later header override an earlier one of the same name", function()
      local echo = seen(ask { Url = "/echo", Header = "X-A: 1|User-Agent: me|x-a: 2|Accept: y" })
      assert.equal("2", echo.values["x-a"])
      assert.is_nil(echo.values["X-A"])
      assert.equal("me", echo.values["User-Agent"])
      assert.equal("y", echo.values.Accept)
    end)

    it("sends a header with an empty value", function()
      assert.equal("", seen(ask { Url = "/echo", Header = "X-Empty:|Y: 1" }).values["X-Empty"])
    end)

    it("uses the user and password of the URL", function()
      local echo = seen(ask { Url = base:gsub("//", "//me:secret@") .. "/echo" })
      assert.equal("Basic " .. encode64 "me:secret", echo.values.Authorization)
    end)

    it("repeats its key beside the row", function()
      assert.equal(base .. "/bytes", ask({ Url = "/bytes", ShowKey = true }).Url)
    end)

    it("goes to IPv6 addresses", function()
      if not server.port6 then return pending "no IPv6 here" end
      assert.equal(200, ask({ Url = ("http://[::1]:%d/bytes"):format(server.port6) }).StatusCode)
    end)

    it("keeps connections for the next one", function()
      local reply = replies(nil, { Url = "/echo", Times = 3 })[1]
      local clients = {}
      for i, row in ipairs(reply.rows) do
        clients[i] = stator.json.decode(decode64(row.Body), 1, nil).client
      end
      assert.equal(3, #clients)
      assert.equal(clients[1], clients[2])
      assert.equal(clients[1], clients[3])
    end)

    it("does not wait for another of the same storage", function()
      local one = request { Url = "/slow/400" }
      local took = milliseconds(function()
        stator.try(image(nil, 4), { one, one, one, one }, PLUGIN)
      end)
      assert.is_true(took < 1200, took .. " ms")
    end)
  end)

  describe("an answer", function()
    it("is a row also when its status is an error", function()
      local a, b = ask({ Url = "/status/404" }, { Url = "/status/418", Handle = true })
      assert.same({ 404, "status 404", nil }, { a.StatusCode, a.Body, a.Error })
      assert.same({ 418, "status 418", nil }, { b.StatusCode, b.Body, b.Error })
    end)

    it("has all its headers, in order, in UTF-8", function()
      assert.equal("Set-Cookie: a=1\nX-Empty: \nSet-Cookie: b=2\nX-Latin: café\n"
        .. "X-Utf: café\nX-Folded: one two\nX-Url: http://a:80/\nContent-Length: 0\n",
        ask({ Url = "/headers" }).Header)
    end)

    it("is the last one, not what the server said before it", function()
      local row = ask { Url = "/continue" }
      assert.same({ 200, "ok", "X-Final: 1\nContent-Length: 2\n" },
        { row.StatusCode, row.Body, row.Header })
    end)

    it("may be chunked, empty, or end with the connection", function()
      local chunked, nothing, open = ask({ Url = "/chunked" }, { Url = "/nothing" },
        { Url = "/until_close" })
      assert.same({ 200, "one,two,three" }, { chunked.StatusCode, chunked.Body })
      assert.same({ 204, "", "" }, { nothing.StatusCode, nothing.Body, nothing.Header })
      assert.same({ 200, "to the end" }, { open.StatusCode, open.Body })
    end)

    it("may be large", function()
      local a, b = ask({ Url = "/huge/10000000" }, { Url = "/chunked_huge/8388608" })
      assert.equal(10000000, a.Size)
      assert.equal(8388608, b.Size)
    end)

    it("is refused when it is larger than configured", function()
      local config = { maxBodyBytes = 100000 }
      local handled = { Url = "/huge/100001", Handle = true }
      local fits, large = ask_with(config, { Url = "/huge/100000" }, handled)
      assert.equal(100000, fits.Size)
      assert.same({ 0, "the body is longer than maxBodyBytes, 100000" },
        { large.StatusCode, large.Error })
      local a, b = failures(config, { Url = "/huge/100001" }, { Url = "/chunked_huge/131072" })
      assert.matches("^STORAGE_FAILED .*the body is longer than maxBodyBytes, 100000$", a)
      assert.matches("^STORAGE_FAILED .*the body is longer than maxBodyBytes, 100000$", b)
    end)

    it("is refused when its headers are too large", function()
      assert.matches("headers are longer than 262144 bytes",
        (failures(nil, { Url = "/many_headers/1" })))
    end)
  end)

  describe("a request that gets no answer", function()
    local BROKEN = {
      { "/early", "transfer closed with %d+ bytes remaining" },
      { "/chunked_early", "transfer closed with outstanding read data remaining" },
      { "/garbage", "Received HTTP/0.9 when not allowed" },
      { "/silent", "Empty reply from server" },
    }

    it("is an error with the reason", function()
      local args = {}
      for i, case in ipairs(BROKEN) do args[i] = { Url = case[1] } end
      for i, text in ipairs { failures(nil, unpack(args)) } do
        assert.matches("^STORAGE_FAILED .*sys%.Http.*" .. BROKEN[i][2], text)
      end
    end)

    it("is a row with status 0 when the key says HandleErrors", function()
      local args = {}
      for i, case in ipairs(BROKEN) do args[i] = { Url = case[1], Handle = true } end
      for i, row in ipairs { ask(unpack(args)) } do
        assert.equal(0, row.StatusCode)
        assert.matches(BROKEN[i][2], row.Error)
        assert.equal(row.Error, row.Body)
        assert.is_nil(row.Header)
        assert.equal(1, row.Rows)
      end
    end)

    it("names a port that is closed, a host that is not there", function()
      local closed = ("http://127.0.0.1:%d/"):format(server.closed_port)
      local a = failures(nil, { Url = closed })
      assert.matches("Failed to connect to 127%.0%.0%.1 port " .. server.closed_port, a)
      local b, c = ask({ Url = closed, Handle = true },
        { Url = "http://no.such.host.invalid/", Handle = true })
      assert.same({ 0, 0 }, { b.StatusCode, c.StatusCode })
      assert.matches("no%.such%.host%.invalid", c.Error)
    end)

    it("ends after the time of the key", function()
      local took = milliseconds(function()
        local a, b = ask({ Url = "/slow/5000", Timeout = 200, Handle = true },
          { Url = "/drip/20", Timeout = 200, Handle = true })
        assert.matches("timed out after %d%d%d milliseconds", a.Error)
        assert.matches("timed out after %d%d%d milliseconds", b.Error)
      end)
      assert.is_true(took < 1500, took .. " ms")
    end)

    it("ends after the configured time", function()
      local row = ask_with({ timeoutMs = 100 }, { Url = "/slow/5000", Handle = true })
      assert.matches("timed out", row.Error)
    end)

    it("is not sent again when it may have been carried out", function()
      local reply = replies(nil, { Url = "/bytes" },
        { Url = "/die/post", Method = "POST", Handle = true },
        { Url = "/count/post" })
      assert.equal(0, reply[2].rows[1].StatusCode)
      assert.equal("1", decode64(reply[3].rows[1].Body))
    end)
  end)

  describe("a server that says: not now", function()
    it("is asked again", function()
      local args = {}
      for i, status in ipairs { 408, 429, 500, 502, 503, 504 } do
        args[i] = { Url = ("/flaky/again%d?n=2&status=%d"):format(status, status) }
      end
      for _, row in ipairs { ask(unpack(args)) } do
        assert.same({ 200, "3" }, { row.StatusCode, row.Body })
      end
    end)

    it("is asked as often as configured, then that is the answer", function()
      local a, count = ask({ Url = "/flaky/often?n=99" }, { Url = "/count/often" })
      assert.same({ 503, "try again", "6" }, { a.StatusCode, a.Body, count.Body })
      a, count = ask_with({ maxRetries = 0 }, { Url = "/flaky/once?n=99" },
        { Url = "/count/once" })
      assert.same({ 503, "1" }, { a.StatusCode, count.Body })
    end)

    it("is asked again when it said so, if there is time", function()
      local took = milliseconds(function()
        local row = ask { Url = "/flaky/after?n=1&after=1" }
        assert.same({ 200, "2" }, { row.StatusCode, row.Body })
      end)
      assert.is_true(took >= 1000, took .. " ms")
      took = milliseconds(function()
        local a, b = ask({ Url = "/flaky/soon?n=1&after=1", Timeout = 500 },
          { Url = "/flaky/late?n=1&after=100000" })
        assert.same({ 503, 503 }, { a.StatusCode, b.StatusCode })
      end)
      assert.is_true(took < 900, took .. " ms")
    end)

    it("is not asked again for other statuses", function()
      for i, row in ipairs { ask({ Url = "/flaky/other1?status=400" },
        { Url = "/flaky/other2?status=501" }, { Url = "/flaky/other3?status=404" }) } do
        assert.equal(({ 400, 501, 404 })[i], row.StatusCode)
      end
    end)

    it("is asked again with POST only when it did nothing, or the request has a key", function()
      local function post(name, status, header)
        return { Url = ("/flaky/%s?status=%d"):format(name, status), Method = "POST",
          Body = encode64 "pay", Header = header }
      end
      local a, b, c, d, count = ask(post("post500", 500), post("post503", 503),
        post("post504", 504, "Idempotency-Key: 7"), post("post429", 429),
        { Url = "/count/post500" })
      assert.same({ 500, 200, 200, 200, "1" },
        { a.StatusCode, b.StatusCode, c.StatusCode, d.StatusCode, count.Body })
    end)
  end)

  describe("a redirect", function()
    it("is followed", function()
      local echo = seen(ask { Url = "/redirect/3" })
      assert.equal("/echo/end", echo.path)
      assert.equal(10, #seen(ask { Url = "/redirect/10" }).method + 7)
    end)

    it("is followed as often as configured", function()
      assert.matches("more than 10 redirects %(maxRedirects%)$",
        (failures(nil, { Url = "/redirect/11" })))
      assert.matches("more than 10 redirects", ask({ Url = "/loop", Handle = true }).Error)
      assert.matches("more than 2 redirects", (failures({ maxRedirects = 2 }, { Url = "/loop" })))
    end)

    it("is an answer when none are to be followed, or there is no location", function()
      local row = ask_with({ maxRedirects = 0 }, { Url = "/redirect/1" })
      assert.same({ 302, "elsewhere" }, { row.StatusCode, row.Body })
      assert.matches("Location: /echo/end\n", row.Header)
      assert.equal(302, ask({ Url = "/nowhere" }).StatusCode)
    end)

    it("has headers and body of its end only", function()
      local row = ask { Url = "/redirect/2" }
      assert.is_nil(row.Header:find("Location", 1, true))
      assert.is_nil(row.Body:find("elsewhere", 1, true))
    end)

    it("turns a POST into a GET without body, or keeps both", function()
      local args = {}
      for i, code in ipairs { 301, 302, 303, 307, 308 } do
        args[i] = { Url = "/redirect/1/" .. code, Method = "POST", Body = encode64 "data",
          Header = "Content-Type: a/b|X-Kept: 1" }
      end
      args[6] = { Url = "/redirect/1/302", Method = "DELETE" }
      args[7] = { Url = "/redirect/1/307", Method = "DELETE" }
      local found = {}
      for i, row in ipairs { ask(unpack(args)) } do
        local echo = seen(row)
        found[i] = ("%s %s %s %s"):format(echo.method, echo.body,
          echo.values["Content-Type"] or "-", echo.values["X-Kept"] or "-")
      end
      assert.same({ "GET  - 1", "GET  - 1", "GET  - 1", "POST data a/b 1", "POST data a/b 1",
        "GET  - -", "DELETE  - -" }, found)
    end)

    it("does not tell another origin what was meant for the first", function()
      local headers = "Authorization: secret|Cookie: secret|X-Kept: 1"
      local other = ("http://localhost:%d/echo"):format(server.port)
      local echo = seen(ask { Url = "/to?url=" .. other, Header = headers })
      assert.equal(other:sub(8, -6), echo.values.Host)
      assert.same({ "1" }, { echo.values["X-Kept"], echo.values.Authorization,
        echo.values.Cookie })
      echo = seen(ask { Url = "/to?url=" .. base .. "/echo", Header = headers })
      assert.same({ "1", "secret", "secret" }, { echo.values["X-Kept"],
        echo.values.Authorization, echo.values.Cookie })
    end)

    it("leads to http and https only", function()
      local a, b = failures(nil, { Url = "/to?url=file:///etc/hostname" },
        { Url = "/to?url=gopher://127.0.0.1/" })
      assert.matches("Url: expected http:// or https://$", a)
      assert.matches("Url: expected http:// or https://$", b)
    end)
  end)

  describe("https", function()
    it("checks certificates, also against a configured authority", function()
      local url = ("https://127.0.0.1:%d/bytes"):format(server.tls_port)
      local refused = ask { Url = url, Handle = true }
      assert.equal(0, refused.StatusCode)
      assert.matches("certificate", refused.Error)
      assert.equal(200, ask_with({ caFile = server.ca }, { Url = url }).StatusCode)
    end)
  end)

  describe("a key", function()
    -- Cases are arguments and what the error ends with.
    local function wrong(...)
      local args = {}
      for i, case in ipairs { ... } do args[i] = case[1] end
      for i, text in ipairs { failures(nil, unpack(args)) } do
        local expected = select(i, ...)[2]
        assert.equal(expected, text:sub(-#expected))
      end
    end

    it("needs a Url", function()
      wrong({ { Times = 1 }, "Url: not found; the key needs one" },
        { { Url = "" }, "Url: not found; the key needs one" })
    end)

    it("has a Url of http or https", function()
      wrong({ { Url = "file:///etc/hostname" }, "Url: expected http:// or https://" },
        { { Url = "ftp://127.0.0.1/" }, "Url: expected http:// or https://" },
        { { Url = "example.com" }, "Url: Bad scheme" },
        { { Url = "http://a b/" }, "Url: Bad hostname" },
        { { Url = "http://a/\r\nX: 1" }, "Url: Bad path" },
        { { Url = "http://a/\0b" }, "Url: has a zero byte inside" })
      assert.matches("expected http://", ask({ Url = "file:///etc/hostname", Handle = true }).Error)
    end)

    it("has headers with a colon, named in the error without their value", function()
      local colon = [[Header "Wrong one": has no ':'; write "name: value"]]
      wrong({ { Url = "/echo", Header = "X-Good: 1|Wrong one" }, colon },
        { { Url = "/echo", Header = "Wrong one", Handle = true }, colon },
        { { Url = "/echo", Header = "X-A: s3cret\r\nX-B: 2" },
          'Header "X-A:": has a line end inside' },
        { { Url = "/echo", Header = "X-A: 1\0" }, 'Header "X-A:": has a line end inside' },
        { { Url = "/echo", Header = ": 1" }, 'Header ":": is not a name of a header' },
        { { Url = "/echo", Header = "X A: 1" }, 'Header "X A:": is not a name of a header' },
        { { Url = "/echo", Header = "content-length: 1" },
          'Header "content-length:": follows from Body; leave it out' },
        { { Url = "/echo", Header = "Transfer-Encoding: chunked" },
          'Header "Transfer-Encoding:": follows from Body; leave it out' })
    end)

    it("has a method that is one word, and no body for HEAD", function()
      local method = "Method: expected a method such as GET"
      wrong({ { Url = "/echo", Method = "GET /x" }, method },
        { { Url = "/echo", Method = "" }, method },
        { { Url = "/echo", Method = "CONNECT" }, method },
        { { Url = "/echo", Method = "HEAD", Body = encode64 "x" },
          "Body: a HEAD request has none" })
    end)

    it("has a time of at least a millisecond", function()
      local time = "HTTPClientTimeoutMilliseconds: expected at least 1"
      wrong({ { Url = "/echo", Timeout = 0 }, time }, { { Url = "/echo", Timeout = -5 }, time })
      assert.equal(200, ask({ Url = "/bytes", Timeout = 10000000000000 }).StatusCode)
    end)
  end)

  describe("the storage", function()
    it("has READ and nothing else", function()
      local found = stator.try(image(), { request({ Url = "/echo" }, "shop.Get") }, PLUGIN)
      assert.same({ 500, "NOT_SUPPORTED" }, { found[1].status, found[1].error.code })
    end)

    it("is not for commands", function()
      local found = stator.try(image(), { { id = 1, wsid = 1, command = "shop.DoAsk",
        args = { Url = base .. "/echo" } } }, PLUGIN)
      assert.same({ 500, "NOT_DECLARED" }, { found[1].status, found[1].error.code })
    end)

    it("serves projectors", function()
      local data = stator.folder()
      local made = image()
      stator.run(made, data, { { id = 1, wsid = 1, command = "shop.Do",
        args = { Url = base .. "/status/404" } } }, PLUGIN)
      local rows = stator.dump(made, data, "view shop.Seen")
      assert.same({ 404 }, { rows[1] and rows[1].value.Status })
    end)

    it("refuses a configuration that cannot be", function()
      local wrong = {
        { { maxBodyBytes = 0 }, "config%.maxBodyBytes: expected 1 to 268435456" },
        { { maxRedirects = -1 }, "config%.maxRedirects: expected 0 to 100" },
        { { maxRetries = 1000 }, "config%.maxRetries: expected 0 to 100" },
        { { timeoutMs = 0 }, "config%.timeoutMs: expected 1 to 590000" },
        { { maxBody = 1 }, "maxBody: storage Http has no such configuration" },
      }
      for _, case in ipairs(wrong) do
        local _, _, err, code = stator.try(image(case[1]), {}, PLUGIN)
        assert.not_equal(0, code)
        assert.matches(case[2], err)
      end
    end)
  end)
end)
