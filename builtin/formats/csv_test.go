package formats

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var yes, no = true, false

// readText reads a text of a format whole: each row as text, with its label,
// or its fault.
func readText(f dataset.StreamFormat, name, text string, o dataset.ReadOptions) (rows []string, notices string, err error) {
	c, err := dataset.NewContent(strings.NewReader(text), name, int64(len(text)))
	if err != nil {
		return nil, "", err
	}
	r, err := f.Stream(c, o)
	if err != nil {
		return nil, "", err
	}
	row := make([]float32, r.Example().Size())
	for {
		err := r.Next(row)
		var bad *dataset.RowError
		switch {
		case errors.Is(err, io.EOF):
			if t, ok := r.(dataset.Tabled); ok {
				notices = strings.Join(t.Notices(), "; ")
			}
			return rows, notices, r.Close()
		case errors.As(err, &bad):
			rows = append(rows, "bad: "+bad.Err.Error())
		case err != nil:
			return rows, notices, err
		default:
			s := strings.Trim(fmt.Sprint(row), "[]")
			if l, ok := r.(dataset.RowLabels); ok && l.Label() != "" {
				s += " " + l.Label()
			}
			rows = append(rows, s)
		}
	}
}

func TestOpenCSV(t *testing.T) {
	d := mustOpen(t, dataset.Source{File: write(t, "t.csv", []byte(irisCSV)), Label: "species"})
	if want := []float32{1, 2.5, 3, -4, 50, 6}; !slices.Equal(d.X.Data, want) || !d.X.Shape.Equal(tensor.Shape{3, 2}) {
		t.Errorf("x = %v %v, want %v", d.X.Shape, d.X.Data, want)
	}
	if !slices.Equal(d.Labels, []int{0, 1, 0}) || !slices.Equal(d.Classes, []string{"setosa", "virginica"}) {
		t.Errorf("labels %v of %v", d.Labels, d.Classes)
	}
	if !slices.Equal(d.Features, []string{"length", "width"}) {
		t.Errorf("features %v", d.Features)
	}
}

// flowers are the features of a detector.
var flowers = []dataset.Feature{{Name: "sl", Kind: dataset.KindNumber}, {Name: "sw", Kind: dataset.KindNumber}}

func TestCSV(t *testing.T) {
	known := dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers, Label: "y"}}
	bare := dataset.ReadOptions{Header: &no, Schema: &dataset.Schema{Features: flowers}}
	for _, c := range []struct {
		name, text string
		o          dataset.ReadOptions
		want       string // rows between slashes
		notice     string
	}{
		{"mark first", "\uFEFFa;b\n1;2\n", dataset.ReadOptions{}, "1 2", ""},
		{"label by number", "\uFEFF1;2;0\n3;4;1\n", dataset.ReadOptions{Header: &no, Label: "2"}, "1 2 0/3 4 1", ""},
		{"header of numbers", "0,1\n1,2\n", dataset.ReadOptions{Header: &yes}, "1 2", ""},
		{"another order", "sw,sl\n1,2\n", known, "2 1", ""},
		{"with its label", "sl,y,sw\n1,p,2\n", known, "1 2 p", ""},
		{"one known name among numbers", "sl,7\n1,2\n", dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers[:1]}}, "1", "left out: 7"},
		{"names that are numbers", "1.0,0.5\n1,2\n", dataset.ReadOptions{Schema: &dataset.Schema{Features: []dataset.Feature{{Name: "0.5"}, {Name: "1.0"}}}}, "2 1", ""},
		{"index of pandas", ",sl,sw\n0,1,2\n1,3,4\n", known, "1 2/3 4", `column "" is an index`},
		{"index in training", ",sl,y\n0,1,p\n", dataset.ReadOptions{Label: "y"}, "1 p", `column "" is an index`},
		{"first row short", "1\n3,4\n", bare, "bad: line 1: 1 columns, want 2: sl, sw/3 4", ""},
		{"first row broken", "1,\"2\"x\n3,4\n", bare, "bad: line 1: extraneous or missing \" in quoted-field/3 4", ""},
		{"header of words, rows bad", "sl,sw\n1\n1,2,3\n1,2\n", known, "bad: line 2: 1 columns, want 2/bad: line 3: 3 columns, want 2/1 2", ""},
		{"CR", "sl,sw\r1,2\r3,4", known, "1 2/3 4", ""},
		{"CR LF", "sl,sw\r\n1,2\r\n", known, "1 2", ""},
		{"comments", "# made by a logger\n# twice\nsl,sw\n1,x\n1,2\n", known, `bad: line 4: column "sw": "x" is not a number; data.columns: {sw: {categories: [...]}} says which words it has, {sw: {ignore: true}} leaves it out, id: sw names rows by it/1 2`, `passed over: "# made by a logger"`},
		{"header of savetxt", "# sw,sl\n1,2\n", known, "2 1", ""},
		{"a column #", "#,sl,sw\n9,1,2\n", known, "1 2", "left out: #"},
		{"a column #id", "#id,sl,sw\n9,1,2\n", dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers, ID: "#id"}}, "1 2", ""},
		{"spaces", " 1.0e+00  2.0e+00 \n3 4\n", bare, "1 2/3 4", ""},
		{"spaces between names", "sl sw\n1 2\n", known, "1 2", ""},
		{"a name with a space", "my length\n1\n", dataset.ReadOptions{}, "1", ""},
		{"tab before comma", "sl, mm\tsw\n1\t2\n", dataset.ReadOptions{}, "1 2", ""},
		{"no value between tabs", "a\tb\tc\n1\t\t3\n", dataset.ReadOptions{Schema: &dataset.Schema{Rules: map[string]dataset.ColumnRule{"b": {Missing: true}}}}, "1 NaN 3", ""},
		{"decimal commas", "5,1;3,5\n-1,4;2\n", bare, "5.1 3.5/-1.4 2", "commas are read as decimal points"},
		{"decimal commas below names", "sl;sw\n5,1;3\n", known, "5.1 3", "commas are read as decimal points"},
		{"commas and points", "sl;sw\n5.1;3\n1,234;2\n", known, `5.1 3/bad: line 3: "1.234": decimal commas and decimal points in one file`, "commas are read"},
		{"semicolons in words", "\"a;b\",c\n1,2\n", dataset.ReadOptions{}, "1 2", ""},
		{"truth values", "sl,sw\nTrue,false\n", known, "1 0", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, notices, err := readText(CSV{}, "t", c.text, c.o)
			if got := strings.Join(rows, "/"); err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if c.notice == "" && notices != "" || !strings.Contains(notices, c.notice) {
				t.Errorf("notices %q, want %q", notices, c.notice)
			}
		})
	}
}

