package results

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/vaeguard/vaeguard/host/dataset"
)

const wantRows = `{"index":0,"id":null,"is_adversarial":null,"instance_score":null,"p_value":null,"predicted":null,"predicted_label":null,"reconstructed":null,"reconstructed_label":null,"corrected":null,"corrected_label":null,"reconstruction":null,"latent":null,"error":"line 1: no, \"number\"","age":null,"town":null}
{"index":1,"id":"L-1","is_adversarial":0,"instance_score":0.25,"p_value":0.5,"predicted":1,"predicted_label":"spam","reconstructed":1,"reconstructed_label":"spam","corrected":1,"corrected_label":"spam","reconstruction":[0.5,0.625,0.75,0.875],"latent":[0.25,0.375],"error":null,"age":21.5,"town":"Zürich, 1"}
{"index":2,"id":"L-2","is_adversarial":0,"instance_score":0.5,"p_value":0.3333333333333333,"predicted":0,"predicted_label":"ham","reconstructed":0,"reconstructed_label":"ham","corrected":0,"corrected_label":"ham","reconstruction":[1,1.125,1.25,1.375],"latent":[0.5,0.625],"error":null,"age":null,"town":null}
{"index":3,"id":"L-3","is_adversarial":1,"instance_score":0.75,"p_value":0.25,"predicted":1,"predicted_label":"spam","reconstructed":0,"reconstructed_label":"ham","corrected":0,"corrected_label":"ham","reconstruction":[1.5,1.625,1.75,1.875],"latent":[0.75,0.875],"error":null,"age":23.5,"town":"Zürich, 3"}
{"index":4,"id":"L-4","is_adversarial":null,"instance_score":null,"p_value":null,"predicted":null,"predicted_label":null,"reconstructed":null,"reconstructed_label":null,"corrected":null,"corrected_label":null,"reconstruction":null,"latent":null,"error":"too far","age":99,"town":null}
`

var wantColumns = []string{"index int64 not null", "id utf8", "is_adversarial int64", "instance_score float64", "p_value float64",
	"predicted int64", "predicted_label utf8", "reconstructed int64", "reconstructed_label utf8", "corrected int64", "corrected_label utf8",
	"reconstruction list<float32>", "latent list<float32>", "error utf8", "age float64", "town utf8"}

// sorted are JSON lines with their keys in order.
func sorted(t *testing.T, lines string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(lines) {
		var row map[string]any
		err := json.Unmarshal([]byte(line), &row)
		b, err2 := json.Marshal(row)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		out.WriteString(string(b) + "\n")
	}
	return out.String()
}

// Values, types and nulls come back, whatever the batches.
func TestTyped(t *testing.T) {
	o := named()
	o.Include.Latent, o.Include.Reconstruction = true, true
	for _, format := range []string{"arrow", "parquet"} {
		for _, batch := range []int{1, 2, 3} {
			got := readBack(t, format, write(t, format, o, 4, batch))
			if want := sorted(t, wantRows); got.rows != want {
				t.Errorf("%s in batches of %d:\n%s\nwant\n%s", format, batch, got.rows, want)
			}
			if !slices.Equal(got.columns, wantColumns) {
				t.Errorf("%s: columns %q, want %q", format, got.columns, wantColumns)
			}
			var meta Meta
			if err := json.Unmarshal([]byte(got.meta), &meta); err != nil || *meta.Threshold != 0.5 || meta.Classes[1] != "spam" {
				t.Errorf("%s: meta %q, %v", format, got.meta, err)
			}
		}
	}
}

// Without rows there are still columns.
func TestTypedEmpty(t *testing.T) {
	for _, format := range []string{"arrow", "parquet"} {
		f, err := Lookup(format)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w, err := f.New(&b, named())
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got := readBack(t, format, b.Bytes())
		if got.rows != "" || len(got.columns) != 14 {
			t.Errorf("%s: %d columns and rows %q", format, len(got.columns), got.rows)
		}
	}
}

