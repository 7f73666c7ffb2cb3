package formats

import (
	"bytes"
	"errors"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/picture"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// kinds are files of every kind of image, by name: 13×17 but for some.
func kinds(t *testing.T) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, ext := range picture.Extensions() {
		files, err := filepath.Glob("../../host/picture/testdata/kinds/*" + ext)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if out[filepath.Base(file)], err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(out) < 30 {
		t.Fatalf("%d files", len(out))
	}
	return out
}

func readFolder(t *testing.T, dir string) *imageRows {
	t.Helper()
	r, err := Folder{}.Open(dir, dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r.(*imageRows)
}

// A folder of every kind of image, grey, coloured, clear and turned, with
// endings in any case: each row is that image, or says why it is none.
func TestFolderOfAllKinds(t *testing.T) {
	dir := t.TempDir()
	files := kinds(t)
	var names []string
	for name, b := range files {
		ext := filepath.Ext(name)
		if len(names)%2 == 0 {
			ext = strings.ToUpper(ext)
		}
		name := strings.TrimSuffix(name, filepath.Ext(name)) + ext
		putAt(t, filepath.Join(dir, name), b)
		names = append(names, name)
	}
	slices.Sort(names)
	r, varied := readFolder(t, dir), readFolder(t, dir)
	if !r.Example().Equal(tensor.Shape{13, 17, 3}) || r.Count() != len(files) {
		t.Fatalf("%d of %v", r.Count(), r.Example())
	}
	row, other := make([]float32, 13*17*3), 0
	for i, name := range names {
		b := files[strings.TrimSuffix(name, filepath.Ext(name))+strings.ToLower(filepath.Ext(name))]
		want, err := picture.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		data, shape, err := varied.NextImage()
		if err != nil || shape != [3]int{want.H, want.W, want.C} || !slices.Equal(data, want.Pix) {
			t.Errorf("%s as it is: %v, %v", name, shape, err)
		}
		err = r.Next(row)
		if got := r.Trace().File; got != name || varied.Trace().File != name {
			t.Errorf("row %d is of %s, want %s", i, got, name)
		}
		if want.H != 13 || want.W != 17 {
			var bad *dataset.RowError
			if other++; !errors.As(err, &bad) || bad.Row != i || !strings.Contains(err.Error(), name+": ") || !strings.Contains(err.Error(), "the rows are 13×17×3: data.prepare: resize") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		var three picture.Image
		if picture.RGB(&three, want); err != nil || !slices.Equal(row, three.Pix) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if other != 5 { // four that lie on their sides, and webp-even
		t.Errorf("%d of another size", other)
	}
	if err := r.Next(row); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if len(r.Parts()) != len(files) || r.Notices() != nil || r.White() != 1 {
		t.Errorf("%d parts, notices %v", len(r.Parts()), r.Notices())
	}
}

// What is no image does not end a folder of images, and is told.
func TestFolderPassesOver(t *testing.T) {
	grey := func(w int) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, w, 1))); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	one := grey(1)
	for _, c := range []struct {
		name    string
		files   map[string][]byte
		rows    []string
		classes []string
		labels  string
		notices []string
	}{
		{"other files", map[string][]byte{"README.md": nil, "Thumbs.db": nil, "a.png": one, ".DS_Store": nil, "x/.keep": nil},
			[]string{"a.png"}, nil, "", []string{"1 folder without images is passed over (x)", "2 files that are no images are passed over (README.md, Thumbs.db)"}},
		{"many others", map[string][]byte{"a.png": one, "1.txt": nil, "2.txt": nil, "3.txt": nil, "4.txt": nil},
			[]string{"a.png"}, nil, "", []string{"4 files that are no images are passed over (1.txt, 2.txt, 3.txt, …)"}},
		{"classes", map[string][]byte{"dogs/b.png": one, "cats/LICENSE": nil, "cats/a.JPG": one, "birds/x.txt": nil},
			[]string{"cats/a.JPG", "dogs/b.png"}, []string{"cats", "dogs"}, "01",
			[]string{"1 folder without images is passed over (birds)", "2 files that are no images are passed over (birds/x.txt, cats/LICENSE)"}},
		{"nested", map[string][]byte{"b/z.png": one, "b/2/x.png": one, "b/1/deep/x.png": one, "a/1/x.png": one},
			[]string{"a/1/x.png", "b/z.png", "b/1/deep/x.png", "b/2/x.png"}, []string{"a", "b"}, "0111", nil},
		{"images beside classes", map[string][]byte{"logo.png": grey(9), "b/x.png": one, "a/x.png": one},
			[]string{"a/x.png", "b/x.png"}, []string{"a", "b"}, "01", []string{"1 image beside the folders of classes is passed over (logo.png)"}},
		{"a folder of other things beside images", map[string][]byte{"a.png": one, "b.png": one, "notes/x.txt": nil, "__MACOSX/._a.png": one},
			[]string{"a.png", "b.png"}, nil, "", []string{"2 folders without images are passed over (__MACOSX, notes)", "1 file that is no image is passed over (notes/x.txt)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, b := range c.files {
				putAt(t, filepath.Join(dir, filepath.FromSlash(name)), b)
			}
			r := readFolder(t, dir)
			if !slices.Equal(r.Notices(), c.notices) || !slices.Equal(r.Classes(), c.classes) {
				t.Errorf("notices %q, classes %v", r.Notices(), r.Classes())
			}
			var rows []string
			labels := ""
			for row := make([]float32, 1); r.Next(row) == nil; {
				rows, labels = append(rows, r.Trace().File), labels+r.Label()
			}
			if !slices.Equal(rows, c.rows) || labels != c.labels {
				t.Errorf("rows %v of labels %q, want %v of %q", rows, labels, c.rows, c.labels)
			}
		})
	}
}

