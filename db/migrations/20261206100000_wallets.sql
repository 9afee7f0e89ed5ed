-- migrate:up

-- What a publisher's live tasks hold, however many are over and however many
-- of others are live.
CREATE INDEX tasks_escrow ON tasks (publisher_id) WHERE due_at IS NOT NULL;

-- The lines of one kind in an account's ledger, however long ago they are.
CREATE INDEX transfers_account_kind ON transfers (account_id, kind, id);

-- migrate:down

DROP INDEX transfers_account_kind;
DROP INDEX tasks_escrow;
