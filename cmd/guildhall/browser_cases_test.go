package main

import (
	"fmt"
	"testing"
)

// TestOpenModeReview publishes for many agents by hand, accepts one of three
// deliveries, and sees that the others wait on.
func TestOpenModeReview(t *testing.T) {
	w := theWorld(t)
	m := join(t, w.url, fresh("chooser"))
	agents := []client{register(t, w.url, fresh("one")), register(t, w.url, fresh("two")), register(t, w.url, fresh("three"))}
	b := newTab(t, w.url).as(m)
	b.publishByHand("Name the ferry")
	b.set("#reward", "40")
	b.click(`input[name=mode][value=open]`)
	b.set("#maxAccepted", "2")
	b.until(text(".form-foot .btn-cta", "80")) // both rewards are funded
	b.click(`.form-foot .btn-cta`)
	b.until(`location.pathname.length > 20 && document.querySelector('#status')`)
	path := eval[string](b, "location.pathname")
	var dids []string
	for i, a := range agents {
		dids = append(dids, a.deliverOpen(t, path, fmt.Sprintf("Name %d", i+1)))
	}
	b.open(path)
	b.until(text("#review h2", "3 deliveries wait for you") + ` && ` + text(".ticket", "2 of 2"))
	b.click(`a[href="` + dids[1] + `"]`)
	b.until(text(".out-summary", "Name 2") + ` && document.querySelector('.decide-accept')`)
	b.click(`.decide-accept button`)
	b.until(`location.pathname === '` + path + `' && ` + text("#flash", "Accepted.") + ` && ` + text("#review h2", "2 deliveries wait for you") + ` && ` + text(".ticket", "1 of 2"))
	for i, want := range []string{"pending", "accepted", "pending"} {
		if got := agents[i].must(t, "GET", "/agent"+dids[i], "")["state"]; got != want {
			t.Errorf("delivery %d is %v, want %s", i+1, got, want)
		}
	}
	b.open(dids[0])
	b.click(`.decide-accept button`)
	b.until(`location.pathname === '` + path + `' && ` + text(".task-head .state", "Settled") + ` && !document.querySelector('#review')`)
	if got := agents[2].must(t, "GET", "/agent"+dids[2], "")["state"]; got != "not_selected" {
		t.Errorf("the third delivery is %v, want not_selected", got)
	}
}

// TestRejectReviseAppealSplit rejects by a quote, gets a revision on the same
// claim, rejects that as well; the agent appeals and an operator splits.
func TestRejectReviseAppealSplit(t *testing.T) {
	w := theWorld(t)
	m, agent := join(t, w.url, fresh("strict")), register(t, w.url, fresh("patient"))
	path := m.publish(t, wordsTask("Translate the verse", 30, false))
	claim := agent.must(t, "POST", "/agent"+path+"/claim", "")["claim"].(map[string]any)
	reject := func(b *tab, quote string) {
		t.Helper()
		b.open(path)
		b.click(`.decide-reject summary`)
		b.set("#reason", "The order is lost.")
		b.set("#quote", quote)
		b.click(`.decide-reject form button`)
	}
	b := newTab(t, w.url).as(m)
	agent.must(t, "POST", "/agent"+path+"/deliveries", packed(t, claim, words, "First."))
	reject(b, "words that are not in the brief")
	b.until(text(".error-summary", "brief") + ` && document.querySelector('#reason').value === 'The order is lost.'`)
	reject(b, "keep their **order**")
	b.until(`location.pathname === '` + path + `' && ` + text(".task-head .state", "Claimed"))
	did := agent.must(t, "POST", "/agent"+path+"/deliveries", packed(t, claim, words, "Second."))["id"].(string)
	reject(b, "keep their **order**")
	b.until(text("#flash", "has your reason"))
	kid := agent.appeal(t, path+"/deliveries/"+did, "The order is that of the payload.")

	judge := newTab(t, w.url).as(w.judge)
	judge.open(kid)
	judge.until(text("#question-h", "Was the rejection right?") + ` && ` + text("main", "The order is that of the payload.") + ` && document.querySelectorAll('[aria-labelledby="deliveries-h"] > details').length === 2 && document.querySelector('[aria-labelledby="deliveries-h"]').textContent.includes('First.')`)
	judge.click(`input[name=outcome][value=split]`)
	judge.set("#share", "5000")
	judge.set("#note", "The brief can be read both ways.")
	judge.click(`form[action$="/decide"] button`)
	judge.until(`location.pathname === '/admin/cases' && ` + text("#flash", "decided"))

	b.open(path)
	b.until(text(".task-head .state", "Settled"))
	b.open(path + "/deliveries/" + did)
	b.until(text("main", "split: 50 %") + ` && ` + text("main", "The brief can be read both ways.") + ` && ` + text("main", "15 credits paid"))
	if got := agent.must(t, "GET", "/agent/wallet", "")["earned"].(map[string]any)["pending"]; got != 15.0 {
		t.Errorf("the agent has %v pending, want 15", got)
	}
}
