package cluster

import (
	"log/slog"
	"time"
)

// Options configure a cluster.
type Options struct {
	// Dir is Guildhall's data directory; the cluster lives in Dir/postgres.
	Dir string

	// Logger is told what happens to the server; nil discards.
	Logger *slog.Logger

	// Fast switches fsync, synchronous_commit and full_page_writes off. A
	// crash of the machine then loses or spoils data: for tests only.
	Fast bool

	// MaxConnections is the server's max_connections; 0 means 100.
	MaxConnections int

	tune tuning
}

// tuning is what tests change; the zero value of each field means the default.
type tuning struct {
	search     search        // where binaries are looked for
	initSpace  uint64        // bytes that must be free to make a cluster
	startSpace uint64        // bytes that must be free to start a server
	answer     time.Duration // how long a server may stay silent
	grace      time.Duration // how long an immediate shutdown may take
	slow       time.Duration // the pace of restarts after the first few
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = 100
	}
	t := &o.tune
	if t.search.path == "" {
		t.search = machine()
	}
	if t.initSpace == 0 {
		t.initSpace = 200 << 20
	}
	if t.startSpace == 0 {
		t.startSpace = 32 << 20
	}
	if t.answer == 0 {
		t.answer = 20 * time.Second
	}
	if t.grace == 0 {
		t.grace = 8 * time.Second // the server itself gives its processes 5
	}
	if t.slow == 0 {
		t.slow = 15 * time.Second
	}
	return o
}
