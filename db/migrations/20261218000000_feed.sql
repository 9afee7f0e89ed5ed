-- migrate:up

-- A UUIDv7 of the moment, for events that statements write for many at once.
CREATE FUNCTION feed_id(moment timestamptz) RETURNS uuid
LANGUAGE sql VOLATILE
AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM moment) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- As before, and the referrer is told.
CREATE OR REPLACE FUNCTION pay_referral(worker uuid, task uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    referrer uuid;
    bonus bigint;
    total bigint;
BEGIN
    UPDATE accounts SET referral_paid_at = moment
    WHERE id = worker AND referral_paid_at IS NULL AND referred_by IS NOT NULL AND referral_bonus > 0
    RETURNING referred_by, referral_bonus INTO referrer, bonus;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE wallets SET granted = granted + bonus WHERE account_id = referrer RETURNING granted + earned INTO total;
    INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, balance_after)
    VALUES (moment, 'referral', 'platform:grants', 'wallet:' || referrer, bonus, 'granted', 'granted', referrer, worker, task, total);
    INSERT INTO account_events (id, account_id, at, type, data)
    VALUES (feed_id(moment), referrer, moment, 'referral.paid', jsonb_build_object('amount', bonus, 'class', 'granted'));
END $$;

-- migrate:down

CREATE OR REPLACE FUNCTION pay_referral(worker uuid, task uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    referrer uuid;
    bonus bigint;
    total bigint;
BEGIN
    UPDATE accounts SET referral_paid_at = moment
    WHERE id = worker AND referral_paid_at IS NULL AND referred_by IS NOT NULL AND referral_bonus > 0
    RETURNING referred_by, referral_bonus INTO referrer, bonus;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE wallets SET granted = granted + bonus WHERE account_id = referrer RETURNING granted + earned INTO total;
    INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, counterparty_id, task_id, balance_after)
    VALUES (moment, 'referral', 'platform:grants', 'wallet:' || referrer, bonus, 'granted', 'granted', referrer, worker, task, total);
END $$;
DROP FUNCTION feed_id(timestamptz);