// An Arrow stream goes out with every batch; a Parquet file in groups of rows,
// which are full by number or by size.
func TestTypedGroups(t *testing.T) {
	f, _ := Lookup("arrow")
	var b bytes.Buffer
	w, err := f.New(&b, named())
	if err != nil {
		t.Fatal(err)
	}
	before := 0
	for at := range 3 {
		r, traces := verdicts(1+at, 1, false)
		if err := w.Batch(at, r, traces); err != nil {
			t.Fatal(err)
		}
		// Row 2 has no kept values; the kinds are known from the first.
		if b.Len() == before {
			t.Errorf("nothing was written with batch %d", at)
		}
		before = b.Len()
	}

	if got := readBack(t, "parquet", write(t, "parquet", named(), groupRows+10, 5000)); len(got.groups) != 2 || got.groups[0] != groupRows || got.groups[1] != 11 {
		t.Errorf("row groups of %v, want %d and 11", got.groups, groupRows)
	}
	f, _ = Lookup("parquet")
	b.Reset()
	o := Options{}
	if w, err = f.New(&b, o); err != nil {
		t.Fatal(err)
	}
	long := errors.New(strings.Repeat("x", groupBytes/4))
	for i := range 6 {
		if err := w.Bad(i, dataset.Trace{}, long); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := readBack(t, "parquet", b.Bytes()); len(got.groups) != 2 || got.groups[0] != 4 {
		t.Errorf("row groups of %v, want 4 and 2", got.groups)
	}
}

// Kinds of kept columns are those of their first values, however late within
// what waits; a column without any is text.
func TestTypedKinds(t *testing.T) {
	o := Options{Meta: Meta{Keep: []string{"k"}}}
	missing := []dataset.Cell{{}}
	for _, c := range []struct {
		name  string
		cells [][]dataset.Cell
		kind  string
		rows  []string // of k; nil: an error
	}{
		{"late number", [][]dataset.Cell{nil, missing, {number(2)}}, "float64", []string{"null", "null", "2"}},
		{"number among texts", [][]dataset.Cell{{word("a")}, {number(2)}}, "utf8", []string{`"a"`, `"2"`}},
		{"nothing", [][]dataset.Cell{missing, nil}, "utf8", []string{"null", "null"}},
		{"bad UTF-8", [][]dataset.Cell{{word("a\xff")}}, "utf8", []string{`"a` + "\uFFFD" + `"`}},
		{"empty text", [][]dataset.Cell{{word("")}}, "utf8", []string{`""`}},
		{"text among numbers", [][]dataset.Cell{{number(2)}, {word("a")}}, "", nil},
	} {
		for _, format := range []string{"arrow", "parquet"} {
			t.Run(c.name+" "+format, func(t *testing.T) {
				f, _ := Lookup(format)
				var b bytes.Buffer
				w, err := f.New(&b, o)
				if err != nil {
					t.Fatal(err)
				}
				for i, kept := range c.cells {
					r, _ := verdicts(i, 1, false)
					if err = w.Batch(i, r, []dataset.Trace{{Kept: kept}}); err != nil {
						break
					}
				}
				if c.rows == nil {
					if err == nil || !strings.Contains(err.Error(), `row 1: kept column "k" has the text "a" after numbers: use jsonl`) {
						t.Errorf("error %v", err)
					}
					return
				}
				if err == nil {
					err = w.Close()
				}
				if err != nil {
					t.Fatal(err)
				}
				got := readBack(t, format, b.Bytes())
				if last := got.columns[len(got.columns)-1]; last != "k "+c.kind {
					t.Errorf("last column %q, want k %s", last, c.kind)
				}
				lines := strings.Split(strings.TrimSpace(got.rows), "\n")
				for i, want := range c.rows {
					if !strings.Contains(lines[i], `"k":`+want+",") {
						t.Errorf("row %d: %s, want %s", i, lines[i], want)
					}
				}
			})
		}
	}
}

// Rows wait for a kind in bounded number.
func TestTypedWaiting(t *testing.T) {
	w := newArrow(io.Discard, Options{Meta: Meta{Keep: []string{"k"}}}).(*typedResults)
	for i := range mostWaiting {
		if w.builder != nil {
			t.Fatalf("settled with %d rows", i)
		}
		if err := w.Bad(i, dataset.Trace{}, io.EOF); err != nil {
			t.Fatal(err)
		}
	}
	if w.builder == nil || w.waiting != nil {
		t.Errorf("%d rows wait", len(w.waiting))
	}
}

// A batch is what EndBatch ends, with its columns, though no value says of which
// kind they are and there is no row at all.
func TestGrouped(t *testing.T) {
	o := named()
	o.Grouped, o.Kinds = true, []dataset.CellKind{dataset.CellNumber, dataset.CellMissing}
	f, err := Lookup("arrow")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := f.New(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, rows := range []int{0, 2, 0, 1500, 1} {
		for range rows {
			if err := w.Bad(n, dataset.Trace{}, errors.New("no")); err != nil {
				t.Fatal(err)
			}
			n++
		}
		before := b.Len()
		if err := w.(Grouping).EndBatch(); err != nil || b.Len() == before {
			t.Fatalf("batch of %d rows: %d bytes, %v", rows, b.Len()-before, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := ipc.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for r.Next() {
		got = append(got, r.RecordBatch().NumRows())
	}
	if want := []int64{0, 2, 0, 1500, 1}; r.Err() != nil || !slices.Equal(got, want) {
		t.Errorf("batches of %v rows, want %v; %v", got, want, r.Err())
	}
	if at := r.Schema().FieldIndices("age"); r.Schema().Field(at[0]).Type.ID() != arrow.FLOAT64 {
		t.Errorf("age is %v", r.Schema().Field(at[0]).Type)
	}
}
