package report

import (
	_ "embed"
	"fmt"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed classes.html
var classesHTML string

// classTable are the test rows by their true class.
type classTable struct {
	Attacks []string // with a success rate and a detected fraction in each row
	Rows    []classRow
	Rest    int // classes that the table leaves out
}

// classRow is one class. Rates are nil where there is no row to count.
type classRow struct {
	Name                         string
	N                            int // clean test rows
	Accuracy, Corrected, Flagged *evaluate.Number
	CI95                         evaluate.Interval // of Flagged
	Attacks                      []classAttack
}

// classAttack is one attack on the rows of a class.
type classAttack struct {
	N, NSuccess       int
	Success, Detected *evaluate.Number
}

// mostClassAttacks is how many attacks the table by class has room for.
const mostClassAttacks = 4

// share is k of n; nil if n is 0.
func share(k, n int) *evaluate.Number {
	if n == 0 {
		return nil
	}
	v := evaluate.Number(float64(k) / float64(n))
	return &v
}

// className is what a class is called.
func className(d *evaluate.Details, c int) string {
	if c < len(d.ClassNames) {
		return d.ClassNames[c]
	}
	return fmt.Sprintf("class %d", c)
}

// classesData counts by true class: what the whole hides. Controls and attacks
// that know the detector are left out.
func classesData(p *Page) (any, bool) {
	d, n := p.Details, p.Report.Classifier.Classes
	if d.CleanResult == nil || n == 0 || len(d.Labels) != len(d.CleanResult.Predicted) {
		return nil, false
	}
	type count struct{ n, right, corrected, flagged int }
	clean := make([]count, n)
	for i, y := range d.Labels {
		c := &clean[y]
		c.n++
		c.right += one(d.CleanResult.Predicted[i] == y)
		c.corrected += one(d.CleanResult.Corrected[i] == y)
		c.flagged += one(d.CleanResult.Adversarial[i])
	}
	t := classTable{Rest: max(0, n-mostClasses)}
	for y, c := range clean[:n-t.Rest] {
		t.Rows = append(t.Rows, classRow{Name: className(d, y), N: c.n, Accuracy: share(c.right, c.n), Corrected: share(c.corrected, c.n),
			Flagged: share(c.flagged, c.n), CI95: evaluate.ClopperPearson(c.flagged, c.n)})
	}
	for _, a := range d.Attacks {
		if a.Adaptive || a.Control || a.FalseAlarm || len(t.Attacks) == mostClassAttacks {
			continue
		}
		t.Attacks = append(t.Attacks, a.ID)
		type count struct{ n, success, detected int }
		of := make([]count, n)
		for k, i := range a.Rows {
			c := &of[d.Labels[i]]
			c.n++
			c.success += one(a.Success[k])
			c.detected += one(a.Success[k] && a.Result.Adversarial[k])
		}
		for y := range t.Rows {
			c := of[y]
			t.Rows[y].Attacks = append(t.Rows[y].Attacks, classAttack{c.n, c.success, share(c.success, c.n), share(c.detected, c.success)})
		}
	}
	return t, true
}

// one is 1 for true.
func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
