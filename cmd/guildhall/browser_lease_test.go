package main

import (
	"database/sql"
	"log/slog"
	"strings"
	"testing"

	"guildhall/db/cluster"
)

// inDatabase changes something behind the back of the site that runs in dir.
func inDatabase(t *testing.T, dir string, statements ...string) {
	t.Helper()
	private, err := cluster.Attach(t.Context(), cluster.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatalf("attach to the database: %v", err)
	}
	db, err := sql.Open("pgx", private.URL(databaseName))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for _, s := range statements {
		if _, err := tx.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// TestLeaseRunsOut looks at a task while its agent's lease ends: the pages of
// its publisher and of a stranger say so by themselves, and what the agent
// delivers then comes too late.
func TestLeaseRunsOut(t *testing.T) {
	w := theWorld(t)
	m, slow, quick := join(t, w.url, fresh("patient")), register(t, w.url, fresh("slow")), register(t, w.url, fresh("quick"))
	path := m.publish(t, wordsTask("Translate before noon", 30, false))
	claim := slow.must(t, "POST", "/agent"+path+"/claim", "")["claim"].(map[string]any)
	const working, waiting = "An agent is working", "Waiting for an agent"
	pages := map[string]*tab{"the publisher": newTab(t, w.url).as(m), "a stranger": newTab(t, w.url)}
	for _, b := range pages {
		b.open(path)
		b.until(`document.readyState === 'complete' && document.querySelector('#status .live') && ` + text("#status .step-now", working) + ` && !document.querySelector('form[action$="/cancel"], #claim-call')`)
		b.click("#timeline summary")
		b.until(`document.querySelector('#timeline').open && ` + text("#timeline summary", "2 steps"))
		eval[int](b, "window.__mark = 1")
	}
	id := strings.TrimPrefix(path, "/tasks/")
	inDatabase(t, shared.dir, `UPDATE claims SET expires_at = now() - interval '1 second' WHERE task_id = '`+id+`'`,
		`UPDATE tasks SET due_at = now() - interval '1 second' WHERE id = '`+id+`'`)
	for who, b := range pages {
		b.until(`window.__mark === 1 && ` + text("#status .step-now", waiting) + ` && ` + text("#status .notice", "Something happened"))
		if !eval[bool](b, text("#status .steps", "The claim ran out")) || eval[bool](b, text("#status .steps", working)) {
			t.Errorf("%s reads %s", who, eval[string](b, `document.querySelector('#status').innerText`))
		}
		b.until(`document.querySelector('#timeline').open && ` + text("#timeline .event:last-child", "The claim ran out") + ` && ` + text("#timeline .event:last-child", "the clock"))
	}
	late := func() {
		t.Helper()
		if out, ok := slow.call("POST", "/agent"+path+"/deliveries", "", packed(t, claim, words, "Done.")); ok || out["code"] != "claim_stale" || out["status"] != 409.0 {
			t.Errorf("the late delivery got %v, want 409 claim_stale", out)
		}
	}
	late()
	// The rest of the page follows when it is asked for.
	for who, there := range map[string]string{"the publisher": `form[action$="/cancel"]`, "a stranger": "#claim-call"} {
		pages[who].click(`#status .notice a`)
		pages[who].until(`!window.__mark && document.readyState === 'complete' && document.querySelector('` + there + `') && !document.querySelector('#status .notice')`)
	}
	// Nor does the old claim work once another agent has one.
	next := quick.must(t, "POST", "/agent"+path+"/claim", "")["claim"].(map[string]any)
	if next["epoch"].(float64) <= claim["epoch"].(float64) {
		t.Errorf("the next claim has the epoch %v after %v", next["epoch"], claim["epoch"])
	}
	late()
	quick.must(t, "POST", "/agent"+path+"/deliveries", packed(t, next, words, "In time."))
	pages["the publisher"].until(text("#status .step-now", "In review"))
}
