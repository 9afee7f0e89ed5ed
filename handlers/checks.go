package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
	"guildhall/market/verify"
)

// job is what a delivery to the task is checked against.
func job(t market.Task, p market.Package) verify.Job {
	return verify.Job{Schema: t.OutputSchema, Rules: documents(t.Rules), Payload: t.Payload, Output: p.Output, Attachments: p.Attachments}
}

// documents is a list for the verifier, nil if it is empty.
func documents[T any](items []T) json.RawMessage {
	if len(items) == 0 {
		return nil
	}
	text, err := json.Marshal(items)
	if err != nil {
		panic(err) // plain structs, and JSON that was read
	}
	return text
}

// admit has a child say what of a draft cannot be checked or is too large.
// Rules are left out while their shape is wrong, as bad says.
func (h *Handlers) admit(ctx context.Context, d market.Draft, bad []market.FieldError) ([]market.FieldError, error) {
	a := verify.Admission{Schema: d.OutputSchema, Payload: d.Payload}
	if !slices.ContainsFunc(bad, isAboutRules) {
		a.Rules, a.Hidden = documents(d.Rules), documents(d.Hidden)
	}
	if len(a.Schema)+len(a.Payload)+len(a.Rules) == 0 {
		return nil, nil
	}
	problems, err := h.Verifier.Admit(ctx, a)
	if err != nil {
		h.Logger.Error("the verifier does not answer", "error", err)
		return nil, market.ErrVerifierUnavailable.After(5 * time.Second)
	}
	found := make([]market.FieldError, len(problems))
	for i, p := range problems {
		found[i] = document("", p)
	}
	return found, nil
}

func isAboutRules(f market.FieldError) bool {
	return strings.HasPrefix(f.Pointer, "/rules") || strings.HasPrefix(f.Pointer, "/hiddenVectors")
}

// samplesInput are the samples of a task. Each is an output, or an object with
// exactly the members output and, if wanted, attachments; an output of that
// very shape must be wrapped so itself.
type samplesInput struct {
	Pass []rawJSON `json:"pass"`
	Fail []rawJSON `json:"fail"`
}

func (in *samplesInput) read() (*market.Samples, []market.FieldError) {
	if in == nil {
		return nil, nil
	}
	var out market.Samples
	var bad, more []market.FieldError
	out.Pass, bad = readSampleList("/samples/pass", in.Pass)
	out.Fail, more = readSampleList("/samples/fail", in.Fail)
	return &out, append(bad, more...)
}

func readSampleList(at string, texts []rawJSON) (list []market.Sample, bad []market.FieldError) {
	list = []market.Sample{}
	for i, text := range texts {
		s := market.Sample{Output: json.RawMessage(text)}
		if isWrapped(text) {
			var in struct {
				Output      rawJSON             `json:"output"`
				Attachments []market.Attachment `json:"attachments"`
			}
			here := at + "/" + strconv.Itoa(i)
			if err := decodeStrictly(text, here, &in); err != nil {
				bad = append(bad, fieldsOf(err, here)...)
			}
			s = market.Sample{Output: json.RawMessage(in.Output), Attachments: in.Attachments}
		}
		list = append(list, s)
	}
	return list, bad
}

func isWrapped(text rawJSON) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members["output"] == nil {
		return false
	}
	_, hasFiles := members["attachments"]
	return len(members) == 1 || len(members) == 2 && hasFiles
}

// fieldsOf is what a refusal says of the body's members.
func fieldsOf(err error, at string) []market.FieldError {
	var known *market.Error
	if errors.As(err, &known) && len(known.Fields) > 0 {
		return known.Fields
	}
	return []market.FieldError{{Pointer: at, Code: "json"}}
}

// trySamples runs the samples of a draft that was admitted, and returns which
// of them do not do what they should.
func (h *Handlers) trySamples(ctx context.Context, d market.Draft) (reports market.SampleReports, bad []market.FieldError, err error) {
	reports = market.SampleReports{Pass: []market.Report{}, Fail: []market.Report{}}
	if d.Samples == nil {
		return reports, nil, nil
	}
	t := trial{h: h, task: market.Task{OutputSchema: d.OutputSchema, Rules: d.Rules, Payload: d.Payload}, hidden: documents(d.Hidden)}
	if reports.Pass, err = t.run(ctx, "/samples/pass", d.Samples.Pass, market.VerdictPass); err == nil {
		reports.Fail, err = t.run(ctx, "/samples/fail", d.Samples.Fail, market.VerdictFail)
	}
	return reports, t.bad, err
}

// maxTrial is how long the engine works on the samples of one task, in
// milliseconds.
const maxTrial = 5_000

