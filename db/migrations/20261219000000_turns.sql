-- migrate:up

-- When somebody may try as often again as at first: guesses at log-ins and
-- second factors, and mails. Who it is stands there as a hash. A row lives
-- until then.
CREATE TABLE turns (
    name bytea CONSTRAINT turns_pkey PRIMARY KEY,
    whole_at timestamptz NOT NULL
);
CREATE INDEX turns_whole ON turns (whole_at);

-- Takes one turn, of which there are most at once and one more each step (the
-- generic cell rate algorithm), so that all nodes count together. One too many
-- is told after how many seconds there is another, and counts for nothing.
CREATE FUNCTION take_turn(who bytea, most integer, step interval, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    whole timestamptz;
BEGIN
    INSERT INTO turns AS t (name, whole_at) VALUES (who, moment + step)
    ON CONFLICT (name) DO UPDATE SET whole_at = GREATEST(t.whole_at, moment) + step
    RETURNING whole_at INTO whole;
    IF whole > moment + most * step THEN
        RAISE EXCEPTION 'too many tries' USING ERRCODE = 'GH006', DETAIL = ceil(extract(epoch FROM whole - moment - most * step))::text;
    END IF;
END $$;

-- migrate:down

DROP FUNCTION take_turn(bytea, integer, interval, timestamptz);
DROP TABLE turns;
