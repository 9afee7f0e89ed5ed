-- migrate:up

CREATE EXTENSION IF NOT EXISTS pg_trgm;

CREATE TABLE accounts (
    id            uuid        CONSTRAINT accounts_pkey PRIMARY KEY,
    kind          text        NOT NULL CONSTRAINT accounts_kind CHECK (kind IN ('human', 'agent', 'platform')),
    handle        text        NOT NULL CONSTRAINT accounts_handle_key UNIQUE
                              CONSTRAINT accounts_handle CHECK (handle ~ '^[a-z0-9][a-z0-9-]{1,30}[a-z0-9]$'),
    display_name  text        NOT NULL,
    description   text        NOT NULL DEFAULT '',
    skills        text[]      NOT NULL DEFAULT '{}',
    referral_code text        NOT NULL CONSTRAINT accounts_referral_code_key UNIQUE,
    referred_by   uuid        CONSTRAINT accounts_referred_by_fkey REFERENCES accounts (id)
                              CONSTRAINT accounts_not_own_referrer CHECK (referred_by <> id),
    created_at    timestamptz NOT NULL
);

CREATE TABLE logins (
    account_id    uuid        CONSTRAINT logins_pkey PRIMARY KEY
                              CONSTRAINT logins_account_fkey REFERENCES accounts (id),
    email         text        NOT NULL,
    password_hash text        NOT NULL,
    created_at    timestamptz NOT NULL
);
CREATE UNIQUE INDEX logins_email_key ON logins (lower(email));

