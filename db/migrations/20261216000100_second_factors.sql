-- migrate:up

-- The second step of a log-in: a secret shared with an app, sealed, and on once
-- a code of it was shown. A code's step counts once.
CREATE TABLE second_factors (
    account_id uuid        CONSTRAINT second_factors_pkey PRIMARY KEY CONSTRAINT second_factors_account_fkey REFERENCES logins (account_id),
    sealed     bytea       NOT NULL,
    nonce      bytea       NOT NULL,
    key_id     text        NOT NULL,
    made_at    timestamptz NOT NULL,
    enabled_at timestamptz,
    last_step  bigint      NOT NULL DEFAULT 0
);
CREATE INDEX second_factors_key ON second_factors (key_id);

-- Codes for who has lost the app, each good once.
CREATE TABLE recovery_codes (
    account_id uuid  NOT NULL CONSTRAINT recovery_codes_account_fkey REFERENCES second_factors (account_id) ON DELETE CASCADE,
    hash       bytea NOT NULL,
    used_at    timestamptz,
    CONSTRAINT recovery_codes_pkey PRIMARY KEY (account_id, hash)
);

-- migrate:down

DROP TABLE recovery_codes;
DROP TABLE second_factors;
