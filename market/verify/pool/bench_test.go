package pool

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"guildhall/market/verify"
)

// sample is an ordinary schema and an output of 10 KB that matches it.
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
	return verify.Job{Schema: json.RawMessage(schema), Output: json.RawMessage(output)}
}

func BenchmarkVerify10KB(b *testing.B) {
	job := sample()
	b.Run("pool", func(b *testing.B) {
		p := newPool(b, nil)
		run(b, p, string(job.Schema), string(job.Output))
		var times []time.Duration
		for b.Loop() {
			began := time.Now()
			if r, err := p.Verify(b.Context(), job); err != nil || !r.Passed {
				b.Fatal(r, err)
			}
			times = append(times, time.Since(began))
		}
		slices.Sort(times)
		for name, share := range map[string]int{"p50-µs": 50, "p95-µs": 95, "p99-µs": 99} {
			b.ReportMetric(float64(times[len(times)*share/100].Microseconds()), name)
		}
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
