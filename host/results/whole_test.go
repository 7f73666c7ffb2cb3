package results

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// long is an id of 64 bits, which float64 does not hold.
var long = dataset.Cell{Kind: dataset.CellNumber, Number: 1234567890123456789, Text: "1234567890123456789"}

// TestWholeNumbers: whole numbers of 64 bits are kept to the digit, in every format and
// through a shard's part.
func TestWholeNumbers(t *testing.T) {
	most := dataset.Cell{Kind: dataset.CellNumber, Number: 18446744073709551615, Text: "18446744073709551615"}
	for name, c := range map[string]struct {
		kind  dataset.CellKind
		cells []dataset.Cell
		typed string // type and values in parquet and arrow
		npz   any
	}{
		"signed":    {dataset.CellInteger, []dataset.Cell{number(5), long}, "int64 5 1234567890123456789", []int64{5, 1234567890123456789}},
		"with gaps": {dataset.CellInteger, []dataset.Cell{{}, long}, "int64 null 1234567890123456789", []string{"", "1234567890123456789"}},
		"unsigned":  {dataset.CellUnsigned, []dataset.Cell{number(5), most}, "uint64 5 18446744073709551615", []string{"5", "18446744073709551615"}},
		"of JSON":   {dataset.CellMissing, []dataset.Cell{long, number(5)}, `utf8 "1234567890123456789" "5"`, []int64{1234567890123456789, 5}},
		"of JSON, the first round": {dataset.CellMissing, []dataset.Cell{{Kind: dataset.CellNumber, Number: 1234567890123400000, Text: "1234567890123400000"}, long},
			`utf8 "1234567890123400000" "1234567890123456789"`, []int64{1234567890123400000, 1234567890123456789}},
		"small ones":   {dataset.CellNumber, []dataset.Cell{number(5), number(.5)}, "float64 5 0.5", []float64{5, .5}},
		"small digits": {dataset.CellMissing, []dataset.Cell{{Kind: dataset.CellNumber, Number: 7, Text: "007"}, number(2)}, "float64 7 2", []float64{7, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Meta: Meta{Keep: []string{"k"}}, Kinds: []dataset.CellKind{c.kind}}
			texts := map[string][]byte{}
			for _, format := range []string{"parquet", "arrow", "npz"} {
				var b bytes.Buffer
				f, _ := Lookup(format)
				w, err := f.New(&b, o)
				if err != nil {
					t.Fatal(err)
				}
				for i, cell := range c.cells {
					r, _ := verdicts(i, 1, false)
					if err := w.Batch(i, r, []dataset.Trace{{Kept: []dataset.Cell{cell}}}); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				texts[format] = b.Bytes()
			}
			typ, values, _ := strings.Cut(c.typed, " ")
			for _, format := range []string{"parquet", "arrow"} {
				got := readBack(t, format, texts[format])
				if last := got.columns[len(got.columns)-1]; last != "k "+typ {
					t.Errorf("%s: column %s, want %s", format, last, typ)
				}
				for i, want := range strings.Fields(values) {
					if line := strings.Split(strings.TrimSpace(got.rows), "\n")[i]; !strings.Contains(line, `"k":`+want+",") {
						t.Errorf("%s: row %d: %s, want %s", format, i, line, want)
					}
				}
			}
			if got := keptOf(t, texts["npz"]); !reflect.DeepEqual(got, c.npz) {
				t.Errorf("npz: %v, want %v", got, c.npz)
			}
			// Merged from a part.
			p, err := OpenPart(bytes.NewReader(texts["parquet"]), int64(len(texts["parquet"])))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			var b bytes.Buffer
			f, _ := Lookup("jsonl")
			w, err := f.New(&b, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Copy(w, 0, len(c.cells), o, nil); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			for i, want := range strings.Fields(values) {
				if line := strings.Split(b.String(), "\n")[i]; !strings.Contains(line, `"k":`+want) {
					t.Errorf("merged: row %d: %s, want %s", i, line, want)
				}
			}
		})
	}
	// What comes too late for a column is refused, and not rounded.
	f, _ := Lookup("parquet")
	w, err := f.New(&bytes.Buffer{}, Options{Meta: Meta{Keep: []string{"k"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, cell := range []dataset.Cell{number(5), long} {
		r, _ := verdicts(i, 1, false)
		if err = w.Batch(i, r, []dataset.Trace{{Kept: []dataset.Cell{cell}}}); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), `row 1: kept column "k" has "1234567890123456789"`) {
		t.Errorf("digits after numbers: %v", err)
	}
}

// keptOf is the kept column k of a .npz.
func keptOf(t *testing.T, npz []byte) any {
	t.Helper()
	path := filepath.Join(t.TempDir(), "r.npz")
	if err := os.WriteFile(path, npz, 0o600); err != nil {
		t.Fatal(err)
	}
	z, err := dataset.OpenNPZ(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	a, err := z.Array("k")
	if err != nil {
		t.Fatal(err)
	}
	return a.Data
}
