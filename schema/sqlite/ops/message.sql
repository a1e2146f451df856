-- What a connection reads and writes of messages itself (actors/chat*.c): history, sync, replay, resends, device acks. Parameters are
-- given in the order in which they first appear. Columns of a message always come in the order of `history_before`.

-- The newest seq, as one member may know it; no row: no member, or no such conversation.
-- name: history_latest read
SELECT coalesce((SELECT max(l.seq) FROM message l WHERE l.conversation = m.conversation), 0) AS latest
FROM member m WHERE m.user = :user AND m.conversation = :conversation;

-- The newest below :before, newest first.
-- name: history_before read
SELECT m.conversation, m.id, m.seq, m.sender, m.type, m.at_ms, m.client_msg_id, m.recalled, m.reply_to, m.content
FROM message m WHERE m.conversation = :conversation AND m.seq < :before ORDER BY m.seq DESC LIMIT :limit;

-- The oldest above :after, oldest first.
-- name: history_after read
SELECT m.conversation, m.id, m.seq, m.sender, m.type, m.at_ms, m.client_msg_id, m.recalled, m.reply_to, m.content
FROM message m WHERE m.conversation = :conversation AND m.seq > :after ORDER BY m.seq LIMIT :limit;

-- name: message_now read
SELECT m.conversation, m.id, m.seq, m.sender, m.type, m.at_ms, m.client_msg_id, m.recalled, m.reply_to, m.content
FROM message m WHERE m.id = :id;

-- A message as a member may read it; no row: there is none, or the user is no member of its conversation.
-- name: message_one read
SELECT m.conversation, m.id, m.seq, m.sender, m.type, m.at_ms, m.client_msg_id, m.recalled, m.reply_to, m.content
FROM message m JOIN member u ON u.conversation = m.conversation AND u.user = :user WHERE m.id = :id;

-- Conversations of a user with what a sync tells of each, the most recently active first: all of them, or those in the JSON list :ids.
-- name: sync_all read
SELECT m.conversation, coalesce(l.seq, 0) AS latest, c.change,
       max(m.read_seq, coalesce((SELECT own.seq FROM message own WHERE own.conversation = c.id AND own.seq > c.folded_seq
           AND own.sender = m.user ORDER BY own.seq DESC LIMIT 1), 0)) AS read_seq
FROM member m JOIN conversation c ON c.id = m.conversation
LEFT JOIN message l ON l.conversation = c.id AND l.seq = (SELECT max(y.seq) FROM message y WHERE y.conversation = c.id)
WHERE m.user = :user ORDER BY coalesce(l.at_ms, c.created_ms) DESC, m.conversation;

-- name: sync_some read
SELECT m.conversation, coalesce(l.seq, 0) AS latest, c.change,
       max(m.read_seq, coalesce((SELECT own.seq FROM message own WHERE own.conversation = c.id AND own.seq > c.folded_seq
           AND own.sender = m.user ORDER BY own.seq DESC LIMIT 1), 0)) AS read_seq
FROM json_each(:ids) j CROSS JOIN member m ON m.conversation = j.value AND m.user = :user JOIN conversation c ON c.id = m.conversation
LEFT JOIN message l ON l.conversation = c.id AND l.seq = (SELECT max(y.seq) FROM message y WHERE y.conversation = c.id)
ORDER BY coalesce(l.at_ms, c.created_ms) DESC, m.conversation;

-- Messages of the places in :ranges, a JSON list of [conversation, first seq, last seq], in that order. The joins are written in the order in
-- which they run (CROSS JOIN), so the rows need no sorting; who reads them checks the order.
-- name: message_ranges read
SELECT m.conversation, m.id, m.seq, m.sender, m.type, m.at_ms, m.client_msg_id, m.recalled, m.reply_to, m.content
FROM json_each(:ranges) r CROSS JOIN member u ON u.conversation = json_extract(r.value, '$[0]') AND u.user = :user
CROSS JOIN message m ON m.conversation = u.conversation
    AND m.seq BETWEEN json_extract(r.value, '$[1]') AND json_extract(r.value, '$[2]');

-- The same with the recall of those that were recalled.
-- name: message_ranges_recalls read
SELECT m.conversation, m.id, m.seq, m.sender, m.type, m.at_ms, m.client_msg_id, m.recalled, m.reply_to, m.content,
       k.change, k.operator, k.at_ms AS recalled_ms
FROM json_each(:ranges) r CROSS JOIN member u ON u.conversation = json_extract(r.value, '$[0]') AND u.user = :user
CROSS JOIN message m ON m.conversation = u.conversation
    AND m.seq BETWEEN json_extract(r.value, '$[1]') AND json_extract(r.value, '$[2]')
LEFT JOIN change k ON k.message_id = m.id AND k.kind = 'recall' AND m.recalled;

