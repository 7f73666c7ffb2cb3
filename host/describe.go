package host

import (
	"fmt"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Describe lists the layers of the spec's auto-encoder or student. Without
// data at hand the shape of an example is that of the decoder's end.
func (e *Experiment) Describe() ([]nn.LayerInfo, error) {
	in, classes := e.Spec.inputShape(e.Spec.Document, e.c)
	return e.DescribeFor(in, classes)
}

// DescribeFor is Describe for examples of a shape; nil if it is not known.
func (e *Experiment) DescribeFor(in tensor.Shape, classes int) ([]nn.LayerInfo, error) {
	s := e.Spec
	if s.Detector.Method == "distillation" && s.Detector.Student != nil {
		if in == nil || classes == 0 {
			return nil, s.Errorf("data", "the shape of the data is not known")
		}
		st, err := vae.BuildStudent(in, s.Detector.Student.Layers, classes, s.Seed)
		if err != nil {
			return nil, placeError(s.Document, err)
		}
		return st.Describe(), nil
	}
	if s.Detector.Method == "max_softmax" || s.Detector.Method == "feature_squeezing" {
		return nil, nil
	}
	if s.VAE == nil {
		return nil, s.Errorf("detector.method", "%s needs a section vae", s.Detector.Method)
	}
	if in == nil {
		var err error
		if in, err = s.decoderShape(); err != nil {
			return nil, err
		}
	}
	m, err := vae.Build(vae.Options{Section: *s.VAE, Input: in, Method: method(s)}, s.Seed)
	if err != nil {
		return nil, placeError(s.Document, err)
	}
	return m.Describe(), nil
}

// decoderShape is the shape that the decoder ends in, which must be the input's.
func (s *Spec) decoderShape() (tensor.Shape, error) {
	seq, err := nn.Build(s.VAE.Decoder, tensor.Shape{s.VAE.LatentDim}, nn.FreshRand(s.Seed))
	if err != nil {
		return nil, placeError(s.Document, &vae.PartError{Part: "vae.decoder", Err: err})
	}
	return seq.Out(), nil
}

// Estimate is what a training would cost, by counting.
type Estimate struct {
	Steps        int           `json:"steps_per_epoch"`
	GFLOPPerStep float64       `json:"gflop_per_step"`
	Time         time.Duration `json:"time_ns"`
	MemoryMiB    int           `json:"memory_mib"`
}

// assumedGFLOPS is the arithmetic rate behind Estimate.Time: a cautious one for
// two current cores. `vaeguard bench` measures the machine's own.
const assumedGFLOPS = 150

// assumedStep is what a step costs besides: the calls of the classifier above
// all.
const assumedStep = time.Millisecond

// Estimate counts the cost of training the given layers.
func (e *Experiment) Estimate(layers []nn.LayerInfo) Estimate {
	params, flops := vae.Total(layers)
	t := e.Spec.Train
	if t == nil {
		return Estimate{}
	}
	rows := 0
	if src := e.Spec.Data.Train; src != nil {
		if h, err := dataset.ReadHeader(*src, e.Spec.Abs("."), e.c.Datasets, e.c.Formats); err == nil {
			rows = max(0, h.Rows)
		}
	}
	passes := 3.0 // forward, gradient at the input, gradient at the weights
	if t.Harden != nil {
		passes = 6 + 2*float64(t.Harden.Steps)
	}
	activations := 0
	for _, l := range layers {
		activations += l.Out.Size()
	}
	out := Estimate{
		Steps:        (rows + t.BatchSize - 1) / t.BatchSize,
		GFLOPPerStep: passes * float64(flops) * float64(t.BatchSize) / 1e9,
		MemoryMiB:    (4*4*params + 3*4*activations*t.BatchSize + 1<<20 - 1) >> 20,
	}
	step := time.Duration(out.GFLOPPerStep/assumedGFLOPS*float64(time.Second)) + assumedStep
	out.Time = step * time.Duration(out.Steps*t.Epochs)
	out.Time = out.Time.Round(10 * time.Millisecond)
	if out.Time > 10*time.Second {
		out.Time = out.Time.Round(time.Second)
	}
	return out
}

// String is one line.
func (e Estimate) String() string {
	return fmt.Sprintf("%d steps an epoch, %.3g GFLOP each, about %s", e.Steps, e.GFLOPPerStep, e.Time)
}
