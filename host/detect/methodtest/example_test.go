package methodtest_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/detect/methodtest"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Fade asks the classifier about a paler version of an input.
type Fade struct {
	Share float64 `yaml:"share" check:"> 0, < 1" doc:"of each number that stays"`
}

func (f Fade) Make(detect.Parts) (detect.Opinion, error) { return fade{float32(f.Share)}, nil }
func (Fade) Scores() ([]string, detect.FusionRule)       { return []string{"distance"}, detect.NoFusion }

type fade struct{ share float32 }

func (fade) Form() detect.Form                    { return detect.Form{Rebuilt: 1} }
func (fade) Params() []*nn.Param                  { return nil }
func (f fade) NewPass(*kernel.Engine) detect.Pass { return f }

func (f fade) Forward(s *detect.Second, x, _ *tensor.Tensor) {
	for i, v := range x.Data {
		s.Rebuilt.Data[i] = f.share * v
	}
}

func (f fade) Backward(dx *tensor.Tensor, d *detect.Second, _, _ *tensor.Tensor) {
	for i, v := range d.Rebuilt.Data {
		dx.Data[i] += f.share * v
	}
}

// Distance is Σ_c (ln P − ln Q)², a score for the test.
type Distance struct{}

func (Distance) Score(dst []float64, e detect.Evidence) {
	for i := range dst {
		dst[i] = 0
		for c, p := range e.LogP.Row(i) {
			d := float64(p) - float64(e.LogQ.Row(i)[c])
			dst[i] += d * d
		}
	}
}

func (Distance) ScoreGrad(g detect.Cotangents, e detect.Evidence, weight []float64) {
	for i, w := range weight {
		for c, p := range e.LogP.Row(i) {
			d := float32(2 * w * (float64(p) - float64(e.LogQ.Row(i)[c])))
			g.LogP.Row(i)[c] += d
			g.LogQ.Row(i)[c] -= d
		}
	}
}

// The whole test of a detection method. A program that has builtin's scores
// gives scores.Table() in place of a table of its own.
func ExampleRun() {
	var t *testing.T // what go test hands to TestConformance
	methodtest.Run(t, Fade{Share: .9}, conformance)
}

var conformance = methodtest.Case{
	Input:  tensor.Shape{4},
	Scores: registry.NewTable("score", registry.Entry[detect.Score]{Name: "distance", Default: Distance{}, Doc: "of log-probabilities"}),
}
