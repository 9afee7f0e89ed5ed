// Package views shows values to visitors: the pages and the message
// catalogues. It fetches nothing and knows no store.
package views

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/a-h/templ"

	"guildhall/market"
)

// Page is what surrounds every screen.
type Page struct {
	Lang, Theme string
	// Path is where the visitor is, to come back to.
	Path    string
	BaseURL string
	// Visitor is nil for a stranger.
	Visitor *Visitor
	// Closed says that nobody can create an account.
	Closed bool
	Flash  Message
}

// Visitor is who looks.
type Visitor struct {
	Handle    string
	Spendable market.Credits
	// Operator says that the visitor decides cases.
	Operator bool
	// State is whether the account may act, Reason why it may not.
	State  market.AccountState
	Reason string
}

// Message is a message of the catalogues to be shown later.
type Message struct {
	ID   string         `json:"id"`
	Args map[string]any `json:"args,omitempty"`
}

// Screen is what one address shows.
type Screen struct {
	Title string
	// About describes the page to search engines and link previews.
	About string
	Body  templ.Component
	// Scripts are files that only this screen needs.
	Scripts []string
	// Vault screens seal and open protected fields: they load no htmx, and the
	// browser is told to let no text become code.
	Vault bool
}

// Problem is a refusal in words.
type Problem struct {
	Status      int
	Code        string
	Detail, Fix string
	RequestID   string
	Fields      []FieldProblem
}

// FieldProblem is what is wrong with one field.
type FieldProblem struct {
	// Pointer is an RFC 6901 JSON Pointer into the input.
	Pointer string
	Detail  string
	// Label is the message that names the field, if its form calls it otherwise
	// than most.
	Label string
}

// Form is what a form shows: what was typed, and why it was refused.
type Form struct {
	Values url.Values
	// Once is the idempotency key of a form that has one.
	Once    string
	Problem *Problem
}

// Get is what was typed into the field.
func (f Form) Get(name string) string { return f.Values.Get(name) }

// Has reports whether the value is among those of the field.
func (f Form) Has(name, value string) bool { return slices.Contains(f.Values[name], value) }

// Fault is why the field was refused, or "". A pointer into a document that
// the field holds is about the field.
func (f Form) Fault(name string) string {
	if f.Problem == nil {
		return ""
	}
	at := "/" + strings.ReplaceAll(name, ".", "/")
	for _, p := range f.Problem.Fields {
		switch {
		case p.Pointer == at:
			return p.Detail
		case strings.HasPrefix(p.Pointer, at+"/"):
			return strings.TrimPrefix(p.Pointer, at) + ": " + p.Detail
		}
	}
	return ""
}

// FaultAt is why what the pointer names, and nothing inside it, was refused.
func (f Form) FaultAt(pointer string) string {
	if f.Problem != nil {
		for _, p := range f.Problem.Fields {
			if p.Pointer == pointer {
				return p.Detail
			}
		}
	}
	return ""
}

// fieldNames name the fields of forms by their labels.
var fieldNames = map[string]string{
	"url": "webhooks.url", "types": "webhooks.types",
	"title": "field.title", "examples": "field.examples", "autoAccept": "field.auto_accept", "attachments": "field.attachments", "brief": "field.brief", "skills": "field.skills", "payload": "field.payload", "outputSchema": "field.schema",
	"reward": "field.reward", "deadline": "field.deadline", "claimMinutes": "field.claim_minutes", "reviewHours": "field.review_hours",
	"maxAttempts": "field.max_attempts", "handle": "field.handle", "email": "field.email", "password": "field.password",
	"referralCode": "field.referral", "displayName": "field.display_name", "description": "field.about",
	"currentPassword": "field.current_password", "newPassword": "field.new_password", "reason": "review.reason", "rule": "review.rule", "quote": "review.quote", "rules": "publish.rules",
	"kind": "goods.kind", "name": "goods.name", "denomination": "goods.denomination", "price": "goods.price", "region": "goods.region", "terms": "redeem.terms",
	"picture": "goods.picture", "csv": "goods.csv",
	"text": "field.text", "mode": "field.mode", "maxAccepted": "field.max_accepted", "note": "decide.note", "share": "decide.share", "outcome": "decide.outcome", "remedy": "reviews.remedy", "codes": "shelf.which",
	"protectedFields": "vault.fields", "bundle": "vault.fields", "ciphertext": "vault.fields",
	"totp": "field.totp", "scopes": "bundle.scopes", "spendCap": "bundle.cap", "spendCapPerTask": "bundle.task_cap", "expiresAt": "bundle.until", "tasks": "bundle.tasks", "schema": "docs.schema", "output": "docs.output",
	"code": "voucher.code", "amount": "voucher.amount", "class": "voucher.class", "count": "voucher.count", "days": "voucher.days", "purpose": "voucher.purpose", "inviteCode": "field.invite", "uses": "invitations.uses", "limit": "agent.limit_field",
}

// fieldName begins a sentence about the field with its label.
func fieldName(ctx context.Context, f FieldProblem) string {
	if f.Label != "" {
		return T(ctx, "form.about", "Field", T(ctx, f.Label))
	}
	pointer := f.Pointer
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	label := fieldNames[parts[0]]
	switch {
	case parts[0] == "samples" && len(parts) > 2:
		n, _ := strconv.Atoi(parts[2])
		return T(ctx, "form.about", "Field", T(ctx, "publish.sample_"+parts[1], "N", n+1))
	case parts[0] == "rules" && len(parts) > 1:
		n, _ := strconv.Atoi(parts[1])
		return T(ctx, "form.about", "Field", T(ctx, "publish.rule_number", "N", n+1))
	case label != "":
		return T(ctx, "form.about", "Field", T(ctx, label))
	}
	return ""
}

// fieldID is the id of the input that a pointer is about: of a list's row its
// own, of a document the whole field.
func fieldID(pointer string) string {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	if parts[0] == "rules" || parts[0] == "samples" {
		return strings.Join(parts[:min(3, len(parts))], ".")
	}
	return parts[0]
}
