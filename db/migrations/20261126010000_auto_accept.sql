-- migrate:up

ALTER TABLE tasks ADD COLUMN auto_accept boolean NOT NULL DEFAULT false;

-- What of a task only its publisher and the engine may know. Apart from tasks,
-- so that no list or snapshot carries it by mistake.
CREATE TABLE task_secrets (
    task_id uuid CONSTRAINT task_secrets_pkey PRIMARY KEY
                 CONSTRAINT task_secrets_task_fkey REFERENCES tasks (id),
    hidden  json,
    samples json,
    CONSTRAINT task_secrets_some CHECK (hidden IS NOT NULL OR samples IS NOT NULL)
);

-- migrate:down

DROP TABLE task_secrets;
ALTER TABLE tasks DROP COLUMN auto_accept;
