// Package watch looks at what a server judges: counts for Prometheus, a test of
// whether inputs are still like the calibration rows, and the clients who ask about
// nearly the same input again and again. It judges nothing itself.
package watch

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/vaeguard/vaeguard/host/detect"
)

// Martingale bets against the scores of a stream being like the calibration scores: it
// starts below 1, and while they are, the chance that it ever reaches 1/α, however long the
// stream, is at most α + Slack (Ville's inequality). One that has reached 1000 is
// evidence, at a false-alarm probability of 0.0011 for the whole life of the stream,
// that inputs have changed or that some of them are attacks.
//
// It is the larger half of two bets, each a mixture of simple ones between which a
// small share of the capital keeps moving (as in the Simple Jumper of Vovk, Gammerman
// and Shafer, Algorithmic Learning in a Random World, 2nd ed. 2022, ch. 8):
//
//   - a conformal test martingale. Each score is ranked among some of the calibration
//     scores and all scores before it, ties broken at random: the ranks of an
//     exchangeable stream are independent and uniform, which p-values against the
//     calibration scores alone, those that a detector reports, are not: a bet on them
//     would win against any fixed calibration set in the end. It sees a shift either way,
//     soon or never, for it gets used to the new stream.
//   - bets on scores above one of the largest calibration scores. With probability
//     1 − Slack over calibration sets their true shares are at most bounds that
//     follow from the Beta distribution of order statistics (as in Bates et al. 2023,
//     doi:10.1214/22-AOS2244); odds go by these bounds, and the bet never gets
//     used to anything. It sees a few strange rows among many.
//
// Memory does not grow: scores are counted in at most 1024 ranges, which half of the
// calibration scores gives. It is safe for concurrent use.
type Martingale struct {
	mu     sync.Mutex
	bounds []float64 // ascending: range i holds scores above bounds[i−1], up to bounds[i]
	start  []int64   // calibration scores of the other half, by range
	tails  []tailBet
	seed   uint64

	counts         []int64
	n, rows        int64 // scores counted, those of the stream
	r              *rand.Rand
	ranks, extreme mixture
	factors        []float64 // scratch
	peak           float64   // of the logarithm
}

// Slack is the probability, over calibration sets, that the guarantee of a Martingale
// does not hold.
const Slack = 1e-4

const (
	maxRanges = 1024 // of scores
	jump      = 1e-4 // share of the capital that moves between bets in a step
	maxTails  = 12   // of the largest calibration scores that are bet on
)

// bet is a density on [0, 1] of ranks.
type bet func(p float64) float64

// bets are none, linear ones for shifts either way, and spikes at 0.
var bets = func() []bet {
	all := []bet{func(float64) float64 { return 1 }}
	for _, e := range []float64{-1.6, -0.8, -0.3, 0.3, 0.8, 1.6} {
		all = append(all, func(p float64) float64 { return 1 + e*(p-0.5) })
	}
	for _, share := range shares {
		all = append(all, func(p float64) float64 {
			const width = 0.02
			if p <= width {
				return 1 - share + share/width
			}
			return 1 - share
		})
	}
	return all
}()

// shares of the capital that are put on strange rows.
var shares = []float64{0.01, 0.05, 0.2, 0.7}

// tailBet is a bet on scores above a calibration score, whose true share is at most
// most.
type tailBet struct{ above, most float64 }

// NewMartingale starts a bet on scores like the calibration scores, in any order; the
// seed draws which half of them makes the ranges. Without calibration scores the
// stream is compared with itself alone: a change is seen, a stream that was strange
// from its start is not.
func NewMartingale(calibration []float64, seed uint64) *Martingale {
	m := &Martingale{seed: seed}
	order := rand.New(rand.NewPCG(seed, 0x6d617274)).Perm(len(calibration))
	half := len(order) / 2
	var ranges []float64
	for _, i := range order[:half] {
		ranges = append(ranges, calibration[i])
	}
	slices.Sort(ranges)
	ranges = slices.Compact(ranges)
	kept := min(len(ranges), maxRanges-1)
	for k := range kept {
		m.bounds = append(m.bounds, ranges[k*len(ranges)/kept])
	}
	m.start = make([]int64, len(m.bounds)+1)
	for _, i := range order[half:] {
		m.start[m.at(calibration[i])]++
	}
	m.tails = tailBets(calibration)
	m.Reset()
	return m
}

