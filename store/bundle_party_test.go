package store_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

// TestOnePartyThroughABundle: what the agent publishes through the bundle it
// cannot do itself, nor can the human what the agent publishes, nor who holds
// another bundle; and an operator does not decide about its own agent.
func TestOnePartyThroughABundle(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	boss := operator(t, s)
	one, two, free := agent(t, s), agent(t, s), agent(t, s)
	_, through := redeemed(t, s, boss, one)
	redeemed(t, s, boss, two)
	for name, x := range map[string]struct {
		publisher, worker store.Caller
		want              error
	}{
		"its own work through the bundle":   {through, one, market.ErrOneParty},
		"a sister's through the bundle":     {through, two, market.ErrOneParty},
		"a sister's":                        {one, two, market.ErrOneParty},
		"the human's for it, by the bundle": {one, through, market.ErrOneParty},
		"a stranger's through the bundle":   {through, free, nil},
		"its own for a stranger":            {free, one, nil},
	} {
		if _, err := s.ClaimTask(t.Context(), x.worker, publish(t, s, x.publisher, 1).ID); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", name, err, x.want)
		}
	}
	judge, err := s.Identify(t.Context(), operatorKey(t, s, boss), "", "", store.ForChange)
	if err != nil || len(judge.Agents) != 2 {
		t.Fatalf("the operator's agents are %v, %v", judge.Agents, err)
	}
	if _, err := s.FlagAccount(t.Context(), judge, one.Account, "Why not."); !errors.Is(err, market.ErrForbidden) {
		t.Errorf("a flag by its own human: %v", err)
	}
	if _, err := s.FlagAccount(t.Context(), judge, free.Account, "Why not."); err != nil {
		t.Errorf("a flag of a stranger: %v", err)
	}
	balanced(t, s)
}

func operatorKey(t testing.TB, s *store.Store, by store.Caller) string {
	t.Helper()
	text, err := s.NewOperatorKey(t.Context(), by.Handle, "test")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestPartiesOfBundlesEnd 30 days after the bundle, whatever ends it.
func TestPartiesOfBundlesEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, s *store.Store, c *clock, boss store.Caller, b market.Bundle){
		"by time": func(_ *testing.T, _ *store.Store, c *clock, _ store.Caller, b market.Bundle) {
			c.advance(b.ExpiresAt.Sub(c.now()))
		},
		"narrowed": func(t *testing.T, s *store.Store, c *clock, boss store.Caller, b market.Bundle) {
			end := c.now().Add(time.Hour)
			if _, err := s.NarrowBundle(t.Context(), boss, b.ID, market.Narrowing{ExpiresAt: &end}); err != nil {
				t.Fatal(err)
			}
			c.advance(time.Hour)
		},
		"revoked after its end": func(t *testing.T, s *store.Store, c *clock, boss store.Caller, b market.Bundle) {
			c.advance(b.ExpiresAt.Sub(c.now()) + time.Hour)
			if _, err := s.RevokeBundle(t.Context(), boss, b.ID); err != nil {
				t.Fatal(err)
			}
			c.advance(-time.Hour)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			s := storetest.New(t, withClock(&c))
			boss, worker := human(t, s), agent(t, s)
			b, _ := redeemed(t, s, boss, worker)
			end(t, s, &c, boss, b)
			for _, x := range []struct {
				after time.Duration
				want  error
			}{{0, market.ErrOneParty}, {market.PartyAfter - time.Minute, market.ErrOneParty}, {2 * time.Minute, nil}} {
				c.advance(x.after)
				d, until := draft(1), c.now().Add(time.Hour).Truncate(time.Microsecond).UTC()
				d.Deadline = &until
				task, err := s.PublishTask(t.Context(), boss, d)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := s.ClaimTask(t.Context(), worker, task.ID); !errors.Is(err, x.want) {
					t.Errorf("%s later: %v, want %v", x.after, err, x.want)
				}
			}
		})
	}
}

