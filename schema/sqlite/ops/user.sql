-- Users as others see them (lua/user.lua).

-- name: user_get read
SELECT id, username, display_name, avatar_url, status FROM user WHERE id = :user;

-- name: user_update write
UPDATE user SET display_name = :display_name, avatar_url = :avatar_url WHERE id = :user;

-- How many of these ids are users.
-- name: users_known read
SELECT count(*) AS known FROM user WHERE id IN (SELECT value FROM json_each(:ids));

-- Rank 0: the very id or username; rank 1: prefixes. :stop is :q and the highest character, so both prefix tests are ranges of an index.
-- name: user_search read
SELECT id, username, display_name, avatar_url, rank FROM (
    SELECT u.id, u.username, u.display_name, u.avatar_url, u.status, CASE WHEN u.id = :id OR u.username = :q THEN 0 ELSE 1 END AS rank
    FROM user u
    WHERE u.id = :id OR (u.username >= :q AND u.username < :stop)
       OR (u.display_name COLLATE NOCASE >= :q AND u.display_name COLLATE NOCASE < :stop)
) found
WHERE status = 'active' AND (rank, id) > (:after_rank, :after_id)
  AND NOT EXISTS (SELECT 1 FROM block b WHERE b.user = found.id AND b.peer = :caller)
ORDER BY rank, id LIMIT :limit;
