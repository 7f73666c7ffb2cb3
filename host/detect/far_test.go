package detect

import (
	"context"
	"errors"
	"math"
	"testing"
)

// TestFarRowIsFlagged: a row so far out that its reconstruction is not finite is the
// strangest there is. It had no verdict at all, and took its batch with it.
func TestFarRowIsFlagged(t *testing.T) {
	ctx := context.Background()
	d := calibrated(t, options())
	x := inputs(6, 80)
	want, err := d.Detect(ctx, x, everything)
	if err != nil || want.NotFinite != nil {
		t.Fatalf("%v, %v", want.NotFinite, err)
	}
	const far = 71
	for i := range x.Row(far) {
		x.Row(far)[i] = float32(3e38 * (1 - 2*float64(i%2)))
	}
	got, err := d.Detect(ctx, x, everything)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Adversarial[far] || !math.IsInf(got.Score[far], 1) || !got.NotFinite[far] || got.Corrected[far] != got.Predicted[far] {
		t.Errorf("flag %v, score %v, noted %v, corrected %d of %d", got.Adversarial[far], got.Score[far], got.NotFinite[far], got.Corrected[far], got.Predicted[far])
	}
	for i, s := range want.Score {
		if i != far && (got.Score[i] != s || got.Adversarial[i] != want.Adversarial[i] || got.NotFinite[i] || got.PValue[i] < got.PValue[far]) {
			t.Errorf("row %d: score %v beside the far row, %v without", i, got.Score[i], s)
		}
	}
	// Calibration rows are clean: there it is a fault, of that row.
	var row *RowError
	if _, err := d.Scores(ctx, x); !errors.As(err, &row) || row.Row != far {
		t.Errorf("scores: %v", err)
	}
}
