package store_test

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"guildhall/market"
)

// broken are statements that count what must never be, besides what the audit
// finds.
var broken = map[string]string{
	"a wallet is overdrawn":                      `SELECT count(*) FROM wallets WHERE granted < 0 OR earned < 0`,
	"a task that is over holds something":        `SELECT count(*) FROM tasks WHERE state IN ('settled', 'cancelled', 'expired') AND (escrow_granted + escrow_earned > 0 OR due_at IS NOT NULL OR slots > 0 OR frozen > 0)`,
	"a live task has no clock":                   `SELECT count(*) FROM tasks WHERE state IN ('open', 'claimed', 'in_review') AND due_at IS NULL`,
	"a live task does not hold its unpaid slots": `SELECT count(*) FROM tasks t WHERE state IN ('open', 'claimed', 'in_review') AND escrow_granted + escrow_earned <> reward * (max_accepted - (SELECT count(*) FROM payouts y WHERE y.task_id = t.id))`,
	"a slot is held without a case":              `SELECT count(*) FROM tasks t WHERE due_at IS NOT NULL AND frozen <> (SELECT count(*) FROM cases k WHERE k.task_id = t.id AND k.frozen AND k.closed_at IS NULL)`,
	"a claim outlives its task":                  `SELECT count(*) FROM claims c JOIN tasks t ON t.id = c.task_id WHERE c.ended_at IS NULL AND t.state NOT IN ('claimed', 'in_review')`,
	"a claimed task has not one claim":           `SELECT count(*) FROM tasks t WHERE t.state = 'claimed' AND (SELECT count(*) FROM claims c WHERE c.task_id = t.id AND c.ended_at IS NULL) <> 1`,
	"two claims have one epoch":                  `SELECT count(*) FROM (SELECT FROM claims GROUP BY task_id, epoch HAVING count(*) > 1) x`,
	"the epoch is not that of the claims":        `SELECT count(*) FROM tasks t WHERE t.epoch <> (SELECT count(*) FROM claims c WHERE c.task_id = t.id AND c.ended_at IS NOT NULL)`,
	"a delivery is pending where none can be":    `SELECT count(*) FROM deliveries d JOIN tasks t ON t.id = d.task_id WHERE d.state = 'pending' AND (t.state NOT IN ('open', 'in_review') OR t.mode = 'exclusive' AND t.state <> 'in_review')`,
	"an appeal is open that a later delivery waived": `SELECT count(*) FROM deliveries d WHERE d.state = 'rejected' AND d.due_at IS NOT NULL AND NOT d.in_case AND EXISTS (
		SELECT FROM deliveries l WHERE l.task_id = d.task_id AND l.worker_id = d.worker_id AND l.created_at > d.created_at AND l.state <> 'failed')`,
	"a delivery is paid twice": `SELECT count(*) FROM (SELECT FROM payouts GROUP BY delivery_id HAVING count(*) > 1) x`,
	"what left an escrow is not what was paid": `SELECT count(*) FROM (SELECT task_id, sum(amount) AS n FROM payouts GROUP BY 1) y
		FULL JOIN (SELECT task_id, sum(amount) AS n FROM transfers WHERE kind = 'payout' GROUP BY 1) x USING (task_id) WHERE x.n IS DISTINCT FROM y.n`,
	"more is paid than there are slots":   `SELECT count(*) FROM (SELECT t.id FROM tasks t JOIN payouts y ON y.task_id = t.id GROUP BY t.id HAVING count(*) > t.max_accepted) x`,
	"more attempts are used than allowed": `SELECT count(*) FROM (SELECT t.id FROM tasks t JOIN deliveries d ON d.task_id = t.id GROUP BY t.id, d.worker_id HAVING max(d.attempt) > t.max_attempts) x`,
	"an open task does not wait for what comes first": `SELECT count(*) FROM tasks t WHERE t.mode = 'open' AND t.due_at IS NOT NULL AND t.due_at <> LEAST(CASE WHEN t.state = 'open' THEN t.deadline END,
		(SELECT min(d.due_at) FROM deliveries d WHERE d.task_id = t.id AND NOT (t.paused_at IS NOT NULL AND d.state = 'pending' AND NOT d.in_case)))`,
	"the versions of a task have gaps": `SELECT count(*) FROM tasks t WHERE t.version <> (SELECT count(*) FROM task_events e WHERE e.task_id = t.id) OR t.version <> (SELECT max(e.version) FROM task_events e WHERE e.task_id = t.id)`,
	"credits came or went": `SELECT ((SELECT COALESCE(sum(granted + earned), 0) FROM wallets) + (SELECT COALESCE(sum(escrow_granted + escrow_earned), 0) FROM tasks)
		+ (SELECT COALESCE(sum(amount), 0) FROM payouts WHERE state = 'pending') - (SELECT COALESCE(sum(amount), 0) FROM transfers WHERE debit LIKE 'platform:%'))::bigint`,
}