-- Changes in :ranges, a JSON list of [conversation, first change, last change].
-- name: change_ranges read
SELECT k.conversation, k.change, k.kind, k.message_id, k.seq, k.operator, k.at_ms
FROM json_each(:ranges) r CROSS JOIN member u ON u.conversation = json_extract(r.value, '$[0]') AND u.user = :user
CROSS JOIN change k ON k.conversation = u.conversation
    AND k.change BETWEEN json_extract(r.value, '$[1]') AND json_extract(r.value, '$[2]');

-- Where the replay for a device starts: conversations with messages above what it has acked or, without ack state, above the furthest that
-- any device of the user has acked or the user has read; the most recently active first. acked is NULL without ack state. :oldest: acks
-- of devices not seen since then are forgotten.
-- name: replay_points read
WITH place AS MATERIALIZED (
    SELECT m.conversation, l.seq AS latest, l.at_ms AS at_ms, a.seq AS acked,
           coalesce(a.seq, max(m.read_seq,
               coalesce((SELECT own.seq FROM message own WHERE own.conversation = c.id AND own.seq > c.folded_seq
                   AND own.sender = m.user ORDER BY own.seq DESC LIMIT 1), 0),
               coalesce((SELECT max(x.seq) FROM device d CROSS JOIN device_ack x ON x.user = d.user AND x.device = d.device
                   AND x.conversation = m.conversation WHERE d.user = m.user AND d.seen_ms >= :oldest), 0))) AS start
    FROM member m JOIN conversation c ON c.id = m.conversation
    JOIN message l ON l.conversation = c.id AND l.seq = (SELECT max(y.seq) FROM message y WHERE y.conversation = c.id)
    LEFT JOIN device_ack a ON a.user = m.user AND a.device = :device AND a.conversation = m.conversation
        AND EXISTS (SELECT 1 FROM device d WHERE d.user = m.user AND d.device = a.device AND d.seen_ms >= :oldest)
    WHERE m.user = :user)
SELECT conversation, start, latest, acked FROM place WHERE latest > start ORDER BY at_ms DESC, conversation;

-- What is left of the claims in :claims, a JSON list of [conversation, seq], when cut to the newest seq; only of the user's own conversations.
-- name: acks_claim read
SELECT m.conversation, min(json_extract(j.value, '$[1]'),
       coalesce((SELECT max(l.seq) FROM message l WHERE l.conversation = m.conversation), 0)) AS seq
FROM json_each(:claims) j CROSS JOIN member m ON m.conversation = json_extract(j.value, '$[0]') AND m.user = :user;

-- The five of a device's acks, run as one batch. A device is seen by it; the :keep devices seen last are remembered.
-- name: device_seen write
INSERT INTO device (user, device, seen_ms) VALUES (:user, :device, :now)
ON CONFLICT (user, device) DO UPDATE SET seen_ms = max(seen_ms, excluded.seen_ms);

-- :acks is a JSON list of [conversation, seq, from]; from 0: acked up to seq.
-- name: acks_save write
INSERT INTO device_ack (user, device, conversation, seq)
SELECT m.user, :device, m.conversation, min(json_extract(j.value, '$[1]'),
       coalesce((SELECT max(l.seq) FROM message l WHERE l.conversation = m.conversation), 0)) AS seq
FROM json_each(:acks) j CROSS JOIN member m ON m.conversation = json_extract(j.value, '$[0]') AND m.user = :user
WHERE json_extract(j.value, '$[2]') = 0
ON CONFLICT (user, device, conversation) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq;

-- from > 0: own sends of the device, from to seq: they count as acked if everything below is.
-- name: acks_save_own write
INSERT INTO device_ack (user, device, conversation, seq)
SELECT a.user, a.device, a.conversation, json_extract(j.value, '$[1]') AS seq
FROM json_each(:acks) j CROSS JOIN device_ack a ON a.user = :user AND a.device = :device AND a.conversation = json_extract(j.value, '$[0]')
WHERE json_extract(j.value, '$[2]') > 0 AND a.seq >= json_extract(j.value, '$[2]') - 1
ON CONFLICT (user, device, conversation) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > seq;

-- name: acks_forget write
DELETE FROM device_ack WHERE user = :user AND device IN (SELECT d.device FROM device d WHERE d.user = :user AND (d.seen_ms < :oldest
    OR d.device IN (SELECT e.device FROM device e WHERE e.user = :user ORDER BY e.seen_ms DESC, e.device LIMIT -1 OFFSET :keep)));

-- name: devices_forget write
DELETE FROM device WHERE user = :user AND (seen_ms < :oldest
    OR device IN (SELECT e.device FROM device e WHERE e.user = :user ORDER BY e.seen_ms DESC, e.device LIMIT -1 OFFSET :keep));

-- A send by HTTP of a known device counts as acked by it once everything below is.
-- name: ack_own_send write
UPDATE device_ack SET seq = :seq WHERE user = :user AND device = :device AND conversation = :conversation AND seq = :seq - 1;

-- What a recall needs to know of a message.
-- name: message_facts read
SELECT conversation, seq, sender, at_ms, type FROM message WHERE id = :id;
