package builtin_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/specs"
)

// trained is the health of a shipped spec's guard, with overrides, trained
// briefly.
func trained(t *testing.T, spec string, set ...string) *health.Report {
	t.Helper()
	m := trainedMeta(t, spec, set...)
	if m.Health == nil {
		t.Fatal("the detector has no health")
	}
	return m.Health
}

// trainedMeta is the meta.json of a spec's guard, with overrides.
func trainedMeta(t *testing.T, spec string, set ...string) artifact.Meta {
	t.Helper()
	e, err := host.Load(spec, set, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d, err := e.TrainTo(context.Background(), host.TrainOptions{Out: filepath.Join(t.TempDir(), "guard")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	return d.Saved.Meta
}

// shipped are the specs and templates that make a guard. Those with a few keys for a
// brief training are trained so in every run; VAEGUARD_SPECS=1 trains all as they are, which
// takes hours for cifar10-cnn, or a pattern of names, VAEGUARD_SPECS='^mnist-cnn$'.
// VAEGUARD_SPECS_SET, keys=values with a space between, shortens them.
var shipped = map[string][]string{
	"breast-cancer-mlp":  {"classifier.train.epochs=20", "train.epochs=20"},
	"cifar10-cnn":        nil,
	"demo":               {"classifier.train.epochs=8", "train.epochs=8"},
	"digits-mlp":         {"classifier.train.epochs=15", "train.epochs=12"},
	"fashion-cnn":        nil,
	"fashion-smoothed":   nil,
	"mnist-cnn":          nil,
	"mnist-hardened-cnn": nil,
	"templates/image":    {"classifier.train.epochs=8", "train.epochs=6"},
	"templates/tabular":  {"train.epochs=20"},
}

// The guards of every shipped spec and template are found sound, and what is looked
// at is all there.
func TestShippedGuardsAreSound(t *testing.T) {
	all, err := fs.Glob(specs.FS, "templates/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range specs.Names() {
		if !strings.HasPrefix(name, "bench-") { // they have no rows
			all = append(all, name+".yaml")
		}
	}
	if len(all) != len(shipped) {
		t.Errorf("%d specs ship, %d are known here", len(all), len(shipped))
	}
	for _, file := range all {
		name := strings.TrimSuffix(file, ".yaml")
		t.Run(name, func(t *testing.T) {
			set, known := shipped[name]
			if !known {
				t.Fatal("no case for this spec")
			}
			text, err := fs.ReadFile(specs.FS, file)
			if err != nil {
				t.Fatal(err)
			}
			switch which := os.Getenv("VAEGUARD_SPECS"); {
			case which == "" && set == nil:
				t.Skip("it takes minutes; VAEGUARD_SPECS=1 trains it")
			case which == "" && testing.Short() && strings.Contains(string(text), "conv2d"):
				t.Skip("it takes some seconds")
			case which != "" && which != "1":
				if !regexp.MustCompile(which).MatchString(name) {
					t.Skipf("VAEGUARD_SPECS is %s", which)
				}
				fallthrough
			case which == "1":
				set = strings.Fields(os.Getenv("VAEGUARD_SPECS_SET"))
			}
			path := filepath.Join(t.TempDir(), "spec.yaml")
			if err := os.WriteFile(path, []byte(strings.Replace(string(text), "NAME", "mine", 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			r := trained(t, path, set...)
			figure := func(v *float64) string {
				if v == nil {
					return "–"
				}
				return fmt.Sprintf("%.3f", *v)
			}
			t.Logf("| %s | %d | %s, %s | %s | %s | %.0f s |", name, r.Rows, figure(r.Accuracy), figure(r.AccuracyCorrected), figure(r.Kept), figure(r.FalseAlarms), time.Since(began).Seconds())
			var names []string
			for _, f := range r.Findings {
				t.Logf("%s %s: %s", f.Severity, f.Name, f.Message)
				if names = append(names, f.Name); f.Severity != health.Note {
					t.Errorf("%s is warned of %s: %s", name, f.Name, f.Message)
				}
			}
			want := []string{health.Classifier, health.Kept, health.Reached, health.FalseAlarms, health.Correction, health.Score, health.DeadUnits}
			if name == "fashion-smoothed" {
				want = want[:len(want)-1] // votes have no code and no fusion
			}
			hardened := strings.Contains(string(text), "preset: recommended") || strings.Contains(string(text), "harden:")
			if hardened && strings.Contains(string(text), "validation:") && !slices.Contains(set, "train.harden=null") {
				want = append(want, health.Hardening)
			}
			if !slices.Equal(names, want) {
				t.Errorf("looked at %v, want %v", names, want)
			}
		})
	}
}

// Guards that are really bad are found out, each for what is wrong with it.
func TestBadGuardsAreFoundOut(t *testing.T) {
	for name, c := range map[string]struct {
		set  []string
		want string
	}{
		"one short pass":  {[]string{"classifier.train.epochs=15", "train.epochs=1", "train.batch_size=512", "train.early_stopping=null"}, health.Kept},
		"no classifier":   {[]string{"classifier.train.epochs=1", "classifier.train.batch_size=2048", "train.epochs=1", "train.early_stopping=null"}, health.Classifier},
		"the code sleeps": {[]string{"classifier.train.epochs=15", "train.epochs=3", "detector.beta=1000000", "train.loss.adversarial.w_model=0.000001"}, health.Kept},
	} {
		t.Run(name, func(t *testing.T) {
			r := trained(t, "digits-mlp", c.set...)
			f, _ := r.Finding(c.want)
			t.Logf("%+v", r.Findings)
			if f.Severity == health.Note || len(f.Cures) == 0 {
				t.Errorf("%s: %+v", c.want, f)
			}
			if r.Check() == nil {
				t.Error("--strict would accept it")
			}
		})
	}
}

// A classifier that was trained on raw rows and gets standardised ones is found
// out, by what its author declares and without a word from the author, and so is the
// cause; with the rows that it was trained on there is nothing to find.
func TestUnitsOfTheClassifier(t *testing.T) {
	e, err := host.Load("digits-mlp", []string{"classifier.train.epochs=15", "classifier.config={hidden: [64]}"}, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	dir := t.TempDir()
	cl, err := e.StartClassifier(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil || len(files) != 1 {
		t.Fatalf("weights %v (%v)", files, err)
	}
	text, err := os.ReadFile("../specs/digits-mlp.yaml")
	if err != nil {
		t.Fatal(err)
	}
	spec := filepath.Join(dir, "ready.yaml")
	section := strings.Replace(string(text), "  config: {hidden: [64], range: [0, 1]}\n  train: {epochs: 30, batch_size: 32}\n", fmt.Sprintf("  config: {hidden: [64], weights: %s}\n", filepath.ToSlash(files[0])), 1)
	if section == string(text) {
		t.Fatal("the spec has another classifier")
	}
	if err := os.WriteFile(spec, []byte(section), 0o600); err != nil {
		t.Fatal(err)
	}
	ready := []string{"train.epochs=1", "train.early_stopping=null"}
	scaled := slices.Clone(ready)
	for _, role := range []string{"train", "validation", "calibration", "test"} {
		scaled = append(scaled, "data."+role+".scale=standard")
	}
	finding := func(set ...string) (health.Finding, *health.Report) {
		r := trained(t, spec, set...)
		f, _ := r.Finding(health.Classifier)
		t.Logf("%s: %s", f.Severity, f.Message)
		return f, r
	}
	const declared = "classifier.accuracy=0.95"
	f, r := finding(append(scaled, declared)...)
	if f.Severity == health.Note || !strings.Contains(f.Message, "its author declares 95.0 %") || !strings.Contains(f.Message, "without data.prepare and scale, it is right on") || !strings.HasPrefix(f.Cures[0], "data.prepare: leave out") {
		t.Errorf("%+v", f)
	}
	if r.AccuracyDeclared == nil || *r.AccuracyDeclared != 0.95 || r.AccuracyUnprepared == nil || *r.AccuracyUnprepared < 0.9 {
		t.Errorf("declared %v, on raw rows %v", r.AccuracyDeclared, r.AccuracyUnprepared)
	}
	if f, _ := finding(scaled...); f.Severity == health.Note || !strings.HasPrefix(f.Cures[0], "data.prepare: leave out") {
		t.Errorf("nothing is declared: %+v", f)
	}
	if f, r := finding(append(ready, declared)...); f.Severity != health.Note || r.AccuracyUnprepared != nil {
		t.Errorf("raw rows: %+v", f)
	}
}

// Each cure begins with keys that a spec has.
func TestCuresAreKeys(t *testing.T) {
	var m health.Measured
	m.Classes, m.Coded, m.Promised = 2, true, 0.05
	keys := map[string]bool{}
	add := func(m health.Measured) {
		for _, f := range health.Judge(m).Findings {
			for _, c := range f.Cures {
				head, _, ok := strings.Cut(c, ": ")
				if !ok {
					t.Errorf("%q does not begin with a key", c)
				}
				for k := range strings.SplitSeq(head, ", ") {
					keys[k] = true
				}
			}
		}
	}
	for i := range 200 {
		m.Labels, m.Predicted = append(m.Labels, i%2), append(m.Predicted, i%4/3)
		m.Reconstructed, m.Score = append(m.Reconstructed, 0), append(m.Score, 0)
		m.Flagged = append(m.Flagged, i%2 == 1)
	}
	m.Code, m.Parts, m.PartNames = []float64{0}, [][]float64{m.Score}, []string{"kl"}
	m.Surrogate = &health.Agreement{Plain: .9, Balanced: .5, Majority: .9, N: 100}
	add(m)
	m.Parts = nil
	add(m)
	m.Coded = false
	add(m)
	if len(keys) < 12 {
		t.Errorf("only %d keys: %v", len(keys), keys)
	}
	for k := range keys {
		if _, err := host.Explain(k, builtin.Components()); err == nil {
			continue
		}
		parts := strings.Split(k, ".") // an option of a component, which its own page explains
		component := parts[len(parts)-2]
		if component == "detector" {
			component = "vae"
		}
		if page, err := host.Explain(component, builtin.Components()); err != nil || !strings.Contains(page, parts[len(parts)-1]) {
			t.Errorf("cure %s: no such key (%v)", k, err)
		}
	}
}
