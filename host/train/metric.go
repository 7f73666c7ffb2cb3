package train

import (
	"slices"

	"github.com/vaeguard/vaeguard/host/oracle"
)

// Metric is a quantity that training reports in addition to the loss. It is a
// component without options.
type Metric interface {
	// UsesClassifier reports whether Rows reads P and Q.
	UsesClassifier() bool
	// Rows writes one number per row; what is reported is their weighted mean.
	Rows(dst []float64, s *Step, setup Setup)
}

// Gain is a Metric for which larger is better: early stopping without a mode
// looks for its largest value, and for the smallest of others.
type Gain interface {
	Metric
	// LargerIsBetter reports whether larger values are better.
	LargerIsBetter() bool
}

// NamedMetric is a metric and the name under which it is reported.
type NamedMetric struct {
	Name   string
	Metric Metric
}

// The names of the metrics that training reports by itself.
const (
	NameKL       = "kl"
	NameAccuracy = "accuracy"
)

// own are the metrics that are reported wherever the classifier is asked,
// whether they are asked for or not.
func own() []NamedMetric { return []NamedMetric{{NameKL, KL{}}, {NameAccuracy, Accuracy{}}} }

// add appends metrics, except those whose name is there already.
func add(list, more []NamedMetric) []NamedMetric {
	for _, m := range more {
		if !slices.ContainsFunc(list, func(n NamedMetric) bool { return n.Name == m.Name }) {
			list = append(list, m)
		}
	}
	return list
}

// KL is KL(P ‖ Q) in nats between the classifier's predictions on an input and
// on its reconstruction: no temperature, no clip.
type KL struct{}

// UsesClassifier implements Metric.
func (KL) UsesClassifier() bool { return true }

// Rows implements Metric.
func (KL) Rows(dst []float64, s *Step, setup Setup) {
	d := setup.KL()
	for i := range dst {
		dst[i], _ = d.Row(s.P.Row(i), s.Q.Row(i), nil, 0)
	}
}

// Accuracy is 1 where the reconstruction is predicted like the input.
type Accuracy struct{}

var _ Gain = Accuracy{}

// UsesClassifier implements Metric.
func (Accuracy) UsesClassifier() bool { return true }

// LargerIsBetter implements Gain.
func (Accuracy) LargerIsBetter() bool { return true }

// Rows implements Metric.
func (Accuracy) Rows(dst []float64, s *Step, _ Setup) {
	for i := range dst {
		dst[i] = 0
		if oracle.Argmax(s.P.Row(i)) == oracle.Argmax(s.Q.Row(i)) {
			dst[i] = 1
		}
	}
}
