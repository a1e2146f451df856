-- Conversations and groups (lua/group.lua and lua/lib/group_*.lua). The view `brief` is a conversation as one member sees it.

-- The facts that decide what a member may do; no row: no member, or no such conversation.
-- name: conversation_facts read
SELECT c.id, c.type, c.status, c.owner, c.title, c.avatar_url, c.announcement, c.join_mode, c.mute_all, c.member_limit,
       m.role, m.nickname, m.muted_until_ms, m.pinned, m.muted
FROM member m JOIN conversation c ON c.id = m.conversation WHERE m.conversation = :conversation AND m.user = :user;

-- For someone at the door of a conversation.
-- name: conversation_door read
SELECT c.id, c.type, c.status, c.join_mode, c.member_limit,
       (SELECT count(*) FROM member x WHERE x.conversation = c.id) AS member_count,
       EXISTS (SELECT 1 FROM member x WHERE x.conversation = c.id AND x.user = :user) AS inside
FROM conversation c WHERE c.id = :conversation;

-- Pinned first, then the latest activity, then the id. The cursor is the last row's place. The page is chosen by cheap columns first; only
-- its rows are counted.
-- name: brief_list read
WITH place AS (
    SELECT m.conversation, -m.pinned AS pinned, -coalesce((SELECT l.at_ms FROM message l WHERE l.conversation = m.conversation
           ORDER BY l.seq DESC LIMIT 1), c.created_ms) AS updated
    FROM member m JOIN conversation c ON c.id = m.conversation WHERE m.user = :user
), page AS MATERIALIZED (
    SELECT * FROM place WHERE (pinned, updated, conversation) > (:after_pinned, :after_updated, :after_id)
    ORDER BY pinned, updated, conversation LIMIT :limit
)
SELECT b.* FROM page JOIN brief b ON b.viewer = :user AND b.id = page.conversation
ORDER BY page.pinned, page.updated, page.conversation;

-- name: brief_count read
SELECT count(*) AS total FROM member WHERE user = :user;

-- name: brief_get read
SELECT * FROM brief WHERE viewer = :user AND id = :conversation;

-- One row for each of these viewers.
-- name: brief_each read
SELECT * FROM brief WHERE id = :conversation AND viewer IN (SELECT value FROM json_each(:ids));

-- name: conversation_shared read
SELECT c.*, (SELECT count(*) FROM member x WHERE x.conversation = c.id) AS member_count FROM conversation c WHERE c.id = :conversation;

-- name: single_create write
INSERT INTO conversation (type, member_limit, low, high, created_ms) VALUES (1, 2, :low, :high, :now) RETURNING id;

-- name: group_create write
INSERT INTO conversation (type, title, owner, member_limit, created_ms) VALUES (2, :title, :owner, :member_limit, :now) RETURNING id;

-- The members of the conversation that the same batch has just inserted; :owner 0 = none of them.
-- name: members_first write
INSERT INTO member (conversation, user, role, joined_ms)
SELECT last_insert_rowid(), value, CASE value WHEN :owner THEN 'owner' ELSE 'member' END, :now FROM json_each(:ids);

-- name: group_update write
UPDATE conversation SET title = :title, avatar_url = :avatar_url, join_mode = :join_mode, announcement = :announcement,
       mute_all = :mute_all WHERE id = :conversation;

-- name: group_dissolve write
UPDATE conversation SET status = 'dissolved' WHERE id = :conversation;

-- name: group_owner write
UPDATE conversation SET owner = :user WHERE id = :conversation;

-- name: member_settings write
UPDATE member SET pinned = :pinned, muted = :muted WHERE conversation = :conversation AND user = :user;

-- name: member_nickname write
UPDATE member SET nickname = :nickname WHERE conversation = :conversation AND user = :user;

-- name: member_role write
UPDATE member SET role = :role WHERE conversation = :conversation AND user = :user;

-- name: member_mute write
UPDATE member SET muted_until_ms = :until_ms WHERE conversation = :conversation AND user = :user;

