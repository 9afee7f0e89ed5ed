-- migrate:up

-- The mark of a line is a hash of all that is in it, made when it is written:
-- a line that was changed behind the ledger's back no longer fits its mark.
CREATE FUNCTION transfer_mark(id bigint, at timestamptz, kind text, debit text, credit text, amount bigint,
    debit_class text, credit_class text, account_id uuid, counterparty_id uuid, task_id uuid, order_id uuid, balance_after bigint) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN sha256(convert_to(concat(id, '|', (date_part('epoch', at) * 1000000)::bigint, '|', kind, '|', debit, '|', credit, '|', amount, '|',
        debit_class, '|', credit_class, '|', account_id, '|', counterparty_id, '|', task_id, '|', order_id, '|', balance_after), 'UTF8'));
END $$;

-- The same, written out: a call in a call costs as much as the hash.
CREATE FUNCTION mark_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.mark := sha256(convert_to(concat(NEW.id, '|', (date_part('epoch', NEW.at) * 1000000)::bigint, '|', NEW.kind, '|', NEW.debit, '|', NEW.credit, '|', NEW.amount, '|',
        NEW.debit_class, '|', NEW.credit_class, '|', NEW.account_id, '|', NEW.counterparty_id, '|', NEW.task_id, '|', NEW.order_id, '|', NEW.balance_after), 'UTF8'));
    RETURN NEW;
END $$;

ALTER TABLE transfers DISABLE TRIGGER transfers_append_only;
ALTER TABLE transfers ADD COLUMN mark bytea;
UPDATE transfers SET mark = transfer_mark(id, at, kind, debit, credit, amount, debit_class, credit_class,
    account_id, counterparty_id, task_id, order_id, balance_after);
ALTER TABLE transfers ALTER COLUMN mark SET NOT NULL;
ALTER TABLE transfers ENABLE TRIGGER transfers_append_only;
CREATE TRIGGER transfers_mark BEFORE INSERT ON transfers FOR EACH ROW EXECUTE FUNCTION mark_transfer();

-- Lines come nearly in order of time: this index is tiny.
CREATE INDEX transfers_at ON transfers USING brin (at);

-- The chain of marks, one after the other in constant memory.
CREATE FUNCTION chain_mark(state bytea, mark bytea) RETURNS bytea LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    RETURN sha256(state || mark);
END $$;
CREATE AGGREGATE chain_marks(bytea) (SFUNC = chain_mark, STYPE = bytea, INITCOND = '');

-- A day of the ledger that is over, in UTC. The hash is of the hash of the day
-- before and of the chain of its own marks, so no line can be changed, added
-- or taken away, with its mark and all, without changing every later hash.
CREATE TABLE ledger_days (
    day       date    CONSTRAINT ledger_days_pkey PRIMARY KEY,
    lines     bigint  NOT NULL CONSTRAINT ledger_days_lines CHECK (lines > 0),
    id_sum    numeric NOT NULL,
    chain     bytea   NOT NULL,
    hash      bytea   NOT NULL,
    sealed_at timestamptz NOT NULL
);
CREATE TRIGGER ledger_days_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_days
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- When the books were recomputed, and how many differences there were.
CREATE TABLE audits (
    id        bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT audits_pkey PRIMARY KEY,
    at        timestamptz NOT NULL,
    transfers bigint      NOT NULL,
    findings  integer     NOT NULL
);

-- migrate:down

DROP TABLE audits, ledger_days;
DROP AGGREGATE chain_marks(bytea);
DROP FUNCTION chain_mark(bytea, bytea);
DROP INDEX transfers_at;
DROP TRIGGER transfers_mark ON transfers;
ALTER TABLE transfers DROP COLUMN mark;
DROP FUNCTION mark_transfer();
DROP FUNCTION transfer_mark(bigint, timestamptz, text, text, text, bigint, text, text, uuid, uuid, uuid, uuid, bigint);
