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

// Scores of first votes are saved beside the calibration scores, go with the calibration
// that they are of, and are held against it. Detectors without are opened as ever.
func TestFirstVotes(t *testing.T) {
	want := sample(t)
	for i := range want.State.Scores {
		want.State.First = append(want.State.First, float64(i%7)/7)
	}
	dir := filepath.Join(t.TempDir(), "detector")
	if err := Save(dir, want, false); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil || !slices.Equal(got.State.First, want.State.First) {
		t.Fatalf("%v, %v", got, err)
	}
	if err := Recalibrate(dir, state(t, 100, 0.1, 4), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, FirstFile)); err == nil {
		t.Error("the first votes of the calibration before are still there")
	}
	if got, err = Load(dir); err != nil || got.State.First != nil {
		t.Fatalf("without first votes: %+v, %v", got, err)
	}
	for name, spoil := range map[string]func(s *detect.State){
		"one too few":  func(s *detect.State) { s.First = s.First[1:] },
		"not a number": func(s *detect.State) { s.First[3] = math.NaN() },
	} {
		spoilt := *want
		spoilt.State.First = slices.Clone(want.State.First)
		spoil(&spoilt.State)
		dir := filepath.Join(t.TempDir(), "spoilt")
		if err := Save(dir, &spoilt, false); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), FirstFile) {
			t.Errorf("%s: %v, want %s", name, err, FirstFile)
		}
	}
}
