-- What the edge of the node asks the store itself (actors/inbox.c, conn_live.c, conn_presence.c).

-- Does the store answer? (/readyz)
-- name: ping read
SELECT 1;

-- Logins revoked since :since: their tokens may still look good. In the order of revocation, those behind (:since, :after).
-- name: logins_revoked read
SELECT id, revoked_ms FROM login WHERE revoked_ms > 0 AND (revoked_ms, id) > (:since, :after) ORDER BY revoked_ms, id LIMIT :limit;

-- Users who left, :list = {"user": ms, ...}. Of one who stands there twice either moment is taken.
-- (A third of what a list of pairs costs.)
-- name: users_seen write
UPDATE user SET last_seen_ms = max(user.last_seen_ms, gone.atom)
FROM json_each(:list) AS gone WHERE user.id = gone.key;

-- What :viewer may know of the users in the JSON list :users, by rising id.
-- name: presence_of read
SELECT u.id, u.last_seen_ms,
       EXISTS (SELECT 1 FROM contact c WHERE c.user = :viewer AND c.peer = u.id) AS contact,
       EXISTS (SELECT 1 FROM block b WHERE b.user = u.id AND b.peer = :viewer) AS blocked
FROM user u WHERE u.id IN (SELECT value FROM json_each(:users)) ORDER BY u.id;

-- Users who may not use their accounts, by id, those behind :after.
-- name: users_inactive read
SELECT id FROM user WHERE id > :after AND status <> 'active' ORDER BY id LIMIT :limit;
