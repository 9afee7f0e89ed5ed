-- migrate:up

-- An address that an account's events are sent to. The pair (xid, event_id) is
-- how far the feed was read for it.
CREATE TABLE webhooks (
    id uuid CONSTRAINT webhooks_pkey PRIMARY KEY,
    account_id uuid NOT NULL CONSTRAINT webhooks_account_fkey REFERENCES accounts (id),
    url text NOT NULL CONSTRAINT webhooks_url CHECK (char_length(url) BETWEEN 1 AND 2000),
    types text[] NOT NULL,
    created_at timestamptz NOT NULL,
    sealed bytea NOT NULL,
    nonce bytea NOT NULL,
    key_id text NOT NULL,
    old_sealed bytea,
    old_nonce bytea,
    old_key_id text,
    old_until timestamptz,
    xid xid8 NOT NULL,
    event_id uuid NOT NULL,
    -- The bundle that it was made through: it ends with it.
    bundle_id uuid CONSTRAINT webhooks_bundle_fkey REFERENCES bundles (id),
    disabled_at timestamptz,
    disabled text CONSTRAINT webhooks_disabled CHECK (disabled IN ('gone', 'failing')),
    failing_since timestamptz,
    -- Which node sends to it now, and until when at most.
    busy_by uuid,
    busy_until timestamptz,
    -- Nothing is sent before, after it could not be reached.
    paused_until timestamptz,
    CONSTRAINT webhooks_disabled_why CHECK ((disabled_at IS NULL) = (disabled IS NULL)),
    CONSTRAINT webhooks_old CHECK ((old_until IS NULL) = (old_sealed IS NULL) AND (old_until IS NULL) = (old_nonce IS NULL) AND (old_until IS NULL) = (old_key_id IS NULL)),
    CONSTRAINT webhooks_busy CHECK ((busy_by IS NULL) = (busy_until IS NULL))
);
CREATE INDEX webhooks_account ON webhooks (account_id);

-- What was, or is to be, sent. The event may be forgotten before.
CREATE TABLE webhook_deliveries (
    id uuid CONSTRAINT webhook_deliveries_pkey PRIMARY KEY,
    webhook_id uuid NOT NULL CONSTRAINT webhook_deliveries_webhook_fkey REFERENCES webhooks (id) ON DELETE CASCADE,
    event_id uuid NOT NULL,
    type text NOT NULL,
    at timestamptz NOT NULL,
    body text NOT NULL,
    state text NOT NULL CONSTRAINT webhook_deliveries_state CHECK (state IN ('pending', 'sent', 'failed')),
    attempts integer NOT NULL,
    status integer,
    error text,
    millis bigint,
    last_at timestamptz,
    next_at timestamptz,
    CONSTRAINT webhook_deliveries_once UNIQUE (webhook_id, event_id),
    CONSTRAINT webhook_deliveries_next CHECK ((state = 'pending') = (next_at IS NOT NULL))
);
CREATE INDEX webhook_deliveries_log ON webhook_deliveries (webhook_id, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (next_at) WHERE next_at IS NOT NULL;

-- migrate:down

DROP TABLE webhook_deliveries;
DROP TABLE webhooks;
