package dataset

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// sortedSet has official splits whose rows are sorted by class: 100 of each of ten.
type sortedSet struct{}

func (sortedSet) Splits() []string { return []string{"train", "test"} }

func (sortedSet) Header(string) (Header, error) {
	return Header{Rows: 1000, Example: tensor.Shape{1}, Classes: 10, Labelled: true}, nil
}

func (sortedSet) Load(split string) (*Data, error) {
	d := &Data{X: tensor.New(1000, 1), Source: "sorted " + split}
	for i := range 1000 {
		d.X.Row(i)[0] = float32(i)
		d.Labels, d.Index = append(d.Labels, i/100), append(d.Index, i)
	}
	return d, nil
}

var sortedSets = registry.NewTable[Set]("dataset", registry.Entry[Set]{Name: "sorted", Default: sortedSet{}})

// Of a set that is sorted by class ranges have some of the classes alone; shuffled they
// have all, about equally, and together each row once; a seed fixes them.
func TestShuffle(t *testing.T) {
	open := func(src Source) *Data {
		t.Helper()
		src.Dataset, src.Split = "sorted", "train"
		d, err := Open(src, "", sortedSets, registry.Table[Format]{})
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range d.Index {
			if d.X.Row(i)[0] != float32(at) || d.Labels[i] != at/100 {
				t.Fatalf("row %d is %v of class %d, index %d", i, d.X.Row(i), d.Labels[i], at)
			}
		}
		return d
	}
	count := func(d *Data) (out [10]int) {
		for _, y := range d.Labels {
			out[y]++
		}
		return out
	}
	if tail := count(open(Source{Range: []int{850, 1000}})); tail != [10]int{8: 50, 9: 100} {
		t.Fatalf("the set is not sorted: %v", tail)
	}
	var all []int
	for _, r := range [][]int{{0, 750}, {750, 850}, {850, 1000}} {
		d := open(Source{Shuffle: true, Range: r})
		all = append(all, d.Index...)
		n := float64(r[1] - r[0])
		for c, k := range count(d) { // hypergeometric: five deviations
			if mean, dev := n/10, math.Sqrt(n*.1*.9*(1000-n)/999); math.Abs(float64(k)-mean) > 5*dev {
				t.Errorf("range %v has %d rows of class %d, want about %g", r, k, c, mean)
			}
		}
		if again := open(Source{Shuffle: true, Range: r}); !slices.Equal(again.Index, d.Index) {
			t.Errorf("range %v has other rows the second time", r)
		}
		if other := open(Source{Shuffle: true, SplitSeed: 1, Range: r}); slices.Equal(other.Index, d.Index) {
			t.Errorf("range %v has the same rows with another seed", r)
		}
	}
	slices.Sort(all)
	for i, at := range all {
		if i != at || len(all) != 1000 {
			t.Fatalf("the ranges have %d rows, row %d is %d", len(all), i, at)
		}
	}
	if d := open(Source{Shuffle: true, Limit: 20}); d.N() != 20 || count(d) != [10]int{2, 2, 2, 2, 2, 2, 2, 2, 2, 2} {
		t.Errorf("limit gives %v", count(d))
	}
	if h, err := ReadHeader(Source{Dataset: "sorted", Split: "train", Shuffle: true, Range: []int{3, 9}}, "", sortedSets, registry.Table[Format]{}); err != nil || h.Rows != 6 {
		t.Errorf("header %+v (%v)", h, err)
	}
}

// Rows of a file are shuffled where they are picked as where they are all read.
func TestShuffledFile(t *testing.T) {
	formats := registry.NewTable[Format]("format", registry.Entry[Format]{Name: "synthetic", Default: syntheticFormat{}})
	file := filepath.Join(t.TempDir(), "x.synthetic")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := Open(Source{File: file}, "", registry.Table[Set]{}, formats)
	if err != nil {
		t.Fatal(err)
	}
	order := permutation(plain.N(), 7)
	for _, r := range [][]int{nil, {0, 10}, {10, 40}} {
		d, err := Open(Source{File: file, Shuffle: true, SplitSeed: 7, Range: r}, "", registry.Table[Set]{}, formats)
		if err != nil {
			t.Fatal(err)
		}
		want := order
		if r != nil {
			want = order[r[0]:r[1]]
		}
		if !slices.Equal(d.Index, want) {
			t.Errorf("range %v: rows %v, want %v", r, d.Index, want)
		}
		for i, at := range d.Index {
			if !slices.Equal(d.X.Row(i), plain.X.Row(at)) {
				t.Errorf("range %v: row %d is not row %d of the file", r, i, at)
			}
		}
	}
}

// Ranges of one order overlap if they meet; those of two orders are told by their rows
// alone, and whatever is without a range has them all.
func TestShuffledOverlap(t *testing.T) {
	src := func(split string, shuffle bool, seed uint64, r ...int) *Source {
		return &Source{Dataset: "sorted", Split: split, Shuffle: shuffle, SplitSeed: seed, Range: r}
	}
	for name, c := range map[string]struct {
		a, b *Source
		want bool
	}{
		"apart":          {src("train", true, 0, 0, 10), src("train", true, 0, 10, 20), false},
		"meet":           {src("train", true, 0, 0, 11), src("train", true, 0, 10, 20), true},
		"one in order":   {src("train", true, 0, 0, 10), src("train", false, 0, 10, 20), false},
		"another order":  {src("train", true, 0, 0, 10), src("train", true, 1, 10, 20), false},
		"all, shuffled":  {src("train", true, 0), src("train", false, 0, 10, 20), true},
		"all, otherwise": {src("train", true, 0, 0, 10), src("train", true, 1), true},
		"two splits":     {src("train", true, 1, 0, 10), src("test", false, 0), false},
	} {
		s := Section{Train: c.a, Calibration: c.b}
		if err := s.Overlaps(func(Role) bool { return true }); (err != nil) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
