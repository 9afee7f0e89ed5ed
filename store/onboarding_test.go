package store_test

import (
	"errors"
	"slices"
	"testing"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func onboard(t testing.TB, s *store.Store, by store.Caller, id market.TaskID, v market.Verdict) (market.Snapshot, error) {
	task, err := s.OpenDelivery(t.Context(), by, id, store.Lease{})
	if err != nil {
		return task, err
	}
	return s.Deliver(t.Context(), by, task, store.Lease{}, pack(), report(v))
}

// TestOnboarding pays every agent once, at once, whatever operators make of
// the task, and nobody else.
func TestOnboarding(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	for range 2 {
		if err := s.BeginOnboarding(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	task, c, err := s.Challenge(t.Context())
	if err != nil || task == nil || c != market.DefaultChallenge() {
		t.Fatalf("the challenge is %+v, %v", c, err)
	}
	if task.Title != "Onboarding challenge" || !slices.Equal(task.Skills, []string{"onboarding"}) || task.DueAt != nil || task.Escrow.Total() != 0 {
		t.Errorf("the task is %+v", task)
	}
	referrer := agent(t, s)
	worker := invited(t, s, referrer)
	if _, err := onboard(t, s, worker, task.ID, market.VerdictError); !errors.Is(err, market.ErrVerifierUnavailable) {
		t.Errorf("an engine that does not answer: %v", err)
	}
	if failed, err := onboard(t, s, worker, task.ID, market.VerdictFail); err != nil || failed.Delivery.State != market.DeliveryFailed || failed.Delivery.Attempt != 1 {
		t.Errorf("a failing delivery: %+v, %v", failed.Delivery, err)
	}
	done, err := onboard(t, s, worker, task.ID, market.VerdictPass)
	if err != nil || done.State != market.Open || done.Delivery.State != market.DeliveryAccepted || done.Delivery.Payout.Class != market.Granted {
		t.Fatalf("done: %+v, %v", done.Delivery, err)
	}
	if w := wallet(t, s, worker); w.Granted != 2000 || w.GrantedPending != 0 || w.EarnedAvailable != 0 {
		t.Errorf("the wallet after it: %+v", w)
	}
	if w := wallet(t, s, referrer); w.Granted != 1000 {
		t.Errorf("the referrer was paid for the platform's own task: %+v", w)
	}
	if _, err := s.Sweep(t.Context(), 1000); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Reputation(t.Context(), worker.Account); err != nil || r.Worker.Accepted != 0 {
		t.Errorf("a reputation of it: %+v, %v", r, err)
	}
	if _, err := onboard(t, s, worker, task.ID, market.VerdictPass); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("once more: %v", err)
	}
	judge := operator(t, s)
	if _, err := onboard(t, s, judge, task.ID, market.VerdictPass); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("a person: %v", err)
	}
	if _, err := s.PostMessage(t.Context(), worker, task.ID, "The passphrase is mine."); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("a message: %v", err)
	}
	c.Passphrase, c.Message, c.Reward = "open sesame", "Say open sesame.", 700
	if err := s.SetChallenge(t.Context(), judge, &c); err != nil {
		t.Fatal(err)
	}
	again, now, err := s.Challenge(t.Context())
	if err != nil || again.ID == task.ID || now != c {
		t.Fatalf("the challenge is %+v, %v", now, err)
	}
	if _, err := onboard(t, s, worker, again.ID, market.VerdictPass); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("the new one once more: %v", err)
	}
	if _, err := onboard(t, s, agent(t, s), task.ID, market.VerdictPass); !errors.Is(err, market.ErrTaskNotOpen) {
		t.Errorf("the old one: %v", err)
	}
	if err := s.SetChallenge(t.Context(), judge, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetChallenge(t.Context(), judge, nil); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("off twice: %v", err)
	}
	if err := s.BeginOnboarding(t.Context()); err != nil {
		t.Fatal(err)
	}
	if none, err := s.Onboarding(t.Context()); err != nil || none != nil {
		t.Errorf("after a restart it is on again: %+v, %v", none, err)
	}
	balanced(t, s)
}

// TestRaceOnboarding has one agent deliver it many times at once, beside
// others, while an operator changes it.
func TestRaceOnboarding(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	judge := operator(t, s)
	got := race(4, func(int) error { return s.BeginOnboarding(t.Context()) })
	if got["ok"] != 4 {
		t.Fatalf("four nodes began: %v", got)
	}
	greedy := agent(t, s)
	others := []store.Caller{agent(t, s), agent(t, s), agent(t, s), agent(t, s)}
	race(17, func(i int) error {
		if i == 16 {
			c := market.DefaultChallenge()
			c.Reward = 1000
			return s.SetChallenge(t.Context(), judge, &c)
		}
		by := greedy
		if i%2 == 0 {
			by = others[i/2%4]
		}
		task, err := s.Onboarding(t.Context())
		if err != nil || task == nil {
			return err
		}
		_, err = onboard(t, s, by, task.ID, market.VerdictPass)
		return err
	})
	for _, by := range append(others, greedy) {
		for range 3 { // whoever came between two tasks tries again
			if task, err := s.Onboarding(t.Context()); err != nil || task == nil {
				t.Fatalf("no task: %v", err)
			} else if _, err := onboard(t, s, by, task.ID, market.VerdictPass); err != nil && !errors.Is(err, market.ErrAlreadyDone) {
				t.Errorf("once more: %v", err)
			}
		}
		if w := wallet(t, s, by); w.Granted != 2000 {
			t.Errorf("the wallet: %+v", w)
		}
	}
	balanced(t, s)
}
