package signature_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// step is a component of data.prepare.
func step(s signature.Step) registry.Component {
	return registry.Component{Kind: "step", Name: "test", Value: s}
}

// array is a file of rows.
func array(t *testing.T, shape tensor.Shape, data any) string {
	t.Helper()
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, dataset.Array{Shape: shape, Data: data}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "x.npy")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// learn makes the door of a source and hands back its rows.
func learn(t *testing.T, section dataset.Section, src dataset.Source) (*signature.Door, *dataset.Data) {
	t.Helper()
	c := builtin.Components()
	h, err := dataset.ReadHeader(src, "", c.Datasets, c.Formats)
	if err != nil {
		t.Fatal(err)
	}
	door, err := signature.New(section, src, h.Example, h.About)
	if err != nil {
		t.Fatal(err)
	}
	d, err := door.Learn(func(through dataset.Door) (*dataset.Data, error) {
		return dataset.Open(src, "", c.Datasets, c.Formats, dataset.OpenOptions{Door: through})
	})
	if err != nil {
		t.Fatal(err)
	}
	return door, d
}

// read reads a file through a door.
func read(door dataset.Door, file string) (*dataset.Data, error) {
	return dataset.Read(file, builtin.Components().Formats, dataset.StreamOptions{Door: door})
}

// The short forms of a source go in this order: reshape, layout, rescale, scale.
func TestShortForms(t *testing.T) {
	// Two examples of 2 channels × 1 × 2.
	src := dataset.Source{
		File:    array(t, tensor.Shape{2, 4}, []float32{0, 1, 2, 3, 4, 5, 6, 7}),
		Reshape: []int{2, 1, 2}, Layout: "nchw", Rescale: &dataset.Rescale{Scale: dataset.Values{2}, Offset: dataset.Values{1}},
	}
	door, d := learn(t, dataset.Section{}, src)
	if want := []float32{1, 5, 3, 7, 9, 13, 11, 15}; !slices.Equal(d.X.Data, want) || !d.X.Shape.Equal(tensor.Shape{2, 1, 2, 2}) {
		t.Errorf("x = %v %v, want %v", d.X.Shape, d.X.Data, want)
	}
	back, err := door.Undo(d.X)
	if err != nil || !slices.Equal(back.Data, []float32{0, 1, 2, 3, 4, 5, 6, 7}) || !back.Shape.Equal(tensor.Shape{2, 4}) {
		t.Errorf("undone %v %v, %v", back.Shape, back.Data, err)
	}
	src.Scale = "standard"
	door, d = learn(t, dataset.Section{}, src)
	if want := []float32{-1, -1, -1, -1, 1, 1, 1, 1}; !slices.Equal(d.X.Data, want) {
		t.Errorf("standardised %v", d.X.Data)
	}
	state := door.Tensors()
	if got := state["scale.mean"]; got == nil || !slices.Equal(got.Data, []float32{5, 9, 7, 11}) {
		t.Errorf("the file would have %v", state)
	}
	src.Reshape = []int{5}
	h, err := dataset.ReadHeader(src, "", builtin.Components().Datasets, builtin.Components().Formats)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signature.New(dataset.Section{}, src, h.Example, h.About); err == nil || !strings.Contains(err.Error(), "reshape: 5 has 5 numbers") {
		t.Errorf("an impossible reshape: %v", err)
	}
}

// TestFlatImages: grey images of IDX and of image files are lists where reshape says so,
// the same as an array's. IDX kept its images, and only a run found out.
func TestFlatImages(t *testing.T) {
	dir := t.TempDir()
	pixels := []uint8{0, 51, 102, 153, 204, 255, 255, 204, 153, 102, 51, 0}
	idx := filepath.Join(dir, "x-idx3-ubyte")
	if err := os.WriteFile(idx, append([]byte{0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3}, pixels...), 0o600); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "pictures")
	for i := range 2 {
		img := &image.Gray{Pix: pixels[6*i:], Stride: 3, Rect: image.Rect(0, 0, 3, 2)}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		class := filepath.Join(folder, fmt.Sprint(i))
		if err := os.MkdirAll(class, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, "0.png"), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var want []float32
	for _, p := range pixels {
		want = append(want, float32(p)/255)
	}
	for name, src := range map[string]dataset.Source{
		"idx": {IDX: idx, Reshape: []int{6}}, "folder": {Folder: folder, Reshape: []int{6}},
	} {
		door, d := learn(t, dataset.Section{}, src)
		if !door.Out().Equal(tensor.Shape{6}) || !d.X.Shape.Equal(tensor.Shape{2, 6}) || !slices.Equal(d.X.Data, want) {
			t.Errorf("%s: %v said, %v read: %v", name, door.Out(), d.X.Shape, d.X.Data)
		}
	}
}