// The first file does not decide alone: it may be broken, or grey.
func TestFolderExample(t *testing.T) {
	files := kinds(t)
	dir := t.TempDir()
	putAt(t, filepath.Join(dir, "0.png"), []byte("hello"))
	putAt(t, filepath.Join(dir, "1.png"), files["png-grey.png"])
	putAt(t, filepath.Join(dir, "2.png"), files["png-sixteen.png"])
	grey := readFolder(t, dir)
	if !grey.Example().Equal(tensor.Shape{13, 17, 1}) {
		t.Errorf("grey images are %v", grey.Example())
	}
	putAt(t, filepath.Join(dir, "3.png"), files["png-rgb.png"])
	if r := readFolder(t, dir); !r.Example().Equal(tensor.Shape{13, 17, 3}) {
		t.Errorf("with a coloured one they are %v", r.Example())
	}
	// One that turns out to be coloured later cannot be grey.
	putAt(t, filepath.Join(dir, "2.png"), files["png-rgb.png"])
	row := make([]float32, 13*17)
	for i, want := range []string{"row 0: 0.png: not an image", "", "row 2: 2.png: 13×17×3, the rows are 13×17×1: data.prepare: color"} {
		if err := grey.Next(row); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("row %d: %v, want %q", i, err, want)
		}
	}
	if len(grey.Parts()) != 3 || grey.Count() != 3 {
		t.Errorf("%d parts of %d", len(grey.Parts()), grey.Count())
	}
}

// An image alone is a source, whatever it is called.
func TestImage(t *testing.T) {
	for name, b := range kinds(t) {
		want, err := picture.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{write(t, name, b), write(t, strings.ToUpper(name), b), write(t, "upload", b)} {
			d, err := open(dataset.Source{File: path})
			if err != nil {
				t.Error(path, err)
				continue
			}
			if !d.X.Shape.Equal(tensor.Shape{1, want.H, want.W, want.C}) || !slices.Equal(d.X.Data, want.Pix) || d.Labels != nil {
				t.Errorf("%s: %v", path, d.X.Shape)
			}
		}
	}
	path := write(t, "broken.webp", []byte("RIFF"))
	if _, err := open(dataset.Source{File: path}); err == nil || strings.Count(err.Error(), "broken.webp") != 1 {
		t.Errorf("a broken one: %v", err)
	}
	r, err := Image{}.Open(write(t, "x.png", kinds(t)["png-grey.png"]), dataset.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Next(make([]float32, 13*17)); err != nil || r.(dataset.Traced).Trace().File != "x.png" {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
