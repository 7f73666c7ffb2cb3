package losses

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
)

// Adversarial is the loss of the adversarial auto-encoders: WModel times the
// divergence KL(P_T ‖ Q) between the classifier's predictions on an input and
// on its reconstruction, plus the hidden layers' divergences, plus WRecon
// times a reconstruction term (Vacanti and Van Looveren 2020,
// arXiv:2002.09364).
//
// The reconstruction term is −log N(x; x', Σ), or, with train.recon mse, the
// mean squared error times the ratio of the standard deviations of the
// divergence (over rows) and of the squared error (over elements). The ratio
// is held constant in the gradient.
type Adversarial struct {
	WModel  float64    `yaml:"w_model" check:">= 0" doc:"weight of the divergence of predictions"`
	WRecon  float64    `yaml:"w_recon" check:">= 0" doc:"weight of the reconstruction term"`
	CovELBO Covariance `yaml:"cov_elbo" doc:"covariance of the reconstruction term: {sim: σ}, {cov_diag: {floor: σ}} or {cov_full: {shrinkage: s}}; null: none"`
}

var _ train.Loss = (*Adversarial)(nil)

// Validate implements registry.Validator.
func (a *Adversarial) Validate() error {
	if a.WModel == 0 && a.WRecon == 0 {
		return fmt.Errorf("w_model and w_recon are both 0: nothing to learn from")
	}
	return nil
}

// Make implements train.Loss.
func (a *Adversarial) Make(s train.Setup) (train.Objective, error) {
	o := &adversarial{
		a: *a, setup: s,
		kl:     train.NewDivergence(s.Output, s.Temperature, s.Clip),
		hidden: train.NewDivergence(sdk.Logits, 1, s.Clip),
	}
	if a.WRecon > 0 && s.Recon != "mse" {
		var err error
		if o.gauss, err = a.CovELBO.fit(s); err != nil {
			return nil, err
		}
	}
	return o, nil
}

var _ train.Rowwise = (*adversarial)(nil)

type adversarial struct {
	a          Adversarial
	setup      train.Setup
	kl, hidden *train.Divergence
	gauss      *gaussian // nil: none, or mean squared error
	rows       []float64
}

// UsesClassifier implements train.Objective.
func (o *adversarial) UsesClassifier() bool {
	return o.a.WModel > 0 || o.a.WRecon > 0 && o.setup.Recon == "mse"
}

// Loss implements train.Objective.
func (o *adversarial) Loss(s *train.Step) float64 {
	total := 0.0
	if o.UsesClassifier() {
		total = o.model(s)
	}
	switch {
	case o.a.WRecon == 0:
	case o.gauss != nil:
		total += o.gauss.loss(s, o.a.WRecon*elboScale(o.setup.SumELBO, s))
	default:
		mse, deviation := squaredError(s)
		factor := o.a.WRecon * deviationOf(o.rows[:s.N()]) / (deviation + 1e-10)
		total += factor * mse
		squaredErrorGrad(s, factor)
	}
	return total
}

// model is the weighted divergence of predictions and hidden layers; it leaves
// the rows' plain divergences in o.rows.
func (o *adversarial) model(s *train.Step) float64 {
	n := s.N()
	if len(o.rows) < n {
		o.rows = make([]float64, n)
	}
	total := 0.0
	for i := range n {
		w := o.a.WModel * s.Weight(i)
		var dq []float32
		if s.DQ != nil {
			dq = s.DQ.Row(i)
		}
		kl, under := o.kl.Row(s.P.Row(i), s.Q.Row(i), dq, w)
		o.rows[i] = kl
		total += w * kl
		if under {
			s.Underflows++
		}
	}
	for h, q := range s.HiddenQ {
		for i := range n {
			w := o.setup.HiddenWeights[h] * s.Weight(i)
			var dq []float32
			if s.DHiddenQ != nil {
				dq = s.DHiddenQ[h].Row(i)
			}
			kl, _ := o.hidden.Row(s.HiddenP[h].Row(i), q.Row(i), dq, w)
			total += w * kl
		}
	}
	return total
}

// OutputGradient implements train.Rowwise.
func (o *adversarial) OutputGradient(s *train.Step) {
	for i := range s.N() {
		o.kl.Row(s.P.Row(i), s.Q.Row(i), s.DQ.Row(i), o.a.WModel*s.Weight(i))
	}
}

// deviationOf is the biased standard deviation.
func deviationOf(v []float64) float64 {
	mean, sum := 0.0, 0.0
	for _, x := range v {
		mean += x
	}
	mean /= float64(len(v))
	for _, x := range v {
		sum += (x - mean) * (x - mean)
	}
	return math.Sqrt(sum / float64(len(v)))
}
