-- The whole product on one SQLite file. Times are unix ms. Ids are the rowids of their tables: the store has one writer.
CREATE TABLE user (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    username TEXT NOT NULL UNIQUE,               -- folded to lower case
    password TEXT NOT NULL DEFAULT '',           -- Argon2id, '' = none
    phone TEXT UNIQUE,
    display_name TEXT NOT NULL DEFAULT '',
    avatar_url TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL DEFAULT 'active',       -- active, disabled, frozen
    created_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX user_display_name ON user (display_name COLLATE NOCASE);

-- A login is a token family. One refresh token is current; the one before it may be repeated within auth.refresh_grace.
CREATE TABLE login (
    id INTEGER PRIMARY KEY AUTOINCREMENT,        -- claim fam
    user INTEGER NOT NULL,
    device TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    revoked_ms INTEGER NOT NULL DEFAULT 0,
    refresh_hash TEXT NOT NULL,                  -- of the current refresh token
    pair TEXT NOT NULL DEFAULT '',               -- claims of the current pair, to give it out once more
    used_hash TEXT NOT NULL DEFAULT '',          -- of the token that was used to get the current pair
    used_ms INTEGER NOT NULL DEFAULT 0,
    used_address TEXT NOT NULL DEFAULT '',
    used_device TEXT NOT NULL DEFAULT ''
);
CREATE INDEX login_user ON login (user);
CREATE INDEX login_revoked ON login (revoked_ms) WHERE revoked_ms > 0;

CREATE TABLE contact (
    user INTEGER NOT NULL, peer INTEGER NOT NULL,
    remark TEXT NOT NULL DEFAULT '', since_ms INTEGER NOT NULL,
    PRIMARY KEY (user, peer)
) WITHOUT ROWID;
CREATE TABLE contact_request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_user INTEGER NOT NULL, to_user INTEGER NOT NULL,
    message TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT 'pending',
    created_ms INTEGER NOT NULL
);
CREATE INDEX contact_request_to ON contact_request (to_user, id);
CREATE INDEX contact_request_from ON contact_request (from_user, id);
CREATE UNIQUE INDEX contact_request_open ON contact_request (from_user, to_user) WHERE status = 'pending';
CREATE TABLE block (
    user INTEGER NOT NULL, peer INTEGER NOT NULL, since_ms INTEGER NOT NULL,
    PRIMARY KEY (user, peer)
) WITHOUT ROWID;
CREATE INDEX block_peer ON block (peer, user);

CREATE TABLE conversation (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type INTEGER NOT NULL,                       -- 1 single, 2 group
    title TEXT NOT NULL DEFAULT '',
    avatar_url TEXT NOT NULL DEFAULT '',
    owner INTEGER NOT NULL DEFAULT 0,
    announcement TEXT NOT NULL DEFAULT '',
    join_mode TEXT NOT NULL DEFAULT 'approval',
    mute_all INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'active',       -- active, dissolved
    member_limit INTEGER NOT NULL,
    low INTEGER, high INTEGER,                   -- the two users of a single chat, low < high
    created_ms INTEGER NOT NULL,
    change INTEGER NOT NULL DEFAULT 0,           -- latest_change
    folded_seq INTEGER NOT NULL DEFAULT 0        -- own sends up to here are counted in member.read_seq
);
CREATE UNIQUE INDEX conversation_pair ON conversation (low, high) WHERE low IS NOT NULL;
-- A member's read position is the higher of read_seq and the seq of their own newest message above folded_seq.
CREATE TABLE member (
    conversation INTEGER NOT NULL, user INTEGER NOT NULL,
    role TEXT NOT NULL DEFAULT 'member',
    nickname TEXT NOT NULL DEFAULT '',
    muted_until_ms INTEGER NOT NULL DEFAULT 0,
    joined_ms INTEGER NOT NULL,
    read_seq INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0,
    muted INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (conversation, user)
) WITHOUT ROWID;
CREATE INDEX member_user ON member (user, conversation);
CREATE TABLE join_request (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation INTEGER NOT NULL, user INTEGER NOT NULL, inviter INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '', status TEXT NOT NULL DEFAULT 'pending', created_ms INTEGER NOT NULL
);
CREATE UNIQUE INDEX join_request_open ON join_request (conversation, user) WHERE status = 'pending';
CREATE INDEX join_request_pending ON join_request (conversation, id) WHERE status = 'pending';

CREATE TABLE message (
    id INTEGER PRIMARY KEY,
    conversation INTEGER NOT NULL, seq INTEGER NOT NULL,
    sender INTEGER NOT NULL, client_msg_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL, type INTEGER NOT NULL,
    recalled INTEGER NOT NULL DEFAULT 0,
    reply_to INTEGER NOT NULL DEFAULT 0,
    content TEXT NOT NULL                        -- the JSON of `content`; '{}' when recalled
);
CREATE UNIQUE INDEX message_seq ON message (conversation, seq);
CREATE UNIQUE INDEX message_once ON message (conversation, sender, client_msg_id);
CREATE TABLE change (
    conversation INTEGER NOT NULL, change INTEGER NOT NULL,
    kind TEXT NOT NULL, message_id INTEGER NOT NULL, seq INTEGER NOT NULL,
    operator INTEGER NOT NULL, at_ms INTEGER NOT NULL,
    PRIMARY KEY (conversation, change)
) WITHOUT ROWID;
CREATE INDEX change_message ON change (message_id);

CREATE TABLE device (
    user INTEGER NOT NULL, device TEXT NOT NULL, seen_ms INTEGER NOT NULL,
    PRIMARY KEY (user, device)
) WITHOUT ROWID;
CREATE TABLE device_ack (
    user INTEGER NOT NULL, device TEXT NOT NULL, conversation INTEGER NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (user, device, conversation)
) WITHOUT ROWID;

-- A conversation as one of its members (viewer) sees it: the columns of ConversationBrief, the newest message in those named last_*.
CREATE VIEW brief AS
SELECT m.user AS viewer, c.id, c.type, c.title, c.avatar_url, c.owner, c.announcement, c.join_mode, c.mute_all, c.status, c.member_limit,
       (SELECT count(*) FROM member x WHERE x.conversation = c.id) AS member_count,
       CASE c.type WHEN 1 THEN c.low + c.high - m.user ELSE 0 END AS peer,
       CASE p.display_name WHEN '' THEN p.username ELSE p.display_name END AS peer_name,
       m.role, m.muted_until_ms, m.pinned, m.muted, c.change AS latest_change,
       max(m.read_seq, coalesce((SELECT own.seq FROM message own WHERE own.conversation = c.id AND own.seq > c.folded_seq
           AND own.sender = m.user ORDER BY own.seq DESC LIMIT 1), 0)) AS read_seq,
       coalesce(l.seq, 0) AS latest_seq, coalesce(l.at_ms, c.created_ms) AS updated_ms,
       l.id AS last_id, l.sender AS last_sender, l.type AS last_type, l.content AS last_content, l.at_ms AS last_at_ms,
       l.client_msg_id AS last_client_msg_id, l.recalled AS last_recalled, l.reply_to AS last_reply_to
FROM member m JOIN conversation c ON c.id = m.conversation
LEFT JOIN user p ON p.id = c.low + c.high - m.user
LEFT JOIN message l ON l.conversation = c.id AND l.seq = (SELECT max(y.seq) FROM message y WHERE y.conversation = c.id);
