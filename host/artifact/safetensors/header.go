package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// entry is one tensor as the header declares it: bytes begin ≤ i < end after
// the header.
type entry struct {
	name       string
	dtype      string
	shape      tensor.Shape
	begin, end int64
}

// parseHeader reads the JSON object. It walks tokens rather than unmarshal:
// repeated keys and unknown fields must not pass.
func parseHeader(text []byte) ([]entry, map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, nil, err
	}
	var entries []entry
	var metadata map[string]string
	seen := map[string]bool{}
	for d.More() {
		key, err := str(d)
		if err != nil {
			return nil, nil, err
		}
		if seen[key] {
			return nil, nil, fmt.Errorf("%q appears twice", key)
		}
		seen[key] = true
		if key == metadataKey {
			metadata, err = parseMetadata(d)
		} else {
			var e entry
			e, err = parseEntry(d)
			e.name = key
			entries = append(entries, e)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%q: %w", key, err)
		}
	}
	if err := expect(d, json.Delim('}')); err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("trailing bytes after the JSON object")
	}
	return entries, metadata, nil
}

func parseMetadata(d *json.Decoder) (map[string]string, error) {
	if err := expect(d, json.Delim('{')); err != nil {
		return nil, err
	}
	m := map[string]string{}
	for d.More() {
		key, err := str(d)
		if err != nil {
			return nil, err
		}
		if _, ok := m[key]; ok {
			return nil, fmt.Errorf("%q appears twice", key)
		}
		if m[key], err = str(d); err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
	}
	return m, expect(d, json.Delim('}'))
}

func parseEntry(d *json.Decoder) (entry, error) {
	var e entry
	if err := expect(d, json.Delim('{')); err != nil {
		return e, err
	}
	seen := map[string]bool{}
	for d.More() {
		key, err := str(d)
		if err != nil {
			return e, err
		}
		if seen[key] {
			return e, fmt.Errorf("%q appears twice", key)
		}
		seen[key] = true
		switch key {
		case "dtype":
			e.dtype, err = str(d)
		case "shape":
			var dims []int64
			dims, err = ints(d, maxRank)
			for _, n := range dims {
				if n > math.MaxInt {
					return e, fmt.Errorf("shape: %d is too large", n)
				}
				e.shape = append(e.shape, int(n))
			}
		case "data_offsets":
			var at []int64
			if at, err = ints(d, 2); err == nil && len(at) != 2 {
				err = errors.New("want [begin, end]")
			}
			if err == nil {
				e.begin, e.end = at[0], at[1]
			}
		default:
			err = errors.New("unknown field; want dtype, shape and data_offsets")
		}
		if err != nil {
			return e, fmt.Errorf("%s: %w", key, err)
		}
	}
	if len(seen) != 3 {
		return e, errors.New("want dtype, shape and data_offsets")
	}
	return e, expect(d, json.Delim('}'))
}

// checkLayout sorts the entries by their bytes and holds that together they
// fill size exactly, each with its shape.
func checkLayout(entries []entry, size int64) error {
	slices.SortStableFunc(entries, func(a, b entry) int {
		if a.begin != b.begin {
			return cmp.Compare(a.begin, b.begin)
		}
		return cmp.Compare(a.end, b.end)
	})
	at := int64(0)
	for _, e := range entries {
		if e.dtype != dtype {
			return fmt.Errorf("tensor %q has dtype %q, want %s", e.name, e.dtype, dtype)
		}
		if e.end < e.begin || e.end > size {
			return fmt.Errorf("tensor %q spans bytes %d to %d of %d: truncated or wrong", e.name, e.begin, e.end, size)
		}
		if e.begin < at {
			return fmt.Errorf("tensor %q overlaps the one before it", e.name)
		}
		if e.begin > at {
			return fmt.Errorf("tensor %q leaves a hole of %d bytes before it", e.name, e.begin-at)
		}
		n, ok := elements(e.shape, size/4)
		if !ok || 4*n != e.end-e.begin {
			return fmt.Errorf("tensor %q of shape %v does not fit its %d bytes", e.name, e.shape, e.end-e.begin)
		}
		at = e.end
	}
	if at != size {
		return fmt.Errorf("%d trailing bytes after the last tensor", size-at)
	}
	return nil
}

// elements is the product of the dimensions; ok is false beyond max.
func elements(s tensor.Shape, max int64) (n int64, ok bool) {
	if slices.Contains(s, 0) {
		// Sizes of the other dimensions multiply without bound otherwise.
		return 0, s.Valid(0, math.MaxInt32) == nil
	}
	n = 1
	for _, d := range s {
		if int64(d) > max/n {
			return 0, false
		}
		n *= int64(d)
	}
	return n, true
}

func expect(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("got %v, want %v", t, want)
	}
	return nil
}

func str(d *json.Decoder) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("got %v, want a string", t)
	}
	return s, nil
}

// ints reads a JSON array of at most most non-negative integers.
func ints(d *json.Decoder, most int) ([]int64, error) {
	if err := expect(d, json.Delim('[')); err != nil {
		return nil, err
	}
	var out []int64
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		number, ok := t.(json.Number)
		if !ok {
			return nil, fmt.Errorf("got %v, want integers", t)
		}
		n, err := strconv.ParseInt(number.String(), 10, 64)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("got %s, want a non-negative integer", number)
		}
		if len(out) == most {
			return nil, fmt.Errorf("more than %d numbers", most)
		}
		out = append(out, n)
	}
	return out, expect(d, json.Delim(']'))
}
