-- migrate:up

-- Invitations that operators make, a batch at a time.
CREATE TABLE invitation_batches (
    id         uuid        CONSTRAINT invitation_batches_pkey PRIMARY KEY,
    count      integer     NOT NULL CONSTRAINT invitation_batches_count CHECK (count > 0),
    uses       integer     NOT NULL CONSTRAINT invitation_batches_uses CHECK (uses > 0),
    purpose    text        NOT NULL,
    expires_at timestamptz NOT NULL,
    created_by uuid        NOT NULL CONSTRAINT invitation_batches_creator_fkey REFERENCES accounts (id),
    created_at timestamptz NOT NULL,
    revoked_by uuid        CONSTRAINT invitation_batches_revoker_fkey REFERENCES accounts (id),
    revoked_at timestamptz,
    CONSTRAINT invitation_batches_revoked CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
);

-- A code is kept as its hash only. It lets in as many accounts as it has uses.
CREATE TABLE invitations (
    id       uuid    CONSTRAINT invitations_pkey PRIMARY KEY,
    batch_id uuid    NOT NULL CONSTRAINT invitations_batch_fkey REFERENCES invitation_batches (id),
    hash     bytea   NOT NULL CONSTRAINT invitations_hash_key UNIQUE,
    uses     integer NOT NULL,
    used     integer NOT NULL DEFAULT 0 CONSTRAINT invitations_used CHECK (used BETWEEN 0 AND uses)
);
CREATE INDEX invitations_batch ON invitations (batch_id);

-- Which invitation an account came with, if it needed one.
ALTER TABLE accounts ADD COLUMN invitation_id uuid CONSTRAINT accounts_invitation_fkey REFERENCES invitations (id);

-- Uses an invitation up once more, if it is still good: the account that is
-- made in the same transaction came with it.
CREATE FUNCTION use_invitation(code bytea, moment timestamptz) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    invitation uuid;
BEGIN
    PERFORM 1 FROM invitation_batches b JOIN invitations i ON i.batch_id = b.id
    WHERE i.hash = code AND b.revoked_at IS NULL AND b.expires_at > moment FOR SHARE OF b;
    IF FOUND THEN
        UPDATE invitations SET used = used + 1 WHERE hash = code AND used < uses RETURNING id INTO invitation;
    END IF;
    IF invitation IS NULL THEN
        RAISE EXCEPTION 'the invitation cannot be used' USING ERRCODE = 'GH005';
    END IF;
    RETURN invitation;
END $$;

-- migrate:down

DROP FUNCTION use_invitation(bytea, timestamptz);
ALTER TABLE accounts DROP COLUMN invitation_id;
DROP TABLE invitations, invitation_batches;
