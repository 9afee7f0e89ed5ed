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
