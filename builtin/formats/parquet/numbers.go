package parquet

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"

	pq "github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// markHalves finds columns of half precision among the leaves of a schema: the
// decoder keeps that of their type that they are two bytes.
func markHalves(columns []Column, schema []format.SchemaElement) {
	leaf := 0
	for _, e := range schema {
		if e.NumChildren.V > 0 {
			continue
		}
		if leaf == len(columns) {
			return
		}
		_, half := e.LogicalType.Value.(*format.Float16Type)
		if half && e.TypeLength.V == 2 && e.Type.V == format.FixedLenByteArray {
			columns[leaf].decoder, columns[leaf].Reject = float16, ""
		}
		leaf++
	}
}

// float16 decodes IEEE 754's half precision.
func float16(v pq.Value) float64 {
	b := v.ByteArray()
	if len(b) != 2 {
		return math.NaN()
	}
	bits := binary.LittleEndian.Uint16(b)
	fraction, exponent := float64(bits&0x3ff), int(bits>>10&0x1f)
	var f float64
	switch exponent {
	case 0:
		f = math.Ldexp(fraction, -24)
	case 0x1f:
		if f = math.Inf(1); fraction != 0 {
			f = math.NaN()
		}
	default:
		f = math.Ldexp(1024+fraction, exponent-25)
	}
	if bits>>15 == 1 {
		return -f
	}
	return f
}

const (
	// maxScale bounds the digits behind a decimal point, maxDecimal the bytes of
	// a number: those of 256 bits.
	maxScale   = 76
	maxDecimal = 32
)

// decimal makes c one of decimal numbers, in integers or in bytes, big end
// first.
func (c *Column) decimal(typ pq.Type, d *format.DecimalType) {
	if d.Scale < 0 || d.Scale > maxScale {
		c.Reject = fmt.Sprintf("is of type DECIMAL with %d digits behind the point, want 0 to %d", d.Scale, maxScale)
		return
	}
	var unscaled func(pq.Value) string
	switch typ.Kind() {
	case pq.Int32:
		unscaled = func(v pq.Value) string { return strconv.Itoa(int(v.Int32())) }
	case pq.Int64:
		unscaled = func(v pq.Value) string { return strconv.FormatInt(v.Int64(), 10) }
	case pq.FixedLenByteArray, pq.ByteArray:
		if typ.Kind() == pq.FixedLenByteArray && typ.Length() > maxDecimal {
			c.Reject = fmt.Sprintf("is of type DECIMAL in %d bytes, want at most %d", typ.Length(), maxDecimal)
			return
		}
		unscaled = func(v pq.Value) string { return signed(v.ByteArray()) }
	default:
		c.Reject = "is of type DECIMAL in " + typ.Kind().String()
		return
	}
	c.exact = func(v pq.Value) string { return point(unscaled(v), int(d.Scale)) }
	c.decoder = func(v pq.Value) float64 {
		f, err := strconv.ParseFloat(c.exact(v), 64)
		if err != nil {
			return math.NaN()
		}
		return f
	}
}

// signed is a number in two's complement; NaN if it is too long for one.
func signed(b []byte) string {
	if len(b) > maxDecimal {
		return "NaN"
	}
	n := new(big.Int).SetBytes(b)
	if len(b) > 0 && b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n.String()
}

// point sets the decimal point of a whole number.
func point(digits string, scale int) string {
	if scale == 0 || digits == "NaN" {
		return digits
	}
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	if n := scale + 1 - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	at := len(digits) - scale
	return sign + digits[:at] + "." + digits[at:]
}
