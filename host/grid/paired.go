package grid

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// nan is a figure that the data do not define.
var nan = evaluate.Number(math.NaN())

// TestResult are the paired tests of the default detector against another one
// on the same adversarial rows, over the seeds that both were run for.
// Differences are default − other.
type TestResult struct {
	Detector string       `json:"detector"` // the other one
	Attacks  []AttackTest `json:"attacks"`
}

// AttackTest is one attack's paired test.
type AttackTest struct {
	ID          string                       `json:"id"`
	Seeds       []uint64                     `json:"seeds"`
	Difference  map[string]evaluate.Number   `json:"difference"`
	CI95        map[string]evaluate.Interval `json:"ci95"` // paired bootstrap over images of the seed mean
	DeLongP     evaluate.Number              `json:"delong_p"`
	DeLongHolm  evaluate.Number              `json:"delong_p_holm"`
	OnlyDefault int                          `json:"caught_only_default"` // successful attacks caught at the threshold
	OnlyOther   int                          `json:"caught_only_other"`
	McNemarP    evaluate.Number              `json:"mcnemar_p"`
	McNemarHolm evaluate.Number              `json:"mcnemar_p_holm"`
}

// tests compares the default with each other detector, on every attack on the
// bare classifier that is not a control.
func (b *Bench) tests(s *SetResults, clean, runs map[string]map[uint64]*scored) ([]TestResult, error) {
	out := []TestResult{}
	first := b.Grid.Default
	if first == "" || len(clean[first]) == 0 {
		return out, nil
	}
	for _, d := range s.Detectors {
		if d.Name == first {
			continue
		}
		one := TestResult{Detector: d.Name, Attacks: []AttackTest{}}
		for _, a := range s.Attacks {
			if a.Adaptive || a.Control {
				continue
			}
			t, err := b.test(a.ID, [2]string{first, d.Name}, clean, runs)
			if err != nil {
				return nil, err
			}
			if t != nil {
				one.Attacks = append(one.Attacks, *t)
			}
		}
		holm(one.Attacks, func(t *AttackTest) (p, adjusted *evaluate.Number) { return &t.DeLongP, &t.DeLongHolm })
		holm(one.Attacks, func(t *AttackTest) (p, adjusted *evaluate.Number) { return &t.McNemarP, &t.McNemarHolm })
		if len(one.Attacks) > 0 {
			out = append(out, one)
		}
	}
	return out, nil
}

func holm(tests []AttackTest, field func(*AttackTest) (p, adjusted *evaluate.Number)) {
	values := make([]float64, len(tests))
	for i := range tests {
		p, _ := field(&tests[i])
		values[i] = float64(*p)
	}
	for i, v := range evaluate.Holm(values) {
		_, adjusted := field(&tests[i])
		*adjusted = evaluate.Number(v)
	}
}

// test is nil where the two have no seed in common.
func (b *Bench) test(id string, names [2]string, clean, runs map[string]map[uint64]*scored) (*AttackTest, error) {
	var pure, hit [2][]*scored
	var seeds []uint64
	var keys []string
	for _, seed := range b.Grid.Seeds {
		x, y := runs[names[0]+"/"+id][seed], runs[names[1]+"/"+id][seed]
		if x == nil || y == nil || !slices.Equal(x.success, y.success) {
			continue
		}
		seeds = append(seeds, seed)
		for i, s := range []*scored{x, y} {
			pure[i], hit[i] = append(pure[i], clean[names[i]][seed]), append(hit[i], s)
			keys = append(keys, s.record.Key)
		}
	}
	if len(seeds) == 0 {
		return nil, nil
	}
	t, err := kept(b, "test", keys, func() AttackTest { return paired(pure, hit, b.Grid.Bootstrap) })
	t.ID, t.Seeds = id, seeds
	return &t, err
}

func paired(clean, hit [2][]*scored, resamples int) AttackTest {
	t := AttackTest{Difference: map[string]evaluate.Number{}, CI95: map[string]evaluate.Interval{}}
	a, b := trials(clean[0], hit[0]), trials(clean[1], hit[1])
	fa, fb := named(evaluate.MeanFigures(a)), named(evaluate.MeanFigures(b))
	ra, rb := evaluate.ResampleTrials(a, resamples, drawSeed), evaluate.ResampleTrials(b, resamples, drawSeed)
	for key := range fa {
		t.Difference[key] = evaluate.Number(fa[key] - fb[key])
	}
	columns := map[string][]float64{}
	for i := range ra {
		na, nb := named(ra[i]), named(rb[i])
		for key := range na {
			columns[key] = append(columns[key], na[key]-nb[key])
		}
	}
	for key, v := range columns {
		t.CI95[key] = evaluate.Percentiles(v)
	}
	corrected := func(s *scored, k int) bool { return s.corrected[k] == s.y[k] }
	ca, cb := shares("accuracy_corrected", hit[0], corrected, nil), shares("accuracy_corrected", hit[1], corrected, nil)
	t.Difference[ca.name] = evaluate.Number(ca.mean(nil) - cb.mean(nil))
	values := make([]float64, resamples)
	evaluate.Draws(0, len(ca.num[0]), nil, resamples, drawSeed, func(i int, _, rows []int32) { values[i] = ca.mean(rows) - cb.mean(rows) })
	t.CI95[ca.name] = evaluate.Percentiles(values)

	_, p := evaluate.DeLongTrials(a, b)
	t.DeLongP = evaluate.Number(p)
	caught := func(list []*scored) [][]bool {
		return shares("", list, func(s *scored, k int) bool { return s.success[k] && s.flagged[k] }, nil).num
	}
	t.OnlyDefault, t.OnlyOther, p = evaluate.McNemarTrials(caught(hit[0]), caught(hit[1]))
	t.McNemarP = evaluate.Number(p)
	return t
}

// tolerance is how far by chance a false-alarm rate on n rows may lie from α
// for which m rows calibrated.
func tolerance(alpha float64, m, n int) float64 {
	return 1.96 * math.Sqrt(alpha*(1-alpha)*(1/float64(m)+1/float64(n)))
}
