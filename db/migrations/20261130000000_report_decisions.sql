-- migrate:up

-- What an operator made of a report, and through which key (none: a browser
-- session). One for each report, kept for good.
CREATE TABLE report_decisions (
    report_id   uuid        CONSTRAINT report_decisions_pkey PRIMARY KEY
                            CONSTRAINT report_decisions_report_fkey REFERENCES task_reports (id),
    at          timestamptz NOT NULL,
    operator_id uuid        NOT NULL CONSTRAINT report_decisions_operator_fkey REFERENCES accounts (id),
    key_id      uuid,
    outcome     text        NOT NULL CONSTRAINT report_decisions_outcome CHECK (outcome IN ('resolved', 'dismissed')),
    note        text        NOT NULL CONSTRAINT report_decisions_note CHECK (char_length(note) BETWEEN 1 AND 1000)
);
CREATE INDEX report_decisions_at ON report_decisions (at, report_id);
CREATE INDEX task_reports_task ON task_reports (task_id, id);
CREATE TRIGGER report_decisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON report_decisions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- migrate:down

DROP INDEX task_reports_task;
DROP TABLE report_decisions;
