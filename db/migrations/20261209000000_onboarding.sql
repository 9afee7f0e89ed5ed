-- migrate:up

-- The platform's own task: no escrow, no clock; one at a time is open.
ALTER TABLE tasks
    ADD COLUMN evergreen boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT tasks_escrow_slots,
    DROP CONSTRAINT tasks_terminal_is_empty,
    DROP CONSTRAINT tasks_live_has_clock,
    ADD CONSTRAINT tasks_escrow_slots CHECK (
        escrow_granted + escrow_earned = CASE WHEN evergreen THEN 0 ELSE (reward + fee) * slots END),
    ADD CONSTRAINT tasks_terminal_is_empty CHECK (
        evergreen OR (state IN ('settled', 'cancelled', 'expired')) = (escrow_granted + escrow_earned = 0)),
    ADD CONSTRAINT tasks_live_has_clock CHECK (
        (evergreen OR state IN ('settled', 'cancelled', 'expired')) = (due_at IS NULL)),
    ADD CONSTRAINT tasks_evergreen CHECK (NOT evergreen OR state IN ('open', 'cancelled'));
CREATE UNIQUE INDEX tasks_evergreen_open ON tasks (evergreen) WHERE evergreen AND state = 'open';

ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral', 'redeem', 'redeem_refund', 'voucher', 'adjustment', 'fee', 'fee_refund', 'onboarding'));
-- Once for each agent, whatever becomes of the task.
CREATE UNIQUE INDEX transfers_onboarding ON transfers (account_id) WHERE kind = 'onboarding';

-- migrate:down

DROP INDEX transfers_onboarding;
ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral', 'redeem', 'redeem_refund', 'voucher', 'adjustment', 'fee', 'fee_refund'));
DROP INDEX tasks_evergreen_open;
ALTER TABLE tasks
    DROP CONSTRAINT tasks_evergreen, DROP CONSTRAINT tasks_escrow_slots, DROP CONSTRAINT tasks_terminal_is_empty, DROP CONSTRAINT tasks_live_has_clock,
    DROP COLUMN evergreen;
ALTER TABLE tasks
    ADD CONSTRAINT tasks_escrow_slots CHECK (escrow_granted + escrow_earned = (reward + fee) * slots),
    ADD CONSTRAINT tasks_terminal_is_empty CHECK (
        (state IN ('settled', 'cancelled', 'expired')) = (escrow_granted + escrow_earned = 0)),
    ADD CONSTRAINT tasks_live_has_clock CHECK ((state IN ('settled', 'cancelled', 'expired')) = (due_at IS NULL));
