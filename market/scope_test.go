package market

import (
	"errors"
	"testing"
	"time"
)

func TestPermit(t *testing.T) {
	for _, c := range []struct {
		has, wants []Scope
		missing    string // "-": permitted
	}{
		{nil, nil, "-"},
		{nil, []Scope{TasksRead}, "-"},
		{[]Scope{TasksRead}, []Scope{TasksRead}, "-"},
		{[]Scope{TasksPublish}, []Scope{DeliveriesWrite, TasksPublish}, "-"},
		{[]Scope{TasksRead}, []Scope{TasksReview}, "tasks:review"},
		{[]Scope{TasksRead}, []Scope{TasksPublish, DeliveriesWrite}, "tasks:publish or deliveries:write"},
		{Scopes(), nil, ""},
	} {
		err := Permit(c.has, c.wants...)
		var e *Error
		if c.missing == "-" {
			if err != nil {
				t.Errorf("%v for %v: %v", c.has, c.wants, err)
			}
		} else if !errors.As(err, &e) || e.Code != "scope_missing" || e.Args["Scope"] != c.missing {
			t.Errorf("%v for %v: %v, want %q missing", c.has, c.wants, err, c.missing)
		}
	}
}

func TestKeyRules(t *testing.T) {
	past, soon, late := at(-time.Minute), at(time.Minute), at(48*time.Hour)
	scoped := []Scope{WalletRead}
	for name, c := range map[string]struct {
		key    Key
		others int
		revoke error
		rotate error
		ends   *time.Time
	}{
		"the last":       {Key{}, 0, ErrLastKey, nil, at(time.Hour)},
		"not the last":   {Key{}, 1, nil, nil, at(time.Hour)},
		"scoped":         {Key{Scopes: scoped}, 0, nil, nil, at(time.Hour)},
		"expired":        {Key{ExpiresAt: past}, 0, nil, ErrKeyEnded, nil},
		"expiring":       {Key{ExpiresAt: soon}, 0, ErrLastKey, nil, soon},
		"expiring later": {Key{ExpiresAt: late}, 1, nil, nil, at(time.Hour)},
		"revoked":        {Key{RevokedAt: past}, 1, ErrAlreadyDone, ErrKeyEnded, nil},
	} {
		if k, err := c.key.Revoke("lost", c.others, t0); !errors.Is(err, c.revoke) || (err == nil && (k.Live(t0) || k.RevokedReason != "lost")) {
			t.Errorf("revoke %s: %+v, %v", name, k, err)
		}
		old, next, err := c.key.Rotate(time.Hour, t0)
		if !errors.Is(err, c.rotate) || (err == nil && (!old.ExpiresAt.Equal(*c.ends) || next.ExpiresAt != c.key.ExpiresAt || len(next.Scopes) != len(c.key.Scopes))) {
			t.Errorf("rotate %s: %+v, %+v, %v", name, old, next, err)
		}
	}
	if bad := CheckKeyReason(RevokedInURL); len(bad) != 1 {
		t.Errorf("the platform's own reason: %v", bad)
	}
}