// TestRedeemingWaitsForLiveWork: the code stays good until the work is over.
func TestRedeemingWaitsForLiveWork(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	boss, worker := human(t, s), agent(t, s)
	task := publish(t, s, boss, 10)
	done := deliver(t, s, worker, task.ID, market.VerdictPass)
	_, code, err := s.NewBundle(t.Context(), boss, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
	if err != nil {
		t.Fatal(err)
	}
	redeem := func() error {
		_, _, _, err := s.RedeemHandoff(t.Context(), code, worker.Account, netip.Addr{})
		return err
	}
	if err := redeem(); !errors.Is(err, market.ErrLiveWorkTogether) {
		t.Errorf("with a delivery to be reviewed: %v", err)
	}
	if _, err := s.AcceptDelivery(t.Context(), boss, task.ID, done.Delivery.ID); err != nil {
		t.Fatal(err)
	}
	if err := redeem(); err != nil {
		t.Errorf("then: %v", err)
	}
	if err := redeem(); !errors.Is(err, market.ErrHandoffUsed) {
		t.Errorf("and again: %v", err)
	}
}

// TestLeakedBundles: a key or a code in an address ends it, and the owner reads
// so in the feed, the timeline, and the list of the account's security.
func TestLeakedBundles(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	boss, from := human(t, s), netip.MustParseAddr("192.0.2.9")
	live, key, err := s.NewBundle(t.Context(), boss, bundleDraft(func(d *market.BundleDraft) { d.Scopes = append(d.Scopes, market.WebhooksWrite) }))
	if err != nil {
		t.Fatal(err)
	}
	waiting, code, err := s.NewBundle(t.Context(), boss, bundleDraft(func(d *market.BundleDraft) { d.WithKey = false }))
	if err != nil {
		t.Fatal(err)
	}
	by, err := s.Identify(t.Context(), key, "", "", store.ForChange)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.NewWebhook(t.Context(), by, market.WebhookDraft{URL: "https://example.org/"}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to end
		if err := s.RevokeLeaked(t.Context(), []string{key, code}, from); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Identify(t.Context(), key, "", "", store.ForChange); !errors.Is(err, market.ErrUnauthenticated) {
		t.Errorf("the leaked key: %v", err)
	}
	if _, _, _, err := s.RedeemHandoff(t.Context(), code, "", from); !errors.Is(err, market.ErrHandoffExpired) {
		t.Errorf("the leaked code: %v", err)
	}
	if b := bundle(t, s, boss, live.ID); b.RevokedReason != market.RevokedInURL {
		t.Errorf("the bundle is %+v", b)
	}
	if b := bundle(t, s, boss, waiting.ID); b.State(time.Now()) != market.BundleLapsed {
		t.Errorf("the other is %+v", b)
	}
	for id, want := range map[market.BundleID]string{live.ID: "key_leaked webhook_made minted", waiting.ID: "code_leaked minted"} {
		all, err := s.BundleActions(t.Context(), boss.Account, id, "", 10)
		var got []string
		for _, a := range all {
			got = append(got, a.Action)
		}
		if strings.Join(got, " ") != want || err != nil {
			t.Errorf("the timeline is %v, %v, want %s", got, err, want)
		}
	}
	var told, hooks string
	if err := s.DB().Get(&told, `SELECT string_agg(type, ' ' ORDER BY type) FROM account_events WHERE account_id = $1`, boss.Account); err != nil || told != "bundle.revoked security.bundle_leaked security.bundle_leaked" {
		t.Errorf("the owner was told %q, %v", told, err)
	}
	if err := s.DB().Get(&told, `SELECT string_agg(what || ' ' || host(address), ', ') FROM security_log WHERE account_id = $1`, boss.Account); err != nil || told != "security.bundle_leaked 192.0.2.9, security.bundle_leaked 192.0.2.9" {
		t.Errorf("the list of the account's security is %q, %v", told, err)
	}
	if err := s.DB().Get(&hooks, `SELECT count(*) FROM webhooks`); err != nil || hooks != "0" {
		t.Errorf("%s webhooks are left, %v", hooks, err)
	}
}

// TestRecoveryEndsWhatAThiefMade: webhooks, the encryption key and what was
// granted to it go with the old keys, and a request that is under way with one
// of these makes no more.
func TestRecoveryEndsWhatAThiefMade(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	boss, worker, publisher := human(t, s), agent(t, s), human(t, s)
	bind(t, s, boss, worker)
	thief := withKey(t, s, worker)
	sealable(t, s, thief, "age1thief")
	task, request := asked(t, s, publisher, thief, nil)
	grant(t, s, publisher, request)
	if _, _, err := s.NewWebhook(t.Context(), thief, market.WebhookDraft{URL: "https://example.org/"}); err != nil {
		t.Fatal(err)
	}
	_, way, err := s.GrantRecovery(t.Context(), boss, worker.Handle)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Recover(t.Context(), way)
	if err != nil || got.Revoked != 1 || got.Webhooks != 1 || !got.EncryptionKey {
		t.Fatalf("recovered %+v, %v", got, err)
	}
	if keys, err := s.EncryptionKeys(t.Context(), worker.Account, 10); err != nil || len(keys) != 1 || keys[0].ReplacedAt == nil {
		t.Errorf("the encryption keys are %+v, %v", keys, err)
	}
	if q, err := s.SecretRequest(t.Context(), publisher, task.ID, request.ID); err != nil || q.State != market.SecretStale {
		t.Errorf("the grant is %+v, %v", q, err)
	}
	for what, err := range map[string]error{
		"a webhook": func() error {
			_, _, err := s.NewWebhook(t.Context(), thief, market.WebhookDraft{URL: "https://example.org/"})
			return err
		}(),
		"an encryption key": func() error {
			_, err := s.OfferEncryptionKey(t.Context(), thief, store.OfferedKey{Recipient: "age1thief", Kind: market.X25519, NonceHash: market.NonceHash("n")})
			return err
		}(),
	} {
		if !errors.Is(err, market.ErrUnauthenticated) {
			t.Errorf("%s by the old key: %v", what, err)
		}
	}
	var data string
	if err := s.DB().Get(&data, `SELECT data::text FROM account_events WHERE account_id = $1 AND type = 'binding.recovered'`, boss.Account); err != nil || !strings.Contains(data, `"webhooks": 1`) || !strings.Contains(data, `"encryptionKey": true`) {
		t.Errorf("the manager was told %s, %v", data, err)
	}
}

// TestRaceRecoveryAndThief: whatever is made at the same time, nothing of the
// old key is left.
func TestRaceRecoveryAndThief(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	boss := human(t, s)
	for range 6 {
		worker := agent(t, s)
		bind(t, s, boss, worker)
		thief := withKey(t, s, worker)
		_, grant, err := s.GrantRecovery(t.Context(), boss, worker.Handle)
		if err != nil {
			t.Fatal(err)
		}
		race(9, func(i int) error {
			switch {
			case i == 4:
				_, err := s.Recover(context.Background(), grant)
				return err
			case i%2 == 0:
				_, _, err := s.NewWebhook(context.Background(), thief, market.WebhookDraft{URL: "https://example.org/"})
				return err
			}
			_, err := s.OfferEncryptionKey(context.Background(), thief, store.OfferedKey{Recipient: "age1thief", Kind: market.X25519, NonceHash: market.NonceHash("n")})
			return err
		})
		var left int
		if err := s.DB().Get(&left, `SELECT (SELECT count(*) FROM webhooks WHERE account_id = $1) + (SELECT count(*) FROM encryption_keys WHERE account_id = $1)`, worker.Account); err != nil || left != 0 {
			t.Errorf("%d webhooks and keys are left, %v", left, err)
		}
	}
}

// TestNarrowingToTasksAndSkills: never to others, and what tells of all tasks
// ends.
func TestNarrowingToTasksAndSkills(t *testing.T) {
	t.Parallel()
	s := storetest.New(t)
	boss := human(t, s)
	b, by := handedOver(t, s, boss, func(d *market.BundleDraft) { d.Scopes = append(d.Scopes, market.WebhooksWrite) })
	if _, _, err := s.NewWebhook(t.Context(), by, market.WebhookDraft{URL: "https://example.org/"}); err != nil {
		t.Fatal(err)
	}
	one, two := publish(t, s, boss, 1).ID, publish(t, s, boss, 1).ID
	narrow := func(n market.Narrowing, want string) {
		t.Helper()
		_, err := s.NarrowBundle(t.Context(), boss, b.ID, n)
		got := ""
		var e *market.Error
		if errors.As(err, &e) && len(e.Fields) > 0 {
			got = e.Fields[0].Pointer + " " + e.Fields[0].Code
		}
		if got != want || want == "" && err != nil {
			t.Errorf("%+v: %v, want %q", n, err, want)
		}
	}
	narrow(market.Narrowing{Tasks: []market.TaskID{market.TaskID(boss.Account)}}, "/tasks/0 task_id")
	narrow(market.Narrowing{Tasks: []market.TaskID{one, two}, Skills: []string{"csv", "json"}}, "")
	narrow(market.Narrowing{Tasks: []market.TaskID{}}, "/tasks wider")
	narrow(market.Narrowing{Skills: []string{"csv", "go"}}, "/skills wider")
	narrow(market.Narrowing{Tasks: []market.TaskID{two}, Skills: []string{"json"}}, "")
	narrow(market.Narrowing{Tasks: []market.TaskID{one}}, "/tasks wider")
	if got := bundle(t, s, boss, b.ID); len(got.Tasks) != 1 || got.Tasks[0] != two || len(got.Skills) != 1 {
		t.Errorf("in the end it covers %v %v", got.Tasks, got.Skills)
	}
	var hooks int
	if err := s.DB().Get(&hooks, `SELECT count(*) FROM webhooks`); err != nil || hooks != 0 {
		t.Errorf("%d webhooks are left, %v", hooks, err)
	}
	live, err := s.LiveKeys(t.Context(), []market.KeyID{by.Key})
	if err != nil || !live[by.Key].Limited || len(live[by.Key].Scopes) != 3 {
		t.Errorf("its key opens %+v, %v", live, err)
	}
}

// TestABundleHidesNoManager from the flags: whoever gives a bundle to an agent
// takes its manager's place nowhere.
func TestABundleHidesNoManager(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	left, right := human(t, s), agent(t, s)
	pays, paid := agent(t, s), agent(t, s)
	redeemed(t, s, human(t, s), paid)
	bind(t, s, left, pays, paid)
	redeemed(t, s, human(t, s), pays)
	slowly(t, s, &c, pays, right, 150)
	slowly(t, s, &c, right, paid, 150)
	look(t, s, &c)
	if got := flagged(t, s, right) + flagged(t, s, paid); got != "[circular][circular]" {
		t.Errorf("a circle through a manager's agents with bundles of others: %s", got)
	}
}

// TestABundleHidesNoBundle from the flags: an agent that holds bundles of two
// humans is either's, and what it is paid counts once.
func TestABundleHidesNoBundle(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withClock(&c))
	left, right := human(t, s), agent(t, s)
	pays, paid := agent(t, s), agent(t, s)
	for _, a := range []store.Caller{pays, paid} {
		redeemed(t, s, human(t, s), a)
		redeemed(t, s, left, a)
		redeemed(t, s, human(t, s), a)
	}
	slowly(t, s, &c, pays, right, 150)
	slowly(t, s, &c, right, paid, 150)
	patron, hand, minor := agent(t, s), agent(t, s), agent(t, s)
	redeemed(t, s, human(t, s), patron)
	redeemed(t, s, human(t, s), patron)
	redeemed(t, s, human(t, s), hand)
	redeemed(t, s, human(t, s), hand)
	earn(t, s, 2000, patron)
	for range 9 {
		slowly(t, s, &c, patron, hand, 100)
	}
	slowly(t, s, &c, minor, hand, 110)
	look(t, s, &c)
	if got := flagged(t, s, right) + flagged(t, s, paid); got != "[circular][circular]" {
		t.Errorf("a circle through agents of several: %s", got)
	}
	all, err := s.FlagsOf(t.Context(), hand.Account, 1)
	if err != nil || len(all) != 1 {
		t.Fatalf("paid by an agent of two: %+v, %v", all, err)
	}
	if e := all[0].Evidence; all[0].Kind != market.FlagConcentration || e.Credits != 900 || e.Of != 1010 || e.Times != 9 {
		t.Errorf("paid by an agent of two: %s %+v", all[0].Kind, e)
	}
}
