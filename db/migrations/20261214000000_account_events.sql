-- migrate:up

-- What an account is told, in the transaction of what happened. The pair
-- (xid, id) is the order in which readers follow: below the oldest running
-- transaction nothing is missing any more.
CREATE TABLE account_events (
    id uuid CONSTRAINT account_events_pkey PRIMARY KEY,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    account_id uuid NOT NULL CONSTRAINT account_events_account_fkey REFERENCES accounts (id),
    at timestamptz NOT NULL,
    type text NOT NULL CONSTRAINT account_events_type CHECK (type ~ '^[a-z]+\.[a-z_]+$'),
    task_id uuid CONSTRAINT account_events_task_fkey REFERENCES tasks (id),
    data jsonb NOT NULL
);
CREATE INDEX account_events_feed ON account_events (account_id, xid, id);

-- migrate:down

DROP TABLE account_events;
