-- migrate:up

-- Feeds are read in the order of transactions. A database that was restored from
-- a dump begins to count them anew, below those that its events were written
-- by: what is added here keeps the order, and with it every reader's place.
-- STABLE: of an IMMUTABLE one, plans would keep the value for good.
CREATE FUNCTION feed_shift() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT 0::bigint $$;

-- The place of what this transaction writes, what no transaction can write below
-- any more, and what none has written yet. Simple enough to be inlined.
CREATE FUNCTION feed_xid() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (pg_current_xact_id()::text::bigint + feed_shift())::text::xid8
$$;
CREATE FUNCTION feed_horizon() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (pg_snapshot_xmin(pg_current_snapshot())::text::bigint + feed_shift())::text::xid8
$$;
CREATE FUNCTION feed_future() RETURNS xid8 LANGUAGE sql STABLE AS $$
    SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + feed_shift())::text::xid8
$$;

ALTER TABLE account_events ALTER COLUMN xid SET DEFAULT feed_xid();

-- The cluster that the feeds are written in, by the number that PostgreSQL gives
-- each: a dump brings that of the one before along.
CREATE TABLE feed_origin (
    one boolean NOT NULL DEFAULT true CONSTRAINT feed_origin_pkey PRIMARY KEY CONSTRAINT feed_origin_one CHECK (one),
    cluster bigint NOT NULL
);

-- Finds out whether the database was restored: into another cluster, or so that
-- events are there of transactions that are still to come. New ones are placed
-- far behind all that any reader can have been told, who may have read further
-- than the dump.
CREATE FUNCTION feed_after_restore() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    here bigint := 0;
    known bigint;
    latest bigint;
    moved boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(746123058);
    BEGIN
        SELECT system_identifier INTO here FROM pg_control_system();
    EXCEPTION WHEN insufficient_privilege THEN
        NULL; -- some hosts do not tell: the events have to
    END;
    SELECT cluster INTO known FROM feed_origin;
    SELECT greatest((SELECT xid::text::bigint FROM account_events ORDER BY id DESC LIMIT 1), (SELECT max(xid::text::bigint) FROM webhooks)) INTO latest;
    moved := known <> here OR latest >= feed_future()::text::bigint;
    IF known IS DISTINCT FROM here THEN
        INSERT INTO feed_origin (cluster) VALUES (here) ON CONFLICT (one) DO UPDATE SET cluster = excluded.cluster;
    END IF;
    IF moved IS NOT TRUE THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE OR REPLACE FUNCTION feed_shift() RETURNS bigint LANGUAGE sql STABLE AS %L',
        'SELECT ' || (greatest(latest, feed_shift()) + (1::bigint << 40) - pg_snapshot_xmin(pg_current_snapshot())::text::bigint) || '::bigint');
    RETURN true;
END $$;

-- migrate:down

DROP FUNCTION feed_after_restore();
DROP TABLE feed_origin;
ALTER TABLE account_events ALTER COLUMN xid SET DEFAULT pg_current_xact_id();
DROP FUNCTION feed_future();
DROP FUNCTION feed_horizon();
DROP FUNCTION feed_xid();
DROP FUNCTION feed_shift();
