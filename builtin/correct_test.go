package builtin_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// lopsidedTable writes a table of which 92 % are one class, as thyroid tables are:
// the other two differ from it in two columns of 24 each. It is the text of a spec
// on it whose auto-encoder is too narrow for the rare classes.
func lopsidedTable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	r := rand.New(rand.NewPCG(17, 5))
	for _, part := range []struct {
		role string
		n    int
	}{{"train", 1500}, {"calibration", 2500}, {"test", 2500}} {
		role, n := part.role, part.n
		x, y := tensor.New(n, 24), make([]int, n)
		for i := range n {
			switch u := r.Float64(); {
			case u > .97:
				y[i] = 2
			case u > .92:
				y[i] = 1
			}
			for j := range 24 {
				v := r.NormFloat64()
				if y[i] > 0 && j/2 == y[i] {
					v = 3 + v/2
				}
				x.Row(i)[j] = float32(v)
			}
		}
		f, err := os.Create(filepath.Join(dir, role+".npz"))
		if err != nil {
			t.Fatal(err)
		}
		if err := dataset.WriteNPZ(f, []dataset.Array{{Name: "x", Shape: x.Shape, Data: x.Data}, {Name: "y", Shape: []int{n}, Data: y}}); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	spec := filepath.Join(dir, "table.yaml")
	text := fmt.Sprintf(`api_version: vaeguard/v1
kind: Experiment
name: lopsided
seed: 3
data:
  train:       {file: %[1]s/train.npz, x: x, y: y}
  calibration: {file: %[1]s/calibration.npz, x: x, y: y}
  test:        {file: %[1]s/test.npz, x: x, y: y}
classifier: {plugin: mlp, config: {hidden: [32]}, train: {epochs: 20, batch_size: 32}}
vae:
  latent_dim: 1
  encoder: [{dense: {units: 32, activation: relu}}]
  decoder: [{dense: {units: 32, activation: relu}}, {dense: {units: 24}}]
detector: {samples: 10}
train: {epochs: 6, batch_size: 32}
threshold: {fpr: 0.05}
attacks: [{fgsm: {norm: linf, eps: 0.5}}, {pgd: {norm: linf, eps: 0.5}}]
evaluate: {bootstrap: 100}
`, filepath.ToSlash(dir))
	if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return spec
}

// Where the second opinion does not know the rare classes, correcting every flagged
// row takes right answers away. With detector.correct and thresholds by class the
// corrected accuracy is that of the bare classifier, but for .005, no predicted class with
// 30 rows has more than three times the promised false alarms, and under attack
// correction gains all the same. A detector that was opened gives the same answers.
func TestCorrectOnALopsidedTable(t *testing.T) {
	ctx := context.Background()
	spec := lopsidedTable(t)
	run := func(attacks []registry.Component, set ...string) (r *evaluate.Report, d *host.Detector) {
		e, err := host.Load(spec, set, builtin.Components(), host.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { e.Close() })
		if d, err = e.TrainTo(ctx, host.TrainOptions{Out: filepath.Join(t.TempDir(), "guard")}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { d.Close() })
		if r, _, err = d.Evaluate(ctx, host.EvaluateOptions{Attacks: attacks}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%v: accuracy %.4f, corrected %.4f", set, r.Classifier.Accuracy, r.Clean.AccuracyCorrected)
		for _, a := range r.Attacks {
			t.Logf("  %s: accuracy %.4f, corrected %.4f", a.ID, a.Accuracy, a.AccuracyCorrected)
		}
		return r, d
	}
	before, _ := run([]registry.Component{})
	if loss := before.Classifier.Accuracy - before.Clean.AccuracyCorrected; loss < .01 {
		t.Fatalf("correcting all flagged rows costs %.4f: the table shows nothing", loss)
	}
	r, d := run(nil, "threshold.by=predicted_class", "detector.correct={}")
	if loss := r.Classifier.Accuracy - r.Clean.AccuracyCorrected; loss > .005 {
		t.Errorf("correction costs %.4f of the accuracy on clean rows, want at most .005", loss)
	}
	for _, a := range r.Attacks {
		if gain := a.AccuracyCorrected - a.Accuracy; gain < .01 {
			t.Errorf("under %s correction gains %.4f: it abstains where it is wanted", a.ID, gain)
		}
	}
	rows, err := d.Experiment.Rows(dataset.RoleTest)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := d.Detector.Detect(ctx, rows.X, detect.Include{})
	if err != nil {
		t.Fatal(err)
	}
	n, flagged := make([]float64, 3), make([]float64, 3)
	for i, c := range seen.Predicted {
		n[c]++
		if seen.Adversarial[i] {
			flagged[c]++
		}
	}
	for c := range n {
		if rate := flagged[c] / n[c]; n[c] >= 30 && rate > 3*.05 {
			t.Errorf("class %d: %.3f of %g rows are flagged, promised .05", c, rate, n[c])
		}
	}
	again, err := host.Open(d.Saved.Dir, builtin.Components())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	same, err := again.Detector.Detect(ctx, rows.X, detect.Include{})
	if err != nil || !slices.Equal(same.Corrected, seen.Corrected) {
		t.Errorf("the opened detector has other answers (%v)", err)
	}
	kept := 0
	for i := range seen.Corrected {
		if seen.Adversarial[i] && seen.Corrected[i] != seen.Reconstructed[i] {
			kept++
		}
	}
	if kept == 0 {
		t.Error("no flagged row keeps the classifier's answer")
	}
}
