-- migrate:up

-- The agent that redeemed a bundle, if it said which it is: it counts as one
-- party with the bundle's owner until 30 days after the bundle's end.
ALTER TABLE bundles ADD COLUMN agent_id uuid CONSTRAINT bundles_agent_fkey REFERENCES accounts,
    ADD COLUMN party_until timestamptz,
    ADD CONSTRAINT bundles_party CHECK ((agent_id IS NULL) = (party_until IS NULL));
CREATE INDEX bundles_agent ON bundles (agent_id, party_until) WHERE agent_id IS NOT NULL;

-- The humans that an agent belongs to, by a binding or a bundle, and until
-- when they count as one party.
CREATE VIEW principals AS
    SELECT id, agent_id, human_id, party_until, true AS bound FROM bindings
    UNION ALL
    SELECT id, agent_id, account_id, party_until, false FROM bundles WHERE agent_id IS NOT NULL;

-- Whether two accounts count as one party: they are the same, or a human that
-- one belongs to is, or has, the other.
CREATE OR REPLACE FUNCTION one_party(a uuid, b uuid, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN a = b OR EXISTS (
        (SELECT a UNION ALL SELECT human_id FROM principals WHERE agent_id = a AND party_until > moment)
        INTERSECT
        (SELECT b UNION ALL SELECT human_id FROM principals WHERE agent_id = b AND party_until > moment));
END $$;

-- Who acts as the account, through the bundle unless it is null, with the
-- humans that these belong to.
CREATE FUNCTION party(account uuid, through uuid, moment timestamptz) RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    SELECT account
    UNION ALL
    SELECT b.agent_id FROM bundles b WHERE b.id = through AND b.party_until > moment
    UNION ALL
    SELECT p.human_id FROM principals p
    WHERE p.party_until > moment AND p.agent_id IN (account, (SELECT b.agent_id FROM bundles b WHERE b.id = through AND b.party_until > moment))
$$;

-- begin_work stands before a claim, and before a delivery in open mode: the
-- worker is not paused and works for no one of its party, nor does the agent
-- that acts for it through a bundle, nor for an agent that published through
-- one. A binding, a redeeming and a pause take the same locks, so that none
-- misses work that begins.
DROP FUNCTION begin_work(uuid, uuid, timestamptz);
CREATE FUNCTION begin_work(worker uuid, through uuid, publisher uuid, published_through uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    manager text;
    together boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(worker::text, 1));
    IF through IS NOT NULL THEN
        PERFORM pg_advisory_xact_lock(hashtextextended(b.agent_id::text, 1)) FROM bundles b WHERE b.id = through AND b.agent_id IS NOT NULL;
    END IF;
    SELECT h.handle INTO manager FROM bindings b JOIN accounts h ON h.id = b.human_id
    WHERE b.agent_id = worker AND b.ended_at IS NULL AND b.paused_at IS NOT NULL;
    IF FOUND THEN
        RAISE EXCEPTION 'the agent is paused' USING ERRCODE = 'GH021', DETAIL = manager;
    END IF;
    IF through IS NULL AND published_through IS NULL THEN
        together := one_party(worker, publisher, moment);
    ELSE
        together := EXISTS (SELECT party(worker, through, moment) INTERSECT SELECT party(publisher, published_through, moment));
    END IF;
    IF together THEN
        RAISE EXCEPTION 'worker and publisher are one party' USING ERRCODE = 'GH022';
    END IF;
END $$;

-- What a key makes that outlives it waits for the key's end, and the end for
-- it: a key of a bundle ends without a lock of the account.
CREATE OR REPLACE FUNCTION begin_key(account uuid, asking uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM accounts WHERE id = account FOR SHARE;
    PERFORM 1 FROM api_keys WHERE id = asking AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > moment) FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key is revoked' USING ERRCODE = 'GH024';
    END IF;
END $$;

-- migrate:down

DROP FUNCTION begin_work(uuid, uuid, uuid, uuid, timestamptz);
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
DROP FUNCTION party(uuid, uuid, timestamptz);

CREATE OR REPLACE FUNCTION begin_key(account uuid, asking uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM accounts WHERE id = account FOR SHARE;
    PERFORM 1 FROM api_keys WHERE id = asking AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > moment);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the key is revoked' USING ERRCODE = 'GH024';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION one_party(a uuid, b uuid, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN a = b OR EXISTS (
        (SELECT a UNION ALL SELECT human_id FROM bindings WHERE agent_id = a AND party_until > moment)
        INTERSECT
        (SELECT b UNION ALL SELECT human_id FROM bindings WHERE agent_id = b AND party_until > moment));
END $$;
DROP VIEW principals;
DROP INDEX bundles_agent;
ALTER TABLE bundles DROP CONSTRAINT bundles_party, DROP COLUMN party_until, DROP COLUMN agent_id;
