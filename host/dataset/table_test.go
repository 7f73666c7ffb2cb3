package dataset

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// fake are records of a text file: cells between spaces, _ for none.
type fake struct {
	names string // between spaces; empty: no header
	lines []string
	kind  CellKind
	at    int
}

func (f *fake) Columns() []Column {
	from := f.names
	if from == "" && len(f.lines) > 0 {
		from = f.lines[0]
	}
	var out []Column
	for _, n := range strings.Fields(from) {
		c := Column{Kind: f.kind}
		if f.names != "" {
			c.Name = strings.ReplaceAll(strings.Trim(n, `"`), "_", " ")
		}
		out = append(out, c)
	}
	return out
}

func (f *fake) Header() bool  { return f.names != "" }
func (f *fake) Line() int     { return f.at }
func (f *fake) Count() int    { return -1 }
func (f *fake) Parts() []Part { return nil }
func (f *fake) Close() error  { return nil }

func (f *fake) Record() ([]Cell, error) {
	if f.at == len(f.lines) {
		return nil, io.EOF
	}
	f.at++
	var out []Cell
	for _, s := range strings.Fields(f.lines[f.at-1]) {
		c := Cell{Kind: CellText, Text: s}
		if v, err := strconv.ParseFloat(strings.TrimSuffix(s, "#"), 64); err == nil && strings.HasSuffix(s, "#") {
			c = Cell{Kind: CellNumber, Number: v}
		}
		if s == "_" {
			c = Cell{}
		}
		out = append(out, c)
	}
	return out, nil
}

func TestNewTable(t *testing.T) {
	flowers := []Feature{{Name: "sl", Kind: KindNumber}, {Name: "sw", Kind: KindNumber}}
	for _, c := range []struct {
		name   string
		in     fake
		o      ReadOptions
		rows   [][]float32
		labels string
		ids    string
		notice string
	}{
		{"all are numbers", fake{names: "a b", lines: []string{"1 2", "3# True"}}, ReadOptions{}, [][]float32{{1, 2}, {3, 1}}, "||", "||", ""},
		{"label", fake{names: "a y b", lines: []string{"1 p 2"}}, ReadOptions{Label: "y"}, [][]float32{{1, 2}}, "p|", "|", ""},
		{
			"any order", fake{names: "id note sw y sl", lines: []string{"n1 x 2 p 1", "12# x 4 q 3"}},
			ReadOptions{Schema: &Schema{Features: flowers, Label: "y", ID: "id"}},
			[][]float32{{1, 2}, {3, 4}}, "p|q|", "n1|12|", "columns that are no features are left out: note",
		},
		{"no label, no id", fake{names: "sw sl", lines: []string{"2 1"}}, ReadOptions{Schema: &Schema{Features: flowers, Label: "y", ID: "id"}}, [][]float32{{1, 2}}, "|", "|", ""},
		{"an index", fake{names: `"" sw Unnamed:_0 sl`, lines: []string{"7 2 7 1"}}, ReadOptions{Schema: &Schema{Features: flowers}}, [][]float32{{1, 2}}, "|", "|", `column "", "Unnamed: 0" is an index`},
		{"an index in training", fake{names: `"" a`, lines: []string{"7 2"}}, ReadOptions{}, [][]float32{{2}}, "|", "|", `column "" is an index`},
		{"an index asked for", fake{names: "Unnamed:_0 a", lines: []string{"7 2"}}, ReadOptions{Schema: &Schema{Rules: map[string]ColumnRule{"Unnamed: 0": {}}}}, [][]float32{{7, 2}}, "|", "|", ""},
		{"without names", fake{lines: []string{"1 2", "3 4"}}, ReadOptions{Schema: &Schema{Features: flowers, Label: "y"}}, [][]float32{{1, 2}, {3, 4}}, "||", "||", ""},
		{"label by number", fake{lines: []string{"p 1 2"}}, ReadOptions{Schema: &Schema{Features: flowers}, Label: "0"}, [][]float32{{1, 2}}, "p|", "|", ""},
		{"id by number", fake{lines: []string{"1 2 p n7"}}, ReadOptions{Schema: &Schema{Label: "2", ID: "3"}}, [][]float32{{1, 2}}, "p|", "n7|", ""},
		{"example wanted", fake{lines: []string{"1 2 3 4 p"}}, ReadOptions{Example: tensor.Shape{2, 2}, Label: "4"}, [][]float32{{1, 2, 3, 4}}, "p|", "|", ""},
		{
			"rules", fake{names: "sex age income post y", lines: []string{"m 41 NA x 1", "f 7.0 1e3 x 1"}},
			ReadOptions{Schema: &Schema{Label: "y", Rules: map[string]ColumnRule{
				"sex": {Categories: []string{"f", "m"}}, "age": {Integer: true}, "income": {Missing: true}, "post": {Ignore: true},
			}}},
			[][]float32{{1, 41, float32(math.NaN())}, {0, 7, 1000}}, "1|1|", "||", "",
		},
		{"categories of numbers", fake{names: "c", lines: []string{"1.0", "2", "1#"}}, ReadOptions{Schema: &Schema{Rules: map[string]ColumnRule{"c": {Categories: []string{"2", "1"}}}}}, [][]float32{{1}, {0}, {1}}, "|||", "|||", ""},
		{"a category called NA", fake{names: "c", lines: []string{"NA", "x"}}, ReadOptions{Schema: &Schema{Rules: map[string]ColumnRule{"c": {Categories: []string{"x", "NA"}, Missing: true}}}}, [][]float32{{1}, {0}}, "||", "||", ""},
		{"trained without names", fake{names: `"" b a y`, lines: []string{"7 1 2 p"}}, ReadOptions{Label: "y", Schema: &Schema{Features: []Feature{{}, {}}}}, [][]float32{{1, 2}}, "p|", "|", "index"},
		{"another label", fake{names: "sl sw kind y", lines: []string{"1 2 p q"}}, ReadOptions{Label: "kind", Schema: &Schema{Features: flowers, Label: "y"}}, [][]float32{{1, 2}}, "p|", "|", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewTable(&c.in, "t", c.o)
			if err != nil {
				t.Fatal(err)
			}
			labels, ids := "", ""
			for i := 0; ; i++ {
				row := make([]float32, r.Example().Size())
				if err := r.Next(row); errors.Is(err, io.EOF) {
					if i != len(c.rows) {
						t.Errorf("%d rows, want %d", i, len(c.rows))
					}
					break
				} else if err != nil {
					t.Fatal(err)
				}
				labels += r.(RowLabels).Label() + "|"
				ids += r.(Traced).Trace().ID + "|"
				for k, v := range row {
					if w := c.rows[i][k]; v != w && (v == v || w == w) || len(row) != len(c.rows[i]) {
						t.Errorf("row %d is %v, want %v", i, row, c.rows[i])
						break
					}
				}
			}
			if labels != c.labels || ids != c.ids {
				t.Errorf("labels %q, want %q; ids %q, want %q", labels, c.labels, ids, c.ids)
			}
			notices := strings.Join(r.(Tabled).Notices(), "\n")
			if c.notice == "" && notices != "" || !strings.Contains(notices, c.notice) {
				t.Errorf("notices %q, want %q", notices, c.notice)
			}
			if n := len(r.(Tabled).Schema().Features); n != r.Example().Size() {
				t.Errorf("%d features of %v", n, r.Example())
			}
		})
	}
}

