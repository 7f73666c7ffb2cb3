package host

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// gradientSource stands before a classifier that lacks the gradients that the
// spec asks for; nil if it has them. events hears what it does.
func (e *Experiment) gradientSource(ctx context.Context, cl sdk.Classifier, events func(gradient.Event)) (*gradient.Source, error) {
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	kind := gradient.Kind(e.Spec.Classifier.Gradient)
	if !gradient.Needed(kind, info) {
		return nil, nil
	}
	o, err := e.gradientOptions(info)
	if err != nil {
		return nil, err
	}
	rows, err := e.Rows(RoleTrain)
	if err != nil {
		return nil, err
	}
	o.Train, o.Events = rows.X, events
	if e.Spec.Data.Validation != nil {
		held, err := e.Rows(RoleValidation)
		if err != nil {
			return nil, err
		}
		o.Validation = held.X
	}
	return gradient.New(ctx, cl, o)
}

// gradientOptions are those of the spec, without rows.
func (e *Experiment) gradientOptions(info sdk.Info) (gradient.Options, error) {
	c := e.Spec.Classifier
	s := spec.DefaultSurrogate()
	if c.Surrogate != nil {
		s = *c.Surrogate
	}
	o := gradient.Options{
		Kind: gradient.Kind(c.Gradient), Noise: s.Noise, RefitEvery: s.RefitEvery, MinAgreement: s.MinAgreement,
		Epochs: s.Epochs, MaxQueries: int64(s.MaxQueries), Seed: e.Spec.Seed, Threads: e.o.Threads,
	}
	if d := c.Differences; d != nil {
		o.Step, o.Pairs = d.Step, d.Pairs
	}
	var err error
	o.Layers, err = e.surrogateLayers(s, info.InputShape, info.NumClasses)
	return o, err
}

// surrogateLayers are those of the spec or, by default, small ones that fit the
// input: two convolutions of stride 2 and a dense layer for images, two dense
// layers for features.
func (e *Experiment) surrogateLayers(s spec.Surrogate, in tensor.Shape, classes int) ([]nn.Maker, error) {
	if len(s.Layers) > 0 {
		return makers(s.Layers), nil
	}
	conv := func(filters int) layerText {
		return layerText{"conv2d", []string{"filters=" + strconv.Itoa(filters), "kernel_size=3", "strides=2", "padding=same", "activation=relu"}}
	}
	dense := func(units int) layerText {
		return layerText{"dense", []string{"units=" + strconv.Itoa(units), "activation=relu"}}
	}
	var text []layerText
	if len(in) == 3 && in[0] >= 8 && in[1] >= 8 {
		text = []layerText{conv(16), conv(32), {"flatten", nil}, dense(128)}
	} else {
		width := 64
		for width < 256 && width < 2*in.Size()+4*classes {
			width *= 2
		}
		if len(in) > 1 {
			text = append(text, layerText{"flatten", nil})
		}
		text = append(text, dense(width), dense(width/2))
	}
	var out []nn.Maker
	for _, t := range text {
		c, err := spec.ParseComponent("layer", t.name, t.set, e.c.Tables()...)
		if err != nil {
			return nil, fmt.Errorf("the surrogate's default layers need the shipped ones (%w): give classifier.surrogate.layers", err)
		}
		out = append(out, registry.As[nn.Maker](c))
	}
	return out, nil
}

// layerText is a layer as a command line would give it.
type layerText struct {
	name string
	set  []string
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
	kind := gradient.Kind(e.Spec.Classifier.Gradient)
	if kind != gradient.Auto && kind != gradient.Exact {
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
// classifier's own. What is its own is taken out of weights.
func (e *Experiment) reopenSource(ctx context.Context, cl sdk.Classifier, info sdk.Info, saved *artifact.Detector, weights map[string]*tensor.Tensor) (*gradient.Source, error) {
	own := map[string]*tensor.Tensor{}
	for name, t := range weights {
		if len(name) > len(gradient.SavedPrefix) && name[:len(gradient.SavedPrefix)] == gradient.SavedPrefix {
			own[name] = t
			delete(weights, name)
		}
	}
	if saved.Meta.Gradient == nil {
		return nil, nil
	}
	o, err := e.gradientOptions(info)
	if err != nil {
		return nil, err
	}
	return gradient.Reopen(ctx, cl, o, *saved.Meta.Gradient, own)
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
