package watch

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// metrics are the counts for Prometheus. Labels are names of the server's own, never
// what a client writes: models, versions, ways in, outcomes, classes.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec   // model, way, outcome
	seconds  *prometheus.HistogramVec // model, way
	queue    *prometheus.HistogramVec // model
	batch    *prometheus.HistogramVec // model
	rows     *prometheus.CounterVec   // model, verdict
	classes  *prometheus.CounterVec   // model, class, verdict
	extra    *prometheus.CounterVec   // model
	p        *prometheus.HistogramVec // model
	score    *prometheus.HistogramVec // model
	similar  *prometheus.CounterVec   // model
	alarms   *prometheus.CounterVec   // model, kind
	refusals *prometheus.HistogramVec // way
	info     *prometheus.GaugeVec
}

// maxClasses are counted one by one; of models with more, none is.
const maxClasses = 100

func newMetrics(b *Board) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "vaeguard", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "vaeguard", Name: name, Help: help, Buckets: buckets}, labels)
	}
	fast := prometheus.ExponentialBuckets(0.0005, 2, 15) // to 8 s
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: counter("requests_total", "Requests by the way they came and what became of them.", "model", "way", "outcome"),
		seconds:  histogram("request_seconds", "From a request to its answer.", fast, "model", "way"),
		queue:    histogram("queue_seconds", "From a request to the start of its batch.", fast, "model"),
		batch:    histogram("batch_rows", "Rows of the batch that a request was judged in.", prometheus.ExponentialBuckets(1, 2, 11), "model"),
		rows:     counter("rows_total", "Rows by verdict: clean or flagged.", "model", "verdict"),
		classes:  counter("class_rows_total", "Rows by predicted class and verdict.", "model", "class", "verdict"),
		extra:    counter("extra_rows_total", "Rows that the classifier was asked for on top of its users' own.", "model"),
		p:        histogram("p_value", "Conformal p-values: flat while inputs are like the calibration rows.", prometheus.LinearBuckets(1./pBuckets, 1./pBuckets, pBuckets), "model"),
		score:    histogram("score_ratio", "Scores divided by the threshold.", []float64{0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 30, 100}, "model"),
		similar:  counter("similar_rows_total", "Rows that are near-duplicates of earlier ones of the same client.", "model"),
		refusals: histogram("refusal_seconds", "From the headers of a request that found no room or no model to its refusal, written: 429 and 503, RESOURCE_EXHAUSTED and UNAVAILABLE.", []float64{0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1}, "way"),
		alarms:   counter("alarms_total", "Alarms: drift of the inputs, similar rows of a client, and clients who are refused for them.", "model", "kind"),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "vaeguard", Name: "detector_info", Help: "1 for the detector that a model is."},
			[]string{"model", "version", "detector", "classifier", "vaeguard"}),
	}
	for _, c := range []prometheus.Collector{m.requests, m.seconds, m.queue, m.batch, m.rows, m.classes, m.extra, m.p, m.score, m.similar, m.alarms, m.refusals, m.info,
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsScheduler)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), gauges{b}} {
		m.registry.MustRegister(c)
	}
	return m
}

// observe counts one request.
func (m *metrics) observe(s *state, e judge.Event) {
	m.requests.WithLabelValues(s.name, e.Request.Way, outcome(e.Err)).Inc()
	m.seconds.WithLabelValues(s.name, e.Request.Way).Observe(e.Took.Seconds())
	r := e.Result
	if r == nil {
		return
	}
	m.queue.WithLabelValues(s.name).Observe(e.Queued.Seconds())
	m.batch.WithLabelValues(s.name).Observe(float64(e.Batch))
	m.extra.WithLabelValues(s.name).Add(float64(e.Extra))
	for i, flagged := range r.Adversarial {
		verdict := "clean"
		if flagged {
			verdict = "flagged"
		}
		m.rows.WithLabelValues(s.name, verdict).Inc()
		if len(s.classes) <= maxClasses {
			m.classes.WithLabelValues(s.name, s.class(r.Predicted[i]), verdict).Inc()
		}
		if r.PValue != nil {
			m.p.WithLabelValues(s.name).Observe(r.PValue[i])
		}
		if s.threshold > 0 {
			m.score.WithLabelValues(s.name).Observe(r.Score[i] / s.threshold)
		}
	}
}

// Refused notes how long a refusal took, of a request that came by http or grpc.
func (b *Board) Refused(way string, took time.Duration) {
	b.metrics.refusals.WithLabelValues(way).Observe(took.Seconds())
}

