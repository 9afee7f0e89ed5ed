-- migrate:up

-- What was promised to the referrer when the account registered, and when it
-- was paid: once, for the account's first delivery that an unrelated publisher
-- accepted.
ALTER TABLE accounts
    ADD COLUMN referral_bonus bigint NOT NULL DEFAULT 0,
    ADD COLUMN referral_paid_at timestamptz,
    ADD CONSTRAINT accounts_referral_bonus CHECK (referral_bonus >= 0),
    ADD CONSTRAINT accounts_referral_paid CHECK (referral_paid_at IS NULL OR referred_by IS NOT NULL);

-- Those whom an account referred, newest first.
CREATE INDEX accounts_referred ON accounts (referred_by, id) WHERE referred_by IS NOT NULL;

ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral'));

-- No account is a reason for two bonuses.
CREATE UNIQUE INDEX transfers_referral ON transfers (counterparty_id) WHERE kind = 'referral';

-- Pays the bonus for a worker's first accepted delivery. Two acceptances at
-- once wait for each other here, and only the first finds it unpaid.
CREATE FUNCTION pay_referral(worker uuid, task uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
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

-- migrate:down

DROP FUNCTION pay_referral(uuid, uuid, timestamptz);
ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal'));
DROP INDEX transfers_referral, accounts_referred;
ALTER TABLE accounts DROP COLUMN referral_bonus, DROP COLUMN referral_paid_at;
