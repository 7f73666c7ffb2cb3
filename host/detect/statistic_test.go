package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// sided are n points at distances of up to 1 on either side of the plane: some votes are
// for the other side.
func sided(r *rand.Rand, n int) *tensor.Tensor {
	return points(r.Uint64(), n, func(int) float64 {
		v := .1 + .9*r.Float64()
		if r.Float64() < .5 {
			v = -v
		}
		return v
	})
}

// TestPValuesOfEarlyVotes: over calibration sets the share of clean rows with a p-value of at
// most p is at most p, whatever p is, also where votes end early; a row is flagged if and
// only if its p-value is at most the promised rate; and no p-value is below that of all votes.
func TestPValuesOfEarlyVotes(t *testing.T) {
	const sets, rows, rate = 80, 200, .1
	at := []float64{.02, .05, rate, .15, .2, .3, .5, .7, .9}
	for _, rule := range []Rule{{FPR: ptr(rate)}, {FPR: ptr(rate), By: ByPredictedClass}} {
		sum, square := make([]float64, len(at)), make([]float64, len(at))
		ended := 0
		for s := range sets {
			r := rand.New(rand.NewPCG(uint64(s), 6))
			o := Options{Method: "noisy", Classifier: halfSpace{}, Opinion: noisy{Votes{Sigma: .5, N: 40, Stop: .01, Proof: Proof{Votes: 1, Alpha: .5}}}, Scores: []NamedScore{{"votes", testVotes{}}}, Threads: 1}
			d := build(t, o)
			if _, err := d.Calibrate(t.Context(), sided(r, 199), rule); err != nil {
				t.Fatal(err)
			}
			x := sided(r, rows)
			got, err := d.Detect(t.Context(), x, Include{})
			if err != nil {
				t.Fatal(err)
			}
			all, err := d.Detect(t.Context(), x, Include{AllVotes: true})
			if err != nil {
				t.Fatal(err)
			}
			share := make([]float64, len(at))
			for i, p := range got.PValue {
				for k, most := range at {
					if p <= most {
						share[k] += 1. / rows
					}
				}
				if got.Adversarial[i] != (p <= rate+1e-12) {
					t.Fatalf("row %d: flagged %v with a p-value of %g", i, got.Adversarial[i], p)
				}
				if p < all.PValue[i] {
					t.Fatalf("row %d: a p-value of %g, with all votes %g", i, p, all.PValue[i])
				}
				if got.Score[i] != all.Score[i] {
					ended++
				}
			}
			for k, v := range share {
				sum[k], square[k] = sum[k]+v/sets, square[k]+v*v/sets
			}
		}
		for k, p := range at {
			if e := math.Sqrt((square[k] - sum[k]*sum[k]) / sets); sum[k] > p+4*e {
				t.Errorf("by %q: %.4f of clean rows have a p-value of at most %g (standard error %.4f)", rule.By, sum[k], p, e)
			}
		}
		if ended < sets*rows/10 {
			t.Errorf("votes of %d rows ended early: the test shows nothing", ended)
		}
	}
}