// Metrics answers Prometheus.
func (b *Board) Metrics() http.Handler {
	return promhttp.HandlerFor(b.metrics.registry, promhttp.HandlerOpts{Registry: b.metrics.registry, EnableOpenMetrics: true})
}

// Counted is a model that counts by itself: a *judge.Guard.
type Counted interface{ Counters() judge.Counters }

// Reloading are models that count how often others took their places.
type Reloading interface {
	EachReloads(f func(model string, done, refused int64))
}

// Follow adds what the models of a server count by themselves, and who is ready.
func (b *Board) Follow(m judge.Models) { b.metrics.registry.MustRegister(following{m}) }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("vaeguard_"+name, help, labels, nil)
}

// gauges are what the board knows at the moment.
type gauges struct{ b *Board }

var (
	martingaleDesc = desc("martingale_log10", "Test martingale against inputs being like the calibration rows: 3 is a false-alarm probability of 0.0011.", "model")
	promisedDesc   = desc("flag_rate_promised", "Share of clean rows that is flagged, as calibrated.", "model")
	similarDesc    = desc("similar_clients", "Clients who ask about nearly the same input again and again.", "model")
)

// Describe implements prometheus.Collector.
func (gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{martingaleDesc, promisedDesc, similarDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range g.b.sorted() {
		s.mu.Lock()
		log10 := s.martingale.Log10()
		s.mu.Unlock()
		gauge(martingaleDesc, log10, s.name)
		gauge(similarDesc, float64(len(s.clients.names())), s.name)
		if !math.IsNaN(s.promised) {
			gauge(promisedDesc, s.promised, s.name)
		}
	}
}

// following are the counters of guards and the state of models.
type following struct{ models judge.Models }

var (
	readyDesc    = desc("model_ready", "1: the model answers.", "model", "version")
	waitingDesc  = desc("waiting_rows", "Rows that wait to be judged.", "model")
	shedDesc     = desc("shed_requests_total", "Requests refused for want of time or room.", "model")
	limitedDesc  = desc("limited_requests_total", "Requests refused because their client has used its share.", "model")
	awayDesc     = desc("away_requests_total", "Requests that found the classifier away.", "model")
	restartsDesc = desc("classifier_restarts_total", "Starts of the classifier's process after its first.", "model")
	reloadsDesc  = desc("reloads_total", "Versions that were opened beside the one in use, by what became of them: done, they took its place; refused, it stayed.", "model", "outcome")
	skippedDesc  = desc("skipped_requests_total", "Requests that nobody waited for and that were not judged, by the reason.", "model", "reason")
)

// Describe implements prometheus.Collector.
func (following) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{readyDesc, waitingDesc, shedDesc, limitedDesc, awayDesc, restartsDesc, skippedDesc, reloadsDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f following) Collect(ch chan<- prometheus.Metric) {
	for _, st := range f.models.List() {
		ready := 0.0
		if st.Ready {
			ready = 1
		}
		ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready, st.Name, st.Version)
	}
	if r, ok := f.models.(Reloading); ok {
		r.EachReloads(func(model string, done, refused int64) {
			ch <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(done), model, "done")
			ch <- prometheus.MustNewConstMetric(reloadsDesc, prometheus.CounterValue, float64(refused), model, "refused")
		})
	}
	seen := make(map[string]bool)
	for _, st := range f.models.List() {
		if seen[st.Name] { // whether it is ready or not: what is away is counted too
			continue
		}
		seen[st.Name] = true
		f.collect(ch, st.Name)
	}
}

func (f following) collect(ch chan<- prometheus.Metric, name string) {
	m, done, err := f.models.Lease(name, "")
	if err != nil {
		return
	}
	defer done()
	counted, ok := m.(Counted)
	if !ok {
		return
	}
	c := counted.Counters()
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), append([]string{name}, labels...)...)
	}
	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(c.Waiting+c.Batching), name)
	count(shedDesc, c.Shed)
	count(limitedDesc, c.Limited)
	count(awayDesc, c.Away)
	count(restartsDesc, int64(c.Restarts))
	count(skippedDesc, c.Sampled, "sample")
	count(skippedDesc, c.Budgeted, "budget")
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func className(names []string, c int) string {
	if c < len(names) {
		return names[c]
	}
	return strconv.Itoa(c)
}

// unname forgets what a model was.
func (m *metrics) unname(s *state) {
	m.info.DeletePartialMatch(prometheus.Labels{"model": s.name})
}

// name says what a model is, once for each version.
func (m *metrics) name(s *state, d *host.Detector) {
	m.unname(s)
	m.info.WithLabelValues(s.name, s.version, s.digest, d.Info().Digest, host.Version()).Set(1)
}
