package detect

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// halfSpace is a linear classifier of points in the plane's higher cousins: class 1
// where the first feature is above 0. Smoothed by N(0, σ²) it says class 1 of x with
// probability Φ(x₀/σ), and the nearest wrong point lies straight ahead: what is proved
// of it can be held against the truth.
type halfSpace struct{ asked *int }

const halfSpaceFeatures = 5

func (halfSpace) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "half-space", InputShape: tensor.Shape{halfSpaceFeatures}, NumClasses: 2, Output: sdk.Logits, Ready: true}, nil
}

func (h halfSpace) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	if h.asked != nil {
		*h.asked += x.N()
	}
	y := tensor.New(x.N(), 2)
	for i := range x.N() {
		y.Row(i)[1] = x.Row(i)[0]
	}
	return y, nil
}

// noisy reconstructs a noisy copy as itself.
type noisy struct{ votes Votes }

func (o noisy) Form() Form                    { return Form{Rebuilt: o.votes.N} }
func (o noisy) Votes() Votes                  { return o.votes }
func (noisy) Params() []*nn.Param             { return nil }
func (o noisy) NewPass(e *kernel.Engine) Pass { return noisyPass{o, e} }
func (noisy) InputShape() tensor.Shape        { return tensor.Shape{halfSpaceFeatures} }
func (o noisyPass) Forward(s *Second, x, _ *tensor.Tensor) {
	o.Draw(s.Rebuilt, x, Draws{To: o.votes.N})
}
func (noisyPass) Backward(*tensor.Tensor, *Second, *tensor.Tensor, *tensor.Tensor) {}

type noisyPass struct {
	noisy
	e *kernel.Engine
}

func (o noisyPass) Draw(dst, x *tensor.Tensor, d Draws) {
	k := d.To - d.From
	for i := range x.N() {
		h := fnv.New64a()
		_, _ = fmt.Fprint(h, x.Row(i))
		all := dst.Rows(i*k, (i+1)*k)
		o.e.Normal(all.Data, kernel.Key{Seed: h.Sum64(), Stream: uint64(d.Use)}, uint64(d.From*all.Stride()))
		for j := range all.Data {
			all.Data[j] = x.Row(i)[j%all.Stride()] + float32(o.votes.Sigma)*all.Data[j]
		}
	}
}

// testVotes is 1 − the share of votes.
type testVotes struct{}

func (testVotes) OfVotes(votes, of int) float64 { return float64(of-votes) / float64(of) }
func (testVotes) Score(dst []float64, e Evidence) {
	for i := range dst {
		n := 0
		for s := range e.Samples {
			if e.TopQ[i*e.Samples+s] == e.TopP[i] {
				n++
			}
		}
		dst[i] = testVotes{}.OfVotes(n, e.Samples)
	}
}

// points are n points whose first feature is at(i).
func points(seed uint64, n int, at func(i int) float64) *tensor.Tensor {
	r, x := rand.New(rand.NewPCG(seed, 5)), tensor.New(n, halfSpaceFeatures)
	for i := range n {
		for j := range x.Row(i) {
			x.Row(i)[j] = float32(r.NormFloat64())
		}
		x.Row(i)[0] = float32(at(i))
	}
	return x
}

// smoothedHalfSpace is the detector of halfSpace that flags with the share of votes below tau.
func smoothedHalfSpace(t *testing.T, v Votes, tau float64, change func(*Options)) *Detector {
	t.Helper()
	o := Options{Method: "noisy", Classifier: halfSpace{}, Opinion: noisy{v}, Scores: []NamedScore{{"votes", testVotes{}}}, Threads: 1}
	if change != nil {
		change(&o)
	}
	d := build(t, o)
	if _, err := d.Calibrate(t.Context(), nil, Rule{Value: ptr(1 - tau)}); err != nil {
		t.Fatal(err)
	}
	return d
}

// atLeast is P(Binomial(n, p) ≥ k).
func atLeast(k, n int, p float64) float64 {
	return 1 - distuv.Binomial{N: float64(n), P: p}.CDF(float64(k-1))
}

