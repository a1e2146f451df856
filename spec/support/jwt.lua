-- Tokens for the specs that forge them: HS256 in plain Lua, so that a spec can sign what the server would never sign.
local json = require "spec.support.json"
local jwt = {}

local K = {}
do -- the first 32 bits of the fractions of the cube roots of the first 64 primes
    local function prime(n)
        for d = 2, math.floor(math.sqrt(n)) do if n % d == 0 then return false end end
        return true
    end
    local n = 2
    while #K < 64 do
        if prime(n) then K[#K + 1] = math.floor((n ^ (1 / 3) % 1) * 4294967296) end
        n = n + 1
    end
end

local function ror(x, n) return ((x >> n) | (x << (32 - n))) & 0xffffffff end

local function block(h, text, at)
    local w = {string.unpack(">I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4I4", text, at)}
    for i = 17, 64 do
        local a, b = w[i - 15], w[i - 2]
        local s0 = ror(a, 7) ~ ror(a, 18) ~ (a >> 3)
        local s1 = ror(b, 17) ~ ror(b, 19) ~ (b >> 10)
        w[i] = (w[i - 16] + s0 + w[i - 7] + s1) & 0xffffffff
    end
    local a, b, c, d, e, f, g, k = table.unpack(h)
    for i = 1, 64 do
        local t1 = k + (ror(e, 6) ~ ror(e, 11) ~ ror(e, 25)) + ((e & f) ~ (~e & g)) + K[i] + w[i]
        local t2 = (ror(a, 2) ~ ror(a, 13) ~ ror(a, 22)) + ((a & b) ~ (a & c) ~ (b & c))
        k, g, f, e, d, c, b, a = g, f, e, (d + t1) & 0xffffffff, c, b, a, (t1 + t2) & 0xffffffff
    end
    for i, v in ipairs {a, b, c, d, e, f, g, k} do h[i] = (h[i] + v) & 0xffffffff end
end

function jwt.sha256(text)
    local h = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
    local all = text .. "\x80" .. ("\0"):rep(-(#text + 9) % 64) .. string.pack(">I8", #text * 8)
    for at = 1, #all, 64 do block(h, all, at) end
    return string.pack(">I4I4I4I4I4I4I4I4", table.unpack(h))
end

function jwt.hmac(key, text)
    if #key > 64 then key = jwt.sha256(key) end
    key = key .. ("\0"):rep(64 - #key)
    local function pad(with) return (key:gsub(".", function(c) return string.char(c:byte() ~ with) end)) end
    return jwt.sha256(pad(0x5c) .. jwt.sha256(pad(0x36) .. text))
end

local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

function jwt.base64url(text)
    local out = {}
    for at = 1, #text, 3 do
        local a, b, c = text:byte(at, at + 2)
        local n = a << 16 | (b or 0) << 8 | (c or 0)
        for i = 0, c and 3 or b and 2 or 1 do
            local k = (n >> (18 - 6 * i) & 63) + 1
            out[#out + 1] = letters:sub(k, k)
        end
    end
    return table.concat(out)
end

function jwt.unbase64url(text)
    local out, n, bits = {}, 0, 0
    for c in text:gmatch "." do
        n, bits = (n << 6 | letters:find(c, 1, true) - 1) & 0xffffff, bits + 6
        if bits >= 8 then
            bits = bits - 8
            out[#out + 1] = string.char(n >> bits & 255)
        end
    end
    return table.concat(out)
end

--- A token with these claims (table or ready JSON), signed with HS256 whatever its head says.
function jwt.make(claims, key, head)
    if type(claims) == "table" then claims = json.encode(claims) end
    local signed = jwt.base64url(head or '{"alg":"HS256","typ":"JWT"}') .. "." .. jwt.base64url(claims)
    return signed .. "." .. jwt.base64url(jwt.hmac(key, signed))
end

--- The claims of a token, and its head.
function jwt.read(token)
    local head, claims = token:match("^([^.]+)%.([^.]+)%.")
    return json.decode(jwt.unbase64url(claims)), json.decode(jwt.unbase64url(head))
end

return jwt
