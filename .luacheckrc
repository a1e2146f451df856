std = "lua54"
max_line_length = 140
codes = true
-- what the runtime gives to every script (lua/API.md)
files["lua"] = {
    read_globals = {
        "fail", "store", "kv", "stream", "crypt", "call", "send", "after", "cancel", "now", "conf", "log", "json", "hash",
        "random", "token", "push", "sockets", "conversation", "presence", "login", "calls", "http", "files",
    },
}
files["spec"] = {std = "+busted"}
files["spec/sim"] = {std = "+busted", read_globals = {"sim", "SEED", "STEPS"}} -- spec/sim/main.c
files["spec/lua"] = {std = "+busted", globals = {
    "fail", "store", "kv", "stream", "crypt", "call", "send", "after", "cancel", "now", "conf", "log", "json", "hash",
    "random", "token", "push", "sockets", "conversation", "presence", "login", "calls", "http", "files",
}}
