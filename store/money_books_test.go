package store_test

import (
	"fmt"
	"strings"
	"testing"

	"guildhall/market"
)

// moneyLine is a line of the ledger.
type moneyLine struct {
	ID           int64               `db:"id"`
	Kind         market.TransferKind `db:"kind"`
	Debit        string              `db:"debit"`
	Credit       string              `db:"credit"`
	Amount       market.Credits      `db:"amount"`
	DebitClass   market.Class        `db:"debit_class"`
	CreditClass  market.Class        `db:"credit_class"`
	Account      market.AccountID    `db:"account_id"`
	Task         *market.TaskID      `db:"task_id"`
	BalanceAfter *market.Credits     `db:"balance_after"`
}

// moneyBook is what the lines of the ledger add up to.
type moneyBook struct {
	// has is what each ledger account has, by class.
	has map[string]market.Funds
	// lines are those of each escrow, in their order.
	lines map[string][]moneyLine
	// escrow is what the tasks of a publisher hold by their lines.
	escrow map[market.AccountID]market.Credits
	// paid and reversed are what a task paid to a worker and took back, in the
	// classes that had funded it.
	paid, reversed map[moneyPayee]market.Funds
	kinds          map[market.TransferKind]int
	states         map[market.State]int
}

type moneyPayee struct {
	task    market.TaskID
	pending string
}

// moneyBooks adds up the ledger line by line, without any SQL of the store,
// and compares it with every table and with what owners are shown. Nothing may
// run beside it. Whole has the store's own audit look as well.
func moneyBooks(t testing.TB, w *moneyWorld, whole bool) moneyBook {
	t.Helper()
	b := moneyBook{has: map[string]market.Funds{}, lines: map[string][]moneyLine{},
		escrow: map[market.AccountID]market.Credits{}, paid: map[moneyPayee]market.Funds{}, reversed: map[moneyPayee]market.Funds{}, kinds: map[market.TransferKind]int{}, states: map[market.State]int{}}
	var lines []moneyLine
	if err := w.s.DB().Select(&lines, `SELECT id, kind, debit, credit, amount, debit_class, credit_class, account_id, task_id, balance_after FROM transfers ORDER BY id`); err != nil {
		t.Fatal(err)
	}
	for _, x := range lines {
		b.post(t, x)
		if w.strict && x.DebitClass != x.CreditClass {
			t.Errorf("line %d turns %s credits into %s ones", x.ID, x.DebitClass, x.CreditClass)
		}
	}
	var sum market.Funds
	for _, f := range b.has {
		sum = moneySum(sum, f)
	}
	if sum.Total() != 0 {
		t.Errorf("all accounts together have %+v, want nothing", sum)
	}
	for from, back := range b.reversed {
		if paid := b.paid[from]; back.Total() == paid.Total() && back != paid {
			t.Errorf("task %s paid %+v to %s and got %+v back", from.task, paid, from.pending, back)
		}
	}
	b.tasks(t, w)
	b.owners(t, w)
	if whole {
		balanced(t, w.s)
	}
	return b
}

func moneySum(f, g market.Funds) market.Funds {
	return market.Funds{Granted: f.Granted + g.Granted, Earned: f.Earned + g.Earned}
}

func moneyOf(class market.Class, amount market.Credits) market.Funds {
	if class == market.Granted {
		return market.Funds{Granted: amount}
	}
	return market.Funds{Earned: amount}
}

// post adds a line. Nobody but the platform ever owes anything, in either
// class, and a wallet's line says what it had after it.
func (b *moneyBook) post(t testing.TB, x moneyLine) {
	t.Helper()
	b.kinds[x.Kind]++
	b.has[x.Debit] = moneySum(b.has[x.Debit], moneyOf(x.DebitClass, -x.Amount))
	b.has[x.Credit] = moneySum(b.has[x.Credit], moneyOf(x.CreditClass, x.Amount))
	for _, account := range []string{x.Debit, x.Credit} {
		if f := b.has[account]; !strings.HasPrefix(account, "platform:") && (f.Granted < 0 || f.Earned < 0) {
			t.Errorf("line %d, a %s, leaves %s with %+v", x.ID, x.Kind, account, f)
		}
		if strings.HasPrefix(account, "escrow:") {
			b.lines[account] = append(b.lines[account], x)
		}
	}
	switch x.Kind {
	case market.TransferPayout:
		to := moneyPayee{*x.Task, x.Credit}
		b.paid[to] = moneySum(b.paid[to], moneyOf(x.DebitClass, x.Amount))
	case market.TransferReversal:
		from := moneyPayee{*x.Task, x.Debit}
		b.reversed[from] = moneySum(b.reversed[from], moneyOf(x.CreditClass, x.Amount))
	}
	own := market.WalletAccount(x.Account)
	if of := x.Debit == own || x.Credit == own; of != (x.BalanceAfter != nil) || of && *x.BalanceAfter != b.has[own].Total() {
		t.Errorf("line %d says that %s is left, want %d", x.ID, moneyText(x.BalanceAfter), b.has[own].Total())
	}
}

func moneyText(x *market.Credits) string {
	if x == nil {
		return "nothing"
	}
	return fmt.Sprint(*x)
}

