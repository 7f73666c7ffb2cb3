package evaluate_test

import (
	"math"
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
)

// TestCertifiedReport counts four rows by hand.
func TestCertifiedReport(t *testing.T) {
	c := &detect.Certificates{Sigma: .5, Alpha: .01, Votes: 10, Proof: 100, Quorum: 6, ShareOf: .3, Rows: []detect.Certificate{
		{Radius: .3, Corrected: .1, Smoothed: .4, Alone: .2}, {Radius: .25, Smoothed: .3}, {Radius: .1, Smoothed: .2, Alone: .1}, {}}}
	r := &detect.Result{Predicted: []int{1, 0, 2, 2}, Corrected: []int{1, 0, 0, 1}, Adversarial: []bool{false, false, true, true}}
	got := evaluate.NewCertifiedReport(c, r, []int{1, 0, 0, 1}, true, []float64{0, .25})
	if got.FPR != .5 || got.Accuracy != .5 || got.AccuracyCorrected != 1 || got.CleanCost != -.5 || got.N != 4 {
		t.Errorf("%+v", got)
	}
	for _, want := range []evaluate.CertifiedPoint{
		{Radius: 0, RightOrFlagged: .75, RightOrFlaggedRight: 1, Corrected: .25, CorrectedRight: .5, Smoothed: .75, Alone: .5},
		{Radius: .25, RightOrFlagged: .25, RightOrFlaggedRight: .5, Corrected: 0, CorrectedRight: 0, Smoothed: .5, Alone: 0},
	} {
		p := got.At(want.Radius)
		if p == nil {
			t.Fatalf("no point at %g", want.Radius)
		}
		if p.CI95["right_or_flagged"].Hi <= p.RightOrFlagged || p.CI95["corrected"].Lo > p.Corrected {
			t.Errorf("intervals %v", p.CI95)
		}
		if p.CI95 = nil; p.RightOrFlagged != want.RightOrFlagged || p.RightOrFlaggedRight != want.RightOrFlaggedRight || p.Corrected != want.Corrected ||
			p.CorrectedRight != want.CorrectedRight || p.Smoothed != want.Smoothed || p.Alone != want.Alone {
			t.Errorf("%+v, want %+v", *p, want)
		}
	}
	if bare := evaluate.NewCertifiedReport(c, r, []int{1, 0, 0, 1}, false, nil); len(bare.Curve) != 21 || !math.IsNaN(float64(bare.Curve[0].Alone)) || bare.At(.5) == nil || bare.At(2) == nil {
		t.Errorf("%d points, %+v", len(bare.Curve), bare.Curve[0])
	}
}
