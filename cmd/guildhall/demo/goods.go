package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"guildhall/market"
	"guildhall/store"
)

// good is one of what credits can be redeemed for, with all orders of it.
type good struct {
	Kind         market.GoodKind
	Name         string
	Denomination string
	Price        int64
	Region       string
	Terms        string
	// Stock is how many codes it gets at the beginning, Expires when they end.
	Stock   int
	Expires string
	// At is when it is made.
	At     string
	Orders []*order

	id market.GoodID
}

// order is one account's order of the good. Its steps are lines such as
// "-29d order" and "-28d refuse The reason.".
type order struct {
	Who   string
	Ends  market.OrderState
	Steps []string

	id market.OrderID
}

// goodsEvents are all steps of all goods.
func (p *Player) goodsEvents(s story) ([]event, error) {
	var out []event
	for _, g := range s.goods {
		at, err := readOffset(g.At)
		if err != nil {
			return nil, fmt.Errorf("good %s: %w", g.Name, err)
		}
		out = append(out, event{at, "make " + g.Name, func(ctx context.Context) error { return p.stock(ctx, g) }})
		for _, o := range g.Orders {
			for _, line := range o.Steps {
				when, what, _ := strings.Cut(line, " ")
				verb, text, _ := strings.Cut(what, " ")
				at, err := readOffset(when)
				if err != nil {
					return nil, fmt.Errorf("good %s: %w", g.Name, err)
				}
				out = append(out, event{at, g.Name + ": " + verb + " " + o.Who, func(ctx context.Context) error { return p.orderStep(ctx, g, o, verb, text) }})
			}
		}
	}
	return out, nil
}

// judge is the operator of the history.
func (p *Player) judge() store.Caller {
	by := p.callers[OperatorHandle]
	by.Operator = true
	return by
}

// stock makes the good and gives it codes that nobody can use anywhere.
func (p *Player) stock(ctx context.Context, g *good) error {
	d := market.GoodDraft{Kind: g.Kind, Name: g.Name, Denomination: g.Denomination, Price: g.Price, Region: g.Region, Terms: g.Terms, Offered: true}
	if err := market.Invalid(d.Clean()); err != nil {
		return err
	}
	made, err := p.Store.CreateGood(ctx, p.judge(), d)
	if err != nil {
		return err
	}
	g.id = made.ID
	codes := make([]market.Stock, g.Stock)
	for i := range codes {
		codes[i].Code = "DEMO-" + rand.Text()[:16]
		if g.Expires != "" {
			after, err := readOffset(g.Expires)
			if err != nil {
				return err
			}
			codes[i].ExpiresAt = new(p.end.Add(after))
		}
	}
	_, err = p.Store.ImportCodes(ctx, p.judge(), g.id, codes)
	return err
}

// orderStep makes one step of an order.
func (p *Player) orderStep(ctx context.Context, g *good, o *order, verb, text string) error {
	by, ok := p.callers[o.Who]
	if !ok {
		return fmt.Errorf("there is no account %q yet", o.Who)
	}
	switch verb {
	case "order":
		made, err := p.Store.Redeem(ctx, by, g.id, market.Credits(g.Price), false)
		o.id = made.ID
		return err
	case "reveal":
		_, err := p.Store.RevealOrder(ctx, by, o.id)
		return err
	case "approve":
		_, err := p.Store.ApproveOrder(ctx, p.judge(), o.id)
		return err
	case "refuse":
		_, err := p.Store.RefuseOrder(ctx, p.judge(), o.id, text)
		return err
	case "dispute":
		_, err := p.Store.DisputeOrder(ctx, by, o.id, text)
		return err
	case "settle":
		remedy, note, _ := strings.Cut(text, " ")
		_, err := p.Store.SettleDispute(ctx, p.judge(), o.id, market.Remedy(remedy), note)
		return err
	}
	return fmt.Errorf("there is no step %q", verb)
}

// countOrders looks at every order again, as count does at the tasks.
func (p *Player) countOrders(ctx context.Context, s story) error {
	p.made.Orders = map[market.OrderState]int{}
	var wrong []error
	for _, g := range s.goods {
		for _, o := range g.Orders {
			got, err := p.Store.Order(ctx, p.callers[o.Who].Actor, o.id)
			if err != nil {
				return err
			}
			if got.State != o.Ends {
				wrong = append(wrong, fmt.Errorf("%s's %s ended %s, not %s", o.Who, g.Name, got.State, o.Ends))
			}
			if slices.Contains(got.Reasons, market.ReviewFlagged) {
				wrong = append(wrong, fmt.Errorf("%s's %s was ordered by a flagged account", o.Who, g.Name))
			}
			p.made.Orders[got.State]++
		}
	}
	p.made.Goods = len(s.goods)
	return errors.Join(wrong...)
}
