package onnx_test

import (
	"context"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// scoresTolerance is what ONNX Runtime's answers may differ by, which couples
// pairwise probabilities in float32 and stops early.
const scoresTolerance = 5e-5

// pipelines are exports of scikit-learn: what they answer, and whether with a
// gradient.
var pipelines = map[string]struct {
	output   sdk.OutputKind
	gradient sdk.GradientKind
}{
	"select": {sdk.Logits, sdk.ExactGradient}, "polynomial": {sdk.Logits, sdk.ExactGradient}, "imputer": {sdk.Logits, sdk.ExactGradient},
	"columns": {sdk.Logits, sdk.ExactGradient}, "bins": {sdk.Logits, sdk.ExactGradient}, "power": {sdk.Logits, sdk.ExactGradient},
	"onehot": {sdk.Logits, sdk.NoGradient}, "ordinal": {sdk.Logits, sdk.NoGradient}, "binarizer": {sdk.Logits, sdk.NoGradient},
	"calibrated": {sdk.Probabilities, sdk.ExactGradient}, "rest": {sdk.Probabilities, sdk.ExactGradient},
	"svc_radial": {sdk.Probabilities, sdk.ExactGradient}, "svc_binary": {sdk.Probabilities, sdk.ExactGradient},
	"svc_polynomial": {sdk.Probabilities, sdk.ExactGradient}, "svc_linear": {sdk.Probabilities, sdk.ExactGradient},
	"svc_sigmoid": {sdk.Probabilities, sdk.ExactGradient}, "svc_votes": {sdk.Logits, sdk.ExactGradient},
}

// TestPipelines compares with ONNX Runtime.
func TestPipelines(t *testing.T) {
	files, err := filepath.Glob("testdata/pipelines/*.onnx")
	if err != nil || len(files) != len(pipelines)+1 {
		t.Fatalf("%d models, want %d and one that is refused: %v", len(files), len(pipelines), err)
	}
	for name, want := range pipelines {
		t.Run(name, func(t *testing.T) {
			c := configured(t, `{"model": "pipelines/`+name+`.onnx"}`)
			info, err := c.Info(context.Background())
			if err != nil || info.Validate() != nil || info.Output != want.output || info.Gradient != want.gradient || !info.BatchInvariant {
				t.Errorf("%v, gradient %v, invariant %v, want %v, %v (%v, %v)", info.Output, info.Gradient, info.BatchInvariant, want.output, want.gradient, err, info.Validate())
			}
			all := floatsOf(t, "testdata/pipelines/"+name+".bin")
			x, scores := tensor.From(all[:48], 12, 4), all[48:]
			y, err := c.Predict(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			if info.Output == sdk.Logits && name != "svc_votes" {
				for i := range y.N() {
					softmax(y.Row(i))
				}
			}
			if len(y.Data) != len(scores) {
				t.Fatalf("%v scores, want %d", y.Shape, len(scores))
			}
			if d := worst(y.Data, scores); !(d <= scoresTolerance) {
				t.Errorf("scores are off by %.2g", d)
			}
		})
	}
	err = onnx.New().(sdk.Configurable).Configure(context.Background(), sdk.Config{JSON: []byte(`{"model": "pipelines/svc_pairs.onnx"}`), BaseDir: "testdata"})
	if err == nil || !strings.Contains(err.Error(), "decisions between pairs of its 3 classes") {
		t.Errorf("decisions of pairs: %v", err)
	}
}

func floatsOf(t *testing.T, file string) []float32 {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]float32, len(b)/4)
	for i := range all {
		all[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return all
}

// opsetTolerance is what answers may differ from ONNX Runtime's by.
const opsetTolerance = 1e-5

// TestOpsets compares one model for each opset with ONNX Runtime.
func TestOpsets(t *testing.T) {
	files, err := filepath.Glob("testdata/opsets/*.onnx")
	if err != nil || len(files) != 18 {
		t.Fatalf("%d models, want those of opsets 7 to 24: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		t.Run(name, func(t *testing.T) {
			c := configured(t, `{"model": "opsets/`+name+`.onnx"}`)
			all := floatsOf(t, "testdata/opsets/"+name+".bin")
			x := tensor.From(all[:216], 3, 2, 6, 6)
			y, err := c.Predict(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			if d := worst(y.Data, all[216:]); !(d <= opsetTolerance) {
				t.Errorf("answers are off by %.2g", d)
			}
		})
	}
}
