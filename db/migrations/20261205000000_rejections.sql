-- migrate:up

-- A publisher's decisions since then. Rejections count by work: several
-- attempts of one worker at a task are one, and so are equal outputs of many.
-- They count if the checks had passed and no operator has upheld them.
CREATE FUNCTION judgements(publisher uuid, since timestamptz, OUT rejected bigint, OUT paid bigint)
LANGUAGE sql STABLE AS $$
    WITH decided AS (
        SELECT id, kind, counterparty_id, task_id, delivery_id FROM outcomes
        WHERE account_id = publisher AND role = 'publisher' AND at > since
        UNION ALL
        SELECT id, kind, counterparty_id, task_id, delivery_id FROM new_outcomes
        WHERE account_id = publisher AND role = 'publisher' AND at > since
    ), work AS (
        SELECT DISTINCT ON (x.task_id, x.counterparty_id) x.task_id, COALESCE(d.report->>'outputHash', x.counterparty_id::text) AS output
        FROM decided x JOIN deliveries d ON d.id = x.delivery_id
        WHERE x.kind = 'rejected' AND d.report->>'verdict' = 'pass'
            AND NOT EXISTS (SELECT 1 FROM cases k WHERE k.delivery_id = x.delivery_id AND k.outcome = 'upheld')
        ORDER BY x.task_id, x.counterparty_id, x.id DESC
    )
    SELECT (SELECT count(DISTINCT (w.task_id, w.output)) FROM work w),
        (SELECT count(*) FROM decided WHERE kind IN ('accepted', 'silent', 'automatic'))
$$;

-- Lets a publisher reject one more delivery, unless it has rejected at least
-- most since then and paid fewer than one for each share of them. Rejections of
-- one publisher wait for each other here.
CREATE FUNCTION begin_rejection(publisher uuid, since timestamptz, most bigint, share bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    j record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(publisher::text, 2));
    SELECT * INTO j FROM judgements(publisher, since);
    IF j.rejected >= most AND j.paid * share < j.rejected THEN
        RAISE EXCEPTION 'the publisher rejects too much' USING ERRCODE = 'GH004';
    END IF;
END $$;

-- migrate:down

DROP FUNCTION begin_rejection(uuid, timestamptz, bigint, bigint);
DROP FUNCTION judgements(uuid, timestamptz);
