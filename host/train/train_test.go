package train_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/builtin/metrics"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const features, classes = 6, 3

func engine(t testing.TB, threads int) *kernel.Engine {
	k, err := kernel.New(kernel.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// clouds are n rows in [0, 1] around two lines, so that a narrow code can
// hold them.
func clouds(seed uint64, n int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 3))
	x := tensor.New(n, features)
	for i := range n {
		a, b := r.Float64(), r.Float64()
		for j, row := 0, x.Row(i); j < features; j++ {
			v := .5 + .35*math.Sin(3*a+float64(j)) + .1*b*float64(j%2) + .02*r.NormFloat64()
			row[j] = float32(min(max(v, 0), 1))
		}
	}
	return x
}

func dense(units int, activation string) layers.Dense {
	d := layers.NewDense(units)
	d.Activation = nn.Activation{Name: activation}
	return d
}

func model(t testing.TB, seed uint64, change func(*vae.Options)) *vae.Model {
	o := vae.Options{Section: vae.Section{LatentDim: 2, Encoder: []nn.Maker{dense(12, "relu"), layers.Dropout{Rate: .1}}, Decoder: []nn.Maker{dense(12, "relu"), dense(features, "sigmoid")}}, Input: tensor.Shape{features}}
	if change != nil {
		change(&o)
	}
	m, err := vae.Build(o, seed)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func loss(t testing.TB, name string) train.Loss {
	l, err := losses.Table().Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func options(t testing.TB, threads int) train.Options {
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		t.Fatal(err)
	}
	return train.Options{Section: train.Section{Loss: loss(t, "adversarial"), Optimizer: adam, Epochs: 3, BatchSize: 32},
		Engine: engine(t, threads), Model: model(t, 1, nil), Classifier: fake(sdk.Logits),
		Train: dataset.InMemory(clouds(1, 150)), Validation: clouds(2, 40),
		Seed: 7,
	}
}

func fake(kind sdk.OutputKind) *sdktest.Fake {
	return &sdktest.Fake{Shape: tensor.Shape{features}, Classes: classes, Seed: 5, Output: kind}
}

func run(t testing.TB, o train.Options) *train.Result {
	t.Helper()
	r, err := train.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// weights are all params as one list.
func weights(ps []*nn.Param) []float32 {
	var all []float32
	for _, p := range ps {
		all = append(all, p.Value.Data...)
	}
	return all
}

// metricsOf is a history without its seconds.
func metricsOf(h []train.Record) string {
	for i := range h {
		h[i].Seconds = 0
	}
	return fmt.Sprint(h)
}

func TestLearns(t *testing.T) {
	for name, change := range map[string]func(*train.Options){
		"logits":        func(*train.Options) {},
		"probabilities": func(o *train.Options) { o.Classifier = fake(sdk.Probabilities) },
		"mse":           func(o *train.Options) { o.Loss = loss(t, "mse") },
		"elbo and beta": func(o *train.Options) { o.Loss, o.Beta = loss(t, "elbo"), 1 },
		"auto-encoder": func(o *train.Options) {
			o.Model = model(t, 1, func(v *vae.Options) {
				v.Coding, v.Encoder = vae.Plain, []nn.Maker{dense(12, "relu"), dense(2, "linear")}
			})
		},
		"normalised": func(o *train.Options) {
			n, err := vae.FitNormalizer("minmax", o.Train)
			if err != nil {
				t.Fatal(err)
			}
			o.Model = model(t, 1, func(v *vae.Options) { v.Normalizer = n })
		},
		"hardened":        func(o *train.Options) { o.Harden = hardening() },
		"input noise":     func(o *train.Options) { o.InputNoise = .05 },
		"smoothed":        func(o *train.Options) { o.InputNoise, o.Smooth = .05, true },
		"across a border": func(o *train.Options) { o.Classifier = sdktest.Pair(t, fake(sdk.Logits)) },
	} {
		t.Run(name, func(t *testing.T) {
			o := options(t, 1)
			o.Epochs = 25
			change(&o)
			h := run(t, o).History
			first, _ := h[0].Get("val_loss")
			last, ok := h[len(h)-1].Get("val_loss")
			if !ok || last > first-.2*math.Abs(first) {
				t.Errorf("val_loss went from %v to %v, want a fifth less", first, last)
			}
		})
	}
}

func hardening() *train.Harden {
	return &train.Harden{Norm: "linf", Eps: .1, Steps: 2, Through: "guard", Weight: .5}
}

// TestThreads: the same bits for any number of threads.
func TestThreads(t *testing.T) {
	var want []float32
	for threads := 1; threads <= 3; threads++ {
		o := options(t, threads)
		o.Harden, o.InputNoise, o.ClipNorm = hardening(), .02, 1
		run(t, o)
		got := weights(o.Model.Params())
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d threads: other weights than one", threads)
		}
	}
}

// counter counts the rows that a classifier is asked.
type counter struct {
	*sdktest.Fake
	forward, predict atomic.Int64
}

func (c *counter) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	c.predict.Add(int64(x.N()))
	return c.Fake.Predict(ctx, x)
}

