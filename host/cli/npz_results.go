package cli

import (
	"encoding/json"
	"io"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// npzResults gathers columns as NumPy arrays; a row that could not be scored
// has is_adversarial −1, labels −1 and NaN scores.
type npzResults struct {
	w    io.Writer
	meta resultMeta

	flag, predicted, reconstructed, corrected []int64
	score, p                                  []float64
	include                                   map[string]*column
	order                                     []string
}

type column struct {
	shape tensor.Shape
	data  []float32
}

func (o *npzResults) Batch(_ int, r *detect.Result) error {
	for i, f := range r.Adversarial {
		flag := int64(0)
		if f {
			flag = 1
		}
		o.add(flag, int64(r.Predicted[i]), int64(r.Reconstructed[i]), int64(r.Corrected[i]), orNaN(r.Score, i), orNaN(r.PValue, i))
	}
	o.keep("probabilities", r.Probabilities)
	o.keep("probabilities_reconstructed", r.ProbabilitiesReconstructed)
	o.keep("reconstruction", r.Reconstruction)
	o.keep("latent", r.Latent)
	return nil
}

func (o *npzResults) add(flag, predicted, reconstructed, corrected int64, score, p float64) {
	o.flag = append(o.flag, flag)
	o.predicted, o.reconstructed, o.corrected = append(o.predicted, predicted), append(o.reconstructed, reconstructed), append(o.corrected, corrected)
	o.score, o.p = append(o.score, score), append(o.p, p)
}

func orNaN(v []float64, i int) float64 {
	if v == nil {
		return math.NaN()
	}
	return v[i]
}

func (o *npzResults) keep(name string, t *tensor.Tensor) {
	if t == nil {
		return
	}
	if o.include == nil {
		o.include = map[string]*column{}
	}
	c := o.include[name]
	if c == nil {
		c = &column{shape: t.Example().Clone()}
		for range (len(o.flag) - t.N()) * c.shape.Size() { // bad rows before the first good one
			c.data = append(c.data, float32(math.NaN()))
		}
		o.include[name] = c
		o.order = append(o.order, name)
	}
	c.data = append(c.data, t.Data...)
}

func (o *npzResults) Bad(int, error) error {
	o.add(-1, -1, -1, -1, math.NaN(), math.NaN())
	for _, c := range o.include {
		for range c.shape.Size() {
			c.data = append(c.data, float32(math.NaN()))
		}
	}
	return nil
}

func (o *npzResults) Close() error {
	n := tensor.Shape{len(o.flag)}
	arrays := []dataset.Array{
		{Name: "is_adversarial", Shape: n, Data: o.flag}, {Name: "instance_score", Shape: n, Data: o.score}, {Name: "p_value", Shape: n, Data: o.p},
		{Name: "predicted", Shape: n, Data: o.predicted}, {Name: "reconstructed", Shape: n, Data: o.reconstructed}, {Name: "corrected", Shape: n, Data: o.corrected},
	}
	for _, name := range o.order {
		c := o.include[name]
		rows := 0
		if s := c.shape.Size(); s > 0 {
			rows = len(c.data) / s
		}
		arrays = append(arrays, dataset.Array{Name: name, Shape: append(tensor.Shape{rows}, c.shape...), Data: c.data})
	}
	meta, err := json.Marshal(o.meta)
	if err != nil {
		return err
	}
	arrays = append(arrays, dataset.Array{Name: "meta", Data: string(meta)})
	return dataset.WriteNPZ(o.w, arrays)
}
