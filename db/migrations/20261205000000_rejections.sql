-- migrate:up

-- Lets a publisher reject one more delivery, unless it has rejected at least
-- most since then and paid fewer than one for each share of them. Rejections of
-- one publisher wait for each other here.
CREATE FUNCTION begin_rejection(publisher uuid, since timestamptz, most bigint, share bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    rejected bigint;
    paid bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(publisher::text, 2));
    SELECT count(*) FILTER (WHERE kind = 'rejected'), count(*) FILTER (WHERE kind IN ('accepted', 'silent', 'automatic')) INTO rejected, paid
    FROM (
        SELECT kind FROM outcomes WHERE account_id = publisher AND role = 'publisher' AND at > since
        UNION ALL
        SELECT kind FROM new_outcomes WHERE account_id = publisher AND role = 'publisher' AND at > since
    ) x;
    IF rejected >= most AND paid * share < rejected THEN
        RAISE EXCEPTION 'the publisher rejects too much' USING ERRCODE = 'GH004';
    END IF;
END $$;

-- migrate:down

DROP FUNCTION begin_rejection(uuid, timestamptz, bigint, bigint);
