package market

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRedeemDecides(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	person := Actor{Account: "p", Kind: Human}
	good := Good{ID: "g", Kind: GiftCard, Name: "Card", Price: 500, Offered: true}
	regular := Redeemer{Earned: 1000, Fulfilled: 3}
	for name, c := range map[string]struct {
		by      Actor
		change  func(*Good, *Redeemer, *ReviewPolicy)
		price   Credits
		err     error
		reasons []string
	}{
		"a regular":         {person, nil, 500, nil, nil},
		"an agent":          {Actor{Account: "a", Kind: Agent}, nil, 500, nil, nil},
		"the platform":      {Actor{Account: "x", Kind: Platform}, nil, 500, ErrForbidden, nil},
		"nobody":            {Actor{}, nil, 500, ErrForbidden, nil},
		"not offered":       {person, func(g *Good, _ *Redeemer, _ *ReviewPolicy) { g.Offered = false }, 500, ErrNotOffered, nil},
		"dearer meanwhile":  {person, nil, 450, ErrPriceChanged, nil},
		"cheaper meanwhile": {person, nil, 550, ErrPriceChanged, nil},
		"too little earned": {person, func(_ *Good, r *Redeemer, _ *ReviewPolicy) { r.Earned = 499 }, 500, ErrInsufficientCredits, nil},
		"just enough":       {person, func(_ *Good, r *Redeemer, _ *ReviewPolicy) { r.Earned = 500 }, 500, nil, nil},
		"the first":         {person, func(_ *Good, r *Redeemer, _ *ReviewPolicy) { r.Fulfilled = 0 }, 500, nil, []string{ReviewFirst}},
		"at the limit":      {person, func(_ *Good, _ *Redeemer, p *ReviewPolicy) { p.Above = 500 }, 500, nil, nil},
		"above the limit":   {person, func(_ *Good, _ *Redeemer, p *ReviewPolicy) { p.Above = 499 }, 500, nil, []string{ReviewAmount}},
		"review everything": {person, func(_ *Good, _ *Redeemer, p *ReviewPolicy) { p.Above = 0 }, 500, nil, []string{ReviewAmount}},
		"many today":        {person, func(_ *Good, r *Redeemer, _ *ReviewPolicy) { r.Recent = MaxRecent }, 500, nil, []string{ReviewVelocity}},
		"much today":        {person, func(_ *Good, r *Redeemer, p *ReviewPolicy) { r.Spent, p.Daily = 501, 1000 }, 500, nil, []string{ReviewVelocity}},
		"a whole day's":     {person, func(_ *Good, r *Redeemer, p *ReviewPolicy) { r.Spent, p.Daily = 500, 1000 }, 500, nil, nil},
		"flagged":           {person, func(_ *Good, r *Redeemer, _ *ReviewPolicy) { r.Flagged = true }, 500, nil, []string{ReviewFlagged}},
		"all at once": {person, func(_ *Good, r *Redeemer, p *ReviewPolicy) {
			r.Fulfilled, r.Flagged, r.Recent, p.Above = 0, true, 9, 1
		}, 500, nil, ReviewReasons()},
	} {
		g, r, p := good, regular, DefaultReviewPolicy
		if c.change != nil {
			c.change(&g, &r, &p)
		}
		o, x, err := Redeem(c.by, g, c.price, r, p, "o", now)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", name, err, c.err)
		}
		if err != nil {
			continue
		}
		want := OrderFulfilled
		if len(c.reasons) > 0 {
			want = OrderPending
		}
		if o.State != want || !slices.Equal(o.Reasons, append([]string{}, c.reasons...)) || (o.DecidedAt == nil) != (want == OrderPending) {
			t.Errorf("%s: got %s because of %v", name, o.State, o.Reasons)
		}
		if x.Kind != TransferRedeem || x.Debit != WalletAccount(c.by.Account) || x.Credit != RedemptionsAccount || x.Amount != 500 || x.DebitClass != Earned || x.Order != "o" {
			t.Errorf("%s: moves %+v", name, x)
		}
	}
}

