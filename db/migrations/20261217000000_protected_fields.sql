-- migrate:up

-- What everybody may see of a task's protected fields: names, recipients, the
-- signer's key, the revision. NULL for a task without any.
ALTER TABLE tasks ADD COLUMN protected jsonb
    CONSTRAINT tasks_protected_mode CHECK (protected IS NULL OR mode = 'exclusive');
CREATE INDEX tasks_protected ON tasks (id) WHERE protected IS NOT NULL AND state = 'open';

-- The publisher's own copy of each revision, encrypted to recipients of its
-- own. Of a revision that another followed only what was public is kept.
CREATE TABLE protected_revisions (
    task_id uuid NOT NULL CONSTRAINT protected_revisions_task_fkey REFERENCES tasks (id),
    revision integer NOT NULL CONSTRAINT protected_revisions_revision CHECK (revision > 0),
    shown jsonb NOT NULL,
    ciphertext text CONSTRAINT protected_revisions_size CHECK (octet_length(ciphertext) <= 65536),
    created_at timestamptz NOT NULL,
    CONSTRAINT protected_revisions_pkey PRIMARY KEY (task_id, revision)
);
CREATE UNIQUE INDEX protected_revisions_current ON protected_revisions (task_id) WHERE ciphertext IS NOT NULL;

-- Recipients of accounts. One counts once its owner has proven to hold the
-- identity, until another takes its place.
CREATE TABLE encryption_keys (
    id uuid CONSTRAINT encryption_keys_pkey PRIMARY KEY,
    account_id uuid NOT NULL CONSTRAINT encryption_keys_account_fkey REFERENCES accounts (id),
    recipient text NOT NULL,
    kind text NOT NULL CONSTRAINT encryption_keys_kind CHECK (kind IN ('x25519', 'mlkem768x25519')),
    nonce_hash bytea NOT NULL,
    created_at timestamptz NOT NULL,
    confirm_by timestamptz NOT NULL,
    confirmed_at timestamptz,
    replaced_at timestamptz,
    CONSTRAINT encryption_keys_replaced CHECK (replaced_at IS NULL OR confirmed_at IS NOT NULL)
);
CREATE UNIQUE INDEX encryption_keys_live ON encryption_keys (account_id) WHERE confirmed_at IS NOT NULL AND replaced_at IS NULL;
CREATE UNIQUE INDEX encryption_keys_new ON encryption_keys (account_id) WHERE confirmed_at IS NULL;

-- What holders of claims ask for, and what they were granted.
CREATE TABLE secret_requests (
    id uuid CONSTRAINT secret_requests_pkey PRIMARY KEY,
    task_id uuid NOT NULL CONSTRAINT secret_requests_task_fkey REFERENCES tasks (id),
    claim_id uuid NOT NULL CONSTRAINT secret_requests_claim_fkey REFERENCES claims (id),
    worker_id uuid NOT NULL CONSTRAINT secret_requests_worker_fkey REFERENCES accounts (id),
    key_id uuid NOT NULL CONSTRAINT secret_requests_key_fkey REFERENCES encryption_keys (id),
    state text NOT NULL CONSTRAINT secret_requests_state CHECK (state IN ('pending', 'granted', 'denied', 'revoked', 'stale', 'ended')),
    requested_at timestamptz NOT NULL,
    decided_at timestamptz,
    reason text NOT NULL DEFAULT '' CONSTRAINT secret_requests_reason CHECK (char_length(reason) <= 1000),
    revision integer,
    bundle text CONSTRAINT secret_requests_size CHECK (octet_length(bundle) <= 65536),
    expires_at timestamptz,
    fetched_at timestamptz,
    fetches integer NOT NULL DEFAULT 0,
    CONSTRAINT secret_requests_granted CHECK ((state = 'granted') = (bundle IS NOT NULL) AND (state <> 'granted' OR (revision IS NOT NULL AND expires_at IS NOT NULL)))
);
CREATE UNIQUE INDEX secret_requests_live ON secret_requests (claim_id) WHERE state NOT IN ('stale', 'ended');
CREATE INDEX secret_requests_task ON secret_requests (task_id, id);
CREATE INDEX secret_requests_key ON secret_requests (key_id) WHERE state NOT IN ('stale', 'ended');
CREATE INDEX secret_requests_worker ON secret_requests (worker_id, task_id);

-- What happened to the protected fields of a task, for its publisher.
CREATE TABLE secret_events (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT secret_events_pkey PRIMARY KEY,
    task_id uuid NOT NULL CONSTRAINT secret_events_task_fkey REFERENCES tasks (id),
    at timestamptz NOT NULL,
    event text NOT NULL CONSTRAINT secret_events_event CHECK (event IN ('sealed', 'requested', 'granted', 'denied', 'revoked', 'fetched', 'key_changed', 'claim_ended')),
    actor_id uuid CONSTRAINT secret_events_actor_fkey REFERENCES accounts (id),
    key_id uuid CONSTRAINT secret_events_key_fkey REFERENCES api_keys (id),
    request_id uuid CONSTRAINT secret_events_request_fkey REFERENCES secret_requests (id),
    revision integer
);
CREATE INDEX secret_events_task ON secret_events (task_id, id);
CREATE INDEX secret_events_request ON secret_events (request_id, id) WHERE event = 'granted';
CREATE TRIGGER secret_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON secret_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- migrate:down

DROP TABLE secret_events;
DROP TABLE secret_requests;
DROP TABLE encryption_keys;
DROP TABLE protected_revisions;
DROP INDEX tasks_protected;
ALTER TABLE tasks DROP COLUMN protected;
