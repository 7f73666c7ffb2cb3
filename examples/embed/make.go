package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/builtin/methods"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// build makes a guard around a model of this program, without a file: it builds,
// trains, calibrates and saves it in dir, and opens and uses what was saved.
func build(ctx context.Context, dir string, w io.Writer) (err error) {
	components := builtin.Components()
	digits, err := components.Datasets.Lookup("digits")
	if err != nil {
		return err
	}
	rows, err := digits.Load("")
	if err != nil {
		return err
	}
	model := learn(rows.X.Rows(0, 1000), rows.Labels[:1000])

	relu := func(units int) nn.Maker {
		d := layers.NewDense(units)
		d.Activation = nn.Activation{Name: "relu"}
		return d
	}
	e, err := host.Compose(host.Parts{
		Name: "digits", Seed: 1,
		VAE: &vae.Section{
			LatentDim: 16,
			Encoder:   []nn.Maker{relu(128), relu(64)},
			Decoder:   []nn.Maker{relu(64), relu(128), layers.NewDense(64)},
		},
		Method: methods.VAE{Samples: 2},
		Train: train.Section{
			Loss: sharp{.1}, Epochs: 30, BatchSize: 32,
			Harden: &train.Harden{Norm: "linf", Eps: .2, Steps: 2, Through: "guard", Weight: .5},
		},
	}, components, host.Options{Progress: func(p host.Progress) {
		if p.Stage == host.StageDetector && p.Ended {
			fmt.Fprintf(w, "epoch %2d  loss %.3f\n", p.Epoch, p.Metrics["loss"])
		}
	}})
	if err != nil {
		return err
	}
	made, err := e.Fit(ctx, model, rows.X.Rows(0, 1000), nil)
	if err != nil {
		return err
	}
	rate := .05
	t, err := made.Calibrate(ctx, rows.X.Rows(1000, 1400), detect.Rule{FPR: &rate}) // or InferThreshold(ctx, x, 95)
	if err == nil {
		fmt.Fprintf(w, "threshold %.4f: score %d of %d\n", t.Value, t.Rank, t.N)
		err = made.Save(ctx, dir)
	}
	if err := errors.Join(err, made.Close()); err != nil {
		return err
	}

	d, err := host.Open(dir, components, host.OpenOptions{Model: model}) // the model is not in the folder
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	clean := rows.X.Rows(1400, 1797)
	attacked, err := model.attack(ctx, clean)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		x    *tensor.Tensor
	}{{"clean", clean}, {"attacked", attacked}} {
		r, err := d.Detect(ctx, c.x)
		if err != nil {
			return err
		}
		flagged := 0
		for _, f := range r.Adversarial {
			if f {
				flagged++
			}
		}
		fmt.Fprintf(w, "%-8s  %3d of %d flagged\n", c.name, flagged, len(r.Adversarial))
	}
	return nil
}

// sharp is a loss of this program: vaeguard's own, and Weight times the mean over rows
// of Σ|x − x'|.
type sharp struct{ Weight float64 }

// Make implements train.Loss.
func (l sharp) Make(s train.Setup) (train.Objective, error) {
	inner, err := (&losses.Adversarial{WModel: 1, CovELBO: losses.DefaultCovariance()}).Make(s)
	return sharpened{inner, l.Weight}, err
}

type sharpened struct {
	train.Objective
	weight float64
}

// Loss implements train.Objective: it adds its gradient where there is room for it.
func (l sharpened) Loss(s *train.Step) float64 {
	loss := l.Objective.Loss(s)
	for i := range s.N() {
		w := l.weight * s.Weight(i)
		for j, x := range s.UnitX.Row(i) {
			d := float64(s.UnitRebuilt.Row(i)[j] - x)
			loss += w * math.Abs(d)
			if s.DUnitRebuilt != nil && d != 0 {
				s.DUnitRebuilt.Row(i)[j] += float32(math.Copysign(w, d))
			}
		}
	}
	return loss
}
