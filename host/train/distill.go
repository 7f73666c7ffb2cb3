package train

import (
	"context"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Distill trains Options.Student to predict what the classifier predicts, by
// Predict alone: it minimises KL(P_T ‖ D(x)). Setup gives temperature and
// clip. Otherwise it is as Run; metrics see P and the student's Q, and those
// that compare inputs are refused.
func Distill(ctx context.Context, o Options) (*Result, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	switch {
	case o.Student == nil || o.Classifier == nil:
		return nil, errors.New("distillation needs a student and a classifier")
	case o.Harden != nil:
		return nil, errors.New("train.harden is for auto-encoders, not for method distillation")
	case !o.Train.Example().Equal(o.Student.Input):
		return nil, fmt.Errorf("training rows are %v, the student takes %v", o.Train.Example(), o.Student.Input)
	}
	p, err := newPupil(ctx, &o)
	if err != nil {
		return nil, err
	}
	return newLoop(&o, p).run(ctx)
}

// pupil trains a student.
type pupil struct {
	o       *Options
	kl      *Divergence
	setup   Setup // for metrics: logits on both sides
	metrics []NamedMetric
	p, valP *tensor.Tensor // log-probabilities, once
	factors rowWeights     // of class_weight

	net, val *nn.Workspace
	pRows    view
	dy       view
	rows     []float64
	weights  []float64 // of a batch
}

func newPupil(ctx context.Context, o *Options) (*pupil, error) {
	batch := min(o.BatchSize, o.Train.N())
	p := &pupil{o: o, kl: NewDivergence(sdk.Logits, o.Setup.Temperature, o.Setup.Clip), setup: o.Setup}
	p.setup.Output = sdk.Logits
	p.setup.plain = NewDivergence(sdk.Logits, 1, 0)
	for _, m := range o.metrics() {
		if !m.Metric.UsesClassifier() {
			return nil, fmt.Errorf("train.log_metrics: %s compares inputs with reconstructions, which method distillation does not have", m.Name)
		}
	}
	p.metrics = add(own(), o.metrics())
	if err := p.consult(ctx); err != nil {
		return nil, err
	}
	if n := p.p.Stride(); n != o.Student.Classes {
		return nil, fmt.Errorf("the classifier has %d classes, the student %d", n, o.Student.Classes)
	}
	p.net = nn.NewWorkspace(o.Engine, o.Student.Net, batch, nn.Training)
	p.pRows, p.dy = newView(batch, p.p.Example()), newView(batch, p.p.Example())
	p.rows, p.weights = make([]float64, batch), make([]float64, batch)
	if o.Validation != nil {
		p.val = nn.NewWorkspace(o.Engine, o.Student.Net, batch, nn.Inference)
	}
	return p, nil
}

// consult asks the classifier once for each row.
func (p *pupil) consult(ctx context.Context) error {
	o := p.o
	cl, err := newClassifier(ctx, o.Classifier, o.Engine, nil, 0)
	if err != nil {
		return err
	}
	report := func(done, of int) {
		if o.Events != nil {
			o.Events(Event{Stage: StagePredict, Epochs: o.Epochs, Step: done, Steps: of})
		}
	}
	size := max(o.BatchSize, 256)
	if p.p, _, err = cl.table(ctx, o.Train, size, report); err != nil {
		return err
	}
	logarithm(p.p, cl.Info().Output)
	if o.Validation != nil {
		if p.valP, _, err = cl.table(ctx, dataset.InMemory(o.Validation), size, func(int, int) {}); err != nil {
			return err
		}
		logarithm(p.valP, cl.Info().Output)
	}
	p.factors, err = o.weigh(ctx, p.p, p.valP)
	return err
}

// logarithm turns outputs into log-probabilities, which are logits.
func logarithm(out *tensor.Tensor, kind sdk.OutputKind) {
	l := make([]float64, out.Stride())
	for i := range out.N() {
		row := out.Row(i)
		oracle.LogProbabilities(l, row, kind, 1)
		for j, v := range l {
			row[j] = float32(v)
		}
	}
}

func (p *pupil) params() []*nn.Param { return p.o.Student.Params() }

func (p *pupil) reports() []NamedMetric { return p.metrics }

func (p *pupil) underflows() int { return 0 }

func (p *pupil) differentiates() bool { return false }

// step implements learner.
func (p *pupil) step(_ context.Context, b *batch, g *nn.Grads, values []float64) error {
	n := len(b.rows)
	p.net.Draw = nn.Draw{Seed: p.o.Seed ^ streamLayers, Step: uint64(b.step), Examples: b.examples}
	p.net.ParamsOnly = true
	s := Step{X: b.x, Q: p.o.Student.Net.Forward(p.net, b.x), P: p.pRows.of(n)}
	for i, r := range b.rows {
		copy(s.P.Row(i), p.p.Row(r))
		if f := p.factors.train; f != nil {
			p.weights[i] = f[r]
			s.Weights = p.weights[:n]
		}
	}
	dy := p.dy.of(n)
	clear(dy.Data)
	p.measure(&s, dy, values, 1)
	p.o.Student.Net.Backward(p.net, dy, g)
	return nil
}

// measure adds share times loss and metrics; the loss's gradient goes to dy
// unless it is nil. The weights of s are factors of class_weight.
func (p *pupil) measure(s *Step, dy *tensor.Tensor, values []float64, share float64) {
	n := s.N()
	for i := range n {
		var d []float32
		if dy != nil {
			d = dy.Row(i)
		}
		w := 1 / float64(n)
		if s.Weights != nil {
			w *= s.Weights[i]
		}
		kl, _ := p.kl.Row(s.P.Row(i), s.Q.Row(i), d, w)
		if s.Weights == nil {
			values[0] += share * kl / float64(n)
		} else {
			values[0] += share * kl * w
		}
	}
	for j, m := range p.metrics {
		rows := p.rows[:n]
		m.Metric.Rows(rows, s, p.setup)
		for _, v := range rows {
			values[1+j] += share * v / float64(n)
		}
	}
}

// validate implements learner.
func (p *pupil) validate(_ context.Context, values []float64) error {
	clear(values)
	x := p.o.Validation
	for lo := 0; lo < x.N(); lo += p.val.Batch() {
		hi := min(lo+p.val.Batch(), x.N())
		s := Step{X: x.Rows(lo, hi), P: p.valP.Rows(lo, hi)}
		s.Q = p.o.Student.Net.Forward(p.val, s.X)
		if f := p.factors.validation; f != nil {
			s.Weights = f[lo:hi]
		}
		p.measure(&s, nil, values, float64(hi-lo)/float64(x.N()))
	}
	return nil
}
