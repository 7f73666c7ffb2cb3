package launch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// colours takes images of 4×5 with the channels first; unless it is declared,
// its author forgot to say so. It notes in its version what it was told of the
// data.
type colours struct {
	*sdktest.Fake
	version string
}

func newColours(layout sdk.Layout) *colours {
	return &colours{Fake: &sdktest.Fake{Shape: tensor.Shape{3, 4, 5}, Classes: 4, Seed: 3, Layout: layout, MaxBatch: 3, Lo: []float32{-1}, Hi: []float32{2}}}
}

func (c *colours) Schema() []byte { return []byte(`{}`) }

func (c *colours) Configure(_ context.Context, conf sdk.Config) error {
	if conf.Classes != 0 && conf.Classes != c.Classes {
		return fmt.Errorf("want %d classes", c.Classes)
	}
	c.version = conf.InputShape.String()
	return nil
}

func (c *colours) Info(ctx context.Context) (sdk.Info, error) {
	i, err := c.Fake.Info(ctx)
	i.Version = c.version
	if c.Layout == 0 {
		i.Layout = 0
	}
	return i, err
}

// student says of itself nothing before its training, from which it notes the
// sum of its rows.
type student struct{ pupil }

func (s *student) Fit(ctx context.Context, d sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	sum := 0.0
	for _, x := range []*tensor.Tensor{d.X, d.ValX} {
		for _, v := range x.Data {
			sum += float64(v)
		}
	}
	d.Labels = []int{int(math.Round(sum))}
	return s.pupil.Fit(ctx, d, o)
}

// whole has every key.
func whole(layout string) *preprocess.Section {
	return &preprocess.Section{Scale: preprocess.Numbers{2}, Mean: preprocess.Numbers{.2, .4, .6}, Std: preprocess.Numbers{1, 2, 4}, Channels: preprocess.BGR, Layout: layout}
}

// byHand prepares rows as a user would: a picture at a time, no package asked.
func byHand(x *tensor.Tensor) *tensor.Tensor {
	mean, std := []float32{.2, .4, .6}, []float32{1, 2, 4}
	n, h, w := x.Shape[0], x.Shape[1], x.Shape[2]
	y := tensor.New(n, 3, h, w)
	for i := range n {
		for c := range 3 {
			for p := range h * w {
				scaled := x.Row(i)[p*3+2-c] * 2
				y.Row(i)[c*h*w+p] = (scaled - mean[c]) / std[c]
			}
		}
	}
	return y
}

// TestPreprocess: behind the boundary a model answers rows of guard space as it
// answers rows prepared by hand, in any number of processes and cuts, and its
// gradients are those of guard space: its own by the chain rule, and central
// differences.
func TestPreprocess(t *testing.T) {
	for _, c := range []struct {
		plugin, layout, told string
		layoutOf             sdk.Layout
		checks               Checks
	}{
		{"colours", "nchw", "3×4×5", 0, ChecksStrict},
		{"colours-declared", "nchw", "4×5×3", sdk.NCHW, ChecksStrict},
		{"colours-declared", "", "4×5×3", sdk.NCHW, ChecksStrict},
	} {
		t.Run(c.plugin+c.layout, func(t *testing.T) {
			ctx, f := t.Context(), newColours(c.layoutOf)
			x, dy, dh := random(1, 7, 4, 5, 3), random(2, 7, 4), random(3, 7, 8)
			model := byHand(x)
			hidden := sdk.HiddenPrefix + sdktest.FakeHidden
			want, pull, err := f.Forward(ctx, model, sdk.Output, hidden)
			if err != nil {
				t.Fatal(err)
			}
			cots := map[string]*tensor.Tensor{sdk.Output: dy, hidden: dh}
			own, err := pull(ctx, cots)
			if err != nil {
				t.Fatal(err)
			}
			wantDx := tensor.New(x.Shape...)
			for i := range 7 {
				for ch := range 3 {
					for p := range 20 {
						wantDx.Row(i)[p*3+2-ch] = float32(float64(own.Row(i)[ch*20+p]) * (2 / []float64{1, 2, 4}[ch]))
					}
				}
			}
			plain := start(t, c.plugin, Options{Config: sdk.Config{InputShape: tensor.Shape{4, 5, 3}}})
			for _, replicas := range []int{1, 2} {
				host := start(t, c.plugin, Options{Replicas: replicas, Checks: c.checks, Config: sdk.Config{InputShape: tensor.Shape{4, 5, 3}}, Preprocess: whole(c.layout)})
				info, err := host.Info(ctx)
				if err != nil || !info.InputShape.Equal(tensor.Shape{4, 5, 3}) || info.Layout != sdk.NHWC || len(info.Lo) != 60 || info.Version != c.told {
					t.Errorf("%+v, %v", info, err)
				}
				if lo, hi := info.Lo[2], info.Hi[0]; math.Abs(float64(lo)-(-1*1+.2)/2) > 1e-7 || math.Abs(float64(hi)-(2*4+.6)/2) > 1e-6 {
					t.Errorf("blue begins at %v, red ends at %v", lo, hi)
				}
				before, _ := plain.Info(ctx)
				if info.Digest == before.Digest || !strings.HasPrefix(info.Digest, "sha256:") || before.Digest != "sha256:fake3" {
					t.Errorf("digest %s, without preprocessing %s", info.Digest, before.Digest)
				}
				y, err := host.Predict(ctx, x)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "predict", y, want[sdk.Output])
				for _, n := range []int{1, 3, 7} { // on a tape, and cut
					outs, pull, err := host.Forward(ctx, x.Rows(0, n), sdk.Output, hidden)
					if err != nil {
						t.Fatal(err)
					}
					same(t, "forward", outs[sdk.Output], want[sdk.Output].Rows(0, n))
					same(t, "hidden", outs[hidden], want[hidden].Rows(0, n))
					dx, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy.Rows(0, n), hidden: dh.Rows(0, n)})
					if err != nil {
						t.Fatal(err)
					}
					same(t, "pullback", dx, wantDx.Rows(0, n))
				}
				dx, err := host.Gradient(ctx, x, dy)
				if err != nil {
					t.Fatal(err)
				}
				differences(t, host, x, dy, dx)
			}
			in, err := Local(ctx, f, whole(c.layout))
			if err != nil {
				t.Fatal(err)
			}
			y, err := in.Predict(ctx, x)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "in this process", y, want[sdk.Output])
		})
	}
}

