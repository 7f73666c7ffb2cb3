package launch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
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

// start runs a shipped plugin of the table in TestMain.
func start(t *testing.T, name string, o Options) *Classifier {
	t.Helper()
	self, err := Self(name)
	if err != nil {
		t.Fatal(err)
	}
	o.Command = self
	c, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// rogueConfig is a rogue's config with its counter in a temporary folder.
func rogueConfig(t *testing.T, act string, at int, more string) sdk.Config {
	count := filepath.Join(t.TempDir(), "count")
	return sdk.Config{JSON: fmt.Appendf(nil, `{"act": %q, "at": %d, "count": %q%s}`, act, at, count, more)}
}

// local answers as the plugin should, in NHWC.
func local(t *testing.T, f *sdktest.Fake, x, dy, dh *tensor.Tensor) (y, h, dx *tensor.Tensor) {
	t.Helper()
	hidden := sdk.HiddenPrefix + sdktest.FakeHidden
	outs, pull, err := f.Forward(t.Context(), toPlugin(f.Layout, x), sdk.Output, hidden)
	if err != nil {
		t.Fatal(err)
	}
	cots := map[string]*tensor.Tensor{sdk.Output: dy}
	if dh != nil {
		cots[hidden] = dh
	}
	dx, err = pull(t.Context(), cots)
	if err != nil {
		t.Fatal(err)
	}
	return outs[sdk.Output], outs[hidden], toHost(f.Layout, dx)
}

func TestAnswersAsInProcess(t *testing.T) {
	for name, f := range map[string]*sdktest.Fake{"fake": fake(), "nchw": nchw()} {
		for _, replicas := range []int{1, 2} {
			t.Run(fmt.Sprint(name, replicas), func(t *testing.T) {
				ctx := t.Context()
				c := start(t, name, Options{Replicas: replicas})
				x, dy, dh := random(1, 7, 4, 3, 2), random(2, 7, 5), random(3, 7, 8)
				y, h, _ := local(t, f, x, dy, dh)
				_, _, plain := local(t, f, x, dy, nil)
				_, _, mixed := local(t, f, x, dy, dh)
				got, err := c.Predict(ctx, x)
				if err != nil {
					t.Fatal(err)
				}
				same(t, "predict", got, y)
				if got, err = c.Gradient(ctx, x, dy); err != nil {
					t.Fatal(err)
				}
				same(t, "gradient", got, plain)
				for _, n := range []int{3, 7} { // one call, and cut
					hidden := sdk.HiddenPrefix + sdktest.FakeHidden
					outs, pull, err := c.Forward(ctx, x.Rows(0, n), sdk.Output, hidden)
					if err != nil {
						t.Fatal(err)
					}
					same(t, "forward", outs[sdk.Output], y.Rows(0, n))
					same(t, "hidden", outs[hidden], h.Rows(0, n))
					dx, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy.Rows(0, n), hidden: dh.Rows(0, n)})
					if err != nil {
						t.Fatal(err)
					}
					same(t, "pullback", dx, mixed.Rows(0, n))
				}
				if err := c.Ping(ctx); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestInfoIsChannelsLast(t *testing.T) {
	c := start(t, "nchw", Options{Checks: ChecksOff})
	i, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !i.InputShape.Equal(tensor.Shape{4, 3, 2}) || i.Layout != sdk.NHWC || i.Hi[1] != 13 {
		t.Errorf("shape %v, layout %v, upper bound of the second channel's first pixel %v; want 4×3×2, nhwc, 13", i.InputShape, i.Layout, i.Hi[1])
	}
}

func TestManyTapesAtOnce(t *testing.T) {
	c := start(t, "fake", Options{Checks: ChecksOff})
	f := fake()
	const workers = 12 // more than there are lanes
	type tape struct {
		pull sdk.Pullback
		dy   *tensor.Tensor
		want *tensor.Tensor
	}
	tapes := make([]tape, workers)
	for i := range tapes {
		x, dy := random(uint64(i), 2, 4, 3, 2), random(uint64(100+i), 2, 5)
		_, _, dx := local(t, f, x, dy, nil)
		outs, pull, err := c.Forward(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		clear(x.Data) // the tape does not depend on it any more
		y, _ := f.Predict(t.Context(), random(uint64(i), 2, 4, 3, 2))
		same(t, "output", outs[sdk.Output], y)
		tapes[i] = tape{pull, dy, dx}
	}
	var wg sync.WaitGroup
	for i := range tapes {
		wg.Go(func() {
			for range 3 {
				dx, err := tapes[i].pull(t.Context(), map[string]*tensor.Tensor{sdk.Output: tapes[i].dy})
				if err != nil || !slices.Equal(dx.Data, tapes[i].want.Data) {
					t.Errorf("tape %d: %v, %v", i, dx, err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(c.replicas[0].p.lanes.all); n > c.replicas[0].p.lanes.max {
		t.Errorf("%d lanes, at most %d", n, c.replicas[0].p.lanes.max)
	}
}

func TestCrashIsReplayed(t *testing.T) {
	for at := 1; at <= 3; at++ { // in predict, in forward, in backward
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			ctx := t.Context()
			c := start(t, "rogue", Options{Checks: ChecksOff, Config: rogueConfig(t, "exit", at, "")})
			x, dy := random(1, 3, 4, 3, 2), random(2, 3, 5)
			y, _, dx := local(t, fake(), x, dy, nil)
			got, err := c.Predict(ctx, x)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "predict", got, y)
			outs, pull, err := c.Forward(ctx, x)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "forward", outs[sdk.Output], y)
			if got, err = pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy}); err != nil {
				t.Fatal(err)
			}
			same(t, "backward", got, dx)
		})
	}
}

func TestKilledWhileIdle(t *testing.T) {
	c := start(t, "fake", Options{Checks: ChecksOff})
	x := random(1, 3, 4, 3, 2)
	y, _, _ := local(t, fake(), x, random(2, 3, 5), nil)
	for range 3 {
		p := c.replicas[0].current()
		if err := p.run.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := c.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "predict", got, y)
	}
}

func TestCrashesBeyondTheBudget(t *testing.T) {
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: rogueConfig(t, "exit", 1, `, "every": true`), RestartBudget: 2, Backoff: time.Millisecond})
	_, err := c.Predict(t.Context(), random(1, 1, 4, 3, 2))
	var e *Error
	if !errors.As(err, &e) || e.Op != "predict" || e.Exit != "exit status 7" || !errors.Is(err, sdk.Unavailable) {
		t.Fatalf("%#v", err)
	}
	for _, want := range []string{"plugin rogue (", "sha256:", "it crashed; gave up after 2 restarts", "exit status 7", "out of luck at call 3"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

func TestHungCallEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: rogueConfig(t, "hang", 1, ""), CallTimeout: 2 * time.Second})
	x := random(1, 1, 4, 3, 2)
	_, err := c.Predict(t.Context(), x)
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer within 2s") {
		t.Fatalf("%v", err)
	}
	if _, err := c.Predict(t.Context(), x); err != nil { // a new process
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Predict(ctx, x); !errors.Is(err, context.Canceled) || errors.As(err, &e) {
		t.Errorf("cancelled call: %#v", err)
	}
}

func TestHalvesWhenMemoryEnds(t *testing.T) {
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: sdk.Config{JSON: []byte(`{"rows": 3}`)}})
	x := random(1, 16, 4, 3, 2)
	y, _, _ := local(t, fake(), x, random(2, 16, 5), nil)
	got, err := c.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "predict", got, y)
	if n := c.rows.Load(); n != 2 {
		t.Errorf("remembers %d rows, want 2 (16 halved until it fits 3)", n)
	}
}

