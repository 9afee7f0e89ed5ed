-- migrate:up

-- Equal outputs to one open task are found by the hash of their canonical
-- form, the one that came first before the others.
ALTER TABLE deliveries ADD COLUMN output_hash text GENERATED ALWAYS AS (report ->> 'outputHash') STORED;
CREATE INDEX deliveries_identical ON deliveries (task_id, output_hash, created_at, id)
    WHERE claim_id IS NULL AND output_hash IS NOT NULL;

-- migrate:down

DROP INDEX deliveries_identical;
ALTER TABLE deliveries DROP COLUMN output_hash;
