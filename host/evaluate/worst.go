package evaluate

// common are the test rows that every one of the attacks attacked, each with
// its position in every attack.
func common(attacks []*AttackDetails) (rows []int, at []map[int]int) {
	if len(attacks) == 0 {
		return nil, nil
	}
	for _, a := range attacks {
		m := make(map[int]int, len(a.Rows))
		for k, r := range a.Rows {
			m[r] = k
		}
		at = append(at, m)
	}
	for _, r := range attacks[0].Rows {
		everywhere := true
		for _, m := range at {
			if _, ok := m[r]; !ok {
				everywhere = false
			}
		}
		if everywhere {
			rows = append(rows, r)
		}
	}
	return rows, at
}

// union counts an attacker who tries every adaptive attack and keeps what
// evades. False-alarm attacks have another goal and are left out.
func (e *evaluation) union() {
	var list []*AttackDetails
	for _, a := range e.details.Attacks {
		if a.Adaptive && !a.FalseAlarm {
			list = append(list, a)
		}
	}
	rows, at := common(list)
	if len(list) == 0 {
		return
	}
	n := 0
	for _, r := range rows {
		for j, a := range list {
			if a.Evaded[at[j][r]] {
				n++
				break
			}
		}
	}
	e.report.AdaptiveUnion = &UnionReport{N: len(rows), Evaded: ratio(n, len(rows)), CI95: ClopperPearson(n, len(rows))}
}

// worst joins the attacks on the classifier alone.
func (e *evaluation) worst() {
	var list []*AttackDetails
	for _, a := range e.details.Attacks {
		if !a.Adaptive && !a.Control {
			list = append(list, a)
		}
	}
	if len(list) == 0 {
		return
	}
	rows, at := common(list)
	w := &WorstReport{N: len(rows), CI95: make(map[string]Interval)}
	detected, evaded, right, corrected := 0, 0, 0, 0
	for _, r := range rows {
		fooled, allDetected, evades, stands, fixed := false, true, false, true, true
		for j, a := range list {
			k, y := at[j][r], e.o.Labels[r]
			flagged, wrong := a.Result.Adversarial[k], a.Result.Predicted[k] != y
			fooled = fooled || a.Success[k]
			allDetected = allDetected && (!a.Success[k] || flagged)
			evades = evades || (wrong && !flagged)
			stands = stands && !wrong
			fixed = fixed && a.Result.Corrected[k] == y
		}
		add := func(n *int, yes bool) {
			if yes {
				*n++
			}
		}
		add(&w.NSuccess, fooled)
		add(&detected, fooled && allDetected)
		add(&evaded, evades)
		add(&right, stands)
		add(&corrected, fixed)
	}
	w.Detected, w.Evaded = ratio(detected, w.NSuccess), ratio(evaded, w.N)
	w.Accuracy, w.AccuracyCorrected = ratio(right, w.N), ratio(corrected, w.N)
	w.CI95["detected"], w.CI95["evaded"] = ClopperPearson(detected, w.NSuccess), ClopperPearson(evaded, w.N)
	w.CI95["accuracy"], w.CI95["accuracy_corrected"] = ClopperPearson(right, w.N), ClopperPearson(corrected, w.N)
	e.report.WorstCase = w
}
