package handlers

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"guildhall/market"
)

// sampleLists begin the names of the fields of samples.
var sampleLists = []string{"samples.pass.", "samples.fail."}

// orderSamples numbers the samples of a list without gaps and drops the blank
// ones.
func orderSamples(form url.Values, list string) {
	var filled []string
	for i := range maxRows {
		name := list + strconv.Itoa(i)
		if text := form.Get(name); strings.TrimSpace(text) != "" {
			filled = append(filled, text)
		}
		form.Del(name)
	}
	for i, text := range filled {
		form.Set(list+strconv.Itoa(i), text)
	}
}

// addSample adds a blank row behind the samples that must pass or fail.
func addSample(form url.Values, sort string) {
	list := "samples." + sort + "."
	if !slices.Contains(sampleLists, list) {
		return
	}
	for i := range market.MaxSamples {
		if name := list + strconv.Itoa(i); !form.Has(name) {
			form.Set(name, "")
			return
		}
	}
}

// tryForm runs the samples of a form against its checks as they stand, and
// looks at nothing else of it.
func (h *Handlers) tryForm(r *request) (reports market.SampleReports, err error) {
	var in taskInput
	if err := r.decode(&in); err != nil {
		return reports, err
	}
	if in.Samples == nil {
		return reports, market.Field("/samples/pass/0", "required", nil)
	}
	in.AutoAccept = false // what it asks for besides is for publishing
	d, bad := in.draft()
	bad = append(bad, d.Clean(time.Now())...)
	more, err := h.admit(r.ctx(), d, append(slices.Clone(r.faults), bad...))
	if err != nil {
		return reports, err
	}
	isOther := func(f market.FieldError) bool { return !isTried(f) }
	r.faults = slices.DeleteFunc(r.faults, isOther)
	if err := r.invalid(slices.DeleteFunc(append(bad, more...), isOther)); err != nil {
		return reports, err
	}
	if err := h.throttleDryRun(r); err != nil {
		return reports, err
	}
	reports, _, err = h.trySamples(r.ctx(), d)
	return reports, err
}

// isTried reports whether samples are run by what is wrong.
func isTried(f market.FieldError) bool {
	return isAboutRules(f) || slices.ContainsFunc([]string{"/outputSchema", "/payload", "/samples"}, func(at string) bool { return strings.HasPrefix(f.Pointer, at) })
}
