--- The ledger's extensions.

local state = require "stator.state"

local Account = state.record "ledger.Account"
local Statement = state.view "ledger.Statement"

-- The most that an account holds: integers up to here are exact as Lua numbers, so no sum
-- below is ever rounded.
local MOST = 2 ^ 53

local M = {}

--- COMMAND Open: a new account.
function M.Open(args)
  if args.Balance < 0 then error "an account is opened with money or with nothing" end
  if args.Balance > MOST then error(("an account holds at most %d"):format(MOST)) end
  local account = state.new(Account {}, { Owner = args.Owner, Balance = args.Balance })
  state.result { Account = account["sys.ID"] }
end

--- COMMAND Transfer: money moves, and no account is ever overdrawn.
function M.Transfer(args)
  local amount = args.Amount
  if amount <= 0 then return state.response(400, "the amount is above zero") end
  if args.From == args.To then return state.response(400, "the accounts are the same") end
  local from_key, to_key = Account(args.From), Account(args.To)
  local from, to = state.must_get(from_key), state.must_get(to_key)
  if from.Balance < amount then
    return state.response(409, ("account %d has %d"):format(args.From, from.Balance))
  end
  if to.Balance > MOST - amount then
    return state.response(409, ("account %d holds at most %d"):format(args.To, MOST))
  end
  state.update(from_key, from).Balance = from.Balance - amount
  state.update(to_key, to).Balance = to.Balance + amount
end

local function write_row(event, account, other, amount)
  local row = state.new(Statement(account, event.WLogOffset))
  row.Other, row.Amount, row.Text = other, amount, event.ArgumentObject.Text
end

--- SYNC PROJECTOR: one row of the statement for each of the two accounts.
function M.WriteStatement(event)
  local args = event.ArgumentObject
  write_row(event, args.From, args.To, -args.Amount)
  write_row(event, args.To, args.From, args.Amount)
end

--- QUERY Balance: what is in an account.
function M.Balance(args)
  local account = state.must_get(Account(args.Account))
  local row = state.result()
  row.Owner, row.Balance = account.Owner, account.Balance
end

--- QUERY Statement20: the last 20 rows, the newest first.
function M.Statement20(args)
  local newest = { reverse = true, limit = 20 }
  for key, row in state.read(Statement(args.Account), newest) do
    state.result { Offset = key.Offset, Other = row.Other, Amount = row.Amount, Text = row.Text }
  end
end

return M
