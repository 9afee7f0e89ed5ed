package handlers

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
)

// job is what a delivery to the task is checked against.
func job(t market.Task, p market.Package) verify.Job {
	return verify.Job{Schema: t.OutputSchema, Rules: documents(t.Rules), Payload: t.Payload, Output: p.Output, Attachments: p.Attachments}
}

// documents is a list for the verifier, nil if it is empty.
func documents[T any](items []T) json.RawMessage {
	if len(items) == 0 {
		return nil
	}
	text, err := json.Marshal(items)
	if err != nil {
		panic(err) // plain structs, and JSON that was read
	}
	return text
}

// admit has a child say what of a draft cannot be checked or is too large.
// Rules are left out while their shape is wrong, as bad says.
func (h *Handlers) admit(ctx context.Context, d market.Draft, bad []market.FieldError) ([]market.FieldError, error) {
	a := verify.Admission{Schema: d.OutputSchema, Payload: d.Payload}
	if !slices.ContainsFunc(bad, isAboutRules) {
		a.Rules, a.Hidden = documents(d.Rules), documents(d.Hidden)
	}
	if len(a.Schema)+len(a.Payload)+len(a.Rules) == 0 {
		return nil, nil
	}
	problems, err := h.Verifier.Admit(ctx, a)
	if err != nil {
		h.Logger.Error("the verifier does not answer", "error", err)
		return nil, market.ErrVerifierUnavailable.After(5 * time.Second)
	}
	found := make([]market.FieldError, len(problems))
	for i, p := range problems {
		found[i] = document("", p)
	}
	return found, nil
}

func isAboutRules(f market.FieldError) bool {
	return strings.HasPrefix(f.Pointer, "/rules") || strings.HasPrefix(f.Pointer, "/hiddenVectors")
}
