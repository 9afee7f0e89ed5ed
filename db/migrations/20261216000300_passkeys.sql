-- migrate:up

-- A passkey is a key pair of which we have the public half. The record is what
-- checks a signature of it; its counter never goes back.
CREATE TABLE passkeys (
    id            uuid        CONSTRAINT passkeys_pkey PRIMARY KEY,
    account_id    uuid        NOT NULL CONSTRAINT passkeys_account_fkey REFERENCES logins (account_id),
    credential_id bytea       NOT NULL CONSTRAINT passkeys_credential UNIQUE,
    record        bytea       NOT NULL,
    sign_count    bigint      NOT NULL,
    name          text        NOT NULL,
    made_at       timestamptz NOT NULL,
    used_at       timestamptz
);
CREATE INDEX passkeys_account ON passkeys (account_id, id);

-- What a passkey was asked to sign, until it is used or too old.
CREATE TABLE passkey_challenges (
    hash       bytea       CONSTRAINT passkey_challenges_pkey PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
CREATE INDEX passkey_challenges_expires ON passkey_challenges (expires_at);

-- migrate:down

DROP TABLE passkey_challenges;
DROP TABLE passkeys;
