package scores

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var shape = tensor.Shape{8, 8, 1}

func model(t *testing.T, seed uint64) *vae.Model {
	t.Helper()
	conv := layers.NewConv2D(6, 3)
	conv.Strides, conv.Padding = nn.Pair{2, 2}, "same"
	norm, err := vae.NewNormalizer([]float64{0.4}, []float64{0.3}, shape)
	if err != nil {
		t.Fatal(err)
	}
	m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 5, Encoder: []nn.Maker{conv, layers.NewConv2D(4, 2)}, Decoder: []nn.Maker{layers.NewDense(64), layers.Reshape{TargetShape: []int{8, 8, 1}}, conv1()}}, Input: shape, Normalizer: norm}, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func conv1() nn.Maker {
	c := layers.NewConv2D(1, 3)
	c.Padding = "same"
	return c
}

func images(seed uint64, n int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 3))
	x := tensor.Batch(n, shape)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	return x
}

// guard is a whole detector: convolutions, normalisation, hidden heads and two
// fused scores.
func guard(t *testing.T, m *vae.Model, threads int, state detect.State) (*detect.Detector, detect.Options) {
	t.Helper()
	o := detect.Options{
		Classifier: &sdktest.Fake{Shape: shape, Classes: 6, Seed: 3},
		Opinion:    detect.Sampling(detect.FromVAE(m), 3), Noise: detect.DrawNoise(7, 3, 5), Threads: threads, State: state,
		Scores: []detect.NamedScore{{Name: "ce_top", Score: &CETop{}}, {Name: "kl", Score: &KL{Hidden: true}}},
		Fusion: detect.Cauchy, Temperature: 0.8, Seed: 2,
		Hidden: []oracle.Head{{Name: sdktest.FakeHidden, Weight: 1, Kernel: oracle.DrawHead(7, sdktest.FakeHidden, 8, 20)}},
	}
	d, err := detect.New(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d, o
}

// A detector that was saved and loaded says the same, bit by bit, whatever the
// batch and the number of threads.
func TestSavedDetectorScoresBitEqual(t *testing.T) {
	ctx := context.Background()
	m := model(t, 1)
	d, o := guard(t, m, 1, detect.State{})
	fpr := 0.1
	if _, err := d.Calibrate(ctx, images(1, 80), detect.Rule{FPR: &fpr}); err != nil {
		t.Fatal(err)
	}
	x := images(2, 70)
	want, err := d.Detect(ctx, x, detect.Include{Reconstruction: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "detector")
	saved := &artifact.Detector{Tensors: artifact.Tensors(m.Params(), artifact.Contents{Noise: o.Noise, Heads: o.Hidden}), State: d.State(),
		Meta: artifact.Meta{Classifier: artifact.ClassifierOf(d.Info())}}
	if err := artifact.Save(dir, saved, false); err != nil {
		t.Fatal(err)
	}
	loaded, err := artifact.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	other := model(t, 99)
	if err := other.Load(loaded.Weights()); err != nil {
		t.Fatal(err)
	}
	again, _ := guard(t, other, 2, loaded.State)
	if err := loaded.CheckClassifier(again.Info()); err != nil {
		t.Error(err)
	}
	for _, batch := range []int{1, 7, 64} {
		for lo := 0; lo < x.N(); lo += batch {
			hi := min(lo+batch, x.N())
			got, err := again.Detect(ctx, x.Rows(lo, hi), detect.Include{Reconstruction: true})
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Score, want.Score[lo:hi]) || !slices.Equal(got.PValue, want.PValue[lo:hi]) ||
				!slices.Equal(got.Adversarial, want.Adversarial[lo:hi]) ||
				!slices.Equal(got.Reconstruction.Data, want.Reconstruction.Rows(lo, hi).Data) {
				t.Errorf("batch %d at %d: other bits than before saving", batch, lo)
			}
		}
	}
}

// Through a real auto-encoder, too, the guard's gradient is exact. Other
// methods and outputs are tested in host/detect.
func TestGuardThroughConvolutions(t *testing.T) {
	const h, tolerance = 1e-3, 1e-2
	ctx := context.Background()
	m := model(t, 1)
	o := detect.Options{
		Classifier: &sdktest.Fake{Shape: shape, Classes: 6, Seed: 3},
		Opinion:    detect.Sampling(detect.FromVAE(m), 3), Noise: detect.DrawNoise(7, 3, 5), Threads: 1,
		Scores: []detect.NamedScore{{Name: "kl", Score: &KL{}}},
	}
	d, err := detect.New(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	g := d.Guard(detect.GuardOptions{})
	x := images(5, 2)
	_, pull, err := g.Forward(ctx, x, detect.OutputScore)
	if err != nil {
		t.Fatal(err)
	}
	dx, err := pull(ctx, map[string]*tensor.Tensor{detect.OutputScore: tensor.From([]float32{1, -2}, 2, 1)})
	if err != nil {
		t.Fatal(err)
	}
	total := func() float64 {
		s, err := d.Scores(ctx, x)
		if err != nil {
			t.Fatal(err)
		}
		return s[0] - 2*s[1]
	}
	wrong, norm := 0.0, 0.0
	for i, v := range x.Data {
		x.Data[i] = v + h
		up := total()
		x.Data[i] = v - h
		down := total()
		x.Data[i] = v
		want := (up - down) / (2 * h)
		wrong += (want - float64(dx.Data[i])) * (want - float64(dx.Data[i]))
		norm += want * want
	}
	if math.Sqrt(wrong) > tolerance*math.Sqrt(norm) {
		t.Errorf("gradient off by %g of %g", math.Sqrt(wrong), math.Sqrt(norm))
	}
}
