package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
)

// spool keeps rows in a temporary file, to be read in any order. A row takes a
// byte a number where that loses nothing: whole numbers from 0 to 255, and those
// divided by 255, as images are; else four. Rows may differ in length.
type spool struct {
	f      *os.File
	w      *bufio.Writer
	dir    string
	name   string // of what it holds, for errors
	left   string // the path, where an open file cannot be removed
	size   int64
	ends   []int64    // of each row in the file, and its code in the lowest bits
	shapes [][3]int32 // of each row; nil: none has one
	buf    []byte
	row    []float32
}

// The codes of a row.
const (
	codeFloat = iota // four bytes a number
	codeByte         // v
	codeUnit         // v·255
	codeBits  = 2
)

// newSpool makes the file in dir, "" for the system's folder of temporary files.
// It is gone with the process, however that ends, where the system permits.
func newSpool(dir, name string) (*spool, error) {
	if dir == "" {
		dir = os.TempDir()
	}
	f, err := os.CreateTemp(dir, ".vaeguard-rows-*")
	if err != nil {
		return nil, fmt.Errorf("%s: a temporary file for its rows: %w", name, err)
	}
	s := &spool{f: f, w: bufio.NewWriterSize(f, 1<<18), dir: dir, name: name}
	if os.Remove(f.Name()) != nil {
		s.left = f.Name()
	}
	return s, nil
}

// add appends a row, with its shape if it has one.
func (s *spool) add(row []float32, shape [3]int) error {
	code := s.encode(row)
	if _, err := s.w.Write(s.buf); err != nil {
		return s.full(err)
	}
	s.size += int64(len(s.buf))
	s.ends = append(s.ends, s.size<<codeBits|int64(code))
	if shape != [3]int{} {
		s.shapes = append(s.shapes, [3]int32{int32(shape[0]), int32(shape[1]), int32(shape[2])})
	}
	return nil
}

func (s *spool) full(err error) error {
	return fmt.Errorf("%s: the temporary file of its rows in %s, after %d rows (%d MiB): %w", s.name, s.dir, len(s.ends), s.size>>20, err)
}

// flush ends the adding.
func (s *spool) flush() error {
	if err := s.w.Flush(); err != nil {
		return s.full(err)
	}
	s.w = nil
	return nil
}

// encode writes a row to buf.
func (s *spool) encode(row []float32) int {
	s.buf = s.buf[:0]
	if s.bytes(row, 1) {
		return codeByte
	}
	if s.bytes(row, 255) {
		return codeUnit
	}
	s.buf = s.buf[:0]
	for _, v := range row {
		s.buf = binary.LittleEndian.AppendUint32(s.buf, math.Float32bits(v))
	}
	return codeFloat
}

// bytes writes v·white to buf if v can be told from that to the last bit.
func (s *spool) bytes(row []float32, white float32) bool {
	s.buf = s.buf[:0]
	for _, v := range row {
		if !(v >= 0 && v <= 255/white) {
			return false
		}
		b := byte(v*white + .5)
		if math.Float32bits(float32(b)/white) != math.Float32bits(v) {
			return false
		}
		s.buf = append(s.buf, b)
	}
	return true
}

// At implements RandomAccess.
func (s *spool) At(dst []float32, i int) error {
	n, code, err := s.read(i)
	if err != nil {
		return err
	}
	if n != len(dst) {
		return fmt.Errorf("a row of %d numbers, want %d", n, len(dst))
	}
	s.decode(dst, code)
	return nil
}

// image is row i with its shape, valid until the next.
func (s *spool) image(i int) ([]float32, [3]int, error) {
	n, code, err := s.read(i)
	if err != nil {
		return nil, [3]int{}, err
	}
	if cap(s.row) < n {
		s.row = make([]float32, n)
	}
	s.row = s.row[:n]
	s.decode(s.row, code)
	h := s.shapes[i]
	return s.row, [3]int{int(h[0]), int(h[1]), int(h[2])}, nil
}

// read reads row i into buf.
func (s *spool) read(i int) (numbers, code int, err error) {
	lo := int64(0)
	if i > 0 {
		lo = s.ends[i-1] >> codeBits
	}
	code = int(s.ends[i] & (1<<codeBits - 1))
	n := int(s.ends[i]>>codeBits - lo)
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	s.buf = s.buf[:n]
	if _, err := s.f.ReadAt(s.buf, lo); err != nil {
		return 0, 0, fmt.Errorf("the temporary file of rows in %s: %w", s.dir, err)
	}
	if code == codeFloat {
		n /= 4
	}
	return n, code, nil
}

func (s *spool) decode(dst []float32, code int) {
	switch code {
	case codeByte:
		for i := range dst {
			dst[i] = float32(s.buf[i])
		}
	case codeUnit:
		for i := range dst {
			dst[i] = float32(s.buf[i]) / 255
		}
	default:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(s.buf[4*i:]))
		}
	}
}

// Close removes the file.
func (s *spool) Close() error {
	err := s.f.Close()
	if s.left != "" {
		err = errors.Join(err, os.Remove(s.left))
	}
	return err
}
