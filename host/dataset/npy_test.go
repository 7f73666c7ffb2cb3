package dataset

import (
	"bytes"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// fixture is a file of testdata, written by testdata/make.py with NumPy.
func fixture(name string) string { return filepath.Join("testdata", name) }

func TestReadNPYFile(t *testing.T) {
	for _, c := range []struct {
		file  string
		value func(i int) float32 // of arange(24).reshape(4, 2, 3)
	}{
		{"f4.npy", func(i int) float32 { return float32(i) }},
		{"f8big.npy", func(i int) float32 { return float32(i) }},
		{"f2.npy", func(i int) float32 { return float32(i) / 4 }},
		{"u1.npy", func(i int) float32 { return float32(i) }},
		{"i2.npy", func(i int) float32 { return float32(i) - 12 }},
		{"bool.npy", func(i int) float32 { return float32((i + 1) % 2) }},
		{"fortran.npy", func(i int) float32 { return float32(i) }},
		{"v2.npy", func(i int) float32 { return float32(i) }},
		{"v3.npy", func(i int) float32 { return float32(i) }},
	} {
		t.Run(c.file, func(t *testing.T) {
			a, err := ReadNPYFile(fixture(c.file))
			if err != nil {
				t.Fatal(err)
			}
			if !a.Shape.Equal(tensor.Shape{4, 2, 3}) {
				t.Fatalf("shape %v, want 4×2×3", a.Shape)
			}
			whole, err := a.Floats()
			if err != nil {
				t.Fatal(err)
			}
			d := byRows(t, fixture(c.file))
			for i := range 24 {
				if want := c.value(i); whole[i] != want || d.X.Data[i] != want {
					t.Errorf("element %d = %v whole, %v by rows, want %v", i, whole[i], d.X.Data[i], want)
				}
			}
		})
	}
}

// byRows reads an array of numbers row by row.
func byRows(t *testing.T, path string) *Data {
	t.Helper()
	c, err := OpenContent(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	r, err := NewNPY(c)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestReadNPYText(t *testing.T) {
	for file, want := range map[string][]string{
		"names.npy": {"cat", "äpfel", "b", "cat"},
		"bytes.npy": {"cat", "ab", "b", "cat"},
	} {
		a, err := ReadNPYFile(fixture(file))
		if err != nil || !reflect.DeepEqual(a.Data, want) {
			t.Errorf("%s = %v, %v, want %v", file, a.Data, err, want)
		}
	}
	a, err := ReadNPYFile(fixture("names.npy"))
	if err != nil {
		t.Fatal(err)
	}
	labels, classes, err := a.labels("names.npy", 4)
	if err != nil || !reflect.DeepEqual(labels, []int{1, 2, 0, 1}) || len(classes) != 3 {
		t.Errorf("labels %v of %v, %v", labels, classes, err)
	}
}

func TestHalfFloat(t *testing.T) {
	for bits, want := range map[uint16]float64{
		0x3c00: 1, 0xc000: -2, 0x0001: math.Ldexp(1, -24), 0x7bff: 65504, 0x3555: 0.333251953125,
	} {
		if got := halfFloat(bits); got != want {
			t.Errorf("halfFloat(%#x) = %v, want %v", bits, got, want)
		}
	}
	if !math.IsInf(halfFloat(0xfc00), -1) || !math.IsNaN(halfFloat(0x7e00)) {
		t.Error("infinity or NaN lost")
	}
}

func arrays() []Array {
	return []Array{
		{"x", tensor.Shape{2, 2}, []float32{1, 2, 3, 4}},
		{"d", tensor.Shape{1}, []float64{0.1}},
		{"y", tensor.Shape{2}, []int64{-1, 1 << 60}},
		{"success", tensor.Shape{2}, []bool{true, false}},
		{"u", tensor.Shape{3}, []byte{0, 7, 255}},
		{"meta", nil, `{"a": 1}`},
		{"none", tensor.Shape{0, 5}, []float32{}},
	}
}

func TestWriteNPZ(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.npz")
	if err := WriteNPZFile(path, arrays()); err != nil {
		t.Fatal(err)
	}
	got, err := ReadNPZ(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range arrays() {
		if s, ok := want.Data.(string); ok {
			want.Data = []string{s}
		}
		if got[i].Name != want.Name || !got[i].Shape.Equal(want.Shape) || !reflect.DeepEqual(got[i].Data, want.Data) {
			t.Errorf("array %d = %+v, want %+v", i, got[i], want)
		}
	}
	var a, b bytes.Buffer
	if err := WriteNPZ(&a, arrays()); err != nil {
		t.Fatal(err)
	}
	if err := WriteNPZ(&b, arrays()); err != nil || !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Errorf("two writes differ (%v)", err)
	}
	if err := WriteNPZ(&b, []Array{{"../x", nil, "s"}}); err == nil {
		t.Error("a name with a slash was written")
	}
}

// npy is a .npy file with the given header text and bytes.
func npy(header string, payload int) []byte {
	b := []byte(npyMagic + "\x01\x00")
	b = append(b, byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), make([]byte, payload)...)
}

func TestNPYRefused(t *testing.T) {
	for _, c := range []struct {
		name, header string
		payload      int
		want         string
	}{
		{"truncated", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 15, "truncated"},
		{"trailing", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }", 17, "trailing bytes"},
		{"object", "{'descr': '|O', 'fortran_order': False, 'shape': (2,), }", 16, "element type"},
		{"structured", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }", 16, "structured"},
		{"complex", "{'descr': '<c8', 'fortran_order': False, 'shape': (2,), }", 16, "element type"},
		{"overflow", "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, "more than"},
		{"negative", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 0, "want"},
		{"repeated", "{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }", 4, "appears twice"},
		{"missing", "{'descr': '<f4', 'shape': (1,), }", 4, "want descr"},
		{"unknown", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}", 4, "unknown key"},
		{"after", "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } 1", 4, "text after"},
		{"huge", "{'descr': '<f4', 'fortran_order': False, 'shape': (999999999,), }", 4, "truncated"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := ReadNPY(bytes.NewReader(npy(c.header, c.payload)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
