package evaluate_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/evaluate/report"
)

// TestConstraints holds attacks on the classifier and on the detector to the
// same rows, and looks for what the report says of it.
func TestConstraints(t *testing.T) {
	o := options()
	c := &attack.Constraints{Columns: make([]attack.Column, o.X.Stride())}
	c.Columns[0].Immutable = true
	c.Columns[1] = attack.Column{Integer: true, Scale: 20}
	c.Columns[2] = attack.Column{Min: .3, Max: .7}
	free, _ := run(t, o)
	o.Constraints = c
	r, d := run(t, o)
	for _, a := range d.Attacks {
		moved := 0
		for i := range a.Adversarial.X.N() {
			x0, x := a.Adversarial.X.Row(i), a.Adversarial.XAdv.Row(i)
			if !c.Legal(x, x0) {
				t.Errorf("%s, row %d: %v is impossible", a.ID, i, x)
			}
			if x[1] != x0[1] {
				moved++
			}
		}
		if moved == 0 && a.Adversarial.Eps > .05 {
			t.Errorf("%s moved the integer on no row", a.ID)
		}
	}
	if want := (attack.Count{Immutable: 1, Integer: 1, Ranges: 1}); r.Constraints == nil || *r.Constraints != want {
		t.Errorf("the report says %v, want %v", r.Constraints, want)
	}
	for i, a := range append(r.Attacks, r.Adaptive[0].AttackReport) {
		if a.NIllegal == 0 {
			t.Errorf("attack %d: no proposal was impossible, though it knows nothing of the constraints", i)
		}
	}
	if a, b := r.Attacks[0].NSuccess, free.Attacks[0].NSuccess; a == 0 || a >= b {
		t.Errorf("%d successes with constraints, %d without", a, b)
	}
	said := func(r *evaluate.Report, where, want string) {
		t.Helper()
		var text bytes.Buffer
		err := r.WriteJSON(&text)
		if where != "report.json" {
			text.Reset()
			err = report.WriteHTML(&text, r, d, report.Options{})
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), want) {
			t.Errorf("%s does not say %q", where, want)
		}
	}
	said(r, "report.json", `"one_hot_groups": 0`)
	said(r, "report.html", "Attacks keep rows possible (1 immutable column, 1 integer column, 1 column with a range)")
	free.Unconstrained = true
	said(free, "report.json", `"unconstrained": true`)
	said(free, "report.html", "The constraints of the data were set aside")
}
