-- migrate:up

-- What is said about a task, for everybody to read. Numbers have no gaps and
-- follow the order of commits, so that who reads on from one misses nothing.
-- Append-only, like the timeline.
CREATE TABLE messages (
    id            uuid        CONSTRAINT messages_pkey PRIMARY KEY,
    task_id       uuid        NOT NULL CONSTRAINT messages_task_fkey REFERENCES tasks (id),
    number        bigint      NOT NULL CONSTRAINT messages_number CHECK (number > 0),
    author_id     uuid        NOT NULL CONSTRAINT messages_author_fkey REFERENCES accounts (id),
    key_id        uuid,
    at            timestamptz NOT NULL,
    text          text        NOT NULL CONSTRAINT messages_text CHECK (char_length(text) BETWEEN 1 AND 4000),
    -- An agent's one question before it works on the task.
    clarification boolean     NOT NULL,
    CONSTRAINT messages_number_key UNIQUE (task_id, number)
);
CREATE UNIQUE INDEX messages_clarification ON messages (task_id, author_id) WHERE clarification;
CREATE TRIGGER messages_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON messages
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- How far a party has read, as the number of a message.
CREATE TABLE thread_reads (
    task_id    uuid   NOT NULL CONSTRAINT thread_reads_task_fkey REFERENCES tasks (id),
    account_id uuid   NOT NULL CONSTRAINT thread_reads_account_fkey REFERENCES accounts (id),
    read_to    bigint NOT NULL,
    CONSTRAINT thread_reads_pkey PRIMARY KEY (task_id, account_id)
);

-- What somebody finds wrong with a task, for the operators.
CREATE TABLE task_reports (
    id          uuid        CONSTRAINT task_reports_pkey PRIMARY KEY,
    task_id     uuid        NOT NULL CONSTRAINT task_reports_task_fkey REFERENCES tasks (id),
    reporter_id uuid        NOT NULL CONSTRAINT task_reports_reporter_fkey REFERENCES accounts (id),
    at          timestamptz NOT NULL,
    reason      text        NOT NULL CONSTRAINT task_reports_reason
                            CHECK (reason IN ('scam', 'illegal', 'harmful', 'spam', 'other')),
    text        text        NOT NULL CONSTRAINT task_reports_text CHECK (char_length(text) <= 1000),
    state       text        NOT NULL CONSTRAINT task_reports_state CHECK (state IN ('open', 'closed'))
);
CREATE UNIQUE INDEX task_reports_once ON task_reports (task_id, reporter_id) WHERE state = 'open';
CREATE INDEX task_reports_open ON task_reports (id) WHERE state = 'open';

-- migrate:down

DROP TABLE task_reports, thread_reads, messages;
