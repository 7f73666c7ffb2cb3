package oip

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// output is one that models have.
type output struct {
	name     string
	datatype tensors.Datatype
	extra    bool // only on request
	has      func(d *host.Detector) bool
	row      func(d *host.Detector) tensor.Shape // shape of one row; nil: a number
	of       func(r *detect.Result) tensors.Tensor
}

// outputs are all of them, in the order of an answer.
func outputs() []output {
	always := func(*host.Detector) bool { return true }
	whole := func(name string, values func(r *detect.Result) []int) output {
		return output{name: name, datatype: tensors.Int64, has: always, of: func(r *detect.Result) tensors.Tensor {
			list := values(r)
			out := make([]int64, len(list))
			for i, v := range list {
				out[i] = int64(v)
			}
			return tensors.FromInt64s(name, []int64{int64(len(list))}, out)
		}}
	}
	float := func(name string, has func(*host.Detector) bool, values func(r *detect.Result) []float64) output {
		return output{name: name, datatype: tensors.FP64, has: has, of: func(r *detect.Result) tensors.Tensor {
			list := values(r)
			return tensors.FromFloat64s(name, []int64{int64(len(list))}, list)
		}}
	}
	rows := func(name string, has func(*host.Detector) bool, row func(*host.Detector) tensor.Shape, values func(r *detect.Result) *tensor.Tensor) output {
		return output{name: name, datatype: tensors.FP32, extra: true, has: has, row: row, of: func(r *detect.Result) tensors.Tensor {
			x := values(r)
			return tensors.FromFloat32s(name, dims(x.Shape), x.Data)
		}}
	}
	radius := float("certified_radius", func(d *host.Detector) bool { return d.Certifies() == nil }, func(r *detect.Result) []float64 { return r.CertifiedRadius })
	radius.extra = true
	return []output{
		whole("is_adversarial", func(r *detect.Result) []int {
			out := make([]int, len(r.Adversarial))
			for i, flagged := range r.Adversarial {
				if flagged {
					out[i] = 1
				}
			}
			return out
		}),
		float("instance_score", always, func(r *detect.Result) []float64 { return r.Score }),
		float("p_value", func(d *host.Detector) bool { return d.State().Scores != nil }, func(r *detect.Result) []float64 { return r.PValue }),
		whole("predicted", func(r *detect.Result) []int { return r.Predicted }),
		whole("reconstructed", func(r *detect.Result) []int { return r.Reconstructed }),
		whole("corrected", func(r *detect.Result) []int { return r.Corrected }),
		rows("probabilities", always,
			func(d *host.Detector) tensor.Shape { return tensor.Shape{d.Info().NumClasses} },
			func(r *detect.Result) *tensor.Tensor { return r.Probabilities }),
		rows("reconstruction",
			func(d *host.Detector) bool { return d.Options().Opinion.Form().Code > 0 },
			func(d *host.Detector) tensor.Shape { return d.InputShape() },
			func(r *detect.Result) *tensor.Tensor { return r.Reconstruction }),
		radius,
	}
}

func dims(s tensor.Shape) []int64 {
	out := make([]int64, len(s))
	for i, n := range s {
		out[i] = int64(n)
	}
	return out
}

// of are the outputs that a detector has.
func outputsOf(d *host.Detector) []output {
	return slices.DeleteFunc(outputs(), func(o output) bool { return !o.has(d) })
}

// choose are the outputs that a request wants.
func choose(d *host.Detector, wanted []tensors.Output) ([]output, error) {
	have := outputsOf(d)
	if len(wanted) == 0 {
		return slices.DeleteFunc(have, func(o output) bool { return o.extra }), nil
	}
	var names []string
	for _, o := range have {
		names = append(names, o.name)
	}
	out := make([]output, 0, len(have))
	for _, w := range wanted {
		i := slices.Index(names, w.Name)
		if i < 0 {
			return nil, &judge.InputError{Err: fmt.Errorf("output %s: there is no such output among %v", tensors.Quote(w.Name), names)}
		}
		if slices.ContainsFunc(out, func(o output) bool { return o.name == w.Name }) {
			return nil, &judge.InputError{Err: fmt.Errorf("output %s is wanted twice", tensors.Quote(w.Name))}
		}
		if w.Parameters["shared_memory_region"] != nil {
			return nil, &judge.InputError{Err: errors.New("outputs are not written to shared memory here")}
		}
		out = append(out, have[i])
	}
	return out, nil
}

// include is what a detector has to be asked for.
func include(wanted []output) detect.Include {
	var i detect.Include
	for _, o := range wanted {
		switch o.name {
		case "probabilities":
			i.Probabilities = true
		case "reconstruction":
			i.Reconstruction = true
		case "certified_radius":
			i.CertifiedRadius = true
		}
	}
	return i
}

// write are the outputs of a result.
func write(r *detect.Result, wanted []output) []tensors.Tensor {
	out := make([]tensors.Tensor, len(wanted))
	for i, o := range wanted {
		out[i] = o.of(r)
	}
	return out
}
