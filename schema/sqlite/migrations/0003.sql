-- Files: whose, what, how far. Their bytes are in the store of files.url, under their id.
CREATE TABLE file (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    user INTEGER NOT NULL,
    name TEXT NOT NULL, type TEXT NOT NULL,
    kind TEXT NOT NULL,                          -- image, file, audio, video
    size INTEGER NOT NULL,                       -- declared; of finished ones the real one too
    part_size INTEGER NOT NULL DEFAULT 0,        -- 0: put whole
    upload TEXT NOT NULL DEFAULT '',             -- what the store calls an upload in parts
    state TEXT NOT NULL DEFAULT 'open',          -- open: being put; whole: its parts are together; ready: in messages; aborted
    etag TEXT NOT NULL DEFAULT '',
    width INTEGER NOT NULL DEFAULT 0, height INTEGER NOT NULL DEFAULT 0, duration INTEGER NOT NULL DEFAULT 0,
    thumbnail INTEGER NOT NULL DEFAULT 0,        -- another file, 0 = none
    created_ms INTEGER NOT NULL,
    until_ms INTEGER NOT NULL                    -- one that is not ready is dropped then
);
CREATE INDEX file_until ON file (until_ms) WHERE state <> 'ready';
CREATE INDEX file_open ON file (user) WHERE state = 'open';
CREATE INDEX file_thumbnail ON file (thumbnail) WHERE thumbnail > 0;
-- Bytes and files of each user that count against files.quota: all but the aborted ones.
CREATE TABLE file_use (user INTEGER PRIMARY KEY, bytes INTEGER NOT NULL, files INTEGER NOT NULL);
CREATE TRIGGER file_made AFTER INSERT ON file BEGIN
    INSERT INTO file_use (user, bytes, files) VALUES (new.user, new.size, 1)
    ON CONFLICT (user) DO UPDATE SET bytes = bytes + excluded.bytes, files = files + 1;
END;
CREATE TRIGGER file_aborted AFTER UPDATE OF state ON file WHEN new.state = 'aborted' AND old.state <> 'aborted' BEGIN
    UPDATE file_use SET bytes = bytes - old.size, files = files - 1 WHERE user = old.user;
END;
CREATE TRIGGER file_gone AFTER DELETE ON file WHEN old.state <> 'aborted' BEGIN
    UPDATE file_use SET bytes = bytes - old.size, files = files - 1 WHERE user = old.user;
END;
-- Which live messages hold a file: a recalled one has lost its content, so it is not in here.
CREATE INDEX message_file ON message (json_extract(content, CASE type WHEN 2 THEN '$.image.file_id' WHEN 3 THEN '$.file.file_id'
    WHEN 4 THEN '$.audio.file_id' ELSE '$.video.file_id' END)) WHERE type BETWEEN 2 AND 5;
CREATE VIEW message_file_of AS
SELECT json_extract(m.content, CASE m.type WHEN 2 THEN '$.image.file_id' WHEN 3 THEN '$.file.file_id'
    WHEN 4 THEN '$.audio.file_id' ELSE '$.video.file_id' END) AS file, m.conversation
FROM message m WHERE m.type BETWEEN 2 AND 5;
