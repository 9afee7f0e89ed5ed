-- migrate:up

-- Open mode: many deliveries at once, each with a clock of its own, and as many
-- rewards as slots. A case holds (freezes) a slot.
ALTER TABLE tasks
    DROP CONSTRAINT tasks_mode,
    ADD COLUMN slots integer,
    ADD COLUMN frozen integer NOT NULL DEFAULT 0,
    ADD COLUMN paused_at timestamptz;
UPDATE tasks SET slots = CASE WHEN due_at IS NULL THEN 0 ELSE max_accepted END;
ALTER TABLE tasks
    ALTER COLUMN slots SET NOT NULL,
    ADD CONSTRAINT tasks_mode CHECK (mode IN ('exclusive', 'open')),
    ADD CONSTRAINT tasks_slots CHECK (slots BETWEEN 0 AND max_accepted AND frozen BETWEEN 0 AND slots),
    ADD CONSTRAINT tasks_escrow_slots CHECK (escrow_granted + escrow_earned = reward * slots);

ALTER TABLE claims
    DROP CONSTRAINT claims_outcome,
    ADD CONSTRAINT claims_outcome CHECK (outcome IN
        ('released', 'expired', 'exhausted', 'rejected', 'withdrawn', 'settled', 'closed', 'appealed'));

-- Without a claim it is a delivery in open mode.
ALTER TABLE deliveries
    ALTER COLUMN claim_id DROP NOT NULL,
    DROP CONSTRAINT deliveries_state,
    DROP CONSTRAINT deliveries_reviewed,
    ADD COLUMN due_at timestamptz,
    ADD COLUMN in_case boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT deliveries_state CHECK (state IN
        ('pending', 'accepted', 'rejected', 'withdrawn', 'failed', 'not_selected', 'reversed')),
    ADD CONSTRAINT deliveries_reviewed CHECK ((state IN ('accepted', 'rejected', 'reversed')) = (review IS NOT NULL)),
    ADD CONSTRAINT deliveries_own_clock CHECK (due_at IS NULL OR claim_id IS NULL);
DROP INDEX deliveries_pending;
DROP INDEX deliveries_accepted;
CREATE UNIQUE INDEX deliveries_pending ON deliveries (task_id) WHERE state = 'pending' AND claim_id IS NOT NULL;
CREATE UNIQUE INDEX deliveries_accepted ON deliveries (task_id) WHERE state = 'accepted' AND claim_id IS NOT NULL;
CREATE UNIQUE INDEX deliveries_pending_open ON deliveries (task_id, worker_id) WHERE state = 'pending' AND claim_id IS NULL;
CREATE INDEX deliveries_live ON deliveries (task_id, due_at) INCLUDE (id, worker_id, state, in_case) WHERE due_at IS NOT NULL;

-- How much of a payout was granted credits: it goes back in that split.
ALTER TABLE payouts
    DROP CONSTRAINT payouts_state,
    ADD COLUMN granted_part bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT payouts_state CHECK (state IN ('pending', 'available', 'reversed')),
    ADD CONSTRAINT payouts_granted_part CHECK (granted_part BETWEEN 0 AND amount);
UPDATE payouts y SET granted_part = COALESCE((
    SELECT sum(x.amount) FROM transfers x
    WHERE x.account_id = y.account_id AND x.task_id = y.task_id AND x.kind = 'payout' AND x.debit_class = 'granted'), 0);

ALTER TABLE transfers
    DROP CONSTRAINT transfers_kind,
    ADD CONSTRAINT transfers_kind CHECK (kind IN ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal'));

-- Who decides cases.
ALTER TABLE accounts
    ADD COLUMN operator boolean NOT NULL DEFAULT false,
    ADD CONSTRAINT accounts_operator CHECK (NOT operator OR kind = 'human');

CREATE TABLE cases (
    id           uuid        CONSTRAINT cases_pkey PRIMARY KEY,
    task_id      uuid        NOT NULL CONSTRAINT cases_task_fkey REFERENCES tasks (id),
    delivery_id  uuid        NOT NULL CONSTRAINT cases_delivery_fkey REFERENCES deliveries (id),
    kind         text        NOT NULL CONSTRAINT cases_kind CHECK (kind IN ('appeal', 'error', 'objection')),
    opened_by    uuid        CONSTRAINT cases_opened_by_fkey REFERENCES accounts (id),
    text         text        NOT NULL,
    frozen       boolean     NOT NULL,
    opened_at    timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    available_at timestamptz,
    closed_at    timestamptz,
    outcome      text        CONSTRAINT cases_outcome CHECK (outcome IN
                             ('upheld', 'overturned', 'split', 'kept', 'reversed', 'silence', 'moot')),
    share        integer     NOT NULL DEFAULT 0 CONSTRAINT cases_share CHECK (share BETWEEN 0 AND 9999),
    note         text        NOT NULL DEFAULT '',
    decided_by   uuid        CONSTRAINT cases_decided_by_fkey REFERENCES accounts (id),
    CONSTRAINT cases_once UNIQUE (delivery_id, kind),
    CONSTRAINT cases_closed CHECK ((closed_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX cases_open ON cases (due_at, id) WHERE closed_at IS NULL;
CREATE INDEX cases_task ON cases (task_id);

-- Cases of what waits for an operator already.
INSERT INTO cases (id, task_id, delivery_id, kind, text, frozen, opened_at, due_at)
SELECT gen_random_uuid(), t.id, d.id, 'error', '', true, t.case_until - interval '7 days', t.case_until
FROM tasks t JOIN deliveries d ON d.task_id = t.id AND d.state = 'pending'
WHERE t.case_until IS NOT NULL;
UPDATE deliveries SET in_case = true WHERE id IN (SELECT delivery_id FROM cases);
UPDATE tasks SET frozen = 1 WHERE case_until IS NOT NULL;

-- Locks a payout that is still held; raises GH004 if it is not any more.
CREATE FUNCTION hold_payout(payout uuid, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM payouts WHERE id = payout AND state = 'pending' AND available_at > at FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'payout is not held' USING ERRCODE = 'GH004';
    END IF;
END $$;

-- migrate:down

DROP FUNCTION hold_payout(uuid, timestamptz);
DROP TABLE cases;
ALTER TABLE accounts DROP COLUMN operator;
ALTER TABLE payouts DROP COLUMN granted_part;
DROP INDEX deliveries_live, deliveries_pending_open, deliveries_accepted, deliveries_pending;
ALTER TABLE deliveries DROP COLUMN due_at, DROP COLUMN in_case;
CREATE UNIQUE INDEX deliveries_pending ON deliveries (task_id) WHERE state = 'pending';
CREATE UNIQUE INDEX deliveries_accepted ON deliveries (task_id) WHERE state = 'accepted';
ALTER TABLE tasks DROP COLUMN slots, DROP COLUMN frozen, DROP COLUMN paused_at;
