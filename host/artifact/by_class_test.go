package artifact

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
)

// byClass is a state with thresholds by class: all classes but the first have
// too few scores.
func byClass(t *testing.T, classes int) detect.State {
	t.Helper()
	s := state(t, 200, 0.05, 3)
	for i := range s.Scores {
		c := 0
		switch {
		case i%20 == 0:
			c = 1
		case i%10 == 5:
			c = 2
		}
		s.Classes = append(s.Classes, c)
	}
	alpha := 0.05
	th, err := detect.NewClassThresholds(detect.Rule{FPR: &alpha, By: detect.ByPredictedClass, MinRows: 25}, s.Scores, s.Classes, classes)
	if err != nil {
		t.Fatal(err)
	}
	s.Threshold = &th
	return s
}

// Thresholds by class are saved with the classes that they follow from, survive a
// calibration in place both ways, and are held against each other.
func TestThresholdsByClass(t *testing.T) {
	want := sample(t)
	want.State = byClass(t, want.Meta.Classifier.Classes)
	dir := filepath.Join(t.TempDir(), "detector")
	if err := Save(dir, want, false); err != nil {
		t.Fatal(err)
	}
	same := func(got detect.State) bool {
		return slices.Equal(got.Classes, want.State.Classes) && slices.Equal(got.Scores, want.State.Scores) &&
			slices.Equal(got.Threshold.ByClass, want.State.Threshold.ByClass) && got.Threshold.Rule.By == detect.ByPredictedClass && got.Threshold.Rule.MinRows == 25
	}
	got, err := Load(dir)
	if err != nil || !same(got.State) {
		t.Fatalf("%+v, %v", got, err)
	}
	if th := got.State.Threshold.ByClass; !th[0].Own || th[0].Shared || !th[1].Shared || !th[2].Shared {
		t.Errorf("thresholds %+v", got.State.Threshold.ByClass)
	}
	if err := Recalibrate(dir, state(t, 100, 0.1, 4), nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, ClassesFile)); err == nil {
		t.Error("the classes of the calibration before are still there")
	}
	if got, err = Load(dir); err != nil || got.State.Classes != nil || got.State.Threshold.ByClass != nil {
		t.Fatalf("one threshold: %+v, %v", got.State, err)
	}
	if err := Recalibrate(dir, want.State, nil, nil); err != nil {
		t.Fatal(err)
	}
	if got, err = Load(dir); err != nil || !same(got.State) {
		t.Fatalf("by class again: %v", err)
	}
	for name, c := range map[string]struct {
		spoil func(s *detect.State)
		want  string
	}{
		"another threshold":   {func(s *detect.State) { s.Threshold.ByClass[0].Value++ }, "by class do not follow"},
		"another class":       {func(s *detect.State) { s.Classes[199] = 1 - s.Classes[199] }, "by class do not follow"},
		"a threshold too few": {func(s *detect.State) { s.Threshold.ByClass = s.Threshold.ByClass[1:] }, "thresholds by class for"},
		"no such class":       {func(s *detect.State) { s.Classes[7] = 99 }, ClassesFile},
		"a class too few":     {func(s *detect.State) { s.Classes = s.Classes[1:] }, "199 predicted classes"},
	} {
		spoilt := *want
		spoilt.State = byClass(t, want.Meta.Classifier.Classes)
		c.spoil(&spoilt.State)
		dir := filepath.Join(t.TempDir(), "spoilt")
		if err := Save(dir, &spoilt, false); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