// TestAllVotes: with AllVotes scores are those of all votes, as Scores has them, and verdicts
// and answers those of Detect; the statistic is one and the same, in any batch, and for
// calibration rows that of the calibration.
func TestAllVotes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 6))
	o := Options{Method: "noisy", Classifier: halfSpace{}, Opinion: noisy{Votes{Sigma: .5, N: 40, Stop: .2, Proof: Proof{Votes: 1, Alpha: .9}}}, Scores: []NamedScore{{"votes", testVotes{}}}, Threads: 1}
	d, clean, x := build(t, o), sided(r, 200), sided(r, 600)
	if _, err := d.Calibrate(t.Context(), clean, Rule{FPR: ptr(.3)}); err != nil {
		t.Fatal(err)
	}
	early, err := d.Detect(t.Context(), x, Include{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := d.Detect(t.Context(), x, Include{AllVotes: true})
	if err != nil {
		t.Fatal(err)
	}
	scores, err := d.Scores(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(all.Score, scores) || slices.Equal(early.Score, scores) {
		t.Error("AllVotes has other scores than Scores, or votes never end early")
	}
	if !slices.Equal(all.Adversarial, early.Adversarial) || !slices.Equal(all.Corrected, early.Corrected) || !slices.Equal(all.Statistic, early.Statistic) {
		t.Error("AllVotes changes verdicts, answers or statistics")
	}
	passed := 0
	for i, s := range all.Score {
		if s > d.State().Threshold.Value && !all.Adversarial[i] {
			passed++
		}
	}
	if passed == 0 {
		t.Error("at a stop of .2 no row passes that all votes would flag: the test shows nothing")
	}
	for i := range x.N() {
		one, err := d.Detect(t.Context(), x.Rows(i, i+1), Include{AllVotes: i%2 == 0})
		if err != nil || one.Statistic[0] != early.Statistic[i] {
			t.Fatalf("row %d has the statistic %g alone, %g in a batch (%v)", i, one.Statistic[0], early.Statistic[i], err)
		}
	}
	again, err := d.Detect(t.Context(), clean, Include{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(slices.Sorted(slices.Values(again.Statistic)), d.Statistics()) {
		t.Error("calibration rows have other statistics than their calibration")
	}
	o.State = d.State()
	o.State.First = nil // of an earlier version
	if old := build(t, o); old.Statistics() != nil {
		t.Error("a detector without first votes has statistics")
	}
	o.State.First = []float64{1}
	if _, err := New(t.Context(), o); err == nil {
		t.Error("one first score for 200 rows is taken")
	}
}

// holes moves copies to the side of class 1, and spoils some of rows whose second feature
// is above 1: of ten the fourth, and all of those where it is above 2.
type holes struct{ noisy }

func (o holes) NewPass(e *kernel.Engine) Pass { return holesPass{noisyPass{o.noisy, e}} }

type holesPass struct{ noisyPass }

func (o holesPass) Forward(s *Second, x, _ *tensor.Tensor) {
	o.Draw(s.Rebuilt, x, Draws{To: o.votes.N})
}

func (o holesPass) Draw(dst, x *tensor.Tensor, d Draws) {
	o.noisyPass.Draw(dst, x, d)
	k := d.To - d.From
	for i := range x.N() {
		for j := range k {
			dst.Row(i*k + j)[0] += .8
			if v := x.Row(i)[1]; v > 2 || v > 1 && (d.From+j)%10 == 3 {
				dst.Row(i*k + j)[0] = float32(math.NaN())
			}
		}
	}
}

// TestVoidCopies: a row with copies that are not finite is flagged, and corrected to the
// class that most of its others vote for, as its certificate says, whether votes end early
// or not; without any other it keeps the classifier's answer.
func TestVoidCopies(t *testing.T) {
	v := Votes{Sigma: .5, N: 100, Stop: 1e-3, Proof: Proof{Votes: 1000, Alpha: .01}}
	x, void := tensor.New(300, halfSpaceFeatures), 0
	r := rand.New(rand.NewPCG(5, 5))
	for i := range x.N() {
		x.Row(i)[0] = float32(.02 + .9*r.Float64())
		x.Row(i)[1] = []float32{0, 1.5, 2.5}[i%3]
		x.Row(i)[2] = float32(i)
	}
	attacked := x.Clone()
	one := slices.Repeat([]int{1}, x.N())
	for name, change := range map[string]func(*Options){
		"early": func(o *Options) { o.Opinion = holes{noisy{v}} },
		"fused": func(o *Options) {
			o.Opinion, o.Fusion = holes{noisy{v}}, Tippett
			o.Scores = append(o.Scores, NamedScore{"kl", testKL{}})
		},
	} {
		o := Options{Method: "noisy", Classifier: halfSpace{}, Opinion: noisy{v}, Scores: []NamedScore{{"votes", testVotes{}}}, Threads: 1}
		change(&o)
		d := build(t, o)
		clean := points(20, 200, func(i int) float64 { return .2 + float64(i%40)/40 })
		if _, err := d.Calibrate(t.Context(), clean.Gather(below(clean)), Rule{FPR: ptr(.1)}); err != nil {
			t.Fatal(err)
		}
		all, err := d.Certify(t.Context(), x, one, CertifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range all.Rows { // straight ahead, to where the answer is still proved
			attacked.Row(i)[0] = x.Row(i)[0] - float32(c.Corrected*(1-1e-5))
		}
		got, err := d.Detect(t.Context(), attacked, Include{ProbabilitiesReconstructed: true})
		if err != nil {
			t.Fatal(err)
		}
		proved := 0
		for i, c := range all.Rows {
			holed := i%3 > 0
			if holed != (got.NotFinite != nil && got.NotFinite[i]) || holed && !got.Adversarial[i] {
				t.Fatalf("%s: row %d with void copies %v: not finite %v, flagged %v", name, i, holed, got.NotFinite, got.Adversarial[i])
			}
			if i%3 == 2 && (got.Corrected[i] != got.Predicted[i] || c.Radius != 0) {
				t.Errorf("%s: row %d without a copy has the answer %d, predicted %d, radius %g", name, i, got.Corrected[i], got.Predicted[i], c.Radius)
			}
			if c.Corrected > 0 && holed && got.Predicted[i] != 1 {
				proved++
				if got.Corrected[i] != 1 {
					void++
				}
			}
			alone, err := d.Detect(t.Context(), attacked.Rows(i, i+1), Include{})
			if err != nil || alone.Corrected[0] != got.Corrected[i] || alone.Reconstructed[0] != got.Reconstructed[i] {
				t.Fatalf("%s: row %d has another answer alone (%v)", name, i, err)
			}
		}
		if proved < 10 {
			t.Errorf("%s: only %d misclassified rows with void copies have a proved answer", name, proved)
		}
	}
	if void > 0 {
		t.Errorf("%d proved answers are not those of rows with void copies", void)
	}
}

// below are the rows whose second feature is at most 1.
func below(x *tensor.Tensor) (rows []int) {
	for i := range x.N() {
		if x.Row(i)[1] <= 1 {
			rows = append(rows, i)
		}
	}
	return rows
}
