// Package tensors reads and writes the tensors of the Open Inference Protocol
// (KServe and Triton V2), in requests and in responses: JSON, nested or flat, and
// Triton's binary extension over REST; contents and raw contents over gRPC.
//
// What a message claims is checked against what it holds before memory is
// claimed: nothing here allocates more than some times the bytes that it is given.
package tensors

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Datatype is the type of a tensor's elements, as the protocol writes it.
type Datatype string

// The datatypes of the protocol.
const (
	Bool   Datatype = "BOOL"
	Uint8  Datatype = "UINT8"
	Uint16 Datatype = "UINT16"
	Uint32 Datatype = "UINT32"
	Uint64 Datatype = "UINT64"
	Int8   Datatype = "INT8"
	Int16  Datatype = "INT16"
	Int32  Datatype = "INT32"
	Int64  Datatype = "INT64"
	FP16   Datatype = "FP16" // IEEE 754 binary16
	BF16   Datatype = "BF16" // the upper half of an FP32
	FP32   Datatype = "FP32"
	FP64   Datatype = "FP64"
	Bytes  Datatype = "BYTES" // texts, or any bytes, each of its own length
)

// Datatypes are all of them.
func Datatypes() []Datatype {
	return []Datatype{Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, FP16, BF16, FP32, FP64, Bytes}
}

// Size is the bytes of one element: 0 for BYTES, −1 for what is no datatype.
func (d Datatype) Size() int {
	switch d {
	case Bool, Uint8, Int8:
		return 1
	case Uint16, Int16, FP16, BF16:
		return 2
	case Uint32, Int32, FP32:
		return 4
	case Uint64, Int64, FP64:
		return 8
	case Bytes:
		return 0
	}
	return -1
}

// Float reports whether elements are floating-point numbers.
func (d Datatype) Float() bool { return d == FP16 || d == BF16 || d == FP32 || d == FP64 }

// Signed reports whether elements are signed integers.
func (d Datatype) Signed() bool { return d == Int8 || d == Int16 || d == Int32 || d == Int64 }

// Tensor is one tensor of a request or response. One that was read may share the
// memory of what it was read from.
type Tensor struct {
	Name     string
	Datatype Datatype
	Shape    []int64
	// Raw are the elements in little-endian, row-major; of BYTES nil.
	Raw []byte
	// Texts are the elements of BYTES, row-major; of others nil.
	Texts      [][]byte
	Parameters Parameters // as the message has them, but for those of its encoding
}

// N is the number of elements.
func (t Tensor) N() int {
	if t.Datatype == Bytes {
		return len(t.Texts)
	}
	return len(t.Raw) / t.Datatype.Size()
}

// Limits bound what is believed. The zero value is the default.
type Limits struct {
	Elements int64 // of one tensor; 0: 2^28
	Tensors  int   // of one message; 0: 16,384, which is also the most
}

// maxTensors is the most inputs or outputs of a message.
const maxTensors = inference.MaxTensors

// maxDims is the most dimensions of a tensor.
const maxDims = 32

func (l Limits) elements() int64 {
	if l.Elements == 0 {
		return 1 << 28
	}
	return l.Elements
}

func (l Limits) tensors(n int) error {
	most := maxTensors
	if l.Tensors > 0 {
		most = min(most, l.Tensors)
	}
	if n > most {
		return fmt.Errorf("%d tensors, want at most %d", n, most)
	}
	return nil
}

// Error is what is wrong with one tensor.
type Error struct {
	Tensor string // its name
	Err    error
}

// Error implements error.
func (e *Error) Error() string { return "tensor " + Quote(e.Tensor) + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Quote is a name that somebody else chose, for an error: in quotes, of at most
// 100 characters.
func Quote(name string) string { return strconv.Quote(wire.Text(name, 100)) }

// check is what can be told of a tensor before its elements are looked at: their
// number.
func (l Limits) check(d Datatype, shape []int64) (int, error) {
	if d.Size() < 0 {
		return 0, fmt.Errorf("datatype %s, want one of %v", Quote(string(d)), Datatypes())
	}
	if len(shape) > maxDims {
		return 0, fmt.Errorf("%d dimensions, want at most %d", len(shape), maxDims)
	}
	most := l.elements()
	for _, n := range shape {
		if n < 0 {
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		}
	}
	if slices.Contains(shape, 0) {
		return 0, nil
	}
	n := uint64(1)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > uint64(most) || lo > math.MaxInt {
			return 0, fmt.Errorf("shape %v has more than %d elements", shape, most)
		}
		n = lo
	}
	return int(n), nil
}

// New is a tensor of raw bytes, or of the protocol's form of BYTES, which it may
// share. What does not fit is an *Error.
func New(name string, d Datatype, shape []int64, raw []byte, l Limits) (Tensor, error) {
	t := Tensor{Name: name, Datatype: d, Shape: shape}
	n, err := l.check(d, shape)
	if err == nil {
		err = t.takeRaw(n, raw)
	}
	if err != nil {
		return Tensor{}, &Error{name, err}
	}
	return t, nil
}

func (t *Tensor) takeRaw(n int, raw []byte) error {
	if t.Datatype == Bytes {
		var err error
		t.Texts, err = splitTexts(raw, n)
		return err
	}
	// no overflow: n is at most that of elements that are held anyway
	if size := t.Datatype.Size(); len(raw)%size != 0 || len(raw)/size != n {
		return fmt.Errorf("%d bytes for %s %v, which has %d elements of %d", len(raw), t.Datatype, t.Shape, n, size)
	}
	if t.Datatype == Bool {
		for i, b := range raw {
			if b > 1 {
				return fmt.Errorf("element %d of BOOL is %d, want 0 or 1", i, b)
			}
		}
	}
	t.Raw = raw
	return nil
}

var errTexts = errors.New("the bytes are no texts of four bytes of length each")
