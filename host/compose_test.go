package host_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/builtin/methods"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// onCurve are rows of six features in [0, 1] that lie near a curve.
func onCurve(n, from int) *tensor.Tensor {
	x := tensor.New(n, 6)
	for i := range n {
		t := float32((i*37+from)%1009) / 1009
		copy(x.Row(i), []float32{t, 1 - t, t * t, (1 - t) * (1 - t), 2 * t * (1 - t), .5})
	}
	return x
}

// composed are parts of a small guard.
func composed() host.Parts {
	hidden := layers.NewDense(5)
	hidden.Activation = nn.Activation{Name: "relu"}
	return host.Parts{
		Name: "composed", Seed: 3,
		VAE:    &vae.Section{LatentDim: 2, Encoder: []nn.Maker{hidden}, Decoder: []nn.Maker{hidden, layers.NewDense(6)}},
		Method: methods.VAE{Samples: 3},
		Train:  train.Section{Epochs: 3, BatchSize: 32},
	}
}

func model() *sdktest.Fake { return &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5} }

// fitted is a guard of parts around a model, calibrated.
func fitted(t *testing.T, p host.Parts, m sdk.Classifier) *host.Detector {
	t.Helper()
	e, err := host.Compose(p, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.Fit(t.Context(), m, onCurve(256, 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	rate := .1
	if _, err := d.Calibrate(t.Context(), onCurve(99, 500), detect.Rule{FPR: &rate}); err != nil {
		t.Fatal(err)
	}
	return d
}

func scores(t *testing.T, d *host.Detector) []float64 {
	t.Helper()
	r, err := d.Detect(t.Context(), onCurve(40, 711))
	if err != nil {
		t.Fatal(err)
	}
	return r.Score
}

// reversed is a loss of no table.
type reversed struct{ losses.MSE }

// What was built, fitted and calibrated without a file is a detector as any other:
// saved, it opens with its model and gives the same bits.
func TestComposedGuardIsSaved(t *testing.T) {
	for _, c := range []struct {
		name     string
		change   func(*host.Parts)
		training bool // that the spec cannot say
	}{
		{"vae", func(*host.Parts) {}, false},
		{"own loss", func(p *host.Parts) { p.Train.Loss = &reversed{} }, true},
		{"layers by shape", func(p *host.Parts) { p.VAE = nil }, false},
		{"ae", func(p *host.Parts) { p.Method, p.VAE.LatentDim = methods.AE{}, 5 }, false},
		{"fused scores", func(p *host.Parts) { p.Method, p.VAE.LatentDim = methods.MagNet{}, 5 }, false},
		{"further keys", func(p *host.Parts) { p.Change = func(s *host.Spec) { s.Detector.Temperature = 2 } }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := composed()
			section := *p.VAE
			p.VAE = &section
			c.change(&p)
			d := fitted(t, p, model())
			if d.History == nil || d.History[len(d.History)-1].Epoch != 3 {
				t.Errorf("history %+v", d.History)
			}
			dir := filepath.Join(t.TempDir(), "guard")
			if err := d.Save(t.Context(), dir); err != nil {
				t.Fatal(err)
			}
			meta := d.Saved.Meta
			if meta.Classifier.Lent != "Go *sdktest.Fake" || meta.Data["train"] == "" || meta.Data["calibration"] == "" || meta.Health == nil || d.Saved.Canaries == nil {
				t.Errorf("meta %+v", meta)
			}
			if (meta.Training != nil) != c.training {
				t.Errorf("training %+v", meta.Training)
			}
			if c.training && (meta.Training.Loss != "Go *host_test.reversed" || meta.Training.Optimizer != "adam" || strings.Contains(string(d.Saved.Spec), "train:")) {
				t.Errorf("training %+v in\n%s", meta.Training, d.Saved.Spec)
			}
			opened, err := host.Open(dir, builtin.Components(), host.OpenOptions{Model: model()})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = opened.Close() })
			if a, b := scores(t, d), scores(t, opened); !slices.Equal(a, b) {
				t.Errorf("scores %v, opened %v", a, b)
			}
			if same, err := opened.CheckCanaries(t.Context()); !same || err != nil {
				t.Errorf("canaries: %t, %v", same, err)
			}
			if _, err := opened.InferThreshold(t.Context(), onCurve(50, 3), 90); err != nil {
				t.Fatal(err)
			}
			again := filepath.Join(t.TempDir(), "again")
			if err := opened.Save(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			if saved, err := artifact.Load(again); err != nil || saved.State.Threshold.Value != opened.Threshold().Value {
				t.Errorf("saved again: %v, %v", saved, err)
			}
		})
	}
}

// The same parts, seed and rows give the same bits.
func TestComposedGuardHasTheSameBits(t *testing.T) {
	a, b := scores(t, fitted(t, composed(), model())), scores(t, fitted(t, composed(), model()))
	if !slices.Equal(a, b) {
		t.Errorf("%v, then %v", a, b)
	}
	p := composed()
	p.Seed++
	if slices.Equal(a, scores(t, fitted(t, p, model()))) {
		t.Error("another seed gives the same scores")
	}
}

// A detector of a program's model is refused where that is missing, or is another.
func TestComposedGuardWantsItsModel(t *testing.T) {
	d := fitted(t, composed(), model())
	dir := filepath.Join(t.TempDir(), "guard")
	if err := d.Save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	_, err := host.Open(dir, builtin.Components())
	var l *launch.Error
	if !errors.As(err, &l) || !strings.Contains(err.Error(), "host.OpenOptions.Model") || !strings.Contains(err.Error(), "--classifier plugin=onnx") {
		t.Errorf("without a model: %v", err)
	}
	for name, m := range map[string]*sdktest.Fake{
		"weights": {Shape: tensor.Shape{6}, Classes: 3, Seed: 6},
		"classes": {Shape: tensor.Shape{6}, Classes: 4, Seed: 5},
	} {
		d, err := host.Open(dir, builtin.Components(), host.OpenOptions{Model: m})
		if err == nil || !strings.Contains(err.Error(), "was made for another classifier") {
			t.Errorf("another model, by its %s: %v", name, err)
		}
		if err == nil {
			_ = d.Close()
		}
	}
	if err := d.Save(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "it exists") {
		t.Errorf("saved twice: %v", err)
	}
}

// crooked is a layer of no table.
type crooked struct{ layers.Dense }

// Parts are checked as a file is.
func TestComposeFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*host.Parts)
		want   string
	}{
		{"batch", func(p *host.Parts) { p.Train.BatchSize = -1 }, "train.batch_size: must be >= 1"},
		{"layer", func(p *host.Parts) { p.VAE.Decoder = []nn.Maker{crooked{layers.NewDense(6)}} }, `unknown layer "crooked"`},
		{"code", func(p *host.Parts) { p.VAE.LatentDim = -2 }, "vae.latent_dim: must be >= 0"},
		{"two models", func(p *host.Parts) { p.Classifier = launch.Section{Plugin: "onnx", Path: "x"} }, "classifier"},
		{"further keys", func(p *host.Parts) {
			p.Change = func(s *host.Spec) { s.Detector.ProbabilityClip = 2 }
		}, "detector.probability_clip: must be >= 0 and < 1, got 2"},
	} {
		p := composed()
		section := *p.VAE
		p.VAE = &section
		c.change(&p)
		_, err := host.Compose(p, builtin.Components(), host.Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) || len(spec.Faults(err)) == 0 {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	e, err := host.Compose(composed(), builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]*tensor.Tensor{"none": nil, "empty": tensor.New(0, 6), "width": tensor.New(9, 7)} {
		if d, err := e.Fit(t.Context(), model(), x, nil); err == nil {
			t.Errorf("rows %s: no error", name)
			_ = d.Close()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Fit(ctx, model(), onCurve(64, 0), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// opaque is a model without gradients.
type opaque struct{ f *sdktest.Fake }

func (o opaque) Info(ctx context.Context) (sdk.Info, error) {
	info, err := o.f.Info(ctx)
	info.Gradient, info.Hidden, info.Differentiate = sdk.NoGradient, nil, false
	return info, err
}

func (o opaque) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return o.f.Predict(ctx, x)
}

// A model that has no gradients gets a stand-in, which is saved with the detector.
func TestComposedGuardOfAModelWithoutGradients(t *testing.T) {
	d := fitted(t, composed(), opaque{model()})
	if d.Gradient == nil {
		t.Fatal("there is no source of gradients")
	}
	dir := filepath.Join(t.TempDir(), "guard")
	if err := d.Save(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	opened, err := host.Open(dir, builtin.Components(), host.OpenOptions{Model: opaque{model()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }()
	if a, b := scores(t, d), scores(t, opened); !slices.Equal(a, b) {
		t.Errorf("scores %v, opened %v", a, b)
	}
}

// Without a model of the program, the guard is around the one that is named.
func TestComposedGuardOfAPlugin(t *testing.T) {
	p := composed()
	net := filepath.Join(t.TempDir(), "net.onnx")
	if err := os.WriteFile(net, []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Classifier = launch.Section{Plugin: "onnx", Config: map[string]any{"model": net}}
	e, err := host.Compose(p, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var fault *launch.Error
	if _, err := e.Fit(t.Context(), nil, onCurve(64, 0), nil); !errors.As(err, &fault) || fault.Plugin != "onnx" {
		t.Errorf("a broken file: %v", err)
	}
}
