package grid

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// AdaptiveResult joins the adaptive attacks on one detector.
type AdaptiveResult struct {
	Detector string `json:"detector"`
	// Unions are, for each ball, an attacker who tries every attack on the
	// guard in it.
	Unions []Union `json:"unions"`
	// Evasion are, for each norm, the smallest perturbations seen.
	Evasion []Evasion `json:"evasion"`
}

// Union is the share of rows that some attack gets misclassified and unflagged.
type Union struct {
	Norm    string            `json:"norm"`
	Eps     evaluate.Number   `json:"eps"`
	Attacks []string          `json:"attacks"`
	Missing []string          `json:"missing"` // planned, not run for these seeds
	Seeds   []uint64          `json:"seeds"`
	N       int               `json:"n"`
	Evaded  evaluate.Number   `json:"evaded"`
	CI95    evaluate.Interval `json:"ci95"`
}

// Evasion is the median over rows that were right before of the smallest
// perturbation that misleads the bare classifier, and of the smallest that
// evades classifier and detector; null where most rows never are.
type Evasion struct {
	Norm   string          `json:"norm"`
	Seeds  []uint64        `json:"seeds"`
	N      int             `json:"n"`
	Fools  evaluate.Number `json:"median_fools_classifier"`
	Evades evaluate.Number `json:"median_evades_guard"`
	// Ratio is Evades / Fools. Where most rows were never evaded, it is null
	// and AtLeast is the largest eps tried over Fools.
	Ratio   evaluate.Number `json:"ratio"`
	AtLeast evaluate.Number `json:"ratio_at_least"`
}

func (b *Bench) adaptiveResults(s *SetResults, runs map[string]map[uint64]*scored) []AdaptiveResult {
	out := []AdaptiveResult{}
	for _, d := range s.Detectors {
		one := AdaptiveResult{Detector: d.Name, Unions: []Union{}, Evasion: []Evasion{}}
		var norms []string
		balls := map[string][]AttackResult{}
		var order []string
		for _, a := range s.Attacks {
			if !a.Adaptive || a.falseAlarm || a.Eps == nil || runs[d.Name+"/"+a.ID] == nil {
				continue
			}
			ball := fmt.Sprintf("%s %g", a.Norm, float64(*a.Eps))
			if balls[ball] == nil {
				order = append(order, ball)
			}
			balls[ball] = append(balls[ball], a)
			if !contains(norms, a.Norm) {
				norms = append(norms, a.Norm)
			}
		}
		for _, ball := range order {
			if u := b.union(d.Name, balls[ball], runs); u != nil {
				one.Unions = append(one.Unions, *u)
			}
		}
		for _, norm := range norms {
			if e := b.evasion(d.Name, norm, s.Attacks, runs); e != nil {
				one.Evasion = append(one.Evasion, *e)
			}
		}
		if len(one.Unions) > 0 {
			out = append(out, one)
		}
	}
	return out
}

func contains(list []string, v string) bool { return len(list) > 0 && on(list, v) }

