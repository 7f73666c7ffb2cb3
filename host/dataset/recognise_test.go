package dataset

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
)

// known is a format that is recognised and never opened; streaming one that
// streams.
type (
	known     struct{ traits Traits }
	streaming struct{ known }
)

func (k known) Traits() Traits { return k.traits }

func (known) Open(string, ReadOptions) (Reader, error) { return nil, errors.New("opened") }

func (streaming) Stream(*Content, ReadOptions) (Reader, error) { return nil, errors.New("streamed") }

// formats are one of each kind.
var formats = registry.NewTable[Format]("format",
	registry.Entry[Format]{Name: "array", Default: streaming{known{Traits{Extensions: []string{".a", ".aa"}, Magic: []string{"AAA"}}}}},
	registry.Entry[Format]{Name: "box", Default: known{Traits{Extensions: []string{".box"}, Magic: []string{"BOX"}, Arrays: true}}},
	registry.Entry[Format]{Name: "table", Default: streaming{known{Traits{Extensions: []string{".t"}, Table: true, Default: true}}}},
	registry.Entry[Format]{Name: "folder", Default: known{Traits{Folder: true, Labelled: true}}},
	registry.Entry[Format]{Name: "idx", Default: streaming{known{Traits{Magic: []string{"\x00"}}}}},
	registry.Entry[Format]{Name: "marked", Default: known{Traits{Folder: true, Marks: []string{"sign", "other"}, Labelled: true, Splits: []string{"train", "test"}}}},
)

func TestRecognise(t *testing.T) {
	dir := t.TempDir()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte("AAAA")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"x.AA": "BOX", "x.t.gz": "", "bare": "AAA", "short": "AA", "box": "BOX and more than sixteen bytes", "packed.gz": packed.String(),
		"cut.gz": packed.String()[:11], "empty": "", "f/image": "", "g/other": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const unknown = "unknown format, want .a, .box, .t, folder, idx or marked"
	for _, c := range []struct{ path, want, wrong string }{
		{"x.AA", "array", ""}, // the extension goes before the first bytes
		{"x.t.gz", "table", ""},
		{"bare", "array", ""},
		{"box", "box", ""},
		{"packed.gz", "array", ""},
		{"f", "folder", ""},
		{"g", "marked", ""},
		{"short", "", unknown},
		{"empty", "", unknown},
		{"cut.gz", "", "cut.gz: unexpected EOF"},
		{"absent", "", "absent"},
	} {
		path := filepath.Join(dir, c.path)
		f, err := recognise(path, formats)
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: got %v, want %q", c.path, err, c.wrong)
			}
			continue
		}
		want, lookup := formats.Lookup(c.want)
		if err != nil || lookup != nil || !equalTraits(f.Traits(), want.Traits()) {
			t.Errorf("%s: %v, %v, want %s", c.path, f, err, c.want)
		}
	}
}

// equalTraits compares what tells the formats of this file apart.
func equalTraits(a, b Traits) bool {
	return strings.Join(append(a.Extensions, a.Marks...), " ") == strings.Join(append(b.Extensions, b.Marks...), " ") && a.Folder == b.Folder
}

func TestSplitKey(t *testing.T) {
	for _, c := range []struct{ path, file, key string }{
		{"x.box:k", "x.box", "k"},
		{"x.box", "x.box", ""},
		{"a.box:b.box:k", "a.box:b.box", "k"}, // a file may have a colon
		{"x.a:k", "x.a:k", ""},
		{"x.box:", "x.box", ""},
	} {
		if file, key := splitKey(c.path, formats); file != c.file || key != c.key {
			t.Errorf("%s: %q and %q, want %q and %q", c.path, file, key, c.file, c.key)
		}
	}
}

func TestSourceCheck(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bare"), []byte("BOX"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		src  Source
		want string // without a look at files, and with one
		look string
	}{
		{"sound", Source{File: "x.a", Labels: "y.a"}, "", ""},
		{"array", Source{File: "x.box", X: "k", Labels: "l"}, "", ""},
		{"array in the path", Source{File: "x.box:k", Y: "l"}, "", ""},
		{"column", Source{File: "x.t", Label: "c"}, "", ""},
		{"no arrays", Source{File: "x.a", X: "k", Y: "l"}, "x: names an array of a .box, which the source is not\ny: names an array of a .box, which the source is not", ""},
		{"no columns", Source{File: "x.box", Label: "c"}, "label: names a column of a table; for a file of labels write labels", ""},
		{"table", Source{File: "x.t", Labels: "y.a"}, "labels: is for .a, .box or idx; for a column write label", ""},
		{"labelled", Source{Folder: "f", Labels: "y.a"}, "labels: is for .a, .box or idx; folder brings its own", ""},
		{"named", Source{Dataset: "d", Labels: "y.a", X: "k"}, "x: names an array of a .box, which the source is not\nlabels: is for .a, .box or idx; dataset brings its own", ""},
		{"beside images", Source{IDX: "i", Labels: "l"}, "", ""},
		{"no format of the key", Source{CIFAR10: "c"}, `cifar10: unknown format "cifar10"; known: array, box, table, folder, idx, marked`, ""},
		{"first bytes", Source{File: "bare", X: "k"}, "", ""},
		{"first bytes, and a key that does not go", Source{File: "bare", Label: "c"}, "", "label: names a column of a table; for a file of labels write labels"},
		{"unknown", Source{File: "x.txt", X: "k"}, "", `file: want .a, .aa, .box or .t, got "x.txt"`},
		{"nowhere", Source{X: "k"}, "", ""}, // Validate's
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, look := range []bool{false, true} {
				want := c.want
				if look && c.look != "" {
					want = c.look
				}
				got := ""
				if err := c.src.Check(dir, formats, look); err != nil {
					got = err.Error()
				}
				if got != want {
					t.Errorf("look %v: got %q, want %q", look, got, want)
				}
			}
		})
	}
}

func TestCheckSplit(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sign"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for split, want := range map[string]string{"": "", "test": "", "validation": "split: the splits of file are train and test, not validation: use range"} {
		src := Source{File: dir, Split: split}
		got := ""
		if err := src.Check("", formats, true); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("split %q: got %q, want %q", split, got, want)
		}
	}
}

// TestNewNumbers refuses headers that no file can keep.
func TestNewNumbers(t *testing.T) {
	for _, c := range []struct {
		name  string
		d     Dtype
		shape []int
		want  string
	}{
		{"sound", Dtype{Kind: 'f', Size: 4}, []int{2, 2}, ""},
		{"too many", Dtype{Kind: 'f', Size: 4}, []int{3, 2}, "x: truncated: the header claims 3 rows of 8 bytes"},
		{"no dimension", Dtype{Kind: 'f', Size: 4}, nil, "x: a scalar"},
		{"negative", Dtype{Kind: 'f', Size: 4}, []int{-1, 2}, "x: -1 rows"},
		{"no numbers", Dtype{Kind: 'f', Size: 4}, []int{2, 0}, "x: "},
		{"text", Dtype{Kind: 'S', Size: 4}, []int{4}, "x: text"},
		{"odd size", Dtype{Kind: 'f', Size: 3}, []int{4}, "x: element type f of 3 bytes"},
		{"odd kind", Dtype{Kind: 'q', Size: 4}, []int{4}, "x: element type q of 4 bytes"},
	} {
		content, err := NewContent(bytes.NewReader(make([]byte, 16)), "x", 16)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewNumbers(content, c.d, c.shape)
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
