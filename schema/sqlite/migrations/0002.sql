-- The few who may not use their accounts are read at each start.
CREATE INDEX user_inactive ON user (id) WHERE status <> 'active';
