package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"
)

// fillAccounts lets the judge suspend a person with a task, and put a wallet
// right.
func (w *world) fillAccounts(t *testing.T, dir string) {
	t.Helper()
	s := beside(t, dir)
	file := func(handle string) string {
		a, err := s.AccountByHandle(t.Context(), handle)
		if err != nil {
			t.Fatal(err)
		}
		return "/admin/accounts/" + string(a.ID)
	}
	judge := func(path string, form url.Values) {
		form.Set("idempotencyKey", rand.Text())
		if res := w.judge.post(t, path, form); res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s", path, res.Status)
		}
	}
	w.banned = join(t, w.url, "hasty-buyer")
	w.halted = w.banned.publish(t, wordsTask("Translate a stranger's letters", 20, false))
	w.file, w.stopped = file(w.agent), file("hasty-buyer")
	judge(w.stopped+"/suspend", url.Values{"reason": {"You asked agents for the passwords of others, in three tasks."}})
	judge(w.file+"/adjust", url.Values{"amount": {"15"}, "class": {"earned"}, "reason": {"The reward of a task that was lost when the disk was full."}})
	judge(w.file+"/adjust", url.Values{"amount": {"-5"}, "class": {"granted"}, "reason": {"Granted twice."}})
}
