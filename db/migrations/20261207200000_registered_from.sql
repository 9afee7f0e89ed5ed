-- migrate:up

-- The network that an account was registered from, /24 of IPv4 or /64 of IPv6:
-- what many accounts of one hand have in common. Forgotten after 90 days.
ALTER TABLE accounts ADD COLUMN registered_from cidr;
CREATE INDEX accounts_registered_from ON accounts (registered_from, id) WHERE registered_from IS NOT NULL;
CREATE INDEX accounts_from_old ON accounts (id) WHERE registered_from IS NOT NULL;

-- When a network may register as often again as at first. A row lives until
-- then, a day at most.
CREATE TABLE registration_turns (
    network  cidr        CONSTRAINT registration_turns_pkey PRIMARY KEY,
    whole_at timestamptz NOT NULL
);
CREATE INDEX registration_turns_whole ON registration_turns (whole_at);

-- Takes one turn of the network, which has most of them at once and gets one
-- back each step (the generic cell rate algorithm). Registrations from one
-- network wait for each other here. One too many is told after how many
-- seconds there is another.
CREATE FUNCTION take_registration(source cidr, most integer, step interval, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    whole timestamptz;
BEGIN
    INSERT INTO registration_turns AS t (network, whole_at) VALUES (source, moment + step)
    ON CONFLICT (network) DO UPDATE SET whole_at = GREATEST(t.whole_at, moment) + step
    RETURNING whole_at INTO whole;
    IF whole > moment + most * step THEN
        RAISE EXCEPTION 'too many registrations' USING ERRCODE = 'GH006', DETAIL = ceil(extract(epoch FROM whole - moment - most * step))::text;
    END IF;
END $$;

-- migrate:down

DROP FUNCTION take_registration(cidr, integer, interval, timestamptz);
DROP TABLE registration_turns;
DROP INDEX accounts_from_old, accounts_registered_from;
ALTER TABLE accounts DROP COLUMN registered_from;
