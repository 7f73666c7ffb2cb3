package tensors

import (
	"encoding/binary"
	"fmt"
)

// splitTexts reads n elements of BYTES: four bytes of length each, then as many.
func splitTexts(raw []byte, n int) ([][]byte, error) {
	if n > len(raw)/4 {
		return nil, fmt.Errorf("%d bytes for %d texts: %w", len(raw), n, errTexts)
	}
	out := make([][]byte, n)
	for i := range out {
		if len(raw) < 4 {
			return nil, fmt.Errorf("text %d of %d: %w", i, n, errTexts)
		}
		size := binary.LittleEndian.Uint32(raw)
		raw = raw[4:]
		if uint64(size) > uint64(len(raw)) {
			return nil, fmt.Errorf("text %d of %d has %d bytes, %d are left", i, n, size, len(raw))
		}
		out[i], raw = raw[:size:size], raw[size:]
	}
	if len(raw) > 0 {
		return nil, fmt.Errorf("%d bytes follow the %d texts", len(raw), n)
	}
	return out, nil
}

// AppendRaw appends the elements as the binary extension and raw contents have
// them.
func (t Tensor) AppendRaw(b []byte) []byte {
	for _, text := range t.Texts {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return append(b, t.Raw...)
}

// rawSize is what AppendRaw appends.
func (t Tensor) rawSize() int {
	n := len(t.Raw)
	for _, text := range t.Texts {
		n += 4 + len(text)
	}
	return n
}

// rawBytes is AppendRaw, without a copy where there need be none.
func (t Tensor) rawBytes() []byte {
	if t.Texts == nil && t.Raw != nil {
		return t.Raw
	}
	return t.AppendRaw(make([]byte, 0, t.rawSize()))
}
