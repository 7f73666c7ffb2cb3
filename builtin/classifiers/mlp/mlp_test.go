package mlp_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// clusters are n rows of 3 classes around points far apart, in [0, 1].
func clusters(n int) sdk.TrainingData {
	r := rand.New(rand.NewPCG(1, 2))
	d := sdk.TrainingData{X: tensor.New(n, 6)}
	for i := range n {
		label := i % 3
		for j := range 6 {
			at := 0.3
			if j%3 == label {
				at = 0.7
			}
			d.X.Row(i)[j] = float32(min(max(at+0.1*r.NormFloat64(), 0), 1))
		}
		d.Labels = append(d.Labels, label)
	}
	val := n / 4
	d.ValX, d.ValLabels = d.X.Rows(0, val), d.Labels[:val]
	return d
}

var config = sdk.Config{InputShape: tensor.Shape{6}, Classes: 3}

func with(json string) sdk.Config {
	c := config
	c.JSON = []byte(json)
	return c
}

func TestConformance(t *testing.T) {
	data := clusters(90)
	for _, json := range []string{
		`{"hidden": [16, 8], "range": [0, 1], "dropout": 0.1}`,
		`{"hidden": [], "scale": "standard"}`,
		`{"layers": [{"dense": {"units": 12, "activation": "tanh"}}, "batch_normalization", {"residual": {"layers": [{"dense": {"units": 12}}]}}]}`,
	} {
		t.Run(json, func(t *testing.T) {
			sdktest.Run(t, mlp.New(), sdktest.Options{
				Config: with(json), Rows: data.X, Train: data, Seed: 7,
				Fit: []byte(`{"epochs": 3, "batch_size": 16, "learning_rate": 0.01}`),
			})
		})
	}
}

// TestFitAndLoad trains with one and two threads, to the same bytes, and loads
// the weights into another classifier.
func TestFitAndLoad(t *testing.T) {
	ctx := context.Background()
	data := clusters(120)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var files [2][]byte
	var last *tensor.Tensor
	var done sdk.FitDone
	dir := ""
	for i := range files {
		runtime.GOMAXPROCS(i + 1)
		c := mlp.New()
		if err := c.Configure(ctx, with(`{"hidden": [16], "scale": "standard", "dropout": 0.2}`)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Predict(ctx, data.X); !errors.Is(err, sdk.FailedPrecondition) {
			t.Fatalf("before training: %v, want failed precondition", err)
		}
		dir = t.TempDir()
		var seen sdk.FitProgress
		var err error
		done, err = c.Fit(ctx, data, sdk.FitOptions{
			JSON: []byte(`{"epochs": 30, "batch_size": 32, "optimizer": {"adam": {"learning_rate": 0.01}}, "early_stopping": {"monitor": "val_loss", "patience": 5}}`),
			Seed: 3, OutputDir: dir, Progress: func(p sdk.FitProgress) { seen = p },
		})
		if err != nil {
			t.Fatal(err)
		}
		if a := seen.Metrics["val_accuracy"]; a < 0.95 || seen.Step != seen.Steps {
			t.Errorf("last progress %+v, want a val_accuracy of at least 0.95 at the last step", seen)
		}
		if files[i], err = os.ReadFile(filepath.Join(dir, "weights.safetensors")); err != nil {
			t.Fatal(err)
		}
		if last, err = c.Predict(ctx, data.X); err != nil {
			t.Fatal(err)
		}
	}
	if string(files[0]) != string(files[1]) {
		t.Error("one and two threads gave different weights")
	}
	c := mlp.New()
	if err := c.Configure(ctx, sdk.Config{JSON: done.ConfigJSON, BaseDir: dir}); err != nil {
		t.Fatal(err)
	}
	info, err := c.Info(ctx)
	if err != nil || info.Digest != done.Digest || !info.Ready {
		t.Fatalf("loaded: %+v, %v; want digest %s", info, err, done.Digest)
	}
	y, err := c.Predict(ctx, data.X)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range y.Data {
		if v != last.Data[i] {
			t.Fatalf("loaded: logit %d is %v, want %v", i, v, last.Data[i])
		}
	}
	if got, want := info.Hidden[0].Name, "dense_0"; got != want {
		t.Errorf("first hidden layer %q, want %q", got, want)
	}
}

// TestHidden pulls a hidden layer's cotangent back together with the output's,
// and again after another call has used the session.
func TestHidden(t *testing.T) {
	ctx := context.Background()
	data := clusters(60)
	c := mlp.New()
	if err := c.Configure(ctx, with(`{"hidden": [5, 4], "activation": "tanh"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Fit(ctx, data, sdk.FitOptions{JSON: []byte(`{"epochs": 1}`), OutputDir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	x := data.X.Rows(0, 4)
	pull := func(names ...string) *tensor.Tensor {
		out, back, err := c.Forward(ctx, x, names...)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // more than there are spare sessions
			if _, _, err := c.Forward(ctx, data.X); err != nil {
				t.Fatal(err)
			}
		}
		cots := map[string]*tensor.Tensor{}
		for _, n := range names {
			cots[n] = tensor.New(out[n].Shape...)
			for i := range cots[n].Data {
				cots[n].Data[i] = float32(i%3) - 0.5
			}
		}
		dx, err := back(ctx, cots)
		if err != nil {
			t.Fatal(err)
		}
		return dx
	}
	a, b, both := pull("output"), pull("hidden/dense_0"), pull("output", "hidden/dense_0")
	for i, v := range both.Data {
		if d := v - a.Data[i] - b.Data[i]; d > 1e-6 || d < -1e-6 {
			t.Fatalf("gradient %d of both is %v, want %v + %v", i, v, a.Data[i], b.Data[i])
		}
	}
}

func TestConfigureErrors(t *testing.T) {
	for _, c := range []struct{ json, want string }{
		{`{"hiden": [3]}`, "/hiden"},
		{`{"hidden": [0]}`, "widths of at least 1"},
		{`{"hidden": [3], "layers": []}`, "exclude each other"},
		{`{"layers": ["flatten", {"reshape": {"target_shape": [5]}}]}`, "/layers/1: reshape: 6 elements cannot become 5 = 5"},
		{`{"input_shape": [4]}`, "is 4, the data has 6"},
		{`{"classes": 4}`, "is 4, the data has 3"},
		{`{"weights": "none.safetensors"}`, "/weights: "},
		{`{"range": [1, 0]}`, "is empty"},
	} {
		err := mlp.New().Configure(context.Background(), with(c.json))
		if err == nil {
			err = errors.New("no error")
		}
		if !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), strings.TrimPrefix(c.want, "/")) {
			t.Errorf("%s: %v, want %q", c.json, err, c.want)
		}
	}
}
