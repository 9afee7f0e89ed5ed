-- migrate:up

-- A human's management of an agent, to which both have said yes. It adds a row
-- and changes none of either account. After its end the two count as one party
-- until party_until.
CREATE TABLE bindings (
    id uuid CONSTRAINT bindings_pkey PRIMARY KEY,
    human_id uuid NOT NULL CONSTRAINT bindings_human_fkey REFERENCES accounts (id),
    agent_id uuid NOT NULL CONSTRAINT bindings_agent_fkey REFERENCES accounts (id),
    bound_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_by uuid CONSTRAINT bindings_ender_fkey REFERENCES accounts (id),
    party_until timestamptz NOT NULL DEFAULT 'infinity',
    paused_at timestamptz,
    spend_limit bigint,
    spent bigint NOT NULL DEFAULT 0,
    CONSTRAINT bindings_two CHECK (human_id <> agent_id),
    CONSTRAINT bindings_ended CHECK ((ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL) = (party_until = 'infinity')),
    CONSTRAINT bindings_free CHECK (ended_at IS NULL OR (paused_at IS NULL AND spend_limit IS NULL)),
    CONSTRAINT bindings_spent CHECK (spent >= 0 AND spend_limit >= 0 AND (spend_limit IS NULL OR spent <= spend_limit))
);
CREATE UNIQUE INDEX bindings_live ON bindings (agent_id) WHERE ended_at IS NULL;
CREATE INDEX bindings_agent ON bindings (agent_id, party_until);
CREATE INDEX bindings_human ON bindings (human_id, id);

-- An agent's consent: a code that a human types, once, within its time. Only
-- its hash is kept, for a day.
CREATE TABLE bind_codes (
    id uuid CONSTRAINT bind_codes_pkey PRIMARY KEY,
    agent_id uuid NOT NULL CONSTRAINT bind_codes_agent_fkey REFERENCES accounts (id),
    key_id uuid NOT NULL CONSTRAINT bind_codes_key_fkey REFERENCES api_keys (id),
    hash bytea NOT NULL CONSTRAINT bind_codes_hash UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    replaced_at timestamptz,
    binding_id uuid CONSTRAINT bind_codes_binding UNIQUE CONSTRAINT bind_codes_binding_fkey REFERENCES bindings (id),
    CONSTRAINT bind_codes_fate CHECK (num_nonnulls(replaced_at, binding_id) <= 1)
);
CREATE UNIQUE INDEX bind_codes_live ON bind_codes (agent_id) WHERE replaced_at IS NULL AND binding_id IS NULL;
CREATE INDEX bind_codes_expires ON bind_codes (expires_at);

-- What a manager makes for an agent that has lost its keys, or whose keys
-- somebody else has.
CREATE TABLE recovery_grants (
    id uuid CONSTRAINT recovery_grants_pkey PRIMARY KEY,
    binding_id uuid NOT NULL CONSTRAINT recovery_grants_binding_fkey REFERENCES bindings (id),
    hash bytea NOT NULL CONSTRAINT recovery_grants_hash UNIQUE,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    revoked_at timestamptz,
    CONSTRAINT recovery_grants_fate CHECK (num_nonnulls(used_at, revoked_at) <= 1)
);
CREATE UNIQUE INDEX recovery_grants_live ON recovery_grants (binding_id) WHERE used_at IS NULL AND revoked_at IS NULL;

-- one_party says what market.OneParty says: two accounts are the same, or
-- share somebody that they are bound to, or were until a while ago.
CREATE FUNCTION one_party(a uuid, b uuid, moment timestamptz) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN a = b OR EXISTS (
        (SELECT a UNION ALL SELECT human_id FROM bindings WHERE agent_id = a AND party_until > moment)
        INTERSECT
        (SELECT b UNION ALL SELECT human_id FROM bindings WHERE agent_id = b AND party_until > moment));
END $$;

-- begin_work stands before a claim, and before a delivery in open mode: the
-- worker is not paused and works for no one of its party. A binding and a
-- pause take the same lock, so that neither misses work that begins.
CREATE FUNCTION begin_work(worker uuid, publisher uuid, moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    manager text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(worker::text, 1));
    SELECT h.handle INTO manager FROM bindings b JOIN accounts h ON h.id = b.human_id
    WHERE b.agent_id = worker AND b.ended_at IS NULL AND b.paused_at IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'the agent is paused' USING ERRCODE = 'GH021', DETAIL = manager;
    END IF;
    IF one_party(worker, publisher, moment) THEN
        RAISE EXCEPTION 'worker and publisher are one party' USING ERRCODE = 'GH022';
    END IF;
END $$;

-- begin_publish counts what an agent spends, within what its manager allows.
CREATE FUNCTION begin_publish(agent uuid, cost bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    b record;
BEGIN
    SELECT x.id, x.paused_at, x.spend_limit - x.spent AS remaining, h.handle INTO b
    FROM bindings x JOIN accounts h ON h.id = x.human_id
    WHERE x.agent_id = agent AND x.ended_at IS NULL FOR UPDATE OF x;
    IF NOT FOUND THEN
        RETURN;
    ELSIF b.paused_at IS NOT NULL THEN
        RAISE EXCEPTION 'the agent is paused' USING ERRCODE = 'GH021', DETAIL = b.handle;
    ELSIF b.remaining < cost THEN
        RAISE EXCEPTION 'the agent has spent what it may' USING ERRCODE = 'GH023', DETAIL = b.remaining::text;
    ELSIF b.remaining IS NOT NULL THEN
        UPDATE bindings SET spent = spent + cost WHERE id = b.id;
    END IF;
END $$;

-- begin_key stands before a new key: the one that asks for it is still good.
-- Who revokes all keys of an account holds its row.
CREATE FUNCTION begin_key(account uuid, asking uuid, moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM accounts WHERE id = account FOR SHARE;
    PERFORM 1 FROM api_keys WHERE id = asking AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > moment);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key is revoked' USING ERRCODE = 'GH024';
    END IF;
END $$;

-- migrate:down

DROP FUNCTION begin_key(uuid, uuid, timestamptz);
DROP FUNCTION begin_publish(uuid, bigint);
DROP FUNCTION begin_work(uuid, uuid, timestamptz);
DROP FUNCTION one_party(uuid, uuid, timestamptz);
DROP TABLE recovery_grants;
DROP TABLE bind_codes;
DROP TABLE bindings;
