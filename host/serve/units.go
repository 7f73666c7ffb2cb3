package serve

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time as 2ms, 1.5s or 1h, at least 0.
type Duration time.Duration

// DecodeValue implements registry.Decoder.
func (d *Duration) DecodeValue(v any) error {
	text, ok := v.(string)
	if !ok {
		return fmt.Errorf("got %v, want a time with its unit, such as 2ms or 1s", v)
	}
	t, err := time.ParseDuration(text)
	if err != nil || t < 0 {
		return fmt.Errorf("got %q, want a time with its unit, such as 2ms or 1s", text)
	}
	*d = Duration(t)
	return nil
}

// EncodeValue implements registry.Encoder.
func (d Duration) EncodeValue() any { return time.Duration(d).String() }

// JSONSchema implements registry.Schemer.
func (Duration) JSONSchema() map[string]any {
	return map[string]any{"type": "string", "pattern": `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}
}

// Size is a number of bytes: 64MiB, 10MB, 4096.
type Size int64

var sizes = []struct {
	unit  string
	bytes float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1}}

// DecodeValue implements registry.Decoder.
func (s *Size) DecodeValue(v any) error {
	text := fmt.Sprint(v)
	for _, u := range sizes {
		number, ok := strings.CutSuffix(text, u.unit)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if n *= u.bytes; err == nil && n >= 1 && n <= math.MaxInt64/2 {
			*s = Size(n)
			return nil
		}
		break
	}
	return fmt.Errorf("got %q, want a number of bytes, such as 64MiB", text)
}

// EncodeValue implements registry.Encoder.
func (s Size) EncodeValue() any {
	for _, u := range []struct {
		unit  string
		bytes Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if s >= u.bytes && s%u.bytes == 0 {
			return fmt.Sprintf("%d%s", s/u.bytes, u.unit)
		}
	}
	return int(s)
}

// JSONSchema implements registry.Schemer.
func (Size) JSONSchema() map[string]any {
	return map[string]any{"anyOf": []any{
		map[string]any{"type": "integer", "minimum": 1},
		map[string]any{"type": "string", "pattern": `^[0-9.]+ ?(KiB|MiB|GiB|kB|MB|GB|B)?$`},
	}}
}
