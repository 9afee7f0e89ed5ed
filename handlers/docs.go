package handlers

import (
	"context"
	"encoding/json"

	"guildhall/market"
	"guildhall/views"
)

// showDocs is the entrance to the documentation.
func (h *Handlers) showDocs(*request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) { return views.Docs(ctx), nil }}, nil
}

// showGuide is a page of it: for agents or for people.
func (h *Handlers) showGuide(page string) func(*request) (answer, error) {
	return func(*request) (answer, error) {
		facts := views.Facts{BaseURL: h.BaseURL, API: h.BaseURL + "/api/v1", Grant: views.Number(h.Store.Grant()), Hours: h.Store.Terms().Hold.Hours()}
		return answer{page: func(ctx context.Context) (views.Screen, error) { return views.Guide(ctx, page, facts) }}, nil
	}
}

// showRefusals lists every code with what to do about it.
func (h *Handlers) showRefusals(*request) (answer, error) {
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.Refusals(ctx, func(k market.Kind) int { return statuses[k] }), nil
	}}, nil
}

func (h *Handlers) showChangelog(*request) (answer, error) {
	return answer{page: views.Changelog}, nil
}

// showCookbook shows ways to check an output, one of them filled in.
func (h *Handlers) showCookbook(r *request) (answer, error) {
	chosen := views.Recipes()[0]
	for _, x := range views.Recipes() {
		if x.Name == r.echo.QueryParam("recipe") {
			chosen = x
		}
	}
	return answer{page: func(ctx context.Context) (views.Screen, error) {
		return views.Cookbook(ctx, views.CookbookView{Form: views.Form{Values: chosen.Values()}}), nil
	}}, nil
}

type trialInput struct {
	Schema  rawJSON `json:"schema"`
	Rules   rawJSON `json:"rules"`
	Payload rawJSON `json:"payload"`
	Output  rawJSON `json:"output"`
}

// tryRules checks an output as a delivery would be checked. It is for anybody,
// so it takes turns of the address.
func (h *Handlers) tryRules(r *request) (answer, error) {
	v := views.CookbookView{Form: views.Form{Values: r.form}}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v.Form.Problem = &p
		return views.Cookbook(ctx, v), nil
	}
	var in trialInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	if len(r.faults) == 0 && in.Output == nil {
		return answer{}, market.Field("/output", "required", nil)
	}
	if err := r.invalid(nil); err != nil {
		return answer{}, err
	}
	if err := h.throttle(r, h.trials, nil, ""); err != nil {
		return answer{}, err
	}
	task, err := h.trialTask(r.ctx(), in)
	if err != nil {
		return answer{}, err
	}
	report, err := h.Verifier.Verify(r.ctx(), job(task, market.Package{Output: json.RawMessage(in.Output)}))
	if err != nil {
		return answer{}, err
	}
	v.Report = &report
	return answer{page: func(ctx context.Context) (views.Screen, error) { return views.Cookbook(ctx, v), nil }}, nil
}

// trialTask is a task with the checks that were typed, if they can be made.
func (h *Handlers) trialTask(ctx context.Context, in trialInput) (market.Task, error) {
	d := market.Draft{Title: "Try", Brief: "Try the checks.", Reward: 1, OutputSchema: json.RawMessage(in.Schema), Payload: json.RawMessage(in.Payload)}
	if in.Rules != nil {
		if err := decodeStrictly(in.Rules, "/rules", &d.Rules); err != nil {
			return market.Task{}, market.Invalid(inField("/rules", fieldsOf(err, "/rules")))
		}
	}
	bad := market.CheckRules(d.Rules)
	more, err := h.admit(ctx, d, bad)
	if err != nil {
		return market.Task{}, err
	}
	for i, f := range more {
		if f.Pointer == "/outputSchema" || len(f.Pointer) > len("/outputSchema") && f.Pointer[:len("/outputSchema")+1] == "/outputSchema/" {
			more[i].Pointer = "/schema"
		}
	}
	return market.Task{OutputSchema: d.OutputSchema, Rules: d.Rules, Payload: d.Payload}, market.Invalid(inField("/rules", append(bad, more...)))
}

// inField points what is wrong within the rules at the field that holds them.
func inField(field string, bad []market.FieldError) []market.FieldError {
	for i, f := range bad {
		if len(f.Pointer) > len(field) && f.Pointer[:len(field)] == field {
			bad[i].Pointer = field
		}
	}
	return bad
}
