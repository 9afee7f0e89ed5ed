-- migrate:up

-- What an account's owner sees of its browser sessions. The cookie's session
-- names a row here; without the row it opens nothing any more.
CREATE TABLE account_sessions (
    id         uuid        CONSTRAINT account_sessions_pkey PRIMARY KEY,
    account_id uuid        NOT NULL CONSTRAINT account_sessions_account_fkey REFERENCES logins (account_id),
    began_at   timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    -- When who uses it last proved to be the owner.
    proven_at  timestamptz NOT NULL,
    address    inet,
    agent      text        NOT NULL CONSTRAINT account_sessions_agent CHECK (length(agent) <= 300)
);
CREATE INDEX account_sessions_account ON account_sessions (account_id, seen_at);
CREATE INDEX account_sessions_seen ON account_sessions (seen_at);

-- An epoch ends with every change of the password: who was let in by what was
-- true in an earlier one begins no session.
ALTER TABLE logins
    DROP COLUMN sessions_from,
    ADD COLUMN epoch bigint NOT NULL DEFAULT 0,
    ADD COLUMN lang text NOT NULL DEFAULT 'en' CONSTRAINT logins_lang CHECK (lang ~ '^[a-zA-Z-]{2,20}$');

-- What happened to an account's security, for its owner alone.
CREATE TABLE security_log (
    id         uuid        CONSTRAINT security_log_pkey PRIMARY KEY,
    account_id uuid        NOT NULL CONSTRAINT security_log_account_fkey REFERENCES logins (account_id),
    at         timestamptz NOT NULL,
    what       text        NOT NULL CONSTRAINT security_log_what CHECK (what ~ '^security\.[a-z_]+$'),
    address    inet,
    agent      text        NOT NULL,
    detail     text        NOT NULL DEFAULT ''
);
CREATE INDEX security_log_account ON security_log (account_id, id);

-- migrate:down

DROP TABLE security_log;
ALTER TABLE logins
    DROP COLUMN lang,
    DROP COLUMN epoch,
    ADD COLUMN sessions_from timestamptz;
DROP TABLE account_sessions;
