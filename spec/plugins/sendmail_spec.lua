-- sys.SendMail, the plugin: the mails that servers get, and what is said about those that
-- they do not get.

local stator = require "support.stator"
local process = require "fixtures.servers.process"

local SCHEMA = [[
TYPE Params ( From varchar(2000), To varchar(20000), CC varchar(2000), BCC varchar(2000),
  Subject varchar(2000), Body varchar(60000), Host varchar(300), Port int32,
  Username varchar(200), Password varchar(200), Times int32 );
VIEW Sent ( K int32 NOT NULL, N int64 NOT NULL, Success bool, Error varchar(2000),
  PRIMARY KEY ((K), N) ) AS RESULT OF Now;
EXTENSION ENGINE LUA (
  COMMAND Do(Params);
  COMMAND DoLater(Params);
  COMMAND DoSync(Params);
  QUERY Ask(Params) RETURNS void;
  PROJECTOR Now AFTER EXECUTE ON Do STATE(sys.SendMail) INTENTS(sys.View(Sent));
  PROJECTOR Later AFTER EXECUTE ON DoLater INTENTS(sys.SendMail);
  SYNC PROJECTOR Sync AFTER EXECUTE ON DoSync INTENTS(sys.SendMail);
);
]]

local MODULE = [[
local SendMail, Sent = state.storage "sys.SendMail", state.view "shop.Sent"

local function list(text)
  if not text then return nil end
  local all = {}
  for part in (text .. "|"):gmatch "([^|]*)|" do all[#all + 1] = part end
  return #all == 1 and all[1] or all
end

local function key_of(args)
  return SendMail { From = args.From, To = list(args.To), CC = list(args.CC),
    BCC = list(args.BCC), Subject = args.Subject, Body = args.Body, Host = args.Host,
    Port = args.Port, Username = args.Username, Password = args.Password }
end

function M.Do() end
function M.DoLater() end
function M.DoSync() end
function M.Ask(args) state.get(key_of(args)) end

function M.Now(event)
  local args = event.ArgumentObject
  for _ = 1, args.Times or 1 do
    local good, sent = pcall(state.get, key_of(args))
    local key = Sent { K = 1, N = event.Offset }
    local seen = state.find_intent(key) or state.new(key)
    if good then
      seen.Success, seen.Error = sent.Success, sent.ErrorMessage
    else
      seen.Error = "raised: " .. tostring(sent)
    end
  end
end

local function later(event)
  local args = event.ArgumentObject
  for i = 1, args.Times or 1 do
    local key = key_of(args)
    if args.Times then key.Subject = args.Subject .. i end
    state.new(key)
  end
end
M.Later, M.Sync = later, later
]]

local PLUGIN = "--plugin " .. stator.build .. "/plugins/sendmail.so"

local function merged(a, b)
  local all = {}
  for k, v in pairs(a) do all[k] = v end
  for k, v in pairs(b or {}) do
    if v == false then all[k] = nil else all[k] = v end
  end
  return all
end

describe("sys.SendMail", function()
  local server, plain

  setup(function()
    server = process.start "smtp_server.py"
    plain = { From = "shop@example.com", To = "you@example.com", Host = "127.0.0.1",
      Port = server.port }
  end)
  teardown(function() server.stop() end)
  before_each(function() stator.write(server.mails, "") end)
  after_each(stator.clean)

  -- The mails that came since the spec began.
  local function mails()
    local all = {}
    for line in stator.read(server.mails):gmatch "[^\n]+" do
      all[#all + 1] = assert(stator.json.decode(line, 1, nil))
    end
    return all
  end

  local function image(config)
    local storages = config and { ["sys.SendMail"] = { config = config } }
    return stator.shop(SCHEMA, MODULE, { ["descriptor.json"] = stator.json.encode {
      storages = storages or nil, version = "1",
    } })
  end

  local function request(command, args)
    return { id = 1, wsid = 1, command = "shop." .. command, args = args }
  end

  -- Sends with GET, in a projector: what came of each, as rows of the view.
  local function send_with(config, ...)
    local made, data, requests = image(config), stator.folder(), {}
    for i, args in ipairs { ... } do requests[i] = request("Do", merged(plain, args)) end
    local replies, _, err = stator.run(made, data, requests, PLUGIN)
    for _, reply in ipairs(replies) do assert(reply.status == 200, reply.raw) end
    local found = {}
    for _, row in ipairs((stator.dump(made, data, "view shop.Sent"))) do
      found[#found + 1] = row.value
    end
    assert.equal(#requests, #found, err)
    return unpack(found)
  end
  local function send(...) return send_with(nil, ...) end

  -- One mail that is sent and taken.
  local function mail_with(config, args)
    local row = send_with(config, args)
    assert.is_true(row.Success, row.Error)
    assert.is_nil(row.Error)
    local all = mails()
    assert.equal(1, #all)
    assert.same({}, all[1].defects)
    assert.equal(0, all[1].bare)
    assert.is_true(all[1].ascii)
    assert.is_true(all[1].longest <= 78, all[1].longest)
    return all[1]
  end
  local function mail(args) return mail_with(nil, args) end

  -- What is said about mails that are not sent.
  local function errors_with(config, ...)
    local found = {}
    for i, row in ipairs { send_with(config, ...) } do
      assert.is_false(row.Success, row.Error)
      found[i] = row.Error
    end
    assert.same({}, mails())
    return unpack(found)
  end
  local function errors(...) return errors_with(nil, ...) end

  describe("a mail", function()
    it("has what its key has", function()
      local got = mail { Subject = "Your order", Body = "<p>Thank you!</p>" }
      assert.equal("shop@example.com", got.from)
      assert.same({ "you@example.com" }, got.to)
      assert.same({ "Date", "Message-ID", "From", "To", "Subject", "MIME-Version",
        "Content-Type", "Content-Transfer-Encoding" }, got.names)
      assert.same({ { "", "shop@example.com" } }, got.addresses.From)
      assert.same({ { "", "you@example.com" } }, got.addresses.To)
      assert.same({ "Your order" }, got.headers.Subject)
      assert.same({ "text/html", "utf-8" }, { got.type, got.charset })
      assert.equal("<p>Thank you!</p>", got.body)
      assert.is_true(math.abs(got.time - os.time()) < 60)
      assert.is_false(got.tls)
      assert.is_nil(got.user)
    end)

    it("may have no subject and no body", function()
      local got = mail {}
      assert.same({ "" }, got.headers.Subject)
      assert.equal("", got.body)
    end)

    it("goes to all recipients, and shows those of To and CC", function()
      local got = mail { To = "a@x.org|Bee <b@x.org>", CC = "c@x.org||d@x.org", BCC = "e@x.org" }
      assert.same({ "a@x.org", "b@x.org", "c@x.org", "d@x.org", "e@x.org" }, got.to)
      assert.same({ { "", "a@x.org" }, { "Bee", "b@x.org" } }, got.addresses.To)
      assert.same({ { "", "c@x.org" }, { "", "d@x.org" } }, got.addresses.Cc)
      assert.is_nil(stator.read(server.mails):match '"Bcc"')
      assert.is_nil(stator.json.encode(got.headers):find("e@x.org", 1, true))
    end)

    it("goes to many", function()
      local to = {}
      for i = 1, 300 do to[i] = ("Person %d <person%d@example.com>"):format(i, i) end
      local got = mail { To = table.concat(to, "|") }
      assert.equal(300, #got.to)
      assert.same({ "Person 300", "person300@example.com" }, got.addresses.To[300])
    end)

    it("has names and a subject of any characters", function()
      local long = ("Ünïcödé 漢字 😀 "):rep(20)
      local got = mail { From = "Käthe Größe <k@x.org>", Subject = long .. "end",
        To = '"Doe, John" <j@x.org>|"a\\"b\\\\c" <q@x.org>|漢字 <h@x.org>|O\'Neil Jr. <o@x.org>' }
      assert.same({ long .. "end" }, got.headers.Subject)
      assert.same({ { "Käthe Größe", "k@x.org" } }, got.addresses.From)
      assert.same({ { "Doe, John", "j@x.org" }, { 'a"b\\c', "q@x.org" }, { "漢字", "h@x.org" },
        { "O'Neil Jr.", "o@x.org" } }, got.addresses.To)
    end)

    it("has quotes in a name only where they belong", function()
      local got = mail { From = '"Käthe \\"K.\\" Größe" <k@x.org>' }
      assert.same({ { 'Käthe "K." Größe', "k@x.org" } }, got.addresses.From)
    end)

    it("does not let a text pass for an encoded one", function()
      local text = "=?UTF-8?B?aGFjaw==?="
      local got = mail { Subject = text }
      assert.same({ text }, got.headers.Subject)
    end)

    it("has a body of any length and characters", function()
      local body = ("<p>Ünï 漢字 .\r\n.\r\n. &amp;</p>\n"):rep(1200)
      assert.equal((body:gsub("\r\n", "\n")), (mail({ Body = body }).body:gsub("\r\n", "\n")))
    end)

    it("has an ID made of the event, which tells it from others", function()
      send({ Subject = "a" }, { Subject = "a" }, { Subject = "b" }, { Subject = "a", Times = 2 })
      local ids = {}
      for i, got in ipairs(mails()) do ids[i] = got.headers["Message-ID"][1] end
      assert.equal(5, #ids)
      assert.matches("^<1%.0%.g%x+%.shop%-Now%.[%w-]+@example%.com>$", ids[1])
      assert.matches("^<2%.0%.g%x+%.shop%-Now%.[%w-]+@example%.com>$", ids[2])
      assert.equal(ids[4], ids[5])
      local different = { [ids[1]] = 1, [ids[2]] = 1, [ids[3]] = 1, [ids[4]] = 1 }
      local count = 0
      for _ in pairs(different) do count = count + 1 end
      assert.equal(4, count)
    end)

    it("says the configured name in EHLO", function()
      assert.equal("shop.example.com", mail_with({ helo = "shop.example.com" }, {}).helo)
    end)
  end)

  describe("a server", function()
    local function secured(args)
      return merged({ Username = "me", Password = "s3cret ä" }, args)
    end

    it("takes the user and the password", function()
      local got = mail(secured { Port = server.auth })
      assert.same({ "me", false }, { got.user, got.tls })
    end)

    it("may refuse them", function()
      local a = errors(secured { Port = server.auth, Password = "wrong" })
      assert.matches("535 5%.7%.8", a)
      assert.is_nil(a:find("wrong", 1, true))
    end)

    it("gets no mail when it does not ask who it is from, but the key says so", function()
      assert.equal("the server offers no authentication for Username", (errors(secured {})))
    end)

    it("is talked to over TLS when it offers that", function()
      local got = mail_with({ caFile = server.ca }, secured { Port = server.starttls })
      assert.same({ "me", true }, { got.user, got.tls })
    end)

    it("is talked to over TLS from the first byte when configured", function()
      local got = mail_with({ caFile = server.ca, tls = "always" },
        secured { Port = server.smtps })
      assert.same({ "me", true }, { got.user, got.tls })
    end)

    it("is not talked to without TLS when configured", function()
      assert.matches("STARTTLS not supported",
        (errors_with({ tls = "starttls" }, {})))
      stator.write(server.mails, "")
      assert.is_false(mail_with({ tls = "none" }, { Port = server.starttls }).tls)
    end)

    it("is not told a password without TLS, unless it is this host or configured", function()
      -- An address that is this host's, though it does not look so.
      local args = secured { Port = server.auth, Host = "::ffff:127.0.0.1" }
      assert.matches("STARTTLS not supported", (errors(args)))
      assert.equal("me", mail_with({ tls = "none" }, args).user)
    end)

    it("has a certificate that is checked", function()
      assert.matches("certificate", (errors { Port = server.starttls }))
      assert.matches("certificate", (errors_with({ tls = "always" }, { Port = server.smtps })))
    end)

    it("may refuse a recipient: then nothing is sent", function()
      local a, b = errors({ To = "a@x.org|refused@x.org" }, { CC = "later@x.org" })
      assert.matches("550 5%.1%.1 <refused@x%.org>: no such user here", a)
      assert.matches("451 4%.7%.1 come back later", b)
    end)

    it("may refuse the mail", function()
      assert.matches("554 5%.6%.0 we do not want this", (errors { Subject = "spam" }))
    end)

    it("may be down, busy, rude or mad", function()
      local a, b, c, d, e = errors_with({ timeoutMs = 700 }, { Port = server.closed },
        { Port = server.full }, { Port = server.rude }, { Port = server.garbage },
        { Host = "no.such.host.invalid" })
      assert.matches("Failed to connect to 127%.0%.0%.1 port " .. server.closed, a)
      assert.matches("421 4%.3%.2 too busy", b)
      assert.matches("response reading failed", c)
      assert.matches("timed out", d)
      assert.matches("no%.such%.host%.invalid", e)
    end)

    it("is not waited for longer than configured", function()
      local from = os.time()
      local a, b = errors_with({ timeoutMs = 300 }, { Port = server.silent },
        { Port = server.slow })
      assert.matches("[Tt]imed? ?out", a)
      assert.matches("[Tt]imed? ?out", b)
      assert.is_true(os.time() - from <= 4)
    end)

    it("took the mail also when it does not say good-bye", function()
      local from = os.time()
      local row = send_with({ timeoutMs = 1000 }, { Port = server.clinging })
      assert.is_true(row.Success, row.Error)
      assert.is_true(os.time() - from <= 4)
    end)
  end)

  describe("a key", function()
    it("needs Host, Port, From and To", function()
      local a, b, c, d, e, f = send({ Host = false }, { Port = false }, { From = false },
        { To = false }, { Host = " " }, { To = "" })
      assert.matches("raised: .*Host: not found; the key needs one", a.Error)
      assert.matches("raised: .*Port: not found; the key needs one", b.Error)
      assert.matches("raised: .*From: not found; the key needs one", c.Error)
      assert.matches("raised: .*To: not found; the key needs one", d.Error)
      assert.matches("raised: .*Host: not found; the key needs one", e.Error)
      assert.equal("To: all of it is empty", f.Error)
      assert.same({}, mails())
    end)

    it("has no line ends in what becomes a header", function()
      local control = ": has a line end or another control character inside"
      local found = { errors({ Subject = "a\r\nBcc: x@x.org" }, { Subject = "a\nb" },
        { From = "a\r\nX: 1 <a@x.org>" }, { To = "a@x.org\r\nRCPT TO:<b@x.org>" },
        { To = "A\0 <a@x.org>" }, { CC = "a@x.org\r" }, { BCC = "a@x.org\n" },
        { From = '"a\\\r\nX: 1" <a@x.org>' }, { To = "ok@x.org|\27[0m <a@x.org>" }) }
      assert.same({ "Subject" .. control, "Subject" .. control, "From" .. control,
        "To" .. control, "To" .. control, "CC" .. control, "BCC" .. control,
        "From" .. control, "To" .. control }, found)
    end)

    it("has no line ends in user, password and host", function()
      assert.same({
        "Username: has a control character inside",
        "Password: has a control character inside",
        "Password: there is no Username to it",
        "Host: is not a host's name", "Host: is not a host's name", "Host: is not a host's name",
        "Host: is not a host's name",
        "Port: expected 1 to 65535", "Port: expected 1 to 65535",
      }, { errors({ Username = "a\r\nb" }, { Username = "a", Password = "b\0c" },
        { Password = "x" }, { Host = "a/b" }, { Host = "me@host" }, { Host = "::1/x" },
        { Host = "127.0.0.1\0" },
        { Port = 0 }, { Port = 65536 }) })
    end)

    it("has addresses that are addresses", function()
      local wrong = { "nobody", "a@", "@x.org", "a@b@c", "a b@x.org", "a@x.org, b@x.org",
        "A, B <a@x.org>", "A <a@x.org> B", "<a@x.org", "a@x.org>", "a..b@x.org", ".a@x.org",
        "a.@x.org", "a@.org", "Jörg <jörg@x.org>", "a@ex ample.org", 'a"b <a@x.org>',
        "<b@x.org> <a@x.org>", 'A "B" <a@x.org>', ("x"):rep(65) .. "@x.org", "a@x.org SIZE=1",
        '"a" "b" <a@x.org>', '"a\\" <a@x.org>' }
      local args = {}
      for i, text in ipairs(wrong) do args[i] = { To = text } end
      args[#args + 1] = { From = "nobody" }
      args[#args + 1] = { CC = "nobody" }
      args[#args + 1] = { BCC = "nobody" }
      local found = { errors(unpack(args)) }
      assert.equal('To: "nobody" is not one address as a@example.com or '
        .. "Name <a@example.com>", found[1])
      for i, text in ipairs(found) do
        assert.matches("^%u%w+: .* is not one address as", text, 1, false, args[i].To)
      end
    end)
  end)

  describe("an intent", function()
    local function run(config, ...)
      return stator.try(image(config), { ... }, PLUGIN)
    end

    it("is sent after the commit", function()
      local args = merged(plain, { Subject = "later", Body = "<p>later</p>" })
      local replies = run(nil, request("DoLater", args), request("DoSync", args))
      assert.same({ 200, 200 }, { replies[1].status, replies[2].status })
      local found = {}
      for _, got in ipairs(mails()) do
        assert.same({}, got.defects)
        found[#found + 1] = got.headers.Subject[1] .. " " .. got.body
      end
      assert.same({ "later <p>later</p>", "later <p>later</p>" }, found)
    end)

    it("is sent with an ID of its own", function()
      run(nil, request("DoSync", merged(plain, { Subject = "a", Times = 3 })))
      local ids = {}
      for i, got in ipairs(mails()) do ids[i] = got.headers["Message-ID"][1] end
      table.sort(ids)
      assert.equal(3, #ids)
      for i, id in ipairs(ids) do
        assert.matches(("^<1%%.0%%.i%d%%.shop%%-Sync%%.[%%w-]+@example%%.com>$"):format(i - 1), id)
      end
    end)

    it("is sent again after a failure, under the same ID", function()
      run(nil, request("DoSync", merged(plain, { To = "once-sync@x.org", Subject = "1" })),
        request("DoSync", merged(plain, { Subject = "lost" })))
      local found = {}
      for _, got in ipairs(mails()) do
        local subject = got.headers.Subject[1]
        found[subject] = found[subject] or {}
        table.insert(found[subject], got.headers["Message-ID"][1])
      end
      assert.equal(1, #(found["1"] or {}))
      assert.equal(2, #(found.lost or {}))
      assert.equal(found.lost[1], found.lost[2])
    end)

    it("that cannot be a mail fails its command, which leaves nothing", function()
      local replies = run(nil, request("DoSync", merged(plain, { To = false })),
        request("DoSync", merged(plain, { Subject = "a\r\nb" })),
        request("DoSync", merged(plain, { To = "nobody" })))
      assert.matches("To: not found; the key needs one$", replies[1].error.message)
      assert.matches("Subject: has a line end", replies[2].error.message)
      assert.matches("is not one address", replies[3].error.message)
      for _, reply in ipairs(replies) do
        assert.same({ 500, "EXTENSION_FAILED" }, { reply.status, reply.error.code })
      end
      assert.same({}, mails())
    end)

    it("does not stop the others when it cannot be sent", function()
      local _, _, err = run(nil, request("DoSync", merged(plain, { To = "refused@x.org" })),
        request("DoSync", merged(plain, { Subject = "fine" })))
      local all = mails()
      assert.equal(1, #all)
      assert.same({ "fine" }, all[1].headers.Subject)
      assert.matches("550 5%.1%.1 <refused@x%.org>: no such user here", err)
    end)

    it("is tried again only when the server may take it later", function()
      local _, _, err = run(nil, request("DoSync", merged(plain, { To = "refused@x.org" })))
      assert.matches("parked until the next start", err)
      assert.is_nil(err:find("trying again", 1, true))
      _, _, err = run(nil, request("DoSync", merged(plain, { To = "later@x.org" })))
      assert.matches("trying again", err)
    end)
  end)

  describe("the storage", function()
    it("is not for queries", function()
      local lines = stator.try(image(), { { id = 1, wsid = 1, query = "shop.Ask",
        args = plain } }, PLUGIN)
      assert.same({ 500, "NOT_DECLARED" }, { lines[1].status, lines[1].error.code })
    end)

    it("does not tell passwords and bodies in errors", function()
      local args = merged(plain, { Username = "me", Password = "s3cret", Body = "b0dy",
        Subject = "a\r\nb" })
      local _, raw, err = stator.try(image(), { request("DoSync", args) }, PLUGIN)
      assert.is_nil((raw[1] .. err):find("s3cret", 1, true))
      assert.is_nil((raw[1] .. err):find("b0dy", 1, true))
    end)

    it("refuses a configuration that cannot be", function()
      local wrong = {
        { { tls = "maybe" }, "config%.tls: expected auto, none, starttls or always" },
        { { timeoutMs = 0 }, "config%.timeoutMs: expected 1 to 290000" },
        { { helo = "a b" }, "config%.helo: is not a host's name" },
      }
      for _, case in ipairs(wrong) do
        local _, _, err, code = stator.try(image(case[1]), {}, PLUGIN)
        assert.not_equal(0, code)
        assert.matches(case[2], err)
      end
    end)
  end)
end)
