package arrow

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// trusted is how much of a body that a message claims is allocated before its
// bytes come, where nobody knows how many there are.
const trusted = 8 << 20

// messages reads the messages of a stream: an ipc.MessageReader that checks
// what the decoder believes.
type messages struct {
	in     *bufio.Reader
	memory *allocator
	most   int64 // bytes of a body
	known  bool  // in has as many
	begun  bool
	failed error // why no message came, in our words
	last   *ipc.Message
}

// Message implements ipc.MessageReader: the next message, valid until the next
// call; io.EOF is the end that a stream marks, or leaves out.
func (m *messages) Message() (*ipc.Message, error) {
	next, err := m.read()
	if err != nil {
		if !errors.Is(err, io.EOF) {
			m.failed = err
		}
		return nil, err
	}
	m.Release()
	m.last = next
	return next, nil
}

// read reads a message.
func (m *messages) read() (*ipc.Message, error) {
	meta, err := m.metadata()
	if err != nil {
		return nil, err
	}
	length, err := checkMessage(meta, !m.begun)
	if err != nil {
		return nil, err
	}
	m.begun = true
	if length < 0 || length > m.most {
		return nil, fmt.Errorf("a body of %d bytes, want 0 to %d", length, m.most)
	}
	body := memory.NewResizableBuffer(m.memory)
	defer body.Release()
	if err := m.fill(body, int(length)); err != nil {
		return nil, err
	}
	return ipc.NewMessage(memory.NewBufferBytes(meta), body), nil
}

// metadata reads the metadata of the next message.
func (m *messages) metadata() ([]byte, error) {
	name := "metadata"
	if !m.begun {
		name = "schema"
	}
	var prefix [4]byte
	if _, err := io.ReadFull(m.in, prefix[:]); err != nil {
		if errors.Is(err, io.EOF) && m.begun {
			return nil, io.EOF
		}
		return nil, cut(err, "truncated: no "+name)
	}
	if string(prefix[:]) == Continuation {
		if _, err := io.ReadFull(m.in, prefix[:]); err != nil {
			return nil, cut(err, "truncated: no "+name)
		}
	}
	size := int64(int32(binary.LittleEndian.Uint32(prefix[:])))
	if size == 0 && m.begun {
		return nil, io.EOF
	}
	if size < 8 || size > maxMetadata {
		if !m.begun {
			return nil, fmt.Errorf("a schema of %d bytes, want 8 to %d: not Arrow's IPC format", size, maxMetadata)
		}
		return nil, fmt.Errorf("metadata of %d bytes, want 8 to %d", size, maxMetadata)
	}
	meta, err := io.ReadAll(io.LimitReader(m.in, size))
	if err == nil && int64(len(meta)) < size {
		err = fmt.Errorf("truncated: the %s does not end", name)
	}
	return meta, err
}

// fill reads the n bytes of a body, and grows with those that came.
func (m *messages) fill(body *memory.Buffer, n int) error {
	have := 0
	for have < n {
		next := n
		if !m.known {
			next = min(n, max(2*have, trusted))
		}
		body.Resize(next)
		got, err := io.ReadFull(m.in, body.Bytes()[have:])
		if have += got; err != nil {
			return cut(err, fmt.Sprintf("truncated: %d of %d bytes of the body", have, n))
		}
	}
	return nil
}

// cut says that the input ends where it may not; other errors stay.
func cut(err error, told string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New(told)
	}
	return err
}

// Retain implements ipc.MessageReader: a table has one owner.
func (m *messages) Retain() {}

// Release implements ipc.MessageReader.
func (m *messages) Release() {
	if m.last != nil {
		m.last.Release()
		m.last = nil
	}
}
