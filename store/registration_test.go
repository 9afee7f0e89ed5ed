package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"guildhall/market"
	"guildhall/store"
	"guildhall/store/storetest"
)

func withMode(m market.RegistrationMode) func(*store.Options) {
	return func(o *store.Options) { o.Registration = m }
}

// newcomer asks for an account with the code.
func newcomer(t testing.TB, s *store.Store, code string) (market.Account, error) {
	t.Helper()
	r := market.Registration{Kind: market.Agent, Handle: fmt.Sprintf("newcomer-%d", handles.Add(1)), InviteCode: code}
	if bad := r.Clean(); bad != nil {
		t.Fatalf("registration: %v", bad)
	}
	a, _, err := s.RegisterAgent(t.Context(), r)
	return a, err
}

// chief is an operator of a store that lets nobody else in.
func chief(t testing.TB, s *store.Store) store.Caller {
	t.Helper()
	n := handles.Add(1)
	r := market.Registration{Kind: market.Human, Handle: fmt.Sprintf("chief-%d", n), Email: fmt.Sprintf("chief-%d@example.com", n), Password: "nothing like the others"}
	r.Clean()
	a, err := s.RegisterOperator(t.Context(), r, "hash")
	if err != nil {
		t.Fatal(err)
	}
	return store.Caller{Actor: market.Actor{Account: a.ID, Kind: a.Kind, Handle: a.Handle, Operator: true}}
}

func invitations(t testing.TB, s *store.Store, by store.Caller, count, uses int64) (market.InvitationBatch, []string) {
	t.Helper()
	b, codes, err := s.NewInvitations(t.Context(), by, market.InvitationDraft{Count: count, Uses: uses, Days: 7, Purpose: "course"})
	if err != nil || len(codes) != int(count) {
		t.Fatalf("make invitations: %d, %v", len(codes), err)
	}
	return b, codes
}

func TestClosedRegistration(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, withMode(market.RegistrationClosed))
	operator := chief(t, s)
	_, codes := invitations(t, s, operator, 1, 1)
	if _, err := newcomer(t, s, codes[0]); !errors.Is(err, market.ErrRegistrationClosed) {
		t.Errorf("got %v", err)
	}
	r := market.Registration{Kind: market.Human, Handle: "anna", Email: "anna@example.com", Password: "nothing like the others"}
	if _, err := s.RegisterHuman(t.Context(), r, "hash"); !errors.Is(err, market.ErrRegistrationClosed) {
		t.Errorf("a person: %v", err)
	}
}

func TestInvitations(t *testing.T) {
	t.Parallel()
	var c clock
	s := storetest.New(t, withMode(market.RegistrationInvite), withClock(&c))
	operator := chief(t, s)
	batch, codes := invitations(t, s, operator, 2, 2)
	for code, want := range map[string]error{"": market.ErrInviteRequired, "nonsense": market.ErrInviteInvalid, "GHI-BBBBB-BBBBB-BBBBB-BBBBB": market.ErrInviteInvalid, "GHV" + codes[0][3:]: market.ErrInviteInvalid} {
		if _, err := newcomer(t, s, code); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", code, err, want)
		}
	}
	first, err := newcomer(t, s, " "+codes[0][4:])
	if err != nil || first.State != market.AccountActive {
		t.Fatalf("with a code: %+v, %v", first, err)
	}
	// A registration that fails uses nothing up.
	taken := market.Registration{Kind: market.Agent, Handle: first.Handle, InviteCode: codes[0]}
	taken.Clean()
	if _, _, err := s.RegisterAgent(t.Context(), taken); !errors.Is(err, market.ErrHandleTaken) {
		t.Errorf("a handle that is taken: %v", err)
	}
	if _, err := newcomer(t, s, codes[0]); err != nil {
		t.Errorf("a second use: %v", err)
	}
	if _, err := newcomer(t, s, codes[0]); !errors.Is(err, market.ErrInviteInvalid) {
		t.Errorf("a third use of two: %v", err)
	}
	if got, err := s.InvitationBatch(t.Context(), batch.ID); err != nil || got.Used != 2 || got.Total() != 4 || !got.Good(c.now()) {
		t.Errorf("the batch is %+v, %v", got, err)
	}
	if _, err := s.RevokeInvitations(t.Context(), operator, batch.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := newcomer(t, s, codes[1]); !errors.Is(err, market.ErrInviteInvalid) {
		t.Errorf("revoked: %v", err)
	}
	_, late := invitations(t, s, operator, 1, 1)
	c.advance(8 * 24 * time.Hour)
	if _, err := newcomer(t, s, late[0]); !errors.Is(err, market.ErrInviteInvalid) {
		t.Errorf("after its time: %v", err)
	}
	balanced(t, s)
}

