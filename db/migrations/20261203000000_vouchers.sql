-- migrate:up

-- Vouchers that operators make, a batch at a time.
CREATE TABLE voucher_batches (
    id         uuid        CONSTRAINT voucher_batches_pkey PRIMARY KEY,
    amount     bigint      NOT NULL CONSTRAINT voucher_batches_amount CHECK (amount > 0),
    class      text        NOT NULL CONSTRAINT voucher_batches_class CHECK (class IN ('granted', 'earned')),
    count      integer     NOT NULL CONSTRAINT voucher_batches_count CHECK (count > 0),
    purpose    text        NOT NULL,
    expires_at timestamptz NOT NULL,
    created_by uuid        NOT NULL CONSTRAINT voucher_batches_creator_fkey REFERENCES accounts (id),
    created_at timestamptz NOT NULL,
    revoked_by uuid        CONSTRAINT voucher_batches_revoker_fkey REFERENCES accounts (id),
    revoked_at timestamptz,
    CONSTRAINT voucher_batches_revoked CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
);

-- A code is kept as its hash only.
CREATE TABLE vouchers (
    id          uuid        CONSTRAINT vouchers_pkey PRIMARY KEY,
    batch_id    uuid        NOT NULL CONSTRAINT vouchers_batch_fkey REFERENCES voucher_batches (id),
    hash        bytea       NOT NULL CONSTRAINT vouchers_hash_key UNIQUE,
    redeemed_by uuid        CONSTRAINT vouchers_redeemer_fkey REFERENCES accounts (id),
    redeemed_at timestamptz,
    CONSTRAINT vouchers_redeemed CHECK ((redeemed_by IS NULL) = (redeemed_at IS NULL))
);
CREATE INDEX vouchers_batch ON vouchers (batch_id);

-- Takes a voucher that nobody has taken, of a batch that is still good.
CREATE FUNCTION take_voucher(voucher uuid, account uuid, moment timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM voucher_batches b JOIN vouchers v ON v.batch_id = b.id
    WHERE v.id = voucher AND b.revoked_at IS NULL AND b.expires_at > moment FOR SHARE OF b;
    IF FOUND THEN
        UPDATE vouchers SET redeemed_by = account, redeemed_at = moment WHERE id = voucher AND redeemed_by IS NULL;
    END IF;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the voucher cannot be taken' USING ERRCODE = 'GH004';
    END IF;
END $$;

ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral', 'redeem', 'redeem_refund', 'voucher'));

-- migrate:down

ALTER TABLE transfers DROP CONSTRAINT transfers_kind;
ALTER TABLE transfers ADD CONSTRAINT transfers_kind CHECK (kind IN
    ('grant', 'escrow', 'refund', 'payout', 'release', 'reversal', 'referral', 'redeem', 'redeem_refund'));
DROP FUNCTION take_voucher(uuid, uuid, timestamptz);
DROP TABLE vouchers, voucher_batches;
