-- What an operator asks and does by the console (lua/operator.lua).

-- By id, or, :id = 0, by name.
-- name: operator_user read
SELECT u.id, u.username, u.display_name, u.avatar_url, coalesce(u.phone, '') AS phone, u.status, u.created_ms, u.last_seen_ms,
       (SELECT count(*) FROM login l WHERE l.user = u.id AND l.revoked_ms = 0) AS sessions,
       (SELECT count(*) FROM member m WHERE m.user = u.id) AS conversations,
       (SELECT count(*) FROM contact c WHERE c.user = u.id) AS contacts
FROM user u WHERE u.id = :id OR (:id = 0 AND u.username = :name);

-- name: user_status write expect=1
UPDATE user SET status = :status WHERE id = :user;

-- Token families, the newest first; those whose tokens have all expired (:since) are left out.
-- name: login_list read
SELECT l.id AS family, l.device, l.created_ms, max(l.created_ms, l.used_ms) AS used_ms, l.used_address AS address, l.revoked_ms
FROM login l WHERE l.user = :user AND max(l.created_ms, l.used_ms) > :since ORDER BY l.id DESC LIMIT :limit;

-- All families of a user, or the one named (:family = 0: all), that are not revoked yet.
-- name: login_live read
SELECT l.id AS family FROM login l WHERE l.user = :user AND l.revoked_ms = 0 AND (:family = 0 OR l.id = :family) ORDER BY l.id LIMIT :limit;
