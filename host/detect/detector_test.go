package detect

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var everything = Include{Probabilities: true, ProbabilitiesReconstructed: true, Reconstruction: true, Latent: true}

func calibrated(t *testing.T, o Options) *Detector {
	t.Helper()
	d := build(t, o)
	if _, err := d.Calibrate(context.Background(), inputs(1, 100), Rule{FPR: ptr(0.1)}); err != nil {
		t.Fatal(err)
	}
	return d
}

// The score is the mean over the stored noise of KL(P_T‖Q), computed here
// step by step.
func TestScoreIsWhatItSays(t *testing.T) {
	for _, kind := range []sdk.OutputKind{sdk.Logits, sdk.Probabilities} {
		o := options()
		fake := &sdktest.Fake{Shape: testShape, Classes: testClasses, Seed: 1, Output: kind}
		o.Classifier, o.Temperature = fake, 0.5
		d := build(t, o)
		x := inputs(2, 1)
		got, err := d.Scores(context.Background(), x)
		if err != nil {
			t.Fatal(err)
		}
		probs := func(x *tensor.Tensor, temperature float64) []float64 {
			y, err := (&sdktest.Fake{Shape: testShape, Classes: testClasses, Seed: 1}).Predict(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			p, sum := make([]float64, testClasses), 0.0
			for c, z := range y.Data {
				p[c] = math.Exp(float64(z) / temperature)
				sum += p[c]
			}
			for c := range p {
				p[c] /= sum
			}
			return p
		}
		vae := newFakeVAE(testShape, testLatent, false)
		rebuilt, _, _ := vae.NewCoder(nil, 1, testSamples).Forward(x, o.Noise)
		want, p := 0.0, probs(x, 0.5)
		for s := range testSamples {
			q := probs(rebuilt.Rows(s, s+1), 1)
			for c := range p {
				want += p[c] * math.Log(p[c]/q[c]) / testSamples
			}
		}
		if math.Abs(got[0]-want) > 1e-5*(1+want) {
			t.Errorf("%v: score %g, want %g", kind, got[0], want)
		}
	}
}

// Same input, same bits: any batch, any number of threads, any call at once.
func TestSameInputSameBits(t *testing.T) {
	ctx := context.Background()
	x := inputs(4, 150)
	o := options()
	o.Hidden = []oracle.Head{{Name: sdktest.FakeHidden, Weight: 0.5, Kernel: oracle.DrawHead(1, sdktest.FakeHidden, 8, 6)}}
	one := calibrated(t, o)
	want, err := one.Detect(ctx, x, everything)
	if err != nil {
		t.Fatal(err)
	}
	o.Threads, o.State = 2, one.State()
	two := build(t, o)
	for _, d := range []*Detector{one, two} {
		for _, batch := range []int{1, 7, 64} {
			var wg sync.WaitGroup
			for lo := 0; lo < x.N(); lo += batch {
				hi := min(lo+batch, x.N())
				wg.Go(func() {
					got, err := d.Detect(ctx, x.Rows(lo, hi), everything)
					if err != nil {
						t.Error(err)
						return
					}
					same := slices.Equal(got.Score, want.Score[lo:hi]) && slices.Equal(got.PValue, want.PValue[lo:hi]) &&
						slices.Equal(got.Corrected, want.Corrected[lo:hi]) &&
						slices.Equal(got.ProbabilitiesReconstructed.Data, want.ProbabilitiesReconstructed.Rows(lo, hi).Data) &&
						slices.Equal(got.Reconstruction.Data, want.Reconstruction.Rows(lo, hi).Data) &&
						slices.Equal(got.Latent.Data, want.Latent.Rows(lo, hi).Data)
					if !same {
						t.Errorf("batch %d at %d, %d threads: other bits", batch, lo, d.o.Threads)
					}
				})
			}
			wg.Wait()
		}
	}
}

func TestDetectFlagsAndCorrects(t *testing.T) {
	d := calibrated(t, options())
	x := inputs(6, 80)
	r, err := d.Detect(context.Background(), x, Include{})
	if err != nil {
		t.Fatal(err)
	}
	st, flagged := d.State(), 0
	for i, s := range r.Score {
		if r.Adversarial[i] != (s > st.Threshold.Value) {
			t.Errorf("row %d: score %g, threshold %g, flag %v", i, s, st.Threshold.Value, r.Adversarial[i])
		}
		want := r.Predicted[i]
		if r.Adversarial[i] {
			flagged++
			want = r.Reconstructed[i]
		}
		if r.Corrected[i] != want {
			t.Errorf("row %d: corrected %d, want %d", i, r.Corrected[i], want)
		}
		if r.Adversarial[i] != (r.PValue[i] <= 0.1+1e-12) {
			t.Errorf("row %d: p %g, flag %v", i, r.PValue[i], r.Adversarial[i])
		}
	}
	if flagged == 0 || flagged == len(r.Score) {
		t.Errorf("%d of %d flagged", flagged, len(r.Score))
	}
	if r.Probabilities != nil || r.Reconstruction != nil || r.Latent != nil {
		t.Error("parts that nobody asked for")
	}
	// A given value needs no data and gives no p-values.
	if _, err := d.Calibrate(context.Background(), nil, Rule{Value: ptr(0.5)}); err != nil {
		t.Fatal(err)
	}
	if r, err = d.Detect(context.Background(), x, Include{}); err != nil || r.PValue != nil {
		t.Errorf("p-values without calibration: %v, %v", r.PValue, err)
	}
}

func TestDetectRefuses(t *testing.T) {
	ctx := context.Background()
	d := build(t, options())
	if _, err := d.Detect(ctx, inputs(1, 1), Include{}); !errors.Is(err, ErrNoThreshold) {
		t.Errorf("no threshold: %v", err)
	}
	if _, err := d.Calibrate(ctx, inputs(1, 5), Rule{FPR: ptr(0.05)}); err == nil || !strings.Contains(err.Error(), "at least 19") {
		t.Errorf("too few rows: %v", err)
	}
	if d.State().Threshold != nil {
		t.Error("a failed calibration left a threshold")
	}
	d = calibrated(t, options())
	_, err := d.Detect(ctx, tensor.New(2, 12), Include{})
	if err == nil || !strings.Contains(err.Error(), "shape 12") || !strings.Contains(err.Error(), "takes 3×4×1") {
		t.Errorf("shape: %v", err)
	}
	bad := inputs(1, 100)
	bad.Row(71)[5] = float32(math.NaN())
	var row *RowError
	if _, err = d.Detect(ctx, bad, Include{}); !errors.As(err, &row) || row.Row != 71 || !strings.Contains(err.Error(), "row 71: feature 5 is NaN") {
		t.Errorf("NaN: %v", err)
	}
	if r, err := d.Detect(ctx, tensor.Batch(0, testShape), everything); err != nil || len(r.Score) != 0 {
		t.Errorf("no rows: %v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Detect(done, inputs(1, 3), Include{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no classifier": {func(o *Options) { o.Classifier = nil }, "no classifier"},
		"noise":         {func(o *Options) { o.Noise = tensor.New(2, 3) }, "samples×4"},
		"no score":      {func(o *Options) { o.Scores = nil }, "no score"},
		"no fusion":     {func(o *Options) { o.Scores = append(o.Scores, o.Scores[0]) }, "need a fusion"},
		"no Q":          {func(o *Options) { o.Opinion = nil }, "score kl needs a second prediction"},
		"no rebuilt": {func(o *Options) {
			o.Method, o.Opinion = "distillation", newFakeStudent(testShape, testClasses)
			o.Scores = []NamedScore{{"reconstruction_error", testRebuilt{}}}
		}, "needs reconstructions, which method distillation does not have"},
		"hidden": {func(o *Options) { o.Hidden = []oracle.Head{{Name: "conv9"}} }, `no hidden layer "conv9"; it has ["features"]`},
		"head":   {func(o *Options) { o.Hidden = []oracle.Head{{Name: "features", Kernel: tensor.New(3, 2)}} }, "head of 8 rows"},
		"shape":  {func(o *Options) { o.Input = tensor.Shape{12} }, "shape 3×4×1, the classifier takes 12"},
	} {
		o := options()
		c.change(&o)
		if _, err := New(context.Background(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

// variants are whole detectors of every method.
func variants() map[string]Options {
	out := map[string]Options{}
	add := func(name string, change func(*Options)) {
		o := options()
		change(&o)
		out[name] = o
	}
	add("vae", func(*Options) {})
	add("vae temperature", func(o *Options) { o.Temperature = 0.6 })
	add("vae probabilities", func(o *Options) {
		o.Classifier = &sdktest.Fake{Shape: testShape, Classes: testClasses, Seed: 1, Scale: 2, Output: sdk.Probabilities}
		o.Temperature = 0.8
	})
	add("vae hidden", func(o *Options) {
		o.Hidden = []oracle.Head{{Name: sdktest.FakeHidden, Weight: 0.5, Kernel: oracle.DrawHead(1, sdktest.FakeHidden, 8, 6)}}
	})
	add("vae no noise", func(o *Options) {
		n := Sampling(newFakeVAE(testShape, testLatent, false), 0)
		o.Opinion, o.Noise = n, n.DrawNoise(5)
	})
	for _, f := range rules {
		add("vae "+string(f), func(o *Options) {
			o.Scores, o.Fusion = append(o.Scores, NamedScore{"re", testRebuilt{}}), f
		})
	}
	add("ae", func(o *Options) { o.Opinion = Reconstruction(newFakeVAE(testShape, testLatent, true)) })
	add("magnet", func(o *Options) {
		o.Opinion = Reconstruction(newFakeVAE(testShape, testLatent, true))
		o.Scores, o.Fusion = append(o.Scores, NamedScore{"re", testRebuilt{}}), Tippett
	})
	add("distillation", func(o *Options) { o.Opinion = newFakeStudent(testShape, testClasses) })
	add("versions", func(o *Options) { o.Opinion = fakeVersions{} })
	add("max_softmax", func(o *Options) { o.Opinion, o.Scores = nil, []NamedScore{{"top", testTop{}}} })
	return out
}

func TestEveryMethodDetects(t *testing.T) {
	for name, o := range variants() {
		d := calibrated(t, o)
		r, err := d.Detect(context.Background(), inputs(8, 70), everything)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if (r.Reconstruction != nil) != (d.form.Code > 0) || (r.Latent != nil) != (d.form.Code > 0) {
			t.Errorf("%s: reconstruction %v, latent %v", name, r.Reconstruction != nil, r.Latent != nil)
		}
		one, err := d.Detect(context.Background(), inputs(8, 70).Rows(69, 70), Include{})
		if err != nil || one.Score[0] != r.Score[69] {
			t.Errorf("%s: row 69 alone %v, in the batch %v (%v)", name, one.Score, r.Score[69], err)
		}
	}
}

// A detector made of the same parts and State scores and flags the same.
func TestStateRestores(t *testing.T) {
	o := variants()["vae fisher"]
	d := calibrated(t, o)
	o.State = d.State()
	again := build(t, o)
	a, err := d.Detect(context.Background(), inputs(3, 20), Include{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := again.Detect(context.Background(), inputs(3, 20), Include{})
	if err != nil || !slices.Equal(a.Score, b.Score) || !slices.Equal(a.PValue, b.PValue) || !slices.Equal(a.Adversarial, b.Adversarial) {
		t.Errorf("restored detector differs (%v)", err)
	}
	if n := d.State().Threshold.N; n != 50 {
		t.Errorf("a fusion counts %d calibration rows, want the half: 50", n)
	}
}
