-- What the conversation actor reads and writes (actors/conversation*.c). :conversation is its key.

-- The facts: no row: no such conversation. low_blocked: the other one of a single chat has blocked `low`.
-- name: conversation_load read
SELECT c.type, c.status = 'dissolved' AS dissolved, c.mute_all, c.folded_seq, coalesce(c.low, 0) AS low,
       EXISTS (SELECT 1 FROM block b WHERE b.user = c.high AND b.peer = c.low) AS low_blocked,
       EXISTS (SELECT 1 FROM block b WHERE b.user = c.low AND b.peer = c.high) AS high_blocked,
       coalesce(l.seq, 0) AS latest_seq, coalesce(l.at_ms, 0) AS latest_at_ms, c.change AS latest_change
FROM conversation c
LEFT JOIN message l ON l.conversation = c.id AND l.seq = (SELECT max(y.seq) FROM message y WHERE y.conversation = c.id)
WHERE c.id = :conversation;

-- Rank: 1 member, 2 admin, 3 owner. own: their newest messages that are not yet counted in read_seq.
-- name: conversation_members read
WITH own AS (
    SELECT x.sender, max(x.seq) AS seq FROM message x JOIN conversation c ON c.id = x.conversation
    WHERE x.conversation = :conversation AND x.seq > c.folded_seq GROUP BY x.sender
)
SELECT m.user, CASE m.role WHEN 'owner' THEN 3 WHEN 'admin' THEN 2 ELSE 1 END AS rank, m.muted_until_ms,
       max(m.read_seq, coalesce(own.seq, 0)) AS read_seq
FROM member m LEFT JOIN own ON own.sender = m.user
WHERE m.conversation = :conversation ORDER BY m.user;

-- Changes nothing: in one batch with reads it makes them wait for everything that was handed to the store before.
-- name: conversation_touch write
UPDATE conversation SET folded_seq = folded_seq WHERE id = :conversation;

-- Has this message been stored already?
-- name: conversation_repeat read
SELECT id, seq, at_ms FROM message WHERE conversation = :conversation AND sender = :sender AND client_msg_id = :client_msg_id;

-- Stored messages whose fan-out is missing.
-- name: conversation_above read
SELECT id, seq, sender, client_msg_id, at_ms, type, recalled, reply_to, content FROM message
WHERE conversation = :conversation AND seq > :seq ORDER BY seq LIMIT :limit;

-- name: conversation_read write
UPDATE member SET read_seq = max(read_seq, :seq) WHERE conversation = :conversation AND user = :user;

-- Writes the positions that sends have moved: first the members', then up to where that is done.
-- name: conversation_fold_members write
UPDATE member SET read_seq = max(member.read_seq, own.seq)
FROM (SELECT sender, max(seq) AS seq FROM message WHERE conversation = :conversation AND seq > :after AND seq <= :upto GROUP BY sender) AS own
WHERE member.conversation = :conversation AND member.user = own.sender;

-- name: conversation_fold write
UPDATE conversation SET folded_seq = max(folded_seq, :upto) WHERE id = :conversation;

-- The change that recalled this message: no row: it is not recalled.
-- name: conversation_recalled read
SELECT c.change, c.at_ms FROM message m JOIN change c ON c.conversation = m.conversation AND c.message_id = m.id AND c.kind = 'recall'
WHERE m.id = :message AND m.conversation = :conversation AND m.recalled = 1;

-- A recall, in one batch.
-- name: conversation_recall write expect=1
UPDATE message SET content = '{}', recalled = 1 WHERE id = :message AND conversation = :conversation AND recalled = 0;

-- name: conversation_change write
UPDATE conversation SET change = change + 1 WHERE id = :conversation RETURNING change;

-- name: conversation_change_add write
INSERT INTO change (conversation, change, kind, message_id, seq, operator, at_ms)
SELECT id, change, 'recall', :message, :seq, :operator, :now FROM conversation WHERE id = :conversation;
