package handlers_test

import (
	"strings"
	"testing"
)

func TestReconcile(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	b, handle := s.human(t)
	if err := s.store.SetOperator(t.Context(), handle, true); err != nil {
		t.Fatal(err)
	}
	key, err := s.store.NewOperatorKey(t.Context(), handle, "auditor")
	if err != nil {
		t.Fatal(err)
	}
	publisher := s.register(t)
	s.publish(t, publisher, 100)
	const at = "/api/v1/admin/reconcile"
	whole := s.want(t, 200, s.call(t, key, "GET", at, nil))
	if whole.at("ok") != true || whole.at("sum") != 0.0 || whole.at("transfers") != 3.0 || len(whole.at("checks").([]any)) < 15 || len(whole.at("findings").([]any)) != 0 || strings.Contains(whole.text, `"code"`) {
		t.Errorf("whole books: %s", whole.text)
	}
	b.get(t, "/admin/books").want(t, 200, "/admin/books").says(t, "main", "Last audits")
	page := b.get(t, "/admin/books")
	b.submit(t, page, "/admin/books", nil).want(t, 200, "/admin/books").says(t, ".notice-ok", "The books balance.")

	if _, err := s.store.DB().Exec(`UPDATE wallets SET granted = granted + 7 WHERE account_id = (SELECT id FROM accounts WHERE handle = $1)`, handle); err != nil {
		t.Fatal(err)
	}
	wrong := s.want(t, 409, s.call(t, key, "GET", at, nil))
	if wrong.code() != "books_differ" || wrong.at("ok") != false || wrong.at("findings.0.check") != "wallet_granted" || !strings.HasPrefix(wrong.at("findings.0.subject").(string), "wallet:") ||
		wrong.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("wrong books: %s", wrong.text)
	}
	b.submit(t, page, "/admin/books", nil).want(t, 200, "/admin/books").says(t, ".notice-bad", "the entries say 1000, the tables 1007")
	s.want(t, 403, s.call(t, publisher, "GET", at, nil))
}
