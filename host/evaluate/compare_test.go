package evaluate_test

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// A detector compared with itself never differs; with its scores shuffled it
// is worse; on other rows there is nothing to compare.
func TestCompare(t *testing.T) {
	_, d := run(t, options())
	var b bytes.Buffer
	if err := d.Scores().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	read := func() *evaluate.Scores {
		s := &evaluate.Scores{}
		if err := json.Unmarshal(b.Bytes(), s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	same, skipped, ok := evaluate.Compare(read(), read())
	if !ok || len(skipped) != 0 || len(same) != 2 {
		t.Fatalf("%d comparisons, skipped %v, %v; want the 2 attacks on the classifier", len(same), skipped, ok)
	}
	for _, c := range same {
		if c.AUCDifference != 0 || c.DeLongP != 1 || c.McNemarP != 1 {
			t.Errorf("a detector against itself: %+v", c)
		}
	}
	worse := read()
	for i := range worse.Attacks {
		slices.Reverse(worse.Attacks[i].Score)
		for k := range worse.Attacks[i].Score {
			worse.Attacks[i].Score[k] *= .002
			worse.Attacks[i].Flagged[k] = false
		}
	}
	got, _, _ := evaluate.Compare(read(), worse)
	if c := got[0]; c.AUCDifference < .05 || c.DeLongHolm > .01 || c.CaughtOnlyB != 0 || c.CaughtOnlyA == 0 || math.IsNaN(float64(c.McNemarHolm)) {
		t.Errorf("against a worse one: %+v", c)
	}
	other := read()
	other.Attacks[0].Digest = "sha256:other"
	if got, skipped, _ := evaluate.Compare(read(), other); len(got) != 1 || len(skipped) != 1 {
		t.Errorf("%d comparisons, skipped %v; want one of each", len(got), skipped)
	}
	other.Clean.Digest = "sha256:other"
	if _, _, ok := evaluate.Compare(read(), other); ok {
		t.Error("other clean rows were compared")
	}
}

// scores.json names the clean row of each attacked one, one without is still read, and one that cannot be is refused.
func TestScoresRows(t *testing.T) {
	_, d := run(t, options())
	s := d.Scores()
	if !slices.Equal(s.Attacks[0].Rows, d.Attacks[0].Rows) || len(s.Attacks[0].Rows) == 0 {
		t.Fatalf("rows %v, want %v", s.Attacks[0].Rows, d.Attacks[0].Rows)
	}
	older := *s
	older.Attacks = slices.Clone(s.Attacks)
	for i := range older.Attacks {
		older.Attacks[i].Rows = nil
	}
	worse := d.Scores()
	worse.Clean.Score = slices.Clone(worse.Clean.Score)
	for i := range worse.Clean.Score {
		worse.Clean.Score[i] *= float64(i%7) / 3
	}
	p := func(a *evaluate.Scores) float64 {
		got, _, _ := evaluate.Compare(a, worse)
		return float64(got[0].DeLongP)
	}
	for i := range worse.Attacks {
		worse.Attacks[i].Rows = nil
	}
	if one, both := p(s), p(&older); one == both {
		t.Errorf("p = %g whether the rows are known or not", one)
	}
	for text, change := range map[string]func(s *evaluate.Scores){
		"attack pgd-linf-0.15: rows[1] is 300, of 300 clean rows":    func(s *evaluate.Scores) { s.Attacks[0].Rows[1] = 300 },
		"attack pgd-linf-0.15: rows[0] is -1, of 300 clean rows":     func(s *evaluate.Scores) { s.Attacks[0].Rows[0] = -1 },
		"attack pgd-linf-0.05: a column of 1 rows beside one of 300": func(s *evaluate.Scores) { s.Attacks[1].Rows = []int{1} },
		"attack pgd-linf-0.05: a column of 2 rows beside one of 300": func(s *evaluate.Scores) { s.Attacks[1].Success = make([]bool, 2) },
		"clean: 300 scores and 0 verdicts":                           func(s *evaluate.Scores) { s.Clean.Flagged = nil },
	} {
		bad := d.Scores()
		for i := range bad.Attacks {
			bad.Attacks[i].Rows = slices.Clone(bad.Attacks[i].Rows)
		}
		change(bad)
		b, err := json.Marshal(bad)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &evaluate.Scores{}); err == nil || err.Error() != text {
			t.Errorf("error %v, want %q", err, text)
		}
	}
}
