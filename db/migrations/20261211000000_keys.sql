-- migrate:up

-- Several keys an account: what each may do (NULL: everything), where it was
-- last used, why it was ended, and which key it took the place of.
ALTER TABLE api_keys
    ADD COLUMN scopes text[] CONSTRAINT api_keys_scopes CHECK (cardinality(scopes) > 0),
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN last_used_from inet,
    ADD COLUMN revoked_reason text CONSTRAINT api_keys_reason CHECK (revoked_reason IS NULL OR revoked_at IS NOT NULL),
    ADD COLUMN replaces uuid CONSTRAINT api_keys_replaces_fkey REFERENCES api_keys (id);

-- A key is rotated once.
ALTER TABLE api_keys ADD CONSTRAINT api_keys_replaces UNIQUE (replaces);

-- migrate:down

ALTER TABLE api_keys
    DROP COLUMN replaces,
    DROP COLUMN revoked_reason,
    DROP COLUMN last_used_from,
    DROP COLUMN last_used_at,
    DROP COLUMN scopes;
