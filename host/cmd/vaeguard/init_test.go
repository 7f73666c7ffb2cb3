package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestInitScripts runs host/cli/testdata/init/*.txtar: init with images, arrays and
// ONNX files.
func TestInitScripts(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	forest := filepath.Join(root, "builtin", "classifiers", "onnx", "testdata", "sklearn", "forest.onnx")
	fashion := filepath.Join(root, "examples", "onnx", "fashion.onnx")
	clitest.Run(t, filepath.Join(scripts, "init"), []string{forest, fashion}, func(e *testscript.Env) error {
		for i := range 80 {
			class := []string{"dark", "light"}[i%2]
			if err := writePhoto(filepath.Join(e.WorkDir, "photos", class, fmt.Sprintf("%d.png", i)), uint8(40+150*(i%2)), i, 9+i%3, i%4 > 1); err != nil {
				return err
			}
			if err := writePhoto(filepath.Join(e.WorkDir, "clothes", fmt.Sprint(i%10), fmt.Sprintf("%d.png", i)), uint8(2*i), i, 20, true); err != nil {
				return err
			}
			if err := writePhoto(filepath.Join(e.WorkDir, "grey", fmt.Sprint(i%2), fmt.Sprintf("%d.png", i)), uint8(2*i), i, 12, true); err != nil {
				return err
			}
			if err := writePhoto(filepath.Join(e.WorkDir, "paint", fmt.Sprint(i%2), fmt.Sprintf("%d.png", i)), uint8(2*i), i, 12, false); err != nil {
				return err
			}
		}
		x, y := make([]uint8, 80*12*12), make([]int64, 80)
		for i := range x {
			x[i] = uint8((i*37+i*i/11)%120 + 120*(i/144%2))
		}
		for i := range y {
			y[i] = int64(i % 2)
		}
		for name, shape := range map[string][]int{"flat144": {144}, "grey12": {1, 12, 12}, "flat432": {432}, "rgb12": {3, 12, 12}, "flat168": {168}, "flat504": {504}, "flat784": {784}} {
			classes := 2
			if shape[0] == 784 {
				classes = 10
			}
			if err := writeLinear(filepath.Join(e.WorkDir, name+".onnx"), classes, shape); err != nil {
				return err
			}
		}
		for name, shape := range map[string][]int{"bytes": {80, 12, 12}, "first": {80, 1, 12, 12}, "last": {80, 12, 12, 1}, "flat": {80, 144}, "colours": {26, 3, 12, 12}, "row": {26, 432}} {
			n := 1
			for _, side := range shape {
				n *= side
			}
			if err := dataset.WriteNPZFile(filepath.Join(e.WorkDir, name+".npz"), []dataset.Array{
				{Name: "pixels", Shape: shape, Data: x[:n]}, {Name: "target", Shape: shape[:1], Data: y[:shape[0]]},
			}); err != nil {
				return err
			}
		}
		labels := make([]uint8, len(y))
		for i, c := range y {
			labels[i] = uint8(c)
		}
		for name, data := range map[string][]byte{
			"t-images-idx3-ubyte": append([]byte{0, 0, 8, 3, 0, 0, 0, 80, 0, 0, 0, 12, 0, 0, 0, 12}, x...),
			"t-labels-idx1-ubyte": append([]byte{0, 0, 8, 1, 0, 0, 0, 80}, labels...),
		} {
			if err := os.WriteFile(filepath.Join(e.WorkDir, name), data, 0o600); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeLinear writes an ONNX file of a linear model for inputs of a shape.
func writeLinear(file string, classes int, shape []int) error {
	b, n := graph.New(), 1
	dims := []graph.Dim{graph.Free("n")}
	for _, side := range shape {
		dims, n = append(dims, graph.Dim{N: side}), n*side
	}
	x := b.Input(graph.Port{Name: "x", Type: graph.Float, Dims: dims})
	weights := make([]float32, classes*n)
	for i := range weights {
		weights[i] = float32(i%7-i%3-2) / float32(n)
	}
	b.Output(graph.Port{Name: "y", Type: graph.Float, Dims: []graph.Dim{graph.Free("n"), {N: classes}}}, b.MatMul(b.Batch(x, n), b.Floats(weights, n, classes)))
	data, err := b.Model(graph.Meta{Name: "linear"})
	if err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// writePhoto writes a noisy image of one tone, grey or coloured.
func writePhoto(file string, tone uint8, noise, side int, grey bool) error {
	var img image.Image
	at := func(x, y int) uint8 { return tone + uint8((x*7+y*13+(x+3)*(y+5)*noise)%40) }
	if grey {
		g := image.NewGray(image.Rect(0, 0, side, side+2))
		for i := range g.Pix {
			g.Pix[i] = at(i%side, i/side)
		}
		img = g
	} else {
		c := image.NewRGBA(image.Rect(0, 0, side, side+2))
		for y := range side + 2 {
			for x := range side {
				c.Set(x, y, color.RGBA{at(x, y), tone, at(y, x), 255})
			}
		}
		img = c
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := png.Encode(f, img); err != nil {
		return err
	}
	return f.Close()
}

// sortedSet is a set of somebody's own with official splits, whose rows are sorted by
// class: 30 of each of ten.
type sortedSet struct{}

func (sortedSet) Splits() []string { return []string{"train", "test"} }

func (sortedSet) Header(string) (dataset.Header, error) {
	return dataset.Header{Rows: 300, Example: tensor.Shape{4}, Classes: 10, Labelled: true}, nil
}

func (sortedSet) Load(split string) (*dataset.Data, error) {
	d := &dataset.Data{X: tensor.New(300, 4), Source: "sorted " + split}
	for i := range 300 {
		for j := range d.X.Row(i) {
			d.X.Row(i)[j] = float32((i*(j+3)*7919)%1000)/1000 + float32(i/30)
		}
		d.Labels, d.Index = append(d.Labels, i/30), append(d.Index, i)
	}
	return d, nil
}

// TestInitOfASortedSet: of a named set that is sorted by class, calibration and
// validation rows are of all classes, and no row serves two roles.
func TestInitOfASortedSet(t *testing.T) {
	c := builtin.Components()
	c.Datasets = c.Datasets.With(registry.Entry[dataset.Set]{Name: "sorted", Default: sortedSet{}, Doc: "rows sorted by class"})
	out := filepath.Join(t.TempDir(), "sorted.yaml")
	var log bytes.Buffer
	if code := cli.Run(t.Context(), c, []string{"init", "--data", "sorted", "--classifier", "mlp", "--out", out, "--quiet"}, nil, &log, &log); code != 0 {
		t.Fatalf("exit code %d: %s", code, log.String())
	}
	e, err := host.Load(out, nil, c, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for role, n := range map[dataset.Role]int{dataset.RoleTrain: 225, dataset.RoleValidation: 30, dataset.RoleCalibration: 45, dataset.RoleTest: 300} {
		rows, err := e.Rows(role) // which refuses rows that another role has
		if err != nil {
			t.Fatal(err)
		}
		classes := map[int]int{}
		for _, y := range rows.Labels {
			classes[y]++
		}
		if rows.N() != n || len(classes) < 8 {
			t.Errorf("%s: %d rows of the classes %v, want %d of nearly all", role, rows.N(), classes, n)
		}
	}
}
