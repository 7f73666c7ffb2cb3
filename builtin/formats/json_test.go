package formats

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestJSON(t *testing.T) {
	known := dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers, Label: "y"}}
	mixed := dataset.ReadOptions{Schema: mixedSchema}
	lists := dataset.ReadOptions{Schema: &dataset.Schema{Features: []dataset.Feature{{Name: "p[0]"}, {Name: "p[1]"}, {Name: "q"}}}}
	for _, c := range []struct {
		name, file, text string
		o                dataset.ReadOptions
		want             string // rows between slashes
		notice           string
	}{
		{"objects", "-", `{"sw":2,"sl":1}` + "\n\n" + `{"sl":3,"sw":4}`, known, "1 2/3 4", ""},
		{"objects in one array", "-", `[{"sw":2,"sl":1}, {"sl":3,"sw":4}]`, known, "1 2/3 4", ""},
		{"printed over lines", "-", "[\n  {\n    \"sw\": 2,\n    \"sl\": 1\n  },\n  {\"sw\": 4, \"sl\": 3}\n]\n", known, "1 2/3 4", ""},
		{"their label", "-", `{"sw":2,"sl":1,"y":"p","z":0}`, known, "1 2 p", "left out: z"},
		{"objects and arrays", "-", `{"sw":2,"sl":1}` + "\n[3,4]\n", known, "1 2/3 4", ""},
		{"arrays and objects", "-", "[1,2]\n" + `{"sw":4,"sl":3,"y":"p"}` + "\n[5]\n", known, "1 2/3 4/bad: line 3: 1 columns, want 2: sl, sw", ""},
		{"a first object without", "-", `{"sw":2,"lenght":1}` + "\n" + `{"length":3,"sw":4}`, dataset.ReadOptions{Schema: &dataset.Schema{Features: []dataset.Feature{{Name: "length"}, {Name: "sw"}}}}, `bad: line 1: column "length": the object has no such key; did you mean it by "lenght"?/3 4`, "left out: lenght"},
		{"a first line cut", "-", `{"sw":` + "\n" + `{"sl":3,"sw":4}`, known, `bad: line 1: key "sw": no value, and the row ends/3 4`, ""},
		{"a first array short", "-", "[1]\n[3,4]\n", known, "bad: line 1: 1 columns, want 2: sl, sw/3 4", ""},
		{"kinds", "-", `{"a":null,"b":7,"c":1.0,"id":9007199254740993}` + "\n" + `{"b":7.5,"c":"x"}` + "\n" + `{"b":7,"a":NaN,"c":"z"}`, mixed, `NaN 7 1/bad: line 2: column "b": 7.5 is no whole number/bad: line 3: column "c": "z" is none of x, 1`, ""},
		{"a key twice", "-", `{"sl":1,"sl":2,"sw":3}`, known, `bad: line 1: two keys "sl"`, ""},
		{"an object within", "-", `{"sl":1,"sw":2,"at":{"x":[1,{"y":null}]}}`, known, "1 2", "left out: at"},
		{"text for a number", "-", `{"sl":1,"sw":"wide"}`, known, `bad: line 1: column "sw": "wide" is not a number; data.columns: {sw: {categories: [...]}} says which words it has, {sw: {ignore: true}} leaves it out, id: sw names rows by it`, ""},
		{"lists", "-", `{"p":[1,2],"q":3}` + "\n" + `{"p":[1],"q":3}` + "\n" + `{"q":3,"p":[[4],[5]]}`, lists, `1 2 3/bad: line 2: column "p": 1 values, want 2/4 5 3`, ""},
		{"a first list short", "-", `{"p":[1],"q":3}` + "\n" + `{"p":[1,2],"q":3}`, lists, `bad: line 1: column "p": 1 values, want 2/1 2 3`, ""},
		{"training on objects", "-", `{"b":1,"a":[2,3]}` + "\n" + `{"a":[5,6],"b":4}` + "\n" + `{"b":1,"a":[2,3],"c":1}`, dataset.ReadOptions{}, `1 2 3/4 5 6/bad: line 3: key "c" is not one of the first object's`, ""},
		{"label by number", "-", "[1,2,\"p\"]\n[3,4,null]\n", dataset.ReadOptions{Label: "2"}, "1 2 p/bad: line 2: column 2: no label", ""},
		{"a null among numbers", "-", "[1,null]\n", dataset.ReadOptions{}, `bad: line 1: column 1: "null" is not a number`, ""},
		{"a null that may be", "-", "[1,null]\n", dataset.ReadOptions{Schema: &dataset.Schema{Rules: map[string]dataset.ColumnRule{"1": {Missing: true}}}}, "1 NaN", ""},
		{"an object among arrays", "-", "[1,2]\n{\"a\":1}\n", dataset.ReadOptions{}, "1 2/bad: line 2: an object, want an array: 2 numbers, flat or as 2", ""},
		{"nested rows of lines", "x.jsonl", "[[1,2],[3,4]]\n", dataset.ReadOptions{}, "1 2 3 4", ""},
		{"rows of one array", "x.json", "[[1,2],[3,4]]\n", dataset.ReadOptions{}, "1 2/3 4", ""},
		{"one nested row in .json", "x.json", "[[1,2],[3,4]]\n", dataset.ReadOptions{Example: tensor.Shape{2, 2}}, "1 2 3 4", ""},
		{"lines in .json", "x.json", "[[1,2],[3,4]]\n[[5,6],[7,8]]\n", dataset.ReadOptions{}, "1 2 3 4/5 6 7 8", ""},
		{"an empty row", "-", "[]\n", dataset.ReadOptions{Example: tensor.Shape{2}}, "bad: line 1: column 0: no value", ""},
		{"mark first", "-", "\uFEFF" + `{"sl":1,"sw":2}`, known, "1 2", ""},
		{"no rows", "-", "", known, "", ""},
		{"escapes", "-", `{"s\u006c":1,"sw":2,"y":"\u00e4\"b"}`, known, `1 2 ä"b`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, notices, err := readText(JSONL{}, c.file, c.text, c.o)
			got := strings.Join(rows, "/")
			if err != nil || got != c.want {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
			if c.notice == "" && notices != "" || !strings.Contains(notices, c.notice) {
				t.Errorf("notices %q, want %q", notices, c.notice)
			}
		})
	}
}

