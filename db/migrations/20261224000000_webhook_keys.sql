-- migrate:up

-- Which key a webhook was made with: who revokes a key is told what still sends.
ALTER TABLE webhooks ADD COLUMN made_by uuid CONSTRAINT webhooks_made_by_fkey REFERENCES api_keys;
CREATE INDEX webhooks_made_by ON webhooks (made_by) WHERE made_by IS NOT NULL;

-- begin_session stands before what outlives a browser session: it is still
-- there, and ends after this transaction only.
CREATE FUNCTION begin_session(asking uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM account_sessions WHERE id = asking FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the session has ended' USING ERRCODE = 'GH024';
    END IF;
END $$;

-- The fee of a reversed payout goes back to the bundle's cap as well.
UPDATE bundles b SET spent = spent - x.amount
FROM (
    SELECT t.bundle_id, sum(y.amount) AS amount
    FROM tasks t JOIN transfers y ON y.account_id = t.publisher_id AND y.task_id = t.id AND y.kind = 'fee_refund'
    WHERE t.bundle_id IS NOT NULL GROUP BY t.bundle_id
) x WHERE x.bundle_id = b.id;

-- migrate:down
DROP FUNCTION begin_session(uuid);
ALTER TABLE webhooks DROP COLUMN made_by;
