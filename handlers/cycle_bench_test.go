package handlers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"guildhall/handlers"
	"guildhall/store/storetest"
)

// clients is how many callers work at once in both halves.
const clients = 16

// BenchmarkCycle compares the full cycle publish → claim → deliver → accept
// over HTTP with its floor: the same four transactions as bare statements on
// the same server in the same run, by turns. It reports cycles per second of
// both and their ratio. Commits are as fast as the test cluster's, without
// fsync, unless GUILDHALL_TEST_DURABLE is set.
func BenchmarkCycle(b *testing.B) {
	out, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	s := newServer(b, func(o *handlers.Options) { o.Logger = slog.New(slog.NewTextHandler(out, nil)) })
	floor := newFloor(b)
	pairs := make([]pair, clients)
	for i := range pairs {
		pairs[i] = newPair(b, s)
	}
	s.fund(b)
	slice := func(f func(client int)) (cycles int64, spent time.Duration) {
		var n atomic.Int64
		var wg sync.WaitGroup
		began := time.Now()
		for c := range clients {
			wg.Go(func() {
				for time.Since(began) < 500*time.Millisecond {
					f(c)
					n.Add(1)
				}
			})
		}
		wg.Wait()
		return n.Load(), time.Since(began)
	}
	var cycles, floors int64
	var time1, time2 time.Duration
	turn := func() {
		n, d := slice(func(c int) { pairs[c].cycle() })
		cycles, time1 = cycles+n, time1+d
		n, d = slice(floor.cycle)
		floors, time2 = floors+n, time2+d
	}
	turn() // warm
	cycles, floors, time1, time2 = 0, 0, 0, 0
	for b.Loop() {
		turn()
	}
	perSecond, floorPerSecond := float64(cycles)/time1.Seconds(), float64(floors)/time2.Seconds()
	b.ReportMetric(perSecond, "cycles/s")
	b.ReportMetric(floorPerSecond, "floor/s")
	b.ReportMetric(perSecond/floorPerSecond, "ratio")
	s.balanced(b)
}

// fund gives every wallet enough for the run, through the ledger.
func (s *server) fund(b *testing.B) {
	b.Helper()
	for _, q := range []string{
		`INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, balance_after)
		 SELECT now(), 'grant', 'platform:grants', 'wallet:' || account_id, 1000000000, 'granted', 'granted', account_id, granted + earned + 1000000000 FROM wallets`,
		`UPDATE wallets SET granted = granted + 1000000000`,
	} {
		if _, err := s.store.DB().Exec(q); err != nil {
			b.Fatal(err)
		}
	}
}

// pair is a publisher and a worker behind one connection. It shares the
// processors with what it measures, so it does only what a client must: write
// a request, read the answer to its end, and decode what the next call needs.
type pair struct {
	b                 *testing.B
	conn              net.Conn
	in                *bufio.Reader
	publisher, worker string
	task              []byte
}

func newPair(b *testing.B, s *server) pair {
	b.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	text, err := json.Marshal(task(1))
	if err != nil {
		b.Fatal(err)
	}
	return pair{b: b, conn: conn, in: bufio.NewReader(conn), publisher: s.register(b), worker: s.register(b), task: text}
}

func (p *pair) post(status int, key, path, headers string, body []byte, into any) {
	text := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s",
		path, key, len(body), headers, body)
	if _, err := p.conn.Write(text); err != nil {
		p.b.Error(err)
		return
	}
	r, err := http.ReadResponse(p.in, nil)
	if err != nil {
		p.b.Error(err)
		return
	}
	answer, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status {
		p.b.Errorf("%s: got %d %s (%v), want %d", path, r.StatusCode, answer, err, status)
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		p.b.Error(err)
	}
}

func (p *pair) cycle() {
	var task, delivery, accepted struct{ ID, State string }
	var claimed struct {
		Claim struct {
			ClaimID string
			Epoch   int64
		}
	}
	p.post(http.StatusCreated, p.publisher, "/api/v1/agent/tasks", "Idempotency-Key: "+unique("key")+"\r\n", p.task, &task)
	base := "/api/v1/agent/tasks/" + task.ID
	p.post(http.StatusCreated, p.worker, base+"/claim", "", nil, &claimed)
	pack := fmt.Appendf(nil, `{"claimId":%q,"epoch":%d,"output":{"sum":3},"summaryText":"Added."}`, claimed.Claim.ClaimID, claimed.Claim.Epoch)
	p.post(http.StatusCreated, p.worker, base+"/deliveries", "", pack, &delivery)
	p.post(http.StatusOK, p.publisher, base+"/deliveries/"+delivery.ID+"/accept", "", nil, &accepted)
	if accepted.State != "accepted" {
		p.b.Errorf("the delivery is %q after all, want accepted", accepted.State)
	}
}

// floor runs the four transactions without HTTP, credentials, rules, checks
// or idempotency, each as one statement.
type floor struct {
	b        *testing.B
	pool     *pgxpool.Pool
	accounts []string
	payload  string
}

