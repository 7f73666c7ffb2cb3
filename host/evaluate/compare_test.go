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