func TestNewTableRefused(t *testing.T) {
	flowers := []Feature{{Name: "sepal length"}, {Name: "sepal width"}}
	rules := func(name string, r ColumnRule) *Schema { return &Schema{Rules: map[string]ColumnRule{name: r}} }
	for _, c := range []struct {
		name string
		in   fake
		o    ReadOptions
		want string // of NewTable, or of the first row
	}{
		{"a feature is missing", fake{names: "sepal_lenght sepal_width"}, ReadOptions{Schema: &Schema{Features: flowers}}, `t: no column "sepal length"; did you mean "sepal lenght"? it has sepal lenght, sepal width`},
		{"others", fake{names: "a b"}, ReadOptions{Schema: &Schema{Features: []Feature{{Name: "x"}, {Name: "y"}}}}, `no columns "x", "y"; it has a, b`},
		{"the label is missing", fake{names: "a b"}, ReadOptions{Label: "c"}, `no column "c"; it has a, b`},
		{"the id is missing", fake{names: "a b"}, ReadOptions{Schema: &Schema{ID: "c"}}, `no column "c"`},
		{"a rule of no column", fake{names: "age b"}, ReadOptions{Schema: rules("agee", ColumnRule{})}, `no column "agee"; did you mean "age"?`},
		{"a kept one is missing", fake{names: "a b"}, ReadOptions{Schema: &Schema{Keep: []string{"c"}}}, `no column "c"`},
		{"two of a name", fake{names: "a a"}, ReadOptions{}, `two columns "a"`},
		{"nothing but labels", fake{names: "a"}, ReadOptions{Label: "a"}, "no column other than the labels"},
		{"text by type", fake{names: "a b", kind: CellText}, ReadOptions{}, `column "a" holds text, want numbers; data.columns: {a: {categories: [...]}}`},
		{"no number of a label", fake{lines: []string{"1 2"}}, ReadOptions{Label: "y"}, "has no header: want the label column's number, 0 to 1"},
		{"a first row too short", fake{lines: []string{"1", "1 2"}}, ReadOptions{Schema: &Schema{Features: []Feature{{Name: "x"}, {Name: "y"}}}}, "t: row 0: line 1: 1 columns, want 2: x, y"},
		{"a first row too long", fake{lines: []string{"1 2 3"}}, ReadOptions{Example: tensor.Shape{2}}, "t: row 0: line 1: 3 columns, want 2"},
		{"text", fake{names: "a", lines: []string{"red"}}, ReadOptions{}, `t: row 0: line 1: column "a": "red" is not a number; data.columns: {a: {categories: [...]}} says which words it has, {a: {ignore: true}} leaves it out, id: a names rows by it`},
		{"missing", fake{names: "a", lines: []string{"NaN"}}, ReadOptions{}, `column "a": "NaN": no value; data.columns: {a: {missing: median}} accepts it`},
		{"null", fake{names: "my_a", lines: []string{"_"}}, ReadOptions{}, `column "my a": no value; data.columns: {"my a": {missing: median}}`},
		{"infinite", fake{names: "a", lines: []string{"inf"}}, ReadOptions{}, `column "a": "inf": want finite numbers`},
		{"beyond float32", fake{names: "a", lines: []string{"1e39#"}}, ReadOptions{}, "want finite numbers of float32"},
		{"a fraction", fake{names: "a", lines: []string{"1.5"}}, ReadOptions{Schema: rules("a", ColumnRule{Integer: true})}, `column "a": 1.5 is no whole number`},
		{"another category", fake{names: "a", lines: []string{"x"}}, ReadOptions{Schema: rules("a", ColumnRule{Categories: []string{"f", "m"}})}, `column "a": "x" is none of f, m`},
		{"no label", fake{names: "a y", lines: []string{"1 _"}}, ReadOptions{Label: "y"}, `column "y": no label`},
		{"number without a name", fake{lines: []string{"1 x"}}, ReadOptions{}, `column 1: "x" is not a number; data.columns: {1: {categories`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewTable(&c.in, "t", c.o)
			if err == nil {
				err = r.Next(make([]float32, r.Example().Size()))
				var bad *RowError
				if err != nil && (!errors.As(err, &bad) || bad.Row != 0) {
					t.Errorf("%v is not row 0's fault", err)
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// A bad row is traced too, and the rows after it are read.
func TestTrace(t *testing.T) {
	in := &fake{names: "id a b", lines: []string{"n1 x 5", "n2", "n3 3 6"}}
	r, err := NewTable(in, "t", ReadOptions{Schema: &Schema{ID: "id", Features: []Feature{{Name: "a"}}, Keep: []string{"b"}}})
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 1)
	for i, want := range []Trace{{ID: "n1", Kept: []Cell{{Kind: CellText, Text: "5"}}}, {Kept: []Cell{}}, {ID: "n3", Kept: []Cell{{Kind: CellText, Text: "6"}}}} {
		var bad *RowError
		if err := r.Next(row); (err == nil) != (i == 2) || err != nil && (!errors.As(err, &bad) || bad.Row != i) {
			t.Errorf("row %d: %v", i, err)
		}
		if got := r.(Traced).Trace(); !reflect.DeepEqual(got, want) {
			t.Errorf("row %d has the trace %+v, want %+v", i, got, want)
		}
	}
	if row[0] != 3 {
		t.Errorf("%v, want 3", row)
	}
}

func TestCanonical(t *testing.T) {
	for in, want := range map[string]string{
		" 1.0 ": "1", "1e0": "1", "+1": "1", "-0": "0", "007": "7", ".5": "0.5", "a b": "a b", "nan": "nan", "Inf": "Inf", "0x10": "0x10",
		"9007199254740993": "9007199254740993", "1e300": "1e300", "": "",
	} {
		if got := canonical(in); got != want {
			t.Errorf("canonical(%q) = %q, want %q", in, got, want)
		}
	}
}

// What Git LFS leaves in place of a file is called by its name.
func TestPointerOfLFS(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.csv")
	text := "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenContent(path); err == nil || !strings.Contains(err.Error(), "x.csv is but a pointer of Git LFS") {
		t.Errorf("got %v", err)
	}
}

// TestLabelIsID: the column of labels may also be the one that names rows, where columns
// go by position too.
func TestLabelIsID(t *testing.T) {
	s := Schema{Label: "0", AskedLabel: true, ID: "0", Features: []Feature{{Name: "0", Kind: KindNumber}, {Name: "1", Kind: KindNumber}}}
	r, err := NewTable(&fake{lines: []string{"a 1 2", "b 3 4"}}, "f", ReadOptions{Schema: &s})
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 2)
	if err := r.Next(row); err != nil || row[0] != 1 || row[1] != 2 {
		t.Errorf("%v, %v", row, err)
	}
	if label, id := r.(RowLabels).Label(), r.(Traced).Trace().ID; label != "a" || id != "a" {
		t.Errorf("label %q, id %q", label, id)
	}
}