func TestOrderIsDecidedOnce(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	judge := Actor{Account: "j", Kind: Human, Operator: true}
	pending := Order{ID: "o", Account: "p", Price: 500, State: OrderPending, Reasons: []string{ReviewFirst}}
	approved, err := pending.Approve(judge, now)
	if err != nil || approved.State != OrderFulfilled || approved.DecidedBy != "j" {
		t.Fatalf("got %+v, %v", approved, err)
	}
	refused, back, err := pending.Refuse(judge, " Too fast. ", now)
	if err != nil || refused.State != OrderRefused || refused.Refusal != "Too fast." {
		t.Fatalf("got %+v, %v", refused, err)
	}
	if paid := pending.transfer(TransferRedeem); back.Debit != paid.Credit || back.Credit != paid.Debit || back.Amount != paid.Amount || back.CreditClass != Earned || back.Order != "o" {
		t.Errorf("gives back %+v of %+v", back, paid)
	}
	for _, done := range []Order{approved, refused} {
		if _, err := done.Approve(judge, now); !errors.Is(err, ErrOrderDecided) {
			t.Errorf("%s approved: %v", done.State, err)
		}
		if _, _, err := done.Refuse(judge, "x", now); !errors.Is(err, ErrOrderDecided) {
			t.Errorf("%s refused: %v", done.State, err)
		}
	}
	for name, by := range map[string]Actor{"no operator": {Account: "j", Kind: Human}, "the owner": {Account: "p", Kind: Human, Operator: true}} {
		if _, err := pending.Approve(by, now); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s approves: %v", name, err)
		}
	}
	for _, reason := range []string{"", " \n", strings.Repeat("x", MaxReason+1)} {
		if _, _, err := pending.Refuse(judge, reason, now); !errors.Is(err, ErrInvalid) {
			t.Errorf("reason of %d characters: %v", len(reason), err)
		}
	}
}

func TestWhoSeesACode(t *testing.T) {
	t.Parallel()
	now := time.Now()
	owner := Actor{Account: "p", Kind: Human}
	fresh := Order{Account: "p", State: OrderFulfilled}
	seen := Order{Account: "p", State: OrderFulfilled, RevealedAt: &now, Reveals: 1}
	for _, c := range []struct {
		o    Order
		by   Actor
		want error
	}{
		{fresh, owner, nil}, {seen, owner, nil},
		{fresh, Actor{Account: "j", Kind: Human, Operator: true}, ErrNotFound}, {Order{}, Actor{}, ErrNotFound},
		{Order{Account: "p", State: OrderPending}, owner, ErrOrderPending}, {Order{Account: "p", State: OrderRefused}, owner, ErrOrderRefused},
	} {
		if err := c.o.Revealable(c.by); !errors.Is(err, c.want) {
			t.Errorf("%s of %q to %q: got %v, want %v", c.o.State, c.o.Account, c.by.Account, err, c.want)
		}
	}
}

func TestGoodsAreChecked(t *testing.T) {
	t.Parallel()
	fine := GoodDraft{Kind: TopUp, Name: " Phone ", Denomination: "€ 10", Price: 100, Region: "EU", Terms: "No refunds."}
	if bad := fine.Clean(); bad != nil || fine.Name != "Phone" {
		t.Errorf("got %v of %+v", bad, fine)
	}
	worst := GoodDraft{Kind: "gold", Name: " ", Denomination: strings.Repeat("x", 41), Price: 0, Region: "", Terms: "\x00", Picture: []byte("GIF89a"), PictureType: "image/gif"}
	var at []string
	for _, f := range worst.Clean() {
		at = append(at, f.Pointer)
	}
	if want := []string{"/kind", "/name", "/denomination", "/price", "/region", "/terms", "/picture"}; !slices.Equal(at, want) {
		t.Errorf("got %v, want %v", at, want)
	}
	now := time.Now()
	for s, want := range map[Stock]string{{Code: "AB-12 34"}: "", {}: "csv_empty", {Code: "a\tb"}: "csv_code", {Code: "\xff"}: "csv_code",
		{Code: strings.Repeat("x", MaxCode+1)}: "csv_code", {Code: "x", ExpiresAt: &now}: "csv_expired"} {
		if got := CleanStock(s, now); got != want {
			t.Errorf("%.20q: got %q, want %q", s.Code, got, want)
		}
	}
}