// TestCertificateOnALinearClassifier holds certificates against the truth, which
// is known in closed form: with probability 1 − α/2 over its noise a certificate is
// right, which means that the chance that the worst point within its radius passes is at
// most α/2; and no certificate could be much longer.
func TestCertificateOnALinearClassifier(t *testing.T) {
	const n, sigma, alpha = 300, .5, .1
	v := Votes{Sigma: sigma, N: 200, Stop: .01, Proof: Proof{Votes: 2000, Alpha: alpha}}
	for _, tau := range []float64{.3025, .5025, .7025, .9025} {
		d := smoothedHalfSpace(t, v, tau, nil)
		margins := rand.New(rand.NewPCG(uint64(100*tau), 1))
		m := make([]float64, n)
		x := points(4, n, func(i int) float64 { m[i] = .1 + margins.Float64(); return m[i] })
		classes := slices.Repeat([]int{1}, n)
		all, err := d.Certify(t.Context(), x, classes, CertifyOptions{Alone: tau == .5025})
		if err != nil {
			t.Fatal(err)
		}
		quorum := int(math.Ceil(tau*200 - 1e-9))
		if all.Quorum != quorum {
			t.Fatalf("τ %g: a quorum of %d of 200 votes, want %d", tau, all.Quorum, quorum)
		}
		wrong, gap, gaps := map[string]int{}, 0.0, 0.0
		for i, c := range all.Rows {
			p := distuv.UnitNormal.CDF(m[i] / sigma)
			if c.Share > p {
				wrong["share"]++
			}
			// Straight ahead, at the end of the radius, the wrong class has this share of votes.
			share := func(r float64) float64 { return distuv.UnitNormal.CDF((r - m[i]) / sigma) }
			if c.Radius > m[i] && atLeast(quorum, 200, share(c.Radius)) > alpha/2-v.Stop+1e-9 {
				wrong["radius"]++
			}
			enough := max(101, 200-quorum+1)
			if c.Corrected > 0 && 1-atLeast(enough, 200, 1-share(c.Corrected)) > alpha/2-v.Stop+1e-9 {
				wrong["corrected"]++
			}
			if c.Smoothed > m[i] {
				wrong["smoothed"]++
			}
			if c.Alone > m[i] {
				wrong["alone"]++
			}
			// What the true share would prove, of which the bound takes off what 2,000 votes leave open.
			short := max(0, m[i]+sigma*distuv.UnitNormal.Quantile(all.ShareOf)) - c.Radius
			gap, gaps = max(gap, short), gaps+short
		}
		for what, level := range map[string]float64{"share": alpha / 2, "radius": alpha / 2, "corrected": alpha / 2, "smoothed": alpha, "alone": alpha} {
			if k := wrong[what]; atLeast(k, n, level) < 1e-4 {
				t.Errorf("τ %g: %d of %d certificates (%s) do not hold, at a chance of %g", tau, k, n, what, level)
			}
		}
		if wrong["share"] == 0 {
			t.Errorf("τ %g: no bound of %d at level %g fails: it is not tight", tau, n, alpha/2)
		}
		if gap > .45*sigma || gaps/n > .15*sigma {
			t.Errorf("τ %g: certificates are up to %g, and on average %g, shorter than the truth, at σ %g", tau, gap, gaps/n, sigma)
		}
	}
}

// manyRows is how many rows a test attacks: a few, or what the environment says, such
// as 10000.
func manyRows(t *testing.T, few int) int {
	text := os.Getenv("VAEGUARD_CERTIFIED_ROWS")
	if text == "" {
		return few
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("VAEGUARD_CERTIFIED_ROWS is %q, want a number of rows", text)
	}
	return n
}

