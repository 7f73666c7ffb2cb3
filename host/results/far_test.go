package results

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// TestInfiniteScore: a row with an infinite score has its verdict and a note in every
// format; JSON, which has no infinity, has null for the number.
func TestInfiniteScore(t *testing.T) {
	for format, want := range map[string][]string{
		"json":  {`"instance_score":[0,null]`, `"is_adversarial":[0,1]`, `"notes":[{"index":1,"note":"its reconstruction is not finite`},
		"jsonl": {`"is_adversarial":1,"instance_score":null`, `"note":"its reconstruction is not finite`},
		"csv":   {"+Inf"},
	} {
		f, err := Lookup(format)
		if err != nil {
			t.Fatal(err)
		}
		r, traces := verdicts(0, 2, true)
		r.Score[1], r.Adversarial[1], r.NotFinite = math.Inf(1), true, []bool{false, true}
		r.Latent.Row(1)[0] = float32(math.NaN())
		var b bytes.Buffer
		o := named()
		o.Keep = nil
		w, err := f.New(&b, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Batch(0, r, traces); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if err := w.Close(); err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		for _, part := range want {
			if !strings.Contains(b.String(), part) {
				t.Errorf("%s has no %s:\n%s", format, part, b.String())
			}
		}
	}
}