// A door that a detector kept makes the same rows of the same file, also of its
// rows written flat, and refuses others by name.
func TestRestored(t *testing.T) {
	raw := []float32{0, 1, 2, 3, 4, 5, 6, 70}
	section := dataset.Section{Prepare: []registry.Component{step(signature.Rescale{Scale: dataset.Values{.5, 2}}), step(signature.Standard{})}}
	src := dataset.Source{File: array(t, tensor.Shape{2, 2, 1, 2}, raw), Layout: "nchw"}
	door, want := learn(t, section, src)
	again := signature.Of(door.Signature, section, src, door.Out())
	if err := again.Restore(door.Tensors()); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{src.File, array(t, tensor.Shape{2, 4}, raw)} {
		d, err := read(again, file)
		if err != nil || !slices.Equal(d.X.Data, want.X.Data) || !d.X.Shape.Equal(want.X.Shape) {
			t.Errorf("%v, want %v, %v", d, want.X.Data, err)
		}
	}
	prepared, err := again.Prepare(tensor.From(slices.Clone(raw), 2, 2, 1, 2))
	if err != nil || !slices.Equal(prepared.Data, want.X.Data) {
		t.Errorf("prepared %v, %v", prepared, err)
	}
	if _, err := read(again, array(t, tensor.Shape{1, 1, 2, 2}, raw[:4])); err == nil || !strings.Contains(err.Error(), "examples are 1×2×2, want 2×1×2, as files have them") {
		t.Errorf("rows like prepared ones: %v", err)
	}
	d, err := read(signature.Prepared{Door: again}, array(t, tensor.Shape{1, 1, 2, 2}, raw[:4]))
	if err != nil || !slices.Equal(d.X.Data, raw[:4]) {
		t.Errorf("prepared rows became %v, %v", d, err)
	}
	if err := signature.Of(door.Signature, section, src, door.Out()).Restore(nil); err == nil {
		t.Error("a door without what it learnt opened")
	}
}

// The bytes of an image have the same bits from whichever format they come.
func TestWhite(t *testing.T) {
	bytes := make([]byte, 256)
	unit, wide := make([]float32, 256), make([]float32, 256)
	for i := range bytes {
		bytes[i], unit[i], wide[i] = byte(i), float32(i)/255, float32(i)
	}
	shape := tensor.Shape{1, 16, 16, 1}
	of := map[string]string{"bytes": array(t, shape, bytes), "intensities": array(t, shape, unit), "numbers": array(t, shape, wide)}
	for train, white := range map[string]float64{"bytes": 255, "intensities": 1, "numbers": 255} {
		door, want := learn(t, dataset.Section{}, dataset.Source{File: of[train]})
		if door.White != white {
			t.Errorf("%s: white is %v, want %v", train, door.White, white)
		}
		got, err := door.Enter(imaged{tensor.From(slices.Clone(unit), shape...), 1})
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float32, 256)
		if err := got.Next(row); err != nil || !slices.Equal(row, want.X.Data) {
			t.Errorf("%s: intensities became %v, want %v (%v)", train, row[:3], want.X.Data[:3], err)
		}
		d, err := read(door, of["bytes"])
		if err != nil || !slices.Equal(d.X.Data, want.X.Data) {
			t.Errorf("%s: bytes became %v, want %v (%v)", train, d.X.Data[:3], want.X.Data[:3], err)
		}
	}
}

// Rows in other units are refused where there is no doubt.
func TestUnits(t *testing.T) {
	bytes, unit := make([]byte, 64), make([]float32, 64)
	for i := range bytes {
		bytes[i], unit[i] = byte(4*i), float32(4*i)/255
	}
	flat, image := tensor.Shape{1, 64}, tensor.Shape{1, 8, 8}
	door, _ := learn(t, dataset.Section{}, dataset.Source{File: array(t, flat, bytes), Rescale: &dataset.Rescale{Scale: dataset.Values{1. / 255}}})
	if _, err := read(door, array(t, flat, unit)); err == nil || !strings.Contains(err.Error(), "--prepared") {
		t.Errorf("prepared rows: %v", err)
	}
	wide := make([]float32, 64)
	for i := range wide {
		wide[i] = float32(4*i) + .25 // as an attack may leave bytes
	}
	if _, err := read(door, array(t, flat, wide)); err != nil {
		t.Error(err)
	}
	door, _ = learn(t, dataset.Section{}, dataset.Source{File: array(t, image, unit)})
	for i := range wide {
		wide[i] = float32(4 * i)
	}
	if _, err := read(door, array(t, image, wide)); err == nil || !strings.Contains(err.Error(), "white is 1") {
		t.Errorf("numbers up to 252: %v", err)
	}
}

