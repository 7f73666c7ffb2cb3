package dataset

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func batch() []Array {
	return []Array{
		{Name: "rows", Shape: tensor.Shape{3}, Data: []int{4, 0, 17}},
		{Name: "x", Shape: tensor.Shape{3, 2}, Data: []float32{0, 0.25, -1, 3e8, 1e-9, 7}},
	}
}

// What is stored is pinned to the byte. What is deflated depends on Go's
// compress/flate too, so only its content is compared.
func TestWriteNPZStoredBytes(t *testing.T) {
	const want = "3f08162a9045d4586bb0bd71665f3c69818764388abf1644e9ca22c515157863"
	var stored, deflated bytes.Buffer
	if err := WriteNPZStored(&stored, batch()); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(stored.Bytes())); got != want {
		t.Errorf("sha256 %s, want %s", got, want)
	}
	if err := WriteNPZ(&deflated, batch()); err != nil {
		t.Fatal(err)
	}
	a, b := entries(t, stored.Bytes(), zip.Store), entries(t, deflated.Bytes(), zip.Deflate)
	for name, content := range a {
		if !bytes.Equal(content, b[name]) {
			t.Errorf("%s: %d bytes stored, %d other ones deflated", name, len(content), len(b[name]))
		}
	}
	if len(a) != 2 || len(b) != 2 {
		t.Errorf("%d and %d entries, want 2", len(a), len(b))
	}
}

// entries are the unpacked entries of a .npz, all packed by method.
func entries(t *testing.T, file []byte, method uint16) map[string][]byte {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, f := range z.File {
		if f.Method != method {
			t.Errorf("%s: method %d, want %d", f.Name, f.Method, method)
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		if out[f.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// full is a disk with room for so many bytes.
type full int

var errFull = errors.New("no space left on device")

func (f *full) Write(b []byte) (int, error) {
	n := min(len(b), int(*f))
	*f -= full(n)
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

// A full disk is told wherever it happens, the directory at the end included.
func TestWriteNPZTellsWriteErrors(t *testing.T) {
	var whole bytes.Buffer
	if err := WriteNPZStored(&whole, batch()); err != nil {
		t.Fatal(err)
	}
	for _, room := range []int{0, 1, 100, whole.Len() / 2, whole.Len() - 1} {
		f := full(room)
		if err := WriteNPZStored(&f, batch()); !errors.Is(err, errFull) {
			t.Errorf("room for %d of %d bytes: %v", room, whole.Len(), err)
		}
	}
}

func TestWriteNPZRefusesNames(t *testing.T) {
	for _, bad := range [][]Array{
		{{Name: "", Data: "s"}},
		{{Name: "a/b", Data: "s"}},
		{{Name: `a\b`, Data: "s"}},
		{{Name: "a", Data: "s"}, {Name: "a", Data: "s"}},
	} {
		for _, write := range []func(io.Writer, []Array) error{WriteNPZ, WriteNPZStored} {
			if err := write(io.Discard, bad); err == nil {
				t.Errorf("names of %+v were written", bad)
			}
		}
	}
}
