package sdktest

import (
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options say what Run tests with.
type Options struct {
	Config sdk.Config     // for a Configurable; it is configured over the connection
	Rows   *tensor.Tensor // rows of real data, in the classifier's own layout; nil: random ones
	// Train, if it has rows, is what a Trainable is fitted with first, in a
	// temporary folder, and Fit its options. It is fitted twice: the same seed
	// must give the same digest.
	Train sdk.TrainingData
	Fit   []byte
	Seed  uint64
}

// Run is the conformance suite: it serves c over a real connection, configures
// and trains it if it is asked to, and runs all checks of package check. A
// failed check fails the test; a warning is logged.
func Run(t *testing.T, c sdk.Classifier, o Options) {
	t.Helper()
	ctx := t.Context()
	host := Pair(t, c)
	o.Config.Seed = o.Seed
	if _, ok := c.(sdk.Configurable); ok {
		before, err := host.Info(ctx)
		if err != nil {
			t.Fatalf("Info before Configure: %v", err)
		}
		if before.Name == "" || before.Version == "" {
			t.Errorf("before Configure, Info has name %q and version %q", before.Name, before.Version)
		}
		if err := host.Configure(ctx, o.Config); err != nil {
			t.Fatalf("Configure: %v", err)
		}
	}
	if o.Train.X != nil {
		fit(t, host, o)
	}
	info, err := host.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !info.Ready {
		t.Fatal("the classifier is not ready: Options.Config or Options.Train is missing")
	}
	subjects := []struct {
		name string
		c    sdk.Classifier
	}{{"plugin", host}}
	if f, ok := c.(sdk.Forwarder); ok { // Client has no Forward: it is tested here, and its stream below
		subjects = append(subjects, struct {
			name string
			c    sdk.Classifier
		}{"in process", f})
	}
	for _, s := range subjects {
		t.Run(s.name, func(t *testing.T) {
			findings, err := check.Classifier(t.Context(), s.c, check.Options{Rows: o.Rows, Seed: o.Seed, Thorough: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				switch f.Severity {
				case check.Fail:
					t.Error(f)
				case check.Warn:
					t.Log("warning: ", f)
				}
			}
		})
	}
	if info.Differentiate {
		t.Run("stream", func(t *testing.T) { stream(t, host, info, o) })
	}
}

// fit trains twice and compares.
func fit(t *testing.T, host *remote.Client, o Options) {
	t.Helper()
	var first sdk.FitDone
	for i := range 2 {
		done, err := host.Fit(t.Context(), o.Train, sdk.FitOptions{JSON: o.Fit, Seed: o.Seed, OutputDir: t.TempDir()})
		if err != nil {
			t.Fatalf("Fit: %v", err)
		}
		if i == 0 {
			first = done
			if err := host.Configure(t.Context(), o.Config); err != nil {
				t.Fatalf("Configure after Fit: %v", err)
			}
			continue
		}
		if done.Digest != first.Digest || len(done.Files) != len(first.Files) {
			t.Errorf("the same seed gave %s and %s", first.Digest, done.Digest)
		}
		for k := range min(len(done.Files), len(first.Files)) {
			if done.Files[k] != first.Files[k] {
				t.Errorf("the same seed gave %v and %v", first.Files[k], done.Files[k])
			}
		}
	}
}

// stream compares Differentiate with Predict and Gradient.
func stream(t *testing.T, host *remote.Client, info sdk.Info, o Options) {
	ctx := t.Context()
	x := o.Rows
	if x == nil {
		x = tensor.Batch(5, info.InputShape)
		for i := range x.Data {
			x.Data[i] = float32(i%7) / 7
			if len(info.Lo) > 0 {
				k := i % x.Stride()
				lo, hi := info.Lo[min(k, len(info.Lo)-1)], info.Hi[min(k, len(info.Hi)-1)]
				x.Data[i] = lo + float32(x.Data[i]*(hi-lo))
			}
		}
	}
	x = x.Rows(0, min(5, x.N()))
	y, err := host.Predict(ctx, x)
	if err != nil {
		t.Fatal(err)
	}
	dy := tensor.New(y.Shape...)
	for i := range dy.Data {
		dy.Data[i] = float32(i%3) - 1
	}
	dx, err := host.Gradient(ctx, x, dy)
	if err != nil {
		t.Fatal(err)
	}
	s, err := host.Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		outs, err := s.Forward(x)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "outputs of Differentiate", outs[sdk.Output], y, info.BatchInvariant)
		for range 2 {
			d, err := s.Backward(map[string]*tensor.Tensor{sdk.Output: dy}, x.Shape)
			if err != nil {
				t.Fatal(err)
			}
			near(t, "gradient of Differentiate", d, dx, info.BatchInvariant)
		}
	}
}

// near compares to 1e-5 of the largest, or to the bit.
func near(t *testing.T, what string, got, want *tensor.Tensor, exact bool) {
	t.Helper()
	largest := float32(1)
	for _, v := range want.Data {
		largest = max(largest, v, -v)
	}
	tolerance := largest * 1e-5
	if exact {
		tolerance = 0
	}
	for i, v := range want.Data {
		if d := got.Data[i] - v; d > tolerance || d < -tolerance {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got.Data[i], v)
		}
	}
}