CREATE TABLE api_keys (
    id           uuid        CONSTRAINT api_keys_pkey PRIMARY KEY,
    account_id   uuid        NOT NULL CONSTRAINT api_keys_account_fkey REFERENCES accounts (id),
    name         text        NOT NULL,
    prefix       text        NOT NULL,
    hash         bytea       NOT NULL CONSTRAINT api_keys_hash_key UNIQUE,
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_account ON api_keys (account_id);

CREATE TABLE sessions (
    token  text        CONSTRAINT sessions_pkey PRIMARY KEY,
    data   bytea       NOT NULL,
    expiry timestamptz NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expiry);

-- One row an account, touched only by its owner's money.
CREATE TABLE wallets (
    account_id uuid   CONSTRAINT wallets_pkey PRIMARY KEY
                      CONSTRAINT wallets_account_fkey REFERENCES accounts (id),
    granted    bigint NOT NULL CONSTRAINT wallets_granted_covered CHECK (granted >= 0),
    earned     bigint NOT NULL CONSTRAINT wallets_earned_covered CHECK (earned >= 0)
);

CREATE TABLE tasks (
    id             uuid        CONSTRAINT tasks_pkey PRIMARY KEY,
    publisher_id   uuid        NOT NULL CONSTRAINT tasks_publisher_fkey REFERENCES accounts (id),
    state          text        NOT NULL CONSTRAINT tasks_state
                               CHECK (state IN ('open', 'claimed', 'in_review', 'settled', 'cancelled', 'expired')),
    version        bigint      NOT NULL,
    epoch          bigint      NOT NULL DEFAULT 0,
    title          text        NOT NULL,
    brief          text        NOT NULL,
    skills         text[]      NOT NULL,
    mode           text        NOT NULL CONSTRAINT tasks_mode CHECK (mode IN ('exclusive')),
    reward         bigint      NOT NULL CONSTRAINT tasks_reward CHECK (reward > 0),
    -- json, not jsonb: what was published is what workers read, to the letter.
    payload        json,
    output_schema  json,
    rules          jsonb       NOT NULL,
    attachments    jsonb       NOT NULL,
    claim_minutes  integer     NOT NULL,
    review_hours   integer     NOT NULL,
    max_attempts   integer     NOT NULL,
    max_accepted   integer     NOT NULL,
    deadline       timestamptz NOT NULL,
    created_at     timestamptz NOT NULL,
    escrow_granted bigint      NOT NULL CONSTRAINT tasks_escrow_granted CHECK (escrow_granted >= 0),
    escrow_earned  bigint      NOT NULL CONSTRAINT tasks_escrow_earned CHECK (escrow_earned >= 0),
    due_at         timestamptz,
    appeal_by      timestamptz,
    case_until     timestamptz,
    search         tsvector    GENERATED ALWAYS AS (to_tsvector('simple', title || ' ' || brief)) STORED,
    CONSTRAINT tasks_terminal_is_empty CHECK (
        (state IN ('settled', 'cancelled', 'expired')) = (escrow_granted + escrow_earned = 0)),
    CONSTRAINT tasks_live_has_clock CHECK (
        (state IN ('settled', 'cancelled', 'expired')) = (due_at IS NULL))
);
CREATE INDEX tasks_due ON tasks (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX tasks_publisher ON tasks (publisher_id, id);
CREATE INDEX tasks_open_newest ON tasks (id) WHERE state = 'open';
CREATE INDEX tasks_open_reward ON tasks (reward, id) WHERE state = 'open';
CREATE INDEX tasks_open_deadline ON tasks (deadline, id) WHERE state = 'open';
CREATE INDEX tasks_open_search ON tasks USING gin (search) WHERE state = 'open';
CREATE INDEX tasks_open_title ON tasks USING gin (title gin_trgm_ops) WHERE state = 'open';

-- Only open tasks have rows here, one a skill: a page of the market is one
-- range scan a skill in each sort order.
CREATE TABLE task_skills (
    skill    text        NOT NULL,
    task_id  uuid        NOT NULL CONSTRAINT task_skills_task_fkey REFERENCES tasks (id),
    reward   bigint      NOT NULL,
    deadline timestamptz NOT NULL,
    CONSTRAINT task_skills_pkey PRIMARY KEY (task_id, skill)
);
CREATE INDEX task_skills_newest ON task_skills (skill, task_id);
CREATE INDEX task_skills_reward ON task_skills (skill, reward, task_id);
CREATE INDEX task_skills_deadline ON task_skills (skill, deadline, task_id);

-- The timeline. Its primary key decides every race on a task: of two
-- transitions from the same version one commits.
CREATE TABLE task_events (
    task_id  uuid        NOT NULL,
    version  bigint      NOT NULL,
    at       timestamptz NOT NULL,
    event    text        NOT NULL,
    actor_id uuid,
    key_id   uuid,
    CONSTRAINT task_events_pkey PRIMARY KEY (task_id, version)
);

CREATE TABLE claims (
    id         uuid        CONSTRAINT claims_pkey PRIMARY KEY,
    task_id    uuid        NOT NULL CONSTRAINT claims_task_fkey REFERENCES tasks (id),
    worker_id  uuid        NOT NULL CONSTRAINT claims_worker_fkey REFERENCES accounts (id),
    epoch      bigint      NOT NULL,
    claimed_at timestamptz NOT NULL,
    lease_from timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz,
    outcome    text        CONSTRAINT claims_outcome CHECK (outcome IN
                           ('released', 'expired', 'exhausted', 'rejected', 'withdrawn', 'settled', 'closed')),
    CONSTRAINT claims_ended CHECK ((ended_at IS NULL) = (outcome IS NULL))
);
CREATE UNIQUE INDEX claims_live ON claims (task_id) WHERE ended_at IS NULL;
CREATE INDEX claims_worker ON claims (worker_id, task_id);

CREATE TABLE deliveries (
    id           uuid        CONSTRAINT deliveries_pkey PRIMARY KEY,
    task_id      uuid        NOT NULL CONSTRAINT deliveries_task_fkey REFERENCES tasks (id),
    claim_id     uuid        NOT NULL CONSTRAINT deliveries_claim_fkey REFERENCES claims (id),
    worker_id    uuid        NOT NULL CONSTRAINT deliveries_worker_fkey REFERENCES accounts (id),
    state        text        NOT NULL CONSTRAINT deliveries_state CHECK (state IN
                             ('pending', 'accepted', 'rejected', 'withdrawn', 'failed', 'not_selected')),
    attempt      integer     NOT NULL CONSTRAINT deliveries_attempt CHECK (attempt >= 0),
    output       json        NOT NULL,
    summary_text text        NOT NULL,
    attachments  jsonb       NOT NULL,
    -- json: pointers may name members of the output that jsonb cannot hold.
    report       json        NOT NULL,
    review       jsonb,
    created_at   timestamptz NOT NULL,
    CONSTRAINT deliveries_reviewed CHECK ((state IN ('accepted', 'rejected')) = (review IS NOT NULL))
);
CREATE UNIQUE INDEX deliveries_pending ON deliveries (task_id) WHERE state = 'pending';
CREATE UNIQUE INDEX deliveries_accepted ON deliveries (task_id) WHERE state = 'accepted';
CREATE INDEX deliveries_task ON deliveries (task_id, id);
CREATE INDEX deliveries_worker ON deliveries (worker_id, task_id);

-- A pending payout row is the pending balance; the sweep moves it on.
CREATE TABLE payouts (
    id           uuid        CONSTRAINT payouts_pkey PRIMARY KEY,
    account_id   uuid        NOT NULL CONSTRAINT payouts_account_fkey REFERENCES accounts (id),
    task_id      uuid        NOT NULL CONSTRAINT payouts_task_fkey REFERENCES tasks (id),
    delivery_id  uuid        NOT NULL CONSTRAINT payouts_delivery_fkey REFERENCES deliveries (id)
                             CONSTRAINT payouts_delivery_key UNIQUE,
    amount       bigint      NOT NULL CONSTRAINT payouts_amount CHECK (amount > 0),
    class        text        NOT NULL CONSTRAINT payouts_class CHECK (class IN ('granted', 'earned')),
    available_at timestamptz NOT NULL,
    hold_reason  text        NOT NULL,
    state        text        NOT NULL CONSTRAINT payouts_state CHECK (state IN ('pending', 'available'))
);
CREATE INDEX payouts_due ON payouts (available_at) WHERE state = 'pending';
CREATE INDEX payouts_pending ON payouts (account_id) WHERE state = 'pending';

-- The ledger: every row debits one account and credits another, so the books
-- balance by construction. Append-only: see the trigger.
CREATE TABLE transfers (
    id              bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT transfers_pkey PRIMARY KEY,
    at              timestamptz NOT NULL,
    kind            text        NOT NULL CONSTRAINT transfers_kind
                                CHECK (kind IN ('grant', 'escrow', 'refund', 'payout', 'release')),
    debit           text        NOT NULL,
    credit          text        NOT NULL,
    amount          bigint      NOT NULL CONSTRAINT transfers_amount CHECK (amount > 0),
    debit_class     text        NOT NULL CONSTRAINT transfers_debit_class CHECK (debit_class IN ('granted', 'earned')),
    credit_class    text        NOT NULL CONSTRAINT transfers_credit_class CHECK (credit_class IN ('granted', 'earned')),
    account_id      uuid        NOT NULL,
    counterparty_id uuid,
    task_id         uuid,
    balance_after   bigint,
    CONSTRAINT transfers_two_accounts CHECK (debit <> credit)
);
CREATE INDEX transfers_account ON transfers (account_id, id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only', TG_TABLE_NAME USING ERRCODE = 'GH002';
END $$;
CREATE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transfers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER task_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON task_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE idempotency (
    account_id   uuid        NOT NULL,
    key          text        NOT NULL,
    request_hash bytea       NOT NULL,
    status       integer     NOT NULL,
    location     text        NOT NULL,
    answer       bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Raises GH001 while another transaction works under the same key.
CREATE FUNCTION begin_once(scope text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended(scope, 0)) THEN
        RAISE EXCEPTION 'idempotency key in progress' USING ERRCODE = 'GH001';
    END IF;
END $$;

-- migrate:down

DROP TABLE idempotency, transfers, payouts, deliveries, claims, task_events, task_skills, tasks, wallets, sessions, api_keys, logins, accounts;
DROP FUNCTION refuse_change(), begin_once(text);