// tasks compares escrows: each holds what its live task owes, and nothing when
// it is over; what was not paid went back as it had come.
func (b *moneyBook) tasks(t testing.TB, w *moneyWorld) {
	t.Helper()
	var rows []struct {
		ID      market.TaskID    `db:"id"`
		By      market.AccountID `db:"publisher_id"`
		State   market.State     `db:"state"`
		Reward  market.Credits   `db:"reward"`
		Fee     market.Credits   `db:"fee"`
		Forever bool             `db:"evergreen"`
		Slots   market.Credits   `db:"slots"`
		Granted market.Credits   `db:"escrow_granted"`
		Earned  market.Credits   `db:"escrow_earned"`
	}
	if err := w.s.DB().Select(&rows, `SELECT id, publisher_id, state, reward, fee, evergreen, slots, escrow_granted, escrow_earned FROM tasks`); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		b.states[r.State]++
		if r.Forever {
			r.Slots = 0 // it holds nothing
		}
		account := market.EscrowAccount(r.ID)
		has := b.has[account]
		over := r.State == market.Settled || r.State == market.Cancelled || r.State == market.Expired
		if want := (market.Funds{Granted: r.Granted, Earned: r.Earned}); has != want || over && has.Total() != 0 || !over && has.Total() != (r.Reward+r.Fee)*r.Slots {
			t.Errorf("task %s, %s with %d rewards of %d left, holds %+v by its lines, %+v by its row", r.ID, r.State, r.Slots, r.Reward, has, want)
		}
		b.escrow[r.By] += has.Total()
		b.refunds(t, r.ID, r.State, r.Reward+r.Fee)
	}
}

// refunds follows an escrow: granted credits are paid first, and what is not
// paid goes back in the classes that are left.
func (b *moneyBook) refunds(t testing.TB, id market.TaskID, state market.State, slot market.Credits) {
	t.Helper()
	var in, paid, fees, back, left market.Funds
	for _, x := range b.lines[market.EscrowAccount(id)] {
		switch moved := moneyOf(x.DebitClass, x.Amount); x.Kind {
		case market.TransferEscrow:
			if x.DebitClass != x.CreditClass {
				t.Errorf("task %s was funded from %s as %s", id, x.DebitClass, x.CreditClass)
			}
			in, left = moneySum(in, moved), moneySum(left, moved)
		case market.TransferPayout:
			left = moneySum(left, moneyOf(x.DebitClass, -x.Amount))
			paid = moneySum(paid, moved)
		case market.TransferFee:
			if x.DebitClass != x.CreditClass {
				t.Errorf("a fee of task %s became %s", id, x.CreditClass)
			}
			left = moneySum(left, moneyOf(x.DebitClass, -x.Amount))
			fees = moneySum(fees, moved)
		case market.TransferRefund:
			if x.DebitClass != x.CreditClass {
				t.Errorf("task %s gave %s back as %s", id, x.DebitClass, x.CreditClass)
			}
			left = moneySum(left, moneyOf(x.DebitClass, -x.Amount))
			back = moneySum(back, moved)
		default:
			t.Errorf("a %s moved the escrow of %s", x.Kind, id)
		}
	}
	if moneySum(fees, moneySum(paid, moneySum(back, left))) != in {
		t.Errorf("task %s took %+v, paid %+v and %+v to the platform, gave back %+v and holds %+v", id, in, paid, fees, back, left)
	}
	if (state == market.Cancelled || state == market.Expired) && paid == (market.Funds{}) && back != in {
		t.Errorf("task %s, %s, took %+v and gave back %+v", id, state, in, back)
	}
	// With one reward it is plain which credits it was made of.
	if in.Total() == slot && paid.Granted != min(paid.Total(), in.Granted) {
		t.Errorf("task %s took %+v and paid %+v, want granted credits first", id, in, paid)
	}
	// With several a split gives some back of whichever it had come to.
	if back.Total() == 0 && paid.Earned > 0 && left.Granted > 0 {
		t.Errorf("task %s paid %+v with %+v left", id, paid, left)
	}
}

// owners compares wallets: their rows, what their owners are shown, and the
// ledger as its owners read it, page by page.
func (b *moneyBook) owners(t testing.TB, w *moneyWorld) {
	t.Helper()
	for i, by := range w.people {
		got := wallet(t, w.s, by)
		has, held := b.has[market.WalletAccount(by.Account)], b.has[market.PendingAccount(by.Account)]
		if got.Granted+got.GrantedPending != has.Granted+held.Granted || got.EarnedAvailable+got.EarnedPending != has.Earned+held.Earned ||
			got.Granted < has.Granted || got.EarnedAvailable < has.Earned {
			t.Errorf("%s is shown %+v, and has %+v and %+v to come", by.Handle, got, has, held)
		}
		var holds market.Credits
		for _, y := range got.Holds {
			holds += y.Amount
		}
		if got.Escrow != b.escrow[by.Account] || holds != got.GrantedPending+got.EarnedPending {
			t.Errorf("%s is shown %+v, and has %d in escrow", by.Handle, got, b.escrow[by.Account])
		}
		if i%8 == len(b.lines)%8 {
			b.entries(t, w, i)
		}
	}
}

// entries reads a ledger as its owner does.
func (b *moneyBook) entries(t testing.TB, w *moneyWorld, i int) {
	t.Helper()
	by := w.people[i]
	var sum, pending market.Funds
	for before := int64(0); ; {
		page, err := w.s.Entries(t.Context(), by.Account, market.EntryFilter{Limit: 7, Before: before})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range page {
			if x.BalanceAfter == nil {
				pending = moneySum(pending, moneyOf(x.Class, x.Amount))
			} else {
				sum = moneySum(sum, moneyOf(x.Class, x.Amount))
			}
			if x.Kind == market.TransferRelease {
				pending = moneySum(pending, moneyOf(x.Class, -x.Amount))
			}
			before = x.ID
		}
		if len(page) < 7 {
			break
		}
	}
	if want, held := b.has[market.WalletAccount(by.Account)], b.has[market.PendingAccount(by.Account)]; sum != want || pending != held {
		t.Errorf("%s reads lines of %+v and %+v to come, and has %+v and %+v", by.Handle, sum, pending, want, held)
	}
}
