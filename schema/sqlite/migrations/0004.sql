-- Files that nothing holds go again (lua/file.lua): messages, pictures of users and groups, and other files (as their preview) hold one.
-- state: beside those of 0003.sql `loose`: nothing held it, no message may name it any more, its bytes are still there.
ALTER TABLE file ADD COLUMN look_ms INTEGER NOT NULL DEFAULT 0; -- a finished one is looked at then: does anything hold it? 0: at no time
CREATE INDEX file_look ON file (look_ms) WHERE look_ms > 0;
CREATE INDEX user_picture ON user (avatar_url) WHERE avatar_url <> '';
CREATE INDEX conversation_picture ON conversation (avatar_url) WHERE avatar_url <> '';
CREATE VIEW file_held AS SELECT f.id FROM file f
WHERE EXISTS (SELECT 1 FROM message_file_of x WHERE x.file = +f.id)
   OR EXISTS (SELECT 1 FROM user u WHERE u.avatar_url = '/api/files/blob/' || f.id AND u.avatar_url <> '')
   OR EXISTS (SELECT 1 FROM conversation c WHERE c.avatar_url = '/api/files/blob/' || f.id AND c.avatar_url <> '')
   OR EXISTS (SELECT 1 FROM file g WHERE g.thumbnail = f.id AND g.thumbnail > 0 AND g.state <> 'aborted');
-- Who lets go of a file has it looked at: 1 is the moment that is always over.
CREATE TRIGGER message_lets_go AFTER UPDATE OF recalled ON message WHEN new.recalled = 1 AND old.recalled = 0 AND old.type BETWEEN 2 AND 5 BEGIN
    UPDATE file SET look_ms = 1 WHERE state IN ('ready', 'loose') AND id = json_extract(old.content, CASE old.type
        WHEN 2 THEN '$.image.file_id' WHEN 3 THEN '$.file.file_id' WHEN 4 THEN '$.audio.file_id' ELSE '$.video.file_id' END);
END;
CREATE TRIGGER user_lets_go AFTER UPDATE OF avatar_url ON user
WHEN old.avatar_url <> new.avatar_url AND old.avatar_url LIKE '/api/files/blob/%' BEGIN
    UPDATE file SET look_ms = 1 WHERE state IN ('ready', 'loose') AND id = CAST(substr(old.avatar_url, 17) AS INTEGER);
END;
CREATE TRIGGER conversation_lets_go AFTER UPDATE OF avatar_url ON conversation
WHEN old.avatar_url <> new.avatar_url AND old.avatar_url LIKE '/api/files/blob/%' BEGIN
    UPDATE file SET look_ms = 1 WHERE state IN ('ready', 'loose') AND id = CAST(substr(old.avatar_url, 17) AS INTEGER);
END;
CREATE TRIGGER file_lets_go AFTER UPDATE OF state ON file WHEN new.state = 'aborted' AND old.state <> 'aborted' AND old.thumbnail > 0 BEGIN
    UPDATE file SET look_ms = 1 WHERE state IN ('ready', 'loose') AND id = old.thumbnail;
END;
-- Those of before.
UPDATE file SET look_ms = 1 WHERE state = 'ready';
