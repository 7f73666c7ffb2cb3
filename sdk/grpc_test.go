package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func random(seed uint64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	return x
}

func same(t *testing.T, what string, got, want *tensor.Tensor) {
	t.Helper()
	if got == nil || !got.Shape.Equal(want.Shape) || !slices.Equal(got.Data, want.Data) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestPairAnswersTheSameBits(t *testing.T) {
	ctx := t.Context()
	for _, batch := range []int{0, 1, 3, 7} {
		f := &sdktest.Fake{Shape: tensor.Shape{3, 2, 1}, Classes: 4, MaxBatch: batch}
		c := sdktest.Pair(t, f)
		x, dy, dh := random(1, 7, 3, 2, 1), random(2, 7, 4), random(3, 7, 8)
		hidden := sdk.HiddenPrefix + sdktest.FakeHidden

		info := must[sdk.Info](t)(c.Info(ctx))
		want := must[sdk.Info](t)(f.Info(ctx))
		if fmt.Sprint(info) != fmt.Sprint(want) {
			t.Errorf("info %+v, want %+v", info, want)
		}
		wantOuts, pull, err := f.Forward(ctx, x, sdk.Output, hidden)
		if err != nil {
			t.Fatal(err)
		}
		cots := map[string]*tensor.Tensor{sdk.Output: dy, hidden: dh}
		wantDx := must[*tensor.Tensor](t)(pull(ctx, cots))

		same(t, "predict", must[*tensor.Tensor](t)(c.Predict(ctx, x)), wantOuts[sdk.Output])
		outs := must[map[string]*tensor.Tensor](t)(c.Outputs(ctx, x, sdk.Output, hidden))
		same(t, "hidden", outs[hidden], wantOuts[hidden])
		same(t, "pull", must[*tensor.Tensor](t)(c.Pull(ctx, x, cots)), wantDx)
		same(t, "gradient", must[*tensor.Tensor](t)(c.Gradient(ctx, x, dy)), must[*tensor.Tensor](t)(f.Gradient(ctx, x, dy)))

		s := must[*remote.Stream](t)(c.Stream(ctx))
		defer s.Close()
		for range 2 {
			outs = must[map[string]*tensor.Tensor](t)(s.Forward(x, sdk.Output, hidden))
			same(t, "forward", outs[sdk.Output], wantOuts[sdk.Output])
			for range 2 {
				same(t, "backward", must[*tensor.Tensor](t)(s.Backward(cots, x.Shape)), wantDx)
			}
		}
	}
}

func TestEmptyBatch(t *testing.T) {
	c := sdktest.Pair(t, &sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2})
	y := must[*tensor.Tensor](t)(c.Predict(t.Context(), tensor.New(0, 3)))
	if !y.Shape.Equal(tensor.Shape{0, 2}) {
		t.Errorf("shape %v, want 0×2", y.Shape)
	}
}

func TestLargeBatchCrossesWithoutLimit(t *testing.T) {
	x := random(1, 9, 1<<18) // 9 MiB
	f := constant{shape: tensor.Shape{1 << 18}, value: 1}
	y := must[*tensor.Tensor](t)(sdktest.Pair(t, f).Predict(t.Context(), x))
	if y.N() != 9 {
		t.Errorf("%d rows, want 9", y.N())
	}
}

// constant is a classifier without gradients that answers one number, or fails.
type constant struct {
	shape tensor.Shape
	value float32
	wrong int // added to the number of classes in the answer
	err   error
	panic string
	info  sdk.Info
}

func (c constant) Info(context.Context) (sdk.Info, error) {
	i := c.info
	i.Name, i.InputShape, i.NumClasses = "constant", c.shape, 2
	if i.Output == 0 {
		i.Output = sdk.Logits
	}
	return i, nil
}

func (c constant) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if c.panic != "" {
		panic(c.panic)
	}
	y := tensor.New(x.N(), 2+c.wrong)
	for i := range y.Data {
		y.Data[i] = c.value
	}
	return y, c.err
}

