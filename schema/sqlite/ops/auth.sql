-- Accounts and logins (lua/auth.lua). A login is a token family; its row knows the current refresh token by hash only.

-- name: user_create write
INSERT INTO user (username, password, display_name, created_ms) VALUES (:username, :password, :display_name, :now) RETURNING id;

-- name: user_credentials read
SELECT id, username, display_name, avatar_url, status, password FROM user WHERE username = :username;

-- name: login_create write
INSERT INTO login (user, device, created_ms, refresh_hash) VALUES (:user, :device, :now, '') RETURNING id;

-- Logins whose last refresh token expired before :before are worth nothing any more.
-- name: login_prune write
DELETE FROM login WHERE user = :user AND max(created_ms, used_ms) < :before;

-- name: login_pair write expect=1
UPDATE login SET refresh_hash = :hash, pair = :pair WHERE id = :fam;

-- name: login_get read
SELECT l.id AS fam, l.user, l.device, l.revoked_ms, l.refresh_hash, l.pair, l.used_hash, l.used_ms, l.used_address, l.used_device,
       u.username, u.display_name, u.avatar_url, u.status
FROM login l JOIN user u ON u.id = l.user WHERE l.id = :fam;

-- Of concurrent uses of one refresh token exactly one finds its hash still current.
-- name: login_rotate write expect=1
UPDATE login SET refresh_hash = :hash, pair = :pair, used_hash = refresh_hash, used_ms = :now, used_address = :address,
       used_device = :device
WHERE id = :fam AND refresh_hash = :old_hash AND revoked_ms = 0;

-- name: login_revoke write
UPDATE login SET revoked_ms = :now WHERE id = :fam AND revoked_ms = 0;

-- name: user_by_phone read
SELECT id, username, display_name, avatar_url, status FROM user WHERE phone = :phone;

-- name: user_create_phone write
INSERT INTO user (username, phone, display_name, created_ms) VALUES (:username, :phone, :username, :now) RETURNING id;

-- name: user_phone write
UPDATE user SET phone = :phone WHERE id = :user;

-- Token families, the newest first; those whose tokens have all expired (:since) are left out.
-- name: login_list read
SELECT l.id AS family, l.device, l.created_ms, max(l.created_ms, l.used_ms) AS used_ms, l.used_address AS address, l.revoked_ms
FROM login l WHERE l.user = :user AND max(l.created_ms, l.used_ms) > :since ORDER BY l.id DESC LIMIT :limit;

-- All families of a user but one, or the one named (:family = 0: all), that are not revoked yet.
-- name: login_live read
SELECT l.id AS family FROM login l
WHERE l.user = :user AND l.revoked_ms = 0 AND (:family = 0 OR l.id = :family) AND l.id <> :except ORDER BY l.id LIMIT :limit;
