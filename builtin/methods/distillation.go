package methods

import (
	"context"
	"errors"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Distillation compares the classifier with a student, a network that is
// trained on its predictions alone (alibi-detect's ModelDistillation).
type Distillation struct {
	Student *Student `yaml:"student" required:"true" doc:"the network of method distillation"`
}

// Student is a network distilled from the classifier.
type Student struct {
	Layers  []nn.Maker `yaml:"layers" kind:"layer" required:"true" doc:"without the final dense layer"`
	Weights string     `yaml:"weights" format:"path" doc:"a safetensors file for these layers and the final one: student.0.kernel, student.output.bias"`
}

// Make implements detect.Method.
func (m Distillation) Make(p detect.Parts) (detect.Opinion, error) {
	if m.Student == nil {
		return nil, errors.New("detector.student is missing")
	}
	s, err := vae.BuildStudent(p.Input, m.Student.Layers, max(2, p.Classes), p.Seed)
	if err != nil {
		return nil, err
	}
	return &student{s}, nil
}

// Scores implements detect.Method.
func (Distillation) Scores() ([]string, detect.FusionRule) { return []string{"kl"}, detect.NoFusion }

// Check implements detect.Checker.
func (m Distillation) Check(_ *vae.Section, training *train.Section) registry.FieldErrors {
	if _, file := m.Weights(); training != nil || file != "" {
		return nil
	}
	return registry.FieldErrors{{Key: "detector.method", Message: "distillation needs a section train: nothing says how the student is trained"}}
}

// Weights implements detect.Weighted.
func (m Distillation) Weights() (key, file string) {
	if m.Student != nil {
		file = m.Student.Weights
	}
	return "detector.student.weights", file
}

// Title implements detect.Titled.
func (Distillation) Title() string { return "ModelDistillation" }

// student is the opinion of a student.
type student struct{ s *vae.Student }

var (
	_ detect.Fitter    = (*student)(nil)
	_ detect.Described = (*student)(nil)
)

// Form implements detect.Opinion.
func (*student) Form() detect.Form { return detect.Form{Logits: true} }

// InputShape is that of one example.
func (o *student) InputShape() tensor.Shape { return o.s.Input }

// Params implements detect.Opinion.
func (o *student) Params() []*nn.Param { return o.s.Params() }

// Describe implements detect.Described.
func (o *student) Describe() []nn.LayerInfo { return o.s.Describe() }

// Fit implements detect.Fitter.
func (o *student) Fit(ctx context.Context, s *train.Section, t train.Options) (*train.Result, error) {
	if s == nil {
		return nil, errors.New("there is no section train: nothing says how the student is trained")
	}
	t.Student = o.s
	return train.Distill(ctx, t)
}

// NewPass implements detect.Opinion.
func (o *student) NewPass(e *kernel.Engine) detect.Pass {
	return studying{o.s.NewRunner(e, batchRows)}
}

// batchRows is how many rows a student takes at once.
const batchRows = 128

type studying struct{ r *vae.Runner }

// Forward implements detect.Pass.
func (p studying) Forward(s *detect.Second, x, _ *tensor.Tensor) {
	blocks(x.N(), func(lo, hi int) {
		copy(s.Logits.Rows(lo, hi).Data, p.r.Forward(x.Rows(lo, hi)).Data)
	})
}

// Backward implements detect.Pass.
func (p studying) Backward(dx *tensor.Tensor, d *detect.Second, x, _ *tensor.Tensor) {
	blocks(x.N(), func(lo, hi int) {
		p.r.Forward(x.Rows(lo, hi))
		add(dx.Rows(lo, hi).Data, p.r.Backward(d.Logits.Rows(lo, hi)).Data)
	})
}

// blocks calls f over [0, n) in steps of batchRows.
func blocks(n int, f func(lo, hi int)) {
	for lo := 0; lo < n; lo += batchRows {
		f(lo, min(lo+batchRows, n))
	}
}

func add(dst, src []float32) {
	for i, v := range src {
		dst[i] += v
	}
}

// Graph implements detect.GraphedOpinion.
func (o *student) Graph(b *graph.Builder, x graph.Value, _ *tensor.Tensor) detect.GraphedSecond {
	return detect.GraphedSecond{Logits: o.s.Graph(b, x)}
}
