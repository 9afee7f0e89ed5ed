-- migrate:up

-- The lines of one kind in an account's ledger, however long ago they are.
CREATE INDEX transfers_account_kind ON transfers (account_id, kind, id);

-- migrate:down

DROP INDEX transfers_account_kind;
