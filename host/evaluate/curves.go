package evaluate

import (
	"context"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
)

// curves repeats attacks of a bounded eps at multiples of it, on fewer rows:
// iterated ones (one for each norm and need) and adaptive ones that follow
// gradients (one of each name and norm, on half the rows: they cost the most).
func (e *evaluation) curves(ctx context.Context) error {
	if e.o.CurveRows < 0 || len(e.o.CurveFactors) == 0 {
		return nil
	}
	seen := make(map[string]bool)
	for i, n := range e.o.Attacks {
		norm, eps := n.Attack.Ball()
		ad, adaptive := n.Attack.(attack.Adaptive)
		kind := string(norm) + " " + n.Attack.Needs().String()
		if adaptive {
			kind = string(norm) + " adaptive " + n.Name
		}
		if math.IsInf(eps, 1) || !curved(n.Attack) || seen[kind] || e.left[e.ids[i]] {
			continue
		}
		seen[kind] = true
		limit := e.o.CurveRows
		if e.o.Limit > 0 {
			limit = min(limit, e.o.Limit)
		}
		if adaptive {
			limit = min((limit+1)/2, e.o.Adaptive)
		}
		wantsFlag := adaptive && ad.WantsFlag()
		c := Curve{ID: e.ids[i], Norm: string(norm), Adaptive: adaptive, FalseAlarm: wantsFlag}
		rows := e.rows(limit)
		smallest := make([]float64, len(rows))
		for k := range smallest {
			smallest[k] = math.Inf(1)
		}
		for step, f := range slices.Sorted(slices.Values(e.o.CurveFactors)) {
			t := e.again(e.ids[i], rows, f)
			if t == nil {
				var err error
				e.quiet = true
				t, err = e.launch(ctx, e.ids[i], n.Attack, rows, f*eps)
				e.quiet = false
				if err != nil {
					return err
				}
			}
			e.progress("security curve "+e.ids[i], step+1, len(e.o.CurveFactors))
			c.Points = append(c.Points, e.point(t, f*eps, wantsFlag))
			evaded, _ := t.evaded(wantsFlag)
			for k := range rows {
				if evaded[k] {
					smallest[k] = min(smallest[k], t.adv.Norm[k])
				}
			}
		}
		e.report.Curves = append(e.report.Curves, c)
		if adaptive {
			e.smallest(e.ids[i], rows, smallest)
		}
	}
	return nil
}

// curved reports whether an attack has security curves.
func curved(a attack.Attack) bool {
	if _, ok := a.(attack.Adaptive); ok {
		return a.Needs() == attack.NeedsGradients && !attack.IsTransferred(a)
	}
	return attack.IsIterated(a)
}

// again is what the list's own run of an attack gave, if it was on the same
// rows at the same eps.
func (e *evaluation) again(id string, rows []int, factor float64) *attacked {
	for _, a := range e.details.Attacks {
		if a.ID == id && factor == 1 && slices.Equal(a.Rows, rows) {
			return &attacked{rows: a.Rows, adv: a.Adversarial, result: a.Result, success: a.Success}
		}
	}
	return nil
}

func (e *evaluation) point(t *attacked, eps float64, wantsFlag bool) CurvePoint {
	n := len(t.rows)
	won := (&AttackDetails{Result: t.result, Success: t.success}).Scores(true)
	detected := 0
	for k, s := range t.success {
		if s && t.result.Adversarial[k] {
			detected++
		}
	}
	evaded, _ := t.evaded(wantsFlag)
	p := CurvePoint{
		Eps: eps, N: n, SuccessRate: ratio(len(won), agree(t.adv.Predicted, t.adv.Y)),
		AUC: Number(Judge(e.result.Score, won).AUC), Detected: ratio(detected, len(won)),
		Accuracy: share(agree(t.result.Predicted, t.adv.Y), n), AccuracyCorrected: share(agree(t.result.Corrected, t.adv.Y), n),
		Evaded: ratio(count(evaded), n),
	}
	if wantsFlag {
		alarms := p.Evaded
		p.FalseAlarms = &alarms
	}
	return p
}

// smallest makes an adaptive attack's median evasion norm that of the rows that its curve
// attacked too, each with the smallest norm of all runs. The rows of the attack's own run alone are left
// out: they were tried at one radius, so their smallest norm would be too large.
func (e *evaluation) smallest(id string, rows []int, norms []float64) {
	for i := range e.report.Adaptive {
		if e.report.Adaptive[i].ID != id {
			continue
		}
		own := e.evasions(id)
		var list []float64
		for k, r := range rows {
			if e.result.Predicted[r] != e.o.Labels[r] {
				continue
			}
			norm := norms[k]
			if v, ok := own[r]; ok {
				norm = min(norm, v)
			}
			list = append(list, norm)
		}
		e.report.Adaptive[i].MedianEvasionNorm, e.report.Adaptive[i].MedianEvasionN = Number(median(list)), len(list)
	}
}

// evasions are the norms with which an attack's own run evaded, by row.
func (e *evaluation) evasions(id string) map[int]float64 {
	out := make(map[int]float64)
	for _, a := range e.details.Attacks {
		if a.ID == id {
			for k, r := range a.Rows {
				if a.Evaded[k] {
					out[r] = a.Adversarial.Norm[k]
				}
			}
		}
	}
	return out
}
