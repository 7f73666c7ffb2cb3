package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var sample = []Named{
	{"encoder.0.kernel", tensor.From([]float32{1, -2, 3.5, 4, 5, 6}, 2, 3)},
	{"encoder.0.bias", tensor.From([]float32{0.25}, 1)},
	{"empty", tensor.New(0, 3)},
	{"scalar", tensor.From([]float32{7})},
}

func encode(t testing.TB, tensors []Named, metadata map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Encode(&b, tensors, metadata); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// raw is a file with the given header text and payload.
func raw(header string, payload int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	return append(b, make([]byte, payload)...)
}

func decode(b []byte) (*File, error) { return Decode(bytes.NewReader(b), int64(len(b))) }

func TestWriteRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "w.safetensors")
	metadata := map[string]string{"format": "pt", "b": "2", "a": "\"quoted\"\n"}
	if err := Write(path, sample, metadata); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(f.Metadata, metadata) {
		t.Errorf("metadata %v, want %v", f.Metadata, metadata)
	}
	if len(f.Tensors) != len(sample) {
		t.Fatalf("%d tensors, want %d", len(f.Tensors), len(sample))
	}
	for i, n := range sample {
		got := f.Tensors[i]
		if got.Name != n.Name || !got.Tensor.Shape.Equal(n.Tensor.Shape) {
			t.Errorf("tensor %d is %s %v, want %s %v", i, got.Name, got.Tensor.Shape, n.Name, n.Tensor.Shape)
		}
		for j, v := range n.Tensor.Data {
			if got.Tensor.Data[j] != v {
				t.Errorf("%s[%d] = %v, want %v", n.Name, j, got.Tensor.Data[j], v)
			}
		}
	}
	if _, ok := f.Get("absent"); ok {
		t.Error("Get found an absent tensor")
	}
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, encode(t, f.Tensors, f.Metadata)) {
		t.Error("writing what was read gives other bytes")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%d files beside the target (%v), want it alone", len(left), err)
	}
}

func TestCheckFinite(t *testing.T) {
	f := &File{Tensors: []Named{{"w", tensor.From([]float32{0, float32(math.NaN())}, 2)}}}
	if err := f.CheckFinite(); err == nil || !strings.Contains(err.Error(), `"w": element 1 is NaN`) {
		t.Errorf("got %v", err)
	}
}

func TestRefused(t *testing.T) {
	good := encode(t, sample, nil)
	for _, c := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "truncated: 0 bytes"},
		{"short header", good[:20], "truncated: the header claims"},
		{"truncated data", good[:len(good)-1], "truncated or wrong"},
		{"trailing bytes", append(bytes.Clone(good), 0), "1 trailing bytes"},
		{"huge header", binary.LittleEndian.AppendUint64(nil, 1<<60), "want at most"},
		{"not json", raw("hello", 0), "header"},
		{"array", raw("[]", 0), "want {"},
		{"after the object", raw("{} {}", 0), "trailing bytes after the JSON"},
		{"dtype", raw(`{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}`, 8), `tensor "w" has dtype "F64", want F32`},
		{"repeated name", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), `"w" appears twice`},
		{"overlap", raw(`{"v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), `tensor "w" overlaps`},
		{"hole", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`, 8), "hole of 4 bytes"},
		{"shape", raw(`{"w":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "does not fit its 8 bytes"},
		{"shape overflows", raw(`{"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0), "does not fit its 0 bytes"},
		{"negative", raw(`{"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`, 4), "non-negative"},
		{"fraction", raw(`{"w":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}`, 4), "non-negative integer"},
		{"reversed", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`, 4), "spans bytes 4 to 0"},
		{"missing field", raw(`{"w":{"dtype":"F32","shape":[1]}}`, 4), "want dtype, shape and data_offsets"},
		{"unknown field", raw(`{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}}`, 4), "unknown field"},
		{"metadata", raw(`{"__metadata__":{"a":1}}`, 0), "want a string"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := decode(c.file)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	one := tensor.New(1)
	for name, tensors := range map[string][]Named{
		"taken":    {{"a", one}, {"a", one}},
		"reserved": {{"__metadata__", one}},
		"encoding": {{"\xff", one}},
		"shape":    {{"a", &tensor.Tensor{Shape: tensor.Shape{2}, Data: []float32{1}}}},
	} {
		if err := Encode(&bytes.Buffer{}, tensors, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := Write(filepath.Join(t.TempDir(), "absent", "w"), sample, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(f, sample, nil))
	f.Add(encode(f, nil, map[string]string{"k": "v"}))
	f.Add(raw(`{"w":{"dtype":"F32","shape":[0,9],"data_offsets":[0,0]}}`, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := decode(b)
		if err != nil {
			return
		}
		again, err := decode(encode(t, file.Tensors, file.Metadata))
		if err != nil {
			t.Fatalf("rewritten file: %v", err)
		}
		if len(again.Tensors) != len(file.Tensors) {
			t.Fatalf("%d tensors, want %d", len(again.Tensors), len(file.Tensors))
		}
	})
}
