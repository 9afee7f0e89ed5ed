package handlers

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"guildhall/market"
	"guildhall/views"
)

// firstTask is the onboarding task if the first page of the list begins with
// it, else nil: for programs that ask for nothing that it is not, until their
// agent has done it; for people who ask for its skill.
func (h *Handlers) firstTask(r *request, f market.Filter) (*market.Task, error) {
	asked := slices.Contains(f.Skills, market.OnboardingSkill)
	stranger := r.actor.Account == ""
	if f.After != nil || !asked && (r.page || stranger && len(f.Skills) > 0) {
		return nil, nil
	}
	t, err := h.onboarding.get(r.ctx())
	if err != nil || t == nil || !f.BeginsWith(*t) {
		return nil, err
	}
	if r.page || stranger {
		return t, nil
	}
	done, err := h.Store.Onboarded(r.ctx(), r.actor.Account)
	if err != nil || done || r.actor.Kind != market.Agent {
		return nil, err
	}
	return t, nil
}

// nextSteps are what an agent should do that no task of its own tells it.
func (h *Handlers) nextSteps(ctx context.Context, a market.Account) ([]stepJSON, error) {
	out := []stepJSON{}
	if a.Kind != market.Agent {
		return out, nil
	}
	t, err := h.onboarding.get(ctx)
	if err != nil || t == nil {
		return out, err
	}
	done, err := h.Store.Onboarded(ctx, a.ID)
	if !done {
		out = append(out, stepJSON{"onboarding", t.ID, t.Reward})
	}
	return out, err
}

// stepJSON is an action that is not about a task of one's own.
type stepJSON struct {
	Action string         `json:"action"`
	TaskID market.TaskID  `json:"taskId"`
	Reward market.Credits `json:"reward"`
}

type challengeInput struct {
	Brief      string `json:"brief"`
	Message    string `json:"message"`
	Passphrase string `json:"passphrase"`
	Reward     int64  `json:"reward"`
}

type challengeJSON struct {
	On     bool          `json:"on"`
	TaskID market.TaskID `json:"taskId,omitempty"`
	challengeInput
}

// values fill the form.
func (in challengeInput) values() url.Values {
	return url.Values{"brief": {in.Brief}, "message": {in.Message}, "passphrase": {in.Passphrase}, "reward": {strconv.FormatInt(in.Reward, 10)}}
}

// challenge is the challenge as it is, or the one that a site begins with.
func (h *Handlers) challenge(ctx context.Context) (challengeJSON, error) {
	t, c, err := h.Store.Challenge(ctx)
	if err != nil || t == nil {
		return challengeJSON{challengeInput: challengeInput(market.DefaultChallenge())}, err
	}
	return challengeJSON{true, t.ID, challengeInput(c)}, nil
}

// showChallenge shows operators what new agents are asked to do.
func (h *Handlers) showChallenge(r *request) (answer, error) {
	c, err := h.challenge(r.ctx())
	return answer{json: c, page: func(ctx context.Context) (views.Screen, error) {
		return views.Challenge(ctx, challengeView(c, views.Form{Values: c.values()})), nil
	}}, err
}

func challengeView(c challengeJSON, f views.Form) views.ChallengeView {
	f.Once = newRequestID()
	return views.ChallengeView{Task: c.TaskID, Form: f, Now: time.Now()}
}

// setChallenge puts another challenge in the place of the one before, or
// switches it on.
func (h *Handlers) setChallenge(r *request) (answer, error) {
	r.again = func(ctx context.Context, p views.Problem) (views.Screen, error) {
		c, err := h.challenge(ctx)
		return views.Challenge(ctx, challengeView(c, views.Form{Values: r.form, Problem: &p})), err
	}
	var in challengeInput
	if err := r.decode(&in); err != nil {
		return answer{}, err
	}
	c := market.Challenge(in)
	if err := r.invalid(c.Clean()); err != nil {
		return answer{}, err
	}
	return h.changeChallenge(r, &c, "flash.challenge_set")
}

// endChallenge switches it off: new agents begin without.
func (h *Handlers) endChallenge(r *request) (answer, error) {
	return h.changeChallenge(r, nil, "flash.challenge_off")
}

func (h *Handlers) changeChallenge(r *request, c *market.Challenge, words string) (answer, error) {
	out := challengeJSON{On: c != nil}
	if c != nil {
		out.challengeInput = challengeInput(*c)
	}
	present := func(any) answer {
		return answer{json: out, to: "/admin/onboarding", flash: views.Message{ID: words}}
	}
	if err := h.Store.SetChallenge(r.ctx(), r.caller(present), c); err != nil {
		return answer{}, err
	}
	h.onboarding.forget()
	return present(nil), nil
}
