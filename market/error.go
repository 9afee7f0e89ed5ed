package market

import (
	"errors"
	"time"
)

// Kind groups errors by what a caller can do about them. Each kind has one
// HTTP status, chosen in package handlers.
type Kind int

// The kinds of errors.
const (
	KindInternal Kind = iota
	KindUnreadable
	KindUnauthenticated
	KindForbidden
	KindNotFound
	KindMethod
	KindConflict
	KindPrecondition
	KindTooLarge
	KindUnsupportedMedia
	KindInvalid
	KindRateLimited
	KindUnavailable
	KindGone
)

// Error is a refusal that a caller can understand and act on. Its words live
// in the message catalogues under its Code (error.<code> and error.<code>_fix),
// so that JSON and pages say the same in every language.
type Error struct {
	Kind Kind
	// Code is stable snake_case, part of the public contract.
	Code string
	// Args fill the placeholders of the messages.
	Args map[string]any
	// Fields name each invalid part of the input.
	Fields []FieldError
	// RetryAfter is set on KindRateLimited, KindUnavailable and ErrClaimPaused.
	RetryAfter time.Duration
	// Report is set on ErrVerificationFailed.
	Report *Report
}

// FieldError says what is wrong with one part of the input.
type FieldError struct {
	// Pointer is an RFC 6901 JSON Pointer into the request body.
	Pointer string
	// Parameter names a query parameter instead; Pointer is then empty.
	Parameter string
	// Code is the catalogue key of the sentence (invalid.<code>).
	Code string
	// Args fill the placeholders of the sentence.
	Args map[string]any
}

// Error implements error for logs; visitors see the catalogue's words.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Code
	}
	f := e.Fields[0]
	return e.Code + ": " + f.Pointer + f.Parameter + " " + f.Code
}

// Is makes errors.Is compare codes, so that a sentinel matches its copies
// with arguments.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// With returns a copy with arguments for its messages.
func (e *Error) With(args map[string]any) *Error {
	c := *e
	c.Args = args
	return &c
}

// After returns a copy that says when to try again.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

var registry []*Error

func sentinel(kind Kind, code string) *Error {
	e := &Error{Kind: kind, Code: code}
	registry = append(registry, e)
	return e
}

// Errors lists every sentinel, for the catalogue test and the documents.
func Errors() []*Error { return registry }

