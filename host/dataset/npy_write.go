package dataset

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// WriteNPY writes one array in .npy format 1, C order, little-endian. The
// kinds of a.Data are those of Array. Texts are as wide as the longest of them,
// at most what ReadNPY takes; invalid UTF-8 becomes U+FFFD, and NumPy drops
// zeros at an end. The bytes depend on the arguments alone.
func WriteNPY(w io.Writer, a Array) error {
	descr, n, width := "", 0, 0
	switch data := a.Data.(type) {
	case []float32:
		descr, n = "<f4", len(data)
	case []float64:
		descr, n = "<f8", len(data)
	case []int64:
		descr, n = "<i8", len(data)
	case []int:
		descr, n = "<i8", len(data)
	case []bool:
		descr, n = "|b1", len(data)
	case []byte:
		descr, n = "|u1", len(data)
	case []string:
		if width = textWidth(data); width > maxText/4 {
			return fmt.Errorf("npy: a text of %d characters, want at most %d", width, maxText/4)
		}
		descr, n = "<U"+strconv.Itoa(width), len(data)
	case string:
		descr, n = "|S"+strconv.Itoa(len(data)), 1
	default:
		return fmt.Errorf("npy: cannot write %T", a.Data)
	}
	if a.Shape.Size() != n {
		return fmt.Errorf("npy: shape %v does not fit %d elements", a.Shape, n)
	}
	b := bufio.NewWriterSize(w, 1<<16)
	_, _ = b.WriteString(formatNPYHeader(descr, a.Shape))
	var word [8]byte
	switch data := a.Data.(type) {
	case []float32:
		for _, v := range data {
			binary.LittleEndian.PutUint32(word[:], math.Float32bits(v))
			_, _ = b.Write(word[:4])
		}
	case []float64:
		for _, v := range data {
			binary.LittleEndian.PutUint64(word[:], math.Float64bits(v))
			_, _ = b.Write(word[:])
		}
	case []int64:
		for _, v := range data {
			binary.LittleEndian.PutUint64(word[:], uint64(v))
			_, _ = b.Write(word[:])
		}
	case []int:
		for _, v := range data {
			binary.LittleEndian.PutUint64(word[:], uint64(v))
			_, _ = b.Write(word[:])
		}
	case []bool:
		for _, v := range data {
			c := byte(0)
			if v {
				c = 1
			}
			_ = b.WriteByte(c)
		}
	case []byte:
		_, _ = b.Write(data)
	case []string:
		for _, text := range data {
			left := width
			for _, r := range text {
				binary.LittleEndian.PutUint32(word[:], uint32(r))
				_, _ = b.Write(word[:4])
				left--
			}
			clear(word[:])
			for range left {
				_, _ = b.Write(word[:4])
			}
		}
	case string:
		_, _ = b.WriteString(data)
	}
	if err := b.Flush(); err != nil { // the writer's first error
		return fmt.Errorf("npy: %w", err)
	}
	return nil
}

// textWidth is the number of characters of the longest text, at least one.
func textWidth(texts []string) int {
	width := 1
	for _, s := range texts {
		width = max(width, utf8.RuneCountInString(s))
	}
	return width
}

// formatNPYHeader pads with spaces so that the numbers start at a multiple of
// 64 bytes, as NumPy does.
func formatNPYHeader(descr string, shape []int) string {
	dims := make([]string, len(shape))
	for i, d := range shape {
		dims[i] = strconv.Itoa(d)
	}
	tuple := strings.Join(dims, ", ")
	if len(dims) == 1 {
		tuple += ","
	}
	text := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", descr, tuple)
	const fixed = len(npyMagic) + 4 // magic, version, length
	pad := 63 - (fixed+len(text))%64
	text += strings.Repeat(" ", pad) + "\n"
	return npyMagic + "\x01\x00" + string(binary.LittleEndian.AppendUint16(nil, uint16(len(text)))) + text
}
