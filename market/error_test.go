package market

import (
	"slices"
	"strings"
	"testing"
)

// contractCodes are the codes that programs may rely on. New ones join them;
// none is taken away or renamed.
const contractCodes = `
account_suspended already_done appeal_closed approval_pending approval_refused attempts_exhausted books_differ
case_closed cursor_expired claim_limit claim_paused claim_stale clarification_used code_unreadable codes_taken credits_frozen cross_origin
database_unavailable delivery_not_pending dispute_closed delivery_pending email_taken files_unavailable forbidden
good_changed handle_taken idempotency_in_progress idempotency_key_malformed idempotency_key_required
idempotency_key_reused insufficient_credits internal invalid invite_invalid invite_required link_invalid login_failed
mass_rejection method_not_allowed not_claim_holder not_found not_offered objection_closed open_mode
operator_account order_decided order_disputed order_pending order_refunded order_refused order_unrevealed out_of_stock own_task price_changed
passkey_limit passkey_refused passkeys_off publisher_suspended rate_limited reason_required reauthentication_required referral_unknown
registration_closed slot_frozen storage_full task_claimed task_not_open too_large too_many_webhooks unauthenticated unreadable
unsupported_media_type upload_quota verification_failed verifier_unavailable voucher_expired voucher_unknown
voucher_used webhook_disabled access_not_granted challenge_failed encryption_key_required own_key_required key_rotated request_decided revision_changed
`

func TestCodesStay(t *testing.T) {
	t.Parallel()
	var known []string
	for _, e := range Errors() {
		known = append(known, e.Code)
	}
	for _, c := range strings.Fields(contractCodes) {
		if !slices.Contains(known, c) {
			t.Errorf("the code %s is gone", c)
		}
	}
	slices.Sort(known)
	if n := len(slices.Compact(slices.Clone(known))); n != len(known) {
		t.Errorf("%d codes are used twice", len(known)-n)
	}
}
