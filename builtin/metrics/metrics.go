// Package metrics holds the quantities that train.log_metrics names. Two of them
// are the trainer's own.
package metrics

import (
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
)

// Table lists the metrics.
func Table() registry.Table[train.Metric] {
	return registry.NewTable("metric",
		registry.Entry[train.Metric]{Name: "mse", Default: &MSE{}, Doc: "Mean squared error of the reconstruction, in the input's units."},
		registry.Entry[train.Metric]{Name: "mae", Default: &MAE{}, Doc: "Mean absolute error of the reconstruction, in the input's units."},
		registry.Entry[train.Metric]{Name: train.NameKL, Default: &train.KL{}, Doc: "KL(P ‖ Q) between the classifier's predictions on an input and on its reconstruction, in nats; no temperature, no clip."},
		registry.Entry[train.Metric]{Name: "reverse_kl", Default: &ReverseKL{}, Doc: "KL(Q ‖ P), in nats."},
		registry.Entry[train.Metric]{Name: train.NameAccuracy, Default: &train.Accuracy{}, Doc: "Fraction of inputs whose reconstruction is predicted as the same class."},
		registry.Entry[train.Metric]{Name: "confidence", Default: &Confidence{}, Doc: "Mean probability of the class predicted on the reconstruction."},
	)
}

// MSE is the mean over features of (x − x')².
type MSE struct{}

// MAE is the mean over features of |x − x'|.
type MAE struct{}

// ReverseKL is KL(Q ‖ P) in nats.
type ReverseKL struct{}

// Confidence is max Q.
type Confidence struct{}

var _ train.Gain = (*Confidence)(nil)

// UsesClassifier implements train.Metric.
func (*MSE) UsesClassifier() bool { return false }

// UsesClassifier implements train.Metric.
func (*MAE) UsesClassifier() bool { return false }

// UsesClassifier implements train.Metric.
func (*ReverseKL) UsesClassifier() bool { return true }

// UsesClassifier implements train.Metric.
func (*Confidence) UsesClassifier() bool { return true }

// LargerIsBetter implements train.Gain.
func (*Confidence) LargerIsBetter() bool { return true }

// Rows implements train.Metric.
func (*MSE) Rows(dst []float64, s *train.Step, _ train.Setup) {
	errors(dst, s, func(t float64) float64 { return t * t })
}

// Rows implements train.Metric.
func (*MAE) Rows(dst []float64, s *train.Step, _ train.Setup) { errors(dst, s, math.Abs) }

func errors(dst []float64, s *train.Step, f func(float64) float64) {
	for i := range dst {
		sum := 0.0
		y := s.Rebuilt.Row(i)
		for j, v := range s.X.Row(i) {
			sum += f(float64(v) - float64(y[j]))
		}
		dst[i] = sum / float64(len(y))
	}
}

// Rows implements train.Metric.
func (*ReverseKL) Rows(dst []float64, s *train.Step, setup train.Setup) {
	d := setup.KL()
	for i := range dst {
		dst[i], _ = d.Row(s.Q.Row(i), s.P.Row(i), nil, 0)
	}
}

// Rows implements train.Metric.
func (*Confidence) Rows(dst []float64, s *train.Step, setup train.Setup) {
	var lq []float64
	for i := range dst {
		q := s.Q.Row(i)
		if setup.Output == sdk.Probabilities {
			dst[i] = float64(q[oracle.Argmax(q)])
			continue
		}
		if lq == nil {
			lq = make([]float64, len(q))
		}
		oracle.LogProbabilities(lq, q, setup.Output, 1)
		dst[i] = math.Exp(lq[oracle.Argmax(q)])
	}
}