// TestNoViolation attacks rows within their radii by the strongest attack that there
// is on a linear classifier, straight ahead, and by others.
func TestNoViolation(t *testing.T) {
	n := manyRows(t, 1500)
	const sigma, alpha = .5, .001
	d := smoothedHalfSpace(t, Votes{Sigma: sigma, N: 100, Stop: 1e-4, Proof: Proof{Votes: 1000, Alpha: alpha}}, .905, nil)
	r := rand.New(rand.NewPCG(8, 8))
	x := points(9, n, func(int) float64 { return .05 + .8*r.Float64() })
	all, err := d.Certify(t.Context(), x, slices.Repeat([]int{1}, n), CertifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	crossed, attacked := 0, 0
	for _, way := range []string{"straight", "inside", "aside"} {
		y := x.Clone()
		for i, c := range all.Rows {
			if c.Radius == 0 {
				continue
			}
			delta := make([]float64, halfSpaceFeatures)
			delta[0] = -1
			far := c.Radius * (1 - 1e-5)
			if way == "inside" {
				far *= r.Float64()
			}
			if way == "aside" {
				delta[1] = r.NormFloat64()
			}
			length := math.Hypot(delta[0], delta[1])
			for j, v := range delta {
				y.Row(i)[j] += float32(far * v / length)
			}
		}
		got, err := d.Detect(t.Context(), y, Include{})
		if err != nil {
			t.Fatal(err)
		}
		bad := 0
		for i, c := range all.Rows {
			if c.Radius == 0 {
				continue
			}
			attacked++
			if got.Predicted[i] != 1 {
				crossed++
				if !got.Adversarial[i] {
					bad++
				}
			}
		}
		if atLeast(bad, n, alpha) < 1e-3 {
			t.Errorf("%s: %d of %d rows are misclassified and unflagged within their radii, at α %g", way, bad, n, alpha)
		}
		t.Logf("%s: %d violations in %d rows", way, bad, n)
	}
	if crossed < attacked/4 {
		t.Errorf("only %d of %d attacked rows are misclassified: nothing was tried", crossed, attacked)
	}
}

// TestStops computes the chance that votes which are one short of the quorum pass
// early, going through all orders in which they can come.
func TestStops(t *testing.T) {
	for _, c := range []struct {
		n, quorum int
		stop      float64
	}{{100, 70, 1e-4}, {100, 51, .01}, {100, 95, .05}, {100, 100, .05}, {40, 12, .2}, {7, 4, .1}, {1, 1, .1}, {100, 70, 0}, {1000, 620, 1e-3}} {
		s := newStops(c.n, c.quorum, c.stop)
		good := c.quorum - 1
		chance := map[int]float64{0: 1} // of the counts so far, without having passed
		from, passed, asked := 0, 0.0, 0.0
		for i, to := range s.looks {
			next := map[int]float64{}
			for count, p := range chance {
				for k := range to - from + 1 {
					q := p * hypergeometric(c.n-from, good-count, to-from, k)
					if count+k >= s.least[i] {
						passed += q
						continue
					}
					next[count+k] += q
				}
			}
			chance, from = next, to
		}
		if passed > c.stop*(1+1e-9) {
			t.Errorf("%d of %d votes, one short, pass with a chance of %g, want at most %g", good, c.n, passed, c.stop)
		}
		for i, m := range s.looks { // all votes alike
			if m >= s.least[i] {
				asked = float64(m)
				break
			}
		}
		if c.n >= 40 && c.quorum < c.n*3/4 && c.stop > 0 && asked > float64(c.n)/2 {
			t.Errorf("quorum %d of %d: a row with all votes is asked for %g", c.quorum, c.n, asked)
		}
	}
	if s := newStops(10, 0, 0); s.least[0] != 0 {
		t.Errorf("a row that is never flagged is asked for its votes: %+v", s)
	}
	if s := newStops(10, 11, .5); slices.ContainsFunc(s.looks, func(m int) bool { return s.least[slices.Index(s.looks, m)] <= m }) {
		t.Errorf("a row that is always flagged passes: %+v", s)
	}
}

// TestVotesThatEndEarly: without a chance given the verdicts are those of all
// votes, exactly; with one they differ one way only, and as seldom as was said. Flagged
// rows have all their votes. It costs less.
func TestVotesThatEndEarly(t *testing.T) {
	const n, sigma = 1200, .5
	r := rand.New(rand.NewPCG(3, 3))
	x := points(10, n, func(int) float64 { return .6 * (r.Float64() - .2) })
	for _, stop := range []float64{0, .2} {
		asked := 0
		v := Votes{Sigma: sigma, N: 100, Stop: stop, Proof: Proof{Votes: 1, Alpha: .9}}
		d := smoothedHalfSpace(t, v, .6, func(o *Options) { o.Classifier = halfSpace{&asked} })
		asked = 0
		got, err := d.Detect(t.Context(), x, Include{ProbabilitiesReconstructed: true})
		if err != nil {
			t.Fatal(err)
		}
		early := asked
		full, err := d.Scores(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if whole := asked - early; whole != n*101 || early >= whole || stop > 0 && early > whole*3/4 {
			t.Errorf("stop %g: %d rows were asked about, %d without ending early", stop, early, whole)
		}
		differ, flagged := 0, 0
		for i, score := range full {
			flag := score > 1-.6
			switch {
			case flag && got.Adversarial[i]:
				flagged++
				if got.Score[i] != score || float64(got.ProbabilitiesReconstructed.Row(i)[got.Predicted[i]]) != float64(float32(1-score)) {
					t.Fatalf("stop %g: the flagged row %d has the score %g and shares %v, want %g", stop, i, got.Score[i], got.ProbabilitiesReconstructed.Row(i), score)
				}
			case flag:
				flagged++
				differ++
			case got.Adversarial[i]:
				t.Fatalf("stop %g: row %d is flagged, and is not by all votes", stop, i)
			}
			if !got.Adversarial[i] && got.Score[i] > 1-.6 {
				t.Fatalf("row %d passes with a score of %g", i, got.Score[i])
			}
		}
		if flagged < n/4 {
			t.Fatalf("only %d rows are flagged", flagged)
		}
		if stop == 0 && differ > 0 || atLeast(differ, flagged, stop) < 1e-4 && differ > 0 {
			t.Errorf("stop %g: %d of %d rows that all votes flag pass", stop, differ, flagged)
		}
	}
}

// TestVotesInAnyBatch: verdicts, scores and certificates have the same bits in any
// batch, with any threads, and where the classifier's answer is given.
func TestVotesInAnyBatch(t *testing.T) {
	v := Votes{Sigma: .5, N: 40, Stop: .01, Proof: Proof{Votes: 300, Alpha: .1}}
	d := smoothedHalfSpace(t, v, .7, nil)
	many := smoothedHalfSpace(t, v, .7, func(o *Options) { o.Threads = 3 })
	x := points(12, 90, func(i int) float64 { return float64(i%10)/8 - .3 })
	include := Include{CertifiedRadius: true, ProbabilitiesReconstructed: true}
	whole, err := many.Detect(t.Context(), x, include)
	if err != nil {
		t.Fatal(err)
	}
	p, err := halfSpace{}.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	given, err := d.DetectGiven(t.Context(), x, p, GivenOptions{Include: include})
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.N() {
		one, err := d.Detect(t.Context(), x.Rows(i, i+1), include)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []*Result{whole, given} {
			if r.Score[i] != one.Score[0] || r.Adversarial[i] != one.Adversarial[0] || r.Corrected[i] != one.Corrected[0] ||
				r.CertifiedRadius[i] != one.CertifiedRadius[0] || !slices.Equal(r.ProbabilitiesReconstructed.Row(i), one.ProbabilitiesReconstructed.Row(0)) {
				t.Fatalf("row %d: in a batch it is %v, %v, alone %v, %v", i, r.Score[i], r.CertifiedRadius[i], one.Score[0], one.CertifiedRadius[0])
			}
		}
	}
	if !slices.ContainsFunc(whole.CertifiedRadius, func(r float64) bool { return r > .3 }) || !slices.Contains(whole.Adversarial, true) {
		t.Error("nothing is proved, or nothing flagged")
	}
}

// TestQuorum: with any fusion and with thresholds by class, a row with fewer votes
// than the quorum is flagged, whatever its other scores are.
func TestQuorum(t *testing.T) {
	clean, x := points(20, 200, func(i int) float64 { return .2 + float64(i%40)/40 }), points(21, 300, func(i int) float64 { return float64(i)/200 - .5 })
	for name, c := range map[string]struct {
		rule   Rule
		fusion FusionRule
	}{"one score": {Rule{FPR: ptr(.1)}, NoFusion}, "by class": {Rule{FPR: ptr(.1), By: ByPredictedClass, MinRows: 20}, NoFusion},
		"tippett": {Rule{FPR: ptr(.1)}, Tippett}, "fisher": {Rule{FPR: ptr(.1)}, Fisher}, "cauchy": {Rule{FPR: ptr(.1)}, Cauchy}} {
		o := Options{Method: "noisy", Classifier: halfSpace{}, Opinion: noisy{Votes{Sigma: .5, N: 50, Proof: Proof{Votes: 100, Alpha: .01}}}, Scores: []NamedScore{{"votes", testVotes{}}}, Fusion: c.fusion}
		if c.fusion != NoFusion {
			o.Scores = append(o.Scores, NamedScore{"top", testTop{}})
		}
		d := build(t, o)
		if _, err := d.Calibrate(t.Context(), clean, c.rule); err != nil {
			t.Fatal(err)
		}
		st := d.state.Load()
		r, err := d.Detect(t.Context(), x, Include{Scores: true})
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := d.raw(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		below := 0
		for i, score := range raw[0] {
			votes := int(math.Round((1 - score) * 50))
			if votes < st.quorum[r.Predicted[i]] {
				if below++; !r.Adversarial[i] {
					t.Errorf("%s: row %d passes with %d votes, the quorum is %v", name, i, votes, st.quorum)
				}
			} else if c.fusion == NoFusion && r.Adversarial[i] {
				t.Errorf("%s: row %d is flagged with %d votes, the quorum is %v", name, i, votes, st.quorum)
			}
		}
		if below == 0 {
			t.Errorf("%s: no row is below the quorum %v", name, st.quorum)
		}
		again := build(t, func() Options { o.State = d.State(); return o }())
		if got := again.state.Load().quorum; !slices.Equal(got, st.quorum) {
			t.Errorf("%s: made of its state it has the quorum %v, was %v", name, got, st.quorum)
		}
	}
}

// TestCertifyRefuses: what cannot be certified is an error that says why.
func TestCertifyRefuses(t *testing.T) {
	good := Votes{Sigma: .5, N: 10, Stop: .01, Proof: Proof{Votes: 10, Alpha: .1}}
	for want, change := range map[string]func(*Votes){
		"sigma is 0":         func(v *Votes) { v.Sigma = 0 },
		"sigma is +Inf":      func(v *Votes) { v.Sigma = math.Inf(1) },
		"0 votes, want":      func(v *Votes) { v.N = 0 },
		"stop is 1":          func(v *Votes) { v.Stop = 1 },
		"proof of 0 votes":   func(v *Votes) { v.Proof.Votes = 0 },
		"alpha is 0,":        func(v *Votes) { v.Proof.Alpha = 0 },
		"want more than 0.1": func(v *Votes) { v.Stop = .05 },
	} {
		v := good
		change(&v)
		if err := v.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if v.N == 0 {
			continue
		}
		_, err := New(t.Context(), Options{Method: "noisy", Classifier: halfSpace{}, Opinion: noisy{v}, Scores: []NamedScore{{"votes", testVotes{}}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	x := points(1, 2, func(int) float64 { return 1 })
	plain := calibrated(t, options())
	if _, err := plain.Certify(t.Context(), inputs(1, 1), []int{0}, CertifyOptions{}); !errors.Is(err, ErrNoVotes) {
		t.Errorf("of a detector without votes: %v", err)
	}
	if _, err := plain.Detect(t.Context(), inputs(1, 1), Include{CertifiedRadius: true}); !errors.Is(err, ErrNoVotes) {
		t.Errorf("detect of a detector without votes: %v", err)
	}
	blank := build(t, Options{Method: "noisy", Classifier: halfSpace{}, Opinion: noisy{good}, Scores: []NamedScore{{"votes", testVotes{}}}})
	if _, err := blank.Certify(t.Context(), x, []int{1, 1}, CertifyOptions{}); !errors.Is(err, ErrNoThreshold) {
		t.Errorf("before calibration: %v", err)
	}
	d := smoothedHalfSpace(t, good, .6, nil)
	for want, call := range map[string]func() error{
		"1 classes for 2 rows": func() error { _, err := d.Certify(t.Context(), x, []int{1}, CertifyOptions{}); return err },
		"row 1 has class 2":    func() error { _, err := d.Certify(t.Context(), x, []int{1, 2}, CertifyOptions{}); return err },
		"want more than 0.02":  func() error { _, err := d.Certify(t.Context(), x, []int{1, 1}, CertifyOptions{Alpha: .02}); return err },
		"proof of -1 votes":    func() error { _, err := d.Certify(t.Context(), x, []int{1, 1}, CertifyOptions{Votes: -1}); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, value := range []float64{-1, 2} { // everything, nothing is flagged
		d := smoothedHalfSpace(t, good, 1-value, nil)
		all, err := d.Certify(t.Context(), x, []int{1, 1}, CertifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if all.Rows[0].Radius != 0 {
			t.Errorf("a threshold of %g proves a radius of %g", value, all.Rows[0].Radius)
		}
	}
}
