-- migrate:up

-- What earned credits can be redeemed for.
CREATE TABLE goods (
    id           uuid        CONSTRAINT goods_pkey PRIMARY KEY,
    kind         text        NOT NULL CONSTRAINT goods_kind CHECK (kind IN ('gift_card', 'top_up', 'other')),
    name         text        NOT NULL,
    denomination text        NOT NULL,
    price        bigint      NOT NULL CONSTRAINT goods_price CHECK (price > 0),
    region       text        NOT NULL,
    terms        text        NOT NULL,
    picture      bytea,
    picture_type text,
    offered      boolean     NOT NULL,
    version      bigint      NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT goods_picture CHECK ((picture IS NULL) = (picture_type IS NULL))
);

CREATE TABLE redemptions (
    id           uuid        CONSTRAINT redemptions_pkey PRIMARY KEY,
    account_id   uuid        NOT NULL CONSTRAINT redemptions_account_fkey REFERENCES accounts (id),
    good_id      uuid        NOT NULL CONSTRAINT redemptions_good_fkey REFERENCES goods (id),
    -- What was ordered, as it was offered then.
    name         text        NOT NULL,
    denomination text        NOT NULL,
    region       text        NOT NULL,
    terms        text        NOT NULL,
    price        bigint      NOT NULL CONSTRAINT redemptions_price CHECK (price > 0),
    state        text        NOT NULL CONSTRAINT redemptions_state CHECK (state IN ('pending_review', 'fulfilled', 'refused')),
    -- Why an operator looks at it; empty if none had to.
    reasons      text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    decided_at   timestamptz,
    decided_by   uuid        CONSTRAINT redemptions_decider_fkey REFERENCES accounts (id),
    refusal      text,
    -- When the owner first saw the code, and how often it was shown.
    revealed_at  timestamptz,
    reveals      integer     NOT NULL DEFAULT 0,
    CONSTRAINT redemptions_decided CHECK ((state = 'pending_review') = (decided_at IS NULL)),
    CONSTRAINT redemptions_reviewed CHECK (state = 'fulfilled' OR cardinality(reasons) > 0),
    CONSTRAINT redemptions_decider CHECK ((decided_by IS NULL) = (decided_at IS NULL OR cardinality(reasons) = 0)),
    CONSTRAINT redemptions_refused CHECK ((state = 'refused') = (refusal IS NOT NULL)),
    CONSTRAINT redemptions_revealed CHECK ((revealed_at IS NULL) = (reveals = 0) AND (reveals = 0 OR state = 'fulfilled'))
);
CREATE INDEX redemptions_account ON redemptions (account_id, id);
CREATE INDEX redemptions_recent ON redemptions (account_id, created_at);
CREATE INDEX redemptions_pending ON redemptions (id) WHERE state = 'pending_review';

-- The stock. A code belongs to one order at most, from the moment of the order.
-- fingerprint is a keyed hash of the code, by which doubles are found.
CREATE TABLE goods_codes (
    id          uuid        CONSTRAINT goods_codes_pkey PRIMARY KEY,
    good_id     uuid        NOT NULL CONSTRAINT goods_codes_good_fkey REFERENCES goods (id),
    sealed      bytea       NOT NULL,
    nonce       bytea       NOT NULL,
    key_id      text        NOT NULL,
    fingerprint bytea       NOT NULL CONSTRAINT goods_codes_fingerprint_key UNIQUE,
    expires_at  timestamptz,
    added_at    timestamptz NOT NULL,
    order_id    uuid        CONSTRAINT goods_codes_order_fkey REFERENCES redemptions (id)
                            CONSTRAINT goods_codes_order_key UNIQUE
);
CREATE INDEX goods_codes_free ON goods_codes (good_id, expires_at, id) WHERE order_id IS NULL;
CREATE INDEX goods_codes_keys ON goods_codes (key_id, id);

-- What operators did, apart from deciding cases. Append-only.
CREATE TABLE admin_actions (
    id         bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT admin_actions_pkey PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor_id   uuid        NOT NULL CONSTRAINT admin_actions_actor_fkey REFERENCES accounts (id),
    key_id     uuid,
    action     text        NOT NULL,
    subject_id uuid        NOT NULL,
    reason     text        NOT NULL DEFAULT '',
    detail     jsonb
);
CREATE INDEX admin_actions_subject ON admin_actions (subject_id, id);
CREATE TRIGGER admin_actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON admin_actions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

ALTER TABLE transfers ADD COLUMN order_id uuid;
ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral', 'redeem', 'redeem_refund', 'voucher'));
ALTER TABLE transfers ADD CONSTRAINT transfers_order CHECK ((kind IN ('redeem', 'redeem_refund')) = (order_id IS NOT NULL));

-- Whose redemptions are looked at: a payout was taken back.
CREATE INDEX payouts_reversed ON payouts (account_id) WHERE state = 'reversed';

-- No order is paid for twice, or given back twice.
CREATE UNIQUE INDEX transfers_redeem ON transfers (order_id, kind) WHERE order_id IS NOT NULL;

-- migrate:down

DROP INDEX transfers_redeem, payouts_reversed;
ALTER TABLE transfers DROP CONSTRAINT transfers_order;
ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral'));
ALTER TABLE transfers DROP COLUMN order_id;
DROP TABLE admin_actions, goods_codes, redemptions, goods;