func newFloor(b *testing.B) *floor {
	b.Helper()
	url := storetest.URL(b)
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = clients
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	text, err := json.Marshal(task(1)["payload"])
	if err != nil {
		b.Fatal(err)
	}
	f := &floor{b: b, pool: pool, payload: string(text)}
	for i := range 2 * clients {
		id := newUUID()
		f.accounts = append(f.accounts, id)
		f.exec(`INSERT INTO accounts (id, kind, handle, display_name, referral_code, created_at) VALUES ($1, 'agent', $2, $2, $2, now())`, id, fmt.Sprintf("floor-%d", i))
		f.exec(`INSERT INTO wallets (account_id, granted, earned) VALUES ($1, 1000000000, 0)`, id)
	}
	return f
}

func newUUID() string { return uuid.Must(uuid.NewV7()).String() }

func (f *floor) exec(query string, args ...any) {
	tag, err := f.pool.Exec(context.Background(), query, args...)
	if err != nil || tag.RowsAffected() == 0 {
		f.b.Error(strings.Join(strings.Fields(query), " ")[:60], err)
	}
}

func (f *floor) cycle(client int) {
	publisher, worker := f.accounts[2*client], f.accounts[2*client+1]
	taskID, claimID, deliveryID := newUUID(), newUUID(), newUUID()
	f.exec(`
		WITH w AS (
			UPDATE wallets SET granted = granted - 1 WHERE account_id = $2 AND granted >= 1 RETURNING granted + earned AS total
		), t AS (
			INSERT INTO tasks (id, publisher_id, state, version, title, brief, skills, mode, reward, payload, rules, attachments, claim_minutes,
				review_hours, max_attempts, max_accepted, slots, deadline, created_at, escrow_granted, escrow_earned, due_at)
			SELECT $1, $2, 'open', 1, 'Sum the numbers', 'Return the sum as a number.', '{csv}', 'exclusive', 1, $3, '[]', '[]', 60, 72, 3, 1, 1,
				now() + '1 day', now(), 1, 0, now() + '1 day' FROM w
		), k AS (
			INSERT INTO task_skills (skill, task_id, reward, deadline) SELECT 'csv', $1, 1, now() FROM w
		), e AS (
			INSERT INTO task_events (task_id, version, at, event, actor_id) SELECT $1, 1, now(), 'published', $2 FROM w
		)
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, task_id, balance_after)
		SELECT now(), 'escrow', 'wallet:' || $2::uuid, 'escrow:' || $1::uuid, 1, 'granted', 'granted', $2, $1, total FROM w`, taskID, publisher, f.payload)
	f.exec(`
		WITH t AS (
			UPDATE tasks SET state = 'claimed', version = 2, due_at = now() + '1 hour' WHERE id = $1 AND state = 'open' RETURNING id
		), k AS (
			DELETE FROM task_skills WHERE task_id = $1
		), e AS (
			INSERT INTO task_events (task_id, version, at, event, actor_id) SELECT id, 2, now(), 'claimed', $3 FROM t
		)
		INSERT INTO claims (id, task_id, worker_id, epoch, claimed_at, lease_from, expires_at) SELECT $2, id, $3, 0, now(), now(), now() + '1 hour' FROM t`, taskID, claimID, worker)
	f.exec(`
		WITH t AS (
			UPDATE tasks SET state = 'in_review', version = 3, due_at = now() + '3 days' WHERE id = $1 AND state = 'claimed' RETURNING id
		), e AS (
			INSERT INTO task_events (task_id, version, at, event, actor_id) SELECT id, 3, now(), 'delivered', $4 FROM t
		)
		INSERT INTO deliveries (id, task_id, claim_id, worker_id, state, attempt, output, summary_text, attachments, report, created_at)
		SELECT $2, id, $3, $4, 'pending', 1, '{"sum":3}', 'Added.', '[]', '{}', now() FROM t`, taskID, deliveryID, claimID, worker)
	f.exec(`
		WITH t AS (
			UPDATE tasks SET state = 'settled', version = 4, slots = 0, escrow_granted = 0, due_at = NULL WHERE id = $1 AND state = 'in_review' RETURNING id
		), d AS (
			UPDATE deliveries SET state = 'accepted', review = '{}' FROM t WHERE deliveries.id = $2 AND state = 'pending' RETURNING 1
		), c AS (
			UPDATE claims SET ended_at = now(), outcome = 'settled' FROM t WHERE claims.id = $3
		), e AS (
			INSERT INTO task_events (task_id, version, at, event, actor_id) SELECT id, 4, now(), 'accepted', $5 FROM t
		), y AS (
			INSERT INTO payouts (id, account_id, task_id, delivery_id, amount, class, available_at, hold_reason, state)
			SELECT $6, $4, id, $2, 1, 'earned', now() + '1 day', 'settlement_hold', 'pending' FROM t
		)
		INSERT INTO transfers (at, kind, debit, credit, amount, debit_class, credit_class, account_id, task_id)
		SELECT now(), 'payout', 'escrow:' || $1::uuid, 'pending:' || $4::uuid, 1, 'granted', 'earned', $4, id FROM t`,
		taskID, deliveryID, claimID, worker, publisher, newUUID())
}
