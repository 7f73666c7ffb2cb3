package evaluate

import (
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/stat/distuv"
)

// Trial is what one seed's detector answered for the clean rows and for the
// rows of one attack. Several trials are of the same images, in the same
// order, with another classifier and another detector each.
type Trial struct {
	Clean   []float64 // scores
	Scores  []float64 // of the attacked rows
	Success []bool    // attacked rows that count as positives
}

// positives are the scores that count.
func (t Trial) positives() []float64 {
	var out []float64
	for k, s := range t.Scores {
		if t.Success[k] {
			out = append(out, s)
		}
	}
	return out
}

// checkTrials panics unless all trials are of the same images.
func checkTrials(trials []Trial) {
	for _, t := range trials {
		if len(t.Clean) != len(trials[0].Clean) || len(t.Scores) != len(trials[0].Scores) || len(t.Success) != len(t.Scores) {
			panic("evaluate: trials of unequal samples")
		}
	}
}

// MeanFigures are the means over trials of their Figures; NaN where a trial
// has no positives.
func MeanFigures(trials []Trial) Figures {
	sum := Figures{}
	for _, t := range trials {
		sum.add(Judge(t.Clean, t.positives()), 1/float64(len(trials)))
	}
	return sum
}

func (f *Figures) add(g Figures, weight float64) {
	f.AUC += float64(weight * g.AUC)
	f.PRAUC += float64(weight * g.PRAUC)
	f.FPR95 += float64(weight * g.FPR95)
	for k := range f.TPR {
		f.TPR[k] += float64(weight * g.TPR[k])
	}
}

// ResampleTrials is the bootstrap of MeanFigures with the image as the unit:
// each resample draws clean images and attacked images, with replacement, and
// takes every trial of a drawn image; seeds are never pooled. Two detectors on
// the same images with the same seed get the same draws, so that the
// differences of their entries are a paired bootstrap.
func ResampleTrials(trials []Trial, resamples int, seed uint64) []Figures {
	if len(trials) == 0 {
		return nil
	}
	checkTrials(trials)
	n, p := len(trials[0].Clean), len(trials[0].Scores)
	sweeps := make([]*sweep, len(trials))
	at := make([][]int, len(trials)) // the image of each positive
	for i, t := range trials {
		sweeps[i] = newSweep(t.Clean, t.positives())
		for k, won := range t.Success {
			if won {
				at[i] = append(at[i], k)
			}
		}
	}
	out := make([]Figures, resamples)
	Draws(n, p, resamples, seed, func(b int, clean, attacked []int32) {
		for i, s := range sweeps {
			weight := make([]int32, n+len(at[i]))
			copy(weight, clean)
			for j, k := range at[i] {
				weight[n+j] = attacked[k]
			}
			out[b].add(s.figures(weight), 1/float64(len(trials)))
		}
	})
	return out
}

// Draws calls use for each resample with how often each of n clean and p
// attacked images was drawn. The slices are used again.
func Draws(n, p, resamples int, seed uint64, use func(b int, clean, attacked []int32)) {
	r := rand.New(rand.NewPCG(seed, 0xb007))
	clean, attacked := make([]int32, n), make([]int32, p)
	for b := range resamples {
		clear(clean)
		clear(attacked)
		for range n {
			clean[r.IntN(n)]++
		}
		for range p {
			attacked[r.IntN(p)]++
		}
		use(b, clean, attacked)
	}
}

// Percentiles is the 95 % interval of resampled values, those that are not
// defined left out.
func Percentiles(v []float64) Interval {
	var kept []float64
	for _, x := range v {
		if !math.IsNaN(x) {
			kept = append(kept, x)
		}
	}
	return percentiles(kept)
}

// DeLongTrials is DeLong over several trials of the same images: it returns
// the mean over trials of AUC a − AUC b and its two-sided p-value, where each
// image contributes the sum of its placements over the trials, as a cluster
// (Obuchowski 1997). With one trial it is DeLong.
func DeLongTrials(a, b []Trial) (difference, p float64) {
	if len(a) != len(b) || len(a) == 0 {
		panic("evaluate: paired test of unequal samples")
	}
	checkTrials(a)
	checkTrials(b)
	if len(a) == 1 {
		return DeLong(a[0].Clean, a[0].positives(), b[0].Clean, b[0].positives())
	}
	n, m := len(a[0].Clean), len(a[0].Scores)
	pos, neg := make([]float64, m), make([]float64, n)
	share := 1 / float64(len(a))
	for i := range a {
		pa, pb := a[i].positives(), b[i].positives()
		if len(pa) != len(pb) {
			panic("evaluate: paired test of unequal samples")
		}
		if len(pa) < 2 || n < 2 {
			return math.NaN(), math.NaN()
		}
		v10a, v01a, aucA := placements(a[i].Clean, pa)
		v10b, v01b, aucB := placements(b[i].Clean, pb)
		d := aucA - aucB
		difference += float64(share * d)
		j := 0
		for k, won := range a[i].Success {
			if won {
				pos[k] += share * (v10a[j] - v10b[j] - d) * float64(m) / float64(len(pa))
				j++
			}
		}
		for k := range neg {
			neg[k] += share * (v01a[k] - v01b[k] - d)
		}
	}
	variance := squares(pos)/float64(m)/float64(m-1) + squares(neg)/float64(n)/float64(n-1)
	if variance <= 0 {
		if difference == 0 {
			return 0, 1
		}
		return difference, 0
	}
	return difference, 2 * distuv.UnitNormal.Survival(math.Abs(difference)/math.Sqrt(variance))
}

func squares(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x * x)
	}
	return sum
}

// McNemarTrials is McNemar over several trials of the same images: a[i][k] and
// b[i][k] say whether each detector detected image k in trial i, and images are
// clusters (Obuchowski 1998). With one trial it is the exact test. Rows that
// do not count are false in both.
func McNemarTrials(a, b [][]bool) (onlyA, onlyB int, p float64) {
	if len(a) != len(b) || len(a) == 0 {
		panic("evaluate: paired test of unequal samples")
	}
	if len(a) == 1 {
		return McNemar(a[0], b[0])
	}
	d := make([]float64, len(a[0]))
	for i := range a {
		for k := range a[i] {
			switch {
			case a[i][k] && !b[i][k]:
				onlyA++
				d[k]++
			case b[i][k] && !a[i][k]:
				onlyB++
				d[k]--
			}
		}
	}
	if s := squares(d); s > 0 {
		return onlyA, onlyB, 2 * distuv.UnitNormal.Survival(math.Abs(float64(onlyA-onlyB))/math.Sqrt(s))
	}
	return onlyA, onlyB, 1
}
