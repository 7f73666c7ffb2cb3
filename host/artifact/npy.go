package artifact

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// npyMagic opens a .npy file of format 1.0.
const npyMagic = "\x93NUMPY\x01\x00"

// encodeNPY is a .npy file of float64, little-endian, C order: one row is a
// vector, several of equal length a matrix.
func encodeNPY(rows ...[]float64) []byte {
	shape := fmt.Sprintf("(%d,)", len(rows[0]))
	if len(rows) > 1 {
		shape = fmt.Sprintf("(%d, %d)", len(rows), len(rows[0]))
	}
	header := "{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + ", }"
	// The data starts at a multiple of 64.
	pad := 63 - (len(npyMagic)+2+len(header))%64
	header += strings.Repeat(" ", pad) + "\n"
	var b bytes.Buffer
	b.WriteString(npyMagic)
	b.Write(binary.LittleEndian.AppendUint16(nil, uint16(len(header))))
	b.WriteString(header)
	for _, r := range rows {
		for _, v := range r {
			b.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)))
		}
	}
	return b.Bytes()
}

// decodeNPY reads what encodeNPY writes and nothing else: a vector is one row.
func decodeNPY(b []byte) ([][]float64, error) {
	if len(b) < len(npyMagic)+2 || string(b[:len(npyMagic)]) != npyMagic {
		return nil, fmt.Errorf("not a .npy file of version 1.0")
	}
	n := int(binary.LittleEndian.Uint16(b[len(npyMagic):]))
	rest := b[len(npyMagic)+2:]
	if len(rest) < n {
		return nil, fmt.Errorf("truncated in its header")
	}
	header, data := strings.TrimSpace(string(rest[:n])), rest[n:]
	rows, cols := 1, 0
	const before = "{'descr': '<f8', 'fortran_order': False, 'shape': ("
	shape, ok := strings.CutPrefix(header, before)
	if !ok {
		return nil, fmt.Errorf("want float64 in C order, got %s", header)
	}
	if _, err := fmt.Sscanf(shape, "%d, %d), }", &rows, &cols); err != nil {
		rows = 1
		if _, err := fmt.Sscanf(shape, "%d,), }", &cols); err != nil {
			return nil, fmt.Errorf("want one or two dimensions, got %s", header)
		}
	}
	if rows < 1 || cols < 0 || cols > len(data) || rows > len(data)+1 || rows*cols*8 != len(data) {
		return nil, fmt.Errorf("%d bytes of data do not fit %d×%d", len(data), rows, cols)
	}
	out := make([][]float64, rows)
	for i := range out {
		out[i] = make([]float64, cols)
		for j := range out[i] {
			out[i][j] = math.Float64frombits(binary.LittleEndian.Uint64(data[8*(i*cols+j):]))
		}
	}
	return out, nil
}