// The refusals of the market. Their codes are part of the contract.
var (
	ErrInternal              = sentinel(KindInternal, "internal")
	ErrUnreadable            = sentinel(KindUnreadable, "unreadable")
	ErrUnauthenticated       = sentinel(KindUnauthenticated, "unauthenticated")
	ErrForbidden             = sentinel(KindForbidden, "forbidden")
	ErrNotFound              = sentinel(KindNotFound, "not_found")
	ErrMethodNotAllowed      = sentinel(KindMethod, "method_not_allowed")
	ErrInvalid               = sentinel(KindInvalid, "invalid")
	ErrTooLarge              = sentinel(KindTooLarge, "too_large")
	ErrUnsupportedMediaType  = sentinel(KindUnsupportedMedia, "unsupported_media_type")
	ErrRateLimited           = sentinel(KindRateLimited, "rate_limited")
	ErrCrossOrigin           = sentinel(KindForbidden, "cross_origin")
	ErrTooManyWebhooks       = sentinel(KindConflict, "too_many_webhooks")
	ErrWebhookDisabled       = sentinel(KindConflict, "webhook_disabled")
	ErrCursorExpired         = sentinel(KindGone, "cursor_expired")
	ErrUnavailable           = sentinel(KindUnavailable, "database_unavailable")
	ErrStorageFull           = sentinel(KindUnavailable, "storage_full")
	ErrFilesUnavailable      = sentinel(KindUnavailable, "files_unavailable")
	ErrVerifierUnavailable   = sentinel(KindUnavailable, "verifier_unavailable")
	ErrIdempotencyRequired   = sentinel(KindUnreadable, "idempotency_key_required")
	ErrIdempotencyMalformed  = sentinel(KindUnreadable, "idempotency_key_malformed")
	ErrIdempotencyReused     = sentinel(KindInvalid, "idempotency_key_reused")
	ErrIdempotencyInProgress = sentinel(KindConflict, "idempotency_in_progress")
	ErrInsufficientCredits   = sentinel(KindConflict, "insufficient_credits")
	ErrOwnTask               = sentinel(KindForbidden, "own_task")
	ErrTaskNotOpen           = sentinel(KindConflict, "task_not_open")
	ErrTaskClaimed           = sentinel(KindConflict, "task_claimed")
	ErrClaimLimit            = sentinel(KindConflict, "claim_limit")
	ErrClaimPaused           = sentinel(KindConflict, "claim_paused")
	ErrClaimStale            = sentinel(KindConflict, "claim_stale")
	ErrNotClaimHolder        = sentinel(KindConflict, "not_claim_holder")
	ErrAttemptsExhausted     = sentinel(KindConflict, "attempts_exhausted")
	ErrVerificationFailed    = sentinel(KindInvalid, "verification_failed")
	ErrDeliveryPending       = sentinel(KindConflict, "delivery_pending")
	ErrDeliveryNotPending    = sentinel(KindConflict, "delivery_not_pending")
	ErrClarificationUsed     = sentinel(KindConflict, "clarification_used")
	ErrOpenMode              = sentinel(KindConflict, "open_mode")
	ErrMassRejection         = sentinel(KindConflict, "mass_rejection")
	ErrSlotFrozen            = sentinel(KindConflict, "slot_frozen")
	ErrAppealClosed          = sentinel(KindConflict, "appeal_closed")
	ErrCaseClosed            = sentinel(KindConflict, "case_closed")
	ErrObjectionClosed       = sentinel(KindConflict, "objection_closed")
	ErrAlreadyDone           = sentinel(KindConflict, "already_done")
	ErrReasonRequired        = sentinel(KindInvalid, "reason_required")
	ErrHandleTaken           = sentinel(KindConflict, "handle_taken")
	ErrEmailTaken            = sentinel(KindConflict, "email_taken")
	ErrBooksDiffer           = sentinel(KindConflict, "books_differ")
	ErrReferralUnknown       = sentinel(KindInvalid, "referral_unknown")
	ErrVoucherUnknown        = sentinel(KindInvalid, "voucher_unknown")
	ErrVoucherUsed           = sentinel(KindConflict, "voucher_used")
	ErrVoucherExpired        = sentinel(KindConflict, "voucher_expired")
	ErrNotOffered            = sentinel(KindConflict, "not_offered")
	ErrPriceChanged          = sentinel(KindConflict, "price_changed")
	ErrOutOfStock            = sentinel(KindConflict, "out_of_stock")
	ErrCodeUnreadable        = sentinel(KindUnavailable, "code_unreadable")
	ErrCreditsFrozen         = sentinel(KindForbidden, "credits_frozen")
	ErrOrderDecided          = sentinel(KindConflict, "order_decided")
	ErrOrderPending          = sentinel(KindConflict, "order_pending")
	ErrOrderRefused          = sentinel(KindConflict, "order_refused")
	ErrOrderRefunded         = sentinel(KindConflict, "order_refunded")
	ErrOrderUnrevealed       = sentinel(KindConflict, "order_unrevealed")
	ErrOrderDisputed         = sentinel(KindConflict, "order_disputed")
	ErrDisputeClosed         = sentinel(KindConflict, "dispute_closed")
	ErrCodesTaken            = sentinel(KindConflict, "codes_taken")
	ErrGoodChanged           = sentinel(KindConflict, "good_changed")
	ErrReauthenticate        = sentinel(KindForbidden, "reauthentication_required")
	ErrUploadQuota           = sentinel(KindConflict, "upload_quota")
	ErrLogin                 = sentinel(KindUnauthenticated, "login_failed")
	ErrAccountSuspended      = sentinel(KindForbidden, "account_suspended")
	ErrApprovalPending       = sentinel(KindForbidden, "approval_pending")
	ErrApprovalRefused       = sentinel(KindForbidden, "approval_refused")
	ErrRegistrationClosed    = sentinel(KindForbidden, "registration_closed")
	ErrInviteRequired        = sentinel(KindForbidden, "invite_required")
	ErrInviteInvalid         = sentinel(KindInvalid, "invite_invalid")
	ErrOperatorAccount       = sentinel(KindConflict, "operator_account")
	ErrScopeMissing          = sentinel(KindForbidden, "scope_missing")
	ErrLastKey               = sentinel(KindConflict, "last_key")
	ErrKeyEnded              = sentinel(KindConflict, "key_ended")
	ErrLinkInvalid           = sentinel(KindConflict, "link_invalid")
	ErrPasskey               = sentinel(KindForbidden, "passkey_refused")
	ErrPasskeyLimit          = sentinel(KindConflict, "passkey_limit")
	ErrPasskeysOff           = sentinel(KindConflict, "passkeys_off")
	ErrKeyInURL              = sentinel(KindUnauthenticated, "key_in_url")
	ErrPublisherSuspended    = sentinel(KindConflict, "publisher_suspended")
	ErrSpendCapExceeded      = sentinel(KindForbidden, "spend_cap_exceeded")
	ErrBundleLimited         = sentinel(KindForbidden, "bundle_limited")
	ErrBundleEnded           = sentinel(KindConflict, "bundle_ended")
	ErrTooManyKeys           = sentinel(KindConflict, "too_many_keys")
	ErrTooManyBundles        = sentinel(KindConflict, "too_many_bundles")
	ErrHandoffUnknown        = sentinel(KindNotFound, "handoff_unknown")
	ErrHandoffExpired        = sentinel(KindConflict, "handoff_expired")
	ErrHandoffUsed           = sentinel(KindConflict, "handoff_used")

	ErrEncryptionKeyRequired = sentinel(KindPrecondition, "encryption_key_required")
	ErrOwnKeyRequired        = sentinel(KindForbidden, "own_key_required")
	ErrAccessNotGranted      = sentinel(KindForbidden, "access_not_granted")
	ErrKeyRotated            = sentinel(KindConflict, "key_rotated")
	ErrChallengeFailed       = sentinel(KindInvalid, "challenge_failed")
	ErrRequestDecided        = sentinel(KindConflict, "request_decided")
	ErrRevisionChanged       = sentinel(KindConflict, "revision_changed")
)

// Invalid returns ErrInvalid with the fields, or nil if there are none.
func Invalid(fields []FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	c := *ErrInvalid
	c.Fields = fields
	return &c
}

// Field returns ErrInvalid for one field of the body.
func Field(pointer, code string, args map[string]any) error {
	return Invalid([]FieldError{{Pointer: pointer, Code: code, Args: args}})
}
