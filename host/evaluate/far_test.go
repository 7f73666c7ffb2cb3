package evaluate_test

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/evaluate"
)

// TestFarRows: rows whose reconstruction is not finite, clean and attacked, are flagged
// and counted, warned of, and stay the strangest in scores.json, which has no infinity.
func TestFarRows(t *testing.T) {
	o := options()
	g := o.Guard.(*attacktest.Guard)
	const clean, attacked = 7, 40 // the clean row, and below which all are lost once attacked
	g.Far = func(x []float32) bool {
		for i := range o.X.N() {
			if slices.Equal(x, o.X.Row(i)) {
				return i == clean
			}
		}
		for i := range attacked {
			near := 0.
			for j, v := range o.X.Row(i) {
				near = max(near, math.Abs(float64(v-x[j])))
			}
			if near > 0 && near < .2 {
				return true
			}
		}
		return false
	}
	r, d := run(t, o)
	if n := math.Inf(1); d.Clean[clean] != n || !d.CleanResult.NotFinite[clean] || len(d.CleanResult.NotFinite) != o.X.N() {
		t.Errorf("clean row %d: score %v, noted %v", clean, d.Clean[clean], d.CleanResult.NotFinite)
	}
	warnings := strings.Join(r.Warnings, "\n")
	for _, want := range []string{"the reconstruction of 1 of 300 clean rows is not finite", "300 rows attacked by pgd-linf-0.15 is not finite", "50 rows attacked by joint is not finite", "brightness"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning of %q:\n%s", want, warnings)
		}
	}
	var b, again bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	if err := d.Scores().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "null") {
		t.Error("scores.json has no null")
	}
	read := &evaluate.Scores{}
	if err := json.Unmarshal(b.Bytes(), read); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(read.Clean.Score, d.Scores().Clean.Score) || !slices.Equal(read.Attacks[0].Score, d.Scores().Attacks[0].Score) {
		t.Error("scores that were read are not those that were written")
	}
	if err := read.WriteJSON(&again); err != nil || b.String() != again.String() {
		t.Errorf("written again: %v", err)
	}
	same, _, ok := evaluate.Compare(d.Scores(), read)
	if !ok || same[0].DeLongP != 1 || same[0].AUCDifference != 0 || same[0].AUCA != r.Attacks[0].AUC {
		t.Errorf("compared with what was read: %+v, AUC %v in the report", same, r.Attacks[0].AUC)
	}
}
