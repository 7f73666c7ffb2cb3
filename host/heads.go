package host

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
)

// heads are the softmax heads on hidden layers that the spec asks for: random
// projections, or ones trained to predict the class.
func (e *Experiment) heads(ctx context.Context, cl sdk.Classifier, info sdk.Info) ([]oracle.Head, error) {
	out := make([]oracle.Head, 0, len(e.Spec.Detector.HiddenLayers))
	var trained []oracle.Head // share their kernels with out
	for i, h := range e.Spec.Detector.HiddenLayers {
		features := 0
		var names []string
		for _, l := range info.Hidden {
			names = append(names, l.Name)
			if l.Name == h.Name {
				features = l.Shape.Size()
			}
		}
		if features == 0 {
			return nil, e.Spec.Errorf(fmt.Sprintf("detector.hidden_layers[%d].name", i), "the classifier has no hidden layer %q; it has %v", h.Name, names)
		}
		units := h.Units
		if h.Trained() {
			units = info.NumClasses
		}
		head := oracle.Head{Name: h.Name, Weight: h.Weight, Kernel: oracle.DrawHead(e.Spec.Seed, h.Name, features, units)}
		if h.Trained() {
			trained = append(trained, head)
		}
		out = append(out, head)
	}
	if len(trained) == 0 {
		return out, nil
	}
	rows, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		return nil, err
	}
	k, err := kernel.New(kernel.Options{Threads: e.o.Threads})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return out, train.FitHeads(ctx, k, cl, rows.X, trained, e.Spec.Seed)
}
