package builtin_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// dataPath is a folder of files and a spec that reads them.
type dataPath struct{ dir string }

func newDataPath(t *testing.T) dataPath { return dataPath{t.TempDir()} }

func (p dataPath) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (p dataPath) npy(t *testing.T, name string, shape tensor.Shape, data any) string {
	t.Helper()
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, dataset.Array{Shape: shape, Data: data}); err != nil {
		t.Fatal(err)
	}
	return p.write(t, name, b.String())
}

// spec writes a spec whose section data is as given, indented by two.
func (p dataPath) spec(t *testing.T, data string) string {
	t.Helper()
	return p.write(t, "spec.yaml", `api_version: vaeguard/v1
kind: Experiment
name: path
data:
`+data+`
classifier: {plugin: mlp, config: {hidden: [4]}, train: {epochs: 1}}
detector: {method: max_softmax}
threshold: {value: 0.5}
`)
}

// lint is what lint says of the spec of such data, "" for nothing.
func (p dataPath) lint(t *testing.T, data string) string {
	t.Helper()
	if _, err := host.LoadForLint(p.spec(t, data), nil, builtin.Components(), host.Options{}); err != nil {
		return err.Error()
	}
	return ""
}

// load reads the spec of such data as a run does.
func (p dataPath) load(t *testing.T, data string) *host.Experiment {
	t.Helper()
	e, err := host.Load(p.spec(t, data), nil, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// table is a csv of n rows, the first in the units of factor; header and a column of
// labels as given.
func table(n int, header string, row func(i int) string) string {
	var b strings.Builder
	if header != "" {
		b.WriteString(header + "\n")
	}
	for i := range n {
		b.WriteString(row(i) + "\n")
	}
	return b.String()
}

// TestRolesAgree: what the roles' rows become must agree, else lint says where.
func TestRolesAgree(t *testing.T) {
	p := newDataPath(t)
	for _, name := range []string{"a", "b"} {
		p.write(t, name+".csv", table(40, "u,v,y", func(i int) string { return fmt.Sprintf("%d,%d,%s", i*7%256, 255-i*5%256, []string{"p", "q"}[i%2]) }))
	}
	p.write(t, "unit.csv", table(40, "v,y,u", func(i int) string {
		return fmt.Sprintf("%.4f,%s,%.4f", float64(255-i*5%256)/255, []string{"p", "q"}[i%2], float64(i*7%256)/255)
	}))
	p.write(t, "narrow.csv", table(40, "u,y", func(i int) string { return fmt.Sprintf("%d,p", i) }))
	image := func(n, side int) (tensor.Shape, []uint8) {
		data := make([]uint8, n*side*side)
		for i := range data {
			data[i] = uint8(i * 37)
		}
		return tensor.Shape{n, side, side}, data
	}
	for name, side := range map[string]int{"four": 4, "again": 4, "five": 5} {
		shape, data := image(20, side)
		p.npy(t, name+".npy", shape, data)
	}
	p.npy(t, "y.npy", tensor.Shape{20}, slices.Repeat([]int64{0, 1}, 10))
	for _, c := range []struct{ name, data, lint, run string }{
		{"scale of train alone", "  train: {file: a.csv, label: y, scale: standard}\n  calibration: {file: unit.csv, label: y}",
			"data.calibration: lacks the scale: standard of data.train", ""},
		{"scale of another role alone", "  train: {file: a.csv, label: y}\n  test: {file: b.csv, label: y, scale: standard}",
			"data.test.scale: is standard, and data.train has no scale", ""},
		{"scale of all", "  train: {file: a.csv, label: y, scale: standard}\n  calibration: {file: b.csv, label: y, scale: standard}\n  allow_overlap: true", "", ""},
		{"rescale of train alone", "  train: {file: a.csv, label: y, rescale: {scale: 0.00392156862745098}}\n  calibration: {file: b.csv, label: y}\n  allow_overlap: true",
			"data.calibration: numbers from 0 to 255 become 0 to 255, and those of data.train from 0 to 255 become 0 to 1: rescale differs", "rescale differs"},
		{"rescale by a shift", "  train: {file: a.csv, label: y, rescale: {scale: 0.00784313725490196, offset: -1}}\n  validation: {file: b.csv, label: y, rescale: {scale: 0.00392156862745098}}\n  allow_overlap: true",
			"data.validation: numbers from 0 to 255", "rescale differs"},
		{"rescale of what is in other units", "  train: {file: a.csv, label: y, rescale: {scale: 0.00392156862745098}}\n  calibration: {file: unit.csv, label: y}\n  allow_overlap: true", "", ""},
		{"rescale a little otherwise", "  train: {file: a.csv, label: y, rescale: {scale: 0.00392156862745098}}\n  calibration: {file: b.csv, label: y, rescale: {scale: 0.00390625}}\n  allow_overlap: true", "", ""},
		{"a feature missing", "  train: {file: a.csv, label: y}\n  test: {file: narrow.csv, label: y}", `narrow.csv: no column "v"`, `no column "v"`},
		{"another size", "  train: {file: four.npy, labels: y.npy}\n  test: {file: five.npy, labels: y.npy}", "data.test: rows become 5×5, those of data.train 4×4", "want 4×4"},
		{"images in two units", "  train: {file: four.npy, labels: y.npy, rescale: {scale: 0.00392156862745098}}\n  test: {file: again.npy, labels: y.npy}\n  allow_overlap: true", "data.test: numbers from", "rescale differs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := p.lint(t, c.data); (c.lint == "") != (got == "") || !strings.Contains(got, c.lint) {
				t.Errorf("lint says %q, want %q", got, c.lint)
			}
			if strings.Contains(c.name, "scale of") && strings.Contains(c.lint, "standard") {
				return // no run begins
			}
			e := p.load(t, c.data)
			var err error
			for _, role := range dataset.Roles {
				if e.Spec.Data.Of(role) != nil && err == nil {
					_, err = e.Rows(role)
				}
			}
			if (c.run == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.run) {
				t.Errorf("a run says %v, want %q", err, c.run)
			}
		})
	}
}

