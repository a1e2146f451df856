-- path: ids in the path of a request. They are text or numbers; what is no id gets the route's own error text.
local path = {}
local MAX_ID <const> = (1 << 53) - 1

local function id_at(req, index, text)
    local v = req.id and req.id[index]
    if type(v) == "string" and v:find("^%d+$") and #v <= 16 then v = math.tointeger(tonumber(v)) end
    if math.type(v) ~= "integer" or v < 1 or v > MAX_ID then fail("bad_request", text) end
    return v
end

function path.conversation(req) return id_at(req, 1, "invalid conversation id") end
function path.contact(req) return id_at(req, 1, "invalid contact id") end
function path.user(req, index) return id_at(req, index or 1, "invalid user id") end
function path.request(req) return id_at(req, 2) end

-- The one who acted, for pushes: the acting device is left out.
function path.acting(req) return {user = req.user, device = req.device or ""} end

return path
