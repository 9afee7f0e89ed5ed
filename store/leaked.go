package store

import (
	"context"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"

	"guildhall/market"
)

// RevokeLeaked ends the keys, grants and codes that came where logs have them,
// whosever they are and even if they are the last, and tells whose they were.
// The address is that of who sent them.
func (s *Store) RevokeLeaked(ctx context.Context, keys []string, from netip.Addr) error {
	hashes := make([][]byte, len(keys))
	for i, k := range keys {
		hashes[i] = market.HashKey(k)
	}
	return s.inTx(ctx, func(tx pgx.Tx) error {
		now := s.now()
		var b batch
		b.Queue(`
			WITH ended AS (
				UPDATE api_keys SET revoked_at = $2, revoked_reason = $3 WHERE hash = ANY($1) AND revoked_at IS NULL AND bundle_id IS NULL
				RETURNING id, account_id
			)
			INSERT INTO account_events (id, account_id, at, type, data)
			SELECT feed_id($2), account_id, $2, $4, jsonb_build_object('keyId', id, 'reason', $3::text,
				'webhookIds', ARRAY(SELECT w.id FROM webhooks w WHERE w.made_by = ended.id ORDER BY w.id)) FROM ended`,
			hashes, now, market.RevokedInURL, string(market.FeedKeyRevoked))
		b.toldMore = true
		if err := s.leakedBundles(ctx, tx, &b, hashes, Origin{From: from}, now); err != nil {
			return err
		}
		if err := leakedGrants(ctx, tx, &b, hashes, now); err != nil {
			return err
		}
		return s.sendIn(ctx, tx, &b)
	})
}

// leakedBundles revokes the bundles of leaked keys, and lets leaked codes that
// nobody has redeemed lapse.
func (s *Store) leakedBundles(ctx context.Context, tx pgx.Tx, b *batch, hashes [][]byte, o Origin, now time.Time) error {
	found, err := rowsOf(ctx, tx, scanBundle, selectBundles+`
		WHERE b.revoked_at IS NULL AND (
			b.id = ANY(ARRAY(SELECT x.bundle_id FROM api_keys x WHERE x.hash = ANY($1)))
			OR b.code_hash = ANY($1) AND b.redeemed_at IS NULL AND b.code_expires_at > $2)
		ORDER BY b.id FOR NO KEY UPDATE OF b`, hashes, now)
	if err != nil {
		return err
	}
	for _, was := range found {
		s.secured(b, was.Account, market.SecurityBundleLeaked, was.Name, o, now)
		if was.State(now) == market.BundleWaiting {
			b.Queue(`UPDATE bundles SET code_expires_at = $2 WHERE id = $1`, string(was.ID), now)
			b.Queue(insertBundleAction.sql, actedArgs(was.ID, market.BundleCodeLeaked, "", 0, now)...)
			continue
		}
		ended, err := was.Revoke(market.RevokedInURL, now)
		if err != nil {
			return err
		}
		revokeBundle(b, ended, now)
	}
	return nil
}

// leakedGrants takes back leaked recovery grants that nobody has used.
func leakedGrants(ctx context.Context, tx pgx.Tx, b *batch, hashes [][]byte, now time.Time) error {
	ids, err := rowsOf(ctx, tx, pgx.RowTo[string], `
		UPDATE recovery_grants SET revoked_at = $2 WHERE hash = ANY($1) AND revoked_at IS NULL AND used_at IS NULL AND expires_at > $2
		RETURNING binding_id::text`, hashes, now)
	if err != nil || ids == nil {
		return err
	}
	found, err := rowsOf(ctx, tx, func(row pgx.CollectableRow) (market.Binding, error) { return scanBinding(row) },
		bindingSelect+`WHERE b.id = ANY($1::uuid[]) AND b.ended_at IS NULL`, ids)
	for _, of := range found {
		b.tellBound(market.FeedRecoveryLeaked, of, nil, now)
	}
	return err
}

// rowsOf reads rows within a transaction.
func rowsOf[T any](ctx context.Context, tx pgx.Tx, scan pgx.RowToFunc[T], query string, args ...any) ([]T, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}
