package artifact

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
)

// What a detector learnt of correction is saved, survives a calibration in place
// both ways, and is absent from the files of one that learnt nothing.
func TestCorrection(t *testing.T) {
	want := sample(t)
	least := make([]float64, want.Meta.Classifier.Classes)
	for i := range least {
		if least[i] = float64(i) / 3; i%2 == 0 {
			least[i] = math.Inf(-1)
		}
	}
	want.State.Correction = &detect.Correction{Correct: detect.Correct{Loss: .01, ClassLoss: .2}, N: 77, Labelled: true, Least: least}
	dir := filepath.Join(t.TempDir(), "detector")
	if err := Save(dir, want, false); err != nil {
		t.Fatal(err)
	}
	same := func() bool {
		got, err := Load(dir)
		if err != nil {
			t.Fatal(err)
		}
		c := got.State.Correction
		return c != nil && slices.Equal(c.Least, least) && c.Loss == .01 && c.ClassLoss == .2 && c.N == 77 && c.Labelled
	}
	if !same() {
		t.Error("another correction comes back")
	}
	if err := Recalibrate(dir, state(t, 100, 0.1, 4), nil, nil); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, MetaFile))
	if got, loadErr := Load(dir); err != nil || loadErr != nil || got.State.Correction != nil || strings.Contains(string(text), "correction") {
		t.Errorf("a calibration without leaves %s (%v, %v)", text, err, loadErr)
	}
	if err := Recalibrate(dir, want.State, nil, nil); err != nil || !same() {
		t.Errorf("with it again: %v", err)
	}
	want.State.Correction.Least = least[1:]
	spoilt := filepath.Join(t.TempDir(), "spoilt")
	if err := Save(spoilt, want, false); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(spoilt); err == nil || !strings.Contains(err.Error(), "margins for") {
		t.Errorf("a class too few: %v", err)
	}
}
