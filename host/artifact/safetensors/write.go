package safetensors

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/vaeguard/vaeguard/host/atomicfile"
)

// Write writes the tensors in the given order to path, replacing what was
// there: into a temporary file beside it that is synced and renamed, so that a
// crash leaves the old file or the new one. Equal arguments give equal bytes.
// metadata may be nil.
func Write(path string, tensors []Named, metadata map[string]string) error {
	err := atomicfile.Write(path, func(f *os.File) error { return Encode(f, tensors, metadata) })
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

// Encode writes the tensors in the given order to w. Names must be distinct,
// valid UTF-8 and not __metadata__.
func Encode(w io.Writer, tensors []Named, metadata map[string]string) error {
	header, err := formatHeader(tensors, metadata)
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	b := bufio.NewWriterSize(w, 1<<16)
	var length [8]byte
	binary.LittleEndian.PutUint64(length[:], uint64(len(header)))
	// A bufio.Writer keeps its first error: Flush returns it.
	_, _ = b.Write(length[:])
	_, _ = b.Write(header)
	var word [4]byte
	for _, n := range tensors {
		for _, v := range n.Tensor.Data {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			_, _ = b.Write(word[:])
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

// formatHeader writes the JSON header, padded with spaces to a multiple of 8
// so that the numbers after it are aligned.
func formatHeader(tensors []Named, metadata map[string]string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	if metadata != nil {
		b.WriteString(`"` + metadataKey + `":{`)
		for i, k := range slices.Sorted(maps.Keys(metadata)) {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeStrings(&b, k, metadata[k]); err != nil {
				return nil, fmt.Errorf("metadata %q: %w", k, err)
			}
		}
		b.WriteByte('}')
	}
	seen := map[string]bool{metadataKey: true}
	at := int64(0)
	for i, n := range tensors {
		if seen[n.Name] {
			return nil, fmt.Errorf("tensor name %q is taken", n.Name)
		}
		seen[n.Name] = true
		if n.Tensor.Shape.Size() != len(n.Tensor.Data) || len(n.Tensor.Shape) > maxRank {
			return nil, fmt.Errorf("tensor %q: shape %v does not fit %d numbers", n.Name, n.Tensor.Shape, len(n.Tensor.Data))
		}
		if i > 0 || metadata != nil {
			b.WriteByte(',')
		}
		name, err := quote(n.Name)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", n.Name, err)
		}
		shape := []int(n.Tensor.Shape)
		if shape == nil {
			shape = []int{}
		}
		dims, err := json.Marshal(shape)
		if err != nil {
			return nil, err
		}
		end := at + 4*int64(len(n.Tensor.Data))
		fmt.Fprintf(&b, `%s:{"dtype":"%s","shape":%s,"data_offsets":[%d,%d]}`, name, dtype, dims, at, end)
		at = end
	}
	b.WriteByte('}')
	for b.Len()%8 != 0 {
		b.WriteByte(' ')
	}
	if b.Len() > maxHeader {
		return nil, fmt.Errorf("the header has %d bytes, want at most %d", b.Len(), maxHeader)
	}
	return b.Bytes(), nil
}

func writeStrings(b *bytes.Buffer, key, value string) error {
	k, err := quote(key)
	if err != nil {
		return err
	}
	v, err := quote(value)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "%s:%s", k, v)
	return nil
}

func quote(s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errors.New("not valid UTF-8")
	}
	return json.Marshal(s)
}