// TestAskedColumns: a column of labels that a user names and a file lacks is an error,
// in every role, by --label and in every format; one that only the detector knows is not.
func TestAskedColumns(t *testing.T) {
	p := newDataPath(t)
	row := func(i int) string { return fmt.Sprintf("%d,%d,%s", i, i*i%7, []string{"p", "q"}[i%2]) }
	p.write(t, "a.csv", table(40, "u,v,y", row))
	rows := map[string]string{
		"csv":   p.write(t, "b.csv", table(40, "u,v,y", func(i int) string { return row(i + 100) })),
		"jsonl": p.write(t, "b.jsonl", table(40, "", func(i int) string { return fmt.Sprintf(`{"u": %d, "v": 2, "y": "p"}`, i+100) })),
	}
	bare := map[string]string{
		"csv":    p.write(t, "c.csv", table(40, "u,v", func(i int) string { return fmt.Sprintf("%d,3", i+200) })),
		"jsonl":  p.write(t, "c.jsonl", table(40, "", func(i int) string { return fmt.Sprintf(`{"u": %d, "v": 2}`, i+200) })),
		"arrays": p.write(t, "d.jsonl", table(40, "", func(i int) string { return fmt.Sprintf(`[%d, 2]`, i+200) })),
	}
	const train = "  train: {file: a.csv, label: y}\n"
	for _, role := range []string{"validation", "calibration", "test"} {
		for format, file := range rows {
			e := p.load(t, train+"  "+role+": {file: "+file+", label: specis}")
			if _, err := e.Rows(dataset.Role(role)); err == nil || !strings.Contains(err.Error(), `no column "specis"`) {
				t.Errorf("label of %s in %s: %v", role, format, err)
			}
			e = p.load(t, train+"  "+role+": {file: "+file+"}")
			if d, err := e.Rows(dataset.Role(role)); err != nil || d.Labels == nil {
				t.Errorf("%s in %s without label: %v", role, format, err)
			}
		}
		e := p.load(t, train+"  "+role+": {file: b.csv, id: key}")
		if _, err := e.Rows(dataset.Role(role)); err == nil || !strings.Contains(err.Error(), `no column "key"`) {
			t.Errorf("id of %s: %v", role, err)
		}
		e = p.load(t, train+"  "+role+": {file: c.csv, label: y}")
		if _, err := e.Rows(dataset.Role(role)); err == nil || !strings.Contains(err.Error(), `no column "y"`) {
			t.Errorf("label of %s as that of train: %v", role, err)
		}
	}
	e := p.load(t, train)
	for format, file := range bare {
		if d, err := e.Read(file, host.ReadOptions{}); err != nil || d.Labels != nil {
			t.Errorf("%s without labels: %v", format, err)
		}
		want := `no column "y"`
		if format == "arrays" {
			want = "has no header"
		}
		if _, err := e.Read(file, host.ReadOptions{Label: "y"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--label of %s: %v, want %q", format, err, want)
		}
		if _, err := e.Stream(file, host.ReadOptions{Label: "y"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--label of a stream of %s: %v, want %q", format, err, want)
		}
	}
}

// TestPreparedTables: prepared rows of a table go by name where they have names, and
// need neither label nor id.
func TestPreparedTables(t *testing.T) {
	p := newDataPath(t)
	p.write(t, "a.csv", table(40, "key,u,kind,v,y", func(i int) string {
		return fmt.Sprintf("k%d,%d,%s,%d,%s", i, i, []string{"red", "blue"}[i/2%2], i*i%7, []string{"p", "q"}[i%2])
	}))
	e := p.load(t, "  train: {file: a.csv, label: y, id: key}\n  columns: {kind: {categories: [red, blue]}}\n  prepare: [standard]")
	want := []float32{.25, 0, 1, -2}
	for name, file := range map[string]string{
		"in order":       p.write(t, "p1.csv", "u,kind=red,kind=blue,v\n.25,0,1,-2\n"),
		"another order":  p.write(t, "p2.csv", "v,kind=blue,u,kind=red\n-2,1,.25,0\n"),
		"with the rest":  p.write(t, "p3.csv", "y,v,key,kind=blue,u,note,kind=red\np,-2,k1,1,.25,w,0\n"),
		"objects":        p.write(t, "p1.jsonl", `{"v": -2, "kind=blue": 1, "kind=red": 0, "u": 0.25}`+"\n"),
		"arrays":         p.write(t, "p2.jsonl", "[0.25, 0, 1, -2]\n"),
		"without header": p.write(t, "p4.csv", ".25,0,1,-2\n"),
		"npy":            p.npy(t, "p.npy", tensor.Shape{1, 4}, want),
	} {
		o := host.ReadOptions{Prepared: true}
		if name == "without header" {
			o.Header = new(bool)
		}
		if name == "with the rest" {
			o.Keep = []string{"note"}
		}
		s, err := e.Stream(file, o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := make([]float32, len(want))
		if err := s.ReadRow(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
		if k := s.Trace().Kept; name == "with the rest" && (len(k) != 1 || k[0].Text != "w") {
			t.Errorf("kept %v", k)
		}
		_ = s.Close()
	}
	for _, text := range []string{"u,kind=red,kind=green,v\n1,2,3,4\n", "a,b,c,d\n1,2,3,4\n"} {
		if _, err := e.Read(p.write(t, "odd.csv", text), host.ReadOptions{Prepared: true}); err == nil || !strings.Contains(err.Error(), "no column") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestGuardSpaceTrains: rows that an attack wrote as the guard takes them teach no
// preparation.
func TestGuardSpaceTrains(t *testing.T) {
	p := newDataPath(t)
	n := 40
	data, y := make([]float32, 2*n), make([]int64, n)
	for i := range data {
		data[i], y[i/2] = float32(i%7)-3, int64(i/2%2)
	}
	var b bytes.Buffer
	if err := dataset.WriteNPZ(&b, []dataset.Array{
		{Name: "x_adv", Shape: tensor.Shape{n, 2}, Data: data}, {Name: "y", Shape: tensor.Shape{n}, Data: y}, {Name: "meta", Data: `{"attack": "pgd", "space": "guard"}`},
	}); err != nil {
		t.Fatal(err)
	}
	p.write(t, "adv.npz", b.String())
	const want = "data.train: its rows are prepared already"
	train := "  train: {file: 'adv.npz:x_adv', y: y}"
	if got := p.lint(t, train+"\n  prepare: [standard]"); !strings.Contains(got, want) {
		t.Errorf("lint says %q, want %q", got, want)
	}
	if _, err := p.load(t, train+"\n  prepare: [standard]").Rows(dataset.RoleTrain); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a run says %v, want %q", err, want)
	}
	if got := p.lint(t, train); got != "" {
		t.Errorf("without a preparation lint says %q", got)
	}
}
