-- migrate:up

-- A file that was uploaded, once however often: its content is the blob store's
-- object of that key.
CREATE TABLE blobs (
    sha256     text        CONSTRAINT blobs_pkey PRIMARY KEY CONSTRAINT blobs_sha256 CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    object     text        NOT NULL CONSTRAINT blobs_object_key UNIQUE,
    bytes      bigint      NOT NULL CONSTRAINT blobs_bytes CHECK (bytes >= 0),
    media_type text        NOT NULL,
    created_at timestamptz NOT NULL
);

-- Who uploaded it: only they may attach it. Unused ones are forgotten.
CREATE TABLE uploads (
    account_id uuid        NOT NULL CONSTRAINT uploads_account_fkey REFERENCES accounts (id),
    sha256     text        NOT NULL CONSTRAINT uploads_blob_fkey REFERENCES blobs (sha256),
    created_at timestamptz NOT NULL,
    used       boolean     NOT NULL DEFAULT false,
    CONSTRAINT uploads_pkey PRIMARY KEY (account_id, sha256)
);
CREATE INDEX uploads_blob ON uploads (sha256);
CREATE INDEX uploads_unused ON uploads (created_at) WHERE NOT used;

-- What it is attached to: a task, or a delivery on it.
CREATE TABLE attachments (
    task_id     uuid NOT NULL CONSTRAINT attachments_task_fkey REFERENCES tasks (id),
    delivery_id uuid CONSTRAINT attachments_delivery_fkey REFERENCES deliveries (id),
    sha256      text NOT NULL CONSTRAINT attachments_blob_fkey REFERENCES blobs (sha256)
);
CREATE INDEX attachments_blob ON attachments (sha256);
CREATE INDEX attachments_task ON attachments (task_id);

-- migrate:down

DROP TABLE attachments, uploads, blobs;