func TestErrorsKeepTheirKind(t *testing.T) {
	ctx, shape := t.Context(), tensor.Shape{3}
	nan := float32(math.NaN())
	cases := []struct {
		name string
		c    constant
		x    *tensor.Tensor
		kind sdk.Kind
		want string
	}{
		{"wrong shape", constant{}, random(1, 2, 4), sdk.InvalidArgument, "x has shape 2×4, want N×3 (flat)"},
		{"NaN in", constant{}, tensor.From([]float32{0, 1, 2, 3, nan, 5}, 2, 3), sdk.InvalidArgument, "row 1, feature 1 is NaN"},
		{"NaN out", constant{value: nan}, random(1, 2, 3), sdk.Internal, "NaN in row 0"},
		{"wrong classes", constant{wrong: 1}, random(1, 2, 3), sdk.Internal, "shape 2×3, want 2×2"},
		{"panic", constant{panic: "boom"}, random(1, 2, 3), sdk.Internal, "panicked: boom"},
		{"own kind", constant{err: sdk.Errorf(sdk.ResourceExhausted, "out of memory")}, random(1, 2, 3), sdk.ResourceExhausted, "out of memory"},
		{"bare kind", constant{err: fmt.Errorf("not yet: %w", sdk.FailedPrecondition)}, random(1, 2, 3), sdk.FailedPrecondition, "not yet"},
		{"no kind", constant{err: errors.New("disk on fire")}, random(1, 2, 3), sdk.Internal, "disk on fire"},
		{"bad info", constant{info: sdk.Info{Output: 9}}, random(1, 2, 3), sdk.Internal, "want Logits or Probabilities"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.c.shape = shape
			_, err := sdktest.Pair(t, c.c).Predict(ctx, c.x)
			if !errors.Is(err, c.kind) || sdk.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("%v (%v), want %v with %q", err, sdk.KindOf(err), c.kind, c.want)
			}
		})
	}
	c := sdktest.Pair(t, constant{shape: shape})
	if _, err := c.Gradient(ctx, random(1, 2, 3), random(1, 2, 2)); !errors.Is(err, sdk.Unimplemented) {
		t.Errorf("gradient of a classifier without: %v", err)
	}
	s := must[*remote.Stream](t)(c.Stream(ctx))
	defer s.Close()
	if _, err := s.Forward(random(1, 2, 3)); !errors.Is(err, sdk.Unimplemented) {
		t.Errorf("stream of a classifier without: %v", err)
	}
	if _, err := c.Fit(ctx, sdk.TrainingData{X: random(1, 2, 3), Labels: []int{0, 1}}, sdk.FitOptions{}); !errors.Is(err, sdk.Unimplemented) {
		t.Errorf("fit of a classifier that cannot: %v", err)
	}
	if _, err := c.Outputs(ctx, random(1, 2, 3), "hidden/x"); !errors.Is(err, sdk.InvalidArgument) || !strings.Contains(err.Error(), "has output") {
		t.Errorf("unknown output: %v", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Predict(done, random(1, 2, 3)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled call: %v", err)
	}
}

func TestBackwardNeedsForward(t *testing.T) {
	c := sdktest.Pair(t, &sdktest.Fake{Shape: tensor.Shape{3}, Classes: 2})
	s := must[*remote.Stream](t)(c.Stream(t.Context()))
	defer s.Close()
	_, err := s.Backward(map[string]*tensor.Tensor{sdk.Output: random(1, 1, 2)}, tensor.Shape{1, 3})
	if !errors.Is(err, sdk.FailedPrecondition) {
		t.Errorf("%v, want a failed precondition", err)
	}
}

// learner counts the rows that it is trained on.
type learner struct {
	constant
	config  sdk.Config
	trained bool
}

func (l *learner) Schema() []byte {
	return []byte(`{"type": "object", "additionalProperties": false, "properties": {"units": {"type": "integer", "minimum": 1}, "weights": {"type": "string"}}}`)
}

func (l *learner) Configure(_ context.Context, c sdk.Config) error {
	l.config = c
	if c.Classes == 99 {
		return sdk.Diagnostics{{Message: "99 classes are too many"}}
	}
	l.trained = strings.Contains(string(c.JSON), "weights")
	return nil
}

func (l *learner) Info(ctx context.Context) (sdk.Info, error) {
	i, err := l.constant.Info(ctx)
	i.Ready = l.trained
	return i, err
}

func (l *learner) Fit(_ context.Context, d sdk.TrainingData, o sdk.FitOptions) (sdk.FitDone, error) {
	o.Progress(sdk.FitProgress{Epoch: 1, Step: 2, Steps: 3, Metrics: map[string]float64{"rows": float64(d.X.N() + d.ValX.N())}})
	l.value, l.trained = d.X.Data[len(d.X.Data)-1]+float32(d.Labels[len(d.Labels)-1]), true
	name := filepath.Join(o.OutputDir, "w.bin")
	if err := os.WriteFile(name, []byte("weights"), 0o600); err != nil {
		return sdk.FitDone{}, err
	}
	return sdk.FitDone{ConfigJSON: []byte(`{"weights": "w.bin"}`), Files: []sdk.FitFile{{Name: "w.bin"}}, Digest: "sha256:1"}, nil
}

func TestConfigureAndFit(t *testing.T) {
	ctx := t.Context()
	l := &learner{constant: constant{shape: tensor.Shape{1000}}}
	c := sdktest.Pair(t, l)
	x := random(1, 2500, 1000) // 10 MiB: three messages
	if _, err := c.Predict(ctx, x); !errors.Is(err, sdk.FailedPrecondition) || !strings.Contains(err.Error(), "not trained") {
		t.Fatalf("before fit: %v", err)
	}
	var d sdk.Diagnostics
	if err := c.Configure(ctx, sdk.Config{JSON: []byte(`{"units": 0, "unit": 1}`)}); !errors.As(err, &d) || len(d) != 2 || d[1].Pointer != "/units" {
		t.Errorf("diagnostics %#v, want one for the whole and one for /units", err)
	}
	if err := c.Configure(ctx, sdk.Config{Classes: 99}); !errors.As(err, &d) || d[0].Message != "99 classes are too many" {
		t.Errorf("diagnostics %#v", err)
	}
	conf := sdk.Config{JSON: []byte(`{"units": 3}`), BaseDir: "/b", InputShape: tensor.Shape{1000}, Classes: 2, Seed: 1 << 63}
	if err := c.Configure(ctx, conf); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(l.config) != fmt.Sprint(conf) {
		t.Errorf("config %v arrived as %v", conf, l.config)
	}
	labels := make([]int, 2500)
	labels[2499] = 7
	var seen []sdk.FitProgress
	o := sdk.FitOptions{OutputDir: t.TempDir(), Progress: func(p sdk.FitProgress) { seen = append(seen, p) }}
	done, err := c.Fit(ctx, sdk.TrainingData{X: x, Labels: labels, ValX: x.Rows(0, 5), ValLabels: labels[:5]}, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(done.Files) != 1 || len(done.Files[0].SHA256) != 64 || done.Digest != "sha256:1" {
		t.Errorf("done %+v", done)
	}
	if len(seen) != 1 || seen[0].Steps != 3 || seen[0].Metrics["rows"] != 2505 {
		t.Errorf("progress %v", seen)
	}
	y := must[*tensor.Tensor](t)(c.Predict(ctx, x.Rows(0, 1)))
	if want := x.Data[len(x.Data)-1] + 7; y.Data[0] != want {
		t.Errorf("trained on %v, want %v", y.Data[0], want)
	}
}
