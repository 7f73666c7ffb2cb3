package detect

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
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

// TestFarRowIsAttacked: one who attacks the detector sees such a row as it does, and the
// rows beside it are attacked as without it. It ended the attack, and an evaluation with it.
func TestFarRowIsAttacked(t *testing.T) {
	ctx := t.Context()
	const far = 3
	for name, o := range map[string]Options{"one score": options(), "fused": variants()["vae fisher"]} {
		g := calibrated(t, o).Guard(GuardOptions{})
		x := inputs(6, 8)
		look := func() (map[string]*tensor.Tensor, *tensor.Tensor) {
			outs, pull, err := g.Forward(ctx, x, g.OutputNames()[:4]...)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			cots := map[string]*tensor.Tensor{}
			for n, out := range outs {
				cots[n] = out.Clone()
				for i := range cots[n].Data {
					cots[n].Data[i] = 1
				}
			}
			dx, err := pull(ctx, cots)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return outs, dx
		}
		want, wantX := look()
		for i := range x.Row(far) {
			x.Row(far)[i] = float32(3e38 * (1 - 2*float64(i%2)))
		}
		got, gotX := look()
		if s := got[OutputScore].Row(far)[0]; !math.IsInf(float64(s), 1) {
			t.Errorf("%s: the far row's score is %v", name, s)
		}
		for i := range x.N() {
			if i == far {
				if !slices.Equal(gotX.Row(i), make([]float32, x.Stride())) {
					t.Errorf("%s: the far row's gradient is %v", name, gotX.Row(i))
				}
				continue
			}
			if got[OutputScore].Row(i)[0] != want[OutputScore].Row(i)[0] || !slices.Equal(gotX.Row(i), wantX.Row(i)) {
				t.Errorf("%s: row %d is another beside the far row", name, i)
			}
		}
	}
}
