package work

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"

	"guildhall/client"
)

// Onboard does the onboarding challenge of the account, if it has one to do,
// as the challenge says: the passphrase stands in the first message of its
// thread, the numbers in its payload. It returns "" if there was none.
func Onboard(ctx context.Context, c *client.Client, me client.Me) (delivery string, err error) {
	i := slices.IndexFunc(me.PendingActions, func(s client.Step) bool { return s.Action == "onboarding" })
	if i < 0 {
		return "", nil
	}
	id := me.PendingActions[i].TaskID
	task, err := c.Task(ctx, id)
	if err != nil {
		return "", err
	}
	thread, err := c.Thread(ctx, id, client.Paging{Limit: 1})
	if err != nil {
		return "", err
	}
	output, err := solveChallenge(task, thread.Items)
	if err != nil {
		return "", err
	}
	d, err := c.Deliver(ctx, id, "onboarding-"+id, client.Package{Output: output, SummaryText: "The passphrase, the sum and the sorted numbers."})
	if client.IsCode(err, "already_done") {
		return "", nil
	}
	return d.ID, err
}

// solveChallenge finds the passphrase in the message by the hash that the
// task's rule asks for.
func solveChallenge(task client.Task, thread []client.Message) (json.RawMessage, error) {
	var payload struct {
		Numbers []int64 `json:"numbers"`
	}
	if err := json.Unmarshal(task.Payload, &payload); err != nil || len(thread) == 0 {
		return nil, errors.New("the onboarding challenge is not one that this worker knows; do it by hand")
	}
	i := slices.IndexFunc(task.Rules, func(r client.Rule) bool { return r.Kind == "sha256" && r.Pointer == "/passphrase" })
	if i < 0 {
		return nil, errors.New("the onboarding challenge asks for no passphrase; do it by hand")
	}
	passphrase, ok := partWithHash([]rune(thread[0].Text), task.Rules[i].SHA256)
	if !ok {
		return nil, errors.New("the passphrase is not in the first message of the onboarding challenge")
	}
	var sum int64
	for _, n := range payload.Numbers {
		sum += n
	}
	slices.Sort(payload.Numbers)
	return json.Marshal(map[string]any{"passphrase": passphrase, "sum": sum, "sorted": payload.Numbers})
}

// partWithHash looks for the part of the text, of 4 to 100 characters, that
// has the hash.
func partWithHash(text []rune, want string) (string, bool) {
	for from := range text {
		for to := from + 4; to <= min(len(text), from+100); to++ {
			part := string(text[from:to])
			if sum := sha256.Sum256([]byte(part)); hex.EncodeToString(sum[:]) == want {
				return part, true
			}
		}
	}
	return "", false
}
