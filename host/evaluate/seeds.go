package evaluate

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Trial is what one seed's detector answered for the clean rows and for the
// rows of one attack. Several trials are of the same images, in the same
// order, with another classifier and another detector each.
type Trial struct {
	Clean   []float64 // scores
	Scores  []float64 // of the attacked rows
	Success []bool    // attacked rows that count as positives
	// Source[k] is the row of Clean that attacked row k was made from, so that the two are
	// one image. nil: the attacked rows are of other images than the clean ones.
	Source []int
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
		if len(t.Clean) != len(trials[0].Clean) || len(t.Scores) != len(trials[0].Scores) || len(t.Success) != len(t.Scores) || !slices.Equal(t.Source, trials[0].Source) {
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

// ResampleTrials is the bootstrap of MeanFigures with the image as the unit, as
// Draws draws it: a drawn image brings every trial of it, its clean row and the attacked
// ones that were made from it; seeds are never pooled. Two detectors on
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
	Draws(n, p, trials[0].Source, resamples, seed, func(b int, clean, attacked []int32) {
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
// attacked rows was drawn. The slices are used again.
//
// source[k] is the clean row that attacked row k was made from: the two are one image. Images
// are drawn with replacement, those that were attacked and those that were not apart,
// since how many are attacked is chosen and not found. With source nil clean and attacked rows are of
// different images, each drawn from its own.
func Draws(n, p int, source []int, resamples int, seed uint64, use func(b int, clean, attacked []int32)) {
	r := rand.New(rand.NewPCG(seed, 0xb007))
	clean, attacked := make([]int32, n), make([]int32, p)
	hit, rest := images(n, p, source)
	for b := range resamples {
		clear(clean)
		clear(attacked)
		for range rest {
			clean[rest[r.IntN(len(rest))]]++
		}
		for range hit {
			m := hit[r.IntN(len(hit))]
			if m.clean >= 0 {
				clean[m.clean]++
			}
			for _, k := range m.attacked {
				attacked[k]++
			}
		}
		use(b, clean, attacked)
	}
}

// image is one that was attacked.
type image struct {
	clean    int // its row; −1: none
	attacked []int
}

// images are those of p attacked rows, and the clean rows of all others.
func images(n, p int, source []int) (hit []image, rest []int) {
	if source == nil {
		for k := range p {
			hit = append(hit, image{-1, []int{k}})
		}
	} else if len(source) != p {
		panic("evaluate: sources of unequal samples")
	}
	of := make(map[int][]int, p)
	for k, i := range source {
		of[i] = append(of[i], k)
	}
	for i := range n {
		if rows := of[i]; rows != nil {
			hit = append(hit, image{i, rows})
			continue
		}
		rest = append(rest, i)
	}
	return hit, rest
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
// image is a cluster (Obuchowski 1997): of its rows, clean and attacked and of all
// trials, the placements are summed. With one trial it is DeLong.
func DeLongTrials(a, b []Trial) (difference, p float64) {
	if len(a) != len(b) || len(a) == 0 {
		panic("evaluate: paired test of unequal samples")
	}
	checkTrials(a)
	checkTrials(b)
	if !slices.Equal(a[0].Source, b[0].Source) {
		panic("evaluate: paired test of unequal samples")
	}
	n, m := len(a[0].Clean), len(a[0].Scores)
	pos, neg := make([]float64, m), make([]float64, n)
	counts := make([]bool, m)
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
				counts[k] = true
				pos[k] += share * (v10a[j] - v10b[j] - d) / float64(len(pa))
				j++
			}
		}
		for k := range neg {
			neg[k] += share * (v01a[k] - v01b[k] - d) / float64(n)
		}
	}
	return difference, twoSided(difference, clustered(pos, neg, counts, a[0].Source))
}

// clustered is the variance of a sum over images of what their attacked rows (pos) and
// their clean ones (neg) add to it (Obuchowski 1997, equation 3): I₁₀/(I₁₀−1)·Σ pos² + I₀₁/(I₀₁−1)·Σ neg²
// + 2·I/(I−1)·Σ pos·neg, summed by image, of which I₁₀ have positives, I₀₁ negatives, and I either.
// counts are the attacked rows that are positives, source is Trial's.
func clustered(pos, neg []float64, counts []bool, source []int) float64 {
	var positives, cross, withPositives, total float64
	hit, rest := images(len(neg), len(pos), source)
	for _, m := range hit {
		sum, any := 0.0, false
		for _, k := range m.attacked {
			sum, any = sum+pos[k], any || counts[k]
		}
		positives += float64(sum * sum)
		if any {
			withPositives++
		}
		if m.clean >= 0 {
			cross += float64(sum * neg[m.clean])
		}
		if any || m.clean >= 0 {
			total++
		}
	}
	total += float64(len(rest))
	free := func(n float64) float64 { return n / max(n-1, 1) }
	return free(withPositives)*positives + free(float64(len(neg)))*squares(neg) + 2*free(total)*cross
}

// twoSided is the p-value of a difference with this variance; 1 if the two never differ.
func twoSided(difference, variance float64) float64 {
	switch {
	case variance > 0:
		return 2 * distuv.UnitNormal.Survival(math.Abs(difference)/math.Sqrt(variance))
	case difference == 0:
		return 1
	}
	return 0
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