// trial runs samples until one is too much for the engine, or all that were
// run are: every one of such a task could take seconds.
type trial struct {
	h       *Handlers
	task    market.Task
	hidden  json.RawMessage
	bad     []market.FieldError
	stopped bool
	millis  int64
}

func (t *trial) run(ctx context.Context, at string, list []market.Sample, want market.Verdict) ([]market.Report, error) {
	reports := []market.Report{}
	for i, s := range list {
		r, err := t.one(ctx, s)
		if err != nil {
			return reports, err
		}
		if r.Verdict != want {
			t.bad = append(t.bad, wrongSample(at+"/"+strconv.Itoa(i), r))
		}
		reports = append(reports, r)
	}
	return reports, nil
}

// wrongSample says what a sample did instead of what it should.
func wrongSample(at string, r market.Report) market.FieldError {
	code := "sample_fails"
	switch r.Verdict {
	case market.VerdictPass:
		code = "sample_passes"
	case market.VerdictError:
		code = "sample_undecided"
	}
	return market.FieldError{Pointer: at, Code: code, Args: map[string]any{"Detail": reasonOf(r)}}
}

func (t *trial) one(ctx context.Context, s market.Sample) (market.Report, error) {
	if t.stopped {
		return market.NewReport([]market.Check{{Name: "engine", Kind: "engine", Verdict: market.VerdictError,
			Detail: "Not run, because the samples before were too much for the engine."}}, 0), nil
	}
	j := job(t.task, market.Package{Output: s.Output, Attachments: s.Attachments})
	j.Hidden = t.hidden
	r, err := t.h.Verifier.Verify(ctx, j)
	t.millis += r.Millis
	t.stopped = t.millis > maxTrial || len(r.Checks) > 0 && r.Checks[0].Kind == "engine"
	return r, err
}

// reasonOf names the check that made the verdict.
func reasonOf(r market.Report) string {
	for _, c := range r.Checks {
		if c.Verdict == r.Verdict && c.Verdict != market.VerdictPass {
			return strings.TrimSpace(c.Name+" "+c.Pointer) + ": " + c.Detail
		}
	}
	return ""
}

// checkTask is the publisher's dry run: it says what publishing the task would
// say, and what its checks say of the samples, and moves nothing. A task that
// publishing would refuse before its samples are run is refused with the same
// 422; samples that do not do what they should are part of the answer.
func (h *Handlers) checkTask(r *request) (answer, error) {
	if err := h.throttleDryRun(r); err != nil {
		return answer{}, err
	}
	d, err := h.readDraft(r)
	if err != nil {
		return answer{}, err
	}
	reports, bad, err := h.trySamples(r.ctx(), d)
	return answer{json: draftCheckJSON{len(bad) == 0, fieldProblems(bad), reports, d.Cost(h.Store.FeeBPS()), market.FeeOf(market.Credits(d.Reward), h.Store.FeeBPS())}}, err
}

// draftCheckJSON is what a dry run of a task says.
type draftCheckJSON struct {
	Valid   bool                 `json:"valid"`
	Errors  []problemField       `json:"errors"`
	Samples market.SampleReports `json:"samples"`
	// Escrow is what publishing would take, Fee what of each slot is the
	// platform's.
	Escrow market.Credits `json:"escrow"`
	Fee    market.Credits `json:"fee"`
}

// outputInput is an output to try.
type outputInput struct {
	Output      rawJSON             `json:"output"`
	Attachments []market.Attachment `json:"attachments"`
}

// checkOutput is the worker's dry run: the report that delivering the output
// would give, without what is hidden. It moves nothing and uses no attempt.
func (h *Handlers) checkOutput(r *request) (answer, error) {
	id, err := r.taskID()
	if err != nil {
		return answer{}, err
	}
	if err := h.throttleDryRun(r); err != nil {
		return answer{}, err
	}
	t, err := h.Store.Task(r.ctx(), r.actor, id)
	if err != nil {
		return answer{}, err
	}
	var in outputInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	p := market.Package{Output: json.RawMessage(in.Output), Attachments: in.Attachments}
	if err := market.Invalid(p.CleanFiles()); err != nil {
		return answer{}, err
	}
	j := job(t.Task, p)
	j.DryRun = true
	report, err := h.Verifier.Verify(r.ctx(), j)
	return answer{json: report}, err
}

// throttleDryRun refuses an account that checks without a pause. Publishing
// with samples is a check too, before it costs anything.
func (h *Handlers) throttleDryRun(r *request) error {
	return h.turn(r, h.dryRuns, string(r.actor.Account))
}