// A rescaling that is one of bytes gets bytes, of image files too.
func TestBytesWanted(t *testing.T) {
	about := dataset.About{White: 1}
	for scale, white := range map[float64]float64{1. / 255: 255, .01712: 255, .5: 1, 2: 1} {
		section := dataset.Section{Prepare: []registry.Component{step(crop{}), step(signature.Rescale{Scale: dataset.Values{scale}})}}
		door, err := signature.New(section, dataset.Source{}, tensor.Shape{3, 3, 1}, about)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := door.Enter(imaged{tensor.From([]float32{1, 0, 0, 0, 0, 0, 0, 0, 0}, 1, 3, 3, 1), 1})
		if err != nil {
			t.Fatal(err)
		}
		row := make([]float32, 4)
		if err := rows.Next(row); err != nil || door.White != white || math.Abs(float64(row[0])-white*scale) > 1e-6 {
			t.Errorf("scale %v: white is %v, a white pixel becomes %v (%v)", scale, door.White, row[0], err)
		}
	}
}

// imaged reads rows of a known white.
type imaged struct {
	x     *tensor.Tensor
	white float64
}

func (i imaged) Example() tensor.Shape    { return i.x.Example() }
func (i imaged) Count() int               { return i.x.N() }
func (i imaged) Next(dst []float32) error { copy(dst, i.x.Data); return nil }
func (i imaged) Parts() []dataset.Part    { return nil }
func (i imaged) Close() error             { return nil }
func (i imaged) White() float64           { return i.white }

// photos are images of their own sizes.
type photos struct {
	imaged
	shapes [][3]int
	at     int
}

func (p *photos) NextImage() ([]float32, [3]int, error) {
	if p.at == len(p.shapes) {
		return nil, [3]int{}, io.EOF
	}
	s := p.shapes[p.at]
	p.at++
	out := make([]float32, s[0]*s[1]*s[2])
	for j := range out {
		out[j] = float32((61*p.at+13*j)%256) / 255
	}
	return out, s, nil
}

func (p *photos) Next([]float32) error { return errors.New("not asked for") }

// crop makes images of any size 2×2.
type crop struct{}

func (crop) Bind(in tensor.Shape) (signature.Bound, error) { return cropped{in[2]}, nil }

type cropped struct{ c int }

func (b cropped) Out() tensor.Shape                  { return tensor.Shape{2, 2, b.c} }
func (b cropped) Shape(in tensor.Shape) tensor.Shape { return tensor.Shape{2, 2, in[2]} }
func (b cropped) Apply(dst, src []float32, in tensor.Shape) error {
	copy(dst, src[:len(dst)])
	return nil
}

// Images of other sizes are one row's fault each, unless a step makes them of
// one size; a grey one among colour ones is none.
func TestVaried(t *testing.T) {
	about := dataset.About{Varied: true, White: 1}
	shapes := [][3]int{{3, 3, 3}, {3, 3, 1}, {4, 3, 3}, {3, 3, 3}}
	for _, c := range []struct {
		section dataset.Section
		raw     tensor.Shape
		bad     []int
	}{
		{dataset.Section{}, tensor.Shape{3, 3, 3}, []int{2}},
		{dataset.Section{Prepare: []registry.Component{step(crop{})}}, tensor.Shape{0, 0, 3}, nil},
	} {
		door, err := signature.New(c.section, dataset.Source{}, tensor.Shape{3, 3, 3}, about)
		if err != nil {
			t.Fatal(err)
		}
		if !door.Shape.Equal(c.raw) {
			t.Errorf("raw images are %v, want %v", door.Shape, c.raw)
		}
		rows, err := door.Enter(&photos{imaged{tensor.New(1, 3, 3, 3), 1}, shapes, 0})
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]float32, rows.Example().Size())
		var bad []int
		for i := range shapes {
			err := rows.Next(dst)
			var row *dataset.RowError
			switch {
			case errors.As(err, &row):
				if row.Row != i || !strings.Contains(err.Error(), "resize") {
					t.Errorf("row %d: %v", i, err)
				}
				bad = append(bad, i)
			case err != nil:
				t.Fatal(err)
			}
		}
		if !slices.Equal(bad, c.bad) {
			t.Errorf("bad rows %v, want %v", bad, c.bad)
		}
	}
}

