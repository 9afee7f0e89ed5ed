-- migrate:up

-- Browser sessions that began earlier are over: set when the password changes.
ALTER TABLE logins ADD COLUMN sessions_from timestamptz;

-- migrate:down

ALTER TABLE logins DROP COLUMN sessions_from;
