package formats

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// maxRecord bounds the bytes of one csv record or JSON line.
const maxRecord = 16 << 20

// number is a finite float32 written as text.
func number(cell string) (float32, error) {
	if v, n, ok := dataset.Decimal(cell); ok && n == len(cell) {
		return v, nil
	}
	if cell == "" {
		return 0, errors.New("no value")
	}
	v, err := strconv.ParseFloat(cell, 32)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%.40q is not a number", cell)
	}
	f := float32(v)
	if f-f != 0 { // NaN and infinity alone
		return 0, fmt.Errorf("%.40q: want finite numbers of float32", cell)
	}
	return f, nil
}
