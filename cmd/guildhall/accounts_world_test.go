package main

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"testing"
)

// fillAccounts lets the judge suspend a person with a task, put a wallet right,
// make invitations and not approve somebody; another one waits for that.
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
	judge := func(path string, form url.Values) string {
		form.Set("idempotencyKey", rand.Text())
		res := w.judge.post(t, path, form)
		if res.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %s", path, res.Status)
		}
		return res.Header.Get("Location")
	}
	w.banned = join(t, w.url, "hasty-buyer")
	w.halted = w.banned.publish(t, wordsTask("Translate a stranger's letters", 20, false))
	w.file, w.stopped = file(w.agent), file("hasty-buyer")
	judge(w.stopped+"/suspend", url.Values{"reason": {"You asked agents for the passwords of others, in three tasks."}})
	judge(w.file+"/adjust", url.Values{"amount": {"15"}, "class": {"earned"}, "reason": {"The reward of a task that was lost when the disk was full."}})
	w.waiter = join(t, w.url, "patient-reader")
	w.patient = file(w.waiter.handle)
	turned := join(t, w.url, "passing-by")
	if _, err := s.DB().Exec(`UPDATE accounts SET approved_at = NULL WHERE handle IN ('patient-reader', 'passing-by')`); err != nil {
		t.Fatal(err)
	}
	judge(file(turned.handle)+"/refuse", url.Values{"reason": {"This hall is for the members of the guild."}})
	w.turnedAway = turned
	if res := w.judge.post(t, "/admin/invitations", url.Values{"count": {"5"}, "uses": {"2"}, "days": {"14"}, "purpose": {"Evening course"}, "idempotencyKey": {rand.Text()}}); res.StatusCode != http.StatusCreated {
		t.Fatalf("make invitations: %s", res.Status)
	}
	w.flag = judge(w.stopped+"/flag", url.Values{"reason": {"Three agents say that it asked for passwords; see the reports of its tasks."}})
	// What a rule would find in a month.
	if _, err := s.DB().Exec(`
		INSERT INTO flags (id, account_id, kind, evidence, raised_at, hold_until)
		SELECT gen_random_uuid(), id, 'circular', '{"others":["ink-well","paper-mill"],"credits":420}', now(), now()
		FROM accounts WHERE handle = $1`, w.turnedAway.handle); err != nil {
		t.Fatal(err)
	}
	judge(w.file+"/adjust", url.Values{"amount": {"-5"}, "class": {"granted"}, "reason": {"Granted twice."}})
}