// MartingaleOf starts a bet on what a detector says of rows being like what it said of its
// calibration rows: see Judged.
func MartingaleOf(d *detect.Detector, seed uint64) *Martingale {
	return NewMartingale(d.Statistics(), seed)
}

// Judged takes the next rows of the stream, by the statistic that is exchangeable with
// that of calibration rows, which their scores may not be: detect.Result.Statistic. The
// verdict must rest on all of the detector's samples.
func (m *Martingale) Judged(r *detect.Result) { m.Add(r.Statistic...) }

// tailBets are those on scores with 0, 1, 3, 7, … calibration scores above.
func tailBets(calibration []float64) []tailBet {
	sorted := slices.Sorted(slices.Values(calibration))
	n := len(sorted)
	var out []tailBet
	for k := 0; k < n/4 && len(out) < maxTails; k = 2*k + 1 {
		// 1 − F at the (n − k)-th of n is Beta(k + 1, n − k); with ties it is less.
		share := distuv.Beta{Alpha: float64(k + 1), Beta: float64(n - k)}
		out = append(out, tailBet{sorted[n-1-k], share.Quantile(1 - Slack/maxTails)})
	}
	return out
}

// Reset starts anew.
func (m *Martingale) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counts, m.n, m.rows, m.peak = slices.Clone(m.start), 0, 0, 0
	for _, c := range m.counts {
		m.n += c
	}
	m.r = rand.New(rand.NewPCG(m.seed, 0x626574))
	m.ranks, m.extreme = newMixture(len(bets)), newMixture(1+len(m.tails)*len(shares))
}

// at is the range of a score.
func (m *Martingale) at(score float64) int {
	i, _ := slices.BinarySearch(m.bounds, score)
	return i
}

// Add takes the next scores of the stream, in order. NaN is skipped; +Inf is the
// strangest.
func (m *Martingale) Add(scores ...float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range scores {
		if math.IsNaN(s) {
			continue
		}
		p := m.rank(s)
		m.factors = m.factors[:0]
		for _, b := range bets {
			m.factors = append(m.factors, b(p))
		}
		m.ranks.pay(m.factors)
		m.factors = append(m.factors[:0], 1)
		for _, t := range m.tails {
			for _, share := range shares {
				f := 1 - share
				if s > t.above {
					f += share / t.most
				}
				m.factors = append(m.factors, f)
			}
		}
		m.extreme.pay(m.factors)
		m.peak = max(m.peak, m.value())
	}
}

// rank is that of a score among those before it, from 0 for the strangest to 1, and
// counts it.
func (m *Martingale) rank(score float64) float64 {
	i := m.at(score)
	above := int64(0)
	for _, c := range m.counts[i+1:] {
		above += c
	}
	m.counts[i]++
	m.n++
	m.rows++
	return (float64(above) + m.r.Float64()*float64(m.counts[i])) / float64(m.n)
}

// value is the logarithm of the capital. Each bet began with a half, so the one that
// is ahead reaches 1/α with probability α/2.
func (m *Martingale) value() float64 { return max(m.ranks.log, m.extreme.log) - math.Ln2 }

// Log10 is the common logarithm of the capital: 3 stands for a false-alarm
// probability of 0.0011.
func (m *Martingale) Log10() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.value() / math.Ln10
}

// Peak is the largest Log10 since the start, which the guarantee is about, at least 0,
// and the number of rows until now.
func (m *Martingale) Peak() (log10 float64, rows int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peak / math.Ln10, m.rows
}

// mixture is a capital divided among bets.
type mixture struct {
	share []float64 // of each bet; they add up to 1
	log   float64   // ln of the capital
}

func newMixture(n int) mixture {
	m := mixture{share: make([]float64, n)}
	for k := range m.share {
		m.share[k] = 1 / float64(n)
	}
	return m
}

// pay moves a share of the capital between the bets, then multiplies each.
func (m *mixture) pay(factors []float64) {
	sum := 0.0
	for k, f := range factors {
		m.share[k] = ((1-jump)*m.share[k] + jump/float64(len(factors))) * f
		sum += m.share[k]
	}
	for k := range m.share {
		m.share[k] /= sum
	}
	m.log += math.Log(sum)
}
