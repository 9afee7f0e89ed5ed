package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
	"guildhall/views"
)

type taskInput struct {
	Title        string        `json:"title"`
	Brief        string        `json:"brief"`
	Skills       []string      `json:"skills"`
	Mode         string        `json:"mode"`
	Reward       int64         `json:"reward"`
	Payload      rawJSON       `json:"payload"`
	OutputSchema rawJSON       `json:"outputSchema"`
	Rules        []market.Rule `json:"rules"`
	// HiddenVectors are kept from everybody: see market.HiddenVectors.
	HiddenVectors rawJSON             `json:"hiddenVectors"`
	Samples       *samplesInput       `json:"samples"`
	Attachments   []market.Attachment `json:"attachments"`
	AutoAccept    bool                `json:"autoAccept"`
	ClaimMinutes  *int64              `json:"claimMinutes"`
	ReviewHours   *int64              `json:"reviewHours"`
	MaxAttempts   *int64              `json:"maxAttempts"`
	MaxAccepted   *int64              `json:"maxAccepted"`
	Deadline      *time.Time          `json:"deadline"`
	// ProtectedFields bear ciphertext only.
	ProtectedFields *protectedInput `json:"protectedFields"`
}

// rawJSON keeps a member as it was sent; null is the same as absent.
type rawJSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (r *rawJSON) UnmarshalJSON(b []byte) error {
	*r = nil
	if string(b) != "null" {
		*r = append(rawJSON(nil), b...)
	}
	return nil
}

// draft is the task, and what of the members that are documents of their own
// cannot be read.
func (in taskInput) draft() (market.Draft, []market.FieldError) {
	d := market.Draft{Title: in.Title, Brief: in.Brief, Skills: in.Skills, Mode: in.Mode, Reward: in.Reward,
		Payload: json.RawMessage(in.Payload), OutputSchema: json.RawMessage(in.OutputSchema), Rules: in.Rules, Attachments: in.Attachments, AutoAccept: in.AutoAccept,
		ClaimMinutes: in.ClaimMinutes, ReviewHours: in.ReviewHours, MaxAttempts: in.MaxAttempts, MaxAccepted: in.MaxAccepted, Deadline: in.Deadline}
	var bad []market.FieldError
	d.Protected = in.ProtectedFields.draft()
	d.Samples, bad = in.Samples.read()
	if len(in.HiddenVectors) > 0 {
		if err := decodeStrictly(in.HiddenVectors, "/hiddenVectors", &d.Hidden); err != nil {
			bad = append(bad, fieldsOf(err, "/hiddenVectors")...)
		}
	}
	return d, bad
}

// newTask shows the form for a task.
func (h *Handlers) newTask(r *request) (answer, error) {
	v := views.PublishView{Form: views.Form{Values: publishDefaults(), Once: newRequestID()}}
	return answer{page: func(ctx context.Context) (views.Screen, error) { return h.publishScreen(ctx, r, v), nil }}, nil
}

// draftTask helps to write a task and publishes nothing: its buttons add a row
// for a rule or a sample, make a schema of example outputs, try the samples, or
// show the task as agents will read it. They post the form, so that they work
// without JavaScript.
func (h *Handlers) draftTask(r *request) (answer, error) {
	if r.form.Has("dropRule") {
		dropRule(r.form, r.form.Get("dropRule"))
	}
	if !r.form.Has("words") { // they are for rows as they stand in the browser
		orderForm(r.form)
	}
	v := views.PublishView{Form: views.Form{Values: r.form, Once: r.form.Get(onceField)}}
	show := func(ctx context.Context) (views.Screen, error) { return h.publishScreen(ctx, r, v), nil }
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		v.Problem = &p
		return show(ctx)
	}
	switch {
	case r.form.Has("addRule"):
		addRule(r.form)
	case r.form.Has("addSample"):
		addSample(r.form, r.form.Get("addSample"))
		v.SamplesOpen = true
	case r.form.Has("trySamples"):
		v.SamplesOpen = true
		reports, err := h.tryForm(r)
		if err != nil {
			return answer{}, err
		}
		v.Reports = &views.SampleReports{SampleReports: reports}
	case r.form.Has("inferSchema"):
		schema, problem := verify.InferSchema([]byte(r.form.Get("examples")))
		if problem != nil {
			return answer{}, market.Invalid([]market.FieldError{document("/examples", *problem)})
		}
		r.form.Set("outputSchema", string(schema))
	case r.form.Has("preview"):
		preview, err := h.previewTask(r)
		if err != nil {
			return answer{}, err
		}
		v.Preview = preview
	}
	return answer{page: show}, nil
}

// previewTask is the task as agents will read it in JSON.
func (h *Handlers) previewTask(r *request) ([]byte, error) {
	d, err := h.readDraft(r)
	if err != nil {
		return nil, err
	}
	funded := market.Funds{Granted: math.MaxInt64}
	change, err := market.Publish(r.actor, "", d, h.Store.FeeBPS(), funded, time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return nil, err
	}
	return json.Marshal(taskShape(change.Snapshot, market.Actor{}))
}

func publishDefaults() url.Values {
	text := func(n int) string { return strconv.Itoa(n) }
	return url.Values{"claimMinutes": {text(market.DefaultClaimMinutes)}, "reviewHours": {text(market.DefaultReviewHours)},
		"maxAttempts": {text(market.DefaultMaxAttempts)}, "reward": {"100"}, ruleRow(0) + "kind": {market.RuleManual}}
}

