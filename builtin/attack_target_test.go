package builtin_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
)

// An attack that knows the detector succeeds where that says so: a row evades it or, of an attack that is to raise
// false alarms, is right and flagged; as the row comes back raw, too.
func TestAdaptiveTarget(t *testing.T) {
	set := []string{"classifier.train.epochs=4", "train.epochs=2", "classifier.config={hidden: [64]}"}
	for _, role := range []string{"train", "validation", "calibration", "test"} {
		set = append(set, "data."+role+".scale=standard")
	}
	e, err := host.Load("digits-mlp", set, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: filepath.Join(t.TempDir(), "detector")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	rows, err := d.Experiment.Rows(dataset.RoleTest)
	if err != nil {
		t.Fatal(err)
	}
	x, y := rows.X.Rows(0, 60), rows.Labels[:60]
	target := &host.Target{Experiment: d.Experiment, Classifier: d.Model(), Detector: d}
	for _, name := range []string{"joint", "false_alarm"} {
		a, err := host.ParseAttack(name, []string{"eps=0.6", "steps=10"}, builtin.Components())
		if err != nil {
			t.Fatal(err)
		}
		adv, err := target.Attack(t.Context(), x, y, nil, a, 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := func(r *detect.Result) []bool {
			ok := make([]bool, len(y))
			for i := range ok {
				wrong := r.Predicted[i] != y[i]
				ok[i] = wrong && !r.Adversarial[i]
				if name == "false_alarm" {
					ok[i] = !wrong && r.Adversarial[i]
				}
			}
			return ok
		}
		seen, err := d.Detector.Detect(t.Context(), adv.XAdv, detect.Include{})
		if err != nil {
			t.Fatal(err)
		}
		if ok := want(seen); !slices.Equal(adv.Success, ok) || !slices.Contains(ok, true) {
			t.Errorf("%s: success %v, and the detector says %v", name, adv.Success, ok)
		}
		space, err := target.ToRaw(t.Context(), adv, nil)
		if err != nil || space != host.SpaceRaw {
			t.Fatalf("%s: rows are %s, %v", name, space, err)
		}
		if seen, err = d.Detect(t.Context(), adv.XAdv); err != nil {
			t.Fatal(err)
		}
		if ok := want(seen); !slices.Equal(adv.Success, ok) {
			t.Errorf("%s, raw: success %v, and the detector says %v", name, adv.Success, ok)
		}
	}
}
