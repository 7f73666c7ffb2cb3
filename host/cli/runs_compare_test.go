package cli

import (
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// The best of a line is marked where there is one: not of what has no direction,
// nor where a run lacks the figure, nor where all are alike.
func TestBest(t *testing.T) {
	v := func(x float64) *float64 { return &x }
	for _, c := range []struct {
		name   string
		values []*float64
		up     int
		want   []int
	}{
		{"more", []*float64{v(.1), v(.3), v(.2)}, 1, []int{1}},
		{"less", []*float64{v(.1), v(.3), v(.1)}, -1, []int{0, 2}},
		{"alike", []*float64{v(.1), v(.1)}, 1, nil},
		{"no direction", []*float64{v(.1), v(.2)}, 0, nil},
		{"missing", []*float64{v(.1), nil}, 1, nil},
	} {
		if got := best(c.values, c.up); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What a report tells of attackers that know the detector, of corruptions and of proofs is
// compared too, in the right direction.
func TestFiguresOfAReport(t *testing.T) {
	report := func(evaded, cost, proved float64) *evaluate.Report {
		return &evaluate.Report{
			AdaptiveUnion: &evaluate.UnionReport{Evaded: evaluate.Number(evaded)},
			Corruptions:   []evaluate.CorruptionReport{{ID: "blur-1", FlaggedHarmless: evaluate.Number(cost), AccuracyCorrected: proved}},
			Certified: &evaluate.CertifiedReport{CleanCost: cost, Curve: []evaluate.CertifiedPoint{
				{Radius: 0, RightOrFlagged: .9}, {Radius: .05}, {Radius: .1}, {Radius: .15}, {Radius: .2}, {Radius: .25, RightOrFlagged: proved},
			}},
		}
	}
	got := figuresOf([]*evaluate.Report{report(.3, .02, .5), report(.2, .01, .4)})
	for name, best := range map[string][]int{
		"adaptive_union.evaded": {1}, "corruptions.blur-1.flagged_harmless": {1}, "corruptions.blur-1.accuracy_corrected": {0},
		"certified.clean_cost": {1}, "certified.right_or_flagged at 0": nil, "certified.right_or_flagged at 0.25": {0},
	} {
		i := slices.IndexFunc(got, func(f figure) bool { return f.Name == name })
		if i < 0 {
			t.Errorf("%s is not compared", name)
		} else if !slices.Equal(got[i].Best, best) {
			t.Errorf("%s: best %v, want %v", name, got[i].Best, best)
		}
	}
	if slices.ContainsFunc(got, func(f figure) bool { return f.Name == "certified.right_or_flagged at 0.05" }) {
		t.Error("every point of the curve is a line")
	}
}
