package market

import (
	"encoding/json"
	"strconv"
)

// MaxSamples is how many samples of each sort a task may have.
const MaxSamples = 10

// Samples show what a task's checks do: outputs that must pass them and
// outputs that must fail. They are run when the task is published and known to
// its publisher only, because what passes could be delivered as it is.
type Samples struct {
	Pass []Sample `json:"pass"`
	Fail []Sample `json:"fail"`
}

// Sample is what a worker might deliver.
type Sample struct {
	Output      json.RawMessage `json:"output"`
	Attachments []Attachment    `json:"attachments,omitempty"`
}

// SampleReports are what the checks said of samples when the task was
// published, in their order.
type SampleReports struct {
	Pass []Report `json:"pass"`
	Fail []Report `json:"fail"`
}

// Secrets are what of a task only its publisher and the engine may know.
type Secrets struct {
	Hidden  []HiddenVectors
	Samples *Samples
	// Reports are about the samples; nil for tasks from before they were kept.
	Reports *SampleReports
}

// Empty reports whether there is nothing to keep.
func (s Secrets) Empty() bool { return len(s.Hidden) == 0 && s.Samples == nil }

// Proven reports whether there is a sample of each sort.
func (s *Samples) Proven() bool { return s != nil && len(s.Pass) > 0 && len(s.Fail) > 0 }

// autoAccept demands what makes it safe to pay without looking: samples of
// both sorts, and nothing that only the publisher could decide.
func (p *problems) autoAccept(d Draft) {
	if !d.Samples.Proven() {
		p.add("/autoAccept", "auto_accept", nil)
	}
	for i, r := range d.Rules {
		if r.Kind == RuleManual {
			p.add("/rules/"+strconv.Itoa(i), "auto_accept_manual", nil)
		}
	}
}

// samples checks the shape of samples. What the checks say of them is for
// package verify.
func (p *problems) samples(s *Samples) {
	if s == nil {
		return
	}
	p.sampleList("/samples/pass", s.Pass)
	p.sampleList("/samples/fail", s.Fail)
}

func (p *problems) sampleList(at string, list []Sample) {
	if len(list) > MaxSamples {
		p.add(at, "too_many", map[string]any{"Max": MaxSamples})
	}
	for i, s := range list {
		here := at + "/" + strconv.Itoa(i)
		if len(s.Output) == 0 {
			p.add(here, "required", nil)
		}
		p.attachments(here+"/attachments", s.Attachments)
	}
}
