package formats

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
)

func TestOpenArrow(t *testing.T) {
	pandasTable(t, Arrow{}, fixture("pandas.feather"))
	list := []dataset.Feature{{Name: "list[1]"}, {Name: "half"}, {Name: "word", Kind: dataset.KindCategory, Categories: []string{"y", "x"}}}
	b, err := os.ReadFile(fixture("types.arrows"))
	if err != nil {
		t.Fatal(err)
	}
	rows, notices, err := readText(Arrow{}, "-", string(b), dataset.ReadOptions{Schema: &dataset.Schema{Features: list, ID: "big", Label: "flag"}})
	if want := []string{"2 0.5 1 1", "4 -1.25 0 0", "6 65504 1 1"}; err != nil || !slices.Equal(rows, want) {
		t.Errorf("rows %q, %v; want %q", rows, err, want)
	}
	if !strings.Contains(notices, "left out: d32, d64, dfix") {
		t.Errorf("notices %q", notices)
	}
}

// All digits of an integer are there where it names a row, and labels alone are
// a file of labels.
func TestColumnarIDs(t *testing.T) {
	for _, f := range []struct {
		format dataset.Format
		path   string
	}{{Arrow{}, "types.arrow"}, {Parquet{}, "types.parquet"}} {
		r, err := f.format.Open(fixture(f.path), dataset.ReadOptions{Schema: &dataset.Schema{ID: "big", Features: []dataset.Feature{{Name: "half"}}}})
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float32, 1)
		for range 3 {
			if err := r.Next(row); err != nil {
				t.Fatal(err)
			}
		}
		if id := r.(dataset.Traced).Trace().ID; id != "9007199254740993" {
			t.Errorf("%s: id %s", f.path, id)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if _, err := f.format.(dataset.LabelFormat).ReadLabels(fixture(f.path), "", 3); err == nil || !strings.Contains(err.Error(), "want one of labels") {
			t.Errorf("%s as labels: %v", f.path, err)
		}
	}
}

func FuzzArrow(f *testing.F) {
	seed(f, fixture("*.arrow"), fixture("*.arrows"), fixture("*.feather"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, o := range []dataset.ReadOptions{{Label: "word"}, {Schema: mixedSchema}} {
			fuzzOnce(t, Arrow{}, b, o)
		}
	})
}