func TestWrongInput(t *testing.T) {
	c := start(t, "fake", Options{Checks: ChecksOff})
	var e *Error
	_, err := c.Predict(t.Context(), random(1, 2, 3))
	if !errors.Is(err, sdk.InvalidArgument) || errors.As(err, &e) || !strings.Contains(err.Error(), "has shape 2×3, the classifier takes N×4×3×2") {
		t.Errorf("%v", err)
	}
}

func TestFitSurvivesCrashes(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	once := filepath.Join(t.TempDir(), "once")
	c := start(t, "pupil", Options{Replicas: 2, Config: sdk.Config{JSON: fmt.Appendf(nil, `{"once": %q}`, once)}})
	x := random(1, 5, 3)
	if _, err := c.Predict(ctx, x); !errors.Is(err, sdk.FailedPrecondition) {
		t.Fatalf("before training: %v", err)
	}
	steps := 0
	done, err := c.Fit(ctx, sdk.TrainingData{X: x, Labels: []int{1, 1, 0, 1, 1}}, sdk.FitOptions{OutputDir: dir, Progress: func(sdk.FitProgress) { steps++ }})
	if err != nil {
		t.Fatal(err)
	}
	if done.Digest != "sha256:fake4" || len(done.Files) != 1 {
		t.Errorf("done %+v", done)
	}
	want, _ := pupilAs(4).Predict(ctx, x)
	for range 4 { // both replicas, before and after a crash
		got, err := c.Predict(ctx, x)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "predict", got, want)
		for _, r := range c.replicas {
			if p := r.current(); p != nil {
				_ = p.run.Kill(ctx)
			}
		}
	}
	if i, _ := c.Info(ctx); !i.Ready || i.Digest != "sha256:fake4" {
		t.Errorf("info %+v", i)
	}
}