func (c *counter) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	c.forward.Add(int64(x.N()))
	return c.Fake.Forward(ctx, x, outputs...)
}

// TestQuestions: P is asked once, gradients once a row and epoch, and a plain
// reconstruction loss asks nothing.
func TestQuestions(t *testing.T) {
	metric, err := metrics.Table().Lookup("accuracy")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name             string
		loss             string
		metrics          []train.NamedMetric
		forward, predict int64
	}{
		{"adversarial", "adversarial", nil, 3 * 150, 150 + 40 + 3*40},
		{"mse", "mse", nil, 0, 0},
		{"mse with accuracy", "mse", []train.NamedMetric{{Name: "accuracy", Metric: metric}}, 0, 150 + 40 + 3*150 + 3*40},
	} {
		o := options(t, 1)
		count := &counter{Fake: fake(sdk.Logits)}
		o.Classifier, o.Loss, o.Metrics = count, loss(t, c.loss), c.metrics
		run(t, o)
		if f, p := count.forward.Load(), count.predict.Load(); f != c.forward || p != c.predict {
			t.Errorf("%s: %d rows with gradient and %d without, want %d and %d", c.name, f, p, c.forward, c.predict)
		}
	}
}

func TestEarlyStopping(t *testing.T) {
	o := options(t, 1)
	o.Epochs, o.EarlyStopping = 40, &train.EarlyStopping{Monitor: "val_loss", Patience: 2, MinDelta: .05}
	var best []float32
	o.Save = func(s *train.State) error {
		if s.IsBest() {
			best = nil
			for _, p := range o.Model.Params() {
				best = append(best, s.Params()[p.Name].Data...)
			}
		}
		return nil
	}
	r := run(t, o)
	if !r.Stopped || r.BestEpoch != len(r.History)-2 {
		t.Errorf("stopped %v after %d epochs, best %d, want the best two before the last", r.Stopped, len(r.History), r.BestEpoch)
	}
	if !slices.Equal(weights(o.Model.Params()), best) {
		t.Error("the weights are not those of the best epoch")
	}
	for monitor, want := range map[string]string{"val_los": `known: loss, kl, accuracy, val_loss`, "val_kl": "no validation rows"} {
		o := options(t, 1)
		o.EarlyStopping = &train.EarlyStopping{Monitor: monitor}
		if monitor == "val_kl" {
			o.Validation = nil
		}
		if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("monitor %s: error is %v, want %q in it", monitor, err, want)
		}
	}
}

// deaf has no gradient.
type deaf struct{ sdk.Classifier }

