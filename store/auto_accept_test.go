package store_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// autoTask publishes a task that pays without a review.
func autoTask(t testing.TB, s *store.Store, by store.Caller, reward int64) market.Snapshot {
	t.Helper()
	d := draft(reward)
	sample := []market.Sample{{Output: json.RawMessage(`[1]`)}}
	d.AutoAccept, d.Samples = true, &market.Samples{Pass: sample, Fail: sample}
	if bad := d.Clean(time.Now()); bad != nil {
		t.Fatalf("draft: %v", bad)
	}
	task, err := s.PublishTask(t.Context(), by, d)
	if err != nil {
		t.Fatalf("publish: %v", err)
	}
	return task
}

func TestAutoAcceptPaysAtOnce(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	publisher, worker := agent(t, s), agent(t, s)
	task := autoTask(t, s, publisher, 100)
	done := deliver(t, s, worker, task.ID, market.VerdictPass)
	if done.State != market.Settled || done.Delivery.State != market.DeliveryAccepted || done.Delivery.Payout == nil {
		t.Errorf("got %s, delivery %s, payout %+v, want it settled", done.State, done.Delivery.State, done.Delivery.Payout)
	}
	seen, err := s.TaskWith(t.Context(), worker.Actor, task.ID, done.Delivery.ID)
	if err != nil {
		t.Fatal(err)
	}
	d := seen.Delivery
	if d.State != market.DeliveryAccepted || d.Review == nil || d.Review.Decision != market.DecisionAccept || d.Payout == nil || d.Payout.Amount != 100 || d.Attempt != 1 {
		t.Errorf("got %+v, want it accepted and paid", d)
	}
	if w := wallet(t, s, worker); w.EarnedPending != 100 || w.EarnedAvailable != 0 {
		t.Errorf("got %+v, want 100 on hold", w)
	}
	balanced(t, s)
	c.advance(25 * time.Hour)
	if _, err := s.Sweep(t.Context(), 100); err != nil {
		t.Fatal(err)
	}
	if w := wallet(t, s, worker); w.EarnedAvailable != 100 {
		t.Errorf("got %+v after the hold, want 100 available", w)
	}
	line, err := s.Timeline(t.Context(), worker.Actor, task.ID, 0, 10)
	if err != nil || len(line) != 3 || line[2].Event != market.EventAutoAccepted || line[2].Actor != worker.Handle {
		t.Errorf("got timeline %+v (%v)", line, err)
	}
	secrets, err := s.Secrets(t.Context(), task.ID)
	if err != nil || len(secrets.Samples.Pass) != 1 || string(secrets.Samples.Pass[0].Output) != `[1]` || secrets.Hidden != nil {
		t.Errorf("got secrets %+v (%v), want the samples", secrets, err)
	}
	balanced(t, s)
}

func TestAutoAcceptOfAFailureOrAnErrorPaysNothing(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	for verdict, want := range map[market.Verdict]market.State{market.VerdictFail: market.Claimed, market.VerdictError: market.InReview} {
		task := autoTask(t, s, publisher, 10)
		if done := deliver(t, s, worker, task.ID, verdict); done.State != want || done.Delivery.Payout != nil {
			t.Errorf("%s: got %s with payout %+v, want %s", verdict, done.State, done.Delivery.Payout, want)
		}
	}
	balanced(t, s)
}

func TestRaceAutoAccept(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	publisher, worker := agent(t, s), agent(t, s)
	for range 5 {
		task := autoTask(t, s, publisher, 100)
		claimed, err := s.ClaimTask(t.Context(), worker, task.ID)
		if err != nil {
			t.Fatal(err)
		}
		l := store.Lease{Claim: claimed.Claim.ID, Epoch: claimed.Claim.Epoch}
		opened, err := s.OpenDelivery(t.Context(), worker, task.ID, l)
		if err != nil {
			t.Fatal(err)
		}
		before := wallet(t, s, worker).EarnedPending
		got := race(40, func(i int) error {
			var err error
			switch i % 4 {
			case 0:
				_, err = s.ReleaseClaim(context.Background(), worker, task.ID, l)
			case 1:
				_, err = s.Deliver(context.Background(), worker, opened, l, pack(), report(market.VerdictFail))
			default:
				_, err = s.Deliver(context.Background(), worker, opened, l, pack(), report(market.VerdictPass))
			}
			return err
		})
		if got["ok"]+got["claim_stale"]+got["attempts_exhausted"]+got["not_claim_holder"] != 40 || got["ok"] < 1 || got["ok"] > 3 {
			t.Errorf("got %v, want at most two failures before the claim ended", got)
		}
		after, err := s.Task(t.Context(), worker.Actor, task.ID)
		if err != nil {
			t.Fatal(err)
		}
		want := market.Credits(0)
		if after.State == market.Settled {
			want = 100
		}
		if paid := wallet(t, s, worker).EarnedPending - before; paid != want {
			t.Errorf("paid %d in state %s, want %d", paid, after.State, want)
		}
	}
	balanced(t, s)
}
