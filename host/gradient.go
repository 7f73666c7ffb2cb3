package host

import (
	"context"
	"errors"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/sdk"
)

// gradientSource stands before a classifier that lacks the gradients that the
// spec asks for; nil if it has them. events receives what it does.
func (e *Experiment) gradientSource(ctx context.Context, cl sdk.Classifier, events func(gradient.Event)) (*gradient.Source, error) {
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	if !gradient.Needed(e.Spec.Classifier.Gradient.Kind, info) {
		return nil, nil
	}
	o := e.gradientOptions()
	rows, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		return nil, err
	}
	o.Train, o.Events = rows.X, events
	if e.Spec.Data.Validation != nil {
		held, err := e.Rows(dataset.RoleValidation)
		if err != nil {
			return nil, err
		}
		o.Validation = held.X
	}
	return gradient.New(ctx, cl, o)
}

// gradientOptions are those of the spec, without rows.
func (e *Experiment) gradientOptions() gradient.Options {
	return gradient.Options{Section: e.Spec.Classifier.Gradient, Layers: e.c.Surrogate, Seed: e.Spec.Seed, Threads: e.o.Threads}
}

// gradientEvents turns a source's events into progress, the log and
// events.jsonl.
func (e *Experiment) gradientEvents(event func(kind string, fields map[string]any) error) func(gradient.Event) {
	return func(g gradient.Event) {
		fields := map[string]any{"queries": g.Queries.Total(), "queries_for_gradients": g.Queries.Gradients}
		if g.Message != "" {
			fields["message"] = g.Message
			if g.Warning {
				e.o.logger().Warn(g.Message)
			} else {
				e.o.logger().Info(g.Message)
			}
		}
		metrics := map[string]float64{"queries": float64(g.Queries.Total())}
		if f := g.Fidelity; f != nil {
			metrics["agreement"], metrics["kl"] = f.Agreement, f.KL
			fields["agreement"], fields["kl"], fields["held_out"] = f.Agreement, f.KL, f.N
		}
		if f := g.Rebuilt; f != nil {
			fields["agreement_rebuilt"], fields["kl_rebuilt"] = f.Agreement, f.KL
		}
		switch g.Stage {
		case gradient.StageAsk, gradient.StageFit:
			e.o.progress(Progress{Stage: string(g.Stage), Done: g.Done, Total: g.Total, Ended: g.Done == g.Total, Metrics: metrics})
			return
		case gradient.StageRefit:
			fields["epoch"] = g.Epoch
		case gradient.StageChosen:
			if g.Fidelity != nil {
				e.o.progress(Progress{Stage: "fidelity", Done: 1, Total: 1, Ended: true, Metrics: metrics})
			}
		}
		_ = event(string(g.Stage), fields)
	}
}

// settleSource ends a source's training. One that nothing has needed is closed,
// unless the spec asks for its gradients by name: for attacks.
func (e *Experiment) settleSource(ctx context.Context, s *gradient.Source) (*gradient.Source, error) {
	if s == nil {
		return nil, nil
	}
	if kind := e.Spec.Classifier.Gradient.Kind; kind != gradient.Auto && kind != gradient.Exact {
		if err := s.Prepare(ctx); err != nil {
			return s, err
		}
	}
	if s.Report().Kind == "" {
		return nil, s.Close()
	}
	s.Freeze()
	return s, nil
}

// reopenSource is the gradient of a saved detector; nil if it is the
// classifier's own.
func (e *Experiment) reopenSource(ctx context.Context, cl sdk.Classifier, saved *artifact.Detector) (*gradient.Source, error) {
	if saved.Meta.Gradient == nil {
		return nil, nil
	}
	return gradient.Reopen(ctx, cl, e.gradientOptions(), *saved.Meta.Gradient, saved.Gradient())
}

// Model is the classifier as attacks see it: with the gradients of its Source
// where it has none of its own.
func (d *Detector) Model() sdk.Classifier { return modelOf(d.Classifier, d.Gradient) }

func modelOf(cl sdk.Classifier, s *gradient.Source) sdk.Classifier {
	if s != nil {
		return s
	}
	return cl
}

// closeSource joins the error of closing a source that may be nil.
func closeSource(s *gradient.Source, err error) error {
	if s == nil {
		return err
	}
	return errors.Join(err, s.Close())
}

// gradientReport says where gradients come from; nil: from the classifier.
func (d *Detector) gradientReport() *gradient.Report {
	if d.Gradient == nil {
		return nil
	}
	r := d.Gradient.Report()
	return &r
}
