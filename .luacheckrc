std = "luajit"
max_line_length = 100
files["spec"] = { std = "+busted" }
files["examples"] = { std = "luajit" }
-- What they do wrong, they do on purpose: only the syntax counts.
files["spec/fixtures/hostile"] = { only = { "0", "631" } }
