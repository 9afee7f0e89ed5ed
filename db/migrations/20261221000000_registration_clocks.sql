-- migrate:up

-- The moments of requests that wait for each other are in no order, and those
-- of nodes differ: a second is forgiven, or a network that may have most turns
-- at once would now and then get one less.
CREATE OR REPLACE FUNCTION take_registration(source cidr, most integer, step interval, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    whole timestamptz;
BEGIN
    INSERT INTO registration_turns AS t (network, whole_at) VALUES (source, moment + step)
    ON CONFLICT (network) DO UPDATE SET whole_at = GREATEST(t.whole_at, moment) + step
    RETURNING whole_at INTO whole;
    IF whole > moment + most * step + interval '1 second' THEN
        RAISE EXCEPTION 'too many registrations' USING ERRCODE = 'GH006', DETAIL = ceil(extract(epoch FROM whole - moment - most * step))::text;
    END IF;
END $$;

-- migrate:down

CREATE OR REPLACE FUNCTION take_registration(source cidr, most integer, step interval, moment timestamptz) RETURNS void
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
