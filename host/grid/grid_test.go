package grid

import (
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// What another program said counts only if it was asked about these rows.
func TestReadExternal(t *testing.T) {
	x := tensor.From([]float32{1, 2, 3, 4}, 2, 2)
	write := func(digest string, y []int) string {
		path := filepath.Join(t.TempDir(), "clean.npz")
		err := dataset.WriteNPZFile(path, []dataset.Array{
			column("score", []float64{0.5, 2}), column("flagged", []bool{false, true}), column("predicted", []int{0, 1}),
			column("reconstructed", []int{0, 2}), column("corrected", []int{0, 2}), column("y", y), {Name: "digest", Data: digest},
		})
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	r, err := readExternal(write(evaluate.Digest(x), []int{0, 2}), x, []int{0, 2})
	if err != nil || !reflect.DeepEqual(r.Corrected, []int{0, 2}) || !r.Adversarial[1] {
		t.Errorf("read %+v, %v", r, err)
	}
	for _, path := range []string{write("sha256:0", []int{0, 2}), write(evaluate.Digest(x), []int{0, 1})} {
		if _, err := readExternal(path, x, []int{0, 2}); err == nil || !strings.Contains(err.Error(), "other rows") {
			t.Errorf("other rows: %v", err)
		}
	}
}

// The smallest perturbations, by hand: three rows, of which one was wrong
// before and counts for nothing.
func TestEvasion(t *testing.T) {
	b := &Bench{Grid: &Grid{Seeds: []uint64{1}, Bootstrap: 10}}
	eps := evaluate.Number(0.2)
	attacks := []AttackResult{{ID: "bare", Norm: "linf"}, {ID: "guard", Norm: "linf", Eps: &eps, Adaptive: true}}
	y := []int{0, 0, 0, 0}
	runs := map[string]map[uint64]*scored{
		"d/bare":  {1: {rows: []int{1, 3, 5, 7}, y: y, before: []int{0, 0, 1, 0}, success: []bool{true, true, false, true}, norm: []float64{.05, .1, .01, .07}}},
		"d/guard": {1: {rows: []int{1, 3, 5, 7}, y: y, before: []int{0, 0, 1, 0}, evaded: []bool{true, true, true, false}, norm: []float64{.1, .2, .01, .2}}},
	}
	e := b.evasion("d", "linf", attacks, runs)
	if e.N != 4 || math.Abs(float64(e.Fools)-0.07) > 1e-9 || math.Abs(float64(e.Evades)-0.2) > 1e-9 || math.Abs(float64(e.Ratio)-0.2/0.07) > 1e-9 {
		t.Errorf("%+v", e)
	}
	runs["d/guard"][1].evaded = []bool{true, false, true, false} // most never get past
	if e = b.evasion("d", "linf", attacks, runs); !math.IsNaN(float64(e.Ratio)) || math.Abs(float64(e.AtLeast)-0.2/0.07) > 1e-9 {
		t.Errorf("%+v", e)
	}
	u := b.union("d", attacks[1:], runs)
	if u.N != 4 || u.Evaded != 0.5 || len(u.Missing) != 0 {
		t.Errorf("%+v", u)
	}
}

// A filter selects by what a cell has.
func TestFilter(t *testing.T) {
	g := &Grid{Seeds: []uint64{1, 2}, Sets: []SetSpec{{Name: "a"}}, Detectors: []DetectorSpec{{Name: "d"}, {Name: "e"}}, Attacks: []AttackSpec{{ID: "pgd"}}}
	f, err := ParseFilter([]string{"seed=1,detector=d|e", "attack=pgd"}, g)
	if err != nil {
		t.Fatal(err)
	}
	for c, want := range map[*Cell]bool{
		{Kind: Scores, Set: "a", Seed: 1, Detector: "e", Attack: "pgd"}: true,
		{Kind: Scores, Set: "a", Seed: 2, Detector: "e", Attack: "pgd"}: false,
		{Kind: Clean, Set: "a", Seed: 1, Detector: "e"}:                 false,
		{Kind: Classifier, Set: "a", Seed: 1}:                           false,
	} {
		if f.selects(c) != want {
			t.Errorf("%s: selected %v, want %v", c, !want, want)
		}
	}
	if !(Filter{}).selects(&Cell{}) {
		t.Error("no filter selects everything")
	}
	for _, bad := range []string{"seed", "sed=1", "seed=3", "kind=cells"} {
		if _, err := ParseFilter([]string{bad}, g); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
