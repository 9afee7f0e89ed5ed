-- migrate:up

-- What a human hands to an agent: a key with scopes, a cap and an end. The
-- agent gets the key for a code that works once, or at once with the bundle.
CREATE TABLE bundles (
    id uuid CONSTRAINT bundles_pkey PRIMARY KEY,
    account_id uuid NOT NULL CONSTRAINT bundles_account_fkey REFERENCES accounts (id),
    name text NOT NULL CONSTRAINT bundles_name CHECK (char_length(name) BETWEEN 1 AND 60),
    scopes text[] NOT NULL CONSTRAINT bundles_scopes CHECK (cardinality(scopes) > 0),
    spend_cap bigint NOT NULL CONSTRAINT bundles_cap CHECK (spend_cap >= 0),
    task_cap bigint CONSTRAINT bundles_task_cap CHECK (task_cap > 0),
    spent bigint NOT NULL DEFAULT 0,
    tasks uuid[] CONSTRAINT bundles_tasks CHECK (cardinality(tasks) > 0),
    skills text[] CONSTRAINT bundles_skills CHECK (cardinality(skills) > 0),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text CONSTRAINT bundles_reason CHECK (revoked_reason IN ('owner', 'code_reused', 'in_url')),
    code_hash bytea CONSTRAINT bundles_code UNIQUE,
    code_expires_at timestamptz,
    redeemed_at timestamptz,
    redeemed_from inet,
    CONSTRAINT bundles_spent CHECK (spent BETWEEN 0 AND spend_cap),
    CONSTRAINT bundles_coded CHECK ((code_hash IS NULL) = (code_expires_at IS NULL)),
    CONSTRAINT bundles_revoked CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
);
CREATE INDEX bundles_account ON bundles (account_id, id);

ALTER TABLE api_keys
    ADD COLUMN bundle_id uuid CONSTRAINT api_keys_bundle_fkey REFERENCES bundles (id),
    ADD COLUMN requests bigint NOT NULL DEFAULT 0;
-- One bundle opens with one key.
ALTER TABLE api_keys ADD CONSTRAINT api_keys_bundle UNIQUE (bundle_id);

-- Which bundle a task was funded through: what comes back of it can be spent again.
ALTER TABLE tasks ADD COLUMN bundle_id uuid CONSTRAINT tasks_bundle_fkey REFERENCES bundles (id);
CREATE INDEX tasks_bundle ON tasks (bundle_id) WHERE bundle_id IS NOT NULL;

-- What happened to a bundle and what was done through it.
CREATE TABLE bundle_actions (
    id uuid CONSTRAINT bundle_actions_pkey PRIMARY KEY,
    bundle_id uuid NOT NULL CONSTRAINT bundle_actions_bundle_fkey REFERENCES bundles (id),
    at timestamptz NOT NULL,
    action text NOT NULL,
    task_id uuid CONSTRAINT bundle_actions_task_fkey REFERENCES tasks (id),
    amount bigint
);
CREATE INDEX bundle_actions_bundle ON bundle_actions (bundle_id, id);
CREATE TRIGGER bundle_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON bundle_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Takes the amount from what the bundle may spend, or refuses. Who revokes or
-- narrows the bundle waits for the row, so nothing is spent afterwards.
CREATE FUNCTION spend_bundle(bundle uuid, amount bigint, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE b bundles;
BEGIN
    SELECT * INTO b FROM bundles WHERE id = bundle FOR NO KEY UPDATE;
    IF b.revoked_at IS NOT NULL OR b.expires_at <= moment THEN
        RAISE EXCEPTION 'the bundle has ended' USING ERRCODE = 'GH007';
    END IF;
    IF b.spent + amount > b.spend_cap OR amount > b.task_cap THEN
        RAISE EXCEPTION 'the bundle may not spend this' USING ERRCODE = 'GH008', DETAIL = LEAST(b.spend_cap - b.spent, b.task_cap)::text;
    END IF;
    UPDATE bundles SET spent = spent + amount WHERE id = bundle;
END $$;

-- Gives back what came back from tasks of bundles, in the order of the bundles.
CREATE FUNCTION refund_bundles(refunded uuid[], amounts bigint[]) RETURNS void
LANGUAGE sql AS $$
    WITH back AS (
        SELECT x.bundle, sum(x.amount) AS amount FROM unnest(refunded, amounts) x (bundle, amount) GROUP BY x.bundle
    ), locked AS (
        SELECT b.id FROM bundles b JOIN back ON back.bundle = b.id ORDER BY b.id FOR NO KEY UPDATE OF b
    )
    UPDATE bundles b SET spent = b.spent - back.amount
    FROM locked JOIN back ON back.bundle = locked.id
    WHERE b.id = locked.id
$$;

-- migrate:down

DROP FUNCTION refund_bundles(uuid[], bigint[]);
DROP FUNCTION spend_bundle(uuid, bigint, timestamptz);
DROP TABLE bundle_actions;
ALTER TABLE tasks DROP COLUMN bundle_id;
ALTER TABLE api_keys DROP COLUMN requests, DROP COLUMN bundle_id;
DROP TABLE bundles;
