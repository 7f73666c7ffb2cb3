package cli

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// head is that of a request.
func head(name string, size uint64) []byte {
	return binary.LittleEndian.AppendUint64(append([]byte{byte(len(name))}, name...), size)
}

func TestReadRequest(t *testing.T) {
	whole := head("npy", 300)
	name, size, err := readRequest(bytes.NewReader(whole))
	if name != "npy" || size != 300 || err != nil {
		t.Errorf("%q, %d, %v", name, size, err)
	}
	if _, _, err := readRequest(strings.NewReader("")); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
	for n := 1; n < len(whole); n++ {
		if _, _, err := readRequest(bytes.NewReader(whole[:n])); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if _, _, err := readRequest(bytes.NewReader(head("npy", 1<<63))); err == nil || !strings.Contains(err.Error(), "a request of") {
		t.Errorf("a length that no file has: %v", err)
	}
}

func TestWriteAnswer(t *testing.T) {
	var b bytes.Buffer
	if err := writeAnswer(&b, 'X', []byte("no")); err != nil || b.String() != "X\x02\x00\x00\x00\x00\x00\x00\x00no" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
