-- migrate:up

-- A publisher's own tasks with protected fields, to be sealed anew after a
-- recovery key or a device was removed.
CREATE INDEX tasks_sealed ON tasks (publisher_id, id) WHERE protected IS NOT NULL;

-- migrate:down
DROP INDEX tasks_sealed;