func TestJSONRefused(t *testing.T) {
	known := dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers}}
	for _, c := range []struct {
		name, text string
		o          dataset.ReadOptions
		want       string
	}{
		{"empty", " \n", dataset.ReadOptions{}, "t: empty"},
		{"an empty array", "[\n]", dataset.ReadOptions{}, "empty"},
		{"cut array", `[{"sl":1,"sw":2},`, known, "1 2t: truncated: the array of rows does not end"},
		{"cut entry", `[{"sl":1,"sw":2}` + "\n", known, "truncated"},
		{"text behind", `[{"sl":1,"sw":2}] x`, known, "text after the array of rows"},
		{"no entry", `[{"sl":1,"sw":2},,]`, known, "line 1: an entry without a value"},
		{"no label", `{"a":1}`, dataset.ReadOptions{Label: "y"}, `t: no column "y"; it has a`},
		{"deep", `{"a":` + strings.Repeat("[", 100_000), dataset.ReadOptions{}, "nested more than 32 deep"},
		{"deep objects", `{"a":` + strings.Repeat(`{"a":`, 100_000), dataset.ReadOptions{}, "nested more than 32 deep"},
		{"UTF-16", "\xff\xfe[\x00", dataset.ReadOptions{}, "is UTF-16"},
		{"LFS", "version https://git-lfs.github.com/spec/v1\n", dataset.ReadOptions{}, "pointer of Git LFS"},
		{"a word", "hello\n", dataset.ReadOptions{}, "want a JSON array of numbers"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, _, err := readText(JSONL{}, "t", c.text, c.o)
			if got := fmt.Sprint(strings.Join(rows, "/"), err); err == nil || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Of one large array no more is held than a row.
func TestJSONArrayMemory(t *testing.T) {
	const rows = 200_000
	in := io.MultiReader(strings.NewReader(`[{"a":0,"b":0}`), &repeat{line: []byte(",\n" + `{"a":1,"b":2}`), left: rows}, strings.NewReader("]"))
	c, err := dataset.NewContent(in, "-", -1)
	if err != nil {
		t.Fatal(err)
	}
	r, err := JSONL{}.Stream(c, dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, 2)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for n := 0; ; n++ {
		if err := r.Next(row); isEOF(err) {
			if n != rows+1 {
				t.Errorf("%d rows, want %d", n, rows+1)
			}
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	const spare = 1 << 20 // bytes; the text has 3.2 MB
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > spare {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	runtime.KeepAlive(r)
}
