package tensors_test

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// TestHalves: the 16-bit floats are rounded to nearest, half to even.
func TestHalves(t *testing.T) {
	for h := range 1 << 16 {
		for _, d := range []tensors.Datatype{tensors.FP16, tensors.BF16} {
			in := tensors.Tensor{Datatype: d, Shape: []int64{1}, Raw: []byte{byte(h), byte(h >> 8)}}
			v := in.Float64(0)
			if v-v != 0 {
				continue
			}
			out, err := tensors.ParseData("t", d, []int64{1}, in.AppendData(nil), tensors.Limits{})
			if err != nil || !bytes.Equal(out.Raw, in.Raw) {
				t.Fatalf("%s %#04x is %v, and comes back as %x, error %v", d, h, v, out.Raw, err)
			}
			next := tensors.Tensor{Datatype: d, Raw: []byte{byte(h + 1), byte((h + 1) >> 8)}}.Float64(0)
			if next-next != 0 || math.Signbit(next) != math.Signbit(v) {
				continue
			}
			want := v // between two neighbours the even one
			if h&1 == 1 {
				want = next
			}
			out, err = tensors.ParseData("t", d, []int64{1}, fmt.Appendf(nil, "[%.30g]", (v+next)/2), tensors.Limits{})
			if err != nil || out.Float64(0) != want {
				t.Fatalf("%s: %v between %v and %v becomes %v, want %v, error %v", d, (v+next)/2, v, next, out.Float64(0), want, err)
			}
		}
	}
}

// TestFromFloats: numbers become any datatype that can hold them.
func TestFromFloats(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, c := range []struct {
		datatype tensors.Datatype
		values   []float32
		want     string // as JSON; "": refused
	}{
		{tensors.Bool, []float32{0, 1}, "[false,true]"},
		{tensors.Bool, []float32{2}, ""},
		{tensors.Uint8, []float32{0, 255}, "[0,255]"},
		{tensors.Uint8, []float32{256}, ""},
		{tensors.Uint8, []float32{-1}, ""},
		{tensors.Uint8, []float32{0.5}, ""},
		{tensors.Uint8, []float32{nan}, ""},
		{tensors.Int8, []float32{-128, 127}, "[-128,127]"},
		{tensors.Int8, []float32{128}, ""},
		{tensors.Int64, []float32{-1 << 63, 1 << 62}, "[-9223372036854775808,4611686018427387904]"},
		{tensors.Int64, []float32{1 << 63}, ""},
		{tensors.Uint64, []float32{1 << 63}, "[9223372036854775808]"},
		{tensors.Uint64, []float32{inf}, ""},
		{tensors.FP16, []float32{0.1, -2}, "[0.0999755859375,-2]"},
		{tensors.BF16, []float32{0.1}, "[0.10009765625]"},
		{tensors.FP32, []float32{0.1}, "[0.10000000149011612]"},
		{tensors.FP64, []float32{0.1, nan}, "[0.10000000149011612,null]"},
		{tensors.Bytes, []float32{1}, ""},
		{"FP33", []float32{1}, ""},
	} {
		got, err := tensors.FromFloats("t", c.datatype, []int64{int64(len(c.values))}, c.values)
		if (c.want == "") != (err != nil) || err == nil && string(got.AppendData(nil)) != c.want {
			t.Errorf("%s %v: %v, error %v, want %s", c.datatype, c.values, got, err, c.want)
		}
	}
}
