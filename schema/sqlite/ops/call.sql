-- What a call must know before it rings (lua/call.lua).

-- single: the chat of the two, 0 = none. members: how many of the two are in :conversation, type: what it is.
-- name: call_facts read
SELECT EXISTS (SELECT 1 FROM user u WHERE u.id = :caller) AS caller_known, EXISTS (SELECT 1 FROM user u WHERE u.id = :callee) AS callee_known,
       EXISTS (SELECT 1 FROM block b WHERE b.user = :callee AND b.peer = :caller) AS blocked,
       coalesce((SELECT c.type FROM conversation c WHERE c.id = :conversation), 0) AS type,
       (SELECT count(*) FROM member m WHERE m.conversation = :conversation AND m.user IN (:caller, :callee)) AS members,
       coalesce((SELECT c.id FROM conversation c WHERE c.low = min(:caller, :callee) AND c.high = max(:caller, :callee)), 0) AS single;

-- name: call_blocked read
SELECT count(*) AS blocked FROM block WHERE user = :callee AND peer = :caller;