// table is the header of a table.
func table(features ...dataset.Feature) dataset.About {
	return dataset.About{Table: &dataset.Schema{Label: "y", Features: features}}
}

// Values that are missing are filled in, categories become one-hot, and
// standard leaves those alone.
func TestColumns(t *testing.T) {
	nan := float32(math.NaN())
	section := dataset.Section{
		Columns: map[string]dataset.ColumnSpec{
			"age":    {Missing: dataset.FillMedian, Integer: true},
			"colour": {Categories: []any{"red", "green", "blue"}, Missing: dataset.FillMostFrequent},
			"size":   {Missing: 7},
		},
		Prepare: []registry.Component{step(signature.Standard{})},
	}
	about := table(
		dataset.Feature{Name: "age", Kind: dataset.KindInteger, Missing: true},
		dataset.Feature{Name: "colour", Kind: dataset.KindCategory, Categories: []string{"red", "green", "blue"}, Missing: true},
		dataset.Feature{Name: "size", Kind: dataset.KindNumber, Missing: true})
	door, err := signature.New(section, dataset.Source{Label: "y"}, tensor.Shape{3}, about)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"age", "colour=red", "colour=green", "colour=blue", "size"}; !slices.Equal(door.Columns(), want) {
		t.Errorf("columns %q, want %q", door.Columns(), want)
	}
	x := tensor.From([]float32{20, 2, 1, 40, 0, nan, nan, nan, 1, 60, 2, 3}, 4, 3)
	d, err := door.Learn(func(through dataset.Door) (*dataset.Data, error) { return &dataset.Data{X: x}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if got := door.Tensors()["columns.fill"].Data; !slices.Equal(got, []float32{40, 2, 7}) {
		t.Errorf("filled in with %v, want 40, 2 (blue) and 7", got)
	}
	for i, want := range [][]float32{{0, 0, 1}, {1, 0, 0}, {0, 0, 1}, {0, 0, 1}} {
		if got := d.X.Row(i)[1:4]; !slices.Equal(got, want) {
			t.Errorf("row %d: colour is %v, want %v", i, got, want)
		}
	}
	if sum := d.X.Row(0)[0] + d.X.Row(1)[0] + d.X.Row(2)[0] + d.X.Row(3)[0]; math.Abs(float64(sum)) > 1e-6 {
		t.Errorf("age has sum %v", sum)
	}
	if door.Restorable() {
		t.Error("categories can be undone?")
	}
	for _, bad := range [][]float32{{20, 3, 1}, {20, .5, 1}} {
		if _, err := door.Prepare(tensor.From(bad, 1, 3)); err == nil || !strings.Contains(err.Error(), `column "colour": `) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// What data.columns says of columns that are not there is an error.
func TestUnknownColumn(t *testing.T) {
	section := dataset.Section{Columns: map[string]dataset.ColumnSpec{"agee": {Integer: true}, "y": {}, "note": {Ignore: true}}}
	_, err := signature.New(section, dataset.Source{}, tensor.Shape{1}, table(dataset.Feature{Name: "age", Kind: dataset.KindNumber}))
	var faults registry.FieldErrors
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Key != "columns.agee" {
		t.Errorf("got %v", err)
	}
}

// A signature that was read is not believed.
func TestCheck(t *testing.T) {
	number := dataset.Feature{Name: "a", Kind: dataset.KindNumber}
	good := signature.Signature{Kind: signature.KindTable, Shape: tensor.Shape{2}, Features: []dataset.Feature{number, {Name: "b", Kind: dataset.KindInteger}}}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*signature.Signature){
		"kind":     func(s *signature.Signature) { s.Kind = "?" },
		"negative": func(s *signature.Signature) { s.Shape = tensor.Shape{-1} },
		"huge":     func(s *signature.Signature) { s.Shape = tensor.Shape{1 << 30, 1 << 30}; s.Features = nil },
		"width":    func(s *signature.Signature) { s.Shape = tensor.Shape{3} },
		"twice":    func(s *signature.Signature) { s.Features = []dataset.Feature{number, number} },
		"unnamed":  func(s *signature.Signature) { s.Features = []dataset.Feature{number, {Kind: dataset.KindNumber}} },
		"one": func(s *signature.Signature) {
			s.Features = []dataset.Feature{number, {Name: "b", Kind: dataset.KindCategory, Categories: []string{"x"}}}
		},
		"white": func(s *signature.Signature) { s.White = math.Inf(1) },
	} {
		s := good
		change(&s)
		if s.Check() == nil {
			t.Errorf("%s: passed as %s", name, fmt.Sprintf("%+v", s))
		}
	}
}

// What data.columns limits is said of the numbers of prepared rows, with how
// they are brought back.
func TestLimits(t *testing.T) {
	low, high := 18., 99.
	section := dataset.Section{
		Columns: map[string]dataset.ColumnSpec{
			"age": {Integer: true, Min: &low, Max: &high}, "sex": {Categories: []any{"f", "m"}, Immutable: true},
			"a": {OneHot: "town"}, "b": {OneHot: "town"},
		},
		Prepare: []registry.Component{step(signature.Standard{})},
	}
	about := table(
		dataset.Feature{Name: "a", Kind: dataset.KindNumber},
		dataset.Feature{Name: "sex", Kind: dataset.KindCategory, Categories: []string{"f", "m"}},
		dataset.Feature{Name: "age", Kind: dataset.KindInteger},
		dataset.Feature{Name: "b", Kind: dataset.KindNumber})
	door, err := signature.New(section, dataset.Source{}, tensor.Shape{4}, about)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.From([]float32{1, 0, 20, 0, 0, 1, 40, 1}, 2, 4)
	if _, err := door.Learn(func(dataset.Door) (*dataset.Data, error) { return &dataset.Data{X: x}, nil }); err != nil {
		t.Fatal(err)
	}
	limits, groups, err := door.Limits()
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(groups) != "[[1 2] [0 4]]" {
		t.Errorf("groups %v", groups)
	}
	if l := limits[3]; !l.Integer || l.Min != 18 || l.Max != 99 || math.Abs(l.Scale-10) > 1e-5 || math.Abs(l.Offset-30) > 1e-5 {
		t.Errorf("age: %+v", l)
	}
	if l := limits[1]; !l.Immutable || l.Scale != 1 || l.Offset != 0 {
		t.Errorf("sex=f: %+v", l)
	}
	if l := limits[0]; math.Abs(l.Scale-.5) > 1e-6 || math.Abs(l.Offset-.5) > 1e-6 {
		t.Errorf("a: %+v", l)
	}
}

// A column without a word on missing values beside one that has one: what is
// stored is finite, as a detector's file wants it, and an empty field there is
// the fault of its row.
func TestColumnsThatMayNotBeMissing(t *testing.T) {
	section := dataset.Section{Columns: map[string]dataset.ColumnSpec{
		"age":    {Missing: dataset.FillMedian},
		"colour": {Categories: []any{"red", "green"}},
	}}
	about := table(
		dataset.Feature{Name: "age", Kind: dataset.KindNumber, Missing: true},
		dataset.Feature{Name: "colour", Kind: dataset.KindCategory, Categories: []string{"red", "green"}},
		dataset.Feature{Name: "size", Kind: dataset.KindNumber})
	door, err := signature.New(section, dataset.Source{Label: "y"}, tensor.Shape{3}, about)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.From([]float32{20, 1, 1, 40, 0, 2}, 2, 3)
	if _, err := door.Learn(func(dataset.Door) (*dataset.Data, error) { return &dataset.Data{X: x}, nil }); err != nil {
		t.Fatal(err)
	}
	for name, v := range door.Tensors() {
		for i, x := range v.Data {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				t.Errorf("%s[%d] is %v, which no file of weights may hold", name, i, x)
			}
		}
	}
	nan := float32(math.NaN())
	for i, want := range []string{"", `column "colour" has no value`, `column "size" has no value`} {
		row := []float32{20, 1, 1}
		row[i] = nan
		_, err := door.Prepare(tensor.From(row, 1, 3))
		if got := fmt.Sprint(err); want != "" && !strings.Contains(got, want) || want == "" && err != nil {
			t.Errorf("without value %d: %v, want %q", i, err, want)
		}
	}
}
