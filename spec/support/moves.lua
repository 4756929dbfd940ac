--- moves.lua: an image whose state is known from its log: money moves between accounts, with
-- rows for each move, and a count that an asynchronous projector keeps. For specs of crashes,
-- which compare what is stored with what the events say.

local M = {}

M.ACCOUNTS, M.START = 10, 1000000

M.SCHEMA = [[
  TABLE Account INHERITS sys.CDoc (Balance int64 NOT NULL);
  TYPE Params (Source ref(Account) NOT NULL, Target ref(Account) NOT NULL, Amount int64 NOT NULL,
    Text varchar(5000) NOT NULL);
  VIEW Row (Account ref NOT NULL, Offset int64 NOT NULL, Amount int64, Text varchar(5000),
    PRIMARY KEY ((Account), Offset)) AS RESULT OF Write;
  VIEW Count (Account ref NOT NULL, One int32 NOT NULL, Times int64,
    PRIMARY KEY ((Account), One)) AS RESULT OF CountThem;
  EXTENSION ENGINE LUA (
    COMMAND Move(Params) INTENTS(sys.Record(Account));
    SYNC PROJECTOR Write AFTER EXECUTE ON Move INTENTS(sys.View(Row));
    PROJECTOR CountThem AFTER EXECUTE ON Move INTENTS(sys.View(Count));
  );]]

M.MODULE = [[
  local Account, Row, Count = state.record "Account", state.view "Row", state.view "Count"
  local function add(account, amount)
    local key = Account { ID = account }
    local row = state.must_get(key)
    state.update(key, row).Balance = row.Balance + amount
  end
  function M.Move(args)
    add(args.Source, -args.Amount)
    add(args.Target, args.Amount)
  end
  function M.Write(event)
    local args = event.ArgumentObject
    local offset = event.WLogOffset
    state.new(Row { Account = args.Source, Offset = offset },
      { Amount = -args.Amount, Text = args.Text })
    state.new(Row { Account = args.Target, Offset = offset },
      { Amount = args.Amount, Text = args.Text })
  end
  function M.CountThem(event)
    local key = Count { Account = event.ArgumentObject.Source, One = 1 }
    local seen = state.get(key)
    if seen then
      state.update(key, seen).Times = seen.Times + 1
    else
      state.new(key).Times = 1
    end
  end]]

return M
