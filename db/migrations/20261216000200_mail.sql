-- migrate:up

-- Mails that wait to be sent, queued in the transaction of what they tell. The
-- arguments are sealed: some hold a link that opens an account.
CREATE TABLE mails (
    id         uuid        CONSTRAINT mails_pkey PRIMARY KEY,
    account_id uuid        NOT NULL CONSTRAINT mails_account_fkey REFERENCES logins (account_id),
    kind       text        NOT NULL,
    recipient  text        NOT NULL,
    lang       text        NOT NULL,
    sealed     bytea,
    nonce      bytea,
    key_id     text,
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- When it is tried next, if it was not given up.
    next_at    timestamptz NOT NULL,
    attempts   integer     NOT NULL DEFAULT 0,
    failed_at  timestamptz,
    error      text,
    CONSTRAINT mails_sealed CHECK ((failed_at IS NULL) = (sealed IS NOT NULL) AND (sealed IS NULL) = (nonce IS NULL) AND (sealed IS NULL) = (key_id IS NULL))
);
CREATE INDEX mails_next ON mails (next_at) WHERE failed_at IS NULL;

-- What a link stands for: a new password, or a proof that mail to an address is
-- read. Good once, and only as long as it says.
CREATE TABLE mail_links (
    hash       bytea       CONSTRAINT mail_links_pkey PRIMARY KEY,
    account_id uuid        NOT NULL CONSTRAINT mail_links_account_fkey REFERENCES logins (account_id),
    purpose    text        NOT NULL CONSTRAINT mail_links_purpose CHECK (purpose IN ('reset', 'verify')),
    email      text        NOT NULL,
    -- Whether a lost second factor goes too, as an operator has decided.
    clears     boolean     NOT NULL DEFAULT false,
    made_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX mail_links_account ON mail_links (account_id);
CREATE INDEX mail_links_expires ON mail_links (expires_at);

ALTER TABLE logins ADD COLUMN email_verified_at timestamptz;

-- migrate:down

ALTER TABLE logins DROP COLUMN email_verified_at;
DROP TABLE mail_links;
DROP TABLE mails;
