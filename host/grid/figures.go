package grid

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// Entry is one detector under one attack, over the seeds that were run: means
// over seeds with intervals whose unit is the image.
type Entry struct {
	Detector string                       `json:"detector"`
	Seeds    []uint64                     `json:"seeds"`   // that were run
	NotRun   []uint64                     `json:"not_run"` // that were not
	N        int                          `json:"n"`       // attacked rows of each seed
	NSuccess []int                        `json:"n_success"`
	Mean     map[string]evaluate.Number   `json:"mean"`
	CI95     map[string]evaluate.Interval `json:"ci95"`
	PerSeed  []map[string]evaluate.Number `json:"per_seed"`
}

// rate is a share of rows: those that count, of those that could.
type rate struct {
	name     string
	num, den [][]bool // by seed, by row
}

func shares(name string, trials []*scored, num, den func(s *scored, k int) bool) rate {
	r := rate{name: name}
	for _, s := range trials {
		a, b := make([]bool, len(s.rows)), make([]bool, len(s.rows))
		for k := range s.rows {
			b[k] = den == nil || den(s, k)
			a[k] = b[k] && num(s, k)
		}
		r.num, r.den = append(r.num, a), append(r.den, b)
	}
	return r
}

// mean is the mean over seeds of the shares; weight counts rows, nil: once each.
func (r rate) mean(weight []int32) float64 {
	sum := 0.0
	for i := range r.num {
		sum += r.of(i, weight) / float64(len(r.num))
	}
	return sum
}

func (r rate) of(i int, weight []int32) float64 {
	var a, b float64
	for k, in := range r.den[i] {
		w := 1.0
		if weight != nil {
			w = float64(weight[k])
		}
		if in {
			b += w
		}
		if r.num[i][k] {
			a += w
		}
	}
	if b == 0 {
		return math.NaN()
	}
	return a / b
}

// into adds the rate's mean, its interval and its values by seed: with one
// seed the interval is that of Clopper and Pearson, else the bootstrap over
// images of the mean over seeds.
func (r rate) into(e *Entry, resamples int) {
	e.Mean[r.name] = evaluate.Number(r.mean(nil))
	for i := range r.num {
		e.PerSeed[i][r.name] = evaluate.Number(r.of(i, nil))
	}
	if len(r.num) == 1 {
		a, b := 0, 0
		for k, in := range r.den[0] {
			if in {
				b++
			}
			if r.num[0][k] {
				a++
			}
		}
		e.CI95[r.name] = evaluate.ClopperPearson(a, b)
		return
	}
	values := make([]float64, resamples)
	evaluate.Draws(0, len(r.num[0]), nil, resamples, drawSeed, func(b int, _, rows []int32) { values[b] = r.mean(rows) })
	e.CI95[r.name] = evaluate.Percentiles(values)
}

// drawSeed is of the bootstrap: the same for all, so that differences between
// detectors are paired.
const drawSeed = 20020936

// tprKeys name the rates of evaluate.Rates, as report.json does.
var tprKeys = [len(evaluate.Rates)]string{"tpr_at_fpr.0.001", "tpr_at_fpr.0.01", "tpr_at_fpr.0.05"}

// named are the figures by their keys.
func named(f evaluate.Figures) map[string]float64 {
	out := map[string]float64{"auc": f.AUC, "pr_auc": f.PRAUC, "fpr_at_tpr95": f.FPR95}
	for k, key := range tprKeys {
		out[key] = f.TPR[k]
	}
	return out
}

// trials are the scores of successful rows against clean ones.
func trials(clean, attacked []*scored) []evaluate.Trial {
	var out []evaluate.Trial
	for i, s := range attacked {
		out = append(out, evaluate.Trial{Clean: clean[i].score, Scores: s.score, Success: s.success, Source: s.rows})
	}
	return out
}

func newEntry(n, seeds int) Entry {
	e := Entry{N: n, NSuccess: []int{}, Mean: map[string]evaluate.Number{}, CI95: map[string]evaluate.Interval{}}
	for range seeds {
		e.PerSeed = append(e.PerSeed, map[string]evaluate.Number{})
	}
	return e
}

