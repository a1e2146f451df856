-- shape: the shared objects of the wire (PROTOCOL.md section 5) from rows of the store.
local picture = require "lib.picture"

local shape = {}

-- prefix: of the columns, where a row holds two users.
function shape.user(row, prefix)
    prefix = prefix or ""
    return {
        id = row[prefix .. "id"], username = row[prefix .. "username"], avatar_url = picture.shown(row[prefix .. "avatar_url"]),
        display_name = row[prefix .. "display_name"],
    }
end

function shape.profile(row) return {user = shape.user(row), status = row.status} end

function shape.contact(row)
    local item = shape.user(row)
    item.remark, item.since_ms = row.remark, row.since_ms
    return item
end

function shape.contact_request(row)
    return {
        id = row.id, from = shape.user(row, "from_"), to = shape.user(row, "to_"), message = row.message, status = row.status,
        created_at_ms = row.created_ms,
    }
end

function shape.blocked(row)
    local item = shape.user(row)
    item.since_ms = row.since_ms
    return item
end

function shape.member(row)
    return {
        user = shape.user(row), role = row.role, nickname = row.nickname, muted_until_ms = row.muted_until_ms,
        joined_at_ms = row.joined_ms, read_seq = row.read_seq,
    }
end

function shape.join_request(row)
    return {
        id = row.request, conversation_id = row.conversation, user = shape.user(row), inviter_id = row.inviter, message = row.message,
        status = row.status, created_at_ms = row.created_ms,
    }
end

-- ConversationShared: what all members see alike.
function shape.conversation(row)
    return {
        id = row.id, type = row.type, title = row.title, avatar_url = picture.shown(row.avatar_url), owner_id = row.owner,
        member_count = row.member_count, member_limit = row.member_limit, announcement = row.announcement,
        join_mode = row.join_mode, mute_all = row.mute_all ~= 0, status = row.status,
    }
end

local function body_of(row)
    if row.last_type >= 2 and row.last_type <= 5 then return files.body(row.last_content) end -- with its links
    return json.decode(row.last_content)
end

local function last_message(row)
    if row.last_id == nil then return json.null end
    local recalled, at = row.last_recalled ~= 0, row.last_at_ms
    return {
        id = row.last_id, conversation_id = row.id, sender_id = row.last_sender, seq = row.latest_seq, content_type = row.last_type,
        body = recalled and {} or body_of(row), client_msg_id = row.last_client_msg_id,
        create_time = {seconds = at // 1000, nanos = at % 1000 * 1000000}, created_at_ms = at,
        status = recalled and "recalled" or "normal", reply_to = row.last_reply_to,
    }
end

-- ConversationBrief: as one member sees it, from a row of the view `brief`. A single chat is titled by the other side.
function shape.brief(row)
    local item = shape.conversation(row)
    if row.peer ~= 0 then item.title = row.peer_name or "" end
    item.peer_id, item.role, item.muted_until_ms = row.peer, row.role, row.muted_until_ms
    item.pinned, item.muted = row.pinned ~= 0, row.muted ~= 0
    item.read_seq, item.latest_seq, item.latest_change = row.read_seq, row.latest_seq, row.latest_change
    item.unread = row.latest_seq - row.read_seq
    item.last_message, item.updated_at_ms = last_message(row), row.updated_ms
    return item
end

return shape
