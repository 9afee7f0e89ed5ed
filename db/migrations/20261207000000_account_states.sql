-- migrate:up

-- Whether an account may act. One that waits for an operator's approval has no
-- approved_at yet; suspension and refusal are the reasons that its owner reads.
ALTER TABLE accounts
    ADD COLUMN approved_at timestamptz DEFAULT now(),
    ADD COLUMN refused_at timestamptz,
    ADD COLUMN refusal text,
    ADD COLUMN suspended_at timestamptz,
    ADD COLUMN suspension text,
    ADD CONSTRAINT accounts_refused CHECK ((refused_at IS NULL) = (refusal IS NULL) AND (refused_at IS NULL OR approved_at IS NULL)),
    ADD CONSTRAINT accounts_suspended CHECK ((suspended_at IS NULL) = (suspension IS NULL));
UPDATE accounts SET approved_at = created_at;
ALTER TABLE accounts ADD COLUMN state text NOT NULL GENERATED ALWAYS AS (CASE
    WHEN suspended_at IS NOT NULL THEN 'suspended'
    WHEN approved_at IS NOT NULL THEN 'active'
    WHEN refused_at IS NOT NULL THEN 'refused'
    ELSE 'pending' END) STORED;
CREATE INDEX accounts_state ON accounts (state, id) WHERE state <> 'active';
CREATE INDEX accounts_handle_prefix ON accounts (handle text_pattern_ops);
CREATE INDEX logins_email_prefix ON logins (lower(email) text_pattern_ops);

-- The log holds what is about no single thing, and is read by who did what.
ALTER TABLE admin_actions ALTER COLUMN subject_id DROP NOT NULL;
CREATE INDEX admin_actions_actor ON admin_actions (actor_id, id);
CREATE INDEX admin_actions_action ON admin_actions (action, id);

-- Decisions that were made before the log had them, in their order.
INSERT INTO admin_actions (at, actor_id, key_id, action, subject_id, reason, detail)
SELECT d.at, d.actor_id, d.key_id, d.action, d.subject_id, d.reason, d.detail
FROM (
    SELECT closed_at AS at, decided_by AS actor_id, NULL::uuid AS key_id, 'case_decided' AS action, id AS subject_id, note AS reason,
        jsonb_build_object('outcome', outcome, 'share', share) AS detail
    FROM cases WHERE decided_by IS NOT NULL
    UNION ALL
    SELECT at, operator_id, key_id, 'report_decided', report_id, note, jsonb_build_object('outcome', outcome) FROM report_decisions
) d
ORDER BY d.at;

-- Corrections by operators, with the reason on the line itself.
ALTER TABLE transfers ADD COLUMN note text;
ALTER TABLE transfers ADD CONSTRAINT transfers_note CHECK ((kind = 'adjustment') = (note IS NOT NULL));
-- The list of kinds as it is, and one more.
DO $$
DECLARE
    kinds text := (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'transfers_kind' AND conrelid = 'transfers'::regclass);
BEGIN
    ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
    EXECUTE 'ALTER TABLE transfers ADD CONSTRAINT transfers_kind ' || replace(kinds, 'ARRAY[', 'ARRAY[''adjustment''::text, ');
END $$;

-- The mark of a line covers its note; that of a line without one is as it was.
DROP FUNCTION transfer_mark(bigint, timestamptz, text, text, text, bigint, text, text, uuid, uuid, uuid, uuid, bigint);
CREATE FUNCTION transfer_mark(id bigint, at timestamptz, kind text, debit text, credit text, amount bigint, debit_class text, credit_class text,
    account_id uuid, counterparty_id uuid, task_id uuid, order_id uuid, balance_after bigint, note text) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN sha256(convert_to(concat(id, '|', (date_part('epoch', at) * 1000000)::bigint, '|', kind, '|', debit, '|', credit, '|', amount, '|',
        debit_class, '|', credit_class, '|', account_id, '|', counterparty_id, '|', task_id, '|', order_id, '|', balance_after, '|' || note), 'UTF8'));
END $$;
CREATE OR REPLACE FUNCTION mark_transfer() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.mark := sha256(convert_to(concat(NEW.id, '|', (date_part('epoch', NEW.at) * 1000000)::bigint, '|', NEW.kind, '|', NEW.debit, '|', NEW.credit, '|', NEW.amount, '|',
        NEW.debit_class, '|', NEW.credit_class, '|', NEW.account_id, '|', NEW.counterparty_id, '|', NEW.task_id, '|', NEW.order_id, '|', NEW.balance_after, '|' || NEW.note), 'UTF8'));
    RETURN NEW;
END $$;

-- migrate:down

CREATE OR REPLACE FUNCTION mark_transfer() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.mark := sha256(convert_to(concat(NEW.id, '|', (date_part('epoch', NEW.at) * 1000000)::bigint, '|', NEW.kind, '|', NEW.debit, '|', NEW.credit, '|', NEW.amount, '|',
        NEW.debit_class, '|', NEW.credit_class, '|', NEW.account_id, '|', NEW.counterparty_id, '|', NEW.task_id, '|', NEW.order_id, '|', NEW.balance_after), 'UTF8'));
    RETURN NEW;
END $$;
DROP FUNCTION transfer_mark(bigint, timestamptz, text, text, text, bigint, text, text, uuid, uuid, uuid, uuid, bigint, text);
CREATE FUNCTION transfer_mark(id bigint, at timestamptz, kind text, debit text, credit text, amount bigint, debit_class text, credit_class text,
    account_id uuid, counterparty_id uuid, task_id uuid, order_id uuid, balance_after bigint) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN sha256(convert_to(concat(id, '|', (date_part('epoch', at) * 1000000)::bigint, '|', kind, '|', debit, '|', credit, '|', amount, '|',
        debit_class, '|', credit_class, '|', account_id, '|', counterparty_id, '|', task_id, '|', order_id, '|', balance_after), 'UTF8'));
END $$;
ALTER TABLE transfers DROP CONSTRAINT transfers_note;
DO $$
DECLARE
    kinds text := (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'transfers_kind' AND conrelid = 'transfers'::regclass);
BEGIN
    ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
    EXECUTE 'ALTER TABLE transfers ADD CONSTRAINT transfers_kind ' || replace(kinds, '''adjustment''::text, ', '');
END $$;
ALTER TABLE transfers DROP COLUMN note;
DROP INDEX admin_actions_action, admin_actions_actor;
ALTER TABLE admin_actions ALTER COLUMN subject_id SET NOT NULL;
DROP INDEX logins_email_prefix, accounts_handle_prefix, accounts_state;
ALTER TABLE accounts
    DROP COLUMN state,
    DROP COLUMN suspension,
    DROP COLUMN suspended_at,
    DROP COLUMN refusal,
    DROP COLUMN refused_at,
    DROP COLUMN approved_at;