-- A new member starts at the latest seq.
-- name: members_add write
INSERT OR IGNORE INTO member (conversation, user, joined_ms, read_seq)
SELECT :conversation, value, :now, coalesce((SELECT max(seq) FROM message WHERE conversation = :conversation), 0) FROM json_each(:ids);

-- name: member_remove write
DELETE FROM member WHERE conversation = :conversation AND user = :user;

-- What the devices of a former member had acked means nothing should they come back.
-- name: member_forget_acks write
DELETE FROM device_ack WHERE user = :user AND conversation = :conversation;

-- name: member_ids read
SELECT user FROM member WHERE conversation = :conversation ORDER BY user;

-- name: admin_ids read
SELECT user FROM member WHERE conversation = :conversation AND role IN ('owner', 'admin') ORDER BY user;

-- Which of these users are members already.
-- name: members_among read
SELECT user FROM member WHERE conversation = :conversation AND user IN (SELECT value FROM json_each(:ids));

-- name: member_count read
SELECT count(*) AS total FROM member WHERE conversation = :conversation;

-- Owner, admins, the others by the time they joined. own: their newest messages that are not yet counted in read_seq.
-- name: member_list read
WITH own AS (
    SELECT x.sender, max(x.seq) AS seq FROM message x JOIN conversation c ON c.id = x.conversation
    WHERE x.conversation = :conversation AND x.seq > c.folded_seq GROUP BY x.sender
), ranked AS (
    SELECT m.*, CASE m.role WHEN 'owner' THEN 0 WHEN 'admin' THEN 1 ELSE 2 END AS rank FROM member m WHERE m.conversation = :conversation
)
SELECT u.id, u.username, u.display_name, u.avatar_url, m.role, m.nickname, m.muted_until_ms, m.joined_ms, m.rank,
       max(m.read_seq, coalesce(own.seq, 0)) AS read_seq
FROM ranked m JOIN user u ON u.id = m.user LEFT JOIN own ON own.sender = m.user
WHERE (m.rank, m.joined_ms, m.user) > (:after_rank, :after_joined, :after_user)
ORDER BY m.rank, m.joined_ms, m.user LIMIT :limit;

-- name: member_get read
SELECT u.id, u.username, u.display_name, u.avatar_url, m.role, m.nickname, m.muted_until_ms, m.joined_ms,
       max(m.read_seq, coalesce((SELECT x.seq FROM message x JOIN conversation c ON c.id = x.conversation
           WHERE x.conversation = :conversation AND x.seq > c.folded_seq AND x.sender = :user ORDER BY x.seq DESC LIMIT 1), 0)) AS read_seq
FROM member m JOIN user u ON u.id = m.user WHERE m.conversation = :conversation AND m.user = :user;

-- Gives those that are new; who has an open request keeps that.
-- name: join_requests_add write
INSERT OR IGNORE INTO join_request (conversation, user, inviter, message, created_ms)
SELECT :conversation, value, :inviter, :message, :now FROM json_each(:ids) RETURNING id, user;

-- name: join_request_message write
UPDATE join_request SET message = :message WHERE conversation = :conversation AND user = :user AND status = 'pending' AND inviter = 0;

-- name: join_request_close write expect=1
UPDATE join_request SET status = :status WHERE id = :id AND status = 'pending';

-- name: join_request_get read
SELECT r.id AS request, r.conversation, r.inviter, r.message, r.status, r.created_ms, u.id, u.username, u.display_name, u.avatar_url
FROM join_request r JOIN user u ON u.id = r.user WHERE r.id = :id AND r.conversation = :conversation;

-- name: join_request_list read
SELECT r.id AS request, r.conversation, r.inviter, r.message, r.status, r.created_ms, u.id, u.username, u.display_name, u.avatar_url
FROM join_request r JOIN user u ON u.id = r.user
WHERE r.conversation = :conversation AND r.status = 'pending' AND r.id > :after ORDER BY r.id LIMIT :limit;