// union joins the attacks that were run, for the seeds for which any was.
func (b *Bench) union(detector string, attacks []AttackResult, runs map[string]map[uint64]*scored) *Union {
	u := &Union{Norm: attacks[0].Norm, Eps: *attacks[0].Eps, Missing: []string{}, Attacks: []string{}, Seeds: []uint64{}, Evaded: nan}
	r := rate{name: "evaded"}
	for _, seed := range b.Grid.Seeds {
		var list []*scored
		for _, a := range attacks {
			if s := runs[detector+"/"+a.ID][seed]; s != nil {
				list = append(list, s)
			}
		}
		if len(list) == 0 {
			continue
		}
		u.Seeds = append(u.Seeds, seed)
		rows := common(list)
		hit, all := make([]bool, len(rows)), make([]bool, len(rows))
		for k, places := range rows {
			all[k] = true
			for j, p := range places {
				hit[k] = hit[k] || list[j].evaded[p]
			}
		}
		r.num, r.den = append(r.num, hit), append(r.den, all)
	}
	if len(u.Seeds) == 0 {
		return nil
	}
	for _, a := range attacks {
		ran := 0
		for _, seed := range u.Seeds {
			if runs[detector+"/"+a.ID][seed] != nil {
				ran++
			}
		}
		if ran > 0 {
			u.Attacks = append(u.Attacks, a.ID)
		}
		if ran < len(u.Seeds) {
			u.Missing = append(u.Missing, a.ID)
		}
	}
	u.N = len(r.num[0])
	same := true
	for _, v := range r.num {
		same = same && len(v) == u.N
	}
	u.Evaded = evaluate.Number(r.mean(nil))
	u.CI95 = evaluate.Interval{Lo: math.NaN(), Hi: math.NaN()}
	if same {
		e := newEntry(u.N, len(r.num))
		r.into(&e, b.Grid.Bootstrap)
		u.CI95 = e.CI95[r.name]
	}
	return u
}

// common are, for each row that every attack has, its place in each of them,
// in the order of the first.
func common(list []*scored) [][]int {
	places := make([]map[int]int, len(list))
	for j, s := range list {
		places[j] = map[int]int{}
		for k, row := range s.rows {
			places[j][row] = k
		}
	}
	var out [][]int
	for _, row := range list[0].rows {
		at := make([]int, len(list))
		everywhere := true
		for j := range list {
			k, ok := places[j][row]
			at[j], everywhere = k, everywhere && ok
		}
		if everywhere {
			out = append(out, at)
		}
	}
	return out
}

// evasion compares the smallest perturbations on the rows that all adaptive
// attacks share. Medians are means over the seeds.
func (b *Bench) evasion(detector, norm string, attacks []AttackResult, runs map[string]map[uint64]*scored) *Evasion {
	e := &Evasion{Norm: norm, Seeds: []uint64{}, Ratio: nan, AtLeast: nan}
	var fools, evades float64
	largest := 0.0
	for _, seed := range b.Grid.Seeds {
		var guards, bare []*scored
		for _, a := range attacks {
			s := runs[detector+"/"+a.ID][seed]
			switch {
			case s == nil || a.Norm != norm || a.Control || a.falseAlarm:
			case a.Adaptive:
				guards = append(guards, s)
				if a.Eps != nil {
					largest = max(largest, float64(*a.Eps))
				}
			default:
				bare = append(bare, s)
			}
		}
		if len(guards) == 0 || len(bare) == 0 {
			continue
		}
		rows := common(append(guards, bare...))
		var small [2][]float64
		for _, at := range rows {
			if first := guards[0]; first.before[at[0]] != first.y[at[0]] {
				continue
			}
			least := [2]float64{math.Inf(1), math.Inf(1)}
			for j, s := range append(guards, bare...) {
				k := at[j]
				switch {
				case j < len(guards) && s.evaded[k]:
					least[1] = min(least[1], s.norm[k])
				case j >= len(guards) && s.success[k]:
					least[0] = min(least[0], s.norm[k])
				}
			}
			least[0] = min(least[0], least[1]) // what evades the detector also misleads the classifier
			small[0], small[1] = append(small[0], least[0]), append(small[1], least[1])
		}
		e.Seeds, e.N = append(e.Seeds, seed), len(rows)
		fools, evades = fools+median(small[0]), evades+median(small[1])
	}
	if len(e.Seeds) == 0 {
		return nil
	}
	n := float64(len(e.Seeds))
	e.Fools, e.Evades = evaluate.Number(fools/n), evaluate.Number(evades/n)
	switch {
	case math.IsInf(fools, 0) || math.IsNaN(fools):
	case math.IsInf(evades, 1):
		e.AtLeast = evaluate.Number(largest * n / fools)
	default:
		e.Ratio = evaluate.Number(evades / fools)
	}
	return e
}
