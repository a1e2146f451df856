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
