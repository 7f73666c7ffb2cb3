package watch

import "github.com/prometheus/client_golang/prometheus"

// Count adds a counter of things that had one of several outcomes, which are counted
// elsewhere: name is without vaeguard_ and ends in _total, now gives them by outcome.
func (b *Board) Count(name, help string, now func() map[string]int64) {
	b.metrics.registry.MustRegister(outcomes{desc(name, help, "outcome"), now})
}

// outcomes are counted elsewhere.
type outcomes struct {
	desc *prometheus.Desc
	now  func() map[string]int64
}

// Describe implements prometheus.Collector.
func (o outcomes) Describe(ch chan<- *prometheus.Desc) { ch <- o.desc }

// Collect implements prometheus.Collector.
func (o outcomes) Collect(ch chan<- prometheus.Metric) {
	for outcome, n := range o.now() {
		ch <- prometheus.MustNewConstMetric(o.desc, prometheus.CounterValue, float64(n), outcome)
	}
}
