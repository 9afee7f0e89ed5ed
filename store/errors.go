package store

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"guildhall/market"
)

// errRaceLost means that another transition of the same task came first.
var errRaceLost = errors.New("store: another transition came first")

// errFundsMoved means that the wallet no longer covers the split.
var errFundsMoved = errors.New("store: the wallet changed")

// errKeyUsed means that the idempotency key has a stored answer.
var errKeyUsed = errors.New("store: the idempotency key is used")

// byConstraint names the error of each constraint that a caller can break.
var byConstraint = map[string]error{
	"task_events_pkey":           errRaceLost,
	"wallets_granted_covered":    errFundsMoved,
	"wallets_earned_covered":     errFundsMoved,
	"idempotency_pkey":           errKeyUsed,
	"accounts_handle_key":        market.ErrHandleTaken,
	"logins_email_key":           market.ErrEmailTaken,
	"accounts_referral_code_key": errRaceLost,
	"attachments_blob_fkey":      errRaceLost,
	"uploads_blob_fkey":          errRaceLost,
	"messages_clarification":     market.ErrClarificationUsed,
	"task_reports_once":          market.ErrAlreadyDone,
	"report_decisions_pkey":      market.ErrAlreadyDone,
	"transfers_onboarding":       market.ErrAlreadyDone,
	"tasks_evergreen_open":       errRaceLost,
	"flags_live":                 market.ErrAlreadyDone,
	"cases_once":                 market.ErrAlreadyDone,
	"api_keys_replaces":          market.ErrAlreadyDone,
	"passkeys_credential":        market.ErrAlreadyDone,
	"goods_codes_good_fkey":      market.ErrNotFound,
	"bindings_live":              market.ErrAgentBound,
	"bind_codes_binding":         market.ErrBindCodeUsed,
	"bind_codes_hash":            errRaceLost,

	"protected_revisions_pkey": market.ErrRevisionChanged,
	"secret_requests_live":     errRaceLost,
	"encryption_keys_live":     market.ErrChallengeFailed,
}

// translate turns what the database says into errors that callers know.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrNoRows) {
		return market.ErrNotFound
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var network net.Error
		if errors.As(err, &network) && !errors.Is(err, context.Canceled) {
			return errors.Join(market.ErrUnavailable, err)
		}
		return err
	}
	switch {
	case pg.Code == "GH001":
		return market.ErrIdempotencyInProgress
	case pg.Code == "GH003":
		return market.ErrClaimLimit
	case pg.Code == "GH004":
		return errRaceLost // looked at again, the rule says what became of the payout
	case pg.Code == "GH005":
		return market.InviteInvalid()
	case pg.Code == "GH006":
		seconds, _ := strconv.Atoi(pg.Detail) // 0 if it were no number: try again at once
		return market.TooOften(time.Duration(seconds) * time.Second)
	case pg.Code == "GH007":
		return market.ErrUnauthenticated
	case pg.Code == "GH008":
		left, _ := strconv.ParseInt(pg.Detail, 10, 64)
		return market.ErrSpendCapExceeded.With(map[string]any{"Left": market.Credits(left)})
	case strings.HasPrefix(pg.Code, "GH02"):
		return boundRefusal(pg)
	case pg.Code == "53100":
		return errors.Join(market.ErrStorageFull, err)
	case pg.Code[:2] == "57" || pg.Code[:2] == "08" || pg.Code == "53300":
		return errors.Join(market.ErrUnavailable, err)
	}
	if known := byConstraint[pg.ConstraintName]; known != nil {
		return known
	}
	return err
}

// transient reports a failure that goes away when the transaction is tried
// again: a serialisation failure or a deadlock.
func transient(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}
