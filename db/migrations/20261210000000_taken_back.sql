-- migrate:up

-- The payouts that were taken back from an account.
CREATE INDEX transfers_reversed ON transfers (counterparty_id, id) WHERE kind = 'reversal';

-- migrate:down

DROP INDEX transfers_reversed;