// TestRaceRevocation lets twenty register while the batch is revoked: once that
// is done nobody comes in any more.
func TestRaceRevocation(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, withMode(market.RegistrationInvite))
	operator := chief(t, s)
	for range 8 { // the first rounds open connections
		batch, codes := invitations(t, s, operator, 1, 20)
		var atOnce market.InvitationBatch
		got := race(20, func(i int) error {
			if i > 0 {
				_, err := newcomer(t, s, codes[0])
				return err
			}
			if _, err := s.RevokeInvitations(t.Context(), operator, batch.ID); err != nil {
				return err
			}
			var err error
			atOnce, err = s.InvitationBatch(t.Context(), batch.ID)
			return err
		})
		after, err := s.InvitationBatch(t.Context(), batch.ID)
		if err != nil || atOnce.Used != after.Used || got["ok"] != int(after.Used)+1 || got["ok"]+got["invite_invalid: /inviteCode invite_invalid"] != 20 {
			t.Errorf("used %d when it was revoked, %d afterwards, %v, %v", atOnce.Used, after.Used, got, err)
		}
	}
	balanced(t, s)
}

// TestRaceApproval lets ten operators approve one account: it is granted its
// credits once.
func TestRaceApproval(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, withMode(market.RegistrationApproval))
	operator := chief(t, s)
	for range 8 { // the first rounds open connections
		a, err := newcomer(t, s, "")
		if err != nil {
			t.Fatal(err)
		}
		got := race(10, func(int) error { _, err := s.ApproveAccount(t.Context(), operator, a.ID); return err })
		if w, err := s.Wallet(t.Context(), a.ID); err != nil || w.Granted != 1000 || got["ok"] != 1 || got["already_done"] != 9 {
			t.Errorf("%v, and it has %+v, %v", got, w, err)
		}
	}
	balanced(t, s)
}

// TestRaceInvitation lets twenty register with one code, and with one that has
// three uses.
func TestRaceInvitation(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, withMode(market.RegistrationInvite))
	operator := chief(t, s)
	for _, uses := range []int64{1, 3} {
		batch, codes := invitations(t, s, operator, 1, uses)
		got := race(20, func(int) error { _, err := newcomer(t, s, codes[0]); return err })
		after, err := s.InvitationBatch(t.Context(), batch.ID)
		var made int64
		if e := s.DB().Get(&made, `SELECT count(*) FROM accounts a JOIN invitations i ON i.id = a.invitation_id WHERE i.batch_id = $1`, string(batch.ID)); e != nil {
			t.Fatal(e)
		}
		if err != nil || got["ok"] != int(uses) || after.Used != uses || made != uses {
			t.Errorf("%d uses: %v, used %d, made %d, %v", uses, got, after.Used, made, err)
		}
	}
	balanced(t, s)
}

func TestApproval(t *testing.T) {
	t.Parallel()
	s := storetest.New(t, withMode(market.RegistrationApproval))
	operator := chief(t, s)
	first, err := newcomer(t, s, "")
	if err != nil || first.State != market.AccountPending {
		t.Fatalf("got %+v, %v", first, err)
	}
	second, _ := newcomer(t, s, "")
	queue, err := s.AccountFiles(t.Context(), market.AccountFilter{State: market.AccountPending, Limit: 10})
	if err != nil || len(queue) != 2 || queue[0].ID != first.ID {
		t.Fatalf("the queue is %+v, %v", queue, err)
	}
	if w, err := s.Wallet(t.Context(), first.ID); err != nil || w.Granted != 0 {
		t.Errorf("before it is approved it has %+v, %v", w, err)
	}
	if _, err := s.ApproveAccount(t.Context(), operator, first.ID); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Wallet(t.Context(), first.ID); err != nil || w.Granted != 1000 {
		t.Errorf("approved it has %+v, %v", w, err)
	}
	if f, err := s.RefuseAccount(t.Context(), operator, second.ID, "Twice the same name."); err != nil || f.State != market.AccountRefused || f.StateReason != "Twice the same name." {
		t.Fatalf("refused: %+v, %v", f, err)
	}
	if _, err := s.RefuseAccount(t.Context(), operator, first.ID, "Too late."); !errors.Is(err, market.ErrAlreadyDone) {
		t.Errorf("refusing an approved one: %v", err)
	}
	if a, err := s.Account(t.Context(), second.ID); err != nil || a.State != market.AccountRefused || a.StateReason != "Twice the same name." {
		t.Errorf("it is told %+v, %v", a, err)
	}
	if f, err := s.ApproveAccount(t.Context(), operator, second.ID); err != nil || f.State != market.AccountActive || f.StateReason != "" {
		t.Errorf("approved after all: %+v, %v", f, err)
	}
	balanced(t, s)
}
