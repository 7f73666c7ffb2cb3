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

// TestStrayQuotes: a quote that opens and does not close is its line's fault alone.
func TestStrayQuotes(t *testing.T) {
	known := dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers, Label: "y"}}
	const unclosed = `extraneous or missing " in quoted-field: it opens in this line and does not end there`
	long := strings.Repeat("7", maxRecord+1)
	for name, c := range map[string]struct{ text, want string }{
		"to the end":            {"sl,sw\n1,2\n3,\"4\n5,6\n7,8\n", "1 2/bad: line 3: " + unclosed + "/5 6/7 8"},
		"without a last end":    {"sl,sw\n3,\"4\n\n5,6", "bad: line 2: " + unclosed + "/5 6"},
		"to another":            {"sl,sw\n1,\"2\n3,4\n5,\"6\n7,8\n", "bad: line 2: " + unclosed + "/3 4/bad: line 4: " + unclosed + "/7 8"},
		"closed by another":     {"sl,sw\n1,\"2\n3,4\n\"\n5,6\n", "1 2"},
		"closed in another row": {"sl,sw\n1,\"2\n3,\",4\n5,6\n", "bad: line 2: a quote opens in this line, and the 2 lines to where it ends have 3 columns, want 2/bad: line 3: " + unclosed + "/5 6"},
		"after empty lines":     {"sl,sw\n\n\n1,\"2\n5,6\n", "bad: line 4: " + unclosed + "/5 6"},
		"a quote within":        {"sl,sw\n1\",2\n5,6\n", `bad: line 2: bare " in non-quoted-field/5 6`},
		"several lines in one":  {"sl,y,sw\n1,\"a\nb\",2\n3,c,4\n", "1 2 a\nb/3 4 c"},
		"a line too long":       {"sl,sw\n1,2\n3," + long + "\n5,6\n", "1 2/bad: line 3: the row exceeds 16777216 bytes/5 6"},
		"a line too long quoted": {"sl,sw\n1,\"2\n3," + long + "\n5,6\n",
			"bad: line 2: the row exceeds 16777216 bytes/bad: line 3: the row exceeds 16777216 bytes/5 6"},
	} {
		if name == "closed by another" {
			c.want = `bad: line 2: column "sw": "2\n3,4" is not a number` // which NewTable tells: its width is right
		}
		rows, _, err := readText(CSV{}, "t.csv", c.text, known)
		got := strings.Join(rows, "/")
		if err != nil || got != c.want && (name != "closed by another" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%s: %.400q, %v; want %q", name, got, err, c.want)
		}
	}
}

// TestLabelsBelowHeader: a line that is one too many is a header only where it is like no
// label, or as the source says.
func TestLabelsBelowHeader(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		n      int
		header *bool
		want   string // of labels; or of the error
	}{
		"none":                 {"1\n2\n1\n", 3, nil, "1 2 1"},
		"a word":               {"kind\n1\n2\n1\n", 3, nil, "1 2 1"},
		"a word over words":    {"kind\na\nb\na\n", 3, nil, "a b a"},
		"as pandas writes it":  {"0\n1\n0\n1\n", 3, nil, "1 0 1"},
		"one label too many":   {"1\n2\n1\n2\n", 3, nil, "4 labels for 3 rows: the first line, \"1\", is a label as others are"},
		"a word too many":      {"a\nb\na\nb\n", 3, nil, "the first line, \"a\", is a label as others are"},
		"said to be one":       {"1\n2\n1\n2\n", 3, &yes, "2 1 2"},
		"said to be none":      {"kind\n1\n2\n", 3, &no, "kind 1 2"},
		"of unknown number":    {"kind\n1\n2\n", -1, nil, "1 2"},
		"words without number": {"kind\na\nb\n", -1, &yes, "a b"},
		"a gap below one":      {"kind\na\n\nb\n", 3, nil, "line 3 is empty, and the first line, \"kind\", may be a header"},
		"a gap":                {"a\n\r\nb\n", 3, nil, "2 labels for 3 rows: line 2 is empty"},
		"a gap below a header": {"kind\na\n\nb\n", 3, &yes, "2 labels for 3 rows: line 3 is empty"},
		"empty lines between":  {"a\n\nb\n\na\n\n", 3, nil, "a b a"},
		"empty lines at last":  {"a\nb\na\n\n\n", 3, nil, "a b a"},
		"a label of two lines": {"\"a\nb\"\nc\n", 2, nil, "a\nb c"},
	} {
		a, err := CSV{}.ReadLabelsBelow(write(t, "y.csv", []byte(c.text)), "", c.n, c.header)
		got := fmt.Sprint(err)
		if err == nil {
			got = strings.Join(a.Data.([]string), " ")
		}
		if !strings.Contains(got, c.want) || err == nil && got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestMissingLabels: words that stand for no value are no labels, unless they are classes.
func TestMissingLabels(t *testing.T) {
	for _, word := range []string{"NA", "?", "nan", "null"} {
		text := "a,y\n1,p\n2," + word + "\n3,q\n"
		rows, _, err := readText(CSV{}, "t.csv", text, dataset.ReadOptions{Label: "y"})
		if want := `bad: line 3: column "y": ` + word + `: no label; data.classes lists it if it is a class`; err != nil || len(rows) != 3 || strings.ReplaceAll(rows[1], `"`+word+`"`, word) != want {
			t.Errorf("%q, %v; want %s", rows, err, want)
		}
		rows, _, err = readText(CSV{}, "t.csv", text, dataset.ReadOptions{Label: "y", Schema: &dataset.Schema{Label: "y", Classes: []string{"p", word, "q"}}})
		if err != nil || len(rows) != 3 || rows[1] != "2 "+word {
			t.Errorf("a class %s: %q, %v", word, rows, err)
		}
	}
}