// differences compares a gradient with central differences of ±h in directions
// of one pixel each.
func differences(t *testing.T, c sdk.Classifier, x, dy, dx *tensor.Tensor) {
	t.Helper()
	const h = 1.0 / 256 // tanh is straight there, and float32 fine enough
	var worst, size float64
	for _, j := range []int{0, 1, 2, 29, 58} {
		var at [2]float64
		for k, step := range []float32{-h, h} {
			moved := x.Clone()
			moved.Row(0)[j] += step
			y, err := c.Predict(t.Context(), moved)
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range y.Row(0) {
				at[k] += float64(v) * float64(dy.Row(0)[i])
			}
		}
		slope := (at[1] - at[0]) / (2 * h)
		worst, size = max(worst, math.Abs(slope-float64(dx.Row(0)[j]))), max(size, math.Abs(slope))
	}
	if worst > 0.02*size {
		t.Errorf("central differences are off by %v of %v", worst, size)
	}
}

// TestPreprocessFit: rows to learn from are mapped as those to predict, also for
// a plugin that learns only then what its rows are.
func TestPreprocessFit(t *testing.T) {
	ctx := t.Context()
	c := start(t, "student", Options{Checks: ChecksOff, Preprocess: &preprocess.Section{Scale: preprocess.Numbers{10}, Mean: preprocess.Numbers{1, 2, 3}}})
	x := tensor.From([]float32{1, 1, 1, 2, 2, 2}, 2, 3)
	done, err := c.Fit(ctx, sdk.TrainingData{X: x, Labels: []int{0, 1}, ValX: x.Rows(0, 1), ValLabels: []int{0}}, sdk.FitOptions{OutputDir: t.TempDir(), Progress: func(sdk.FitProgress) {}})
	if err != nil {
		t.Fatal(err)
	}
	const seed = 120 - 3*6 // the sum of 10·x − mean
	want, _ := pupilAs(seed).Predict(ctx, tensor.From([]float32{9, 8, 7, 19, 18, 17}, 2, 3))
	got, err := c.Predict(ctx, x)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "predict", got, want)
	for _, r := range c.replicas {
		r.end()
	}
	if got, err = c.Predict(ctx, x); err != nil { // a restart comes back as this model
		t.Fatal(err)
	}
	same(t, "predict after a restart", got, want)
	info, err := c.Info(ctx)
	if err != nil || info.Digest != done.Digest || info.Digest == fmt.Sprintf("sha256:fake%d", seed) {
		t.Errorf("digest %s, after training %s (%v)", info.Digest, done.Digest, err)
	}
}

func TestPreprocessFaults(t *testing.T) {
	data := tensor.Shape{4, 5, 3}
	for _, c := range []struct {
		name, plugin string
		conf         sdk.Config
		s            preprocess.Section
		want         []string
	}{
		{"another number of channels", "fake", sdk.Config{}, preprocess.Section{Mean: preprocess.Numbers{1, 2, 3}}, []string{"mean"}},
		{"itself", "fake", sdk.Config{}, preprocess.Section{Std: preprocess.Numbers{0}, Scale: preprocess.Numbers{0}}, []string{"scale", "std"}},
		{"a table", "student", sdk.Config{JSON: []byte(`{}`)}, preprocess.Section{Layout: "nchw"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			self, err := Self(c.plugin)
			if err != nil {
				t.Fatal(err)
			}
			cl, err := Start(t.Context(), Options{Command: self, Config: c.conf, Preprocess: &c.s})
			if err == nil { // it says what it takes in its training
				_, err = cl.Fit(t.Context(), sdk.TrainingData{X: random(1, 2, 3), Labels: []int{0, 1}}, sdk.FitOptions{OutputDir: t.TempDir()})
				if errors.Join(cl.Close()) != nil || err == nil {
					t.Fatal("started and trained")
				}
				c.want = []string{"layout"}
			}
			var e *Error
			var faults registry.FieldErrors
			if !errors.As(err, &e) || e.Op != OpPreprocess || !errors.As(err, &faults) {
				t.Fatal(err)
			}
			var keys []string
			for _, f := range faults {
				keys = append(keys, f.Key)
			}
			if !slices.Equal(keys, c.want) {
				t.Errorf("%v, want faults of %v", err, c.want)
			}
		})
	}
	self, err := Self("colours")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Command: self, Config: sdk.Config{InputShape: data, Classes: 2}, Preprocess: whole("nchw")})
	if err == nil || !strings.Contains(err.Error(), "want 4 classes; by preprocess.layout it was told the shape 3×4×5") {
		t.Error(err)
	}
}
