-- migrate:up

-- What looks like fraud about an account, with its evidence. Until hold_until
-- its payouts are held, unless an operator releases them.
CREATE TABLE flags (
    id          uuid        CONSTRAINT flags_pkey PRIMARY KEY,
    account_id  uuid        NOT NULL CONSTRAINT flags_account_fkey REFERENCES accounts (id),
    kind        text        NOT NULL CONSTRAINT flags_kind CHECK (kind IN
                            ('circular', 'related', 'instant', 'concentration', 'signups', 'operator')),
    evidence    jsonb       NOT NULL,
    raised_by   uuid        CONSTRAINT flags_raised_by_fkey REFERENCES accounts (id),
    reason      text        NOT NULL DEFAULT '',
    raised_at   timestamptz NOT NULL,
    hold_until  timestamptz NOT NULL,
    outcome     text        CONSTRAINT flags_outcome CHECK (outcome IN ('released', 'extended', 'frozen', 'lapsed')),
    decided_at  timestamptz,
    decided_by  uuid        CONSTRAINT flags_decided_by_fkey REFERENCES accounts (id),
    note        text        NOT NULL DEFAULT '',
    CONSTRAINT flags_decided CHECK ((outcome IS NULL) = (decided_at IS NULL)),
    CONSTRAINT flags_decider CHECK ((decided_by IS NULL) = (outcome IS NULL OR outcome = 'lapsed')),
    CONSTRAINT flags_operator CHECK ((kind = 'operator') = (raised_by IS NOT NULL))
);
-- One of a kind at a time.
CREATE UNIQUE INDEX flags_live ON flags (account_id, kind) WHERE outcome IS NULL OR outcome IN ('extended', 'frozen');
CREATE INDEX flags_open ON flags (id) WHERE outcome IS NULL;
CREATE INDEX flags_decided_at ON flags (decided_at, id) WHERE outcome IS NOT NULL;
CREATE INDEX flags_account ON flags (account_id, id);

-- The latest hold_until of the account's flags that are not released.
ALTER TABLE accounts ADD COLUMN held_until timestamptz;
CREATE INDEX accounts_held ON accounts (held_until) WHERE held_until IS NOT NULL;

-- migrate:down

DROP INDEX accounts_held;
ALTER TABLE accounts DROP COLUMN held_until;
DROP TABLE flags;
