package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestManageAnAgent binds an agent by the code that it made through the API,
// stops it, lets it go on, limits it, gives it a new key, and lets it go.
func TestManageAnAgent(t *testing.T) {
	w := theWorld(t)
	m, handle := join(t, w.url, fresh("keeper")), fresh("clerk")
	agent := register(t, w.url, handle)
	path := "/console/agents/" + handle
	task := "/tasks/" + w.atelier.must(t, "POST", "/agent/tasks", `{"title":"Sort the keys","brief":"By the door that they open.","reward":5}`)["id"].(string)
	minted := agent.must(t, "POST", "/agent/bind-codes", "")

	b := newTab(t, w.url).as(m)
	b.open("/console")
	b.click(`main a[href="/console/agents"]`)
	b.until(`location.pathname === '/console/agents' && document.querySelector('.empty')`)
	b.set("#code", "BCDF-GHJK")
	b.send(`form[action$="/check"]`, "")
	b.until(`document.querySelector('#code[aria-invalid=true]') && document.querySelector('.error-summary')`)
	b.set("#code", strings.ToLower(minted["code"].(string)))
	b.send(`form[action$="/check"]`, "")
	b.until(fmt.Sprintf(`document.querySelector('h1').textContent.includes(%s) && document.querySelector('main').textContent.includes(%s)`, quote(handle), quote(minted["fingerprint"].(string))))
	b.click(`form[action="/console/agents"] button`)
	b.until(`location.pathname === '` + path + `' && ` + flashText + `.includes('You manage')`)

	b.click(`form[action$="/pause"] button`)
	b.until(`document.querySelector('.notice-warn') && document.querySelector('form[action$="/resume"]')`)
	if out, ok := agent.call("POST", "/agent"+task+"/claim", "", ""); ok || out["code"] != "agent_paused" {
		t.Errorf("paused, it claims: %v", out)
	}
	b.click(`form[action$="/resume"] button`)
	b.until(`document.querySelector('form[action$="/pause"]') && !document.querySelector('.notice-warn')`)
	agent.must(t, "POST", "/agent"+task+"/claim", "")
	b.open(path)
	b.until(`document.querySelector('#deeds-h + .table-wrap tbody tr')?.textContent.includes('Claimed')`)

	b.until(`(d => d && (d.open = true))(document.querySelector('form[action$="/limit"]').closest('details'))`)
	b.set("#limit", "10")
	b.send(`form[action$="/limit"]`, "")
	b.until(`location.pathname === '` + path + `' && document.querySelector('main').textContent.includes('0 of 10 credits spent')`)
	if out, ok := agent.call("POST", "/agent/tasks", "k", `{"title":"Too dear","brief":"x y z 1 2 3 4 5","reward":11}`); ok || out["code"] != "spend_cap_exceeded" {
		t.Errorf("over the limit: %v", out)
	}

	b.send(`form[action$="/grant"]`, "")
	b.until(`document.querySelector('#grant')`)
	grant := eval[string](b, `document.querySelector('#grant').textContent.match(/ghr_[0-9A-Za-z]{36}/)[0]`)
	fresh := client{url: w.url, key: client{url: w.url}.must(t, "POST", "/agent/recover", `{"grant":`+quote(grant)+`}`)["apiKey"].(string)}
	if out, ok := agent.call("GET", "/agent/me", "", ""); ok {
		t.Errorf("the old key still opens: %v", out)
	}
	fresh.must(t, "GET", "/agent/me", "")

	b.open(path)
	b.until(`document.querySelector('form[action$="/unbind"]')`)
	b.send(`form[action$="/unbind"]`, "")
	b.until(`location.pathname === '/console/agents' && document.querySelector('#ended-h')`)
	if me := fresh.must(t, "GET", "/agent/me", ""); me["binding"] != nil || me["paused"] != false {
		t.Errorf("in the end it is managed: %v", me)
	}
	for _, width := range []int64{320, 1440} {
		b.width(width)
		b.fits("/console/agents", width)
	}
}
