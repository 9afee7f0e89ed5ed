package store

import (
	"context"
	"time"

	"guildhall/market"
)

// NewInvitations makes a batch. The codes are returned here and never again.
func (s *Store) NewInvitations(ctx context.Context, by Caller, d market.InvitationDraft) (market.InvitationBatch, []string, error) {
	now := s.now()
	v := market.InvitationBatch{ID: newID[market.InvitationBatchID](), Count: int(d.Count), Uses: int(d.Uses), Purpose: d.Purpose,
		ExpiresAt: now.Add(time.Duration(d.Days) * 24 * time.Hour), CreatedAt: now, CreatedBy: by.Handle}
	codes, ids, hashes := make([]string, d.Count), make([]string, d.Count), make([][]byte, d.Count)
	for i := range codes {
		codes[i], ids[i] = market.NewInvitationCode(), newID[string]()
		hashes[i], _ = market.HashInvitationCode(codes[i])
	}
	var b batch
	if err := b.once(by, v, now); err != nil {
		return v, nil, err
	}
	b.Queue(`
		INSERT INTO invitation_batches (id, count, uses, purpose, expires_at, created_by, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		string(v.ID), v.Count, v.Uses, v.Purpose, v.ExpiresAt, string(by.Account), now)
	b.Queue(`INSERT INTO invitations (id, batch_id, hash, uses) SELECT u.id, $1, u.hash, $4 FROM unnest($2::uuid[], $3::bytea[]) u (id, hash)`,
		string(v.ID), ids, hashes, v.Uses)
	b.log(by, market.ActionInvitationsMade, string(v.ID), "", map[string]int{"added": v.Count, "uses": v.Uses}, now)
	return v, codes, s.commit(ctx, &b)
}

// InvitationBatches are the batches, newest first, older than before ("": from
// the newest).
func (s *Store) InvitationBatches(ctx context.Context, before market.InvitationBatchID, limit int) ([]market.InvitationBatch, error) {
	return s.invitationBatches(ctx, `WHERE $1::uuid IS NULL OR b.id < $1::uuid ORDER BY b.id DESC LIMIT $2`, nullID(before), limit)
}

// InvitationBatch is the batch with the id.
func (s *Store) InvitationBatch(ctx context.Context, id market.InvitationBatchID) (market.InvitationBatch, error) {
	found, err := s.invitationBatches(ctx, `WHERE b.id = $1`, string(id))
	if err == nil && len(found) == 0 {
		err = market.ErrNotFound
	}
	if err != nil {
		return market.InvitationBatch{}, err
	}
	return found[0], nil
}

func (s *Store) invitationBatches(ctx context.Context, which string, args ...any) ([]market.InvitationBatch, error) {
	var rows []struct {
		ID        market.InvitationBatchID `db:"id"`
		Count     int                      `db:"count"`
		Uses      int                      `db:"uses"`
		Purpose   string                   `db:"purpose"`
		Used      int64                    `db:"used"`
		ExpiresAt time.Time                `db:"expires_at"`
		CreatedAt time.Time                `db:"created_at"`
		CreatedBy string                   `db:"creator"`
		RevokedBy string                   `db:"revoker"`
		RevokedAt *time.Time               `db:"revoked_at"`
	}
	err := s.db.SelectContext(ctx, &rows, `
		SELECT b.id, b.count, b.uses, b.purpose, b.expires_at, b.created_at, b.revoked_at,
			(SELECT COALESCE(sum(i.used), 0) FROM invitations i WHERE i.batch_id = b.id) AS used,
			c.handle AS creator, COALESCE(r.handle, '') AS revoker
		FROM invitation_batches b
		JOIN accounts c ON c.id = b.created_by
		LEFT JOIN accounts r ON r.id = b.revoked_by
		`+which, args...)
	if err != nil {
		return nil, translate(err)
	}
	out := make([]market.InvitationBatch, 0, len(rows))
	for _, r := range rows {
		out = append(out, market.InvitationBatch(r))
	}
	return out, nil
}

// RevokeInvitations ends the batch: what is left of it lets nobody in from now
// on. It returns market.ErrAlreadyDone if the batch is revoked.
func (s *Store) RevokeInvitations(ctx context.Context, by Caller, id market.InvitationBatchID) (market.InvitationBatch, error) {
	v, err := s.InvitationBatch(ctx, id)
	if err != nil {
		return v, err
	}
	if v.RevokedAt != nil {
		return v, market.ErrAlreadyDone
	}
	now := s.now()
	v.RevokedAt, v.RevokedBy = &now, by.Handle
	var b batch
	if err := b.once(by, v, now); err != nil {
		return v, err
	}
	b.Queue(`UPDATE invitation_batches SET revoked_by = $2, revoked_at = $3 WHERE id = $1 AND revoked_at IS NULL`, string(id), string(by.Account), now)
	b.log(by, market.ActionInvitationsRevoked, string(id), "", nil, now)
	return v, s.commit(ctx, &b)
}
