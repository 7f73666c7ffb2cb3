// Package safetensors reads and writes named float32 tensors in the
// safetensors format: a length, a JSON header of names, shapes and offsets,
// then the numbers, little-endian. Nothing in a file is ever executed.
//
// What is read is checked before memory is claimed for it: a header that
// promises more than the file holds is refused.
package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	// maxHeader bounds the JSON header in bytes: room for about 100,000 tensors.
	maxHeader = 16 << 20
	// maxRank bounds the dimensions of one tensor.
	maxRank = 16
	// dtype is the one element type: IEEE 754 binary32.
	dtype = "F32"
	// metadataKey is the header's key that is not a tensor.
	metadataKey = "__metadata__"
	// chunk is how many numbers are converted at a time.
	chunk = 1 << 14
)

// Named is one tensor and its name, such as encoder.0.kernel.
type Named struct {
	Name   string
	Tensor *tensor.Tensor
}

// File is the content of one safetensors file.
type File struct {
	Tensors  []Named           // in the order of their bytes in the file
	Metadata map[string]string // nil if the file has none
}

// Get returns the tensor of that name; ok is false if the file lacks it.
func (f *File) Get(name string) (t *tensor.Tensor, ok bool) {
	for _, n := range f.Tensors {
		if n.Name == name {
			return n.Tensor, true
		}
	}
	return nil, false
}

// CheckFinite returns an error that names the first NaN or infinite element.
func (f *File) CheckFinite() error {
	for _, n := range f.Tensors {
		for i, v := range n.Tensor.Data {
			if f64 := float64(v); math.IsNaN(f64) || math.IsInf(f64, 0) {
				return fmt.Errorf("safetensors: tensor %q: element %d is %v, want finite numbers", n.Name, i, v)
			}
		}
	}
	return nil
}

// Read reads the file at path. The error names the path and what is wrong:
// truncated or trailing bytes, overlapping or unordered tensors, shapes that
// do not fit their bytes, repeated names, another element type than F32.
func Read(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("safetensors: %s is not a regular file", path)
	}
	file, err := Decode(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return file, nil
}

// Decode reads the size bytes of r as one file. Errors are those of Read.
func Decode(r io.ReaderAt, size int64) (*File, error) {
	var head [8]byte
	if size < int64(len(head)) {
		return nil, fmt.Errorf("safetensors: truncated: %d bytes, want at least 8", size)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, fmt.Errorf("safetensors: reading the header's length: %w", err)
	}
	n := binary.LittleEndian.Uint64(head[:])
	if n > maxHeader {
		return nil, fmt.Errorf("safetensors: the header claims %d bytes, want at most %d", n, maxHeader)
	}
	if int64(n) > size-8 {
		return nil, fmt.Errorf("safetensors: truncated: the header claims %d bytes, %d follow", n, size-8)
	}
	text := make([]byte, n)
	if _, err := r.ReadAt(text, 8); err != nil && n > 0 {
		return nil, fmt.Errorf("safetensors: reading the header: %w", err)
	}
	start := 8 + int64(n)
	entries, metadata, err := parseHeader(text)
	if err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	if err := checkLayout(entries, size-start); err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	out := &File{Metadata: metadata, Tensors: make([]Named, len(entries))}
	buf := make([]byte, 4*chunk)
	for i, e := range entries {
		t := tensor.New(e.shape...)
		if err := readFloats(r, start+e.begin, t.Data, buf); err != nil {
			return nil, fmt.Errorf("safetensors: tensor %q: %w", e.name, err)
		}
		out.Tensors[i] = Named{Name: e.name, Tensor: t}
	}
	return out, nil
}

// readFloats fills dst from the bytes at offset.
func readFloats(r io.ReaderAt, offset int64, dst []float32, buf []byte) error {
	for len(dst) > 0 {
		n := min(len(dst), chunk)
		b := buf[:4*n]
		if got, err := r.ReadAt(b, offset); got < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		for i := range n {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		dst = dst[n:]
		offset += int64(4 * n)
	}
	return nil
}