func TestCSVRefused(t *testing.T) {
	words := &dataset.Schema{Rules: map[string]dataset.ColumnRule{"c": {Categories: []string{"x"}}, "d": {Categories: []string{"x"}}}}
	for _, c := range []struct {
		name, text string
		o          dataset.ReadOptions
		want       string
	}{
		{"mixed", "a,b\n1,2\n3,low\n", dataset.ReadOptions{}, `bad: line 3: column "b": "low" is not a number`},
		{"nan", "a,b\n1,NaN\n", dataset.ReadOptions{}, `bad: line 2: column "b": "NaN": no value; data.columns: {b: {missing: median}} accepts it`},
		{"overflow", "a\n1e39\n", dataset.ReadOptions{}, `column "a": "1e39": want finite`},
		{"empty cell", "a,b\n1,\n", dataset.ReadOptions{}, `column "b": no value`},
		{"short row", "a,b\n1\n", dataset.ReadOptions{}, "1 columns, want 2"},
		{"no such column", "a,b\n1,2\n", dataset.ReadOptions{Label: "c"}, `no column "c"; it has a, b`},
		{"no header", "1,2\n", dataset.ReadOptions{Label: "c", Header: &no}, "has no header"},
		{"numbers", "1,2\n3,4\n", dataset.ReadOptions{}, `t: nothing tells whether the first line is a header: "1,2"; say so: --header true|false`},
		{"a number for a label", "1,2\n3,4\n", dataset.ReadOptions{Label: "1"}, "nothing tells"},
		{"numbers for names", "0,1\n5,6\n", dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers}}, "nothing tells"},
		{"words that may be values", "x,x\n", dataset.ReadOptions{Schema: words}, "nothing tells"},
		{"decimal commas", "5,1;3,5\n", dataset.ReadOptions{}, "nothing tells"},
		{"truth values", "True,False\n", dataset.ReadOptions{}, "nothing tells"},
		{"other names", "a,b\n1,2\n", dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers}}, `no columns "sl", "sw"; it has a, b`},
		{"quotes", "a,b\n\"1,2\n", dataset.ReadOptions{}, "bad: line 2"},
		{"quotes first", "\"a,b\n", dataset.ReadOptions{}, "t: line 1"},
		{"empty", "", dataset.ReadOptions{}, "empty"},
		{"UTF-16", "\xff\xfea\x00,\x00b\x00\n\x00", dataset.ReadOptions{}, "t is UTF-16: save it as UTF-8"},
		{"UTF-16 without a mark", "a\x00,\x00b\x00\n\x00", dataset.ReadOptions{}, "zero bytes: no text, or UTF-16"},
		{"LFS", "version https://git-lfs.github.com/spec/v1\n", dataset.ReadOptions{}, "pointer of Git LFS"},
		{"zip", "PK\x03\x04\x14", dataset.ReadOptions{}, "is a zip: unpack it first"},
		{"only comments", "# a\n#", dataset.ReadOptions{}, "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, _, err := readText(CSV{}, "t", c.text, c.o)
			if got := fmt.Sprint(strings.Join(rows, "/"), err); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for text, want := range map[string]string{"a,b\n": "no rows", "a,y\n1,0.5\n": `label "0.5", want whole numbers or names`} {
		if _, err := open(dataset.Source{File: write(t, "t.csv", []byte(text)), Label: strings.TrimLeft(text[2:3], "b")}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// A column of labels alone has a header if there is one word above numbers.
func TestCSVLabels(t *testing.T) {
	for text, want := range map[string]string{
		"y\n1\n0\n": "1 0", "-1\n1\n": "-1 1", "ham\nspam\n": "ham spam", "\uFEFFy\r1\r2": "1 2",
	} {
		a, err := CSV{}.ReadLabels(write(t, "y.csv", []byte(text)), "", -1)
		if got := strings.Trim(fmt.Sprint(a.Data), "[]"); err != nil || got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}
