-- migrate:up

-- How work ended, for each of its parties. A transition adds its outcomes
-- here, next to everything else that it writes; the sweep takes them out
-- again, counts them and keeps them in outcomes. Nothing is numbered in order
-- of commit, so what is new is what is here, not what has a higher id.
CREATE TABLE new_outcomes (
    id              bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT new_outcomes_pkey PRIMARY KEY,
    at              timestamptz NOT NULL,
    account_id      uuid        NOT NULL,
    role            text        NOT NULL CONSTRAINT new_outcomes_role CHECK (role IN ('worker', 'publisher')),
    kind            text        NOT NULL CONSTRAINT new_outcomes_kind CHECK (kind IN
                                ('accepted', 'rejected', 'abandoned', 'overturned', 'silent', 'automatic', 'reversed')),
    counterparty_id uuid        NOT NULL,
    task_id         uuid        NOT NULL,
    delivery_id     uuid,
    skills          text[]      NOT NULL,
    amount          bigint      NOT NULL CONSTRAINT new_outcomes_amount CHECK (amount >= 0),
    minutes         integer,
    CONSTRAINT new_outcomes_two_parties CHECK (account_id <> counterparty_id)
);

-- All that were counted. Append-only: see the trigger.
CREATE TABLE outcomes (
    id              bigint      CONSTRAINT outcomes_pkey PRIMARY KEY,
    at              timestamptz NOT NULL,
    account_id      uuid        NOT NULL,
    role            text        NOT NULL,
    kind            text        NOT NULL,
    counterparty_id uuid        NOT NULL,
    task_id         uuid        NOT NULL,
    delivery_id     uuid,
    skills          text[]      NOT NULL,
    amount          bigint      NOT NULL,
    minutes         integer
);
CREATE INDEX outcomes_account ON outcomes (account_id, role, at);
CREATE INDEX outcomes_answers ON outcomes (account_id, at, id) WHERE minutes IS NOT NULL;
CREATE TRIGGER outcomes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON outcomes
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- market.Score to the same digit: a test compares them.
CREATE FUNCTION reputation_score(good bigint, total bigint) RETURNS integer LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    n float8 := total;
    p float8;
    z CONSTANT float8 := 1.645;
BEGIN
    IF total <= 0 THEN
        RETURN NULL;
    END IF;
    p := greatest(good, 0) / n;
    RETURN floor(1000 * greatest(((p + z * z / (2 * n)) - z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))) / (1 + z * z / n), 0));
END $$;

-- The outcomes of an account in a role, added up, over all tasks (skill '')
-- and for each skill. Only the sweep writes here.
CREATE TABLE reputations (
    account_id     uuid    NOT NULL CONSTRAINT reputations_account_fkey REFERENCES accounts (id),
    role           text    NOT NULL CONSTRAINT reputations_role CHECK (role IN ('worker', 'publisher')),
    skill          text    NOT NULL,
    accepted       bigint  NOT NULL,
    rejected       bigint  NOT NULL,
    abandoned      bigint  NOT NULL,
    overturned     bigint  NOT NULL,
    silent         bigint  NOT NULL,
    automatic      bigint  NOT NULL,
    credits        bigint  NOT NULL,
    -- Of a publisher's last hundred answers, over all tasks.
    median_minutes integer,
    score          integer GENERATED ALWAYS AS (CASE role
        WHEN 'worker' THEN reputation_score(accepted, greatest(accepted, 0) + greatest(rejected, 0) + abandoned)
        ELSE reputation_score(accepted, accepted + rejected + silent + overturned) END) STORED,
    CONSTRAINT reputations_pkey PRIMARY KEY (account_id, role, skill)
);
CREATE INDEX reputations_board ON reputations (role, skill, score DESC, accepted DESC, credits DESC, account_id) WHERE score IS NOT NULL;

-- The same by day (UTC), for leaderboards of a period.
CREATE TABLE reputation_days (
    role       text    NOT NULL,
    skill      text    NOT NULL,
    day        date    NOT NULL,
    account_id uuid    NOT NULL,
    accepted   integer NOT NULL,
    rejected   integer NOT NULL,
    abandoned  integer NOT NULL,
    overturned integer NOT NULL,
    silent     integer NOT NULL,
    credits    bigint  NOT NULL,
    CONSTRAINT reputation_days_pkey PRIMARY KEY (role, skill, day, account_id)
);

CREATE INDEX deliveries_rejected ON deliveries (task_id) WHERE state = 'rejected';

-- What a worker's next claim is judged by.
CREATE INDEX claims_held ON claims (worker_id, expires_at) WHERE ended_at IS NULL;
CREATE INDEX claims_abandoned ON claims (worker_id, ended_at) WHERE outcome = 'expired';

-- Makes room for one more claim of the worker, one transaction at a time, or
-- raises GH003. It sees what others committed while it waited. Claims whose
-- delivery waits for its publisher are not counted.
CREATE FUNCTION begin_claim(worker uuid, most bigint, moment timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(worker::text, 1));
    IF (SELECT count(*) FROM claims c JOIN tasks t ON t.id = c.task_id
        WHERE c.worker_id = worker AND c.ended_at IS NULL AND c.expires_at > moment AND t.state = 'claimed') >= most THEN
        RAISE EXCEPTION 'the worker holds % claims', most USING ERRCODE = 'GH003';
    END IF;
END $$;

-- What happened before outcomes were kept.
INSERT INTO new_outcomes (at, account_id, role, kind, counterparty_id, task_id, delivery_id, skills, amount, minutes)
SELECT o.at, x.account_id, x.role, x.kind, x.counterparty_id, o.task_id, o.delivery_id, o.skills, o.amount,
    CASE WHEN x.role = 'publisher' AND x.kind IN ('accepted', 'rejected') THEN o.minutes END
FROM (
    SELECT (d.review ->> 'At')::timestamptz AS at, t.publisher_id, d.worker_id, d.task_id, d.id AS delivery_id, t.skills, d.state,
        COALESCE(y.amount, 0) AS amount, trunc(extract(epoch FROM (d.review ->> 'At')::timestamptz - d.created_at) / 60)::integer AS minutes,
        CASE WHEN d.state = 'rejected' THEN 'rejected' ELSE COALESCE((
            SELECT CASE e.event WHEN 'accepted_by_silence' THEN 'silent' WHEN 'accepted_by_checks' THEN 'automatic' END
            FROM task_events e WHERE e.task_id = d.task_id AND e.event IN ('accepted_by_silence', 'accepted_by_checks')
        ), 'accepted') END AS answer
    FROM deliveries d
    JOIN tasks t ON t.id = d.task_id
    LEFT JOIN payouts y ON y.delivery_id = d.id
    WHERE d.state IN ('accepted', 'rejected')
) o
CROSS JOIN LATERAL (VALUES
    (o.worker_id, 'worker', o.state, o.publisher_id),
    (o.publisher_id, 'publisher', o.answer, o.worker_id)
) x (account_id, role, kind, counterparty_id)
UNION ALL
SELECT c.ended_at, c.worker_id, 'worker', 'abandoned', t.publisher_id, c.task_id, NULL, t.skills, 0, NULL
FROM claims c JOIN tasks t ON t.id = c.task_id
WHERE c.outcome = 'expired';

-- migrate:down

DROP FUNCTION begin_claim(uuid, bigint, timestamptz);
DROP INDEX claims_abandoned, claims_held, deliveries_rejected;
DROP TABLE reputation_days, reputations, outcomes, new_outcomes;
DROP FUNCTION reputation_score(bigint, bigint);