// allBroken is one statement for all of broken.
var allBroken = func() string {
	var parts []string
	for _, what := range slices.Sorted(maps.Keys(broken)) {
		parts = append(parts, fmt.Sprintf(`SELECT '%s' AS what, (%s) AS n`, what, broken[what]))
	}
	return `SELECT what || ': ' || n FROM (` + strings.Join(parts, ` UNION ALL `) + `) x WHERE n <> 0`
}()

// check looks at the whole database at one moment.
func (f *fair) check() {
	f.t.Helper()
	tx, err := f.s.DB().BeginTxx(f.ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		f.t.Error(err)
		return
	}
	defer tx.Rollback()
	var found []string
	if err := tx.SelectContext(f.ctx, &found, allBroken); err != nil || len(found) > 0 {
		f.t.Errorf("%s (%v)", strings.Join(found, "; "), err)
	}
	var claimed []struct {
		ID    string `db:"id"`
		Epoch int64  `db:"epoch"`
	}
	if err := tx.SelectContext(f.ctx, &claimed, `SELECT id, epoch FROM tasks WHERE epoch > 0`); err != nil {
		f.t.Error(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, task := range claimed {
		if was := f.epochs[task.ID]; task.Epoch < was {
			f.t.Errorf("the epoch of task %s fell from %d to %d", task.ID, was, task.Epoch)
		}
		f.epochs[task.ID] = task.Epoch
	}
}

// audit has the books recomputed, and checks that each task came to its state
// by lines of the table.
func (f *fair) audit() {
	f.t.Helper()
	r, err := f.s.Audit(f.ctx)
	if err != nil || r.Sum != 0 || len(r.Findings) > 0 {
		f.t.Errorf("the books are not whole: %+v (%v)", r, err)
	}
	var rows []struct {
		Mode  string       `db:"mode"`
		State market.State `db:"state"`
		Event market.Event `db:"event"`
		Last  bool         `db:"last"`
	}
	err = f.s.DB().SelectContext(f.ctx, &rows, `
		SELECT t.mode, t.state, e.event, e.version = t.version AS last
		FROM tasks t JOIN task_events e ON e.task_id = t.id ORDER BY t.id, e.version`)
	if err != nil {
		f.t.Error(err)
	}
	could, history := map[market.State]bool{"": true}, "" // the states that the task could be in
	for _, r := range rows {
		after := map[market.State]bool{}
		for _, line := range market.Table() {
			if line.Mode == r.Mode && line.Event == r.Event && could[line.State] {
				for _, to := range line.To {
					after[to] = true
				}
			}
		}
		could, history = after, history+" "+string(r.Event)
		if !r.Last {
			continue
		}
		if !could[r.State] {
			f.t.Errorf("a task in %s mode is %s after%s", r.Mode, r.State, history)
		}
		could, history = map[market.State]bool{"": true}, ""
	}
}

// missing are the events of each mode that have not happened yet.
func (f *fair) missing() []string {
	f.t.Helper()
	var happened, out []string
	err := f.s.DB().SelectContext(f.ctx, &happened, `
		SELECT DISTINCT t.mode || ' ' || e.event FROM task_events e JOIN tasks t ON t.id = e.task_id
		UNION ALL SELECT DISTINCT 'open ' || state FROM deliveries WHERE state = 'not_selected'`)
	if err != nil {
		f.t.Error(err)
	}
	for _, line := range append(market.Table(), market.Transition{Mode: market.ModeOpen, Event: notSelected}) {
		if what := line.Mode + " " + string(line.Event); !slices.Contains(happened, what) && !slices.Contains(out, what) {
			out = append(out, what)
		}
	}
	return out
}

// end lets the clock alone end all that is left.
func (f *fair) end() {
	f.t.Helper()
	// Nobody comes back: a case about an appeal on a task that waited for
	// another case, and so on, all within the longest deadlines.
	for range 4 {
		f.c.advance(30 * 24 * time.Hour)
		_, err := f.s.Sweep(f.ctx, 10_000)
		f.note("sweep", err)
	}
	f.check()
	f.audit()
	for what, query := range map[string]string{
		"tasks are not over":       `SELECT count(*) FROM tasks WHERE state NOT IN ('settled', 'cancelled', 'expired')`,
		"claims are live":          `SELECT count(*) FROM claims WHERE ended_at IS NULL`,
		"deliveries are pending":   `SELECT count(*) FROM deliveries WHERE state = 'pending'`,
		"cases are open":           `SELECT count(*) FROM cases WHERE closed_at IS NULL`,
		"payouts are held":         `SELECT count(*) FROM payouts WHERE state = 'pending'`,
		"tasks are still listed":   `SELECT count(*) FROM task_skills`,
		"outcomes are not counted": `SELECT count(*) FROM new_outcomes`,
	} {
		var n int64
		if err := f.s.DB().GetContext(f.ctx, &n, query); err != nil || n != 0 {
			f.t.Errorf("in the end %s: %d (%v)", what, n, err)
		}
	}
	if d := diff(counts(f.t, f.s, history), counts(f.t, f.s, kept)); d != "" {
		f.t.Errorf("the reputations differ from the history (-want +got):%s", d)
	}
	f.t.Logf("attempts and refusals: %v", f.did)
}
