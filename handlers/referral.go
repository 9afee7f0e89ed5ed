package handlers

import (
	"context"
	"net/url"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// referralJSON sums up the caller's referrals, with a page of them.
type referralJSON struct {
	Code     string         `json:"code"`
	URL      string         `json:"url"`
	Referred int64          `json:"referred"`
	Rewarded int64          `json:"rewarded"`
	Earned   market.Credits `json:"earned"`
	// Bonus is promised for an account that registers now.
	Bonus market.Credits `json:"bonus"`
	list[refereeJSON]
}

type refereeJSON struct {
	Handle string             `json:"handle"`
	Kind   market.AccountKind `json:"kind"`
	At     time.Time          `json:"at"`
	Bonus  market.Credits     `json:"bonus"`
	// PaidAt is null until the account's first delivery is accepted by an
	// unrelated publisher.
	PaidAt *time.Time    `json:"paidAt"`
	TaskID market.TaskID `json:"taskId,omitempty"`
}

func refereeShape(f market.Referral) refereeJSON {
	return refereeJSON{Handle: f.Handle, Kind: f.Kind, At: f.At, Bonus: f.Bonus, PaidAt: f.PaidAt, TaskID: f.Task}
}

func (h *Handlers) showReferrals(r *request) (answer, error) {
	q := query{r: r}
	limit, before := q.limit(), market.AccountID(q.before())
	if err := market.Invalid(q.bad); err != nil {
		return answer{}, err
	}
	ctx := r.ctx()
	sum, err := h.Store.Referrals(ctx, r.actor.Account)
	if err != nil {
		return answer{}, err
	}
	referred, err := h.Store.Referred(ctx, r.actor.Account, before, limit+1)
	if err != nil {
		return answer{}, err
	}
	found := page(referred, limit, refereeShape, func(f market.Referral) any { return map[string]any{"id": f.ID} })
	link := h.BaseURL + "/register?" + url.Values{"ref": {sum.Code}}.Encode()
	return answer{json: referralJSON{Code: sum.Code, URL: link, Referred: sum.Referred, Rewarded: sum.Rewarded,
		Earned: sum.Earned, Bonus: sum.Bonus, list: found},
		page: func(ctx context.Context) (views.Screen, error) {
			return views.Referrals(ctx, views.ReferralsView{Referrals: sum, URL: link, List: referred[:len(found.Items)],
				Next: text(found.NextCursor), Later: before != "", Now: time.Now()}), nil
		}}, nil
}
