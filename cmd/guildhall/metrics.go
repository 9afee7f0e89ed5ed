package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"guildhall/handlers"
	"guildhall/market"
	"guildhall/store"
)

// meters is what an operator can watch. Labels are words of the program, never
// of its users: no names, ids or paths as they were asked for.
type meters struct {
	all       *prometheus.Registry
	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	settled   prometheus.Counter
	failures  prometheus.Counter
}

func newMeters(s *store.Store) *meters {
	m := &meters{all: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "guildhall_http_requests_total",
			Help: "Requests answered, by pattern of the route, method and class of the status."}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "guildhall_http_request_duration_seconds",
			Help: "Time to answer, without streams.", Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"route", "method"}),
		settled: prometheus.NewCounter(prometheus.CounterOpts{Name: "guildhall_sweep_items_total",
			Help: "Tasks, payouts and cases whose clock ran out that this node has settled."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "guildhall_sweep_failures_total",
			Help: "Sweeps of this node that could not settle everything."}),
	}
	m.all.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewDBStatsCollector(s.DB().DB, "guildhall"), m.requests, m.durations, m.settled, m.failures, books{s})
	return m
}

// served counts a request.
func (m *meters) served(r handlers.Served) {
	m.requests.WithLabelValues(r.Route, r.Method, strconv.Itoa(r.Status/100)+"xx").Inc()
	if !r.Stream {
		m.durations.WithLabelValues(r.Route, r.Method).Observe(r.Took.Seconds())
	}
}

// swept counts a sweep.
func (m *meters) swept(n int, err error) {
	m.settled.Add(float64(n))
	if err != nil {
		m.failures.Inc()
	}
}

// books asks the database, once a scrape, for what is the same on all nodes.
type books struct{ store *store.Store }

var (
	auditOK = prometheus.NewDesc("guildhall_audit_ok",
		"Whether the last audit, of any node, found the books whole: 1 or 0. Absent before the first.", nil, nil)
	auditSuccess = prometheus.NewDesc("guildhall_audit_last_success_timestamp_seconds",
		"When the last audit was that found the books whole.", nil, nil)
	auditEntries = prometheus.NewDesc("guildhall_audit_entries",
		"Ledger lines that the last audit added up.", nil, nil)
	feedHeld = prometheus.NewDesc("guildhall_feed_held_seconds",
		"For how long the oldest transaction has been writing that event feeds wait for; 0 if none is.", nil, nil)
	sweepLag = prometheus.NewDesc("guildhall_sweep_lag_seconds",
		"For how long the oldest thing is due that no sweep has settled yet; 0 if nothing is.", nil, nil)
)

// Describe implements prometheus.Collector.
func (b books) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{auditOK, auditSuccess, auditEntries, sweepLag, feedHeld} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read is left out, so
// that an alert on its absence fires.
func (b books) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	gauge := func(d *prometheus.Desc, v float64) { to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v) }
	last, whole, err := b.store.LastAudit(ctx)
	switch {
	case errors.Is(err, market.ErrNotFound):
	case err != nil:
		to <- prometheus.NewInvalidMetric(auditOK, err)
	default:
		ok := 0.0
		if last.Findings == 0 {
			ok = 1
		}
		gauge(auditOK, ok)
		gauge(auditEntries, float64(last.Transfers))
		if !whole.IsZero() {
			gauge(auditSuccess, float64(whole.UnixMicro())/1e6)
		}
	}
	lag, err := b.store.Lag(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(sweepLag, err)
		return
	}
	gauge(sweepLag, lag.Seconds())
	held, err := b.store.FeedHeld(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(feedHeld, err)
		return
	}
	gauge(feedHeld, held.Seconds())
}

// metricsListener is the address of the metrics, apart from the site's.
type metricsListener struct{ net.Listener }

// listenForMetrics opens the address, if one is configured.
func listenForMetrics(ctx context.Context, c config) (metricsListener, error) {
	if c.metricsAddr == "" {
		return metricsListener{}, nil
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.metricsAddr)
	if err != nil {
		return metricsListener{}, fmt.Errorf("listen on %s: %w; choose another address with --metrics-addr", c.metricsAddr, err)
	}
	return metricsListener{l}, nil
}

func (l metricsListener) on() bool { return l.Listener != nil }

func (l metricsListener) close() {
	if l.on() {
		l.Close()
	}
}

// serve answers /metrics, and nothing else, until ctx ends.
func (l metricsListener) serve(ctx context.Context, m *meters, logger *slog.Logger) {
	log := slog.NewLogLogger(logger.Handler(), slog.LevelError)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.all, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError,
		ErrorLog: log, MaxRequestsInFlight: 4, Timeout: 10 * time.Second}))
	server := &http.Server{Handler: mux, ErrorLog: log, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 20 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		logger.Error("metrics", "error", err)
	}
}
