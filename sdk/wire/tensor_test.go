package wire_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	classifier "github.com/vaeguard/vaeguard/sdk/proto"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// FuzzDecode decodes whatever a plugin may send. What it accepts has as many
// numbers as its shape says, and survives the way back.
func FuzzDecode(f *testing.F) {
	for _, m := range []*classifier.Tensor{
		wire.Encode(tensor.From([]float32{1, 2, 3, 4, 5, float32(math.Inf(1))}, 2, 3)),
		wire.Encode(tensor.New(0, 3)),
		{Dtype: classifier.DType_F32, Shape: []int64{1 << 62, 4}, Data: []byte{1, 2, 3, 4}},
		{Dtype: classifier.DType_F32, Shape: []int64{-1, -4}, Data: make([]byte, 16)},
		{Dtype: classifier.DType_I64, Shape: []int64{1}, Data: make([]byte, 8)},
		{Dtype: classifier.DType_F32, Shape: []int64{3}, Data: make([]byte, 11)},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m classifier.Tensor
		if proto.Unmarshal(b, &m) != nil {
			return
		}
		x, err := wire.Decode("x", &m)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "x: ") {
				t.Errorf("%v does not say which tensor it is about", err)
			}
			return
		}
		if x.Shape.Size() != len(x.Data) {
			t.Fatalf("%d numbers for shape %v", len(x.Data), x.Shape)
		}
		again, err := wire.Decode("x", wire.Encode(x))
		if err != nil || !again.Shape.Equal(x.Shape) {
			t.Fatalf("%v came back as %v, %v", x.Shape, again, err)
		}
		for i, v := range x.Data {
			if math.Float32bits(v) != math.Float32bits(again.Data[i]) {
				t.Fatalf("element %d changed", i)
			}
		}
	})
}
