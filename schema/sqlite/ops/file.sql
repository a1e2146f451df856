-- Files (lua/file.lua, actors/http_file*.c, actors/chat_media.c). Columns of a file always come in the order of `file_get`
-- (actors/media.c reads them).

-- name: file_get read
SELECT f.id, f.user, f.name, f.type, f.kind, f.size, f.part_size, f.upload, f.state, f.etag, f.width, f.height, f.duration, f.thumbnail,
       f.until_ms FROM file f WHERE f.id = :id;

-- A ready file with readable = 1 for its owner and for members of a conversation with a live message that holds it, or holds the file
-- whose preview it is. A plus takes the type off a column: an expression, which message_file is over, is looked up by an index only then.
-- name: file_readable read
SELECT f.id, f.user, f.name, f.type, f.kind, f.size, f.part_size, f.upload, f.state, f.etag, f.width, f.height, f.duration, f.thumbnail,
       f.until_ms,
       f.user = :user
       OR EXISTS (SELECT 1 FROM message_file_of x CROSS JOIN member m ON m.conversation = x.conversation AND m.user = :user WHERE x.file = +f.id)
       OR EXISTS (SELECT 1 FROM file g CROSS JOIN message_file_of x ON x.file = +g.id
           CROSS JOIN member m ON m.conversation = x.conversation AND m.user = :user WHERE g.thumbnail = f.id AND g.thumbnail > 0) AS readable
FROM file f WHERE f.id = :id AND f.state = 'ready';

-- Refused (no row) when the user's files would be more than :quota bytes (0: no limit), or :open_max are open already.
-- name: file_ticket write expect=1
INSERT INTO file (user, name, type, kind, size, part_size, created_ms, until_ms)
SELECT :user, :name, :type, :kind, :size, :part_size, :now, :until
WHERE (:quota = 0 OR :size + coalesce((SELECT u.bytes FROM file_use u WHERE u.user = :user), 0) <= :quota)
  AND (SELECT count(*) FROM file f WHERE f.user = :user AND f.state = 'open') < :open_max;

-- name: file_use read
SELECT coalesce(max(bytes), 0) AS bytes, coalesce(max(files), 0) AS files FROM file_use WHERE user = :user;

-- name: file_upload write expect=1
UPDATE file SET upload = :upload WHERE id = :id AND state = 'open';

-- name: file_whole write expect=1
UPDATE file SET state = 'whole', etag = :etag, until_ms = :until WHERE id = :id AND state IN ('open', 'whole');

-- name: file_ready write expect=1
UPDATE file SET state = 'ready', etag = :etag, width = :width, height = :height, duration = :duration, thumbnail = :thumbnail,
    look_ms = :look
WHERE id = :id AND state IN ('open', 'whole');

-- name: file_abort write expect=1
UPDATE file SET state = 'aborted' WHERE id = :id AND state IN ('open', 'whole', 'aborted');

-- Those whose time is over, the oldest first.
-- name: file_expired read
SELECT f.id, f.size, f.type, f.part_size, f.upload FROM file f WHERE f.state <> 'ready' AND f.state <> 'loose'
    AND f.until_ms <= :now ORDER BY f.until_ms LIMIT :limit;

-- name: file_delete write
DELETE FROM file WHERE id = :id AND state = 'aborted';

-- What nothing holds. A write of a state looks by itself whether that is so: it stands in the order of all writes.

-- Of the :limit that are to be looked at first, those that something holds need no look.
-- name: file_keep write
UPDATE file SET state = 'ready', look_ms = 0
WHERE id IN (SELECT f.id FROM file f WHERE f.look_ms > 0 AND f.look_ms <= :now ORDER BY f.look_ms LIMIT :limit) AND state IN ('ready', 'loose')
  AND id IN (SELECT h.id FROM file_held h WHERE h.id = file.id);

-- name: file_due read
SELECT f.id, f.state, f.look_ms FROM file f WHERE f.look_ms > 0 AND f.look_ms <= :now ORDER BY f.look_ms LIMIT :limit;

-- Somebody let go of it: it is looked at again at :until.
-- name: file_wait write
UPDATE file SET state = 'ready', look_ms = :until WHERE id = :id AND look_ms = 1 AND state IN ('ready', 'loose');

-- name: file_loosen write
UPDATE file SET state = 'loose', look_ms = :until WHERE id = :id AND look_ms = :look AND state = 'ready'
  AND NOT EXISTS (SELECT 1 FROM file_held h WHERE h.id = :id);

-- From here on it is one that was aborted.
-- name: file_leave write
UPDATE file SET state = 'aborted', look_ms = 0, until_ms = :now WHERE id = :id AND look_ms = :look AND state = 'loose'
  AND NOT EXISTS (SELECT 1 FROM file_held h WHERE h.id = :id);
