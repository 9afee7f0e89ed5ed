-- migrate:up

-- What the checks said of a task's samples when it was published, for its
-- publisher; null for tasks from before it was kept.
ALTER TABLE task_secrets
    ADD COLUMN sample_reports json,
    ADD CONSTRAINT task_secrets_reports CHECK (sample_reports IS NULL OR samples IS NOT NULL);

-- migrate:down

ALTER TABLE task_secrets
    DROP CONSTRAINT task_secrets_reports,
    DROP COLUMN sample_reports;
