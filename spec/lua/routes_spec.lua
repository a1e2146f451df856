-- The route table (actors/routes.def) names verbs of Lua services: each of them exists, and each verb has a route.
local fake = require "spec.lua.fake"

local INNER <const> = {sweep = true, let_go = true, picture = true} -- asked by themselves or by other services

describe("the route table", function()
    local routes = {}
    setup(function()
        fake.new()
        for line in assert(io.open "actors/routes.def"):lines() do
            local service, verb = line:match('LUA%("(%l+)", "([%l_]+)"')
            if not service then service, verb = line:match('%.service = "(%l+)", %.verb = "([%l_]+)"') end
            if service then routes[service .. "." .. verb] = true end
        end
    end)

    it("names only verbs that exist, and all of them", function()
        local verbs = {}
        for _, service in ipairs {"auth", "user", "contact", "group", "sms", "file"} do
            for verb in pairs(require(service).on) do verbs[service .. "." .. verb] = not INNER[verb] or nil end
        end
        assert.same(routes, verbs)
    end)
end)
