package host_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
)

// priced is what a run of digits would take, by phase, where whatever is measured takes a
// millisecond a batch.
func priced(t *testing.T, set ...string) map[string]time.Duration {
	t.Helper()
	now := time.Now()
	return pricedBy(t, func() time.Time {
		now = now.Add(time.Millisecond)
		return now
	}, set...)
}

func pricedBy(t *testing.T, now func() time.Time, set ...string) map[string]time.Duration {
	t.Helper()
	e, err := host.Load("../specs/digits-mlp.yaml", set, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	e.SetClock(now)
	p, err := e.Price(t.Context(), true)
	if err != nil || p == nil {
		t.Fatalf("price %v, error %v", p, err)
	}
	out, sum := map[string]time.Duration{}, time.Duration(0)
	for _, phase := range p.Phases {
		out[phase.Name] = phase.Time
		sum += phase.Time
	}
	if sum != p.Total {
		t.Errorf("phases add up to %s, the total is %s", sum, p.Total)
	}
	return out
}

// TestPrice: what costs a multiple is told as a multiple.
func TestPrice(t *testing.T) {
	smoothed := func(votes string) []string {
		return []string{"detector={method: smoothed, sigma: 0.1, votes: " + votes + ", proof_votes: 1000}", "evaluate={curve_rows: -1, certified_rows: 20}", "attacks=[{noise: {norm: linf, eps: 0.15}}]",
			"vae.encoder=[{dense: {units: 16}}]", "train.early_stopping=null"}
	}
	hardened := func(through string) []string {
		return []string{"train.harden={eps: 0.1, steps: 20, robust: {steps: 0}, through: " + through + "}"}
	}
	for _, c := range []struct {
		name       string
		less, more []string
		phase      string
		from, to   float64 // of the ratio
	}{
		{"votes", smoothed("2"), smoothed("200"), "calibration", 20, 500},
		{"votes in the evaluation", smoothed("2"), smoothed("200"), "evaluation", 10, 500},
		{"differences", nil, []string{"classifier.gradient=finite_difference"}, "training", 3, 500},
		{"differences in attacks", nil, []string{"classifier.gradient=finite_difference"}, "evaluation", 3, 500},
		{"nes", []string{"classifier.gradient=nes", "classifier.differences={pairs: 4}"},
			[]string{"classifier.gradient=nes", "classifier.differences={pairs: 64}"}, "training", 2.5, 30},
		{"a surrogate of more epochs", []string{"classifier.gradient=surrogate", "classifier.surrogate={epochs: 10}"},
			[]string{"classifier.gradient=surrogate", "classifier.surrogate={epochs: 200}"}, "surrogate", 2, 40},
		{"through", hardened("classifier"), hardened("guard"), "training", 1.15, 10},
		{"a loss without the classifier", []string{"train.loss=mse"}, nil, "training", 1.5, 100},
		{"the plugin's epochs", []string{"classifier.train={epochs: 1}"}, []string{"classifier.train={}"}, "classifier", 2, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			less, more := priced(t, c.less...)[c.phase], priced(t, c.more...)[c.phase]
			if ratio := float64(more) / float64(less); !(ratio > c.from && ratio < c.to) {
				t.Errorf("%s takes %s and %s: a ratio of %.3g, want %g to %g", c.phase, less, more, ratio, c.from, c.to)
			}
		})
	}
	if got := priced(t, smoothed("10")...)["certificates"]; got == 0 {
		t.Error("certificates are not counted")
	}
	if got := priced(t, "evaluate={certified_rows: 20}")["certificates"]; got != 0 {
		t.Errorf("certificates of a guard that does not vote take %s", got)
	}
}

// TestPriceOfScoring: scoring is measured in its own precision, and not in that of training.
func TestPriceOfScoring(t *testing.T) {
	t.Setenv("VAEGUARD_KERNEL", "generic") // where bf16 takes many times as long
	in := func(precision string) time.Duration {
		return pricedBy(t, time.Now, "train.precision="+precision, "vae.encoder=[{dense: {units: 2048}}]", "vae.decoder=[{dense: {units: 2048}}, {dense: {units: 64}}]")["calibration"]
	}
	if a, b := in("float32"), in("bf16"); b > 10*a { // it was 34 times as much
		t.Errorf("calibration in float32 takes %s after a training in float32, %s after one in bf16", a, b)
	}
}

// guardOfDigits is the small guard, trained, and its spec.
func guardOfDigits(t *testing.T) (file, dir string) {
	t.Helper()
	tmp := t.TempDir()
	file, dir = filepath.Join(tmp, "small.yaml"), filepath.Join(tmp, "guard")
	if err := os.WriteFile(file, []byte(resumed), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, nil, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return file, dir
}

// TestPriceOfFineTuning: a classifier with weights that is trained further is priced too.
func TestPriceOfFineTuning(t *testing.T) {
	file, dir := guardOfDigits(t)
	weights, err := filepath.Glob(filepath.Join(dir, "classifier", "*.safetensors"))
	if err != nil || len(weights) != 1 {
		t.Fatalf("weights %v, error %v", weights, err)
	}
	e, err := host.Load(file, []string{"classifier.config.weights=" + weights[0], "classifier.train.epochs=20000"}, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	p, err := e.Price(t.Context(), false)
	if err != nil || p == nil {
		t.Fatalf("price %v, error %v", p, err)
	}
	for _, phase := range p.Phases {
		if phase.Name == "classifier" {
			return
		}
	}
	t.Errorf("%+v: 20,000 epochs of fine-tuning cost nothing", p.Phases)
}

// TestBorrowedLayers: what looks at layers before a training finds those of vae.from.
func TestBorrowedLayers(t *testing.T) {
	file, dir := guardOfDigits(t)
	e, err := host.Load(file, []string{"vae={from: " + dir + "}"}, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	layers, err := e.Describe()
	if err != nil || len(layers) != 4 {
		t.Errorf("%d layers, error %v, want an encoder's, two heads and a decoder's", len(layers), err)
	}
	if p, err := e.Price(t.Context(), false); err != nil || p == nil {
		t.Errorf("price %v, error %v", p, err)
	}
	if r, err := e.Bench(t.Context(), host.BenchOptions{NoPlugin: true, StepsOnly: true, Budget: time.Millisecond}); err != nil || r.Train.Params == 0 {
		t.Errorf("bench %v, error %v", r, err)
	}
}
