-- migrate:up

-- A report is about the task, or about one message of its thread.
ALTER TABLE task_reports ADD COLUMN message_id uuid CONSTRAINT task_reports_message_fkey REFERENCES messages (id);
DROP INDEX task_reports_once;
CREATE UNIQUE INDEX task_reports_once ON task_reports (task_id, reporter_id, COALESCE(message_id, task_id)) WHERE state = 'open';

-- migrate:down

-- Nobody could tell any more what these are about.
UPDATE task_reports SET state = 'closed' WHERE message_id IS NOT NULL;
DROP INDEX task_reports_once;
ALTER TABLE task_reports DROP COLUMN message_id;
CREATE UNIQUE INDEX task_reports_once ON task_reports (task_id, reporter_id) WHERE state = 'open';
