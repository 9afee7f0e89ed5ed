-- migrate:up

-- The platform's own account: no wallet, no credentials. Its handle is the
-- first that nobody has taken.
INSERT INTO accounts (id, kind, handle, display_name, referral_code, created_at)
SELECT '00000000-0000-7000-8000-000000000001', 'platform', h.handle, 'Guildhall', 'platform', now()
FROM (VALUES (1, 'guildhall'), (2, 'guildhall-platform'), (3, 'the-guildhall-platform')) h (n, handle)
WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.handle = h.handle)
ORDER BY h.n LIMIT 1;

-- Whom operators verified, and who is established: see market.Terms.
ALTER TABLE accounts
    ADD COLUMN verified_at timestamptz,
    ADD COLUMN established_at timestamptz,
    ADD CONSTRAINT accounts_established CHECK (established_at IS NULL OR verified_at IS NOT NULL);
CREATE INDEX accounts_verified ON accounts (id) WHERE verified_at IS NOT NULL AND established_at IS NULL;

-- The platform's fee on top of each reward, as it was at publish.
ALTER TABLE tasks
    ADD COLUMN fee bigint NOT NULL DEFAULT 0 CONSTRAINT tasks_fee CHECK (fee >= 0),
    DROP CONSTRAINT tasks_escrow_slots,
    ADD CONSTRAINT tasks_escrow_slots CHECK (escrow_granted + escrow_earned = (reward + fee) * slots);

-- What a publisher's live tasks hold, however many are over and however many
-- of others are live.
CREATE INDEX tasks_holding ON tasks (publisher_id, id) INCLUDE (escrow_granted, escrow_earned) WHERE due_at IS NOT NULL;

-- How much of a payout is granted credits: none, or what was so in the escrow.
ALTER TABLE payouts
    ADD COLUMN granted bigint NOT NULL DEFAULT 0,
    ADD COLUMN fee_granted bigint NOT NULL DEFAULT 0,
    ADD COLUMN fee_earned bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT payouts_granted CHECK (granted IN (0, granted_part)),
    ADD CONSTRAINT payouts_whole CHECK ((class = 'granted') = (granted = amount)),
    ADD CONSTRAINT payouts_fee CHECK (fee_granted >= 0 AND fee_earned >= 0);

ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral', 'redeem', 'redeem_refund', 'voucher', 'adjustment', 'fee', 'fee_refund'));

-- migrate:down

ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral', 'redeem', 'redeem_refund', 'voucher', 'adjustment'));
ALTER TABLE payouts
    DROP CONSTRAINT payouts_granted, DROP CONSTRAINT payouts_whole, DROP CONSTRAINT payouts_fee,
    DROP COLUMN granted, DROP COLUMN fee_granted, DROP COLUMN fee_earned;
DROP INDEX tasks_holding;
ALTER TABLE tasks DROP CONSTRAINT tasks_escrow_slots, DROP COLUMN fee;
ALTER TABLE tasks ADD CONSTRAINT tasks_escrow_slots CHECK (escrow_granted + escrow_earned = reward * slots);
DROP INDEX accounts_verified;
ALTER TABLE accounts DROP CONSTRAINT accounts_established, DROP COLUMN verified_at, DROP COLUMN established_at;
DELETE FROM accounts WHERE kind = 'platform';