func TestRefused(t *testing.T) {
	for want, change := range map[string]func(*train.Options){
		"has no gradient":       func(o *train.Options) { o.Classifier = deaf{fake(sdk.Logits)} },
		"needs a classifier":    func(o *train.Options) { o.Classifier = nil },
		"no hidden layer \"x\"": func(o *train.Options) { o.Hidden = []oracle.Head{{Name: "x", Kernel: tensor.New(8, 4)}} },
		"auto-encoder takes 6":  func(o *train.Options) { o.Train, o.Validation = dataset.InMemory(tensor.New(3, 5)), nil },
		"needs rows":            func(o *train.Options) { o.Train = nil },
		"harden.norm":           func(o *train.Options) { o.Harden = &train.Harden{} },
	} {
		o := options(t, 1)
		change(&o)
		if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
}

func TestDistill(t *testing.T) {
	for _, kind := range []sdk.OutputKind{sdk.Logits, sdk.Probabilities} {
		o := options(t, 1)
		o.Classifier = deaf{fake(kind)}
		student := func() *vae.Student {
			s, err := vae.BuildStudent(tensor.Shape{features}, []nn.Maker{dense(16, "relu")}, classes, 3)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		o.Model, o.Loss, o.Student, o.Epochs = nil, nil, student(), 30
		o.Setup.Temperature = .7
		var middle *train.State
		o.Save = func(s *train.State) error {
			if s.Progress.Epoch == 10 {
				middle = s
			}
			return nil
		}
		r, err := train.Distill(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := r.History[0].Get("val_loss")
		last, _ := r.History[29].Get("val_loss")
		if last > first/2 {
			t.Errorf("val_loss went from %v to %v, want half", first, last)
		}
		want := weights(o.Student.Params())
		o.Student, o.Resume = student(), middle
		if _, err := train.Distill(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(weights(o.Student.Params()), want) {
			t.Error("resumed: other weights")
		}
	}
}

func TestHeads(t *testing.T) {
	o := options(t, 1)
	f := fake(sdk.Logits)
	heads := []oracle.Head{{Name: sdktest.FakeHidden, Weight: .5, Kernel: tensor.New(8, classes)}}
	if err := train.FitHeads(t.Context(), o.Engine, f, dataset.InMemory(clouds(4, 4000)), heads, 1); err != nil {
		t.Fatal(err)
	}
	outs, _, err := f.Forward(t.Context(), clouds(1, 150), sdk.Output, sdk.HiddenPrefix+sdktest.FakeHidden)
	if err != nil {
		t.Fatal(err)
	}
	right := 0
	for i := range o.Train.N() {
		logits := make([]float32, classes)
		for j, h := range outs[sdk.HiddenPrefix+sdktest.FakeHidden].Row(i) {
			for c := range logits {
				logits[c] += h * heads[0].Kernel.Row(j)[c]
			}
		}
		if oracle.Argmax(logits) == oracle.Argmax(outs[sdk.Output].Row(i)) {
			right++
		}
	}
	if share := float64(right) / float64(o.Train.N()); share < .8 {
		t.Errorf("the head agrees on %v of the rows, want 0.8", share)
	}
	o.Hidden = heads
	plain := options(t, 1)
	a, _ := run(t, o).History[0].Get("loss")
	b, _ := run(t, plain).History[0].Get("loss")
	if !(a > b) {
		t.Errorf("loss with a hidden layer is %v, without %v, want more", a, b)
	}
}

func TestEvents(t *testing.T) {
	o := options(t, 1)
	seen := map[train.Stage]int{}
	o.Events = func(e train.Event) {
		seen[e.Stage]++
		if e.Stage == train.StageStep && (e.Steps != 5 || e.Epochs != 3 || e.Metrics[0].Name != "loss" || e.Rate != .001) {
			t.Errorf("event is %+v", e)
		}
	}
	run(t, o)
	if seen[train.StagePredict] != 1 || seen[train.StageStep] != 15 || seen[train.StageEpoch] != 3 {
		t.Errorf("events are %v, want 1 predict, 15 step, 3 epoch", seen)
	}
	if _, err := json.Marshal(train.Progress{}); err != nil {
		t.Error(err)
	}
}