// ruleRow begins the names of the fields of a rule.
func ruleRow(i int) string { return "rules." + strconv.Itoa(i) + "." }

// addRule adds a row for a rule of the kind that was chosen.
func addRule(form url.Values) {
	kind := form.Get("newRule")
	if !slices.Contains(market.RuleKinds(), kind) {
		kind = market.RuleManual
	}
	for i := range market.MaxRules {
		if form.Get(ruleRow(i)+"kind") == "" {
			form.Set(ruleRow(i)+"kind", kind)
			return
		}
	}
}

// orderForm numbers the rows of a form as the task will number what they hold,
// so that what is wrong with one is shown at its row.
func orderForm(form url.Values) {
	orderRules(form)
	for _, list := range sampleLists {
		orderSamples(form, list)
	}
}

// orderRules puts the rules that say something first, the blank ones behind
// them. Members of another kind than the one that is chosen now are dropped.
func orderRules(form url.Values) {
	var filled, blank []url.Values
	for i := range maxRows {
		row := url.Values{}
		for name, values := range form {
			if member, ok := strings.CutPrefix(name, ruleRow(i)); ok {
				if isOfKind(member, form.Get(ruleRow(i)+"kind")) {
					row[member] = values
				}
				form.Del(name)
			}
		}
		switch {
		case len(row) == 0:
		case rowTyped(row, reflect.TypeFor[market.Rule](), ""):
			filled = append(filled, row)
		default:
			blank = append(blank, row)
		}
	}
	for i, row := range append(filled, blank...) {
		for member, values := range row {
			form[ruleRow(i)+member] = values
		}
	}
}

// isOfKind reports whether the form has a field for the member in a rule of
// the kind.
func isOfKind(member, kind string) bool {
	switch member {
	case "name", "kind":
		return true
	case "text":
		return kind == market.RuleManual || kind == ""
	}
	return !slices.Contains(market.RuleKinds(), kind) || slices.Contains(market.RuleMembers(kind), member)
}

// dropRule takes the row of a rule out of the form.
func dropRule(form url.Values, number string) {
	for name := range form {
		if strings.HasPrefix(name, "rules."+number+".") {
			form.Del(name)
		}
	}
}

// publishScreen shows the form with a row for each rule and each sample.
func (h *Handlers) publishScreen(ctx context.Context, r *request, v views.PublishView) views.Screen {
	for i := range maxRows {
		if kind := v.Get(ruleRow(i) + "kind"); kind != "" {
			var rule market.Rule
			formStruct(v.Values, reflect.ValueOf(&rule).Elem(), ruleRow(i), new([]market.FieldError))
			rule.Kind = kind
			v.Rules = append(v.Rules, views.RuleRow{Number: i, Rule: rule})
		}
	}
	v.Spendable, v.FeeBPS, v.Now = r.visitor.Spendable, h.Store.FeeBPS(), time.Now()
	return views.Publish(ctx, v)
}

// publishTask funds and opens a task.
func (h *Handlers) publishTask(r *request) (answer, error) {
	if r.form != nil {
		orderForm(r.form)
	}
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		once := r.form.Get(onceField)
		if p.Code == market.ErrIdempotencyReused.Code {
			once = newRequestID() // what is sent now is another task
		}
		if r.form.Get("protectedFields.ciphertext") != "" {
			if p.Code == market.ErrInvalid.Code {
				p.Fix = ""
			}
			p.Fix = strings.TrimSpace(p.Fix + " " + views.T(ctx, "vault.values_again"))
		}
		return h.publishScreen(ctx, r, views.PublishView{Form: views.Form{Values: r.form, Once: once, Problem: &p}}), nil
	}
	d, err := h.readDraft(r)
	if err != nil {
		return answer{}, err
	}
	if d.Samples != nil {
		if err := h.throttleDryRun(r); err != nil {
			return answer{}, err
		}
	}
	reports, bad, err := h.trySamples(r.ctx(), d)
	if err != nil || len(bad) > 0 {
		return answer{}, cmp.Or(err, market.Invalid(bad))
	}
	if r.form.Get("protect") != "" && d.Protected == nil {
		return h.askToSeal(r, d)
	}
	d.Reports = &reports
	present := func(v any) answer {
		s := v.(market.Snapshot)
		shape := taskShape(s, r.actor)
		shape.Samples = d.Samples
		return answer{status: http.StatusCreated, json: shape, location: "/api/v1/agent/tasks/" + string(s.ID),
			to: taskPath(s.ID), flash: views.Message{ID: "flash.published", Args: map[string]any{"Amount": views.Number(s.Escrow.Total())}}}
	}
	s, err := h.Store.PublishTask(r.ctx(), r.caller(present), d)
	return present(s), err
}

// readDraft reads the task of the body and checks all of it.
func (h *Handlers) readDraft(r *request) (market.Draft, error) {
	var in taskInput
	if err := r.decode(&in); err != nil {
		return market.Draft{}, err
	}
	d, bad := in.draft()
	bad = append(bad, d.Clean(time.Now().UTC().Truncate(time.Microsecond))...)
	if d.Protected != nil {
		bad = append(bad, checkSealed("/protectedFields", *d.Protected)...)
	}
	more, err := h.admit(r.ctx(), d, bad)
	if err != nil {
		return d, err
	}
	mismatched, err := h.checkBlobs(r.ctx(), r, d.Attachments)
	if err != nil {
		return d, err
	}
	return d, r.invalid(slices.Concat(bad, more, mismatched))
}
