package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/launch"
)

// smallGuard trains a detector.
func smallGuard(t *testing.T) (file, dir string) {
	t.Helper()
	tmp := t.TempDir()
	file, dir = filepath.Join(tmp, "small.yaml"), filepath.Join(tmp, "guard")
	if err := os.WriteFile(file, []byte(resumed), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, nil, builtin.Components(), host.Options{})
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

func openGuard(t *testing.T, dir string, o host.OpenOptions) *host.Detector {
	t.Helper()
	d, err := host.Open(dir, builtin.Components(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// A detector keeps rows whose answers are known, and tells when they are others.
func TestCanaries(t *testing.T) {
	_, dir := smallGuard(t)
	d := openGuard(t, dir, host.OpenOptions{})
	c := d.Saved.Canaries
	if c == nil || len(c.X) != 4 {
		t.Fatalf("%+v", c)
	}
	rows, err := d.Experiment.Rows(dataset.RoleCalibration)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows.N() { // nobody's row is kept
		for _, x := range c.X {
			if reflect.DeepEqual(rows.X.Row(i), x) {
				t.Errorf("row %d of the data is a canary", i)
			}
		}
	}
	if same, err := d.CheckCanaries(t.Context()); err != nil || !same {
		t.Errorf("%t, %v", same, err)
	}
	was := c.Scores[0][2]
	c.Scores[0][2] = was * (1 + 1e-6) // another library's last bits
	if same, err := d.CheckCanaries(t.Context()); err != nil || same {
		t.Errorf("other last bits: %t, %v", same, err)
	}
	var other *host.CanaryError
	c.Scores[0][2] = was + 1
	if _, err := d.CheckCanaries(t.Context()); !errors.As(err, &other) || other.Row != 2 || !strings.Contains(err.Error(), "canary row 2: score 0 is ") {
		t.Errorf("another score: %v", err)
	}
	c.Scores[0][2] = was
	c.Probabilities[1][3] += 0.1
	if _, err := d.CheckCanaries(t.Context()); !errors.As(err, &other) || other.Row != 1 {
		t.Errorf("another probability: %v", err)
	}
	c.Probabilities[1][3] -= 0.1

	// They stay through a calibration in place and elsewhere; a detector without
	// any is asked whether its classifier answers.
	if err := d.Recalibrate(t.Context(), rows, *d.Experiment.Spec.Threshold, ""); err != nil || d.Saved.Canaries == nil {
		t.Errorf("recalibrated in place: %v, %v", d.Saved.Canaries, err)
	}
	elsewhere := filepath.Join(t.TempDir(), "other")
	if err := d.Recalibrate(t.Context(), rows, *d.Experiment.Spec.Threshold, elsewhere); err != nil || d.Saved.Canaries == nil {
		t.Errorf("recalibrated elsewhere: %v, %v", d.Saved.Canaries, err)
	}
	without := *d.Saved
	without.Canaries = nil
	old := filepath.Join(t.TempDir(), "old")
	if err := artifact.Save(old, &without, false); err != nil {
		t.Fatal(err)
	}
	if same, err := openGuard(t, old, host.OpenOptions{}).CheckCanaries(t.Context()); err != nil || !same {
		t.Errorf("without canaries: %t, %v", same, err)
	}
}

// A known answer and a replica give the bits of Detect.
func TestGivenAndReplica(t *testing.T) {
	_, dir := smallGuard(t)
	d := openGuard(t, dir, host.OpenOptions{})
	rows, err := d.Experiment.Rows(dataset.RoleCalibration)
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.DetectRows(t.Context(), rows, detect.Include{Probabilities: true})
	if err != nil {
		t.Fatal(err)
	}
	p, err := d.Classifier.Predict(t.Context(), rows.X)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := filepath.Glob(filepath.Join(dir, "classifier", "*.safetensors"))
	if err != nil || len(weights) != 1 {
		t.Fatal(weights, err)
	}
	copied := openGuard(t, dir, host.OpenOptions{Replica: &host.Replica{
		Model: launch.Section{Plugin: "mlp", Config: map[string]any{"weights": filepath.Base(weights[0])}}, Base: filepath.Dir(weights[0])}})
	if copied.Replica == nil || copied.Asked(0, true) != 0 {
		t.Fatalf("the guarded classifier is asked for %d rows a row", copied.Asked(0, true))
	}
	for name, guard := range map[string]*host.Detector{"own": d, "replica": copied} {
		got, err := guard.DetectGiven(t.Context(), rows, p, detect.GivenOptions{Include: detect.Include{Probabilities: true}})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: other bits, %v", name, err)
		}
		if same, err := guard.CheckCanaries(t.Context()); err != nil || !same {
			t.Errorf("%s: canaries: %t, %v", name, same, err)
		}
	}
}
