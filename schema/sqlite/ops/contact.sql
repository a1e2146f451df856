-- Contacts, applications, blocklist (lua/contact.lua). A contact is two rows, one for each side.

-- name: contact_list read
SELECT u.id, u.username, u.display_name, u.avatar_url, c.remark, c.since_ms
FROM contact c JOIN user u ON u.id = c.peer
WHERE c.user = :user AND c.peer > :after ORDER BY c.peer LIMIT :limit;

-- name: contact_count read
SELECT count(*) AS total FROM contact WHERE user = :user;

-- name: contact_get read
SELECT u.id, u.username, u.display_name, u.avatar_url, c.remark, c.since_ms
FROM contact c JOIN user u ON u.id = c.peer WHERE c.user = :user AND c.peer = :peer;

-- name: contact_remark write
UPDATE contact SET remark = :remark WHERE user = :user AND peer = :peer;

-- name: contact_pair_add write
INSERT OR IGNORE INTO contact (user, peer, since_ms) VALUES (:user, :peer, :now), (:peer, :user, :now);

-- name: contact_pair_remove write
DELETE FROM contact WHERE (user = :user AND peer = :peer) OR (user = :peer AND peer = :user);

-- All that decides about an application of :user to :peer; no row: no such peer. sent and received: open applications.
-- name: contact_facts read
SELECT u.status,
       EXISTS (SELECT 1 FROM contact WHERE user = :user AND peer = :peer) AS contact,
       EXISTS (SELECT 1 FROM block WHERE (user = :user AND peer = :peer) OR (user = :peer AND peer = :user)) AS blocked,
       (SELECT id FROM contact_request WHERE from_user = :user AND to_user = :peer AND status = 'pending') AS sent,
       (SELECT id FROM contact_request WHERE from_user = :peer AND to_user = :user AND status = 'pending') AS received
FROM user u WHERE u.id = :peer;

-- The facts may have changed since they were read: then nothing is inserted, and the rule reads them again.
-- name: contact_request_add write expect=1
INSERT INTO contact_request (from_user, to_user, message, created_ms)
SELECT :user, :peer, :message, :now
WHERE NOT EXISTS (SELECT 1 FROM contact WHERE user = :user AND peer = :peer)
  AND NOT EXISTS (SELECT 1 FROM block WHERE (user = :user AND peer = :peer) OR (user = :peer AND peer = :user))
  AND NOT EXISTS (SELECT 1 FROM contact_request WHERE from_user = :peer AND to_user = :user AND status = 'pending')
RETURNING id;

-- name: contact_request_remark write expect=1
UPDATE contact_request SET message = :message WHERE id = :id AND status = 'pending';

-- name: contact_request_close write expect=1
UPDATE contact_request SET status = :status WHERE id = :id AND status = 'pending';

-- name: contact_request_get read
SELECT r.id, r.message, r.status, r.created_ms,
       f.id AS from_id, f.username AS from_username, f.display_name AS from_display_name, f.avatar_url AS from_avatar_url,
       t.id AS to_id, t.username AS to_username, t.display_name AS to_display_name, t.avatar_url AS to_avatar_url
FROM contact_request r JOIN user f ON f.id = r.from_user JOIN user t ON t.id = r.to_user WHERE r.id = :id;

-- name: contact_requests_incoming read
SELECT r.id, r.message, r.status, r.created_ms,
       f.id AS from_id, f.username AS from_username, f.display_name AS from_display_name, f.avatar_url AS from_avatar_url,
       t.id AS to_id, t.username AS to_username, t.display_name AS to_display_name, t.avatar_url AS to_avatar_url
FROM contact_request r JOIN user f ON f.id = r.from_user JOIN user t ON t.id = r.to_user
WHERE r.to_user = :user AND (:status = 'all' OR r.status = :status) AND r.id < :before ORDER BY r.id DESC LIMIT :limit;

-- name: contact_requests_outgoing read
SELECT r.id, r.message, r.status, r.created_ms,
       f.id AS from_id, f.username AS from_username, f.display_name AS from_display_name, f.avatar_url AS from_avatar_url,
       t.id AS to_id, t.username AS to_username, t.display_name AS to_display_name, t.avatar_url AS to_avatar_url
FROM contact_request r JOIN user f ON f.id = r.from_user JOIN user t ON t.id = r.to_user
WHERE r.from_user = :user AND (:status = 'all' OR r.status = :status) AND r.id < :before ORDER BY r.id DESC LIMIT :limit;

-- name: block_list read
SELECT u.id, u.username, u.display_name, u.avatar_url, b.since_ms
FROM block b JOIN user u ON u.id = b.peer
WHERE b.user = :user AND b.peer > :after ORDER BY b.peer LIMIT :limit;

-- name: block_add write
INSERT OR IGNORE INTO block (user, peer, since_ms) VALUES (:user, :peer, :now);

-- name: block_remove write
DELETE FROM block WHERE user = :user AND peer = :peer;

-- Which of these users have blocked :user.
-- name: blocked_by read
SELECT b.user FROM block b WHERE b.peer = :user AND b.user IN (SELECT value FROM json_each(:ids)) LIMIT 1;

-- The single chat of two users, :low < :high.
-- name: single_find read
SELECT id FROM conversation WHERE low = :low AND high = :high;
