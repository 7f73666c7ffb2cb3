package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	// maxStructs bounds the structs, texts and lists in the lists of what is written in
	// Thrift: a decoder claims up to 400 bytes for each, whose own may be one.
	maxStructs = 1 << 19
	// maxNested bounds how deep they stand in each other; the format needs 6.
	maxNested = 32
)

var errCut = errors.New("truncated, or longer than it says")

// thriftSize is the size of the first struct in b, by Thrift's compact protocol. The
// decoder believes every length that it reads and calls itself once a level; so
// both are held against what is there before.
func thriftSize(b []byte) (int, error) {
	w := walker{b: b}
	err := w.fields(0)
	return w.at, err
}

// walker walks a struct without decoding it.
type walker struct {
	b       []byte
	at      int
	structs int
}

// Types of the compact protocol.
const (
	tTrue = 1 + iota
	tFalse
	tByte
	tInt16
	tInt32
	tInt64
	tDouble
	tBinary
	tList
	tSet
	tMap
	tStruct
)

func (w *walker) byte() (byte, error) {
	if w.at >= len(w.b) {
		return 0, errCut
	}
	w.at++
	return w.b[w.at-1], nil
}

func (w *walker) varint() (uint64, error) {
	v, n := binary.Uvarint(w.b[min(w.at, len(w.b)):])
	if n <= 0 {
		return 0, errCut
	}
	w.at += n
	return v, nil
}

func (w *walker) skip(n uint64) error {
	if n > uint64(len(w.b)-w.at) {
		return errCut
	}
	w.at += int(n)
	return nil
}

func (w *walker) fields(depth int) error {
	if depth > maxNested {
		return fmt.Errorf("structs nested more than %d deep", maxNested)
	}
	for {
		head, err := w.byte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the number of the field follows
			if _, err := w.varint(); err != nil {
				return err
			}
		}
		if kind := head & 15; kind != tTrue && kind != tFalse {
			if err := w.value(kind, depth); err != nil {
				return err
			}
		}
	}
}

func (w *walker) value(kind byte, depth int) error {
	switch kind {
	case tTrue, tFalse, tByte: // in lists truth is a byte
		return w.skip(1)
	case tInt16, tInt32, tInt64:
		_, err := w.varint()
		return err
	case tDouble:
		return w.skip(8)
	case tBinary:
		n, err := w.varint()
		if err != nil {
			return err
		}
		return w.skip(n)
	case tList, tSet:
		head, err := w.byte()
		if err != nil {
			return err
		}
		n := uint64(head >> 4)
		if n == 15 {
			if n, err = w.varint(); err != nil {
				return err
			}
		}
		return w.items(n, depth, head&15)
	case tMap:
		n, err := w.varint()
		if err != nil || n == 0 {
			return err
		}
		head, err := w.byte()
		if err != nil {
			return err
		}
		return w.items(n, depth, head>>4, head&15)
	case tStruct:
		return w.fields(depth + 1)
	}
	return fmt.Errorf("a value of type %d", kind)
}

// items walks n times a value of each kind.
func (w *walker) items(n uint64, depth int, kinds ...byte) error {
	if depth > maxNested {
		return fmt.Errorf("lists nested more than %d deep", maxNested)
	}
	if n > uint64(len(w.b)-w.at) { // each has a byte or more
		return fmt.Errorf("a list claims %d values in %d bytes", n, len(w.b)-w.at)
	}
	for range n {
		for _, kind := range kinds {
			if kind >= tBinary {
				if w.structs++; w.structs > maxStructs {
					return fmt.Errorf("more than %d values in lists", maxStructs)
				}
			}
			if err := w.value(kind, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
