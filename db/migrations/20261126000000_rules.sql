-- migrate:up

-- json, not jsonb: rules hold values of outputs, which jsonb would write anew
-- (1e308 as 309 digits) or refuse.
ALTER TABLE tasks ALTER COLUMN rules TYPE json USING rules::text::json;

-- migrate:down

ALTER TABLE tasks ALTER COLUMN rules TYPE jsonb USING rules::text::jsonb;