// attackEntry computes the figures of an attack on one detector.
func attackEntry(clean, attacked []*scored, resamples int) Entry {
	e := newEntry(len(attacked[0].rows), len(attacked))
	right := func(s *scored, k int) bool { return s.before[k] == s.y[k] }
	won := func(s *scored, k int) bool { return s.success[k] }
	rates := []rate{
		shares("success_rate", attacked, won, right),
		shares("accuracy", attacked, func(s *scored, k int) bool { return s.predicted[k] == s.y[k] }, nil),
		shares("accuracy_reconstructed", attacked, func(s *scored, k int) bool { return s.reconstructed[k] == s.y[k] }, nil),
		shares("accuracy_corrected", attacked, func(s *scored, k int) bool { return s.corrected[k] == s.y[k] }, nil),
		shares("detected", attacked, func(s *scored, k int) bool { return s.flagged[k] }, won),
		shares("passed", attacked, func(s *scored, k int) bool { return s.predicted[k] != s.y[k] && !s.flagged[k] }, nil),
	}
	if attacked[0].evaded != nil {
		rates = append(rates, shares("evaded", attacked, func(s *scored, k int) bool { return s.evaded[k] }, nil))
	}
	for _, r := range rates {
		r.into(&e, resamples)
	}
	ts := trials(clean, attacked)
	for i, t := range ts {
		n := 0
		for _, yes := range t.Success {
			if yes {
				n++
			}
		}
		e.NSuccess = append(e.NSuccess, n)
		for key, v := range named(evaluate.MeanFigures(ts[i : i+1])) {
			e.PerSeed[i][key] = evaluate.Number(v)
		}
		s := attacked[i]
		e.PerSeed[i]["median_norm"] = evaluate.Number(medianWhere(s.norm, s.success))
		e.PerSeed[i]["queries"], e.PerSeed[i]["gradients"] = mean(s.queries), mean(s.gradients)
		e.PerSeed[i]["zero_gradients"] = mean(s.zero) / max(e.PerSeed[i]["gradients"], 1e-9)
	}
	for key, v := range named(evaluate.MeanFigures(ts)) {
		e.Mean[key] = evaluate.Number(v)
	}
	for _, key := range []string{"median_norm", "queries", "gradients", "zero_gradients"} {
		for _, m := range e.PerSeed {
			e.Mean[key] += m[key] / evaluate.Number(len(e.PerSeed))
		}
	}
	columns := map[string][]float64{}
	for _, f := range evaluate.ResampleTrials(ts, resamples, drawSeed) {
		for key, v := range named(f) {
			columns[key] = append(columns[key], v)
		}
	}
	for key, v := range columns {
		e.CI95[key] = evaluate.Percentiles(v)
	}
	return e
}

// cleanEntry computes the figures of clean rows.
func cleanEntry(clean []*scored, resamples int) Entry {
	e := newEntry(len(clean[0].rows), len(clean))
	for _, r := range []rate{
		shares("fpr", clean, func(s *scored, k int) bool { return s.flagged[k] }, nil),
		shares("accuracy", clean, func(s *scored, k int) bool { return s.predicted[k] == s.y[k] }, nil),
		shares("accuracy_reconstructed", clean, func(s *scored, k int) bool { return s.reconstructed[k] == s.y[k] }, nil),
		shares("accuracy_corrected", clean, func(s *scored, k int) bool { return s.corrected[k] == s.y[k] }, nil),
	} {
		r.into(&e, resamples)
	}
	cost := make([]float64, len(clean))
	for i := range clean {
		cost[i] = float64(e.PerSeed[i]["accuracy"] - e.PerSeed[i]["accuracy_corrected"])
		e.PerSeed[i]["clean_cost"] = evaluate.Number(cost[i])
	}
	e.Mean["clean_cost"] = e.Mean["accuracy"] - e.Mean["accuracy_corrected"]
	values := make([]float64, resamples)
	evaluate.Draws(0, e.N, nil, resamples, drawSeed, func(b int, _, rows []int32) {
		for _, s := range clean {
			for k, w := range rows {
				d := 0
				if s.predicted[k] == s.y[k] {
					d++
				}
				if s.corrected[k] == s.y[k] {
					d--
				}
				values[b] += float64(d) * float64(w) / float64(e.N*len(clean))
			}
		}
	})
	e.CI95["clean_cost"] = evaluate.Percentiles(values)
	return e
}

func mean(v []int64) evaluate.Number {
	sum := 0.0
	for _, x := range v {
		sum += float64(x)
	}
	return evaluate.Number(sum / float64(max(len(v), 1)))
}

// medianWhere is the median of the values that count, NaN without any.
func medianWhere(v []float64, counts []bool) float64 {
	var kept []float64
	for k, x := range v {
		if counts[k] {
			kept = append(kept, x)
		}
	}
	return median(kept)
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	v = slices.Sorted(slices.Values(v))
	m := len(v) / 2
	if len(v)%2 == 1 || math.IsInf(v[m], 1) {
		return v[m]
	}
	return (v[m-1] + v[m]) / 2
}
