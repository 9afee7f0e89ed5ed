-- migrate:up

-- What the owner says of a code that turned out bad, once, and what became of
-- it. A refunded order had a code that the owner saw, and got all back.
ALTER TABLE redemptions
    ADD COLUMN disputed_at timestamptz,
    ADD COLUMN dispute     text,
    ADD COLUMN remedy     text CONSTRAINT redemptions_remedy CHECK (remedy IN ('replaced', 'refunded', 'rejected')),
    ADD COLUMN remedy_note text,
    ADD COLUMN settled_at  timestamptz,
    ADD COLUMN settled_by  uuid CONSTRAINT redemptions_settler_fkey REFERENCES accounts (id),
    DROP CONSTRAINT redemptions_state,
    ADD CONSTRAINT redemptions_state CHECK (state IN ('pending_review', 'fulfilled', 'refused', 'refunded')),
    DROP CONSTRAINT redemptions_reviewed,
    ADD CONSTRAINT redemptions_reviewed CHECK (state IN ('fulfilled', 'refunded') OR cardinality(reasons) > 0),
    DROP CONSTRAINT redemptions_revealed,
    ADD CONSTRAINT redemptions_revealed CHECK ((revealed_at IS NULL) = (reveals = 0) AND (reveals = 0 OR state IN ('fulfilled', 'refunded'))),
    ADD CONSTRAINT redemptions_disputed CHECK ((disputed_at IS NULL) = (dispute IS NULL)
        AND (disputed_at IS NULL OR reveals > 0 OR remedy = 'replaced')),
    ADD CONSTRAINT redemptions_settled CHECK ((remedy IS NULL) = (settled_at IS NULL) AND (remedy IS NULL) = (settled_by IS NULL)
        AND (remedy IS NULL) = (remedy_note IS NULL) AND (remedy IS NULL OR disputed_at IS NOT NULL)),
    ADD CONSTRAINT redemptions_refunded CHECK ((state = 'refunded') = (remedy IS NOT DISTINCT FROM 'refunded'));
CREATE INDEX redemptions_disputes ON redemptions (id) WHERE disputed_at IS NOT NULL AND remedy IS NULL;

-- Codes that are nobody's and can be ordered no more: bad ones, by the order
-- that they were of, and those that operators withdrew.
ALTER TABLE goods_codes
    ADD COLUMN bad_of       uuid CONSTRAINT goods_codes_bad_fkey REFERENCES redemptions (id)
                                 CONSTRAINT goods_codes_bad_key UNIQUE,
    ADD COLUMN withdrawn_at timestamptz,
    ADD CONSTRAINT goods_codes_fate CHECK (num_nonnulls(order_id, bad_of, withdrawn_at) <= 1);
DROP INDEX goods_codes_free;
CREATE INDEX goods_codes_free ON goods_codes (good_id, expires_at, id) WHERE order_id IS NULL AND bad_of IS NULL AND withdrawn_at IS NULL;

-- migrate:down

DROP INDEX goods_codes_free;
ALTER TABLE goods_codes DROP COLUMN bad_of, DROP COLUMN withdrawn_at;
CREATE INDEX goods_codes_free ON goods_codes (good_id, expires_at, id) WHERE order_id IS NULL;
DROP INDEX redemptions_disputes;
ALTER TABLE redemptions
    DROP COLUMN settled_by, DROP COLUMN settled_at, DROP COLUMN remedy_note, DROP COLUMN remedy, DROP COLUMN dispute, DROP COLUMN disputed_at,
    DROP CONSTRAINT redemptions_state,
    ADD CONSTRAINT redemptions_state CHECK (state IN ('pending_review', 'fulfilled', 'refused')),
    DROP CONSTRAINT redemptions_reviewed,
    ADD CONSTRAINT redemptions_reviewed CHECK (state = 'fulfilled' OR cardinality(reasons) > 0),
    DROP CONSTRAINT redemptions_revealed,
    ADD CONSTRAINT redemptions_revealed CHECK ((revealed_at IS NULL) = (reveals = 0) AND (reveals = 0 OR state = 'fulfilled'));
