package pool

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"guildhall/market/verify"
)

// rules are five ordinary expressions on the sample's output.
const rules = `[
	{"name":"count","kind":"cel","expression":"output.summary.count == size(output.items)"},
	{"name":"prices","kind":"cel","expression":"output.items.all(i, i.price > 0.0 && i.price <= 1000.0)"},
	{"name":"ids","kind":"cel","expression":"output.items.all(i, i.id.startsWith('ABC-'))"},
	{"name":"sold","kind":"cel","expression":"output.items.exists(i, 'sold' in i.tags) && !output.items.exists(i, 'used' in i.tags)"},
	{"name":"limit","kind":"cel","expression":"size(output.items) <= payload.max && output.items[0].name.matches('^An item')"}
]`

// sample is an ordinary schema, five expressions and an output of 10 KB that
// fits them.
func sample() verify.Job {
	const schema = `{
		"type": "object", "additionalProperties": false, "required": ["summary", "items"],
		"properties": {
			"summary": {"type": "object", "required": ["count"], "properties": {"count": {"type": "integer", "minimum": 0}}},
			"items": {"type": "array", "maxItems": 1000, "items": {"$ref": "#/$defs/item"}}
		},
		"$defs": {"item": {
			"type": "object", "additionalProperties": false, "required": ["id", "name", "price"],
			"properties": {
				"id": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]+$"},
				"name": {"type": "string", "minLength": 1, "maxLength": 200},
				"price": {"type": "number", "exclusiveMinimum": 0},
				"seen": {"type": "string", "format": "date-time"},
				"tags": {"type": "array", "uniqueItems": true, "items": {"enum": ["new", "used", "sold"]}}
			}
		}}
	}`
	var items []string
	for i := range 68 {
		items = append(items, fmt.Sprintf(`{"id":"ABC-%d","name":"An item of the list, number %d","price":%d.25,"seen":"2026-11-24T00:00:00Z","tags":["new","sold"]}`, i, i, i+1))
	}
	output := fmt.Sprintf(`{"summary":{"count":%d},"items":[%s]}`, len(items), strings.Join(items, ","))
	return verify.Job{Schema: json.RawMessage(schema), Rules: json.RawMessage(rules), Payload: json.RawMessage(`{"max":100}`), Output: json.RawMessage(output)}
}

func BenchmarkVerify10KB(b *testing.B) {
	job := sample()
	b.Run("pool", func(b *testing.B) {
		p := newPool(b, nil)
		warm(b, p, job, 1)
		var times []time.Duration
		for b.Loop() {
			times = append(times, timed(b, p, job))
		}
		report(b, times)
	})
	b.Run("pool-schema-only", func(b *testing.B) {
		p := newPool(b, nil)
		job := job
		job.Rules = nil
		warm(b, p, job, 1)
		var times []time.Duration
		for b.Loop() {
			times = append(times, timed(b, p, job))
		}
		report(b, times)
	})
	// Four callers keep two children busy.
	b.Run("two-workers", func(b *testing.B) {
		p := newPool(b, func(o *Options) { o.Workers = 2 })
		warm(b, p, job, 2)
		var mu sync.Mutex
		var times []time.Duration
		b.SetParallelism(max(1, 4/runtime.GOMAXPROCS(0)))
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				took := timed(b, p, job)
				mu.Lock()
				times = append(times, took)
				mu.Unlock()
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		report(b, times)
	})
	b.Run("in-process", func(b *testing.B) {
		engine := verify.NewEngine()
		for b.Loop() {
			if r := engine.Run(job); !r.Passed {
				b.Fatal(r)
			}
		}
	})
	b.Run("in-process-cold", func(b *testing.B) {
		for b.Loop() {
			if r := verify.Run(job); !r.Passed {
				b.Fatal(r)
			}
		}
	})
	b.Run("guard", func(b *testing.B) {
		for b.Loop() {
			if p := verify.CheckJSON(job.Output, verify.OutputLimits); p != nil {
				b.Fatal(p)
			}
		}
	})
}

// warm starts the children and has each compile the job.
func warm(b *testing.B, p *Pool, job verify.Job, workers int) {
	b.Helper()
	var wg sync.WaitGroup
	for range 20 * workers {
		wg.Go(func() { timed(b, p, job) })
	}
	wg.Wait()
}

func timed(b *testing.B, p *Pool, job verify.Job) time.Duration {
	began := time.Now()
	if r, err := p.Verify(b.Context(), job); err != nil || !r.Passed {
		b.Error(r, err)
	}
	return time.Since(began)
}

func report(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	for name, share := range map[string]int{"p50-µs": 50, "p95-µs": 95, "p99-µs": 99} {
		b.ReportMetric(float64(times[len(times)*share/100].Microseconds()), name)
	}
}
