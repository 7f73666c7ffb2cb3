// Package arrow reads tables of numbers and text from Apache Arrow's IPC
// format, stream or file, a row at a time.
package arrow

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

const (
	// maxMetadata bounds the metadata of one message, in bytes.
	maxMetadata = 16 << 20
	// maxBatch bounds the bytes of one batch, also unpacked.
	maxBatch = 4 << 30
	// A batch of a file of n bytes unpacks to at most spare + ratio·n bytes.
	spare, ratio = 128 << 20, 64
	// maxRows bounds the rows of one batch: a column of nulls claims as many as it
	// likes in no bytes.
	maxRows = 1 << 24
)

// Magic are the first bytes of a file; those of a stream begin with
// Continuation.
const (
	Magic        = "ARROW1"
	Continuation = "\xff\xff\xff\xff"
)

// Column is one column of the table.
type Column struct {
	Name     string
	Text     bool   // holds strings
	Binary   bool   // holds strings of bytes: Text that AsBytes makes lists of numbers
	List     bool   // holds any number of values a row
	Size     int    // of lists of one length: that
	Shape    []int  // of lists of one length in such, and of tensors; nil: flat
	Bytes    bool   // its numbers are bytes without a sign
	Whole    bool   // its numbers are whole ones of 64 bits
	Unsigned bool   // they have no sign
	Reject   string // why its values are neither numbers nor text, or empty
}

// ErrBatchEnd is what Next gives after the last row of a batch, also of one
// without rows.
var ErrBatchEnd = errors.New("the batch ends")

// Table reads the rows of one stream in order.
type Table struct {
	in      *bufio.Reader
	ipc     *ipc.Reader
	file    bool
	columns []Column
	batch   arrow.RecordBatch
	dense   []dense // of batch, for Numbers; nil: not looked for
	at      int64   // next row of batch
	number  int     // of batches read
	cells   []Cell
	visited int // values and lists of the row at hand
	ended   bool
	memory  *allocator
	wire    *messages
}

// Open reads the schema. most bounds the bytes that in has, -1 if unknown.
func Open(in *bufio.Reader, most int64) (t *Table, err error) {
	defer recovered(&err)
	t = &Table{in: in}
	head, err := in.Peek(len(Magic))
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return nil, err
	case len(head) == 0:
		return nil, errors.New("empty")
	case string(head) == Magic:
		t.file = true
		if _, err := in.Discard(8); err != nil { // padded
			return nil, errors.New("truncated")
		}
	case bytes.HasPrefix(head, []byte("FEA1")):
		return nil, errors.New("file of Feather's version 1: write version 2, which is Arrow's IPC format")
	}
	unpacked := int64(maxBatch)
	known := most >= 0
	if !known || most > maxBatch {
		most = maxBatch
	} else {
		unpacked = min(unpacked, spare+ratio*most)
	}
	t.memory = &allocator{most: unpacked}
	t.wire = &messages{in: in, memory: t.memory, most: most, known: known}
	t.ipc, err = ipc.NewReaderFromMessageReader(t.wire, ipc.WithAllocator(t.memory))
	if err != nil {
		return nil, cmp.Or(t.wire.failed, err)
	}
	for _, f := range t.ipc.Schema().Fields() {
		t.columns = append(t.columns, describe(f))
	}
	return t, nil
}

// Columns are those of the schema. The slice must not be changed.
func (t *Table) Columns() []Column { return t.columns }

// Metadata is the value of a key of the schema, empty if there is none.
func (t *Table) Metadata(key string) string {
	m := t.ipc.Schema().Metadata()
	v, _ := m.GetValue(key)
	return v
}

// AsBytes makes a Binary column one of lists of bytes, of any number a row.
func (t *Table) AsBytes(column int) {
	c := &t.columns[column]
	c.Text, c.List, c.Bytes, c.Reject = false, true, true, ""
}

// Next is the next row, its cells by column and, in a list, in order;
// ErrBatchEnd stands between batches and after the last, io.EOF ends. The cells
// are valid until the next call. Other errors are final.
func (t *Table) Next() (cells []Cell, err error) {
	defer recovered(&err)
	if t.batch == nil {
		if err := t.fill(); err != nil {
			return nil, err
		}
	}
	if t.at == t.batch.NumRows() {
		t.batch = nil
		return nil, ErrBatchEnd
	}
	t.cells, t.visited = t.cells[:0], 0
	for i := range t.columns {
		if t.columns[i].Reject != "" {
			t.cells = append(t.cells, Cell{Column: i, Null: true})
			continue
		}
		if err := t.add(i, t.batch.Column(i), int(t.at)); err != nil {
			return nil, err
		}
	}
	t.at++
	return t.cells, nil
}

// fill reads the next batch.
func (t *Table) fill() error {
	if t.ended {
		return io.EOF
	}
	t.batch = nil
	if !t.ipc.Next() {
		if err := t.ipc.Err(); err != nil {
			return fmt.Errorf("batch %d: %w", t.number, cmp.Or(t.wire.failed, err))
		}
		t.ended = true
		return t.footer()
	}
	t.batch, t.at, t.dense = t.ipc.RecordBatch(), 0, nil
	t.number++
	if n := t.batch.NumRows(); n < 0 || n > maxRows {
		return fmt.Errorf("a batch of %d rows, want at most %d: write smaller ones", n, maxRows)
	}
	return nil
}

// footer reads what follows the batches: of a file that it ends as one.
func (t *Table) footer() error {
	var tail []byte
	for {
		b, err := t.in.Peek(1)
		if err == nil {
			b, err = t.in.Peek(t.in.Buffered())
		}
		if len(b) == 0 {
			if !errors.Is(err, io.EOF) {
				return err
			}
			break
		}
		tail = append(tail, b...)
		tail = tail[max(0, len(tail)-len(Magic)):]
		if _, err := t.in.Discard(len(b)); err != nil {
			return err
		}
		if !t.file {
			return errors.New("trailing bytes after the end of the stream")
		}
	}
	if t.file && string(tail) != Magic {
		return errors.New("truncated: the footer does not end")
	}
	return io.EOF
}

// Close releases the batch at hand.
func (t *Table) Close() (err error) {
	defer recovered(&err)
	t.ipc.Release()
	return nil
}

// recovered turns a panic of the decoder over a corrupt file into an error.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("corrupt file: %.200v", p)
	}
}

// allocator claims memory up to a bound: what is packed may claim any size.
type allocator struct{ used, most int64 }

func (a *allocator) claim(n int) {
	if n < 0 || a.used > a.most-int64(n) {
		panic(fmt.Sprintf("%d bytes more for one batch, want at most %d: write smaller ones", n, a.most))
	}
	a.used += int64(n)
}

// Allocate implements memory.Allocator.
func (a *allocator) Allocate(n int) []byte {
	a.claim(n)
	return make([]byte, n)
}

// Reallocate implements memory.Allocator.
func (a *allocator) Reallocate(n int, b []byte) []byte {
	if n <= cap(b) {
		return b[:n]
	}
	a.claim(n)
	out := make([]byte, n)
	copy(out, b)
	a.Free(b)
	return out
}

// Free implements memory.Allocator.
func (a *allocator) Free(b []byte) { a.used = max(0, a.used-int64(cap(b))) }

// exact reports whether float64 holds a number exactly.
func exact(i int64) bool { return i <= 1<<53 && i >= -1<<53 }

var nan = math.NaN()
